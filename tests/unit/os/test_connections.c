/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/look/look.h"
#include "os/process.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>

/* Another process that has a listening socket and obeys: one byte each. */
static int listener;
static union os_address at;
static int orders[2]; /* what it is to do */
static int done[2];   /* it has */
static pid_t other;
static int pidfd;
static struct remote r;
static struct connections all;
static unsigned late; /* to be ended */
static unsigned asked;

enum order {
	ACCEPT = 'a',
	READ = 'r',
	WRITE = 'w', /* 5 bytes */
	CLOSE = 'c',
	FORGET = 'f', /* its listener */
	SLEEP = 's',  /* for ever */
	SPIN = 'x',
	THREAD = 't', /* one that waits on a futex */
	TURNS = 'n',  /* threads of which one computes, and then the next */
};

#define TURNERS 8

static sem_t turns[TURNERS];

static void *compute_in_turn(void *turn)
{
	const size_t mine = (size_t)((sem_t *)turn - turns);

	for (;;) {
		while (sem_wait(&turns[mine]) == -1)
			;
		for (volatile int i = 0; i < 20000; i++)
			;
		(void)sem_post(&turns[(mine + 1) % TURNERS]);
	}
	return NULL;
}

static void begin_turns(void)
{
	pthread_t thread;

	for (size_t i = 0; i < TURNERS; i++)
		(void)sem_init(&turns[i], 0, i == 0);
	for (size_t i = 0; i < TURNERS; i++)
		(void)pthread_create(&thread, NULL, compute_in_turn, &turns[i]);
}

static void *wait_on_futex(void *mutex)
{
	(void)pthread_mutex_lock(mutex);
	return NULL;
}

static void obey(char order, int *connection)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_t thread;
	char text[100];

	switch ((enum order)order) {
	case ACCEPT:
		*connection = accept(listener, NULL, NULL);
		break;
	case READ:
		if (read(*connection, text, sizeof(text)) == -1)
			_exit(9);
		break;
	case WRITE:
		if (write(*connection, "hello", 5) != 5)
			_exit(9);
		break;
	case CLOSE:
		(void)close(*connection);
		break;
	case FORGET:
		(void)close(listener);
		break;
	case THREAD:
		(void)pthread_mutex_lock(&mutex);
		(void)pthread_create(&thread, NULL, wait_on_futex, &mutex);
		break;
	case TURNS:
		begin_turns();
		break;
	case SLEEP:
	case SPIN:
		break;
	}
}

static void serve(void)
{
	int connection = -1;
	char order;

	(void)close(orders[1]);
	while (read(orders[0], &order, 1) == 1) {
		obey(order, &connection);
		if (write(done[1], &order, 1) != 1)
			_exit(9);
		if (order == SLEEP)
			(void)sleep(100);
		for (volatile bool spins = order == SPIN; spins;)
			;
	}
	_exit(0);
}

static void start(void)
{
	ck_assert_int_eq(pipe2(orders, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(done, O_CLOEXEC), 0);
	other = fork();
	ck_assert_int_ne(other, -1);
	if (other == 0)
		serve();
	(void)close(orders[0]);
	pidfd = pidfd_of(other);
	ck_assert_int_ne(pidfd, -1);
	remote_of(&r, other);
}

static void set_up(void)
{
	at = os_address("127.0.0.1");
	listener = os_listen(&at);
	start();
}

static void order(enum order what)
{
	const char byte = (char)what;
	char answer;

	ck_assert_int_eq(write(orders[1], &byte, 1), 1);
	ck_assert_int_eq(read(done[0], &answer, 1), 1);
	ck_assert_int_eq(answer, byte);
}

static int visit(void)
{
	int fd = os_connect(&at);

	ck_assert_int_ne(fd, -1);
	return fd;
}

static void look(void)
{
	all.count = 0;
	all.refused = false;
	ck_assert_int_eq(connections_add(&all, &r, pidfd), 0);
	ck_assert(!all.refused);
}

/* The only one of that kind, or NULL. */
static const struct connection *only(enum connection_kind kind)
{
	const struct connection *found = NULL;

	look();
	for (size_t i = 0; i < all.count; i++)
		if (all.list[i].kind == kind) {
			ck_assert_ptr_null(found);
			found = &all.list[i];
		}
	return found;
}

/* So many wait to be accepted.  (The test has a time limit.) */
static void wait_queued(uint32_t count)
{
	while (only(CONNECTION_LISTENER)->queue != count)
		(void)poll(NULL, 0, 1);
}

/* The client of the only connection has closed it. */
static const struct connection *wait_closed(void)
{
	const struct connection *c = only(CONNECTION_TCP);

	while (c->state == TCP_ESTABLISHED) {
		(void)poll(NULL, 0, 1);
		c = only(CONNECTION_TCP);
	}
	return c;
}

/* The only connection, marked to be ended. */
static struct connection *the_marked(void)
{
	look();
	for (size_t i = 0; i < all.count; i++)
		if (all.list[i].kind == CONNECTION_TCP) {
			all.list[i].deeds = DEED_END;
			return &all.list[i];
		}
	ck_abort();
	return NULL;
}

/* What is it at, if it was at that before? */
static void is_at(enum activity before, enum activity wanted)
{
	ck_assert_int_eq(connections_activity(&r, before, &all), wanted);
}

FIXTURE(os_make_dir, NULL)
FIXTURE(set_up, NULL)

TEST(a_listener_tells_who_waits)
{
	const struct connection *c = only(CONNECTION_LISTENER);

	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->queue, 0);
	ck_assert_uint_eq(c->port, ntohs(at.v4.sin_port));
	(void)visit();
	wait_queued(1);
	ck_assert_ptr_null(only(CONNECTION_TCP));
	order(ACCEPT);
	ck_assert_uint_eq(only(CONNECTION_LISTENER)->queue, 0);
	ck_assert_ptr_nonnull(only(CONNECTION_TCP));
}

TEST(a_request_and_its_answer_are_seen)
{
	int visitor = visit();
	const struct connection *c;
	uint64_t cookie;
	char text[8];

	order(ACCEPT);
	c = only(CONNECTION_TCP);
	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(c->state, TCP_ESTABLISHED);
	ck_assert_uint_eq(c->port, ntohs(at.v4.sin_port));
	ck_assert_int_eq(c->pid, other);
	ck_assert_uint_eq(c->segments_in, 0);
	cookie = c->cookie;
	os_send(visitor, "123", 3);
	c = only(CONNECTION_TCP);
	ck_assert_uint_eq(c->queue, 3);
	ck_assert_uint_eq(c->segments_in, 1);
	order(READ);
	c = only(CONNECTION_TCP);
	ck_assert_uint_eq(c->queue, 0);
	ck_assert_uint_eq(c->segments_out, 0);
	order(WRITE);
	ck_assert_int_eq(read(visitor, text, sizeof(text)), 5);
	c = only(CONNECTION_TCP);
	ck_assert_uint_eq(c->segments_out, 1);
	ck_assert_uint_eq(c->bytes_out, 5);
	ck_assert_uint_eq(c->cookie, cookie);
	(void)close(visitor);
	c = wait_closed();
	ck_assert_int_eq(c->state, TCP_CLOSE_WAIT);
	ck_assert_uint_eq(c->queue, 0); /* its FIN is no unread byte */
	ck_assert_uint_eq(c->segments_in, 1);
}

static const struct {
	const char *text;
	size_t len;
	bool http;
	bool frames;
	bool unknown;
} kinds[] = {
	{"GET / HTTP/1.1\r\n\r\n", 18, true, false, false},
	{"\x81\x81wxyza", 7, false, true, false},
	{"\x81\x81wxyza\x81\x81wxyzb", 14, false, false, false}, /* two */
	{"\x81\x82wxyza", 7, false, false, false},               /* a part */
	{"\x8a\x80wxyz", 6, false, false, false},                /* a pong */
	{"\x16\x03\x01wxyz", 7, false, false, true},             /* TLS */
	{"PRI * HTTP/2.0\r\n", 16, false, false, true},
};

NATIVE_TEST_LOOP(unread_bytes_tell_what_a_client_speaks, 0, COUNT_OF(kinds))
{
	const struct connection *c;

	all.peeks = true;
	os_send(visit(), kinds[_i].text, kinds[_i].len);
	order(ACCEPT);
	c = only(CONNECTION_TCP);
	ck_assert(c->http == kinds[_i].http);
	ck_assert(c->frames == kinds[_i].frames);
	ck_assert(c->unknown == kinds[_i].unknown);
	all.peeks = false;
}

NATIVE_TEST(a_connection_is_ended_from_outside)
{
	int visitor = visit();
	struct connection *c;
	char byte;

	order(ACCEPT);
	(void)only(CONNECTION_TCP);
	ck_assert_uint_eq(connections_end(&r, pidfd, &all, &late, &asked), 0); /* unmarked */
	c = the_marked();
	c->cookie++;
	ck_assert_uint_eq(connections_end(&r, pidfd, &all, &late, &asked), 0);
	c->cookie--;
	ck_assert_uint_eq(late, 0);
	os_send(visitor, "123", 3); /* too late for that */
	ck_assert_uint_eq(connections_end(&r, pidfd, &all, &late, &asked), 0);
	ck_assert_uint_eq(late, 1);
	order(READ);
	ck_assert_uint_eq(connections_end(&r, pidfd, &all, &late, &asked), 0);
	ck_assert_uint_eq(late, 2);
	(void)the_marked();
	ck_assert_uint_eq(connections_end(&r, pidfd, &all, &late, &asked), 1);
	ck_assert_int_eq(read(visitor, &byte, 1), 0);
	order(READ); /* nothing, as the end has come */
}

#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

static bool take(void *context UNUSED, int fd UNUSED, const struct connection *c UNUSED)
{
	return true;
}

/* Its worker may die of the stop signal, and the request with it. */
NATIVE_TEST(one_that_was_quiet_is_held_although_a_request_has_come_since)
{
	int visitor = visit();
	struct connection *c;

	order(ACCEPT);
	c = the_marked();
	c->deeds = DEED_HAND;
	os_send(visitor, GET, strlen(GET));
	all.hand = take;
	late = 0;
	ck_assert_uint_eq(connections_end(&r, pidfd, &all, &late, &asked), 0);
	all.hand = NULL;
	ck_assert(c->handed);
	ck_assert_uint_eq(late, 0);
}

NATIVE_TEST_LOOP(one_whose_next_request_lies_unread_is_ended_without_it, 0, 9)
{
	static const struct {
		const char *text;
		bool ends;
	} rows[] = {
		{GET, true},
		{"HEAD /a?b HTTP/1.0\r\n\r\n", true},
		/* clients do not repeat that */
		{"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", false},
		{"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab", false},
		{"GET /a HTTP/1.1\r\nHost", true}, /* the rest is on its way */
		{GET GET, false},                  /* pipelining */
		{"GET /a", false},
		{"\x16\x03\x01\x02GET / HTTP/1.1\r\n\r\n", false}, /* TLS */
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false},
	};
	size_t length = strlen(rows[_i].text);
	int visitor = visit();
	char text[8];

	order(ACCEPT);
	os_send(visitor, rows[_i].text, length);
	the_marked()->deeds |= DEED_ASKS;
	asked = late = 0;
	ck_assert_uint_eq(connections_end(&r, pidfd, &all, &late, &asked), rows[_i].ends);
	ck_assert_uint_eq(asked, rows[_i].ends);
	ck_assert_uint_eq(late, 0);
	ck_assert_uint_eq(only(CONNECTION_TCP)->queue, rows[_i].ends ? 0 : length);
	if (rows[_i].ends)
		ck_assert_int_eq(read(visitor, text, sizeof(text)), 0);
}

NATIVE_TEST(its_peer_is_named)
{
	int visitor = visit();
	struct sockaddr_in own = {0};
	socklen_t size = sizeof(own);
	char wanted[64];
	char got[64];

	order(ACCEPT);
	ck_assert_int_eq(getsockname(visitor, (struct sockaddr *)&own, &size), 0);
	snprintf(wanted, sizeof(wanted), "127.0.0.1:%u", ntohs(own.sin_port));
	ck_assert_str_eq(connections_peer(&r, only(CONNECTION_TCP), got, sizeof(got)), wanted);
	/* what is had of it is given back at once: its close(2) is heard */
	order(CLOSE);
	ck_assert(os_is_readable(visitor, 5000));
	ck_assert_int_eq(read(visitor, got, 1), 0);
}

NATIVE_TEST(unix_streams_tell_their_queues)
{
	const struct connection *c;
	int visitor;

	at = os_address(os_path("s"));
	listener = os_listen(&at);
	start();
	ck_assert_ptr_null(only(CONNECTION_UNIX));
	visitor = visit();
	order(ACCEPT);
	c = only(CONNECTION_UNIX);
	ck_assert_ptr_nonnull(c);
	ck_assert(c->has_name);
	ck_assert_uint_eq(c->queue, 0);
	ck_assert_uint_eq(c->unsent, 0);
	ck_assert_int_eq(write(visitor, "123", 3), 3);
	ck_assert_uint_eq(only(CONNECTION_UNIX)->queue, 3);
	order(READ);
	order(WRITE);
	c = only(CONNECTION_UNIX);
	ck_assert_uint_eq(c->queue, 0);
	ck_assert_uint_gt(c->unsent, 0); /* not read by the peer */
}

TEST(many_are_all_seen)
{
	enum { MANY = 100 };
	size_t tcp = 0;

	for (int i = 0; i < MANY; i++) {
		(void)visit();
		order(ACCEPT);
	}
	look();
	for (size_t i = 0; i < all.count; i++)
		tcp += all.list[i].kind == CONNECTION_TCP;
	ck_assert_uint_eq(tcp, MANY);
	ck_assert(!all.too_many);
	look(); /* the list is as long as it takes by now */
	connections_free(&all);
	ck_assert_ptr_null(all.list);
}

TEST(looks_are_bounded)
{
	/* of the processes that were looked at before */
	for (unsigned left = 0; left < 3; left++) {
		all = (struct connections){
			.list = all.list,
			.others = CONNECTIONS_OTHERS - left,
		};
		ck_assert_int_eq(connections_add(&all, &r, pidfd), 0);
		ck_assert(all.too_many);
		ck_assert_uint_eq(all.others, CONNECTIONS_OTHERS + 1);
	}
}

TEST(a_process_that_is_gone_is_told)
{
	(void)kill(other, SIGKILL);
	(void)waitpid(other, NULL, 0);
	ck_assert_int_eq(connections_add(&all, &r, pidfd), -1);
	ck_assert(errno == ESRCH || errno == ENOENT);
	is_at(ACTIVITY_UNKNOWN, ACTIVITY_UNKNOWN);
}

/* Until it does that, or for five seconds. */
static bool soon(enum activity wanted)
{
	for (int i = 0; i < 5000; i++) {
		if (connections_activity(&r, ACTIVITY_UNKNOWN, &all) == wanted)
			return true;
		(void)poll(NULL, 0, 1);
	}
	return false;
}

static const struct {
	enum order order;
	enum activity activity;
} activities[] = {
	{WRITE, ACTIVITY_WAITS},                            /* for a byte, afterwards */
	{SLEEP, ACTIVITY_SLEEPS}, {THREAD, ACTIVITY_WAITS}, /* one of a pool, on a futex */
};

TEST_LOOP(what_it_does_is_known, 0, COUNT_OF(activities))
{
	(void)visit();
	order(ACCEPT);
	order(activities[_i].order);
	ck_assert(soon(activities[_i].activity));
}

TEST(threads_that_compute_in_turn_are_seldom_seen_to_wait)
{
	enum { LOOKS = 2000 };
	unsigned waits = 0;

	order(TURNS);
	ck_assert(soon(ACTIVITY_RUNS));
	for (int i = 0; i < LOOKS; i++)
		waits += connections_activity(&r, ACTIVITY_UNKNOWN, &all) != ACTIVITY_RUNS;
	ck_assert_uint_lt(waits, LOOKS / 5); /* a single look: in LOOKS / 3 and more */
}

static void stop_it(void)
{
	ck_assert_int_eq(pidfd_is_stopped(pidfd), 0);
	ck_assert_int_eq(pidfd_signal(pidfd, SIGSTOP), 0);
	while (pidfd_is_stopped(pidfd) == 0)
		(void)poll(NULL, 0, 1);
	ck_assert(process_is_stopped(other));
}

static void continue_it(void)
{
	ck_assert_int_eq(pidfd_signal(pidfd, SIGCONT), 0);
	while (pidfd_is_stopped(pidfd) == 1)
		(void)poll(NULL, 0, 1);
	ck_assert(!process_is_stopped(other));
}

NATIVE_TEST(who_was_stopped_in_its_sleep_is_known_by_that)
{
	order(SLEEP);
	ck_assert(soon(ACTIVITY_SLEEPS));
	stop_it();
	is_at(ACTIVITY_UNKNOWN, ACTIVITY_SLEEPS);
	continue_it();
	ck_assert(soon(ACTIVITY_UNKNOWN));
	is_at(ACTIVITY_SLEEPS, ACTIVITY_SLEEPS);
	is_at(ACTIVITY_WAITS, ACTIVITY_WAITS);
	/* who ran was not in the midst of it */
	is_at(ACTIVITY_RUNS, ACTIVITY_UNKNOWN);
}

NATIVE_TEST(who_runs_is_at_work_also_when_stopped)
{
	order(SPIN);
	//ck_assert(soon(ACTIVITY_RUNS));
	stop_it();
	is_at(ACTIVITY_UNKNOWN, ACTIVITY_RUNS);
	ck_assert_int_eq(pidfd_is_stopped(pidfd), 1); /* not taken away */
	continue_it();
}

/* As somebody who may not look, and whose children may: as root without
 * CAP_SYS_PTRACE. */
NATIVE_ROOT_TEST(it_is_looked_at_by_a_child_that_has_the_rights)
{
	int visitor;

	r.as_user = true;
	r.uid = geteuid();
	r.gid = getegid();
	visitor = visit();
	order(ACCEPT);
	os_send(visitor, "123", 3);
	ck_assert_uint_eq(only(CONNECTION_TCP)->queue, 3);
	(void)the_marked();
	ck_assert_uint_eq(connections_end(&r, pidfd, &all, &late, &asked), 1);
	ck_assert(soon(ACTIVITY_WAITS));
}

/* As Docker's default profile does. */
static void refuse_getfd(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_getfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = 4, .filter = code};

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

TEST(the_kernel_tells_where_no_descriptor_can_be_had)
{
	int visitor = visit();
	struct connection had;
	const struct connection *c;
	char text[8];

	order(ACCEPT);
	os_send(visitor, "123", 3);
	had = *only(CONNECTION_TCP);
	refuse_getfd();
	c = only(CONNECTION_TCP);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->cookie, had.cookie);
	ck_assert_uint_eq(c->inode, had.inode);
	ck_assert_uint_eq(c->port, had.port);
	ck_assert_uint_eq(c->queue, 3);
	ck_assert_uint_eq(c->segments_in, 1);
	order(READ);
	order(WRITE);
	ck_assert_int_eq(read(visitor, text, sizeof(text)), 5);
	c = only(CONNECTION_TCP);
	ck_assert_uint_eq(c->queue, 0);
	ck_assert_uint_eq(c->segments_out, 1);
	(void)the_marked();
	ck_assert_uint_eq(connections_end(&r, pidfd, &all, &late, &asked), 0);
	(void)close(visitor);
	c = wait_closed();
	ck_assert_int_eq(c->state, TCP_CLOSE_WAIT);
	ck_assert_uint_eq(c->queue, 0); /* the FIN */
	(void)visit();
	wait_queued(1);
}

TEST(the_resolution_is_that_of_a_jiffy)
{
	ck_assert_uint_ge(connections_tick(), 1000000 / 1200); /* HZ <= 1200 */
	ck_assert_uint_le(connections_tick(), 10000);
}
