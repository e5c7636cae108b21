/* SPDX-License-Identifier: MIT */
#include "os/fdpass.h"

#include "base/scope.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* asm-generic/socket.h, 6.16 */
#endif

/* Receiving takes microseconds. */
#define APART_PATIENCE (100 * MSEC)
#define PATIENCE_MS 1000

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FDPASS_MOST * sizeof(int))];
};

static void take_descriptors(struct fdpass_message *m, struct cmsghdr *c)
{
	size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	if (count > COUNT_OF(m->fds) - m->fd_count)
		count = COUNT_OF(m->fds) - m->fd_count; /* never more than SCM_MAX_FD */
	memcpy(m->fds + m->fd_count, CMSG_DATA(c), count * sizeof(int));
	m->fd_count += count;
}

static void take_control(struct fdpass_message *m, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			take_descriptors(m, c);
		} else if (c->cmsg_type == SCM_CREDENTIALS &&
			c->cmsg_len == CMSG_LEN(sizeof(m->cred))) {
			memcpy(&m->cred, CMSG_DATA(c), sizeof(m->cred));
			m->has_cred = true;
		}
	}
}

static void clear_message(struct fdpass_message *m)
{
	m->len = -1;
	m->cut = false;
	m->has_cred = false;
	m->cred = (struct ucred){0};
	m->fd_count = 0;
	m->lost = false;
}

/* recvmsg(2), with so much room for the sender and the descriptors.  A unix socket says ECONNRESET,
 * once, where the other end is gone and has left something unread; what it had sent before comes
 * after that (unix_release_sock() of the kernel). */
static ssize_t receive_with(
	int fd, void *data, size_t size, int flags, size_t room, struct fdpass_message *m)
{
	union control control uninitialized;
	struct iovec piece = {.iov_base = data, .iov_len = size};
	struct msghdr msg = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = room,
	};

	clear_message(m);
	do {
		m->len = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
	} while (m->len == -1 && (errno == EINTR || errno == ECONNRESET));
	m->cut = m->len != -1 && (msg.msg_flags & MSG_TRUNC) != 0;
	m->lost = m->len != -1 && (msg.msg_flags & MSG_CTRUNC) != 0;
	if (m->len != -1)
		take_control(m, &msg);
	return m->len;
}

#define ROOM_FOR_ALL sizeof(union control)

/* ---- from others ---- */

/* The room for a message without descriptors: the kernel drops them, and `lost` is set.  Behind
 * the sender's credentials, where SO_PASSCRED is set, there is no room for anything else
 * (scm_recv() of the kernel).  -1: errno; what is no unix socket has 0 (since 6.16 by EOPNOTSUPP). */
static ssize_t bare_room(int fd)
{
	int on = 0;
	socklen_t size = sizeof(on);

	if (getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, &size) == -1)
		return errno == EOPNOTSUPP ? 0 : -1;
	return on != 0 ? (ssize_t)CMSG_LEN(sizeof(struct ucred)) : 0;
}

int fdpass_look(int fd, void *data, size_t size, struct fdpass_message *m)
{
	ssize_t room = bare_room(fd);

	clear_message(m);
	if (room == -1 || receive_with(fd, data, size, MSG_PEEK | MSG_TRUNC, (size_t)room, m) == -1)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
	return 1;
}

struct apart {
	int fd;
	void *data;
	size_t size;
	int flags;
	struct fdpass_message *message;
};

/* Runs in a child; when the child exits, the kernel closes all that it has received. */
static int receive_apart(void *argument)
{
	const struct apart *a = argument;

	return (int)receive_with(a->fd, a->data, a->size, a->flags, ROOM_FOR_ALL, a->message);
}

/*
 * nclust holds no descriptor that another process has sent.  Each child of nclust
 * would have a copy of the descriptor and close it at its exec, and a file server
 * (FUSE) can make close(2) wait for ever.  So peek at the message first; if it
 * brings descriptors, a child with a table of its own receives it and exits.
 */
static ssize_t receive_untrusted(
	int fd, void *data, size_t size, int flags, enum fdpass_take take, struct fdpass_message *m)
{
	struct apart a = {fd, data, size, flags, m};
	const struct vfork_call call = {receive_apart, &a, NULL, fd, fd, true};
	ssize_t room = bare_room(fd);
	ssize_t got = -1;
	int on = 1;

	clear_message(m);
	if (room == -1)
		return -1;
	/* MSG_PEEK alone would skip an urgent byte of a stream */
	if ((flags & MSG_TRUNC) == 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	if (receive_with(fd, data, size, flags | MSG_PEEK, (size_t)room, m) == -1)
		return -1;
	/* of a stream, receive no more than was peeked at */
	if (m->len < (ssize_t)size)
		a.size = (size_t)m->len;
	if (!m->lost)
		return receive_with(fd, data, a.size, flags, (size_t)room, m);
	if (take != FDPASS_LEAVE)
		got = vfork_run_call(&call, APART_PATIENCE);
	if (got == -1)
		errno = EBUSY;
	m->fd_count = 0; /* these descriptors were the child's */
	m->lost = true;
	return got;
}

int fdpass_receive_apart(
	int fd, void *data, size_t size, enum fdpass_take take, struct fdpass_message *m)
{
	if (receive_untrusted(fd, data, size, MSG_TRUNC, take, m) == -1)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
	return 1;
}

ssize_t fdpass_read_apart(
	int fd, void *data, size_t size, enum fdpass_take take, struct fdpass_message *m)
{
	return receive_untrusted(fd, data, size, 0, take, m);
}

/* ---- from ourselves ---- */

int fdpass_receive(int fd, void *data, size_t size, struct fdpass_message *m)
{
	if (receive_with(fd, data, size, MSG_TRUNC, ROOM_FOR_ALL, m) == -1)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
	return 1;
}

ssize_t fdpass_read(int fd, void *data, size_t size, struct fdpass_message *m)
{
	return receive_with(fd, data, size, 0, ROOM_FOR_ALL, m);
}

void fdpass_drop(struct fdpass_message *m)
{
	for (size_t i = 0; i < m->fd_count; i++)
		fd_close(&m->fds[i]);
	m->fd_count = 0;
}

static void put_descriptors(
	struct msghdr *msg, union control *control, const int *fds, size_t fd_count)
{
	struct cmsghdr *c;

	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	memset(control->bytes, 0, msg->msg_controllen);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
}

static ssize_t send_with(int fd, const void *data, size_t len, const int *fds, size_t fd_count)
{
	union control control uninitialized;
	/* sendmsg() does not write to the data */
	struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &piece, .msg_iovlen = 1};
	ssize_t n;

	if (fd_count > 0)
		put_descriptors(&msg, &control, fds, fd_count);
	do {
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n == -1 && errno == EINTR);
	return n;
}

int fdpass_send(int fd, const void *data, size_t len, const int *fds, size_t fd_count)
{
	ssize_t n;

	if (fd_count > FDPASS_MOST) {
		errno = EINVAL;
		return -1;
	}
	n = send_with(fd, data, len, fds, fd_count);
	if (n == -1 || (size_t)n == len)
		return n == -1 ? -1 : 0;
	errno = EMSGSIZE; /* a stream took a part; packets are sent whole */
	return -1;
}

int fdpass_send_patiently(int fd, const void *data, size_t len, const int *fds, size_t fd_count)
{
	struct pollfd at = {.fd = fd, .events = POLLOUT};

	while (fdpass_send(fd, data, len, fds, fd_count) == -1)
		if ((errno != EAGAIN && errno != ENOBUFS && errno != ETOOMANYREFS) ||
			poll(&at, 1, PATIENCE_MS) != 1)
			return -1;
	return 0;
}

void fdpass_refuse(int fd)
{
	int off = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

int fdpass_passes(int fd)
{
	int on = 1;
	socklen_t size = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &on, &size) == 0 ? on : -1;
}

ssize_t fdpass_write(int fd, const void *data, size_t len, int passed)
{
	return send_with(fd, data, len, &passed, passed != -1 ? 1 : 0);
}

int fdpass_pair(int *ours, int *theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return -1;
	*ours = pair[0];
	*theirs = pair[1];
	/* O_NONBLOCK of one end does not concern the other end */
	if (fcntl(pair[0], F_SETFL, O_RDWR | O_NONBLOCK) == 0)
		return 0;
	fd_close(ours);
	fd_close(theirs);
	return -1;
}
