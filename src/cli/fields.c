/* SPDX-License-Identifier: MIT */
#include "cli/render.h"

#include "base/scope.h"
#include "base/text.h"

#include <string.h>

#define PRESSURE_TOLD 10. /* per cent */

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

bool worker_is_unhealthy(const json_t *worker)
{
	const json_t *checks = json_object_get(worker, "checks");
	long long failed = field_number(checks, "failed");

	return failed > 0 && failed > field_number(checks, "ok") / 99;
}

static void put_comma(struct wrap *w, bool *any)
{
	if (*any)
		wrap_put(w, PLAIN, ", ");
	*any = true;
}

void worker_put_failure(struct wrap *w, const json_t *worker, bool *any)
{
	const json_t *last = worker_failure(worker);
	size_t mark;
	char age[16];

	if (*field_raw(last, "text") != '\0') {
		put_comma(w, any);
		mark = wrap_mark(w);
		field_put(w, PLAIN, last, "text");
		if (field_seconds(last, "after") > 0)
			wrap_putf(
				w, PLAIN, " after %s", text_age(age, field_seconds(last, "after")));
		wrap_join(w, mark);
	}
	if (!field_is_number(worker, "next_try") && !field_is_number(last, "ago"))
		return;
	put_comma(w, any);
	mark = wrap_mark(w);
	if (field_is_number(worker, "next_try"))
		wrap_putf(w, PLAIN, "next try in %s",
			text_age(age, field_seconds(worker, "next_try")));
	else
		wrap_putf(w, PLAIN, "%s ago", text_age(age, field_seconds(last, "ago")));
	wrap_join(w, mark);
}

static void put_checks(struct wrap *w, const json_t *checks, bool *any)
{
	long long failed = field_number(checks, "failed");

	if (failed <= 0)
		return;
	put_comma(w, any);
	wrap_putf(w, PLAIN, "%lld of %lld checks failed", failed,
		failed + field_number(checks, "ok"));
	if (*field_raw(checks, "last") != '\0') {
		wrap_put(w, PLAIN, ", the last one: ");
		field_put(w, PLAIN, checks, "last");
	}
}

/* What the worker waited for in the last 10 s, from a tenth of the time on. */
static void put_pressure(struct wrap *w, const json_t *pressure, bool *any)
{
	const char *what;
	const json_t *share;

	json_object_foreach((json_t *)(uintptr_t)pressure, what, share)
	{
		if (json_number_value(share) < PRESSURE_TOLD)
			continue;
		put_comma(w, any);
		wrap_putf(w, PLAIN, "waits for %s %.0f%% of the time",
			strcmp(what, "cpu") == 0 ? "a CPU" : what, json_number_value(share));
	}
}

void worker_put_sayings(struct wrap *w, const json_t *worker, bool *any)
{
	static const struct {
		const char *key;
		const char *before;
		const char *after;
	} texts[] = {{"waits_for", "waits for ", ""}, {"peer", "serves ", ""},
		{"status", "says '", "'"}};
	char age[16];

	if (field_is_true(worker, "waits")) {
		put_comma(w, any);
		wrap_put(w, PLAIN, "waits until others have started");
	}
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		if (*field_raw(worker, texts[i].key) == '\0')
			continue;
		put_comma(w, any);
		wrap_put(w, PLAIN, texts[i].before);
		field_put(w, PLAIN, worker, texts[i].key);
		wrap_put(w, PLAIN, texts[i].after);
	}
	put_checks(w, json_object_get(worker, "checks"), any);
	if (field_is_number(worker, "replaced_in")) {
		put_comma(w, any);
		wrap_putf(w, PLAIN, "replaced in %s",
			text_age(age, field_seconds(worker, "replaced_in")));
	}
	put_pressure(w, json_object_get(json_object_get(worker, "cgroup"), "pressure"), any);
}
