/* SPDX-License-Identifier: MIT */
#include "supervisor/hooks/helper.h"

#include "base/scope.h"
#include "config/value.h"
#include "os/privilege.h"
#include "supervisor/common/daemon.h"
#include "supervisor/common/news_text.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/environment.h"
#include "supervisor/workers/logger_life.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_over(void *owner, const struct pidfd_end *end)
{
	struct helper *h = owner;

	if (end == NULL)
		return; /* its end comes */
	list_remove(h->job.sup->commands.helpers, h);
	helper_hear(h, false);
	fd_close(&h->trap);
	if (h->over != NULL)
		h->over(h->owner, end, h->job.late);
	free(h->file);
	free(h);
}

const char *helper_failure(char text[64], const struct pidfd_end *end, const char *late)
{
	const struct ending ending = {
		.kind = end->signalled ? ENDING_SIGNAL : ENDING_EXIT,
		.code = end->code,
	};

	if (late != NULL)
		return late;
	return end->signalled || end->code != 0 ? news_ending_text(text, &ending) : NULL;
}

void helper_forget(struct helper *h)
{
	h->over = NULL;
	helper_hear(h, false);
	job_kill(&h->job);
}

void helper_hear(struct helper *h, bool on)
{
	if (h->trap == -1 || on == ev_is_active(&h->calls))
		return;
	(on ? ev_io_start : ev_io_stop)(h->job.sup->loop, &h->calls);
}

static void on_call(struct ev_loop *loop UNUSED, ev_io *watcher, int revents UNUSED)
{
	struct helper *h = watcher->data;
	struct pollfd ready = {.fd = h->trap, .events = POLLIN};

	if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0)
		h->connects(h->owner, h->trap);
	else if ((ready.revents & POLLHUP) != 0)
		helper_hear(h, false); /* no process of it lives */
}

/* ---- birth ---- */

/* Put the facts and what `env` says for their slot, or for slot 0, into `text`; returns a list of
 * these and of the rest of the recipe's environment, heap, or NULL. */
static char **make_environment(const struct helper_plan *p, struct buffer *text)
{
	static const char key[] = "NCLUST_SLOT=";
	const struct recipe *r = p->recipe;
	size_t common = r->environment.count - r->templates;
	size_t n = common + 1;
	char **list;

	buffer_append(text, p->facts->data, p->facts->len);
	if (r->templates > 0) {
		const char *slot =
			text->len > 0 ? memmem(text->data, text->len, key, strlen(key)) : NULL;

		environment_of_slot(text, r,
			slot != NULL ? (uint32_t)strtoul(slot + strlen(key), NULL, 10) : 0);
	}
	for (size_t i = 0; i < text->len; i++)
		n += text->data[i] == '\0';
	list = text->failed ? NULL : malloc(n * sizeof(*list));
	if (list == NULL)
		return NULL;
	n = 0;
	for (char *at = text->data; at < text->data + text->len; at += strlen(at) + 1)
		list[n++] = at;
	for (size_t i = 0; i < common; i++)
		list[n++] = r->environment.list[i];
	list[n] = NULL;
	return list;
}

/* One of another user has a pipe as workers have, and no file of ours open for writing. */
static int spawn_helper(
	struct helper *h, const struct helper_plan *p, char *const *environment, struct error *err)
{
	struct supervisor *sup = p->service->sup;
	struct child own = {
		.service = p->service,
		.serial = ++sup->births.next_serial,
		.generation = cluster_generation(p->service->core),
		.pidfd = -1,
		.output = {-1, -1},
	};
	const struct cluster_settings *s = p->recipe->settings;
	bool captured = p->output[0] <= 0 && !p->silent && s != NULL && s->uid >= 0 &&
		(uid_t)s->uid != geteuid(); /* of another user */
	int output[2] = {p->output[0], p->output[1]};
	struct strings candidates;
	struct spawn_failure failure;
	struct spawn_trap trap = {
		.privileged = privilege_has(CAP_SYS_ADMIN), .which = SECCOMP_CONNECTS, .fd = -1};
	struct spawn_plan plan;
	int got;

	if (recipe_candidates(&candidates, p->recipe, p->command->list[0], err) == -1)
		return -1;
	recipe_plan(sup, &plan, p->recipe);
	plan.candidates = (const char *const *)candidates.list;
	plan.argv = p->command->list;
	plan.envp = environment;
	plan.death_signal = SIGKILL;
	plan.trap = p->connects != NULL ? &trap : NULL;
	if (captured)
		capture_open(p->service, &own, output);
	if (captured && output[0] == -1) /* `accept = yes`: that has no pipe */
		output[0] = output[1];
	for (int i = 1; i <= 2; i++)
		plan.fds[plan.fd_count++] = (struct spawn_fd){output[i - 1] > 0 ? output[i - 1]
				: p->silent                                     ? sup->null_fd
					    : daemon_output(sup, i),
			i};
	got = spawn(&plan, &h->job.pid, &h->job.pidfd, &failure);
	if (got == -1)
		spawn_explain(&failure, p->command->list[0], err);
	h->trap = trap.fd;
	strings_clear(&candidates);
	if (captured) {
		capture_close(sup, output);
		own.pid = h->job.pid;
		logger_start_put_off(sup);
		capture_hand_over(p->service, &own);
		/* the logger is to forget it at the end of the pipe; nobody hears its last words */
		if (own.output[1] != -1)
			(void)capture_ask_last(&own);
		capture_drop(&own);
	}
	return got;
}

static void init_job(struct helper *h, struct supervisor *sup)
{
	h->job.leads = true;
	job_init(&h->job, sup, on_over, h);
	ev_io_init(&h->calls, on_call, h->trap, EV_READ);
	h->calls.data = h;
	helper_hear(h, h->connects != NULL);
}

struct helper *helper_start(const struct helper_plan *p, struct error *err)
{
	struct helper *h = calloc(1, sizeof(*h));
	scoped_buffer text = {0};
	char **environment = h != NULL ? make_environment(p, &text) : NULL;
	int got = -1;

	if (environment != NULL && p->file != NULL)
		h->file = strdup(p->file);
	if (h == NULL || environment == NULL || (p->file != NULL && h->file == NULL)) {
		error_set(err, ENOMEM, "'%s'", p->command->list[0]);
	} else {
		h->over = p->over;
		h->connects = p->connects;
		h->owner = p->owner;
		got = spawn_helper(h, p, environment, err);
	}
	free(environment);
	if (h == NULL || got == -1) {
		if (h != NULL)
			free(h->file);
		free(h);
		return NULL;
	}
	init_job(h, p->service->sup);
	h->next = h->job.sup->commands.helpers;
	h->job.sup->commands.helpers = h;
	job_begin(&h->job, p->patience);
	return h;
}

/* ---- after an upgrade ---- */

void *helper_carried(struct carry_reader *r, void *owner UNUSED)
{
	struct supervisor *sup = r->sup;
	struct helper *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->job.pidfd = h->trap = -1;
	h->job.sup = sup;
	h->next = sup->commands.helpers;
	sup->commands.helpers = h;
	return h;
}

void helper_claim(struct helper *h, helper_over *over, helper_connects *connects, void *owner)
{
	h->over = over;
	h->connects = connects;
	h->owner = owner;
	helper_hear(h, connects != NULL);
}

void helpers_resume(struct supervisor *sup)
{
	for (struct helper *h = sup->commands.helpers; h != NULL; h = h->next) {
		init_job(h, sup);
		job_resume(&h->job);
	}
}

/* ---- their environment ---- */

void helper_fact(struct buffer *facts, const char *key, const char *value)
{
	buffer_printf(facts, "%s=%s%c", key, value, '\0');
}

void helper_number(struct buffer *facts, const char *key, uint64_t n)
{
	buffer_printf(facts, "%s=%" PRIu64 "%c", key, n, '\0');
}

void helper_facts(struct buffer *facts, const struct service *service)
{
	const struct supervisor *sup = service->sup;

	helper_fact(facts, "NCLUST_NAME", sup->settings->name);
	helper_fact(facts, "NCLUST_CLUSTER", service->name);
	if (sup->has_rundir)
		buffer_printf(facts, "NCLUST_SOCKET=%s/control%c", sup->rundir.path, '\0');
}

/* ---- the end ---- */

void helpers_free(struct supervisor *sup)
{
	const struct pidfd_end killed = {.signalled = true, .code = SIGKILL};

	while (sup->commands.helpers != NULL) {
		struct helper *h = sup->commands.helpers;

		job_end(&h->job); /* if it is not dead yet, init will reap it */
		h->job.late = true;
		on_over(h, &killed);
	}
}
