/* SPDX-License-Identifier: MIT */
#ifndef OS_SEALED_H
#define OS_SEALED_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes that nobody can change any more: a sealed memfd_create(2). */

/* CLOEXEC; the caller's.  -1 and `err`. */
int sealed_make(const char *name, const void *data, size_t len, struct error *err);
/* Map the file's content; the caller calls munmap(2).  -1 and `err`: also if the
 * file is not sealed, or could still be changed. */
int sealed_map(int fd, const void **data, size_t *len, struct error *err);

#endif
