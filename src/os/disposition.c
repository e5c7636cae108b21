/* SPDX-License-Identifier: MIT */
#include "os/process.h"

#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

int disposition_reset(uint64_t which)
{
	/* SIG_DFL, no flags, no mask: all zero in every architecture's layout
	 * of the kernel's struct sigaction */
	const long zero[16] = {0};

	for (int n = 1; n < _NSIG; n++)
		if ((which >> (n - 1) & 1) != 0 && n != SIGKILL && n != SIGSTOP &&
			syscall(SYS_rt_sigaction, n, zero, NULL, _NSIG / 8) == -1)
			return -1;
	return 0;
}
