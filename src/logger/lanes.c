/* SPDX-License-Identifier: MIT */
#include "logger/lanes.h"

#include "base/text.h"
#include "logger/drops.h"

#include <stdlib.h>
#include <string.h>

#define SHARE 4096U /* bytes of a turn */

struct lane {
	struct lane *next;
	uint64_t worker;
	struct buffer text; /* whole lines */
	size_t head;        /* taken already of it */
	size_t credit;      /* of its turns, not used yet */
	size_t low;         /* it takes lines again when no more is left */
	bool dropping;
};

struct lane_group {
	struct lane_group *next;
	char cluster[65];
	size_t waiting;
	struct lane *lanes; /* the next one comes first */
};

void lanes_init(struct lanes *lanes, size_t limit)
{
	*lanes = (struct lanes){.limit = limit};
}

static void free_lane(struct lanes *lanes, struct lane *lane)
{
	if (lanes->last == lane)
		lanes->last = NULL;
	buffer_fini(&lane->text);
	free(lane);
}

void lanes_fini(struct lanes *lanes)
{
	while (lanes->groups != NULL) {
		struct lane_group *group = lanes->groups;

		while (group->lanes != NULL) {
			struct lane *lane = group->lanes;

			group->lanes = lane->next;
			free_lane(lanes, lane);
		}
		lanes->groups = group->next;
		free(group);
	}
	lanes->waiting = 0;
}

bool lanes_are_empty(const struct lanes *lanes)
{
	return lanes->groups == NULL;
}

static struct lane_group *find_group(struct lanes *lanes, const char *cluster)
{
	struct lane_group **at = &lanes->groups;

	while (*at != NULL && strcmp((*at)->cluster, cluster) != 0)
		at = &(*at)->next;
	if (*at == NULL) {
		*at = calloc(1, sizeof(**at));
		if (*at != NULL)
			(void)text_copy((*at)->cluster, sizeof((*at)->cluster), cluster);
	}
	return *at;
}

static struct lane *find_lane(struct lane_group *group, uint64_t worker)
{
	struct lane **at = &group->lanes;

	while (*at != NULL && (*at)->worker != worker)
		at = &(*at)->next;
	if (*at == NULL) {
		*at = calloc(1, sizeof(**at));
		if (*at != NULL) {
			(*at)->worker = worker;
			buffer_init(&(*at)->text, 0);
		}
	}
	return *at;
}

/* The lane of a worker, which is often that of the line before. */
static struct lane *lane_of(struct lanes *lanes, const char *cluster, uint64_t worker)
{
	struct lane_group *group;
	struct lane *lane;

	if (lanes->last != NULL && lanes->last->worker == worker)
		return lanes->last;
	group = find_group(lanes, cluster);
	lane = group != NULL ? find_lane(group, worker) : NULL;
	if (lane != NULL) {
		lanes->last = lane;
		lanes->last_group = group;
	}
	return lane;
}

static void drop_one(struct lanes *lanes, const char *cluster)
{
	lanes->dropped++;
	if (lanes->drops != NULL)
		drops_add(lanes->drops, cluster, 1);
}

static size_t waiting_in(const struct lane *lane)
{
	return lane->text.len - lane->head;
}

static void begin_dropping(struct lane *lane)
{
	if (!lane->dropping)
		lane->low = waiting_in(lane) / 4;
	lane->dropping = true;
}

/* The newest line of a lane is lost. */
static void drop_newest(struct lanes *lanes, struct lane_group *group, struct lane *lane)
{
	const char *start = lane->text.data + lane->head;
	size_t len = waiting_in(lane);
	const char *before = memrchr(start, '\n', len - 1);
	size_t left = before != NULL ? (size_t)(before - start) + 1 : 0;

	begin_dropping(lane);
	lane->text.len = lane->head + left;
	group->waiting -= len - left;
	lanes->waiting -= len - left;
	drop_one(lanes, group->cluster);
}

static struct lane_group *greediest_group(
	const struct lanes *lanes, struct lane_group *own, size_t len)
{
	struct lane_group *most = own;
	size_t has = own->waiting + len;

	for (struct lane_group *g = lanes->groups; g != NULL; g = g->next) {
		if (g->waiting <= has)
			continue;
		most = g;
		has = g->waiting;
	}
	return most;
}

/* NULL: none has more than `own` would have. */
static struct lane *greediest_lane(
	const struct lane_group *group, const struct lane *own, size_t len)
{
	size_t has = waiting_in(own) + len;
	struct lane *most = NULL;

	if (group->waiting == 0)
		return NULL;
	for (struct lane *lane = group->lanes; lane != NULL; lane = lane->next) {
		if (waiting_in(lane) <= has)
			continue;
		most = lane;
		has = waiting_in(lane);
	}
	return most;
}

/* Room for one line more of this lane, where another has more than its share.
 * false: it has none. */
static bool make_room(struct lanes *lanes, const struct lane *lane, size_t len)
{
	struct lane_group *own = lanes->last_group;
	static const struct lane none;

	while (lanes->waiting + len > lanes->limit) {
		struct lane_group *group = greediest_group(lanes, own, len);
		struct lane *most = group == own ? greediest_lane(group, lane, len)
						 : greediest_lane(group, &none, 0);

		if (most == NULL)
			return false;
		drop_newest(lanes, group, most);
	}
	return true;
}

void lanes_put(
	struct lanes *lanes, const char *cluster, uint64_t worker, const char *line, size_t len)
{
	struct lane *lane = lane_of(lanes, cluster, worker);

	/* half of it at least, so that moving the rest costs little */
	if (lane != NULL && lane->head > waiting_in(lane)) {
		buffer_consume(&lane->text, lane->head);
		lane->head = 0;
	}
	if (lane != NULL && !lane->dropping && make_room(lanes, lane, len) &&
		buffer_append(&lane->text, line, len) == 0) {
		lanes->waiting += len;
		lanes->last_group->waiting += len;
		return;
	}
	drop_one(lanes, cluster);
	if (lane == NULL) {
		lanes->over = true;
		return;
	}
	lane->text.failed = false;
	begin_dropping(lane);
}

/* How long the lines at the front are, for which there is credit. */
static size_t lines_for_credit(const struct lane *lane)
{
	const char *start = lane->text.data + lane->head;
	const char *end;

	if (waiting_in(lane) <= lane->credit)
		return waiting_in(lane);
	end = lane->credit > 0 ? memrchr(start, '\n', lane->credit) : NULL;
	return end != NULL ? (size_t)(end - start) + 1 : 0;
}

/* The first lane of the group has its turn, and is the last one then, or over.
 * The number of bytes. */
static size_t take_turn(struct lanes *lanes, struct lane_group *group, struct buffer *to)
{
	struct lane *lane = group->lanes;
	struct lane **end = &group->lanes;
	size_t n;

	group->lanes = lane->next;
	lane->next = NULL;
	lane->credit += SHARE;
	n = lines_for_credit(lane);
	if (buffer_append(to, lane->text.data + lane->head, n) == -1) {
		to->failed = false;
		drop_one(lanes, group->cluster); /* at least */
	}
	lane->head += n;
	lane->credit -= n;
	group->waiting -= n;
	lanes->waiting -= n;
	if (lane->dropping && waiting_in(lane) <= lane->low) {
		lane->dropping = false;
		lanes->over = true;
	}
	if (waiting_in(lane) == 0) {
		free_lane(lanes, lane);
		return n;
	}
	while (*end != NULL)
		end = &(*end)->next;
	*end = lane;
	return n;
}

void lanes_take(struct lanes *lanes, struct buffer *to, size_t len)
{
	size_t done = 0;

	while (lanes->groups != NULL && done < len) {
		struct lane_group *group = lanes->groups;
		struct lane_group **end = &lanes->groups;

		lanes->groups = group->next;
		group->next = NULL;
		if (group->lanes != NULL)
			done += take_turn(lanes, group, to);
		if (group->lanes == NULL) {
			lanes->last = NULL;
			free(group);
			continue;
		}
		while (*end != NULL)
			end = &(*end)->next;
		*end = group;
	}
}
