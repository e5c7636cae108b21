/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "base/nsec.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/look/remote.h"
#include "os/socket/sockdiag.h"

#include <limits.h>
#include <stdio.h>

#define SOCKETS_MAX 16
#define PATIENCE (100 * MSEC)

struct search {
	const struct port_socket *list;
	size_t count;
	nsec_t until; /* when the search ends */
	bool has;     /* the process that is looked at has one of the sockets */
	pid_t found;  /* the process that has the port; 0: not found yet */
};

static bool is_over(const struct search *s)
{
	return s->has || clock_now() >= s->until;
}

static bool look_at_fd(void *context, int fd, const char *target)
{
	struct search *s = context;
	uint64_t inode = remote_socket_inode(target);

	(void)fd;
	for (size_t i = 0; inode != 0 && i < s->count; i++)
		s->has |= s->list[i].inode == inode;
	return is_over(s);
}

static bool look_at_process(void *context, pid_t pid)
{
	struct search *s = context;
	struct remote r = {.tid = pid}; /* looked at with nclust's own rights */

	(void)remote_each_fd(&r, UINT_MAX, look_at_fd, s);
	if (s->has)
		s->found = pid;
	return is_over(s);
}

pid_t holder_of_port(char to[HOLDER_TEXT], int type, uint16_t port)
{
	struct port_socket list[SOCKETS_MAX];
	size_t count = sockdiag_port(type, port, list, SOCKETS_MAX);
	struct search s = {
		.list = list,
		.count = count,
		.until = clock_now() + PATIENCE,
	};
	char name[PROCESS_NAME];

	to[0] = '\0';
	if (count == 0)
		return 0;
	(void)process_each(0, look_at_process, &s);
	if (s.found > 0)
		snprintf(to, HOLDER_TEXT, "%s (pid %d)", process_name(s.found, name), (int)s.found);
	else
		snprintf(to, HOLDER_TEXT, "a process of uid %u", list[0].uid);
	return s.found;
}
