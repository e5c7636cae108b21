/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/pairs.h"
#include "core/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- saving ---- */

static void put_pair(void *to, const char *key, const char *text)
{
	struct carry_writer *c = to;

	handover_open(&c->w, CARRY_PAIR);
	handover_put_text(&c->w, 1, key);
	handover_put_text(&c->w, 2, text);
	handover_close(&c->w);
}

static void put_cluster(
	struct carry_writer *c, const struct cluster_settings *s)
{
	handover_open(&c->w, CARRY_SETTINGS);
	carry_put(c, PLAIN_CLUSTER_SETTINGS, s);
	handover_put_text(&c->w, CARRY_TEXT, s->name);
	if (pairs_of_cluster(s, put_pair, c) == -1)
		c->out.failed = true;
	if (carry_variant.more)
		put_pair(c, "of-a-later-version", "yes");
	for (size_t i = 0; i < s->command.count; i++)
		handover_put_text(&c->w, CARRY_WORD, s->command.list[i]);
	handover_close(&c->w);
}

/* All that anybody refers to, each once. */
static void collect(struct carry_writer *c)
{
	const struct supervisor *sup = c->sup;

	for (size_t i = 0; i < sup->settings->cluster_count; i++)
		(void)carry_add(&c->settings, sup->settings->clusters[i]);
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];
		const struct cluster_settings *waiting =
			image_settings(s->core, IMAGE_CLUSTER, 0);

		for (uint32_t g = 0; g < image_count(s->core, IMAGE_GENERATION);
			g++)
			(void)carry_add(&c->settings,
				image_settings(s->core, IMAGE_GENERATION, g));
		if (waiting != NULL)
			(void)carry_add(&c->settings, waiting);
		for (const struct recipe *r = s->recipes; r != NULL;
			r = r->next)
			(void)carry_add(&c->settings, r->settings);
	}
	carry_collect_hooks(c);
}

void carry_put_settings(struct carry_writer *c)
{
	collect(c);
	for (size_t i = 0; i < c->settings.count; i++)
		put_cluster(c, c->settings.list[i]);
}

static void put_origin(
	void *to, const char *key, enum origin_kind kind, unsigned line)
{
	struct carry_writer *c = to;

	handover_open(&c->w, CARRY_ORIGIN);
	handover_put_text(&c->w, 1, key);
	handover_put_u64(&c->w, 2, (uint64_t)kind);
	handover_put_u64(&c->w, 3, line);
	handover_close(&c->w);
}

void carry_put_instance(struct carry_writer *c)
{
	const struct settings *s = c->sup->settings;

	handover_open(&c->w, CARRY_INSTANCE);
	carry_put(c, PLAIN_INSTANCE, s);
	handover_put_text(&c->w, CARRY_TEXT, s->config_file);
	handover_put_text(&c->w, CARRY_WORD, pairs_file(s));
	if (pairs_of_instance(s, put_pair, c) == -1)
		c->out.failed = true;
	pairs_origins(s, PAIRS_INSTANCE, put_origin, c);
	for (size_t i = 0; i < s->cluster_count; i++) {
		handover_open(&c->w, CARRY_CLUSTER);
		handover_put_u64(&c->w, CARRY_INDEX,
			carry_add(&c->settings, s->clusters[i]));
		pairs_origins(s, i, put_origin, c);
		handover_close(&c->w);
	}
	handover_close(&c->w);
}

/* ---- loading ---- */

struct pair {
	char *key;
	char *text;
};

static void pair_fini(struct pair *p)
{
	free(p->key);
	free(p->text);
}

/* -1: it is none, or there is no memory. */
static int get_pair(struct pair *p, const struct handover_field *f)
{
	struct handover_reader in;
	struct handover_field m;

	*p = (struct pair){0};
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		if (m.tag == 1 && p->key == NULL)
			p->key = handover_text(&m);
		else if (m.tag == 2 && p->text == NULL)
			p->text = handover_text(&m);
	}
	if (p->key != NULL && p->text != NULL)
		return 0;
	pair_fini(p);
	return -1;
}

/* Who knows more keys than we is a later version; its users are told. */
static void note_skipped(struct carry_reader *r, const char *key)
{
	r->skipped++;
	(void)text_copy(r->skipped_key, sizeof(r->skipped_key), key);
}

static int take_pair(struct carry_reader *r, const struct handover_field *f,
	struct settings *instance, struct cluster_settings *cluster,
	struct error *err)
{
	struct pair p;
	int got;

	if (get_pair(&p, f) == -1)
		return carry_bad(err, "a setting");
	got = cluster != NULL
		? pairs_put_cluster(cluster, p.key, p.text, err)
		: pairs_put_instance(instance, p.key, p.text, err);
	if (got == 1)
		note_skipped(r, p.key);
	if (got == -1)
		(void)error_wrap(err, "setting '%s'", p.key);
	pair_fini(&p);
	return got == -1 ? -1 : 0;
}

static int add_word(struct strings *list, const struct handover_field *f)
{
	char **more = realloc(list->list, (list->count + 2) * sizeof(*more));

	if (more == NULL)
		return -1;
	list->list = more;
	more[list->count] = handover_text(f);
	if (more[list->count] == NULL)
		return -1;
	more[++list->count] = NULL;
	return 0;
}

static void words_free(struct strings *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->list[i]);
	free(words->list);
	*words = (struct strings){0};
}

/* As they are run, and not as a text is split. */
static void take_words(struct cluster_settings *s, struct strings *words)
{
	struct strings was = s->command;

	if (words->count == 0)
		return;
	s->command = *words;
	*words = was;
}

static int fill_cluster(struct carry_reader *r, struct cluster_settings *s,
	const struct handover_field *f, struct error *err)
{
	struct strings words = {0};
	struct handover_reader in;
	struct handover_field m;
	int got = 0;

	handover_enter(&in, f);
	while (got != -1 && handover_next(&in, &m)) {
		if (m.tag == CARRY_PAIR)
			got = take_pair(r, &m, NULL, s, err);
		else if (m.tag == CARRY_TEXT && s->name == NULL)
			s->name = handover_text(&m);
		else if (m.tag == CARRY_WORD)
			got = add_word(&words, &m) == -1
				? carry_bad(err, "a command")
				: 0;
		else
			got = carry_take(PLAIN_CLUSTER_SETTINGS, s, &m, err);
	}
	take_words(s, &words);
	words_free(&words);
	pairs_finish_cluster(s);
	if (got != -1 && (s->name == NULL || s->command.count == 0))
		got = carry_bad(err, "the settings");
	return got == -1 ? -1 : 0;
}

int carry_get_settings(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct cluster_settings *s = pairs_new_cluster();
	struct cluster_settings **list =
		realloc(r->settings, (r->settings_count + 1) * sizeof(*list));

	if (list != NULL)
		r->settings = list;
	if (s == NULL || list == NULL) {
		cluster_settings_unref(s);
		return error_set(err, ENOMEM, "settings");
	}
	list[r->settings_count++] = s;
	carry_clear(PLAIN_CLUSTER_SETTINGS, s);
	return fill_cluster(r, s, f, err);
}

static int get_origin(struct settings *s, size_t at,
	const struct handover_field *f, struct error *err)
{
	struct handover_reader in;
	struct handover_field m;
	scoped_str key = NULL;
	uint64_t kind = ORIGIN_DEFAULT;
	uint64_t line = 0;

	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		if (m.tag == 1 && key == NULL)
			key = handover_text(&m);
		else if (m.tag == 2)
			kind = m.u;
		else if (m.tag == 3)
			line = m.u;
	}
	if (key == NULL || kind > ORIGIN_ARGV || line > INT32_MAX)
		return carry_bad(err, "an origin");
	pairs_set_origin(s, at, key, (enum origin_kind)kind, (unsigned)line);
	return 0;
}

static int get_cluster(struct carry_reader *r, struct settings *s,
	const struct handover_field *f, struct error *err)
{
	struct handover_reader in;
	struct handover_field m;
	bool found = false;

	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		if (m.tag == CARRY_INDEX && !found) {
			found = m.u < r->settings_count;
			if (!found ||
				pairs_add_cluster(s,
					cluster_settings_ref(
						r->settings[m.u])) == -1)
				return carry_bad(err, "the instance");
		} else if (m.tag == CARRY_ORIGIN && found &&
			get_origin(s, s->cluster_count - 1, &m, err) == -1) {
			return -1;
		}
	}
	return found ? 0 : carry_bad(err, "the instance");
}

static int take_file(struct settings *s, const struct handover_field *f)
{
	scoped_str file = handover_text(f);

	return file != NULL ? pairs_set_file(s, file) : -1;
}

static int fill_instance(struct carry_reader *r, struct settings *s,
	const struct handover_field *f, struct error *err)
{
	struct handover_reader in;
	struct handover_field m;
	int got = 0;

	handover_enter(&in, f);
	while (got != -1 && handover_next(&in, &m)) {
		if (m.tag == CARRY_PAIR)
			got = take_pair(r, &m, s, NULL, err);
		else if (m.tag == CARRY_ORIGIN)
			got = get_origin(s, PAIRS_INSTANCE, &m, err);
		else if (m.tag == CARRY_CLUSTER)
			got = get_cluster(r, s, &m, err);
		else if (m.tag == CARRY_TEXT && s->config_file == NULL)
			s->config_file = handover_text(&m);
		else if (m.tag == CARRY_WORD)
			got = take_file(s, &m) == -1
				? carry_bad(err, "the instance")
				: 0;
		else
			got = carry_take(PLAIN_INSTANCE, s, &m, err);
	}
	if (got != -1 && s->name == NULL)
		got = carry_bad(err, "the instance");
	return got == -1 ? -1 : 0;
}

int carry_get_instance(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct settings *s = pairs_new_instance();

	if (s == NULL || r->sup->settings != NULL) {
		settings_free(s);
		return s == NULL ? error_set(err, ENOMEM, "settings")
				 : carry_bad(err, "the instance");
	}
	carry_clear(PLAIN_INSTANCE, s);
	r->sup->settings = s;
	return fill_instance(r, s, f, err);
}
