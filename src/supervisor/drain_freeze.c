/* SPDX-License-Identifier: MIT */
#include "base/scope.h"
#include "os/clock.h"
#include "os/pidfd.h"
#include "os/process.h"
#include "supervisor/drain_inside.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- who belongs to it ---- */

void drain_forget_processes(struct drain *d)
{
	for (size_t i = 1; i < d->process_count; i++)
		fd_close(&d->processes[i].pidfd);
	free(d->processes);
	d->processes = NULL;
	d->process_count = 0;
}

void drain_list_processes(struct drain *d)
{
	struct drain_process *first;

	if (d->processes == NULL) {
		d->processes = malloc(sizeof(*d->processes));
		if (d->processes == NULL)
			return;
		first = &d->processes[0];
		first->pid = d->child->pid;
		first->pidfd = d->child->pidfd;
		remote_of(&first->remote, first->pid);
		d->process_count = 1;
	}
}

/* ---- stop and go on ---- */

static void signal_all(const struct drain *d, int signal)
{
	/* ESRCH: it has ended, and its pidfd is about to say so */
	(void)pidfd_signal_group(d->child->pidfd, d->child->pid, signal);
	for (size_t i = 1; i < d->process_count; i++)
		(void)pidfd_signal(d->processes[i].pidfd, signal);
}

void drain_freeze(struct drain *d)
{
	d->frozen = true;
	d->frozen_at = clock_now();
	d->freezes++;
	signal_all(d, SIGSTOP);
}

bool drain_is_frozen(const struct drain *d)
{
	if (pidfd_is_stopped(d->child->pidfd) != 1)
		return false;
	for (size_t i = 1; i < d->process_count; i++)
		if (!process_is_stopped(d->processes[i].pid))
			return false;
	return true;
}

void drain_thaw(struct drain *d)
{
	nsec_t took;

	if (!d->frozen)
		return;
	signal_all(d, SIGCONT);
	d->frozen = false;
	took = clock_now() - d->frozen_at;
	d->frozen_for += took;
	if (d->frozen_longest < took)
		d->frozen_longest = took;
}
