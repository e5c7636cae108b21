/* SPDX-License-Identifier: MIT */
#include "supervisor/logs/opener.h"

#include "base/error.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "config/logfile.h"
#include "config/value.h"
#include "config/value_log.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/fdpass.h"
#include "supervisor/common/registry.h"
#include "supervisor/hooks/helper.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE (10 * SECOND)
#define MOMENT_MS 100
#define PACKING_PATIENCE (3600 * SECOND)

/* ---- in the process that opens ---- */

/* Returns the exit status. */
static int send_answer(const struct logwire_packet *p, int fd)
{
	return fdpass_send_patiently(ASIDE_FD, p, sizeof(*p), &fd, fd != -1) == -1 ? EXIT_FAILURE
										   : EXIT_SUCCESS;
}

static int answer_ask(void *owner)
{
	const struct ask *ask = owner;
	const struct logwire_packet *p = &ask->p;
	const struct service *service = service_named(ask->sup, p->cluster);
	const struct cluster_settings *s = cluster_settings(service->core);
	const struct log_sink *sink = &s->log_sinks[p->which];
	struct logwire_packet back = *p;
	struct logfile file = {.fd = -1};
	struct error err = {0};
	scoped_buffer facts = {.limit = sizeof(back.text)};
	int got;

	back.kind = LOGWIRE_OPENED;
	back.stream = 0;
	*back.text = '\0';
	got = p->what == LOGWIRE_ASK_ROTATE
		? logfile_rotate(&file, sink, service->name, p->slot, p->worker, s->log_keep, &err)
		: logfile_open(&file, sink, service->name, p->slot, &err);
	if (got == -1) {
		back.stream = err.sys > 0 ? (uint32_t)err.sys : ENXIO;
		log_warn("%s: log: %s%s", service->name, err.text,
			p->worker != 0 ? "; still writing to the old file" : "");
		return send_answer(&back, -1);
	}
	back.what = file.rotated ? LOGWIRE_ASK_ROTATE : LOGWIRE_ASK_OPEN;
	buffer_printf(&facts, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
		file.inode, file.size, file.born, file.dev,
		file.inode != 0 ? descriptors_place(file.fd) : 0);
	text_copy(back.text, sizeof(back.text), buffer_text(&facts));
	return send_answer(&back, file.fd);
}

/* ---- in nclust ---- */

/* The sink that is asked for; NULL: it was removed. */
static const struct log_sink *sink_of(const struct supervisor *sup, const struct logwire_packet *p)
{
	const struct service *service = service_named(sup, p->cluster);
	const struct cluster_settings *s;

	if (service == NULL)
		return NULL;
	s = cluster_settings(service->core);
	if (p->which >= s->log_sink_count || s->log_sinks[p->which].kind < SINK_FILE ||
		p->slot >= WORKERS_MAX)
		return NULL;
	return &s->log_sinks[p->which];
}

static bool is_same_sink(const struct logwire_packet *a, const struct logwire_packet *b)
{
	return a->which == b->which && strcmp(a->cluster, b->cluster) == 0;
}

/* The path of the sink's last old file; false: it has none. */
static bool old_path(
	char path[PATH_MAX], const struct supervisor *sup, const struct logwire_packet *p)
{
	const struct log_sink *sink = sink_of(sup, p);
	size_t len;

	if (sink == NULL || sink->kind != SINK_FILE ||
		!value_log_path(sink, p->cluster, p->slot, path, PATH_MAX - 2))
		return false;
	len = strlen(path);
	text_copy(path + len, PATH_MAX - len, ".1");
	return true;
}

/* Does a command compress it, also one that was started before an upgrade? */
static bool is_packed(const struct supervisor *sup, const struct logwire_packet *p)
{
	char path[PATH_MAX];

	return sup->commands.helpers != NULL && p->what == LOGWIRE_ASK_ROTATE &&
		old_path(path, sup, p) &&
		list_find(h, sup->commands.helpers,
			h->file != NULL && strcmp(h->file, path) == 0) != NULL;
}

/* May the request be answered now?  Not while a command works on an old file, whose name would
 * change; nor while a process is at files of the same sink, or too many are. */
static bool may_begin(const struct supervisor *sup, const struct ask *ask)
{
	unsigned of_cluster = 0;
	unsigned count = 0;

	for (const struct ask *a = sup->asks_running; a != NULL; a = a->next, count++) {
		if (is_same_sink(&a->p, &ask->p))
			return false;
		of_cluster += strcmp(a->p.cluster, ask->p.cluster) == 0;
	}
	return count < OPENERS && of_cluster < OPENERS_OF_ONE && !is_packed(sup, &ask->p);
}

static void drop_ask(struct ask **list, struct ask *ask)
{
	list_remove(*list, ask);
	free(ask);
}

/* A process that cannot be killed stays among those of its cluster until it has ended. */
static void on_over(void *owner, const struct pidfd_end *end)
{
	struct ask *ask = owner;
	struct supervisor *sup = ask->sup;

	if (end == NULL) {
		log_warn("%s: a log file cannot be opened: its disk does not "
			 "answer",
			ask->p.cluster);
		return;
	}
	drop_ask(&sup->asks_running, ask);
	opener_run(sup);
}

static int begin_ask(struct supervisor *sup, struct ask **at)
{
	struct ask *ask = *at;
	struct error err;
	const struct forkjob_plan plan = {
		.work = answer_ask,
		.over = on_over,
		.owner = ask,
		.patience = PATIENCE,
		/* the logger sees our end closed when no process has it any more */
		.keep = sup->logger.watcher.fd,
	};

	*at = ask->next;
	ask->next = sup->asks_running;
	sup->asks_running = ask;
	if (forkjob_begin(&ask->job, sup, &plan) == 0)
		return 0;
	error_set(&err, errno, "cannot open log files");
	error_hint_processes(&err);
	log_error("%s", err.text);
	drop_ask(&sup->asks_running, ask); /* the logger asks again */
	return -1;
}

void opener_run(struct supervisor *sup)
{
	struct ask **at = &sup->asks_waiting;

	while (*at != NULL && sup->logger.watcher.fd != -1)
		if (sink_of(sup, &(*at)->p) == NULL)
			drop_ask(at, *at);
		else if (!may_begin(sup, *at))
			at = &(*at)->next;
		else if (begin_ask(sup, at) == 0)
			at = &sup->asks_waiting;
		else
			return;
}

void opener_take(struct supervisor *sup, const struct logwire_packet *p)
{
	struct ask **end;
	unsigned count = 0;

	if (sink_of(sup, p) == NULL)
		return;
	for (end = &sup->asks_waiting; *end != NULL; end = &(*end)->next, count++)
		if (is_same_sink(&(*end)->p, p) && (*end)->p.slot == p->slot) {
			(*end)->p = *p; /* a second request for it takes its place */
			return;
		}
	if (count < ASKS_MOST)
		*end = calloc(1, sizeof(**end));
	if (*end == NULL)
		return;
	(*end)->sup = sup;
	(*end)->p = *p;
	opener_run(sup);
}

void opener_finish(struct supervisor *sup, nsec_t span)
{
	nsec_t until = clock_now() + span;
	struct ask *next;

	while ((sup->asks_waiting != NULL || sup->asks_running != NULL) &&
		sup->logger.watcher.fd != -1 && clock_now() < until) {
		struct pollfd first = {.fd = -1, .events = POLLIN};

		opener_run(sup);
		if (sup->asks_running != NULL)
			first.fd = sup->asks_running->job.pidfd;
		(void)poll(&first, 1, MOMENT_MS);
		for (struct ask *a = sup->asks_running; a != NULL; a = next) {
			next = a->next;
			(void)job_look(&a->job);
		}
	}
}

void opener_forget(struct supervisor *sup)
{
	while (sup->asks_waiting != NULL)
		drop_ask(&sup->asks_waiting, sup->asks_waiting);
}

void opener_free(struct supervisor *sup)
{
	struct ask *ask;

	for (struct helper *h = sup->commands.helpers; h != NULL; h = h->next)
		if (h->file != NULL)
			helper_forget(h);
	opener_forget(sup);
	while ((ask = sup->asks_running) != NULL) {
		job_end(&ask->job);
		drop_ask(&sup->asks_running, ask);
	}
}

/* ---- compressing ---- */

/* `owner` is the helper itself, which an upgrade carries. */
static void on_packed(void *owner, const struct pidfd_end *end, bool late)
{
	const struct helper *h = owner;

	if (late || end->signalled || end->code != 0)
		log_warn("log-compress: '%s': failed (%s %d)", h->file,
			end->signalled ? "signal" : "exit", end->code);
	opener_run(h->job.sup);
}

static int run_command(struct service *service, const char *path, struct error *err)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	struct strings command = {0};
	struct recipe *ours = recipe_ours(service->sup, err);
	struct helper *helper = NULL;
	scoped_buffer facts = {0};
	struct helper_plan plan = {
		.recipe = ours,
		.service = service,
		.command = &command,
		.facts = &facts,
		.file = path,
		.patience = PACKING_PATIENCE,
	};
	bool whole = true;

	for (size_t i = 0; i < s->log_compress.command.count; i++)
		whole &= strings_add(&command, s->log_compress.command.list[i]) == 0;
	whole &= strings_add(&command, path) == 0;
	helper_facts(&facts, service);
	if (!whole || facts.failed)
		error_set(err, ENOMEM, "cannot start it");
	else if (ours != NULL)
		helper = helper_start(&plan, err);
	if (ours != NULL)
		recipe_free(ours);
	strings_clear(&command);
	if (helper == NULL)
		return -1;
	helper_claim(helper, on_packed, NULL, helper);
	return 0;
}

void opener_pack(struct supervisor *sup, const struct logwire_packet *p)
{
	struct service *service = service_named(sup, p->cluster);
	const struct log_sink *sink = sink_of(sup, p);
	char path[PATH_MAX];
	struct error err;

	/* since then there may be another one in its place; an earlier nclust's logger
	 * does not say which it was */
	if (sink == NULL || sink->path == NULL ||
		(*p->text != '\0' && strncmp(p->text, sink->path, sizeof(p->text) - 1) != 0) ||
		cluster_settings(service->core)->log_compress.text == NULL ||
		!old_path(path, sup, p))
		return;
	if (run_command(service, path, &err) == -1)
		log_warn("%s: log-compress: %s", service->name, err.text);
}

void opener_resume(struct supervisor *sup)
{
	for (struct helper *h = sup->commands.helpers; h != NULL; h = h->next)
		if (h->file != NULL)
			helper_claim(h, on_packed, NULL, h);
}
