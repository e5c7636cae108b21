/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "base/scope.h"
#include "os/look/remote.h"
#include "os/process.h"
#include "supervisor/common/async_close.h"
#include "supervisor/sockets/group.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/environment.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <fcntl.h>

/* What a dead worker leaves: very many processes, which name no worker. */

#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 1\nlisten = " \
	"127.0.0.1:0\n"
#define STRAYS 1000
#define FIRST_STRAY 5000000 /* no process of the machine has such a number */

static bool all_over;
static bool remote_has;
static unsigned looks;

REPLACED(bool, child_has_left_trap)(const struct child *child)
{
	(void)child;
	return all_over;
}

/* At once: the numbers of descriptors are to be used again in order (pidfds). */
REPLACED(void, async_close)(struct supervisor *sup, const struct child *by, int *fd)
{
	(void)sup;
	(void)by;
	fd_close(fd);
}

ROOM_HEARS("news")

static bool are_there;
static bool ended[STRAYS];
static unsigned ended_count;
static int pidfds[STRAYS]; /* or 0 */
static int parent;         /* ends when it is looked at, and leaves the next one; or -1 */
static bool ends_late;     /* not before its environment is looked at */

static bool is_stray(pid_t pid)
{
	return pid >= FIRST_STRAY && pid < FIRST_STRAY + STRAYS;
}

REPLACED(long, process_children)(pid_t *list, size_t most)
{
	long n = 0;

	looks++;
	ck_assert_uint_ge(most, STRAYS);
	for (int i = 0; are_there && i < STRAYS; i++)
		if (!ended[i])
			list[n++] = FIRST_STRAY + i;
	return n;
}

/* All of them are younger than any worker. */
REPLACED(int, process_look)(pid_t pid, struct process_facts *facts)
{
	*facts = (struct process_facts){
		.state = 'S',
		.parent = getpid(),
		.start = is_stray(pid) ? 1 : 2,
	};
	return 0;
}

static bool is_parent_ending(pid_t pid)
{
	if (pid - FIRST_STRAY != parent)
		return false;
	ended[parent] = true;
	ended[parent + 1] = false;
	errno = ESRCH;
	return true;
}

REPLACED(int, pidfd_of)(pid_t pid)
{
	int fd = -1;

	ck_assert(is_stray(pid));
	if (!ends_late && is_parent_ending(pid))
		return -1;
	fd = fcntl(room.null_fd, F_DUPFD_CLOEXEC, 3);
	ck_assert_int_lt(fd, STRAYS);
	pidfds[fd] = pid;
	return fd;
}

REPLACED(int, pidfd_peek)(int pidfd, struct pidfd_end *end)
{
	(void)end;
	return pidfds[pidfd] == 0;
}

REPLACED(int, child_peek)(pid_t pid, struct pidfd_end *end)
{
	(void)end;
	return !is_stray(pid) || ended[pid - FIRST_STRAY];
}

REPLACED(int, pidfd_signal)(int pidfd, int signal)
{
	pid_t pid = pidfds[pidfd];

	if (pid == 0) { /* a worker, which has ended, and its group */
		errno = ESRCH;
		return -1;
	}
	if (is_stray(pid) && signal == SIGKILL) {
		ended[pid - FIRST_STRAY] = true;
		ended_count++;
	}
	return 0;
}

REPLACED(int, environment_look)
(struct environ_look *look, pid_t pid, const char *name)
{
	(void)look;
	(void)name;
	if (!is_parent_ending(pid))
		errno = ENOENT;
	return -1;
}

REPLACED(int, remote_each_fd)
(struct remote *r, unsigned most, remote_each *each, void *context)
{
	(void)r;
	(void)most;
	if (remote_has)
		(void)each(context, 3, "socket:[4711]");
	return 0;
}

REPLACED(bool, group_had_inode)(const struct listener *l, uint64_t inode)
{
	(void)l;
	return inode == 4711;
}

static void begin(void)
{
	room_begin(WEB);
	ended_count = 0;
	memset(ended, 0, sizeof(ended));
	memset(pidfds, 0, sizeof(pidfds));
	are_there = all_over = false;
	remote_has = true;
	parent = -1;
	ends_late = false;
	looks = 0;
	room_tick(room_cluster("web"));
}

FIXTURE(begin, room_end)

TEST_LOOP(a_child_of_one_that_ends_in_the_midst_of_a_look_is_not_missed, 0, 2)
{
	uint64_t dead;

	are_there = true;
	memset(ended, 1, sizeof(ended));
	ended[0] = false;
	parent = 0;
	ends_late = _i == 1;
	dead = room_child(room_cluster("web"), 0)->serial;
	room_exits(room_child(room_cluster("web"), 0), 1);
	while (child_by_serial(&room, dead) != NULL)
		room_pass(MSEC);
	ck_assert_uint_eq(ended_count, 1);
	memset(pidfds, 0, sizeof(pidfds)); /* the next worker has one */
}

TEST(nobody_is_looked_for_if_a_room_knows_that_all_is_over)
{
	looks = 0;
	all_over = true;
	room_exits(room_child(room_cluster("web"), 0), 1);
	ck_assert_uint_eq(service_counts(room_cluster("web")).alive, 0);
	room_pass(5 * SECOND);
	ck_assert_uint_eq(looks, 0);
	ck_assert_uint_eq(service_counts(room_cluster("web")).alive, 1);
}

/* Whose it is shows only later: workers that are older than it end. */
TEST(but_while_a_process_lives_that_nobody_knows_it_is)
{
	are_there = true;
	memset(ended, 1, sizeof(ended));
	ended[0] = false;
	remote_has = false;
	room_exits(room_child(room_cluster("web"), 0), 1);
	room_pass(5 * SECOND);
	ck_assert_uint_eq(ended_count, 0);
	looks = 0;
	all_over = true;
	memset(pidfds, 0, sizeof(pidfds)); /* the worker has a new one */
	room_exits(room_child(room_cluster("web"), 0), 1);
	room_pass(5 * SECOND); /* looks are not to take all of the time */
	ck_assert_uint_ge(looks, 1);
}
