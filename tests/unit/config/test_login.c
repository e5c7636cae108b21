/* SPDX-License-Identifier: MIT */
#include "config_lib.h"

#include "config/settings.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

TEST(the_groups_of_a_user_are_found)
{
	const struct passwd *entry = getpwuid(geteuid());
	struct cluster_settings c = {.uid = (long)geteuid(), .gid = 4242};
	bool found = false;

	if (entry == NULL)
		return; /* a user without a name, as in some containers */
	ck_assert_int_eq(login_find(&c), 0);
	for (size_t i = 0; i < c.group_count; i++)
		found = found || c.groups[i] == 4242;
	ck_assert(found);
	c.gid = -1;
	ck_assert_int_eq(login_find(&c), 0);
	ck_assert_uint_ge(c.group_count, 1);
	entry = getpwuid(geteuid());
	ck_assert_uint_eq(c.groups[0], entry->pw_gid);
	ck_assert_str_eq(c.home, entry->pw_dir);
	ck_assert_str_eq(c.login, entry->pw_name);
	login_clear(&c);
}

TEST(a_uid_without_a_name_has_its_group_only)
{
	struct cluster_settings c = {.uid = 3999999999L, .gid = 4242};

	ck_assert_int_eq(login_find(&c), 0);
	ck_assert_uint_eq(c.group_count, 1);
	ck_assert_uint_eq(c.groups[0], 4242);
	ck_assert_ptr_null(c.login);
	login_clear(&c);
}
