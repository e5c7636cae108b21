/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
	int fd;
	enum log_level level;
	const char *prefix;
} sink = {.fd = STDERR_FILENO, .level = LOG_NOTE, .prefix = "nclust: "};

void log_to(int fd, const char *prefix, enum log_level level)
{
	sink.fd = fd;
	sink.prefix = prefix;
	sink.level = level;
}

void log_set_level(enum log_level level)
{
	sink.level = level;
}

enum log_level log_level(void)
{
	return sink.level;
}

/* A service manager's stderr is a stream socket, shared with the workers, so that it
 * cannot be made nonblocking: MSG_DONTWAIT does it for each line. */
static ssize_t write_line(const char *line, size_t len)
{
	ssize_t n = send(sink.fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n == -1 && errno == ENOTSOCK ? write(sink.fd, line, len) : n;
}

/* One write(2) a line, so that lines of several processes do not mix. */
static void emit_line(const char *text)
{
	char line[1400];
	int n = snprintf(line, sizeof(line) - 1, "%s%s", sink.prefix, text);

	if (n < 0)
		return;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n] = '\n';
	/* EAGAIN, EPIPE, EIO: the reader is slow or gone; go on */
	(void)write_line(line, (size_t)n + 1);
}

static void __attribute__((format(printf, 1, 0))) say(const char *format, va_list args, int sys)
{
	char raw[900];
	char clean[1300];
	size_t used;

	vsnprintf(raw, sizeof(raw), format, args);
	if (sys != 0) {
		used = strlen(raw);
		snprintf(raw + used, sizeof(raw) - used, ": %s", strerror(sys));
	}
	text_escape(clean, sizeof(clean), raw, strlen(raw));
	emit_line(clean);
}

void log_line(enum log_level level, const char *format, ...)
{
	int saved = errno;
	va_list args;

	if (level > sink.level)
		return;
	va_start(args, format);
	say(format, args, 0);
	va_end(args);
	errno = saved;
}

void log_syserr(const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	say(format, args, saved);
	va_end(args);
	errno = saved;
}
