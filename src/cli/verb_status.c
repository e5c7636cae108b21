/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/text.h"
#include "cli/advice.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/session.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define NOT_RUNNING 3
#define WIDTH_LEAST 40
#define WIDTH_USUAL 80

/* One look at all instances that are shown. */
struct look {
	const struct arguments *arguments;
	struct wrap lines;
	struct render render;
	struct buffer text;
	struct advice advice;
	struct tally tally;
};

/* The columns of a terminal, else those that the environment asks for. */
static size_t columns_of(const struct winsize *size)
{
	const char *text = getenv("COLUMNS");
	uint64_t asked = 0;
	size_t columns = WIDTH_USUAL;

	if (size->ws_col > 0)
		columns = size->ws_col;
	else if (text != NULL && text_number(&asked, text, strlen(text), 100000) > 0)
		columns = (size_t)asked;
	return columns > WIDTH_LEAST ? columns : WIDTH_LEAST;
}

static void add_status(struct look *look, const struct session *s, const json_t *status)
{
	tally_add(&look->tally, status, s->client != NULL && s->meant.slot);
	if (arguments_has(look->arguments, OPTION_JSON)) {
		look->text.failed |= output_value(STDOUT_FILENO, status) == -1;
		return;
	}
	if (look->text.len > 0)
		buffer_append(&look->text, "\n", 1);
	render_status(&look->render, status);
	advice_on_status(&look->advice, status);
}

static int ask_instance(
	struct look *look, const struct session *s, struct client *c, struct error *err)
{
	struct control_request status = {.method = METHOD_STATUS};
	struct answer answer;

	if (s->client != NULL)
		text_copy(status.target, sizeof(status.target), s->meant.target);
	if (client_call(c, &status, NULL, NULL, &answer, err) == -1)
		return -1;
	add_status(look, s, answer.result);
	if (c->changed[0] != '\0')
		advice_on_changed(&look->advice, c->name, c->changed);
	return 0;
}

/* Ask all instances.  0, or -1 and `err` where nothing can be shown. */
static int ask_all(struct look *look, struct error *err)
{
	struct session s;
	size_t answered = 0;
	int got = 0;

	if (session_open(&s, look->arguments, true, -1, err) == -1)
		return -1;
	for (size_t i = 0; i < s.count; i++) {
		struct client *c = &s.clients[i];

		if (s.client != NULL && s.client != c)
			continue;
		if (ask_instance(look, &s, c, err) == 0) {
			answered++;
			continue;
		}
		got = -1;
		if (s.client != NULL)
			break;
		log_warn("%s", err->text); /* the other instances are still shown */
		s.lacking = true;
	}
	look->tally.lacking |= s.lacking && look->arguments->target == NULL;
	session_close(&s);
	if (answered == 0)
		return got;
	if (!arguments_has(look->arguments, OPTION_JSON))
		advice_put(&look->advice, &look->lines);
	return 0;
}

int verb_status(struct arguments *a)
{
	struct winsize size = output_size();
	struct look look = {.arguments = a, .advice = {.runtime_directory = a->runtime_directory}};
	struct error err;
	int status;

	if (arguments_has(a, OPTION_WATCH) && arguments_has(a, OPTION_JSON)) {
		log_error("status: --watch draws on a terminal");
		return EX_USAGE;
	}
	if (arguments_has(a, OPTION_WATCH))
		return verb_top(a);
	wrap_locale();
	wrap_init(&look.lines, &look.text, columns_of(&size), output_wants_colour(STDOUT_FILENO));
	look.render = (struct render){
		.lines = &look.lines, .rows = size.ws_row, .each = arguments_has(a, OPTION_EACH)};
	if (ask_all(&look, &err) == -1) {
		status = output_error(&err);
		status = status == EX_UNAVAILABLE ? NOT_RUNNING : status;
	} else {
		status = output_buffer(STDOUT_FILENO, &look.text, output_write) == -1
			? 1
			: tally_exit_status(&look.tally);
	}
	wrap_fini(&look.lines);
	buffer_fini(&look.text);
	return status;
}
