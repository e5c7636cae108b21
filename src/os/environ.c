/* SPDX-License-Identifier: MIT */
#include "os/environ.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ENVIRON_MAX (256U * 1024)

struct scan {
	size_t at; /* in the entry "KEY=VALUE" */
	bool fits; /* so far */
};

/* One more byte.  True: the value is whole. */
static bool feed(struct environ_look *l, struct scan *s, char c)
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

int environ_find(void *argument)
{
	struct environ_look *l = argument;
	struct scan scan = {.fits = true};
	char data[4096];
	size_t used = 0;
	ssize_t got = 1;

	(void)snprintf(data, sizeof(data), "/proc/%d/environ", (int)l->pid);
	scoped_fd fd = open(data, O_RDONLY | O_CLOEXEC);
	while (fd != -1 && got > 0 && used < ENVIRON_MAX) {
		got = read(fd, data, sizeof(data));
		for (ssize_t i = 0; i < got; i++)
			if (feed(l, &scan, data[i]))
				return 0;
		used += got > 0 ? (size_t)got : 0;
	}
	if (fd != -1 && got != -1)
		errno = ENOENT;
	return -1;
}
