/* SPDX-License-Identifier: MIT */
#include "cli/trial.h"

#include "base/scope.h"
#include "base/text.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT_MAX ((size_t)16 * 1024)
#define LONGEST_LINE ((size_t)16 * 1024) /* more than nclust makes of one */
#define SETTLED_MS 250
#define SETTLED_MOST 10
#define FIRST_MS 1000 /* the logger may be busy */

int trial_output_open(struct trial_output *o)
{
	int ends[2];

	lineup_fini(&o->lines);
	lineup_init(&o->lines, LONGEST_LINE);
	buffer_clear(&o->own);
	buffer_clear(&o->workers);
	(void)memset(o->last, 0, sizeof(o->last));
	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) == -1) {
		(void)close(ends[0]);
		(void)close(ends[1]);
		return -1;
	}
	o->fd = ends[0];
	return ends[1];
}

/* "doctor.0 | text": where the text begins, and the slot; NULL: it is none of a
 * worker's. */
static const char *text_of_worker(const char *line, size_t len, unsigned *slot)
{
	static const char name[] = "doctor.";
	const char *bar = memmem(line, len, "| ", 2);

	if (bar == NULL || memcmp(line, name, sizeof(name) - 1) != 0)
		return NULL;
	*slot = (unsigned)strtoul(line + sizeof(name) - 1, NULL, 10);
	return bar + 2;
}

static void keep(struct buffer *lines, const char *line, size_t len)
{
	if (lines->len + len > KEPT_MAX) {
		const char *end;

		buffer_consume(lines, lines->len / 2);
		end = memchr(lines->data, '\n', lines->len);
		buffer_consume(lines, end != NULL ? (size_t)(end - lines->data) + 1 : 0);
	}
	(void)buffer_append(lines, line, len);
	(void)buffer_append(lines, "\n", 1);
}

static void take_worker_line(struct trial_output *o, unsigned slot, const char *text, size_t len)
{
	keep(&o->workers, text, len);
	if (slot < TRIAL_SLOTS && len > 0)
		(void)text_escape(o->last[slot], sizeof(o->last[slot]), text, len);
}

static void take_line(struct trial_output *o, const char *line, size_t len)
{
	static const char own[] = "nclust: ";
	size_t skip = sizeof(own) - 1;
	unsigned slot;
	const char *text = len > skip ? text_of_worker(line, len, &slot) : NULL;

	if (text != NULL)
		take_worker_line(o, slot, text, len - (size_t)(text - line));
	else if (len > skip && memcmp(line, own, skip) == 0)
		keep(&o->own, line + skip, len - skip);
	else if (len > 0)
		keep(&o->own, line, len);
}

void trial_output_drain(struct trial_output *o)
{
	char block[4096];
	const char *line;
	size_t len;
	ssize_t n;

	while (o->fd != -1 && (n = read(o->fd, block, sizeof(block))) > 0) {
		lineup_begin(&o->lines, block, (size_t)n);
		while (lineup_next(&o->lines, &line, &len))
			take_line(o, line, len);
	}
}

bool trial_logged(const struct trial *t, const char *words, char *to, size_t size)
{
	const struct buffer *own = &t->output.own;
	const char *at = own->data;
	const char *end = own->data + own->len;
	bool found = false;

	while (own->len > 0 && at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		const char *hit = memmem(at, (size_t)(stop - at), words, strlen(words));

		if (hit != NULL) {
			(void)text_escape(to, size, hit, (size_t)(stop - hit));
			found = true;
		}
		at = stop + 1;
	}
	return found;
}

void trial_last_lines(const struct trial *t, size_t most, struct buffer *out)
{
	const struct buffer *text = &t->output.workers;
	size_t from = text->len;

	if (from > 0)
		from--; /* the newline of the last one */
	for (; from > 0; from--)
		if (text->data[from - 1] == '\n' && --most == 0)
			break;
	if (text->len > 0)
		(void)buffer_append(out, text->data + from, text->len - from);
}

static bool more_comes(struct trial *t, int wait)
{
	struct pollfd p = {.fd = t->output.fd, .events = POLLIN};

	if (poll(&p, 1, wait) != 1 || (p.revents & POLLIN) == 0)
		return false;
	trial_output_drain(&t->output);
	return true;
}

void trial_settle(struct trial *t, unsigned slot)
{
	trial_output_drain(&t->output);
	for (int i = 0; t->output.last[slot][0] == '\0'; i++)
		if (i == SETTLED_MOST || !more_comes(t, FIRST_MS))
			return;
	for (int i = 0; i < SETTLED_MOST; i++)
		if (!more_comes(t, SETTLED_MS))
			return;
}
