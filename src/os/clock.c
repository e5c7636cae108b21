/* SPDX-License-Identifier: MIT */
#include "os/clock.h"

#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

/* It cannot fail on Linux. */
static nsec_t clock_read(clockid_t which)
{
	struct timespec t;

	(void)clock_gettime(which, &t);
	return (nsec_t)t.tv_sec * SECOND + t.tv_nsec;
}

nsec_t clock_now(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

double clock_wall(void)
{
	return nsec_seconds(clock_read(CLOCK_REALTIME));
}

static nsec_t of_timeval(struct timeval t)
{
	return t.tv_sec * SECOND + t.tv_usec * USEC;
}

nsec_t clock_worked(void)
{
	struct rusage children;

	(void)getrusage(RUSAGE_CHILDREN, &children); /* this cannot fail either */
	return clock_read(CLOCK_THREAD_CPUTIME_ID) + of_timeval(children.ru_utime) +
		of_timeval(children.ru_stime);
}

static void on_alarm(int signal)
{
	(void)signal; /* the signal itself interrupts the call */
}

int clock_alarm_prepare(void)
{
	const struct sigaction alarm = {.sa_handler = on_alarm};

	return sigaction(SIGALRM, &alarm, NULL);
}

void clock_alarm(int us)
{
	const struct itimerval value = {
		.it_interval.tv_usec = us,
		.it_value.tv_usec = us,
	};

	(void)setitimer(ITIMER_REAL, &value, NULL);
}
