/* SPDX-License-Identifier: MIT */
#include "os/socket/reuseport.h"

#include "base/scope.h"
#include "os/socket/endpoint.h"
#include "os/socket/sockdiag.h"
#include "os/socket/socket.h"
#include "os/socket/socket_as.h"
#include "os/socket/socket_key.h"
#include "os/trycall.h"
#include "os/vfork.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif
#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

/* Options that must be the same before the bind. */
static const struct {
	int level;
	int name;
} born_with[] = {
	{SOL_SOCKET, SO_REUSEADDR},
	{IPPROTO_IPV6, IPV6_V6ONLY},
	{IPPROTO_IP, IP_FREEBIND},
	{IPPROTO_IPV6, IPV6_FREEBIND},
	{IPPROTO_IP, IP_TRANSPARENT},
	{IPPROTO_IPV6, IPV6_TRANSPARENT},
};

static int copy_one(int to, int from, int level, int name)
{
	int want;
	int have;

	if (socket_get(from, level, name, &want) == -1 ||
		socket_get(to, level, name, &have) == -1 || want == have)
		return 0; /* the family has no such option */
	return socket_set(to, level, name, want);
}

static int copy_device(int to, int from)
{
	char name[IF_NAMESIZE];
	socklen_t size = sizeof(name);

	if (getsockopt(from, SOL_SOCKET, SO_BINDTODEVICE, name, &size) == -1 || size == 0)
		return 0;
	return setsockopt(to, SOL_SOCKET, SO_BINDTODEVICE, name, size);
}

static int copy_options(int to, int from)
{
	struct socket_options plain;
	struct socket_options asked;

	for (size_t i = 0; i < COUNT_OF(born_with); i++)
		if (copy_one(to, from, born_with[i].level, born_with[i].name) == -1)
			return -1;
	if (copy_device(to, from) == -1)
		return -1;
	socket_options_read(&plain, to);
	socket_options_read(&asked, from);
	socket_options_follow(to, &plain, &asked);
	return socket_set_reuseport(to, true);
}

/* setsockopt(2) in a child: workers have these sockets, too. */
static int set_option(int fd, int level, int name, const void *value, socklen_t size)
{
	struct vfork_syscall s = {
		SYS_setsockopt, {fd, level, name, (long)(intptr_t)value, (long)size}};

	return name == SO_ATTACH_REUSEPORT_EBPF /* its value is a second descriptor */
		? vfork_call(vfork_syscall, &s)
		: vfork_call_on(fd, vfork_syscall, &s);
}

static int set_filter(int fd, struct sock_filter *list, size_t count)
{
	struct sock_fprog program = {(unsigned short)count, list};

	return set_option(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
}

/*
 * The kernel drops each SYN that has passed a router, or was sent with a hop
 * limit below 255, as nearly all are.  A filter (SO_ATTACH_FILTER) would drop
 * them, too, but newer kernels want CAP_NET_ADMIN for a filter at TCP sockets
 * (measured on 6.18), and it also drops the ACK that ends a handshake.
 */
static const struct {
	int level;
	int name;
} hops[] = {{IPPROTO_IP, IP_MINTTL}, {IPPROTO_IPV6, IPV6_MINHOPCOUNT}};
#define HOPS_MOST 255

/* Mute the socket before it listens, so that no SYN is queued there before the group is
 * complete.  If that fails, early connections wait for the first worker that has the socket. */
void reuseport_mute(int fd)
{
	const int most = HOPS_MOST;

	for (size_t i = 0; i < COUNT_OF(hops); i++)
		(void)set_option(fd, hops[i].level, hops[i].name, &most, sizeof(most));
}

static int join_beside(void *argument)
{
	const int fd = *(const int *)argument;
	struct queue_facts queue;
	union endpoint at;
	socklen_t size;
	struct stat st;
	int family;
	bool had = socket_has_reuseport(fd);
	int type;
	scoped_fd new = -1;
	int saved;

	sockdiag_queue(fd, &queue);
	if (fstat(fd, &st) == -1 || socket_get(fd, SOL_SOCKET, SO_DOMAIN, &family) == -1 ||
		socket_get(fd, SOL_SOCKET, SO_TYPE, &type) == -1)
		return -1;
	new = socket_born_to(st.st_uid, family, type, 0);
	if (new == -1 || copy_options(new, fd) == -1)
		return -1;
	if (type == SOCK_STREAM)
		reuseport_mute(new);
	if (!had && socket_set_reuseport(fd, true) == -1)
		return -1;
	size = endpoint_own(fd, &at);
	if (size > 0 && bind(new, &at.any, size) == 0 &&
		(socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) <= 0 ||
			socket_backlog(new, queue.limit > 0 ? (int)queue.limit : INT_MAX) == 0))
		return fd_release(&new);
	saved = errno;
	if (!had)
		(void)socket_set_reuseport(fd, false);
	errno = saved;
	return -1;
}

int reuseport_join(int fd)
{
	return vfork_call(join_beside, &fd);
}

struct pair {
	int fd;
	int like;
};

static int unmute_socket(void *argument)
{
	const int fd = ((const struct pair *)argument)->fd;
	const int like = ((const struct pair *)argument)->like;

	for (size_t i = 0; i < COUNT_OF(hops); i++)
		if (copy_one(fd, like, hops[i].level, hops[i].name) == -1)
			return -1;
	return 0;
}

int reuseport_unmute(int fd, int like)
{
	struct pair pair = {fd, like};

	return vfork_call(unmute_socket, &pair);
}

static int connect_to_own(void *argument)
{
	const int fd = *(const int *)argument;
	union endpoint at;
	socklen_t size = endpoint_own(fd, &at);
	scoped_fd own = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* connect(2) to the wildcard address reaches this machine */
	if (own != -1 && copy_device(own, fd) == 0)
		(void)connect(own, &at.any, size);
	return 0;
}

void reuseport_wake(int fd)
{
	(void)vfork_call_on(fd, connect_to_own, &fd);
}

/* Let a program of bpf(2) choose.  -1 and errno. */
static int reuseport_attach(int fd, int program)
{
	return set_option(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof(program));
}

/*
 * Before Linux 5.11 maps and programs count as locked memory of their user, and those of
 * systemd alone may leave root nothing of the usual 64 KiB: then bpf(2) fails with EPERM.
 */
static int bpf_call(int command, union bpf_attr *attr)
{
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	int got = (int)trycall(SYS_bpf, command, attr, sizeof(*attr));
	int error = errno;
	struct rlimit before;

	if (got == -1 && error == EPERM && getrlimit(RLIMIT_MEMLOCK, &before) == 0 &&
		setrlimit(RLIMIT_MEMLOCK, &none) == 0) {
		got = (int)trycall(SYS_bpf, command, attr, sizeof(*attr));
		error = errno;
		(void)setrlimit(RLIMIT_MEMLOCK, &before);
	}
	errno = error;
	return got;
}

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})

/* A map of these values, each of `size`, by their numbers; -1 and errno. */
static int make_map(uint32_t type, const void *values, uint32_t size, uint32_t count)
{
	union bpf_attr attr = {
		.map_type = type,
		.key_size = sizeof(uint32_t),
		.value_size = size,
		.max_entries = count,
	};
	scoped_fd map = bpf_call(BPF_MAP_CREATE, &attr);
	const char *value = values;

	for (uint32_t i = 0; map != -1 && i < count; i++, value += size) {
		attr = (union bpf_attr){
			.map_fd = (uint32_t)map,
			.key = (uintptr_t)&i,
			.value = (uintptr_t)value,
		};
		if (bpf_call(BPF_MAP_UPDATE_ELEM, &attr) == -1)
			return -1;
	}
	return fd_release(&map);
}

/*
 * Choose members[hash % count]; a program that chooses none leaves the choice to the hash.  One of
 * that kind makes the kernel move connections (reuseport_migrate_sock() in
 * net/core/sock_reuseport.c, 5.14).  Older kernels accept any kind, and move nothing;
 * but they refuse a program that reads a field which they do not have.
 */
static int load_migrate(int map, unsigned count)
{
	const struct bpf_insn list[] = {
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_0, BPF_REG_1,
			offsetof(struct sk_reuseport_md, hash), 0),
		INSN(BPF_ALU | BPF_MOD | BPF_K, BPF_REG_0, 0, 0, (int)(count > 0 ? count : 1)),
		INSN(BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_0, -4, 0),
		INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_2, BPF_PSEUDO_MAP_FD, 0, map),
		INSN(0, 0, 0, 0, 0), /* the upper half of the map's address */
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_10, 0, 0),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, -4),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_4, 0, 0, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sk_select_reuseport),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_6, 0, 0),
		/* without members the program begins here */
		INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_0, BPF_REG_1,
			offsetof(struct sk_reuseport_md, migrating_sk), 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, SK_PASS),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	const size_t skipped = count > 0 ? 0 : COUNT_OF(list) - 3;
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SK_REUSEPORT,
		.expected_attach_type = BPF_SK_REUSEPORT_SELECT_OR_MIGRATE,
		.insns = (uintptr_t)(list + skipped),
		.insn_cnt = (uint32_t)(COUNT_OF(list) - skipped),
		.license = (uintptr_t) "",
	};

	return bpf_call(BPF_PROG_LOAD, &attr);
}

int reuseport_migrate(int fd, const int *to, unsigned count)
{
	uint64_t members[REUSEPORT_MAX] uninitialized;
	scoped_fd map = -1;
	scoped_fd program = -1;

	for (unsigned i = 0; i < count && i < REUSEPORT_MAX; i++)
		members[i] = (uint64_t)to[i];
	if (count > 0 && count <= REUSEPORT_MAX)
		map = make_map(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, members, sizeof(*members), count);
	if (count == 0 || map != -1)
		program = load_migrate(map, count);
	return program != -1 ? reuseport_attach(fd, program) : -1;
}

bool reuseport_can_migrate(void)
{
	scoped_fd program = load_migrate(-1, 0);

	return program != -1;
}

static int let_go(void *fd)
{
	return close(*(const int *)fd);
}

/*
 * The kernel takes a socket out of its group first, then off the list by which it
 * finds listeners (reuseport_detach_sock() in inet_unhash()).  In between the kernel
 * still finds the socket, and gives it a client, whose connection it resets a moment
 * later or lets the client retry after 1 s: once in some hundred times on a busy
 * machine.  So bind the socket to a device that does not exist first, and no client
 * matches it.  Where the socket has a device already, that requires CAP_NET_RAW.
 */
static int leave_group(void *fd)
{
	const int nowhere = INT_MAX;

	(void)setsockopt(*(const int *)fd, SOL_SOCKET, SO_BINDTOIFINDEX, &nowhere, sizeof(nowhere));
	(void)shutdown(*(const int *)fd, SHUT_RD);
	return let_go(fd);
}

void reuseport_leave(int fd)
{
	if (vfork_call(leave_group, &fd) == 0)
		return;
	if (errno == ETIMEDOUT)
		(void)vfork_call(let_go, &fd);
	else /* no child can be started */
		(void)leave_group(&fd);
}

/* ---- who gets new connections ---- */

/* Instructions for the client of an IPv6 packet: its family, four words of its source, its port. */
#define AIM_MAX (6 * 2 + 1)
/* No other program, and no number of an address, takes more instructions. */
#define STICKY_MAX 48
static_assert(AIM_MAX + 2 < STICKY_MAX, "room for each program");

struct program {
	struct sock_filter list[STICKY_MAX + 8 * REUSEPORT_MAX];
	size_t n;
};

static void put_instruction(struct program *p, struct sock_filter one)
{
	p->list[p->n++] = one;
}

static void put_do(struct program *p, unsigned code, uint32_t k)
{
	put_instruction(p, (struct sock_filter)BPF_STMT((unsigned short)code, k));
}

static void put_load(struct program *p, unsigned size, int at)
{
	put_do(p, BPF_LD | size | BPF_ABS, (unsigned)at);
}

/* Compare: go on if the value is equal, else jump to the instruction `end`. */
static void put_match(struct program *p, uint32_t value, size_t end)
{
	put_instruction(p,
		(struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, value, 0, (unsigned char)(end - p->n - 1)));
}

/* Send packets from that address to `place`.  Packets with options before their TCP
 * header are none of ours. */
static void put_target(struct program *p, const union endpoint *from, unsigned place)
{
	bool v6 = from->any.sa_family == AF_INET6;
	int words = v6 ? 4 : 1;
	size_t end = p->n + 2 * (2 + (size_t)words) + 1;
	uint32_t ip[4] = {0};
	size_t len;
	const void *its = endpoint_ip(from, &len);

	memcpy(ip, its, len);
	put_load(p, BPF_W, SKF_AD_OFF + SKF_AD_PROTOCOL);
	put_match(p, v6 ? ETH_P_IPV6 : ETH_P_IP, end);
	for (int i = 0; i < words; i++) {
		put_load(p, BPF_W, SKF_NET_OFF + (v6 ? 8 : 12) + 4 * i);
		put_match(p, ntohl(ip[i]), end);
	}
	put_load(p, BPF_H, SKF_NET_OFF + (v6 ? 40 : 20));
	put_match(p, endpoint_port(from), end);
	put_do(p, BPF_RET | BPF_K, place);
}

/* Set the program, which ends by: A = random % sum; if (A < the sum of the first i weights) return
 * i.  -1: all weights are 0, or errno of setsockopt(2). */
static int set_shares(struct program *p, int fd, const unsigned *weights, unsigned count)
{
	unsigned sum = 0;
	unsigned before = 0;

	for (unsigned i = 0; i < count && i < REUSEPORT_MAX; i++)
		sum += weights[i];
	if (sum == 0 || count > REUSEPORT_MAX) {
		errno = EINVAL;
		return -1;
	}
	put_load(p, BPF_W, SKF_AD_OFF + SKF_AD_RANDOM);
	put_do(p, BPF_ALU | BPF_MOD | BPF_K, sum);
	for (unsigned i = 0; i < count; i++) {
		if (weights[i] == 0)
			continue;
		before += weights[i];
		if (before < sum)
			put_instruction(p,
				(struct sock_filter)BPF_JUMP(
					BPF_JMP | BPF_JGE | BPF_K, before, 1, 0));
		put_do(p, BPF_RET | BPF_K, i);
	}
	return set_filter(fd, p->list, p->n);
}

int reuseport_share(int fd, const unsigned *weights, unsigned count)
{
	struct program p = {.n = 0};

	return set_shares(&p, fd, weights, count);
}

/* A ^= the port of the packet's other end << 16. */
static void put_port(struct program *p, int at)
{
	put_do(p, BPF_ST, 0);
	put_load(p, BPF_H, SKF_NET_OFF + at);
	put_do(p, BPF_ALU | BPF_LSH | BPF_K, 16);
	put_do(p, BPF_MISC | BPF_TAX, 0);
	put_do(p, BPF_LD | BPF_MEM, 0);
	put_do(p, BPF_ALU | BPF_XOR | BPF_X, 0);
}
#define PUT_PORT 6 /* instructions */

#define GOLDEN 0x9e3779b1U /* 2^32 / phi */

/* M[0] = a hash of the client's address, and of its port with `ports`. */
static void put_number(struct program *p, bool ports)
{
	const size_t more = ports ? PUT_PORT : 0;

	put_load(p, BPF_W, SKF_AD_OFF + SKF_AD_PROTOCOL);
	put_match(p, ETH_P_IPV6, p->n + 12 + more);
	put_load(p, BPF_W, SKF_NET_OFF + 8);
	for (int word = 1; word < 4; word++) {
		put_do(p, BPF_MISC | BPF_TAX, 0);
		put_load(p, BPF_W, SKF_NET_OFF + 8 + 4 * word);
		put_do(p, BPF_ALU | BPF_XOR | BPF_X, 0);
	}
	if (ports)
		put_port(p, 40);
	put_do(p, BPF_JMP | BPF_JA, (uint32_t)(1 + more));
	put_load(p, BPF_W, SKF_NET_OFF + 12); /* IPv4 */
	if (ports)
		put_port(p, 20);
	put_do(p, BPF_ALU | BPF_MUL | BPF_K, GOLDEN);
	put_do(p, BPF_MISC | BPF_TAX, 0);
	put_do(p, BPF_ALU | BPF_RSH | BPF_K, 16);
	put_do(p, BPF_ALU | BPF_XOR | BPF_X, 0);
	put_do(p, BPF_ST, 0);
}

/* Choose one of `count` places by the number so that only clients of places that are not in both
 * move when there are more or fewer (a jump hash).  Goes on if that place is not there. */
static void put_places(struct program *p, const int *places, unsigned count)
{
	const size_t end = p->n + 6 * (size_t)count;

	for (unsigned i = count; i-- > 0;) {
		put_do(p, BPF_LD | BPF_MEM, 0);
		put_do(p, BPF_ALU | BPF_MUL | BPF_K, (2 * i + 1) * GOLDEN);
		put_do(p, BPF_ALU | BPF_RSH | BPF_K, 16);
		put_do(p, BPF_ALU | BPF_MOD | BPF_K, i + 1);
		put_match(p, 0, p->n + 2);
		if (places[i] >= 0)
			put_do(p, BPF_RET | BPF_K, (unsigned)places[i]);
		else
			put_do(p, BPF_JMP | BPF_JA, (uint32_t)(end - p->n - 1));
	}
}

/* Choose one of the `present` places that are there by the number. */
static void put_present(struct program *p, const int *places, unsigned present)
{
	put_do(p, BPF_LD | BPF_MEM, 0);
	put_do(p, BPF_ALU | BPF_MOD | BPF_K, present);
	for (unsigned nth = 0; nth < present; places++) {
		if (*places < 0)
			continue;
		put_match(p, nth++, p->n + 2);
		put_do(p, BPF_RET | BPF_K, (unsigned)*places);
	}
	put_do(p, BPF_RET | BPF_K, UINT32_MAX);
}

int reuseport_set_sticky(int fd, const int *places, unsigned count, bool ports)
{
	struct program p = {.n = 0};
	unsigned present = 0;

	/* clients of the last ones stay where they are until these are there */
	while (count > 0 && places[count - 1] < 0)
		count--;
	for (unsigned i = 0; i < count; i++)
		present += places[i] >= 0;
	if (present == 0 || count > REUSEPORT_MAX) {
		errno = EINVAL;
		return -1;
	}
	put_number(&p, ports);
	put_places(&p, places, count);
	put_present(&p, places, present);
	return set_filter(fd, p.list, p.n);
}

/* The value of the program's map: whose turn it is, and the places of a round. */
#define ROUND_MAX 1024 /* a power of 2 */
struct turns {
	uint64_t next;
	uint8_t place[ROUND_MAX];
};

/* Fill in a round; places with more than one turn do not have them in a row.  The
 * length of the round; 0: too long, or all weights are 0. */
static unsigned fill_turns(struct turns *t, const unsigned *weights, unsigned count)
{
	unsigned length = 0;
	unsigned before = 1;

	for (unsigned lap = 0; length != before; lap++) {
		before = length;
		for (unsigned i = 0; i < count && i < REUSEPORT_MAX; i++) {
			if (weights[i] <= lap)
				continue;
			if (length == ROUND_MAX)
				return 0;
			t->place[length++] = (uint8_t)i;
		}
	}
	return length;
}

/*
 * return turns->place[turns->next++ % length]; for a place beyond the group the
 * kernel's hash chooses.  The program reads the value and then adds to it: two connections
 * that two CPUs handle at the same instant may get the same place.
 */
static int load_turns(int map, unsigned length)
{
	const struct bpf_insn list[] = {
		INSN(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
		INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
		INSN(0, 0, 0, 0, 0), /* the upper half of the map's address */
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 9, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_2, BPF_REG_0, 0, 0),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_0, BPF_REG_1, 0, BPF_ADD),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0),
		INSN(BPF_ALU64 | BPF_MOD | BPF_K, BPF_REG_1, 0, 0, (int)length),
		INSN(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_1, 0, 0, ROUND_MAX - 1),
		INSN(BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_B, BPF_REG_0, BPF_REG_0, offsetof(struct turns, place),
			0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
		INSN(BPF_ALU | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, -1),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)list,
		.insn_cnt = COUNT_OF(list),
		.license = (uintptr_t) "",
	};

	return bpf_call(BPF_PROG_LOAD, &attr);
}

/* Each change of the weights gets a program of its own; a round begins at a random
 * place, so that changes prefer no member. */
int reuseport_set_turns(int fd, const unsigned *weights, unsigned count)
{
	struct turns turns = {.next = 0};
	unsigned length = fill_turns(&turns, weights, count);
	scoped_fd map = -1;
	scoped_fd program = -1;

	if (length == 0) {
		errno = EINVAL;
		return -1;
	}
	if (getrandom(&turns.next, sizeof(turns.next), GRND_NONBLOCK) == -1)
		turns.next = 0;
	map = make_map(BPF_MAP_TYPE_ARRAY, &turns, sizeof(turns), 1);
	if (map == -1)
		return -1;
	program = load_turns(map, length);
	return program != -1 && reuseport_attach(fd, program) == 0 ? 0 : -1;
}

int reuseport_aim(int fd, const unsigned *weights, unsigned count, const union endpoint *client,
	unsigned place)
{
	struct program p = {.n = 0};

	put_target(&p, client, place);
	return set_shares(&p, fd, weights, count);
}

void reuseport_unshare(int fd)
{
	const int none = 0;

	(void)set_option(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &none, sizeof(none));
}
