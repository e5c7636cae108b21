/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/paths.h"

#include "os/look/remote.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/socket/socket_as.h"
#include "os/socket/socket_unix.h"
#include "supervisor/common/news.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/workers/child.h"

#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define PATHS_MAX 16 /* for each worker */

/* The absolute path: `path` may be relative to the process's directory.  Heap, or NULL. */
static char *absolute_path(pid_t pid, const char *path)
{
	char cwd[PATH_MAX] = "";
	char *whole;

	if (*path != '/' && process_link(pid, "cwd", cwd, sizeof(cwd)) == -1)
		return NULL;
	return asprintf(&whole, "%s%s%s", cwd, *path != '/' ? "/" : "", path) != -1 ? whole : NULL;
}

/* Takes over the name.  NULL: out of memory, or the worker has too many paths. */
static struct path *find_or_add(struct child *child, char *name)
{
	struct path **at = &child->life.paths;
	unsigned count = 0;

	for (; *at != NULL && strcmp((*at)->name, name) != 0; count++)
		at = &(*at)->next;
	if (*at == NULL && count < PATHS_MAX)
		*at = calloc(1, sizeof(**at));
	if (*at == NULL || (*at)->name != NULL)
		free(name);
	else
		(*at)->name = name;
	return *at;
}

void paths_drop(struct child *child)
{
	struct path *p;

	while ((p = child->life.paths) != NULL) {
		(void)socket_unlink(p->name, &p->file);
		child->life.paths = p->next;
		free(p->name);
		free(p);
	}
}

/* Workers at work take the path from each other. */
static void warn_of_others(const struct child *child, const char *name)
{
	const struct child *other;

	for_each_child (other, children_of(child->service))
		for (const struct path *p = other->life.paths; p != NULL; p = p->next)
			if (other->slot != child->slot && !child_is_stopping(other) &&
				strcmp(p->name, name) == 0 &&
				once_say(child->service->said, ONCE_PATH_TAKEN))
				news_say_of(child->service, LOG_WARN, "listening",
					"each worker binds unix:%s by itself, and clients reach "
					"only the last one; to share it: '-l unix:%s' if the "
					"program takes LISTEN_FDS, or a descriptor (3)",
					name, name);
}

static bool may(struct remote *r, int capability)
{
	return !privilege_has(capability) || remote_may(r, capability);
}

int paths_user(const struct child *child, pid_t tid, const char *path, struct vfork_user *user)
{
	const struct recipe *recipe = recipe_of(child->service, child->generation);
	struct remote r;
	uint64_t uid;
	uint64_t gid;

	remote_of(&r, tid);
	if (process_status(tid, "Uid:", 10, &uid) == -1 ||
		process_status(tid, "Gid:", 10, &gid) == -1)
		return -1;
	if (*path != '@' && (!remote_shares(&r, "ns/mnt") || !remote_shares(&r, "root")))
		return -1;
	if (*path != '@' && uid == 0 &&
		!(may(&r, CAP_DAC_OVERRIDE) && may(&r, CAP_DAC_READ_SEARCH) && may(&r, CAP_FOWNER)))
		return -1;
	*user = (struct vfork_user){.uid = (uid_t)uid, .gid = (gid_t)gid};
	if (recipe != NULL && recipe->settings->uid == (long)uid) {
		user->groups = recipe->groups;
		user->group_count = recipe->group_count;
	}
	return 0;
}

/* Does nothing for a listener of nclust, which heal.h repairs. */
void paths_keep(struct child *child, const char *path, pid_t tid, const struct socket_file *file)
{
	struct child *const *both = child->service->children[child->slot];
	const struct child *other = both[both[0] == child];
	unsigned number = 1 + 2 * child->slot; /* the slot's second worker gets the next number */
	struct vfork_user user;
	struct path *p = NULL;
	char *name;

	if (*path == '@' || learned_find_unix(child, path) != NULL ||
		paths_user(child, tid, path, &user) == -1)
		return;
	if (other != NULL && other->life.paths != NULL && other->life.paths->file.number == number)
		number++;
	name = absolute_path(tid, path);
	if (name != NULL)
		p = find_or_add(child, name);
	if (p == NULL)
		return;
	p->file = (struct socket_file){.dev = file->dev, .ino = file->ino, .number = number};
	if (socket_spare_name(p->name, &user, &p->file) == -1)
		p->file.ino = 0;
	paths_watch(child->service->sup, p->name, &p->file);
	warn_of_others(child, p->name);
}

bool paths_are_others(const struct child *child)
{
	return child->life.paths != NULL &&
		list_find(p, child->life.paths, !socket_is_replaced(p->name, &p->file)) == NULL;
}

/* A server removes what is at its path, and then binds it; nclust may have given the name back to
 * another worker between the two. */
void paths_bind(const struct child *child, pid_t tid, const void *address, size_t size)
{
	struct sockaddr_un to = {.sun_family = AF_UNSPEC};
	char path[sizeof(to.sun_path) + 1] = "";
	char *name = NULL;
	struct child *other;
	struct path *p;

	memcpy(&to, address, size < sizeof(to) ? size : sizeof(to));
	memcpy(path, to.sun_path, sizeof(to.sun_path));
	if (to.sun_family != AF_UNIX || *path == '\0')
		return;
	for_each_child (other, children_of(child->service))
		for (p = other->life.paths; p != NULL; p = p->next) {
			if (name == NULL)
				name = absolute_path(tid, path);
			if (name == NULL || strcmp(p->name, name) != 0)
				continue;
			p->given_up = child->serial;
			if (p->given_back && socket_take_name(name, &p->file) == 1)
				p->given_back = false;
		}
	free(name);
}

/* Is a worker about to bind the name? */
static bool is_given_up(const struct service *service, const struct path *p)
{
	return p->given_up != 0 &&
		walk_find(child, child_next, children_of(service),
			child->serial == p->given_up && child->life.paths == NULL) != NULL;
}

/* Has it a second name for a socket, from which the first can be put back?  Not if another copy had
 * removed the first before nclust came. */
static bool has_spare_name(const struct child *child)
{
	return list_find(p, child->life.paths, p->file.ino != 0) != NULL;
}

/* A worker that is stopping has removed its path so that clients do not reach it: its path stays
 * away. */
void paths_look(struct service *service)
{
	struct child *youngest = NULL;
	struct child *child;

	if (!service->sup->sockets.has_paths)
		return;
	for_each_child (child, children_of(service))
		if (has_spare_name(child) &&
			(youngest == NULL || child->serial > youngest->serial) &&
			!child_is_stopping(child))
			youngest = child;
	for (struct path *p = youngest != NULL ? youngest->life.paths : NULL; p != NULL;
		p = p->next) {
		if (is_given_up(service, p) || socket_keep_name(p->name, &p->file) != 1)
			continue;
		p->given_back = true;
		if (!news_spares(youngest))
			continue;
		news_say_of(service, LOG_NOTE, "listener-harmed",
			"a worker has removed '%s', where another one listens: it has its name "
			"again",
			p->name);
	}
}

void paths_on_changed(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;

	for (size_t i = 0; i < sup->service_count; i++) {
		renew_look(sup->services[i]);
		paths_look(sup->services[i]);
	}
	ev_io_start(loop, &sup->sockets.paths_changed);
}

void paths_resume(struct child *child)
{
	for (const struct path *p = child->life.paths; p != NULL; p = p->next)
		paths_watch(child->service->sup, p->name, &p->file);
}

static const struct plain_row rows[] = {
	PLAIN_MUST(1, path, name, HEAP),
	PLAIN(2, path, file.dev, UNSIGNED),
	PLAIN(3, path, file.ino, UNSIGNED),
	PLAIN(4, path, file.number, UNSIGNED),
	PLAIN(5, path, given_back, BOOL),
	PLAIN(6, path, file.uid, UNSIGNED),
	PLAIN(7, path, file.gid, UNSIGNED),
};

const struct carried carried_path = {
	.called = "a unix path",
	CARRIED_ROWS(rows, path),
};
