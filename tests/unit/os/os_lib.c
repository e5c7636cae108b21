/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <limits.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

extern char **environ;

char os_dir[64];
char os_self[4096];

static const char *const tell_argv[] = {"tell", "--tell", NULL};
static const char *tell_candidates[] = {os_self, NULL};

static char all_dirs[32];

static void make_all(void)
{
	text_copy(all_dirs, sizeof(all_dirs), "/tmp/nclust-os-XXXXXX");
	if (mkdtemp(all_dirs) == NULL || chmod(all_dirs, 0755) == -1)
		abort();
}

void os_make_dir(void)
{
	snprintf(os_dir, sizeof(os_dir), "%s/XXXXXX", all_dirs);
	ck_assert_ptr_nonnull(mkdtemp(os_dir));
	ck_assert_int_eq(chmod(os_dir, 0755), 0);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
	(void)st;
	(void)flag;
	(void)walk;
	return remove(path);
}

static void remove_all(void)
{
	(void)nftw(all_dirs, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *os_path(const char *name)
{
	static char rooms[4][512];
	static unsigned turn;
	char *room = rooms[turn++ % 4];

	snprintf(room, sizeof(rooms[0]), "%s/%s", os_dir, name);
	return room;
}

void os_write(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	ck_assert_int_eq(close(fd), 0);
}

void os_put(const char *path, const char *text)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s/%s", os_dir, path);
	for (char *at = whole + strlen(os_dir) + 2; (at = strchr(at, '/')); at++) {
		*at = '\0';
		(void)mkdir(whole, 0755); /* there already: fine */
		*at = '/';
	}
	os_write(whole, text, 0644);
}

void os_mkdir(const char *path, mode_t mode)
{
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}

struct stat os_stat(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return st;
}

bool os_has_v6(void)
{
	const struct sockaddr_in6 at = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	scoped_fd fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
		return true;
	fprintf(stderr, "left out: no IPv6 here\n");
	return false;
}

bool os_is_root(const char *why)
{
	if (geteuid() == 0)
		return true;
	fprintf(stderr, "left out, needs root: %s\n", why);
	return false;
}

static void tell_descriptors(void)
{
	printf("fds:");
	for (int fd = 0; fd < 4096; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			printf(" %d", fd);
	printf("\n");
	for (int fd = 0; fd < 16; fd++) {
		char link[32];
		char target[256];
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n > 0)
			printf("fd%d: %.*s\n", fd, (int)n, target);
	}
}

static void tell_file(const char *path, const char *key)
{
	char line[4096];
	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file))
		printf("%s%s", key, line);
	if (file)
		(void)fclose(file);
}

static int tell(void)
{
	char cwd[PATH_MAX] = "";
	struct rlimit limit;
	int death = 0;
	mode_t mask = umask(0);

	tell_descriptors();
	tell_file("/proc/self/status", "");
	tell_file("/proc/self/oom_score_adj", "oom: ");
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	(void)prctl(PR_GET_PDEATHSIG, &death);
	printf("sid: %d\npgid: %d\npid: %d\nppid: %d\n", (int)getsid(0), (int)getpgid(0),
		(int)getpid(), (int)getppid());
	printf("umask: %04o\nnice: %d\nnofile: %lu\n", (unsigned)mask, getpriority(PRIO_PROCESS, 0),
		(unsigned long)limit.rlim_cur);
	printf("cwd: %s\ndeath: %d\n", getcwd(cwd, sizeof(cwd)), death);
	for (char **entry = environ; *entry; entry++)
		printf("env-%s\n", *entry);
	return 0;
}

/* The tests run this program with an argument, as another one. */
void unit_begin(int argc, char **argv)
{
	if (!realpath(argv[0], os_self))
		os_self[0] = '\0';
	if (argc > 1 && strcmp(argv[1], "--tell") == 0) {
		(void)tell();
		(void)fflush(stdout);
		_exit(0); /* as it was started it may be too bound for more */
	}
	if (geteuid() != 0)
		fprintf(stderr, "left out: all that needs root\n");
	make_all();
}

void unit_end(void)
{
	remove_all();
}

int os_null(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

struct spawn_plan os_plan(void)
{
	struct spawn_plan plan = {
		.candidates = tell_candidates,
		.exec_fd = -1,
		.argv = (char *const *)(uintptr_t)tell_argv,
		.envp = environ,
		.null_fd = os_null(),
		SPAWN_INHERITS,
		.fd_count = 2,
		.fds = {{1, 1}, {2, 2}},
	};

	return plan;
}

bool os_is_readable(int fd, int milliseconds)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	return poll(&one, 1, milliseconds) == 1 && (one.revents & POLLIN) != 0;
}

union os_address os_address(const char *text)
{
	union os_address at = {.v6 = {.sin6_family = AF_INET6}};

	if (inet_pton(AF_INET6, text, &at.v6.sin6_addr) == 1)
		return at;
	at.v4.sin_family = AF_INET;
	if (inet_pton(AF_INET, text, &at.v4.sin_addr) == 1)
		return at;
	memset(&at, 0, sizeof(at));
	at.un.sun_family = AF_UNIX;
	text_copy(at.un.sun_path, sizeof(at.un.sun_path), text);
	return at;
}

socklen_t os_size(const union os_address *at)
{
	if (at->any.sa_family == AF_INET)
		return sizeof(at->v4);
	return at->any.sa_family == AF_INET6 ? sizeof(at->v6) : sizeof(at->un);
}

int os_listen(union os_address *at)
{
	int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(*at);

	ck_assert_int_ne(fd, -1);
	os_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	ck_assert_int_eq(bind(fd, &at->any, os_size(at)), 0);
	ck_assert_int_eq(listen(fd, 100), 0);
	ck_assert_int_eq(getsockname(fd, &at->any, &size), 0);
	return fd;
}

struct socket_plan os_socket_plan(int family, int type, const char *path)
{
	struct socket_plan plan = {
		.family = family,
		.type = type,
		.path = path,
		.backlog = -1,
		.mode = -1,
		.owner = -1,
		.group = -1,
		.v6only = -1,
		.defer_accept = -1,
		.rcvbuf = -1,
		.sndbuf = -1,
		.text = path != NULL ? path : "the address",
	};

	if (family == AF_INET)
		memcpy(plan.ip, (uint8_t[]){127, 0, 0, 1}, 4);
	else if (family == AF_INET6)
		plan.ip[15] = 1;
	return plan;
}

int os_connect(const union os_address *at)
{
	int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, &at->any, os_size(at)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

void os_send(int fd, const void *data, size_t size)
{
	int unheard;

	ck_assert_int_eq(send(fd, data, size, 0), (ssize_t)size);
	do {
		ck_assert_int_eq(ioctl(fd, SIOCOUTQ, &unheard), 0);
	} while (unheard > 0 && poll(NULL, 0, 1) == 0);
}

int os_get(int fd, int level, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, option, &value, &size), 0);
	return value;
}

void os_set(int fd, int level, int option, int value)
{
	ck_assert_int_eq(setsockopt(fd, level, option, &value, sizeof(value)), 0);
}

void os_ignore_signals(void)
{
	const long ignore[16] = {1}; /* the kernel's SIG_IGN */
	sigset_t all;

	for (int n = 1; n < _NSIG; n++) /* 32 and 33 too */
		if (n != SIGKILL && n != SIGSTOP && n != SIGALRM)
			(void)syscall(SYS_rt_sigaction, n, ignore, NULL, _NSIG / 8);
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
}

void os_limit_descriptors(unsigned long most)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max < most ? limit.rlim_max : most;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

struct spawn_failure os_spawn_fails(const struct spawn_plan *plan)
{
	struct spawn_failure failure;
	unsigned before;
	int pidfd = -1;
	pid_t pid;

	before = os_open_count();
	ck_assert_int_eq(spawn(plan, &pid, &pidfd, &failure), -1);
	ck_assert_uint_eq(os_open_count(), before);
	os_fails(waitpid(-1, NULL, WNOHANG), ECHILD);
	return failure;
}

void os_reap(pid_t pid, int status)
{
	int got;

	ck_assert_int_eq(waitpid(pid, &got, 0), pid);
	ck_assert_int_eq(got, status);
}

pid_t os_start(void (*life)(int said))
{
	int ends[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		(void)close(ends[0]);
		life(ends[1]);
		_exit(0);
	}
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	ck_assert_int_eq(close(ends[0]) | close(ends[1]), 0);
	return pid;
}

int os_in_child(int (*function)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(function());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

struct pidfd_end os_wait(int pidfd)
{
	struct pidfd_end end = {.code = -1};

	ck_assert(os_is_readable(pidfd, 20000));
	if (pidfd_reap(pidfd, &end) != 1)
		end.code = -1; /* who ignores SIGCHLD has nothing to reap */
	ck_assert_int_eq(close(pidfd), 0);
	return end;
}

int os_run(struct spawn_plan *plan, char *out, size_t size)
{
	struct spawn_failure failure;
	struct pidfd_end end;
	int ends[2];
	int pidfd;
	pid_t pid;
	size_t used = 0;
	ssize_t n;
	struct spawn_fd *stdout_fd = NULL;
	int before = -1;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	for (size_t i = 0; i < plan->fd_count; i++)
		if (plan->fds[i].to == 1)
			stdout_fd = &plan->fds[i];
	if (stdout_fd) {
		before = stdout_fd->from;
		stdout_fd->from = ends[1];
	}
	if (spawn(plan, &pid, &pidfd, &failure) == -1)
		ck_abort_msg("step %d, errno %d, '%s'", failure.step, failure.error, failure.what);
	if (stdout_fd) /* the number is nobody's from here on */
		stdout_fd->from = before;
	ck_assert_int_eq(close(ends[1]), 0);
	while (used + 1 < size && (n = read(ends[0], out + used, size - used - 1)) > 0)
		used += (size_t)n;
	out[used] = '\0';
	ck_assert_int_eq(close(ends[0]), 0);
	end = os_wait(pidfd);
	return end.signalled ? 128 + end.code : end.code;
}

const char *os_field(const char *out, const char *key)
{
	static char rooms[4][512];
	static unsigned turn;
	char *room = rooms[turn++ % 4];
	size_t len = strlen(key);

	room[0] = '\0';
	for (const char *at = out; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, key, len) != 0 || at[len] != ':')
			continue;
		at += len + 1;
		at += strspn(at, " \t");
		text_copy(room, sizeof(rooms[0]), at);
		room[strcspn(room, "\n")] = '\0';
		break;
	}
	return room;
}

unsigned os_open_count(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 4096; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}
