/* SPDX-License-Identifier: MIT */
#ifndef PROTOCOL_EXPOSITION_H
#define PROTOCOL_EXPOSITION_H

#include "base/error.h"
#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The metrics of several workers in Prometheus' text format 0.0.4, merged into
 * one text of that format: each sample gets the label `slot`, the samples of a
 * family stand together, and each family has one HELP and one TYPE.  A worker's
 * own label `slot` becomes `exported_slot`, and that `exported_exported_slot`.
 */
#define EXPOSITION_LINES_MAX 100000U /* of all workers */

struct exposition_line;

struct exposition {
	struct exposition_line *lines;
	size_t count;
	size_t room;
	size_t share; /* lines that one text may add */
};

/* For so many texts. */
void exposition_init(struct exposition *e, size_t texts);
void exposition_fini(struct exposition *e);

/* Add a worker's text, with a NUL behind it, which must stay unchanged until all is written.
 * Lines about nclust's own names are left out.  -1 and `err`: malformed, and nothing of it was
 * added. */
#define EXPOSITION_OWN "nclust_"
int exposition_add(
	struct exposition *e, uint32_t slot, const char *text, size_t len, struct error *err);

/* Write all that was added, once. */
void exposition_write(struct exposition *e, struct buffer *out);

#endif
