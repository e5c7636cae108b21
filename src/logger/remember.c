/* SPDX-License-Identifier: MIT */
#include "logger/reading.h"

#include "base/scope.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct memory *remember_get(struct memories *m, int *fd)
{
	struct memory *memory;
	struct stat st;

	if (fstat(*fd, &st) == -1)
		return NULL;
	for (memory = m->list; memory != NULL; memory = memory->next)
		if (memory->dev == st.st_dev && memory->ino == st.st_ino)
			break;
	if (memory != NULL) {
		fd_close(fd);
		memory->uses++;
		return memory;
	}
	memory = calloc(1, sizeof(*memory));
	if (memory == NULL || !linering_take(&memory->ring, &linering_output, *fd)) {
		free(memory);
		return NULL;
	}
	(void)fd_release(fd);
	memory->dev = st.st_dev;
	memory->ino = st.st_ino;
	memory->uses = 1;
	memory->next = m->list;
	m->list = memory;
	return memory;
}

void remember_release(struct memories *m, struct memory *memory)
{
	struct memory **at = &m->list;

	if (memory == NULL || --memory->uses > 0)
		return;
	while (*at != memory)
		at = &(*at)->next;
	*at = memory->next;
	linering_close(&memory->ring);
	free(memory);
}

void remember_begin(struct memories *m, struct memory *to, unsigned stream, int pid, size_t len)
{
	m->to = to;
	m->stream = stream;
	m->pid = pid;
	m->much = len >= REMEMBER_MUCH;
	m->left_out = 0;
	m->headed = false;
	m->used = 0;
}

/* A failure is not reported: memory is short then. */
static void flush_block(struct memories *m)
{
	if (m->used > 0)
		(void)linering_put(&m->to->ring, m->block, m->used);
	m->used = 0;
}

static void put_line(struct memories *m, enum logline_kind kind, const char *text, size_t len)
{
	char *at;

	if (m->used + LOGLINE_HEAD + len + 2 > sizeof(m->block))
		flush_block(m);
	if (!m->headed)
		m->used += logline_head(
			m->block + m->used, (int64_t)(clock_wall() * 1000), m->stream, m->pid);
	m->headed = true;
	at = m->block + m->used;
	*at = (char)kind;
	memcpy(at + 1, text, len);
	at[len + 1] = '\n';
	m->used += len + 2;
}

void remember_note(struct memories *m, const struct line *line)
{
	char text[24];

	if (m->to == NULL)
		return;
	if (m->much && line->behind > REMEMBER_NEAR) {
		m->left_out += !line->goes_on;
		return;
	}
	if (m->left_out > 0) {
		int n = snprintf(text, sizeof(text), "%lu", m->left_out);

		put_line(m, LOGLINE_LEFT_OUT, text, (size_t)n);
		m->left_out = 0;
	}
	put_line(m, line->goes_on ? LOGLINE_GOES_ON : LOGLINE_BEGINS, line->text, line->len);
}

void remember_end(struct memories *m)
{
	if (m->to != NULL)
		flush_block(m);
	m->to = NULL;
}
