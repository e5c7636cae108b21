/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/incoming.h"

#include "base/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

		if (array_find(l, set->list, set->count,
			    (*l)->address.kind == ADDRESS_UNIX &&
				    strcmp((*l)->address.path, path) == 0))
			return true;
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
