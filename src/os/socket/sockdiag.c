/* SPDX-License-Identifier: MIT */
#include "os/socket/sockdiag.h"

#include "base/scope.h"
#include "os/socket/socket.h"

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

/* ---- one socket, asked for by what it is ---- */

static int open_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

size_t sockdiag_ask(const void *request, size_t size, void *answer, size_t room,
	size_t body)
{
	scoped_fd netlink = open_netlink();
	const struct nlmsghdr *header = answer;
	ssize_t n;

	if (netlink == -1 || send(netlink, request, size, 0) != (ssize_t)size)
		return 0;
	/* the kernel answers within send(2): there is nothing to wait for */
	n = recv(netlink, answer, room, MSG_DONTWAIT);
	if (n < (ssize_t)NLMSG_LENGTH(body) ||
		header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		header->nlmsg_len > (size_t)n ||
		header->nlmsg_len < NLMSG_LENGTH(body))
		return 0; /* NLMSG_ERROR: there is none, or it cannot be told */
	return header->nlmsg_len;
}

/* The attribute of that type, and of at least that size, that follows the body
 * of an answer; NULL: it has none. */
static const struct rtattr *find_field(const struct nlmsghdr *header,
	size_t body, unsigned short type, size_t least)
{
	const struct rtattr *field =
		(const void *)((const char *)header + NLMSG_LENGTH(body));
	size_t left = header->nlmsg_len - NLMSG_LENGTH(body);

	for (; RTA_OK(field, left); field = RTA_NEXT(field, left)) {
		if (field->rta_type == type &&
			field->rta_len >= RTA_LENGTH(least))
			return field;
		if (RTA_ALIGN(field->rta_len) >= left)
			break;
	}
	return NULL;
}

int sockdiag_unix(
	int fd, uint32_t show, unsigned short type, void *to, size_t size)
{
	struct {
		struct nlmsghdr header;
		struct unix_diag_req body;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST},
		.body = {.sdiag_family = AF_UNIX,
			.udiag_states = ~0U,
			.udiag_show = show,
			.udiag_cookie = {~0U, ~0U}},
	};
	const size_t body = sizeof(struct unix_diag_msg);
	const struct rtattr *field;
	uint32_t answer[256];
	struct stat st;

	if (fstat(fd, &st) == -1)
		return -1;
	request.body.udiag_ino = (uint32_t)st.st_ino;
	if (sockdiag_ask(&request, sizeof(request), answer, sizeof(answer),
		    body) == 0)
		return -1;
	field = find_field((const void *)answer, body, type, size);
	if (field == NULL)
		return 0;
	(void)memcpy(to, RTA_DATA(field), size);
	return 1;
}

static void look_unix(int fd, struct queue_facts *facts)
{
	struct unix_diag_rqlen lengths;

	if (sockdiag_unix(fd, UDIAG_SHOW_RQLEN, UNIX_DIAG_RQLEN, &lengths,
		    sizeof(lengths)) != 1)
		return;
	facts->depth = (long)lengths.udiag_rqueue;
	facts->limit = (long)lengths.udiag_wqueue;
}

/* 0 also where there is no such option. */
static int option(int fd, int name)
{
	int value;

	(void)socket_get(fd, SOL_SOCKET, name, &value);
	return value;
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

/* ---- lists of internet sockets ---- */

/* of netinet/tcp.h, which does not go with linux/tcp.h */
enum { STATE_ESTABLISHED = 1, STATE_SYN_RECV = 3, STATE_LISTEN = 10 };

/* Which sockets the kernel is to list. */
struct question {
	int family;
	int protocol;
	uint16_t port; /* in network order; 0: all */
	uint32_t states;
	uint8_t fields; /* INET_DIAG_... that are wanted too, bit n-1 for n */
};

/* True: that was enough. */
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
 * Visit each socket that the kernel lists, until a visitor says true
 * (WALK_FOUND) or the list ends (WALK_OVER).  WALK_FAILED: nobody can tell.
 */
static int walk(const struct question *q, visit_socket *visit, void *context)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.sdiag_family = (uint8_t)q->family,
			.sdiag_protocol = (uint8_t)q->protocol,
			.idiag_ext = q->fields,
			.idiag_states = q->states,
			.id.idiag_sport = q->port},
	};
	scoped_fd netlink = open_netlink();
	uint32_t answer[8192];
	int step;

	if (netlink == -1 ||
		send(netlink, &request, sizeof(request), 0) !=
			(ssize_t)sizeof(request))
		return WALK_FAILED;
	do {
		/* the kernel goes on with its list within recv(2) */
		ssize_t n = recv(netlink, answer, sizeof(answer), MSG_DONTWAIT);

		if (n <= 0)
			return WALK_FAILED;
		step = walk_packet(answer, (size_t)n, visit, context);
	} while (step == WALK_ON);
	return step;
}

/* The same for the TCP sockets of one state at the port of `fd`. */
static int walk_port(
	int fd, int family, unsigned state, visit_socket *visit, void *context)
{
	/* the port is where that of IPv4 is */
	struct sockaddr_in6 at = {.sin6_family = AF_INET6};
	socklen_t size = sizeof(at);

	if (getsockname(fd, (struct sockaddr *)&at, &size) == -1)
		return WALK_FAILED;
	return walk(&(struct question){family, IPPROTO_TCP, at.sin6_port,
			    1U << state, 0},
		visit, context);
}

/* ---- is it shut? ---- */

struct shut_question {
	uint32_t inode;
	bool is_shut;
};

static bool is_the_one(const struct nlmsghdr *header, void *context)
{
	const struct inet_diag_msg *body = NLMSG_DATA(header);
	struct shut_question *q = context;
	const struct rtattr *how;

	if (body->idiag_inode != q->inode)
		return false;
	how = find_field(
		header, sizeof(*body), INET_DIAG_SHUTDOWN, sizeof(uint8_t));
	q->is_shut = how != NULL && *(const uint8_t *)RTA_DATA(how) != 0;
	return true;
}

bool sockdiag_is_shut(int fd)
{
	struct shut_question q = {.is_shut = false};
	struct stat st;

	if (fstat(fd, &st) == -1)
		return false;
	q.inode = (uint32_t)st.st_ino;
	return walk_port(fd, option(fd, SO_DOMAIN), STATE_LISTEN, is_the_one,
		       &q) == WALK_FOUND &&
		q.is_shut;
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
	const struct rtattr *field =
		find_field(header, sizeof(struct inet_diag_msg), INET_DIAG_INFO,
			offsetof(struct tcp_info, tcpi_bytes_sent));
	struct tcp_info info;
	size_t size = field != NULL ? RTA_PAYLOAD(field) : 0;

	(void)memset(&info, 0, sizeof(info));
	if (size > sizeof(info))
		size = sizeof(info);
	if (size > 0)
		(void)memcpy(&info, RTA_DATA(field), size);
	t->each(t->context, NLMSG_DATA(header), &info, size);
	return false;
}

int sockdiag_each_tcp(sockdiag_each *each, void *context)
{
	struct question q = {AF_INET, IPPROTO_TCP, 0, STATES_HELD,
		1U << (INET_DIAG_INFO - 1)};
	struct telling t = {.each = each, .context = context};

	if (walk(&q, tell_one, &t) != WALK_OVER)
		return -1;
	/* there may be no IPv6 */
	q.family = AF_INET6;
	(void)walk(&q, tell_one, &t);
	return 0;
}

/* ---- those of a port that are counted ---- */

struct half_open {
	unsigned retries;
	long count;
};

static bool count_half_open(const struct nlmsghdr *header, void *context)
{
	const struct inet_diag_msg *body = NLMSG_DATA(header);
	struct half_open *h = context;

	h->count += body->idiag_retrans >= h->retries;
	return false;
}

long sockdiag_half_open(int fd, unsigned retries)
{
	struct half_open h = {.retries = retries};

	if (walk_port(fd, AF_INET, STATE_SYN_RECV, count_half_open, &h) !=
			WALK_OVER ||
		(option(fd, SO_DOMAIN) == AF_INET6 &&
			walk_port(fd, AF_INET6, STATE_SYN_RECV, count_half_open,
				&h) != WALK_OVER))
		return -1;
	return h.count;
}

struct waiting {
	const uint16_t *own; /* ports that do not count */
	size_t own_count;
	long count;
};

static bool count_waiting(const struct nlmsghdr *header, void *context)
{
	const struct inet_diag_msg *body = NLMSG_DATA(header);
	const struct inet_diag_sockid *id = &body->id;
	struct waiting *w = context;

	if (body->idiag_inode != 0)
		return false; /* it has been accepted */
	for (size_t i = 0; i < w->own_count; i++)
		if (w->own[i] == ntohs(id->idiag_dport) &&
			memcmp(id->idiag_src, id->idiag_dst,
				body->idiag_family == AF_INET ? 4 : 16) == 0)
			return false;
	w->count++;
	return false;
}

long sockdiag_waiting(uint16_t port, const uint16_t *own, size_t own_count)
{
	struct waiting w = {.own = own, .own_count = own_count};
	struct question q = {
		AF_INET, IPPROTO_TCP, htons(port), 1U << STATE_ESTABLISHED, 0};

	if (walk(&q, count_waiting, &w) != WALK_OVER)
		return -1;
	q.family = AF_INET6;
	return walk(&q, count_waiting, &w) == WALK_OVER ? w.count : -1;
}

/* ---- how many listen there ---- */

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

struct place {
	uint32_t ip[4];
	uint32_t device;
	long count;
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
		.device = (uint32_t)option(fd, SO_BINDTOIFINDEX)};
	if (at.any.sa_family == AF_INET)
		place->ip[0] = at.in.sin_addr.s_addr;
	else
		(void)memcpy(place->ip, &at.in6.sin6_addr, sizeof(place->ip));
	return 0;
}

static bool count_there(const struct nlmsghdr *header, void *context)
{
	const struct inet_diag_msg *body = NLMSG_DATA(header);
	struct place *place = context;

	place->count += body->id.idiag_if == place->device &&
		memcmp(body->id.idiag_src, place->ip,
			body->idiag_family == AF_INET ? 4 : 16) == 0;
	return false;
}

long sockdiag_listeners(int fd)
{
	struct place place;

	if (place_of(&place, fd) == -1 ||
		walk_port(fd, option(fd, SO_DOMAIN), STATE_LISTEN, count_there,
			&place) != WALK_OVER)
		return -1;
	return place.count;
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

	for (size_t i = 0; i < COUNT_OF(families) && s.count < most; i++)
		(void)walk(&(struct question){families[i],
				   udp ? IPPROTO_UDP : IPPROTO_TCP, s.port,
				   udp ? ~0U
				       : 1U << STATE_LISTEN | 1U << STATE_BOUND,
				   0},
			note_socket, &s);
	return s.count;
}
