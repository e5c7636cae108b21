/* SPDX-License-Identifier: MIT */
/*
 * Servers by hand, with the kind of socket that nclust would give them:
 *
 *   group share|rr PORT N PROGRAM [ARG]...
 *
 * share: N programs have the same socket of 127.0.0.1:PORT as descriptor 3.  Else each
 * has one of its own, in one SO_REUSEPORT group, and the kernel chooses by the same
 * program of bpf(2).  Each is in a session of its own, as nclust's are, because the
 * kernel shares the CPUs by session (autogroup in sched(7)).  Nobody watches over
 * them; SIGTERM ends it and them.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "bench.h"

#include "os/socket/reuseport.h"

enum { MOST = 64, FIRST_FD = 3 };

static pid_t start(int fd, char **command)
{
	char pid[32];
	pid_t child = fork();

	if (child != 0)
		return child;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (setsid() == -1 || dup2(fd, FIRST_FD) == -1 || setenv("LISTEN_FDS", "1", 1) == -1 ||
		setenv("LISTEN_PID", pid, 1) == -1)
		_exit(126);
	(void)execv(command[0], command);
	_exit(127);
}

int main(int argc, char **argv)
{
	unsigned weights[MOST];
	unsigned count = argc > 4 ? (unsigned)atoi(argv[3]) : 0;
	int fds[MOST] = {0};
	pid_t pids[MOST];
	sigset_t ends;
	bool own;
	int got;

	if (count == 0 || count > MOST)
		bench_die("usage");
	own = strcmp(argv[1], "share") != 0;
	for (unsigned i = 0; i < count; i++) {
		fds[i] = i == 0 || own ? bench_listen(atoi(argv[2]), own) : fds[0];
		/* not the descriptor that its workers are to have */
		while (fds[i] == FIRST_FD)
			fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_FD + 1);
		weights[i] = 1;
	}
	if (own && reuseport_set_turns(fds[0], weights, count) == -1)
		bench_die("bpf");
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	for (unsigned i = 0; i < count; i++)
		pids[i] = start(fds[i], argv + 4);
	(void)sigprocmask(SIG_BLOCK, &ends, NULL);
	(void)sigwait(&ends, &got);
	for (unsigned i = 0; i < count; i++) {
		(void)kill(pids[i], SIGTERM);
		(void)waitpid(pids[i], NULL, 0);
	}
	return 0;
}
