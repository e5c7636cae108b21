/* SPDX-License-Identifier: MIT */
#include "supervisor/watch/watch.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "config/procfile.h"
#include "config/value.h"
#include "os/clock.h"
#include "os/watchtree.h"
#include "supervisor/common/job.h"
#include "supervisor/common/news.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

/* A process that has ended is started again after this time. */
#define RESTART (1 * SECOND)
/* One that cannot be started is tried again after this time. */
#define TRY_AGAIN (30 * SECOND)
/* Packets of the process: a letter for the kind, and text. */
#define CHANGED 'c'
#define WARNING 'w'
#define PACKET_MAX 600

struct watching {
	struct service *service;
	struct job job;
	ev_io news;       /* its fd: from the process */
	ev_timer again;   /* start it again, or roll */
	char *patterns;   /* of the process that runs, as one text */
	unsigned rollout; /* the last one that a change has begun */
	bool due;         /* a change waits for a rollout that goes on */
	char path[PACKET_MAX];
};

static nsec_t now_on_the_wall(void)
{
	return (nsec_t)(clock_wall() * 1e9);
}

/* ---- in the process ---- */

static void send_packet(char kind, const char *text)
{
	char packet[PACKET_MAX];
	int len = snprintf(packet, sizeof(packet), "%c%s", kind, text);

	if (len >= (int)sizeof(packet))
		len = sizeof(packet) - 1;
	/* the channel is closed: nclust ends, and so does this process */
	(void)send(ASIDE_FD, packet, (size_t)len, MSG_NOSIGNAL);
}

static void say_changed(void *data UNUSED, const char *path)
{
	send_packet(CHANGED, path);
}

static void say_warning(void *data UNUSED, const char *text)
{
	send_packet(WARNING, text);
}

static int run_watch(void *owner)
{
	const struct watching *w = owner;
	const struct service *s = w->service;
	const char *file = s->sup->settings->config_file;
	const char *dir = s->sup->launch.directory;
	scoped_str base = file != NULL ? procfile_directory(file)
		: dir != NULL          ? strdup(dir)
				       : NULL;
	const struct watchtree_plan plan = {
		.base = base,
		.patterns = cluster_next_settings(s->core)->watch.list,
		.since = s->watched,
		.changed = say_changed,
		.warn = say_warning,
	};

	if (base == NULL || watchtree_run(&plan) == -1)
		return EX_UNAVAILABLE; /* the reason was sent */
	return 0;
}

/* ---- a change ---- */

/* Does a rollout go on that no change has begun? */
static bool has_to_wait(const struct watching *w)
{
	struct rollout_view under_way = cluster_view_rollout(w->service->core);

	return under_way.under_way && under_way.id != w->rollout;
}

static void begin_rollout(struct watching *w)
{
	const struct event all = {.slot = SLOT_ALL};
	struct service *s = w->service;
	enum cluster_state state = cluster_state(s->core);
	struct error err;

	w->due = has_to_wait(w);
	if (w->due)
		log_note("%s: '%s' has changed: restarting after the rollout "
			 "under way",
			s->name, w->path);
	if (w->due || s->stage.leaving || s->sup->instance.stopping || state == CLUSTER_STOPPING ||
		state == CLUSTER_STOPPED)
		return;
	news_say_of(s, LOG_NOTE, "file-changed", "'%s' has changed: restarting", w->path);
	if (service_roll(s, &all, &err) == -1)
		log_warn("%s: %s", s->name, err.text);
	w->rollout = cluster_last_rollout(s->core);
}

static void handle_packet(struct watching *w, const char *packet, size_t len)
{
	char text[4 * PACKET_MAX];

	text_escape(text, sizeof(text), packet + 1, len - 1);
	if (*packet == WARNING) {
		log_warn("%s: watch: %s", w->service->name, text);
		return;
	}
	text_copy(w->path, sizeof(w->path), text);
	w->service->watched = now_on_the_wall();
	begin_rollout(w);
}

/* Read one packet.  False: no more. */
static bool take_one(struct watching *w)
{
	char packet[PACKET_MAX];
	ssize_t got = recv(w->news.fd, packet, sizeof(packet), MSG_DONTWAIT);

	if (got > 0)
		handle_packet(w, packet, (size_t)got);
	else if (got == 0) /* the process has ended */
		ev_io_stop(w->service->sup->loop, &w->news);
	return got > 0;
}

static void on_news(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	(void)take_one(io->data);
}

/* ---- the process, seen from nclust ---- */

static void stop_process(struct watching *w)
{
	job_end(&w->job);
	ev_io_stop(w->service->sup->loop, &w->news);
	ev_timer_stop(w->service->sup->loop, &w->again);
	fd_close(&w->news.fd);
}

static void on_over(void *owner, const struct pidfd_end *end)
{
	struct watching *w = owner;
	struct service *s = w->service;
	bool told = !end->signalled && end->code == EX_UNAVAILABLE;

	/* packets from before its end */
	while (take_one(w))
		;
	stop_process(w);
	if (!told) {
		log_warn("%s: watch: the process that watches ended (%s %d), "
			 "starting it again",
			s->name, end->signalled ? "signal" : "exit", end->code);
		timer_arm(s->sup->loop, &w->again, RESTART);
	}
}

static void try_again(struct watching *w)
{
	log_syserr("%s: watch: nothing is watched, trying again in 30 s", w->service->name);
	timer_arm(w->service->sup->loop, &w->again, TRY_AGAIN);
}

static void start_process(struct watching *w)
{
	struct supervisor *sup = w->service->sup;
	int pair[2];
	struct forkjob_plan plan = {
		.work = run_watch,
		.over = on_over,
		.owner = w,
		.patience = NSEC_NEVER,
		.silent = true, /* it must not keep the pipe of `-d | cat` open */
	};

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1) {
		try_again(w);
		return;
	}
	plan.keep = pair[1];
	if (forkjob_begin(&w->job, sup, &plan) == -1) {
		try_again(w);
		fd_close(&pair[0]);
	} else {
		io_init(&w->news, on_news, pair[0], w);
		ev_io_start(sup->loop, &w->news);
	}
	(void)close(pair[1]);
}

static void on_again(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct watching *w = timer->data;

	if (w->news.fd == -1)
		start_process(w);
	if (w->due && !has_to_wait(w))
		begin_rollout(w);
}

void watch_on_drop(struct service *s)
{
	struct watching *w = s->watching;

	if (w == NULL)
		return;
	stop_process(w);
	free(w->patterns);
	free(w);
	s->watching = NULL;
}

/* Watch the patterns of the settings, or nothing. */
void watch_on_reloaded(struct service *s)
{
	const struct strings *wanted = &cluster_next_settings(s->core)->watch;
	struct watching *w = s->watching;
	scoped_str patterns = NULL;

	if (wanted->count > 0 && !s->stage.leaving && !s->sup->instance.over)
		patterns = value_join(wanted);
	if (w != NULL && patterns != NULL && strcmp(patterns, w->patterns) == 0)
		return;
	if (w != NULL || patterns == NULL)
		s->watched = 0;
	watch_on_drop(s);
	if (patterns == NULL)
		return;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return;
	w->service = s;
	w->patterns = patterns;
	patterns = NULL;
	io_init(&w->news, on_news, -1, w);
	timer_init(&w->again, on_again, w);
	s->watching = w;
	start_process(w);
	if (s->watched == 0)
		s->watched = now_on_the_wall();
}

bool watch_is_due(const struct service *s)
{
	return s->watching != NULL && s->watching->due;
}

void watch_begin(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++)
		watch_on_reloaded(sup->services[i]);
}

/* ---- hooks ---- */

void watch_on_report(struct service *s, const struct report *r)
{
	struct watching *w = s->watching;

	if (w != NULL && w->due &&
		(r->kind == REPORT_ROLLOUT_DONE || r->kind == REPORT_ROLLOUT_FAILED ||
			r->kind == REPORT_ROLLOUT_SUPERSEDED))
		timer_arm(s->sup->loop, &w->again, 0); /* not within the report */
}

void watch_on_shutdown(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++)
		watch_on_drop(sup->services[i]);
}

void watch_on_verb(struct supervisor *sup, const struct verb_step *verb)
{
	if (verb->method == METHOD_UPGRADE && verb->begins)
		watch_on_shutdown(sup);
	else if (verb->method == METHOD_UPGRADE)
		watch_begin(sup);
}
