/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "base/scope.h"
#include "os/clock.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char plain[] = "text/plain; charset=utf-8";

/* ---- answers ---- */

struct answer *answer_of(
	const struct web *web, unsigned status, const char *type, struct MHD_Response *response)
{
	struct answer *a = response != NULL ? calloc(1, sizeof(*a)) : NULL;

	if (a == NULL) {
		if (response != NULL)
			web->mhd.destroy_response(response);
		return NULL;
	}
	a->response = response;
	a->refs = 1;
	a->status = status;
	(void)web->mhd.add_response_header(response, "Content-Type", type);
	(void)web->mhd.add_response_header(response, "Cache-Control", "no-store");
	(void)web->mhd.add_response_header(response, "X-Content-Type-Options", "nosniff");
	(void)web->mhd.add_response_header(response, "Connection", "close");
	return a;
}

struct answer *answer_new(
	const struct web *web, unsigned status, const char *type, struct buffer *body)
{
	struct MHD_Response *response = NULL;

	if (!body->failed)
		response = web->mhd.create_response_from_buffer(
			body->len, body->data, MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
		buffer_fini(body);
	return answer_of(web, status, type, response);
}

struct answer *answer_text(const struct web *web, unsigned status, const char *text,
	const char *header, const char *value)
{
	struct buffer body;
	struct answer *a;

	buffer_init(&body, 0);
	buffer_string(&body, text);
	a = answer_new(web, status, plain, &body);
	if (a != NULL && header != NULL)
		(void)web->mhd.add_response_header(a->response, header, value);
	return a;
}

struct answer *answer_make(
	const struct web *web, const struct page *page, const char *json, size_t len)
{
	struct buffer body;
	unsigned status;

	buffer_init(&body, 0);
	status = page->make(&body, json, len);
	return answer_new(web, status, page->type, &body);
}

void answer_unref(const struct web *web, struct answer *a)
{
	if (a == NULL || --a->refs > 0)
		return;
	web->mhd.destroy_response(a->response);
	free(a);
}

/* ---- pages ---- */

static unsigned make_health(struct buffer *body, const char *json UNUSED, size_t len UNUSED)
{
	buffer_string(body, "ok\n");
	return MHD_HTTP_OK;
}

static unsigned make_json(struct buffer *body, const char *json, size_t len)
{
	buffer_append(body, json, len);
	buffer_append(body, "\n", 1);
	return MHD_HTTP_OK;
}

double answer_sum(const json_t *list, const char *key)
{
	const json_t *item;
	double sum = 0;
	size_t i;

	json_array_foreach(list, i, item)
	{
		sum += json_number_value(json_object_get(item, key));
	}
	return sum;
}

/* Does a cluster that needs no worker without clients wake for its first one?  It
 * takes the next ones, too, unless a start fails. */
static bool is_waking(const json_t *cluster)
{
	const json_t *scale = json_object_get(cluster, "autoscale");
	const json_t *worker;
	size_t i;

	if (!json_is_false(json_object_get(scale, "by_hand")) ||
		json_integer_value(json_object_get(scale, "min")) > 0)
		return false;
	json_array_foreach(json_object_get(cluster, "workers"), i, worker)
	{
		const char *state = json_string_value(json_object_get(worker, "state"));

		if (state == NULL || strcmp(state, "backoff") == 0 ||
			strcmp(state, "failed") == 0 ||
			json_integer_value(json_object_get(worker, "restarts")) > 0)
			return false;
	}
	return true;
}

/* A cluster of which nobody wants a worker, that has one for each connection, or that
 * has done its work for good, is ready as it is. */
bool answer_is_ready(const json_t *cluster)
{
	const char *state = json_string_value(json_object_get(cluster, "state"));

	if (json_is_true(json_object_get(cluster, "done")))
		return true;
	if (state == NULL || strcmp(state, "stopping") == 0 || strcmp(state, "stopped") == 0 ||
		strcmp(state, "failed") == 0)
		return false;
	return json_integer_value(json_object_get(cluster, "ready")) > 0 ||
		json_integer_value(json_object_get(cluster, "wanted")) == 0 ||
		json_object_get(cluster, "accept") != NULL || is_waking(cluster);
}

static unsigned make_readiness(struct buffer *body, const char *json, size_t len)
{
	json_t *status = json_loadb(json, len, 0, NULL);
	const json_t *clusters = json_object_get(status, "clusters");
	const json_t *cluster;
	size_t i;

	if (json_is_object(json_object_get(status, "drained")))
		buffer_string(body, "drained by 'nclust drain'\n");
	json_array_foreach(clusters, i, cluster)
	{
		if (!answer_is_ready(cluster))
			buffer_printf(body,
				"%s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
				" workers ready (%s)\n",
				json_string_value(json_object_get(cluster, "name")),
				json_integer_value(json_object_get(cluster, "ready")),
				json_integer_value(json_object_get(cluster, "wanted")),
				json_string_value(json_object_get(cluster, "state")));
	}
	if (!json_is_array(clusters))
		buffer_string(body, "the status cannot be read\n");
	json_decref(status);
	if (body->len > 0)
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	buffer_string(body, "ok\n");
	return MHD_HTTP_OK;
}

static unsigned make_metrics(struct buffer *body, const char *json, size_t len, bool openmetrics)
{
	json_t *status = json_loadb(json, len, 0, NULL);

	if (status != NULL)
		metrics_write(body, status, openmetrics);
	json_decref(status);
	return body->len > 0 ? MHD_HTTP_OK : MHD_HTTP_INTERNAL_SERVER_ERROR;
}

static unsigned make_prometheus(struct buffer *body, const char *json, size_t len)
{
	return make_metrics(body, json, len, false);
}

static unsigned make_openmetrics(struct buffer *body, const char *json, size_t len)
{
	return make_metrics(body, json, len, true);
}

static const char openmetrics[] = "application/openmetrics-text";

/* Of two with the same path the first is for those who accept its type. */
static const struct page pages[] = {
	{"/", WANTS_NOTHING, "text/html; charset=utf-8", NULL},
	{"/healthz", WANTS_LIFE, plain, make_health},
	{"/readyz", WANTS_READINESS, plain, make_readiness},
	{"/status", WANTS_STATUS, "application/json", make_json},
	{"/events", WANTS_LIFE, "text/event-stream", NULL},
	{"/history", WANTS_PAST, "application/json", make_json},
	{"/samples", WANTS_SAMPLES, "application/json", NULL},
	{"/metrics", WANTS_METRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8",
		make_openmetrics},
	{"/metrics", WANTS_METRICS, "text/plain; version=0.0.4; charset=utf-8", make_prometheus},
};

const struct page *page_find(const char *path, const char *accept)
{
	bool has_choice = accept != NULL && strstr(accept, openmetrics) != NULL;

	return array_find(page, pages, COUNT_OF(pages),
		strcmp(page->path, path) == 0 &&
			(has_choice || strstr(page->type, openmetrics) == NULL));
}

/* ---- stream ---- */

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

void stream_end(struct guest *g)
{
	g->ended = true;
	wake_guest(g);
}

/* End the guest without the events that it has not read. */
static void cut_off(struct guest *g)
{
	buffer_fini(&g->events);
	(void)shutdown(g->fd, SHUT_RDWR);
	stream_end(g);
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
static ssize_t on_read(void *cls, uint64_t at UNUSED, char *to, size_t most)
{
	struct guest *g = cls;
	size_t len = g->events.len < most ? g->events.len : most;

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
		stream_end(g);
	else if (now - g->since >= PING)
		add_event(g, ":\n\n", 3);
}
