/* SPDX-License-Identifier: MIT */
#include "os/spawn/internal.h"

#include "os/descriptors.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <unistd.h>

/* A descriptor below LOW is low; KEPT low ones are reserved for lending; ROOM: make_room(). */
enum { LOW = 256, KEPT = 10, ROOM = 16384 };

/*
 * The reserved numbers (all on /dev/null), taken at the first spawn, when low numbers are
 * still free: facts about the process, of which a second copy could not be right.
 */
static struct {
	bool asked;
	bool worth_it; /* so many descriptors were open once that LOW was passed */
	unsigned count;
	int low[KEPT]; /* the first is never lent: dup3(2) of it restores the others */
	unsigned lent; /* a bit for each number that children in the making have */
} kept;

/* None where close_range(2) does not work, or all descriptors are low. */
static void keep_low_numbers(int null_fd)
{
	struct rlimit limit;
	int fd = -1;

	kept.asked = true;
	if (vfork_table() == 0 || (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= LOW))
		return;
	while (kept.count < KEPT && (fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 3)) != -1 && fd < LOW)
		kept.low[kept.count++] = fd;
	if (fd >= LOW)
		(void)close(fd);
}

/* Make *fd low.  False: no number is left to lend. */
static bool lend_low(struct spawn_table *t, int *fd)
{
	unsigned at = 1;

	if (*fd >= LOW) {
		while (at < kept.count && (kept.lent >> at & 1) != 0)
			at++;
		if (at >= kept.count || dup3(*fd, kept.low[at], O_CLOEXEC) == -1)
			return false;
		t->lent |= 1U << at;
		kept.lent |= 1U << at;
		*fd = kept.low[at];
	}
	if (*fd >= (int)t->first_other)
		t->first_other = (unsigned)*fd + 1;
	return true;
}

static bool lower_all(struct spawn_table *t, const struct spawn_plan *plan)
{
	for (size_t i = 0; i < plan->fd_count; i++)
		if (!lend_low(t, &t->from[i]))
			return false;
	return lend_low(t, &t->null_fd) && lend_low(t, &t->exec_fd) && lend_low(t, &t->report) &&
		lend_low(t, &t->channel);
}

static void fill_table(struct spawn_table *t, const struct spawn_plan *plan, int report)
{
	for (size_t i = 0; i < plan->fd_count; i++)
		t->from[i] = plan->fds[i].from;
	t->null_fd = plan->null_fd;
	t->exec_fd = plan->exec_fd;
	t->report = report;
	t->channel = plan->trap != NULL ? plan->trap->channel[1] : -1;
	t->first_other = 0;
	t->lent = 0;
}

int spawn_table_lend(struct spawn_table *t, const struct spawn_plan *plan, int report)
{
	if (plan->fd_count > SPAWN_FDS_MAX) {
		errno = EMFILE;
		return -1;
	}
	fill_table(t, plan, report);
	if (!kept.asked && plan->null_fd != -1)
		keep_low_numbers(plan->null_fd);
	/* where children are forks, by an emulation, CLONE_FILES may be unknown */
	if (kept.count == 0 || !kept.worth_it || !vfork_is_shared() || lower_all(t, plan))
		return 0;
	spawn_table_return(t);
	fill_table(t, plan, report);
	return 0;
}

/*
 * A table that has to grow while it is shared waits for all readers on all CPUs first
 * (expand_fdtable() in the kernel's fs/file.c): 10 ms and more, and just then the pidfd of
 * a clone is allocated.  So let it grow before, for some thousands of workers.
 */
static void make_room(int fd)
{
	int last = fcntl(fd, F_DUPFD_CLOEXEC, ROOM - 1);

	if (last != -1)
		(void)close(last);
}

void spawn_table_note(int fd)
{
	if (kept.worth_it || fd < LOW) /* the lowest free number, or nearly */
		return;
	kept.worth_it = true;
	make_room(fd);
}

void spawn_table_return(struct spawn_table *t)
{
	for (unsigned at = 1; at < kept.count; at++)
		if ((t->lent >> at & 1) != 0) /* cannot fail: both are open */
			(void)dup3(kept.low[0], kept.low[at], O_CLOEXEC);
	kept.lent &= ~t->lent;
	t->lent = 0;
}

/* Where the targets end: the lowest number above all of them. */
static int beyond_targets(const struct spawn_plan *plan)
{
	int top = 3;

	for (size_t i = 0; i < plan->fd_count; i++)
		if (plan->fds[i].to >= top)
			top = plan->fds[i].to + 1;
	return top;
}

/* Move a descriptor that a target may overwrite above all targets. */
static int move_above(int *fd, int top)
{
	int moved;

	if (*fd >= top)
		return 0;
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, top);
	if (moved == -1)
		return -1;
	*fd = moved;
	return 0;
}

static int move_to(int from, int to)
{
	if (from == to)
		return fcntl(to, F_SETFD, 0);
	return dup2(from, to) == -1 ? -1 : 0;
}

/* The lowest target that is `from` or above; INT_MAX: none. */
static int next_target(const struct spawn_plan *plan, int from)
{
	int found = INT_MAX;

	if (from < 3)
		return from; /* 0-2 are always filled */
	for (size_t i = 0; i < plan->fd_count; i++)
		if (plan->fds[i].to >= from && plan->fds[i].to < found)
			found = plan->fds[i].to;
	return found;
}

/* Let exec close all descriptors that are no targets, in the holes between targets too. */
static int close_others(const struct spawn_plan *plan)
{
	unsigned first = 3;

	for (;;) {
		int target = next_target(plan, (int)first);
		unsigned last = target == INT_MAX ? ~0U : (unsigned)target - 1;

		if ((unsigned)target > first && descriptors_cloexec(first, last) == -1)
			return -1;
		if (target == INT_MAX)
			return 0;
		first = (unsigned)target + 1;
	}
}

/* Leave the shared table: no number may be changed before. */
static int own_table(const struct spawn_table *t)
{
	if (t->first_other == 0)
		return 0;
	return close_range(t->first_other, ~0U, CLOSE_RANGE_UNSHARE);
}

static int fill_standard(const struct spawn_plan *plan, int null_fd, int top, int *bad)
{
	bool given[3] = {false, false, false};

	for (size_t i = 0; i < plan->fd_count; i++)
		if (plan->fds[i].to >= 0 && plan->fds[i].to < 3)
			given[plan->fds[i].to] = true;
	*bad = null_fd;
	for (int n = 0; n < 3; n++)
		if (!given[n] && (move_above(&null_fd, top) == -1 || move_to(null_fd, n) == -1))
			return -1;
	return 0;
}

int spawn_table_take(struct spawn_table *t, const struct spawn_plan *plan, int *bad)
{
	int top = beyond_targets(plan);

	*bad = -1;
	if (own_table(t) == -1 || (t->report != -1 && move_above(&t->report, top) == -1) ||
		(t->channel != -1 && move_above(&t->channel, top) == -1) ||
		(t->exec_fd != -1 && move_above(&t->exec_fd, top) == -1))
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = plan->fds[i].from;
		if (t->from[i] != plan->fds[i].to && move_above(&t->from[i], top) == -1)
			return -1;
	}
	if (fill_standard(plan, t->null_fd, top, bad) == -1)
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = plan->fds[i].from;
		if (move_to(t->from[i], plan->fds[i].to) == -1)
			return -1;
	}
	*bad = -1;
	return close_others(plan);
}
