/* SPDX-License-Identifier: MIT */
#include "base/scope.h"

void fd_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}
