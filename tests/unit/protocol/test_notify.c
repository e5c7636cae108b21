/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/notify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct notify_message m;

static int decode(const char *text)
{
	return notify_decode(&m, text, strlen(text));
}

TEST(all_keys_are_read)
{
	ck_assert_int_eq(decode("READY=1\nRELOADING=1\nSTOPPING=1\nWATCHDOG=1\n"
				"BARRIER=1\nSTATUS=warming up\nERRNO=2\n"
				"EXTEND_TIMEOUT_USEC=5000000\nMAINPID=77\n"),
		0);
	ck_assert(m.ready && m.reloading && m.stopping && m.watchdog);
	ck_assert(m.has_status && m.has_errno && m.has_extend);
	ck_assert_str_eq(m.status, "warming up");
	ck_assert_int_eq(m.error, 2);
	ck_assert_int_eq(m.extend, 5 * SECOND);
}

TEST(a_watchdog_may_be_triggered_or_told_another_time)
{
	ck_assert_int_eq(decode("WATCHDOG=trigger\nWATCHDOG_USEC=2000000"), 0);
	ck_assert(m.trigger && !m.watchdog && m.has_watchdog_time);
	ck_assert_int_eq(m.watchdog_time, 2 * SECOND);
	ck_assert_int_eq(decode("WATCHDOG=Trigger\nWATCHDOG_USEC=0"), 0);
	ck_assert(!m.trigger && !m.has_watchdog_time);
}

TEST(the_last_newline_may_be_missing_and_a_nul_may_end_it)
{
	ck_assert_int_eq(decode("STATUS=\nREADY=1"), 0);
	ck_assert(m.ready && m.has_status);
	ck_assert_str_eq(m.status, "");
	ck_assert_int_eq(notify_decode(&m, "READY=1", 8), 0);
	ck_assert(m.ready);
}

TEST(of_equal_keys_the_last_counts)
{
	ck_assert_int_eq(decode("STATUS=a\nREADY=1\nSTATUS=b\nREADY=0\n"), 0);
	ck_assert_str_eq(m.status, "b");
	ck_assert(!m.ready);
}

TEST(unknown_keys_and_lines_without_a_key_are_ignored)
{
	ck_assert_int_eq(decode("X_FOO=1\n\nnonsense\n=\n=1\nREADYX=1\n"
				"READ=1\n READY=1\nready=1\n"),
		0);
	ck_assert(!m.ready && !m.has_status);
}

static const char *const garbage[] = {"READY=", "READY=yes", "READY=11",
	"READY=1 ", "READY= 1", "READY", "ERRNO=", "ERRNO=-1", "ERRNO=4096",
	"ERRNO=2x", "ERRNO= 2", "ERRNO=+2", "ERRNO=0x2",
	"ERRNO=99999999999999999999999", "EXTEND_TIMEOUT_USEC=-1",
	"EXTEND_TIMEOUT_USEC=", "EXTEND_TIMEOUT_USEC=1s",
	"EXTEND_TIMEOUT_USEC=18446744073709551616"};

TEST_LOOP(values_that_are_none_are_ignored, 0,
	(int)(sizeof(garbage) / sizeof(garbage[0])))
{
	ck_assert_int_eq(decode(garbage[_i]), 0);
	ck_assert_msg(
		!m.ready && !m.has_errno && !m.has_extend, "%s", garbage[_i]);
}

TEST(an_endless_extension_does_not_overflow)
{
	ck_assert_int_eq(decode("EXTEND_TIMEOUT_USEC=18446744073709551615"), 0);
	ck_assert(m.has_extend);
	ck_assert_int_eq(m.extend, NSEC_NEVER);
	ck_assert_int_eq(decode("EXTEND_TIMEOUT_USEC=9223372036854775"), 0);
	ck_assert_int_eq(m.extend, INT64_C(9223372036854775000));
	ck_assert_int_eq(decode("EXTEND_TIMEOUT_USEC=9223372036854776"), 0);
	ck_assert_int_eq(m.extend, NSEC_NEVER);
}

TEST(what_is_no_message_is_refused_whole)
{
	char big[NOTIFY_MAX + 2];

	ck_assert_int_eq(notify_decode(&m, "", 0), -1);
	ck_assert_int_eq(notify_decode(&m, "", 1), -1);
	ck_assert_int_eq(notify_decode(&m, "READY=1\n\0X=1", 12), -1);
	ck_assert(!m.ready);
	(void)memset(big, '\n', sizeof(big));
	(void)memcpy(big, "READY=1\n", 8);
	ck_assert_int_eq(notify_decode(&m, big, NOTIFY_MAX), 0);
	ck_assert(m.ready);
	ck_assert_int_eq(notify_decode(&m, big, NOTIFY_MAX + 1), -1);
	ck_assert(!m.ready);
}

TEST(a_status_is_made_harmless)
{
	ck_assert_int_eq(decode("STATUS=\x1b[31m\xff\tx\xc2\x9b"), 0);
	ck_assert_str_eq(m.status, "\\x1b[31m\\xff x\\xc2\\x9b");
}

TEST(a_long_status_is_cut_between_characters)
{
	char text[600] = "STATUS=";

	for (int i = 0; i < 200; i++)
		(void)strcat(text, "\xc3\xbc");
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
	struct notify_message from = {
		.has_status = true, .status = "a\nREADY=1"};
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
