/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "base/trusted.h"
#include "os/clock.h"
#include "os/place/rundir.h"
#include "os/place/rundir_place.h"
#include "os/socket/socket_unix.h"

#include <grp.h>
#include <sysexits.h>

static struct error err;
static char base[512]; /* DIR/run: the runtime directory */

static void set_up(void)
{
	snprintf(base, sizeof(base), "%s", os_path("run"));
}

static struct rundir must_open(const char *name)
{
	struct rundir r;

	if (rundir_open(&r, base, name, &err) == -1)
		ck_abort_msg("%s", err.text);
	return r;
}

static const char *must_refuse(const char *name)
{
	struct rundir r;

	ck_assert_int_eq(rundir_open(&r, base, name, &err), -1);
	ck_assert_int_eq(r.dir, -1);
	ck_assert_int_eq(r.lock, -1);
	return err.text;
}

static void open_socket(int dir, const char *name, int type)
{
	ck_assert_int_ne(socket_open_at(dir, name, type, 0600, -1, -1, &err), -1);
}

static void must_not_find(void)
{
	ck_assert_int_eq(rundir_find(base, "shop", &err), -1);
}

static void refuse_for(const char *why)
{
	const char *text = must_refuse("shop");

	ck_assert_msg(strstr(text, why) != NULL, "%s: %s", why, text);
}

FIXTURE(os_make_dir, NULL)
FIXTURE(set_up, NULL)

TEST(the_directories_are_made_with_their_modes_and_removed)
{
	struct rundir r;
	unsigned before;

	(void)umask(077); /* it must not matter */
	r = must_open("shop");
	ck_assert_int_eq(os_stat(base).st_mode & 07777, 0755);
	ck_assert_int_eq(os_stat(os_path("run/shop")).st_mode & 07777, 0711);
	ck_assert_int_eq(os_stat(os_path("run/shop/notify")).st_mode & 07777, 0711);
	ck_assert_int_eq(os_stat(os_path("run/shop/lock")).st_mode & 07777, 0600);
	ck_assert_str_eq(r.path, os_path("run/shop"));
	ck_assert_int_ne(fcntl(r.dir, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_ne(fcntl(r.lock, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_ne(fcntl(r.notify_dir, F_GETFD) & FD_CLOEXEC, 0);
	open_socket(r.dir, "control", SOCK_STREAM);
	open_socket(r.notify_dir, "web.0", SOCK_DGRAM);
	before = os_open_count();
	rundir_close(&r);
	ck_assert_uint_eq(os_open_count(), before - 3);
	ck_assert_int_eq(access(os_path("run/shop"), F_OK), -1);
	ck_assert_int_eq(access(base, F_OK), 0);
	rundir_close(&r); /* twice does no harm */
}

TEST(what_a_killed_one_left_is_taken_over)
{
	struct rundir r = must_open("shop");

	open_socket(r.notify_dir, "web.0", SOCK_DGRAM);
	(void)close(r.lock);
	(void)close(r.dir);
	(void)close(r.notify_dir);
	r = must_open("shop");
	ck_assert_int_eq(access(os_path("run/shop/notify/web.0"), F_OK), -1);
}

static int be_second(void)
{
	char wanted[128];

	snprintf(wanted, sizeof(wanted),
		"instance 'shop' is already running (pid %d); nclust stop shop, or "
		"give this one another name by --name",
		(int)getppid());
	(void)must_refuse("shop");
	return strcmp(err.text, wanted) != 0 || err.status != EX_TEMPFAIL;
}

TEST(the_second_of_a_name_is_told_who_has_it)
{
	nsec_t start = clock_now();

	(void)must_open("shop");
	ck_assert_int_eq(os_in_child(be_second), 0);
	ck_assert_int_lt(clock_now() - start, 10 * SECOND);
}

static struct rundir held;

static void wait_for_it(int said)
{
	struct rundir other;
	nsec_t start;

	/* no copy of the lock must live on here */
	(void)close(held.lock);
	(void)!write(said, "x", 1);
	start = clock_now();
	while (rundir_open(&other, base, "shop", &err) == -1) {
		if (clock_now() - start < SECOND)
			_exit(1);
		start = clock_now(); /* who has it had no CPU in its second */
	}
	_exit(access(os_path("run/shop/lock"), F_OK) == 0 ? 0 : 2);
}

TEST(who_waits_gets_it_when_it_becomes_free)
{
	pid_t pid;

	held = must_open("shop");
	pid = os_start(wait_for_it);
	rundir_close(&held); /* removes what the other may just have opened */
	os_reap(pid, 0);
}

TEST(starts_and_ends_in_a_row_never_share)
{
	int status;

	/* each holds it for a moment and looks that it is alone */
	for (int i = 0; i < 4; i++) {
		if (fork() != 0)
			continue;
		for (int n = 0; n < 25; n++) {
			struct rundir r;
			int alone;

			if (rundir_open(&r, base, "shop", &err) == -1)
				continue; /* not within its second: fair */
			alone = open(
				os_path("alone"), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
			if (alone == -1)
				_exit(1);
			(void)close(alone);
			(void)unlink(os_path("alone"));
			rundir_close(&r);
		}
		_exit(0);
	}
	for (int i = 0; i < 4; i++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
}

TEST(names_that_are_paths_are_refused)
{
	static const char *const names[] = {
		"../x", "/", "", ".", "..", "-x", "a/b", "a\nb", ".hidden"};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		ck_assert_ptr_nonnull(strstr(must_refuse(names[i]), "not a name"));
		ck_assert_int_eq(rundir_find(base, names[i], &err), -1);
	}
	ck_assert_int_eq(access(base, F_OK), -1); /* nothing was made */
}

static const struct {
	const char *target;
	const char *at;
	const char *why;
} links[] = {
	{"target", "run", "symbolic link"},
	{"../target", "run/shop", "symbolic link"},
	{"../../target", "run/shop/notify", "symbolic link"},
	{"../../target/file", "run/shop/lock", "symbolic link"},
	/* a hard link to something of ours is not written to either */
	{NULL, "run/shop/lock", "plain file"},
};

TEST_LOOP(links_are_refused, 0, COUNT_OF(links))
{
	struct rundir r = must_open("shop"); /* makes all above it */

	rundir_close(&r);
	os_put("target/file", "precious");
	if (_i == 0)
		ck_assert_int_eq(rmdir(base), 0);
	if (_i > 1)
		ck_assert_int_eq(mkdir(os_path("run/shop"), 0711), 0);
	if (links[_i].target == NULL)
		ck_assert_int_eq(link(os_path("target/file"), os_path(links[_i].at)), 0);
	else
		ck_assert_int_eq(symlink(links[_i].target, os_path(links[_i].at)), 0);
	refuse_for(links[_i].why);
	if (_i < 2)
		must_not_find();
	ck_assert_int_eq(os_stat(os_path("target/file")).st_size, 8);
	ck_assert_int_eq(unlink(os_path(links[_i].at)), 0);
	r = must_open("shop");
}

TEST(directories_that_others_may_write_to_are_refused)
{
	static const mode_t modes[] = {0777, 01777, 0775};

	os_mkdir(base, 0755);
	/* root's own group may write to what is root's */
	ck_assert_int_eq(geteuid() == 0 ? chown(base, (uid_t)-1, 1) : 0, 0);
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		ck_assert_int_eq(chmod(base, modes[i]), 0);
		refuse_for("writable by others");
		must_not_find();
	}
	ck_assert_int_eq(chmod(base, 0755), 0);
	ck_assert_int_eq(chmod(os_dir, 0777), 0); /* the one above */
	refuse_for(os_dir);
	ck_assert_int_eq(chmod(os_dir, 01777), 0); /* as /tmp is */
	os_mkdir(os_path("run/shop"), 0777);
	refuse_for("run/shop");
}

ROOT_TEST(what_belongs_to_others_is_refused)
{
	static const char *const theirs[] = {"", "run", "run/shop", "run/shop/lock"};

	os_mkdir(base, 0755);
	os_mkdir(os_path("run/shop"), 0711);
	os_write(os_path("run/shop/lock"), "1\n", 0600);
	for (size_t i = 0; i < COUNT_OF(theirs); i++) {
		ck_assert_int_eq(chown(os_path(theirs[i]), 1234, 0), 0);
		refuse_for(i < 3 ? "user 1234" : "lock");
		ck_assert_int_eq(chown(os_path(theirs[i]), 0, 0), 0);
	}
}

ROOT_TEST(links_on_the_way_are_followed_only_where_trusted)
{
	struct rundir r;

	ck_assert_int_eq(mkdir(os_path("real"), 0755), 0);
	ck_assert_int_eq(symlink("real", os_path("link")), 0);
	snprintf(base, sizeof(base), "%s", os_path("link/run"));
	r = must_open("shop");
	rundir_close(&r);
	ck_assert_int_eq(lchown(os_path("link"), 1234, 1234), 0);
	refuse_for("user 1234");
}

ROOT_TEST(roots_directory_serves_clients_but_not_instances_of_others)
{
	int fd;

	(void)must_open("shop");
	ck_assert_int_eq(setgroups(0, NULL), 0);
	ck_assert_int_eq(setresuid(1234, 1234, 1234), 0);
	fd = rundir_find(base, "shop", &err);
	ck_assert_int_ne(fd, -1);
	(void)must_refuse("shop");
	(void)must_refuse("other");
	ck_assert_int_eq(err.sys, EACCES);
}

TEST(an_instance_that_is_not_there_is_69)
{
	struct rundir r;
	int fd;

	must_not_find();
	ck_assert_int_eq(err.status, EX_UNAVAILABLE);
	ck_assert_int_eq(access(base, F_OK), -1); /* a look makes nothing */
	r = must_open("shop");
	fd = rundir_find(base, "shop", &err);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	rundir_close(&r);
	must_not_find();
	ck_assert_int_eq(err.status, EX_UNAVAILABLE);
	ck_assert_str_eq(err.text, "no instance 'shop' is running");
}

TEST(the_list_ignores_what_is_no_instance)
{
	struct rundir b = must_open("beta");
	struct rundir a;
	char **names;
	long count;

	ck_assert_int_eq(rundir_list(base, "control", &names, &err), 0);
	ck_assert_ptr_null(names);
	a = must_open("alpha");
	open_socket(b.dir, "control", SOCK_STREAM);
	open_socket(a.dir, "control", SOCK_STREAM);
	os_write(os_path("run/file"), "", 0644);
	ck_assert_int_eq(mkdir(os_path("run/empty"), 0755), 0);
	ck_assert_int_eq(mkdir(os_path("run/.hidden"), 0755), 0);
	ck_assert_int_eq(mkdir(os_path("run/odd\nname"), 0755), 0);
	ck_assert_int_eq(symlink("alpha", os_path("run/link")), 0);
	ck_assert_int_eq(mkdir(os_path("run/plain"), 0755), 0);
	os_write(os_path("run/plain/control"), "", 0644);
	count = rundir_list(base, "control", &names, &err);
	ck_assert_int_eq(count, 2);
	ck_assert_str_eq(names[0], "alpha");
	ck_assert_str_eq(names[1], "beta");
	while (count > 0)
		free(names[--count]);
	free(names);
}

TEST(without_a_runtime_directory_there_is_nothing_to_list)
{
	char **names;

	ck_assert_int_eq(rundir_list(base, "control", &names, &err), 0);
	ck_assert_int_eq(mkdir(base, 0755), 0);
	ck_assert_int_eq(chmod(base, 0777), 0);
	ck_assert_int_eq(rundir_list(base, "control", &names, &err), -1);
}

static const char *place(const char *wanted, bool seek, unsigned n)
{
	static char path[512];

	switch (rundir_place(wanted, seek, n, path, sizeof(path), &err)) {
	case 1:
		return path;
	case 0:
		return "none";
	default:
		return "error";
	}
}

TEST(where_it_is)
{
	char small[8];

	(void)setenv("NCLUST_RUNTIME_DIR", "/env", 1);
	(void)setenv("NCLUST_SOCKET", "/there/shop/control", 1);
	ck_assert_str_eq(place("/told", true, 0), "/told");
	ck_assert_str_eq(place("/told", true, 1), "none");
	ck_assert_str_eq(place(NULL, true, 0), "/env");
	ck_assert_str_eq(place(NULL, true, 1), "none");
	ck_assert_int_eq(place("here", false, 0)[0], '/');
	ck_assert_str_eq(strrchr(place("here", false, 0), '/'), "/here");
	ck_assert_int_eq(
		rundir_place("/longer-than-that", false, 0, small, sizeof(small), &err), -1);
	(void)unsetenv("NCLUST_RUNTIME_DIR");
	ck_assert_str_eq(place(NULL, true, 0), "/there");
	ck_assert_str_ne(place(NULL, false, 0), "/there");
	(void)setenv("NCLUST_SOCKET", "/control", 1);
	ck_assert_str_ne(place(NULL, true, 0), "/");
	(void)unsetenv("NCLUST_SOCKET");
	if (geteuid() == 0) {
		ck_assert_str_eq(place(NULL, true, 0), "/run/nclust");
		ck_assert_str_eq(place(NULL, true, 1), "/tmp/nclust-0");
		ck_assert_str_eq(place(NULL, true, 2), "none");
		ck_assert_int_eq(chown(os_path(""), 1204242, 1204242), 0);
		ck_assert_int_eq(setresuid(1204242, 1204242, 1204242), 0);
		ck_assert_str_eq(place(NULL, false, 0), "/tmp/nclust-1204242");
		ck_assert_str_eq(place(NULL, false, 1), "none");
	}
	/* what is there and ours counts, what is somebody else's does not */
	(void)setenv("XDG_RUNTIME_DIR", "/", 1);
	ck_assert_str_ne(place(NULL, false, 0), "//nclust");
	(void)setenv("XDG_RUNTIME_DIR", os_path(""), 1);
	ck_assert_ptr_nonnull(strstr(place(NULL, false, 0), "/nclust"));
	ck_assert_int_eq(strncmp(place(NULL, false, 0), os_path(""), strlen(os_path("")) - 1), 0);
}

TEST(a_missing_parent_says_what_to_set)
{
	snprintf(base, sizeof(base), "%s", os_path("no/such"));
	refuse_for("runtime-directory");
	ck_assert_int_eq(err.sys, ENOENT);
}

TEST(a_removed_place_is_made_anew)
{
	struct rundir r = must_open("shop");
	struct rundir other;

	ck_assert_int_eq(rundir_renew(&r, NULL, &err), 0); /* nothing was missing */
	ck_assert_int_eq(unlink(os_path("run/shop/lock")), 0);
	ck_assert_int_eq(rmdir(os_path("run/shop/notify")), 0);
	ck_assert_int_eq(rmdir(os_path("run/shop")), 0);
	ck_assert_int_eq(rundir_renew(&r, NULL, &err), 0);
	ck_assert_int_eq(access(os_path("run/shop/notify"), F_OK), 0);
	/* taken away, and the name taken by another */
	ck_assert_int_eq(unlink(os_path("run/shop/lock")), 0);
	ck_assert_int_eq(rundir_open(&other, base, "shop", &err), 0);
	ck_assert_int_eq(rundir_renew(&r, NULL, &err), -1);
	rundir_close(&r);
	ck_assert_int_eq(access(os_path("run/shop/lock"), F_OK), 0);
	rundir_close(&other);
	ck_assert_int_eq(access(os_path("run/shop"), F_OK), -1);
}

TEST(a_pid_file_is_written_whole)
{
	char text[32] = "";
	int fd;

	(void)umask(022);
	ck_assert_int_eq(rundir_write_pidfile(os_path("pid"), 4711, &err), 0);
	ck_assert_int_eq(rundir_write_pidfile(os_path("pid"), 4712, &err), 0);
	fd = open(os_path("pid"), O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 5);
	ck_assert_str_eq(text, "4712\n");
	ck_assert_int_eq(os_stat(os_path("pid")).st_mode & 07777, 0644);
}

TEST(a_pid_file_goes_to_no_unsafe_place)
{
	os_write(os_path("precious"), "precious", 0644);
	ck_assert_int_eq(symlink("precious", os_path("pid")), 0);
	ck_assert_int_eq(rundir_write_pidfile(os_path("pid"), 4711, &err), -1);
	ck_assert_int_eq(os_stat(os_path("precious")).st_size, 8);
	ck_assert_int_eq(rundir_write_pidfile("pid", 4711, &err), -1);
	ck_assert_int_eq(rundir_write_pidfile("/none/pid", 1, &err), -1);
	ck_assert_int_eq(chmod(os_dir, 0777), 0);
	ck_assert_int_eq(rundir_write_pidfile(os_path("p"), 1, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "writable by others"));
}

static void must_not_lead(const char *path, int error)
{
	ck_assert_int_eq(trusted_way(path, &err), -1);
	ck_assert_int_eq(err.sys, error);
}

TEST(the_way_to_a_directory_of_others_has_to_be_ours)
{
	os_mkdir(os_path("own"), 0755);
	os_mkdir(os_path("own/theirs"), 0777);
	os_mkdir(os_path("own/theirs/deep"), 0755);
	ck_assert_int_eq(symlink("own/theirs", os_path("link")), 0);
	ck_assert_int_eq(symlink("link/deep", os_path("deep")), 0);
	ck_assert_int_eq(symlink("round", os_path("round")), 0);
	ck_assert_int_eq(trusted_way(os_path("own/theirs/s"), &err), 0);
	ck_assert_int_eq(trusted_way(os_path("link//./s"), &err), 0);
	ck_assert_int_eq(trusted_way("s", &err), 0);
	ck_assert_int_eq(trusted_way("/s", &err), 0);
	/* what is in theirs can be replaced */
	must_not_lead(os_path("own/theirs/deep/s"), 0);
	must_not_lead(os_path("deep/s"), 0);
	/* in a sticky one only what is others' */
	ck_assert_int_eq(chmod(os_path("own/theirs"), 01777), 0);
	ck_assert_int_eq(trusted_way(os_path("deep/s"), &err), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(lchown(os_path("own/theirs/deep"), 1, 1), 0);
		must_not_lead(os_path("deep/s"), 0);
	}
	must_not_lead(os_path("round/s"), ELOOP);
	must_not_lead(os_path("none/s"), ENOENT);
}
