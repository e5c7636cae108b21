/* SPDX-License-Identifier: MIT */
#include "cli/client.h"

#include "base/text.h"
#include "protocol/control.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int find_instance(const struct known *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i].instance, name) == 0)
			return (int)i;
	return -1;
}

static bool has_cluster(const struct known *k, const char *name)
{
	for (size_t i = 0; i < k->count; i++)
		if (strcmp(k->clusters[i], name) == 0)
			return true;
	return false;
}

/* Find the target in `k`, as a cluster or as a slot of one; false: neither. */
static bool find_within(struct resolved *out, const struct known *k, const struct control_target *t)
{
	if (has_cluster(k, t->whole)) {
		text_copy(out->target, sizeof(out->target), t->whole);
		out->slot = false;
		return true;
	}
	if (t->slot < 0 || !has_cluster(k, t->cluster))
		return false;
	snprintf(out->target, sizeof(out->target), "%s.%ld", t->cluster, t->slot);
	out->slot = true;
	return true;
}

/* "blog, shop"; cut where it gets long. */
static const char *list_all(char *to, size_t size, const struct known *list, size_t count)
{
	size_t used = 0;

	to[0] = '\0';
	for (size_t i = 0; i < count && used < size; i++) {
		int n = snprintf(
			to + used, size - used, "%s%s", i == 0 ? "" : ", ", list[i].instance);

		if (n < 0 || (size_t)n >= size - used)
			break;
		used += (size_t)n;
	}
	return to;
}

static int no_cluster(const struct known *k, const struct control_target *t, struct error *err)
{
	const char *word = t->slot >= 0 ? t->cluster : t->whole;
	const char *near = text_nearest(word, k->clusters, k->count);

	error_fail(err, EX_UNAVAILABLE, "instance '%s' has no cluster '%s'", k->instance, t->whole);
	if (near != NULL)
		error_hint(err, "did you mean '%s/%s'?", k->instance, near);
	return -1;
}

static int nothing_near(
	const struct control_target *t, const struct known *list, size_t count, struct error *err)
{
	const char *near = NULL;
	char all[200];

	error_fail(err, EX_UNAVAILABLE, "no instance '%s' is running, and none has such a cluster",
		t->whole);
	for (size_t i = 0; i < count && near == NULL; i++) {
		near = text_nearest(t->whole, &list[i].instance, 1);
		if (near == NULL)
			near = text_nearest(t->slot >= 0 ? t->cluster : t->whole, list[i].clusters,
				list[i].count);
	}
	if (near != NULL)
		error_hint(err, "did you mean '%s'?", near);
	else if (count > 0)
		error_hint(err, "running: %s", list_all(all, sizeof(all), list, count));
	return -1;
}

static int resolve_alone(struct resolved *out, const struct control_target *t,
	const struct known *list, size_t count, struct error *err)
{
	size_t found = count;
	struct resolved other;

	for (size_t i = 0; i < count; i++) {
		if (!find_within(&other, &list[i], t))
			continue;
		if (found < count)
			return error_fail(err, EX_USAGE,
				"'%s' is in several instances: write '%s/%s' "
				"or '%s/%s'",
				t->whole, list[found].instance, t->whole, list[i].instance,
				t->whole);
		found = i;
		*out = other;
		out->instance = i;
	}
	if (found == count)
		return nothing_near(t, list, count, err);
	return 0;
}

static int resolve_only(
	struct resolved *out, const struct known *list, size_t count, struct error *err)
{
	char all[300];

	*out = (struct resolved){0};
	if (count == 1)
		return 0;
	if (count == 0)
		return error_fail(err, EX_UNAVAILABLE, "no instance is running");
	return error_fail(err, EX_USAGE, "several instances are running; name one: %s",
		list_all(all, sizeof(all), list, count));
}

int target_resolve(struct resolved *out, const char *text, const struct known *list, size_t count,
	struct error *err)
{
	struct control_target t;
	int at;

	if (text == NULL)
		return resolve_only(out, list, count, err);
	if (control_parse_target(&t, text, err) == -1)
		return error_status(err, EX_USAGE);
	*out = (struct resolved){0};
	if (t.instance[0] != '\0') {
		at = find_instance(list, count, t.instance);
		if (at == -1)
			return error_fail(
				err, EX_UNAVAILABLE, "no instance '%s' is running", t.instance);
		out->instance = (size_t)at;
		if (t.whole[0] == '\0' || find_within(out, &list[at], &t))
			return 0;
		return no_cluster(&list[at], &t, err);
	}
	at = find_instance(list, count, t.whole);
	if (at != -1) {
		out->instance = (size_t)at;
		return 0;
	}
	return resolve_alone(out, &t, list, count, err);
}
