/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/http.h"

static const struct {
	const char *text;
	unsigned status;
	bool bad;
} answers[] = {
	{"", 0, false},
	{"HTTP/1.", 0, false},
	{"HTTP/1.1 200", 0, false}, /* 2000 might come */
	{"HTTP/1.1 2000\r\n", 0, true},
	{"HTTP/1.1 200\r\n", 200, false},
	{"HTTP/1.1 200 \n", 200, false},
	{"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", 302, false},
	{"HTTP/1.1 503 \xe9\r\n", 503, false},
	{"HTTP/1.1 099 \r\n", 0, true},
	{"HTTP/1.1 99 \r\n", 0, true},
	{"HTTP/1.1 600 \r\n", 0, true},
	{"HTTP/2 200 \r\n", 0, true},
	{"HTTP/1.1 20\n", 0, true},
	{"SSH-2.0-x", 0, true}, /* before its line is complete */
	{"HTTP/1.1 100 Continue\r\n", 100, false},
	{"HTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 204 \r\n", 204, false},
	{"HTTP/1.1 100 x\n\nHTTP/1.1 100 x\n\nHTTP/1.1 500 x\n", 500, false},
	{"HTTP/1.1 101 Switching\r\n", 101, true},
};

TEST_LOOP(the_first_line_says_it, 0, (int)COUNT_OF(answers))
{
	const char *text = answers[_i].text;
	size_t len = strlen(text);
	struct httpanswer h;
	const char *piece;
	size_t n;

	httpanswer_init(&h, false);
	while (httpanswer_next(&h, &text, &len, &piece, &n) != PIECE_NONE)
		continue;
	ck_assert_uint_eq(h.status, answers[_i].status);
	ck_assert_int_eq(h.state == HTTPANSWER_BAD, answers[_i].bad);
}

TEST(a_request_ends_with_what_a_server_waits_for)
{
	char to[HTTPREQUEST_MAX];
	size_t len = httpstatus_request(to, sizeof(to), "/a?b=c", "[::1]:80", NULL, 0);

	ck_assert_uint_eq(len, strlen(to));
	ck_assert_ptr_nonnull(strstr(to, "GET /a?b=c HTTP/1.1\r\n"));
	ck_assert_ptr_nonnull(strstr(to, "\r\nHost: [::1]:80\r\n"));
	ck_assert_ptr_nonnull(strstr(to, "\r\nUser-Agent: nclust-check\r\n"));
	ck_assert_str_eq(to + len - 4, "\r\n\r\n");
	ck_assert_ptr_eq(strstr(to, "\r\n\r\n"), to + len - 4);
}

TEST(a_request_has_the_host_and_the_lines_that_are_wanted)
{
	char *lines[] = {"X-A: b", "user-agent: me"};
	char to[HTTPREQUEST_MAX];

	ck_assert_uint_gt(
		httpstatus_request(to, sizeof(to), "//s.org:8/a", "h", lines, COUNT_OF(lines)), 0);
	ck_assert_ptr_eq(strstr(to, "GET /a HTTP/1.1\r\nHost: s.org:8\r\n"), to);
	ck_assert_ptr_nonnull(strstr(to, "\r\nX-A: b\r\nuser-agent: me\r\n"));
	ck_assert_ptr_null(strstr(to, "nclust-check"));
}

TEST(no_path_begins_another_line)
{
	char to[HTTPREQUEST_MAX];

	ck_assert_uint_eq(httpstatus_request(to, sizeof(to), "/a\r\nX: y", "h", NULL, 0), 0);
	ck_assert_uint_eq(httpstatus_request(to, sizeof(to), "/a b", "h", NULL, 0), 0);
	ck_assert_uint_eq(httpstatus_request(to, 40, "/a", "h", NULL, 0), 0);
}

TEST(only_success_and_redirection_are_well)
{
	ck_assert(httpstatus_is_well(200) && httpstatus_is_well(399));
	ck_assert(!httpstatus_is_well(199) && !httpstatus_is_well(400));
}
