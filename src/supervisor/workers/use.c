/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/use.h"

#include "os/clock.h"
#include "os/process.h"
#include "supervisor/workers/child.h"

#include <stdlib.h>

#define TREE_MAX 256
/* Values hold so long; the kernel may take memory from an idle process. */
#define LOOK_HOLDS (10 * SECOND)

struct last_look {
	struct tree_use use;
	nsec_t ran; /* process_ran() before it */
	nsec_t at;
};

/* The memory of a worker's processes. */
static uint64_t memory_of(const pid_t *tree, size_t count, uint64_t limit)
{
	uint64_t sum = 0;
	uint64_t shares = 0;

	for (size_t i = 0; i < count; i++)
		sum += process_memory(tree[i]);
	if (sum <= limit || count == 1)
		return sum;
	for (size_t i = 0; i < count; i++)
		shares += process_memory_share(tree[i]);
	return shares != 0 ? shares : sum;
}

uint64_t use_memory(const struct child *child, uint64_t limit)
{
	pid_t tree[TREE_MAX];

	return memory_of(tree, process_tree(child->pid, tree, TREE_MAX), limit);
}

/* Read from /proc what all processes of the worker use. */
static bool look_at(const struct child *child, struct tree_use *use)
{
	pid_t tree[TREE_MAX];
	struct process_facts facts;
	const struct cluster_settings *s = child_settings(child);
	uint64_t limit = s != NULL ? s->max_memory.bytes : 0;
	size_t count;

	if (process_look(child->pid, &facts) == -1)
		return false;
	count = process_tree(child->pid, tree, TREE_MAX);
	*use = (struct tree_use){
		.processes = (unsigned)count,
		.cpu = facts.cpu + facts.reaped,
		.memory =
			memory_of(tree, count, limit != 0 ? limit : UINT64_MAX),
		.rss = facts.rss,
		.stopped = facts.state == 'T' || facts.state == 't',
	};
	for (size_t i = 1; i < count; i++)
		if (process_look(tree[i], &facts) == 0)
			use->cpu += facts.cpu + facts.reaped;
	return true;
}

/* A single process that has not run has neither asked for memory nor forked. */
static bool is_as_it_was(const struct last_look *last, nsec_t ran)
{
	return last != NULL && ran != 0 && ran == last->ran &&
		last->use.processes == 1 && clock_now() - last->at < LOOK_HOLDS;
}

bool use_look(struct child *child, struct tree_use *use)
{
	nsec_t ran = process_ran(child->pid);

	if (is_as_it_was(child->life.last_look, ran)) {
		*use = child->life.last_look->use;
		return true;
	}
	if (!look_at(child, use))
		return false;
	if (child->life.last_look == NULL)
		child->life.last_look = malloc(sizeof(*child->life.last_look));
	if (child->life.last_look != NULL)
		*child->life.last_look = (struct last_look){
			.use = *use, .ran = ran, .at = clock_now()};
	return true;
}
