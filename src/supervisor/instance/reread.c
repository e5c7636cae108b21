/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/reread.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/trusted.h"
#include "config/argv.h"
#include "config/check_listen.h"
#include "config/config.h"
#include "nats/natslib.h"
#include "os/affinity.h"
#include "os/descriptors.h"
#include "supervisor/common/job.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PATIENCE (5 * SECOND)
/* Exit status of the process that reads. */
enum { READ_SETTINGS, READ_MISTAKES, READ_FAILED };

struct reread {
	struct supervisor *sup;
	reread_done *done;
	struct job job;
	int answer; /* memfd: settings, or lines */
};

/* ---- in the process that reads ---- */

/* The answer is a file in memory, which takes all at once. */
static bool write_answer(const char *data, size_t len)
{
	return write(ASIDE_FD, data, len) == (ssize_t)len;
}

/* Checked in this process, as loading a library leaves traces. */
static void check_relays(const struct settings *s, struct faults *faults)
{
	const char *why = config_has_broker(s) ? natslib_try() : NULL;

	if (why != NULL)
		config_no_broker(s, why, faults);
}

/* Do the workers of a cluster run where a symbolic link has led before? */
static void note_moves(const struct supervisor *sup, const struct settings *s)
{
	for (size_t i = 0; i < s->cluster_count; i++) {
		struct cluster_settings *c = s->clusters[i];
		const struct service *of = service_named(sup, c->name);
		const char *was = of != NULL ? cluster_next_settings(of->core)->directory : NULL;
		const struct recipe *r =
			of != NULL ? recipe_of(of, cluster_generation(of->core)) : NULL;
		scoped_str now = NULL;

		if (was == NULL || c->directory == NULL || c->chroot != NULL || r == NULL ||
			r->entered == NULL || strcmp(was, c->directory) != 0)
			continue;
		now = realpath(c->directory, NULL);
		if (now != NULL && strcmp(now, r->entered) != 0)
			c->directory_now = strdup(now);
	}
}

static int answer_settings(void *owner)
{
	const struct supervisor *sup = ((struct reread *)owner)->sup;
	const char *file = sup->settings->config_file;
	const char *dir = sup->launch.directory;
	struct sigaction by_default = {.sa_handler = SIG_DFL};
	struct invocation again = {.settings = NULL};
	struct settings *settings;
	struct faults faults = {0};
	struct carry_writer c;
	struct error err;

	(void)sigaction(SIGPIPE, &by_default, NULL);
	/* a link on the way may lead elsewhere now */
	if (access(file, F_OK) == -1 && errno == ENOENT)
		faults_add(&faults, EX_CONFIG,
			"'%s' is gone; what runs stays as it is ('nclust config %s >%s' writes it "
			"again)",
			file, sup->settings->name, file);
	else if (dir != NULL && chdir(dir) == -1 && strncmp(file, dir, strlen(dir)) == 0)
		faults_add(&faults, EX_CONFIG, "cannot enter '%s': %s", dir, strerror(errno));
	if (faults.count == 0)
		(void)config_read(&again, sup->launch.argc, sup->launch.argv, NULL, &faults);
	settings = again.settings;
	if (settings != NULL && config_read_token(settings, &err) == -1)
		faults_add(&faults, EX_CONFIG, "%s", err.text);
	if (faults.count == 0) {
		config_check_here(settings, affinity_usable(), &faults);
		check_relays(settings, &faults);
	}
	if (settings == NULL || faults.count > 0)
		return write_answer(faults.text.data, faults.text.len - 1) ? READ_MISTAKES
									   : READ_FAILED;
	note_moves(sup, settings);
	/* a slow file server has answered then; nclust itself, which checks again,
	 * would not wait for it */
	for (size_t i = 0; i < settings->cluster_count; i++)
		(void)recipe_check(sup, settings->clusters[i], true, &err);
	return settings_write(&c, settings) == 0 && write_answer(c.out.data, c.out.len)
		? READ_SETTINGS
		: READ_FAILED;
}

/* Can all files of `log` be opened, has each slot an address, and can libnats be
 * loaded?  Writes the mistakes, and returns the status that fits. */
static int answer_logs(void *owner)
{
	const struct supervisor *sup = owner;
	struct faults faults = {0};

	config_check_here(sup->settings, sup->launch.cpus, &faults);
	check_relays(sup->settings, &faults);
	return write_answer(faults.text.data, faults.text.len) ? faults.status : EX_OSERR;
}

/* ---- in nclust ---- */

void reread_fini(struct supervisor *sup)
{
	struct reread *r = sup->instance.reread;

	if (r == NULL)
		return;
	job_end(&r->job);
	fd_close(&r->answer);
	free(r);
	sup->instance.reread = NULL;
}

/* Report the outcome, which frees *r. */
static void on_over(void *owner, const struct pidfd_end *end)
{
	struct reread *r = owner;
	struct supervisor *sup = r->sup;
	reread_done *done = r->done;
	int how = end != NULL && !end->signalled ? end->code : READ_FAILED;
	struct settings *settings = NULL;
	struct error err = {.text = "the configuration cannot be read"};
	size_t len;
	scoped_str text = how < READ_FAILED ? read_whole(r->answer, HANDOVER_SIZE_MAX, &len) : NULL;
	bool bad = text != NULL && how == READ_MISTAKES;

	if (end == NULL)
		error_fail(&err, 0,
			"the configuration was not read within 5 s: its file, "
			"an env-file, or the name service that knows its users "
			"and groups, does not answer");
	if (text != NULL && how == READ_SETTINGS)
		settings = settings_read(text, len, &err);
	reread_fini(sup);
	done(sup, settings, bad ? text : err.text, bad);
}

int reread_begin(struct supervisor *sup, reread_done *done, struct error *err)
{
	struct reread *r;

	reread_fini(sup);
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return error_set(err, ENOMEM, "cannot read the configuration");
	*r = (struct reread){.sup = sup, .done = done};
	r->answer = memfd_make("nclust-settings");
	sup->instance.reread = r;
	if (r->answer != -1 &&
		forkjob_begin(&r->job, sup,
			&(struct forkjob_plan){
				.work = answer_settings,
				.over = on_over,
				.owner = r,
				.patience = PATIENCE,
				.keep = r->answer,
			}) == 0)
		return 0;
	error_set(err, errno, "cannot start the process that reads the configuration");
	error_hint_processes(err);
	reread_fini(sup);
	return -1;
}

/* ---- at the start ---- */

/* Log all lines but the last, which becomes the error. */
static int tell_mistakes(char *text, int status, struct error *err)
{
	char *end;

	for (char *line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		if (end[1] != '\0')
			log_error("%s", line);
		else
			error_fail(err, status, "%s", line);
	}
	return -1;
}

static int try_beside(struct supervisor *sup, struct error *err)
{
	scoped_fd answer = memfd_make("nclust-log");
	const struct forkjob_plan plan = {
		.work = answer_logs,
		.owner = sup,
		.patience = PATIENCE,
		.keep = answer,
		.silent = true, /* if the process hangs, so would readers of it */
	};
	struct pidfd_end end;
	int got = answer != -1 ? forkjob_await(sup, &plan, &end) : -1;
	scoped_str text = NULL;
	size_t len;

	if (got == -1)
		return error_set(err, errno, "cannot try the places of 'log'");
	if (got == 0)
		return error_fail(err, EX_UNAVAILABLE,
			"the places of 'log' could not be opened within 5 s: a "
			"disk or a file server does not answer");
	if (!end.signalled && end.code == 0)
		return 0;
	error_fail(err, EX_OSERR, "cannot try the places of 'log'");
	if (!end.signalled)
		text = read_whole(answer, HANDOVER_SIZE_MAX, &len);
	return text != NULL ? tell_mistakes(text, end.code, err) : -1;
}

int reread_try_logs(struct supervisor *sup, struct error *err)
{
	const struct settings *s = sup->settings;

	if (config_has_broker(s) ||
		array_find(c, s->clusters, s->cluster_count,
			(*c)->log_sink_count > 0 || cluster_has_own(*c, false)) != NULL)
		return try_beside(sup, err);
	return 0;
}
