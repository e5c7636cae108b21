/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "base/scope.h"
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/*
 * The verbs as a user runs them, against servers that say what they were
 * told to say: each in a process of its own, in a runtime directory of the
 * test.  Output goes to files there.
 */
#define SERVERS_MAX 4

static char place[64];
static pid_t servers[SERVERS_MAX];
static size_t server_count;
static char out[8192];
static char told[8192];
static pid_t ran; /* the last nclust */

static const char *path_of(const char *name, const char *file)
{
	static char path[200];

	(void)snprintf(path, sizeof(path), "%s/%s%s%s", place, name,
		file[0] != '\0' ? "/" : "", file);
	return path;
}

static void setup(void)
{
	(void)strcpy(place, "/tmp/nclust-verbs.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place));
	ck_assert_int_eq(setenv("NCLUST_RUNTIME_DIR", place, 1), 0);
	server_count = 0;
}

static void remove_instance(const char *name)
{
	(void)unlink(path_of(name, "control"));
	(void)unlink(path_of(name, "mark"));
	(void)rmdir(path_of(name, ""));
}

static void teardown(void)
{
	for (size_t i = 0; i < server_count; i++) {
		(void)kill(servers[i], SIGKILL);
		(void)waitpid(servers[i], NULL, 0);
	}
	remove_instance("shop");
	remove_instance("blog");
	(void)unlink(path_of("out", ""));
	(void)unlink(path_of("told", ""));
	ck_assert_int_eq(rmdir(place), 0);
}

static int bind_control(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(mkdir(path_of(name, ""), 0711), 0);
	(void)strcpy(address.sun_path, path_of(name, "control"));
	ck_assert_int_eq(
		bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* "stop" ends the server, some time later, with a file of it gone. */
static void serve(
	int fd, const char *name, const char *hello, const char *reply)
{
	for (;;) {
		int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		char line[1024];
		ssize_t n;

		if (c == -1)
			_exit(2);
		(void)send(c, hello, strlen(hello), MSG_NOSIGNAL);
		while ((n = recv(c, line, sizeof(line) - 1, 0)) > 0) {
			line[n] = '\0';
			for (const char *end = line;
				(end = strchr(end, '\n')) != NULL; end++)
				(void)send(
					c, reply, strlen(reply), MSG_NOSIGNAL);
			if (strchr(reply, '\n') == NULL)
				break; /* half an answer */
			if (strstr(line, "\"stop\"") != NULL) {
				(void)usleep(20000);
				(void)unlink(path_of(name, "mark"));
				_exit(0);
			}
		}
		(void)close(c);
	}
}

/* An instance that answers every request by `reply`. */
static void run(const char *name, const char *clusters, const char *reply)
{
	int fd = bind_control(name);
	char hello[500];
	pid_t pid;

	ck_assert_int_eq(listen(fd, 16), 0);
	(void)snprintf(hello, sizeof(hello),
		"{\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{"
		"\"name\":\"%s\",\"pid\":7,\"version\":\"1.0.0\",\"protocol\":"
		"1,\"clusters\":[%s]}}\n",
		name, clusters);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		serve(fd, name, hello, reply);
	(void)close(fd);
	servers[server_count++] = pid;
}

static void slurp(const char *name, char *to, size_t size)
{
	int fd = open(path_of(name, ""), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	ck_assert_int_ge(fd, 0);
	n = read(fd, to, size - 1);
	ck_assert_int_ge(n, 0);
	to[n] = '\0';
	(void)close(fd);
}

/* Run the words with their output kept; the exit status. */
static int nclust(const char *line)
{
	char copy[300];
	char *words[9];
	int count = 0;
	int status;
	pid_t pid;

	(void)strcpy(copy, line);
	for (char *w = strtok(copy, " "); w != NULL; w = strtok(NULL, " "))
		words[count++] = w;
	words[count] = NULL;
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;

		(void)dup2(open(path_of("out", ""), flags, 0600), 1);
		(void)dup2(open(path_of("told", ""), flags, 0600), 2);
		_exit(cli_main(count, words));
	}
	ran = pid;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WIFEXITED(status), 1);
	slurp("out", out, sizeof(out));
	slurp("told", told, sizeof(told));
	return WEXITSTATUS(status);
}

#define RESULT(text) "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":" text "}\n"
#define HALF_READY \
	"{\"name\":\"shop\",\"clusters\":[{\"name\":\"web\",\"wanted\":2," \
	"\"ready\":1}]}"
#define ALL_READY \
	"{\"name\":\"blog\",\"clusters\":[{\"name\":\"web\",\"wanted\":2," \
	"\"ready\":2}]}"

FIXTURE(setup, teardown)

TEST(nobody_runs)
{
	ck_assert_int_eq(nclust("restart"), 69);
	ck_assert_ptr_nonnull(strstr(told, "nclust: no instance is running"));
	ck_assert_ptr_nonnull(strstr(told, place));
	ck_assert_ptr_nonnull(strstr(told, "nclust -n auto -- COMMAND"));
	ck_assert_int_eq(nclust("status"), 3);
	ck_assert_int_eq(nclust("status shop"), 3);
	ck_assert_int_eq(nclust("stop shop"), 69);
	ck_assert_int_eq(nclust("stop shop/web"), 69);
	ck_assert_ptr_nonnull(strstr(told, "no instance 'shop' is running"));
	ck_assert_str_eq(out, "");
}

TEST(a_socket_that_was_left_behind_is_nobody)
{
	int fd = bind_control("shop");

	(void)close(fd);
	ck_assert_int_eq(nclust("restart"), 69);
	ck_assert_int_eq(nclust("restart shop"), 69);
	ck_assert_int_eq(nclust("status shop"), 3);
}

TEST(the_only_one_is_meant)
{
	run("shop", "\"web\"", RESULT(HALF_READY));
	ck_assert_int_eq(nclust("status --json"), 1);
	ck_assert_str_eq(out, HALF_READY "\n");
	ck_assert_int_eq(nclust("status"), 1);
	ck_assert_ptr_nonnull(strstr(out, "web  ?, 1 of 2 ready"));
	ck_assert_int_eq(nclust("status web --json"), 1);
	ck_assert_int_eq(nclust("status shop/web --json"), 1);
	ck_assert_int_eq(nclust("status wep"), 3);
	ck_assert_ptr_nonnull(strstr(told, "did you mean 'web'?"));
}

TEST(of_several_one_must_be_named)
{
	run("shop", "\"web\",\"api\"", RESULT(HALF_READY));
	run("blog", "\"web\"", RESULT(ALL_READY));
	ck_assert_int_eq(nclust("status --json"), 1);
	ck_assert_str_eq(out, ALL_READY "\n" HALF_READY "\n");
	ck_assert_int_eq(nclust("status blog --json"), 0);
	ck_assert_str_eq(out, ALL_READY "\n");
	ck_assert_int_eq(nclust("restart"), 64);
	ck_assert_ptr_nonnull(strstr(told, "blog, shop"));
	ck_assert_int_eq(nclust("restart web"), 64);
	ck_assert_int_eq(nclust("restart blog/web"), 0);
	ck_assert_int_eq(nclust("restart api"), 0);
}

TEST(what_was_done_is_told)
{
	run("shop", "\"web\"", RESULT("{\"text\":\"2 \\u001bworkers\"}"));
	ck_assert_int_eq(nclust("scale web +1"), 0);
	ck_assert_str_eq(out, "2 \\x1bworkers\n");
	ck_assert_str_eq(told, "");
	ck_assert_int_eq(nclust("scale web +1 --json"), 0);
	ck_assert_str_eq(out, "{\"text\":\"2 \\u001bworkers\"}\n");
}

TEST(a_refusal_is_the_exit_status)
{
	run("shop", "\"web\"",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32003,"
		"\"message\":\"web.0: exit 1 after 0.3 s\"}}\n");
	ck_assert_int_eq(nclust("restart"), 1);
	ck_assert_str_eq(told, "nclust: web.0: exit 1 after 0.3 s\n");
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(nclust("restart --json"), 1);
	ck_assert_str_eq(out, "");
}

TEST(mistakes_in_a_file_are_lines_of_their_own)
{
	run("shop", "\"web\"",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32005,"
		"\"message\":\"shop.ini:1: a\\nshop.ini:2: b\"}}\n");
	ck_assert_int_eq(nclust("reload"), 78);
	ck_assert_str_eq(told, "shop.ini:1: a\nshop.ini:2: b\n");
}

TEST(an_answer_that_never_comes_is_told)
{
	run("shop", "\"web\"", "{\"jsonrpc\"");
	ck_assert_int_eq(nclust("restart"), 75);
	ck_assert_ptr_nonnull(strstr(told, "before the outcome was known"));
}

TEST(stop_waits_for_the_end)
{
	run("shop", "\"web\"", RESULT("{}"));
	(void)close(open(
		path_of("shop", "mark"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	ck_assert_int_eq(nclust("stop"), 0);
	ck_assert_int_eq(access(path_of("shop", "mark"), F_OK), -1);
}

TEST(events_are_lines_or_objects)
{
	run("shop", "\"web\"",
		"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{"
		"\"event\":\"ready\",\"text\":\"web.0: ready\",\"request\":1}}"
		"\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{"
		"\"event\":\"x\",\"text\":\"a\\nb\",\"request\":1}}\n" RESULT(
			"{}"));
	ck_assert_int_eq(nclust("events"), 0);
	ck_assert_str_eq(out, "web.0: ready\na\\x0ab\n");
	ck_assert_int_eq(nclust("events --json"), 0);
	ck_assert_str_eq(out,
		"{\"event\":\"ready\",\"text\":\"web.0: ready\"}\n"
		"{\"event\":\"x\",\"text\":\"a\\nb\"}\n");
}

TEST(config_is_shown_as_it_came)
{
	run("shop", "\"web\"",
		RESULT("{\"ini\":\"[nclust]\\nname = shop\\n\",\"settings\":{"
		       "\"nclust\":{}}}"));
	ck_assert_int_eq(nclust("config"), 0);
	ck_assert_str_eq(out, "[nclust]\nname = shop\n");
	ck_assert_int_eq(nclust("config --json"), 0);
	ck_assert_str_eq(out, "{\"settings\":{\"nclust\":{}}}\n");
}

static void write_file(const char *name, const char *text)
{
	int fd = open(path_of(name, ""), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

TEST(config_reads_a_file_and_asks_nobody)
{
	char line[300];

	write_file("a.ini", "[cluster:web]\ncommand = sleep 9\n");
	(void)snprintf(
		line, sizeof(line), "config -c %s", path_of("a.ini", ""));
	ck_assert_int_eq(nclust(line), 0);
	ck_assert_ptr_nonnull(strstr(out, "[cluster:web]"));
	(void)snprintf(line, sizeof(line), "config --json -c %s",
		path_of("a.ini", ""));
	ck_assert_int_eq(nclust(line), 0);
	ck_assert_int_eq(strncmp(out, "{\"settings\":{\"", 14), 0);
	ck_assert_str_eq(out + strlen(out) - 3, "}}\n");
	(void)snprintf(line, sizeof(line), "config --check -c %s",
		path_of("a.ini", ""));
	ck_assert_int_eq(nclust(line), 0);
	ck_assert_str_eq(out, "no mistakes found\n");
	(void)unlink(path_of("a.ini", ""));
}

TEST(config_tells_all_mistakes_of_a_file)
{
	char line[300];
	const char *path = path_of("b.ini", "");

	write_file("b.ini", "[cluster:web]\nworkers = many\nlisen = 1\n");
	(void)snprintf(line, sizeof(line), "config --check -c %s", path);
	ck_assert_int_eq(nclust(line), 78);
	ck_assert_ptr_nonnull(strstr(told, "b.ini:2: "));
	ck_assert_ptr_nonnull(strstr(told, "b.ini:3: "));
	ck_assert_str_eq(out, "");
	(void)unlink(path_of("b.ini", ""));
	(void)snprintf(line, sizeof(line), "config -c %s", path);
	ck_assert_int_eq(nclust(line), 78);
}

/* The socket's owner is who called listen(2); a byte sent would be seen. */
TEST(nothing_is_sent_to_a_stranger)
{
	int fd = bind_control("shop");
	int ready[2];
	char byte;
	int status;

	if (geteuid() != 0) {
		(void)close(fd);
		return; /* only root can play the stranger */
	}
	ck_assert_int_eq(pipe(ready), 0);
	servers[server_count] = fork();
	ck_assert_int_ge(servers[server_count], 0);
	if (servers[server_count] == 0) {
		int c;

		if (setresuid(65534, 65534, 65534) == -1 ||
			listen(fd, 1) == -1 || write(ready[1], "x", 1) != 1)
			_exit(2);
		c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		_exit(c != -1 && recv(c, &byte, 1, 0) == 0 ? 0 : 1);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ck_assert_int_eq(nclust("stop shop"), 77);
	ck_assert_ptr_nonnull(strstr(told, "belongs to uid 65534"));
	ck_assert_int_eq(waitpid(servers[server_count], &status, 0),
		servers[server_count]);
	ck_assert_int_eq(status, 0);
	(void)close(ready[0]);
	(void)close(ready[1]);
	(void)close(fd);
}

TEST(usage_is_checked_before_anybody_is_asked)
{
	ck_assert_int_eq(nclust("scale"), 64);
	ck_assert_str_eq(told,
		"nclust: scale: which number? e.g. nclust scale 4; try 'nclust "
		"help scale'\n");
	ck_assert_int_eq(nclust("status --watch"), 64);
	ck_assert_int_eq(nclust("config --check"), 64);
	ck_assert_int_eq(nclust("config shop -c x"), 64);
	ck_assert_int_eq(nclust("doctor -l 8000"), 64);
	ck_assert_int_eq(nclust("help nothing"), 64);
	ck_assert_int_eq(nclust("restart ../x"), 64);
	ck_assert_int_eq(nclust("statsu"), 64);
	ck_assert_int_eq(nclust("help stop"), 0);
	ck_assert_ptr_nonnull(strstr(out, "usage: nclust stop [OPTION]..."));
	ck_assert_int_eq(nclust("stop -h"), 0);
	ck_assert_ptr_nonnull(strstr(out, "--now"));
}

TEST(exec_claims_what_is_meant_for_its_child)
{
	char pid[24];

	ck_assert_int_eq(setenv("LISTEN_PID", "1", 1), 0);
	ck_assert_int_eq(unsetenv("WATCHDOG_PID"), 0);
	ck_assert_int_eq(nclust("exec -- printenv LISTEN_PID"), 0);
	(void)snprintf(pid, sizeof(pid), "%ld\n", (long)ran);
	ck_assert_str_eq(out, pid);
	ck_assert_int_eq(nclust("exec -- env"), 0);
	ck_assert_ptr_null(strstr(out, "WATCHDOG_PID"));
	ck_assert_int_eq(unsetenv("LISTEN_PID"), 0);
	ck_assert_int_eq(nclust("exec env"), 0);
	ck_assert_ptr_null(strstr(out, "LISTEN_PID"));
}

TEST(exec_tells_what_cannot_be_run)
{
	int fd;

	ck_assert_int_eq(nclust("exec -- no-such-program"), 127);
	ck_assert_ptr_nonnull(strstr(told, "cannot execute 'no-such-program'"));
	ck_assert_int_eq(nclust("exec -- /tmp"), 126);
	/* no #! line: a shell would run it, nclust does not */
	fd = open(path_of("mark", ""), O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "exit 0\n", 7), 7);
	(void)close(fd);
	{
		char line[300];

		(void)snprintf(
			line, sizeof(line), "exec -- %s", path_of("mark", ""));
		ck_assert_int_eq(nclust(line), 126);
	}
	(void)unlink(path_of("mark", ""));
	ck_assert_ptr_nonnull(strstr(told, "Exec format error"));
}
