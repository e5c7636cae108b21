/* SPDX-License-Identifier: MIT */
#include "nats/natslib.h"

#include "base/scope.h"
#include "os/library.h"

#include <errno.h>

#ifdef NATSLIB

#define NUMBERS(major, minor) #major "." #minor
#define TEXT(major, minor) NUMBERS(major, minor)
#define VERSION TEXT(NATS_VERSION_MAJOR, NATS_VERSION_MINOR)
#define LIBRARY "libnats.so." VERSION

const char *natslib_open(struct natslib *lib)
{
	static const char *const names[] = {
#define X(name) #name,
		NATSLIB_CALLS
#undef X
	};

	if (library_load(LIBRARY, names, COUNT_OF(names), lib) == 0)
		return NULL;
	if (errno == ENOMEM)
		return "the library " LIBRARY " cannot be loaded: Cannot allocate memory";
	return errno == ENOSYS ? "the library " LIBRARY " lacks functions"
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
