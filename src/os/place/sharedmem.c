/* SPDX-License-Identifier: MIT */
#include "os/place/sharedmem.h"

#include "base/scope.h"
#include "os/cgroup.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)
#define PREFIX "nclust-"

/* With vm.memfd_noexec = 2 the kernel makes only files that cannot be executed. */
static int make_file(const char *name, unsigned flags)
{
	char text[100];
	int fd;

	flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
	snprintf(text, sizeof(text), PREFIX "%s", name);
	fd = memfd_create(text, flags | MFD_NOEXEC_SEAL);
	if (fd == -1 && errno == EINVAL)
		fd = memfd_create(text, flags);
	return fd;
}

static uint64_t page_of(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_bsize > 0 ? (uint64_t)fs.f_bsize : 4096;
}

static uint64_t in_megabytes(uint64_t bytes)
{
	return (bytes + (1U << 20) - 1) >> 20;
}

/* No limit is so low, and reading the limits takes longer than all the rest. */
#define SMALL (1U << 20)

/* Refuse a size that the limits rule out, before a worker dies for lack of memory. */
static int check_size(uint64_t size, struct error *err)
{
	uint64_t pages = size > SMALL ? (uint64_t)sysconf(_SC_PHYS_PAGES) : 0;
	uint64_t machine = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t group = size > SMALL ? cgroup_memory_limit("") : 0;
	struct rlimit files;

	if (pages > 0 && size > machine)
		return error_set(err, 0,
			"%" PRIu64 "M of shared memory are more than the machine has, %" PRIu64 "M",
			in_megabytes(size), machine >> 20);
	if (group > 0 && size >= group)
		return error_set(err, 0,
			"%" PRIu64
			"M of shared memory are too much for the control group, which has %" PRIu64
			"M",
			in_megabytes(size), group >> 20);
	/* to let a file grow beyond this limit is a SIGXFSZ */
	if (getrlimit(RLIMIT_FSIZE, &files) == 0 && size > files.rlim_cur)
		return error_set(err, 0, "%" PRIu64 "M of shared memory are beyond RLIMIT_FSIZE",
			in_megabytes(size));
	return 0;
}

static long free_pages(uint64_t page)
{
	char path[100];
	char text[24];

	snprintf(path, sizeof(path),
		"/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/free_hugepages", page / 1024);
	(void)process_read_path(path, text, sizeof(text));
	return strtol(text, NULL, 10);
}

/* A shared mapping reserves the pages for the file, and they stay reserved when the
 * mapping is gone: mm/hugetlb.c, hugetlb_reserve_pages(). */
static int reserve_pages(int fd, uint64_t size, uint64_t page, struct error *err)
{
	void *map = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map != MAP_FAILED) {
		(void)munmap(map, (size_t)size);
		return 0;
	}
	error_set(err, errno,
		"%" PRIu64 " huge pages of %" PRIu64 " kB for shared memory, of which %ld are free",
		size / page, page / 1024, free_pages(page));
	return error_hint(err, "reserve more of them in vm.nr_hugepages");
}

int sharedmem_make(const char *name, uint64_t size, bool huge, mode_t mode, struct error *err)
{
	scoped_fd fd = make_file(name, huge ? MFD_HUGETLB : 0);
	uint64_t page;

	if (fd == -1)
		return error_set(err, errno, "%sshared memory", huge ? "huge pages for " : "");
	page = huge ? page_of(fd) : (uint64_t)sysconf(_SC_PAGESIZE);
	size = (size + page - 1) / page * page;
	if (check_size(size, err) == -1)
		return -1;
	if (ftruncate(fd, (off_t)size) == -1)
		return error_set(err, errno, "%" PRIu64 "M of shared memory", in_megabytes(size));
	if (huge && reserve_pages(fd, size, page, err) == -1)
		return -1;
	if (fchmod(fd, mode) == -1 || fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		return error_set(err, errno, "cannot seal shared memory");
	return fd_release(&fd);
}

int sharedmem_look(int fd, struct sharedmem_facts *facts)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals == -1 || fstat(fd, &st) == -1)
		return -1;
	if ((seals & SEALS) != SEALS || (seals & F_SEAL_WRITE) != 0) {
		errno = EINVAL;
		return -1;
	}
	*facts = (struct sharedmem_facts){
		.size = (uint64_t)st.st_size,
		.used = (uint64_t)st.st_blocks * 512,
		.page = page_of(fd),
		.dev = (uint64_t)st.st_dev,
		.ino = (uint64_t)st.st_ino,
	};
	return 0;
}

bool sharedmem_is_target(const char *target)
{
	static const char start[] = "/memfd:" PREFIX;

	return strncmp(target, start, sizeof(start) - 1) == 0;
}
