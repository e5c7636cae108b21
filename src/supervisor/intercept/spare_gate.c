/* SPDX-License-Identifier: MIT */
#include "supervisor/intercept/spare_gate.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/look/look.h"
#include "os/process.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/trouble.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/intercept/internal.h"
#include "supervisor/intercept/listens.h"
#include "supervisor/sockets/group.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/ports.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/use.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

bool spare_gate_is_shut(const struct child *child)
{
	return !child->trap.gate_passed && cluster_spares(child->service->core) > 0;
}

void spare_gate_report(struct child *child)
{
	child_flag(child, STATE_GATED, true);
	child->trap.listening_by = 0;
	child_tell(child, EVENT_GATE, WHY_ITSELF);
}

/* Is no other worker in the worker's lane (sockets/group.h)? */
static bool has_own_lane(const struct child *child)
{
	return walk_find(other, child_next, children_of(child->service),
		       other != child && other->traffic.lane == child->traffic.lane) == NULL;
}

/* May the spare listen now, on a socket of its own to which no client comes?  That is of use only
 * if an HTTP check will warm it, or if connections wait there since the worker before has died. */
static bool may_spare_listen(struct child *child, struct listener *l)
{
	const struct cluster_settings *s = child_settings(child);
	const struct listener_socket *k = l != NULL ? group_own(l, child->traffic.lane) : NULL;
	bool was; /* at another address */

	if (s == NULL || k == NULL || l->own_group || group_size(l) == 1 || !has_own_lane(child) ||
		(s->check.kind != PROBE_HTTP && !group_has_queue(l, k)))
		return false;
	was = child->trap.spare_listens;
	child->trap.spare_listens = true;
	moment_uses(child, l, USE_SPARE_LISTENS);
	child->trap.spare_listens = was || k->weight == 0;
	return k->weight == 0;
}

bool spare_gate_keep(struct child *child, struct listener *l, const struct seccomp_notice *notice)
{
	unsigned n = child->trap.gate_count;
	struct gate *gate;

	if (n == GATE_CALLS || !spare_gate_is_shut(child))
		return false;
	if (n == 0 && !child->trap.spare_listens)
		spare_gate_report(child);
	if (!spare_gate_is_shut(child) || may_spare_listen(child, l))
		return false;
	if (child->trap.gate == NULL)
		child->trap.gate = calloc(1, sizeof(*gate));
	gate = child->trap.gate;
	if (gate == NULL)
		return false;
	child->trap.gate_count++;
	gate->id[n] = notice->id;
	gate->tid[n] = notice->tid;
	gate->fd[n] = notice->fd;
	gate->backlog[n] = notice->backlog;
	return true;
}

void intercept_on_release(struct child *child)
{
	struct gate *gate = child->trap.gate;
	unsigned count = gate != NULL ? child->trap.gate_count : 0;

	child->trap.gate = NULL;
	child->trap.gate_passed = true;
	child->trap.spare_listens = false;
	child_flag(child, STATE_GATED, false);
	for (unsigned i = 0; i < count && child->trap.fd != -1; i++) {
		struct seccomp_notice notice = {
			.call = SECCOMP_LISTEN,
			.id = gate->id[i],
			.tid = gate->tid[i],
			.fd = gate->fd[i],
			.backlog = gate->backlog[i],
		};
		struct remote r;

		remote_of(&r, notice.tid);
		(void)listens_call(child, &notice, &r, true); /* answers a held bind(2), too */
		intercept_check_late(child, &r);
	}
	free(gate);
	child->trap.gate_count = 0;
	listens_look(child, count > 0);
}

bool intercept_on_stop(struct child *child, int signal)
{
	struct trapped *trap = &child->trap;

	if (trap->gate == NULL || trap->gate_count == 0 || signal == 0)
		return false;
	child_signal(child, signal);
	while (trap->gate_count > 0)
		seccomp_answer(trap->fd, trap->gate->id[--trap->gate_count], EINTR);
	return true;
}

static const struct plain_row rows[] = {
	/* among the numbers of struct child, whose group they are in (workers/carry_workers.c) */
	PLAIN(47, gate, id[0], UNSIGNED),
	PLAIN(48, gate, id[1], UNSIGNED),
	PLAIN(49, gate, tid[0], SIGNED),
	PLAIN(50, gate, tid[1], SIGNED),
	PLAIN(51, gate, fd[0], SIGNED), /* a number in the worker, not a descriptor */
	PLAIN(52, gate, fd[1], SIGNED),
	PLAIN(53, gate, backlog[0], SIGNED),
	PLAIN(54, gate, backlog[1], SIGNED),
};

const struct carried carried_gate = {
	.called = "a spare's calls",
	CARRIED_ROWS(rows, gate),
};

/* ---- startwait ---- */

/* Time from the worker's start to the first look; then twice as long each time. */
#define PATIENCE (3 * SECOND)
#define LATE (5 * SECOND) /* what it waits for is logged then */
#define WAITS_TEXT 256

void startwait_born(struct child *child)
{
	intercept_look_after(child, &child->trap.waits_by, PATIENCE);
}

/* Returns what the worker waits for, heap; NULL: no lock.  *copied: another copy has it. */
static char *describe_lock(const struct child *child, bool *copied)
{
	struct process_facts facts = {0};
	struct lockwait lock;
	const struct child *copy = NULL;
	char name[PROCESS_NAME];
	char *text = NULL;
	int got;

	if (!lockwait_look(&lock, child->pid))
		return NULL;
	if (process_look(lock.holder, &facts) == 0)
		copy = child_by_pid(child->service->sup, facts.session);
	if (copy != NULL && copy->service != child->service)
		copy = NULL;
	*copied = copy != NULL;
	if (copy != NULL)
		got = asprintf(&text, "the lock of %s, which %s.%" PRIu32 " (process %d) has",
			lock.path, child->service->name, copy->slot, (int)lock.holder);
	else if (lock.holder > 0)
		got = asprintf(&text, "the lock of %s, which process %d (%s) has", lock.path,
			(int)lock.holder, process_name(lock.holder, name));
	else
		got = asprintf(&text, "the lock of %s", lock.path);
	return got == -1 ? NULL : text;
}

static void note_wait(struct child *child, char *text, bool copied)
{
	const char *advice = copied ? "; " TROUBLE_ONE_COPY : "";
	const char *old = child->life.waits;

	if (text != NULL && (old == NULL || strcmp(text, old) != 0)) {
		if (news_spares(child))
			news_say_worker(child, LOG_WARN, "waits", "worker %d waits for %s%s",
				(int)child->pid, text, advice);
		trouble_set_cause(child, "it waits for %s%s", text, advice);
	}
	if (text == NULL && old != NULL) /* the worker has got the lock */
		trouble_forget_cause(child);
	free(child->life.waits);
	child->life.waits = text;
}

/* What the worker is not ready without; NULL: unknown.  May write to `to`. */
static const char *waits_for(const struct child *child, char to[WAITS_TEXT])
{
	const struct cluster_settings *s = cluster_settings(child->service->core);
	const char *text = child->life.waits != NULL ? child->life.waits : ports_missing(child);
	bool auto_port = child->listening.awaited;

	if (text == NULL && (listens_is_held(child) || (auto_port && listens_is_passed(child))))
		text = "a process that serves its port";
	else if (text == NULL && (auto_port || s->ready == READY_LISTEN))
		text = "its port";
	if (text != NULL || s->ready < READY_NOTIFY || s->ready == READY_ALIVE)
		return text;
	if (s->ready == READY_PROBE && child->health != NULL)
		snprintf(to, WAITS_TEXT, "a good answer to 'ready'%s%s",
			*child->health->last != '\0' ? "; the last: " : "", child->health->last);
	else if (s->ready_fd != 0)
		snprintf(to, WAITS_TEXT, "a newline on descriptor %d", s->ready_fd);
	else
		return "its READY=1";
	return to;
}

static void say_late(const struct child *child)
{
	nsec_t age = clock_now() - child_view(child).born;
	uint32_t *said = child->service->said;
	char to[WAITS_TEXT];
	const char *text = waits_for(child, to);
	char time[16];

	if (age >= LATE && text != NULL && text != child->life.waits &&
		!once_said(said, ONCE_PORTLESS) && once_say(said, ONCE_LATE))
		log_worker(child, LOG_NOTE, "worker %d is not ready after %s: it waits for %s",
			(int)child->pid, text_age(time, age), text);
}

void startwait_look(struct child *child)
{
	enum slot_state state;
	bool copied = false;
	char *text = NULL;
	bool starts;

	if (!intercept_is_due(child, child->trap.waits_by))
		return;
	child->trap.waits_by = 0;
	state = child_view(child).state;
	starts = state == SLOT_STARTING;
	if (starts)
		text = describe_lock(child, &copied);
	if (starts || state == SLOT_READY) /* else it ends, and waits no more */
		note_wait(child, text, copied);
	if (!starts)
		return;
	say_late(child);
	intercept_look_after(child, &child->trap.waits_by, clock_now() - child_view(child).born);
}

void startwait_on_status(struct json_writer *w, const struct child *child)
{
	const char *text = capture_is_stuck(child) ? "whoever reads nclust's output" : NULL;
	struct worker_view view = child_view(child);
	char to[WAITS_TEXT];

	if (text == NULL && view.state == SLOT_STARTING && !view.did)
		text = waits_for(child, to);
	if (text != NULL)
		json_put_text(w, "waits_for", text);
}

/* ---- serves ---- */

/* About the most time for a look at the threads of a worker, which can make each of these looks
 * take as long as vfork_patience() says. */
#define LOOK_AT_THREADS (10 * TURN_SPAN)
/* Time before the first look whether a worker that has listened waits for clients: so many looks
 * later it is twice as long, until it is LOOK_MOST. */
#define LOOK_FIRST (1 * MSEC)
#define LOOK_DOUBLES 8
#define LOOK_MOST (1 * SECOND)
/* If not, and it is one process, it need not: it may look for clients in its own way.  So it counts
 * after so many looks when it sleeps (8 ms), or is at work (1 s). */
#define ASLEEP_LOOKS 8
#define ALONE_LOOKS 56
/* Processes of which none begins, ends or loads for so long count as well, if at each look one of them is
 * at work: it may ask the socket again and again.  Those that sleep may wait for something else, which
 * may still fail: they count at the end of start-timeout. */
#define UNSEEN_PATIENCE (30 * SECOND)
#define RUN_LOOKS 10
#define MASTER (-1) /* no CPU time, but of one that has had processes below it */
/* Idle is a worker that uses less than this part of a CPU. */
#define IDLE_PART 20
/* One that has read or written so many bytes since the last time, or needs so much more memory, loads
 * something: it may do so in steps.  What only works needs a little more each time, too. */
#define LOAD_LEAST (1U << 20)

struct look {
	struct child *child;
	nsec_t until;
	bool notes;  /* its ports, which others must listen on then */
	bool serves; /* it waits for clients */
	bool hidden; /* nclust cannot see for what a thread waits */
	bool runs;   /* a thread does not wait */
};

/* Notes the ports for which any thread of the process waits by epoll(7). */
static void look_at_process(struct look *look, pid_t tid)
{
	struct remote_table has;
	struct remote r;

	remote_of(&r, tid);
	(void)remote_read_table(&r, LOOK_MAX, listens_has, look->child, &has);
	for (size_t i = 0; i < has.socket_count; i++)
		if (remote_table_waits(&r, &has, has.sockets[i]))
			look->serves |= listens_waits(look->child, has.inodes[i], look->notes);
	intercept_check_late(look->child, &r);
}

/* Is the thread in a call that does not say what it waits for, or must nclust not look?  A process
 * that ends belongs to root as soon as it has no memory, and one in state '\0', Z or X has ended. */
static bool is_hidden(struct remote *r)
{
	int fd;
	long call = remote_call(r, &fd);

	return call == -2
		? !process_is_ending(r->tid) && strchr("ZX", process_state(r->tid)) == NULL
		: (remote_call_kind(call) & CALL_UNKNOWN) != 0;
}

static bool has_found(const struct look *look)
{
	return look->serves && (!look->notes || listens_on_all(look->child));
}

/* Notes the ports for which a thread waits in a call.  True: that is enough. */
static bool look_at_thread(void *context, pid_t tid)
{
	struct look *look = context;
	int fds[REMOTE_AWAITS_MOST];
	struct remote r;
	size_t count;

	remote_of(&r, tid);
	count = remote_awaits(&r, fds, COUNT_OF(fds));
	for (size_t i = 0; i < count; i++)
		look->serves |= listens_waits(look->child, remote_inode(&r, fds[i]), look->notes);
	look->hidden |= count == 0 && !r.late && is_hidden(&r);
	look->runs |= count == 0 && process_state(tid) == 'R';
	intercept_check_late(look->child, &r);
	return r.late || clock_now() > look->until || has_found(look);
}

/* Looks at the threads of the worker, and at the processes below it: one that it has forked after its
 * bind(2) may serve. */
static void look_below(struct look *look)
{
	pid_t tree[PROCESS_TREE_MOST];
	size_t count = process_tree(look->child->pid, tree, PROCESS_TREE_MOST);

	for (size_t i = 0; i < count && clock_now() <= look->until && !has_found(look); i++) {
		if (i > 0)
			look_at_process(look, tree[i]);
		(void)process_each(tree[i], look_at_thread, look);
	}
}

/* Is the worker one process that looks for clients in its own way, as far as can be seen?  A master
 * whose processes have ended is none. */
static bool serves_alone(struct child *child)
{
	pid_t pid = child->listening.unproven;
	nsec_t ran = process_ran(pid);
	bool sleeps = ran == child->trap.ran && ran != 0 && process_state(pid) == 'S';
	pid_t tree[2];

	if (child->trap.ran == MASTER || process_tree(pid, tree, 2) > 1)
		ran = MASTER;
	child->trap.ran = ran;
	return ran != MASTER && child->trap.held >= (sleeps ? ASLEEP_LOOKS : ALONE_LOOKS);
}

bool serves_look(struct child *child, bool notes)
{
	struct look look = {.child = child, .until = clock_now() + LOOK_AT_THREADS, .notes = notes};
	pid_t bound_by = child->listening.bound_by;
	bool held = listens_is_held(child);
	nsec_t last = nsec_add(child_view(child).born,
		cluster_settings(child->service->core)->start_timeout - 2 * LOOK_MOST);
	nsec_t begun = allowance_begin();

	if (bound_by != 0 && bound_by != child->pid) {
		look_at_process(&look, bound_by);
		(void)look_at_thread(&look, bound_by);
	}
	look_at_process(&look, child->pid);
	if (!has_found(&look) && !child->trap.hostile && allowance_is_ample(child))
		look_below(&look);
	intercept_charge(child, begun);
	child->trap.runs = look.runs ? child->trap.runs + 1 : 0;
	return look.serves ||
		(held &&
			(look.hidden || child->trap.hostile || serves_alone(child) ||
				((child->trap.runs >= RUN_LOOKS || clock_now() >= last) &&
					serves_loads_nothing(child, UNSEEN_PATIENCE))));
}

/* Does the process wait for one that it has started, as a script does? */
static bool waits_for_child(struct child *child)
{
	struct remote r;
	long call;
	int fd;

	remote_of(&r, child->pid);
	call = remote_call(&r, &fd);
	intercept_check_late(child, &r);
	return call == SYS_wait4 || call == SYS_waitid;
}

bool serves_is_idle(struct child *child)
{
	struct trapped *t = &child->trap;
	nsec_t now = clock_now();
	nsec_t since = t->busy_at != 0 ? t->busy_at : child_view(child).born;
	pid_t tree[PROCESS_TREE_MOST];
	uint64_t pids = 0;
	uint64_t has = 0;
	struct process_facts facts;
	nsec_t busy;
	bool more;

	if (now - since < LOOK_MOST)
		return t->idle;
	busy = use_cpu(child) + process_awake(child->pid) - t->busy;
	for (size_t i = process_tree(child->pid, tree, PROCESS_TREE_MOST); i-- > 0;) {
		pids = pids * 31 + (uint64_t)tree[i];
		if (process_look(tree[i], &facts) == 0)
			has += facts.rss + process_io(tree[i]);
	}
	more = has > t->has + LOAD_LEAST;
	if (t->busy_at != 0 &&
		(pids != t->pids || more || (!listens_is_held(child) && waits_for_child(child))))
		t->loaded_at = now;
	t->idle = busy >= 0 && busy * IDLE_PART < now - since;
	t->busy += busy;
	t->busy_at = now;
	t->pids = pids;
	if (more || has < t->has)
		t->has = has;
	return t->idle;
}

bool serves_loads_nothing(const struct child *child, nsec_t patience)
{
	nsec_t loaded = child->trap.loaded_at;

	return clock_now() - (loaded != 0 ? loaded : child_view(child).born) >= patience;
}

static void arm(const struct child *child)
{
	nsec_t wait = nsec_min(LOOK_FIRST << child->trap.held / LOOK_DOUBLES, LOOK_MOST);
	const struct itimerspec in = {.it_value = {wait / SECOND, wait % SECOND}};

	(void)timerfd_settime(child->trap.moment, 0, &in, NULL);
}

void serves_drop(struct child *child)
{
	if (child->trap.moment != -1)
		childset_remove(child, child->trap.moment);
	fd_close(&child->trap.moment);
}

void serves_hold(struct child *child)
{
	child_tell(child, EVENT_REFUSED, WHY_ITSELF);
	child->trap.held = 0;
	child->trap.loaded_at = clock_now();
	if (child->trap.moment == -1)
		child->trap.moment = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (childset_add(child, CHILD_MOMENT, child->trap.moment) == 0)
		arm(child);
	else /* for want of descriptors */
		listens_shown(child);
}

void serves_hear(struct child *child)
{
	if (listens_is_held(child)) {
		child->trap.held += child->trap.held / LOOK_DOUBLES < 10;
		arm(child); /* nothing need be read then */
		(void)serves_is_idle(child);
		if (!serves_look(child, false))
			return;
		listens_shown(child);
	}
	serves_drop(child);
}
