/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_SLOTWORD_H
#define CONFIG_SLOTWORD_H

#include <stdbool.h>
#include <stddef.h>

/* How a command is changed so that each slot has a port of its own. */

/* Copy a word with {slot+PORT} in the place of that port, which must stand by itself there
 * ("9100" in "--metrics=:9100").  A debugger's word may leave it out: "--inspect" becomes
 * "--inspect={slot+9229}".  False: the word has no such port, or `to` is too small. */
bool slotword_port(char *to, size_t size, const char *word, unsigned port);
/* The same for the first of the words (NULL-terminated, or NULL) that has such a port. */
bool slotword_find(char *to, size_t size, char *const *words, unsigned port);
/* Does one of the words open that port for a debugger? */
bool slotword_inspects(char *const *words, unsigned port);

#endif
