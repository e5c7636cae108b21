/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/recipe.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "config/procfile.h"
#include "config/value.h"
#include "config/value_command.h"
#include "os/place/open_for.h"
#include "os/privilege.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/sockets/segment.h"
#include "supervisor/workers/nodecommand.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* How long nclust, which does nothing else meanwhile, waits for execve(2). */
#define SPAWN_PATIENCE (1 * SECOND)

extern char **environ;

/* ---- the environment that does not differ by worker ---- */

/* Is it a variable about nclust itself, or a variable that nclust sets for each worker? */
static bool is_private(const char *entry)
{
	static const char *const names[] = {"LISTEN_", "NOTIFY_SOCKET=", "WATCHDOG_", "NCLUST_",
		"SERVER_STARTER_", "EINHORN_",
		"INVOCATION_ID=", "SYSTEMD_EXEC_PID=", "FDSTORE=", "NODE_APP_INSTANCE=",
		"NODE_CHANNEL_FD=", "NODE_CHANNEL_SERIALIZATION_MODE=", "NODE_UNIQUE_ID="};

	return array_find(name, names, COUNT_OF(names),
		       strncmp(entry, *name, strlen(*name)) == 0) != NULL;
}

static size_t key_length(const char *entry)
{
	const char *equals = strchr(entry, '=');

	return equals != NULL ? (size_t)(equals - entry) + 1 : 0;
}

static char **find_variable(const struct recipe *r, const char *key, size_t len)
{
	return array_find(
		entry, r->environment.list, r->environment.count, strncmp(*entry, key, len) == 0);
}

const char *recipe_env(const struct recipe *r, const char *key)
{
	char **at = find_variable(r, key, strlen(key));

	return at != NULL ? *at + strlen(key) : NULL;
}

/* Add "K=V", or replace what has the same key. */
static int put_env(struct recipe *r, const char *entry)
{
	size_t key = key_length(entry);
	char **at;
	char *copy;

	if (key < 2)
		return 0; /* no key: left out */
	at = find_variable(r, entry, key);
	if (at == NULL)
		return strings_add(&r->environment, entry);
	copy = strdup(entry);
	if (copy == NULL)
		return -1;
	free(*at);
	*at = copy;
	return 0;
}

static int put_pair(struct recipe *r, const char *key, const char *value)
{
	scoped_str entry = NULL;

	if (asprintf(&entry, "%s=%s", key, value) == -1) {
		entry = NULL;
		return -1;
	}
	return put_env(r, entry);
}

static char *read_env_file(long uid, const char *path, bool patient, struct error *err)
{
	char *text = read_for(uid, path, ENV_FILE_MAX, patient);

	if (text != NULL)
		return text;
	if (errno == EFBIG) {
		error_set(err, 0, "env-file '%s': wanted a regular file of at most 1 MB", path);
		return NULL;
	}
	error_set(err, errno, "cannot read env-file '%s'", path);
	if (err->sys == ELOOP)
		error_hint(err,
			"root follows for another user only links of root's, "
			"and those to a file of that user's");
	else if (err->sys == ETIMEDOUT)
		error_hint(err, "does its file server answer?");
	return NULL;
}

static int put_env_file(struct recipe *r, const char *path, bool patient, struct error *err)
{
	scoped_str text = read_env_file(r->settings->uid, path, patient, err);
	struct envfile f = {.rest = text};
	char *entry;
	int got;

	if (text == NULL)
		return -1;
	f.rest += text_bom(text, strlen(text));
	while ((got = envfile_next(&f, &entry, err)) == 1) {
		if (f.warns && patient) /* once, as the settings are checked */
			log_warn("%s:%u: " ENVFILE_WARNING, path, f.line, (int)strcspn(entry, "="),
				entry);
		if (put_env(r, entry) == -1)
			return error_set(err, ENOMEM, "env-file '%s'", path);
	}
	return got == 0 ? 0 : error_wrap(err, "%s:%u", path, f.line);
}

/* A program that runs as another user must not find HOME of nclust's user. */
static int put_home(struct recipe *r)
{
	const struct cluster_settings *s = r->settings;

	if (s->login == NULL)
		return 0;
	if (put_pair(r, "HOME", s->home) == -1 || put_pair(r, "USER", s->login) == -1 ||
		put_pair(r, "LOGNAME", s->login) == -1)
		return -1;
	return 0;
}

/* Move variables of `env` with a "{word}", which differ by worker, to the end of the environment.
 * Words in inherited variables and in files are not replaced. */
static void set_templates_apart(struct recipe *r)
{
	const struct strings *env = &r->settings->env;

	for (size_t i = 0; i < env->count; i++) {
		const char *entry = env->list[i];
		char **at = find_variable(r, entry, key_length(entry));
		char **last = &r->environment.list[r->environment.count - 1 - r->templates];
		char *moved;

		if (at == NULL || strchr(entry, '{') == NULL)
			continue;
		moved = *at;
		*at = *last;
		*last = moved;
		r->templates++;
	}
}

static int make_environment(struct recipe *r, bool patient, struct error *err)
{
	const struct cluster_settings *s = r->settings;

	for (char **e = environ; !s->clear_env && *e != NULL; e++)
		if (!is_private(*e) && !(s->accept && peer_is_variable(*e)) && put_env(r, *e) == -1)
			goto memory;
	if (s->user != NULL && s->uid >= 0 && put_home(r) == -1)
		goto memory;
	for (size_t i = 0; i < s->env_file.count; i++)
		if (put_env_file(r, s->env_file.list[i], patient, err) == -1)
			return -1;
	for (size_t i = 0; i < s->env.count; i++)
		if (put_env(r, s->env.list[i]) == -1)
			goto memory;
	r->has_port = recipe_env(r, "PORT=") != NULL;
	set_templates_apart(r);
	return 0;
memory:
	return error_set(err, ENOMEM, "environment");
}

/* Have what a recipe of the same settings has read from files and links, which may be those of
 * another release by now. */
static int copy_environment(struct recipe *r, const struct recipe *from, struct error *err)
{
	bool copied = from->entered == NULL || (r->entered = strdup(from->entered)) != NULL;

	for (char **e = from->environment.list; copied && e != NULL && *e != NULL; e++)
		copied = strings_add(&r->environment, *e) == 0;
	r->templates = from->templates;
	r->has_port = from->has_port;
	return copied ? 0 : error_set(err, ENOMEM, "environment");
}

/* ---- where the program may be ---- */

int recipe_candidates(
	struct strings *to, const struct recipe *r, const char *name, struct error *err)
{
	if (value_candidates(to, recipe_env(r, "PATH="), name) == 0)
		return 0;
	return error_set(err, ENOMEM, "PATH");
}

/* ---- limits, ids ---- */

void recipe_limits(struct recipe *r, const struct rlimit *nofile)
{
	bool has_nofile = false;

	for (size_t i = 0; i < LIMITS_MAX; i++) {
		const struct limit *l = &r->settings->limits[i];

		if (!l->given)
			continue;
		has_nofile |= i == RLIMIT_NOFILE;
		r->limit_resources[r->limit_count] = (int)i;
		r->limits[r->limit_count++] = l->value;
	}
	if (!has_nofile) { /* nclust has raised its own; select(2) fails above 1024 */
		r->limit_resources[r->limit_count] = RLIMIT_NOFILE;
		r->limits[r->limit_count++] = *nofile;
	}
}

static int make_groups(struct recipe *r, struct error *err)
{
	const struct cluster_settings *s = r->settings;

	if (s->groups == NULL)
		return 0;
	r->groups = reallocarray(NULL, s->group_count, sizeof(*r->groups));
	if (r->groups == NULL)
		return error_set(err, ENOMEM, "groups of '%s'", s->user);
	memcpy(r->groups, s->groups, s->group_count * sizeof(*r->groups));
	r->group_count = s->group_count;
	return 0;
}

void recipe_free(struct recipe *r)
{
	strings_clear(&r->environment);
	strings_clear(&r->candidates);
	free(r->groups);
	free(r->entered);
	listeners_release(&r->listeners);
	segment_release(r->segment);
	cluster_settings_unref(r->settings);
	free(r);
}

/* With the environment of `from`, if it is not NULL. */
static struct recipe *recipe_new(const struct cluster_settings *settings,
	const struct rlimit *nofile, bool patient, const struct recipe *from, struct error *err)
{
	struct recipe *r = calloc(1, sizeof(*r));
	const struct strings *command = &settings->command;

	if (r == NULL) {
		error_set(err, ENOMEM, "cannot start a command");
		return NULL;
	}
	r->settings = cluster_settings_ref(settings);
	recipe_limits(r, nofile);
	if ((from != NULL ? copy_environment(r, from, err) : make_environment(r, patient, err)) ==
			-1 ||
		make_groups(r, err) == -1 ||
		(command->count > 0 &&
			recipe_candidates(&r->candidates, r, command->list[0], err) == -1)) {
		recipe_free(r);
		return NULL;
	}
	return r;
}

struct recipe *recipe_ours(const struct supervisor *sup, struct error *err)
{
	struct cluster_settings *none = cluster_settings_new();
	struct recipe *r;

	if (none == NULL) {
		error_set(err, ENOMEM, "cannot start a command");
		return NULL;
	}
	r = recipe_new(none, &sup->births.nofile, false, NULL, err);
	cluster_settings_unref(none);
	return r;
}

void recipe_plan(const struct supervisor *sup, struct spawn_plan *plan, const struct recipe *r)
{
	const struct cluster_settings *s = r->settings;

	*plan = (struct spawn_plan){
		.candidates = (const char *const *)r->candidates.list,
		.exec_fd = -1,
		.null_fd = sup->null_fd,
		.channel = sup->births.scratch[0].channel,
		.new_session = true,
		.limits = r->limits,
		.limit_resources = r->limit_resources,
		.limit_count = r->limit_count,
		.nice = s->nice,
		.oom_score_adj =
			*sup->births.oom_score_adj != '\0' ? sup->births.oom_score_adj : NULL,
		.umask = s->umask,
		.chroot = s->chroot,
		.release = r->entered,
		.directory = s->directory,
		.directory_first = s->directory_of_file || s->directory_of_nclust,
		.uid = s->uid,
		.gid = s->gid,
		.groups = r->groups,
		.group_count = r->group_count,
		.death_signal = s->orphans == ORPHANS_KEEP ? 0 : SIGKILL,
		.patience = SPAWN_PATIENCE,
		.capabilities_given = s->capabilities_given,
		.capabilities = s->capabilities,
		.no_new_privs = s->no_new_privs,
	};
}

/* accept = yes: nothing is executed at the start, so look for the program, or a wrong name would be
 * reported only at the first client.  Does not look in another root or directory, and does not
 * check another user's rights. */
static int check_program(const struct recipe *r, struct error *err)
{
	const struct cluster_settings *s = r->settings;
	struct spawn_failure failure = {.step = SPAWN_EXEC};
	char found[PATH_MAX] uninitialized;

	if (!s->accept || s->chroot != NULL)
		return 0;
	if (*r->candidates.list[0] != '/' && s->directory != NULL && !s->directory_of_nclust)
		return 0; /* execve(2) searches in the worker's directory */
	failure.error = cluster_find_program(s, recipe_env(r, "PATH="), s->command.list[0], found);
	if (failure.error == 0)
		return 0;
	spawn_explain(&failure, s->command.list[0], err);
	return -1;
}

/* Refuse settings for which nclust lacks the rights. */
static int check_rights(const struct cluster_settings *s, struct error *err)
{
	const bool becomes = s->uid >= 0 && (uid_t)s->uid != geteuid();
	const struct {
		bool needed;
		int capability;
		const char *key, *name;
	} rights[] = {
		{becomes, CAP_SETUID, "user", "CAP_SETUID"},
		{becomes, CAP_KILL, "user", "CAP_KILL"}, /* to stop its workers */
		{s->gid >= 0 && (gid_t)s->gid != getegid(), CAP_SETGID, "group", "CAP_SETGID"},
		{s->chroot != NULL, CAP_SYS_CHROOT, "chroot", "CAP_SYS_CHROOT"},
	};

	for (size_t i = 0; i < COUNT_OF(rights); i++) {
		if (!rights[i].needed || privilege_has(rights[i].capability))
			continue;
		error_set(err, EPERM, "'%s' requires root with %s", rights[i].key, rights[i].name);
		error_hint(err, "%s, or leave '%s' out",
			geteuid() != 0
				? "start nclust by sudo"
				: "allow it in the systemd unit or container that nclust is in",
			rights[i].key);
		return error_status(err, EX_NOPERM);
	}
	return 0;
}

static int check_orphans(
	const struct supervisor *sup, const struct cluster_settings *settings, struct error *err)
{
	if (sup->has_rundir || settings->orphans != ORPHANS_KEEP)
		return 0;
	error_set(err, 0,
		"cluster '%s': 'orphans = keep' needs a runtime directory, and "
		"there is none",
		settings->name);
	return error_hint(err, "set 'runtime-directory' or NCLUST_RUNTIME_DIR");
}

static enum node_runtime find_runtime(const struct recipe *r)
{
	const struct cluster_settings *s = r->settings;
	enum node_runtime runtime;

	/* Node does not end by itself while its channel is open: a job would never be done */
	if (s->ipc == IPC_OFF || (s->ipc == IPC_AUTO && s->restart != RESTART_ALWAYS))
		return NODE_NONE;
	runtime = nodecommand_look(r);
	if (runtime == NODE_NONE && s->ipc == IPC_ON)
		runtime = nodecommand_in_shell(s->command.list);
	return runtime;
}

/* A worker can be asked before it has clients, if it has a socket of its own: one that is to pass
 * `ready`, and a spare, which is one of Node's that waits for an answer instead. */
static bool asks_early(const struct cluster_settings *s, enum node_runtime runtime)
{
	return s->balance == BALANCE_AUTO &&
		(s->ready == READY_PROBE ||
			(runtime == NODE_NONE && s->spare > 0 && s->check.kind == PROBE_HTTP));
}

bool settings_spread(const struct cluster_settings *s, enum node_runtime runtime)
{
	if ((s->balance != BALANCE_AUTO && !settings_share(s)) || s->sticky != STICKY_OFF)
		return true;
	/* can the kernel choose workers in turn, by eBPF? */
	return asks_early(s, runtime) && (privilege_has(CAP_BPF) || privilege_has(CAP_SYS_ADMIN));
}

bool recipe_spreads(const struct recipe *r)
{
	return settings_spread(r->settings, r->runtime) && !recipe_accepts(r);
}

bool settings_accept(const struct cluster_settings *s, const char *policy)
{
	if (s->sticky != STICKY_OFF)
		return false;
	if (s->balance != BALANCE_AUTO)
		return s->balance == BALANCE_RR;
	return s->max_requests != 0 || (policy != NULL && strcmp(policy, "rr") == 0);
}

bool recipe_accepts(const struct recipe *r)
{
	return r->runtime != NODE_NONE &&
		settings_accept(r->settings, recipe_env(r, "NODE_CLUSTER_SCHED_POLICY="));
}

/* Nobody counts the connections of other workers (what else they need says config/check.c). */
static int check_requests(struct recipe *r, struct error *err)
{
	r->runtime = find_runtime(r);
	if (r->settings->max_requests == 0 || recipe_accepts(r))
		return 0;
	error_set(err, 0,
		"'max-requests' counts what nclust hands to workers of Node's cluster, and for "
		"'ipc' this command is none");
	return error_hint(err, "set 'max-age' or 'max-memory' instead");
}

int recipe_check(const struct supervisor *sup, const struct cluster_settings *settings,
	bool patient, struct error *err)
{
	struct rlimit none = {0, 0};
	/* holds a reference of the settings for the time of the check */
	struct recipe *r = recipe_new(settings, &none, patient, NULL, err);
	bool bad = r == NULL || check_program(r, err) == -1 || check_requests(r, err) == -1;

	if (r != NULL)
		recipe_free(r);
	if (bad || check_rights(settings, err) == -1)
		return error_wrap(err, "cluster '%s'", settings->name);
	return check_orphans(sup, settings, err);
}

#define LETS_IN "a worker that has not passed 'ready' gets clients, too: "

/* Says why workers are not asked before they have clients. */
static void tell_unasked(struct service *service, const struct recipe *r)
{
	const struct cluster_settings *s = r->settings;

	if (s->ready == READY_PROBE && recipe_accepts(r))
		news_say_of(service, LOG_NOTE, "balance",
			LETS_IN "nclust accepts for Node's workers; set 'balance = auto'");
	else if (asks_early(s, r->runtime) && !settings_spread(s, r->runtime))
		news_say_of(service, LOG_NOTE, "balance",
			s->ready != READY_PROBE ? "spares are not asked: %s"
				/* any worker that shares the socket may answer a command */
				: s->ready_probe.kind == PROBE_EXEC
				? LETS_IN "bpf(2): %s; set 'balance = rr'"
				: LETS_IN "bpf(2): %s; set 'balance = rr', or 'surge = all'",
			strerror(EPERM));
}

struct recipe *recipe_get(struct service *service, unsigned generation,
	const struct cluster_settings *settings, struct error *err)
{
	struct recipe *r = recipe_of(service, generation);
	struct rollout_view rollout = cluster_view_rollout(service->core);
	bool back = rollout.going_back && generation == rollout.to;
	int got;

	if (r != NULL)
		return r;
	if (back)
		r = recipe_of(service, cluster_generation(service->core));
	r = recipe_new(settings, &service->sup->births.nofile, false, r, err);
	if (r == NULL)
		return NULL;
	r->generation = generation;
	r->runtime = find_runtime(r);
	tell_unasked(service, r);
	got = listeners_pick(&r->listeners, r->settings, service, err);
	if (got == -1)
		error_wrap(err, "generation %u", r->generation);
	else
		got = segment_open(service->sup, &r->segment, r->settings, service, err);
	if (got == -1) {
		recipe_free(r);
		return NULL;
	}
	r->next = service->life.recipes;
	service->life.recipes = r;
	return r;
}

/* When single workers are replaced, the others go on with an older generation number, but with the
 * settings in force. */
static bool is_needed(const struct service *service, const struct recipe *r)
{
	const struct cluster *core = service->core;
	struct rollout_view rollout = cluster_view_rollout(core);

	return r->generation == cluster_generation(core) ||
		(rollout.under_way && r->generation == rollout.to) ||
		cluster_generation_settings(core, r->generation) == cluster_settings(core);
}

void recipes_trim(struct service *service)
{
	struct recipe **at = &service->life.recipes;

	while (*at != NULL) {
		struct recipe *r = *at;

		if (is_needed(service, r)) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		recipe_free(r);
	}
}

void recipes_free(struct service *service)
{
	while (service->life.recipes != NULL) {
		struct recipe *r = service->life.recipes;

		service->life.recipes = r->next;
		recipe_free(r);
	}
}

/* ---- listeners of its settings ---- */

void recipes_follow_settings(struct service *service)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	const struct recipe *r = recipe_of(service, cluster_generation(service->core));
	struct listener_set set;
	struct error err;
	int got;

	if (r != NULL)
		got = listeners_share(&set, &r->listeners);
	else
		got = listeners_open(service->sup, &set, s, cluster_slots(service->core),
			&service->sockets.listeners, &err);
	if (got == 0) {
		listeners_release(&service->sockets.listeners);
		service->sockets.listeners = set;
	} else if (r == NULL) {
		log_error("%s: %s", service->name, err.text);
	}
}

int recipes_open_slots(struct service *service, size_t slots, struct error *err)
{
	int got = listeners_grow(&service->sockets.listeners, cluster_next_settings(service->core),
		slots, service, err);

	for (struct recipe *r = service->life.recipes; got == 0 && r != NULL; r = r->next)
		got = listeners_grow(&r->listeners, r->settings, slots, service, err);
	return got;
}

void recipes_close_slots(struct service *service)
{
	const size_t slots = cluster_slots(service->core);

	if (service->sockets.listeners.row == 0)
		return;
	listeners_trim(&service->sockets.listeners, slots);
	for (struct recipe *r = service->life.recipes; r != NULL; r = r->next)
		listeners_trim(&r->listeners, slots);
}
