/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/privilege.h"

#include <grp.h>
#include <linux/capability.h>

static char out[65536];

static struct spawn_plan plan;

static void set_up(void)
{
	plan = os_plan();
	plan.uid = 65534;
	plan.gid = 65534;
	plan.exec_fd = open(os_self, O_PATH | O_CLOEXEC);
}

/* It runs so, and has these capabilities, in hexadecimal. */
static void run_as_nobody(const char *capabilities)
{
	static const char *const sets[] = {"CapPrm", "CapEff", "CapInh", "CapAmb"};

	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "Uid"), "65534\t65534\t65534\t65534");
	ck_assert_str_eq(os_field(out, "Gid"), "65534\t65534\t65534\t65534");
	for (size_t i = 0; i < COUNT_OF(sets); i++)
		ck_assert_str_eq(os_field(out, sets[i]), capabilities);
}

FIXTURE(os_make_dir, NULL)
FIXTURE(set_up, NULL)

NATIVE_ROOT_TEST(user_and_groups_are_dropped_for_good)
{
	const gid_t groups[] = {100, 65534};

	ck_assert_int_eq(setgroups(2, (gid_t[]){0, 4}), 0);
	run_as_nobody("0000000000000000");
	ck_assert_str_eq(os_field(out, "Groups"), "");
	ck_assert_int_eq(geteuid(), 0);
	plan.groups = groups;
	plan.group_count = 2;
	plan.death_signal = SIGKILL; /* which a change of the user undoes */
	run_as_nobody("0000000000000000");
	ck_assert_int_eq(atoi(os_field(out, "Groups")), 100);
	ck_assert_ptr_nonnull(strstr(os_field(out, "Groups"), " 65534"));
	ck_assert_int_eq(atoi(os_field(out, "death")), SIGKILL);
}

NATIVE_ROOT_TEST(the_directory_is_entered_with_the_users_rights)
{
	plan.directory = os_path("closed");
	ck_assert_int_eq(mkdir(plan.directory, 0700), 0);
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_DIRECTORY);
	plan.capabilities_given = true; /* not even with a right over files */
	plan.capabilities = 1ULL << CAP_DAC_OVERRIDE;
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_DIRECTORY);
	/* or before these are dropped */
	plan.capabilities_given = false;
	plan.directory_first = true;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "cwd"), os_path("closed"));
	plan.directory = os_path("missing");
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_DIRECTORY);
}

NATIVE_ROOT_TEST(exactly_the_capabilities_asked_for_are_kept)
{
	plan.capabilities_given = true;
	plan.capabilities = 1ULL << CAP_NET_BIND_SERVICE;
	plan.death_signal = SIGKILL;
	run_as_nobody("0000000000000400");
	ck_assert_str_eq(os_field(out, "CapBnd"), "0000000000000400");
	ck_assert_int_eq(atoi(os_field(out, "death")), SIGKILL);
	plan.capabilities = 1ULL << 63; /* which this kernel lacks */
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_CAPABILITIES);
}

NATIVE_ROOT_TEST(root_can_be_bounded_too)
{
	plan = os_plan();
	plan.capabilities_given = true;
	plan.capabilities = 1ULL << CAP_KILL;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "CapEff"), "0000000000000020");
	ck_assert_str_eq(os_field(out, "CapBnd"), "0000000000000020");
	plan.capabilities = 0;
	plan.uid = 0;
	plan.gid = 0;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_str_eq(os_field(out, "CapEff"), "0000000000000000");
}

/* Become somebody who may change users without being root. */
static void become_setuid_capable(void)
{
	struct capset set;

	ck_assert_int_eq(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(setresuid(1234, 1234, 1234), 0);
	ck_assert_int_eq(capset_get(&set), 0);
	set.effective = set.permitted;
	set.inheritable = set.permitted;
	ck_assert_int_eq(capset_put(&set), 0);
	ck_assert_int_eq(capset_ambient(1ULL << CAP_SETUID), 0);
}

NATIVE_ROOT_TEST(no_right_survives_a_change_between_ordinary_users)
{
	become_setuid_capable(); /* no root here: the kernel drops nothing */
	run_as_nobody("0000000000000000");
}

static void become_ordinary(void)
{
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(setgroups(2, (gid_t[]){1234, 77}), 0);
	ck_assert_int_eq(setresgid(1234, 1234, 1234), 0);
	ck_assert_int_eq(setresuid(1234, 1234, 1234), 0);
}

NATIVE_TEST(an_ordinary_user_is_refused_another)
{
	struct spawn_failure f;
	struct error err;

	become_ordinary();
	if (geteuid() == 65534) /* then ask for another than nobody */
		plan.uid = plan.gid = 1;
	f = os_spawn_fails(&plan);
	ck_assert_int_eq(f.step, SPAWN_GROUPS);
	ck_assert_int_eq(f.error, EPERM);
	ck_assert_int_eq(spawn_exit_status(&f), 126);
	spawn_explain(&f, "web", &err);
	ck_assert_str_eq(err.text,
		"cannot set the groups for 'web': Operation not permitted; "
		"this needs root");
	plan.uid = -1;
	plan.gid = 0;
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_GROUPS);
}

NATIVE_TEST(an_ordinary_user_may_ask_for_itself)
{
	gid_t groups[256];
	int count;

	plan = os_plan();
	plan.exec_fd = open(os_self, O_PATH | O_CLOEXEC);
	become_ordinary();
	count = getgroups(256, groups);
	ck_assert_int_ge(count, 0);
	plan.uid = (long)geteuid();
	plan.gid = (long)getegid();
	plan.groups = groups;
	plan.group_count = (size_t)count;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	ck_assert_int_eq(atoi(os_field(out, "Uid")), (int)geteuid());
	if (count == 0)
		return;
	plan.group_count--; /* one fewer is another set */
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_GROUPS);
}

NATIVE_TEST(without_the_right_to_bound_no_new_privs_must_be_set)
{
	plan = os_plan();
	plan.exec_fd = open(os_self, O_PATH | O_CLOEXEC);
	become_ordinary();
	plan.capabilities_given = true;
	plan.capabilities = 0;
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_CAPABILITIES);
	plan.no_new_privs = true;
	ck_assert_int_eq(os_run(&plan, out, sizeof(out)), 0);
	plan.capabilities = 1ULL << CAP_KILL; /* it has none to give */
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_CAPABILITIES);
}

NATIVE_ROOT_TEST(an_id_that_cannot_be_set_is_refused)
{
	plan.uid = 0xffffffffL; /* (uid_t)-1 means "leave it" to the kernel */
	ck_assert_int_eq(os_spawn_fails(&plan).step, SPAWN_USER);
}
