/* SPDX-License-Identifier: MIT */
#include "responder/responder.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/socket/sockdiag.h"
#include "protocol/responder.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define GUESTS_MAX 256
#define PACKET_MAX (sizeof(struct responder_order) + 64U * 1024)
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
	struct responder_order said;
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

struct responder {
	int channel;              /* -1: nclust has ended */
	nsec_t ends;              /* then: when this process ends */
	struct cluster *clusters; /* all that ever had an order */
	nsec_t counted;
	struct door *doors; /* heap */
	size_t door_count;
	struct pollfd *polls; /* heap: the channel, doors, guests */
	struct guest guests[GUESTS_MAX];
	unsigned places; /* for guests: fewer where fewer descriptors are allowed */
	unsigned guest_count;
	char packet[PACKET_MAX];
};

/* ---- counts ---- */

static void tell_counts(struct responder *r, nsec_t now)
{
	if (now - r->counted < COUNT_GAP)
		return;
	r->counted = now;
	for (struct cluster *c = r->clusters; c != NULL; c = c->next) {
		const struct responder_count count = {
			.cluster = c->said.cluster,
			.answers = c->answers,
		};

		if (c->answers > 0 && r->channel != -1 &&
			send(r->channel, &count, sizeof(count), MSG_DONTWAIT | MSG_NOSIGNAL) ==
				sizeof(count))
			c->answers = 0;
	}
}

/* ---- guests ---- */

static void guest_end(struct responder *r, struct guest *g)
{
	(void)close(g->fd);
	buffer_fini(&g->rest);
	*g = (struct guest){.cluster = NULL};
	r->guest_count--;
}

static void put_answer(const struct guest *g, struct buffer *out)
{
	const struct responder_order *said = &g->cluster->said;
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
static void send_answer(struct responder *r, struct guest *g)
{
	ssize_t sent = send(g->fd, g->rest.data, g->rest.len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent == -1 && errno != EAGAIN && errno != EINTR) {
		guest_end(r, g);
		return;
	}
	buffer_consume(&g->rest, sent > 0 ? (size_t)sent : 0);
	if (g->rest.len > 0)
		return;
	buffer_fini(&g->rest);
	(void)shutdown(g->fd, SHUT_WR);
	g->since = clock_now();
}

static void begin_answer(struct responder *r, struct guest *g)
{
	buffer_init(&g->rest, 0);
	put_answer(g, &g->rest);
	if (g->rest.failed) {
		guest_end(r, g);
		return;
	}
	g->cluster->answers++;
	g->answered = true;
	g->since = clock_now();
	send_answer(r, g);
}

/* The answer does not depend on more than the beginning of a request.  What follows is
 * dropped. */
static void read_request(struct responder *r, struct guest *g)
{
	char data[2048];
	ssize_t len = recv(g->fd, data, sizeof(data), MSG_DONTWAIT);

	if (len == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0) {
		guest_end(r, g);
		return;
	}
	if (g->answered)
		return;
	for (ssize_t i = 0; i < len && g->seen < sizeof(g->begun); i++)
		g->begun[g->seen++] = data[i];
	/* not HTTP: a client of TLS, say, understands no answer of ours */
	if (g->begun[0] < 'A' || g->begun[0] > 'Z')
		guest_end(r, g);
	else if (g->seen == sizeof(g->begun))
		begin_answer(r, g);
}

static void guest_add(struct responder *r, int fd, struct cluster *cluster)
{
	struct guest *g = r->guests;

	while (g->cluster != NULL)
		g++;
	*g = (struct guest){.fd = fd, .cluster = cluster, .since = clock_now()};
	r->guest_count++;
	read_request(r, g); /* most guests have sent their request by now */
}

/* Free the place of the oldest guest: guests that are silent or do not leave keep no other out. */
static bool end_oldest(struct responder *r, nsec_t now)
{
	struct guest *oldest = NULL;

	for (struct guest *g = r->guests; g < r->guests + r->places; g++)
		if (g->cluster != NULL && now - g->since > SAFE &&
			(oldest == NULL || g->since < oldest->since))
			oldest = g;
	if (oldest != NULL)
		guest_end(r, oldest);
	return oldest != NULL;
}

static void look_at_guest(struct responder *r, struct guest *g, bool event)
{
	if (event && g->rest.len > 0)
		send_answer(r, g);
	else if (event)
		read_request(r, g);
	if (g->cluster != NULL && clock_now() >= g->since + GUEST_TIME)
		guest_end(r, g);
}

/* ---- doors ---- */

static void let_in(struct responder *r, struct door *d, nsec_t now)
{
	int fd = 0;

	while (fd != -1 && sockdiag_has_queue(d->fd) &&
		(r->guest_count < r->places || end_oldest(r, now))) {
		fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd != -1) {
			guest_add(r, fd, d->cluster);
		} else if (errno == EMFILE || errno == ENFILE) { /* no descriptor is left */
			d->due = now + PATIENCE;
			(void)end_oldest(r, now);
		}
	}
}

static void door_drop(struct responder *r, size_t at)
{
	(void)close(r->doors[at].fd);
	r->doors[at] = r->doors[--r->door_count];
}

/* ---- nclust ---- */

/* The cluster's record, made with the first order for it; NULL: no memory. */
static struct cluster *find_cluster(struct responder *r, uint32_t number)
{
	struct cluster *c = r->clusters;

	while (c != NULL && c->said.cluster != number)
		c = c->next;
	if (c != NULL)
		return c;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->said.cluster = number;
	c->next = r->clusters;
	r->clusters = c;
	return c;
}

/* Note what is to be answered from now on.  `page` has as many bytes as the order says. */
static bool keep_order(struct cluster *c, const struct responder_order *said, const char *page)
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

static bool make_room(struct responder *r, size_t doors)
{
	struct door *more = reallocarray(r->doors, doors + 1, sizeof(*more));
	struct pollfd *polls = NULL;

	if (more != NULL) {
		r->doors = more;
		polls = reallocarray(r->polls, 1 + doors + GUESTS_MAX, sizeof(*polls));
	}
	if (polls != NULL)
		r->polls = polls;
	return polls != NULL;
}

static void take_order(struct responder *r, struct fdpass_message *m)
{
	struct responder_order said;
	struct cluster *c;

	memcpy(&said, r->packet, sizeof(said));
	if (said.page > (size_t)m->len - sizeof(said))
		said.page = 0; /* cannot be */
	c = find_cluster(r, said.cluster);
	/* guests may still be asking when the sockets are taken back */
	if (c == NULL || (said.sockets > 0 && !keep_order(c, &said, r->packet + sizeof(said))))
		return; /* another process may have more memory */
	for (size_t i = r->door_count; i-- > 0;)
		if (r->doors[i].cluster == c)
			door_drop(r, i);
	if (make_room(r, r->door_count + m->fd_count))
		for (size_t i = 0; i < m->fd_count; i++) {
			r->doors[r->door_count++] = (struct door){.fd = m->fds[i], .cluster = c};
			m->fds[i] = -1;
		}
}

static void hear_nclust(struct responder *r)
{
	struct fdpass_message m;
	int got;

	while ((got = fdpass_receive(r->channel, r->packet, sizeof(r->packet), &m)) == 1) {
		if (m.len == 0)
			break;
		if ((size_t)m.len >= sizeof(struct responder_order))
			take_order(r, &m);
		fdpass_drop(&m);
	}
	if (got == 0 || (got == -1 && errno == EINTR))
		return;
	fd_close(&r->channel);
	while (r->door_count > 0)
		door_drop(r, r->door_count - 1);
	r->ends = clock_now() + ENDING_MAX;
}

/* Fill in the descriptors to poll; returns until when. */
static nsec_t fill_polls(struct responder *r)
{
	struct pollfd *at = r->polls;
	nsec_t until = r->channel == -1 ? r->ends : NSEC_NEVER;

	*at++ = (struct pollfd){.fd = r->channel, .events = POLLIN};
	for (size_t i = 0; i < r->door_count; i++) {
		const struct door *d = &r->doors[i];

		*at++ = (struct pollfd){
			.fd = d->due == 0 ? d->fd : -1,
			.events = POLLIN,
		};
		if (d->due != 0)
			until = nsec_min(until, d->due);
	}
	for (const struct guest *g = r->guests; g < r->guests + r->places; g++) {
		*at++ = (struct pollfd){
			.fd = g->cluster != NULL ? g->fd : -1,
			.events = g->rest.len > 0 ? POLLOUT : POLLIN,
		};
		if (g->cluster != NULL)
			until = nsec_min(until, g->since + GUEST_TIME);
	}
	for (const struct cluster *c = r->clusters; c != NULL; c = c->next)
		if (c->answers > 0 && r->channel != -1)
			until = nsec_min(until, r->counted + COUNT_GAP);
	return until;
}

static int timeout_until(nsec_t until)
{
	nsec_t left = until - clock_now();

	if (until == NSEC_NEVER)
		return -1;
	return left > 0 ? (int)((left + MSEC - 1) / MSEC) : 0;
}

static void run_turn(struct responder *r)
{
	const struct pollfd *guests = r->polls + 1 + r->door_count;
	nsec_t now;

	if (poll(r->polls, 1 + r->door_count + r->places, timeout_until(fill_polls(r))) == -1)
		return;
	now = clock_now();
	clock_alarm(BLOCKED_US);
	for (size_t i = 0; i < r->places; i++)
		if (r->guests[i].cluster != NULL)
			look_at_guest(r, &r->guests[i], guests[i].revents != 0);
	for (size_t i = 0; i < r->door_count; i++) {
		struct door *d = &r->doors[i];

		if (d->due == 0 && r->polls[1 + i].revents != 0) {
			d->due = now + PATIENCE;
		} else if (d->due != 0 && d->due <= now) {
			d->due = 0;
			let_in(r, d, now);
		}
	}
	if (r->polls[0].revents != 0)
		hear_nclust(r);
	clock_alarm(0);
	tell_counts(r, now);
}

/* poll(2) takes no more descriptors than RLIMIT_NOFILE; some are for doors. */
static unsigned places_for_guests(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur / 2 >= GUESTS_MAX)
		return GUESTS_MAX;
	return (unsigned)limit.rlim_cur / 2;
}

int responder_main(int channel, uid_t user)
{
	struct responder *r = calloc(1, sizeof(*r));

	(void)prctl(PR_SET_NAME, "nclust-fallback");
	if (r == NULL || !make_room(r, 0) || clock_alarm_prepare() == -1)
		return EX_OSERR;
	r->places = places_for_guests();
	if (sandbox_role(user) == -1)
		return EX_NOPERM;
	memory_settle();
	r->channel = channel;
	while (r->channel != -1 || (r->guest_count > 0 && clock_now() < r->ends))
		run_turn(r);
	clock_alarm(BLOCKED_US);
	for (size_t i = 0; i < r->places; i++)
		if (r->guests[i].cluster != NULL)
			guest_end(r, &r->guests[i]);
	for (struct cluster *next, *c = r->clusters; c != NULL; c = next) {
		next = c->next;
		free(c->page);
		free(c);
	}
	free(r->doors);
	free(r->polls);
	free(r);
	return 0;
}
