/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/text.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/session.h"

#include <string.h>
#include <unistd.h>

/* Progress messages, for a user at a terminal. */
struct progress {
	const struct arguments *arguments;
	char last[1024]; /* "": none, or a longer one */
};

static int show_progress(json_t *params, void *data)
{
	const char *text = field_raw(params, "text");
	struct progress *progress = data;

	if (*text == '\0' || strcmp(field_raw(params, "level"), "debug") == 0)
		return 0;
	(void)output_line(STDERR_FILENO, text, strlen(text));
	if (text_copy(progress->last, sizeof(progress->last), text) >= sizeof(progress->last))
		progress->last[0] = '\0';
	return 0; /* even if a message cannot be shown, the outcome is awaited */
}

/* The outcome is often the last message, word for word: showing it once is enough. */
static bool was_shown(const struct progress *progress, const char *text, int fd)
{
	return isatty(fd) == 1 && strcmp(progress->last, text) == 0;
}

static int finish_request(const struct answer *answer, void *data)
{
	const struct progress *progress = data;
	const char *text = field_raw(answer->result, "text");

	if (answer->code != 0)
		return was_shown(progress, answer->message, STDERR_FILENO)
			? answer_exit_status(answer->code)
			: output_refusal(answer);
	if (arguments_has(progress->arguments, OPTION_JSON))
		(void)output_value(STDOUT_FILENO, answer->result);
	else if (*text != '\0' && !was_shown(progress, text, STDOUT_FILENO))
		(void)output_lines(STDOUT_FILENO, text, strlen(text));
	return 0; /* it was done, even if that cannot be written */
}

/* Runs all verbs that change something: one request, whose outcome is the exit
 * status. */
int verb_change(struct arguments *a)
{
	struct progress progress = {.arguments = a};

	return session_ask(a, -1, isatty(STDERR_FILENO) == 1 ? show_progress : NULL, finish_request,
		&progress);
}
