/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/privilege.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>

static struct error err;

/* The line that went wrong; the child must not go through libcheck. */
#define MUST(what) \
	do { \
		if (!(what)) \
			_exit(__LINE__ % 256); \
	} while (0)
#define MUST_NOT(call) MUST((call) == -1 && errno == EPERM)

static int in_child(void (*what)(int fds[2]))
{
	int fds[2];
	int status = -1;
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		MUST(sandbox_enter(&err) == 0);
		what(fds);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	(void)close(fds[0]);
	(void)close(fds[1]);
	return status;
}

static void use_what_is_there(int fds[2])
{
	struct pollfd wait = {.fd = fds[1], .events = POLLIN};
	const int one = 1;
	char byte = 'x';
	char *much;

	MUST(send(fds[0], &byte, 1, MSG_NOSIGNAL) == 1);
	MUST(poll(&wait, 1, 0) == 1);
	MUST(recv(fds[1], &byte, 1, 0) == 1 && byte == 'x');
	much = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(much != MAP_FAILED);
	*much = 1;
	MUST(munmap(much, 1 << 20) == 0);
	MUST(setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == -1 &&
		errno != EPERM); /* it is no socket of TCP */
	MUST(close(fds[0]) == 0);
}

static void reach_out(int fds[2])
{
	char *const argv[] = {"/bin/true", NULL};
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog filter = {1, &none};
	const int one = 1;

	MUST_NOT(setsockopt(fds[0], SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)));
	MUST_NOT(setsockopt(fds[0], IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one)));
	MUST_NOT(open("/dev/null", O_RDONLY));
	MUST_NOT(socket(AF_INET, SOCK_STREAM, 0));
	MUST_NOT(connect(fds[0], NULL, 0));
	MUST_NOT(bind(fds[0], NULL, 0));
	MUST_NOT(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	MUST_NOT(execv(argv[0], argv));
	MUST_NOT(kill(getppid(), 0));
	MUST_NOT(prctl(PR_SET_DUMPABLE, 1));
	MUST_NOT(setuid(0));
	MUST_NOT(syscall(SYS_pidfd_open, 1, 0));
	MUST(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		MAP_FAILED);
}

/* Valgrind and the sanitizers need more themselves. */
static bool is_alone(void)
{
	return !UNIT_IS_SANITIZED && !unit_is_valgrind();
}

TEST(it_can_use_what_it_has)
{
	if (is_alone())
		ck_assert_int_eq(in_child(use_what_is_there), 0);
}

TEST(it_can_reach_nothing_else)
{
	if (is_alone())
		ck_assert_int_eq(in_child(reach_out), 0);
}

/* Sockets of each kind that a role may have; none of them is connected, but the last. */
static int kinds[6];

static void connect_by_a_family_alone(int fds[2])
{
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct sockaddr_storage to = {.ss_family = AF_UNSPEC};

		for (socklen_t len = 0; len <= sizeof(to); len++)
			if (len != sizeof(to.ss_family))
				MUST_NOT(connect(kinds[i], (struct sockaddr *)&to, len));
		for (to.ss_family = 1; to.ss_family < AF_MAX; to.ss_family++)
			MUST(connect(kinds[i], (struct sockaddr *)&to, sizeof(to.ss_family)) == -1);
	}
	(void)fds;
	MUST(connect(kinds[5], &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(sa_family_t)) ==
		0);
}

/* So the courier resets a connection. */
TEST(it_can_disconnect_and_connect_to_nothing)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;

	if (!is_alone())
		return;
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, size), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &size), 0);
	ck_assert_int_eq(connect(peer, (struct sockaddr *)&at, size), 0);
	kinds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	kinds[1] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	kinds[2] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	kinds[3] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	kinds[4] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	kinds[5] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_eq(in_child(connect_by_a_family_alone), 0);
	/* although we have the socket, too */
	ck_assert_int_eq(recv(peer, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		(void)close(kinds[i]);
	(void)close(peer);
	(void)close(listener);
}
