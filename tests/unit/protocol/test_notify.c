/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/notify.h"

#include <stdio.h>

static struct notify_message m;

static int decode(const char *text)
{
	return notify_decode(&m, text, strlen(text));
}

static const struct {
	const char *text;
	const char *means;
} messages[] = {
	{"READY=1\nRELOADING=1\nSTOPPING=1\nWATCHDOG=1\nBARRIER=1\n"
	 "STATUS=warming "
	 "up\nERRNO=2\nEXTEND_TIMEOUT_USEC=5000000\nMAINPID=77\n",
		"ready reloading stopping watchdog status=warming up errno=2 "
		"extend=5000000000"},
	{"WATCHDOG=trigger\nWATCHDOG_USEC=2000000", "trigger watchdog_time=2000000000"},
	{"WATCHDOG=Trigger\nWATCHDOG_USEC=0", ""},
	/* the last newline may be missing */
	{"STATUS=\nREADY=1", "ready status="},
	/* of equal keys the last counts */
	{"STATUS=a\nREADY=1\nSTATUS=b\nREADY=0\n", "status=b"},
	/* unknown keys, and lines without one */
	{"X_FOO=1\n\nnonsense\n=\n=1\nREADYX=1\nREAD=1\n READY=1\nready=1\n", ""},
	/* a status is made harmless */
	{"STATUS=\x1b[31m\xff\tx\xc2\x9b", "status=\\x1b[31m\\xff x\\xc2\\x9b"},
	/* an endless extension does not overflow */
	{"EXTEND_TIMEOUT_USEC=18446744073709551615", "extend=9223372036854775807"},
	{"EXTEND_TIMEOUT_USEC=9223372036854775", "extend=9223372036854775000"},
	{"EXTEND_TIMEOUT_USEC=9223372036854776", "extend=9223372036854775807"},
};

static const char *meaning(void)
{
	static char text[400];
	FILE *out = fmemopen(text, sizeof(text), "w");

	*text = '\0'; /* for when nothing is written */
	fprintf(out, "%s%s%s%s%s", m.ready ? " ready" : "", m.reloading ? " reloading" : "",
		m.stopping ? " stopping" : "", m.watchdog ? " watchdog" : "",
		m.trigger ? " trigger" : "");
	if (m.has_watchdog_time)
		fprintf(out, " watchdog_time=%lld", (long long)m.watchdog_time);
	if (m.has_status)
		fprintf(out, " status=%s", m.status);
	if (m.has_errno)
		fprintf(out, " errno=%d", m.error);
	if (m.has_extend)
		fprintf(out, " extend=%lld", (long long)m.extend);
	(void)fclose(out);
	return *text == ' ' ? text + 1 : "";
}

TEST_LOOP(keys_are_read, 0, (int)COUNT_OF(messages))
{
	ck_assert_int_eq(decode(messages[_i].text), 0);
	ck_assert_str_eq(meaning(), messages[_i].means);
}

static const char *const garbage[] = {"READY=", "READY=yes", "READY=11", "READY=1 ", "READY= 1",
	"READY", "ERRNO=", "ERRNO=-1", "ERRNO=4096", "ERRNO=2x", "ERRNO= 2", "ERRNO=+2",
	"ERRNO=0x2", "ERRNO=99999999999999999999999", "EXTEND_TIMEOUT_USEC=-1",
	"EXTEND_TIMEOUT_USEC=", "EXTEND_TIMEOUT_USEC=1s",
	"EXTEND_TIMEOUT_USEC=18446744073709551616"};

TEST_LOOP(values_that_are_none_are_ignored, 0, (int)(sizeof(garbage) / sizeof(garbage[0])))
{
	ck_assert_int_eq(decode(garbage[_i]), 0);
	ck_assert_msg(!m.ready && !m.has_errno && !m.has_extend, "%s", garbage[_i]);
}

TEST(what_is_no_message_is_refused_whole)
{
	char big[NOTIFY_MAX + 2];

	ck_assert_int_eq(notify_decode(&m, "READY=1", 8), 0); /* a NUL ends it */
	ck_assert(m.ready);
	ck_assert_int_eq(notify_decode(&m, "", 0), -1);
	ck_assert_int_eq(notify_decode(&m, "", 1), -1);
	ck_assert_int_eq(notify_decode(&m, "READY=1\n\0X=1", 12), -1);
	ck_assert(!m.ready);
	memset(big, '\n', sizeof(big));
	memcpy(big, "READY=1\n", 8);
	ck_assert_int_eq(notify_decode(&m, big, NOTIFY_MAX), 0);
	ck_assert(m.ready);
	ck_assert_int_eq(notify_decode(&m, big, NOTIFY_MAX + 1), -1);
	ck_assert(!m.ready);
}

TEST(a_long_status_is_cut_between_characters)
{
	char text[600] = "STATUS=";

	for (int i = 0; i < 200; i++)
		strcat(text, "\xc3\xbc");
	ck_assert_int_eq(decode(text), 0);
	ck_assert_uint_eq(strlen(m.status), 254);
	ck_assert_int_eq(strncmp(m.status, text + 7, 254), 0);
}

TEST(what_is_written_can_be_read)
{
	struct notify_message from = {.ready = true,
		.reloading = true,
		.stopping = true,
		.watchdog = true,
		.has_status = true,
		.status = "2 of 2 ready"};
	char text[512];
	size_t len = notify_encode(text, sizeof(text), &from, 42 * USEC);

	ck_assert_uint_gt(len, 0);
	ck_assert_ptr_nonnull(strstr(text, "\nMONOTONIC_USEC=42\n"));
	ck_assert_int_eq(notify_decode(&m, text, len), 0);
	ck_assert(m.ready && m.reloading && m.stopping && m.watchdog);
	ck_assert_str_eq(m.status, from.status);
}

TEST(a_status_cannot_smuggle_a_key)
{
	struct notify_message from = {.has_status = true, .status = "a\nREADY=1"};
	char text[512];
	size_t len = notify_encode(text, sizeof(text), &from, 0);

	ck_assert_int_eq(notify_decode(&m, text, len), 0);
	ck_assert(!m.ready);
}

TEST(what_does_not_fit_is_not_written)
{
	struct notify_message from = {.ready = true, .stopping = true};
	char text[20];

	ck_assert_uint_eq(notify_encode(text, 19, &from, 0), 0);
	ck_assert_uint_eq(notify_encode(text, 20, &from, 0), 19);
}
