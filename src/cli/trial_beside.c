/* SPDX-License-Identifier: MIT */
#include "cli/trial_exam.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/trial_visit.h"
#include "config/slotword.h"
#include "os/clock.h"
#include "os/process.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/*
 * Ports beside the first: does each copy answer for itself there?  The first copy is asked
 * before there is a second, the second while the first is stopped, and the first again.
 */

#define ASKED_MOST 4             /* places */
#define ANSWER_MOST (2 * SECOND) /* longer ones are streams */

static const char *const paths[] = {"/", "/metrics", "/json/list"};

/* ---- which is the first? ---- */

static unsigned port_of(const struct exam_place *p)
{
	return p->socket.kind == HELD_TCP ? endpoint_port(&p->socket.at) : 0;
}

static bool is_beside(const struct exam *e, const struct exam_place *p)
{
	const struct exam_place *first = NULL;

	for (size_t i = 0; i < e->place_count; i++) {
		const struct exam_place *o = &e->places[i];

		if (port_of(o) != 0 &&
			(first == NULL || (o->named && !first->named) ||
				(o->named == first->named && o->port == PORT_ANY &&
					first->port != PORT_ANY)))
			first = o;
	}
	return first != NULL && port_of(p) != 0 && port_of(p) != port_of(first);
}

/* ---- asking ---- */

static bool has(const struct visitor *v, const char *text)
{
	return memmem(v->answer, v->len, text, strlen(text)) != NULL;
}

/* The status, and what follows the headers. */
static uint64_t add_answer(uint64_t sum, const struct visitor *v)
{
	const char *body = memmem(v->answer, v->len, "\r\n\r\n", 4);
	size_t head = strlen("HTTP/1.0 200");

	sum = text_hash(sum, v->answer, head < v->len ? head : v->len);
	return body != NULL ? text_hash(sum, body, v->len - (size_t)(body - v->answer)) : sum;
}

/* A sum over all answers; 0: it gives none. */
static uint64_t ask(struct exam_place *p, const struct trial_life *life)
{
	uint64_t sum = 1;

	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		struct visitor v = {.fd = held_visit(&p->socket)};
		nsec_t until;
		char request[80];

		(void)snprintf(request, sizeof(request),
			"GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", paths[i]);
		visitor_say(&v, request);
		visitor_await(&v, life);
		until = clock_now() + ANSWER_MOST;
		while (v.got && !v.closed && clock_now() < until)
			visitor_await(&v, life);
		fd_close(&v.fd);
		if (!visitor_is_answered(&v) || (v.got && !v.closed))
			return 0;
		if (has(&v, "webSocketDebuggerUrl"))
			p->port = PORT_INSPECTOR;
		else if (has(&v, "\n# TYPE "))
			p->port = PORT_METRICS;
		sum = add_answer(sum, &v);
	}
	return sum;
}

void beside_ask_first(struct exam *e)
{
	const struct trial_life *life = trial_life(e->trial, e->first);
	bool several = false;

	for (size_t i = 0; i < e->place_count; i++) {
		struct exam_place *p = &e->places[i];

		several |= is_beside(e, p);
		if (slotword_inspects(e->command, port_of(p)) ||
			slotword_inspects(environ, port_of(p)))
			p->port = PORT_INSPECTOR;
	}
	for (size_t i = 0; several && i < e->place_count && i < ASKED_MOST; i++)
		if (port_of(&e->places[i]) != 0 && e->places[i].port == PORT_ANY)
			e->places[i].answers = ask(&e->places[i], life);
}

struct sending {
	pid_t leader;
	int signal;
};

static bool send_signal(void *context, pid_t pid)
{
	const struct sending *s = context;
	struct process_facts facts;

	if (process_look(pid, &facts) == 0 && facts.session == s->leader)
		(void)kill(pid, s->signal);
	return false;
}

/* While the other copy is stopped. */
static uint64_t ask_alone(
	struct exam_place *p, const struct trial_life *life, const struct trial_life *other)
{
	struct sending s = {other->pid, SIGSTOP};
	uint64_t sum;

	(void)process_each(0, send_signal, &s);
	sum = ask(p, life);
	s.signal = SIGCONT;
	(void)process_each(0, send_signal, &s);
	return sum;
}

void beside_ask_second(struct exam *e, const struct trial_life *second)
{
	const struct trial_life *first = trial_life(e->trial, e->first);

	for (size_t i = 0; i < e->place_count; i++) {
		struct exam_place *p = &e->places[i];

		if (p->share != SHARE_SAME || !is_beside(e, p))
			continue;
		p->differs = p->port != PORT_ANY;
		if (p->differs || p->answers == 0)
			continue;
		/* an answer that also tells of the time says nothing of copies */
		p->differs = ask_alone(p, second, first) != p->answers &&
			ask_alone(p, first, second) == p->answers;
	}
}
