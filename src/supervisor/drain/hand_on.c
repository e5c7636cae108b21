/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/hand_on.h"

#include "base/error.h"
#include "base/log.h"
#include "base/scope.h"
#include "config/networks.h"
#include "os/fdpass.h"
#include "os/socket/endpoint.h"
#include "os/vfork.h"
#include "protocol/httphead.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/drain/internal.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
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
#define ROOM_MS 20     /* the courier reads what it was sent before */
#define GROUPS_MOST 64 /* of the client of a unix socket */
/* In courier_packet.cluster, beside the port: its worker is in another network namespace. */
#define PACKET_ELSEWHERE 0x10000U

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

/* Enters the network namespace of a socket, for which we need CAP_NET_ADMIN and CAP_SYS_ADMIN. */
static bool enter_namespace_of(int client)
{
	scoped_fd ns = ioctl(client, SIOCGSKNS);

	return ns != -1 && setns(ns, CLONE_NEWNET) == 0;
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

static const char *whose_are_handed(const struct drain *d)
{
	return cluster_settings(d->child->service->core)->hand_on;
}

static bool may_be_handed(const struct drain *d, int fd, const struct connection *c)
{
	union endpoint from;
	size_t len = 0;
	const void *ip;

	if (c->local)
		return !is_tls(fd);
	if (endpoint_peer(fd, &from) == 0)
		return false;
	ip = endpoint_ip(&from, &len);
	return whose_are_handed(d) != NULL && networks_have(whose_are_handed(d), ip, len) &&
		!is_tls(fd);
}

/* The request is removed when all else is done, and before the courier hears of it, who takes what
 * lies unread for a second one.  A channel that can be written to has room for a packet: a quarter of
 * its buffer is used at most (unix_writable() of the kernel). */
bool drain_hand(void *drain, int fd, const struct connection *c)
{
	const struct drain *d = drain;
	const int channel = d->child->service->sup->traffic.courier.heard.fd;
	struct courier_packet packet = {
		.kind = c->queue > 0 ? COURIER_ASK : COURIER_HOLD,
		.cookie = c->cookie,
		.worker = d->child->serial,
		.cluster = c->port | (d->elsewhere ? PACKET_ELSEWHERE : 0),
		.size = c->queue,
		.received = c->bytes_in,
		.sent = c->bytes_out,
	};
	char data[sizeof(packet) + COURIER_REQUEST_MOST] uninitialized;
	char *request = data + sizeof(packet);
	struct pollfd room = {.fd = channel, .events = POLLOUT};
	ssize_t got;

	if (!may_be_handed(d, fd, c) || (d->elsewhere && !enter_namespace_of(fd)))
		return false;
	if (c->queue == 0) /* there may be more of them than the channel takes at once */
		return send_packet(channel, &packet, &fd, 1) ||
			(poll(&room, 1, ROOM_MS) == 1 && send_packet(channel, &packet, &fd, 1));
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
	if (fdpass_send(
		    channel, data, sizeof(packet) + (size_t)got, (const int[]){fd, server}, 2) == 0)
		return true;
	(void)shutdown(fd, SHUT_RDWR); /* the courier has just ended: nobody would answer */
	return false;
}

struct wanting {
	int client;
	int channel;
	const struct courier_packet *packet;
};

static int connect_wanted(void *argument)
{
	const struct wanting *w = argument;
	const struct courier_packet packet = {.kind = COURIER_SERVER, .cookie = w->packet->cookie};

	if (vfork_leave_table(w->client, w->channel) == -1 ||
		((w->packet->cluster & PACKET_ELSEWHERE) != 0 && !enter_namespace_of(w->client)))
		return -1;
	scoped_fd server = connect_for(w->client);
	return send_packet(w->channel, &packet, &server, server != -1) ? 0 : -1;
}

/* ---- the courier ---- */

/* How long nclust's end waits for the last clients of `fallback`. */
#define ENDING (500 * MSEC)

static void tell_courier(
	const struct courier *c, enum courier_kind kind, uint64_t cookie, uint64_t worker)
{
	const struct courier_packet packet = {.kind = kind, .cookie = cookie, .worker = worker};

	if (c->life.job.pid != 0)
		(void)send_packet(c->heard.fd, &packet, NULL, 0);
}

void courier_end_held(const struct child *child, enum courier_kind how, uint64_t cookie)
{
	tell_courier(&child->service->sup->traffic.courier, how, cookie, child->serial);
}

/* A held connection asks for a server: in a child, which may take the client's ids. */
static void on_want(struct courier *c, const struct courier_packet *packet, int client)
{
	struct wanting w = {client, c->heard.fd, packet};
	const struct vfork_call call = {connect_wanted, &w, NULL, VFORK_LEAVES, -1, false};

	c->under_way++;
	if (vfork_run_call(&call, vfork_patience(VFORK_SOMEBODY)) == -1)
		tell_courier(c, COURIER_SERVER, packet->cookie, 0);
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

static void on_heard(struct ev_loop *loop, ev_io *watcher, int revents UNUSED)
{
	struct supervisor *sup = watcher->data;
	struct courier *c = &sup->traffic.courier;
	struct courier_packet packet;
	struct fdpass_message m;

	for (int n = 0; n < TURN_ITEMS; n++) {
		memset(&packet, 0, sizeof(packet));
		if (fdpass_receive(watcher->fd, &packet, sizeof(packet), &m) != 1)
			return;
		if (m.len == 0) { /* it has ended */
			ev_io_stop(loop, watcher);
			return;
		}
		if (m.len < (ssize_t)COURIER_PACKET_LEAST)
			packet.kind = 0;
		if (packet.kind == COURIER_WANT && m.fd_count == 1)
			on_want(c, &packet, m.fds[0]);
		else if (packet.kind == COURIER_DONE)
			on_done(sup, c, &packet);
		else if (packet.kind == COURIER_COUNT)
			for (size_t i = 0; i < sup->service_count; i++)
				if (sup->services[i]->outage.number == packet.cluster)
					sup->services[i]->outage.answers += packet.received;
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
		log_error("the courier has ended (%s %d): %u answer%s that it passed on %s lost, "
			  "and no request is asked again",
			end->signalled ? "signal" : "exit", end->code, c->under_way,
			c->under_way == 1 ? "" : "s", c->under_way == 1 ? "is" : "are");
	c->under_way = 0;
	for (struct drain *d = sup->traffic.drains; d != NULL; d = d->next)
		for (size_t i = 0; i < d->memory_count; i++)
			d->lost |= d->memory[i].lost = d->memory[i].handed;
	role_again(ROLE_COURIER, &c->life, end, "hand-on and fallback");
}

/* A drain starts it at its need; a cluster without a ready worker may need it now. */
static void start_again(void *owner)
{
	struct supervisor *sup = owner;

	if (sup->fallback.look.data != NULL)
		timer_arm_within(sup->loop, &sup->fallback.look, 0);
}

bool courier_is_there(struct supervisor *sup)
{
	struct courier *c = &sup->traffic.courier;
	int channel;

	if (c->life.job.pid != 0)
		return true;
	if (c->life.job.sup == NULL)
		role_init(&c->life, sup, on_courier_ended, start_again, sup);
	if (role_waits(&c->life))
		return false;
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

bool courier_order(struct supervisor *sup, const struct courier_order *order, const char *page,
	const int *fds, size_t count)
{
	const struct courier_packet head = {
		.kind = COURIER_ORDER,
		.size = (uint32_t)sizeof(*order) + order->page,
	};
	scoped_buffer packet = {0};

	buffer_append(&packet, &head, sizeof(head));
	buffer_append(&packet, order, sizeof(*order));
	buffer_append(&packet, page, order->page);
	return !packet.failed &&
		fdpass_send(sup->traffic.courier.heard.fd, packet.data, packet.len, fds, count) ==
		0;
}

void courier_end(struct supervisor *sup)
{
	struct courier *c = &sup->traffic.courier;
	nsec_t patience = ENDING;

	role_wait_no_more(&c->life);
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

	if ((s->hand_on != NULL && strcmp(s->hand_on, "off") == 0) ||
		cluster_state(service->core) == CLUSTER_STOPPING || service->accepting != NULL ||
		!vfork_is_shared())
		return false;
	return walk_find(c, child_next, children_of(service),
		       c != d->child && c->traffic.takes && c->traffic.drain == NULL) != NULL;
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
	return d->hands_on && (c->local || whose_are_handed(d) != NULL) && is_shared_address(d, c);
}
