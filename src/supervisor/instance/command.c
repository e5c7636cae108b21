/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/command.h"

#include "base/log.h"
#include "base/scope.h"
#include "config/config.h"
#include "config/value.h"
#include "supervisor/common/carry_settings.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_same(const struct strings *a, const struct strings *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->list[i], b->list[i]) != 0)
			return false;
	return true;
}

/* Is it the configuration's own again? */
static bool is_configured(const struct cluster_settings *s)
{
	struct strings own = {0};
	struct error err;
	bool same = value_split(&own, s->configured, &err) == 0 && is_same(&own, &s->command);

	strings_clear(&own);
	return same;
}

static int give(struct cluster_settings *s, char **words, struct error *err)
{
	size_t count = 0;

	if (s->configured == NULL)
		s->configured = strdup(s->command_text);
	while (words[count] != NULL)
		count++;
	if (s->configured == NULL ||
		value_command_words(&s->command, &s->command_text, words, count) == -1)
		return error_set(err, ENOMEM, "cannot keep a command");
	if (is_configured(s)) {
		free(s->configured);
		s->configured = NULL;
	}
	return 0;
}

struct cluster_settings *command_settings(
	const struct service *service, char **words, struct error *err)
{
	struct cluster_settings *s = settings_copy(cluster_next_settings(service->core), err);

	if (s == NULL)
		return NULL;
	if (give(s, words, err) == -1 || recipe_check(service->sup, s, false, err) == -1) {
		cluster_settings_unref(s);
		return NULL;
	}
	if (config_check_command(s, err) == 0)
		return s;
	(void)error_wrap(err, "cluster '%s': command", s->name);
	cluster_settings_unref(s);
	return NULL;
}

int command_view(struct command_view *v, const struct supervisor *sup)
{
	size_t count = sup->settings->cluster_count;

	v->settings = *sup->settings;
	v->clusters = calloc(count + 1, sizeof(*v->clusters));
	v->settings.clusters = calloc(count + 1, sizeof(*v->settings.clusters));
	if (v->clusters == NULL || v->settings.clusters == NULL)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct cluster_settings *c = &v->clusters[i];
		const struct service *s;

		*c = *sup->settings->clusters[i];
		v->settings.clusters[i] = c;
		s = service_named(sup, c->name);
		if (s == NULL ||
			(c->configured == NULL && cluster_settings(s->core)->configured == NULL))
			continue;
		c->command = cluster_settings(s->core)->command;
		c->command_text = cluster_settings(s->core)->command_text;
		c->configured = cluster_settings(s->core)->configured;
	}
	return 0;
}

void command_view_fini(struct command_view *v)
{
	free(v->clusters);
	free(v->settings.clusters);
}

void command_keep(struct cluster_settings *settings, const char *has, const char *configured)
{
	scoped_str own = NULL;
	struct error err;

	if (configured == NULL || strcmp(configured, settings->command_text) != 0)
		return;
	own = strdup(configured);
	if (own == NULL ||
		value_command(&settings->command, &settings->command_text, has, &err) == -1) {
		log_warn("%s: its command is the configuration's again: out of "
			 "memory",
			settings->name);
		return;
	}
	settings->configured = own;
	own = NULL;
}
