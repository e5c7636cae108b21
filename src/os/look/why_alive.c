/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "base/nsec.h"
#include "base/text.h"
#include "os/process.h"
#include "os/vfork.h"

#include <stdio.h>
#include <string.h>

/*
 * While a process hangs in exec(2) the kernel lets readers of stat, wchan and
 * others wait; status and comm can be read at any time.  SIGKILL ends the wait
 * for wchan, so a child reads it, for no longer than this.
 */
#define LOOK_PATIENCE (100 * MSEC)

struct stay {
	pid_t tid;
	char state; /* of the thread; '\0': all threads have ended */
};

/* Find the first thread that has not ended, preferably one that no signal wakes
 * (state D): the main thread may have exited before the others. */
static bool look_at(void *context, pid_t tid)
{
	struct stay *stay = context;
	char state = process_state(tid);

	if (state == '\0' || strchr("ZX", state) != NULL)
		return false;
	*stay = (struct stay){tid, state};
	return state == 'D';
}

struct place {
	pid_t tid;
	char function[64];
};

/* Writes to the child's own stack first: see os/vfork.h. */
static int read_place(void *argument)
{
	struct place *p = argument;
	char function[sizeof(p->function)];

	if (process_read(p->tid, "wchan", function, sizeof(function)) <= 0)
		return -1;
	text_copy(p->function, sizeof(p->function), function);
	return 0;
}

const char *why_alive(pid_t pid, char *to, size_t size)
{
	struct stay stay = {.state = '\0'};
	struct place place = {.function = ""};
	bool known;

	to[0] = '\0';
	(void)process_each(pid, look_at, &stay);
	if (stay.state == '\0')
		return to;
	place.tid = stay.tid;
	known = vfork_run(read_place, &place, LOOK_PATIENCE) == 0 &&
		strcmp(place.function, "0") != 0;
	snprintf(to, size, "%s%s%sstate %c%s",
		stay.state == 'D' ? "it waits in the kernel (" : "it is in ",
		known ? place.function : "", known ? ", " : "", stay.state,
		stay.state == 'D' ? ")" : "");
	return to;
}
