/* SPDX-License-Identifier: MIT */
#include "os/privilege.h"

#include "base/trusted.h"
#include "os/descriptors.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

bool privilege_has(int capability)
{
	struct capset set;

	return capset_get(&set) == 0 && (set.effective >> (unsigned)capability & 1) != 0;
}

bool privilege_is_setuid(void)
{
	return getuid() != geteuid() || getgid() != getegid();
}

static int become_user(uid_t uid, struct error *err)
{
	if (setgroups(0, NULL) == -1)
		return error_set(err, errno, "cannot drop the groups");
	if (setresgid(uid, uid, uid) == -1)
		return error_set(err, errno, "cannot become group %u", uid);
	if (setresuid(uid, uid, uid) == -1)
		return error_set(err, errno, "cannot become user %u", uid);
	return 0;
}

int privilege_shed(uid_t uid, struct error *err)
{
	const struct capset nothing = {0};
	bool root = geteuid() == 0;
	unsigned long count;

	if (privilege_has(CAP_SETPCAP) && capset_bound(0) == -1)
		return error_set(err, errno, "cannot bound the capabilities");
	/* In a user namespace with one user root cannot become another user: root
	 * has no more rights there than that user, and the code below drops those. */
	if (root && trusted_id_is_mapped("/proc/self/uid_map", uid, &count) &&
		trusted_id_is_mapped("/proc/self/gid_map", uid, &count) &&
		become_user(uid, err) == -1)
		return -1;
	if (capset_put(&nothing) == -1 || capset_ambient(0) == -1)
		return error_set(err, errno, "cannot drop the capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return error_set(err, errno, "cannot set no_new_privs");
	if (geteuid() != 0 && setresuid(0, 0, 0) == 0)
		return error_set(err, 0, "privilege could be regained");
	return 0;
}

/* Otherwise the next file that is opened would get the number of a closed stdout. */
int privilege_fill_standard(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) == -1 && errno == EBADF &&
			open("/dev/null", O_RDWR | O_NOCTTY) != fd)
			return -1;
	return 0;
}

static int reset_signals(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t none;

	sigemptyset(&none);
	if (disposition_reset() == -1 || sigaction(SIGPIPE, &ignore, NULL) == -1)
		return -1;
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

int privilege_clean_start(struct error *err)
{
	if (privilege_fill_standard() == -1)
		return error_set(err, errno, "cannot open '/dev/null'");
	if (descriptors_cloexec(3, ~0U) == -1) {
		error_set(err, errno, "cannot mark the descriptors close-on-exec");
		return error_hint(err, "mount /proc: nclust needs it");
	}
	if (reset_signals() == -1)
		return error_set(err, errno, "cannot reset the signals");
	return 0;
}

int privilege_become_subreaper(struct error *err)
{
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1)
		return error_set(err, errno, "cannot become a subreaper");
	return 0;
}

/* ---- capset ---- */

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
