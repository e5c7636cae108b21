/* SPDX-License-Identifier: MIT */
#include "supervisor/manager.h"

#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "protocol/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The service manager may be slow or gone: nothing depends on it. */
static void tell(struct supervisor *sup, const struct notify_message *m)
{
	char data[NOTIFY_MAX];
	size_t len;

	if (sup->manager_socket == NULL)
		return;
	len = notify_encode(data, sizeof(data), m, clock_now());
	if (len > 0)
		(void)fdpass_send_to(sup->manager_socket, data, len);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int revents)
{
	const struct notify_message m = {.watchdog = true};

	(void)loop;
	(void)revents;
	tell(timer->data, &m);
}

/* Half the time that the manager gives us (sd_watchdog_enabled(3)). */
static double watchdog_interval(void)
{
	const char *usec = secure_getenv("WATCHDOG_USEC");
	const char *pid = secure_getenv("WATCHDOG_PID");
	double t;

	if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
		return 0;
	t = strtod(usec, NULL) / 2e6;
	return t >= 0.001 && t < 1e7 ? t : 0;
}

void manager_init(struct supervisor *sup)
{
	const char *path = secure_getenv("NOTIFY_SOCKET");
	double interval;

	ev_init(&sup->manager_watchdog, on_watchdog);
	sup->manager_watchdog.data = sup;
	if (path == NULL || (*path != '/' && *path != '@'))
		return;
	sup->manager_socket = strdup(path);
	interval = watchdog_interval();
	if (interval > 0) {
		ev_timer_set(&sup->manager_watchdog, interval, interval);
		ev_timer_start(sup->loop, &sup->manager_watchdog);
	}
}

void manager_fini(struct supervisor *sup)
{
	ev_timer_stop(sup->loop, &sup->manager_watchdog);
	free(sup->manager_socket);
	sup->manager_socket = NULL;
}

static void fill_status(struct supervisor *sup, struct notify_message *m)
{
	size_t used = 0;

	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];
		int n = snprintf(m->status + used, sizeof(m->status) - used,
			"%s%s: %u of %u ready", i > 0 ? ", " : "", s->name,
			cluster_ready(s->core), cluster_wanted(s->core));

		if (n < 0 || (size_t)n >= sizeof(m->status) - used)
			break;
		used += (size_t)n;
	}
	m->has_status = true;
}

void manager_ready(struct supervisor *sup)
{
	struct notify_message m = {.ready = true};

	if (sup->manager_socket == NULL)
		return;
	sup->manager_ready = true;
	fill_status(sup, &m);
	tell(sup, &m);
}

void manager_reloading(struct supervisor *sup)
{
	const struct notify_message m = {.reloading = true};

	if (sup->manager_ready)
		tell(sup, &m);
}

void manager_stopping(struct supervisor *sup)
{
	const struct notify_message m = {.stopping = true};

	tell(sup, &m);
}

void manager_status(struct supervisor *sup)
{
	struct notify_message m = {0};

	if (sup->manager_socket == NULL)
		return;
	fill_status(sup, &m);
	if (strncmp(sup->manager_status, m.status,
		    sizeof(sup->manager_status) - 1) == 0)
		return;
	(void)text_copy(
		sup->manager_status, sizeof(sup->manager_status), m.status);
	tell(sup, &m);
}
