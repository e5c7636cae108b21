/* SPDX-License-Identifier: MIT */
#include "protocol/notify.h"

#include "base/scope.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ERRNO_MAX 4095 /* the kernel's MAX_ERRNO */

/* A stretch of the datagram. */
struct piece {
	const char *at;
	size_t len;
};

static bool piece_is(struct piece p, const char *word)
{
	return p.len == strlen(word) && memcmp(p.at, word, p.len) == 0;
}

/* A number of digits alone, up to `most`. */
static bool parse_number(uint64_t *n, struct piece p, uint64_t most)
{
	return p.len > 0 && text_number(n, p.at, p.len, most) == p.len;
}

static const struct {
	const char *key;
	size_t offset; /* of a bool */
} flags[] = {
	{"READY", offsetof(struct notify_message, ready)},
	{"RELOADING", offsetof(struct notify_message, reloading)},
	{"STOPPING", offsetof(struct notify_message, stopping)},
	{"WATCHDOG", offsetof(struct notify_message, watchdog)},
};

static void take_trigger(struct notify_message *m, struct piece value)
{
	m->trigger |= piece_is(value, "trigger");
}

static void take_status(struct notify_message *m, struct piece value)
{
	text_escape(m->status, sizeof(m->status), value.at, value.len);
	m->has_status = true;
}

static void take_errno(struct notify_message *m, struct piece value)
{
	uint64_t n;

	if (!parse_number(&n, value, ERRNO_MAX))
		return;
	m->error = (int)n;
	m->has_errno = true;
}

static bool parse_usec(nsec_t *time, struct piece value)
{
	uint64_t usec;

	if (!parse_number(&usec, value, UINT64_MAX))
		return false;
	*time = usec > (uint64_t)(NSEC_NEVER / USEC) ? NSEC_NEVER : (nsec_t)usec * USEC;
	return true;
}

static void take_extend(struct notify_message *m, struct piece value)
{
	m->has_extend |= parse_usec(&m->extend, value);
}

static void take_watchdog_time(struct notify_message *m, struct piece value)
{
	nsec_t time;

	if (!parse_usec(&time, value) || time == 0)
		return;
	m->watchdog_time = time;
	m->has_watchdog_time = true;
}

static const struct {
	const char *key;
	void (*take)(struct notify_message *m, struct piece value);
} keys[] = {
	{"WATCHDOG", take_trigger},
	{"WATCHDOG_USEC", take_watchdog_time},
	{"STATUS", take_status},
	{"ERRNO", take_errno},
	{"EXTEND_TIMEOUT_USEC", take_extend},
};

static void take_line(struct notify_message *m, struct piece line)
{
	const char *equals = memchr(line.at, '=', line.len);
	struct piece key;
	struct piece value;

	if (equals == NULL)
		return;
	key = (struct piece){line.at, (size_t)(equals - line.at)};
	value = (struct piece){equals + 1, line.len - key.len - 1};
	for (size_t i = 0; i < COUNT_OF(flags); i++)
		/* "1", "0"; any other value leaves the flag unchanged */
		if (piece_is(key, flags[i].key) && (piece_is(value, "1") || piece_is(value, "0")))
			*(bool *)((char *)m + flags[i].offset) = *value.at == '1';
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (piece_is(key, keys[i].key))
			keys[i].take(m, value);
}

int notify_decode(struct notify_message *m, const char *data, size_t len)
{
	*m = (struct notify_message){0};
	if (len > 0 && data[len - 1] == '\0')
		len--; /* a C string sent with its end, as systemd allows */
	if (len == 0 || len > NOTIFY_MAX || memchr(data, '\0', len) != NULL)
		return -1;
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t line = end != NULL ? (size_t)(end - data) : len;

		take_line(m, (struct piece){data, line});
		if (end != NULL)
			line++;
		data += line;
		len -= line;
	}
	return 0;
}

size_t notify_encode(char *to, size_t size, const struct notify_message *m, nsec_t monotonic)
{
	char reloading[64] = "";
	char status[4 * sizeof(m->status)] = "";
	char extend[48] = "";
	int n;

	if (m->reloading)
		snprintf(reloading, sizeof(reloading), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n",
			monotonic / USEC);
	if (m->has_extend)
		snprintf(extend, sizeof(extend), "EXTEND_TIMEOUT_USEC=%" PRId64 "\n",
			m->extend / USEC);
	if (m->has_status) /* a newline in it would begin another key */
		text_escape(status, sizeof(status), m->status, strlen(m->status));
	n = snprintf(to, size, "%s%s%s%s%s%s%s%s", m->ready ? "READY=1\n" : "", reloading, extend,
		m->stopping ? "STOPPING=1\n" : "", m->watchdog ? "WATCHDOG=1\n" : "",
		m->has_status ? "STATUS=" : "", status, m->has_status ? "\n" : "");
	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}
