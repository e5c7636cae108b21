/* SPDX-License-Identifier: MIT */
/*
 * How many connections a second are answered: calls PORT AT_ONCE MILLISECONDS
 *
 * Always so many connections at once, each a connect, a read to the end and a
 * close.  Prints answers a second, and how many got none.
 */
#include <netinet/in.h>
#include <sys/epoll.h>

#include "bench.h"

static struct sockaddr_in at;
static long answers;
static long failures;

struct call {
	int fd;
	long bytes;
};

static void begin(int set, struct call *call)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = call};

	call->bytes = 0;
	call->fd =
		socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (call->fd == -1)
		bench_die("socket");
	if (connect(call->fd, (struct sockaddr *)&at, sizeof(at)) == -1 &&
		errno != EINPROGRESS)
		bench_die("connect");
	if (epoll_ctl(set, EPOLL_CTL_ADD, call->fd, &event) == -1)
		bench_die("epoll_ctl");
}

/* True: it is over. */
static int hear(struct call *call)
{
	char text[256];
	ssize_t n = read(call->fd, text, sizeof(text));

	if (n > 0) {
		call->bytes += n;
		return 0;
	}
	if (n == -1 && errno == EAGAIN)
		return 0;
	if (n == 0 && call->bytes > 0)
		answers++;
	else
		failures++;
	(void)close(call->fd);
	return 1;
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	struct call *calls;
	int64_t began;
	int64_t span;
	long at_once;
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (argc < 4 || set == -1)
		return 64;
	(void)alarm(60);
	at.sin_family = AF_INET;
	at.sin_port = htons((uint16_t)atoi(argv[1]));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at_once = atol(argv[2]);
	span = atol(argv[3]) * INT64_C(1000000);
	calls = calloc((size_t)at_once, sizeof(*calls));
	if (!calls)
		bench_die("calloc");
	began = bench_now();
	for (long i = 0; i < at_once; i++)
		begin(set, &calls[i]);
	while (bench_now() - began < span) {
		int n = epoll_wait(set, events, 64, 1000);

		for (int i = 0; i < n; i++)
			if (hear(events[i].data.ptr))
				begin(set, events[i].data.ptr);
	}
	span = bench_now() - began;
	(void)printf(
		"%.0f %ld\n", (double)answers * 1e9 / (double)span, failures);
	return 0;
}
