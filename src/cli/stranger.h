/* SPDX-License-Identifier: MIT */
#pragma once

#include "cli/verb.h"

/* Add to `err` how an nclust is reached that was not found, because it is another user's or has a
 * place of its own.  `name`: "": any.  False: none runs. */
bool stranger_hint(const struct arguments *a, const char *name, struct error *err);
