/* SPDX-License-Identifier: MIT */
#include "../quoted.h"
#include "../room_lib.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/process.h"
#include "supervisor/messages/channel.h"
#include "supervisor/node/internal.h"
#include "supervisor/workers/nodecommand.h"
#include "supervisor/workers/service.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * nclust as the primary of Node's cluster, with `balance = rr`: which worker is given
 * which connection.  The workers are here, and speak Node's protocol over the channel
 * that they were born with.
 */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 3\nready = notify\n" \
	"balance = rr\ndrain = quiet\n"
#define CHANNEL 3

/* All processes here are ours. */
REPLACED(int, process_status)
(pid_t pid, const char *key, int base, uint64_t *value)
{
	(void)pid;
	(void)base;
	*value = *key == 'U' ? geteuid() : getegid();
	return 0;
}

ROOM_HEARS("messages", "broker", "node", "news")

REPLACED(enum node_runtime, nodecommand_look)(const struct recipe *r)
{
	(void)r;
	return NODE_NODE;
}

/* Whatever nclust does takes so long. */
static nsec_t worked;
static nsec_t each_takes;

REPLACED(nsec_t, clock_worked)(void)
{
	return worked += each_takes;
}

static struct service *web;
static int clients[64];
static unsigned client_count;
static unsigned answers; /* a worker's number of its next message */

static void turn(void)
{
	for (int i = 0; i < 6; i++)
		room_pass(MSEC);
}

static int channel_of(uint32_t slot)
{
	return room_fd(room_child(web, slot)->pid, CHANNEL);
}

static void say(uint32_t slot, const char *line)
{
	ck_assert_int_eq(send(channel_of(slot), quoted(line), strlen(line), 0), (int)strlen(line));
	turn();
}

/* What the worker is told next, and whether a descriptor came with it. */
static bool hear(uint32_t slot, char to[2048], bool *has_fd)
{
	size_t used = 0;
	struct fdpass_message m;

	turn();
	*has_fd = false;
	while (used < 2047) {
		ssize_t got;

		got = fdpass_read(channel_of(slot), to + used, 1, &m);
		if (got != 1)
			return false;
		for (size_t i = 0; i < m.fd_count; i++) {
			*has_fd = true;
			(void)close(m.fds[i]);
		}
		if (to[used] == '\n')
			break;
		used++;
	}
	to[used] = '\0';
	unquote(to);
	return true;
}

static unsigned number_behind(const char *line, const char *key)
{
	const char *at = strstr(line, key);

	ck_assert_msg(at != NULL, "no %s in %s", key, line);
	return (unsigned)strtoul(at + strlen(key), NULL, 10);
}

/* The worker takes it; whether there was one. */
static bool take(uint32_t slot)
{
	char line[2048];
	char answer[256];
	bool has_fd;

	if (!hear(slot, line, &has_fd))
		return false;
	ck_assert_msg(strstr(line, "'act':'newconn'") != NULL, "%s", line);
	ck_assert(has_fd);
	snprintf(answer, sizeof(answer),
		"{'cmd':'NODE_HANDLE_ACK'}\n{'cmd':'NODE_CLUSTER',"
		"'ack':%u,'accepted':true,'seq':%u}\n",
		number_behind(line, "'seq':"), ++answers);
	say(slot, answer);
	return true;
}

/* How many has it got so far that it has not answered? */
static unsigned got(uint32_t slot)
{
	char line[2048];
	unsigned count = 0;
	bool has_fd;

	while (hear(slot, line, &has_fd))
		count += has_fd;
	return count;
}

static uint16_t port;

/* It asks for a server, and listens. */
static void ask_for_server(uint32_t slot)
{
	char line[2048];
	char key[80];
	bool has_fd;

	say(slot, "{'cmd':'NODE_CLUSTER','act':'online','seq':0}\n");
	snprintf(line, sizeof(line),
		"{'cmd':'NODE_CLUSTER','act':'queryServer','index':0,"
		"'data':null,'address':'127.0.0.1','port':%u,"
		"'addressType':4,'seq':1}\n",
		port);
	say(slot, line);
	ck_assert(hear(slot, line, &has_fd));
	ck_assert_msg(strstr(line, "'ack':1") != NULL, "%s", line);
	ck_assert_uint_eq(number_behind(line, "'errno':"), 0);
	ck_assert(!has_fd);
	snprintf(key, sizeof(key), "%.40s", strstr(line, "'key':'") + strlen("'key':'"));
	*strchr(key, '\'') = '\0';
	snprintf(line, sizeof(line),
		"{'cmd':'NODE_CLUSTER','act':'listening','index':0,"
		"'data':null,'address':'127.0.0.1','port':%u,"
		"'addressType':4,'key':'%s','seq':2}\n",
		port, key);
	say(slot, line);
}

static uint16_t free_port(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, size), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	(void)close(fd);
	return ntohs(at.sin_port);
}

static void begin(void)
{
	client_count = 0;
	each_takes = 0;
	room_begin(WEB);
	web = room_cluster("web");
	port = free_port();
	for (uint32_t slot = 0; slot < 3; slot++) {
		room_tick(web);
		ask_for_server(slot);
		room_tell(room_child(web, slot), EVENT_READY);
	}
}

static void end(void)
{
	while (client_count > 0)
		(void)close(clients[--client_count]);
	room_end();
}

static void connect_some(unsigned count)
{
	struct sockaddr_in to = {.sin_family = AF_INET};

	to.sin_port = htons(port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
		clients[client_count++] = fd;
	}
	turn();
}

FIXTURE(begin, end)

TEST(each_gets_one_in_turn)
{
	for (int round = 0; round < 3; round++) {
		connect_some(3);
		for (uint32_t slot = 0; slot < 3; slot++) {
			ck_assert(take(slot));
			ck_assert(!take(slot));
		}
	}
}

TEST(who_does_not_answer_gets_no_more)
{
	connect_some(60);
	ck_assert_uint_eq(got(0), 1);
	ck_assert_uint_eq(got(1), 1);
	ck_assert_uint_eq(got(2), 1);
}

/* It asks for what cannot be had, until nclust keeps no more answers for it. */
static void be_deaf(uint32_t slot)
{
	static const char line[] = "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"seq\":1}\n";
	const struct channel *c = room_child(web, slot)->channel;

	for (int i = 0; i < 2000 && c->out.bytes.len < CHANNEL_QUEUE_MUST - 64; i++) {
		for (int k = 0; k < 500; k++)
			(void)send(channel_of(slot), line, strlen(line), MSG_DONTWAIT);
		turn();
	}
	ck_assert_uint_gt(c->out.bytes.len, CHANNEL_QUEUE_MUST - 64);
}

TEST(who_does_not_read_keeps_nothing_from_others)
{
	be_deaf(0);
	connect_some(2);
	room_pass(SECOND);
	ck_assert_uint_eq(got(1), 1);
	ck_assert_uint_eq(got(2), 1);
}

/* The worker in slot 2 gets its stop signal. */
static void stop_third(void)
{
	struct child *child = room_child(web, 2);
	struct error err;

	ck_assert_int_eq(service_scale(web, 2, &err), 0);
	child_tell(child, EVENT_DRAINED, WHY_ITSELF);
	ck_assert_uint_eq(room_signalled(child->pid, SIGTERM), 1);
}

static bool third_is_asked_within(nsec_t span)
{
	char line[2048];
	bool has_fd;

	room_pass(span);
	if (!hear(2, line, &has_fd))
		return false;
	ck_assert_ptr_nonnull(strstr(line, "'act':'disconnect'"));
	return true;
}

TEST(who_has_its_stop_signal_gets_none)
{
	stop_third();
	connect_some(4);
	ck_assert_uint_eq(got(2), 0);
	ck_assert_uint_eq(got(0) + got(1), 2);
}

TEST(who_closes_its_server_after_its_signal_is_asked_to_disconnect)
{
	char line[2048];

	stop_third();
	ck_assert(!third_is_asked_within(2 * SECOND));
	snprintf(line, sizeof(line),
		"{'cmd':'NODE_CLUSTER','act':'close','key':'%" PRIu64 "','seq':3}\n",
		web->node->servers->number);
	say(2, line);
	ck_assert(!third_is_asked_within(400 * MSEC));
	ck_assert(third_is_asked_within(100 * MSEC));
}

TEST(who_keeps_its_server_is_asked_when_half_of_its_time_is_over)
{
	nsec_t half = cluster_settings(web->core)->stop_timeout / 2;

	stop_third();
	ck_assert(!third_is_asked_within(half - SECOND));
	ck_assert(third_is_asked_within(SECOND));
	ck_assert(!third_is_asked_within(SECOND));
}

TEST(who_confirms_connections_never_waits)
{
	each_takes = 50 * MSEC;
	for (int round = 0; round < 10; round++) {
		connect_some(3);
		for (uint32_t slot = 0; slot < 3; slot++)
			ck_assert(take(slot));
	}
	ck_assert(!room_logged("wait"));
}

TEST(who_confirms_what_it_was_not_given_waits)
{
	each_takes = 1500 * MSEC;
	say(1, "{'cmd':'NODE_HANDLE_ACK'}\n");
	ck_assert(room_logged("sends messages so much"));
}

TEST(messages_that_take_long_wait_and_are_not_lost)
{
	const struct channel *c = room_child(web, 0)->channel;
	char line[2048];
	bool has_fd;

	each_takes = 1500 * MSEC;
	say(0, "{'a':1}\n");
	each_takes = 0;
	ck_assert(room_logged("sends messages so much"));
	connect_some(1);
	say(0, "{'a':2}\n");
	ck_assert(hear(0, line, &has_fd)); /* it still gets what is for it */
	ck_assert_uint_eq(c->received, 1);
	room_pass(20 * SECOND);
	ck_assert_uint_eq(c->received, 2);
}
