/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/drain.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/nsec.h"
#include "core/cluster.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/common/counters.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/child.h"
#include "supervisor/drain/internal.h"
#include "supervisor/common/news.h"
#include "supervisor/node/node.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/service.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/recipe.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_FIRST (2 * MSEC)
/* Time in which a worker accepts a connection that the kernel has already offered to it. */
#define WAIT_AWAY (1 * MSEC)
#define WAIT_LAST (16 * MSEC)
/* Connections in use are ended between two requests when no quiet moment has come for
 * SILENCE_FIRST.  A freeze lasts for LINGER_FIRST, in which a client on this host sends its next
 * request, up to LINGER_LAST, for slower ones; between freezes the worker runs for as long. */
#define SILENCE_FIRST (120 * MSEC)
#define LINGER_FIRST (1 * MSEC)
#define LINGER_LAST (16 * MSEC)
/* If that has not sufficed for STEPS_AFTER, the worker also runs for STEP, to send an answer. */
#define STEPS_AFTER (400 * MSEC)
#define STEP (200 * USEC)
#define STEPS_MOST 10
/* Each freeze interrupts a system call, so after FREEZES_AT_EASE of them looks are rarer; with
 * connections of HTTP/1, which can be ended, after 20 times as many. */
#define FREEZES_AT_EASE 100
#define WAIT_TIRED (250 * MSEC)
/* All drains together rest after a look (TURN_REST). A look can take long because the machine stood
 * still, so the next one comes within LOOK_PAUSE_MOST. */
#define LOOK_PAUSE_MOST (10 * SECOND)
/* With many drains, looks take TURN_FOR_LOOKS of each TURN at most. */
#define TURN_FOR_LOOKS (2 * MSEC)
#define TURN (6 * MSEC)
/* Time for all processes to stop, for which each needs a CPU: longer after each freeze in vain.
 * During STOP_AT_ONCE nclust polls without returning to the event loop. */
#define STOP_PATIENCE (50 * MSEC)
#define STOP_PATIENCE_MOST (500 * MSEC)
#define STOP_AT_ONCE (1 * MSEC)
#define STOP_POLL (20 * USEC)
/* nclust gives up freezing a traced worker after so many freezes in vain. */
#define STOPS_IN_VAIN 3
/* Time for the worker to close connections that may be quiet (maybe_quiet). */
#define UNSEEN_PATIENCE (2 * SECOND)
/* In this last part of the drain's time the moment with the fewest busy connections is taken. */
#define LAST_PART_MOST (2 * SECOND)
/* Time for the worker to notice that its connections were ended. */
#define NOTICE_PATIENCE (2 * SECOND)
/* After its stop signal the worker has GOODBYE_PATIENCE to say goodbye to its clients.  Then it
 * runs for LOOK_AFTER at a time, and in between is stopped until a request comes, for LINGER_AFTER
 * at most, with a look each LINGER_LOOK: at most LINGERS_AFTER looks in all. */
#define GOODBYE_PATIENCE (300 * MSEC)
#define LOOK_AFTER (8 * MSEC)
#define LINGER_AFTER (64 * MSEC)
#define LINGER_LOOK (4 * MSEC)
#define LINGERS_AFTER 1000U
/* So much later, connections are also ended between two requests. */
#define BETWEEN_AFTER (2 * SECOND)
/* Processes below a worker stay frozen for so long after the worker's stop signal. */
#define LEAVE_PATIENCE (30 * MSEC)

/* ---- life ---- */

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents);

static void note_ports(struct drain *d)
{
	const struct listener *l;

	for_each_listener (l, listeners_for(d->child, LISTENERS_ALL))
		if (l->has_key)
			drain_add_port(d, l->key.port);
}

/* NULL: out of memory. */
static struct drain *drain_new(struct child *child, nsec_t span)
{
	const struct service *service = child->service;
	struct drain *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->child = child;
	d->traffic = &service->sup->traffic;
	d->began = clock_now();
	d->until = nsec_add(d->began, span);
	d->wait = WAIT_FIRST;
	d->busy_least = UINT32_MAX;
	timer_init(&d->timer, on_timer, d);
	d->next = d->traffic->drains;
	d->traffic->drains = d;
	d->traffic->drain_count++;
	child->traffic.drain = d;
	note_ports(d);
	return d;
}

static void drain_free(struct drain *d)
{
	struct traffic *all = d->traffic;
	struct drain **at = &all->drains;

	drain_thaw(d);
	ev_timer_stop(d->child->service->sup->loop, &d->timer);
	drain_drop_flights(d);
	drain_forget_processes(d);
	free(d->memory);
	free(d->ports);
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	d->child->traffic.drain = NULL;
	d->child->traffic.busy = 0;
	free(d);
	all->drain_count--;
	if (all->drain_count > 0)
		return;
	connections_free(&all->seen);
	fd_close(&all->thaw_pipe);
}

static void arm_drain_timer(struct drain *d, nsec_t wait)
{
	timer_arm(d->child->service->sup->loop, &d->timer, wait);
}

/* Lets the worker run until the next look. */
static void look_later(struct drain *d)
{
	/* a single look may be long because nclust had no CPU */
	nsec_t took = d->took_before != 0 && d->took_before < d->view.took ? d->took_before
									   : d->view.took;
	nsec_t least =
		nsec_min(took * TURN_REST * (nsec_t)d->traffic->drain_count, LOOK_PAUSE_MOST);
	nsec_t wait = d->stays_frozen ? d->stay_frozen / (d->keeps_quiet ? 4 : 1) : d->wait;

	drain_thaw(d);
	d->freeze_between = d->stays_frozen = d->after_step = false;
	d->took_before = d->view.took;
	if (d->freezes > FREEZES_AT_EASE * (d->saw_http ? 20 : 1))
		wait = WAIT_TIRED;
	if (wait < least)
		wait = least;
	if (d->wait < WAIT_LAST)
		d->wait *= 2;
	arm_drain_timer(d, wait);
}

/* ---- what is told ---- */

static void log_drained(struct drain *d, bool forced)
{
	const struct child *c = d->child;
	const double took = nsec_seconds(clock_now() - d->began) * 1e3;
	const struct news_number numbers[] = {
		{"took_ms", took},
		{"freezes", d->freezes},
		{"frozen_ms", nsec_seconds(drain_frozen_longest(d)) * 1e3},
		{"ended", d->ended},
		{"asked_again", d->asked},
		{"busy", d->view.busy},
		{"forced", forced},
	};
	char busy[600];
	char text[700];

	if (forced && d->view.busy == 0)
		snprintf(text, sizeof(text),
			"by force: it cannot be frozen, because a debugger "
			"has it");
	else if (forced)
		snprintf(text, sizeof(text), "by force: %u connection%s still busy: %s",
			d->view.busy, d->view.busy == 1 ? "" : "s",
			drain_busy_text(d, busy, sizeof(busy)));
	else
		snprintf(text, sizeof(text), "in %.1f ms", took);
	news_say_numbers(c, forced ? LOG_WARN : LOG_DEBUG, "drained", numbers, COUNT_OF(numbers),
		"drained %s", text);
}

static void log_blind(const struct drain *d)
{
	struct service *service = d->child->service;

	if (once_say(service->said, ONCE_BLIND))
		log_note("%s: the connections of its workers cannot be seen from "
			 "here: they get their stop signal at once",
			service->name);
}

/* Where the worker may say goodbye to its clients, quiet connections have stayed open until the
 * stop signal.  A server that waits until these clients leave would not end, so the drain goes on
 * after the signal. */
static void go_on_after_signal(struct drain *d)
{
	if (!d->keeps_quiet) {
		drain_free(d);
		return;
	}
	drain_thaw(d);
	d->signalled = false;
	d->after_signal = true;
	d->began = clock_now();
	d->until = NSEC_NEVER;
	d->wait = LOOK_AFTER;
	d->request_at = 0;
	d->stay_frozen = 0;
	d->asked = d->freezes = 0;
	arm_drain_timer(d, GOODBYE_PATIENCE);
}

/* Reports the worker as drained to the core, which answers with the stop signal. */
static void report_drained(struct drain *d, bool forced)
{
	struct service *service = d->child->service;
	struct child *c = d->child;
	uint32_t slot = c->slot;
	uint64_t worker = c->worker;

	if (d->after_signal) {
		drain_free(d);
		return;
	}
	log_drained(d, forced);
	service->traffic.asked_again += d->asked;
	counters_note_drained(service, clock_now() - d->began, forced);
	if (d->view.blind)
		log_blind(d);
	if (forced)
		drain_hold_flights(d);
	d->reported = true;
	child_tell(c, EVENT_DRAINED, WHY_ITSELF);
	c = child_find(service, slot, worker);
	d = c != NULL ? c->traffic.drain : NULL; /* child_tell() may have freed the drain */
	if (d == NULL || d->signalled || d->after_signal)
		return;
	if (c->life.stopped_by != 0) /* node/ has asked it to disconnect */
		go_on_after_signal(d);
	else /* the core no longer wants the drain */
		drain_free(d);
}

/* ---- looking ---- */

/* Do new connections go to other workers, so that this worker's quiet ones may be ended singly? */
static bool is_bypassed(const struct drain *d)
{
	return d->child->traffic.withdrawn || d->unreachable || steer_is_away(d->child) ||
		node_is_away(d->child);
}

/*
 * Must the worker accept what waits in its queue before it may end?  The worker may have been
 * frozen between epoll_wait(2) and accept(2).  A worker that catches the stop signal may accept
 * before it handles the signal.  And if no other worker takes from the queue, the connections in
 * the queue are lost.  This holds for half of the drain's time only, because the queue of an
 * overloaded cluster is never empty.  If other workers take from the queue, nclust wakes them when
 * this worker has ended, because the kernel may have woken this worker alone (steer_wake_others()).
 */
static bool must_take_waiting(const struct drain *d, nsec_t now)
{
	if (drain_is_half_over(d, now))
		return false;
	if (node_is_given(d->child))
		return true;
	/* the worker cannot take connections any more */
	if (d->child->traffic.withdrawn || node_is_away(d->child))
		return false;
	if (d->view.waiting == 0)
		return !steer_may_stop(d->child);
	return d->catches_signal || steer_is_away(d->child) ||
		cluster_state(d->child->service->core) == CLUSTER_STOPPING;
}

/* After UNSEEN_PATIENCE, a worker that catches its stop signal is left with the connections of
 * which nclust cannot see whether an answer is due: most likely the worker finishes these. */
static bool is_quiet(const struct drain *d, nsec_t now)
{
	bool leaves_some = d->catches_signal && now - d->began > UNSEEN_PATIENCE;

	return d->view.busy <= (leaves_some ? d->view.maybe_quiet : 0) &&
		!must_take_waiting(d, now);
}

/* Will the worker not be quiet in time, and has it now as few busy connections as ever? */
static bool is_least_bad_moment(const struct drain *d, nsec_t now)
{
	nsec_t part = (d->until - d->began) / 4;

	if (part > LAST_PART_MOST)
		part = LAST_PART_MOST;
	return now > d->until - part && d->busy_least < d->busy_most &&
		d->view.busy <= d->busy_least;
}

static void note_busy(struct drain *d)
{
	if (d->busy_least > d->view.busy)
		d->busy_least = d->view.busy;
	if (d->busy_most < d->view.busy)
		d->busy_most = d->view.busy;
}

/* Node's cluster module can ask a worker to disconnect; such a worker waits for its clients itself.
 * True: the worker was asked, and `d` was freed. */
static bool asks_node_to_leave(struct drain *d)
{
	if (!node_leave(d->child))
		return false;
	drain_free(d);
	return true;
}

/* A worker that runs on after its drain must first notice that its connections are closed;
 * otherwise it may close them in its own way. */
static bool must_notice_ends(struct drain *d, unsigned ended, nsec_t now)
{
	if ((ended == 0 && d->view.open == d->view.alive) || !node_may_leave(d->child))
		return false;
	if (d->quiet_at == 0) {
		d->quiet_at = now;
		d->wait = WAIT_FIRST;
	}
	return now - d->quiet_at < NOTICE_PATIENCE;
}

/* Looks at the connections.  True: the caller has nothing more to do now. */
static bool look_is_final(struct drain *d)
{
	drain_look(d);
	if (d->view.gone || (d->frozen && !drain_is_frozen(d))) {
		/* the worker has ended, as its pidfd will report, or somebody has continued it */
		look_later(d);
		return true;
	}
	/* nobody can see whether it is quiet */
	if (d->view.blind && !d->after_signal && asks_node_to_leave(d))
		return true;
	if (!d->view.blind)
		return false;
	report_drained(d, false);
	return true;
}

/* Has the drain waited in vain for a quiet moment? */
static bool is_never_silent(const struct drain *d, nsec_t now)
{
	return now - d->began >= SILENCE_FIRST;
}

/* May nclust freeze the worker to find connections that are between two requests?  Not if all busy
 * connections only wait for an answer: no request has come for a second. */
static bool may_end_between(const struct drain *d, nsec_t now)
{
	return d->view.busy > 0 && is_bypassed(d) && (d->keeps_quiet || is_never_silent(d, now)) &&
		now - d->request_at < SECOND;
}

static void freeze_worker(struct drain *d);

static nsec_t sum_cpu_time(const struct drain *d)
{
	nsec_t ran = 0;

	for (size_t i = 0; i < d->process_count; i++)
		ran += process_ran(d->processes[i].pid);
	return ran;
}

/* A worker sends an answer that was due when it was frozen as soon as it runs, for which it needs a
 * CPU.  It is frozen again before it reads the next request, which follows at once. */
static void run_one_step(struct drain *d)
{
	const struct timespec pause = {.tv_nsec = STEP};
	nsec_t ran = sum_cpu_time(d);

	drain_thaw(d);
	for (int i = 0; i < STEPS_MOST && (i == 0 || sum_cpu_time(d) == ran); i++)
		(void)nanosleep(&pause, NULL);
	d->stays_frozen = false;
	d->after_step = true;
	freeze_worker(d);
}

/* After the stop signal: the worker is frozen until a request comes, whose head shows whether the
 * client speaks HTTP/1.  The connection of such a client is ended when it has been quiet for long
 * (TCP), and after BETWEEN_AFTER also between two requests. */
static void end_after_signal(struct drain *d)
{
	bool between = clock_now() - d->began > BETWEEN_AFTER;
	unsigned late = 0;

	if (d->view.endable == 0 && d->view.unread_heads == 0 && d->stay_frozen < LINGER_AFTER) {
		d->stay_frozen += LINGER_LOOK;
		d->lingered++;
		arm_drain_timer(d, LINGER_LOOK);
		return;
	}
	(void)drain_end(d, &late, between);
	d->child->service->traffic.asked_again += d->asked;
	d->asked = 0;
	d->stay_frozen = 0;
	look_later(d);
}

/* All processes of the worker are frozen: look again, and decide. */
static void on_frozen(struct drain *d)
{
	unsigned late = 0;
	unsigned ended;
	nsec_t now;

	d->unstoppable = 0;
	if (look_is_final(d))
		return;
	if (d->after_signal) {
		end_after_signal(d);
		return;
	}
	now = clock_now();
	if (is_quiet(d, now)) {
		/* the worker may take long to end: a client that sees its connection closed now can
		 * turn to another worker */
		d->is_last_look = true;
		ended = drain_end(d, &late, false);
		d->is_last_look = false;
		if (late > 0 || must_notice_ends(d, ended, now))
			look_later(d);
		else
			report_drained(d, false);
		return;
	}
	d->quiet_at = 0;
	if (is_least_bad_moment(d, now)) {
		report_drained(d, true);
		return;
	}
	note_busy(d);
	if (d->freeze_between && !d->stays_frozen) {
		d->stays_frozen = true;
		if (!d->after_step)
			d->stay_frozen = d->stay_frozen == 0
				? LINGER_FIRST
				: nsec_min(2 * d->stay_frozen, LINGER_LAST);
		arm_drain_timer(d, d->after_step ? LINGER_FIRST : d->stay_frozen);
		return;
	}
	if (is_bypassed(d))
		d->ended += drain_end(d, &late, d->stays_frozen && is_never_silent(d, now));
	if (d->stays_frozen && !d->after_step && now - d->began >= STEPS_AFTER)
		run_one_step(d);
	else
		look_later(d);
}

/* A freeze was in vain, but SIGSTOP may have interrupted system calls, and the kernel does not show
 * in which call a process waits that restarts one (restart_syscall(2)).  A process that has stopped
 * still shows its call; any other process counts as being at work. */
static void note_interrupted(struct drain *d)
{
	for (size_t i = 0; i < d->process_count; i++) {
		struct drain_process *p = &d->processes[i];

		p->stopped_in = p->stopped ? connections_activity(&p->remote, p->stopped_in)
					   : ACTIVITY_SLEEPS;
	}
}

static nsec_t stop_patience(const struct drain *d)
{
	return nsec_min(STOP_PATIENCE * (1 + (nsec_t)d->unstoppable), STOP_PATIENCE_MOST);
}

static void await_stop(struct drain *d)
{
	const struct timespec pause = {.tv_nsec = STOP_POLL};
	nsec_t until = clock_now() + STOP_AT_ONCE;

	do {
		if (drain_is_frozen(d)) {
			on_frozen(d);
			return;
		}
		(void)nanosleep(&pause, NULL);
	} while (clock_now() < until);
	if (clock_now() - d->frozen_at < stop_patience(d)) {
		arm_drain_timer(d, MSEC);
		return;
	}
	d->unstoppable++;
	note_interrupted(d);
	look_later(d);
}

/* Does a debugger trace a process of the worker, which then does not stop for SIGSTOP? */
static bool is_traced(const struct drain *d)
{
	uint64_t tracer;

	for (size_t i = 0; i < d->process_count; i++)
		if (process_status(d->processes[i].pid, "TracerPid:", 10, &tracer) == 0 &&
			tracer != 0)
			return true;
	return false;
}

static void freeze_worker(struct drain *d)
{
	if (d->unstoppable >= STOPS_IN_VAIN && is_traced(d)) {
		report_drained(d, true);
		return;
	}
	drain_freeze(d);
	await_stop(d);
}

/*
 * A worker that its stop signal alone does not end could still accept connections, and lose them at
 * its end.  So new connections are kept away first.
 */
static bool turn_away_first(struct drain *d, nsec_t now)
{
	if (d->turned_away || !d->catches_signal)
		return false;
	d->turned_away = true;
	drain_withdraw(d, now);
	if (!d->child->traffic.withdrawn)
		steer_mute(d->child);
	arm_drain_timer(d, WAIT_AWAY);
	return true;
}

/* After the stop signal: stop the worker again as long as its clients ask it. */
static void look_after_signal(struct drain *d)
{
	if (d->lingered > LINGERS_AFTER)
		drain_free(d);
	else if (d->view.endable > 0 || clock_now() - d->request_at < SECOND)
		freeze_worker(d);
	else
		arm_drain_timer(d, LOOK_AFTER);
}

static void look_at_worker(struct drain *d)
{
	nsec_t now;

	if (d->child->life.killed_by_us || d->child->life.paused) {
		look_later(d);
		return;
	}
	if (look_is_final(d))
		return;
	if (d->after_signal) {
		look_after_signal(d);
		return;
	}
	now = clock_now();
	if (turn_away_first(d, now))
		return;
	if (drain_is_half_over(d, now) && asks_node_to_leave(d))
		return;
	if (is_quiet(d, now) || is_least_bad_moment(d, now)) {
		freeze_worker(d);
		return;
	}
	d->quiet_at = 0;
	drain_withdraw(d, now);
	d->freeze_between = may_end_between(d, now);
	if ((is_bypassed(d) && d->view.endable > 0) || d->freeze_between) {
		freeze_worker(d);
		return;
	}
	note_busy(d);
	look_later(d);
}

/* ---- after the signal ---- */

static void learn_from_flights(struct drain *d)
{
	drain_thaw(d);
	if (d->flight_count == 0 || drain_look_at_flights(d)) {
		drain_judge(d);
		go_on_after_signal(d);
		return;
	}
	arm_drain_timer(d, 5 * MSEC);
}

/* Looks at the worker, if looks have time left in this TURN; else waits for the next TURN. */
static void look_in_turn(struct drain *d)
{
	struct traffic *all = d->traffic;
	nsec_t began = clock_now();

	if (began >= all->turn_ends) {
		all->turn_ends = began + TURN;
		all->turn_left = TURN_FOR_LOOKS;
	}
	if (all->turn_left <= 0) {
		arm_drain_timer(d, all->turn_ends - began);
		return;
	}
	look_at_worker(d);
	all->turn_left -= clock_now() - began;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct drain *d = timer->data;

	(void)loop;
	(void)revents;
	if (d->signalled)
		learn_from_flights(d);
	else if (d->frozen)
		await_stop(d);
	else
		look_in_turn(d);
}

/* ---- from outside ---- */

static void begin_drain(struct child *child, nsec_t span)
{
	struct drain *d;

	if (child->traffic.drain != NULL)
		return;
	d = drain_new(child, span);
	if (d == NULL) { /* no memory: the core's deadline ends it */
		log_worker(child, LOG_WARN, "out of memory: not drained");
		return;
	}
	/* a worker that somebody has stopped could not act on its signal */
	if (!child->life.paused && drain_is_stopped(child))
		thaw_tree(child->pid, child->pidfd);
	arm_drain_timer(d, 0);
}

/* Looks at a worker without a drain; NULL: the worker has a drain.  The caller frees the result. */
static struct drain *look_once(struct child *child)
{
	struct drain *d = child->traffic.drain == NULL ? drain_new(child, 0) : NULL;

	if (d != NULL)
		drain_look(d);
	return d;
}

bool drain_is_stubborn(struct child *child, unsigned least)
{
	struct drain *d = look_once(child);
	bool stubborn = d != NULL && !d->view.blind && !d->view.gone &&
		(d->view.alive >= least || d->catches_signal) && !drain_can_withdraw(d);

	if (d != NULL)
		drain_free(d);
	return stubborn;
}

unsigned drain_count_stay(struct child *child)
{
	struct drain *d = look_once(child);
	bool may = d != NULL && d->own_handler;
	unsigned stay = may ? d->view.silent : 0;

	if (d != NULL)
		drain_free(d);
	return stay;
}

bool drain_is_busy(struct child *child)
{
	struct drain *d = look_once(child);
	bool busy = d != NULL && d->view.busy > 0;

	if (d != NULL)
		drain_free(d);
	return busy;
}

/* The stop signal comes next: report connections that are still busy. */
static void report_busy_before_signal(struct drain *d)
{
	if (d->reported)
		return;
	drain_look(d);
	if (d->view.blind || d->view.busy == 0)
		return;
	if (d->until > d->began) /* the core has stopped waiting */
		log_drained(d, true);
	drain_hold_flights(d);
}

/* Sends the stop signal and continues the worker; reports connections that are still busy. */
static void send_stop_signal(struct child *child, int signal)
{
	struct drain *d = child->traffic.drain;

	if (d == NULL && cluster_settings(child->service->core)->drain == DRAIN_SIGNAL)
		d = drain_new(child, 0);
	if (d != NULL && !d->signalled)
		report_busy_before_signal(d);
	steer_goodbye(child);
	/* the worker alone is continued: those below stay frozen until it can have told them */
	if (d == NULL || !d->frozen || signal == SIGKILL ||
		pidfd_signal_main(child->pidfd, child->pid, signal) == -1)
		child_signal(child, signal);
	/* a stopped process handles no signal */
	child_signal(child, SIGCONT);
	if (d == NULL || d->signalled)
		return;
	d->signalled = true;
	if (d->process_count <= 1)
		drain_thaw(d);
	if (d->frozen || d->flight_count > 0)
		arm_drain_timer(d, d->frozen ? LEAVE_PATIENCE : MSEC);
	else
		go_on_after_signal(d);
}

static bool drain_on_stop(struct child *child, int signal, nsec_t span)
{
	if (signal == 0)
		begin_drain(child, span);
	else
		send_stop_signal(child, signal);
	return true;
}

static void drain_on_dying(struct child *child)
{
	struct drain *d = child->traffic.drain;

	if (d == NULL)
		return;
	for (size_t i = 1; d->frozen && i < d->process_count; i++)
		if (d->processes[i].parent == child->pid)
			leftovers_tell_frozen(child, d->processes[i].pid, d->processes[i].pidfd);
	drain_thaw(d);
	if (d->signalled)
		drain_judge(d);
	drain_free(d);
}

void drain_settle(struct supervisor *sup)
{
	for (struct drain *d = sup->traffic.drains; d != NULL; d = d->next)
		if (d->frozen) {
			drain_thaw(d);
			arm_drain_timer(d, WAIT_LAST);
		}
}

static void drain_on_end(struct supervisor *sup)
{
	while (sup->traffic.drains != NULL)
		drain_free(sup->traffic.drains);
	thaw_fini(sup);
	host_end(sup);
}

/* Chooses the worker's lane, which goes into the worker's environment and the state file. */
static int drain_on_prepare(struct child *child, struct birth *birth, struct error *err)
{
	(void)err;
	if (child->service->kind->by_connection)
		return 0;
	child->traffic.lane = birth->place.lane =
		steer_lane(child->service, child->generation, child->slot);
	return 0;
}

/* A drain that was under way continues for the rest of its time. */
static void drain_on_resumed(struct child *child)
{
	nsec_t left = child->service->kind->by_connection
		? -1
		: image_drain_left(child->service->core, child->slot, child->worker, clock_now());

	if (left != -1)
		begin_drain(child, left);
	else if (child_view(child).state == SLOT_SPARE && !child->life.paused &&
		drain_is_stopped(child))
		/* an earlier version stopped spares in this way; the core starts another spare */
		(void)pidfd_signal(child->pidfd, SIGKILL);
}

static void drain_on_gone(struct child *child)
{
	steer_left(child);
	if (!child->service->kind->by_connection && child->pid != 0)
		steer_wake_others(child->service, child->traffic.lane);
}

/* An earlier nclust may have left the worker frozen. */
static void drain_on_adopt(struct child *child, struct worker_fds *fds)
{
	if (fds->entry->phase == STATE_STOPPING)
		thaw_tree(child->pid, child->pidfd);
}

const struct part drain_part = {
	.name = "drain",
	.prepare = drain_on_prepare,
	.born = steer_on_born,
	.uses = steer_on_uses,
	.resumed = drain_on_resumed,
	.stop = drain_on_stop,
	.dying = drain_on_dying,
	.gone = drain_on_gone,
	.adopt = drain_on_adopt,
	.adopted = steer_on_adopted,
	.report = steer_on_report,
	.reloaded = steer_on_reloaded,
	.given = steer_on_given,
	.choose = drain_on_choose,
	.status = imbalance_on_status,
	.drop = steer_on_drop,
	.go_on = host_go_on,
	.end = drain_on_end,
};
