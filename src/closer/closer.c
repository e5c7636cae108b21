/* SPDX-License-Identifier: MIT */
#include "closer/closer.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "os/fdpass.h"

#include <poll.h>
#include <signal.h>
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
	const struct itimerval bound = {
		{0, LINGER_US},
		{0, LINGER_US},
	};
	const struct itimerval off = {0};

	(void)setitimer(ITIMER_REAL, &bound, NULL);
	fd_close(&fd);
	(void)setitimer(ITIMER_REAL, &off, NULL);
}

/* One packet.  1: it has come; 0: the channel was closed; -1 and errno. */
static int take_packet(int channel, struct fdpass_message *m)
{
	struct pollfd wait = {.fd = channel, .events = POLLIN};
	char byte;
	int got;

	while ((got = fdpass_receive(channel, &byte, sizeof(byte), m)) == 0)
		(void)poll(&wait, 1, -1);
	return got == 1 && m->len == 0 ? 0 : got;
}

int closer_main(int channel)
{
	const struct sigaction alarm = {.sa_handler = on_alarm};
	struct fdpass_message m;
	struct fdpass_message go;
	int got;

	if (sigaction(SIGALRM, &alarm, NULL) == -1)
		return EX_OSERR;
	while ((got = take_packet(channel, &m)) == 1) {
		got = take_packet(channel, &go);
		for (size_t i = 0; got == 1 && i < m.fd_count; i++) {
			close_soon(m.fds[i]);
			if (fdpass_send(channel, "", 1, NULL, 0) == -1)
				return 0; /* nobody waits for it any more */
		}
	}
	return got == 0 ? 0 : EX_IOERR;
}
