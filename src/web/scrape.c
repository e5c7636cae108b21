/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "protocol/exposition.h"
#include "protocol/http.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * /metrics/CLUSTER: the metrics that each worker reports at the path of `metrics`, as
 * one text.  nclust opens the connections and says which worker each leads to; this
 * process asks the workers and reads their answers, as workers may answer anything.
 * One scrape is made at a time; all guests that want the same cluster share it.
 */
/* The longest wait after the last worker was found, and in all. */
#define SCRAPE_WAIT (2 * SECOND)
#define SCRAPE_MAX (9 * SECOND)
#define GAP (50 * MSEC)
#define GAP_FACTOR 3
#define GAP_MOST (3 * SECOND)
#define ANSWER_MAX (512U * 1024)
#define ALL_MAX (4U * 1024 * 1024)
#define TOO_MUCH "all workers together sent over 4 MiB, and this one the most"
#define OURS EXPOSITION_OWN "worker_scrape_"

struct visit {
	struct scrape *of;
	struct visit *next;
	uint32_t slot;
	ev_io io;
	bool over;
	struct httpanswer http;
	struct buffer body;
	const char *why; /* why it failed; NULL: not yet, or it is well */
};

struct scrape {
	struct web *web;
	char cluster[72];
	nsec_t since;
	struct visit *first; /* by slot */
	unsigned count;
	unsigned open;  /* of these */
	size_t bytes;   /* of all bodies */
	bool all_sent;  /* nclust has sent all connections */
	json_t *result; /* then: workers that were not asked, or a refusal */
};

/* ---- the answer ---- */

static void put_comment(struct buffer *out, uint32_t slot, const char *why)
{
	buffer_printf(out, "# slot %u: %s\n", (unsigned)slot, why);
}

/* A metric of ours: was the worker of a slot asked; are its metrics missing? */
static void put_ours(
	struct buffer *out, const char *name, const char *help, const struct scrape *s, bool asked)
{
	size_t i;
	json_t *slot;

	buffer_printf(out, "# HELP " OURS "%s %s\n# TYPE " OURS "%s gauge\n", name, help, name);
	for (const struct visit *v = s->first; v != NULL; v = v->next)
		buffer_printf(out, OURS "%s{slot=\"%u\"} %d\n", name, (unsigned)v->slot,
			asked || v->why != NULL);
	json_array_foreach(json_object_get(s->result, "missed"), i, slot)
	{
		buffer_printf(out, OURS "%s{slot=\"%u\"} %d\n", name,
			(unsigned)json_integer_value(slot), !asked);
	}
}

static void add_visit(struct exposition *all, struct visit *v, struct buffer *out)
{
	const char *text = buffer_text(&v->body);
	struct error err;

	if (v->why == NULL && text == NULL)
		v->why = "out of memory";
	if (v->why != NULL)
		put_comment(out, v->slot, v->why);
	if (v->why == NULL && exposition_add(all, v->slot, text, v->body.len, &err) == -1) {
		put_comment(out, v->slot, err.text);
		v->why = "it is malformed";
	}
}

static struct answer *make_answer(const struct scrape *s)
{
	const char *refusal = json_string_value(json_object_get(s->result, "message"));
	struct exposition all;
	struct buffer body;
	size_t i;
	json_t *slot;

	buffer_init(&body, 0);
	if (refusal != NULL || !s->all_sent) {
		buffer_printf(&body, "%s\n", refusal != NULL ? refusal : "nclust does not answer");
		return answer_new(s->web,
			refusal != NULL ? MHD_HTTP_NOT_FOUND : MHD_HTTP_SERVICE_UNAVAILABLE,
			"text/plain; charset=utf-8", &body);
	}
	exposition_init(&all, s->count);
	for (struct visit *v = s->first; v != NULL; v = v->next)
		add_visit(&all, v, &body);
	json_array_foreach(json_object_get(s->result, "missed"), i, slot)
	{
		put_comment(
			&body, (uint32_t)json_integer_value(slot), "it took no connection in time");
	}
	exposition_write(&all, &body);
	exposition_fini(&all);
	put_ours(&body, "asked", "Whether the worker was asked; 0: it has taken no connection.", s,
		true);
	put_ours(&body, "error", "Whether its metrics are missing here.", s, false);
	return answer_new(s->web, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &body);
}

/* ---- a worker ---- */

/* The connection is closed with the scrape: nclust may have its copy yet, by which
 * the socket would stay in our epoll set, and libev could not take it out. */
static void end_visit(struct visit *v, const char *why)
{
	ev_io_stop(v->of->web->loop, &v->io);
	(void)shutdown(v->io.fd, SHUT_RDWR);
	v->over = true;
	v->of->open--;
	v->why = why;
}

/* All answers together are too long: drop the longest one, so that no worker within
 * its share loses its answer for another. */
static void drop_largest(struct scrape *s, struct visit *reading)
{
	struct visit *most = reading;

	for (struct visit *v = s->first; v != NULL; v = v->next)
		if (v->body.len > most->body.len)
			most = v;
	s->bytes -= most->body.len;
	buffer_fini(&most->body);
	if (most->over || most == reading)
		most->why = TOO_MUCH;
	else
		end_visit(most, TOO_MUCH);
}

/* NULL: all is well. */
static const char *take_body(struct visit *v, const char *data, size_t len)
{
	if (buffer_append(&v->body, data, len) == -1)
		return v->body.len + len > ANSWER_MAX ? "it sent over 512 KiB" : "no memory";
	v->of->bytes += len;
	if (v->of->bytes > ALL_MAX)
		drop_largest(v->of, v);
	return v->why;
}

static const char *take_answer(struct visit *v, const char *data, size_t len)
{
	const char *why = NULL;
	enum httpanswer_piece kind;
	const char *piece;
	size_t piece_len;

	while (why == NULL &&
		(kind = httpanswer_next(&v->http, &data, &len, &piece, &piece_len)) != PIECE_NONE) {
		if (kind == PIECE_BODY)
			why = take_body(v, piece, piece_len);
		if (v->http.status >= 200 && v->http.status != MHD_HTTP_OK)
			why = "its status is not 200";
	}
	return v->http.state == HTTPANSWER_BAD ? "its answer is not HTTP/1" : why;
}

static void look_if_over(struct scrape *s);

static void on_answer(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct visit *v = watcher->data;
	char data[16 * 1024] uninitialized;
	const char *why = NULL;
	ssize_t got = 1;

	(void)loop;
	(void)revents;
	for (int i = 0;
		i < TURN_ITEMS && got > 0 && why == NULL && v->http.state != HTTPANSWER_WHOLE;
		i++) {
		got = recv(watcher->fd, data, sizeof(data), MSG_DONTWAIT);
		if (got > 0)
			why = take_answer(v, data, (size_t)got);
	}
	if (why == NULL && v->http.state != HTTPANSWER_WHOLE) {
		if (got > 0 || (got == -1 && (errno == EAGAIN || errno == EINTR)))
			return;
		if (got == -1 || !httpanswer_ended(&v->http))
			why = "it closed the connection in its answer";
	}
	end_visit(v, why);
	look_if_over(v->of);
}

static int send_request(int fd, const char *path, const char *host, size_t sent)
{
	char request[HTTPREQUEST_MAX];
	size_t len = httpstatus_request(request, sizeof(request), path, host, NULL, 0);

	return len > sent &&
			send(fd, request + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT) ==
				(ssize_t)(len - sent)
		? 0
		: -1;
}

static void begin_visit(struct scrape *s, int fd, const json_t *of)
{
	const char *path = json_string_value(json_object_get(of, "path"));
	const char *host = json_string_value(json_object_get(of, "host"));
	json_int_t sent = json_integer_value(json_object_get(of, "sent"));
	struct visit *v = calloc(1, sizeof(*v));
	struct visit **at = &s->first;

	if (v == NULL || path == NULL || host == NULL) {
		free(v);
		(void)close(fd);
		return;
	}
	v->of = s;
	v->slot = (uint32_t)json_integer_value(json_object_get(of, "slot"));
	while (*at != NULL && (*at)->slot < v->slot)
		at = &(*at)->next;
	v->next = *at;
	*at = v;
	httpanswer_init(&v->http, false);
	buffer_init(&v->body, ANSWER_MAX);
	ev_io_init(&v->io, on_answer, fd, EV_READ);
	v->io.data = v;
	s->count++;
	s->open++;
	s->web->scrape_at = nsec_min(clock_now() + SCRAPE_WAIT, s->since + SCRAPE_MAX);
	if (send_request(fd, path, host, (size_t)sent) == -1)
		end_visit(v, "it closed the connection");
	else
		ev_io_start(s->web->loop, &v->io);
}

/* ---- a scrape ---- */

static void free_scrape(struct scrape *s)
{
	struct visit *next;

	for (struct visit *v = s->first; v != NULL; v = next) {
		next = v->next;
		ev_io_stop(s->web->loop, &v->io);
		(void)close(v->io.fd);
		buffer_fini(&v->body);
		free(v);
	}
	json_decref(s->result);
	free(s);
}

static bool is_waiting(const struct guest *g)
{
	return g->phase == GUEST_WAITS && g->page->wants == WANTS_WORKERS && g->answer == NULL &&
		g->question != UINT32_MAX;
}

static void finish_scrape(struct scrape *s)
{
	struct web *web = s->web;
	nsec_t took = clock_now() - s->since;
	struct answer *a = make_answer(s);

	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		struct guest *g = &web->guests[i];

		if (is_waiting(g) && strcmp(g->cluster, s->cluster) == 0)
			request_wake(web, g, a);
	}
	answer_unref(web, a);
	free_scrape(s);
	web->scrape = NULL;
	/* workers have other work, too */
	took *= GAP_FACTOR;
	web->scrape_at = clock_now() + (took > GAP ? nsec_min(took, GAP_MOST) : GAP);
}

static void look_if_over(struct scrape *s)
{
	if (s->all_sent && s->open == 0)
		finish_scrape(s);
}

/* Begin a scrape for the guest that has waited longest. */
static void begin_scrape(struct web *web)
{
	const struct guest *oldest = NULL;
	struct control_request request = {.method = METHOD_ASK, .first = 'G'};
	struct scrape *s;

	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		const struct guest *g = &web->guests[i];

		if (is_waiting(g) && (oldest == NULL || g->since < oldest->since))
			oldest = g;
	}
	if (oldest == NULL || web->scrape != NULL || web->workers.under_way || web->scrape_at != 0)
		return;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return;
	s->web = web;
	s->since = clock_now();
	text_copy(s->cluster, sizeof(s->cluster), oldest->cluster);
	text_copy(request.target, sizeof(request.target), oldest->cluster);
	web->scrape = s;
	web->scrape_at = s->since + SCRAPE_WAIT;
	ask_send(&web->workers, request);
}

void scrape_look(struct web *web)
{
	struct scrape *s = web->scrape;

	for (struct visit *v = s != NULL ? s->first : NULL; v != NULL; v = v->next)
		if (!v->over)
			end_visit(v, "it did not answer in time");
	if (s != NULL)
		finish_scrape(s);
	else
		begin_scrape(web);
}

bool scrape_is_full(const struct web *web)
{
	unsigned count = 0;

	for (unsigned i = 0; i < GUESTS_MAX; i++)
		count += is_waiting(&web->guests[i]);
	return count >= SCRAPE_GUESTS_MAX;
}

void scrape_want(struct web *web, struct guest *g, const char *cluster)
{
	text_copy(g->cluster, sizeof(g->cluster), cluster);
	begin_scrape(web);
}

/* ---- what nclust says ---- */

static void on_worker(void *context, const char *json, size_t len)
{
	struct web *web = context;
	int fd = fd_release(&web->workers.passed);
	json_t *of = json_loadb(json, len, 0, NULL);

	if (fd != -1 && web->scrape != NULL && of != NULL)
		begin_visit(web->scrape, fd, of);
	else
		fd_close(&fd);
	json_decref(of);
}

static void on_all(void *context, const char *json, size_t len)
{
	struct web *web = context;
	struct scrape *s = web->scrape;

	if (s == NULL) {
		begin_scrape(web); /* a late connection was for a scrape that is over */
		return;
	}
	s->all_sent = true;
	s->result = json_loadb(json, len, 0, NULL);
	look_if_over(s);
}

void scrape_init(struct web *web, int channel)
{
	ask_init(&web->workers, web->loop, channel);
	web->workers.happened = on_worker;
	web->workers.answered = on_all;
	web->workers.refused = on_all;
	web->workers.context = web;
}

void scrape_fini(struct web *web)
{
	if (web->scrape != NULL)
		free_scrape(web->scrape);
	ask_fini(&web->workers);
}
