/* SPDX-License-Identifier: MIT */
#include "supervisor/hooks/helper.h"

#include "base/log.h"
#include "base/scope.h"
#include "config/value.h"
#include "os/clock.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/child.h"
#include "supervisor/common/daemon.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* nclust wakes so often in a helper's time, to see whether it gets the CPU.  If it comes
 * so late, the helper may have had none either, and has as much more time; at its end a
 * moment, once. */
#define WAKES 8
#define LATE (10 * MSEC)
#define MOMENT (500 * MSEC)

struct helper *helper_by_pid(const struct supervisor *sup, pid_t pid)
{
	struct helper *h = sup->commands.helpers;

	while (h != NULL && h->pid != pid)
		h = h->next;
	return h;
}

/* Kill its group.  It is not reaped, so pid and group are still its own. */
static void kill_group(struct helper *h)
{
	if (pidfd_signal_group(h->pidfd, h->pid, SIGKILL) == -1 && errno != ESRCH)
		log_debug("cannot kill helper %d: %s", (int)h->pid, strerror(errno));
}

static void release(struct helper *h)
{
	struct helper **at = &h->sup->commands.helpers;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	ev_io_stop(h->sup->loop, &h->exit);
	ev_timer_stop(h->sup->loop, &h->patience);
	(void)close(h->pidfd);
	free(h->file);
	free(h);
}

void helper_ended(struct helper *h)
{
	helper_over *over = h->over;
	void *owner = h->owner;
	bool late = h->late;
	struct pidfd_end end;

	if (pidfd_peek(h->pidfd, &end) != 1)
		return;
	kill_group(h); /* what it has left behind */
	(void)pidfd_reap(h->pidfd, &end);
	release(h);
	if (over != NULL)
		over(owner, &end, late);
}

static void on_exit_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	(void)loop;
	(void)revents;
	helper_ended(watcher->data);
}

static void wait_for(struct helper *h, nsec_t now)
{
	nsec_t left = h->due > now ? h->due - now : 0;

	if (h->span > 0)
		left = nsec_min(left, h->span / WAKES + LATE);
	h->wakes_at = h->due < now ? h->due : now + left; /* after an upgrade */
	timer_arm(h->sup->loop, &h->patience, left);
}

static void forgive(struct helper *h, nsec_t now)
{
	nsec_t late = now - h->wakes_at;

	if (late < LATE)
		return;
	h->due += late;
	if (now < h->due || h->granted)
		return;
	h->granted = true;
	h->due = now + (h->span > 0 ? nsec_min(MOMENT, h->span) : MOMENT);
}

/* Who has ended was in time, if nclust was not. */
static void on_patience(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct helper *h = timer->data;
	nsec_t now = clock_now();
	struct pidfd_end end;

	(void)loop;
	(void)revents;
	if (pidfd_peek(h->pidfd, &end) == 1) {
		helper_ended(h);
		return;
	}
	forgive(h, now);
	if (now < h->due) {
		wait_for(h, now);
		return;
	}
	h->late = true;
	kill_group(h);
}

void helper_forget(struct helper *h)
{
	h->over = NULL;
	kill_group(h);
}

/* ---- birth ---- */

static char **make_environment(const struct helper_plan *p)
{
	const struct recipe *r = p->recipe;
	const char *at = p->facts->data;
	const char *end = at + p->facts->len;
	size_t n = r->environment.count + 1;
	char **list;

	for (size_t i = 0; i < p->facts->len; i++)
		n += at[i] == '\0';
	list = malloc(n * sizeof(*list));
	if (list == NULL)
		return NULL;
	n = 0;
	for (; at < end; at += strlen(at) + 1)
		list[n++] = (char *)(uintptr_t)at;
	for (size_t i = 0; i < r->environment.count; i++)
		list[n++] = r->environment.list[i];
	list[n] = NULL;
	return list;
}

static int run(
	struct helper *h, const struct helper_plan *p, char *const *environment, struct error *err)
{
	struct supervisor *sup = h->sup;
	struct strings candidates;
	struct spawn_failure failure;
	struct spawn_plan plan;
	int got;

	if (recipe_candidates(&candidates, p->recipe, p->command->list[0], err) == -1)
		return -1;
	child_plan(sup, &plan, p->recipe);
	plan.candidates = (const char *const *)candidates.list;
	plan.argv = p->command->list;
	plan.envp = environment;
	plan.death_signal = SIGKILL;
	for (int i = 1; i <= 2; i++)
		plan.fds[plan.fd_count++] =
			(struct spawn_fd){p->output[i - 1] > 0 ? p->output[i - 1]
					: p->silent            ? sup->null_fd
							       : daemon_output(sup, i),
				i};
	got = spawn(&plan, &h->pid, &h->pidfd, &failure);
	if (got == -1)
		spawn_explain(&failure, p->command->list[0], err);
	strings_clear(&candidates);
	return got;
}

static void watch(struct helper *h)
{
	struct supervisor *sup = h->sup;

	io_init(&h->exit, on_exit_readable, h->pidfd, h);
	ev_io_start(sup->loop, &h->exit);
	timer_init(&h->patience, on_patience, h);
	wait_for(h, clock_now());
}

struct helper *helper_start(const struct helper_plan *p, struct error *err)
{
	struct helper *h = calloc(1, sizeof(*h));
	char **environment = h != NULL ? make_environment(p) : NULL;
	int got = -1;

	if (environment != NULL && p->file != NULL)
		h->file = strdup(p->file);
	if (environment == NULL || (p->file != NULL && h->file == NULL)) {
		(void)error_set(err, ENOMEM, "'%s'", p->command->list[0]);
	} else {
		h->sup = p->service->sup;
		h->over = p->over;
		h->owner = p->owner;
		got = run(h, p, environment, err);
	}
	free(environment);
	if (got == -1) {
		if (h != NULL)
			free(h->file);
		free(h);
		return NULL;
	}
	h->due = nsec_add(clock_now(), p->patience);
	h->span = p->patience;
	h->next = h->sup->commands.helpers;
	h->sup->commands.helpers = h;
	watch(h);
	return h;
}

/* ---- after an upgrade ---- */

void *helper_carried(struct carry_reader *r, void *owner)
{
	struct supervisor *sup = r->sup;
	struct helper *h = calloc(1, sizeof(*h));

	(void)owner;
	if (h == NULL)
		return NULL;
	h->pidfd = -1;
	h->sup = sup;
	h->next = sup->commands.helpers;
	sup->commands.helpers = h;
	return h;
}

int helpers_verify(const struct supervisor *sup, struct error *err)
{
	for (const struct helper *h = sup->commands.helpers; h != NULL; h = h->next)
		if (!pidfd_is_child(h->pidfd, h->pid))
			return error_set(
				err, errno, "command %d is not a child of ours", (int)h->pid);
	return 0;
}

void helper_claim(struct helper *h, helper_over *over, void *owner)
{
	h->over = over;
	h->owner = owner;
}

void helpers_resume(struct supervisor *sup)
{
	for (struct helper *h = sup->commands.helpers; h != NULL; h = h->next)
		watch(h);
}

/* ---- their environment ---- */

void helper_fact(struct buffer *facts, const char *key, const char *value)
{
	(void)buffer_string(facts, key);
	(void)buffer_string(facts, "=");
	(void)buffer_string(facts, value);
	(void)buffer_append(facts, "", 1);
}

void helper_number(struct buffer *facts, const char *key, uint64_t n)
{
	(void)buffer_string(facts, key);
	(void)buffer_string(facts, "=");
	(void)buffer_number(facts, n, 10);
	(void)buffer_append(facts, "", 1);
}

void helper_facts(struct buffer *facts, const struct service *service)
{
	const struct supervisor *sup = service->sup;

	helper_fact(facts, "NCLUST_NAME", sup->settings->name);
	helper_fact(facts, "NCLUST_CLUSTER", service->name);
	if (!sup->has_rundir)
		return;
	(void)buffer_string(facts, "NCLUST_SOCKET=");
	(void)buffer_string(facts, sup->rundir.path);
	(void)buffer_append(facts, "/control", sizeof("/control"));
}

/* ---- the end ---- */

void helpers_free(struct supervisor *sup)
{
	while (sup->commands.helpers != NULL) {
		struct helper *h = sup->commands.helpers;
		helper_over *over = h->over;
		void *owner = h->owner;
		struct pidfd_end end = {.signalled = true, .code = SIGKILL};

		kill_group(h);
		/* if it is not dead yet, init will reap it */
		(void)pidfd_reap(h->pidfd, &end);
		release(h);
		if (over != NULL)
			over(owner, &end, true);
	}
}
