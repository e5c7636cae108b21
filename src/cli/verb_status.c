/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "cli/client.h"
#include "cli/render.h"
#include "os/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>

#define NOT_RUNNING 3
#define WATCH_PERIOD_MS 1000
#define WIDTH_LEAST 40
#define WIDTH_USUAL 80
#define ROWS_USUAL 24

/* One look at all instances that are shown. */
struct look {
	const struct arguments *arguments;
	struct wrap lines;
	struct render render;
	struct buffer text;
	size_t advice_at; /* offset of the advice in the text */
	struct advice advice;
	const char *instance; /* that is asked for its events */
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
		columns = asked;
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

static int take_event(json_t *params, void *data)
{
	struct look *look = data;

	advice_on_event(&look->advice, look->instance, params, clock_wall());
	return 0;
}

/* Ask an instance for its status, and for its events, as some troubles are in the
 * events alone.  Without events there is less advice. */
static int ask_instance(
	struct look *look, const struct session *s, struct client *c, struct error *err)
{
	struct control_request status = {.method = METHOD_STATUS};
	struct control_request events = {.method = METHOD_EVENTS, .last = -1};
	struct answer answer;
	struct error ignored;

	if (s->client != NULL)
		text_copy(status.target, sizeof(status.target), s->meant.target);
	text_copy(events.target, sizeof(events.target), status.target);
	if (client_call(c, &status, NULL, NULL, &answer, err) == -1)
		return -1;
	add_status(look, s, answer.result);
	look->instance = c->name;
	if (!arguments_has(look->arguments, OPTION_JSON))
		(void)client_call(c, &events, take_event, look, &answer, &ignored);
	return 0;
}

/* Ask all instances.  0, or -1 and `err` where nothing can be shown. */
static int ask_all(struct look *look, int cancel, struct error *err)
{
	struct session s;
	size_t answered = 0;
	int got = 0;

	buffer_clear(&look->text);
	look->tally = (struct tally){0};
	look->advice = (struct advice){.runtime_directory = look->arguments->runtime_directory};
	if (session_open(&s, look->arguments, true, cancel, err) == -1)
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
		if (s.client != NULL || err->sys == ECANCELED)
			break;
		log_warn("%s", err->text); /* the other instances are still shown */
	}
	session_close(&s);
	if (answered == 0)
		return got;
	look->advice_at = look->text.len;
	if (!arguments_has(look->arguments, OPTION_JSON))
		advice_put(&look->advice, &look->lines);
	return 0;
}

static int show_once(struct look *look)
{
	struct error err;

	if (ask_all(look, -1, &err) == -1) {
		int status = output_error(&err);

		return status == EX_UNAVAILABLE ? NOT_RUNNING : status;
	}
	return output_buffer(STDOUT_FILENO, &look->text, output_write) == -1
		? 1
		: tally_exit_status(&look->tally);
}

/* Add so many lines of a text, each over the old one. */
static void draw_lines(struct buffer *screen, const char *text, size_t len, size_t lines)
{
	for (; len > 0 && lines > 0; lines--) {
		const char *end = memchr(text, '\n', len);
		size_t line = end != NULL ? (size_t)(end - text) : len;

		/* erase first: after a full line this would erase its last column */
		buffer_string(screen, "\033[K");
		buffer_append(screen, text, line);
		buffer_string(screen, "\r\n");
		line += end != NULL;
		text += line;
		len -= line;
	}
}

/*
 * Draw the text as a screen, whose last line stays empty.  If the text does not
 * fit, the end of the table is left out, and the advice stays.  The terminal cuts
 * lines that are wider than itself.
 */
static int draw_screen(const struct look *look, size_t rows)
{
	const struct buffer *text = &look->text;
	size_t lines = text_lines(text->data, text->len);
	size_t advice = text_lines(text->data + look->advice_at, text->len - look->advice_at);
	scoped_buffer screen = {0};

	buffer_string(&screen, "\033[?7l\033[H");
	if (lines < rows) {
		draw_lines(&screen, text->data, text->len, lines);
	} else if (advice + 2 >= rows) {
		draw_lines(&screen, text->data, text->len, rows - 1);
	} else {
		draw_lines(&screen, text->data, look->advice_at, rows - 2 - advice);
		buffer_string(&screen, "\033[K...\r\n");
		draw_lines(
			&screen, text->data + look->advice_at, text->len - look->advice_at, advice);
	}
	buffer_string(&screen, "\033[J\033[?7h");
	return output_buffer(STDOUT_FILENO, &screen, output_write);
}

static int watch_turn(struct look *look, int cancel)
{
	struct winsize size = output_size();
	struct error err;

	look->lines.width = columns_of(&size);
	look->render.rows = size.ws_row > 0 ? size.ws_row : ROWS_USUAL;
	if (ask_all(look, cancel, &err) == -1) {
		if (err.sys == ECANCELED)
			return 0;
		/* the instance may come back: a restart is what people watch */
		buffer_clear(&look->text);
		wrap_putf(&look->lines, PLAIN, "nclust: %s", err.text);
		wrap_end(&look->lines, 0);
		look->advice_at = look->text.len;
	}
	return draw_screen(look, look->render.rows);
}

static int watch_status(struct look *look)
{
	static const char begin[] = "\033[?25l\033[H\033[2J";
	static const char end[] = "\r\n\033[?25h";
	struct error err;
	scoped_fd cancel = client_cancel_open(&err);
	struct pollfd wait = {.events = POLLIN};
	int got;

	if (cancel == -1)
		return output_error(&err);
	wait.fd = cancel;
	got = output_write(STDOUT_FILENO, begin, strlen(begin));
	while (got == 0) {
		got = watch_turn(look, cancel);
		if (got == 0 && poll(&wait, 1, WATCH_PERIOD_MS) > 0)
			break;
	}
	if (output_write(STDOUT_FILENO, end, strlen(end)) == -1)
		got = -1;
	return got == -1 ? 1 : 0;
}

int verb_status(struct arguments *a)
{
	struct winsize size = output_size();
	struct look look = {.arguments = a};
	int status;

	if (arguments_has(a, OPTION_WATCH) &&
		(isatty(STDOUT_FILENO) != 1 || arguments_has(a, OPTION_JSON))) {
		log_error("status: --watch draws on a terminal");
		return EX_USAGE;
	}
	wrap_locale();
	wrap_init(&look.lines, &look.text, columns_of(&size), output_wants_colour(STDOUT_FILENO));
	look.render = (struct render){
		.lines = &look.lines, .rows = size.ws_row, .each = arguments_has(a, OPTION_EACH)};
	status = arguments_has(a, OPTION_WATCH) ? watch_status(&look) : show_once(&look);
	wrap_fini(&look.lines);
	buffer_fini(&look.text);
	return status;
}
