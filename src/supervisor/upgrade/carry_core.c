/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/upgrade.h"

#include "core/cluster.h"
#include "supervisor/common/news.h"

/* How a cluster's core goes through an upgrade, by the tables of core/cluster.h. */

static const unsigned tags[IMAGE_PARTS] = {
	[IMAGE_CLUSTER] = CARRY_CLUSTER,
	[IMAGE_SLOT] = CARRY_SLOT,
	[IMAGE_GENERATION] = CARRY_GENERATION,
};

static void put_part(
	struct carry_writer *c, const struct cluster *core, enum image_part part, uint32_t n)
{
	handover_open(&c->w, tags[part]);
	handover_put_plain(&c->w, &image_tables[part], image_part(core, part, n));
	carry_put_index(c, CARRY_INDEX, CARRY_OF_SETTINGS, image_settings(core, part, n));
	if (part == IMAGE_SLOT && image_due(core, n) != NSEC_NEVER)
		handover_put_i64(&c->w, CARRY_DUE, image_due(core, n));
	handover_close(&c->w);
}

static void put_core(struct carry_writer *c, const void *of)
{
	const struct cluster *core = ((const struct service *)of)->core;

	handover_open(&c->w, CARRY_CORE);
	handover_put_u64(&c->w, CARRY_SLOTS, image_count(core, IMAGE_SLOT));
	handover_put_u64(&c->w, CARRY_GENERATIONS, image_count(core, IMAGE_GENERATION));
	for (int part = 0; part < IMAGE_PARTS; part++)
		for (uint32_t n = 0; n < image_count(core, (enum image_part)part); n++)
			put_part(c, core, (enum image_part)part, n);
	handover_close(&c->w);
}

/* ---- loading ---- */

static int get_part(struct carry_reader *r, struct cluster *core, enum image_part part,
	const struct handover_field *f)
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
			struct cluster_settings *settings = carry_at(r, CARRY_OF_SETTINGS, &m);

			if (settings == NULL)
				return -1;
			image_set_settings(core, part, cluster_settings_ref(settings));
		} else if (m.tag == CARRY_DUE && part == IMAGE_SLOT) {
			image_set_due(core, last, m.i);
		} else if (handover_take_plain(&image_tables[part], to, &m) == -1) {
			return -1;
		}
	}
	return 0;
}

static int take_part(struct carry_reader *r, void *to, const struct handover_field *f)
{
	for (int part = 0; part < IMAGE_PARTS; part++)
		if (f->tag == tags[part])
			return get_part(r, to, (enum image_part)part, f);
	return 0;
}

static int core_done(struct carry_reader *r, void *to)
{
	const char *wrong = image_finish(to);

	return wrong == NULL ? 0 : error_set(r->err, 0, "the state does not add up: %s", wrong);
}

static const struct carried core_parts = {
	.called = "a cluster's core",
	.take = take_part,
	.done = core_done,
};

/* Make the core with the number of slots and generations that its group says, and read it. */
static int take_core(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct service *s = to;
	struct handover_reader in;
	struct handover_field m;
	uint64_t slots = 0;
	uint64_t generations = 0;

	if (f->tag != CARRY_CORE)
		return 0;
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		if (m.tag == CARRY_SLOTS)
			slots = m.u;
		else if (m.tag == CARRY_GENERATIONS)
			generations = m.u;
	}
	if (s->core != NULL || slots > UINT32_MAX || generations > UINT32_MAX)
		return -1;
	s->core = image_new((uint32_t)slots, (uint32_t)generations);
	return carry_get_one(r, &core_parts, s->core, f);
}

const struct carried carried_core = {
	.put = put_core,
	.take = take_core,
};

/* ---- events that are still to be published, with reports of the core ---- */

static const struct plain_row news_rows[] = {
	PLAIN(1, news, cluster, TEXT),
	PLAIN_IN(2, news, report, &image_report_table),
	PLAIN(3, news, serial, UNSIGNED),
	PLAIN(4, news, patience, SIGNED),
	PLAIN(5, news, last, TEXT),
	PLAIN(6, news, explain, TEXT),
	PLAIN(7, news, bind_hint, BOOL),
	PLAIN(8, news, asked_again, UNSIGNED),
	PLAIN(9, news, busy, UNSIGNED),
};

const struct carried carried_event = {
	.called = "an event",
	CARRIED_ROWS(news_rows, news),
};
