/* SPDX-License-Identifier: MIT */
#include "courier/courier.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "courier/answerer.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/memory.h"
#include "os/privilege.h"
#include "protocol/courier.h"
#include "protocol/http.h"
#include "protocol/httphead.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>

/* close(2) of a socket with SO_LINGER may wait, see answerer.c. */
#define BLOCKED_US 5000
#define TICK_MS 1000
#define CHANNEL UINT32_MAX /* among the events */
#define ROUNDS 8           /* that a connection gets before the others have their turn */
#define RESERVE 16         /* descriptors that are none of a connection */

/* Of netinet/tcp.h; from STATE_TIME_WAIT on the FIN of the client has come. */
enum { STATE_ESTABLISHED = 1, STATE_TIME_WAIT = 6 };

enum stage {
	CLOSED,
	HELD,    /* its worker may still read from it */
	AWAITED, /* its worker has ended: the client's next request is awaited */
	WANTED,  /* a request is there, and nclust was asked for a server */
	ASKED,   /* the request goes to the server, and the answer to the client */
	PARTING, /* the answer is out: what the client still sends is dropped */
};

struct conn {
	struct courier_packet said; /* the packet with which it came; its outcome */
	enum stage stage;
	bool unsent; /* the packet that tells nclust of the stage: the channel was full */
	int client;
	int server;
	nsec_t since;    /* when the stage began, or bytes were passed on */
	char *request;   /* of it, with its new head, what is not sent yet; heap, or NULL */
	size_t asked;    /* bytes of that which are sent */
	size_t size;     /* of `request` */
	uint64_t body;   /* bytes that are to be passed on after that; UINT64_MAX: all */
	size_t answered; /* bytes sent of an answer's head that is not sent wholly */
	struct httpanswer *answer; /* heap; what the client got of it */
};

struct courier {
	int channel; /* -1: nclust has ended */
	int epoll;
	bool full; /* the channel: not all was told */
	nsec_t ticked;
	struct answerer *answerer;
	size_t most;
	size_t count;
	uint64_t cookies[COURIER_MOST]; /* of conns[]; 0: the place is free */
	struct conn conns[COURIER_MOST];
	char in[sizeof(struct courier_packet) + sizeof(struct courier_order) + HTTPHEAD_MOST];
	char out[2 * HTTPHEAD_MOST]; /* a head that is written anew */
};

static bool is_for_later(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* ---- the end of a connection ---- */

/* Tell nclust of the connection's stage; a closed one is forgotten then. */
static void tell(struct courier *k, struct conn *c)
{
	struct courier_packet p = c->said;
	bool wants = c->stage == WANTED;

	p.kind = wants ? COURIER_WANT : COURIER_DONE;
	c->unsent = c->unsent && k->channel != -1 &&
		fdpass_send(k->channel, &p, sizeof(p), &c->client, wants ? 1 : 0) == -1;
	k->full |= c->unsent;
	if (c->stage == CLOSED && !c->unsent) {
		k->cookies[c - k->conns] = 0;
		k->count--;
	}
}

/* The socket may be another process's, too, and would stay in the epoll set. */
static void drop(struct courier *k, int *fd)
{
	if (*fd == -1)
		return;
	(void)epoll_ctl(k->epoll, EPOLL_CTL_DEL, *fd, NULL);
	clock_alarm(BLOCKED_US);
	fd_close(fd);
	clock_alarm(0);
}

/* TCP: disconnecting sends RST (tcp_disconnect() of the kernel), also while another process has the
 * socket.  A unix socket refuses it, and so do kernels from 6.4 to 6.6 while a thread waits there. */
static void reset(int fd)
{
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	if (connect(fd, &nobody, sizeof(nobody.sa_family)) == -1)
		(void)shutdown(fd, SHUT_RDWR);
}

static void finish(struct courier *k, struct conn *c, enum courier_outcome outcome)
{
	/* the end of the connection would say that the answer is whole */
	bool cut = outcome == COURIER_BROKEN && c->answer != NULL &&
		c->answer->state == HTTPANSWER_OPEN_BODY;

	if (c->stage != PARTING) {
		c->said.outcome = outcome;
		c->unsent = true;
	}
	if (cut || outcome == COURIER_MIXED)
		reset(c->client);
	else if (c->said.kind == COURIER_ASK) /* close(2) sends no FIN: the worker has the socket */
		(void)shutdown(c->client, SHUT_RDWR);
	drop(k, &c->client);
	drop(k, &c->server);
	free(c->request);
	free(c->answer);
	c->stage = CLOSED;
	tell(k, c);
}

static void give_up(struct courier *k, struct conn *c)
{
	finish(k, c, c->stage == ASKED ? COURIER_BROKEN : COURIER_IDLE);
}

/* The answer is out.  If the client still sends, close(2) would send RST, and the client could lose
 * the answer: let it close first.  What comes after a request that a worker still has is not read. */
static void part(struct courier *k, struct conn *c)
{
	c->said.outcome = c->answer->status == 400 ? COURIER_REFUSED : COURIER_ANSWERED;
	if (c->said.kind == COURIER_ASK) {
		finish(k, c, c->said.outcome);
		return;
	}
	(void)shutdown(c->client, SHUT_WR);
	drop(k, &c->server);
	c->stage = PARTING;
	c->since = clock_now();
	c->unsent = true;
	tell(k, c);
}

/* How long a connection may stay as it is, with nclust and without it. */
static const struct {
	nsec_t with;
	nsec_t without;
} patience[] = {
	[CLOSED] = {NSEC_NEVER, NSEC_NEVER},
	[HELD] = {NSEC_NEVER, 0},
	[AWAITED] = {65 * SECOND, 0},
	[WANTED] = {65 * SECOND, 0},
	[ASKED] = {NSEC_NEVER, 60 * SECOND},
	[PARTING] = {5 * SECOND, 5 * SECOND},
};

static void tick(struct courier *k, nsec_t now)
{
	k->ticked = now;
	k->full = false;
	for (size_t i = 0; i < k->most; i++) {
		struct conn *c = &k->conns[i];
		nsec_t time =
			k->channel != -1 ? patience[c->stage].with : patience[c->stage].without;

		if (c->unsent)
			tell(k, c);
		if (now >= nsec_add(c->since, time))
			give_up(k, c);
	}
}

/* ---- passing on ---- */

static ssize_t peek(int fd, char *to, size_t size)
{
	return recv(fd, to, size, MSG_PEEK | MSG_DONTWAIT);
}

/* Take what was peeked at and passed on; TCP copies nothing then. */
static void take(struct courier *k, int fd, size_t len)
{
	(void)recv(fd, k->in, len, MSG_DONTWAIT | MSG_TRUNC);
}

/* Pass a part of the request on: its head, and what came with it, then the rest of its body.
 * False: nothing can be done now. */
static bool pass_request(struct courier *k, struct conn *c)
{
	bool begins = c->request != NULL;
	size_t most = c->body < HTTPHEAD_MOST ? (size_t)c->body : HTTPHEAD_MOST;
	ssize_t len = begins ? (ssize_t)(c->size - c->asked) : 0;
	ssize_t sent;

	if (!begins && c->body > 0 && (len = peek(c->client, k->in, most)) == 0) {
		c->body = 0; /* the client has ended in the middle of it */
		(void)shutdown(c->server, SHUT_WR);
	}
	if (len <= 0)
		return false;
	sent = send(c->server, begins ? c->request + c->asked : k->in, (size_t)len,
		MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent == -1 && is_for_later())
		return false;
	if (begins)
		c->asked += sent > 0 ? (size_t)sent : 0;
	else if (sent > 0)
		take(k, c->client, (size_t)sent);
	if (sent == -1) /* a server that takes no more may have answered already */
		c->body = 0;
	else if (!begins && c->body != UINT64_MAX)
		c->body -= (size_t)sent;
	if (begins && (sent == -1 || c->asked == c->size)) {
		free(c->request);
		c->request = NULL;
	}
	return sent > 0;
}

static void end_of_server(struct courier *k, struct conn *c, int error)
{
	const struct httpanswer *h = c->answer;
	bool closed = error == 0 || error == ECONNRESET;

	if (closed && h->state == HTTPANSWER_STATUS && h->head == 0)
		finish(k, c, COURIER_REFUSED);
	else if (error == 0 && (httpanswer_ended(h) || h->state == HTTPANSWER_BAD))
		part(k, c);
	else
		finish(k, c, COURIER_BROKEN);
}

/* Pass a part of the answer on.  False: nothing can be done now, or the connection has ended. */
static bool pass_answer(struct courier *k, struct conn *c)
{
	ssize_t got = peek(c->server, k->in, HTTPHEAD_MOST);
	struct pollfd end = {.fd = c->server, .events = POLLRDHUP};
	struct httpanswer next = *c->answer;
	const char *data = k->in;
	size_t head = 0;
	size_t len = got > 0 ? (size_t)got : 0;
	ssize_t sent;

	if (got == 0 || (got == -1 && !is_for_later()))
		end_of_server(k, c, got == 0 ? 0 : errno);
	if (got <= 0)
		return false;
	if (next.state == HTTPANSWER_STATUS) {
		head = httphead_size(k->in, len);
		httpanswer_take(&next, k->in, head > 0 ? head : len);
		if (head == 0 && (next.status > 0 || next.state != HTTPANSWER_BAD) &&
			len < HTTPHEAD_MOST && poll(&end, 1, 0) == 0)
			return false;
		if (head == 0) /* it is none, and is passed on as it comes */
			next.state = HTTPANSWER_BAD;
		len = head > 0 ? head : len;
		if (head > 0 && next.status >= 200) { /* no interim answer */
			len = httphead_close(k->out, sizeof(k->out), data, head);
			data = k->out;
		}
	}
	sent = send(c->client, data + c->answered, len - c->answered, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent == -1 && !is_for_later())
		finish(k, c, COURIER_LEFT);
	if (sent == -1)
		return false;
	c->answered += (size_t)sent;
	if (head > 0 && c->answered < len)
		return true; /* the head is taken when all of it is sent */
	c->answered = 0;
	if (head == 0)
		httpanswer_take(&next, k->in, (size_t)sent);
	*c->answer = next;
	take(k, c->server, head > 0 ? head : (size_t)sent);
	if (next.state == HTTPANSWER_WHOLE)
		part(k, c);
	return next.state != HTTPANSWER_WHOLE;
}

/* How many bytes the client has sent.  FIN counts as one (tcp_fin() of the kernel), not here.  0: it
 * is not TCP. */
static uint64_t bytes_of(int client)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &size) == -1)
		return 0;
	return info.tcpi_bytes_received - (info.tcpi_state >= STATE_TIME_WAIT ? 1 : 0);
}

/* Has a worker that has closed it neither read nor sent a byte since it is held?  It has said nothing
 * to its client then: the socket was not closed, because the courier has it. */
static bool is_untouched(struct courier *k, const struct conn *c)
{
	uint64_t came = bytes_of(c->client) - c->said.received;
	struct tcp_info info;
	socklen_t size = sizeof(info);
	ssize_t unread = came > 0 ? peek(c->client, k->in, HTTPHEAD_MOST) : 0;

	return getsockopt(c->client, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
		info.tcpi_state == STATE_ESTABLISHED &&
		info.tcpi_bytes_sent - info.tcpi_bytes_retrans == c->said.sent && unread >= 0 &&
		(uint64_t)unread == (came < HTTPHEAD_MOST ? came : HTTPHEAD_MOST);
}

static bool watch(struct courier *k, const struct conn *c, int fd, int how)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.u32 = (uint32_t)(c - k->conns),
	};

	return epoll_ctl(k->epoll, how, fd, &event) == 0;
}

static void pass(struct courier *k, struct conn *c)
{
	char byte;

	for (int i = 0; i < ROUNDS; i++) {
		ssize_t more = peek(c->client, &byte, 1);

		if (more == -1 && !is_for_later()) {
			finish(k, c, COURIER_LEFT);
			return;
		}
		/* the worker may have read it already, and would answer in between */
		if (c->said.kind == COURIER_ASK &&
			(more > 0 || bytes_of(c->client) > c->said.received)) {
			finish(k, c, COURIER_MIXED);
			return;
		}
		bool moved = pass_answer(k, c);
		if (c->stage != ASKED || !(pass_request(k, c) || moved))
			return;
		c->since = clock_now();
	}
	(void)watch(k, c, c->client, EPOLL_CTL_MOD); /* to be called again */
}

/* Begin with the server, which the connection owns from now on.  `data`: the request, or what is
 * there of it in the client's socket.  False: this cannot be asked. */
static bool begin(struct courier *k, struct conn *c, int server, const char *data, size_t len)
{
	bool taken = c->said.kind == COURIER_ASK; /* with its body */
	struct httphead_request r;
	size_t head;

	c->server = server;
	if (httphead_request(data, len, &r) != HTTPHEAD_OK)
		return false;
	head = httphead_close(k->out, sizeof(k->out), data, r.head);
	c->size = head + (taken ? len - r.head : 0);
	c->request = malloc(c->size);
	c->answer = calloc(1, sizeof(*c->answer));
	if (c->request == NULL || c->answer == NULL || !watch(k, c, server, EPOLL_CTL_ADD))
		return false;
	memcpy(c->request, k->out, head);
	memcpy(c->request + head, data + r.head, c->size - head);
	httpanswer_init(c->answer, r.is_head);
	c->stage = ASKED;
	c->since = clock_now();
	if (!taken) {
		take(k, c->client, r.head);
		c->body = r.has_transfer_encoding ? UINT64_MAX : r.body;
	}
	return true;
}

/* ---- held connections ---- */

static void await(struct courier *k, struct conn *c)
{
	ssize_t got = peek(c->client, k->in, HTTPHEAD_MOST);
	struct httphead_request r;
	enum httphead_verdict verdict;

	if (got == -1 && is_for_later())
		return;
	if (got <= 0) {
		finish(k, c, COURIER_IDLE);
		return;
	}
	verdict = httphead_request(k->in, (size_t)got, &r);
	if (verdict == HTTPHEAD_INCOMPLETE)
		return;
	if (verdict == HTTPHEAD_BAD || r.is_bound) {
		finish(k, c, COURIER_IDLE);
		return;
	}
	c->stage = WANTED;
	c->unsent = true;
	tell(k, c);
}

/* Its worker has ended or closed it: may the courier read it now? */
static void end_hold(struct courier *k, struct conn *c, bool may_read)
{
	if (!may_read || !watch(k, c, c->client, EPOLL_CTL_ADD)) {
		finish(k, c, COURIER_IDLE);
		return;
	}
	c->stage = AWAITED;
	c->since = clock_now();
}

static void drop_rest(struct courier *k, struct conn *c)
{
	ssize_t got = 1;

	for (int i = 0; i < ROUNDS && got > 0; i++)
		got = recv(c->client, k->in, HTTPHEAD_MOST, MSG_DONTWAIT | MSG_TRUNC);
	if (got == 0 || (got == -1 && !is_for_later()))
		finish(k, c, COURIER_LEFT);
	else if (got > 0)
		(void)watch(k, c, c->client, EPOLL_CTL_MOD);
}

static void look_at(struct courier *k, struct conn *c)
{
	if (c->stage == AWAITED)
		await(k, c);
	else if (c->stage == ASKED)
		pass(k, c);
	else if (c->stage == PARTING)
		drop_rest(k, c);
}

/* ---- nclust ---- */

/* The connection of that name, or a free place; NULL: there is none. */
static struct conn *find(struct courier *k, uint64_t cookie)
{
	const uint64_t *at = array_find(its, k->cookies, k->most, *its == cookie);

	return at != NULL ? &k->conns[at - k->cookies] : NULL;
}

/* Does this connection make room before that one?  Held ones do before others. */
static bool goes_before(const struct conn *a, const struct conn *b)
{
	bool same = (a->stage == ASKED) == (b->stage == ASKED);

	return same ? a->since < b->since : b->stage == ASKED;
}

static void make_room(struct courier *k)
{
	struct conn *first = NULL;

	for (size_t i = 0; i < k->most; i++)
		if (!k->conns[i].unsent && (first == NULL || goes_before(&k->conns[i], first)))
			first = &k->conns[i];
	if (first != NULL)
		give_up(k, first);
}

static void add(struct courier *k, const struct courier_packet *p, struct fdpass_message *m)
{
	struct conn *c;
	int server = -1;

	if (k->count == k->most)
		make_room(k);
	c = find(k, 0);
	if (c == NULL || p->cookie == 0)
		return;
	k->count++;
	k->cookies[c - k->conns] = p->cookie;
	*c = (struct conn){
		.said = *p,
		.stage = HELD,
		.client = -1,
		.server = -1,
		.since = clock_now(),
	};
	if (m->fd_count > 0)
		c->client = fd_release(&m->fds[0]);
	if (m->fd_count > 1)
		server = fd_release(&m->fds[1]);
	if (p->kind == COURIER_ASK && p->received == 0)
		c->said.received = bytes_of(c->client);
	if (p->kind == COURIER_HOLD && c->client != -1)
		return;
	if (begin(k, c, server, k->in + m->len - p->size, p->size) &&
		watch(k, c, c->client, EPOLL_CTL_ADD))
		pass(k, c);
	else
		finish(k, c, COURIER_BROKEN);
}

static void take_packet(struct courier *k, const struct courier_packet *p, struct fdpass_message *m)
{
	struct conn *c = find(k, p->cookie);
	ssize_t got;

	switch (p->kind) {
	case COURIER_ASK:
	case COURIER_HOLD:
		add(k, p, m);
		break;
	case COURIER_LET_GO:
	case COURIER_ENDED:
		for (c = k->conns; c < k->conns + k->most; c++)
			if (c->stage == HELD && c->said.worker == p->worker &&
				(p->cookie == 0 || p->cookie == c->said.cookie))
				end_hold(k, c,
					p->kind == COURIER_ENDED ||
						(p->cookie != 0 && is_untouched(k, c)));
		break;
	case COURIER_SERVER:
		if (c == NULL || c->stage != WANTED)
			break;
		got = m->fd_count > 0 ? peek(c->client, k->in, HTTPHEAD_MOST) : 0;
		if (got > 0 && begin(k, c, fd_release(&m->fds[0]), k->in, (size_t)got))
			pass(k, c);
		else
			finish(k, c, got > 0 ? COURIER_BROKEN : COURIER_IDLE);
		break;
	case COURIER_ORDER:
		answerer_obey(k->answerer, k->in + m->len - p->size, p->size, m);
		break;
	default:
		break;
	}
}

static void hear_nclust(struct courier *k)
{
	struct fdpass_message m;
	struct courier_packet p;
	int got;

	while ((got = fdpass_receive(k->channel, k->in, sizeof(k->in), &m)) == 1 && m.len > 0) {
		p = (struct courier_packet){.kind = 0};
		if (!m.cut && (size_t)m.len >= COURIER_PACKET_LEAST)
			memcpy(&p, k->in, (size_t)m.len < sizeof(p) ? (size_t)m.len : sizeof(p));
		if (p.size <= (size_t)m.len - COURIER_PACKET_LEAST)
			take_packet(k, &p, &m);
		fdpass_drop(&m);
	}
	if (got != 0)
		fd_close(&k->channel);
	if (k->full || k->channel == -1)
		tick(k, clock_now());
}

static void run_turn(struct courier *k)
{
	struct epoll_event event;
	nsec_t until = k->count > 0 ? clock_now() + TICK_MS * MSEC : NSEC_NEVER;
	int wait = k->count > 0 ? TICK_MS : -1;
	nsec_t now;

	if (answerer_turn(k->answerer, k->channel, k->epoll, until))
		wait = 0;
	/* one at a time: no event is of a connection that the one before has ended */
	if (epoll_wait(k->epoll, &event, 1, wait) == 1) {
		if (event.data.u32 == CHANNEL)
			hear_nclust(k);
		else
			look_at(k, &k->conns[event.data.u32]);
	}
	now = clock_now();
	if (now >= k->ticked + TICK_MS * MSEC)
		tick(k, now);
}

/* Of the descriptors that the process may have some are for clients of the answerer, and its doors. */
static bool divide(struct courier *k)
{
	struct rlimit limit;
	rlim_t guests;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return false;
	guests = limit.rlim_cur / 8;
	if (guests > ANSWERER_GUESTS_MOST)
		guests = ANSWERER_GUESTS_MOST;
	if (limit.rlim_cur / 2 <= RESERVE + guests)
		return false;
	k->answerer = answerer_new((unsigned)guests);
	k->most = limit.rlim_cur / 2 - RESERVE - guests;
	if (k->most > COURIER_MOST)
		k->most = COURIER_MOST;
	return k->answerer != NULL;
}

int courier_main(int channel, uid_t user)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = CHANNEL};
	struct courier *k = calloc(1, sizeof(*k));

	(void)prctl(PR_SET_NAME, "nclust-courier");
	if (k == NULL || clock_alarm_prepare() == -1 || !divide(k))
		return EX_OSERR;
	k->channel = channel;
	k->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (k->epoll == -1 || epoll_ctl(k->epoll, EPOLL_CTL_ADD, channel, &event) == -1)
		return EX_OSERR;
	if (sandbox_role(user) == -1)
		return EX_NOPERM;
	memory_settle();
	while (k->channel != -1 || k->count > 0 || answerer_has_guests(k->answerer))
		run_turn(k);
	answerer_free(k->answerer);
	(void)close(k->epoll);
	free(k);
	return 0;
}
