/* SPDX-License-Identifier: MIT */
#include "protocol/handover.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* A file of another major version is refused. */
enum { MAJOR = 1, MINOR = 0 };

enum tag {
	TAG_SERIAL = 1,
	TAG_UPGRADES,
	TAG_CLUSTER,
	TAG_LISTENER,
	TAG_SEGMENT,
};

/* Tags beside those of the members. */
enum { TAG_OF_GENERATION = 100, TAG_ADDRESS = 100, TAG_SOCKET };

static const struct plain_row generation_rows[] = {
	PLAIN(1, orphan_generation, number, UNSIGNED),
	PLAIN(2, orphan_generation, digest, UNSIGNED),
};
static const struct plain_table generation_table = PLAIN_TABLE(generation_rows, orphan_generation);

static const struct plain_row cluster_rows[] = {
	PLAIN(1, orphan_cluster, name, TEXT),
	PLAIN(2, orphan_cluster, number, UNSIGNED),
	PLAIN(3, orphan_cluster, generation, UNSIGNED),
	PLAIN(4, orphan_cluster, wanted, UNSIGNED),
	PLAIN(5, orphan_cluster, scaled, BOOL),
	PLAIN(6, orphan_cluster, workers, UNSIGNED),
	PLAIN(7, orphan_cluster, says_ready, BOOL),
	PLAIN(8, orphan_cluster, listens, BOOL),
	PLAIN(9, orphan_cluster, command, HEAP),
	PLAIN(10, orphan_cluster, configured, HEAP),
	PLAIN(11, orphan_cluster, uneven_since, UNSIGNED),
	PLAIN(12, orphan_cluster, uneven_slot, UNSIGNED),
	PLAIN(13, orphan_cluster, uneven_percent, UNSIGNED),
	PLAIN(14, orphan_cluster, uneven_workers, UNSIGNED),
};
static const struct plain_table cluster_table = PLAIN_TABLE(cluster_rows, orphan_cluster);

static const struct plain_row socket_rows[] = {
	PLAIN(1, orphan_socket, cookie, UNSIGNED),
	PLAIN(2, orphan_socket, inode, UNSIGNED),
	PLAIN(3, orphan_socket, lane, UNSIGNED),
	PLAIN_ENUM(4, orphan_socket, bound, ORPHAN_BOUND),
};
static const struct plain_table socket_table = PLAIN_TABLE(socket_rows, orphan_socket);

static const struct plain_row listener_rows[] = {
	PLAIN(1, orphan_listener, cluster, UNSIGNED),
	PLAIN(2, orphan_listener, cookie, UNSIGNED),
	PLAIN(3, orphan_listener, inode, UNSIGNED),
	PLAIN(4, orphan_listener, file_dev, UNSIGNED),
	PLAIN(5, orphan_listener, file_ino, UNSIGNED),
	PLAIN(6, orphan_listener, made, BOOL),
	PLAIN(7, orphan_listener, learned, BOOL),
	PLAIN(8, orphan_listener, listening, BOOL),
	PLAIN(9, orphan_listener, given, BOOL),
	PLAIN_ENUM(10, orphan_listener, bit, 63),
	PLAIN(11, orphan_listener, backlog, UNSIGNED),
	PLAIN(12, orphan_listener, file_uid, UNSIGNED),
	PLAIN(13, orphan_listener, file_gid, UNSIGNED),
	PLAIN(14, orphan_listener, renewed, UNSIGNED),
};
static const struct plain_table listener_table = PLAIN_TABLE(listener_rows, orphan_listener);

static const struct plain_row segment_rows[] = {
	PLAIN(1, orphan_segment, cluster, UNSIGNED),
	PLAIN(2, orphan_segment, wanted, UNSIGNED),
	PLAIN(3, orphan_segment, huge, UNSIGNED),
	PLAIN(4, orphan_segment, dev, UNSIGNED),
	PLAIN(5, orphan_segment, ino, UNSIGNED),
	PLAIN(6, orphan_segment, size, UNSIGNED),
};
static const struct plain_table segment_table = PLAIN_TABLE(segment_rows, orphan_segment);

/* ---- the lists ---- */

void orphan_state_fini(struct orphan_state *e)
{
	for (size_t i = 0; i < e->listener_count; i++)
		free(e->listeners[i].address);
	for (size_t i = 0; i < e->cluster_count; i++) {
		free(e->clusters[i].command);
		free(e->clusters[i].configured);
	}
	free(e->clusters);
	free(e->listeners);
	free(e->segments);
	*e = (struct orphan_state){0};
}

/* Room for one more: the room doubles each time.  Returns the list, which may have
 * moved, or NULL: too many, or out of memory. */
static void *make_room(void *list, size_t count, size_t size)
{
	if (count >= ORPHAN_ITEMS_MAX)
		return NULL;
	if ((count & (count - 1)) != 0)
		return list;
	return reallocarray(list, count > 0 ? 2 * count : 1, size);
}

struct orphan_cluster *orphan_state_add_cluster(struct orphan_state *e, const char *name)
{
	struct orphan_cluster *list = make_room(e->clusters, e->cluster_count, sizeof(*list));

	if (list == NULL)
		return NULL;
	e->clusters = list;
	list += e->cluster_count++;
	*list = (struct orphan_cluster){0};
	text_copy(list->name, sizeof(list->name), name);
	return list;
}

struct orphan_listener *orphan_state_add_listener(struct orphan_state *e, const char *address)
{
	struct orphan_listener *list = NULL;
	char *copy = strdup(address);

	if (copy != NULL)
		list = make_room(e->listeners, e->listener_count, sizeof(*list));
	if (list == NULL) {
		free(copy);
		return NULL;
	}
	e->listeners = list;
	list += e->listener_count++;
	*list = (struct orphan_listener){.address = copy};
	return list;
}

struct orphan_segment *orphan_state_add_segment(struct orphan_state *e)
{
	struct orphan_segment *list = make_room(e->segments, e->segment_count, sizeof(*list));

	if (list == NULL)
		return NULL;
	e->segments = list;
	list += e->segment_count++;
	*list = (struct orphan_segment){0};
	return list;
}

/* ---- bytes ---- */

static void put_cluster(struct handover_writer *w, const struct orphan_cluster *c)
{
	handover_open(w, TAG_CLUSTER);
	handover_put_plain(w, &cluster_table, c);
	for (uint32_t i = 0; i < c->generation_count; i++) {
		handover_open(w, TAG_OF_GENERATION);
		handover_put_plain(w, &generation_table, &c->generations[i]);
		handover_close(w);
	}
	handover_close(w);
}

static void put_listener(struct handover_writer *w, const struct orphan_listener *l)
{
	handover_open(w, TAG_LISTENER);
	handover_put_plain(w, &listener_table, l);
	handover_put_text(w, TAG_ADDRESS, l->address);
	for (uint32_t i = 0; i < l->socket_count; i++) {
		handover_open(w, TAG_SOCKET);
		handover_put_plain(w, &socket_table, &l->sockets[i]);
		handover_close(w);
	}
	handover_close(w);
}

int orphan_state_encode(struct buffer *out, const struct orphan_state *e)
{
	static const struct handover_version version = {MAJOR, MINOR};
	struct handover_writer w;

	handover_begin(&w, out);
	handover_put_u64(&w, TAG_SERIAL, e->serial);
	handover_put_u64(&w, TAG_UPGRADES, e->upgrades);
	for (size_t i = 0; i < e->cluster_count; i++)
		put_cluster(&w, &e->clusters[i]);
	for (size_t i = 0; i < e->listener_count; i++)
		put_listener(&w, &e->listeners[i]);
	for (size_t i = 0; i < e->segment_count; i++) {
		handover_open(&w, TAG_SEGMENT);
		handover_put_plain(&w, &segment_table, &e->segments[i]);
		handover_close(&w);
	}
	return handover_end(&w, &version);
}

static int take_generation(struct orphan_cluster *c, const struct handover_field *f)
{
	if (c->generation_count >= ORPHAN_GENERATIONS_MAX)
		return -1;
	return handover_get_plain(&generation_table, &c->generations[c->generation_count++], f);
}

static int take_cluster(struct orphan_state *e, const struct handover_field *group)
{
	struct orphan_cluster *c = orphan_state_add_cluster(e, "");
	struct handover_reader r;
	struct handover_field f;

	if (c == NULL)
		return -1;
	handover_enter(&r, group);
	while (handover_next(&r, &f)) {
		int got = handover_take_plain(&cluster_table, c, &f);

		if (got == 0 && f.tag == TAG_OF_GENERATION && f.type == HANDOVER_GROUP)
			got = take_generation(c, &f);
		if (got == -1)
			return -1;
	}
	return text_is_name(c->name) ? 0 : -1;
}

static int take_socket(struct orphan_listener *l, const struct handover_field *f)
{
	if (l->socket_count >= ORPHAN_SOCKETS_MAX)
		return -1;
	return handover_get_plain(&socket_table, &l->sockets[l->socket_count++], f);
}

static int take_listener(struct orphan_state *e, const struct handover_field *group)
{
	struct orphan_listener *l = orphan_state_add_listener(e, "");
	struct handover_reader r;
	struct handover_field f;

	if (l == NULL)
		return -1;
	handover_enter(&r, group);
	while (handover_next(&r, &f)) {
		int got = handover_take_plain(&listener_table, l, &f);

		if (got == 0 && f.tag == TAG_ADDRESS) {
			free(l->address);
			l->address = handover_text(&f);
			got = l->address != NULL ? 0 : -1;
		} else if (got == 0 && f.tag == TAG_SOCKET && f.type == HANDOVER_GROUP) {
			got = take_socket(l, &f);
		}
		if (got == -1)
			return -1;
	}
	return 0;
}

static int take_segment(struct orphan_state *e, const struct handover_field *group)
{
	struct orphan_segment *s = orphan_state_add_segment(e);

	return s != NULL ? handover_get_plain(&segment_table, s, group) : -1;
}

static int take_field(struct orphan_state *e, const struct handover_field *f)
{
	if (f->type == HANDOVER_GROUP && f->tag == TAG_CLUSTER)
		return take_cluster(e, f);
	if (f->type == HANDOVER_GROUP && f->tag == TAG_LISTENER)
		return take_listener(e, f);
	if (f->type == HANDOVER_GROUP && f->tag == TAG_SEGMENT)
		return take_segment(e, f);
	if (f->type == HANDOVER_U64 && f->tag == TAG_SERIAL)
		e->serial = f->u;
	if (f->type == HANDOVER_U64 && f->tag == TAG_UPGRADES)
		e->upgrades = (uint32_t)f->u;
	return 0;
}

int orphan_state_decode(struct orphan_state *e, const void *data, size_t size, struct error *err)
{
	struct handover_version version;
	struct handover_reader r;
	struct handover_field f;

	*e = (struct orphan_state){0};
	if (handover_open_for_reading(&r, data, size, MAJOR, &version, err) == -1)
		return -1;
	while (handover_next(&r, &f))
		if (take_field(e, &f) == -1) {
			orphan_state_fini(e);
			return error_set(err, 0, "field %u of it is mangled", f.tag);
		}
	return 0;
}
