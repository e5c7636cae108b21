/* SPDX-License-Identifier: MIT */
#include "supervisor/health/health.h"

#include "os/clock.h"
#include "supervisor/common/registry.h"
#include "supervisor/health/internal.h"
#include "supervisor/sockets/group.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Time to the next try, if no worker was reached. */
#define AGAIN (16 * MSEC)

/* ---- who is wanted ---- */

bool reach_wants(const struct reach *r, const struct child *child)
{
	if (child->slot >= r->slots || r->reached[child->slot])
		return false;
	return r->slot == SLOT_ALL ? health_is_ready(child) : r->slot == child->slot;
}

struct reach *reach_find(const struct prober *p, const struct child *child, char byte)
{
	struct reach *r = p->reaches;
	const struct listener *l = r != NULL ? check_target_of(child) : NULL;

	/* by a path a worker's user could lead root's connection to another program */
	if (l == NULL || l->facts.family == AF_UNIX)
		return NULL;
	while (r != NULL && !(reach_wants(r, child) && (byte == '\0' || r->first == byte)))
		r = r->next;
	return r;
}

void reach_hand_on(struct prober *p, struct reach *r, struct child *child, int fd, bool byte_sent)
{
	if (!r->got(r, child, fd, byte_sent))
		return;
	r->reached[child->slot] = true;
	r->until = nsec_add(clock_now(), r->patience);
	monitor_arm(&p->monitor, 0);
}

/* ---- a step ---- */

static bool is_reach_over(const struct reach *r, nsec_t now)
{
	const struct child *child;

	for_each_child (child, children_of(r->service))
		if (reach_wants(r, child))
			return now >= r->until;
	return true;
}

/* Those that nclust has given up stay in the queue of a worker that hangs. */
bool reach_is_crowded(const struct prober *p)
{
	const struct listener *l =
		p->reaches != NULL ? check_target_next(p->monitor.service, 0) : NULL;
	struct queue_facts queue;

	if (l == NULL)
		return false;
	group_queue(l, &queue);
	return queue.depth >= PROBINGS_MAX || (queue.limit > 0 && queue.depth > queue.limit / 2);
}

nsec_t reach_step(struct prober *p, nsec_t now)
{
	struct reach *next;

	for (struct reach *r = p->reaches; r != NULL; r = next) {
		next = r->next;
		if (is_reach_over(r, now))
			r->over(r);
	}
	return p->reaches != NULL ? AGAIN : NSEC_NEVER;
}

/* ---- life ---- */

int reach_begin(struct reach *r, struct service *service, struct error *err)
{
	const struct listener *l = check_target_next(service, r->slot != SLOT_ALL ? r->slot : 0);
	struct prober *p;
	struct check_target target;

	if (service->kind->by_connection)
		return error_set(err, 0,
			"'%s' has a process for each connection: there is no "
			"worker to ask",
			service->name);
	if (check_target_at(&target, l, err) == -1)
		return error_wrap(err, "%s", service->name);
	if (l->facts.family == AF_UNIX)
		return error_set(err, 0,
			"%s: its workers can be asked over TCP only, and its "
			"first listener is a unix socket",
			service->name);
	p = (struct prober *)monitor_of(service, ASKS_PROBE);
	r->service = service;
	r->until = nsec_add(clock_now(), r->patience);
	r->slots = service->child_slots;
	r->reached = calloc(r->slots + 1, sizeof(*r->reached));
	if (p == NULL || r->reached == NULL) {
		free(r->reached);
		return error_set(err, ENOMEM, "%s", service->name);
	}
	memcpy(r->host, target.host, sizeof(r->host));
	r->next = p->reaches;
	p->reaches = r;
	monitor_arm(&p->monitor, 0);
	return 0;
}

void reach_end(struct reach *r)
{
	struct reach **at = &prober_of(r->service)->reaches;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	free(r->reached);
	r->reached = NULL;
}

void reach_drop(struct service *service)
{
	struct prober *p = prober_of(service);
	struct reach *r;

	while (p != NULL && (r = p->reaches) != NULL)
		r->over(r);
}
