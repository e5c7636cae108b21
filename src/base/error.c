/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int sys, const char *format, ...)
{
	size_t used;
	va_list args;

	err->sys = sys;
	err->status = 0;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	if (sys == 0)
		return -1;
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(sys));
	return -1;
}

int error_wrap(struct error *err, const char *format, ...)
{
	char inner[sizeof(err->text)];
	size_t used;
	va_list args;

	memcpy(inner, err->text, sizeof(inner));
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", inner);
	return -1;
}

int error_hint(struct error *err, const char *format, ...)
{
	size_t used = strlen(err->text);
	va_list args;

	if (used + 2 >= sizeof(err->text))
		return -1;
	memcpy(err->text + used, "; ", 3);
	va_start(args, format);
	vsnprintf(err->text + used + 2, sizeof(err->text) - used - 2, format, args);
	va_end(args);
	return -1;
}

int error_hint_processes(struct error *err)
{
	return err->sys != EAGAIN
		? -1
		: error_hint(err, "a limit of processes is reached (RLIMIT_NPROC, pids.max)");
}

int error_status(struct error *err, int status)
{
	err->status = status;
	return -1;
}

int error_exit_status(const struct error *err)
{
	return err->status != 0 ? err->status : 1;
}

bool error_is_shortage(int sys)
{
	return sys == EMFILE || sys == ENFILE || sys == ENOMEM || sys == ENOBUFS;
}

bool error_is_transient(int sys)
{
	return error_is_shortage(sys) || sys == ETIMEDOUT || sys == EAGAIN || sys == EINTR;
}
