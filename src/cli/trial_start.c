/* SPDX-License-Identifier: MIT */
#include "cli/trial_exam.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/verb.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

/* A program may open more sockets after its first: it is watched for LOOK_ON,
 * and until none is new for SETTLED.  After READY=1 it has opened all. */
#define LOOK_ON (2 * SECOND)
#define SETTLED (300 * MSEC)
#define SETTLED_MOST (4 * SECOND)
/* A program that has used no CPU for so long waits for something that the trial
 * cannot give; one that is busy is given up on later. */
#define IDLE (2 * SECOND)
#define BUSY_MOST (10 * SECOND)
/* Looks at /proc take one of so many parts of the time at most. */
#define LOOK_SHARE 4
/* Ready, and the sign of it that we saw, came together. */
#define SAME_MOMENT 0.15

/* ---- the command line ---- */

static void put_way(const struct exam *e, const char **to)
{
	size_t n = 0;

	if (e->way == WAY_UNTOLD)
		return;
	if (e->way == WAY_NO_PID)
		to[n++] = "--listen-pid=no";
	if (e->way == WAY_STDIN) {
		to[n++] = "--pass";
		to[n++] = "stdin";
	} else if (e->listen_count == 0) {
		/* PORT would tell of one that nobody has asked for */
		to[n++] = "--pass";
		to[n++] = "systemd server-starter einhorn";
	}
}

static int start_instance(const struct exam *e, struct error *err)
{
	const char *options[2 * LISTEN_MAX + 8] = {"-n", "1"};
	size_t n = 2;

	for (size_t i = 0; i < e->listen_count; i++) {
		options[n++] = "-l";
		options[n++] = e->listen[i];
	}
	if (e->listen_count == 0 && e->way != WAY_UNTOLD) {
		options[n++] = "-l";
		options[n++] = "127.0.0.1:0";
	}
	put_way(e, options + n);
	return trial_start(e->trial, options, (const char *const *)(uintptr_t)e->command, err);
}

/* ---- sockets of ours ---- */

/* A connection in the queue of each listener: a worker that uses the sockets
 * that it was given accepts it. */
struct visitors {
	int fds[TRIAL_LISTENERS];
	uint64_t inodes[TRIAL_LISTENERS];
	size_t count;
};

static void send_visitors(struct exam *e, struct visitors *v)
{
	struct held ours untouched;

	v->count = 0;
	held_look(&ours, e->trial->pid);
	for (size_t i = 0; i < e->trial->listener_count; i++) {
		const struct trial_listener *l = &e->trial->listeners[i];
		const struct held_socket *s = held_by_inode(&ours, l->inode);

		if (l->learned)
			continue;
		if (s == NULL || s->kind == HELD_UDP)
			continue;
		v->fds[v->count] = held_visit(s);
		v->inodes[v->count++] = l->inode;
	}
}

static void call_back(struct visitors *v)
{
	for (size_t i = 0; i < v->count; i++)
		fd_close(&v->fds[i]);
}

/* Was it taken out of the queue (a refused one never was in it)? */
static bool is_taken(const struct visitors *v, const struct trial_listener *l)
{
	for (size_t i = 0; i < v->count; i++)
		if (v->inodes[i] == l->inode)
			return v->fds[i] != -1 && l->queue == 0;
	return false;
}

/* ---- what it has opened ---- */

static void add_place(struct exam *e, const struct held_socket *s, const struct trial_listener *l,
	enum exam_how how)
{
	struct exam_place *p = &e->places[e->place_count++];

	*p = (struct exam_place){
		.socket = *s,
		.how = how,
		.named = l != NULL && !l->learned && e->listen_count > 0,
	};
	(void)text_copy(p->text, sizeof(p->text), l != NULL ? l->address : s->text);
	/* of ours the options are no news */
	if (l == NULL || l->learned)
		(void)held_options(s, p->options, sizeof(p->options));
}

/* All that it waits at, but for the sockets of ours that it has not asked
 * for. */
static void find_places(struct exam *e, const struct visitors *v, const struct held *held)
{
	e->place_count = 0;
	e->held = held->count;
	for (size_t i = 0; i < held->count; i++) {
		const struct held_socket *s = &held->list[i];
		const struct trial_listener *l = trial_listener(e->trial, s->inode);

		if (l == NULL)
			add_place(e, s, NULL, HOW_OWN);
		else if (l->bound)
			add_place(e, s, l, HOW_BOUND);
		else if (is_taken(v, l))
			add_place(e, s, l, HOW_PASSED);
	}
}

static enum exam_sign sign_of(const struct exam *e)
{
	if (e->trial->says_ready)
		return SIGN_NOTIFY;
	if (e->trial->listens)
		return SIGN_LISTEN;
	return e->place_count > 0 ? SIGN_ALIVE : SIGN_NONE;
}

/* ---- waiting ---- */

struct watch {
	struct visitors visitors;
	nsec_t began;
	nsec_t served;  /* 0: not yet */
	nsec_t changed; /* the last time that something was new … */
	nsec_t worked;  /* … that it used the CPU */
	nsec_t cpu;
	nsec_t look_again; /* not before */
	unsigned running;  /* threads, at the last look */
	unsigned processes;
	size_t places;
	enum exam_sign sign;
	double sign_at;
	nsec_t signed_at;
};

static bool has_public_place(const struct exam *e)
{
	for (size_t i = 0; i < e->place_count; i++)
		if (!held_is_private(&e->places[i].socket))
			return true;
	return false;
}

static void note_changes(struct exam *e, struct watch *w, nsec_t now)
{
	enum exam_sign sign = sign_of(e);

	if (sign != w->sign || e->place_count != w->places)
		w->changed = now;
	if (sign != w->sign) {
		w->sign_at = clock_wall();
		w->signed_at = now;
	}
	w->sign = sign;
	w->places = e->place_count;
	if (w->served == 0 && (sign == SIGN_NOTIFY || has_public_place(e)))
		w->served = now;
}

static bool is_settled(const struct watch *w, nsec_t now)
{
	if (w->served != 0)
		return (now - w->changed >= SETTLED &&
			       (w->sign == SIGN_NOTIFY || now - w->served >= LOOK_ON)) ||
			now - w->served >= SETTLED_MOST;
	return now - w->worked >= IDLE || now - w->began >= BUSY_MOST;
}

/* A thread that computes in two successive looks does not only start up. */
static void note_threads(struct exam *e, struct watch *w, const struct held *held)
{
	unsigned lasting = held->running < w->running ? held->running : w->running;

	w->running = held->running;
	if (held->threads > e->threads)
		e->threads = held->threads;
	if (lasting > e->computing)
		e->computing = lasting;
}

static void look_at_worker(struct exam *e, struct watch *w, const struct trial_life *life)
{
	struct held held untouched;
	nsec_t looked = clock_now();
	nsec_t now = trial_clock(e->trial);

	if (looked < w->look_again)
		return;
	held_look(&held, life->pid);
	/* where there are very many processes it takes its time */
	w->look_again = looked + LOOK_SHARE * (clock_now() - looked);
	if (held.cpu != w->cpu || held.running > 0)
		w->worked = now;
	w->cpu = held.cpu;
	w->processes = held.processes;
	if (held.processes > e->processes)
		e->processes = held.processes;
	note_threads(e, w, &held);
	if (held.store[0] != '\0')
		(void)text_copy(e->store, sizeof(e->store), held.store);
	e->first_held = held;
	find_places(e, &w->visitors, &held);
	note_changes(e, w, now);
}

static int wait_for_it(struct exam *e, struct watch *w, struct error *err)
{
	const struct trial_life *life = trial_latest(e->trial, 0);

	while (life == NULL || life->started == 0 || life->pid == 0) {
		if (trial_wait(e->trial, err) == -1)
			return -1;
		life = trial_latest(e->trial, 0);
	}
	e->first = life->worker;
	w->began = w->worked = trial_clock(e->trial);
	for (;;) {
		life = trial_life(e->trial, e->first);
		if (life->exited != 0)
			return 0;
		look_at_worker(e, w, life);
		if (is_settled(w, trial_clock(e->trial)))
			return 0;
		if (trial_wait(e->trial, err) == -1)
			return -1;
	}
}

/* ---- what came of it ---- */

static void conclude(struct exam *e, const struct watch *w)
{
	const struct trial_life *life = trial_life(e->trial, e->first);
	char ignored[8];

	if (life->exited != 0)
		trial_settle(e->trial, (unsigned)life->slot);
	(void)text_copy(e->last, sizeof(e->last), e->trial->output.last[life->slot]);
	(void)trial_logged(e->trial, "cannot bind ", e->in_use, sizeof(e->in_use));
	e->unprivileged =
		trial_logged(e->trial, "run with no_new_privs ", ignored, sizeof(ignored));
	if (trial_logged(e->trial, "ports that workers bind by themselves ", e->refused,
		    sizeof(e->refused)) == false)
		(void)trial_logged(
			e->trial, "the port that it binds ", e->refused, sizeof(e->refused));
	if (life->exited != 0) {
		e->life = LIFE_ENDED;
		e->ready_after = life->exited - life->started;
		(void)text_copy(e->exit, sizeof(e->exit), life->exit);
		return;
	}
	e->processes = w->processes; /* others have come and gone */
	e->life = w->served != 0 ? LIFE_SERVING : LIFE_WAITING;
	e->waited = nsec_seconds(trial_clock(e->trial) - w->began);
	e->sign = w->sign;
	e->ready_after = w->sign_at - life->started;
	e->slow = w->signed_at - w->began > SECOND;
	if (life->ready != 0 && life->ready - w->sign_at < SAME_MOMENT &&
		w->sign_at - life->ready < SAME_MOMENT)
		e->ready_after = life->ready - life->started;
	for (size_t i = 0; i < e->place_count; i++)
		e->takes_passed |= e->places[i].how == HOW_PASSED;
}

static void forget(struct exam *e, enum exam_way way)
{
	e->way = way;
	e->life = LIFE_WAITING;
	e->sign = SIGN_NONE;
	e->first = 0;
	e->takes_passed = false;
	e->processes = e->threads = e->computing = 0;
	e->exit[0] = e->last[0] = e->in_use[0] = e->refused[0] = '\0';
	e->place_count = 0;
}

/* The bare addresses of `from`, in the manner of the option. */
static void take_addresses(struct exam *e, const struct exam *from)
{
	for (size_t i = 0; i < from->place_count; i++) {
		const struct exam_place *p = &from->places[i];
		const char *text = p->text;

		/* one that stays its own may be any that was free */
		if (p->socket.kind != HELD_TCP || e->own_count == OWN_MAX ||
			(p->how == HOW_OWN && from->refused[0] == '\0'))
			continue;
		if (strncmp(text, "tcp:*:", 6) == 0)
			text += 6;
		else if (strncmp(text, "tcp:", 4) == 0)
			text += 4;
		(void)text_copy(e->own[e->own_count++], HELD_TEXT, text);
	}
}

bool exam_needs_address(const struct exam *e)
{
	for (size_t i = 0; i < e->place_count; i++)
		if (e->places[i].how == HOW_BOUND)
			return false;
	return e->takes_passed && e->listen_count == 0;
}

int exam_untold(struct exam *e, struct error *err)
{
	struct exam other = *e;

	trial_stop(e->trial);
	/* it may be that it cannot do without, or that there is no time left */
	if (exam_start(&other, WAY_UNTOLD, err) == -1)
		return client_cancel_signal() != 0 ? -1 : 0;
	if (other.life == LIFE_SERVING)
		take_addresses(e, &other);
	return 0;
}

int exam_start(struct exam *e, enum exam_way way, struct error *err)
{
	struct watch w = {.began = 0};
	int got;

	forget(e, way);
	if (start_instance(e, err) == -1 || trial_look(e->trial, err) == -1)
		return -1;
	send_visitors(e, &w.visitors);
	got = trial_look(e->trial, err); /* they are in the queue now */
	if (got == 0)
		got = wait_for_it(e, &w, err);
	if (got == 0)
		conclude(e, &w);
	call_back(&w.visitors);
	return got;
}
