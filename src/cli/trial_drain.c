/* SPDX-License-Identifier: MIT */
#include "cli/trial_exam.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/trial_visit.h"
#include "os/clock.h"
#include "os/process.h"

#include <signal.h>
#include <stdlib.h>

/* What a stop signal does to an idle worker, and to one that has read the first
 * half of a request. */

#define ACCEPT_MOST (1 * SECOND)
#define END_MOST (8 * SECOND)   /* more than TRIAL_STOP_TIMEOUT */
#define OTHER_MOST (3 * SECOND) /* another signal need not */
#define ANSWER_MOST (3 * SECOND)

/* Some answer as soon as they have the first line. */
static const char *const halves[][2] = {
	{"GET / HTTP/1.0\r\nHost: localhost\r\n", "\r\n"},
	{"GET / HT", "TP/1.0\r\nHost: localhost\r\n\r\n"},
};

/* ---- a visit ---- */

/* 0 too where we know none. */
static long queue_of(const struct exam *e, uint64_t inode)
{
	const struct trial_listener *l = trial_listener(e->trial, inode);

	return l != NULL ? l->queue : 0;
}

static const struct exam_place *place_to_visit(const struct exam *e)
{
	for (size_t i = 0; i < e->place_count; i++)
		if (e->places[i].socket.kind == HELD_TCP)
			return &e->places[i];
	for (size_t i = 0; i < e->place_count; i++)
		if (e->places[i].socket.kind == HELD_UNIX)
			return &e->places[i];
	return NULL;
}

/* Come, and be accepted.  1; 0: it was not; -1 and `err`. */
static int come(struct exam *e, struct visitor *v, const struct exam_place *p, struct error *err)
{
	nsec_t until = nsec_add(trial_clock(e->trial), ACCEPT_MOST);

	v->fd = held_visit(&p->socket);
	if (v->fd == -1)
		return 0;
	do
		if (trial_wait(e->trial, err) == -1)
			return -1;
	while (queue_of(e, p->socket.inode) > 0 && trial_clock(e->trial) < until);
	return queue_of(e, p->socket.inode) > 0 ? 0 : 1;
}

/* Say the first half.  0, with what came of it so far in `stop`. */
static int begin_visit(struct exam *e, struct visitor *v, const struct trial_life *life,
	struct exam_stop *stop, struct error *err)
{
	const struct exam_place *p = place_to_visit(e);

	stop->request = REQUEST_UNTRIED;
	for (size_t way = 0; p != NULL && way < COUNT_OF(halves); way++) {
		int got;

		fd_close(&v->fd);
		*v = (struct visitor){.fd = -1};
		stop->way = way;
		got = come(e, v, p, err);
		if (got == -1)
			return -1;
		stop->request = REQUEST_UNHEARD;
		if (got == 0)
			return 0;
		visitor_say(v, halves[way][0]);
		visitor_await(v, life);
		stop->request = REQUEST_FORGOTTEN;
		if (!v->got && !v->closed)
			return 0;
		stop->request = REQUEST_NO_HTTP;
		if (!visitor_is_answered(v))
			return 0;
	}
	return 0;
}

/* The signal is on its way. */
static int end_visit(struct exam *e, struct visitor *v, const struct trial_life *life,
	struct exam_stop *stop, struct error *err)
{
	nsec_t until = nsec_add(trial_clock(e->trial), ANSWER_MOST);

	if (stop->request != REQUEST_FORGOTTEN)
		return 0;
	visitor_await(v, life);
	if (!v->closed)
		visitor_say(v, halves[stop->way][1]);
	while (!v->closed && trial_clock(e->trial) < until) {
		if (trial_wait(e->trial, err) == -1)
			return -1;
		visitor_read(v);
	}
	if (visitor_is_answered(v))
		stop->request = REQUEST_ANSWERED;
	else if (v->closed)
		stop->request = REQUEST_LOST;
	return 0;
}

/* ---- the signal ---- */

/* End the latest worker of a slot. */
static int end_worker(
	struct exam *e, int slot, int signal, bool visit, struct exam_stop *stop, struct error *err)
{
	const struct trial_life *life = trial_latest(e->trial, slot);
	struct visitor v = {.fd = -1};
	nsec_t until;
	double asked;
	int got = 0;

	if (life == NULL || life->exited != 0)
		return 0;
	stop->signal = signal;
	if (visit)
		got = begin_visit(e, &v, life, stop, err);
	asked = clock_wall();
	until = nsec_add(trial_clock(e->trial), signal == SIGTERM ? END_MOST : OTHER_MOST);
	/* SIGTERM as it will be, SIGKILL at the end included */
	if (got == 0)
		got = signal == SIGTERM ? trial_scale(e->trial, slot, err)
					: trial_signal(e->trial, slot, signal, err);
	while (got == 0 && signal == SIGTERM && life->stopping == 0 && life->exited == 0 &&
		trial_clock(e->trial) < until)
		got = trial_wait(e->trial, err);
	if (got == 0 && visit)
		got = end_visit(e, &v, life, stop, err);
	fd_close(&v.fd);
	while (got == 0 && life->exited == 0 && trial_clock(e->trial) < until)
		got = trial_wait(e->trial, err);
	if (got == -1)
		return -1;
	stop->tried = true;
	stop->ended = life->exited != 0 && !life->killed;
	stop->after = life->exited - (life->stopping != 0 ? life->stopping : asked);
	(void)text_copy(stop->exit, sizeof(stop->exit), life->exit);
	return 0;
}

/* ---- is there a better signal? ---- */

/* One that is ready, behind the one that has ended.  1; 0: there is none. */
static int start_another(struct exam *e, struct error *err)
{
	nsec_t until = nsec_add(trial_clock(e->trial), END_MOST);
	const struct trial_life *life;

	if (trial_scale(e->trial, 1, err) == -1)
		return -1;
	do {
		if (trial_wait(e->trial, err) == -1)
			return -1;
		life = trial_latest(e->trial, 0);
		if (life->exited == 0 && life->ready != 0)
			return 1;
	} while (trial_clock(e->trial) < until);
	return 0;
}

/* As many servers drain at SIGQUIT (nginx), or at SIGINT (lighttpd). */
static int try_others(struct exam *e, struct error *err)
{
	static const int signals[] = {SIGQUIT, SIGINT};

	for (size_t i = 0; i < COUNT_OF(signals); i++) {
		int got;

		if ((e->caught >> (signals[i] - 1) & 1) == 0)
			continue;
		got = start_another(e, err);
		if (got == 1)
			got = end_worker(e, 0, signals[i], true, &e->other, err);
		if (got == -1)
			return -1;
		if (e->other.ended && e->other.request == REQUEST_ANSWERED)
			return 0;
	}
	return 0;
}

int exam_stop(struct exam *e, struct error *err)
{
	const struct trial_life *life = trial_life(e->trial, e->first);

	if (process_status(life->pid, "SigCgt:", 16, &e->caught) == -1)
		e->caught = 0;
	files_keep(e, true);
	if (end_worker(e, 1, SIGTERM, false, &e->quiet, err) == -1)
		return -1;
	files_keep(e, false);
	/* if it ignores SIGTERM when idle, it does so with a request, too */
	if (e->quiet.tried && !e->quiet.ended)
		return 0;
	if (end_worker(e, 0, SIGTERM, true, &e->busy, err) == -1)
		return -1;
	if (e->busy.tried && e->busy.request == REQUEST_LOST)
		return try_others(e, err);
	return 0;
}
