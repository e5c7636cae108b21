/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/privilege.h"

#include <linux/filter.h>
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
