/* SPDX-License-Identifier: MIT */
#include "../quoted.h"
#include "../room_lib.h"
#include "config/option.h"
#include "supervisor/messages/broker.h"
#include "supervisor/messages/channel.h"
#include "supervisor/messages/messages.h"

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sysexits.h>

/* Messages to other machines: the test is the process that talks with the broker, and
 * may say whatever it likes. */

#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"ipc = on\nrelay = nats://me:secret@a:1,b/shop\n"
#define CHANNEL 3 /* the other end, of a worker and of the process */
#define OTHER "{'nclust':1,'id':'fedcba9876543210',"
#define FROM \
	"'from':{'cluster':'web','slot':7,'host':'b'}," \
	"'message':"

ROOM_HEARS("messages", "broker", "news")

static struct service *web;
static struct broker *b;

/* Of the process the pidfd says how it has ended. */
static struct pidfd_end its_end;

extern __typeof__(pidfd_peek) __real_pidfd_peek;

REPLACED(int, pidfd_peek)(int pidfd, struct pidfd_end *end)
{
	struct pollfd look = {.fd = pidfd, .events = POLLIN};

	if (b == NULL || pidfd != b->life.job.pidfd)
		return __real_pidfd_peek(pidfd, end);
	*end = its_end;
	return poll(&look, 1, 0);
}

REPLACED(int, pidfd_reap)(int pidfd, struct pidfd_end *end)
{
	return pidfd_peek(pidfd, end);
}

/* What has come to that descriptor by now. */
static const char *heard(int fd)
{
	static char text[1 << 16];
	ssize_t got;

	room_pass(0);
	room_pass(0);
	got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[got > 0 ? got : 0] = '\0';
	unquote(text);
	return text;
}

static int process(void)
{
	return room_fd(b->life.job.pid, CHANNEL);
}

static int worker(uint32_t slot)
{
	return room_fd(room_child(web, slot)->pid, CHANNEL);
}

static void say(int fd, const char *text, size_t len)
{
	ck_assert_int_eq(send(fd, text, len, 0), (int)len);
	room_pass(0);
}

#define SAY(fd, text) say(fd, quoted(text), strlen(text))

static void begin(void)
{
	its_end = (struct pidfd_end){.signalled = true, .code = SIGKILL};
	web = room_web(WEB);
	brokers_begin(&room);
	b = web->broker;
	ck_assert_ptr_nonnull(b);
	strcpy(b->host, "a");
}

static void end(void)
{
	(void)eventfd_write(b->life.job.pidfd, 1);
	room_stop();
	broker_on_shutdown(&room);
	room_end();
}

FIXTURE(begin, end)

TEST(it_is_told_what_it_needs_and_gets_what_workers_send)
{
	char expected[256];

	ck_assert_str_eq(heard(process()), "shop.web\nme:secret\na:1,b\nnclust web\n");
	SAY(worker(1), "{'x': 1}\n");
	snprintf(expected, sizeof(expected),
		"{'nclust':1,'id':'%s','from':{'cluster':'web','slot':1,"
		"'host':'a'},'message':{'x': 1}}\n",
		b->id);
	ck_assert_str_eq(heard(process()), expected);
	ck_assert_str_eq(heard(worker(0)),
		"{'from':{'cluster':'web','slot':1,'host':'a'},"
		"'message':{'x': 1}}\n");
	ck_assert_str_eq(heard(worker(1)), "");
	ck_assert(!room_logged("secret"));
}

TEST(what_others_send_goes_to_all_workers)
{
	SAY(process(), "+1000\n" OTHER FROM "[1]}\n");
	for (uint32_t slot = 0; slot < 2; slot++)
		ck_assert_str_eq(heard(worker(slot)), "{" FROM "[1]}\n");
	ck_assert_uint_eq(b->received, 1);
	ck_assert(b->up);
}

TEST(nonsense_goes_to_nobody)
{
	static char line[CHANNEL_LINE_MAX + 4096];

	SAY(process(), "\n\n+\n-\n~\n=x\n~x\n!\n?\nx\n{\n{}\n[]\n\x1b[2J\n");
	SAY(process(), OTHER FROM "1,'cmd':'NODE_CLUSTER'}\n");
	SAY(process(), "{'nclust':3,'id':'a'}\n{'nclust':0}\n");
	memset(line, '{', sizeof(line));
	for (size_t at = 0; at < sizeof(line); at += 4096)
		say(process(), line + at, 4096);
	SAY(process(), "\n" OTHER FROM "'end'}\n");
	for (uint32_t slot = 0; slot < 2; slot++)
		ck_assert_str_eq(heard(worker(slot)), "{" FROM "'end'}\n");
	ck_assert_uint_eq(b->received, 1);
	ck_assert_uint_eq(b->in.skipped, 1);
	ck_assert_uint_eq(b->other, 2);
	ck_assert(room_logged("has format 3, and this nclust knows 1 alone"));
	ck_assert(!room_logged("has format 0"));
	ck_assert_ptr_null(strchr(room_log(), '\x1b'));
}

TEST(ups_and_downs_are_told_once_with_what_was_dropped)
{
	static char big[CHANNEL_LINE_MAX / 2];

	(void)heard(process());
	SAY(process(), "+1000\n-gone\x1b[2J\n-gone again\n");
	ck_assert(
		room_logged("messages do not reach other machines: gone\\x1b[2J (broker a:1,b);"));
	ck_assert(!room_logged("gone again"));
	memset(big, '1', sizeof(big));
	big[sizeof(big) - 1] = '\n';
	for (unsigned i = 0; i < 4; i++) {
		for (size_t at = 0; at < sizeof(big); at += 4096)
			say(worker(0), big + at, 4096);
		(void)heard(worker(1));
	}
	ck_assert_uint_gt(b->dropped, 0);
	ck_assert_uint_eq(b->sent + b->dropped, 4);
	ck_assert_uint_le(queue_len(&b->out), CHANNEL_QUEUE_MAX);
	SAY(process(), "+1000\n");
	ck_assert(room_logged("messages reach other machines again; "));
	ck_assert(!room_logged("again; 0 were dropped"));
}

TEST(it_does_not_get_the_rest_of_anothers_line)
{
	static char big[CHANNEL_LINE_MAX / 2];
	char expected[256];
	int former;

	(void)heard(process());
	memset(big, '1', sizeof(big));
	big[sizeof(big) - 1] = '\n';
	for (size_t at = 0; at < sizeof(big); at += 4096)
		say(worker(0), big + at, 4096);
	SAY(worker(0), "'next'\n");
	room_pass(0);
	room_pass(0);
	ck_assert(b->out.in_line);
	former = b->life.job.pid;
	(void)eventfd_write(b->life.job.pidfd, 1); /* it has been killed */
	room_pass(2 * SECOND);
	ck_assert_int_ne(b->life.job.pid, former);
	snprintf(expected, sizeof(expected),
		"shop.web\nme:secret\na:1,b\nnclust web\n"
		"{'nclust':1,'id':'%s','from':{'cluster':'web','slot':0,"
		"'host':'a'},'message':'next'}\n",
		b->id);
	ck_assert_str_eq(heard(process()), expected);
	ck_assert_uint_eq(b->dropped, 1);
}

TEST(all_that_it_has_sent_before_its_end_goes_to_the_workers)
{
	static char all[96 * 1024]; /* more than nclust reads in a turn */
	const char *line = quoted(OTHER FROM "1}\n");
	size_t len = strlen(line);
	unsigned count = 0;

	for (; (count + 1) * len <= sizeof(all); count++)
		memcpy(all + count * len, line, len);
	ck_assert_int_eq(send(process(), all, count * len, MSG_DONTWAIT), (int)(count * len));
	(void)eventfd_write(b->life.job.pidfd, 1); /* it has been killed */
	room_pass(0);
	ck_assert_uint_eq(b->received, count);
}

TEST(after_a_reload_it_does_not_wait_for_the_next_try)
{
	struct cluster_settings *s =
		(struct cluster_settings *)(uintptr_t)cluster_next_settings(web->core);
	struct error err;

	its_end = (struct pidfd_end){.code = EX_CONFIG};
	(void)eventfd_write(b->life.job.pidfd, 1); /* the library refuses the URL */
	room_pass(0);
	ck_assert(room_logged("trying again in a minute"));
	ck_assert_int_eq(b->life.job.pid, 0);
	ck_assert_int_eq(field_set_key("cluster", s, "relay", "nats://c/shop", &err), 0);
	brokers_begin(&room);
	ck_assert_int_ne(b->life.job.pid, 0);
	ck_assert(!role_waits(&b->life));
	ck_assert_str_eq(heard(process()), "shop.web\n\nc\nnclust web\n");
}
