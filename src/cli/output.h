/* SPDX-License-Identifier: MIT */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "cli/client.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Output to people and programs.  Text from the wire is escaped before a person
 * sees it; JSON goes out unchanged, and is escaped only on a terminal.  All
 * return 0, or -1 and errno when writing failed.
 */
int output_write(int fd, const char *data, size_t len); /* bytes as they are */
int output_line(int fd, const char *text, size_t len);  /* escaped, and '\n' */
int output_lines(int fd, const char *text, size_t len); /* split at '\n' */
int output_json(int fd, const char *json, size_t len);  /* and '\n' */
/* Write a buffer by one of the functions above, if it did not run out of memory; frees it. */
int output_buffer(int fd, struct buffer *out, int (*how)(int fd, const char *data, size_t len));
/* The object as JSON, numbers with the digits that they came with. */
int output_object(int fd, const json_t *object);

/* Append text and a newline, broken at spaces into lines of at most `width` columns
 * (0: never), all but the first indented.  `column`: where the first line begins. */
void output_fill(struct buffer *out, const char *text, size_t column, size_t indent, size_t width);

/* Colours are for terminals, and only if NO_COLOR does not forbid them. */
bool output_wants_colour(int fd);

/* Write a server's error to stderr; returns the exit status for it. */
int output_refusal(const struct answer *answer);

#endif
