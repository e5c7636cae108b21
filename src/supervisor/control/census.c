/* SPDX-License-Identifier: MIT */
#include "supervisor/control/control.h"

#include "base/nsec.h"
#include "os/clock.h"
#include "os/look/remote.h"
#include "os/process.h"
#include "os/socket/sockdiag.h"
#include "supervisor/common/job.h"
#include "supervisor/common/registry.h"
#include "supervisor/sockets/group.h"
#include "supervisor/workers/child.h"

#include <limits.h>
#include <linux/inet_diag.h>
#include <stdlib.h>
#include <sys/mman.h>

/* The longest wait of clients for a census. */
#define PATIENCE (1 * SECOND)
/* A census is used for a second, or longer: counting takes no more than a twentieth
 * of a CPU's time. */
#define HOLDS (1 * SECOND)
#define HOLDS_MOST (10 * SECOND)
#define TREE_MAX 256

enum { STATE_LISTEN = 10 }; /* TCP_... of netinet/tcp.h */

/* A worker, in memory that is shared with the process that counts. */
struct counted {
	uint64_t serial;
	long connections; /* -1: unknown */
};

struct census {
	struct supervisor *sup;
	struct counted *list; /* mapped; NULL: nothing was counted yet */
	size_t count;
	struct job job; /* the process that counts */
	nsec_t began;
	nsec_t counted; /* when the last process ended well, or was late */
	nsec_t again;   /* time before which no new one starts */
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
	long found;
};

static void note_inode(void *context, uint64_t inode)
{
	struct counting *k = context;
	const struct accepted one = {.inode = inode};

	if (inode != 0 && buffer_append(&k->list, &one, sizeof(one)) == -1)
		_exit(EXIT_FAILURE);
}

static void note_tcp(void *context, const struct inet_diag_msg *one, const void *info, size_t size)
{
	struct counting *k = context;

	(void)info;
	(void)size;
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
static bool look_at(void *context, int fd, const char *target)
{
	struct counting *k = context;
	const struct accepted key = {.inode = remote_socket_inode(target)};
	struct accepted *a = key.inode == 0 ? NULL
					    : bsearch(&key, k->list.data, k->list.len / sizeof(key),
						      sizeof(key), by_inode);

	(void)fd;
	if (a != NULL && a->owner != k->owner) {
		a->owner = k->owner;
		k->found++;
	}
	return false;
}

static long count_one(struct counting *k, pid_t pid)
{
	pid_t tree[TREE_MAX];
	size_t count = process_tree(pid, tree, TREE_MAX);

	k->owner++;
	k->found = 0;
	for (size_t i = 0; i < count; i++) {
		struct remote r;

		remote_of(&r, tree[i]);
		r.others = false; /* this process may wait */
		if (remote_each_fd(&r, UINT_MAX, look_at, k) == -1 && i == 0)
			return -1;
	}
	return k->found;
}

static int count_beside(void *owner)
{
	const struct census *x = owner;
	const struct supervisor *sup = x->sup;
	struct child_walk walk = children_of_all(sup);
	struct counting k = {.owner = 0};
	struct child *child;
	size_t i = 0;

	incoming_init(&k.in, sup);
	if (sockdiag_each_tcp(false, note_tcp, &k) == -1)
		return EXIT_FAILURE;
	incoming_each_unix(sup, note_inode, &k);
	if (k.list.len > 0)
		qsort(k.list.data, k.list.len / sizeof(struct accepted), sizeof(struct accepted),
			by_inode);
	while ((child = child_next(&walk)) != NULL && i < x->count)
		x->list[i++].connections = k.list.len > 0 ? count_one(&k, child->pid) : 0;
	return EXIT_SUCCESS;
}

/* ---- in nclust ---- */

static const struct counted *find_counted(const struct census *x, const struct child *child)
{
	const struct counted *of = NULL;

	if (x != NULL && child->census < x->count)
		of = &x->list[child->census];
	return of != NULL && of->serial == child->serial ? of : NULL;
}

static void on_over(void *owner, const struct pidfd_end *end)
{
	struct census *x = owner;
	nsec_t now = clock_now();
	nsec_t holds = TURN_REST * (now - x->began);

	job_end(&x->job);
	x->again = now + (holds < HOLDS ? HOLDS : nsec_min(holds, HOLDS_MOST));
	/* if it took too long, the others have the numbers of the census before */
	if (end == NULL || (!end->signalled && end->code == EXIT_SUCCESS))
		x->counted = now;
	clients_counted(x->sup);
}

static void drop_list(struct counted *list, size_t count)
{
	if (list != NULL)
		(void)munmap(list, count * sizeof(*list));
}

void census_fini(struct supervisor *sup)
{
	struct census *x = sup->control.census;

	if (x == NULL)
		return;
	job_end(&x->job);
	drop_list(x->list, x->count);
	free(x);
	sup->control.census = NULL;
}

/* List the workers, with their results of the last census. */
static int list_workers(struct census *x)
{
	struct child_walk walk = children_of_all(x->sup);
	struct counted *list;
	struct child *child;
	size_t count = 0;
	size_t i = 0;

	while (child_next(&walk) != NULL)
		count++;
	list = mmap(NULL, count * sizeof(*list), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		-1, 0);
	if (list == MAP_FAILED) /* also if there are no workers */
		return -1;
	walk = children_of_all(x->sup);
	while ((child = child_next(&walk)) != NULL) {
		const struct counted *of = find_counted(x, child);

		list[i] = of != NULL ? *of
				     : (struct counted){.serial = child->serial, .connections = -1};
		child->census = (uint32_t)i++;
	}
	drop_list(x->list, x->count);
	x->list = list;
	x->count = count;
	return 0;
}

bool census_begin(struct supervisor *sup)
{
	struct census *x = sup->control.census;

	if (x == NULL)
		x = sup->control.census = calloc(1, sizeof(*x));
	if (x == NULL || x->job.pid != 0)
		return x != NULL;
	x->sup = sup;
	x->began = clock_now();
	return x->began >= x->again && list_workers(x) == 0 &&
		forkjob_begin(&x->job, sup,
			&(struct forkjob_plan){
				.work = count_beside,
				.over = on_over,
				.owner = x,
				.patience = PATIENCE,
				.keep = -1,
			}) == 0;
}

long census_of(const struct child *child)
{
	const struct census *x = child->service->sup->control.census;
	const struct counted *of = find_counted(x, child);

	return of != NULL && clock_now() - x->counted <= HOLDS_MOST ? of->connections : -1;
}
