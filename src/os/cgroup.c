/* SPDX-License-Identifier: MIT */
#include "os/cgroup.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/process.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* No path of a cgroup comes near this length; PATH_MAX for each would be a good part
 * of the supervisor's memory. */
enum { PATH_SIZE = CGROUP_PATH };

/*
 * Our directory: from `mount` (the hierarchy's root, as far as we can see it) down to
 * `path`, which begins with `mount`.
 */
struct home {
	bool found;
	char path[PATH_SIZE];
	size_t mount_len;
};

static FILE *open_table(const char *root, const char *path)
{
	char whole[PATH_SIZE];

	return snprintf(whole, sizeof(whole), "%s%s", root, path) < (int)sizeof(whole)
		? fopen(whole, "re")
		: NULL;
}

/* Is `word` one of a list with commas? */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (size_t n; *list != '\0'; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n == len && memcmp(list, word, n) == 0)
			return true;
	}
	return false;
}

/* Where we are in the hierarchy of a controller (NULL: v2), as
 * /proc/self/cgroup says: "4:cpu,cpuacct:/user", "0::/user". */
static bool own_path(const char *root, const char *controller, char *path, size_t size)
{
	FILE *table = open_table(root, "/proc/self/cgroup");
	char line[4096];
	bool found = false;

	while (!found && table != NULL && fgets(line, sizeof(line), table)) {
		char *list = strchr(line, ':');
		char *at = list ? strchr(list + 1, ':') : NULL;

		if (!at)
			continue;
		*at++ = '\0';
		at[strcspn(at, "\n")] = '\0';
		list++;
		found = controller ? has_word(list, controller) : list[0] == '\0';
		if (found && text_copy(path, size, at) >= size)
			break;
	}
	if (table != NULL)
		(void)fclose(table);
	return found;
}

/* mountinfo writes blanks, tabs, newlines and backslashes as \ooo. */
static void unescape_path(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* One line of /proc/PID/mountinfo, cut up (proc(5)). */
struct mount {
	char *root;
	char *point;
	char *type;
	char *options; /* of the superblock */
};

static bool parse_mount(char *line, struct mount *m)
{
	char *rest = strstr(line, " - ");
	char *save = NULL;

	if (!rest)
		return false;
	*rest = '\0';
	for (int i = 0; i < 3; i++) /* id, parent, major:minor */
		if (!strtok_r(i == 0 ? line : NULL, " ", &save))
			return false;
	m->root = strtok_r(NULL, " ", &save);
	m->point = strtok_r(NULL, " ", &save);
	m->type = strtok_r(rest + 3, " ", &save);
	(void)strtok_r(NULL, " ", &save); /* the source: any word */
	m->options = strtok_r(NULL, " \n", &save);
	if (!m->root || !m->point || !m->type || !m->options)
		return false;
	unescape_path(m->root);
	unescape_path(m->point);
	return true;
}

/*
 * A mount shows the hierarchy from the mount's root on.  If our group is below
 * that root, the rest of its path leads to it; if not (another namespace's path),
 * the mount point is the nearest directory that we can see.
 */
static bool make_home(struct home *home, const char *root, const struct mount *m, const char *own)
{
	size_t len = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);
	const char *below = "";
	int n;

	if (strncmp(own, m->root, len) == 0 && (own[len] == '/' || own[len] == '\0'))
		below = own + len;
	if (strcmp(below, "/") == 0 || strstr(below, "/.."))
		below = "";
	n = snprintf(home->path, sizeof(home->path), "%s%s", root, m->point);
	if (n < 0 || (size_t)n >= sizeof(home->path))
		return false;
	home->mount_len = (size_t)n;
	return text_copy(home->path + n, sizeof(home->path) - (size_t)n, below) <
		sizeof(home->path) - (size_t)n;
}

static bool find_mount(struct home *home, const char *root, const char *controller, const char *own)
{
	FILE *table = open_table(root, "/proc/self/mountinfo");
	char line[4096];
	struct mount m;
	bool found = false;

	while (!found && table != NULL && fgets(line, sizeof(line), table))
		found = parse_mount(line, &m) &&
			(controller ? strcmp(m.type, "cgroup") == 0 &&
						has_word(m.options, controller)
				    : strcmp(m.type, "cgroup2") == 0) &&
			make_home(home, root, &m, own);
	if (table != NULL)
		(void)fclose(table);
	return found;
}

/* `controller`: its hierarchy of v1; NULL: v2. */
static struct home find_home(const char *root, const char *controller)
{
	struct home home = {.found = false};
	char own[PATH_SIZE];

	home.found = own_path(root, controller, own, sizeof(own)) &&
		find_mount(&home, root, controller, own);
	return home;
}

bool cgroup_home(const char *root, char *path, size_t size)
{
	struct home home = find_home(root, NULL);

	return home.found && text_copy(path, size, home.path) < size;
}

/* Go to the parent group; false: `home` is at the mount point already. */
static bool go_up(struct home *home)
{
	char *slash;

	if (strlen(home->path) <= home->mount_len)
		return false;
	slash = strrchr(home->path, '/');
	*slash = '\0';
	return true;
}

static bool read_file(const struct home *home, const char *name, char *text, size_t size)
{
	char path[PATH_SIZE + 64];

	snprintf(path, sizeof(path), "%s/%s", home->path, name);
	return process_read_path(path, text, size) > 0;
}

/* The files of a CPU quota: v2 has both numbers in one, or "max 100000". */
static const char quota_file[] = "cpu.max";
static const char quota_v1[] = "cpu.cfs_quota_us";
static const char period_v1[] = "cpu.cfs_period_us";

/* CPUs, rounded up; 0: no quota at this level. */
static unsigned long long quota_here(const struct home *home, const char *name)
{
	char text[64];
	long long quota = -1;
	long long period = 0;

	if (!read_file(home, name, text, sizeof(text)) ||
		sscanf(text, "%lld %lld", &quota, &period) < 1)
		return 0;
	if (name == quota_v1 && read_file(home, period_v1, text, sizeof(text)))
		(void)sscanf(text, "%lld", &period);
	if (quota <= 0 || period <= 0)
		return 0;
	return (unsigned long long)((quota - 1) / period + 1);
}

/* A limit in bytes or processes; 0: "max". */
static unsigned long long limit_here(const struct home *home, const char *name)
{
	char text[64];
	unsigned long long limit;

	return read_file(home, name, text, sizeof(text)) && sscanf(text, "%llu", &limit) == 1
		? limit
		: 0;
}

/* The smallest limit of this level and all above it; 0: no limit. */
static unsigned long long smallest_limit(struct home home, const char *name,
	unsigned long long (*here)(const struct home *home, const char *name))
{
	unsigned long long limit = 0;

	for (bool more = home.found; more; more = go_up(&home)) {
		unsigned long long its = here(&home, name);

		if (its != 0 && (limit == 0 || its < limit))
			limit = its;
	}
	return limit;
}

/* Where the CPU quota is: in v1 where the controller is there (it is in one hierarchy
 * only), as in containers on an old host; else in v2. */
static const char *find_quota(const char *root, struct home *home)
{
	*home = find_home(root, "cpu");
	if (home->found)
		return quota_v1;
	*home = find_home(root, NULL);
	return quota_file;
}

unsigned cgroup_cpu_quota(const char *root)
{
	struct home home;
	const char *name = find_quota(root, &home);
	unsigned long long quota = smallest_limit(home, name, quota_here);

	return quota > UINT_MAX ? 0 : (unsigned)quota;
}

/* The kernel reports a write through any mount of the file. */
static unsigned watch_levels(struct home home, const char *name, int inotify)
{
	char path[PATH_SIZE + 64];
	unsigned count = 0;

	if (home.found)
		do {
			snprintf(path, sizeof(path), "%s/%s", home.path, name);
			count += inotify_add_watch(inotify, path, IN_MODIFY) != -1;
		} while (go_up(&home)); /* the topmost group of v2 has no such file */
	return count;
}

unsigned cgroup_cpu_watch(const char *root, int inotify)
{
	struct home home;
	const char *name = find_quota(root, &home);

	return watch_levels(find_home(root, NULL), "cpuset.cpus", inotify) +
		watch_levels(home, name, inotify);
}

unsigned long long cgroup_memory_limit(const char *root)
{
	return smallest_limit(find_home(root, NULL), "memory.max", limit_here);
}

unsigned long long cgroup_pids_limit(const char *root)
{
	return smallest_limit(find_home(root, NULL), "pids.max", limit_here);
}

int cgroup_oom_open(const char *root)
{
	struct home home = find_home(root, NULL);
	char path[PATH_SIZE + 64];
	int fd = -1;

	if (home.found) {
		snprintf(path, sizeof(path), "%s/memory.events", home.path);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd != -1 && cgroup_oom_read(fd) != -1)
		return fd;
	fd_close(&fd);
	snprintf(path, sizeof(path), "%s/proc/vmstat", root);
	return open(path, O_RDONLY | O_CLOEXEC);
}

long cgroup_oom_read(int fd)
{
	char text[8192] uninitialized; /* vmstat has some 5 KiB, of which one read(2) returns 4 */
	size_t len = 1;
	ssize_t n;
	const char *line;
	long kills;

	*text = '\n';
	while ((n = pread(fd, text + len, sizeof(text) - 1 - len, (off_t)len - 1)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	line = strstr(text, "\noom_kill ");
	return line != NULL && sscanf(line, " oom_kill %ld", &kills) == 1 ? kills : -1;
}
