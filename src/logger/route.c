/* SPDX-License-Identifier: MIT */
#include "logger/route.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* A line up to this length is not mixed with others; and all of a cluster. */
#define REST_MOST ((size_t)256 * 1024)
#define RESTS_MOST ((size_t)1024 * 1024)
#define ENOUGH ((size_t)32 * 1024)
#define LOOK 0.25

/* For each outlet of a cluster. */
#define EACH_OUTLET(g, route, o) \
	for (struct route *route = (g)->list; route < (g)->list + (g)->count; route++) \
		for (struct outlet *o = route->outlets; o != NULL; o = o->next)

static bool is_block(const struct route *route)
{
	return route->kind == LOGWIRE_TO_FILE;
}

static bool has_outlet(const struct route *route)
{
	return route->kind >= LOGWIRE_TO_FILE;
}

struct routing *routes_of(const struct routes *r, const char *cluster)
{
	struct routing *g = r->list;

	while (g != NULL && strcmp(g->cluster, cluster) != 0)
		g = g->next;
	return g;
}

/* ---- outlets ---- */

static struct outlet *find(const struct route *route, uint32_t slot)
{
	struct outlet *o = route->outlets;

	while (o != NULL && route->by_slot && o->slot != slot)
		o = o->next;
	return o;
}

static void adjust(struct outlet *o, const struct route *route, size_t index)
{
	o->index = (uint32_t)index;
	o->name = route->name;
	o->size_max = route->size;
	o->age_max = route->age;
}

static struct outlet *get(struct routes *r, struct routing *g, struct route *route, uint32_t slot)
{
	struct outlet *o = find(route, slot);
	size_t index = (size_t)(route - g->list);

	if (o != NULL)
		return o;
	o = outlet_new(r, g, (uint32_t)index, route->by_slot ? slot : 0, route->kind, route->name);
	if (o == NULL)
		return NULL;
	adjust(o, route, index);
	o->next = route->outlets;
	route->outlets = o;
	outlet_ask(o, LOGWIRE_ASK_OPEN);
	return o;
}

void routes_begin(struct routes *r, struct routing *g, uint32_t slot)
{
	for (size_t i = 0; i < g->count; i++)
		if (has_outlet(&g->list[i]))
			(void)get(r, g, &g->list[i], slot);
}

/* ---- what the supervisor says ---- */

static void clear(struct routes *r, struct route *route)
{
	while (route->outlets != NULL) {
		struct outlet *o = route->outlets;

		route->outlets = o->next;
		o->leaving = true;
		o->name = "";
		o->next = r->leaving;
		r->leaving = o;
	}
	free(route->name);
	*route = (struct route){0};
}

/* What is the same as before keeps its descriptors and what waits there. */
static void inherit(struct routing *g, struct route *route)
{
	for (size_t i = 0; i < g->count; i++) {
		struct route *old = &g->list[i];

		if (old->name == NULL || old->kind != route->kind ||
			strcmp(old->name, route->name) != 0)
			continue;
		route->outlets = old->outlets;
		old->outlets = NULL;
		return;
	}
}

/* An nclust that was replaced has forgotten what it was asked for, and an answer to
 * what was asked before is not taken: the file may be there under another name. */
static void adjust_and_ask(struct outlet *o, const struct route *route, size_t index)
{
	bool asked = o->asked;

	adjust(o, route, index);
	o->asked = false;
	o->ask_again = 0.;
	if (asked)
		outlet_ask(o, LOGWIRE_ASK_OPEN);
}

static void put_in_force(struct routes *r, struct routing *g, size_t count)
{
	for (size_t i = 0; i < count; i++)
		inherit(g, &g->staged[i]);
	for (size_t i = 0; i < g->count; i++)
		clear(r, &g->list[i]);
	(void)memcpy(g->list, g->staged, sizeof(g->list));
	(void)memset(g->staged, 0, sizeof(g->staged));
	g->count = count;
	g->version = ++r->versions;
	g->by_line = false;
	g->by_block = false;
	for (size_t i = 0; i < count; i++) {
		struct route *route = &g->list[i];

		g->by_block |= is_block(route);
		g->by_line |= !is_block(route);
		for (struct outlet *o = route->outlets; o != NULL; o = o->next)
			adjust_and_ask(o, route, i);
		if (has_outlet(route) && !route->by_slot)
			(void)get(r, g, route, 0);
	}
	g->dirty = true;
	routes_need(r);
}

static struct routing *make(struct routes *r, const char *cluster)
{
	struct routing *g = routes_of(r, cluster);

	if (g != NULL)
		return g;
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return NULL;
	(void)text_copy(g->cluster, sizeof(g->cluster), cluster);
	g->next = r->list;
	r->list = g;
	return g;
}

static void stage(struct routes *r, const struct logwire_packet *p)
{
	struct routing *g = make(r, p->cluster);
	struct route *route;

	if (g == NULL)
		return;
	if (p->slot == 0) {
		put_in_force(r, g, 0);
		return;
	}
	route = &g->staged[p->which];
	free(route->name);
	*route = (struct route){
		.kind = (enum logwire_to)p->what,
		.by_slot = p->quiet != 0,
		.size = p->worker,
		.age = (ev_tstamp)p->stream,
		.facility = p->address_in_use % LOGWIRE_OLD_SYSLOG,
		.old = p->address_in_use >= LOGWIRE_OLD_SYSLOG,
		.name = strdup(p->text),
	};
	for (uint32_t i = 0; i < p->slot; i++)
		if (g->staged[i].name == NULL)
			return; /* more are to come */
	put_in_force(r, g, p->slot);
}

static void opened(struct routes *r, const struct logwire_packet *p, struct fdpass_message *m)
{
	struct routing *g = routes_of(r, p->cluster);
	int none = -1;
	struct outlet *o = NULL;

	if (g != NULL && p->which < g->count && p->sink == g->version)
		o = g->list[p->which].outlets;
	while (o != NULL && o->slot != p->slot)
		o = o->next;
	if (o != NULL)
		outlet_opened(o, p, m->fd_count == 1 ? &m->fds[0] : &none);
}

static void reopen(struct routes *r, const char *cluster)
{
	struct routing *g = routes_of(r, cluster);

	if (g == NULL)
		return;
	EACH_OUTLET(g, route, o)
	{
		if (!is_block(route))
			continue;
		o->asked = false;
		outlet_ask(o, LOGWIRE_ASK_OPEN);
	}
}

void routes_rename(struct routes *r, const char *from, const char *to)
{
	struct routing *g = routes_of(r, from);
	struct routing *before = routes_of(r, to);

	if (before != NULL)
		(void)text_copy(before->cluster, sizeof(g->cluster), from);
	if (g != NULL)
		(void)text_copy(g->cluster, sizeof(g->cluster), to);
}

void routes_forget_asked(struct routes *r)
{
	for (struct routing *g = r->list; g != NULL; g = g->next)
		EACH_OUTLET(g, route, o)
		{
			if (o->asked)
				o->ask_again = 0.;
			o->asked = false;
		}
	routes_need(r);
}

bool routes_take(struct routes *r, const struct logwire_packet *p, struct fdpass_message *m)
{
	if (p->kind == LOGWIRE_ROUTE)
		stage(r, p);
	else if (p->kind == LOGWIRE_OPENED)
		opened(r, p, m);
	else if (p->kind == LOGWIRE_REOPEN)
		reopen(r, p->cluster);
	else
		return false;
	return true;
}

/* ---- putting ---- */

static void put_block(struct routes *r, struct source_pipe *pipe, const char *data, size_t len)
{
	struct source *source = pipe->source;
	struct routing *g = source->group->routing;
	uint64_t author = source->worker * 2 + (uint64_t)(pipe - source->pipes);

	for (size_t i = 0; i < g->count; i++) {
		struct outlet *o;

		if (!is_block(&g->list[i]))
			continue;
		o = get(r, g, &g->list[i], source->slot);
		if (o == NULL)
			continue;
		outlet_put(o, author, pipe->rest.data, pipe->rest.len);
		outlet_put(o, author, data, len);
	}
	g->resting -= pipe->rest.len;
	buffer_fini(&pipe->rest);
	g->dirty = true;
}

/* May the pipe have so much?  Not more than half of what the cluster's others leave:
 * so there is always some for one more. */
static bool may_rest(const struct routing *g, const struct source_pipe *pipe, size_t more)
{
	size_t len = pipe->rest.len + more;
	size_t others = g->resting - pipe->rest.len;

	return len <= REST_MOST && len <= (RESTS_MOST - others) / 2;
}

void routes_put(struct routes *r, struct source_pipe *pipe, const char *data, size_t len)
{
	const char *end = memrchr(data, '\n', len);
	size_t whole = end != NULL ? (size_t)(end - data) + 1 : 0;
	size_t left = len - whole;
	struct routing *g = pipe->source->group->routing;

	if (!g->by_block)
		return;
	if (whole > 0)
		put_block(r, pipe, data, whole);
	if (left == 0)
		return;
	if (!may_rest(g, pipe, left) || buffer_append(&pipe->rest, data + whole, left) == -1) {
		put_block(r, pipe, data + whole, left);
		return;
	}
	g->resting += left;
}

void routes_end(struct routes *r, struct source_pipe *pipe)
{
	struct routing *g = pipe->source->group->routing;

	if (pipe->rest.len == 0)
		return;
	if (g->by_block) {
		put_block(r, pipe, NULL, 0);
		return;
	}
	g->resting -= pipe->rest.len;
	buffer_fini(&pipe->rest);
}

static void format(struct routes *r, const struct route *route, const struct format_line *line)
{
	buffer_clear(&r->scratch);
	if (route->kind == LOGWIRE_TO_JOURNAL)
		format_journal(&r->scratch, line);
	else
		format_syslog(&r->scratch, line, route->facility, route->old);
}

void routes_line(struct routes *r, struct routing *g, const struct format_line *line)
{
	for (size_t i = 0; i < g->count; i++) {
		struct route *route = &g->list[i];
		struct outlet *o;

		if (!has_outlet(route) || is_block(route))
			continue;
		o = get(r, g, route, line->slot);
		if (o == NULL)
			continue;
		format(r, route, line);
		outlet_send(o, r->scratch.data, r->scratch.len);
		g->dirty = true;
	}
}

void route_tell(struct outlet *o, const char *text, size_t len)
{
	struct routing *g = o->of;
	const struct format_line line = {
		.cluster = g->cluster,
		.is_stderr = true,
		.text = text,
		.len = len,
	};

	if (o->leaving)
		return;
	format(o->routes, &g->list[o->index], &line);
	outlet_send(o, o->routes->scratch.data, o->routes->scratch.len);
	g->dirty = true;
}

/* ---- writing ---- */

/* Half of what the others leave: so there is always some for one more. */
size_t routes_share_of(const struct routes *r, const struct routing *g)
{
	size_t others = r->memory - g->memory;

	return others < OUTLETS_MOST ? (OUTLETS_MOST - others) / 2 : 0;
}

bool routes_are_tight(const struct routes *r, const struct routing *g)
{
	size_t share = routes_share_of(r, g);

	return g->memory > share - share / 8;
}

bool routes_flush_enough(struct routes *r, struct routing *g)
{
	size_t enough = routes_are_tight(r, g) ? 1 : ENOUGH;
	bool full = false;

	EACH_OUTLET(g, route, o)
	{
		if (outlet_waiting(o) >= enough)
			outlet_flush(o);
		full |= outlet_is_full(o);
	}
	return !full;
}

bool routes_have_room(struct routing *g)
{
	EACH_OUTLET(g, route, o)
	{
		if (outlet_is_full(o))
			return false;
	}
	return true;
}

static void let_go(struct routes *r)
{
	struct outlet **at = &r->leaving;

	while (*at != NULL) {
		struct outlet *o = *at;

		if (!o->writes)
			outlet_flush(o);
		if (o->writes ||
			(o->fd != -1 && outlet_waiting(o) > 0 && o->sys == 0 &&
				!ev_is_active(&o->writable))) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		outlet_free(o);
	}
}

bool routes_share(const struct outlet *one)
{
	for (struct routing *g = one->routes->list; g != NULL; g = g->next)
		EACH_OUTLET(g, route, o)
		{
			if (o != one && o->is_file && o->dev == one->dev && o->inode == one->inode)
				return true;
		}
	return false;
}

bool routes_may_write(const struct outlet *o)
{
	return o->of->writes < OFFLOAD_OF_ONE && o->routes->offload->stuck < OFFLOAD_MOST / 2;
}

static void settle(struct routes *r, struct routing *g)
{
	bool full = false;

	EACH_OUTLET(g, route, o)
	{
		outlet_flush(o);
		full |= outlet_is_full(o);
	}
	g->dirty = false;
	if (full == g->paused)
		return;
	g->paused = full;
	r->pause(r->owner, g->cluster, full);
}

void routes_turn(struct routes *r)
{
	for (struct routing *g = r->list; g != NULL; g = g->next)
		if (g->dirty || g->paused)
			settle(r, g);
	if (r->leaving != NULL)
		let_go(r);
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct routes *r = timer->data;
	bool needed = false;

	(void)revents;
	for (struct routing *g = r->list; g != NULL; g = g->next) {
		needed |= g->paused;
		EACH_OUTLET(g, route, o)
		{
			needed |= outlet_look(o);
		}
	}
	if (!needed && r->leaving == NULL)
		ev_timer_stop(loop, timer);
}

void routes_need(struct routes *r)
{
	if (!ev_is_active(&r->look))
		ev_timer_again(r->loop, &r->look);
}

bool routes_are_empty(const struct routes *r)
{
	for (struct routing *g = r->list; g != NULL; g = g->next)
		EACH_OUTLET(g, route, o)
		{
			if (outlet_waiting(o) > 0)
				return false;
		}
	return r->leaving == NULL;
}

/* ---- life ---- */

void routes_init(
	struct routes *r, struct ev_loop *loop, struct offload *offload, struct ev_io *channel)
{
	*r = (struct routes){.loop = loop, .offload = offload, .channel = channel};
	buffer_init(&r->scratch, 0);
	ev_init(&r->look, on_look);
	r->look.repeat = LOOK;
	r->look.data = r;
}

static void free_first(struct routing **at)
{
	struct routing *g = *at;

	*at = g->next;
	for (size_t i = 0; i < LOGWIRE_ROUTES_MAX; i++)
		free(g->staged[i].name);
	free(g);
}

void routes_sweep(struct routes *r)
{
	struct routing **at = &r->list;

	for (struct outlet *o = r->leaving; o != NULL; o = o->next)
		o->of->used = true;
	while (*at != NULL) {
		struct routing *g = *at;

		if (!g->used && g->count == 0 && !g->paused) {
			free_first(at);
			continue;
		}
		g->used = false;
		at = &g->next;
	}
}

void routes_fini(struct routes *r)
{
	bool used = false;

	for (struct routing *g = r->list; g != NULL; g = g->next)
		for (size_t i = 0; i < g->count; i++)
			clear(r, &g->list[i]);
	while (r->leaving != NULL) {
		struct outlet *o = r->leaving;

		r->leaving = o->next;
		used |= o->writes; /* a thread does, and what it is of */
		if (!o->writes)
			outlet_free(o);
	}
	while (!used && r->list != NULL)
		free_first(&r->list);
	ev_timer_stop(r->loop, &r->look);
	buffer_fini(&r->scratch);
}
