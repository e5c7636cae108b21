/* SPDX-License-Identifier: MIT */
#include "os/look/look.h"

#include "base/scope.h"
#include "os/pidfd.h"
#include "os/process.h"
#include "os/socket/endpoint.h"
#include "os/socket/sockdiag.h"
#include "os/socket/socket.h"
#include "os/trycall.h"
#include "os/vfork.h"

#include <errno.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* As in remote.c: functions called by remote_each_fd() may run in a child on our
 * memory, and neither lock nor allocate. */

#define THREADS_MOST 64 /* of a process that are looked at */
#define TURNS_MOST 5    /* so often, if these take turns */

enum { STATE_CLOSE_WAIT = 8, STATE_LISTEN = 10 }; /* TCP_... of netinet/tcp.h */

void connections_free(struct connections *all)
{
	free(all->list);
	*all = (struct connections){0};
}

/* SIOCINQ: bytes that are not read yet; SIOCOUTQ: that are not taken yet. */
static uint32_t queue_of(int fd, unsigned long queue)
{
	int bytes = 0;

	return ioctl(fd, queue, &bytes) == 0 && bytes > 0 ? (uint32_t)bytes : 0;
}

static void take_tcp(struct connection *c, const struct tcp_info *info)
{
	c->kind = info->tcpi_state == STATE_LISTEN ? CONNECTION_LISTENER : CONNECTION_TCP;
	c->state = info->tcpi_state;
	c->bytes_out = info->tcpi_bytes_sent - info->tcpi_bytes_retrans;
	c->bytes_acked = info->tcpi_bytes_acked;
	c->bytes_in = info->tcpi_bytes_received;
	c->unsent = info->tcpi_notsent_bytes;
	c->unacked = info->tcpi_unacked;
	c->sent_ago = info->tcpi_last_data_sent;
	c->received_ago = info->tcpi_last_data_recv;
	c->ack_ago = info->tcpi_last_ack_recv;
	c->segments_in = info->tcpi_data_segs_in;
	c->segments_out = info->tcpi_data_segs_out;
	c->acks_out = info->tcpi_segs_out - info->tcpi_data_segs_out;
	c->rtt = info->tcpi_rtt;
}

static bool is_unix_stream(int fd)
{
	int type = socket_option(fd, SOL_SOCKET, SO_TYPE);

	return socket_option(fd, SOL_SOCKET, SO_DOMAIN) == AF_UNIX &&
		(type == SOCK_STREAM || type == SOCK_SEQPACKET) &&
		socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 0;
}

/* What the other end of a unix socket has yet to read.  SIOCOUTQ tells memory, buffers included: 768
 * bytes for up to 192 of data.  1: some, and the kernel does not tell how many. */
static uint32_t unread_by_peer(int fd, uint64_t inode)
{
	const uint32_t memory = queue_of(fd, SIOCOUTQ);
	struct unix_diag_rqlen lengths;
	uint32_t peer;

	if (memory == 0 || memory > 768)
		return memory;
	if (sockdiag_unix(inode, UDIAG_SHOW_PEER, UNIX_DIAG_PEER, &peer, sizeof(peer)) != 1 ||
		sockdiag_unix(peer, UDIAG_SHOW_RQLEN, UNIX_DIAG_RQLEN, &lengths, sizeof(lengths)) !=
			1)
		return 1;
	return lengths.udiag_rqueue > 0 ? lengths.udiag_rqueue : 1;
}

/* Does the text begin with a head of HTTP/1 (RFC 9112, 3)? */
static bool is_http(const char *text)
{
	const char *line_end = strstr(text, "\r\n");

	return line_end != NULL && line_end - text >= 9 &&
		strncmp(line_end - 9, " HTTP/1.", 8) == 0;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Is this the beginning of one request that every client repeats?  Proxies repeat no POST, and none
 * whose body they no longer have.  Bytes behind the head are a second request, or a body. */
static bool is_request(const char *text)
{
	const char *head_end = strstr(text, "\r\n\r\n");

	return (has_prefix(text, "GET ") || has_prefix(text, "HEAD ") ||
		       has_prefix(text, "OPTIONS ")) &&
		is_http(text) && (head_end == NULL || head_end[4] == '\0');
}

/* Are these bytes one message of a client's WebSocket (RFC 6455, 5.2)?  The caller
 * has checked that its first six bytes are there. */
static bool is_message(const char *text, uint32_t size)
{
	const unsigned char *head = (const unsigned char *)text;
	uint32_t length = head[1] & 0x7fU;
	unsigned kind = head[0] & 0xbfU; /* the opcode, compressed or not */

	if ((kind != 0x81 && kind != 0x82) || head[1] < 0x80)
		return false;
	if (length == 126)
		length = 2U + ((uint32_t)head[2] << 8 | head[3]);
	return size == 6 + length;
}

/* Copy the unread bytes of a socket, with a NUL.  Returns how many bytes these are. */
static size_t peek_text(int fd, char *text, size_t size)
{
	ssize_t got = recv(fd, text, size - 1, MSG_PEEK | MSG_DONTWAIT);

	got = got > 0 ? got : 0;
	text[got] = '\0';
	return (size_t)got;
}

static void read_kind(int fd, const struct connections *all, struct connection *c)
{
	char text[4096] uninitialized;
	size_t got;

	if (c->kind == CONNECTION_LISTENER || c->queue == 0)
		return;
	got = peek_text(fd, text, sizeof(text));
	c->whole = all->is_whole != NULL && all->is_whole(text, got, c->queue);
	c->asks = is_request(text);
	if (c->kind != CONNECTION_TCP)
		return;
	c->http = is_http(text);
	c->frames = got >= 6 && is_message(text, c->queue);
	/* each frame of a client's WebSocket is masked: no whole message, but a WebSocket's */
	c->unknown = got > 1 && !c->http && !c->frames && ((unsigned char)text[1] & 0x80U) == 0;
}

static bool is_loopback(const uint8_t *ip, size_t len)
{
	if (len == 16 && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)ip))
		return ip[12] == 127;
	return len == 4 ? ip[0] == 127 : len == 16 && memcmp(ip, &in6addr_loopback, len) == 0;
}

/* Is the other end on this host, too, as far as addresses tell? */
static bool is_local(int fd, const union endpoint *own)
{
	union endpoint other;
	size_t len = 0;
	size_t own_len = 0;
	const void *ip;
	const void *own_ip = endpoint_ip(own, &own_len);

	if (own->any.sa_family == AF_UNIX)
		return true;
	if (endpoint_peer(fd, &other) == 0)
		return false;
	ip = endpoint_ip(&other, &len);
	return len > 0 &&
		(is_loopback(ip, len) || (len == own_len && memcmp(ip, own_ip, len) == 0));
}

/* Fill in what the kernel tells of a socket.  False: the socket is of no kind that matters. */
static bool look_at(int fd, struct connection *c)
{
	struct tcp_info info = {0};
	union endpoint at;
	struct ucred peer;
	socklen_t size = sizeof(info);
	int quick;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) {
		take_tcp(c, &info);
		c->prompt = socket_get(fd, IPPROTO_TCP, TCP_QUICKACK, &quick) == 0 && quick == 0;
	} else if (is_unix_stream(fd)) {
		c->kind = CONNECTION_UNIX;
		if (socket_peer(fd, &peer) == 0)
			c->peer = peer.pid;
		c->unsent = unread_by_peer(fd, c->inode);
	} else {
		return false;
	}
	c->queue = c->kind == CONNECTION_LISTENER ? info.tcpi_unacked : queue_of(fd, SIOCINQ);
	c->cookie = socket_cookie(fd);
	if (c->cookie == 0)
		return false;
	size = endpoint_own(fd, &at);
	c->port = endpoint_port(&at);
	c->has_name = at.any.sa_family == AF_UNIX && size > offsetof(struct sockaddr_un, sun_path);
	c->local = c->kind != CONNECTION_LISTENER && is_local(fd, &at);
	return true;
}

/* ---- all sockets of a process ---- */

struct gathering {
	struct connections *all;
	pid_t pid;
	int pidfd;
	bool refused; /* no descriptor can be duplicated: only inodes are known */
	int error;    /* of the first descriptor that could not be duplicated */
};

static bool gather_socket(void *context, int number, const char *target)
{
	struct gathering *g = context;
	struct connections *all = g->all;
	uint64_t inode = remote_socket_inode(target);
	struct connection *c;
	int fd;

	if (inode == 0) {
		all->too_many |= ++all->others > CONNECTIONS_OTHERS;
		return all->too_many;
	}
	if (all->count == CONNECTIONS_MOST) {
		all->too_many = true;
		return true;
	}
	c = &all->list[all->count];
	*c = (struct connection){.inode = inode, .pid = g->pid, .fd = number};
	fd = g->refused ? -1 : (int)trycall(SYS_pidfd_getfd, g->pidfd, number, 0U);
	if (fd == -1) {
		g->refused |= errno == EPERM || errno == ENOSYS ||
			(errno == EBADF && pidfd_is_directory(g->pidfd));
		if (g->refused)
			all->count++;    /* ask_kernel() will look this socket up by its inode */
		else if (errno != EBADF) /* EBADF: the process has just closed the descriptor */
			g->error = errno;
		return g->error != 0;
	}
	if (look_at(fd, c)) {
		if (all->peeks)
			read_kind(fd, all, c);
		all->count++;
	} else {
		all->too_many |= ++all->others > CONNECTIONS_OTHERS;
	}
	(void)close(fd);
	return all->too_many;
}

/* ---- without descriptors, by inode ---- */

static int by_inode(const void *a, const void *b)
{
	const struct connection *one = a;
	const struct connection *two = b;

	return one->inode < two->inode ? -1 : one->inode > two->inode;
}

struct matching {
	struct connection *list;
	size_t count;
};

static void match_socket(
	void *context, const struct inet_diag_msg *msg, const void *info, size_t size)
{
	const struct matching *m = context;
	const struct connection key = {.inode = msg->idiag_inode};
	struct connection *c = bsearch(&key, m->list, m->count, sizeof(key), by_inode);

	if (c == NULL || msg->idiag_inode == 0 || size == 0)
		return;
	take_tcp(c, info);
	c->cookie = (uint64_t)msg->id.idiag_cookie[1] << 32 | msg->id.idiag_cookie[0];
	c->port = ntohs(msg->id.idiag_sport);
	c->queue = msg->idiag_rqueue;
	/* sock_diag(7) counts a FIN as a byte of the queue */
	if (c->state == STATE_CLOSE_WAIT && c->queue > 0)
		c->queue--;
}

static int ask_for_tcp(void *argument)
{
	return sockdiag_each_tcp(true, match_socket, argument);
}

/* Ask sock_diag(7) for the connections of which only the inode is known. */
static void ask_kernel(struct connections *all, struct remote *r, size_t first)
{
	struct matching m = {all->list + first, all->count - first};
	size_t known = first;

	qsort(m.list, m.count, sizeof(*m.list), by_inode);
	if (remote_run(r, -1, ask_for_tcp, &m) == -1)
		all->refused = true;
	for (size_t i = first; i < all->count; i++) {
		if (all->list[i].cookie == 0)
			continue;
		all->list[i].fd = -1;
		all->list[known++] = all->list[i];
	}
	all->count = known;
}

int connections_add(struct connections *all, struct remote *r, int pidfd)
{
	struct gathering g = {.all = all, .pid = r->tid, .pidfd = pidfd};
	const size_t count = all->count;

	/* only what is used of it costs memory */
	if (all->list == NULL)
		all->list = malloc(CONNECTIONS_MOST * sizeof(*all->list));
	if (all->list == NULL ||
		remote_each_fd_keeping(r, pidfd, UINT_MAX, gather_socket, &g) == -1)
		return -1;
	if (g.error == ESRCH) {
		errno = ESRCH;
		return -1;
	}
	all->refused |= g.error != 0;
	if (g.refused)
		ask_kernel(all, r, count);
	return 0;
}

static int by_cookie(const void *a, const void *b)
{
	const struct connection *one = a;
	const struct connection *two = b;

	return one->cookie < two->cookie ? -1 : one->cookie > two->cookie;
}

void connections_sort(struct connections *all)
{
	if (all->count > 1)
		qsort(all->list, all->count, sizeof(*all->list), by_cookie);
}

/* ---- ending connections ---- */

struct ending {
	pid_t pid;
	int pidfd;
	struct connections *all;
	bool leaves; /* it runs in a child, which leaves our table */
	unsigned ended;
	unsigned late;
	unsigned asked;
};

/* A duplicate of the connection's descriptor, if it still is the same socket; -1 and errno. */
static int duplicate_of(int pidfd, const struct connection *c)
{
	int fd = (int)trycall(SYS_pidfd_getfd, pidfd, c->fd, 0U);

	if (fd == -1)
		return -1;
	if (socket_cookie(fd) == c->cookie)
		return fd;
	(void)close(fd);
	errno = EBADF;
	return -1;
}

/* Has data come since the connection was looked at?  The worker would read them, and its answer
 * would go nowhere. */
static bool is_late(int fd, const struct connection *c)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	if (queue_of(fd, SIOCINQ) != c->queue)
		return true;
	return c->kind == CONNECTION_TCP &&
		getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
		info.tcpi_data_segs_in != c->segments_in;
}

/* Take bytes out of the queue.  The process is stopped, so nobody else reads. */
static void take_bytes(int fd, uint32_t size)
{
	char text[4096] uninitialized;
	ssize_t got = 1;

	while (size > 0 && got > 0) {
		got = recv(fd, text, size < sizeof(text) ? size : sizeof(text), MSG_DONTWAIT);
		size -= got > 0 ? (uint32_t)got : 0;
	}
}

static bool has_request(int fd)
{
	char text[4096] uninitialized;

	return peek_text(fd, text, sizeof(text)) != 0 && is_request(text);
}

/* False: it is closed already.  What came since is_late() is taken out of the queue, for the worker
 * would read it, and its answer would go nowhere; what comes from now on the kernel answers with a
 * reset (tcp_rcv_state_process(), RFC 1122, 4.2.2.13). */
static bool end_connection(int fd, const struct connection *c, unsigned *asked)
{
	uint32_t queue = c->queue;
	bool asks = (c->deeds & DEED_ASKS) != 0;
	uint32_t now;

	if (asks) {
		take_bytes(fd, queue);
		queue = 0;
	}
	if (shutdown(fd, SHUT_RDWR) == -1)
		return false;
	now = queue_of(fd, SIOCINQ);
	if (now > queue) {
		asks |= queue == 0 && has_request(fd);
		take_bytes(fd, now);
	}
	*asked += asks;
	return true;
}

static int end_connections(void *argument)
{
	struct ending *e = argument;

	if (e->leaves && vfork_leave_table(e->pidfd, e->all->channel) == -1)
		return -1;
	for (size_t i = 0; i < e->all->count; i++) {
		struct connection *c = &e->all->list[i];

		if (c->deeds == 0 || c->pid != e->pid)
			continue;
		scoped_fd fd = duplicate_of(e->pidfd, c);
		if (fd == -1)
			continue;
		/* a quiet one is only held: what has come since is read when its process has ended */
		if ((c->deeds != DEED_HAND || c->queue > 0) && is_late(fd, c)) {
			e->late++;
			continue;
		}
		c->handed = (c->deeds & DEED_HAND) != 0 && e->all->hand(e->all->context, fd, c);
		if (c->handed || (c->deeds & DEED_END) == 0 ||
			((c->deeds & DEED_ASKS) != 0 && !has_request(fd)))
			continue;
		e->ended += end_connection(fd, c, &e->asked);
	}
	return 0;
}

unsigned connections_end(
	struct remote *r, int pidfd, struct connections *all, unsigned *late, unsigned *asked)
{
	struct ending e = {.pid = r->tid, .pidfd = pidfd, .all = all};
	bool in_child = r->others || all->hand != NULL;

	if (all->hand == NULL)
		all->channel = pidfd;
	e.leaves = in_child || r->as_user;
	if (remote_run_in(r, in_child, e.leaves ? VFORK_LEAVES : -1, end_connections, &e) == -1)
		return 0;
	*late += e.late;
	*asked += e.asked;
	return e.ended;
}

const char *connections_peer(struct remote *r, const struct connection *c, char *to, size_t size)
{
	char text[ENDPOINT_TEXT] = "a peer";
	union endpoint at = {.room = {0}};
	int fd = c->fd != -1 ? remote_fd(r, c->fd) : -1;
	size_t len = 0;
	const void *ip;

	if (fd != -1)
		(void)socket_other(fd, &at);
	remote_close(&fd);
	ip = endpoint_ip(&at, &len);
	if (len > 0)
		(void)endpoint_text(text, at.any.sa_family, ip, endpoint_port(&at));
	snprintf(to, size, "%s", at.any.sa_family == AF_UNIX ? "a local peer" : text);
	return to;
}

/* CLOCK_MONOTONIC_COARSE moves with the jiffies. */
unsigned connections_tick(void)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) == -1)
		return 10000;
	return (unsigned)(tick.tv_sec * 1000000 + tick.tv_nsec / 1000);
}

/* ---- activity ---- */

/* What a thread does, by the system call that it is in.  Sleeping threads belong to a pool that
 * has nothing to do; a process's only thread that sleeps will do something soon. */
static enum activity of_call(struct remote *thread, pid_t pid, struct connections *all)
{
	int fd;
	long call = remote_call(thread, &fd);
	unsigned kind = remote_call_kind(call);

	for (size_t i = 0; (kind & CALL_READS) != 0 && all != NULL && i < all->count; i++)
		all->list[i].awaited |= all->list[i].pid == pid && all->list[i].fd == fd;
	if ((kind & CALL_WAITS) != 0)
		return ACTIVITY_WAITS;
	if ((kind & CALL_SLEEPS) != 0)
		return ACTIVITY_SLEEPS;
	return call == -2 || (kind & CALL_UNKNOWN) != 0 ? ACTIVITY_UNKNOWN : ACTIVITY_RUNS;
}

struct threads {
	struct remote process;
	struct connections *all;
	pid_t pid;
	enum activity found;
	unsigned count;
};

static bool look_at_thread(void *context, pid_t tid)
{
	struct threads *t = context;
	t->process.tid = tid;
	if (of_call(&t->process, t->pid, t->all) == ACTIVITY_RUNS)
		t->found = ACTIVITY_RUNS;
	return t->found == ACTIVITY_RUNS || ++t->count == THREADS_MOST;
}

static int look_at_threads(void *argument)
{
	struct threads *t = argument;

	return process_each(t->process.tid, look_at_thread, t) != -1 ? 0 : -1;
}

/* Threads are looked at one after the other: while they take turns each may wait just then.  So they
 * are looked at again if the process has run meanwhile; of threads of which one always runs a look
 * misses that in 1 of e cases at most. */
static enum activity of_threads(struct remote *r, struct connections *all)
{
	struct threads t = {.all = all, .pid = r->tid, .found = ACTIVITY_WAITS};
	nsec_t before = -1;

	for (int i = 0; i < TURNS_MOST && t.found == ACTIVITY_WAITS; i++) {
		const nsec_t ran = process_ran(r->tid);

		if (ran == before)
			break;
		before = ran;
		t.process = *r;
		t.process.inside = true;
		t.count = 0;
		if (remote_run(r, -1, look_at_threads, &t) == -1)
			return ACTIVITY_UNKNOWN;
	}
	return t.found;
}

enum activity connections_activity(
	struct remote *r, enum activity stopped_in, struct connections *all)
{
	enum activity found;
	uint64_t threads = 1;

	if (process_status(r->tid, "Threads:", 10, &threads) == -1)
		return ACTIVITY_UNKNOWN;
	if (threads > 1)
		return of_threads(r, all);
	found = of_call(r, r->tid, all);
	/* a thread that ran when it was stopped has no call to restart */
	return found == ACTIVITY_UNKNOWN && stopped_in != ACTIVITY_RUNS ? stopped_in : found;
}
