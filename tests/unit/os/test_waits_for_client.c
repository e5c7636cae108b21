/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/look/look.h"

#include <pthread.h>
#include <sys/epoll.h>

/* Another process that has a listening socket, and does one thing for ever. */
static int listener;
static pid_t other;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *accept_for_ever(void *fd)
{
	(void)accept(*(int *)fd, NULL, NULL);
	return NULL;
}

static void *epoll_for_ever(void *set)
{
	struct epoll_event event;

	(void)epoll_wait(*(int *)set, &event, 1, -1);
	return NULL;
}

static void *lock_for_ever(void *unused)
{
	(void)pthread_mutex_lock(&lock);
	(void)pthread_mutex_lock(&lock);
	return unused;
}

static void *loop_for_ever(void *unused)
{
	for (volatile bool more = true; more;)
		;
	return unused;
}

static int set_with(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (set == -1 || (fd != -1 && epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == -1))
		_exit(9);
	return set;
}

static void begin(void *(*function)(void *), void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, function, argument) != 0)
		_exit(9);
}

static void start(void (*function)(void))
{
	union os_address at = os_address("127.0.0.1");

	listener = os_listen(&at);
	other = fork();
	ck_assert_int_ne(other, -1);
	if (other == 0) {
		(void)alarm(60);
		function();
		_exit(9);
	}
}

static bool is_listener(const void *context, uint64_t inode)
{
	return *(const uint64_t *)context == inode;
}

static enum awaits look_for(uint64_t inode)
{
	struct remote r;
	bool denied = false;
	enum awaits found;

	remote_of(&r, other);
	found = waits_for_client(&r, is_listener, &inode, &denied);
	ck_assert(!denied);
	return found;
}

static enum awaits look(void)
{
	return look_for(remote_own_inode(listener));
}

/* Until all is as wanted: it is on its way there. */
static void becomes(enum awaits wanted)
{
	while (look() != wanted) /* the test has a time limit */
		(void)usleep(1000);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(look(), wanted);
}

static void accepts(void)
{
	(void)accept_for_ever(&listener);
}

static void polls(void)
{
	int set = set_with(listener);

	(void)epoll_for_ever(&set);
}

static void polls_nested(void)
{
	int inner = set_with(listener);
	int outer = set_with(inner);

	(void)epoll_for_ever(&outer);
}

static void polls_something(void)
{
	int set = set_with(-1);

	(void)epoll_for_ever(&set);
}

static void loops_beside_others(void)
{
	static int unrelated;

	(void)set_with(listener);
	unrelated = set_with(-1);
	begin(epoll_for_ever, &unrelated);
	begin(lock_for_ever, NULL);
	(void)loop_for_ever(NULL);
}

static void locked(void)
{
	begin(lock_for_ever, NULL);
	begin(lock_for_ever, NULL);
	(void)lock_for_ever(NULL);
}

TEST(one_whose_threads_are_locked_does_not)
{
	char text[400] = "";

	start(locked);
	/* one that has not come that far awaits nothing, too */
	while (strstr(text, ": S in futex") == NULL) {
		(void)usleep(1000);
		(void)awaits_threads_text(other, text, sizeof(text));
	}
	becomes(AWAITS_NOTHING);
}

static void locked_but_one(void)
{
	begin(accept_for_ever, &listener);
	locked();
}

static const struct {
	void (*function)(void);
	enum awaits awaits;
} waits[] = {
	{accepts, AWAITS_CONNECTION}, {polls, AWAITS_CONNECTION},
	{polls_nested, AWAITS_CONNECTION},    /* a set with a set */
	{polls_something, AWAITS_CONNECTION}, /* the only set may be it */
	{loops_beside_others, AWAITS_NOTHING},
	{locked_but_one, AWAITS_CONNECTION}, /* one thread is enough */
};

TEST_LOOP(who_waits_for_a_connection_is_known, 0, COUNT_OF(waits))
{
	start(waits[_i].function);
	becomes(waits[_i].awaits);
}

TEST(one_that_is_stopped_does_not_until_it_goes_on)
{
	start(polls);
	becomes(AWAITS_CONNECTION);
	ck_assert_int_eq(kill(other, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(other, NULL, WUNTRACED), other);
	becomes(AWAITS_NOTHING);
	ck_assert_int_eq(kill(other, SIGCONT), 0);
}

TEST(of_one_without_the_listener_nothing_is_said)
{
	start(locked);
	becomes(AWAITS_NOTHING);
	ck_assert_int_eq(look_for(1), AWAITS_UNKNOWN);
}
