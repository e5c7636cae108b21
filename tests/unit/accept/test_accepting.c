/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/privilege.h"
#include "os/vfork.h"
#include "supervisor/workers/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* `accept = yes`: which connections get a process, which wait, which are refused. */

#define ECHO_SERVICE \
	"[cluster:echo]\ncommand = /bin/cat\naccept = yes\n" \
	"listen = 127.0.0.1:0\nworkers = 2\nstop-timeout = 5s\n"

ROOM_HEARS("accept", "news")

/* So long close(2) of a connection waits for a client that does not read. */
#define LINGER 10

static struct service *echo;
static int clients[16];
static unsigned client_count;
static bool lingers;

/* In place of that of os/socket/endpoint.c.  No process is started here: what one may do
 * with its connection before nclust closes it is done at once. */
REPLACED(int, peer_accept)(int listener, struct peer *peer)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = LINGER};
	static char much[65536];
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct sockaddr_in far;
	socklen_t size = sizeof(far);

	*peer = (struct peer){.family = AF_INET};
	if (fd == -1)
		return -1;
	ck_assert_int_eq(getpeername(fd, (struct sockaddr *)&far, &size), 0);
	memcpy(peer->ip, &far.sin_addr, sizeof(far.sin_addr));
	if (!lingers)
		return fd;
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(fd, much, sizeof(much), MSG_DONTWAIT) > 0)
		;
	return fd;
}

static void begin(void)
{
	client_count = 0;
	lingers = false;
	room_begin(ECHO_SERVICE);
	echo = room_cluster("echo");
	room_tick(echo);
}

static void end(void)
{
	while (client_count > 0)
		(void)close(clients[--client_count]);
	room_end();
}

static int connect_one(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_port = htons(echo->sockets.listeners.list[0]->facts.port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	clients[client_count++] = fd;
	room_pass(0);
	return fd;
}

/* nclust has said that nothing will come. */
static bool is_refused(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

FIXTURE(begin, end)

TEST(each_connection_gets_a_process)
{
	ck_assert_uint_eq(room_spawned(), 0);
	(void)connect_one();
	(void)connect_one();
	ck_assert_uint_eq(room_spawned(), 2);
	ck_assert_uint_eq(service_counts(echo).alive, 2);
}

TEST(a_higher_limit_lets_in_who_waits)
{
	struct error err;

	for (int i = 0; i < 4; i++)
		(void)connect_one();
	ck_assert_int_eq(service_scale(echo, 3, &err), 0);
	room_pass(0);
	ck_assert_uint_eq(room_spawned(), 3);
	ck_assert_int_eq(service_scale(echo, 1, &err), 0);
	room_exits(room_child(echo, 0), 0);
	room_exits(room_child(echo, 1), 0);
	room_pass(0);
	ck_assert_uint_eq(room_spawned(), 3); /* one is left: the limit */
	room_exits(room_child(echo, 2), 0);
	room_pass(0);
	ck_assert_uint_eq(room_spawned(), 4);
}

TEST_LOOP(who_cannot_have_a_process_now_has_one_later, 0, 2)
{
	int fd;

	room_fail_spawns((const int[]){EAGAIN, ETIMEDOUT}[_i]);
	fd = connect_one();
	room_pass(10 * SECOND);
	ck_assert(!is_refused(fd));
	ck_assert(room_logged("no more connections for the moment"));
	room_fail_spawns(0);
	room_pass(10 * SECOND);
	ck_assert_uint_eq(room_spawned(), 1);
}

TEST(who_is_refused_after_it_has_sent_data_gets_an_end_and_no_reset)
{
	int fd;

	room_fail_spawns(ENOENT);
	fd = connect_one();
	ck_assert_int_eq(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
	room_pass(2 * SECOND);
	ck_assert(is_refused(fd));
	/* it is closed by now: only the second one is answered by a reset */
	ck_assert_int_eq(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
	ck_assert_int_eq(send(fd, "hello", 5, MSG_NOSIGNAL), -1);
}

TEST(a_process_that_is_gone_at_once_leaves_nclust_no_close_that_waits)
{
	time_t begun = time(NULL);

	if (!privilege_has(CAP_SETUID) || !vfork_is_shared())
		return; /* nobody has fewer rights than nclust, or it is valgrind */
	lingers = true;
	(void)connect_one();
	(void)connect_one();
	ck_assert_uint_eq(room_spawned(), 2);
	ck_assert_int_lt(time(NULL) - begun, LINGER);
}
