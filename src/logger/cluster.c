/* SPDX-License-Identifier: MIT */
#include "logger/cluster.h"

#include "base/scope.h"
#include "base/text.h"
#include "logger/format.h"
#include "logger/source.h"
#include "os/descriptors.h"

#include <stdlib.h>
#include <string.h>

#define LOOK 0.25
#define REPORT_EACH 1.0

static bool is_stream(const struct route *route)
{
	return route->to == LOGWIRE_TO_PREFIX || route->to == LOGWIRE_TO_JSON;
}

struct cluster *clusters_find(const struct clusters *all, const char *name)
{
	return list_find(c, all->list, strcmp(c->name, name) == 0);
}

struct cluster *clusters_get(struct clusters *all, const char *name)
{
	struct cluster *c = clusters_find(all, name);

	if (c != NULL)
		return c;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	text_copy(c->name, sizeof(c->name), name);
	c->next = all->list;
	all->list = c;
	return c;
}

/* ---- the sinks of a cluster ---- */

static struct sink *find_sink(const struct cluster *c, const struct route *route, uint32_t slot)
{
	return list_find(o, c->sinks, o->route == route && o->slot == slot);
}

size_t cluster_routes(struct cluster *c, struct route **routes)
{
	static struct route standard = {.to = LOGWIRE_TO_PREFIX};

	*routes = c->count > 0 ? c->list : &standard;
	return c->count > 0 ? c->count : 1;
}

struct sink *cluster_sink(
	struct clusters *all, struct cluster *c, struct route *route, uint32_t slot, bool is_stderr)
{
	struct sink *o;

	if (is_stream(route))
		return all->streams[is_stderr];
	if (!route->by_slot)
		slot = 0;
	o = find_sink(c, route, slot);
	if (o != NULL)
		return o;
	o = sink_new(all, c, route, slot);
	if (o != NULL)
		sink_ask(o, LOGWIRE_ASK_OPEN);
	return o;
}

void cluster_begin(struct clusters *all, struct cluster *c, uint32_t slot)
{
	for (size_t i = 0; i < c->count; i++)
		if (!is_stream(&c->list[i]))
			(void)cluster_sink(all, c, &c->list[i], slot, false);
}

/* ---- the supervisor's requests ---- */

/* The index of the first route of that kind and name; `count`: there is none. */
static size_t find_route(const struct route *list, size_t count, const struct route *like)
{
	size_t i = 0;

	while (i < count && (list[i].to != like->to || strcmp(list[i].name, like->name) != 0))
		i++;
	return i;
}

/* Where the sink's route will be in the list that was staged: there it keeps its descriptor and
 * buffers.  NULL: nowhere, or two routes have its name (syslog twice) and this is the second. */
static struct route *next_route(struct cluster *c, const struct sink *o, size_t count)
{
	const struct route *was = o->route;
	size_t at;

	if (was == NULL)
		return NULL;
	at = find_route(c->staged, count, was);
	return at < count && &c->list[find_route(c->list, c->count, was)] == was ? &c->list[at]
										 : NULL;
}

static void put_in_force(struct clusters *all, struct cluster *c, size_t count)
{
	for (struct sink *o = c->sinks; o != NULL; o = o->next)
		o->route = next_route(c, o, count);
	memcpy(c->list, c->staged, count * sizeof(*c->list));
	memset(c->staged, 0, sizeof(c->staged));
	c->count = count;
	c->version = ++all->versions;
	/* ask again: an nclust that was replaced has forgotten what it was asked for, and answers
	 * about the old list are ignored, because an index may mean another route now */
	for (struct sink *o = c->sinks; o != NULL; o = o->next) {
		o->ask_again = 0.;
		if (o->asked_at > 0.)
			sink_ask(o, LOGWIRE_ASK_OPEN);
	}
	for (size_t i = 0; i < count; i++)
		if (!is_stream(&c->list[i]) && !c->list[i].by_slot)
			(void)cluster_sink(all, c, &c->list[i], 0, false);
}

static void stage_route(struct clusters *all, const struct logwire_packet *p)
{
	struct cluster *c = clusters_get(all, p->cluster);

	if (c == NULL)
		return;
	if (p->which == 0) /* of a list before that did not come whole, nothing is kept */
		memset(c->staged, 0, sizeof(c->staged));
	if (p->slot > 0) {
		c->staged[p->which] = (struct route){
			.to = p->what,
			.by_slot = p->quiet != 0,
			.size = p->worker,
			.age = (ev_tstamp)p->stream,
			.facility = p->address_in_use % LOGWIRE_OLD_SYSLOG,
			.old = p->address_in_use >= LOGWIRE_OLD_SYSLOG,
			.timed = (p->flag & LOGWIRE_TIMED) != 0,
			.lacks = {(p->flag & LOGWIRE_NO_STDOUT) != 0,
				(p->flag & LOGWIRE_NO_STDERR) != 0},
		};
		text_copy(c->staged[p->which].name, sizeof(c->staged->name), p->text);
	}
	if (array_find(r, c->staged, p->slot, *r->name == '\0') == NULL) /* the list is complete */
		put_in_force(all, c, p->slot);
}

static void take_opened(
	struct clusters *all, const struct logwire_packet *p, struct fdpass_message *m)
{
	struct cluster *c = clusters_find(all, p->cluster);
	int none = -1;
	struct sink *o;

	if (c == NULL || p->which >= c->count || p->sink != c->version)
		return;
	o = find_sink(c, &c->list[p->which], p->slot);
	if (o != NULL)
		sink_opened(o, p, m->fd_count == 1 ? &m->fds[0] : &none);
}

static void reopen_files(const struct clusters *all, const char *name)
{
	const struct cluster *c = clusters_find(all, name);

	for (struct sink *o = c != NULL ? c->sinks : NULL; o != NULL; o = o->next)
		if (o->kind == SINK_FILE)
			sink_ask(o, LOGWIRE_ASK_OPEN);
}

bool clusters_take(struct clusters *all, const struct logwire_packet *p, struct fdpass_message *m)
{
	if (p->kind == LOGWIRE_ROUTE)
		stage_route(all, p);
	else if (p->kind == LOGWIRE_OPENED)
		take_opened(all, p, m);
	else if (p->kind == LOGWIRE_REOPEN)
		reopen_files(all, p->cluster);
	else
		return false;
	return true;
}

/* ---- putting ---- */

void cluster_line(struct sink *o, const struct route *route, const struct line *line)
{
	struct buffer *scratch = &o->all->scratch;
	struct sink_text put = {
		.of = line->of->cluster,
		.author = line->of->worker * 2 + line->is_stderr,
		.text = line->text,
		.len = line->len,
		.newline = line->newline,
	};

	buffer_clear(scratch);
	if (route->to == LOGWIRE_TO_JSON)
		format_json(scratch, line);
	else if (route->to == LOGWIRE_TO_JOURNAL)
		format_journal(scratch, line);
	else if (route->to == LOGWIRE_TO_SYSLOG)
		format_syslog(scratch, line, route->facility, route->old);
	if (route->to != LOGWIRE_TO_FILE) {
		put.text = scratch->data;
		put.len = scratch->len;
		put.newline = route->to == LOGWIRE_TO_JSON;
	} else if (route->timed && !line->goes_on) {
		format_time(scratch);
		put.before = scratch->data;
		put.before_len = scratch->len;
	}
	sink_put(o, &put);
}

void cluster_tell(struct sink *o, const char *text, size_t len)
{
	const struct source own = {.cluster = o->of, .slot = o->slot};
	const struct line line = {
		.of = &own,
		.is_stderr = true,
		.text = text,
		.len = len,
	};

	if (o->route != NULL)
		cluster_line(o, o->route, &line);
}

/* ---- counting ---- */

/* If the channel is full they are reported later. */
static void report_lines(
	struct clusters *all, enum logwire_kind kind, const char *name, uint64_t *lines)
{
	struct logwire_packet p = {.kind = kind, .worker = *lines};

	if (*lines == 0)
		return;
	text_copy(p.cluster, sizeof(p.cluster), name);
	if (fdpass_send(all->channel->fd, &p, sizeof(p), NULL, 0) == 0)
		*lines = 0;
}

/* Each second.  Returns whether there is something to report. */
static bool report_counts(struct clusters *all, struct cluster *c)
{
	ev_tstamp now = ev_now(all->loop);

	if (all->channel->fd == -1)
		return false;
	if (now >= c->reported + REPORT_EACH) {
		report_lines(all, LOGWIRE_DROPPED, c->name, &c->lost);
		report_lines(all, LOGWIRE_LINES, c->name, &c->read);
		c->reported = now;
	}
	return c->lost > 0 || c->read > 0;
}

/* ---- writing ---- */

/* Returns whether one is to be looked after soon. */
static bool flush_sinks(struct sink *o)
{
	bool needed = false;

	for (; o != NULL; o = o->next) {
		sink_flush(o);
		needed |= sink_needs_look(o);
	}
	return needed;
}

void cluster_flush(struct clusters *all, struct cluster *c)
{
	(void)flush_sinks(all->own);
	(void)flush_sinks(c->sinks);
}

/* Is all written that can be? */
static bool is_over(const struct sink *o)
{
	bool takes_more = o->sys == 0 && !ev_is_active(&o->writable) && o->file.fd != -1;

	return !o->writes && (sink_waiting(o) == 0 || !takes_more);
}

static void free_leaving(struct cluster *c)
{
	struct sink **at = &c->sinks;

	while (*at != NULL) {
		struct sink *o = *at;

		if (o->route != NULL || !is_over(o)) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		sink_free(o);
	}
}

void clusters_turn(struct clusters *all)
{
	struct cluster **at = &all->list;
	bool needed = flush_sinks(all->own);

	while (*at != NULL) {
		struct cluster *c = *at;
		bool unused = c->sources == 0 && c->count == 0 && *c->staged[0].name == '\0';

		for (struct sink *o = unused ? c->sinks : NULL; o != NULL; o = o->next)
			o->route = NULL;
		needed |= flush_sinks(c->sinks);
		needed |= report_counts(all, c);
		free_leaving(c);
		if (!unused || c->sinks != NULL || c->lost > 0 || c->read > 0) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		free(c);
	}
	if (needed)
		clusters_need(all);
}

static void on_look(struct ev_loop *loop UNUSED, ev_timer *timer UNUSED, int revents UNUSED)
{
	/* the turn does the rest */
}

void clusters_need(struct clusters *all)
{
	if (ev_is_active(&all->look))
		return;
	ev_timer_set(&all->look, LOOK, 0.);
	ev_timer_start(all->loop, &all->look);
}

bool clusters_are_empty(const struct clusters *all)
{
	if (list_find(o, all->own, sink_waiting(o) > 0 && o->sys == 0) != NULL)
		return false;
	for (struct cluster *c = all->list; c != NULL; c = c->next)
		if (list_find(o, c->sinks, o->route == NULL || sink_waiting(o) > 0) != NULL)
			return false;
	return true;
}

void clusters_open(struct clusters *all, int out, int err)
{
	/* two sinks with one pipe would tear each other's lines */
	bool same = descriptors_same(out, err);

	stream_open(&all->own[0], out);
	stream_open(&all->own[1], err);
	all->streams[0] = &all->own[0];
	all->streams[1] = &all->own[same ? 0 : 1];
}

void clusters_close(struct clusters *all)
{
	sink_close(&all->own[0]);
	sink_close(&all->own[1]);
}

void clusters_init(
	struct clusters *all, struct ev_loop *loop, struct offload *offload, struct ev_io *channel)
{
	all->loop = loop;
	all->offload = offload;
	all->channel = channel;
	buffer_init(&all->scratch, 0);
	sink_init(&all->own[0], all, SINK_STREAM);
	sink_init(&all->own[1], all, SINK_STREAM);
	all->own[0].next = &all->own[1];
	ev_init(&all->look, on_look);
}

void clusters_end(const struct clusters *all)
{
	for (struct cluster *c = all->list; c != NULL; c = c->next)
		for (struct sink *o = c->sinks; o != NULL; o = o->next)
			sink_tell_end(o);
}
