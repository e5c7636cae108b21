/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "supervisor/sockets/learned.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is learned of the binds of workers: who gets which socket, and how long it is
 * held. */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"listen = 127.0.0.1:0\n"

ROOM_HEARS("news")

static struct service *web;
static struct error err;

static void begin(void)
{
	web = room_web(WEB);
	room_ready(web, 2);
}

/* What a worker would ask for. */
static struct socket_key key_of(const char *ip, uint16_t port)
{
	struct socket_key key = {
		.family = AF_INET,
		.type = SOCK_STREAM,
		.protocol = IPPROTO_TCP,
		.port = port,
	};

	ck_assert_int_eq(inet_pton(AF_INET, ip, key.ip), 1);
	return key;
}

/* Bound for the first worker that asked. */
static struct listener *learn(const char *ip)
{
	struct socket_key key = key_of(ip, 0);
	int fd = socket_key_open(&key, geteuid(), true, false);
	struct listener *l;

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(socket_key_bound(&key, fd), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	l = learned_add(web, &key, fd, &err);
	ck_assert_msg(l != NULL, "%s", err.text);
	return l;
}

static bool is_free(const struct socket_key *key)
{
	int fd = socket_key_open(key, geteuid(), true, false);

	if (fd != -1)
		(void)close(fd);
	return fd != -1;
}

FIXTURE(begin, room_end)

TEST(who_asks_for_the_same_gets_the_same)
{
	struct listener *l = learn("127.0.0.1");
	struct socket_key other = key_of("127.0.0.2", l->key.port);
	struct listener *found[4];

	ck_assert_uint_eq(learned_find(room_child(web, 0), &l->key, found, 4), 1);
	ck_assert_ptr_eq(found[0], l);
	ck_assert_ptr_eq(learned_by_inode(web, l->inode), l);
	ck_assert_uint_eq(learned_find(room_child(web, 0), &other, found, 4), 0);
}

TEST(a_named_one_stands_for_all_addresses_of_its_port)
{
	struct listener *named = web->sockets.listeners.list[0];
	struct socket_key any = key_of("0.0.0.0", named->key.port);
	struct socket_key other = key_of("127.0.0.2", named->key.port);

	ck_assert_ptr_eq(learned_cover(room_child(web, 0), &any), named);
	ck_assert_ptr_null(learned_cover(room_child(web, 0), &other));
	ck_assert_ptr_eq(learned_named(room_child(web, 0), NULL), named);
	ck_assert_ptr_eq(learned_named(room_child(web, 0), &named->key), named);
	ck_assert_ptr_null(learned_named(room_child(web, 0), &other));
}

TEST(it_is_held_as_long_as_a_worker_has_it)
{
	struct listener *l = learn("127.0.0.1");
	struct child *a = room_child(web, 0);
	struct child *b = room_child(web, 1);
	struct socket_key key = l->key;

	learned_use(a, l, a->pid);
	learned_use(a, l, a->pid); /* it counts once */
	learned_use(b, l, b->pid);
	ck_assert(!learned_unuse(a, l));
	ck_assert(learned_is_used(l, NULL));
	ck_assert(!learned_is_used(l, b));
	room_pass(60 * SECOND);
	ck_assert_uint_eq(web->sockets.learned.count, 1);
	ck_assert(learned_unuse(b, l));
	ck_assert(!is_free(&key));
}

TEST(it_is_kept_for_a_while_in_case_its_user_comes_back)
{
	struct listener *l = learn("127.0.0.1");
	struct child *c = room_child(web, 0);
	struct socket_key key = l->key;

	learned_use(c, l, c->pid);
	(void)learned_unuse(c, l);
	room_pass(9 * SECOND);
	ck_assert_uint_eq(web->sockets.learned.count, 1);
	room_pass(2 * SECOND);
	ck_assert_uint_eq(web->sockets.learned.count, 0);
	ck_assert(is_free(&key));
	ck_assert(room_logged("closed: no worker uses it any more"));
}

TEST(it_is_not_closed_while_workers_are_missing)
{
	struct listener *l = learn("127.0.0.1");
	struct child *c = room_child(web, 0);

	learned_use(c, l, c->pid);
	learned_forget_worker(c);
	room_fail_spawns(EAGAIN);
	room_killed(c, SIGKILL);
	room_pass(30 * SECOND);
	ck_assert_uint_eq(web->sockets.learned.count, 1);
	room_fail_spawns(0);
	room_pass(30 * SECOND);
	room_ready(web, 1);
	ck_assert(cluster_is_settled(web->core));
	room_pass(9 * SECOND); /* who comes back opens it last */
	ck_assert_uint_eq(web->sockets.learned.count, 1);
	c = room_child(web, 1);
	learned_use(c, l, c->pid);
	room_pass(30 * SECOND);
	ck_assert_uint_eq(web->sockets.learned.count, 1);
}

TEST(so_many_may_be_learned_and_a_place_is_given_out_again)
{
	struct socket_key key = key_of("127.0.0.1", 0);
	struct listener *first = learn("127.0.0.1");
	unsigned bit = first->bit;
	int fd;

	while (web->sockets.learned.count < LEARNED_MAX)
		(void)learn("127.0.0.1");
	fd = socket_key_open(&key, geteuid(), true, false);
	ck_assert_int_eq(socket_key_bound(&key, fd), 0);
	ck_assert_ptr_null(learned_add(web, &key, fd, &err));
	ck_assert_str_eq(err.text, "at most 64 listeners");
	learned_drop(web, first);
	ck_assert_uint_eq(learn("127.0.0.1")->bit, bit);
	(void)close(fd);
}

TEST(who_had_one_that_is_dropped_has_not_the_next_of_its_place)
{
	struct listener *l = learn("127.0.0.1");
	struct child *c = room_child(web, 0);

	learned_use(c, l, c->pid);
	learned_drop(web, l);
	l = learn("127.0.0.1");
	ck_assert(!learned_is_used(l, NULL));
	ck_assert(!learned_unuse(c, l));
}
