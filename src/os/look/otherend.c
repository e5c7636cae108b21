/* SPDX-License-Identifier: MIT */
#include "os/look/otherend.h"

#include "base/scope.h"
#include "os/process.h"
#include "os/look/remote.h"
#include "os/socket/sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define DESCRIPTORS_MAX 65536
#define TREE_MAX 256

enum { STATE_LISTEN = 10 }; /* TCP_LISTEN of netinet/tcp.h */

/* ---- which socket ---- */

struct inet_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static void put_address(const union address *a, uint32_t ip[4], uint16_t *port)
{
	if (a->any.sa_family == AF_INET) {
		ip[0] = a->in.sin_addr.s_addr;
		*port = a->in.sin_port;
	} else {
		(void)memcpy(ip, &a->in6.sin6_addr, 16);
		*port = a->in6.sin6_port;
	}
}

static uint64_t inode_inet(
	const union address *ours, const union address *theirs)
{
	struct inet_request request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST},
		.body = {.sdiag_family = (uint8_t)ours->any.sa_family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~0U,
			.id.idiag_cookie = {INET_DIAG_NOCOOKIE,
				INET_DIAG_NOCOOKIE}},
	};
	uint32_t answer[512];
	const struct nlmsghdr *header = (const void *)answer;
	const struct inet_diag_msg *body = NLMSG_DATA(header);

	/* seen from there: their address is the source */
	put_address(theirs, request.body.id.idiag_src,
		&request.body.id.idiag_sport);
	put_address(
		ours, request.body.id.idiag_dst, &request.body.id.idiag_dport);
	if (sockdiag_ask(&request, sizeof(request), answer, sizeof(answer),
		    sizeof(*body)) == 0)
		return 0;
	/* without a connection the kernel tells of the listener */
	if (body->idiag_state == STATE_LISTEN ||
		body->id.idiag_dport != request.body.id.idiag_dport)
		return 0;
	return body->idiag_inode;
}

static uint64_t inode_unix(int fd, bool other)
{
	uint32_t peer = 0;
	int got = sockdiag_unix(
		fd, UDIAG_SHOW_PEER, UNIX_DIAG_PEER, &peer, sizeof(peer));

	if (other)
		return peer;
	return got != -1 ? remote_own_inode(fd) : 0;
}

/* Both ends, seen from the one (`other`) or from ours. */
static uint64_t inode_of(int fd, bool other)
{
	union address ours = {.any = {0}};
	union address theirs = {.any = {0}};
	socklen_t size = sizeof(ours);

	if (getsockname(fd, &ours.any, &size) == -1)
		return 0;
	if (ours.any.sa_family == AF_UNIX)
		return inode_unix(fd, other);
	size = sizeof(theirs);
	if (getpeername(fd, &theirs.any, &size) == -1)
		return 0;
	return other ? inode_inet(&ours, &theirs) : inode_inet(&theirs, &ours);
}

uint64_t otherend_inode(int fd)
{
	return inode_of(fd, true);
}

bool otherend_works(int fd)
{
	return inode_of(fd, false) != 0;
}

/* ---- whose it is ---- */

struct held {
	const uint64_t *inodes;
	size_t count;
	uint32_t found;
};

static void look_at(void *context, int fd, const char *target)
{
	struct held *held = context;
	uint64_t inode = remote_socket_inode(target);

	(void)fd;
	for (size_t i = 0; inode != 0 && i < held->count; i++)
		if (held->inodes[i] == inode)
			held->found |= 1U << i;
}

uint32_t otherend_held(pid_t pid, bool deep, const uint64_t *inodes,
	size_t count, bool *denied)
{
	struct held held = {inodes, count, 0};
	pid_t tree[TREE_MAX] = {pid};
	size_t n = deep ? process_tree(pid, tree, TREE_MAX) : 1;

	for (size_t i = 0; i < n; i++) {
		struct remote r;

		remote_of(&r, tree[i]);
		if (remote_each_fd(&r, DESCRIPTORS_MAX, look_at, &held) == -1)
			*denied |= errno == EACCES || errno == EPERM;
	}
	return held.found;
}
