/* SPDX-License-Identifier: MIT */
#include "config/origin.h"

#include "config/option.h"
#include "config/procfile.h"
#include "config_lib.h"

#include <stdio.h>

static struct settings *s;
static struct faults faults;
static struct error err;

static void begin(void)
{
	faults = (struct faults){0};
	s = settings_new();
	ck_assert_ptr_nonnull(s);
	s->origins->file = strdup("shop/Procfile");
	s->config_file = strdup("/nowhere/shop/Procfile");
}

static void end(void)
{
	faults_fini(&faults);
	settings_free(s);
}

static void read_lines(const char *text)
{
	char *data = strdup(text);

	ck_assert_ptr_nonnull(data);
	procfile_parse(s, "Procfile", data, strlen(text), &faults);
	free(data);
}

/* "a|b c": the words of a cluster's command. */
static void ck_assert_words(size_t at, const char *want)
{
	char got[200] = "";

	for (size_t i = 0; i < s->clusters[at]->command.count; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i > 0 ? "|" : "",
			s->clusters[at]->command.list[i]);
	ck_assert_str_eq(got, want);
}

FIXTURE(begin, end)

TEST(each_line_is_a_cluster)
{
	read_lines("# all that we run\n"
		   "web: ./server --quiet 'a b'\r\n"
		   "\n"
		   "  # none\n"
		   "worker:   bin/work -p $PORT\n"
		   "env: A=1 B=2 run x\n"
		   "both: a && b\n"
		   "glob: ls *.js\n"
		   "replaced: exec puma -p 1\n"
		   "last:x");
	ck_assert_uint_eq(faults.count, 0);
	ck_assert_uint_eq(s->cluster_count, 7);
	ck_assert_str_eq(s->clusters[0]->name, "web");
	ck_assert_uint_eq(s->clusters[0]->workers.least.fixed, 1);
	ck_assert_uint_eq(s->clusters[0]->env_file.count, 0);
	ck_assert_words(0, "./server|--quiet|a b");
	ck_assert_words(1, "/bin/sh|-c|exec bin/work -p $PORT");
	ck_assert_words(2, "/bin/sh|-c|exec env A=1 B=2 run x");
	ck_assert_words(3, "/bin/sh|-c|a && b");
	ck_assert_words(4, "/bin/sh|-c|exec ls *.js");
	ck_assert_words(5, "/bin/sh|-c|exec puma -p 1");
	ck_assert_words(6, "x");
	settings_check(s, &faults);
	ck_assert_uint_eq(faults.count, 0);
	ck_assert_str_eq(s->name, "shop");
	ck_assert_str_eq(s->clusters[0]->directory, "/nowhere/shop");
}

TEST(release_is_no_cluster_but_comes_before_all_of_them)
{
	read_lines("web: a\nrelease: bin/migrate 'x y'\nworker: b\n");
	ck_assert_uint_eq(faults.count, 0);
	ck_assert_uint_eq(s->cluster_count, 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert(s->clusters[i]->before_of_all);
		ck_assert_str_eq(s->clusters[i]->before.text, "bin/migrate 'x y'");
	}
	ck_assert_int_eq(procfile_form(s, "web=2,release=1", false, &err), 0);
	ck_assert(s->clusters[0]->before_of_all);
	ck_assert_int_eq(procfile_form(s, "worker=3,all=1", false, &err), 0);
	ck_assert_uint_eq(s->clusters[0]->workers.least.fixed, 1);
	ck_assert_uint_eq(s->clusters[1]->workers.least.fixed, 3);
	ck_assert_int_eq(procfile_form(s, "release=2", false, &err), -1);
	ck_assert_str_eq(err.text, "wanted 0 or 1 for 'release', which runs once, found '2'");
	ck_assert_int_eq(procfile_form(s, "all=1,release=0", false, &err), 0);
	for (size_t i = 0; i < 2; i++) {
		ck_assert(!s->clusters[i]->before_of_all);
		ck_assert_value(s, i == 0 ? "web.before" : "worker.before", "");
	}
	end();
	begin();
	read_lines("release: c\nrelease: d\n");
	ck_assert_str_eq(buffer_text(&faults.text),
		"Procfile:2: 'release' is given twice, first in line 1\n");
}

TEST(every_mistake_is_told_with_its_line)
{
	read_lines("web\n"
		   "web: a\n"
		   ": b\n"
		   "we b: c\n"
		   "\n"
		   "web: d\n"
		   "job:  \n"
		   "x: \xff\n");
	ck_assert_uint_eq(faults.count, 6);
	ck_assert_str_eq(buffer_text(&faults.text),
		"Procfile:1: wanted 'name: command', found 'web'\n"
		"Procfile:3: wanted a name of 1 to 64 of 'A-Z a-z 0-9 . _ -' "
		"before the ':', found ''\n"
		"Procfile:4: wanted a name of 1 to 64 of 'A-Z a-z 0-9 . _ -' "
		"before the ':', found 'we b'\n"
		"Procfile:6: 'web' is given twice, first in line 2\n"
		"Procfile:7: job: wanted a command, found none\n"
		"Procfile:8: wanted UTF-8 text without NUL bytes\n");
}

TEST(a_formation_may_be_wrong)
{
	static const struct {
		const char *text;
		const char *why;
	} wrong[] = {{"job=2", "there is no 'job' in the Procfile"},
		{"web=2,3",
			"wanted how many of what, such as 'web=2,worker=1', "
			"found '3'"},
		{"all=0", "nothing is left to run"}};

	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		settings_free(s);
		begin();
		read_lines("web: a\n");
		ck_assert_int_eq(procfile_form(s, wrong[i].text, false, &err), -1);
		ck_assert_str_eq(err.text, wrong[i].why);
	}
	ck_assert_int_eq(procfile_form(s, "web=many", false, &err), -1);
}

TEST_LOOP(each_has_a_port_of_its_own, 0, 2)
{
	struct error ignored;
	int member;

	ck_assert_int_eq(_i == 0 ? unsetenv("PORT") : setenv("PORT", "3000", 1), 0);
	read_lines("web: a\nworker: b\napi: c\n");
	ck_assert_int_eq(settings_set(s, 2, option_find("cluster", "listen", &member), 0, "8000",
				 (struct origin){.kind = ORIGIN_ARGV}, &ignored),
		0);
	ck_assert_int_eq(procfile_finish(s), 0);
	ck_assert_value(s, "web.env", _i == 0 ? "PORT=5000" : "PORT=3000");
	ck_assert_value(s, "worker.env", _i == 0 ? "PORT=5100" : "PORT=3100");
	ck_assert_value(s, "api.env", "");
}

TEST(it_is_known_by_its_name)
{
	static const char *const yes[] = {
		"Procfile", "/a/Procfile", "a/Procfile.dev", "dev.Procfile"};
	static const char *const no[] = {"Procfile/x.ini", "Procfiles", "myProcfile", "shop.ini"};

	for (size_t i = 0; i < 4; i++) {
		ck_assert(procfile_is(yes[i]));
		ck_assert(!procfile_is(no[i]));
	}
}
