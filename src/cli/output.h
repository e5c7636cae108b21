/* SPDX-License-Identifier: MIT */
#pragma once

#include "cli/client.h"

/*
 * Output to people and programs.  Text from the wire is escaped before a person
 * sees it; JSON goes out unchanged, and is escaped only on a terminal.  All
 * return 0, or -1 and errno when writing failed.
 */
int output_write(int fd, const char *data, size_t len); /* bytes as they are */
int output_line(int fd, const char *text, size_t len);  /* escaped, and '\n' */
int output_lines(int fd, const char *text, size_t len); /* split at '\n' */
int output_json(int fd, const char *json, size_t len);  /* and '\n' */
/* Write a buffer by one of the functions above, if it did not run out of memory. */
typedef int output_function(int fd, const char *data, size_t len);
int output_buffer(int fd, const struct buffer *out, output_function *how);
/* A value as JSON, numbers with the digits that they came with. */
int output_value(int fd, const json_t *value);

/* The terminal's size; zeros: standard output is none, or does not know. */
struct winsize output_size(void);
/* Colours are for terminals, and only if NO_COLOR does not forbid them. */
bool output_wants_colour(int fd);

/* Write a failure, or a server's refusal, to stderr; return the exit status for it.
 * A wait that was ended (ECANCELED) is no news. */
int output_error(const struct error *err);
int output_refusal(const struct answer *answer);
