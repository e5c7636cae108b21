/* SPDX-License-Identifier: MIT */
/*
 * A server that knows nothing of supervisors: it binds 127.0.0.1:PORT itself,
 * and answers each HTTP request by "pid=PID\n".
 *
 *   answer [-k] [-g] [-r] PORT
 *
 * It serves one request at a time, each with a connection of its own, and
 * /sleep/MS takes so long.  With -k it serves many connections at a time and
 * keeps them.  With -g the first line of an answer is sent as soon as a
 * connection is accepted, so that a client knows.  With -r it sets
 * SO_REUSEPORT, so that several run without anybody's help.
 */
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include "bench.h"

static bool greets;
static const char *greeting;
static char reply[128]; /* where it greets: the rest of it */

static void make_reply(bool keeps)
{
	char body[32];

	greeting = keeps ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.0 200 OK\r\n";
	snprintf(body, sizeof(body), "pid=%d\n", (int)getpid());
	snprintf(reply, sizeof(reply), "%sContent-Length: %zu\r\n\r\n%s", greets ? "" : greeting,
		strlen(body), body);
}

/* ---- one at a time ---- */

static void serve(int connection)
{
	char request[1024];
	struct timespec work = {0};
	const char *path;
	size_t used = 0;
	ssize_t n;

	if (greets)
		(void)send(connection, greeting, strlen(greeting), MSG_NOSIGNAL);
	do {
		n = recv(connection, request + used, sizeof(request) - 1 - used, 0);
		if (n <= 0)
			return;
		used += (size_t)n;
		request[used] = '\0';
	} while (!strstr(request, "\r\n\r\n") && used < sizeof(request) - 1);
	path = strstr(request, "/sleep/");
	if (path) {
		work.tv_nsec = atol(path + 7) * 1000000;
		(void)nanosleep(&work, NULL);
	}
	(void)send(connection, reply, strlen(reply), MSG_NOSIGNAL);
}

static void serve_one_by_one(int port)
{
	int connection;

	for (;;) {
		connection = accept4(port, NULL, NULL, SOCK_CLOEXEC);
		if (connection == -1)
			bench_die("accept");
		serve(connection);
		(void)close(connection);
	}
}

/* ---- many at a time ---- */

static void meet(int epoll, int port)
{
	struct epoll_event event = {.events = EPOLLIN};
	const int yes = 1;
	int fd = accept4(port, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd == -1)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	event.data.fd = fd;
	(void)epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Each request comes whole, as it does from wrk and from watch. */
static void answer(int fd)
{
	char request[2048];
	ssize_t n = recv(fd, request, sizeof(request) - 1, 0);

	if (n == -1 && errno == EAGAIN)
		return;
	if (n > 0) {
		request[n] = '\0';
		(void)send(fd, reply, strlen(reply), MSG_NOSIGNAL);
		if (!strstr(request, " HTTP/1.0\r\n"))
			return;
	}
	(void)close(fd);
}

static void serve_many(int port)
{
	struct epoll_event events[64] = {{.events = EPOLLIN}};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int i;
	int n;

	events[0].data.fd = port;
	if (epoll == -1 || epoll_ctl(epoll, EPOLL_CTL_ADD, port, events) == -1)
		bench_die("epoll");
	for (;;) {
		n = epoll_wait(epoll, events, 64, -1);
		for (i = 0; i < n; i++) {
			if (events[i].data.fd == port)
				meet(epoll, port);
			else
				answer(events[i].data.fd);
		}
	}
}

int main(int argc, char **argv)
{
	bool keeps = false;
	bool reuseport = false;
	int option;
	int port;

	while ((option = getopt(argc, argv, "gkr")) != -1) {
		switch (option) {
		case 'g':
			greets = true;
			break;
		case 'k':
			keeps = true;
			break;
		case 'r':
			reuseport = true;
			break;
		default:
			return 64;
		}
	}
	if (optind + 1 != argc)
		return 64;
	(void)alarm(600);
	make_reply(keeps);
	port = bench_listen(atoi(argv[optind]), reuseport);
	if (keeps)
		serve_many(port);
	serve_one_by_one(port);
}
