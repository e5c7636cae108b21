/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/socket/sockdiag.h"
#include "os/socket/socket_as.h"
#include "os/socket/socket_unix.h"

#include <grp.h>
#include <sys/file.h>
#include <sys/inotify.h>

static struct socket_file made;
static struct error err;
static struct socket_plan plan; /* "s", unless a test wants more */

static struct socket_plan plan_on(const char *path)
{
	return os_socket_plan(AF_UNIX, SOCK_STREAM, path);
}

static int open_plan(void)
{
	int fd = socket_open(&plan, &made, &err);

	if (fd == -1)
		ck_abort_msg("%s", err.text);
	return fd;
}

/* With that errno, if it is one. */
static void must_refuse(int error)
{
	ck_assert_int_eq(socket_open(&plan, &made, &err), -1);
	ck_assert(error == 0 || err.sys == error);
}

/* The file of a socket: whose it is, and its mode. */
static void must_be(const char *path, uid_t user, gid_t group, mode_t mode)
{
	struct stat st = os_stat(path);

	ck_assert_uint_eq(st.st_uid, user);
	ck_assert_uint_eq(st.st_gid, group);
	ck_assert_uint_eq(st.st_mode & 07777, mode);
}

static void open_at(int dir, const char *name)
{
	ck_assert_int_ne(socket_open_at(dir, name, SOCK_STREAM, 0600, -1, -1, &err), -1);
}

static int connect_to(const char *path)
{
	const union os_address to = os_address(path);

	return os_connect(&to);
}

static void set_up(void)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s", os_path("s"));
	plan = plan_on(path);
}

FIXTURE(os_make_dir, NULL)
FIXTURE(set_up, NULL)

TEST(a_path_is_listened_on_and_removed)
{
	int fd = open_plan();
	struct socket_facts facts;
	char text[512];

	ck_assert_int_ne(connect_to(plan.path), -1);
	ck_assert_uint_eq(os_stat(plan.path).st_ino, made.ino);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(socket_look(fd, &facts, &err), 0);
	snprintf(text, sizeof(text), "unix:%s", plan.path);
	ck_assert_str_eq(facts.text, text);
	ck_assert(facts.listening);
	socket_unlink(plan.path, &made);
	ck_assert_int_eq(access(plan.path, F_OK), -1);
}

TEST(only_what_we_made_is_removed)
{
	struct socket_file old;
	struct socket_file none = {.ino = 0};

	ck_assert_int_ne(open_plan(), -1);
	old = made;
	ck_assert_int_eq(rename(plan.path, os_path("kept")), 0);
	ck_assert_int_ne(open_plan(), -1);
	socket_unlink(plan.path, &old);
	socket_unlink(plan.path, &none);
	ck_assert_int_eq(access(plan.path, F_OK), 0);
	socket_unlink("/nonexistent/x", &made);
}

TEST(a_stale_socket_is_replaced)
{
	int fd = open_plan();
	ino_t before = made.ino;

	/* another file takes the number that would else be used again */
	ck_assert_int_eq(link(plan.path, os_path("holds-the-inode")), 0);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(connect_to(plan.path), -1);
	ck_assert_int_ne(open_plan(), -1);
	ck_assert_uint_ne(made.ino, before);
	ck_assert_int_ne(connect_to(plan.path), -1);
}

/* Bind without listening: a server that is just starting. */
static int bind_only(int type, const char *path)
{
	const union os_address at = os_address(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, &at.any, os_size(&at)), 0);
	return fd;
}

TEST(a_live_socket_is_refused_and_not_bothered)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	struct queue_facts queue;
	int fd;

	/* also one that does not listen yet */
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		char name[] = {'s', (char)('0' + i), '\0'};

		plan = plan_on(os_path(name));
		ck_assert_int_ne(bind_only(types[i], plan.path), -1);
		must_refuse(EADDRINUSE);
		ck_assert_int_eq(access(plan.path, F_OK), 0);
	}
	/* one that listens has no connection of ours in its queue */
	plan = plan_on(os_path("s"));
	fd = open_plan();
	must_refuse(EADDRINUSE);
	ck_assert_uint_eq(made.ino, 0);
	sockdiag_queue(fd, &queue);
	ck_assert_int_eq(queue.depth, 0);
	ck_assert_int_ne(connect_to(plan.path), -1);
}

TEST(other_files_are_refused_and_untouched)
{
	static const char *const names[] = {"file", "dir", "fifo", "link"};

	os_write(os_path("file"), "precious", 0644);
	os_mkdir(os_path("dir"), 0755);
	ck_assert_int_eq(mkfifo(os_path("fifo"), 0644), 0);
	/* a link, also one that leads to a dead socket, or nowhere */
	ck_assert_int_eq(close(bind_only(SOCK_STREAM, os_path("dead"))), 0);
	ck_assert_int_eq(symlink("dead", os_path("link")), 0);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct stat was = os_stat(os_path(names[i]));

		plan = plan_on(os_path(names[i]));
		must_refuse(0);
		ck_assert_ptr_nonnull(strstr(err.text, "is not a socket"));
		ck_assert_uint_eq(os_stat(plan.path).st_ino, was.st_ino);
		ck_assert_int_eq(os_stat(plan.path).st_size, was.st_size);
	}
	ck_assert_int_eq(access(os_path("dead"), F_OK), 0);
	ck_assert_int_eq(unlink(os_path("link")), 0);
	ck_assert_int_eq(symlink("nowhere", os_path("link")), 0);
	must_refuse(0);
	ck_assert_int_eq(access(os_path("nowhere"), F_OK), -1);
}

TEST(the_mode_is_exact_whatever_the_umask)
{
	static const int modes[] = {0666, 0600, 0777, 0660, 0, -1, -1, -1};
	static const mode_t masks[] = {077, 027, 077, 027, 077, 027, 022, 077};
	static const mode_t by_mask[] = {[5] = 0660, [6] = 0666, [7] = 0600};

	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		mode_t mask = masks[i];

		plan.mode = modes[i];
		(void)umask(mask);
		ck_assert_int_eq(close(open_plan()), 0);
		/* without a mode each class that the umask leaves any right may connect */
		ck_assert_uint_eq(os_stat(plan.path).st_mode & 07777,
			modes[i] == -1 ? by_mask[i] : (mode_t)modes[i]);
		ck_assert_uint_eq(umask(022), mask);
		socket_unlink(plan.path, &made);
	}
}

ROOT_TEST(owner_and_group_are_there_from_birth)
{
	int watch;
	char events[4096];

	plan.owner = 65534;
	plan.group = 100;
	plan.mode = 0660;
	watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	ck_assert_int_ne(inotify_add_watch(watch, os_dir, IN_ATTRIB), -1);
	ck_assert_int_ne(open_plan(), -1);
	must_be(plan.path, 65534, 100, 0660);
	/* neither was changed after the file appeared */
	os_fails(read(watch, events, sizeof(events)), EAGAIN);
	/* and we are who we were, with all our rights */
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
	os_write(os_path("mine"), "", 0600);
	must_be(os_path("mine"), 0, getegid(), 0600);
	/* also in a setgid directory */
	ck_assert_int_eq(chown(os_dir, 0, 4), 0);
	ck_assert_int_eq(chmod(os_dir, 02755), 0);
	plan.path = os_path("t");
	ck_assert_int_ne(open_plan(), -1);
	must_be(plan.path, 65534, 100, 0660);
}

static void become_ordinary(const gid_t *groups, size_t count)
{
	ck_assert_int_eq(chown(os_dir, 1234, 1234), 0);
	ck_assert_int_eq(setgroups(count, groups), 0);
	ck_assert_int_eq(setresgid(1234, 1234, 1234), 0);
	ck_assert_int_eq(setresuid(1234, 1234, 1234), 0);
}

ROOT_TEST(an_ordinary_user_gives_it_to_a_group_of_its_own)
{
	become_ordinary((gid_t[]){77}, 1);
	plan.group = 77;
	plan.mode = 0660;
	ck_assert_int_ne(open_plan(), -1);
	must_be(plan.path, 1234, 77, 0660);

	plan = plan_on(os_path("t"));
	plan.group = 78;
	must_refuse(EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "requires root"));
	ck_assert_int_eq(access(plan.path, F_OK), -1);
}

ROOT_TEST(a_socket_that_may_not_be_asked_is_left_alone)
{
	int fd;

	plan.mode = 0600;
	fd = open_plan();
	ck_assert_int_eq(close(fd), 0);
	become_ordinary(NULL, 0);
	must_refuse(EACCES);
	ck_assert_int_eq(access(plan.path, F_OK), 0);
}

TEST(a_path_too_long_for_an_address_works)
{
	char path[400];
	char deep[200];
	int dir;

	memset(deep, 'd', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	snprintf(path, sizeof(path), "%s", os_path(deep));
	ck_assert_int_eq(mkdir(path, 0755), 0);
	dir = open(path, O_PATH | O_CLOEXEC);
	strncat(path, "/socket", sizeof(path) - strlen(path) - 1);
	plan = plan_on(path);
	plan.mode = 0600;
	ck_assert_int_ne(open_plan(), -1);
	ck_assert_int_ne(socket_connect_at(dir, "socket", SOCK_STREAM, &err), -1);
	must_refuse(EADDRINUSE);
	/* only the directory may be that long */
	memset(deep, 'n', sizeof(deep) - 1);
	plan = plan_on(os_path(deep));
	must_refuse(ENAMETOOLONG);
	plan = plan_on("/nonexistent/dir/s");
	must_refuse(ENOENT);
}

TEST(a_relative_path_is_below_the_directory)
{
	plan = plan_on("s");
	ck_assert_int_eq(chdir(os_dir), 0);
	ck_assert_int_ne(open_plan(), -1);
	ck_assert_int_ne(connect_to(os_path("s")), -1);
	plan = plan_on("dir/");
	must_refuse(0);
}

TEST(an_abstract_name_leaves_no_file)
{
	struct socket_facts facts;
	int fd;

	plan = plan_on("@nclust-test-abstract");
	fd = open_plan();
	ck_assert_uint_eq(made.ino, 0);
	ck_assert_int_eq(socket_look(fd, &facts, &err), 0);
	ck_assert_str_eq(facts.text, "unix:@nclust-test-abstract");
	must_refuse(EADDRINUSE);
}

TEST(the_queue_is_as_long_as_what_was_connected)
{
	struct queue_facts queue;
	int fd;

	plan.backlog = 9;
	fd = open_plan();
	for (int i = 0; i < 4; i++)
		ck_assert_int_ne(connect_to(plan.path), -1);
	sockdiag_queue(fd, &queue);
	ck_assert_int_eq(queue.depth, 4);
	ck_assert_int_eq(queue.limit, 9);
	ck_assert_int_eq(queue.drops, -1);
	ck_assert_int_eq(sockdiag_has_accepted(fd), 0);
	ck_assert_int_ne(accept4(fd, NULL, NULL, SOCK_CLOEXEC), -1);
	ck_assert_int_eq(sockdiag_has_accepted(fd), 1);
	sockdiag_queue(fd, &queue);
	ck_assert_int_eq(queue.depth, 3);
}

TEST(control_and_notify_sockets_in_a_directory)
{
	int dir = open(os_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int owner = geteuid() == 0 ? 65534 : -1; /* the worker's */
	int stream = socket_open_at(dir, "control", SOCK_STREAM, 0660, -1, -1, &err);
	int dgram = socket_open_at(dir, "notify", SOCK_DGRAM, 0600, owner, -1, &err);
	int passcred = 0;
	socklen_t size = sizeof(passcred);
	struct ucred peer;
	int client;
	int server;

	ck_assert_int_ne(stream, -1);
	ck_assert_int_ne(dgram, -1);
	ck_assert_int_ne(fcntl(stream, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(stream, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(os_stat(os_path("control")).st_mode & 07777, 0660);
	must_be(os_path("notify"), owner == -1 ? geteuid() : 65534, getegid(), 0600);
	ck_assert_int_eq(getsockopt(dgram, SOL_SOCKET, SO_PASSCRED, &passcred, &size), 0);
	ck_assert_int_eq(passcred, 1);
	client = socket_connect_at(dir, "control", SOCK_STREAM, &err);
	ck_assert_int_ne(client, -1);
	server = accept4(stream, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_eq(socket_peer(server, &peer), 0);
	ck_assert_int_eq(peer.pid, getpid());
	ck_assert_uint_eq(peer.uid, geteuid());
	ck_assert(socket_peer_in_group(server, getegid()));
	ck_assert(!socket_peer_in_group(server, 4242));
}

TEST(in_a_directory_what_is_there_is_replaced)
{
	int dir = open(os_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	open_at(dir, "s");
	open_at(dir, "s");
	ck_assert_int_eq(unlink(os_path("s")), 0);
	os_write(os_path("target"), "precious", 0644);
	ck_assert_int_eq(symlink("target", os_path("s")), 0);
	ck_assert_int_eq(socket_connect_at(dir, "s", SOCK_STREAM, &err), -1);
	open_at(dir, "s");
	ck_assert(S_ISSOCK(os_stat(os_path("s")).st_mode));
	ck_assert_int_eq(os_stat(os_path("target")).st_size, 8);
	ck_assert_int_eq(mkdir(os_path("d"), 0700), 0);
	ck_assert_int_eq(socket_open_at(dir, "d", SOCK_STREAM, 0600, -1, -1, &err), -1);
	ck_assert_int_eq(socket_connect_at(dir, "none", SOCK_STREAM, &err), -1);
	ck_assert_int_eq(err.sys, ENOENT);
}

ROOT_TEST(a_member_of_many_groups_is_known)
{
	gid_t groups[200];
	int pair[2];

	for (size_t i = 0; i < COUNT_OF(groups); i++)
		groups[i] = (gid_t)(1000 + i);
	ck_assert_int_eq(setgroups(COUNT_OF(groups), groups), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert(socket_peer_in_group(pair[0], 1199));
	ck_assert(socket_peer_in_group(pair[0], 1000));
	ck_assert(!socket_peer_in_group(pair[0], 1200));
}
