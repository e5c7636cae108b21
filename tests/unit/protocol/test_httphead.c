/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/httphead.h"

#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: a\r\n"
#define POST "POST /a?b=c HTTP/1.1\r\n" HOST
#define END "\r\n"

/* ---- requests ---- */

static const struct {
	const char *text;
	enum httphead_verdict verdict;
	bool handed_on; /* if nothing follows */
} requests[] = {
	{GET HOST END, HTTPHEAD_OK, true},
	{"OPTIONS * HTTP/1.1\r\nhost:a\r\n" END, HTTPHEAD_OK, true},
	{"M-SEARCH http://a/ HTTP/1.1\r\n" HOST END, HTTPHEAD_OK, true},
	{GET HOST "X:\r\nY: \t a b \xc3\xa4\t \r\n" END, HTTPHEAD_OK, true},
	{POST "Content-Length: 5 \r\n" END "abcde", HTTPHEAD_OK, true},
	{POST "Content-Length: 0\r\n" END, HTTPHEAD_OK, true},
	{GET HOST "Authorization: Basic abc\r\n" END, HTTPHEAD_OK, true},
	{GET HOST "Connection: keep-alive, TE\r\nTE: trailers\r\n" END, HTTPHEAD_OK, true},
	/* not whole, or more than one */
	{POST "Content-Length: 5\r\n" END "abcd", HTTPHEAD_OK, false},
	{POST "Content-Length: 5\r\n" END "abcdef", HTTPHEAD_OK, false},
	{GET HOST END GET HOST END, HTTPHEAD_OK, false},
	{GET HOST END "\n", HTTPHEAD_OK, false},
	/* of the connection, or in pieces */
	{POST "Transfer-Encoding: chunked\r\n" END, HTTPHEAD_OK, false},
	{POST "transfer-encoding:chunked\r\n" END, HTTPHEAD_OK, false},
	{POST "Expect: 100-continue\r\nContent-Length: 0\r\n" END, HTTPHEAD_OK, false},
	{GET HOST "Upgrade: websocket\r\n" END, HTTPHEAD_OK, false},
	{GET HOST "Connection: close ,uPgrade\r\n" END, HTTPHEAD_OK, false},
	{GET HOST "Authorization: NTLM abc\r\n" END, HTTPHEAD_OK, false},
	{GET HOST "Authorization: negotiate\r\n" END, HTTPHEAD_OK, false},
	{GET HOST "Proxy-Authorization: Negotiate abc\r\n" END, HTTPHEAD_OK, false},
	{"CONNECT a:1 HTTP/1.1\r\n" HOST END, HTTPHEAD_OK, false},
	/* the line of the request */
	{END GET HOST END, HTTPHEAD_BAD, false},
	{"GET  / HTTP/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET /  HTTP/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET / a HTTP/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET\t/ HTTP/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{" GET / HTTP/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET HTTP/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET  HTTP/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET / HTTP/1.1 \r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET / HTTP/1.0\r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET / HTTP/2.0\r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET / http/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{"G(T / HTTP/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET /\x7f HTTP/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{"GET /\xc3\xa4 HTTP/1.1\r\n" HOST END, HTTPHEAD_BAD, false},
	{"\x16\x03\x01\x02\n", HTTPHEAD_BAD, false},
	/* the ends of lines */
	{"GET / HTTP/1.1\n" HOST END, HTTPHEAD_BAD, false},
	{GET "Host: a\n" END, HTTPHEAD_BAD, false},
	{GET HOST "\n", HTTPHEAD_BAD, false},
	{GET HOST "X: a\rContent-Length: 5\r\n" END, HTTPHEAD_BAD, false},
	{GET HOST "X: a\r\r\n" END, HTTPHEAD_BAD, false},
	/* fields */
	{GET END, HTTPHEAD_BAD, false},
	{GET HOST HOST END, HTTPHEAD_BAD, false},
	{GET HOST "X: a\r\n b\r\n" END, HTTPHEAD_BAD, false},
	{GET " X: a\r\n" HOST END, HTTPHEAD_BAD, false},
	{GET HOST "X : a\r\n" END, HTTPHEAD_BAD, false},
	{GET HOST ": a\r\n" END, HTTPHEAD_BAD, false},
	{GET HOST "X\r\n" END, HTTPHEAD_BAD, false},
	{GET HOST "X: \x01\r\n" END, HTTPHEAD_BAD, false},
	{GET HOST "X: \x7f\r\n" END, HTTPHEAD_BAD, false},
	/* lengths */
	{POST "Content-Length : 5\r\n" END, HTTPHEAD_BAD, false},
	{POST "Content-Length: 5\r\ncontent-length: 5\r\n" END, HTTPHEAD_BAD, false},
	{POST "Content-Length: 5\r\nContent-Length: 6\r\n" END, HTTPHEAD_BAD, false},
	{POST "Content-Length: 5, 5\r\n" END, HTTPHEAD_BAD, false},
	{POST "Content-Length: +5\r\n" END, HTTPHEAD_BAD, false},
	{POST "Content-Length: -5\r\n" END, HTTPHEAD_BAD, false},
	{POST "Content-Length: 0x5\r\n" END, HTTPHEAD_BAD, false},
	{POST "Content-Length: 5 5\r\n" END, HTTPHEAD_BAD, false},
	{POST "Content-Length:\r\n" END, HTTPHEAD_BAD, false},
	{POST "Content-Length: 18446744073709551617\r\n" END, HTTPHEAD_BAD, false},
	{POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END, HTTPHEAD_BAD, false},
	{POST "Transfer-Encoding: x\r\nContent-Length: 0\r\n" END, HTTPHEAD_BAD, false},
};

TEST_LOOP(a_request_is_read_strictly, 0, COUNT_OF(requests))
{
	const char *text = requests[_i].text;
	struct httphead_request r;

	ck_assert_msg(httphead_request(text, strlen(text), &r) == requests[_i].verdict, "%s", text);
	if (requests[_i].verdict == HTTPHEAD_OK)
		ck_assert_msg(httphead_may_hand_on(&r, strlen(text)) == requests[_i].handed_on,
			"%s", text);
}

TEST_LOOP(a_head_that_is_cut_is_never_taken_for_a_whole_one, 0, COUNT_OF(requests))
{
	const char *text = requests[_i].text;
	struct httphead_request whole;
	struct httphead_request r;
	enum httphead_verdict verdict = httphead_request(text, strlen(text), &whole);

	for (size_t len = 0; len < strlen(text); len++) {
		/* no byte behind the cut is looked at */
		char *copy = malloc(len + 1);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, text, len);
		if (verdict != HTTPHEAD_OK)
			ck_assert_int_ne(httphead_request(copy, len, &r), HTTPHEAD_OK);
		else if (len < whole.head)
			ck_assert_int_eq(httphead_request(copy, len, &r), HTTPHEAD_INCOMPLETE);
		free(copy);
	}
}

TEST(a_NUL_is_in_no_head)
{
	static const char target[] = "GET /\0 HTTP/1.1\r\n" HOST END;
	static const char value[] = GET HOST "X: \0\r\n" END;
	static const char method[] = "G\0T / HTTP/1.1\r\n" HOST END;
	struct httphead_request r;

	ck_assert_int_eq(httphead_request(target, sizeof(target) - 1, &r), HTTPHEAD_BAD);
	ck_assert_int_eq(httphead_request(value, sizeof(value) - 1, &r), HTTPHEAD_BAD);
	ck_assert_int_eq(httphead_request(method, sizeof(method) - 1, &r), HTTPHEAD_BAD);
}

TEST(a_head_is_64_KiB_at_most)
{
	static const char begin[] = GET HOST "X: ";
	static char text[HTTPHEAD_MOST + 1];
	struct httphead_request r;

	memset(text, 'x', sizeof(text));
	memcpy(text, begin, sizeof(begin) - 1);
	ck_assert_int_eq(httphead_request(text, HTTPHEAD_MOST - 1, &r), HTTPHEAD_INCOMPLETE);
	ck_assert_int_eq(httphead_request(text, HTTPHEAD_MOST, &r), HTTPHEAD_BAD);
	memcpy(text + HTTPHEAD_MOST - 4, "\r\n\r\n", 4);
	ck_assert_int_eq(httphead_request(text, HTTPHEAD_MOST, &r), HTTPHEAD_OK);
	ck_assert_uint_eq(r.head, HTTPHEAD_MOST);
	memcpy(text + HTTPHEAD_MOST - 3, "\r\n\r\n", 4);
	ck_assert_int_eq(httphead_request(text, HTTPHEAD_MOST + 1, &r), HTTPHEAD_BAD);
}

static struct httphead_request read_ok(const char *text)
{
	struct httphead_request r;

	ck_assert_int_eq(httphead_request(text, strlen(text), &r), HTTPHEAD_OK);
	return r;
}

TEST(the_answer_to_head_has_no_body)
{
	ck_assert(read_ok("HEAD / HTTP/1.1\r\n" HOST END).is_head);
	ck_assert(!read_ok(GET HOST END).is_head);
}

/* ---- Connection: close ---- */

#define OK "HTTP/1.1 200 OK\r\n"
#define CLOSE "Connection: close\r\n"

static const struct {
	const char *head;
	const char *closed;
} heads[] = {
	{GET HOST END, GET CLOSE HOST END},
	{GET HOST "connection:Keep-Alive\r\nkeep-alive: timeout=5\r\nX: y\r\n" END,
		GET CLOSE HOST "X: y\r\n" END},
	{GET HOST CLOSE END, GET CLOSE HOST END},
	{GET HOST "Connection: TE, keep-alive,,foo ,CLOSE\r\nTE: trailers\r\n" END,
		GET CLOSE HOST "Connection: TE, foo\r\nTE: trailers\r\n" END},
	{GET "Connection: a\r\nConnection: keep-alive\r\nConnection: b\r\n" HOST END,
		GET CLOSE "Connection: a\r\nConnection: b\r\n" HOST END},
	{GET "Connection:\r\n" HOST END, GET CLOSE HOST END},
	{GET "X-Connection: keep-alive\r\nConnections: a\r\nKeep-Alives: b\r\n" HOST END,
		GET CLOSE
		"X-Connection: keep-alive\r\nConnections: a\r\nKeep-Alives: b\r\n" HOST END},
	/* answers: as servers send them */
	{OK "Content-Length: 3\r\n" END, OK CLOSE "Content-Length: 3\r\n" END},
	{OK "Connection: a,\r\n \n\r\n", OK CLOSE "Connection: a\r\n" END},
	{"HTTP/1.0 404\nConnection: keep-alive\nA: b\n\n", "HTTP/1.0 404\n" CLOSE "A: b\n\n"},
	{OK "Keep-Alive: timeout=5,\r\n max=7\r\nX: a\r\n b\r\n" END,
		OK CLOSE "X: a\r\n b\r\n" END},
	{OK "X\r\nContent-Type : a\r\n" END, OK CLOSE "X\r\nContent-Type : a\r\n" END},
};

TEST_LOOP(a_head_gets_the_word_close, 0, COUNT_OF(heads))
{
	const char *head = heads[_i].head;
	size_t want = strlen(heads[_i].closed);
	char to[300];
	size_t len = httphead_close(to, sizeof(to) - 1, head, strlen(head));

	to[len] = '\0';
	ck_assert_str_eq(to, heads[_i].closed);
	ck_assert_uint_eq(httphead_close(to, want, head, strlen(head)), want);
	for (size_t room = 0; room < want; room++) {
		memset(to, 'x', sizeof(to));
		ck_assert_uint_eq(httphead_close(to, room, head, strlen(head)), 0);
		ck_assert_int_eq(to[room], 'x');
	}
}

TEST(the_end_of_an_answers_head_is_an_empty_line)
{
	static const char *const whole[] = {
		OK END, OK "A: b\r\n" END, OK "A: b\n\n", OK "A: b\n\r\n", "HTTP/1.0 200\n\n"};

	for (size_t i = 0; i < COUNT_OF(whole); i++) {
		char text[100];
		size_t len = strlen(whole[i]);

		memcpy(text, whole[i], len);
		memcpy(text + len, "\r\n\r\n", 4);
		ck_assert_uint_eq(httphead_size(text, len + 4), len);
		for (size_t cut = 0; cut < len; cut++)
			ck_assert_uint_eq(httphead_size(text, cut), 0);
	}
}
