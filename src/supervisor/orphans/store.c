/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/store.h"

#include "supervisor/instance/manager.h"
#include "supervisor/sockets/holding.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "nclust-"

/* FDPOLL=0, because a listener that a worker shuts down is healed. */
void store_put(struct supervisor *sup, struct listener *l)
{
	char text[120];
	uint64_t cookie = socket_cookie(l->fd);

	if (l->kept.stored == cookie || cookie == 0)
		return;
	store_remove(sup, l);
	(void)snprintf(
		text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=" PREFIX "%" PRIx64, cookie);
	if (manager_send_fd(sup, text, l->fd))
		l->kept.stored = cookie;
}

static void forget(struct supervisor *sup, uint64_t cookie)
{
	char text[80];

	(void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=" PREFIX "%" PRIx64, cookie);
	(void)manager_send_fd(sup, text, -1);
}

void store_remove(struct supervisor *sup, struct listener *l)
{
	if (l->kept.stored != 0)
		forget(sup, l->kept.stored);
	l->kept.stored = 0;
}

/* ---- what came back ---- */

static struct listener *find(const struct supervisor *sup, uint64_t cookie)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		struct listener *l;

		for_each_listener (l, listeners_of(sup->services[i], LISTENERS_ALL))
			if (socket_cookie(l->fd) == cookie)
				return l;
	}
	return NULL;
}

void store_sort_out(struct supervisor *sup)
{
	size_t kept = 0;

	for (size_t i = 0; i < sup->sockets.inherited.count; i++) {
		struct listener *given = sup->sockets.inherited.list[i];
		struct listener *l;
		uint64_t cookie;

		if (given->address.kind != ADDRESS_INHERIT ||
			strncmp(given->address.name, PREFIX, strlen(PREFIX)) != 0) {
			sup->sockets.inherited.list[kept++] = given;
			continue;
		}
		cookie = strtoull(given->address.name + strlen(PREFIX), NULL, 16);
		l = find(sup, cookie);
		if (l != NULL)
			l->kept.stored = cookie;
		else
			forget(sup, cookie);
		/* a listener that is in use has a duplicate */
		(void)close(given->fd);
		address_fini(&given->address);
		free(given);
	}
	sup->sockets.inherited.count = kept;
}
