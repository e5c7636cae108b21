/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/fdpass.h"
#include "os/socket/socket_unix.h"
#include "os/vfork.h"

static int pair[2];
static struct fdpass_message m;
static char data[64];

static void make_pair(int type)
{
	ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
	os_set(pair[1], SOL_SOCKET, SO_PASSCRED, 1);
}

static void put(const char *text, size_t len)
{
	ck_assert_int_eq(fdpass_send(pair[0], text, len, NULL, 0), 0);
}

/* One message, of so many bytes. */
static void receive(ssize_t len)
{
	ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 1);
	ck_assert_int_eq(m.len, len);
}

FIXTURE(os_make_dir, NULL)

TEST(data_credentials_and_descriptors_arrive)
{
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

TEST(what_one_that_is_gone_had_sent_is_there_whatever_it_has_left_unread)
{
	make_pair(SOCK_SEQPACKET);
	put("hello", 5);
	ck_assert_int_eq(fdpass_send(pair[1], "unread", 6, NULL, 0), 0);
	fd_close(&pair[0]);
	receive(5);
	receive(0);
}

TEST(a_stream_passes_one_descriptor_with_its_bytes)
{
	int ours;
	int theirs;
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

TEST(odd_messages_are_said_to_be)
{
	int n = 0;

	make_pair(SOCK_DGRAM);
	put("0123456789", 10);
	ck_assert_int_eq(fdpass_receive(pair[1], data, 4, &m), 1);
	ck_assert(m.cut);
	ck_assert_int_eq(m.len, 10);
	ck_assert_mem_eq(data, "0123", 4);
	ck_assert_int_eq(fdpass_receive(pair[1], data, 4, &m), 0);
	put("", 0);
	receive(0);
	/* who is not told is nobody */
	os_set(pair[1], SOL_SOCKET, SO_PASSCRED, 0);
	put("a", 1);
	memset(&m, 0x55, sizeof(m));
	receive(1);
	ck_assert(!m.has_cred);
	ck_assert_int_eq(m.cred.pid, 0);
	ck_assert_uint_eq(m.cred.uid, 0);
	/* a full queue does not block */
	make_pair(SOCK_SEQPACKET);
	while (fdpass_send(pair[0], "0123456789", 10, NULL, 0) == 0)
		ck_assert_int_lt(n++, 1000000);
	ck_assert_int_eq(errno, EAGAIN);
	/* nor does a closed peer end us by SIGPIPE */
	make_pair(SOCK_SEQPACKET);
	ck_assert_int_eq(close(pair[0]), 0);
	receive(0);
	os_fails(fdpass_send(pair[1], "x", 1, NULL, 0), EPIPE);
}

/* Send a descriptor so many times in one message, past what fdpass_send() takes. */
static bool send_many(const char *byte, int fd, size_t count, int flags)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(253 * sizeof(int))];
	} control;
	struct iovec piece = {.iov_base = (char[]){*byte}, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *c;

	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	for (size_t i = 0; i < count; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	return sendmsg(pair[0], &msg, flags) == 1;
}

TEST(all_descriptors_that_a_message_can_bring_are_received)
{
	static const size_t counts[] = {8, 9, 100, FDPASS_MOST};
	unsigned before;

	make_pair(SOCK_DGRAM);
	before = os_open_count();
	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		ck_assert(send_many("x", 2, counts[i], 0));
		ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 1);
		ck_assert_uint_eq(m.fd_count, counts[i]);
		ck_assert(m.has_cred);
		ck_assert(!m.lost);
		ck_assert_uint_eq(os_open_count(), before + counts[i]);
		for (size_t k = 0; k < m.fd_count; k++)
			ck_assert_int_eq(close(m.fds[k]), 0);
		ck_assert_uint_eq(os_open_count(), before);
	}
	os_fails(fdpass_send(pair[0], "x", 1, (int[FDPASS_MOST + 1]){0}, FDPASS_MOST + 1), EINVAL);
}

NATIVE_TEST(what_finds_no_number_is_said_to_be_lost)
{
	make_pair(SOCK_DGRAM);
	ck_assert(send_many("x", 2, 2, 0));
	/* one more, as pair[1] is the last */
	os_limit_descriptors((unsigned long)pair[1] + 2);
	receive(1);
	os_limit_descriptors(1024);
	ck_assert_uint_eq(m.fd_count, 1);
	ck_assert(m.lost);
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
	struct error err;
	int dir = open(os_dir, O_PATH | O_CLOEXEC);
	int fd = socket_open_at(dir, "notify", SOCK_DGRAM, 0600, -1, -1, &err);
	struct socket_plan plan = os_socket_plan(AF_UNIX, SOCK_DGRAM, "@nclust-test-fdpass");
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

static int receive_apart(void)
{
	memset(data, 0, sizeof(data));
	return fdpass_receive_apart(pair[1], data, sizeof(data), FDPASS_NOTHING, &m);
}

static ssize_t read_apart(enum fdpass_take take)
{
	memset(data, 0, sizeof(data));
	return fdpass_read_apart(pair[1], data, sizeof(data), take, &m);
}

TEST(what_brings_nothing_comes_as_ever)
{
	make_pair(SOCK_DGRAM);
	ck_assert_int_eq(receive_apart(), 0);
	put("one", 3);
	put("", 0);
	put("two", 3);
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert_str_eq(data, "one");
	ck_assert_int_eq(m.len, 3);
	ck_assert(m.has_cred && !m.lost && !m.cut);
	ck_assert_int_eq(m.cred.pid, getpid());
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert_int_eq(m.len, 0);
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert_str_eq(data, "two");
	ck_assert_int_eq(receive_apart(), 0);
}

TEST(what_was_looked_at_stays)
{
	make_pair(SOCK_DGRAM);
	put("one", 3);
	put("two", 3);
	ck_assert_int_eq(fdpass_look(pair[1], data, sizeof(data), &m), 1);
	ck_assert_mem_eq(data, "one", 3);
	ck_assert_int_eq(fdpass_receive(pair[1], data, sizeof(data), &m), 1);
	ck_assert_mem_eq(data, "one", 3);
	ck_assert_int_eq(fdpass_look(pair[1], data, sizeof(data), &m), 1);
	ck_assert_mem_eq(data, "two", 3);
}

NATIVE_TEST(what_is_not_wanted_never_gets_here_and_is_closed)
{
	char byte;
	int ends[2];

	make_pair(SOCK_DGRAM);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "BARRIER=1", 9, &ends[1], 1), 0);
	put("next", 4);
	ck_assert_int_eq(close(ends[1]), 0);
	ck_assert_int_eq(read(ends[0], &byte, 1), -1); /* it is on its way */
	unsigned before = os_open_count();
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert_str_eq(data, "BARRIER=1");
	ck_assert(m.has_cred && m.lost);
	ck_assert_int_eq(m.cred.pid, getpid());
	ck_assert_uint_eq(m.fd_count, 0);
	ck_assert_uint_eq(vfork_stuck(), 0);
	ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* EOF */
	ck_assert(send_many("x", 2, FDPASS_MOST, 0));
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert_str_eq(data, "next");
	ck_assert(!m.lost);
	ck_assert_int_eq(receive_apart(), 1);
	ck_assert(m.lost);
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
		ck_assert(m.lost);
	}
	ck_assert_int_eq(read_apart(FDPASS_NOTHING), 1);
	ck_assert_uint_eq(os_open_count(), before);
}

/* In a child, as who has no more processes to have cannot go on as a test. */
static int read_without_processes(void)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_NPROC, &none) == -1 || setresuid(54321, 54321, 54321) == -1)
		return 1;
	return read_apart(FDPASS_NOTHING) == -1 && errno == EBUSY && m.lost ? 0 : 2;
}

NATIVE_TEST(so_does_what_no_process_can_be_had_for)
{
	int null = os_null();

	if (!os_is_root("a user who has a limit"))
		return;
	make_pair(SOCK_STREAM);
	ck_assert_int_eq(fdpass_send(pair[0], "x", 1, &null, 1), 0);
	ck_assert_int_eq(os_in_child(read_without_processes), 0);
	ck_assert_int_eq(read_apart(FDPASS_NOTHING), 1);
}

NATIVE_TEST(what_was_sent_before_comes_along_and_nothing_after_it)
{
	int null = os_null();

	make_pair(SOCK_STREAM);
	put("aaaa", 4);
	ck_assert_int_eq(fdpass_send(pair[0], "b", 1, pair, 1), 0);
	ck_assert_int_eq(fdpass_send(pair[0], "c", 1, &null, 1), 0);
	ck_assert_int_eq(read_apart(FDPASS_NOTHING), 5);
	ck_assert_str_eq(data, "aaaab");
	ck_assert(m.lost);
	ck_assert_uint_eq(m.fd_count, 0);
	ck_assert_int_eq(read_apart(FDPASS_NOTHING), 1);
	ck_assert(m.lost);
	(void)shutdown(pair[0], SHUT_RDWR);
	ck_assert_int_eq(read_apart(FDPASS_NOTHING), 0);
}

NATIVE_TEST(an_urgent_byte_is_one_of_the_others)
{
	int null = os_null();
	char all[16] = "";
	unsigned lost = 0;

	make_pair(SOCK_STREAM);
	if (send(pair[0], "!", 1, MSG_OOB) == -1) {
		fprintf(stderr, "left out: needs Linux 5.15\n");
		return;
	}
	ck_assert_int_eq(read_apart(FDPASS_NOTHING), 1); /* not: nothing there */
	ck_assert_str_eq(data, "!");
	unsigned before = os_open_count();
	for (int i = 0; i < 3; i++) {
		ck_assert(send_many("!", i == 1 ? pair[0] : null, 1, MSG_OOB));
		ck_assert_int_eq(fdpass_send(pair[0], "x", 1, &null, 1), 0);
	}
	while (read_apart(FDPASS_NOTHING) > 0) {
		strncat(all, data, sizeof(all) - strlen(all) - 1);
		lost += m.lost;
		fdpass_drop(&m);
		ck_assert_uint_eq(os_open_count(), before);
	}
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_str_eq(all, "!x!x!x");
	ck_assert_uint_ge(lost, 4);
}

TEST(what_cannot_be_received_brings_nothing)
{
	int ends[2];
	char byte;

	ck_assert_int_eq(pipe(ends), 0);
	memset(&m, 1, sizeof(m)); /* as memory is before its use */
	os_fails(fdpass_read_apart(ends[0], &byte, 1, FDPASS_LEAVE, &m), ENOTSOCK);
	ck_assert_uint_eq(m.fd_count, 0);
	ck_assert(!m.lost);
	memset(&m, 1, sizeof(m));
	ck_assert_int_eq(fdpass_look(ends[0], &byte, 1, &m), -1);
	ck_assert_uint_eq(m.fd_count, 0);
	ck_assert(!m.lost);
}
