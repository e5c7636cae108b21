/* SPDX-License-Identifier: MIT */
#include "supervisor/intercept/intercept.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/privilege.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/intercept/listens.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/intercept/takeover.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- what can be done here ---- */

/* Duplicating a descriptor of nclust's own fails only if the call itself is refused. */
static enum intercept_way find_way(void)
{
	struct remote ourselves = {.tid = getpid()};
	scoped_fd fd = remote_fd(&ourselves, STDERR_FILENO);

	return fd != -1 || errno == EBADF ? WAY_ADOPT : WAY_REPLACE;
}

static bool is_trap_required(const struct cluster_settings *settings)
{
	return settings->intercept == INTERCEPT_ON || settings->ready == READY_LISTEN;
}

/* Fills in the trap of workers that are spawned; false: their calls are not trapped. */
static bool fill_trap(struct service *service, const struct cluster_settings *settings)
{
	struct supervisor *sup = service->sup;
	struct intercept *in = &sup->intercept;

	if (settings->intercept == INTERCEPT_OFF || settings->accept ||
		(in->way == WAY_NONE && !is_trap_required(settings)))
		return false;
	if (in->way == WAY_UNKNOWN)
		in->way = find_way();
	in->trap.privileged = privilege_has(CAP_SYS_ADMIN);
	in->trap.which = in->way == WAY_REPLACE ? SECCOMP_BINDS_V6ONLY : SECCOMP_BINDS;
	in->trap.must = is_trap_required(settings);
	return true;
}

/* Is the machine the cause, so that each worker will get the same error? */
static bool is_permanent(int error)
{
	return error == EBUSY || error == EINVAL || error == ENOSYS || error == EPERM ||
		error == EACCES;
}

static void log_impossible(struct supervisor *sup, int error)
{
	const char *why = strerror(error);

	if (error == EBUSY)
		why = "another supervisor above this one does so already "
		      "(nclust in nclust, a container manager)";
	else if (error == EINVAL || error == ENOSYS)
		why = "the kernel, or a sandbox in its place, has no seccomp "
		      "notifications";
	else if (error == EPERM || error == EACCES)
		why = "seccomp is refused here";
	news_say(sup, LOG_WARN, "listening",
		"ports that workers bind by themselves cannot be taken over: "
		"%s; workers that take their socket from LISTEN_FDS are not "
		"affected",
		why);
	sup->intercept.way = WAY_NONE;
}

/* ---- receiving calls ---- */

void intercept_check_late(struct child *child, const struct remote *r)
{
	if (!r->late || child->trap.hostile)
		return;
	child->trap.hostile = true;
	log_worker(child, LOG_WARN,
		"process %d cannot be looked at in time: "
		"nclust leaves its calls alone",
		(int)r->tid);
}

static allowance_rest rest_or_go_on;

/* Watches for the child's next call, unless a call waits or the child has used up its allowance. */
static void await_call(struct child *child)
{
	if (child->trap.fd != -1 && child->trap.call == NULL &&
		!allowance_rests(child, rest_or_go_on) &&
		childset_add(child, CHILD_TRAP, child->trap.fd) == -1)
		log_worker(child, LOG_ERROR, "cannot watch its calls: %s", strerror(errno));
}

static void rest_or_go_on(struct child *child, bool over)
{
	if (over)
		await_call(child);
	else
		childset_remove(child, child->trap.fd);
}

void intercept_charge(struct child *child, nsec_t begun)
{
	if (child->trap.fd != -1)
		allowance_end(child, rest_or_go_on, begun, "calls bind(2) and listen(2)");
}

static void note_v6only(struct child *child, const struct seccomp_notice *notice, struct remote *r)
{
	int on;

	child->trap.v6only_known =
		notice->size >= sizeof(on) && remote_read(r, notice->at, &on, sizeof(on)) == 0;
	child->trap.v6only = child->trap.v6only_known && on != 0;
	child->trap.v6only_fd = notice->fd;
	seccomp_continue(child->trap.fd, notice->id);
}

/* False: the call is to be answered later, as listens_call() says. */
static bool answer_call(struct child *child, struct seccomp_notice *notice, bool last)
{
	int trap = child->trap.fd;
	struct remote r;
	bool answered = true;

	/* tid 0: the thread is in a pid namespace that nclust cannot see */
	if (child->trap.hostile || notice->tid == 0) {
		seccomp_continue(trap, notice->id);
		return true;
	}
	remote_of(&r, notice->tid);
	if (notice->call == SECCOMP_ARGUMENTS) {
		uint32_t words[SECCOMP_ARGUMENTS_MAX] = {0};

		if (remote_read(&r, notice->at, words, notice->size) == 0)
			seccomp_arguments(notice, words);
	}
	if (notice->call == SECCOMP_ARGUMENTS || !seccomp_waits(trap, notice->id))
		seccomp_continue(trap, notice->id);
	else if (notice->call == SECCOMP_BIND)
		takeover_bind(child, notice, &r);
	else if (notice->call == SECCOMP_LISTEN)
		answered = listens_call(child, notice, &r, last);
	else
		note_v6only(child, notice, &r);
	intercept_check_late(child, &r);
	return answered;
}

/* ---- answering calls ---- */

struct trapped_call {
	struct seccomp_notice notice;
	nsec_t last_at; /* when to answer it in any case; 0: it was not tried yet */
	nsec_t due;     /* when to try again */
};

/* If nclust's own listen(2) takes too long, nclust tries again for AGAIN_FOR: the process that holds
 * the socket's lock may be waiting for a CPU or for a slow disk. */
#define AGAIN (200 * MSEC)
#define AGAIN_FOR (10 * SECOND)

static void answer_one(struct child *child, bool last)
{
	nsec_t begun = allowance_begin();
	nsec_t now = clock_now();
	struct trapped_call *call = child->trap.call;

	child->trap.call = NULL;
	last |= call->last_at != 0 && now >= call->last_at;
	if (answer_call(child, &call->notice, last)) {
		free(call);
	} else {
		if (call->last_at == 0)
			call->last_at = now + AGAIN_FOR;
		call->due = now + AGAIN;
		child->trap.call = call;
	}
	intercept_charge(child, begun);
	await_call(child);
}

void intercept_on_verb(struct supervisor *sup, const struct verb_step *verb)
{
	struct child *child;

	if (verb->method != METHOD_UPGRADE || !verb->begins)
		return;
	for_each_child (child, children_of_all(sup))
		if (child->trap.call != NULL)
			answer_one(child, true);
}

/* All calls of a turn are received before any is answered, because until nclust has received it a
 * signal makes the call fail, which no program expects of bind(2).  After a slow answer the others
 * wait for the next turn. */
static void on_answer(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	nsec_t next = NSEC_NEVER;
	struct child *child;
	bool slow = false;

	for_each_child (child, children_of_all(timer->data)) {
		nsec_t now = clock_now();

		if (child->trap.call != NULL && child->trap.call->due <= now && !slow) {
			answer_one(child, false);
			slow = clock_now() - now > TURN_SPAN;
		}
		if (child->trap.call != NULL)
			next = nsec_min(next, child->trap.call->due);
	}
	if (next != NSEC_NEVER)
		timer_arm(loop, timer, next - clock_now());
}

/* Receives the next call; or NULL.  A call that was seen may be gone by now, and to receive it
 * would block until the next call.  So poll again. */
static struct trapped_call *receive_call(struct child *child)
{
	struct pollfd ready = {.fd = child->trap.fd, .events = POLLIN};
	struct trapped_call *call = NULL;
	int got;

	if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0)
		call = calloc(1, sizeof(*call));
	if (call == NULL)
		return NULL;
	got = seccomp_receive(child->trap.fd, &call->notice);
	if (got == 1)
		return call;
	if (got == -1)
		log_worker(child, LOG_ERROR, "cannot receive its calls: %s", strerror(errno));
	free(call);
	return NULL;
}

void intercept_hear(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	struct trapped_call *call;

	if (child->trap.call != NULL)
		return;
	call = receive_call(child);
	if (call == NULL) {
		if (!child_has_left_trap(child))
			await_call(child);
		return;
	}
	child->trap.call = call;
	ev_feed_event(sup->loop, &sup->intercept.answer_timer, EV_CUSTOM);
}

/* ---- life ---- */

/* The spawn has succeeded: watches the child's calls, or logs why nclust cannot. */
static void watch_calls(struct child *child, struct spawn_trap *trap)
{
	struct supervisor *sup = child->service->sup;

	if (trap == NULL)
		return;
	if (trap->fd == -1) {
		if (is_permanent(trap->error))
			log_impossible(sup, trap->error);
		else if (trap->error != EPROTO) /* killed early */
			log_worker(child, LOG_WARN, "its port cannot be taken over: %s",
				strerror(trap->error));
		return;
	}
	if (sup->intercept.way == WAY_REPLACE && once_say(sup->said, ONCE_OWN_FILTER))
		log_note("pidfd_open or pidfd_getfd is refused here (a "
			 "container's seccomp profile?): nclust replaces the "
			 "sockets of workers by "
			 "its own, without the options that they set before "
			 "bind (CAP_SYS_PTRACE avoids this)");
	child->trap.fd = fd_release(&trap->fd);
	await_call(child);
}

void intercept_on_gone(struct child *child)
{
	free(child->life.waits);
	child->life.waits = NULL;
	serves_drop(child);
	learned_forget_worker(child);
	free(child->trap.gate);
	child->trap.gate = NULL;
	if (child->trap.fd == -1)
		return;
	free(child->trap.call);
	allowance_stop(child, rest_or_go_on);
	childset_remove(child, child->trap.fd);
	fd_close(&child->trap.fd);
}

/*
 * The socket that nclust has put into the worker's table has taken the place of another descriptor,
 * and the thread that closes that descriptor hangs, with the lock of its trap
 * (seccomp_do_user_notification() of the kernel).  To answer a call of the trap, or only to poll
 * it, would wait for the lock: so the trap leaves the epoll set, and a child closes it.
 */
void intercept_kill_hung(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	int trap = child->trap.fd;

	log_worker(child, LOG_WARN,
		"killing worker %d: it replaced the socket that it binds by "
		"a descriptor that cannot be closed",
		(int)child->pid);
	child->trap.hostile = true;
	allowance_stop(child, rest_or_go_on);
	childset_remove(child, trap);
	child->trap.fd = -1;
	async_close(sup, child, &trap);
	child_flag(child, STATE_HUNG, true); /* the keeper has a duplicate */
	child_kill_group(child, SIGKILL);
}

void intercept_on_prepare(struct child *child, struct birth *birth)
{
	if (fill_trap(child->service, birth->place.recipe->settings)) {
		birth->trap = child->service->sup->intercept.trap;
		birth->plan.trap = &birth->trap;
	}
}

void intercept_on_born(struct child *child, struct birth *birth)
{
	watch_calls(child, birth->plan.trap);
	if (child->trap.fd != -1)
		child_flag(child, STATE_TRAPPED, true);
	listens_born(child);
	startwait_born(child);
}

void intercept_init(struct supervisor *sup)
{
	timer_init(&sup->intercept.answer_timer, on_answer, sup);
	ev_set_priority(&sup->intercept.answer_timer, EV_MINPRI);
	learned_init(sup);
	listens_init(sup);
}

void intercept_on_adopt(struct child *child, struct worker_fds *fds)
{
	struct service *service = child->service;
	struct spawn_trap trap = {.fd = fd_release(&fds->trap)};

	if (trap.fd != -1 && service->sup->intercept.way == WAY_UNKNOWN)
		(void)fill_trap(service, cluster_settings(service->core));
	if (trap.fd != -1 && (fds->entry->flags & STATE_HUNG) == 0)
		watch_calls(child, &trap);
	fd_close(&trap.fd);
	/* its call was held by an nclust that is gone: nobody can answer the call */
	if ((fds->entry->flags & STATE_GATED) != 0)
		(void)pidfd_signal(child->pidfd, SIGKILL);
	listens_recall(child);
}

void intercept_on_go_on(struct supervisor *sup)
{
	struct child *child;

	for_each_child (child, children_of_all(sup)) {
		await_call(child);
		listens_resume(child);
	}
	for (size_t i = 0; i < sup->service_count; i++)
		learned_resume(sup->services[i]);
}
