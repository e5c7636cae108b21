/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/strays.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "os/cgroup.h"
#include "os/clock.h"
#include "os/look/remote.h"
#include "os/process.h"
#include "os/vfork.h"
#include "supervisor/common/job.h"
#include "supervisor/common/timer.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/environment.h"
#include "supervisor/workers/leftovers.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Kill strays for so long: a process that forks and exits again and again is hit in the end. */
#define KILLING (10 * TURN_SPAN)
#define LOOKS_MOST 64
#define SWEEP_INTERVAL (1 * SECOND)
#define CHILDREN_MAX 65536
/* How many descriptors of a process are looked at for sockets of nclust. */
#define NAMELESS_FDS 16384
#define NAMELESS_SERVICES 8 /* clusters whose sockets a process may have */

/* The least pause between two walks over the children: as long as SIGKILL takes to end a process. */
#define LOOK_AGAIN (4 * MSEC)
/* The longest pause, while nothing happens. */
#define LOOK_REST (200 * MSEC)

/* ---- exited processes ---- */

/* Has nclust started this process? */
static bool is_known(const struct supervisor *sup, pid_t pid)
{
	return child_by_pid(sup, pid) != NULL || job_by_pid(sup, pid) != NULL || vfork_has(pid);
}

/* Reap a bounded number of exited processes; true: there may be more.  Reaping one may take 10 ms
 * if very many of its descriptors were looked at, because the kernel drops each path below its
 * /proc/PID/fd (proc_flush_pid()). */
static bool reap_some(struct supervisor *sup)
{
	nsec_t until = clock_now() + TURN_SPAN;

	for (int i = 0; i < TURN_ITEMS && clock_now() < until; i++) {
		pid_t pid = child_peek_any();
		struct child *child;
		struct job *job;

		if (pid <= 0)
			return false;
		child = child_by_pid(sup, pid);
		job = job_by_pid(sup, pid);
		if (child != NULL) {
			child_main_exited(child); /* as if its pidfd was readable */
		} else if (job != NULL) {
			job_look(job);
		} else if (vfork_has(pid)) {
			(void)vfork_stuck(); /* reaps it */
		} else {
			if (child_reap(pid) == -1)
				return false;
			log_debug("reaped process %d", (int)pid);
		}
	}
	return true;
}

/* ---- strays ---- */

#define LIST_SIZE (CHILDREN_MAX * sizeof(pid_t))

/* The list has a mapping of its own, because the heap would not give the memory back. */
static pid_t *list_children(size_t *count)
{
	pid_t *list =
		mmap(NULL, LIST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long n;

	*count = 0;
	if (list == MAP_FAILED)
		return NULL;
	n = process_children(list, CHILDREN_MAX);
	if (n > 0)
		*count = n < CHILDREN_MAX ? (size_t)n : CHILDREN_MAX;
	return list;
}

static void drop_list(pid_t *list)
{
	if (list != NULL)
		(void)munmap(list, LIST_SIZE);
}

/* `leftovers = keep`: is the process in a session of its own, and may it be of a cluster that keeps
 * such processes? */
static bool is_kept(const struct supervisor *sup, pid_t pid)
{
	struct environ_look look uninitialized;
	struct process_facts facts;
	const struct service *service;
	bool any = false;

	for (size_t i = 0; i < sup->service_count && !any; i++)
		any = cluster_settings(sup->services[i]->core)->leftovers == LEFTOVERS_KEEP;
	if (!any || process_look(pid, &facts) == -1 || facts.state == 'Z' ||
		child_by_pid(sup, facts.session) != NULL ||
		leftovers_of_session(sup, facts.session) != NULL)
		return false;
	if (environment_look(&look, pid, "NCLUST_CLUSTER") == -1)
		return errno == ENOENT || errno == EAGAIN;
	service = service_named(sup, look.value);
	return service != NULL && cluster_settings(service->core)->leftovers == LEFTOVERS_KEEP;
}

bool service_has_daemon(const struct service *service, pid_t pid)
{
	struct process_facts facts = {.session = 0};
	const uint64_t *list = service->life.daemons;

	if (*list == 0 || service->stage.ended || process_look(pid, &facts) == -1)
		return false;
	return array_has(list, COUNT_OF(service->life.daemons), (uint64_t)facts.session);
}

static bool is_stray(const struct supervisor *sup, pid_t pid)
{
	return !is_known(sup, pid) &&
		!array_has(sup->reaper.first_children, sup->reaper.first_children_count, pid) &&
		!is_kept(sup, pid) &&
		array_find(s, sup->services, sup->service_count, service_has_daemon(*s, pid)) ==
		NULL;
}

/* Signal living strays, whose number is returned, and reap strays that have ended. */
static unsigned look_at_strays(struct supervisor *sup, int signal, unsigned *ended)
{
	size_t count;
	pid_t *list = list_children(&count);
	unsigned found = 0;

	*ended = 0;
	for (size_t i = 0; list != NULL && i < count; i++) {
		if (!is_stray(sup, list[i]))
			continue;
		/* not reaped since the list was read: it still has this pid, and no other process */
		scoped_fd fd = signal != 0 ? pidfd_of(list[i]) : -1;
		if (fd != -1)
			(void)pidfd_signal(fd, signal); /* EPERM, ESRCH: nothing to do */
		if (child_reap(list[i]) == 0)
			(*ended)++;
		else
			found += errno == EAGAIN;
	}
	drop_list(list);
	return found;
}

unsigned strays_signal(struct supervisor *sup, int signal)
{
	unsigned ended;
	unsigned found;

	/* children of strays that have ended are children of nclust now */
	for (unsigned i = 0; i < LOOKS_MOST; i++) {
		found = look_at_strays(sup, signal, &ended);
		if (found > 0 || ended == 0)
			return found;
	}
	return ended;
}

unsigned strays_kill(struct supervisor *sup)
{
	nsec_t until = clock_now() + KILLING;
	unsigned left;

	while ((left = strays_signal(sup, SIGKILL)) > 0 && clock_now() < until)
		(void)sched_yield();
	return left;
}

size_t strays_list(struct supervisor *sup, pid_t *to, size_t most)
{
	size_t count;
	pid_t *list = list_children(&count);
	size_t found = 0;

	for (size_t i = 0; list != NULL && i < count && found < most; i++)
		if (is_stray(sup, list[i]))
			to[found++] = list[i];
	drop_list(list);
	return found;
}

/*
 * A process that has cleared its environment does not name its worker.  A dead worker has left it
 * if the process has a socket of a cluster, and no living worker of that cluster is older than the
 * process.  (A process that was started while a successor ran is found at the next restart.)
 */
struct nameless {
	const struct supervisor *sup;
	const struct service *services[NAMELESS_SERVICES];
	size_t count;
};

static bool has_socket_of(const struct service *service, uint64_t inode)
{
	return walk_find(l, listener_next, listeners_of(service, LISTENERS_ALL),
		       group_had_inode(l, inode)) != NULL;
}

static bool note_socket_owner(void *context, int fd UNUSED, const char *target)
{
	struct nameless *n = context;
	uint64_t inode = remote_socket_inode(target);

	for (size_t i = 0; inode != 0 && i < n->sup->service_count; i++) {
		const struct service *service = n->sup->services[i];

		if (n->count < NAMELESS_SERVICES && has_socket_of(service, inode) &&
			!array_has(n->services, n->count, service))
			n->services[n->count++] = service;
	}
	return false;
}

/* Is a living worker of the cluster older than `start`?  In doubt, yes. */
static bool has_older(const struct service *service, uint64_t start)
{
	struct process_facts facts;
	const struct child *c;

	for_each_child (c, children_of(service))
		if (process_look(c->pid, &facts) == 0 ? facts.start <= start
						      : errno != ESRCH && errno != ENOENT)
			return true;
	return false;
}

static bool is_left_nameless(const struct supervisor *sup, pid_t pid, uint64_t start)
{
	struct nameless n = {.sup = sup};
	struct remote remote;

	remote_of(&remote, pid);
	(void)remote_each_fd(&remote, NAMELESS_FDS, note_socket_owner, &n);
	return n.count > 0 && array_find(s, n.services, n.count, has_older(*s, start)) == NULL;
}

/* Is the process not a leftover of a dead worker?  NCLUST_WORKER can be forged: the process belongs
 * to the living worker `owner` (or NULL) only if it is younger, and it has no socket of a cluster
 * whose workers are all younger than the process. */
static bool is_no_leftover(const struct supervisor *sup, const struct child *owner, pid_t pid)
{
	struct process_facts facts;
	struct process_facts its = {.start = 0};

	if (process_look(pid, &facts) == -1 || facts.state == 'Z' ||
		(owner != NULL && process_look(owner->pid, &its) == -1))
		return true;
	if (facts.start < its.start)
		return false;
	return !is_left_nameless(sup, pid, facts.start);
}

/* The worker whose descendant the process is; NULL: errno is ENOENT if it names none, 0 if that
 * worker is gone, else the name cannot be read now.  A process that ends, which may take its time,
 * names none any more: then it is known by the signal that it got. */
static struct child *owner_of_stray(const struct supervisor *sup, pid_t pid)
{
	struct environ_look look uninitialized;
	struct process_facts facts;
	struct child *owner = NULL;

	if (process_look(pid, &facts) == 0)
		owner = leftovers_of_session(sup, facts.session);
	if (owner != NULL)
		return owner;
	if (environment_look(&look, pid, "NCLUST_WORKER") == -1)
		return leftovers_signalled(sup, pid);
	errno = 0;
	return child_by_serial(sup, strtoull(look.value, NULL, 16));
}

/* What a walk over nclust's children, to find processes that dead workers have left, has seen. */
struct strays {
	bool alive;  /* a stray that lives */
	bool again;  /* another walk must follow: a stray has ended, ends now, or is in execve(2) */
	bool killed; /* a stray was killed */
};

/* End a process if a dead worker has left it.  If its environment cannot be read now, a later walk
 * decides. */
static void look_at_stray(struct supervisor *sup, pid_t pid, struct strays *s)
{
	scoped_fd fd = -1;
	struct pidfd_end end;
	struct child *owner;
	bool again;
	int error;

	if (!is_stray(sup, pid))
		return;
	fd = pidfd_of(pid);
	if (fd == -1 && errno != ESRCH && errno != ENOENT)
		return;
	/* the process has ended since the list was read: its children are nclust's only now */
	if (fd == -1 || child_peek(pid, &end) != 0) {
		s->again = true;
		return;
	}
	s->alive = true;
	owner = owner_of_stray(sup, pid);
	if (owner != NULL && owner->left != NULL) {
		leftovers_found(owner, pid, fd);
		return;
	}
	error = owner == NULL ? errno : 0;
	/* a process in execve(2) has no environment yet, and one that ends has none any more */
	again = error == EAGAIN ||
		(error != 0 && (process_is_ending(pid) || child_peek(pid, &end) != 0));
	s->again |= again;
	if (again || (error != 0 && error != ENOENT))
		return;
	if ((owner != NULL || error == ENOENT) && is_no_leftover(sup, owner, pid))
		return;
	(void)pidfd_signal(fd, SIGKILL);
	s->killed = true;
}

/* Walk over nclust's children. */
static struct strays walk_children(struct supervisor *sup)
{
	struct reaper *reaper = &sup->reaper;
	nsec_t begun = clock_now();
	struct strays found = {.alive = false};
	size_t count;
	pid_t *list;

	for (struct child *c = reaper->left; c != NULL; c = c->left->next)
		c->left->found = leftovers_of_group(c);
	list = list_children(&count);
	for (size_t i = 0; i < count; i++)
		look_at_stray(sup, list[i], &found);
	found.again |= list == NULL;
	drop_list(list);
	reaper->last_sweep = clock_now();
	reaper->look_took = reaper->last_sweep - begun;
	reaper->strays_live = found.alive;
	return found;
}

void strays_sweep_within(struct supervisor *sup, nsec_t wait)
{
	timer_arm_within(sup->loop, &sup->reaper.sweep, wait);
}

#define OOM_UNREAD (-2)
#define BEGUN (10 * MSEC) /* the first workers are started before that */

/*
 * Runs after deaths, and when half of a shell's stop-timeout is over; a walk over all children comes
 * only if it is due, at most once a second.  Dead strays may have gone unnoticed, because SIGCHLDs merge; and leftovers of a worker become nclust's children
 * only when their parents are dead.
 */
static void on_sweep(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;

	if (sup->reaper.oom_kills == OOM_UNREAD) {
		/* The file stays open: if it had to be searched for without free descriptors,
		 * another file with another count would be found. */
		sup->reaper.oom_fd = cgroup_oom_open("");
		sup->reaper.oom_kills =
			sup->reaper.oom_fd != -1 ? cgroup_oom_read(sup->reaper.oom_fd) : -1;
	}
	leftovers_at_half_time(sup);
	if (reap_some(sup)) {
		strays_sweep_within(sup, 0);
		return;
	}
	if (sup->reaper.sweep_due) {
		sup->reaper.sweep_due = false;
		timer_arm(sup->loop, &sup->reaper.look, 0);
	}
}

void strays_look_soon(struct supervisor *sup)
{
	nsec_t wait = sup->reaper.look_took * TURN_REST;

	sup->reaper.pause = LOOK_AGAIN;
	timer_arm_within(sup->loop, &sup->reaper.look, wait > LOOK_AGAIN ? wait : LOOK_AGAIN);
}

void strays_on_sigchld(struct supervisor *sup, pid_t pid)
{
	if (is_known(sup, pid)) {
		strays_sweep_within(sup, SWEEP_INTERVAL);
		return;
	}
	if (sup->reaper.left != NULL)
		strays_look_soon(sup);
	if (reap_some(sup))
		strays_sweep_within(sup, 0);
}

bool strays_none_of(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	/* Has the worker certainly no leftovers?  This saves a walk, which takes 1.7 ms with 5,000
	 * children.  Processes of its group may be about to end, but still have what a successor
	 * needs. */
	bool over = !sup->reaper.strays_live &&
		pidfd_signal_group(child->pidfd, child->pid, 0) != 0 && errno == ESRCH &&
		child_has_left_trap(child);

	sup->reaper.sweep_due |= !over;
	strays_sweep_within(sup, SWEEP_INTERVAL);
	return over;
}

unsigned strays_count_of(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	struct strays s = {.killed = false};
	nsec_t since = clock_now() - sup->reaper.last_sweep;
	unsigned found = 1;

	if (since >= sup->reaper.look_took * TURN_REST) {
		s = walk_children(sup);
		found = child->left->found + s.again;
	}
	if (found > 0 || s.killed)
		strays_look_soon(sup);
	return found;
}

/* The walk has found no leftovers of these workers: they have ended. */
static void end_workers(struct supervisor *sup)
{
	struct child *c = sup->reaper.left;

	while (c != NULL)
		if (c->left->found > 0) {
			c = c->left->next;
		} else {
			child_all_exited(c);
			c = sup->reaper.left;
		}
}

static void on_look_due(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	struct strays s = walk_children(sup);
	nsec_t pause = sup->reaper.pause;

	if (s.killed || s.again)
		strays_sweep_within(sup, SWEEP_INTERVAL);
	if (s.again) { /* the children of strays that have ended are nclust's only now */
		(void)reap_some(sup);
		strays_look_soon(sup);
		return;
	}
	end_workers(sup);
	if (sup->reaper.left == NULL)
		return;
	sup->reaper.pause = 2 * pause < LOOK_REST ? 2 * pause : LOOK_REST;
	pause += sup->reaper.look_took * TURN_REST;
	timer_arm_within(loop, timer, pause);
}

void strays_end_workers(struct supervisor *sup)
{
	while (sup->reaper.left != NULL)
		child_all_exited(sup->reaper.left);
	ev_timer_stop(sup->loop, &sup->reaper.look);
}

/* ---- the kernel's OOM killer ---- */

bool strays_saw_oom_kill(struct supervisor *sup)
{
	long now;

	if (sup->reaper.oom_kills < 0)
		return false;
	now = cgroup_oom_read(sup->reaper.oom_fd);
	if (now <= sup->reaper.oom_kills)
		return false;
	sup->reaper.oom_kills++; /* each of several victims counts for one worker */
	return true;
}

/* ---- life ---- */

static int keep_first_children(struct supervisor *sup, struct error *err)
{
	size_t count;
	pid_t *list;

	/* nclust rarely has children at its start, and to read the list takes much longer */
	if (child_peek_any() == -1 && errno == ECHILD)
		return 0;
	list = list_children(&count);
	if (list != NULL && count > 0) {
		sup->reaper.first_children = malloc(count * sizeof(*list));
		if (sup->reaper.first_children != NULL)
			memcpy(sup->reaper.first_children, list, count * sizeof(*list));
	}
	drop_list(list);
	if (list == NULL || (count > 0 && sup->reaper.first_children == NULL))
		return error_set(err, ENOMEM, "list of children");
	sup->reaper.first_children_count = count;
	return 0;
}

int strays_init(struct supervisor *sup, struct error *err)
{
	timer_init(&sup->reaper.sweep, on_sweep, sup);
	timer_init(&sup->reaper.look, on_look_due, sup);
	/* read later, because to find the file takes longer than a worker's start */
	sup->reaper.oom_kills = OOM_UNREAD;
	strays_sweep_within(sup, BEGUN);
	return keep_first_children(sup, err);
}

void strays_resume(struct supervisor *sup)
{
	timer_init(&sup->reaper.sweep, on_sweep, sup);
	timer_init(&sup->reaper.look, on_look_due, sup);
	sup->reaper.sweep_due = true;
	strays_sweep_within(sup, 0);
}

void strays_fini(struct supervisor *sup)
{
	ev_timer_stop(sup->loop, &sup->reaper.sweep);
	ev_timer_stop(sup->loop, &sup->reaper.look);
	fd_close(&sup->reaper.oom_fd);
	free(sup->reaper.first_children);
	sup->reaper.first_children = NULL;
}
