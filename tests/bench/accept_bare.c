/* SPDX-License-Identifier: MIT */
/*
 * The least that runs a program for each connection, and so the floor that
 * others are measured against: accept_bare PORT PROGRAM [ARG]...
 *
 * accept, vfork, exec, and reap what has ended.  No limit, no addresses told, no
 * log, no time, no control.
 */
#include <netinet/in.h>
#include <signal.h>
#include <sys/wait.h>

#include "bench.h"

extern char **environ;

static int listen_at(unsigned port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd == -1 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ==
			-1 ||
		bind(fd, (struct sockaddr *)&at, sizeof(at)) == -1 ||
		listen(fd, 4096) == -1)
		bench_die("listen");
	return fd;
}

int main(int argc, char **argv)
{
	int listener;

	if (argc < 3)
		return 64;
	(void)alarm(600);
	listener = listen_at((unsigned)atoi(argv[1]));
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
