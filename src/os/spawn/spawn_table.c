/* SPDX-License-Identifier: MIT */
#include "os/spawn/spawn_table.h"

#include "os/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

int spawn_table_fill(
	struct spawn_table *t, const struct spawn_plan *plan, int report)
{
	if (plan->fd_count > SPAWN_FDS_MAX) {
		errno = EMFILE;
		return -1;
	}
	for (size_t i = 0; i < plan->fd_count; i++)
		t->from[i] = plan->fds[i].from;
	t->exec_fd = plan->exec_fd;
	t->report = report;
	t->channel = plan->trap != NULL ? plan->trap->channel[1] : -1;
	return 0;
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

		if ((unsigned)target > first &&
			descriptors_cloexec(first, last) == -1)
			return -1;
		if (target == INT_MAX)
			return 0;
		first = (unsigned)target + 1;
	}
}

static int fill_standard(const struct spawn_plan *plan, int top, int *bad)
{
	bool given[3] = {false, false, false};
	int null_fd = plan->null_fd;

	for (size_t i = 0; i < plan->fd_count; i++)
		if (plan->fds[i].to >= 0 && plan->fds[i].to < 3)
			given[plan->fds[i].to] = true;
	*bad = null_fd;
	for (int n = 0; n < 3; n++)
		if (!given[n] &&
			(park(&null_fd, top) == -1 || place(null_fd, n) == -1))
			return -1;
	return 0;
}

int spawn_table_take(
	struct spawn_table *t, const struct spawn_plan *plan, int *bad)
{
	int top = beyond_targets(plan);

	*bad = -1;
	if ((t->report != -1 && park(&t->report, top) == -1) ||
		(t->channel != -1 && park(&t->channel, top) == -1) ||
		(t->exec_fd != -1 && park(&t->exec_fd, top) == -1))
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = plan->fds[i].from;
		if (t->from[i] != plan->fds[i].to &&
			park(&t->from[i], top) == -1)
			return -1;
	}
	if (fill_standard(plan, top, bad) == -1)
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = plan->fds[i].from;
		if (place(t->from[i], plan->fds[i].to) == -1)
			return -1;
	}
	*bad = -1;
	return close_others(plan);
}
