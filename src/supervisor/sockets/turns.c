/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/group.h"

#include "base/scope.h"
#include "os/socket/reuseport.h"

#include <errno.h>
#include <stdlib.h>

struct turns {
	struct reuseport_turns given; /* its map: -1 if no program is in force */
	uint64_t left;                /* connections of the round that is not over */
	int error;                    /* why no program is in force (errno); or 0 */
	bool grouped;                 /* a single socket was put into a group of one */
};

void turns_prepare(struct listener *l)
{
	if (l->counted && l->turns == NULL) {
		l->turns = calloc(1, sizeof(*l->turns));
		if (l->turns != NULL)
			l->turns->given.map = -1;
	} else if (!l->counted && l->turns != NULL) {
		fd_close(&l->turns->given.map);
		free(l->turns);
		l->turns = NULL;
	}
}

int turns_count(const struct listener *l)
{
	struct turns *t = l->turns;
	uint64_t rounds;

	if (t == NULL || l->own_group) {
		errno = ENOTSUP;
		return -1;
	}
	if (t->given.map == -1) {
		errno = t->error != 0 ? t->error : ENOTSUP;
		return -1;
	}
	t->left += reuseport_given(&t->given);
	rounds = t->left / t->given.length;
	t->left %= t->given.length;
	for (struct listener_socket *s = l->sockets; s != NULL; s = s->next)
		s->given += rounds * s->turns;
	return 0;
}

/* The kernel runs no program for a socket that is in no group.  A second socket, closed at once,
 * makes a group. */
static bool make_group(struct turns *t, int fd)
{
	int twin = t->grouped ? -1 : reuseport_join(fd);

	t->grouped = true;
	if (twin == -1)
		return false;
	reuseport_leave(twin);
	return true;
}

int turns_choose(const struct listener *l, int fd, const unsigned *weights, unsigned count)
{
	struct turns *t = l->turns;
	struct reuseport_turns new;
	int got;

	if (t == NULL)
		return reuseport_set_turns(fd, weights, count, NULL);
	got = reuseport_set_turns(fd, weights, count, &new);
	if (got == -1 && errno == EINVAL && count == 1 && weights[0] > 0 && make_group(t, fd))
		got = reuseport_set_turns(fd, weights, count, &new);
	t->error = got == -1 ? errno : 0;
	(void)turns_count(l); /* the last counts of the program before */
	fd_close(&t->given.map);
	if (got == -1) {
		errno = t->error;
		return -1;
	}
	t->given = new;
	for (struct listener_socket *s = l->sockets; s != NULL; s = s->next)
		s->turns = weights[s->place];
	return 0;
}
