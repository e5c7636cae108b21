/* SPDX-License-Identifier: MIT */
#include "os/watchtree.h"

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
/* How often directories are polled that inotify does not cover, but for 1/POLL_PART
 * of the time at most. */
#define POLL_LEAST (1 * SECOND)
#define POLL_PART 20
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
	bool scanned;
	bool polled; /* inotify does not report all changes: its events are ignored */
	bool above;  /* a directory on the way to the files, which may be moved or replaced */
	char *path;
};

struct tree {
	const struct watchtree_plan *plan;
	int fd;
	char **patterns; /* absolute */
	size_t count;
	size_t *found; /* for each pattern: how many files match */
	struct directory *list;
	size_t used;
	size_t room;
	bool full; /* the warning that there are too many directories was given */
	nsec_t since;
	nsec_t poll_at; /* the next look at polled directories; 0: there are none */
	uint64_t print; /* hash of their files at the last look */
	nsec_t newest;  /* time of the newest of these files */
	char newest_path[PATH_MAX];
	char first[PATH_MAX]; /* the first change that was not reported yet; "": none */
	nsec_t began;
};

static void warn_of(const struct tree *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void warn_of(const struct tree *t, const char *format, ...)
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

static int add_pattern(struct tree *t, const char *text)
{
	char *absolute = clean_path(t->plan->base, text);

	t->patterns[t->count] = absolute;
	t->count += absolute != NULL;
	return absolute != NULL ? 0 : -1;
}

/* ---- directories ---- */

static size_t find_watch(const struct tree *t, int watch)
{
	size_t i = 0;

	while (i < t->used && t->list[i].watch != watch)
		i++;
	return i;
}

static void forget_directory(struct tree *t, size_t i)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): used > 0 */
	free(t->list[i].path);
	t->list[i] = t->list[--t->used];
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

/* Watch a directory.  The pointer is valid until the next call; NULL: it cannot be watched. */
static struct directory *add_directory(struct tree *t, const char *path, uint32_t events)
{
	struct directory d = {.path = NULL};
	struct directory *list;
	size_t at;

	if (t->used == t->room) {
		list = reallocarray(t->list, 2 * t->room + 64, sizeof(*list));
		if (list == NULL)
			return NULL;
		t->list = list;
		t->room = 2 * t->room + 64;
	}
	errno = ENOSPC;
	if (t->used < DIRECTORIES_MAX)
		d.watch = inotify_add_watch(t->fd, path, events | IN_MASK_ADD | IN_ONLYDIR);
	if (t->used >= DIRECTORIES_MAX || (d.watch == -1 && errno == ENOSPC)) {
		tell_full(t, path);
		return NULL;
	}
	if (d.watch == -1)
		return NULL; /* the directory is gone, or closed to us */
	at = find_watch(t, d.watch);
	if (at < t->used)
		return &t->list[at];
	d.path = strdup(path);
	if (d.path == NULL)
		return NULL;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): used > 0 */
	t->list[t->used] = d;
	return &t->list[t->used++];
}

static void note_change(struct tree *t, const char *path)
{
	if (*t->first != '\0')
		return;
	text_copy(t->first, sizeof(t->first), below_base(t, path));
	t->began = clock_now();
}

static bool is_new(const struct tree *t, const struct stat *st)
{
	return t->since != 0 &&
		st->st_ctim.tv_sec * SECOND + st->st_ctim.tv_nsec >= t->since - TICK;
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
		if (t->poll_at == 0)
			warn_of(t,
				"'%s' is on a file system (%s) that does not "
				"report all changes: looking each second",
				below_base(t, path), remote_kinds[i].name);
		t->poll_at = clock_now() + POLL_LEAST;
		return true;
	}
	return false;
}

/* Add a file to the hash, which does not depend on the order.  Inode numbers are left out:
 * many of these file systems give new ones when the kernel's cache has become smaller. */
static void add_print(struct tree *t, const char *path, const struct stat *st)
{
	const uint64_t facts[] = {(uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
		(uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec,
		(uint64_t)st->st_ctim.tv_nsec};
	nsec_t written = st->st_mtim.tv_sec * SECOND + st->st_mtim.tv_nsec;
	uint64_t print = text_hash(TEXT_HASH, path, strlen(path));

	for (size_t i = 0; i < COUNT_OF(facts); i++)
		print = (print ^ facts[i]) * 0x9e3779b97f4a7c15;
	t->print += print ^ print >> 29;
	if (written <= t->newest)
		return;
	t->newest = written;
	text_copy(t->newest_path, sizeof(t->newest_path), path);
}

/* Watch the directory and those below it that may have files; `fresh`: it has just
 * appeared, so all its files count as changed. */
static void scan_directory(struct tree *t, const char *path, bool fresh)
{
	struct directory *d = depth_of(path) < DEPTH_MAX ? add_directory(t, path, EVENTS) : NULL;
	char inner[PATH_MAX];
	const struct dirent *entry;
	bool polled;
	DIR *dir;

	if (d == NULL || d->scanned)
		return;
	d->scanned = true;
	d->polled = polled = is_polled(t, path);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		struct stat st;
		unsigned got;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			snprintf(inner, sizeof(inner), "%s/%s", path[1] != '\0' ? path : "",
				entry->d_name) >= (int)sizeof(inner))
			continue;
		got = match_path(t, inner, false);
		if (got == 0 || lstat(inner, &st) == -1)
			continue;
		if (S_ISDIR(st.st_mode)) {
			if ((got & GLOB_BELOW) != 0)
				scan_directory(t, inner, fresh);
		} else if ((match_path(t, inner, true) & GLOB_FILE) != 0) {
			if (polled)
				add_print(t, inner, &st);
			if (is_new(t, &st) || (fresh && !polled))
				note_change(t, inner);
		}
	}
	if (dir != NULL)
		(void)closedir(dir);
}

/* Watch the parents of a directory, and itself, which may be moved away or replaced. */
static void watch_way(struct tree *t, char *path)
{
	struct directory *d;
	char *at = path;
	char kept;

	do {
		at += 1 + strcspn(at + 1, "/");
		kept = *at;
		*at = '\0';
		d = add_directory(t, path, EVENTS_ABOVE);
		if (d != NULL)
			d->above = true;
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
				(void)add_directory(t, *at != '\0' ? at : "/", EVENTS);
				at[i] = '/';
			}
	scan_directory(t, at, false);
}

static void scan_all(struct tree *t)
{
	for (size_t i = 0; i < t->count; i++)
		scan_pattern(t, t->patterns[i]);
}

/* Have files changed in directories that are polled? */
static void poll_files(struct tree *t)
{
	nsec_t begun = clock_now();
	uint64_t print = t->print;
	nsec_t newest = t->newest;

	t->print = 0;
	t->newest = 0;
	for (size_t i = 0; i < t->used; i++)
		t->list[i].scanned = false;
	scan_all(t);
	/* a file system out of reach shows no files for a while */
	if (t->print == 0)
		t->print = print;
	else if (t->print != print)
		note_change(t, t->newest > newest ? t->newest_path : "files");
	t->poll_at = begun + POLL_LEAST + POLL_PART * (clock_now() - begun);
}

/* Stop watching all directories, and start again with those that exist now. */
static void begin_anew(struct tree *t, const char *what)
{
	note_change(t, what);
	t->print = 0;
	while (t->used > 0) {
		(void)inotify_rm_watch(t->fd, t->list[t->used - 1].watch);
		forget_directory(t, t->used - 1);
	}
	scan_all(t);
}

/* Check the parents by name: a removed directory sends an event only when the last process has
 * left it. */
static void look_at_way(struct tree *t)
{
	for (size_t i = 0; i < t->used; i++) {
		const struct directory *d = &t->list[i];

		if (!d->above ||
			inotify_add_watch(t->fd, d->path,
				EVENTS_ABOVE | IN_MASK_ADD | IN_ONLYDIR) == d->watch)
			continue;
		begin_anew(t, t->first);
		return;
	}
}

/* ---- events ---- */

/* A new file is empty, and will be written; a link is complete. */
static bool is_empty_yet(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1;
}

static void handle_event(struct tree *t, const struct inotify_event *e)
{
	char path[PATH_MAX];
	size_t at = find_watch(t, e->wd);
	unsigned got;

	if ((e->mask & IN_Q_OVERFLOW) != 0) {
		begin_anew(t, "files");
		return;
	}
	if (at == t->used)
		return;
	if ((e->mask & EVENTS_ABOVE) != 0) {
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): used > 0 */
		text_copy(path, sizeof(path), t->list[at].path);
		begin_anew(t, path);
		return;
	}
	if ((e->mask & IN_IGNORED) != 0) {
		forget_directory(t, at);
		return;
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): used > 0 */
	if (e->len == 0 || t->list[at].polled ||
		snprintf(path, sizeof(path), "%s/%s",
			/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): used > 0 */
			t->list[at].path[1] != '\0' ? t->list[at].path : "",
			e->name) >= (int)sizeof(path))
		return;
	got = match_path(t, path, false);
	if ((e->mask & IN_ISDIR) == 0) {
		if ((got & GLOB_FILE) != 0 && ((e->mask & IN_CREATE) == 0 || !is_empty_yet(path)))
			note_change(t, path);
	} else if ((got & GLOB_BELOW) != 0 && (e->mask & IN_MOVED_FROM) != 0) {
		begin_anew(t, path);
	} else if ((got & GLOB_BELOW) != 0 && (e->mask & (IN_CREATE | IN_MOVED_TO)) != 0) {
		scan_directory(t, path, true);
	}
}

static void take_all(struct tree *t)
{
	char events[16384] __attribute__((aligned(8)));
	ssize_t got = read(t->fd, events, sizeof(events));
	ssize_t at = 0;

	while (at < got) {
		const struct inotify_event *e = (const void *)(events + at);

		handle_event(t, e);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
}

/* Time until the next poll in ms, for poll(2). */
static int until_poll(const struct tree *t)
{
	nsec_t left = t->poll_at - clock_now();

	if (t->poll_at == 0)
		return -1;
	return left > 0 ? (int)(left / MSEC) + 1 : 0;
}

static void follow_events(struct tree *t)
{
	struct pollfd wait = {.fd = t->fd, .events = POLLIN};

	for (;;) {
		bool none = *t->first == '\0';
		int got = poll(&wait, 1, none ? until_poll(t) : (int)(QUIET / MSEC));

		if (got == 1)
			take_all(t);
		if (none && until_poll(t) == 0)
			poll_files(t);
		if (!none && (got == 0 || clock_now() - t->began >= LONGEST)) {
			look_at_way(t);
			t->plan->changed(t->plan->data, t->first);
			*t->first = '\0';
		}
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
	struct tree t = {.plan = plan, .since = plan->since};
	size_t count = 0;
	bool fine = true;

	while (plan->patterns[count] != NULL)
		count++;
	t.patterns = calloc(count + 1, sizeof(*t.patterns));
	t.found = calloc(count + 1, sizeof(*t.found));
	fine = t.patterns != NULL && t.found != NULL;
	for (size_t i = 0; fine && i < count; i++)
		fine = add_pattern(&t, plan->patterns[i]) == 0;
	t.fd = fine ? inotify_init1(IN_CLOEXEC) : -1;
	if (t.fd == -1) {
		warn_of(&t, "nothing is watched: %s%s", strerror(errno),
			errno == EMFILE ? "; raise the limit by 'sysctl "
					  "fs.inotify.max_user_instances=N'"
					: "");
		return -1;
	}
	scan_all(&t);
	tell_missing(&t);
	t.since = 0;
	follow_events(&t);
	return 0;
}
