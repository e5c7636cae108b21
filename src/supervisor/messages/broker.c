/* SPDX-License-Identifier: MIT */
#include "supervisor/messages/broker.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "config/natsurl.h"
#include "nats/natsrole.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/messages/channel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#define READ_SIZE (16U * 1024)
#define LINE_MOST (CHANNEL_LINE_MAX + NATSWIRE_MORE)
/* How long nclust's end waits for the process, which ends by itself then. */
#define ENDING_MS 1000
/* The least time between two reports of messages that come too fast. */
#define TELL_EACH (10 * SECOND)

static struct supervisor *sup_of(const struct broker *b)
{
	return b->service->sup;
}

static void watch_socket(struct broker *b)
{
	int events = queue_len(&b->out) > 0 ? EV_READ | EV_WRITE : EV_READ;

	if (ev_is_active(&b->io) && (b->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(sup_of(b)->loop, &b->io);
	if (b->io.fd == -1)
		return;
	ev_io_set(&b->io, b->io.fd, events);
	ev_io_start(sup_of(b)->loop, &b->io);
}

/* ---- to the process ---- */

static void flush_broker(struct broker *b)
{
	if (b->io.fd != -1)
		(void)queue_send(&b->out, b->io.fd); /* -1: EOF is about to be read */
	watch_socket(b);
}

static void count_dropped(struct broker *b)
{
	b->dropped++;
	if (!b->up || !once_each(&b->dropped_at, clock_now(), TELL_EACH))
		return; /* reported when it is up again */
	log_warn("%s: messages for other machines come faster than the broker "
		 "takes them: %" PRIu64 " were dropped",
		b->service->name, b->dropped - b->dropped_known);
	b->dropped_known = b->dropped;
}

void broker_send(
	struct broker *b, const char *origin, size_t origin_len, const char *line, size_t len)
{
	size_t most = queue_len(&b->out) == 0 ? CHANNEL_QUEUE_MUST : CHANNEL_QUEUE_MAX;

	if (b->head.len == 0)
		natswire_head(&b->head, b->id);
	if (queue_put(&b->out,
		    (struct queue_part[]){{b->head.data, b->head.len}, {origin, origin_len},
			    {line, len}, {"}", 1}},
		    4, -1, most) == -1) {
		count_dropped(b);
		return;
	}
	b->sent++;
	watch_socket(b); /* with others of this turn it is sent in the next one */
}

/* ---- from the process ---- */

static void relay_message(struct broker *b, const char *line, size_t len)
{
	const char *from = line;
	unsigned format = 0;
	const struct child *child;

	switch (natswire_read(line, len, b->service->name, b->id, &from, &format)) {
	case NATSWIRE_OWN:
		return;
	case NATSWIRE_OTHER:
		b->invalid++;
		if (b->other++ == 0)
			log_error("%s: a message of another machine has format "
				  "%u, and this nclust knows %d alone: it is "
				  "dropped; run the same version on all",
				b->service->name, format, NATSWIRE_FORMAT);
		return;
	case NATSWIRE_NONSENSE:
		if (b->invalid++ == b->other)
			log_warn("%s: the broker sends what no nclust has sent: "
				 "it is dropped",
				b->service->name);
		return;
	case NATSWIRE_MESSAGE:
		break;
	}
	b->received++;
	len -= (size_t)(from - line);
	for_each_child (child, children_of(b->service))
		if (child->channel != NULL && child->channel->io.fd != -1)
			(void)channel_send_parts(child->channel,
				(struct queue_part[]){{"{", 1}, {from, len}}, 2, -1, false);
}

static void note_up(struct broker *b, uint64_t most)
{
	b->up = true;
	b->most = most;
	if (once_forget(b->service->said, ONCE_RELAY_DOWN))
		news_say_of(b->service, LOG_NOTE, "relay-up",
			"messages reach other machines again; %" PRIu64 " were dropped",
			b->dropped - b->dropped_known);
	else
		log_info("%s: connected to the broker", b->service->name);
	b->dropped_known = b->dropped;
}

static void note_down(struct broker *b, const char *why, size_t len)
{
	const char *hosts = strchr(strchr(b->setup, '\n') + 1, '\n') + 1; /* its third line */
	char text[256];

	text_escape(text, sizeof(text), why, len);
	b->up = false;
	if (once_say(b->service->said, ONCE_RELAY_DOWN))
		news_say_of(b->service, LOG_WARN, "relay-down",
			"messages do not reach other machines: %s (broker %.*s); up to 1 MiB "
			"of them waits",
			text, (int)strcspn(hosts, "\n"), hosts);
}

static uint64_t parse_number(const char *text, size_t len)
{
	char digits[24];

	text_escape(digits, sizeof(digits), text, len);
	return strtoull(digits, NULL, 10);
}

static void handle_line(struct broker *b, const char *line, size_t len)
{
	const char *text = line + 1;

	if (len == 0)
		return;
	switch (*line) {
	case NATSROLE_UP:
		note_up(b, parse_number(text, len - 1));
		break;
	case NATSROLE_DOWN:
		note_down(b, text, len - 1);
		break;
	case NATSROLE_TOO_LARGE:
		b->dropped++;
		b->dropped_known++;
		if (b->large++ == 0)
			log_warn("%s: a message is larger than the %" PRIu64
				 " bytes that the broker takes ('max_payload'): "
				 "it is dropped",
				b->service->name, b->most);
		break;
	case NATSROLE_MISSED:
		if (b->missed == 0)
			log_warn("%s: messages of other machines come faster "
				 "than nclust can pass them on: some are "
				 "dropped",
				b->service->name);
		b->missed += parse_number(text, len - 1);
		break;
	case NATSROLE_NONSENSE:
	default:
		relay_message(b, line, len);
	}
}

/* False: nothing more has come. */
static bool read_lines(struct broker *b)
{
	char data[READ_SIZE] uninitialized;
	ssize_t got = recv(b->io.fd, data, sizeof(data), MSG_DONTWAIT);
	const char *line;
	size_t len;

	if (got == 0 || (got == -1 && errno != EAGAIN && errno != EINTR)) {
		ev_io_stop(sup_of(b)->loop, &b->io); /* the process ends */
		fd_close(&b->io.fd);
	}
	if (got <= 0)
		return false;
	line_reader_begin(&b->in, data, (size_t)got);
	while (line_reader_next(&b->in, &line, &len))
		handle_line(b, line, len);
	return true;
}

static void on_io(struct ev_loop *loop UNUSED, ev_io *watcher, int revents)
{
	struct broker *b = watcher->data;

	if ((revents & EV_WRITE) != 0)
		flush_broker(b);
	if ((revents & EV_READ) != 0)
		(void)read_lines(b);
}

/* ---- the process ---- */

/* Returns the lines that the process gets first, heap; NULL: the cluster needs no process. */
static char *make_setup(const struct service *s)
{
	const struct cluster_settings *c = cluster_next_settings(s->core);
	struct natsurl url;
	struct buffer text;
	struct error err;

	if (!natsurl_is(c->relay) || c->accept || s->sup->instance.over ||
		natsurl_parse(&url, c->relay, &err) == -1)
		return NULL;
	buffer_init(&text, 0);
	buffer_printf(&text, "%s.%s\n%.*s\n%.*s\nnclust %s\n", url.prefix, s->name,
		(int)url.user_len, url.user, (int)url.hosts_len, url.hosts, s->name);
	if (buffer_text(&text) == NULL)
		buffer_fini(&text);
	return text.data;
}

static void start_process(void *owner)
{
	struct broker *b = owner;
	size_t len = strlen(b->setup);
	int ours = -1;
	int theirs = -1;

	if (b->life.job.pid != 0)
		return;
	if (fdpass_pair(&ours, &theirs) == 0 &&
		send(ours, b->setup, len, MSG_NOSIGNAL) == (ssize_t)len &&
		role_start(ROLE_NATS, &b->life, &theirs, 1) == 0) {
		ev_io_set(&b->io, fd_release(&ours), EV_READ);
		flush_broker(b);
	} else {
		role_start_later(&b->life, ROLE_RESTART);
	}
	fd_close(&ours);
	fd_close(&theirs);
}

/* Leaves the process, which sends what it has, and ends.  What waits here is for the next process,
 * but for the rest of a line that was sent in part. */
static void leave_process(struct broker *b)
{
	size_t rest = queue_rest(&b->out);

	job_forget(&b->life.job);
	ev_io_stop(sup_of(b)->loop, &b->io);
	fd_close(&b->io.fd);
	b->up = false;
	line_reader_fini(&b->in);
	line_reader_init(&b->in, LINE_MOST);
	if (rest > 0) {
		queue_sent(&b->out, rest);
		b->dropped++;
	}
	b->out.in_line = false;
}

static void on_process_end(void *owner, const struct pidfd_end *end)
{
	struct broker *b = owner;

	while (read_lines(b)) /* no more than the socket holds */
		;
	leave_process(b);
	if (!sup_of(b)->instance.over)
		role_again(ROLE_NATS, &b->life, end, b->service->name);
}

/* ---- its life ---- */

static struct broker *broker_new(struct service *s)
{
	struct broker *b = calloc(1, sizeof(*b));
	uint64_t number = (uint64_t)clock_now();

	if (b == NULL)
		return NULL;
	b->service = s;
	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) == -1)
		number ^= (uint64_t)getpid() << 40;
	snprintf(b->id, sizeof(b->id), "%016" PRIx64, number);
	if (gethostname(b->host, sizeof(b->host) - 1) == -1 || *b->host == '\0')
		text_copy(b->host, sizeof(b->host), "unknown");
	natswire_host(b->host);
	buffer_init(&b->head, 0);
	line_reader_init(&b->in, LINE_MOST);
	role_init(&b->life, s->sup, on_process_end, start_process, b);
	io_init(&b->io, on_io, -1, b);
	return b;
}

void broker_on_drop(struct service *s)
{
	struct broker *b = s->broker;

	s->broker = NULL;
	if (b == NULL)
		return;
	once_forget(s->said, ONCE_RELAY_DOWN);
	if (s->sup->loop != NULL)
		role_wait_no_more(&b->life);
	leave_process(b);
	queue_clear(&b->out);
	line_reader_fini(&b->in);
	buffer_fini(&b->head);
	free(b->setup);
	free(b);
}

/* Compares the process that the settings need with the one that runs. */
void broker_on_reloaded(struct service *s)
{
	char *setup = make_setup(s);
	struct broker *b = s->broker;

	if (setup == NULL) {
		broker_on_drop(s);
		return;
	}
	if (b == NULL)
		b = s->broker = broker_new(s);
	if (b == NULL) {
		free(setup);
		return;
	}
	if (b->setup == NULL || strcmp(setup, b->setup) != 0)
		leave_process(b);
	free(b->setup);
	b->setup = setup;
	start_process(b); /* starts at once, because what was lacking may be there now */
}

void brokers_begin(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++)
		broker_on_reloaded(sup->services[i]);
}

/* ---- hooks ---- */

void *broker_carried(struct carry_reader *r UNUSED, void *service)
{
	struct service *s = service;

	s->broker = broker_new(s);
	return s->broker;
}

void broker_on_go_on(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		struct broker *b = sup->services[i]->broker;

		if (b != NULL && b->life.job.pid != 0) {
			job_begin(&b->life.job, NSEC_NEVER);
			flush_broker(b);
		}
	}
	brokers_begin(sup);
}

void broker_on_shutdown(struct supervisor *sup)
{
	nsec_t until = clock_now() + ENDING_MS * MSEC;
	struct broker *b;

	for (size_t i = 0; i < sup->service_count; i++)
		if ((b = sup->services[i]->broker) != NULL && b->life.job.pid != 0) {
			flush_broker(b);
			(void)shutdown(b->io.fd, SHUT_RDWR);
		}
	for (size_t i = 0; i < sup->service_count; i++) {
		nsec_t left = until - clock_now();

		if ((b = sup->services[i]->broker) != NULL)
			role_end(&b->life, left > 0 ? (int)(left / MSEC) : 0);
		broker_on_drop(sup->services[i]);
	}
}

void broker_on_status(struct json_writer *w, const struct service *s)
{
	const struct broker *b = s->broker;

	if (b == NULL)
		return;
	json_open_member(w, "relay", true);
	json_put_bool(w, "connected", b->up);
	json_put_int(w, "sent", (int64_t)b->sent);
	json_put_int(w, "received", (int64_t)b->received);
	json_put_int(w, "dropped", (int64_t)b->dropped);
	json_put_int(w, "missed", (int64_t)b->missed);
	json_put_int(w, "invalid", (int64_t)b->invalid);
	json_put_int(w, "queued", (int64_t)queue_len(&b->out));
	json_close_object(w);
}
