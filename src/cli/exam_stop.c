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

void visitor_await(const struct exam *e, struct visitor *v, bool all, nsec_t most)
{
	nsec_t until = e->trial->now + most;
	size_t len = v->len;

	while (!v->closed && (all || v->len == len) && e->trial->now < until &&
		trial_wait(e->trial))
		read_answer(v);
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

/* Connect, wait until the worker has accepted, and send the first half.  False: the
 * worker does not accept. */
static bool connect_visitor(
	struct exam *e, struct visitor *v, const struct exam_place *p, const char *half)
{
	nsec_t until = e->trial->now + ACCEPT_MOST;
	bool goes_on;

	*v = (struct visitor){.fd = held_visit(p->socket.text)};
	do
		goes_on = trial_wait(e->trial) && e->trial->now < until;
	while (goes_on && waits_in_queue(e, p->socket.inode));
	if (v->fd == -1 || waits_in_queue(e, p->socket.inode))
		return false;
	visitor_say(v, half);
	visitor_await(e, v, false, SILENCE);
	return true;
}

/* Send the first half of a request.  Returns the other half, or NULL if no request
 * waits for it. */
static const char *begin_request(struct exam *e, struct visitor *v, struct exam_stop *stop)
{
	const struct exam_place *p = place_to_visit(e);

	stop->request = REQUEST_UNTRIED;
	for (size_t i = 0; p != NULL && i < COUNT_OF(halves); i++) {
		fd_close(&v->fd);
		if (!connect_visitor(e, v, p, halves[i][0]))
			break;
		stop->request = REQUEST_NO_HTTP;
		if (v->len == 0 && !v->closed)
			return halves[i][1];
		if (!visitor_is_answered(v))
			break;
	}
	return NULL;
}

/* Send the rest, when the signal was sent, and note what became of the request. */
static void end_request(struct exam *e, struct visitor *v, struct exam_stop *stop, const char *rest)
{
	visitor_await(e, v, false, SILENCE);
	if (!v->closed)
		visitor_say(v, rest);
	visitor_await(e, v, true, ANSWER_MOST);
	if (visitor_is_answered(v))
		stop->request = REQUEST_ANSWERED;
	else
		stop->request = v->closed ? REQUEST_LOST : REQUEST_FORGOTTEN;
}

/* ---- the signal ---- */

/* Wait until the worker has ended or, with `asked`, until its stop signal was sent. */
static void await_stop(const struct exam *e, uint64_t worker, bool asked, nsec_t until)
{
	while (trial_event(e->trial, worker, "exited") == NULL && e->trial->now < until &&
		!(asked && trial_event(e->trial, worker, "stopping") != NULL) &&
		trial_wait(e->trial))
		;
}

/* End the latest worker of a slot: with SIGTERM as nclust does, or with another
 * signal, and with SIGKILL after the stop timeout. */
static void end_worker(struct exam *e, int slot, int signal, bool visit, struct exam_stop *stop)
{
	uint64_t worker = trial_worker(e->trial, slot);
	struct visitor v = {.fd = -1};
	const char *rest = NULL;
	const json_t *end;
	nsec_t until;

	if (e->trial->over || worker == 0 || trial_event(e->trial, worker, "exited") != NULL)
		return;
	*stop = (struct exam_stop){.signal = signal};
	if (visit)
		rest = begin_request(e, &v, stop);
	until = e->trial->now + (signal == SIGTERM ? END_MOST : OTHER_MOST);
	if (signal == SIGTERM) {
		trial_scale(e->trial, slot);
		await_stop(e, worker, true, until);
	} else {
		trial_signal(e->trial, slot, signal);
	}
	if (rest != NULL)
		end_request(e, &v, stop, rest);
	fd_close(&v.fd);
	await_stop(e, worker, false, until);
	if (e->trial->over)
		return;
	end = trial_event(e->trial, worker, "exited");
	stop->tried = true;
	stop->ended = end != NULL && trial_event(e->trial, worker, "stop-timeout") == NULL;
	stop->after =
		trial_time(e->trial, worker, "exited") - trial_time(e->trial, worker, "stopping");
	text_copy(stop->exit, sizeof(stop->exit), field_raw(end, "exit"));
}

/* ---- is there a better signal? ---- */

/* Start a worker in the place of the one that has ended.  False: it is not ready in time. */
static bool start_another(struct exam *e)
{
	nsec_t until = e->trial->now + END_MOST;
	uint64_t before = trial_worker(e->trial, 0);
	uint64_t worker;

	trial_scale(e->trial, 1);
	while (trial_wait(e->trial) && e->trial->now < until) {
		worker = trial_worker(e->trial, 0);
		if (worker != before && trial_event(e->trial, worker, "ready") != NULL)
			return true;
	}
	return false;
}

/* Many servers drain at SIGQUIT (nginx), or at SIGINT (lighttpd). */
static void try_others(struct exam *e, uint64_t caught)
{
	static const int signals[] = {SIGQUIT, SIGINT};

	for (size_t i = 0; i < COUNT_OF(signals); i++) {
		if ((caught >> (signals[i] - 1) & 1) == 0)
			continue;
		if (start_another(e))
			end_worker(e, 0, signals[i], true, &e->other);
		if (e->other.ended && e->other.request == REQUEST_ANSWERED)
			return;
	}
}

void exam_stop(struct exam *e)
{
	uint64_t caught = 0;

	(void)process_status(trial_pid(e->trial, e->first), "SigCgt:", 16, &caught);
	exam_keep_files(e, true);
	end_worker(e, 1, SIGTERM, false, &e->quiet);
	exam_keep_files(e, false);
	/* a worker that ignores SIGTERM when idle ignores it during a request, too */
	if (e->quiet.tried && !e->quiet.ended)
		return;
	end_worker(e, 0, SIGTERM, true, &e->busy);
	if (e->busy.tried && e->busy.request == REQUEST_LOST)
		try_others(e, caught);
}
