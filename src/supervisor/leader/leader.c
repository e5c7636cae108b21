/* SPDX-License-Identifier: MIT */
#include "supervisor/leader/leader.h"

#include "base/scope.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/look/remote.h"
#include "protocol/json.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/timer.h"
#include "supervisor/messages/channel.h"
#include "supervisor/workers/environment.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* When processes that a dead worker has left have the lock, try again after this. */
#define AGAIN (200 * MSEC)
#define LONG (5 * SECOND) /* then it is reported */

static const char told[] = "{\"nclust\":\"leader\"}";

/* ---- who leads ---- */

/* Has the worker the lock, or can it have it now? */
static bool takes_lock(const struct child *c)
{
	return c->leading.fd != -1 && lockfd_take(c->leading.fd);
}

static bool is_better(const struct child *c, const struct child *than)
{
	if (than == NULL || c->generation != than->generation)
		return than == NULL || c->generation > than->generation;
	return c->slot < than->slot;
}

static struct child *best_candidate(const struct service *s)
{
	struct child *found = NULL;
	struct child *c;

	for_each_child (c, children_of(s))
		if (c->leading.fd != -1 && is_better(c, found) && child_view(c).state == SLOT_READY)
			found = c;
	return found;
}

/* A worker that has taken the lock by itself leads, ready or not. */
static struct child *find_leader(const struct service *s, bool *refused)
{
	struct child_walk walk = children_of(s);
	struct child *c = best_candidate(s);

	*refused = false;
	if (c == NULL || takes_lock(c))
		return c;
	*refused = true;
	while ((c = child_next(&walk)) != NULL && !takes_lock(c))
		;
	return c;
}

/* The worker that was told to lead leads until it ends.  nclust may have no
 * duplicate of an earlier nclust's worker. */
static const struct child *leader_of(const struct service *s)
{
	const struct child *c =
		s->leadership.serial != 0 ? child_by_serial(s->sup, s->leadership.serial) : NULL;

	return c != NULL && (c->leading.fd == -1 || takes_lock(c)) ? c : NULL;
}

static void tell_leader(struct service *s, struct child *c)
{
	s->leadership.serial = c->serial;
	s->leadership.refused = 0;
	/* the next nclust must not tell the worker again */
	child_flag(c, STATE_LEADS, true);
	news_say_worker(c, LOG_NOTE, "leader", "is now the leader");
	if (c->channel != NULL)
		(void)channel_send(c->channel, told, sizeof(told) - 1, -1, true);
}

/* Processes that an adopted worker has left are not below nclust, so it cannot end them. */
static void try_again(struct service *s)
{
	nsec_t *since = &s->leadership.refused;
	nsec_t now = clock_now();

	if (*since == 0) {
		*since = now;
	} else if (*since > 0 && now - *since >= LONG) {
		*since = -1;
		news_say_of(s, LOG_WARN, "leader",
			"nobody leads, because a process that is no worker has "
			"the lock, such as one that an ended worker has left "
			"behind; to find it: find /proc/[0-9]*/fd "
			"-lname '*nclust-leader*'");
	}
	timer_arm_within(s->sup->loop, &s->sup->leaders.choose, AGAIN);
}

static void choose_leader(struct service *s)
{
	struct child *c;
	bool refused;

	if (leader_of(s) != NULL)
		return;
	c = find_leader(s, &refused);
	if (c != NULL)
		tell_leader(s, c);
	else if (refused && !s->leadership.blocked)
		try_again(s);
}

static void on_choose(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;

	for (size_t i = 0; i < sup->service_count; i++)
		if (sup->services[i]->leadership.fd != -1)
			choose_leader(sup->services[i]);
}

/* Later in this turn: the caller may be about to start or end workers. */
static void choose_soon(struct service *s)
{
	struct supervisor *sup = s->sup;

	if (s->leadership.fd == -1 || sup->instance.over)
		return;
	if (!ev_is_active(&sup->leaders.choose))
		timer_init(&sup->leaders.choose, on_choose, sup);
	timer_arm_within(sup->loop, &sup->leaders.choose, 0);
}

/* ---- the life of workers ---- */

static int open_file(struct service *s)
{
	if (s->leadership.fd != -1)
		return 0;
	s->leadership.fd = lockfd_make("nclust-leader");
	s->sup->orphans.changed = true; /* the keeper is to have the descriptor */
	return s->leadership.fd != -1 ? 0 : -1;
}

int leader_on_prepare(struct child *c, struct birth *birth, struct error *err)
{
	struct service *s = c->service;

	if (!birth->place.recipe->settings->leader)
		return 0;
	if (open_file(s) == 0)
		c->leading.fd = descriptors_again(s->leadership.fd, O_RDWR);
	if (c->leading.fd == -1)
		return error_set(err, errno, "the lock of the leader");
	birth->place.leader = c->leading.fd;
	return 0;
}

void leader_on_report(struct service *s, const struct report *r)
{
	if (r->kind == REPORT_READY && s->leadership.serial == 0)
		choose_soon(s);
}

static bool has_adopted(const struct service *s)
{
	const struct child *c;

	for_each_child (c, children_of(s))
		if (c->saved.adopted)
			return true;
	return false;
}

void leader_on_gone(struct child *c)
{
	struct service *s = c->service;

	fd_close(&c->leading.fd);
	if (s->leadership.blocked && !has_adopted(s)) {
		s->leadership.blocked = false;
		s->sup->orphans.changed = true;
		lockfd_drop(s->leadership.fd);
	} else if (s->leadership.serial != c->serial) {
		return;
	}
	if (s->leadership.serial == c->serial)
		s->leadership.serial = 0;
	choose_soon(s);
}

void leader_on_drop(struct service *s)
{
	fd_close(&s->leadership.fd);
}

void leader_on_shutdown(struct supervisor *sup)
{
	ev_timer_stop(sup->loop, &sup->leaders.choose);
}

/* ---- `orphans = keep` ---- */

/* A duplicate of the worker's descriptor; -1: nclust may not look, or the worker has closed it. */
static int take_again(struct child *c)
{
	struct leadership *l = &c->service->leadership;
	struct environ_look look;
	struct remote r;
	int fd;

	if (environment_look(&look, c->pid, "NCLUST_LEADER_FD") == -1)
		return -1;
	remote_of(&r, c->pid);
	fd = remote_fd(&r, (int)strtol(look.value, NULL, 10));
	if (fd != -1 && lockfd_is_one(fd)) {
		if (l->fd == -1)
			l->fd = descriptors_again(fd, O_RDWR);
		if (descriptors_same(fd, l->fd))
			return fd;
	}
	async_close(c->service->sup, c, &fd);
	return -1;
}

void leader_on_adopt(struct child *c, struct worker_fds *fds)
{
	struct service *s = c->service;

	if (!cluster_settings(s->core)->leader)
		return;
	c->leading.fd = take_again(c);
	if ((fds->entry->flags & STATE_LEADS) != 0)
		s->leadership.serial = c->serial;
}

void leader_on_adopted(struct service *s)
{
	if (!cluster_settings(s->core)->leader || !has_adopted(s))
		return;
	if (s->leadership.fd == -1 && open_file(s) == 0)
		s->leadership.blocked = lockfd_take(s->leadership.fd);
	choose_soon(s);
}

/* After an upgrade, which may come while nobody can lead. */
void leader_on_go_on(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++)
		choose_soon(sup->services[i]);
}

/* ---- status ---- */

void leader_on_status(struct json_writer *w, const struct service *s)
{
	const struct child *c;

	if (!cluster_settings(s->core)->leader)
		return;
	choose_leader((struct service *)(uintptr_t)s);
	c = leader_of(s);
	if (!json_open_member(w, "leader", c != NULL))
		return;
	json_put_int(w, "slot", c->slot);
	json_put_int(w, "pid", c->pid);
	json_close_object(w);
}
