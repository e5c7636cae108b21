/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

/*
 * Append a worker's line for a terminal.  The line may have colours: all other
 * control bytes are shown escaped, but for those that redraw the line or hide the
 * cursor, which are left out.  A colour that is still on ends with the line.  -1:
 * as buffer_append().
 */
int terminal_put(struct buffer *out, const char *text, size_t len);
/* Skip text that a terminal would not show in the end, because a carriage return has
 * begun the line anew, as progress bars do.  Returns the length of the rest. */
size_t terminal_redrawn(const char **text, size_t len);
