/* SPDX-License-Identifier: MIT */
#include "cli/trial_visit.h"

#include "base/scope.h"
#include "cli/trial_socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* A worker that answers or closes at all does so in less, if it gets a CPU;
 * while it waits for one, we wait so many times. */
#define MOMENT_MS 150
#define MOMENTS_MOST 20

void visitor_read(struct visitor *v)
{
	char block[4096];
	size_t kept;
	ssize_t n;

	while (!v->closed && v->fd != -1) {
		n = recv(v->fd, block, sizeof(block), MSG_DONTWAIT);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			v->closed = true;
			return;
		}
		kept = sizeof(v->answer) - v->len;
		if (kept > (size_t)n)
			kept = (size_t)n;
		(void)memcpy(v->answer + v->len, block, kept);
		v->len += kept;
		v->got = true;
	}
}

static bool is_at_work(const struct trial_life *life)
{
	struct held held untouched;

	held_look(&held, life->pid);
	return held.running > 0;
}

void visitor_await(struct visitor *v, const struct trial_life *life)
{
	struct pollfd p = {.fd = v->fd, .events = POLLIN};

	v->got = false;
	for (int i = 0; i < MOMENTS_MOST; i++) {
		if (v->fd != -1 && !v->closed)
			(void)poll(&p, 1, MOMENT_MS);
		visitor_read(v);
		if (v->got || v->closed || !is_at_work(life))
			return;
	}
}

void visitor_say(struct visitor *v, const char *text)
{
	if (v->fd != -1 && send(v->fd, text, strlen(text), MSG_NOSIGNAL) == -1)
		v->closed = true;
}

bool visitor_is_answered(const struct visitor *v)
{
	return v->len >= 5 && memcmp(v->answer, "HTTP/", 5) == 0;
}
