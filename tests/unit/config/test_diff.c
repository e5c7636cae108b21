/* SPDX-License-Identifier: MIT */
#include "config_lib.h"

static struct diff diff;
static struct reading old;
static struct reading new;

static void compare_read(void)
{
	ck_assert_faults(old, "");
	ck_assert_faults(new, "");
	ck_assert_int_eq(diff_settings(&diff, old.s, new.s), 0);
}

static void compare(const char *before, const char *after)
{
	old = read_text(before);
	new = read_text(after);
	compare_read();
}

static void finish(void)
{
	diff_fini(&diff);
	forget(&old);
	forget(&new);
}

#define WEB "[cluster:web]\ncommand = x\n"
#define DB "[cluster:db]\ncommand = x\n" /* for the example of `after` */

static const struct {
	const char *before;
	const char *after;
	const char *keys;
	enum change change;
} changes[] = {
	{"", "", "", CHANGE_NONE},
	{"workers = auto\n", "", "", CHANGE_NONE},
	{"start-timeout = 1m\n", "start-timeout = 60s\n", "", CHANGE_NONE},
	{"listen = 80\n", "listen = tcp:*:80 , name=80\n", "", CHANGE_NONE},
	{"", "stop-timeout = 3s\n", "stop-timeout 30s → 3s", CHANGE_LIVE},
	{"signal-HUP = stop\n", "signal-HUP = ignore\n", "signal-NAME", CHANGE_LIVE},
	{"drain = auto\ndrain-timeout = 30s\ncheck = off\nsurge = auto\n", "", "", CHANGE_NONE},
	{"check = http:/a\n", "check = http:/b\n", "check", CHANGE_LIVE},
	{"", "max-age = 1h\nmax-memory = 1G\nstall = 1m\n",
		"stall off → 1m, max-memory off → 1G, max-age off → 1h", CHANGE_LIVE},
	/* with Node nclust hands connections out for it, or does already */
	{"", "max-requests = 10\n", "max-requests off → 10", CHANGE_ROLL},
	{"max-requests = 10\n", "", "max-requests 10 → off", CHANGE_ROLL},
	{"max-requests = 10\n", "max-requests = 20\n", "max-requests 10 → 20", CHANGE_LIVE},
	{"balance = rr\n", "balance = rr\nmax-requests = 20\n", "max-requests off → 20",
		CHANGE_LIVE},
	{"ready = tcp\nlisten = 80\n", "ready = exec:x\nlisten = 80\n", "ready", CHANGE_LIVE},
	{"shared-memory = 1M\n", "shared-memory = 1024k\n", "", CHANGE_NONE},
	{"shared-memory = 1M\n", "shared-memory = 2M\n", "shared-memory 1M → 2M", CHANGE_ROLL},
	{"before = a\n", "before = b\nbefore-stop = b\n", "before a → b, before-stop", CHANGE_LIVE},
	{"on-exit = a\n", "on-crash = a\n", "on-EVENT", CHANGE_LIVE},
	{"on-exit = a\n", "on-exit = a b\n", "on-EVENT", CHANGE_LIVE},
	{"", "env = A=b\n", "env", CHANGE_ROLL},
	{"env = A=b\n", "env = A=c\n", "env", CHANGE_ROLL},
	{"env = A=b\n", "", "env", CHANGE_ROLL},
	{"listen = 80\n", "listen = 80, backlog=7\n", "listen", CHANGE_ROLL},
	{"limit-nofile = 5\n", "limit-nofile = 5:6\n", "limit-nofile", CHANGE_ROLL},
	{"limit-nofile = 5\n", "limit-nproc = 5\n", "limit-nofile, limit-nproc", CHANGE_ROLL},
	{"", "workers = 3\nnice = 3\n", "workers auto → 3, nice", CHANGE_ROLL},
};

TEST_LOOP(each_key_says_what_its_change_needs, 0, (int)COUNT_OF(changes))
{
	old = read_format(WEB "%s", changes[_i].before);
	new = read_format(WEB "%s", changes[_i].after);
	compare_read();
	ck_assert_uint_eq(diff.count, 1);
	ck_assert_str_eq(diff.clusters[0].keys, changes[_i].keys);
	ck_assert_int_eq(diff.clusters[0].change, changes[_i].change);
	ck_assert_int_eq(diff.instance, CHANGE_NONE);
	ck_assert(!diff.clusters[0].command_changed);
	ck_assert_int_eq(
		diff.clusters[0].workers_changed, strstr(changes[_i].keys, "workers") != NULL);
	finish();
}

TEST(another_command_is_noted)
{
	compare(WEB, "[cluster:web]\ncommand = y\n");
	ck_assert(diff.clusters[0].command_changed);
	ck_assert(!diff.clusters[0].workers_changed);
	ck_assert_int_eq(diff.clusters[0].change, CHANGE_ROLL);
	finish();
}

TEST(clusters_come_and_go_by_name)
{
	compare(WEB "[cluster:old]\ncommand = x\n", "[cluster:new]\ncommand = x\n" WEB);
	ck_assert_uint_eq(diff.count, 3);
	ck_assert_ptr_null(diff.clusters[0].old);
	ck_assert_str_eq(diff.clusters[0].new->name, "new");
	ck_assert_ptr_eq(diff.clusters[1].old, old.s->clusters[0]);
	ck_assert_ptr_eq(diff.clusters[1].new, new.s->clusters[1]);
	ck_assert_int_eq(diff.clusters[1].change, CHANGE_NONE);
	ck_assert_str_eq(diff.clusters[2].old->name, "old");
	ck_assert_ptr_null(diff.clusters[2].new);
	finish();
}

TEST(keys_of_the_instance_are_told_apart)
{
	compare(WEB, WEB "[nclust]\nlog-level = debug\n");
	ck_assert_int_eq(diff.instance, CHANGE_LIVE);
	ck_assert_str_eq(diff.instance_keys, "log-level note → debug");
	ck_assert_int_eq(diff.clusters[0].change, CHANGE_NONE);
	finish();
	compare(WEB, WEB "[nclust]\nlog-level = debug\npidfile = /x\n");
	ck_assert_int_eq(diff.instance, CHANGE_RESTART);
	ck_assert_str_eq(diff.instance_keys, "log-level note → debug, pidfile");
	finish();
}

TEST(a_name_that_became_another_id_is_a_change)
{
	old = read_text(WEB "user = root\n");
	new = read_text(WEB "user = root\n");
	new.s->clusters[0]->uid = 1;
	ck_assert_int_eq(diff_settings(&diff, old.s, new.s), 0);
	ck_assert_str_eq(diff.clusters[0].keys, "user");
	finish();
}

/* Every key that can be given twice in different ways is seen to differ. */
TEST(no_key_is_blind)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (row->section == NULL || row->example == NULL || row->type == &type_command ||
			strcmp(row->section, "cluster") != 0)
			continue;
		old = read_text(WEB DB);
		new = read_format(WEB "%s = %s\n" DB, option_key(row, 0), row->example);
		compare_read();
		/* in another root nobody is beside the file */
		ck_assert_str_eq(diff.clusters[0].keys,
			strcmp(row->name, "chroot") == 0 ? "directory, chroot" : row->name);
		ck_assert_int_eq(diff.clusters[0].change, row->change);
		finish();
	}
}
