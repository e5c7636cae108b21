/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"
#include "base/text.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>

static const struct {
	nsec_t age;
	const char *text;
} ages[] = {
	{-1, "0.0 s"},
	{0, "0.0 s"},
	{49 * MSEC, "0.0 s"},
	{50 * MSEC, "0.1 s"},
	{1234 * MSEC, "1.2 s"},
	{9949 * MSEC, "9.9 s"},
	{9950 * MSEC, "10 s"},
	{179 * SECOND, "179 s"},
	{180 * SECOND, "3 min"},
	{629 * SECOND, "10 min"},
	{179 * MINUTE, "179 min"},
	{180 * MINUTE, "3 h"},
	{71 * HOUR, "71 h"},
	{72 * HOUR, "3 d"},
	{NSEC_NEVER, "106751 d"},
};

START_TEST(an_age_has_two_or_three_digits)
{
	char text[16];

	ck_assert_str_eq(text_age(text, ages[_i].age), ages[_i].text);
}
END_TEST

static const struct {
	uint64_t n;
	unsigned base;
	const char *text;
} numbers[] = {
	{0, 10, "0"},
	{0, 16, "0"},
	{7, 10, "7"},
	{1234567890, 10, "1234567890"},
	{0xbeef, 16, "beef"},
	{UINT64_MAX, 10, "18446744073709551615"},
	{UINT64_MAX, 16, "ffffffffffffffff"},
};

START_TEST(a_number_has_its_digits)
{
	struct buffer out;

	buffer_init(&out, 0);
	ck_assert_int_eq(
		buffer_number(&out, numbers[_i].n, numbers[_i].base), 0);
	ck_assert_str_eq(buffer_text(&out), numbers[_i].text);
	buffer_fini(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("text");
	TCase *tc = tcase_create("text");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, an_age_has_two_or_three_digits, 0,
		(int)(sizeof(ages) / sizeof(*ages)));
	tcase_add_loop_test(tc, a_number_has_its_digits, 0,
		(int)(sizeof(numbers) / sizeof(*numbers)));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
