/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"
#include "os/process.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/*
 * Ports beside the first: does each copy answer for itself there?  The first copy is asked
 * before there is a second one, the second while the first is stopped, and then the first
 * again.
 */

#define ASKED_MOST 4             /* places that are asked */
#define ANSWER_MOST (2 * SECOND) /* longer answers are streams */

static const char *const paths[] = {"/", "/metrics", "/json/list"};

/* Places that the user has named come first, then places for clients. */
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

static bool has_text(const struct visitor *v, const char *text)
{
	return memmem(v->answer, v->len, text, strlen(text)) != NULL;
}

/* Add the status and the body to the hash. */
static uint64_t add_answer(uint64_t sum, const struct visitor *v)
{
	const char *body = memmem(v->answer, v->len, "\r\n\r\n", 4);
	size_t head = strlen("HTTP/1.0 200");

	sum = text_hash(sum, v->answer, head < v->len ? head : v->len);
	return body != NULL ? text_hash(sum, body, v->len - (size_t)(body - v->answer)) : sum;
}

/* Leaves in *sum a hash of all answers; 0: an answer was missing.  -1 and `err`. */
static int ask_all(struct exam *e, struct exam_place *p, uint64_t *sum, struct error *err)
{
	*sum = 1;
	for (size_t i = 0; *sum != 0 && i < COUNT_OF(paths); i++) {
		struct visitor v = {.fd = held_visit(p->socket.text)};
		char request[80];
		int got;

		snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n",
			paths[i]);
		visitor_say(&v, request);
		got = visitor_await(e, &v, true, ANSWER_MOST, err);
		fd_close(&v.fd);
		if (got == -1)
			return -1;
		*sum = v.closed && visitor_is_answered(&v) ? add_answer(*sum, &v) : 0;
		if (*sum != 0 && has_text(&v, "webSocketDebuggerUrl"))
			p->port = PORT_INSPECTOR;
		else if (*sum != 0 && has_text(&v, "\n# TYPE "))
			p->port = PORT_METRICS;
	}
	return 0;
}

int beside_ask_first(struct exam *e, struct error *err)
{
	bool several = false;
	int got = 0;

	for (size_t i = 0; i < e->place_count; i++) {
		struct exam_place *p = &e->places[i];

		several |= is_beside(e, p);
		if (slotword_inspects(e->arguments->command, p->socket.port) ||
			slotword_inspects(environ, p->socket.port))
			p->port = PORT_INSPECTOR;
	}
	for (size_t i = 0; several && got == 0 && i < e->place_count && i < ASKED_MOST; i++)
		if (e->places[i].socket.port != 0 && e->places[i].port == PORT_ANY)
			got = ask_all(e, &e->places[i], &e->places[i].answers, err);
	return got;
}

/* Is the answer the first copy's while the copy `stopped`, which leads a process
 * group, is stopped? */
static int ask_without(
	struct exam *e, struct exam_place *p, uint64_t stopped, bool *same, struct error *err)
{
	pid_t group = trial_pid(e->trial, stopped);
	uint64_t sum = 0;
	int got = 0;

	(void)kill(-group, SIGSTOP);
	while (got == 0 && !process_is_stopped(group))
		got = trial_wait(e->trial, err);
	if (got == 0)
		got = ask_all(e, p, &sum, err);
	(void)kill(-group, SIGCONT);
	*same = sum == p->answers;
	return got;
}

int beside_ask_second(struct exam *e, uint64_t second, struct error *err)
{
	for (size_t i = 0; i < e->place_count; i++) {
		struct exam_place *p = &e->places[i];
		bool of_second = false;
		bool of_first = false;

		if (p->share != SHARE_SAME || !is_beside(e, p))
			continue;
		p->differs = p->port != PORT_ANY;
		if (p->differs || p->answers == 0)
			continue;
		/* an answer that changes with each request says nothing about copies */
		if (ask_without(e, p, e->first, &of_second, err) == -1 ||
			ask_without(e, p, second, &of_first, err) == -1)
			return -1;
		p->differs = of_first && !of_second;
	}
	return 0;
}
