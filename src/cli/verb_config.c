/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/session.h"
#include "config/config.h"

#include <string.h>
#include <sysexits.h>

/* Take out what nobody has set.  Before the lines of a key one tells their
 * origin. */
static void drop_defaults(struct buffer *ini)
{
	static const char mark[] = "; default\n";
	char *to = ini->data;
	bool drop = false;

	for (char *line = ini->data; line < ini->data + ini->len;) {
		size_t left = (size_t)(ini->data + ini->len - line);
		char *end = memchr(line, '\n', left);
		size_t len = end != NULL ? (size_t)(end - line) + 1 : left;

		if (strchr(";[\n", *line) != NULL)
			drop = len == sizeof(mark) - 1 &&
				memcmp(line, mark, len) == 0;
		if (!drop) {
			(void)memmove(to, line, len);
			to += len;
		}
		line += len;
	}
	ini->len = ini->data != NULL ? (size_t)(to - ini->data) : 0;
}

static int show_local(const struct arguments *a, const struct settings *s)
{
	struct buffer out;
	bool json = arguments_has(a, OPTION_JSON);

	if (arguments_has(a, OPTION_CHECK)) {
		static const char fine[] = "no mistakes found";

		return json ? output_json(STDOUT_FILENO, "{\"ok\":true}", 11)
			    : output_line(STDOUT_FILENO, fine, strlen(fine));
	}
	buffer_init(&out, 0);
	if (json)
		(void)buffer_string(&out, "{\"settings\":");
	if (describe_settings(&out, s, json, true) == -1)
		out.failed = true;
	if (!json && !arguments_has(a, OPTION_DEFAULTS))
		drop_defaults(&out);
	while (json && out.len > 0 && out.data[out.len - 1] == '\n')
		out.len--;
	if (json)
		(void)buffer_string(&out, "}");
	return output_buffer(
		STDOUT_FILENO, &out, json ? output_json : output_lines);
}

/* The file, read as a run would read it; nothing is opened or started. */
static int read_local(const struct arguments *a)
{
	char program[] = "nclust";
	char option[] = "-c";
	scoped_str file = strdup(a->file);
	char *argv[] = {program, option, file, NULL};
	struct invocation run;
	struct faults faults;
	int status = 0;

	if (file == NULL) {
		log_syserr("cannot read '%s'", a->file);
		return 1;
	}
	faults_init(&faults);
	if (config_read(&run, 3, argv, cli_verbs(), &faults) == -1) {
		(void)output_lines(
			STDERR_FILENO, faults.text.data, faults.text.len);
		status = faults.status != 0 ? faults.status : EX_CONFIG;
	} else {
		status = show_local(a, run.settings) == 0 ? 0 : 1;
		settings_free(run.settings);
	}
	faults_fini(&faults);
	return status;
}

static int show_ini(json_t *result, bool all)
{
	json_t *ini = json_object_get(result, "ini");
	struct buffer out;

	if (!json_is_string(ini))
		return -1;
	buffer_init(&out, 0);
	(void)buffer_append(
		&out, json_string_value(ini), json_string_length(ini));
	if (!all)
		drop_defaults(&out);
	return output_buffer(STDOUT_FILENO, &out, output_lines);
}

/* As an object, without the same once more as text. */
static int show_settings(json_t *result)
{
	(void)json_object_del(result, "ini");
	return output_object(STDOUT_FILENO, result);
}

static int show_remote(const struct answer *answer, void *data)
{
	const struct arguments *a = data;
	json_t *result;
	int got;

	if (answer->code != 0)
		return output_refusal(answer);
	result = json_loadb(answer->result, answer->len, 0, NULL);
	got = arguments_has(a, OPTION_JSON)
		? show_settings(result)
		: show_ini(result, arguments_has(a, OPTION_DEFAULTS));
	json_decref(result);
	if (got == -1)
		log_error("config: the answer cannot be shown");
	return got == 0 ? 0 : 1;
}

int verb_config(const struct arguments *a)
{
	struct control_request request = {.method = METHOD_CONFIG};

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
	return session_ask(
		a, &request, -1, NULL, show_remote, (void *)(uintptr_t)a);
}
