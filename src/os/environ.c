/* SPDX-License-Identifier: MIT */
#include "os/environ.h"

#include "base/scope.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ENVIRON_MAX (256U * 1024)
#define LOOKS_MOST 4

struct scan {
	size_t at; /* position in the entry "KEY=VALUE" */
	bool fits; /* all bytes so far match the key */
};

/* Compare one more byte of the environment.  True: the value is complete. */
static bool feed_byte(struct environ_look *l, struct scan *s, char c)
{
	size_t key = strlen(l->key);
	size_t value = s->at - key - 1;

	if (c == '\0' && s->fits && s->at > key) {
		l->value[value < sizeof(l->value) ? value : sizeof(l->value) - 1] = '\0';
		return true;
	}
	if (c == '\0') {
		*s = (struct scan){.fits = true};
		return false;
	}
	if (s->at <= key)
		s->fits = s->fits && c == (s->at < key ? l->key[s->at] : '=');
	else if (s->fits && value < sizeof(l->value) - 1)
		l->value[value] = c;
	s->at++;
	return false;
}

/* 0: found; -1 and errno: ENOENT: no such variable among the `*used` bytes of the environment. */
static int scan_environment(struct environ_look *l, size_t *used)
{
	struct scan scan = {.fits = true};
	char data[4096];
	ssize_t got = 1;

	*used = 0;
	scoped_fd fd = process_open(l->pid, "environ", O_RDONLY);
	while (fd != -1 && got > 0 && *used < ENVIRON_MAX) {
		got = read(fd, data, sizeof(data));
		for (ssize_t i = 0; i < got; i++)
			if (feed_byte(l, &scan, data[i]))
				return 0;
		*used += got > 0 ? (size_t)got : 0;
	}
	if (fd != -1 && got != -1)
		errno = ENOENT;
	return -1;
}

/* execve(2) gives a process new memory first, and sets later where its arguments and its
 * environment are in this memory: until then both read as empty (fs/proc/base.c, environ_read()). */
static bool is_executing(pid_t pid)
{
	const char state = process_state(pid);
	char text[16];

	return (state == 'R' || state == 'D') && /* D: it waits for a page of the program */
		process_read(pid, "cmdline", text, sizeof(text)) == 0 &&
		process_link(pid, "exe", text, sizeof(text)) > 0;
}

int environ_find(void *argument)
{
	struct environ_look *l = argument;
	int error = ENOENT;
	size_t used;

	/* an empty environment is read again: the process may be in execve(2) */
	for (int looks = 0; looks < LOOKS_MOST && error == ENOENT; looks++) {
		if (scan_environment(l, &used) == 0)
			return 0;
		if (errno != ENOENT || used > 0)
			return -1;
		error = is_executing(l->pid) ? EAGAIN : ENOENT;
	}
	errno = error;
	return -1;
}
