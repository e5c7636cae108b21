/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "base/text.h"
#include "os/look/remote.h"
#include "os/process.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define TREE_MAX 64
#define THREADS_MAX 64

struct search {
	struct lockwait *found;
	unsigned threads;
	bool waits;
};

static bool look_at_thread(void *context, pid_t tid)
{
	struct search *s = context;
	struct remote r;
	char target[200];
	int fd;
	long call;

	remote_of(&r, tid);
	call = remote_call(&r, &fd);
	s->waits = (call == SYS_flock || call == SYS_fcntl) &&
		remote_target(&r, fd, target, sizeof(target)) == 0;
	if (s->waits)
		text_escape(s->found->path, sizeof(s->found->path), target, strlen(target));
	return s->waits || ++s->threads >= THREADS_MAX;
}

/* Which of these processes waits for a lock, and which one has it? /proc/locks shows
 * a waiting process below the holder of the lock.  0: none waits. */
static pid_t find_waiting(const pid_t *list, size_t count, pid_t *holder)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[200];
	pid_t found = 0;
	int waiter;

	*holder = 0;
	while (locks != NULL && found == 0 && fgets(line, sizeof(line), locks) != NULL) {
		if (sscanf(line, "%*u: -> %*s %*s %*s %d", &waiter) != 1) {
			(void)sscanf(line, "%*u: %*s %*s %*s %d", holder);
			continue;
		}
		for (size_t i = 0; i < count && found == 0; i++)
			found = list[i] == waiter ? waiter : 0;
	}
	if (locks != NULL)
		(void)fclose(locks);
	return found;
}

bool lockwait_look(struct lockwait *l, pid_t pid)
{
	struct search s = {.found = l};
	pid_t tree[TREE_MAX];
	size_t count = process_tree(pid, tree, TREE_MAX);
	pid_t waiting = find_waiting(tree, count, &l->holder);

	/* finding the file takes longer, so do it for a waiting process only */
	if (waiting != 0)
		(void)process_each(waiting, look_at_thread, &s);
	return s.waits;
}
