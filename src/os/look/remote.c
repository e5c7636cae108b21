/* SPDX-License-Identifier: MIT */
#include "os/look/remote.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/fdpass.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/vfork.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* linux/pidfd.h, 6.9 */
#endif

/*
 * Functions of this file that may run in a child on our memory neither lock nor
 * allocate: the child may be killed at any point.
 */

/* The longest time of all looks for one purpose: a process can have very much to
 * look at. */
#define SPENT_MOST (500 * MSEC)
/* The most unix sockets of the list that are searched for one path. */
#define UNIX_MOST 1000

/* ---- files of /proc ---- */

static int open_proc(pid_t tid, const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, name);
	return open(path, O_RDONLY | O_CLOEXEC | flags);
}

/* ---- rights ---- */

void remote_of(struct remote *r, pid_t tid)
{
	uint64_t uid;
	uint64_t gid;

	*r = (struct remote){.tid = tid};
	if (!privilege_has(CAP_SETUID) || process_status(tid, "Uid:", 10, &uid) == -1)
		return;
	if (privilege_has(CAP_SYS_PTRACE)) {
		r->uid = (uid_t)uid;
		r->aside = true;
		r->others = r->uid != getuid();
		return;
	}
	if (!privilege_has(CAP_SETGID) || process_status(tid, "Gid:", 10, &gid) == -1)
		return;
	r->uid = (uid_t)uid;
	r->gid = (gid_t)gid;
	r->as_user = r->uid != geteuid() || r->gid != getegid();
}

/* A function that run_it() calls, and its result. */
struct run {
	struct remote *remote;
	remote_function *function;
	void *argument;
	int keep; /* vfork_leave_table(); or: */
	int got;
	int error;
};
#define LEAVES (-2) /* the function leaves our table by itself */
#define COPIES (-3) /* the child has a copy of our table */

static void run_it(void *argument)
{
	struct run *run = argument;

	run->remote->inside = true;
	if (run->keep < -1 || vfork_leave_table(run->keep, run->keep) == 0)
		run->got = run->function(run->argument);
	run->error = errno;
	run->remote->inside = false;
}

static int run_in_child(struct remote *r, struct run *run)
{
	const struct vfork_user user = {.uid = r->uid, .gid = r->gid};
	nsec_t patience = vfork_patience(r->uid);
	nsec_t begun = clock_now();
	nsec_t worked = clock_worked() + vfork_slept();
	int done;

	run->remote = r;
	run->got = -1;
	errno = ETIMEDOUT;
	if (patience == 0 || r->spent > SPENT_MOST)
		return -1;
	if (run->keep == COPIES)
		done = vfork_run_apart(run_it, run, patience);
	else if (r->as_user)
		done = vfork_run_as(run_it, run, patience, &user);
	else
		done = vfork_run_alone(run_it, run, patience);
	r->spent += clock_worked() + vfork_slept() - worked;
	r->inside = false; /* the child's user may have killed it before it reset this */
	r->late |= done == -1 && errno == ETIMEDOUT;
	if (vfork_left()) {
		r->late = true;
		vfork_was_late(r->uid, clock_now() - begun);
		errno = ETIMEDOUT;
	}
	if (done == -1)
		return -1;
	errno = run->error;
	return run->got;
}

static int run_or_call(
	struct remote *r, bool aside, int keep, remote_function *function, void *argument)
{
	struct run run = {.function = function, .argument = argument, .keep = keep};

	if (r->inside)
		return function(argument);
	errno = ETIMEDOUT;
	if (r->late)
		return -1;
	return aside || r->as_user ? run_in_child(r, &run) : function(argument);
}

int remote_run(struct remote *r, int keep, remote_function *function, void *argument)
{
	return run_or_call(r, r->others, keep, function, argument);
}

struct having {
	remote_function *function;
	void *argument;
	const int *fd;
	int channel;
	int also;
};

static int pass_on(void *argument)
{
	const struct having *h = argument;
	int got;
	int error;

	if (vfork_leave_table(h->channel, h->also) == -1)
		return -1;
	got = h->function(h->argument);
	error = errno;

	if (*h->fd != -1)
		(void)fdpass_send(h->channel, "", 1, h->fd, 1);
	errno = error;
	return got;
}

static int receive_it(int channel)
{
	struct fdpass_message m;
	int got = -1;
	char byte;

	if (fdpass_receive(channel, &byte, sizeof(byte), &m) != 1)
		return -1;
	if (m.fd_count == 1)
		got = fd_release(&m.fds[0]);
	fdpass_drop(&m);
	return got;
}

int remote_have(struct remote *r, int keep, remote_function *function, void *argument, int *fd)
{
	struct having h = {function, argument, fd, -1, keep};
	int error;
	int ends[2];
	bool has;
	int got;

	*fd = -1;
	if (r->inside || (!r->others && !r->as_user))
		return run_or_call(r, false, -1, function, argument);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == -1)
		return -1;
	h.channel = ends[1];
	if (keep == -1)
		h.also = h.channel;
	got = remote_run(r, LEAVES, pass_on, &h);
	error = errno;
	has = *fd != -1;
	*fd = receive_it(ends[0]);
	if (has && *fd == -1 && got != -1) {
		error = EMFILE; /* no descriptor was free, or the like */
		got = -1;
	}
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	errno = error;
	return got;
}

/* ---- descriptors ---- */

struct fd_look {
	const struct remote *r;
	int number;
	int fd; /* the duplicate */
};

/* The process that a thread belongs to. */
static pid_t process_of(pid_t tid)
{
	uint64_t group;

	return process_status(tid, "Tgid:", 10, &group) == 0 ? (pid_t)group : -1;
}

/* Does the path lead to a socket, an epoll set or a pipe?  None of these belongs to
 * a file server, so close(2) cannot wait for one. */
static bool is_plain(const char *path)
{
	char target[64];
	ssize_t len = readlink(path, target, sizeof(target) - 1);

	if (len <= 0)
		return false;
	target[len] = '\0';
	errno = EBADF;
	return remote_socket_inode(target) != 0 || remote_is_epoll(target) ||
		strncmp(target, "pipe:[", 6) == 0;
}

static int take_fd(void *argument)
{
	struct fd_look *l = argument;
	pid_t tid = l->r->tid;
	bool others = l->r->others || l->r->as_user;
	char path[48];

	/* ENOENT without the process is ESRCH: checked below */
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tid, l->number);
	if (others && !is_plain(path) && errno != ENOENT)
		return -1;
	scoped_fd pidfd = (int)trycall(SYS_pidfd_open, tid, PIDFD_THREAD);
	/* before 6.9 pidfd_open(2) takes a process, and no thread */
	if (pidfd == -1 && errno == EINVAL)
		pidfd = (int)trycall(SYS_pidfd_open, tid, 0U);
	if (pidfd == -1 && (errno == EINVAL || errno == ENOENT))
		pidfd = (int)trycall(SYS_pidfd_open, process_of(tid), 0U);
	if (pidfd == -1)
		return -1;
	l->fd = (int)trycall(SYS_pidfd_getfd, pidfd, l->number, 0U);
	/* the process may have put another file in its place meanwhile */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", l->fd);
	if (l->fd != -1 && others && !is_plain(path))
		l->fd = -1; /* the kernel closes the duplicate with the child's table */
	return l->fd;
}

int remote_fd(struct remote *r, int fd)
{
	struct fd_look l = {r, fd, -1};

	(void)remote_have(r, -1, take_fd, &l, &l.fd);
	return l.fd;
}

static int close_it(void *fd)
{
	fd_close(fd);
	return 0;
}

void remote_close(int *fd)
{
	if (*fd != -1 && vfork_call(close_it, fd) == -1 && errno != ETIMEDOUT)
		fd_close(fd); /* no child can be started */
}

struct walk {
	struct remote *r;
	int from;
	unsigned most;
	remote_each *each;
	void *context;
};

/* Visit one entry of the directory.  True: the visitor has enough. */
static bool look_at(const struct walk *w, int dir, const char *name)
{
	char target[64];
	ssize_t len = readlinkat(dir, name, target, sizeof(target) - 1);
	int fd = (int)strtol(name, NULL, 10);

	if (len <= 0 || fd < w->from)
		return false;
	target[len] = '\0';
	return w->each(w->context, fd, target);
}

static int walk_entries(void *argument)
{
	struct walk *w = argument;
	scoped_fd dir = open_proc(w->r->tid, "fd", O_DIRECTORY);
	_Alignas(struct dirent64) char room[2048];
	ssize_t got = -1;

	/* in the kernel's listing of fd/, a number's position is number + 2, behind "." and ".." */
	if (dir != -1 && w->from > 0)
		(void)lseek(dir, w->from + 2, SEEK_SET);
	while (dir != -1 && w->most > 0 && (got = getdents64(dir, room, sizeof(room))) > 0) {
		for (ssize_t at = 0; at < got && w->most > 0;) {
			const struct dirent64 *entry = (const void *)&room[at];

			at += entry->d_reclen;
			if (*entry->d_name == '.')
				continue;
			w->most--;
			if (look_at(w, dir, entry->d_name))
				return 0;
		}
	}
	return got == -1 ? -1 : 0;
}

int remote_each_fd_with(struct remote *r, int keep, unsigned most, remote_each *each, void *context)
{
	struct walk w = {r, 0, most, each, context};

	return most > 0 ? remote_run(r, keep, walk_entries, &w) : 0;
}

int remote_each_fd_from(struct remote *r, int from, unsigned most, remote_each *each, void *context)
{
	struct walk w = {r, from, most, each, context};

	return remote_run(r, -1, walk_entries, &w);
}

int remote_each_fd(struct remote *r, unsigned most, remote_each *each, void *context)
{
	return remote_each_fd_with(r, -1, most, each, context);
}

uint64_t remote_socket_inode(const char *target)
{
	return strncmp(target, "socket:[", 8) == 0 ? strtoull(target + 8, NULL, 10) : 0;
}

bool remote_is_epoll(const char *target)
{
	return strcmp(target, "anon_inode:[eventpoll]") == 0;
}

struct text_look {
	struct remote *r;
	const char *name; /* below /proc/TID */
	char *to;
	size_t size;
};

/* The most text that is read: a call that may wait writes to the child's stack first (vfork.h). */
#define TEXT_MOST 8192

static int read_text(void *argument)
{
	const struct text_look *l = argument;
	char text[TEXT_MOST];
	size_t room = l->size < sizeof(text) ? l->size : sizeof(text);
	size_t used = 0;
	scoped_fd fd = open_proc(l->r->tid, l->name, 0);
	ssize_t got = fd;

	while (got != -1 && used < room - 1) {
		got = read(fd, text + used, room - 1 - used);
		if (got <= 0)
			break;
		used += (size_t)got;
	}
	if (got == -1)
		return -1;
	text[used] = '\0';
	memcpy(l->to, text, used + 1);
	return 0;
}

static int read_path(
	const struct text_look *l, ssize_t (*get)(const char *path, char *to, size_t size))
{
	char path[64];
	char text[256];
	size_t room = l->size < sizeof(text) ? l->size : sizeof(text);
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)l->r->tid, l->name);
	len = get(path, text, room - 1);
	if (len > 0)
		memcpy(l->to, text, (size_t)len);
	l->to[len > 0 ? len : 0] = '\0';
	return len == -1 ? -1 : 0;
}

static int read_link(void *argument)
{
	return read_path(argument, readlink);
}

static ssize_t get_protocol(const char *path, char *to, size_t size)
{
	return getxattr(path, "system.sockprotoname", to, size);
}

static int read_protocol(void *argument)
{
	return read_path(argument, get_protocol);
}

static int look_at_text(
	struct remote *r, remote_function *function, const char *name, char *to, size_t size)
{
	struct text_look l = {.r = r, .name = name, .to = to, .size = size};

	to[0] = '\0';
	return remote_run(r, -1, function, &l);
}

/* The same for the file of a descriptor below /proc/TID/KIND. */
static int look_at_fd(struct remote *r, remote_function *function, const char *kind, int fd,
	char *to, size_t size)
{
	char name[24];

	snprintf(name, sizeof(name), "%s/%d", kind, fd);
	return look_at_text(r, function, name, to, size);
}

uint64_t remote_inode(struct remote *r, int fd)
{
	char target[64];

	if (look_at_fd(r, read_link, "fd", fd, target, sizeof(target)) == -1)
		return 0;
	return remote_socket_inode(target);
}

uint64_t remote_own_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

int remote_protocol(struct remote *r, int fd, char *to, size_t size)
{
	return look_at_fd(r, read_protocol, "fd", fd, to, size);
}

/* The path in a line of /proc/net/unix: number, six words, the inode, the path (unix_seq_show()). */
static const char *unix_path(char *line, uint64_t inode)
{
	unsigned long found;
	int at = 0;

	if (sscanf(line, "%*s %*s %*s %*s %*s %*s %lu %n", &found, &at) != 1 || found != inode ||
		at == 0)
		return NULL;
	line[strcspn(line, "\n")] = '\0';
	return line[at] != '\0' ? line + at : NULL;
}

/* Search /proc/net/unix for the inode, among the first UNIX_MOST lines: the worker may have very
 * many sockets. */
static int find_unix_path(const struct remote *r, uint64_t inode, char *to, size_t size)
{
	unsigned lines = 0;
	char name[40];
	char *line = NULL;
	size_t room = 0;
	int got = -1;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/net/unix", (int)r->tid);
	file = inode != 0 ? fopen(name, "re") : NULL;
	if (file == NULL)
		return -1;
	while (got == -1 && lines++ < UNIX_MOST && getline(&line, &room, file) != -1) {
		const char *path = unix_path(line, inode);

		if (path != NULL && strlen(path) < size) {
			text_escape(to, size, path, strlen(path));
			got = 0;
		}
	}
	free(line);
	(void)fclose(file);
	return got;
}

struct name_look {
	struct fd_look of;
	char *to;
	size_t size;
};

/* Runs in a child, with a duplicate of the socket that the kernel closes with the child. */
static int read_unix_name(void *argument)
{
	struct name_look *l = argument;
	const size_t before = offsetof(struct sockaddr_un, sun_path);
	scoped_fd fd = take_fd(&l->of);
	struct sockaddr_un at = {.sun_family = AF_UNSPEC};
	socklen_t size = sizeof(at);
	size_t len;

	if (fd == -1)
		return -1;
	if (getsockname(fd, (struct sockaddr *)&at, &size) == -1 || at.sun_family != AF_UNIX ||
		size <= before) {
		errno = ENOENT;
		return -1;
	}
	len = (size < sizeof(at) ? size : sizeof(at)) - before;
	if (at.sun_path[0] == '\0')
		at.sun_path[0] = '@';
	else
		len = strnlen(at.sun_path, len);
	text_escape(l->to, l->size, at.sun_path, len);
	return 0;
}

int remote_unix_path(struct remote *r, int fd, char *to, size_t size)
{
	struct name_look l = {{r, fd, -1}, to, size};

	if (remote_run(r, -1, read_unix_name, &l) == 0)
		return 0;
	/* without the right to duplicate descriptors, the list of /proc is left */
	return errno == EPERM || errno == ENOSYS ? find_unix_path(r, remote_inode(r, fd), to, size)
						 : -1;
}

int remote_fd_flags(struct remote *r, int fd)
{
	char info[256];
	const char *flags;

	if (look_at_fd(r, read_text, "fdinfo", fd, info, sizeof(info)) == -1)
		return -1;
	flags = strstr(info, "\nflags:");
	return flags != NULL ? (int)strtol(flags + 7, NULL, 8) : -1;
}

size_t remote_epoll_items(struct remote *r, int epoll, struct remote_epoll_item *items, size_t most)
{
	char info[8192];
	const char *line = info;
	size_t count = 0;

	if (look_at_fd(r, read_text, "fdinfo", epoll, info, sizeof(info)) == -1)
		return 0;
	while (count < most && line != NULL) {
		struct remote_epoll_item *item = &items[count];

		if (sscanf(line, "tfd: %d events: %" SCNx32 " data: %" SCNx64, &item->fd,
			    &item->events, &item->data) == 3)
			count++;
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	return count;
}

/* ---- epoll ---- */

struct item_look {
	struct remote *r;
	int epoll;
	char line[32]; /* how the line begins (ep_show_fdinfo(), fs/eventpoll.c) */
};

/* Search the entries of the epoll set, of which there may be thousands.  1: found. */
static int find_item(void *argument)
{
	const struct item_look *l = argument;
	char text[4096 + sizeof(l->line)];
	char name[24];
	size_t kept = 0;
	bool found = false;
	size_t used;
	ssize_t got;

	snprintf(name, sizeof(name), "fdinfo/%d", l->epoll);
	scoped_fd fd = open_proc(l->r->tid, name, 0);
	while ((got = read(fd, text + kept, sizeof(text) - 1 - kept)) > 0) {
		used = kept + (size_t)got;
		text[used] = '\0';
		found = strstr(text, l->line) != NULL;
		if (found)
			break;
		kept = used < sizeof(l->line) ? used : sizeof(l->line);
		memmove(text, text + used - kept, kept);
	}
	return found;
}

bool remote_epoll_has(struct remote *r, int epoll, int fd)
{
	struct item_look l = {.r = r, .epoll = epoll};

	snprintf(l.line, sizeof(l.line), "tfd: %8d ", fd);
	return remote_run(r, -1, find_item, &l) == 1;
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
	for (size_t i = 0; i < table->epoll_count; i++)
		if (remote_epoll_has(r, table->epolls[i], socket))
			return true;
	return false;
}

struct change {
	int what; /* EPOLL_CTL_... */
	int epoll;
	int ours;
	struct remote_epoll_item item;
	pid_t parent; /* 0: the table is a copy of ours already */
	bool alone;   /* keep no descriptor that the call does not need */
};

/* Leave our table of descriptors, and keep only what the change needs: a child that
 * hangs keeps open what it has. */
static int leave_table(struct change *c)
{
	int parent;

	if (trycall(SYS_close_range, 3, ~0U, CLOSE_RANGE_UNSHARE) == -1)
		return vfork_table() == 0 ? 0 : -1; /* the table is a copy already */
	parent = (int)trycall(SYS_pidfd_open, c->parent, 0U);
	c->epoll = (int)trycall(SYS_pidfd_getfd, parent, c->epoll, 0U);
	c->ours = (int)trycall(SYS_pidfd_getfd, parent, c->ours, 0U);
	return c->epoll != -1 && c->ours != -1 ? 0 : -1;
}

static void close_but(int one, int other)
{
	unsigned low = (unsigned)(one < other ? one : other);
	unsigned high = (unsigned)(one < other ? other : one);

	if (low > 0)
		(void)descriptors_close(0, low - 1);
	if (high > low + 1)
		(void)descriptors_close(low + 1, high - 1);
	(void)descriptors_close(high + 1, ~0U);
}

/* Runs in a child with a table of its own, as dup2(2) overwrites a number there. */
static int change_item(void *argument)
{
	struct change *c = argument;
	const struct remote_epoll_item *item = &c->item;
	struct epoll_event event = {
		.events = item->events,
		.data.u64 = item->data,
	};
	int epoll;

	if (c->parent != 0 && leave_table(c) == -1)
		return -1;
	epoll = c->epoll;
	if (epoll == item->fd)
		epoll = fcntl(epoll, F_DUPFD_CLOEXEC, item->fd + 1);
	if (epoll == -1 || (c->ours != item->fd && dup3(c->ours, item->fd, O_CLOEXEC) == -1))
		return -1;
	if (c->alone)
		close_but(epoll, item->fd);
	return epoll_ctl(epoll, c->what, item->fd, &event);
}

static int change_set(struct remote *r, struct change c)
{
	errno = EBADF;
	if (c.item.fd < 0)
		return -1;
	c.parent = r->others ? getpid() : 0;
	c.alone = r->as_user;
	return run_or_call(r, true, r->others ? LEAVES : COPIES, change_item, &c);
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
	return run_or_call(r, r->aside, -1, read_memory, &it);
}

/* ---- system calls and capabilities ---- */

/* The system call of the thread, and its first arguments.  See remote_call(). */
static long read_call(struct remote *r, uint64_t args[2])
{
	char text[256];
	long call;

	args[0] = args[1] = 0;
	if (look_at_text(r, read_text, "syscall", text, sizeof(text)) == -1)
		return -2;
	if (strncmp(text, "running", 7) == 0)
		return -1;
	if (sscanf(text, "%ld %" SCNx64 " %" SCNx64, &call, &args[0], &args[1]) < 1) {
		errno = EPROTO;
		return -2;
	}
	return call;
}

long remote_call_on(struct remote *r, int *fd)
{
	uint64_t args[2];
	long call = read_call(r, args);

	*fd = (int)args[0];
	return call;
}

long remote_call(struct remote *r)
{
	int fd;

	return remote_call_on(r, &fd);
}

static const struct {
	long call;
	const char *name; /* NULL: only its number is shown */
	unsigned kind;
} calls[] = {
	{SYS_read, "read", CALL_WAITS},
	{SYS_readv, NULL, CALL_WAITS},
	{SYS_write, "write", 0},
	{SYS_recvfrom, "recvfrom", CALL_WAITS},
	{SYS_recvmsg, "recvmsg", CALL_WAITS},
	{SYS_recvmmsg, NULL, CALL_WAITS},
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
	{SYS_io_getevents, NULL, CALL_WAITS | CALL_AWAITS},
	{SYS_io_pgetevents, NULL, CALL_AWAITS},
	{SYS_io_uring_enter, NULL, CALL_WAITS | CALL_AWAITS},
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

const char *remote_call_name(char to[40], long call)
{
	for (size_t i = 0; i < COUNT_OF(calls); i++)
		if (calls[i].call == call && calls[i].name != NULL)
			return calls[i].name;
	snprintf(to, 40, "system call %ld", call);
	return to;
}

/* The descriptors that poll(2) watches for input. */
static size_t read_poll_list(struct remote *r, uint64_t at, uint64_t count, int *fds, size_t most)
{
	struct pollfd some[REMOTE_READ_MOST / sizeof(struct pollfd)];
	size_t n = 0;

	if (count > COUNT_OF(some))
		count = COUNT_OF(some);
	if (remote_read(r, at, some, count * sizeof(*some)) == -1)
		return 0;
	for (size_t i = 0; i < count && n < most; i++)
		if ((some[i].events & POLLIN) != 0)
			fds[n++] = some[i].fd;
	return n;
}

/* The descriptors that select(2) watches for input; the set is an array of longs (select_tut(2),
 * fs/select.c). */
static size_t read_select_set(struct remote *r, uint64_t count, uint64_t at, int *fds, size_t most)
{
	unsigned long words[REMOTE_READ_MOST / sizeof(unsigned long)];
	const size_t bits = 8 * sizeof(*words);
	size_t n = 0;

	if (count > COUNT_OF(words) * bits)
		count = COUNT_OF(words) * bits;
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

int remote_sleeps_in(struct remote *r, char *to, size_t size)
{
	return look_at_text(r, read_text, "wchan", to, size);
}

bool remote_shares(struct remote *r, const char *kind)
{
	char name[24];
	char own[64];
	char its[64];

	snprintf(name, sizeof(name), "ns/%s", kind);
	return process_link(getpid(), name, own, sizeof(own)) > 0 &&
		look_at_text(r, read_link, name, its, sizeof(its)) == 0 && strcmp(own, its) == 0;
}

bool remote_may(struct remote *r, int capability)
{
	uint64_t set;

	return process_status(r->tid, "CapEff:", 16, &set) == 0 && (set >> capability & 1) != 0 &&
		remote_shares(r, "user");
}
