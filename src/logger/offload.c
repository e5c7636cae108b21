/* SPDX-License-Identifier: MIT */
#include "logger/sink.h"

#include "base/scope.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* None of these calls normally sleeps. */
#define PATIENCE_NS 100000000
#define STACK_SIZE ((size_t)64 * 1024)

/* What a thread does: nothing; a call that the loop waits for; a call that it does not wait for, or
 * no more; and such a call has returned. */
enum state { IS_IDLE, IS_AWAITED, IS_LEFT, HAS_RETURNED };

struct offload_thread {
	struct offload_thread *next; /* of all threads */
	struct offload *of;
	_Atomic uint32_t state;
	_Atomic pid_t tid;
	struct offload_call call;
	char data[OFFLOAD_DATA];
};

/* ---- in the thread ---- */

/* Wait until *state changes. false: that has taken `most`. */
static bool wait_while(_Atomic uint32_t *state, uint32_t is, const struct timespec *most)
{
	return syscall(SYS_futex, state, FUTEX_WAIT_PRIVATE, is, most, NULL, 0) == 0 ||
		errno != ETIMEDOUT;
}

static void wake_waiter(_Atomic uint32_t *state)
{
	(void)syscall(SYS_futex, state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void make_call(struct offload_call *call)
{
	switch (call->kind) {
	case OFFLOAD_CLOSE:
		call->got = close(call->fd);
		break;
	case OFFLOAD_READ:
		call->got = read(call->fd, call->data, call->len);
		break;
	case OFFLOAD_WRITE:
		call->got = write(call->fd, call->from, call->len);
		break;
	case OFFLOAD_WINSIZE:
		call->got = ioctl(call->fd, TIOCSWINSZ, &call->size);
		break;
	}
	call->error = errno;
}

static void *serve_calls(void *argument)
{
	struct offload_thread *self = argument;

	self->tid = (pid_t)syscall(SYS_gettid);
	for (;;) {
		uint32_t state;

		while ((state = self->state) != IS_AWAITED && state != IS_LEFT)
			(void)wait_while(&self->state, state, NULL);
		make_call(&self->call);
		state = IS_AWAITED;
		if (atomic_compare_exchange_strong(&self->state, &state, IS_IDLE)) {
			wake_waiter(&self->state);
			continue;
		}
		self->state = HAS_RETURNED;
		ev_async_send(self->of->loop, &self->of->returned);
	}
	return NULL;
}

/* ---- in the loop ---- */

static bool start_thread(struct offload_thread *thread)
{
	pthread_attr_t attr;
	pthread_t id;
	bool started;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	started = pthread_create(&id, &attr, serve_calls, thread) == 0;
	(void)pthread_attr_destroy(&attr);
	return started;
}

/* An idle thread, or a new one; NULL: out of memory. */
static struct offload_thread *find_idle(struct offload *o)
{
	struct offload_thread *thread = o->threads;

	while (thread != NULL && thread->state != IS_IDLE)
		thread = thread->next;
	if (thread != NULL)
		return thread;
	thread = malloc(sizeof(*thread));
	if (thread == NULL)
		return NULL;
	thread->of = o;
	thread->state = IS_IDLE;
	thread->tid = 0; /* set when the thread runs */
	if (!start_thread(thread)) {
		free(thread);
		return NULL;
	}
	thread->next = o->threads;
	o->threads = thread;
	return thread;
}

/* false: the call hangs. */
static bool has_returned(struct offload_thread *thread)
{
	const struct timespec patience = {.tv_nsec = PATIENCE_NS};
	uint32_t state = IS_AWAITED;

	while (thread->state == IS_AWAITED)
		if (!wait_while(&thread->state, IS_AWAITED, &patience) && thread->tid != 0 &&
			!process_is_runnable(thread->tid) &&
			atomic_compare_exchange_strong(&thread->state, &state, IS_LEFT))
			return false;
	return true;
}

static void give_call(
	struct offload_thread *thread, const struct offload_call *call, enum state state)
{
	thread->call = *call;
	thread->call.data = thread->data;
	thread->state = state;
	wake_waiter(&thread->state);
}

bool offload_begin(struct offload *o, const struct offload_call *call)
{
	struct offload_thread *thread = find_idle(o);

	if (thread == NULL)
		return false;
	o->stuck++;
	give_call(thread, call, IS_LEFT);
	return true;
}

ssize_t offload_run(struct offload *o, struct offload_call *call)
{
	struct offload_thread *thread = call->is_safe ? NULL : find_idle(o);

	if (thread == NULL) {
		call->data = o->data;
		make_call(call);
	} else {
		give_call(thread, call, IS_AWAITED);
		if (!has_returned(thread)) {
			o->stuck++;
			errno = EINPROGRESS;
			return -1;
		}
		*call = thread->call;
	}
	errno = call->error;
	return call->got;
}

void offload_close(struct offload *o, int *fd, bool is_safe)
{
	struct offload_call call = {
		.kind = OFFLOAD_CLOSE,
		.fd = fd_release(fd),
		.is_safe = is_safe,
	};

	if (call.fd != -1 && (is_safe || o->stuck < OFFLOAD_MOST))
		(void)offload_run(o, &call);
}

static void on_returned(struct ev_loop *loop, ev_async *watcher, int revents)
{
	struct offload *o = watcher->data;

	(void)revents;
	for (struct offload_thread *t = o->threads; t != NULL; t = t->next) {
		if (t->state != HAS_RETURNED)
			continue;
		o->stuck--;
		if (t->call.goes_on != NULL)
			t->call.goes_on(loop, &t->call);
		t->state = IS_IDLE;
	}
}

void offload_init(struct offload *o, struct ev_loop *loop)
{
	o->loop = loop;
	ev_async_init(&o->returned, on_returned);
	o->returned.data = o;
	ev_async_start(loop, &o->returned);
}
