/* SPDX-License-Identifier: MIT */
#include "os/socket/sockdiag.h"

#include "base/scope.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* SK_MEMINFO_DROPS; the kernel may know more fields than we have room for. */
static long drops(int fd)
{
	uint32_t info[16];
	socklen_t size = sizeof(info);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) == -1 ||
		size <= SK_MEMINFO_DROPS * sizeof(*info))
		return -1;
	return (long)info[SK_MEMINFO_DROPS];
}

static void look_tcp(int fd, struct queue_facts *facts)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == -1)
		return;
	facts->depth = (long)info.tcpi_unacked;
	facts->limit = (long)info.tcpi_sacked;
	facts->drops = drops(fd);
}

struct request {
	struct nlmsghdr header;
	struct unix_diag_req body;
};

/* Ask for one socket by its inode. */
static int ask(int netlink, ino_t ino)
{
	struct request request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST},
		.body = {.sdiag_family = AF_UNIX,
			.udiag_states = ~0U,
			.udiag_ino = (uint32_t)ino,
			.udiag_show = UDIAG_SHOW_RQLEN,
			.udiag_cookie = {~0U, ~0U}},
	};

	return send(netlink, &request, sizeof(request), 0) ==
			(ssize_t)sizeof(request)
		? 0
		: -1;
}

/* What of one answer stands behind its body, of that type and of at least that
 * size; NULL: nothing. */
static const void *find_field(const struct nlmsghdr *header, size_t body,
	unsigned short type, size_t least)
{
	const char *at = (const char *)header + NLMSG_LENGTH(body);
	size_t left = header->nlmsg_len - NLMSG_LENGTH(body);

	for (;;) {
		const struct rtattr *field = (const void *)at;
		size_t step;

		if (left < sizeof(*field) || field->rta_len < sizeof(*field) ||
			field->rta_len > left)
			return NULL;
		if (field->rta_type == type &&
			field->rta_len >= RTA_LENGTH(least))
			return field + 1;
		step = RTA_ALIGN(field->rta_len);
		if (step > left)
			return NULL;
		left -= step;
		at += step;
	}
}

static void take_lengths(
	const void *answer, size_t len, struct queue_facts *facts)
{
	const struct nlmsghdr *header = answer;
	const size_t body = sizeof(struct unix_diag_msg);
	struct unix_diag_rqlen lengths;
	const void *field;

	if (len < NLMSG_LENGTH(body) ||
		header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		header->nlmsg_len > len ||
		header->nlmsg_len < NLMSG_LENGTH(body))
		return; /* NLMSG_ERROR: the kernel cannot tell */
	field = find_field(header, body, UNIX_DIAG_RQLEN, sizeof(lengths));
	if (field == NULL)
		return;
	(void)memcpy(&lengths, field, sizeof(lengths));
	facts->depth = (long)lengths.udiag_rqueue;
	facts->limit = (long)lengths.udiag_wqueue;
}

static void look_unix(int fd, struct queue_facts *facts)
{
	scoped_fd netlink =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	uint32_t answer[256];
	struct stat st;
	ssize_t n;

	if (netlink == -1 || fstat(fd, &st) == -1 || ask(netlink, st.st_ino))
		return;
	/* the kernel answers within send(2): there is nothing to wait for */
	n = recv(netlink, answer, sizeof(answer), MSG_DONTWAIT);
	if (n > 0)
		take_lengths(answer, (size_t)n, facts);
}

static int option(int fd, int name)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) == -1 ? 0
								     : value;
}

void sockdiag_queue(int fd, struct queue_facts *facts)
{
	bool listening = option(fd, SO_ACCEPTCONN) != 0;
	int family = option(fd, SO_DOMAIN);

	facts->depth = -1;
	facts->limit = -1;
	facts->drops = -1;
	if (family == AF_UNIX && listening)
		look_unix(fd, facts);
	else if (family != AF_UNIX && listening)
		look_tcp(fd, facts);
	else if (option(fd, SO_TYPE) == SOCK_DGRAM && family != AF_UNIX)
		facts->drops = drops(fd);
}

/* ---- is it shut? ---- */

/* of netinet/tcp.h, which does not go with linux/tcp.h */
enum { STATE_ESTABLISHED = 1, STATE_SYN_RECV = 3, STATE_LISTEN = 10 };

struct inet_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

/* All of that port (in network order) that are in one of those states. */
static int ask_number(
	int netlink, int family, int protocol, uint16_t port, uint32_t states)
{
	struct inet_request request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.sdiag_family = (uint8_t)family,
			.sdiag_protocol = (uint8_t)protocol,
			.idiag_states = states,
			.id.idiag_sport = port},
	};

	return send(netlink, &request, sizeof(request), 0) ==
			(ssize_t)sizeof(request)
		? 0
		: -1;
}

static int ask_port(int netlink, int fd, int family, unsigned state)
{
	/* the port is where that of IPv4 is */
	struct sockaddr_in6 at = {.sin6_family = AF_INET6};
	socklen_t size = sizeof(at);

	if (getsockname(fd, (struct sockaddr *)&at, &size) == -1)
		return -1;
	return ask_number(
		netlink, family, IPPROTO_TCP, at.sin6_port, 1U << state);
}

typedef bool visit_socket(const struct nlmsghdr *header, void *context);

enum { WALK_FAILED = -1, WALK_OVER, WALK_ON, WALK_FOUND };

static int walk_packet(
	const void *answer, size_t len, visit_socket *visit, void *context)
{
	const struct nlmsghdr *header = answer;

	for (; NLMSG_OK(header, len); header = NLMSG_NEXT(header, len)) {
		if (header->nlmsg_type == NLMSG_DONE)
			return WALK_OVER;
		if (header->nlmsg_type == NLMSG_ERROR)
			return WALK_FAILED;
		if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
			header->nlmsg_len >=
				NLMSG_LENGTH(sizeof(struct inet_diag_msg)) &&
			visit(header, context))
			return WALK_FOUND;
	}
	return WALK_ON;
}

/*
 * Each socket that the kernel answers with, until a visitor says true
 * (WALK_FOUND) or the list ends (WALK_OVER).  WALK_FAILED: nobody can tell.
 */
static int walk_answer(int netlink, visit_socket *visit, void *context)
{
	uint32_t answer[8192];
	int step;

	do {
		/* the kernel goes on with its list within recv(2) */
		ssize_t n = recv(netlink, answer, sizeof(answer), MSG_DONTWAIT);

		if (n <= 0)
			return WALK_FAILED;
		step = walk_packet(answer, (size_t)n, visit, context);
	} while (step == WALK_ON);
	return step;
}

struct shut_question {
	uint32_t inode;
	bool is_shut;
};

static bool is_the_one(const struct nlmsghdr *header, void *context)
{
	const struct inet_diag_msg *body = NLMSG_DATA(header);
	struct shut_question *q = context;
	const uint8_t *how;

	if (body->idiag_inode != q->inode)
		return false;
	how = find_field(
		header, sizeof(*body), INET_DIAG_SHUTDOWN, sizeof(*how));
	q->is_shut = how != NULL && *how != 0;
	return true;
}

bool sockdiag_is_shut(int fd)
{
	scoped_fd netlink =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct shut_question q = {.is_shut = false};
	struct stat st;

	if (netlink == -1 || fstat(fd, &st) == -1 ||
		ask_port(netlink, fd, option(fd, SO_DOMAIN), STATE_LISTEN) ==
			-1)
		return false;
	q.inode = (uint32_t)st.st_ino;
	return walk_answer(netlink, is_the_one, &q) == WALK_FOUND && q.is_shut;
}

/* ---- all of them ---- */

/* Not those that no descriptor stands for: SYN_RECV, TIME_WAIT. */
#define STATES_HELD (~(1U << 3 | 1U << 6))

struct telling {
	sockdiag_each *each;
	void *context;
};

static bool tell_one(const struct nlmsghdr *header, void *context)
{
	const struct telling *t = context;
	struct tcp_info info;
	const void *field;
	size_t size = 0;

	(void)memset(&info, 0, sizeof(info));
	field = find_field(header, sizeof(struct inet_diag_msg), INET_DIAG_INFO,
		offsetof(struct tcp_info, tcpi_bytes_sent));
	if (field != NULL) {
		const struct rtattr *attr =
			(const void *)((const char *)field - RTA_LENGTH(0));

		size = RTA_PAYLOAD(attr);
		if (size > sizeof(info))
			size = sizeof(info);
		(void)memcpy(&info, field, size);
	}
	t->each(t->context, NLMSG_DATA(header), &info, size);
	return false;
}

static int each_of_family(
	int netlink, uint8_t family, sockdiag_each *each, void *context)
{
	struct inet_request request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.sdiag_family = family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_ext = 1U << (INET_DIAG_INFO - 1),
			.idiag_states = STATES_HELD},
	};
	struct telling t = {.each = each, .context = context};

	if (send(netlink, &request, sizeof(request), 0) !=
		(ssize_t)sizeof(request))
		return -1;
	return walk_answer(netlink, tell_one, &t) == WALK_OVER ? 0 : -1;
}

int sockdiag_each_tcp(sockdiag_each *each, void *context)
{
	scoped_fd netlink =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (netlink == -1 ||
		each_of_family(netlink, AF_INET, each, context) == -1)
		return -1;
	/* there may be no IPv6 */
	(void)each_of_family(netlink, AF_INET6, each, context);
	return 0;
}

/* ---- those of a port that are counted ---- */

typedef bool counts_socket(
	const struct inet_diag_msg *body, const void *context);

struct counting {
	counts_socket *counts;
	const void *context;
	long count;
};

static bool count_one(const struct nlmsghdr *header, void *context)
{
	struct counting *c = context;

	if (c->counts(NLMSG_DATA(header), c->context))
		c->count++;
	return false;
}

/* How many of that state at the port of `fd`; -1: nobody can tell. */
static long count_port(int netlink, int fd, int family, unsigned state,
	counts_socket *counts, const void *context)
{
	struct counting c = {.counts = counts, .context = context};

	if (ask_port(netlink, fd, family, state) == -1 ||
		walk_answer(netlink, count_one, &c) != WALK_OVER)
		return -1;
	return c.count;
}

static bool is_as_old(const struct inet_diag_msg *body, const void *retries)
{
	return body->idiag_retrans >= *(const unsigned *)retries;
}

long sockdiag_half_open(int fd, unsigned retries)
{
	scoped_fd netlink =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	long v4;
	long v6;

	if (netlink == -1)
		return -1;
	v4 = count_port(
		netlink, fd, AF_INET, STATE_SYN_RECV, is_as_old, &retries);
	if (option(fd, SO_DOMAIN) != AF_INET6)
		return v4;
	v6 = count_port(
		netlink, fd, AF_INET6, STATE_SYN_RECV, is_as_old, &retries);
	return v4 == -1 || v6 == -1 ? -1 : v4 + v6;
}

struct own_ports {
	const uint16_t *list;
	size_t count;
};

static bool is_waiting(const struct inet_diag_msg *body, const void *context)
{
	const struct own_ports *own = context;
	const struct inet_diag_sockid *id = &body->id;

	if (body->idiag_inode != 0)
		return false; /* it has been accepted */
	for (size_t i = 0; i < own->count; i++)
		if (own->list[i] == ntohs(id->idiag_dport) &&
			memcmp(id->idiag_src, id->idiag_dst,
				body->idiag_family == AF_INET ? 4 : 16) == 0)
			return false;
	return true;
}

long sockdiag_waiting(uint16_t port, const uint16_t *own, size_t own_count)
{
	scoped_fd netlink =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	const struct own_ports ports = {own, own_count};
	struct counting c = {.counts = is_waiting, .context = &ports};
	const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < COUNT_OF(families); i++)
		if (netlink == -1 ||
			ask_number(netlink, families[i], IPPROTO_TCP,
				htons(port), 1U << STATE_ESTABLISHED) == -1 ||
			walk_answer(netlink, count_one, &c) != WALK_OVER)
			return -1;
	return c.count;
}

/* ---- how many listen there ---- */

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

struct place {
	uint32_t ip[4];
	uint16_t port;
	uint32_t device;
};

static int place_of(struct place *place, int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at = {.any = {0}};
	socklen_t size = sizeof(at);

	if (getsockname(fd, &at.any, &size) == -1)
		return -1;
	*place = (struct place){
		.device = (uint32_t)option(fd, SO_BINDTOIFINDEX),
		.port = at.in.sin_port, /* where that of version 6 is */
	};
	if (at.any.sa_family == AF_INET)
		place->ip[0] = at.in.sin_addr.s_addr;
	else
		(void)memcpy(place->ip, &at.in6.sin6_addr, sizeof(place->ip));
	return 0;
}

static bool is_there(const struct inet_diag_msg *body, const void *context)
{
	const struct place *place = context;

	return body->id.idiag_sport == place->port &&
		body->id.idiag_if == place->device &&
		memcmp(body->id.idiag_src, place->ip,
			body->idiag_family == AF_INET ? 4 : 16) == 0;
}

long sockdiag_listeners(int fd)
{
	scoped_fd netlink =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct place place;

	if (netlink == -1 || place_of(&place, fd) == -1)
		return -1;
	return count_port(netlink, fd, option(fd, SO_DOMAIN), STATE_LISTEN,
		is_there, &place);
}

/* ---- who has a port ---- */

/* TCP_BOUND_INACTIVE, of linux 6.8; others ignore it. */
#define STATE_BOUND 13

struct port_search {
	struct port_socket *list;
	size_t count;
	size_t most;
	uint16_t port;
};

static bool note_socket(const struct nlmsghdr *header, void *context)
{
	const struct inet_diag_msg *body = NLMSG_DATA(header);
	struct port_search *s = context;

	if (body->id.idiag_sport == s->port && body->idiag_inode != 0)
		s->list[s->count++] = (struct port_socket){
			.inode = body->idiag_inode,
			.uid = body->idiag_uid,
		};
	return s->count == s->most;
}

size_t sockdiag_port(
	int type, uint16_t port, struct port_socket *list, size_t most)
{
	static const int families[] = {AF_INET6, AF_INET};
	bool udp = type == SOCK_DGRAM;
	struct port_search s = {
		.list = list, .most = most, .port = htons(port)};

	for (size_t i = 0; i < COUNT_OF(families) && s.count < most; i++) {
		scoped_fd netlink = socket(
			AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

		if (netlink != -1 &&
			ask_number(netlink, families[i],
				udp ? IPPROTO_UDP : IPPROTO_TCP, s.port,
				udp ? ~0U
				    : 1U << STATE_LISTEN | 1U << STATE_BOUND) ==
				0)
			(void)walk_answer(netlink, note_socket, &s);
	}
	return s.count;
}
