/* SPDX-License-Identifier: MIT */
#include "base/scope.h"
#include "cli/render.h"

#include <check.h>
#include <string.h>

static const char shop[] =
	"{\"name\":\"shop\",\"pid\":77,\"version\":\"1.0.0\",\"uptime\":7205.5,"
	"\"upgrades\":0,\"clusters\":["
	"{\"name\":\"web\",\"command\":[\"./x\"],\"wanted\":2,\"ready\":1,"
	"\"generation\":3,\"balance\":\"share\",\"state\":\"degraded\","
	"\"listeners\":[{\"name\":\"http\",\"address\":\"tcp:0.0.0.0:8000\","
	"\"queue\":0,\"queue_limit\":1024,\"dropped\":2}],"
	"\"workers\":["
	"{\"slot\":0,\"id\":9,\"pid\":81,\"state\":\"ready\",\"generation\":3,"
	"\"uptime\":11.9,\"restarts\":1,\"cpu_percent\":3.14,"
	"\"memory_bytes\":9437184,\"next_try\":null,\"last_exit\":{\"kind\":"
	"\"signal\",\"code\":11,\"text\":\"killed by SIGSEGV\",\"after\":4.2}},"
	"{\"slot\":1,\"id\":10,\"pid\":null,\"state\":\"backoff\","
	"\"generation\":3,\"uptime\":null,\"restarts\":12,\"cpu_percent\":null,"
	"\"memory_bytes\":null,\"next_try\":0.4,\"last_exit\":{\"kind\":"
	"\"exit\","
	"\"code\":1,\"text\":\"exit 1\",\"after\":0.3},"
	"\"checks\":{\"ok\":38,\"failed\":2,\"last\":\"status 500\"}}],"
	"\"rollout\":null},"
	"{\"name\":\"thumbs\",\"wanted\":2,\"ready\":2,\"generation\":1,"
	"\"balance\":\"rr\",\"state\":\"rolling\",\"listeners\":["
	"{\"name\":\"u\",\"address\":\"unix:/run/u\",\"queue\":null,"
	"\"queue_limit\":null,\"dropped\":null}],"
	"\"workers\":["
	"{\"slot\":0,\"pid\":100001,\"state\":\"ready\",\"generation\":2,"
	"\"uptime\":0.2,\"restarts\":0,\"cpu_percent\":100,"
	"\"memory_bytes\":524288,\"next_try\":null,\"last_exit\":null},"
	"{\"slot\":0,\"pid\":90,\"state\":\"draining\",\"generation\":1,"
	"\"uptime\":100000,\"restarts\":0,\"cpu_percent\":0,"
	"\"memory_bytes\":2147483648,\"next_try\":null,\"last_exit\":null}],"
	"\"rollout\":{\"id\":12,\"to\":2,\"done\":1,\"of\":2,"
	"\"step\":\"waiting for thumbs.1\",\"since\":0.8}}]}";

static const char shop_table[] =
	"shop  pid 77, version 1.0.0, up 120 min\n"
	"\n"
	"web  degraded, 1 of 2 ready, generation 3\n"
	"  listening on tcp:0.0.0.0:8000 (http), queue 0 of 1024, 2 dropped\n"
	"  SLOT  PID  STATE    UP    RESTARTS  CPU%   MEM  LAST EXIT\n"
	"     0   81  ready    12 s         1   3.1  9.0M  "
	"killed by SIGSEGV after 4.2 s\n"
	"     1    -  backoff  -           12     -     -  "
	"exit 1 after 0.3 s, next try in 0.4 s, 2 of 40 checks failed, the "
	"last one: status 500\n"
	"\n"
	"thumbs  rolling, 2 of 2 ready, generation 1, balance rr\n"
	"  listening on unix:/run/u (u)\n"
	"  rolling to generation 2: 1 of 2 done, waiting for thumbs.1 (0.8 s)\n"
	"  SLOT  GEN     PID  STATE     UP     RESTARTS   CPU%   MEM  LAST "
	"EXIT\n"
	"     0    2  100001  ready     0.2 s         0  100.0  512K  -\n"
	"     0    1      90  draining  28 h          0    0.0  2.0G  -\n";

static struct buffer out;
static struct render render;

static void setup(void)
{
	buffer_init(&out, 0);
	render = (struct render){.out = &out};
}

static void teardown(void)
{
	buffer_fini(&out);
}

static const char *show(const char *json, const char *target, bool slot)
{
	json_t *status = json_loads(json, 0, NULL);

	ck_assert_ptr_nonnull(status);
	buffer_clear(&out);
	render_status(&render, status, target, slot);
	json_decref(status);
	return buffer_text(&out);
}

static int exit_of(const char *json, const char *target, bool slot)
{
	struct tally tally = {0};
	json_t *status = json_loads(json, 0, NULL);

	ck_assert_ptr_nonnull(status);
	tally_add(&tally, status, target, slot);
	json_decref(status);
	return tally_exit_status(&tally);
}

START_TEST(a_status_is_a_table)
{
	ck_assert_str_eq(show(shop, "", false), shop_table);
}
END_TEST

START_TEST(a_cluster_is_shown_alone)
{
	const char *text = show(shop, "thumbs", false);

	ck_assert_ptr_nonnull(strstr(text, "shop  pid 77"));
	ck_assert_ptr_nonnull(strstr(text, "thumbs  rolling"));
	ck_assert_ptr_null(strstr(text, "web  "));
}
END_TEST

START_TEST(a_slot_is_shown_alone)
{
	const char *text = show(shop, "web.1", true);

	ck_assert_ptr_nonnull(strstr(text, "     1    -  backoff"));
	ck_assert_ptr_null(strstr(text, " ready    "));
}
END_TEST

START_TEST(an_end_that_was_asked_for_is_not_shown)
{
	const char *text =
		show("{\"clusters\":[{\"name\":\"w\",\"workers\":[{\"slot\":0,"
		     "\"state\":\"ready\",\"last_exit\":{\"text\":\"exit 0\","
		     "\"asked\":true}},{\"slot\":1,\"state\":\"ready\","
		     "\"last_exit\":{\"text\":\"exit 0\",\"asked\":true},"
		     "\"last_failure\":null}]}]}",
			"", false);

	ck_assert_ptr_null(strstr(text, "exit 0"));
}
END_TEST

START_TEST(the_cause_stands_once)
{
	const char *text =
		show("{\"clusters\":[{\"name\":\"w\","
		     "\"trouble\":{\"tries\":9,\"text\":\"not once ready in 9 "
		     "tries; exit 1; no port\"},"
		     "\"failed_restart\":{\"text\":\"last restart failed\"},"
		     "\"workers\":[{\"slot\":0,\"state\":\"backoff\","
		     "\"last_failure\":{\"text\":\"exit 1\",\"after\":0.1,"
		     "\"ago\":2,\"cause\":\"no port\"}},"
		     "{\"slot\":1,\"state\":\"backoff\","
		     "\"last_failure\":{\"text\":\"exit 2\",\"after\":0.1,"
		     "\"ago\":2,\"last_output\":\"no \\u001bdisk\"}}]}]}",
			"", false);

	ck_assert_ptr_nonnull(strstr(text,
		"\n  not once ready in 9 tries; exit 1; no port\n"
		"  last restart failed\n  SLOT"));
	ck_assert_ptr_nonnull(
		strstr(text, "exit 1 after 0.1 s, 2.0 s ago\n     1"));
	ck_assert_ptr_nonnull(strstr(text,
		"exit 2 after 0.1 s, 2.0 s ago\n"
		"        last output: no \\x1bdisk\n"));
}
END_TEST

START_TEST(what_else_is_known_of_a_worker_is_shown)
{
	const char *text =
		show("{\"clusters\":[{\"name\":\"w\",\"generation\":2,"
		     "\"workers\":[{\"slot\":0,\"state\":\"ready\","
		     "\"generation\":2,\"stopped\":true,\"status\":\"warm\","
		     "\"last_exit\":{\"text\":\"exit 0\",\"asked\":true},"
		     "\"last_failure\":{\"text\":\"exit 7\",\"after\":0.5,"
		     "\"ago\":61,\"cause\":\"no disk\"}},"
		     "{\"slot\":1,\"state\":\"failed\",\"generation\":null}],"
		     "\"rollout\":{\"to\":3,\"done\":1,\"of\":2,"
		     "\"going_back\":true}}]}",
			"", false);

	ck_assert_ptr_nonnull(strstr(text, "ready, stopped"));
	ck_assert_ptr_nonnull(
		strstr(text, "exit 7 after 0.5 s, 61 s ago, says 'warm'\n"));
	/* it is ready: its predecessor's trouble is over */
	ck_assert_ptr_null(strstr(text, "no disk"));
	ck_assert_ptr_nonnull(strstr(text, "rolling back from generation 3"));
	/* a slot without a worker is of no other generation */
	ck_assert_ptr_null(strstr(text, "GEN"));
}
END_TEST

START_TEST(colours_wrap_words_and_no_padding)
{
	render.colour = true;
	ck_assert_ptr_nonnull(strstr(show(shop, "web", false),
		"\033[31mdegraded\033[0m, 1 of 2 ready"));
	ck_assert_ptr_nonnull(strstr(
		show(shop, "web", false), "  \033[32mready\033[0m    12 s"));
}
END_TEST

START_TEST(lines_are_cut_at_the_width)
{
	const char *text;

	render.width = 30;
	render.colour = true;
	text = show(shop, "", false);
	for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
		size_t wide = 0;

		for (const char *c = at; *c != '\n'; c++) {
			if (*c == '\033')
				c = strchr(c, 'm');
			else
				wide++;
		}
		ck_assert_uint_le(wide, 30);
	}
	ck_assert_ptr_nonnull(
		strstr(text, "\n  listening on tcp:0.0.0.0:800\n"));
}
END_TEST

START_TEST(nothing_from_the_wire_reaches_the_terminal_raw)
{
	const char *text = show(
		"{\"name\":\"a\\u001b[2J\",\"version\":\"\\u009b1m\","
		"\"clusters\":[{\"name\":\"w\\nx\",\"state\":\"\\u0007\","
		"\"listeners\":[{\"name\":\"\\u001b\",\"address\":\"\\r\"}],"
		"\"workers\":[{\"slot\":0,\"state\":\"\\u001bc\",\"last_exit\":"
		"{\"text\":\"\\u001b]0;x\\u0007\"}}],"
		"\"rollout\":{\"step\":\"\\u001b\"}}]}",
		"", false);

	for (const char *c = text; *c != '\0'; c++)
		ck_assert(*c == '\n' || (unsigned char)*c >= 0x20);
	ck_assert_ptr_null(strstr(text, "\xc2\x9b"));
	ck_assert_ptr_nonnull(strstr(text, "a\\x1b[2J"));
}
END_TEST

START_TEST(missing_and_strange_fields_are_dashes)
{
	static const char *const strange[] = {"{}", "{\"clusters\":7}",
		"{\"clusters\":[7,null,[]]}",
		"{\"clusters\":[{\"workers\":[7,{}],\"listeners\":[7,{}]}]}",
		"{\"name\":7,\"pid\":\"x\",\"uptime\":-1e300}",
		("{\"clusters\":[{\"workers\":[{\"slot\":-1e300,\"uptime\":"
		 "1e300,\"memory_bytes\":1e300,\"next_try\":-5}]}]}")};

	for (size_t i = 0; i < COUNT_OF(strange); i++) {
		ck_assert_ptr_nonnull(show(strange[i], "", false));
		ck_assert_ptr_nonnull(show(strange[i], "web.1", true));
		(void)exit_of(strange[i], "web.1", true);
	}
}
END_TEST

START_TEST(the_exit_status_counts_ready_workers)
{
	static const char format[] =
		"{\"clusters\":[{\"name\":\"a\",\"wanted\":%d,\"ready\":%d},"
		"{\"name\":\"b\",\"wanted\":%d,\"ready\":%d}]}";
	static const struct {
		int wanted[2], ready[2];
		int status;
	} table[] = {
		{{2, 1}, {2, 1}, 0},
		{{2, 1}, {1, 1}, 1},
		{{2, 1}, {0, 1}, 1},
		{{2, 1}, {0, 0}, 2},
		{{0, 0}, {0, 0}, 0}, /* parked: none is wanted */
		{{2, 1}, {3, 0}, 1}, /* a surplus helps no other cluster */
		{{2, 1}, {3, 1}, 0},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		char json[200];

		(void)snprintf(json, sizeof(json), format, table[i].wanted[0],
			table[i].ready[0], table[i].wanted[1],
			table[i].ready[1]);
		ck_assert_int_eq(exit_of(json, "", false), table[i].status);
	}
	ck_assert_int_eq(exit_of("{\"clusters\":[]}", "", false), 0);
}
END_TEST

START_TEST(the_exit_status_is_that_of_the_target)
{
	ck_assert_int_eq(exit_of(shop, "", false), 1);
	ck_assert_int_eq(exit_of(shop, "web", false), 1);
	ck_assert_int_eq(exit_of(shop, "thumbs", false), 0);
	ck_assert_int_eq(exit_of(shop, "web.0", true), 0);
	ck_assert_int_eq(exit_of(shop, "web.1", true), 2);
	ck_assert_int_eq(exit_of(shop, "web.7", true), 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli render");
	TCase *tcase = tcase_create("render");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_status_is_a_table);
	tcase_add_test(tcase, a_cluster_is_shown_alone);
	tcase_add_test(tcase, a_slot_is_shown_alone);
	tcase_add_test(tcase, an_end_that_was_asked_for_is_not_shown);
	tcase_add_test(tcase, the_cause_stands_once);
	tcase_add_test(tcase, what_else_is_known_of_a_worker_is_shown);
	tcase_add_test(tcase, colours_wrap_words_and_no_padding);
	tcase_add_test(tcase, lines_are_cut_at_the_width);
	tcase_add_test(tcase, nothing_from_the_wire_reaches_the_terminal_raw);
	tcase_add_test(tcase, missing_and_strange_fields_are_dashes);
	tcase_add_test(tcase, the_exit_status_counts_ready_workers);
	tcase_add_test(tcase, the_exit_status_is_that_of_the_target);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
