/* SPDX-License-Identifier: MIT */
#include "supervisor/reap.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/cgroup.h"
#include "os/clock.h"
#include "os/environ.h"
#include "os/pidfd.h"
#include "os/process.h"
#include "supervisor/child.h"
#include "supervisor/helper.h"
#include "supervisor/news.h"
#include "supervisor/reexec.h"
#include "supervisor/roles.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REAPED_A_TURN 64
#define SWEEP_INTERVAL (1 * SECOND)
#define CHILDREN_MAX 65536

/* ---- the dead ---- */

/* Reap what is no worker's; true: there may be more. */
static bool reap_some(struct supervisor *sup)
{
	for (int i = 0; i < REAPED_A_TURN; i++) {
		pid_t pid = child_peek_any();
		struct child *child;
		struct helper *helper;

		if (pid <= 0)
			return false;
		child = child_by_pid(sup, pid);
		if (child != NULL) {
			child_ended(child); /* the same as its pidfd says */
			continue;
		}
		if (logger_is(sup, pid)) {
			logger_ended(sup);
			continue;
		}
		helper = helper_by_pid(sup, pid);
		if (helper != NULL) {
			helper_ended(helper);
			continue;
		}
		if (reexec_is(sup, pid)) {
			reexec_ended(sup);
			continue;
		}
		if (child_reap(pid) == -1)
			return false;
		log_debug("reaped process %d", (int)pid);
	}
	return true;
}

/* ---- the living ---- */

static bool is_first(const struct supervisor *sup, pid_t pid)
{
	for (size_t i = 0; i < sup->first_children_count; i++)
		if (sup->first_children[i] == pid)
			return true;
	return false;
}

static pid_t *list_children(size_t *count)
{
	pid_t *list = malloc(CHILDREN_MAX * sizeof(*list));
	long n;

	*count = 0;
	if (list == NULL)
		return NULL;
	n = process_children(list, CHILDREN_MAX);
	if (n > 0)
		*count = n < CHILDREN_MAX ? (size_t)n : CHILDREN_MAX;
	return list;
}

static bool is_stray(const struct supervisor *sup, pid_t pid)
{
	return child_by_pid(sup, pid) == NULL && !logger_is(sup, pid) &&
		helper_by_pid(sup, pid) == NULL && !reexec_is(sup, pid) &&
		!is_first(sup, pid);
}

/*
 * It is our child and we have not reaped it since the list was read, so the
 * number is still its own; the pidfd makes it so for the signal too.
 */
static void signal_stray(pid_t pid, int signal)
{
	scoped_fd fd = pidfd_of(pid);

	if (fd != -1)
		(void)pidfd_signal(fd, signal); /* EPERM, ESRCH: let it be */
}

unsigned reap_signal_strays(struct supervisor *sup, int signal)
{
	size_t count;
	pid_t *list = list_children(&count);
	unsigned found = 0;

	for (size_t i = 0; list != NULL && i < count; i++) {
		struct process_facts facts;

		if (!is_stray(sup, list[i]) ||
			process_look(list[i], &facts) == -1 ||
			facts.state == 'Z')
			continue;
		found++;
		if (signal != 0)
			signal_stray(list[i], signal);
	}
	free(list);
	return found;
}

/* End what workers left behind that are no more; returns how many of
 * `serial` (0: any). */
static unsigned end_strays(struct supervisor *sup, uint64_t serial)
{
	size_t count;
	pid_t *list = list_children(&count);
	char value[24];
	unsigned found = 0;

	for (size_t i = 0; list != NULL && i < count; i++) {
		uint64_t whose;

		if (!is_stray(sup, list[i]) ||
			environ_value(list[i], "NCLUST_WORKER", value,
				sizeof(value)) == -1)
			continue;
		whose = strtoull(value, NULL, 16);
		if (whose != serial && child_by_serial(sup, whose) != NULL)
			continue;
		if (serial == 0 || whose == serial)
			found++;
		signal_stray(list[i], SIGKILL);
	}
	free(list);
	return found;
}

static void arm_sweep(struct supervisor *sup, nsec_t wait)
{
	if (ev_is_active(&sup->sweep))
		return;
	ev_timer_set(&sup->sweep, nsec_seconds(wait), 0.);
	ev_timer_start(sup->loop, &sup->sweep);
}

/*
 * Once after a row of deaths, at most once a second: SIGCHLDs merge, so a
 * dead orphan may have gone unnoticed, and what a worker left behind becomes
 * our child only when its parents are dead.  Both cost a walk over all
 * children, which no single death should pay.
 */
static void on_sweep(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct supervisor *sup = timer->data;

	(void)loop;
	(void)revents;
	sup->last_sweep = clock_now();
	if (reap_some(sup)) {
		arm_sweep(sup, 0);
		return;
	}
	if (sup->sweep_due) {
		sup->sweep_due = false;
		if (end_strays(sup, 0) > 0)
			arm_sweep(sup, SWEEP_INTERVAL);
	}
}

void reap_on_sigchld(struct supervisor *sup, pid_t pid)
{
	if (child_by_pid(sup, pid) != NULL || logger_is(sup, pid) ||
		helper_by_pid(sup, pid) != NULL || reexec_is(sup, pid)) {
		arm_sweep(sup, SWEEP_INTERVAL);
		return;
	}
	if (reap_some(sup)) {
		ev_timer_stop(sup->loop, &sup->sweep);
		arm_sweep(sup, 0);
	}
}

void reap_look_for_strays(struct supervisor *sup, const struct child *child,
	const struct ending *ending)
{
	nsec_t now = clock_now();
	unsigned found;

	sup->sweep_due = true;
	arm_sweep(sup, SWEEP_INTERVAL);
	if (ending->kind != ENDING_EXIT || ending->code != 0 || sup->stopping ||
		child->killed_by_us || now - sup->last_sweep < SWEEP_INTERVAL)
		return;
	/* exit 0 without being asked: a daemon that went to the background? */
	sup->last_sweep = now;
	found = end_strays(sup, child->serial);
	if (found > 0)
		news_say(sup, LOG_WARN, "daemonised",
			"%s.%" PRIu32 ": the main process left, %u of its "
			"processes stayed in the background and were ended; "
			"run the command in the foreground (no daemon mode)",
			child->service->name, child->slot, found);
}

/* ---- who killed it ---- */

bool reap_was_out_of_memory(struct supervisor *sup)
{
	long now;

	if (sup->oom_kills == -1)
		return false;
	now = cgroup_oom_read(sup->oom_fd);
	if (now <= sup->oom_kills)
		return false;
	sup->oom_kills++; /* one each, when several died at once */
	return true;
}

/* ---- life ---- */

int reap_init(struct supervisor *sup, struct error *err)
{
	size_t count;

	ev_init(&sup->sweep, on_sweep);
	sup->sweep.data = sup;
	/* kept: looked for anew with no descriptor left, another file with
	 * another count would be found */
	sup->oom_fd = cgroup_oom_open("");
	sup->oom_kills = sup->oom_fd != -1 ? cgroup_oom_read(sup->oom_fd) : -1;
	sup->first_children = list_children(&count);
	if (sup->first_children == NULL)
		return error_set(err, ENOMEM, "list of children");
	sup->first_children_count = count;
	if (count == 0) {
		free(sup->first_children);
		sup->first_children = NULL;
	}
	return 0;
}

void reap_resume(struct supervisor *sup)
{
	ev_init(&sup->sweep, on_sweep);
	sup->sweep.data = sup;
	sup->sweep_due = true;
	arm_sweep(sup, 0);
}

void reap_fini(struct supervisor *sup)
{
	ev_timer_stop(sup->loop, &sup->sweep);
	fd_close(&sup->oom_fd);
	free(sup->first_children);
	sup->first_children = NULL;
}
