/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/write_state.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "config/diff.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/common/news.h"
#include "supervisor/orphans/internal.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/logger_life.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/slotlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- listeners ---- */

struct writing {
	struct supervisor *sup;
	struct orphan_state *orphan_state;
	const struct service *service;
	bool fresh; /* the keeper holds no descriptors yet */
	bool failed;
};

static void *add_item(struct writing *w, void *list, size_t *count, size_t size)
{
	void *item = orphan_state_add(list, count, size);

	w->failed |= item == NULL;
	return item;
}

/* False: out of memory. */
static bool put_sockets(struct orphan_listener *e, const struct listener *l)
{
	unsigned count = l->sockets != NULL ? group_size(l) : 0;

	if (count < 1 || count > ORPHAN_SOCKETS_MAX)
		return true;
	e->sockets = calloc(count, sizeof(*e->sockets));
	if (e->sockets == NULL)
		return false;
	for (const struct listener_socket *s = l->sockets; s != NULL; s = s->next)
		e->sockets[s->place] = (struct orphan_socket){
			.cookie = socket_cookie(s->fd),
			.inode = s->inode,
			.lane = s->lane,
			.bound = s->bound ? ORPHAN_BOUND : ORPHAN_NOT_BOUND,
		};
	e->socket_count = count;
	return true;
}

static void hold_fd(
	struct writing *w, enum logwire_what what, uint64_t id, int fd, uint64_t *keeper_id)
{
	if (w->fresh)
		*keeper_id = 0;
	keeper_hold(w->sup, what, id, fd, keeper_id);
}

static void put_listener(struct writing *w, struct listener *l)
{
	struct orphan_state *state = w->orphan_state;
	uint64_t cookie = socket_cookie(l->fd);
	struct orphan_listener *e;

	if (cookie == 0)
		w->failed = true; /* a next nclust could not find it */
	if (array_find(known, state->listeners, state->listener_count, known->cookie == cookie))
		return;
	hold_fd(w, LOGWIRE_A_LISTENER, cookie, l->fd, &l->keeper_id);
	for (struct listener_socket *s = l->sockets; s != NULL; s = s->next)
		if (s->fd != l->fd)
			hold_fd(w, LOGWIRE_A_LISTENER, socket_cookie(s->fd), s->fd, &s->keeper_id);
	e = add_item(w, &state->listeners, &state->listener_count, sizeof(*e));
	if (e == NULL)
		return;
	e->address = address_format(&l->address);
	e->cluster = w->service->saved.number;
	e->cookie = cookie;
	e->given = l->asked != NULL;
	e->was = *l;
	w->failed |= e->address == NULL || !put_sockets(e, l);
}

static void put_segment(struct writing *w, struct segment *s)
{
	struct orphan_state *state = w->orphan_state;
	struct orphan_segment *e;

	if (s == NULL ||
		array_find(known, state->segments, state->segment_count,
			known->was.facts.ino == s->facts.ino &&
				known->was.facts.dev == s->facts.dev))
		return;
	hold_fd(w, LOGWIRE_A_SEGMENT, sharedmem_id(s->facts.dev, s->facts.ino), s->fd,
		&s->keeper_id);
	e = add_item(w, &state->segments, &state->segment_count, sizeof(*e));
	if (e != NULL)
		*e = (struct orphan_segment){.cluster = w->service->saved.number, .was = *s};
}

/* ---- clusters ---- */

/* Write down a generation whose settings are known.  A next nclust replaces workers of other
 * generations. */
static void put_generation(struct writing *w, struct orphan_cluster *c, unsigned number,
	const struct cluster_settings *settings)
{
	struct orphan_generation *g;

	if (c->generation_count == ORPHAN_GENERATIONS_MAX ||
		array_find(known, c->generations, c->generation_count, known->number == number))
		return;
	g = add_item(w, &c->generations, &c->generation_count, sizeof(*g));
	if (g != NULL)
		*g = (struct orphan_generation){number, config_digest(settings)};
}

static void put_service(struct writing *w, struct service *s)
{
	struct orphan_state *state = w->orphan_state;
	const struct cluster_settings *settings = cluster_settings(s->core);
	struct orphan_cluster *c;
	struct listener *l;

	w->service = s;
	c = add_item(w, &state->clusters, &state->cluster_count, sizeof(*c));
	if (c == NULL)
		return;
	text_copy(c->name, sizeof(c->name), s->name);
	c->number = s->saved.number;
	c->generation = cluster_generation(s->core);
	c->wanted = service_counts(s).workers;
	c->scaled = s->stage.scaled;
	c->workers = config_digest_workers(settings);
	c->says_ready = s->saved.knows_notify = cluster_knows_notify(s->core);
	c->listens = s->saved.knows_listen = cluster_knows_listen(s->core);
	/* Write down the command that a restart gave; without it a next nclust would replace the
	 * workers by workers of the configuration's command. */
	if (settings->configured != NULL) {
		c->command = strdup(settings->command_text);
		c->configured = strdup(settings->configured);
		w->failed |= c->command == NULL || c->configured == NULL;
	}
	put_generation(w, c, c->generation, settings);
	put_segment(w, s->sockets.segment);
	put_segment(w, s->sockets.former);
	for (const struct recipe *r = s->life.recipes; r != NULL; r = r->next) {
		put_generation(w, c, r->generation, r->settings);
		put_segment(w, r->segment);
	}
	for_each_listener (l, listeners_of(s, LISTENERS_ALL))
		put_listener(w, l);
	if (settings->orphans == ORPHANS_KEEP && s->leadership.fd != -1 && !s->leadership.blocked)
		hold_fd(w, LOGWIRE_A_SEGMENT, slotlog_id(s, WORKERS_MAX), s->leadership.fd,
			&s->leadership.keeper_id);
	for (struct slotlog *log = s->life.logs; settings->orphans == ORPHANS_KEEP && log != NULL;
		log = log->next)
		hold_fd(w, LOGWIRE_A_SEGMENT, slotlog_id(s, log->slot), log->fd, &log->keeper_id);
}

static int write_all(struct supervisor *sup)
{
	struct orphan_state orphan_state = {0};
	struct writing w = {.sup = sup, .orphan_state = &orphan_state, .fresh = sup->orphans.fresh};
	scoped_buffer bytes = {0};
	int got = -1;

	for (size_t i = 0; i < sup->service_count; i++)
		put_service(&w, sup->services[i]);
	if (news_history_fd(sup) != -1)
		hold_fd(&w, LOGWIRE_A_SEGMENT, NEWS_HISTORY, news_history_fd(sup),
			&sup->news.keeper_id);
	sup->orphans.fresh &= w.failed;
	errno = ENOMEM;
	if (!w.failed && orphan_state_encode(&bytes, &orphan_state) == 0)
		got = orphan_state_write(sup->rundir.dir, bytes.data, bytes.len);
	orphan_state_fini(&orphan_state);
	return got;
}

void orphans_write_changes(struct supervisor *sup)
{
	if (sup->orphans.settled)
		statefile_rest(&sup->orphans.file);
	sup->orphans.settled = false;
	if (!sup->orphans.changed || sup->orphans.previous != NULL || sup->instance.over)
		return;
	sup->orphans.changed = false;
	if (!keeper_wanted(sup))
		return;
	/* no keeper runs yet, but a reload may have asked for `orphans = keep` */
	if (sup->orphans.keeper_socket == -1) {
		logger_begin(sup);
		if (sup->orphans.keeper_socket == -1)
			keeper_greet(sup, true);
	}
	/* a failed write is tried again at the next turn */
	sup->orphans.changed = write_all(sup) == -1;
	if (!sup->orphans.changed)
		once_forget(sup->said, ONCE_STATE_UNWRITTEN);
	else if (once_say(sup->said, ONCE_STATE_UNWRITTEN))
		log_syserr("cannot write the state for the next nclust");
}

void orphans_on_logger(struct supervisor *sup, enum logger_step step)
{
	if (step == LOGGER_UP)
		keeper_greet(sup, true);
}

void orphans_on_write_down(struct supervisor *sup)
{
	sup->orphans.changed = true;
	orphans_write_changes(sup);
}

/* ---- workers ---- */

/* Claim an entry of the state file for a worker.  NULL: there is no state file. */
static struct state_entry *claim_entry(
	const struct child *child, const struct cluster_settings *settings, unsigned generation)
{
	const struct service *service = child->service;
	struct state_entry *e = statefile_claim(&service->sup->orphans.file);
	struct slot_view view;

	if (e == NULL)
		return NULL;
	cluster_view_slot(service->core, child->slot, &view);
	e->flags = settings->orphans == ORPHANS_KEEP ? STATE_KEEP : 0;
	e->serial = child->serial;
	e->user = (settings->uid >= 0 ? (uint32_t)settings->uid : geteuid()) + 1;
	e->cluster = service->saved.number;
	e->slot = child->slot;
	e->lane = child->traffic.lane;
	e->generation = generation;
	e->restarts = view.restarts;
	e->ready_at = NSEC_NEVER;
	e->born = clock_now();
	return e;
}

static void note_phase(struct service *service, const struct report *r, enum state_phase phase)
{
	struct child *c = child_find(service, r->slot, r->worker);

	if (c == NULL || c->saved.entry == NULL)
		return;
	if (phase == STATE_READY)
		c->saved.entry->ready_at = clock_now();
	c->saved.entry->phase = phase;
}

void orphans_on_report(struct service *service, const struct report *r)
{
	switch (r->kind) {
	case REPORT_READY:
		note_phase(service, r, STATE_READY);
		if (cluster_knows_notify(service->core) != service->saved.knows_notify ||
			cluster_knows_listen(service->core) != service->saved.knows_listen)
			service->sup->orphans.changed = true;
		break;
	case REPORT_DRAINING:
	case REPORT_STOPPING:
		note_phase(service, r, STATE_STOPPING);
		break;
	case REPORT_ALL_READY:
		orphans_on_reloaded(service);
		service->sup->orphans.settled = true;
		break;
	case REPORT_ROLLOUT_DONE:
		orphans_on_reloaded(service);
		service->sup->orphans.changed = true;
		break;
	case REPORT_SCALED:
	case REPORT_ROLLOUT_STARTED:
	case REPORT_ROLLOUT_FAILED:
	case REPORT_ROLLOUT_SUPERSEDED:
		service->sup->orphans.changed = true;
		break;
	default:
		break;
	}
}

void orphans_on_reloaded(struct service *service)
{
	struct state_entry *anchor = service->saved.anchor;
	struct statefile *file = &service->sup->orphans.file;
	bool keep = cluster_settings(service->core)->orphans == ORPHANS_KEEP;

	if (service->accepting == NULL || keep == (anchor != NULL))
		return;
	if (!keep)
		statefile_free(file, anchor);
	service->saved.anchor = anchor = keep ? statefile_claim(file) : NULL;
	if (anchor == NULL)
		return;
	anchor->flags = STATE_KEEP;
	anchor->serial = ++service->sup->births.next_serial; /* of no worker */
	anchor->cluster = service->saved.number;
	anchor->ready_at = NSEC_NEVER;
}

void orphans_forget(struct service *service)
{
	for (struct slotlog *log = service->life.logs; log != NULL; log = log->next)
		keeper_drop(service->sup, LOGWIRE_A_SEGMENT, &log->keeper_id);
	keeper_drop(service->sup, LOGWIRE_A_SEGMENT, &service->leadership.keeper_id);
	statefile_free(&service->sup->orphans.file, service->saved.anchor);
	service->saved.anchor = NULL;
}

/* ---- after files were removed, and after an upgrade ---- */

int orphans_on_renew(struct supervisor *sup, struct error *err)
{
	if (statefile_renew(&sup->orphans.file, sup->rundir.dir, err) == -1)
		log_warn("%s", err->text);
	sup->orphans.changed = true;
	if (sup->orphans.keeper_socket == -1)
		return 0;
	fd_close(&sup->orphans.keeper_socket); /* its file was removed, too */
	keeper_greet(sup, false);
	return 0;
}

static void match_entries(struct supervisor *sup, const struct state_past *past)
{
	for (size_t i = 0; i < past->count; i++) {
		struct state_entry *e = statefile_at(&sup->orphans.file, (unsigned)i);
		struct child *c;

		if (e == NULL || past->entries[i].phase == STATE_FREE)
			continue;
		c = child_by_pid(sup, past->entries[i].birth.pid);
		if (c != NULL && c->serial == past->entries[i].serial) {
			c->saved.entry = e;
			e->cluster = c->service->saved.number;
		} else
			statefile_free(&sup->orphans.file, e);
	}
}

/* Give a worker an entry in the state file, if it has none. */
static void make_entry(struct child *child)
{
	const struct cluster_settings *settings = child_settings(child);
	struct state_entry *e;
	struct process_facts facts;
	struct worker_view view;

	if (child->saved.entry != NULL)
		return;
	if (settings == NULL)
		settings = cluster_settings(child->service->core);
	e = child->saved.entry = claim_entry(child, settings, child->generation);
	if (e == NULL)
		return;
	e->birth.pid = child->pid;
	if (process_look(child->pid, &facts) == 0)
		e->birth.start = facts.start;
	e->phase = STATE_STARTING;
	view = child_view(child);
	if (view.state != SLOT_EMPTY) {
		e->born = view.born;
		e->ready_at = view.ready_at;
	}
	if (view.state == SLOT_READY)
		e->phase = STATE_READY;
	else if (view.state == SLOT_DRAINING || view.state == SLOT_STOPPING)
		e->phase = STATE_STOPPING;
	learned_note(child);
}

void orphans_on_go_on(struct supervisor *sup)
{
	struct child *child;
	struct state_past past;
	struct error err;
	int got;

	if (!sup->has_rundir)
		return;
	got = statefile_read(sup->rundir.dir, &past, &err);
	if (statefile_open(&sup->orphans.file, sup->rundir.dir, got == 1, &err) == -1)
		log_warn("%s", err.text);
	match_entries(sup, &past);
	for_each_child (child, children_of_all(sup))
		make_entry(child);
	for (size_t i = 0; i < sup->service_count; i++)
		orphans_on_reloaded(sup->services[i]);
	state_past_fini(&past);
	sup->orphans.changed = true;
	keeper_greet(sup, true);
}

/* ---- a worker's life ---- */

/* The new process writes its own pid into its entry.  The keeper gets the notify socket before the
 * start, because a worker may be ready before orphans_on_born() is called. */
void orphans_on_prepare(struct child *child, struct birth *birth)
{
	const struct recipe *r = birth->place.recipe;

	child->saved.entry = claim_entry(child, r->settings, r->generation);
	if (child->saved.entry == NULL)
		return;
	birth->plan.birth = &child->saved.entry->birth;
	keeper_hold_child(child);
}

void orphans_on_born(struct child *child)
{
	if (child->saved.entry == NULL)
		return;
	keeper_hold_child(child);
	child->saved.entry->phase = STATE_STARTING;
}

void orphans_on_gone(struct child *child)
{
	keeper_drop_child(child);
	statefile_free(&child->service->sup->orphans.file, child->saved.entry);
	child->saved.entry = NULL;
}

void orphans_on_let_go(struct holding *h)
{
	struct listener *l = h->listener;

	if (h->segment != NULL)
		keeper_drop(h->segment->sup, LOGWIRE_A_SEGMENT, &h->segment->keeper_id);
	else
		keeper_drop(l->sup, LOGWIRE_A_LISTENER,
			h->socket != NULL ? &h->socket->keeper_id : &l->keeper_id);
}

void orphans_on_shutdown(struct supervisor *sup)
{
	if (!sup->orphans.has_past)
		keeper_leave(sup);
}
