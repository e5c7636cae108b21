/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/http.h"

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
