/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "config/settings.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Opening the sinks of the workers' output, for a caller that may wait: a disk
 * that does not answer blocks these calls for as long as it likes.
 *
 * A file is a regular file or a FIFO, made with mode 0640, and never a symbolic
 * link.  As root, only files that root alone can change are opened, as with
 * trusted_open(), and the file's own directory may not be writable by others even
 * if it is sticky.  The same holds for a socket whose path was given.
 */
struct logfile {
	int fd; /* O_NONBLOCK, O_CLOEXEC; the caller's */
	uint64_t dev;
	uint64_t inode; /* 0: not a regular file */
	uint64_t size;
	uint64_t born; /* seconds since 1970; 0: not known */
	bool rotated;
};

/* Open the sink for this slot.  -1 and `err`. */
int logfile_open(struct logfile *out, const struct log_sink *sink, const char *cluster,
	unsigned slot, struct error *err);
/* The same for a file, after PATH became PATH.1, that PATH.2, and so on, and files beyond
 * `keep` were removed; unless PATH is not the file with that inode (0: none) any more. */
int logfile_rotate(struct logfile *out, const struct log_sink *sink, const char *cluster,
	unsigned slot, uint64_t inode, unsigned keep, struct error *err);
