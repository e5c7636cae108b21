/* SPDX-License-Identifier: MIT */
/*
 * Asks a control socket again and again, until SIGTERM, and prints the longest
 * time that an answer took, and the median, in microseconds.
 *
 *   silence SOCKET
 *
 * "ready" when the first answer has come.
 */
#include <signal.h>
#include <stdbool.h>

#include "bench.h"

#define ASKED_MAX 200000

static const char question[] =
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events\","
	"\"params\":{\"last\":0}}\n";

static volatile sig_atomic_t over;

static void on_term(int signal)
{
	(void)signal;
	over = 1;
}

/* Up to a line that is an answer; the greeting is none. */
static void await_answer(FILE *from)
{
	char line[4096];

	while (fgets(line, sizeof(line), from) != NULL)
		if (strstr(line, "\"result\"") != NULL)
			return;
	bench_die("no answer");
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	static int64_t took[ASKED_MAX];
	const struct timespec pause = {.tv_nsec = 200000};
	struct sigaction action = {
		.sa_handler = on_term, .sa_flags = SA_RESTART};
	struct sockaddr_un at;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *from = fd != -1 ? fdopen(fd, "r") : NULL;
	size_t asked = 0;

	if (argc != 2 || from == NULL || bench_unix_address(&at, argv[1]) == -1)
		bench_die("usage: silence SOCKET");
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == -1)
		bench_die(argv[1]);
	(void)sigaction(SIGTERM, &action, NULL);
	while (!over && asked < ASKED_MAX) {
		int64_t began = bench_now();

		if (write(fd, question, sizeof(question) - 1) == -1)
			bench_die("write");
		await_answer(from);
		took[asked++] = (bench_now() - began) / 1000;
		if (asked == 1) {
			puts("ready");
			(void)fflush(stdout);
		}
		(void)nanosleep(&pause, NULL);
	}
	qsort(took, asked, sizeof(*took), by_size);
	printf("%lld %lld\n", (long long)took[asked - 1],
		(long long)took[asked / 2]);
	return 0;
}
