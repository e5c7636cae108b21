/* SPDX-License-Identifier: MIT */
#include "logger/drops.h"

#include "base/text.h"
#include "os/fdpass.h"
#include "protocol/logwire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EACH 1.0
#define SOON 0.01

static void arm(struct drops *d, double after)
{
	ev_timer_stop(d->loop, &d->told);
	ev_timer_set(&d->told, after, 0.0);
	ev_timer_start(d->loop, &d->told);
}

/* True: there were any.  What the channel does not take goes later. */
static bool report(
	const struct drops *d, enum logwire_kind kind, const char *cluster, uint64_t *lines)
{
	struct logwire_packet p = {.kind = kind, .worker = *lines};

	if (*lines == 0 || d->channel == -1)
		return false;
	(void)text_copy(p.cluster, sizeof(p.cluster), cluster);
	if (fdpass_send(d->channel, &p, sizeof(p), NULL, 0) == 0)
		*lines = 0;
	return true;
}

static void on_told(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct drops *d = timer->data;
	bool more = false;

	(void)loop;
	(void)revents;
	d->hurried = false;
	for (struct drops_of *of = d->list; of != NULL; of = of->next) {
		d->hurried |= report(d, LOGWIRE_DROPPED, of->cluster, &of->lines);
		more |= report(d, LOGWIRE_LINES, of->cluster, &of->read);
	}
	if (more || d->hurried)
		arm(d, EACH);
}

void drops_init(struct drops *d, struct ev_loop *loop, int channel)
{
	*d = (struct drops){.loop = loop, .channel = channel};
	ev_init(&d->told, on_told);
	d->told.data = d;
}

void drops_fini(struct drops *d)
{
	ev_timer_stop(d->loop, &d->told);
	while (d->list != NULL) {
		struct drops_of *of = d->list;

		d->list = of->next;
		free(of);
	}
}

struct drops_of *drops_of(struct drops *d, const char *cluster)
{
	struct drops_of *of = d->list;

	while (of != NULL && strcmp(of->cluster, cluster) != 0)
		of = of->next;
	if (of != NULL)
		return of;
	of = calloc(1, sizeof(*of));
	if (of == NULL)
		return NULL;
	(void)text_copy(of->cluster, sizeof(of->cluster), cluster);
	of->next = d->list;
	d->list = of;
	return of;
}

void drops_sweep(struct drops *d)
{
	struct drops_of **at = &d->list;

	while (*at != NULL) {
		struct drops_of *of = *at;

		if (!of->used && of->lines == 0 && of->read == 0) {
			*at = of->next;
			free(of);
			continue;
		}
		of->used = false;
		at = &of->next;
	}
}

void drops_add(struct drops *d, const char *cluster, unsigned long lines)
{
	struct drops_of *of = d->loop != NULL ? drops_of(d, cluster) : NULL;

	if (of == NULL || lines == 0)
		return;
	of->lines += lines;
	if (d->hurried)
		return;
	/* what is lost in the same moment goes with it */
	d->hurried = true;
	arm(d, SOON);
}

void drops_line(struct drops *d, struct drops_of *of)
{
	of->read++;
	if (!ev_is_active(&d->told))
		arm(d, EACH);
}

bool drops_say(char *to, size_t size, unsigned long lines, const char *why)
{
	int n = snprintf(to, size, "nclust: %lu line%s of output %s dropped, %s", lines,
		lines == 1 ? "" : "s", lines == 1 ? "was" : "were", why);

	return n > 0 && (size_t)n < size;
}

/* The cluster before a line; false: it has none. */
static bool cluster_of(char to[65], const char *line, size_t len)
{
	const char *name = line;
	const char *end;
	const char *dot;

	if (len > 0 && *line == '\x1b') {
		name = memchr(line, 'm', len);
		name = name != NULL ? name + 1 : line;
	}
	end = memchr(name, ' ', len - (size_t)(name - line));
	dot = end != NULL ? memrchr(name, '.', (size_t)(end - name)) : NULL;
	if (dot == NULL || dot - name >= 65)
		return false;
	(void)memcpy(to, name, (size_t)(dot - name));
	to[dot - name] = '\0';
	return text_is_name(to);
}

void drops_add_named(struct drops *d, const char *text, size_t len)
{
	char cluster[65];

	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end != NULL ? (size_t)(end - text) + 1 : len;

		if (cluster_of(cluster, text, n))
			drops_add(d, cluster, 1);
		text += n;
		len -= n;
	}
}
