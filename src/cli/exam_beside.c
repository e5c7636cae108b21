/* SPDX-License-Identifier: MIT */
#include "cli/exam.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/slotword.h"
#include "os/process.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/*
 * Ports beside the first: does each copy answer for itself there?  The first copy is asked
 * before there is a second, the second while the first is stopped, and the first again.
 */

#define ASKED_MOST 4   /* places */
#define PIECES_MOST 20 /* longer answers are streams */

static const char *const paths[] = {"/", "/metrics", "/json/list"};

/* One that the user has named comes first, then one that is for clients. */
static bool is_before(const struct exam_place *a, const struct exam_place *b)
{
	if (a->named != b->named)
		return a->named;
	return a->port == PORT_ANY && b->port != PORT_ANY;
}

static bool is_beside(const struct exam *e, const struct exam_place *p)
{
	const struct exam_place *first = NULL;

	for (size_t i = 0; i < e->place_count; i++)
		if (e->places[i].socket.port != 0 &&
			(first == NULL || is_before(&e->places[i], first)))
			first = &e->places[i];
	return first != NULL && p->socket.port != 0 && p->socket.port != first->socket.port;
}

static bool has(const struct visitor *v, const char *text)
{
	size_t len = v->len < sizeof(v->answer) ? v->len : sizeof(v->answer);

	return memmem(v->answer, len, text, strlen(text)) != NULL;
}

/* The status, and what follows the headers. */
static uint64_t add_answer(uint64_t sum, const struct visitor *v)
{
	size_t len = v->len < sizeof(v->answer) ? v->len : sizeof(v->answer);
	const char *body = memmem(v->answer, len, "\r\n\r\n", 4);
	size_t head = strlen("HTTP/1.0 200");

	sum = text_hash(sum, v->answer, head < len ? head : len);
	return body != NULL ? text_hash(sum, body, len - (size_t)(body - v->answer)) : sum;
}

/* A sum over all answers; 0: it gives none. */
static uint64_t ask(const struct exam *e, struct exam_place *p, uint64_t worker)
{
	uint64_t sum = 1;

	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		struct visitor v = {.fd = held_visit(p->socket.text)};
		size_t len = SIZE_MAX;
		char request[80];

		(void)snprintf(request, sizeof(request),
			"GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", paths[i]);
		visitor_say(&v, request);
		for (int piece = 0; !v.closed && v.len != len && piece < PIECES_MOST; piece++) {
			len = v.len;
			visitor_await(&v, e, worker);
		}
		fd_close(&v.fd);
		if (!visitor_is_answered(&v) || !v.closed)
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
	bool several = false;

	for (size_t i = 0; i < e->place_count; i++) {
		struct exam_place *p = &e->places[i];

		several |= is_beside(e, p);
		if (slotword_inspects(e->arguments->command, p->socket.port) ||
			slotword_inspects(environ, p->socket.port))
			p->port = PORT_INSPECTOR;
	}
	for (size_t i = 0; several && i < e->place_count && i < ASKED_MOST; i++)
		if (e->places[i].socket.port != 0 && e->places[i].port == PORT_ANY)
			e->places[i].answers = ask(e, &e->places[i], e->first);
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
	const struct exam *e, struct exam_place *p, uint64_t worker, uint64_t other)
{
	struct sending s = {trial_pid(e->trial, other), SIGSTOP};
	uint64_t sum;

	(void)process_each(0, send_signal, &s);
	sum = ask(e, p, worker);
	s.signal = SIGCONT;
	(void)process_each(0, send_signal, &s);
	return sum;
}

void beside_ask_second(struct exam *e, uint64_t second)
{
	for (size_t i = 0; i < e->place_count; i++) {
		struct exam_place *p = &e->places[i];

		if (p->share != SHARE_SAME || !is_beside(e, p))
			continue;
		p->differs = p->port != PORT_ANY;
		if (p->differs || p->answers == 0)
			continue;
		/* an answer that also tells of the time says nothing of copies */
		p->differs = ask_alone(e, p, second, e->first) != p->answers &&
			ask_alone(e, p, e->first, second) == p->answers;
	}
}
