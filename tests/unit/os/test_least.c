/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/process.h"
#include "os/socket/least.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>

#define MEMBERS 3

static union os_address at;
static struct least least;
static int fds[MEMBERS];

/* False: this machine cannot do it, and says so. */
static bool begin(void)
{
	static const uint8_t all[] = {0, 1, 2};
	socklen_t size = sizeof(at);

	if (least_open(&least) == -1) {
		ck_assert_msg(
			errno == EPERM || errno == ENOENT || errno == ENOSYS,
			"%s", strerror(errno));
		return false;
	}
	at = os_address("127.0.0.1");
	for (unsigned i = 0; i < MEMBERS; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		os_set(fds[i], SOL_SOCKET, SO_REUSEPORT, 1);
		ck_assert_int_eq(bind(fds[i], &at.any, os_size(&at)), 0);
		ck_assert_int_eq(listen(fds[i], 100), 0);
		ck_assert_int_eq(getsockname(fds[i], &at.any, &size), 0);
		ck_assert_int_eq(least_add(&least, fds[i], i), 0);
	}
	ck_assert_int_eq(least_choose(&least, fds[0], all, MEMBERS), 0);
	return true;
}

static void ask(unsigned times)
{
	while (times-- > 0) {
		int fd = os_connect(&at);

		ck_assert_int_ne(fd, -1);
		(void)close(fd);
	}
}

/* How many connections wait there; they are taken. */
static unsigned waiting(unsigned member)
{
	struct pollfd look = {.fd = fds[member], .events = POLLIN};
	unsigned count = 0;

	while (poll(&look, 1, 0) == 1) {
		(void)close(accept(fds[member], NULL, NULL));
		count++;
	}
	return count;
}

TEST(the_shortest_queue_gets_the_next)
{
	if (!begin())
		return;
	ask(30);
	for (unsigned i = 0; i < MEMBERS; i++)
		ck_assert_uint_eq(waiting(i), 10);
	ask(30);
	ck_assert_uint_eq(waiting(1), 10);
	ask(10);
	ck_assert_uint_eq(waiting(1), 10);
	(void)waiting(0);
	(void)waiting(2);
	/* one that is not named gets none */
	ck_assert_int_eq(
		least_choose(&least, fds[1], (const uint8_t[]){0, 2}, 2), 0);
	ask(20);
	ck_assert_uint_eq(waiting(0), 10);
	ck_assert_uint_eq(waiting(1), 0);
	ck_assert_uint_eq(waiting(2), 10);
	least_close(&least);
}

static void ago(unsigned member, unsigned milliseconds)
{
	struct timespec now;

	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	least.state->since[member] = (uint64_t)now.tv_sec * 1000000000 +
		(uint64_t)now.tv_nsec - milliseconds * 1000000ULL;
}

TEST(of_busy_ones_the_longest_unless_that_is_very_long)
{
	if (!begin())
		return;
	ago(0, 60000);
	ago(1, 100);
	ago(2, 20);
	ask(1);
	ck_assert_uint_eq(waiting(1), 1);
	ago(1, 30000);
	ago(2, 40000);
	ask(1);
	ck_assert_uint_eq(waiting(1), 1);
	ago(0, 10);
	ago(1, 30000);
	ask(1);
	ck_assert_uint_eq(waiting(0), 1);
}

TEST(one_that_is_stuck_gets_some_if_all_are)
{
	if (!begin())
		return;
	least.state->stuck[0] = 1;
	ask(20);
	ck_assert_uint_eq(waiting(0), 0);
	least.state->stuck[1] = least.state->stuck[2] = 1;
	ask(30);
	ck_assert_uint_gt(waiting(0), 0);
}

static atomic_int waiter;

static void *wait_by_accept(void *fd)
{
	waiter = gettid();
	(void)close(accept(*(int *)fd, NULL, NULL));
	return NULL;
}

static void *wait_by_poll(void *fd)
{
	struct pollfd look = {.fd = *(int *)fd, .events = POLLIN};

	waiter = gettid();
	(void)poll(&look, 1, -1);
	return NULL;
}

static void *wait_by_epoll(void *fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);

	ck_assert_int_eq(epoll_ctl(set, EPOLL_CTL_ADD, *(int *)fd, &event), 0);
	waiter = gettid();
	(void)epoll_wait(set, &event, 1, -1);
	(void)close(set);
	return NULL;
}

static void *(*const ways[])(void *) = {
	wait_by_accept, wait_by_poll, wait_by_epoll};

static bool sleeps(pid_t tid)
{
	struct process_facts facts;

	return process_look(tid, &facts) == 0 && facts.state == 'S';
}

TEST_LOOP(one_where_somebody_waits_gets_it, 0,
	(int)(sizeof(ways) / sizeof(*ways)))
{
	int idle_set = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};
	pthread_t thread;

	if (!begin())
		return;
	/* nobody waits for this set */
	ck_assert_int_eq(epoll_ctl(idle_set, EPOLL_CTL_ADD, fds[0], &event), 0);
	for (int i = 0; i < 6; i++) {
		waiter = 0;
		ck_assert_int_eq(
			pthread_create(&thread, NULL, ways[_i], &fds[1]), 0);
		while (waiter == 0 || !sleeps(waiter))
			(void)usleep(1000);
		least.state->stuck[1] = 1;
		ask(1);
		(void)pthread_join(thread, NULL);
		ck_assert_uint_eq(least.state->stuck[1], 0);
		ck_assert_uint_eq(waiting(0) + waiting(2), 0);
		(void)waiting(1);
		ck_assert_uint_gt(least.state->given[1], (unsigned)i);
	}
	ck_assert_uint_eq(least.state->rung, 0);
	(void)close(idle_set);
}

TEST(the_bell_rings_once_if_all_are_busy)
{
	struct pollfd bell = {.events = POLLIN};

	if (!begin())
		return;
	bell.fd = least.bell;
	ck_assert_int_eq(poll(&bell, 1, 0), 0);
	for (int i = 0; i < 300; i++) { /* more than it has room for */
		ask(1);
		ck_assert_int_eq(poll(&bell, 1, 1000), 1);
		ask(1);
		least_hear(&least);
		ck_assert_int_eq(poll(&bell, 1, 0), 0);
		least.state->rung = 0;
		(void)waiting(0);
		(void)waiting(1);
		(void)waiting(2);
	}
}

TEST(what_waits_goes_to_the_others_when_one_leaves)
{
	if (!begin())
		return;
	ask(30);
	reuseport_leave(fds[1]);
	fds[1] = -1;
	ck_assert_uint_eq(waiting(0), 15);
	ck_assert_uint_eq(waiting(2), 15);
}

TEST(one_that_listens_again_is_added_again)
{
	if (!begin())
		return;
	ck_assert_int_eq(least_add(&least, fds[1], 1), 0); /* it is there */
	ck_assert_int_eq(shutdown(fds[1], SHUT_RD), 0);
	ck_assert_int_eq(listen(fds[1], 100), 0);
	ask(20);
	ck_assert_uint_eq(waiting(1), 0);
	ck_assert_int_eq(least_add(&least, fds[1], 1), 0);
	(void)waiting(0);
	(void)waiting(2);
	ask(30);
	ck_assert_uint_eq(waiting(1), 10);
}
