/* SPDX-License-Identifier: MIT */
#include "supervisor/health/check.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/look/look.h"
#include "supervisor/common/news.h"
#include "supervisor/common/trouble.h"
#include "supervisor/health/health.h"
#include "supervisor/health/internal.h"
#include "supervisor/health/prober.h"
#include "supervisor/health/stall.h"
#include "supervisor/sockets/group.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * `ready = tcp`, `http:/path` and `exec:CMD`: each worker is asked from its start until it answers
 * well, often at first and every second in the end.
 *
 * `check`: every ready worker is asked once in a round of `check-interval`.  Commands are run one
 * after the other, spread over the round.  Connections are made several times in a round (internal.h),
 * until each worker has taken one.  A worker that has taken none by chance has not failed; stall.c
 * says who has.
 *
 * So is a spare that listens, on a socket to which no client comes (intercept/spare_gate.c): at
 * first without a pause, so that it has compiled, loaded and connected to what its first answers
 * need before it serves.
 */

/* `ready`: the next try comes after a fifth of the time since a worker was last started or ready. */
#define PROVE_LEAST (25 * MSEC)
#define PROVE_MOST (1 * SECOND)
#define PROVE_PART 5
/* So often connections are made in a round, and once more per WORKERS_A_TRY workers. */
#define TRIES 8
#define WORKERS_A_TRY 8
#define WAIT_LEAST (1 * MSEC)
#define WAIT_PAUSED (1 * SECOND)
#define EXEC_AT_ONCE 16
/* A worker hangs for at least so long, because a busy machine may give it no CPU. */
#define MISSED_LEAST (1 * SECOND)
/* Checks of a spare without a pause; a JVM is as quick after 20 requests as after 800. */
#define ENOUGH 50
/* Time to the next of them, if there is no result. */
#define WAIT_WARMING (20 * MSEC)

/* ---- what is asked ---- */

/* The probe that this worker has to pass before it is ready; NULL: none, or not now: a spare that is
 * held in its listen(2) answers nobody. */
static const struct probe *ready_probe_of(const struct child *child)
{
	const struct cluster_settings *s = health_settings(child);

	return child->health != NULL && child->health->proving && s->ready == READY_PROBE &&
			child_view(child).state != SLOT_SPARE
		? &s->ready_probe
		: NULL;
}

/* Can the spare be asked?  Not while it is held in the listen(2) of another address. */
static bool is_open_spare(const struct child *child)
{
	return child->trap.spare_listens && child->trap.gate_count == 0 && !child->life.paused &&
		child_view(child).state == SLOT_SPARE;
}

/* The check of this worker; NULL: none now. */
static const struct probe *check_of(const struct child *child)
{
	const struct probe *check = &health_settings(child)->check;

	return (health_is_ready(child) && check->kind != PROBE_NONE) ||
			(is_open_spare(child) && check->kind == PROBE_HTTP)
		? check
		: NULL;
}

static bool is_warming(const struct child *child)
{
	const struct health *h = child->health;

	return child->trap.spare_listens && (h == NULL || (h->warm < ENOUGH && h->failures == 0));
}

static bool is_answered(const struct child *child)
{
	return child->health != NULL && child->health->round == prober_of(child->service)->round &&
		!is_warming(child);
}

const struct probe *check_wants(const struct child *child)
{
	const struct probe *probe = ready_probe_of(child);

	if (probe != NULL)
		return child->life.paused ? NULL : probe;
	return is_answered(child) ? NULL : check_of(child);
}

/* ---- results ---- */

/* Returns what is known of the worker's check: nothing, if a reload has changed the check. */
static struct asks *results_of(const struct child *child)
{
	struct asks *a = &child->service->asks;
	char text[96];

	(void)health_probe_text(text, &health_settings(child)->check);
	if (strcmp(text, a->check) == 0)
		return a;
	text_copy(a->check, sizeof(a->check), text);
	a->passed = a->blamed = 0;
	(void)trouble_set_check(child->service, "");
	return a;
}

static void note_pass(struct child *child)
{
	struct asks *a = results_of(child);

	child->health->ok++;
	child->health->failures = 0;
	if (a->passed < child->generation)
		a->passed = child->generation;
	if (a->blamed <= child->generation)
		(void)trouble_set_check(child->service, "");
}

static void report_doubt(const struct child *child, const char *check)
{
	const char *last = child->health->last;
	char text[512];

	snprintf(text, sizeof(text),
		"no worker of generation %u has ever passed its check (%s: "
		"%s), so no other is replaced for it: is 'check' right?%s",
		child->generation, check, last,
		strncmp(last, "answered", 8) == 0
			? " 'check = http://HOST/path' sets the Host, and "
			  "'check-header' adds header lines"
			: "");
	if (trouble_set_check(child->service, text))
		news_say_of(child->service, LOG_WARN, "check-doubted", "%s", text);
}

/* The worker has failed too often, or for too long, and is replaced.  But the check itself may be wrong:
 * if no worker of a generation has ever passed it, one worker alone is replaced, because its
 * successors would not pass either. */
static void fail_worker(struct child *child, const char *why)
{
	struct asks *a = results_of(child);
	bool passed = a->passed >= child->generation;
	struct slot_view view;

	/* count anew: the worker has to stay if its successor fails */
	child->health->failures = 0;
	if (!passed && a->blamed >= child->generation) {
		report_doubt(child, a->check);
		return;
	}
	cluster_view_slot(child->service->core, child->slot, &view);
	if (view.mend_at == NSEC_NEVER) /* else the log has it */
		news_say_worker(
			child, LOG_WARN, "check-failed", "worker %d %s", (int)child->pid, why);
	if (!passed) {
		a->blamed = child->generation;
		(void)trouble_set_check(child->service, "");
	}
	child_tell(child, EVENT_UNWELL, WHY_CHECK);
}

/* False: the last one failed likewise. */
static bool note_why(struct health *h, const char *why)
{
	char before[sizeof(h->last)];

	memcpy(before, h->last, sizeof(before));
	text_copy(h->last, sizeof(h->last), why);
	return strcmp(h->last, before) != 0;
}

static void note_failure(struct child *child, const char *why)
{
	const char *check = results_of(child)->check;
	struct health *h = child->health;
	char text[256];

	h->failed++;
	h->failures++;
	(void)note_why(h, why);
	log_worker(
		child, LOG_INFO, "worker %d failed a check, %s: %s", (int)child->pid, check, why);
	if (h->failures < health_settings(child)->check_failures)
		return;
	snprintf(text, sizeof(text), "failed %u check%s, %s: %s", h->failures,
		h->failures == 1 ? "" : "s in a row", check, why);
	fail_worker(child, text);
}

/* The worker has taken no check, and has not moved anything for that time (stall.c). */
static void note_missed(struct child *child, bool untaken, nsec_t time)
{
	struct health *h = child->health;
	char age[16];
	char threads[512];
	char text[640];

	h->failed++;
	snprintf(h->last, sizeof(h->last), "took no connection%s for %s",
		untaken ? "" : ", and did nothing else,", text_age(age, time));
	snprintf(text, sizeof(text), "%s: %s", h->last,
		awaits_threads_text(child->pid, threads, sizeof(threads)));
	stall_forget_missed(child);
	fail_worker(child, text);
}

static void note_check(struct child *child, bool well, const char *why)
{
	struct prober *p = prober_of(child->service);
	struct health *h = health_of(child);

	once_forget(child->service->said, ONCE_CHECK_UNTAKEN);
	if (h == NULL || check_of(child) == NULL)
		return;
	h->round = p->round;
	if (!well) {
		note_failure(child, why);
		return;
	}
	stall_forget_missed(child);
	note_pass(child);
	if (is_warming(child) && ++h->warm == ENOUGH)
		log_worker(child, LOG_INFO, "spare worker %d is warm", (int)child->pid);
	if (is_warming(child))
		monitor_arm(&p->monitor, 0);
}

/* The answer of a worker that is not ready yet. */
static void note_proof(struct child *child, bool well, const char *why)
{
	struct health *h = child->health;

	if (well) {
		h->proving = false;
		*h->last = '\0';
		child_tell(child, EVENT_PROVED, WHY_ITSELF);
	} else if (note_why(h, why)) {
		log_worker(child, LOG_INFO, "worker %d is not ready yet: %s", (int)child->pid, why);
	}
}

void check_answered(struct child *child, bool well, const char *why)
{
	if (child->health != NULL && child->health->proving)
		note_proof(child, well, why);
	else
		note_check(child, well, why);
}

/* How long a worker may take no check and move nothing. */
static nsec_t patience_of(const struct child *child)
{
	const struct cluster_settings *s = health_settings(child);
	nsec_t patience = (nsec_t)s->check_failures * s->check_interval;

	return patience > MISSED_LEAST ? patience : MISSED_LEAST;
}

void check_unreached(struct child *child, const struct error *err)
{
	const struct monitor *a = &prober_of(child->service)->monitor;

	if (err->sys == ESTALE || (child->health != NULL && child->health->proving))
		check_answered(child, false, err->text);
	else if (clock_now() - a->since > patience_of(child) &&
		once_say(child->service->said, ONCE_CHECK_DENIED))
		news_say_of(child->service, LOG_WARN, "check-denied", "cannot be checked: %s",
			err->text);
}

/* ---- a step ---- */

struct look {
	unsigned checked;   /* workers with a check now */
	unsigned left;      /* of these, not answered in this round */
	struct child *exec; /* the first one left whose check is a command */
	nsec_t interval;    /* the shortest */
	nsec_t soon;        /* when a worker is to be looked at again */
};

static unsigned count_running(const struct prober *p)
{
	const struct child *child;
	unsigned count = 0;

	for_each_child (child, children_of(p->monitor.service))
		count += child->health != NULL && child->health->helper != NULL;
	return count;
}

/* Runs the probe's command, unless one runs, or too many do. */
static void run_command(struct prober *p, struct child *child, const struct probe *probe)
{
	struct error err;

	if ((child->health != NULL && child->health->helper != NULL) ||
		count_running(p) >= EXEC_AT_ONCE || health_exec(child, probe, &err) == 0)
		return;
	if (child->health != NULL && child->health->proving) {
		note_proof(child, false, err.text);
		return;
	}
	/* a check that nclust could not start is no fault of the worker's */
	if (child->health == NULL)
		return;
	child->health->round = p->round;
	if (note_why(child->health, err.text))
		news_say_worker(child, LOG_WARN, "check-denied", "cannot be checked: %s", err.text);
}

static void look_at_proving(
	struct prober *p, struct look *look, struct child *child, const struct probe *probe)
{
	nsec_t now = clock_now();
	nsec_t wait = nsec_min((now - p->monitor.since) / PROVE_PART, PROVE_MOST);

	if (wait < PROVE_LEAST)
		wait = PROVE_LEAST;
	look->soon = nsec_min(look->soon, wait);
	if (probe->kind != PROBE_EXEC || child->life.paused || now < child->health->tried_at + wait)
		return;
	child->health->tried_at = now;
	run_command(p, child, probe);
}

static void look_at_checked(struct look *look, struct child *child, const struct probe *probe)
{
	look->checked++;
	look->interval = nsec_min(look->interval, health_settings(child)->check_interval);
	if (is_answered(child))
		return;
	look->left++;
	if (is_warming(child))
		look->soon = nsec_min(look->soon, WAIT_WARMING);
	if (child->health != NULL && child->health->missed.since != 0)
		look->soon = nsec_min(look->soon, patience_of(child) / MISSED_LOOKS);
	if (probe->kind == PROBE_EXEC && look->exec == NULL &&
		(child->health == NULL || child->health->helper == NULL))
		look->exec = child;
}

static struct look look_at_workers(struct prober *p)
{
	struct look look = {.interval = NSEC_NEVER, .soon = NSEC_NEVER};
	struct child *child;

	for_each_child (child, children_of(p->monitor.service)) {
		const struct probe *ready = ready_probe_of(child);
		const struct probe *check = check_of(child);

		if (child->life.paused) /* by job control */
			look.soon = nsec_min(look.soon, WAIT_PAUSED);
		if (ready != NULL)
			look_at_proving(p, &look, child, ready);
		else if (check != NULL)
			look_at_checked(&look, child, check);
	}
	return look;
}

/* The worker has not answered in this round: does it hang? */
static void judge_missed(struct prober *p, struct child *child)
{
	const struct probe *probe = is_answered(child) ? NULL : check_of(child);
	const struct listener *l = check_target_of(child); /* NULL: its own path */
	nsec_t patience;
	nsec_t waited;
	bool untaken;
	char age[16];

	if (probe == NULL || probe->kind == PROBE_EXEC || check_target_socket(child) == 0 ||
		prober_asks(p, child)) {
		stall_forget_missed(child);
		return;
	}
	if (health_of(child) == NULL)
		return;
	patience = patience_of(child);
	waited = prober_untaken(p, child);
	untaken = waited >= health_settings(child)->check_timeout;
	if (untaken && l != NULL && group_size(l) == 1 &&
		once_say(child->service->said, ONCE_CHECK_UNTAKEN))
		news_say_of(child->service, LOG_WARN, "check-untaken",
			"no worker has taken a check's connection for %s: "
			"all are busy, or hung",
			text_age(age, waited));
	if (stall_missed(child, l, untaken, patience, monitor_time(&p->monitor, clock_now())))
		note_missed(child, untaken, untaken ? waited : patience);
}

static void probe_some(struct monitor *a, nsec_t now)
{
	struct prober *p = (struct prober *)a;
	nsec_t next;
	struct child *child;
	struct look look;

	if (now >= p->round_ends || p->round_ends == NSEC_NEVER) {
		p->round++;
		p->round_ends = NSEC_NEVER;
	} else { /* all workers had a chance in this round */
		for_each_child (child, children_of(a->service))
			judge_missed(p, child);
	}
	look = look_at_workers(p);
	p->round_ends = nsec_min(p->round_ends, nsec_add(now, look.interval));
	if (look.checked == 0 && look.soon == NSEC_NEVER) {
		prober_stop(p, false);
		return;
	}
	if (look.exec != NULL)
		run_command(p, look.exec, check_of(look.exec));
	prober_fire(p);
	next = nsec_min(look.soon, p->round_ends - now);
	if (look.left > 0)
		next = nsec_min(next,
			look.interval /
				(look.exec != NULL ? look.checked + 1
						   : TRIES + look.checked / WORKERS_A_TRY + 1));
	monitor_arm(a, next > WAIT_LEAST ? next : WAIT_LEAST);
}

static bool is_asked(const struct child *child)
{
	return ready_probe_of(child) != NULL || health_settings(child)->check.kind != PROBE_NONE;
}

const struct monitor_kind probe_kind = {
	.wants = is_asked,
	.step = probe_some,
	.forget = stall_forget_missed,
};

void health_prove(struct child *child)
{
	if (health_settings(child)->ready != READY_PROBE)
		return;
	if (health_of(child) == NULL) {
		log_worker(child, LOG_WARN, "out of memory: it cannot be asked if it is ready");
		return;
	}
	child->health->proving = true;
	monitor_begin(child->service, child, ASKS_PROBE, PROVE_LEAST);
}
