/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/fdpass.h"
#include "os/socket/socket_unix.h"
#include "protocol/logwire.h"
#include "supervisor/orphans/internal.h"
#include "supervisor/orphans/write_state.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/logger_life.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * What the keeper is told, as packets, and what is made of those that an earlier one
 * gives back.
 */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"ipc = on\norphans = keep\nlisten = 127.0.0.1:0\n"

ROOM_HEARS("intercept", "startwait", "messages", "broker", "orphans")

static struct logwire_packet told[64];
static size_t told_fds[64];
static size_t told_count;
static struct state_entry entry = {.flags = STATE_KEEP};
static struct service *web;
static int keeper; /* the other end of the next call */

REPLACED(bool, logger_send)
(struct supervisor *sup, const struct logwire_packet *p, const int *fds, size_t count)
{
	(void)sup;
	ck_assert(logwire_check(p, sizeof(*p)));
	ck_assert_uint_lt(told_count, sizeof(told) / sizeof(*told));
	for (size_t i = 0; i < count; i++)
		ck_assert_int_ne(fcntl(fds[i], F_GETFD), -1);
	told[told_count] = *p;
	told_fds[told_count++] = count;
	return true;
}

REPLACED(void, statefile_free)(struct statefile *file, struct state_entry *e)
{
	(void)file;
	(void)e;
}

REPLACED(int, orphan_state_write)(int dirfd, const void *data, size_t size)
{
	(void)dirfd;
	(void)data;
	(void)size;
	return 0;
}

REPLACED(int, socket_connect_at)(int dirfd, const char *name, int type, struct error *err)
{
	int fds[2];

	(void)dirfd;
	(void)name;
	(void)err;
	ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_ne(dup2(fds[1], keeper), -1);
	(void)close(fds[1]);
	return fds[0];
}

static void begin(void)
{
	web = room_web(WEB);
	told_count = 0;
	room.orphans.keeper_socket = eventfd(0, EFD_CLOEXEC);
	for (uint32_t slot = 0; slot < 2; slot++)
		room_child(web, slot)->saved.entry = &entry;
}

static void end(void)
{
	room_end();
	keeper_leave(&room);
}

static void write_down(void)
{
	room.orphans.changed = true;
	orphans_write_changes(&room);
}

/* How many packets of that kind and thing were there. */
static unsigned count(enum logwire_kind kind, enum logwire_what what)
{
	unsigned found = 0;

	for (size_t i = 0; i < told_count; i++)
		found += told[i].kind == (uint32_t)kind && told[i].what == (uint32_t)what;
	return found;
}

CASE(holds)
FIXTURE(begin, end)

TEST(a_worker_is_held_by_its_serial_with_all_that_it_has)
{
	struct child *c = room_child(web, 1);

	keeper_hold_child(c);
	ck_assert_uint_eq(told_count, 1);
	ck_assert_uint_eq(told[0].kind, LOGWIRE_HOLD);
	ck_assert_uint_eq(told[0].what, LOGWIRE_A_WORKER);
	ck_assert_uint_eq(told[0].worker, c->serial);
	ck_assert_uint_eq(told[0].slot, 1);
	ck_assert_str_eq(told[0].cluster, "web");
	ck_assert_uint_eq(told[0].which, LOGWIRE_PIDFD | LOGWIRE_NOTIFY | LOGWIRE_CHANNEL);
	ck_assert_uint_eq(told_fds[0], logwire_count(told[0].which));
}

TEST(who_is_not_to_be_kept_is_not_told_of)
{
	entry.flags = 0;
	keeper_hold_child(room_child(web, 0));
	keeper_drop_child(room_child(web, 0));
	ck_assert_uint_eq(told_count, 0);
	entry.flags = STATE_KEEP;
}

TEST(who_has_died_is_dropped)
{
	uint64_t serial = room_child(web, 0)->serial;

	room_killed(room_child(web, 0), SIGKILL);
	ck_assert_uint_eq(count(LOGWIRE_DROP, LOGWIRE_A_WORKER), 1);
	ck_assert_uint_eq(told[0].worker, serial);
}

TEST(a_listener_is_told_of_once)
{
	struct holding h = {.listener = web->sockets.listeners.list[0]};

	write_down();
	write_down();
	ck_assert_uint_eq(count(LOGWIRE_HOLD, LOGWIRE_A_LISTENER), 1);
	orphans_on_let_go(&h);
	orphans_on_let_go(&h);
	ck_assert_uint_eq(count(LOGWIRE_DROP, LOGWIRE_A_LISTENER), 1);
	ck_assert_uint_eq(told[0].worker, told[1].worker);
}

TEST(another_socket_takes_the_place_of_the_first)
{
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t held = 0;

	keeper_hold(&room, LOGWIRE_A_LISTENER, 5, web->sockets.listeners.list[0]->fd, &held);
	keeper_hold(&room, LOGWIRE_A_LISTENER, 6, other, &held);
	ck_assert_uint_eq(told_count, 3);
	ck_assert_uint_eq(told[1].kind, LOGWIRE_DROP);
	ck_assert_uint_eq(told[1].worker, told[0].worker);
	ck_assert_uint_eq(told[2].kind, LOGWIRE_HOLD);
	ck_assert_uint_eq(told[2].worker, held);
	(void)close(other);
}

TEST(a_fresh_keeper_hears_all_again)
{
	keeper_greet(&room, false);
	orphans_write_changes(&room);
	ck_assert_uint_eq(told[0].kind, LOGWIRE_KEEP);
	ck_assert_uint_eq(count(LOGWIRE_HOLD, LOGWIRE_A_WORKER), 2);
	ck_assert_uint_eq(count(LOGWIRE_HOLD, LOGWIRE_A_LISTENER), 1);
	told_count = 0;
	keeper_greet(&room, false); /* the same one: it knows */
	orphans_write_changes(&room);
	ck_assert_uint_eq(told_count, 1);
	told_count = 0;
	keeper_greet(&room, true);
	orphans_write_changes(&room);
	ck_assert_uint_eq(count(LOGWIRE_HOLD, LOGWIRE_A_WORKER), 2);
	ck_assert_uint_eq(count(LOGWIRE_HOLD, LOGWIRE_A_LISTENER), 1);
	told_count = 0;
	write_down();
	ck_assert_uint_eq(told_count, 0);
}

/* ---- what comes back ---- */

static struct fd_store store;
static struct error err;

static void give(
	enum logwire_kind kind, enum logwire_what what, uint64_t id, uint32_t which, size_t fds)
{
	const struct logwire_packet p = {
		.kind = kind,
		.what = what,
		.worker = id,
		.which = which,
		.cluster = "web",
	};
	const int all[] = {keeper, keeper, keeper, keeper};

	ck_assert_int_eq(fdpass_send(keeper, &p, sizeof(p), all, fds), 0);
}

/* What the keeper says when it is called. */
static void (*answer)(void);

REPLACED(int, socket_peer)(int fd, struct ucred *cred)
{
	(void)fd;
	*cred = (struct ucred){.pid = 7, .uid = geteuid()};
	answer();
	return 0;
}

static void begin_call(void)
{
	room_begin(WEB);
	web = room_cluster("web");
	keeper = eventfd(0, EFD_CLOEXEC);
}

static void end_call(void)
{
	fd_store_fini(&store);
	(void)close(keeper);
	room_end();
}

static void all_in_any_order(void)
{
	give(LOGWIRE_HELLO, 0, 0, 0, 1);
	give(LOGWIRE_HOLD, LOGWIRE_A_WORKER, 9, LOGWIRE_PIDFD | LOGWIRE_CHANNEL, 2);
	give(LOGWIRE_HOLD, LOGWIRE_A_LISTENER, 500, LOGWIRE_SOCKET, 1);
	give(LOGWIRE_HOLD, LOGWIRE_A_WORKER, 2, LOGWIRE_PIDFD, 1);
	give(LOGWIRE_GIVEN, 0, 0, 0, 0);
}

CASE(gives_back)
FIXTURE(begin_call, end_call)

TEST(all_that_comes_back_is_found_by_its_name)
{
	struct stored *g;
	int fd;

	answer = all_in_any_order;
	ck_assert_int_eq(keeper_call(&room, &store, &err), 0);
	ck_assert_uint_eq(store.count, 3);
	ck_assert_ptr_null(fd_store_find(&store, LOGWIRE_A_LISTENER, 9));
	ck_assert_ptr_nonnull(fd_store_find(&store, LOGWIRE_A_LISTENER, 500));
	g = fd_store_find(&store, LOGWIRE_A_WORKER, 9);
	ck_assert_ptr_nonnull(g);
	ck_assert_int_eq(stored_take(g, LOGWIRE_NOTIFY), -1);
	fd = stored_take(g, LOGWIRE_CHANNEL);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(stored_take(g, LOGWIRE_CHANNEL), -1); /* once */
	(void)close(fd);
}

static void too_few(void)
{
	give(LOGWIRE_HOLD, LOGWIRE_A_WORKER, 9, LOGWIRE_PIDFD | LOGWIRE_CHANNEL, 1);
	give(LOGWIRE_GIVEN, 0, 0, 0, 0);
}

static void gone(void)
{
	give(LOGWIRE_HOLD, LOGWIRE_A_WORKER, 9, LOGWIRE_PIDFD, 1);
	ck_assert_int_eq(shutdown(keeper, SHUT_RDWR), 0);
}

/* It has lost descriptors, or dies before it has given all. */
TEST_LOOP(one_that_does_not_give_all_is_not_believed, 0, 2)
{
	answer = _i == 0 ? too_few : gone;
	ck_assert_int_eq(keeper_call(&room, &store, &err), -1);
	ck_assert_uint_eq(store.count, 0);
	if (_i == 0)
		ck_assert_int_eq(err.sys, EMFILE);
}
