/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/http.h"

#include "base/text.h"

/* An answer is the same, in however many pieces it comes. */

#define OK "HTTP/1.1 200 OK\r\n"
#define HEAD_LONG "0123456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *text;
	unsigned status;
	enum httpanswer_state state;
	bool whole; /* if the connection ends then */
	const char *body;
} answers[] = {
	{OK "Content-Length: 3\r\n\r\nabcd", 200, HTTPANSWER_WHOLE, true, "abc"},
	{OK "content-length:3 \n\nab", 200, HTTPANSWER_BODY, false, "ab"},
	{OK "Content-Length: 0\r\n\r\n", 200, HTTPANSWER_WHOLE, true, ""},
	{OK "\r\nab", 200, HTTPANSWER_OPEN_BODY, true, "ab"},
	{OK "Transfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n"
	    "X: y\r\n\r\n",
		200, HTTPANSWER_WHOLE, true, "abcde"},
	{OK "Transfer-Encoding: chunked\r\n\r\n3\r\nab", 200, HTTPANSWER_CHUNK, false, "ab"},
	{OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 200, HTTPANSWER_BAD, false, "abc"},
	{OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", 200, HTTPANSWER_BAD, false, ""},
	{OK "Transfer-Encoding: gzip, chunked\r\n\r\n", 200, HTTPANSWER_BAD, false, ""},
	{OK "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 200, HTTPANSWER_BAD, false, ""},
	{OK "Content-Length: -3\r\n\r\n", 200, HTTPANSWER_BAD, false, ""},
	{OK "Content-Length: 99999999999999999999\r\n\r\n", 200, HTTPANSWER_BAD, false, ""},
	{OK "X: " HEAD_LONG HEAD_LONG HEAD_LONG HEAD_LONG HEAD_LONG
	    "\r\nContent-Length: 1\r\n\r\na",
		200, HTTPANSWER_WHOLE, true, "a"},
	{"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"
	 "HTTP/1.0 404 Not Found\r\nContent-Length: 1\r\n\r\na",
		404, HTTPANSWER_WHOLE, true, "a"},
	{"HTTP/1.1 204 No Content\r\n\r\nabc", 204, HTTPANSWER_WHOLE, true, ""},
	{"HTTP/1.1 101 Switch\r\n\r\n", 101, HTTPANSWER_BAD, false, ""},
	{"SSH-2.0\r\n", 0, HTTPANSWER_BAD, false, ""},
	{"HTTP/1.1 20", 0, HTTPANSWER_STATUS, false, ""},
};

static struct httpanswer h;
static struct buffer body;

static void take(const char *text, size_t len)
{
	enum httpanswer_piece kind;
	const char *piece;
	size_t n;

	while ((kind = httpanswer_next(&h, &text, &len, &piece, &n)) != PIECE_NONE)
		if (kind == PIECE_BODY)
			buffer_append(&body, piece, n);
}

static void expect(size_t i)
{
	ck_assert_msg(h.state == answers[i].state, "%zu: state %d", i, h.state);
	ck_assert_uint_eq(h.status, answers[i].status);
	ck_assert_msg(httpanswer_ended(&h) == answers[i].whole, "%zu", i);
	ck_assert_str_eq(buffer_text(&body), answers[i].body);
	buffer_fini(&body);
}

TEST_LOOP(an_answer_is_read_at_once_and_byte_by_byte, 0, sizeof(answers) / sizeof(*answers))
{
	const char *text = answers[_i].text;

	httpanswer_init(&h, false);
	take(text, strlen(text));
	expect((size_t)_i);
	httpanswer_init(&h, false);
	for (const char *at = text; *at != '\0'; at++)
		take(at, 1);
	expect((size_t)_i);
}

TEST(an_answer_to_head_has_no_body)
{
	static const char text[] = OK "Content-Length: 3\r\n\r\n";

	httpanswer_init(&h, true);
	take(text, strlen(text));
	ck_assert_int_eq(h.state, HTTPANSWER_WHOLE);
	ck_assert_str_eq(h.first, "HTTP/1.1 200 OK");
}

TEST(a_head_without_end_is_given_up)
{
	static const char line[] = "X: " HEAD_LONG "\r\n";

	httpanswer_init(&h, false);
	take(OK, strlen(OK));
	for (size_t i = 0; i < HTTPANSWER_HEAD_MAX / strlen(line) + 1; i++)
		take(line, strlen(line));
	ck_assert_int_eq(h.state, HTTPANSWER_BAD);
}
