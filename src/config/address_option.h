/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_ADDRESS_OPTION_H
#define CONFIG_ADDRESS_OPTION_H

#include "base/buffer.h"
#include "config/address.h"

/*
 * What may stand behind the comma of a `listen` value: one table row each.
 * Used by address.c alone, but for the list of names that completion and the
 * manual show.
 */
#define ADDRESS_NAME_MAX 255 /* of an fd's name: sd_listen_fds(3) */

/* May stand in LISTEN_FDNAMES, and between our own commas. */
bool address_is_name_byte(char c);
bool address_is_name(const char *name);

/* "backlog=1024", "nonblock"; *seen remembers which were given. */
int address_option_parse(
	struct address *a, const char *text, unsigned *seen, struct error *err);
/* ", backlog=1024, nonblock", without `name`. */
int address_option_format(const struct address *a, struct buffer *out);
bool address_same_options(const struct address *a, const struct address *b);

#endif
