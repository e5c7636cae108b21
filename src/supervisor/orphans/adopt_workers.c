/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/capture.h"
#include "supervisor/orphans/orphans.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/instance/instance.h"
#include "supervisor/workers/child.h"
#include "supervisor/orphans/internal.h"
#include "supervisor/workers/service.h"
#include "supervisor/common/registry.h"

#include <errno.h>
#include <stdlib.h>

static bool was_started_with(const struct orphan_cluster *c, unsigned generation, uint64_t digest)
{
	const struct orphan_generation *found =
		array_find(g, c->generations, c->generation_count, g->number == generation);

	return found != NULL && found->digest == digest && digest != 0;
}

/* Of two workers of a slot the older one comes first. */
static int by_age(const void *a, const void *b)
{
	uint64_t x = (*(struct old_worker *const *)a)->entry->serial;
	uint64_t y = (*(struct old_worker *const *)b)->entry->serial;

	return x < y ? -1 : x > y;
}

/* Count the worker among the users of the listeners that were taken over. */
static void take_uses(struct child *child, const struct state_entry *e)
{
	const struct listener_set *set = &child->service->sockets.learned;
	uint64_t known = 0;

	for (size_t i = 0; i < set->count; i++) {
		uint64_t bit = UINT64_C(1) << set->list[i]->bit;

		known |= bit;
		if ((e->uses & bit) != 0)
			set->list[i]->workers++;
	}
	child->listening.uses = e->uses & known;
	child->listening.listens = e->listens & known;
}

/* Had the worker sent READY=1, which the earlier nclust had read but not obeyed when it was
 * killed? */
static bool was_ready(const struct state_entry *e)
{
	return (e->flags & STATE_SAID_READY) != 0 &&
		(e->phase == STATE_CLAIMED || e->phase == STATE_STARTING);
}

static void fill_child(struct child *c, const struct old_worker *in)
{
	struct supervisor *sup = c->service->sup;
	const struct state_entry *e = in->entry;
	struct previous *previous = sup->orphans.previous;
	struct stored *stored = fd_store_find(&previous->store, LOGWIRE_A_WORKER, e->serial);
	struct worker_fds fds = {
		.entry = e,
		.trap = stored_take(stored, LOGWIRE_TRAP),
		.channel = stored_take(stored, LOGWIRE_CHANNEL),
	};
	struct process_facts facts;

	c->serial = e->serial;
	c->generation = e->generation;
	c->saved.start = e->birth.start;
	if (c->saved.start == 0 && process_look(c->pid, &facts) == 0)
		c->saved.start = facts.start; /* its serial has identified it */
	take_uses(c, e);
	c->listening.bound_by = e->bound_by;
	c->traffic.lane = e->lane;
	c->trap.known_to_listen = (e->flags & STATE_LISTENING) != 0;
	c->saved.entry = statefile_at(&sup->orphans.file, (unsigned)(e - previous->past.entries));
	if (c->saved.entry != NULL && was_ready(e)) {
		c->saved.entry->phase = STATE_READY;
		c->saved.entry->ready_at = clock_now();
		c->saved.entry->flags &= ~(uint32_t)STATE_SAID_READY;
	} else if (c->saved.entry != NULL && c->saved.entry->phase == STATE_CLAIMED) {
		c->saved.entry->phase = STATE_STARTING;
	}
	c->saved.in_keeper = stored != NULL && (stored->which & LOGWIRE_NOTIFY) != 0;
	if (c->service->accepting == NULL)
		readiness_adopt(c, stored_take(stored, LOGWIRE_NOTIFY));
	c->output[0] = stored_take(stored, LOGWIRE_STDOUT);
	c->output[1] = stored_take(stored, LOGWIRE_STDERR);
	/* CLAIMED: the keeper has only the descriptors from before the worker's start */
	if (stored == NULL || e->phase == STATE_CLAIMED)
		capture_reopen(c);
	moment_adopt(c, &fds);
	fd_close(&fds.trap);
	fd_close(&fds.channel);
}

/* 1: the worker is taken over; 0: there is no place for it; -1: out of memory. */
static int take_worker(struct service *service, struct old_worker *in, unsigned generation)
{
	const struct state_entry *e = in->entry;
	nsec_t now = clock_now();
	struct adoption a = {
		.slot = e->slot,
		.worker = service->accepting != NULL ? e->serial : 0,
		.generation = e->generation < generation ? e->generation : generation,
		.pid = e->birth.pid,
		.restarts = e->restarts,
		.now = now,
		.born = nsec_min(e->born, now),
		.ready_at = e->phase == STATE_READY || e->phase == STATE_STOPPING
			? nsec_min(e->ready_at, now)
			: was_ready(e) ? now
				       : NSEC_NEVER,
	};
	uint64_t worker;
	struct child *c;

	if (service->accepting != NULL)
		a.ready_at = a.born;
	if (e->slot >= WORKERS_MAX || service_reserve(service, e->slot + 1) == -1)
		return -1;
	a.generation = a.generation > 0 ? a.generation : 1;
	worker = cluster_adopt(service->core, &a);
	if (worker == 0)
		return 0;
	c = child_adopt(service, e->slot, worker, e->birth.pid, in->pidfd);
	if (c == NULL)
		return -1;
	in->pidfd = -1;
	fill_child(c, in);
	return 1;
}

static size_t list_workers(
	struct previous *h, const struct orphan_cluster *cluster, struct old_worker **list)
{
	size_t count = 0;

	for (size_t i = 0; i < h->past.count; i++)
		if (h->workers[i].is_adopted && h->workers[i].cluster == cluster)
			list[count++] = &h->workers[i];
	if (count > 1)
		qsort(list, count, sizeof(struct old_worker *), by_age);
	return count;
}

static int take_workers(struct service *service, const struct orphan_cluster *c, struct error *err)
{
	struct previous *h = service->sup->orphans.previous;
	const struct cluster_settings *settings = cluster_settings(service->core);
	uint64_t digest = config_digest(settings);
	struct old_worker **list = calloc(h->past.count + 1, sizeof(*list));
	unsigned generation = c->generation > 0 ? c->generation : 1;
	bool same = true;
	bool deaf = false;
	size_t count;

	if (list == NULL)
		return error_set(err, ENOMEM, "workers of '%s'", service->name);
	count = list_workers(h, c, list);
	for (size_t i = 0; i < count; i++) {
		const struct state_entry *e = list[i]->entry;
		const struct stored *stored = fd_store_find(&h->store, LOGWIRE_A_WORKER, e->serial);

		same &= was_started_with(c, e->generation, digest);
		/* under a seccomp filter whose notify fd is lost: its next bind(2) or listen(2)
		 * fails */
		deaf |= (e->flags & STATE_TRAPPED) != 0 &&
			(stored == NULL || (stored->which & LOGWIRE_TRAP) == 0);
		if (generation < e->generation)
			generation = e->generation;
	}
	/* workers of other settings belong to earlier generations */
	if (!same)
		generation++;
	if (cluster_adopt_begin(service->core, generation, c->says_ready, c->listens) == -1)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		int got = take_worker(service, list[i], generation);

		if (got == -1) {
			free(list);
			return error_set(err, ENOMEM, "workers of '%s'", service->name);
		}
		h->adopted += got == 1;
		if (got == 0)
			log_slot(service, list[i]->entry->slot, LOG_WARN,
				"worker %d is left alone: there is no place for it",
				(int)list[i]->entry->birth.pid);
	}
	if (service->accepting == NULL) {
		service->saved.roll = count > 0 && (!same || deaf);
		moment_adopted(service);
	}
	free(list);
	return 0;
}

/* ---- clusters ---- */

/* If the setting has not changed, keep the number of workers that the operator or the load has
 * asked for. */
static void follow_scale(struct service *service, const struct orphan_cluster *c)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	const struct scale_step to = {
		.wanted = c->wanted, .why = c->scaled ? SCALE_BY_HAND : SCALE_KEPT};
	struct error err;

	if ((c->scaled || s->workers.range || s->workers_by_default) &&
		c->workers == config_digest_workers(s) && service_step(service, &to, &err) == -1)
		log_warn("%s: %s", service->name, err.text);
}

/* Take the slotlogs of the cluster, and the file whose lock makes a worker the leader. */
static void take_logs(struct service *service, struct fd_store *store)
{
	uint64_t leader = slotlog_id(service, WORKERS_MAX);

	service->leadership.fd =
		stored_take(fd_store_find(store, LOGWIRE_A_SEGMENT, leader), LOGWIRE_MEMORY);
	if (service->leadership.fd != -1)
		service->leadership.keeper_id = leader;
	for (size_t i = 0; i < store->count; i++) {
		struct stored *g = &store->list[i];
		uint32_t slot = slotlog_slot(service, g->id);

		if (g->what == LOGWIRE_A_SEGMENT && slot != SLOT_ALL)
			slotlog_take(service, slot, stored_take(g, LOGWIRE_MEMORY));
	}
}

void adopt_command(const struct supervisor *sup, struct cluster_settings *s)
{
	const struct orphan_cluster *c = previous_cluster(sup->orphans.previous, s);

	if (c != NULL && c->command != NULL)
		command_keep(s, c->command, c->configured);
}

int adopt_cluster(struct service *service, struct error *err)
{
	struct supervisor *sup = service->sup;
	const struct orphan_cluster *c =
		previous_cluster(sup->orphans.previous, cluster_settings(service->core));

	if (c == NULL) {
		service->saved.number = ++sup->orphans.last_number;
		orphans_on_reloaded(service);
		return 0;
	}
	service->saved.number = c->number;
	orphans_on_reloaded(service);
	take_logs(service, &sup->orphans.previous->store);
	follow_scale(service, c);
	if (previous_learned(service, err) == -1)
		return -1;
	return take_workers(service, c, err);
}
