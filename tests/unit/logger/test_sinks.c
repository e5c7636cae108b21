/* SPDX-License-Identifier: MIT */
#include "../unit.h"

/* Sinks: what waits for them, who waits, and what is lost. */
#include "base/log.h"
#include "base/text.h"
#include "logger/cluster.h"
#include "logger/source.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ev_loop *loop;
static struct offload offload;
static struct ev_io channel;
static int supervisor;
static struct clusters clusters;
static struct sink *const stream = &clusters.own[0];
static struct source *sources;
static uint64_t workers;
static int said; /* nclust's own lines */

/* All that can be written is. */
static void turn(void)
{
	clusters_turn(&clusters);
	while (offload.busy > 0) {
		(void)ev_run(loop, EVRUN_ONCE);
		clusters_turn(&clusters);
	}
}

static void setup(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	supervisor = pair[0];
	loop = ev_loop_new(EVFLAG_AUTO);
	offload_init(&offload, loop);
	ev_io_init(&channel, NULL, pair[1], EV_READ);
	clusters_init(&clusters, loop, &offload, &channel);
	(void)signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe2(pair, O_NONBLOCK), 0);
	said = pair[0];
	log_to(pair[1], "", LOG_NOTE);
}

static void teardown(void)
{
	ev_loop_destroy(loop);
}

static void take(const struct logwire_packet *p, int fd)
{
	struct fdpass_message m = {.fds = {fd}, .fd_count = fd != -1};

	ck_assert(logwire_check(p, sizeof(*p)));
	ck_assert(clusters_take(&clusters, p, &m));
}

/* A cluster whose workers write to a FIFO each. */
static struct cluster *route(const char *cluster)
{
	struct logwire_packet p = {
		.kind = LOGWIRE_ROUTE,
		.slot = 1,
		.what = LOGWIRE_TO_FILE,
		.quiet = 1,
		.text = "fifo-{slot}",
	};

	text_copy(p.cluster, sizeof(p.cluster), cluster);
	take(&p, -1);
	return clusters_find(&clusters, cluster);
}

static struct source_pipe *worker(struct cluster *g, uint32_t slot)
{
	struct source *s = source_get(&sources, &clusters, ++workers, slot, g->name);

	cluster_begin(&clusters, g, slot);
	return &s->pipes[0];
}

/* What was asked for comes: a pipe; its other end. */
static int open_pipe(const struct cluster *g, uint32_t slot)
{
	struct logwire_packet p = {
		.kind = LOGWIRE_OPENED,
		.slot = slot,
		.sink = g->version,
		.text = "0 0 0",
	};
	int pair[2];

	text_copy(p.cluster, sizeof(p.cluster), g->name);
	ck_assert_int_eq(pipe2(pair, O_NONBLOCK), 0);
	take(&p, pair[1]);
	return pair[0];
}

static void put_text(struct source_pipe *pipe, const char *text, size_t len, bool newline)
{
	struct cluster *c = pipe->source->cluster;
	const struct sink_text put = {
		.of = c,
		.author = pipe->source->worker * 2,
		.text = text,
		.len = len,
		.newline = newline,
	};

	sink_put(cluster_sink(&clusters, c, &c->list[0], pipe->source->slot, false), &put);
}

/* So many lines of 1 KiB, for the worker's file. */
static void put_lines(struct source_pipe *pipe, unsigned kib)
{
	struct cluster *c = pipe->source->cluster;
	char line[1023];

	memset(line, 'x', sizeof(line));
	for (unsigned i = 0; i < kib; i++) {
		put_text(pipe, line, sizeof(line), true);
		if (sink_is_full(
			    cluster_sink(&clusters, c, &c->list[0], pipe->source->slot, false)))
			ev_now_update(loop);
	}
	turn();
}

static unsigned long dropped(const char *cluster)
{
	return clusters_find(&clusters, cluster)->lost;
}

FIXTURE(setup, teardown)

TEST(clusters_that_are_removed_are_forgotten)
{
	struct cluster *kept = route("kept");
	struct logwire_packet none = {.kind = LOGWIRE_ROUTE};

	for (int i = 0; i < 10; i++) {
		snprintf(none.cluster, sizeof(none.cluster), "web%d", i);
		(void)route(none.cluster);
		if (i == 5) /* its worker still writes */
			(void)worker(clusters_find(&clusters, none.cluster), 0);
		take(&none, -1);
	}
	turn();
	ck_assert_str_eq(clusters.list->name, "web5");
	ck_assert_ptr_eq(clusters.list->next, kept);
	ck_assert_ptr_null(kept->next);
	source_free(&sources, sources);
	turn();
	ck_assert_ptr_eq(clusters.list, kept);
}

static void take_route(uint32_t which, uint32_t count, const char *name)
{
	struct logwire_packet p = {
		.kind = LOGWIRE_ROUTE,
		.which = which,
		.slot = count,
		.what = LOGWIRE_TO_FILE,
		.cluster = "web",
	};

	text_copy(p.text, sizeof(p.text), name);
	take(&p, -1);
	turn();
}

TEST(a_list_of_places_is_in_force_when_it_is_whole)
{
	struct cluster *g;

	take_route(0, 2, "a");
	g = clusters_find(&clusters, "web");
	ck_assert_uint_eq(g->count, 0);
	take_route(0, 2, "b"); /* the one before did not come whole */
	ck_assert_uint_eq(g->count, 0);
	take_route(1, 2, "c");
	ck_assert_uint_eq(g->count, 2);
	ck_assert_str_eq(g->list[0].name, "b");
	ck_assert_str_eq(g->sinks->route->name, "c");
	take_route(0, 1, "c");
	ck_assert_uint_eq(g->count, 1);
	ck_assert_ptr_null(g->sinks->next); /* that of "b" is gone */
	ck_assert_ptr_eq(g->sinks->route, &g->list[0]);
	ck_assert_uint_eq(g->sinks->slot, 0);
}

TEST(a_line_that_is_cut_goes_on_and_ends_before_one_of_another_worker)
{
	struct cluster *g = route("web");
	struct source_pipe *one = worker(g, 0);
	struct source_pipe *two = worker(g, 0);
	int reader = open_pipe(g, 0);
	char text[64] = "";

	put_text(one, "on", 2, false);
	put_text(one, "e", 1, false);
	put_text(two, "two", 3, true);
	put_text(two, "th", 2, false);
	put_text(two, "", 0, true);
	turn();
	ck_assert_int_gt(read(reader, text, sizeof(text) - 1), 0);
	ck_assert_str_eq(text, "one\ntwo\nth\n");
}

TEST(what_a_place_that_is_gone_did_not_take_is_counted_and_told)
{
	struct cluster *g = route("web");
	struct logwire_packet none = {.kind = LOGWIRE_ROUTE, .cluster = "web"};
	char text[1024] = "";

	(void)open_pipe(g, 0);
	put_lines(worker(g, 0), 100);
	(void)open_pipe(g, 0);
	turn();
	take(&none, -1);
	turn();
	ck_assert_ptr_null(g->sinks);
	ck_assert_uint_eq(dropped("web"), 36);
	ck_assert_int_gt(read(said, text, sizeof(text) - 1), 0);
	ck_assert_ptr_nonnull(strstr(text, "web: 36 lines of output were dropped"));
}

/* ---- streams ---- */

static int end; /* of a pipe that is the stream */

static void open_stream(int fd)
{
	clusters_open(&clusters, fd, fd);
}

static void open_piped(void)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	end = fds[0];
	ck_assert_int_eq(fcntl(end, F_SETFL, O_NONBLOCK), 0);
	open_stream(fds[1]);
	(void)close(fds[1]);
}

static void put(const char *line)
{
	struct cluster *c = clusters_get(&clusters, "web");

	if (c->sources == 0)
		(void)worker(c, 0);
	sink_put(stream,
		&(struct sink_text){
			.of = c,
			.before = "web.0 | ",
			.before_len = 8,
			.text = line,
			.len = strlen(line),
			.newline = true,
		});
}

/* So many lines of 100 bytes that begin with that. */
static void fill(const char *begin, int count)
{
	char line[92];

	snprintf(line, sizeof(line), "%-91s", begin);
	for (int i = 0; i < count; i++)
		put(line);
	turn();
}

static char got[1 << 20];

/* What comes as long as something does: how many lines have that in them? */
static int read_all(const char *text)
{
	size_t len = 0;
	ssize_t n;
	int count = 0;

	do {
		n = read(end, got + len, sizeof(got) - 1 - len);
		len += n > 0 ? (size_t)n : 0;
		(void)ev_run(loop, EVRUN_NOWAIT);
		turn();
	} while (n > 0);
	got[len] = '\0';
	for (const char *at = got; (at = strstr(at, text)) != NULL; at++)
		count++;
	return count;
}

/* The time comes in which it is tried again. */
static void wait_a_second(void)
{
	stream->try_again = 0.;
	stream->full_since -= stream->full_since > 0. ? SINK_PATIENCE : 0.;
	sink_flush(stream);
	(void)sink_is_full(stream);
}

TEST(what_is_given_is_never_made_non_blocking)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	open_stream(fds[1]);
	ck_assert(stream->file.fd != fds[1] && !stream->stream.can_block);
	ck_assert_int_eq(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(stream->file.fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(stream->file.fd, F_GETFD) & FD_CLOEXEC, 0);
	fill("nobody reads this", 20000); /* and it does not block */
	ck_assert(ev_is_active(&stream->writable));
}

TEST(one_that_cannot_be_opened_anew_is_asked_first)
{
	open_piped();
	ck_assert_int_eq(fcntl(stream->file.fd, F_SETFL, 0), 0);
	stream->stream.can_block = true; /* as if it had been refused */
	fill("nobody reads this", 20000);
	ck_assert(ev_is_active(&stream->writable));
}

TEST(lines_stay_whole_in_a_pipe_that_others_write_to)
{
	char text[70000];
	ssize_t n;

	open_piped();
	fill("a line", 3000);
	n = read(end, text, sizeof(text));
	ck_assert_int_gt(n, 60000);
	ck_assert_int_eq(text[n - 1], '\n');
}

TEST(who_writes_waits_for_a_reader_that_reads_and_no_other)
{
	struct sink *o = stream;

	open_piped();
	put("a line");
	ck_assert(!sink_is_full(o));
	fill("line", 3000);
	ck_assert(sink_is_full(o));
	/* as much in each period as it has to take */
	for (int i = 0; i < 5; i++) {
		o->taken = SINK_TAKES;
		wait_a_second();
		ck_assert(sink_is_full(o));
	}
	wait_a_second();
	ck_assert(!sink_is_full(o) && o->dropping);
	put("lost");
	ck_assert_int_eq(read_all("web.0 | lost"), 0);
	ck_assert_ptr_nonnull(
		strstr(got, "\nnclust: 1 line of output was dropped, the reader was too slow\n"));
	/* it reads again; but so soon it is not waited for again */
	fill("line", 3000);
	ck_assert(!sink_is_full(o));
}

TEST(a_worker_that_floods_costs_no_line_of_a_quiet_one)
{
	open_piped();
	fill("flood", 3000);
	ck_assert(sink_is_full(stream));
	wait_a_second();
	fill("flood", 655);
	ck_assert_uint_eq(dropped("web"), 655);
	clusters.is_quiet = true;
	fill("quiet", 4);
	ck_assert_uint_eq(dropped("web"), 655);
	/* … but not without bounds */
	fill("quiet", 2000);
	ck_assert_uint_gt(dropped("web"), 655);
	ck_assert_int_gt(read_all("quiet"), 4);
}

TEST(a_full_disk_is_counted_line_by_line)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	open_stream(full);
	for (int i = 0; i < 10; i++) {
		put("line");
		turn();
	}
	/* what waits is still to be written, as soon as that can be */
	ck_assert_uint_eq(dropped("web"), 9);
	ck_assert(!sink_is_full(stream));
}

TEST(what_waits_for_a_full_disk_is_written_without_a_pause_when_it_has_room)
{
	int writer;

	open_piped();
	writer = dup(stream->file.fd);
	ev_io_start(loop, &stream->writable);
	for (int i = 0; i < 20000; i++)
		put("line");
	ck_assert_int_ne(dup2(open("/dev/full", O_WRONLY | O_CLOEXEC), stream->file.fd), -1);
	ev_io_stop(loop, &stream->writable);
	sink_flush(stream);
	put("lost");
	ck_assert_uint_eq(dropped("web"), 1);
	ck_assert_int_ne(dup2(writer, stream->file.fd), -1);
	wait_a_second();
	ck_assert_int_eq(read_all("web.0 | line\n"), 20000);
	ck_assert_ptr_nonnull(
		strstr(got, "\nnclust: 1 line of output was dropped, No space left on device\n"));
}

TEST(a_reader_that_comes_back_is_told_what_it_missed)
{
	char path[32];

	open_piped();
	fill("one", 1);
	ck_assert_int_eq(read_all("one"), 1);
	(void)close(end);
	fill("two", 1);
	fill("three", 2);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", stream->file.fd);
	end = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	wait_a_second();
	fill("four", 1);
	ck_assert_int_eq(read_all("four"), 1);
	ck_assert_ptr_nonnull(strstr(got, "two"));
	ck_assert_ptr_nonnull(
		strstr(got, "\nnclust: 2 lines of output were dropped, Broken pipe\n"));
}
