/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/text.h"
#include "config/slotword.h"
#include "config/value.h"
#include "protocol/json.h"

#include <signal.h>
#include <unistd.h>

/* The command line to use, and all that was found as JSON. */

/* Where the user has named none, and one is needed. */
#define ANY_ADDRESS "8000"

/* Words are appended each with its NUL. */
static void add(struct buffer *words, const char *word)
{
	(void)buffer_append(words, word, strlen(word) + 1);
}

static void add_option(struct buffer *w, const char *name, const char *value)
{
	add(w, name);
	add(w, value);
}

/* Is an address of the user's of any use to it? */
static bool takes_named(const struct exam *e)
{
	for (size_t i = 0; i < e->place_count; i++)
		if (e->places[i].named)
			return true;
	return false;
}

static void add_addresses(const struct exam *e, struct buffer *w)
{
	if (e->listen_count > 0 && takes_named(e)) {
		for (size_t i = 0; i < e->listen_count; i++)
			add_option(w, "-l", e->listen[i]);
	} else if (exam_needs_address(e)) {
		for (size_t i = 0; i < e->own_count; i++)
			add_option(w, "-l", e->own[i]);
		if (e->own_count == 0)
			add_option(w, "-l", ANY_ADDRESS);
	}
}

/* The words, in which each slot gets a port of its own where copies would answer
 * differently.  With `option` only those that are changed, each after it. */
static void add_own_ports(
	const struct exam *e, char *const *words, const char *option, struct buffer *w)
{
	for (; *words != NULL; words++) {
		char own[512];
		bool changed = false;

		for (size_t i = 0; i < e->place_count && !changed; i++)
			changed = e->places[i].differs && e->places[i].port != PORT_ANY &&
				slotword_port(own, sizeof(own), *words,
					endpoint_port(&e->places[i].socket.at));
		if (option != NULL && changed)
			add_option(w, option, own);
		else if (option == NULL)
			add(w, changed ? own : *words);
	}
}

static void make(const struct exam *e, struct buffer *w)
{
	add(w, "nclust");
	add_option(w, "-n", exam_copies_work(e) ? "auto" : "1");
	if (exam_is_alone(e)) {
		add_option(w, "--surge", "0");
		add_option(w, "--max-unavailable", "1");
	}
	add_addresses(e, w);
	if (e->takes_passed && e->way == WAY_STDIN)
		add_option(w, "--pass", "stdin");
	else if (e->takes_passed && e->way == WAY_NO_PID)
		add(w, "--listen-pid=no");
	/* the first of all would be taken as ready too early */
	if (e->sign == SIGN_NOTIFY)
		add_option(w, "--ready", "notify");
	else if (e->sign == SIGN_LISTEN && e->slow)
		add_option(w, "--ready", "listen");
	if (e->other.ended && e->other.request == REQUEST_ANSWERED)
		add_option(w, "--stop-signal", e->other.signal == SIGQUIT ? "QUIT" : "INT");
	add_own_ports(e, environ, "--env", w);
	add(w, "--");
	add_own_ports(e, e->command, NULL, w);
}

bool doctor_command_line(const struct exam *e, struct buffer *out)
{
	scoped_buffer w = {0};

	if (e->life == LIFE_ENDED)
		return false;
	make(e, &w);
	for (size_t at = 0; at < w.len; at += strlen(w.data + at) + 1) {
		if (at > 0)
			(void)buffer_append(out, " ", 1);
		(void)value_quote_shell(out, w.data + at);
	}
	(void)buffer_append(out, "\n", 1);
	out->failed |= w.failed;
	return true;
}

/* ---- JSON ---- */

static void put_sockets(const struct exam *e, struct json_writer *w)
{
	static const char *const hows[] = {
		[HOW_PASSED] = "passed", [HOW_BOUND] = "taken over", [HOW_OWN] = "own"};
	static const char *const shares[] = {[SHARE_UNKNOWN] = NULL,
		[SHARE_SAME] = "same",
		[SHARE_SPREAD] = "one each",
		[SHARE_STOLEN] = "stolen",
		[SHARE_OTHER] = "none",
		[SHARE_PRIVATE] = "private"};

	json_key(w, "sockets");
	json_open_array(w);
	for (size_t i = 0; i < e->place_count; i++) {
		const struct exam_place *p = &e->places[i];

		json_open_object(w);
		json_put_text(w, "address", p->text);
		json_put_text(w, "how", hows[p->how]);
		json_put_bool(w, "named", p->named);
		json_put_text(w, "options", p->options);
		json_put_text(w, "shared", shares[p->share]);
		json_close_object(w);
	}
	json_close_array(w);
}

static void put_ready(const struct exam *e, struct json_writer *w)
{
	static const char *const signs[] = {[SIGN_NONE] = NULL,
		[SIGN_ALIVE] = "alive",
		[SIGN_LISTEN] = "listen",
		[SIGN_NOTIFY] = "notify"};

	json_key(w, "ready");
	if (e->life != LIFE_SERVING) {
		json_nil(w);
		return;
	}
	json_open_object(w);
	json_put_text(w, "sign", signs[e->sign]);
	json_put_real(w, "after", e->ready_after, 3);
	json_close_object(w);
}

static void put_stop(struct json_writer *w, const char *key, const struct exam_stop *s)
{
	static const char *const requests[] = {[REQUEST_UNTRIED] = NULL,
		[REQUEST_UNHEARD] = NULL,
		[REQUEST_NO_HTTP] = "no HTTP",
		[REQUEST_ANSWERED] = "answered",
		[REQUEST_LOST] = "lost",
		[REQUEST_FORGOTTEN] = "forgotten"};
	char name[16];

	json_key(w, key);
	if (!s->tried) {
		json_nil(w);
		return;
	}
	json_open_object(w);
	json_put_text(w, "signal", text_signal_name(name, s->signal));
	json_put_bool(w, "ended", s->ended);
	json_put_text(w, "exit", s->exit);
	json_put_real(w, "after", s->after > 0 ? s->after : 0, 3);
	json_put_text(w, "request", requests[s->request]);
	json_close_object(w);
}

static void put_command_line(const struct exam *e, struct json_writer *w)
{
	scoped_buffer words = {0};

	json_key(w, "run");
	if (e->life == LIFE_ENDED) {
		json_nil(w);
		return;
	}
	make(e, &words);
	json_open_array(w);
	for (size_t at = 0; at < words.len; at += strlen(words.data + at) + 1)
		json_text(w, words.data + at);
	json_close_array(w);
}

void doctor_encode(const struct exam *e, const struct facts *f, struct buffer *out)
{
	struct json_writer w;

	json_begin(&w, out);
	json_open_object(&w);
	json_put_bool(&w, "ok", exam_copies_work(e));
	facts_put(f, &w);
	put_sockets(e, &w);
	put_ready(e, &w);
	json_key(&w, "threads");
	json_open_object(&w);
	json_put_int(&w, "count", e->threads);
	json_put_int(&w, "computing", e->computing);
	json_put_int(&w, "cpus", e->cpus);
	json_close_object(&w);
	put_stop(&w, "stop", &e->quiet);
	put_stop(&w, "stop_in_request", &e->busy);
	put_command_line(e, &w);
	json_close_object(&w);
}
