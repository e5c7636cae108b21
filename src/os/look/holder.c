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

/* Has the process one of the sockets? */
static bool has_one(int proc, const char *pid, const struct port_socket *list,
	size_t count, const struct bound *bound)
{
	char path[32];
	char target[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;
	int fd;

	(void)snprintf(path, sizeof(path), "%.10s/fd", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd != -1 ? fdopendir(fd) : NULL;
	if (dir == NULL) {
		fd_close(&fd);
		return false;
	}
	while (!found && !is_over(bound) && (entry = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(
			dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		found = is_one_of(list, count, remote_socket_inode(target));
	}
	(void)closedir(dir);
	return found;
}

static long find_process(const struct port_socket *list, size_t count)
{
	const struct bound bound = {clock_now() + PATIENCE, cpu_time() + WORK};
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	long found = 0;

	while (dir != NULL && found == 0 && !is_over(&bound) &&
		(entry = readdir(dir)) != NULL) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid > 0 &&
			has_one(dirfd(dir), entry->d_name, list, count, &bound))
			found = pid;
	}
	if (dir != NULL)
		(void)closedir(dir);
	return found;
}

const char *holder_of_port(char to[HOLDER_TEXT], int type, uint16_t port)
{
	struct port_socket list[SOCKETS_MAX];
	size_t count = sockdiag_port(type, port, list, SOCKETS_MAX);
	char name[PROCESS_NAME];
	long pid;

	to[0] = '\0';
	if (count == 0)
		return to;
	pid = find_process(list, count);
	if (pid > 0)
		(void)snprintf(to, HOLDER_TEXT, "%s (pid %ld)",
			process_name((pid_t)pid, name), pid);
	else
		(void)snprintf(
			to, HOLDER_TEXT, "a process of uid %u", list[0].uid);
	return to;
}
