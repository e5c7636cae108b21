/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "os/process.h"

#include <stdio.h>
#include <string.h>

/* Find the first thread that has not ended, preferably one that no signal wakes
 * (state D): the main thread may have exited before the others. */
static bool look_at(void *context, pid_t tid)
{
	char *found = context;
	char state = process_state(tid);

	if (state == '\0' || strchr("ZX", state) != NULL)
		return false;
	*found = state;
	return state == 'D';
}

const char *why_alive(pid_t pid, char *to, size_t size)
{
	char state = '\0';

	(void)process_each(pid, look_at, &state);
	to[0] = '\0';
	if (state == 'D')
		snprintf(to, size, "it waits in the kernel (state D)");
	else if (state != '\0')
		snprintf(to, size, "it is in state %c", state);
	return to;
}
