/* SPDX-License-Identifier: MIT */
#include "supervisor/common/carried.h"

#include "base/scope.h"
#include "config/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

static void *pointer_at(const void *at)
{
	void *one;

	memcpy(&one, at, sizeof(one));
	return one;
}

/* The member with the length of the row's array. */
static size_t *count_of(const struct plain_row *row, const void *of)
{
	return (size_t *)((uintptr_t)of + row->most);
}

static void put_several(struct carry_writer *c, const struct plain_row *row, const void *of)
{
	const char *list = pointer_at((const char *)of + row->offset);
	size_t count = list != NULL ? *count_of(row, of) : 0;
	bool pointers = row->kind != CARRY_ROW_ARRAY;

	for (size_t i = 0; i < count; i++) {
		const void *one = pointers ? pointer_at(list + i * sizeof(void *))
					   : list + i * row->what->size;

		if (row->kind == CARRY_ROW_REFERENCES)
			carry_put_index(c, row->tag, (enum carry_kind)row->each, one);
		else if (row->kind == CARRY_ROW_TEXTS)
			handover_put_text(&c->w, row->tag, one);
		else
			carry_put_one(c, row->tag, row->what, one);
	}
}

static void put_member(struct carry_writer *c, const struct plain_row *row, const void *of)
{
	int fd;

	if (c->w.out == NULL)
		return; /* the first pass only collects references */
	if (carry_variant.less && row->tag == CARRY_TEXT && !row->must)
		return;
	if (row->kind == PLAIN_FD) {
		memcpy(&fd, (const char *)of + row->offset, sizeof(fd));
		if (fd >= 0)
			buffer_append(&c->descriptors, &fd, sizeof(fd));
	}
	handover_put_member(&c->w, row, of);
}

static void put_row(struct carry_writer *c, const struct plain_row *row, const void *of)
{
	const char *at = (const char *)of + row->offset;

	switch ((int)row->kind) {
	case CARRY_ROW_REFERENCE:
		carry_put_index(c, row->tag, (enum carry_kind)row->each, pointer_at(at));
		break;
	case CARRY_ROW_REFERRED:
		for (size_t i = 0; i < c->lists[row->most].count; i++)
			carry_put_one(c, row->tag, row->what, c->lists[row->most].list[i]);
		break;
	case CARRY_ROW_REFERENCES:
	case CARRY_ROW_ARRAY:
	case CARRY_ROW_POINTERS:
	case CARRY_ROW_TEXTS:
		put_several(c, row, of);
		break;
	case CARRY_ROW_LIST:
		for (; (at = pointer_at(at)) != NULL; at += row->most)
			carry_put_one(c, row->tag, row->what, at);
		break;
	case CARRY_ROW_GROUP:
		carry_put_one(c, row->tag, row->what, pointer_at(at));
		break;
	case CARRY_ROW_INSIDE:
		carry_put_one(c, row->tag, row->what, at);
		break;
	case CARRY_ROW_BESIDE:
		carry_put_all(c, row->what, of);
		break;
	case CARRY_ROW_APART:
		at = pointer_at(at);
		if (at != NULL)
			carry_put_all(c, row->what, at);
		break;
	case CARRY_ROW_EACH:
		break;
	case CARRY_ROW_BYTES:
		at = pointer_at(at);
		if (at != NULL)
			handover_put_bytes(&c->w, row->tag, at, *count_of(row, of) * row->each);
		break;
	default:
		put_member(c, row, of);
	}
}

void carry_put_all(struct carry_writer *c, const struct carried *what, const void *of)
{
	for (uint32_t i = 0; i < what->row_count; i++)
		put_row(c, &what->rows[i], of);
	if (what->put != NULL)
		what->put(c, of);
}

void carry_put_one(struct carry_writer *c, unsigned tag, const struct carried *what, const void *of)
{
	if (of == NULL)
		return;
	handover_open(&c->w, tag);
	carry_put_all(c, what, of);
	if (carry_variant.more)
		handover_put_u64(&c->w, CARRY_UNKNOWN, 7);
	handover_close(&c->w);
}

/* Returns the index of an item in the list of its kind; a new item is added.  The list is short
 * enough to be searched.  SIZE_MAX, which readers refuse: no memory. */
static size_t find_or_add(struct carry_list *list, const void *item)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->list[i] == item)
			return i;
	if (list->count == list->cap) {
		size_t cap = list->cap != 0 ? 2 * list->cap : 16;
		void **more = realloc(list->list, cap * sizeof(*more));

		if (more == NULL)
			return SIZE_MAX;
		list->list = more;
		list->cap = cap;
	}
	list->list[list->count] = (void *)(uintptr_t)item;
	return list->count++;
}

void carry_put_index(struct carry_writer *c, unsigned tag, enum carry_kind kind, const void *item)
{
	if (item == NULL)
		return;
	handover_put_u64(&c->w, tag,
		kind == CARRY_OF_CLUSTERS ? ((const struct service *)item)->index
					  : find_or_add(&c->lists[kind], item));
}

void carry_fini(struct carry_writer *c)
{
	buffer_fini(&c->out);
	buffer_fini(&c->descriptors);
	for (int i = 0; i < CARRY_KINDS; i++)
		free(c->lists[i].list);
}

/* ---- reading ---- */

static void clear_struct(const struct carried *what, void *to)
{
	handover_clear_members(what->rows, what->row_count, to);
	for (uint32_t i = 0; i < what->row_count; i++) {
		const struct plain_row *row = &what->rows[i];

		if (row->kind == CARRY_ROW_BESIDE || row->kind == CARRY_ROW_INSIDE)
			clear_struct(row->what, (char *)to + row->offset);
	}
}

/* The struct that the field refers to, with one more reference or use; or NULL. */
static void *add_reference(
	const struct carry_reader *r, enum carry_kind kind, const struct handover_field *f)
{
	void *one = carry_at(r, kind, f);

	if (one == NULL)
		return NULL;
	if (kind == CARRY_OF_SETTINGS)
		(void)cluster_settings_ref(one);
	else if (kind == CARRY_OF_LISTENERS)
		((struct listener *)one)->users++;
	else if (kind == CARRY_OF_SEGMENTS)
		((struct segment *)one)->users++;
	return one;
}

/* Add an element of zeros to the row's array. */
static void *grow_array(const struct plain_row *row, void *to, size_t size)
{
	void **at = (void **)((uintptr_t)to + row->offset);
	size_t *count = count_of(row, to);
	char *more = realloc(*at, (*count + 1) * size);

	if (more == NULL)
		return NULL;
	*at = more;
	return memset(more + (*count)++ * size, 0, size);
}

/* Add a pointer to the row's array.  1; -1: no memory, or `one` is NULL. */
static int append_pointer(const struct plain_row *row, void *to, void *one)
{
	void **at = one != NULL ? grow_array(row, to, sizeof(one)) : NULL;

	if (at == NULL)
		return -1;
	*at = one;
	return 1;
}

static int take_bytes(const struct plain_row *row, void *to, const struct handover_field *f)
{
	void **at = (void **)((uintptr_t)to + row->offset);

	if (f->type != HANDOVER_BYTES || f->len % row->each != 0 || *at != NULL)
		return -1;
	*at = malloc(f->len + 1);
	if (*at == NULL)
		return -1;
	memcpy(*at, f->data, f->len);
	*count_of(row, to) = f->len / row->each;
	return 1;
}

/* Make an empty struct in the place that the row says.  NULL: no memory. */
static void *make_struct(struct carry_reader *r, const struct plain_row *row, void *to)
{
	void **at = (void **)((uintptr_t)to + row->offset);
	bool made = row->what->make != NULL;
	void *one;

	if (row->kind == CARRY_ROW_ARRAY)
		return grow_array(row, to, row->what->size);
	one = made ? row->what->make(r, to) : calloc(1, row->what->size);
	if (one == NULL)
		return NULL;
	if (row->kind == CARRY_ROW_REFERRED && find_or_add(&r->lists[row->most], one) == SIZE_MAX)
		return NULL;
	if (row->kind == CARRY_ROW_POINTERS && !made && append_pointer(row, to, one) == -1)
		return NULL;
	if (row->kind == CARRY_ROW_GROUP)
		*at = one;
	if (row->kind == CARRY_ROW_LIST && !made) {
		while (*at != NULL)
			at = (void **)((uintptr_t)*at + row->most);
		*at = one;
	}
	return one;
}

static int take_row(struct carry_reader *r, const struct plain_row *row, void *to,
	const struct handover_field *f)
{
	void **at = (void **)((uintptr_t)to + row->offset);

	switch ((int)row->kind) {
	case CARRY_ROW_REFERENCE:
		if (*at != NULL)
			return -1;
		*at = add_reference(r, (enum carry_kind)row->each, f);
		return *at != NULL ? 1 : -1;
	case CARRY_ROW_REFERENCES:
		return append_pointer(row, to, add_reference(r, (enum carry_kind)row->each, f));
	case CARRY_ROW_INSIDE:
		return carry_get_one(r, row->what, at, f);
	case CARRY_ROW_BYTES:
		return take_bytes(row, to, f);
	case CARRY_ROW_TEXTS: {
		scoped_str text = handover_text(f);

		return text != NULL && strings_add((struct strings *)at, text) == 0 ? 1 : -1;
	}
	case CARRY_ROW_GROUP:
		if (*at != NULL)
			return -1;
		break;
	case CARRY_ROW_REFERRED:
	case CARRY_ROW_LIST:
	case CARRY_ROW_ARRAY:
	case CARRY_ROW_POINTERS:
	case CARRY_ROW_EACH:
		break;
	default:
		return handover_take_member(row, to, f);
	}
	return carry_get_one(r, row->what, make_struct(r, row, to), f);
}

static bool has_row(const struct carried *what, unsigned tag)
{
	return array_find(row, what->rows, what->row_count, row->tag == tag) != NULL;
}

/* The struct that the row's member points to; made if there is none.  NULL: no memory. */
static void *struct_apart(const struct plain_row *row, void *to)
{
	void **at = (void **)((uintptr_t)to + row->offset);

	if (*at == NULL)
		*at = calloc(1, row->what->size);
	return *at;
}

static int take_field(struct carry_reader *r, const struct carried *what, void *to,
	const struct handover_field *f)
{
	int got = 0;

	if (to == NULL)
		return carry_no_memory(r, what->called);
	if (what->take != NULL)
		got = what->take(r, to, f);
	for (uint32_t i = 0; got == 0 && i < what->row_count; i++) {
		const struct plain_row *row = &what->rows[i];

		if (row->kind == CARRY_ROW_BESIDE)
			got = take_field(r, row->what, to, f);
		else if (row->kind == CARRY_ROW_APART && has_row(row->what, f->tag))
			got = take_field(r, row->what, struct_apart(row, to), f);
		else if (row->tag == f->tag)
			got = take_row(r, row, to, f);
	}
	return got;
}

/* Is the member set?  A descriptor that is not set is -1, other members are zeros. */
static bool is_set(const struct plain_row *row, const char *at)
{
	const char none = (char)(row->kind == PLAIN_FD ? -1 : 0);

	return array_find(byte, at, row->size, *byte != none) != NULL;
}

/* Are all members set that a row requires? */
static bool is_whole(const struct carried *what, const void *of)
{
	for (uint32_t i = 0; i < what->row_count; i++) {
		const struct plain_row *row = &what->rows[i];

		if (row->kind == CARRY_ROW_BESIDE && !is_whole(row->what, of))
			return false;
		if (row->must && !is_set(row, (const char *)of + row->offset))
			return false;
	}
	return true;
}

static int fill_struct(
	struct carry_reader *r, const struct carried *what, void *to, struct handover_reader *in)
{
	struct handover_field f;

	while (handover_next(in, &f))
		if (take_field(r, what, to, &f) == -1)
			return -1;
	if (!is_whole(what, to))
		return -1;
	return what->done != NULL ? what->done(r, to) : 0;
}

int carry_get_all(
	struct carry_reader *r, const struct carried *what, void *to, struct handover_reader *in)
{
	clear_struct(what, to);
	if (fill_struct(r, what, to, in) != -1)
		return 1;
	if (*r->err->text != '\0')
		return -1;
	return error_set(r->err, 0, "the state of %s is not understood", what->called);
}

int carry_get_one(struct carry_reader *r, const struct carried *what, void *to,
	const struct handover_field *f)
{
	struct handover_reader in;

	if (to == NULL)
		return carry_no_memory(r, what->called);
	handover_enter(&in, f);
	return carry_get_all(r, what, to, &in);
}

void *carry_at(const struct carry_reader *r, enum carry_kind kind, const struct handover_field *f)
{
	const struct carry_list *list = &r->lists[kind];
	struct carry_list services;

	if (kind == CARRY_OF_CLUSTERS) {
		services = (struct carry_list){(void **)r->sup->services, r->sup->service_count, 0};
		list = &services;
	}
	return f->type == HANDOVER_U64 && f->u < list->count ? list->list[f->u] : NULL;
}

int carry_no_memory(struct carry_reader *r, const char *what)
{
	return error_set(r->err, ENOMEM, "%s", what);
}
