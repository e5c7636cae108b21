/* SPDX-License-Identifier: MIT */
#include "os/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t join_halves(uint32_t low, uint32_t high)
{
	return (uint64_t)high << 32 | low;
}

int capset_get(struct capset *set)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}, {0}};

	if (syscall(SYS_capget, &header, data) == -1)
		return -1;
	set->effective = join_halves(data[0].effective, data[1].effective);
	set->permitted = join_halves(data[0].permitted, data[1].permitted);
	set->inheritable = join_halves(data[0].inheritable, data[1].inheritable);
	return 0;
}

int capset_put(const struct capset *set)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)set->effective,
			.permitted = (uint32_t)set->permitted,
			.inheritable = (uint32_t)set->inheritable},
		{.effective = (uint32_t)(set->effective >> 32),
			.permitted = (uint32_t)(set->permitted >> 32),
			.inheritable = (uint32_t)(set->inheritable >> 32)},
	};
	struct capset now;

	if (syscall(SYS_capset, &header, data) == -1)
		return -1;
	if (capset_get(&now) == -1)
		return -1;
	/* the kernel drops bits of capabilities that it does not know, without an error */
	if (now.permitted == set->permitted && now.effective == set->effective)
		return 0;
	errno = EINVAL;
	return -1;
}

int capset_bound(uint64_t keep)
{
	for (unsigned long cap = 0; cap < 64; cap++) {
		int there = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (there == -1)
			break; /* EINVAL: beyond the last capability of this kernel */
		if (there == 1 && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return -1;
	}
	return 0;
}

int capset_ambient(uint64_t keep)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1)
		return -1;
	for (unsigned long cap = 0; cap < 64; cap++)
		if ((keep >> cap & 1) &&
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == -1)
			return -1;
	return 0;
}
