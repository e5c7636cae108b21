/* SPDX-License-Identifier: MIT */
#include "supervisor/control/clients.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/socket/socket.h"
#include "os/socket/socket_unix.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/timer.h"
#include "supervisor/control/admit.h"
#include "supervisor/control/census.h"
#include "supervisor/control/internal.h"
#include "supervisor/control/outcomes.h"
#include "supervisor/control/status.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* An answer takes several turns of the loop, and calls of workers may make each turn
 * long: so clients come first. */
#define BEFORE_WORKERS 1
#define READ_SIZE 8192

/* ---- closing ---- */

void clients_keep_reserve(struct supervisor *sup)
{
	if (sup->control.reserve_fd == -1)
		sup->control.reserve_fd = fcntl(sup->null_fd, F_DUPFD_CLOEXEC, 3);
}

void client_free(struct client *c)
{
	list_remove(c->sup->control.first, c);
	ev_io_stop(c->sup->loop, &c->io);
	if (c->sup->control.reserve_fd == -1) { /* its number is needed at once */
		(void)shutdown(c->io.fd, SHUT_RDWR);
		async_close_now(c->sup, NULL, &c->io.fd);
	}
	async_hang_up(c->sup, NULL, &c->io.fd);
	clients_keep_reserve(c->sup);
	buffer_fini(&c->in);
	buffer_fini(&c->out);
	request_expect_no_more(c, NULL);
	free(c->expected);
	if (c->own && !c->sup->instance.over)
		job_kill(&c->sup->web.life.job); /* the process does not read, or is dead */
	free(c);
}

/* ---- writing ---- */

/* Is a whole request line buffered, and no request under way? */
static bool has_request(const struct client *c)
{
	return c->state == CLIENT_IDLE && c->in.len > 0 &&
		memchr(c->in.data, '\n', c->in.len) != NULL;
}

static bool is_finished(const struct client *c)
{
	if (c->out.len > 0)
		return false;
	return c->state == CLIENT_CLOSING ||
		(c->half_closed && c->state == CLIENT_IDLE && !has_request(c));
}

void clients_arm_bounds(struct supervisor *sup)
{
	ev_timer *bounds = &sup->control.bounds;

	if (ev_is_active(bounds))
		return;
	ev_timer_set(bounds, 1., 1.);
	ev_timer_start(sup->loop, bounds);
}

/*
 * Watch the client for the events that its state needs.  EV_WRITE also gives the
 * client its next turn, after the turns of others.  (ev_feed_event() would not
 * do, because ev_io_stop() drops pending events.)
 */
void client_watch(struct client *c)
{
	int events = 0;

	if (c->out.len > 0 || has_request(c) || is_finished(c) || c->missed > 0)
		events |= EV_WRITE;
	/* one request at a time; once our buffer is full, further bytes of the
	 * client stay in its socket */
	if (c->state != CLIENT_CLOSING && !c->half_closed && c->in.len < CONTROL_LINE_MAX)
		events |= EV_READ;
	/* Note since when a client that must read does not read: its socket may stay full
	 * even if nothing is queued any more. */
	if ((events & EV_WRITE) == 0) {
		c->stuck_since = NSEC_NEVER;
	} else if (c->stuck_since == NSEC_NEVER) {
		c->stuck_since = clock_now();
		clients_arm_bounds(c->sup);
	}
	if (c->io.events == events && ev_is_active(&c->io))
		return;
	ev_io_stop(c->sup->loop, &c->io);
	ev_io_set(&c->io, c->io.fd, events);
	if (events != 0)
		ev_io_start(c->sup->loop, &c->io);
}

/* Send what is queued.  -1: the client is gone; on_io() will free it. */
static int send_queued(struct client *c)
{
	ssize_t sent = 0;

	while (c->out.len > 0) {
		sent = send(c->io.fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent <= 0)
			break;
		buffer_consume(&c->out, (size_t)sent);
	}
	if (c->out.len > 0 && sent == -1 && errno != EAGAIN && errno != EINTR)
		return -1;
	if (c->out.len == 0 && c->out.cap > READ_SIZE)
		buffer_fini(&c->out);
	return 0;
}

/*
 * Never frees the client, because callers still use it.  on_io() frees a client
 * that is gone or finished.
 */
void client_write(struct client *c)
{
	if (c->out.failed && c->state != CLIENT_CLOSING) {
		buffer_clear(&c->out);
		c->state = CLIENT_CLOSING;
		(void)control_put_error(&c->out, "null", CONTROL_BUSY,
			"too slow: more than 1 MiB of output is unread");
	}
	if (send_queued(c) == -1) {
		buffer_clear(&c->out);
		c->state = CLIENT_CLOSING;
		(void)shutdown(c->io.fd, SHUT_RDWR);
	}
	client_watch(c);
}

void client_tell_missed(struct client *c)
{
	char json[160];

	if (c->missed == 0)
		return;
	snprintf(json, sizeof(json),
		"{\"time\":%.3f,\"event\":\"messages-missed\",\"level\":"
		"\"warn\",\"count\":%" PRIu64 ",\"text\":\"%" PRIu64
		" messages are not shown: too many to read\"}",
		clock_wall(), c->missed, c->missed);
	c->missed = 0;
	(void)control_put_event(&c->out, c->request.id, json);
}

void client_done(struct client *c)
{
	request_expect_no_more(c, NULL);
	free(c->expected);
	c->expected = NULL;
	c->pending = false;
	/* a part of the next line may have come meanwhile */
	if (c->state == CLIENT_WAITING && c->in.len > 0) {
		c->line_since = clock_now();
		clients_arm_bounds(c->sup);
	}
	if (c->state != CLIENT_CLOSING)
		c->state = CLIENT_IDLE;
	c->idle_since = clock_now();
	client_write(c);
}

void client_error(struct client *c, int code, const char *message)
{
	(void)control_put_error(&c->out, c->request.id, code, message);
	client_done(c);
}

static void refuse_and_close(struct client *c, int code, const char *message)
{
	(void)control_put_error(&c->out, "null", code, message);
	c->state = CLIENT_CLOSING;
	client_write(c);
}

void clients_turn_away(struct supervisor *sup, int *fd, int code, const char *why)
{
	scoped_buffer out = {0};

	if (control_put_error(&out, "null", code, why) == 0)
		(void)send(*fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	async_hang_up(sup, NULL, fd);
}

/* ---- reading ---- */

/* Run the buffered requests, as long as the client reads the answers: of a reader one in each turn,
 * as readers may be many, and each may have as many requests as it likes. */
static void run_lines(struct client *c)
{
	nsec_t until = clock_now() + (c->may_write || c->own ? TURN_SPAN : 0);

	for (int i = 0; i < TURN_ITEMS && c->state == CLIENT_IDLE && c->in.len > 0 &&
		c->out.len < CLIENT_UNSENT_MOST && (i == 0 || clock_now() < until);
		i++) {
		char *end = memchr(c->in.data, '\n', c->in.len);
		size_t len;

		if (end == NULL) {
			if (c->in.len >= CONTROL_LINE_MAX)
				refuse_and_close(
					c, CONTROL_INVALID, "a request line is at most 64 KiB");
			else if (c->line_since == NSEC_NEVER)
				c->line_since = clock_now();
			clients_arm_bounds(c->sup);
			return;
		}
		len = (size_t)(end - c->in.data);
		c->line_since = NSEC_NEVER;
		request_run(c, c->in.data, len);
		buffer_consume(&c->in, len + 1);
	}
	if (c->in.len == 0)
		buffer_fini(&c->in);
}

/* Read from the client.  0: go on; -1: the peer is gone. */
static int read_client(struct client *c)
{
	char data[READ_SIZE] uninitialized;
	struct fdpass_message m uninitialized;
	ssize_t got = 1;
	bool passed = false;

	while (!passed && c->in.len < CONTROL_LINE_MAX) {
		size_t room = CONTROL_LINE_MAX - c->in.len;

		got = async_close_read(c->sup, NULL, c->io.fd, data,
			room < READ_SIZE ? room : READ_SIZE, FDPASS_LEAVE, &m);
		passed = m.fd_count > 0 || m.lost;
		fdpass_drop(&m);
		if (got <= 0)
			break;
		if (buffer_append(&c->in, data, (size_t)got) == -1)
			return -1;
	}
	if (passed) {
		ev_io_stop(c->sup->loop, &c->io);
		clients_turn_away(c->sup, &c->io.fd, CONTROL_INVALID, "no request has descriptors");
		return -1;
	}
	if (got == -1 && errno != EAGAIN && errno != EINTR)
		return -1;
	if (got == 0) {
		struct pollfd look = {.fd = c->io.fd};

		/* `echo REQUEST | socat - CONTROL` shuts down its side and waits for the answer.  A
		 * client that has closed both directions shows as a hang-up. */
		c->half_closed = true;
		return poll(&look, 1, 0) == 1 && (look.revents & POLLHUP) != 0 ? -1 : 0;
	}
	return 0;
}

static void on_io(struct ev_loop *loop UNUSED, ev_io *watcher, int revents)
{
	struct client *c = watcher->data;
	/* epoll_ctl(2) failed: no event would ever come */
	bool gone = (revents & EV_ERROR) != 0;

	if (!gone && (revents & EV_READ) != 0)
		gone = read_client(c) == -1;
	if ((revents & EV_WRITE) != 0)
		c->stuck_since = NSEC_NEVER;
	if (!gone && (revents & EV_WRITE) != 0 && send_queued(c) == -1)
		gone = true;
	if (!gone && c->out.len == 0)
		client_tell_missed(c);
	if (!gone) {
		run_lines(c);
		client_write(c);
	}
	if (gone || is_finished(c))
		client_free(c);
}

static void on_bounds(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	nsec_t now = clock_now();
	bool needed = false;
	struct client *next;

	for (struct client *c = sup->control.first; c != NULL; c = next) {
		next = c->next;
		if (c->stuck_since != NSEC_NEVER && now - c->stuck_since > CLIENT_PATIENCE) {
			client_free(c); /* the client would not read an error either */
			continue;
		}
		if (c->line_since != NSEC_NEVER && c->state == CLIENT_IDLE &&
			now - c->line_since > CLIENT_PATIENCE) {
			c->line_since = NSEC_NEVER;
			refuse_and_close(
				c, CONTROL_TIMED_OUT, "the request line was not completed in 10 s");
		}
		needed |= c->stuck_since != NSEC_NEVER || c->line_since != NSEC_NEVER;
	}
	if (!needed)
		ev_timer_stop(loop, timer);
	if (sup->control.listen.fd != -1)
		ev_io_start(loop, &sup->control.listen); /* see free_descriptor() */
}

/* ---- life ---- */

struct client *client_new(struct supervisor *sup)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->sup = sup;
	buffer_init(&c->in, CONTROL_LINE_MAX);
	buffer_init(&c->out, CLIENT_OUT_MAX);
	ev_init(&c->io, on_io);
	ev_set_priority(&c->io, BEFORE_WORKERS);
	c->io.data = c;
	list_append(sup->control.first, c);
	return c;
}

/* Bind the control socket, and watch it instead of the old one. */
static int bind_control(struct supervisor *sup, struct error *err)
{
	struct control *all = &sup->control;
	long group = sup->settings->control_gid;
	int fd = socket_open_at(
		sup->rundir.dir, "control", SOCK_STREAM, group >= 0 ? 0660 : 0600, -1, group, err);
	int old = all->listen.fd;
	struct stat st;

	if (fd == -1) {
		if (group >= 0 && err->sys == EPERM)
			error_hint(err,
				"only root may set 'control-group' to a group that it is "
				"not in");
		return error_wrap(err, "control socket");
	}
	fdpass_refuse(fd);
	all->file = (struct socket_file){0};
	if (fstatat(sup->rundir.dir, "control", &st, AT_SYMLINK_NOFOLLOW) == 0)
		all->file = (struct socket_file){.dev = st.st_dev, .ino = st.st_ino};
	ev_io_stop(sup->loop, &all->listen);
	ev_io_set(&all->listen, fd, EV_READ);
	ev_io_start(sup->loop, &all->listen);
	async_close(sup, NULL, &old); /* with the clients in its queue */
	return 0;
}

int control_on_renew(struct supervisor *sup, struct error *err)
{
	const struct socket_file *file = &sup->control.file;
	struct stat st;

	if (fstatat(sup->rundir.dir, "control", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_dev == file->dev && st.st_ino == file->ino)
		return 0;
	if (bind_control(sup, err) == -1)
		return -1;
	news_say(sup, LOG_WARN, "control-renewed",
		"%s: the control socket had been removed and was made again "
		"in '%s'; the workers are not affected",
		sup->settings->name, sup->rundir.path);
	return 0;
}

static void init_watchers(struct supervisor *sup, int fd)
{
	timer_init(&sup->control.bounds, on_bounds, sup);
	io_init(&sup->control.listen, clients_on_connect, fd, sup);
	ev_set_priority(&sup->control.listen, BEFORE_WORKERS);
}

void control_on_go_on(struct supervisor *sup)
{
	init_watchers(sup, sup->control.listen.fd);
	if (sup->control.listen.fd != -1)
		ev_io_start(sup->loop, &sup->control.listen);
	for (struct client *c = sup->control.first; c != NULL; c = c->next) {
		/* libev does not watch the socket yet, whatever was carried */
		ev_io_set(&c->io, c->io.fd, 0);
		client_write(c);
	}
	clients_arm_bounds(sup); /* stops the timer if no client needs it */
}

void clients_settle(struct supervisor *sup)
{
	census_fini(sup);
	clients_counted(sup);
	for (struct client *c = sup->control.first; c != NULL; c = c->next)
		(void)send_queued(c);
}

int clients_init(struct supervisor *sup, struct error *err)
{
	init_watchers(sup, -1);
	return sup->has_rundir ? bind_control(sup, err) : 0;
}

void clients_drop_own(struct supervisor *sup)
{
	struct client *next;

	for (struct client *c = sup->control.first; c != NULL; c = next) {
		next = c->next;
		if (!c->own)
			continue;
		(void)send_queued(c);
		client_free(c);
	}
}

/* Answer clients that wait for the end, send what is queued, and close. */
void control_on_shutdown(struct supervisor *sup)
{
	struct control *all = &sup->control;
	nsec_t until = clock_now() + SECOND;

	census_fini(sup);
	ev_io_stop(sup->loop, &all->listen);
	async_hang_up(sup, NULL, &all->listen.fd);
	ev_timer_stop(sup->loop, &all->bounds);
	while (all->first != NULL) {
		struct client *c = all->first;
		struct pollfd wait = {.fd = c->io.fd, .events = POLLOUT};

		if (c->state == CLIENT_WAITING)
			request_cut_off(c);
		/* at the very end the clients get a second to read their answers */
		while (send_queued(c) == 0 && c->out.len > 0 && clock_now() < until)
			(void)poll(&wait, 1, 100);
		client_free(c);
	}
}
