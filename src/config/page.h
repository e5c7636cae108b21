/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_PAGE_H
#define CONFIG_PAGE_H

#include "base/error.h"
#include "config/settings.h"

#define PAGE_MOST ((size_t)64 * 1024)

/*
 * Read the file that `fallback` names: text of 1 byte to 64 KiB.  As root only a
 * file that nobody else can change is read, as with rootsown_open().  -1 and `err`;
 * a disk that does not answer keeps this call for as long as it likes.
 */
int page_read(struct cluster_settings *c, struct error *err);

#endif
