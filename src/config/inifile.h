/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/config.h"

/* Read a file and the files that it includes, or the bytes of one file alone, and
 * add mistakes to `faults`.  `data` is cut into lines in place and has one byte more
 * than `len`. */
void inifile_read(struct settings *s, const char *path, struct faults *faults);
void inifile_parse(
	struct settings *s, const char *path, char *data, size_t len, struct faults *faults);

/* The next line from *at on, terminated, without its end; NULL at the end of the file. */
char *inifile_line(char **at, char *end, size_t *len);
