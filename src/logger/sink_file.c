/* SPDX-License-Identifier: MIT */
#include "logger/sink.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "logger/cluster.h"
#include "os/fdpass.h"

#include <errno.h>
#include <string.h>

#define ASK_AGAIN 1.0
#define ASK_DOUBLED 4       /* failures until the pause, which doubles, is 8 s */
#define ROTATE_LEAST 0.02   /* seconds from one rotation to the next */
#define ASK_UNANSWERED 10.0 /* the supervisor may have been killed */
#define ROTATE_AGAIN 60.0
#define NEXT_PATIENCE 0.5 /* a full file waits so long for the next one */

/* ---- asking ---- */

static int send_ask(const struct sink *o, enum logwire_ask what, const char *text)
{
	struct logwire_packet p = {
		.kind = LOGWIRE_ASK,
		.which = o->index,
		.slot = o->slot,
		.what = what,
		.worker = o->file.inode,
		.sink = o->of->version,
	};

	text_copy(p.cluster, sizeof(p.cluster), o->of->name);
	text_copy(p.text, sizeof(p.text), text);
	return fdpass_send(o->all->channel->fd, &p, sizeof(p), NULL, 0);
}

void sink_ask(struct sink *o, enum logwire_ask what)
{
	if ((o->asked && sink_now(o) < o->ask_again) || o->leaving)
		return;
	if (send_ask(o, what, "") == -1) {
		o->ask_again = sink_now(o) + ASK_AGAIN;
		clusters_need(o->all);
		return;
	}
	o->asked = true;
	o->ask_again = sink_now(o) + ASK_UNANSWERED;
}

/* Write to the next file from now on. */
static void use_next_file(struct sink *o)
{
	ev_io_stop(o->all->loop, &o->writable);
	offload_close(o->all->offload, &o->file.fd, false);
	/* nothing writes to that file any more; if this packet is lost, it stays uncompressed */
	if (o->rotates && !o->leaving)
		(void)send_ask(o, LOGWIRE_ASK_ROTATED, o->name);
	o->rotates = false;
	o->file = o->later;
	o->later.fd = -1;
	ev_io_set(&o->writable, o->file.fd, EV_WRITE);
	if (o->file.born == 0.)
		o->file.born = sink_now(o);
	o->mid_written = false;
	o->try_again = 0.;
	o->sys = 0;
}

/* Even fstat(2) of a file may hang: the supervisor's child has called it, and sends the facts. */
static void take_facts(struct sink *o, const char *text)
{
	uint64_t facts[4] = {0}; /* inode, size, born, device */

	for (size_t i = 0; i < COUNT_OF(facts); i++) {
		text += strspn(text, " ");
		text += text_number(&facts[i], text, strlen(text), UINT64_MAX);
	}
	o->later.inode = facts[0];
	o->later.size = facts[1];
	o->later.born = (ev_tstamp)facts[2];
	o->later.dev = facts[3];
}

/* The pause before the next try: it grows, because each failed try is logged. */
static ev_tstamp again_in(struct sink *o)
{
	o->failures += o->failures < ASK_DOUBLED;
	return ASK_AGAIN * (1U << (o->failures - 1));
}

void sink_opened(struct sink *o, const struct logwire_packet *p, int *fd)
{
	bool rotates = p->what == LOGWIRE_ASK_ROTATE;

	o->asked = false;
	o->ask_again = 0.;
	if (*fd == -1) {
		o->ask_again = sink_now(o) + again_in(o);
		if (rotates)
			o->ask_again = sink_now(o) + ROTATE_AGAIN;
		if (o->file.fd == -1 && o->sys == 0)
			o->sys = p->stream != 0 ? (int)p->stream : ENXIO;
		clusters_need(o->all);
		return;
	}
	o->failures = 0;
	if (rotates)
		o->ask_again = sink_now(o) + ROTATE_LEAST;
	offload_close(o->all->offload, &o->later.fd, false);
	o->later.fd = fd_release(fd);
	take_facts(o, p->text);
	o->rotates |= rotates;
	if (!o->writes && (o->file.fd == -1 || !o->mid_written))
		use_next_file(o);
	sink_flush(o);
}

/* ---- rotation ---- */

static bool is_due(const struct sink *o)
{
	return o->file.inode != 0 && o->later.fd == -1 && o->file.size > 0 &&
		((o->size_max != 0 && o->file.size >= o->size_max) ||
			(o->age_max > 0. && sink_now(o) >= o->file.born + o->age_max));
}

/* Has the next file been asked for?  Then no more is written before it comes. */
static bool awaits_next(const struct sink *o)
{
	return is_due(o) && o->asked && !o->leaving && sink_now(o) >= o->hurry &&
		sink_now(o) < o->ask_again - ASK_UNANSWERED + NEXT_PATIENCE;
}

/* The next file has been asked for, or it is too soon for the next rotation. */
bool sink_file_is_put_off(const struct sink *o)
{
	return awaits_next(o) || (is_due(o) && !o->asked && o->failures == 0);
}

/* Ask for a new file, unless another sink writes to the same file: its lines would be lost. */
static void ask_rotation(struct sink *o)
{
	if (!clusters_share_file(o)) {
		sink_ask(o, LOGWIRE_ASK_ROTATE);
		return;
	}
	log_warn("%s: no new file is begun for '%s', because another place of "
		 "'log' is the same file",
		o->of->name, o->name);
	o->ask_again = sink_now(o) + ROTATE_AGAIN;
}

/* ---- writing ---- */

bool sink_file_is_ready(struct sink *o)
{
	if (o->file.fd == -1 && sink_waiting(o) > 0 && sink_now(o) >= o->ask_again)
		sink_ask(o, LOGWIRE_ASK_OPEN);
	if (is_due(o) && sink_now(o) >= o->ask_again)
		ask_rotation(o);
	if (sink_file_is_put_off(o))
		clusters_need(o->all);
	return o->file.fd != -1 && !awaits_next(o) && sink_has_more(o);
}

/* How much to write at once: all, or up to the line with which this file is full or is left. */
static size_t next_write(const struct sink *o)
{
	const char *data = o->out.data + o->head;
	size_t len = o->out.len - o->head;
	size_t from = 0; /* the write ends with the line that has this byte */
	const char *end;

	if (o->later.fd == -1)
		from = o->file.inode != 0 && o->file.size < o->size_max
			? o->size_max - o->file.size - 1
			: len;
	if (from >= len)
		return len;
	end = memchr(data + from, '\n', len - from);
	return end != NULL ? (size_t)(end - data) + 1 : len;
}

void sink_file_write(struct sink *o)
{
	const struct offload_call call = {
		.kind = OFFLOAD_WRITE,
		.about = o,
		.fd = o->file.fd,
		.from = o->out.data + o->head,
		.len = next_write(o),
	};

	o->writes = cluster_may_write(o->all, o->of) && offload_begin(o->all->offload, &call);
	if (!o->writes) { /* until another write has returned */
		clusters_need(o->all);
		return;
	}
	o->writes_since = sink_now(o);
	o->of->writes++;
}

static void note_written(struct sink *o, size_t len)
{
	sink_note_taken(o, len);
	o->file.size += len;
	if (o->later.fd != -1 && !o->mid_written)
		use_next_file(o);
}

void sink_goes_on(struct sink *o, const struct offload_call *call)
{
	o->writes = false;
	o->of->writes--;
	o->of->dirty = true; /* other sinks may wait for a thread */
	if (call->got > 0)
		note_written(o, (size_t)call->got);
	else if (call->got == -1 && call->error == EAGAIN)
		ev_io_start(o->all->loop, &o->writable);
	else if (call->got == 0 || call->error != EINTR)
		sink_fail(o, call->got == 0 ? ENOSPC : call->error);
	sink_flush(o);
}

void sink_file_close(struct sink *o)
{
	ev_io_stop(o->all->loop, &o->writable);
	offload_close(o->all->offload, &o->file.fd, false);
	offload_close(o->all->offload, &o->later.fd, false);
}
