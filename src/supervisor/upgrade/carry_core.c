/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "core/image.h"

#include <errno.h>

/* A cluster's core, part by part (core/image.h). */

static const unsigned tags[IMAGE_PARTS] = {
	[IMAGE_CLUSTER] = CARRY_CLUSTER,
	[IMAGE_SLOT] = CARRY_SLOT,
	[IMAGE_GENERATION] = CARRY_GENERATION,
};

static void put_part(struct carry_writer *c, const struct cluster *core,
	enum image_part part, uint32_t n)
{
	const struct cluster_settings *settings = image_settings(core, part, n);

	handover_open(&c->w, tags[part]);
	handover_put_plain(
		&c->w, &image_tables[part], image_part(core, part, n));
	if (settings != NULL)
		handover_put_u64(
			&c->w, CARRY_INDEX, carry_add(&c->settings, settings));
	if (part == IMAGE_SLOT && image_due(core, n) != NSEC_NEVER)
		handover_put_i64(&c->w, CARRY_DUE, image_due(core, n));
	handover_close(&c->w);
}

void carry_put_core(struct carry_writer *c, const struct cluster *core)
{
	handover_open(&c->w, CARRY_CORE);
	handover_put_u64(&c->w, CARRY_SLOTS, image_count(core, IMAGE_SLOT));
	handover_put_u64(
		&c->w, CARRY_GENERATIONS, image_count(core, IMAGE_GENERATION));
	for (int part = 0; part < IMAGE_PARTS; part++)
		for (uint32_t n = 0;
			n < image_count(core, (enum image_part)part); n++)
			put_part(c, core, (enum image_part)part, n);
	handover_close(&c->w);
}

static int get_part(struct carry_reader *r, struct cluster *core,
	enum image_part part, const struct handover_field *f)
{
	void *to = image_add(core, part);
	uint32_t last = image_count(core, IMAGE_SLOT) - 1;
	struct handover_reader in;
	struct handover_field m;

	if (to == NULL)
		return -1;
	handover_clear_plain(&image_tables[part], to);
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		if (m.tag == CARRY_INDEX && part != IMAGE_SLOT) {
			if (m.type != HANDOVER_U64 || m.u >= r->settings_count)
				return -1;
			image_set_settings(core, part,
				cluster_settings_ref(r->settings[m.u]));
		} else if (m.tag == CARRY_DUE && part == IMAGE_SLOT) {
			image_set_due(core, last, m.i);
		} else if (handover_take_plain(&image_tables[part], to, &m) ==
			-1) {
			return -1;
		}
	}
	return 0;
}

static int fill(struct carry_reader *r, struct cluster *core,
	const struct handover_field *f, struct error *err)
{
	struct handover_reader in;
	struct handover_field m;
	const char *wrong;

	handover_enter(&in, f);
	while (handover_next(&in, &m))
		for (int part = 0; part < IMAGE_PARTS; part++)
			if (m.tag == tags[part] &&
				get_part(r, core, (enum image_part)part, &m) ==
					-1)
				return carry_bad(err, "a cluster's core");
	wrong = image_finish(core);
	return wrong == NULL
		? 0
		: error_set(err, 0, "the state does not add up: %s", wrong);
}

int carry_get_core(struct carry_reader *r, const struct handover_field *f,
	struct cluster **core, struct error *err)
{
	struct handover_reader in;
	struct handover_field m;
	uint64_t slots = 0;
	uint64_t generations = 0;

	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		if (m.tag == CARRY_SLOTS)
			slots = m.u;
		else if (m.tag == CARRY_GENERATIONS)
			generations = m.u;
	}
	if (*core != NULL || slots > UINT32_MAX || generations > UINT32_MAX)
		return carry_bad(err, "a cluster's core");
	*core = image_new((uint32_t)slots, (uint32_t)generations);
	if (*core == NULL)
		return error_set(err, ENOMEM, "a cluster");
	return fill(r, *core, f, err);
}
