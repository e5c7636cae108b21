/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/text.h"
#include "config/slotword.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What was found, in words. */

/* More sockets or files are not told: there is an end to struct facts. */
#define PLACES_TOLD 12

static const char *seconds_text(char to[24], double seconds)
{
	char age[16];

	if (seconds < 0.1)
		(void)snprintf(to, 24, "%.0f ms", seconds > 0 ? seconds * 1000 : 0);
	else
		(void)snprintf(to, 24, "%s", text_age(age, (nsec_t)(seconds * (double)SECOND)));
	return to;
}

/* "; last output: …", or nothing. */
static const char *last_text(char to[300], const char *last)
{
	if (last[0] == '\0')
		to[0] = '\0';
	else
		(void)snprintf(to, 300, "; last output: %s", last);
	return to;
}

/* ---- start ---- */

static void tell_ended(const struct exam *e, struct facts *f)
{
	char after[24];
	char last[300];
	const char *does = "a server should keep running";

	if (e->in_use[0] != '\0')
		does = "stop the process that has the port, or try another "
		       "port";
	else if (strcmp(e->exit, "exit 0") == 0)
		does = "a server should keep running: if it goes to the "
		       "background, turn its daemon mode off";
	if (e->in_use[0] != '\0')
		facts_add(f, FACT_BAD, "socket", "", "%s", e->in_use);
	facts_add(f, FACT_BAD, "start", does, "it ends with %s after %s%s", e->exit,
		seconds_text(after, e->ready_after), last_text(last, e->last));
}

static bool is_node(const struct exam *e)
{
	return e->trial != NULL && e->trial->node;
}

static void tell_place(const struct exam *e, const struct exam_place *p, struct facts *f)
{
	const char *comma = p->options[0] != '\0' ? ", " : "";

	if (p->how == HOW_PASSED)
		facts_add(f, FACT_OK, "socket", p->named ? "" : "any address will do", "%s",
			p->named ? p->text : "the one that nclust passes");
	else if (p->how == HOW_BOUND)
		facts_add(f, p->named || e->listen_count == 0 ? FACT_OK : FACT_NOTE, "socket",
			p->named ? "it gets the one that nclust has made"
				: e->listen_count > 0
				? "--listen does not name it; nclust takes it "
				  "over"
				: is_node(e) ? ""
					     : "nclust takes it over",
			"%s, which it %s%s%s", p->text,
			is_node(e) ? "asks nclust for" : "binds itself", comma, p->options);
	else
		facts_add(f, FACT_NOTE, "socket",
			p->socket.kind == HELD_UDP ? "nclust lets several bind it"
						   : "it stays its own",
			"%s, which it binds itself%s%s", p->text, comma, p->options);
}

static void tell_sockets(const struct exam *e, struct facts *f)
{
	char waited[24];

	if (is_node(e))
		facts_add(f, FACT_OK, "node", "see nclust-node(7)",
			"a worker of Node's cluster, and nclust its primary");
	for (size_t i = 0; i < e->place_count && i < PLACES_TOLD; i++)
		tell_place(e, &e->places[i], f);
	if (e->place_count > PLACES_TOLD)
		facts_add(f, FACT_OK, "sockets", "", "%zu more", e->place_count - PLACES_TOLD);
	if (e->refused[0] != '\0')
		facts_add(f, FACT_WARN, "taking over ports", "see nclust doctor", "%s", e->refused);
	if (e->place_count == 0)
		facts_add(f, FACT_NOTE, "socket",
			"no port, nor does it accept from the socket that "
			"nclust passes",
			"opens none within %s", seconds_text(waited, e->waited));
	else if (e->way == WAY_STDIN)
		facts_add(f, FACT_OK, "passed sockets", "", "taken from standard input");
	else if (e->takes_passed && e->way == WAY_NO_PID)
		facts_add(f, FACT_OK, "passed sockets",
			"a wrapper forks: LISTEN_PID would not be its own",
			"taken, without LISTEN_PID");
	else if (e->takes_passed)
		facts_add(f, FACT_OK, "passed sockets", "", "taken");
	else
		facts_add(f, FACT_OK, "passed sockets", "not needed", "ignored");
}

static const char guessed[] = "one that lives for 1 s is taken as ready";

static void tell_ready(const struct exam *e, struct facts *f)
{
	static const struct {
		enum fact_mark mark;
		const char *does;
		const char *by;
	} signs[] = {
		[SIGN_NOTIFY] = {FACT_OK, "", "by READY=1"},
		[SIGN_LISTEN] = {FACT_OK, "", "when it calls listen"},
		[SIGN_ALIVE] = {FACT_NOTE, guessed, "which it does not say"},
	};
	char after[24];
	char last[300];

	if (e->sign == SIGN_NONE)
		facts_add(f, FACT_NOTE, "ready", guessed, "nothing tells when%s",
			last_text(last, e->last));
	else
		facts_add(f, signs[e->sign].mark, "ready", signs[e->sign].does, "after %s, %s",
			seconds_text(after, e->ready_after), signs[e->sign].by);
}

/* Copies of it do not know of each other's data. */
static void tell_store(const struct exam *e, struct facts *f)
{
	if (e->store[0] == '/')
		facts_add(f, FACT_WARN, "state",
			"each copy opens it by itself: they are separate "
			"stores, unless the program is made to share it",
			"it keeps its state in the file %s", e->store);
	else if (e->store[0] != '\0')
		facts_add(f, FACT_WARN, "state",
			"copies are separate stores: run one worker, and more "
			"only as replicas that it knows of",
			"%s keeps its state in itself", e->store);
}

/* With a copy for each CPU there are as many times as many threads. */
static void tell_threads(const struct exam *e, struct facts *f)
{
	unsigned long long all = (unsigned long long)e->threads * e->cpus;

	if (e->computing > 1)
		facts_add(f, FACT_WARN, "threads", "set 'threads = auto': see nclust-threads(7)",
			"%u threads, %u busy at once; with a copy for each CPU "
			"%llu busy threads on %u CPU%s",
			e->threads, e->computing, (unsigned long long)e->computing * e->cpus,
			e->cpus, e->cpus == 1 ? "" : "s");
	else if (e->threads > 1 && e->threads > e->cpus)
		facts_add(f, FACT_NOTE, "threads", "if they compute, set 'threads = auto'",
			"%u, which do not compute now: with a copy for each "
			"CPU %llu",
			e->threads, all);
}

void doctor_tell_start(const struct exam *e, struct facts *f)
{
	if (e->unprivileged)
		facts_add(f, FACT_NOTE, "sudo", "if the program needs one: intercept = off",
			"it and other set-id programs have no effect in "
			"workers, which run with no_new_privs");
	if (e->life == LIFE_ENDED) {
		tell_ended(e, f);
		return;
	}
	tell_sockets(e, f);
	tell_ready(e, f);
	tell_store(e, f);
	tell_threads(e, f);
}

/* ---- the second copy ---- */

static void tell_second(const struct exam *e, struct facts *f)
{
	char after[24];
	char last[300];

	(void)seconds_text(after, e->second_after);
	if (e->second_exit[0] != '\0')
		facts_add(f, FACT_BAD, "second copy", "", "ends with %s after %s%s", e->second_exit,
			after, last_text(last, e->second_last));
	else if (e->second_lock[0] != '\0')
		facts_add(
			f, FACT_BAD, "second copy", "", "waits for the lock of %s", e->second_lock);
	else if (!e->second_ready)
		facts_add(f, FACT_BAD, "second copy", "", "is not ready within 12 s");
	else
		facts_add(f, FACT_OK, "second copy", "", "ready after %s", after);
	if (e->first_gone)
		facts_add(f, FACT_BAD, "first copy", "", "ended when the second one came");
}

/* How each place is shared; what is bad is but a warning where copies work. */
static void tell_share(const struct exam_place *p, struct facts *f, bool works)
{
	static const struct {
		enum fact_mark mark;
		const char *name;
		const char *hint;
		const char *how;
	} kinds[] = {
		[SHARE_SAME] = {FACT_OK, "shared", "", ", one socket"},
		[SHARE_SPREAD] = {FACT_OK, "shared",
			"the kernel spreads what comes, and what waits for a "
			"copy that dies is lost",
			", a socket each"},
		[SHARE_STOLEN] = {FACT_BAD, "not shared",
			"a server that takes passed sockets can share it: "
			"-l unix:PATH",
			", which each copy takes from the one before"},
		[SHARE_OTHER] = {FACT_BAD, "not shared", "give it a fixed port",
			": each copy listens on its own random port"},
		[SHARE_PRIVATE] = {FACT_OK, "private",
			"each copy has one of its own, which is as it should "
			"be",
			""},
	};

	if (p->share == SHARE_UNKNOWN)
		return;
	facts_add(f, kinds[p->share].mark == FACT_BAD && works ? FACT_WARN : kinds[p->share].mark,
		kinds[p->share].name, kinds[p->share].hint, "%s%s", p->text, kinds[p->share].how);
}

static void tell_beside(const struct exam *e, const struct exam_place *p, struct facts *f)
{
	static const char *const names[] = {[PORT_ANY] = "another port",
		[PORT_METRICS] = "metrics",
		[PORT_INSPECTOR] = "inspector"};
	unsigned port = endpoint_port(&p->socket.at);
	char own[256];

	if (!p->differs)
		return;
	if (!slotword_find(own, sizeof(own), e->command, port) &&
		!slotword_find(own, sizeof(own), environ, port))
		(void)snprintf(own, sizeof(own), "{slot+%u}", port);
	facts_add(f, p->port == PORT_ANY ? FACT_NOTE : FACT_WARN, names[p->port], "",
		"%s is shared, and copies answer differently: each request "
		"reaches any worker; %s gives each its own",
		p->text, own);
}

/* "app.{slot}.log" of "/srv/app.log". */
static const char *slot_name(char to[HELD_PATH + 8], const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	const char *dot = strrchr(name, '.');
	int len = (int)(dot != NULL && dot != name ? (size_t)(dot - name) : strlen(name));

	(void)snprintf(to, HELD_PATH + 8, "%.*s.{slot}%s", len, name, name + len);
	return to;
}

static void tell_files(const struct exam *e, struct facts *f)
{
	static const char *const hows[] = {
		[FILE_APPENDED] = "to which all copies append; if the program "
				  "rotates it",
		[FILE_OVERWRITTEN] = "which each copy overwrites",
		[FILE_REPLACED] = "which each copy replaces as it starts",
	};
	char name[HELD_PATH + 8];

	for (size_t i = 0; i < e->first_held.file_count; i++) {
		const char *path = e->first_held.files[i].path;
		enum exam_file how = e->files[i];

		if (how != FILE_ALONE)
			facts_add(f, how == FILE_APPENDED ? FACT_NOTE : FACT_WARN, "shared file",
				"", "%s, %s: %s gives each its own", path, hows[how],
				slot_name(name, path));
	}
}

void doctor_tell_copy(const struct exam *e, struct facts *f)
{
	bool works = exam_copies_work(e);

	tell_second(e, f);
	for (size_t i = 0; e->second_ready && i < e->place_count && i < PLACES_TOLD; i++)
		tell_share(&e->places[i], f, works);
	for (size_t i = 0; e->second_ready && i < e->place_count && i < PLACES_TOLD; i++)
		tell_beside(e, &e->places[i], f);
	tell_files(e, f);
	if (works && e->place_count > 0)
		facts_add(f, FACT_OK, "copies", "", "will work");
	else if (works)
		facts_add(f, FACT_NOTE, "copies", "", "run beside each other, and share nothing");
	else if (e->place_count > 0 && e->refused[0] != '\0')
		facts_add(f, FACT_BAD, "copies", "see nclust doctor",
			"will not work: its port cannot be taken over here");
	else
		facts_add(f, FACT_BAD, "copies",
			exam_is_alone(e) ? "nclust can keep one running, with surge = "
					   "0, max-unavailable = 1"
					 : "nclust can still keep one running",
			"will not work");
}

/* ---- stop ---- */

static void tell_signal(const struct exam_stop *s, struct facts *f)
{
	char after[24];

	if (!s->tried)
		return;
	if (s->ended)
		facts_add(f, FACT_OK, "SIGTERM", "", "%s after %s", s->exit,
			seconds_text(after, s->after));
	else
		facts_add(f, FACT_WARN, "SIGTERM",
			"find the signal that ends it, for --stop-signal",
			"does not end it within " TRIAL_STOP_TIMEOUT ", only SIGKILL does");
}

static const char unheard[] = "not tried, because it accepts no connection";

static void tell_request(const struct exam *e, struct facts *f)
{
	static const struct {
		enum fact_mark mark;
		const char *does;
		const char *found;
	} ends[] = {
		[REQUEST_ANSWERED] = {FACT_OK, "", "answered before it ends"},
		[REQUEST_LOST] = {FACT_NOTE, "nclust waits until it is idle ('drain')",
			"would be cut by SIGTERM"},
		[REQUEST_FORGOTTEN] = {FACT_NOTE, "", "neither answered nor closed within 3 s"},
		[REQUEST_NO_HTTP] = {FACT_OK, "",
			"not tried, because it reads no whole HTTP request"},
		[REQUEST_UNHEARD] = {FACT_OK, "", unheard},
		[REQUEST_UNTRIED] = {FACT_OK, "", unheard},
	};
	enum exam_request request = e->busy.request;

	if (!e->busy.tried)
		return;
	facts_add(f, ends[request].mark, "request in flight", ends[request].does, "%s",
		ends[request].found);
	if (e->other.ended && e->other.request == REQUEST_ANSWERED)
		facts_add(f, FACT_OK, e->other.signal == SIGQUIT ? "SIGQUIT" : "SIGINT", "",
			"%s, and a request in flight is answered before", e->other.exit);
}

void doctor_tell_stop(const struct exam *e, struct facts *f)
{
	tell_signal(e->quiet.tried ? &e->quiet : &e->busy, f);
	tell_request(e, f);
	for (size_t i = 0; e->quiet.ended && i < e->made_count && i < PLACES_TOLD; i++)
		facts_add(f, FACT_WARN, "vanishing file",
			"if others read it: surge = 0, max-unavailable = 1, so "
			"that the old copy ends before the new one writes it",
			"%s, which each copy removes as it ends", e->made[i]);
}

void doctor_tell_untold(const struct exam *e, struct facts *f)
{
	if (e->own_count == 0)
		facts_add(
			f, FACT_NOTE, "address", "", "any that you give it, in the place of 8000");
	else
		facts_add(f, FACT_OK, "address", "or any other that you give it",
			"the one that it opens by itself");
}
