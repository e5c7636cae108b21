/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "courier/courier.h"

#include "os/clock.h"
#include "os/fdpass.h"
#include "protocol/courier.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * The test is nclust, the client, its worker and the other server; the courier is a process of
 * its own, in its sandbox.
 */

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_CLOSE "GET / HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\n"
#define CLOSE "Connection: close\r\n"
#define END "\r\n"
#define WAIT_MS 20000

static struct shared {
	nsec_t later; /* the courier's clock is so much fast */
} * shared;
static int channel;
static pid_t courier;

/* In the place of os/clock.c's. */
nsec_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (nsec_t)t.tv_sec * SECOND + t.tv_nsec +
		(shared != NULL ? __atomic_load_n(&shared->later, __ATOMIC_SEQ_CST) : 0);
}

static void begin_courier(rlim_t descriptors)
{
	int pair[2];

	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(shared != MAP_FAILED);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	courier = fork();
	ck_assert_int_ne(courier, -1);
	if (courier == 0) {
		struct rlimit limit = {descriptors, descriptors};

		(void)close(pair[0]);
		if (descriptors > 0)
			(void)setrlimit(RLIMIT_NOFILE, &limit);
		_exit(courier_main(pair[1], 65520));
	}
	(void)close(pair[1]);
	channel = pair[0];
}

static void set_up(void)
{
	begin_courier(0);
}

static void expect_end(void)
{
	int status;

	ck_assert_int_eq(waitpid(courier, &status, 0), courier);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
	courier = 0;
}

static void tear_down(void)
{
	(void)close(channel);
	if (courier != 0)
		expect_end();
	munmap(shared, sizeof(*shared));
	shared = NULL;
}

FIXTURE(set_up, tear_down)

/* ---- sockets ---- */

struct line {
	int client; /* the client's end */
	int worker; /* the other one, the worker's */
	uint64_t cookie;
};

static uint64_t cookie_of(int fd)
{
	uint64_t cookie;
	socklen_t size = sizeof(cookie);

	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
	return cookie;
}

static struct sockaddr_in listen_at(int *listener)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(at);

	*listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(*listener, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(*listener, 1), 0);
	ck_assert_int_eq(getsockname(*listener, (struct sockaddr *)&at, &size), 0);
	return at;
}

static struct line connect_line(int family)
{
	struct line l;
	int pair[2];
	int listener;

	if (family == AF_UNIX) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		l = (struct line){pair[0], pair[1], cookie_of(pair[1])};
		return l;
	}
	struct sockaddr_in at = listen_at(&listener);

	l.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(l.client, (struct sockaddr *)&at, sizeof(at)), 0);
	l.worker = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ne(l.worker, -1);
	(void)close(listener);
	l.cookie = cookie_of(l.worker);
	return l;
}

static void end_line(const struct line *l)
{
	(void)close(l->client);
	(void)close(l->worker);
}

static void put(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Wait for what poll(2) can tell. */
static bool comes(int fd, short what, int ms)
{
	struct pollfd at = {.fd = fd, .events = what};

	return poll(&at, 1, ms) == 1;
}

static ssize_t get_some(int fd, char *to, size_t size)
{
	ck_assert_msg(comes(fd, POLLIN, WAIT_MS), "nothing comes");
	return recv(fd, to, size, MSG_DONTWAIT);
}

/* Exactly this text comes. */
static void expect(int fd, const char *text)
{
	char got[4096] = "";
	size_t len = 0;
	size_t want = strlen(text);

	while (len < want) {
		ssize_t more = get_some(fd, got + len, want - len);

		ck_assert_msg(more > 0, "got '%s' and %zd (%d), not '%s'", got, more, errno, text);
		len += (size_t)more;
	}
	ck_assert_str_eq(got, text);
}

static void expect_closed(int fd)
{
	char byte;

	ck_assert_int_eq(get_some(fd, &byte, 1), 0);
}

static void expect_reset(int fd)
{
	char byte;

	ck_assert_int_eq(get_some(fd, &byte, 1), -1);
	ck_assert_int_eq(errno, ECONNRESET);
}

/* ---- nclust ---- */

static void say(enum courier_kind kind, const struct line *l, const char *request, const int *fds,
	size_t count)
{
	struct courier_packet p = {
		.kind = kind,
		.cookie = l->cookie,
		.worker = 7,
		.cluster = 3,
		.size = (uint32_t)strlen(request),
	};
	char packet[sizeof(p) + COURIER_REQUEST_MOST];

	memcpy(packet, &p, sizeof(p));
	memcpy(packet + sizeof(p), request, p.size);
	ck_assert_int_eq(fdpass_send_patiently(channel, packet, sizeof(p) + p.size, fds, count), 0);
}

/* The request was taken out of the worker; returns the server's end of the connection to it. */
static int ask(const struct line *l, const char *request, int family)
{
	struct line server = connect_line(family);
	int fds[] = {l->worker, server.client};

	say(COURIER_ASK, l, request, fds, 2);
	(void)close(server.client);
	return server.worker;
}

static void hold(const struct line *l)
{
	say(COURIER_HOLD, l, "", &l->worker, 1);
}

/* The worker has ended. */
static void end_worker(struct line *l)
{
	(void)close(l->worker);
	l->worker = -1;
	say(COURIER_ENDED, &(struct line){.cookie = 0}, "", NULL, 0);
}

static struct courier_packet hear(int *fd)
{
	struct fdpass_message m;
	struct courier_packet p;

	ck_assert_msg(comes(channel, POLLIN, WAIT_MS), "the courier says nothing");
	ck_assert_int_eq(fdpass_receive(channel, &p, sizeof(p), &m), 1);
	ck_assert_int_eq(m.len, sizeof(p));
	ck_assert_uint_eq(m.fd_count, p.kind == COURIER_WANT);
	if (fd != NULL)
		*fd = m.fd_count > 0 ? m.fds[0] : -1;
	else
		fdpass_drop(&m);
	return p;
}

static void expect_done(const struct line *l, enum courier_outcome outcome)
{
	struct courier_packet p = hear(NULL);

	ck_assert_uint_eq(p.kind, COURIER_DONE);
	ck_assert_uint_eq(p.outcome, outcome);
	ck_assert_uint_eq(p.cookie, l->cookie);
	ck_assert_uint_eq(p.cluster, 3);
	ck_assert_uint_eq(p.worker, 7);
}

/* It wants a server for this connection: returns the server's end. */
static int serve(const struct line *l, int family)
{
	struct line server = connect_line(family);
	int fd;
	struct courier_packet p = hear(&fd);

	ck_assert_uint_eq(p.kind, COURIER_WANT);
	ck_assert_uint_eq(p.cookie, l->cookie);
	ck_assert_uint_eq(cookie_of(fd), l->cookie);
	(void)close(fd);
	say(COURIER_SERVER, l, "", &server.client, 1);
	(void)close(server.client);
	return server.worker;
}

/* The courier has done all that it could. */
static void settle(void)
{
	struct line l = connect_line(AF_UNIX);

	hold(&l);
	say(COURIER_LET_GO, &l, "", NULL, 0);
	expect_done(&l, COURIER_IDLE);
	end_line(&l);
}

static void pass_time(nsec_t time)
{
	__atomic_add_fetch(&shared->later, time, __ATOMIC_SEQ_CST);
}

static const int families[] = {AF_INET, AF_UNIX};

/* ---- asked ---- */

TEST_LOOP(a_request_is_asked_and_answered, 0, 2)
{
	struct line l = connect_line(families[_i]);
	int server = ask(&l,
		"POST /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, TE\r\n"
		"Keep-Alive: 5\r\nContent-Length: 5\r\n\r\nabcde",
		families[_i]);

	expect(server,
		"POST /x HTTP/1.1\r\n" CLOSE "Host: a\r\nConnection: TE\r\n"
		"Content-Length: 5\r\n\r\nabcde");
	put(server,
		OK "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 3\r\n"
		   "X: y\r\n\r\nabc");
	(void)close(server);
	/* its end comes although the worker still has its socket; the worker sees it, too */
	expect(l.client, OK CLOSE "Content-Length: 3\r\nX: y\r\n\r\nabc");
	expect_closed(l.client);
	expect_closed(l.worker);
	expect_done(&l, COURIER_ANSWERED);
	end_line(&l);
}

#define HEAD "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
#define CHUNKS "3;a=b\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n"

static const struct answer {
	const char *request;
	const char *sent; /* by the server */
	bool closes;      /* and it closes */
	const char *got;  /* by the client, whose connection ends then */
	enum courier_outcome outcome;
} answers[] = {
	/* a server that ignores Connection: close */
	{GET, OK "Content-Length: 3\r\n\r\nabc", false, OK CLOSE "Content-Length: 3\r\n\r\nabc",
		COURIER_ANSWERED},
	{GET, OK "Content-Length: 0\r\n\r\n", false, OK CLOSE "Content-Length: 0\r\n\r\n",
		COURIER_ANSWERED},
	{GET, OK "Transfer-Encoding: chunked\r\n\r\n" CHUNKS, false,
		OK CLOSE "Transfer-Encoding: chunked\r\n\r\n" CHUNKS, COURIER_ANSWERED},
	{HEAD, OK "Content-Length: 3\r\n\r\n", false, OK CLOSE "Content-Length: 3\r\n\r\n",
		COURIER_ANSWERED},
	{GET, "HTTP/1.1 204 No Content\r\n\r\n", false, "HTTP/1.1 204 No Content\r\n" CLOSE END,
		COURIER_ANSWERED},
	{GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false,
		"HTTP/1.1 304 Not Modified\r\n" CLOSE "Content-Length: 9\r\n\r\n",
		COURIER_ANSWERED},
	{GET,
		"HTTP/1.1 103 Early Hints\r\nConnection: a, keep-alive\r\n\r\n"
		"HTTP/1.1 100 Continue\r\n\r\n" OK "Connection: a, keep-alive\r\n"
		"Content-Length: 1\r\n\r\na",
		false,
		"HTTP/1.1 103 Early Hints\r\nConnection: a, keep-alive\r\n\r\n"
		"HTTP/1.1 100 Continue\r\n\r\n" OK CLOSE "Connection: a\r\n"
		"Content-Length: 1\r\n\r\na",
		COURIER_ANSWERED},
	/* framed by the close */
	{GET, OK "\r\nabc", true, OK CLOSE "\r\nabc", COURIER_ANSWERED},
	{GET, "HTTP/1.0 200 OK\nA: b\n\nabc", true, "HTTP/1.0 200 OK\n" CLOSE "A: b\n\nabc",
		COURIER_ANSWERED},
	{GET, OK "Transfer-Encoding: gzip, chunked\r\n\r\nabc", true,
		OK CLOSE "Transfer-Encoding: gzip, chunked\r\n\r\nabc", COURIER_ANSWERED},
	{GET, OK "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcdef", true,
		OK CLOSE "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcdef", COURIER_ANSWERED},
	{GET, OK "Transfer-Encoding: chunked\r\n\r\nno chunk\r\n", true,
		OK CLOSE "Transfer-Encoding: chunked\r\n\r\nno chunk\r\n", COURIER_ANSWERED},
	/* no HTTP/1 */
	{GET, "SSH-2.0 rubbish\r\n\r\nand more", true, "SSH-2.0 rubbish\r\n\r\nand more",
		COURIER_ANSWERED},
	{GET, "rubbish", true, "rubbish", COURIER_ANSWERED},
	{GET, "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\nabc", true,
		"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\nabc", COURIER_ANSWERED},
	{GET, OK "Content-Le", true, OK "Content-Le", COURIER_ANSWERED},
	/* the server wants something else */
	{GET, "HTTP/1.1 400 Bad Request\r\nContent-Length: 1\r\n\r\na", true,
		"HTTP/1.1 400 Bad Request\r\n" CLOSE "Content-Length: 1\r\n\r\na", COURIER_REFUSED},
	{GET, "", true, "", COURIER_REFUSED},
	/* it ends in the middle */
	{GET, OK "Content-Length: 3\r\n\r\nab", true, OK CLOSE "Content-Length: 3\r\n\r\nab",
		COURIER_BROKEN},
	{GET, OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", true,
		OK CLOSE "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", COURIER_BROKEN},
	{GET, "HTTP/1.1 100 Continue\r\n\r\n", true, "HTTP/1.1 100 Continue\r\n\r\n",
		COURIER_BROKEN},
};

static void answer(const struct answer *a, int family, bool bytewise)
{
	struct line l = connect_line(family);
	int server = ask(&l, a->request, family);

	expect(server,
		a->request == answers[0].request ? GET_CLOSE
						 : "HEAD / HTTP/1.1\r\n" CLOSE "Host: a\r\n\r\n");
	if (!bytewise)
		(void)send(server, a->sent, strlen(a->sent), MSG_NOSIGNAL);
	for (size_t i = 0; bytewise && i < strlen(a->sent); i++) {
		/* the courier may have ended it before the last byte */
		(void)send(server, a->sent + i, 1, MSG_NOSIGNAL);
		(void)sched_yield();
	}
	if (a->closes)
		(void)close(server);
	expect(l.client, a->got);
	expect_closed(l.client);
	expect_done(&l, a->outcome);
	if (!a->closes)
		(void)close(server);
	end_line(&l);
}

TEST_LOOP(every_answer_is_passed_on_and_ends, 0, COUNT_OF(answers))
{
	answer(&answers[_i], AF_INET, false);
	answer(&answers[_i], AF_UNIX, false);
	answer(&answers[_i], AF_INET, true);
	answer(&answers[_i], AF_UNIX, true);
}

TEST_LOOP(the_half_close_of_a_client_is_no_end, 0, 2)
{
	struct line l = connect_line(families[_i]);
	int server = ask(&l, GET, families[_i]);

	expect(server, GET_CLOSE);
	ck_assert_int_eq(shutdown(l.client, SHUT_WR), 0);
	settle();
	put(server, OK "\r\nabc");
	(void)close(server);
	expect(l.client, OK CLOSE "\r\nabc");
	expect_closed(l.client);
	expect_done(&l, COURIER_ANSWERED);
	end_line(&l);
}

TEST_LOOP(a_half_close_before_the_request_was_taken_is_no_end_either, 0, 2)
{
	struct line l = connect_line(families[_i]);
	int server;

	ck_assert_int_eq(shutdown(l.client, SHUT_WR), 0);
	ck_assert(comes(l.worker, POLLRDHUP, WAIT_MS));
	server = ask(&l, GET, families[_i]);
	expect(server, GET_CLOSE);
	put(server, OK "Content-Length: 0\r\n\r\n");
	expect(l.client, OK CLOSE "Content-Length: 0\r\n\r\n");
	expect_done(&l, COURIER_ANSWERED);
	(void)close(server);
	end_line(&l);
}

TEST(a_client_that_leaves_ends_it)
{
	struct line l = connect_line(AF_INET);
	int server = ask(&l, GET, AF_INET);
	const struct linger now = {.l_onoff = 1};

	expect(server, GET_CLOSE);
	ck_assert_int_eq(setsockopt(l.client, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	(void)close(l.client);
	expect_done(&l, COURIER_LEFT);
	expect_closed(server);
	(void)close(server);
	(void)close(l.worker);
}

static void expect_mixed(bool worker_reads, bool after_half)
{
	struct line l = connect_line(AF_INET);
	int server = ask(&l, GET, AF_INET);
	char got[100];

	expect(server, GET_CLOSE);
	if (after_half) {
		put(server, OK "Content-Length: 3\r\n\r\na");
		expect(l.client, OK CLOSE "Content-Length: 3\r\n\r\na");
	}
	put(l.client, "G");
	if (worker_reads)
		(void)recv(l.worker, got, sizeof(got), 0);
	expect_done(&l, COURIER_MIXED);
	expect_reset(l.client);
	expect_closed(server);
	(void)close(server);
	end_line(&l);
}

TEST(a_client_that_sends_more_is_reset)
{
	expect_mixed(false, false);
	expect_mixed(true, false);
	expect_mixed(false, true);
	expect_mixed(true, true);
}

TEST(what_came_before_the_courier_looked_counts_too)
{
	struct line l = connect_line(AF_INET);
	struct line server = connect_line(AF_INET);
	struct courier_packet p = {.kind = COURIER_ASK,
		.cookie = l.cookie,
		.worker = 7,
		.cluster = 3,
		.size = strlen(GET),
		.received = strlen(GET)};
	char packet[sizeof(p) + sizeof(GET)];
	int fds[] = {l.worker, server.client};
	char got[100];

	put(l.client, GET "G");
	ck_assert_int_eq(get_some(l.worker, got, sizeof(got)), (ssize_t)strlen(GET) + 1);
	memcpy(packet, &p, sizeof(p));
	memcpy(packet + sizeof(p), GET, p.size);
	ck_assert_int_eq(fdpass_send(channel, packet, sizeof(p) + p.size, fds, 2), 0);
	expect_done(&l, COURIER_MIXED);
	expect_reset(l.client);
	end_line(&l);
	end_line(&server);
}

TEST(of_a_unix_client_unread_bytes_are_seen)
{
	struct line l = connect_line(AF_UNIX);
	int server = ask(&l, GET, AF_UNIX);

	expect(server, GET_CLOSE);
	put(l.client, "G");
	expect_done(&l, COURIER_MIXED);
	expect_closed(l.client);
	(void)close(server);
	end_line(&l);
}

static char *long_text(const char *begin, size_t size)
{
	char *text = malloc(size + 1);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < size; i++)
		text[i] = (char)('a' + i % 23);
	memcpy(text, begin, strlen(begin));
	text[size] = '\0';
	return text;
}

/* A server that answers before it has read the request closes with RST. */
TEST_LOOP(an_answer_before_the_request_was_read_arrives, 0, 2)
{
	struct line l = connect_line(families[_i]);
	char *request = long_text(
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 32000\r\n\r\n", 32000 + 51);
	int server = ask(&l, request, families[_i]);

	expect(server, "POST / HTTP/1.1\r\n" CLOSE);
	put(server, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nabc");
	(void)close(server);
	expect(l.client, "HTTP/1.1 413 Too Large\r\n" CLOSE "Content-Length: 3\r\n\r\nabc");
	expect_closed(l.client);
	expect_done(&l, COURIER_ANSWERED);
	end_line(&l);
	free(request);
}

/* Send all of a text, and read what the other one gets. */
static void expect_through(int from, int to, const char *sent, const char *got)
{
	size_t size = strlen(sent);
	size_t want = strlen(got);
	size_t in = 0;
	size_t out = 0;
	char *data = malloc(want + 1);

	ck_assert_ptr_nonnull(data);
	while (out < want) {
		ssize_t n = in < size
			? send(from, sent + in, size - in, MSG_DONTWAIT | MSG_NOSIGNAL)
			: 0;

		in += n > 0 ? (size_t)n : 0;
		n = recv(to, data + out, want - out, MSG_DONTWAIT);
		ck_assert_msg(n > 0 || (n == -1 && errno == EAGAIN), "%zu of %zu: %zd %d", out,
			want, n, errno);
		out += n > 0 ? (size_t)n : 0;
		if (n == -1)
			(void)comes(to, POLLIN, 10);
	}
	ck_assert_int_eq(memcmp(data, got, want), 0);
	free(data);
}

TEST_LOOP(a_long_answer_passes, 0, 2)
{
	struct line l = connect_line(families[_i]);
	int server = ask(&l, GET, families[_i]);
	char *sent = long_text(OK "Content-Length: 8000000\r\n\r\n", 8000000 + 44);
	char *got = long_text(OK CLOSE, 8000000 + 44 + 19);

	memcpy(got, OK CLOSE, strlen(OK CLOSE));
	memcpy(got + strlen(OK CLOSE), sent + strlen(OK), 8000000 + 44 - strlen(OK));
	expect(server, GET_CLOSE);
	expect_through(server, l.client, sent, got);
	expect_closed(l.client);
	expect_done(&l, COURIER_ANSWERED);
	(void)close(server);
	end_line(&l);
	free(sent);
	free(got);
}

/* A client that takes a few bytes at a time gets the head whole, too. */
TEST_LOOP(a_long_head_passes, 0, 2)
{
	struct line l = connect_line(families[_i]);
	int server;
	char *sent = long_text(OK "X: ", 60000);
	char *got = long_text("", 60000 + 19);
	int little = 1;

	memcpy(sent + 60000 - 4, "\r\n\r\n", 4);
	memcpy(got, OK CLOSE, strlen(OK CLOSE));
	memcpy(got + strlen(OK CLOSE), sent + strlen(OK), 60000 - strlen(OK));
	(void)setsockopt(l.worker, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
	(void)setsockopt(l.client, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	server = ask(&l, GET, families[_i]);
	expect(server, GET_CLOSE);
	expect_through(server, l.client, sent, got);
	(void)close(server);
	expect_closed(l.client);
	expect_done(&l, COURIER_ANSWERED);
	end_line(&l);
	free(sent);
	free(got);
}

/* The body ends with the connection: its end must not look like the end of the answer. */
TEST(a_server_that_resets_resets_the_client)
{
	struct line l = connect_line(AF_INET);
	int server = ask(&l, GET, AF_INET);
	const struct linger now = {.l_onoff = 1};

	expect(server, GET_CLOSE);
	put(server, OK "\r\nabc");
	expect(l.client, OK CLOSE "\r\nabc");
	ck_assert_int_eq(setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	(void)close(server);
	expect_done(&l, COURIER_BROKEN);
	expect_reset(l.client);
	end_line(&l);
}

/* ---- held ---- */

TEST_LOOP(nothing_is_read_before_the_worker_has_ended, 0, 2)
{
	struct line l = connect_line(families[_i]);
	int server;

	hold(&l);
	put(l.client, GET);
	settle();
	expect(l.worker, "GET / HTTP/1.1\r\n"); /* the worker may */
	put(l.worker, "an answer");
	expect(l.client, "an answer");
	end_worker(&l);
	expect_done(&l, COURIER_IDLE); /* it is no request now */
	(void)close(l.client);

	l = connect_line(families[_i]);
	hold(&l);
	end_worker(&l);
	settle();
	put(l.client, "GET / HTTP/1.1\r\n");
	settle();
	put(l.client, "Host: a\r\nConnection: keep-alive\r\n\r\n");
	server = serve(&l, families[_i]);
	expect(server, GET_CLOSE);
	put(server, OK "Content-Length: 3\r\n\r\nabc");
	expect(l.client, OK CLOSE "Content-Length: 3\r\n\r\nabc");
	expect_done(&l, COURIER_ANSWERED);
	expect_closed(l.client);
	expect_closed(server);
	(void)close(server);
	(void)close(l.client);
}

TEST_LOOP(a_request_may_come_in_pieces_and_wait_for_continue, 0, 2)
{
	struct line l = connect_line(families[_i]);
	int server;

	hold(&l);
	end_worker(&l);
	put(l.client,
		"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
		"Transfer-Encoding: chunked\r\n\r\n");
	server = serve(&l, families[_i]);
	expect(server,
		"PUT / HTTP/1.1\r\n" CLOSE "Host: a\r\nExpect: 100-continue\r\n"
		"Transfer-Encoding: chunked\r\n\r\n");
	put(server, "HTTP/1.1 100 Continue\r\n\r\n");
	expect(l.client, "HTTP/1.1 100 Continue\r\n\r\n");
	put(l.client, "3\r\nab");
	expect(server, "3\r\nab");
	put(l.client, "c\r\n0\r\n\r\n");
	expect(server, "c\r\n0\r\n\r\n");
	put(server, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
	expect(l.client, "HTTP/1.1 201 Created\r\n" CLOSE "Content-Length: 0\r\n\r\n");
	expect_done(&l, COURIER_ANSWERED);
	(void)close(server);
	(void)close(l.client);
}

TEST_LOOP(a_long_request_passes_and_no_more_than_that, 0, 2)
{
	static const char begin[] = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n";
	struct line l = connect_line(families[_i]);
	size_t head = strlen(begin);
	char *sent = long_text(begin, 8000000 + head);
	int server;
	char byte;

	hold(&l);
	end_worker(&l);
	put(l.client, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
	server = serve(&l, families[_i]);
	expect(server, "PUT / HTTP/1.1\r\n" CLOSE "Host: a\r\nContent-Length: 8000000\r\n\r\n");
	expect_through(l.client, server, sent + head, sent + head);
	put(l.client, GET);
	settle();
	ck_assert_int_eq(recv(server, &byte, 1, MSG_DONTWAIT), -1);
	put(server, OK "\r\nabc");
	(void)close(server);
	expect(l.client, OK CLOSE "\r\nabc");
	expect_closed(l.client);
	expect_done(&l, COURIER_ANSWERED);
	(void)close(l.client);
	free(sent);
}

/* The client still sends: a close(2) would send RST, and the client could lose the answer. */
TEST_LOOP(a_client_that_still_sends_gets_its_answer, 0, 2)
{
	struct line l = connect_line(families[_i]);
	char *sent = long_text("", 2000000);
	int server;

	hold(&l);
	end_worker(&l);
	put(l.client, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
	server = serve(&l, families[_i]);
	expect(server, "PUT / HTTP/1.1\r\n" CLOSE);
	put(server, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nabc");
	(void)close(server);
	expect_done(&l, COURIER_ANSWERED);
	ck_assert_int_eq(send(l.client, sent, 2000000, MSG_NOSIGNAL), 2000000);
	settle();
	expect(l.client, "HTTP/1.1 413 Too Large\r\n" CLOSE "Content-Length: 3\r\n\r\nabc");
	expect_closed(l.client);
	(void)close(l.client);
	free(sent);
}

TEST_LOOP(a_request_that_ends_in_the_middle_ends_at_the_server, 0, 2)
{
	struct line l = connect_line(families[_i]);
	int server;

	hold(&l);
	end_worker(&l);
	put(l.client, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 80\r\n\r\nabc");
	(void)shutdown(l.client, SHUT_WR);
	server = serve(&l, families[_i]);
	expect(server, "PUT / HTTP/1.1\r\n" CLOSE "Host: a\r\nContent-Length: 80\r\n\r\nabc");
	expect_closed(server);
	(void)close(server);
	expect_done(&l, COURIER_REFUSED);
	expect_closed(l.client);
	(void)close(l.client);
}

static const char *const not_for_others[] = {
	"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\n\n",
	"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
	"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Negotiate abc\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	"\x16\x03\x01\x02\n",
};

TEST_LOOP(a_request_of_this_connection_alone_is_closed, 0, COUNT_OF(not_for_others))
{
	struct line l = connect_line(AF_INET);
	char byte;

	hold(&l);
	end_worker(&l);
	put(l.client, not_for_others[_i]);
	expect_done(&l, COURIER_IDLE);
	ck_assert_int_le(get_some(l.client, &byte, 1), 0);
	(void)close(l.client);
}

TEST_LOOP(a_head_without_an_end_is_closed, 0, 2)
{
	struct line l = connect_line(families[_i]);
	char *sent = long_text("GET / HTTP/1.1\r\nX: ", 70000);

	hold(&l);
	end_worker(&l);
	(void)send(l.client, sent, 70000, MSG_NOSIGNAL);
	expect_done(&l, COURIER_IDLE);
	(void)close(l.client);
	free(sent);
}

TEST_LOOP(a_client_that_leaves_is_forgotten, 0, 2)
{
	struct line l = connect_line(families[_i]);

	hold(&l);
	(void)close(l.client);
	settle(); /* it is not known yet */
	end_worker(&l);
	expect_done(&l, COURIER_IDLE);
}

TEST_LOOP(a_connection_is_closed_if_the_worker_closes_it_after_a_word, 0, 4)
{
	struct line l = connect_line(families[_i % 2]);
	int speaks = _i < 2 ? l.client : l.worker;
	int hears = _i < 2 ? l.worker : l.client;
	char byte;

	hold(&l);
	put(speaks, "G");
	ck_assert_int_eq(get_some(hears, &byte, 1), 1);
	(void)close(l.worker);
	say(COURIER_LET_GO, &l, "", NULL, 0);
	expect_done(&l, COURIER_IDLE);
	expect_closed(l.client);
	(void)close(l.client);
}

/* As servers do with their quiet connections when they are told to end. */
TEST_LOOP(one_that_the_worker_closes_without_a_word_is_read, 0, 2)
{
	struct line l = connect_line(AF_INET);

	hold(&l);
	if (_i == 1)
		put(l.client, GET);
	(void)close(l.worker);
	say(COURIER_LET_GO, &l, "", NULL, 0);
	if (_i == 0)
		put(l.client, GET);
	ck_assert_uint_eq(hear(NULL).kind, COURIER_WANT);
	end_line(&l);
}

TEST(only_the_connections_of_that_worker_are_read)
{
	struct line l = connect_line(AF_INET);

	hold(&l);
	put(l.client, "rubbish\n");
	struct courier_packet p = {.kind = COURIER_ENDED, .worker = 8};
	ck_assert_int_eq(fdpass_send(channel, &p, sizeof(p), NULL, 0), 0);
	settle();
	end_worker(&l);
	expect_done(&l, COURIER_IDLE);
	(void)close(l.client);
}

TEST(where_nobody_takes_it_the_connection_is_closed)
{
	struct line l = connect_line(AF_INET);
	char byte;

	hold(&l);
	end_worker(&l);
	put(l.client, GET);
	ck_assert_uint_eq(hear(NULL).kind, COURIER_WANT);
	say(COURIER_SERVER, &l, "", NULL, 0);
	expect_done(&l, COURIER_IDLE);
	ck_assert_int_le(get_some(l.client, &byte, 1), 0);
	(void)close(l.client);
}

static int connect_later(const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(connect(fd, (const struct sockaddr *)at, sizeof(*at)), -1);
	ck_assert_int_eq(errno, EINPROGRESS);
	return fd;
}

/* A full queue drops the SYN: it is sent again after a second. */
TEST(a_server_may_still_be_connecting)
{
	struct line l = connect_line(AF_INET);
	int listener;
	struct sockaddr_in at = listen_at(&listener);
	int others[3];
	int fd;

	for (size_t i = 0; i < COUNT_OF(others); i++)
		others[i] = connect_later(&at);
	hold(&l);
	end_worker(&l);
	put(l.client, GET);
	ck_assert_uint_eq(hear(NULL).kind, COURIER_WANT);
	fd = others[2];
	ck_assert_msg(!comes(fd, POLLOUT, 0), "the queue is longer");
	say(COURIER_SERVER, &l, "", &fd, 1);
	(void)close(fd);
	settle();
	for (size_t i = 0; i < 2; i++) {
		fd = accept(listener, NULL, NULL);
		(void)close(fd);
		(void)close(others[i]);
	}
	ck_assert(comes(listener, POLLIN, WAIT_MS));
	fd = accept(listener, NULL, NULL);
	expect(fd, GET_CLOSE);
	put(fd, OK "\r\nabc");
	(void)close(fd);
	expect(l.client, OK CLOSE "\r\nabc");
	expect_done(&l, COURIER_ANSWERED);
	(void)close(l.client);
	(void)close(listener);
}

TEST(a_server_that_refuses_ends_it)
{
	struct line l = connect_line(AF_INET);
	int listener;
	struct sockaddr_in at = listen_at(&listener);
	int fd;

	(void)close(listener);
	hold(&l);
	end_worker(&l);
	put(l.client, GET);
	ck_assert_uint_eq(hear(NULL).kind, COURIER_WANT);
	fd = connect_later(&at);
	say(COURIER_SERVER, &l, "", &fd, 1);
	expect_done(&l, COURIER_BROKEN);
	expect_closed(l.client);
	(void)close(fd);
	(void)close(l.client);
}

/* ---- times and bounds ---- */

TEST_LOOP(a_request_is_awaited_for_65_s, 0, 2)
{
	struct line l = connect_line(families[_i]);

	hold(&l);
	pass_time(1000 * SECOND);
	settle();
	end_worker(&l);
	settle();
	pass_time(60 * SECOND);
	settle();
	settle(); /* by now it has looked */
	pass_time(6 * SECOND);
	expect_done(&l, COURIER_IDLE);
	expect_closed(l.client);
	(void)close(l.client);
}

TEST(an_answer_may_take_its_time)
{
	struct line l = connect_line(AF_INET);
	int server = ask(&l, GET, AF_INET);

	expect(server, GET_CLOSE);
	pass_time(HOUR);
	settle();
	settle();
	put(server, OK "\r\nabc");
	expect(l.client, OK CLOSE "\r\nabc");
	pass_time(HOUR);
	settle();
	settle();
	(void)close(server);
	expect_done(&l, COURIER_ANSWERED);
	end_line(&l);
}

TEST(a_client_that_does_not_part_is_left_after_5_s)
{
	struct line l = connect_line(AF_INET);
	int server;

	hold(&l);
	end_worker(&l);
	put(l.client, GET);
	server = serve(&l, AF_INET);
	expect(server, GET_CLOSE);
	put(server, OK "Content-Length: 0\r\n\r\n");
	expect_done(&l, COURIER_ANSWERED);
	expect(l.client, OK CLOSE "Content-Length: 0\r\n\r\n");
	expect_closed(l.client);
	(void)close(channel);
	pass_time(6 * SECOND);
	expect_end();
	(void)close(server);
	(void)close(l.client);
}

/* What it has sent and its end lie there since before the answer: nothing more comes. */
TEST_LOOP(a_client_that_has_ended_is_not_waited_for, 0, 2)
{
	struct line l = connect_line(families[_i]);
	int server;

	hold(&l);
	end_worker(&l);
	put(l.client, GET "and more");
	(void)shutdown(l.client, SHUT_WR);
	server = serve(&l, families[_i]);
	expect(server, GET_CLOSE);
	put(server, OK "Content-Length: 0\r\n\r\n");
	expect_done(&l, COURIER_ANSWERED);
	expect(l.client, OK CLOSE "Content-Length: 0\r\n\r\n");
	expect_closed(l.client);
	pass_time(-HOUR); /* 5 s are never over */
	(void)close(channel);
	expect_end();
	(void)close(server);
	(void)close(l.client);
}

TEST(when_nclust_ends_held_connections_are_closed_and_answers_still_come)
{
	struct line held = connect_line(AF_INET);
	struct line l = connect_line(AF_INET);
	int server = ask(&l, GET, AF_INET);

	hold(&held);
	(void)close(held.worker);
	(void)close(channel);
	expect_closed(held.client);
	expect(server, GET_CLOSE);
	put(server, OK "Content-Length: 3\r\n\r\na");
	expect(l.client, OK CLOSE "Content-Length: 3\r\n\r\na");
	pass_time(50 * SECOND);
	put(server, "b");
	expect(l.client, "b");
	pass_time(50 * SECOND);
	put(server, "c");
	expect(l.client, "c");
	expect_end();
	(void)close(server);
	(void)close(held.client);
	end_line(&l);
}

/* The client reads nothing, and close(2) of the last descriptor would wait for it. */
TEST(without_nclust_an_answer_that_stands_still_is_given_up)
{
	struct line l = connect_line(AF_INET);
	char *sent = long_text(OK "\r\n", 8000000);
	const struct linger wait = {.l_onoff = 1, .l_linger = 1000};
	int status;
	int server;

	ck_assert_int_eq(setsockopt(l.worker, SOL_SOCKET, SO_LINGER, &wait, sizeof(wait)), 0);
	hold(&l);
	end_worker(&l);
	put(l.client, GET);
	server = serve(&l, AF_INET);
	expect(server, GET_CLOSE);
	while (send(server, sent, 8000000, MSG_DONTWAIT) > 0 || comes(server, POLLOUT, 200))
		continue;
	(void)close(channel);
	/* until it has seen that, and nothing has moved after that */
	while (waitpid(courier, &status, WNOHANG) == 0) {
		pass_time(61 * SECOND);
		(void)poll(NULL, 0, 50);
	}
	ck_assert_int_eq(status, 0);
	courier = 0;
	(void)close(server);
	(void)close(l.client);
	free(sent);
}

/* Wait until nclust's buffer is full, then hear of each. */
TEST(nothing_that_nclust_is_told_is_lost)
{
	enum { MANY = 700 };
	struct line *all = calloc(MANY, sizeof(*all));
	unsigned done = 0;

	ck_assert_ptr_nonnull(all);
	settle();
	pass_time(-HOUR); /* the second after which it looks again is never over */
	for (size_t i = 0; i < MANY; i++) {
		all[i] = connect_line(AF_UNIX);
		hold(&all[i]);
		(void)close(all[i].worker);
	}
	say(COURIER_ENDED, &(struct line){.cookie = 0}, "", NULL, 0);
	for (size_t i = 0; i < MANY; i++)
		(void)close(all[i].client);
	while (comes(channel, POLLIN, done < MANY ? WAIT_MS : 100)) {
		ck_assert_uint_eq(hear(NULL).outcome, COURIER_IDLE);
		done++;
	}
	ck_assert_uint_eq(done, MANY);
	free(all);
}

CASE(few)

static void set_up_few(void)
{
	begin_courier(68); /* 10 connections, 8 clients of `fallback`, and some more */
}

FIXTURE(set_up_few, tear_down)

TEST(who_is_held_longest_makes_room)
{
	struct line held[12];
	struct line asked = connect_line(AF_UNIX);
	int server = ask(&asked, GET, AF_UNIX);

	expect(server, GET_CLOSE);
	for (size_t i = 0; i < COUNT_OF(held); i++) {
		held[i] = connect_line(AF_UNIX);
		hold(&held[i]);
		if (i >= 9)
			expect_done(&held[i - 9], COURIER_IDLE);
	}
	put(server, OK "\r\n");
	(void)close(server);
	expect_done(&asked, COURIER_ANSWERED);
	for (size_t i = 0; i < COUNT_OF(held); i++)
		end_line(&held[i]);
	end_line(&asked);
}

TEST(a_request_is_never_refused)
{
	struct line asked[11];
	int server[11];

	for (size_t i = 0; i < COUNT_OF(asked); i++) {
		asked[i] = connect_line(AF_UNIX);
		server[i] = ask(&asked[i], GET, AF_UNIX);
		if (i < 10)
			expect(server[i], GET_CLOSE);
	}
	/* the one in which nothing has moved for longest makes room */
	expect_done(&asked[0], COURIER_BROKEN);
	expect_closed(asked[0].client);
	expect(server[10], GET_CLOSE);
	put(server[10], OK "\r\n");
	(void)close(server[10]);
	expect(asked[10].client, OK CLOSE "\r\n");
	expect_done(&asked[10], COURIER_ANSWERED);
	for (size_t i = 0; i < COUNT_OF(asked); i++) {
		end_line(&asked[i]);
		if (i < 10)
			(void)close(server[i]);
	}
}
