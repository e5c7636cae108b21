/* SPDX-License-Identifier: MIT */
#include "os/fdpass.h"

#include "base/scope.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* asm-generic/socket.h, 6.16 */
#endif

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(struct ucred)) +
		CMSG_SPACE(FDPASS_MOST * sizeof(int))];
};

static void take_descriptors(struct fdpass_message *m, struct cmsghdr *c)
{
	size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	if (count > COUNT_OF(m->fds) - m->fd_count)
		count = COUNT_OF(m->fds) - m->fd_count; /* cannot be */
	(void)memcpy(m->fds + m->fd_count, CMSG_DATA(c), count * sizeof(int));
	m->fd_count += count;
}

static void take_control(struct fdpass_message *m, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
		c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			take_descriptors(m, c);
		} else if (c->cmsg_type == SCM_CREDENTIALS &&
			c->cmsg_len == CMSG_LEN(sizeof(m->cred))) {
			(void)memcpy(&m->cred, CMSG_DATA(c), sizeof(m->cred));
			m->has_cred = true;
		}
	}
}

/* As recvmsg(2), with all that comes along. */
static ssize_t receive_here(
	int fd, void *data, size_t size, int flags, struct fdpass_message *m)
{
	union control control untouched;
	struct iovec piece = {.iov_base = data, .iov_len = size};
	struct msghdr msg = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};

	m->has_cred = false;
	m->cred = (struct ucred){0};
	m->fd_count = 0;
	do {
		m->len = recvmsg(
			fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
	} while (m->len == -1 && errno == EINTR);
	m->cut = m->len != -1 && (msg.msg_flags & MSG_TRUNC) != 0;
	m->lost = m->len != -1 && (msg.msg_flags & MSG_CTRUNC) != 0;
	if (m->len != -1)
		take_control(m, &msg);
	return m->len;
}

struct receiving {
	int fd;
	void *data;
	size_t size;
	int flags;
	struct fdpass_message *message;
	ssize_t got;
};

static int receive_aside(void *argument)
{
	struct receiving *r = argument;

	r->got = receive_here(r->fd, r->data, r->size, r->flags, r->message);
	return r->got == -1 ? -1 : 0;
}

/* Is there a number for each descriptor that may come? */
static bool has_room(int fd)
{
	struct rlimit limit;
	int lowest = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (lowest == -1 || getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return false;
	(void)close(lowest);
	return limit.rlim_cur - (rlim_t)lowest > FDPASS_MOST;
}

/*
 * The kernel closes what there is no number for, in the midst of recvmsg(2), and
 * that may take any time: so a child receives then.
 */
static ssize_t receive(
	int fd, void *data, size_t size, int flags, struct fdpass_message *m)
{
	struct receiving r = {fd, data, size, flags, m, -1};

	if (has_room(fd))
		return receive_here(fd, data, size, flags, m);
	m->fd_count = 0;
	m->len = -1;
	(void)vfork_call(receive_aside, &r);
	return r.got;
}

int fdpass_receive(int fd, void *data, size_t size, struct fdpass_message *m)
{
	if (receive(fd, data, size, MSG_TRUNC, m) == -1)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
	return 1;
}

ssize_t fdpass_read(int fd, void *data, size_t size, struct fdpass_message *m)
{
	return receive(fd, data, size, 0, m);
}

void fdpass_drop(struct fdpass_message *m)
{
	for (size_t i = 0; i < m->fd_count; i++)
		fd_close(&m->fds[i]);
	m->fd_count = 0;
}

static void put_descriptors(struct msghdr *msg, union control *control,
	const int *fds, size_t fd_count)
{
	struct cmsghdr *c;

	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	(void)memset(control->bytes, 0, msg->msg_controllen);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
	(void)memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
}

static ssize_t transmit(
	int fd, const void *data, size_t len, const int *fds, size_t fd_count)
{
	union control control untouched;
	/* sendmsg() does not write to the data */
	struct iovec piece = {
		.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &piece, .msg_iovlen = 1};
	ssize_t n;

	if (fd_count > 0)
		put_descriptors(&msg, &control, fds, fd_count);
	do {
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n == -1 && errno == EINTR);
	return n;
}

int fdpass_send(
	int fd, const void *data, size_t len, const int *fds, size_t fd_count)
{
	ssize_t n;

	if (fd_count > FDPASS_MOST) {
		errno = EINVAL;
		return -1;
	}
	n = transmit(fd, data, len, fds, fd_count);
	if (n == -1 || (size_t)n == len)
		return n == -1 ? -1 : 0;
	errno = EMSGSIZE; /* a stream took a part; packets never do */
	return -1;
}

void fdpass_refuse(int fd)
{
	int off = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

bool fdpass_refuses(int fd)
{
	int on = 1;
	socklen_t size = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &on, &size) == 0 &&
		on == 0;
}

ssize_t fdpass_write(int fd, const void *data, size_t len, int passed)
{
	return transmit(fd, data, len, &passed, passed != -1 ? 1 : 0);
}

int fdpass_pair(int *ours, int *theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return -1;
	*ours = pair[0];
	*theirs = pair[1];
	/* each end has flags of its own */
	if (fcntl(pair[0], F_SETFL, O_RDWR | O_NONBLOCK) == 0)
		return 0;
	fd_close(ours);
	fd_close(theirs);
	return -1;
}
