/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What was found: as facts, as the command line to use, and as JSON. */

/* Where the user has named none, and one is needed. */
#define ANY_ADDRESS "8000"
#define END_TEXT 700

/* What can be found, each with what is said of it. */
struct finding {
	const char *json;
	enum fact_mark mark;
	const char *name;
	const char *found;
	const char *advice;
};

static const char guessed[] = "one that lives for 1 s is taken as ready";

/* What follows the time. */
static const struct finding signs[] = {
	[SIGN_NONE] = {NULL, FACT_NOTE, "ready", "nothing tells when", guessed},
	[SIGN_ALIVE] = {"alive", FACT_NOTE, "ready", ", which it does not say", guessed},
	[SIGN_LISTEN] = {"listen", FACT_OK, "ready", ", when it calls listen", ""},
	[SIGN_NOTIFY] = {"notify", FACT_OK, "ready", ", by READY=1", ""},
};

static const struct finding ways[] = {
	[WAY_PASSED] = {NULL, FACT_OK, "passed sockets", "taken", ""},
	[WAY_NO_PID] = {NULL, FACT_OK, "passed sockets", "taken, without LISTEN_PID",
		"a wrapper forks: LISTEN_PID would not be its own"},
	[WAY_STDIN] = {NULL, FACT_OK, "passed sockets", "taken from standard input", ""},
};

/* What is said behind an address. */
static const struct finding shares[] = {
	[SHARE_UNKNOWN] = {NULL, FACT_OK, NULL, NULL, NULL},
	[SHARE_SAME] = {"same", FACT_OK, "shared", ", one socket", ""},
	[SHARE_SPREAD] = {"one each", FACT_OK, "shared", ", a socket each",
		"the kernel spreads what comes, and what waits for a copy that dies is lost"},
	[SHARE_STOLEN] = {"stolen", FACT_BAD, "not shared",
		", which each copy takes from the one before",
		"a server that takes passed sockets can share it: -l unix:PATH"},
	[SHARE_OTHER] = {"none", FACT_BAD, "not shared",
		": each copy listens on its own random port", "give it a fixed port"},
	[SHARE_PRIVATE] = {"private", FACT_OK, "private", "",
		"each copy has one of its own, which is as it should be"},
};

/* What is said behind a path. */
static const struct finding files[] = {
	[FILE_ALONE] = {NULL, FACT_OK, NULL, NULL, NULL},
	[FILE_APPENDED] = {NULL, FACT_NOTE, "shared file",
		"to which all copies append; if the program rotates it", ""},
	[FILE_OVERWRITTEN] = {NULL, FACT_WARN, "shared file", "which each copy overwrites", ""},
	[FILE_REPLACED] = {NULL, FACT_WARN, "shared file", "which each copy replaces as it starts",
		""},
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

/* Add a finding; `subject`, an address or a path, stands before it. */
static void add_finding(json_t *facts, const struct finding *f, const char *subject)
{
	if (f->name != NULL)
		facts_add(facts, f->mark, f->name, f->advice, "%s%s", subject, f->found);
}

static const char *seconds_text(char to[24], double seconds)
{
	char age[16];

	if (seconds < 0.1)
		snprintf(to, 24, "%.0f ms", seconds > 0 ? seconds * 1000 : 0);
	else
		snprintf(to, 24, "%s", text_age(age, (nsec_t)(seconds * (double)SECOND)));
	return to;
}

/* "ends with exit 1 after 20 ms; last output: ...", from nclust's report of the end. */
static const char *end_text(char to[END_TEXT], const struct exam_end *end)
{
	char after[24];

	snprintf(to, END_TEXT, "ends with %s after %s%s%s%s%s", end->exit,
		seconds_text(after, end->after), end->cause[0] != '\0' ? "; " : "", end->cause,
		end->last_output[0] != '\0' ? "; last output: " : "", end->last_output);
	return to;
}

/* ---- start ---- */

static void tell_end(const struct exam_end *end, json_t *facts)
{
	const char *advice = "a server should keep running";
	char text[END_TEXT];

	if (strcmp(end->exit, "exit 0") == 0)
		advice = "a server should keep running: if it goes to the background, turn its "
			 "daemon mode off";
	if (strncmp(end->cause, "cannot bind ", 12) == 0)
		facts_add(facts, FACT_BAD, "socket",
			"stop the process that has the port, or try another port", "%s",
			end->cause);
	facts_add(facts, FACT_BAD, "start", advice, "it %s", end_text(text, end));
}

static void tell_place(const struct exam *e, const struct exam_place *p, json_t *facts)
{
	bool expected = p->named || e->arguments->listen_count == 0;
	const char *advice = "it stays its own";
	/* the user knows the options of a socket that nclust made */
	bool options = !p->named && p->socket.options[0] != '\0';

	if (p->how == HOW_PASSED) {
		facts_add(facts, FACT_OK, "socket", p->named ? "" : "any address will do", "%s",
			p->named ? p->socket.text : "the one that nclust passes");
		return;
	}
	if (p->how == HOW_BOUND && p->named)
		advice = "it gets the one that nclust has made";
	else if (p->how == HOW_BOUND && !expected)
		advice = "--listen does not name it; nclust takes it over";
	else if (p->how == HOW_BOUND)
		advice = e->node ? "" : "nclust takes it over";
	else if (p->socket.datagrams)
		advice = "nclust lets several bind it";
	facts_add(facts, p->how == HOW_BOUND && expected ? FACT_OK : FACT_NOTE, "socket", advice,
		"%s, which it %s%s%s", p->socket.text,
		e->node && p->how == HOW_BOUND ? "asks nclust for" : "binds itself",
		options ? ", " : "", options ? p->socket.options : "");
}

static void tell_sockets(const struct exam *e, json_t *facts)
{
	char waited[24];

	if (e->node)
		facts_add(facts, FACT_OK, "node", "see nclust-node(7)",
			"a worker of Node's cluster, and nclust its primary");
	for (size_t i = 0; i < e->place_count; i++)
		tell_place(e, &e->places[i], facts);
	if (e->refused[0] != '\0')
		facts_add(facts, FACT_WARN, "taking over ports", "see nclust doctor", "%s",
			e->refused);
	if (e->place_count == 0)
		facts_add(facts, FACT_NOTE, "socket",
			"no port, nor does it accept from the socket that nclust passes",
			"opens none within %s", seconds_text(waited, e->waited));
	else if (e->takes_passed)
		add_finding(facts, &ways[e->way], "");
	else
		facts_add(facts, FACT_OK, "passed sockets", "not needed", "ignored");
}

static void tell_ready(const struct exam *e, json_t *facts)
{
	char subject[40] = "";
	char after[24];

	if (e->sign != SIGN_NONE)
		snprintf(subject, sizeof(subject), "after %s", seconds_text(after, e->ready_after));
	add_finding(facts, &signs[e->sign], subject);
}

/* A program that keeps its data in itself: its copies do not know of each other's. */
static void tell_store(const struct exam *e, json_t *facts)
{
	const char *store = e->held.store;

	if (store[0] == '/')
		facts_add(facts, FACT_WARN, "state",
			"each copy opens it by itself: they are separate stores, unless the "
			"program is made to share it",
			"it keeps its state in the file %s", store);
	else if (store[0] != '\0')
		facts_add(facts, FACT_WARN, "state",
			"copies are separate stores: run one worker, and more only as replicas "
			"that it knows of",
			"%s keeps its state in itself", store);
}

/* Does the program compute in many threads?  One copy for each CPU multiplies them. */
static void tell_threads(const struct exam *e, json_t *facts)
{
	if (e->computing > 1)
		facts_add(facts, FACT_WARN, "threads",
			"set 'threads = auto': see nclust-threads(7)",
			"%u threads, %u busy at once; with a copy for each CPU %llu busy threads "
			"on %u CPU%s",
			e->threads, e->computing, (unsigned long long)e->computing * e->cpus,
			e->cpus, e->cpus == 1 ? "" : "s");
	else if (e->threads > 1 && e->threads > e->cpus)
		facts_add(facts, FACT_NOTE, "threads", "if they compute, set 'threads = auto'",
			"%u, which do not compute now: with a copy for each CPU %llu", e->threads,
			(unsigned long long)e->threads * e->cpus);
}

void doctor_tell_start(const struct exam *e, json_t *facts)
{
	if (e->unprivileged)
		facts_add(facts, FACT_NOTE, "sudo", "if the program needs one: intercept = off",
			"it and other set-id programs have no effect in workers, which run with "
			"no_new_privs");
	if (e->life == LIFE_ENDED) {
		tell_end(&e->first_end, facts);
		return;
	}
	tell_sockets(e, facts);
	tell_ready(e, facts);
	tell_store(e, facts);
	tell_threads(e, facts);
}

/* ---- the second copy ---- */

static void tell_second(const struct exam *e, json_t *facts)
{
	static const char name[] = "second copy";
	char text[END_TEXT];

	if (e->second_end.exit[0] != '\0')
		facts_add(facts, FACT_BAD, name, "", "%s", end_text(text, &e->second_end));
	else if (e->second_lock[0] != '\0')
		facts_add(facts, FACT_BAD, name, "", "waits for the lock of %s", e->second_lock);
	else if (!e->second_ready)
		facts_add(facts, FACT_BAD, name, "", "is not ready within 12 s");
	else
		facts_add(facts, FACT_OK, name, "", "ready after %s",
			seconds_text(text, e->second_after));
	if (e->first_end.exit[0] != '\0')
		facts_add(facts, FACT_BAD, "first copy", "", "ended when the second one came");
}

/* How copies share an address; a finding that is bad by itself is but a warning where copies work. */
static void tell_share(const struct exam_place *p, json_t *facts, bool works)
{
	struct finding share = shares[p->share];

	if (works && share.mark == FACT_BAD)
		share.mark = FACT_WARN;
	add_finding(facts, &share, p->socket.text);
}

static void tell_beside(const struct exam *e, const struct exam_place *p, json_t *facts)
{
	char own[256];

	if (!p->differs)
		return;
	if (!slotword_find(own, sizeof(own), e->arguments->command, p->socket.port) &&
		!slotword_find(own, sizeof(own), environ, p->socket.port))
		snprintf(own, sizeof(own), "{slot+%u}", p->socket.port);
	facts_add(facts, p->purpose != NULL ? FACT_WARN : FACT_NOTE,
		p->purpose != NULL ? p->purpose : "another port", "",
		"%s is shared, and copies answer differently: each request reaches any worker; %s "
		"gives each its own",
		p->socket.text, own);
}

/* "app.{slot}.log" of "/srv/app.log". */
static const char *slot_name(char to[HELD_PATH + 8], const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	const char *dot = strrchr(name, '.');
	int len = (int)(dot != NULL && dot != name ? (size_t)(dot - name) : strlen(name));

	snprintf(to, HELD_PATH + 8, "%.*s.{slot}%s", len, name, name + len);
	return to;
}

static void tell_files(const struct exam *e, json_t *facts)
{
	char name[HELD_PATH + 8];

	for (size_t i = 0; i < e->held.file_count; i++) {
		const char *path = e->held.files[i].path;
		const struct finding *file = &files[e->files[i]];

		if (file->name != NULL)
			facts_add(facts, file->mark, file->name, file->advice,
				"%s, %s: %s gives each its own", path, file->found,
				slot_name(name, path));
	}
}

static void tell_copies(const struct exam *e, json_t *facts)
{
	static const char name[] = "copies";

	if (exam_copies_work(e) && e->place_count > 0)
		facts_add(facts, FACT_OK, name, "", "will work");
	else if (exam_copies_work(e))
		facts_add(facts, FACT_NOTE, name, "", "run beside each other, and share nothing");
	else if (e->place_count > 0 && e->refused[0] != '\0')
		facts_add(facts, FACT_BAD, name, "see nclust doctor",
			"will not work: its port cannot be taken over here");
	else
		facts_add(facts, FACT_BAD, name,
			exam_is_alone(e) ? "nclust can keep one running, with surge = 0, "
					   "max-unavailable = 1"
					 : "nclust can still keep one running",
			"will not work");
}

void doctor_tell_copy(const struct exam *e, json_t *facts)
{
	tell_second(e, facts);
	for (size_t i = 0; e->second_ready && i < e->place_count; i++) {
		tell_share(&e->places[i], facts, exam_copies_work(e));
		tell_beside(e, &e->places[i], facts);
	}
	tell_files(e, facts);
	tell_copies(e, facts);
}

/* ---- stop ---- */

static void tell_signal(const struct exam_stop *s, json_t *facts)
{
	char after[24];

	if (s->tried && s->ended)
		facts_add(facts, FACT_OK, "SIGTERM", "", "%s after %s", s->exit,
			seconds_text(after, s->after));
	else if (s->tried)
		facts_add(facts, FACT_WARN, "SIGTERM",
			"find the signal that ends it, for --stop-signal",
			"does not end it within " TRIAL_STOP_TIMEOUT ", only SIGKILL does");
}

static void tell_request(const struct exam *e, json_t *facts)
{
	if (e->busy.tried)
		add_finding(facts, &requests[e->busy.request], "");
	if (e->other.ended && e->other.request == REQUEST_ANSWERED)
		facts_add(facts, FACT_OK, e->other.signal == SIGQUIT ? "SIGQUIT" : "SIGINT", "",
			"%s, and a request in flight is answered before", e->other.exit);
}

void doctor_tell_stop(const struct exam *e, json_t *facts)
{
	tell_signal(e->quiet.tried ? &e->quiet : &e->busy, facts);
	tell_request(e, facts);
	for (size_t i = 0; e->quiet.ended && i < e->made_count; i++)
		facts_add(facts, FACT_WARN, "vanishing file",
			"if others read it: surge = 0, max-unavailable = 1, so that the old copy "
			"ends before the new one writes it",
			"%s, which each copy removes as it ends", e->made[i]);
	if (exam_needs_address(e) && e->own_count == 0)
		facts_add(facts, FACT_NOTE, "address", "",
			"any that you give it, in the place of 8000");
	else if (exam_needs_address(e))
		facts_add(facts, FACT_OK, "address", "or any other that you give it",
			"the one that it opens by itself");
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

/* Can the program use an address that the user gives? */
static bool takes_named(const struct exam *e)
{
	for (size_t i = 0; i < e->place_count; i++)
		if (e->places[i].named)
			return true;
	return false;
}

static void add_addresses(const struct exam *e, json_t *w)
{
	const struct arguments *a = e->arguments;

	for (size_t i = 0; i < a->listen_count && takes_named(e); i++)
		add_option(w, "-l", a->listen[i]);
	for (size_t i = 0; i < e->own_count; i++)
		add_option(w, "-l", e->own[i]);
	if (e->own_count == 0 && exam_needs_address(e))
		add_option(w, "-l", ANY_ADDRESS);
}

/* The command's words, changed so that each slot gets a port of its own where copies
 * would answer differently.  With `option` only the changed words, each after it. */
static void add_own_ports(const struct exam *e, char *const *words, const char *option, json_t *w)
{
	for (; *words != NULL; words++) {
		char own[512];
		bool changed = false;

		for (size_t i = 0; i < e->place_count && !changed; i++)
			changed = e->places[i].differs && e->places[i].purpose != NULL &&
				slotword_port(own, sizeof(own), *words, e->places[i].socket.port);
		if (option != NULL && changed)
			add_option(w, option, own);
		else if (option == NULL)
			add_word(w, changed ? own : *words);
	}
}

json_t *doctor_command_line(const struct exam *e)
{
	json_t *words;

	if (e->life == LIFE_ENDED)
		return json_null();
	words = json_array();
	add_word(words, "nclust");
	for (const char *const *word = e->arguments->given; *word != NULL; word++)
		add_word(words, *word);
	add_option(words, "-n", exam_copies_work(e) ? "auto" : "1");
	if (exam_is_alone(e)) {
		add_option(words, "--surge", "0");
		add_option(words, "--max-unavailable", "1");
	}
	add_addresses(e, words);
	if (e->takes_passed && e->way == WAY_STDIN)
		add_option(words, "--pass", "stdin");
	else if (e->takes_passed && e->way == WAY_NO_PID)
		add_word(words, "--listen-pid=no");
	/* the first sign of all would come too early for this program */
	if (e->sign == SIGN_NOTIFY)
		add_option(words, "--ready", "notify");
	if (e->other.ended && e->other.request == REQUEST_ANSWERED)
		add_option(words, "--stop-signal", e->other.signal == SIGQUIT ? "QUIT" : "INT");
	add_own_ports(e, environ, "--env", words);
	add_word(words, "--");
	add_own_ports(e, e->arguments->command, NULL, words);
	return words;
}

/* ---- JSON ---- */

/* Rounded to the millisecond. */
static json_t *pack_seconds(double seconds)
{
	return json_real(seconds > 0 ? (double)(uint64_t)(seconds * 1000 + 0.5) / 1000 : 0);
}

static json_t *pack_sockets(const struct exam *e)
{
	static const char *const hows[] = {
		[HOW_PASSED] = "passed", [HOW_BOUND] = "taken over", [HOW_OWN] = "own"};
	json_t *list = json_array();

	for (size_t i = 0; i < e->place_count; i++) {
		const struct exam_place *p = &e->places[i];

		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:b, s:s, s:s?}", "address", p->socket.text, "how",
				hows[p->how], "named", p->named, "options", p->socket.options,
				"shared", shares[p->share].json));
	}
	return list;
}

static json_t *pack_stop(const struct exam_stop *s)
{
	char name[16];

	if (!s->tried)
		return json_null();
	return json_pack("{s:s, s:b, s:s, s:o, s:s?}", "signal", text_signal_name(name, s->signal),
		"ended", s->ended, "exit", s->exit, "after", pack_seconds(s->after), "request",
		requests[s->request].json);
}

json_t *doctor_pack(const struct exam *e, json_t *facts)
{
	json_t *ready = json_null();

	if (e->life == LIFE_SERVING)
		ready = json_pack("{s:s?, s:o}", "sign", signs[e->sign].json, "after",
			pack_seconds(e->ready_after));
	return json_pack("{s:b, s:O, s:o, s:o, s:{s:i, s:i, s:i}, s:o, s:o, s:o}", "ok",
		exam_copies_work(e), "facts", facts, "sockets", pack_sockets(e), "ready", ready,
		"threads", "count", (int)e->threads, "computing", (int)e->computing, "cpus",
		(int)e->cpus, "stop", pack_stop(&e->quiet), "stop_in_request", pack_stop(&e->busy),
		"run", doctor_command_line(e));
}
