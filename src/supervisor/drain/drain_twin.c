/* SPDX-License-Identifier: MIT */
#include "base/scope.h"
#include "os/socket/sockdiag.h"
#include "supervisor/drain/drain_inside.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/holding.h"

/*
 * A server may open sockets that nclust does not hold: with `intercept = off`, of UDP, at
 * a path.  Those that it has for itself (an inspector, a client's) do not matter to a
 * spare that stands still.  One at which others of its cluster serve, too, does.
 */

/* More sockets of one worker are not looked at. */
#define SOCKETS_MOST 1024

struct sockets_seen {
	uint64_t inodes[SOCKETS_MOST];
	size_t count;
};

static bool note(void *context, int fd, const char *target)
{
	struct sockets_seen *seen = context;
	uint64_t inode = remote_socket_inode(target);

	(void)fd;
	if (inode != 0)
		seen->inodes[seen->count++] = inode;
	return seen->count == SOCKETS_MOST;
}

static bool is_held(const struct service *service, uint64_t inode)
{
	struct listener_walk walk = listeners_of(service, LISTENERS_ALL);
	const struct listener *l = listener_next(&walk);

	while (l != NULL && !group_had_inode(l, inode))
		l = listener_next(&walk);
	return l != NULL;
}

int drain_find_twin(struct drain *d)
{
	struct sockets_seen seen untouched;
	size_t own = 0;

	seen.count = 0;
	for (size_t i = 0; i < d->process_count && seen.count < SOCKETS_MOST;
		i++)
		(void)remote_each_fd(&d->processes[i].remote,
			CONNECTIONS_OTHERS, note, &seen);
	for (size_t i = 0; i < seen.count; i++)
		if (!is_held(d->child->service, seen.inodes[i]))
			seen.inodes[own++] = seen.inodes[i];
	return sockdiag_find_twin(seen.inodes, own, d->twin, sizeof(d->twin));
}
