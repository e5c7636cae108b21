/* SPDX-License-Identifier: MIT */
#include "os/look/lockwait.h"

#include "base/text.h"
#include "os/look/remote.h"
#include "os/process.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define TREE_MAX 8
#define THREADS_MAX 16
#define LOOK_MAX 4096 /* descriptors */

struct search {
	struct lockwait *found;
	int fd;
	unsigned threads;
	bool waits;
};

static bool look_at_fd(void *context, int fd, const char *target)
{
	struct search *s = context;

	if (fd != s->fd)
		return false;
	(void)text_escape(
		s->found->path, sizeof(s->found->path), target, strlen(target));
	s->waits = true;
	return true;
}

static bool look_at_thread(void *context, pid_t tid)
{
	struct search *s = context;
	struct remote r;
	long call;

	remote_of(&r, tid);
	call = remote_call_on(&r, &s->fd);
	if (call == SYS_flock || call == SYS_fcntl)
		(void)remote_each_fd(&r, LOOK_MAX, look_at_fd, s);
	return s->waits || ++s->threads >= THREADS_MAX;
}

/* Of /proc/locks: who waits stands below who has it. */
static pid_t holder_for(pid_t pid)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[200];
	int holder = 0;
	int waiter = 0;

	while (locks != NULL && waiter != pid &&
		fgets(line, sizeof(line), locks) != NULL)
		if (sscanf(line, "%*u: -> %*s %*s %*s %d", &waiter) != 1)
			(void)sscanf(line, "%*u: %*s %*s %*s %d", &holder);
	if (locks != NULL)
		(void)fclose(locks);
	return waiter == pid && holder > 0 ? holder : 0;
}

bool lockwait_look(struct lockwait *l, pid_t pid)
{
	struct search s = {.found = l};
	pid_t tree[TREE_MAX];
	size_t count = process_tree(pid, tree, TREE_MAX);

	for (size_t i = 0; i < count; i++) {
		s.threads = 0;
		(void)process_each(tree[i], look_at_thread, &s);
		if (!s.waits)
			continue;
		l->holder = holder_for(tree[i]);
		return true;
	}
	return false;
}
