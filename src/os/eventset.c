/* SPDX-License-Identifier: MIT */
#include "os/descriptors.h"

#include "base/scope.h"
#include "os/privilege.h"

#include <linux/capability.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool submit_poll(const struct eventset *s)
{
	struct iocb wait = {
		.aio_lio_opcode = IOCB_CMD_POLL,
		.aio_fildes = (uint32_t)s->set,
		.aio_buf = POLLIN,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)s->wake,
	};
	struct iocb *list = &wait;

	return syscall(SYS_io_submit, s->context, 1L, &list) == 1;
}

int eventset_open(struct eventset *s)
{
	*s = (struct eventset){.set = epoll_create1(EPOLL_CLOEXEC), .wake = -1};
	if (s->set == -1)
		return -1;
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake != -1 && privilege_has(CAP_SETUID) &&
		syscall(SYS_io_setup, 1L, &s->context) == 0) {
		s->armed = submit_poll(s);
		if (s->armed)
			return 0;
		(void)syscall(SYS_io_destroy, s->context);
		s->context = 0;
	}
	fd_close(&s->wake);
	s->wake = s->set;
	return 0;
}

void eventset_close(struct eventset *s)
{
	if (s->wake != s->set)
		fd_close(&s->wake);
	fd_close(&s->set);
	s->context = 0;
}

void eventset_arm(struct eventset *s)
{
	if (s->context == 0 || s->armed)
		return;
	s->armed = submit_poll(s);
	if (!s->armed) /* the kernel is short of memory: try in the next turn */
		(void)eventfd_write(s->wake, 1);
}

void eventset_take(struct eventset *s)
{
	struct timespec now = {0};
	struct io_event event;
	eventfd_t count;

	if (s->context == 0)
		return;
	(void)eventfd_read(s->wake, &count);
	if (syscall(SYS_io_getevents, s->context, 0L, 1L, &event, &now) == 1)
		s->armed = false;
}
