/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/command.h"

#include "base/log.h"
#include "base/scope.h"
#include "config/check_listen.h"
#include "config/option.h"
#include "config/value.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Is the command the configuration's own again? */
static bool is_configured(const struct cluster_settings *s)
{
	struct strings own = {0};
	scoped_str text = NULL;
	struct error err;

	if (value_split(&own, s->configured, &err) == 0)
		text = value_join(&own);
	strings_clear(&own);
	return text != NULL && strcmp(text, s->command_text) == 0;
}

static int set_command(struct cluster_settings *s, const char *text, struct error *err)
{
	return field_set_key("cluster", s, "command", text, err);
}

static int replace_command(struct cluster_settings *s, char **words, struct error *err)
{
	struct strings list = {.list = words};
	scoped_str text = NULL;

	if (s->configured == NULL)
		s->configured = strdup(s->command_text);
	while (words[list.count] != NULL)
		list.count++;
	text = value_join(&list);
	if (s->configured == NULL || text == NULL)
		return error_set(err, ENOMEM, "cannot keep a command");
	if (set_command(s, text, err) == -1)
		return -1;
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
	if (replace_command(s, words, err) == -1 ||
		recipe_check(service->sup, s, false, err) == -1) {
		cluster_settings_unref(s);
		return NULL;
	}
	if (config_check_command(s, err) == 0)
		return s;
	error_wrap(err, "cluster '%s': command", s->name);
	cluster_settings_unref(s);
	return NULL;
}

int command_view(struct settings *view, const struct supervisor *sup)
{
	*view = *sup->settings;
	view->clusters = calloc(view->cluster_count + 1, sizeof(*view->clusters));
	for (size_t i = 0; view->clusters != NULL && i < view->cluster_count; i++) {
		struct cluster_settings *c = sup->settings->clusters[i];
		const struct service *s = service_named(sup, c->name);
		const struct cluster_settings *runs = s != NULL ? cluster_settings(s->core) : c;

		view->clusters[i] =
			cluster_settings_ref(runs->configured != c->configured ? runs : c);
	}
	return view->clusters != NULL ? 0 : -1;
}

void command_view_fini(struct settings *view)
{
	for (size_t i = 0; view->clusters != NULL && i < view->cluster_count; i++)
		cluster_settings_unref(view->clusters[i]);
	free(view->clusters);
}

void command_keep(struct cluster_settings *settings, const char *has, const char *configured)
{
	scoped_str own = NULL;
	struct error err;

	if (configured == NULL || strcmp(configured, settings->command_text) != 0)
		return;
	own = strdup(configured);
	if (own == NULL || set_command(settings, has, &err) == -1) {
		log_warn("%s: its command is the configuration's again: out of "
			 "memory",
			settings->name);
		return;
	}
	settings->configured = own;
	own = NULL;
}
