/* SPDX-License-Identifier: MIT */
#include "logger/relay.h"

#include "base/scope.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* None of these calls sleeps, if all is well. */
#define PATIENCE_NS 100000000
#define STACK_SIZE ((size_t)256 * 1024)

static void *stand_by(void *argument);

/* ---- threads ---- */

static struct relay_runner *make_runner(struct relay *r)
{
	struct relay_runner *runner = malloc(sizeof(*runner));

	if (runner == NULL)
		return NULL;
	runner->relay = r;
	runner->peek[0] = runner->peek[1] = -1;
	runner->call = (struct relay_call){.data = runner->data};
	return runner;
}

static bool start_thread(struct relay *r)
{
	struct relay_runner *runner = make_runner(r);
	pthread_attr_t attr;
	pthread_t thread;
	bool started;

	if (runner == NULL)
		return false;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	started = pthread_create(&thread, &attr, stand_by, runner) == 0;
	(void)pthread_attr_destroy(&attr);
	if (!started)
		free(runner);
	return started;
}

/* Will somebody watch when who watches takes over? */
static bool has_next(struct relay *r)
{
	bool has;

	(void)pthread_mutex_lock(&r->lock);
	has = r->spare > 0;
	if (has)
		r->spare--;
	(void)pthread_mutex_unlock(&r->lock);
	return has || start_thread(r);
}

/* Nothing happens: sleep until the next call. */
static void sleep_well(struct relay *r, unsigned long seen)
{
	(void)pthread_mutex_lock(&r->lock);
	r->asleep = true;
	while (r->asleep && r->turn == seen)
		(void)pthread_cond_wait(&r->wake, &r->lock);
	r->asleep = false;
	(void)pthread_mutex_unlock(&r->lock);
}

/* Returns when a call hangs, which is no longer the loop's then. */
static void watch(struct relay *r)
{
	const struct timespec patience = {.tv_nsec = PATIENCE_NS};
	unsigned long seen;
	bool next = false;

	for (;;) {
		seen = r->turn;
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &patience, NULL);
		if (r->turn != seen)
			continue;
		if (seen % 2 == 0) {
			sleep_well(r, seen);
			continue;
		}
		if (process_is_runnable(r->running->tid))
			continue;
		next = next || has_next(r);
		if (next && atomic_compare_exchange_strong(&r->turn, &seen, seen + 1))
			return;
	}
}

static struct relay_runner *next_back(struct relay *r)
{
	struct relay_runner *runner;

	(void)pthread_mutex_lock(&r->lock);
	runner = r->back;
	if (runner != NULL)
		r->back = runner->next;
	(void)pthread_mutex_unlock(&r->lock);
	return runner;
}

static void take_back(struct relay *r)
{
	struct relay_runner *runner;

	/* one at a time: if that hangs again, the next thread takes the others */
	while ((runner = next_back(r)) != NULL) {
		r->stuck--;
		if (runner->call.about != NULL)
			r->goes_on(r->owner, &runner->call);
	}
}

static void take_over(struct relay_runner *self)
{
	struct relay *r = self->relay;
	const struct relay_call *call;

	(void)pthread_mutex_lock(&r->post);
	watch(r);
	call = &r->running->call;
	r->running = self;
	r->stuck++;
	(void)pthread_mutex_unlock(&r->post);
	if (call->about != NULL)
		r->hangs(r->owner, call);
	take_back(r); /* before that thread has another turn */
	r->serve(r->owner);
	_exit(0);
}

static void *stand_by(void *argument)
{
	struct relay_runner *self = argument;

	self->tid = (pid_t)syscall(SYS_gettid);
	(void)setjmp(self->base);
	take_over(self);
	return NULL;
}

/* The call has returned, but the loop is another thread's by now. */
static _Noreturn void come_back(struct relay_runner *self)
{
	struct relay *r = self->relay;

	(void)pthread_mutex_lock(&r->lock);
	self->next = r->back;
	r->back = self;
	r->spare++;
	(void)pthread_mutex_unlock(&r->lock);
	ev_async_send(r->loop, &r->returned);
	longjmp(self->base, 1);
}

static void on_returned(struct ev_loop *loop, ev_async *watcher, int revents)
{
	(void)loop;
	(void)revents;
	take_back(watcher->data);
}

/* ---- calls ---- */

static unsigned long begin(struct relay *r, enum relay_kind kind, void *about)
{
	unsigned long turn;

	if (!r->on)
		return 0;
	r->running->call.kind = kind;
	r->running->call.about = about;
	turn = ++r->turn;
	if (r->asleep) {
		(void)pthread_mutex_lock(&r->lock);
		r->asleep = false;
		(void)pthread_cond_signal(&r->wake);
		(void)pthread_mutex_unlock(&r->lock);
	}
	return turn;
}

static ssize_t end(struct relay_runner *self, unsigned long turn, ssize_t got)
{
	if (turn == 0 || atomic_compare_exchange_strong(&self->relay->turn, &turn, turn + 1))
		return got;
	self->call.got = got;
	self->call.error = errno;
	if (self->call.kind == RELAY_PEEK && got > 0)
		self->call.got = read(self->peek[0], self->data, (size_t)got);
	come_back(self);
}

ssize_t relay_read(struct relay *r, void *about, int fd, size_t len, bool by_pieces)
{
	struct relay_runner *self = r->running;
	unsigned long turn = begin(r, RELAY_READ, about);
	ssize_t all = read(fd, self->data, len);
	ssize_t n = all;

	while (by_pieces && n > 0 && (size_t)all < len) {
		n = read(fd, self->data + all, len - (size_t)all);
		all += n > 0 ? n : 0;
	}
	return end(self, turn, all);
}

ssize_t relay_write(struct relay *r, void *about, int fd, const char *data, size_t len)
{
	struct relay_runner *self = r->running;
	unsigned long turn = begin(r, RELAY_WRITE, about);

	return end(self, turn, write(fd, data, len));
}

/* Not to a pipe that others have: tee(2) waits for one lock while it holds the
 * other one. */
ssize_t relay_peek(struct relay *r, void *about, int fd)
{
	struct relay_runner *self = r->running;
	unsigned long turn;

	if (self->peek[0] == -1 && pipe2(self->peek, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	turn = begin(r, RELAY_PEEK, about);
	return end(self, turn, tee(fd, self->peek[1], RELAY_DATA, SPLICE_F_NONBLOCK));
}

int relay_ioctl(struct relay *r, void *about, int fd, unsigned long request)
{
	struct relay_runner *self = r->running;
	unsigned long turn = begin(r, RELAY_IOCTL, about);

	return (int)end(self, turn, ioctl(fd, request, self->data));
}

void relay_close(struct relay *r, int *fd)
{
	size_t room = r->closing_room > 0 ? 2 * r->closing_room : 64;
	int *list = r->closing;

	if (*fd == -1)
		return;
	if (r->on && r->closing_count == r->closing_room) {
		list = realloc(list, room * sizeof(*list));
		if (list != NULL) {
			r->closing = list;
			r->closing_room = room;
		}
	}
	if (r->on && list != NULL)
		r->closing[r->closing_count++] = fd_release(fd);
	else
		fd_close(fd);
}

void relay_close_all(struct relay *r)
{
	while (r->closing_count > 0 && r->stuck < RELAY_MOST) {
		int fd = r->closing[--r->closing_count];
		struct relay_runner *self = r->running;
		unsigned long turn = begin(r, RELAY_CLOSE, NULL);

		(void)end(self, turn, close(fd));
	}
}

/* ---- life ---- */

int relay_init(struct relay *r, struct ev_loop *loop)
{
	r->loop = loop;
	r->running = make_runner(r);
	if (r->running == NULL)
		return -1;
	(void)pthread_mutex_init(&r->post, NULL);
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_cond_init(&r->wake, NULL);
	ev_async_init(&r->returned, on_returned);
	r->returned.data = r;
	return 0;
}

void relay_fini(struct relay *r)
{
	fd_close(&r->running->peek[0]);
	fd_close(&r->running->peek[1]);
	free(r->running);
}

void relay_run(struct relay *r)
{
	struct relay_runner *self = r->running;

	self->tid = (pid_t)syscall(SYS_gettid);
	if (setjmp(self->base) != 0)
		take_over(self);
	r->serve(r->owner);
}

void relay_watch(struct relay *r)
{
	if (r->on || !start_thread(r))
		return;
	ev_async_start(r->loop, &r->returned);
	r->on = true;
}
