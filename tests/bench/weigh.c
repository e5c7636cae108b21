/* SPDX-License-Identifier: MIT */
/*
 * What does a request cost?  Several servers of one kind, each alone on its
 * port, are under load in turns of a few milliseconds each, so that all see the
 * same machine:
 *
 *   weigh [-k] [-c CLIENTS] [-n REQUESTS] [-t TURNS] PORT:PID...
 *
 * CLIENTS (16) ask as fast as they are answered, each by a new connection, or
 * with -k by one that is kept, REQUESTS (1000) together, and then it is the
 * next server's turn.  The first turns are not counted: they warm up.  Where
 * there are two CPUs, the clients have one, and the servers another.
 *
 * Prints a line for each server: the median of its requests a second; of the
 * CPU time of process PID for one request, in nanoseconds (all threads, user and
 * system); and of the ratios of both to what the first one had in that round.
 */
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>

#include "bench.h"

enum { CLIENTS_MAX = 64, SERVERS_MAX = 8, WARM_UP = 5 };

struct client {
	int fd; /* -1: free */
	size_t used;
	char reply[1024];
};

struct server {
	struct sockaddr_in at;
	clockid_t clock; /* of its process */
	int epoll;
	struct client clients[CLIENTS_MAX];
	double *rate, *cost, *rates, *costs; /* of each turn; the ratios */
};

static bool keeps;
static long clients = 16;
static long requests = 1000;
static long turns = 40;

static const char *request;

static void ask(struct server *s, struct client *c)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	const int yes = 1;

	c->used = 0;
	if (c->fd == -1) {
		c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd == -1 || connect(c->fd, (struct sockaddr *)&s->at, sizeof(s->at)) == -1)
			bench_die("weigh: connect");
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		(void)epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &event);
	}
	if (send(c->fd, request, strlen(request), MSG_NOSIGNAL) == -1)
		bench_die("weigh: send");
}

/* Whether the answer is whole: "pid=PID\n" is all of it. */
static bool hear(struct client *c)
{
	const char *body;
	ssize_t n = recv(c->fd, c->reply + c->used, sizeof(c->reply) - 1 - c->used, MSG_DONTWAIT);

	if (n == -1 && errno == EAGAIN)
		return false;
	if (n == -1)
		bench_die("weigh: recv");
	c->used += (size_t)n;
	c->reply[c->used] = '\0';
	body = strstr(c->reply, "\r\n\r\n");
	if (n > 0 && !keeps)
		return false;
	if (n > 0 && (!body || c->reply[c->used - 1] != '\n' || !body[4]))
		return false;
	if (!body || strncmp(body + 4, "pid=", 4) != 0) {
		fputs("weigh: no whole answer\n", stderr);
		_exit(1);
	}
	if (!keeps) {
		(void)close(c->fd);
		c->fd = -1;
	}
	return true;
}

static void run(struct server *s)
{
	struct epoll_event events[CLIENTS_MAX];
	long asked;
	long heard = 0;
	int i;
	int n;

	for (asked = 0; asked < clients; asked++)
		ask(s, &s->clients[asked]);
	while (heard < requests) {
		n = epoll_wait(s->epoll, events, CLIENTS_MAX, 5000);
		if (n <= 0) {
			fputs("weigh: no answer for 5 s\n", stderr);
			_exit(1);
		}
		for (i = 0; i < n; i++) {
			if (!hear(events[i].data.ptr))
				continue;
			heard++;
			if (asked++ < requests)
				ask(s, events[i].data.ptr);
		}
	}
}

static double cpu_of(const struct server *s)
{
	struct timespec t;

	if (clock_gettime(s->clock, &t) == -1)
		bench_die("weigh: its CPU clock");
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void take_turn(struct server *s, long turn)
{
	int64_t began = bench_now();
	double cpu = cpu_of(s);

	run(s);
	if (turn < 0)
		return;
	s->cost[turn] = (cpu_of(s) - cpu) / (double)requests;
	s->rate[turn] = (double)requests * 1e9 / (double)(bench_now() - began);
}

/* Of the CPUs that we may use the first, or the last. */
static void set_cpu(pid_t pid, bool first)
{
	static cpu_set_t all;
	cpu_set_t one;
	size_t i;

	if (CPU_COUNT(&all) == 0 && sched_getaffinity(0, sizeof(all), &all) == -1)
		return;
	CPU_ZERO(&one);
	for (i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		if (first)
			break;
	}
	(void)sched_setaffinity(pid, sizeof(one), &one);
}

static void open_server(struct server *s, const char *argument)
{
	const char *pid = strchr(argument, ':');
	size_t size = (size_t)turns * sizeof(double);
	long i;

	if (!pid || clock_getcpuclockid(atoi(pid + 1), &s->clock) != 0) {
		fprintf(stderr, "weigh: no process: %s\n", argument);
		_exit(1);
	}
	set_cpu(atoi(pid + 1), true);
	s->at = bench_local(atoi(argument));
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->rate = malloc(size);
	s->cost = malloc(size);
	s->rates = malloc(size);
	s->costs = malloc(size);
	if (s->epoll == -1 || !s->rate || !s->cost || !s->rates || !s->costs)
		bench_die("weigh");
	for (i = 0; i < CLIENTS_MAX; i++)
		s->clients[i].fd = -1;
}

static int by_size(const void *a, const void *b)
{
	const double *x = a;
	const double *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *of)
{
	qsort(of, (size_t)turns, sizeof(*of), by_size);
	return (of[(turns - 1) / 2] + of[turns / 2]) / 2;
}

static void tell(struct server *servers, int count)
{
	long turn;
	int i;

	for (turn = 0; turn < turns; turn++) {
		for (i = 0; i < count; i++) {
			struct server *s = &servers[i];

			s->rates[turn] = s->rate[turn] / servers[0].rate[turn];
			s->costs[turn] = s->cost[turn] / servers[0].cost[turn];
		}
	}
	for (i = 0; i < count; i++) {
		struct server *s = &servers[i];

		printf("%.0f %.0f %.4f %.4f\n", median(s->rate), median(s->cost), median(s->rates),
			median(s->costs));
	}
}

int main(int argc, char **argv)
{
	static struct server servers[SERVERS_MAX];
	int count;
	int option;
	long turn;
	int i;

	while ((option = getopt(argc, argv, "kc:n:t:")) != -1) {
		switch (option) {
		case 'k':
			keeps = true;
			break;
		case 'c':
			clients = atol(optarg);
			break;
		case 'n':
			requests = atol(optarg);
			break;
		case 't':
			turns = atol(optarg);
			break;
		default:
			return 64;
		}
	}
	count = argc - optind;
	if (count < 1 || count > SERVERS_MAX || clients < 1 || clients > CLIENTS_MAX ||
		requests < clients || turns < 1)
		return 64;
	(void)alarm(600);
	request = keeps ? "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" : "GET / HTTP/1.0\r\n\r\n";
	for (i = 0; i < count; i++)
		open_server(&servers[i], argv[optind + i]);
	/* who comes after whom changes */
	for (turn = -1; turn < turns; turn++)
		for (i = 0; i < count; i++)
			take_turn(&servers[(i + (int)turn + 1) % count], turn);
	tell(servers, count);
	return 0;
}
