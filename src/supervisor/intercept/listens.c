/* SPDX-License-Identifier: MIT */
#include "supervisor/intercept/listens.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "config/expand.h"
#include "os/clock.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/trouble.h"
#include "supervisor/intercept/internal.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/intercept/takeover.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/paths.h"
#include "supervisor/workers/ports.h"
#include "supervisor/workers/service.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Time for a server to listen on its next address. */
#define LISTEN_PATIENCE (1 * SECOND)
/* From a worker's birth until an address on which it does not listen is reported: if it is idle, and
 * if it is still at work. */
#define MISSING_PATIENCE (3 * SECOND)
#define WORK_PATIENCE (30 * SECOND)
/* From a worker's birth until its own ports count in place of those of the worker before it. */
#define MOVED_PATIENCE (10 * SECOND)
/* A worker may accept without listen(2): time before the first look for that, then doubled. */
#define LOOK_WAIT (50 * MSEC)
/* The most looks at a worker that has bound, unless something is still expected of it. */
#define LOOKS_MAX 100

/* ---- readiness ---- */

static enum ready_mode ready_mode_of(const struct child *child)
{
	return cluster_settings(child->service->core)->ready;
}

/* Does listening make the worker ready? */
static bool makes_ready(const struct child *child)
{
	return ready_mode_of(child) == READY_AUTO || ready_mode_of(child) == READY_LISTEN;
}

/* Does the worker listen on something, and on all that is expected of it? */
bool listens_on_all(const struct child *child)
{
	return ports_any(child, ready_mode_of(child) == READY_LISTEN) &&
		ports_missing(child) == NULL;
}

/* Is the worker not ready yet, not even by another sign? */
static bool is_starting(const struct child *child)
{
	return child_view(child).state == SLOT_STARTING;
}

bool listens_is_held(const struct child *child)
{
	return child->listening.unproven != 0 && is_starting(child) &&
		(child->listening.said || (makes_ready(child) && listens_on_all(child)));
}

void listens_shown(struct child *child)
{
	bool said = child->listening.said;

	child->trap.listening_by = 0;
	child->listening.said = false;
	if (makes_ready(child) || said)
		child->listening.unproven = 0;
	if (listens_on_all(child)) {
		child->trap.known_to_listen = true;
		learned_note(child);
		child_tell(child, EVENT_LISTENING, WHY_ITSELF);
	}
	if (!said)
		return;
	child_flag(child, STATE_SAID_READY, false);
	child_tell(child, EVENT_READY, WHY_ITSELF);
}

/* ---- served without a listen ---- */

/* Returns the listener of a unix socket that a setting names; NULL: there is none of that inode. */
static const struct listener *find_named_unix(const struct service *service, uint64_t inode)
{
	const struct listener_set *set = &service->sockets.listeners;

	for (size_t i = 0; inode != 0 && i < set->count; i++)
		if (set->list[i]->address.kind == ADDRESS_UNIX &&
			group_has_inode(set->list[i], inode))
			return set->list[i];
	return NULL;
}

/* The listener of that inode, if clients reach it already; or NULL. */
static const struct listener *find_listening(const struct service *service, uint64_t inode)
{
	const struct listener *l = learned_by_inode(service, inode);

	if (l == NULL)
		l = find_named_unix(service, inode);
	return l != NULL && (l->facts.listening || l->address.type == SOCK_DGRAM) ? l : NULL;
}

bool listens_has(const void *of, uint64_t inode)
{
	const struct child *child = of;

	return (inode != 0 && inode == child->listening.own) ||
		find_listening(child->service, inode) != NULL;
}

/* Does the worker have sockets that listen, so that it need never call listen(2)?  If other workers
 * of its cluster were seen to listen, it is ready once it waits for connections. */
static bool may_have_listening(const struct child *child)
{
	const struct listener_set *set = &child->service->sockets.listeners;

	return cluster_knows_listen(child->service->core) &&
		array_find(l, set->list, set->count, (*l)->facts.listening) != NULL;
}

/* Does the worker open that port for a debugger, as far as its command and environment say?  Returns
 * the option that names it, or NULL. */
static const char *find_debugger(const struct child *child, const struct listener *l, unsigned port)
{
	const struct cluster_settings *s = child_settings(child);
	const char *found = NULL;

	if (!l->has_key || !learned_only(l) || s == NULL)
		return NULL;
	char *const *const words[] = {s->command.list, s->env.list, environ};

	for (size_t i = 0; i < COUNT_OF(words) && found == NULL; i++)
		found = slotword_of_debugger(words[i], port);
	return found;
}

/* Is it a debugger's?  That is open before the program begins, and says nothing of it. */
static bool is_debuggers(const struct child *child, const struct listener *l)
{
	return find_debugger(child, l, l->key.port) != NULL ||
		/* {slot+PORT} */
		find_debugger(child, l, l->key.port - child->slot) != NULL;
}

/* Is it a port on loopback beside another one, for those who run the server? */
static bool is_second(const struct child *child, const struct listener *l)
{
	const struct cluster_sockets *s = &child->service->sockets;
	bool second = false;

	if (!l->has_key || !learned_only(l) || !socket_key_is_loopback(&l->key))
		return false;
	/* nobody knows a port that the kernel chose, as that of a trial */
	for (size_t i = 0; i < s->listeners.count; i++)
		second |= !address_takes_any_port(&s->listeners.list[i]->address);
	for (size_t i = 0; i < s->learned.count && s->learned.list[i] != l; i++)
		second |= s->learned.list[i]->key.port != l->key.port;
	for (size_t i = 0; i < s->learned.count; i++)
		second |= s->learned.list[i]->has_key &&
			!socket_key_is_loopback(&s->learned.list[i]->key);
	return second;
}

/* Logs each port that workers share, although its user wants one each: any may be second by now. */
static void log_shared(struct child *child)
{
	const struct cluster_sockets *s = &child->service->sockets;

	for (size_t i = 0; cluster_wanted(child->service->core) > 1 && i < s->learned.count; i++) {
		struct listener *l = s->learned.list[i];
		bool may_say = l->workers > 1 && !once_said(l->said, ONCE_SHARED);
		const char *debugger = may_say ? find_debugger(child, l, l->key.port) : NULL;

		if (may_say && (debugger != NULL || is_second(child, l)) &&
			once_say(l->said, ONCE_SHARED) && news_spares(child))
			news_say_of(child->service, LOG_NOTE, "listening",
				"%s is shared: each request reaches any worker; "
				"%s{slot+%u} gives each its own",
				listener_text(l), debugger != NULL ? debugger : "the port ",
				l->key.port);
	}
}

/* False: the port does not count. */
static bool note_port(struct child *child, const struct listener *l)
{
	bool named = !learned_only(l);

	if (is_debuggers(child, l))
		return false;
	(void)ports_note(child, listener_common_text(l), named, named);
	return true;
}

bool listens_waits(struct child *child, uint64_t inode, bool notes)
{
	const struct listener *l = find_listening(child->service, inode);

	if (!listens_has(child, inode) || (l != NULL && is_debuggers(child, l)))
		return false;
	if (notes && l != NULL && l->facts.listening)
		(void)note_port(child, l);
	return true;
}

/* One timer serves all workers: it is set to the earliest time. */
static void arm_ready_timer(struct child *child, nsec_t by)
{
	struct supervisor *sup = child->service->sup;

	timer_arm_within(sup->loop, &sup->intercept.ready, by - clock_now());
}

void intercept_look_after(struct child *child, nsec_t *by, nsec_t wait)
{
	*by = nsec_add(clock_now(), wait);
	arm_ready_timer(child, *by);
}

bool intercept_is_due(struct child *child, nsec_t by)
{
	if (by == 0 || by <= clock_now())
		return by != 0;
	arm_ready_timer(child, by);
	return false;
}

/* Warns once, because nclust would otherwise wait in silence for a worker that has lost a port. */
static void log_missing(struct child *child, const char *text, bool idle)
{
	nsec_t age = clock_now() - child_view(child).born;
	bool deserted = ports_deserted(child) != NULL;
	nsec_t patience = idle ? MISSING_PATIENCE : WORK_PATIENCE;

	if (text == NULL || child->life.waits != NULL || age < patience ||
		(deserted && !ports_any(child, true)) || !once_say(child->said, ONCE_NOT_LISTENING))
		return;
	if (deserted)
		news_say_worker(child, LOG_WARN, "not-listening",
			"worker %d does not listen on %s, where clients wait; " TROUBLE_PROBES,
			(int)child->pid, text);
	else
		news_say_worker(child, LOG_WARN, "not-listening",
			"worker %d does not listen on %s yet, unlike generation %u: "
			"waiting for it ('--drop-ports' does not wait)",
			(int)child->pid, text, child->listening.expected_of);
}

bool listens_is_passed(const struct child *child)
{
	const struct recipe *r = recipe_of(child->service, child->generation);

	return r != NULL && r->listeners.count > 0 && r->settings->pass != 0;
}

/* Says of a worker without a port so once, unless the cluster shows readiness otherwise. */
static void log_portless(const struct child *child, enum once fact, const char *text)
{
	const struct cluster *core = child->service->core;

	if (ports_any(child, true) || listens_is_passed(child) || child->life.waits != NULL ||
		cluster_knows_listen(core) || cluster_knows_notify(core) ||
		!once_say(child->service->said, fact))
		return;
	news_say_worker(child, LOG_NOTE, "not-listening", "worker %d %s", (int)child->pid, text);
}

#define OPENS_NONE "opens no port: is that right? ('--ready alive' does not wait)"

void listens_on_report(struct service *service, const struct report *r)
{
	const struct child *child =
		r->kind == REPORT_READY ? child_find(service, r->slot, r->worker) : NULL;

	if (child != NULL && child->listening.awaited)
		log_portless(child, ONCE_OPENS_NONE,
			/* Node's: a primary may be to give it its connections */
			child->trap.exclusive && once_say(service->said, ONCE_NO_PRIMARY)
				? OPENS_NONE "; " TROUBLE_OWN_PRIMARY
				: OPENS_NONE);
}

/* Has the worker bound a port of TCP at which nobody listens?  Then it is to be a server. */
static bool has_only_bound(const struct child *child)
{
	const struct listener_set *set = &child->service->sockets.learned;

	return array_find(l, set->list, set->count,
		       learned_has(child, *l) && (*l)->has_key && (*l)->key.type == SOCK_STREAM &&
			       socket_option((*l)->fd, SOL_SOCKET, SO_ACCEPTCONN) == 0) != NULL;
}

/* Has the worker bound a socket that is not a debugger's? */
static bool binds_any(const struct child *child)
{
	const struct listener_set *set = &child->service->sockets.learned;

	return array_find(l, set->list, set->count,
		       learned_has(child, *l) && !is_debuggers(child, *l)) != NULL;
}

/* The worker may open no port, or only a unix path of its own, or use the sockets that it was passed
 * as they are: tells the core if it does nothing else, or serves by these. */
static void look_if_portless(struct child *child, bool idle, bool serves)
{
	nsec_t age = clock_now() - child_view(child).born;
	bool opens = ports_any(child, true) || serves;
	bool binds = binds_any(child);
	struct event event = {
		.kind = EVENT_IDLE,
		.slot = child->slot,
		.worker = child->worker,
		.opens = opens || child->life.paths != NULL,
	};

	if (!binds)
		log_portless(child, ONCE_PORTLESS,
			"has opened no port yet, so it may still be loading: waiting for it "
			"('ready = alive' is for programs that open none)");
	if (opens ||
		(!binds && serves_loads_nothing(child, LOAD_PATIENCE) &&
			(idle || age >= WORK_PATIENCE)))
		service_tell(child->service, &event);
	else if (has_only_bound(child))
		child_tell(child, EVENT_REFUSED, WHY_ITSELF);
	child->listening.awaited = is_starting(child);
}

/* Does the only worker listen on other ports than before, which new words of its command name or, if these
 * are the same, a file of its own?  By that file the former one, started again, would listen there, too. */
static bool has_moved(const struct child *child)
{
	const struct service *service = child->service;
	const struct recipe *now = recipe_of(service, child->generation);
	const struct recipe *was = recipe_of(service, child->listening.expected_of);

	return cluster_wanted(service->core) == 1 && cluster_alive(service->core) == 1 &&
		ports_any(child, true) &&
		(child->listening.ports & child->listening.expected) == 0 && now != NULL &&
		was != NULL && (now->settings == was->settings || ports_named_anew(child)) &&
		clock_now() - child_view(child).born >= MOVED_PATIENCE;
}

static void move_ports(struct child *child, const char *missing)
{
	struct service *service = child->service;

	news_say_worker(child, LOG_WARN, "not-listening",
		"worker %d listens elsewhere than the one before it, and no longer on %s: no other "
		"worker is left, so it serves there",
		(int)child->pid, missing);
	child->listening.expected = 0;
	for (size_t i = service->sockets.learned.count; i-- > 0;) {
		struct listener *l = service->sockets.learned.list[i];

		if (learned_only(l) && !learned_is_used(l, NULL))
			learned_close(service, l, child);
	}
}

/* It has shown that it is ready, but for a process that waits for clients. */
static void conclude(struct child *child)
{
	if (listens_is_held(child))
		serves_hold(child);
	else
		listens_shown(child);
}

static void look_if_ready(struct child *child)
{
	const char *missing;
	bool had_some;
	bool serves = false;
	bool notes;
	bool idle;

	if (!intercept_is_due(child, child->trap.listening_by))
		return;
	child->trap.listening_by = 0;
	notes = child->listening.bound_by != 0 || may_have_listening(child);
	if (!listens_on_all(child) &&
		(notes || (child->listening.awaited && listens_is_passed(child))))
		serves = serves_look(child, notes);
	if (listens_on_all(child) || child->listening.said) {
		conclude(child);
		return;
	}
	missing = ports_missing(child);
	idle = (child->listening.awaited || missing != NULL) && serves_is_idle(child);
	log_missing(child, missing, idle);
	if (missing != NULL && idle && has_moved(child)) {
		move_ports(child, missing);
		conclude(child);
		return;
	}
	if (child->listening.awaited)
		look_if_portless(child, idle, serves && !notes);
	/* may another look find more? */
	had_some = child->listening.bound_by != 0 || child->listening.ports != 0;
	if ((child->trap.looks++ < LOOKS_MAX && had_some) || child->listening.awaited ||
		ports_expects(child) || (may_have_listening(child) && is_starting(child)))
		intercept_look_after(child, &child->trap.listening_by,
			child->trap.looks < 5 ? LOOK_WAIT << child->trap.looks : LISTEN_PATIENCE);
}

static void on_ready(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	const nsec_t until = clock_now() + TURN_SPAN;
	struct child *child;

	for_each_child (child, children_of_all(timer->data)) {
		const struct trapped *t = &child->trap;

		if (t->waits_by == 0 && t->listening_by == 0 && t->twins_by == 0 && t->late_by == 0)
			continue;
		startwait_look(child);
		look_if_ready(child);
		closed_look(child);
		if (clock_now() > until) { /* slow: the others in the next turn */
			timer_arm(loop, timer, 0);
			return;
		}
	}
}

/* Looks at the worker after that time, unless an earlier look is due. */
static void schedule_look(struct child *child, nsec_t wait)
{
	nsec_t by = nsec_add(clock_now(), wait);

	if (child->trap.known_to_listen || !makes_ready(child) ||
		(child->trap.listening_by != 0 && child->trap.listening_by <= by))
		return;
	intercept_look_after(child, &child->trap.listening_by, wait);
}

void listens_born(struct child *child)
{
	struct child *const *both = child->service->children[child->slot];

	if (child->trap.fd == -1)
		return;
	for (int k = 0; k < 2; k++)
		if (both[k] != NULL && both[k] != child)
			closed_forget(both[k], NULL);
	ports_expect(child);
	if (listens_is_passed(child) && child->service->accepting == NULL)
		child->listening.unproven = child->pid;
	child->listening.awaited = ready_mode_of(child) == READY_AUTO;
	if (may_have_listening(child))
		schedule_look(child, LOOK_WAIT);
	else if (child->listening.awaited && listens_is_passed(child))
		schedule_look(child, LISTEN_PATIENCE);
	else if (ports_expects(child) || child->listening.awaited)
		schedule_look(child, MISSING_PATIENCE);
}

void listens_bound(struct child *child, pid_t thread)
{
	child->listening.bound_by = thread;
	schedule_look(child, LOOK_WAIT);
}

/* The worker listens on an address that counts.  If it lacks another address, it may listen there
 * within a moment: looks again then. */
static void report_if_ready(struct child *child)
{
	if (!listens_on_all(child) || (!ports_expects(child) && ports_lacks_one(child)))
		schedule_look(child, LISTEN_PATIENCE);
	else
		conclude(child);
}

/* Is one of the numbers in the path's last name the worker's pid or tid?  The directories that lead
 * there are mostly those of all workers: their numbers may be a pid by chance. */
static bool is_private(const struct child *child, const char *text, pid_t tid)
{
	static const char digits[] = "0123456789";
	const char *slash = strrchr(text, '/');
	unsigned long number;
	char *end;

	if (slash != NULL)
		text = slash;
	while (*(text += strcspn(text, digits)) != '\0') {
		number = strtoul(text, &end, 10);
		if (number == (unsigned long)child->pid || number == (unsigned long)tid)
			return true;
		text = end;
	}
	return false;
}

/* A path on which a second worker listens is shared, so it counts now for the first worker, too,
 * which may be ready by it. */
static void report_all_ready(const struct service *service)
{
	struct child *child;

	for_each_child (child, children_of(service))
		if (!child->trap.known_to_listen && ports_any(child, false))
			report_if_ready(child);
}

static bool is_of_path(char c)
{
	return isalnum((unsigned char)c) || (c & 0x80) != 0 || (c != '\0' && strchr("/._-", c));
}

/* Is the path in the command as a whole, be it in a word?  Then all copies have it. */
static bool is_in_command(const struct child *child, const char *path)
{
	const struct strings *command = &cluster_settings(child->service->core)->command;
	const size_t len = strlen(path);

	for (size_t i = 0; i < command->count && len > 0; i++) {
		const char *word = command->list[i];

		for (const char *at = word; (at = strstr(at, path)) != NULL; at++)
			if ((at == word || !is_of_path(at[-1])) && !is_of_path(at[len]))
				return true;
	}
	return false;
}

static void note_unix(
	struct child *child, const char *text, pid_t tid, const struct socket_file *file)
{
	bool given = is_in_command(child, text + strlen("unix:"));

	if (!given && is_private(child, text, tid))
		return;
	/* a path that a process below the worker makes up is its own alone */
	if (ports_note(child, text, false, given) || tid == child->pid)
		paths_keep(child, text + strlen("unix:"), tid, file);
	if (ports_any(child, false))
		report_all_ready(child->service);
	else if (ready_mode_of(child) == READY_LISTEN || child->listening.awaited)
		schedule_look(child, LISTEN_PATIENCE);
}

static void note_listening(struct child *child, struct listener *l, pid_t tid)
{
	bool counts;

	if (l->learned)
		child->listening.listens |= UINT64_C(1) << l->bit;
	learned_note(child);
	if (l->address.kind == ADDRESS_UNIX && learned_only(l)) {
		note_unix(child, listener_text(l), tid, &l->file);
		return;
	}
	counts = note_port(child, l);
	closed_await(child);
	if (!learned_only(l))
		ports_tell(child, ports_bit(child->service, l));
	moment_uses(child, l, USE_LISTENS);
	log_shared(child);
	if (counts)
		report_if_ready(child);
}

void listens_note(struct child *child, struct listener *l)
{
	if (l != NULL) {
		note_listening(child, l, child->pid);
		return;
	}
	(void)ports_note(child, "", false, false);
	report_if_ready(child);
}

/* ---- the call ---- */

/* The sum of the backlogs that the workers would have had alone; the kernel takes no more than
 * net.core.somaxconn. */
static int sum_backlogs(const struct child *child, const struct listener *l, int asked)
{
	unsigned workers = cluster_wanted(child->service->core);

	if (!learned_only(l))
		return l->address.backlog;
	if (asked < 0 || workers == 0)
		return asked < 0 ? INT_MAX : asked;
	return asked <= INT_MAX / (int)workers ? asked * (int)workers : INT_MAX;
}

/* A process of the worker is to wait for clients now.  A spare whose call was held counts as ready in
 * any case: it takes over at once what waits for a worker that has died. */
static void note_call(struct child *child, pid_t tid)
{
	if (child->trap.gate_count == 0)
		child->listening.unproven = tid;
}

/* Leaves the call to the kernel; notes the path if it is for a unix socket. */
static void leave_call(struct child *child, const struct seccomp_notice *notice, struct remote *r)
{
	int trap = child->trap.fd;
	uint64_t inode = remote_inode(r, notice->fd);
	const struct listener *named = find_named_unix(child->service, inode);
	char text[160] = "unix:";
	struct socket_file file;
	bool known =
		(named != NULL ||
			remote_unix_path(r, notice->fd, text + 5, sizeof(text) - 5, &file) == 0) &&
		seccomp_waits(trap, notice->id);

	seccomp_continue(trap, notice->id);
	child->listening.own = inode;
	if (inode != 0)
		note_call(child, notice->tid);
	if (known && named != NULL) {
		note_port(child, named);
		report_if_ready(child);
	} else if (known && !takeover_is_daemons(child, notice->tid)) {
		note_unix(child, text, notice->tid, &file);
	}
}

bool listens_call(
	struct child *child, const struct seccomp_notice *notice, struct remote *r, bool last)
{
	int trap = child->trap.fd;
	struct listener *l = learned_by_inode(child->service, remote_inode(r, notice->fd));
	int backlog;

	if ((l != NULL || find_named_unix(child->service, remote_inode(r, notice->fd)) != NULL) &&
		spare_gate_keep(child, l, notice))
		return true;
	if (l == NULL || !seccomp_waits(trap, notice->id)) {
		leave_call(child, notice, r);
		return true;
	}
	/* nclust listens first, so that no worker's call succeeds too early */
	backlog = sum_backlogs(child, l, notice->backlog);
	if (group_listen(l, child->traffic.lane, backlog) == -1) {
		int error = errno;

		if (error == ETIMEDOUT && !last)
			return false;
		r->late |= error == ETIMEDOUT;
		seccomp_answer(trap, notice->id, error);
		return true;
	}
	heal_listening(l);
	l->address.backlog = backlog; /* for heal.c */
	learned_use(child, l, notice->tid);
	seccomp_answer(trap, notice->id, 0);
	note_call(child, notice->tid);
	note_listening(child, l, notice->tid);
	return true;
}

/* Is bind(2) the only sign by which a UDP server of this cluster shows that it is ready?  Not if
 * the cluster has a stream listener, or if a worker has opened a TCP port. */
static bool shows_by_udp(const struct service *service)
{
	return walk_find(l, listener_next, listeners_of(service, LISTENERS_ALL),
		       l->facts.type == SOCK_STREAM) == NULL &&
		!ports_any_tcp(service);
}

void listens_look(struct child *child, bool bound)
{
	if (bound && shows_by_udp(child->service))
		(void)ports_note(child, "", false, false);
	/* the worker may listen as well, a moment later */
	if (ports_any(child, false))
		schedule_look(child, LISTEN_PATIENCE);
}

/* ---- life ---- */

void listens_recall(struct child *child)
{
	const struct listener_set *set = &child->service->sockets.learned;
	bool known = child->listening.ports != 0;

	for (size_t i = 0; !known && i < set->count; i++)
		if ((child->listening.listens >> set->list[i]->bit & 1) != 0)
			note_port(child, set->list[i]);
	/* an earlier nclust may not have noted which ports it had at first */
	if (child->listening.lasting == 0)
		child->listening.lasting = child->listening.ports;
}

void listens_resume(struct child *child)
{
	listens_recall(child); /* the old version may have carried none */
	closed_await(child);
	if (listens_is_held(child))
		child->trap.listening_by = clock_now();
	if (child->trap.listening_by != 0)
		arm_ready_timer(child, child->trap.listening_by);
}

void listens_init(struct supervisor *sup)
{
	timer_init(&sup->intercept.ready, on_ready, sup);
}
