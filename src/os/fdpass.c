/* SPDX-License-Identifier: MIT */
#include "os/fdpass.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* Room for exactly what is wanted: the kernel puts no descriptor into the
 * process that does not fit (MSG_CTRUNC), so none can leak. */
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(struct ucred)) +
		CMSG_SPACE(8 * sizeof(int))];
};

static void take_descriptors(struct fdpass_message *m, struct cmsghdr *c)
{
	size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++) {
		int fd;

		(void)memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (m->fd_count < COUNT_OF(m->fds))
			m->fds[m->fd_count++] = fd;
		else
			fd_close(&fd);
	}
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

/* As recvmsg(2), into room of that size for what comes along. */
static ssize_t receive(int fd, void *data, size_t size, union control *control,
	size_t room, int flags, struct msghdr *msg)
{
	struct iovec piece = {.iov_base = data, .iov_len = size};
	ssize_t n;

	*msg = (struct msghdr){
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control->bytes,
		.msg_controllen = room,
	};
	do {
		n = recvmsg(fd, msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
	} while (n == -1 && errno == EINTR);
	msg->msg_iov = NULL;
	return n;
}

int fdpass_receive(int fd, void *data, size_t size, struct fdpass_message *m)
{
	union control control;
	struct msghdr msg;

	(void)memset(m, 0, sizeof(*m));
	m->len = receive(fd, data, size, &control, sizeof(control.bytes),
		MSG_TRUNC, &msg);
	if (m->len == -1)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
	m->cut = (msg.msg_flags & MSG_TRUNC) != 0;
	take_control(m, &msg);
	return 1;
}

static void put_descriptors(struct msghdr *msg, union control *control,
	const int *fds, size_t fd_count)
{
	struct cmsghdr *c;

	(void)memset(control, 0, sizeof(*control));
	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
	(void)memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
}

static ssize_t transmit(
	int fd, const void *data, size_t len, const int *fds, size_t fd_count)
{
	union control control;
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

	if (fd_count > 8) {
		errno = EINVAL;
		return -1;
	}
	n = transmit(fd, data, len, fds, fd_count);
	if (n == -1 || (size_t)n == len)
		return n == -1 ? -1 : 0;
	errno = EMSGSIZE; /* a stream took a part; packets never do */
	return -1;
}

ssize_t fdpass_read(int fd, void *data, size_t size, int *passed, bool *lost)
{
	struct fdpass_message m = {0};
	union control control;
	struct msghdr msg;
	/* CMSG_SPACE() would have room for two */
	ssize_t got = receive(
		fd, data, size, &control, CMSG_LEN(sizeof(int)), 0, &msg);

	if (got != -1)
		take_control(&m, &msg);
	*passed = m.fd_count > 0 ? m.fds[0] : -1;
	*lost = m.fd_count > 1 ||
		(got != -1 && (msg.msg_flags & MSG_CTRUNC) != 0);
	for (size_t i = 1; i < m.fd_count; i++)
		fd_close(&m.fds[i]);
	return got;
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
