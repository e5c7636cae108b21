/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/upgrade.h"

#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Keeps the descriptors that the state names over execve(2), and verifies them. */

int carry_keep_descriptors(const struct carry_descriptor *list, size_t count, bool keep)
{
	for (size_t i = 0; i < count; i++) {
		int fd = (int)(uint32_t)list[i].fd_and_type;

		if (fd > STDERR_FILENO && fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC) == -1)
			return -1;
	}
	return 0;
}

static int verify_children(const struct supervisor *sup, struct error *err)
{
	for (size_t i = 0; i < sup->pids.size; i++) {
		const struct child *c = sup->pids.buckets[i];

		for (; c != NULL; c = c->next) {
			/* an adopted worker is no child of nclust */
			if (!c->saved.adopted && !pidfd_is_child(c->pidfd, c->pid))
				return error_set(err, errno, "worker %d is not a child of ours",
					(int)c->pid);
		}
	}
	return 0;
}

int carry_verify(const struct carry_reader *r, struct error *err)
{
	for (size_t i = 0; i < r->descriptor_count; i++) {
		const struct carry_descriptor *d = &r->descriptors[i];
		int fd = (int)(uint32_t)d->fd_and_type;
		struct stat st;

		if (d->dev == 0 && d->ino == 0)
			continue; /* the identity was not noted: a pidfd */
		if (fstat(fd, &st) == -1)
			return error_set(err, errno, "descriptor %d is missing", fd);
		if ((st.st_mode & S_IFMT) != d->fd_and_type >> 32 || st.st_dev != d->dev ||
			st.st_ino != d->ino)
			return error_set(err, 0, "descriptor %d is not what the state says", fd);
	}
	return verify_children(r->sup, err);
}
