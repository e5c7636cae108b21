/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/clock.h"
#include "os/look/remote.h"
#include "os/pidfd.h"
#include "os/process.h"
#include "supervisor/common/news.h"
#include "supervisor/sockets/group.h"
#include "supervisor/workers/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

/* What a dead worker leaves: very many processes, which name no worker. */

#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 1\nlisten = " \
	"127.0.0.1:0\n"
#define STRAYS 1000
#define FIRST_STRAY 5000000 /* no process of the machine has such a number */
#define LOOK_TAKES (2 * MSEC)

ROOM_PARTS(&news_part, &plain_part);

static bool are_there;
static bool ended[STRAYS];
static unsigned ended_count;
static int pidfds[STRAYS]; /* or 0 */

static bool is_stray(pid_t pid)
{
	return pid >= FIRST_STRAY && pid < FIRST_STRAY + STRAYS;
}

long process_children(pid_t *list, size_t most)
{
	long n = 0;

	ck_assert_uint_ge(most, STRAYS);
	for (int i = 0; are_there && i < STRAYS; i++)
		if (!ended[i])
			list[n++] = FIRST_STRAY + i;
	return n;
}

/* All of them are younger than any worker. */
int process_look(pid_t pid, struct process_facts *facts)
{
	*facts = (struct process_facts){
		.state = 'S',
		.parent = getpid(),
		.start = is_stray(pid) ? 1 : 2,
	};
	return 0;
}

int pidfd_of(pid_t pid)
{
	int fd = fcntl(room.null_fd, F_DUPFD_CLOEXEC, 3);

	ck_assert(is_stray(pid));
	ck_assert_int_lt(fd, STRAYS);
	pidfds[fd] = pid;
	return fd;
}

int pidfd_peek(int pidfd, struct pidfd_end *end)
{
	(void)end;
	return pidfds[pidfd] == 0;
}

int pidfd_signal(int pidfd, int signal)
{
	pid_t pid = pidfds[pidfd];

	if (is_stray(pid) && signal == SIGKILL) {
		ended[pid - FIRST_STRAY] = true;
		ended_count++;
	}
	return 0;
}

int environment_look(struct environ_look *look, pid_t pid, const char *name)
{
	(void)look;
	(void)pid;
	(void)name;
	errno = ENOENT;
	return -1;
}

int remote_each_fd_from(struct remote *r, int from, unsigned most,
	remote_each *each, void *context)
{
	const struct timespec span = {.tv_nsec = LOOK_TAKES};

	(void)r;
	(void)from;
	(void)most;
	(void)nanosleep(&span, NULL); /* the bench's time */
	(void)each(context, 3, "socket:[4711]");
	return 0;
}

bool group_had_inode(const struct listener *l, uint64_t inode)
{
	(void)l;
	return inode == 4711;
}

static void begin(void)
{
	room_begin(WEB);
	ended_count = 0;
	(void)memset(ended, 0, sizeof(ended));
	(void)memset(pidfds, 0, sizeof(pidfds));
	are_there = false;
	room_tick(room_cluster("web"));
}

START_TEST(very_many_are_ended_in_several_turns)
{
	unsigned turns = 0;

	are_there = true;
	room_exits(room_child(room_cluster("web"), 0), 1);
	while (ended_count < STRAYS) {
		nsec_t begun = clock_now();

		room_pass(MSEC);
		ck_assert_int_le(clock_now() - begun, 20 * MSEC);
		ck_assert_uint_lt(++turns, 10 * STRAYS);
	}
	room_pass(SECOND);
	ck_assert_uint_eq(ended_count, STRAYS);
}
END_TEST

static void add(TCase *all)
{
	tcase_add_checked_fixture(all, begin, room_end);
	tcase_add_test(all, very_many_are_ended_in_several_turns);
}

int main(void)
{
	return room_run("workers/reap", add);
}
