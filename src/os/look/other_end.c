/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "base/scope.h"
#include "os/process.h"
#include "os/socket/sockdiag.h"
#include "os/socket/socket.h"

#include <errno.h>
#include <linux/unix_diag.h>

#define DESCRIPTORS_MAX 65536

/* ---- which socket ---- */

static uint64_t inode_unix(int fd, bool other)
{
	uint32_t peer = 0;
	uint64_t own = remote_own_inode(fd);
	int got = sockdiag_unix(own, UDIAG_SHOW_PEER, UNIX_DIAG_PEER, &peer, sizeof(peer));

	if (other)
		return peer;
	return got != -1 ? own : 0;
}

/* The inode of our own end, or (`other`) of the other end. */
static uint64_t inode_of(int fd, bool other)
{
	const uint32_t device = (uint32_t)socket_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
	union endpoint ours;
	union endpoint theirs;

	if (endpoint_own(fd, &ours) == 0)
		return 0;
	if (ours.any.sa_family == AF_UNIX)
		return inode_unix(fd, other);
	if (endpoint_peer(fd, &theirs) == 0)
		return 0;
	return other ? sockdiag_inode(&theirs, &ours, device)
		     : sockdiag_inode(&ours, &theirs, device);
}

uint64_t other_end_inode(int fd)
{
	return inode_of(fd, true);
}

bool other_end_works(int fd)
{
	return inode_of(fd, false) != 0;
}

/* ---- which process ---- */

struct held {
	const uint64_t *inodes;
	size_t count;
	uint32_t found;
};

static bool look_at(void *context, int fd UNUSED, const char *target)
{
	struct held *held = context;
	uint64_t inode = remote_socket_inode(target);

	for (size_t i = 0; inode != 0 && i < held->count; i++)
		if (held->inodes[i] == inode)
			held->found |= 1U << i;
	return false;
}

uint32_t other_end_held(pid_t pid, const uint64_t *inodes, size_t count, bool *denied)
{
	struct held held = {inodes, count, 0};
	pid_t tree[PROCESS_TREE_MOST];
	size_t n = process_tree(pid, tree, PROCESS_TREE_MOST);

	for (size_t i = 0; i < n; i++) {
		struct remote r;

		remote_of(&r, tree[i]);
		if (remote_each_fd(&r, DESCRIPTORS_MAX, look_at, &held) == -1)
			*denied |= errno == EACCES || errno == EPERM;
	}
	return held.found;
}
