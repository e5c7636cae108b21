/* SPDX-License-Identifier: MIT */
#include "os/spawn/spawn_table.h"

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

/* Below this a descriptor is low; so many low ones are kept to be lent. */
enum { LOW = 256, KEPT = 10 };

/*
 * The kept numbers (all on /dev/null), taken at the first spawn, when low
 * numbers are still free; and what we have learnt of the kernel.  Facts about
 * the process, not about anybody's work: a second copy could not be right.
 */
static struct {
	bool asked;
	bool possible; /* close_range(2) is there */
	bool full;     /* no more low ones are to be had */
	bool worth_it; /* so many were open once that LOW was passed */
	unsigned count;
	int low[KEPT]; /* the first is never lent: others become it again */
	unsigned lent; /* a bit for each, of all children to be */
	int highest;   /* descriptor seen */
	int room;      /* the table has places below this */
} kept;

static void ask(void)
{
	struct rlimit limit;

	kept.asked = true;
	kept.possible = vfork_table() != 0;
	/* without others than low ones there will be nothing to lend */
	kept.full =
		!kept.possible || (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= LOW);
}

static void keep(int null_fd)
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
 * A table that has to grow while it is shared waits for all readers on all CPUs
 * first (expand_fdtable() in the kernel's fs/file.c): 10 ms and more.  The pidfd
 * of a clone is taken just then.  So let it grow before, to the next of its
 * sizes (powers of two), with a MARGIN for what is opened between two spawns.
 */
static void make_room(int null_fd)
{
	enum { MARGIN = 64 };
	int fd;

	while (kept.room <= kept.highest)
		kept.room = kept.room > 0 ? 2 * kept.room : LOW;
	if (kept.highest + MARGIN < kept.room)
		return;
	/* beyond the limit no descriptor will be taken either */
	fd = fcntl(null_fd, F_DUPFD_CLOEXEC, kept.room);
	if (fd != -1)
		(void)close(fd);
	kept.room *= 2;
}

/* Somebody may have closed all descriptors since, and use the number. */
static bool is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* Make *fd low.  False: there is no number left to lend. */
static bool lower(struct spawn_table *t, int *fd)
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
		if (!lower(t, &t->from[i]))
			return false;
	return lower(t, &t->null_fd) && lower(t, &t->exec_fd) && lower(t, &t->report) &&
		lower(t, &t->channel);
}

static void fill(struct spawn_table *t, const struct spawn_plan *plan, int report)
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
	fill(t, plan, report);
	if (!kept.asked)
		ask();
	keep(plan->null_fd);
	if (!kept.possible || !kept.worth_it)
		return 0;
	make_room(plan->null_fd);
	if (lower_all(t, plan))
		return 0;
	spawn_table_return(t);
	fill(t, plan, report);
	return 0;
}

void spawn_table_note(int fd)
{
	if (fd >= LOW) /* it was the lowest free number, or nearly */
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
	t->first_other = 0; /* what is lent stays so until it is returned */
}

/* Where the targets end: the lowest number that is none. */
static int beyond_targets(const struct spawn_plan *plan)
{
	int top = 3;

	for (size_t i = 0; i < plan->fd_count; i++)
		if (plan->fds[i].to >= top)
			top = plan->fds[i].to + 1;
	return top;
}

/* A descriptor that a target may overwrite moves above them all. */
static int park(int *fd, int top)
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

static int place(int from, int to)
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

/* All that is no target is closed by exec, the holes between them too. */
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

/* Nothing may touch the numbers before they are our own. */
static int own(const struct spawn_table *t)
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
		if (!given[n] && (park(&null_fd, top) == -1 || place(null_fd, n) == -1))
			return -1;
	return 0;
}

int spawn_table_take(struct spawn_table *t, const struct spawn_plan *plan, int *bad)
{
	int top = beyond_targets(plan);

	*bad = -1;
	if (own(t) == -1 || (t->report != -1 && park(&t->report, top) == -1) ||
		(t->channel != -1 && park(&t->channel, top) == -1) ||
		(t->exec_fd != -1 && park(&t->exec_fd, top) == -1))
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = plan->fds[i].from;
		if (t->from[i] != plan->fds[i].to && park(&t->from[i], top) == -1)
			return -1;
	}
	if (fill_standard(plan, t->null_fd, top, bad) == -1)
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = plan->fds[i].from;
		if (place(t->from[i], plan->fds[i].to) == -1)
			return -1;
	}
	*bad = -1;
	return close_others(plan);
}
