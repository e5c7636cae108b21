/* SPDX-License-Identifier: MIT */
#include "supervisor/control/census.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "base/trusted.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/look/remote.h"
#include "os/process.h"
#include "os/socket/sockdiag.h"
#include "supervisor/common/job.h"
#include "supervisor/common/registry.h"
#include "supervisor/control/status.h"
#include "supervisor/sockets/incoming.h"

#include <linux/inet_diag.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The longest wait of clients for a census. */
#define PATIENCE (1 * SECOND)
/* A census is used for a second; where the next one is late, for longer. */
#define HOLDS (1 * SECOND)
#define HOLDS_MOST (10 * SECOND)
#define DESCRIPTORS_MAX 100000U /* of a process of a worker */

enum { STATE_LISTEN = 10 }; /* TCP_... of netinet/tcp.h */

/* What the process that counts writes of each worker. */
struct counted {
	uint64_t serial;
	pid_t pid;
	uint32_t connections; /* one more than there are; 0: unknown */
};

/* ---- in the process that counts ---- */

struct accepted {
	uint64_t inode;
	size_t owner; /* the last worker that was found to have it, from 1 on */
};

struct counting {
	struct buffer list; /* struct accepted: all connections of the machine, by inode */
	struct incoming in; /* sockets where nclust listens */
	size_t owner;
	uint32_t found;
};

static void note_inode(void *context, uint64_t inode)
{
	struct counting *k = context;
	const struct accepted one = {.inode = inode};

	if (inode != 0 && buffer_append(&k->list, &one, sizeof(one)) == -1)
		_exit(EXIT_FAILURE);
}

static void note_tcp(
	void *context, const struct inet_diag_msg *one, const void *info UNUSED, size_t size UNUSED)
{
	struct counting *k = context;

	if (incoming_has(&k->in, ntohs(one->id.idiag_sport)) && one->idiag_state != STATE_LISTEN)
		note_inode(k, one->idiag_inode);
}

static int by_inode(const void *a, const void *b)
{
	const struct accepted *one = a;
	const struct accepted *other = b;

	return (one->inode > other->inode) - (one->inode < other->inode);
}

/* A connection that several processes of a worker have counts once. */
static bool look_at(void *context, int fd UNUSED, const char *target)
{
	struct counting *k = context;
	const struct accepted key = {.inode = remote_socket_inode(target)};
	struct accepted *a = key.inode == 0
		? NULL
		: bsearch(&key, k->list.data, k->list.len / sizeof(key), sizeof(key), by_inode);

	if (a != NULL && a->owner != k->owner) {
		a->owner = k->owner;
		k->found++;
	}
	return false;
}

/* One more than the worker has; 0: unknown. */
static uint32_t count_one(struct counting *k, pid_t pid)
{
	pid_t tree[PROCESS_TREE_MOST];
	size_t count = process_tree(pid, tree, PROCESS_TREE_MOST);

	k->owner++;
	k->found = 0;
	for (size_t i = 0; i < count; i++) {
		struct remote r;

		remote_of(&r, tree[i]);
		r.others = false; /* this process may wait */
		if (remote_each_fd(&r, DESCRIPTORS_MAX, look_at, k) == -1 && i == 0)
			return 0;
	}
	return k->found + 1;
}

static int count_beside(void *owner)
{
	const struct supervisor *sup = owner;
	struct counting k = {.owner = 0};
	const struct child *child;

	incoming_init(&k.in, sup);
	if (sockdiag_each_tcp(false, note_tcp, &k) == -1)
		return EXIT_FAILURE;
	incoming_each_unix(sup, note_inode, &k);
	if (k.list.len > 0)
		qsort(k.list.data, k.list.len / sizeof(struct accepted), sizeof(struct accepted),
			by_inode);
	for_each_child (child, children_of_all(sup)) {
		const struct counted one = {
			child->serial, child->pid, k.list.len > 0 ? count_one(&k, child->pid) : 1};

		if (write(ASIDE_FD, &one, sizeof(one)) != sizeof(one))
			return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/* ---- in nclust ---- */

/* How many workers were counted? */
static size_t take_counts(struct supervisor *sup)
{
	size_t len;
	scoped_str list = read_whole(sup->control.census.answer, HANDOVER_SIZE_MAX, &len);
	struct counted one;
	size_t at = 0;

	for (; list != NULL && at + sizeof(one) <= len; at += sizeof(one)) {
		struct child *child;

		memcpy(&one, list + at, sizeof(one));
		child = child_by_pid(sup, one.pid);
		if (child != NULL && child->serial == one.serial)
			child->connections = one.connections;
	}
	return at / sizeof(one);
}

static void on_over(void *owner, const struct pidfd_end *end UNUSED)
{
	struct supervisor *sup = owner;
	struct census *x = &sup->control.census;
	nsec_t now = clock_now();

	job_end(&x->job);
	x->again = now + HOLDS;
	/* if it took too long, the others have the numbers of the census before */
	if (take_counts(sup) > 0)
		x->counted = now;
	fd_close(&x->answer);
	clients_counted(sup);
}

void census_fini(struct supervisor *sup)
{
	struct census *x = &sup->control.census;

	if (x->job.pid == 0)
		return;
	job_end(&x->job);
	fd_close(&x->answer);
}

bool census_begin(struct supervisor *sup)
{
	struct census *x = &sup->control.census;

	if (x->job.pid != 0)
		return true;
	if (clock_now() < x->again)
		return false;
	x->answer = memfd_make("nclust-census");
	if (x->answer != -1 &&
		forkjob_begin(&x->job, sup,
			&(struct forkjob_plan){
				.work = count_beside,
				.over = on_over,
				.owner = sup,
				.patience = PATIENCE,
				.keep = x->answer,
			}) == 0)
		return true;
	fd_close(&x->answer);
	return false;
}

long census_of(const struct child *child)
{
	nsec_t counted = child->service->sup->control.census.counted;

	return clock_now() - counted <= HOLDS_MOST ? (long)child->connections - 1 : -1;
}
