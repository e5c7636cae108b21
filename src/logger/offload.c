/* SPDX-License-Identifier: MIT */
#include "logger/offload.h"

#include "base/scope.h"
#include "os/process.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_NS 10000000 /* a read or a close normally does not sleep */

/* A thread has no call; one that the loop waits for; one that it does not wait for, or no more; or
 * such a call has returned. */
enum state { IS_IDLE, IS_AWAITED, IS_LEFT, HAS_RETURNED };

struct offload_thread {
	struct offload_thread *next; /* of all threads */
	struct offload *of;
	_Atomic uint32_t state;
	_Atomic pid_t tid; /* 0: it does not run yet */
	struct offload_call call;
};

/* ---- in the thread ---- */

/* Wake who waits, or wait while the state is that one. false: that has taken `most`. */
static bool futex(_Atomic uint32_t *state, int op, uint32_t value, const struct timespec *most)
{
	return syscall(SYS_futex, state, op, value, most, NULL, 0) != -1 || errno != ETIMEDOUT;
}

void offload_make(struct offload_call *call)
{
	call->got = call->make(call);
	call->error = errno;
}

static void *serve_calls(void *argument)
{
	struct offload_thread *self = argument;
	char data[OFFLOAD_DATA];

	self->tid = (pid_t)syscall(SYS_gettid);
	for (;;) {
		uint32_t state;

		while ((state = self->state) != IS_AWAITED && state != IS_LEFT)
			(void)futex(&self->state, FUTEX_WAIT_PRIVATE, state, NULL);
		self->call.data = data;
		offload_make(&self->call);
		state = IS_AWAITED;
		if (atomic_compare_exchange_strong(&self->state, &state, IS_IDLE)) {
			(void)futex(&self->state, FUTEX_WAKE_PRIVATE, 1, NULL);
			continue;
		}
		self->state = HAS_RETURNED;
		ev_async_send(self->of->loop, &self->of->returned);
	}
	return NULL;
}

/* ---- in the loop ---- */

/* Give the call to an idle thread, or a new one; NULL: out of memory. */
static struct offload_thread *give_call(
	struct offload *o, const struct offload_call *call, enum state state)
{
	struct offload_thread *thread = list_find(t, o->threads, t->state == IS_IDLE);
	pthread_t id;

	if (thread == NULL) {
		thread = calloc(1, sizeof(*thread));
		if (thread == NULL)
			return NULL;
		thread->of = o;
		if (pthread_create(&id, NULL, serve_calls, thread) != 0) {
			free(thread);
			return NULL;
		}
		thread->next = o->threads;
		o->threads = thread;
	}
	thread->call = *call;
	thread->state = state;
	(void)futex(&thread->state, FUTEX_WAKE_PRIVATE, 1, NULL);
	return thread;
}

bool offload_begin(struct offload *o, const struct offload_call *call)
{
	bool begun = give_call(o, call, IS_LEFT) != NULL;

	o->busy += begun;
	return begun;
}

bool offload_run(struct offload *o, struct offload_call *call)
{
	const struct timespec patience = {.tv_nsec = PATIENCE_NS};
	struct offload_thread *thread = give_call(o, call, IS_AWAITED);
	uint32_t state;

	if (thread == NULL) {
		offload_make(call);
		return true;
	}
	while ((state = thread->state) == IS_AWAITED)
		if (!futex(&thread->state, FUTEX_WAIT_PRIVATE, IS_AWAITED, &patience) &&
			thread->tid != 0 && !process_is_runnable(thread->tid) &&
			atomic_compare_exchange_strong(&thread->state, &state, IS_LEFT)) {
			o->busy++;
			return false;
		}
	*call = thread->call;
	return true;
}

static void on_returned(struct ev_loop *loop, ev_async *watcher, int revents UNUSED)
{
	struct offload *o = watcher->data;

	for (struct offload_thread *t = o->threads; t != NULL; t = t->next) {
		const struct offload_call call = t->call;

		if (t->state != HAS_RETURNED)
			continue;
		o->busy--;
		t->state = IS_IDLE;
		call.returned(loop, &call);
	}
}

void offload_init(struct offload *o, struct ev_loop *loop)
{
	o->loop = loop;
	ev_async_init(&o->returned, on_returned);
	o->returned.data = o;
	ev_async_start(loop, &o->returned);
}
