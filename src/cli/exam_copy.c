/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/look/look.h"

#include <string.h>

/* A second copy beside the first: is it ready, and at the same sockets? */

#define SECOND_MOST (12 * SECOND)  /* until the second copy is ready */
#define SOCKETS_MOST (3 * SECOND)  /* from there until it has all sockets that the first has */
#define LOCK_PATIENCE (3 * SECOND) /* or until it has waited for a lock so long */

/* Has the second copy a socket of its own in the place of that socket: the next
 * port, as {slot+PORT} gives it, or a path that differs from copy to copy? */
static bool has_own(const struct exam *e, const struct held_socket *s, const struct held *second)
{
	for (size_t i = 0; i < second->count; i++) {
		const struct held_socket *other = &second->list[i];

		if (held_alike(&e->held, other) == NULL &&
			(s->port != 0 ? other->port == s->port + 1
				      : strncmp(s->text, "unix:", 5) == 0 &&
						strncmp(other->text, "unix:", 5) == 0))
			return true;
	}
	return false;
}

static enum exam_share find_share(
	const struct exam *e, const struct held_socket *s, const struct held *second)
{
	if (held_by_inode(second, s->inode) != NULL)
		return SHARE_SAME;
	if (held_alike(second, s) == NULL)
		return has_own(e, s, second) ? SHARE_PRIVATE : SHARE_OTHER;
	return strncmp(s->text, "unix:", 5) == 0 ? SHARE_STOLEN : SHARE_SPREAD;
}

/* True when the second copy has a socket at each place of the first, or as many others. */
static bool compare_copies(struct exam *e, uint64_t worker)
{
	struct held second uninitialized;
	bool all = true;

	held_look(&second, e->trial, trial_pid(e->trial, worker));
	files_compare(e, &second);
	for (size_t i = 0; i < e->place_count; i++) {
		e->places[i].share = find_share(e, &e->places[i].socket, &second);
		all &= e->places[i].share != SHARE_OTHER;
	}
	return all || second.count >= e->held.count;
}

/* A copy that waits for a lock is not ready, even if it gave the sign. */
static bool find_lock(struct exam *e, uint64_t second)
{
	struct lockwait lock;

	if (second == 0 || trial_event(e->trial, second, "exited") != NULL ||
		!lockwait_look(&lock, trial_pid(e->trial, second)))
		return false;
	text_copy(e->second_lock, sizeof(e->second_lock), lock.path);
	return true;
}

/* Wait until the second copy is ready, has ended, or waits for a lock. */
static int await_second(struct exam *e, uint64_t *second, struct error *err)
{
	nsec_t until = e->trial->now + SECOND_MOST;
	nsec_t locked = e->trial->now + LOCK_PATIENCE;

	do {
		if (trial_wait(e->trial, err) == -1)
			return -1;
		*second = trial_worker(e->trial, 1);
		if (*second != 0 &&
			(trial_event(e->trial, *second, "exited") != NULL ||
				trial_event(e->trial, *second, "ready") != NULL))
			return 0;
	} while (e->trial->now < until && (e->trial->now < locked || !find_lock(e, *second)));
	return 0;
}

int exam_copy(struct exam *e, struct error *err)
{
	uint64_t second = 0;
	nsec_t until;

	files_made(e);
	if (beside_ask_first(e, err) == -1 || trial_scale(e->trial, 2, err) == -1 ||
		await_second(e, &second, err) == -1)
		return -1;
	if (second != 0 && trial_event(e->trial, second, "ready") != NULL) {
		e->second_ready = true;
		e->second_after = trial_time(e->trial, second, "ready") -
			trial_time(e->trial, second, "started");
	}
	until = e->trial->now + SOCKETS_MOST;
	while (e->second_ready && trial_event(e->trial, second, "exited") == NULL &&
		!compare_copies(e, second) && e->trial->now < until)
		if (trial_wait(e->trial, err) == -1)
			return -1;
	exam_note_end(e, second, &e->second_end);
	exam_note_end(e, e->first, &e->first_end);
	e->second_ready &= e->second_end.exit[0] == '\0' && !find_lock(e, second);
	return e->second_ready ? beside_ask_second(e, second, err) : 0;
}

bool exam_is_alone(const struct exam *e)
{
	return !e->second_ready || e->first_end.exit[0] != '\0';
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
	return e->place_count == own; /* all places are the copy's own: it need not share any */
}
