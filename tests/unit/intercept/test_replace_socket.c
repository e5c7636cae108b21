/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/process.h"
#include "os/vfork.h"
#include "supervisor/intercept/internal.h"

#include <errno.h>

/* A worker has to run to take the socket that is put in the place of its own. */
#define WEB "[cluster:web]\ncommand = /bin/web\nworkers = 1\nlisten = 127.0.0.1:0\n"

ROOM_HEARS("intercept", "startwait", "news")

static unsigned tries;
static unsigned needed; /* so many tries */
static nsec_t awake;
static int answered;

REPLACED(int, vfork_run)(int (*function)(void *argument), void *argument, nsec_t patience)
{
	(void)function;
	(void)argument;
	(void)patience;
	errno = ETIMEDOUT;
	return ++tries < needed ? -1 : 0;
}

REPLACED(nsec_t, process_awake)(pid_t pid)
{
	(void)pid;
	return awake * tries;
}

REPLACED(bool, process_is_runnable)(pid_t tid)
{
	(void)tid;
	return false;
}

REPLACED(int, remote_fd_flags)(struct remote *r, int fd)
{
	(void)r;
	(void)fd;
	return 0;
}

REPLACED(bool, seccomp_waits)(int trap, uint64_t id)
{
	(void)trap;
	(void)id;
	return true;
}

REPLACED(void, seccomp_answer)(int trap, uint64_t id, int error)
{
	(void)trap;
	(void)id;
	answered = error;
}

static void put_over(void)
{
	struct service *web = room_cluster("web");
	struct seccomp_notice notice = {0};
	struct remote remote = {0};
	struct takeover t = {
		.service = web,
		.notice = &notice,
		.remote = &remote,
		.trap = room.null_fd,
		.sock = -1,
		.same_count = 1,
	};

	room_tick(web);
	t.child = room_child(web, 0);
	tries = 0;
	answered = -1;
	replace_worker_socket(&t, web->sockets.listeners.list[0]);
}

static void begin(void)
{
	room_begin(WEB);
}

FIXTURE(begin, room_end)

TEST(one_that_got_a_cpu_late_is_not_refused)
{
	needed = 3;
	awake = MSEC;
	put_over();
	ck_assert_int_eq(answered, 0);
}

TEST(one_that_hangs_is_tried_once)
{
	needed = 3;
	awake = 0;
	put_over();
	ck_assert_int_eq(answered, EAGAIN);
	ck_assert_uint_eq(tries, 1);
}
