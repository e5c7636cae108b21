/* SPDX-License-Identifier: MIT */
#include "logger/cluster.h"

#include "base/text.h"
#include "logger/source.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a worker may write in a second and still count as writing little. */
#define QUIET_SAYS 16384
#define LOOK 0.25
#define REPORT_EACH 1.0

static bool is_stream(enum sink_kind kind)
{
	return kind == SINK_PREFIX || kind == SINK_JSON || kind == SINK_COPY;
}

struct cluster *clusters_find(const struct clusters *all, const char *name)
{
	struct cluster *c = all->list;

	while (c != NULL && strcmp(c->name, name) != 0)
		c = c->next;
	return c;
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
	c->set = -1;
	c->list[ROUTE_STANDARD] = (struct route){.kind = SINK_PREFIX, .by_slot = true};
	c->list[ROUTE_COPY] = (struct route){.kind = SINK_COPY, .by_slot = true};
	c->next = all->list;
	all->list = c;
	return c;
}

/* ---- the sinks of a cluster ---- */

/* The sink that is found becomes the first one: the next line is often for it, too. */
static struct sink *find_sink(struct cluster *c, const struct route *route, uint32_t slot)
{
	struct sink **at = &c->sinks;
	struct sink *o;

	while ((o = *at) != NULL && (o->route != route || o->slot != slot))
		at = &o->next;
	if (o == NULL)
		return NULL;
	*at = o->next;
	o->next = c->sinks;
	c->sinks = o;
	return o;
}

struct sink *cluster_sink(
	struct clusters *all, struct cluster *c, struct route *route, uint32_t slot, bool is_stderr)
{
	bool has_stream = is_stream(route->kind);
	struct sink *o;

	if (has_stream)
		slot = is_stderr && all->streams[0] != all->streams[1];
	if (!route->by_slot)
		slot = 0;
	o = find_sink(c, route, slot);
	if (o != NULL)
		return o;
	o = sink_new(all, c, route, slot, has_stream ? all->streams[slot] : NULL);
	if (o == NULL)
		return NULL;
	o->next = c->sinks;
	c->sinks = o;
	if (o->stream == NULL)
		sink_ask(o, LOGWIRE_ASK_OPEN);
	return o;
}

void cluster_begin(struct clusters *all, struct cluster *c, uint32_t slot)
{
	for (size_t i = 0; i < c->count; i++)
		if (!is_stream(c->list[i].kind))
			(void)cluster_sink(all, c, &c->list[i], slot, false);
}

/* ---- the supervisor's requests ---- */

/* The index of the first route of that kind and name; `count`: there is none. */
static size_t find_route(const struct route *list, size_t count, const struct route *like)
{
	size_t i = 0;

	while (i < count && (list[i].kind != like->kind || strcmp(list[i].name, like->name) != 0))
		i++;
	return i;
}

/* Where the sink's route will be in the list that was staged: there it keeps its descriptor and
 * buffers.  NULL: nowhere, or two routes have its name (syslog twice) and this is the second. */
static struct route *next_route(struct cluster *c, const struct sink *o, size_t count)
{
	const struct route *was = o->route;
	size_t at;

	if (was == NULL || was->name == NULL)
		return o->route;
	at = find_route(c->staged, count, was);
	return at < count && &c->list[find_route(c->list, c->count, was)] == was ? &c->list[at]
										 : NULL;
}

static void drop_routes(struct route *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i].name);
	memset(list, 0, count * sizeof(*list));
}

static void put_in_force(struct clusters *all, struct cluster *c, size_t count)
{
	for (struct sink *o = c->sinks; o != NULL; o = o->next)
		o->route = next_route(c, o, count);
	drop_routes(c->list, c->count);
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
		if (!is_stream(c->list[i].kind) && !c->list[i].by_slot)
			(void)cluster_sink(all, c, &c->list[i], 0, false);
	c->dirty = true;
	clusters_need(all);
}

static void stage_route(struct clusters *all, const struct logwire_packet *p)
{
	struct cluster *c = clusters_get(all, p->cluster);

	if (c == NULL)
		return;
	if (p->which == 0) /* of a list before that did not come whole, nothing is kept */
		drop_routes(c->staged, LOGWIRE_ROUTES_MAX);
	if (p->slot > 0)
		c->staged[p->which] = (struct route){
			.kind = (enum sink_kind)p->what,
			.by_slot = p->quiet != 0 || p->what == LOGWIRE_TO_PREFIX,
			.size = p->worker,
			.age = (ev_tstamp)p->stream,
			.facility = p->address_in_use % LOGWIRE_OLD_SYSLOG,
			.old = p->address_in_use >= LOGWIRE_OLD_SYSLOG,
			.name = strdup(p->text),
		};
	for (uint32_t i = 0; i < p->slot; i++)
		if (c->staged[i].name == NULL)
			return; /* the list is not complete yet */
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
	if (o != NULL && o->stream == NULL)
		sink_opened(o, p, m->fd_count == 1 ? &m->fds[0] : &none);
}

/* Open the cluster's files anew; `old`: the name that it had until now, or "".  If another cluster
 * has its name now, that gets the old one. */
static void reopen_files(struct clusters *all, const char *name, const char *old)
{
	struct cluster *other = *old != '\0' ? clusters_find(all, name) : NULL;
	struct cluster *c = clusters_find(all, *old != '\0' ? old : name);

	if (other != NULL)
		text_copy(other->name, sizeof(other->name), old);
	if (c == NULL)
		return;
	text_copy(c->name, sizeof(c->name), name);
	for (struct sink *o = c->sinks; o != NULL; o = o->next)
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
		reopen_files(all, p->cluster, p->text);
	else
		return false;
	return true;
}

/* ---- putting ---- */

void cluster_begin_lines(struct clusters *all, struct source_pipe *pipe, size_t len)
{
	if (ev_now(all->loop) >= pipe->second + 1.) {
		pipe->second = ev_now(all->loop);
		pipe->said = 0;
	}
	pipe->said += len;
	all->is_quiet = pipe->said <= QUIET_SAYS;
}

static void put_bytes(struct sink *o, const struct line *line)
{
	const struct sink_text put = {
		.author = line->of->worker * 2 + line->is_stderr,
		.text = line->text,
		.len = line->len,
		.newline = line->newline,
	};

	sink_put(o, &put);
}

void cluster_line(struct sink *o, const struct line *line)
{
	struct buffer *scratch = &o->all->scratch;
	struct sink_text put = {.newline = o->kind == SINK_JSON};

	if (o->kind == SINK_FILE) {
		put_bytes(o, line);
		return;
	}
	buffer_clear(scratch);
	if (o->kind == SINK_JSON)
		format_json(scratch, line);
	else if (o->kind == SINK_JOURNAL)
		format_journal(scratch, line);
	else
		format_syslog(scratch, line, o->route->facility, o->route->old);
	put.text = scratch->data;
	put.len = scratch->len;
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
		cluster_line(o, &line);
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

bool cluster_flush(struct cluster *c, size_t enough)
{
	bool full = false;

	for (struct sink *o = c->sinks; o != NULL; o = o->next) {
		if (sink_waiting(o) >= enough)
			sink_flush(o);
		full |= sink_is_full(o);
	}
	return !full;
}

/* Is all written that can be? */
static bool is_over(const struct sink *o)
{
	bool takes_more = o->sys == 0 && !ev_is_active(&o->writable) &&
		(o->stream != NULL || o->file.fd != -1);

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

void cluster_settle(struct cluster *c)
{
	c->dirty = false;
	c->paused = !cluster_flush(c, 0);
	free_leaving(c);
}

/* Watch the cluster's pipes, or do not, as it is read or not. */
static void watch_cluster(const struct clusters *all, struct cluster *c)
{
	if (c->set == -1)
		return;
	if (c->paused)
		ev_io_stop(all->loop, &c->readable);
	else
		ev_io_start(all->loop, &c->readable);
}

static void free_cluster(const struct clusters *all, struct cluster *c)
{
	if (c->set != -1) {
		ev_io_stop(all->loop, &c->readable);
		(void)close(c->set);
	}
	drop_routes(c->list, c->count);
	drop_routes(c->staged, LOGWIRE_ROUTES_MAX);
	free(c);
}

void clusters_turn(struct clusters *all)
{
	struct cluster **at = &all->list;

	while (*at != NULL) {
		struct cluster *c = *at;
		bool unused = c->sources == 0 && c->count == 0 && c->staged[0].name == NULL;

		for (struct sink *o = unused ? c->sinks : NULL; o != NULL; o = o->next)
			o->route = NULL;
		if (c->dirty || c->paused || unused)
			cluster_settle(c);
		if (!unused || c->sinks != NULL || c->lost > 0 || c->read > 0) {
			watch_cluster(all, c);
			at = &c->next;
			continue;
		}
		*at = c->next;
		free_cluster(all, c);
	}
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct clusters *all = timer->data;
	bool needed = false;

	(void)revents;
	for (struct cluster *c = all->list; c != NULL; c = c->next) {
		needed |= report_counts(all, c);
		for (struct sink *o = c->sinks; o != NULL; o = o->next)
			needed |= sink_needs_look(o);
		c->dirty = true;
	}
	if (!needed)
		ev_timer_stop(loop, timer);
}

void clusters_need(struct clusters *all)
{
	if (!ev_is_active(&all->look))
		ev_timer_again(all->loop, &all->look);
}

bool clusters_are_empty(const struct clusters *all)
{
	for (struct cluster *c = all->list; c != NULL; c = c->next)
		for (struct sink *o = c->sinks; o != NULL; o = o->next)
			if (o->route == NULL ||
				(sink_waiting(o) > 0 && (o->stream == NULL || o->sys == 0)))
				return false;
	return true;
}

void clusters_init(
	struct clusters *all, struct ev_loop *loop, struct offload *offload, struct ev_io *channel)
{
	all->loop = loop;
	all->offload = offload;
	all->channel = channel;
	buffer_init(&all->scratch, 0);
	ev_init(&all->look, on_look);
	all->look.repeat = LOOK;
	all->look.data = all;
}

void clusters_fini(struct clusters *all)
{
	while (all->list != NULL) {
		struct cluster *c = all->list;
		struct sink *next;

		all->list = c->next;
		for (struct sink *o = c->sinks; o != NULL; o = next) {
			next = o->next;
			if (o->writes) /* a thread uses it, and the cluster */
				sink_tell_end(o);
			else
				sink_free(o);
		}
		if (c->writes == 0)
			free_cluster(all, c);
	}
	ev_timer_stop(all->loop, &all->look);
	buffer_fini(&all->scratch);
}
