/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "base/scope.h"
#include "os/clock.h"
#include "os/memory.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long a guest may take for its request, and for reading the answer. */
#define PROBING_MAX (5 * SECOND)
#define READING_MAX (60 * SECOND)
/* How long nclust may take for an answer. */
#define WAITING_MAX (5 * SECOND)
/* When all places are taken, guests make room that have not read their answer in
 * this time. */
#define READING_SAFE (5 * SECOND)

/* The library only closes a connection whose request takes too long, and does not
 * see guests without a place: these two answers are ours. */
#define PLAIN "Content-Type: text/plain\r\nConnection: close\r\n"
static const char too_slow[] = "HTTP/1.1 408 Request Timeout\r\n" PLAIN "Content-Length: 33\r\n\r\n"
			       "the request was not sent in 5 s.\n";
static const char too_many[] = "HTTP/1.1 503 Service Unavailable\r\n" PLAIN "Retry-After: 1\r\n"
			       "Content-Length: 38\r\n\r\n"
			       "64 others are being answered just now\n";

void guest_set_phase(struct guest *g, enum guest_phase phase)
{
	g->phase = phase;
	g->since = clock_now();
}

struct guest *guest_of(const struct web *web, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		web->mhd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info->socket_context;
}

void guest_on_connection(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_ConnectionNotificationCode code)
{
	struct web *web = cls;
	struct guest *g = *context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (g == NULL)
			return;
		answer_unref(web, g->answer);
		buffer_fini(&g->events);
		*g = (struct guest){.phase = GUEST_NONE};
		web->guest_count--;
		return;
	}
	g = array_find(place, web->guests, GUESTS_MAX, place->phase == GUEST_NONE);
	*context = g;
	if (g == NULL)
		return; /* cannot be: there are as many as may come */
	*g = (struct guest){
		.web = web,
		.connection = connection,
		.fd = web->mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
			      ->connect_fd,
	};
	guest_set_phase(g, GUEST_ASKS);
	web->guest_count++;
}

/* End a connection from our side; the library sees that and closes it. */
static void hang_up(const struct guest *g, const char *with)
{
	if (with != NULL)
		(void)send(g->fd, with, strlen(with), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)shutdown(g->fd, SHUT_RDWR);
}

/* End the guest that has been asking, or else reading, for longest: silent
 * connections, and clients that do not read, keep nobody out.  A request that has
 * come already is read first. */
static bool make_room(struct web *web, enum guest_phase phase)
{
	nsec_t until = clock_now() - (phase == GUEST_READS ? READING_SAFE : 0);
	const struct guest *oldest = NULL;

	(void)web->mhd.run(web->daemon);
	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		const struct guest *g = &web->guests[i];

		if (g->phase == phase && g->since <= until &&
			(oldest == NULL || g->since < oldest->since))
			oldest = g;
	}
	if (oldest == NULL)
		return false;
	hang_up(oldest, NULL);
	(void)web->mhd.run(web->daemon);
	return web->guest_count < GUESTS_MAX;
}

/* Read what the client has sent, so that close(2) does not reset the connection before it reads
 * this. */
void client_dismiss(int fd, const char *text)
{
	char unread[2048];

	(void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)shutdown(fd, SHUT_WR);
	(void)recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
	(void)close(fd);
}

static void on_connect(struct ev_loop *loop UNUSED, ev_io *watcher, int revents UNUSED)
{
	struct web *web = watcher->data;
	struct sockaddr_storage from;

	if (web->sweep_at == 0)
		web->sweep_at = clock_now() + SECOND;
	for (int i = 0; i < TURN_ITEMS; i++) {
		socklen_t len = sizeof(from);
		int fd = accept4(
			watcher->fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd == -1)
			return;
		if (web->guest_count >= GUESTS_MAX && !make_room(web, GUEST_ASKS) &&
			!make_room(web, GUEST_READS))
			client_dismiss(fd, too_many);
		else if (web->mhd.add_connection(web->daemon, fd, (struct sockaddr *)&from, len) ==
			MHD_YES)
			(void)web->mhd.run(web->daemon); /* which counts it (1.0) */
	}
}

/* ---- bounds ---- */

static void look_at(struct web *web, struct guest *g, nsec_t now)
{
	char byte;

	switch (g->phase) {
	case GUEST_ASKS:
		if (now - g->since > PROBING_MAX)
			hang_up(g, too_slow);
		/* the library does not notice an end that came with the last bytes */
		else if (recv(g->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
			hang_up(g, NULL);
		break;
	case GUEST_WAITS:
		if (now - g->since > WAITING_MAX)
			request_give_up(web, g);
		break;
	case GUEST_READS:
		if (now - g->since > READING_MAX)
			hang_up(g, NULL);
		break;
	case GUEST_FOLLOWS:
		stream_look(g, now);
		break;
	case GUEST_NONE:
		break;
	}
}

void guests_sweep(struct web *web, nsec_t now)
{
	for (unsigned i = 0; i < GUESTS_MAX; i++)
		look_at(web, &web->guests[i], now);
	if (web->guest_count > 0)
		web->sweep_at = now + SECOND;
	else
		memory_settle();
}

static void listen_at(struct web *web, ev_io *watcher, int listener)
{
	ev_io_init(watcher, on_connect, listener, EV_READ);
	watcher->data = web;
	if (listener != -1)
		ev_io_start(web->loop, watcher);
}

void guests_init(struct web *web, int listener, int also)
{
	listen_at(web, &web->listener, listener);
	listen_at(web, &web->also, also);
}
