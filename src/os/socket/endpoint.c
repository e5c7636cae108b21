/* SPDX-License-Identifier: MIT */
#include "os/socket/endpoint.h"

#include "base/scope.h"
#include "os/socket/socket.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int get_name(int fd, struct sockaddr *at, socklen_t *size);

static socklen_t get_address(get_name *name, int fd, union endpoint *at)
{
	socklen_t size = sizeof(*at);

	memset(at, 0, sizeof(*at));
	return name(fd, &at->any, &size) == 0 ? size : 0;
}

socklen_t endpoint_own(int fd, union endpoint *at)
{
	return get_address(getsockname, fd, at);
}

socklen_t endpoint_peer(int fd, union endpoint *at)
{
	return get_address(getpeername, fd, at);
}

socklen_t endpoint_make(
	union endpoint *at, int family, const void *ip, uint16_t port, uint32_t scope)
{
	memset(at, 0, sizeof(*at));
	at->any.sa_family = (sa_family_t)family;
	at->v4.sin_port = htons(port);
	if (family == AF_INET) {
		if (ip != NULL)
			memcpy(&at->v4.sin_addr, ip, 4);
		return sizeof(at->v4);
	}
	if (ip != NULL)
		memcpy(&at->v6.sin6_addr, ip, 16);
	at->v6.sin6_scope_id = scope;
	return sizeof(at->v6);
}

const void *endpoint_ip(const union endpoint *at, size_t *len)
{
	if (at->any.sa_family == AF_INET6) {
		*len = 16;
		return &at->v6.sin6_addr;
	}
	*len = at->any.sa_family == AF_INET ? 4 : 0;
	return &at->v4.sin_addr;
}

uint16_t endpoint_port(const union endpoint *at)
{
	size_t len;

	(void)endpoint_ip(at, &len);
	return len > 0 ? ntohs(at->v4.sin_port) : 0;
}

const char *endpoint_text(char to[ENDPOINT_TEXT], int family, const void *ip, uint16_t port)
{
	char text[INET6_ADDRSTRLEN] = "?";

	inet_ntop(family, ip, text, sizeof(text));
	snprintf(to, ENDPOINT_TEXT, family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
	return to;
}

/* ---- peer ---- */

/* ---- who it is ---- */

/* Returns the family, AF_INET for an IPv4 address that is mapped into IPv6. */
static int take_ip(const union endpoint *end, uint8_t ip[16], uint16_t *port)
{
	size_t len;
	const uint8_t *from = endpoint_ip(end, &len);

	*port = endpoint_port(end);
	if (len == 16 && IN6_IS_ADDR_V4MAPPED(&end->v6.sin6_addr)) {
		from += 12;
		len = 4;
	}
	memcpy(ip, from, len);
	return len == 4 ? AF_INET : AF_INET6;
}

static void look_inet(int fd, const union endpoint *far, struct peer *peer)
{
	union endpoint near;

	peer->family = take_ip(far, peer->ip, &peer->port);
	if (far->any.sa_family == AF_INET6)
		peer->scope = far->v6.sin6_scope_id;
	(void)endpoint_own(fd, &near);
	(void)take_ip(&near, peer->local_ip, &peer->local_port);
}

static void look_unix(int fd, struct peer *peer)
{
	struct ucred cred;

	peer->family = AF_UNIX;
	peer->uid = (uid_t)-1;
	peer->gid = (gid_t)-1;
	if (socket_peer(fd, &cred) == -1)
		return;
	peer->pid = cred.pid;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
}

int peer_accept(int listener, struct peer *peer)
{
	union endpoint far;
	socklen_t size = sizeof(far);
	int fd;

	*peer = (struct peer){0};
	far.any.sa_family = AF_UNSPEC;
	fd = accept4(listener, &far.any, &size, SOCK_CLOEXEC);
	if (fd == -1)
		return -1;
	if (far.any.sa_family == AF_INET || far.any.sa_family == AF_INET6)
		look_inet(fd, &far, peer);
	else /* a unix socket without a name may come without a family */
		look_unix(fd, peer);
	return fd;
}

bool peer_is_same(const struct peer *a, const struct peer *b)
{
	size_t len = a->family == AF_INET ? 4 : 16;

	if (a->family != b->family || a->family == AF_UNIX)
		return false;
	/* a host has a /64 to itself at least, and takes any address of it; but all
	 * neighbours share that of link-local addresses, fe80::/10 */
	if (len == 16 && (a->ip[0] != 0xfe || (a->ip[1] & 0xc0) != 0x80))
		len = 8;
	return memcmp(a->ip, b->ip, len) == 0;
}

/* ---- for people ---- */

const char *peer_text(char to[PEER_TEXT_MAX], const struct peer *peer)
{
	if (peer->family != AF_UNIX)
		return endpoint_text(to, peer->family, peer->ip, peer->port);
	snprintf(to, PEER_TEXT_MAX, "pid %d, uid %u", (int)peer->pid, peer->uid);
	return to;
}

/* ---- for programs ---- */

/* Append one variable, with the NUL that ends it. */
#define PUT(out, ...) (buffer_printf(out, __VA_ARGS__), buffer_append(out, "", 1))

static void put_inet(struct buffer *out, const struct peer *peer, unsigned same)
{
	char far[INET6_ADDRSTRLEN] = "";
	char near[INET6_ADDRSTRLEN] = "";
	char interface[IF_NAMESIZE];
	bool six = peer->family == AF_INET6;

	inet_ntop(peer->family, peer->ip, far, sizeof(far));
	inet_ntop(peer->family, peer->local_ip, near, sizeof(near));
	PUT(out, "PROTO=%s", six ? "TCP6" : "TCP");
	PUT(out, "REMOTE_ADDR=%s", far);
	PUT(out, "REMOTE_PORT=%u", peer->port);
	for (int i = 0; i < (six ? 2 : 1); i++) {
		const char *prefix = i == 0 ? "TCP" : "TCP6";

		PUT(out, "%sREMOTEIP=%s", prefix, far);
		PUT(out, "%sREMOTEPORT=%u", prefix, peer->port);
		PUT(out, "%sLOCALIP=%s", prefix, near);
		PUT(out, "%sLOCALPORT=%u", prefix, peer->local_port);
	}
	if (same > 0)
		PUT(out, "TCPCONNNUM=%u", same);
	if (six && peer->scope != 0 && if_indextoname(peer->scope, interface) != NULL)
		PUT(out, "TCP6INTERFACE=%s", interface);
}

static void put_unix(struct buffer *out, const struct peer *peer, const char *path)
{
	static const char *const prefixes[] = {"UNIX", "IPC"};

	PUT(out, "PROTO=UNIX");
	if (peer->pid > 0)
		PUT(out, "UNIXREMOTEPID=%d", (int)peer->pid);
	for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
		if (path != NULL)
			PUT(out, "%sLOCALPATH=%s", prefixes[i], path);
		if (peer->uid == (uid_t)-1)
			continue;
		PUT(out, "%sREMOTEEUID=%u", prefixes[i], peer->uid);
		PUT(out, "%sREMOTEEGID=%u", prefixes[i], peer->gid);
	}
}

size_t peer_environment(
	struct buffer *out, const struct peer *peer, const char *path, unsigned same)
{
	size_t before = out->len;
	size_t count = 0;

	if (peer->family == AF_UNIX)
		put_unix(out, peer, path);
	else
		put_inet(out, peer, same);
	for (size_t i = before; i < out->len; i++)
		count += out->data[i] == '\0';
	return count;
}

bool peer_is_variable(const char *entry)
{
	static const char *const names[] = {"PROTO=", "REMOTE_ADDR=", "REMOTE_PORT=",
		"REMOTE_HOST=", "TCPREMOTE", "TCPLOCAL", "TCPCONNNUM=", "TCP6", "UNIXREMOTE",
		"UNIXLOCAL", "IPCREMOTE", "IPCLOCAL", "IPCCONNNUM="};

	return array_find(name, names, COUNT_OF(names),
		       strncmp(entry, *name, strlen(*name)) == 0) != NULL;
}
