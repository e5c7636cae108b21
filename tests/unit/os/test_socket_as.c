/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/socket/socket_as.h"
#include "os/socket/socket_unix.h"

#include <grp.h>

/* Sockets of a worker that is another user, made and removed by root. */
#define USER 54321
#define GROUP 54322
#define MORE 54323

static const gid_t more[] = {4, MORE};
static const struct vfork_user user = {.uid = USER, .gid = GROUP};
static const struct vfork_user member = {
	.uid = USER,
	.gid = GROUP,
	.groups = more,
	.group_count = 2,
};
static struct socket_file made;

static void make_dir(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	os_mkdir(os_path(name), mode);
	ck_assert_int_eq(chown(os_path(name), uid, gid), 0);
}

static void set_up(void)
{
	if (geteuid() == 0)
		make_dir("theirs", USER, GROUP, 0755);
}

static bool is_there(const char *name)
{
	struct stat st;

	return lstat(os_path(name), &st) == 0;
}

static int make(const char *name, const struct vfork_user *as)
{
	return socket_unix_listen_as(os_path(name), 3, as, &made);
}

FIXTURE(os_make_dir, NULL)
FIXTURE(set_up, NULL)

NATIVE_ROOT_TEST(a_file_is_the_users_and_is_removed)
{
	struct sockaddr_un own = {0};
	socklen_t size = sizeof(own);
	int fd = make("theirs/s", &user);

	ck_assert_int_ne(fd, -1);
	ck_assert_uint_eq(os_stat(os_path("theirs/s")).st_uid, USER);
	ck_assert_uint_eq(os_stat(os_path("theirs/s")).st_gid, GROUP);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &size), 0);
	ck_assert_str_eq(own.sun_path, os_path("theirs/s"));
	os_fails(make("theirs/s", &user), EADDRINUSE); /* it lives */
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_ne(make("theirs/s", &user), -1);
	socket_unlink(os_path("theirs/s"), &made);
	ck_assert(!is_there("theirs/s"));
	os_write(os_path("theirs/file"), "x", 0666);
	os_fails(make("theirs/file", &user), EADDRINUSE);
	ck_assert(is_there("theirs/file"));
}

/* The worker puts a link in the place of its directory meanwhile. */
NATIVE_ROOT_TEST(no_link_leads_to_a_file_that_the_user_may_not_remove)
{
	make_dir("roots", 0, 0, 0755);
	ck_assert_int_ne(make("theirs/s", &user), -1);
	ck_assert_int_eq(link(os_path("theirs/s"), os_path("roots/s")), 0);
	ck_assert_int_eq(rename(os_path("theirs"), os_path("away")), 0);
	ck_assert_int_eq(symlink(os_path("roots"), os_path("theirs")), 0);
	socket_unlink(os_path("theirs/s"), &made);
	ck_assert(is_there("roots/s"));
}

NATIVE_ROOT_TEST(the_groups_are_the_users_and_not_ours)
{
	ck_assert_int_eq(setgroups(2, (gid_t[]){0, MORE}), 0);
	make_dir("groups", 0, MORE, 0770);
	os_fails(make("groups/s", &user), EACCES);
	ck_assert_int_ne(make("groups/s", &member), -1);
	socket_unlink(os_path("groups/s"), &made);
	ck_assert(!is_there("groups/s"));
}

TEST(what_is_not_the_socket_that_was_made_stays)
{
	struct socket_file other = {.dev = 1, .ino = 1};

	make_dir("dir", geteuid(), getegid(), 0755);
	ck_assert_int_eq(mkfifo(os_path("dir/s"), 0600), 0);
	socket_unlink(os_path("dir/s"), &other);
	ck_assert(is_there("dir/s"));
}

static void check_listener(const char *path)
{
	struct sockaddr_un at;
	struct ucred cred;
	struct stat st;
	socklen_t size;
	int fd = socket_unix_listen_as(path, 3, &user, &made);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_uid, USER);
	ck_assert_int_eq(socket_unix_address(path, &at, &size), 0);
	ck_assert_int_eq(connect(client, (const struct sockaddr *)&at, size), 0);
	ck_assert_int_eq(socket_peer(client, &cred), 0);
	ck_assert_uint_eq(cred.uid, USER);
	ck_assert_uint_eq(cred.gid, GROUP);
	ck_assert_int_eq(close(client), 0);
	ck_assert_int_eq(close(fd), 0);
}

NATIVE_ROOT_TEST(who_connects_is_told_the_users_ids)
{
	check_listener(os_path("theirs/s"));
	check_listener("@nclust-test-socket-as");
	ck_assert_uint_eq(made.ino, 0);
}

/* Patience with a user whose file systems are late is used up for some time: nothing
 * is tried, and a file stays. */
NATIVE_ROOT_TEST(a_user_that_was_too_late_is_not_waited_for)
{
	ck_assert_int_ne(make("theirs/s", &user), -1);
	vfork_was_late(USER, SECOND);
	os_fails(make("theirs/t", &user), ETIMEDOUT);
	ck_assert(!is_there("theirs/t"));
	socket_unlink(os_path("theirs/s"), &made);
	ck_assert(is_there("theirs/s"));
}
