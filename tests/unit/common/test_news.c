/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/trouble.h"
#include "supervisor/control/outcomes.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* What is told of, in which words and which order, and what is remembered of it. */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"drain = off\n"

static char heard[16 * 1024];
static char last_json[16 * 1024];
static const struct service *heard_of;
static bool captured; /* there is a logger, which answers later */

/* All that is told. */
REPLACED(void, control_on_published)
(struct supervisor *sup, struct service *service, const struct report *report, const char *json,
	const char *sentence)
{
	(void)sup;
	(void)report;
	heard_of = service;
	snprintf(last_json, sizeof(last_json), "%s", json);
	if (strlen(heard) + strlen(sentence) + 2 > sizeof(heard))
		heard[0] = '\0';
	strcat(strcat(heard, sentence), "\n");
}

ROOM_HEARS("news")

REPLACED(bool, capture_ask_last)(const struct child *child)
{
	(void)child;
	return captured;
}

static struct service *web;

static void begin(void)
{
	heard[0] = '\0';
	captured = false;
	web = room_web(WEB);
}

/* Its output is captured from now on. */
static struct child *capture(uint32_t slot)
{
	struct child *c = room_child(web, slot);

	captured = true;
	c->output[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return c;
}

static unsigned place_of(const char *piece)
{
	const char *at = strstr(heard, piece);

	ck_assert_msg(at != NULL, "'%s' was not told:\n%s", piece, heard);
	return (unsigned)(at - heard);
}

FIXTURE(begin, room_end)

TEST(an_end_waits_for_the_last_output_and_what_comes_after_waits_too)
{
	struct child *c = capture(0);
	uint64_t serial = c->serial;

	room_exits(c, 1);
	room_tell(room_child(web, 1), EVENT_READY);
	ck_assert_ptr_null(strstr(heard, "exit 1"));
	ck_assert_ptr_null(strstr(heard, "ready"));
	ck_assert(news_pending(&room));
	news_last_output(&room, serial, "panic: no config", false, false);
	ck_assert(!news_pending(&room));
	(void)place_of("last output: panic: no config");
	ck_assert_uint_lt(place_of("panic"), place_of("web.1: worker"));
}

TEST(an_answer_that_comes_too_late_is_for_nobody)
{
	struct child *c = capture(0);
	uint64_t serial = c->serial;

	room_exits(c, 1);
	room_pass(6 * SECOND);
	news_last_output(&room, serial, "panic", false, false);
	ck_assert_ptr_null(strstr(heard, "panic"));
}

/* It fails between the start of a worker in vain and the report of that. */
TEST(the_cause_of_an_exit_is_not_that_of_a_rollout_that_fails_meanwhile)
{
	const struct event roll = {.slot = SLOT_ALL};
	const struct report report = {
		.kind = REPORT_EXITED,
		.ending = {.kind = ENDING_SPAWN, .code = EAGAIN},
	};
	char waits[] = "a lock";
	struct error err;

	for (uint32_t slot = 0; slot < 2; slot++)
		room_tell(room_child(web, slot), EVENT_READY);
	ck_assert_int_eq(service_roll(web, &roll, &err), 0);
	room_tick(web);
	room_child(web, 0)->life.waits = waits; /* intercept frees it, which does not hear here */
	news_expect(&room, "no process can be made", 0);
	room_pass(61 * SECOND);
	(void)place_of("waits for a lock");
	news_on_report(web, &report);
	(void)place_of("no process can be made");
}

TEST(the_history_has_the_latest_of_it)
{
	struct linering_text t;
	unsigned lines = 0;

	news_say(&room, LOG_NOTE, "reloaded", "the first of all");
	for (int i = 0; i < 1000; i++)
		news_say_of(web, LOG_NOTE, "listening",
			"number %d, with as many words as such a sentence has, "
			"that is a hundred letters or so, and %d",
			i, 4000 + i);
	ck_assert_int_eq(news_history(&room, &t), 0);
	for (size_t at = 0, len; at < t.len; at += len, lines++) {
		len = (size_t)((const char *)memchr(t.text + at, '\n', t.len - at) + 1 -
			(t.text + at));
		ck_assert(news_is_whole(t.text + at, len - 1));
		ck_assert(!news_is_whole(t.text + at, len - 2));
	}
	ck_assert_uint_ge(lines, 400);
	ck_assert_ptr_null(memmem(t.text, t.len, "the first", 9));
	ck_assert_ptr_nonnull(memmem(t.text, t.len, "number 999", 10));
	linering_drop(&t);
}

TEST(a_killed_ones_history_is_gone_on_with)
{
	struct linering_text t;
	struct linering before;
	struct error err;

	ck_assert_int_eq(linering_make(&before, &linering_events, "test", &err), 0);
	ck_assert_int_eq(linering_add(&before, "{\"time\":1,\"a\":2}", 16), 0);
	ck_assert(!news_take_history(&room, -1));
	ck_assert(!news_take_history(&room, STDOUT_FILENO));
	/* what has happened here is not given up for it */
	ck_assert(!news_take_history(&room, before.fd));
	news_on_shutdown(&room);
	ck_assert_int_eq(news_init(&room, &err), 0);
	ck_assert(news_take_history(&room, before.fd));
	news_say(&room, LOG_NOTE, "reloaded", "and on");
	ck_assert_int_eq(news_history(&room, &t), 0);
	ck_assert_int_eq(strncmp(t.text, "{\"time\":1,\"a\":2}\n{", 18), 0);
	ck_assert_ptr_nonnull(memmem(t.text, t.len, "and on", 6));
	linering_drop(&t);
}

TEST(without_a_history_it_is_said_once)
{
	const struct rlimit none = {128 * 1024 - 1, RLIM_INFINITY};
	struct linering_text t;
	struct rlimit all;
	struct error err;

	news_on_shutdown(&room);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &all), 0);
	ck_assert_int_eq(news_init(&room, &err), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	news_say(&room, LOG_NOTE, "reloaded", "one");
	news_say(&room, LOG_NOTE, "reloaded", "two");
	ck_assert_ptr_nonnull(strstr(heard, "two"));
	ck_assert_int_eq(news_history(&room, &t), 0);
	ck_assert_uint_eq(t.len, 0);
	ck_assert(room_logged("events are not kept"));
	ck_assert_ptr_null(
		strstr(strstr(room_log(), "events are not kept") + 1, "events are not kept"));
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
}

/* ---- each kind: a sentence and an object from one record ---- */

static json_t *object; /* of the last event */

static double real(const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static const char *text_of(const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

static bool is_kind(const char *name)
{
	for (size_t i = 0; i < event_kind_count; i++)
		if (strcmp(event_kinds[i], name) == 0)
			return true;
	return false;
}

static void report(struct report r)
{
	heard[0] = '\0';
	news_on_report(web, &r);
	json_decref(object);
	object = json_loads(last_json, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_msg(object != NULL, "no JSON: %s", last_json);
	heard[strcspn(heard, "\n")] = '\0';
	ck_assert_str_eq(text_of("text"), heard);
	ck_assert_msg(is_kind(text_of("event")), "'%s' is not in the table", text_of("event"));
	ck_assert_str_eq(text_of("cluster"), "web");
	ck_assert(real("time") > 0);
	ck_assert_str_ne(text_of("level"), "");
}

static struct report of(enum report_kind kind)
{
	return (struct report){.kind = kind,
		.slot = 1,
		.worker = 7,
		.pid = 4242,
		.generation = 3,
		.rollout = 2,
		.count = 2,
		.signal = SIGKILL,
		.why = WHY_CHECK,
		.age = 1500 * MSEC,
		.ready_for = NSEC_NEVER,
		.wait = NSEC_NEVER,
		.span = 2 * SECOND,
		.took = NSEC_NEVER};
}

TEST(each_kind_has_a_sentence_and_the_same_as_an_object)
{
	for (int kind = 0; kind < REPORT_ENDED; kind++) { /* of which the state tells */
		report(of((enum report_kind)kind));
		ck_assert_ptr_eq(strstr(heard, "web"), heard);
		if (heard[3] != '.')
			continue;
		ck_assert_int_eq((int)real("slot"), 1);
		ck_assert_int_eq((int)real("pid"), 4242);
	}
}

TEST(a_step_of_a_range_says_why)
{
	struct report r = of(REPORT_SCALED);

	r.measure = 70;
	for (int why = 0; why < SCALE_WHYS; why++) {
		r.scale_why = (enum scale_why)why;
		report(r);
		ck_assert_str_eq(text_of("reason"), scale_why_name(r.scale_why));
		ck_assert(json_is_integer(json_object_get(object, "count")));
		ck_assert_double_eq(real("measure"), 70);
	}
	r.scale_why = SCALE_CPU;
	report(r);
	ck_assert_str_eq(heard,
		"web: scaled to 2 workers: they are busy (each used 70 % of a "
		"CPU)");
}

TEST(one_that_is_unfit_again_is_replaced_later)
{
	struct report r = of(REPORT_UNWELL);

	r.wait = 0;
	report(r);
	ck_assert_str_eq(heard, "web.1: worker 4242 fails its checks: replacing it");
	r.wait = 12 * SECOND;
	report(r);
	ck_assert_str_eq(heard, "web.1: worker 4242 fails its checks: replacing it in 12 s");
	ck_assert_double_eq(real("replaced_in"), 12);
}

TEST(how_long_it_took_is_a_number)
{
	struct report r = of(REPORT_READY);

	report(r);
	ck_assert_double_eq_tol(real("after"), 1.5, 0.001);
	ck_assert_ptr_null(json_object_get(object, "took"));
	r = of(REPORT_ROLLOUT_DONE);
	r.took = 2500 * MSEC;
	report(r);
	ck_assert_double_eq_tol(real("took"), 2.5, 0.001);
	r.kind = REPORT_ROLLOUT_FAILED;
	report(r);
	ck_assert_double_eq_tol(real("took"), 2.5, 0.001);
}

static const struct {
	const char *word;
	enum why why;
	struct ending ending;
	enum counted_exit counted;
} whys[] = {
	{"crash", WHY_ITSELF, {.kind = ENDING_EXIT, .code = 1}, COUNTED_FAILURE},
	{"crash", WHY_ITSELF, {.kind = ENDING_SIGNAL, .code = SIGSEGV}, COUNTED_SIGNAL},
	{"done", WHY_ITSELF, {.kind = ENDING_EXIT}, COUNTED_SUCCESS},
	{"out-of-memory", WHY_ITSELF,
		{.kind = ENDING_SIGNAL, .code = SIGKILL, .out_of_memory = true},
		COUNTED_OUT_OF_MEMORY},
	{"not-started", WHY_ITSELF, {.kind = ENDING_SPAWN}, COUNTED_SPAWN},
	{"asked", WHY_STOP, {.kind = ENDING_SIGNAL, .code = SIGTERM}, COUNTED_STOPPED},
	{"replaced", WHY_ROLL, {.kind = ENDING_EXIT}, COUNTED_REPLACED},
	{"start-timeout", WHY_START_TIMEOUT, {.kind = ENDING_EXIT}, COUNTED_START_TIMEOUT},
	{"rollout-failed", WHY_ROLL_FAILED, {.kind = ENDING_EXIT}, COUNTED_REPLACED},
	{"watchdog", WHY_WATCHDOG, {.kind = ENDING_EXIT}, COUNTED_UNHEALTHY},
	{"stall", WHY_STALL, {.kind = ENDING_EXIT}, COUNTED_UNHEALTHY},
	{"unhealthy", WHY_CHECK, {.kind = ENDING_EXIT}, COUNTED_UNHEALTHY},
	{"memory", WHY_MEMORY, {.kind = ENDING_EXIT}, COUNTED_OUTGROWN},
	{"age", WHY_AGE, {.kind = ENDING_EXIT}, COUNTED_OUTGROWN},
	{"requests", WHY_SERVED, {.kind = ENDING_EXIT}, COUNTED_OUTGROWN},
	{"hang", WHY_REQUEST, {.kind = ENDING_EXIT}, COUNTED_UNHEALTHY},
};

TEST_LOOP(an_exit_has_its_reason_as_a_word_and_is_counted, 0, sizeof(whys) / sizeof(*whys))
{
	struct report r = of(REPORT_EXITED);

	r.why = whys[_i].why;
	r.ending = whys[_i].ending;
	r.wait = 400 * MSEC;
	report(r);
	ck_assert_str_eq(text_of("why"), whys[_i].word);
	ck_assert_uint_eq(web->counters.exits[whys[_i].counted], 1);
	ck_assert_double_eq_tol(real("next_try"), 0.4, 0.001);
	ck_assert_ptr_nonnull(strstr(heard, "next try in 0.4 s"));
}

TEST(what_is_no_report_says_whom_it_is_about)
{
	const struct news_number numbers[] = {{"freezes", 2}};
	struct child *c = room_child(web, 1);

	heard_of = NULL;
	news_say_numbers(c, LOG_NOTE, "drained", numbers, 1, "drained so");
	ck_assert_ptr_eq(heard_of, web);
	ck_assert_ptr_nonnull(strstr(heard, "web.1: drained so\n"));
	ck_assert_ptr_nonnull(strstr(last_json, "\"cluster\":\"web\",\"slot\":1,\"worker\":"));
	ck_assert_ptr_nonnull(strstr(last_json, "\"freezes\":2"));
	news_say_slot(web, 9, LOG_NOTE, "ended-meanwhile", "so");
	ck_assert_ptr_nonnull(strstr(heard, "web.9: so\n"));
	ck_assert_ptr_nonnull(strstr(last_json, "\"slot\":9,"));
	news_say_of(web, LOG_NOTE, "listening", "so");
	ck_assert_ptr_nonnull(strstr(heard, "web: so\n"));
	ck_assert_ptr_null(strstr(last_json, "slot"));
	news_say(&room, LOG_NOTE, "reloaded", "all");
	ck_assert_ptr_null(heard_of);
	ck_assert_ptr_null(strstr(last_json, "cluster"));
}

TEST(what_went_wrong_is_kept_for_the_status)
{
	struct buffer out;
	struct json_writer w;
	struct child *c = room_child(web, 0);

	trouble_set_cause(c, "it could not bind");
	room_exits(c, 1);
	buffer_init(&out, 4096);
	json_begin(&w, &out);
	json_open_object(&w);
	trouble_put_slot(&w, web, 0, room.launch.started);
	json_close_object(&w);
	ck_assert_ptr_nonnull(strstr(buffer_text(&out), "exit 1"));
	ck_assert_ptr_nonnull(strstr(buffer_text(&out), "it could not bind"));
	buffer_clear(&out);
	json_begin(&w, &out);
	json_open_object(&w);
	trouble_put(&w, web, room.launch.started);
	json_close_object(&w);
	ck_assert_ptr_nonnull(strstr(buffer_text(&out), "not ready at the first try"));
	buffer_fini(&out);
}

TEST(each_slot_has_its_own_last_trouble)
{
	uint64_t worker[2];

	for (uint32_t slot = 2; slot-- > 0;) { /* the later one first */
		worker[slot] = room_child(web, slot)->worker;
		room_exits(room_child(web, slot), 1 + (int)slot);
	}
	ck_assert_str_eq(trouble_of(web, 0, worker[0])->text, "exit 1");
	ck_assert_str_eq(trouble_of(web, 1, worker[1])->text, "exit 2");
	ck_assert_ptr_null(trouble_of(web, 1, worker[0]));
}

TEST(an_end_that_was_asked_for_is_no_trouble)
{
	struct child *c = room_child(web, 0);
	uint64_t worker = c->worker;

	room_tell(c, EVENT_READY);
	room_tell(room_child(web, 1), EVENT_READY);
	service_stop(web, false);
	room_exits(c, 0);
	ck_assert_ptr_null(trouble_of(web, 0, worker));
	(void)place_of("web.0: worker 4194305 ended");
}

static unsigned told_of(struct child *c, unsigned tries)
{
	unsigned told = 0;

	while (tries-- > 0)
		told += news_spares(c);
	return told;
}

TEST(what_a_worker_repeats_is_told_a_few_times_and_counted)
{
	struct child *c = room_child(web, 0);

	ck_assert_uint_eq(told_of(c, 100), NEWS_SPARED);
	ck_assert_uint_eq(told_of(room_child(web, 1), 5), 5);
	room_pass(59 * SECOND);
	ck_assert_uint_eq(told_of(c, 1), 0);
	room_pass(2 * SECOND);
	ck_assert_uint_eq(told_of(c, 9), NEWS_SPARED);
	(void)place_of("web.0: 93 messages about worker 4194305 left out");
}

TEST(what_was_left_out_of_one_that_ends_is_counted_before)
{
	struct child *c = room_child(web, 0);

	(void)told_of(c, NEWS_SPARED + 1);
	room_killed(c, SIGSEGV);
	ck_assert_uint_lt(place_of("web.0: 1 message about worker 4194305 left out"),
		place_of("web.0: worker 4194305 killed by SIGSEGV"));
}

TEST(of_many_starts_that_fail_one_is_logged_and_the_others_are_counted)
{
	room_fail_spawns(EAGAIN);
	room_exits(room_child(web, 0), 1);
	room_exits(room_child(web, 1), 1);
	room_pass(500 * MSEC); /* each slot tries, and is told of */
	(void)place_of("web.0: cannot execute");
	(void)place_of("web.1: cannot execute");
	ck_assert(!room_logged("web.0: cannot execute") || !room_logged("web.1: cannot execute"));
	ck_assert(room_logged("Resource temporarily unavailable"));
	ck_assert(!room_logged("more attempts to start a worker"));
	room_pass(2 * MINUTE);
	ck_assert(room_logged("more attempts to start a worker failed: "
			      "Resource temporarily unavailable"));
}

TEST(a_start_that_fails_for_another_reason_is_logged_at_once)
{
	room_fail_spawns(EAGAIN);
	room_exits(room_child(web, 0), 1);
	room_pass(10 * SECOND);
	ck_assert(!room_logged("more attempts"));
	room_fail_spawns(ETIMEDOUT);
	room_pass(20 * SECOND);
	ck_assert(room_logged("more attempts to start a worker failed: "
			      "Resource temporarily unavailable"));
	ck_assert(room_logged("web.0: cannot execute"));
	ck_assert(room_logged("does its file server answer?"));
}

TEST(starts_that_fail_for_long_are_counted_each_minute)
{
	unsigned told = 0;

	room_fail_spawns(EAGAIN);
	room_exits(room_child(web, 0), 1);
	room_pass(30 * MINUTE);
	for (const char *at = room_log(); (at = strstr(at, "more attempts")) != NULL; at++)
		told++;
	ck_assert_uint_ge(told, 15);
	ck_assert_uint_le(told, 30);
}
