/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/heritage.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/environ.h"
#include "os/pidfd.h"
#include "os/process.h"
#include "os/look/remote.h"
#include "supervisor/workers/environment.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Processes that an earlier nclust has left and this one does not take over. */

#define GRACE_TERM (2 * SECOND)
#define GRACE_KILL (1 * SECOND)
#define REMAINS_MAX 65536U
#define AGAIN_MOST 4U      /* searches after the first */
#define EXECUTES_MOST 500U /* looks at one that is in the middle of execve(2) */

struct remains {
	int *list; /* heap: pidfds */
	size_t count;
};

static void add(struct remains *r, int pidfd)
{
	int *list = reallocarray(r->list, r->count + 1, sizeof(*list));

	if (list != NULL)
		r->list = list;
	if (list == NULL || r->count >= REMAINS_MAX) {
		(void)close(pidfd);
		return;
	}
	list[r->count++] = pidfd;
}

/* ---- whose it is ---- */

static bool is_above(pid_t pid, const pid_t *above, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (above[i] == pid)
			return true;
	return false;
}

/* nclust and its ancestors: they are not ended, even if one is a worker. */
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

/* There is no such process, or we may not look at it: then it is not ended,
 * because it may be anybody's. */
static bool is_nobody(int error)
{
	return error == ENOENT || error == ESRCH || error == EACCES || error == EPERM;
}

/* 1: the process has the variable; 0: it has not, or is nobody's; -1 and errno: unknown. */
static int look_for(struct environ_look *look, pid_t pid, const char *key)
{
	const struct timespec pause = {.tv_nsec = 2 * MSEC};

	for (unsigned i = 0; environment_look(look, pid, key) == -1; i++) {
		if (errno != EAGAIN || i == EXECUTES_MOST)
			return is_nobody(errno) ? 0 : -1;
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
	for (size_t i = 0; i < s->cluster_count; i++)
		if (s->clusters[i]->uid == (long)uid)
			return true;
	return uid == geteuid();
}

int remains_serial(struct supervisor *sup, pid_t pid, uint32_t user, uint64_t *serial)
{
	struct environ_look look untouched;
	size_t len = strlen(sup->rundir.path);
	int got = has_a_user(sup, pid, user) ? look_for(&look, pid, "NCLUST_SOCKET") : 0;

	if (got == 1 &&
		(strncmp(look.value, sup->rundir.path, len) != 0 ||
			strcmp(look.value + len, "/control") != 0))
		return 0;
	if (got == 1)
		got = look_for(&look, pid, "NCLUST_WORKER");
	if (got == 1)
		*serial = strtoull(look.value, NULL, 16);
	return got;
}

/* 0: it is not known to be a worker of this name.  One in another pid namespace
 * is none: a container's nclust may have the same name and directory. */
static uint64_t serial_of(struct supervisor *sup, pid_t pid, uint32_t user)
{
	struct remote r;
	uint64_t serial;

	remote_of(&r, pid);
	return remote_shares(&r, "pid") && remains_serial(sup, pid, user, &serial) == 1 ? serial
											: 0;
}

/* Is it that worker's session?  Its number is no other's while anybody is in it. */
static bool is_session_of(pid_t session, const struct state_birth *birth)
{
	struct process_facts leader;

	return session == birth->pid &&
		(process_look(session, &leader) == -1 ? is_nobody(errno)
						      : leader.start == birth->start);
}

/* Has a worker that is not taken over left the process?  It is younger, and is in
 * its session or has its serial: servers that set their title overwrite that. */
static bool is_left_by(struct supervisor *sup, const struct heritage *h, pid_t pid,
	const struct process_facts *facts)
{
	uint64_t serial = 0;
	uint64_t asked = UINT64_MAX; /* a user */

	for (size_t i = 0; i < h->past.count; i++) {
		const struct inmate *in = &h->inmates[i];
		const struct state_birth *birth = &in->entry->birth;

		if (in->ours || birth->pid == 0 || facts->start < birth->start)
			continue;
		if (in->lives && pid == birth->pid)
			return false; /* on the list already */
		if (is_session_of(facts->session, birth) && has_a_user(sup, pid, in->entry->user))
			return true;
		if (asked != in->entry->user)
			serial = serial_of(sup, pid, in->entry->user);
		asked = in->entry->user;
		if (serial == in->entry->serial)
			return true;
	}
	return false;
}

/* Walks over the living processes but us and our ancestors: finds those that
 * workers of `h` have left; or, without `h`, the first worker of this name. */
struct search {
	struct supervisor *sup;
	const struct heritage *h;
	struct remains *found;
	pid_t above[64];
	size_t above_count;
	pid_t last;
};

static bool look_at(void *context, pid_t pid)
{
	struct search *s = context;
	struct process_facts facts;
	struct process_facts now;
	scoped_fd fd = -1;

	if (pid == 1 || is_above(pid, s->above, s->above_count) ||
		process_look(pid, &facts) == -1 || facts.state == 'Z' ||
		!(s->h != NULL ? is_left_by(s->sup, s->h, pid, &facts)
			       : serial_of(s->sup, pid, 0) != 0))
		return false;
	s->last = pid;
	if (s->h == NULL)
		return true;
	fd = pidfd_of(pid);
	/* is it still the process that was looked at? */
	if (fd != -1 && process_look(pid, &now) == 0 && now.start == facts.start)
		add(s->found, fd_release(&fd));
	return false;
}

/* Returns the last process that fitted; or 0. */
static pid_t search(struct supervisor *sup, const struct heritage *h, struct remains *found)
{
	struct search s = {.sup = sup, .h = h, .found = found};

	s.above_count = list_above(s.above, COUNT_OF(s.above));
	(void)process_each(0, look_at, &s);
	return s.last;
}

/* ---- ending ---- */

/* Wait until all have ended, but no longer than that; those that have are removed
 * from the list.  Returns how many are left. */
static size_t wait_for(struct remains *r, nsec_t time)
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

/* Empties the list.  False: some cannot be ended. */
static bool end_all(struct remains *r)
{
	size_t left = 0;

	signal_all(r, SIGTERM);
	if (wait_for(r, GRACE_TERM) > 0) {
		signal_all(r, SIGKILL);
		left = wait_for(r, GRACE_KILL);
	}
	for (size_t i = 0; i < left; i++)
		(void)close(r->list[i]);
	r->count = 0;
	if (left > 0)
		log_warn("%zu of them cannot be ended", left);
	return left == 0;
}

unsigned remains_end(struct supervisor *sup, struct heritage *h)
{
	struct remains r = {0};
	unsigned count;
	unsigned again = 0;

	if (h->others == 0)
		return 0;
	for (size_t i = 0; i < h->past.count; i++)
		if (h->inmates[i].lives && !h->inmates[i].ours)
			add(&r, fd_release(&h->inmates[i].pidfd));
	(void)search(sup, h, &r);
	count = (unsigned)wait_for(&r, 0);
	if (count > 0)
		log_note("%s: ending %u process%s that nclust %d has left", sup->settings->name,
			count, count == 1 ? "" : "es", (int)h->past.header.pid);
	/* a process may have forked when the search had passed its place in /proc */
	while (r.count > 0 && end_all(&r) && again++ < AGAIN_MOST)
		(void)search(sup, h, &r);
	free(r.list);
	return count;
}

pid_t remains_find(struct supervisor *sup)
{
	return search(sup, NULL, NULL);
}
