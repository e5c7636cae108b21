/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/look/look.h"
#include "os/process.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <time.h>

/*
 * When a worker that is to go gets its stop signal.  Its connections are what a test
 * says they are; so is what the worker does when nclust looks.
 */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 1\nready = notify\n" \
	"drain = quiet\ndrain-timeout = "
#define PORT 80 /* where it listens */

ROOM_HEARS("drain", "steer", "imbalance", "news")

static struct connection has[5];
static size_t has_count;
static unsigned ended;
static unsigned asked_late;
static unsigned leaps;     /* so many looks take 20 s each */
static int refused;        /* errno; or 0 */
static enum activity does; /* UNKNOWN: it goes on with what a stop has interrupted */

REPLACED(int, connections_add)
(struct connections *all, struct remote *r, int pidfd)
{
	(void)pidfd;
	if (refused != 0) {
		errno = refused;
		return -1;
	}
	all->list = realloc(all->list, sizeof(has));
	ck_assert_ptr_nonnull(all->list);
	memcpy(all->list, has, sizeof(has));
	all->list[has_count] = (struct connection){
		.cookie = UINT64_MAX, .kind = CONNECTION_LISTENER, .port = PORT};
	all->count = has_count + 1;
	for (size_t i = 0; i < all->count; i++)
		all->list[i].pid = r->tid;
	if (leaps > 0) {
		(void)nanosleep(&(struct timespec){.tv_sec = 20}, NULL);
		leaps--;
	}
	return 0;
}

REPLACED(unsigned, connections_end)
(struct remote *r, int pidfd, struct connections *all, unsigned *late, unsigned *asked)
{
	(void)asked;
	(void)r;
	(void)pidfd;
	*late += asked_late;
	for (size_t i = 0; i < all->count; i++)
		ended += all->list[i].deeds != 0;
	return 0;
}

static unsigned crowd; /* threads that want each CPU */

REPLACED(unsigned, process_crowd)(void)
{
	return crowd;
}

REPLACED(enum activity, connections_activity)
(struct remote *r, enum activity stopped_in, struct connections *all)
{
	(void)r;
	(void)all;
	return does == ACTIVITY_UNKNOWN ? stopped_in : does;
}

REPLACED(size_t, process_tree)(pid_t pid, pid_t *list, size_t most)
{
	(void)most;
	list[0] = pid;
	return 1;
}

REPLACED(int, process_status)
(pid_t pid, const char *key, int base, uint64_t *value)
{
	(void)pid;
	(void)base;
	*value = 0; /* it catches no signal */
	return strcmp(key, "SigCgt:") == 0 ? 0 : -1;
}

static struct service *web;
static pid_t pid;

static void begin_with(const char *ini)
{
	has_count = 0;
	ended = asked_late = leaps = 0;
	refused = 0;
	crowd = 1;
	does = ACTIVITY_WAITS;
	web = room_web(ini);
	room_ready(web, 1);
	pid = room_child(web, 0)->pid;
}

static void begin(void)
{
	begin_with(WEB "10s\n");
}

/* A connection whose last word was the worker's, that long ago. */
static struct connection *connect_quiet(uint32_t ago)
{
	struct connection *c = &has[has_count++];

	*c = (struct connection){
		.cookie = has_count,
		.fd = (int)has_count + 4,
		.kind = CONNECTION_TCP,
		.state = TCP_ESTABLISHED,
		.port = PORT,
		.sent_ago = ago,
		.received_ago = ago + 20,
		.ack_ago = ago,
		.segments_in = 1,
		.segments_out = 1,
		.bytes_in = 100,
		.bytes_out = 100,
		.prompt = true,
	};
	return c;
}

/* One with a request that was not answered. */
static struct connection *connect_busy(void)
{
	struct connection *c = connect_quiet(5000);

	c->received_ago = 10;
	c->segments_in = 2;
	return c;
}

static bool is_asked(void)
{
	return room_signalled(pid, SIGTERM) > 0;
}

FIXTURE(begin, room_end)

TEST_LOOP(a_quiet_connection_is_ended_and_then_it_is_asked, 0, 2)
{
	if (_i == 1)
		(void)connect_quiet(5000);
	service_stop(web, false);
	room_pass(100 * MSEC);
	ck_assert_int_eq(ended > 0, _i == 1);
	ck_assert(is_asked());
}

TEST(a_request_under_way_is_waited_for)
{
	struct connection *c = connect_busy();

	service_stop(web, false);
	room_pass(4 * SECOND);
	ck_assert(!is_asked());
	ck_assert_uint_eq(ended, 0);
	*c = *connect_quiet(200); /* it was answered */
	has_count = 1;
	c->cookie = 1;
	room_pass(200 * MSEC);
	ck_assert(is_asked());
}

TEST(a_connection_that_it_has_made_is_neither_waited_for_nor_ended)
{
	connect_busy()->port = 40000;
	connect_quiet(5000)->port = 40001;
	service_stop(web, false);
	room_pass(100 * MSEC);
	ck_assert(is_asked());
	ck_assert_uint_eq(ended, 0);
}

TEST(when_looks_took_long_it_is_looked_at_again_soon)
{
	room_end();
	begin_with(WEB "1h\n");
	(void)connect_busy();
	service_stop(web, false);
	room_pass(SECOND);
	leaps = 3;
	room_pass(100 * SECOND);
	ck_assert_uint_eq(leaps, 0);
	ck_assert(!is_asked());
	has_count = 0;
	room_pass(15 * SECOND);
	ck_assert(is_asked());
}

TEST(one_that_is_at_work_is_waited_for)
{
	(void)connect_quiet(5000);
	does = ACTIVITY_RUNS;
	service_stop(web, false);
	room_pass(4 * SECOND);
	ck_assert(!is_asked());
	does = ACTIVITY_WAITS;
	room_pass(200 * MSEC);
	ck_assert(is_asked());
}

TEST(what_is_not_answered_in_time_is_told)
{
	(void)connect_busy();
	service_stop(web, false);
	room_pass(9900 * MSEC);
	ck_assert(!is_asked());
	room_pass(200 * MSEC);
	ck_assert(is_asked());
	ck_assert(room_logged("web.0: drained by force: 1 connection still "
			      "busy"));
}

TEST(what_cannot_be_seen_is_not_waited_for)
{
	refused = EACCES;
	service_stop(web, false);
	room_pass(100 * MSEC);
	ck_assert(is_asked());
	ck_assert(room_logged("cannot be seen from here"));
}

TEST_LOOP(a_look_that_is_late_or_lacks_something_shows_nothing_and_is_made_again, 0, 4)
{
	refused = (const int[]){ETIMEDOUT, EAGAIN, ENOMEM, EMFILE}[_i];
	service_stop(web, false);
	room_pass(2 * SECOND);
	ck_assert(!is_asked());
	refused = 0;
	room_pass(2 * SECOND);
	ck_assert(is_asked());
	ck_assert(!room_logged("cannot be seen from here"));
}

TEST(who_can_never_be_looked_at_in_time_is_not_waited_for_for_ever)
{
	refused = ETIMEDOUT;
	service_stop(web, false);
	room_pass(6 * SECOND);
	ck_assert(is_asked());
}

TEST(a_request_that_comes_while_it_stands_still_is_answered)
{
	(void)connect_quiet(5000);
	asked_late = 1; /* seen only when its connection is to be ended */
	service_stop(web, false);
	room_pass(SECOND);
	ck_assert(!is_asked());
	ck_assert_uint_ge(room_signalled(pid, SIGSTOP), 1);
	ck_assert_uint_eq(room_signalled(pid, SIGCONT), room_signalled(pid, SIGSTOP));
	asked_late = 0;
	room_pass(SECOND);
	ck_assert(is_asked());
}

TEST(who_does_not_stop_in_time_on_a_busy_machine_is_waited_for)
{
	(void)connect_quiet(5000);
	room_never_stops(pid);
	service_stop(web, false);
	room_pass(30 * MSEC);
	does = ACTIVITY_UNKNOWN; /* it may sleep between two pieces of an answer */
	room_pass(4 * SECOND);
	ck_assert(!is_asked());
	ck_assert_uint_eq(ended, 0);
}
