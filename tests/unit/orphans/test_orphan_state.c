/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "base/trusted.h"
#include "supervisor/orphans/internal.h"

#include <fcntl.h>

static struct orphan_state back;
static struct buffer bytes;
static struct error err;

#define ADD(list, count) orphan_state_add(&(list), &(count), sizeof(*(list)))

static struct orphan_state sample(void)
{
	struct orphan_state e = {0};
	struct orphan_cluster *c = ADD(e.clusters, e.cluster_count);
	struct orphan_generation *g;
	struct orphan_listener *l;
	struct orphan_socket *s;
	struct orphan_segment *m;

	strcpy(c->name, "web");
	c->number = 3;
	c->generation = 9;
	c->wanted = 4;
	c->scaled = true;
	c->workers = UINT64_MAX;
	c->says_ready = true;
	g = ADD(c->generations, c->generation_count);
	*g = (struct orphan_generation){8, 11};
	g = ADD(c->generations, c->generation_count);
	*g = (struct orphan_generation){9, 12};
	c = ADD(e.clusters, e.cluster_count);
	strcpy(c->name, "empty");
	c->command = strdup("./server --new");
	c->configured = strdup("./server");
	l = ADD(e.listeners, e.listener_count);
	l->address = strdup("unix:/run/a b, mode=0660");
	l->cookie = 5;
	l->was.inode = 6;
	l->was.file = (struct socket_file){.dev = 7, .ino = 8, .uid = 9, .gid = UINT32_MAX};
	l->was.made = true;
	l = ADD(e.listeners, e.listener_count);
	l->address = strdup("tcp:*:80");
	l->cluster = 3;
	l->was.learned = l->was.facts.listening = l->given = true;
	l->was.bit = 63;
	l->was.address.backlog = -1;
	s = ADD(l->sockets, l->socket_count);
	*s = (struct orphan_socket){5, 6, 0, ORPHAN_BOUND};
	s = ADD(l->sockets, l->socket_count);
	*s = (struct orphan_socket){7, 8, 3, ORPHAN_NOT_BOUND};
	m = ADD(e.segments, e.segment_count);
	m->cluster = 3;
	m->was = (struct segment){.wanted = 1 << 20};
	m->was.facts = (struct sharedmem_facts){.dev = 26, .ino = UINT64_MAX, .size = 2 << 20};
	return e;
}

/* Each member is there when it has been read, and would be written the same again. */
TEST(all_comes_back)
{
	struct orphan_state e = sample();
	struct buffer again;
	const struct orphan_listener *l;

	buffer_init(&bytes, 0);
	buffer_init(&again, 0);
	ck_assert_int_eq(orphan_state_encode(&bytes, &e), 0);
	ck_assert_int_eq(orphan_state_decode(&back, bytes.data, bytes.len, &err), 0);
	ck_assert_uint_eq(back.cluster_count, 2);
	ck_assert_mem_eq(
		&back.clusters[0], &e.clusters[0], offsetof(struct orphan_cluster, generations));
	ck_assert_uint_eq(back.clusters[0].generation_count, 2);
	ck_assert_mem_eq(back.clusters[0].generations, e.clusters[0].generations,
		2 * sizeof(*e.clusters[0].generations));
	ck_assert_str_eq(back.clusters[1].name, "empty");
	ck_assert_str_eq(back.clusters[1].command, "./server --new");
	ck_assert_str_eq(back.clusters[1].configured, "./server");
	ck_assert_uint_eq(back.listener_count, 2);
	for (size_t i = 0; i < 2; i++) {
		const size_t from = offsetof(struct orphan_listener, cluster);

		l = &back.listeners[i];
		ck_assert_str_eq(l->address, e.listeners[i].address);
		ck_assert_mem_eq((const char *)l + from, (const char *)&e.listeners[i] + from,
			offsetof(struct orphan_listener, sockets) - from);
	}
	ck_assert_uint_eq(back.listeners[1].socket_count, 2);
	ck_assert_mem_eq(back.listeners[1].sockets, e.listeners[1].sockets,
		2 * sizeof(*e.listeners[1].sockets));
	ck_assert_uint_eq(back.segment_count, 1);
	ck_assert_mem_eq(back.segments, e.segments, sizeof(*e.segments));
	ck_assert_int_eq(orphan_state_encode(&again, &back), 0);
	ck_assert_uint_eq(again.len, bytes.len);
	ck_assert_mem_eq(again.data, bytes.data, bytes.len);
	orphan_state_fini(&back);
	orphan_state_fini(&e);
	buffer_fini(&bytes);
	buffer_fini(&again);
}

TEST(no_bit_of_it_may_change_and_no_byte_be_missing)
{
	struct orphan_state e = sample();

	buffer_init(&bytes, 0);
	ck_assert_int_eq(orphan_state_encode(&bytes, &e), 0);
	for (size_t i = 0; i < bytes.len; i++) {
		ck_assert_int_eq(orphan_state_decode(&back, bytes.data, i, &err), -1);
		/* the minor version may be any */
		if (i >= 10 && i < 12)
			continue;
		bytes.data[i] ^= 4;
		ck_assert_msg(orphan_state_decode(&back, bytes.data, bytes.len, &err) == -1,
			"byte %zu", i);
		bytes.data[i] ^= 4;
	}
	orphan_state_fini(&e);
	buffer_fini(&bytes);
}

TEST(a_name_that_is_none_is_refused)
{
	struct orphan_state e = {0};
	struct orphan_cluster *c = ADD(e.clusters, e.cluster_count);

	strcpy(c->name, "../web");
	buffer_init(&bytes, 0);
	ck_assert_int_eq(orphan_state_encode(&bytes, &e), 0);
	ck_assert_int_eq(orphan_state_decode(&back, bytes.data, bytes.len, &err), -1);
	ck_assert_ptr_null(back.clusters);
	orphan_state_fini(&e);
	buffer_fini(&bytes);
}

TEST(there_is_a_bound_to_what_it_holds)
{
	struct orphan_state e = {0};

	for (int i = 0; i < ORPHAN_ITEMS_MAX; i++)
		ck_assert_ptr_nonnull(ADD(e.segments, e.segment_count));
	ck_assert_ptr_null(ADD(e.segments, e.segment_count));
	orphan_state_fini(&e);
}

static void is_refused(const struct orphan_state *e)
{
	buffer_init(&bytes, 0);
	ck_assert_int_eq(orphan_state_encode(&bytes, e), 0);
	ck_assert_int_eq(orphan_state_decode(&back, bytes.data, bytes.len, &err), -1);
	ck_assert_ptr_null(back.clusters);
	ck_assert_ptr_null(back.listeners);
	buffer_fini(&bytes);
}

/* Whoever takes a group has room for so many sockets. */
TEST(too_many_sockets_or_generations_are_refused)
{
	struct orphan_state e = {0};
	struct orphan_listener *l = ADD(e.listeners, e.listener_count);
	struct orphan_cluster *c;

	l->address = strdup("80");
	for (int i = 0; i <= ORPHAN_SOCKETS_MAX; i++)
		(void)ADD(l->sockets, l->socket_count);
	is_refused(&e);
	l->socket_count--;
	c = ADD(e.clusters, e.cluster_count);
	strcpy(c->name, "web");
	for (int i = 0; i <= ORPHAN_GENERATIONS_MAX; i++)
		(void)ADD(c->generations, c->generation_count);
	is_refused(&e);
	orphan_state_fini(&e);
}

/* Of a release: what an nclust of that version left is read for ever. */
TEST(the_file_of_1_0_0_is_read)
{
	scoped_fd fd = open("tests/compat/1.0.0/estate", O_RDONLY | O_CLOEXEC);
	size_t len;
	scoped_str data = read_whole(fd, 1 << 20, &len);

	ck_assert_ptr_nonnull(data);
	ck_assert_msg(orphan_state_decode(&back, data, len, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(back.cluster_count, 2);
	ck_assert_str_eq(back.clusters[0].name, "web");
	ck_assert_uint_eq(back.clusters[0].generation, 2);
	ck_assert_uint_eq(back.clusters[0].generation_count, 1);
	ck_assert_str_eq(back.clusters[1].name, "talk");
	ck_assert_uint_eq(back.clusters[1].wanted, 2);
	ck_assert(back.clusters[1].scaled);
	ck_assert_uint_eq(back.listener_count, 1);
	ck_assert_str_eq(back.listeners[0].address, "tcp:127.0.0.1:0, name=http");
	ck_assert_uint_eq(back.segment_count, 1);
	ck_assert_uint_eq(back.segments[0].was.wanted, 4096);
	orphan_state_fini(&back);
}
