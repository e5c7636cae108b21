/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "base/buffer.h"
#include "base/scope.h"
#include "os/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MOST 1024
#define DESCRIPTORS_MOST 32768

/* ---- descriptors ---- */

struct table {
	remote_wanted *is_listener;
	const void *context;
	bool read;
	int error;
	struct remote_table has; /* its listeners */
};

/* Read the table once in a look, and only where it matters: a process may have thousands of
 * descriptors. */
static void read_table(struct remote *r, struct table *t)
{
	if (t->read)
		return;
	t->read = true;
	if (remote_read_table(r, DESCRIPTORS_MOST, t->is_listener, t->context, &t->has) == -1)
		t->error = errno;
}

static bool has_listener(struct remote *r, const struct remote_table *has, int epoll)
{
	return array_find(socket, has->sockets, has->socket_count,
		       remote_epoll_has(r, epoll, *socket)) != NULL;
}

/* May this epoll set report a connection?  Not if another set of the process has the listener. */
static bool may_bring_one(struct remote *r, struct table *t, int epoll)
{
	const struct remote_table *has = &t->has;

	read_table(r, t);
	return has_listener(r, has, epoll) ||
		array_find(other, has->epolls, has->epoll_count,
			*other != epoll && has_listener(r, has, *other) &&
				!remote_epoll_has(r, epoll, *other)) == NULL;
}

/* ---- threads ---- */

static bool may_await(struct remote *thread, struct remote *process, struct table *t, bool *denied)
{
	int fd = -1;
	long call = remote_call(thread, &fd);
	unsigned kind = remote_call_kind(call);

	if (call == -2)
		*denied |= errno == EACCES || errno == EPERM;
	return (kind & CALL_AWAITS) != 0 ||
		((kind & CALL_EPOLL) != 0 && may_bring_one(process, t, fd));
}

struct search {
	struct remote *process;
	struct table table;
	bool *denied;
	bool found;
	unsigned threads; /* how many threads were looked at */
};

static bool look_at_thread(void *context, pid_t tid)
{
	struct search *s = context;
	struct remote thread = *s->process;

	thread.tid = tid;
	s->found = may_await(&thread, s->process, &s->table, s->denied);
	return ++s->threads == THREADS_MOST || s->found;
}

enum awaits waits_for_client(
	struct remote *process, remote_wanted *is_listener, const void *context, bool *denied)
{
	struct search s = {
		.process = process,
		.table = {.is_listener = is_listener, .context = context},
		.denied = denied,
	};
	char state = process_state(process->tid);

	if (state == '\0')
		return AWAITS_UNKNOWN;
	/* /proc shows of a stopped thread the system call that it was stopped in */
	if (state != 'T')
		(void)process_each(process->tid, look_at_thread, &s);
	if (s.threads == THREADS_MOST)
		return AWAITS_UNKNOWN;
	if (s.found)
		return AWAITS_CONNECTION;
	read_table(process, &s.table);
	*denied |= s.table.error == EACCES || s.table.error == EPERM;
	return s.table.has.socket_count > 0 ? AWAITS_NOTHING : AWAITS_UNKNOWN;
}

/* ---- what has finished ---- */

struct finished {
	struct remote process;
	uint64_t inode;
	bool at_work;
};

/* A loop has an eventfd, for signals a pipe of its own, and perhaps an io_uring. */
static bool is_of_loop(const struct finished *f, int fd)
{
	struct remote r = f->process;
	char target[64];

	return remote_target(&r, fd, target, sizeof(target)) == 0 &&
		(strncmp(target, "anon_inode:[eventfd", 19) == 0 ||
			strncmp(target, "anon_inode:[io_uring", 20) == 0 ||
			strncmp(target, "pipe:", 5) == 0 ||
			remote_socket_inode(target) == f->inode);
}

static bool is_at_work(void *context, pid_t tid)
{
	struct finished *f = context;
	struct remote thread = f->process;
	int fd;

	thread.tid = tid;
	f->at_work =
		(remote_call_kind(remote_call(&thread, &fd)) & (CALL_EPOLL | CALL_SLEEPS)) == 0;
	return f->at_work;
}

static int look_for_work(void *argument)
{
	struct finished *f = argument;
	int epoll = remote_endless_epoll(&f->process);
	char name[24];
	char set[4096];
	const char *item = set;

	snprintf(name, sizeof(name), "fdinfo/%d", epoll);
	if (epoll == -1 || remote_text(&f->process, name, set, sizeof(set)) == -1 ||
		strlen(set) == sizeof(set) - 1)
		return -1;
	while ((item = strstr(item, "tfd:")) != NULL)
		if (!is_of_loop(f, atoi(item += 4)))
			return -1;
	return process_each(f->process.tid, is_at_work, f) != -1 && !f->at_work ? 0 : -1;
}

bool waits_for_nothing_but(struct remote *process, uint64_t inode)
{
	struct finished f = {.process = *process, .inode = inode};

	f.process.inside = true;
	return inode != 0 && remote_run(process, -1, look_for_work, &f) == 0;
}

/* ---- in words ---- */

#define SHOWN_MOST 4

struct words {
	struct buffer text;
	unsigned shown;
	unsigned more;
};

static bool say_thread(void *context, pid_t tid)
{
	struct words *w = context;
	struct remote r;
	char function[64] = "0"; /* in which it sleeps; "0": none, or the kernel keeps it secret */
	char name[40];
	char state;
	long call;
	int fd;

	if (w->shown == SHOWN_MOST) {
		w->more++;
		return false;
	}
	state = process_state(tid);
	if (state == '\0')
		return false;
	remote_of(&r, tid);
	call = remote_call(&r, &fd);
	(void)remote_text(&r, "wchan", function, sizeof(function));
	buffer_printf(&w->text, "%sthread %d: %c", w->shown++ > 0 ? "; " : "", (int)tid, state);
	if (call >= 0)
		buffer_printf(&w->text, " in %s", remote_call_name(name, call));
	if (call >= 0 && *function != '0')
		buffer_printf(&w->text, " (%s)", function);
	return false;
}

const char *awaits_threads_text(pid_t pid, char *to, size_t size)
{
	/* without the NUL, and in the caller's memory */
	struct words w = {.text = {.data = to, .cap = size - 1, .limit = size - 1}};

	(void)process_each(pid, say_thread, &w);
	if (w.more > 0)
		buffer_printf(&w.text, "; and %u more", w.more);
	to[w.text.len] = '\0';
	return to;
}
