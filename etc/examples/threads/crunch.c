/* SPDX-License-Identifier: MIT */
/*
 * A worker that computes, with OpenMP: what `threads = auto` brings.
 *
 *   cc -O2 -fopenmp -o crunch crunch.c
 *   nclust -n auto -- ./crunch 10 /tmp/result
 *   nclust -n auto --threads auto -- ./crunch 10 /tmp/result
 *
 * For so many seconds it does one job after the other, each of many short parallel
 * loops, and then adds a line to the file: the jobs, the median and the 99th
 * percentile of the time of one in milliseconds, the context switches, and the
 * threads.
 */
#include <fcntl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SIZE 20000
#define STEPS 200
#define JOBS_MAX 1000000

static double field[2][SIZE];
static double times[JOBS_MAX];

/* Heat spreads along a rod. */
static void job(void)
{
	for (int step = 0; step < STEPS; step++) {
		const double *from = field[step % 2];
		double *to = field[1 - step % 2];

#pragma omp parallel for
		for (int i = 1; i < SIZE - 1; i++)
			to[i] = 0.25 * from[i - 1] + 0.5 * from[i] +
				0.25 * from[i + 1];
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	double seconds = argc > 2 ? atof(argv[1]) : 0;
	int to = argc > 2 ? open(argv[2], O_WRONLY | O_APPEND | O_CREAT, 0666)
			  : -1;
	struct rusage usage;
	double began;
	int count = 0;

	if (to == -1) {
		fprintf(stderr, "usage: %s SECONDS FILE\n", argv[0]);
		return 64;
	}
	field[0][SIZE / 2] = 1e6;
	job(); /* the threads begin */
	began = omp_get_wtime();
	while (count < JOBS_MAX && omp_get_wtime() - began < seconds) {
		double start = omp_get_wtime();

		job();
		times[count++] = (omp_get_wtime() - start) * 1e3;
	}
	qsort(times, (size_t)count, sizeof(times[0]), by_value);
	getrusage(RUSAGE_SELF, &usage);
	dprintf(to, "%d %.3f %.3f %ld %d\n", count, times[count / 2],
		times[count * 99 / 100], usage.ru_nvcsw + usage.ru_nivcsw,
		omp_get_max_threads());
	pause();
	return 0;
}
