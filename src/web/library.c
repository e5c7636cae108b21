/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "base/scope.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#ifdef NCLUST_STATIC

int library_open(struct library *library)
{
	memset(library, 0, sizeof(*library));
	return -1;
}

#else

#define CALL(name) \
	{ \
		"MHD_" #name, offsetof(struct library, name) \
	}

static const struct {
	const char *name;
	size_t at;
} calls[] = {
	CALL(start_daemon),
	CALL(stop_daemon),
	CALL(add_connection),
	CALL(run),
	CALL(get_timeout),
	CALL(get_daemon_info),
	CALL(get_connection_info),
	CALL(lookup_connection_value),
	CALL(create_response_from_buffer),
	CALL(create_response_from_callback),
	CALL(add_response_header),
	CALL(queue_response),
	CALL(destroy_response),
	CALL(suspend_connection),
	CALL(resume_connection),
};

int library_open(struct library *library)
{
	void *handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; handle != NULL && i < COUNT_OF(calls); i++) {
		void *found = dlsym(handle, calls[i].name);

		if (found == NULL)
			return -1;
		/* C knows no cast from a pointer to one of a function */
		memcpy((char *)library + calls[i].at, &found, sizeof(found));
	}
	return handle != NULL ? 0 : -1;
}

#endif
