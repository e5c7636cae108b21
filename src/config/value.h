/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "config/settings.h"

/*
 * Text to value and back, for each type in the option table.  A text is parsed
 * whole: nothing before, nothing behind, no sign, no overflow.  A failed parse
 * writes `err` ("wanted ..., found '...'") and nothing else.
 */

/* The bytes that the name of a variable may have. */
#define NAME_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

#define NAME_CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"

/* "wanted FORMAT, found 'TEXT'", the text made harmless.  Returns -1. */
int value_wanted(struct error *err, const char *found, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same of a time; `before`: what else would do ("'off' or "), or "". */
int value_wanted_time(
	struct error *err, const char *found, const char *before, nsec_t least, nsec_t most);

#define SIZE_UNITS "in bytes, k, M, G or T"

/* "cannot keep a setting", for lack of memory.  Returns -1. */
int value_no_memory(struct error *err);

/* The next word.  Blanks and commas end a word; after a backslash they belong to it.  A word that
 * does not fit is cut, and the rest in `to` ends in a blank.  false: no more. */
bool value_next_word(const char **at, char *to, size_t size);
/* Write the word for value_next_word(). */
void value_put_word(struct buffer *out, const char *word);
/* The next part between commas, without blanks around it: it may be empty.  NULL: no more. */
const char *value_next_part(const char **at, size_t *len);

/* The index of the word in a list, or -1; the list may have gaps (NULL). */
int value_index(const char *text, const char *const *words, size_t count);
/* The same of a word of that length. */
int value_index_of(const char *text, size_t len, const char *const *words, size_t count);

/* The decimal number at the beginning: returns its bytes; 0: no number, or more than
 * `most`. */
size_t value_number(uint64_t *out, const char *text, uint64_t most);
/* A decimal number; false, without an error, if it is none or out of range. */
bool value_digits(uint64_t *out, const char *text, uint64_t least, uint64_t most);

int value_count(unsigned *out, const char *text, unsigned least, unsigned most, struct error *err);
/* "200ms", "5s", "2m", "1h", "0". */
int value_duration(nsec_t *out, const char *text, nsec_t least, nsec_t most, struct error *err);
/* Bytes: "4096", "64k", "10M", "1G" (powers of 1024). */
int value_size(uint64_t *out, const char *text, uint64_t most, struct error *err);
const char *value_format_size(char to[32], uint64_t bytes); /* returns `to` */
int value_bool(bool *out, const char *text, struct error *err);
int value_octal(int *out, const char *text, struct error *err);

/*
 * A user or group by name, or by number as "#1000"; a bare number is refused,
 * as it may have been meant as a name.  *gid: the user's own group, -1 where
 * the number has no entry; with NULL a number is not looked up.
 */
int value_user(long *uid, long *gid, const char *text, struct error *err);
int value_group(long *gid, const char *text, struct error *err);

/* The first thing outside of quotes that only a shell understands, such as ">>", "2>&1", "$(",
 * "$NAME", "${NAME}", "~/" or "# comment", or "NAME=value" in front; NULL: there is none. */
const char *value_shell_part(const char *text);
/* Of words that were never in quotes, or no longer are: the first one that is an operator of a
 * shell, or has a "$NAME" of our environment; not in a script ("sh -c"). NULL: there is none. */
const char *value_meant_for_shell(const struct strings *words);
/* In a value that no shell reads: the first "$NAME" of capitals or "$(", and "${" if
 * `and_braces`, as which it was hardly meant; NULL: there is none. */
const char *value_expansion(const char *text, bool and_braces);
/* Split as a shell would (blanks, quotes, backslash), with nothing expanded.
 * `out` must be empty; on failure it still is. */
int value_split(struct strings *out, const char *text, struct error *err);
/* Append a word so that value_split() gives it back, also out of an INI line:
 * no blank stands before a ';'. */
int value_quote(struct buffer *out, const char *word);
/* All words, separated by blanks; heap, or NULL. */
char *value_join(const struct strings *words);
/* Quote a text for a shell. */
int value_quote_shell(struct buffer *out, const char *word);

int strings_add(struct strings *s, const char *text);
void strings_clear(struct strings *s);
