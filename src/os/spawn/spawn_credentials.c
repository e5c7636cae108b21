/* SPDX-License-Identifier: MIT */
#include "os/privilege.h"
#include "os/vfork.h"
#include "os/spawn/internal.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool has_group(const gid_t *list, size_t count, gid_t gid)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == gid)
			return true;
	return false;
}

/* Are the groups those that we have already?  Then an ordinary user may ask for them. */
static bool has_groups(const struct spawn_plan *plan)
{
	gid_t now[256];
	int n = getgroups(256, now);

	if (n == -1)
		return false;
	for (int i = 0; i < n; i++)
		if (!has_group(plan->groups, plan->group_count, now[i]))
			return false;
	for (size_t i = 0; i < plan->group_count; i++)
		if (!has_group(now, (size_t)n, plan->groups[i]))
			return false;
	return true;
}

static int set_groups(const struct spawn_plan *plan)
{
	gid_t real;
	gid_t effective;
	gid_t saved;
	gid_t gid = (gid_t)plan->gid;

	if (plan->uid >= 0 && syscall(VFORK_SETGROUPS, plan->group_count, plan->groups) == -1 &&
		(errno != EPERM || !has_groups(plan)))
		return -1;
	if (plan->gid < 0)
		return 0;
	if (syscall(VFORK_SETRESGID, gid, gid, vfork_saved_group(gid)) == -1 ||
		getresgid(&real, &effective, &saved) == -1)
		return -1;
	if (real == gid && effective == gid)
		return 0;
	errno = EPERM;
	return -1;
}

/*
 * No descendant can gain a capability that the bounding set lacks.  Shrinking the
 * set takes CAP_SETPCAP; without that, no_new_privs does the same.
 */
static int bound_capabilities(const struct spawn_plan *plan)
{
	if (capset_bound(plan->capabilities) == 0)
		return 0;
	return errno == EPERM && plan->no_new_privs ? 0 : -1;
}

/* Between the ids and spawn_capabilities() no capability is effective: the steps in
 * between, and the proof, have the rights of the user alone. */
static int clear_effective(const struct spawn_plan *plan)
{
	const struct capset asleep = {
		.permitted = plan->capabilities_given ? plan->capabilities : 0,
		.inheritable = plan->capabilities_given ? plan->capabilities : 0,
	};

	return capset_put(&asleep);
}

static int set_user(const struct spawn_plan *plan)
{
	uid_t uid = (uid_t)plan->uid;
	uid_t real;
	uid_t effective;
	uid_t saved;

	if (syscall(VFORK_SETRESUID, uid, uid, uid) == -1 ||
		getresuid(&real, &effective, &saved) == -1)
		return -1;
	if (real == uid && effective == uid && saved == uid)
		return 0;
	errno = EPERM;
	return -1;
}

int spawn_credentials(const struct spawn_plan *plan, struct spawn_failure *failure)
{
	if (plan->capabilities_given && bound_capabilities(plan) == -1)
		return spawn_fail(failure, SPAWN_CAPABILITIES, "");
	if (set_groups(plan) == -1)
		return spawn_fail(failure, SPAWN_GROUPS, "");
	if (plan->uid < 0)
		return 0;
	if (plan->capabilities_given && plan->capabilities != 0 &&
		prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1)
		return spawn_fail(failure, SPAWN_CAPABILITIES, "");
	if (set_user(plan) == -1)
		return spawn_fail(failure, SPAWN_USER, "");
	if (plan->uid == 0)
		return 0;
	if (clear_effective(plan) == -1)
		return spawn_fail(failure, SPAWN_CAPABILITIES, "");
	if (syscall(VFORK_SETRESUID, 0, 0, 0) == -1)
		return 0; /* as it must be; exec clears PR_SET_KEEPCAPS */
	errno = EPERM;
	return spawn_fail(failure, SPAWN_REGAIN, "");
}

int spawn_capabilities(const struct spawn_plan *plan)
{
	const struct capset exact = {
		.effective = plan->capabilities,
		.permitted = plan->capabilities,
		.inheritable = plan->capabilities,
	};

	if (capset_put(&exact) == -1)
		return -1;
	return capset_ambient(plan->capabilities);
}
