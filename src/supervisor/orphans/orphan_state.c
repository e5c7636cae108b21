/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/internal.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* A file of another major version is refused. */
static const struct handover_version version = {.major = 1, .minor = 0};

/* clang-format off */
static const struct plain_row generation_rows[] = {
	PLAIN(1, orphan_generation, number, UNSIGNED),
	PLAIN(2, orphan_generation, digest, UNSIGNED),
};

static const struct carried generation = {
	.called = "a generation",
	CARRIED_ROWS(generation_rows, orphan_generation),
};

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
	PLAIN(10, orphan_cluster, configured, HEAP), /* 11 to 14 were of earlier releases */
	CARRY_ARRAY(100, orphan_cluster, generations, &generation, generation_count),
};

static const struct plain_row socket_rows[] = {
	PLAIN(1, orphan_socket, cookie, UNSIGNED),
	PLAIN(2, orphan_socket, inode, UNSIGNED),
	PLAIN(3, orphan_socket, lane, UNSIGNED),
	PLAIN_ENUM(4, orphan_socket, bound, ORPHAN_BOUND),
};

static const struct carried socket_of_listener = {
	.called = "a socket",
	CARRIED_ROWS(socket_rows, orphan_socket),
};

static const struct plain_row listener_rows[] = {
	PLAIN(1, orphan_listener, cluster, UNSIGNED),
	PLAIN(2, orphan_listener, cookie, UNSIGNED),
	PLAIN(3, orphan_listener, was.inode, UNSIGNED),
	PLAIN(4, orphan_listener, was.file.dev, UNSIGNED),
	PLAIN(5, orphan_listener, was.file.ino, UNSIGNED),
	PLAIN(6, orphan_listener, was.made, BOOL),
	PLAIN(7, orphan_listener, was.learned, BOOL),
	PLAIN(8, orphan_listener, was.facts.listening, BOOL),
	PLAIN(9, orphan_listener, given, BOOL),
	PLAIN_ENUM(10, orphan_listener, was.bit, 63),
	PLAIN(11, orphan_listener, was.address.backlog, UNSIGNED),
	PLAIN(12, orphan_listener, was.file.uid, UNSIGNED),
	PLAIN(13, orphan_listener, was.file.gid, UNSIGNED),
	PLAIN(14, orphan_listener, was.renewed, UNSIGNED),
	PLAIN_MUST(100, orphan_listener, address, HEAP),
	CARRY_ARRAY(101, orphan_listener, sockets, &socket_of_listener, socket_count),
};

static const struct plain_row segment_rows[] = {
	PLAIN(1, orphan_segment, cluster, UNSIGNED),
	PLAIN(2, orphan_segment, was.wanted, UNSIGNED),
	/* 3 was whether its pages were huge */
	PLAIN(4, orphan_segment, was.facts.dev, UNSIGNED),
	PLAIN(5, orphan_segment, was.facts.ino, UNSIGNED),
	PLAIN(6, orphan_segment, was.facts.size, UNSIGNED),
};
/* clang-format on */

static int cluster_done(struct carry_reader *r UNUSED, void *to)
{
	const struct orphan_cluster *c = to;

	return text_is_name(c->name) && c->generation_count <= ORPHAN_GENERATIONS_MAX ? 0 : -1;
}

static const struct carried cluster = {
	.called = "a cluster",
	CARRIED_ROWS(cluster_rows, orphan_cluster),
	.done = cluster_done,
};

static int listener_done(struct carry_reader *r UNUSED, void *to)
{
	return ((const struct orphan_listener *)to)->socket_count <= ORPHAN_SOCKETS_MAX ? 0 : -1;
}

static const struct carried listener = {
	.called = "a listener",
	CARRIED_ROWS(listener_rows, orphan_listener),
	.done = listener_done,
};

static const struct carried segment = {
	.called = "shared memory",
	CARRIED_ROWS(segment_rows, orphan_segment),
};

static const struct plain_row state_rows[] = {
	CARRY_ARRAY(3, orphan_state, clusters, &cluster, cluster_count),
	CARRY_ARRAY(4, orphan_state, listeners, &listener, listener_count),
	CARRY_ARRAY(5, orphan_state, segments, &segment, segment_count),
};

static const struct carried state = {
	.called = "nclust",
	CARRIED_ROWS(state_rows, orphan_state),
};

void orphan_state_fini(struct orphan_state *e)
{
	for (size_t i = 0; i < e->listener_count; i++) {
		free(e->listeners[i].address);
		free(e->listeners[i].sockets);
	}
	for (size_t i = 0; i < e->cluster_count; i++) {
		free(e->clusters[i].command);
		free(e->clusters[i].configured);
		free(e->clusters[i].generations);
	}
	free(e->clusters);
	free(e->listeners);
	free(e->segments);
	*e = (struct orphan_state){0};
}

void *orphan_state_add(void *list, size_t *count, size_t size)
{
	void *at;
	char *more;

	memcpy(&at, list, sizeof(at));
	if (*count >= ORPHAN_ITEMS_MAX)
		return NULL;
	more = reallocarray(at, *count + 1, size);
	if (more == NULL)
		return NULL;
	memcpy(list, &more, sizeof(more));
	return memset(more + (*count)++ * size, 0, size);
}

int orphan_state_encode(struct buffer *out, const struct orphan_state *e)
{
	struct carry_writer c = {0};

	handover_begin(&c.w, out);
	carry_put_all(&c, &state, e);
	return handover_end(&c.w, &version);
}

int orphan_state_decode(struct orphan_state *e, const void *data, size_t size, struct error *err)
{
	struct carry_reader r = {.err = err};
	struct handover_reader in;

	*e = (struct orphan_state){0};
	*err->text = '\0';
	if (handover_open_for_reading(&in, data, size, version.major, &r.version, err) == -1)
		return -1;
	if (carry_get_all(&r, &state, e, &in) == 1)
		return 0;
	orphan_state_fini(e);
	return -1;
}
