/* SPDX-License-Identifier: MIT */
#include "supervisor/logs/logs.h"

#include "base/log.h"
#include "base/text.h"
#include "config/logfile.h"
#include "config/value.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "supervisor/common/registry.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE (10 * SECOND)
#define ASKS_OF_ONE 256 /* answered by one process */
#define CHANNEL_MS 1000
#define PACKING_PATIENCE (3600 * SECOND)

/* ---- in the process that opens ---- */

static int open_it(const struct service *service, const struct logwire_packet *p,
	struct logfile *file, struct error *err)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	const struct log_sink *sink = &s->log_sinks[p->which];

	return p->what == LOGWIRE_ASK_ROTATE
		? logfile_rotate(file, sink, service->name, p->slot, p->worker, s->log_keep, err)
		: logfile_open(file, sink, service->name, p->slot, err);
}

static bool send_answer(const struct logwire_packet *p, int fd)
{
	struct pollfd at = {.fd = ASIDE_FD, .events = POLLOUT};

	while (fdpass_send(ASIDE_FD, p, sizeof(*p), &fd, fd != -1) == -1)
		if ((errno != EAGAIN && errno != ENOBUFS) || poll(&at, 1, CHANNEL_MS) != 1)
			return false;
	return true;
}

static bool open_and_send(const struct service *service, const struct logwire_packet *p)
{
	struct logwire_packet back = *p;
	struct logfile file = {.fd = -1};
	struct error err = {0};
	scoped_buffer facts = {.limit = sizeof(back.text)};
	bool sent;

	back.kind = LOGWIRE_OPENED;
	back.stream = 0;
	*back.text = '\0';
	if (open_it(service, p, &file, &err) == -1) {
		back.stream = err.sys > 0 ? (uint32_t)err.sys : ENXIO;
		log_warn("%s: log: %s%s", service->name, err.text,
			p->what == LOGWIRE_ASK_ROTATE ? "; still writing to the old file" : "");
		return send_answer(&back, -1);
	}
	back.what = file.rotated ? LOGWIRE_ASK_ROTATE : LOGWIRE_ASK_OPEN;
	buffer_printf(&facts, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, file.inode, file.size,
		file.born, file.dev);
	text_copy(back.text, sizeof(back.text), buffer_text(&facts));
	sent = send_answer(&back, file.fd);
	(void)close(file.fd);
	return sent;
}

static int run_opener(void *owner)
{
	const struct opener *o = owner;

	for (const struct ask *a = o->sup->logs->asks; a != NULL; a = a->next)
		if (a->opener == o && !open_and_send(service_named(o->sup, a->p.cluster), &a->p))
			break;
	return 0;
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

static bool is_same(const struct logwire_packet *a, const struct logwire_packet *b)
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
	const struct helper *h = sup->commands.helpers;
	char path[PATH_MAX];

	if (h == NULL || p->what != LOGWIRE_ASK_ROTATE || !old_path(path, sup, p))
		return false;
	while (h != NULL && (h->file == NULL || strcmp(h->file, path) != 0))
		h = h->next;
	return h != NULL;
}

static bool has_place(const struct supervisor *sup, const char *cluster)
{
	unsigned count = 0;

	for (size_t i = 0; i < OPENERS; i++)
		count += sup->logs->openers[i].job.pid != 0 &&
			strcmp(sup->logs->openers[i].cluster, cluster) == 0;
	return count < OPENERS_OF_ONE;
}

/* May the request be served?  Not while a command works on an old file, whose name
 * would change; nor while a process is at the same sink. */
static bool is_free(const struct supervisor *sup, const struct ask *ask)
{
	if (ask->opener != NULL || !has_place(sup, ask->p.cluster) || is_packed(sup, &ask->p))
		return false;
	for (const struct ask *a = sup->logs->asks; a != NULL; a = a->next)
		if (a->opener != NULL && is_same(&a->p, &ask->p))
			return false;
	return true;
}

/* Drop the requests of this opener; NULL: requests that cannot be answered any more. */
static void drop_asks(struct supervisor *sup, const struct opener *o)
{
	struct ask **at = &sup->logs->asks;

	while (*at != NULL) {
		struct ask *ask = *at;

		if (ask->opener != o || (o == NULL && sink_of(sup, &ask->p) != NULL)) {
			at = &ask->next;
			continue;
		}
		*at = ask->next;
		sup->logs->count--;
		free(ask);
	}
}

/* A process that cannot be killed keeps its place until it has ended. */
static void on_over(void *owner, const struct pidfd_end *end)
{
	struct opener *o = owner;

	if (end == NULL) {
		log_warn("%s: a log file cannot be opened: its disk does not "
			 "answer",
			o->cluster);
		return;
	}
	drop_asks(o->sup, o);
	opener_run(o->sup);
}

static void start_opener(struct supervisor *sup, struct opener *o)
{
	const struct forkjob_plan plan = {
		.work = run_opener,
		.over = on_over,
		.owner = o,
		.patience = PATIENCE,
		/* the logger sees our end closed when no process has it any more */
		.keep = sup->logger.watcher.fd,
	};

	if (forkjob_begin(&o->job, sup, &plan) == 0)
		return;
	log_syserr("cannot open log files");
	drop_asks(sup, o); /* the logger asks again */
}

/* Give the opener a request, and others of the same sink. */
static bool assign_asks(struct supervisor *sup, struct opener *o)
{
	struct ask *first = sup->logs->asks;
	unsigned count = 0;

	while (first != NULL && !is_free(sup, first))
		first = first->next;
	if (first != NULL)
		text_copy(o->cluster, sizeof(o->cluster), first->p.cluster);
	for (struct ask *a = first; a != NULL && count < ASKS_OF_ONE; a = a->next)
		if (a->opener == NULL && is_same(&a->p, &first->p) && !is_packed(sup, &a->p)) {
			a->opener = o;
			count++;
		}
	return first != NULL;
}

void opener_run(struct supervisor *sup)
{
	if (sup->logs == NULL || sup->logger.watcher.fd == -1)
		return;
	drop_asks(sup, NULL);
	for (size_t i = 0; i < OPENERS; i++) {
		struct opener *o = &sup->logs->openers[i];

		if (o->job.pid != 0)
			continue;
		o->sup = sup;
		if (!assign_asks(sup, o))
			return;
		start_opener(sup, o);
	}
}

static struct logs *logs_of(struct supervisor *sup)
{
	if (sup->logs == NULL)
		sup->logs = calloc(1, sizeof(*sup->logs));
	if (sup->logs == NULL)
		log_error("no memory for the log files");
	return sup->logs;
}

void opener_take(struct supervisor *sup, const struct logwire_packet *p)
{
	struct logs *logs = logs_of(sup);
	struct ask **end;
	struct ask *ask;

	if (logs == NULL || sink_of(sup, p) == NULL || logs->count >= ASKS_MOST)
		return;
	for (end = &logs->asks; *end != NULL; end = &(*end)->next)
		if (is_same(&(*end)->p, p) && (*end)->p.slot == p->slot && (*end)->opener == NULL) {
			(*end)->p = *p; /* a second request for it takes its place */
			return;
		}
	ask = calloc(1, sizeof(*ask));
	if (ask == NULL)
		return;
	ask->p = *p;
	*end = ask;
	logs->count++;
	opener_run(sup);
}

void opener_finish(struct supervisor *sup, nsec_t span)
{
	nsec_t until = clock_now() + span;

	while (sup->logs != NULL && sup->logs->asks != NULL && sup->logger.watcher.fd != -1 &&
		clock_now() < until) {
		struct pollfd wait[OPENERS];

		opener_run(sup);
		for (size_t i = 0; i < OPENERS; i++) {
			const struct job *a = &sup->logs->openers[i].job;

			wait[i] = (struct pollfd){
				.fd = a->pid != 0 ? a->pidfd : -1,
				.events = POLLIN,
			};
		}
		(void)poll(wait, OPENERS, 100);
		for (size_t i = 0; i < OPENERS; i++)
			if (sup->logs->openers[i].job.pid != 0)
				job_look(&sup->logs->openers[i].job);
	}
}

void opener_forget(struct supervisor *sup)
{
	struct ask *ask = sup->logs != NULL ? sup->logs->asks : NULL;

	for (; ask != NULL; ask = ask->next)
		if (ask->opener == NULL)
			ask->p.which = LOGWIRE_ROUTES_MAX; /* no sink has it: see drop_asks() */
	if (sup->logs != NULL)
		drop_asks(sup, NULL);
}

static void forget_packings(struct supervisor *sup)
{
	for (struct helper *h = sup->commands.helpers; h != NULL; h = h->next)
		if (h->file != NULL && h->over != NULL) {
			free(h->owner);
			helper_forget(h);
		}
}

void opener_free(struct supervisor *sup)
{
	forget_packings(sup);
	if (sup->logs == NULL)
		return;
	for (size_t i = 0; i < OPENERS; i++) {
		job_end(&sup->logs->openers[i].job);
		drop_asks(sup, &sup->logs->openers[i]);
	}
	opener_forget(sup);
	free(sup->logs);
	sup->logs = NULL;
}

/* ---- compressing ---- */

static void on_packed(void *owner, const struct pidfd_end *end, bool late)
{
	struct packing *k = owner;
	struct supervisor *sup = k->sup;

	if (late || end->signalled || end->code != 0)
		log_warn("log-compress: '%s': failed (%s %d)", k->path,
			end->signalled ? "signal" : "exit", end->code);
	free(k);
	opener_run(sup);
}

static struct packing *packing_new(struct supervisor *sup)
{
	struct packing *k = calloc(1, sizeof(*k));

	if (k == NULL)
		log_error("no memory for log-compress");
	else
		k->sup = sup;
	return k;
}

static int run_command(struct service *service, struct packing *k, struct error *err)
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
		.file = k->path,
		.patience = PACKING_PATIENCE,
		.over = on_packed,
		.owner = k,
	};
	bool whole = true;

	for (size_t i = 0; i < s->log_compress.command.count; i++)
		whole &= strings_add(&command, s->log_compress.command.list[i]) == 0;
	whole &= strings_add(&command, k->path) == 0;
	helper_facts(&facts, service);
	if (!whole || facts.failed)
		error_set(err, ENOMEM, "cannot start it");
	else if (ours != NULL)
		helper = helper_start(&plan, err);
	if (ours != NULL)
		recipe_free(ours);
	strings_clear(&command);
	return helper != NULL ? 0 : -1;
}

void opener_pack(struct supervisor *sup, const struct logwire_packet *p)
{
	struct service *service = service_named(sup, p->cluster);
	const struct log_sink *sink = sink_of(sup, p);
	struct packing *k;
	struct error err;

	/* since then there may be another one in its place; an earlier nclust's logger
	 * does not say which it was */
	if (sink == NULL || sink->path == NULL ||
		(*p->text != '\0' && strncmp(p->text, sink->path, sizeof(p->text) - 1) != 0) ||
		cluster_settings(service->core)->log_compress.text == NULL)
		return;
	k = packing_new(sup);
	if (k == NULL || !old_path(k->path, sup, p)) {
		free(k);
		return;
	}
	if (run_command(service, k, &err) == -1) {
		log_warn("%s: log-compress: %s", service->name, err.text);
		free(k);
	}
}

void opener_resume(struct supervisor *sup)
{
	for (struct helper *h = sup->commands.helpers; h != NULL; h = h->next) {
		struct packing *k = h->file != NULL ? packing_new(sup) : NULL;

		if (k == NULL)
			continue;
		text_copy(k->path, sizeof(k->path), h->file);
		helper_claim(h, on_packed, k);
	}
}
