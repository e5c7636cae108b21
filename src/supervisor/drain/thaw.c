/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/internal.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/descriptors.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define THAW_MOST 256 /* processes of a worker */
#define LAST_WAIT_MS 1000

/* The helper's descriptors: the pipe from nclust, and the runtime directory. */
enum { PIPE = 3, DIR };

void thaw_tree(pid_t pid, int pidfd)
{
	pid_t tree[THAW_MOST] uninitialized;

	for (size_t i = process_tree(pid, tree, THAW_MOST); i > 1; i--) {
		scoped_fd fd = pidfd_of(tree[i - 1]);

		if (fd != -1)
			(void)pidfd_signal(fd, SIGCONT);
	}
	if (!pidfd_has_ended(pidfd)) /* else the pid may belong to another process */
		(void)pidfd_signal_group(pidfd, pid, SIGCONT);
}

/* ---- in the helper ---- */

/* Facts that are read after the pidfd was opened are about the same process, so the start time
 * shows whether that process is still the worker. */
static void thaw_entry(const struct state_entry *e)
{
	scoped_fd fd = pidfd_of(e->birth.pid);
	struct process_facts facts;

	if (fd == -1 || process_look(e->birth.pid, &facts) == -1 || facts.start != e->birth.start)
		return;
	thaw_tree(e->birth.pid, fd);
}

/* Keeps these descriptors only, and not the lock, which the next nclust needs. */
static int keep_descriptors(int told, int dir)
{
	int kept = dup(dir);

	if (kept == -1 || dup2(told, PIPE) == -1 || dup2(kept, DIR) == -1)
		return -1;
	return descriptors_close(DIR + 1, ~0U);
}

static void wait_and_thaw(void)
{
	struct state_past past;
	struct error err;
	char byte;

	while (read(PIPE, &byte, 1) == -1 && errno == EINTR)
		;
	if (statefile_read(DIR, &past, &err) != 1)
		return;
	for (size_t i = 0; i < past.count; i++)
		if ((past.entries[i].flags & STATE_FROZEN) != 0 && past.entries[i].birth.pid > 0)
			thaw_entry(&past.entries[i]);
	state_past_fini(&past);
}

/* ---- in nclust ---- */

void thaw_stand_by(struct supervisor *sup)
{
	int ends[2] = {-1, -1};
	int pidfd = -1;
	pid_t pid = -1;

	if (sup->traffic.thaw_pipe != -1 || sup->orphans.file.map == NULL)
		return;
	if (pipe2(ends, O_CLOEXEC) == 0)
		pid = pidfd_fork(&pidfd);
	if (pid == 0) {
		(void)close(ends[1]);
		if (keep_descriptors(ends[0], sup->rundir.dir) == 0)
			wait_and_thaw();
		_exit(0);
	}
	if (pid == -1) {
		log_debug("frozen workers will stay frozen if nclust is killed");
		fd_close(&ends[1]);
	}
	fd_close(&ends[0]);
	sup->traffic.thaw_pipe = ends[1];
	fd_close(&sup->traffic.thawer); /* an earlier helper, which exits */
	sup->traffic.thawer = pidfd;
}

void thaw_fini(struct supervisor *sup)
{
	struct pollfd wait = {.fd = sup->traffic.thawer, .events = POLLIN};
	struct pidfd_end end;

	if (sup->traffic.thawer == -1)
		return;
	if (poll(&wait, 1, LAST_WAIT_MS) != 1)
		(void)pidfd_signal(sup->traffic.thawer, SIGKILL);
	(void)pidfd_reap(sup->traffic.thawer, &end);
	fd_close(&sup->traffic.thawer);
}
