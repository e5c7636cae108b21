/* SPDX-License-Identifier: MIT */
/*
 * A worker that says much: spout DIR MB SECONDS WIDTH
 *
 * It says "ready" in DIR/said, waits for DIR/go, and writes lines of WIDTH bytes (0:
 * of all lengths up to 1,000) to stdout, as fast as that takes them, until it has
 * written so many MB or for so long.  When its pipe has been emptied, DIR/said gets
 * the number of bytes and of lines, and when it began and ended, in nanoseconds.
 * It exits once there is DIR/end.
 */
#include "bench.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#define BLOCK (1U << 16)

static char block[BLOCK];

static void say(const char *dir, const char *text)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/said", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd == -1 || write(fd, text, strlen(text)) == -1)
		bench_die(path);
	(void)close(fd);
}

static void await(const char *dir, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	while (access(path, F_OK) == -1)
		(void)usleep(2000);
}

/* Whole lines only; the number of them.  *len: the bytes. */
static unsigned fill(unsigned width, size_t *len)
{
	static const unsigned mixed[] = {12, 80, 35, 200, 120, 1, 1000, 60};
	unsigned lines = 0;
	size_t used = 0;

	for (;; lines++) {
		size_t n = width > 0 ? width : mixed[lines % 8];

		if (used + n > BLOCK)
			break;
		for (size_t i = 0; i + 1 < n; i++)
			block[used + i] = (char)('a' + (i + lines) % 26);
		block[used + n - 1] = '\n';
		used += n;
	}
	*len = used;
	return lines;
}

static void put(size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(STDOUT_FILENO, block + done, len - done);

		if (n == -1)
			bench_die("write");
		done += (size_t)n;
	}
}

int main(int argc, char **argv)
{
	uint64_t most, bytes = 0, lines = 0;
	int64_t begun, over;
	unsigned in_block;
	char text[128];
	size_t len;
	int left = 0;

	if (argc != 5)
		return 64;
	most = strtoull(argv[2], NULL, 10) * 1000000;
	in_block = fill((unsigned)atoi(argv[4]), &len);
	say(argv[1], "ready\n");
	await(argv[1], "go");
	begun = bench_now();
	over = begun + (int64_t)(atof(argv[3]) * 1e9);
	while (bytes < most && bench_now() < over) {
		put(len);
		bytes += len;
		lines += in_block;
	}
	while (ioctl(STDOUT_FILENO, FIONREAD, &left) == 0 && left > 0)
		(void)usleep(500);
	snprintf(text, sizeof(text), "%llu %llu %lld %lld\n", (unsigned long long)bytes,
		(unsigned long long)lines, (long long)begun, (long long)bench_now());
	say(argv[1], text);
	await(argv[1], "end");
	return 0;
}
