/* SPDX-License-Identifier: MIT */
#include "cli/output.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

int output_write(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n == -1 && errno == EAGAIN) {
			/* another process has made the terminal nonblocking */
			struct pollfd wait = {.fd = fd, .events = POLLOUT};

			(void)poll(&wait, 1, -1);
			continue;
		}
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			if (fd == STDOUT_FILENO && errno != EPIPE)
				log_syserr("cannot write to standard output");
			return -1;
		}
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int output_line(int fd, const char *text, size_t len)
{
	size_t size = 4 * len + 2;
	scoped_str clean = malloc(size);
	size_t used;

	if (clean == NULL)
		return -1;
	used = text_escape(clean, size - 1, text, len);
	clean[used] = '\n';
	return output_write(fd, clean, used + 1);
}

int output_lines(int fd, const char *text, size_t len)
{
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line = end != NULL ? (size_t)(end - text) : len;

		if (output_line(fd, text, line) == -1)
			return -1;
		line += end != NULL;
		text += line;
		len -= line;
	}
	return 0;
}

int output_json(int fd, const char *json, size_t len)
{
	if (isatty(fd) == 1)
		return output_line(fd, json, len);
	if (output_write(fd, json, len) == -1)
		return -1;
	return output_write(fd, "\n", 1);
}

int output_buffer(int fd, const struct buffer *out, output_function *how)
{
	return out->failed ? -1 : how(fd, out->data, out->len);
}

int output_value(int fd, const json_t *value)
{
	scoped_str text =
		json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));

	return text != NULL ? output_json(fd, text, strlen(text)) : -1;
}

struct winsize output_size(void)
{
	struct winsize size = {.ws_row = 0, .ws_col = 0};

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size); /* may fail: not a terminal */
	return size;
}

bool output_wants_colour(int fd)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(fd) == 1 && (no == NULL || *no == '\0') &&
		(term == NULL || strcmp(term, "dumb") != 0);
}

int output_error(const struct error *err)
{
	if (err->sys != ECANCELED)
		log_error("%s", err->text);
	return error_exit_status(err);
}

int output_refusal(const struct answer *answer)
{
	const char *text = answer->message;

	if (answer->code == CONTROL_BAD_CONFIG || strchr(text, '\n') != NULL)
		/* a file's mistakes, each on a line of its own, with file and line */
		(void)output_lines(STDERR_FILENO, text, strlen(text));
	else
		log_error("%s", text);
	return answer_exit_status(answer->code);
}
