/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "base/scope.h"
#include "os/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FDS_MOST 4096 /* descriptors of a process that are looked at */
#define FILES_MOST 64 /* files among them */

struct files {
	int fds[FILES_MOST];
	size_t count;
};

/* Does a program of that name keep its state in itself, and write it when it ends? */
static bool is_known(const char *name)
{
	static const char *const names[] = {"redis-server", "valkey-server", "memcached", "mongod",
		"postgres", "mysqld", "mariadbd", "etcd", "beanstalkd", "gearmand", "mosquitto",
		"nats-server", "ngircd"};

	return array_find(known, names, COUNT_OF(names), strcmp(*known, name) == 0) != NULL;
}

/* May run in a child that has our memory (os/look/remote.h).  Standard output and error are
 * nclust's own files as well; a cache may be lost. */
static bool note_file(void *context, int fd, const char *target)
{
	static const char *const no_store[] = {"/dev/", "/proc/", "/sys/", " (deleted)", "cache"};
	struct files *files = context;

	if (fd <= STDERR_FILENO || target[0] != '/' ||
		array_find(part, no_store, COUNT_OF(no_store), strstr(target, *part) != NULL))
		return false;
	files->fds[files->count++] = fd;
	return files->count == FILES_MOST;
}

/* Has the process a file open in which it writes where it likes or, with O_APPEND, as in a log?
 * `only`: of that path; NULL: any. */
static bool writes_file(pid_t pid, int append, const char *only, char *path, size_t size)
{
	struct files files = {.count = 0};
	struct remote r;

	remote_of(&r, pid);
	(void)remote_each_fd(&r, FDS_MOST, note_file, &files);
	for (size_t i = 0; i < files.count; i++) {
		int flags = remote_fd_flags(&r, files.fds[i]);

		if (flags != -1 && (flags & O_ACCMODE) != O_RDONLY &&
			(flags & O_APPEND) == append &&
			remote_target(&r, files.fds[i], path, size) == 0 &&
			(only == NULL || strcmp(path, only) == 0))
			return true;
	}
	return false;
}

bool store_is_known(pid_t pid, char what[STORE_TEXT])
{
	pid_t tree[PROCESS_TREE_MOST];
	size_t count = process_tree(pid, tree, PROCESS_TREE_MOST);
	char name[PROCESS_NAME];

	for (size_t i = 0; i < count; i++)
		if (is_known(process_name(tree[i], name))) {
			snprintf(what, STORE_TEXT, "%s keeps its state in itself", name);
			return true;
		}
	return false;
}

enum store store_look(pid_t pid, bool locks, char what[STORE_TEXT])
{
	pid_t tree[PROCESS_TREE_MOST];
	size_t count = process_tree(pid, tree, PROCESS_TREE_MOST);
	char path[STORE_TEXT - 32];

	if (store_is_known(pid, what))
		return STORE_ITSELF;
	if (locks && locks_are_held(tree, count)) {
		snprintf(what, STORE_TEXT, "it holds the lock of a file");
		return STORE_LOCK;
	}
	for (size_t i = 0; i < count; i++)
		if (writes_file(tree[i], 0, NULL, path, sizeof(path))) {
			snprintf(what, STORE_TEXT, "it has %s open for writing", path);
			return STORE_FILE;
		}
	return STORE_NONE;
}

bool store_same_log(pid_t one, pid_t other, char path[STORE_TEXT])
{
	pid_t trees[2][PROCESS_TREE_MOST];
	size_t first = process_tree(one, trees[0], PROCESS_TREE_MOST);
	size_t second = process_tree(other, trees[1], PROCESS_TREE_MOST);
	char its[STORE_TEXT];

	for (size_t i = 0; i < first; i++)
		if (writes_file(trees[0][i], O_APPEND, NULL, path, STORE_TEXT))
			for (size_t k = 0; k < second; k++)
				if (writes_file(trees[1][k], O_APPEND, path, its, sizeof(its)))
					return true;
	return false;
}
