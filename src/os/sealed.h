/* SPDX-License-Identifier: MIT */
#ifndef OS_SEALED_H
#define OS_SEALED_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes that nobody can change any more: a sealed memfd_create(2). */

/* CLOEXEC; the caller's.  -1 and `err`. */
int sealed_make(
	const char *name, const void *data, size_t len, struct error *err);
/* What is in one, to be given back to munmap(2).  Refused, if it is none, or if
 * it could be changed.  -1 and `err`. */
int sealed_map(int fd, const void **data, size_t *len, struct error *err);

#endif
