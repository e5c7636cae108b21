/* SPDX-License-Identifier: MIT */
#include "../quoted.h"

#include "protocol/natswire.h"

/* What nclust says to others through a broker, and what others may say. */

#define ID "0123456789abcdef"
#define OTHER "{'nclust':1,'id':'fedcba9876543210',"
#define FROM "'from':{'cluster':'web','slot':7,'host':'a-1.b_c'},"
#define GOOD OTHER FROM "'message':{'a':[1,2]}}"

static const char *from;
static unsigned format;

/* From memory of its own size, so that what is read beside it is found. */
static enum natswire_kind read_it(const char *text, size_t len)
{
	static char *copy;

	free(copy);
	copy = malloc(len > 0 ? len : 1);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, quoted(text), len);
	format = 0;
	return natswire_read(copy, len, "web", ID, &from, &format);
}

TEST(a_message_of_another_is_taken)
{
	ck_assert_int_eq(read_it(GOOD, strlen(GOOD)), NATSWIRE_MESSAGE);
	ck_assert_int_eq(
		strncmp(from, quoted(FROM "'message':{'a':[1,2]}}"), strlen(GOOD) - strlen(OTHER)),
		0);
}

TEST(no_part_of_a_message_is_one)
{
	for (size_t len = 0; len < strlen(GOOD); len++)
		ck_assert_int_eq(read_it(GOOD, len), NATSWIRE_NONSENSE);
}

TEST(what_is_written_is_its_own)
{
	struct buffer text;

	buffer_init(&text, 0);
	natswire_head(&text, ID);
	ck_assert_int_eq(buffer_string(&text, quoted(FROM "'message':1}")), 0);
	ck_assert_int_eq(read_it(buffer_text(&text), text.len), NATSWIRE_OWN);
	ck_assert_int_eq(
		natswire_read(text.data, text.len, "web", "fedcba9876543210", &from, &format),
		NATSWIRE_MESSAGE);
	buffer_fini(&text);
}

TEST(formats_are_compared_both_ways)
{
	static const char older[] = "{'nclust':0,'who':'x'}";
	static const char newer[] = "{'nclust':12}";

	ck_assert_int_eq(read_it(older, strlen(older)), NATSWIRE_OTHER);
	ck_assert_uint_eq(format, 0);
	ck_assert_int_eq(read_it(newer, strlen(newer)), NATSWIRE_OTHER);
	ck_assert_uint_eq(format, 12);
}

static const char *const bad[] = {"[]", "{'nclust':}", "{'nclust':1}", "{'nclust':-1,",
	"{'nclust':99999999,'id':'a'}", "{'nclust': 1,'id':'fedcba9876543210'," FROM "'message':1}",
	"{'nclust':1,'id':'a\\'b'," FROM "'message':1}",
	"{'nclust':1,'id':'fedcba98765432100'," FROM "'message':1}",
	/* a worker of Node must not take it for something else */
	OTHER FROM "'message':1,'cmd':'NODE_CLUSTER'}",
	OTHER FROM "'cmd':'NODE_CLUSTER','message':1}", OTHER FROM "'message':}",
	OTHER FROM "'message':1}}", OTHER FROM "'message':nul}",
	OTHER "'from':{'cluster':'job','slot':7,'host':'a'},"
	      "'message':1}",
	OTHER "'from':{'cluster':'web','slot':07,'host':'a'},"
	      "'message':1}",
	OTHER "'from':{'cluster':'web','slot':-7,'host':'a'},"
	      "'message':1}",
	OTHER "'from':{'cluster':'web','slot':7,'host':'a\x1b[m'},"
	      "'message':1}",
	OTHER "'from':{'cluster':'web','slot':7,'host':''},'message':1}"};

TEST_LOOP(nonsense_is_seen, 0, (int)(sizeof(bad) / sizeof(*bad)))
{
	ck_assert_msg(read_it(bad[_i], strlen(bad[_i])) == NATSWIRE_NONSENSE, "%s", bad[_i]);
}

TEST(any_host_has_a_name_without_escapes)
{
	char host[NATSWIRE_HOST] = "a\"b\\c\xff.d";

	natswire_host(host);
	ck_assert_str_eq(host, "a-b-c-.d");
}
