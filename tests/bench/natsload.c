/* SPDX-License-Identifier: MIT */
/*
 * How many messages of a size come from one process to another through a broker of
 * NATS, in bytes a second.
 *
 *	natsload bare PORT COUNT SIZE   a publisher and a subscriber, by libnats
 *	natsload send COUNT SIZE FILE   a worker under nclust that sends; the figure
 *	                                goes to FILE
 *	natsload take COUNT SIZE        a worker under another nclust
 *
 * A message is a string of JSON.  No more than WINDOW bytes are unanswered, and the
 * taker answers each quarter of it, in both ways alike.
 */
#include "bench.h"

#if !__has_include(<nats/nats.h>)

int main(void)
{
	fputs("natsload: built without libnats-dev\n", stderr);
	return 77;
}

#else

#include <nats/nats.h>

#include <poll.h>
#include <sys/wait.h>

#define WINDOW (512L * 1024)
#define ROOM (4U << 20)
#define ACK "{\"ack\":"

static long count;
static long size;

static char *message(void)
{
	char *text = malloc((size_t)size + 2);

	if (text == NULL)
		bench_die("malloc");
	memset(text, 'x', (size_t)size);
	text[0] = text[size - 1] = '"';
	text[size] = '\n';
	text[size + 1] = '\0';
	return text;
}

static long window(void)
{
	return WINDOW / size > 4 ? WINDOW / size : 4;
}

static long ack_of(const char *text)
{
	const char *at = strstr(text, ACK);

	return at != NULL ? atol(at + strlen(ACK)) : -1;
}

static double rate(int64_t began)
{
	return (double)count * (double)size * 1e9 / (double)(bench_now() - began);
}

/* ---- by libnats ---- */

static void must(natsStatus s)
{
	if (s == NATS_OK)
		return;
	fprintf(stderr, "natsload: %s\n", natsStatus_GetText(s));
	exit(98);
}

static natsConnection *join(const char *port, const char *subject, natsSubscription **sub)
{
	natsConnection *c;
	char url[64];

	snprintf(url, sizeof(url), "nats://127.0.0.1:%s", port);
	must(natsConnection_ConnectTo(&c, url));
	must(natsConnection_SubscribeSync(sub, c, subject));
	must(natsConnection_Flush(c));
	return c;
}

static void bare_take(const char *port)
{
	natsSubscription *sub;
	natsConnection *c = join(port, "bench.there", &sub);
	long each = window() / 4;
	char text[48];

	must(natsConnection_PublishString(c, "bench.back", ACK "0}"));
	for (long n = 1; n <= count; n++) {
		natsMsg *msg;

		must(natsSubscription_NextMsg(&msg, sub, 60000));
		natsMsg_Destroy(msg);
		if (n % each != 0 && n != count)
			continue;
		snprintf(text, sizeof(text), ACK "%ld}", n);
		must(natsConnection_PublishString(c, "bench.back", text));
	}
	must(natsConnection_Flush(c));
	_exit(0);
}

static void bare_send(const char *port)
{
	natsSubscription *sub;
	natsConnection *c = join(port, "bench.back", &sub);
	char *text = message();
	int64_t began = 0;
	long acked = -1;
	long sent = 0;

	if (fork() == 0) {
		char number[2][24];

		snprintf(number[0], sizeof(number[0]), "%ld", count);
		snprintf(number[1], sizeof(number[1]), "%ld", size);
		(void)execl("/proc/self/exe", "natsload", "bare-take", port, number[0], number[1],
			(char *)NULL);
		_exit(99);
	}
	while (acked < count) {
		natsMsg *msg;

		if (acked >= 0 && sent < count && sent - acked < window()) {
			if (sent++ == 0)
				began = bench_now();
			must(natsConnection_Publish(c, "bench.there", text, (int)size));
			continue;
		}
		must(natsSubscription_NextMsg(&msg, sub, 60000));
		acked = ack_of(natsMsg_GetData(msg));
		natsMsg_Destroy(msg);
	}
	printf("%.0f\n", rate(began));
	(void)wait(NULL);
}

/* ---- as workers ---- */

static int channel;
static char room[ROOM];
static size_t used;

/* Lines that came; the last of them is told, too. */
static long hear(long *acked)
{
	ssize_t n = read(channel, room + used, ROOM - used);
	long lines = 0;
	char *at = room;
	char *end;

	if (n <= 0)
		_exit(n == 0 ? 0 : 99);
	used += (size_t)n;
	while ((end = memchr(at, '\n', used)) != NULL) {
		*end = '\0';
		if (acked != NULL && ack_of(at) >= 0)
			*acked = ack_of(at);
		lines++;
		used -= (size_t)(end - at) + 1;
		at = end + 1;
	}
	memmove(room, at, used);
	return lines;
}

static void take(void)
{
	long each = window() / 4;
	long next = each;
	long heard = 0;
	char text[48];

	/* until the first message: the other one may not be there yet */
	while (heard == 0) {
		struct pollfd wait = {.fd = channel, .events = POLLIN};

		bench_put(channel, ACK "0}\n", strlen(ACK "0}\n"));
		if (poll(&wait, 1, 50) == 1)
			heard = hear(NULL);
	}
	for (;;) {
		while (heard >= next || heard == count) {
			bench_put(channel, text,
				(size_t)snprintf(text, sizeof(text), ACK "%ld}\n", heard));
			next = heard + each;
			if (heard == count)
				break;
		}
		heard += hear(NULL);
	}
}

static void give(const char *file)
{
	char *text = message();
	int64_t began;
	long acked = -1;
	long sent = 0;
	FILE *out;

	while (acked < 0)
		(void)hear(&acked);
	began = bench_now();
	while (acked < count)
		if (sent < count && sent - acked < window()) {
			bench_put(channel, text, (size_t)size + 1);
			sent++;
		} else {
			(void)hear(&acked);
		}
	out = fopen(file, "w");
	if (out == NULL)
		bench_die(file);
	fprintf(out, "%.0f\n", rate(began));
	(void)fclose(out);
	for (;;)
		(void)pause();
}

int main(int argc, char **argv)
{
	const char *number = getenv("NCLUST_CHANNEL_FD");
	int first = argc > 1 && strncmp(argv[1], "bare", 4) == 0 ? 3 : 2;

	(void)alarm(120);
	if (argc < first + 2)
		return 64;
	count = atol(argv[first]);
	size = atol(argv[first + 1]);
	if (size < 8 || size > (1 << 20))
		return 64;
	channel = number != NULL ? atoi(number) : -1;
	if (strcmp(argv[1], "bare-take") == 0)
		bare_take(argv[2]);
	else if (strcmp(argv[1], "bare") == 0)
		bare_send(argv[2]);
	else if (strcmp(argv[1], "take") == 0)
		take();
	else if (argc == 5)
		give(argv[4]);
	return 0;
}

#endif
