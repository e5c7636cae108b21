/* SPDX-License-Identifier: MIT */
#include "supervisor/common/daemon.h"

#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int wait_for_outcome(int fd, pid_t pid)
{
	unsigned char status;
	ssize_t got;
	int how;

	do
		got = read(fd, &status, 1);
	while (got == -1 && errno == EINTR);
	if (got == 1)
		return status;
	/* the background process has ended without a report */
	if (waitpid(pid, &how, 0) == pid && WIFEXITED(how))
		return WEXITSTATUS(how) != 0 ? WEXITSTATUS(how) : 1;
	log_error("nclust was killed while it started");
	return 1;
}

int daemon_detach(int *pipe, int *status, struct error *err)
{
	const char *own = getenv("SYSTEMD_EXEC_PID"); /* since systemd 248 */
	int ends[2];
	pid_t pid;

	if (getpid() == 1)
		return error_set(err, 0,
			"leave out -d here: a container ends with its process 1, which is this "
			"one");
	if (own != NULL && strtol(own, NULL, 10) == getpid() && getenv("PIDFILE") == NULL)
		log_warn("leave out -d in a systemd unit (Type=notify): -d needs Type=forking, and "
			 "without that systemd ends what it has started");
	if (pipe2(ends, O_CLOEXEC) == -1)
		return error_set(err, errno, "cannot go to the background");
	pid = fork();
	if (pid == -1) {
		(void)close(ends[0]);
		(void)close(ends[1]);
		error_set(err, errno, "cannot go to the background");
		return error_hint_processes(err);
	}
	if (pid > 0) {
		(void)close(ends[1]);
		*status = wait_for_outcome(ends[0], pid);
		(void)close(ends[0]);
		return 1;
	}
	(void)close(ends[0]);
	(void)setsid(); /* cannot fail: a new child leads no group */
	/* Ctrl-C while the user waits for the start ends the start */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	*pipe = ends[1];
	return 0;
}

static void replace_fd(int from, int to)
{
	if (dup2(from, to) == -1)
		log_syserr("cannot detach descriptor %d", to);
}

static bool is_output_wanted(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->settings->cluster_count; i++) {
		const struct cluster_settings *c = sup->settings->clusters[i];

		if (c->log == LOG_INHERIT ||
			array_find(sink, c->log_sinks, c->log_sink_count,
				sink->kind <= SINK_JSON) != NULL)
			return true;
	}
	return false;
}

static bool is_released(const struct supervisor *sup, int fd)
{
	struct stat st;

	/* A daemon keeps a file as its output.  It must not keep a terminal or a pipe open:
	 * x=$(nclust -d) would never return. */
	return sup->settings->daemon && !is_output_wanted(sup) &&
		(fstat(fd, &st) == -1 || !S_ISREG(st.st_mode));
}

int daemon_output(const struct supervisor *sup, int fd)
{
	return is_released(sup, fd) ? sup->null_fd : fd;
}

void daemon_release(struct supervisor *sup)
{
	unsigned char ok = 0;

	if (sup->daemon.pipe == -1)
		return;
	replace_fd(sup->null_fd, STDIN_FILENO);
	if (is_released(sup, STDOUT_FILENO))
		replace_fd(sup->null_fd, STDOUT_FILENO);
	if (is_released(sup, STDERR_FILENO)) {
		replace_fd(sup->null_fd, STDERR_FILENO);
		log_to(STDERR_FILENO, "nclust: ", log_level());
		fd_close(&sup->daemon.log_fd); /* the same file, opened anew */
	}
	(void)prctl(PR_SET_PDEATHSIG, 0);
	/* the process that waited may have ended */
	if (write(sup->daemon.pipe, &ok, 1) == -1)
		log_debug("no process waited for the start");
	fd_close(&sup->daemon.pipe);
}

void daemon_failed(int *pipe, int status)
{
	unsigned char byte = (unsigned char)status;

	if (*pipe == -1)
		return;
	if (write(*pipe, &byte, 1) == -1)
		log_debug("no process waited for the start");
	fd_close(pipe);
}
