/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/text.h"
#include "os/process.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Files that copies have in common: files that both have open for writing, and
 * files that the first copy made and the second one removes as it ends.
 */

/* The most entries of directories that are looked at. */
#define ENTRIES_MAX 4096
/* The kernel stamps a file with the time of its last tick. */
#define TICK 0.02

/* ---- written by both ---- */

void files_compare(struct exam *e, const struct held *second)
{
	for (size_t i = 0; i < e->held.file_count; i++) {
		const struct held_file *a = &e->held.files[i];
		const struct held_file *b = held_file(second, a->path);

		if (b != NULL)
			e->files[i] = a->inode != b->inode ? FILE_REPLACED
				: a->appends && b->appends ? FILE_APPENDED
							   : FILE_OVERWRITTEN;
	}
}

/* ---- made by the first ---- */

struct search {
	struct exam *exam;
	pid_t leader;
	double since;
	unsigned left;
};

static bool is_pid_file(const struct search *s, const char *path)
{
	char text[16];
	struct process_facts facts;

	return process_read_path(path, text, sizeof(text)) > 0 &&
		process_look((pid_t)strtol(text, NULL, 10), &facts) == 0 &&
		facts.session == s->leader;
}

/* In these directories other programs have files of their own. */
static bool is_public(const char *directory)
{
	return strncmp(directory, "/run", 4) == 0 || strcmp(directory, "/tmp") == 0;
}

static void note_file(
	struct search *s, const char *directory, const char *path, const struct stat *st)
{
	struct exam *e = s->exam;

	if ((double)st->st_ctim.tv_sec + (double)st->st_ctim.tv_nsec / 1e9 < s->since ||
		e->made_count == MADE_MAX || strlen(path) >= HELD_PATH ||
		(is_public(directory) && !is_pid_file(s, path)))
		return;
	for (size_t i = 0; i < e->made_count; i++)
		if (strcmp(e->made[i], path) == 0)
			return;
	text_copy(e->made[e->made_count++], HELD_PATH, path);
}

static void search_directory(struct search *s, const char *directory, unsigned depth)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	struct stat st;
	DIR *d = opendir(directory);

	while (d != NULL && s->left > 0 && (entry = readdir(d)) != NULL) {
		s->left--;
		if (entry->d_name[0] == '.' ||
			snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >=
				(int)sizeof(path) ||
			lstat(path, &st) == -1)
			continue;
		if (S_ISREG(st.st_mode))
			note_file(s, directory, path, &st);
		else if (S_ISDIR(st.st_mode) && depth > 0)
			search_directory(s, path, depth - 1);
	}
	if (d != NULL)
		(void)closedir(d);
}

/* Search the directory of this file alone; "--pid=/srv/pid" names a file, too. */
static void search_beside(struct search *s, const char *file)
{
	const char *from = strchr(file, '/');
	const char *slash = strrchr(file, '/');
	char directory[PATH_MAX];

	if (from == NULL || slash == from || slash - from >= PATH_MAX ||
		(from != file && from[-1] != '='))
		return;
	text_copy(directory, (size_t)(slash - from) + 1, from);
	search_directory(s, directory, 0);
}

void files_made(struct exam *e)
{
	struct search s = {
		.exam = e,
		.leader = trial_pid(e->trial, e->first),
		.since = trial_time(e->trial, e->first, "started") - TICK,
		.left = ENTRIES_MAX,
	};
	char cwd[PATH_MAX];
	ssize_t len = process_link(s.leader, "cwd", cwd, sizeof(cwd));

	search_directory(&s, "/run", 1);
	search_directory(&s, "/tmp", 0);
	for (size_t i = 0; i < e->held.file_count; i++)
		search_beside(&s, e->held.files[i].path);
	for (char *const *word = e->arguments->command; *word != NULL; word++)
		search_beside(&s, *word);
	if (len > 1)
		search_directory(&s, cwd, is_public(cwd) ? 0 : 2);
}

void files_keep(struct exam *e, bool there)
{
	size_t kept = 0;

	for (size_t i = 0; i < e->made_count; i++) {
		if ((access(e->made[i], F_OK) == 0) != there)
			continue;
		if (kept != i)
			text_copy(e->made[kept], HELD_PATH, e->made[i]);
		kept++;
	}
	e->made_count = kept;
}
