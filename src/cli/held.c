/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/render.h"
#include "config/address.h"
#include "os/look/remote.h"
#include "os/process.h"
#include "os/socket/endpoint.h"
#include "os/socket/sockdiag.h"
#include "os/socket/socket.h"
#include "os/socket/socket_unix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 4096 /* descriptors of one process that are looked at */

struct look {
	struct held *held;
	const struct trial *trial;
	pid_t pid; /* the process that is looked at now */
	struct {
		int fd;
		uint64_t inode;
	} sockets[DESCRIPTORS_MAX];
	size_t count;
};

const struct held_socket *held_find(const struct held *held, uint64_t inode, const char *text)
{
	const struct held_socket *alike = NULL;

	for (size_t i = 0; i < held->count; i++)
		if (held->list[i].inode == inode)
			return &held->list[i];
		else if (strcmp(held->list[i].text, text) == 0)
			alike = &held->list[i];
	return alike;
}

/* ---- sockets ---- */

/* May the kernel choose this port for a client?  A UDP socket there asks, and waits for answers. */
static bool is_ephemeral(unsigned port)
{
	unsigned range[2];
	char text[64];

	(void)process_read_path("/proc/sys/net/ipv4/ip_local_port_range", text, sizeof(text));
	return sscanf(text, "%u %u", &range[0], &range[1]) == 2 && port >= range[0] &&
		port <= range[1];
}

/* Write the address at which clients can reach the socket; where they cannot, `text`
 * stays unchanged. */
static void find_place(int fd, char text[HELD_TEXT])
{
	struct socket_facts facts;
	union endpoint peer;
	struct error err;
	bool is_place;

	if (socket_look(fd, &facts, &err) == -1)
		return;
	if (facts.family == AF_UNIX || facts.type != SOCK_DGRAM)
		is_place = facts.listening;
	else
		is_place = facts.port != 0 && !is_ephemeral(facts.port) &&
			socket_other(fd, &peer) == 0;
	if (is_place)
		text_copy(text, HELD_TEXT, facts.text);
}

/* The same for a socket whose descriptor cannot be duplicated, as in many containers. */
static void find_place_by_inode(uint64_t inode, char text[HELD_TEXT])
{
	char address[ENDPOINT_TEXT];
	union endpoint at;
	size_t len;
	int type;

	if (sockdiag_waits_at(inode, &type, &at) &&
		(type == SOCK_STREAM || !is_ephemeral(endpoint_port(&at))))
		snprintf(text, HELD_TEXT, "%s:%s", type == SOCK_STREAM ? "tcp" : "udp",
			endpoint_text(address, at.any.sa_family, endpoint_ip(&at, &len),
				endpoint_port(&at)));
}

static void note_socket(struct look *look, int number, uint64_t inode)
{
	struct held *held = look->held;
	struct held_socket *s = &held->list[held->count];
	json_t *listener = trial_listener(look->trial, inode);
	char text[HELD_TEXT] = "";
	struct remote r;
	scoped_fd fd = -1;

	if (held->count == HELD_MAX || held_find(held, inode, "") != NULL)
		return;
	remote_of(&r, look->pid);
	fd = remote_fd(&r, number);
	if (listener != NULL)
		text_copy(text, sizeof(text), field_raw(listener, "address"));
	else if (fd != -1)
		find_place(fd, text);
	else
		find_place_by_inode(inode, text);
	if (text[0] == '\0')
		return;
	*s = (struct held_socket){
		.inode = inode,
		.port = strncmp(text, "tcp:", 4) == 0
			? (unsigned)strtoul(strrchr(text, ':') + 1, NULL, 10)
			: 0,
		.datagrams = strncmp(text, "udp:", 4) == 0,
	};
	text_copy(s->text, sizeof(s->text), text);
	held->count++;
}

/* ---- processes ---- */

/* May run in a child that has our memory (os/look/remote.h). */
static bool list_socket(void *context, int fd, const char *target)
{
	struct look *look = context;
	uint64_t inode = remote_socket_inode(target);

	if (inode != 0) {
		look->sockets[look->count].fd = fd;
		look->sockets[look->count++].inode = inode;
	}
	return false;
}

/* Does the thread compute, or wait for the disk or the like? */
static bool is_at_work(void *busy, pid_t tid)
{
	char state = process_state(tid);

	*(bool *)busy |= state == 'R' || state == 'D';
	return *(bool *)busy;
}

static void look_at_process(struct look *look, pid_t pid)
{
	struct process_facts facts;
	struct remote r;

	if (process_look(pid, &facts) == -1 || facts.state == 'Z')
		return;
	look->pid = pid;
	look->held->lives = true;
	look->held->cpu += facts.cpu;
	(void)process_each(pid, is_at_work, &look->held->busy);
	look->count = 0;
	remote_of(&r, pid);
	(void)remote_each_fd(&r, DESCRIPTORS_MAX, list_socket, look);
	for (size_t i = 0; i < look->count; i++)
		note_socket(look, look->sockets[i].fd, look->sockets[i].inode);
}

void held_look(struct held *held, const struct trial *t, pid_t leader)
{
	struct look look uninitialized;
	pid_t tree[PROCESS_TREE_MOST];
	size_t count = process_tree(leader, tree, PROCESS_TREE_MOST);

	memset(held, 0, sizeof(*held));
	look.held = held;
	look.trial = t;
	for (size_t i = 0; i < count; i++)
		look_at_process(&look, tree[i]);
}

/* ---- visits ---- */

/* Size of the address; 0: clients cannot connect to it.  A socket at all addresses
 * is reached by 0.0.0.0, which connect(2) takes for this machine. */
static socklen_t make_endpoint(union endpoint *at, const struct address *a)
{
	socklen_t size;

	if (a->type != SOCK_STREAM)
		return 0;
	if (a->path != NULL)
		return socket_unix_address(a->path, &at->un, &size) == 0 ? size : 0;
	return endpoint_make(
		at, a->family == AF_UNSPEC ? AF_INET : a->family, a->ip, a->port, a->scope_id);
}

int held_visit(const char *address)
{
	const struct timeval patience = {.tv_sec = 1};
	union endpoint at;
	struct address a;
	struct error err;
	socklen_t size;
	scoped_fd fd = -1;

	if (address_parse(&a, address, &err) == -1)
		return -1;
	size = make_endpoint(&at, &a);
	address_fini(&a);
	if (size > 0)
		fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == -1 ||
		connect(fd, &at.any, size) == -1)
		return -1;
	return fd_release(&fd);
}
