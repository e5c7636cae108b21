/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/place/open_for.h"

enum { SOMEBODY = 65534 };

static void must_open(long uid, const char *path)
{
	scoped_str text = read_for(uid, path, 40000, true);

	ck_assert_msg(text != NULL, "'%s': %d", path, errno);
}

static void must_not_open(long uid, const char *path)
{
	ck_assert_ptr_null(read_for(uid, path, 40000, true));
	ck_assert_int_eq(errno, ELOOP);
}

FIXTURE(os_make_dir, NULL)

TEST(a_plain_path_is_opened_for_anybody)
{
	os_write(os_path("env"), "A=1\n", 0600);
	must_open(-1, os_path("env"));
	must_open(SOMEBODY, os_path("env"));
	ck_assert_ptr_null(read_for(SOMEBODY, os_path("absent"), 40000, true));
	ck_assert_int_eq(errno, ENOENT);
}

TEST(for_ourselves_links_are_followed)
{
	os_write(os_path("env"), "A=1\n", 0600);
	ck_assert_int_eq(symlink(os_path("env"), os_path("link")), 0);
	must_open(-1, os_path("link"));
}

NATIVE_ROOT_TEST(a_link_does_not_lead_another_user_to_what_is_roots)
{
	os_write(os_path("secret"), "A=1\n", 0600);
	os_mkdir(os_path("theirs"), 0755);
	ck_assert_int_eq(symlink(os_path("secret"), os_path("env")), 0);
	ck_assert_int_eq(symlink(os_dir, os_path("way")), 0);
	ck_assert_int_eq(symlink(os_path("secret"), os_path("theirs/env")), 0);
	ck_assert_int_eq(lchown(os_path("env"), SOMEBODY, SOMEBODY), 0);
	ck_assert_int_eq(lchown(os_path("way"), SOMEBODY, SOMEBODY), 0);
	ck_assert_int_eq(chown(os_path("theirs"), SOMEBODY, SOMEBODY), 0);
	must_not_open(SOMEBODY, os_path("env"));
	must_not_open(SOMEBODY, os_path("way/secret"));
	must_not_open(SOMEBODY, os_path("theirs/env"));

	ck_assert_int_eq(chown(os_path("secret"), SOMEBODY, SOMEBODY), 0);
	must_open(SOMEBODY, os_path("env"));
	must_open(SOMEBODY, os_path("way/secret"));
}

/* As of a deploy: current -> releases/5 */
NATIVE_ROOT_TEST(roots_own_links_are_followed_for_another_user)
{
	os_mkdir(os_path("releases"), 0755);
	os_mkdir(os_path("releases/5"), 0755);
	os_write(os_path("releases/5/env"), "A=1\n", 0600);
	ck_assert_int_eq(symlink("releases/5", os_path("current")), 0);
	must_open(SOMEBODY, os_path("current/env"));
}

static void must_read(const char *path, bool patient, const char *wanted)
{
	scoped_str text = read_for(-1, path, 40000, patient);

	ck_assert_msg(text != NULL, "'%s': %d", path, errno);
	ck_assert_str_eq(text, wanted);
}

TEST(all_of_a_file_is_read)
{
	static char much[40001];

	memset(much, 'x', sizeof(much) - 1);
	os_write(os_path("much"), much, 0600);
	os_write(os_path("none"), "", 0600);
	for (int patient = 0; patient < 2; patient++) {
		must_read(os_path("much"), patient, much);
		must_read(os_path("none"), patient, "");
		ck_assert_ptr_null(read_for(-1, os_path("much"), 39999, patient));
		ck_assert_int_eq(errno, EFBIG);
		ck_assert_ptr_null(read_for(-1, os_dir, 40000, patient));
		ck_assert_int_eq(errno, EFBIG);
		ck_assert_ptr_null(read_for(-1, os_path("absent"), 40000, patient));
		ck_assert_int_eq(errno, ENOENT);
	}
}
