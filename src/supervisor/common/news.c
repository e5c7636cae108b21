/* SPDX-License-Identifier: MIT */
#include "supervisor/common/news.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/look/look.h"
#include "os/place/sharedmem.h"
#include "protocol/json.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/part.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct history {
	struct linering ring; /* its file is made for the first event */
	const char *before;   /* lines in the state of an earlier release */
	size_t before_len;
	struct buffer scratch;
	char explain[640]; /* the cause of the next exit that is reported */
	uint64_t expect;   /* serial of the child that has just ended */
};

/* ---- words ---- */

const char *news_ending_text(char to[64], const struct ending *e)
{
	char name[16];

	switch (e->kind) {
	case ENDING_EXIT:
		snprintf(to, 64, "exit %d", e->code);
		break;
	case ENDING_SIGNAL:
		text_signal_name(name, e->code);
		if (e->out_of_memory)
			snprintf(to, 64, "%s, out of memory", name);
		else
			snprintf(to, 64, "killed by %s%s", name,
				e->core_dumped ? " (core dumped)" : "");
		break;
	case ENDING_SPAWN:
		snprintf(to, 64, "could not be started");
		break;
	case ENDING_UNKNOWN:
	case ENDING_NONE:
		snprintf(to, 64, "unknown");
		break;
	}
	return to;
}

bool news_is_failure(const struct report *r)
{
	return r->why == WHY_ITSELF || r->why == WHY_START_TIMEOUT || r->why == WHY_WATCHDOG ||
		r->why == WHY_STALL || r->why == WHY_CHECK || r->why == WHY_REQUEST;
}

static void say_next_try(struct buffer *out, const struct report *r)
{
	char age[16];

	if (r->wait == NSEC_NEVER && (r->why != WHY_ITSELF || r->ending.permanent))
		return;
	if (r->wait == NSEC_NEVER)
		buffer_string(out, ", not started again");
	else if (r->wait == 0)
		buffer_string(out, ", replaced at once");
	else
		buffer_printf(out, ", next try in %s", text_age(age, r->wait));
}

static void say_last(struct buffer *out, const struct news *n)
{
	if (*n->last != '\0')
		buffer_printf(out, "; last output: %s", n->last);
}

static const char *unwell_text(enum why why)
{
	switch (why) {
	case WHY_WATCHDOG:
		return "sent no WATCHDOG=1 in time";
	case WHY_STALL:
		return "makes no progress (stall)";
	case WHY_CHECK:
		return "fails its checks";
	case WHY_REQUEST:
		return "exceeds 'request-timeout'";
	case WHY_MEMORY:
		return "uses more than 'max-memory'";
	case WHY_AGE:
		return "is older than 'max-age'";
	case WHY_SERVED:
		return "has had 'max-requests'";
	case WHY_SOCKET:
		return "has a socket that clients do not reach";
	default:
		return "is not well";
	}
}

static void say_unkillable(struct buffer *out, const struct news *n)
{
	buffer_printf(out, "worker %d is still there after SIGKILL: unkillable%s%s",
		(int)n->report.pid, *n->explain != '\0' ? ", because " : "", n->explain);
}

static void say_exited(struct buffer *out, const struct news *n)
{
	static const char *const why[] = {
		[WHY_ITSELF] = "",
		[WHY_STOP] = " (asked to stop)",
		[WHY_ROLL] = " (replaced)",
		[WHY_START_TIMEOUT] = " (not ready in time)",
		[WHY_ROLL_FAILED] = " (restart failed)",
		[WHY_WATCHDOG] = " (sent no WATCHDOG=1)",
		[WHY_STALL] = " (made no progress)",
		[WHY_CHECK] = " (its checks failed)",
		[WHY_MEMORY] = " (used too much memory)",
		[WHY_AGE] = " (was too old)",
		[WHY_QUEUE] = "",
		[WHY_REQUEST] = " (a request hung)",
		[WHY_BEFORE] = "",
		[WHY_SERVED] = " (max-requests)",
		[WHY_SOCKET] = " (its socket was lost)",
	};
	const struct report *r = &n->report;
	char text[64];
	char age[16];

	if (r->ending.kind == ENDING_SPAWN)
		buffer_string(out, *n->explain != '\0' ? n->explain : "could not be started");
	else
		buffer_printf(out, "worker %d %s%s after %s%s", (int)r->pid,
			r->ending.kind == ENDING_EXIT ? "ended with " : "",
			news_ending_text(text, &r->ending), text_age(age, r->age), why[r->why]);
	say_next_try(out, r);
	if (r->ending.kind != ENDING_SPAWN &&
		(r->why == WHY_ITSELF || r->why == WHY_START_TIMEOUT) && *n->explain != '\0')
		buffer_printf(out, "; %s", n->explain);
	if (news_is_failure(r))
		say_last(out, n);
	if (n->bind_hint)
		buffer_string(out, "; " TROUBLE_BINDS_ITSELF);
}

/* Where and why: "web.0: exit 1 after 0.3 s; last output: ...". */
static void say_rollout_cause(struct buffer *out, const struct news *n)
{
	const struct report *r = &n->report;
	char text[64];
	char age[16];

	if (r->slot != SLOT_ALL)
		buffer_printf(out, "%s.%" PRIu32 ": ", n->cluster, r->slot);
	if (r->why == WHY_START_TIMEOUT) {
		buffer_printf(out, "%s%snot ready after %s", n->explain,
			*n->explain != '\0' ? ", " : "", text_age(age, r->age));
		say_last(out, n);
		return;
	}
	if ((r->ending.kind == ENDING_SPAWN || r->why == WHY_BEFORE) && *n->explain != '\0')
		buffer_string(out, n->explain);
	else if (r->worker != 0 && r->ending.kind == ENDING_NONE)
		buffer_printf(out, "its new worker %d %s", (int)r->pid, unwell_text(r->why));
	else if (r->ending.kind == ENDING_NONE)
		buffer_string(out, "interrupted, the cluster stops");
	else
		buffer_printf(out, "%s after %s", news_ending_text(text, &r->ending),
			text_age(age, r->age));
	if (r->ending.kind != ENDING_SPAWN && r->why != WHY_BEFORE && *n->explain != '\0')
		buffer_printf(out, "; %s", n->explain);
	say_last(out, n);
}

/* Which workers serve after a failure. */
static void say_who_serves(struct buffer *out, const struct report *r)
{
	if (r->others > 0)
		buffer_string(out, "; the old workers keep serving");
	if (r->count > 0 && r->back)
		buffer_printf(out, "; replaced again by the previous settings: %u", r->count);
	else if (r->others > 0)
		return;
	else if (r->count > 0)
		buffer_printf(out, "; workers ready: %u new", r->count);
	else
		buffer_string(out, "; no worker is ready");
}

static void say_rollout_done(struct buffer *out, const struct news *n)
{
	const struct report *r = &n->report;
	char age[16];

	buffer_printf(out, "rollout %u done: %u worker%s replaced", r->rollout, r->count,
		r->count == 1 ? "" : "s");
	if (r->took != NSEC_NEVER)
		buffer_printf(out, " in %s", text_age(age, r->took));
	buffer_printf(out, " (generation %u)", r->generation);
	if (*n->explain != '\0')
		buffer_printf(out, ", in '%s'", n->explain);
	if (n->asked_again > 0)
		buffer_printf(out,
			"; %u kept connection%s closed between two requests, "
			"the second of which clients repeat",
			n->asked_again, n->asked_again == 1 ? " was" : "s were");
}

static void say_rollout_failed(struct buffer *out, const struct news *n)
{
	const struct report *r = &n->report;
	char age[16];

	if (r->span != NSEC_NEVER) {
		buffer_printf(out, "restart failed %s after it was done: %s; %s",
			text_age(age, r->span), n->explain,
			r->back ? "going back to the previous settings"
				: "the settings had not changed, so there is "
				  "nothing to go back to");
		return;
	}
	buffer_printf(out, "restart failed: %s", n->explain);
	if (r->why != WHY_STOP)
		say_who_serves(out, r);
	if (r->beside && !r->was_ready && r->ending.kind != ENDING_SPAWN)
		buffer_string(out, "; " TROUBLE_ONE_COPY);
}

static void say_no_spare(struct buffer *out, const struct news *n)
{
	buffer_printf(out,
		"no spares are held: worker %d does not wait in listen(2) or, "
		"for UDP, bind(2), such as with 'intercept = off' or a socket "
		"that listens already (spare)",
		(int)n->report.pid);
}

static void say_scaled(struct buffer *out, const struct news *n)
{
	static const struct {
		const char *why;
		const char *measure; /* the words after the number; or NULL */
	} words[SCALE_WHYS] = {
		[SCALE_BY_HAND] = {"", NULL},
		[SCALE_QUEUE] = {": connections wait to be accepted (", ")"},
		[SCALE_CPU] = {": they are busy (each used ", " % of a CPU)"},
		[SCALE_CALM] = {": these are enough (each used ", " % of a CPU)"},
		[SCALE_IDLE] = {": no client for ", " s (idle-after)"},
		[SCALE_CLIENT] = {": a client waits", NULL},
		[SCALE_LIMITS] = {": 'workers' has changed", NULL},
		[SCALE_KEPT] = {" (unchanged)", NULL},
		[SCALE_CPUS] = {": the CPUs to use have changed (now ", ")"},
	};
	const struct report *r = &n->report;

	buffer_printf(out, "scaled to %u worker%s%s", r->count, r->count == 1 ? "" : "s",
		words[r->scale_why].why);
	if (words[r->scale_why].measure != NULL)
		buffer_printf(out, "%u%s", r->measure, words[r->scale_why].measure);
}

/* What a report is called, how it is logged, and its sentence without "web.2: ": `say`, or else
 * `text`, or `one` if its count is 1.  In a text stand
 *   %p its worker's pid      %a its age          %s a span of time
 *   %c its count             %o of how many
 *   %g the generation        %r the rollout
 *   %w what is not well      %S the signal       %t the cluster's state
 *   %i the worker's id      %W when it is replaced */
static const struct kind {
	const char *name;
	enum log_level level;
	bool slot; /* the report is about a slot */
	const char *text;
	const char *one;
	void (*say)(struct buffer *out, const struct news *n);
} kinds[] = {
	[REPORT_STARTED] = {"started", LOG_INFO, true, .text = "started worker %p (generation %g)"},
	[REPORT_READY] = {"ready", LOG_INFO, true, .text = "worker %p ready after %a"},
	[REPORT_SPARE] = {"spare", LOG_INFO, true, .text = "worker %p ready as a spare after %a"},
	[REPORT_RELEASED] = {"takes-over", LOG_NOTE, true, .text = "spare worker %p now serves"},
	[REPORT_NO_SPARE] = {"no-spares", LOG_WARN, true, .say = say_no_spare},
	[REPORT_EXITED] = {"exited", LOG_WARN, true, .say = say_exited},
	[REPORT_DRAINING] = {"draining", LOG_INFO, true,
		.text = "draining worker %p for at most %s"},
	[REPORT_UNWELL] = {"unwell", LOG_WARN, true, .text = "worker %p %w: replacing it%W"},
	[REPORT_OUTGROWN] = {"outgrown", LOG_NOTE, true, .text = "worker %p %w: replacing it%W"},
	[REPORT_BAKING] = {"baking", LOG_NOTE, false,
		.text = "rollout %r: the first %c new workers are ready, "
			"watching them for %s",
		.one = "rollout %r: the first new worker is ready, watching it "
		       "for %s"},
	[REPORT_BAKED] = {"baked", LOG_NOTE, false,
		.text = "rollout %r: the first new workers are healthy, "
			"replacing the others",
		.one = "rollout %r: the first new worker is healthy, replacing "
		       "the others"},
	[REPORT_STOPPING] = {"stopping", LOG_DEBUG, true, .text = "stopping worker %p"},
	[REPORT_STOP_TIMEOUT] = {"stop-timeout", LOG_WARN, true,
		.text = "worker %p did not end in time, sending %S"},
	[REPORT_UNKILLABLE] = {"unkillable", LOG_ERROR, true, .say = say_unkillable},
	[REPORT_START_TIMEOUT] = {"start-timeout", LOG_ERROR, true,
		.text = "worker %p was not ready after %a (start-timeout), "
			"stopping it"},
	[REPORT_SLOT_ENDED] = {"slot-ended", LOG_NOTE, true, .text = "has ended for good"},
	[REPORT_ALL_READY] = {"all-ready", LOG_NOTE, false, .text = "%c of %c workers ready"},
	[REPORT_SCALED] = {"scaled", LOG_NOTE, false, .say = say_scaled},
	[REPORT_GAVE_UP] = {"gave-up", LOG_ERROR, false,
		.text = "gave up after %c deaths within %s", .one = "gave up at the first death"},
	[REPORT_ROLLOUT_STARTED] = {"rollout-started", LOG_NOTE, false,
		.text = "rollout %r to generation %g: replacing %c workers",
		.one = "rollout %r to generation %g: replacing 1 worker"},
	[REPORT_ROLLOUT_STEP] = {"rollout-step", LOG_INFO, false,
		.text = "rollout %r: %c of %o replaced"},
	[REPORT_ROLLOUT_DONE] = {"rollout-done", LOG_NOTE, false, .say = say_rollout_done},
	[REPORT_ROLLOUT_FAILED] = {"rollout-failed", LOG_ERROR, false, .say = say_rollout_failed},
	[REPORT_ROLLOUT_SUPERSEDED] = {"rollout-superseded", LOG_NOTE, false,
		.text = "rollout %r superseded by a newer one"},
	[REPORT_STATE] = {"state", LOG_DEBUG, false, .text = "is %t"},
	[REPORT_SURPRISE] = {"surprise", LOG_ERROR, false,
		.text = "unexpected event for worker %i in its state: please "
			"report this"},
};

static enum log_level level_of(const struct report *r)
{
	if (r->kind == REPORT_EXITED && !news_is_failure(r))
		return LOG_INFO;
	return kinds[r->kind].level;
}

static void say_fact(struct buffer *out, const struct report *r, char which)
{
	char text[24];

	switch (which) {
	case 'a':
		buffer_string(out, text_age(text, r->age));
		break;
	case 's':
		buffer_string(out, text_duration(text, r->span));
		break;
	case 'S':
		buffer_string(out, text_signal_name(text, r->signal));
		break;
	case 't':
		buffer_string(out, cluster_state_name(r->state));
		break;
	case 'w':
		buffer_string(out, unwell_text(r->why));
		break;
	case 'W':
		if (r->wait != NSEC_NEVER && r->wait > 0)
			buffer_printf(out, " in %s", text_age(text, r->wait));
		break;
	default:
		buffer_number(out,
			which == 'p'           ? (uint64_t)r->pid
				: which == 'c' ? r->count
				: which == 'o' ? r->others
				: which == 'g' ? r->generation
				: which == 'r' ? r->rollout
					       : r->worker,
			10);
		break;
	}
}

static void say_news(struct buffer *out, const struct news *n)
{
	const struct report *r = &n->report;
	const struct kind *k = &kinds[r->kind];
	const char *at = r->count == 1 && k->one != NULL ? k->one : k->text;

	if (k->say != NULL) {
		k->say(out, n);
		return;
	}
	while (*at != '\0') {
		size_t plain = strcspn(at, "%");

		buffer_append(out, at, plain);
		at += plain;
		if (*at == '\0')
			break;
		say_fact(out, r, at[1]);
		at += 2;
	}
}

/* ---- the same facts as fields ---- */

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_NOTE] = "note",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static void begin_record(
	struct json_writer *w, struct buffer *out, const char *event, enum log_level level)
{
	json_begin(w, out);
	json_open_object(w);
	json_put_real(w, "time", clock_wall(), 3);
	json_put_text(w, "event", event);
	json_put_text(w, "level", level_names[level]);
}

void news_begin(struct json_writer *w, struct buffer *out, const char *event)
{
	begin_record(w, out, event, LOG_INFO);
}

/* Why a worker has exited, for machines. */
static const char *why_word(const struct service *service, const struct report *r)
{
	static const char *const words[] = {
		[WHY_ITSELF] = "crash",
		[WHY_STOP] = "asked",
		[WHY_ROLL] = "replaced",
		[WHY_START_TIMEOUT] = "start-timeout",
		[WHY_ROLL_FAILED] = "rollout-failed",
		[WHY_WATCHDOG] = "watchdog",
		[WHY_STALL] = "stall",
		[WHY_CHECK] = "unhealthy",
		[WHY_MEMORY] = "memory",
		[WHY_AGE] = "age",
		[WHY_QUEUE] = "asked",
		[WHY_REQUEST] = "hang",
		[WHY_BEFORE] = "before",
		[WHY_SERVED] = "requests",
		[WHY_SOCKET] = "socket",
	};
	const struct ending *e = &r->ending;

	if (e->kind == ENDING_SPAWN)
		return "not-started";
	if (e->out_of_memory)
		return "out-of-memory";
	if (r->why == WHY_ITSELF && e->kind == ENDING_EXIT &&
		(service == NULL ? e->code == 0
				 : cluster_is_success(
					   cluster_settings(service->core), (unsigned)e->code)))
		return "done";
	return words[r->why];
}

static void put_fields(struct json_writer *w, const struct service *service, const struct news *n)
{
	const struct report *r = &n->report;
	char text[64];

	json_put_text(w, "cluster", n->cluster);
	if (kinds[r->kind].slot || r->kind == REPORT_ROLLOUT_STEP ||
		(r->kind == REPORT_ROLLOUT_FAILED && r->slot != SLOT_ALL))
		json_put_int(w, "slot", r->slot);
	if (kinds[r->kind].slot && r->worker != 0) {
		json_put_int(w, "worker", (int64_t)r->worker);
		json_put_int(w, "pid", r->pid);
	}
	if (r->generation != 0)
		json_put_int(w, "generation", r->generation);
	if (r->rollout != 0)
		json_put_int(w, "rollout", r->rollout);
	if (r->count != 0 || r->kind == REPORT_SCALED)
		json_put_int(w, "count", r->count);
	if (r->ending.kind != ENDING_NONE) {
		json_put_text(w, "exit", news_ending_text(text, &r->ending));
		json_put_int(w, "code", r->ending.code);
		json_put_real(w, "after", nsec_seconds(r->age), 3);
	}
	if (r->kind == REPORT_READY)
		json_put_real(w, "after", nsec_seconds(r->age), 3);
	if (r->took != NSEC_NEVER)
		json_put_real(w, "took", nsec_seconds(r->took), 3);
	if (r->kind == REPORT_EXITED) {
		json_put_text(w, "why", why_word(service, r));
		json_key(w, "next_try");
		if (r->wait == NSEC_NEVER)
			json_nil(w);
		else
			json_decimal(w, nsec_seconds(r->wait), 3);
	}
	if ((r->kind == REPORT_UNWELL || r->kind == REPORT_OUTGROWN) && r->wait != NSEC_NEVER)
		json_put_real(w, "replaced_in", nsec_seconds(r->wait), 3);
	if (*n->explain != '\0')
		json_put_text(
			w, r->kind == REPORT_ROLLOUT_DONE ? "directory" : "cause", n->explain);
	if (r->kind == REPORT_ROLLOUT_DONE)
		json_put_int(w, "asked_again", n->asked_again);
	if (*n->last != '\0')
		json_put_text(w, "last_output", n->last);
	if (r->kind == REPORT_SCALED) {
		json_put_text(w, "reason", scale_why_name(r->scale_why));
		json_put_int(w, "measure", r->measure);
	}
	if (r->kind == REPORT_STATE)
		json_put_text(w, "state", cluster_state_name(r->state));
}

/* ---- telling ---- */

/* Make the history, with the lines that an earlier release has left. */
static int begin_history(struct supervisor *sup, struct error *err)
{
	struct history *h = sup->news.history;
	const char *at = h->before;
	const char *next;

	h->before = NULL;
	if (linering_make(&h->ring, &linering_events, "events", err) == -1)
		return -1;
	sup->orphans.changed = true; /* so that the keeper gets it */
	while (at != NULL && h->before_len > 0 &&
		(next = memchr(at, '\n', h->before_len)) != NULL) {
		(void)linering_add(&h->ring, at, (size_t)(next - at));
		h->before_len -= (size_t)(next + 1 - at);
		at = next + 1;
	}
	return 0;
}

static void add_to_history(struct supervisor *sup, const char *line, size_t len)
{
	struct history *h = sup->news.history;
	struct error err;

	if (h->ring.fd != -1 || begin_history(sup, &err) == 0) {
		if (linering_add(&h->ring, line, len) == 0)
			return;
		error_set(&err, errno, "the history");
	}
	if (once_say(sup->said, ONCE_NO_HISTORY))
		log_warn("events are not kept for 'nclust events': %s", err.text);
}

static void give_out_event(struct supervisor *sup, struct buffer *out, struct service *service,
	const struct report *report, const char *sentence)
{
	const char *line = buffer_text(out);

	if (line == NULL || out->failed)
		return;
	add_to_history(sup, line, out->len);
	PARTS(told, sup, service, report, line, sentence);
}

/* The exit of the failed worker was published before, so news.h has its cause. */
static void explain_rollout(const struct service *service, struct news *n)
{
	const struct report *r = &n->report;
	const struct trouble_end *end = trouble_of(service, r->slot, r->worker);
	scoped_buffer text = {.limit = 2048};
	const char *said;

	if (end != NULL && end->cause != NULL && *n->explain == '\0')
		text_copy(n->explain, sizeof(n->explain), end->cause);
	if (end != NULL && end->output != NULL)
		text_copy(n->last, sizeof(n->last), end->output);
	say_rollout_cause(&text, n);
	said = buffer_text(&text);
	text_copy(n->explain, sizeof(n->explain), said != NULL ? said : "?");
}

static void explain_news(const struct service *service, struct news *n)
{
	const char *by = cluster_settings(service->core)->directory;
	const char *in = service->life.entered;
	const struct report *r = &n->report;

	if (r->kind == REPORT_ROLLOUT_FAILED)
		explain_rollout(service, n);
	else if (r->kind == REPORT_EXITED && *n->explain == '\0' && r->why != WHY_ITSELF &&
		news_is_failure(r))
		text_copy(n->explain, sizeof(n->explain),
			r->why == WHY_START_TIMEOUT ? "was not ready in time (start-timeout)"
						    : unwell_text(r->why));
	else if (r->kind == REPORT_ROLLOUT_DONE && in != NULL && by != NULL &&
		strcmp(in, by) != 0) /* the setting is a symbolic link: say where it led */
		text_copy(n->explain, sizeof(n->explain), in);
}

/* If nclust lacks something, every empty slot tries in vain to start a worker: only the first try
 * of a second is logged, and then their number (say_failed_starts()). */
static bool is_logged(struct service *s, const struct report *r)
{
	nsec_t now = clock_now();

	if (s == NULL || r->kind != REPORT_EXITED || r->ending.kind != ENDING_SPAWN ||
		r->ending.permanent)
		return true;
	if (s->life.start_fails == 0 && once_each(&s->life.fail_at, now, SECOND))
		return true;
	s->life.start_fails++;
	s->life.fail_error = r->ending.code;
	timer_arm_within(s->sup->loop, &s->sup->news.spares, s->life.fail_at + SECOND - now);
	return false;
}

static void publish_news(struct supervisor *sup, struct news *n)
{
	struct service *service = service_named(sup, n->cluster);
	struct history *h = sup->news.history;
	const struct report *r = &n->report;
	enum log_level level = level_of(r);
	struct json_writer w;
	scoped_buffer text = {.limit = 4096};
	const char *sentence;

	if (service != NULL)
		explain_news(service, n);
	buffer_string(&text, n->cluster);
	if (kinds[r->kind].slot) {
		buffer_string(&text, ".");
		buffer_number(&text, r->slot, 10);
	}
	buffer_string(&text, ": ");
	say_news(&text, n);
	sentence = buffer_text(&text);
	if (sentence != NULL) {
		if (is_logged(service, r))
			log_line(level, "%s", sentence);
		buffer_clear(&h->scratch);
		begin_record(&w, &h->scratch, kinds[r->kind].name, level);
		put_fields(&w, service, n);
		json_put_text(&w, "text", sentence);
		json_close_object(&w);
		give_out_event(sup, &h->scratch, service, r, sentence);
	}
	if (service != NULL)
		trouble_on_news(service, n);
}

static void publish_waiting(struct supervisor *sup)
{
	while (sup->news.head != NULL && sup->news.head->serial == 0) {
		struct news *n = sup->news.head;

		sup->news.head = n->next;
		if (sup->news.head == NULL)
			sup->news.tail = NULL;
		publish_news(sup, n);
		free(n);
	}
	ev_timer_stop(sup->loop, &sup->news.timer);
	if (sup->news.head != NULL)
		timer_arm(sup->loop, &sup->news.timer, sup->news.head->patience - clock_now());
}

static void on_patience_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct supervisor *sup = timer->data;

	(void)loop;
	(void)revents;
	if (sup->news.head != NULL)
		sup->news.head->serial = 0;
	publish_waiting(sup);
}

static void enqueue_news(struct supervisor *sup, const struct news *n)
{
	struct news *last = sup->news.tail;
	struct news **end = last != NULL ? &last->next : &sup->news.head;
	struct news *copy = malloc(sizeof(*copy));

	if (copy == NULL) {
		/* the event cannot wait in the list */
		log_warn("out of memory: an event is lost");
		return;
	}
	*copy = *n;
	copy->next = NULL;
	while (*end != NULL) /* after an upgrade `tail` is not set yet */
		end = &(*end)->next;
	*end = sup->news.tail = copy;
	publish_waiting(sup);
}

/* Is it a report whose cause news_expect() has set? */
static bool is_expected(const struct report *r)
{
	return r->kind == REPORT_EXITED ||
		(r->kind == REPORT_ROLLOUT_FAILED &&
			(r->why == WHY_BEFORE || r->why == WHY_START_TIMEOUT));
}

static void news_on_report(struct service *service, const struct report *report)
{
	struct supervisor *sup = service->sup;
	struct history *h = sup->news.history;
	struct news n = {
		.report = *report,
		.asked_again = service->traffic.asked_again,
	};

	/* the room accept publishes this event itself */
	if (service->kind->by_connection && report->kind == REPORT_ALL_READY)
		return;
	text_copy(n.cluster, sizeof(n.cluster), service->name);
	/* the cluster gives up: there is no next try */
	if (report->ending.permanent && !cluster_ever_ready(service->core))
		n.report.wait = NSEC_NEVER;
	if (report->kind == REPORT_UNKILLABLE)
		(void)why_alive(report->pid, n.explain, sizeof(n.explain));
	if (is_expected(report))
		text_copy(n.explain, sizeof(n.explain), h->explain);
	if (is_expected(report) && h->expect != 0) {
		n.serial = h->expect;
		n.patience = nsec_add(clock_now(), NEWS_PATIENCE);
		h->expect = 0;
	}
	if (n.serial == 0 && sup->news.head == NULL)
		publish_news(sup, &n);
	else
		enqueue_news(sup, &n);
}

/* An event that is no report of the core: what it is about, and its numbers. */
struct saying {
	struct supervisor *sup;
	struct service *service;   /* NULL: the instance */
	uint32_t slot;             /* SLOT_ALL: the cluster as a whole */
	const struct child *child; /* NULL: no worker */
	enum log_level level;
	const char *event;
	const struct news_number *numbers;
	size_t count;
};

static void put_saying(struct json_writer *w, const struct saying *s)
{
	if (s->service != NULL)
		json_put_text(w, "cluster", s->service->name);
	if (s->slot != SLOT_ALL)
		json_put_int(w, "slot", s->slot);
	if (s->child != NULL) {
		json_put_int(w, "worker", (int64_t)s->child->worker);
		if (s->child->pid > 0)
			json_put_int(w, "pid", s->child->pid);
	}
	for (size_t i = 0; i < s->count; i++)
		json_put_real(w, s->numbers[i].name, s->numbers[i].value, 3);
}

/* Publish an event; the name of its cluster or slot is put before the sentence. */
static void say_event(const struct saying *s, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void say_event(const struct saying *s, const char *format, va_list args)
{
	struct history *h = s->sup->news.history;
	struct json_writer w;
	char text[1200];
	int used = 0;

	if (s->slot != SLOT_ALL)
		used = snprintf(text, sizeof(text), "%s.%" PRIu32 ": ", s->service->name, s->slot);
	else if (s->service != NULL)
		used = snprintf(text, sizeof(text), "%s: ", s->service->name);
	vsnprintf(text + used, sizeof(text) - (size_t)used, format, args);
	log_line(s->level, "%s", text);
	buffer_clear(&h->scratch);
	begin_record(&w, &h->scratch, s->event, s->level);
	put_saying(&w, s);
	json_put_text(&w, "text", text);
	json_close_object(&w);
	give_out_event(s->sup, &h->scratch, s->service, NULL, text);
}

#define TELL(...) \
	va_list args; \
\
	va_start(args, format); \
	say_event(&(struct saying){.level = level, .event = event, __VA_ARGS__}, format, args); \
	va_end(args)

void news_say(
	struct supervisor *sup, enum log_level level, const char *event, const char *format, ...)
{
	TELL(.sup = sup, .slot = SLOT_ALL);
}

void news_say_slot(struct service *service, uint32_t slot, enum log_level level, const char *event,
	const char *format, ...)
{
	TELL(.sup = service->sup, .service = service, .slot = slot);
}

void news_say_numbers(const struct child *child, enum log_level level, const char *event,
	const struct news_number *numbers, size_t count, const char *format, ...)
{
	TELL(.sup = child->service->sup, .service = child->service, .slot = child->slot,
		.child = child, .numbers = numbers, .count = count);
}

/* ---- limits for what a worker can cause ---- */

static nsec_t span_end(const struct child *child)
{
	return child->life.span_began + (SECOND << child->life.span_log2);
}

static void say_left_out(struct child *child)
{
	unsigned count = child->life.left_out;

	child->life.left_out = 0;
	if (count > 0)
		news_say_worker(child, LOG_WARN, "left-out",
			"%u message%s about worker %d left out", count, count == 1 ? "" : "s",
			(int)child->pid);
}

static void begin_span(struct child *child, nsec_t now)
{
	if (child->life.left_out == 0)
		child->life.span_log2 = 0;
	else if (child->life.span_log2 < NEWS_SPAN_MOST)
		child->life.span_log2++;
	say_left_out(child);
	child->life.span_began = now;
	child->life.published = 0;
}

bool news_spares(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	nsec_t now = clock_now();
	int saved = errno;

	if (now >= span_end(child))
		begin_span(child, now);
	if (child->life.published < NEWS_SPARED) {
		child->life.published++;
	} else {
		child->life.left_out++;
		timer_arm_within(sup->loop, &sup->news.spares, span_end(child) - now);
	}
	errno = saved; /* the caller's log line may contain %m */
	return child->life.left_out == 0;
}

static void say_failed_starts(struct service *s, nsec_t now)
{
	nsec_t end = s->life.fail_at + SECOND;
	unsigned count = s->life.start_fails;

	if (count > 0 && now < end)
		timer_arm_within(s->sup->loop, &s->sup->news.spares, end - now);
	if (count == 0 || now < end)
		return;
	s->life.start_fails = 0;
	s->life.fail_at = now;
	news_say_of(s, LOG_WARN, "left-out", "%u more attempts to start a worker failed: %s", count,
		strerror(s->life.fail_error));
}

static void on_spares(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct supervisor *sup = timer->data;
	nsec_t now = clock_now();
	struct child *c;

	(void)revents;
	ev_timer_stop(loop, timer);
	for_each_child (c, children_of_all(sup))
		if (c->life.left_out > 0 && now >= span_end(c))
			begin_span(c, now);
		else if (c->life.left_out > 0)
			timer_arm_within(loop, timer, span_end(c) - now);
	for (size_t i = 0; i < sup->service_count; i++)
		say_failed_starts(sup->services[i], now);
}

/* ---- last words ---- */

void news_expect(struct supervisor *sup, const char *cause, uint64_t serial)
{
	struct history *h = sup->news.history;

	text_copy(h->explain, sizeof(h->explain), cause != NULL ? cause : "");
	h->expect = serial;
}

struct news *news_awaiting(const struct supervisor *sup, uint64_t serial)
{
	struct news *n = sup->news.head;

	while (n != NULL && n->serial != serial)
		n = n->next;
	return n;
}

void news_answered(struct supervisor *sup, struct news *n)
{
	n->serial = 0;
	publish_waiting(sup);
}

void news_stop_waiting(struct supervisor *sup)
{
	for (struct news *n = sup->news.head; n != NULL; n = n->next)
		n->serial = 0;
	publish_waiting(sup);
}

bool news_pending(const struct supervisor *sup)
{
	return sup->news.head != NULL;
}

/* ---- life ---- */

int news_history(const struct supervisor *sup, uint64_t from, struct linering_text *lines)
{
	return linering_read(&sup->news.history->ring, from, lines);
}

bool news_is_whole(const char *json, size_t len)
{
	static const char start[] = NEWS_START;

	return len > sizeof(start) && memcmp(json, start, sizeof(start) - 1) == 0 &&
		jsonvalue_check(json, len);
}

int news_history_fd(const struct supervisor *sup)
{
	return sup->news.history->ring.fd;
}

bool news_take_history(struct supervisor *sup, int fd)
{
	struct linering *ring = &sup->news.history->ring;

	return ring->fd == -1 && fd != -1 && linering_take(ring, &linering_events, fd);
}

int news_init(struct supervisor *sup, struct error *err)
{
	struct history *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return error_set(err, ENOMEM, "event history");
	h->ring.fd = -1;
	h->ring.kind = &linering_events;
	buffer_init(&h->scratch, linering_events.block - 1);
	sup->news.history = h;
	timer_init(&sup->news.timer, on_patience_over, sup);
	timer_init(&sup->news.spares, on_spares, sup);
	return 0;
}

/* Tags in the group of the history.  Earlier releases have no file, but the latest 20 KiB. */
enum { HISTORY_LINES = 1, HISTORY_FILE, HISTORY_END };
#define LINES_MAX ((size_t)20 * 1024)

static const struct plain_row history_rows[] = {
	PLAIN(HISTORY_FILE, history, ring.fd, FD),
	PLAIN(HISTORY_END, history, ring.end, UNSIGNED),
};

static void put_history(struct carry_writer *c, const void *of)
{
	const struct history *h = of;
	struct linering_text t;
	size_t skip;

	if (c->w.out == NULL || linering_read(&h->ring, 0, &t) == -1)
		return;
	skip = t.len > LINES_MAX ? t.len - LINES_MAX : 0;
	while (skip > 0 && skip < t.len && t.text[skip - 1] != '\n')
		skip++;
	if (t.len > 0)
		handover_put_bytes(&c->w, HISTORY_LINES, t.text + skip, t.len - skip);
	linering_drop(&t);
}

static int take_history(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct history *h = to;

	(void)r;
	if (f->tag != HISTORY_LINES)
		return 0;
	if (f->type == HANDOVER_BYTES && f->len <= LINES_MAX) {
		h->before = f->data;
		h->before_len = f->len;
	}
	return 1;
}

static int history_done(struct carry_reader *r, void *to)
{
	struct history *h = to;

	(void)r;
	if (h->ring.fd != -1)
		h->before = NULL;
	return 0;
}

static void *make_history(struct carry_reader *r, void *owner)
{
	struct supervisor *sup = owner;

	return news_init(sup, r->err) == 0 ? sup->news.history : NULL;
}

const struct carried carried_history = {
	.called = "the history",
	CARRIED_ROWS(history_rows, history),
	.make = make_history,
	.put = put_history,
	.take = take_history,
	.done = history_done,
};

static void news_on_go_on(struct supervisor *sup)
{
	struct error err;

	/* `before` points into the state, which is still mapped */
	if (sup->news.history->before != NULL && begin_history(sup, &err) == -1)
		log_warn("%s", err.text);
	publish_waiting(sup);
	on_spares(sup->loop, &sup->news.spares, 0);
}

static void news_on_end(struct supervisor *sup)
{
	if (sup->news.history == NULL)
		return;
	news_stop_waiting(sup);
	ev_timer_stop(sup->loop, &sup->news.timer);
	ev_timer_stop(sup->loop, &sup->news.spares);
	linering_close(&sup->news.history->ring);
	buffer_fini(&sup->news.history->scratch);
	free(sup->news.history);
	sup->news.history = NULL;
}

/* Events that wait are published with the cluster's new name. */
static void news_on_renamed(struct service *service, const char *old)
{
	for (struct news *n = service->sup->news.head; n != NULL; n = n->next)
		if (strcmp(n->cluster, old) == 0)
			text_copy(n->cluster, sizeof(n->cluster), service->name);
}

const struct part news_part = {
	.name = "news",
	.dying = say_left_out,
	.report = news_on_report,
	.renamed = news_on_renamed,
	.go_on = news_on_go_on,
	.end = news_on_end,
};
