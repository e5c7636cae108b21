/* SPDX-License-Identifier: MIT */
#include "supervisor/control/internal.h"

#include "base/text.h"
#include "config/describe.h"
#include "os/look/look.h"
#include "protocol/json.h"
#include "supervisor/control/clients.h"
#include "supervisor/control/outcomes.h"
#include "supervisor/control/status.h"
#include "supervisor/drain/host.h"
#include "supervisor/instance/command.h"
#include "supervisor/instance/lifecycle.h"
#include "supervisor/instance/reload.h"
#include "supervisor/messages/messages.h"
#include "supervisor/upgrade/reexec.h"
#include "supervisor/workers/alone.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/slotlog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* ---- the target of a request ---- */

struct target {
	struct service *service; /* NULL: the whole instance */
	uint32_t slot;           /* or SLOT_ALL */
};

/* Fail, and name the slots that the cluster has. */
static int no_slot(const struct service *service, struct error *err)
{
	const char *cluster = service->name;
	unsigned slots = service_counts(service).slots;

	if (slots == 0 && service->sockets.asleep)
		return error_set(
			err, 0, "'%s' is asleep: it has no workers until a client comes", cluster);
	if (slots == 0)
		return error_set(err, 0, "'%s' has no slots", cluster);
	if (slots == 1)
		return error_set(err, 0, "'%s' has slot 0 only", cluster);
	return error_set(err, 0, "'%s' has slots 0 %s %u only", cluster, slots == 2 ? "and" : "to",
		slots - 1);
}

static int find_target(const struct client *c, struct target *t, struct error *err)
{
	const struct supervisor *sup = c->sup;
	struct control_target parsed;
	const struct service *of;

	*t = (struct target){NULL, SLOT_ALL};
	if (*c->request.target == '\0')
		return 0;
	if (control_parse_target(&parsed, c->request.target, err) == -1)
		return -1;
	t->service = service_named(sup, parsed.whole);
	if (t->service != NULL)
		return 0;
	if (parsed.slot >= 0)
		t->service = service_named(sup, parsed.cluster);
	if (t->service == NULL)
		return error_set(err, 0, "there is no cluster '%s' in '%s'", parsed.whole,
			sup->settings->name);
	t->slot = (uint32_t)parsed.slot;
	/* the output of slots that are gone is kept */
	if (parsed.slot < (long)service_counts(t->service).slots ||
		(c->request.method == METHOD_LOGS &&
			slotlog_after(sup, 0, t->service, t->slot, &of) != NULL))
		return 0;
	return no_slot(t->service, err);
}

/* The target's cluster, or the instance's only one. */
static struct service *only_service(
	const struct client *c, const struct target *t, struct error *err)
{
	if (t->service != NULL)
		return t->service;
	if (c->sup->service_count == 1)
		return c->sup->services[0];
	error_set(err, 0, "'%s' has %zu clusters; name one of them", c->sup->settings->name,
		c->sup->service_count);
	return NULL;
}

/*
 * ---- the methods ----
 *
 * Each returns the code of the error in `err`; or UNDER_WAY, if the answer is the
 * outcome of what the client expects now, perhaps nothing; or ANSWERED.
 */
enum { UNDER_WAY = 0, ANSWERED = 1 };
typedef int method(struct client *c, const struct target *t, struct error *err);

/* Set the sentence; the value is the code. */
#define refuse_with(err, code, ...) (error_set(err, 0, __VA_ARGS__), (code))

static int answer_reached(struct client *c, unsigned reached, const char *text)
{
	char json[300];

	snprintf(json, sizeof(json), "{\"reached\":%u,\"text\":\"%s\"}", reached, text);
	(void)control_begin_result(&c->out, c->request.id);
	buffer_string(&c->out, json);
	(void)control_end_result(&c->out);
	client_done(c);
	return ANSWERED;
}

static struct event roll_of(
	const struct control_request *r, uint32_t slot, struct cluster_settings *settings)
{
	return (struct event){
		.slot = slot,
		.has_canary = r->has_canary,
		.count = (unsigned)r->canary,
		.has_bake = r->has_bake,
		.drops_ports = r->drop_ports,
		.span = r->bake,
		.settings = settings,
		.command_changed = settings != NULL,
	};
}

/* Begin a rollout; its settings, new ones or NULL, are handed over. */
static int begin_rollout(
	struct client *c, struct service *service, const struct event *roll, struct error *err)
{
	if (service_roll(service, roll, err) == -1)
		return -1;
	service_wake(service, roll->settings != NULL);
	return request_expect(c, service, err);
}

/* Refuse more canaries than the cluster, or the largest one, can have workers. */
static int check_canaries(const struct client *c, const struct target *t, struct error *err)
{
	const struct supervisor *sup = c->sup;
	unsigned most = 1;

	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];
		unsigned has = service_counts(s).workers;
		unsigned may = cluster_range(cluster_next_settings(s->core), sup->launch.cpus).most;

		has = has > may ? has : may;
		if ((t->service == NULL || s == t->service) && has > most)
			most = has;
	}
	if (c->request.canary <= (int)most)
		return 0;
	return error_set(err, 0, "--canary %d: '%s' has no more than %u worker%s",
		c->request.canary, t->service != NULL ? t->service->name : sup->settings->name,
		most, most == 1 ? "" : "s");
}

static int restart_with(struct client *c, const struct target *t, struct error *err)
{
	struct service *s = only_service(c, t, err);
	struct cluster_settings *settings;
	struct event roll;

	if (s == NULL)
		return CONTROL_PARAMS;
	if (t->slot != SLOT_ALL)
		return refuse_with(err, CONTROL_PARAMS,
			"a slot has no command of its own: give the cluster's name");
	settings = command_settings(s, c->request.command, err);
	if (settings == NULL)
		return CONTROL_FAILED;
	roll = roll_of(&c->request, SLOT_ALL, settings);
	return begin_rollout(c, s, &roll, err) == 0 ? UNDER_WAY : CONTROL_BUSY;
}

static int do_restart(struct client *c, const struct target *t, struct error *err)
{
	const struct supervisor *sup = c->sup;
	const struct event roll = roll_of(&c->request, t->slot, NULL);

	if (check_canaries(c, t, err) == -1)
		return CONTROL_PARAMS;
	if (c->request.command != NULL)
		return restart_with(c, t, err);
	if (t->slot != SLOT_ALL && c->request.canary > 0)
		return refuse_with(err, CONTROL_PARAMS, "a slot by itself has no canaries");
	/* if one cluster cannot be restarted now, none is */
	for (int begins = 0; begins <= 1; begins++)
		for (size_t i = 0; i < sup->service_count; i++) {
			struct service *s = sup->services[i];

			if ((t->service != NULL && s != t->service) || s->stage.leaving)
				continue;
			if (!begins && service_may_roll(s, &roll, err) == -1)
				return service_is_stopping(s) ? CONTROL_BUSY : CONTROL_FAILED;
			if (begins && begin_rollout(c, s, &roll, err) == -1)
				return CONTROL_BUSY;
		}
	return UNDER_WAY;
}

static int do_scale(struct client *c, const struct target *t, struct error *err)
{
	struct service *s = only_service(c, t, err);
	long count = c->request.count;
	char why[STORE_TEXT];
	bool store;

	if (s == NULL)
		return CONTROL_PARAMS;
	if (t->slot != SLOT_ALL)
		return refuse_with(err, CONTROL_PARAMS,
			"a slot cannot be scaled: 'nclust scale %s N' sets how many "
			"workers the cluster has",
			s->name);
	if (c->request.scale_kind == SCALE_BY)
		count += (long)service_counts(s).workers;
	if (count < 0 || count > WORKERS_MAX)
		return refuse_with(err, CONTROL_PARAMS,
			"'%s' has %u worker%s, and %ld is not a number from 0 "
			"to %d: nothing was changed",
			s->name, service_counts(s).workers,
			service_counts(s).workers == 1 ? "" : "s", count, WORKERS_MAX);
	if (service_scale(s, (unsigned)count, err) == -1 || request_expect(c, s, err) == -1)
		return CONTROL_FAILED;
	store = count > 1 && alone_is_store(s, why);
	snprintf(c->outcome, sizeof(c->outcome), "%s: %ld worker%s%s%s%s%s", s->name, count,
		count == 1 ? "" : "s",
		count == 0 && s->sockets.learned.count > 0
			? "; the port that they opened is closed: '-l' keeps one open"
			: "",
		store ? "; " : "", store ? why : "",
		store ? ", which its copies do not share" : "");
	return UNDER_WAY;
}

/* Start what was stopped, has failed, or was scaled to 0; false: it runs.  -1 and `err`. */
static int start_service(struct client *c, struct service *s, struct error *err)
{
	const struct event roll = roll_of(&c->request, SLOT_ALL, NULL);
	struct service_counts has = service_counts(s);
	unsigned wanted = service_wanted_now(s, cluster_next_settings(s->core));

	if (has.workers == 0 && s->stage.scaled) {
		if (service_scale(s, wanted > 0 ? wanted : 1, err) == -1)
			return -1;
		s->stage.scaled = false;
		return request_expect(c, s, err) == -1 ? -1 : 1;
	}
	if (!service_is_over(s) && (has.alive > 0 || has.workers == 0 || s->accepting != NULL))
		return 0;
	return begin_rollout(c, s, &roll, err) == -1 ? -1 : 1;
}

static int do_start(struct client *c, const struct target *t, struct error *err)
{
	size_t used = 0;

	if (t->slot != SLOT_ALL)
		return refuse_with(err, CONTROL_PARAMS,
			"a slot cannot be started by itself: 'nclust restart' replaces its worker");
	for (size_t i = 0; i < c->sup->service_count && used < sizeof(c->outcome); i++) {
		struct service *s = c->sup->services[i];
		int begun;

		if (t->service != NULL && s != t->service)
			continue;
		begun = start_service(c, s, err);
		if (begun == -1)
			return CONTROL_FAILED;
		if (begun == 1 || t->service != NULL)
			used += (size_t)snprintf(c->outcome + used, sizeof(c->outcome) - used,
				"%s%s: %s", used > 0 ? "; " : "", s->name,
				begun == 0 ? "runs already; 'nclust restart' replaces its workers"
					: c->request.no_wait ? "starting"
							     : "started");
	}
	if (used == 0)
		text_copy(c->outcome, sizeof(c->outcome), "all clusters run already");
	return UNDER_WAY;
}

/* Have all other clusters ended? */
static bool is_last(const struct supervisor *sup, const struct service *s)
{
	return array_find(other, sup->services, sup->service_count,
		       *other != s && !(*other)->stage.ended) == NULL;
}

static int do_stop(struct client *c, const struct target *t, struct error *err)
{
	struct service *s = t->service;

	if (t->slot != SLOT_ALL)
		return refuse_with(err, CONTROL_PARAMS,
			"a slot cannot be stopped by itself: scale the "
			"cluster, or restart the slot");
	snprintf(c->outcome, sizeof(c->outcome), "%s: %s%s",
		s != NULL ? s->name : c->sup->settings->name,
		c->request.no_wait ? "stopping" : "stopped",
		s != NULL && is_last(c->sup, s) ? "; it was the last cluster, so nclust ends" : "");
	if (s == NULL) {
		c->pending = true;
		lifecycle_stop(c->sup, c->request.now);
		return UNDER_WAY;
	}
	if (s->stage.ended)
		return UNDER_WAY;
	service_stop(s, c->request.now);
	stop_report_begin(c->sup);
	return request_expect(c, s, err) == 0 ? UNDER_WAY : CONTROL_FAILED;
}

static int signal_workers(struct client *c, const struct target *t, struct error *err)
{
	int signal = c->request.signal;
	bool in_turn = t->slot == SLOT_ALL && !c->request.all;
	unsigned reached = 0;
	unsigned ready = 0;
	char name[16];
	char to[160] = "";
	char text[256];

	for (size_t i = 0; i < c->sup->service_count; i++) {
		struct service *s = c->sup->services[i];
		uint32_t slot = t->slot;

		if (t->service != NULL && s != t->service)
			continue;
		ready += service_counts(s).ready;
		if (c->request.all && slot == SLOT_ALL)
			reached += service_signal_all(s, signal);
		else if (slot != SLOT_ALL)
			reached += service_signal_slot(s, slot, signal);
		else if ((slot = service_signal_next(s, signal, false)) != SLOT_ALL) {
			reached++;
			snprintf(to, sizeof(to), "%s.%" PRIu32 ", ", s->name, slot);
		}
	}
	if (reached == 0)
		return refuse_with(err, CONTROL_FAILED, "no worker to signal");
	if (in_turn && ready > reached)
		snprintf(text, sizeof(text), "%s sent to %s%u of %u workers; --all sends it to all",
			text_signal_name(name, signal), reached == 1 ? to : "", reached, ready);
	else
		snprintf(text, sizeof(text), "%s sent to %u worker%s",
			text_signal_name(name, signal), reached, reached == 1 ? "" : "s");
	return answer_reached(c, reached, text);
}

static int send_message(struct client *c, const struct target *t, struct error *err)
{
	const char *line = c->request.message;
	struct service *s = only_service(c, t, err);
	unsigned reached;
	unsigned asked;
	char text[40];

	if (s == NULL)
		return CONTROL_PARAMS;
	reached = messages_send(s, t->slot, c->request.all, line, strlen(line), &asked);
	snprintf(text, sizeof(text), "sent to %u worker%s", reached, reached == 1 ? "" : "s");
	if (reached == asked && asked > 0)
		return answer_reached(c, reached, text);
	return refuse_with(err, CONTROL_FAILED, "%s: %s: %s", s->name, text,
		!messages_possible(s)                 ? "none of its workers has a message "
							"channel (see 'ipc')"
			: asked > 1 || c->request.all ? "the others do not read their messages"
						      : "no ready worker reads its messages");
}

static int do_reload(struct client *c, const struct target *t UNUSED, struct error *err)
{
	if (reload_begin(c->sup, false, c->request.drop_ports, err) == -1)
		return CONTROL_FAILED;
	c->pending = true;
	return UNDER_WAY;
}

static int do_upgrade(struct client *c, const struct target *t, struct error *err)
{
	if (t->service != NULL)
		return refuse_with(
			err, CONTROL_PARAMS, "nclust is upgraded as a whole, not a cluster of it");
	if (reexec_begin(c->sup, err) == -1)
		return err->status == EX_TEMPFAIL ? CONTROL_BUSY : CONTROL_FAILED;
	c->pending = true;
	return UNDER_WAY;
}

static int turn_host(struct client *c, const struct target *t, struct error *err)
{
	nsec_t patience = c->request.has_timeout ? c->request.timeout : HOST_PATIENCE;
	bool drains = c->request.method == METHOD_DRAIN;

	if (t->service != NULL)
		return refuse_with(
			err, CONTROL_PARAMS, "the host is drained as a whole, not a cluster of it");
	c->pending = true;
	host_turn(c->sup, drains, patience);
	/* the answer to a client that does not wait for the outcome */
	text_copy(c->outcome, sizeof(c->outcome),
		drains ? "draining: load balancers send no new clients to this host, until "
			 "'nclust undrain'"
		       : "no longer draining: load balancers send clients to this host again when "
			 "each cluster has a ready worker");
	return UNDER_WAY;
}

/* Keep the target as long as the request lasts, also over a reload. */
static void keep_target(struct client *c, const struct target *t)
{
	if (t->service == NULL)
		return;
	c->only_slot = t->slot;
	text_copy(c->request.target, sizeof(c->request.target), t->service->name);
}

static int do_status(struct client *c, const struct target *t, struct error *err UNUSED)
{
	if (c->own)
		host_asked(c->sup, c->request.readiness);
	keep_target(c, t);
	status_begin(c);
	return ANSWERED;
}

static int do_events(struct client *c, const struct target *t, struct error *err UNUSED)
{
	keep_target(c, t);
	events_begin(c);
	return ANSWERED;
}

static int do_logs(struct client *c, const struct target *t, struct error *err)
{
	/* the web process, which faces clients, is to know no more than it shows */
	if (c->own)
		return refuse_with(err, CONTROL_NOT_PERMITTED, "not for a role of nclust");
	keep_target(c, t);
	showlogs_begin(c);
	return ANSWERED;
}

/* Was the target a cluster or slot that is gone?  Its events can still be asked for. */
static bool is_past(struct client *c, struct target *target)
{
	struct control_target t;
	struct error err;

	target->service = NULL;
	return c->request.method == METHOD_EVENTS &&
		control_parse_target(&t, c->request.target, &err) == 0 && events_remember(c, &t);
}

static int do_config(struct client *c, const struct target *t UNUSED, struct error *err)
{
	struct settings view;
	scoped_buffer ini = {.limit = CLIENT_OUT_MAX / 4};
	struct json_writer w;
	const char *text;

	if (command_view(&view, c->sup) == -1 ||
		describe_settings(&ini, &view, false, c->may_write) == -1 ||
		(text = buffer_text(&ini)) == NULL) {
		command_view_fini(&view);
		return refuse_with(err, CONTROL_INTERNAL, "out of memory");
	}
	(void)control_begin_result(&c->out, c->request.id);
	json_begin(&w, &c->out);
	json_open_object(&w);
	json_put_text(&w, "ini", text);
	json_key(&w, "settings");
	buffer_clear(&ini);
	if (describe_settings(&ini, &view, true, c->may_write) == 0 &&
		(text = buffer_text(&ini)) != NULL)
		json_raw(&w, text);
	else
		json_nil(&w);
	json_close_object(&w);
	(void)control_end_result(&c->out);
	command_view_fini(&view);
	client_done(c);
	return ANSWERED;
}

static method *const methods[METHODS] = {
	[METHOD_STATUS] = do_status,
	[METHOD_RESTART] = do_restart,
	[METHOD_RELOAD] = do_reload,
	[METHOD_SCALE] = do_scale,
	[METHOD_STOP] = do_stop,
	[METHOD_SIGNAL] = signal_workers,
	[METHOD_EVENTS] = do_events,
	[METHOD_CONFIG] = do_config,
	[METHOD_UPGRADE] = do_upgrade,
	[METHOD_SEND] = send_message,
	[METHOD_LOGS] = do_logs,
	[METHOD_DRAIN] = turn_host,
	[METHOD_UNDRAIN] = turn_host,
	[METHOD_START] = do_start,
};

static int run_method(struct client *c, struct error *err)
{
	bool writes = control_method_writes(c->request.method);
	struct target target;

	if (writes && !c->may_write)
		return refuse_with(err, CONTROL_NOT_PERMITTED,
			"members of control-group may look, not change");
	if (writes && c->sup->instance.stopping && c->request.method != METHOD_STOP &&
		c->request.method != METHOD_DRAIN) /* 'before-stop' may drain the host */
		return refuse_with(err, CONTROL_BUSY, "nclust is stopping");
	c->only_slot = SLOT_ALL;
	if (find_target(c, &target, err) == -1 && !is_past(c, &target))
		return CONTROL_NOT_FOUND;
	return methods[c->request.method](c, &target, err);
}

void request_run(struct client *c, const char *line, size_t len)
{
	struct error err;
	int code;

	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (len == 0)
		return;
	*c->outcome = '\0';
	if (control_decode(&c->request, line, len, &code, &err) == 0)
		code = run_method(c, &err);
	if (code == UNDER_WAY)
		request_await(c);
	else if (code != ANSWERED)
		client_error(c, code, err.text);
	control_fini(&c->request);
}
