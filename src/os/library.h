/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * Load a library by dlopen(3), in a process that needs it: linked, it and those that it pulls in
 * would cost each process of nclust memory and time.  `calls`: a struct of pointers to what has
 * these names, in their order.  0; or -1 and errno: ENOMEM, ENOSYS (it lacks one of them, or
 * nclust was linked statically), else ENOENT.  The library stays loaded.
 */
int library_load(const char *file, const char *const *names, size_t count, void *calls);
