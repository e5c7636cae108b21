/* SPDX-License-Identifier: MIT */
#include "logger/sink.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define STACK_SIZE ((size_t)64 * 1024)

struct offload_thread {
	struct offload_thread *next; /* of all threads */
	struct offload *of;
	sem_t begins;
	struct sink *sink; /* whose output it writes; NULL: it is idle */
	size_t len;
	ssize_t got;
	int error;
	_Atomic bool returns; /* the call has returned */
};

static void *write_output(void *argument)
{
	struct offload_thread *self = argument;

	for (;;) {
		while (sem_wait(&self->begins) == -1)
			continue;
		self->got = write(
			self->sink->file.fd, self->sink->out.data + self->sink->head, self->len);
		self->error = errno;
		self->returns = true;
		ev_async_send(self->of->loop, &self->of->returned);
	}
	return NULL;
}

static bool start_thread(struct offload_thread *thread)
{
	pthread_attr_t attr;
	pthread_t id;
	bool started;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	started = pthread_create(&id, &attr, write_output, thread) == 0;
	(void)pthread_attr_destroy(&attr);
	return started;
}

/* An idle thread, or a new one; NULL: out of memory. */
static struct offload_thread *find_idle(struct offload *o)
{
	struct offload_thread *thread = o->threads;

	while (thread != NULL && thread->sink != NULL)
		thread = thread->next;
	if (thread != NULL)
		return thread;
	thread = calloc(1, sizeof(*thread));
	if (thread == NULL)
		return NULL;
	thread->of = o;
	(void)sem_init(&thread->begins, 0, 0);
	if (!start_thread(thread)) {
		free(thread);
		return NULL;
	}
	thread->next = o->threads;
	o->threads = thread;
	return thread;
}

bool offload_write(struct offload *o, struct sink *sink, size_t len)
{
	struct offload_thread *thread = find_idle(o);

	if (thread == NULL)
		return false;
	o->busy++;
	thread->sink = sink;
	thread->len = len;
	(void)sem_post(&thread->begins);
	return true;
}

static void on_returned(struct ev_loop *loop, ev_async *watcher, int revents)
{
	struct offload *o = watcher->data;

	(void)loop;
	(void)revents;
	for (struct offload_thread *t = o->threads; t != NULL; t = t->next) {
		struct sink *sink = t->sink;

		if (!t->returns)
			continue;
		t->returns = false;
		t->sink = NULL;
		o->busy--;
		sink_written(sink, t->got, t->error);
	}
}

void offload_init(struct offload *o, struct ev_loop *loop)
{
	o->loop = loop;
	ev_async_init(&o->returned, on_returned);
	o->returned.data = o;
	ev_async_start(loop, &o->returned);
}
