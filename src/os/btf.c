/* SPDX-License-Identifier: MIT */
#include "os/btf.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BTF_FILE "/sys/kernel/btf/vmlinux"
/* Of types in types; kernels have three or four. */
#define DEPTH_MAX 8

struct btf {
	const char *types;
	size_t types_size;
	const char *names;
	size_t names_size;
};

/* What follows a type of that kind, in bytes; -1: nobody knows. */
static long tail_of(const struct btf_type *t)
{
	const long count = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return 0;
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO:
		return 8 * count;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_DATASEC:
	case BTF_KIND_ENUM64:
		return 12 * count;
	default:
		return -1;
	}
}

/* The type at `*at`, which is then that of the next; NULL: there is none. */
static const struct btf_type *take(const struct btf *b, size_t *at)
{
	const struct btf_type *t;
	long tail;

	if (*at > b->types_size || b->types_size - *at < sizeof(*t))
		return NULL;
	t = (const void *)(b->types + *at);
	tail = tail_of(t);
	if (tail < 0 || b->types_size - *at - sizeof(*t) < (size_t)tail)
		return NULL;
	*at += sizeof(*t) + (size_t)tail;
	return t;
}

static const struct btf_type *by_id(const struct btf *b, uint32_t id)
{
	const struct btf_type *t = NULL;
	size_t at = 0;

	for (uint32_t i = 0; i < id && (i == 0 || t != NULL); i++)
		t = take(b, &at);
	return t;
}

static bool is_called(const struct btf *b, uint32_t name, const char *word)
{
	const size_t size = strlen(word) + 1;

	return name < b->names_size && size <= b->names_size - name &&
		memcmp(b->names + name, word, size) == 0;
}

static bool has_members(const struct btf_type *t)
{
	return t != NULL &&
		(BTF_INFO_KIND(t->info) == BTF_KIND_STRUCT ||
			BTF_INFO_KIND(t->info) == BTF_KIND_UNION);
}

/* Its place in bits; -1: it has none of that name. */
static int32_t member_of(const struct btf *b, const struct btf_type *t,
	const char *name, int depth)
{
	const struct btf_member *list = (const void *)(t + 1);
	const unsigned count = BTF_INFO_VLEN(t->info);

	for (unsigned i = 0; i < count; i++) {
		const int32_t offset = (int32_t)(BTF_INFO_KFLAG(t->info)
				? BTF_MEMBER_BIT_OFFSET(list[i].offset)
				: list[i].offset);
		const struct btf_type *inner;
		int32_t within;

		if (is_called(b, list[i].name_off, name))
			return offset;
		if (!is_called(b, list[i].name_off, "") || depth == DEPTH_MAX)
			continue;
		inner = by_id(b, list[i].type);
		within = has_members(inner)
			? member_of(b, inner, name, depth + 1)
			: -1;
		if (within != -1)
			return offset + within;
	}
	return -1;
}

static int find_all(const struct btf *b, struct btf_place *list, size_t count)
{
	const struct btf_type *t;
	size_t found = 0;
	size_t at = 0;

	for (size_t i = 0; i < count; i++)
		list[i].offset = -1;
	while (found < count && (t = take(b, &at)) != NULL)
		for (size_t i = 0; has_members(t) && i < count; i++) {
			int32_t bits = -1;

			if (list[i].offset == -1 &&
				is_called(b, t->name_off, list[i].type))
				bits = member_of(b, t, list[i].name, 0);
			if (bits == -1 || bits % 8 != 0)
				continue;
			list[i].offset = bits / 8;
			found++;
		}
	return found == count ? 0 : -1;
}

/* Is it all there? */
static bool split(struct btf *b, const char *all, size_t size)
{
	const struct btf_header *h = (const void *)all;

	if (size < sizeof(*h) || h->magic != BTF_MAGIC || h->hdr_len > size ||
		h->type_off > size - h->hdr_len ||
		h->type_len > size - h->hdr_len - h->type_off ||
		h->str_off > size - h->hdr_len ||
		h->str_len > size - h->hdr_len - h->str_off)
		return false;
	b->types = all + h->hdr_len + h->type_off;
	b->types_size = h->type_len;
	b->names = all + h->hdr_len + h->str_off;
	b->names_size = h->str_len;
	return true;
}

static bool read_all(int fd, char *to, size_t size)
{
	size_t at = 0;

	while (at < size) {
		ssize_t n = read(fd, to + at, size - at);

		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* It has some megabytes, which are given back at once. */
int btf_find(struct btf_place *list, size_t count)
{
	scoped_fd fd = open(BTF_FILE, O_RDONLY | O_CLOEXEC);
	struct btf b;
	struct stat st;
	char *all;
	int got = -1;

	if (fd == -1 || fstat(fd, &st) == -1)
		return -1;
	all = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		return -1;
	if (read_all(fd, all, (size_t)st.st_size) &&
		split(&b, all, (size_t)st.st_size))
		got = find_all(&b, list, count);
	(void)munmap(all, (size_t)st.st_size);
	if (got == -1)
		errno = ENOENT;
	return got;
}
