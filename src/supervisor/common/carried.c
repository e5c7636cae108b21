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

static struct plain_table table_of(const struct carried *what)
{
	return (struct plain_table){what->rows, what->row_count, what->size};
}

static void put_members(
	struct carry_writer *c, const struct carried *what, const void *of)
{
	const struct plain_table table = table_of(what);

	handover_put_plain(&c->w, &table, of);
	for (uint32_t i = 0; i < table.count; i++) {
		const struct plain_row *row = &table.rows[i];
		int fd;

		if (row->kind != PLAIN_FD && row->kind != PLAIN_PIDFD)
			continue;
		(void)memcpy(&fd, (const char *)of + row->offset, sizeof(fd));
		/* a pidfd is looked at by waiting for it: carry_verify() */
		note_descriptor(c, fd, c->lasting && row->kind == PLAIN_FD);
	}
}

/* Where its owner has the pointer to it. */
static void **place(const struct carried *what, const void *owner)
{
	return (void **)((uintptr_t)owner + what->at);
}

void carry_put_all(
	struct carry_writer *c, const struct carried *what, const void *of)
{
	put_members(c, what, of);
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
	if (item != NULL)
		handover_put_u64(&c->w, tag, carry_add(&c->lists[kind], item));
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
	const struct plain_table table = table_of(what);

	handover_clear_plain(&table, to);
	for (size_t i = 0; what->more != NULL && what->more[i] != NULL; i++)
		if (what->more[i]->tag == 0)
			clear(what->more[i], to);
}

/* A group of its own: it comes once. */
static int take_group(struct carry_reader *r, const struct carried *what,
	void *owner, const struct handover_field *f)
{
	if (f->tag != what->tag)
		return 0;
	if (*place(what, owner) != NULL)
		return -1;
	return carry_get_one(r, what, what->make(owner), f);
}

static int take(struct carry_reader *r, const struct carried *what, void *to,
	const struct handover_field *f)
{
	const struct plain_table table = table_of(what);
	int got = what->take != NULL ? what->take(r, to, f) : 0;

	if (got == 0)
		got = handover_take_plain(&table, to, f);
	for (size_t i = 0;
		got == 0 && what->more != NULL && what->more[i] != NULL; i++)
		got = what->more[i]->tag != 0
			? take_group(r, what->more[i], to, f)
			: take(r, what->more[i], to, f);
	return got;
}

static int fill(struct carry_reader *r, const struct carried *what, void *to,
	struct handover_reader *in)
{
	struct handover_field f;

	while (handover_next(in, &f))
		if (take(r, what, to, &f) == -1)
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
	const struct carry_list *list = &r->lists[kind];

	return f->type == HANDOVER_U64 && f->u < list->count ? list->list[f->u]
							     : NULL;
}

struct service *carry_service_at(
	const struct carry_reader *r, const struct handover_field *f)
{
	return f->type == HANDOVER_U64 && f->u < r->sup->service_count
		? r->sup->services[f->u]
		: NULL;
}

int carry_take_text(char **to, const struct handover_field *f)
{
	if (*to == NULL)
		*to = handover_text(f);
	return 1;
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
