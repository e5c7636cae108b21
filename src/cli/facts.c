/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/render.h"
#include "os/process.h"
#include "os/spawn/seccomp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_COLUMN 6
#define TEXT_COLUMN 25

static const struct {
	const char *name;
	enum colour colour;
} marks[] = {
	[FACT_OK] = {"ok", GREEN},
	[FACT_NOTE] = {"note", CYAN},
	[FACT_WARN] = {"warn", YELLOW},
	[FACT_BAD] = {"bad", RED},
};

void facts_add(json_t *facts, enum fact_mark mark, const char *name, const char *does,
	const char *format, ...)
{
	char raw[800];
	char found[sizeof(raw)];
	va_list args;

	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	/* paths and variables may contain any bytes */
	text_escape(found, sizeof(found), raw, strlen(raw));
	(void)json_array_append_new(facts,
		json_pack("{s:s, s:s, s:s, s:s}", "name", name, "mark", marks[mark].name, "found",
			found, "does", does));
}

bool facts_bad(const json_t *facts)
{
	for (size_t i = 0; i < json_array_size(facts); i++)
		if (strcmp(field_raw(json_array_get(facts, i), "mark"), marks[FACT_BAD].name) == 0)
			return true;
	return false;
}

static enum colour colour_of(const char *mark)
{
	for (size_t i = 0; i < COUNT_OF(marks); i++)
		if (strcmp(marks[i].name, mark) == 0)
			return marks[i].colour;
	return PLAIN;
}

void facts_put(const json_t *facts, size_t n, struct wrap *lines)
{
	for (size_t i = n; i < json_array_size(facts); i++) {
		const json_t *fact = json_array_get(facts, i);
		const char *mark = field_raw(fact, "mark");

		wrap_put(lines, colour_of(mark), mark);
		wrap_spaces(lines, NAME_COLUMN - strlen(mark));
		wrap_putf(lines, PLAIN, "%-*s", TEXT_COLUMN - NAME_COLUMN, field_raw(fact, "name"));
		field_put(lines, PLAIN, fact, "found");
		wrap_put(lines, PLAIN, *field_raw(fact, "does") != '\0' ? "; " : "");
		field_put(lines, PLAIN, fact, "does");
		wrap_end(lines, TEXT_COLUMN);
	}
}

/* ---- facts kernel ---- */

static bool signals_main_thread(void)
{
	scoped_fd fd = pidfd_to_watch(getpid());

	return pidfd_signals_threads(fd);
}

/* What newer kernels have and users of an older one notice, oldest first. */
static const struct {
	unsigned major, minor;
	bool (*has)(void); /* tries it: an older kernel may have it from its distribution */
	const char *name;
	const char *does;
} lacks[] = {
	{5, 12, NULL, "balance = rr",
		"may pass over a worker when several CPUs take connections at once"},
	{5, 14, NULL, "waiting clients",
		"with a socket for each worker, those of a worker that has died wait for its "
		"successor"},
	{5, 14, NULL, "network namespaces",
		"ports of workers in another one are taken over, too, unless intercept = off"},
	{5, 19, seccomp_waits_killable, "bind and signals",
		"a signal may interrupt a worker's bind (EINTR) until nclust has answered it"},
	{6, 9, signals_main_thread, "stop of threads",
		"a worker with threads of which the main one alone handles signals (Python) may "
		"sleep through its stop signal, until stop-timeout"},
	{6, 15, NULL, "taken-over workers", "how one has ended may be unknown"},
};

bool facts_is_release(const char *release, unsigned major, unsigned minor)
{
	unsigned its[2] = {0, 0};

	(void)sscanf(release, "%u.%u", &its[0], &its[1]);
	return its[0] > major || (its[0] == major && its[1] >= minor);
}

void facts_kernel(json_t *facts, const char *release, bool try)
{
	for (size_t i = 0; i < COUNT_OF(lacks); i++)
		if (!facts_is_release(release, lacks[i].major, lacks[i].minor) &&
			!(try && lacks[i].has != NULL && lacks[i].has()))
			facts_add(facts, FACT_NOTE, lacks[i].name, lacks[i].does,
				"before Linux %u.%u", lacks[i].major, lacks[i].minor);
}
