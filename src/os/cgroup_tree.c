/* SPDX-License-Identifier: MIT */
#include "os/cgroup_tree.h"

#include "base/scope.h"
#include "os/cgroup.h"
#include "os/descriptors.h"
#include "os/pidfd.h"
#include "os/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PASSES_MOST 64U     /* to move all of a group to another */
#define DEEP_MOST 256U      /* generations between nclust and a descendant */
#define SUBGROUPS_DEEP 16U  /* levels below a worker's group that are removed */
#define SUBGROUPS_MOST 256U /* groups below a worker's that are removed at once */

static const char *const names[CGROUP_KINDS] = {
	[CGROUP_MEMORY] = "memory",
	[CGROUP_CPU] = "cpu",
	[CGROUP_PIDS] = "pids",
	[CGROUP_IO] = "io",
};

/* Which file each limit is written to.  A CPU quota is for a period of 100 ms. */
static const struct limit_row {
	enum cgroup_kind kind;
	bool of_cluster;
	const char *key;
	const char *file;
	const char *other; /* instead of `file`, with the I/O scheduler BFQ */
	unsigned factor;   /* what the file counts for 100 of the limit */
} rows[CGROUP_LIMITS] = {
	[CGROUP_MEMORY_MAX] = {CGROUP_MEMORY, false, "memory-max", "memory.max", NULL, 100},
	[CGROUP_MEMORY_HIGH] = {CGROUP_MEMORY, false, "memory-high", "memory.high", NULL, 100},
	[CGROUP_CPU_MAX] = {CGROUP_CPU, false, "cpu-max", "cpu.max", NULL, 100000},
	[CGROUP_PIDS_MAX] = {CGROUP_PIDS, false, "pids-max", "pids.max", NULL, 100},
	[CGROUP_CPU_WEIGHT] = {CGROUP_CPU, true, "cpu-weight", "cpu.weight", NULL, 100},
	[CGROUP_IO_WEIGHT] = {CGROUP_IO, true, "io-weight", "io.weight", "io.bfq.weight", 100},
};

unsigned cgroup_kinds(const struct cgroup_limits *l)
{
	unsigned kinds = 0;

	for (size_t i = 0; i < CGROUP_LIMITS; i++)
		if (l->of[i] != 0)
			kinds |= 1U << rows[i].kind;
	return kinds;
}

/* ---- files ---- */

static int open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Write to a file of a group; -1 and errno. */
static int __attribute__((format(printf, 3, 4)))
write_file(int dir, const char *file, const char *format, ...)
{
	scoped_fd fd = openat(dir, file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[64];
	va_list args;
	ssize_t n;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	n = fd != -1 ? write(fd, text, (size_t)len) : -1;
	return n == len ? 0 : -1;
}

static bool read_file(int dir, const char *file, char *text, size_t size)
{
	scoped_fd fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd != -1 ? read(fd, text, size - 1) : -1;

	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

double cgroup_number(int dir, const char *file, const char *key)
{
	char text[1024];
	const char *at = text;
	char *end;
	double number;

	if (!read_file(dir, file, text, sizeof(text)))
		return -1;
	if (key != NULL) {
		at = strstr(text, key);
		if (at == NULL)
			return -1;
		at += strlen(key);
	}
	number = strtod(at, &end);
	return end != at ? number : -1;
}

int cgroup_procs(int dir)
{
	return openat(dir, "cgroup.procs", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
}

/* Make and open a group's directory, which may exist unless it must be `fresh`.  -1 and `err`. */
static int make_dir(int at, const char *name, bool fresh, struct error *err)
{
	int dir;

	if (mkdirat(at, name, 0755) == -1 && (fresh || errno != EEXIST))
		return error_set(err, errno, "cannot make the cgroup '%s'", name);
	dir = open_dir(at, name);
	return dir != -1 ? dir : error_set(err, errno, "cannot open the cgroup '%s'", name);
}

/* Has systemd delegated the group to its unit?  A user's manager owns the group instead. */
static bool is_marked(const char *path)
{
	char value[2] = "";
	struct stat st;

	if (getxattr(path, "trusted.delegate", value, sizeof(value)) == 1 ||
		getxattr(path, "user.delegate", value, sizeof(value)) == 1)
		return value[0] == '1';
	return geteuid() != 0 && stat(path, &st) == 0 && st.st_uid == geteuid();
}

static bool is_systemds(const char *root)
{
	char path[1100];

	return snprintf(path, sizeof(path), "%s/run/systemd/system", root) < (int)sizeof(path) &&
		access(path, F_OK) == 0;
}

/*
 * Choose the group in which clusters get theirs: our own group, or its parent if
 * ours is a leaf made for nclust alone, by nclust before an upgrade or by systemd
 * (DelegateSubgroup=).
 */
static int choose_base(
	struct cgroup_tree *t, char *path, const char *own, const char *root, struct error *err)
{
	char *slash = strrchr(path, '/');
	bool foreign = false;

	t->in_own = slash != NULL && strcmp(slash + 1, own) == 0;
	if (t->in_own) {
		*slash = '\0';
	} else if (slash != NULL && is_systemds(root) && !is_marked(path)) {
		*slash = '\0';
		foreign = !is_marked(path);
		if (foreign)
			*slash = '/';
	}
	if (!foreign && access(path, W_OK) == 0)
		return 0;
	error_set(err, foreign ? 0 : errno, "nclust may not make cgroups in '%s'", path);
	return error_hint(err,
		err->sys == EROFS ? "mount /sys/fs/cgroup writable in this container"
				  : "write 'Delegate=yes' under [Service] in its unit, "
				    "or start it with 'systemd-run --scope -p "
				    "Delegate=yes'");
}

/* Is the process nclust, a descendant of nclust, or the launcher that waits for nclust's start? */
static bool is_ours(const struct cgroup_tree *t, pid_t pid)
{
	struct process_facts facts;

	if (pid == t->launcher)
		return true;
	for (unsigned i = 0; i < DEEP_MOST && pid > 1 && pid != getpid(); i++)
		pid = process_look(pid, &facts) == 0 ? facts.parent : 0;
	return pid == getpid();
}

/* Move processes of a group to another: all, or nclust's (is_ours()).  False: none
 * was moved.  One read(2) returns only the beginning of a long list. */
static bool move_processes(const struct cgroup_tree *t, int from, int to, bool all)
{
	char inside[16384];
	char *end;
	bool moved = false;

	(void)read_file(from, "cgroup.procs", inside, sizeof(inside));
	for (char *line = inside; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		/* a process that has ended meanwhile needs no move */
		if (all || is_ours(t, (pid_t)strtol(line, NULL, 10)))
			moved |= write_file(to, "cgroup.procs", "%s", line) == 0;
	}
	return moved;
}

/* A group with processes that enables a controller for its children makes them "threaded", so
 * that no process can enter one, or the kernel refuses.  Only the root group may have both. */
static bool is_empty(const struct cgroup_tree *t)
{
	char inside[16];

	return access_in(t->base, "cgroup.type", F_OK) == -1 ||
		!read_file(t->base, "cgroup.procs", inside, sizeof(inside));
}

/* Move nclust and its descendants, which may fork meanwhile, to a leaf.  False:
 * other processes are left. */
static bool settle_in_leaf(struct cgroup_tree *t, const char *own)
{
	struct error ignored;
	scoped_fd dir = -1;

	if (is_empty(t))
		return true;
	dir = make_dir(t->base, own, false, &ignored);
	for (unsigned i = 0; dir != -1 && i < PASSES_MOST; i++)
		if (!move_processes(t, t->base, dir, false))
			break;
	t->in_own = true;
	return is_empty(t);
}

/* The words of such a file, with a space before and after each. */
static void get_words(int dir, const char *file, char text[256])
{
	size_t end;

	text[0] = ' ';
	(void)read_file(dir, file, text + 1, 254);
	end = strcspn(text, "\n");
	text[end] = ' ';
	text[end + 1] = '\0';
}

static bool has_word(const char *words, unsigned kind)
{
	char word[16];

	snprintf(word, sizeof(word), " %s ", names[kind]);
	return strstr(words, word) != NULL;
}

/* The first of these kinds that cannot be limited; or CGROUP_KINDS. */
static unsigned find_lack(const struct cgroup_tree *t, unsigned kinds)
{
	char words[256] = "";
	unsigned k = 0;

	get_words(t->base, "cgroup.controllers", words);
	while (k < CGROUP_KINDS && ((kinds >> k & 1) == 0 || has_word(words, k)))
		k++;
	return k;
}

static int tell_lack(unsigned kind, struct error *err)
{
	error_set(err, 0, "nclust's cgroup has no controller for '%s'", names[kind]);
	return error_hint(err,
		"the group above it has to hand it down (cgroup.subtree_control), and cgroup v1 "
		"must not have it");
}

/* Let child groups have limits of these kinds.  Returns the kinds that are enabled;
 * adds to `ours` those that were not enabled before. */
static unsigned enable_kinds(int dir, unsigned kinds, unsigned *ours)
{
	char before[256];

	get_words(dir, "cgroup.subtree_control", before);
	for (unsigned k = 0; k < CGROUP_KINDS; k++) {
		if ((kinds >> k & 1) == 0 || has_word(before, k))
			continue;
		if (write_file(dir, "cgroup.subtree_control", "+%s", names[k]) == 0)
			*ours |= 1U << k;
		else
			kinds &= ~(1U << k);
	}
	return kinds;
}

static int find_base(struct cgroup_tree *t, const char *root, const char *own, struct error *err)
{
	char path[CGROUP_PATH];

	if (!cgroup_home(root, path, sizeof(path)))
		return error_set(err, 0, "nclust has no cgroup of v2");
	if (choose_base(t, path, own, root, err) == -1)
		return -1;
	t->base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return t->base != -1 ? 0 : error_set(err, errno, "cannot open '%s'", path);
}

unsigned cgroup_tree_open(
	struct cgroup_tree *t, const char *root, unsigned kinds, const char *own, struct error *err)
{
	unsigned missing;
	unsigned lack;

	err->text[0] = '\0';
	if (t->base == -1 && find_base(t, root, own, err) == -1)
		return 0;
	missing = kinds & ~t->kinds;
	if (missing == 0)
		return kinds;
	lack = find_lack(t, missing);
	if (lack < CGROUP_KINDS)
		(void)tell_lack(lack, err);
	if (settle_in_leaf(t, own)) {
		t->kinds |= enable_kinds(t->base, missing, &t->enabled);
		missing &= ~t->kinds;
	}
	if (missing != 0 && lack == CGROUP_KINDS)
		error_set(err, 0, "other processes are in nclust's cgroup");
	return kinds & ~missing;
}

int cgroup_tree_check(const char *root, struct error *err)
{
	const unsigned kinds = 1U << CGROUP_MEMORY | 1U << CGROUP_CPU | 1U << CGROUP_PIDS;
	struct cgroup_tree t = {.base = -1};
	unsigned lack;
	int got = find_base(&t, root, "", err);

	lack = got == 0 ? find_lack(&t, kinds) : CGROUP_KINDS;
	if (lack < CGROUP_KINDS)
		got = tell_lack(lack, err);
	fd_close(&t.base);
	return got;
}

/* Return to the base group, if no group with limits is left. */
static void leave_leaf(const struct cgroup_tree *t, const char *own)
{
	scoped_fd dir = open_dir(t->base, own);

	for (unsigned k = 0; k < CGROUP_KINDS; k++)
		if ((t->enabled >> k & 1) != 0)
			(void)write_file(t->base, "cgroup.subtree_control", "-%s", names[k]);
	for (unsigned i = 0; dir != -1 && i < PASSES_MOST; i++)
		if (!move_processes(t, dir, t->base, true))
			break;
	(void)unlinkat(t->base, own, AT_REMOVEDIR);
}

void cgroup_tree_close(struct cgroup_tree *t, const char *own)
{
	if (t->base != -1 && t->in_own)
		leave_leaf(t, own);
	fd_close(&t->base);
	*t = (struct cgroup_tree){.base = -1};
}

/* ---- a group ---- */

/* Write the limits of a cluster (`of_cluster`), or of a worker.  A cluster's that is 0 is
 * written as the usual 100: an earlier value may be in force. */
static void set_limits(const struct cgroup_tree *t, int dir, bool of_cluster,
	const struct cgroup_limits *l, struct error *err)
{
	for (size_t i = 0; i < CGROUP_LIMITS; i++) {
		const struct limit_row *r = &rows[i];
		uint64_t wanted = l->of[i] == 0 && of_cluster ? 100 : l->of[i];
		unsigned long long n = wanted / 100 * r->factor + wanted % 100 * r->factor / 100;

		if (n == 0 || r->of_cluster != of_cluster ||
			(l->of[i] != 0 && (t->kinds >> r->kind & 1) == 0))
			continue;
		if (write_file(dir, r->file, "%llu", n) == -1 &&
			(r->other == NULL || write_file(dir, r->other, "%llu", n) == -1) &&
			l->of[i] != 0)
			error_set(err, errno, "'%s' cannot be set", r->key);
	}
}

int cgroup_make(const struct cgroup_tree *t, const char *group, bool fresh,
	const struct cgroup_limits *l, struct error *err)
{
	char name[256];
	scoped_fd above = -1;
	unsigned ignored = 0;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(group, "/"), group);
	above = make_dir(t->base, name, false, err);
	if (above == -1)
		return -1;
	err->text[0] = '\0';
	(void)enable_kinds(above, t->kinds & cgroup_kinds(l), &ignored);
	set_limits(t, above, true, l, err);
	return make_dir(t->base, group, fresh, err);
}

void cgroup_limit(
	const struct cgroup_tree *t, int dir, const struct cgroup_limits *l, struct error *err)
{
	err->text[0] = '\0';
	/* the OOM killer ends all of a worker: a part of one serves nobody */
	if (l->of[CGROUP_MEMORY_MAX] != 0)
		(void)write_file(dir, "memory.oom.group", "1");
	set_limits(t, dir, false, l, err);
}

int cgroup_open(const struct cgroup_tree *t, const char *group)
{
	return open_dir(t->base, group);
}

/* Is the process in the group of that name, or below it? */
static bool is_in_group(pid_t pid, const char *group)
{
	char text[4096];

	if (process_read(pid, "cgroup", text, sizeof(text)) <= 0)
		return false;
	for (const char *at = text; (at = strstr(at, group)) != NULL;) {
		bool begins = at > text && at[-1] == '/';

		at += strlen(group);
		if (begins && (*at == '\n' || *at == '/'))
			return true;
	}
	return false;
}

/* ---- removal ---- */

/* The next directory of the list, or NULL. */
static const char *next_dir(DIR *list)
{
	const struct dirent *e;

	while ((e = readdir(list)) != NULL)
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			return e->d_name;
	return NULL;
}

/* One read(2) returns only the beginning of a long list: some 2,500 processes. */
static void kill_all(int dir, const char *group)
{
	char inside[16384];
	char *end;

	(void)read_file(dir, "cgroup.procs", inside, sizeof(inside));
	for (char *line = inside; (end = strchr(line, '\n')); line = end + 1) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);
		scoped_fd fd = pid != getpid() ? pidfd_of(pid) : -1;

		/* The pid may be another process's since the list was read: check its group. */
		if (fd != -1 && is_in_group(pid, group))
			(void)pidfd_signal(fd, SIGKILL);
	}
}

/* Remove the groups below the directory as far as possible, the deepest first, and
 * kill their processes, unless `group` is NULL. */
static void remove_below(int at, const char *name, const char *group, unsigned deep, unsigned *dirs)
{
	DIR *list = deep > 0 ? directory_list(at, name) : NULL;
	const char *sub;

	if (list != NULL && group != NULL)
		kill_all(dirfd(list), group);
	while (list != NULL && *dirs > 0 && (sub = next_dir(list)) != NULL) {
		(*dirs)--;
		if (unlinkat(dirfd(list), sub, AT_REMOVEDIR) == -1) {
			remove_below(dirfd(list), sub, group, deep - 1, dirs);
			(void)unlinkat(dirfd(list), sub, AT_REMOVEDIR);
		}
	}
	if (list != NULL)
		(void)closedir(list);
}

static bool remove_group(int at, const char *name, const char *group)
{
	unsigned dirs = SUBGROUPS_MOST;

	if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return true;
	remove_below(at, name, group, SUBGROUPS_DEEP, &dirs);
	return unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

bool cgroup_end(const struct cgroup_tree *t, const char *group)
{
	const char *killed = NULL;
	scoped_fd dir = -1;

	if (unlinkat(t->base, group, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return true;
	dir = open_dir(t->base, group);
	if (dir != -1 && write_file(dir, "cgroup.kill", "1") == -1) { /* before Linux 5.14 */
		(void)write_file(dir, "pids.max", "0");               /* no more forks */
		killed = group;
	}
	return remove_group(t->base, group, killed);
}

unsigned cgroup_sweep(
	const struct cgroup_tree *t, const char *prefix, cgroup_use *is_used, void *context)
{
	DIR *all = directory_list(t->base, ".");
	unsigned left = 0;
	const char *name;

	while (all != NULL && (name = next_dir(all)) != NULL) {
		DIR *list = strncmp(name, prefix, strlen(prefix)) == 0
			? directory_list(t->base, name)
			: NULL;
		const char *worker;

		while (list != NULL && (worker = next_dir(list)) != NULL)
			left += !is_used(context, name, worker) &&
				!remove_group(dirfd(list), worker, NULL);
		if (list == NULL)
			continue;
		(void)closedir(list);
		(void)unlinkat(t->base, name, AT_REMOVEDIR);
	}
	if (all != NULL)
		(void)closedir(all);
	return left;
}
