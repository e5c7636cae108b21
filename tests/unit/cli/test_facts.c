/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

#include "cli/facts.h"
#include "cli/output.h"

#include <jansson.h>

static struct buffer out;
static struct facts facts;

static void setup(void)
{
	buffer_init(&out, 0);
	facts.count = 0;
}

static void teardown(void)
{
	buffer_fini(&out);
}

FIXTURE(setup, teardown)

TEST(facts_are_aligned_lines)
{
	facts_add(&facts, FACT_OK, "ports", "", "any");
	facts_add(&facts, FACT_WARN, "runtime directory", "set it", "%s", "/nowhere");
	facts_format(&facts, 0, &out, 0, false);
	ck_assert_str_eq(buffer_text(&out),
		"ok    ports              any\n"
		"warn  runtime directory  /nowhere; set it\n");
}

TEST(long_ones_are_broken_under_themselves)
{
	facts_add(&facts, FACT_NOTE, "ports", "ask somebody for it", "from 1024 on");
	facts_format(&facts, 0, &out, 48, false);
	ck_assert_str_eq(buffer_text(&out),
		"note  ports              from 1024 on; ask\n"
		"                         somebody for it\n");
}

TEST(what_others_wrote_is_escaped)
{
	facts_add(&facts, FACT_NOTE, "NOTIFY_SOCKET", "", "%s", "\033[2J");
	ck_assert_str_eq(facts.list[0].found, "\\x1b[2J");
}

TEST(one_bad_fact_is_enough)
{
	facts_add(&facts, FACT_WARN, "a", "", "x");
	ck_assert(!facts_bad(&facts));
	facts_add(&facts, FACT_BAD, "b", "", "y");
	facts_add(&facts, FACT_OK, "c", "", "z");
	ck_assert(facts_bad(&facts));
}

TEST(as_json_each_is_an_object)
{
	facts_add(&facts, FACT_BAD, "user", "no", "uid %d", 7);
	facts_encode(&facts, &out);
	ck_assert_str_eq(buffer_text(&out),
		"{\"ok\":false,\"facts\":[{\"name\":\"user\",\"mark\":\"bad\","
		"\"found\":\"uid 7\",\"does\":\"no\"}]}");
}

/* Every fact of this machine, whatever it is, has a name and says something;
 * all fit into the list. */
TEST(this_machine_can_be_looked_at)
{
	json_t *read;

	facts_kernel(&facts);
	facts_resources(&facts);
	facts_privileges(&facts);
	facts_intercept(&facts);
	facts_place(&facts, "/nonexistent/place");
	ck_assert_uint_lt(facts.count, FACTS_MAX - 5);
	for (size_t i = 0; i < facts.count; i++) {
		ck_assert_uint_gt(strlen(facts.list[i].name), 0);
		ck_assert_uint_le(strlen(facts.list[i].name), 18);
		ck_assert_uint_gt(strlen(facts.list[i].found), 0);
	}
	ck_assert(facts_bad(&facts)); /* that place cannot be made */
	facts_encode(&facts, &out);
	read = json_loadb(out.data, out.len, 0, NULL);
	ck_assert_ptr_nonnull(read);
	json_decref(read);
}

TEST(filled_text_keeps_every_word)
{
	output_fill(&out, "one two  three", 0, 2, 8);
	ck_assert_str_eq(buffer_text(&out), "one two\n  three\n");
	buffer_clear(&out);
	output_fill(&out, "unbreakable words", 4, 4, 8);
	ck_assert_str_eq(buffer_text(&out), "unbreakable\n    words\n");
	buffer_clear(&out);
	output_fill(&out, "", 0, 0, 8);
	ck_assert_str_eq(buffer_text(&out), "\n");
}
