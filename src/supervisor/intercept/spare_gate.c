/* SPDX-License-Identifier: MIT */
#include "supervisor/intercept/intercept.h"

#include "os/process.h"
#include "supervisor/common/part.h"
#include "supervisor/common/registry.h"
#include "supervisor/sockets/group.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <signal.h>

bool spare_gate_is_shut(const struct child *child)
{
	return !child->trap.gate_passed && cluster_spares(child->service->core) > 0;
}

static void note_gated(struct child *child, bool waits)
{
	struct state_entry *entry = child->saved.entry;

	if (entry != NULL && waits)
		entry->flags |= STATE_GATED;
	else if (entry != NULL)
		entry->flags &= ~(uint32_t)STATE_GATED;
}

void spare_gate_report(struct child *child)
{
	note_gated(child, true);
	child->trap.listening_by = 0;
	child_tell(child, EVENT_GATE, WHY_ITSELF);
}

/* May the spare listen now, on a socket of its own to which no client comes?  That is of use only
 * if an HTTP check will warm it, or if connections wait there since the worker before has died. */
static bool may_spare_listen(struct child *child, struct listener *l)
{
	const struct cluster_settings *s = child_settings(child);
	const struct listener_socket *k = l != NULL ? group_own(l, child->traffic.lane) : NULL;
	bool was; /* at another address */

	if (s == NULL || k == NULL || l->own_group || group_size(l) == 1 ||
		!child_has_own_lane(child) ||
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
	struct gate *gate = &child->trap.gate;
	unsigned n = child->trap.gate_count;

	if (n == GATE_CALLS || !spare_gate_is_shut(child))
		return false;
	if (n == 0 && !child->trap.spare_listens)
		spare_gate_report(child);
	if (!spare_gate_is_shut(child) || may_spare_listen(child, l))
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
	const struct gate gate = child->trap.gate;
	unsigned count = child->trap.gate_count;

	child->trap.gate_count = 0;
	child->trap.gate_passed = true;
	child->trap.spare_listens = false;
	note_gated(child, false);
	for (unsigned i = 0; i < count && child->trap.fd != -1; i++) {
		struct seccomp_notice notice = {
			.call = SECCOMP_LISTEN,
			.id = gate.id[i],
			.tid = gate.tid[i],
			.fd = gate.fd[i],
			.backlog = gate.backlog[i],
		};
		struct remote r;

		remote_of(&r, notice.tid);
		listens_call(child, &notice, &r); /* answers a held bind(2), too */
		intercept_check_late(child, &r);
	}
	listens_look(child, count > 0);
}

bool intercept_on_stop(struct child *child, int signal, nsec_t span)
{
	struct trapped *trap = &child->trap;

	(void)span;
	if (trap->gate_count == 0 || signal == 0)
		return false;
	child_signal(child, signal);
	while (trap->gate_count > 0)
		seccomp_answer(trap->fd, trap->gate.id[--trap->gate_count], EINTR);
	return true;
}

void spare_gate_adopt(const struct child *child)
{
	if (child->saved.entry != NULL && (child->saved.entry->flags & STATE_GATED) != 0)
		(void)pidfd_signal(child->pidfd, SIGKILL);
}
