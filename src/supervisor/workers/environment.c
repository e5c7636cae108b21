/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/environment.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"
#include "os/look/remote.h"
#include "os/socket/socket_unix.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/listener.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FD 3
#define PID_WIDTH 12
#define PID_SPACE "            " /* PID_WIDTH spaces, which the child overwrites */

/* All strings go into one buffer, each with its NUL.  The buffer moves while it grows, so the lists
 * of pointers are made at the end. */
struct writer {
	struct buffer *out;
	const struct worker_place *place;
	const struct listener_set *listeners;
	size_t strings;
	size_t pid_at[2]; /* offsets of pid digits; 0: not used, as argv is first */
	unsigned pids;
	const char *replaced; /* a variable of the recipe that is left out; or NULL */
};

static void end_string(struct writer *w)
{
	buffer_append(w->out, "", 1);
	w->strings++;
}

#define put(w, ...) \
	do { \
		buffer_printf((w)->out, __VA_ARGS__); \
		end_string(w); \
	} while (0)

static void put_pid(struct writer *w, const char *key)
{
	buffer_string(w->out, key);
	w->pid_at[w->pids++] = w->out->len;
	buffer_string(w->out, PID_SPACE);
	end_string(w);
}

/* ---- templates ---- */

/* The number of the listener with that name in the generation's settings, because a reload may have
 * changed names; -1: there is none. */
static int fd_named(const struct writer *w, const char *name, size_t len)
{
	const struct cluster_settings *s = w->place->recipe->settings;

	for (size_t i = 0; i < w->listeners->count; i++) {
		const char *have = s->listen[i].name;

		if (strlen(have) == len && strncmp(have, name, len) == 0)
			return FIRST_FD + (int)i;
	}
	return -1;
}

/* Replace "{word}"; false: the word means nothing to nclust, and stays as it is. */
static bool put_template(struct writer *w, const char *word, size_t len)
{
	struct buffer *out = w->out;
	uint16_t port = listeners_port(w->listeners);
	uint64_t number;
	int fd;

	if (expand_slot(word, len, w->place->slot, &number))
		return buffer_number(out, number, 10), true;
	if ((len == 7 && strncmp(word, "cluster", len) == 0) ||
		(len == 4 && strncmp(word, "name", len) == 0))
		return buffer_string(out, w->place->recipe->settings->name), true;
	if (len == 4 && strncmp(word, "port", len) == 0 && port != 0)
		return buffer_printf(out, "%u", port), true;
	if (len == 2 && strncmp(word, "fd", len) == 0 && w->listeners->count == 1)
		return buffer_printf(out, "%d", FIRST_FD), true;
	if (len > 3 && strncmp(word, "fd:", 3) == 0) {
		fd = fd_named(w, word + 3, len - 3);
		if (fd != -1)
			return buffer_printf(out, "%d", fd), true;
	}
	return false;
}

static void put_replaced(struct writer *w, const char *text)
{
	while (*text != '\0') {
		size_t plain = strcspn(text, "{");
		const char *end;

		buffer_append(w->out, text, plain);
		text += plain;
		if (*text == '\0')
			break;
		end = strchr(text, '}');
		if (end != NULL && put_template(w, text + 1, (size_t)(end - text) - 1)) {
			text = end + 1;
		} else {
			buffer_append(w->out, text, 1);
			text++;
		}
	}
}

static void put_argument(struct writer *w, const char *text)
{
	put_replaced(w, text);
	end_string(w);
}

static bool is_template(const struct recipe *r, size_t variable)
{
	return variable >= r->environment.count - r->templates;
}

/* The variables of `env` that differ by worker. */
static void put_variables(struct writer *w)
{
	const struct recipe *r = w->place->recipe;

	for (size_t i = 0; i < r->environment.count; i++)
		if (is_template(r, i) && r->environment.list[i] != w->replaced)
			put_argument(w, r->environment.list[i]);
}

/* ---- the dialects ---- */

static void put_systemd(struct writer *w)
{
	const struct listener_set *set = w->listeners;

	put(w, "LISTEN_FDS=%zu", set->count);
	if (w->place->recipe->settings->listen_pid)
		put_pid(w, "LISTEN_PID=");
	buffer_string(w->out, "LISTEN_FDNAMES=");
	for (size_t i = 0; i < set->count; i++) {
		const struct address *a = &w->place->recipe->settings->listen[i];

		buffer_printf(w->out, "%s%s", i > 0 ? ":" : "",
			a->each != NULL ? set->list[i]->address.name : a->name);
	}
	end_string(w);
}

/* Server::Starter's "host:port=fd;path=fd"; without a host for a setting that names a port
 * alone. */
static void put_server_starter(struct writer *w)
{
	const struct listener_set *set = w->listeners;
	bool first = true;

	buffer_string(w->out, "SERVER_STARTER_PORT=");
	for (size_t i = 0; i < set->count; i++) {
		const struct listener *l = set->list[i];
		const char *where = strchr(listener_text(l), ':');

		if (l->facts.type != SOCK_STREAM || where == NULL)
			continue;
		buffer_string(w->out, first ? "" : ";");
		if (l->address.kind == ADDRESS_TCP && l->address.family == AF_UNSPEC)
			buffer_printf(w->out, "%u", l->facts.port);
		else
			buffer_string(w->out, where + 1);
		buffer_printf(w->out, "=%d", FIRST_FD + (int)i);
		first = false;
	}
	end_string(w);
	put(w, "SERVER_STARTER_GENERATION=%u", w->place->recipe->generation);
}

static void put_einhorn(struct writer *w)
{
	const struct listener_set *set = w->listeners;

	put(w, "EINHORN_FD_COUNT=%zu", set->count);
	for (size_t i = 0; i < set->count; i++)
		put(w, "EINHORN_FD_%zu=%d", i, FIRST_FD + (int)i);
	put(w, "EINHORN_MASTER_PID=%d", (int)getpid());
	put(w, "EINHORN_CHILD_INDEX=%" PRIu32, w->place->slot);
}

static void put_port(struct writer *w)
{
	const struct listener_set *set = w->listeners;
	unsigned found = 0;

	for (size_t i = 0; i < set->count; i++)
		if (set->list[i]->facts.type == SOCK_STREAM && set->list[i]->facts.port != 0)
			found++;
	if (found == 1 && !w->place->recipe->has_port)
		put(w, "PORT=%u", listeners_port(set));
}

static void put_text(struct writer *w, const char *key, const char *text)
{
	buffer_string(w->out, key);
	buffer_string(w->out, text);
	end_string(w);
}

static void put_number(struct writer *w, const char *key, uint64_t n, unsigned base)
{
	buffer_string(w->out, key);
	buffer_number(w->out, n, base);
	end_string(w);
}

/* Are listeners passed by numbers from FIRST_FD on?  An inetd-wait server gets its only listener as
 * stdin instead. */
static bool are_numbered(const struct recipe *r)
{
	const unsigned numbered = PASS_SYSTEMD | PASS_SERVER_STARTER | PASS_EINHORN;

	return (r->settings->pass & PASS_STDIN) == 0 || (r->settings->pass & numbered) != 0;
}

/* `number`, or the next one where that is taken by `ready = fd:N`. */
static int free_number(const struct worker_place *p, int number)
{
	return number + (p->ready != -1 && p->ready_number == number);
}

static int channel_number(const struct worker_place *p)
{
	const struct recipe *r = p->recipe;

	return free_number(p, FIRST_FD + (are_numbered(r) ? (int)r->settings->listen_count : 0));
}

static void put_channel(struct writer *w)
{
	const struct worker_place *p = w->place;
	uint64_t number = (uint64_t)channel_number(p);

	if (p->channel == -1)
		return;
	if (p->kind == CHANNEL_NODE) {
		put_number(w, "NODE_CHANNEL_FD=", number, 10);
		put_number(w, "NODE_UNIQUE_ID=", p->serial, 10);
	} else {
		put_number(w, "NCLUST_CHANNEL_FD=", number, 10);
	}
}

/* The descriptor number of shared memory: after the listeners and the channel. */
static int segment_number(const struct worker_place *p)
{
	return free_number(p, channel_number(p) + (p->channel != -1));
}

/* The descriptor number of the leader's file: after shared memory. */
static int leader_number(const struct worker_place *p)
{
	return free_number(p, segment_number(p) + (p->recipe->segment != NULL));
}

/* The socket has an abstract name where it cannot have one in the runtime directory. */
static void put_notify(struct writer *w, const struct supervisor *sup)
{
	char name[16];

	if (socket_own_name(w->place->notify, name, sizeof(name)) == 0) {
		put_text(w, "NOTIFY_SOCKET=", name);
	} else if (sup->has_rundir) {
		buffer_string(w->out, "NOTIFY_SOCKET=");
		buffer_string(w->out, sup->rundir.path);
		put_number(w, "/notify/", w->place->serial, 16);
	}
}

/* NCLUST_* and other variables of nclust.  Without printf(), which would be much of a spawn's
 * cost. */
static void put_own(struct writer *w, struct supervisor *sup)
{
	const struct worker_place *p = w->place;
	const struct cluster_settings *s = p->recipe->settings;

	if (p->peer == NULL && p->notify != -1)
		put_notify(w, sup);
	put_text(w, "NCLUST_NAME=", sup->settings->name);
	put_text(w, "NCLUST_CLUSTER=", s->name);
	put_number(w, "NCLUST_SLOT=", p->slot, 10);
	put_number(w, "NCLUST_WORKERS=", p->workers, 10);
	put_number(w, "NCLUST_GENERATION=", p->recipe->generation, 10);
	if (sup->has_rundir) {
		buffer_string(w->out, "NCLUST_SOCKET=");
		put_text(w, sup->rundir.path, "/control");
	}
	put_number(w, "NCLUST_WORKER=", p->serial, 16);
	if (recipe_env(p->recipe, "NODE_APP_INSTANCE=") == NULL)
		put_number(w, "NODE_APP_INSTANCE=", p->slot, 10);
	if (s->watchdog == 0)
		return;
	if (s->listen_pid)
		put_pid(w, "WATCHDOG_PID=");
	put_number(w, "WATCHDOG_USEC=", (uint64_t)(s->watchdog / USEC), 10);
}

/* ---- the thread budget ---- */

/* The JVM takes the number of threads from its options alone. */
static void put_java(struct writer *w, unsigned threads)
{
	static const char key[] = "JAVA_TOOL_OPTIONS=";
	static const char flag[] = "-XX:ActiveProcessorCount=";
	const char *given = recipe_env(w->place->recipe, key);

	if (given != NULL && strstr(given, flag) != NULL)
		return;
	w->replaced = given != NULL ? given - strlen(key) : NULL;
	buffer_string(w->out, key);
	if (given != NULL && *given != '\0') {
		put_replaced(w, given);
		buffer_append(w->out, " ", 1);
	}
	put_number(w, flag, threads, 10);
}

/* Variables that the user has set are left alone. */
static void put_threads(struct writer *w, unsigned threads)
{
	static const char *const keys[] = {"UV_THREADPOOL_SIZE=", "GOMAXPROCS=", "OMP_NUM_THREADS=",
		"OPENBLAS_NUM_THREADS=", "MKL_NUM_THREADS=", "RAYON_NUM_THREADS="};

	if (threads == 0)
		return;
	put_number(w, "NCLUST_THREADS=", threads, 10);
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (recipe_env(w->place->recipe, keys[i]) == NULL)
			put_number(w, keys[i], threads, 10);
	put_java(w, threads);
}

/* ---- putting it together ---- */

static int make_lists(
	struct supervisor *sup, const struct writer *w, size_t arguments, struct spawn_plan *plan)
{
	const struct recipe *r = w->place->recipe;
	struct scratch *scratch = &sup->births.scratch[w->place->nth];
	size_t need = w->strings + r->environment.count + 2;
	char *at = w->out->data;
	char **list = scratch->list;
	size_t n = 0;

	if (need > scratch->size) {
		list = realloc(scratch->list, need * sizeof(*list));
		if (list == NULL)
			return -1;
		scratch->list = list;
		scratch->size = need;
	}
	for (size_t i = 0; i < w->strings; i++) {
		if (i == arguments)
			list[n++] = NULL;
		list[n++] = at;
		at += strlen(at) + 1;
	}
	for (size_t i = 0; i < r->environment.count; i++)
		if (!is_template(r, i) && r->environment.list[i] != w->replaced)
			list[n++] = r->environment.list[i];
	list[n] = NULL;
	plan->argv = list;
	plan->envp = list + arguments + 1;
	for (unsigned i = 0; i < w->pids; i++)
		plan->pid_slots[i] = w->out->data + w->pid_at[i];
	plan->pid_width = PID_WIDTH;
	return 0;
}

static void add_descriptor(struct spawn_plan *plan, int fd, int number)
{
	plan->fds[plan->fd_count++] = (struct spawn_fd){fd, number};
}

static void fill_descriptors(
	const struct worker_place *place, const struct listener_set *set, struct spawn_plan *plan)
{
	const struct recipe *r = place->recipe;

	if (place->peer != NULL) {
		add_descriptor(plan, place->connection, 0);
		add_descriptor(plan, place->connection, 1);
		add_descriptor(plan, place->output[1] != -1 ? place->output[1] : 2, 2);
		return;
	}
	if ((r->settings->pass & PASS_STDIN) != 0 && set->count > 0)
		add_descriptor(plan, group_fd(set->list[0], place->lane), 0);
	else if (place->input != -1)
		add_descriptor(plan, place->input, 0);
	for (int i = 0; i < 2; i++)
		add_descriptor(plan, place->output[i] != -1 ? place->output[i] : i + 1, i + 1);
	if (place->channel != -1)
		add_descriptor(plan, place->channel, channel_number(place));
	if (r->segment != NULL)
		add_descriptor(plan, r->segment->fd, segment_number(place));
	if (place->leader != -1)
		add_descriptor(plan, place->leader, leader_number(place));
	if (place->ready != -1)
		add_descriptor(plan, place->ready, place->ready_number);
	if (!are_numbered(r))
		return;
	for (size_t i = 0; i < set->count && plan->fd_count < SPAWN_FDS_MAX; i++)
		add_descriptor(plan, group_fd(set->list[i], place->lane), FIRST_FD + (int)i);
}

static void collect_listeners(struct listener_set *own, const struct worker_place *place)
{
	while (own->count < SPAWN_FDS_MAX &&
		(own->list[own->count] = listeners_at(
			 &place->recipe->listeners, place->slot, own->count)) != NULL)
		own->count++;
}

void environment_of_slot(struct buffer *out, const struct recipe *recipe, uint32_t slot)
{
	const struct worker_place place = {.recipe = recipe, .slot = slot, .ready = -1};
	struct listener *list[SPAWN_FDS_MAX] uninitialized;
	struct listener_set own = {.list = list};
	struct writer w = {.out = out, .place = &place, .listeners = &own};

	collect_listeners(&own, &place);
	put_variables(&w);
}

int environment_fill(
	struct supervisor *sup, const struct worker_place *place, struct spawn_plan *plan)
{
	const struct cluster_settings *s = place->recipe->settings;
	const struct segment *segment = place->recipe->segment;
	struct listener *list[SPAWN_FDS_MAX] uninitialized;
	struct listener_set own = {.list = list};
	struct writer w = {
		.out = &sup->births.scratch[place->nth].text,
		.place = place,
		.listeners = &own,
	};
	size_t arguments;

	collect_listeners(&own, place);
	buffer_clear(w.out);
	for (size_t i = 0; i < s->command.count; i++)
		put_argument(&w, s->command.list[i]);
	arguments = w.strings;
	if (place->peer != NULL) {
		w.strings += peer_environment(w.out, place->peer, place->path, place->same);
	} else if (w.listeners->count > 0) {
		if ((s->pass & PASS_SYSTEMD) != 0)
			put_systemd(&w);
		if ((s->pass & PASS_SERVER_STARTER) != 0)
			put_server_starter(&w);
		if ((s->pass & PASS_EINHORN) != 0)
			put_einhorn(&w);
		if ((s->pass & PASS_PORT) != 0)
			put_port(&w);
	}
	put_own(&w, sup);
	put_channel(&w);
	if (segment != NULL) {
		put_number(&w, "NCLUST_SHM_FD=", (uint64_t)segment_number(place), 10);
		put_number(&w, "NCLUST_SHM_SIZE=", segment->facts.size, 10);
	}
	if (place->leader != -1)
		put_number(&w, "NCLUST_LEADER_FD=", (uint64_t)leader_number(place), 10);
	put_threads(&w, cluster_threads(s, sup->launch.cpus, place->workers));
	put_variables(&w);
	if (w.out->failed || make_lists(sup, &w, arguments, plan) == -1)
		return -1;
	fill_descriptors(place, &own, plan);
	return 0;
}

int environment_look(struct environ_look *look, pid_t pid, const char *key)
{
	struct remote r;

	look->pid = pid;
	text_copy(look->key, sizeof(look->key), key);
	remote_of(&r, pid);
	return remote_run(&r, -1, environ_find, look);
}
