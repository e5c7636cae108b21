/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/capture.h"
#include "supervisor/common/registry.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/place/sharedmem.h"
#include "protocol/logwire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* No shared memory has an id in this range (sharedmem_id()). */
#define IDS (UINT64_C(0xfffe) << 48)
#define ID_SLOT 24

static struct slotlog *find_slotlog(const struct service *service, uint32_t slot)
{
	struct slotlog *log = service->life.logs;

	while (log != NULL && log->slot != slot)
		log = log->next;
	return log;
}

/* Add a slotlog to the cluster; takes over the descriptor. */
static struct slotlog *add_slotlog(struct service *service, uint32_t slot, int fd)
{
	struct supervisor *sup = service->sup;
	struct slotlog *log = calloc(1, sizeof(*log));

	if (log == NULL) {
		fd_close(&fd);
		return NULL;
	}
	log->slot = slot;
	log->fd = fd;
	log->number = ++sup->logger.last_log;
	log->next = service->life.logs;
	service->life.logs = log;
	sup->orphans.changed = true; /* so that the keeper gets it */
	return log;
}

static struct slotlog *make_slotlog(struct service *service, uint32_t slot)
{
	struct linering ring;
	struct slotlog *log = NULL;
	struct error err;
	char name[96];

	snprintf(name, sizeof(name), "log-%s.%" PRIu32, service->name, slot);
	if (linering_make(&ring, &linering_output, name, &err) == 0)
		log = add_slotlog(service, slot, ring.fd);
	else if (once_say(service->said, ONCE_NO_SLOTLOG))
		log_slot(service, slot, LOG_WARN, "its output is not kept for 'nclust logs': %s",
			err.text);
	if (log != NULL)
		once_forget(service->said, ONCE_NO_SLOTLOG);
	return log;
}

int slotlog_of(const struct child *child)
{
	const struct slotlog *log = find_slotlog(child->service, child->slot);

	if (log == NULL)
		log = make_slotlog(child->service, child->slot);
	return log != NULL ? log->fd : -1;
}

const char *slotlog_missing(const struct service *service)
{
	const struct supervisor *sup = service->sup;

	if (!capture_wanted(service))
		return "its workers write where nclust does, so that nothing "
		       "is kept; set 'log = prefix'";
	if (sup->logger.life.job.pid != 0 && !sup->logger.remembers)
		return "the logger is of an earlier release, and keeps "
		       "nothing; the next one does, when it has ended";
	return NULL;
}

void slotlog_free(struct service *service)
{
	struct slotlog *log;

	while ((log = service->life.logs) != NULL) {
		service->life.logs = log->next;
		fd_close(&log->fd);
		free(log);
	}
}

const struct slotlog *slotlog_after(const struct supervisor *sup, uint64_t number,
	const struct service *only, uint32_t slot, const struct service **of)
{
	const struct slotlog *first = NULL;

	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *service = sup->services[i];

		if (only != NULL && service != only)
			continue;
		for (const struct slotlog *log = service->life.logs; log != NULL; log = log->next) {
			if (log->number <= number || (slot != SLOT_ALL && log->slot != slot) ||
				(first != NULL && first->number < log->number))
				continue;
			first = log;
			*of = service;
		}
	}
	return first;
}

/* ---- `orphans = keep` ---- */

uint64_t slotlog_id(const struct service *service, uint32_t slot)
{
	return IDS | (uint64_t)service->saved.number << ID_SLOT | slot;
}

uint32_t slotlog_slot(const struct service *service, uint64_t id)
{
	uint64_t slot = id ^ slotlog_id(service, 0);

	return slot < WORKERS_MAX ? (uint32_t)slot : SLOT_ALL;
}

void slotlog_take(struct service *service, uint32_t slot, int fd)
{
	struct linering ring;
	struct slotlog *log = NULL;

	if (find_slotlog(service, slot) == NULL && linering_take(&ring, &linering_output, fd))
		log = add_slotlog(service, slot, fd_release(&fd));
	if (log != NULL)
		log->keeper_id = slotlog_id(service, slot);
	fd_close(&fd);
}
