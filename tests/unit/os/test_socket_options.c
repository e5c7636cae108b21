/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/socket/socket_key.h"

#include <netinet/tcp.h>
#include <sys/time.h>

static struct socket_options before; /* of a socket that nobody has touched */
static struct socket_options now;
static int theirs;
static int ours;

static int tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ne(fd, -1);
	return fd;
}

static void set_up(void)
{
	theirs = tcp();
	ours = tcp();
	socket_options_read(&before, theirs);
}

/* What they have done since is done to ours. */
static void follow(void)
{
	socket_options_read(&now, theirs);
	socket_options_follow(ours, &before, &now);
}

/* Both have the same of all options. */
static void are_equal(int one, int other)
{
	struct socket_options a;
	struct socket_options b;

	socket_options_read(&a, one);
	socket_options_read(&b, other);
	ck_assert_mem_eq(&a, &b, sizeof(a));
}

static bool is_nonblock(int fd)
{
	return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

/* ---- one after the other ---- */

/* Those that an ordinary user can set to any value. */
static const struct {
	int level;
	int option;
	int value;
} simple[] = {
	{SOL_SOCKET, SO_KEEPALIVE, 1},
	{SOL_SOCKET, SO_RCVLOWAT, 77},
	{SOL_SOCKET, SO_PRIORITY, 5},
	{SOL_SOCKET, SO_OOBINLINE, 1},
	{SOL_SOCKET, SO_INCOMING_CPU, 0},
	{IPPROTO_TCP, TCP_NODELAY, 1},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT, 7},
	{IPPROTO_TCP, TCP_KEEPIDLE, 61},
	{IPPROTO_TCP, TCP_KEEPINTVL, 62},
	{IPPROTO_TCP, TCP_KEEPCNT, 3},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, 12345},
	{IPPROTO_TCP, TCP_SYNCNT, 4},
	{IPPROTO_TCP, TCP_LINGER2, 13},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, 50000},
	{IPPROTO_TCP, TCP_FASTOPEN, 16},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096},
	{IPPROTO_IP, IP_TOS, 0x10},
	{IPPROTO_IP, IP_TTL, 33},
};

FIXTURE(set_up, NULL)

TEST_LOOP(what_was_set_before_the_bind_is_set_on_ours, 0, COUNT_OF(simple))
{
	int level = simple[_i].level;
	int option = simple[_i].option;
	int unset = os_get(ours, level, option);
	int same = tcp();

	os_set(theirs, level, option, simple[_i].value);
	ck_assert_int_ne(os_get(theirs, level, option), unset);
	os_set(same, level, option, simple[_i].value);
	follow();
	are_equal(ours, same); /* and nothing else */
	before = now;
	follow(); /* it stays so */
	are_equal(ours, same);
}

TEST(what_is_taken_back_is_taken_back)
{
	os_set(theirs, SOL_SOCKET, SO_KEEPALIVE, 1);
	os_set(theirs, IPPROTO_TCP, TCP_KEEPIDLE, 10);
	follow();
	before = now;
	os_set(theirs, SOL_SOCKET, SO_KEEPALIVE, 0);
	follow();
	ck_assert_int_eq(os_get(ours, SOL_SOCKET, SO_KEEPALIVE), 0);
	ck_assert_int_eq(os_get(ours, IPPROTO_TCP, TCP_KEEPIDLE), 10);
	/* what users of ours have set since is left */
	before = now;
	os_set(ours, IPPROTO_TCP, TCP_KEEPIDLE, 20);
	os_set(ours, SOL_SOCKET, SO_OOBINLINE, 1);
	follow();
	ck_assert_int_eq(os_get(ours, IPPROTO_TCP, TCP_KEEPIDLE), 20);
	ck_assert_int_ne(os_get(ours, SOL_SOCKET, SO_OOBINLINE), 0);
}

static const int buffers[] = {SO_RCVBUF, SO_SNDBUF};

TEST_LOOP(buffers_do_not_double_on_the_way, 0, 2)
{
	int option = buffers[_i];
	int other = buffers[1 - _i];
	int left = os_get(ours, SOL_SOCKET, other);

	os_set(theirs, SOL_SOCKET, option, 60000);
	ck_assert_int_eq(os_get(theirs, SOL_SOCKET, option), 120000);
	follow();
	ck_assert_int_eq(os_get(ours, SOL_SOCKET, option), 120000);
	ck_assert_int_eq(os_get(ours, SOL_SOCKET, other), left);
}

static void set_more(const int *fd, int level, int option, const void *value, socklen_t size)
{
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(setsockopt(fd[i], level, option, value, size), 0);
}

TEST(values_of_more_than_a_word_are_followed)
{
	const struct linger linger = {1, 5};
	const struct timeval timeout = {3, 500000};
	const struct timeval send = {4, 0};
	const int fd[2] = {theirs, tcp()};

	set_more(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	set_more(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	set_more(fd, SOL_SOCKET, SO_SNDTIMEO, &send, sizeof(send));
	set_more(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
	follow();
	are_equal(ours, fd[1]);
	ck_assert_int_eq(os_get(ours, SOL_SOCKET, SO_LINGER), 1); /* on */
}

TEST(options_of_ipv6_are_followed_on_ipv6)
{
	theirs = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ours = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (theirs == -1)
		return; /* there is none here */
	socket_options_read(&before, theirs);
	os_set(theirs, IPPROTO_IPV6, IPV6_TCLASS, 0x20);
	os_set(theirs, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 44);
	os_set(theirs, IPPROTO_TCP, TCP_NODELAY, 1);
	follow();
	ck_assert_int_eq(os_get(ours, IPPROTO_IPV6, IPV6_TCLASS), 0x20);
	ck_assert_int_eq(os_get(ours, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 44);
	ck_assert_int_eq(os_get(ours, IPPROTO_TCP, TCP_NODELAY), 1);
}

TEST(nonblock_is_followed_both_ways)
{
	ck_assert(!before.nonblock);
	ck_assert_int_eq(fcntl(ours, F_SETFL, O_NONBLOCK), 0);
	follow(); /* others need it */
	ck_assert(is_nonblock(ours));
	ck_assert_int_eq(fcntl(ours, F_SETFL, 0), 0);
	ck_assert_int_eq(fcntl(theirs, F_SETFL, O_NONBLOCK), 0);
	follow();
	ck_assert(now.nonblock);
	ck_assert(is_nonblock(ours));
	before = now;
	follow(); /* no news */
	ck_assert(is_nonblock(ours));
	ck_assert_int_eq(fcntl(theirs, F_SETFL, 0), 0);
	follow();
	ck_assert(!is_nonblock(ours));
}

/* ---- what cannot be ---- */

TEST(options_that_a_socket_has_not_are_left_out)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct socket_options of_unix;
	unsigned missing = 0;

	socket_options_read(&of_unix, fd);
	for (int i = 0; i < SOCKET_OPTIONS; i++)
		missing += of_unix.list[i].size == 0;
	ck_assert_uint_gt(missing, 10);
	os_set(ours, IPPROTO_TCP, TCP_NODELAY, 1);
	socket_options_follow(ours, &before, &of_unix);
	ck_assert_int_eq(os_get(ours, IPPROTO_TCP, TCP_NODELAY), 1);
	socket_options_read(&now, -1);
	ck_assert(!now.nonblock);
	ck_assert_uint_eq(now.list[0].size, 0);
	socket_options_follow(ours, &before, &now);
	ck_assert_int_eq(os_get(ours, IPPROTO_TCP, TCP_NODELAY), 1);
}

/* The one before the mark and the one after it are set nevertheless. */
static int follow_as_nobody(void)
{
	if (setresuid(65534, 65534, 65534) == -1)
		return 1;
	socket_options_follow(ours, &before, &now);
	if (os_get(ours, SOL_SOCKET, SO_MARK) != 0)
		return 2;
	return os_get(ours, SOL_SOCKET, SO_PRIORITY) == 5 &&
			os_get(ours, IPPROTO_TCP, TCP_NODELAY) == 1
		? 0
		: 3;
}

ROOT_TEST(what_the_kernel_refuses_does_not_stop_the_rest)
{
	os_set(theirs, SOL_SOCKET, SO_PRIORITY, 5);
	os_set(theirs, SOL_SOCKET, SO_MARK, 99);
	os_set(theirs, IPPROTO_TCP, TCP_NODELAY, 1);
	socket_options_read(&now, theirs);
	ck_assert_int_eq(os_in_child(follow_as_nobody), 0);
	follow();
	ck_assert_int_eq(os_get(ours, SOL_SOCKET, SO_MARK), 99);
}

TEST(sharing_a_port_is_seen_and_set)
{
	ck_assert(!socket_has_reuseport(ours));
	ck_assert_int_eq(socket_set_reuseport(ours, true), 0);
	ck_assert(socket_has_reuseport(ours));
	ck_assert_int_eq(socket_set_reuseport(ours, false), 0);
	ck_assert(!socket_has_reuseport(ours));
	ck_assert(!socket_has_reuseport(-1));
	ck_assert_int_eq(socket_set_reuseport(-1, true), -1);
	/* who shares it is decided for each bind, and not followed */
	os_set(theirs, SOL_SOCKET, SO_REUSEPORT, 1);
	follow();
	ck_assert(!socket_has_reuseport(ours));
}
