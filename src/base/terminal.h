/* SPDX-License-Identifier: MIT */
#ifndef BASE_TERMINAL_H
#define BASE_TERMINAL_H

#include "base/buffer.h"

/*
 * Append a line that a worker has written, for a terminal.  A worker may colour
 * its lines, but nothing else that a terminal obeys: all other control bytes are
 * shown, but for those that erase the line or hide the cursor, which are left out.
 * A colour that it has left on ends with the line.  -1: as buffer_append().
 */
int terminal_put(struct buffer *out, const char *text, size_t len);
/* Skip what a terminal would not show in the end, because a carriage return has begun
 * the line anew, as progress bars do.  The length of the rest. */
size_t terminal_redrawn(const char **text, size_t len);

#endif
