/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/service.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"
#include "os/clock.h"
#include "os/look/look.h"
#include "os/look/remote.h"
#include "os/process.h"
#include "supervisor/common/news.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/child.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whether a cluster's only worker may have its successor beside it. */

#define ALONE_WHY 200
#define FDS_MOST 4096 /* descriptors of a process that are looked at */
#define FILES_MOST 64 /* files among them */

struct files {
	int fds[FILES_MOST];
	size_t count;
};

/* May run in a child that has our memory (os/look/remote.h).  Standard output and error are
 * nclust's own files as well; a cache may be lost. */
static bool note_file(void *context, int fd, const char *target)
{
	static const char *const no_store[] = {"/dev/", "/proc/", "/sys/", " (deleted)", "cache"};
	struct files *files = context;

	if (fd <= STDERR_FILENO || target[0] != '/')
		return false;
	for (size_t i = 0; i < COUNT_OF(no_store); i++)
		if (strstr(target, no_store[i]) != NULL)
			return false;
	files->fds[files->count++] = fd;
	return files->count == FILES_MOST;
}

/* Has the process a file open in which it writes where it likes?  A log is open to append. */
static bool writes_file(pid_t pid, char *path, size_t size)
{
	struct files files = {.count = 0};
	struct remote r;

	remote_of(&r, pid);
	(void)remote_each_fd(&r, FDS_MOST, note_file, &files);
	for (size_t i = 0; i < files.count; i++) {
		int flags = remote_fd_flags(&r, files.fds[i]);

		if (flags != -1 && (flags & O_ACCMODE) != O_RDONLY && (flags & O_APPEND) == 0 &&
			remote_target(&r, files.fds[i], path, size) == 0)
			return true;
	}
	return false;
}

/* Does a process of the worker keep its state in itself or in a file that it alone may write?
 * Then `why` says so. */
static bool keeps_state(const struct child *child, char *why, size_t size)
{
	pid_t tree[PROCESS_TREE_MOST];
	size_t count = process_tree(child->pid, tree, PROCESS_TREE_MOST);
	char name[PROCESS_NAME];
	char path[128];

	for (size_t i = 0; i < count; i++)
		if (program_keeps_state(process_name(tree[i], name))) {
			snprintf(why, size, "%s keeps its state in itself", name);
			return true;
		}
	/* the leader's lock is nclust's, and is made to change hands */
	if (child->leading.fd == -1 && locks_are_held(tree, count)) {
		snprintf(why, size, "it holds the lock of a file");
		return true;
	}
	for (size_t i = 0; i < count; i++)
		if (writes_file(tree[i], path, sizeof(path))) {
			snprintf(why, size, "it has %s open for writing", path);
			return true;
		}
	return false;
}

static bool counts_port(const struct service *service, const struct listener *l)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	char *const *const words[] = {s->command.list, s->env.list, environ};

	for (size_t i = 0; i < COUNT_OF(words) && l->has_key; i++)
		if (slotword_of_debugger(words[i], l->key.port) != NULL)
			return false;
	return !command_schedules(s->command_text);
}

bool alone_has_port(const struct service *service)
{
	const struct cluster_sockets *sockets = &service->sockets;
	bool found = sockets->listeners.count > 0;
	const struct child *child;

	for_each_child (child, children_of(service)) /* a path of its own */
		found |= child->listening.ports != 0 &&
			!command_schedules(cluster_settings(service->core)->command_text);

	for (size_t i = 0; i < sockets->learned.count && !found; i++)
		found = counts_port(service, sockets->learned.list[i]);
	return found;
}

/* Say it once, where it matters. */
static void say_alone(struct service *service, const char *why)
{
	if (cluster_heeds_alone(service->core) && once_say(service->said, ONCE_ALONE))
		news_say_of(service, LOG_NOTE, "alone",
			"%s: a restart ends the old one before the new one starts ('surge = 1': "
			"the new one first)",
			why);
}

static bool is_single(const struct service *service)
{
	return service_counts(service).workers == 1 && service->accepting == NULL;
}

void alone_on_ready(struct child *child)
{
	char why[ALONE_WHY];

	if (is_single(child->service) && keeps_state(child, why, sizeof(why)))
		say_alone(child->service, why);
	else if (service_runs_once(child->service) && !alone_has_port(child->service) &&
		once_say(child->service->said, ONCE_RUNS_ONCE))
		news_say_of(child->service, LOG_NOTE, "alone",
			"it has opened no port, so it runs once ('-n auto': once for each CPU)");
}

/* max-age is the core's to measure: look shortly before. */
bool alone_is_due(const struct service *service)
{
	nsec_t most = cluster_settings(service->core)->max_age;
	struct slot_view view;

	if (most == 0 || cluster_ready(service->core) == 0 || !is_single(service))
		return false;
	cluster_view_slot(service->core, 0, &view);
	return view.worker[0].ready_at != NSEC_NEVER &&
		clock_now() - view.worker[0].ready_at >= most / 10 * 8;
}

void alone_look(struct service *service)
{
	struct event event = {.kind = EVENT_ALONE, .held = !alone_has_port(service)};
	char why[ALONE_WHY] = "it opens no port";
	const struct child *child;

	if (!is_single(service))
		return;
	for_each_child (child, children_of(service))
		event.held |= keeps_state(child, why, sizeof(why));
	service_tell(service, &event);
	if (event.held)
		say_alone(service, why);
}
