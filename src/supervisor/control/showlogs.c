/* SPDX-License-Identifier: MIT */
#include "supervisor/control/internal.h"

#include "base/scope.h"
#include "os/fdpass.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* Descriptors of one answer.  The client must read it before it gets more: the
 * kernel counts descriptors in flight for nclust (ETOOMANYREFS of unix(7)). */
#define LOGS_A_TIME 16

struct page {
	int fds[LOGS_A_TIME];
	size_t count;
	uint64_t last;
	bool more;
};

static const struct service *cluster_of(const struct client *c)
{
	return *c->request.target != '\0' ? service_named(c->sup, c->request.target) : NULL;
}

static const struct slotlog *next_of(
	const struct client *c, uint64_t number, const struct service **of)
{
	const struct service *only = cluster_of(c);

	if (only == NULL && *c->request.target != '\0')
		return NULL; /* the cluster is gone */
	return slotlog_after(c->sup, number, only, c->only_slot, of);
}

/* Open the file anew for reading: the client cannot write to it, nor open it for writing. */
static int open_to_read(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int put_logs(const struct client *c, struct json_writer *w, struct page *page)
{
	const struct service *of = NULL;
	const struct slotlog *log;

	json_key(w, "logs");
	json_open_array(w);
	while ((log = next_of(c, page->last, &of)) != NULL) {
		page->more = page->count == LOGS_A_TIME;
		if (page->more)
			break;
		page->fds[page->count] = open_to_read(log->fd);
		if (page->fds[page->count] == -1)
			return -1;
		page->count++;
		page->last = log->number;
		json_open_object(w);
		json_put_text(w, "cluster", of->name);
		json_put_int(w, "slot", log->slot);
		json_close_object(w);
	}
	json_close_array(w);
	json_put_int(w, "last", (int64_t)page->last);
	json_put_bool(w, "more", page->more);
	return 0;
}

static void put_missing(const struct client *c, struct json_writer *w)
{
	const struct service *only = cluster_of(c);

	json_key(w, "missing");
	json_open_array(w);
	for (size_t i = 0; i < c->sup->service_count; i++) {
		const struct service *s = c->sup->services[i];
		const char *why = slotlog_missing(s);

		if (why == NULL || (only != NULL && s != only))
			continue;
		json_open_object(w);
		json_put_text(w, "cluster", s->name);
		json_put_text(w, "text", why);
		json_close_object(w);
	}
	json_close_array(w);
}

/* Send one answer.  0: sent; -1 and errno. */
static int send_page(struct client *c, struct buffer *line, struct page *page)
{
	struct json_writer w;
	ssize_t unsent;

	(void)control_begin_result(line, c->request.id);
	json_begin(&w, line);
	json_open_object(&w);
	if (put_logs(c, &w, page) == -1)
		return -1;
	if (c->request.after == 0)
		put_missing(c, &w);
	json_close_object(&w);
	(void)control_end_result(line);
	if (line->failed) {
		errno = ENOMEM;
		return -1;
	}
	if (page->count == 0)
		return buffer_append(&c->out, line->data, line->len);
	/* the line is short, so that it is sent in one piece, or not at all */
	unsent = fdpass_send(c->io.fd, line->data, line->len, page->fds, page->count);
	return (int)unsent;
}

static void answer_page(struct client *c)
{
	struct page page = {.last = c->request.after};
	scoped_buffer line = {.limit = CONTROL_LINE_MAX};

	if (send_page(c, &line, &page) == 0)
		client_done(c);
	else
		client_error(c, errno == EAGAIN ? CONTROL_BUSY : CONTROL_FAILED,
			errno == EAGAIN ? "read the answers first"
					: "the output of the workers cannot be "
					  "returned");
	for (size_t i = 0; i < page.count; i++)
		fd_close(&page.fds[i]);
}

static bool has_unread(const struct client *c)
{
	int unread = 0;

	return c->out.len > 0 || (ioctl(c->io.fd, SIOCOUTQ, &unread) == 0 && unread > 0);
}

void showlogs_begin(struct client *c)
{
	const struct service *of;

	if (has_unread(c)) {
		client_error(c, CONTROL_BUSY, "read the answers first");
		return;
	}
	if (!c->request.follow || next_of(c, c->request.after, &of) != NULL) {
		answer_page(c);
		return;
	}
	c->state = CLIENT_FOLLOWING;
	client_write(c);
}

void showlogs_look(struct client *c)
{
	const struct service *of;

	if (c->request.method == METHOD_LOGS && !has_unread(c) &&
		next_of(c, c->request.after, &of) != NULL)
		answer_page(c);
}
