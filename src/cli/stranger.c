/* SPDX-License-Identifier: MIT */
#include "cli/stranger.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/value.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* An nclust that our places do not show: of another user, or in a place of its own. */

#define STRANGERS_SHOWN 3

struct stranger {
	const struct arguments *words;
	const char *name; /* "": any */
	struct error *err;
	unsigned count;
	pid_t pid;
	char line[4096]; /* its command line */
	size_t len;
	char lock[512]; /* PLACE/NAME/lock, which it holds open */
	bool ends;      /* it has no lock, or no control socket beside that */
};

static bool is_lock(void *context, pid_t fd)
{
	struct stranger *s = context;
	char name[24];
	ssize_t len;

	snprintf(name, sizeof(name), "fd/%d", (int)fd);
	len = process_link(s->pid, name, s->lock, sizeof(s->lock));
	if (len > 5 && s->lock[0] == '/' && strcmp(s->lock + len - 5, "/lock") == 0) {
		text_copy(s->lock + len - 4, sizeof(s->lock) - (size_t)len + 4, "control");
		s->ends = access(s->lock, F_OK) == -1 && errno == ENOENT;
		s->lock[len - 5] = '\0';
		return true;
	}
	s->lock[0] = '\0';
	return false;
}

static bool is_nclust(pid_t pid)
{
	char comm[24] = "";

	return process_read(pid, "comm", comm, sizeof(comm)) > 0 && strcmp(comm, "nclust\n") == 0;
}

/* Is it one that runs clusters: not we, nor a verb, nor a child that is to become a worker? */
static bool is_instance(struct stranger *s, pid_t pid)
{
	struct process_facts facts;
	ssize_t len;

	if (pid == getpid() || !is_nclust(pid) || process_look(pid, &facts) == -1 ||
		is_nclust(facts.parent))
		return false;
	memset(s->line, 0, sizeof(s->line));
	len = process_read(pid, "cmdline", s->line, sizeof(s->line) - 2);
	s->len = len > 0 ? (size_t)len : 0;
	return len > 0 && verb_find(s->line + strlen(s->line) + 1) == NULL;
}

/* The value of such an option on its command line, which any user may read; "": it has none. */
static const char *written_value(const struct stranger *s, const char *option)
{
	const size_t len = strlen(option);

	for (const char *word = s->line; word < s->line + s->len; word += strlen(word) + 1) {
		if (strcmp(word, "--") == 0)
			break;
		if (strncmp(word, option, len) == 0 && (word[len] == '\0' || word[len] == '='))
			return word + len + 1;
	}
	return "";
}

static bool shares_our_mounts(pid_t pid)
{
	char ours[64] = "";
	char its[64] = "";

	return process_link(getpid(), "ns/mnt", ours, sizeof(ours)) == -1 ||
		process_link(pid, "ns/mnt", its, sizeof(its)) == -1 || strcmp(ours, its) == 0;
}

/* What the user has typed, for the instance of that name ("": it is not known) in that place. */
static void put_words(
	struct buffer *out, const struct arguments *a, const char *name, const char *place)
{
	buffer_string(out, a->verb->name);
	if (a->target == NULL && *name != '\0')
		buffer_printf(out, " %s", name);
	for (int i = 1; i <= a->argc; i++) {
		if (*place != '\0' && (i == a->argc || strcmp(a->argv[i], "--") == 0)) {
			buffer_string(out, " --runtime-directory ");
			(void)value_quote_shell(out, place);
			place = "";
		}
		if (i < a->argc) {
			buffer_string(out, " ");
			(void)value_quote_shell(out, a->argv[i]);
		}
	}
}

/* Would a verb of that user look there? */
static bool is_usual(const char *place, uint64_t uid)
{
	char own[40];

	snprintf(own, sizeof(own), "/tmp/nclust-%u", (unsigned)uid);
	return strcmp(place, "/run/nclust") == 0 || strcmp(place, own) == 0 ||
		strncmp(place, "/run/user/", 10) == 0;
}

static bool look_at(void *context, pid_t pid)
{
	struct stranger *s = context;
	scoped_buffer words = {.limit = sizeof(s->err->text)};
	const struct arguments asks = {.verb = verb_find("status"), .argc = 1};
	const struct passwd *user;
	const char *name;
	const char *place = "";
	const char *line;
	uint64_t uid;
	char who[48];
	char way[80] = "";
	char *slash;
	scoped_fd fds = -1;

	if (!is_instance(s, pid) || process_status(pid, "Uid:", 10, &uid) == -1)
		return false;
	s->pid = pid;
	s->lock[0] = '\0';
	fds = process_open(pid, "fd", O_RDONLY | O_DIRECTORY);
	s->ends = fds != -1;
	(void)process_each_in(fds, is_lock, s);
	slash = strrchr(s->lock, '/');
	name = slash != NULL ? slash + 1 : written_value(s, "--name");
	if (!text_is_name(name))
		name = "";
	if (slash != NULL) {
		*slash = '\0';
		if (uid == geteuid() || !is_usual(s->lock, uid))
			place = s->lock;
	} else if (*(place = written_value(s, "--runtime-directory")) != '/') {
		place = "";
	}
	if (*s->name != '\0' && (*name != '\0' || fds != -1) && strcmp(name, s->name) != 0)
		return false;
	user = getpwuid((uid_t)uid);
	snprintf(who, sizeof(who), user != NULL ? "%.40s" : "#%.0s%u",
		user != NULL ? user->pw_name : "", (unsigned)uid);
	if (!shares_our_mounts(pid))
		snprintf(way, sizeof(way), "nsenter -t %d -m -S %u ", (int)pid, (unsigned)uid);
	else if (uid != geteuid())
		snprintf(way, sizeof(way), uid == 0 ? "sudo " : "sudo -u %s ", who);
	if (s->ends && shares_our_mounts(pid)) {
		error_hint(s->err,
			"%s (pid %d) has no control socket now: it is starting or ending",
			*name != '\0' ? name : "an nclust", (int)pid);
		return ++s->count == STRANGERS_SHOWN;
	}
	/* one that has no name for us may be another than the one that is meant */
	put_words(&words, *name != '\0' || fds != -1 ? s->words : &asks, name, place);
	line = buffer_text(&words);
	error_hint(s->err, "%s%s runs as %s (pid %d): %snclust %s",
		*name != '\0'       ? ""
			: fds != -1 ? "an nclust"
				    : "an nclust whose name only its user sees",
		name, who, (int)pid, way, line != NULL ? line : asks.verb->name);
	return ++s->count == STRANGERS_SHOWN;
}

bool stranger_hint(const struct arguments *a, const char *name, struct error *err)
{
	struct stranger s = {.words = a, .name = name, .err = err};

	(void)process_each(0, look_at, &s);
	return s.count > 0;
}
