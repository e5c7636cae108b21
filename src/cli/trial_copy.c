/* SPDX-License-Identifier: MIT */
#include "cli/trial_exam.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/look/lockwait.h"

/* A second copy beside the first: is it ready, and at the same sockets? */

#define SECOND_MOST (12 * SECOND)  /* until it is ready … */
#define SOCKETS_MOST (3 * SECOND)  /* … and has all that the first has */
#define LOCK_PATIENCE (3 * SECOND) /* or waits for a lock so long */

/* Has slot 1 the next port, which slot 0 has not, as {slot+PORT} gives it? */
static bool has_next(const struct exam *e, const struct exam_place *p, const struct held *held)
{
	unsigned port = endpoint_port(&p->socket.at);

	for (size_t i = 0; port != 0 && i < held->count; i++)
		if (held->list[i].kind == p->socket.kind &&
			endpoint_port(&held->list[i].at) == port + 1)
			return held_alike(&e->first_held, &held->list[i]) == NULL;
	return false;
}

static enum exam_share share_of(
	const struct exam *e, const struct exam_place *p, const struct held *held)
{
	if (held_by_inode(held, p->socket.inode) != NULL)
		return SHARE_SAME;
	if (held_alike(held, &p->socket) == NULL)
		return held_is_private(&p->socket) || has_next(e, p, held) ||
				held_has_own(&e->first_held, held, &p->socket)
			? SHARE_PRIVATE
			: SHARE_OTHER;
	return p->socket.kind == HELD_UNIX ? SHARE_STOLEN : SHARE_SPREAD;
}

/* True when it has something at each place, or as many others. */
static bool compare(struct exam *e, const struct trial_life *second)
{
	struct held held untouched;
	bool all = true;

	held_look(&held, second->pid);
	files_compare(e, &held);
	for (size_t i = 0; i < e->place_count; i++) {
		e->places[i].share = share_of(e, &e->places[i], &held);
		all &= e->places[i].share != SHARE_OTHER;
	}
	return all || held.count >= e->held;
}

static void note_end(struct exam *e, const struct trial_life *second)
{
	e->second_after = second->exited - second->started;
	(void)text_copy(e->second_exit, sizeof(e->second_exit), second->exit);
	trial_settle(e->trial, (unsigned)second->slot);
	(void)text_copy(
		e->second_last, sizeof(e->second_last), e->trial->output.last[second->slot]);
	(void)trial_logged(e->trial, "cannot bind ", e->in_use, sizeof(e->in_use));
}

/* It is ready: see where it listens. */
static int see_sockets(struct exam *e, uint64_t worker, struct error *err)
{
	nsec_t until = nsec_add(trial_clock(e->trial), SOCKETS_MOST);
	const struct trial_life *second = trial_life(e->trial, worker);

	e->second_ready = true;
	e->second_after = second->ready - second->started;
	while (second->exited == 0 && !compare(e, second) && trial_clock(e->trial) < until) {
		if (trial_wait(e->trial, err) == -1)
			return -1;
		second = trial_life(e->trial, worker);
	}
	if (second->exited != 0) {
		e->second_ready = false;
		note_end(e, second);
	} else {
		beside_ask_second(e, second);
	}
	return 0;
}

/* A lock that it waits for: it is not ready, whatever it was taken for. */
static bool see_lock(struct exam *e)
{
	const struct trial_life *second = trial_latest(e->trial, 1);
	struct lockwait lock;

	if (second == NULL || second->exited != 0 || !lockwait_look(&lock, second->pid))
		return false;
	e->second_ready = false;
	(void)text_copy(e->second_lock, sizeof(e->second_lock), lock.path);
	return true;
}

int exam_copy(struct exam *e, struct error *err)
{
	nsec_t until = nsec_add(trial_clock(e->trial), SECOND_MOST);
	nsec_t locked = until - SECOND_MOST + LOCK_PATIENCE;

	files_made(e);
	beside_ask_first(e);
	if (trial_scale(e->trial, 2, err) == -1)
		return -1;
	while (trial_clock(e->trial) < until) {
		const struct trial_life *second = trial_latest(e->trial, 1);

		if (second != NULL && second->exited != 0) {
			note_end(e, second);
			break;
		}
		if (second != NULL && second->ready != 0) {
			if (see_sockets(e, second->worker, err) == -1)
				return -1;
			break;
		}
		if (trial_clock(e->trial) > locked && see_lock(e))
			break;
		if (trial_wait(e->trial, err) == -1)
			return -1;
	}
	e->first_gone = trial_life(e->trial, e->first)->exited != 0;
	(void)see_lock(e);
	return 0;
}

bool exam_is_alone(const struct exam *e)
{
	return !e->second_ready || e->first_gone;
}

bool exam_copies_work(const struct exam *e)
{
	size_t own = 0;

	if (exam_is_alone(e))
		return false;
	for (size_t i = 0; i < e->place_count; i++) {
		if (e->places[i].share == SHARE_SAME || e->places[i].share == SHARE_SPREAD)
			return true;
		own += e->places[i].share == SHARE_PRIVATE;
	}
	return e->place_count == own; /* then there is nothing to share */
}
