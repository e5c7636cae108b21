/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/clock.h"
#include "os/socket/sockdiag.h"

#include <grp.h>
#include <netinet/tcp.h>

static struct error err;

static struct socket_plan plan; /* a TCP listener, unless a test wants more */

static struct socket_plan plan_on(int family, int type, uint16_t port)
{
	struct socket_plan p = os_socket_plan(family, type, NULL);

	p.port = port;
	return p;
}

static void set_up(void)
{
	plan = plan_on(AF_INET, SOCK_STREAM, 0);
}

FIXTURE(set_up, NULL)

static int open_plan(void)
{
	struct socket_file made;
	int fd = socket_open(&plan, &made, &err);

	if (fd == -1)
		ck_abort_msg("%s", err.text);
	ck_assert_uint_eq(made.ino, 0);
	return fd;
}

static void must_refuse(int error)
{
	struct socket_file made;

	ck_assert_int_eq(socket_open(&plan, &made, &err), -1);
	ck_assert_int_eq(err.sys, error);
}

static struct socket_facts look(int fd)
{
	struct socket_facts facts;

	ck_assert_int_eq(socket_look(fd, &facts, &err), 0);
	return facts;
}

/* A client of 127.0.0.1; -1 and errno. */
static int connect_v4(uint16_t port)
{
	union os_address to = os_address("127.0.0.1");

	to.v4.sin_port = htons(port);
	return os_connect(&to);
}

TEST(a_tcp_listener_listens)
{
	int fd = open_plan();
	struct socket_facts facts = look(fd);
	char text[64];

	ck_assert_int_eq(facts.family, AF_INET);
	ck_assert_int_eq(facts.type, SOCK_STREAM);
	ck_assert(facts.listening);
	ck_assert_uint_ne(facts.port, 0);
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", facts.port);
	ck_assert_str_eq(facts.text, text);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(os_get(fd, SOL_SOCKET, SO_REUSEADDR), 1);
	ck_assert_int_ne(connect_v4(facts.port), -1);
}

TEST(a_port_in_use_is_said_to_be)
{
	unsigned before;

	plan.port = look(open_plan()).port;
	before = os_open_count();
	must_refuse(EADDRINUSE);
	ck_assert_str_eq(err.text, "cannot listen on 'the address': Address already in use");
	ck_assert_uint_eq(os_open_count(), before);
	plan = plan_on(AF_UNSPEC, SOCK_STREAM, plan.port);
	must_refuse(EADDRINUSE); /* and no second try with v4 */
}

TEST(a_bare_port_is_all_addresses_by_one_socket)
{
	struct socket_facts facts;
	int fd;

	plan = plan_on(AF_UNSPEC, SOCK_STREAM, 0);
	fd = open_plan();
	facts = look(fd);
	ck_assert_int_ne(connect_v4(facts.port), -1);
	if (!os_has_v6())
		return;
	ck_assert_int_eq(facts.family, AF_INET6);
	ck_assert_int_eq(os_get(fd, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	ck_assert_int_eq(strncmp(facts.text, "tcp:[::]:", 9), 0);
	plan.family = AF_INET6;
	plan.v6only = 1;
	fd = open_plan();
	ck_assert_int_eq(os_get(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
}

TEST(a_privileged_port_says_what_would_help)
{
	struct socket_file made;

	plan = plan_on(AF_INET, SOCK_STREAM, 79);
	if (geteuid() == 0) {
		ck_assert_int_eq(setgroups(0, NULL), 0);
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	}
	if (socket_open(&plan, &made, &err) != -1) {
		fprintf(stderr, "left out: any port is open to us\n");
		return;
	}
	ck_assert_int_eq(err.sys, EACCES);
	ck_assert_ptr_nonnull(strstr(err.text, "socket unit"));
	ck_assert_ptr_nonnull(strstr(err.text, "CAP_NET_BIND_SERVICE"));
	ck_assert_ptr_nonnull(strstr(err.text, "ip_unprivileged_port_start"));
}

TEST(an_address_of_another_machine)
{
	memcpy(plan.ip, (uint8_t[]){192, 0, 2, 1}, 4); /* RFC 5737 */
	must_refuse(EADDRNOTAVAIL);
	ck_assert_ptr_nonnull(strstr(err.text, "freebind"));
	plan.freebind = true;
	ck_assert_int_ne(open_plan(), -1);
	if (os_has_v6()) {
		plan = plan_on(AF_INET6, SOCK_STREAM, 0);
		memcpy(plan.ip, (uint8_t[]){0x20, 1, 0xd, 0xb8}, 4);
		plan.freebind = true;
		ck_assert_int_ne(open_plan(), -1);
	}
}

TEST(the_options_are_set)
{
	int fd;

	plan.nonblock = true;
	plan.rcvbuf = 20000;
	plan.sndbuf = 30000;
	plan.defer_accept = 3;
	fd = open_plan();
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(os_get(fd, SOL_SOCKET, SO_RCVBUF), 40000);
	ck_assert_int_eq(os_get(fd, SOL_SOCKET, SO_SNDBUF), 60000);
	ck_assert_int_gt(os_get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
	ck_assert_int_eq(socket_set_nonblock(fd, false), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(socket_set_nonblock(fd, true), 0);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

TEST(an_interface_that_is_not_there_is_named)
{
	struct socket_file made;

	plan.interface = "nosuch0";
	ck_assert_int_eq(socket_open(&plan, &made, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "cannot set interface of"));
	if (os_is_root("binding to an interface")) {
		plan.interface = "lo";
		ck_assert_int_ne(open_plan(), -1);
	}
}

TEST(udp_is_bound_and_not_shared)
{
	struct socket_facts facts;
	struct queue_facts queue;
	int fd;

	plan = plan_on(AF_INET, SOCK_DGRAM, 0);
	fd = open_plan();
	facts = look(fd);
	ck_assert(!facts.listening);
	ck_assert_int_eq(strncmp(facts.text, "udp:127.0.0.1:", 14), 0);
	plan.port = facts.port;
	must_refuse(EADDRINUSE);
	sockdiag_queue(fd, &queue);
	ck_assert_int_eq(queue.depth, -1);
	ck_assert_int_eq(queue.limit, -1);
	ck_assert_int_eq(queue.drops, 0);
}

TEST(what_is_no_socket_is_refused)
{
	struct socket_facts facts;

	ck_assert_int_eq(socket_look(os_null(), &facts, &err), -1);
	ck_assert_int_eq(err.sys, ENOTSOCK);
	ck_assert_int_eq(socket_look(999, &facts, &err), -1);
	ck_assert_int_eq(err.sys, EBADF);
}

/* Wait until the queue is so long: the kernel counts it when the handshake is
 * over, after connect(2) has returned. */
static struct queue_facts queue_of(int fd, long depth)
{
	nsec_t deadline = clock_now() + 10 * SECOND;
	struct queue_facts queue;

	do {
		sockdiag_queue(fd, &queue);
	} while (queue.depth != depth && clock_now() < deadline);
	return queue;
}

TEST(the_tcp_queue_is_as_long_as_what_was_connected)
{
	struct queue_facts queue;
	uint16_t port;
	int fd;

	plan.backlog = 17;
	fd = open_plan();
	port = look(fd).port;
	queue = queue_of(fd, 0);
	ck_assert_int_eq(queue.depth, 0);
	ck_assert_int_eq(queue.limit, 17);
	ck_assert_int_eq(queue.drops, 0);
	for (int i = 0; i < 5; i++)
		ck_assert_int_ne(connect_v4(port), -1);
	ck_assert_int_eq(queue_of(fd, 5).depth, 5);
	ck_assert_int_ne(accept4(fd, NULL, NULL, SOCK_CLOEXEC), -1);
	ck_assert_int_eq(queue_of(fd, 4).depth, 4);
	ck_assert_int_eq(socket_backlog(fd, 3), 0);
	ck_assert_int_eq(queue_of(fd, 4).limit, 3);
	ck_assert_int_eq(socket_backlog(fd, -1), 0);
	ck_assert_int_gt(queue_of(fd, 4).limit, 17);
}

TEST(who_was_accepted_is_seen_until_it_is_closed)
{
	int fd = open_plan();
	int client = connect_v4(look(fd).port);
	int server;

	ck_assert_int_eq(queue_of(fd, 1).depth, 1);
	ck_assert_int_eq(sockdiag_has_accepted(fd), 0);
	server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_eq(sockdiag_has_accepted(fd), 1);
	ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
	ck_assert_int_eq(recv(server, &plan, 1, 0), 0);
	ck_assert_int_eq(sockdiag_has_accepted(fd), 1);
	(void)close(server);
	ck_assert_int_eq(sockdiag_has_accepted(fd), 0);
	ck_assert_int_eq(sockdiag_has_accepted(os_null()), -1);
}

TEST(what_overflows_is_counted)
{
	union os_address at = os_address("127.0.0.1");
	nsec_t deadline = clock_now() + 10 * SECOND;
	struct queue_facts queue = {.drops = 0};
	int fd;

	plan.backlog = 1;
	fd = open_plan();
	at.v4.sin_port = htons(look(fd).port);
	for (int i = 0; i < 8; i++)
		(void)connect(
			socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), &at.any, os_size(&at));
	while (queue.drops == 0 && clock_now() < deadline)
		sockdiag_queue(fd, &queue);
	ck_assert_int_gt(queue.drops, 0);
	ck_assert_int_eq(queue.depth, 2); /* backlog + 1 */
}

TEST(what_has_no_queue_tells_none)
{
	struct queue_facts queue;
	int pair[2];

	sockdiag_queue(os_null(), &queue);
	ck_assert_int_eq(queue.depth, -1);
	ck_assert_int_eq(queue.drops, -1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	sockdiag_queue(pair[0], &queue);
	ck_assert_int_eq(queue.depth, -1);
}

/* Is who connects accepted, and alive? */
static bool serves(int fd)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);
	int client = connect_v4(look(fd).port);
	int server;

	ck_assert_int_ne(client, -1);
	server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ne(server, -1);
	return getpeername(server, (struct sockaddr *)&peer, &size) == 0 &&
		write(client, "x", 1) == 1 && read(server, &peer, 1) == 1;
}

/* On a port that the kernel chose, and takes back at the shutdown; or that one. */
static int listen_somewhere(int option, uint16_t port)
{
	union os_address at = os_address("127.0.0.1");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.v4.sin_port = htons(port);
	os_set(fd, SOL_SOCKET, option, 1);
	ck_assert_int_eq(bind(fd, &at.any, os_size(&at)), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

TEST(what_was_shut_down_listens_again_on_its_port)
{
	int fd = listen_somewhere(SO_REUSEADDR, 0);
	uint16_t port = look(fd).port;

	ck_assert_uint_ne(port, 0);
	ck_assert(!sockdiag_is_shut(fd));
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(shutdown(fd, SHUT_RDWR), 0);
		ck_assert(!look(fd).listening);
		ck_assert_int_eq(socket_revive(fd, 9), 0);
		ck_assert(look(fd).listening);
		ck_assert(!sockdiag_is_shut(fd));
		ck_assert_uint_eq(look(fd).port, port);
		ck_assert_int_eq(queue_of(fd, 0).limit, 9);
		ck_assert(serves(fd));
	}
}

/* Who shuts it down when it is shut leaves a mark that listen(2) keeps. */

TEST(what_was_shut_down_twice_serves_again)
{
	int fd = open_plan();

	plan.port = look(fd).port; /* asked for by its number */
	ck_assert_int_eq(close(fd), 0);
	fd = open_plan();
	ck_assert_int_eq(shutdown(fd, SHUT_RD), 0);
	ck_assert_int_eq(shutdown(fd, SHUT_RDWR), -1);
	ck_assert_int_eq(socket_backlog(fd, 9), 0);
	ck_assert(sockdiag_is_shut(fd));
	ck_assert(!serves(fd));
	ck_assert_int_eq(socket_revive(fd, 9), 0);
	ck_assert(!sockdiag_is_shut(fd));
	ck_assert(serves(fd));
}

TEST(among_many_on_one_port_the_one_that_is_shut_is_found)
{
	int list[100];

	for (int i = 0; i < 100; i++)
		list[i] = listen_somewhere(SO_REUSEPORT, i == 0 ? 0 : look(list[0]).port);
	for (int i = 1; i < 100; i += 7) { /* the first has no own port */
		ck_assert_int_eq(shutdown(list[i], SHUT_RDWR), 0);
		ck_assert_int_eq(shutdown(list[i], SHUT_RDWR), -1);
		ck_assert_int_eq(listen(list[i], 1), 0);
	}
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(sockdiag_is_shut(list[i]), i % 7 == 1);
}
