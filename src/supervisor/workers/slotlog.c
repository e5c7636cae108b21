/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/slotlog.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/descriptors.h"
#include "os/place/sharedmem.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/child.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* No shared memory has an id in this range (sharedmem_id()). */
#define IDS (UINT64_C(0xfffe) << 48)
#define ID_SLOT 24

static struct slotlog *find_slotlog(const struct service *service, uint32_t slot)
{
	return list_find(log, service->life.logs, log->slot == slot);
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
	if (capture_wanted(service, NULL))
		return NULL;
	if (capture_asked(service, NULL))
		return "there are too few descriptors for so many workers (RLIMIT_NOFILE)";
	return capture_goes_nowhere(service, NULL)
		? "the output of its connections goes nowhere, and is not kept; set 'log = prefix'"
		: "its workers write where nclust does, so that nothing is kept; set 'log = "
		  "prefix'";
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

/* ---- ptys ---- */

static bool is_prefixed(const struct service *service)
{
	const struct cluster_settings *s = cluster_settings(service->core);

	if (service->sup->settings->daemon)
		return false;
	return s->log == LOG_AUTO ||
		array_find(sink, s->log_sinks, s->log_sink_count, sink->kind == SINK_PREFIX) !=
		NULL;
}

static bool is_terminal(const struct supervisor *sup, int stream)
{
	return stream == 0 ? sup->logger.stdout_is_terminal : isatty(STDERR_FILENO) == 1;
}

bool ptys_are_wanted(const struct child *child, int stream)
{
	const struct service *service = child->service;
	const struct cluster_settings *s = child_settings(child);

	/* a process for each connection must cost little */
	if (s == NULL || s->pty == PTY_NO || service->accepting != NULL)
		return false;
	if (s->pty == PTY_YES)
		return true;
	/* A pseudo-terminal ends with the logger that has its master: a worker that outlives nclust
	 * and its logger would get EIO for each line, and often exit. */
	return s->orphans != ORPHANS_KEEP && is_prefixed(service) &&
		is_terminal(service->sup, stream);
}

int ptys_open(const struct child *child, int stream, int *write_end)
{
	struct supervisor *sup = child->service->sup;
	struct winsize size = {0};
	int width = snprintf(NULL, 0, "%s.%u | ", child->service->name,
		cluster_wanted(child->service->core) - 1);
	int end;

	/* what the prefix leaves; the logger sets it anew, by the prefixes of all clusters */
	if (is_terminal(sup, stream))
		size = pty_size_of(stream == 0 ? STDOUT_FILENO : STDERR_FILENO);
	if (size.ws_col > width)
		size.ws_col -= (unsigned short)width;
	end = pty_open(&size, (uid_t)child_settings(child)->uid, write_end);

	if (end == -1 && !sup->logger.no_pty)
		log_syserr("%s: no pseudo-terminal can be opened for the "
			   "output of its workers, which use a pipe instead; "
			   "is /dev/pts there, and not full (kernel.pty.max)?",
			child->service->name);
	sup->logger.no_pty = end == -1;
	return end;
}
