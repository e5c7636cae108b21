/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/fdpass.h"
#include "os/socket/socket_key.h"

#include <net/if.h>
#include <sched.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* What bind(2) is given. */
struct place {
	struct sockaddr_storage room;
	socklen_t size;
};

static struct place place(const char *ip, uint16_t port)
{
	union os_address at = os_address(ip);
	struct place p = {.size = os_size(&at)};

	at.v4.sin_port = htons(port); /* of IPv6 it is in the same place */
	memcpy(&p.room, &at, p.size);
	return p;
}

static int open_socket(int family, int type, int v6only)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	ck_assert_int_ne(fd, -1);
	if (v6only != -1)
		os_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6only);
	return fd;
}

static struct socket_key key_of(int fd, const char *ip, uint16_t port)
{
	struct place p = place(ip, port);
	struct socket_key key;

	ck_assert_int_eq(socket_key_of(&key, fd, &p.room, p.size), 0);
	return key;
}

/* Of a TCP socket that is made for it. */
static struct socket_key key_for(const char *ip, uint16_t port, int v6only)
{
	int family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
	int fd = open_socket(family, SOCK_STREAM, v6only);
	struct socket_key key = key_of(fd, ip, port);

	ck_assert_int_eq(close(fd), 0);
	return key;
}

/* ---- from a socket and an address ---- */

TEST(a_key_says_all_of_a_bind)
{
	int udp = open_socket(AF_INET, SOCK_DGRAM, -1);
	int mptcp = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	struct socket_key tcp_key = key_for("192.0.2.7", 80, -1);
	struct socket_key key = key_of(udp, "192.0.2.7", 80);

	ck_assert_int_eq(tcp_key.family, AF_INET);
	ck_assert_int_eq(tcp_key.type, SOCK_STREAM);
	ck_assert_int_eq(tcp_key.protocol, IPPROTO_TCP);
	ck_assert_mem_eq(tcp_key.ip, "\300\000\002\007", 4);
	ck_assert_uint_eq(tcp_key.port, 80);
	ck_assert(tcp_key.device == 0 && tcp_key.scope == 0);
	ck_assert(!tcp_key.v6only);
	ck_assert_int_eq(key.type, SOCK_DGRAM);
	ck_assert_int_eq(key.protocol, IPPROTO_UDP);
	ck_assert(!socket_key_equal(&key, &tcp_key));
	if (mptcp == -1)
		return; /* this kernel has it not */
	key = key_of(mptcp, "192.0.2.7", 80);
	ck_assert_int_eq(key.protocol, IPPROTO_MPTCP);
	ck_assert(!socket_key_equal(&key, &tcp_key));
}

TEST(a_scope_counts_only_with_a_link_local_address)
{
	struct place p = place("fe80::1", 80);
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&p.room;
	struct socket_key key;
	int fd;

	if (!os_has_v6())
		return;
	fd = open_socket(AF_INET6, SOCK_STREAM, 0);
	v6->sin6_scope_id = 3;
	v6->sin6_flowinfo = 99; /* means nothing to bind(2) */
	ck_assert_int_eq(socket_key_of(&key, fd, &p.room, p.size), 0);
	ck_assert_uint_eq(key.scope, 3);
	p = place("2001:db8::1", 80);
	v6->sin6_scope_id = 3;
	ck_assert_int_eq(socket_key_of(&key, fd, &p.room, p.size), 0);
	ck_assert_uint_eq(key.scope, 0);
}

TEST(a_device_makes_it_another)
{
	int fd = open_socket(AF_INET, SOCK_STREAM, -1);
	struct socket_key plain = key_of(fd, "0.0.0.0", 80);
	struct socket_key key;

	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) == -1) {
		fprintf(stderr, "left out: SO_BINDTODEVICE\n");
		return;
	}
	key = key_of(fd, "0.0.0.0", 80);
	ck_assert_uint_eq(key.device, if_nametoindex("lo"));
	ck_assert(!socket_key_equal(&key, &plain));
}

static const struct {
	const char *ip;
	socklen_t size;
	bool taken;
} sizes[] = {
	{"127.0.0.1", SOCKET_ADDRESS_MAX, true},
	{"127.0.0.1", SOCKET_ADDRESS_MAX + 1, false},
	{"127.0.0.1", UINT32_MAX, false},
	{"127.0.0.1", 15, false},
	{"127.0.0.1", 1, false},
	{"127.0.0.1", 0, false},
	{"::1", 24, true},
	{"::1", 23, false},
	{"::1", 16, false},
};

TEST_LOOP(sizes_that_bind_takes_are_taken, 0, COUNT_OF(sizes))
{
	int family = *sizes[_i].ip == ':' ? AF_INET6 : AF_INET;
	struct place p = place(sizes[_i].ip, 80);
	struct socket_key key;

	if (family == AF_INET6 && !os_has_v6())
		return;
	ck_assert_int_eq(
		socket_key_of(&key, open_socket(family, SOCK_STREAM, -1), &p.room, sizes[_i].size),
		sizes[_i].taken ? 0 : -1);
	if (!sizes[_i].taken)
		return;
	ck_assert_uint_eq(key.port, 80);
	ck_assert_int_eq(key.ip[family == AF_INET ? 3 : 15], 1);
}

TEST(what_could_not_be_bound_has_no_key)
{
	struct place p = place("127.0.0.1", 80);
	struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/tmp/x"};
	struct socket_key key;
	int fd = open_socket(AF_UNIX, SOCK_STREAM, -1);

	ck_assert_int_eq(socket_key_of(&key, fd, &path, sizeof(path)), -1);
	ck_assert_int_eq(socket_key_of(&key, fd, &p.room, p.size), -1);
	ck_assert_int_eq(socket_key_of(&key, os_null(), &p.room, p.size), -1);
	ck_assert_int_eq(socket_key_of(&key, -1, &p.room, p.size), -1);
	fd = open_socket(AF_INET, SOCK_STREAM, -1);
	p = place("::1", 80);
	ck_assert_int_eq(socket_key_of(&key, fd, &p.room, p.size), -1);
	if (!os_has_v6())
		return;
	fd = open_socket(AF_INET6, SOCK_STREAM, 0);
	p = place("127.0.0.1", 80);
	ck_assert_int_eq(socket_key_of(&key, fd, &p.room, SOCKET_ADDRESS_MAX), -1);
}

/* A socket of a network namespace of its own, from a child; -1: there cannot be
 * one. */
static int foreign_socket(void)
{
	struct fdpass_message m;
	struct pollfd one = {.events = POLLIN};
	int pair[2];
	int fd = -1;
	int error = 0;
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		/* an ordinary user has one only in a user namespace */
		if (unshare(CLONE_NEWNET) == -1 && unshare(CLONE_NEWUSER | CLONE_NEWNET) == -1)
			error = errno;
		else
			fd = socket(AF_INET, SOCK_STREAM, 0);
		_exit(fdpass_send(pair[1], &error, sizeof(error), &fd, fd != -1 ? 1 : 0) == -1);
	}
	one.fd = pair[0];
	ck_assert_int_eq(poll(&one, 1, 20000), 1);
	ck_assert_int_eq(fdpass_receive(pair[0], &error, sizeof(error), &m), 1);
	ck_assert_int_eq(waitpid(pid, &error, 0), pid);
	return m.fd_count == 1 ? m.fds[0] : -1;
}

TEST(a_socket_of_another_network_namespace_is_refused)
{
	struct place p = place("127.0.0.1", 80);
	struct socket_key key;
	int own = open_socket(AF_INET, SOCK_STREAM, -1);
	int fd = foreign_socket();
	uint64_t cookie;
	socklen_t size = sizeof(cookie);

	if (fd == -1 || getsockopt(fd, SOL_SOCKET, 71, &cookie, &size) == -1) {
		fprintf(stderr, "left out: a network namespace\n");
		return;
	}
	ck_assert_int_eq(socket_key_of(&key, fd, &p.room, p.size), -1);
	ck_assert_int_eq(socket_key_of(&key, own, &p.room, p.size), 0);
	ck_assert_int_eq(socket_key_of(&key, fd, &p.room, p.size), -1);
}

/* ---- by the name of a protocol ---- */

static int guess(struct socket_key *key, const char *protocol, const char *ip, int v6only)
{
	struct place p = place(ip, 8000);

	return socket_key_guess(key, protocol, &p.room, p.size, v6only);
}

TEST(a_guess_is_what_a_look_would_say)
{
	struct socket_key seen = key_for("127.0.0.1", 8000, -1);
	struct socket_key key;

	ck_assert_int_eq(guess(&key, "TCP", "127.0.0.1", -1), 0);
	ck_assert(socket_key_equal(&key, &seen));
	if (!os_has_v6())
		return;
	ck_assert_int_eq(guess(&key, "TCPv6", "::", -1), 0);
	seen = key_for("::", 8000, -1); /* whatever the system's default is */
	ck_assert(socket_key_equal(&key, &seen));
	for (int on = 0; on < 2; on++) {
		ck_assert_int_eq(guess(&key, "TCPv6", "::", on), 0);
		seen = key_for("::", 8000, on);
		ck_assert(socket_key_equal(&key, &seen));
	}
}

/* Where net.ipv6.bindv6only is set.  The exit status tells what went wrong. */
static int guess_with_bindv6only(void)
{
	struct socket_key key;
	int fd;

	if (unshare(CLONE_NEWNET) == -1)
		return 1;
	fd = open("/proc/sys/net/ipv6/bindv6only", O_WRONLY | O_CLOEXEC);
	if (write(fd, "1", 1) != 1)
		return 1;
	if (guess(&key, "TCPv6", "::", -1) == -1 || !key.v6only)
		return 2;
	return guess(&key, "TCPv6", "::", 0) == 0 && !key.v6only ? 0 : 3;
}

ROOT_TEST(what_is_not_known_of_v6only_is_the_systems_default)
{
	int got = os_has_v6() ? os_in_child(guess_with_bindv6only) : 0;

	if (got == 1)
		fprintf(stderr, "left out: a network namespace\n");
	else
		ck_assert_int_eq(got, 0);
}

TEST(multipath_tcp_is_guessed_to_be_another_protocol)
{
	struct socket_key key;
	struct socket_key tcp = key_for("127.0.0.1", 8000, -1);

	ck_assert_int_eq(guess(&key, "MPTCP", "127.0.0.1", -1), 0);
	ck_assert_int_eq(key.protocol, IPPROTO_MPTCP);
	ck_assert_int_eq(key.family, AF_INET);
	ck_assert(!socket_key_equal(&key, &tcp));
	ck_assert_int_eq(guess(&key, "MPTCPv6", "::1", 1), 0);
	ck_assert_int_eq(key.protocol, IPPROTO_MPTCP);
	ck_assert_int_eq(key.family, AF_INET6);
	ck_assert(key.v6only);
}

static const char *const others[] = {
	"UDP", "UDPv6", "UNIX", "UNIX-STREAM", "RAW", "SMC", "TC", "TCPv", "TCPv66", "tcp", ""};

TEST_LOOP(of_other_protocols_nothing_is_guessed, 0, COUNT_OF(others))
{
	struct socket_key key;

	ck_assert_int_eq(guess(&key, others[_i], "127.0.0.1", 0), -1);
	ck_assert_int_eq(guess(&key, others[_i], "::1", 0), -1);
	/* and families are not mixed */
	ck_assert_int_eq(guess(&key, "TCP", "::1", 0), -1);
	ck_assert_int_eq(guess(&key, "TCPv6", "127.0.0.1", 0), -1);
}

/* ---- comparing and telling ---- */

TEST(whatever_differs_makes_another_key)
{
	const struct socket_key key = {
		.family = AF_INET6,
		.type = SOCK_STREAM,
		.protocol = IPPROTO_TCP,
		.port = 80,
	};
	struct socket_key list[9];

	for (size_t i = 0; i < COUNT_OF(list); i++)
		list[i] = key;
	list[0].family = AF_INET;
	list[1].type = SOCK_DGRAM;
	list[2].protocol = IPPROTO_MPTCP;
	list[3].port = 81;
	list[4].scope = 1;
	list[5].device = 1;
	list[6].v6only = true;
	list[7].ip[0] = 1;
	list[8].ip[15] = 1;
	ck_assert(socket_key_equal(&key, &key));
	for (size_t i = 0; i < COUNT_OF(list); i++)
		ck_assert(!socket_key_equal(&key, &list[i]));
}

TEST(all_addresses_are_told_from_one)
{
	static const char *const ips[] = {"0.0.0.0", "0.0.0.1", "::", "::1"};

	for (int i = 0; i < (os_has_v6() ? 4 : 2); i++) {
		struct socket_key key = key_for(ips[i], 80, i < 2 ? -1 : 1);

		ck_assert_int_eq(socket_key_is_any(&key), i % 2 == 0);
	}
}

static void expect_text(struct socket_key key, const char *expected)
{
	char text[SOCKET_KEY_TEXT];

	ck_assert_ptr_eq(socket_key_text(&key, text), text);
	ck_assert_str_eq(text, expected);
}

TEST(a_key_is_told_as_an_address_is_written)
{
	struct socket_key key;
	int fd = open_socket(AF_INET, SOCK_DGRAM, -1);

	expect_text(key_for("0.0.0.0", 80, -1), "tcp:0.0.0.0:80");
	expect_text(key_for("192.168.100.255", 65535, -1), "tcp:192.168.100.255:65535");
	expect_text(key_of(fd, "127.0.0.1", 53), "udp:127.0.0.1:53");
	if (!os_has_v6())
		return;
	expect_text(key_for("::", 80, 0), "tcp:*:80");
	expect_text(key_for("::", 80, 1), "tcp:[::]:80");
	expect_text(key_for("::1", 80, 0), "tcp:[::1]:80");
	ck_assert_int_eq(guess(&key, "TCPv6", "1111:2222:3333:4444:5555:6666:7777:8888", 1), 0);
	expect_text(key, "tcp:[1111:2222:3333:4444:5555:6666:7777:8888]:8000");
}

/* ---- binding ---- */

TEST_LOOP(what_is_opened_is_bound_as_the_key_says, 0, 4)
{
	static const char *const ips[] = {"127.0.0.1", "::1", "::", "::"};
	static const int v6only[] = {-1, 0, 0, 1};
	struct socket_key key;
	struct socket_key bound;
	int fd;

	if (_i > 0 && !os_has_v6())
		return;
	key = key_for(ips[_i], 0, v6only[_i]);
	fd = socket_key_open(&key, geteuid(), true, false);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(socket_key_bound(&bound, fd), 0);
	ck_assert_uint_ne(bound.port, 0);
	key.port = bound.port;
	ck_assert(socket_key_equal(&bound, &key));
}

/* Of TCP and UDP: the kernel asks whose socket it is (sk_uid). */
TEST_LOOP(none_joins_the_group_of_another_user, 0, 2)
{
	struct socket_key key = key_for("127.0.0.1", 0, -1);
	struct stat st;
	int first;
	int fd;

	if (!os_is_root("to be somebody else"))
		return;
	key.type = _i == 0 ? SOCK_DGRAM : SOCK_STREAM;
	key.protocol = 0;
	first = socket_key_open(&key, 0, false, true);
	ck_assert_int_eq(socket_key_bound(&key, first), 0);
	ck_assert(_i == 0 || listen(first, 1) == 0);
	os_fails(socket_key_open(&key, 65534, false, true), EADDRINUSE);
	ck_assert_int_eq(close(first), 0);
	fd = socket_key_open(&key, 65534, false, true);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_uid, 65534);
	ck_assert_int_eq(socket_key_open(&key, 0, false, true), -1);
	ck_assert_int_ne(socket_key_open(&key, 65534, false, true), -1);
	ck_assert_int_ne(socket_key_open(&key, 65534, false, true), -1);
	/* and we are who we were */
	ck_assert_int_eq(fstat(open_socket(AF_INET, SOCK_STREAM, -1), &st), 0);
	ck_assert_uint_eq(st.st_uid, 0);
	os_fails(socket_key_open(&key, (uid_t)-1, false, true), EPERM);
}

TEST(one_that_joins_shares_and_another_is_refused)
{
	struct socket_key key = key_for("127.0.0.1", 0, -1);
	int first = socket_key_open(&key, geteuid(), true, true);
	unsigned before;

	ck_assert_int_ne(first, -1);
	ck_assert_int_eq(socket_key_bound(&key, first), 0);
	ck_assert_int_eq(listen(first, 1), 0);
	ck_assert_int_ne(socket_key_open(&key, geteuid(), true, true), -1);
	before = os_open_count();
	os_fails(socket_key_open(&key, geteuid(), true, false), EADDRINUSE);
	key = key_for("192.0.2.1", 80, -1); /* nobody has that */
	os_fails(socket_key_open(&key, geteuid(), true, false), EADDRNOTAVAIL);
	ck_assert_uint_eq(os_open_count(), before);
}

TEST(a_socket_that_somebody_has_made_can_be_bound)
{
	struct socket_key key = key_for("127.0.0.1", 0, -1);
	struct socket_key bound;
	int fd = open_socket(AF_INET, SOCK_STREAM, -1);

	ck_assert_int_eq(socket_key_bind(&key, fd), 0);
	ck_assert_int_eq(socket_key_bound(&bound, fd), 0);
	ck_assert_uint_ne(bound.port, 0);
	ck_assert_mem_eq(bound.ip, "\177\000\000\001", 4);
	os_fails(socket_key_bind(&key, fd), EINVAL); /* it is bound */
	ck_assert_int_eq(socket_key_bound(&bound, os_null()), -1);
}
