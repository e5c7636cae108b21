/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/internal.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/drain/drain_withdraw.h"
#include "supervisor/drain/hand_on.h"
#include "supervisor/drain/steer.h"
#include "supervisor/node/node.h"

#include <time.h>

/* Looks at a worker again and again, until the moment in which it may get its stop signal. */

/* Time in which a worker accepts a connection that the kernel has already offered to it. */
#define WAIT_AWAY (1 * MSEC)
/* A client sends its next request while the worker stays frozen: within DRAIN_STAY_FIRST on this
 * host, within STAY_LAST over a longer way.  Then the worker runs by STEPS_MOST steps before it runs
 * freely again: in a step an answer goes out, and the request that follows it lies unread. */
#define STAY_LAST (16 * MSEC)
#define STEPS_MOST 12
/* Over a unix socket a request is handed on only if it comes within a stay.  Clients may take long to
 * read an answer and to ask again: then each stay lasts for this part of the drain so far, and the
 * steps begin anew as long as requests come. */
#define READING_PART 64
#define STAY_AFTER (6 * MSEC) /* after the stop signal, at each of these steps */
#define FREEZES_AFTER 64U     /* and so often at most */
#define STEP (200 * USEC)
#define STEP_SPANS 10 /* so many spans of it at most, until the worker has had a CPU */
/* A connection whose request cannot be handed on is closed between two requests when no quiet moment
 * has come for so long; after the stop signal the worker has longer to do so itself. */
#define SILENCE_FIRST (120 * MSEC)
#define BETWEEN_AFTER (2 * SECOND)
/* Each freeze interrupts a system call, so after FREEZES_AT_EASE of them looks are rarer; with
 * connections of HTTP/1, which can be ended, after 20 times as many. */
#define FREEZES_AT_EASE 100
#define WAIT_TIRED (250 * MSEC)
/* All drains together rest half as long as TURN_REST after a look: clients may wait for them.  A look
 * can take long because the machine stood still, so the next one comes within LOOK_PAUSE_MOST. */
#define LOOK_PAUSE_MOST (10 * SECOND)
/* Time for all processes to stop, for which each needs a CPU: longer after each freeze in vain.
 * During STOP_AT_ONCE nclust polls without returning to the event loop. */
#define STOP_PATIENCE (50 * MSEC)
#define STOP_PATIENCE_MOST (500 * MSEC)
#define STOP_AT_ONCE (1 * MSEC)
#define STOP_POLL (20 * USEC)
/* Time for the worker to close connections that may be quiet (maybe_quiet). */
#define UNSEEN_PATIENCE (2 * SECOND)
/* A look that takes too long uses up the patience with all workers of that user. */
#define LATE_PAUSE (1 * SECOND)
/* In this last part of the drain's time the moment with the fewest busy connections is taken. */
#define LAST_PART_MOST (2 * SECOND)

/* Lets the worker run until the next look. */
static void look_later(struct drain *d)
{
	/* a single look may be long because nclust had no CPU */
	nsec_t took = d->took_before != 0 && d->took_before < d->view.took ? d->took_before
									   : d->view.took;
	nsec_t least =
		nsec_min(took * (TURN_REST / 2) * (nsec_t)d->traffic->drain_count, LOOK_PAUSE_MOST);
	nsec_t stood = d->frozen ? clock_now() - d->frozen_at : 0;
	nsec_t wait = d->wait > stood ? d->wait : stood;

	drain_thaw(d);
	d->took_before = d->view.took;
	if (d->freezes > FREEZES_AT_EASE * (d->saw_http ? 20 : 1))
		wait = WAIT_TIRED;
	if (wait < least)
		wait = least;
	if (d->wait < DRAIN_WAIT_LAST)
		d->wait *= 2;
	drain_arm(d, wait);
}

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
 * which nclust cannot see whether an answer is due: most likely the worker finishes these.  Not a
 * worker of Node, which dies of the signal unless its program handles it, nor one whose clients ask
 * on, so that their requests can be handed on. */
static bool is_quiet(const struct drain *d, nsec_t now)
{
	bool leaves_some = d->catches_signal && !node_is_worker(d->child) &&
		now - d->handed_at > UNSEEN_PATIENCE * d->crowd;

	return d->view.busy <= d->view.unanswered + (leaves_some ? d->view.maybe_quiet : 0) &&
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

/* Looks at the connections.  True: the caller has nothing more to do now. */
static bool look_is_final(struct drain *d)
{
	d->hands_on = (!d->frozen || d->hands_on) && drain_hands_on(d);
	drain_look(d);
	if (d->view.gone || (d->frozen && !drain_is_frozen(d))) {
		/* the worker has ended, as its pidfd will report, or somebody has continued it */
		look_later(d);
		return true;
	}
	/* the machine or its disk may be slow: in doubt the worker is busy */
	if (d->view.late && !d->after_signal && !drain_is_half_over(d, clock_now())) {
		look_later(d);
		drain_arm(d, LATE_PAUSE);
		return true;
	}
	if (!d->view.blind)
		return false;
	/* nobody can see whether it is quiet */
	drain_report(d, false);
	return true;
}

/* Has the drain waited in vain for a quiet moment, or the worker not ended since its signal? */
static bool is_never_silent(const struct drain *d, nsec_t now)
{
	return now - d->began >= (d->after_signal ? BETWEEN_AFTER : SILENCE_FIRST);
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
	/* a quick server answers many requests within STEP, and what it read of them is unknown then */
	static const nsec_t spans[] = {STEP / 10, STEP / 4, STEP / 2, STEP};
	const nsec_t span = spans[d->steps++ % COUNT_OF(spans)];
	const struct timespec pause = {.tv_nsec = span};
	nsec_t ran = sum_cpu_time(d);
	nsec_t until;

	drain_thaw(d);
	/* a sleep lasts for 50 us longer than it should (timer slack) */
	for (until = clock_now() + span; span < STEP && clock_now() < until;)
		continue;
	for (int i = span < STEP; i < STEP_SPANS && (i == 0 || sum_cpu_time(d) == ran); i++)
		(void)nanosleep(&pause, NULL);
	d->stays_frozen = false;
	freeze_worker(d);
}

/* Stays frozen, for a request that follows an answer; or lets an answer out.  After the stop signal the
 * worker stays frozen most of the time, because its clients may ask rarely. */
static void await_request(struct drain *d, nsec_t now)
{
	bool reads = d->view.reading > 0 && now - d->frozen_at < (now - d->began) / READING_PART;

	if (d->after_signal ? d->steps == STEPS_MOST - 2 && is_never_silent(d, now)
			    : d->stays_frozen && !reads) {
		run_one_step(d);
		return;
	}
	d->stays_frozen = true;
	if (d->after_signal) {
		d->steps++;
		drain_arm(d, STAY_AFTER);
	} else if (d->steps > 0) {
		drain_arm(d, DRAIN_STAY_FIRST);
	} else {
		drain_arm(d, d->stay);
		d->stay = nsec_min(2 * d->stay, STAY_LAST);
	}
}

/* All processes of the worker are frozen: look again, and decide. */
static void on_frozen(struct drain *d)
{
	const unsigned handed = d->handed;
	nsec_t now;

	d->unstoppable = 0;
	if (look_is_final(d))
		return;
	now = clock_now();
	if (!d->after_signal && is_quiet(d, now)) {
		/* The worker may take long to end: a client that sees its connection closed now can
		 * turn to another worker. */
		if (drain_deal(d, DEAL_END_LAST) > 0) {
			look_later(d);
			return;
		}
		(void)drain_deal(d, DEAL_HOLD);
		drain_report(d, false);
		return;
	}
	if (!d->after_signal && is_least_bad_moment(d, now)) {
		drain_report(d, d->view.busy > 0);
		return;
	}
	note_busy(d);
	(void)drain_deal(d,
		!d->after_signal && !is_bypassed(d) ? DEAL_HAND
			: is_never_silent(d, now)   ? DEAL_END_ASKING
						    : DEAL_END_QUIET);
	/* nobody waits for the worker: it stands still, so that the next request lies unread */
	if ((!d->after_signal && d->view.asks_soon > 0 && d->view.busy == d->view.asks_soon) ||
		(d->view.reading > 0 && d->handed > handed))
		d->steps = 0;
	if (d->freeze_between && d->steps < STEPS_MOST)
		await_request(d, now);
	else
		look_later(d);
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
	if (clock_now() - d->frozen_at <
		nsec_min(STOP_PATIENCE * (1 + (nsec_t)d->unstoppable), STOP_PATIENCE_MOST)) {
		drain_arm(d, MSEC);
		return;
	}
	d->unstoppable++;
	/* The freeze was in vain, but SIGSTOP may have interrupted system calls, and the kernel does
	 * not show in which call a process waits that restarts one (restart_syscall(2)).  A process
	 * that has stopped still shows its call; any other process counts as being at work. */
	for (size_t i = 0; i < d->process_count; i++) {
		struct drain_process *p = &d->processes[i];

		p->stopped_in = p->stopped ? connections_activity(&p->remote, p->stopped_in, NULL)
					   : ACTIVITY_SLEEPS;
	}
	look_later(d);
}

static void freeze_worker(struct drain *d)
{
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
	drain_arm(d, WAIT_AWAY);
	return true;
}

static void look_at_worker(struct drain *d)
{
	bool ends = d->keeps_quiet && d->freezes < FREEZES_AFTER; /* after the stop signal */
	nsec_t now;

	d->stays_frozen = false;
	d->steps = 0;
	if (d->child->life.killed_by_us || d->child->life.paused) {
		look_later(d);
		return;
	}
	if (look_is_final(d))
		return;
	now = clock_now();
	d->hands_on = d->hands_on && d->view.alive > 0 && courier_is_there(d->child->service->sup);
	if (!d->after_signal) {
		if (turn_away_first(d, now))
			return;
		if (is_quiet(d, now) || is_least_bad_moment(d, now)) {
			freeze_worker(d);
			return;
		}
		drain_withdraw(d, now);
		ends = is_bypassed(d);
	}
	/* To find connections that are between two requests.  Not if all busy connections only wait
	 * for an answer: no request has come for a second. */
	d->freeze_between = now - d->request_at < SECOND &&
		(d->after_signal ? ends
				 : d->view.busy > 0 &&
					(d->hands_on || (ends && is_never_silent(d, now))));
	if (((ends || d->lost) && d->view.endable > 0) || d->freeze_between) {
		freeze_worker(d);
		return;
	}
	note_busy(d);
	look_later(d);
}

void drain_await_moment(struct drain *d)
{
	if (d->frozen)
		await_stop(d);
	else
		look_at_worker(d);
}
