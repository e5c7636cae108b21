/* SPDX-License-Identifier: MIT */
#include "closer/closer.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "os/fdpass.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>

/* So long may one descriptor's last data take to leave. */
#define LINGER_US 20000

static void on_alarm(int signal)
{
	(void)signal; /* that it interrupts close(2) is all */
}

/* A signal ends the wait for SO_LINGER (tcp_close() of the kernel). */
static void close_soon(int fd)
{
	const struct linger none = {0};
	const struct itimerval bound = {
		{0, LINGER_US},
		{0, LINGER_US},
	};
	const struct itimerval off = {0};

	/* no socket: fine; and its owner may set it again */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	(void)setitimer(ITIMER_REAL, &bound, NULL);
	fd_close(&fd);
	(void)setitimer(ITIMER_REAL, &off, NULL);
}

int closer_main(int channel)
{
	const struct sigaction alarm = {.sa_handler = on_alarm};
	struct pollfd wait = {.fd = channel, .events = POLLIN};
	struct fdpass_message m;
	char byte;

	if (sigaction(SIGALRM, &alarm, NULL) == -1)
		return EX_OSERR;
	for (;;) {
		int got = fdpass_receive(channel, &byte, sizeof(byte), &m);

		if (got == 0)
			(void)poll(&wait, 1, -1);
		if (got == 0)
			continue;
		if (got == -1 || m.len == 0)
			return got == -1 ? EX_IOERR : 0;
		for (size_t i = 0; i < m.fd_count; i++)
			close_soon(m.fds[i]);
		if (fdpass_send(channel, &byte, 1, NULL, 0) == -1)
			return 0; /* nobody waits for it any more */
	}
}
