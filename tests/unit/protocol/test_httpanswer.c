/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/http.h"

/* An answer is the same, in however many pieces it comes. */

#define OK "HTTP/1.1 200 OK\r\n"
#define HEAD_LONG "0123456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *text;
	unsigned status;
	enum httpanswer_state state;
	bool whole; /* if the connection ends then */
} answers[] = {
	{OK "Content-Length: 3\r\n\r\nabcd", 200, HTTPANSWER_WHOLE, true},
	{OK "content-length:3 \n\nab", 200, HTTPANSWER_BODY, false},
	{OK "Content-Length: 0\r\n\r\n", 200, HTTPANSWER_WHOLE, true},
	{OK "\r\nab", 200, HTTPANSWER_OPEN_BODY, true},
	{OK "Transfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n"
	    "X: y\r\n\r\n",
		200, HTTPANSWER_WHOLE, true},
	{OK "Transfer-Encoding: chunked\r\n\r\n3\r\nab", 200, HTTPANSWER_CHUNK, false},
	{OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 200, HTTPANSWER_BAD, false},
	{OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", 200, HTTPANSWER_BAD, false},
	{OK "Transfer-Encoding: gzip, chunked\r\n\r\n", 200, HTTPANSWER_BAD, false},
	{OK "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 200, HTTPANSWER_BAD, false},
	{OK "Content-Length: -3\r\n\r\n", 200, HTTPANSWER_BAD, false},
	{OK "Content-Length: 99999999999999999999\r\n\r\n", 200, HTTPANSWER_BAD, false},
	{OK "X: " HEAD_LONG HEAD_LONG HEAD_LONG HEAD_LONG HEAD_LONG
	    "\r\nContent-Length: 1\r\n\r\na",
		200, HTTPANSWER_WHOLE, true},
	{"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"
	 "HTTP/1.0 404 Not Found\r\nContent-Length: 1\r\n\r\na",
		404, HTTPANSWER_WHOLE, true},
	{"HTTP/1.1 204 No Content\r\n\r\nabc", 204, HTTPANSWER_WHOLE, true},
	{"HTTP/1.1 101 Switch\r\n\r\n", 101, HTTPANSWER_BAD, false},
	{"SSH-2.0-x", 0, HTTPANSWER_BAD, false}, /* before its line is complete */
	{"", 0, HTTPANSWER_STATUS, false},
	{"HTTP/1.", 0, HTTPANSWER_STATUS, false},
	{"HTTP/1.1 200", 0, HTTPANSWER_STATUS, false}, /* 2000 might come */
	{"HTTP/1.1 2000\r\n", 0, HTTPANSWER_BAD, false},
	{"HTTP/1.1 200\r\n", 200, HTTPANSWER_FIELDS, false},
	{"HTTP/1.1 200 \n", 200, HTTPANSWER_FIELDS, false},
	{"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", 302, HTTPANSWER_OPEN_BODY, true},
	{"HTTP/1.1 503 \xe9\r\n", 503, HTTPANSWER_FIELDS, false},
	{"HTTP/1.1 099 \r\n", 0, HTTPANSWER_BAD, false},
	{"HTTP/1.1 99 \r\n", 0, HTTPANSWER_BAD, false},
	{"HTTP/1.1 600 \r\n", 0, HTTPANSWER_BAD, false},
	{"HTTP/2 200 \r\n", 0, HTTPANSWER_BAD, false},
	{"HTTP/1.1 20\n", 0, HTTPANSWER_BAD, false},
	{"HTTP/1.1 100 Continue\r\n", 100, HTTPANSWER_FIELDS, false},
	{"HTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 204 \r\n", 204, HTTPANSWER_FIELDS, false},
	{"HTTP/1.1 100 x\n\nHTTP/1.1 100 x\n\nHTTP/1.1 500 x\n", 500, HTTPANSWER_FIELDS, false},
};

static struct httpanswer h;

TEST_LOOP(an_answer_is_read_in_pieces_of_any_size, 0, sizeof(answers) / sizeof(*answers))
{
	const char *text = answers[_i].text;
	size_t len = strlen(text);

	for (size_t size = 1; size <= len + 1; size++) {
		httpanswer_init(&h, false);
		for (size_t at = 0; at < len; at += size)
			httpanswer_take(&h, text + at, len - at < size ? len - at : size);
		ck_assert_msg(h.state == answers[_i].state, "by %zu: state %d", size, h.state);
		ck_assert_uint_eq(h.status, answers[_i].status);
		ck_assert_int_eq(httpanswer_ended(&h), answers[_i].whole);
	}
}

TEST(an_answer_to_head_has_no_body)
{
	static const char text[] = OK "Content-Length: 3\r\n\r\n";

	httpanswer_init(&h, true);
	httpanswer_take(&h, text, strlen(text));
	ck_assert_int_eq(h.state, HTTPANSWER_WHOLE);
}

TEST(a_head_without_end_is_given_up)
{
	static const char line[] = "X: " HEAD_LONG "\r\n";

	httpanswer_init(&h, false);
	httpanswer_take(&h, OK, strlen(OK));
	for (size_t i = 0; i < HTTPANSWER_HEAD_MAX / strlen(line) + 1; i++)
		httpanswer_take(&h, line, strlen(line));
	ck_assert_int_eq(h.state, HTTPANSWER_BAD);
}
