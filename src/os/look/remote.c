/* SPDX-License-Identifier: MIT */
#include "os/look/remote.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/socket/socket.h"
#include "os/trycall.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* linux/pidfd.h, 6.9 */
#endif

/*
 * Functions of this file and of remote_waits.c that may run in a child on our memory
 * neither lock nor allocate: the child may be killed at any point.
 */

/* The longest time of all looks for one purpose: a process can have very much to
 * look at. */
#define SPENT_MOST (500 * MSEC)
/* The most unix sockets of the list that are searched for one path. */
#define UNIX_MOST 1000

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
		r->in_child = true;
		r->others = r->uid != getuid();
		return;
	}
	if (!privilege_has(CAP_SETGID) || process_status(tid, "Gid:", 10, &gid) == -1)
		return;
	r->uid = (uid_t)uid;
	r->gid = (gid_t)gid;
	r->as_user = r->uid != geteuid() || r->gid != getegid();
}

int remote_make_call(struct remote *r, const struct vfork_call *call)
{
	nsec_t worked;
	nsec_t patience;
	int got;

	if (r->inside)
		return call->function(call->argument);
	worked = clock_worked() + vfork_slept();
	patience = vfork_patience(r->uid);
	errno = ETIMEDOUT;
	if (r->late || patience == 0 || r->spent > SPENT_MOST)
		return -1;
	r->inside = true; /* the child has our memory */
	got = vfork_make_call(call, r->uid, patience);
	r->inside = false;
	r->late = vfork_left() || (got == -1 && errno == ETIMEDOUT);
	r->spent += clock_worked() + vfork_slept() - worked;
	return got;
}

int remote_run_in(
	struct remote *r, bool in_child, int keep, remote_function *function, void *argument)
{
	const struct vfork_user user = {.uid = r->uid, .gid = r->gid};
	const struct vfork_call call = {
		function, argument, r->as_user ? &user : NULL, keep, keep, false};

	if (in_child || r->as_user)
		return remote_make_call(r, &call);
	errno = ETIMEDOUT;
	return r->late && !r->inside ? -1 : function(argument);
}

int remote_run(struct remote *r, int keep, remote_function *function, void *argument)
{
	return remote_run_in(r, r->others, keep, function, argument);
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
		return remote_run_in(r, false, -1, function, argument);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == -1)
		return -1;
	h.channel = ends[1];
	if (keep == -1)
		h.also = h.channel;
	got = remote_run(r, VFORK_LEAVES, pass_on, &h);
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
	uint64_t group; /* the process that the thread belongs to */

	/* before 6.9 pidfd_open(2) takes a process, and no thread */
	if (pidfd == -1 && errno == EINVAL)
		pidfd = (int)trycall(SYS_pidfd_open, tid, 0U);
	if (pidfd == -1 && (errno == EINVAL || errno == ENOENT) &&
		process_status(tid, "Tgid:", 10, &group) == 0)
		pidfd = (int)trycall(SYS_pidfd_open, (pid_t)group, 0U);
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
	unsigned most;
	remote_each *each;
	void *context;
	int dir;
};

/* Visit one descriptor.  True: the visitor has enough, or has seen the most. */
static bool look_at(void *context, int fd)
{
	struct walk *w = context;
	char name[16];
	char target[64];
	ssize_t len;

	snprintf(name, sizeof(name), "%d", fd);
	w->most--;
	len = readlinkat(w->dir, name, target, sizeof(target) - 1);
	if (len <= 0)
		return w->most == 0;
	target[len] = '\0';
	return w->each(w->context, fd, target) || w->most == 0;
}

static int walk_entries(void *argument)
{
	struct walk *w = argument;
	scoped_fd dir = process_open(w->r->tid, "fd", O_RDONLY | O_DIRECTORY);

	w->dir = dir;
	return process_each_in(dir, look_at, w) == -1 ? -1 : 0;
}

int remote_each_fd_keeping(
	struct remote *r, int keep, unsigned most, remote_each *each, void *context)
{
	struct walk w = {r, most, each, context, -1};

	return most > 0 ? remote_run(r, keep, walk_entries, &w) : 0;
}

int remote_each_fd(struct remote *r, unsigned most, remote_each *each, void *context)
{
	return remote_each_fd_keeping(r, -1, most, each, context);
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
	ssize_t got = process_read(
		l->r->tid, l->name, text, l->size < sizeof(text) ? l->size : sizeof(text));

	if (got == -1)
		return -1;
	memcpy(l->to, text, (size_t)got + 1);
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

int remote_text(struct remote *r, const char *name, char *to, size_t size)
{
	return look_at_text(r, read_text, name, to, size);
}

/* The same for the file of a descriptor below /proc/TID/KIND. */
static int look_at_fd(struct remote *r, remote_function *function, const char *kind, int fd,
	char *to, size_t size)
{
	char name[24];

	snprintf(name, sizeof(name), "%s/%d", kind, fd);
	return look_at_text(r, function, name, to, size);
}

int remote_target(struct remote *r, int fd, char *to, size_t size)
{
	return look_at_fd(r, read_link, "fd", fd, to, size);
}

uint64_t remote_inode(struct remote *r, int fd)
{
	char target[64];

	return remote_target(r, fd, target, sizeof(target)) == 0 ? remote_socket_inode(target) : 0;
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
	struct socket_file *file;
};

#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0) /* linux/un.h, which redefines sys/un.h */
#endif

/* Runs in a child, with a duplicate of the socket that the kernel closes with the child. */
static int read_unix_name(void *argument)
{
	struct name_look *l = argument;
	const size_t before = offsetof(struct sockaddr_un, sun_path);
	scoped_fd fd = take_fd(&l->of);
	struct sockaddr_un at = {.sun_family = AF_UNSPEC};
	socklen_t size = sizeof(at);
	struct stat st;
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
	/* The file of the socket itself, wherever its path leads by now; requires CAP_NET_ADMIN. */
	scoped_fd file = ioctl(fd, SIOCUNIXFILE, 0);
	if (file != -1 && fstat(file, &st) == 0)
		*l->file = (struct socket_file){.dev = st.st_dev, .ino = st.st_ino};
	return 0;
}

int remote_unix_path(struct remote *r, int fd, char *to, size_t size, struct socket_file *file)
{
	struct name_look l = {{r, fd, -1}, to, size, file};

	*file = (struct socket_file){.ino = 0};
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

bool remote_shares(struct remote *r, const char *name)
{
	char own[64];
	char its[64];

	return process_link(getpid(), name, own, sizeof(own)) > 0 &&
		look_at_text(r, read_link, name, its, sizeof(its)) == 0 && strcmp(own, its) == 0;
}

bool remote_may(struct remote *r, int capability)
{
	uint64_t set;

	return process_status(r->tid, "CapEff:", 16, &set) == 0 && (set >> capability & 1) != 0 &&
		remote_shares(r, "ns/user");
}
