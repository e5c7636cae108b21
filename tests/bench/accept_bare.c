/* SPDX-License-Identifier: MIT */
/*
 * The least that runs a program for each connection, and so the floor that
 * others are measured against: accept_bare PORT PROGRAM [ARG]...
 *
 * accept, vfork, exec, and reap what has ended.  No limit, no addresses told, no
 * log, no time, no control.
 */
#include <signal.h>
#include <sys/wait.h>

#include "bench.h"

extern char **environ;

int main(int argc, char **argv)
{
	int listener;

	if (argc < 3)
		return 64;
	(void)alarm(600);
	listener = bench_listen(atoi(argv[1]), false);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pid_t pid;

		if (fd == -1)
			continue;
		pid = vfork();
		if (pid == 0) {
			(void)dup2(fd, 0);
			(void)dup2(fd, 1);
			(void)execve(argv[2], argv + 2, environ);
			_exit(127);
		}
		if (pid == -1)
			bench_die("vfork");
		(void)close(fd);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}
