/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/group.h"

#include "base/scope.h"
#include "os/socket/reuseport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- incoming ---- */

static void note_ports(struct incoming *in, const struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		uint16_t port = set->list[i]->facts.port;

		in->ports[port / 8] |= (uint8_t)(1U << port % 8);
	}
}

void incoming_init(struct incoming *in, const struct supervisor *sup)
{
	*in = (struct incoming){{0}};
	for (size_t i = 0; i < sup->service_count; i++) {
		note_ports(in, &sup->services[i]->sockets.listeners);
		note_ports(in, &sup->services[i]->sockets.learned);
	}
}

bool incoming_has(const struct incoming *in, uint16_t port)
{
	return (in->ports[port / 8] >> port % 8 & 1) != 0;
}

static bool is_listener(const struct supervisor *sup, const char *path)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct listener_set *set = &sup->services[i]->sockets.listeners;

		for (size_t k = 0; k < set->count; k++) {
			const struct address *at = &set->list[k]->address;

			if (at->kind == ADDRESS_UNIX && strcmp(at->path, path) == 0)
				return true;
		}
	}
	return false;
}

/* A line of /proc/net/unix (unix_seq_show() of the kernel): number, five words, the state (03:
 * connected), the inode, and the path, which for an accepted socket is the listener's. */
void incoming_each_unix(
	const struct supervisor *sup, void (*each)(void *context, uint64_t inode), void *context)
{
	FILE *file = fopen("/proc/self/net/unix", "re");
	char *line = NULL;
	size_t room = 0;

	while (file != NULL && getline(&line, &room, file) != -1) {
		unsigned long inode = 0;
		int at = 0;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %*s %*s 03 %lu %n", &inode, &at) == 1 && at > 0 &&
			is_listener(sup, line + at))
			each(context, inode);
	}
	free(line);
	if (file != NULL)
		(void)fclose(file);
}
