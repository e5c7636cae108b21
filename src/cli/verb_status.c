/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/session.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sysexits.h>

#define NOT_RUNNING 3
#define WATCH_PERIOD_MS 1000

/* One look at everything that was asked for. */
struct look {
	const struct arguments *arguments;
	struct render render;
	struct buffer text;
	struct tally tally;
};

static int add_answer(struct look *look, const struct session *s,
	const struct client *c, const struct answer *answer, struct error *err)
{
	const char *target = s->client != NULL ? s->meant.target : "";
	bool slot = s->client != NULL && s->meant.slot;
	json_t *status = json_loadb(answer->result, answer->len, 0, NULL);

	if (status == NULL)
		return error_set(err, 0, "the status of '%s' is no JSON object",
			c->name);
	tally_add(&look->tally, status, target, slot);
	if (arguments_has(look->arguments, OPTION_JSON)) {
		(void)buffer_append(&look->text, answer->result, answer->len);
		(void)buffer_append(&look->text, "\n", 1);
	} else {
		if (look->text.len > 0)
			(void)buffer_append(&look->text, "\n", 1);
		render_status(&look->render, status, target, slot);
	}
	json_decref(status);
	return look->text.failed
		? error_set(err, ENOMEM, "cannot show '%s'", c->name)
		: 0;
}

static int ask(struct look *look, const struct session *s, struct client *c,
	struct error *err)
{
	struct control_request request = {.method = METHOD_STATUS};
	struct answer answer;

	if (s->client != NULL)
		(void)text_copy(request.target, sizeof(request.target),
			s->meant.target);
	if (client_call(c, &request, NULL, NULL, &answer, err) == -1)
		return -1;
	return answer.code != 0 ? answer_refused(&answer, err)
				: add_answer(look, s, c, &answer, err);
}

/* Fill the look.  0, or -1 and `err` where nothing can be shown. */
static int gather(struct look *look, int cancel, struct error *err)
{
	struct session s;
	size_t answered = 0;
	int got = 0;

	buffer_clear(&look->text);
	look->tally = (struct tally){0};
	if (session_open(&s, look->arguments, true, cancel, err) == -1)
		return -1;
	for (size_t i = 0; i < s.count; i++) {
		struct client *c = &s.clients[i];

		if (s.client != NULL && s.client != c)
			continue;
		if (ask(look, &s, c, err) == 0) {
			answered++;
			continue;
		}
		got = -1;
		if (s.client != NULL || err->sys == ECANCELED)
			break;
		log_warn("%s", err->text); /* the others are still shown */
	}
	session_close(&s);
	if (answered > 0)
		return 0;
	return got;
}

static int failure_status(const struct error *err)
{
	return err->status == EX_UNAVAILABLE ? NOT_RUNNING
					     : error_exit_status(err);
}

static int show_once(struct look *look)
{
	bool escape = isatty(STDOUT_FILENO) == 1 &&
		arguments_has(look->arguments, OPTION_JSON);
	struct error err;

	if (gather(look, -1, &err) == -1) {
		log_error("%s", err.text);
		return failure_status(&err);
	}
	return output_buffer(STDOUT_FILENO, &look->text,
		       escape ? output_lines : output_write) == -1
		? 1
		: tally_exit_status(&look->tally);
}

/* The text as a screen: each line over the old one, no more than fit. */
static int draw(const struct look *look, size_t rows)
{
	const char *from = look->text.data;
	size_t left = look->text.len;
	struct buffer screen;

	buffer_init(&screen, 0);
	(void)buffer_string(&screen, "\033[H");
	while (left > 0) {
		const char *end = memchr(from, '\n', left);
		size_t len = end != NULL ? (size_t)(end - from) : left;

		if (rows-- <= 1) {
			(void)buffer_string(&screen, "...\033[K");
			break;
		}
		(void)buffer_append(&screen, from, len);
		(void)buffer_string(&screen, "\033[K\r\n");
		len += end != NULL;
		from += len;
		left -= len;
	}
	(void)buffer_string(&screen, "\033[J");
	return output_buffer(STDOUT_FILENO, &screen, output_write);
}

static int watch_turn(struct look *look, int cancel)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	struct error err;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size); /* or the usual size */
	look->render.width = size.ws_col > 0 ? size.ws_col : 80;
	if (gather(look, cancel, &err) == -1) {
		if (err.sys == ECANCELED)
			return 0;
		/* it may come back: a restart is what people watch */
		buffer_clear(&look->text);
		(void)buffer_printf(&look->text, "nclust: %s\n", err.text);
	}
	return draw(look, size.ws_row > 0 ? size.ws_row : 24);
}

static int watch(struct look *look)
{
	static const char begin[] = "\033[?25l\033[H\033[2J";
	static const char end[] = "\r\n\033[?25h";
	struct error err;
	scoped_fd cancel = client_cancel_open(&err);
	struct pollfd wait = {.events = POLLIN};
	int got;

	if (cancel == -1) {
		log_error("%s", err.text);
		return 1;
	}
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

int verb_status(const struct arguments *a)
{
	struct look look = {.arguments = a};
	int status;

	if (arguments_has(a, OPTION_WATCH) &&
		(isatty(STDOUT_FILENO) != 1 || arguments_has(a, OPTION_JSON))) {
		log_error("status: --watch draws on a terminal");
		return EX_USAGE;
	}
	buffer_init(&look.text, 0);
	look.render = (struct render){.out = &look.text,
		.colour = output_wants_colour(STDOUT_FILENO)};
	status = arguments_has(a, OPTION_WATCH) ? watch(&look)
						: show_once(&look);
	buffer_fini(&look.text);
	return status;
}
