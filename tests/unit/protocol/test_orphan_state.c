/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/handover.h"

static struct orphan_state back;
static struct buffer bytes;
static struct error err;

static struct orphan_state sample(void)
{
	struct orphan_state e = {.serial = 77, .upgrades = 2};
	struct orphan_cluster *c = orphan_state_add_cluster(&e, "web");
	struct orphan_listener *l;

	c->number = 3;
	c->generation = 9;
	c->wanted = 4;
	c->scaled = true;
	c->workers = UINT64_MAX;
	c->says_ready = true;
	c->uneven_since = 8;
	c->uneven_slot = 1;
	c->uneven_percent = 90;
	c->uneven_workers = 4;
	c->generations[0] = (struct orphan_generation){8, 11};
	c->generations[1] = (struct orphan_generation){9, 12};
	c->generation_count = 2;
	c = orphan_state_add_cluster(&e, "empty");
	c->command = strdup("./server --new");
	c->configured = strdup("./server");
	l = orphan_state_add_listener(&e, "unix:/run/a b, mode=0660");
	l->cookie = 5;
	l->inode = 6;
	l->file_dev = 7;
	l->file_ino = 8;
	l->file_uid = 9;
	l->file_gid = UINT32_MAX;
	l->made = true;
	l = orphan_state_add_listener(&e, "tcp:*:80");
	l->cluster = 3;
	l->learned = l->listening = l->given = true;
	l->bit = 63;
	l->backlog = (uint32_t)-1;
	l->sockets[0] = (struct orphan_socket){5, 6, 0, ORPHAN_BOUND};
	l->sockets[1] = (struct orphan_socket){7, 8, 3, ORPHAN_NOT_BOUND};
	l->socket_count = 2;
	*orphan_state_add_segment(&e) =
		(struct orphan_segment){3, 1 << 20, 2, 26, UINT64_MAX, 2 << 20};
	return e;
}

TEST(all_comes_back)
{
	struct orphan_state e = sample();

	buffer_init(&bytes, 0);
	ck_assert_int_eq(orphan_state_encode(&bytes, &e), 0);
	ck_assert_int_eq(orphan_state_decode(&back, bytes.data, bytes.len, &err), 0);
	ck_assert_uint_eq(back.serial, 77);
	ck_assert_uint_eq(back.upgrades, 2);
	ck_assert_uint_eq(back.cluster_count, 2);
	ck_assert_mem_eq(&back.clusters[0], &e.clusters[0], sizeof(e.clusters[0]));
	ck_assert_str_eq(back.clusters[1].name, "empty");
	ck_assert_str_eq(back.clusters[1].command, "./server --new");
	ck_assert_str_eq(back.clusters[1].configured, "./server");
	ck_assert_uint_eq(back.listener_count, 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_str_eq(back.listeners[i].address, e.listeners[i].address);
		free(back.listeners[i].address);
		back.listeners[i].address = e.listeners[i].address;
		ck_assert_mem_eq(&back.listeners[i], &e.listeners[i], sizeof(e.listeners[i]));
		back.listeners[i].address = NULL;
	}
	ck_assert_uint_eq(back.segment_count, 1);
	ck_assert_uint_eq(back.segments[0].cluster, 3);
	ck_assert_uint_eq(back.segments[0].wanted, 1 << 20);
	ck_assert_uint_eq(back.segments[0].huge, 2);
	ck_assert_uint_eq(back.segments[0].dev, 26);
	ck_assert_uint_eq(back.segments[0].ino, UINT64_MAX);
	ck_assert_uint_eq(back.segments[0].size, 2 << 20);
	orphan_state_fini(&back);
	orphan_state_fini(&e);
	buffer_fini(&bytes);
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

	(void)orphan_state_add_cluster(&e, "../web");
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
		ck_assert_ptr_nonnull(orphan_state_add_cluster(&e, "c"));
	ck_assert_ptr_null(orphan_state_add_cluster(&e, "c"));
	for (int i = 0; i < ORPHAN_ITEMS_MAX; i++)
		ck_assert_ptr_nonnull(orphan_state_add_listener(&e, "80"));
	ck_assert_ptr_null(orphan_state_add_listener(&e, "80"));
	orphan_state_fini(&e);
}
