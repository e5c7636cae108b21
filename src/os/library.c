/* SPDX-License-Identifier: MIT */
#include "os/library.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

#ifdef NCLUST_STATIC

#include <nss.h>

/* The machine's other ways to find users are modules, which bring its own libc into the program. */
__attribute__((constructor)) static void find_users_in_files(void)
{
	(void)__nss_configure_lookup("passwd", "files");
	(void)__nss_configure_lookup("group", "files");
	(void)__nss_configure_lookup("initgroups", "files");
}

int library_load(const char *file UNUSED, const char *const *names UNUSED, size_t count UNUSED,
	void *calls UNUSED)
{
	errno = ENOSYS;
	return -1;
}

#else

#include <dlfcn.h>

int library_load(const char *file, const char *const *names, size_t count, void *calls)
{
	void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);

	if (handle == NULL) {
		const char *why = dlerror(); /* dlopen(3) sets no errno */

		errno = strstr(why, "failed to map") != NULL || strstr(why, "memory") != NULL
			? ENOMEM
			: ENOENT;
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		void *found = dlsym(handle, names[i]);

		if (found == NULL) {
			errno = ENOSYS;
			return -1;
		}
		/* C has no cast from a pointer to an object to one to a function */
		memcpy((char *)calls + i * sizeof(found), &found, sizeof(found));
	}
	return 0;
}

#endif
