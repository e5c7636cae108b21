/* SPDX-License-Identifier: MIT */
#include "os/pidfd.h"

#include "os/process.h"
#include "os/trycall.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PIDFD_SIGNAL_THREAD
#define PIDFD_SIGNAL_THREAD (1UL << 0) /* linux/pidfd.h, 6.9 */
#endif
#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1UL << 2) /* linux/pidfd.h, 6.9 */
#endif

#define LET_GO_MOST 64U /* tracings that one call ends, maybe all of one process */

/* linux/pidfd.h, 6.13; PIDFD_INFO_EXIT 6.15. */
struct info {
	uint64_t mask;
	uint64_t cgroup;
	uint32_t ids[11];
	int32_t exit_code;
};
#define GET_INFO _IOWR(0xFF, 11, struct info)
#define INFO_EXIT (UINT64_C(1) << 3)

static int send_signal(int pidfd, int signal, unsigned long flags)
{
	return (int)trycall(SYS_pidfd_send_signal, pidfd, signal, NULL, (unsigned int)flags);
}

/* Has a container's filter that is older than the call refused it? */
static bool is_refused(void)
{
	return errno == ENOSYS || errno == EPERM;
}

int pidfd_to_watch(pid_t pid)
{
	return (int)trycall(SYS_pidfd_open, pid, 0U);
}

int pidfd_of(pid_t pid)
{
	int fd = pidfd_to_watch(pid);

	if (fd != -1 || !is_refused())
		return fd;
	fd = process_open(pid, "", O_RDONLY | O_DIRECTORY);
	if (fd == -1 && errno == ENOENT)
		errno = ESRCH;
	return fd;
}

pid_t pidfd_fork(int *pidfd)
{
	const unsigned long flags = CLONE_PIDFD | SIGCHLD;

#ifdef __s390__
	return (pid_t)syscall(SYS_clone, NULL, flags, pidfd, NULL, NULL);
#else
	return (pid_t)syscall(SYS_clone, flags, NULL, pidfd, NULL, NULL);
#endif
}

pid_t pidfd_pid(int pidfd)
{
	char path[40];
	char text[512];
	const char *at;
	struct info info = {0};

	if (ioctl(pidfd, GET_INFO, &info) == 0 && info.ids[0] != 0)
		return (pid_t)info.ids[0];
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	(void)process_read_path(path, text, sizeof(text));
	at = strstr(text, "\nPid:");
	if (at != NULL)
		return (pid_t)strtol(at + 5, NULL, 10);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/stat", pidfd);
	return process_read_path(path, text, sizeof(text)) > 0 ? (pid_t)strtol(text, NULL, 10) : -1;
}

int pidfd_signal(int pidfd, int signal)
{
	pid_t pid;

	if (send_signal(pidfd, signal, 0) == 0)
		return 0;
	if (!is_refused())
		return -1;
	/* a child of ours keeps its pid until we reap it */
	pid = pidfd_pid(pidfd);
	errno = ESRCH;
	return pid > 0 ? kill(pid, signal) : -1;
}

int pidfd_signal_group(int pidfd, pid_t pid, int signal)
{
	if (send_signal(pidfd, signal, PIDFD_SIGNAL_PROCESS_GROUP) == 0)
		return 0;
	if (errno != EINVAL && !is_refused())
		return -1;
	/* An older kernel, or an error that kill() will report again. */
	if (pid <= 1) {
		errno = EINVAL; /* kill(-1) would reach every process */
		return -1;
	}
	return kill(-pid, signal);
}

/*
 * A process or thread may ask its parent to trace it (PTRACE_TRACEME).  It then
 * stops before each signal, and waitid(2) reports that, asked for or not
 * (ptrace(2)).  So end the tracing: the process continues, with the signal,
 * except the SIGTRAP of its exec, which is for a tracer alone.
 */
static bool let_go(const siginfo_t *stop)
{
	intptr_t signal = stop->si_status; /* before which it has stopped */
	siginfo_t why;

	if (signal == SIGTRAP && ptrace(PTRACE_GETSIGINFO, stop->si_pid, NULL, &why) == 0 &&
		why.si_code == SI_USER)
		signal = 0;
	return ptrace(PTRACE_DETACH, stop->si_pid, NULL, (void *)signal) == 0;
}

/* waitid(2) without blocking; si_pid is 0: no child has changed.  A wait for the end
 * (WEXITED) lets a traced process go. */
static int wait_nonblocking(idtype_t type, id_t id, siginfo_t *info, int flags)
{
	for (unsigned i = 0; i < LET_GO_MOST;) {
		memset(info, 0, sizeof(*info));
		if (waitid(type, id, info, WNOHANG | flags) == -1) {
			if (errno != EINTR)
				return -1;
			continue;
		}
		if (info->si_code != CLD_TRAPPED || (flags & WEXITED) == 0)
			return 0;
		if (!let_go(info)) /* the process was killed just now */
			break;
		i++;
	}
	info->si_pid = 0;
	return 0;
}

static int wait_for(idtype_t type, id_t id, int flags, struct pidfd_end *end)
{
	siginfo_t info;

	if (wait_nonblocking(type, id, &info, WEXITED | (int)__WALL | flags) == -1)
		return -1;
	if (info.si_pid == 0)
		return 0;
	end->signalled = info.si_code != CLD_EXITED;
	end->core_dumped = info.si_code == CLD_DUMPED;
	end->code = info.si_status;
	return 1;
}

int child_peek(pid_t pid, struct pidfd_end *end)
{
	return wait_for(P_PID, (id_t)pid, WNOWAIT, end);
}

int pidfd_peek(int pidfd, struct pidfd_end *end)
{
	return wait_for(P_PIDFD, (id_t)pidfd, WNOWAIT, end);
}

int pidfd_reap(int pidfd, struct pidfd_end *end)
{
	return wait_for(P_PIDFD, (id_t)pidfd, 0, end);
}

bool pidfd_is_child(int pidfd, pid_t pid)
{
	siginfo_t info;

	errno = 0;
	return wait_nonblocking(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOWAIT) == 0 &&
		(info.si_pid == 0 || info.si_pid == pid);
}

int pidfd_signal_main(int pidfd, pid_t pid, int signal)
{
	uint64_t blocked;

	/* a main thread that has ended (Z) would never take the signal */
	if (process_state(pid) == 'T' && process_status(pid, "SigBlk:", 16, &blocked) == 0 &&
		(blocked >> (signal - 1) & 1) == 0 &&
		(send_signal(pidfd, signal, PIDFD_SIGNAL_THREAD) == 0 ||
			(pidfd_is_child(pidfd, pid) && tgkill(pid, pid, signal) == 0)))
		return 0;
	return pidfd_signal(pidfd, signal);
}

int pidfd_is_stopped(int pidfd)
{
	siginfo_t info;
	pid_t pid;

	if (wait_nonblocking(P_PIDFD, (id_t)pidfd, &info, WSTOPPED | WNOWAIT) != -1)
		return info.si_pid != 0 && info.si_code == CLD_STOPPED;
	if (errno != ECHILD)
		return -1;
	/* It is no child of ours.  Should its pid belong to another process by now, then the pidfd
	 * reports that it has ended. */
	pid = pidfd_pid(pidfd);
	return pid > 0 ? process_is_stopped(pid) : -1;
}

/* Take apart a status of wait(2). */
static int describe_end(int code, struct pidfd_end *end)
{
	end->signalled = (code & 0x7f) != 0;
	end->core_dumped = (code & 0x80) != 0;
	end->code = end->signalled ? code & 0x7f : code >> 8 & 0xff;
	return 1;
}

static int ask_kernel(int pidfd, struct pidfd_end *end)
{
	struct info info = {.mask = INFO_EXIT};

	if (ioctl(pidfd, GET_INFO, &info) == -1 || (info.mask & INFO_EXIT) == 0)
		return -1;
	return describe_end(info.exit_code, end);
}

/* Unlike a pidfd a directory can always be written to, says poll(2). */
bool pidfd_is_directory(int pidfd)
{
	struct pollfd one = {.fd = pidfd, .events = POLLOUT};

	return poll(&one, 1, 0) == 1 && (one.revents & POLLOUT) != 0;
}

bool pidfd_has_ended(int pidfd)
{
	struct pollfd one = {.fd = pidfd, .events = POLLIN};
	pid_t pid;
	char state;

	if (poll(&one, 1, 0) != 1 || !pidfd_is_directory(pidfd))
		return one.revents != 0;
	pid = pidfd_pid(pidfd);
	state = pid != -1 ? process_state(pid) : '\0';
	return state == '\0' || state == 'Z';
}

int pidfd_look(int pidfd, pid_t pid, uint64_t start, struct pidfd_end *end)
{
	struct process_facts facts;

	if (!pidfd_has_ended(pidfd))
		return 0;
	if (ask_kernel(pidfd, end) == 1)
		return 1;
	if (process_look(pid, &facts) == 0 && facts.start == start && facts.state == 'Z')
		return describe_end(facts.exit_code, end);
	return ask_kernel(pidfd, end); /* reaped between the two calls */
}

pid_t child_peek_any(void)
{
	siginfo_t info;

	return wait_nonblocking(P_ALL, 0, &info, WEXITED | WNOWAIT | (int)__WALL) == 0 ? info.si_pid
										       : -1;
}

void child_let_go(pid_t pid)
{
	siginfo_t info;

	(void)wait_nonblocking(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | (int)__WALL);
}

int child_reap(pid_t pid)
{
	struct pidfd_end end;
	int n = wait_for(P_PID, (id_t)pid, 0, &end);

	if (n == 0)
		errno = EAGAIN; /* the process lives */
	return n == 1 ? 0 : -1;
}
