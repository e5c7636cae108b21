/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

#include "cli/doctor.h"
#include "cli/render.h"
#include "os/look/remote.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct trial trial;
static struct exam exam;
static struct arguments arguments;
static json_t *facts;
static pid_t holder; /* of our descriptors */

static void setup(void)
{
	trial = (struct trial){.events = json_array()};
	arguments = (struct arguments){.given_count = 0};
	exam = (struct exam){.trial = &trial, .arguments = &arguments};
	facts = json_array();
}

static void teardown(void)
{
	if (holder > 0) {
		(void)kill(holder, SIGKILL);
		(void)waitpid(holder, NULL, 0);
	}
	json_decref(trial.events);
	json_decref(facts);
}

FIXTURE(setup, teardown)

/* ---- what the instance tells ---- */

TEST(a_life_is_put_together_from_events)
{
	static const char *const events[] = {
		"{'event':'started','time':5,'slot':1,'worker':2,'pid':77}",
		"{'event':'listening','time':6}", "{'event':'ready','time':7,'slot':1,'worker':2}",
		("{'event':'exited','time':9,'slot':1,'worker':2,'exit':'exit 3','after':4.5,"
		 "'last_output':'so'}"),
		"{'event':'started','time':10,'slot':1,'worker':4,'pid':78}"};
	json_t *end;

	for (size_t i = 0; i < COUNT_OF(events); i++)
		(void)json_array_append_new(trial.events, json_of(events[i]));
	ck_assert_int_eq(trial_pid(&trial, 2), 77);
	ck_assert(trial_time(&trial, 2, "ready") == 7 && trial_time(&trial, 4, "ready") == 0);
	ck_assert_uint_eq(trial_worker(&trial, 1), 4);
	ck_assert_uint_eq(trial_worker(&trial, 0), 0);
	ck_assert_ptr_null(trial_event(&trial, 4, "exited"));
	end = exam_end_of(&exam, 2);
	ck_assert_str_eq(field_raw(end, "exit"), "exit 3");
	ck_assert_str_eq(field_raw(end, "last_output"), "so");
}

/* ---- sockets ---- */

static int open_tcp(int type, in_port_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, type, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* A process that has what we have, and a session of its own. */
static void start_holder(void)
{
	int ends[2];
	char byte = 0;

	ck_assert_int_eq(pipe(ends), 0);
	holder = fork();
	if (holder == 0) {
		(void)setsid();
		(void)!write(ends[1], &byte, 1);
		for (;;)
			(void)pause();
	}
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

TEST(sockets_that_listen_are_found)
{
	in_port_t port;
	scoped_fd idle __attribute__((unused)) = open_tcp(SOCK_STREAM, &port);
	scoped_fd tcp = open_tcp(SOCK_STREAM, &port);
	struct remote ourselves = {.tid = getpid()};
	scoped_fd ours = remote_fd(&ourselves, tcp);
	scoped_fd visit = -1;
	const struct held_socket *s;
	struct held held;
	char text[64];

	if (ours == -1)
		return; /* pidfd_getfd(2) is refused (valgrind): they cannot be told */
	ck_assert_int_eq(listen(tcp, 7), 0);
	start_holder();
	held_look(&held, &trial, holder);
	ck_assert_uint_eq(held.processes, 1);
	ck_assert_uint_eq(held.count, 1); /* `idle` does not listen */
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", port);
	s = &held.list[0];
	ck_assert_str_eq(s->text, text);
	ck_assert_uint_eq(s->port, port);
	ck_assert_ptr_eq(held_find(&held, s->inode, ""), s);
	ck_assert_ptr_null(held_find(&held, 1, ""));
	ck_assert_ptr_eq(held_find(&held, 1, s->text), s);
	visit = held_visit(s->text);
	ck_assert_int_ne(visit, -1);
}

TEST(unix_sockets_are_found_by_their_path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	scoped_fd fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct remote ourselves = {.tid = getpid()};
	scoped_fd ours = remote_fd(&ourselves, fd);
	scoped_fd visit = -1;
	struct held held;

	snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/nclust-t.%d", (int)getpid());
	(void)unlink(at.sun_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	start_holder();
	if (ours != -1) {
		held_look(&held, &trial, holder);
		ck_assert_uint_eq(held.count, 1);
		ck_assert_str_eq(held.list[0].text + strlen("unix:"), at.sun_path);
		visit = held_visit(held.list[0].text);
		ck_assert_int_ne(visit, -1);
	}
	(void)unlink(at.sun_path);
}

/* ---- what is told ---- */

TEST(a_command_line_is_advised)
{
	char *command[] = {(char[]){"./server"}, (char[]){"it's"}, NULL};
	scoped_str run = NULL;
	scoped_str alone = NULL;
	json_t *words;

	exam.sign = SIGN_NOTIFY;
	exam.beside = true;
	arguments.command = command;
	arguments.given[0] = "--nice=1";
	exam.takes_passed = true;
	exam.places[exam.place_count++] =
		(struct exam_place){.how = HOW_PASSED, .share = SHARE_SAME};
	ck_assert(exam_copies_work(&exam));
	words = exam_command_line(&exam);
	run = json_dumps(words, JSON_COMPACT);
	ck_assert_str_eq(run,
		"[\"nclust\",\"--nice=1\",\"-n\",\"auto\",\"-l\",\"8000\","
		"\"--ready\",\"notify\",\"--\",\"./server\",\"it's\"]");
	json_decref(words);
	exam.beside = false;
	ck_assert(!exam_copies_work(&exam));
	words = exam_command_line(&exam);
	alone = json_dumps(words, JSON_COMPACT);
	ck_assert_ptr_nonnull(strstr(alone, "\"-n\",\"1\",\"--surge\",\"0\""));
	json_decref(words);
}

static const char *about_threads(unsigned count, unsigned computing, unsigned cpus)
{
	(void)json_array_clear(facts);
	facts_threads(facts, count, computing, cpus);
	return json_string_value(json_object_get(json_array_get(facts, 0), "found"));
}

TEST(threads_are_told_of_where_copies_would_have_too_many)
{
	ck_assert_ptr_null(about_threads(1, 1, 1));
	ck_assert_ptr_null(about_threads(1, 1, 8));
	ck_assert_ptr_null(about_threads(7, 1, 8));
	ck_assert_str_eq(about_threads(11, 1, 8),
		"11, which do not compute now: with a copy for each CPU 88");
	ck_assert_str_eq(about_threads(4, 2, 8),
		"4 threads, 2 busy at once; with a copy for each CPU 16 busy threads on 8 CPUs");
	ck_assert_str_eq(about_threads(2, 2, 1),
		"2 threads, 2 busy at once; with a copy for each CPU 2 busy threads on 1 CPU");
}
