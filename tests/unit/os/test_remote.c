/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/clock.h"
#include "os/look/remote.h"
#include "os/look/remote_waits.h"
#include "os/privilege.h"
#include "os/vfork.h"

#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/syscall.h>

/*
 * The other process: a child that makes something of itself, says what in
 * memory that we share, and stays until we have looked at it.
 */
static struct {
	pid_t tid; /* where we are to look */
	int fd;
	int epoll;
	uint64_t at;
	int error; /* it could not */
} * shared;

/* How we look at it. */
enum {
	OURSELVES,
	PATIENTLY, /* by a child of ours */
	AS_USER,   /* by one that has become who it is */
	WAYS,
};
static int way;
static struct remote r;
static int made[2]; /* a byte: it is ready to be looked at */
static int go[2];   /* a byte: it may go on; the end: it may go */
static pid_t other;

#define USER 54321

static void set_up(void)
{
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(shared != MAP_FAILED);
	ck_assert_int_eq(pipe2(made, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
}

/* From now on we look at it so. */
static void look_by(int wanted)
{
	struct capset rights;

	way = wanted;
	if (way != AS_USER)
		return;
	ck_assert_int_eq(capset_get(&rights), 0);
	rights.effective &= ~(UINT64_C(1) << CAP_SYS_PTRACE);
	ck_assert_int_eq(capset_put(&rights), 0);
}

/* ---- the other's side ---- */

static void become(uid_t user)
{
	if (setresgid(user, user, user) == -1 || setresuid(user, user, user) == -1 ||
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1)
		_exit(12);
}

static void show(void)
{
	char byte;

	if (write(made[1], "x", 1) != 1 || read(go[0], &byte, 1) == -1)
		_exit(10);
}

static void give_up(void)
{
	shared->error = errno != 0 ? errno : EINVAL;
	show();
	_exit(0);
}

/* ---- ours ---- */

static unsigned before; /* descriptors that are open */

/* Start it, and wait until it has made what it is to show. */
static void start(int wanted, void (*make)(void))
{
	char byte;

	look_by(wanted);
	before = os_open_count();
	memset(shared, 0, sizeof(*shared));
	other = fork();
	ck_assert_int_ne(other, -1);
	if (other == 0) {
		(void)close(go[1]);
		(void)close(made[0]);
		shared->tid = getpid();
		if (way != OURSELVES)
			become(USER);
		make();
		show();
		_exit(0);
	}
	ck_assert_int_eq(read(made[0], &byte, 1), 1);
	r = (struct remote){.tid = shared->tid};
	if (way == OURSELVES)
		return;
	remote_of(&r, shared->tid);
	ck_assert_int_eq(r.tid, shared->tid);
	ck_assert_int_eq(r.as_user, way == AS_USER);
	ck_assert_int_eq(r.in_child, way == PATIENTLY);
}

static void finish(void)
{
	ck_assert_uint_eq(os_open_count(), before);
	ck_assert_int_eq(write(go[1], "x", 1), 1);
	os_reap(other, 0);
}

static bool could_not(const char *what)
{
	if (shared->error == 0)
		return false;
	fprintf(stderr, "left out: %s: %s\n", what, strerror(shared->error));
	finish();
	return true;
}

/* ---- its descriptors ---- */

static void make_pipe(void)
{
	const uint64_t value = 41;
	int ends[2];

	if (pipe2(ends, O_NONBLOCK) == -1 ||
		write(ends[1], &value, sizeof(value)) != sizeof(value) || dup2(ends[0], 77) != 77)
		give_up();
	(void)close(ends[0]);
	shared->fd = 77;
}

static void expect_pipe(int fd)
{
	uint64_t value = 0;

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(read(fd, &value, sizeof(value)), sizeof(value));
	ck_assert_uint_eq(value, 41);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(close(fd), 0);
}

FIXTURE(set_up, NULL)

/* The other ways need rights, and valgrind does not emulate them. */
#define WAYS_HERE (geteuid() != 0 || unit_is_valgrind() ? 1 : WAYS)

NATIVE_TEST_LOOP(what_is_open_there_can_be_had_and_no_more, 0, WAYS_HERE)
{
	start(_i, make_pipe);
	expect_pipe(remote_fd(&r, shared->fd));
	os_fails(remote_fd(&r, 78), EBADF);
	os_fails(remote_fd(&r, -1), EBADF);
	finish();
	os_fails(remote_fd(&r, 0), ESRCH); /* it has gone */
}

static void make_file(void)
{
	shared->fd = open("/dev/null", O_RDONLY);
	if (shared->fd == -1)
		give_up();
}

NATIVE_TEST_LOOP(a_file_of_another_user_is_not_taken, 0, WAYS_HERE)
{
	int fd;

	start(_i, make_file);
	fd = remote_fd(&r, shared->fd);
	ck_assert_int_eq(fd != -1, way == OURSELVES);
	if (fd == -1)
		ck_assert_int_eq(errno, EBADF);
	fd_close(&fd);
	finish();
}

/* As the main thread it shows itself; in another one it is made. */
static void run_thread(void *(*body)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, body, NULL) != 0)
		give_up();
	(void)pthread_join(thread, NULL);
}

static void (*to_make)(void) = make_pipe;

static void *make_in_thread(void *unused)
{
	(void)unused;
	shared->tid = (pid_t)syscall(SYS_gettid);
	to_make();
	show();
	_exit(0);
}

static void thread_makes_pipe(void)
{
	run_thread(make_in_thread);
}

static void *make_apart(void *unused)
{
	if (unshare(CLONE_FILES) == -1)
		give_up();
	return make_in_thread(unused);
}

static void thread_has_its_own_table(void)
{
	run_thread(make_apart);
}

/* PIDFD_THREAD: Linux 6.9. */
static bool has_thread_pidfd(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), O_EXCL);

	if (fd == -1) {
		fprintf(stderr, "left out: needs Linux 6.9\n");
		return false;
	}
	ck_assert_int_eq(close(fd), 0);
	return true;
}

static void *outlive_main(void *unused)
{
	char path[64];
	char line[128] = "";

	/* the main thread is a zombie then, and has no descriptors */
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	while (strstr(line, ") Z ") == NULL) {
		FILE *file = fopen(path, "re");

		if (file == NULL || fgets(line, sizeof(line), file) == NULL)
			_exit(11);
		(void)fclose(file);
	}
	return make_in_thread(unused);
}

static void main_thread_ends(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, outlive_main, NULL) != 0)
		give_up();
	(void)syscall(SYS_exit, 0); /* this thread alone */
}

static void (*const threads[])(void) = {
	thread_makes_pipe, thread_has_its_own_table, main_thread_ends};

NATIVE_TEST_LOOP(a_thread_that_is_not_the_main_one_will_do, 0, WAYS_HERE *(int)COUNT_OF(threads))
{
	void (*thread)(void) = threads[_i / WAYS_HERE];

	if (thread != thread_makes_pipe && !has_thread_pidfd())
		return;
	start(_i % WAYS_HERE, thread);
	if (could_not("descriptors for a thread"))
		return;
	ck_assert_int_ne(shared->tid, other);
	expect_pipe(remote_fd(&r, shared->fd));
	ck_assert_int_eq(remote_fd_flags(&r, shared->fd) & O_NONBLOCK, O_NONBLOCK);
	os_fails(remote_fd(&r, 78), EBADF);
	if (thread == thread_has_its_own_table) {
		r.tid = other; /* whose main thread has it not */
		os_fails(remote_fd(&r, shared->fd), EBADF);
	}
	finish();
}

/* What an ordinary user may have of us. */
static int take(void)
{
	struct remote it = {.tid = getppid()};
	char byte;

	become(65534);
	for (int patient = 0; patient < 2; patient++) {
		it.in_child = patient == 1;
		if (remote_read(&it, (uintptr_t)&other, &byte, 1) != -1 || errno != EPERM)
			return 1 + patient;
	}
	return remote_fd(&it, 0) == -1 && errno == EPERM ? 0 : 3;
}

NATIVE_ROOT_TEST(who_may_not_trace_it_gets_nothing)
{
	ck_assert_int_eq(os_in_child(take), 0);
}

/* ---- looking at all of them ---- */

static void make_several(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	/* exactly these */
	(void)dup2(fd, 60);
	(void)dup2(fd, 61);
	(void)dup2(epoll_create1(0), 62);
	(void)dup2(go[0], 63);
	(void)dup2(made[1], 64);
	for (int n = 0; n < 1024; n++)
		if (n < 60 || n > 64)
			(void)close(n);
	go[0] = 63;
	made[1] = 64;
}

struct seen {
	unsigned count;
	unsigned sockets;
	unsigned epolls;
	uint64_t inode;
	int numbers;
	unsigned enough; /* 0: all of them */
};

static bool see(void *context, int fd, const char *target)
{
	struct seen *seen = context;
	uint64_t inode = remote_socket_inode(target);

	seen->count++;
	seen->numbers += fd;
	seen->epolls += strcmp(target, "anon_inode:[eventpoll]") == 0;
	if (inode != 0) {
		seen->sockets++;
		ck_assert(seen->inode == 0 || seen->inode == inode);
		seen->inode = inode;
	}
	return seen->count == seen->enough;
}

NATIVE_TEST_LOOP(each_descriptor_is_seen_once_with_what_it_is, 0, WAYS_HERE)
{
	struct seen seen = {0};
	struct seen few = {0};
	struct seen two = {.enough = 2};
	int fd;

	start(_i, make_several);
	ck_assert_int_eq(remote_each_fd(&r, 100, see, &seen), 0);
	ck_assert_uint_eq(seen.count, 5);
	ck_assert_int_eq(seen.numbers, 60 + 61 + 62 + 63 + 64);
	ck_assert_uint_eq(seen.sockets, 2);
	ck_assert_uint_eq(seen.epolls, 1);
	fd = remote_fd(&r, 61);
	ck_assert_uint_eq(seen.inode, remote_own_inode(fd));
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(remote_each_fd(&r, 3, see, &few), 0);
	ck_assert_uint_eq(few.count, 3);
	ck_assert_int_eq(remote_each_fd(&r, 3, see, &two), 0);
	ck_assert_uint_eq(two.count, 2);
	finish();
	ck_assert_int_eq(remote_each_fd(&r, 3, see, &few), -1);
	ck_assert_uint_eq(few.count, 3);
}

TEST(only_the_inode_of_a_socket_is_one)
{
	ck_assert_uint_eq(remote_socket_inode("socket:[4711]"), 4711);
	ck_assert_uint_eq(remote_socket_inode("pipe:[4711]"), 0);
	ck_assert_uint_eq(remote_socket_inode("socket:["), 0);
	ck_assert_uint_eq(remote_socket_inode("/tmp/socket:[1]"), 0);
	ck_assert_uint_eq(remote_socket_inode(""), 0);
	ck_assert_uint_eq(remote_own_inode(-1), 0);
}

static void make_flags(void)
{
	(void)dup3(eventfd(0, EFD_NONBLOCK), 80, O_CLOEXEC);
	(void)dup2(eventfd(0, 0), 81);
}

TEST_LOOP(the_flags_of_a_descriptor_can_be_seen, 0, WAYS_HERE)
{
	const int both = O_NONBLOCK | O_CLOEXEC;

	start(_i, make_flags);
	ck_assert_int_eq(remote_fd_flags(&r, 80) & both, both);
	ck_assert_int_ne(remote_fd_flags(&r, 81), -1);
	ck_assert_int_eq(remote_fd_flags(&r, 81) & both, 0);
	ck_assert_int_eq(remote_fd_flags(&r, 82), -1);
	finish();
	ck_assert_int_eq(remote_fd_flags(&r, 80), -1);
}

/* ---- epoll ---- */

#define DATA UINT64_C(0xfedcba9876543210)

static void wait_for(int epoll, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == -1)
		give_up();
}

static void make_epoll(void)
{
	shared->epoll = epoll_create1(0);
	(void)dup2(eventfd(0, 0), 90);
	(void)dup2(eventfd(0, 0), 91);
	wait_for(shared->epoll, 90, EPOLLIN | EPOLLET | EPOLLRDHUP, DATA);
	wait_for(shared->epoll, 91, EPOLLOUT | EPOLLEXCLUSIVE, 0);
}

TEST_LOOP(what_an_epoll_waits_for_can_be_read, 0, WAYS_HERE)
{
	struct remote_epoll_item item;

	start(_i, make_epoll);
	ck_assert(remote_epoll_find(&r, shared->epoll, 90, &item));
	ck_assert_int_eq(item.fd, 90);
	ck_assert_uint_eq(item.data, DATA);
	ck_assert_uint_eq(item.events & (EPOLLIN | EPOLLRDHUP | EPOLLOUT), EPOLLIN | EPOLLRDHUP);
	ck_assert_uint_ne(item.events & (uint32_t)EPOLLET, 0);
	ck_assert(remote_epoll_find(&r, shared->epoll, 91, &item));
	ck_assert_uint_eq(item.data, 0);
	ck_assert_uint_ne(item.events & EPOLLEXCLUSIVE, 0);
	ck_assert(!remote_epoll_find(&r, shared->epoll, 9, &item));
	ck_assert(!remote_epoll_find(&r, 90, 90, &item));
	ck_assert(!remote_epoll_find(&r, 99, 90, &item));
	finish();
}

static int ours; /* an eventfd that both have */

/* It has an epoll set that waits for nothing, and knows ours as 95.  Told to go
 * on, it looks what it waits for then. */
static void wait_and_look(void)
{
	struct epoll_event event = {0};

	shared->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (dup2(ours, 95) == -1 || close(ours) == -1)
		give_up();
	show();
	if (epoll_wait(shared->epoll, &event, 1, 20000) != 1 || event.data.u64 != DATA ||
		event.events != EPOLLIN)
		_exit(20);
	/* it is the one of this number: it can be changed, and removed */
	event.events = 0;
	if (epoll_ctl(shared->epoll, EPOLL_CTL_MOD, 95, &event) == -1 ||
		epoll_wait(shared->epoll, &event, 1, 0) != 0 ||
		epoll_ctl(shared->epoll, EPOLL_CTL_DEL, 95, NULL) == -1)
		_exit(21);
	_exit(0);
}

/* The epoll set, as we have it. */
static int start_with_epoll(void)
{
	int epoll;

	ours = eventfd(1, EFD_CLOEXEC);
	start(OURSELVES, wait_and_look);
	epoll = remote_fd(&r, shared->epoll);
	ck_assert_int_ne(epoll, -1);
	before++;
	return epoll;
}

static int move(int fd, int to)
{
	ck_assert_int_eq(dup3(fd, to, O_CLOEXEC), to);
	ck_assert_int_eq(close(fd), 0);
	return to;
}

static void look_at_95(char target[64])
{
	ssize_t len = readlink("/proc/self/fd/95", target, 63);

	target[len > 0 ? len : 0] = '\0';
}

/* What the number is here. */
enum here { FREE, ANOTHERS, OURS, THE_EPOLL, HERE };

NATIVE_TEST_LOOP(ours_is_added_to_its_epoll_under_its_number, 0, HERE)
{
	const struct remote_epoll_item item = {95, EPOLLIN, DATA};
	enum here here = (enum here)_i;
	char target[64];
	char now[64];
	int epoll = start_with_epoll();

	if (here == ANOTHERS)
		before += move(os_null(), 95) == 95;
	if (here == OURS)
		ours = move(ours, 95);
	if (here == THE_EPOLL)
		epoll = move(epoll, 95);
	look_at_95(target);
	ck_assert_int_eq(remote_epoll_add(&r, epoll, ours, &item), 0);
	look_at_95(now);
	ck_assert_str_eq(now, target);
	finish();
}

NATIVE_TEST(what_cannot_be_added_is_told)
{
	struct remote_epoll_item item = {95, EPOLLIN, DATA};
	int null = os_null();
	int epoll = start_with_epoll();

	ck_assert_int_eq(remote_epoll_add(&r, epoll, ours, &item), 0);
	os_fails(remote_epoll_add(&r, epoll, ours, &item), EEXIST);
	os_fails(remote_epoll_add(&r, epoll, null, &item), EPERM); /* it cannot be waited for */
	os_fails(remote_epoll_add(&r, null, ours, &item), EINVAL);
	item.fd = -1;
	ck_assert_int_eq(remote_epoll_add(&r, epoll, ours, &item), -1);
	finish();
}

/* A number that the other one uses for something else stays what it is here, and
 * what waits under another number stays. */
NATIVE_TEST(what_an_epoll_waits_for_can_be_taken_from_it)
{
	struct remote_epoll_item item = {96, EPOLLIN, 0};
	int null = os_null();
	int epoll = start_with_epoll();

	ck_assert_int_eq(remote_epoll_add(&r, epoll, ours, &item), 0);
	os_fails(remote_epoll_remove(&r, epoll, ours, 95), ENOENT);
	item = (struct remote_epoll_item){95, EPOLLIN, DATA};
	ck_assert_int_eq(remote_epoll_add(&r, epoll, ours, &item), 0);
	ck_assert_int_eq(remote_epoll_remove(&r, epoll, null, 96), -1);
	/* else it would find this one */
	ck_assert(remote_epoll_has(&r, shared->epoll, 96));
	ck_assert_int_eq(remote_epoll_remove(&r, epoll, ours, 96), 0);
	ck_assert(!remote_epoll_has(&r, shared->epoll, 96));
	ck_assert(remote_epoll_has(&r, shared->epoll, 95));
	ck_assert(!remote_epoll_has(&r, shared->epoll, 9));
	os_fails(remote_epoll_remove(&r, epoll, ours, 96), ENOENT);
	ck_assert_int_eq(remote_epoll_remove(&r, epoll, ours, -1), -1);
	finish();
}

/* ---- memory ---- */

static const char text[] = "what stands there";

static void make_memory(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *memory =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || mprotect(memory + page, page, PROT_NONE) == -1)
		give_up();
	memory += page - sizeof(text);
	memcpy(memory, text, sizeof(text));
	shared->at = (uintptr_t)memory;
}

static void thread_makes_memory(void)
{
	to_make = make_memory;
	run_thread(make_in_thread);
}

/* Of its main thread, and of another one. */
NATIVE_TEST_LOOP(memory_of_another_process_can_be_read, 0, 2 * WAYS_HERE)
{
	char got[sizeof(text) + 1] = "";
	bool thread = _i >= WAYS_HERE;

	start(_i % WAYS_HERE, thread ? thread_makes_memory : make_memory);
	ck_assert_int_eq(shared->tid != other, thread);
	ck_assert_int_eq(remote_read(&r, shared->at, got, sizeof(text)), 0);
	ck_assert_str_eq(got, text);
	/* all of it, or nothing */
	os_fails(remote_read(&r, shared->at, got, sizeof(got)), EFAULT);
	os_fails(remote_read(&r, 0, got, 1), EFAULT);
	finish();
	os_fails(remote_read(&r, shared->at, got, 1), ESRCH);
}

/* Who touches the page waits until its owner fills it, which it never does. */
static void make_page_to_wait_for(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register page = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	page.range.start = (uintptr_t)memory;
	page.range.len = size;
	if (memory == MAP_FAILED || fd == -1 || ioctl(fd, UFFDIO_API, &api) == -1 ||
		ioctl(fd, UFFDIO_REGISTER, &page) == -1)
		give_up();
	shared->at = page.range.start;
}

NATIVE_TEST(memory_that_is_to_be_waited_for_is_given_up)
{
	nsec_t begin = clock_now();
	nsec_t took;
	char got[4];

	start(OURSELVES, make_page_to_wait_for);
	if (could_not("userfaultfd"))
		return;
	r.in_child = true;
	/* one of our own uid waits for the machine, if for anything */
	os_fails(remote_read(&r, shared->at, got, 4), ETIMEDOUT);
	ck_assert_int_ge(clock_now() - begin, SECOND);
	r.uid = USER;
	r.spent = 0;
	ck_assert_int_eq(vfork_patience(USER), 100 * MSEC);
	/* less and less is waited for that user, and then not at all */
	for (int i = 0; vfork_patience(USER) > 0; i++) {
		ck_assert_int_lt(i, 150);
		ck_assert_int_eq(vfork_patience(USER), i == 0 ? 100 * MSEC : 2 * MSEC);
		r.late = false;
		os_fails(remote_read(&r, shared->at, got, 4), ETIMEDOUT);
		ck_assert(r.late);
		/* once is enough: no other look is tried by this one */
		os_fails(remote_read(&r, (uintptr_t)&begin, got, 4), ETIMEDOUT);
	}
	r.late = false;
	os_fails(remote_read(&r, (uintptr_t)text, got, 4), ETIMEDOUT);
	ck_assert(!r.late);
	took = clock_now() - begin;
	ck_assert_int_ge(took, 150 * MSEC);
	ck_assert_int_lt(took, 30 * SECOND);
	/* who looked for us has gone */
	os_fails(waitpid(-1, NULL, WNOHANG | (int)__WCLONE), ECHILD);
	r.uid = USER + 1;
	ck_assert_int_eq(remote_read(&r, (uintptr_t)text, got, 4), 0);
	ck_assert_mem_eq(got, "what", 4);
	finish();
}

/* ---- rights, and what a socket is ---- */

static void become_a_user(void)
{
	become(USER);
}

static void enter_a_user_namespace(void)
{
	if (unshare(CLONE_NEWUSER) == -1)
		give_up();
}

TEST(a_right_is_one_in_our_namespace)
{
	const int right = CAP_NET_BIND_SERVICE;

	r.tid = getpid();
	ck_assert_int_eq(remote_may(&r, right), privilege_has(right));
	start(OURSELVES, enter_a_user_namespace);
	if (!could_not("a user namespace")) {
		ck_assert(!remote_may(&r, right)); /* it has them all there */
		finish();
	}
	r.tid = 0x3fffffff;
	ck_assert(!remote_may(&r, right));
}

/* With CAP_SYS_PTRACE we may look at all; without it only as who it is. */
NATIVE_ROOT_TEST(our_rights_decide_how_it_is_looked_at)
{
	start(OURSELVES, become_a_user);
	ck_assert(!remote_may(&r, CAP_NET_BIND_SERVICE));
	remote_of(&r, other);
	ck_assert(!r.as_user);
	ck_assert(r.in_child);
	look_by(AS_USER);
	remote_of(&r, other);
	ck_assert(r.as_user);
	ck_assert_uint_eq(r.uid, USER);
	ck_assert_uint_eq(r.gid, USER);
	ck_assert_int_eq(remote_fd_flags(&r, 0) & O_DIRECTORY, 0);
	r.as_user = false;
	os_fails(remote_fd(&r, 0), EPERM);
	ck_assert_uint_eq(remote_inode(&r, 0), 0);
	remote_of(&r, getpid()); /* we are who it is */
	ck_assert(!r.as_user);
	ck_assert(!r.in_child);
	finish();
	remote_of(&r, other); /* it has gone */
	ck_assert(!r.as_user);
}

static void remote_of_nobody(void)
{
	pid_t us = getppid();

	become(USER);
	remote_of(&r, us);
	if (r.as_user || r.in_child || r.tid != us)
		_exit(20);
}

ROOT_TEST(an_ordinary_user_looks_by_itself)
{
	start(OURSELVES, remote_of_nobody);
	finish();
}

/* ---- who waits for a connection ---- */

static const char *awaits_by;

static void accept_one(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd polled[] = {
		{.fd = go[0], .events = POLLPRI},
		{.fd = 85, .events = POLLIN},
	};
	fd_set set;

	if (dup2(fd, 85) == -1 || listen(85, 1) == -1)
		give_up();
	show();
	FD_ZERO(&set);
	FD_SET(85, &set);
	if (strcmp(awaits_by, "accept4") == 0)
		(void)accept4(85, NULL, NULL, SOCK_CLOEXEC);
	else if (strcmp(awaits_by, "accept") == 0)
		(void)accept(85, NULL, NULL);
	else if (strcmp(awaits_by, "poll") == 0)
		(void)poll(polled, 2, -1);
	else
		(void)select(86, &set, NULL, NULL, NULL);
	_exit(13);
}

/* That one alone, or nothing? */
static bool awaits(int fd)
{
	int fds[REMOTE_AWAITS_MOST];
	size_t count = remote_awaits(&r, fds, REMOTE_AWAITS_MOST);

	return fd != -1 ? count == 1 && fds[0] == fd : count == 0;
}

NATIVE_TEST_LOOP(who_waits_for_a_connection_can_be_seen, 0, WAYS_HERE)
{
	static const char *const ways[] = {"accept", "accept4", "poll", "select"};

	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		awaits_by = ways[i];
		start(_i, accept_one);
		while (!awaits(go[0])) /* it is about to read */
			(void)usleep(1000);
		ck_assert_int_eq(write(go[1], "x", 1), 1);
		while (!awaits(85)) /* it is on its way there */
			(void)usleep(1000);
		ck_assert_int_eq(kill(other, SIGKILL), 0);
		os_reap(other, SIGKILL);
		ck_assert(awaits(-1)); /* it has gone */
	}
}

static void make_sockets(void)
{
	(void)dup2(socket(AF_INET, SOCK_STREAM, 0), 70);
	(void)dup2(socket(AF_INET, SOCK_DGRAM, 0), 71);
	(void)dup2(socket(AF_UNIX, SOCK_STREAM, 0), 72);
	(void)dup2(socket(AF_INET6, SOCK_STREAM, 0), 73);
}

static const char *protocol_of(int fd)
{
	static char name[32];

	if (remote_protocol(&r, fd, name, sizeof(name)) == -1)
		return "none";
	return name;
}

NATIVE_TEST_LOOP(what_a_socket_is_can_be_seen_without_having_it, 0, WAYS_HERE)
{
	const char *tcp6;
	char little[4]; /* a name and its NUL */
	int fd;

	start(_i, make_sockets);
	ck_assert_str_eq(protocol_of(70), "TCP");
	ck_assert_str_eq(protocol_of(71), "UDP");
	ck_assert_int_eq(strncmp(protocol_of(72), "UNIX", 4), 0);
	tcp6 = protocol_of(73);
	if (strcmp(tcp6, "none") != 0) /* there is IPv6 */
		ck_assert_str_eq(tcp6, "TCPv6");
	ck_assert_str_eq(protocol_of(go[0]), "none"); /* a pipe */
	ck_assert_str_eq(protocol_of(79), "none");
	os_fails(remote_protocol(&r, 70, little, 4), ERANGE);
	fd = remote_fd(&r, 70);
	ck_assert_uint_ne(remote_inode(&r, 70), 0);
	ck_assert_uint_eq(remote_inode(&r, 70), remote_own_inode(fd));
	ck_assert_uint_ne(remote_inode(&r, 71), remote_own_inode(fd));
	ck_assert_uint_eq(remote_inode(&r, go[0]), 0); /* a pipe */
	ck_assert_uint_eq(remote_inode(&r, 79), 0);
	(void)close(fd);
	finish();
}

static void make_names(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const socklen_t head = offsetof(struct sockaddr_un, sun_path);
	int len = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "t\n%d", (int)getpid());

	(void)dup2(socket(AF_UNIX, SOCK_STREAM, 0), 70);
	(void)dup2(socket(AF_UNIX, SOCK_STREAM, 0), 71);
	(void)dup2(socket(AF_INET, SOCK_STREAM, 0), 72);
	if (bind(70, (struct sockaddr *)&at, head + 1 + (socklen_t)len) == -1)
		give_up();
}

NATIVE_TEST_LOOP(how_its_unix_socket_is_called_can_be_seen, 0, WAYS_HERE)
{
	struct socket_file file;
	char wanted[64];
	char name[64];

	start(_i, make_names);
	ck_assert_int_eq(shared->error, 0);
	snprintf(wanted, sizeof(wanted), "@t\\x0a%d", (int)other);
	ck_assert_int_eq(remote_unix_path(&r, 70, name, sizeof(name), &file), 0);
	ck_assert_str_eq(name, wanted);
	ck_assert_int_eq(remote_unix_path(&r, 71, name, sizeof(name), &file), -1);
	ck_assert_int_eq(remote_unix_path(&r, 72, name, sizeof(name), &file), -1);
	ck_assert_int_eq(remote_unix_path(&r, 79, name, sizeof(name), &file), -1);
	finish();
}
