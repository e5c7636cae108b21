/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"
#include "os/look/look.h"
#include "os/process.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- ports beside the first ---- */

/*
 * Does each copy answer for itself at a port beside the first?  The first copy is asked
 * before there is a second one, the second while the first is stopped, and then the first
 * again.
 */

#define ASKED_MOST 4             /* places that are asked */
#define ANSWER_MOST (2 * SECOND) /* longer answers are streams */

static const char *const paths[] = {"/", "/metrics", "/json/list"};

/* Places that the user has named come first, then places for clients. */
static bool is_before(const struct exam_place *a, const struct exam_place *b)
{
	if (a->named != b->named)
		return a->named;
	return a->purpose == NULL && b->purpose != NULL;
}

static bool is_beside(const struct exam *e, const struct exam_place *p)
{
	const struct exam_place *first = NULL;

	for (size_t i = 0; i < e->place_count; i++)
		if (e->places[i].socket.port != 0 &&
			(first == NULL || is_before(&e->places[i], first)))
			first = &e->places[i];
	return first != NULL && p->socket.port != 0 && p->socket.port != first->socket.port;
}

static bool has_text(const struct visitor *v, const char *text)
{
	return memmem(v->answer, v->len, text, strlen(text)) != NULL;
}

/* Add the status and the body to the hash. */
static uint64_t add_answer(uint64_t sum, const struct visitor *v)
{
	const char *body = memmem(v->answer, v->len, "\r\n\r\n", 4);
	size_t head = strlen("HTTP/1.0 200");

	sum = text_hash(sum, v->answer, head < v->len ? head : v->len);
	return body != NULL ? text_hash(sum, body, v->len - (size_t)(body - v->answer)) : sum;
}

/* A hash of all answers; 0: an answer was missing. */
static uint64_t ask_all(const struct exam *e, struct exam_place *p)
{
	uint64_t sum = 1;

	for (size_t i = 0; sum != 0 && i < COUNT_OF(paths); i++) {
		struct visitor v = {.fd = held_visit(p->socket.text)};
		char request[80];

		snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n",
			paths[i]);
		visitor_say(&v, request);
		visitor_await(e, &v, true, ANSWER_MOST);
		fd_close(&v.fd);
		sum = v.closed && visitor_is_answered(&v) ? add_answer(sum, &v) : 0;
		if (sum != 0 && has_text(&v, "webSocketDebuggerUrl"))
			p->purpose = "inspector";
		else if (sum != 0 && has_text(&v, "\n# TYPE "))
			p->purpose = "metrics";
	}
	return sum;
}

static void ask_first(struct exam *e)
{
	bool several = false;

	for (size_t i = 0; i < e->place_count; i++) {
		struct exam_place *p = &e->places[i];

		several |= is_beside(e, p);
		if (slotword_inspects(e->arguments->command, p->socket.port) ||
			slotword_inspects(environ, p->socket.port))
			p->purpose = "inspector";
	}
	for (size_t i = 0; several && i < e->place_count && i < ASKED_MOST; i++)
		if (e->places[i].socket.port != 0 && e->places[i].purpose == NULL)
			e->places[i].answers = ask_all(e, &e->places[i]);
}

/* Is the answer the first copy's while the copy `stopped`, which leads a process
 * group, is stopped? */
static bool is_same_without(const struct exam *e, struct exam_place *p, uint64_t stopped)
{
	pid_t group = trial_pid(e->trial, stopped);
	uint64_t sum;

	(void)kill(-group, SIGSTOP);
	while (!process_is_stopped(group) && trial_wait(e->trial))
		;
	sum = ask_all(e, p);
	(void)kill(-group, SIGCONT);
	return sum == p->answers;
}

static void ask_second(struct exam *e, uint64_t second)
{
	for (size_t i = 0; i < e->place_count; i++) {
		struct exam_place *p = &e->places[i];

		if (p->share != SHARE_SAME || !is_beside(e, p))
			continue;
		p->differs = p->purpose != NULL;
		/* an answer that changes with each request says nothing about copies */
		if (!p->differs && p->answers != 0)
			p->differs =
				!is_same_without(e, p, e->first) && is_same_without(e, p, second);
	}
}

/* ---- files ---- */

/*
 * Files that copies have in common: files that both have open for writing, and
 * files that the first copy made and the second one removes as it ends.
 */

/* The most entries of directories that are looked at. */
#define ENTRIES_MAX 4096
/* The kernel stamps a file with the time of its last tick. */
#define TICK 0.02

static void compare_files(struct exam *e, const struct held *second)
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

static void find_made(struct exam *e)
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

void exam_keep_files(struct exam *e, bool there)
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

/* ---- the second copy ---- */

/* A second copy beside the first: is it ready, and at the same sockets? */

#define SECOND_MOST (12 * SECOND)  /* until the second copy is ready */
#define SOCKETS_MOST (3 * SECOND)  /* from there until it has all sockets that the first has */
#define LOCK_PATIENCE (3 * SECOND) /* or until it has waited for a lock so long */

/* Has the second copy a socket of its own in the place of that socket: the next
 * port, as {slot+PORT} gives it, or a path that differs from copy to copy? */
static bool has_own(const struct exam *e, const struct held_socket *s, const struct held *second)
{
	for (size_t i = 0; i < second->count; i++) {
		const struct held_socket *other = &second->list[i];

		if (held_alike(&e->held, other) == NULL &&
			(s->port != 0 ? other->port == s->port + 1
				      : strncmp(s->text, "unix:", 5) == 0 &&
						strncmp(other->text, "unix:", 5) == 0))
			return true;
	}
	return false;
}

static enum exam_share find_share(
	const struct exam *e, const struct held_socket *s, const struct held *second)
{
	if (held_by_inode(second, s->inode) != NULL)
		return SHARE_SAME;
	if (held_alike(second, s) == NULL)
		return has_own(e, s, second) ? SHARE_PRIVATE : SHARE_OTHER;
	return strncmp(s->text, "unix:", 5) == 0 ? SHARE_STOLEN : SHARE_SPREAD;
}

/* True when the second copy has a socket at each place of the first, or as many others. */
static bool compare_copies(struct exam *e, uint64_t worker)
{
	struct held second uninitialized;
	bool all = true;

	held_look(&second, e->trial, trial_pid(e->trial, worker));
	compare_files(e, &second);
	for (size_t i = 0; i < e->place_count; i++) {
		e->places[i].share = find_share(e, &e->places[i].socket, &second);
		all &= e->places[i].share != SHARE_OTHER;
	}
	return all || second.count >= e->held.count;
}

/* A copy that waits for a lock is not ready, even if it gave the sign. */
static bool find_lock(struct exam *e, uint64_t second)
{
	struct lockwait lock;

	if (second == 0 || trial_event(e->trial, second, "exited") != NULL ||
		!lockwait_look(&lock, trial_pid(e->trial, second)))
		return false;
	text_copy(e->second_lock, sizeof(e->second_lock), lock.path);
	return true;
}

/* Wait until the second copy is ready, has ended, or waits for a lock.  Returns its id; 0:
 * it was not started. */
static uint64_t await_second(struct exam *e)
{
	nsec_t until = e->trial->now + SECOND_MOST;
	nsec_t locked = e->trial->now + LOCK_PATIENCE;
	uint64_t second = 0;

	while (trial_wait(e->trial) && e->trial->now < until) {
		second = trial_worker(e->trial, 1);
		if (second != 0 &&
			(trial_event(e->trial, second, "exited") != NULL ||
				trial_event(e->trial, second, "ready") != NULL))
			break;
		if (e->trial->now >= locked && find_lock(e, second))
			break;
	}
	return second;
}

void exam_copy(struct exam *e)
{
	uint64_t second;
	nsec_t until;

	find_made(e);
	ask_first(e);
	trial_scale(e->trial, 2);
	second = await_second(e);
	if (second != 0 && trial_event(e->trial, second, "ready") != NULL) {
		e->second_ready = true;
		e->second_after = trial_time(e->trial, second, "ready") -
			trial_time(e->trial, second, "started");
	}
	until = e->trial->now + SOCKETS_MOST;
	while (e->second_ready && trial_event(e->trial, second, "exited") == NULL &&
		!compare_copies(e, second) && e->trial->now < until && trial_wait(e->trial))
		;
	exam_note_end(e, second, &e->second_end);
	exam_note_end(e, e->first, &e->first_end);
	e->second_ready &= e->second_end.exit[0] == '\0' && !find_lock(e, second);
	if (e->second_ready && !e->trial->over)
		ask_second(e, second);
}

bool exam_is_alone(const struct exam *e)
{
	return !e->second_ready || e->first_end.exit[0] != '\0';
}

bool exam_copies_work(const struct exam *e)
{
	size_t own = 0;

	if (exam_is_alone(e))
		return false;
	for (size_t i = 0; i < e->place_count; i++) {
		if (e->places[i].share == SHARE_SAME || e->places[i].share == SHARE_SPREAD)
			return true;
		own += e->places[i].share == SHARE_PRIVATE;
	}
	return e->place_count == own; /* all places are the copy's own: it need not share any */
}
