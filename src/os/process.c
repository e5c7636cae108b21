/* SPDX-License-Identifier: MIT */
#include "os/process.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/vfork.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int process_open(pid_t pid, const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return open(path, O_CLOEXEC | flags);
}

static ssize_t read_start(int fd, char *to, size_t size)
{
	size_t used = 0;
	ssize_t got = fd;

	while (got != -1 && used < size - 1) {
		got = read(fd, to + used, size - 1 - used);
		if (got <= 0)
			break;
		used += (size_t)got;
	}
	to[used] = '\0';
	return got != -1 ? (ssize_t)used : -1;
}

ssize_t process_read(pid_t pid, const char *file, char *to, size_t size)
{
	scoped_fd fd = process_open(pid, file, O_RDONLY);

	return read_start(fd, to, size);
}

ssize_t process_link(pid_t pid, const char *name, char *to, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	n = readlink(path, to, size - 1);
	to[n > 0 ? n : 0] = '\0';
	return n;
}

ssize_t process_read_path(const char *path, char *to, size_t size)
{
	scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC);

	return read_start(fd, to, size);
}

/* Parse field 3 and the following ones; proc(5) counts from 1.  The name in field 2
 * may hold anything, also ')'. */
static int parse_stat(char *text, struct process_facts *facts)
{
	char *at = strrchr(text, ')');
	unsigned long long field[53] = {0};
	long tick = sysconf(_SC_CLK_TCK);

	if (!at || at[1] != ' ' || at[2] == '\0') {
		errno = EPROTO;
		return -1;
	}
	facts->state = at[2];
	at += 3;
	for (int i = 4; i <= 52; i++)
		field[i] = strtoull(at, &at, 10);
	facts->parent = (pid_t)field[4];
	facts->session = (pid_t)field[6];
	facts->cpu = (nsec_t)(field[14] + field[15]) * (SECOND / (tick > 0 ? tick : 100));
	facts->reaped = (nsec_t)(field[16] + field[17]) * (SECOND / (tick > 0 ? tick : 100));
	facts->rss = (size_t)field[24] * (size_t)sysconf(_SC_PAGESIZE);
	facts->start = field[22];
	facts->exit_code = (int)field[52];
	return 0;
}

/*
 * Readers of some files of /proc/PID wait as long as the process is in exec
 * (exec_update_lock of the kernel), and that may be for ever: exec closes descriptors,
 * and a file server does not answer.  So of another user's process a child reads them.
 * Readers of `status` do not wait.
 */
static int read_with_care(pid_t pid, int (*reader)(void *argument), void *argument)
{
	uint64_t uid;

	if (!vfork_calls() || process_status(pid, "Uid:", 10, &uid) == -1 || uid == getuid())
		return reader(argument);
	return vfork_call_alone((uid_t)uid, reader, argument);
}

struct looking {
	pid_t pid;
	struct process_facts facts;
};

static int look_here(void *argument)
{
	struct looking *l = argument;
	char text[1024];
	ssize_t n = process_read(l->pid, "stat", text, sizeof(text));

	if (n == 0)
		errno = ESRCH;
	return n > 0 ? parse_stat(text, &l->facts) : -1;
}

int process_look(pid_t pid, struct process_facts *facts)
{
	struct looking l = {.pid = pid};
	int got = read_with_care(pid, look_here, &l);

	*facts = l.facts;
	return got;
}

nsec_t process_ran(pid_t pid)
{
	/* the number that clock_getcpuclockid(3) gives, by a call more (CPUCLOCK_SCHED of the
	 * kernel's linux/posix-timers_types.h) */
	const clockid_t clock = ~pid * 8 + 2;
	struct timespec ran;

	if (clock_gettime(clock, &ran) == -1)
		return 0;
	return ran.tv_sec * SECOND + ran.tv_nsec;
}

static nsec_t read_schedstat(pid_t pid, nsec_t *ran)
{
	char text[64];
	char *at = text;

	(void)process_read(pid, "schedstat", text, sizeof(text));
	*ran = strtoll(text, &at, 10);
	return strtoll(at, NULL, 10);
}

nsec_t process_awake(pid_t pid)
{
	nsec_t ran;
	nsec_t starved = read_schedstat(pid, &ran);

	return ran + starved;
}

nsec_t process_starved(pid_t pid)
{
	nsec_t ran;

	return read_schedstat(pid, &ran);
}

const char *process_name(pid_t pid, char to[PROCESS_NAME])
{
	char name[32];
	ssize_t n = process_read(pid, "comm", name, sizeof(name));

	while (n > 0 && name[n - 1] == '\n')
		n--;
	if (n > 0)
		text_escape(to, PROCESS_NAME, name, (size_t)n);
	else
		text_copy(to, PROCESS_NAME, "a process");
	return to;
}

long process_each_in(int dir, process_visit *look, void *context)
{
	_Alignas(struct dirent64) char room[2048];
	long count = 0;
	ssize_t got = -1;

	while (dir != -1 && (got = getdents64(dir, room, sizeof(room))) > 0) {
		for (ssize_t at = 0; at < got;) {
			const struct dirent64 *entry = (const void *)&room[at];

			at += entry->d_reclen;
			if (*entry->d_name < '0' || *entry->d_name > '9')
				continue;
			count++;
			if (look(context, (int)strtol(entry->d_name, NULL, 10)))
				return count;
		}
	}
	return got == -1 ? -1 : count;
}

long process_each(pid_t pid, process_visit *look, void *context)
{
	scoped_fd dir = pid != 0 ? process_open(pid, "task", O_RDONLY | O_DIRECTORY)
				 : open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return process_each_in(dir, look, context);
}

unsigned process_crowd(void)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char text[128];
	unsigned wanting;

	if (cpus < 1 || process_read_path("/proc/loadavg", text, sizeof(text)) <= 0 ||
		sscanf(text, "%*s %*s %*s %u/", &wanting) != 1 || wanting <= (unsigned)cpus)
		return 1;
	return wanting / (unsigned)cpus;
}

char process_state(pid_t tid)
{
	static const char key[] = "\nState:\t";
	char text[512];
	const char *at;

	if (process_read(tid, "status", text, sizeof(text)) == -1)
		return '\0';
	at = strstr(text, key);
	return at != NULL ? at[sizeof(key) - 1] : '\0';
}

/* Is the thread stopped, or has it ended? */
static bool is_still(pid_t tid)
{
	char state = process_state(tid);

	if (state == '\0')
		return errno == ESRCH || errno == ENOENT;
	return strchr("TtZX", state) != NULL;
}

static bool is_moving(void *moves, pid_t tid)
{
	*(bool *)moves = !is_still(tid);
	return *(bool *)moves;
}

bool process_is_stopped(pid_t pid)
{
	uint64_t threads = 1;
	bool moves = false;

	if (!is_still(pid))
		return false;
	if (process_status(pid, "Threads:", 10, &threads) == -1 || threads < 2)
		return true;
	if (process_each(pid, is_moving, &moves) == -1)
		return errno == ENOENT;
	return !moves;
}

bool process_is_runnable(pid_t tid)
{
	return process_state(tid) == 'R';
}

/* A thread that is ending gives up the process's memory first, and the file with it. */
static bool lacks_memory(pid_t tid)
{
	char path[16];

	return process_link(tid, "exe", path, sizeof(path)) == -1 && errno == ENOENT;
}

static bool is_ending(void *ends, pid_t tid)
{
	*(bool *)ends = process_is_runnable(tid) && lacks_memory(tid);
	return *(bool *)ends;
}

/* The main thread may have ended before others. */
bool process_is_ending(pid_t pid)
{
	bool ends = false;

	if (lacks_memory(pid))
		process_each(pid, is_ending, &ends);
	return ends;
}

/* The number behind one of the keys; NULL: the line has none of them. */
static const char *value_in(const char *line, const char *const *keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(keys[i]);

		if (strncmp(line, keys[i], len) == 0)
			return line + len;
	}
	return NULL;
}

/* Add up the numbers behind the keys; returns how many keys the file has.  A line
 * may be longer than the buffer (of very many groups): then its beginning counts. */
static size_t add_numbers(
	pid_t pid, const char *file, const char *const *keys, size_t count, int base, uint64_t *sum)
{
	scoped_fd fd = process_open(pid, file, O_RDONLY);
	char line[128];
	char block[2048];
	size_t used = 0;
	size_t found = 0;
	ssize_t got;

	*sum = 0;
	while (fd != -1 && (got = read(fd, block, sizeof(block))) > 0)
		for (ssize_t i = 0; i < got; i++) {
			const char *value;

			if (block[i] != '\n') {
				if (used < sizeof(line) - 1)
					line[used++] = block[i];
				continue;
			}
			line[used] = '\0';
			used = 0;
			value = value_in(line, keys, count);
			if (value == NULL)
				continue;
			*sum += strtoull(value, NULL, base);
			if (++found == count)
				goto all;
		}
all:
	return found;
}

int process_status(pid_t pid, const char *key, int base, uint64_t *value)
{
	uint64_t sum;

	if (add_numbers(pid, "status", &key, 1, base, &sum) == 0)
		return -1;
	*value = sum;
	return 0;
}

bool process_catches(pid_t pid, int signal)
{
	uint64_t caught;

	return process_status(pid, "SigCgt:", 16, &caught) == 0 &&
		(caught >> (signal - 1) & 1) != 0;
}

bool process_dies_of(pid_t pid, int signal)
{
	uint64_t pending;
	uint64_t blocked; /* for sigwait(3), as tini does */

	return process_status(pid, "ShdPnd:", 16, &pending) == 0 &&
		process_status(pid, "SigBlk:", 16, &blocked) == 0 &&
		((pending & ~blocked) >> (signal - 1) & 1) != 0 && !process_catches(pid, signal);
}

/* Adds up the lines "KEY: 123 kB". */
struct sum {
	pid_t pid;
	const char *file;
	const char *const *keys; /* two */
	uint64_t sum;
};

static int read_sum(void *argument)
{
	struct sum *s = argument;

	(void)add_numbers(s->pid, s->file, s->keys, 2, 10, &s->sum);
	return 0;
}

uint64_t process_memory(pid_t pid)
{
	static const char *const keys[] = {"RssAnon:", "RssShmem:"};
	struct sum s = {pid, "status", keys, 0};

	(void)read_sum(&s);
	return s.sum * 1024;
}

uint64_t process_memory_share(pid_t pid)
{
	static const char *const keys[] = {"Pss_Anon:", "Pss_Shmem:"};
	struct sum s = {pid, "smaps_rollup", keys, 0};

	(void)read_with_care(pid, read_sum, &s);
	return s.sum * 1024;
}

uint64_t process_io(pid_t pid)
{
	static const char *const keys[] = {"rchar:", "wchar:"};
	struct sum s = {pid, "io", keys, 0};

	(void)read_with_care(pid, read_sum, &s);
	return s.sum;
}

struct children {
	int dir; /* task/ of their parent */
	pid_t *list;
	size_t most;
	size_t count; /* may grow over `most` */
	bool unknown; /* the kernel has no children files */
};

/* Append the children of a thread: every thread has children of its own. */
static bool append_children(void *context, pid_t tid)
{
	struct children *c = context;
	char block[4096];
	pid_t pid = 0;
	ssize_t n = -1;

	snprintf(block, sizeof(block), "%d/children", (int)tid);
	scoped_fd fd = openat(c->dir, block, O_RDONLY | O_CLOEXEC);
	while (fd != -1 && (n = read(fd, block, sizeof(block))) > 0) {
		for (ssize_t i = 0; i < n; i++) { /* the read may have cut a number */
			if (block[i] >= '0' && block[i] <= '9') {
				pid = pid * 10 + (block[i] - '0');
				continue;
			}
			if (pid != 0 && c->count++ < c->most)
				c->list[c->count - 1] = pid;
			pid = 0;
		}
	}
	c->unknown |= n == -1;
	return false;
}

long process_children(pid_t *list, size_t most)
{
	/* not by getpid(): /proc may be of another pid namespace */
	scoped_fd dir = open("/proc/self/task", O_RDONLY | O_CLOEXEC);
	struct children c = {.dir = dir, .list = list, .most = most};

	(void)append_children(&c, gettid());
	return c.unknown ? -1 : (long)c.count;
}

static void append_threads(struct children *c, pid_t pid)
{
	scoped_fd dir = process_open(pid, "task", O_RDONLY);
	struct stat st;

	c->dir = dir;
	/* Nearly all processes have one thread, and then the directory need not be
	 * read: its link count is two more than the threads. */
	if (dir != -1 && fstat(dir, &st) == 0 && st.st_nlink == 3)
		(void)append_children(c, pid);
	else
		(void)process_each_in(dir, append_children, c);
}

size_t process_tree(pid_t pid, pid_t *list, size_t most)
{
	struct children c = {.list = list, .most = most, .count = 1};

	if (most == 0)
		return 0;
	list[0] = pid;
	for (size_t i = 0; i < c.count && i < most; i++)
		append_threads(&c, list[i]);
	return c.count < most ? c.count : most;
}

/* ---- disposition ---- */

int disposition_reset(void)
{
	/* SIG_DFL, no flags, no mask: all zero in every architecture's layout
	 * of the kernel's struct sigaction */
	const long zero[16] = {0};

	for (int n = 1; n < _NSIG; n++)
		if (n != SIGKILL && n != SIGSTOP &&
			syscall(SYS_rt_sigaction, n, zero, NULL, _NSIG / 8) == -1)
			return -1;
	return 0;
}
