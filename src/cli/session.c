/* SPDX-License-Identifier: MIT */
#include "cli/session.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "cli/output.h"
#include "cli/stranger.h"
#include "config/argv.h"
#include "os/environ.h"
#include "os/place/rundir.h"
#include "os/place/rundir_place.h"
#include "os/socket/socket.h"
#include "protocol/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

void session_close(struct session *s)
{
	for (size_t i = 0; i < s->count; i++)
		client_fini(&s->clients[i]);
	free(s->clients);
	*s = (struct session){0};
}

/* Connect to one more instance; the list has room for it.  -1 and `err`. */
static int connect_instance(struct session *s, const struct arguments *a, const char *name,
	int cancel, struct error *err)
{
	struct client *c = &s->clients[s->count];

	client_init(c);
	c->cancel = cancel;
	if (client_open(c, a->runtime_directory, name, err) == -1) {
		if (err->sys == ECONNREFUSED && s->killed[0] == '\0')
			text_copy(s->killed, sizeof(s->killed), name);
		client_fini(c);
		return -1;
	}
	s->count++;
	return 0;
}

/* Connect to all these instances.  Those that do not run are left out.  Instances
 * that cannot be asked are logged; if no other is left, the failure is returned. */
static int join_all(struct session *s, const struct arguments *a, char **names, long count,
	int cancel, struct error *err)
{
	struct error why;
	bool trouble = false;

	for (long i = 0; i < count; i++) {
		if (connect_instance(s, a, names[i], cancel, &why) == 0 ||
			why.status == EX_UNAVAILABLE)
			continue;
		if (trouble && err->status != EX_NOPERM)
			log_warn("%s", err->text);
		*err = why;
		trouble = true;
		s->lacking |= why.status == EX_TEMPFAIL;
		if (why.sys == ECANCELED)
			return -1;
	}
	/* root's, of whose control-group we are no member */
	if (trouble && s->count > 0 && err->status != EX_NOPERM)
		log_warn("%s", err->text);
	return trouble && s->count == 0 ? -1 : 0;
}

/* The instance that the target names, or would name if it is no cluster's; "": any. */
static const char *named_instance(const struct control_target *t)
{
	return t->instance[0] != '\0' ? t->instance : t->whole;
}

static int join_meant(struct session *s, const struct arguments *a, const struct control_target *t,
	char **names, long count, int cancel, struct error *err)
{
	const char *name = named_instance(t);

	/* allocated once: clients must not move, as their lines point into themselves */
	s->clients = calloc((size_t)count + 1, sizeof(*s->clients));
	if (s->clients == NULL)
		return error_set(err, ENOMEM, "cannot connect");
	if (*name != '\0' && connect_instance(s, a, name, cancel, err) == 0)
		return 0;
	if (*name != '\0' && err->status != EX_UNAVAILABLE)
		return -1;
	/* the word may still be a cluster of another instance; else it is said which ones run */
	if (join_all(s, a, names, count, cancel, err) == -1 && t->instance[0] == '\0')
		return -1;
	return 0;
}

/* --cluster names the target's cluster, and may name one that is gone. */
static int narrow_target(struct resolved *meant, const char *cluster, struct error *err)
{
	size_t len = strlen(cluster);

	if (*meant->target == '\0' && len < sizeof(meant->target)) {
		text_copy(meant->target, sizeof(meant->target), cluster);
		return 0;
	}
	if (strcmp(meant->target, cluster) == 0 ||
		(meant->slot && strncmp(meant->target, cluster, len) == 0 &&
			strrchr(meant->target, '.') == meant->target + len))
		return 0;
	return error_fail(err, EX_USAGE, "'%s' is not in the cluster '%.64s': name one of the two",
		meant->target, cluster);
}

static int resolve_target(struct session *s, const struct arguments *a, bool all, struct error *err)
{
	const char *target = a->target;

	if (all && target == NULL && s->count > 1)
		return 0;
	if (target == NULL && s->count > 1)
		target = a->cluster; /* the cluster may tell the instance */
	if (target_resolve(&s->meant, target, s->clients, s->count, err) == -1)
		return -1;
	if (a->cluster != NULL && narrow_target(&s->meant, a->cluster, err) == -1)
		return -1;
	s->client = &s->clients[s->meant.instance];
	return 0;
}

/* Of an instance that was not found. */
static void say_where(const struct session *s, const struct arguments *a,
	const struct control_target *t, struct error *err)
{
	char path[4096];
	struct error ignored;

	if (s->count > 0 && strcmp(s->clients[0].name, named_instance(t)) == 0)
		return; /* it runs, and has no such cluster */
	for (unsigned n = 0; s->count == 0 &&
		rundir_place(a->runtime_directory, true, n, path, sizeof(path), &ignored) == 1;
		n++)
		error_hint(err, n == 0 ? "looked in '%s'" : "in '%s'", path);
	if (s->killed[0] != '\0' && (t->instance[0] == '\0' || strcmp(t->instance, s->killed) == 0))
		error_hint(
			err, "'%s' was killed: its next start takes over kept workers", s->killed);
	if (a->target != NULL && config_is_file(a->target))
		error_hint(err,
			"what runs with a file: nclust reload NAME; to start one: nclust -c %s",
			a->target);
	else if (!stranger_hint(a, named_instance(t), err) &&
		(t->instance[0] != '\0' || t->slot < 0 || !stranger_hint(a, t->cluster, err)) &&
		s->count == 0)
		error_hint(err, "to start one: nclust -n auto -- COMMAND");
}

/* Say how those that are meant have ended, if they did so by themselves. */
static bool say_last_words(const struct arguments *a, const char *name, struct error *err)
{
	char **names = NULL;
	struct error ignored;
	long count = rundir_list(a->runtime_directory, "ended", &names, &ignored);
	bool any = false;

	for (long i = 0; i < count; i++) {
		bool is_meant = *name == '\0' || strcmp(names[i], name) == 0;
		scoped_fd dir =
			is_meant ? rundir_find(a->runtime_directory, names[i], &ignored) : -1;
		char words[400];
		struct stat st;
		scoped_fd fd =
			dir != -1 ? rundir_open_file(dir, "ended", O_RDONLY, &st, &ignored) : -1;
		ssize_t len = fd != -1 ? read(fd, words, sizeof(words) - 1) : -1;

		if (len > 0) {
			words[len] = '\0';
			error_hint(err, "%s", words);
			any = true;
		}
		free(names[i]);
	}
	free(names);
	return any;
}

int session_open(
	struct session *s, const struct arguments *a, bool all, int cancel, struct error *err)
{
	struct control_target t = {0};
	struct error ignored;
	char **names = NULL;
	long count;
	int got;

	*s = (struct session){0};
	count = rundir_list(a->runtime_directory, "control", &names, err);
	if (count == -1)
		return -1;
	if (a->target != NULL && control_parse_target(&t, a->target, &ignored) == -1)
		t = (struct control_target){0};
	got = join_meant(s, a, &t, names, count, cancel, err) == 0 ? resolve_target(s, a, all, err)
								   : -1;
	/* else it is known what has become of it */
	if (got == -1 && err->status == EX_UNAVAILABLE &&
		!say_last_words(a, named_instance(&t), err))
		say_where(s, a, &t, err);
	for (long i = 0; i < count; i++)
		free(names[i]);
	free(names);
	if (got == -1)
		session_close(s);
	return got;
}

/* Do we run below a worker that is to be replaced or stopped, as a deploy hook of the
 * server may? nclust would wait for the worker's request to end, and the request for us. */
static bool is_its_own(const struct session *s, const struct control_request *request)
{
	const char *name = getenv("NCLUST_NAME");
	const char *cluster = getenv("NCLUST_CLUSTER");
	const char *slot = getenv("NCLUST_SLOT");
	char worker[sizeof(request->target)];

	if (request->no_wait || getenv("NCLUST_WORKER") == NULL || name == NULL ||
		cluster == NULL || slot == NULL || strcmp(name, s->client->name) != 0 ||
		(request->method != METHOD_RESTART && request->method != METHOD_RELOAD &&
			request->method != METHOD_STOP))
		return false;
	snprintf(worker, sizeof(worker), "%s.%s", cluster, slot);
	return request->target[0] == '\0' || strcmp(request->target, cluster) == 0 ||
		strcmp(request->target, worker) == 0;
}

/* A configuration file is read as a whole, so a target that is a part of the instance is a
 * mistake. */
static int check_part(
	const struct session *s, const struct control_request *request, struct error *err)
{
	const char *target = s->meant.target;
	const char *name = s->client->name;

	if (request->method != METHOD_RELOAD || *target == '\0')
		return 0;
	return error_fail(err, EX_USAGE,
		"reload: '%s' is a part of '%s', and a file is applied as a "
		"whole: 'nclust reload %s' does that, and 'nclust restart %s' "
		"replaces the workers of '%s' alone",
		target, name, name, target, target);
}

/* Has the process had that variable with that value from its start, as far as we may see? */
static bool has_variable(pid_t pid, const char *variable)
{
	const size_t len = strcspn(variable, "=");
	struct environ_look look = {.pid = pid};

	if (len >= sizeof(look.key) || variable[len] == '\0')
		return true;
	memcpy(look.key, variable, len);
	if (environ_find(&look) == -1)
		return errno != ENOENT;
	return strncmp(look.value, variable + len + 1, sizeof(look.value) - 1) == 0;
}

/* In a systemd unit nclust lacks what the files of a login shell export. */
static bool is_of_another_unit(pid_t pid)
{
	struct environ_look look = {.pid = pid, .key = "INVOCATION_ID"};
	const char *ours = getenv(look.key);

	return environ_find(&look) == 0 && (ours == NULL || strcmp(ours, look.value) != 0);
}

/* One that neither our shell had when it began nor nclust was written in front of the verb, most
 * likely, and for the workers.  If there are more, nclust was started from another kind of shell. */
#define VARIABLES_IN_FRONT 2

static void warn_of_variables(const struct client *c)
{
	static const char *const others[] = {"_=", "PWD=", "OLDPWD=", "SHLVL=", "NCLUST_"};
	const char *found[VARIABLES_IN_FRONT];
	size_t count = 0;
	struct ucred peer;

	if (socket_peer(c->fd, &peer) == -1 || is_of_another_unit(peer.pid))
		return;
	for (char **e = environ; *e != NULL; e++) {
		if (array_find(other, others, COUNT_OF(others),
			    strncmp(*e, *other, strlen(*other)) == 0) != NULL ||
			has_variable(getppid(), *e) || has_variable(peer.pid, *e))
			continue;
		if (count == COUNT_OF(found))
			return;
		found[count++] = *e;
	}
	for (size_t i = 0; i < count; i++)
		log_warn("%.*s is set for this verb alone, not for the workers: write it into "
			 "'env' or an env-file, or: nclust restart %s -- env %.60s COMMAND",
			(int)strcspn(found[i], "="), found[i], c->name, found[i]);
}

/* A signal that has come ends us here, by itself, so that a shell's script ends with us. */
static int end_by_signal(int status)
{
	sigset_t set;

	sigfillset(&set);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	return status;
}

static void say_interrupted(const struct arguments *a, const char *name)
{
	if (a->request.method == METHOD_DRAIN)
		log_error("interrupted: '%s' stays drained until 'nclust undrain %s'", name, name);
	else
		log_error("interrupted: '%s' of '%s' goes on: see 'nclust status %s'",
			a->verb->name, name, name);
}

int session_ask(
	struct arguments *a, int reader, client_event *on_event, session_show *show, void *data)
{
	struct control_request *request = &a->request;
	struct session s;
	struct answer answer = {0};
	struct error err;
	/* an interrupt ends this client, which says that what was asked for goes on */
	scoped_fd cancel = control_method_writes(request->method) ? client_cancel_open(&err) : -1;
	int status = 0;
	int got;

	if (session_open(&s, a, false, cancel, &err) == -1)
		return end_by_signal(output_error(&err));
	text_copy(request->target, sizeof(request->target), s.meant.target);
	if (is_its_own(&s, request)) {
		request->no_wait = true;
		log_note("called by one of its own workers, so this does not wait for the end; "
			 "to see how it ended: nclust status %s",
			s.client->name);
	}
	if (request->method == METHOD_RESTART && request->command == NULL)
		warn_of_variables(s.client);
	s.client->reader = reader;
	got = check_part(&s, request, &err) == -1
		? -1
		: client_call(s.client, request, on_event, data, &answer, &err);
	if (got == 0 || answer.code != 0) {
		status = show(&answer, data);
		if (s.client->changed[0] != '\0' &&
			(request->method == METHOD_RESTART || request->method == METHOD_START))
			log_warn("%s has changed since the settings in force were read: nclust "
				 "reload %s",
				s.client->changed, s.client->name);
		got = 0;
		/* the name and the addresses are free only when nclust has ended */
		if (answer.code == 0 && request->method == METHOD_STOP && !request->no_wait &&
			request->target[0] == '\0')
			got = client_wait_end(s.client, &err);
	}
	if (got == -1) {
		status = output_error(&err);
		if (err.sys == ECANCELED && cancel != -1 && client_cancel_signal() != 0)
			say_interrupted(a, s.client->name);
	}
	session_close(&s);
	return end_by_signal(status);
}

/* ---- target ---- */

static bool has_cluster(const struct client *c, const char *name)
{
	return array_find(its, c->clusters, c->cluster_count, strcmp(*its, name) == 0) != NULL;
}

/* Find the target in `c`, as a cluster or as a slot of one; false: neither. */
static bool find_within(
	struct resolved *out, const struct client *c, const struct control_target *t)
{
	if (has_cluster(c, t->whole)) {
		text_copy(out->target, sizeof(out->target), t->whole);
		out->slot = false;
		return true;
	}
	if (t->slot < 0 || !has_cluster(c, t->cluster))
		return false;
	snprintf(out->target, sizeof(out->target), "%s.%ld", t->cluster, t->slot);
	out->slot = true;
	return true;
}

/* "blog, shop"; cut where it gets long. */
static const char *list_all(char *to, size_t size, const struct client *list, size_t count)
{
	to[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(to);

		snprintf(to + used, size - used, "%s%s", i == 0 ? "" : ", ", list[i].name);
	}
	return to;
}

static const char *nearest_cluster(const struct client *c, const char *word)
{
	return text_nearest(word, (const char *const *)c->clusters, c->cluster_count);
}

static int no_cluster(const struct client *c, const struct control_target *t, struct error *err)
{
	const char *word = t->slot >= 0 ? t->cluster : t->whole;
	const char *near = nearest_cluster(c, word);

	error_fail(err, EX_UNAVAILABLE, "instance '%s' has no cluster '%s'", c->name, t->whole);
	if (near != NULL)
		error_hint(err, "did you mean '%s/%s'?", c->name, near);
	return -1;
}

static int nothing_near(
	const struct control_target *t, const struct client *list, size_t count, struct error *err)
{
	const char *near = NULL;
	const char *word = named_instance(t);
	bool whole = word == t->whole; /* it could be a cluster as well */
	char all[200];

	error_fail(err, EX_UNAVAILABLE, "found no running instance '%s'%s", word,
		whole ? ", and none with such a cluster" : "");
	for (size_t i = 0; i < count && near == NULL; i++) {
		const char *name = list[i].name;

		near = text_nearest(word, &name, 1);
		if (near == NULL && whole)
			near = nearest_cluster(&list[i], t->slot >= 0 ? t->cluster : word);
	}
	if (near != NULL)
		error_hint(err, "did you mean '%s%s%s'?", near, whole ? "" : "/",
			whole ? "" : t->whole);
	else if (count > 0)
		error_hint(err, "%srunning: %s",
			strcmp(t->whole, "all") == 0 ? "leave 'all' out for the whole of it; " : "",
			list_all(all, sizeof(all), list, count));
	return -1;
}

static int resolve_alone(struct resolved *out, const struct control_target *t,
	const struct client *list, size_t count, struct error *err)
{
	size_t found = count;
	struct resolved other;

	for (size_t i = 0; i < count; i++) {
		if (!find_within(&other, &list[i], t))
			continue;
		if (found < count)
			return error_fail(err, EX_USAGE,
				"'%s' is in several instances: write '%s/%s' "
				"or '%s/%s'",
				t->whole, list[found].name, t->whole, list[i].name, t->whole);
		found = i;
		*out = other;
		out->instance = i;
	}
	if (found == count)
		return nothing_near(t, list, count, err);
	return 0;
}

static int resolve_only(
	struct resolved *out, const struct client *list, size_t count, struct error *err)
{
	char all[300];

	*out = (struct resolved){0};
	if (count == 1)
		return 0;
	if (count == 0)
		return error_fail(err, EX_UNAVAILABLE, "found no running instance");
	return error_fail(err, EX_USAGE, "several instances are running; name one: %s",
		list_all(all, sizeof(all), list, count));
}

int target_resolve(struct resolved *out, const char *text, const struct client *list, size_t count,
	struct error *err)
{
	struct control_target t;

	if (text == NULL)
		return resolve_only(out, list, count, err);
	if (control_parse_target(&t, text, err) == -1)
		return error_status(err, EX_USAGE);
	*out = (struct resolved){0};
	for (; out->instance < count; out->instance++) {
		const struct client *c = &list[out->instance];

		if (t.instance[0] == '\0' && strcmp(c->name, t.whole) == 0)
			return 0;
		if (strcmp(c->name, t.instance) == 0)
			return find_within(out, c, &t) ? 0 : no_cluster(c, &t, err);
	}
	if (t.instance[0] != '\0')
		return nothing_near(&t, list, count, err);
	return resolve_alone(out, &t, list, count, err);
}
