/* SPDX-License-Identifier: MIT */
#include "cli/render.h"

#include "base/text.h"

#include <string.h>

const char *field_text(
	const json_t *object, const char *key, char *to, size_t size, const char *fallback)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_string(value))
		text_escape(to, size, json_string_value(value), json_string_length(value));
	else
		text_copy(to, size, fallback);
	return to;
}

const char *field_raw(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

void field_put(struct wrap *w, enum colour colour, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_string(value))
		wrap_bytes(w, colour, json_string_value(value), json_string_length(value));
}

long long field_number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	double real = json_number_value(value);

	if (json_is_integer(value))
		return (long long)json_integer_value(value);
	return real > -9e18 && real < 9e18 ? (long long)real : 0;
}

nsec_t field_seconds(const json_t *object, const char *key)
{
	double s = json_number_value(json_object_get(object, key));

	if (!(s > 0))
		return 0;
	return s < 9e9 ? (nsec_t)(s * (double)SECOND) : NSEC_NEVER;
}

bool field_is_number(const json_t *object, const char *key)
{
	return json_is_number(json_object_get(object, key));
}

bool field_is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

bool worker_is(const json_t *worker, const char *state)
{
	return strcmp(field_raw(worker, "state"), state) == 0;
}

/* A cluster that accepts connections itself does not tell its failures apart. */
const json_t *worker_failure(const json_t *worker)
{
	const json_t *failure = json_object_get(worker, "last_failure");
	const json_t *last = json_object_get(worker, "last_exit");

	if (failure != NULL)
		return json_is_object(failure) ? failure : NULL;
	return field_is_true(last, "asked") ? NULL : last;
}

/* A worker that has lived for a minute, and for longer than twice its last life, has
 * recovered. */
bool worker_failed_lately(const json_t *worker)
{
	const json_t *failure = json_object_get(worker, "last_failure");
	nsec_t lately = field_seconds(failure, "after");

	lately = lately < FIELDS_LATELY / 2 ? 2 * lately : FIELDS_LATELY;
	if (lately < MINUTE)
		lately = MINUTE;
	return field_is_number(failure, "ago") && field_seconds(failure, "ago") < lately;
}
