/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "supervisor/sockets/segment.h"

#include <errno.h>
#include <stdlib.h>

/* ---- saving ---- */

static void collect(struct carry_writer *c, const struct segment *segment)
{
	if (segment != NULL)
		(void)carry_add(&c->segments, segment);
}

void carry_put_segments(struct carry_writer *c)
{
	for (size_t i = 0; i < c->sup->service_count; i++) {
		const struct service *s = c->sup->services[i];

		collect(c, s->segment);
		collect(c, s->former);
		for (const struct recipe *r = s->recipes; r != NULL;
			r = r->next)
			collect(c, r->segment);
	}
	for (size_t i = 0; i < c->segments.count; i++) {
		handover_open(&c->w, CARRY_SEGMENT);
		carry_put(c, PLAIN_SEGMENT, c->segments.list[i]);
		handover_close(&c->w);
	}
}

void carry_put_memory(
	struct carry_writer *c, unsigned tag, const struct segment *segment)
{
	if (segment != NULL)
		handover_put_u64(&c->w, tag, carry_add(&c->segments, segment));
}

/* ---- loading ---- */

int carry_get_segment(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct segment **more = realloc(
		r->segments, (r->segment_count + 1) * sizeof(struct segment *));
	struct segment *s = calloc(1, sizeof(*s));
	struct handover_reader in;
	struct handover_field m;

	if (more != NULL)
		r->segments = more;
	if (more == NULL || s == NULL) {
		free(s);
		return error_set(err, ENOMEM, "shared memory");
	}
	more[r->segment_count++] = s;
	carry_clear(PLAIN_SEGMENT, s);
	s->users = 1;
	s->sup = r->sup;
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (carry_take(PLAIN_SEGMENT, s, &m, err) == -1)
			return -1;
	return s->fd != -1 ? 0 : carry_bad(err, "shared memory");
}

int carry_get_memory(struct carry_reader *r, const struct handover_field *f,
	struct segment **segment, struct error *err)
{
	if (f->type != HANDOVER_U64 || f->u >= r->segment_count ||
		*segment != NULL)
		return carry_bad(err, "shared memory");
	*segment = r->segments[f->u];
	r->segments[f->u]->users++;
	return 0;
}
