/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/clock.h"
#include "os/fdpass.h"
#include "supervisor/workers/readiness.h"
#include "supervisor/workers/service.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What workers say of themselves (sd_notify(3)), and whose word for it counts. */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"drain = off\nstart-timeout = 10s\n"

ROOM_HEARS("news")

/* ---- the socket ---- */

static const char *said; /* the next message, or NULL */
static struct ucred sender;
static struct child *waits; /* it ends as soon as its message is taken */

REPLACED(int, fdpass_look)
(int fd, void *data, size_t size, struct fdpass_message *m)
{
	(void)fd;
	*m = (struct fdpass_message){.len = -1};
	if (said == NULL)
		return 0;
	*m = (struct fdpass_message){
		.len = (ssize_t)strlen(said),
		.has_cred = true,
		.cred = sender,
	};
	m->cut = (size_t)m->len > size;
	memcpy(data, said, m->cut ? size : (size_t)m->len);
	return 1;
}

REPLACED(int, fdpass_receive)
(int fd, void *data, size_t size, struct fdpass_message *m)
{
	int got = fdpass_look(fd, data, size, m);

	said = NULL;
	if (waits != NULL)
		room_exits(waits, 0);
	return got;
}

REPLACED(int, fdpass_receive_apart)
(int fd, void *data, size_t size, enum fdpass_take take, struct fdpass_message *m)
{
	(void)take;
	return fdpass_receive(fd, data, size, m);
}

static struct service *web;
static struct child *first;

/* ---- what it costs ---- */

static nsec_t cost; /* of all that is done between two looks at the clock */

REPLACED(nsec_t, clock_worked)(void)
{
	static nsec_t worked;

	return worked += cost;
}

static void begin(void)
{
	cost = 0;
	web = room_web(WEB);
	first = room_child(web, 0);
	sender = (struct ucred){.pid = first->pid};
	waits = NULL;
}

static void say(const char *text)
{
	said = text;
	readiness_drain(first);
	ck_assert_ptr_null(said);
}

static bool is_ready(void)
{
	return child_view(room_child(web, 0)).state == SLOT_READY;
}

FIXTURE(begin, room_end)

TEST(ready_1_makes_it_ready)
{
	say("STATUS=loading");
	ck_assert(!is_ready());
	say("READY=1\nSTATUS=serving\033[2J");
	ck_assert(is_ready());
	ck_assert_int_eq(strncmp(first->life.status, "serving", 7), 0);
	ck_assert_ptr_null(strchr(first->life.status, '\033'));
}

TEST(anothers_word_does_not_count_and_is_told_once)
{
	const char *told;

	sender.pid = room_child(web, 1)->pid;
	say("READY=1");
	say("READY=1");
	ck_assert(!is_ready());
	told = strstr(room_log(), "web.0: refused a notify message");
	ck_assert_ptr_nonnull(told);
	ck_assert_ptr_null(strstr(told + 1, "web.0: refused"));
}

TEST(a_process_of_its_session_speaks_for_it)
{
	sender.pid = room_child(web, 1)->pid;
	room_joins_session(sender.pid, first->pid);
	say("READY=1");
	ck_assert(is_ready());
}

TEST(what_is_no_message_is_not_obeyed)
{
	static char much[64 * 1024];

	memset(much, 'x', sizeof(much) - 1);
	memcpy(much, "READY=1\n", 8);
	say(much);
	say("");
	ck_assert(!is_ready());
}

TEST(a_start_that_takes_long_may_ask_for_more)
{
	room_pass(9 * SECOND);
	say("EXTEND_TIMEOUT_USEC=5000000");
	room_pass(4 * SECOND);
	ck_assert_uint_eq(room_signalled(first->pid, SIGTERM), 0);
	room_pass(2 * SECOND);
	ck_assert_uint_eq(room_signalled(first->pid, SIGTERM), 1);
}

TEST(who_waited_for_a_barrier_may_have_ended)
{
	waits = room_child(web, 1);
	sender.pid = waits->pid;
	room_joins_session(sender.pid, first->pid);
	say("BARRIER=1");
	ck_assert(!room_logged("refused a notify message"));
}

TEST(one_that_promises_signs_of_life_and_gives_none_is_ended)
{
	say("READY=1\nWATCHDOG_USEC=2000000");
	room_pass(1500 * MSEC);
	say("WATCHDOG=1");
	room_pass(1500 * MSEC);
	ck_assert_uint_eq(room_signalled(first->pid, SIGABRT), 0);
	room_pass(SECOND);
	ck_assert_uint_eq(room_signalled(first->pid, SIGABRT), 1);
}

TEST(who_talks_without_end_does_not_fill_the_log)
{
	unsigned told = 0;

	say("READY=1");
	for (int i = 0; i < 1000; i++)
		say("ERRNO=5");
	for (const char *at = room_log(); (at = strstr(at, "web.0: worker 4194305 says")) != NULL;
		at++)
		told++;
	ck_assert_uint_ge(told, 1);
	ck_assert_uint_le(told, 10);
	room_pass(61 * SECOND);
	say("ERRNO=28");
	ck_assert(room_logged("says: No space left on device"));
}

/* The loop sees one message. */
static void arrives(struct child *child, const char *text)
{
	said = text;
	sender.pid = child->pid;
	readiness_hear(child);
	room_pass(0);
}

static bool is_read(const struct child *child)
{
	return child->allowance.rests == NULL;
}

TEST(one_that_sends_too_much_waits_alone)
{
	struct child *second = room_child(web, 1);

	cost = 300 * MSEC;
	for (int i = 0; i < 3; i++)
		arrives(first, "STATUS=much");
	ck_assert(is_read(first));
	arrives(first, "STATUS=too much");
	ck_assert(!is_read(first));
	ck_assert_str_eq(first->life.status, "too much");
	ck_assert(is_read(second));
	arrives(second, "READY=1\nSTATUS=well");
	ck_assert_str_eq(second->life.status, "well");
	ck_assert(is_read(second));
	room_pass(2400 * MSEC); /* 1200 ms, and 950 are to be left */
	ck_assert(!is_read(first));
	room_pass(150 * MSEC);
	ck_assert(is_read(first));
}

TEST(who_ends_while_it_waits_waits_no_more)
{
	cost = 2 * SECOND;
	arrives(first, "STATUS=dear");
	ck_assert(!is_read(first));
	said = "STATUS=last";
	cost = 0;
	room_exits(first, 0);
	ck_assert_ptr_null(said); /* heard at its end */
	room_pass(2 * SECOND);
	ck_assert(is_read(room_child(web, 0)));
}

TEST(it_keeps_the_socket_that_it_knows_where_none_can_be_made_in_its_place)
{
	int known = socket(AF_UNIX, SOCK_DGRAM, 0);

	room_open_rundir();
	ck_assert_int_eq(unlinkat(web->sup->rundir.dir, "notify", AT_REMOVEDIR), 0);
	first->life.notify = known;
	readiness_renew(first);
	ck_assert_int_eq(first->life.notify, known);
	ck_assert(room_logged("web.0: notify socket: cannot make socket"));
}
