/* SPDX-License-Identifier: MIT */
/*
 * Visitors who come on time whether earlier ones were served or not:
 *
 *   load [-r] [-k] PORT PER_SECOND SECONDS [PATH]
 *
 * With -r they come at random (a Poisson process, each time the same one), else
 * evenly spaced.  With -k each line of standard input is the pid of a worker,
 * which is killed then.
 *
 * Each makes one connection to 127.0.0.1:PORT and one HTTP request, and is
 * counted once:
 *
 *   ok         answered in full
 *   refused    nobody listened
 *   timed_out  no answer within 2 s
 *   reset      ended before a worker had taken it (serve --greet writes a
 *              first byte at once, so a visitor knows)
 *   lost       taken by a worker that ended before it had answered
 *
 * Prints "ok=… refused=… timed_out=… reset=… lost=… p50=… p99=… kills=…
 * worst=…", times in microseconds; worst is the most that were reset or lost
 * between one kill and the next.
 */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>

#include "bench.h"

enum {
	MOST = 4096, /* visitors at a time */
	TIMEOUT = 2, /* seconds */
};

struct visitor {
	int fd; /* -1: free */
	bool sent;
	int64_t came;
	size_t used;
	char reply[512];
};

static struct {
	int epoll;
	int port;
	char request[256];
	struct visitor visitors[MOST];
	int64_t *due; /* when they come, after the start */
	int64_t *took;
	long ok, refused, timed_out, reset, lost, open;
	long kills;
	long since; /* the last kill: reset or lost */
	long worst;
} load;

static void leave(struct visitor *v, long *counter)
{
	(*counter)++;
	if ((counter == &load.reset || counter == &load.lost) &&
		++load.since > load.worst)
		load.worst = load.since;
	load.open--;
	(void)close(v->fd);
	v->fd = -1;
}

/* A connection has ended, by its end of file or an error. */
static void ended(struct visitor *v, int error)
{
	const char *body;
	const char *length;
	ssize_t n;

	/* A reset may come behind an answer that is still to be read. */
	n = recv(v->fd, v->reply + v->used, sizeof(v->reply) - 1 - v->used,
		MSG_DONTWAIT);
	if (n > 0)
		v->used += (size_t)n;
	v->reply[v->used] = '\0';
	body = strstr(v->reply, "\r\n\r\n");
	length = strstr(v->reply, "Content-Length: ");
	if (error == ECONNREFUSED) {
		leave(v, &load.refused);
	} else if (v->used == 0) {
		leave(v, &load.reset);
	} else if (body && length &&
		strlen(body + 4) >= (size_t)atol(length + 16)) {
		load.took[load.ok] = bench_now() - v->came;
		leave(v, &load.ok);
	} else {
		leave(v, &load.lost);
	}
}

static void go_on(struct visitor *v)
{
	int error = 0;
	socklen_t size = sizeof(error);
	ssize_t n;

	if (!v->sent) {
		(void)getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error) {
			ended(v, error);
			return;
		}
		n = send(v->fd, load.request, strlen(load.request),
			MSG_NOSIGNAL);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1) {
			ended(v, errno);
			return;
		}
		v->sent = true;
	}
	for (;;) {
		n = recv(v->fd, v->reply + v->used,
			sizeof(v->reply) - 1 - v->used, MSG_DONTWAIT);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) {
			ended(v, n == 0 ? 0 : errno);
			return;
		}
		v->used += (size_t)n;
	}
}

static void arrive(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons((in_port_t)load.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	struct visitor *v = load.visitors;

	while (v < load.visitors + MOST && v->fd != -1)
		v++;
	if (v == load.visitors + MOST) {
		(void)fputs("load: too many visitors at a time\n", stderr);
		_exit(1);
	}
	v->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (v->fd == -1)
		bench_die("socket");
	v->sent = false;
	v->used = 0;
	v->came = bench_now();
	load.open++;
	event.data.ptr = v;
	(void)epoll_ctl(load.epoll, EPOLL_CTL_ADD, v->fd, &event);
	if (connect(v->fd, (struct sockaddr *)&at, sizeof(at)) == -1 &&
		errno != EINPROGRESS)
		ended(v, errno);
}

static void expire(int64_t now)
{
	struct visitor *v;

	for (v = load.visitors; v < load.visitors + MOST; v++) {
		if (v->fd != -1 &&
			now - v->came > TIMEOUT * INT64_C(1000000000))
			leave(v, &load.timed_out);
	}
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

static long long percentile(long part)
{
	if (load.ok == 0)
		return 0;
	return load.took[(load.ok - 1) * part / 100] / 1000;
}

/* The lines that have come on standard input: a pid each. */
static void kill_workers(void)
{
	char lines[256];
	char *line;
	char *rest = lines;
	ssize_t n = read(0, lines, sizeof(lines) - 1);

	if (n <= 0) {
		(void)epoll_ctl(load.epoll, EPOLL_CTL_DEL, 0, NULL);
		return;
	}
	lines[n] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		pid_t pid = atoi(line);

		if (pid <= 1 || kill(pid, SIGKILL) == -1)
			continue;
		load.kills++;
		load.since = 0;
	}
}

static void run(long total)
{
	struct epoll_event events[64];
	int64_t start = bench_now();
	int64_t now = start;
	int64_t next_expiry = start;
	long come = 0;
	int64_t wait;
	int i;
	int n;

	while (come < total || load.open > 0) {
		now = bench_now();
		while (come < total && now >= start + load.due[come]) {
			arrive();
			come++;
		}
		if (now >= next_expiry) {
			expire(now);
			next_expiry = now + 50000000;
		}
		wait = come < total ? (start + load.due[come] - now) / 1000000
				    : 50;
		n = epoll_wait(load.epoll, events, 64,
			wait < 0            ? 0
				: wait > 50 ? 50
					    : (int)wait);
		for (i = 0; i < n; i++) {
			struct visitor *v = events[i].data.ptr;

			if (!v)
				kill_workers();
			else if (v->fd != -1)
				go_on(v);
		}
	}
}

/* Intervals of a Poisson process are distributed exponentially. */
static void plan(long total, long rate, bool at_random)
{
	const double gap = 1e9 / (double)rate;
	unsigned short seed[3] = {1, 2, 3};
	double at = 0;
	long i;

	load.due = calloc((size_t)total + 1, sizeof(*load.due));
	load.took = calloc((size_t)total + 1, sizeof(*load.took));
	if (!load.due || !load.took)
		bench_die("load");
	for (i = 0; i < total; i++) {
		load.due[i] = (int64_t)at;
		at += at_random ? -log(1 - erand48(seed)) * gap : gap;
	}
}

int main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN};
	bool at_random = false;
	bool kills = false;
	int option;
	long rate;
	long total;
	int i;

	while ((option = getopt(argc, argv, "kr")) != -1) {
		kills |= option == 'k';
		at_random |= option == 'r';
	}
	argv += optind;
	if (argc - optind < 3 || atol(argv[1]) <= 0) {
		(void)fputs("usage: load [-r] [-k] PORT PER_SECOND SECONDS "
			    "[PATH]\n",
			stderr);
		return 64;
	}
	load.port = atoi(argv[0]);
	rate = atol(argv[1]);
	total = rate * atol(argv[2]);
	(void)snprintf(load.request, sizeof(load.request),
		"GET %s HTTP/1.0\r\n\r\n", argc - optind > 3 ? argv[3] : "/");
	for (i = 0; i < MOST; i++)
		load.visitors[i].fd = -1;
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.epoll == -1 ||
		(kills &&
			epoll_ctl(load.epoll, EPOLL_CTL_ADD, 0, &event) == -1))
		bench_die("load");
	plan(total, rate, at_random);
	(void)alarm(600);
	run(total);
	qsort(load.took, (size_t)load.ok, sizeof(*load.took), by_size);
	(void)printf("ok=%ld refused=%ld timed_out=%ld reset=%ld lost=%ld "
		     "p50=%lld p99=%lld kills=%ld worst=%ld\n",
		load.ok, load.refused, load.timed_out, load.reset, load.lost,
		percentile(50), percentile(99), load.kills, load.worst);
	return 0;
}
