/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/adopt.h"

#include "base/scope.h"
#include "os/look/remote.h"
#include "supervisor/orphans/heritage.h"

#include <string.h>
#include <unistd.h>

#define LOOK_MAX 4096 /* descriptors of a worker */
#define CANDIDATES_MAX 16

/* ---- where it may be ---- */

static bool is_the_one(int fd, const struct estate_segment *from)
{
	struct sharedmem_facts facts;

	return fd != -1 && sharedmem_look(fd, &facts) == 0 &&
		facts.dev == from->dev && facts.ino == from->ino &&
		facts.size == from->size;
}

static int from_keeper(struct heritage *h, const struct estate_segment *from)
{
	struct given *given = givens_find(&h->givens, LOGWIRE_A_SEGMENT,
		sharedmem_id(from->dev, from->ino));
	int fd = given != NULL ? given_take(given, LOGWIRE_MEMORY) : -1;

	if (!is_the_one(fd, from))
		fd_close(&fd);
	return fd;
}

struct search {
	int numbers[CANDIDATES_MAX];
	size_t count;
};

static bool look_at(void *context, int fd, const char *target)
{
	struct search *s = context;

	if (s->count < CANDIDATES_MAX && sharedmem_is_target(target))
		s->numbers[s->count++] = fd;
	return false;
}

static int from_worker(
	const struct inmate *in, const struct estate_segment *from)
{
	struct search s = {.count = 0};
	struct remote r;

	remote_of(&r, in->entry->birth.pid);
	if (remote_each_fd(&r, LOOK_MAX, look_at, &s) == -1)
		return -1;
	for (size_t i = 0; i < s.count; i++) {
		int fd = remote_fd(&r, s.numbers[i]);

		if (is_the_one(fd, from))
			return fd;
		fd_close(&fd);
	}
	return -1;
}

static const struct estate_segment *find(const struct heritage *h,
	const char *cluster, const struct segment *wanted)
{
	uint32_t number = 0;

	for (size_t i = 0; i < h->estate.cluster_count; i++)
		if (strcmp(h->estate.clusters[i].name, cluster) == 0)
			number = h->estate.clusters[i].number;
	for (size_t i = 0; number != 0 && i < h->estate.segment_count; i++) {
		const struct estate_segment *s = &h->estate.segments[i];

		if (s->cluster == number && s->wanted == wanted->wanted &&
			s->huge == (uint32_t)wanted->huge)
			return s;
	}
	return NULL;
}

int adopt_segment(struct segment *s, const struct cluster_settings *settings,
	struct error *err)
{
	struct heritage *h = s->sup->orphans.heritage;
	const struct estate_segment *from = NULL;
	const struct inmate *holder = NULL;

	if (settings->orphans == ORPHANS_KEEP)
		from = find(h, settings->name, s);
	if (from == NULL)
		return 0;
	s->fd = from_keeper(h, from);
	for (size_t i = 0; s->fd == -1 && i < h->past.count; i++) {
		const struct inmate *in = &h->inmates[i];

		if (!in->ours || in->entry->cluster != from->cluster)
			continue;
		holder = in;
		s->fd = from_worker(in, from);
	}
	if (s->fd != -1)
		return 1;
	if (holder == NULL)
		return 0; /* nobody shares it any more */
	(void)error_set(err, 0,
		"the shared memory cannot be had back from worker %d, which "
		"runs still",
		(int)holder->entry->birth.pid);
	return error_hint(err,
		"it has closed the descriptor, or pidfd_getfd(2) is refused; "
		"end the workers first");
}
