/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/fdpass.h"
#include "os/socket/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int pair[2];

static void make_pair(int type)
{
	int on = 1;

	ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(
		setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)),
		0);
}

FIXTURE(os_make_dir, NULL)

TEST(data_credentials_and_descriptors_arrive)
{
	struct fdpass_message m;
	char data[16];
	struct stat sent;
	struct stat got;
	int fds[2] = {os_null(), -1};

	make_pair(SOCK_SEQPACKET);
	os_write(os_path("a"), "a", 0644);
	fds[1] = open(os_path("a"), O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "hello", 5, fds, 2), 0);
	ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 1);
	ck_assert_int_eq(m.len, 5);
	ck_assert(!m.cut);
	ck_assert_mem_eq(data, "hello", 5);
	ck_assert(m.has_cred);
	ck_assert_int_eq(m.cred.pid, getpid());
	ck_assert_uint_eq(m.cred.uid, getuid());
	ck_assert_uint_eq(m.fd_count, 2);
	ck_assert_int_eq(fstat(fds[1], &sent), 0);
	ck_assert_int_eq(fstat(m.fds[1], &got), 0);
	ck_assert_uint_eq(sent.st_ino, got.st_ino);
	ck_assert_int_ne(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC, 0);
}

TEST(a_stream_passes_one_descriptor_with_its_bytes)
{
	int ours;
	int theirs;
	struct fdpass_message m;
	char data[64];
	int fds[2] = {os_null(), os_null()};

	ck_assert_int_eq(fdpass_pair(&ours, &theirs), 0);
	ck_assert_int_ne(fcntl(ours, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(theirs, F_GETFL) & O_NONBLOCK, 0);
	os_fails(fdpass_read(ours, data, sizeof(data), &m), EAGAIN);
	ck_assert_int_eq(fdpass_write(theirs, "plain\n", 6, -1), 6);
	ck_assert_int_eq(fdpass_write(theirs, "a\n", 2, fds[0]), 2);
	ck_assert_int_eq(fdpass_write(theirs, "b\n", 2, fds[1]), 2);
	/* what comes after it is not merged with another one's */
	ck_assert_int_eq(fdpass_read(ours, data, sizeof(data), &m), 8);
	ck_assert_uint_eq(m.fd_count, 1);
	ck_assert_int_ne(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC, 0);
	ck_assert(!m.lost);
	(void)close(m.fds[0]);
	ck_assert_int_eq(fdpass_read(ours, data, sizeof(data), &m), 2);
	ck_assert_uint_eq(m.fd_count, 1);
	(void)close(m.fds[0]);
	ck_assert_int_eq(fdpass_send(theirs, "c\n", 2, fds, 2), 0);
	ck_assert_int_eq(fdpass_read(ours, data, sizeof(data), &m), 2);
	ck_assert_uint_eq(m.fd_count, 2);
	(void)close(m.fds[0]);
	(void)close(m.fds[1]);
	(void)close(theirs);
	ck_assert_int_eq(fdpass_read(ours, data, sizeof(data), &m), 0);
	os_fails(fdpass_write(ours, "x", 1, -1), EPIPE);
}

TEST(too_long_a_message_is_cut_and_said_to_be)
{
	struct fdpass_message m;
	char data[4];

	make_pair(SOCK_DGRAM);
	ck_assert_int_eq(fdpass_send(pair[0], "0123456789", 10, NULL, 0), 0);
	ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 1);
	ck_assert(m.cut);
	ck_assert_int_eq(m.len, 10);
	ck_assert_mem_eq(data, "0123", 4);
	ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 0);
}

TEST(who_is_not_told_is_nobody)
{
	struct fdpass_message m;
	int off = 0;
	char data[4];

	make_pair(SOCK_DGRAM);
	(void)memset(&m, 0x55, sizeof(m));
	ck_assert_int_eq(
		setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)),
		0);
	ck_assert_int_eq(fdpass_send(pair[0], "a", 1, NULL, 0), 0);
	ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 1);
	ck_assert(!m.has_cred);
	ck_assert_int_eq(m.cred.pid, 0);
	ck_assert_uint_eq(m.cred.uid, 0);
}

/* Send `count` descriptors in one message, past what fdpass_send() takes. */
static void send_many(size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(253 * sizeof(int))];
	} control;
	struct iovec piece = {.iov_base = (char[]){"x"}, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *c;
	int fd = os_null();

	(void)memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	for (size_t i = 0; i < count; i++)
		(void)memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(pair[0], &msg, 0), 1);
	ck_assert_int_eq(close(fd), 0);
}

TEST(all_descriptors_that_a_message_can_bring_are_received)
{
	static const size_t counts[] = {8, 9, 100, FDPASS_MOST};
	struct fdpass_message m;
	unsigned before;
	char data[4];

	make_pair(SOCK_DGRAM);
	before = os_open_count();
	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		send_many(counts[i]);
		ck_assert_int_eq(
			fdpass_receive(pair[1], data, sizeof(data), &m), 1);
		ck_assert_uint_eq(m.fd_count, counts[i]);
		ck_assert(m.has_cred);
		ck_assert(!m.lost);
		ck_assert_uint_eq(os_open_count(), before + counts[i]);
		for (size_t k = 0; k < m.fd_count; k++)
			ck_assert_int_eq(close(m.fds[k]), 0);
		ck_assert_uint_eq(os_open_count(), before);
	}
	os_fails(fdpass_send(pair[0], "x", 1, (int[FDPASS_MOST + 1]){0},
			 FDPASS_MOST + 1),
		EINVAL);
}

NATIVE_TEST(what_finds_no_number_is_said_to_be_lost)
{
	struct fdpass_message m;
	struct rlimit limit;
	struct rlimit before;
	char data[4];

	make_pair(SOCK_DGRAM);
	send_many(2);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur =
		(rlim_t)pair[1] + 2; /* one more, as pair[1] is the last */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 1);
	ck_assert_uint_eq(m.fd_count, 1);
	ck_assert(m.lost);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST(a_closed_peer_and_an_empty_message)
{
	struct fdpass_message m;
	char data[4];

	make_pair(SOCK_DGRAM);
	ck_assert_int_eq(fdpass_send(pair[0], "", 0, NULL, 0), 0);
	ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 1);
	ck_assert_int_eq(m.len, 0);
	make_pair(SOCK_SEQPACKET);
	ck_assert_int_eq(close(pair[0]), 0);
	ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 1);
	ck_assert_int_eq(m.len, 0);
	os_fails(fdpass_send(pair[1], "x", 1, NULL, 0),
		EPIPE); /* and no SIGPIPE */
}

TEST(a_full_queue_does_not_block)
{
	int n = 0;

	make_pair(SOCK_SEQPACKET);
	while (fdpass_send(pair[0], "0123456789", 10, NULL, 0) == 0)
		ck_assert_int_lt(n++, 1000000);
	ck_assert_int_eq(errno, EAGAIN);
}

static void send_to(const char *path)
{
	int fd = socket_connect_datagrams(path);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fdpass_send(fd, "READY=1", 7, NULL, 0), 0);
	ck_assert_int_eq(close(fd), 0);
}

TEST(a_datagram_reaches_a_path_and_an_abstract_name)
{
	struct fdpass_message m;
	struct error err;
	char data[16];
	int dir = open(os_dir, O_PATH | O_CLOEXEC);
	int fd = socket_open_at(dir, "notify", SOCK_DGRAM, 0600, -1, -1, &err);
	struct socket_plan plan = {.family = AF_UNIX,
		.type = SOCK_DGRAM,
		.path = "@nclust-test-fdpass",
		.mode = -1,
		.owner = -1,
		.group = -1,
		.rcvbuf = -1,
		.sndbuf = -1,
		.text = "abstract"};
	struct socket_file made;

	ck_assert_int_ne(fd, -1);
	send_to(os_path("notify"));
	ck_assert_int_eq(fdpass_receive(fd, data, sizeof(data), &m), 1);
	ck_assert_int_eq(m.cred.pid, getpid());
	fd = socket_open(&plan, &made, &err);
	ck_assert_int_ne(fd, -1);
	send_to(plan.path);
	ck_assert_int_eq(fdpass_receive(fd, data, sizeof(data), &m), 1);
	ck_assert_int_eq(m.len, 7);
	ck_assert_int_eq(socket_connect_datagrams(""), -1);
	os_fails(socket_connect_datagrams(os_path("none")), ENOENT);
}

/* ---- from others ---- */

static struct fdpass_message apart;
static char text[64];

static int receive_apart(void)
{
	(void)memset(text, 0, sizeof(text));
	return fdpass_receive_apart(
		pair[1], text, sizeof(text), FDPASS_NOTHING, &apart);
}

static ssize_t read_apart(enum fdpass_take take)
{
	(void)memset(text, 0, sizeof(text));
	return fdpass_read_apart(pair[1], text, sizeof(text), take, &apart);
}

TEST(what_brings_nothing_comes_as_ever)
{
	make_pair(SOCK_DGRAM);
	ck_assert_int_eq(receive_apart(), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "one", 3, NULL, 0), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "", 0, NULL, 0), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "two", 3, NULL, 0), 0);
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert_str_eq(text, "one");
	ck_assert_int_eq(apart.len, 3);
	ck_assert(apart.has_cred && !apart.lost && !apart.cut);
	ck_assert_int_eq(apart.cred.pid, getpid());
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert_int_eq(apart.len, 0);
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert_str_eq(text, "two");
	ck_assert_int_eq(receive_apart(), 0);
}

TEST(what_was_looked_at_is_taken_away_alone)
{
	struct fdpass_message m;
	char data[8];

	make_pair(SOCK_DGRAM);
	ck_assert_int_eq(fdpass_send(pair[0], "one", 3, NULL, 0), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "two", 3, NULL, 0), 0);
	ck_assert_int_eq(fdpass_look(pair[1], data, sizeof(data), &m), 1);
	ck_assert_mem_eq(data, "one", 3);
	ck_assert_int_eq(fdpass_skip(pair[1]), 1);
	ck_assert_int_eq(fdpass_look(pair[1], data, sizeof(data), &m), 1);
	ck_assert_mem_eq(data, "two", 3);
	ck_assert_int_eq(fdpass_skip(pair[1]), 1);
	ck_assert_int_eq(fdpass_skip(pair[1]), 0);
}

NATIVE_TEST(what_is_not_wanted_never_gets_here_and_is_closed)
{
	char byte;
	int ends[2];

	make_pair(SOCK_DGRAM);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "BARRIER=1", 9, &ends[1], 1), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "next", 4, NULL, 0), 0);
	ck_assert_int_eq(close(ends[1]), 0);
	ck_assert_int_eq(read(ends[0], &byte, 1), -1); /* it is on its way */
	unsigned before = os_open_count();
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert_str_eq(text, "BARRIER=1");
	ck_assert(apart.has_cred && apart.lost);
	ck_assert_int_eq(apart.cred.pid, getpid());
	ck_assert_uint_eq(apart.fd_count, 0);
	ck_assert_int_eq(apart.stuck, 0);
	ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* EOF */
	send_many(FDPASS_MOST);
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert_str_eq(text, "next");
	ck_assert(!apart.lost);
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert(apart.lost);
	ck_assert_uint_eq(os_open_count(), before);
}

NATIVE_TEST(what_may_not_be_received_stays)
{
	int fds[2] = {os_null(), os_null()};

	make_pair(SOCK_STREAM);
	ck_assert_int_eq(fdpass_send(pair[0], "x", 1, fds, 2), 0);
	unsigned before = os_open_count();
	for (int i = 0; i < 2; i++) {
		os_fails(read_apart(FDPASS_LEAVE), EBUSY);
		ck_assert(apart.lost);
	}
	ck_assert_int_eq(read_apart(FDPASS_NOTHING), 1);
	ck_assert_uint_eq(os_open_count(), before);
}

/* Is the next one a socket that was taken? */
static bool takes(const int *fds, size_t count)
{
	unsigned before = os_open_count();
	bool took;

	ck_assert_int_eq(fdpass_send(pair[0], "bb", 2, fds, count), 0);
	ck_assert_int_eq(read_apart(FDPASS_SOCKET), 2);
	ck_assert_str_eq(text, "bb");
	took = apart.fd_count == 1;
	ck_assert_uint_eq(os_open_count(), before + took);
	ck_assert_int_eq(apart.lost, !took);
	if (took)
		ck_assert_int_ne(fcntl(apart.fds[0], F_GETFD) & FD_CLOEXEC, 0);
	fdpass_drop(&apart);
	return took;
}

NATIVE_TEST(one_socket_is_taken_if_it_is_wanted)
{
	int null = os_null();
	int fds[2];

	make_pair(SOCK_STREAM);
	fds[0] = fds[1] = pair[0];
	ck_assert(takes(fds, 1));
	ck_assert(!takes(&null, 1));
	ck_assert(!takes(fds, 2));
	fds[1] = null;
	ck_assert(!takes(fds, 2));
	ck_assert(takes(fds, 1));
	/* with what came before it */
	ck_assert_int_eq(fdpass_send(pair[0], "aaaa", 4, NULL, 0), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "b", 1, fds, 1), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "c", 1, &null, 1), 0);
	ck_assert_int_eq(read_apart(FDPASS_SOCKET), 5);
	ck_assert_str_eq(text, "aaaab");
	ck_assert_uint_eq(apart.fd_count, 1);
	fdpass_drop(&apart);
	ck_assert_int_eq(read_apart(FDPASS_SOCKET), 1);
	ck_assert(apart.lost);
	(void)shutdown(pair[0], SHUT_RDWR);
	ck_assert_int_eq(read_apart(FDPASS_SOCKET), 0);
}

/* Before Linux 5.15 there is none. */
static bool send_urgently(const int *fds, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec piece = {.iov_base = (char[]){"!"}, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &piece, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (count > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		(void)memcpy(CMSG_DATA(c), fds, sizeof(int));
	}
	if (sendmsg(pair[0], &msg, MSG_OOB) == 1)
		return true;
	(void)fprintf(stderr, "left out: no urgent bytes here\n");
	return false;
}

NATIVE_TEST(an_urgent_byte_is_one_of_the_others)
{
	int null = os_null();
	char all[16] = "";
	unsigned lost = 0;

	make_pair(SOCK_STREAM);
	if (!send_urgently(NULL, 0))
		return;
	ck_assert_int_eq(read_apart(FDPASS_SOCKET), 1); /* not: nothing there */
	ck_assert_str_eq(text, "!");
	unsigned before = os_open_count();
	for (int i = 0; i < 3; i++) {
		ck_assert(send_urgently(i == 1 ? pair : &null, 1));
		ck_assert_int_eq(fdpass_send(pair[0], "x", 1, &null, 1), 0);
	}
	while (read_apart(FDPASS_SOCKET) > 0) {
		(void)strncat(all, text, sizeof(all) - strlen(all) - 1);
		lost += apart.lost;
		fdpass_drop(&apart);
		ck_assert_uint_eq(os_open_count(), before);
	}
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_str_eq(all, "!x!x!x");
	ck_assert_uint_ge(lost, 4);
}

NATIVE_TEST(a_socket_without_a_number_is_lost)
{
	struct rlimit limit;
	struct rlimit before;

	make_pair(SOCK_STREAM);
	ck_assert_int_eq(fdpass_send(pair[0], "x", 1, pair, 1), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)pair[1] + 1; /* which is the last */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(read_apart(FDPASS_SOCKET), 1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert(apart.lost);
	ck_assert_uint_eq(apart.fd_count, 0);
}

TEST(what_cannot_be_received_brings_nothing)
{
	struct fdpass_message m;
	int ends[2];
	char byte;

	ck_assert_int_eq(pipe(ends), 0);
	(void)memset(&m, 1, sizeof(m)); /* as memory is before its use */
	os_fails(fdpass_read_apart(ends[0], &byte, 1, FDPASS_LEAVE, &m),
		ENOTSOCK);
	ck_assert_uint_eq(m.fd_count, 0);
	ck_assert(!m.lost);
	ck_assert_int_eq(m.stuck, 0);
	(void)memset(&m, 1, sizeof(m));
	ck_assert_int_eq(fdpass_look(ends[0], &byte, 1, &m), -1);
	ck_assert_uint_eq(m.fd_count, 0);
	ck_assert(!m.lost);
}
