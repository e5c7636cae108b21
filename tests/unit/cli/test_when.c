/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "cli/verb.h"

#include <time.h>

/* Sunday, 22 November 2026, 05:54:21 in Berlin. */
#define NOW (1795323261 * SECOND)

static nsec_t at;
static struct error err;

static void begin(void)
{
	ck_assert_int_eq(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
	tzset();
}

static const struct {
	const char *text;
	long long seconds;
} moments[] = {
	{"90s", 1795323261 - 90}, {"10m", 1795323261 - 600}, {"2h", 1795323261 - 7200},
	{"0", 1795323261}, {"999999h", 0}, {"@0", 0}, {"@1795323600", 1795323600},
	{"05:54", 1795323240}, {"05:54:21", 1795323261},
	{"05:55", 1795323300 - 86400}, /* yesterday */
	{"00:00", 1795302000}, {"2026-11-22", 1795302000}, {"2026-11-22 05:00", 1795320000},
	{"2026-11-22 05:00:07", 1795320007}, {"2026-11-22T05:00:07", 1795320007},
	{"2026-11-22T05:00:07.25", 1795320007}, {"2026-11-22T05:00:07Z", 1795323607},
	{"2026-11-22T05:00:07.123z", 1795323607}, {"2026-11-22T05:00:07+01:00", 1795320007},
	{"2026-11-22 05:00-03:30", 1795336200}, {"2026-07-01 12:00", 1782900000}, /* summer */
	{"2024-02-29", 1709161200}, {"1970-01-01 00:00", 0}, /* before 1970 there is nothing */
};

FIXTURE(begin, NULL)

TEST_LOOP(a_moment_is_written_in_many_ways, 0, COUNT_OF(moments))
{
	ck_assert_msg(when_parse(&at, moments[_i].text, NOW, &err) == 0, "'%s': %s",
		moments[_i].text, err.text);
	ck_assert_msg(at / SECOND == moments[_i].seconds, "'%s': %lld", moments[_i].text,
		(long long)(at / SECOND));
}

/* As a program writes a sum: 1795384728.008 + 0.001. */
TEST(a_moment_is_rounded_to_milliseconds)
{
	ck_assert_int_eq(when_parse(&at, "@1795384728.0089998", NOW, &err), 0);
	ck_assert_int_eq(at / MSEC, 1795384728009);
}

static const char *const none[] = {"", " ", "10", "-5m", "5 w", "soon", "@", "@-1", "@x", "@1x",
	"@nan", "@inf", "@1e30", "24:00", "05:60", "5:00", "05:00:61", "05:00Z", "2026-11-22 ",
	"2026-11-22x", "2026-11-22 5:00", "2026-11-22 05:00 ", "2026-02-30", "2026-13-01",
	"2026-00-01", "2026-11-00", "1969-12-31", "9999-01-01", "2026-11-22T05:00:00+1",
	"2026-11-22T05:00:00+01:00x", "2026-11-22T05:00:00.Z"};

TEST_LOOP(what_is_no_moment_is_told, 0, COUNT_OF(none))
{
	ck_assert_msg(when_parse(&at, none[_i], NOW, &err) == -1, "'%s' was taken", none[_i]);
	ck_assert_int_eq(err.status, 64);
}
