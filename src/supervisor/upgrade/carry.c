/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "base/scope.h"
#include "os/clock.h"
#include "supervisor/hooks/helper.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/instance/manager.h"
#include "supervisor/sockets/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- structs ---- */

static void note_descriptor(struct carry_writer *c, int fd, bool look)
{
	uint64_t words[3] = {(uint64_t)(unsigned)fd};
	struct stat st;

	if (fd < 0)
		return;
	/* one that is not open is found to be missing by who reads */
	if (look && fstat(fd, &st) == 0) {
		words[0] |= (uint64_t)(st.st_mode & S_IFMT) << 32;
		words[1] = (uint64_t)st.st_dev;
		words[2] = (uint64_t)st.st_ino;
	}
	(void)buffer_append(&c->descriptors, words, sizeof(words));
}

/* A pidfd is looked at by waiting for it: see carry_verify(). */
static bool is_pidfd(enum carry_struct which, const void *of, int fd)
{
	return (which == PLAIN_CHILD &&
		       fd == ((const struct child *)of)->pidfd) ||
		(which == PLAIN_HELPER &&
			fd == ((const struct helper *)of)->pidfd);
}

void carry_put(struct carry_writer *c, enum carry_struct which, const void *of)
{
	const struct plain_table *table = &carry_tables[which];

	handover_put_plain(&c->w, table, of);
	for (uint32_t i = 0; i < table->count; i++) {
		int fd;

		if (table->rows[i].kind != PLAIN_FD)
			continue;
		(void)memcpy(&fd, (const char *)of + table->rows[i].offset,
			sizeof(fd));
		note_descriptor(c, fd, c->lasting && !is_pidfd(which, of, fd));
	}
}

int carry_bad(struct error *err, const char *what)
{
	return error_set(err, 0, "the state of %s is not understood", what);
}

int carry_take(enum carry_struct which, void *to,
	const struct handover_field *f, struct error *err)
{
	static const char *const names[CARRY_STRUCTS] = {
		[PLAIN_SUPERVISOR] = "the supervisor",
		[PLAIN_BINARY] = "the binary",
		[PLAIN_CLUSTER_SETTINGS] = "the settings",
		[PLAIN_INSTANCE] = "the instance",
		[PLAIN_LISTENER] = "a listener",
		[PLAIN_SERVICE] = "a cluster",
		[PLAIN_CHILD] = "a worker",
		[PLAIN_CLIENT] = "a client",
		[PLAIN_CLIENTS] = "the control socket",
		[PLAIN_EXPECTATION] = "a client's wish",
		[PLAIN_NEWS] = "an event",
		[PLAIN_RECIPE] = "a generation",
		[PLAIN_SOCKET] = "a listener",
		[PLAIN_HEALTH] = "a worker's health",
		[PLAIN_CHANNEL] = "a worker's channel",
		[PLAIN_MARK] = "a worker's channel",
		[PLAIN_HELPER] = "a command",
		[PLAIN_HOOKS] = "the hooks",
		[PLAIN_HOOK] = "a hook",
		[PLAIN_ACCEPTING] = "the connections",
		[PLAIN_VISIT] = "a connection",
		[PLAIN_SEGMENT] = "shared memory",
		[PLAIN_NODE_CLUSTER] = "Node's servers",
		[PLAIN_NODE_SERVER] = "Node's servers",
		[PLAIN_NODE_WAIT] = "Node's servers",
		[PLAIN_NODE_WORKER] = "a worker of Node",
		[PLAIN_NODE_USE] = "a worker of Node",
		[PLAIN_NODE_FLIGHT] = "a worker of Node",
	};
	int got = handover_take_plain(&carry_tables[which], to, f);

	return got == -1 ? carry_bad(err, names[which]) : got;
}

void carry_clear(enum carry_struct which, void *to)
{
	handover_clear_plain(&carry_tables[which], to);
}

/* A list so short that it is searched. */
size_t carry_add(struct carry_list *list, const void *item)
{
	const void **more;

	for (size_t i = 0; i < list->count; i++)
		if (list->list[i] == item)
			return i;
	if (list->count == list->cap) {
		size_t cap = list->cap != 0 ? 2 * list->cap : 16;

		more = realloc(list->list, cap * sizeof(*more));
		if (more == NULL)
			return SIZE_MAX; /* no index: who reads refuses it */
		list->list = more;
		list->cap = cap;
	}
	list->list[list->count] = item;
	return list->count++;
}

/* ---- saving ---- */

static void put_binary(
	struct carry_writer *c, const struct carry_binary *binary)
{
	handover_open(&c->w, CARRY_BINARY);
	carry_put(c, PLAIN_BINARY, binary);
	if (carry_variant.more)
		handover_put_text(&c->w, CARRY_UNKNOWN, "of a later version");
	handover_close(&c->w);
}

static void put_supervisor(struct carry_writer *c)
{
	const struct supervisor *sup = c->sup;

	handover_open(&c->w, CARRY_SUPERVISOR);
	carry_put(c, PLAIN_SUPERVISOR, sup);
	if (sup->first_children_count > 0)
		handover_put_bytes(&c->w, CARRY_CHILDREN, sup->first_children,
			sup->first_children_count *
				sizeof(*sup->first_children));
	handover_close(&c->w);
}

int carry_save(struct carry_writer *c, struct supervisor *sup, bool lasting,
	const struct carry_binary *binary, struct error *err)
{
	*c = (struct carry_writer){.sup = sup, .lasting = lasting};
	buffer_init(&c->out, HANDOVER_SIZE_MAX);
	buffer_init(&c->descriptors, 0);
	handover_begin(&c->w, &c->out);
	put_binary(c, binary);
	put_supervisor(c);
	/* what is referred to comes before who refers to it */
	carry_put_settings(c);
	carry_put_instance(c);
	carry_put_listeners(c);
	carry_put_segments(c);
	carry_put_services(c);
	carry_put_hooks(c);
	carry_put_clients(c);
	carry_put_news(c);
	manager_save(sup, &c->w, CARRY_MANAGER);
	handover_put_bytes(&c->w, CARRY_DESCRIPTORS, c->descriptors.data,
		c->descriptors.len);
	if (carry_variant.more) {
		handover_open(&c->w, CARRY_UNKNOWN);
		handover_put_u64(&c->w, 1, 1);
		handover_close(&c->w);
	}
	if (c->descriptors.failed ||
		handover_end(&c->w, &carry_variant.version) == -1)
		return error_set(err, ENOMEM, "cannot write the state down");
	return 0;
}

void carry_fini(struct carry_writer *c)
{
	buffer_fini(&c->out);
	buffer_fini(&c->descriptors);
	free(c->settings.list);
	free(c->listeners.list);
	free(c->segments.list);
}

/* ---- loading ---- */

static int get_binary(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	struct handover_reader in;
	struct handover_field m;

	carry_clear(PLAIN_BINARY, &r->binary);
	handover_enter(&in, f);
	while (handover_next(&in, &m))
		if (carry_take(PLAIN_BINARY, &r->binary, &m, err) == -1)
			return -1;
	return 0;
}

static int get_children(struct supervisor *sup, const struct handover_field *f,
	struct error *err)
{
	pid_t *list;

	if (f->type != HANDOVER_BYTES || f->len % sizeof(*list) != 0)
		return carry_bad(err, "the supervisor");
	list = malloc(f->len + 1);
	if (list == NULL)
		return error_set(err, ENOMEM, "list of children");
	(void)memcpy(list, f->data, f->len);
	free(sup->first_children);
	sup->first_children = list;
	sup->first_children_count = f->len / sizeof(*list);
	return 0;
}

static int get_supervisor(struct carry_reader *r,
	const struct handover_field *f, struct error *err)
{
	struct handover_reader in;
	struct handover_field m;

	carry_clear(PLAIN_SUPERVISOR, r->sup);
	handover_enter(&in, f);
	while (handover_next(&in, &m)) {
		int got = m.tag == CARRY_CHILDREN
			? get_children(r->sup, &m, err)
			: carry_take(PLAIN_SUPERVISOR, r->sup, &m, err);

		if (got == -1)
			return -1;
	}
	return 0;
}

static int get_descriptors(struct carry_reader *r,
	const struct handover_field *f, struct error *err)
{
	if (f->type != HANDOVER_BYTES || f->len % CARRY_DESCRIPTOR_SIZE != 0)
		return carry_bad(err, "the descriptors");
	r->descriptors = f->data;
	r->descriptor_count = f->len / CARRY_DESCRIPTOR_SIZE;
	return 0;
}

static int get_manager(struct carry_reader *r, const struct handover_field *f,
	struct error *err)
{
	return manager_load(r->sup, f, err);
}

typedef int get_part(struct carry_reader *r, const struct handover_field *f,
	struct error *err);

static int get_all(struct carry_reader *r, struct error *err)
{
	static get_part *const parts[] = {
		[CARRY_BINARY] = get_binary,
		[CARRY_SUPERVISOR] = get_supervisor,
		[CARRY_SETTINGS] = carry_get_settings,
		[CARRY_INSTANCE] = carry_get_instance,
		[CARRY_LISTENER] = carry_get_listener,
		[CARRY_INHERITED] = carry_get_inherited,
		[CARRY_SERVICE] = carry_get_service,
		[CARRY_CLIENT] = carry_get_client,
		[CARRY_CLIENTS] = carry_get_clients,
		[CARRY_HISTORY] = carry_get_news,
		[CARRY_NEWS] = carry_get_news,
		[CARRY_MANAGER] = get_manager,
		[CARRY_DESCRIPTORS] = get_descriptors,
		[CARRY_HOOKS] = carry_get_hooks,
		[CARRY_ENDING] = carry_get_ending,
		[CARRY_SEGMENT] = carry_get_segment,
	};
	struct handover_field f;

	while (handover_next(&r->all, &f)) {
		if (f.tag >= COUNT_OF(parts) || parts[f.tag] == NULL)
			continue;
		if (parts[f.tag](r, &f, err) == -1)
			return -1;
	}
	return 0;
}

int carry_load(struct carry_reader *r, struct supervisor *sup, const void *data,
	size_t len, struct error *err)
{
	*r = (struct carry_reader){.sup = sup};
	if (handover_open_for_reading(&r->all, data, len,
		    carry_variant.version.major, &r->version, err) == -1 ||
		get_all(r, err) == -1)
		return -1;
	if (sup->settings == NULL || sup->clients == NULL ||
		sup->history == NULL || r->binary.pid == 0 ||
		sup->null_fd == -1)
		return error_set(err, 0, "the state lacks what nclust needs");
	return 0;
}

void carry_release(struct carry_reader *r)
{
	for (size_t i = 0; i < r->settings_count; i++)
		cluster_settings_unref(r->settings[i]);
	for (size_t i = 0; i < r->listener_count; i++)
		listener_release(r->listeners[i]);
	for (size_t i = 0; i < r->segment_count; i++)
		segment_release(r->segments[i]);
	free(r->settings);
	free(r->listeners);
	free(r->segments);
	r->settings = NULL;
	r->listeners = NULL;
	r->segments = NULL;
	r->settings_count = r->listener_count = r->segment_count = 0;
}
