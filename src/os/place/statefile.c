/* SPDX-License-Identifier: MIT */
#include "os/place/statefile.h"

#include "base/scope.h"
#include "base/trusted.h"
#include "os/descriptors.h"
#include "os/place/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 1
#define ORPHAN_STATE_MAX ((size_t)4 * 1024 * 1024)
#define GROW 32U /* entries by which the file grows: a page */

static const char magic[8] = "nclustS";
static const char name[] = "state";
static const char new_name[] = "state.new";
static const char orphan_state_name[] = "estate";

_Static_assert(sizeof(struct state_header) == 128, "part of the format");
_Static_assert(sizeof(struct state_entry) == 128, "part of the format");

static size_t size_for(unsigned entries)
{
	return sizeof(struct state_header) + (size_t)entries * sizeof(struct state_entry);
}

/* ---- where and when ---- */

int state_header_here(struct state_header *h, struct error *err)
{
	static const char *const spaces[] = {
		"/proc/self/ns/pid", "/proc/self/ns/net", "/proc/self/ns/mnt"};
	static const char boot[] = "/proc/sys/kernel/random/boot_id";
	scoped_fd fd = open(boot, O_RDONLY | O_CLOEXEC);
	struct stat st;

	*h = (struct state_header){
		.version = VERSION,
		.entry_size = sizeof(struct state_entry),
		.pid = getpid(),
	};
	memcpy(h->magic, magic, sizeof(h->magic));
	/* If the kernel has no such file, the id is always empty.  If one read
	 * failed, living workers would seem to be of an earlier boot. */
	if (fd == -1 ? errno != ENOENT && errno != EACCES : read(fd, h->boot, 36) != 36)
		return error_set(err, errno, "cannot read '%s'", boot);
	for (size_t i = 0; i < COUNT_OF(spaces); i++) {
		if (stat(spaces[i], &st) == 0)
			h->spaces[i] = st.st_ino;
		else if (errno != ENOENT)
			return error_set(err, errno, "cannot look at '%s'", spaces[i]);
	}
	return 0;
}

/* 1: the file is of this machine and boot; 0: of an earlier boot; -1 and `err`. */
static int check_header(const struct state_header *h, struct error *err)
{
	struct state_header here;

	if (memcmp(h->magic, magic, sizeof(magic)) != 0)
		return error_set(err, 0, "it is no state of nclust");
	if (h->version != VERSION || h->entry_size != sizeof(struct state_entry))
		return error_set(err, 0, "it is of another version (%u)", (unsigned)h->version);
	if (state_header_here(&here, err) == -1)
		return -1;
	if (memcmp(h->boot, here.boot, sizeof(h->boot)) != 0)
		return 0;
	if (h->spaces[0] != here.spaces[0])
		return error_set(err, 0, "it is of another pid namespace");
	if (h->spaces[1] != here.spaces[1])
		return error_set(err, 0, "it is of another network namespace");
	return 1; /* mounts differ with each start under a manager */
}

/* ---- reading ---- */

static bool is_sound(const struct state_entry *e)
{
	return e->phase < STATE_PHASES && e->birth.pid >= 0 && e->birth.pid != 1 && e->serial != 0;
}

void state_past_fini(struct state_past *past)
{
	free(past->entries);
	*past = (struct state_past){0};
}

static int take_entries(struct state_past *past, const void *list, size_t count, struct error *err)
{
	past->entries = calloc(count + 1, sizeof(*past->entries));
	if (past->entries == NULL)
		return error_set(err, ENOMEM, "the state");
	memcpy(past->entries, list, count * sizeof(*past->entries));
	for (size_t i = 0; i < count; i++) {
		struct state_entry *e = &past->entries[i];

		if (e->phase == STATE_FREE)
			*e = (struct state_entry){.phase = STATE_FREE};
		else if (!is_sound(e))
			return error_set(err, 0, "entry %zu of it is mangled", i);
	}
	past->count = count;
	return 0;
}

int state_past_parse(struct state_past *past, const void *data, size_t size, struct error *err)
{
	const char *bytes = data;
	size_t count;
	int now;

	*past = (struct state_past){0};
	if (size < sizeof(past->header))
		return error_set(err, 0, "it is cut short");
	memcpy(&past->header, bytes, sizeof(past->header));
	now = check_header(&past->header, err);
	if (now != 1)
		return now;
	count = (size - sizeof(past->header)) / sizeof(struct state_entry);
	if ((size - sizeof(past->header)) % sizeof(struct state_entry) != 0 ||
		count > STATE_ENTRIES_MAX)
		return error_set(err, 0, "it is cut short");
	if (take_entries(past, bytes + sizeof(past->header), count, err) == -1) {
		state_past_fini(past);
		return -1;
	}
	return 1;
}

static int open_ours(
	int dirfd, const char *which, int flags, size_t most, struct stat *st, struct error *err)
{
	scoped_fd fd = rundir_open_file(dirfd, which, flags, st, err);

	if (fd != -1 && (size_t)st->st_size > most)
		return error_set(err, 0, "it is too large");
	return fd_release(&fd);
}

static void *read_ours(int dirfd, const char *which, size_t most, size_t *size, struct error *err)
{
	struct stat st;
	scoped_fd fd = open_ours(dirfd, which, O_RDONLY, most, &st, err);
	void *data = fd != -1 ? read_whole(fd, most, size) : NULL;

	if (fd != -1 && data == NULL)
		error_set(err, errno, "cannot read it");
	return data;
}

int statefile_read(int dirfd, struct state_past *past, struct error *err)
{
	size_t size;
	void *data = read_ours(dirfd, name, size_for(STATE_ENTRIES_MAX), &size, err);
	int result;

	*past = (struct state_past){0};
	if (data == NULL)
		return err->sys == ENOENT ? 0 : -1;
	result = state_past_parse(past, data, size, err);
	free(data);
	return result;
}

void *orphan_state_read(int dirfd, size_t *size, struct error *err)
{
	return read_ours(dirfd, orphan_state_name, ORPHAN_STATE_MAX, size, err);
}

/* On a full disk: write to the blocks that the old file has, if they are enough. */
static bool write_in_place(int dirfd, const void *data, size_t size)
{
	struct error err;
	struct stat st;
	scoped_fd fd = rundir_open_file(dirfd, orphan_state_name, O_WRONLY, &st, &err);

	return fd != -1 && (size_t)st.st_blocks * 512 >= size &&
		pwrite(fd, data, size, 0) == (ssize_t)size && ftruncate(fd, (off_t)size) == 0;
}

int orphan_state_write(int dirfd, const void *data, size_t size)
{
	int saved;

	if (rundir_replace(dirfd, "estate.new", orphan_state_name, 0600, data, size) == 0)
		return 0;
	saved = errno;
	if ((saved == ENOSPC || saved == EDQUOT) && write_in_place(dirfd, data, size))
		return 0;
	errno = saved;
	return -1;
}

/* ---- writing ---- */

static struct state_entry *entries_of(const struct statefile *f)
{
	return (struct state_entry *)(void *)((char *)f->map + sizeof(struct state_header));
}

/* Allocate the blocks now: a store into a file whose blocks cannot be allocated is a
 * SIGBUS. */
static int grow_file(struct statefile *f)
{
	/* the header takes the place of one entry */
	unsigned count = f->count == 0 ? GROW - 1 : f->count + GROW;
	int error = ENOSPC;

	if (count <= STATE_ENTRIES_MAX)
		error = posix_fallocate(f->fd, 0, (off_t)size_for(count));
	if (error != 0) {
		errno = error;
		return -1;
	}
	f->count = count;
	return 0;
}

static int map_file(struct statefile *f, struct error *err)
{
	f->map = mmap(
		NULL, size_for(STATE_ENTRIES_MAX), PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	if (f->map != MAP_FAILED)
		return 0;
	f->map = NULL;
	return error_set(err, errno, "cannot map the state file");
}

static int make_file(struct statefile *f, int dirfd, struct error *err)
{
	(void)unlinkat(dirfd, new_name, 0);
	f->fd = openat(dirfd, new_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	f->count = 0;
	if (f->fd == -1 || grow_file(f) == -1)
		return error_set(err, errno, "cannot make the state file");
	return map_file(f, err);
}

static int put_in_place(int dirfd, struct error *err)
{
	if (renameat(dirfd, new_name, dirfd, name) == 0)
		return 0;
	return error_set(err, errno, "cannot make the state file");
}

static int open_old(struct statefile *f, int dirfd, struct error *err)
{
	struct stat st;

	f->fd = open_ours(dirfd, name, O_RDWR, size_for(STATE_ENTRIES_MAX), &st, err);
	if (f->fd == -1)
		return -1;
	f->count = (unsigned)(((size_t)st.st_size - sizeof(struct state_header)) /
		sizeof(struct state_entry));
	return map_file(f, err);
}

int statefile_open(struct statefile *f, int dirfd, bool go_on, struct error *err)
{
	struct state_header here;
	int got = state_header_here(&here, err);

	*f = (struct statefile){.fd = -1};
	if (got == 0)
		got = go_on ? open_old(f, dirfd, err) : make_file(f, dirfd, err);
	if (got == 0)
		*(struct state_header *)f->map = here;
	if (got == 0 && !go_on)
		got = put_in_place(dirfd, err);
	if (got == -1)
		statefile_close(f);
	return got;
}

int statefile_renew(struct statefile *f, int dirfd, struct error *err)
{
	struct statefile fresh = {.fd = -1};

	if (f->map == NULL || access_in(dirfd, name, F_OK) == 0)
		return 0;
	if (make_file(&fresh, dirfd, err) == -1)
		goto fail;
	while (fresh.count < f->count)
		if (grow_file(&fresh) == -1) {
			error_set(err, errno, "the state file");
			goto fail;
		}
	memcpy(fresh.map, f->map, size_for(f->count));
	/* the map keeps its addresses */
	if (mmap(f->map, size_for(STATE_ENTRIES_MAX), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, fresh.fd, 0) == MAP_FAILED) {
		error_set(err, errno, "the state file");
		goto fail;
	}
	(void)munmap(fresh.map, size_for(STATE_ENTRIES_MAX));
	(void)close(f->fd);
	f->fd = fresh.fd;
	f->count = fresh.count;
	return put_in_place(dirfd, err);
fail:
	statefile_close(&fresh);
	return -1;
}

void statefile_close(struct statefile *f)
{
	if (f->map != NULL)
		(void)munmap(f->map, size_for(STATE_ENTRIES_MAX));
	f->map = NULL;
	fd_close(&f->fd);
}

void statefile_rest(const struct statefile *f)
{
	if (f->map != NULL)
		(void)madvise(f->map, size_for(f->count), MADV_DONTNEED);
}

struct state_entry *statefile_claim(struct statefile *f)
{
	struct state_entry *list;

	if (f->map == NULL)
		return NULL;
	list = entries_of(f);
	while (f->hint < f->count && list[f->hint].phase != STATE_FREE)
		f->hint++;
	if (f->hint == f->count && grow_file(f) == -1)
		return NULL;
	list[f->hint] = (struct state_entry){.phase = STATE_CLAIMED};
	return &list[f->hint++];
}

struct state_entry *statefile_at(struct statefile *f, unsigned place)
{
	return f->map != NULL && place < f->count ? &entries_of(f)[place] : NULL;
}

void statefile_free(struct statefile *f, struct state_entry *entry)
{
	unsigned place;

	if (f->map == NULL || entry == NULL)
		return;
	place = (unsigned)(entry - entries_of(f));
	*entry = (struct state_entry){.phase = STATE_FREE};
	if (place < f->hint)
		f->hint = place;
}
