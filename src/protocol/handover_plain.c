/* SPDX-License-Identifier: MIT */
#include "protocol/handover.h"

#include "base/nsec.h"

#include <limits.h>
#include <string.h>

/* Structs by their tables: base/plain.h. */

/* ---- members ---- */

/* A number of any size, at any alignment. */
union number {
	uint8_t one;
	uint16_t two;
	uint32_t four;
	uint64_t eight;
} __attribute__((packed, may_alias));

static uint64_t get_unsigned(const void *at, size_t size)
{
	const union number *n = at;

	switch (size) {
	case 1:
		return n->one;
	case 2:
		return n->two;
	case 4:
		return n->four;
	default:
		return n->eight;
	}
}

/* False: the number does not fit. */
static bool set_unsigned(void *at, size_t size, uint64_t n)
{
	union number *to = at;

	switch (size) {
	case 1:
		to->one = (uint8_t)n;
		break;
	case 2:
		to->two = (uint16_t)n;
		break;
	case 4:
		to->four = (uint32_t)n;
		break;
	default:
		to->eight = n;
	}
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
	case PLAIN_PIDFD:
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
	case PLAIN_STRUCT:
		handover_open(w, row->tag);
		handover_put_plain(w, row->inner, at);
		handover_close(w);
		break;
	}
}

void handover_put_plain(
	struct handover_writer *w, const struct plain_table *table, const void *from)
{
	for (uint32_t i = 0; w->out != NULL && i < table->count; i++)
		handover_put_member(w, &table->rows[i], from);
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
	case PLAIN_PIDFD:
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
	case PLAIN_STRUCT:
		return f->type == HANDOVER_GROUP && handover_get_plain(row->inner, at, f) == 0;
	}
	return false;
}

int handover_take_member(const struct plain_row *row, void *to, const struct handover_field *f)
{
	return take_number(row, (char *)to + row->offset, f) ? 1 : -1;
}

int handover_take_plain(const struct plain_table *table, void *to, const struct handover_field *f)
{
	for (uint32_t i = 0; i < table->count; i++)
		if (table->rows[i].tag == f->tag)
			return handover_take_member(&table->rows[i], to, f);
	return 0;
}

void handover_clear_plain(const struct plain_table *table, void *to)
{
	for (uint32_t i = 0; i < table->count; i++) {
		const struct plain_row *row = &table->rows[i];
		char *at = (char *)to + row->offset;

		if (row->kind == PLAIN_WHEN)
			(void)set_signed(at, row->size, NSEC_NEVER);
		else if (row->kind == PLAIN_FD || row->kind == PLAIN_PIDFD)
			(void)set_signed(at, row->size, -1);
		else if (row->kind == PLAIN_STRUCT)
			handover_clear_plain(row->inner, at);
		else if (row->kind != PLAIN_BUFFER)
			memset(at, 0, row->size);
	}
}

int handover_get_plain(
	const struct plain_table *table, void *to, const struct handover_field *group)
{
	struct handover_reader r;
	struct handover_field f;

	handover_clear_plain(table, to);
	handover_enter(&r, group);
	while (handover_next(&r, &f))
		if (handover_take_plain(table, to, &f) == -1)
			return -1;
	return 0;
}
