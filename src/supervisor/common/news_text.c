/* SPDX-License-Identifier: MIT */
#include "supervisor/common/news_text.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"
#include "os/clock.h"
#include "protocol/json.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/trouble.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* The events of the core as sentences, as JSON objects, and as counters. */

/* ---- words ---- */

/* Why a worker was ended or is to be replaced, and what that means. */
static const struct {
	const char *word;   /* for machines: why the worker has exited */
	const char *exited; /* after the sentence that it has; or NULL */
	const char *unwell; /* what is wrong with it; or NULL */
	enum counted_exit counted;
	bool failure; /* a user should look into it */
} reasons[] = {
	[WHY_ITSELF] = {"crash", NULL, NULL, COUNTED_UNKNOWN, true},
	[WHY_STOP] = {"asked", " (asked to stop)", NULL, COUNTED_STOPPED, false},
	[WHY_ROLL] = {"replaced", " (replaced)", NULL, COUNTED_REPLACED, false},
	[WHY_START_TIMEOUT] = {"start-timeout", " (not ready in time)", NULL, COUNTED_START_TIMEOUT,
		true},
	[WHY_ROLL_FAILED] = {"rollout-failed", " (restart failed)", NULL, COUNTED_REPLACED, false},
	[WHY_WATCHDOG] = {"watchdog", " (sent no WATCHDOG=1)", "sent no WATCHDOG=1 in time",
		COUNTED_UNHEALTHY, true},
	[WHY_STALL] = {"stall", " (made no progress)", "makes no progress (stall)",
		COUNTED_UNHEALTHY, true},
	[WHY_CHECK] = {"unhealthy", " (its checks failed)", "fails its checks", COUNTED_UNHEALTHY,
		true},
	[WHY_MEMORY] = {"memory", " (used too much memory)", "uses more than 'max-memory'",
		COUNTED_OUTGROWN, false},
	[WHY_AGE] = {"age", " (was too old)", "is older than 'max-age'", COUNTED_OUTGROWN, false},
	[WHY_QUEUE] = {"asked", NULL, NULL, COUNTED_UNHEALTHY, false},
	[WHY_REQUEST] = {"hang", " (a request hung)", "exceeds 'request-timeout'",
		COUNTED_UNHEALTHY, true},
	[WHY_BEFORE] = {"before", NULL, NULL, COUNTED_UNKNOWN, false},
	[WHY_SERVED] = {"requests", " (max-requests)", "has had 'max-requests'", COUNTED_OUTGROWN,
		false},
	[WHY_SOCKET] = {"socket", " (its socket was lost)",
		"has a socket that clients do not reach", COUNTED_UNHEALTHY, false},
};

enum counted_exit news_counted(const struct service *service, const struct report *r)
{
	if (r->why != WHY_ITSELF)
		return reasons[r->why].counted;
	switch (r->ending.kind) {
	case ENDING_EXIT:
		if (service == NULL ? r->ending.code == 0
				    : cluster_is_success(cluster_settings(service->core),
					      (unsigned)r->ending.code))
			return COUNTED_SUCCESS;
		return COUNTED_FAILURE;
	case ENDING_SIGNAL:
		return r->ending.out_of_memory ? COUNTED_OUT_OF_MEMORY : COUNTED_SIGNAL;
	case ENDING_SPAWN:
		return COUNTED_SPAWN;
	case ENDING_NONE:
	case ENDING_UNKNOWN:
		break;
	}
	return COUNTED_UNKNOWN;
}

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
	return reasons[r->why].failure && !r->ending.done;
}

const char *news_why_text(const struct report *r)
{
	return news_is_failure(r) && reasons[r->why].exited != NULL ? reasons[r->why].exited : "";
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
		buffer_printf(out, r->ending.done ? ", next run in %s" : ", next try in %s",
			text_age(age, r->wait));
}

static void say_last(struct buffer *out, const struct news *n)
{
	if (*n->last != '\0')
		buffer_printf(out, "; last output: %s", n->last);
}

static const char *unwell_text(enum why why)
{
	return reasons[why].unwell != NULL ? reasons[why].unwell : "is not well";
}

static void say_unkillable(struct buffer *out, const struct news *n)
{
	buffer_printf(out, "worker %d is still there after SIGKILL: unkillable%s%s",
		(int)n->report.pid, *n->explain != '\0' ? ", because " : "", n->explain);
}

static void say_exited(struct buffer *out, const struct news *n)
{
	const struct report *r = &n->report;
	const char *why = reasons[r->why].exited;
	char text[64];
	char age[16];

	if (r->ending.kind == ENDING_SPAWN)
		buffer_string(out, *n->explain != '\0' ? n->explain : "could not be started");
	else
		buffer_printf(out, "worker %d %s%s after %s%s", (int)r->pid,
			r->ending.kind == ENDING_EXIT ? "ended with " : "",
			news_ending_text(text, &r->ending), text_age(age, r->age),
			why != NULL ? why : "");
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
	else if (r->back)
		buffer_string(out, "; the previous command and settings are started again");
	else
		buffer_string(out, "; no worker is ready");
}

void news_killed(char to[NEWS_KILLED], const struct service *service)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	const char *better = command_stop_signal(s->command_text);
	nsec_t sum = 0;
	char text[24];

	for (unsigned i = 0; i < s->stop_count; i++)
		sum = nsec_add(sum, s->stop[i].timeout);
	if (s->stop[0].signal != SIGTERM)
		better = NULL;
	snprintf(to, NEWS_KILLED, "killed after stop-timeout = %s%s%s%s", text_duration(text, sum),
		better != NULL ? " (stop-signal = " : "", better != NULL ? better : "",
		better != NULL ? " ends it sooner)" : "");
}

static void say_rollout_done(struct buffer *out, const struct news *n)
{
	const struct report *r = &n->report;
	char age[16];

	buffer_printf(out, "rollout %u done: ", r->rollout);
	if (r->count + r->others == 0) {
		buffer_string(out, "no worker runs; 'nclust start' starts what was scaled to 0");
		return;
	}
	buffer_printf(out, "%u worker%s %s", r->count > 0 ? r->count : r->others,
		r->count + r->others == 1 ? "" : "s", r->others > 0 ? "started" : "replaced");
	if (r->took != NSEC_NEVER)
		buffer_printf(out, " in %s", text_age(age, r->took));
	buffer_printf(out, " (generation %u)", r->generation);
	if (*n->explain != '\0')
		buffer_printf(out, ", in '%s'", n->explain);
	if (n->handed_on > 0)
		buffer_printf(out, "; %u request%s handed on", n->handed_on,
			n->handed_on == 1 ? " was" : "s were");
	if (n->asked_again > 0)
		buffer_printf(out,
			"; %u idle kept connection%s closed: browsers and proxies open a new one, "
			"some clients report an error",
			n->asked_again, n->asked_again == 1 ? " was" : "s were");
	if (n->guessed > 0)
		buffer_printf(out,
			"; %u answer%s may have been cut in a pause, because half of drain-timeout "
			"was over",
			n->guessed, n->guessed == 1 ? "" : "s");
	if (n->busy > 0)
		buffer_printf(out, "; %u connection%s still busy when drain-timeout was over",
			n->busy, n->busy == 1 ? " was" : "s were");
	if (n->killed > 0)
		buffer_printf(out, "; %u worker%s %s", n->killed, n->killed == 1 ? "" : "s",
			n->killed_text);
	if (n->unlimited)
		buffer_string(
			out, "; not all cgroup limits are in force: 'nclust doctor' says why");
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
	/* a cause may say already what to do */
	if (!r->beside || r->was_ready || r->ending.kind == ENDING_SPAWN ||
		strstr(n->explain, "'-l unix:") != NULL)
		return;
	if (n->path != NULL)
		buffer_printf(out, "; to share its path: " TROUBLE_SHARE_PATH, n->path);
	buffer_string(out, "; " TROUBLE_ONE_COPY);
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
		[SCALE_SHARES] = {", one for each CPU", NULL},
		[SCALE_PORT] = {": to see which port it opens now", NULL},
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
	[REPORT_NO_SPARE] = {"no-spares", LOG_WARN, true,
		.text = "no spares are held: worker %p does not wait in listen(2) or, for UDP, "
			"bind(2), such as with 'intercept = off' or a socket that listens already "
			"(spare)"},
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

enum log_level news_level(const struct report *r)
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

void news_put_sentence(struct buffer *out, const struct news *n)
{
	const struct report *r = &n->report;
	const struct kind *k = &kinds[r->kind];
	const char *at = r->count == 1 && k->one != NULL ? k->one : k->text;

	buffer_string(out, n->cluster);
	if (k->slot) {
		buffer_string(out, ".");
		buffer_number(out, r->slot, 10);
	}
	buffer_string(out, ": ");
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

void news_begin(struct json_writer *w, struct buffer *out, const char *event, enum log_level level)
{
	json_begin(w, out);
	json_open_object(w);
	json_put_real(w, "time", clock_wall(), 3);
	json_put_text(w, "event", event);
	json_put_text(w, "level", level_names[level]);
}

/* Why a worker has exited, for machines. */
static const char *why_word(const struct service *service, const struct report *r)
{
	if (r->ending.kind == ENDING_SPAWN)
		return "not-started";
	if (r->ending.out_of_memory)
		return "out-of-memory";
	return news_counted(service, r) == COUNTED_SUCCESS ? "done" : reasons[r->why].word;
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
		if (r->wait == NSEC_NEVER)
			json_put_null(w, "next_try");
		else
			json_put_real(w, "next_try", nsec_seconds(r->wait), 3);
	}
	if ((r->kind == REPORT_UNWELL || r->kind == REPORT_OUTGROWN) && r->wait != NSEC_NEVER)
		json_put_real(w, "replaced_in", nsec_seconds(r->wait), 3);
	if (*n->explain != '\0')
		json_put_text(
			w, r->kind == REPORT_ROLLOUT_DONE ? "directory" : "cause", n->explain);
	if (r->kind == REPORT_ROLLOUT_DONE) {
		json_put_int(w, "handed_on", n->handed_on);
		json_put_int(w, "asked_again", n->asked_again);
		json_put_int(w, "guessed", n->guessed);
		json_put_int(w, "busy", n->busy);
		json_put_int(w, "killed", n->killed);
	}
	if (*n->last != '\0')
		json_put_text(w, "last_output", n->last);
	if (r->kind == REPORT_SCALED) {
		json_put_text(w, "reason", scale_why_name(r->scale_why));
		json_put_int(w, "measure", r->measure);
	}
	if (r->kind == REPORT_STATE)
		json_put_text(w, "state", cluster_state_name(r->state));
}

void news_put_record(struct buffer *out, const struct service *service, const struct news *n,
	const char *sentence)
{
	struct json_writer w;

	news_begin(&w, out, kinds[n->report.kind].name, news_level(&n->report));
	put_fields(&w, service, n);
	json_put_text(&w, "text", sentence);
	json_close_object(&w);
}

/* ---- causes ---- */

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

void news_explain(const struct service *service, struct news *n)
{
	const char *by = cluster_settings(service->core)->directory;
	const struct recipe *recipe = recipe_of(service, cluster_generation(service->core));
	const char *in = recipe != NULL ? recipe->entered : NULL;
	const struct report *r = &n->report;

	n->path = r->kind == REPORT_ROLLOUT_FAILED ? trouble_path(service, r->worker) : NULL;
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

/* ---- counters ---- */

static const char *const exits[COUNTED_EXITS] = {
	[COUNTED_SUCCESS] = "success",
	[COUNTED_FAILURE] = "failure",
	[COUNTED_SIGNAL] = "signal",
	[COUNTED_OUT_OF_MEMORY] = "out_of_memory",
	[COUNTED_SPAWN] = "spawn",
	[COUNTED_UNKNOWN] = "unknown",
	[COUNTED_STOPPED] = "stopped",
	[COUNTED_REPLACED] = "replaced",
	[COUNTED_START_TIMEOUT] = "start_timeout",
	[COUNTED_UNHEALTHY] = "unhealthy",
	[COUNTED_OUTGROWN] = "outgrown",
};

static const char *const rollouts[COUNTED_ROLLOUTS] = {
	[COUNTED_DONE] = "done",
	[COUNTED_FAILED] = "failed",
	[COUNTED_SUPERSEDED] = "superseded",
};

static void end_rollout(struct counters *t, enum counted_rollout how)
{
	t->rollouts[how]++;
	if (t->rollout_since != 0)
		t->rollout_time += clock_now() - t->rollout_since;
	t->rollout_since = 0;
}

void counters_note_report(struct service *service, const struct report *r)
{
	struct counters *t = &service->counters;

	switch (r->kind) {
	case REPORT_STARTED:
		t->started++;
		break;
	case REPORT_READY:
		t->ready++;
		t->ready_time += r->age != NSEC_NEVER ? r->age : 0;
		break;
	case REPORT_EXITED:
		t->exits[news_counted(service, r)]++;
		break;
	case REPORT_ROLLOUT_STARTED:
		t->rollout_since = clock_now();
		t->killed = 0;
		break;
	case REPORT_STOP_TIMEOUT:
		t->killed += r->signal == SIGKILL;
		break;
	case REPORT_ROLLOUT_DONE:
		if (!r->back) /* the way back was counted as COUNTED_FAILED before */
			end_rollout(t, COUNTED_DONE);
		break;
	case REPORT_ROLLOUT_FAILED:
		end_rollout(t, COUNTED_FAILED);
		break;
	case REPORT_ROLLOUT_SUPERSEDED:
		end_rollout(t, COUNTED_SUPERSEDED);
		break;
	default:
		break;
	}
}

static void put_all(struct json_writer *w, const char *key, const char *const *names,
	const uint64_t *counts, size_t n)
{
	json_open_member(w, key, true);
	for (size_t i = 0; i < n; i++)
		json_put_int(w, names[i], (int64_t)counts[i]);
	json_close_object(w);
}

void news_on_status(struct json_writer *w, const struct service *service)
{
	const struct counters *t = &service->counters;

	json_open_member(w, "counters", true);
	json_put_int(w, "started", (int64_t)t->started);
	json_put_int(w, "ready", (int64_t)t->ready);
	json_put_real(w, "ready_seconds", nsec_seconds(t->ready_time), 3);
	put_all(w, "exits", exits, t->exits, COUNT_OF(exits));
	put_all(w, "rollouts", rollouts, t->rollouts, COUNT_OF(rollouts));
	json_put_real(w, "rollout_seconds", nsec_seconds(t->rollout_time), 3);
	json_put_int(w, "drained", (int64_t)t->drained);
	json_put_int(w, "drains_forced", (int64_t)t->drains_forced);
	json_put_real(w, "drain_seconds", nsec_seconds(t->drain_time), 3);
	json_put_int(w, "handed_on", (int64_t)t->handed_on);
	json_put_int(w, "hangs", (int64_t)t->hangs);
	json_put_int(w, "log_lines", (int64_t)t->log_lines);
	json_put_int(w, "log_lines_dropped", (int64_t)t->log_lines_dropped);
	json_close_object(w);
}
