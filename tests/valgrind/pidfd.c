/* SPDX-License-Identifier: MIT */
/*
 * To be preloaded into nclust under valgrind, which up to 3.19 answers ENOSYS
 * to pidfd_send_signal(2): here it is a kill(2) of the process that the pidfd
 * stands for.  To pidfd_open(2) and pidfd_getfd(2) it is ENOSYS here as there,
 * but without a complaint of valgrind's.  All other system calls go their way.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

typedef long syscall_fn(long, long, long, long, long, long, long);

static syscall_fn *real;

/* Resolved early: a child that shares our memory must not look it up. */
static void __attribute__((constructor)) find_real(void)
{
	union {
		void *object;
		syscall_fn *function;
	} next = {.object = dlsym(RTLD_NEXT, "syscall")};

	real = next.function;
}

static pid_t pid_of(long pidfd)
{
	char path[64];
	char line[128];
	int pid = -1;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%ld", pidfd);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info)) {
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	}
	if (info)
		(void)fclose(info);
	return pid;
}

long syscall(long number, ...)
{
	va_list arguments;
	long a[6];
	pid_t pid;
	int i;

	va_start(arguments, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_pidfd_open || number == SYS_pidfd_getfd) {
		errno = ENOSYS;
		return -1;
	}
	if (number != SYS_pidfd_send_signal)
		return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (a[3] != 0) {
		errno = EINVAL; /* as kernels before 6.9 answer to flags */
		return -1;
	}
	pid = pid_of(a[0]);
	if (pid <= 0) {
		errno = ESRCH;
		return -1;
	}
	return kill(pid, (int)a[1]);
}
