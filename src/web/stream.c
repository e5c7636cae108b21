/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "os/clock.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/*
 * /events: server-sent events, as the EventSource of browsers reads them.  A
 * guest that waits for the next one is suspended, because the library would ask
 * for it over and over.
 */
#define FOLLOWERS_MAX 32
/* If more guests come, the one that has followed for longest gives way after this
 * time: it may come again. */
#define FOLLOWING_SAFE (30 * SECOND)
/* A guest with so much unread is ended, and may come again. */
#define UNREAD_MAX (256U * 1024)
/* Something is sent at least so often, so that no proxy on the way takes the
 * connection for dead. */
#define PING (15 * SECOND)
#define PIECE 4096

static void wake_guest(struct guest *g)
{
	if (!g->suspended)
		return;
	g->suspended = false;
	g->web->resumed = true;
	g->web->mhd.resume_connection(g->connection);
}

static void end_stream(struct guest *g)
{
	g->ended = true;
	wake_guest(g);
}

/* End the guest without the events that it has not read. */
static void cut_off(struct guest *g)
{
	buffer_fini(&g->events);
	(void)shutdown(g->fd, SHUT_RDWR);
	end_stream(g);
}

static void add_event(struct guest *g, const char *text, size_t len)
{
	if (g->ended)
		return;
	if (buffer_append(&g->events, text, len) == -1) {
		cut_off(g);
		return;
	}
	g->since = clock_now();
	wake_guest(g);
}

/* Called by the library for the next bytes to send. */
static ssize_t on_read(void *cls, uint64_t at, char *to, size_t most)
{
	struct guest *g = cls;
	size_t len = g->events.len < most ? g->events.len : most;

	(void)at;
	if (len > 0) {
		memcpy(to, g->events.data, len);
		buffer_consume(&g->events, len);
		if (g->events.len == 0)
			buffer_clear(&g->events);
		return (ssize_t)len;
	}
	if (g->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	g->suspended = true;
	g->web->mhd.suspend_connection(g->connection);
	return 0;
}

static bool make_room(struct web *web)
{
	struct guest *longest = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		struct guest *g = &web->guests[i];

		if (g->phase != GUEST_FOLLOWS || g->ended)
			continue;
		n++;
		if (longest == NULL || g->begun < longest->begun)
			longest = g;
	}
	if (n < FOLLOWERS_MAX)
		return true;
	if (clock_now() - longest->begun < FOLLOWING_SAFE)
		return false;
	cut_off(longest);
	return true;
}

struct answer *stream_begin(struct web *web, struct guest *g)
{
	static const char hello[] = "retry: 1000\n\n";
	struct answer *a;

	if (!make_room(web))
		return answer_text(web, MHD_HTTP_SERVICE_UNAVAILABLE,
			"32 others follow the events\n", "Retry-After", "10");
	a = answer_of(web, MHD_HTTP_OK, "text/event-stream",
		web->mhd.create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, on_read, g, NULL));
	if (a == NULL)
		return NULL;
	buffer_init(&g->events, UNREAD_MAX);
	buffer_append(&g->events, hello, strlen(hello));
	guest_set_phase(g, GUEST_FOLLOWS);
	g->begun = g->since;
	if (!web->following)
		ask_send(&web->events,
			(struct control_request){.method = METHOD_EVENTS, .follow = true});
	web->following = true;
	return a;
}

void stream_on_event(void *context, const char *json, size_t len)
{
	struct web *web = context;
	scoped_buffer text = {0};

	buffer_string(&text, "data: ");
	buffer_append(&text, json, len);
	buffer_string(&text, "\n\n");
	/* white space in a worker's message, but the end of a line here */
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] == '\r')
			text.data[i] = ' ';
	for (unsigned i = 0; i < GUESTS_MAX && !text.failed; i++)
		if (web->guests[i].phase == GUEST_FOLLOWS)
			add_event(&web->guests[i], text.data, text.len);
}

void stream_look(struct guest *g, nsec_t now)
{
	struct pollfd look = {.fd = g->fd, .events = POLLRDHUP};

	/* the library does not look at the connection while it is suspended */
	if (poll(&look, 1, 0) == 1)
		end_stream(g);
	else if (now - g->since >= PING)
		add_event(g, ":\n\n", 3);
}

void stream_end(struct guest *g)
{
	end_stream(g);
}
