/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_LOGFILE_H
#define CONFIG_LOGFILE_H

#include "base/error.h"
#include "config/settings.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Opening where the workers' output goes, for those who may wait: a disk that does
 * not answer keeps these calls for as long as it likes.
 *
 * A file is a regular one or a FIFO, made with mode 0640, and never a symbolic link.
 * As root, only what root alone can change is opened, as with trusted_open(), and
 * the file's own directory may not be writable by others even if it is sticky.  So
 * it is with a socket whose path was given.
 */
struct logfile {
	int fd; /* O_NONBLOCK, O_CLOEXEC; the caller's */
	uint64_t dev;
	uint64_t inode; /* 0: it is no regular file */
	uint64_t size;
	uint64_t born; /* seconds since 1970; 0: not known */
	bool rotated;
};

/* What the sink wants for this slot.  -1 and `err`. */
int logfile_open(struct logfile *out, const struct log_sink *sink, const char *cluster,
	unsigned slot, struct error *err);
/* The same, after PATH became PATH.1, that PATH.2, and so on, and what is over `keep`
 * was removed; unless PATH is not the file with that inode any more. */
int logfile_rotate(struct logfile *out, const struct log_sink *sink, const char *cluster,
	unsigned slot, uint64_t inode, unsigned keep, struct error *err);

#endif
