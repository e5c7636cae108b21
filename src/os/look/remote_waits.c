/* SPDX-License-Identifier: MIT */
#include "os/look/remote_waits.h"

#include "base/scope.h"
#include "os/process.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

/* What a process waits for: its epoll sets, and the system calls of its threads. */

/* ---- epoll ---- */

struct item_look {
	struct remote *r;
	int epoll;
	char line[32]; /* how the line begins (ep_show_fdinfo(), fs/eventpoll.c) */
	struct remote_epoll_item *item;
};

/* Search the entries of the epoll set, of which there may be thousands.  1: found. */
static int find_item(void *argument)
{
	const struct item_look *l = argument;
	char text[4096];
	char name[24];
	size_t kept = 0;
	ssize_t got;

	snprintf(name, sizeof(name), "fdinfo/%d", l->epoll);
	scoped_fd fd = process_open(l->r->tid, name, O_RDONLY);
	while ((got = read(fd, text + kept, sizeof(text) - 1 - kept)) > 0) {
		size_t used = kept + (size_t)got;
		const char *found;
		const char *end;
		char *rest;

		text[used] = '\0';
		found = strstr(text, l->line);
		if (found != NULL && strchr(found, '\n') != NULL) {
			/* the line goes on with "FLAGS data: DATA" */
			l->item->events = (uint32_t)strtoul(found + strlen(l->line), &rest, 16);
			l->item->data = strtoull(rest + strcspn(rest, ":") + 1, NULL, 16);
			return 1;
		}
		/* keep the part of a line at the end */
		end = strrchr(text, '\n');
		kept = end != NULL ? used - (size_t)(end + 1 - text) : 0;
		memmove(text, text + used - kept, kept);
	}
	return 0;
}

bool remote_epoll_find(struct remote *r, int epoll, int fd, struct remote_epoll_item *item)
{
	struct item_look l = {.r = r, .epoll = epoll, .item = item};

	item->fd = fd;
	snprintf(l.line, sizeof(l.line), "tfd: %8d events: ", fd);
	return remote_run(r, -1, find_item, &l) == 1;
}

bool remote_epoll_has(struct remote *r, int epoll, int fd)
{
	struct remote_epoll_item ignored;

	return remote_epoll_find(r, epoll, fd, &ignored);
}

struct table_look {
	struct remote_table *table;
	remote_wanted *wanted;
	const void *context;
};

static bool note_fd(void *context, int fd, const char *target)
{
	const struct table_look *l = context;
	struct remote_table *t = l->table;
	uint64_t inode = remote_socket_inode(target);

	if (inode == 0) {
		if (t->epoll_count < REMOTE_TABLE_MOST && remote_is_epoll(target))
			t->epolls[t->epoll_count++] = fd;
	} else if (t->socket_count < REMOTE_TABLE_MOST && l->wanted(l->context, inode)) {
		t->inodes[t->socket_count] = inode;
		t->sockets[t->socket_count++] = fd;
	}
	return false;
}

int remote_read_table(struct remote *r, unsigned most, remote_wanted *wanted, const void *context,
	struct remote_table *table)
{
	struct table_look l = {table, wanted, context};

	*table = (struct remote_table){.epoll_count = 0};
	return remote_each_fd(r, most, note_fd, &l);
}

bool remote_table_waits(struct remote *r, const struct remote_table *table, int socket)
{
	return array_find(epoll, table->epolls, table->epoll_count,
		       remote_epoll_has(r, *epoll, socket)) != NULL;
}

struct change {
	int what; /* EPOLL_CTL_... */
	int epoll;
	int ours;
	struct remote_epoll_item item;
};

/* Runs in a child with a table of its own, as dup2(2) overwrites a number there. */
static int change_item(void *argument)
{
	const struct change *c = argument;
	const struct remote_epoll_item *item = &c->item;
	struct epoll_event event = {
		.events = item->events,
		.data.u64 = item->data,
	};
	int epoll = c->epoll;

	if (epoll == item->fd)
		epoll = fcntl(epoll, F_DUPFD_CLOEXEC, item->fd + 1);
	if (epoll == -1 || (c->ours != item->fd && dup3(c->ours, item->fd, O_CLOEXEC) == -1))
		return -1;
	return epoll_ctl(epoll, c->what, item->fd, &event);
}

/* A child that hangs keeps open what it has: no descriptor that the change does not need. */
static int change_set(struct remote *r, struct change c)
{
	const struct vfork_call call = {change_item, &c, NULL, c.epoll, c.ours, false};

	errno = EBADF;
	return c.item.fd < 0 ? -1 : remote_make_call(r, &call);
}

int remote_epoll_add(struct remote *r, int epoll, int ours, const struct remote_epoll_item *item)
{
	return change_set(r,
		(struct change){
			.what = EPOLL_CTL_ADD, .epoll = epoll, .ours = ours, .item = *item});
}

int remote_epoll_remove(struct remote *r, int epoll, int ours, int fd)
{
	return change_set(r,
		(struct change){
			.what = EPOLL_CTL_DEL, .epoll = epoll, .ours = ours, .item = {.fd = fd}});
}

/* ---- memory ---- */

struct reading {
	pid_t tid;
	struct iovec theirs;
	void *to;
};

static int read_memory(void *argument)
{
	const struct reading *r = argument;
	char bytes[REMOTE_READ_MOST];
	const struct iovec ours = {bytes, r->theirs.iov_len};
	ssize_t got = process_vm_readv(r->tid, &ours, 1, &r->theirs, 1, 0);

	if (got == (ssize_t)ours.iov_len) {
		memcpy(r->to, bytes, ours.iov_len);
		return 0;
	}
	if (got != -1)
		errno = EFAULT;
	return -1;
}

int remote_read(struct remote *r, uint64_t at, void *to, size_t size)
{
	struct reading it = {
		.tid = r->tid,
		.theirs = {(void *)(uintptr_t)at, size},
		.to = to,
	};

	if (size > REMOTE_READ_MOST) {
		errno = EINVAL;
		return -1;
	}
	return remote_run_in(r, r->in_child, -1, read_memory, &it);
}

/* ---- system calls ---- */

/* arm64 forgets the number of a system call before it stops the thread in it or after it
 * (arch/arm64/kernel/signal.c).  The instructions before that place still say it: `mov x8, #NUMBER`,
 * some more, `svc #0`. */
static long interrupted_call(struct remote *r, uint64_t pc)
{
#ifdef __aarch64__
	const uint32_t svc_0 = 0xd4000001;
	const uint32_t mov_x8 = 0xd2800008;
	uint32_t code[10];
	size_t svc = COUNT_OF(code) - 1; /* at pc, to be made again; or just before it, as made */

	if (remote_read(r, pc - svc * sizeof(*code), code, sizeof(code)) == -1)
		return -1;
	if (code[svc] != svc_0 && code[--svc] != svc_0)
		return -1;
	for (size_t i = svc; i-- > 0 && code[i] != svc_0;)
		if ((code[i] & ~(0xffffU << 5)) == mov_x8)
			return code[i] >> 5 & 0xffff;
	return SYS_restart_syscall;
#else
	(void)r;
	(void)pc;
	return -1;
#endif
}

/* The system call of the thread, and its first arguments.  See remote_call(). */
static long read_call(struct remote *r, uint64_t args[2])
{
	char text[256];
	uint64_t pc;
	long call;

	args[0] = args[1] = 0;
	if (remote_text(r, "syscall", text, sizeof(text)) == -1)
		return -2;
	if (strncmp(text, "running", 7) == 0)
		return -1;
	if (sscanf(text, "%ld %" SCNx64 " %" SCNx64, &call, &args[0], &args[1]) < 1) {
		errno = EPROTO;
		return -2;
	}
	if (call != -1)
		return call;
	/* the stack pointer and the program counter, where the arguments of a call stand */
	pc = args[1];
	args[0] = args[1] = UINT64_MAX;
	return interrupted_call(r, pc);
}

long remote_call(struct remote *r, int *fd)
{
	uint64_t args[2];
	long call = read_call(r, args);

	*fd = (int)args[0];
	return call;
}

static const struct {
	long call;
	const char *name; /* NULL: only its number is shown */
	unsigned kind;
} calls[] = {
	{SYS_read, "read", CALL_WAITS | CALL_READS},
	{SYS_readv, NULL, CALL_WAITS | CALL_READS},
	{SYS_write, "write", 0},
	{SYS_recvfrom, "recvfrom", CALL_WAITS | CALL_READS},
	{SYS_recvmsg, "recvmsg", CALL_WAITS | CALL_READS},
	{SYS_recvmmsg, NULL, CALL_WAITS | CALL_READS},
	{SYS_sendto, "sendto", 0},
	{SYS_connect, "connect", 0},
	{SYS_accept4, "accept4", CALL_WAITS | CALL_AWAITS},
	{SYS_epoll_pwait, "epoll_pwait", CALL_WAITS | CALL_EPOLL},
	{SYS_epoll_pwait2, NULL, CALL_WAITS | CALL_EPOLL},
	{SYS_ppoll, "ppoll", CALL_WAITS | CALL_AWAITS},
	{SYS_pselect6, NULL, CALL_WAITS | CALL_AWAITS},
	{SYS_wait4, "wait4", CALL_WAITS},
	{SYS_waitid, NULL, CALL_WAITS},
	{SYS_rt_sigsuspend, NULL, CALL_WAITS},
	{SYS_rt_sigtimedwait, NULL, CALL_WAITS},
	{SYS_io_getevents, NULL, CALL_WAITS | CALL_AWAITS | CALL_UNKNOWN},
	{SYS_io_pgetevents, NULL, CALL_AWAITS | CALL_UNKNOWN},
	{SYS_io_uring_setup, NULL, CALL_SLEEPS}, /* the kernel's thread for it (SQPOLL) */
	{SYS_io_uring_enter, NULL, CALL_WAITS | CALL_AWAITS | CALL_UNKNOWN},
	{SYS_msgrcv, NULL, CALL_WAITS},
	{SYS_futex, "futex", CALL_SLEEPS},
	{SYS_nanosleep, NULL, CALL_SLEEPS},
	{SYS_clock_nanosleep, "clock_nanosleep", CALL_SLEEPS},
	{SYS_restart_syscall, NULL, CALL_AWAITS | CALL_UNKNOWN},
	{SYS_flock, "flock", 0},
	{SYS_fcntl, "fcntl", 0},
	{SYS_fsync, "fsync", 0},
#ifdef SYS_accept
	{SYS_accept, NULL, CALL_WAITS | CALL_AWAITS},
#endif
#ifdef SYS_epoll_wait
	{SYS_epoll_wait, "epoll_wait", CALL_WAITS | CALL_EPOLL},
	{SYS_poll, "poll", CALL_WAITS | CALL_AWAITS},
	{SYS_select, "select", CALL_WAITS | CALL_AWAITS},
	{SYS_pause, "pause", CALL_WAITS},
#endif
};

unsigned remote_call_kind(long call)
{
	for (size_t i = 0; i < COUNT_OF(calls); i++)
		if (calls[i].call == call)
			return calls[i].kind;
	return 0;
}

int remote_endless_epoll(struct remote *r)
{
	char text[256];
	uint64_t timeout;
	unsigned epoll;
	long call;

	if (remote_text(r, "syscall", text, sizeof(text)) == -1 ||
		sscanf(text, "%ld %x %*s %*s %" SCNx64, &call, &epoll, &timeout) != 3 ||
		(remote_call_kind(call) & CALL_EPOLL) == 0 || (int32_t)timeout != -1)
		return -1;
	return (int)epoll;
}

const char *remote_call_name(char to[40], long call)
{
	for (size_t i = 0; i < COUNT_OF(calls); i++)
		if (calls[i].call == call && calls[i].name != NULL)
			return calls[i].name;
	snprintf(to, 40, "system call %ld", call);
	return to;
}

/* The descriptors that poll(2) watches for input. */
static size_t read_poll_list(struct remote *r, uint64_t at, uint64_t all, int *fds, size_t most)
{
	struct pollfd some[REMOTE_READ_MOST / sizeof(struct pollfd)];
	const size_t count = all < COUNT_OF(some) ? (size_t)all : COUNT_OF(some);
	size_t n = 0;

	if (remote_read(r, at, some, count * sizeof(*some)) == -1)
		return 0;
	for (size_t i = 0; i < count && n < most; i++)
		if ((some[i].events & POLLIN) != 0)
			fds[n++] = some[i].fd;
	return n;
}

/* The descriptors that select(2) watches for input; the set is an array of longs (select_tut(2),
 * fs/select.c). */
static size_t read_select_set(struct remote *r, uint64_t all, uint64_t at, int *fds, size_t most)
{
	unsigned long words[REMOTE_READ_MOST / sizeof(unsigned long)];
	const size_t bits = 8 * sizeof(*words);
	const size_t count = all < COUNT_OF(words) * bits ? (size_t)all : COUNT_OF(words) * bits;
	size_t n = 0;

	if (at == 0 || remote_read(r, at, words, (count + bits - 1) / bits * sizeof(*words)) == -1)
		return 0;
	for (size_t i = 0; i < count && n < most; i++)
		if ((words[i / bits] >> i % bits & 1) != 0)
			fds[n++] = (int)i;
	return n;
}

size_t remote_awaits(struct remote *r, int *fds, size_t most)
{
	uint64_t args[2];

	switch (read_call(r, args)) {
#ifdef SYS_accept
	case SYS_accept:
#endif
	case SYS_accept4:
	case SYS_read:
	case SYS_recvfrom:
	case SYS_recvmsg:
		fds[0] = (int)args[0];
		return 1;
#ifdef SYS_poll
	case SYS_poll:
#endif
	case SYS_ppoll:
		return read_poll_list(r, args[0], args[1], fds, most);
#ifdef SYS_select
	case SYS_select:
#endif
	case SYS_pselect6:
		return read_select_set(r, args[0], args[1], fds, most);
	default:
		return 0;
	}
}
