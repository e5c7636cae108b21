/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"
#include "config/argv.h"
#include "config/check.h"
#include "config/config.h"
#include "config/describe.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* Keep the lines of a section ("": of all), and without `all` only settings that are set; the
 * line above each tells its origin. */
static void filter_lines(struct buffer *ini, const char *section, bool all)
{
	static const char mark[] = "; default"; /* a file's origin is a whole path */
	bool here = *section == '\0';
	bool drop = false;
	size_t used = 0;
	char head[84];

	snprintf(head, sizeof(head), "[%s]\n", section);
	for (size_t at = 0, len; at < ini->len; at += len) {
		const char *line = ini->data + at;
		const char *end = memchr(line, '\n', ini->len - at);

		len = end != NULL ? (size_t)(end - line) + 1 : ini->len - at;
		if (*line == '[')
			here = *section == '\0' || strncmp(line, head, len) == 0;
		if (strchr(";[\n", *line) != NULL)
			drop = !all && strncmp(line, mark, sizeof(mark) - 1) == 0;
		if (here && !drop) {
			memmove(ini->data + used, line, len);
			used += len;
		}
	}
	/* the line between two sections */
	if (*section != '\0' && used > 1 && ini->data[used - 2] == '\n')
		used--;
	ini->len = used;
}

static int show_local(const struct arguments *a, struct settings *s)
{
	scoped_buffer out = {0};
	bool json = arguments_has(a, OPTION_JSON);

	if (arguments_has(a, OPTION_CHECK)) {
		static const char fine[] = "no mistakes found";
		struct faults lines = {0};

		/* settings that are no mistake, but perhaps not what was meant */
		config_note_files(s, &lines);
		if (lines.count > 0)
			(void)output_lines(STDERR_FILENO, lines.text.data, lines.text.len);
		faults_fini(&lines);
		return json ? output_json(STDOUT_FILENO, "{\"ok\":true}", 11)
			    : output_line(STDOUT_FILENO, fine, strlen(fine));
	}
	if (json)
		buffer_string(&out, "{\"settings\":");
	if (describe_settings(&out, s, json, true) == -1)
		out.failed = true;
	if (!json)
		filter_lines(&out, "", arguments_has(a, OPTION_DEFAULTS));
	while (json && out.len > 0 && out.data[out.len - 1] == '\n')
		out.len--;
	if (json)
		buffer_string(&out, "}");
	return output_buffer(STDOUT_FILENO, &out, json ? output_json : output_lines);
}

/* Read the file as a run would read it; nothing is opened or started. */
static int read_local(const struct arguments *a)
{
	char program[] = "nclust";
	char option[] = "-c";
	scoped_str file = strdup(a->file);
	char *argv[] = {program, option, file, NULL};
	struct invocation run;
	struct faults faults = {0};
	int status = 0;

	if (file == NULL) {
		log_syserr("cannot read '%s'", a->file);
		return 1;
	}
	if (config_read(&run, 3, argv, cli_verbs(), &faults) == -1) {
		(void)output_lines(STDERR_FILENO, faults.text.data, faults.text.len);
		status = faults.status != 0 ? faults.status : EX_CONFIG;
	} else {
		status = show_local(a, run.settings) == 0 ? 0 : 1;
		settings_free(run.settings);
	}
	faults_fini(&faults);
	return status;
}

/* "cluster:web", of the target "web" or "web.0"; "": all sections. */
static void section_of_target(char to[80], const char *target, json_t *settings)
{
	char *dot;

	snprintf(to, 80, "cluster:%.70s", target);
	dot = strrchr(to, '.');
	if (*target == '\0')
		*to = '\0';
	else if (dot != NULL && json_object_get(settings, to) == NULL)
		*dot = '\0';
}

static int show_ini(json_t *result, const char *section, bool all)
{
	json_t *ini = json_object_get(result, "ini");
	scoped_buffer out = {0};

	if (!json_is_string(ini))
		return -1;
	buffer_append(&out, json_string_value(ini), json_string_length(ini));
	filter_lines(&out, section, all);
	return output_buffer(STDOUT_FILENO, &out, output_lines);
}

/* Show the settings as an object, without the text that repeats them. */
static int show_settings(json_t *result, const char *section)
{
	json_t *one = json_object_get(json_object_get(result, "settings"), section);

	(void)json_object_del(result, "ini");
	if (one != NULL &&
		json_object_set_new(result, "settings", json_pack("{s:O}", section, one)) == -1)
		return -1;
	return output_value(STDOUT_FILENO, result);
}

static int show_remote(const struct answer *answer, void *data)
{
	const struct arguments *a = data;
	json_t *result = answer->result;
	char section[80];
	int got;

	if (answer->code != 0)
		return output_refusal(answer);
	section_of_target(section, a->request.target, json_object_get(result, "settings"));
	got = arguments_has(a, OPTION_JSON)
		? show_settings(result, section)
		: show_ini(result, section, arguments_has(a, OPTION_DEFAULTS));
	return got == 0 ? 0 : 1;
}

int verb_config(struct arguments *a)
{
	if (a->file != NULL && a->target != NULL) {
		log_error("config: -c reads a file and takes no target");
		return EX_USAGE;
	}
	if (a->file != NULL)
		return read_local(a);
	if (arguments_has(a, OPTION_CHECK)) {
		log_error("config: --check needs -c FILE");
		return EX_USAGE;
	}
	return session_ask(a, -1, NULL, show_remote, a);
}
