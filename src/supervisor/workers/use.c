/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/use.h"

#include "base/nsec.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/workers/child.h"

#include <stdlib.h>

/* How long values of an idle worker are valid: the kernel may swap its memory out. */
#define LOOK_HOLDS (10 * SECOND)
/* How long nclust reads Pss of a worker's processes in one go; the kernel takes 10 ms for 600
 * MiB. */
#define READING_PSS (10 * TURN_SPAN)

/* The memory of a worker's processes.  If reading Pss takes too long, the other processes are taken
 * to share as much of their memory. */
static uint64_t sum_memory(const pid_t *tree, size_t count, uint64_t limit)
{
	nsec_t until;
	uint64_t sum = 0;
	uint64_t looked_at = 0;
	uint64_t shares = 0;

	for (size_t i = 0; i < count; i++)
		sum += process_memory(tree[i]);
	if (sum <= limit || count == 1)
		return sum;
	until = clock_now() + READING_PSS;
	for (size_t i = 0; i < count && clock_now() < until; i++) {
		looked_at += process_memory(tree[i]);
		shares += process_memory_share(tree[i]);
	}
	if (shares == 0 || looked_at == 0)
		return sum;
	if (looked_at >= sum)
		return shares;
	return (uint64_t)((double)sum * (double)shares / (double)looked_at);
}

static nsec_t sum_cpu(const pid_t *tree, size_t count)
{
	struct process_facts facts;
	nsec_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		nsec_t ran = process_ran(tree[i]); /* exact, as an idle one needs it */

		if (process_look(tree[i], &facts) == 0)
			sum += (ran != 0 ? ran : facts.cpu) + facts.reaped;
	}
	return sum;
}

nsec_t use_cpu(const struct child *child)
{
	pid_t tree[PROCESS_TREE_MOST];

	return sum_cpu(tree, process_tree(child->pid, tree, PROCESS_TREE_MOST));
}

uint64_t use_memory(const struct child *child, uint64_t limit)
{
	pid_t tree[PROCESS_TREE_MOST];

	return sum_memory(tree, process_tree(child->pid, tree, PROCESS_TREE_MOST), limit);
}

/* Read from /proc what all processes of the worker use. */
static bool measure_use(const struct child *child, struct tree_use *use)
{
	pid_t tree[PROCESS_TREE_MOST];
	struct process_facts facts;
	const struct cluster_settings *s = child_settings(child);
	uint64_t limit = s != NULL ? s->max_memory.bytes : 0;
	size_t count;

	if (process_look(child->pid, &facts) == -1)
		return false;
	count = process_tree(child->pid, tree, PROCESS_TREE_MOST);
	*use = (struct tree_use){
		.processes = (unsigned)count,
		.cpu = sum_cpu(tree, count),
		.memory = sum_memory(tree, count, limit != 0 ? limit : UINT64_MAX),
		.rss = facts.rss,
		.stopped = facts.state == 'T' || facts.state == 't',
	};
	return true;
}

/* Are the last values still valid?  A single process that has not run has not asked for memory or
 * forked. */
static bool is_still_valid(const struct last_look *last, nsec_t ran)
{
	if (last != NULL && last->took > MSEC &&
		clock_now() - last->at < 5 * TURN_REST * last->took)
		return true;
	return last != NULL && ran != 0 && ran == last->ran && last->use.processes == 1 &&
		clock_now() - last->at < LOOK_HOLDS;
}

bool use_look(struct child *child, struct tree_use *use)
{
	nsec_t ran = process_ran(child->pid);
	nsec_t began = clock_now();
	struct last_look *last = child->life.last_look;

	if (is_still_valid(last, ran)) {
		*use = last->use;
		return true;
	}
	if (!measure_use(child, use))
		return false;
	if (last == NULL)
		last = child->life.last_look = malloc(sizeof(*last));
	if (last != NULL)
		*last = (struct last_look){
			.use = *use,
			.ran = ran,
			.at = clock_now(),
			.took = clock_now() - began,
		};
	return true;
}
