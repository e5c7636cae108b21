/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/control/clients.h"
#include "supervisor/control/control.h"
#include "supervisor/control/outcomes.h"
#include "supervisor/messages/channel.h"
#include "supervisor/workers/service.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * Clients of the control socket: what they are answered, and that who asks for a
 * change hears of it when it is done, or has failed.
 */
#define TWO \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"drain = off\nsurge = 1\n" \
	"[cluster:job]\ncommand = /bin/job\nworkers = 1\nready = notify\n" \
	"restart = on-failure\n" \
	"surge = 1\n"

ROOM_HEARS("news", "control")

/* As before Linux 6.16. */
REPLACED(void, fdpass_refuse)(int fd)
{
	(void)fd;
}

/* As a number it is a little less than so many nanoseconds / 1e9. */
REPLACED(double, clock_wall)(void)
{
	return 1795384728.011;
}

/* What is not closed in the loop. */
static size_t given;

REPLACED(void, async_close)
(struct supervisor *sup, const struct child *by, int *fd)
{
	(void)sup;
	(void)by;
	given += *fd != -1;
	fd_close(fd);
}

REPLACED(void, async_hang_up)
(struct supervisor *sup, const struct child *by, int *fd)
{
	(void)shutdown(*fd, SHUT_RDWR);
	async_close(sup, by, fd);
}

REPLACED(ssize_t, async_close_read)
(struct supervisor *sup, const struct child *by, int fd, void *data, size_t size,
	enum fdpass_take take, struct fdpass_message *m)
{
	(void)sup;
	(void)by;
	return fdpass_read_apart(fd, data, size, take, m);
}

static struct service *web;
static char text[64 * 1024];

/* What is due at the end of a turn. */
static void turn(void)
{
	room_pass(0);
	clients_look(&room);
	room_pass(0);
}

/* It is not accepted yet. */
static int call(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%.80s/control", room.rundir.path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static int connect_one(void)
{
	int fd = call();

	turn();
	return fd;
}

/* What has come by now. */
static const char *heard(int fd)
{
	ssize_t got;

	turn();
	got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

static bool has(int fd, const char *piece)
{
	return strstr(heard(fd), piece) != NULL;
}

/* Has the change that it waits for been done? */
static bool is_answered(int fd)
{
	return has(fd, "\"ok\":true");
}

static void say(int fd, const char *line)
{
	ck_assert_int_eq(send(fd, line, strlen(line), MSG_NOSIGNAL), (int)strlen(line));
	turn();
}

static void ask(int fd, const char *method, const char *params)
{
	char line[512];

	snprintf(line, sizeof(line),
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\","
		"\"params\":{%s}}\n",
		method, params);
	say(fd, line);
}

static int peer;

static void begin(void)
{
	struct error err = {0};

	room_begin(TWO);
	room_open_rundir();
	ck_assert_msg(clients_init(&room, &err) == 0, "%s", err.text);
	web = room_cluster("web");
	room_tick(web);
	room_tick(room_cluster("job"));
	for (uint32_t slot = 0; slot < 2; slot++)
		room_tell(room_child(web, slot), EVENT_READY);
	peer = connect_one();
	ck_assert(has(peer, "\"hello\""));
}

static void end(void)
{
	if (peer != -1)
		(void)close(peer);
	room_stop();
	control_on_shutdown(&room);
	room_end();
}

FIXTURE(begin, end)

TEST(a_request_may_come_in_pieces)
{
	say(peer, "{\"jsonrpc\":\"2.0\",\"id\":1,");
	ck_assert_str_eq(heard(peer), "");
	say(peer, "\"method\":\"status\"}\n");
	ck_assert(has(peer, "\"name\":\"web\""));
}

TEST(what_is_not_understood_is_said_and_the_next_is_answered)
{
	say(peer, "nonsense\n");
	ck_assert(has(peer, "-32700"));
	ask(peer, "dance", "");
	ck_assert(has(peer, "-32601"));
	ask(peer, "restart", "\"target\":\"nobody\"");
	ck_assert(has(peer, "there is no cluster 'nobody'"));
	ask(peer, "status", "\"target\":\"web\"");
	ck_assert(has(peer, "\"name\":\"web\""));
}

/* The worker of that slot is replaced, its successor is ready. */
static void replace(uint32_t slot)
{
	struct child *old = web->children[slot][0];

	room_tick(web);
	room_tell(room_child(web, slot), EVENT_READY);
	room_exits(old, 0);
	room_tick(web);
}

TEST(a_restart_is_answered_when_it_is_done)
{
	ask(peer, "restart", "\"target\":\"web\"");
	replace(0);
	ck_assert(!is_answered(peer));
	replace(1);
	ck_assert(is_answered(peer));
}

/* One fails, the other is done, whichever is over first. */
TEST(a_restart_of_all_tells_what_became_of_each)
{
	struct service *job = room_cluster("job");
	struct child *old = room_child(job, 0);

	room_tell(old, EVENT_READY);
	ask(peer, "restart", "");
	room_tick(job);
	room_tell(room_child(job, 0), EVENT_READY);
	room_exits(old, 0);
	room_tick(job);
	room_tick(web);
	for (int i = 0; i < 10 && cluster_alive(web->core) > 2; i++) {
		room_exits(room_child(web, 0), 3);
		room_pass(60 * SECOND);
	}
	(void)heard(peer);
	ck_assert_ptr_nonnull(strstr(text, "\"id\":7,\"error\""));
	memmove(text, strstr(text, "\"id\":7,\"error\""),
		strlen(strstr(text, "\"id\":7,\"error\"")) + 1);
	ck_assert_ptr_nonnull(strstr(text, "\"web: restart failed: "));
	ck_assert_ptr_nonnull(strstr(text, "exit 3"));
	ck_assert_ptr_nonnull(strstr(text, "; job: rollout 1 done: "));
}

/* It was undone while another one went on. */
TEST(a_restart_that_failed_is_told_though_the_way_back_is_done)
{
	struct service *job = room_cluster("job");
	struct child *old = room_child(job, 0);
	struct child *new;

	room_tell(old, EVENT_READY);
	ask(peer, "restart", "");
	replace(0);
	new = room_child(web, 0);
	room_exits(room_child(web, 1), 3);
	(void)heard(peer);
	ck_assert_ptr_nonnull(strstr(text, "web: restart failed: "));
	room_tick(web);
	room_tell(room_child(web, 0), EVENT_READY);
	room_exits(new, 0);
	room_tick(web);
	(void)heard(peer);
	ck_assert_msg(strstr(text, "web: rollout 2 done: "), "%s", text);
	ck_assert_ptr_null(strstr(text, "\"id\":7"));
	room_tick(job);
	room_tell(room_child(job, 0), EVENT_READY);
	room_exits(old, 0);
	room_tick(job);
	ck_assert(has(peer, "\"error\""));
	ck_assert_ptr_nonnull(strstr(text, "\"web: restart failed: "));
	ck_assert_ptr_nonnull(strstr(text, "; job: rollout 1 done: "));
}

/* Of the workers that a scale has started one ends; an old one may. */
TEST(a_scale_fails_with_its_own_workers)
{
	ask(peer, "scale", "\"target\":\"web\",\"count\":3");
	room_exits(room_child(web, 0), 1);
	ck_assert(!has(peer, "\"error\""));
	room_pass(2 * SECOND);
	room_exits(room_child(web, 2), 1);
	ck_assert(has(peer, "\"error\""));
	ck_assert_ptr_nonnull(strstr(text, "web.2: "));
}

TEST(a_scale_is_done_when_all_its_jobs_end_with_success_in_one_turn)
{
	struct service *job = room_cluster("job");

	ask(peer, "scale", "\"target\":\"job\",\"count\":2");
	room_exits(room_child(job, 0), 0);
	room_exits(room_child(job, 1), 0);
	ck_assert(is_answered(peer));
	ck_assert_ptr_null(strstr(text, "error"));
}

/* The end of an old worker is published when its last output has come. */
TEST(an_old_worker_that_ends_fails_no_scale)
{
	struct report report = {
		.kind = REPORT_EXITED,
		.why = WHY_ITSELF,
		.was_ready = true,
		.worker = room_child(web, 0)->worker,
		.age = SECOND,
	};

	ask(peer, "scale", "\"target\":\"web\",\"count\":3");
	room_pass(2 * SECOND);
	control_on_published(&room, web, &report, "{}", "web.0: exit 1");
	room_tell(room_child(web, 2), EVENT_READY);
	ck_assert(is_answered(peer));
	ck_assert_ptr_null(strstr(text, "error"));
}

/* That it has stopped is published after a worker's last output has come. */
TEST(a_stop_of_before_fails_no_restart)
{
	struct news *n = calloc(1, sizeof(*n));

	ck_assert_ptr_nonnull(n);
	n->serial = 1;
	n->patience = NSEC_NEVER;
	ask(peer, "stop", "\"target\":\"web\"");
	room_exits(room_child(web, 0), 0);
	room.news.head = room.news.tail = n; /* of another worker; the next ones come after it */
	room_exits(room_child(web, 1), 0);
	ck_assert(is_answered(peer));
	ask(peer, "restart", "\"target\":\"web\"");
	news_stop_waiting(&room);
	ck_assert(!has(peer, "\"error\""));
	room_tick(web);
	for (uint32_t slot = 0; slot < 2; slot++)
		room_tell(room_child(web, slot), EVENT_READY);
	room_tick(web);
	ck_assert(is_answered(peer));
}

/* A status may be longer than what else may lie unread. */
TEST(a_long_status_is_answered_whole)
{
	const struct client *c = room.control.first;
	size_t got = 0;

	ask(peer, "scale", "\"target\":\"web\",\"count\":5000,\"no_wait\":true");
	room_tick(web);
	ask(peer, "status", "");
	ck_assert_int_eq(c->state, CLIENT_IDLE);
	ck_assert_uint_gt(c->out.len, CLIENT_OUT_MAX / 2);
	for (int i = 0; i < 1000 && c->out.len > 0; i++)
		got += strlen(heard(peer));
	ck_assert_uint_gt(got, CLIENT_OUT_MAX / 2);
	ask(peer, "status", "\"target\":\"job\"");
	ck_assert(has(peer, "\"name\":\"job\""));
}

TEST(who_waits_for_a_cluster_that_goes_is_answered)
{
	ask(peer, "restart", "\"target\":\"web\"");
	service_stop(web, false);
	ck_assert(has(peer, "\"id\":7,\"error\""));
}

/* Ask for events; all that comes until the answer. */
static char got_all[512 * 1024];

static const char *events(const char *params)
{
	int fd = connect_one();
	size_t used = 0;

	ask(fd, "events", params);
	got_all[0] = '\0';
	for (int i = 0; i < 200 && !strstr(got_all, "\"result\"") && !strstr(got_all, "\"error\"");
		i++)
		used += strlen(strcpy(got_all + used, heard(fd)));
	(void)close(fd);
	return got_all;
}

static unsigned count_of(const char *piece)
{
	unsigned n = 0;

	for (const char *at = got_all; (at = strstr(at, piece)) != NULL; at++)
		n++;
	return n;
}

TEST(an_event_is_since_its_own_time)
{
	(void)events("");
	ck_assert_uint_gt(count_of("\"ready\""), 0);
	ck_assert_uint_gt(count_of("\"time\":1795384728.011"), 0);
	(void)events("\"since\":1795384728.011");
	ck_assert_uint_gt(count_of("\"ready\""), 0);
	(void)events("\"since\":1795384728.012");
	ck_assert_uint_eq(count_of("\"method\":\"event\""), 0);
}

TEST(events_are_those_that_were_asked_for)
{
	char since[64];

	room_killed(room_child(web, 0), SIGSEGV);
	room_killed(room_child(room_cluster("job"), 0), SIGSEGV);
	(void)events("");
	ck_assert_uint_eq(count_of("\"exited\""), 2);
	ck_assert_uint_gt(count_of("\"ready\""), 0);
	(void)events("\"kinds\":[\"exited\",\"scaled\"]");
	ck_assert_uint_eq(count_of("\"exited\""), 2);
	ck_assert_uint_eq(count_of("\"method\":\"event\""), 2);
	(void)events("\"kinds\":[\"exited\"],\"target\":\"job\"");
	ck_assert_uint_eq(count_of("\"exited\""), 1);
	(void)events("\"kinds\":[\"exited\"],\"last\":1");
	ck_assert_uint_eq(count_of("\"cluster\":\"job\""), 1);
	ck_assert_uint_eq(count_of("\"method\":\"event\""), 1);
	snprintf(since, sizeof(since), "\"since\":%.0f", clock_wall() - 1);
	(void)events(since);
	ck_assert_uint_eq(count_of("\"exited\""), 2);
	snprintf(since, sizeof(since), "\"since\":%.0f", clock_wall() + 1);
	(void)events(since);
	ck_assert_uint_eq(count_of("\"method\":\"event\""), 0);
}

TEST(events_of_what_is_gone_can_be_asked_for)
{
	ck_assert_ptr_nonnull(strstr(events("\"target\":\"old\""), "there is no cluster"));
	ck_assert_ptr_nonnull(strstr(events("\"target\":\"web.7\""), "'web' has slot"));
	/* a name that is in a text is nobody's */
	news_say(&room, LOG_NOTE, "reloaded", "\"cluster\":\"old\"");
	ck_assert_ptr_nonnull(strstr(events("\"target\":\"old\""), "there is no cluster"));
	news_say_slot(web, 7, LOG_NOTE, "ended-meanwhile", "one");
	(void)events("\"target\":\"web.7\"");
	ck_assert_uint_eq(count_of("web.7: one"), 1);
	ck_assert_uint_eq(count_of("\"method\":\"event\""), 1);
	text_copy(web->name, sizeof(web->name), "old");
	news_say_of(web, LOG_NOTE, "balance", "two");
	text_copy(web->name, sizeof(web->name), "web");
	(void)events("\"target\":\"old\"");
	ck_assert_uint_eq(count_of("old: two"), 1);
	ck_assert_uint_eq(count_of("\"method\":\"event\""), 1);
}

/* More than one slice, and what happens meanwhile. */
TEST(a_long_history_comes_in_order_and_then_what_happens)
{
	int fd = connect_one();
	const char *at = got_all;
	size_t used = 0;
	int number;
	int last = -1;

	for (int i = 0; i < 2000; i++)
		news_say_of(web, LOG_NOTE, "listening", "number %d of many", i);
	ask(fd, "events", "\"follow\":true");
	got_all[0] = '\0';
	for (int i = 0; i < 400; i++) {
		if (i < 100)
			news_say_of(web, LOG_NOTE, "listening", "number %d of many", 2000 + i);
		used += strlen(strcpy(got_all + used, heard(fd)));
	}
	while ((at = strstr(at, "web: number ")) != NULL) {
		at += strlen("web: number ");
		number = atoi(at);
		ck_assert(last == -1 || number == last + 1);
		last = number;
	}
	ck_assert_int_eq(last, 2099);
	ck_assert_uint_gt(count_of("web: number "), 600);
	(void)close(fd);
}

/* As much memory as there is room for is not taken for one that does not read. */
TEST(only_one_history_is_made_for_a_client_that_does_not_read)
{
	int fd = connect_one();
	size_t most = 0;

	for (int i = 0; i < 2000; i++)
		news_say_of(web, LOG_NOTE, "listening", "number %d of many", i);
	for (int i = 0; i < 8; i++)
		ask(fd, "events", "");
	for (struct client *c = room.control.first; c != NULL; c = c->next)
		if (c->out.len > most)
			most = c->out.len;
	ck_assert_uint_lt(most, 512 * 1024);
	(void)close(fd);
}

/* What a message says of clusters is its own business. */
TEST(a_message_is_shown_to_who_follows_the_events_of_its_worker)
{
	static const char message[] = "{\"cluster\":\"job\"}";
	const struct channel of_web = {.child = room_child(web, 0)};
	int of_job = connect_one();
	int output = connect_one();

	ask(peer, "events", "\"follow\":true,\"target\":\"web.0\",\"last\":0");
	ask(of_job, "events", "\"follow\":true,\"target\":\"job\",\"last\":0");
	ck_assert(has(output, "\"hello\""));
	ask(output, "logs", "\"follow\":true");
	messages_show(&of_web, message, strlen(message), true);
	ck_assert(has(peer, message));
	ck_assert(!has(of_job, "\"message\""));
	ck_assert(!has(output, "\"message\""));
	(void)close(of_job);
	(void)close(output);
}

TEST(who_waits_for_a_reload_when_nclust_ends_is_told)
{
	ask(peer, "restart", "\"target\":\"web\"");
	room.control.first->pending = true;
	room.control.first->request.method = METHOD_RELOAD;
	control_on_shutdown(&room);
	ck_assert(has(peer, "nclust ended before it had read"));
}

static void is_cut_off(void)
{
	room_pass(CLIENT_PATIENCE + 2 * SECOND);
	(void)heard(peer);
	ck_assert_int_eq(recv(peer, text, 1, MSG_DONTWAIT), 0);
}

TEST(a_line_without_an_end_is_not_waited_for)
{
	say(peer, "{\"jsonrpc\"");
	is_cut_off();
}

TEST(nor_is_one_that_came_while_the_one_before_was_not_done)
{
	ask(peer, "restart", "\"target\":\"web\"");
	say(peer, "{\"jsonrpc\"");
	room_pass(CLIENT_PATIENCE + 2 * SECOND);
	replace(0);
	replace(1);
	ck_assert(is_answered(peer));
	is_cut_off();
}

/* Send these descriptors, with one byte. */
static void pass(int fd, unsigned count)
{
	int fds[2] = {STDIN_FILENO, STDOUT_FILENO};

	ck_assert_int_eq(fdpass_send(fd, "{", 1, fds, count), 0);
}

TEST(who_sends_descriptors_is_disconnected_at_once)
{
	char byte;

	given = 0;
	pass(peer, 2);
	for (int i = 0; i < 20; i++) /* they go with the socket */
		pass(peer, 2);
	ck_assert(has(peer, "no request has descriptors"));
	ck_assert_int_le(recv(peer, &byte, 1, 0), 0);
	ck_assert_ptr_null(room.control.first);
	ck_assert_uint_eq(given, 1); /* which the closer closes */
}

TEST(who_waits_to_be_accepted_is_closed_by_the_closer_too)
{
	int fd;

	(void)close(peer);
	peer = -1;
	turn();
	fd = call();
	pass(fd, 2);
	given = 0;
	control_on_shutdown(&room);
	ck_assert_uint_eq(given, 1);
	(void)close(fd);
}
