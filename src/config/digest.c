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

static uint64_t digest(const struct cluster_settings *c, bool workers)
{
	uint64_t sum = UINT64_C(14695981039346656037);
	struct buffer text;

	buffer_init(&text, 0);
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (!option_is_of(row, "cluster") ||
			!(workers ? row->type == OPT_WORKERS
				  : row->change >= CHANGE_ROLL))
			continue;
		buffer_clear(&text);
		field_put_all(row, c, &text);
		sum = stir(sum, text.data, text.len);
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
