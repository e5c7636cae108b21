/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/scope.h"
#include "base/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#define YEAR_LEAST 1970
#define YEAR_MOST 2200 /* a nsec_t ends in 2262 */

/* Is the text digits where the pattern has '0', and equal elsewhere? */
static bool is_like(const char *text, const char *pattern)
{
	for (; *pattern != '\0'; text++, pattern++)
		if (*pattern == '0' ? !isdigit((unsigned char)*text) : *text != *pattern)
			return false;
	return true;
}

static int two_digits(const char *text)
{
	return (text[0] - '0') * 10 + (text[1] - '0');
}

/* "05:00", "05:00:30": returns how many bytes; 0: no time of day. */
static size_t take_clock(struct tm *tm, const char *text)
{
	size_t len = is_like(text, "00:00:00") ? 8 : is_like(text, "00:00") ? 5 : 0;

	if (len == 0)
		return 0;
	tm->tm_hour = two_digits(text);
	tm->tm_min = two_digits(text + 3);
	tm->tm_sec = len == 8 ? two_digits(text + 6) : 0;
	return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 60 ? len : 0;
}

/* ".25", "Z", "+01:00" after the seconds: *east is the offset, *there whether there
 * was any.  False: neither. */
static bool take_zone(const char *text, long *east, bool *there)
{
	*east = 0;
	if (*text == '.' && isdigit((unsigned char)text[1]))
		for (text++; isdigit((unsigned char)*text); text++)
			;
	*there = *text != '\0';
	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0 || !*there)
		return true;
	if ((*text != '+' && *text != '-') || !is_like(text + 1, "00:00") || text[6] != '\0')
		return false;
	*east = (two_digits(text + 1) * 60L + two_digits(text + 4)) * 60;
	if (*text == '-')
		*east = -*east;
	return true;
}

/* mktime() turns the 30th of February into the 1st of March. */
static bool make_time(time_t *at, struct tm tm, bool utc)
{
	struct tm same = tm;

	same.tm_isdst = -1;
	*at = utc ? timegm(&same) : mktime(&same);
	return *at != -1 && same.tm_mday == tm.tm_mday && same.tm_mon == tm.tm_mon;
}

static bool parse_date(time_t *at, const char *text)
{
	struct tm tm = {0};
	long east = 0;
	bool zone = false;
	size_t len;

	if (!is_like(text, "0000-00-00"))
		return false;
	tm.tm_year = two_digits(text) * 100 + two_digits(text + 2) - 1900;
	tm.tm_mon = two_digits(text + 5) - 1;
	tm.tm_mday = two_digits(text + 8);
	if (tm.tm_year < YEAR_LEAST - 1900 || tm.tm_year > YEAR_MOST - 1900)
		return false;
	text += 10;
	if (*text == 'T' || *text == 't' || *text == ' ') {
		len = take_clock(&tm, ++text);
		if (len == 0 || !take_zone(text + len, &east, &zone))
			return false;
	} else if (*text != '\0') {
		return false;
	}
	if (!make_time(at, tm, zone))
		return false;
	*at -= east;
	return true;
}

/* Today; or yesterday, if that time is still to come. */
static bool parse_clock(time_t *at, const char *text, time_t now)
{
	struct tm tm;
	size_t len;

	if (localtime_r(&now, &tm) == NULL)
		return false;
	len = take_clock(&tm, text);
	if (len == 0 || text[len] != '\0')
		return false;
	tm.tm_isdst = -1;
	*at = mktime(&tm);
	if (*at <= now)
		return *at != -1;
	tm.tm_mday--;
	tm.tm_isdst = -1;
	*at = mktime(&tm);
	return *at != -1;
}

static bool parse_number(nsec_t *at, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (!isdigit((unsigned char)*text) || *end != '\0' ||
		!(seconds < (double)(NSEC_NEVER / SECOND)))
		return false;
	*at = (nsec_t)(seconds * 1000 + 0.5) * MSEC;
	return true;
}

int when_parse(nsec_t *at, const char *text, nsec_t now, struct error *err)
{
	time_t seconds;
	nsec_t ago;

	if (text[0] == '@' && parse_number(at, text + 1))
		return 0;
	if (text_parse_duration(&ago, text)) {
		*at = ago < now ? now - ago : 0;
		return 0;
	}
	if (parse_date(&seconds, text) || parse_clock(&seconds, text, (time_t)(now / SECOND))) {
		*at = seconds > 0 ? (nsec_t)seconds * SECOND : 0;
		return 0;
	}
	return error_fail(err, EX_USAGE,
		"wanted a time such as '10m' (ago), '05:00', '2026-11-22 "
		"05:00', '2026-11-22T05:00:00Z' or '@1795323600', found "
		"'%.64s'",
		text);
}
