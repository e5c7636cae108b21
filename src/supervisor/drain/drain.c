/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/drain.h"

#include "base/log.h"
#include "base/scope.h"
#include "core/image.h"
#include "os/clock.h"
#include "os/pidfd.h"
#include "os/process.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/leftovers.h"
#include "supervisor/drain/drain_inside.h"
#include "supervisor/drain/host.h"
#include "supervisor/drain/evidence.h"
#include "supervisor/common/news.h"
#include "supervisor/common/tally.h"
#include "supervisor/node/node.h"
#include "supervisor/sockets/holding.h"
#include "supervisor/workers/service.h"
#include "supervisor/drain/steer.h"
#include "supervisor/drain/thaw.h"
#include "supervisor/common/kind.h"
#include "supervisor/workers/environment.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_FIRST (2 * MSEC)
/* Until a connection that the kernel has given to it just before is its own. */
#define WAIT_AWAY (1 * MSEC)
#define WAIT_LAST (16 * MSEC)
/* So long silence is waited for, before connections in use are ended between two
 * requests.  A client asks anew within the first of these moments if it is on this host, a
 * slower one in a longer one; as long the worker runs in between. */
#define SILENCE_FIRST (120 * MSEC)
#define LINGER_FIRST (1 * MSEC)
#define LINGER_LAST (16 * MSEC)
/* Where that has not sufficed for so long, it also runs for a moment, in which it sends an
 * answer that is due. */
#define STEPS_AFTER (400 * MSEC)
#define STEP (200 * USEC)
#define STEPS_MOST 10
/* Each freeze interrupts a system call: after so many, look less often; later where
 * connections of HTTP/1 can be ended so. */
#define FREEZES_AT_EASE 100
#define WAIT_TIRED (250 * MSEC)
/* All drains together may spend a tenth of the time on looks; but after a look in which the
 * machine stood still, the next one comes within LOOK_PAUSE_MOST. */
#define LOOKS_SHARE 10
#define LOOK_PAUSE_MOST (10 * SECOND)
/* With many drains, looks take TURN_FOR_LOOKS of each TURN at most. */
#define TURN_FOR_LOOKS (2 * MSEC)
#define TURN (6 * MSEC)
/* Time for all processes to stop, which takes a CPU: longer after each freeze in vain.
 * At first we wait without the event loop. */
#define STOP_PATIENCE (50 * MSEC)
#define STOP_PATIENCE_MOST (500 * MSEC)
#define STOP_AT_ONCE (1 * MSEC)
#define STOP_POLL (20 * USEC)
/* After so many freezes in vain of a worker that a debugger has we give up freezing. */
#define STOPS_IN_VAIN 3
/* Time for the worker to close connections that may be quiet ("unseen"). */
#define UNSEEN_PATIENCE (2 * SECOND)
/* In this last part of the drain's time the least bad moment is taken. */
#define LAST_PART_MOST (2 * SECOND)
/* Time for the worker to notice that its connections were ended. */
#define NOTICE_PATIENCE (2 * SECOND)
/* After its stop signal the worker has GOODBYE_PATIENCE to say goodbye to its clients.  From
 * then on it runs for LOOK_AFTER and is stopped until a request comes, for LINGER_AFTER at
 * most; meanwhile nclust looks at it each LINGER_LOOK, LINGERS_AFTER times in all. */
#define GOODBYE_PATIENCE (300 * MSEC)
#define LOOK_AFTER (8 * MSEC)
#define LINGER_AFTER (64 * MSEC)
#define LINGER_LOOK (4 * MSEC)
#define LINGERS_AFTER 1000U
/* And so much later its connections are also ended between two requests. */
#define BETWEEN_AFTER (2 * SECOND)
/* Processes below a worker stay frozen so long after its stop signal. */
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
	d->all = &service->sup->traffic;
	d->began = clock_now();
	d->until = nsec_add(d->began, span);
	d->wait = WAIT_FIRST;
	d->least = UINT32_MAX;
	timer_init(&d->timer, on_timer, d);
	d->next = d->all->drains;
	d->all->drains = d;
	d->all->drain_count++;
	child->traffic.drain = d;
	note_ports(d);
	return d;
}

static void drain_free(struct drain *d)
{
	struct traffic *all = d->all;
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

static void again_in(struct drain *d, nsec_t wait)
{
	timer_arm(d->child->service->sup->loop, &d->timer, wait);
}

/* Let the worker continue until the next look. */
static void look_later(struct drain *d)
{
	/* one look alone may be long because others had the CPU */
	nsec_t took = d->took_before != 0 && d->took_before < d->view.took ? d->took_before
									   : d->view.took;
	nsec_t least = nsec_min(took * LOOKS_SHARE * (nsec_t)d->all->drain_count, LOOK_PAUSE_MOST);
	nsec_t wait = d->lingers ? d->linger / (d->keeps ? 4 : 1) : d->wait;

	drain_thaw(d);
	d->between = d->lingers = d->steps = false;
	d->took_before = d->view.took;
	if (d->freezes > FREEZES_AT_EASE * (d->asks ? 20 : 1))
		wait = WAIT_TIRED;
	if (wait < least)
		wait = least;
	if (d->wait < WAIT_LAST)
		d->wait *= 2;
	again_in(d, wait);
}

/* ---- what is told ---- */

static void tell(struct drain *d, bool forced)
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

static void tell_blind(const struct drain *d)
{
	struct service *service = d->child->service;

	if (service->traffic.blind_told)
		return;
	service->traffic.blind_told = true;
	log_note("%s: the connections of its workers cannot be seen from "
		 "here: they get their stop signal at once",
		service->name);
}

/* Where the worker may say goodbye to its clients, quiet connections have stayed open until the
 * stop signal.  A server that waits until these clients leave would not end, so that the drain
 * goes on after the signal. */
static void stay_after(struct drain *d)
{
	if (!d->keeps) {
		drain_free(d);
		return;
	}
	drain_thaw(d);
	d->signalled = false;
	d->after = true;
	d->began = clock_now();
	d->until = NSEC_NEVER;
	d->wait = LOOK_AFTER;
	d->moved_at = 0;
	d->linger = 0;
	d->asked = d->freezes = 0;
	again_in(d, GOODBYE_PATIENCE);
}

/* Report the worker as drained.  The core answers with the stop signal. */
static void finish(struct drain *d, bool forced)
{
	struct service *service = d->child->service;
	struct child *c = d->child;
	uint32_t slot = c->slot;
	uint64_t worker = c->worker;

	if (d->after) {
		drain_free(d);
		return;
	}
	tell(d, forced);
	service->traffic.asked_again += d->asked;
	tally_drained(service, clock_now() - d->began, forced);
	if (d->view.blind)
		tell_blind(d);
	if (forced)
		drain_hold_flights(d);
	d->told = true;
	child_tell(c, EVENT_DRAINED, WHY_ITSELF);
	c = child_find(service, slot, worker);
	d = c != NULL ? c->traffic.drain : NULL; /* it may have been freed */
	if (d == NULL || d->signalled || d->after)
		return;
	if (c->life.stopped_by != 0) /* node/ has asked it to disconnect */
		stay_after(d);
	else /* the core no longer wants the drain */
		drain_free(d);
}

/* ---- looking ---- */

/* Do new connections go to other workers, so that the quiet ones of this worker
 * may be ended one by one? */
static bool is_away(const struct drain *d)
{
	return d->child->traffic.withdrawn || d->unreachable || steer_is_away(d->child) ||
		node_is_away(d->child);
}

/*
 * Must the worker accept what waits in the queue before it may end?  It may
 * have been frozen between epoll_wait(2) and accept(2).  If it catches the stop
 * signal, it may accept before it handles the signal.  And if no other worker
 * takes from the queue, the connections in it are lost.  This holds for half of
 * the drain's time only, because the queue of an overloaded cluster is never
 * empty.  If others take from the queue, they are woken when this worker has
 * ended, because the kernel may have woken it alone (steer_wake_others()).
 */
static bool must_take_waiting(const struct drain *d, nsec_t now)
{
	if (drain_is_half_over(d, now))
		return false;
	if (node_is_given(d->child))
		return true;
	/* it cannot take them any more */
	if (d->child->traffic.withdrawn || node_is_away(d->child))
		return false;
	if (d->view.waiting == 0)
		return !steer_may_stop(d->child);
	return d->goes_on || steer_is_away(d->child) ||
		cluster_state(d->child->service->core) == CLUSTER_STOPPING;
}

/* After a while, connections that hide if an answer is to come are left to a
 * worker that catches its stop signal, most likely to finish them. */
static bool is_quiet(const struct drain *d, nsec_t now)
{
	bool leaves_some = d->goes_on && now - d->began > UNSEEN_PATIENCE;

	return d->view.busy <= (leaves_some ? d->view.unseen : 0) && !must_take_waiting(d, now);
}

/* The worker will not be quiet in time: is this the least bad moment? */
static bool is_best(const struct drain *d, nsec_t now)
{
	nsec_t part = (d->until - d->began) / 4;

	if (part > LAST_PART_MOST)
		part = LAST_PART_MOST;
	return now > d->until - part && d->least < d->most && d->view.busy <= d->least;
}

static void note_busy(struct drain *d)
{
	if (d->least > d->view.busy)
		d->least = d->view.busy;
	if (d->most < d->view.busy)
		d->most = d->view.busy;
}

/* A worker of Node's cluster can be asked to disconnect, and waits for its clients
 * itself.  True: it was asked, and `d` was freed. */
static bool leaves_by_itself(struct drain *d)
{
	if (!node_leave(d->child))
		return false;
	drain_free(d);
	return true;
}

/* A worker that runs on after its drain must first notice that its connections
 * are over; otherwise it may close them in its own way. */
static bool is_to_notice(struct drain *d, unsigned ended, nsec_t now)
{
	if ((ended == 0 && d->view.open == d->view.alive) || !node_may_leave(d->child))
		return false;
	if (d->quiet_at == 0) {
		d->quiet_at = now;
		d->wait = WAIT_FIRST;
	}
	return now - d->quiet_at < NOTICE_PATIENCE;
}

/* Look at the connections.  True: the caller has nothing more to do now. */
static bool looked_is_all(struct drain *d)
{
	drain_look(d);
	if (d->view.gone || (d->frozen && !drain_is_frozen(d))) {
		/* ended, as its pidfd will report, or continued by somebody */
		look_later(d);
		return true;
	}
	/* nobody can see whether it is quiet */
	if (d->view.blind && !d->after && leaves_by_itself(d))
		return true;
	if (!d->view.blind)
		return false;
	finish(d, false);
	return true;
}

/* Silence does not come. */
static bool is_in_use(const struct drain *d, nsec_t now)
{
	return now - d->began >= SILENCE_FIRST;
}

/* May connections be ended between two requests, or are to be told apart?  Not those
 * alone that wait for an answer. */
static bool may_end_between(const struct drain *d, nsec_t now)
{
	return d->view.busy > 0 && is_away(d) && (d->keeps || is_in_use(d, now)) &&
		now - d->moved_at < SECOND;
}

static void freeze(struct drain *d);

static nsec_t count_ran(const struct drain *d)
{
	nsec_t ran = 0;

	for (size_t i = 0; i < d->process_count; i++)
		ran += process_ran(d->processes[i].pid);
	return ran;
}

/* An answer that was due while it stood still goes out as soon as it runs, which takes a CPU: it
 * is stopped again before it reads the next request, which comes at once. */
static void step(struct drain *d)
{
	const struct timespec pause = {.tv_nsec = STEP};
	nsec_t ran = count_ran(d);

	drain_thaw(d);
	for (int i = 0; i < STEPS_MOST && (i == 0 || count_ran(d) == ran); i++)
		(void)nanosleep(&pause, NULL);
	d->lingers = false;
	d->steps = true;
	freeze(d);
}

/* After the stop signal: the worker is stopped until a request comes, whose head tells whether
 * that client speaks HTTP/1.  The connection of a client that does is ended when it has been
 * quiet for long (TCP), or between two requests. */
static void end_after(struct drain *d)
{
	bool between = clock_now() - d->began > BETWEEN_AFTER;
	unsigned late = 0;

	if (d->view.ripe == 0 && d->view.heads == 0 && d->linger < LINGER_AFTER) {
		d->linger += LINGER_LOOK;
		d->lingered++;
		again_in(d, LINGER_LOOK);
		return;
	}
	(void)drain_end(d, &late, between);
	d->child->service->traffic.asked_again += d->asked;
	d->asked = 0;
	d->linger = 0;
	look_later(d);
}

/* All processes of the worker are frozen: look again, and decide. */
static void on_frozen(struct drain *d)
{
	unsigned late = 0;
	unsigned ended;
	nsec_t now;

	d->unstoppable = 0;
	if (looked_is_all(d))
		return;
	if (d->after) {
		end_after(d);
		return;
	}
	now = clock_now();
	if (is_quiet(d, now)) {
		/* the worker may take long to end: a client that sees its
		 * connection closed now can turn to another worker */
		d->last = true;
		ended = drain_end(d, &late, false);
		d->last = false;
		if (late > 0 || is_to_notice(d, ended, now))
			look_later(d);
		else
			finish(d, false);
		return;
	}
	d->quiet_at = 0;
	if (is_best(d, now)) {
		finish(d, true);
		return;
	}
	note_busy(d);
	if (d->between && !d->lingers) {
		d->lingers = true;
		if (!d->steps)
			d->linger = d->linger == 0 ? LINGER_FIRST
						   : nsec_min(2 * d->linger, LINGER_LAST);
		again_in(d, d->steps ? LINGER_FIRST : d->linger);
		return;
	}
	if (is_away(d))
		d->ended += drain_end(d, &late, d->lingers && is_in_use(d, now));
	if (d->lingers && !d->steps && now - d->began >= STEPS_AFTER)
		step(d);
	else
		look_later(d);
}

/* A freeze was in vain, but its stop signals may have interrupted system calls, and the
 * kernel does not tell in which call a process waits that goes on with one
 * (restart_syscall(2)).  Processes that have stopped still show it.  Nobody knows of the
 * others: they count as being at work. */
static void note_interrupted(struct drain *d)
{
	for (size_t i = 0; i < d->process_count; i++) {
		struct drain_process *p = &d->processes[i];

		p->stopped_in = p->still ? connections_activity(&p->remote, p->stopped_in)
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
		again_in(d, MSEC);
		return;
	}
	d->unstoppable++;
	note_interrupted(d);
	look_later(d);
}

/* Has a debugger one of its processes, which then does not stop for us? */
static bool is_traced(const struct drain *d)
{
	uint64_t tracer;

	for (size_t i = 0; i < d->process_count; i++)
		if (process_status(d->processes[i].pid, "TracerPid:", 10, &tracer) == 0 &&
			tracer != 0)
			return true;
	return false;
}

static void freeze(struct drain *d)
{
	if (d->unstoppable >= STOPS_IN_VAIN && is_traced(d)) {
		finish(d, true);
		return;
	}
	drain_freeze(d);
	await_stop(d);
}

/*
 * A worker that does not end by its stop signal alone could still accept
 * connections, and lose them at its end.  So new ones are kept away first.
 */
static bool turn_away_first(struct drain *d, nsec_t now)
{
	if (d->turned_away || !d->goes_on)
		return false;
	d->turned_away = true;
	drain_withdraw(d, now);
	if (!d->child->traffic.withdrawn)
		steer_press(d->child);
	again_in(d, WAIT_AWAY);
	return true;
}

/* After the stop signal: stop the worker again as long as its clients ask it. */
static void look_after(struct drain *d)
{
	if (d->lingered > LINGERS_AFTER)
		drain_free(d);
	else if (d->view.ripe > 0 || clock_now() - d->moved_at < SECOND)
		freeze(d);
	else
		again_in(d, LOOK_AFTER);
}

static void look(struct drain *d)
{
	nsec_t now;

	if (d->child->life.killed_by_us || d->child->life.paused) {
		look_later(d);
		return;
	}
	if (looked_is_all(d))
		return;
	if (d->after) {
		look_after(d);
		return;
	}
	now = clock_now();
	if (turn_away_first(d, now))
		return;
	if (drain_is_half_over(d, now) && leaves_by_itself(d))
		return;
	if (is_quiet(d, now) || is_best(d, now)) {
		freeze(d);
		return;
	}
	d->quiet_at = 0;
	drain_withdraw(d, now);
	d->between = may_end_between(d, now);
	if ((is_away(d) && d->view.ripe > 0) || d->between) {
		freeze(d);
		return;
	}
	note_busy(d);
	look_later(d);
}

/* ---- after the signal ---- */

static void learn(struct drain *d)
{
	drain_thaw(d);
	if (d->flight_count == 0 || drain_look_at_flights(d)) {
		drain_judge(d);
		stay_after(d);
		return;
	}
	again_in(d, 5 * MSEC);
}

/* Look, if looks have time left in this TURN; else wait for the next one. */
static void look_in_turn(struct drain *d)
{
	struct traffic *all = d->all;
	nsec_t began = clock_now();

	if (began >= all->turn_ends) {
		all->turn_ends = began + TURN;
		all->turn_left = TURN_FOR_LOOKS;
	}
	if (all->turn_left <= 0) {
		again_in(d, all->turn_ends - began);
		return;
	}
	look(d);
	all->turn_left -= clock_now() - began;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct drain *d = timer->data;

	(void)loop;
	(void)revents;
	if (d->signalled)
		learn(d);
	else if (d->frozen)
		await_stop(d);
	else
		look_in_turn(d);
}

/* ---- from outside ---- */

static void drain_on_drain(struct child *child, nsec_t span)
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
	again_in(d, 0);
}

/* Look at a worker without a drain; NULL: it has one.  The caller frees it. */
static struct drain *glance(struct child *child)
{
	struct drain *d = child->traffic.drain == NULL ? drain_new(child, 0) : NULL;

	if (d != NULL)
		drain_look(d);
	return d;
}

bool drain_is_stubborn(struct child *child, unsigned least)
{
	struct drain *d = glance(child);
	bool stubborn = d != NULL && !d->view.blind && !d->view.gone &&
		(d->view.alive >= least || d->goes_on) && !drain_can_withdraw(d);

	if (d != NULL)
		drain_free(d);
	return stubborn;
}

unsigned drain_count_stay(struct child *child)
{
	struct drain *d = glance(child);
	bool may = d != NULL && d->own;
	unsigned stay = may ? d->view.still : 0;

	if (d != NULL)
		drain_free(d);
	return stay;
}

bool drain_is_busy(struct child *child)
{
	struct drain *d = glance(child);
	bool busy = d != NULL && d->view.busy > 0;

	if (d != NULL)
		drain_free(d);
	return busy;
}

/* The stop signal comes next: report connections that are still busy. */
static void before_signal(struct drain *d)
{
	if (d->told)
		return;
	drain_look(d);
	if (d->view.blind || d->view.busy == 0)
		return;
	if (d->until > d->began) /* the core has stopped waiting */
		tell(d, true);
	drain_hold_flights(d);
}

/* Send the stop signal and continue the worker.  That ends its drain;
 * connections that are still busy are reported. */
static bool drain_on_stop(struct child *child, int signal)
{
	struct drain *d = child->traffic.drain;

	if (d == NULL && cluster_settings(child->service->core)->drain == DRAIN_SIGNAL)
		d = drain_new(child, 0);
	if (d != NULL && !d->signalled)
		before_signal(d);
	steer_part(child);
	/* those below stay frozen until they have heard it of this one */
	if (d == NULL || !d->frozen || signal == SIGKILL ||
		pidfd_signal_main(child->pidfd, child->pid, signal) == -1)
		child_signal(child, signal);
	/* a stopped process handles no signal */
	child_signal(child, SIGCONT);
	if (d == NULL || d->signalled)
		return true;
	d->signalled = true;
	if (d->process_count <= 1)
		drain_thaw(d);
	if (d->frozen || d->flight_count > 0)
		again_in(d, d->frozen ? LEAVE_PATIENCE : MSEC);
	else
		stay_after(d);
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

void drain_on_settle(struct supervisor *sup)
{
	for (struct drain *d = sup->traffic.drains; d != NULL; d = d->next)
		if (d->frozen) {
			drain_thaw(d);
			again_in(d, WAIT_LAST);
		}
}

static void drain_on_end(struct supervisor *sup)
{
	while (sup->traffic.drains != NULL)
		drain_free(sup->traffic.drains);
	thaw_fini(sup);
	host_end(sup);
}

/* Choose the worker's lane, which its environment and the state file have. */
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
		drain_on_drain(child, left);
	else if (child_view(child).state == SLOT_SPARE && !child->life.paused &&
		drain_is_stopped(child))
		/* as an earlier version held some: the next one is none */
		(void)pidfd_signal(child->pidfd, SIGKILL);
}

static void drain_on_gone(struct child *child)
{
	steer_left(child);
	if (!child->service->kind->by_connection && child->pid != 0)
		steer_wake_others(child->service, child->traffic.lane);
}

/* An earlier nclust may have left the worker frozen: continue it. */
static void drain_on_adopt(struct child *child, struct kept *kept)
{
	if (kept->entry->phase == STATE_STOPPING)
		thaw_tree(child->pid, child->pidfd);
}

const struct part drain_part = {
	.name = "drain",
	.prepare = drain_on_prepare,
	.born = steer_on_born,
	.provide = steer_on_provide,
	.listens = steer_on_listens,
	.aside = steer_on_aside,
	.resumed = drain_on_resumed,
	.drain = drain_on_drain,
	.stop = drain_on_stop,
	.dying = drain_on_dying,
	.gone = drain_on_gone,
	.adopt = drain_on_adopt,
	.adopted = steer_on_adopted,
	.report = steer_on_report,
	.settings = steer_on_settings,
	.given = steer_on_given,
	.choose = drain_on_choose,
	.status = evidence_on_status,
	.settle = drain_on_settle,
	.rolls = steer_on_rolls,
	.drop = steer_on_drop,
	.go_on = host_go_on,
	.end = drain_on_end,
};
