/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/adopt.h"

#include "base/log.h"
#include "base/scope.h"
#include "config/diff.h"
#include "core/adopt.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/place/rundir.h"
#include "os/process.h"
#include "supervisor/common/news.h"
#include "supervisor/common/news_text.h"
#include "supervisor/common/registry.h"
#include "supervisor/instance/command.h"
#include "supervisor/orphans/internal.h"
#include "supervisor/orphans/write_state.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/logger_life.h"
#include "supervisor/workers/readiness.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/slotlog.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* ---- which workers live ---- */

/* Is the process the worker of this entry?  1, 0; -1 and errno: unknown.  The entry of a worker
 * that was being started when nclust died has no start time. */
static int is_itself(struct supervisor *sup, const struct state_entry *e)
{
	struct process_facts facts;
	uint64_t serial;
	int got;

	if (process_look(e->birth.pid, &facts) == -1)
		return errno == ENOENT || errno == ESRCH ? 0 : -1;
	if (e->birth.start != 0)
		return facts.start == e->birth.start;
	got = remains_serial(sup, e->birth.pid, e->user, &serial);
	return got == 1 ? serial == e->serial : got;
}

/* Find a worker by its pid.  The order matters: if the process is checked after its pidfd was
 * opened, and still lives then, the pidfd refers to that process. */
static int find_by_pid(struct supervisor *sup, struct old_worker *in, struct error *err)
{
	const struct state_entry *e = in->entry;
	/* a worker that is not kept is ended soon, so its pidfd need not be watched */
	scoped_fd fd = (e->flags & STATE_KEEP) != 0 ? pidfd_to_watch(e->birth.pid)
						    : pidfd_of(e->birth.pid);
	int error = errno;
	int itself;

	if (fd == -1 && error == ESRCH)
		return 0;
	itself = is_itself(sup, e);
	if (itself == 1 && fd == -1) {
		errno = error;
		itself = -1;
	}
	if (itself == -1)
		return error_set(err, errno, "worker %d of an earlier nclust cannot be taken over",
			(int)e->birth.pid);
	if (itself == 0 || pidfd_has_ended(fd))
		return 0;
	in->pidfd = fd_release(&fd);
	in->lives = true;
	return 0;
}

/* Find a worker by the pidfd that the keeper has had since the worker's start. */
static bool find_by_keeper(struct supervisor *sup, struct previous *h, struct old_worker *in)
{
	struct stored *stored = fd_store_find(&h->store, LOGWIRE_A_WORKER, in->entry->serial);
	int fd = stored_take(stored, LOGWIRE_PIDFD);
	pid_t pid = fd != -1 ? pidfd_pid(fd) : -1;
	/* the pidfd of a process that was reaped has no pid, but says how the process ended */
	bool reaped =
		fd != -1 && pid == -1 && pidfd_has_ended(fd) && is_itself(sup, in->entry) == 0;

	if (!reaped && (fd == -1 || pid != in->entry->birth.pid)) {
		fd_close(&fd);
		return false;
	}
	in->pidfd = fd;
	in->lives = !pidfd_has_ended(fd);
	return true;
}

/* Of a cluster that is gone from the settings nothing is said. */
static void say_ended(struct supervisor *sup, const struct old_worker *in)
{
	const struct state_entry *e = in->entry;
	struct pidfd_end end = {0};
	struct ending ending = {.kind = ENDING_UNKNOWN};
	struct service *service =
		in->cluster != NULL ? service_named(sup, in->cluster->name) : NULL;
	char text[64];

	if (in->pidfd != -1 && pidfd_look(in->pidfd, e->birth.pid, e->birth.start, &end) == 1)
		ending = (struct ending){
			.kind = end.signalled ? ENDING_SIGNAL : ENDING_EXIT,
			.code = end.code,
		};
	if (service != NULL)
		news_say_slot(service, e->slot, LOG_NOTE, "ended-meanwhile",
			"worker %d ended while no nclust was there (%s)", (int)e->birth.pid,
			news_ending_text(text, &ending));
}

static bool is_wanted(const struct supervisor *sup, const struct orphan_cluster *c)
{
	return c != NULL &&
		array_find(s, sup->settings->clusters, sup->settings->cluster_count,
			strcmp((*s)->name, c->name) == 0 && (*s)->orphans == ORPHANS_KEEP) != NULL;
}

static int find_living(struct supervisor *sup, struct previous *h, struct error *err)
{
	h->workers = calloc(h->past.count + 1, sizeof(*h->workers));
	if (h->workers == NULL)
		return error_set(err, ENOMEM, "the workers");
	for (size_t i = 0; i < h->past.count; i++)
		h->workers[i] = (struct old_worker){.entry = &h->past.entries[i], .pidfd = -1};
	for (size_t i = 0; i < h->past.count; i++) {
		struct old_worker *in = &h->workers[i];
		const struct state_entry *e = in->entry;

		in->cluster = array_find(c, h->orphan_state.clusters, h->orphan_state.cluster_count,
			c->number == e->cluster);
		if (sup->births.next_serial < e->serial)
			sup->births.next_serial = e->serial;
		if (e->birth.pid == 0)
			continue;
		if (!find_by_keeper(sup, h, in) && find_by_pid(sup, in, err) == -1)
			return -1;
		if (in->lives && (e->flags & STATE_KEEP) != 0) {
			in->is_adopted = is_wanted(sup, in->cluster);
			h->kept_pid = e->birth.pid;
		}
		h->adopt_count += in->is_adopted;
		h->end_count += !in->is_adopted;
	}
	return 0;
}

/* ---- reading ---- */

static int read_orphan_state(struct supervisor *sup, struct previous *h, struct error *err)
{
	size_t size;
	void *data = orphan_state_read(sup->rundir.dir, &size, err);
	int got;

	if (data == NULL)
		return -1;
	got = orphan_state_decode(&h->orphan_state, data, size, err);
	free(data);
	if (got == -1)
		return -1;
	for (size_t i = 0; i < h->orphan_state.cluster_count; i++)
		if (sup->orphans.last_number < h->orphan_state.clusters[i].number)
			sup->orphans.last_number = h->orphan_state.clusters[i].number;
	return 0;
}

static int refuse_living_workers(
	struct supervisor *sup, pid_t pid, const char *why, struct error *err)
{
	error_set(err, 0,
		"workers of an earlier '%s' are still running (pid %d) and "
		"cannot be taken over: %s",
		sup->settings->name, (int)pid, why);
	error_hint(err, "end them first");
	return error_status(err, EX_TEMPFAIL);
}

/* Go on with the history of the earlier nclust, even if no worker lives. */
static void take_history(struct supervisor *sup, struct previous *h)
{
	int fd = stored_take(
		fd_store_find(&h->store, LOGWIRE_A_SEGMENT, NEWS_HISTORY), LOGWIRE_MEMORY);

	if (news_take_history(sup, fd))
		sup->news.keeper_id = NEWS_HISTORY;
	else
		fd_close(&fd);
}

static void call_keeper(struct supervisor *sup, struct previous *h)
{
	const struct logwire_packet leave = {.kind = LOGWIRE_LEAVE};
	struct error err;

	if (keeper_call(sup, &h->store, &err) == -1) {
		if (err.sys != ENOENT && err.sys != ECONNREFUSED)
			log_warn("%s", err.text);
		return;
	}
	if (logger_take_over(sup, h->store.channel, h->store.pid) == -1) {
		log_syserr("cannot go on with the logger, starting another");
		/* nclust has all that this logger keeps: it ends when its channel is closed */
		(void)fdpass_send(h->store.channel, &leave, sizeof(leave), NULL, 0);
		return;
	}
	h->store.channel = -1;
	sup->orphans.keeper_socket = fd_release(&h->store.socket);
	take_history(sup, h);
}

static int take_over_past(struct supervisor *sup, struct previous *h, struct error *err)
{
	struct error why = {0};
	int told = read_orphan_state(sup, h, &why);

	/* even without workers: the keeper may hold listeners */
	if (told == 0 || sup->orphans.has_past)
		call_keeper(sup, h);
	else
		keeper_dismiss(sup);
	if (find_living(sup, h, err) == -1)
		return -1;
	if (told == -1 && h->kept_pid != 0)
		return refuse_living_workers(sup, h->kept_pid, why.text, err);
	(void)remains_end(sup, h);
	return 0;
}

static int refuse_past(struct supervisor *sup, const struct error *why, struct error *err)
{
	pid_t pid = remains_find(sup);

	if (pid != 0)
		return refuse_living_workers(sup, pid, why->text, err);
	keeper_dismiss(sup);
	log_warn("the state of an earlier '%s' cannot be used: %s; none of its "
		 "workers runs",
		sup->settings->name, why->text);
	return 0;
}

/* Open the state file.  Workers that are taken over keep their entries, so that a next nclust finds
 * them if this one is killed now. */
static int open_state_file(struct supervisor *sup, const struct previous *h, struct error *err)
{
	bool go_on = h->adopt_count > 0;
	struct error why;

	if (statefile_open(&sup->orphans.file, sup->rundir.dir, go_on, &why) == 0) {
		for (size_t i = 0; go_on && i < h->past.count; i++)
			if (!h->workers[i].is_adopted)
				statefile_free(&sup->orphans.file,
					statefile_at(&sup->orphans.file, (unsigned)i));
		return 0;
	}
	if (go_on || keeper_wanted(sup)) {
		*err = why;
		return -1;
	}
	log_warn("%s: if nclust is killed, the next one will not find its "
		 "workers",
		why.text);
	return 0;
}

int adopt_begin(struct supervisor *sup, struct error *err)
{
	struct previous *h = calloc(1, sizeof(*h));
	struct error why;
	int got;

	if (h == NULL)
		return error_set(err, ENOMEM, "what an earlier nclust has left");
	h->store.channel = h->store.socket = -1;
	h->began = clock_now();
	sup->orphans.previous = h;
	if (!sup->has_rundir)
		return 0; /* without a runtime directory no nclust leaves workers */
	got = statefile_read(sup->rundir.dir, &h->past, &why);
	sup->orphans.has_past = got == -1;
	for (size_t i = 0; got != -1 && i < h->past.count; i++)
		sup->orphans.has_past |= (h->past.entries[i].flags & STATE_KEEP) != 0;
	if (got == -1)
		got = refuse_past(sup, &why, err);
	else if (got == 1)
		got = take_over_past(sup, h, err);
	return got == -1 ? -1 : open_state_file(sup, h, err);
}

/* ---- the end ---- */

/* Notify sockets are named by the serials of their workers. */
static bool has_notify(const char *name, const void *context)
{
	const struct supervisor *sup = context;

	return child_by_serial(sup, strtoull(name, NULL, 16)) != NULL;
}

void adopt_finish(struct supervisor *sup)
{
	const struct event all = {.slot = SLOT_ALL};
	struct previous *h = sup->orphans.previous;
	struct child *child;
	struct error err;

	for (size_t i = 0; i < h->past.count; i++)
		if (!h->workers[i].lives && h->workers[i].entry->birth.pid != 0)
			say_ended(sup, &h->workers[i]);
	if (h->adopted > 0)
		news_say(sup, LOG_NOTE, "adopted",
			"%s: took over %u worker%s of nclust %d, which is "
			"gone, in %.1f ms",
			sup->settings->name, h->adopted, h->adopted == 1 ? "" : "s",
			(int)h->past.header.pid, nsec_seconds(clock_now() - h->began) * 1000);
	if (h->past.count > 0)
		rundir_empty_notify(&sup->rundir, has_notify, sup);
	logger_redirect(sup);
	if (keeper_wanted(sup)) {
		logger_begin(sup);
		/* else a port that no setting names any more would stay open at the keeper, and its
		 * clients would wait for ever */
		keeper_drop_rest(sup, &h->store);
		sup->orphans.changed = true;
		keeper_greet(sup, false);
	} else {
		keeper_leave(sup);
	}
	for (size_t i = 0; i < sup->service_count; i++)
		if (sup->services[i]->saved.roll &&
			service_roll(sup->services[i], &all, &err) == -1)
			log_warn("%s: %s", sup->services[i]->name, err.text);
	/* The earlier nclust was stopping these workers, and may have kept new clients from them. */
	for_each_child (child, children_of_all(sup))
		if (child->service->accepting == NULL && child->saved.entry != NULL &&
			child->saved.entry->phase == STATE_STOPPING)
			child_tell(child, EVENT_OUTGROWN, WHY_SOCKET);
	adopt_fini(sup);
	sup->orphans.has_past = false;
}

void adopt_fini(struct supervisor *sup)
{
	struct previous *h = sup->orphans.previous;

	if (h == NULL)
		return;
	for (size_t i = 0; h->workers != NULL && i < h->past.count; i++)
		fd_close(&h->workers[i].pidfd);
	free(h->workers);
	fd_store_fini(&h->store);
	orphan_state_fini(&h->orphan_state);
	state_past_fini(&h->past);
	free(h);
	sup->orphans.previous = NULL;
}

/* ---- workers that are taken over ---- */

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
