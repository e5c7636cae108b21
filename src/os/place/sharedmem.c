/* SPDX-License-Identifier: MIT */
#include "os/place/sharedmem.h"

#include "base/scope.h"
#include "os/cgroup.h"
#include "os/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)
#define PREFIX "nclust-"

static uint64_t in_megabytes(uint64_t bytes)
{
	return (bytes + (1U << 20) - 1) >> 20;
}

/* Refuse a size that the limits rule out, before a worker dies for lack of memory. */
static int check_size(uint64_t size, struct error *err)
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t group = cgroup_memory_limit("");
	struct rlimit files;

	if (machine > 0 && size > machine)
		return error_set(err, 0,
			"%" PRIu64 "M of shared memory are more than the machine has, %" PRIu64 "M",
			in_megabytes(size), machine >> 20);
	if (group > 0 && size >= group)
		return error_set(err, 0,
			"%" PRIu64
			"M of shared memory are too much for the control group, which has %" PRIu64
			"M",
			in_megabytes(size), group >> 20);
	/* to let a file grow beyond this limit is a SIGXFSZ */
	if (getrlimit(RLIMIT_FSIZE, &files) == 0 && size > files.rlim_cur)
		return error_set(err, 0, "%" PRIu64 "M of shared memory are beyond RLIMIT_FSIZE",
			in_megabytes(size));
	return 0;
}

int sharedmem_make(const char *name, uint64_t size, mode_t mode, struct error *err)
{
	char text[100];
	scoped_fd fd = -1;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	snprintf(text, sizeof(text), PREFIX "%s", name);
	fd = memfd_make(text);
	if (fd == -1)
		return error_set(err, errno, "shared memory");
	size = (size + page - 1) / page * page;
	if (check_size(size, err) == -1)
		return -1;
	if (ftruncate(fd, (off_t)size) == -1)
		return error_set(err, errno, "%" PRIu64 "M of shared memory", in_megabytes(size));
	if (fchmod(fd, mode) == -1 || fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		return error_set(err, errno, "cannot seal shared memory");
	return fd_release(&fd);
}

int sharedmem_look(int fd, struct sharedmem_facts *facts)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals == -1 || fstat(fd, &st) == -1)
		return -1;
	if ((seals & SEALS) != SEALS || (seals & F_SEAL_WRITE) != 0) {
		errno = EINVAL;
		return -1;
	}
	*facts = (struct sharedmem_facts){
		.size = (uint64_t)st.st_size,
		.used = (uint64_t)st.st_blocks * 512,
		.dev = (uint64_t)st.st_dev,
		.ino = (uint64_t)st.st_ino,
	};
	return 0;
}

bool sharedmem_is_target(const char *target)
{
	static const char start[] = "/memfd:" PREFIX;

	return strncmp(target, start, sizeof(start) - 1) == 0;
}

/* ---- linering ---- */

/* The head of the file, all zeros before the first line, so that an empty ring has
 * no memory; lines follow, and wrap around to the place behind it. */
struct head {
	char magic[8];
	uint64_t end;
};
#define HEAD sizeof(struct head)

const struct linering_kind linering_events = {128 * 1024, 8 * 1024};
const struct linering_kind linering_output = {64 * 1024, LINERING_OUTPUT_BLOCK};

static const char magic[8] = {'n', 'c', 'l', 'u', 's', 't', 'L', '1'};

static size_t room_of(const struct linering *r)
{
	return r->kind->size - HEAD;
}

/* How many bytes can be read: a line that is half written may have overwritten the oldest ones. */
static size_t readable_of(const struct linering *r)
{
	return room_of(r) - r->kind->block;
}

static int put_at(int fd, off_t at, const void *data, size_t len)
{
	ssize_t done = pwrite(fd, data, len, at);

	return done == (ssize_t)len ? 0 : -1;
}

int linering_make(
	struct linering *r, const struct linering_kind *kind, const char *name, struct error *err)
{
	/* a process that has this descriptor for reading cannot open it for writing */
	int fd = sharedmem_make(name, kind->size, 0600, err);

	*r = (struct linering){.kind = kind, .fd = fd};
	return fd != -1 ? 0 : -1;
}

int linering_look(struct linering *r)
{
	const struct head none = {.end = 0};
	struct head head;

	if (pread(r->fd, &head, HEAD, 0) != HEAD ||
		(memcmp(head.magic, magic, sizeof(magic)) != 0 && memcmp(&head, &none, HEAD) != 0))
		return -1;
	r->end = head.end;
	return 0;
}

bool linering_take(struct linering *r, const struct linering_kind *kind, int fd)
{
	struct linering taken = {.kind = kind, .fd = fd};
	struct sharedmem_facts facts;

	if (sharedmem_look(fd, &facts) == -1 || facts.size != kind->size ||
		linering_look(&taken) == -1)
		return false;
	*r = taken;
	return true;
}

void linering_close(struct linering *r)
{
	fd_close(&r->fd);
}

/* How many of `len` bytes fit before the end of the ring. */
static size_t before_turn(const struct linering *r, uint64_t place, size_t len)
{
	size_t left = room_of(r) - (size_t)(place % room_of(r));

	return len < left ? len : left;
}

static off_t offset_of(const struct linering *r, uint64_t place)
{
	return (off_t)(HEAD + place % room_of(r));
}

static int write_bytes(const struct linering *r, uint64_t place, const char *data, size_t len)
{
	size_t first = before_turn(r, place, len);

	if (put_at(r->fd, offset_of(r, place), data, first) == -1)
		return -1;
	return first == len ? 0
			    : put_at(r->fd, offset_of(r, place + first), data + first, len - first);
}

/* Add so many bytes, which are written already.  -1 and errno. */
static int move_end(struct linering *r, size_t len)
{
	struct head head = {.end = r->end + len};

	memcpy(head.magic, magic, sizeof(magic));
	if (put_at(r->fd, 0, &head, sizeof(head)) == -1)
		return -1;
	r->end = head.end;
	return 0;
}

/* Does a line, or do lines, of so many bytes fit?  Also presets errno. */
static bool fits_block(const struct linering *r, size_t len)
{
	errno = len > r->kind->block ? EMSGSIZE : ENOSPC;
	return len <= r->kind->block;
}

int linering_add(struct linering *r, const char *line, size_t len)
{
	if (!fits_block(r, len + 1) || write_bytes(r, r->end, line, len) == -1 ||
		write_bytes(r, r->end + len, "\n", 1) == -1)
		return -1;
	return move_end(r, len + 1);
}

int linering_put(struct linering *r, const char *lines, size_t len)
{
	return fits_block(r, len) && write_bytes(r, r->end, lines, len) == 0 ? move_end(r, len)
									     : -1;
}

static int read_bytes(const struct linering *r, uint64_t place, char *to, size_t len)
{
	size_t first = before_turn(r, place, len);

	if (pread(r->fd, to, first, offset_of(r, place)) != (ssize_t)first)
		return -1;
	if (first < len &&
		pread(r->fd, to + first, len - first, offset_of(r, place + first)) !=
			(ssize_t)(len - first))
		return -1;
	return 0;
}

/* Place of the oldest byte that the writer is not about to overwrite. */
static uint64_t oldest_of(const struct linering *r)
{
	return r->end > readable_of(r) ? r->end - readable_of(r) : 0;
}

/* Drop the text before that place, and the line that the place is in. */
static void cut_before(struct linering_text *t, uint64_t place)
{
	size_t skip = place - t->at < t->len ? (size_t)(place - t->at) : t->len;
	const char *cut = memchr(t->text + skip, '\n', t->len - skip);

	cut = cut != NULL ? cut + 1 : t->text + t->len;
	t->at += (uint64_t)(cut - t->text);
	t->len -= (size_t)(cut - t->text);
	t->text = cut;
}

int linering_read(const struct linering *r, uint64_t from, struct linering_text *t)
{
	struct linering now = *r;
	uint64_t oldest = oldest_of(r);

	*t = (struct linering_text){.at = r->end};
	if (r->fd == -1 || from >= r->end)
		return 0;
	t->at = from > oldest ? from : oldest;
	t->len = t->size = (size_t)(r->end - t->at);
	/* not from the heap, which would keep the memory */
	t->map = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->map == MAP_FAILED) {
		*t = (struct linering_text){.at = r->end};
		return -1;
	}
	if (read_bytes(r, t->at, t->map, t->len) == -1 || linering_look(&now) == -1) {
		linering_drop(t);
		return -1;
	}
	t->text = t->map;
	/* most likely the ring was cut in the midst of a line */
	if (t->at != from)
		cut_before(t, t->at);
	/* the writer went on meanwhile */
	if (oldest_of(&now) > t->at)
		cut_before(t, oldest_of(&now));
	return 0;
}

void linering_drop(struct linering_text *t)
{
	if (t->map != NULL)
		(void)munmap(t->map, t->size);
	*t = (struct linering_text){.at = t->at};
}
