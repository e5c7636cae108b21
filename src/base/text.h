/* SPDX-License-Identifier: MIT */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/nsec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copy as strlcpy(3) does: always a NUL, returns the length of `from`. */
size_t text_copy(char *to, size_t size, const char *from);

/*
 * Make bytes from a worker or a client harmless on a terminal: control bytes and
 * invalid UTF-8 become \xNN, a tab a space; valid UTF-8 passes, but not the C1
 * controls, nor characters that turn the text around them (U+202E and its like).
 * Cuts at `size`.  Returns the length written.
 */
size_t text_escape(char *to, size_t size, const char *from, size_t len);
/* The same for a worker's own line, which may turn. */
size_t text_escape_line(char *to, size_t size, const char *from, size_t len);
/* Does text_escape() let this UTF-8 sequence of `n` bytes pass? */
bool text_is_harmless(const char *s, size_t n);

/*
 * The length of the valid UTF-8 sequence at the start of `s` (1-4), or 0 if it is
 * invalid (RFC 3629: no surrogates, no overlong forms).
 */
size_t text_utf8(const char *s, size_t len);

/* The length of the byte order mark that some editors begin a text with, or 0. */
size_t text_bom(const char *s, size_t len);

/* [A-Za-z0-9._-]{1,64}, not starting with '.' or '-'. */
bool text_is_name(const char *s);

/* Signals by name ("TERM", "SIGTERM", "RTMIN+3", "15"): -1 if unknown. */
int text_signal(const char *name);
/* "SIGTERM", "SIGRTMIN+3".  `to` holds at least 16 bytes.  Returns `to`. */
const char *text_signal_name(char to[16], int signal);

/* The FNV-1a hash of all bytes so far: `hash` is that of the bytes before these, or
 * TEXT_HASH for the first bytes. */
#define TEXT_HASH UINT64_C(0xcbf29ce484222325)
uint64_t text_hash(uint64_t hash, const void *bytes, size_t len);

/* How many newlines there are. */
size_t text_lines(const char *s, size_t len);

/* The decimal number at the beginning of the `len` bytes: returns how many digits it
 * has; 0: no number, or more than `most`. */
size_t text_number(uint64_t *n, const char *text, size_t len, uint64_t most);

/* For people: "0.3 s", "12 s", "4 min", "3 h", "2 d".  Returns `to`. */
const char *text_age(char to[16], nsec_t age);
/* Exactly, as a user would write it: "200ms", "5s", "2m".  Returns `to`. */
const char *text_duration(char to[24], nsec_t t);
/* Parse such a duration, and "0"; false: not a duration. */
bool text_parse_duration(nsec_t *t, const char *text);

/*
 * Of `count` names, the one that `word` most likely stands for, or NULL when none
 * is near (edit distance over a third of the length).
 */
const char *text_nearest(const char *word, const char *const *names, size_t count);

#endif
