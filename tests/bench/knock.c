/* SPDX-License-Identifier: MIT */
/*
 * How long does another client wait?  knock SOCKET MILLISECONDS: connects to a
 * control socket again and again for that time, each time until the greeting
 * has come.  Prints how often, the median and the longest wait, microseconds.
 */
#include "bench.h"

enum { MOST = 100000 };

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	const struct timespec nap = {.tv_nsec = 300000};
	static int64_t waits[MOST];
	struct sockaddr_un at;
	char greeting[512];
	int64_t until;
	size_t n;
	int fd;

	if (argc < 3 || bench_unix_address(&at, argv[1]) == -1)
		return 64;
	(void)alarm(60);
	until = bench_now() + atol(argv[2]) * INT64_C(1000000);
	for (n = 0; n < MOST && bench_now() < until; n++) {
		waits[n] = -bench_now();
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd == -1 ||
			connect(fd, (struct sockaddr *)&at, sizeof(at)) == -1 ||
			read(fd, greeting, sizeof(greeting)) <= 0)
			bench_die(argv[1]);
		waits[n] += bench_now();
		(void)close(fd);
		(void)nanosleep(&nap, NULL);
	}
	qsort(waits, n, sizeof(*waits), by_size);
	(void)printf("%zu %lld %lld\n", n,
		n ? (long long)(waits[n / 2] / 1000) : 0,
		n ? (long long)(waits[n - 1] / 1000) : 0);
	return 0;
}
