/* SPDX-License-Identifier: MIT */
#include "os/socket/socket.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/fdpass.h"
#include "os/socket/endpoint.h"
#include "os/socket/sockdiag.h"
#include "os/socket/socket_unix.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

int socket_get(int fd, int level, int option, int *value)
{
	socklen_t size = sizeof(*value);

	*value = 0;
	return getsockopt(fd, level, option, value, &size);
}

int socket_option(int fd, int level, int option)
{
	int value;

	(void)socket_get(fd, level, option, &value);
	return value;
}

int socket_set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

int socket_listen(int fd, int backlog)
{
	/* the kernel lowers it to net.core.somaxconn */
	return listen(fd, backlog < 0 ? INT_MAX : backlog);
}

/* Set the options that must be set before the bind.  *what names the option that failed. */
static int set_before(int fd, int family, const struct socket_plan *plan, const char **what)
{
	const bool stream = plan->type == SOCK_STREAM;
	const bool six = family == AF_INET6;
	const int v6only = plan->v6only == -1 && plan->family == AF_UNSPEC ? 0 : plan->v6only;
	const struct {
		const char *name;
		bool wanted;
		int level;
		int option;
		int value;
	} rows[] = {
		/* connections in TIME_WAIT must not keep the port; for UDP the
		 * option would let strangers share the port */
		{"SO_REUSEADDR", stream, SOL_SOCKET, SO_REUSEADDR, 1},
		{"v6only", six && v6only != -1, IPPROTO_IPV6, IPV6_V6ONLY, v6only},
		{"freebind", plan->freebind, six ? IPPROTO_IPV6 : IPPROTO_IP,
			six ? IPV6_FREEBIND : IP_FREEBIND, 1},
		{"rcvbuf", plan->rcvbuf != -1, SOL_SOCKET, SO_RCVBUF, plan->rcvbuf},
		{"sndbuf", plan->sndbuf != -1, SOL_SOCKET, SO_SNDBUF, plan->sndbuf},
		{"defer-accept", plan->defer_accept != -1 && stream, IPPROTO_TCP, TCP_DEFER_ACCEPT,
			plan->defer_accept},
		/* connections inherit these from the socket that accepts them */
		{"nodelay", plan->nodelay, IPPROTO_TCP, TCP_NODELAY, 1},
		{"keepalive", plan->keepalive != 0 && stream, SOL_SOCKET, SO_KEEPALIVE, 1},
		{"keepalive", plan->keepalive > 0 && stream, IPPROTO_TCP, TCP_KEEPIDLE,
			plan->keepalive},
		{"fastopen", plan->fastopen > 0 && stream, IPPROTO_TCP, TCP_FASTOPEN,
			plan->fastopen},
		{"mark", plan->mark != 0, SOL_SOCKET, SO_MARK, (int)plan->mark},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		*what = rows[i].name;
		if (rows[i].wanted &&
			socket_set(fd, rows[i].level, rows[i].option, rows[i].value) == -1)
			return -1;
	}
	*what = "interface";
	return plan->interface == NULL
		? 0
		: setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, plan->interface,
			  (socklen_t)strlen(plan->interface) + 1);
}

static int cannot_listen(const struct socket_plan *plan, int error, struct error *err)
{
	error_set(err, error, "cannot listen on '%s'", plan->text);
	if (error == EACCES && plan->port != 0 && plan->port < 1024)
		error_hint(err,
			"a port below 1024 needs a socket unit, "
			"setcap cap_net_bind_service=+ep on nclust, "
			"AmbientCapabilities=CAP_NET_BIND_SERVICE, or sysctl "
			"net.ipv4.ip_unprivileged_port_start=%u",
			plan->port);
	else if (error == EADDRNOTAVAIL && !plan->freebind)
		error_hint(err,
			"no interface has this address; the "
			"option 'freebind' does not wait for one");
	return -1;
}

static int inet_open(int family, const struct socket_plan *plan, struct error *err)
{
	int type = plan->type | SOCK_CLOEXEC | (plan->nonblock ? SOCK_NONBLOCK : 0);
	scoped_fd fd = socket(family, type, 0);
	union endpoint at;
	socklen_t size = endpoint_make(
		&at, family, plan->family == family ? plan->ip : NULL, plan->port, plan->scope_id);
	const char *what = "";

	if (fd == -1)
		return cannot_listen(plan, errno, err);
	if (set_before(fd, family, plan, &what) == -1) {
		error_set(err, errno, "cannot set %s of '%s'", what, plan->text);
		return err->sys == EPERM && plan->mark != 0
			? error_hint(err, "a mark needs CAP_NET_ADMIN")
			: -1;
	}
	if (bind(fd, &at.any, size) == -1 ||
		(plan->type == SOCK_STREAM && socket_listen(fd, plan->backlog) == -1))
		return cannot_listen(plan, errno, err);
	return fd_release(&fd);
}

int socket_open(const struct socket_plan *plan, struct socket_file *made, struct error *err)
{
	int fd;

	*made = (struct socket_file){0};
	if (plan->family == AF_UNIX)
		return socket_unix_open(plan, made, err);
	if (plan->family != AF_UNSPEC)
		return inet_open(plan->family, plan, err);
	fd = inet_open(AF_INET6, plan, err);
	/* no IPv6 in this kernel (EAFNOSUPPORT), or in this namespace */
	if (fd == -1 && plan->v6only != 1 &&
		(err->sys == EAFNOSUPPORT || err->sys == EADDRNOTAVAIL))
		fd = inet_open(AF_INET, plan, err);
	return fd;
}

int socket_backlog(int fd, int backlog)
{
	struct vfork_syscall begin = {SYS_listen, {fd, backlog < 0 ? INT_MAX : backlog}};

	return vfork_call_on(fd, vfork_syscall, &begin);
}

void socket_stop_listening(int fd)
{
	struct vfork_syscall stop = {SYS_shutdown, {fd, SHUT_RD}};

	(void)vfork_call_on(fd, vfork_syscall, &stop);
}

struct listening {
	int fd;
	int backlog;
};

static int listen_again(void *argument)
{
	const struct listening *l = argument;
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	const int fd = l->fd;
	union endpoint at;
	socklen_t size = endpoint_own(fd, &at);

	/* shutdown(2) by another worker may fall between the two calls */
	for (int i = 0; i < 4; i++) {
		/* tcp_disconnect(): undoes the shutdown and keeps the port */
		(void)connect(fd, &none, sizeof(none));
		/* but a port that the kernel chose is given back; EINVAL: it was not */
		if (size > 0)
			(void)bind(fd, &at.any, size);
		if (socket_listen(fd, l->backlog) == -1)
			return -1;
		if (!sockdiag_is_shut(fd))
			return 0;
	}
	errno = EAGAIN;
	return -1;
}

int socket_revive(int fd, int backlog)
{
	struct listening l = {fd, backlog};

	return vfork_call_on(fd, listen_again, &l);
}

static int disconnect_datagrams(void *argument)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	const int fd = *(const int *)argument;
	union endpoint at;
	union endpoint peer;
	socklen_t size;

	if (endpoint_peer(fd, &peer) == 0)
		return 0;
	size = endpoint_own(fd, &at);
	if (connect(fd, &none, sizeof(none)) == -1)
		return -1;
	/* as above: a port that the kernel chose is given back */
	if (size > 0)
		(void)bind(fd, &at.any, size);
	return 1;
}

int socket_disconnect(int fd)
{
	return vfork_call_on(fd, disconnect_datagrams, &fd);
}

int socket_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1)
		return -1;
	return fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

static void tell_inet(const union endpoint *at, struct socket_facts *facts)
{
	char text[ENDPOINT_TEXT];
	size_t len;

	facts->port = endpoint_port(at);
	snprintf(facts->text, sizeof(facts->text), "%s:%s",
		facts->type == SOCK_DGRAM ? "udp" : "tcp",
		endpoint_text(text, facts->family, endpoint_ip(at, &len), facts->port));
}

static void tell_unix(const struct sockaddr_un *address, socklen_t size, struct socket_facts *facts)
{
	size_t len = size > offsetof(struct sockaddr_un, sun_path)
		? size - offsetof(struct sockaddr_un, sun_path)
		: 0;
	char name[sizeof(address->sun_path)];
	size_t used;

	memcpy(name, address->sun_path, len);
	if (len > 0 && name[0] == '\0')
		name[0] = '@';
	else
		len = strnlen(name, len);
	used = text_copy(facts->text, sizeof(facts->text),
		facts->type == SOCK_DGRAM               ? "unix-dgram:"
			: facts->type == SOCK_SEQPACKET ? "unix-seqpacket:"
							: "unix:");
	text_escape(facts->text + used, sizeof(facts->text) - used, name, len);
}

struct naming {
	int fd;
	socklen_t (*get)(int fd, union endpoint *at);
	union endpoint at;
	socklen_t size;
};

static int read_name(void *argument)
{
	struct naming *n = argument;
	union endpoint at; /* on the child's stack (vfork.h) */

	n->size = n->get(n->fd, &at);
	n->at = at;
	return n->size > 0 ? 0 : -1;
}

static socklen_t name_aside(struct naming name, union endpoint *at)
{
	(void)vfork_call_on(name.fd, read_name, &name);
	*at = name.at;
	return name.size;
}

socklen_t socket_own(int fd, union endpoint *at)
{
	return name_aside((struct naming){.fd = fd, .get = endpoint_own}, at);
}

socklen_t socket_other(int fd, union endpoint *at)
{
	return name_aside((struct naming){.fd = fd, .get = endpoint_peer}, at);
}

struct accepting {
	int fd;
	int channel;
	int most;
};

static int accept_some(void *argument)
{
	const struct accepting *a = argument;
	int count = 0;
	int fd = -1;

	while (count < a->most &&
		(fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		count++;
		(void)fdpass_send(a->channel, "", 1, &fd, 1);
	}
	return fd == -1 && count == 0 ? -1 : 0;
}

int socket_accept(int fd, int *to, int most)
{
	struct fdpass_message m;
	struct accepting a = {.fd = fd};
	int ends[2];
	int count = 0;
	int error;
	char byte;

	if (!vfork_calls()) {
		*to = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		return *to != -1 ? 1 : -1;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == -1)
		return -1;
	a.channel = ends[1];
	/* Take descriptor numbers before a receive: a descriptor that arrives while no number is
	 * free is lost. */
	while (a.most < most && (to[a.most] = fcntl(ends[0], F_DUPFD_CLOEXEC, 0)) != -1)
		a.most++;
	errno = a.most > 0 ? 0 : EMFILE;
	if (a.most > 0)
		(void)vfork_call_through(fd, ends[1], accept_some, &a);
	error = errno;
	(void)close(ends[1]);
	for (int i = 0; i < a.most; i++)
		(void)close(to[i]);
	while (count < a.most && fdpass_receive(ends[0], &byte, 1, &m) == 1 && m.fd_count == 1)
		to[count++] = m.fds[0];
	(void)close(ends[0]);
	errno = error;
	return count > 0 ? count : -1;
}

int socket_look(int fd, struct socket_facts *facts, struct error *err)
{
	struct naming name = {.fd = fd, .get = endpoint_own};
	int listening;

	memset(facts, 0, sizeof(*facts));
	if (vfork_call_on(fd, read_name, &name) == -1 ||
		socket_get(fd, SOL_SOCKET, SO_DOMAIN, &facts->family) == -1 ||
		socket_get(fd, SOL_SOCKET, SO_TYPE, &facts->type) == -1 ||
		socket_get(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening) == -1)
		return error_set(err, errno, "cannot use descriptor %d", fd);
	facts->listening = listening != 0;
	if (facts->family == AF_UNIX)
		tell_unix(&name.at.un, name.size, facts);
	else if (facts->family == AF_INET || facts->family == AF_INET6)
		tell_inet(&name.at, facts);
	else
		snprintf(facts->text, sizeof(facts->text), "family %d", facts->family);
	return 0;
}

int socket_peer(int fd, struct ucred *cred)
{
	socklen_t size = sizeof(*cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &size);
}

bool socket_peer_in_group(int fd, gid_t gid)
{
	struct ucred cred;
	gid_t few[64];
	gid_t *groups = few;
	socklen_t size = sizeof(few);
	bool found;

	if (socket_peer(fd, &cred) == 0 && cred.gid == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == -1) {
		if (errno != ERANGE) /* ERANGE: `size` is what the list takes */
			return false;
		groups = malloc(size);
		if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == -1)
			size = 0;
	}
	found = false;
	for (size_t i = 0; i < size / sizeof(gid_t); i++)
		found = found || groups[i] == gid;
	if (groups != few)
		free(groups);
	return found;
}

uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == -1)
		return 0;
	return cookie;
}
