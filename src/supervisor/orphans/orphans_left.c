/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/internal.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/look/remote.h"
#include "os/process.h"
#include "supervisor/workers/environment.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Finds and ends processes that an earlier nclust has left and that are not taken over. */

#define GRACE_TERM (2 * SECOND)
#define GRACE_KILL (1 * SECOND)
#define REMAINS_MAX 65536U
#define AGAIN_MOST 4U      /* searches after the first */
#define EXECUTES_MOST 500U /* attempts to read a process in the middle of execve(2) */

struct remains {
	int *list; /* heap: pidfds */
	size_t count;
};

static void add_process(struct remains *r, int pidfd)
{
	if (r->count >= REMAINS_MAX || !array_grow(r->list, r->count)) {
		(void)close(pidfd);
		return;
	}
	r->list[r->count++] = pidfd;
}

/* ---- whose process it is ---- */

/* List nclust and its ancestors, which are never ended, even if one of them is a worker. */
static size_t list_above(pid_t *above, size_t most)
{
	struct process_facts facts;
	pid_t pid = getpid();
	size_t count = 0;

	while (pid > 1 && count < most) {
		above[count++] = pid;
		if (process_look(pid, &facts) == -1)
			break;
		pid = facts.parent;
	}
	return count;
}

/* Does the error say that there is no such process, or that nclust must not read it?  Such a
 * process is not ended, because it may belong to another user. */
static bool is_no_process(int error)
{
	return error == ENOENT || error == ESRCH || error == EACCES || error == EPERM;
}

/* 1: the process has the variable; 0: it has not, or is_no_process(errno); -1 and errno: unknown.
 */
static int find_variable(struct environ_look *look, pid_t pid, const char *key)
{
	const struct timespec pause = {.tv_nsec = 2 * MSEC};

	for (unsigned i = 0; environment_look(look, pid, key) == -1; i++) {
		if (errno != EAGAIN || i == EXECUTES_MOST)
			return is_no_process(errno) ? 0 : -1;
		(void)nanosleep(&pause, NULL);
	}
	return 1;
}

static bool has_a_user(const struct supervisor *sup, pid_t pid, uint32_t user)
{
	const struct settings *s = sup->settings;
	uint64_t uid;

	if (process_status(pid, "Uid:", 10, &uid) == -1)
		return false;
	if (user != 0)
		return uid + 1 == user;
	return uid == geteuid() ||
		array_find(c, s->clusters, s->cluster_count, (*c)->uid == (long)uid) != NULL;
}

int remains_serial(struct supervisor *sup, pid_t pid, uint32_t user, uint64_t *serial)
{
	struct environ_look look uninitialized;
	size_t len = strlen(sup->rundir.path);
	int got = has_a_user(sup, pid, user) ? find_variable(&look, pid, "NCLUST_SOCKET") : 0;

	if (got == 1 &&
		(strncmp(look.value, sup->rundir.path, len) != 0 ||
			strcmp(look.value + len, "/control") != 0))
		return 0;
	if (got == 1)
		got = find_variable(&look, pid, "NCLUST_WORKER");
	if (got == 1)
		*serial = strtoull(look.value, NULL, 16);
	return got;
}

/* The serial of a worker of this instance; 0: the process is no such worker.  A process in another
 * pid namespace is none, because a container's nclust may have the same name and directory. */
static uint64_t serial_of(struct supervisor *sup, pid_t pid, uint32_t user)
{
	struct remote r;
	uint64_t serial;

	remote_of(&r, pid);
	return remote_shares(&r, "ns/pid") && remains_serial(sup, pid, user, &serial) == 1 ? serial
											   : 0;
}

/* Is it the session of that worker?  Its number is not used again while a process is in it. */
static bool is_session_of(pid_t session, const struct state_birth *birth)
{
	struct process_facts leader;

	return session == birth->pid &&
		(process_look(session, &leader) == -1 ? is_no_process(errno)
						      : leader.start == birth->start);
}

/* Is the process a leftover of a worker that is not taken over?  It must be younger, and in the
 * worker's session, maybe as another user, or have its serial, which servers that set their title
 * overwrite. */
static bool is_left_by(struct supervisor *sup, const struct previous *h, pid_t pid,
	const struct process_facts *facts)
{
	uint64_t serial = 0;
	uint64_t asked = UINT64_MAX; /* a user */

	for (size_t i = 0; i < h->past.count; i++) {
		const struct old_worker *in = &h->workers[i];
		const struct state_birth *birth = &in->entry->birth;

		if (in->is_adopted || birth->pid == 0 || facts->start < birth->start)
			continue;
		if (in->lives && pid == birth->pid)
			return false; /* the worker itself is on the list already */
		if (is_session_of(facts->session, birth))
			return true;
		if (asked != in->entry->user)
			serial = serial_of(sup, pid, in->entry->user);
		asked = in->entry->user;
		if (serial == in->entry->serial)
			return true;
	}
	return false;
}

/* A walk over all processes but nclust and its ancestors.  It finds leftovers of workers of
 * `h`; or, if that is NULL, any worker of this instance. */
struct search {
	struct supervisor *sup;
	const struct previous *h;
	struct remains *found;
	pid_t above[64];
	size_t above_count;
	pid_t last;
};

static bool look_at_process(void *context, pid_t pid)
{
	struct search *s = context;
	struct process_facts facts;
	struct process_facts now;
	scoped_fd fd = -1;

	if (pid == 1 || array_has(s->above, s->above_count, pid) ||
		process_look(pid, &facts) == -1 ||
		!(s->h != NULL ? is_left_by(s->sup, s->h, pid, &facts)
			       : serial_of(s->sup, pid, 0) != 0))
		return false;
	s->last = pid;
	if (s->h == NULL)
		return true;
	fd = pidfd_of(pid);
	/* is the pidfd that of the process that was looked at? */
	if (fd != -1 && process_look(pid, &now) == 0 && now.start == facts.start)
		add_process(s->found, fd_release(&fd));
	return false;
}

/* Returns the last process that was found, or 0. */
static pid_t search_processes(
	struct supervisor *sup, const struct previous *h, struct remains *found)
{
	struct search s = {.sup = sup, .h = h, .found = found};

	s.above_count = list_above(s.above, COUNT_OF(s.above));
	(void)process_each(0, look_at_process, &s);
	return s.last;
}

/* ---- ending ---- */

/* Wait at most `time` until all processes have ended, and remove ended ones from the list.  Returns
 * how many are left. */
static size_t wait_for_ends(struct remains *r, nsec_t time)
{
	const struct timespec pause = {.tv_nsec = time > 0 ? 2 * MSEC : 0};
	nsec_t until = nsec_add(clock_now(), time);

	do {
		(void)nanosleep(&pause, NULL);
		for (size_t i = 0; i < r->count;) {
			if (!pidfd_has_ended(r->list[i])) {
				i++;
				continue;
			}
			(void)close(r->list[i]);
			r->list[i] = r->list[--r->count];
		}
	} while (r->count > 0 && clock_now() < until);
	return r->count;
}

static void signal_all(const struct remains *r, int signal)
{
	for (size_t i = 0; i < r->count; i++) {
		(void)pidfd_signal(r->list[i], signal); /* ESRCH, EPERM */
		(void)pidfd_signal(r->list[i], SIGCONT);
	}
}

/* End all processes, and empty the list.  False: some cannot be ended. */
static bool end_all(struct remains *r)
{
	size_t left = 0;

	signal_all(r, SIGTERM);
	if (wait_for_ends(r, GRACE_TERM) > 0) {
		signal_all(r, SIGKILL);
		left = wait_for_ends(r, GRACE_KILL);
	}
	for (size_t i = 0; i < left; i++)
		(void)close(r->list[i]);
	r->count = 0;
	if (left > 0)
		log_warn("%zu of them cannot be ended", left);
	return left == 0;
}

unsigned remains_end(struct supervisor *sup, struct previous *h)
{
	struct remains r = {0};
	unsigned count;
	unsigned again = 0;

	if (h->end_count == 0)
		return 0;
	for (size_t i = 0; i < h->past.count; i++)
		if (h->workers[i].lives && !h->workers[i].is_adopted)
			add_process(&r, fd_release(&h->workers[i].pidfd));
	(void)search_processes(sup, h, &r);
	count = (unsigned)wait_for_ends(&r, 0);
	if (count > 0)
		log_note("%s: ending %u process%s that nclust %d has left", sup->settings->name,
			count, count == 1 ? "" : "es", (int)h->past.header.pid);
	/* a process may have forked when the search had passed its place in /proc */
	while (r.count > 0 && end_all(&r) && again++ < AGAIN_MOST)
		(void)search_processes(sup, h, &r);
	free(r.list);
	return count;
}

pid_t remains_find(struct supervisor *sup)
{
	return search_processes(sup, NULL, NULL);
}
