/* SPDX-License-Identifier: MIT */
#include "config/logfile.h"

#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "config/value_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MODE 0640
#define OWN_OUTPUT "to write to nclust's own output, use 'prefix' or 'json'"
/* The number of an old file; a larger number is probably a date. */
#define NUMBER_MOST 1000U
#define SEND_BUFFER (8 * 1024 * 1024) /* as sd_journal_send(3) sets it */

/* ---- files ---- */

/* The directory of a file, and its name in there. */
struct place {
	int dir;
	char path[PATH_MAX];
	const char *name;
};

static int check_directory(const struct place *at, struct error *err)
{
	struct stat st;

	if (fstat(at->dir, &st) == -1)
		return error_set(err, errno, "cannot open");
	if (geteuid() != 0 || !trusted_is_shared(at->dir, &st))
		return 0;
	return error_set(err, 0,
		"its directory is writable by others than its owner, refused for root; try %s",
		trusted_advice(at->dir, &st, false));
}

/* Open that directory; at->path is set. */
static int find_place(struct place *at, struct error *err)
{
	char *slash = strrchr(at->path, '/');
	char way[PATH_MAX] = ".";

	at->name = slash != NULL ? slash + 1 : at->path;
	if (slash != NULL)
		snprintf(way, sizeof(way), "%.*s", (int)(slash - at->path) + 1, at->path);
	if (*at->name == '\0')
		return error_set(err, EISDIR, "cannot open");
	at->dir = trusted_open(way, err);
	if (at->dir == -1)
		return -1;
	if (check_directory(at, err) == 0)
		return 0;
	(void)close(at->dir);
	return -1;
}

static int examine_file(struct logfile *out, const struct place *at, int fd, struct error *err)
{
	struct statx x;
	struct stat st;

	if (fstat(fd, &st) == -1)
		return error_set(err, errno, "cannot open");
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return error_set(err, 0, "it is neither a file nor a FIFO; " OWN_OUTPUT);
	*out = (struct logfile){.fd = fd};
	if (!S_ISREG(st.st_mode))
		return 0;
	out->dev = (uint64_t)st.st_dev;
	out->inode = (uint64_t)st.st_ino;
	out->size = (uint64_t)st.st_size;
	if (statx(at->dir, at->name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &x) == 0 &&
		(x.stx_mask & STATX_BTIME) != 0 && x.stx_btime.tv_sec > 0)
		out->born = (uint64_t)x.stx_btime.tv_sec;
	return 0;
}

static int is_link(struct error *err)
{
	return error_set(
		err, 0, "it is a symbolic link, which is not followed; name the file itself");
}

static int open_in(struct logfile *out, const struct place *at, struct error *err)
{
	int flags = O_APPEND | O_CREAT | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;
	struct stat st;
	/* a FIFO whose reader is not there yet, or comes and goes */
	bool is_fifo =
		fstatat(at->dir, at->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISFIFO(st.st_mode);
	scoped_fd fd = openat(at->dir, at->name, flags | (is_fifo ? O_RDWR : O_WRONLY), MODE);

	if (fd == -1 && errno == ELOOP) { /* such as /dev/stdout */
		(void)is_link(err);
		return error_hint(err, OWN_OUTPUT);
	}
	if (fd == -1)
		return error_set(err, errno, "cannot open");
	if (examine_file(out, at, fd, err) == -1)
		return -1;
	(void)fd_release(&fd);
	return 0;
}

/* ---- rotation ---- */

/* A suffix that `log-compress` may have added: "web.1.log" may be another program's
 * file. */
static bool is_suffix(const char *text)
{
	static const char *const known[] = {"", ".gz", ".bz2", ".xz", ".zst", ".lz4", ".lz",
		".lzma", ".lzo", ".br", ".Z", ".zip"};

	return array_find(suffix, known, COUNT_OF(known), strcmp(text, *suffix) == 0) != NULL;
}

/* The number of an old file of that name, "NAME.7" or "NAME.7.gz"; 0: not an old file. */
static unsigned number_of(const char *entry, const char *name)
{
	size_t len = strlen(name);
	uint64_t n = 0;
	size_t digits;

	if (strncmp(entry, name, len) != 0 || entry[len] != '.' || entry[len + 1] == '0')
		return 0;
	entry += len + 1;
	digits = text_number(&n, entry, strlen(entry), NUMBER_MOST);
	return digits > 0 && is_suffix(entry + digits) ? (unsigned)n : 0;
}

/* `n`: the number of the entry; 0: the file itself. */
static int make_older(const struct place *at, const char *entry, unsigned n)
{
	const char *rest = entry + strlen(at->name);
	char older[NAME_MAX + 1];

	if (n > 0)
		rest += 1 + strspn(rest + 1, "0123456789");
	if (snprintf(older, sizeof(older), "%s.%u%s", at->name, n + 1, rest) >=
		(int)sizeof(older)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return renameat(at->dir, entry, at->dir, older);
}

/* Increase the number of all old files by one, or remove them; the oldest first.  (A
 * number has two files if a command that compressed it was interrupted.) -1 and errno. */
static int shift_old_files(const struct place *at, unsigned keep)
{
	struct dirent **list;
	int count = scandirat(at->dir, ".", &list, NULL, versionsort);
	int got = count == -1 ? -1 : 0;

	for (int i = count - 1; i >= 0; i--) {
		const char *entry = list[i]->d_name;
		unsigned n = number_of(entry, at->name);

		if (n > 0 && got == 0)
			got = n >= keep ? unlinkat(at->dir, entry, 0) : make_older(at, entry, n);
		free(list[i]);
	}
	if (count != -1)
		free(list);
	return got;
}

int logfile_rotate(struct logfile *out, const struct log_sink *sink, const char *cluster,
	unsigned slot, uint64_t inode, unsigned keep, struct error *err)
{
	struct place at;
	struct stat st;
	bool rotated = false;
	int got = 0;

	if (!value_log_path(sink, cluster, slot, at.path, sizeof(at.path)))
		return error_set(err, ENAMETOOLONG, "'%s'", sink->path);
	if (find_place(&at, err) == -1)
		return error_wrap(err, "'%s'", at.path);
	if (inode != 0 && fstatat(at.dir, at.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISREG(st.st_mode) && (uint64_t)st.st_ino == inode) {
		got = shift_old_files(&at, keep);
		if (got != -1)
			got = keep == 0 ? unlinkat(at.dir, at.name, 0)
					: make_older(&at, at.name, 0);
		rotated = true;
	}
	if (got == -1)
		error_set(err, errno, "cannot rename");
	else
		got = open_in(out, &at, err);
	if (got == -1 && inode == 0 && err->sys == EACCES)
		error_hint(err,
			fstatat(at.dir, at.name, &st, AT_SYMLINK_NOFOLLOW) == 0
				? "let this user write to the file"
				: "choose a directory of this user's");
	(void)close(at.dir);
	if (got == -1)
		return error_wrap(err, "'%s'", at.path);
	out->rotated = rotated && keep > 0;
	return 0;
}

/* ---- daemons ---- */

/* Open the socket at a given path, O_PATH: only root (for root) can replace it, and
 * no link leads elsewhere. */
static int find_socket(const char *path, struct error *err)
{
	struct place at;
	struct stat st;
	scoped_fd fd = -1;

	text_copy(at.path, sizeof(at.path), path);
	if (find_place(&at, err) == -1)
		return -1;
	fd = openat(at.dir, at.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	(void)close(at.dir);
	if (fd == -1 || fstat(fd, &st) == -1)
		return error_set(err, errno, "cannot open");
	if (S_ISLNK(st.st_mode))
		return is_link(err);
	return fd_release(&fd);
}

static int connect_at(int fd, const char *path, struct error *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	text_copy(at.sun_path, sizeof(at.sun_path), path);
	return connect(fd, (const struct sockaddr *)&at, sizeof(at)) == -1
		? error_set(err, errno, "cannot connect")
		: 0;
}

static int connect_checked(int fd, const char *path, struct error *err)
{
	scoped_fd found = find_socket(path, err);
	char way[40];

	snprintf(way, sizeof(way), "/proc/self/fd/%d", found);
	return found != -1 ? connect_at(fd, way, err) : -1;
}

static int connect_to(struct logfile *out, const struct log_sink *sink, struct error *err)
{
	/* only root can change the path, and /dev/log is mostly a link */
	const char *usual = sink->kind == SINK_JOURNAL ? "/run/systemd/journal/socket" : "/dev/log";
	const char *path = sink->path != NULL ? sink->path : usual;
	const int size = SEND_BUFFER;
	scoped_fd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return error_set(err, errno, "cannot connect to '%s'", path);
	if ((strcmp(path, usual) == 0 ? connect_at(fd, path, err)
				      : connect_checked(fd, path, err)) == -1)
		return error_wrap(err, "'%s'", path);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*out = (struct logfile){.fd = fd_release(&fd)};
	return 0;
}

int logfile_open(struct logfile *out, const struct log_sink *sink, const char *cluster,
	unsigned slot, struct error *err)
{
	return sink->kind == SINK_FILE ? logfile_rotate(out, sink, cluster, slot, 0, 0, err)
				       : connect_to(out, sink, err);
}
