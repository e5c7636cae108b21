/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Networks as text, separated by blanks: "10.0.0.0/8 192.0.2.7 2001:db8::/32". */

/* Is the text one or more networks? */
bool networks_are(const char *text);
/* Is the address (network order, 4 or 16 bytes; ::ffff:1.2.3.4 is 1.2.3.4) in one of them?  "all" has
 * every address.  Does not allocate. */
bool networks_have(const char *text, const void *ip, size_t len);
