/* SPDX-License-Identifier: MIT */
/* What an earlier nclust has left, in both files: what is taken of it is safe
 * to use, and comes back the same. */
#include "fuzz.h"

#include "base/text.h"
#include "os/place/statefile.h"
#include "supervisor/orphans/internal.h"

/* The table: with a header of here and now, or nothing of it would be read. */
static void take_table(const uint8_t *data, size_t size)
{
	struct state_header here;
	struct state_past past;
	struct error err;
	size_t whole = sizeof(here) + size;
	char *bytes = malloc(whole);

	require(bytes != NULL);
	require(state_header_here(&here, &err) == 0);
	memcpy(bytes, &here, sizeof(here));
	if (size > 0)
		memcpy(bytes + sizeof(here), data, size);
	if (state_past_parse(&past, bytes, whole, &err) == 1) {
		require(past.count <= size / sizeof(struct state_entry));
		for (size_t i = 0; i < past.count; i++) {
			const struct state_entry *e = &past.entries[i];

			require(e->phase < STATE_PHASES);
			require(e->phase != STATE_FREE || e->birth.pid == 0);
			require(e->birth.pid >= 0 && e->birth.pid != 1);
		}
		state_past_fini(&past);
	}
	free(bytes);
}

static void take_header(const uint8_t *data, size_t size)
{
	struct state_past past;
	struct error err;

	if (state_past_parse(&past, data, size, &err) == 1)
		state_past_fini(&past);
}

static void take_orphan_state(const uint8_t *data, size_t size)
{
	struct orphan_state once;
	struct orphan_state twice;
	struct buffer bytes;
	struct error err;

	if (orphan_state_decode(&once, data, size, &err) == -1)
		return;
	for (size_t i = 0; i < once.cluster_count; i++) {
		require(text_is_name(once.clusters[i].name));
		require(once.clusters[i].generation_count <= ORPHAN_GENERATIONS_MAX);
	}
	for (size_t i = 0; i < once.listener_count; i++) {
		require(once.listeners[i].was.bit < 64);
		require(once.listeners[i].socket_count <= ORPHAN_SOCKETS_MAX);
	}
	buffer_init(&bytes, 0);
	require(orphan_state_encode(&bytes, &once) == 0);
	require(orphan_state_decode(&twice, bytes.data, bytes.len, &err) == 0);
	require(once.cluster_count == twice.cluster_count);
	require(once.listener_count == twice.listener_count);
	orphan_state_fini(&once);
	orphan_state_fini(&twice);
	buffer_fini(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 3 == 0)
		take_table(data + 1, size - 1);
	else if (data[0] % 3 == 1)
		take_header(data + 1, size - 1);
	else
		take_orphan_state(data + 1, size - 1);
	return 0;
}
