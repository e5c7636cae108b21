/* SPDX-License-Identifier: MIT */
#include "cli/client.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/render.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/pidfd.h"
#include "os/place/rundir.h"
#include "os/socket/socket.h"
#include "os/socket/socket_unix.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>

#define CLOSE_MS 5000
#define REQUEST_ID "1" /* a connection has one request under way at a time */

static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

int client_signals_open(const int *list, size_t count, struct error *err)
{
	sigset_t set;
	int fd = -1;

	sigemptyset(&set);
	for (size_t i = 0; i < count; i++)
		sigaddset(&set, list[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
		fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd != -1 ? fd : error_set(err, errno, "cannot wait for signals");
}

int client_cancel_open(struct error *err)
{
	int list[COUNT_OF(ends)];
	struct sigaction now;
	size_t count = 0;

	for (size_t i = 0; i < COUNT_OF(ends); i++)
		if (sigaction(ends[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			list[count++] = ends[i];
	return client_signals_open(list, count, err);
}

int client_cancel_signal(void)
{
	sigset_t set;

	(void)sigpending(&set);
	for (size_t i = 0; i < COUNT_OF(ends); i++)
		if (sigismember(&set, ends[i]) == 1)
			return ends[i];
	return 0;
}

void client_init(struct client *c)
{
	*c = (struct client){.fd = -1, .cancel = -1, .reader = -1, .end = NSEC_NEVER};
	/* room for a result, and the envelope around it */
	line_reader_init(&c->lines, CONTROL_RESULT_MAX + CONTROL_LINE_MAX);
}

void client_fini(struct client *c)
{
	fd_close(&c->fd);
	for (size_t i = 0; i < c->passed_count; i++)
		fd_close(&c->passed[i]);
	line_reader_fini(&c->lines);
	json_decref(c->last);
	c->last = NULL;
	for (size_t i = 0; i < c->cluster_count; i++)
		free(c->clusters[i]);
	free(c->clusters);
	c->clusters = NULL;
	c->cluster_count = 0;
}

int answer_exit_status(int code)
{
	static const struct {
		int code;
		int status;
	} table[] = {{CONTROL_PARAMS, EX_USAGE}, {CONTROL_NOT_FOUND, EX_UNAVAILABLE},
		{CONTROL_BUSY, EX_TEMPFAIL}, {CONTROL_TIMED_OUT, EX_TEMPFAIL},
		{CONTROL_NOT_PERMITTED, EX_NOPERM}, {CONTROL_BAD_CONFIG, EX_CONFIG}};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (table[i].code == code)
			return table[i].status;
	return 1;
}

/* Make an error of a refusal. */
static int refuse(const struct answer *answer, struct error *err)
{
	return error_fail(err, answer_exit_status(answer->code), "%s", answer->message);
}

/* Wait until the connection is readable.  0, or -1 and `err`. */
static int wait_readable(struct client *c, nsec_t deadline, struct error *err)
{
	struct pollfd fds[3] = {{.fd = c->fd, .events = POLLIN},
		{.fd = c->cancel, .events = POLLIN},
		{.fd = c->reader}}; /* no event: poll(2) reports its end alone */
	nsec_t until = nsec_min(deadline, c->end);
	int n;

	do {
		nsec_t left = until > clock_now() ? until - clock_now() : 0;
		struct timespec wait = {(time_t)(left / SECOND), (long)(left % SECOND)};

		n = ppoll(fds, COUNT_OF(fds), until != NSEC_NEVER ? &wait : NULL, NULL);
	} while (n == -1 && errno == EINTR);
	if (n == -1)
		return error_set(err, errno, "cannot wait for '%s'", c->name);
	if (fds[1].revents != 0 || fds[2].revents != 0 || (n == 0 && clock_now() >= c->end))
		return error_set(err, ECANCELED, "ended");
	if (n == 0)
		return error_fail(
			err, EX_TEMPFAIL, "'%s' accepts connections but does not answer", c->name);
	return 0;
}

static ssize_t take_in(struct client *c)
{
	struct fdpass_message m uninitialized;
	ssize_t n = fdpass_read(c->fd, c->in, sizeof(c->in), &m);

	for (size_t i = 0; i < m.fd_count && c->passed_count < CLIENT_PASSED; i++)
		c->passed[c->passed_count++] = fd_release(&m.fds[i]);
	fdpass_drop(&m);
	return n;
}

/*
 * The next line without its newline, borrowed until the next call.  1; 0 when the
 * connection has ended; -1 and `err` (ECANCELED: by `cancel`, `reader` or `end`).
 */
static int client_line(
	struct client *c, nsec_t deadline, const char **line, size_t *len, struct error *err)
{
	while (!line_reader_next(&c->lines, line, len)) {
		ssize_t n;

		if (c->lines.skipped > 0)
			return error_set(err, EMSGSIZE, "the answer of '%s' is too long", c->name);
		if (wait_readable(c, deadline, err) == -1)
			return -1;
		n = take_in(c);
		if (n > 0)
			line_reader_begin(&c->lines, c->in, (size_t)n);
		else if (n == 0 || errno == ECONNRESET)
			return 0;
		else if (errno != EINTR && errno != EAGAIN)
			return error_set(err, errno, "cannot read from '%s'", c->name);
	}
	return 1;
}

/* The code and the sentence of an error.  False: the message has none. */
static bool take_error(const json_t *message, struct answer *answer)
{
	const json_t *error = json_object_get(message, "error");
	const char *text = json_string_value(json_object_get(error, "message"));

	if (!json_is_object(error))
		return false;
	answer->code = (int)field_number(error, "code");
	if (answer->code == 0)
		answer->code = CONTROL_INTERNAL;
	answer->message = text != NULL ? text : "it was refused";
	return true;
}

static int not_understood(const struct client *c, struct error *err)
{
	return error_set(
		err, 0, "'%s' answers in a way that this nclust does not understand", c->name);
}

static int take_clusters(struct client *c, json_t *list)
{
	size_t count = json_array_size(list);

	c->clusters = calloc(count + 1, sizeof(*c->clusters));
	if (c->clusters == NULL)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (name == NULL || !text_is_name(name))
			continue;
		c->clusters[c->cluster_count] = strdup(name);
		if (c->clusters[c->cluster_count] == NULL)
			return -1;
		c->cluster_count++;
	}
	return 0;
}

/* Told by the time of its inode, because a file that is moved there keeps its own. */
static void look_for_changes(struct client *c, const json_t *params)
{
	double read = json_number_value(json_object_get(params, "read"));
	const json_t *file;
	struct stat st;
	size_t i;

	json_array_foreach(json_object_get(params, "files"), i, file)
	{
		const char *path = json_string_value(file);

		if (path != NULL && read > 0 && stat(path, &st) == 0 &&
			(double)st.st_ctim.tv_sec + (double)st.st_ctim.tv_nsec / 1e9 > read)
			text_copy(c->changed, sizeof(c->changed), path);
	}
}

static int take_hello(struct client *c, json_t *message, struct error *err)
{
	json_t *params = json_object_get(message, "params");
	const char *name = field_raw(params, "name");
	long long protocol = field_number(params, "protocol");

	if (strcmp(field_raw(message, "method"), "hello") != 0)
		return not_understood(c, err);
	if (protocol != CONTROL_VERSION)
		return error_fail(err, EX_UNAVAILABLE,
			"'%s' speaks control protocol %lld, this nclust %d", c->name, protocol,
			CONTROL_VERSION);
	if (text_is_name(name))
		text_copy(c->name, sizeof(c->name), name);
	c->pid = (pid_t)field_number(params, "pid");
	look_for_changes(c, params);
	if (take_clusters(c, json_object_get(params, "clusters")) == -1)
		return error_set(err, errno, "cannot keep the names of the clusters");
	return 0;
}

int client_greet(struct client *c, int fd, nsec_t deadline, struct error *err)
{
	struct answer refusal;
	json_t *message;
	const char *line;
	size_t len;
	int got;

	c->fd = fd;
	got = client_line(c, deadline, &line, &len, err);
	if (got == -1)
		return -1;
	if (got == 0)
		return error_fail(err, EX_TEMPFAIL,
			"'%s' closed the connection before it said anything", c->name);
	message = json_loadb(line, len, 0, NULL);
	got = take_error(message, &refusal) ? refuse(&refusal, err) : take_hello(c, message, err);
	json_decref(message);
	return got;
}

static int check_peer(const struct client *c, int fd, struct error *err)
{
	struct ucred peer;

	if (socket_peer(fd, &peer) == -1)
		return error_set(err, errno, "cannot find the owner of instance '%s'", c->name);
	if (peer.uid == 0 || peer.uid == geteuid())
		return 0;
	return error_fail(err, EX_NOPERM, "instance '%s' belongs to uid %u: nothing was sent to it",
		c->name, (unsigned)peer.uid);
}

int client_open(struct client *c, const char *place, const char *name, struct error *err)
{
	scoped_fd dir = rundir_find(place, name, err);
	scoped_fd fd = -1;

	if (dir == -1)
		return -1;
	text_copy(c->name, sizeof(c->name), name);
	fd = socket_connect_at(dir, "control", SOCK_STREAM, err);
	if (fd == -1) {
		int status = err->status;

		if (err->sys == ECONNREFUSED || err->sys == ENOENT)
			status = EX_UNAVAILABLE;
		else if (err->sys == EACCES || err->sys == EPERM)
			status = EX_NOPERM;
		else if (err->sys == EAGAIN)
			status = EX_TEMPFAIL;
		error_wrap(err, "instance '%s'", name);
		if (status == EX_NOPERM)
			error_hint(err,
				"ask as root (sudo) or as the user who started "
				"it; members of its 'control-group' may look");
		return error_status(err, status);
	}
	if (check_peer(c, fd, err) == -1)
		return -1;
	return client_greet(c, fd_release(&fd), nsec_add(clock_now(), CLIENT_HELLO_WAIT), err);
}

static int send_all(struct client *c, struct buffer *out, struct error *err)
{
	size_t sent = 0;

	while (sent < out->len) {
		ssize_t n = send(c->fd, out->data + sent, out->len - sent, MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			error_set(err, errno, "cannot ask '%s'", c->name);
			return error_status(err, EX_TEMPFAIL);
		}
		sent += (size_t)n;
	}
	return 0;
}

int client_ask(struct client *c, struct control_request *request, struct error *err)
{
	scoped_buffer out = {.limit = CONTROL_LINE_MAX};

	text_copy(request->id, sizeof(request->id), REQUEST_ID);
	c->follows = request->follow;
	if (control_encode(&out, request) == 0 && !out.failed)
		return send_all(c, &out, err);
	if (errno == ENOBUFS)
		return error_fail(err, EX_USAGE, "a request has at most 64 KiB");
	return error_set(err, ENOMEM, "cannot write the request");
}

static bool is_ours(json_t *message)
{
	json_t *id = json_object_get(message, "id");

	/* a refusal of the connection itself has no request's id */
	return json_is_null(id) ||
		(json_is_integer(id) && json_integer_value(id) == atoi(REQUEST_ID));
}

/* Handle a message.  1: it is the answer; 0: read on. */
static int take_message(struct client *c, json_t *message, client_event *on_event, void *data,
	struct answer *answer, struct error *err)
{
	const char *method = field_raw(message, "method");

	if (*method != '\0') {
		json_t *params = json_object_get(message, "params");

		if (strcmp(method, "event") != 0 || on_event == NULL)
			return 0;
		if (on_event(params, data) == 0)
			return 0;
		return error_set(err, ECANCELED, "ended");
	}
	if (!is_ours(message))
		return 0;
	answer->result = json_object_get(message, "result");
	if (!take_error(message, answer) && answer->result == NULL)
		return not_understood(c, err);
	json_decref(c->last);
	c->last = json_incref(message);
	return 1;
}

/*
 * The message of a worker is the last member of its event, and may be JSON that
 * this library does not accept (a lone surrogate, say): it is not parsed, but
 * becomes a string with its text.
 */
static json_t *load_message(const char *line, size_t len)
{
	static const char key[] = ",\"message\":";
	static const char kind[] = ",\"event\":\"message\",";
	const char *at = memmem(line, len, key, sizeof(key) - 1);
	size_t head = at != NULL ? (size_t)(at - line) : 0;
	scoped_buffer rest = {0};
	json_t *message;
	size_t value = head + sizeof(key) - 1;

	if (at == NULL || len < value + 2 || memcmp(line + len - 2, "}}", 2) != 0 ||
		memmem(line, head, kind, sizeof(kind) - 1) == NULL)
		return json_loadb(line, len, JSON_ALLOW_NUL, NULL);
	buffer_append(&rest, line, head);
	buffer_string(&rest, "}}");
	message = rest.failed ? NULL : json_loadb(rest.data, rest.len, 0, NULL);
	if (message != NULL)
		(void)json_object_set_new(json_object_get(message, "params"), "message",
			json_stringn_nocheck(line + value, len - value - 2));
	return message;
}

/* Read lines until the answer has come.  1: success; -1 and `err`. */
static int take_lines(struct client *c, client_event *on_event, void *data, struct answer *answer,
	struct error *err)
{
	json_t *message;
	const char *line;
	size_t len;
	int got;

	do {
		got = client_line(c, NSEC_NEVER, &line, &len, err);
		if (got == 0) {
			error_fail(err, EX_TEMPFAIL, "the connection to '%s' (pid %ld) %s", c->name,
				(long)c->pid,
				c->follows ? "has ended" : "ended before the outcome was known");
			return error_hint(err, "see 'nclust status %s'", c->name);
		}
		if (got == -1)
			return -1;
		message = load_message(line, len);
		got = message != NULL ? take_message(c, message, on_event, data, answer, err)
				      : not_understood(c, err);
		json_decref(message);
	} while (got == 0);
	return got == 1 && answer->code != 0 ? refuse(answer, err) : got;
}

int client_call(struct client *c, struct control_request *request, client_event *on_event,
	void *data, struct answer *answer, struct error *err)
{
	*answer = (struct answer){0};
	if (client_ask(c, request, err) == -1)
		return -1;
	return take_lines(c, on_event, data, answer, err) == 1 ? 0 : -1;
}

int client_look(struct client *c, client_event *on_event, void *data, struct answer *answer,
	struct error *err)
{
	int got;

	*answer = (struct answer){0};
	c->end = 0; /* in the past: read what has come, and do not wait */
	got = take_lines(c, on_event, data, answer, err);
	c->end = NSEC_NEVER;
	return got == -1 && err->sys == ECANCELED ? 0 : got;
}

int client_wait_end(struct client *c, struct error *err)
{
	struct ucred peer;
	scoped_fd watched = socket_peer(c->fd, &peer) == 0 ? pidfd_to_watch(peer.pid) : -1;
	struct pollfd ended = {.fd = watched, .events = POLLIN};
	const char *line;
	size_t len;
	int got;

	do
		got = client_line(c, NSEC_NEVER, &line, &len, err);
	while (got == 1);
	/* until then the kernel closes what it still has open: inotify can take a second */
	if (got == 0 && watched != -1)
		(void)poll(&ended, 1, CLOSE_MS);
	return got;
}
