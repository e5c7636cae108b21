/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/capture.h"

#include "base/log.h"
#include "os/descriptors.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/child.h"

#include <string.h>
#include <unistd.h>

static bool is_prefixed(const struct service *service)
{
	const struct cluster_settings *s = cluster_settings(service->core);

	if (service->sup->settings->daemon)
		return false;
	for (size_t i = 0; i < s->log_sink_count; i++)
		if (s->log_sinks[i].kind == SINK_PREFIX)
			return true;
	return s->log == LOG_AUTO;
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
	if (s == NULL || s->pty == PTY_NO || service->kind->by_connection)
		return false;
	if (s->pty == PTY_YES)
		return true;
	/* A pseudo-terminal ends with the logger that has its master: a worker that outlives nclust
	 * and its logger would get EIO for each line, and often exit. */
	return s->orphans != ORPHANS_KEEP && is_prefixed(service) &&
		is_terminal(service->sup, stream);
}

/* The width of "web.12 | " before each line. */
static size_t prefix_width(const struct service *service)
{
	unsigned wanted = cluster_wanted(service->core);
	size_t width = strlen(service->name) + strlen(".1 | ");

	for (unsigned last = wanted > 0 ? wanted - 1 : 0; last > 9; last /= 10)
		width++;
	return width;
}

/* The size of nclust's terminal, less the prefix; the lines of all clusters begin at the same
 * column. */
static struct winsize terminal_size(const struct supervisor *sup, int stream)
{
	struct winsize size = {0};
	size_t width = 0;

	if (!is_terminal(sup, stream))
		return size;
	size = pty_size_of(stream == 0 ? STDOUT_FILENO : STDERR_FILENO);
	for (size_t i = 0; i < sup->service_count; i++)
		if (prefix_width(sup->services[i]) > width)
			width = prefix_width(sup->services[i]);
	if (size.ws_col > width)
		size.ws_col -= (unsigned short)width;
	else if (size.ws_col > 0)
		size.ws_col = 1;
	return size;
}

int ptys_open(const struct child *child, int stream, int *write_end)
{
	struct supervisor *sup = child->service->sup;
	struct winsize size = terminal_size(sup, stream);
	int end = pty_open(&size, (uid_t)child_settings(child)->uid, write_end);

	if (end == -1 && !sup->logger.no_pty)
		log_syserr("%s: no pseudo-terminal can be opened for the "
			   "output of its workers, which use a pipe instead; "
			   "is /dev/pts there, and not full (kernel.pty.max)?",
			child->service->name);
	sup->logger.no_pty = end == -1;
	return end;
}
