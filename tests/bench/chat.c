/* SPDX-License-Identifier: MIT */
/*
 * Two workers whose messages are relayed to each other, whoever their primary
 * is: chat COUNT FILE, with NCLUST_SLOT 0 and 1.
 *
 * The first sends COUNT messages, each with a write of its own, and has at most
 * WINDOW unanswered, so that nothing is lost where queues are bounded; the second
 * answers each ACK_EACH of them.  FILE gets how many a second came and went.
 */
#include "bench.h"

#define WINDOW 4000
#define ACK_EACH 500
#define ROOM (1U << 20)

static int channel;
static char room[ROOM];
static size_t used;

/* What is there, at least a line, which `take` gets one by one. */
static void hear(void (*take)(const char *line, void *data), void *data)
{
	ssize_t n = read(channel, room + used, ROOM - used);
	char *at = room;
	char *end;

	if (n <= 0)
		_exit(n == 0 ? 0 : 99);
	used += (size_t)n;
	while ((end = memchr(at, '\n', used)) != NULL) {
		size_t len = (size_t)(end - at) + 1;

		*end = '\0';
		take(at, data);
		at += len;
		used -= len;
	}
	memmove(room, at, used);
}

/* ---- who answers ---- */

static void count(const char *line, void *data)
{
	uint64_t *heard = data;
	char ack[48];

	(void)line;
	if (++*heard % ACK_EACH == 0)
		bench_put(channel, ack,
			(size_t)snprintf(
				ack, sizeof(ack), "{\"ack\":%llu}\n", (unsigned long long)*heard));
}

static void answer(void)
{
	uint64_t heard = 0;

	bench_put(channel, "{\"ack\":0}\n", 10);
	for (;;)
		hear(count, &heard);
}

/* ---- who sends ---- */

static void take_ack(const char *line, void *data)
{
	const char *at = strstr(line, "\"ack\":");

	if (at != NULL)
		*(int64_t *)data = strtoll(at + 6, NULL, 10);
}

static void send_all(int64_t total, const char *file)
{
	int64_t acked = -1;
	int64_t sent = 0;
	int64_t began;
	FILE *out;

	while (acked < 0) /* the other one is there */
		hear(take_ack, &acked);
	began = bench_now();
	while (acked < total) {
		char line[80];

		if (sent < total && sent - acked < WINDOW) {
			bench_put(channel, line,
				(size_t)snprintf(line, sizeof(line),
					"{\"id\":%lld,\"text\":\"hello\"}\n", (long long)sent++));
			continue;
		}
		hear(take_ack, &acked);
	}
	out = fopen(file, "w");
	if (out == NULL)
		bench_die(file);
	fprintf(out, "%.0f\n", 1e9 * (double)total / (double)(bench_now() - began));
	(void)fclose(out);
}

int main(int argc, char **argv)
{
	const char *number = getenv("NCLUST_CHANNEL_FD");
	const char *slot = getenv("NCLUST_SLOT");

	if (number == NULL)
		number = getenv("NODE_CHANNEL_FD");
	if (slot == NULL || argc != 3 || number == NULL)
		return 2;
	channel = atoi(number);
	(void)alarm(120);
	if (strcmp(slot, "0") != 0)
		answer();
	send_all(strtoll(argv[1], NULL, 10), argv[2]);
	for (;;)
		(void)pause();
}
