/* SPDX-License-Identifier: MIT */
#include "os/watchtree.h"

#include "base/glob.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* More directories than sources are in.  Each costs the kernel about 1 KiB. */
#define DIRECTORIES_MAX 10000
/* An editor has finished saving when nothing has changed for QUIET; a build may go
 * on and on, so LONGEST bounds the wait. */
#define QUIET (20 * MSEC)
#define LONGEST (1 * SECOND)
/* How often directories are polled that inotify does not cover, but for 1/POLL_PART of the time at
 * most.  A look that an event asks for waits as long after the last one, but for REST at most. */
#define POLL_LEAST (1 * SECOND)
#define POLL_PART 20
#define REST (200 * MSEC)
/* The kernel stamps files by a clock that goes by its tick. */
#define TICK (10 * MSEC)

#define EVENTS \
	(IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_EXCL_UNLINK)
/* The events of directories above the files, where other changes need not wake us. */
#define EVENTS_ABOVE (IN_MOVE_SELF | IN_DELETE_SELF)

/* Deeper directories are left out: a tree may be made deep to annoy. */
#define DEPTH_MAX 64

struct directory {
	int watch;
	bool polled;    /* inotify does not report all changes */
	bool due;       /* its files may have changed */
	uint64_t print; /* hash of its files at the last look */
	char *path;
};

struct tree {
	const struct watchtree_plan *plan;
	int fd;
	char **patterns; /* absolute */
	size_t count;
	size_t *found;          /* for each pattern: did a file match? */
	struct directory *list; /* room for DIRECTORIES_MAX */
	size_t used;
	bool full;       /* the warning that there are too many directories was given */
	bool polls;      /* a directory is polled */
	bool due;        /* directories may have come and gone */
	nsec_t took;     /* the last look */
	uint64_t print;  /* hash of all files at that look */
	uint64_t remote; /* the part of it of files in polled directories */
	nsec_t newest;   /* time of the last change of a file, and that file */
	char newest_path[PATH_MAX];
};

static void __attribute__((format(printf, 2, 3)))
warn_of(const struct tree *t, const char *format, ...)
{
	char text[480];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	t->plan->warn(t->plan->data, text);
}

/* ---- paths ---- */

static const char *below_base(const struct tree *t, const char *path)
{
	size_t len = strlen(t->plan->base);

	return strncmp(path, t->plan->base, len) == 0 && path[len] == '/' ? path + len + 1 : path;
}

/* The directory that a pattern is relative to has no wildcards, whatever its name. */
static unsigned match_pattern(const struct tree *t, const char *pattern, const char *path)
{
	const char *base = t->plan->base;
	size_t len = strlen(base);

	if (below_base(t, pattern) == pattern)
		return glob_match(pattern, path);
	if (below_base(t, path) != path)
		return glob_match(pattern + len, path + len);
	len = strlen(path);
	return strncmp(base, path, len) == 0 && (base[len] == '/' || base[len] == '\0') ? GLOB_BELOW
											: 0;
}

/* Match a path with all patterns: does one match, and may one match below? */
static unsigned match_path(struct tree *t, const char *path, bool is_file)
{
	unsigned got = 0;

	for (size_t i = 0; i < t->count; i++) {
		unsigned one = match_pattern(t, t->patterns[i], path);

		t->found[i] += is_file && (one & GLOB_FILE) != 0;
		got |= one;
	}
	return got;
}

/* Normalise "a//./b/"; ".." stays, as the kernel follows links before it. */
static char *clean_path(const char *base, const char *path)
{
	size_t size = strlen(base) + strlen(path) + 2;
	char *to = calloc(1, size);
	const char *parts[] = {*path == '/' ? "" : base, path};
	size_t used = 0;

	for (size_t i = 0; to != NULL && i < COUNT_OF(parts); i++)
		for (const char *at = parts[i]; *at != '\0';) {
			size_t len = strcspn(at, "/");

			if (len > 0 && (len != 1 || *at != '.'))
				used += (size_t)snprintf(
					to + used, size - used, "/%.*s", (int)len, at);
			at += len + (at[len] == '/');
		}
	return to;
}

/* ---- directories ---- */

static struct directory *find_directory(const struct tree *t, int watch)
{
	return array_find(d, t->list, t->used, d->watch == watch);
}

static void tell_full(struct tree *t, const char *path)
{
	if (!t->full)
		warn_of(t,
			"more directories match than can be watched (%d, or what sysctl "
			"fs.inotify.max_user_watches says): '%s' and those after it are not; name "
			"fewer, as in 'src/**/*.js'",
			DIRECTORIES_MAX, below_base(t, path));
	t->full = true;
}

/* Returns the number of the watch; -1: the directory is gone, closed to us, or one too many. */
static int add_watch(struct tree *t, const char *path, uint32_t events)
{
	int watch = inotify_add_watch(t->fd, path, events | IN_MASK_ADD | IN_ONLYDIR);

	if (watch == -1 && errno == ENOSPC)
		tell_full(t, path);
	return watch;
}

static unsigned depth_of(const char *path)
{
	unsigned depth = 0;

	for (; *path != '\0'; path++)
		depth += *path == '/';
	return depth;
}

/* File systems whose changes by others inotify does not report: those of other
 * machines, and of the host of a virtual one. */
static const struct {
	const char *name;
	unsigned magic;
} remote_kinds[] = {
	{"9p", V9FS_MAGIC},
	{"NFS", NFS_SUPER_MAGIC},
	{"FUSE", FUSE_SUPER_MAGIC},
	{"SMB", SMB_SUPER_MAGIC},
	{"SMB", CIFS_SUPER_MAGIC},
	{"SMB", SMB2_SUPER_MAGIC},
	{"Ceph", CEPH_SUPER_MAGIC},
	{"AFS", AFS_FS_MAGIC},
	{"vboxsf", 0x786f4256},
	{"vmhgfs", 0xbacbacbc},
};

/* Must the directory be polled?  Warns of the first one. */
static bool is_polled(struct tree *t, const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs) == -1)
		return false;
	for (size_t i = 0; i < COUNT_OF(remote_kinds); i++) {
		if ((unsigned)fs.f_type != remote_kinds[i].magic)
			continue;
		if (!t->polls)
			warn_of(t,
				"'%s' is on a file system (%s) that does not "
				"report all changes: looking each second",
				below_base(t, path), remote_kinds[i].name);
		t->polls = true;
		return true;
	}
	return false;
}

/* Watch a directory that this look has not come to yet, as the next of the list; or NULL. */
static struct directory *enter_directory(struct tree *t, const char *path)
{
	struct directory *d = &t->list[t->used];
	int watch = -1;

	if (t->used == DIRECTORIES_MAX)
		tell_full(t, path);
	else if (depth_of(path) < DEPTH_MAX)
		watch = add_watch(t, path, EVENTS);
	if (watch == -1 || find_directory(t, watch) != NULL)
		return NULL;
	*d = (struct directory){.watch = watch, .path = strdup(path)};
	if (d->path == NULL)
		return NULL;
	d->polled = is_polled(t, path);
	t->used++;
	return d;
}

/* The hash of a file.  Inode numbers are left out: many remote file systems give new ones when the
 * kernel's cache has become smaller. */
static uint64_t print_file(struct tree *t, const char *path, const struct stat *st)
{
	const uint64_t facts[] = {(uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
		(uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec,
		(uint64_t)st->st_ctim.tv_nsec};
	nsec_t changed = st->st_ctim.tv_sec * SECOND + st->st_ctim.tv_nsec;
	uint64_t print = text_hash(TEXT_HASH, path, strlen(path));

	for (size_t i = 0; i < COUNT_OF(facts); i++)
		print = (print ^ facts[i]) * 0x9e3779b97f4a7c15;
	if (changed > t->newest) {
		t->newest = changed;
		text_copy(t->newest_path, sizeof(t->newest_path), path);
	}
	return print ^ print >> 29;
}

static void scan_directory(struct tree *t, const char *path);

/* Look at the files of a directory, in any order, and watch the directories below it, if they may
 * have come and gone.  It is due as long as it changes. */
static void look_at_files(struct tree *t, struct directory *d)
{
	char inner[PATH_MAX];
	const struct dirent *entry;
	uint64_t print = 0;
	DIR *dir = opendir(d->path);

	t->due |= dir == NULL;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		struct stat st;
		unsigned got;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			snprintf(inner, sizeof(inner), "%s/%s", d->path[1] != '\0' ? d->path : "",
				entry->d_name) >= (int)sizeof(inner))
			continue;
		got = match_path(t, inner, false);
		if (got == 0 || lstat(inner, &st) == -1)
			continue;
		if (!S_ISDIR(st.st_mode) && (match_path(t, inner, true) & GLOB_FILE) != 0)
			print += print_file(t, inner, &st);
		else if (t->due && S_ISDIR(st.st_mode) && (got & GLOB_BELOW) != 0)
			scan_directory(t, inner);
	}
	if (dir != NULL)
		(void)closedir(dir);
	t->print += print - d->print;
	d->due = print != d->print;
	d->print = print;
}

static void scan_directory(struct tree *t, const char *path)
{
	struct directory *d = enter_directory(t, path);

	if (d != NULL)
		look_at_files(t, d);
}

/* Watch the parents of a directory, and itself, which may be moved away or replaced. */
static void watch_way(struct tree *t, char *path)
{
	char *at = path;
	char kept;

	do {
		at += 1 + strcspn(at + 1, "/");
		kept = *at;
		*at = '\0';
		(void)add_watch(t, path, EVENTS_ABOVE);
		*at = kept;
	} while (kept != '\0');
}

/* Watch all that a pattern may match: from the directory before its first wildcard
 * on, or from the existing part of that path; and the project's directories on the
 * way to it, which may come and go. */
static void scan_pattern(struct tree *t, const char *pattern)
{
	size_t base = strlen(t->plan->base);
	bool relative = below_base(t, pattern) != pattern;
	size_t wild = relative ? base : 0;
	scoped_str at = strdup(pattern);
	struct stat st;
	char *slash;

	if (at == NULL)
		return;
	at[wild + strcspn(at + wild, "*?[\\")] = '\0';
	do {
		slash = strrchr(at, '/');
		*(slash == at ? slash + 1 : slash) = '\0';
	} while (slash != at && (stat(at, &st) == -1 || !S_ISDIR(st.st_mode)));
	watch_way(t, at);
	if (relative)
		for (size_t i = base; i < strlen(at); i++)
			if (at[i] == '/') {
				at[i] = '\0';
				(void)add_watch(t, *at != '\0' ? at : "/", EVENTS);
				at[i] = '/';
			}
	scan_directory(t, at);
}

/* Watch all that there is now, by its name. */
static void look_at_all(struct tree *t)
{
	uint64_t print = t->print;
	uint64_t remote = 0;

	while (t->used > 0)
		free(t->list[--t->used].path);
	t->print = 0;
	t->due = true;
	for (size_t i = 0; i < t->count; i++)
		scan_pattern(t, t->patterns[i]);
	for (size_t i = 0; i < t->used; i++) {
		t->list[i].due = false;
		remote += t->list[i].polled ? t->list[i].print : 0;
	}
	/* a file system out of reach shows no files for a while */
	if (remote == 0)
		t->print += t->remote;
	else
		t->remote = remote;
	t->due = t->print != print;
}

static void look(struct tree *t)
{
	nsec_t begun = clock_now();

	for (size_t i = 0; i < t->used && !t->due; i++)
		if (t->list[i].due)
			look_at_files(t, &t->list[i]);
	if (t->due)
		look_at_all(t);
	t->took = clock_now() - begun;
}

/* Is it a file that somebody has made and still has open?  Its last close(2) is an event, too. */
static bool is_being_written(const struct directory *d, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	return snprintf(path, sizeof(path), "%s/%s", d->path, name) < (int)sizeof(path) &&
		lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1;
}

/* Note where something may have changed; what it was does not matter. */
static void take_events(struct tree *t)
{
	char events[16384] __attribute__((aligned(8)));
	ssize_t got = read(t->fd, events, sizeof(events));

	for (ssize_t at = 0; at < got;) {
		const struct inotify_event *e = (const void *)(events + at);
		struct directory *d = find_directory(t, e->wd);

		at += (ssize_t)(sizeof(*e) + e->len);
		t->due |= (e->mask & (EVENTS_ABOVE | IN_ISDIR | IN_Q_OVERFLOW)) != 0;
		if (d != NULL && ((e->mask & IN_CREATE) == 0 || !is_being_written(d, e->name)))
			d->due = true;
	}
}

static void look_until_quiet(struct tree *t)
{
	struct pollfd wait = {.fd = t->fd, .events = POLLIN};
	nsec_t began = clock_now();
	uint64_t print;

	do {
		while (poll(&wait, 1, (int)(QUIET / MSEC)) == 1 && clock_now() - began < LONGEST)
			take_events(t);
		print = t->print;
		look(t);
	} while (t->print != print && clock_now() - began < LONGEST);
}

static void follow_changes(struct tree *t)
{
	struct pollfd wait = {.fd = t->fd, .events = POLLIN};

	for (;;) {
		nsec_t rest = POLL_PART * t->took;
		nsec_t newest = t->newest;
		uint64_t print = t->print;

		(void)poll(NULL, 0, (int)(nsec_min(rest, REST) / MSEC));
		t->due |= poll(&wait, 1, t->polls ? (int)((POLL_LEAST + rest) / MSEC) : -1) == 0;
		look_until_quiet(t);
		if (t->print != print)
			t->plan->changed(t->plan->data,
				t->newest > newest ? below_base(t, t->newest_path) : "files");
	}
}

static void tell_missing(const struct tree *t)
{
	const char *shown;
	struct stat st;

	for (size_t i = 0; i < t->count; i++) {
		if (t->found[i] != 0)
			continue;
		shown = below_base(t, t->patterns[i]);
		if (stat(t->patterns[i], &st) == 0 && S_ISDIR(st.st_mode))
			warn_of(t,
				"'%s' is a directory; write which of its files, such as "
				"'%s/**/*.py'",
				shown, shown);
		else
			warn_of(t, "'%s' matches no file%s%s", shown, t->full ? "" : " yet",
				strchr(shown, '{') != NULL
					? "; braces stand for themselves: write a pattern for each"
					: "");
	}
}

int watchtree_run(const struct watchtree_plan *plan)
{
	struct tree t = {.plan = plan};
	size_t count = 0;
	bool fine = true;

	while (plan->patterns[count] != NULL)
		count++;
	t.patterns = calloc(count + 1, sizeof(*t.patterns));
	t.found = calloc(count + 1, sizeof(*t.found));
	t.list = calloc(DIRECTORIES_MAX, sizeof(*t.list));
	fine = t.patterns != NULL && t.found != NULL && t.list != NULL;
	for (size_t i = 0; fine && i < count; i++) {
		t.patterns[i] = clean_path(plan->base, plan->patterns[i]);
		fine = t.patterns[i] != NULL;
		t.count += fine;
	}
	t.fd = fine ? inotify_init1(IN_CLOEXEC) : -1;
	if (t.fd == -1) {
		warn_of(&t, "nothing is watched: %s%s", strerror(errno),
			errno == EMFILE ? "; raise the limit by 'sysctl "
					  "fs.inotify.max_user_instances=N'"
					: "");
		return -1;
	}
	look_at_all(&t);
	t.due = false; /* all is watched: what has changed since then is among the events */
	tell_missing(&t);
	if (plan->since != 0 && t.newest >= plan->since - TICK)
		plan->changed(plan->data, below_base(&t, t.newest_path));
	follow_changes(&t);
	return 0;
}
