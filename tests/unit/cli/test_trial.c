/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

#include "cli/doctor.h"
#include "cli/trial.h"
#include "cli/trial_exam.h"
#include "cli/trial_socket.h"
#include "os/look/remote.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct trial trial;
static struct exam exam;
static struct buffer out;
static pid_t holder; /* of our descriptors */

static void setup(void)
{
	(void)memset(&trial, 0, sizeof(trial));
	(void)memset(&exam, 0, sizeof(exam));
	trial.output.fd = -1;
	buffer_init(&out, 0);
}

static void teardown(void)
{
	if (holder > 0) {
		(void)kill(holder, SIGKILL);
		(void)waitpid(holder, NULL, 0);
	}
	lineup_fini(&trial.output.lines);
	buffer_fini(&trial.output.own);
	buffer_fini(&trial.output.workers);
	fd_close(&trial.output.fd);
	buffer_fini(&out);
}

/* ---- what the instance tells ---- */

static void tell(const char *json)
{
	json_t *event = json_of(json);

	trial_take_event(&trial, event);
	json_decref(event);
}

FIXTURE(setup, teardown)

TEST(a_life_is_put_together_from_events)
{
	const struct trial_life *life;

	for (int i = 0; i < 2; i++) { /* the history comes again and again */
		tell("{'event':'started','time':5,'slot':1,'worker':2,"
		     "'pid':77}");
		tell("{'event':'listening','time':6}");
		tell("{'event':'ready','time':7,'slot':1,'worker':2}");
		tell("{'event':'exited','time':9,'slot':1,'worker':2,"
		     "'exit':'exit 3'}");
	}
	tell("{'event':'started','time':10,'slot':1,'worker':4,"
	     "'pid':78}");
	life = trial_life(&trial, 2);
	ck_assert_ptr_nonnull(life);
	ck_assert_int_eq(life->pid, 77);
	ck_assert(life->started == 5 && life->ready == 7 && life->exited == 9);
	ck_assert_str_eq(life->exit, "exit 3");
	ck_assert_ptr_eq(trial_latest(&trial, 1), trial_life(&trial, 4));
	ck_assert_ptr_null(trial_latest(&trial, 0));
	ck_assert_ptr_null(trial_life(&trial, 0));
}

/* ---- output ---- */

static int pipe_in(void)
{
	int fd = trial_output_open(&trial.output);

	ck_assert_int_ne(fd, -1);
	return fd;
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	trial_output_drain(&trial.output);
}

TEST(output_is_told_apart)
{
	scoped_fd fd = pipe_in();
	char text[100];

	say(fd, "nclust: doctor.0: cannot bind x\ndoctor.0 | one\ndoct");
	say(fd, "or.1 | cannot bind y | z\ndoctor.0 | two\n");
	ck_assert(trial_logged(&trial, "cannot bind", text, sizeof(text)));
	ck_assert_str_eq(text, "cannot bind x");
	ck_assert(!trial_logged(&trial, "two", text, sizeof(text)));
	trial_last_lines(&trial, 2, &out);
	ck_assert_str_eq(buffer_text(&out), "cannot bind y | z\ntwo\n");
	ck_assert_str_eq(trial.output.last[0], "two");
	ck_assert_str_eq(trial.output.last[1], "cannot bind y | z");
	buffer_clear(&out);
	trial_last_lines(&trial, 10, &out);
	ck_assert_str_eq(buffer_text(&out), "one\ncannot bind y | z\ntwo\n");
}

TEST(of_a_flood_the_end_is_kept)
{
	scoped_fd fd = pipe_in();
	char line[200];

	for (int i = 0; i < 2000; i++) {
		(void)snprintf(line, sizeof(line), "doctor.0 | %0100d\n", i);
		say(fd, line);
	}
	ck_assert_uint_lt(trial.output.workers.len, 32768);
	trial_last_lines(&trial, 1, &out);
	ck_assert_uint_eq(out.len, 101);
	has(buffer_text(&out), "01999\n");
	/* and no line is a part of one */
	buffer_clear(&out);
	trial_last_lines(&trial, 1000000, &out);
	ck_assert_uint_eq(out.len % 101, 0);
	/* one without an end is bounded */
	for (int i = 0; i < 2000; i++)
		say(fd, "xxxxxxxxxxxxxxxx");
	ck_assert_uint_le(trial.output.lines.part.len, 16384);
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
	scoped_fd ours = -1;
	scoped_fd visit = -1;
	const struct held_socket *s;
	struct held held;
	char text[64];
	char options[100];

	ck_assert_int_eq(listen(tcp, 7), 0);
	start_holder();
	held_look(&held, holder);
	ck_assert_uint_eq(held.processes, 1);
	ck_assert_uint_eq(held.count, 1); /* `idle` does not listen */
	(void)snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", port);
	s = &held.list[0];
	ck_assert_str_eq(s->text, text);
	ck_assert_int_eq(s->kind, HELD_TCP);
	ck_assert_ptr_eq(held_by_inode(&held, s->inode), s);
	ck_assert_ptr_null(held_by_inode(&held, 1));
	ck_assert_ptr_eq(held_alike(&held, s), s);
	/* where pidfd_getfd(2) is refused (valgrind), they cannot be told */
	ours = remote_fd(&ourselves, tcp);
	ck_assert_str_eq(held_options(s, options, sizeof(options)), ours != -1 ? "backlog 7" : "");
	visit = held_visit(s);
	ck_assert_int_ne(visit, -1);
}

TEST(unix_sockets_are_found_by_their_path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	scoped_fd fd = socket(AF_UNIX, SOCK_STREAM, 0);
	scoped_fd visit = -1;
	struct held held;

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/nclust-t.%d x", (int)getpid());
	(void)unlink(at.sun_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	start_holder();
	held_look(&held, holder);
	ck_assert_uint_eq(held.count, 1);
	ck_assert_int_eq(strncmp(held.list[0].text, "unix:", 5), 0);
	ck_assert_str_eq(held.list[0].text + 5, at.sun_path);
	visit = held_visit(&held.list[0]);
	ck_assert_int_ne(visit, -1);
	(void)unlink(at.sun_path);
}

/* ---- what is told ---- */

TEST(time_stands_nearly_still_while_one_waits_for_a_cpu)
{
	/* all is asleep, or has all that there is */
	ck_assert_int_eq(trial_lag(20 * MSEC, false, 0), 0);
	ck_assert_int_eq(trial_lag(20 * MSEC, true, 20 * MSEC), 0);
	ck_assert_int_eq(trial_lag(20 * MSEC, true, 40 * MSEC), 0);
	/* it has had half of it, or very little; what one has used is gone
	 * with it */
	ck_assert_int_eq(trial_lag(20 * MSEC, true, 10 * MSEC), 10 * MSEC);
	ck_assert_int_eq(trial_lag(20 * MSEC, true, 0), 18 * MSEC);
	ck_assert_int_eq(trial_lag(20 * MSEC, true, -SECOND), 18 * MSEC);
	/* we have had none ourselves */
	ck_assert_int_eq(trial_lag(300 * MSEC, false, 0), 200 * MSEC);
	ck_assert_int_eq(trial_lag(2 * SECOND, false, 0), 1800 * MSEC);
}

TEST(a_command_line_is_advised)
{
	char *command[] = {(char[]){"./server"}, (char[]){"it's"}, NULL};

	exam.life = LIFE_SERVING;
	exam.sign = SIGN_NOTIFY;
	exam.second_ready = true;
	exam.command = command;
	exam.takes_passed = true;
	exam.places[exam.place_count++] =
		(struct exam_place){.how = HOW_PASSED, .share = SHARE_SAME};
	exam.own_count = 1;
	(void)strcpy(exam.own[0], "127.0.0.1:80");
	exam.way = WAY_STDIN;
	ck_assert(exam_copies_work(&exam));
	ck_assert(doctor_command_line(&exam, &out));
	ck_assert_str_eq(buffer_text(&out),
		"nclust -n auto -l 127.0.0.1:80 --pass stdin --ready notify -- "
		"./server 'it'\\''s'\n");
	exam.first_gone = true;
	ck_assert(!exam_copies_work(&exam));
}

static const char *about_threads(
	struct facts *facts, unsigned count, unsigned computing, unsigned cpus)
{
	*facts = (struct facts){.count = 0};
	exam.life = LIFE_SERVING;
	exam.threads = count;
	exam.computing = computing;
	exam.cpus = cpus;
	doctor_tell_start(&exam, facts);
	for (size_t i = 0; i < facts->count; i++)
		if (strcmp(facts->list[i].name, "threads") == 0)
			return facts->list[i].found;
	return NULL;
}

TEST(threads_are_told_of_where_copies_would_have_too_many)
{
	static struct facts facts;

	ck_assert_ptr_null(about_threads(&facts, 1, 1, 1));
	ck_assert_ptr_null(about_threads(&facts, 1, 1, 8));
	ck_assert_ptr_null(about_threads(&facts, 7, 1, 8));
	ck_assert_str_eq(about_threads(&facts, 11, 1, 8),
		"11, which do not compute now: with a copy for each CPU 88");
	ck_assert_str_eq(about_threads(&facts, 4, 2, 8),
		"4 threads, 2 busy at once; with a copy for each CPU "
		"16 busy threads on 8 CPUs");
	ck_assert_str_eq(about_threads(&facts, 2, 2, 1),
		"2 threads, 2 busy at once; with a copy for each CPU "
		"2 busy threads on 1 CPU");
}

TEST(all_facts_fit_however_many_sockets_there_are)
{
	char *command[] = {(char[]){"./server"}, NULL};
	struct facts facts = {.count = 0};

	exam.life = LIFE_SERVING;
	exam.sign = SIGN_LISTEN;
	exam.second_ready = true;
	(void)strcpy(exam.refused, "x");
	for (int i = 0; i < HELD_MAX; i++)
		exam.places[exam.place_count++] =
			(struct exam_place){.how = HOW_BOUND, .share = SHARE_SAME};
	exam.quiet.tried = exam.busy.tried = true;
	exam.threads = exam.computing = 2;
	doctor_tell_start(&exam, &facts);
	doctor_tell_copy(&exam, &facts);
	doctor_tell_stop(&exam, &facts);
	doctor_tell_untold(&exam, &facts);
	ck_assert_uint_lt(facts.count, FACTS_MAX);
	exam.command = command;
	doctor_encode(&exam, &facts, &out);
	ck_assert(!out.failed);
}
