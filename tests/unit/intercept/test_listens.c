/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/clock.h"
#include "os/look/remote.h"
#include "os/process.h"
#include "os/spawn/seccomp.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/intercept/listens.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * When a worker that opens its ports by itself is ready: by what it and the others
 * were seen to listen on.
 */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nintercept = on\n" \
	"drain = off\nstart-timeout = 60s\nready = auto\nlisten = " \
	"127.0.0.1:0\n"

ROOM_HEARS("intercept", "startwait", "news")

/* A look at a thread takes nclust so long. */
static nsec_t look_takes;
static nsec_t taken;
static unsigned looks; /* at threads */

REPLACED(nsec_t, clock_now)(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec + taken;
}

REPLACED(long, process_each)(pid_t pid, process_visit *look, void *context)
{
	long count = 1;

	while (count < 1000 && !look(context, pid))
		count++;
	return count;
}

REPLACED(size_t, remote_awaits)(struct remote *r, int *fds, size_t most)
{
	(void)r;
	(void)fds;
	(void)most;
	looks++;
	taken += look_takes;
	return 0;
}

/* Each waits for clients as soon as it listens (tests/e2e/workers/test_serving.py). */
REPLACED(void, serves_hold)(struct child *child)
{
	listens_shown(child);
}

/* ---- a call that waits ---- */

static struct listener *called; /* the socket */
static unsigned late;           /* so many calls of nclust's own take too long */
static unsigned answers;        /* to the worker */
static int answered;            /* the last one */
static int trap[2] = {-1, -1};

REPLACED(int, group_listen)(const struct listener *l, unsigned lane, int backlog)
{
	(void)l;
	(void)lane;
	(void)backlog;
	errno = ETIMEDOUT;
	return late > 0 && late-- > 0 ? -1 : 0;
}

REPLACED(struct listener *, learned_by_inode)(const struct service *service, uint64_t inode)
{
	(void)service;
	(void)inode;
	return called;
}

REPLACED(int, seccomp_receive)(int fd, struct seccomp_notice *notice)
{
	char byte;

	ck_assert_int_eq(read(fd, &byte, 1), 1);
	*notice = (struct seccomp_notice){.call = SECCOMP_LISTEN, .id = 1, .tid = getpid()};
	return 1;
}

REPLACED(bool, seccomp_waits)(int fd, uint64_t id)
{
	(void)fd;
	(void)id;
	return true;
}

REPLACED(void, seccomp_answer)(int fd, uint64_t id, int error)
{
	(void)fd;
	(void)id;
	answers++;
	answered = error;
}

static struct service *web;
static struct listener *ports[3]; /* that workers have opened */

static void learn(unsigned i)
{
	struct socket_key key = {
		.family = AF_INET,
		.type = SOCK_STREAM,
		.protocol = IPPROTO_TCP,
		.ip = {127, 0, 0, 1},
	};
	int fd = socket_key_open(&key, geteuid(), true, false);
	struct error err;

	ck_assert_int_eq(socket_key_bound(&key, fd), 0);
	ports[i] = learned_add(web, &key, fd, &err);
	ck_assert_ptr_nonnull(ports[i]);
}

static void begin(void)
{
	look_takes = taken = 0;
	called = NULL;
	late = answers = 0;
	looks = 0;
	room_begin(WEB);
	room.intercept.way = WAY_ADOPT;
	web = room_cluster("web");
	room_tick(web);
	for (unsigned i = 0; i < 3; i++)
		learn(i);
}

/* The worker calls listen(2) on a port of its own. */
static void open_port(struct child *child, unsigned i)
{
	ports[i]->facts.listening = true;
	learned_use(child, ports[i], child->pid);
	listens_note(child, ports[i]);
}

static bool is_ready(const struct child *child)
{
	return child_view(child).state == SLOT_READY;
}

FIXTURE(begin, room_end)

TEST(one_that_lacks_a_port_of_another_is_waited_for_a_moment)
{
	struct child *a = room_child(web, 0);
	struct child *b = room_child(web, 1);

	open_port(a, 0);
	open_port(a, 1);
	open_port(b, 0);
	ck_assert(!is_ready(b));
	room_pass(900 * MSEC);
	ck_assert(!is_ready(b));
	room_pass(200 * MSEC);
	ck_assert(is_ready(b)); /* it may be meant so */
}

TEST(a_look_at_many_threads_ends_soon_where_each_makes_it_slow)
{
	struct child *a = room_child(web, 0);

	look_takes = 90 * MSEC;
	listens_bound(a, a->pid);
	room_pass(52 * MSEC);
	ck_assert_uint_eq(looks, 1);
}

TEST(with_the_last_of_them_it_is_ready_at_once)
{
	struct child *a = room_child(web, 0);
	struct child *b = room_child(web, 1);

	open_port(a, 0);
	open_port(a, 1);
	open_port(b, 1);
	ck_assert(!is_ready(b));
	open_port(b, 0);
	ck_assert(is_ready(b));
}

/* Both listen on two ports, and the first one is to be replaced. */
static struct child *replace_first(bool drops_ports)
{
	const struct event roll = {.slot = SLOT_ALL, .drops_ports = drops_ports};
	struct error err;

	for (uint32_t slot = 0; slot < 2; slot++)
		for (unsigned i = 0; i < 2; i++)
			open_port(room_child(web, slot), i);
	room_pass(2 * SECOND);
	ck_assert(is_ready(room_child(web, 0)));
	ck_assert(is_ready(room_child(web, 1)));
	ck_assert_int_eq(service_roll(web, &roll, &err), 0);
	room_tick(web);
	ck_assert_uint_eq(room_child(web, 0)->generation, 2);
	return room_child(web, 0);
}

TEST(a_new_release_listens_on_all_that_the_old_one_does)
{
	struct child *c = replace_first(false);

	open_port(c, 0);
	room_pass(2 * SECOND);
	ck_assert(!is_ready(c));
	open_port(c, 1);
	ck_assert(is_ready(c));
}

TEST(what_a_setting_names_counts_for_the_release_too)
{
	struct listener *named = web->sockets.listeners.list[0];
	struct child *c;

	for (uint32_t slot = 0; slot < 2; slot++)
		listens_note(room_child(web, slot), named);
	c = replace_first(false);
	open_port(c, 0);
	open_port(c, 1);
	ck_assert(!is_ready(c));
	listens_note(c, named);
	ck_assert(is_ready(c));
}

TEST(a_port_that_a_new_release_has_lost_is_told)
{
	struct child *c = replace_first(false);

	open_port(c, 1);
	open_port(c, 2); /* one more is no replacement */
	room_pass(5 * SECOND);
	ck_assert(!is_ready(c));
	ck_assert(room_logged("does not listen on tcp:127.0.0.1:"));
	ck_assert(room_logged("unlike generation 1: waiting for it"));
}

/* The first worker opens a second port so long after its first one.  Is that asked of its successor? */
static bool asks_for_late(nsec_t wait)
{
	const struct event roll = {.slot = SLOT_ALL};
	struct error err;

	for (uint32_t slot = 0; slot < 2; slot++)
		open_port(room_child(web, slot), 0);
	room_pass(wait);
	open_port(room_child(web, 0), 1);
	ck_assert_int_eq(service_roll(web, &roll, &err), 0);
	room_tick(web);
	open_port(room_child(web, 0), 0);
	return !is_ready(room_child(web, 0));
}

TEST(a_port_of_the_first_ten_seconds_is_asked_of_the_release)
{
	ck_assert(asks_for_late(9 * SECOND));
}

TEST(a_later_port_is_not)
{
	ck_assert(!asks_for_late(11 * SECOND));
}

TEST(one_that_answers_to_no_address_that_is_known_is_ready_as_well)
{
	struct child *c = room_child(web, 0);

	listens_note(c, NULL); /* a socket of its own */
	ck_assert(is_ready(c));
}

TEST(what_a_worker_had_is_not_in_use_when_it_has_ended)
{
	open_port(room_child(web, 0), 0);
	room_killed(room_child(web, 0), SIGKILL);
	ck_assert(!learned_is_used(ports[0], NULL));
}

/* The worker's thread waits in listen(2) for an answer. */
static void call_listen(struct child *child)
{
	called = ports[0];
	ck_assert_int_eq(pipe2(trap, O_CLOEXEC), 0);
	ck_assert_int_eq(write(trap[1], "", 1), 1);
	child->trap.fd = trap[0]; /* is closed with the worker */
	intercept_hear(child);
}

TEST(who_has_to_wait_for_a_slow_machine_is_not_refused)
{
	late = 3;
	call_listen(room_child(web, 0));
	room_pass(SECOND);
	ck_assert_uint_eq(answers, 1);
	ck_assert_int_eq(answered, 0);
	(void)close(trap[1]);
}

TEST(a_socket_that_hangs_is_refused_in_the_end)
{
	late = 1000;
	call_listen(room_child(web, 0));
	room_pass(5 * SECOND);
	ck_assert_uint_eq(answers, 0);
	room_pass(6 * SECOND);
	ck_assert_uint_eq(answers, 1);
	ck_assert_int_eq(answered, ETIMEDOUT);
	(void)close(trap[1]);
}
