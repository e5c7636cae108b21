/* SPDX-License-Identifier: MIT */
#include "supervisor/limits/limits.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/cgroup_tree.h"
#include "os/clock.h"
#include "os/process.h"
#include "protocol/json.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/trouble.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A cgroup can be removed when all its processes have ended, and so not at once: nclust tries again
 * after SWEEP_FIRST, then after twice as long each time, until SWEEP_LAST. */
#define SWEEP_FIRST (20 * MSEC)
#define SWEEP_LAST (60 * SECOND)
#define LAST_SWEEPS 20 /* at nclust's end, 5 ms each */

struct limits {
	struct cgroup_tree tree;
	ev_timer sweep;
	nsec_t wait;
};

/* No name of an instance or a cluster has "@". */
#define NAME_SIZE 160 /* two names of 64 characters at most */
#define GROUP_SIZE (NAME_SIZE + 64)

/* The name of nclust's own cgroup. */
static void put_own_name(const struct supervisor *sup, char to[NAME_SIZE])
{
	snprintf(to, NAME_SIZE, "nclust@%s", sup->settings->name);
}

/* The name of the worker's cgroup; "": it has none. */
static const char *group_of(const struct child *c)
{
	return c->limited != NULL && c->limited->group != NULL ? c->limited->group : "";
}

static bool is_grouped(const struct child *c)
{
	return c->limited != NULL && c->limited->grouped;
}

/* ---- sweeping ---- */

static bool is_cgroup_used(void *context, const char *name, const char *worker)
{
	const struct supervisor *sup = context;
	unsigned long slot = strtoul(worker, NULL, 10);
	char group[GROUP_SIZE];

	snprintf(group, sizeof(group), "%s/%s", name, worker);
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];

		for (int k = 0; k < 2 && slot < s->child_slots; k++)
			if (s->children[slot][k] != NULL &&
				strcmp(group_of(s->children[slot][k]), group) == 0)
				return true;
	}
	return false;
}

static unsigned sweep_cgroups(struct supervisor *sup)
{
	char prefix[NAME_SIZE];

	snprintf(prefix, sizeof(prefix), "nclust@%s@", sup->settings->name);
	return sup->limits->tree.base != -1
		? cgroup_sweep(&sup->limits->tree, prefix, is_cgroup_used, sup)
		: 0;
}

static void on_sweep(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	struct limits *l = sup->limits;
	unsigned left = sweep_cgroups(sup);

	if (left == 0)
		return;
	l->wait = l->wait == 0 ? SWEEP_FIRST : 2 * l->wait;
	if (l->wait <= SWEEP_LAST)
		timer_arm(loop, timer, l->wait);
	else
		log_warn("%u cgroup%s of workers that have ended cannot be "
			 "removed: processes are left in %s",
			left, left == 1 ? "" : "s", left == 1 ? "it" : "them");
}

static void arm_sweep(struct supervisor *sup)
{
	sup->limits->wait = 0;
	timer_arm_within(sup->loop, &sup->limits->sweep, SWEEP_FIRST);
}

/* ---- making groups ---- */

static struct cgroup_limits limits_of(const struct cluster_settings *s)
{
	return (struct cgroup_limits){{
		[CGROUP_MEMORY_MAX] = s->memory_max,
		[CGROUP_MEMORY_HIGH] = s->memory_high,
		[CGROUP_CPU_MAX] = s->cpu_max,
		[CGROUP_PIDS_MAX] = s->pids_max,
		[CGROUP_CPU_WEIGHT] = s->cpu_weight,
		[CGROUP_IO_WEIGHT] = s->io_weight,
	}};
}

/* The cgroup above those of workers, for limits of these kinds; or NULL.  `err`: what some kinds
 * lack. */
static const struct cgroup_tree *open_tree(
	struct supervisor *sup, unsigned kinds, struct error *err)
{
	struct limits *l = sup->limits;
	char own[NAME_SIZE];
	bool known;

	err->text[0] = '\0';
	if (l == NULL) {
		l = sup->limits = calloc(1, sizeof(*l));
		if (l == NULL)
			return NULL;
		l->tree.base = -1;
		timer_init(&l->sweep, on_sweep, sup);
	}
	known = l->tree.base != -1;
	put_own_name(sup, own);
	l->tree.launcher = sup->daemon.pipe != -1 ? getppid() : 0;
	if (cgroup_tree_open(&l->tree, "", kinds, own, err) == kinds)
		err->text[0] = '\0';
	l->tree.enabled |= sup->controllers; /* enabled before an upgrade */
	sup->controllers = l->tree.enabled;
	if (l->tree.base == -1)
		return NULL;
	if (!known)
		arm_sweep(sup); /* an earlier nclust may have left some */
	return &l->tree;
}

static void warn_incomplete(struct child *c, const char *how_many, const char *why)
{
	c->limited->incomplete = true;
	if (once_say(c->service->said, ONCE_LIMITS))
		log_warn("%s: workers run without %s of their cgroup limits "
			 "(memory-max and its like): %s",
			c->service->name, how_many, why);
}

/* Make the worker's cgroup.  Returns the file to which a pid is written to get in; or -1. */
static int make_group(struct child *c, const struct cgroup_limits *l)
{
	struct error err;
	struct error first;
	const struct cgroup_tree *t = open_tree(c->service->sup, cgroup_kinds(l), &first);
	scoped_fd dir = -1;

	if (t != NULL && (t->kinds & cgroup_kinds(l)) != 0) {
		dir = cgroup_make(t, group_of(c), true, l, &err);
		if (first.text[0] == '\0')
			first = err;
	}
	if (first.text[0] != '\0')
		warn_incomplete(c, dir == -1 ? "any" : "some", first.text);
	c->limited->grouped = dir != -1;
	return dir != -1 ? cgroup_procs(dir) : -1;
}

/* Set the limits of a worker that is in its cgroup. */
static void set_limits(struct child *c, const struct cgroup_limits *l)
{
	struct error err;
	const struct cgroup_tree *t = open_tree(c->service->sup, 0, &err);
	scoped_fd dir = t != NULL ? cgroup_open(t, group_of(c)) : -1;

	if (dir != -1) {
		cgroup_limit(t, dir, l, &err);
		if (err.text[0] != '\0')
			warn_incomplete(c, "some", err.text);
	}
	if (!c->limited->incomplete)
		once_forget(c->service->said, ONCE_LIMITS);
}

int limits_on_prepare(struct child *child, struct birth *birth, struct error *err)
{
	struct cgroup_limits l = limits_of(birth->place.recipe->settings);

	if (cgroup_kinds(&l) == 0)
		return 0;
	child->limited = calloc(1, sizeof(*child->limited));
	if (child->limited == NULL)
		return error_set(err, ENOMEM, "cgroup");
	/* Invent a name that no other cgroup has, not even of an nclust that runs beside this one,
	 * or of an earlier nclust with the same numbers: the old counts would go on, and the old
	 * limits hold. */
	if (asprintf(&child->limited->group, "nclust@%s@%s/%" PRIu32 ".%" PRIu64 ".%" PRIu64 ".%d",
		    child->service->sup->settings->name, child->service->name, child->slot,
		    child->serial, (uint64_t)(clock_now() / MSEC), (int)getpid()) == -1)
		child->limited->group = NULL;
	birth->plan.cgroup = make_group(child, &l);
	/* if `cgroup` is -1 then, the spawn fails, and is tried again */
	birth->plan.enters_cgroup = child->limited->grouped;
	return 0;
}

void limits_on_born(struct child *child, struct birth *birth)
{
	struct cgroup_limits l = limits_of(birth->place.recipe->settings);

	if (is_grouped(child))
		set_limits(child, &l);
}

/* ---- what is known of a group ---- */

struct group_use {
	double memory; /* bytes; -1: not known, as for all members */
	double pids;
	double refused; /* forks that pids-max has refused */
	double killed;  /* processes killed for lack of memory */
	double reached; /* how often memory-max was; 0 if the machine's memory was short */
	double pressure[3];
};
static const char *const pressures[] = {"cpu", "memory", "io"};

static void read_number(double *to, int dir, const char *file, const char *key)
{
	double number = cgroup_number(dir, file, key);

	if (number >= 0)
		*to = number;
}

static void read_group_use(const struct child *c, struct group_use *use)
{
	struct error ignored;
	const struct cgroup_tree *t = open_tree(c->service->sup, 0, &ignored);
	scoped_fd dir = t != NULL ? cgroup_open(t, group_of(c)) : -1;
	char file[32];

	*use = (struct group_use){-1, -1, -1, -1, -1, {-1, -1, -1}};
	if (dir == -1)
		return;
	read_number(&use->memory, dir, "memory.current", NULL);
	read_number(&use->killed, dir, "memory.events", "oom_kill ");
	read_number(&use->reached, dir, "memory.events", "oom ");
	read_number(&use->reached, dir, "memory.events.local", "oom ");
	read_number(&use->pids, dir, "pids.current", NULL);
	read_number(&use->refused, dir, "pids.events", "max ");
	for (size_t k = 0; k < COUNT_OF(pressures); k++) {
		snprintf(file, sizeof(file), "%s.pressure", pressures[k]);
		read_number(&use->pressure[k], dir, file, "avg10=");
	}
}

static void note_refused(struct child *c, const struct group_use *use)
{
	if (use->refused > 0)
		c->limited->refused = (unsigned)use->refused;
}

static void put_number(struct json_writer *w, const char *key, double n)
{
	if (n >= 0)
		json_put_int(w, key, (int64_t)n);
	else
		json_put_null(w, key);
}

void limits_on_status_worker(struct json_writer *w, const struct child *child)
{
	/* not const: what the look finds is noted */
	struct child *c = child_find(child->service, child->slot, child->worker);
	struct group_use use;

	if (c != NULL && c->limited != NULL && c->limited->incomplete)
		json_put_bool(w, "limits_missing", true);
	if (c == NULL || !is_grouped(c))
		return;
	read_group_use(c, &use);
	note_refused(c, &use);
	json_open_member(w, "cgroup", true);
	put_number(w, "memory_bytes", use.memory);
	put_number(w, "processes", use.pids);
	put_number(w, "forks_refused", use.refused);
	put_number(w, "oom_kills", use.killed);
	json_key(w, "pressure"); /* of the last 10 s, per cent */
	json_open_object(w);
	for (size_t k = 0; k < COUNT_OF(pressures); k++)
		if (use.pressure[k] >= 0)
			json_put_real(w, pressures[k], use.pressure[k], 2);
	json_close_object(w);
	json_close_object(w);
}

/* ---- its end ---- */

/* A fork that was refused before somebody saw that in a status is no cause of the end. */
void limits_on_dying(struct child *child)
{
	const struct cluster_settings *s = child_settings(child);
	bool killed;
	struct group_use use;

	if (!is_grouped(child))
		return;
	read_group_use(child, &use);
	/* memory.oom.group: the kernel kills all of a worker */
	killed = child->life.sigkilled && use.killed > 0;
	if (use.killed >= 0)
		child->life.oom = killed ? OOM_KILLED : OOM_NOT_KILLED;
	if (s == NULL || child->life.cause != NULL || child_view(child).state == SLOT_STOPPING)
		return;
	if (killed && use.reached > 0 && s->memory_max != 0)
		trouble_set_cause(child, "it needs more than memory-max, %" PRIu64 " MiB",
			s->memory_max >> 20);
	else if (s->pids_max != 0 && use.refused > child->limited->refused)
		trouble_set_cause(
			child, "it has reached pids-max, %u processes and threads", s->pids_max);
}

void limits_on_gone(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	struct error ignored;
	const struct cgroup_tree *t = is_grouped(child) ? open_tree(sup, 0, &ignored) : NULL;

	if (t != NULL && !cgroup_end(t, group_of(child)))
		arm_sweep(sup);
	if (child->limited != NULL)
		free(child->limited->group);
	free(child->limited);
	child->limited = NULL;
}

/* Find the cgroup of a killed nclust's worker. */
void limits_on_adopt(struct child *c)
{
	char start[GROUP_SIZE];
	int len = snprintf(start, sizeof(start), "/nclust@%s@%s/%" PRIu32 ".%" PRIu64 ".",
		c->service->sup->settings->name, c->service->name, c->slot, c->serial);
	char text[4096];
	const char *at;
	struct group_use use;

	c->limited = calloc(1, sizeof(*c->limited));
	if (c->limited == NULL)
		return;
	if (process_read(c->pid, "cgroup", text, sizeof(text)) <= 0)
		return;
	at = strstr(text, start);
	if (at == NULL)
		return;
	c->limited->group = strndup(at + 1, (size_t)len - 1 + strcspn(at + len, "/\n"));
	c->limited->grouped = true;
	read_group_use(c, &use);
	note_refused(c, &use);
}

static const struct plain_row rows[] = {
	/* among the numbers of struct child, whose group they are in (workers/carry_workers.c) */
	PLAIN(42, limited, grouped, UNSIGNED), PLAIN(44, limited, group, HEAP),
	PLAIN(66, limited, refused, UNSIGNED), /* 63 to 65 and 67 were others */
};

const struct carried carried_limited = {
	.called = "a worker's cgroup",
	CARRIED_ROWS(rows, limited),
};

void limits_on_reloaded(struct service *service)
{
	once_forget(service->said, ONCE_LIMITS);
}

void limits_on_drop(struct service *service)
{
	if (service->sup->limits != NULL && !service->sup->instance.over)
		arm_sweep(service->sup);
}

void limits_on_shutdown(struct supervisor *sup)
{
	const struct timespec pause = {.tv_nsec = 5 * MSEC};
	char own[NAME_SIZE];

	if (sup->limits == NULL)
		return;
	ev_timer_stop(sup->loop, &sup->limits->sweep);
	/* processes that were killed end a moment later */
	for (unsigned i = 0; sweep_cgroups(sup) > 0 && i < LAST_SWEEPS; i++)
		(void)nanosleep(&pause, NULL);
	put_own_name(sup, own);
	cgroup_tree_close(&sup->limits->tree, own);
	free(sup->limits);
	sup->limits = NULL;
}
