/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

/* The text of `nclust`, `nclust help` and `nclust --help`: options and verbs. */
int cli_describe_help(struct buffer *out);
