/* SPDX-License-Identifier: MIT */
#include "logger/keep.h"

#include "base/log.h"
#include "base/scope.h"
#include "logger/reading.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/socket/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* With no worker alive, clients wait that long in the listeners' queues for the next supervisor, or
 * twice as long. */
#define LOOK 5.0

/* ---- the list ---- */

/* Where the list points to that one, or its end. */
static struct held **find_held(struct keep *k, uint32_t what, uint64_t id)
{
	struct held **at = &k->list;

	while (*at != NULL && ((*at)->name.what != what || (*at)->name.worker != id))
		at = &(*at)->next;
	return at;
}

static void drop_held(struct held **at)
{
	struct held *h = *at;

	if (h == NULL)
		return;
	*at = h->next;
	for (size_t i = 0; i < COUNT_OF(h->fds); i++)
		fd_close(&h->fds[i]);
	free(h);
}

static void hold_packet(struct keep *k, const struct logwire_packet *p, struct fdpass_message *m)
{
	struct held *h = NULL;

	drop_held(find_held(k, p->what, p->worker));
	if (m->fd_count == logwire_count(p->which))
		h = calloc(1, sizeof(*h));
	if (h == NULL) {
		if (!k->lacks)
			log_error("keeper: cannot hold all descriptors (RLIMIT_NOFILE?): "
				  "if nclust is killed, some workers will be replaced");
		k->lacks = true;
		return;
	}
	h->name = *p;
	for (size_t i = 0; i < COUNT_OF(h->fds); i++)
		h->fds[i] = i < m->fd_count ? fd_release(&m->fds[i]) : -1;
	h->next = k->list;
	k->list = h;
}

/* ---- handing over ---- */

static int give_held(struct keep *k, int to, const struct held *h)
{
	struct logwire_packet p = h->name;
	/* descriptors before the pipes, and all descriptors */
	unsigned first = logwire_count(p.which & (LOGWIRE_STDOUT - 1U));
	unsigned held = logwire_count(p.which);
	unsigned count = first;
	const struct source *source = NULL;
	int fds[LOGWIRE_FDS_MAX];

	memcpy(fds, h->fds, first * sizeof(*fds));
	if (p.what == LOGWIRE_A_WORKER)
		source = source_find(k->logger->sources, p.worker);
	for (int i = 0; i < 2; i++) {
		if (source == NULL || source->pipes[i].readable.fd == -1)
			continue;
		p.which |= i == 0 ? LOGWIRE_STDOUT : LOGWIRE_STDERR;
		fds[count++] = source->pipes[i].readable.fd;
	}
	for (unsigned i = first; i < held && count < LOGWIRE_FDS_MAX; i++)
		fds[count++] = h->fds[i];
	return fdpass_send_patiently(to, &p, sizeof(p), fds, count);
}

/* The socket goes first, so that it stays the socket for the next call.  All
 * descriptors stay held here, too, because the caller may be killed as well. */
static int give_all(struct keep *k, int to)
{
	struct logwire_packet p = {.kind = LOGWIRE_HELLO};

	if (fdpass_send_patiently(to, &p, sizeof(p), &k->socket, 1) == -1)
		return -1;
	for (const struct held *h = k->list; h != NULL; h = h->next)
		if (give_held(k, to, h) == -1)
			return -1;
	p.kind = LOGWIRE_GIVEN;
	return fdpass_send_patiently(to, &p, sizeof(p), NULL, 0);
}

static void stop_waiting(struct keep *k)
{
	ev_io_stop(k->logger->loop, &k->callers);
	ev_timer_stop(k->logger->loop, &k->look);
}

static void on_caller(struct ev_loop *loop UNUSED, ev_io *watcher, int revents UNUSED)
{
	struct keep *k = watcher->data;
	scoped_fd fd = accept4(watcher->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;

	if (fd == -1)
		return;
	if (socket_peer(fd, &peer) == -1 || (peer.uid != k->owner && peer.uid != 0)) {
		log_warn("keeper: refused a connection of another user");
		return;
	}
	if (give_all(k, fd) == -1) {
		log_warn("keeper: the caller did not take everything");
		return;
	}
	stop_waiting(k);
	logger_resumed(k->logger, fd_release(&fd));
}

/* ---- waiting ---- */

static bool has_worker(const struct keep *k)
{
	for (const struct held *h = k->list; h != NULL; h = h->next) {
		struct pollfd one = {.fd = h->fds[0], .events = POLLIN};

		if (h->name.what == LOGWIRE_A_WORKER && poll(&one, 1, 0) == 0)
			return true;
	}
	return false;
}

/* Look up the file of the socket on which the next supervisor calls. */
static int look_at_place(const struct keep *k, struct stat *st)
{
	return fstatat(k->dir, LOGWIRE_KEEPER, st, AT_SYMLINK_NOFOLLOW);
}

/* Has a supervisor that could not reach this keeper made another one?  The time is compared, too,
 * because an inode's number may be used again. */
static bool is_anothers(const struct keep *k)
{
	struct stat st;

	return look_at_place(k, &st) == 0 &&
		(st.st_ino != k->place.st_ino || st.st_mtim.tv_sec != k->place.st_mtim.tv_sec ||
			st.st_mtim.tv_nsec != k->place.st_mtim.tv_nsec);
}

/* The last worker may have ended just now: the next look decides. */
static void on_look(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct keep *k = timer->data;
	bool needless = !has_worker(k) || is_anothers(k) ||
		(access_in(k->dir, "state", F_OK) == -1 && errno == ENOENT);

	if (needless && k->needless) {
		stop_waiting(k);
		ev_break(loop, EVBREAK_ALL);
	}
	k->needless = needless;
}

bool keep_wait(struct keep *k)
{
	if (k->socket == -1)
		return false;
	ev_io_set(&k->callers, k->socket, EV_READ);
	ev_io_start(k->logger->loop, &k->callers);
	k->needless = false;
	ev_now_update(k->logger->loop);
	ev_timer_again(k->logger->loop, &k->look);
	return true;
}

/* ---- packets ---- */

static void begin_keeping(struct keep *k, struct fdpass_message *m)
{
	fd_close(&k->socket);
	fd_close(&k->dir);
	k->socket = fd_release(&m->fds[0]);
	k->dir = fd_release(&m->fds[1]);
	/* so that SO_PEERCRED shows this process to a caller */
	(void)listen(k->socket, 8);
	if (look_at_place(k, &k->place) == -1)
		k->place = (struct stat){0};
}

static void stop_keeping(struct keep *k)
{
	while (k->list != NULL)
		drop_held(&k->list);
	fd_close(&k->socket);
	fd_close(&k->dir);
}

bool keep_take(struct keep *k, const struct logwire_packet *p, struct fdpass_message *m)
{
	if (p->kind == LOGWIRE_KEEP && m->fd_count == 2)
		begin_keeping(k, m);
	else if (p->kind == LOGWIRE_LEAVE)
		stop_keeping(k);
	else if (p->kind == LOGWIRE_HOLD)
		hold_packet(k, p, m);
	else if (p->kind == LOGWIRE_DROP)
		drop_held(find_held(k, p->what, p->worker));
	else
		return false;
	return true;
}

/* ---- life ---- */

void keep_init(struct keep *k, uid_t owner, struct logger *logger)
{
	*k = (struct keep){
		.owner = owner,
		.logger = logger,
		.socket = -1,
		.dir = -1,
	};
	ev_init(&k->callers, on_caller);
	ev_timer_init(&k->look, on_look, 0., LOOK);
	k->callers.data = k->look.data = k;
}

void keep_fini(struct keep *k)
{
	stop_waiting(k);
	stop_keeping(k);
}

/* ---- remember ---- */

void remember_begin(struct remember *m, struct source_pipe *pipe, size_t len)
{
	m->pipe = pipe;
	m->much = len >= REMEMBER_MUCH;
	m->headed = false;
	m->used = 0;
}

/* Write behind what another worker of the slot has written.  A failure is not reported: memory is
 * short then. */
void remember_flush(struct remember *m)
{
	struct linering *to = &m->pipe->source->ring;

	if (m->used > 0 && linering_look(to) == 0)
		(void)linering_put(to, m->block, m->used);
	m->used = 0;
}

static void put_line(struct remember *m, enum logline_kind kind, const char *text, size_t len)
{
	const struct source *source = m->pipe->source;
	char *at;

	if (m->used + LOGLINE_HEAD + len + 2 > sizeof(m->block))
		remember_flush(m);
	if (!m->headed)
		m->used += logline_head(m->block + m->used, (int64_t)(clock_wall() * 1000),
			m->pipe == source->pipes ? 1 : 2, (int)source->pid);
	m->headed = true;
	at = m->block + m->used;
	*at = (char)kind;
	memcpy(at + 1, text, len);
	at[len + 1] = '\n';
	m->used += len + 2;
}

void remember_note(struct remember *m, const struct line *line)
{
	char text[24];

	if (m->pipe->source->ring.fd == -1)
		return;
	if (m->much && line->behind > REMEMBER_NEAR) {
		m->pipe->left_out += !line->goes_on;
		return;
	}
	if (m->pipe->left_out > 0) {
		int n = snprintf(text, sizeof(text), "%zu", m->pipe->left_out);

		put_line(m, LOGLINE_LEFT_OUT, text, (size_t)n);
		m->pipe->left_out = 0;
	}
	put_line(m, line->goes_on ? LOGLINE_GOES_ON : LOGLINE_BEGINS, line->text, line->len);
}
