/* SPDX-License-Identifier: MIT */
#include "nats/natslib.h"

#include "base/scope.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#ifdef NATSLIB

#define NUMBERS(major, minor) #major "." #minor
#define TEXT(major, minor) NUMBERS(major, minor)
#define VERSION TEXT(NATS_VERSION_MAJOR, NATS_VERSION_MINOR)
#define LIBRARY "libnats.so." VERSION

const char *natslib_open(struct natslib *lib)
{
	static const struct {
		const char *name;
		size_t at;
	} calls[] = {
#define CALL(name) {#name, offsetof(struct natslib, name)},
		NATSLIB_CALLS(CALL)
#undef CALL
	};
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	const char *why = handle == NULL ? dlerror() : NULL;

	if (why != NULL && (strstr(why, "failed to map") != NULL || strstr(why, "memory") != NULL))
		return why;
	for (size_t i = 0; handle != NULL && i < COUNT_OF(calls); i++) {
		void *found = dlsym(handle, calls[i].name);

		if (found == NULL)
			return "the library " LIBRARY " lacks functions";
		/* C knows no cast from a pointer to one of a function */
		memcpy((char *)lib + calls[i].at, &found, sizeof(found));
	}
	return handle != NULL ? NULL
			      : "the library " LIBRARY " cannot be loaded: "
				"install the package libnats" VERSION;
}

const char *natslib_try(void)
{
	struct natslib lib;

	return natslib_open(&lib);
}

#else

const char *natslib_try(void)
{
	return "this nclust was built without libnats (libnats-dev), or is "
	       "linked statically";
}

#endif
