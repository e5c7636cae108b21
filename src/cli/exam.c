/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/render.h"
#include "os/clock.h"
#include "os/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

/* A program may open more sockets after its first: it is watched for so long after
 * each; a program that sent READY=1 has opened all. */
#define LOOK_ON (2 * SECOND)
#define SETTLED (300 * MSEC)
/* A program that has used no CPU for so long waits for something that the trial
 * cannot give; a busy program is given up on later. */
#define IDLE (2 * SECOND)
#define BUSY_MOST (10 * SECOND)

/* ---- the instance ---- */

static bool start_instance(const struct exam *e)
{
	const struct arguments *a = e->arguments;
	const char *own[2 * LISTEN_MAX + 8] = {NULL};
	size_t n = 0;

	for (size_t i = 0; i < a->listen_count; i++) {
		own[n++] = "-l";
		own[n++] = a->listen[i];
	}
	if (a->listen_count == 0 && e->way != WAY_NO_SOCKET) {
		own[n++] = "-l";
		own[n++] = "127.0.0.1:0";
		/* PORT would name a port that nobody has asked for */
		own[n++] = "--pass";
		own[n++] = "systemd server-starter einhorn";
	}
	if (e->way == WAY_NO_PID)
		own[n++] = "--listen-pid=no";
	if (e->way == WAY_STDIN) {
		own[n++] = "--pass";
		own[n++] = "stdin";
	}
	return trial_start(e->trial, a->given, own, (const char *const *)(uintptr_t)a->command);
}

/* ---- sockets of ours ---- */

/* Connections in the queues of the listeners: a worker that uses the sockets of
 * nclust accepts them. */
struct visits {
	int fds[LISTEN_MAX];
	uint64_t inodes[LISTEN_MAX];
	size_t count;
};

static void send_visitors(const struct exam *e, struct visits *v)
{
	size_t i;
	json_t *listener;

	json_array_foreach(trial_listeners(e->trial), i, listener)
	{
		if (v->count == LISTEN_MAX || field_is_true(listener, "learned"))
			continue;
		v->fds[v->count] = held_visit(field_raw(listener, "address"));
		v->inodes[v->count] = (uint64_t)field_number(listener, "inode");
		v->count += v->fds[v->count] != -1;
	}
}

/* Was a connection taken out of the listener's queue? */
static bool is_taken(const struct visits *v, const json_t *listener)
{
	for (size_t i = 0; i < v->count; i++)
		if (v->inodes[i] == (uint64_t)field_number(listener, "inode"))
			return field_is_number(listener, "queue") &&
				field_number(listener, "queue") == 0;
	return false;
}

/* ---- what it has opened ---- */

/* The sockets at which clients can reach the worker, without sockets of nclust that it does not
 * use. */
static void find_places(struct exam *e, const struct visits *v)
{
	e->place_count = 0;
	e->takes_passed = false;
	for (size_t i = 0; i < e->held.count; i++) {
		const struct held_socket *s = &e->held.list[i];
		json_t *l = trial_listener(e->trial, s->inode);
		bool learned = field_is_true(l, "learned");
		bool bound = learned || field_is_true(l, "bound");

		if (l != NULL && !bound && !is_taken(v, l))
			continue;
		e->takes_passed |= l != NULL && !bound;
		e->places[e->place_count++] = (struct exam_place){
			.socket = *s,
			.how = l == NULL ? HOW_OWN
				: bound  ? HOW_BOUND
					 : HOW_PASSED,
			.named = l != NULL && !learned && e->arguments->listen_count > 0,
		};
	}
}

static enum exam_sign find_sign(const struct exam *e)
{
	if (field_is_true(trial_cluster(e->trial), "notify_seen"))
		return SIGN_NOTIFY;
	if (field_is_true(trial_cluster(e->trial), "listen_seen"))
		return SIGN_LISTEN;
	return e->place_count > 0 ? SIGN_ALIVE : SIGN_NONE;
}

/* Times of the trial. */
struct watch {
	struct visits visits;
	nsec_t began;
	nsec_t changed; /* when the worker opened something new */
	nsec_t worked;  /* when the worker used the CPU */
};

/* Does the worker serve?  A unix socket alone may be for the program's own use. */
static bool is_serving(const struct exam *e)
{
	for (size_t i = 0; i < e->place_count; i++)
		if (strncmp(e->places[i].socket.text, "unix:", 5) != 0)
			return true;
	return e->sign == SIGN_NOTIFY;
}

static bool is_settled(const struct exam *e, const struct watch *w)
{
	nsec_t now = e->trial->now;

	if (is_serving(e))
		return now - w->changed >= (e->sign == SIGN_NOTIFY ? SETTLED : LOOK_ON);
	return now - w->worked >= IDLE || now - w->began >= BUSY_MOST;
}

/* Note the threads: one that computes in two successive looks is not only starting up. */
static void note_threads(struct exam *e, unsigned running_before)
{
	unsigned lasting = e->held.running < running_before ? e->held.running : running_before;

	if (e->held.threads > e->threads)
		e->threads = e->held.threads;
	if (lasting > e->computing)
		e->computing = lasting;
}

static void look_at_worker(struct exam *e, struct watch *w)
{
	unsigned running = e->held.running;
	nsec_t cpu = e->held.cpu;
	size_t places = e->place_count;
	enum exam_sign sign = e->sign;
	nsec_t now = e->trial->now;

	held_look(&e->held, e->trial, trial_pid(e->trial, e->first));
	if (e->held.cpu != cpu || e->held.running > 0)
		w->worked = now;
	note_threads(e, running);
	find_places(e, &w->visits);
	e->sign = find_sign(e);
	if (e->sign != sign || e->place_count != places)
		w->changed = now;
	if (e->sign != sign)
		e->ready_after = clock_wall() - trial_time(e->trial, e->first, "started");
}

static void watch_worker(struct exam *e, struct watch *w)
{
	while ((e->first = trial_worker(e->trial, 0)) == 0)
		if (!trial_wait(e->trial))
			return;
	w->began = w->worked = e->trial->now;
	while (trial_event(e->trial, e->first, "exited") == NULL) {
		look_at_worker(e, w);
		if (is_settled(e, w) || !trial_wait(e->trial))
			return;
	}
}

/* ---- what came of it ---- */

void exam_note_end(const struct exam *e, uint64_t worker, struct exam_end *end)
{
	json_t *event = trial_event(e->trial, worker, "exited");

	text_copy(end->exit, sizeof(end->exit), field_raw(event, "exit"));
	text_copy(end->cause, sizeof(end->cause), field_raw(event, "cause"));
	text_copy(end->last_output, sizeof(end->last_output), field_raw(event, "last_output"));
	end->after = json_number_value(json_object_get(event, "after"));
}

static bool asks_for_servers(const struct trial *t)
{
	json_t *worker = json_array_get(json_object_get(trial_cluster(t), "workers"), 0);

	return json_array_size(json_object_get(json_object_get(worker, "node"), "servers")) > 0;
}

static void note_outcome(struct exam *e, const struct watch *w)
{
	char ignored[8];

	exam_note_end(e, e->first, &e->first_end);
	e->node = asks_for_servers(e->trial);
	e->unprivileged =
		trial_logged(e->trial, "run with no_new_privs ", ignored, sizeof(ignored));
	if (!trial_logged(e->trial, "ports that workers bind by themselves ", e->refused,
		    sizeof(e->refused)))
		(void)trial_logged(
			e->trial, "the port that it binds ", e->refused, sizeof(e->refused));
	e->waited = nsec_seconds(e->trial->now - w->began);
	if (e->first_end.exit[0] != '\0')
		e->life = LIFE_ENDED;
	else
		e->life = e->sign != SIGN_NONE ? LIFE_SERVING : LIFE_WAITING;
}

/* False: the trial is over. */
static bool try_way(struct exam *e, enum exam_way way)
{
	struct watch w = {.began = 0};

	*e = (struct exam){
		.trial = e->trial, .arguments = e->arguments, .cpus = e->cpus, .way = way};
	if (!start_instance(e))
		return false;
	send_visitors(e, &w.visits);
	if (trial_wait(e->trial)) /* the connections are in the queue now */
		watch_worker(e, &w);
	for (size_t i = 0; i < w.visits.count; i++)
		fd_close(&w.visits.fds[i]);
	if (e->trial->over)
		return false;
	note_outcome(e, &w);
	return true;
}

/* May the worker serve if it learns of its socket in that way? */
static bool may_help(const struct exam *e, enum exam_way way)
{
	bool ended = e->life == LIFE_ENDED;

	if (e->life == LIFE_SERVING || e->first_end.cause[0] != '\0')
		return false;
	if (way == WAY_NO_PID)
		return ended || e->held.processes > 1;
	/* a FastCGI program without its socket runs as CGI, does its work, and ends */
	return ended && strcmp(e->first_end.exit, "exit 0") == 0 && e->arguments->listen_count <= 1;
}

void exam_start(struct exam *e)
{
	if (!try_way(e, WAY_PASSED))
		return;
	for (enum exam_way way = WAY_NO_PID; way <= WAY_STDIN; way++) {
		struct exam before = *e;

		if (!may_help(e, way))
			continue;
		trial_stop(e->trial);
		if (!try_way(e, way) || e->takes_passed)
			return;
		before.first = e->first; /* it fails in the same way as the trial before */
		if (before.life == LIFE_ENDED || before.life == e->life)
			*e = before;
	}
}

/* ---- an address of its own ---- */

/* The addresses of `from`, without options, as --listen takes them. */
static void take_addresses(struct exam *e, const struct exam *from)
{
	for (size_t i = 0; i < from->place_count && e->own_count < OWN_MAX; i++) {
		const struct exam_place *p = &from->places[i];
		bool any = strncmp(p->socket.text, "tcp:*:", 6) == 0;

		/* an address that the worker keeps may be any free port */
		if (p->socket.port != 0 && (p->how != HOW_OWN || from->refused[0] != '\0'))
			text_copy(
				e->own[e->own_count++], HELD_TEXT, p->socket.text + (any ? 6 : 4));
	}
}

bool exam_needs_address(const struct exam *e)
{
	for (size_t i = 0; i < e->place_count; i++)
		if (e->places[i].how == HOW_BOUND)
			return false;
	return e->takes_passed && e->arguments->listen_count == 0;
}

void exam_without_socket(struct exam *e)
{
	struct exam other = *e;

	if (e->trial->over || !exam_needs_address(e))
		return;
	trial_stop(e->trial);
	if (try_way(&other, WAY_NO_SOCKET) && other.life == LIFE_SERVING)
		take_addresses(e, &other);
	/* a worker without a socket may end at once, and the time may be over */
	e->trial->over = client_cancel_signal() != 0;
}

/* ---- stop ---- */

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
