/* SPDX-License-Identifier: MIT */
#include "base/error.h"
#include "base/log.h"
#include "base/scope.h"
#include "config/networks.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/socket/endpoint.h"
#include "os/vfork.h"
#include "protocol/courier.h"
#include "protocol/httphead.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/drain/internal.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/child.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Hands requests of a worker that is to stop on to another one, so that no client has to repeat one.
 *
 * While the worker is frozen, a request of HTTP/1 that lies unread is taken out of its queue, and the
 * courier (courier/courier.h) gets it, with duplicates of the client's connection and of a new one to
 * the same address, where another worker takes it.  The courier passes the answer on, and tells the
 * client that its connection ends.  The worker sees a connection on which nothing comes any more.
 *
 * A request that cannot be taken for sure stays with the worker, which is busy until it has answered.
 */

/* How long connect(2) to an address of this host may take: the kernel shakes hands within the call,
 * if the queue has room. */
#define CONNECT_MS 1
#define GROUPS_MOST 64 /* of the client of a unix socket */

/* ---- in a child (os/vfork.h) ---- */

static bool send_packet(
	int channel, const struct courier_packet *packet, const int *fds, size_t count)
{
	return fdpass_send(channel, packet, sizeof(*packet), fds, count) == 0;
}

/* Connects as the client of a unix socket, so that the server sees the same user (SO_PEERCRED).
 * Real and saved ids stay ours, so that the user cannot signal this process, and we can go back. */
static int connect_as_client(int client, int server, const union endpoint *to, socklen_t size)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	gid_t groups[GROUPS_MOST];
	socklen_t room = sizeof(groups);
	struct ucred peer;
	socklen_t peer_size = sizeof(peer);
	int got = -1;

	if ((to->un.sun_path[0] != '/' && to->un.sun_path[0] != '\0') ||
		getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == -1)
		return -1;
	if (peer.uid == uid && peer.gid == gid)
		return connect(server, &to->any, size);
	if (getsockopt(client, SOL_SOCKET, SO_PEERGROUPS, groups, &room) == -1 ||
		syscall(VFORK_SETGROUPS, room / sizeof(*groups), groups) == -1 ||
		syscall(VFORK_SETRESGID, -1, peer.gid, -1) == -1)
		return -1;
	if (syscall(VFORK_SETRESUID, -1, peer.uid, -1) == 0) {
		got = connect(server, &to->any, size);
		if (syscall(VFORK_SETRESUID, -1, uid, -1) == -1)
			got = -1;
	}
	return syscall(VFORK_SETRESGID, -1, gid, -1) == 0 ? got : -1;
}

static bool is_connected(int server)
{
	struct pollfd wait = {.fd = server, .events = POLLOUT};
	int error = 0;
	socklen_t size = sizeof(error);

	return poll(&wait, 1, CONNECT_MS) == 1 &&
		getsockopt(server, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

/* Connects to the address that the client has connected to, from the client's own address if that is
 * this host's.  -1: nobody takes connections there at once. */
static int connect_for(int client)
{
	const int on = 1;
	union endpoint to;
	union endpoint from;
	socklen_t size = endpoint_own(client, &to);
	socklen_t from_size = endpoint_peer(client, &from);
	int fd = size > 0 ? socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
			  : -1;
	bool connected;

	if (fd == -1)
		return -1;
	if (to.any.sa_family == AF_UNIX) {
		connected = connect_as_client(client, fd, &to, size) == 0;
	} else {
		from.v4.sin_port = 0; /* of IPv6 at the same place */
		(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		/* EADDRNOTAVAIL: of another host, which the settings allow */
		connected = (bind(fd, &from.any, from_size) == 0 || errno == EADDRNOTAVAIL) &&
			(connect(fd, &to.any, size) == 0 ||
				(errno == EINPROGRESS && is_connected(fd)));
	}
	if (!connected)
		(void)close(fd);
	return connected ? fd : -1;
}

bool drain_is_whole(const char *text, size_t size, size_t count)
{
	struct httphead_request request;

	return count <= COURIER_REQUEST_MOST &&
		httphead_request(text, size, &request) == HTTPHEAD_OK &&
		httphead_may_hand_on(&request, count);
}

/* The kernel decrypts what is received there. */
static bool is_tls(int fd)
{
	char name[16] = "";
	socklen_t size = sizeof(name);

	return getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &size) == 0 && size > 0 && *name != '\0';
}

struct handing {
	uint64_t worker;
	const char *whose; /* the setting `hand-on`; NULL: of clients on this host alone */
	int channel;
	bool holds; /* connections without a request */
};

static bool may_be_handed(const struct handing *h, int fd, const struct connection *c)
{
	union endpoint from;
	size_t len = 0;
	const void *ip;

	if (c->local)
		return !is_tls(fd);
	if (endpoint_peer(fd, &from) == 0)
		return false;
	ip = endpoint_ip(&from, &len);
	return h->whose != NULL && networks_have(h->whose, ip, len) && !is_tls(fd);
}

/* The request is removed when all else is done, and before the courier hears of it, who takes what
 * lies unread for a second one.  A channel that can be written to has room for a packet: a quarter of
 * its buffer is used at most (unix_writable() of the kernel). */
static bool hand(void *context, int fd, const struct connection *c)
{
	const struct handing *h = context;
	struct courier_packet packet = {
		.kind = h->holds ? COURIER_HOLD : COURIER_ASK,
		.cookie = c->cookie,
		.worker = h->worker,
		.cluster = c->port,
		.size = h->holds ? 0 : c->queue,
		.received = c->bytes_in,
	};
	char data[sizeof(packet) + COURIER_REQUEST_MOST] uninitialized;
	char *request = data + sizeof(packet);
	struct pollfd room = {.fd = h->channel, .events = POLLOUT};
	ssize_t got;

	if (!may_be_handed(h, fd, c))
		return false;
	if (h->holds)
		return send_packet(h->channel, &packet, &fd, 1);
	got = recv(fd, request, COURIER_REQUEST_MOST, MSG_PEEK | MSG_DONTWAIT);
	if (got <= 0 || (size_t)got != c->queue ||
		!drain_is_whole(request, (size_t)got, (size_t)got))
		return false;
	scoped_fd server = connect_for(fd);
	if (server == -1)
		return false;
	memcpy(data, &packet, sizeof(packet));
	if (poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0 ||
		recv(fd, request, (size_t)got, MSG_DONTWAIT) != got)
		return false;
	if (fdpass_send(h->channel, data, sizeof(packet) + (size_t)got, (const int[]){fd, server},
		    2) == 0)
		return true;
	(void)shutdown(fd, SHUT_RDWR); /* the courier has just ended: nobody would answer */
	return false;
}

struct wanting {
	int client;
	int channel;
	uint64_t cookie;
};

static int connect_wanted(void *argument)
{
	const struct wanting *w = argument;
	const struct courier_packet packet = {.kind = COURIER_SERVER, .cookie = w->cookie};

	if (vfork_leave_table(w->client, w->channel) == -1)
		return -1;
	scoped_fd server = connect_for(w->client);
	return send_packet(w->channel, &packet, &server, server != -1) ? 0 : -1;
}

/* ---- the courier ---- */

static struct courier *courier_of(const struct drain *d)
{
	return &d->child->service->sup->traffic.courier;
}

static bool tell_courier(
	const struct courier *c, enum courier_kind kind, uint64_t cookie, uint64_t worker)
{
	const struct courier_packet packet = {.kind = kind, .cookie = cookie, .worker = worker};

	return c->life.job.pid == 0 || send_packet(c->heard.fd, &packet, NULL, 0);
}

/* A held connection asks for a server: in a child, which may take the client's ids. */
static void on_want(struct courier *c, const struct courier_packet *packet, int client)
{
	struct wanting w = {client, c->heard.fd, packet->cookie};
	const struct vfork_call call = {connect_wanted, &w, NULL, VFORK_LEAVES, -1, false};

	c->under_way++;
	if (vfork_run_call(&call, vfork_patience(VFORK_SOMEBODY)) == -1)
		(void)tell_courier(c, COURIER_SERVER, packet->cookie, 0);
}

/* The server behind a listener wants a header of the PROXY protocol first, or the like. */
static void on_refused(struct supervisor *sup, uint16_t port)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		struct service *service = sup->services[i];
		struct listener *l;

		for_each_listener (l, listeners_of(service, LISTENERS_ALL)) {
			if (!l->has_key || l->key.port != port || l->keeps_requests)
				continue;
			l->keeps_requests = true;
			news_say_of(service, LOG_NOTE, "hand-on",
				"listener '%s': the answer to a request that was handed on was 400 "
				"or none: requests stay with their workers; if clients begin with "
				"a header of the PROXY protocol set 'hand-on = off'",
				l->address.name);
		}
	}
}

static void on_done(struct supervisor *sup, struct courier *c, const struct courier_packet *packet)
{
	static const char *const outcomes[] = {
		[COURIER_ANSWERED] = "the answer is passed on",
		[COURIER_REFUSED] = "the answer was 400, or none",
		[COURIER_MIXED] = "the client sent more before the answer was out",
		[COURIER_BROKEN] = "the answer ended in the middle",
		[COURIER_LEFT] = "the client has left",
		[COURIER_IDLE] = "no request came",
	};

	if (packet->outcome < COUNT_OF(outcomes) && outcomes[packet->outcome] != NULL)
		log_debug("courier: connection %" PRIu64 ": %s", packet->cookie,
			outcomes[packet->outcome]);
	if (packet->outcome == COURIER_IDLE)
		return;
	c->under_way -= c->under_way > 0;
	if (packet->outcome == COURIER_REFUSED)
		on_refused(sup, (uint16_t)packet->cluster);
}

static void on_heard(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct supervisor *sup = watcher->data;
	struct courier *c = &sup->traffic.courier;
	struct courier_packet packet;
	struct fdpass_message m;

	(void)revents;
	for (int n = 0; n < TURN_ITEMS; n++) {
		if (fdpass_receive(watcher->fd, &packet, sizeof(packet), &m) != 1)
			return;
		if (m.len == 0) { /* it has ended */
			ev_io_stop(loop, watcher);
			return;
		}
		if (m.len == sizeof(packet) && packet.kind == COURIER_WANT && m.fd_count == 1)
			on_want(c, &packet, m.fds[0]);
		else if (m.len == sizeof(packet) && packet.kind == COURIER_DONE)
			on_done(sup, c, &packet);
		fdpass_drop(&m);
	}
}

static void on_courier_ended(void *owner, const struct pidfd_end *end)
{
	struct supervisor *sup = owner;
	struct courier *c = &sup->traffic.courier;

	ev_io_stop(sup->loop, &c->heard);
	fd_close(&c->heard.fd);
	if (c->under_way > 0)
		log_error("the courier has ended (%s %d): %u answer%s that it passed on "
			  "lost, and no request is asked again",
			end->signalled ? "signal" : "exit", end->code, c->under_way,
			c->under_way == 1 ? " is" : "s are");
	c->under_way = 0;
}

static void start_again(void *owner)
{
	(void)owner; /* it is started at the next need */
}

bool courier_is_there(struct supervisor *sup)
{
	struct courier *c = &sup->traffic.courier;
	int channel;

	if (c->life.job.pid != 0)
		return true;
	if (c->life.job.sup == NULL)
		role_init(&c->life, sup, on_courier_ended, start_again, sup);
	if (role_start_channel(ROLE_COURIER, &c->life, &channel) == -1)
		return false;
	io_init(&c->heard, on_heard, channel, sup);
	ev_io_start(sup->loop, &c->heard);
	return true;
}

void courier_go_on(struct supervisor *sup)
{
	struct courier *c = &sup->traffic.courier;

	if (c->life.job.pid == 0)
		return;
	role_init(&c->life, sup, on_courier_ended, start_again, sup);
	role_begun(&c->life);
	io_init(&c->heard, on_heard, c->heard.fd, sup);
	ev_io_start(sup->loop, &c->heard);
}

void courier_end(struct supervisor *sup)
{
	struct courier *c = &sup->traffic.courier;
	nsec_t patience = 0;

	if (c->life.job.pid == 0)
		return;
	for (size_t i = 0; c->under_way > 0 && i < sup->service_count; i++) {
		nsec_t its = cluster_settings(sup->services[i]->core)->stop_timeout;

		patience = its > patience ? its : patience;
	}
	(void)shutdown(c->heard.fd, SHUT_RDWR); /* it finishes what is under way */
	ev_io_stop(sup->loop, &c->heard);
	role_end(&c->life, (int)nsec_min(patience / MSEC, INT_MAX));
	fd_close(&c->heard.fd);
}

/* ---- in a drain ---- */

bool drain_hands_on(const struct drain *d)
{
	const struct service *service = d->child->service;
	const struct cluster_settings *s = cluster_settings(service->core);
	const struct child *c;

	if ((s->hand_on != NULL && strcmp(s->hand_on, "off") == 0) ||
		cluster_state(service->core) == CLUSTER_STOPPING || service->accepting != NULL ||
		!vfork_is_shared())
		return false;
	for_each_child (c, children_of(service))
		if (c != d->child && c->traffic.takes && c->traffic.drain == NULL)
			return true;
	return false;
}

/* Does another worker take from the address of the connection, as far as nclust knows? */
static bool is_shared_address(const struct drain *d, const struct connection *c)
{
	const struct listener *l;

	for_each_listener (l, listeners_for(d->child, LISTENERS_ALL)) {
		if (c->kind == CONNECTION_UNIX ? l->has_key : !l->has_key || l->key.port != c->port)
			continue;
		if (l->address.each != NULL || l->keeps_requests ||
			(learned_only(l) && !learned_is_used(l, d->child)))
			return false;
	}
	return true;
}

bool drain_may_hand(const struct drain *d, const struct connection *c)
{
	const struct cluster_settings *s = cluster_settings(d->child->service->core);

	return d->hands_on && (c->local || s->hand_on != NULL) && is_shared_address(d, c);
}

static bool is_unread(
	const struct drain *d, const struct connection *c, const struct quiet_memory *m)
{
	return c->whole && !m->handed && quiet_is_between(c, m) && drain_is_incoming(d, c) &&
		drain_may_hand(d, c);
}

bool drain_is_held(const struct drain *d, const struct connection *c, const struct quiet_memory *m)
{
	return d->hands_on && d->saw_http && c->kind == CONNECTION_TCP && c->queue == 0 &&
		m->quiet && !m->handed && quiet_is_between(c, m) && drain_is_incoming(d, c) &&
		drain_may_hand(d, c);
}

/* Gives the courier the connections of the last look with a request that lies unread, or those that
 * it is to hold; connection.handed says which it has. */
static void hand_all(struct drain *d, bool holds)
{
	struct connections *seen = &d->traffic->seen;
	struct handing h = {
		.worker = d->child->serial,
		.whose = cluster_settings(d->child->service->core)->hand_on,
		.channel = courier_of(d)->heard.fd,
		.holds = holds,
	};
	unsigned ignored = 0;
	bool any = false;

	if (!d->hands_on || !d->frozen || courier_of(d)->life.job.pid == 0)
		return;
	for (size_t i = 0; i < seen->count && i < d->memory_count; i++) {
		struct connection *c = &seen->list[i];
		const struct quiet_memory *m = &d->memory[i];

		c->hands = c->marked = (holds ? drain_is_held(d, c, m) : is_unread(d, c, m)) &&
			(i == 0 || c->cookie != seen->list[i - 1].cookie);
		any |= c->hands;
	}
	seen->hand = hand;
	seen->context = &h;
	seen->channel = h.channel;
	for (size_t i = 0; any && i < d->process_count; i++)
		if (remote_shares(&d->processes[i].remote, "ns/net"))
			(void)connections_end(&d->processes[i].remote, d->processes[i].pidfd, seen,
				&ignored, &ignored);
	seen->hand = NULL;
}

void drain_hand(struct drain *d)
{
	const struct connections *seen = &d->traffic->seen;
	unsigned handed = 0;

	hand_all(d, false);
	for (size_t i = 0; i < seen->count && i < d->memory_count; i++)
		if (seen->list[i].handed && !d->memory[i].handed) {
			d->memory[i].handed = true;
			handed++;
		}
	courier_of(d)->under_way += handed;
	d->handed += handed;
	d->child->service->counters.handed_on += handed;
}

void drain_hold(struct drain *d)
{
	const struct connections *seen = &d->traffic->seen;

	free(d->held);
	d->held_count = 0;
	d->held = d->hands_on ? calloc(seen->count + 1, sizeof(*d->held)) : NULL;
	if (d->held == NULL)
		return;
	hand_all(d, true);
	for (size_t i = 0; i < seen->count; i++)
		if (seen->list[i].handed)
			d->held[d->held_count++] = seen->list[i].cookie;
}

/* Both lists are sorted by cookie. */
void drain_let_go(struct drain *d)
{
	const struct connections *seen = &d->traffic->seen;
	size_t left = 0;
	size_t at = 0;

	for (size_t i = 0; i < d->held_count; i++) {
		while (at < seen->count && seen->list[at].cookie < d->held[i])
			at++;
		if ((at < seen->count && seen->list[at].cookie == d->held[i]) ||
			!tell_courier(courier_of(d), COURIER_LET_GO, d->held[i], 0))
			d->held[left++] = d->held[i];
	}
	d->held_count = left;
}

void drain_end_held(struct drain *d)
{
	if (d->held_count > 0)
		(void)tell_courier(courier_of(d), COURIER_ENDED, 0, d->child->serial);
	d->held_count = 0;
}
