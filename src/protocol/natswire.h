/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

/*
 * A message as it goes from one nclust to others through a broker:
 *
 *	{"nclust":1,"id":"0123456789abcdef",
 *	 "from":{"cluster":"web","slot":1,"host":"a"},"message":VALUE}
 *
 * on one line and without spaces.  Members stand in this order, so that nothing
 * has to be parsed but VALUE; the number of the format comes first, in all of them.
 * `id` is another one for each nclust.
 */
#define NATSWIRE_FORMAT 1
#define NATSWIRE_ID 17    /* with its NUL */
#define NATSWIRE_HOST 65  /* so too */
#define NATSWIRE_MORE 320 /* bytes around VALUE at most */

/* The text before "from".  The message ends with another '}'. */
void natswire_head(struct buffer *to, const char *id);
/* Change a host's name so that it needs no escapes. */
void natswire_host(char host[NATSWIRE_HOST]);

enum natswire_kind {
	NATSWIRE_MESSAGE,
	NATSWIRE_OWN,   /* sent by this nclust itself */
	NATSWIRE_OTHER, /* of another format, whose number is *format */
	NATSWIRE_NONSENSE,
};
/* What kind of line has come for the cluster.  A MESSAGE's `from` member and what
 * follows it begin at *from; VALUE is one value of JSON then. */
enum natswire_kind natswire_read(const char *line, size_t len, const char *cluster, const char *id,
	const char **from, unsigned *format);
