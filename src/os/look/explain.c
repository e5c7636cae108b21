/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/socket/sockdiag.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* What to tell people about a process. */

/* ---- holder ---- */

#define SOCKETS_MAX 16
#define PATIENCE (100 * MSEC)

struct port_search {
	const struct port_socket *list;
	size_t count;
	nsec_t until; /* when the search ends */
	bool has;     /* the process that is looked at has one of the sockets */
	pid_t found;  /* the process that has the port; 0: not found yet */
};

static bool is_over(const struct port_search *s)
{
	return s->has || clock_now() >= s->until;
}

static bool look_at_fd(void *context, int fd UNUSED, const char *target)
{
	struct port_search *s = context;
	uint64_t inode = remote_socket_inode(target);

	s->has |= inode != 0 && array_find(its, s->list, s->count, its->inode == inode) != NULL;
	return is_over(s);
}

static bool look_at_process(void *context, pid_t pid)
{
	struct port_search *s = context;
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
	struct port_search s = {
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

/* ---- lockwait ---- */

#define THREADS_MAX 64

struct lock_search {
	struct lockwait *found;
	unsigned threads;
	bool waits;
};

static bool find_lock(void *context, pid_t tid)
{
	struct lock_search *s = context;
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
 * a waiting process below the holder of the lock.  Or, if `waits` is false: which of them
 * has a lock alone?  0: none. */
static pid_t find_locking(const pid_t *list, size_t count, bool waits, pid_t *holder)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[200];
	pid_t found = 0;
	int one;

	*holder = 0;
	while (locks != NULL && found == 0 && fgets(line, sizeof(line), locks) != NULL) {
		bool is_waiter = sscanf(line, "%*u: -> %*s %*s %*s %d", &one) == 1;

		if (!is_waiter && sscanf(line, "%*u: %*s %*s %*s %d", &one) == 1)
			*holder = one;
		if (is_waiter != waits || (!waits && strstr(line, " WRITE ") == NULL))
			continue;
		for (size_t i = 0; i < count && found == 0; i++)
			found = list[i] == one ? one : 0;
	}
	if (locks != NULL)
		(void)fclose(locks);
	return found;
}

bool locks_are_held(const pid_t *list, size_t count)
{
	pid_t holder;

	return find_locking(list, count, false, &holder) != 0;
}

bool lockwait_look(struct lockwait *l, pid_t pid)
{
	struct lock_search s = {.found = l};
	pid_t tree[PROCESS_TREE_MOST];
	size_t count = process_tree(pid, tree, PROCESS_TREE_MOST);
	pid_t waiting = find_locking(tree, count, true, &l->holder);

	/* finding the file takes longer, so do it for a waiting process only */
	if (waiting != 0)
		(void)process_each(waiting, find_lock, &s);
	return s.waits;
}

/* ---- why alive ---- */

/* Find the first thread that has not ended, preferably one that no signal wakes
 * (state D): the main thread may have exited before the others. */
static bool find_alive(void *context, pid_t tid)
{
	char *found = context;
	char state = process_state(tid);

	if (state == '\0' || strchr("ZX", state) != NULL)
		return false;
	*found = state;
	return state == 'D';
}

const char *why_alive(pid_t pid, char *to, size_t size)
{
	char state = '\0';

	(void)process_each(pid, find_alive, &state);
	to[0] = '\0';
	if (state == 'D')
		snprintf(to, size, "it waits in the kernel (state D)");
	else if (state != '\0')
		snprintf(to, size, "it is in state %c", state);
	return to;
}
