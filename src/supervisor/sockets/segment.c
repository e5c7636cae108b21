/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/segment.h"

#include "base/log.h"
#include "base/scope.h"
#include "supervisor/common/news.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/sockets/previous.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define SEGMENT_MODE 0666 /* a process can open it only by a descriptor that it has */

void segment_release(struct segment *segment)
{
	struct holding holding = {.segment = segment};

	if (segment == NULL || --segment->users > 0)
		return;
	moment_let_go(&holding);
	fd_close(&segment->fd);
	free(segment);
}

/* ---- the segment for some settings ---- */

static bool is_wanted(const struct segment *segment, const struct cluster_settings *settings)
{
	return segment != NULL && segment->wanted == (uint64_t)settings->shared_memory;
}

static struct segment *find_segment(
	const struct service *service, const struct cluster_settings *settings)
{
	if (service == NULL)
		return NULL;
	if (is_wanted(service->sockets.segment, settings))
		return service->sockets.segment;
	if (is_wanted(service->sockets.former, settings))
		return service->sockets.former;
	for (const struct recipe *r = service->life.recipes; r != NULL; r = r->next)
		if (is_wanted(r->segment, settings))
			return r->segment;
	return NULL;
}

int segment_open(struct supervisor *sup, struct segment **segment,
	const struct cluster_settings *settings, const struct service *known, struct error *err)
{
	struct segment *s = find_segment(known, settings);
	int got;

	*segment = s;
	if (s != NULL)
		s->users++;
	if (s != NULL || settings->shared_memory == 0)
		return 0;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return error_set(err, ENOMEM, "shared memory");
	s->users = 1;
	s->sup = sup;
	s->wanted = (uint64_t)settings->shared_memory;
	s->fd = -1;
	got = previous_segment(s, settings, err);
	if (got == 0) {
		s->fd = sharedmem_make(settings->name, s->wanted, SEGMENT_MODE, err);
		got = s->fd != -1 ? 1 : -1;
	}
	if (got == -1 || sharedmem_look(s->fd, &s->facts) == -1) {
		if (got != -1)
			error_set(err, errno, "shared memory");
		segment_release(s);
		return -1;
	}
	*segment = s;
	sup->orphans.changed = true;
	return 0;
}

/* ---- the segment of a cluster ---- */

static void publish_change(struct service *service)
{
	const struct segment *s = service->sockets.segment;

	if (s == NULL)
		news_say_of(service, LOG_NOTE, "shared-memory",
			"no more shared memory, except for the old workers");
	else
		news_say_of(service, LOG_NOTE, "shared-memory",
			"new workers share %" PRIu64 "k of memory, which is %s",
			s->facts.size / 1024, s->facts.used == 0 ? "empty" : "as others left it");
}

void segment_change(struct service *service, struct segment *segment)
{
	if (segment == service->sockets.segment) {
		segment_release(segment);
		return;
	}
	/* a second reload: the segment in force stays the former one */
	if (is_wanted(service->sockets.former, cluster_settings(service->core))) {
		segment_release(service->sockets.segment);
	} else {
		segment_release(service->sockets.former);
		service->sockets.former = service->sockets.segment;
	}
	service->sockets.segment = segment;
	service->sup->orphans.changed = true;
	publish_change(service);
}

void segment_settle(struct service *service, bool failed)
{
	const struct cluster_settings *s = cluster_settings(service->core);

	if (service->sockets.former == NULL && service->sockets.segment == NULL &&
		s->shared_memory == 0)
		return;
	if (failed && !is_wanted(service->sockets.segment, s)) {
		struct segment *back;
		struct error err;

		/* the former segment was released during the rollout: open a new one */
		if (segment_open(service->sup, &back, s, service, &err) == -1)
			log_error("%s: %s", service->name, err.text);
		segment_release(service->sockets.segment);
		service->sockets.segment = back;
	}
	segment_release(service->sockets.former);
	service->sockets.former = NULL;
	service->sup->orphans.changed = true;
}

void segment_drop(struct service *service)
{
	segment_release(service->sockets.segment);
	segment_release(service->sockets.former);
	service->sockets.segment = service->sockets.former = NULL;
}
