/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

#include "cli/doctor.h"
#include "cli/wrap.h"

#include <jansson.h>

static struct buffer out;
static json_t *facts;

static void setup(void)
{
	buffer_init(&out, 0);
	facts = json_array();
}

static void teardown(void)
{
	buffer_fini(&out);
	json_decref(facts);
}

static const char *member(size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(facts, i), key));
}

static const char *shown(size_t width)
{
	struct wrap lines;

	wrap_init(&lines, &out, width, false);
	facts_put(facts, 0, &lines);
	wrap_fini(&lines);
	return buffer_text(&out);
}

FIXTURE(setup, teardown)

TEST(facts_are_aligned_lines)
{
	facts_add(facts, FACT_OK, "ports", "", "any");
	facts_add(facts, FACT_WARN, "runtime directory", "set it", "%s", "/nowhere");
	ck_assert_str_eq(shown(0),
		"ok    ports              any\n"
		"warn  runtime directory  /nowhere; set it\n");
}

TEST(long_ones_are_broken_under_themselves)
{
	facts_add(facts, FACT_NOTE, "ports", "ask somebody for it", "from 1024 on");
	ck_assert_str_eq(shown(48),
		"note  ports              from 1024 on; ask\n"
		"                         somebody for it\n");
}

TEST(what_others_wrote_is_escaped)
{
	facts_add(facts, FACT_NOTE, "NOTIFY_SOCKET", "", "%s", "\033[2J");
	ck_assert_str_eq(member(0, "found"), "\\x1b[2J");
}

TEST(one_bad_fact_is_enough)
{
	facts_add(facts, FACT_WARN, "a", "", "x");
	ck_assert(!facts_bad(facts));
	facts_add(facts, FACT_BAD, "b", "", "y");
	facts_add(facts, FACT_OK, "c", "", "z");
	ck_assert(facts_bad(facts));
}

/* Every fact of this machine, whatever it is, has a name and says something. */
NATIVE_TEST(this_machine_can_be_looked_at)
{
	facts_machine(facts, "/nonexistent/place");
	for (size_t i = 0; i < json_array_size(facts); i++) {
		ck_assert_uint_gt(strlen(member(i, "name")), 0);
		ck_assert_uint_le(strlen(member(i, "name")), 18);
		ck_assert_uint_gt(strlen(member(i, "found")), 0);
	}
	ck_assert(facts_bad(facts)); /* that place cannot be made */
}

/* What is said of a kernel of this release: names, or "". */
static const char *lacks_of(const char *release)
{
	buffer_clear(&out);
	json_array_clear(facts);
	facts_kernel(facts, release);
	for (size_t i = 0; i < json_array_size(facts); i++)
		buffer_printf(&out, "%s%s", i == 0 ? "" : ", ", member(i, "name"));
	return buffer_text(&out);
}

TEST(an_older_kernel_is_told_what_it_lacks)
{
	const char newer[] = "taken-over threads, taken-over workers";

	ck_assert_str_eq(lacks_of("5.10.0-46-cloud-amd64"),
		"balance = rr, waiting clients, network namespaces, bind and signals, "
		"taken-over threads, taken-over workers");
	ck_assert_str_eq(member(1, "found"), "before Linux 5.14");
	ck_assert_str_eq(member(1, "mark"), "note");
	ck_assert_str_eq(lacks_of("5.19.17"), newer);
	ck_assert_str_eq(lacks_of("6.1.0-50-cloud-amd64"), newer);
	ck_assert_str_eq(lacks_of("6.12.94+deb13-amd64"), "taken-over workers");
	ck_assert_str_eq(lacks_of("6.15"), "");
	ck_assert_str_eq(lacks_of("7.0-rc1"), "");
}
