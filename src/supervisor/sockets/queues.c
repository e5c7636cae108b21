/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/queues.h"

#include "os/clock.h"
#include "os/socket/least.h"
#include "os/socket/sockdiag.h"
#include "supervisor/common/timer.h"
#include "supervisor/sockets/group.h"

#include <errno.h>
#include <stdlib.h>

/* From one look at queues in which somebody waits to the next. */
#define LOOK_EVERY (20 * MSEC)
/* Nobody has accepted for so long: others can do it sooner. */
#define PATIENCE_LEAST (80 * MSEC)
#define PATIENCE_MOST (2 * SECOND)
/* One that hangs gets a connection again after that, in case nobody ever is seen to
 * wait there. */
#define STUCK_MOST (10 * SECOND)
/* A socket is in the map of an earlier nclust, or of one before an upgrade, until the
 * program of that is replaced. */
#define TRY_AGAIN (100 * MSEC)
#define TRIES_MOST 50

struct queues {
	struct listener *listener;
	struct least least;
	int error;      /* why it cannot be had; or 0 */
	unsigned tries; /* in vain */
	ev_io bell;
	ev_timer timer;
};

/* ---- looking ---- */

static bool is_stuck(const struct queues *q, const struct listener_socket *s)
{
	return q->least.state->stuck[s->queue.number - 1] != 0;
}

/* Has another one room? */
static bool may_move(
	const struct queues *q, const struct listener_socket * not )
{
	const struct listener_socket *s = q->listener->sockets;

	while (s != NULL &&
		(s == not || s->weight == 0 || s->queue.number == 0 ||
			is_stuck(q, s) || sockdiag_has_queue(s->fd)))
		s = s->next;
	return s != NULL;
}

static void move(struct queues *q, struct listener_socket *s, nsec_t now)
{
	q->least.state->stuck[s->queue.number - 1] = 1;
	s->queue.stuck_at = now;
	s->queue.since = 0;
	s->queue.patience = nsec_min(2 * s->queue.patience, PATIENCE_MOST);
	group_rescue(q->listener, s);
}

/* Does somebody wait there?  Then it is to be looked at again. */
static bool look_at(struct queues *q, struct listener_socket *s, nsec_t now)
{
	struct backlog *queue = &s->queue;
	struct queue_facts facts;
	uint32_t accepted;

	if (!sockdiag_has_queue(s->fd)) {
		queue->since = 0;
		if (now - queue->stuck_at >= STUCK_MOST)
			q->least.state->stuck[queue->number - 1] = 0;
		return is_stuck(q, s);
	}
	sockdiag_queue(s->fd, &facts);
	accepted = q->least.state->given[queue->number - 1] -
		(uint32_t)facts.depth;
	if (queue->patience == 0)
		queue->patience = PATIENCE_LEAST;
	if (queue->since == 0 || accepted != queue->accepted) {
		queue->accepted = accepted;
		queue->since = now;
	} else if (now - queue->since >= queue->patience && may_move(q, s)) {
		move(q, s, now);
	}
	return true;
}

static bool anybody_waits(const struct queues *q)
{
	const struct listener_socket *s = q->listener->sockets;

	while (s != NULL &&
		(s->weight == 0 || s->queue.number == 0 ||
			!sockdiag_has_queue(s->fd)))
		s = s->next;
	return s != NULL;
}

/* `again`: look once more in any case.  If all are busy for a moment many times a
 * second, the bell need not wake us each time: it rings no more until nobody waits
 * at a look. */
static void look(struct queues *q, bool again)
{
	const nsec_t now = clock_now();
	struct listener_socket *next;
	bool waits = again;

	for (struct listener_socket *s = q->listener->sockets; s != NULL;
		s = next) {
		next = s->next;
		if (s->weight > 0 && s->queue.number != 0)
			waits |= look_at(q, s, now);
	}
	if (!waits) {
		__atomic_store_n(&q->least.state->rung, 0, __ATOMIC_SEQ_CST);
		/* it has not rung for those who came meanwhile */
		waits = anybody_waits(q);
	}
	if (!waits)
		return;
	q->least.state->rung = 1;
	timer_arm(q->listener->sup->loop, &q->timer, LOOK_EVERY);
}

static void on_bell(struct ev_loop *loop, ev_io *io, int revents)
{
	struct queues *q = io->data;

	(void)loop;
	(void)revents;
	least_hear(&q->least);
	look(q, true);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct queues *q = timer->data;

	(void)loop;
	(void)revents;
	if (q->error == EBUSY)
		group_apply(q->listener);
	else
		look(q, false);
}

/* ---- choosing ---- */

static void close_all(struct queues *q)
{
	struct ev_loop *loop = q->listener->sup->loop;

	ev_timer_stop(loop, &q->timer);
	if (ev_is_active(&q->bell))
		ev_io_stop(loop, &q->bell);
	least_close(&q->least);
	for (struct listener_socket *s = q->listener->sockets; s != NULL;
		s = s->next)
		s->queue = (struct backlog){.number = 0};
}

void queues_forget(struct listener *l)
{
	if (l->queues == NULL)
		return;
	if (l->queues->least.state != NULL)
		close_all(l->queues);
	free(l->queues);
	l->queues = NULL;
}

static void open_all(struct queues *q)
{
	if (least_open(&q->least) == -1) {
		q->error = errno;
		return;
	}
	q->error = 0;
	timer_init(&q->timer, on_timer, q);
	io_init(&q->bell, on_bell, q->least.bell, q);
	ev_io_start(q->listener->sup->loop, &q->bell);
}

/* The lowest number that none has. */
static unsigned free_number(const struct listener *l)
{
	unsigned number = 1;
	const struct listener_socket *s = l->sockets;

	while (s != NULL) {
		if (s->queue.number == number) {
			number++;
			s = l->sockets;
		} else {
			s = s->next;
		}
	}
	return number;
}

void queues_prepare(struct listener *l, unsigned count)
{
	if (l->spread != SPREAD_LEAST) {
		queues_forget(l);
		return;
	}
	if (count == 1) /* there is nothing to choose */
		return;
	if (l->queues == NULL) {
		l->queues = calloc(1, sizeof(*l->queues));
		if (l->queues == NULL)
			return;
		l->queues->listener = l;
		open_all(l->queues);
	}
	for (struct listener_socket *s = l->sockets; s != NULL; s = s->next) {
		if (s->queue.number != 0)
			continue;
		s->queue.number = free_number(l);
		if (l->queues->least.state != NULL)
			s->queue.given = l->queues->least.state
						 ->given[s->queue.number - 1];
	}
}

void queues_count(const struct listener *l)
{
	if (l->queues == NULL || l->queues->least.state == NULL)
		return;
	for (struct listener_socket *s = l->sockets; s != NULL; s = s->next) {
		uint32_t given;

		if (s->queue.number == 0)
			continue;
		given = l->queues->least.state->given[s->queue.number - 1];
		s->given += given - s->queue.given; /* it may wrap around */
		s->queue.given = given;
	}
}

/* -1 and errno: one is not to be had. */
static int add_all(struct queues *q, uint8_t *numbers, unsigned *count)
{
	*count = 0;
	for (const struct listener_socket *s = q->listener->sockets; s != NULL;
		s = s->next) {
		if (s->weight == 0)
			continue;
		if (least_add(&q->least, s->fd, s->queue.number - 1) == -1)
			return -1;
		numbers[(*count)++] = (uint8_t)(s->queue.number - 1);
	}
	return 0;
}

static int try_again(struct queues *q)
{
	q->error = EBUSY;
	if (q->tries++ < TRIES_MOST)
		timer_arm(q->listener->sup->loop, &q->timer, TRY_AGAIN);
	else
		q->error = EEXIST;
	errno = q->error;
	return -1;
}

int queues_choose(const struct listener *l, int fd)
{
	struct queues *q = l->queues;
	uint8_t numbers[REUSEPORT_MAX];
	unsigned count;

	if (q == NULL || (q->error != 0 && q->error != EBUSY)) {
		errno = q == NULL ? ENOMEM : q->error;
		return -1;
	}
	if (add_all(q, numbers, &count) == -1)
		return errno == EBUSY ? try_again(q) : -1;
	q->error = 0;
	q->tries = 0;
	return least_choose(&q->least, fd, numbers, count);
}
