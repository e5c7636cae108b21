/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "os/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Those that the state names: may they pass, and are they what it says? */

struct descriptor {
	int fd;
	mode_t type;
	dev_t dev;
	ino_t ino;
};

static struct descriptor nth(const char *descriptors, size_t n)
{
	uint64_t words[3];

	(void)memcpy(words, descriptors + n * sizeof(words), sizeof(words));
	return (struct descriptor){
		.fd = (int)(words[0] & INT32_MAX),
		.type = (mode_t)(words[0] >> 32),
		.dev = (dev_t)words[1],
		.ino = (ino_t)words[2],
	};
}

int carry_descriptor(const char *descriptors, size_t n)
{
	return nth(descriptors, n).fd;
}

int carry_keep_descriptors(const char *descriptors, size_t count, bool keep)
{
	for (size_t i = 0; i < count; i++) {
		int fd = nth(descriptors, i).fd;

		if (fd > STDERR_FILENO &&
			fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC) == -1)
			return -1;
	}
	return 0;
}

static int verify_children(const struct supervisor *sup, struct error *err)
{
	for (size_t i = 0; i < sup->pids.size; i++) {
		const struct child *c = sup->pids.buckets[i];

		for (; c != NULL; c = c->next) {
			/* one that is adopted is no child of ours */
			if (!c->kept.adopted &&
				!pidfd_is_child(c->pidfd, c->pid))
				return error_set(err, errno,
					"worker %d is not a child of ours",
					(int)c->pid);
		}
	}
	return 0;
}

int carry_verify(const struct carry_reader *r, struct error *err)
{
	for (size_t i = 0; i < r->descriptor_count; i++) {
		struct descriptor d = nth(r->descriptors, i);
		struct stat st;

		if (d.dev == 0 && d.ino == 0)
			continue; /* a pidfd */
		if (fstat(d.fd, &st) == -1)
			return error_set(
				err, errno, "descriptor %d is missing", d.fd);
		if ((st.st_mode & S_IFMT) != d.type || st.st_dev != d.dev ||
			st.st_ino != d.ino)
			return error_set(err, 0,
				"descriptor %d is not what the state says",
				d.fd);
	}
	return verify_children(r->sup, err);
}
