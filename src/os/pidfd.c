/* SPDX-License-Identifier: MIT */
#include "os/pidfd.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1UL << 2) /* linux/pidfd.h, 6.9 */
#endif

static int send_signal(int pidfd, int signal, unsigned long flags)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL,
		(unsigned int)flags);
}

int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0U);
}

int pidfd_signal(int pidfd, int signal)
{
	return send_signal(pidfd, signal, 0);
}

int pidfd_signal_group(int pidfd, pid_t pid, int signal)
{
	if (send_signal(pidfd, signal, PIDFD_SIGNAL_PROCESS_GROUP) == 0)
		return 0;
	if (errno != EINVAL)
		return -1;
	/* An older kernel, or an invalid signal, which kill() tells again. */
	if (pid <= 1) {
		errno = EINVAL; /* kill(-1) would reach everybody */
		return -1;
	}
	return kill(-pid, signal);
}

static int wait_for(idtype_t type, id_t id, int flags, struct pidfd_end *end)
{
	siginfo_t info;

	(void)memset(&info, 0, sizeof(info)); /* si_pid stays 0: nobody */
	while (waitid(type, id, &info, WEXITED | WNOHANG | flags) == -1)
		if (errno != EINTR)
			return -1;
	if (info.si_pid == 0)
		return 0;
	end->signalled = info.si_code != CLD_EXITED;
	end->core_dumped = info.si_code == CLD_DUMPED;
	end->code = info.si_status;
	return 1;
}

int pidfd_peek(int pidfd, struct pidfd_end *end)
{
	return wait_for(P_PIDFD, (id_t)pidfd, WNOWAIT, end);
}

int pidfd_reap(int pidfd, struct pidfd_end *end)
{
	return wait_for(P_PIDFD, (id_t)pidfd, 0, end);
}

int pidfd_is_stopped(int pidfd)
{
	siginfo_t info;

	(void)memset(&info, 0, sizeof(info));
	while (waitid(P_PIDFD, (id_t)pidfd, &info,
		       WSTOPPED | WNOHANG | WNOWAIT) == -1)
		if (errno != EINTR)
			return -1;
	return info.si_pid != 0 && info.si_code == CLD_STOPPED;
}

pid_t child_peek_any(void)
{
	siginfo_t info;

	(void)memset(&info, 0, sizeof(info));
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1)
		if (errno != EINTR)
			return -1;
	return info.si_pid;
}

int child_reap(pid_t pid)
{
	struct pidfd_end end;
	int n = wait_for(P_PID, (id_t)pid, 0, &end);

	if (n == 0)
		errno = EAGAIN; /* it lives */
	return n == 1 ? 0 : -1;
}
