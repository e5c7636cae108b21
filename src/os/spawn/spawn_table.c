/* SPDX-License-Identifier: MIT */
#include "os/spawn/internal.h"

#include "os/descriptors.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A descriptor below LOW is low; KEPT low ones are reserved for lending. */
enum { LOW = 256, KEPT = 10 };

/*
 * The reserved numbers (all on /dev/null), taken at the first spawn, when low
 * numbers are still free; and what this process has learnt of the kernel.  These
 * are facts about the process: a second copy could not be right.
 */
static struct {
	bool asked;
	bool possible; /* close_range(2) works */
	bool full;     /* no more low numbers can be reserved */
	bool worth_it; /* so many descriptors were open once that LOW was passed */
	unsigned count;
	int low[KEPT]; /* the first is never lent: dup3(2) of it restores the others */
	unsigned lent; /* a bit for each number that children in the making have */
	int highest;   /* highest descriptor seen */
	int room;      /* the kernel's table has places below this number */
} kept;

static void ask_kernel(void)
{
	struct rlimit limit;

	kept.asked = true;
	kept.possible = vfork_table() != 0;
	/* where all descriptors are low, no number will ever be lent */
	kept.full =
		!kept.possible || (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= LOW);
}

static void keep_low_numbers(int null_fd)
{
	while (!kept.full && null_fd != -1 && kept.count < KEPT) {
		int fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 3);

		if (fd >= LOW)
			(void)close(fd);
		kept.full = fd == -1 || fd >= LOW;
		if (!kept.full)
			kept.low[kept.count++] = fd;
	}
}

/*
 * A table that has to grow while it is shared waits for all readers on all CPUs first
 * (expand_fdtable() in the kernel's fs/file.c): 10 ms and more, and just then the pidfd of
 * a clone is allocated.  So let the table grow before, to the next of its sizes (powers of
 * two), with a MARGIN for descriptors that are opened between two spawns.
 */
static void make_room(int null_fd)
{
	enum { MARGIN = 64 };
	int fd;

	while (kept.room <= kept.highest)
		kept.room = kept.room > 0 ? 2 * kept.room : LOW;
	if (kept.highest + MARGIN < kept.room)
		return;
	/* beyond RLIMIT_NOFILE no descriptor can be opened either */
	fd = fcntl(null_fd, F_DUPFD_CLOEXEC, kept.room);
	if (fd != -1)
		(void)close(fd);
	kept.room *= 2;
}

/* Some code may have closed all descriptors since, and use the number. */
static bool is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* Make *fd low.  False: no number is left to lend. */
static bool lend_low(struct spawn_table *t, int *fd)
{
	int low;

	if (*fd >= LOW) {
		unsigned at = 1;

		while (at < kept.count && (kept.lent >> at & 1) != 0)
			at++;
		if (at >= kept.count || !is_ours(kept.low[0]))
			return false;
		low = kept.low[at];
		if (!is_ours(low) || dup3(*fd, low, O_CLOEXEC) == -1)
			return false;
		t->lent |= 1U << at;
		kept.lent |= 1U << at;
		*fd = low;
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
	if (!kept.asked)
		ask_kernel();
	keep_low_numbers(plan->null_fd);
	if (!kept.possible || !kept.worth_it)
		return 0;
	make_room(plan->null_fd);
	if (lower_all(t, plan))
		return 0;
	spawn_table_return(t);
	fill_table(t, plan, report);
	return 0;
}

void spawn_table_note(int fd)
{
	if (fd >= LOW) /* the lowest free number, or nearly */
		kept.worth_it = true;
	if (fd > kept.highest)
		kept.highest = fd;
}

void spawn_table_return(struct spawn_table *t)
{
	for (unsigned at = 1; at < kept.count; at++)
		if ((t->lent >> at & 1) != 0) /* cannot fail: both are open */
			(void)dup3(kept.low[0], kept.low[at], O_CLOEXEC);
	kept.lent &= ~t->lent;
	t->lent = 0;
}

void spawn_table_unshared(struct spawn_table *t)
{
	kept.possible = false;
	t->first_other = 0; /* lent numbers stay lent until they are returned */
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
