/* SPDX-License-Identifier: MIT */
#include "supervisor/node/node.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/look/look.h"
#include "os/process.h"
#include "protocol/json.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/trouble.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/node/internal.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/ports.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define QUERIES_MOST 65536       /* most bytes of held queries of a spare */
#define PATIENCE (500 * MSEC)    /* with a worker that has no server and its stop signal */
#define LOOKS_MOST (60 * SECOND) /* between two looks whether a worker has finished */

/* ---- sending ---- */

struct nodeipc_writer node_writer(const struct node_worker *w, struct buffer *out)
{
	buffer_init(out, 0);
	return (struct nodeipc_writer){out, w->bun};
}

int node_send(struct node_worker *w, struct buffer *line, int fd)
{
	struct channel *c = w->child->channel;
	int got = -1;

	if (c != NULL && !line->failed)
		got = channel_send(c, line->data, line->len, fd, true);
	if (got == -1)
		fd_close(&fd);
	buffer_fini(line);
	return got;
}

int64_t node_next_seq(struct node_worker *w)
{
	return w->child->service->node->last_seq++;
}

/* ---- stopping ---- */

static bool has_server(const struct node_worker *w)
{
	return w->use_count > 0 || __builtin_popcountll(w->child->listening.uses) > w->closed;
}

/* Could the channel be all that keeps the worker alive?  Not if messages may come for it, which are
 * for every worker that has ever had to do with some. */
static bool may_finish(const struct node_worker *w)
{
	const struct channel *c = w->child->channel;
	const struct cluster_settings *s = child_settings(w->child);

	return !has_server(w) && !w->bun && c != NULL && c->sent + c->received == 0 && s != NULL &&
		s->relay == NULL && s->ipc == IPC_AUTO;
}

/* Is there nothing on its way?  A worker that waits for the answer to a question, and for nothing
 * else, has not finished. */
static bool is_at_rest(const struct channel *c)
{
	int unread;

	return c == NULL || c->io.fd == -1 ||
		(queue_len(&c->out) == 0 && ioctl(c->io.fd, FIONREAD, &unread) == 0 && unread == 0);
}

static bool has_finished(const struct node_worker *w)
{
	struct remote r;
	pid_t tree[2];

	if (child_is_stopping(w->child) || w->queries != NULL ||
		process_tree(w->child->pid, tree, COUNT_OF(tree)) > 1)
		return false;
	remote_of(&r, w->child->pid);
	return waits_for_nothing_but(&r, node_channel_inode(w->child)) &&
		is_at_rest(w->child->channel);
}

/*
 * A worker's end is its stop signal.  Its channel would keep it from exiting when it has finished,
 * so it is asked to disconnect PATIENCE after the signal, or after it has closed its last server
 * since.  That would close servers under the program's own handler, so one that still has some is
 * not asked before half of the time that it has to stop is over.
 */
static void schedule_leave(struct node_worker *w)
{
	nsec_t now = clock_now();

	w->leave_at = now + (has_server(w) ? (child_view(w->child).due - now) / 2 : PATIENCE);
	node_arm(w->child->service->node, w->leave_at);
}

void node_on_stop(struct child *child, int signal)
{
	struct node_worker *w = child->node;

	if (w != NULL && signal != 0 && w->online && !w->leaving)
		schedule_leave(w);
}

/* How much longer the worker is not to be asked; 0: now is the time. */
static nsec_t wait_before_leave(const struct node_worker *w, nsec_t now)
{
	const struct worker_view view = child_view(w->child);

	/* it may have had no CPU to hear of its signal, and would hear of this first */
	if (view.state == SLOT_STOPPING)
		return process_is_runnable(w->child->pid) ? PATIENCE : 0;
	return has_finished(w) ? 0 : nsec_min(now - view.born, LOOKS_MOST);
}

static void take_due_step(struct node_worker *w, nsec_t now)
{
	struct buffer line;
	struct nodeipc_writer to;

	if (!child_is_stopping(w->child) && !may_finish(w))
		w->leave_at = 0;
	if (w->leave_at == 0)
		return;
	if (w->leave_at <= now)
		w->leave_at = now + wait_before_leave(w, now);
	if (w->leave_at > now) {
		node_arm(w->child->service->node, w->leave_at);
		return;
	}
	w->leave_at = 0;
	if (!child_is_stopping(w->child) && !ports_any(w->child, false) &&
		once_say(w->child->service->said, ONCE_NO_PRIMARY))
		log_worker(w->child, LOG_NOTE,
			"worker %d waits for nothing but messages of a primary, and is let "
			"go: " TROUBLE_OWN_PRIMARY,
			(int)w->child->pid);
	to = node_writer(w, &line);
	nodeipc_put_disconnect(&to, node_next_seq(w));
	w->leaving = node_send(w, &line, -1) == 0;
}

/* ---- life ---- */

static void on_timer(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct node_cluster *n = timer->data;
	nsec_t now = clock_now();
	const struct child *c;

	for_each_child (c, children_of(n->service)) {
		if (c->node == NULL)
			continue;
		if (c->node->rests_until > now)
			node_arm(n, c->node->rests_until);
		take_due_step(c->node, now);
	}
	for (struct node_server *s = n->servers; s != NULL; s = s->next)
		node_rr_go_on(s);
}

void node_arm(struct node_cluster *n, nsec_t at)
{
	timer_arm_within(n->service->sup->loop, &n->timer, at - clock_now());
}

struct node_cluster *node_cluster_of(struct service *service)
{
	struct node_cluster *n = service->node;

	if (n != NULL)
		return n;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->service = service;
	/* begin above the numbers that an adopted worker knows already */
	n->last_number = (uint64_t)(clock_now() / MSEC);
	n->last_seq = clock_now() / MSEC;
	timer_init(&n->timer, on_timer, n);
	service->node = n;
	return n;
}

void node_on_drop(struct service *service)
{
	struct node_cluster *n = service->node;

	if (n == NULL)
		return;
	while (n->servers != NULL)
		node_server_free(n->servers);
	ev_timer_stop(service->sup->loop, &n->timer);
	free(n);
	service->node = NULL;
}

struct node_worker *node_worker_of(struct child *child)
{
	struct node_worker *w = child->node;

	if (w != NULL)
		return w;
	if (node_cluster_of(child->service) == NULL)
		return NULL;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->child = child;
	w->given = -1;
	child->node = w;
	return w;
}

void node_on_gone(struct child *child)
{
	struct node_worker *w = child->node;

	if (w == NULL)
		return;
	w->use_count = 0;
	node_rr_left(w);
	free(w->queries);
	free(w->uses);
	free(w);
	child->node = NULL;
}

/* ---- what a worker says ---- */

/* The worker has no script that could join a cluster (node -e, a script on stdin), and waits for
 * ever: starts it again without the message channel. */
static void start_without_channel(struct child *child)
{
	struct recipe *r = recipe_of(child->service, child->generation);

	if (child->life.killed_by_us)
		return;
	log_worker(child, LOG_NOTE,
		"it has no script that can be a worker of Node's cluster "
		"('node -e'?): started again without the message channel");
	if (r != NULL)
		r->runtime = NODE_NONE;
	child_kill_group(child, SIGKILL);
}

static void confirm_leaving(struct node_worker *w, int64_t query)
{
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);

	/* the worker disconnects when it gets this answer */
	nodeipc_put_ack(&to, query, node_next_seq(w));
	(void)node_send(w, &line, -1);
	if (w->leaving)
		return;
	w->leaving = true;
	child_tell(w->child, EVENT_LEAVING, WHY_ITSELF);
}

/* The channel has dropped the handle already. */
static void confirm_handle(
	struct node_worker *w, struct channel *c, const struct nodeipc_message *m)
{
	struct buffer line;
	struct nodeipc_writer to = node_writer(w, &line);

	nodeipc_put_handle_ack(&to);
	(void)node_send(w, &line, -1);
	if (m->body_len > 0)
		messages_from(c, m->body, m->body_len);
}

static void receive_user_message(struct channel *c, const struct nodeipc_message *m)
{
	messages_from(c, m->body, m->body_len);
	if (nodeipc_is_ready(m))
		child_tell(c->child, EVENT_READY, WHY_ITSELF);
	else if (cluster_settings(c->child->service->core)->relay == NULL &&
		once_say(c->child->service->said, ONCE_NO_PRIMARY))
		log_worker(c->child, LOG_NOTE,
			"worker %d sends messages to a primary, and nobody hears "
			"them: " TROUBLE_OWN_PRIMARY "; for the other workers: relay = others",
			(int)c->child->pid);
}

/* Node asks nclust for all sockets that it shares, so that what it binds itself is its own
 * (`exclusive: true`, worker threads); Bun binds all by itself. */
static void note_exclusive(struct node_worker *w)
{
	w->child->trap.exclusive = w->online && !w->bun;
}

static void receive_node_message(
	struct node_worker *w, struct channel *c, struct nodeipc_message *m)
{
	w->bun |= m->bun;
	w->online |= m->kind == NODEIPC_ONLINE;
	note_exclusive(w);
	switch (m->kind) {
	case NODEIPC_QUERY:
		if (!w->online)
			start_without_channel(w->child);
		else if (!c->last && !w->leaving) /* later, Node would throw at the socket */
			node_query(w, m);
		break;
	case NODEIPC_BROKEN:
		if (m->seq >= 0)
			node_answer_error(w, m->seq, EINVAL);
		break;
	case NODEIPC_LISTENING:
		node_listening(w, &m->place);
		break;
	case NODEIPC_CLOSE:
		node_close(w, m->key);
		if (!w->leaving && !has_server(w))
			schedule_leave(w);
		break;
	case NODEIPC_LEAVING:
		confirm_leaving(w, m->seq);
		break;
	case NODEIPC_TAKEN:
		node_rr_answered(w, m->ack, m->accepted);
		break;
	case NODEIPC_HANDLE:
		confirm_handle(w, c, m);
		break;
	case NODEIPC_HANDLE_ACK:
		node_handle_acked(w);
		break;
	case NODEIPC_HANDLE_NACK:
		node_handle_nacked(w);
		break;
	case NODEIPC_ONLINE:
		schedule_leave(w);
		break;
	case NODEIPC_USER:
	case NODEIPC_UNKNOWN:
		break;
	}
}

/* Holds a spare's queries, from the first one, until its release.  False: answer this one now. */
static bool hold_query(struct node_worker *w, const char *line, size_t len)
{
	size_t had = w->queries != NULL ? strlen(w->queries) : 0;
	char *grown;

	if (!w->online || w->bun || !spare_gate_is_shut(w->child) || had + len > QUERIES_MOST)
		return false;
	grown = realloc(w->queries, had + len + 2);
	if (grown == NULL)
		return false;
	memcpy(grown + had, line, len);
	memcpy(grown + had + len, "\n", 2);
	w->queries = grown;
	if (had == 0)
		spare_gate_report(w->child);
	return true;
}

void node_on_line(struct channel *c, const char *line, size_t len)
{
	struct nodeipc_message m;
	struct node_worker *w;

	nodeipc_decode(&m, line, len);
	if (m.kind == NODEIPC_USER) {
		receive_user_message(c, &m);
		return;
	}
	w = node_worker_of(c->child);
	if (w != NULL && (m.kind != NODEIPC_QUERY || !hold_query(w, line, len)))
		receive_node_message(w, c, &m);
	nodeipc_forget(&m);
}

void node_on_release(struct child *child)
{
	struct node_worker *w = child->node;
	char *queries = w != NULL ? w->queries : NULL;
	char *line = queries;
	char *end;

	if (w != NULL)
		w->queries = NULL;
	while (line != NULL && child->channel != NULL && (end = strchr(line, '\n')) != NULL) {
		node_on_line(child->channel, line, (size_t)(end - line));
		line = end + 1;
	}
	free(queries);
}

void node_on_hung_up(struct channel *c)
{
	if (c->child->node != NULL)
		node_rr_left(c->child->node);
}

/* ---- questions ---- */

bool node_is_worker(const struct child *child)
{
	return child->node != NULL && child->node->online && !child->node->bun;
}

bool node_is_away(const struct child *child)
{
	const struct node_worker *w = child->node;

	for (size_t i = 0; w != NULL && i < w->use_count; i++)
		if (node_used(w, i) == NULL || !node_used(w, i)->rr)
			return false;
	return w != NULL && w->use_count > 0;
}

bool node_is_given(const struct child *child)
{
	return child->node != NULL && child->node->given != -1;
}

uint64_t node_channel_inode(const struct child *child)
{
	const struct channel *c = child->node != NULL ? child->channel : NULL;

	return c != NULL && c->io.fd != -1 ? other_end_inode(c->io.fd) : 0;
}

/* Writes the member "node": a worker's id in Node's cluster, and the addresses that it uses. */
void node_on_status_worker(struct json_writer *w, const struct child *child)
{
	const struct node_worker *n = child->node;

	if (n == NULL || !n->online) /* it has not said that it is of Node's cluster module */
		return;
	json_open_member(w, "node", true);
	json_put_int(w, "id", (int64_t)child->serial);
	json_open_list(w, "servers");
	for (size_t i = 0; i < n->use_count; i++)
		if (node_used(n, i) != NULL)
			json_text(w, listener_text(node_used(n, i)->listener));
	json_close_array(w);
	json_close_object(w);
}

/* The worker's channel was kept, so it is a worker of Node's cluster.  Its servers have the sockets
 * that it uses, but nclust does not know under which keys. */
void node_on_adopt(struct child *child)
{
	struct node_worker *w;

	if (child->channel == NULL || child->channel->kind != CHANNEL_NODE)
		return;
	w = node_worker_of(child);
	if (w == NULL)
		return;
	w->online = true;
	note_exclusive(w);
}

/* With `rr` adopted workers get no connections: they are replaced. */
void node_on_adopted(struct service *service)
{
	const struct cluster_settings *s = cluster_settings(service->core);

	if (service->node != NULL &&
		settings_accept(s, cluster_env(s, "NODE_CLUSTER_SCHED_POLICY=")))
		service->saved.roll = true;
}

void node_on_let_go(struct holding *h)
{
	const struct supervisor *sup = h->listener != NULL ? h->listener->sup : NULL;

	for (size_t i = 0; sup != NULL && i < sup->service_count; i++) {
		struct node_cluster *n = sup->services[i]->node;
		struct node_server *s = n != NULL ? n->servers : NULL;

		while (s != NULL) {
			struct node_server *after = s->next;

			if (s->listener == h->listener && h->socket == NULL)
				node_server_free(s);
			else if (s->listener == h->listener && s->rr) {
				node_rr_rest(
					s); /* after a renewal the server's socket may be another one */
				node_arm(n, clock_now());
			}
			s = after;
		}
	}
}

void node_on_go_on(struct supervisor *sup)
{
	struct child *child;

	for_each_child (child, children_of_all(sup))
		if (child->node != NULL)
			note_exclusive(child->node);
	for (size_t i = 0; i < sup->service_count; i++)
		if (sup->services[i]->node != NULL)
			node_arm(sup->services[i]->node, clock_now());
}

uint64_t node_taken(const struct child *child)
{
	return child->node != NULL ? child->node->taken : 0;
}
