/* SPDX-License-Identifier: MIT */
#include "os/place/linering.h"

#include "base/scope.h"
#include "os/place/sharedmem.h"

#include <errno.h>
#include <string.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* The mark; lines come after it, and go on there when the file is full. */
struct head {
	char magic[8];
	uint64_t end;
};
#define ROOM (LINERING_SIZE - sizeof(struct head))
/* A line that is only half written may have overwritten the rest. */
#define READABLE (ROOM - LINERING_LINE)

static const char magic[8] = "nclustL1";

static int put_at(int fd, off_t at, const void *data, size_t len)
{
	ssize_t done = pwrite(fd, data, len, at);

	return done == (ssize_t)len ? 0 : -1;
}

static int mark(const struct linering *r, uint64_t end)
{
	struct head head = {.end = end};

	(void)memcpy(head.magic, magic, sizeof(magic));
	return put_at(r->fd, 0, &head, sizeof(head));
}

int linering_make(struct linering *r, struct error *err)
{
	scoped_fd fd = sharedmem_make("events", LINERING_SIZE, false, err);

	*r = (struct linering){.fd = fd};
	if (fd == -1)
		return -1;
	if (mark(r, 0) == -1) {
		r->fd = -1;
		return error_set(err, errno, "cannot write to it");
	}
	(void)fd_release(&fd);
	return 0;
}

bool linering_take(struct linering *r, int fd)
{
	struct sharedmem_facts facts;
	struct head head;

	if (sharedmem_look(fd, &facts) == -1 || facts.size != LINERING_SIZE ||
		pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
		memcmp(head.magic, magic, sizeof(magic)) != 0)
		return false;
	*r = (struct linering){.fd = fd, .end = head.end};
	return true;
}

void linering_close(struct linering *r)
{
	fd_close(&r->fd);
}

/* How much of `len` bytes fits in before the ring goes on at its beginning. */
static size_t before_turn(uint64_t place, size_t len)
{
	size_t left = ROOM - (size_t)(place % ROOM);

	return len < left ? len : left;
}

static off_t offset_of(uint64_t place)
{
	return (off_t)(sizeof(struct head) + place % ROOM);
}

static int put(
	const struct linering *r, uint64_t place, const char *data, size_t len)
{
	size_t first = before_turn(place, len);

	if (put_at(r->fd, offset_of(place), data, first) == -1)
		return -1;
	return first == len ? 0
			    : put_at(r->fd, offset_of(place + first),
				      data + first, len - first);
}

/* At once, if it need not go on at the beginning. */
static int put_line(const struct linering *r, const char *line, size_t len)
{
	struct iovec parts[] = {{(void *)(uintptr_t)line, len}, {"\n", 1}};

	if (before_turn(r->end, len + 1) <= len)
		return put(r, r->end, line, len) == -1
			? -1
			: put(r, r->end + len, "\n", 1);
	if (pwritev(r->fd, parts, 2, offset_of(r->end)) == (ssize_t)len + 1)
		return 0;
	return -1;
}

int linering_add(struct linering *r, const char *line, size_t len)
{
	uint64_t end = r->end + len + 1;

	if (len >= LINERING_LINE) {
		errno = EMSGSIZE;
		return -1;
	}
	errno = ENOSPC;
	if (put_line(r, line, len) == -1 || mark(r, end) == -1)
		return -1;
	r->end = end;
	return 0;
}

static int copy(const struct linering *r, uint64_t place, char *to, size_t len)
{
	size_t first = before_turn(place, len);

	if (pread(r->fd, to, first, offset_of(place)) != (ssize_t)first)
		return -1;
	if (first < len &&
		pread(r->fd, to + first, len - first,
			offset_of(place + first)) != (ssize_t)(len - first))
		return -1;
	return 0;
}

int linering_read(
	const struct linering *r, uint64_t from, struct linering_text *t)
{
	uint64_t oldest = r->end > READABLE ? r->end - READABLE : 0;
	const char *cut;

	*t = (struct linering_text){.at = r->end};
	if (r->fd == -1 || from >= r->end)
		return 0;
	t->at = from > oldest ? from : oldest;
	t->len = t->size = (size_t)(r->end - t->at);
	/* not on the heap, which would keep it */
	t->map = mmap(NULL, t->size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->map == MAP_FAILED) {
		*t = (struct linering_text){.at = r->end};
		return -1;
	}
	if (copy(r, t->at, t->map, t->len) == -1) {
		linering_drop(t);
		return -1;
	}
	t->text = t->map;
	if (t->at == from)
		return 0;
	/* most likely the ring was cut in the midst of a line */
	cut = memchr(t->text, '\n', t->len);
	cut = cut != NULL ? cut + 1 : t->text + t->len;
	t->at += (uint64_t)(cut - t->text);
	t->len -= (size_t)(cut - t->text);
	t->text = cut;
	return 0;
}

void linering_drop(struct linering_text *t)
{
	if (t->map != NULL)
		(void)munmap(t->map, t->size);
	*t = (struct linering_text){.at = t->at};
}
