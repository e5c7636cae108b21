/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "os/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/*
 * HAProxy's agent-check: each connection gets one line, and is closed.  A client
 * has a place only until nclust has answered, and what it sends or does not read
 * does not matter: the line fits into any socket.  While all places are taken
 * further clients wait in the socket's queue.
 */

static void on_connect(struct ev_loop *loop, ev_io *watcher, int revents UNUSED)
{
	struct web *web = watcher->data;
	struct agent *a = &web->agent;

	while (a->count < AGENT_GUESTS_MAX) {
		int fd = accept4(watcher->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd == -1)
			break;
		if (a->count == 0)
			a->since = clock_now();
		a->guests[a->count++] = (struct agent_guest){fd, web->question + 1};
	}
	if (a->count == AGENT_GUESTS_MAX)
		ev_io_stop(loop, watcher);
	requests_ask(web);
}

void agent_init(struct web *web, int listener)
{
	ev_io_init(&web->agent.listener, on_connect, listener, EV_READ);
	web->agent.listener.data = web;
	ev_io_start(web->loop, &web->agent.listener);
}

/* ---- the line ---- */

static json_int_t read_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* Does the load set the number of workers, and not the operator? */
static bool follows_load(const json_t *cluster)
{
	const json_t *scale = json_object_get(cluster, "autoscale");

	return json_is_object(scale) && json_is_false(json_object_get(scale, "by_hand"));
}

/* The part of wanted workers that is ready; and the part of workers among ready
 * workers and waiting connections. */
static void weigh_cluster(const json_t *cluster, double *ready, double *free)
{
	const json_t *listeners = json_object_get(cluster, "listeners");
	double workers = (double)read_number(cluster, "ready");
	/* With a range of workers the least number is all that the cluster needs: it wants more
	 * because of the load. */
	double wanted = (double)(follows_load(cluster)
			? read_number(json_object_get(cluster, "autoscale"), "min")
			: read_number(cluster, "wanted"));
	double waiting = answer_sum(listeners, "queue");

	if (json_array_size(listeners) == 0 || workers == 0)
		return;
	if (workers < wanted && workers / wanted < *ready)
		*ready = workers / wanted;
	if (workers / (workers + waiting) < *free)
		*free = workers / (workers + waiting);
}

static void put_weight(struct web *web, const json_t *clusters, char *line)
{
	double before = web->agent.free;
	double ready = 1;
	double free = 1;
	const json_t *cluster;
	size_t i;
	int percent;

	json_array_foreach(clusters, i, cluster)
	{
		weigh_cluster(cluster, &ready, &free);
	}
	web->agent.free = free;
	/* a few connections that come at once wait for a moment: only connections
	 * that waited at the look before, too, count */
	percent = (int)(100 * ready * (free > before ? free : before) + .5);
	snprintf(line, AGENT_LINE_MAX, "ready up %d%%\n", percent > 1 ? percent : 1);
}

static void put_line(struct web *web, const json_t *status, char *line)
{
	const json_t *clusters = json_object_get(status, "clusters");
	const json_t *cluster;
	bool parked = json_array_size(clusters) > 0;
	size_t i;

	if (!json_is_array(clusters))
		return; /* without a line HAProxy changes nothing */
	json_array_foreach(clusters, i, cluster)
	{
		const char *state = json_string_value(json_object_get(cluster, "state"));

		/* has the operator scaled the cluster to 0? */
		parked = parked && read_number(cluster, "wanted") == 0 && !follows_load(cluster) &&
			!json_is_object(json_object_get(cluster, "accept"));
		if (answer_is_ready(cluster) || state == NULL)
			continue;
		snprintf(line, AGENT_LINE_MAX, "%s #%s: %d of %d workers ready\n",
			strncmp(state, "stop", 4) == 0 ? "stopped" : "down",
			json_string_value(json_object_get(cluster, "name")),
			(int)read_number(cluster, "ready"), (int)read_number(cluster, "wanted"));
		if (*line == 's')
			return;
	}
	if (json_is_object(json_object_get(status, "drained")))
		snprintf(line, AGENT_LINE_MAX, "drain\n");
	else if (*line == '\0' && parked)
		snprintf(line, AGENT_LINE_MAX, "maint\n");
	else if (*line == '\0')
		put_weight(web, clusters, line);
}

void agent_answer(struct web *web, const char *json, size_t len)
{
	struct agent *a = &web->agent;
	json_t *status = json != NULL && a->count > 0 ? json_loadb(json, len, 0, NULL) : NULL;
	char line[AGENT_LINE_MAX] = "";
	unsigned left = 0;

	put_line(web, status, line);
	json_decref(status);
	for (unsigned i = 0; i < a->count; i++) {
		if (a->guests[i].question <= web->question)
			client_dismiss(a->guests[i].fd, line);
		else
			a->guests[left++] = a->guests[i];
	}
	a->count = left;
	a->since = clock_now();
	if (a->listener.data != NULL)
		ev_io_start(web->loop, &a->listener);
}
