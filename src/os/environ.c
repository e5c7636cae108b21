/* SPDX-License-Identifier: MIT */
#include "os/environ.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENVIRON_MAX (256U * 1024)

int environ_value(pid_t pid, const char *key, char *to, size_t size)
{
	scoped_str data = malloc(ENVIRON_MAX);
	size_t len = strlen(key);
	ssize_t used = data != NULL
		? process_read(pid, "environ", data, ENVIRON_MAX)
		: -1;

	if (used == -1)
		return -1;
	for (const char *at = data; at < data + used; at += strlen(at) + 1)
		if (strncmp(at, key, len) == 0 && at[len] == '=') {
			(void)text_copy(to, size, at + len + 1);
			return 0;
		}
	errno = ENOENT;
	return -1;
}
