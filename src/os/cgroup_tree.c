/* SPDX-License-Identifier: MIT */
#include "os/cgroup_tree.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/cgroup.h"
#include "os/clock.h"
#include "os/pidfd.h"
#include "os/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PASSES_MOST 64U     /* to move all of a group to another */
#define DEEP_MOST 256U      /* descendants */
#define SUBGROUPS_DEEP 16U  /* that a worker has made in its own … */
#define SUBGROUPS_MOST 256U /* … and that are removed at once */
#define KILLS_MOST 64U      /* processes, in a turn */

static const char *const names[CGROUP_KINDS][2] = {
	[CGROUP_MEMORY] = {"memory", "memory"},
	[CGROUP_CPU] = {"cpu", "cpu"},
	[CGROUP_PIDS] = {"pids", "pids"},
	[CGROUP_IO] = {"blkio", "io"},
};

/* Which files have them, in v1 and v2.  A quota is for a period of 100 ms. */
static const struct limit_row {
	enum cgroup_kind kind;
	bool of_cluster;
	const char *key;
	const char *file[2];
	const char *other;  /* v2: in its place, with the I/O scheduler BFQ */
	unsigned factor[2]; /* per cent */
	unsigned most;      /* v1; 0: the same */
} rows[CGROUP_LIMITS] = {
	[CGROUP_MEMORY_MAX] = {CGROUP_MEMORY, false, "memory-max",
		{"memory.limit_in_bytes", "memory.max"}, NULL, {100, 100}, 0},
	[CGROUP_MEMORY_HIGH] = {CGROUP_MEMORY, false, "memory-high",
		{NULL, "memory.high"}, NULL, {100, 100}, 0},
	[CGROUP_CPU_MAX] = {CGROUP_CPU, false, "cpu-max",
		{"cpu.cfs_quota_us", "cpu.max"}, NULL, {100000, 100000}, 0},
	[CGROUP_PIDS_MAX] = {CGROUP_PIDS, false, "pids-max",
		{"pids.max", "pids.max"}, NULL, {100, 100}, 0},
	[CGROUP_CPU_WEIGHT] = {CGROUP_CPU, true, "cpu-weight",
		{"cpu.shares", "cpu.weight"}, NULL, {1024, 100}, 0},
	[CGROUP_IO_WEIGHT] = {CGROUP_IO, true, "io-weight",
		{"blkio.bfq.weight", "io.weight"}, "io.bfq.weight", {100, 100},
		1000},
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
	return openat(
		at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* -1 and errno. */
static int put(int dir, const char *file, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int put(int dir, const char *file, const char *format, ...)
{
	scoped_fd fd = openat(dir, file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[64];
	va_list args;
	ssize_t n;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	do { /* a limit of memory may be interrupted (v1) */
		n = fd != -1 ? write(fd, text, (size_t)len) : -1;
	} while (fd != -1 && n == -1 && errno == EINTR);
	return n == len ? 0 : -1;
}

static bool get(int dir, const char *file, char *text, size_t size)
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

	if (!get(dir, file, text, sizeof(text)))
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

/* ---- ours ---- */

/* Make and open it; unless it must be `fresh`, it may exist.  -1 and `err`. */
static int make_dir(int at, const char *name, bool fresh, struct error *err)
{
	int dir;

	if (mkdirat(at, name, 0755) == -1 && (fresh || errno != EEXIST))
		return error_set(
			err, errno, "cannot make the cgroup '%s'", name);
	dir = open_dir(at, name);
	return dir != -1
		? dir
		: error_set(err, errno, "cannot open the cgroup '%s'", name);
}

/* systemd marks what it leaves to a unit; a user's it gives to that user. */
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

	return snprintf(path, sizeof(path), "%s/run/systemd/system", root) <
		(int)sizeof(path) &&
		access(path, F_OK) == 0;
}

/*
 * The group in which ours may be made: our own; or the one above it, if ours is a
 * leaf that was made for nclust, by itself (before an upgrade) or by systemd
 * (DelegateSubgroup=).
 */
static int choose_base(struct cgroup_tree *t, char *path, const char *own,
	const char *root, struct error *err)
{
	char *slash = strrchr(path, '/');
	bool foreign = false;

	t->place = CGROUP_IN_BASE;
	if (t->version == 2 && slash != NULL && strcmp(slash + 1, own) == 0) {
		*slash = '\0';
		t->place = CGROUP_IN_OWN;
	} else if (t->version == 2 && slash != NULL && is_systemds(root) &&
		!is_marked(path)) {
		*slash = '\0';
		t->place = CGROUP_IN_LEAF;
		foreign = !is_marked(path);
		if (foreign)
			*slash = '/';
	}
	if (!foreign && access(path, W_OK) == 0)
		return 0;
	(void)error_set(err, foreign ? 0 : errno,
		"nclust may not make cgroups in '%s'", path);
	return error_hint(err,
		err->sys == EROFS
			? "mount /sys/fs/cgroup writable in this container"
			: "write 'Delegate=yes' under [Service] in its unit, "
			  "or start it with 'systemd-run --scope -p "
			  "Delegate=yes'");
}

/* Ourselves, or a descendant of ours? */
static bool is_ours(pid_t pid)
{
	struct process_facts facts;

	for (unsigned i = 0; i < DEEP_MOST && pid > 1 && pid != getpid(); i++)
		pid = process_look(pid, &facts) == 0 ? facts.parent : 0;
	return pid == getpid();
}

/* Move processes of a group to another: all, or ours.  False: none was moved.  A
 * read gets only the beginning of a long list. */
static bool move(int from, int to, bool all)
{
	char inside[16384];
	char *end;
	bool moved = false;

	(void)get(from, "cgroup.procs", inside, sizeof(inside));
	for (char *line = inside; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		/* one that has ended meanwhile needs no move */
		if (all || is_ours((pid_t)strtol(line, NULL, 10)))
			moved |= put(to, "cgroup.procs", "%s", line) == 0;
	}
	return moved;
}

/* Move ourselves and our descendants, which may fork meanwhile, to a leaf. */
static void settle(struct cgroup_tree *t, const char *own)
{
	struct error ignored;
	scoped_fd dir = make_dir(t->base, own, false, &ignored);

	for (unsigned i = 0; dir != -1 && i < PASSES_MOST; i++)
		if (!move(t->base, dir, false)) {
			t->place = CGROUP_IN_OWN;
			return;
		}
}

/* The words of such a file, with a space before and after each. */
static void get_words(int dir, const char *file, char text[256])
{
	size_t end;

	text[0] = ' ';
	(void)get(dir, file, text + 1, 254);
	end = strcspn(text, "\n");
	text[end] = ' ';
	text[end + 1] = '\0';
}

static bool has_word(const char *words, unsigned kind)
{
	char word[16];

	(void)snprintf(word, sizeof(word), " %s ", names[kind][1]);
	return strstr(words, word) != NULL;
}

/* The first of these kinds, which v1 cannot limit, that v2 cannot either; or
 * CGROUP_KINDS. */
static unsigned find_lack(const struct cgroup_trees *t, unsigned kinds)
{
	char words[256] = "";
	unsigned k = 0;

	for (unsigned i = 0; i < t->count; i++)
		if (t->list[i].version == 2)
			get_words(t->list[i].base, "cgroup.controllers", words);
	while (k < CGROUP_KINDS &&
		((kinds >> k & 1) == 0 || has_word(words, k)))
		k++;
	return k;
}

static int tell_lack(unsigned kind, struct error *err)
{
	(void)error_set(err, 0, "nclust's cgroup has no controller for '%s'",
		names[kind][1]);
	return error_hint(err,
		"the group above it has to hand it down "
		"(cgroup.subtree_control)");
}

/* Let the groups below have limits of these kinds (v2).  Which of them can be;
 * `ours` gets those that could not before.  errno: why some cannot. */
static unsigned enable(int dir, unsigned kinds, unsigned *ours)
{
	char before[256];
	int error = 0;

	get_words(dir, "cgroup.subtree_control", before);
	for (unsigned k = 0; k < CGROUP_KINDS; k++) {
		if ((kinds >> k & 1) == 0 || has_word(before, k))
			continue;
		if (put(dir, "cgroup.subtree_control", "+%s", names[k][1]) ==
			0) {
			*ours |= 1U << k;
			continue;
		}
		kinds &= ~(1U << k);
		error = errno;
	}
	errno = error;
	return kinds;
}

/* Find the hierarchy of that kind; it may be known. */
static int add_tree(struct cgroup_trees *t, const char *root, unsigned kind,
	const char *own, struct error *err)
{
	char path[CGROUP_PATH];
	struct cgroup_tree tree = {.base = -1};
	struct stat a;
	struct stat b;

	tree.version = cgroup_home(root, names[kind][0], path, sizeof(path));
	if (tree.version == 0)
		return error_set(err, 0, "nclust has no cgroup for '%s'",
			names[kind][1]);
	if (choose_base(&tree, path, own, root, err) == -1)
		return -1;
	tree.base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree.base == -1 || fstat(tree.base, &a) == -1) {
		(void)error_set(err, errno, "cannot open '%s'", path);
		fd_close(&tree.base);
		return -1;
	}
	for (unsigned i = 0; i < t->count; i++)
		if (fstat(t->list[i].base, &b) == 0 && a.st_ino == b.st_ino &&
			a.st_dev == b.st_dev) {
			fd_close(&tree.base);
			t->list[i].kinds |= tree.version == 1 ? 1U << kind : 0;
			return 0;
		}
	if (tree.version == 1)
		tree.kinds = 1U << kind;
	t->list[t->count++] = tree;
	return 0;
}

/* Why limits of these kinds cannot be set. */
static void explain(
	const struct cgroup_trees *t, unsigned missing, struct error *err)
{
	unsigned lack = find_lack(t, missing);

	if (lack < CGROUP_KINDS)
		(void)tell_lack(lack, err);
	else
		(void)error_set(
			err, 0, "other processes are in nclust's cgroup");
}

unsigned cgroup_trees_open(struct cgroup_trees *t, const char *root,
	unsigned kinds, const char *own, struct error *err)
{
	unsigned missing = kinds;
	bool known = t->count > 0;
	bool busy; /* processes of ours have come into the base */
	struct error ignored;

	err->text[0] = '\0';
	for (unsigned k = 0; !known && k < CGROUP_KINDS; k++)
		(void)add_tree(t, root, k, own,
			(kinds >> k & 1) != 0 ? err : &ignored);
	for (unsigned i = 0; i < t->count; i++) {
		struct cgroup_tree *tree = &t->list[i];

		missing &= ~tree->kinds;
		if (missing == 0 || tree->version == 1)
			continue;
		tree->kinds |= enable(tree->base, missing, &t->enabled);
		busy = errno == EBUSY && tree->place == CGROUP_IN_OWN;
		missing &= ~tree->kinds;
		if (missing == 0 || (!busy && tree->place != CGROUP_IN_BASE))
			continue;
		settle(tree, own);
		tree->kinds |= enable(tree->base, missing, &t->enabled);
		missing &= ~tree->kinds;
	}
	if (missing != 0 && err->text[0] == '\0')
		explain(t, missing, err);
	return kinds & ~missing;
}

int cgroup_trees_check(const char *root, struct error *err)
{
	struct cgroup_trees t = {.count = 0};
	unsigned missing = 0;
	unsigned lack;
	int got = 0;

	for (unsigned k = CGROUP_MEMORY; k <= CGROUP_PIDS && got == 0; k++) {
		got = add_tree(&t, root, k, "", err);
		missing |= 1U << k;
	}
	for (unsigned i = 0; i < t.count; i++)
		missing &= ~t.list[i].kinds;
	lack = find_lack(&t, missing);
	if (got == 0 && lack < CGROUP_KINDS)
		got = tell_lack(lack, err);
	for (unsigned i = 0; i < t.count; i++)
		fd_close(&t.list[i].base);
	return got;
}

/* Back to the base, if nothing is left that has limits. */
static void leave(
	const struct cgroup_tree *t, unsigned enabled, const char *own)
{
	scoped_fd dir = open_dir(t->base, own);

	for (unsigned k = 0; k < CGROUP_KINDS; k++)
		if ((enabled >> k & 1) != 0)
			(void)put(t->base, "cgroup.subtree_control", "-%s",
				names[k][1]);
	for (unsigned i = 0; dir != -1 && i < PASSES_MOST; i++)
		if (!move(dir, t->base, true))
			break;
	(void)unlinkat(t->base, own, AT_REMOVEDIR);
}

void cgroup_trees_close(struct cgroup_trees *t, const char *own)
{
	for (unsigned i = 0; i < t->count; i++) {
		struct cgroup_tree *tree = &t->list[i];

		if (tree->place == CGROUP_IN_OWN)
			leave(tree, t->enabled, own);
		fd_close(&tree->base);
	}
	*t = (struct cgroup_trees){.count = 0};
}

/* ---- a group ---- */

/* v1 has no quota above those of the groups that it is in; v2 takes it. */
static void tell_unset(
	const struct cgroup_tree *t, size_t limit, struct error *err)
{
	bool above =
		limit == CGROUP_CPU_MAX && t->version == 1 && errno == EINVAL;

	(void)error_set(
		err, above ? 0 : errno, "'%s' cannot be set", rows[limit].key);
	if (above)
		(void)error_hint(err,
			"nclust's own cgroup, or one above it, allows less: "
			"raise cpu.cfs_quota_us there, or lower 'cpu-max'");
}

/* Set those of the cluster, where those that are not asked for may be in force,
 * or those of a worker.  True: it has more than memory-max already (v1). */
static bool set(const struct cgroup_tree *t, int dir, bool of_cluster,
	const struct cgroup_limits *l, struct error *err)
{
	unsigned v = t->version == 2;
	bool over = false;

	for (size_t i = 0; i < CGROUP_LIMITS; i++) {
		const struct limit_row *r = &rows[i];
		uint64_t wanted = l->of[i] == 0 && of_cluster ? 100 : l->of[i];
		unsigned long long n = wanted / 100 * r->factor[v] +
			wanted % 100 * r->factor[v] / 100;

		if (n == 0 || r->of_cluster != of_cluster ||
			(l->of[i] != 0 && (t->kinds >> r->kind & 1) == 0))
			continue;
		if (v == 0 && r->most != 0 && n > r->most)
			n = r->most;
		if (r->file[v] == NULL)
			(void)error_set(
				err, 0, "'%s' requires cgroup v2", r->key);
		else if (put(dir, r->file[v], "%llu", n) == 0 ||
			(r->other != NULL &&
				put(dir, r->other, "%llu", n) == 0) ||
			l->of[i] == 0)
			continue;
		else if (i == CGROUP_MEMORY_MAX && errno == EBUSY)
			over = true;
		else
			tell_unset(t, i, err);
	}
	return over;
}

int cgroup_make(const struct cgroup_tree *t, const char *group, bool fresh,
	const struct cgroup_limits *l, struct error *err)
{
	char name[256];
	scoped_fd above = -1;
	unsigned ignored = 0;

	(void)snprintf(
		name, sizeof(name), "%.*s", (int)strcspn(group, "/"), group);
	above = make_dir(t->base, name, false, err);
	if (above == -1)
		return -1;
	err->text[0] = '\0';
	if (t->version == 2)
		(void)enable(above, t->kinds & cgroup_kinds(l), &ignored);
	(void)set(t, above, true, l, err);
	return make_dir(t->base, group, fresh, err);
}

bool cgroup_limit(const struct cgroup_tree *t, int dir,
	const struct cgroup_limits *l, struct error *err)
{
	err->text[0] = '\0';
	/* a worker without one of its processes is none; v1 cannot */
	if (t->version == 2 && l->of[CGROUP_MEMORY_MAX] != 0)
		(void)put(dir, "memory.oom.group", "1");
	return set(t, dir, false, l, err);
}

int cgroup_open(const struct cgroup_tree *t, const char *group)
{
	return open_dir(t->base, group);
}

int cgroup_count(pid_t pid, const char *group)
{
	char text[4096];
	int found = 0;

	if (process_read(pid, "cgroup", text, sizeof(text)) <= 0)
		return -1;
	for (const char *at = text; (at = strstr(at, group)) != NULL;) {
		bool begins = at > text && at[-1] == '/';

		at += strlen(group);
		found += begins && (*at == '\n' || *at == '/');
	}
	return found;
}

/* ---- removal ---- */

/* The next directory in it, or NULL. */
static const char *next_dir(DIR *list)
{
	const struct dirent *e;

	while ((e = readdir(list)) != NULL)
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			return e->d_name;
	return NULL;
}

static DIR *open_list(int at, const char *name)
{
	int fd = open_dir(at, name);
	DIR *list = fd != -1 ? fdopendir(fd) : NULL;

	if (list == NULL)
		fd_close(&fd);
	return list;
}

/* What a removal may still do in this turn. */
struct removal {
	const char *group; /* whose processes are killed; NULL: none */
	unsigned kills;
	unsigned dirs;
};

/* The number may be another process's since the list was read. */
static void kill_one(pid_t pid, const char *group)
{
	scoped_fd fd = pid != getpid() ? pidfd_of(pid) : -1;

	if (fd != -1 && cgroup_count(pid, group) > 0)
		(void)pidfd_signal(fd, SIGKILL);
}

/* Some may wait in the kernel and stay: begin anywhere, so that all have their turn.
 * A read gets only the beginning of a long list. */
static void kill_some(int dir, struct removal *r)
{
	char inside[16384];
	const char *first;
	const char *at;
	char *end;

	if (!get(dir, "cgroup.procs", inside, sizeof(inside)))
		return;
	at = strchr(inside + (size_t)clock_now() % strlen(inside), '\n');
	first = at = at != NULL && at[1] != '\0' ? at + 1 : inside;
	do {
		kill_one((pid_t)strtol(at, &end, 10), r->group);
		at = *end != '\0' && end[1] != '\0' ? end + 1 : inside;
	} while (--r->kills > 0 && at != first);
}

/* Remove what is below the directory as far as it can be, the deepest first. */
static void remove_below(
	int at, const char *name, unsigned deep, struct removal *r)
{
	DIR *list = deep > 0 ? open_list(at, name) : NULL;
	const char *sub;

	if (list != NULL && r->group != NULL && r->kills > 0)
		kill_some(dirfd(list), r);
	while (list != NULL && r->dirs > 0 && (sub = next_dir(list)) != NULL) {
		r->dirs--;
		if (unlinkat(dirfd(list), sub, AT_REMOVEDIR) == -1) {
			remove_below(dirfd(list), sub, deep - 1, r);
			(void)unlinkat(dirfd(list), sub, AT_REMOVEDIR);
		}
	}
	if (list != NULL)
		(void)closedir(list);
}

static bool remove_group(int at, const char *name, struct removal *r)
{
	r->dirs = SUBGROUPS_MOST;
	if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return true;
	remove_below(at, name, SUBGROUPS_DEEP, r);
	return unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

/* Where the kernel does not kill all of a group, we kill some in each sweep.  This
 * bit of its directory, which has no effect there, says so also after an upgrade. */
#define IS_ENDED S_ISVTX

static bool is_ended(int at, const char *name)
{
	struct stat st;

	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		(st.st_mode & IS_ENDED) != 0;
}

bool cgroup_end(const struct cgroup_tree *t, const char *group)
{
	struct removal r = {.kills = KILLS_MOST};
	scoped_fd dir = -1;

	if (unlinkat(t->base, group, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return true;
	dir = open_dir(t->base, group);
	if (dir != -1 &&
		(t->version == 1 || put(dir, "cgroup.kill", "1") == -1)) {
		(void)put(dir, "pids.max", "0"); /* no more forks, if it can */
		(void)fchmod(dir, 0755 | IS_ENDED);
		r.group = group;
	}
	return remove_group(t->base, group, &r);
}

/* Each sweep goes on where the kills of the last one were used up: a group whose
 * processes wait in the kernel must not take all of them for ever. */
struct sweep {
	struct removal removal;
	unsigned from;  /* the first ended group in which to kill */
	unsigned ended; /* groups so far */
	unsigned next;  /* `from`, for the next sweep */
};

static bool sweep_group(
	struct sweep *s, int at, const char *name, const char *worker)
{
	struct removal *r = &s->removal;
	char group[2 * NAME_MAX + 2];
	bool had = r->kills > 0;
	bool removed;

	(void)snprintf(group, sizeof(group), "%s/%s", name, worker);
	r->group = is_ended(at, worker) && s->ended++ >= s->from ? group : NULL;
	removed = remove_group(at, worker, r);
	r->group = NULL;
	if (!removed && had && r->kills == 0)
		s->next = s->ended;
	return removed;
}

unsigned cgroup_sweep(struct cgroup_tree *t, const char *prefix,
	cgroup_use *is_used, void *context)
{
	struct sweep s = {
		.removal = {.kills = KILLS_MOST}, .from = t->ended_from};
	DIR *all = open_list(t->base, ".");
	unsigned left = 0;
	const char *name;

	while (all != NULL && (name = next_dir(all)) != NULL) {
		DIR *list = strncmp(name, prefix, strlen(prefix)) == 0
			? open_list(t->base, name)
			: NULL;
		const char *worker;

		while (list != NULL && (worker = next_dir(list)) != NULL)
			left += !is_used(context, name, worker) &&
				!sweep_group(&s, dirfd(list), name, worker);
		if (list == NULL)
			continue;
		(void)closedir(list);
		(void)unlinkat(t->base, name, AT_REMOVEDIR);
	}
	if (all != NULL)
		(void)closedir(all);
	t->kills_on = s.from > 0 || s.removal.kills == 0;
	t->ended_from = s.next < s.ended ? s.next : 0;
	return left;
}
