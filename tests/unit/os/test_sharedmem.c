/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/place/sharedmem.h"

static struct sharedmem_facts facts;
static struct error err;

static int make(uint64_t size)
{
	int fd = sharedmem_make("it", size, 0666, &err);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(sharedmem_look(fd, &facts), 0);
	return fd;
}

FIXTURE(os_make_dir, NULL)

TEST(a_size_is_rounded_up_to_whole_pages)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	(void)close(make(1));
	ck_assert_uint_eq(facts.size, page);
	(void)close(make(page));
	ck_assert_uint_eq(facts.size, page);
	(void)close(make(page + 1));
	ck_assert_uint_eq(facts.size, 2 * page);
	ck_assert_uint_eq(facts.used, 0);
}

TEST(it_is_written_by_all_and_cut_by_nobody)
{
	int fd = make(8192);
	char name[40];
	int again;
	char *a;
	char *b;

	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 1 << 20), -1);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	again = open(name, O_RDWR | O_CLOEXEC);
	ck_assert_int_ne(again, -1);
	a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
	ck_assert(a != MAP_FAILED && b != MAP_FAILED);
	a[5000] = 'x';
	ck_assert_int_eq(b[5000], 'x');
	ck_assert_int_eq(sharedmem_look(again, &facts), 0);
	ck_assert_uint_gt(facts.used, 0);
	(void)munmap(a, 8192);
	(void)munmap(b, 8192);
}

TEST(it_is_known_by_its_seals_and_its_name)
{
	char name[40];
	char target[64] = "";
	int fd = make(4096);
	uint64_t id = sharedmem_id(facts.dev, facts.ino);
	int other = make(4096);

	ck_assert_uint_ne(id, sharedmem_id(facts.dev, facts.ino));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ck_assert_int_gt(readlink(name, target, sizeof(target) - 1), 0);
	ck_assert(sharedmem_is_target(target));
	ck_assert(!sharedmem_is_target("/memfd:other (deleted)"));
	ck_assert(!sharedmem_is_target("socket:[1]"));
	(void)close(other);
	(void)close(fd);

	fd = memfd_create("nclust-it", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	os_fails(sharedmem_look(fd, &facts), EINVAL);
	(void)close(fd);
	fd = os_null();
	ck_assert_int_eq(sharedmem_look(fd, &facts), -1);
	(void)close(fd);
	ck_assert_int_eq(sharedmem_look(-1, &facts), -1);
}

TEST(what_cannot_be_had_is_told)
{
	struct rlimit small = {4096, 4096};

	ck_assert_int_eq(sharedmem_make("it", UINT64_C(1) << 46, 0666, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "than the machine has"));
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_int_eq(sharedmem_make("it", 8192, 0666, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "RLIMIT_FSIZE"));
}
