/* SPDX-License-Identifier: MIT */
#include "web/web.h"

#include "base/scope.h"
#include "os/clock.h"
#include "os/library.h"
#include "os/memory.h"
#include "os/privilege.h"
#include "os/socket/socket.h"
#include "web/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

/* For one connection: its request's head (HEAD_MAX), and the answer's. */
#define MEMORY_MAX (HEAD_MAX + 4096)

#define FAR_AWAY 1e9

/* ---- the loop ---- */

static void on_ready(struct ev_loop *loop UNUSED, ev_io *watcher, int revents UNUSED)
{
	struct web *web = watcher->data;

	(void)web->mhd.run(web->daemon);
}

/* Is that time over?  Then it is forgotten. */
static bool is_due(nsec_t *at, nsec_t now)
{
	if (*at == 0 || *at > now)
		return false;
	*at = 0;
	return true;
}

static void on_timer(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct web *web = timer->data;
	nsec_t now = clock_now();

	if (web->daemon != NULL)
		(void)web->mhd.run(web->daemon);
	if (is_due(&web->ask_at, now) || web->samples.due <= now)
		requests_ask(web);
	if (is_due(&web->sweep_at, now))
		guests_sweep(web, now);
}

/* When the library wants to run without an event; or NSEC_NEVER. */
static nsec_t library_due(struct web *web, nsec_t now)
{
	MHD_UNSIGNED_LONG_LONG ms = 0;

	/* MHD_get_timeout() ignores connections that were resumed */
	if (web->resumed)
		return now;
	return web->daemon != NULL && web->mhd.get_timeout(web->daemon, &ms) == MHD_YES
		? now + (nsec_t)ms * MSEC
		: NSEC_NEVER;
}

/*
 * Before each wait: when is something due?  The library wants to run at once while a guest
 * takes what is there for it; no more events are read meanwhile, so that only those who do not
 * read get behind.
 */
static void on_turn(struct ev_loop *loop, ev_prepare *watcher, int revents UNUSED)
{
	struct web *web = watcher->data;
	const nsec_t times[] = {web->ask_at, web->sweep_at,
		!web->status.under_way && web->ask_at == 0 ? web->samples.due : 0};
	nsec_t now = clock_now();
	nsec_t next = library_due(web, now);

	if (next == now)
		ev_io_stop(loop, &web->events.io);
	else
		ev_io_start(loop, &web->events.io);
	web->resumed = false;
	for (size_t i = 0; i < COUNT_OF(times); i++)
		if (times[i] != 0)
			next = nsec_min(next, times[i]);
	ev_timer_stop(loop, &web->timer);
	if (next == NSEC_NEVER)
		return;
	ev_timer_set(&web->timer, next > now ? nsec_seconds(next - now) : 0., 0.);
	ev_timer_start(loop, &web->timer);
}

/* The first line of the channel is nclust's token: nothing else has been sent by then. */
static int take_token(struct web *web, int channel)
{
	static const char open[] = "open ";
	char line[512] = "";
	ssize_t len = recv(channel, line, sizeof(line) - 1, MSG_PEEK);
	char *end = len > 0 ? memchr(line, '\n', (size_t)len) : NULL;
	const char *token = line;

	if (end == NULL || recv(channel, line, (size_t)(end - line) + 1, 0) == -1)
		return -1;
	*end = '\0';
	if (strncmp(token, open, strlen(open)) == 0) {
		web->any_host = true;
		token += strlen(open);
	}
	if (*token == '\0')
		return 0;
	web->any_host = true;
	web->token = strdup(token);
	return web->token != NULL ? 0 : -1;
}

static int open_daemon(struct web *web)
{
	const union MHD_DaemonInfo *info;

	web->daemon = web->mhd.start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		request_on_access, web, MHD_OPTION_CONNECTION_LIMIT, (unsigned)GUESTS_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX,
		MHD_OPTION_NOTIFY_CONNECTION, guest_on_connection, web, MHD_OPTION_NOTIFY_COMPLETED,
		request_on_completed, web, MHD_OPTION_END);
	if (web->daemon == NULL)
		return -1;
	info = web->mhd.get_daemon_info(web->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return -1;
	ev_io_init(&web->ready, on_ready, info->epoll_fd, EV_READ);
	web->ready.data = web;
	ev_io_start(web->loop, &web->ready);
	return 0;
}

/* A descriptor that is no listener stands for an address that is not set. */
static bool is_listening(int fd)
{
	return socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 0;
}

static int open_all(struct web *web, int channel, int also, int listener, int events, int agent)
{
	web->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	if (web->loop == NULL || take_token(web, channel) == -1 ||
		(listener != -1 && open_daemon(web) == -1))
		return -1;
	if (listener != -1) {
		web->any_host |= socket_option(listener, SOL_SOCKET, SO_DOMAIN) == AF_UNIX;
		guests_init(web, listener, is_listening(also) ? also : -1);
	}
	if (agent != -1)
		agent_init(web, agent);
	ask_init(&web->status, web->loop, channel);
	web->status.answered = requests_on_answer;
	web->status.happened = requests_on_past;
	web->status.context = web;
	web->samples.due = web->daemon != NULL ? clock_now() + SAMPLE_PACE : NSEC_NEVER;
	ask_init(&web->events, web->loop, events);
	web->events.happened = stream_on_event;
	web->events.context = web;
	ev_init(&web->timer, on_timer);
	web->timer.data = web;
	ev_prepare_init(&web->turn, on_turn);
	web->turn.data = web;
	ev_prepare_start(web->loop, &web->turn);
	return 0;
}

/* The library does not end while a connection is suspended.  It runs as often as
 * the end of a stream takes. */
static void close_all(struct web *web)
{
	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		struct guest *g = &web->guests[i];

		if (g->phase == GUEST_WAITS)
			request_give_up(web, g);
		else if (g->phase == GUEST_FOLLOWS)
			stream_end(g);
	}
	for (int i = 0; i < 4 && web->daemon != NULL; i++)
		(void)web->mhd.run(web->daemon);
	if (web->daemon != NULL)
		web->mhd.stop_daemon(web->daemon);
	ask_fini(&web->status);
	buffer_fini(&web->past);
	samples_forget(&web->samples);
	ask_fini(&web->events);
	ev_loop_destroy(web->loop);
	free(web->token);
}

static int load_library(struct mhd *mhd)
{
	static const char *const names[] = {
#define X(name) "MHD_" #name,
		MHD_CALLS
#undef X
	};

	return library_load("libmicrohttpd.so.12", names, COUNT_OF(names), mhd);
}

int web_main(int channel, int also, int listener, int events, int agent, uid_t user)
{
	struct web web = {.loop = NULL};
	ev_periodic far;

	(void)prctl(PR_SET_NAME, "nclust-web");
	if (!is_listening(listener))
		listener = -1;
	else if (load_library(&web.mhd) == -1)
		return errno == ENOMEM ? EX_OSERR : EX_CONFIG;
	if (open_all(&web, channel, also, listener, events, is_listening(agent) ? agent : -1) == -1)
		return EX_OSERR;
	/* with a periodic, whose time never comes, libev waits by a timerfd, else it wakes up
	 * every 59.7 s to look for jumps of the clock */
	ev_periodic_init(&far, NULL, ev_now(web.loop) + FAR_AWAY, 0., NULL);
	ev_periodic_start(web.loop, &far);
	if (sandbox_role(user) == -1)
		return EX_NOPERM;
	memory_settle();
	/* nclust has been waiting for a byte, and ignores an empty line */
	if (send(channel, "\n", 1, MSG_NOSIGNAL) == 1)
		(void)ev_run(web.loop, 0);
	close_all(&web);
	return 0;
}
