/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/socket/endpoint.h"
#include "os/socket/reuseport.h"
#include "os/socket/sockdiag.h"

#include <netinet/tcp.h>

#define CLIENTS 40
#define CONNECTS 4000

static union os_address at; /* where the sockets of a test listen */

/* On a port of its own, without SO_REUSEPORT, as nclust binds. */
static int first_of(int family)
{
	at = os_address(family == AF_INET ? "127.0.0.1" : "::1");
	return os_listen(&at);
}

static int ask(void)
{
	int fd = os_connect(&at);

	ck_assert_int_ne(fd, -1);
	return fd;
}

/* One that has been heard: to connect is over before the server has it. */
static int ask_heard(void)
{
	int fd = ask();

	os_send(fd, "x", 1);
	return fd;
}

/* How many connections wait there; they are taken. */
static unsigned waiting(int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLIN};
	unsigned count = 0;

	while (poll(&look, 1, 0) == 1 && (look.revents & POLLIN) != 0) {
		int taken = accept(fd, NULL, NULL);

		ck_assert_int_ne(taken, -1);
		(void)close(taken);
		count++;
	}
	return count;
}

static void ask_many(void)
{
	for (int i = 0; i < CLIENTS; i++)
		(void)close(ask_heard());
}

static void share(int fd, unsigned first, unsigned second)
{
	const unsigned weights[] = {first, second};

	ck_assert_int_eq(reuseport_share(fd, weights, 2), 0);
}

static int join(int fd)
{
	int second = reuseport_join(fd);

	ck_assert_msg(second != -1, "cannot join: %s", strerror(errno));
	return second;
}

/* ---- tests ---- */

static const int families[] = {AF_INET, AF_INET6};

/* 40 throws of a coin of 1 to 3: the odds of none on a side are below 1e-4. */
TEST_LOOP(one_client_gets_where_nobody_else_does, 0, 2)
{
	const unsigned weights[] = {1, 0};
	int first = first_of(families[_i]);
	int second = join(first);
	int client = socket(families[_i], SOCK_STREAM | SOCK_CLOEXEC, 0);
	union os_address from = at;
	union endpoint own;

	share(first, 1, 0);
	ck_assert_int_eq(reuseport_unmute(second, first), 0);
	from.v4.sin_port = 0;
	ck_assert_int_eq(bind(client, &from.any, os_size(&from)), 0);
	ck_assert_uint_gt(endpoint_own(client, &own), 0);
	ck_assert_int_eq(reuseport_aim(first, weights, 2, &own, 1), 0);
	ask_many();
	ck_assert_uint_eq(waiting(second), 0);
	ck_assert_int_eq(connect(client, &at.any, os_size(&at)), 0);
	os_send(client, "x", 1);
	ck_assert_uint_eq(waiting(second), 1);
	ck_assert_uint_eq(waiting(first), CLIENTS);
}

TEST(shares_are_in_proportion)
{
	int first = first_of(AF_INET);
	int second = join(first);
	unsigned few;

	share(second, 1, 3);
	(void)reuseport_unmute(second, first);
	ask_many();
	few = waiting(first);
	ck_assert_uint_gt(few, 0);
	ck_assert_uint_lt(few, CLIENTS);
	ck_assert_uint_eq(few + waiting(second), CLIENTS);
}

/* Exactly, wherever the round begins. */
TEST_LOOP(each_gets_its_turns_of_a_round, 0, COUNT_OF(families))
{
	const unsigned weights[] = {1, 0, 2};
	int first = first_of(families[_i]);
	int second = join(first);
	int third = join(first);

	if (reuseport_set_turns(third, weights, 3) == 0) {
		ck_assert_int_eq(reuseport_unmute(second, first), 0);
		ck_assert_int_eq(reuseport_unmute(third, first), 0);
		for (int i = 0; i < 30; i++)
			(void)close(ask_heard());
		ck_assert_uint_eq(waiting(first), 10);
		ck_assert_uint_eq(waiting(second), 0);
		ck_assert_uint_eq(waiting(third), 20);
	} else {
		ck_assert_int_eq(errno, EPERM);
	}
}

/* Flows of UDP: each is of an address and a port. */
TEST(each_flow_has_its_own)
{
	const int places[] = {0, 1};
	union os_address to = os_address("127.0.0.1");
	socklen_t size = sizeof(to.v4);
	int first = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned none = 0;
	int second;

	ck_assert_int_eq(bind(first, &to.any, size), 0);
	ck_assert_int_eq(getsockname(first, &to.any, &size), 0);
	second = join(first);
	ck_assert_int_eq(reuseport_set_sticky(first, places, 2, true), 0);
	for (unsigned flow = 0; flow < 40; flow++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		unsigned got = 0;

		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(sendto(fd, "x", 1, 0, &to.any, size), 1);
		(void)close(fd);
		while (recv(first, &to.v4.sin_zero, 1, MSG_DONTWAIT) == 1)
			got++;
		ck_assert(got == 0 || got == 3);
		none += got == 0;
		while (recv(second, &to.v4.sin_zero, 1, MSG_DONTWAIT) == 1)
			got++;
		ck_assert_uint_eq(got, 3);
	}
	ck_assert_uint_ge(none, 5);
	ck_assert_uint_le(none, 35);
}

/* From an address of this machine; IPv6 has but one. */
static void ask_from(unsigned number)
{
	union os_address from = os_address("127.0.0.1");
	int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	from.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number);
	if (at.any.sa_family == AF_INET)
		ck_assert_int_eq(bind(fd, &from.any, os_size(&from)), 0);
	ck_assert_int_eq(connect(fd, &at.any, os_size(&at)), 0);
	os_send(fd, "x", 1);
	(void)close(fd);
}

TEST_LOOP(each_address_has_its_own, 0, COUNT_OF(families))
{
	int places[] = {0, 1};
	int first = first_of(families[_i]);
	int second = join(first);
	unsigned none = 0;

	ck_assert_int_eq(reuseport_set_sticky(first, places, 2, false), 0);
	ck_assert_int_eq(reuseport_unmute(second, first), 0);
	for (unsigned number = 0; number < 20; number++) {
		unsigned got;

		for (unsigned i = 0; i < 3; i++)
			ask_from(number);
		got = waiting(first);
		ck_assert_uint_eq(got + waiting(second), 3);
		ck_assert_uint_eq(got % 3, 0);
		none += got == 0;
	}
	if (families[_i] == AF_INET) {
		ck_assert_uint_ge(none, 5);
		ck_assert_uint_le(none, 15);
	}
	places[0] = -1; /* nobody is there */
	ck_assert_int_eq(reuseport_set_sticky(first, places, 2, false), 0);
	for (unsigned number = 0; number < 20; number++)
		ask_from(number);
	ck_assert_uint_eq(waiting(first), 0);
	ck_assert_uint_eq(waiting(second), 20);
}

TEST(nothing_reaches_a_new_one_before_it_is_told_to_hear)
{
	int first = first_of(AF_INET);
	int second = join(first);
	int late = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd look = {.fd = late, .events = POLLOUT};

	share(second, 0, 1);
	(void)connect(late, &at.any, os_size(&at));
	ck_assert_int_eq(poll(&look, 1, 100), 0);
	ck_assert_uint_eq(waiting(second), 0);
	share(second, 1, 0);
	/* its SYN is sent again after a second */
	ck_assert_int_eq(poll(&look, 1, 5000), 1);
	/* the client's ACK may come through later than the client goes on */
	look = (struct pollfd){.fd = first, .events = POLLIN};
	ck_assert_int_eq(poll(&look, 1, 5000), 1);
	ck_assert_uint_eq(waiting(first), 1);
}

TEST(the_last_one_takes_the_place_of_who_leaves)
{
	int first = first_of(AF_INET);
	int second = join(first);
	int third;
	const unsigned to_third[] = {0, 1};

	share(second, 0, 1);
	(void)reuseport_unmute(second, first);
	ck_assert_int_ne(dup(first), -1); /* whoever holds it */
	reuseport_leave(first);
	third = join(second);
	ck_assert_int_eq(reuseport_share(third, to_third, 2), 0);
	(void)reuseport_unmute(third, second);
	ask_many();
	ck_assert_uint_eq(waiting(second), 0);
	ck_assert_uint_eq(waiting(third), CLIENTS);
}

TEST(it_is_like_the_first)
{
	int first = first_of(AF_INET6);
	struct queue_facts queue;
	struct stat one;
	struct stat other;
	int second;

	/* an adopted socket is its worker's user's */
	if (geteuid() == 0)
		ck_assert_int_eq(fchown(first, 65534, 65534), 0);
	os_set(first, SOL_SOCKET, SO_KEEPALIVE, 1);
	os_set(first, IPPROTO_TCP, TCP_DEFER_ACCEPT, 7);
	(void)fcntl(first, F_SETFL, O_NONBLOCK);
	second = join(first);
	ck_assert_int_eq(os_get(second, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_eq(os_get(second, IPPROTO_TCP, TCP_DEFER_ACCEPT),
		os_get(first, IPPROTO_TCP, TCP_DEFER_ACCEPT));
	ck_assert_int_eq(os_get(second, IPPROTO_IPV6, IPV6_V6ONLY),
		os_get(first, IPPROTO_IPV6, IPV6_V6ONLY));
	ck_assert_int_ne(fcntl(second, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(second, F_GETFD), FD_CLOEXEC);
	sockdiag_queue(second, &queue);
	ck_assert_int_eq(queue.limit, 100);
	ck_assert_int_eq(fstat(first, &one), 0);
	ck_assert_int_eq(fstat(second, &other), 0);
	ck_assert_uint_eq(one.st_uid, other.st_uid);
	ck_assert_uint_eq(geteuid(), getuid());
}

/* Where that is allowed, what waits in a socket is not lost with it: those that are to get it do. */
TEST(what_waits_moves_to_others)
{
	static const unsigned to_second[] = {0, 1, 0, 0};
	int first = first_of(AF_INET);
	int second = join(first);
	const int to[] = {join(first), join(first)};
	unsigned moved;

	ck_assert_int_eq(reuseport_share(second, to_second, 4), 0);
	ck_assert_int_eq(reuseport_unmute(second, first), 0);
	ask_many();
	if (reuseport_migrate(second, to, 2) == 0) {
		ck_assert(reuseport_can_migrate());
		reuseport_leave(second);
		moved = waiting(to[0]);
		ck_assert_uint_gt(moved, 0);
		ck_assert_uint_lt(moved, CLIENTS);
		ck_assert_uint_eq(moved + waiting(to[1]), CLIENTS);
		ck_assert_uint_eq(waiting(first), 0);
	} else { /* EACCES: before Linux 5.14 */
		ck_assert(errno == EPERM || errno == EACCES);
		ck_assert(!reuseport_can_migrate());
		ck_assert_uint_eq(waiting(second), CLIENTS);
		reuseport_leave(second);
	}
}

/* Each is answered by an end, and no SYN is dropped and sent again, which on a very slow machine
 * (PATIENCE) says nothing: the kernel sends it again after a second in any case. */
static void connect_again_and_again(int said)
{
	const bool is_slow = getenv("PATIENCE") != NULL;
	struct tcp_info info;
	socklen_t size = sizeof(info);
	char byte;

	(void)!write(said, "x", 1);
	for (int i = 0; i < CONNECTS; i++) {
		int fd = os_connect(&at);

		if (fd == -1 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == -1 ||
			(info.tcpi_total_retrans > 0 && !is_slow) || read(fd, &byte, 1) != 0)
			_exit(1);
		(void)close(fd);
	}
}

static int shared; /* with the children of a test */

static void accept_again_and_again(int said)
{
	(void)!write(said, "x", 1);
	for (;;)
		(void)close(accept(shared, NULL, NULL));
}

/* The kernel still finds it for a moment when it has left its group: of the sockets of
 * IPv4 the newest comes first. */
TEST(one_that_leaves_gets_no_client)
{
	pid_t server;
	pid_t client;
	pid_t ended;
	int status;

	shared = first_of(AF_INET);
	reuseport_leave(join(shared)); /* from now on it is in a group */
	share(shared, 1, 0);
	server = os_start(accept_again_and_again);
	client = os_start(connect_again_and_again);
	do {
		int second = join(shared);

		/* ETIMEDOUT: the child had no CPU */
		ck_assert(reuseport_unmute(second, shared) == 0 || errno == ETIMEDOUT);
		reuseport_leave(second);
		ended = waitpid(client, &status, WNOHANG);
	} while (ended == 0);
	ck_assert_int_eq(ended, client);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(kill(server, SIGKILL), 0);
	os_reap(server, SIGKILL);
}

/* Nothing that only root may do, as it would not be noticed. */
TEST(deaf_ones_still_answer_who_has_begun)
{
	int first = first_of(AF_INET);
	int second = join(first);

	share(second, 0, 1);
	ck_assert_int_eq(reuseport_unmute(second, first), 0);
	ck_assert_int_eq(os_get(second, IPPROTO_IP, IP_MINTTL), 0);
	(void)ask_heard();
	reuseport_mute(second);
	ck_assert_int_eq(os_get(second, IPPROTO_IP, IP_MINTTL), 255);
	ck_assert_uint_eq(waiting(second), 1);
}

TEST(no_share_at_all_is_refused)
{
	int first = first_of(AF_INET);
	const unsigned none[] = {0, 0};

	os_fails(reuseport_share(first, none, 2), EINVAL);
	os_fails(reuseport_set_sticky(first, (int[]){-1}, 1, false), EINVAL);
	os_fails(reuseport_set_turns(first, none, 2), EINVAL);
	ck_assert_int_eq(reuseport_join(-1), -1);
}

/* With TCP_DEFER_ACCEPT it does not end before there is data. */
TEST_LOOP(a_handshake_that_does_not_end_is_seen, 0, 2)
{
	int first = first_of(families[_i]);

	ck_assert_int_eq(sockdiag_half_open(first, 0), 0);
	os_set(first, IPPROTO_TCP, TCP_DEFER_ACCEPT, 30);
	(void)ask();
	ck_assert_int_eq(sockdiag_half_open(first, 0), 1);
	ck_assert_int_eq(sockdiag_half_open(first, 3), 0);
}

/* In host order, of either family. */
static uint16_t port_of(int fd)
{
	struct sockaddr_in6 own;
	socklen_t size = sizeof(own);

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &size), 0);
	return ntohs(own.sin6_port);
}

TEST_LOOP(only_clients_that_still_wait_are_counted, 0, 2)
{
	int first = first_of(families[_i]);
	uint16_t port = port_of(first);
	int other = ask_heard();
	uint16_t own = port_of(other);
	int gone = ask_heard();

	(void)ask_heard();
	ck_assert_int_eq(sockdiag_waiting(port, NULL, 0), 3);
	ck_assert_int_eq(sockdiag_waiting(port, &own, 1), 2);
	(void)close(gone); /* it stays in the queue */
	while (sockdiag_waiting(port, NULL, 0) == 3)
		(void)poll(NULL, 0, 1);
	ck_assert_int_eq(sockdiag_waiting(port, NULL, 0), 2);
	ck_assert_int_ne(accept(first, NULL, NULL), -1);
	ck_assert_int_eq(sockdiag_waiting(port, NULL, 0), 1);
}
