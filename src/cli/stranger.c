/* SPDX-License-Identifier: MIT */
#include "cli/client.h"

#include "base/scope.h"
#include "cli/verb.h"
#include "os/process.h"

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
	char lock[512]; /* PLACE/NAME/lock, which it holds open */
};

static bool is_lock(void *context, pid_t fd)
{
	struct stranger *s = context;
	char name[24];
	ssize_t len;

	snprintf(name, sizeof(name), "fd/%d", (int)fd);
	len = process_link(s->pid, name, s->lock, sizeof(s->lock));
	if (len > 5 && s->lock[0] == '/' && strcmp(s->lock + len - 5, "/lock") == 0) {
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
static bool is_instance(pid_t pid)
{
	struct process_facts facts;
	char words[256] = "";

	return pid != getpid() && is_nclust(pid) && process_look(pid, &facts) == 0 &&
		!is_nclust(facts.parent) &&
		process_read(pid, "cmdline", words, sizeof(words) - 1) > 0 &&
		verb_find(words + strlen(words) + 1) == NULL;
}

static bool shares_our_mounts(pid_t pid)
{
	char ours[64] = "";
	char its[64] = "";

	return process_link(getpid(), "ns/mnt", ours, sizeof(ours)) == -1 ||
		process_link(pid, "ns/mnt", its, sizeof(its)) == -1 || strcmp(ours, its) == 0;
}

static bool look_at(void *context, pid_t pid)
{
	struct stranger *s = context;
	const struct passwd *user;
	const char *name = "";
	const char *target = s->words->target;
	uint64_t uid;
	char who[48];
	char way[80] = "";
	char place[540] = "";
	char *slash;
	scoped_fd fds = -1;

	if (!is_instance(pid) || process_status(pid, "Uid:", 10, &uid) == -1)
		return false;
	s->pid = pid;
	s->lock[0] = '\0';
	fds = process_open(pid, "fd", O_RDONLY | O_DIRECTORY);
	(void)process_each_in(fds, is_lock, s);
	slash = strrchr(s->lock, '/');
	if (slash != NULL) {
		*slash = '\0';
		name = slash + 1;
		snprintf(way, sizeof(way), "/tmp/nclust-%u", (unsigned)uid);
		if (strcmp(s->lock, "/run/nclust") != 0 && strcmp(s->lock, way) != 0 &&
			strncmp(s->lock, "/run/user/", 10) != 0)
			snprintf(place, sizeof(place), " --runtime-directory %s", s->lock);
	}
	*way = '\0';
	if (*s->name != '\0' && fds != -1 && strcmp(name, s->name) != 0)
		return false;
	if (target == NULL)
		target = name;
	user = getpwuid((uid_t)uid);
	snprintf(who, sizeof(who), user != NULL ? "%.40s" : "#%.0s%u",
		user != NULL ? user->pw_name : "", (unsigned)uid);
	if (!shares_our_mounts(pid))
		snprintf(way, sizeof(way), "nsenter -t %d -m -S %u ", (int)pid, (unsigned)uid);
	else if (uid != geteuid())
		snprintf(way, sizeof(way), uid == 0 ? "sudo " : "sudo -u %s ", who);
	error_hint(s->err, "%s%s runs as %s (pid %d): %snclust %s%s%s%s",
		*name == '\0' ? "an nclust" : "", name, who, (int)pid, way, s->words->verb->name,
		*target == '\0' ? "" : " ", target, place);
	return ++s->count == STRANGERS_SHOWN;
}

bool stranger_hint(const struct arguments *a, const char *name, struct error *err)
{
	struct stranger s = {.words = a, .name = name, .err = err};

	(void)process_each(0, look_at, &s);
	return s.count > 0;
}
