/* SPDX-License-Identifier: MIT */
#include "supervisor/common/carried.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- writing ---- */

static void note_descriptor(struct carry_writer *c, int fd, bool look)
{
	uint64_t words[3] = {(uint64_t)(unsigned)fd};
	struct stat st;

	if (fd < 0)
		return;
	/* one that is not open is found to be missing by who reads */
	if (look && fstat(fd, &st) == 0) {
		words[0] |= (uint64_t)(st.st_mode & S_IFMT) << 32;
		words[1] = (uint64_t)st.st_dev;
		words[2] = (uint64_t)st.st_ino;
	}
	(void)buffer_append(&c->descriptors, words, sizeof(words));
}

static void put_list(
	struct carry_writer *c, const struct plain_row *row, const char *at)
{
	const void *one;

	for (;; at = (const char *)one + row->most) {
		(void)memcpy(&one, at, sizeof(one));
		if (one == NULL)
			return;
		carry_put_one(c, row->what, one);
	}
}

static void put_row(
	struct carry_writer *c, const struct plain_row *row, const void *of)
{
	const char *at = (const char *)of + row->offset;
	const void *one;
	size_t count;
	int fd;

	if (c->w.out == NULL && row->kind < CARRY_ROW_REFERENCE)
		return; /* nothing but references counts yet */
	switch ((int)row->kind) {
	case CARRY_ROW_REFERENCE:
		(void)memcpy(&one, at, sizeof(one));
		carry_put_index(c, row->tag, (enum carry_kind)row->most, one);
		return;
	case CARRY_ROW_LIST:
		put_list(c, row, at);
		return;
	case CARRY_ROW_ARRAY:
		(void)memcpy(&one, at, sizeof(one));
		(void)memcpy(
			&count, (const char *)of + row->most, sizeof(count));
		for (size_t i = 0; i < count; i++)
			carry_put_one(c, row->what,
				(const char *)one + i * row->what->size);
		return;
	case CARRY_ROW_GROUP:
		(void)memcpy(&one, at, sizeof(one));
		carry_put_one(c, row->what, one);
		return;
	case CARRY_ROW_INSIDE:
		carry_put_one(c, row->what, at);
		return;
	case CARRY_ROW_EACH:
		return;
	case PLAIN_FD:
	case PLAIN_PIDFD:
		(void)memcpy(&fd, at, sizeof(fd));
		/* a pidfd is looked at by waiting for it: carry_verify() */
		note_descriptor(c, fd, c->lasting && row->kind == PLAIN_FD);
		break;
	}
	handover_put_member(&c->w, row, of);
}

/* Where its owner has the pointer to it. */
static void **place(const struct carried *what, const void *owner)
{
	return (void **)((uintptr_t)owner + what->at);
}

void carry_put_all(
	struct carry_writer *c, const struct carried *what, const void *of)
{
	for (uint32_t i = 0; i < what->row_count; i++)
		put_row(c, &what->rows[i], of);
	if (what->put != NULL)
		what->put(c, of);
	for (size_t i = 0; what->more != NULL && what->more[i] != NULL; i++)
		if (what->more[i]->tag != 0)
			carry_put_one(
				c, what->more[i], *place(what->more[i], of));
		else
			carry_put_all(c, what->more[i], of);
}

void carry_put_one(
	struct carry_writer *c, const struct carried *what, const void *of)
{
	if (of == NULL)
		return;
	handover_open(&c->w, what->tag);
	carry_put_all(c, what, of);
	handover_close(&c->w);
}

/* A list so short that it is searched. */
size_t carry_add(struct carry_list *list, const void *item)
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

void carry_put_index(struct carry_writer *c, unsigned tag, enum carry_kind kind,
	const void *item)
{
	if (item == NULL)
		return;
	handover_put_u64(&c->w, tag,
		kind == CARRY_OF_CLUSTERS
			? ((const struct service *)item)->index
			: carry_add(&c->lists[kind], item));
}

void carry_fini(struct carry_writer *c)
{
	buffer_fini(&c->out);
	buffer_fini(&c->descriptors);
	for (int i = 0; i < CARRY_KINDS; i++)
		free(c->lists[i].list);
}

/* ---- reading ---- */

static void clear(const struct carried *what, void *to)
{
	const struct plain_table table = {
		what->rows, what->row_count, what->size};

	handover_clear_plain(&table, to);
	for (size_t i = 0; what->more != NULL && what->more[i] != NULL; i++)
		if (what->more[i]->tag == 0)
			clear(what->more[i], to);
}

static int take_reference(struct carry_reader *r, enum carry_kind kind,
	void **to, const struct handover_field *f)
{
	void *one = carry_at(r, kind, f);

	if (one == NULL || *to != NULL)
		return -1;
	*to = one;
	if (kind == CARRY_OF_SETTINGS)
		(void)cluster_settings_ref(one);
	else if (kind == CARRY_OF_LISTENERS)
		((struct listener *)one)->users++;
	else if (kind == CARRY_OF_SEGMENTS)
		((struct segment *)one)->users++;
	return 1;
}

/* An empty one at the end of the list. */
static void *append(const struct plain_row *row, void **at)
{
	while (*at != NULL)
		at = (void **)((uintptr_t)*at + row->most);
	*at = calloc(1, row->what->size);
	return *at;
}

static int take_row(struct carry_reader *r, const struct plain_row *row,
	void *to, const struct handover_field *f)
{
	void **at = (void **)((uintptr_t)to + row->offset);

	switch ((int)row->kind) {
	case CARRY_ROW_REFERENCE:
		return take_reference(r, (enum carry_kind)row->most, at, f);
	case CARRY_ROW_GROUP:
		if (*at != NULL)
			return -1;
		*at = row->what->make(r, to);
		return carry_get_one(r, row->what, *at, f);
	case CARRY_ROW_INSIDE:
		return carry_get_one(r, row->what, at, f);
	case CARRY_ROW_LIST:
	case CARRY_ROW_ARRAY:
	case CARRY_ROW_EACH:
		return carry_get_one(r, row->what,
			row->what->make != NULL ? row->what->make(r, to)
						: append(row, at),
			f);
	default:
		return handover_take_member(row, to, f);
	}
}

static int take(struct carry_reader *r, const struct carried *what, void *to,
	const struct handover_field *f);

/* A group of its own comes once. */
static int take_more(struct carry_reader *r, const struct carried *what,
	void *owner, const struct handover_field *f)
{
	if (what->tag == 0)
		return take(r, what, owner, f);
	if (f->tag != what->tag)
		return 0;
	if (*place(what, owner) != NULL)
		return -1;
	return carry_get_one(r, what, what->make(r, owner), f);
}

static int take(struct carry_reader *r, const struct carried *what, void *to,
	const struct handover_field *f)
{
	int got = what->take != NULL ? what->take(r, to, f) : 0;

	for (uint32_t i = 0; got == 0 && i < what->row_count; i++)
		if (what->rows[i].tag == f->tag)
			got = take_row(r, &what->rows[i], to, f);
	for (size_t i = 0;
		got == 0 && what->more != NULL && what->more[i] != NULL; i++)
		got = take_more(r, what->more[i], to, f);
	return got;
}

/* A descriptor that is not there is -1, and all else nothing but zeros. */
static bool is_there(const struct plain_row *row, const char *at)
{
	char none = row->kind == PLAIN_FD || row->kind == PLAIN_PIDFD ? -1 : 0;

	for (size_t i = 0; i < row->size; i++)
		if (at[i] != none)
			return true;
	return false;
}

static int fill(struct carry_reader *r, const struct carried *what, void *to,
	struct handover_reader *in)
{
	struct handover_field f;

	while (handover_next(in, &f))
		if (take(r, what, to, &f) == -1)
			return -1;
	for (uint32_t i = 0; i < what->row_count; i++)
		if (what->rows[i].must &&
			!is_there(&what->rows[i],
				(const char *)to + what->rows[i].offset))
			return -1;
	return what->done != NULL ? what->done(r, to) : 0;
}

int carry_get_all(struct carry_reader *r, const struct carried *what, void *to,
	struct handover_reader *in)
{
	clear(what, to);
	if (fill(r, what, to, in) != -1)
		return 1;
	if (*r->err->text != '\0')
		return -1;
	return error_set(
		r->err, 0, "the state of %s is not understood", what->called);
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

void *carry_at(const struct carry_reader *r, enum carry_kind kind,
	const struct handover_field *f)
{
	const struct carry_list services = {
		(void **)r->sup->services, r->sup->service_count, 0};
	const struct carry_list *list =
		kind == CARRY_OF_CLUSTERS ? &services : &r->lists[kind];

	return f->type == HANDOVER_U64 && f->u < list->count ? list->list[f->u]
							     : NULL;
}

int carry_take_word(char ***list, size_t *count, const struct handover_field *f)
{
	char **more = realloc(*list, (*count + 2) * sizeof(*more));

	if (more == NULL)
		return -1;
	*list = more;
	more[*count] = handover_text(f);
	if (more[*count] == NULL)
		return -1;
	more[++*count] = NULL;
	return 1;
}

int carry_no_memory(struct carry_reader *r, const char *what)
{
	return error_set(r->err, ENOMEM, "%s", what);
}
