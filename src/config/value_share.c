/* SPDX-License-Identifier: MIT */
#include "config/value.h"

#include "base/scope.h"

#include <stdio.h>
#include <string.h>

/* What the workers of a cluster share: memory, and the CPUs. */

#define SHARED_MEMORY_MOST (UINT64_C(1) << 46)

static const char *const huge_words[] = {
	[HUGE_NO] = "",
	[HUGE_TRY] = "huge=try",
	[HUGE_YES] = "huge",
};

static bool is_huge_word(const char *text, enum huge_pages *huge)
{
	text += strspn(text, " \t");
	for (size_t i = HUGE_TRY; i < COUNT_OF(huge_words); i++) {
		if (strcmp(text, huge_words[i]) != 0)
			continue;
		*huge = (enum huge_pages)i;
		return true;
	}
	return false;
}

int value_shared_memory(struct shared_memory *out, const char *text, struct error *err)
{
	struct shared_memory m = {0};
	struct error ignored;
	char size[24];
	size_t len = strcspn(text, ", \t");
	const char *rest = text + len + strspn(text + len, " \t");

	if (strcmp(text, "off") == 0 || strcmp(text, "0") == 0) {
		*out = m;
		return 0;
	}
	if (len >= sizeof(size))
		goto bad;
	(void)snprintf(size, sizeof(size), "%.*s", (int)len, text);
	if (value_size(&m.size, size, SHARED_MEMORY_MOST, &ignored) == -1 ||
		m.size < SHARED_MEMORY_LEAST ||
		(*rest != '\0' && (*rest != ',' || !is_huge_word(rest + 1, &m.huge))))
		goto bad;
	*out = m;
	return 0;
bad:
	return value_wanted(err, text,
		"'off', or a size from 4k to 64T such as '64M', '64M, huge' or "
		"'64M, huge=try'");
}

int value_format_shared_memory(struct buffer *out, const struct shared_memory *m)
{
	if (m->size == 0)
		return buffer_string(out, "off");
	(void)value_format_size(out, m->size);
	if (m->huge != HUGE_NO)
		(void)buffer_printf(out, ", %s", huge_words[m->huge]);
	return out->failed ? -1 : 0;
}

int value_threads(unsigned *out, const char *text, struct error *err)
{
	uint64_t n;

	if (strcmp(text, "off") == 0 || strcmp(text, "0") == 0)
		*out = THREADS_OFF;
	else if (strcmp(text, "auto") == 0)
		*out = THREADS_AUTO;
	else if (value_digits(&n, text, 1, THREADS_MAX))
		*out = (unsigned)n;
	else
		return value_wanted(
			err, text, "'off', 'auto' or a whole number from 1 to %u", THREADS_MAX);
	return 0;
}

int value_format_threads(struct buffer *out, unsigned threads)
{
	if (threads == THREADS_OFF)
		return buffer_string(out, "off");
	if (threads == THREADS_AUTO)
		return buffer_string(out, "auto");
	return buffer_printf(out, "%u", threads);
}
