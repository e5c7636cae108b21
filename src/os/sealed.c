/* SPDX-License-Identifier: MIT */
#include "os/descriptors.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t got = write(fd, data, len);

		if (got == -1 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got == 0 ? ENOSPC : errno;
			return -1;
		}
		data += got;
		len -= (size_t)got;
	}
	return 0;
}

int sealed_make(const char *name, const void *data, size_t len, struct error *err)
{
	scoped_fd fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1 || write_all(fd, data, len) == -1 || fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		return error_set(err, errno, "cannot write the state down");
	return fd_release(&fd);
}

int sealed_map(int fd, const void **data, size_t *len, struct error *err)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *map;

	if (seals == -1 || (seals & SEALS) != SEALS || fstat(fd, &st) == -1 || st.st_size <= 0)
		return error_set(err, 0, "it is no state of an nclust");
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return error_set(err, errno, "cannot read the state");
	*data = map;
	*len = (size_t)st.st_size;
	return 0;
}
