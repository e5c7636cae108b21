/* SPDX-License-Identifier: MIT */
/* A control request as it comes: what is taken must survive a round trip. */
#include "fuzz.h"

#include "protocol/control.h"

#include <jansson.h>

static bool is_same_command(char *const *a, char *const *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	for (; *a != NULL && *b != NULL; a++, b++)
		if (strcmp(*a, *b) != 0)
			return false;
	return *a == *b;
}

static bool is_same(const struct control_request *a, const struct control_request *b)
{
	return strcmp(a->id, b->id) == 0 && a->method == b->method &&
		strcmp(a->target, b->target) == 0 && a->no_wait == b->no_wait &&
		a->scale_kind == b->scale_kind && a->count == b->count && a->signal == b->signal &&
		a->all == b->all && a->now == b->now && a->follow == b->follow &&
		a->last == b->last && a->since == b->since && strcmp(a->kinds, b->kinds) == 0 &&
		is_same_command(a->command, b->command) &&
		(a->message == NULL) == (b->message == NULL) &&
		(a->message == NULL || strcmp(a->message, b->message) == 0);
}

static void there_and_back(const struct control_request *r)
{
	struct control_request again;
	struct control_target target;
	struct buffer line;
	struct error err;
	int code;

	buffer_init(&line, 0);
	require(control_encode(&line, r) == 0);
	require(memchr(line.data, '\n', line.len) == line.data + line.len - 1);
	require(control_decode(&again, line.data, line.len - 1, &code, &err) == 0);
	require(is_same(r, &again));
	control_fini(&again);
	if (r->target[0] != '\0')
		require(control_parse_target(&target, r->target, &err) == 0);
	buffer_fini(&line);
}

/* The answer must be JSON whatever the request was. */
static void refuse(const char *id, int code, const char *why)
{
	struct buffer line;
	json_t *answer;

	require(code < 0);
	buffer_init(&line, 0);
	require(control_put_error(&line, id, code, why) == 0);
	answer = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, NULL);
	require(answer != NULL);
	json_decref(answer);
	buffer_fini(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request r;
	struct error err = {.text = ""};
	int code;

	if (control_decode(&r, (const char *)data, size, &code, &err) == 0)
		there_and_back(&r);
	else
		refuse(r.id, code, err.text);
	control_fini(&r);
	return 0;
}
