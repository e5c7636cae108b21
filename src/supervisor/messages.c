/* SPDX-License-Identifier: MIT */
#include "supervisor/messages.h"

#include "base/log.h"

#include <inttypes.h>

void messages_from(struct channel *c, const char *line, size_t len)
{
	(void)line;
	(void)len;
	c->received++;
}

void messages_on_line(struct channel *c, const char *line, size_t len)
{
	messages_from(c, line, len);
}

void messages_on_end(struct channel *c)
{
	log_debug("%s.%" PRIu32 ": its message channel is closed",
		c->child->service->name, c->child->slot);
}
