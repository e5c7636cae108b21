/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"
#include "cli/doctor.h"
#include "cli/output.h"
#include "os/trycall.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>

#define LAST_LINES 10

struct doctor {
	const struct arguments *arguments;
	struct trial trial;
	struct exam exam;
	struct facts facts;
	size_t shown;
};

/* Lines are broken for people at a terminal only: 0 for a program. */
static size_t width(void)
{
	struct winsize size = {.ws_col = 0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1)
		return 0;
	return size.ws_col >= 40 ? size.ws_col : 0;
}

/* From the n-th on. */
static int show_facts(const struct facts *f, size_t n)
{
	struct buffer out;

	buffer_init(&out, 0);
	facts_format(f, n, &out, width(), output_wants_colour(STDOUT_FILENO));
	return output_buffer(STDOUT_FILENO, &out, output_write);
}

/* ---- a command ---- */

static bool is_json(const struct doctor *d)
{
	return arguments_has(d->arguments, OPTION_JSON);
}

/* Print new facts at once, unless the output is JSON. */
static void show(struct doctor *d)
{
	if (!is_json(d))
		(void)show_facts(&d->facts, d->shown);
	d->shown = d->facts.count;
}

/* Print the last output of a command that fails. */
static void show_output(struct doctor *d)
{
	struct buffer lines;

	if (is_json(d))
		return;
	trial_output_drain(&d->trial.output);
	buffer_init(&lines, 0);
	trial_last_lines(&d->trial, LAST_LINES, &lines);
	if (lines.len > 0)
		(void)output_line(STDERR_FILENO, "--- its last output", 19);
	(void)output_buffer(STDERR_FILENO, &lines, output_lines);
}

/* Is it a program that runs another command and waits for it? */
static bool is_wrapper(const char *command)
{
	static const char *const names[] = {
		"sh", "bash", "dash", "ash", "ksh", "zsh", "npm", "npx", "yarn", "pnpm"};
	const char *slash = strrchr(command, '/');

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (strcmp(slash != NULL ? slash + 1 : command, names[i]) == 0)
			return true;
	return false;
}

/* Another way to try after the usual one has failed; WAY_PASSED: there is
 * none. */
static enum exam_way other_way(const struct exam *e)
{
	if (e->life == LIFE_SERVING || e->in_use[0] != '\0')
		return WAY_PASSED;
	if (e->processes > 1 || (e->life == LIFE_ENDED && is_wrapper(e->command[0])))
		return WAY_NO_PID;
	/* FastCGI without its socket is CGI: it does its work, and ends */
	if (e->life == LIFE_ENDED && e->listen_count <= 1 && strcmp(e->exit, "exit 0") == 0)
		return WAY_STDIN;
	return WAY_PASSED;
}

/* The result of the first way stays, unless the other one works better. */
static int try_other_way(struct doctor *d, struct error *err)
{
	struct exam first = d->exam;
	enum exam_way way = other_way(&first);

	if (way == WAY_PASSED)
		return 0;
	trial_stop(&d->trial);
	if (exam_start(&d->exam, way, err) == -1)
		return -1;
	if (d->exam.life == LIFE_SERVING && d->exam.takes_passed)
		return 0;
	first.first = d->exam.first; /* it does as the first did */
	if (first.life == LIFE_ENDED || first.life == d->exam.life)
		d->exam = first;
	return 0;
}

static int examine(struct doctor *d, struct error *err)
{
	if (exam_start(&d->exam, WAY_PASSED, err) == -1 || try_other_way(d, err) == -1)
		return -1;
	doctor_tell_start(&d->exam, &d->facts);
	show(d);
	if (d->exam.life == LIFE_ENDED) {
		show_output(d);
		return 0;
	}
	if (exam_copy(&d->exam, err) == -1)
		return -1;
	doctor_tell_copy(&d->exam, &d->facts);
	show(d);
	if (!d->exam.second_ready)
		show_output(d);
	if (exam_stop(&d->exam, err) == -1)
		return -1;
	doctor_tell_stop(&d->exam, &d->facts);
	if (exam_needs_address(&d->exam)) {
		if (exam_untold(&d->exam, err) == -1)
			return -1;
		doctor_tell_untold(&d->exam, &d->facts);
	}
	show(d);
	return 0;
}

static int show_end(struct doctor *d)
{
	struct buffer out;

	buffer_init(&out, 0);
	if (is_json(d))
		doctor_encode(&d->exam, &d->facts, &out);
	else if (doctor_command_line(&d->exam, &out))
		(void)output_write(STDOUT_FILENO, "\n", 1);
	return output_buffer(STDOUT_FILENO, &out, is_json(d) ? output_json : output_lines);
}

/* The trial could not be finished. */
static int tell_over(struct doctor *d, const struct error *err)
{
	int signal = client_cancel_signal();

	if (signal != 0)
		return 128 + signal;
	if (err->sys != ECANCELED) {
		log_error("%s", err->text);
		return error_exit_status(err);
	}
	facts_add(&d->facts, FACT_BAD, "time", "", "not all was seen within %d s",
		(int)(TRIAL_TIME / SECOND));
	show(d);
	show_output(d);
	(void)show_end(d);
	return 1;
}

static int try_command(const struct arguments *a)
{
	static struct doctor d; /* too large for a stack */
	struct error err;
	int status;

	d.arguments = a;
	d.exam.trial = &d.trial;
	d.exam.command = a->command;
	d.exam.cpus = facts_cpus();
	d.exam.listen = a->listen;
	d.exam.listen_count = a->listen_count;
	if (trial_begin(&d.trial, a->runtime_directory, &err) == -1) {
		log_error("%s", err.text);
		status = error_exit_status(&err);
	} else if (examine(&d, &err) == -1) {
		status = tell_over(&d, &err);
	} else {
		status = exam_copies_work(&d.exam) ? 0 : 1;
		if (show_end(&d) == -1)
			status = 1;
	}
	trial_end(&d.trial);
	return status;
}

/* ---- this machine ---- */

int verb_doctor(const struct arguments *a)
{
	struct facts facts = {.count = 0};
	struct buffer out;
	int got;

	trycall_probe();
	if (a->command != NULL)
		return try_command(a);
	if (a->listen_count > 0) {
		log_error("doctor: --listen is for a command to be tried: "
			  "'nclust doctor -l ADDRESS -- COMMAND'");
		return EX_USAGE;
	}
	facts_kernel(&facts);
	facts_resources(&facts);
	facts_privileges(&facts);
	facts_intercept(&facts);
	facts_place(&facts, a->runtime_directory);
	if (arguments_has(a, OPTION_JSON)) {
		buffer_init(&out, 0);
		facts_encode(&facts, &out);
		got = output_buffer(STDOUT_FILENO, &out, output_json);
	} else {
		got = show_facts(&facts, 0);
	}
	return got == 0 && !facts_bad(&facts) ? 0 : 1;
}
