/* SPDX-License-Identifier: MIT */
#include "base/scope.h"

#include "base/log.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/common/registry.h"
#include "supervisor/drain/internal.h"
#include "supervisor/workers/leftovers.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- thaw ---- */

void thaw_tree(pid_t pid, int pidfd)
{
	pid_t tree[PROCESS_TREE_MOST] uninitialized;

	for (size_t i = process_tree(pid, tree, PROCESS_TREE_MOST); i > 1; i--) {
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

/* Of nclust's descriptors it has the runtime directory alone, and not the lock, which the next
 * nclust needs.  SIGTERM comes when nclust has ended, and may come from somebody else before. */
static int wait_and_thaw(void *owner)
{
	const struct supervisor *sup = owner;
	struct state_past past;
	struct error err;
	sigset_t set;
	int signal;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1 || prctl(PR_SET_PDEATHSIG, SIGTERM) == -1)
		return EXIT_FAILURE;
	while (getppid() == sup->traffic.nclust)
		(void)sigwait(&set, &signal);
	if (statefile_read(ASIDE_FD, &past, &err) != 1)
		return EXIT_FAILURE;
	for (size_t i = 0; i < past.count; i++)
		if ((past.entries[i].flags & STATE_FROZEN) != 0 && past.entries[i].birth.pid > 0)
			thaw_entry(&past.entries[i]);
	state_past_fini(&past);
	return EXIT_SUCCESS;
}

/* ---- in nclust ---- */

static void on_helper_ended(void *owner UNUSED, const struct pidfd_end *end UNUSED)
{
	/* the next freeze starts another one */
}

/* Starts the helper, unless it runs. */
static void thaw_stand_by(struct supervisor *sup)
{
	sup->traffic.nclust = getpid();
	if (sup->traffic.helper.pid == 0 && sup->orphans.file.map != NULL &&
		forkjob_begin(&sup->traffic.helper, sup,
			&(struct forkjob_plan){
				.work = wait_and_thaw,
				.over = on_helper_ended,
				.owner = sup,
				.patience = NSEC_NEVER,
				.keep = sup->rundir.dir,
				.silent = true,
				.outlives = true,
			}) == -1)
		log_debug("frozen workers will stay frozen if nclust is killed");
}

/* ---- the worker's processes ---- */

void drain_forget_processes(struct drain *d)
{
	for (size_t i = 1; i < d->process_count; i++)
		fd_close(&d->processes[i].pidfd);
	free(d->processes);
	d->processes = NULL;
	d->process_count = 0;
}

static int push_process(struct drain *d, struct drain_process p)
{
	if (!array_grow(d->processes, d->process_count))
		return -1;
	remote_of(&p.remote, p.pid);
	d->processes[d->process_count++] = p;
	return 0;
}

struct drain_process *drain_process_of(struct drain *d, pid_t pid)
{
	return array_find(p, d->processes, d->process_count, p->pid == pid);
}

/* The process that had this pid when it was listed may have ended, and the pid may belong to
 * another process.  So its parent is read after its pidfd was opened. */
static bool is_below(struct drain_process *p, const pid_t *pids, size_t count)
{
	struct process_facts facts;

	if (process_look(p->pid, &facts) == -1 || pidfd_has_ended(p->pidfd))
		return false;
	p->parent = facts.parent;
	return array_has(pids, count, facts.parent);
}

static bool add_process(struct drain *d, pid_t pid, const pid_t *pids, size_t count)
{
	struct drain_process p = {.pid = pid, .pidfd = pidfd_of(pid)};

	if (p.pidfd != -1 && is_below(&p, pids, count) && push_process(d, p) == 0)
		return true;
	fd_close(&p.pidfd);
	return false;
}

/* Drops processes that are not below the worker any more; parents stay before children. */
static void drop_gone_processes(struct drain *d, const pid_t *pids, size_t count)
{
	for (size_t i = d->process_count - 1; i > 0; i--) {
		if (array_has(pids, count, d->processes[i].pid))
			continue;
		/* the process has lost its parent, but nclust must still continue it */
		if (d->frozen)
			continue;
		fd_close(&d->processes[i].pidfd);
		d->process_count--;
		memmove(&d->processes[i], &d->processes[i + 1],
			(d->process_count - i) * sizeof(*d->processes));
	}
}

size_t drain_list_processes(struct drain *d)
{
	pid_t pids[PROCESS_TREE_MOST] uninitialized;
	size_t added = 0;
	size_t count;

	if (d->process_count == 0 &&
		push_process(d,
			(struct drain_process){.pid = d->child->pid, .pidfd = d->child->pidfd}) ==
			-1)
		return 0;
	count = process_tree(d->child->pid, pids, PROCESS_TREE_MOST);
	/* The pid of a worker that is not nclust's child may belong to another process by now. */
	if (d->child->saved.adopted && pidfd_has_ended(d->child->pidfd))
		count = 0;
	d->too_many = count == PROCESS_TREE_MOST;
	drop_gone_processes(d, pids, count);
	for (size_t i = 0; i < count; i++)
		if (drain_process_of(d, pids[i]) == NULL)
			added += add_process(d, pids[i], pids, count);
	return added;
}

/* ---- stop and go on ---- */

/* Notes in the state file that the worker must be continued if nclust dies. */
static void note_frozen(const struct drain *d, bool frozen)
{
	const struct state_entry *e = d->child->saved.entry;

	if (e == NULL || (e->flags & STATE_KEEP) == 0)
		return;
	if (frozen)
		thaw_stand_by(d->child->service->sup);
	child_flag(d->child, STATE_FROZEN, frozen);
}

void drain_freeze(struct drain *d)
{
	note_frozen(d, true);
	d->frozen = true;
	d->frozen_at = clock_now();
	d->freezes++;
	for (size_t i = 0; i < d->process_count; i++)
		d->processes[i].stop_sent = false;
}

bool drain_is_stopped(const struct child *child)
{
	/* waitid(2) is for our own children only */
	return child->saved.adopted ? process_is_stopped(child->pid)
				    : pidfd_is_stopped(child->pidfd) == 1;
}

/* Stops parents first: a parent with job control (WUNTRACED) would see a suspended child. */
bool drain_is_frozen(struct drain *d)
{
	bool all = true;

	for (size_t i = 0; i < d->process_count; i++) {
		struct drain_process *p = &d->processes[i];
		const struct drain_process *parent = drain_process_of(d, p->parent);

		if (!p->stop_sent && (i == 0 || parent == NULL || parent->stopped)) {
			p->stop_sent = true;
			/* ESRCH: the process has ended, and its pidfd is about to say so */
			(void)pidfd_signal(p->pidfd, SIGSTOP);
		}
		p->stopped = p->stop_sent &&
			(i == 0 ? drain_is_stopped(d->child) : process_is_stopped(p->pid));
		all &= p->stopped;
	}
	/* a process may have been forked before its parent stopped */
	return all && drain_list_processes(d) == 0;
}

nsec_t drain_frozen_longest(const struct drain *d)
{
	nsec_t now = d->frozen ? clock_now() - d->frozen_at : 0;

	return now > d->frozen_longest ? now : d->frozen_longest;
}

void drain_thaw(struct drain *d)
{
	if (!d->frozen)
		return;
	for (size_t i = 1; i < d->process_count; i++)
		leftovers_tell_frozen(d->child, d->processes[i].parent, d->processes[i].pid,
			d->processes[i].pidfd);
	for (size_t i = d->process_count; i > 0; i--) /* children first */
		(void)pidfd_signal(d->processes[i - 1].pidfd, SIGCONT);
	note_frozen(d, false);
	d->frozen_longest = drain_frozen_longest(d);
	d->frozen = false;
}
