/* SPDX-License-Identifier: MIT */
#include "os/descriptors.h"
#include "os/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

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

int spawn_descriptors(
	const struct spawn_plan *plan, int *report, int *exec_fd, int *bad)
{
	int from[SPAWN_FDS_MAX];
	int null_fd = plan->null_fd;
	bool standard[3] = {false, false, false};
	int top = beyond_targets(plan);

	if (plan->fd_count > SPAWN_FDS_MAX) {
		errno = EMFILE;
		return -1;
	}
	if (park(report, top) == -1 ||
		(*exec_fd != -1 && park(exec_fd, top) == -1))
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		from[i] = plan->fds[i].from;
		*bad = from[i];
		if (plan->fds[i].to >= 0 && plan->fds[i].to < 3)
			standard[plan->fds[i].to] = true;
		if (from[i] != plan->fds[i].to && park(&from[i], top) == -1)
			return -1;
	}
	*bad = null_fd;
	if ((!standard[0] || !standard[1] || !standard[2]) &&
		park(&null_fd, top) == -1)
		return -1;
	for (int n = 0; n < 3; n++)
		if (!standard[n] && place(null_fd, n) == -1)
			return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = plan->fds[i].from;
		if (place(from[i], plan->fds[i].to) == -1)
			return -1;
	}
	*bad = -1;
	return close_others(plan);
}
