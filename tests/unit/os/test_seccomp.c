/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/fdpass.h"
#include "os/look/remote.h"
#include "os/look/remote_waits.h"
#include "os/privilege.h"
#include "os/spawn/seccomp.h"

#include <linux/capability.h>
#include <sys/syscall.h>

/*
 * A child, the caller, puts the filter on itself, and makes a call; we hear its
 * calls.  What came of them, it says in memory that we share.
 */
static struct {
	long list[16]; /* -errno of what failed */
	unsigned count;
	int fd;       /* of its socket */
	pid_t friend; /* another under the same filter */
	bool comes_again;
	struct sockaddr_in loopback;
	int on;
	uint32_t words[SECCOMP_ARGUMENTS_MAX];
} * shared;

static struct seccomp_notice n; /* the last one that a test heard */
static int channel[2];
static int go[2]; /* a byte: the friend may go on */
static pid_t caller;
static int calls; /* the notify descriptor */

static void set_up(void)
{
	/* low, so that a 32-bit call can point to it */
#if defined(__x86_64__)
	int low = MAP_32BIT;
#else
	int low = 0;
#endif

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | low, -1, 0);
	ck_assert(shared != MAP_FAILED);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, channel), 0);
	ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
	shared->loopback.sin_family = AF_INET;
	shared->loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	shared->on = 1;
}

/* ---- the caller's side ---- */

static void say(long got)
{
	shared->list[shared->count++] = got == -1 ? -errno : got;
}

static int open_socket(int family)
{
	shared->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return shared->fd;
}

static int bind_it(int fd)
{
	return bind(fd, (const struct sockaddr *)&shared->loopback, sizeof(shared->loopback));
}

static void become_caller(enum seccomp_calls which)
{
	int fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		_exit(10);
	fd = seccomp_install(which);
	shared->comes_again = !seccomp_waits_killable();
	if (fd < 0 || fdpass_send(channel[1], "x", 1, &fd, 1) == -1)
		_exit(11);
	(void)close(fd);
}

/* ---- ours ---- */

static void call_with(void (*function)(void), enum seccomp_calls which)
{
	struct fdpass_message m;
	char byte;

	shared->count = 0;
	caller = fork();
	ck_assert_int_ne(caller, -1);
	if (caller == 0) {
		become_caller(which);
		function();
		_exit(0);
	}
	ck_assert(os_is_readable(channel[0], 20000));
	ck_assert_int_eq(fdpass_receive(channel[0], &byte, 1, &m), 1);
	ck_assert_uint_eq(m.fd_count, 1);
	calls = m.fds[0];
}

static void call(void (*function)(void))
{
	call_with(function, SECCOMP_BINDS);
}

static struct seccomp_notice hear(void)
{
	ck_assert(os_is_readable(calls, 20000));
	ck_assert_int_eq(seccomp_receive(calls, &n), 1);
	ck_assert(seccomp_waits(calls, n.id));
	return n;
}

static struct seccomp_notice hear_bind(void)
{
	(void)hear();
	ck_assert_int_eq(n.call, SECCOMP_BIND);
	ck_assert_int_eq(n.fd, shared->fd);
	ck_assert_uint_eq(n.at, (uintptr_t)&shared->loopback);
	ck_assert_uint_eq(n.size, sizeof(shared->loopback));
	return n;
}

static struct seccomp_notice hear_listen(int backlog)
{
	(void)hear();
	ck_assert_int_eq(n.call, SECCOMP_LISTEN);
	ck_assert_int_eq(n.fd, shared->fd);
	ck_assert_int_eq(n.backlog, backlog);
	return n;
}

static struct seccomp_notice hear_v6only(void)
{
	(void)hear();
	ck_assert_int_eq(n.call, SECCOMP_V6ONLY);
	ck_assert_int_eq(n.fd, shared->fd);
	ck_assert_uint_eq(n.at, (uintptr_t)&shared->on);
	ck_assert_uint_eq(n.size, sizeof(int));
	return n;
}

#define ANY 999

/* The caller has done all, and has said that. */
static void finish_with(const long *said, size_t count)
{
	os_reap(caller, 0);
	ck_assert_uint_eq(shared->count, count);
	for (size_t i = 0; i < count; i++)
		ck_assert(said[i] == ANY || shared->list[i] == said[i]);
	ck_assert_int_eq(close(calls), 0);
}

#define finish(...) \
	finish_with((const long[]){__VA_ARGS__}, sizeof((const long[]){__VA_ARGS__}) / sizeof(long))

/* ---- what waits, and how it is answered ---- */

static void do_all_and_bind(void)
{
	struct sockaddr_storage name;
	socklen_t size = sizeof(name);
	int fd = open_socket(AF_INET);

	say(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &shared->on, sizeof(int)));
	say(setsockopt(open_socket(AF_INET6), IPPROTO_IPV6, IPV6_V6ONLY, &shared->on, sizeof(int)));
	shared->fd = fd;
	say(getsockname(fd, (struct sockaddr *)&name, &size));
	say(shutdown(fd, SHUT_RD));
	say(bind_it(fd));
	say(listen(fd, 17));
	say(accept4(fd, NULL, NULL, SOCK_NONBLOCK) == -1 ? errno : 0);
}

/* Were anything else trapped, it would wait for ever. */
FIXTURE(set_up, NULL)

NATIVE_TEST(only_bind_and_listen_wait_and_tell_what_they_are_about)
{
	call(do_all_and_bind);
	(void)hear_bind();
	ck_assert_uint_eq(shared->count, 4);
	ck_assert_int_eq(n.tid, caller);
	ck_assert(!os_is_readable(calls, 0));
	seccomp_answer(calls, n.id, 0);
	seccomp_answer(calls, hear_listen(17).id, EOPNOTSUPP);
	finish(ANY, ANY, ANY, ANY, ANY, -EOPNOTSUPP, EINVAL); /* nobody has listened */
}

static void bind_and_connect(void)
{
	shared->fd = open_socket(AF_INET);
	say(bind_it(shared->fd));
	say(connect(
		shared->fd, (const struct sockaddr *)&shared->loopback, sizeof(shared->loopback)));
}

NATIVE_TEST(or_connect_alone_waits)
{
	call_with(bind_and_connect, SECCOMP_CONNECTS);
	(void)hear();
	ck_assert_uint_eq(shared->count, 1);
	ck_assert_int_eq(n.call, SECCOMP_CONNECT);
	ck_assert_int_eq(n.fd, shared->fd);
	ck_assert_uint_eq(n.at, (uintptr_t)&shared->loopback);
	ck_assert_uint_eq(n.size, sizeof(shared->loopback));
	seccomp_answer(calls, n.id, ENETDOWN);
	finish(0, -ENETDOWN);
}

static void bind_and_tell_the_port(void)
{
	struct sockaddr_in name = {0};
	socklen_t size = sizeof(name);
	int fd = open_socket(AF_INET);

	say(bind_it(fd));
	(void)getsockname(fd, (struct sockaddr *)&name, &size);
	say(name.sin_port != 0);
	say(listen(fd, 5));
}

static const int errors[] = {0, EADDRINUSE, EACCES, EINVAL, ENOMEM};

NATIVE_TEST_LOOP(an_answer_is_what_the_caller_gets_and_nothing_is_done, 0, COUNT_OF(errors))
{
	call_with(bind_and_tell_the_port, _i % 2 == 0);
	seccomp_answer(calls, hear_bind().id, errors[_i]);
	seccomp_answer(calls, hear_listen(5).id, 0);
	finish(-errors[_i], 0, 0);
}

NATIVE_TEST(what_is_to_go_on_is_done_by_the_kernel)
{
	call(bind_and_tell_the_port);
	seccomp_continue(calls, hear().id);
	seccomp_continue(calls, hear().id);
	finish(0, 1, 0);
}

static void bind_with_odd_sizes(void)
{
	int fd = open_socket(AF_INET);

	say(bind(fd, (const struct sockaddr *)&shared->loopback, (socklen_t)-1));
	say(listen(fd, -1));
}

NATIVE_TEST(odd_sizes_and_backlogs_are_told_as_they_are)
{
	call(bind_with_odd_sizes);
	(void)hear();
	ck_assert_uint_eq(n.size, UINT32_MAX);
	seccomp_continue(calls, n.id);
	(void)hear();
	ck_assert_int_eq(n.backlog, -1);
	seccomp_continue(calls, n.id);
	finish(-EINVAL, ANY);
}

static void set_options(void)
{
	int fd6 = open_socket(AF_INET6);
	int fd4 = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* one of these shares the level, another the number */
	say(setsockopt(fd6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &(int){9}, sizeof(int)));
	say(setsockopt(fd4, IPPROTO_TCP, IPV6_V6ONLY, &shared->on, 4) == -1);
	say(setsockopt(fd6, IPPROTO_IPV6, IPV6_V6ONLY, &shared->on, sizeof(int)));
}

NATIVE_TEST(v6only_waits_only_where_it_is_asked_for)
{
	call_with(set_options, SECCOMP_BINDS_V6ONLY);
	(void)hear_v6only();
	ck_assert_uint_eq(shared->count, 2);
	seccomp_continue(calls, n.id);
	finish(ANY, ANY, ANY);
	call(set_options);
	finish(ANY, ANY, ANY);
}

/* ---- in the machine's other ways ---- */

#if defined(__x86_64__)

#define X32 0x40000000

static void call_x32(void)
{
	const void *address = &shared->loopback;
	int fd = open_socket(AF_INET6);

	say(syscall(X32 | 49, fd, address, sizeof(shared->loopback)));
	say(syscall(X32 | 50, fd, 3));
	say(syscall(X32 | 541, fd, IPPROTO_IPV6, IPV6_V6ONLY, &shared->on, 4));
	say(syscall(X32 | 54, fd, IPPROTO_IPV6, IPV6_V6ONLY, &shared->on, 4));
}

/* The filter sees the number before the kernel knows that it has no such. */
NATIVE_TEST(x32_calls_wait_like_the_others)
{
	call_with(call_x32, SECCOMP_BINDS_V6ONLY);
	seccomp_answer(calls, hear_bind().id, 0);
	seccomp_answer(calls, hear_listen(3).id, EADDRINUSE);
	for (int i = 0; i < 2; i++)
		seccomp_answer(calls, hear_v6only().id, 0);
	finish(0, -EADDRINUSE, 0, 0);
}

/* A call as a 32-bit program makes it; pointers must be low.  -1 and errno. */
static long call_32(long number, long a, long b, long c, long d, long e)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "0"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "cc", "r8", "r9", "r10", "r11");
	result = (int)result;
	if (result >= 0 || result < -4095)
		return result;
	errno = (int)-result;
	return -1;
}

static bool has_32(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(call_32(20, 0, 0, 0, 0, 0) == getpid() ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (status == 0)
		return true;
	fprintf(stderr, "left out: this kernel runs no 32-bit calls\n");
	return false;
}

static long low(const void *pointer)
{
	return (long)(uintptr_t)pointer;
}

static void call_32_bit(void)
{
	int fd = open_socket(AF_INET);

	say(call_32(361, fd, low(&shared->loopback), 16, 0, 0));
	say(call_32(363, fd, 21, 0, 0, 0));
	say(call_32(366, fd, IPPROTO_IPV6, IPV6_V6ONLY, low(&shared->on), 4));
	/* what is a bind to 64 bits is something else to 32 */
	say(call_32(49, 0, 0, 0, 0, 0) == (long)geteuid());
}

NATIVE_TEST(calls_of_32_bit_programs_wait_like_the_others)
{
	if (!has_32())
		return;
	call_with(call_32_bit, SECCOMP_BINDS_V6ONLY);
	seccomp_answer(calls, hear_bind().id, EADDRINUSE);
	seccomp_answer(calls, hear_listen(21).id, 0);
	seccomp_answer(calls, hear_v6only().id, 0);
	finish(-EADDRINUSE, 0, 0, 1);
}

static long socketcall(long which, uint32_t a, uint32_t b, uint32_t c)
{
	shared->words[0] = a;
	shared->words[1] = b;
	shared->words[2] = c;
	return call_32(102, which, low(shared->words), 0, 0, 0);
}

static void call_by_socketcall(void)
{
	uint32_t fd;

	shared->fd = (int)socketcall(1, AF_INET, SOCK_STREAM, 0);
	fd = (uint32_t)shared->fd;
	say(socketcall(2, fd, (uint32_t)low(&shared->loopback), 16));
	say(socketcall(4, fd, 33, 0));
	say(socketcall(13, fd, SHUT_RD, 0)); /* shutdown */
}

static void fetch_arguments(uint32_t words)
{
	struct remote r = {.tid = n.tid};
	uint32_t got[SECCOMP_ARGUMENTS_MAX] = {0};

	ck_assert_int_eq(n.call, SECCOMP_ARGUMENTS);
	ck_assert_uint_eq(n.size, words * sizeof(uint32_t));
	ck_assert_int_eq(remote_read(&r, n.at, got, n.size), 0);
	seccomp_arguments(&n, got);
}

NATIVE_TEST(socketcall_tells_its_arguments_from_memory)
{
	if (!has_32())
		return;
	call(call_by_socketcall);
	(void)hear();
	fetch_arguments(3);
	ck_assert_int_eq(n.call, SECCOMP_BIND);
	ck_assert_int_eq(n.fd, shared->fd);
	ck_assert_uint_eq(n.at, (uintptr_t)&shared->loopback);
	ck_assert_uint_eq(n.size, 16);
	seccomp_continue(calls, n.id);
	(void)hear();
	fetch_arguments(2);
	ck_assert_int_eq(n.call, SECCOMP_LISTEN);
	ck_assert_int_eq(n.fd, shared->fd);
	ck_assert_int_eq(n.backlog, 33);
	seccomp_continue(calls, n.id);
	finish(0, 0, 0);
}

#endif

/* ---- threads and other processes ---- */

/* Another process under the filter: it binds, too, when it is told to. */
static void have_friend(void)
{
	char byte;
	pid_t pid = fork();

	if (pid == 0) {
		(void)alarm(60); /* whatever becomes of us */
		if (read(go[0], &byte, 1) == 1)
			_exit(bind_it(socket(AF_INET, SOCK_STREAM, 0)) == -1 ? errno : 0);
		_exit(200);
	}
	shared->friend = pid;
}

static void bind_with_friend(void)
{
	have_friend();
	say(bind_it(open_socket(AF_INET)));
	say(waitpid(shared->friend, &shared->on, 0) == shared->friend);
	say(WEXITSTATUS(shared->on));
}

/* ---- descriptors ---- */

static void bind_and_write(void)
{
	int fd = open_socket(AF_INET);

	(void)signal(SIGPIPE, SIG_IGN);
	say(bind_it(fd));
	say(fcntl(fd, F_GETFD));
	say(write(fd, "ours", 4));
}

NATIVE_TEST_LOOP(a_descriptor_takes_the_place_of_the_callers, 0, 2)
{
	bool cloexec = _i != 0;
	char got[8];
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	call(bind_and_write);
	(void)hear();
	ck_assert_int_eq(seccomp_put(calls, n.id, ends[1], n.fd, cloexec), 0);
	ck_assert(seccomp_waits(calls, n.id)); /* for the answer, still */
	seccomp_answer(calls, n.id, 0);
	finish(0, cloexec ? FD_CLOEXEC : 0, 4);
	ck_assert_int_eq(read(ends[0], got, sizeof(got)), 4);
	ck_assert_mem_eq(got, "ours", 4);
	ck_assert_int_eq(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
}

NATIVE_TEST(what_cannot_be_put_is_told)
{
	call(bind_and_write);
	(void)hear();
	os_fails(seccomp_put(calls, n.id, -1, n.fd, true), EBADF);
	os_fails(seccomp_put(calls, n.id + 99, 0, n.fd, true), ENOENT);
	seccomp_answer(calls, n.id, 0);
	ck_assert_int_eq(seccomp_put(calls, n.id, 0, n.fd, true), -1);
	finish(ANY, FD_CLOEXEC, ANY); /* its own socket, still */
}

/* ---- who is killed ---- */

static void kill_caller(void)
{
	ck_assert_int_eq(kill(caller, SIGKILL), 0);
	os_reap(caller, SIGKILL);
}

/* The filter lives on, and to wait for its next call would be to wait long. */
NATIVE_TEST(one_killed_before_it_was_heard_is_not_waited_for)
{
	call(bind_with_friend);
	ck_assert(os_is_readable(calls, 20000));
	kill_caller();
	ck_assert(!os_is_readable(calls, 0));
	ck_assert_int_eq(seccomp_receive(calls, &n), 0);
	ck_assert_int_eq(write(go[1], "x", 1), 1);
	(void)hear();
	ck_assert_int_eq(n.tid, shared->friend);
	ck_assert(!os_is_readable(calls, 0));
	seccomp_answer(calls, n.id, 0);
}

NATIVE_TEST(one_killed_after_it_was_heard_waits_no_more)
{
	call(bind_with_friend);
	(void)hear();
	kill_caller();
	ck_assert(!seccomp_waits(calls, n.id));
	os_fails(seccomp_put(calls, n.id, 0, n.fd, true), ENOENT);
	seccomp_answer(calls, n.id, 0); /* both: to nobody */
	seccomp_continue(calls, n.id);
	ck_assert_int_eq(write(go[1], "x", 1), 1);
	seccomp_answer(calls, hear().id, 0); /* and others are heard */
}

static volatile sig_atomic_t signals;

static void on_signal(int signal)
{
	(void)signal;
	signals++;
}

static void bind_with_handler(void)
{
	(void)signal(SIGUSR1, on_signal);
	say(bind_it(open_socket(AF_INET)));
	say(signals);
}

NATIVE_TEST(a_signal_does_not_make_a_call_that_was_heard_come_again)
{
	call(bind_with_handler);
	if (shared->comes_again) {
		fprintf(stderr, "left out: needs Linux 5.19\n");
		kill_caller();
		return;
	}
	(void)hear();
	ck_assert_int_eq(kill(caller, SIGUSR1), 0);
	ck_assert(!os_is_readable(calls, 100));
	ck_assert(seccomp_waits(calls, n.id));
	seccomp_answer(calls, n.id, 0);
	finish(0, 1);
}

/* ---- installing ---- */

static void (*prepare)(void);

static int install(void)
{
	int fd;

	prepare();
	fd = seccomp_install(SECCOMP_BINDS);
	if (fd == -1)
		return errno;
	return fcntl(fd, F_GETFD) == FD_CLOEXEC ? 0 : 201;
}

static int install_status(void (*how)(void))
{
	prepare = how;
	return os_in_child(install);
}

static void become_nobody(void)
{
	if (geteuid() == 0 && setresuid(65534, 65534, 65534) == -1)
		_exit(202);
}

static void stay(void)
{
}

static void become_harmless(void)
{
	become_nobody();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		_exit(203);
}

static void install_first(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		seccomp_install(SECCOMP_BINDS_V6ONLY) < 0)
		_exit(204);
}

NATIVE_TEST(privilege_or_no_new_privs_and_a_chain_without_one_are_needed)
{
	ck_assert_int_eq(install_status(become_nobody), EACCES);
	ck_assert_int_eq(install_status(become_harmless), 0);
	ck_assert_int_eq(install_status(install_first), EBUSY);
	if (privilege_has(CAP_SYS_ADMIN))
		ck_assert_int_eq(install_status(stay), 0);
}

TEST(what_is_no_notify_descriptor_is_an_error)
{
	int fd = os_null();

	ck_assert_int_eq(seccomp_receive(fd, &n), -1);
	ck_assert(!seccomp_waits(fd, 1));
	ck_assert_int_eq(seccomp_put(fd, 1, fd, 0, true), -1);
	seccomp_answer(fd, 1, 0);
}
