/* SPDX-License-Identifier: MIT */
#include "logger/format.h"

#include "logger/source.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

/* stderr is a warning, and no error: many programs write all messages there. */
enum { SEVERITY_STDERR = 4, SEVERITY_STDOUT = 6 };

static unsigned severity_of(const struct line *l)
{
	return l->is_stderr ? SEVERITY_STDERR : SEVERITY_STDOUT;
}

static void put_time(struct buffer *to)
{
	struct timespec now;
	struct tm tm;
	char text[40];

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	buffer_append(to, text, strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.", &tm));
	buffer_printf(to, "%03ldZ", now.tv_nsec / 1000000);
}

void format_time(struct buffer *to)
{
	put_time(to);
	buffer_string(to, " ");
}

static void put_number(struct buffer *to, const char *before, uint64_t n)
{
	buffer_string(to, before);
	buffer_number(to, n, 10);
}

void format_json(struct buffer *to, const struct line *l)
{
	buffer_string(to, "{\"time\":\"");
	put_time(to);
	buffer_string(to, "\",\"cluster\":\"");
	buffer_string(to, l->of->cluster->name); /* a name: nothing to escape */
	put_number(to, "\",\"slot\":", l->of->slot);
	if (l->of->pid != 0)
		put_number(to, ",\"pid\":", l->of->pid);
	buffer_string(to, l->is_stderr ? ",\"stream\":\"stderr\"" : ",\"stream\":\"stdout\"");
	if (l->goes_on)
		buffer_string(to, ",\"goes_on\":true");
	buffer_string(to, ",\"message\":");
	buffer_json(to, l->text, l->len);
	buffer_string(to, "}");
}

/* A value without a newline is not encoded, whatever bytes it has. */
void format_journal(struct buffer *to, const struct line *l)
{
	buffer_string(to, "SYSLOG_IDENTIFIER=");
	buffer_string(to, l->of->cluster->name);
	buffer_string(to, "\nNCLUST_CLUSTER=");
	buffer_string(to, l->of->cluster->name);
	put_number(to, "\nPRIORITY=", severity_of(l));
	put_number(to, "\nNCLUST_SLOT=", l->of->slot);
	if (l->of->worker != 0) {
		put_number(to, "\nNCLUST_WORKER=", l->of->worker);
		put_number(to, "\nNCLUST_GENERATION=", l->of->generation);
	}
	if (l->of->pid != 0) {
		put_number(to, "\nNCLUST_PID=", l->of->pid);
		put_number(to, "\nSYSLOG_PID=", l->of->pid);
	}
	buffer_string(to, l->is_stderr ? "\nNCLUST_STREAM=stderr" : "\nNCLUST_STREAM=stdout");
	if (l->goes_on)
		buffer_string(to, "\nNCLUST_GOES_ON=1");
	buffer_string(to, "\nMESSAGE=");
	buffer_append(to, l->text, l->len);
	buffer_string(to, "\n");
}

static void put_old_time(struct buffer *to)
{
	/* RFC 3164, 4.1.2: always in English */
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = time(NULL);
	struct tm tm;
	char text[20];

	(void)localtime_r(&now, &tm);
	buffer_append(to, months + (size_t)(3 * tm.tm_mon), 3);
	buffer_append(to, text, strftime(text, sizeof(text), " %e %H:%M:%S ", &tm));
}

/* RFC 5424, 6.4: a receiver may cut the line at a NUL. */
static bool is_control(unsigned char c)
{
	return (c < ' ' && c != '\t') || c == 0x7f;
}

/* Append text with its control bytes as text_escape() shows them. */
static void put_text(struct buffer *to, const char *text, size_t len)
{
	size_t n;

	for (; len > 0; text += n, len -= n) {
		for (n = 0; n < len && !is_control((unsigned char)text[n]);)
			n++;
		buffer_append(to, text, n);
		if (n < len)
			buffer_printf(to, "\\x%02x", (unsigned char)text[n++]);
	}
}

void format_syslog(struct buffer *to, const struct line *l, unsigned facility, bool old)
{
	put_number(to, "<", facility * 8 + severity_of(l));
	if (old) {
		buffer_string(to, ">");
		put_old_time(to);
	} else {
		char host[65] = "";

		buffer_string(to, ">1 ");
		put_time(to);
		buffer_string(to, " ");
		(void)gethostname(host, sizeof(host) - 1);
		buffer_string(to, *host != '\0' ? host : "-");
		buffer_string(to, " ");
	}
	/* APP-NAME has 48 bytes at most */
	buffer_append(to, l->of->cluster->name, strnlen(l->of->cluster->name, old ? 64 : 40));
	put_number(to, ".", l->of->slot);
	if (!old) {
		put_number(to, " ", l->of->pid);
		if (l->of->pid == 0)
			to->data[to->len - 1] = '-';
		buffer_string(to, " - - ");
	} else if (l->of->pid != 0) {
		put_number(to, "[", l->of->pid);
		buffer_string(to, "]: ");
	} else {
		buffer_string(to, ": ");
	}
	put_text(to, l->text, l->len);
}
