/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/*
 * Linked into the variant nclust-clock: the time of nclust, and of libev in it, is what
 * a test has written to this page (tests/harness/instance.py, Clock).  Without that file
 * it is the machine's.
 */
#define PAGE "/run/clock"
#define SECOND 1000000000
/* A timer that is due at once has to come, and libev lets it come after that moment: time
 * that stands goes on by so much each time that somebody asks for it. */
#define CREEP 50

static const volatile struct page {
	int64_t stands; /* CLOCK_MONOTONIC is this, if it is not 0 ... */
	int64_t ahead;  /* ... and else so much later than the machine's */
	int64_t wall;   /* CLOCK_REALTIME is so much later than that */
} * page;

__attribute__((constructor)) static void open_page(void)
{
	int fd = open(PAGE, O_RDONLY | O_CLOEXEC);
	void *at;

	if (fd == -1)
		return;
	at = mmap(NULL, sizeof(*page), PROT_READ, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED)
		page = at;
	(void)close(fd);
}

int clock_gettime(clockid_t which, struct timespec *to)
{
	static _Atomic int64_t crept;
	long failed;
	int64_t now;

	if (page == NULL || (which != CLOCK_MONOTONIC && which != CLOCK_REALTIME))
		return (int)syscall(SYS_clock_gettime, which, to);
	failed = syscall(SYS_clock_gettime, CLOCK_MONOTONIC, to);
	if (failed != 0)
		return (int)failed;
	now = page->stands;
	if (now == 0)
		now = (int64_t)to->tv_sec * SECOND + to->tv_nsec + page->ahead;
	else
		now += atomic_fetch_add(&crept, CREEP) + CREEP;
	if (which == CLOCK_REALTIME)
		now += page->wall;
	to->tv_sec = now / SECOND;
	to->tv_nsec = now % SECOND;
	return 0;
}

/* libev asks by this one after a jump. */
int gettimeofday(struct timeval *restrict to, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	to->tv_sec = now.tv_sec;
	to->tv_usec = now.tv_nsec / 1000;
	return 0;
}
