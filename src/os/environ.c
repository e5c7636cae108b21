/* SPDX-License-Identifier: MIT */
#include "os/environ.h"

#include "base/scope.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENVIRON_MAX (256U * 1024)

int environ_value(pid_t pid, const char *key, char *to, size_t size)
{
	char path[40];
	scoped_str data = NULL;
	size_t used = 0;
	size_t len = strlen(key);
	ssize_t got;

	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	data = malloc(ENVIRON_MAX + 1);
	if (data == NULL)
		return -1;
	while ((got = read(fd, data + used, ENVIRON_MAX - used)) > 0)
		used += (size_t)got;
	data[used] = '\0';
	for (size_t i = 0; i < used; i += strlen(data + i) + 1) {
		if (strncmp(data + i, key, len) != 0 || data[i + len] != '=')
			continue;
		(void)text_copy(to, size, data + i + len + 1);
		return 0;
	}
	if (got != -1)
		errno = ENOENT;
	return -1;
}
