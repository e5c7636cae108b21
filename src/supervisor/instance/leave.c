/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/instance.h"

#include "base/log.h"
#include "os/process.h"
#include "os/look/look.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/child.h"

#include <inttypes.h>
#include <stdio.h>

/* Processes that are named, not only counted; and the most of one tree, or of the strays. */
#define NAMED 6
#define TREE 64

/* Processes that outlive nclust. */
struct staying {
	unsigned named;
	unsigned more;
};

/* Log one process, unless it has ended by now. */
static void say_stays(struct staying *s, const char *what, pid_t pid)
{
	char text[WHY_ALIVE_TEXT];

	if (*why_alive_text(pid, text) == '\0')
		return;
	if (s->named == NAMED) {
		s->more++;
		return;
	}
	s->named++;
	log_warn("%s %s; nclust ends without it", what, text);
}

/* Log a worker that could not be killed, and the processes below it. */
static void say_tree_stays(struct staying *s, const struct child *child)
{
	pid_t tree[TREE];
	size_t count = process_tree(child->pid, tree, TREE);
	char what[120];

	for (size_t i = 0; i < count; i++) {
		snprintf(what, sizeof(what), "%s.%" PRIu32 ": %s", child->service->name,
			child->slot, i == 0 ? "worker" : "its process");
		say_stays(s, what, tree[i]);
	}
}

void leave_say(struct supervisor *sup)
{
	struct staying s = {.named = 0};
	const struct child *child;
	pid_t strays[TREE];
	size_t count = strays_list(sup, strays, TREE);

	for_each_child (child, children_of_all(sup))
		say_tree_stays(&s, child);
	for (size_t i = 0; i < count; i++)
		say_stays(&s, "process", strays[i]);
	if (s.more > 0)
		log_warn("%u more processes are still there", s.more);
}
