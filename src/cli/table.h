/* SPDX-License-Identifier: MIT */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "cli/render.h"

/*
 * The table of a cluster's workers.  Columns that do not fit are left out, the
 * least important first.  `target`: "" all, else the target whose slot is shown.
 * `crowded`: neighbours that are alike share a row, and RENDER_MANY rows are the most.
 */
void table_put(struct render *r, const json_t *cluster, const char *target, bool crowded);

#endif
