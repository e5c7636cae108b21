/* SPDX-License-Identifier: MIT */
#ifndef CLI_WHEN_H
#define CLI_WHEN_H

#include "base/error.h"
#include "base/nsec.h"

/*
 * A moment as a user writes it, made into nanoseconds since 1970:
 *   10m, 2h, 90s              so long before `now`
 *   05:00, 05:00:30           the latest such time of day, in local time
 *   2026-11-22 05:00          local time; the date alone, too, and with seconds
 *   2026-11-22T05:00:00+01:00 RFC 3339, or Z
 *   @1795167360               seconds since 1970
 * -1: err->status is 64.
 */
int when_parse(nsec_t *at, const char *text, nsec_t now, struct error *err);

#endif
