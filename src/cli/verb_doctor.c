/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/scope.h"
#include "cli/client.h"
#include "cli/doctor.h"
#include "cli/output.h"
#include "config/value.h"
#include "os/trycall.h"

#include <errno.h>
#include <sysexits.h>

struct doctor {
	bool json;
	struct trial trial;
	struct exam exam;
	size_t shown;
};

/* Show the facts from the n-th on. */
static int show_facts(const json_t *facts, size_t n)
{
	size_t columns = output_size().ws_col;
	scoped_buffer out = {0};
	struct wrap lines;

	/* lines are broken for people at a terminal only */
	wrap_init(&lines, &out, columns >= 40 ? columns : 0, output_wants_colour(STDOUT_FILENO));
	facts_put(facts, n, &lines);
	wrap_fini(&lines);
	return output_buffer(STDOUT_FILENO, &out, output_write);
}

/* ---- a command ---- */

/* Print new facts at once, unless the output is JSON. */
static void show_new_facts(struct doctor *d)
{
	if (!d->json)
		(void)show_facts(d->exam.facts, d->shown);
	d->shown = json_array_size(d->exam.facts);
}

static void run_examination(struct doctor *d)
{
	static void (*const steps[])(struct exam *) = {exam_start, exam_copy, exam_stop};

	for (size_t i = 0; i < COUNT_OF(steps) && !d->trial.over && !d->exam.ended; i++) {
		steps[i](&d->exam);
		exam_tell_news(&d->exam);
		show_new_facts(d);
	}
}

/* Show the command line to use, after an empty line; and free it. */
static int show_words(json_t *words)
{
	scoped_buffer out = {0};
	size_t i;
	json_t *word;

	json_array_foreach(words, i, word)
	{
		buffer_string(&out, i == 0 ? "\n" : " ");
		(void)value_quote_shell(&out, json_string_value(word));
	}
	if (out.len > 0)
		buffer_string(&out, "\n");
	json_decref(words);
	return output_buffer(STDOUT_FILENO, &out, output_lines);
}

static int show_end(const struct doctor *d)
{
	json_t *words = exam_command_line(&d->exam);

	if (!d->json)
		return show_words(words);
	(void)json_object_set_new(d->exam.report, "run", words);
	return output_value(STDOUT_FILENO, d->exam.report);
}

/* Report that the trial could not be finished. */
static int tell_over(struct doctor *d)
{
	const struct error *err = &d->trial.err;
	int signal = client_cancel_signal();

	if (signal != 0)
		return 128 + signal;
	if (err->sys != ECANCELED)
		return output_error(err);
	facts_add(d->exam.facts, FACT_BAD, "time", "", "the trial was not finished within %d s",
		(int)(TRIAL_TIME / SECOND));
	show_new_facts(d);
	(void)show_end(d);
	return 1;
}

static int try_command(const struct arguments *a)
{
	static struct doctor d; /* too large for a stack */
	struct error err;
	int status;

	if (trial_has_option(a->given, "--accept")) {
		error_fail(&err, EX_USAGE,
			"doctor cannot try a command with --accept, because it runs for one "
			"connection "
			"only");
		return output_error(&err);
	}
	d.json = arguments_has(a, OPTION_JSON);
	d.exam = (struct exam){.trial = &d.trial,
		.arguments = a,
		.report = json_pack("{s:b, s:[], s:[], s:n, s:n, s:n}", "ok", 0, "facts", "sockets",
			"stop", "stop_in_request", "run")};
	d.exam.facts = json_object_get(d.exam.report, "facts");
	trial_begin(&d.trial, a->runtime_directory);
	run_examination(&d);
	if (d.trial.over)
		status = tell_over(&d);
	else
		status = show_end(&d) == 0 && exam_copies_work(&d.exam) ? 0 : 1;
	trial_end(&d.trial);
	json_decref(d.exam.report);
	return status;
}

/* ---- this machine ---- */

static int look_at_machine(const struct arguments *a)
{
	json_t *report = json_pack("{s:b, s:[]}", "ok", 0, "facts");
	json_t *facts = json_object_get(report, "facts");
	bool bad;
	int got;

	facts_machine(facts, a->runtime_directory);
	bad = facts_bad(facts);
	(void)json_object_set_new(report, "ok", json_boolean(!bad));
	got = arguments_has(a, OPTION_JSON) ? output_value(STDOUT_FILENO, report)
					    : show_facts(facts, 0);
	json_decref(report);
	return got == 0 && !bad ? 0 : 1;
}

int verb_doctor(struct arguments *a)
{
	trycall_probe();
	wrap_locale();
	if (a->command != NULL)
		return try_command(a);
	return look_at_machine(a);
}
