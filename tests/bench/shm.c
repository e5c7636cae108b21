/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * A worker that measures its cluster's shared memory against memory of its own,
 * in turns, and writes to the file that it is given what it has found:
 *
 *	NAME OF-THE-SEGMENT OF-ITS-OWN
 *
 * in nanoseconds an atomic addition, a write to a page that is there, and in
 * microseconds a copy of a megabyte; the best turn of each.
 */
#define TURNS 15
#define ADDITIONS 2000000
#define MEGABYTE ((size_t)1 << 20)

enum figure { ADD, STRIDE, COPY, FIGURES };
static const char *const names[FIGURES] = {"add", "stride", "copy"};

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double add(char *memory)
{
	_Atomic uint64_t *count = (_Atomic uint64_t *)(void *)memory;
	double began = now();

	for (int i = 0; i < ADDITIONS; i++)
		(void)atomic_fetch_add(count, 1);
	return (now() - began) / ADDITIONS;
}

/* All over it, a line of the cache each time: as the pages are reached. */
static double stride(char *memory, size_t size)
{
	uint64_t at = 0;
	size_t lines = size / 64;
	double began = now();

	for (int i = 0; i < ADDITIONS; i++) {
		at = at * UINT64_C(6364136223846793005) + 1442695040888963407U;
		memory[(at >> 33) % lines * 64]++;
	}
	return (now() - began) / ADDITIONS;
}

static double copy(char *memory, size_t size)
{
	size_t half = size / 2 / MEGABYTE * MEGABYTE;
	double began = now();

	for (size_t at = 0; at < half; at += MEGABYTE)
		memcpy(memory + half + at, memory + at, MEGABYTE);
	return (now() - began) / 1e3 / (double)(half / MEGABYTE);
}

static double run(enum figure figure, char *memory, size_t size)
{
	switch (figure) {
	case ADD:
		return add(memory);
	case STRIDE:
		return stride(memory, size);
	default:
		return copy(memory, size);
	}
}

int main(int argc, char **argv)
{
	const char *fd = getenv("NCLUST_SHM_FD");
	const char *bytes = getenv("NCLUST_SHM_SIZE");
	size_t size = bytes != NULL ? strtoul(bytes, NULL, 10) : 0;
	double best[FIGURES][2] = {{0}};
	char *memory[2];
	FILE *out;

	if (argc != 2 || fd == NULL || size < 2 * MEGABYTE)
		return 64;
	memory[0] =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)strtol(fd, NULL, 10), 0);
	memory[1] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory[0] == MAP_FAILED || memory[1] == MAP_FAILED)
		return 1;
	for (int which = 0; which < 2; which++)
		memset(memory[which], 1, size);
	for (int turn = 0; turn < 2 * TURNS; turn++)
		for (int f = 0; f < FIGURES; f++) {
			int which = (turn + f) % 2;
			double t = run((enum figure)f, memory[which], size);

			if (best[f][which] == 0 || t < best[f][which])
				best[f][which] = t;
		}
	out = fopen(argv[1], "w");
	if (out == NULL)
		return 1;
	for (int f = 0; f < FIGURES; f++)
		fprintf(out, "%s %.3f %.3f\n", names[f], best[f][0], best[f][1]);
	(void)fclose(out);
	(void)pause();
	return 0;
}
