/* SPDX-License-Identifier: MIT */
#include "supervisor/node/node_inside.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "supervisor/common/foreign.h"
#include "supervisor/sockets/group.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Descriptors that were sent to Node workers and are not confirmed yet. */

/* A worker without free descriptors refuses at once: without this pause it
 * would be offered tens of thousands of connections a second. */
#define HOLD_OFF (20 * MSEC)
/* As Node's own primary does (child_process.js, MAX_HANDLE_RETRANSMISSIONS). */
#define LOST_MAX 3

int node_flight_add(struct node_worker *w, const struct node_flight *f)
{
	if (w->flight_count >= NODE_FLIGHTS_MAX)
		return -1;
	if (w->flight_count == w->flight_room) {
		size_t room = w->flight_room > 0 ? 2 * w->flight_room : 8;
		struct node_flight *more = realloc(w->flights, room * sizeof(*more));

		if (more == NULL)
			return -1;
		w->flights = more;
		w->flight_room = room;
	}
	w->flights[w->flight_count++] = *f;
	w->connections += f->kind == NODE_FLIGHT_CONNECTION;
	return 0;
}

/* Take it out of the list; a connection's descriptor is the caller's then. */
static struct node_flight take(struct node_worker *w, size_t i)
{
	struct node_flight f = w->flights[i];

	w->flight_count--;
	(void)memmove(
		&w->flights[i], &w->flights[i + 1], (w->flight_count - i) * sizeof(*w->flights));
	w->connections -= f.kind == NODE_FLIGHT_CONNECTION;
	return f;
}

/* The oldest of those that are on their way. */
static struct node_flight *first_under_way(struct node_worker *w)
{
	for (size_t i = 0; i < w->flight_count; i++)
		if (!w->flights[i].arrived && w->flights[i].again == 0)
			return &w->flights[i];
	return NULL;
}

void node_flight_acked(struct node_worker *w)
{
	struct node_flight *f = first_under_way(w);

	if (f == NULL)
		return; /* nothing was sent: ignore it */
	w->child->channel->answers++;
	f->arrived = true;
	if (f->kind == NODE_FLIGHT_ANSWER)
		(void)take(w, (size_t)(f - w->flights));
}

static void tell_full(struct node_worker *w)
{
	if (w->told_full)
		return;
	w->told_full = true;
	log_warn("%s.%" PRIu32 ": has no descriptor left for what nclust "
		 "passes it (limit-nofile?)",
		w->child->service->name, w->child->slot);
}

void node_flight_nacked(struct node_worker *w)
{
	struct node_flight *f = first_under_way(w);

	if (f == NULL)
		return;
	tell_full(w);
	f->lost++;
	f->again = nsec_add(clock_now(), HOLD_OFF);
	w->hold_until = f->again;
	node_arm(w->child->service->node, f->again);
}

/* The connection was not taken: give it to another worker. */
static void pass_on(struct node_worker *w, const struct node_flight *f)
{
	struct node_server *s = node_server_numbered(w->child->service->node, f->server);
	int fd = f->fd;

	if (s != NULL)
		node_rr_again(s, fd);
	else
		foreign_close(w->child->service->sup, w->child, &fd);
}

static void send_again(struct node_worker *w, struct node_flight f)
{
	struct node_server *s = node_server_numbered(w->child->service->node, f.server);

	if (f.kind == NODE_FLIGHT_CONNECTION) {
		pass_on(w, &f);
	} else if (s == NULL) {
		node_answer_error(w, f.ack, EINVAL);
	} else if (f.lost > LOST_MAX) {
		node_answer_error(w, f.ack, EMFILE);
	} else {
		node_answer_shared(w, s, f.ack, f.lost);
	}
}

void node_flights_again(struct node_worker *w, nsec_t now)
{
	size_t count = w->flight_count;

	if (w->hold_until != 0 && w->hold_until <= now) {
		w->hold_until = 0;
		node_rr_room_of(w);
	}
	/* those that are sent again are put at the end */
	for (size_t i = 0; i < count;) {
		nsec_t again = w->flights[i].again;

		if (again != 0 && again <= now) {
			send_again(w, take(w, i));
			count--;
			continue;
		}
		if (again != 0)
			node_arm(w->child->service->node, again);
		i++;
	}
}

void node_flight_taken(struct node_worker *w, int64_t ack, bool accepted)
{
	struct node_server *s;
	struct node_flight f;
	struct node_use *use;
	size_t i = 0;

	while (i < w->flight_count &&
		(w->flights[i].kind != NODE_FLIGHT_CONNECTION || w->flights[i].seq != ack ||
			!w->flights[i].arrived))
		i++;
	if (i == w->flight_count)
		return; /* it was given no such connection */
	w->child->channel->answers++;
	f = take(w, i);
	s = node_server_numbered(w->child->service->node, f.server);
	if (accepted || s == NULL) {
		w->taken += accepted;
		foreign_close(w->child->service->sup, w->child, &f.fd);
		node_rr_room_of(w);
		return;
	}
	/* refused: the worker is busy, or has just closed its server */
	use = node_use_of(w, s);
	if (use != NULL) {
		use->refused_until = nsec_add(clock_now(), HOLD_OFF);
		node_arm(s->cluster, use->refused_until);
	}
	node_rr_again(s, f.fd);
}

/* The worker is gone: pass the connections that it has not taken to others. */
void node_flights_drop(struct node_worker *w)
{
	while (w->flight_count > 0) {
		struct node_flight f = take(w, 0);

		if (f.kind == NODE_FLIGHT_CONNECTION)
			pass_on(w, &f);
	}
}

/* ---- answers ---- */

void node_answer_error(struct node_worker *w, int64_t ack, int error)
{
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);
	const struct nodeipc_answer a = {
		.ack = ack,
		.seq = node_next_seq(w),
	};

	nodeipc_put_error(&to, &a, error);
	(void)node_send(w, &line, -1);
}

void node_answer_shared(struct node_worker *w, struct node_server *s, int64_t ack, unsigned lost)
{
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);
	struct nodeipc_answer a = {
		.key = s->number,
		.ack = ack,
		.seq = node_next_seq(w),
		.data = s->data,
	};
	const struct node_flight f = {
		.kind = NODE_FLIGHT_ANSWER,
		.server = s->number,
		.seq = a.seq,
		.ack = ack,
		.fd = -1,
		.lost = lost,
	};
	int fd = fcntl(group_fd(s->listener, w->child->traffic.lane), F_DUPFD_CLOEXEC, 3);

	if (fd == -1 || node_flight_add(w, &f) == -1) {
		fd_close(&fd);
		buffer_fini(&line);
		node_answer_error(w, ack, EMFILE);
		return;
	}
	s->listener->ours_alone = false;
	nodeipc_put_shared(&to, &a, s->family == NODEIPC_UDP);
	if (node_send(w, &line, fd) == -1)
		(void)take(w, w->flight_count - 1);
}
