/* SPDX-License-Identifier: MIT */
#include "supervisor/intercept/intercept.h"

#include "os/clock.h"
#include "os/look/look.h"
#include "os/process.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/part.h"
#include "supervisor/common/registry.h"
#include "supervisor/intercept/internal.h"
#include "supervisor/sockets/group.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool spare_gate_is_shut(const struct child *child)
{
	return !child->trap.gate_passed && cluster_spares(child->service->core) > 0;
}

void spare_gate_report(struct child *child)
{
	child_flag(child, STATE_GATED, true);
	child->trap.listening_by = 0;
	child_tell(child, EVENT_GATE, WHY_ITSELF);
}

/* Is no other worker in the worker's lane (sockets/group.h)? */
static bool has_own_lane(const struct child *child)
{
	const struct child *other;

	for_each_child (other, children_of(child->service))
		if (other != child && other->traffic.lane == child->traffic.lane)
			return false;
	return true;
}

/* May the spare listen now, on a socket of its own to which no client comes?  That is of use only
 * if an HTTP check will warm it, or if connections wait there since the worker before has died. */
static bool may_spare_listen(struct child *child, struct listener *l)
{
	const struct cluster_settings *s = child_settings(child);
	const struct listener_socket *k = l != NULL ? group_own(l, child->traffic.lane) : NULL;
	bool was; /* at another address */

	if (s == NULL || k == NULL || l->own_group || group_size(l) == 1 || !has_own_lane(child) ||
		(s->check.kind != PROBE_HTTP && !group_has_queue(l, k)))
		return false;
	was = child->trap.spare_listens;
	child->trap.spare_listens = true;
	PARTS(uses, child, l, USE_SPARE_LISTENS);
	child->trap.spare_listens = was || k->weight == 0;
	return k->weight == 0;
}

bool spare_gate_keep(struct child *child, struct listener *l, const struct seccomp_notice *notice)
{
	unsigned n = child->trap.gate_count;
	struct gate *gate;

	if (n == GATE_CALLS || !spare_gate_is_shut(child))
		return false;
	if (n == 0 && !child->trap.spare_listens)
		spare_gate_report(child);
	if (!spare_gate_is_shut(child) || may_spare_listen(child, l))
		return false;
	if (child->trap.gate == NULL)
		child->trap.gate = calloc(1, sizeof(*gate));
	gate = child->trap.gate;
	if (gate == NULL)
		return false;
	child->trap.gate_count++;
	gate->id[n] = notice->id;
	gate->tid[n] = notice->tid;
	gate->fd[n] = notice->fd;
	gate->backlog[n] = notice->backlog;
	return true;
}

void intercept_on_release(struct child *child)
{
	struct gate *gate = child->trap.gate;
	unsigned count = gate != NULL ? child->trap.gate_count : 0;

	child->trap.gate = NULL;
	child->trap.gate_count = 0;
	child->trap.gate_passed = true;
	child->trap.spare_listens = false;
	child_flag(child, STATE_GATED, false);
	for (unsigned i = 0; i < count && child->trap.fd != -1; i++) {
		struct seccomp_notice notice = {
			.call = SECCOMP_LISTEN,
			.id = gate->id[i],
			.tid = gate->tid[i],
			.fd = gate->fd[i],
			.backlog = gate->backlog[i],
		};
		struct remote r;

		remote_of(&r, notice.tid);
		(void)listens_call(child, &notice, &r, true); /* answers a held bind(2), too */
		intercept_check_late(child, &r);
	}
	free(gate);
	listens_look(child, count > 0);
}

bool intercept_on_stop(struct child *child, int signal, nsec_t span)
{
	struct trapped *trap = &child->trap;

	(void)span;
	if (trap->gate == NULL || trap->gate_count == 0 || signal == 0)
		return false;
	child_signal(child, signal);
	while (trap->gate_count > 0)
		seccomp_answer(trap->fd, trap->gate->id[--trap->gate_count], EINTR);
	return true;
}

static const struct plain_row rows[] = {
	/* among the numbers of struct child, whose group they are in (workers/carry_workers.c) */
	PLAIN(47, gate, id[0], UNSIGNED),
	PLAIN(48, gate, id[1], UNSIGNED),
	PLAIN(49, gate, tid[0], SIGNED),
	PLAIN(50, gate, tid[1], SIGNED),
	PLAIN(51, gate, fd[0], SIGNED), /* a number in the worker, not a descriptor */
	PLAIN(52, gate, fd[1], SIGNED),
	PLAIN(53, gate, backlog[0], SIGNED),
	PLAIN(54, gate, backlog[1], SIGNED),
};

const struct carried carried_gate = {
	.called = "a spare's calls",
	CARRIED_ROWS(rows, gate),
};

/* ---- startwait ---- */

/* Time from the worker's start to the first look; then twice as long each time. */
#define PATIENCE (3 * SECOND)

void startwait_born(struct child *child)
{
	intercept_look_after(child, &child->trap.waits_by, PATIENCE);
}

/* Returns the worker that has the lock, if it is a worker of that cluster; or NULL. */
static const struct child *find_copy(const struct service *service, pid_t pid)
{
	struct process_facts facts = {0};
	const struct child *c =
		process_look(pid, &facts) == 0 ? child_by_pid(service->sup, facts.session) : NULL;

	return c != NULL && c->service == service ? c : NULL;
}

/* Returns what the worker waits for, heap; NULL: no lock.  *copied: another copy has it. */
static char *describe_lock(const struct child *child, bool *copied)
{
	struct lockwait lock;
	const struct child *copy;
	char name[PROCESS_NAME];
	char *text = NULL;
	int got;

	if (!lockwait_look(&lock, child->pid))
		return NULL;
	copy = find_copy(child->service, lock.holder);
	*copied = copy != NULL;
	if (copy != NULL)
		got = asprintf(&text, "the lock of %s, which %s.%" PRIu32 " (process %d) has",
			lock.path, child->service->name, copy->slot, (int)lock.holder);
	else if (lock.holder > 0)
		got = asprintf(&text, "the lock of %s, which process %d (%s) has", lock.path,
			(int)lock.holder, process_name(lock.holder, name));
	else
		got = asprintf(&text, "the lock of %s", lock.path);
	return got == -1 ? NULL : text;
}

static void note_wait(struct child *child, char *text, bool copied)
{
	const char *advice = copied ? "; " TROUBLE_ONE_COPY : "";
	const char *old = child->life.waits;

	if (text != NULL && (old == NULL || strcmp(text, old) != 0)) {
		if (news_spares(child))
			news_say_worker(child, LOG_WARN, "waits", "worker %d waits for %s%s",
				(int)child->pid, text, advice);
		trouble_set_cause(child, "it waits for %s%s", text, advice);
	}
	if (text == NULL && old != NULL) /* the worker has got the lock */
		trouble_forget_cause(child);
	free(child->life.waits);
	child->life.waits = text;
}

void startwait_look(struct child *child)
{
	enum slot_state state = child_view(child).state;
	bool starts = state == SLOT_STARTING;
	bool copied = false;
	char *text = NULL;

	if (!intercept_is_due(child, child->trap.waits_by))
		return;
	child->trap.waits_by = 0;
	if (starts)
		text = describe_lock(child, &copied);
	if (starts || state == SLOT_READY) /* else it ends, and waits no more */
		note_wait(child, text, copied);
	if (starts)
		intercept_look_after(
			child, &child->trap.waits_by, clock_now() - child_view(child).born);
}

void startwait_on_status(struct json_writer *w, const struct child *child)
{
	const char *text = capture_is_stuck(child) ? "whoever reads nclust's output" : NULL;
	bool starts = text == NULL && child_view(child).state == SLOT_STARTING;

	if (starts)
		text = child->life.waits;
	if (starts && text == NULL)
		text = ports_missing(child);
	if (starts && text == NULL && child->listening.awaited && !listens_is_passed(child))
		text = "its port";
	if (text != NULL)
		json_put_text(w, "waits_for", text);
}
