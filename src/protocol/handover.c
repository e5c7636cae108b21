/* SPDX-License-Identifier: MIT */
#include "protocol/handover.h"

#include "base/nsec.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

static const char magic[8] = {'n', 'c', 'l', 'u', 's', 't', 'S', 'T'};

#define VARINT_MAX 10 /* bytes of 64 bits */

/* ---- little-endian numbers ---- */

static void store_le(char *to, uint64_t n, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (char)(unsigned char)(n >> (8 * i));
}

static uint64_t load_le(const void *from, size_t bytes)
{
	const unsigned char *p = from;
	uint64_t n = 0;

	for (size_t i = 0; i < bytes; i++)
		n |= (uint64_t)p[i] << (8 * i);
	return n;
}

/* FNV-1a, eight bytes at a time: it finds data that are cut or mangled, not data
 * that are forged.  The seals prevent writes. */
static uint64_t checksum(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	while (len > 0) {
		size_t n = len < 8 ? len : 8;

		sum = (sum ^ load_le(p, n)) * UINT64_C(0x100000001b3);
		sum ^= sum >> 32;
		p += n;
		len -= n;
	}
	return sum;
}

/* ---- writing ---- */

static void append_bytes(struct handover_writer *w, const void *data, size_t len)
{
	if (w->out != NULL)
		buffer_append(w->out, data, len);
}

static size_t make_varint(char *to, uint64_t n)
{
	size_t used = 0;

	while (n > 0x7f) {
		to[used++] = (char)(unsigned char)(n | 0x80);
		n >>= 7;
	}
	to[used++] = (char)n;
	return used;
}

static size_t make_key(char *to, unsigned tag, enum handover_type type)
{
	assert(tag >= 1 && tag <= HANDOVER_TAG_MAX);
	return make_varint(to, (uint64_t)tag << 3 | (uint64_t)type);
}

/* A field's number and type, and its value or length. */
static void put_field(struct handover_writer *w, unsigned tag, enum handover_type type, uint64_t n)
{
	char bytes[2 * VARINT_MAX];
	size_t used = make_key(bytes, tag, type);

	used += make_varint(bytes + used, n);
	append_bytes(w, bytes, used);
}

void handover_begin(struct handover_writer *w, struct buffer *out)
{
	static const char room[HANDOVER_HEAD];

	*w = (struct handover_writer){.out = out};
	append_bytes(w, room, sizeof(room));
}

int handover_end(struct handover_writer *w, const struct handover_version *version)
{
	char *head = w->out->data;
	size_t len = w->out->len;

	assert(w->depth == 0);
	if (w->out->failed || len > HANDOVER_SIZE_MAX)
		return -1;
	memcpy(head, magic, sizeof(magic));
	store_le(head + 8, version->major, 2);
	store_le(head + 10, version->minor, 2);
	store_le(head + 12, 0, 4);
	store_le(head + 16, len, 8);
	store_le(head + 24, checksum(head + HANDOVER_HEAD, len - HANDOVER_HEAD), 8);
	return 0;
}

void handover_put_u64(struct handover_writer *w, unsigned tag, uint64_t n)
{
	put_field(w, tag, HANDOVER_U64, n);
}

void handover_put_i64(struct handover_writer *w, unsigned tag, int64_t n)
{
	put_field(w, tag, HANDOVER_I64, (uint64_t)n << 1 ^ (n < 0 ? UINT64_MAX : 0));
}

void handover_put_bytes(struct handover_writer *w, unsigned tag, const void *data, size_t len)
{
	put_field(w, tag, HANDOVER_BYTES, len);
	append_bytes(w, data, len);
}

void handover_put_text(struct handover_writer *w, unsigned tag, const char *text)
{
	if (text == NULL)
		return;
	put_field(w, tag, HANDOVER_TEXT, strlen(text));
	append_bytes(w, text, strlen(text));
}

void handover_open(struct handover_writer *w, unsigned tag)
{
	char bytes[VARINT_MAX];

	assert(w->depth < HANDOVER_DEPTH);
	append_bytes(w, bytes, make_key(bytes, tag, HANDOVER_GROUP));
	w->open[w->depth++] = w->out != NULL ? w->out->len : 0;
	append_bytes(w, "\0\0\0", 4);
}

void handover_close(struct handover_writer *w)
{
	size_t at;

	assert(w->depth > 0);
	at = w->open[--w->depth];
	if (w->out != NULL && !w->out->failed)
		store_le(w->out->data + at, w->out->len - at - 4, 4);
}

/* ---- reading ---- */

/* -1: the integer is cut, does not fit, or is longer than needed. */
static int get_varint(struct handover_reader *r, uint64_t *n)
{
	*n = 0;
	for (unsigned i = 0; i < VARINT_MAX && r->at < r->end; i++) {
		unsigned char byte = *r->at++;

		if (i == VARINT_MAX - 1 && byte > 1)
			return -1;
		*n |= (uint64_t)(byte & 0x7f) << (7 * i);
		if ((byte & 0x80) == 0)
			return byte == 0 && i > 0 ? -1 : 0;
	}
	return -1;
}

static int get_length(struct handover_reader *r, struct handover_field *f, uint64_t *len)
{
	if (f->type != HANDOVER_GROUP)
		return get_varint(r, len);
	if (r->end - r->at < 4)
		return -1;
	*len = load_le(r->at, 4);
	r->at += 4;
	return 0;
}

static int get_data(struct handover_reader *r, struct handover_field *f)
{
	uint64_t len;

	if (get_length(r, f, &len) == -1 || len > (uint64_t)(r->end - r->at))
		return -1;
	f->data = (const char *)r->at;
	f->len = (size_t)len;
	r->at += len;
	if (f->type == HANDOVER_TEXT && memchr(f->data, '\0', f->len) != NULL)
		return -1;
	return 0;
}

/* 1; 0: at the end; -1: malformed. */
static int get_field(struct handover_reader *r, struct handover_field *f)
{
	uint64_t key;

	*f = (struct handover_field){0};
	if (r->at == r->end)
		return 0;
	if (get_varint(r, &key) == -1 || key >> 3 == 0 || key >> 3 > HANDOVER_TAG_MAX ||
		(key & 7) >= HANDOVER_TYPES)
		return -1;
	f->tag = (unsigned)(key >> 3);
	f->type = (enum handover_type)(key & 7);
	if (f->type != HANDOVER_U64 && f->type != HANDOVER_I64)
		return get_data(r, f) == 0 ? 1 : -1;
	if (get_varint(r, &f->u) == -1)
		return -1;
	if (f->type == HANDOVER_I64) {
		f->i = (int64_t)(f->u >> 1 ^ (0 - (f->u & 1)));
		f->u = 0;
	}
	return 1;
}

static bool is_sound(struct handover_reader r, unsigned depth)
{
	struct handover_field f;
	int got;

	while ((got = get_field(&r, &f)) == 1) {
		struct handover_reader inner;

		if (f.type != HANDOVER_GROUP)
			continue;
		handover_enter(&inner, &f);
		if (depth == HANDOVER_DEPTH || !is_sound(inner, depth + 1))
			return false;
	}
	return got == 0;
}

int handover_open_for_reading(struct handover_reader *r, const void *data, size_t len,
	unsigned major, struct handover_version *version, struct error *err)
{
	const unsigned char *head = data;

	if (len < HANDOVER_HEAD || memcmp(head, magic, sizeof(magic)) != 0)
		return error_set(err, 0, "it is no state of an nclust");
	version->major = (unsigned)load_le(head + 8, 2);
	version->minor = (unsigned)load_le(head + 10, 2);
	if (version->major != major)
		return error_set(err, 0,
			"the state has version %u.%u, this nclust knows "
			"version %u",
			version->major, version->minor, major);
	if (load_le(head + 16, 8) != len || load_le(head + 12, 4) != 0)
		return error_set(err, 0, "the state is cut");
	r->at = head + HANDOVER_HEAD;
	r->end = head + len;
	if (load_le(head + 24, 8) != checksum(r->at, len - HANDOVER_HEAD) || !is_sound(*r, 0))
		return error_set(err, 0, "the state is mangled");
	return 0;
}

bool handover_next(struct handover_reader *r, struct handover_field *f)
{
	return get_field(r, f) == 1;
}

void handover_enter(struct handover_reader *inner, const struct handover_field *group)
{
	inner->at = inner->end = (const unsigned char *)group->data;
	if (group->type == HANDOVER_GROUP)
		inner->end += group->len;
}

char *handover_text(const struct handover_field *f)
{
	return f->type == HANDOVER_TEXT ? strndup(f->data, f->len) : NULL;
}

/* ---- members ---- */

/* The bytes of a number that the same number of another size has, too. */
static char *low_bytes(uint64_t *n, size_t size)
{
	return (char *)n + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? sizeof(*n) - size : 0);
}

static uint64_t get_unsigned(const void *at, size_t size)
{
	uint64_t n = 0;

	memcpy(low_bytes(&n, size), at, size);
	return n;
}

/* False: the number does not fit. */
static bool set_unsigned(void *at, size_t size, uint64_t n)
{
	memcpy(at, low_bytes(&n, size), size);
	return get_unsigned(at, size) == n;
}

static int64_t get_signed(const void *at, size_t size)
{
	uint64_t n = get_unsigned(at, size);

	return size == 4 ? (int32_t)(uint32_t)n : (int64_t)n;
}

static bool set_signed(void *at, size_t size, int64_t n)
{
	(void)set_unsigned(at, size, (uint64_t)n);
	return get_signed(at, size) == n;
}

/* ---- writing ---- */

/* As many bytes as are not 0, in whole words. */
static size_t words_used(const char *at, size_t size)
{
	while (size >= 8 && get_unsigned(at + size - 8, 8) == 0)
		size -= 8;
	return size;
}

void handover_put_member(struct handover_writer *w, const struct plain_row *row, const void *from)
{
	const char *at = (const char *)from + row->offset;
	const struct buffer *buffer = (const void *)at;
	const char *text;
	size_t used;

	switch ((enum plain_kind)row->kind) {
	case PLAIN_BOOL:
	case PLAIN_UNSIGNED:
		if (row->always || get_unsigned(at, row->size) != 0)
			handover_put_u64(w, row->tag, get_unsigned(at, row->size));
		break;
	case PLAIN_SIGNED:
		if (row->always || get_signed(at, row->size) != 0)
			handover_put_i64(w, row->tag, get_signed(at, row->size));
		break;
	case PLAIN_WHEN:
		if (get_signed(at, row->size) != NSEC_NEVER)
			handover_put_i64(w, row->tag, get_signed(at, row->size));
		break;
	case PLAIN_FD:
		if (get_signed(at, row->size) >= 0)
			handover_put_u64(w, row->tag, (uint64_t)get_signed(at, row->size));
		break;
	case PLAIN_TEXT:
		if (*at != '\0')
			handover_put_text(w, row->tag, at);
		break;
	case PLAIN_HEAP:
		memcpy(&text, at, sizeof(text));
		handover_put_text(w, row->tag, text);
		break;
	case PLAIN_BUFFER:
		if (buffer->len > 0)
			handover_put_bytes(w, row->tag, buffer->data, buffer->len);
		break;
	case PLAIN_WORDS:
		used = words_used(at, row->size);
		if (used > 0)
			handover_put_bytes(w, row->tag, at, used);
		break;
	}
}

/* ---- reading ---- */

static bool take_data(const struct plain_row *row, char *at, const struct handover_field *f,
	enum handover_type type)
{
	size_t room = type == HANDOVER_TEXT ? row->size - 1 : row->size;

	if (f->type != type || f->len > room || (type == HANDOVER_BYTES && f->len % 8 != 0))
		return false;
	memset(at, 0, row->size);
	if (f->len > 0)
		memcpy(at, f->data, f->len);
	return true;
}

/* The first such field counts. */
static bool take_heap(char *at, const struct handover_field *f)
{
	char *text;

	memcpy(&text, at, sizeof(text));
	if (text == NULL)
		text = handover_text(f);
	memcpy(at, &text, sizeof(text));
	return text != NULL;
}

static bool take_number(const struct plain_row *row, char *at, const struct handover_field *f)
{
	switch ((enum plain_kind)row->kind) {
	case PLAIN_BOOL:
		return f->type == HANDOVER_U64 && f->u <= 1 && set_unsigned(at, row->size, f->u);
	case PLAIN_UNSIGNED:
		return f->type == HANDOVER_U64 && (row->most == 0 || f->u <= row->most) &&
			set_unsigned(at, row->size, f->u);
	case PLAIN_SIGNED:
	case PLAIN_WHEN:
		return f->type == HANDOVER_I64 && set_signed(at, row->size, f->i);
	case PLAIN_FD:
		return f->type == HANDOVER_U64 && f->u <= INT_MAX &&
			set_signed(at, row->size, (int64_t)f->u);
	case PLAIN_TEXT:
		return take_data(row, at, f, HANDOVER_TEXT);
	case PLAIN_HEAP:
		return take_heap(at, f);
	case PLAIN_BUFFER:
		return f->type == HANDOVER_BYTES && buffer_append((void *)at, f->data, f->len) == 0;
	case PLAIN_WORDS:
		return take_data(row, at, f, HANDOVER_BYTES);
	}
	return false;
}

int handover_take_member(const struct plain_row *row, void *to, const struct handover_field *f)
{
	return take_number(row, (char *)to + row->offset, f) ? 1 : -1;
}

void handover_clear_members(const struct plain_row *rows, uint32_t count, void *to)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct plain_row *row = &rows[i];
		char *at = (char *)to + row->offset;

		if (row->kind == PLAIN_WHEN)
			(void)set_signed(at, row->size, NSEC_NEVER);
		else if (row->kind == PLAIN_FD)
			(void)set_signed(at, row->size, -1);
		else if (row->kind != PLAIN_BUFFER)
			memset(at, 0, row->size);
	}
}
