/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

#include "cli/commands.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/*
 * The verbs as a user runs them, against servers that say what they were
 * told to say: each in a process of its own, in a runtime directory of the
 * test.  Output goes to files there.  What ends well is left to the end-to-end tests.
 */
static char place[64];
static pid_t server;
static char out[8192];
static char told[8192];

static const char *path_of(const char *name, const char *file)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s%s%s", place, name, file[0] != '\0' ? "/" : "", file);
	return path;
}

static void setup(void)
{
	strcpy(place, "/tmp/nclust-verbs.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place));
	ck_assert_int_eq(setenv("NCLUST_RUNTIME_DIR", place, 1), 0);
	server = 0;
}

static void teardown(void)
{
	if (server != 0) {
		(void)kill(server, SIGKILL);
		(void)waitpid(server, NULL, 0);
	}
	(void)unlink(path_of("shop", "control"));
	(void)rmdir(path_of("shop", ""));
	(void)unlink(path_of("out", ""));
	(void)unlink(path_of("told", ""));
	ck_assert_int_eq(rmdir(place), 0);
}

static int bind_control(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(mkdir(path_of("shop", ""), 0711), 0);
	strcpy(address.sun_path, path_of("shop", "control"));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void serve(int fd, const char *hello, const char *reply)
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
			for (const char *end = line; (end = strchr(end, '\n')) != NULL; end++)
				(void)send(c, reply, strlen(reply), MSG_NOSIGNAL);
			if (strchr(reply, '\n') == NULL)
				break; /* half an answer */
		}
		(void)close(c);
	}
}

/* An instance that answers every request by `reply`. */
static void run(const char *reply)
{
	int fd = bind_control();

	ck_assert_int_eq(listen(fd, 16), 0);
	server = fork();
	ck_assert_int_ge(server, 0);
	if (server == 0)
		serve(fd,
			quoted("{'jsonrpc':'2.0','method':'hello','params':{"
			       "'name':'shop','pid':7,'version':'1.0.0',"
			       "'protocol':1,'clusters':['web']}}\n"),
			quoted(reply));
	(void)close(fd);
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

	strcpy(copy, line);
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
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WIFEXITED(status), 1);
	slurp("out", out, sizeof(out));
	slurp("told", told, sizeof(told));
	return WEXITSTATUS(status);
}

#define RESULT(text) "{'jsonrpc':'2.0','id':1,'result':" text "}\n"

FIXTURE(setup, teardown)

TEST(a_socket_that_was_left_behind_is_nobody)
{
	int fd = bind_control();

	(void)close(fd);
	ck_assert_int_eq(nclust("restart"), 69);
	ck_assert_int_eq(nclust("restart shop"), 69);
	ck_assert_int_eq(nclust("status shop"), 3);
}

TEST(what_was_done_is_told)
{
	run(RESULT("{'text':'2 \\u001bworkers'}"));
	ck_assert_int_eq(nclust("scale web +1"), 0);
	ck_assert_str_eq(out, "2 \\x1bworkers\n");
	ck_assert_str_eq(told, "");
	ck_assert_int_eq(nclust("scale web +1 --json"), 0);
	ck_assert_str_eq(out, quoted("{'text':'2 \\u001Bworkers'}\n"));
}

TEST(a_refusal_is_the_exit_status)
{
	run("{'jsonrpc':'2.0','id':1,'error':{'code':-32003,"
	    "'message':'web.0: exit 1 after 0.3 s'}}\n");
	ck_assert_int_eq(nclust("reload"), 1);
	ck_assert_str_eq(told, "nclust: web.0: exit 1 after 0.3 s\n");
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(nclust("reload --json"), 1);
	ck_assert_str_eq(out, "");
}

TEST(mistakes_in_a_file_are_lines_of_their_own)
{
	run("{'jsonrpc':'2.0','id':1,'error':{'code':-32005,"
	    "'message':'shop.ini:1: a\\nshop.ini:2: b'}}\n");
	ck_assert_int_eq(nclust("reload"), 78);
	ck_assert_str_eq(told, "shop.ini:1: a\nshop.ini:2: b\n");
}

TEST(an_answer_that_never_comes_is_told)
{
	run("{'jsonrpc'");
	ck_assert_int_eq(nclust("restart"), 75);
	has(told, "before the outcome was known");
}

/* The socket's owner is who called listen(2); a byte sent would be seen. */
TEST(nothing_is_sent_to_a_stranger)
{
	int fd = bind_control();
	int ready[2];
	char byte;
	int status;

	if (geteuid() != 0) {
		(void)close(fd);
		return; /* only root can play the stranger */
	}
	ck_assert_int_eq(pipe(ready), 0);
	server = fork();
	ck_assert_int_ge(server, 0);
	if (server == 0) {
		int c;

		if (setresuid(65534, 65534, 65534) == -1 || listen(fd, 1) == -1 ||
			write(ready[1], "x", 1) != 1)
			_exit(2);
		c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		_exit(c != -1 && recv(c, &byte, 1, 0) == 0 ? 0 : 1);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ck_assert_int_eq(nclust("stop shop"), 77);
	has(told, "belongs to uid 65534");
	ck_assert_int_eq(waitpid(server, &status, 0), server);
	ck_assert_int_eq(status, 0);
	server = 0;
	(void)close(ready[0]);
	(void)close(ready[1]);
	(void)close(fd);
}
