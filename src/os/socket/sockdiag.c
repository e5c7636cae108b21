/* SPDX-License-Identifier: MIT */
#include "os/socket/sockdiag.h"

#include "base/scope.h"
#include "os/socket/socket.h"
#include "os/vfork.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* SK_MEMINFO_DROPS of a socket; the kernel may know more fields than this array has room for. */
static long read_drops(int fd)
{
	uint32_t info[16];
	socklen_t size = sizeof(info);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) == -1 ||
		size <= SK_MEMINFO_DROPS * sizeof(*info))
		return -1;
	return (long)info[SK_MEMINFO_DROPS];
}

struct queue_look {
	int fd;
	struct queue_facts *facts;
};

/* TCP_INFO takes no lock only while the socket listens. */
static int look_tcp(void *argument)
{
	const struct queue_look *l = argument;
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == -1)
		return -1;
	l->facts->depth = (long)info.tcpi_unacked;
	l->facts->limit = (long)info.tcpi_sacked;
	/* with TCP_DEFER_ACCEPT the ACK of each handshake counts as a drop (tcp_check_req()) */
	if (socket_option(l->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) == 0)
		l->facts->drops = read_drops(l->fd);
	return 0;
}

/* ---- asking the kernel ---- */

/* of netinet/tcp.h, which conflicts with linux/tcp.h */
enum {
	STATE_ESTABLISHED = 1,
	STATE_SYN_RECV = 3,
	STATE_CLOSE = 7,
	STATE_CLOSE_WAIT = 8,
	STATE_LISTEN = 10
};

struct request {
	struct nlmsghdr header;
	union {
		struct inet_diag_req_v2 inet;
		struct unix_diag_req un;
	};
};

/* The kernel's list of sockets, read one by one. */
struct list {
	int netlink;
	size_t body;                   /* least size of a message's fixed part */
	const struct nlmsghdr *header; /* the message that list_next() returned */
	const struct nlmsghdr *next;   /* the first byte behind that message */
	size_t left;
	bool failed; /* the list has ended too early: nothing is certain */
	uint32_t packet[8192];
};

static void list_open(struct list *l, struct request *request, size_t size, int flags, size_t body)
{
	const size_t len = NLMSG_LENGTH(size);

	request->header = (struct nlmsghdr){
		.nlmsg_len = (uint32_t)len,
		.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
	};
	l->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	l->body = body;
	l->left = 0;
	l->failed = l->netlink == -1 || send(l->netlink, request, len, 0) != (ssize_t)len;
}

/* Returns NULL, for list_next(). */
static const void *list_close(struct list *l, bool failed)
{
	fd_close(&l->netlink);
	l->failed = failed;
	return NULL;
}

/* The fixed part of the next message.  NULL: the list is at its end or has failed,
 * and is closed. */
static const void *list_next(struct list *l)
{
	for (;;) {
		ssize_t n;

		if (l->failed)
			return list_close(l, true);
		while (NLMSG_OK(l->next, l->left)) {
			l->header = l->next;
			l->next = NLMSG_NEXT(l->next, l->left);
			if (l->header->nlmsg_type == NLMSG_DONE ||
				l->header->nlmsg_type == NLMSG_ERROR)
				return list_close(l, l->header->nlmsg_type == NLMSG_ERROR);
			if (l->header->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
				l->header->nlmsg_len >= NLMSG_LENGTH(l->body))
				return NLMSG_DATA(l->header);
		}
		/* the kernel answers within send(2), and continues a list within
		 * recv(2): this never waits */
		n = recv(l->netlink, l->packet, sizeof(l->packet), MSG_DONTWAIT);
		l->failed = n <= 0;
		l->next = (const void *)l->packet;
		l->left = n > 0 ? (size_t)n : 0;
	}
}

/* The attribute of that type, and of at least that size, of the current message; or
 * NULL. */
static const struct rtattr *find_field(const struct list *l, unsigned short type, size_t least)
{
	const struct rtattr *field =
		(const void *)((const char *)l->header + NLMSG_LENGTH(l->body));
	size_t left = l->header->nlmsg_len - NLMSG_LENGTH(l->body);

	for (; RTA_OK(field, left); field = RTA_NEXT(field, left)) {
		if (field->rta_type == type && field->rta_len >= RTA_LENGTH(least))
			return field;
		if (RTA_ALIGN(field->rta_len) >= left)
			break;
	}
	return NULL;
}

/* ---- one socket, asked for by what it is ---- */

int sockdiag_unix(uint64_t inode, uint32_t show, unsigned short type, void *to, size_t size)
{
	struct request request = {
		.un = {.sdiag_family = AF_UNIX,
			.udiag_states = ~0U,
			.udiag_ino = (uint32_t)inode,
			.udiag_show = show,
			.udiag_cookie = {~0U, ~0U}},
	};
	const struct rtattr *field;
	struct list l uninitialized;

	list_open(&l, &request, sizeof(request.un), 0, sizeof(struct unix_diag_msg));
	if (list_next(&l) == NULL)
		return -1;
	(void)list_close(&l, false);
	field = find_field(&l, type, size);
	if (field == NULL)
		return 0;
	memcpy(to, RTA_DATA(field), size);
	return 1;
}

static void put_end(const union endpoint *at, uint32_t ip[4], uint16_t *port)
{
	size_t len;
	const void *from = endpoint_ip(at, &len);

	memcpy(ip, from, len);
	*port = at->v4.sin_port;
}

uint64_t sockdiag_inode(const union endpoint *at, const union endpoint *peer, uint32_t device)
{
	struct request request = {
		.inet = {.sdiag_family = (uint8_t)at->any.sa_family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~0U,
			.id.idiag_if = device,
			.id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
	};
	struct inet_diag_sockid *id = &request.inet.id;
	const struct inet_diag_msg *one;
	struct list l uninitialized;

	put_end(at, id->idiag_src, &id->idiag_sport);
	put_end(peer, id->idiag_dst, &id->idiag_dport);
	list_open(&l, &request, sizeof(request.inet), 0, sizeof(*one));
	one = list_next(&l);
	if (one == NULL)
		return 0;
	(void)list_close(&l, false);
	/* without such a connection the kernel returns the listener */
	return one->idiag_state == STATE_LISTEN || one->id.idiag_dport != id->idiag_dport
		? 0
		: one->idiag_inode;
}

static void look_unix(int fd, struct queue_facts *facts)
{
	struct unix_diag_rqlen lengths;
	struct stat st;

	if (fstat(fd, &st) == -1 ||
		sockdiag_unix(st.st_ino, UDIAG_SHOW_RQLEN, UNIX_DIAG_RQLEN, &lengths,
			sizeof(lengths)) != 1)
		return;
	facts->depth = (long)lengths.udiag_rqueue;
	facts->limit = (long)lengths.udiag_wqueue;
}

void sockdiag_queue(int fd, struct queue_facts *facts)
{
	bool listening = socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 0;
	int family = socket_option(fd, SOL_SOCKET, SO_DOMAIN);
	struct queue_look look = {fd, facts};

	*facts = (struct queue_facts){-1, -1, -1};
	if (family == AF_UNIX && listening)
		look_unix(fd, facts);
	else if (family != AF_UNIX && listening)
		(void)vfork_call_on(fd, look_tcp, &look);
	else if (socket_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM && family != AF_UNIX)
		facts->drops = read_drops(fd);
}

bool sockdiag_has_queue(int fd)
{
	struct pollfd at = {.fd = fd, .events = POLLIN};

	/* a socket that is shut down is readable, too, but has POLLHUP */
	return poll(&at, 1, 0) == 1 && at.revents == POLLIN;
}

/* ---- lists of internet sockets ---- */

/* `port` in network order, 0: all; `fields`: further attributes INET_DIAG_..., bit
 * n-1 for n. */
static void list_inet(
	struct list *l, int family, int protocol, uint16_t port, uint32_t states, unsigned fields)
{
	struct request request = {
		.inet = {.sdiag_family = (uint8_t)family,
			.sdiag_protocol = (uint8_t)protocol,
			.idiag_ext = (uint8_t)fields,
			.idiag_states = states,
			.id.idiag_sport = port},
	};

	list_open(l, &request, sizeof(request.inet), NLM_F_DUMP, sizeof(struct inet_diag_msg));
}

/* List TCP sockets in one state at the port of `fd`. */
static void list_port(struct list *l, int fd, int family, unsigned state)
{
	union endpoint at;
	bool known = socket_own(fd, &at) > 0;

	list_inet(l, family, IPPROTO_TCP, at.v4.sin_port, 1U << state, 0);
	l->failed |= !known;
}

bool sockdiag_is_shut(int fd)
{
	const struct inet_diag_msg *one;
	const struct rtattr *how;
	struct list l uninitialized;
	struct stat st;

	if (fstat(fd, &st) == -1)
		return false;
	list_port(&l, fd, socket_option(fd, SOL_SOCKET, SO_DOMAIN), STATE_LISTEN);
	do
		one = list_next(&l);
	while (one != NULL && one->idiag_inode != (uint32_t)st.st_ino);
	if (one == NULL)
		return false;
	(void)list_close(&l, false);
	how = find_field(&l, INET_DIAG_SHUTDOWN, sizeof(uint8_t));
	return how != NULL && *(const uint8_t *)RTA_DATA(how) != 0;
}

/* All states but those without a descriptor: SYN_RECV, TIME_WAIT. */
#define STATES_HELD (~(1U << STATE_SYN_RECV | 1U << 6))

static const int families[] = {AF_INET, AF_INET6};

int sockdiag_each_tcp(bool info, sockdiag_each *each, void *context)
{
	const struct inet_diag_msg *one;
	struct list l uninitialized;

	for (size_t i = 0; i < COUNT_OF(families); i++) {
		list_inet(&l, families[i], IPPROTO_TCP, 0, STATES_HELD,
			info ? 1U << (INET_DIAG_INFO - 1) : 0);
		while ((one = list_next(&l)) != NULL) {
			const struct rtattr *field = find_field(
				&l, INET_DIAG_INFO, offsetof(struct tcp_info, tcpi_bytes_sent));
			struct tcp_info tcp = {0};
			size_t size = field != NULL ? RTA_PAYLOAD(field) : 0;

			if (size > sizeof(tcp))
				size = sizeof(tcp);
			if (size > 0)
				memcpy(&tcp, RTA_DATA(field), size);
			each(context, one, &tcp, size);
		}
		if (l.failed && families[i] == AF_INET)
			return -1; /* the kernel may have no IPv6 */
	}
	return 0;
}

long sockdiag_half_open(int fd, unsigned retries)
{
	const struct inet_diag_msg *one;
	struct list l uninitialized;
	long count = 0;

	for (size_t i = 0; i < COUNT_OF(families); i++) {
		if (i > 0 && socket_option(fd, SOL_SOCKET, SO_DOMAIN) != families[i])
			break;
		list_port(&l, fd, families[i], STATE_SYN_RECV);
		while ((one = list_next(&l)) != NULL)
			count += one->idiag_retrans >= retries;
		if (l.failed)
			return -1;
	}
	return count;
}

/* Does the connection come from this machine, and from one of these ports? */
static bool is_from(const struct inet_diag_msg *one, const uint16_t *ports, size_t count)
{
	return array_has(ports, count, ntohs(one->id.idiag_dport)) &&
		memcmp(one->id.idiag_src, one->id.idiag_dst,
			one->idiag_family == AF_INET ? 4 : 16) == 0;
}

long sockdiag_waiting(uint16_t port, const uint16_t *own, size_t own_count)
{
	const struct inet_diag_msg *one;
	struct list l uninitialized;
	long count = 0;

	for (size_t i = 0; i < COUNT_OF(families); i++) {
		list_inet(&l, families[i], IPPROTO_TCP, htons(port), 1U << STATE_ESTABLISHED, 0);
		while ((one = list_next(&l)) != NULL)
			count += one->idiag_inode == 0 && /* not accepted yet */
				!is_from(one, own, own_count);
		if (l.failed)
			return -1;
	}
	return count;
}

const char *sockdiag_only_client(uint16_t port, unsigned least, char to[INET6_ADDRSTRLEN])
{
	static const char mapped[] = "::ffff:";
	struct inet_diag_msg first = {0};
	const struct inet_diag_msg *one;
	struct list l uninitialized;
	unsigned count = 0;

	for (size_t i = 0; i < COUNT_OF(families); i++) {
		list_inet(&l, families[i], IPPROTO_TCP, htons(port), 1U << STATE_ESTABLISHED, 0);
		while ((one = list_next(&l)) != NULL) {
			if (count++ == 0)
				first = *one;
			if (one->idiag_family == first.idiag_family &&
				memcmp(one->id.idiag_dst, first.id.idiag_dst, 16) == 0)
				continue;
			(void)list_close(&l, false);
			return NULL;
		}
	}
	if (count < least ||
		inet_ntop(first.idiag_family, first.id.idiag_dst, to, INET6_ADDRSTRLEN) == NULL)
		return NULL;
	return strncmp(to, mapped, strlen(mapped)) == 0 ? to + strlen(mapped) : to;
}

/* An accepted unix socket has its listener's name. */
static int has_accepted_unix(const char *name, size_t size)
{
	struct request request = {
		.un = {.sdiag_family = AF_UNIX,
			.udiag_states = 1U << STATE_ESTABLISHED,
			.udiag_show = UDIAG_SHOW_NAME},
	};
	struct list l uninitialized;

	list_open(&l, &request, sizeof(request.un), NLM_F_DUMP, sizeof(struct unix_diag_msg));
	while (list_next(&l) != NULL) {
		const struct rtattr *its = find_field(&l, UNIX_DIAG_NAME, size);

		if (its == NULL || RTA_PAYLOAD(its) != size ||
			memcmp(RTA_DATA(its), name, size) != 0)
			continue;
		(void)list_close(&l, false);
		return 1;
	}
	return l.failed ? -1 : 0;
}

int sockdiag_has_accepted(int fd)
{
	static const uint8_t all[16];
	const struct inet_diag_msg *one;
	struct list l uninitialized;
	union endpoint at;
	socklen_t size = socket_own(fd, &at);
	const void *ip;
	size_t len;

	if (size == 0)
		return -1;
	if (socket_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM)
		return 0;
	if (at.any.sa_family == AF_UNIX)
		return has_accepted_unix(
			at.un.sun_path, size - offsetof(struct sockaddr_un, sun_path));
	ip = endpoint_ip(&at, &len);
	if (memcmp(ip, all, len) == 0)
		len = 0;
	list_inet(&l, at.any.sa_family, IPPROTO_TCP, at.v4.sin_port,
		1U << STATE_ESTABLISHED | 1U << STATE_CLOSE_WAIT, 0);
	while ((one = list_next(&l)) != NULL) {
		if (one->idiag_inode == 0 || memcmp(one->id.idiag_src, ip, len) != 0)
			continue;
		(void)list_close(&l, false);
		return 1;
	}
	return l.failed ? -1 : 0;
}

long sockdiag_listeners(int fd)
{
	const uint32_t device = (uint32_t)socket_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
	const struct inet_diag_msg *one;
	struct list l uninitialized;
	union endpoint at;
	const void *ip;
	size_t len;
	long count = 0;

	(void)socket_own(fd, &at);
	ip = endpoint_ip(&at, &len);
	if (len == 0)
		return -1;
	list_port(&l, fd, at.any.sa_family, STATE_LISTEN);
	while ((one = list_next(&l)) != NULL)
		count += one->id.idiag_if == device && memcmp(one->id.idiag_src, ip, len) == 0;
	return l.failed ? -1 : count;
}

/* TCP_BOUND_INACTIVE, of Linux 6.8; older kernels ignore it. */
#define STATE_BOUND 13

size_t sockdiag_port(int type, uint16_t port, struct port_socket *list, size_t most)
{
	bool udp = type == SOCK_DGRAM;
	const struct inet_diag_msg *one;
	struct list l uninitialized;
	size_t count = 0;

	for (size_t i = COUNT_OF(families); i-- > 0 && count < most;) {
		list_inet(&l, families[i], udp ? IPPROTO_UDP : IPPROTO_TCP, htons(port),
			udp ? ~0U : 1U << STATE_LISTEN | 1U << STATE_BOUND, 0);
		while (count < most && (one = list_next(&l)) != NULL)
			if (one->id.idiag_sport == htons(port) && one->idiag_inode != 0)
				list[count++] = (struct port_socket){
					.inode = one->idiag_inode,
					.uid = one->idiag_uid,
				};
		(void)list_close(&l, false);
	}
	return count;
}

bool sockdiag_waits_at(uint64_t inode, int *type, union endpoint *at)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
	const struct inet_diag_msg *one;
	struct list l uninitialized;

	for (size_t i = 0; i < COUNT_OF(families) * COUNT_OF(types); i++) {
		*type = types[i % COUNT_OF(types)];
		list_inet(&l, families[i / COUNT_OF(types)],
			*type == SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP, 0,
			1U << (*type == SOCK_DGRAM ? STATE_CLOSE : STATE_LISTEN), 0);
		do
			one = list_next(&l);
		while (one != NULL && one->idiag_inode != (uint32_t)inode);
		if (one == NULL)
			continue;
		(void)list_close(&l, false);
		(void)endpoint_make(
			at, one->idiag_family, one->id.idiag_src, ntohs(one->id.idiag_sport), 0);
		return true;
	}
	return false;
}
