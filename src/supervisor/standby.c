/* SPDX-License-Identifier: MIT */
#include "supervisor/standby.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/pidfd.h"
#include "supervisor/keeper.h"
#include "supervisor/news.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

/* What the check had, too. */
#define PATIENCE_MS 5000

/* To the one that is started: "hangs:PATH" or "ended:PATH". */
static const char variable[] = "NCLUST_STANDBY";

extern char **environ;

/* ---- in the process that stands by ---- */

/* What the start had changed for nclust itself is as it was found. */
static void set_back(const struct supervisor *sup)
{
	scoped_fd fd = -1;

	(void)setrlimit(RLIMIT_NOFILE, &sup->nofile);
	if (sup->hup_ignored)
		(void)signal(SIGHUP, SIG_IGN);
	if (*sup->oom_score_adj == '\0')
		return;
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd != -1)
		(void)!write(
			fd, sup->oom_score_adj, strlen(sup->oom_score_adj));
}

/* All descriptors are CLOEXEC: the name's lock is let go by the exec alone, and
 * what the keeper holds is given to who asks for it. */
static void start_old(struct supervisor *sup, bool hangs)
{
	char value[4200];

	(void)snprintf(value, sizeof(value), "%s:%s", hangs ? "hangs" : "ended",
		sup->exe_path);
	set_back(sup);
	if (setenv(variable, value, 1) == 0)
		(void)execveat(
			sup->self_exe, "", sup->argv, environ, AT_EMPTY_PATH);
	log_syserr("the nclust of before cannot be executed");
}

static int stand_by(struct supervisor *sup, int told, int main)
{
	struct pollfd one = {.fd = told, .events = POLLIN};
	char byte;
	int got;

	do
		got = poll(&one, 1, PATIENCE_MS);
	while (got == -1 && errno == EINTR);
	if (got == 1 && read(told, &byte, 1) == 1)
		return 0;
	(void)pidfd_signal(main, SIGKILL);
	one.fd = main;
	while (poll(&one, 1, -1) == -1 && errno == EINTR)
		;
	start_old(sup, got == 0);
	return EX_OSERR;
}

/* ---- in nclust ---- */

/*
 * A service manager starts nclust anew by itself, and would find the name taken:
 * it obeys MAINPID= of the main process alone (NotifyAccess=main), or, of
 * others, only if it hears that before it hears of the end.  The end of process 1
 * is that of all in its namespace; and sockets that it was born with cannot be
 * given once more.
 */
static bool is_wanted(const struct supervisor *sup)
{
	return keeper_wanted(sup) && sup->keeper_socket != -1 &&
		sup->manager == NULL && getpid() != 1 &&
		sup->inherited_count == 0;
}

int standby_begin(struct supervisor *sup)
{
	scoped_fd main = is_wanted(sup) ? pidfd_of(getpid()) : -1;
	int ends[2] = {-1, -1};
	pid_t pid = -1;

	if (!is_wanted(sup))
		return -1;
	if (main != -1 && pipe2(ends, O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0) {
		(void)close(ends[1]);
		_exit(stand_by(sup, ends[0], main));
	}
	if (pid == -1) {
		log_syserr("nobody stands by during the upgrade");
		fd_close(&ends[1]);
	}
	fd_close(&ends[0]);
	return ends[1];
}

void standby_dismiss(int *fd)
{
	if (*fd != -1)
		(void)!write(*fd, "", 1); /* EPIPE: it has ended by itself */
	fd_close(fd);
}

/* ---- in who was started by it ---- */

const char *standby_path(void)
{
	const char *value = secure_getenv(variable);
	const char *path = value != NULL ? strchr(value, ':') : NULL;

	return path != NULL && path[1] == '/' ? path + 1 : NULL;
}

void standby_tell(struct supervisor *sup)
{
	const char *value = secure_getenv(variable);

	if (value == NULL)
		return;
	news_say(sup, LOG_ERROR, "upgrade-failed",
		"%s: upgrade failed, the nclust of before goes on as process "
		"%d: the new nclust %s",
		sup->settings->name, (int)getpid(),
		strncmp(value, "hangs:", 6) == 0
			? "did not take over within 5 s"
			: "ended before it had taken over");
	(void)unsetenv(variable);
}
