/* SPDX-License-Identifier: MIT */
/*
 * The least that could be called a supervisor, and so the floor that others are
 * measured against: bare N PROGRAM [ARG]...
 *
 * It starts N programs by vfork and execve, hears their READY=1, and when one
 * ends starts it again.  No slots, no backoff, no control, no log.  SIGTERM
 * ends it and them.
 */
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "bench.h"

extern char **environ;

static pid_t *workers;
static long count;
static char **command;

static void spawn(long i)
{
	sigset_t none;
	pid_t pid;

	sigemptyset(&none);
	pid = vfork();
	if (pid == 0) {
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		(void)execve(command[0], command, environ);
		_exit(127);
	}
	if (pid == -1)
		bench_die("vfork");
	workers[i] = pid;
}

static void replace_the_dead(void)
{
	pid_t pid;
	long i;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (i = 0; i < count && workers[i] != pid; i++)
			;
		if (i < count)
			spawn(i);
	}
}

static void end(void)
{
	long i;

	for (i = 0; i < count; i++)
		(void)kill(workers[i], SIGTERM);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	_exit(0);
}

static void run(int signals, int notify)
{
	struct pollfd from[] = {
		{.fd = signals, .events = POLLIN}, {.fd = notify, .events = POLLIN}};
	struct signalfd_siginfo info;
	char text[64];

	for (;;) {
		(void)poll(from, 2, -1);
		if (from[1].revents)
			while (recv(notify, text, sizeof(text), 0) > 0)
				;
		if (!from[0].revents)
			continue;
		while (read(signals, &info, sizeof(info)) > 0) {
			if (info.ssi_signo == SIGTERM)
				end();
		}
		replace_the_dead();
	}
}

int main(int argc, char **argv)
{
	const char *directory = getenv("BENCH_DIR");
	char path[100];
	sigset_t mask;
	int signals;
	int notify;
	long i;

	if (argc < 3 || !directory) {
		fputs("usage: BENCH_DIR=… bare N PROGRAM…\n", stderr);
		return 64;
	}
	(void)alarm(600);
	count = atol(argv[1]);
	command = argv + 2;
	workers = calloc((size_t)count, sizeof(*workers));
	if (!workers)
		bench_die("calloc");
	snprintf(path, sizeof(path), "%s/notify.%d", directory, (int)getpid());
	notify = bench_receiver(path);
	(void)setenv("NOTIFY_SOCKET", path, 1);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	for (i = 0; i < count; i++)
		spawn(i);
	run(signals, notify);
}
