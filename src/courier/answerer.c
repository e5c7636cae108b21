/* SPDX-License-Identifier: MIT */
#include "courier/answerer.h"

#include "base/scope.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/socket/sockdiag.h"
#include "protocol/courier.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection is left to the workers for so long: they may accept before nclust
 * knows that they are ready. */
#define PATIENCE (50 * MSEC)
/* The longest time in a call. accept(2) may wait: the worker may have cleared O_NONBLOCK
 * and taken the connection first; so may close(2) of a socket with SO_LINGER, which it
 * inherits, or of a descriptor that a guest has sent.  An alarm interrupts the call then. */
#define BLOCKED_US 5000
/* How long a guest may take to ask, as long again to read its answer, and to leave. */
#define GUEST_TIME (5 * SECOND)
/* A guest that is here for so long leaves when another one has no place. */
#define SAFE (1 * SECOND)
/* Time for the guests that are here when nclust has ended. */
#define ENDING_MAX (1 * SECOND)
#define COUNT_GAP (100 * MSEC)

/* What a cluster's guests get: as the last order said that came with sockets. */
struct cluster {
	struct cluster *next;
	unsigned answers; /* that were not reported to nclust yet */
	char *page;       /* heap, or NULL */
	struct courier_order said;
};

struct door {
	int fd;
	nsec_t due; /* a connection waits: accept it then; or 0 */
	struct cluster *cluster;
};

struct guest {
	struct cluster *cluster; /* NULL: the place is free */
	int fd;
	nsec_t since;       /* when it was let in, was answered, or had read all of the answer */
	char begun[5];      /* the beginning of its request */
	size_t seen;        /* bytes of that */
	bool answered;      /* what it sends now is dropped */
	struct buffer rest; /* of the answer */
};

struct answerer {
	nsec_t ends; /* when its guests have to have left, since nclust has ended; or 0 */
	struct cluster *clusters; /* all that ever had an order */
	nsec_t counted;
	struct door *doors; /* heap */
	size_t door_count;
	struct pollfd *polls; /* heap: what else the process waits for, doors, guests */
	unsigned places;      /* for guests */
	unsigned guest_count;
	struct guest guests[];
};

/* ---- counts ---- */

static void tell_counts(struct answerer *a, int channel, nsec_t now)
{
	if (now - a->counted < COUNT_GAP)
		return;
	a->counted = now;
	for (struct cluster *c = a->clusters; c != NULL; c = c->next) {
		const struct courier_packet count = {
			.kind = COURIER_COUNT,
			.cluster = c->said.cluster,
			.received = c->answers,
		};

		if (c->answers > 0 && fdpass_send(channel, &count, sizeof(count), NULL, 0) == 0)
			c->answers = 0;
	}
}

/* ---- guests ---- */

static void guest_end(struct answerer *a, struct guest *g)
{
	(void)close(g->fd);
	buffer_fini(&g->rest);
	*g = (struct guest){.cluster = NULL};
	a->guest_count--;
}

static void put_answer(const struct guest *g, struct buffer *out)
{
	const struct courier_order *said = &g->cluster->said;
	nsec_t left = said->next_try - clock_now();
	unsigned wait = left > 0 ? (unsigned)(left / SECOND) + 1 : said->wait;
	char own[160];
	const char *page = g->cluster->page != NULL ? g->cluster->page : own;
	size_t len = said->page;

	if (page == own)
		len = (size_t)snprintf(own, sizeof(own),
			left > 0 ? "503 Service Unavailable: %s, next try in "
				   "%u s\n"
				 : "503 Service Unavailable: %s\n",
			said->reason, wait);
	buffer_printf(out,
		"HTTP/1.1 503 Service Unavailable\r\nContent-Type: %s\r\n"
		"Content-Length: %zu\r\nRetry-After: %u\r\n"
		"Cache-Control: no-store\r\nConnection: close\r\n\r\n",
		said->type, len, wait);
	if (memcmp(g->begun, "HEAD ", sizeof(g->begun)) != 0)
		buffer_append(out, page, len);
}

/* Send the rest of the answer.  After that, wait until the guest has closed: else it
 * could lose the answer, if it still sends. */
static void send_answer(struct answerer *a, struct guest *g)
{
	ssize_t sent = send(g->fd, g->rest.data, g->rest.len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent == -1 && errno != EAGAIN && errno != EINTR) {
		guest_end(a, g);
		return;
	}
	buffer_consume(&g->rest, sent > 0 ? (size_t)sent : 0);
	if (g->rest.len > 0)
		return;
	buffer_fini(&g->rest);
	(void)shutdown(g->fd, SHUT_WR);
	g->since = clock_now();
}

static void begin_answer(struct answerer *a, struct guest *g)
{
	buffer_init(&g->rest, 0);
	put_answer(g, &g->rest);
	if (g->rest.failed) {
		guest_end(a, g);
		return;
	}
	g->cluster->answers++;
	g->answered = true;
	g->since = clock_now();
	send_answer(a, g);
}

/* The answer does not depend on more than the beginning of a request.  What follows is
 * dropped. */
static void read_request(struct answerer *a, struct guest *g)
{
	char data[2048];
	ssize_t len = recv(g->fd, data, sizeof(data), MSG_DONTWAIT);

	if (len == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0) {
		guest_end(a, g);
		return;
	}
	if (g->answered)
		return;
	for (ssize_t i = 0; i < len && g->seen < sizeof(g->begun); i++)
		g->begun[g->seen++] = data[i];
	/* not HTTP: a client of TLS, say, understands no answer of ours */
	if (g->begun[0] < 'A' || g->begun[0] > 'Z')
		guest_end(a, g);
	else if (g->seen == sizeof(g->begun))
		begin_answer(a, g);
}

static void guest_add(struct answerer *a, int fd, struct cluster *cluster)
{
	struct guest *g = a->guests;

	while (g->cluster != NULL)
		g++;
	*g = (struct guest){.fd = fd, .cluster = cluster, .since = clock_now()};
	a->guest_count++;
	read_request(a, g); /* most guests have sent their request by now */
}

/* Free the place of the oldest guest: guests that are silent or do not leave keep no other out. */
static bool end_oldest(struct answerer *a, nsec_t now)
{
	struct guest *oldest = NULL;

	for (struct guest *g = a->guests; g < a->guests + a->places; g++)
		if (g->cluster != NULL && now - g->since > SAFE &&
			(oldest == NULL || g->since < oldest->since))
			oldest = g;
	if (oldest != NULL)
		guest_end(a, oldest);
	return oldest != NULL;
}

static void look_at_guest(struct answerer *a, struct guest *g, bool event)
{
	if (event && g->rest.len > 0)
		send_answer(a, g);
	else if (event)
		read_request(a, g);
	if (g->cluster != NULL && clock_now() >= g->since + GUEST_TIME)
		guest_end(a, g);
}

/* ---- doors ---- */

static void let_in(struct answerer *a, struct door *d, nsec_t now)
{
	int fd = 0;

	while (fd != -1 && sockdiag_has_queue(d->fd) &&
		(a->guest_count < a->places || end_oldest(a, now))) {
		fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd != -1) {
			guest_add(a, fd, d->cluster);
		} else if (errno == EMFILE || errno == ENFILE) { /* no descriptor is left */
			d->due = now + PATIENCE;
			(void)end_oldest(a, now);
		}
	}
}

/* ---- nclust ---- */

/* The cluster's record, made with the first order for it; NULL: no memory. */
static struct cluster *find_cluster(struct answerer *a, uint32_t number)
{
	struct cluster *c = list_find(known, a->clusters, known->said.cluster == number);

	if (c != NULL)
		return c;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->said.cluster = number;
	c->next = a->clusters;
	a->clusters = c;
	return c;
}

/* Note what is to be answered from now on.  `page` has as many bytes as the order says. */
static bool keep_order(struct cluster *c, const struct courier_order *said, const char *page)
{
	char *copy = said->page > 0 ? malloc(said->page) : NULL;

	if (said->page > 0 && copy == NULL)
		return false;
	if (copy != NULL)
		memcpy(copy, page, said->page);
	free(c->page);
	c->page = copy;
	c->said = *said;
	return true;
}

static bool make_room(struct answerer *a, size_t doors)
{
	struct door *more = reallocarray(a->doors, doors + 1, sizeof(*more));
	struct pollfd *polls = NULL;

	if (more != NULL) {
		a->doors = more;
		polls = reallocarray(a->polls, 1 + doors + a->places, sizeof(*polls));
	}
	if (polls != NULL)
		a->polls = polls;
	return polls != NULL;
}

static void drop_doors(struct answerer *a, const struct cluster *of)
{
	for (size_t i = a->door_count; i-- > 0;) {
		if (of != NULL && a->doors[i].cluster != of)
			continue;
		(void)close(a->doors[i].fd);
		a->doors[i] = a->doors[--a->door_count];
	}
}

void answerer_obey(struct answerer *a, const char *order, size_t size, struct fdpass_message *m)
{
	struct courier_order said;
	struct cluster *c;

	if (size < sizeof(said))
		return;
	memcpy(&said, order, sizeof(said));
	if (said.cluster == 0) {
		drop_doors(a, NULL);
		return;
	}
	if (said.page > size - sizeof(said))
		said.page = 0; /* cannot be */
	c = find_cluster(a, said.cluster);
	/* guests may still be asking when the sockets are taken back */
	if (c == NULL || (m->fd_count > 0 && !keep_order(c, &said, order + sizeof(said))))
		return; /* another process may have more memory */
	drop_doors(a, c);
	if (make_room(a, a->door_count + m->fd_count))
		for (size_t i = 0; i < m->fd_count; i++)
			a->doors[a->door_count++] =
				(struct door){.fd = fd_release(&m->fds[i]), .cluster = c};
}

/* ---- turns ---- */

/* Fill in the descriptors to poll; returns until when. */
static nsec_t fill_polls(struct answerer *a, int also)
{
	struct pollfd *at = a->polls;
	nsec_t until = NSEC_NEVER;

	*at++ = (struct pollfd){.fd = also, .events = POLLIN};
	for (size_t i = 0; i < a->door_count; i++) {
		const struct door *d = &a->doors[i];

		*at++ = (struct pollfd){
			.fd = d->due == 0 ? d->fd : -1,
			.events = POLLIN,
		};
		if (d->due != 0)
			until = nsec_min(until, d->due);
	}
	for (const struct guest *g = a->guests; g < a->guests + a->places; g++) {
		*at++ = (struct pollfd){
			.fd = g->cluster != NULL ? g->fd : -1,
			.events = g->rest.len > 0 ? POLLOUT : POLLIN,
		};
		if (g->cluster != NULL)
			until = nsec_min(until, g->since + GUEST_TIME);
	}
	for (const struct cluster *c = a->clusters; c != NULL; c = c->next)
		if (c->answers > 0)
			until = nsec_min(until, a->counted + COUNT_GAP);
	return a->ends != 0 ? nsec_min(until, a->ends) : until;
}

static int timeout_until(nsec_t until)
{
	nsec_t left = until - clock_now();

	if (until == NSEC_NEVER)
		return -1;
	return left > 0 ? (int)((left + MSEC - 1) / MSEC) : 0;
}

bool answerer_turn(struct answerer *a, int channel, int also, nsec_t until)
{
	nsec_t now = clock_now();

	if (channel == -1 && a->ends == 0) {
		drop_doors(a, NULL);
		a->ends = now + ENDING_MAX;
	}
	if (!answerer_has_guests(a) && a->door_count == 0 &&
		(channel == -1 || list_find(c, a->clusters, c->answers > 0) == NULL))
		return false;
	until = nsec_min(until, fill_polls(a, also));
	if (poll(a->polls, 1 + a->door_count + a->places, timeout_until(until)) == -1)
		return true;
	now = clock_now();
	clock_alarm(BLOCKED_US);
	for (size_t i = 0; i < a->places; i++)
		if (a->guests[i].cluster != NULL)
			look_at_guest(
				a, &a->guests[i], a->polls[1 + a->door_count + i].revents != 0);
	for (size_t i = 0; i < a->door_count; i++) {
		struct door *d = &a->doors[i];

		if (d->due == 0 && a->polls[1 + i].revents != 0) {
			d->due = now + PATIENCE;
		} else if (d->due != 0 && d->due <= now) {
			d->due = 0;
			let_in(a, d, now);
		}
	}
	clock_alarm(0);
	tell_counts(a, channel, now);
	return true;
}

bool answerer_has_guests(const struct answerer *a)
{
	return a->guest_count > 0 && (a->ends == 0 || clock_now() < a->ends);
}

struct answerer *answerer_new(unsigned places)
{
	struct answerer *a = calloc(1, sizeof(*a) + places * sizeof(a->guests[0]));

	if (a == NULL)
		return NULL;
	a->places = places;
	if (!make_room(a, 0)) {
		free(a->doors);
		free(a);
		return NULL;
	}
	return a;
}

void answerer_free(struct answerer *a)
{
	clock_alarm(BLOCKED_US);
	for (size_t i = 0; i < a->places; i++)
		if (a->guests[i].cluster != NULL)
			guest_end(a, &a->guests[i]);
	for (struct cluster *next, *c = a->clusters; c != NULL; c = next) {
		next = c->next;
		free(c->page);
		free(c);
	}
	free(a->doors);
	free(a->polls);
	free(a);
}
