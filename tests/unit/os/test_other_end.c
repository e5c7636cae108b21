/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "os/process.h"
#include "os_lib.h"

static uint64_t inode_of(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_ino;
}

FIXTURE(os_make_dir, NULL)

static const struct {
	const char *at;
	const char *from;
} ways[] = {
	{"127.0.0.1", "127.0.0.1"},
	{"::1", "::1"},
	{"::", "127.0.0.1"},
	{"s", "s"},
};

/* Before it is accepted nobody has it; then, who has accepted it. */
TEST_LOOP(who_has_the_other_end_is_found, 0, COUNT_OF(ways))
{
	const char *path = os_path("s");
	bool unix_one = *ways[_i].at == 's';
	union os_address at = os_address(unix_one ? path : ways[_i].at);
	union os_address to = os_address(unix_one ? path : ways[_i].from);
	int listener = os_listen(&at);
	int client;
	int server;

	if (!unix_one)
		to.v4.sin_port = at.v4.sin_port;
	client = os_connect(&to);
	ck_assert(other_end_works(client));
	ck_assert_uint_eq(other_end_inode(client), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ne(server, -1);
	ck_assert_uint_eq(other_end_inode(client), inode_of(server));
	(void)close(server);
	ck_assert_uint_eq(other_end_inode(client), 0);
}

/* A child that forks another, which holds what the test holds; both end when
 * the test closes its end of the pipe. */
static pid_t family_of_two(int ends[2], pid_t *grandchild)
{
	pid_t pid;
	pid_t list[4];
	int born[2];
	char byte;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(pipe(born), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(ends[1]);
		if (fork() == 0)
			(void)!write(born[1], "", 1);
		(void)close(born[1]);
		(void)!read(ends[0], &byte, 1);
		_exit(0);
	}
	(void)close(born[1]);
	ck_assert_int_eq(read(born[0], &byte, 1), 1);
	(void)close(born[0]);
	ck_assert_uint_eq(process_tree(pid, list, 4), 2);
	*grandchild = list[1];
	return pid;
}

TEST(whose_it_is_is_found_in_the_whole_tree)
{
	int pair[2];
	int ends[2];
	uint64_t inodes[3] = {0};
	pid_t grandchild;
	pid_t list[4];
	pid_t pid;
	bool denied = false;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	inodes[1] = inode_of(pair[0]);
	pid = family_of_two(ends, &grandchild);
	(void)close(pair[0]);
	ck_assert_uint_eq(process_tree(pid, list, 4), 2);
	ck_assert_int_eq(list[0], pid);
	ck_assert_int_eq(list[1], grandchild);
	ck_assert_uint_eq(process_tree(pid, list, 1), 1);
	ck_assert_uint_eq(process_tree(grandchild, list, 4), 1);
	ck_assert_uint_eq(other_end_held(pid, inodes, 3, &denied), 2);
	ck_assert_uint_eq(other_end_held(grandchild, inodes, 3, &denied), 2);
	ck_assert_uint_eq(other_end_held(getpid(), inodes, 1, &denied), 0);
	ck_assert(!denied);
	(void)close(pair[1]);
	(void)close(ends[1]);
	(void)waitpid(pid, NULL, 0);
}
