/* SPDX-License-Identifier: MIT */
#include "os/vfork.h"
#include "supervisor/drain/internal.h"
#include "supervisor/common/foreign.h"
#include "supervisor/workers/service.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

/*
 * Does a worker finish its requests after its stop signal?  A handler for the signal does not prove
 * it.  So nclust holds duplicates of a few connections that were in flight until the worker closes
 * them, or exits, and checks whether the worker has answered.
 */

void drain_hold_flights(struct drain *d)
{
	struct connections *seen = &d->traffic->seen;

	for (size_t i = 0; i < seen->count && i < d->memory_count; i++) {
		const struct connection *c = &seen->list[i];
		struct drain_flight *f = &d->flights[d->flight_count];
		struct drain_process *p = drain_process_of(d, c->pid);

		if (d->flight_count == DRAIN_FLIGHTS)
			return;
		if (c->kind != CONNECTION_TCP || !drain_is_incoming(d, c) || d->memory[i].quiet ||
			c->segments_in == 0 || p == NULL)
			continue;
		*f = (struct drain_flight){.cookie = c->cookie, .segments_out = c->segments_out};
		f->fd = remote_fd(&p->remote, c->fd);
		if (f->fd != -1)
			d->flight_count++;
	}
}

static int look_at_flight(void *argument)
{
	struct drain_flight *f = argument;
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	if (getsockopt(f->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
		info.tcpi_data_segs_out > f->segments_out)
		f->answered = true;
	return 0;
}

/* Notes whether the worker has sent data on the connection after its stop signal. */
static void note_answered(struct drain_flight *f)
{
	(void)vfork_call_on(f->fd, look_at_flight, f);
}

bool drain_look_at_flights(struct drain *d)
{
	bool over = true;

	drain_look(d);
	for (size_t i = 0; i < d->flight_count; i++) {
		struct drain_flight *f = &d->flights[i];
		size_t at = 0;

		if (f->fd == -1)
			continue;
		if (quiet_find(d->memory, d->memory_count, &at, f->cookie) != NULL) {
			over = false;
			continue;
		}
		note_answered(f);
		/* closing our copy lets the client see the end */
		foreign_close(d->child->service->sup, d->child, &f->fd);
	}
	return over;
}

void drain_judge(struct drain *d)
{
	bool graceful = d->flight_count > 0;

	for (size_t i = 0; i < d->flight_count; i++) {
		note_answered(&d->flights[i]);
		graceful &= d->flights[i].answered;
	}
	drain_drop_flights(d);
	if (graceful)
		child_tell(d->child, EVENT_GRACEFUL, WHY_ITSELF);
}

void drain_drop_flights(struct drain *d)
{
	for (size_t i = 0; i < d->flight_count; i++)
		foreign_close(d->child->service->sup, d->child, &d->flights[i].fd);
	d->flight_count = 0;
}
