/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/socket/endpoint.h"

#include <arpa/inet.h>

static struct buffer out;

/* Is "K=V" among the strings? */
static bool has(const char *entry)
{
	for (size_t at = 0; at < out.len; at += strlen(out.data + at) + 1)
		if (strcmp(out.data + at, entry) == 0)
			return true;
	return false;
}

static void all_are_there(const char *const *entries)
{
	for (; *entries; entries++)
		ck_assert_msg(has(*entries), "%s", *entries);
}

#define must_have(...) all_are_there((const char *const[]){__VA_ARGS__, NULL})

/* All strings have a key, and there are as many as was said. */
static void check_strings(size_t count)
{
	size_t found = 0;

	for (size_t at = 0; at < out.len; at += strlen(out.data + at) + 1) {
		ck_assert_ptr_nonnull(strchr(out.data + at, '='));
		ck_assert_msg(peer_is_variable(out.data + at), "%s", out.data + at);
		found++;
	}
	ck_assert_uint_eq(found, count);
}

static void tell(const struct peer *peer, const char *path, unsigned same)
{
	buffer_fini(&out); /* the one before */
	buffer_init(&out, 0);
	check_strings(peer_environment(&out, peer, path, same));
}

static struct peer inet(int family, const char *far, const char *near)
{
	struct peer p = {.family = family, .port = 4711, .local_port = 80};

	ck_assert_int_eq(inet_pton(family, far, p.ip), 1);
	ck_assert_int_eq(inet_pton(family, near, p.local_ip), 1);
	return p;
}

static struct peer host(const char *ip)
{
	if (strchr(ip, ':') == NULL)
		return inet(AF_INET, ip, "127.0.0.1");
	return inet(AF_INET6, ip, "::1");
}

FIXTURE(os_make_dir, NULL)

TEST(an_ipv4_client_is_told_as_ucspi_and_systemd_do)
{
	struct peer p = inet(AF_INET, "192.0.2.7", "198.51.100.1");
	char text[PEER_TEXT_MAX];

	tell(&p, NULL, 0);
	must_have("PROTO=TCP", "TCPREMOTEIP=192.0.2.7", "TCPREMOTEPORT=4711",
		"TCPLOCALIP=198.51.100.1", "TCPLOCALPORT=80", "REMOTE_ADDR=192.0.2.7",
		"REMOTE_PORT=4711");
	ck_assert(!has("TCPCONNNUM=0"));
	ck_assert_str_eq(peer_text(text, &p), "192.0.2.7:4711");
	tell(&p, NULL, 3);
	ck_assert(has("TCPCONNNUM=3"));
}

TEST(an_ipv6_client_has_its_variables_too)
{
	struct peer p = inet(AF_INET6, "2001:db8::7", "::1");
	char text[PEER_TEXT_MAX];

	tell(&p, NULL, 0);
	must_have("PROTO=TCP6", "TCP6REMOTEIP=2001:db8::7", "TCPREMOTEIP=2001:db8::7",
		"TCP6LOCALIP=::1", "TCP6LOCALPORT=80", "REMOTE_ADDR=2001:db8::7");
	ck_assert_str_eq(peer_text(text, &p), "[2001:db8::7]:4711");
	p.scope = 1; /* lo */
	tell(&p, NULL, 0);
	ck_assert(has("TCP6INTERFACE=lo"));
}

TEST(a_unix_client_is_told_by_its_credentials)
{
	struct peer p = {.family = AF_UNIX, .pid = 12, .uid = 34, .gid = 56};
	char text[PEER_TEXT_MAX];

	tell(&p, "/run/x", 0);
	must_have("PROTO=UNIX", "UNIXLOCALPATH=/run/x", "UNIXREMOTEPID=12", "UNIXREMOTEEUID=34",
		"UNIXREMOTEEGID=56", "IPCREMOTEEUID=34");
	ck_assert_str_eq(peer_text(text, &p), "pid 12, uid 34");
	/* of another pid namespace: it has no number here */
	p.pid = 0;
	tell(&p, NULL, 0);
	ck_assert(!has("UNIXREMOTEPID=0"));
}

/* Of IPv6 a host has a whole net. */
TEST(only_the_host_makes_two_the_same)
{
	const struct peer un = {.family = AF_UNIX};
	static const struct {
		const char *a;
		const char *b;
		bool same;
	} pairs[] = {
		{"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.7", "192.0.2.8", false},
		{"192.0.2.7", "2001:db8::7", false},
		{"2001:db8::7", "2001:db8::ffff:1:2:3", true},
		{"2001:db8::7", "2001:db8:0:1::7", false},
		{"fe80::7", "fe80::7", true},
		{"fe80::7", "fe80::8", false},
	};

	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		struct peer a = host(pairs[i].a);
		struct peer b = host(pairs[i].b);

		b.port = 1;

		ck_assert_msg(
			peer_is_same(&a, &b) == pairs[i].same, "%s, %s", pairs[i].a, pairs[i].b);
	}
	ck_assert(!peer_is_same(&un, &un));
}

static int accept_one(int listener, struct peer *peer)
{
	int fd;

	ck_assert(os_is_readable(listener, 5000));
	fd = peer_accept(listener, peer);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	return fd;
}

TEST(a_dual_stack_socket_tells_ipv4_as_such)
{
	union os_address at = os_address("::");
	union os_address to = os_address("127.0.0.1");
	struct peer peer;
	int fd;

	if (!os_has_v6())
		return;
	fd = os_listen(&at);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	os_fails(peer_accept(fd, &peer), EAGAIN);
	to.v4.sin_port = at.v6.sin6_port;
	ck_assert_int_ne(os_connect(&to), -1);
	(void)close(accept_one(fd, &peer));
	ck_assert_int_eq(peer.family, AF_INET);
	ck_assert_uint_eq(peer.local_port, ntohs(at.v6.sin6_port));
	ck_assert_uint_eq(peer.ip[0], 127);
	ck_assert_uint_eq(peer.local_ip[0], 127);
}

TEST(a_unix_socket_tells_who_connected)
{
	union os_address at = os_address(os_path("s"));
	struct peer peer;
	int fd = os_listen(&at);

	ck_assert_int_ne(os_connect(&at), -1);
	(void)close(accept_one(fd, &peer));
	ck_assert_int_eq(peer.family, AF_UNIX);
	ck_assert_int_eq(peer.pid, getpid());
	ck_assert_uint_eq(peer.uid, geteuid());
}

TEST(what_speaks_of_a_connection_is_known)
{
	ck_assert(peer_is_variable("PROTO=TCP"));
	ck_assert(peer_is_variable("TCPREMOTEHOST=x"));
	ck_assert(peer_is_variable("TCPREMOTEINFO=x"));
	ck_assert(peer_is_variable("REMOTE_HOST=x"));
	ck_assert(!peer_is_variable("PROTOCOL=x"));
	ck_assert(!peer_is_variable("REMOTE_USER=x"));
	ck_assert(!peer_is_variable("PATH=/bin"));
}
