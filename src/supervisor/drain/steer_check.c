/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/steer_check.h"

#include "os/look/remote.h"
#include "os/spawn/seccomp.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/registry.h"
#include "supervisor/drain/steer.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/*
 * The command of a probe (exec:) connects by itself, and is to reach the worker that it asks.  So its
 * connect(2) is trapped.  If it goes to a listener that has several sockets (group.h), nclust makes
 * the call, by a duplicate of the socket, while the kernel leads that client to the worker.
 * The kernel makes all other calls, as if they were not trapped.
 */
struct led {
	int fd; /* the duplicate */
	union endpoint to;
	socklen_t size;
	union endpoint from;
	bool blocks; /* the caller waits for the connection */
	int error;   /* of connect(2), or 0; -1: the kernel is to make the call */
};

/* Returns the listener of the cluster to which that address leads on this machine; or NULL. */
static const struct listener *find_listener(const struct child *child, const union endpoint *at)
{
	struct socket_key to = {.family = at->any.sa_family, .port = endpoint_port(at)};
	struct listener *l;
	size_t len;
	const void *ip = endpoint_ip(at, &len);

	memcpy(to.ip, ip, len);
	(void)socket_key_unmap(&to);
	for_each_listener (l, listeners_of(child->service, LISTENERS_ALL))
		if (l->sockets != NULL && !l->own_group && l->facts.listening &&
			l->key.port == to.port && socket_key_is_tcp(&l->key) &&
			(l->key.family == to.family ||
				(l->key.family == AF_INET6 && !l->key.v6only)) &&
			(socket_key_is_any(&l->key) ||
				memcmp(l->key.ip, to.ip, sizeof(to.ip)) == 0))
			return l;
	return NULL;
}

/* Fails also if the address is none of this machine. */
static int bind_led(void *argument)
{
	struct led *led = argument;
	struct socket_key own;

	if (socket_option(led->fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM ||
		group_bind_client(led->fd, &led->to.any, led->size) == -1 ||
		socket_key_bound(&own, led->fd) == -1 || socket_key_is_any(&own))
		return -1;
	(void)socket_key_unmap(&own);
	(void)endpoint_make(&led->from, own.family, own.ip, own.port, own.scope);
	return 0;
}

/* Does not wait: the kernel does, if the caller is to. */
static int connect_led(void *argument)
{
	struct led *led = argument;
	int flags = fcntl(led->fd, F_GETFL);
	int error;

	led->blocks = flags != -1 && (flags & O_NONBLOCK) == 0;
	if (led->blocks)
		(void)fcntl(led->fd, F_SETFL, flags | O_NONBLOCK);
	error = connect(led->fd, &led->to.any, led->size) == 0 ? 0 : errno;
	if (led->blocks)
		(void)fcntl(led->fd, F_SETFL, flags);
	if (error != EINPROGRESS || !led->blocks)
		led->error = error;
	return 0;
}

/* Makes the call, or leaves it to the kernel.  False: it is not led. */
static bool lead(
	const struct child *child, const struct listener *l, struct remote *r, struct led *led)
{
	const bool several = group_size(l) > 1;

	if (remote_run(r, led->fd, bind_led, led) == -1)
		return false;
	if (child->traffic.own && group_own(l, child->traffic.lane) == NULL) {
		led->error = ECONNREFUSED; /* it has not opened its port; others have */
	} else if (several && group_aim(l, child->traffic.lane, &led->from) == -1) {
		return false;
	} else {
		(void)remote_run(r, led->fd, connect_led, led);
		if (several)
			group_aim_no_more(l);
	}
	return true;
}

void steer_on_connects(struct child *child, int trap)
{
	struct steer *s = steer_of(child->service);
	struct led led = {.fd = -1, .error = -1};
	const struct listener *l = NULL;
	struct seccomp_notice n;
	bool leads = false;
	struct remote r;

	if (seccomp_receive(trap, &n) != 1)
		return;
	remote_of(&r, n.tid);
	led.size = n.size;
	/* tid 0: the thread is in a pid namespace that nclust cannot see */
	if (n.tid != 0 && n.size <= sizeof(led.to) && remote_read(&r, n.at, &led.to, n.size) == 0)
		l = find_listener(child, &led.to);
	if (l != NULL)
		led.fd = remote_fd(&r, n.fd);
	if (led.fd != -1 && seccomp_waits(trap, n.id))
		leads = lead(child, l, &r, &led);
	async_close(child->service->sup, child, &led.fd);
	if (led.error == -1)
		seccomp_continue(trap, n.id);
	else
		seccomp_answer(trap, n.id, led.error);
	if (leads && !s->leads)
		steer_look_next_turn(s);
	s->leads |= leads;
}
