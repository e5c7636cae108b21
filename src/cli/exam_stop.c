/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/render.h"
#include "os/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

/* The effect of a stop signal on an idle worker, and on a worker that has read the
 * first half of a request. */

#define ACCEPT_MOST (1 * SECOND)
#define END_MOST (8 * SECOND)   /* more than TRIAL_STOP_TIMEOUT */
#define OTHER_MOST (3 * SECOND) /* another signal may have no effect at all */
#define ANSWER_MOST (3 * SECOND)
#define SILENCE (300 * MSEC) /* a server that answers or closes early does so in less */

/* Requests in two halves; some servers answer as soon as they have the first line. */
static const char *const halves[][2] = {
	{"GET / HTTP/1.0\r\nHost: localhost\r\n", "\r\n"},
	{"GET / HT", "TP/1.0\r\nHost: localhost\r\n\r\n"},
};

static void read_answer(struct visitor *v)
{
	char block[4096];
	ssize_t n;

	while ((n = recv(v->fd, block, sizeof(block), MSG_DONTWAIT)) > 0) {
		size_t room = sizeof(v->answer) - v->len;

		memcpy(v->answer + v->len, block, (size_t)n < room ? (size_t)n : room);
		v->len += (size_t)n < room ? (size_t)n : room;
	}
	v->closed = n == 0 || (errno != EAGAIN && errno != EINTR);
}

int visitor_await(struct exam *e, struct visitor *v, bool all, nsec_t most, struct error *err)
{
	nsec_t until = e->trial->now + most;
	size_t len = v->len;

	while (!v->closed && (all || v->len == len) && e->trial->now < until) {
		if (trial_wait(e->trial, err) == -1)
			return -1;
		read_answer(v);
	}
	return 0;
}

void visitor_say(struct visitor *v, const char *text)
{
	if (v->fd == -1 || send(v->fd, text, strlen(text), MSG_NOSIGNAL) == -1)
		v->closed = true;
}

bool visitor_is_answered(const struct visitor *v)
{
	return v->len >= 5 && memcmp(v->answer, "HTTP/", 5) == 0;
}

/* ---- half a request ---- */

/* Does the socket wait in a queue?  False also for an inode that is no listener of the trial. */
static bool waits_in_queue(const struct exam *e, uint64_t inode)
{
	return field_number(trial_listener(e->trial, inode), "queue") > 0;
}

static const struct exam_place *place_to_visit(const struct exam *e)
{
	const struct exam_place *found = NULL;

	for (size_t i = 0; i < e->place_count; i++) {
		const struct exam_place *p = &e->places[i];

		if (p->socket.port != 0)
			return p;
		if (found == NULL && !p->socket.datagrams)
			found = p;
	}
	return found;
}

/* Connect, wait until the worker has accepted, and send the first half.  1; 0: the
 * worker does not accept; -1 and `err`. */
static int connect_visitor(struct exam *e, struct visitor *v, const struct exam_place *p,
	const char *half, struct error *err)
{
	nsec_t until = e->trial->now + ACCEPT_MOST;

	*v = (struct visitor){.fd = held_visit(p->socket.text)};
	do
		if (trial_wait(e->trial, err) == -1)
			return -1;
	while (waits_in_queue(e, p->socket.inode) && e->trial->now < until);
	if (v->fd == -1 || waits_in_queue(e, p->socket.inode))
		return 0;
	visitor_say(v, half);
	return visitor_await(e, v, false, SILENCE, err) == -1 ? -1 : 1;
}

/* Send the first half of a request.  *rest: the other half, or NULL if no request
 * waits for it. */
static int begin_request(struct exam *e, struct visitor *v, struct exam_stop *stop,
	const char **rest, struct error *err)
{
	const struct exam_place *p = place_to_visit(e);

	stop->request = REQUEST_UNTRIED;
	for (size_t i = 0; p != NULL && *rest == NULL && i < COUNT_OF(halves); i++) {
		int got;

		fd_close(&v->fd);
		got = connect_visitor(e, v, p, halves[i][0], err);
		if (got != 1)
			return got;
		stop->request = REQUEST_NO_HTTP;
		if (v->len == 0 && !v->closed)
			*rest = halves[i][1];
		else if (!visitor_is_answered(v))
			break;
	}
	return 0;
}

/* Send the rest, when the signal was sent, and note what became of the request. */
static int end_request(struct exam *e, struct visitor *v, struct exam_stop *stop, const char *rest,
	struct error *err)
{
	if (visitor_await(e, v, false, SILENCE, err) == -1)
		return -1;
	if (!v->closed)
		visitor_say(v, rest);
	if (visitor_await(e, v, true, ANSWER_MOST, err) == -1)
		return -1;
	if (visitor_is_answered(v))
		stop->request = REQUEST_ANSWERED;
	else
		stop->request = v->closed ? REQUEST_LOST : REQUEST_FORGOTTEN;
	return 0;
}

/* ---- the signal ---- */

/* Wait until the worker has ended or, with `asked`, until its stop signal was sent. */
static int await_stop(struct exam *e, uint64_t worker, bool asked, nsec_t until, struct error *err)
{
	while (trial_event(e->trial, worker, "exited") == NULL && e->trial->now < until &&
		!(asked && trial_event(e->trial, worker, "stopping") != NULL))
		if (trial_wait(e->trial, err) == -1)
			return -1;
	return 0;
}

/* End the latest worker of a slot: with SIGTERM as nclust does, or with another
 * signal, and with SIGKILL after the stop timeout. */
static int end_worker(
	struct exam *e, int slot, int signal, bool visit, struct exam_stop *stop, struct error *err)
{
	uint64_t worker = trial_worker(e->trial, slot);
	bool term = signal == SIGTERM;
	struct visitor v = {.fd = -1};
	struct exam_end end = {.exit = ""};
	const char *rest = NULL;
	nsec_t until;
	int got = 0;

	if (worker == 0 || trial_event(e->trial, worker, "exited") != NULL)
		return 0;
	*stop = (struct exam_stop){.signal = signal};
	if (visit)
		got = begin_request(e, &v, stop, &rest, err);
	until = e->trial->now + (term ? END_MOST : OTHER_MOST);
	if (got == 0)
		got = term ? trial_scale(e->trial, slot, err)
			   : trial_signal(e->trial, slot, signal, err);
	if (got == 0 && term)
		got = await_stop(e, worker, true, until, err);
	if (got == 0 && rest != NULL)
		got = end_request(e, &v, stop, rest, err);
	fd_close(&v.fd);
	if (got == 0)
		got = await_stop(e, worker, false, until, err);
	if (got == -1)
		return -1;
	exam_note_end(e, worker, &end);
	stop->tried = true;
	stop->ended = end.exit[0] != '\0' && trial_event(e->trial, worker, "stop-timeout") == NULL;
	stop->after =
		trial_time(e->trial, worker, "exited") - trial_time(e->trial, worker, "stopping");
	text_copy(stop->exit, sizeof(stop->exit), end.exit);
	return 0;
}

/* ---- is there a better signal? ---- */

/* Start a worker in the place of the one that has ended.  1: ready; 0: not ready in
 * time; -1 and `err`. */
static int start_another(struct exam *e, struct error *err)
{
	nsec_t until = e->trial->now + END_MOST;
	uint64_t before = trial_worker(e->trial, 0);
	uint64_t worker;

	if (trial_scale(e->trial, 1, err) == -1)
		return -1;
	do {
		if (trial_wait(e->trial, err) == -1)
			return -1;
		worker = trial_worker(e->trial, 0);
		if (worker != before && trial_event(e->trial, worker, "ready") != NULL)
			return 1;
	} while (e->trial->now < until);
	return 0;
}

/* Many servers drain at SIGQUIT (nginx), or at SIGINT (lighttpd). */
static int try_others(struct exam *e, uint64_t caught, struct error *err)
{
	static const int signals[] = {SIGQUIT, SIGINT};

	for (size_t i = 0; i < COUNT_OF(signals); i++) {
		int got;

		if ((caught >> (signals[i] - 1) & 1) == 0)
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
	uint64_t caught = 0;

	(void)process_status(trial_pid(e->trial, e->first), "SigCgt:", 16, &caught);
	exam_keep_files(e, true);
	if (end_worker(e, 1, SIGTERM, false, &e->quiet, err) == -1)
		return -1;
	exam_keep_files(e, false);
	/* a worker that ignores SIGTERM when idle ignores it during a request, too */
	if (e->quiet.tried && !e->quiet.ended)
		return 0;
	if (end_worker(e, 0, SIGTERM, true, &e->busy, err) == -1)
		return -1;
	return e->busy.tried && e->busy.request == REQUEST_LOST ? try_others(e, caught, err) : 0;
}
