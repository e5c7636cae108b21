/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_SINK_INSIDE_H
#define LOGGER_SINK_INSIDE_H

#include "logger/sink.h"

/* What the engine (sink.c) and the writer of files (sink_file.c) share. */

/* Is there something in `out`? */
bool sink_has_more(struct sink *o);
void sink_note_taken(struct sink *o, size_t len);
/* It has taken all of what waited. */
void sink_recover(struct sink *o);
/* It takes nothing, because of that. */
void sink_fail(struct sink *o, int error);

/* May some be written now, and is there something?  What is needed is asked for. */
bool sink_file_is_ready(struct sink *o);
void sink_file_write(struct sink *o);
/* It waits for the next file. */
bool sink_file_is_put_off(const struct sink *o);
void sink_file_close(struct sink *o);

#endif
