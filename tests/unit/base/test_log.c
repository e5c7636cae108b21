/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "base/log.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

TEST(a_line_is_written_whole)
{
	char line[64] = "";
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	log_to(ends[1], "nclust: ", LOG_NOTE);
	log_note("web: %d of 2", 1);
	ck_assert_int_gt(read(ends[0], line, sizeof(line) - 1), 0);
	ck_assert_str_eq(line, "nclust: web: 1 of 2\n");
}

/* As a service manager gives it; the test is killed if this blocks. */
TEST(a_full_socket_drops_lines)
{
	char line[64] = "";
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	log_to(ends[1], "nclust: ", LOG_NOTE);
	for (int i = 0; i < 100000; i++)
		log_note("much");
	ck_assert_int_eq(read(ends[0], line, 13), 13);
	ck_assert_str_eq(line, "nclust: much\n");
}
