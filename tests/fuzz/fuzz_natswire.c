/* SPDX-License-Identifier: MIT */
/* What passes for a message of another nclust is JSON as jansson has it, but for the
 * value, with nothing beside what it should have; and never one's own. */
#include "fuzz.h"

#include "protocol/natswire.h"

#include "protocol/json.h"

#include <jansson.h>

/* With 0 in place of the value. */
static json_t *around(const char *from, size_t len)
{
	static const char key[] = "},\"message\":";
	const char *value = memmem(from, len, key, strlen(key));
	json_t *root;
	char *text;

	require(value != NULL);
	value += strlen(key);
	require(jsonvalue_check(value, len - (size_t)(value - from) - 1));
	require(asprintf(&text, "{%.*s0}", (int)(value - from), from) != -1);
	root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	return root;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *from = NULL;
	unsigned format = 0;
	const char *host = NULL;
	json_t *root;
	int slot = -1;

	if (natswire_read(text, size, "web", "0123456789abcdef", &from, &format) !=
		NATSWIRE_MESSAGE)
		return 0;
	require(format == NATSWIRE_FORMAT && from > text && from < text + size);
	root = around(from, size - (size_t)(from - text));
	require(root != NULL && json_object_size(root) == 2);
	require(json_unpack(root, "{s:{s:i,s:s}}", "from", "slot", &slot, "host", &host) == 0 ||
		slot == -1);
	require(host == NULL || strlen(host) < NATSWIRE_HOST);
	json_decref(root);
	return 0;
}
