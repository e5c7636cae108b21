/* SPDX-License-Identifier: MIT */
#include "os/look/holder.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/look/remote.h"
#include "os/socket/sockdiag.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS_MAX 16
#define PATIENCE (200 * MSEC)
#define WORK (50 * MSEC)

/* When the search ends: by the clock, and by the CPU time used so far. */
struct bound {
	nsec_t until;
	nsec_t worked;
};

static nsec_t cpu_time(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == -1)
		return 0;
	return (nsec_t)t.tv_sec * SECOND + t.tv_nsec;
}

static bool is_over(const struct bound *b)
{
	return clock_now() >= b->until || cpu_time() >= b->worked;
}

static bool is_one_of(
	const struct port_socket *list, size_t count, uint64_t inode)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].inode == inode)
			return true;
	return false;
}

struct search {
	const struct port_socket *list;
	size_t count;
	struct bound bound;
	pid_t found; /* 0: nobody yet */
};

/* Has the process one of the sockets? */
static bool has_one(pid_t pid, const struct search *s)
{
	char path[32];
	char target[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (dir == NULL)
		return false;
	while (!found && !is_over(&s->bound) &&
		(entry = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(
			dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		found = is_one_of(
			s->list, s->count, remote_socket_inode(target));
	}
	(void)closedir(dir);
	return found;
}

static bool look_at_process(void *context, pid_t pid)
{
	struct search *s = context;

	if (has_one(pid, s))
		s->found = pid;
	return s->found != 0 || is_over(&s->bound);
}

const char *holder_of_port(char to[HOLDER_TEXT], int type, uint16_t port)
{
	struct port_socket list[SOCKETS_MAX];
	size_t count = sockdiag_port(type, port, list, SOCKETS_MAX);
	struct search s = {.list = list,
		.count = count,
		.bound = {clock_now() + PATIENCE, cpu_time() + WORK}};
	char name[PROCESS_NAME];

	to[0] = '\0';
	if (count == 0)
		return to;
	(void)process_each(0, look_at_process, &s);
	if (s.found > 0)
		(void)snprintf(to, HOLDER_TEXT, "%s (pid %d)",
			process_name(s.found, name), (int)s.found);
	else
		(void)snprintf(
			to, HOLDER_TEXT, "a process of uid %u", list[0].uid);
	return to;
}
