/* SPDX-License-Identifier: MIT */
#include "lanes_lib.h"

#include "os/process.h"
#include "os/socket/reuseport.h"
#include "supervisor/drain/drain_withdraw.h"
#include "supervisor/sockets/group.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * During a rolling restart of workers that cannot be taken off their socket: which
 * socket gets which share of the new connections.  The sockets are real, nobody
 * accepts.
 */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 3\nready = notify\n" \
	"listen = 127.0.0.1:0\ndrain = quiet\ndrain-timeout = 60s\n"

static bool refused;

static void begin(void)
{
	stubborn = true;
	refused = false;
	begin_lanes(WEB, 3);
}

/* The share of what the old, or the new workers have. */
static unsigned share(unsigned generation)
{
	for (uint32_t slot = 0; slot < web->child_slots; slot++)
		for (int k = 0; k < 2; k++) {
			const struct child *c = web->children[slot][k];

			if (c != NULL && c->generation == generation)
				return group_socket(l, c->traffic.lane)->weight;
		}
	ck_abort_msg("nobody is of generation %u", generation);
	return 0;
}

/* The successor in that slot is ready, so that the old one is to be emptied. */
static void replace(uint32_t slot)
{
	room_tell(room_child(web, slot), EVENT_READY);
}

/* … and it is, and goes. */
static void leave(uint32_t slot)
{
	for (int k = 0; k < 2; k++) {
		struct child *c = web->children[slot][k];

		if (c == NULL || c->generation != 1)
			continue;
		room_tell(c, EVENT_DRAINED);
		room_exits(c, 0);
	}
	room_tick(web);
}

static nsec_t starved;

REPLACED(nsec_t, process_starved)(pid_t pid)
{
	(void)pid;
	return starved;
}

FIXTURE(begin, NULL)

TEST(one_socket_is_enough_as_long_as_nobody_leaves)
{
	ck_assert_uint_eq(group_size(l), 1);
}

TEST(who_can_be_taken_off_it_needs_no_second_one)
{
	stubborn = false;
	restart();
	ck_assert_uint_eq(group_size(l), 1);
}

TEST(the_share_follows_who_is_ready)
{
	restart();
	ck_assert_uint_eq(group_size(l), 2);
	/* the first of the new ones is not ready: nobody waits for it */
	ck_assert_uint_eq(share(1), 3);
	ck_assert_uint_eq(share(2), 0);
	replace(0);
	ck_assert_uint_eq(share(1), 2);
	ck_assert_uint_eq(share(2), 1);
	leave(0);
	replace(1);
	ck_assert_uint_eq(share(1), 1);
	ck_assert_uint_eq(share(2), 2);
}

TEST(the_last_of_the_old_ones_get_nothing_more)
{
	restart();
	for (uint32_t slot = 0; slot < 2; slot++) {
		replace(slot);
		leave(slot);
	}
	replace(2);
	ck_assert_uint_eq(share(1), 0);
	ck_assert_uint_eq(share(2), 3);
	ck_assert(steer_is_away(web->children[2][0]) != steer_is_away(web->children[2][1]));
}

TEST(one_that_does_not_become_quiet_is_helped)
{
	restart();
	replace(0);
	ck_assert_uint_eq(share(1), 2);
	room_pass(SECOND); /* it is not quiet yet: its lane gets none */
	ck_assert_uint_eq(share(1), 0);
	ck_assert_uint_gt(share(2), 0);
}

TEST(the_old_socket_is_closed_after_its_last_worker)
{
	restart();
	for (uint32_t slot = 0; slot < 3; slot++) {
		replace(slot);
		leave(slot);
	}
	room_pass(SECOND);
	ck_assert_uint_eq(group_size(l), 1);
	ck_assert(!steer_is_busy(web));
}

/* What the kernel makes of it: so many of these connections came to that socket. */
static unsigned arrived(unsigned lane)
{
	unsigned count = 0;
	int fd;

	while ((fd = accept4(group_fd(l, lane), NULL, NULL, SOCK_CLOEXEC)) != -1) {
		(void)close(fd);
		count++;
	}
	return count;
}

static void connect_clients(int *fds, int count)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(l->facts.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	for (int i = 0; i < count; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(connect(fds[i], (const struct sockaddr *)&to, sizeof(to)), 0);
	}
}

TEST(a_client_comes_to_those_who_have_a_share)
{
	unsigned old_lane = room_child(web, 2)->traffic.lane;
	int fds[40];

	restart();
	for (uint32_t slot = 0; slot < 2; slot++) {
		replace(slot);
		leave(slot);
	}
	replace(2);
	connect_clients(fds, 40);
	for (unsigned lane = 0; lane < 2; lane++)
		ck_assert_int_eq(socket_set_nonblock(group_fd(l, lane), true), 0);
	ck_assert_uint_eq(arrived(old_lane), 0);
	ck_assert_uint_eq(arrived(room_child(web, 0)->traffic.lane), 40);
	for (int i = 0; i < 40; i++)
		(void)close(fds[i]);
}

extern __typeof__(reuseport_unmute) __real_reuseport_unmute;

REPLACED(int, reuseport_unmute)(int fd, int like)
{
	if (!refused)
		return __real_reuseport_unmute(fd, like);
	errno = ETIMEDOUT;
	return -1;
}

TEST(a_socket_that_stays_mute_gets_no_client)
{
	int fds[10];

	refused = true;
	restart();
	replace(0);
	ck_assert_uint_eq(group_size(l), 1);
	connect_clients(fds, 10);
	ck_assert_int_eq(socket_set_nonblock(l->fd, true), 0);
	ck_assert_uint_eq(arrived(room_child(web, 0)->traffic.lane), 10);
}

/* Clients that were told goodbye wait for the new generation alone. */
static void wait_after_goodbye(nsec_t without_cpu)
{
	int client;

	restart();
	web->traffic.steer.clients_stay = true;
	replace(0);
	steer_goodbye(web->children[0][0]);
	ck_assert_uint_eq(share(1), 0);
	connect_clients(&client, 1);
	starved += without_cpu;
	room_pass(250 * MSEC);
	(void)close(client);
}

TEST(old_workers_help_a_new_one_that_takes_nobody)
{
	wait_after_goodbye(0);
	ck_assert_uint_gt(share(1), 0);
}

TEST(old_workers_do_not_help_a_new_one_that_has_no_cpu)
{
	wait_after_goodbye(200 * MSEC);
	ck_assert_uint_eq(share(1), 0);
}
