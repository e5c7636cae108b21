/* SPDX-License-Identifier: MIT */
#include "nats/natsrole.h"

#include "base/scope.h"
#include "nats/natslib.h"

#include <sysexits.h>

#ifndef NATSLIB

int natsrole_main(int channel UNUSED, uid_t user UNUSED)
{
	return EX_CONFIG;
}

#else

#include "base/nsec.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/privilege.h"
#include "protocol/line_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define HOSTS_MOST 16
#define READ_SIZE (256U * 1024)
#define LINE_MOST (1024U * 1024 + 1024)
#define BATCH (64U * 1024) /* of messages from other machines, written at once */
/* Messages that wait for nclust to read them: their number and bytes. */
#define PENDING_MESSAGES (1 << 20)
#define PENDING_BYTES (16 * 1024 * 1024)
/* A broker that lies about sizes gets no more memory of this machine than this. */
#define MEMORY_MOST (UINT64_C(512) * 1024 * 1024)
#define KEPT_MOST (2 * 1024 * 1024)
#define ANSWER_MS 5000  /* the longest wait for a broker's answer */
#define ASK_MS 100      /* between two questions to the broker, while messages go to it */
#define LOOK_MS 120000  /* the same while none do */
#define ENDING_S 10     /* from the end of the channel to the end of this process */
#define AGAIN_LEAST 250 /* ms, between two tries to connect */
#define AGAIN_MOST 30000
#define LASTING (10 * SECOND) /* a connection of this length resets the pause to the least */
/* What the settler has found: it writes this, and the main thread reads it. */
enum settled { NOT_YET, SETTLED, ENDED };

struct role {
	struct natslib lib;
	pthread_t self;
	int channel;
	int socket;  /* the connection's, or -1 */
	int kick;    /* eventfd, to the settler: a message was published, or `ends` */
	int wake;    /* eventfd, to the main thread: `writes` or `settled` is new */
	bool writes; /* libnats has data for the socket */
	bool ends;   /* the settler is to ask once more, and to end */
	enum settled settled;
	natsStatus verdict; /* the settler's, once it has ended */
	char *setup;        /* heap: the four lines, cut into texts */
	const char *subject;
	natsOptions *options;
	natsConnection *connection;
	natsSubscription *subscription;
	int64_t dropped; /* messages that the subscription has dropped, as reported */
	bool arrived;    /* the subscription may have messages */
	bool up;         /* nclust was told that the broker is connected */
	struct line_reader lines;
	const char *line; /* not published yet, in `lines`; or NULL */
	size_t len;
	char *data;        /* heap, READ_SIZE */
	struct buffer out; /* for nclust */
	bool over;         /* the channel is closed */
};

#define GET(member) __atomic_load_n(&(member), __ATOMIC_ACQUIRE)
#define SET(member, value) __atomic_store_n(&(member), value, __ATOMIC_RELEASE)

/* ---- to nclust ---- */

static void flush_out(struct role *r, int flags)
{
	while (r->out.len > 0) {
		ssize_t n = send(r->channel, r->out.data, r->out.len, flags | MSG_NOSIGNAL);

		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1 && errno != EINTR)
			n = (ssize_t)r->out.len; /* at the end, what is read is dropped too */
		buffer_consume(&r->out, n > 0 ? (size_t)n : 0);
	}
}

static void put_sign(struct role *r, int sign, const char *text)
{
	buffer_printf(&r->out, "%c%.200s\n", sign, text);
}

static void say_number(struct role *r, int sign, int64_t number)
{
	buffer_printf(&r->out, "%c%" PRId64 "\n", sign, number);
}

static void put_message(struct role *r, natsMsg *msg)
{
	const char *data = r->lib.natsMsg_GetData(msg);
	int len = r->lib.natsMsg_GetDataLength(msg);

	if (len > 0 && (size_t)len <= LINE_MOST && *data == '{' &&
		memchr(data, '\n', (size_t)len) == NULL) {
		buffer_append(&r->out, data, (size_t)len);
		buffer_append(&r->out, "\n", 1);
	} else {
		put_sign(r, NATSROLE_NONSENSE, "");
	}
	r->lib.natsMsg_Destroy(msg);
}

static void say_missed(struct role *r)
{
	int64_t dropped = 0;

	if (r->lib.natsSubscription_GetDropped(r->subscription, &dropped) == NATS_OK &&
		dropped > r->dropped)
		say_number(r, NATSROLE_MISSED, dropped - r->dropped);
	r->dropped = dropped;
}

/* Write messages that have arrived, as long as nclust reads them.  The rest waits in
 * libnats, up to a bound. */
static void deliver_messages(struct role *r)
{
	natsMsg *msg;
	natsStatus s;

	flush_out(r, MSG_DONTWAIT);
	while (r->arrived && r->out.len == 0) {
		do {
			s = r->lib.natsSubscription_NextMsg(&msg, r->subscription, 0);
			if (s == NATS_OK)
				put_message(r, msg);
			else if (s == NATS_SLOW_CONSUMER)
				say_missed(r);
			else
				r->arrived = false;
		} while (r->arrived && r->out.len < BATCH);
		flush_out(r, MSG_DONTWAIT);
	}
}

/* ---- to the broker ---- */

/* A thread of its own, as libnats waits for the answer: has the broker everything
 * that was published, and does it answer? */
static void *keep_settling(void *of)
{
	struct role *r = of;
	struct pollfd kick = {.fd = r->kick, .events = POLLIN};
	struct pollfd end = {.fd = r->channel};
	eventfd_t count;
	bool last;

	do {
		(void)poll(&kick, 1, LOOK_MS);
		(void)eventfd_read(r->kick, &count);
		last = GET(r->ends);
		r->verdict = r->lib.natsConnection_FlushTimeout(r->connection, ANSWER_MS);
		if (r->verdict != NATS_OK || last)
			break;
		if (r->settled == NOT_YET) {
			SET(r->settled, SETTLED);
			(void)eventfd_write(r->wake, 1);
		}
		(void)poll(&end, 1, ASK_MS);
	} while (true);
	SET(r->settled, ENDED);
	(void)eventfd_write(r->wake, 1);
	return NULL;
}

/* Publish the lines that were read.  A failure ends the connection: that line and the rest wait
 * in r->data for another one. */
static void publish_all(struct role *r)
{
	while (r->line != NULL || line_reader_next(&r->lines, &r->line, &r->len)) {
		natsStatus s = r->lib.natsConnection_Publish(
			r->connection, r->subject, r->line, (int)r->len);

		if (s == NATS_MAX_PAYLOAD) {
			put_sign(r, NATSROLE_TOO_LARGE, "");
		} else if (s != NATS_OK) {
			r->socket = -1;
			break;
		}
		r->line = NULL;
	}
	(void)eventfd_write(r->kick, 1);
}

/* A thread of its own, because libnats may be connecting, to one host after the other: wait for
 * the channel's end. */
static void *await_end(void *of)
{
	struct role *r = of;
	struct pollfd end = {.fd = r->channel};

	while (poll(&end, 1, -1) != 1)
		continue;
	(void)alarm(ENDING_S);
	return NULL;
}

/* Let the settler end, after one more question to the broker. */
static void let_end(struct role *r)
{
	SET(r->ends, true);
	(void)eventfd_write(r->kick, 1);
}

static void read_channel(struct role *r)
{
	ssize_t got = recv(r->channel, r->data, READ_SIZE, MSG_DONTWAIT);

	if (got == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	r->over = got <= 0;
	if (r->over) {
		let_end(r);
		return;
	}
	line_reader_begin(&r->lines, r->data, (size_t)got);
	publish_all(r);
}

/* Events to wait for at the channel.  Messages that the broker does not take wait at
 * nclust. */
static short waits_for(struct role *r)
{
	bool reads =
		r->up && !r->over && r->lib.natsConnection_Buffered(r->connection) < (int)READ_SIZE;

	return (short)((reads ? POLLIN : 0) | (r->out.len > 0 ? POLLOUT : 0));
}

/* Pass messages on until the connection or the channel has ended. */
static void pass_messages(struct role *r)
{
	struct pollfd wait[3] = {{.fd = r->wake, .events = POLLIN}};
	eventfd_t count;

	while (r->socket != -1 && GET(r->settled) != ENDED) {
		wait[1] = (struct pollfd){
			.fd = r->socket, .events = GET(r->writes) ? POLLIN | POLLOUT : POLLIN};
		wait[2] = (struct pollfd){.fd = r->channel, .events = waits_for(r)};
		if (wait[2].events == 0)
			wait[2].fd = -1;
		if (poll(wait, COUNT_OF(wait), -1) == -1)
			continue;
		if (wait[0].revents != 0)
			(void)eventfd_read(r->wake, &count);
		if ((wait[1].revents & ~POLLOUT) != 0) {
			r->lib.natsConnection_ProcessReadEvent(r->connection);
			r->arrived = true;
		}
		if (!r->up && GET(r->settled) == SETTLED) {
			r->up = true;
			say_number(
				r, NATSROLE_UP, r->lib.natsConnection_GetMaxPayload(r->connection));
			publish_all(r);
		}
		deliver_messages(r);
		if ((wait[2].revents & ~POLLOUT) != 0 && (wait[2].events & POLLIN) != 0)
			read_channel(r);
		if (GET(r->writes))
			r->lib.natsConnection_ProcessWriteEvent(r->connection);
	}
}

/* ---- libnats lets us wait ---- */

static natsStatus on_attach(void **of, void *role, natsConnection *connection UNUSED, natsSock fd)
{
	struct role *r = *of = role;

	r->socket = fd;
	return NATS_OK;
}

static natsStatus on_detach(void *of)
{
	struct role *r = of;

	r->socket = -1;
	return NATS_OK;
}

static natsStatus on_reads(void *of, bool on)
{
	return on ? NATS_OK : on_detach(of);
}

static natsStatus on_writes(void *of, bool on)
{
	struct role *r = of;

	SET(r->writes, on);
	if (on && !pthread_equal(pthread_self(), r->self))
		(void)eventfd_write(r->wake, 1);
	return NATS_OK;
}

/* ---- the connection ---- */

static natsStatus connect_to(struct role *r)
{
	const struct natslib *l = &r->lib;
	natsStatus s = l->natsConnection_Connect(&r->connection, r->options);

	if (s == NATS_OK)
		s = l->natsConnection_SubscribeSync(&r->subscription, r->connection, r->subject);
	if (s == NATS_OK)
		s = l->natsSubscription_SetPendingLimits(
			r->subscription, PENDING_MESSAGES, PENDING_BYTES);
	return s;
}

static void say_down(struct role *r, natsStatus s, const char *text)
{
	const char *end;

	if (text == NULL || *text == '\0')
		text = s != NATS_OK ? r->lib.natsStatus_GetText(s) : "the connection was closed";
	/* skip libnats' own place in an error: "(conn.c:1905): Authorization Violation" */
	end = *text == '(' ? strstr(text, "): ") : NULL;
	put_sign(r, NATSROLE_DOWN, end != NULL ? end + 3 : text);
	flush_out(r, 0);
}

/* One connection, from its beginning to its end.  True: it was made. */
static bool run_connection(struct role *r)
{
	const char *text = NULL;
	pthread_t settler;
	natsStatus s;
	bool settles;

	r->settled = NOT_YET;
	r->up = r->ends = r->writes = r->arrived = false;
	r->dropped = 0;
	s = connect_to(r);
	if (s != NATS_OK)
		text = r->lib.nats_GetLastError(NULL);
	(void)eventfd_write(r->kick, 1);
	settles = s == NATS_OK && pthread_create(&settler, NULL, keep_settling, r) == 0;
	if (settles) {
		pass_messages(r);
		let_end(r);
	}
	r->lib.natsConnection_Close(r->connection);
	if (settles) {
		(void)pthread_join(settler, NULL);
		s = r->verdict;
		if (s != NATS_TIMEOUT)
			s = r->lib.natsConnection_GetLastError(r->connection, &text);
	}
	if (!r->over)
		say_down(r, s, text);
	r->lib.natsSubscription_Destroy(r->subscription);
	r->lib.natsConnection_Destroy(r->connection);
	r->subscription = NULL;
	r->connection = NULL;
	return r->up;
}

/* Wait, unless nclust has closed the channel; with random digits of the clock, so
 * that not all processes wait equally long. */
static void pause_for(struct role *r, int ms)
{
	struct pollfd end = {.fd = r->channel};
	int by_chance = (int)(clock_now() / 1000 % (ms / 2 + 1));

	r->over = poll(&end, 1, ms / 2 + by_chance) == 1;
}

/* The next of the four lines; *at is moved behind it. */
static char *cut_line(char **at)
{
	char *line = *at;
	char *end = line != NULL ? strchr(line, '\n') : NULL;

	*at = end != NULL ? end + 1 : NULL;
	if (end != NULL)
		*end = '\0';
	return end != NULL ? line : NULL;
}

/* nclust sends the four lines at once, first, but messages may follow in the same read. */
static char *read_setup(int channel)
{
	struct buffer text;
	unsigned lines = 0;
	char byte;

	buffer_init(&text, 4096);
	while (lines < 4 && recv(channel, &byte, 1, 0) == 1 && buffer_append(&text, &byte, 1) == 0)
		lines += byte == '\n';
	if (lines < 4 || buffer_text(&text) == NULL)
		buffer_fini(&text);
	return text.data;
}

static natsStatus put_servers(struct role *r, char *hosts)
{
	char urls[HOSTS_MOST][300];
	const char *list[HOSTS_MOST];
	int count = 0;
	char *next;

	for (char *at = strtok_r(hosts, ",", &next); at != NULL && count < HOSTS_MOST;
		at = strtok_r(NULL, ",", &next)) {
		snprintf(urls[count], sizeof(urls[count]), "nats://%s", at);
		list[count] = urls[count];
		count++;
	}
	return r->lib.natsOptions_SetServers(r->options, list, count);
}

static natsStatus put_user(struct role *r, char *user)
{
	char *password = strchr(user, ':');

	if (*user == '\0')
		return NATS_OK;
	if (password == NULL)
		return r->lib.natsOptions_SetToken(r->options, user);
	*password++ = '\0';
	return r->lib.natsOptions_SetUserInfo(r->options, user, password);
}

static bool set_up(struct role *r)
{
	char *at = r->setup = read_setup(r->channel);
	char *user;
	char *hosts;
	char *name;
	const struct natslib *l = &r->lib;

	r->subject = cut_line(&at);
	user = cut_line(&at);
	hosts = cut_line(&at);
	name = cut_line(&at);
	return name != NULL && l->natsOptions_Create(&r->options) == NATS_OK &&
		put_servers(r, hosts) == NATS_OK && put_user(r, user) == NATS_OK &&
		l->natsOptions_SetName(r->options, name) == NATS_OK &&
		l->natsOptions_SetTimeout(r->options, ANSWER_MS) == NATS_OK &&
		l->natsOptions_SetEventLoop(
			r->options, r, on_attach, on_reads, on_writes, on_detach) == NATS_OK &&
		/* no ping thread of libnats' own, which would ask the broker, too */
		l->natsOptions_SetSendAsap(r->options, true) == NATS_OK &&
		l->natsOptions_SetPingInterval(r->options, 0) == NATS_OK &&
		l->natsOptions_SetNoEcho(r->options, true) == NATS_OK &&
		l->natsOptions_SetIgnoreDiscoveredServers(r->options, true) == NATS_OK &&
		l->natsOptions_SetIOBufSize(r->options, READ_SIZE) == NATS_OK &&
		/* connections are made anew here, where their state is known */
		l->natsOptions_SetAllowReconnect(r->options, false) == NATS_OK;
}

int natsrole_main(int channel, uid_t user)
{
	const struct rlimit memory = {MEMORY_MOST, MEMORY_MOST};
	struct role *r = calloc(1, sizeof(*r));
	struct error err;
	int wait = AGAIN_LEAST / 2;
	pthread_t watcher;

	(void)prctl(PR_SET_NAME, "nclust-nats");
	if (r == NULL || setrlimit(RLIMIT_DATA, &memory) == -1)
		return EX_OSERR;
	if (natslib_open(&r->lib) != NULL)
		return EX_CONFIG;
	/* keep memory that messages take and give back all the time */
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_MOST);
	(void)mallopt(M_MMAP_THRESHOLD, KEPT_MOST);
	if (privilege_shed(user, &err) == -1)
		return EX_NOPERM;
	r->self = pthread_self();
	r->channel = channel;
	r->socket = -1;
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->data = malloc(READ_SIZE);
	buffer_init(&r->out, 0);
	line_reader_init(&r->lines, LINE_MOST);
	if (r->wake == -1 || r->kick == -1 || r->data == NULL)
		return EX_OSERR;
	if (!set_up(r) || pthread_create(&watcher, NULL, await_end, r) != 0)
		return EX_UNAVAILABLE;
	while (!r->over) {
		nsec_t begun = clock_now();

		wait = run_connection(r) && clock_now() - begun > LASTING ? AGAIN_LEAST : wait * 2;
		if (wait > AGAIN_MOST)
			wait = AGAIN_MOST;
		if (!r->over)
			pause_for(r, wait);
	}
	return 0; /* threads of libnats may still use what is left */
}

#endif
