/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "os/clock.h"
#include "os/process.h"
#include "os/look/remote.h"
#include "os/socket/sockdiag.h"
#include "os/socket/socket.h"

#include <errno.h>
#include <linux/unix_diag.h>

#define DESCRIPTORS_MAX 65536
#define TREE_MAX 256
#define WORK_LEAST 1024U /* descriptors that are looked at between two reads of the clock */
#define WORK_PROCESS 32U /* a process without descriptors counts as so many */

/* ---- which socket ---- */

static uint64_t inode_unix(int fd, bool other)
{
	uint32_t peer = 0;
	int got = sockdiag_unix(fd, UDIAG_SHOW_PEER, UNIX_DIAG_PEER, &peer, sizeof(peer));

	if (other)
		return peer;
	return got != -1 ? remote_own_inode(fd) : 0;
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
	nsec_t until;
	unsigned work; /* descriptors looked at since the clock was read */
	bool over;
	struct other_end_place *place;
};

/* Is the time over?  Each look gets some work done, even if listing the processes has taken all of
 * the time. */
static bool is_over(struct held *held, unsigned work)
{
	held->work += work;
	if (held->work < WORK_LEAST)
		return false;
	held->work = 0;
	held->over = clock_now() > held->until;
	return held->over;
}

static bool look_at(void *context, int fd, const char *target)
{
	struct held *held = context;
	uint64_t inode = remote_socket_inode(target);

	for (size_t i = 0; inode != 0 && i < held->count; i++)
		if (held->inodes[i] == inode)
			held->found |= 1U << i;
	held->place->fd = fd + 1;
	held->place->seen++;
	return is_over(held, 1);
}

uint32_t other_end_held(pid_t pid, const uint64_t *inodes, size_t count, nsec_t until,
	struct other_end_place *place, bool *denied)
{
	struct held held = {inodes, count, .until = until, .place = place};
	pid_t tree[TREE_MAX];
	size_t n = process_tree(pid, tree, TREE_MAX);

	for (; place->process < n && !held.over; place->process++) {
		struct remote r;

		remote_of(&r, tree[place->process]);
		if (place->seen < DESCRIPTORS_MAX &&
			remote_each_fd_from(&r, -1, place->fd, DESCRIPTORS_MAX - place->seen,
				look_at, &held) == -1)
			*denied |= errno == EACCES || errno == EPERM;
		if (held.over)
			return held.found;
		place->fd = 0;
		place->seen = 0;
		(void)is_over(&held, WORK_PROCESS);
	}
	if (place->process >= n)
		*place = (struct other_end_place){0};
	return held.found;
}
