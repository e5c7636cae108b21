/* SPDX-License-Identifier: MIT */
#include "nats/natsrole.h"

#include "nats/natslib.h"

#include <sysexits.h>

#ifndef NATSLIB

int natsrole_main(int channel, uid_t user)
{
	(void)channel;
	(void)user;
	return EX_CONFIG;
}

#else

#include "base/buffer.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/privilege.h"
#include "protocol/lineup.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
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
#define BATCH (64U * 1024) /* of what others sent, written at once */
/* What waits for nclust to read it, in messages and bytes. */
#define PENDING_MESSAGES (1 << 20)
#define PENDING_BYTES (16 * 1024 * 1024)
/* A broker that lies about sizes gets no more memory of this machine than this. */
#define MEMORY_MOST (UINT64_C(512) * 1024 * 1024)
#define ANSWER_MS 5000  /* of a broker, when asked whether it is there */
#define WRITE_MS 10000  /* until it reads */
#define ENDING_S 10     /* from the end of the channel to ours */
#define AGAIN_LEAST 250 /* ms, between two tries to connect … */
#define AGAIN_MOST 30000
#define LASTING (10 * SECOND) /* a connection after which it is the least */
#define FOR_EVER (INT64_C(1000) * 86400 * 1000)

struct role {
	struct natslib lib;
	int channel;
	int lost; /* eventfd: the connection has ended */
	int kick; /* eventfd: something was published, or the end has come */
	bool ends;
	pthread_mutex_t writing;
	char *setup; /* heap: the four lines, cut into texts */
	const char *subject;
	natsOptions *options;
	natsConnection *connection;
	natsSubscription *subscription;
	struct lineup lines;
	char *data; /* heap, READ_SIZE */
	bool over;  /* the channel is closed */
	char reason[200];
};

/* ---- to nclust ---- */

static void write_all(struct role *r, const char *data, size_t len)
{
	(void)pthread_mutex_lock(&r->writing);
	while (len > 0) {
		ssize_t n = send(r->channel, data, len, MSG_NOSIGNAL);

		if (n == -1 && errno != EINTR)
			break; /* nclust has ended, which the reader sees, too */
		data += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	(void)pthread_mutex_unlock(&r->writing);
}

static void say(struct role *r, int sign, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void say(struct role *r, int sign, const char *format, ...)
{
	char line[256];
	va_list args;
	int len;

	line[0] = (char)sign;
	va_start(args, format);
	len = vsnprintf(line + 1, sizeof(line) - 2, format, args);
	va_end(args);
	if (len < 0 || (size_t)len > sizeof(line) - 3)
		len = sizeof(line) - 3;
	line[len + 1] = '\n';
	write_all(r, line, (size_t)len + 2);
}

/* ---- from the broker: a thread of its own ---- */

static void put(struct role *r, struct buffer *batch, natsMsg *msg)
{
	const char *data = r->lib.natsMsg_GetData(msg);
	int len = r->lib.natsMsg_GetDataLength(msg);

	if (len > 0 && (size_t)len <= LINE_MOST && *data == '{' &&
		memchr(data, '\n', (size_t)len) == NULL) {
		(void)buffer_append(batch, data, (size_t)len);
		(void)buffer_append(batch, "\n", 1);
	} else {
		say(r, NATSROLE_NONSENSE, "%s", "");
	}
	r->lib.natsMsg_Destroy(msg);
}

static void *receive(void *of)
{
	struct role *r = of;
	struct buffer batch;
	int64_t told = 0;
	int64_t dropped = 0;
	natsStatus s = NATS_OK;

	buffer_init(&batch, 0);
	while (s == NATS_OK || s == NATS_TIMEOUT || s == NATS_SLOW_CONSUMER) {
		natsMsg *msg = NULL;

		/* wait only with nothing in hand */
		s = r->lib.natsSubscription_NextMsg(
			&msg, r->subscription, batch.len > 0 ? 0 : FOR_EVER);
		if (s == NATS_OK)
			put(r, &batch, msg);
		if (batch.len >= BATCH || (batch.len > 0 && s != NATS_OK)) {
			write_all(r, batch.data, batch.len);
			buffer_clear(&batch);
		}
		if (s == NATS_SLOW_CONSUMER &&
			r->lib.natsSubscription_GetDropped(
				r->subscription, &dropped) == NATS_OK &&
			dropped > told)
			say(r, NATSROLE_MISSED, "%" PRId64, dropped - told);
		told = dropped;
	}
	buffer_fini(&batch);
	(void)eventfd_write(r->lost, 1);
	return NULL;
}

/* ---- to the broker ---- */

/* Without the place in libnats: "(conn.c:1905): Authorization Violation". */
static const char *bare(const char *text)
{
	const char *end = *text == '(' ? strstr(text, "): ") : NULL;

	return end != NULL ? end + 3 : text;
}

/* The first reason is the one; several threads may have one. */
static bool failed(struct role *r, natsStatus s, const char *text)
{
	if (s == NATS_OK)
		return false;
	(void)pthread_mutex_lock(&r->writing);
	if (r->reason[0] == '\0')
		(void)snprintf(r->reason, sizeof(r->reason), "%s",
			text != NULL && *text != '\0'
				? bare(text)
				: r->lib.natsStatus_GetText(s));
	(void)pthread_mutex_unlock(&r->writing);
	return true;
}

/* Everything that was published has reached the broker, which answers. */
static bool settle(struct role *r)
{
	return !failed(r,
		r->lib.natsConnection_FlushTimeout(r->connection, ANSWER_MS),
		NULL);
}

/* A thread of its own, so that nobody waits for the answers.  It flushes at once what
 * libnats itself would for a millisecond. */
static void *keep_settling(void *of)
{
	struct role *r = of;
	eventfd_t count;

	do {
		if (eventfd_read(r->kick, &count) == -1)
			continue;
	} while (settle(r) && !__atomic_load_n(&r->ends, __ATOMIC_ACQUIRE));
	(void)eventfd_write(r->lost, 1);
	return NULL;
}

static bool publish(struct role *r, const char *line, size_t len)
{
	natsStatus s = r->lib.natsConnection_Publish(
		r->connection, r->subject, line, (int)len);

	if (s == NATS_MAX_PAYLOAD)
		say(r, NATSROLE_TOO_LARGE, "%zu", len);
	return s == NATS_MAX_PAYLOAD || !failed(r, s, NULL);
}

/* The lines that were read.  After a failure the rest waits for another connection. */
static bool publish_all(struct role *r)
{
	const char *line;
	size_t len;

	while (lineup_next(&r->lines, &line, &len))
		if (!publish(r, line, len)) {
			(void)lineup_keep(&r->lines);
			return false;
		}
	return true;
}

/* Publish what there is to read.  False: the channel or the connection has ended. */
static bool pass(struct role *r)
{
	struct pollfd more = {.fd = r->channel, .events = POLLIN};

	do {
		ssize_t got = recv(r->channel, r->data, READ_SIZE, 0);

		if (got == -1 && errno == EINTR)
			continue;
		r->over = got <= 0;
		if (r->over)
			return false;
		lineup_begin(&r->lines, r->data, (size_t)got);
		if (!publish_all(r))
			return false;
	} while (poll(&more, 1, 0) == 1);
	return eventfd_write(r->kick, 1) == 0;
}

static void pump(struct role *r)
{
	struct pollfd wait[] = {{.fd = r->channel, .events = POLLIN},
		{.fd = r->lost, .events = POLLIN}};

	if (!publish_all(r))
		return;
	do {
		if (poll(wait, COUNT_OF(wait), -1) == -1)
			continue;
		if (wait[1].revents != 0)
			break;
	} while (wait[0].revents == 0 || pass(r));
}

/* ---- the connection ---- */

static bool connect_to(struct role *r)
{
	natsStatus s =
		r->lib.natsConnection_Connect(&r->connection, r->options);

	if (failed(r, s, r->lib.nats_GetLastError(NULL)))
		return false;
	s = r->lib.natsConnection_SubscribeSync(
		&r->subscription, r->connection, r->subject);
	if (s == NATS_OK)
		s = r->lib.natsSubscription_SetPendingLimits(
			r->subscription, PENDING_MESSAGES, PENDING_BYTES);
	return !failed(r, s, NULL) && settle(r);
}

static void disconnect(struct role *r)
{
	const char *text = NULL;
	natsStatus s;

	if (r->connection == NULL)
		return;
	s = r->lib.natsConnection_GetLastError(r->connection, &text);
	(void)failed(r, s, text);
	r->lib.natsConnection_Close(r->connection);
}

/* One connection, from its beginning to its end.  True: it was one. */
static bool live(struct role *r)
{
	pthread_t receiver;
	pthread_t settler;
	eventfd_t count;
	bool settles;
	bool up;

	r->reason[0] = '\0';
	__atomic_store_n(&r->ends, false, __ATOMIC_RELEASE);
	up = connect_to(r) && pthread_create(&receiver, NULL, receive, r) == 0;
	settles = up && pthread_create(&settler, NULL, keep_settling, r) == 0;
	if (settles) {
		say(r, NATSROLE_UP, "%" PRId64,
			r->lib.natsConnection_GetMaxPayload(r->connection));
		pump(r);
	}
	if (r->over) {
		(void)alarm(ENDING_S);
		(void)settle(r);
	}
	__atomic_store_n(&r->ends, true, __ATOMIC_RELEASE);
	disconnect(r);
	if (settles) {
		(void)eventfd_write(r->kick, 1);
		(void)pthread_join(settler, NULL);
	}
	if (up) {
		(void)pthread_join(receiver, NULL);
		(void)eventfd_read(r->lost, &count);
	}
	r->lib.natsSubscription_Destroy(r->subscription);
	r->lib.natsConnection_Destroy(r->connection);
	r->subscription = NULL;
	r->connection = NULL;
	if (!r->over)
		say(r, NATSROLE_DOWN, "%s",
			r->reason[0] != '\0' ? r->reason
					     : "the connection was closed");
	return up;
}

/* Wait, unless nclust has closed the channel; not as long as others do, by the digits
 * of the clock. */
static void rest(struct role *r, int ms)
{
	struct pollfd end = {.fd = r->channel};
	int by_chance = (int)(clock_now() / 1000 % (ms / 2 + 1));

	r->over = poll(&end, 1, ms / 2 + by_chance) == 1;
}

/* ---- the beginning ---- */

/* The next of the four lines, and what is after it. */
static char *cut(char **at)
{
	char *line = *at;
	char *end = line != NULL ? strchr(line, '\n') : NULL;

	*at = end != NULL ? end + 1 : NULL;
	if (end != NULL)
		*end = '\0';
	return end != NULL ? line : NULL;
}

/* They are sent at once, before anything else, but messages may be behind them. */
static char *read_setup(int channel)
{
	struct buffer text;
	unsigned lines = 0;
	char byte;

	buffer_init(&text, 4096);
	while (lines < 4 && recv(channel, &byte, 1, 0) == 1 &&
		buffer_append(&text, &byte, 1) == 0)
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

	for (char *at = strtok_r(hosts, ",", &next);
		at != NULL && count < HOSTS_MOST;
		at = strtok_r(NULL, ",", &next)) {
		(void)snprintf(
			urls[count], sizeof(urls[count]), "nats://%s", at);
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
	natsStatus s;

	r->subject = cut(&at);
	user = cut(&at);
	hosts = cut(&at);
	name = cut(&at);
	if (name == NULL || r->lib.natsOptions_Create(&r->options) != NATS_OK)
		return false;
	s = put_servers(r, hosts);
	if (s == NATS_OK)
		s = put_user(r, user);
	if (s == NATS_OK)
		s = r->lib.natsOptions_SetName(r->options, name);
	if (s == NATS_OK)
		s = r->lib.natsOptions_SetTimeout(r->options, ANSWER_MS);
	if (s == NATS_OK)
		s = r->lib.natsOptions_SetWriteDeadline(r->options, WRITE_MS);
	if (s == NATS_OK)
		s = r->lib.natsOptions_SetMaxPingsOut(r->options, 1);
	if (s == NATS_OK)
		s = r->lib.natsOptions_SetNoEcho(r->options, true);
	if (s == NATS_OK)
		s = r->lib.natsOptions_SetIgnoreDiscoveredServers(
			r->options, true);
	if (s == NATS_OK)
		s = r->lib.natsOptions_SetIOBufSize(r->options, READ_SIZE);
	/* a new connection is made here, where what happens is known */
	if (s == NATS_OK)
		s = r->lib.natsOptions_SetAllowReconnect(r->options, false);
	return s == NATS_OK;
}

int natsrole_main(int channel, uid_t user)
{
	const struct rlimit memory = {MEMORY_MOST, MEMORY_MOST};
	struct role *r = calloc(1, sizeof(*r));
	struct error err;
	int wait = AGAIN_LEAST / 2;

	(void)prctl(PR_SET_NAME, "nclust-nats");
	if (r == NULL || setrlimit(RLIMIT_DATA, &memory) == -1)
		return EX_OSERR;
	if (natslib_open(&r->lib) != NULL)
		return EX_CONFIG;
	if (privilege_shed(user, &err) == -1)
		return EX_NOPERM;
	r->channel = channel;
	r->lost = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->kick = eventfd(0, EFD_CLOEXEC);
	r->data = malloc(READ_SIZE);
	lineup_init(&r->lines, LINE_MOST);
	if (r->lost == -1 || r->kick == -1 || r->data == NULL || !set_up(r) ||
		pthread_mutex_init(&r->writing, NULL) != 0)
		return EX_OSERR;
	while (!r->over) {
		nsec_t begun = clock_now();

		wait = live(r) && clock_now() - begun > LASTING ? AGAIN_LEAST
								: wait * 2;
		if (wait > AGAIN_MOST)
			wait = AGAIN_MOST;
		if (!r->over)
			rest(r, wait);
	}
	return 0; /* what is left, libnats' threads may still use */
}

#endif
