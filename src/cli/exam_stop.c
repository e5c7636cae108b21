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

/* The effect of SIGTERM on an idle worker, and on a worker that has read the first half of
 * a request; and that of SIGINT, if a program may have a handler for that alone. */

/* Where the user has named no address, and one is needed. */
#define ANY_ADDRESS "8000"
#define ACCEPT_MOST (1 * SECOND)
#define END_MOST (13 * SECOND) /* more than TRIAL_STOP_TIMEOUT */
#define ANSWER_MOST (3 * SECOND)
#define SILENCE (300 * MSEC) /* a server that answers or closes early does so in less */
#define REST (300 * MSEC)
#define REST_MOST (3 * SECOND)

/* A request in two halves.  Some servers answer as soon as they have the first line. */
#define HALF "GET / HT"
#define OTHER_HALF "TP/1.0\r\nHost: localhost\r\n\r\n"

/* What became of the request. */
enum request {
	REQUEST_UNTRIED,   /* no socket was there, or the worker did not accept */
	REQUEST_NO_HTTP,   /* refused before the request was complete */
	REQUEST_ANSWERED,  /* in full */
	REQUEST_LOST,      /* the connection was cut */
	REQUEST_FORGOTTEN, /* neither an answer nor an end */
};

static const struct finding requests[] = {
	[REQUEST_UNTRIED] = {NULL, FACT_OK, "request in flight",
		"not tried, because it accepts no connection", ""},
	[REQUEST_NO_HTTP] = {"no HTTP", FACT_OK, "request in flight",
		"not tried, because it reads no whole HTTP request", ""},
	[REQUEST_ANSWERED] = {"answered", FACT_OK, "request in flight", "answered before it ends",
		""},
	[REQUEST_LOST] = {"lost", FACT_NOTE, "request in flight", "would be cut by SIGTERM",
		"nclust waits until it is idle ('drain')"},
	[REQUEST_FORGOTTEN] = {"forgotten", FACT_NOTE, "request in flight",
		"neither answered nor closed within 3 s", ""},
};

struct stop {
	bool tried;
	bool ended; /* the signal was enough, without SIGKILL */
	double after;
	char exit[64];
	enum request request;
	bool ends_apart; /* SIGTERM is enough without interception and Node's channel */
	bool ends_int;   /* killed by SIGTERM, it has a handler for SIGINT, by which it ends */
};

/* A client of the worker, and what it got. */
struct visitor {
	int fd; /* -1: not connected */
	bool closed;
	bool answered;
	bool http; /* by HTTP */
};

static void read_answer(struct visitor *v)
{
	char block[4096];
	ssize_t n;

	while ((n = recv(v->fd, block, sizeof(block), MSG_DONTWAIT)) > 0) {
		v->http |= !v->answered && n >= 5 && memcmp(block, "HTTP/", 5) == 0;
		v->answered = true;
	}
	v->closed = n == 0 || (errno != EAGAIN && errno != EINTR);
}

/* Wait until an answer comes or, with `all`, until the connection is closed, but no
 * longer than `most`. */
static void await_visitor(const struct exam *e, struct visitor *v, bool all, nsec_t most)
{
	nsec_t until = e->trial->now + most;

	while (!v->closed && (all || !v->answered) && e->trial->now < until && trial_wait(e->trial))
		read_answer(v);
}

static void say_visitor(struct visitor *v, const char *text)
{
	if (v->fd == -1 || send(v->fd, text, strlen(text), MSG_NOSIGNAL) == -1)
		v->closed = true;
}

/* ---- half a request ---- */

/* Does the socket wait in a queue?  False also for an inode that is no listener of the trial. */
static bool waits_in_queue(const struct exam *e, uint64_t inode)
{
	return field_number(trial_listener(e->trial, inode), "queue") > 0;
}

static const struct exam_place *place_to_visit(const struct exam *e)
{
	const struct exam_place *found =
		array_find(p, e->places, e->place_count, p->socket.port != 0);

	if (found == NULL)
		found = array_find(p, e->places, e->place_count, !p->socket.datagrams);
	return found;
}

/* Connect, wait until the worker has accepted, and send the first half.  False: the
 * worker does not accept. */
static bool connect_visitor(struct exam *e, struct visitor *v, const struct exam_place *p)
{
	nsec_t until = e->trial->now + ACCEPT_MOST;
	bool goes_on;

	*v = (struct visitor){.fd = held_visit(p->socket.text)};
	do
		goes_on = trial_wait(e->trial) && e->trial->now < until;
	while (goes_on && waits_in_queue(e, p->socket.inode));
	if (v->fd == -1 || waits_in_queue(e, p->socket.inode))
		return false;
	say_visitor(v, HALF);
	await_visitor(e, v, false, SILENCE);
	return true;
}

/* Send the first half of a request.  False: no request waits for the other. */
static bool begin_request(struct exam *e, struct visitor *v, struct stop *stop)
{
	const struct exam_place *p = place_to_visit(e);

	stop->request = REQUEST_UNTRIED;
	if (p == NULL || !connect_visitor(e, v, p))
		return false;
	stop->request = REQUEST_NO_HTTP;
	return !v->answered && !v->closed;
}

/* Send the rest, when the signal was sent, and note what became of the request. */
static void end_request(struct exam *e, struct visitor *v, struct stop *stop)
{
	await_visitor(e, v, false, SILENCE);
	if (!v->closed)
		say_visitor(v, OTHER_HALF);
	await_visitor(e, v, true, ANSWER_MOST);
	if (v->http)
		stop->request = REQUEST_ANSWERED;
	else
		stop->request = v->closed ? REQUEST_LOST : REQUEST_FORGOTTEN;
}

/* ---- the signal ---- */

/* Wait until the worker has ended or, with `asked`, until its stop signal was sent. */
static void await_stop(const struct exam *e, uint64_t worker, bool asked, nsec_t until)
{
	while (exam_end_of(e, worker) == NULL && e->trial->now < until &&
		!(asked && trial_event(e->trial, worker, "stopping") != NULL) &&
		trial_wait(e->trial))
		;
}

/* Wait until a worker that is ready has computed nothing for a moment: a program may go on loading
 * itself, and hear the signal only then. */
static void await_rest(const struct exam *e, uint64_t worker)
{
	const nsec_t until = e->trial->now + REST_MOST;
	nsec_t worked = e->trial->now;
	nsec_t cpu = 0;
	struct held held uninitialized;

	while (worker != 0 && exam_end_of(e, worker) == NULL && e->trial->now < until &&
		e->trial->now - worked < REST && trial_wait(e->trial)) {
		held_look(&held, e->trial, trial_pid(e->trial, worker));
		if (held.cpu != cpu || held.busy)
			worked = e->trial->now;
		cpu = held.cpu;
	}
}

/* End the latest worker of a slot by SIGTERM, as nclust does, and by SIGKILL after the stop
 * timeout. */
static void end_worker(struct exam *e, int slot, bool visit, struct stop *stop)
{
	uint64_t worker = trial_worker(e->trial, slot);
	struct visitor v = {.fd = -1};
	bool waits;
	const json_t *end;
	nsec_t until;

	if (e->trial->over || worker == 0 || exam_end_of(e, worker) != NULL)
		return;
	waits = visit && begin_request(e, &v, stop);
	until = e->trial->now + END_MOST;
	trial_scale(e->trial, slot);
	await_stop(e, worker, true, until);
	if (waits)
		end_request(e, &v, stop);
	fd_close(&v.fd);
	await_stop(e, worker, false, until);
	if (e->trial->over || trial_event(e->trial, worker, "stopping") == NULL)
		return; /* it has ended by itself */
	end = exam_end_of(e, worker);
	stop->tried = true;
	stop->ended = end != NULL && trial_event(e->trial, worker, "stop-timeout") == NULL;
	stop->after =
		trial_time(e->trial, worker, "exited") - trial_time(e->trial, worker, "stopping");
	text_copy(stop->exit, sizeof(stop->exit), field_raw(end, "exit"));
}

/* Start a worker once more in the slot, in which none is left, and send it SIGINT.  Node catches
 * both signals for every program, so that only its end shows for which one that has a handler. */
static bool ends_by_int(struct exam *e)
{
	uint64_t before = trial_worker(e->trial, 0);
	uint64_t worker;
	const json_t *end;

	trial_scale(e->trial, 1);
	worker = exam_await(e, 0, before);
	if (worker == 0)
		return false;
	await_rest(e, worker);
	if (!process_catches(trial_pid(e->trial, worker), SIGINT) ||
		kill(trial_pid(e->trial, worker), SIGINT) == -1)
		return false;
	await_stop(e, worker, false, e->trial->now + ANSWER_MOST);
	end = exam_end_of(e, worker);
	return end != NULL && strcmp(field_raw(end, "exit"), "killed by SIGINT") != 0;
}

/* The control: what does it do where nclust puts nothing into the program?  Which sockets does it open
 * and, with `ends`, does SIGTERM end it?  That takes another instance, and the end of this one, whose
 * worker may hold the port. */
static bool look_apart(struct exam *e, bool ends)
{
	struct stop stop = {.tried = false};

	trial_end(e->trial);
	trial_begin(e->trial, e->arguments->runtime_directory);
	if (exam_begin(e, true)) {
		await_rest(e, exam_await(e, 0, 0));
		held_look(&e->apart, e->trial, trial_pid(e->trial, trial_worker(e->trial, 0)));
		if (ends)
			end_worker(e, 0, false, &stop);
	}
	e->shown = json_array_size(e->trial->events);
	e->trial->over = client_cancel_signal() != 0;
	return stop.ended;
}

static json_t *pack_stop(const struct stop *s)
{
	if (!s->tried)
		return json_null();
	return json_pack("{s:s, s:b, s:s, s:f, s:s?, s:b}", "signal", "SIGTERM", "ended", s->ended,
		"exit", s->exit, "after", s->after, "request", requests[s->request].json,
		"ends_by_sigint", s->ends_int);
}

static void tell_signal(const struct stop *s, json_t *facts)
{
	char after[24];

	if (s->ends_int)
		facts_add(facts, FACT_NOTE, "SIGTERM",
			"it handles SIGINT alone: --stop-signal INT lets it finish its work",
			"%s after %s", s->exit, facts_seconds(after, s->after));
	else if (s->tried && s->ended)
		facts_add(facts, FACT_OK, "SIGTERM", "", "%s after %s", s->exit,
			facts_seconds(after, s->after));
	else if (s->tried)
		facts_add(facts, FACT_WARN, "SIGTERM",
			s->ends_apart ? "run it with --intercept off --ipc off, and report this "
					"as a fault of nclust"
				      : "set --stop-signal to the signal that ends it",
			"it still ran " TRIAL_STOP_TIMEOUT " after it, and was killed (SIGKILL)%s",
			s->ends_apart ? "; where nclust puts nothing into it, it ends" : "");
}

void exam_stop(struct exam *e)
{
	struct stop quiet = {.tried = false};
	struct stop busy = {.tried = false};
	struct stop *told = &busy;
	bool ignores;
	bool catches_int = process_catches(trial_pid(e->trial, trial_worker(e->trial, 0)), SIGINT);

	await_rest(e, trial_worker(e->trial, 1));
	end_worker(e, 1, false, &quiet);
	/* a worker that ignores SIGTERM when idle ignores it during a request, too */
	if (!quiet.tried || quiet.ended)
		end_worker(e, 0, true, &busy);
	if (quiet.tried)
		told = &quiet;
	told->ends_int = busy.tried && catches_int &&
		strcmp(told->exit, "killed by SIGTERM") == 0 && ends_by_int(e);
	/* has a copy that stopped shut the socket down that the others have, too? */
	e->harms = exam_copies_work(e) && trial_event(e->trial, 0, "listener-harmed") != NULL;
	ignores = quiet.tried && !quiet.ended;
	if (!e->trial->over && (ignores || exam_needs_address(e)))
		quiet.ends_apart = look_apart(e, ignores);
	if (e->trial->over)
		return;
	(void)json_object_set_new(e->report, "stop", pack_stop(&quiet));
	(void)json_object_set_new(e->report, "stop_in_request", pack_stop(&busy));
	tell_signal(told, e->facts);
	if (busy.tried)
		facts_add_finding(e->facts, &requests[busy.request], "");
	if (exam_needs_address(e) && e->apart.count == 0)
		facts_add(e->facts, FACT_NOTE, "address", "",
			"write the address that you want in place of " ANY_ADDRESS);
}

/* ---- nothing to stop ---- */

bool exam_never_ready(struct exam *e, uint64_t second)
{
	const json_t *first =
		json_array_get(json_object_get(trial_cluster(e->trial), "workers"), 0);
	const char *output;
	char text[512];

	if (e->beside || second == 0 || trial_event(e->trial, e->first, "ready") != NULL ||
		trial_event(e->trial, second, "waits") != NULL ||
		exam_end_of(e, e->first) != NULL || exam_end_of(e, second) != NULL)
		return false;
	text_copy(text, sizeof(text), field_raw(first, "waits_for"));
	trial_scale(e->trial, 0); /* nclust reports the last output with the end */
	while (exam_end_of(e, e->first) == NULL && trial_wait(e->trial))
		;
	output = field_raw(exam_end_of(e, e->first), "last_output");
	facts_add(e->facts, FACT_BAD, "start", "a start would fail at the end of start-timeout",
		"it is not ready within %d s%s%s%s%.256s", UP_MOST,
		*text != '\0' ? ": waits for " : "", text, *output != '\0' ? "; last output: " : "",
		output);
	e->ended = true;
	return true;
}

/* ---- the command line ---- */

/* A word that is no UTF-8 is shown escaped. */
static void add_word(json_t *words, const char *word)
{
	json_t *string = json_string(word);
	char escaped[512];

	if (string == NULL) {
		text_escape(escaped, sizeof(escaped), word, strlen(word));
		string = json_string(escaped);
	}
	(void)json_array_append_new(words, string);
}

static void add_option(json_t *words, const char *name, const char *value)
{
	add_word(words, name);
	add_word(words, value);
}

/* "1" where copies do not work; NULL: what is given, or one copy of what shares no port. */
static const char *how_many(const struct exam *e)
{
	const char *const *given = e->arguments->given;

	if (!exam_copies_work(e) || e->primary)
		return "1";
	return e->place_count == 0 || trial_has_option(given, "-n") ||
			trial_has_option(given, "--workers")
		? NULL
		: "auto";
}

json_t *exam_command_line(const struct exam *e)
{
	const struct arguments *a = e->arguments;
	const char *count = how_many(e);
	json_t *words;

	if (e->ended)
		return json_null();
	words = json_array();
	add_word(words, "nclust");
	for (const char *const *word = a->given; *word != NULL; word++)
		add_word(words, *word);
	if (count != NULL)
		add_option(words, "-n", count);
	if (e->moves) /* perhaps because nclust holds its port */
		add_option(words, "--intercept", "off");
	if (e->moves || e->primary)
		add_option(words, "--ipc", "off");
	if (!e->beside) {
		add_option(words, "--surge", "0");
		add_option(words, "--max-unavailable", "1");
	}
	if (e->harms) {
		add_option(words, "--balance", "rr");
		add_option(words, "--drain", "quiet");
	}
	for (size_t i = 0; exam_needs_address(e) && i < e->apart.count; i++)
		add_option(words, "-l",
			e->apart.list[i].text + (e->apart.list[i].port != 0 ? strlen("tcp:") : 0));
	if (exam_needs_address(e) && e->apart.count == 0)
		add_option(words, "-l", ANY_ADDRESS);
	/* the first sign of all would come too early for this program */
	if (e->notifies)
		add_option(words, "--ready", "notify");
	else if (e->loads && !trial_has_option(a->given, "--ready"))
		add_option(words, "--ready", "http:/");
	else if (e->place_count == 0 && !trial_has_option(a->given, "--ready"))
		add_option(words, "--ready", "alive");
	/* its clients stay, and ask a store again */
	if (e->store == STORE_ITSELF && !trial_has_option(a->given, "--drain"))
		add_option(words, "--drain", "off");
	add_word(words, "--");
	for (char *const *word = a->command; *word != NULL; word++)
		add_word(words, *word);
	return words;
}
