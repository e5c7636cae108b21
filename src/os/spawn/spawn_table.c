/* SPDX-License-Identifier: MIT */
#include "os/spawn/internal.h"

#include "os/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

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

int spawn_arrange(const struct spawn_plan *plan, struct spawn_own *own, int *bad)
{
	int from[SPAWN_FDS_MAX];
	int top = beyond_targets(plan);

	*bad = -1;
	errno = EMFILE;
	if (plan->fd_count > SPAWN_FDS_MAX ||
		(own->report != -1 && move_above(&own->report, top) == -1) ||
		(own->channel != -1 && move_above(&own->channel, top) == -1) ||
		(own->exec_fd != -1 && move_above(&own->exec_fd, top) == -1))
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = from[i] = plan->fds[i].from;
		if (from[i] != plan->fds[i].to && move_above(&from[i], top) == -1)
			return -1;
	}
	if (fill_standard(plan, plan->null_fd, top, bad) == -1)
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = plan->fds[i].from;
		if (move_to(from[i], plan->fds[i].to) == -1)
			return -1;
	}
	*bad = -1;
	return close_others(plan);
}
