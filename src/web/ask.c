/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE (64U * 1024)

/* All our requests have this id: nclust's answers begin like this. */
#define ID "1"
static const char result[] = "{\"jsonrpc\":\"2.0\",\"id\":" ID ",\"result\":";
static const char failure[] = "{\"jsonrpc\":\"2.0\",\"id\":" ID ",\"error\":";
static const char event[] = "{\"jsonrpc\":\"2.0\",\"method\":\"event\","
			    "\"params\":{\"request\":" ID ",";

static bool has_prefix(const char *line, size_t len, const char *with)
{
	return len > strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

/* Take the event's own object, without the id, which is the same for all. */
static void take_event(struct ask *ask, const char *line, size_t len)
{
	size_t head = strlen(event);
	scoped_buffer json = {0};

	buffer_append(&json, "{", 1);
	buffer_append(&json, line + head, len - head - 1);
	if (!json.failed)
		ask->happened(ask->context, json.data, json.len);
}

static void take_line(struct ask *ask, const char *line, size_t len)
{
	size_t head = strlen(result);

	if (has_prefix(line, len, event)) {
		take_event(ask, line, len);
	} else if (ask->under_way && has_prefix(line, len, result)) {
		ask->under_way = false;
		ask->answered(ask->context, line + head, len - head - 1);
	} else if (ask->under_way && has_prefix(line, len, failure)) {
		ask->under_way = false;
		if (ask->refused != NULL)
			ask->refused(
				ask->context, line + strlen(failure), len - strlen(failure) - 1);
		else
			ask->answered(ask->context, NULL, 0);
	}
}

/* recv(2) with descriptors: one comes with the last line of what is read. */
static ssize_t receive_some(struct ask *ask, char *data, size_t size)
{
	struct fdpass_message m uninitialized;
	ssize_t got = fdpass_read(ask->io.fd, data, size, &m);

	if (got > 0 && m.fd_count > 0) {
		fd_close(&ask->passed);
		ask->passed = fd_release(&m.fds[0]);
	}
	if (got > 0)
		fdpass_drop(&m);
	return got;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct ask *ask = watcher->data;
	char data[READ_SIZE] uninitialized;
	ssize_t got = 1;

	(void)revents;
	/* events are read a little at a time, so that guests can keep up */
	for (int i = ask->under_way ? 0 : TURN_ITEMS - 1; i < TURN_ITEMS && got > 0; i++) {
		const char *line;
		size_t len;

		got = receive_some(ask, data, sizeof(data));
		if (got <= 0)
			break;
		line_reader_begin(&ask->lines, data, (size_t)got);
		while (line_reader_next(&ask->lines, &line, &len))
			take_line(ask, line, len);
	}
	if (ask->under_way && ask->lines.skipped > 0) { /* over 16 MiB */
		ask->under_way = false;
		ask->answered(ask->context, NULL, 0);
	}
	ask->lines.skipped = 0;
	if (got == 0 || (got == -1 && errno != EAGAIN && errno != EINTR))
		ev_break(loop, EVBREAK_ALL);
}

void ask_init(struct ask *ask, struct ev_loop *loop, int fd)
{
	*ask = (struct ask){.loop = loop, .passed = -1};
	line_reader_init(&ask->lines, CONTROL_RESULT_MAX);
	ev_io_init(&ask->io, on_readable, fd, EV_READ);
	ask->io.data = ask;
	ev_io_start(loop, &ask->io);
}

void ask_fini(struct ask *ask)
{
	ev_io_stop(ask->loop, &ask->io);
	line_reader_fini(&ask->lines);
	fd_close(&ask->passed);
	(void)close(ask->io.fd);
}

void ask_send(struct ask *ask, struct control_request request)
{
	scoped_buffer out = {0};

	text_copy(request.id, sizeof(request.id), ID);
	ask->under_way = !request.follow;
	ask->asked = clock_now();
	if (control_encode(&out, &request) == -1 ||
		send(ask->io.fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) !=
			(ssize_t)out.len)
		ev_break(ask->loop, EVBREAK_ALL);
}
