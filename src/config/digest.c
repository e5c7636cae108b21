/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "config/option.h"

#include <string.h>

/* FNV-1a. */
static uint64_t stir(uint64_t sum, const void *data, size_t size)
{
	const unsigned char *at = data;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ at[i]) * UINT64_C(1099511628211);
	return sum;
}

static uint64_t stir_row(uint64_t sum, const struct option_row *row,
	const struct cluster_settings *c, struct buffer *text)
{
	size_t count = field_count(row, c);
	char key[40];

	buffer_clear(text);
	for (size_t n = 0; n < count; n++) {
		(void)buffer_printf(text, "%s=", field_key(row, c, n, key));
		(void)field_format(row, c, n, text);
		(void)buffer_append(text, "", 1);
	}
	if (text->len > 0)
		sum = stir(sum, text->data, text->len);
	if (row->type == OPT_USER) {
		sum = stir(sum, &c->uid, sizeof(c->uid));
		sum = stir(sum, &c->user_gid, sizeof(c->user_gid));
	}
	if (row->type == OPT_GROUP && c->group != NULL)
		sum = stir(sum, &c->gid, sizeof(c->gid));
	return sum;
}

static uint64_t digest(const struct cluster_settings *c, bool workers)
{
	uint64_t sum = UINT64_C(14695981039346656037);
	struct buffer text;

	buffer_init(&text, 0);
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (row->section == NULL ||
			strcmp(row->section, "cluster") != 0)
			continue;
		if (workers ? row->type == OPT_WORKERS
			    : row->change >= CHANGE_ROLL)
			sum = stir_row(sum, row, c, &text);
	}
	if (text.failed)
		sum = 0; /* unlike any other */
	buffer_fini(&text);
	return sum;
}

uint64_t config_digest(const struct cluster_settings *c)
{
	return digest(c, false);
}

uint64_t config_digest_workers(const struct cluster_settings *c)
{
	return digest(c, true);
}
