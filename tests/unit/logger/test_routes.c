/* SPDX-License-Identifier: MIT */
#include "../unit.h"

/* The files and daemons among the sinks: what waits for them, and what is lost. */
#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "logger/drops.h"
#include "logger/route.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ev_loop *loop;
static struct offload offload;
static struct ev_io channel;
static int supervisor;
static struct drops drops;
static struct routes routes;
static struct source_table sources;
static int said; /* nclust's own lines */

static void goes_on(void *owner, const struct offload_call *call)
{
	(void)owner;
	outlet_goes_on(call->about, call);
}

/* All that can be written is. */
static void turn(void)
{
	routes_turn(&routes);
	while (offload.stuck > 0) {
		(void)ev_run(loop, EVRUN_ONCE);
		routes_turn(&routes);
	}
}

static void no_pause(void *owner, const char *cluster, bool paused)
{
	(void)owner;
	(void)cluster;
	(void)paused;
}

static void setup(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	supervisor = pair[0];
	loop = ev_loop_new(EVFLAG_AUTO);
	offload.goes_on = goes_on;
	ck_assert_int_eq(offload_init(&offload, loop), 0);
	ev_io_init(&channel, NULL, pair[1], EV_READ);
	drops_init(&drops, loop, pair[1]);
	routes_init(&routes, loop, &offload, &channel);
	routes.drops = &drops;
	routes.pause = no_pause;
	ck_assert_int_eq(pipe2(pair, O_NONBLOCK), 0);
	said = pair[0];
	log_to(pair[1], "", LOG_NOTE);
}

static void teardown(void)
{
	while (sources.count > 0)
		source_free(&sources, sources.list[0]);
	free(sources.list);
	routes_fini(&routes);
	drops_fini(&drops);
	ev_loop_destroy(loop);
}

static void take(const struct logwire_packet *p, int fd)
{
	struct fdpass_message m = {.fds = {fd}, .fd_count = fd != -1};

	ck_assert(logwire_check(p, sizeof(*p)));
	ck_assert(routes_take(&routes, p, &m));
}

/* A cluster whose workers write to a FIFO each. */
static struct routing *route(const char *cluster)
{
	struct logwire_packet p = {
		.kind = LOGWIRE_ROUTE,
		.slot = 1,
		.what = LOGWIRE_TO_FILE,
		.quiet = 1,
		.text = "fifo-{slot}",
	};

	(void)text_copy(p.cluster, sizeof(p.cluster), cluster);
	take(&p, -1);
	return routes_of(&routes, cluster);
}

static struct source_pipe *worker(struct routing *g, uint32_t slot)
{
	struct source *s = source_get(&sources, sources.count, slot, g->cluster);

	s->group->routing = g;
	routes_begin(&routes, g, slot);
	return &s->pipes[0];
}

/* What was asked for comes: a pipe; its other end. */
static int open_pipe(const struct routing *g, uint32_t slot)
{
	struct logwire_packet p = {
		.kind = LOGWIRE_OPENED,
		.slot = slot,
		.sink = g->version,
		.text = "0 0 0",
	};
	int pair[2];

	(void)text_copy(p.cluster, sizeof(p.cluster), g->cluster);
	ck_assert_int_eq(pipe2(pair, O_NONBLOCK), 0);
	take(&p, pair[1]);
	return pair[0];
}

static void put_lines(struct source_pipe *pipe, unsigned kib)
{
	char line[1024];

	(void)memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (unsigned i = 0; i < kib; i++) {
		routes_put(&routes, pipe, line, sizeof(line));
		if (!routes_flush_enough(&routes, pipe->source->group->routing))
			ev_now_update(loop);
	}
	turn();
}

static unsigned long dropped(const char *cluster)
{
	struct drops_of *of = drops.list;

	while (of != NULL && strcmp(of->cluster, cluster) != 0)
		of = of->next;
	return of != NULL ? of->lines : 0;
}

FIXTURE(setup, teardown)

TEST(many_that_take_nothing_have_a_common_bound_of_memory)
{
	struct routing *g = route("web");
	struct routing *good = route("good");
	struct source_pipe *other = worker(good, 0);
	int end = open_pipe(good, 0);
	static char data[65536];

	for (uint32_t slot = 0; slot < 300; slot++) {
		struct source_pipe *pipe = worker(g, slot);

		put_lines(pipe, 300);
	}
	ck_assert_uint_gt(dropped("web"), 0);
	ck_assert_uint_gt(routes.memory, OUTLETS_MOST / 4);
	ck_assert_uint_le(routes.memory, OUTLETS_MOST / 2 + 301 * OUTLET_LEAST);
	/* … and one that does has what it needs */
	for (int i = 0; i < 100; i++) {
		put_lines(other, 16);
		while (read(end, data, sizeof(data)) > 0)
			;
	}
	ck_assert_uint_eq(dropped("good"), 0);
}

TEST(a_cluster_that_is_stuck_leaves_room_for_a_long_line_of_another)
{
	struct routing *g = route("web");
	struct routing *good = route("good");
	struct source_pipe *other = worker(good, 0);
	int end = open_pipe(good, 0);
	static char data[256 * 1024];
	static char got[65536];

	for (uint32_t slot = 0; slot < 100; slot++)
		put_lines(worker(g, slot), 300);
	ck_assert_uint_gt(dropped("web"), 0);
	(void)memset(data, 'x', sizeof(data));
	data[sizeof(data) - 1] = '\n';
	for (int i = 0; i < 3; i++) {
		routes_put(&routes, other, data, sizeof(data));
		turn();
		while (outlet_waiting(good->list[0].outlets) > 0 &&
			read(end, got, sizeof(got)) > 0) {
			ev_io_stop(loop, &good->list[0].outlets->writable);
			outlet_flush(good->list[0].outlets);
			turn();
		}
		while (read(end, got, sizeof(got)) > 0)
			;
	}
	ck_assert_uint_eq(dropped("good"), 0);
}

TEST(clusters_that_are_removed_are_forgotten)
{
	struct routing *kept = route("kept");
	struct logwire_packet none = {.kind = LOGWIRE_ROUTE};

	for (int i = 0; i < 10; i++) {
		(void)snprintf(none.cluster, sizeof(none.cluster), "web%d", i);
		(void)route(none.cluster);
		(void)drops_of(&drops, none.cluster);
		take(&none, -1);
	}
	/* its workers still write */
	routes_of(&routes, "web5")->used = true;
	drops_of(&drops, "web5")->used = true;
	routes_turn(&routes);
	routes_sweep(&routes);
	drops_sweep(&drops);
	ck_assert_ptr_eq(routes.list->next, kept);
	ck_assert_ptr_null(kept->next);
	ck_assert_str_eq(routes.list->cluster, "web5");
	ck_assert_ptr_null(drops.list->next);
	routes_sweep(&routes);
	drops_sweep(&drops);
	ck_assert_ptr_eq(routes.list, kept);
	ck_assert_ptr_null(drops.list);
}

TEST(unfinished_lines_of_others_do_not_break_one)
{
	struct routing *g = route("web");
	struct routing *two = route("two");
	static char half[256 * 1024];
	struct source_pipe *pipe;

	(void)memset(half, 'x', sizeof(half));
	for (uint32_t slot = 0; slot < 10; slot++)
		routes_put(&routes, worker(g, slot), half, sizeof(half));
	/* of another cluster: as if there were none */
	pipe = worker(two, 0);
	routes_put(&routes, pipe, half, sizeof(half));
	ck_assert_uint_eq(pipe->rest.len, sizeof(half));
	/* of the same one: something */
	pipe = worker(g, 10);
	routes_put(&routes, pipe, half, 16 * 1024);
	ck_assert_uint_eq(pipe->rest.len, 16 * 1024);
}

TEST(what_a_place_that_is_gone_did_not_take_is_counted_and_told)
{
	struct routing *g = route("web");
	struct logwire_packet none = {.kind = LOGWIRE_ROUTE, .cluster = "web"};
	char text[1024] = "";

	(void)open_pipe(g, 0);
	put_lines(worker(g, 0), 100);
	(void)open_pipe(g, 0);
	turn();
	take(&none, -1);
	turn();
	ck_assert_ptr_null(routes.leaving);
	ck_assert_uint_eq(dropped("web"), 36);
	ck_assert_int_gt(read(said, text, sizeof(text) - 1), 0);
	ck_assert_ptr_nonnull(strstr(text, "web: 36 lines of output were dropped"));
}
