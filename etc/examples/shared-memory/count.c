/* SPDX-License-Identifier: MIT */
/*
 * Counts in the shared memory of its cluster, together with the others, in C,
 * Python and Java: at byte 0 by atomic additions, at byte 64 under a lock.
 *
 *   cc -O2 -o count count.c && nclust -n 4 --shared-memory 64k -- ./count
 *
 * The lock is a record lock of the descriptor, fcntl(2): the kernel gives it back
 * when its holder dies, whatever of.  Behind them each slot has a tally of its own, so
 * that one can see that none is lost.  After each round a line goes to the file that
 * is the first argument, or to standard output.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ATOMIC_AT 0
#define LOCKED_AT 64
#define TALLIES_AT 128 /* of each slot 64 bytes: by atomics, under the lock */
#define ATOMIC_ROUND 100000
#define LOCKED_ROUND 100

static long number(const char *name)
{
	const char *text = getenv(name);

	if (text == NULL) {
		fprintf(stderr, "no %s: set 'shared-memory'\n", name);
		exit(1);
	}
	return strtol(text, NULL, 10);
}

static void lock(int fd, short type)
{
	struct flock l = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = LOCKED_AT,
		.l_len = 8,
	};

	while (fcntl(fd, F_SETLKW, &l) == -1)
		;
}

int main(int argc, char **argv)
{
	int fd = (int)number("NCLUST_SHM_FD");
	size_t size = (size_t)number("NCLUST_SHM_SIZE");
	int to = argc > 1 ? open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0666)
			  : STDOUT_FILENO;
	char *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	_Atomic uint64_t *by_atomics;
	volatile uint64_t *under_lock;
	volatile uint64_t *tally;

	if (memory == MAP_FAILED || to == -1) {
		perror("count");
		return 1;
	}
	by_atomics = (_Atomic uint64_t *)(memory + ATOMIC_AT);
	under_lock = (volatile uint64_t *)(memory + LOCKED_AT);
	tally = (volatile uint64_t *)(memory + TALLIES_AT +
		64 * number("NCLUST_SLOT"));
	for (;;) {
		for (int i = 0; i < ATOMIC_ROUND; i++) {
			atomic_fetch_add(by_atomics, 1);
			tally[0]++;
		}
		for (int i = 0; i < LOCKED_ROUND; i++) {
			lock(fd, F_WRLCK);
			*under_lock = *under_lock + 1;
			tally[1]++;
			lock(fd, F_UNLCK);
		}
		if (dprintf(to, "c\n") < 0)
			return 1;
		usleep(10000);
	}
}
