/* SPDX-License-Identifier: MIT */
#include "os/descriptors.h"

#include "base/scope.h"
#include "os/vfork.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define MODE 0620 /* as grantpt(3) sets it */

int pty_open(const struct winsize *size, uid_t uid, int *slave)
{
	scoped_fd master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	scoped_fd end = -1;
	struct termios modes;

	if (master == -1 || unlockpt(master) == -1)
		return -1;
	end = ioctl(master, TIOCGPTPEER, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (end == -1 || tcgetattr(end, &modes) == -1)
		return -1;
	cfmakeraw(&modes);
	if (tcsetattr(end, TCSANOW, &modes) == -1 || ioctl(end, TIOCSWINSZ, size) == -1)
		return -1;
	if (fchmod(end, MODE) == -1 || fchown(end, uid, (gid_t)-1) == -1)
		return -1;
	*slave = fd_release(&end);
	return fd_release(&master);
}

struct look {
	int terminal;
	struct winsize size;
};

static int read_size(void *argument)
{
	struct look *l = argument;
	struct winsize size; /* on the child's stack */

	if (ioctl(l->terminal, TIOCGWINSZ, &size) == -1)
		return -1;
	l->size = size;
	return 0;
}

struct winsize pty_size_of(int terminal)
{
	struct look l = {.terminal = terminal};

	(void)vfork_call_on(terminal, read_size, &l);
	return l.size;
}
