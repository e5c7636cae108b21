/* SPDX-License-Identifier: MIT */
#include "os/spawn/seccomp.h"

#include "base/scope.h"
#include "os/trycall.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* 5.19 */
#endif

/* net.h: the numbers of socketcall(2) */
enum { CALL_BIND = 2, CALL_LISTEN = 4 };

enum { LEVEL_IPV6 = 41, OPTION_V6ONLY = 26 }; /* linux/in6.h */

/* The numbers of one architecture's system calls; 0: no such call. */
struct calls {
	uint32_t arch;
	uint32_t mask; /* of the number; x32 is x86-64 with a bit set */
	uint32_t bind;
	uint32_t listen;
	uint32_t connect;
	uint32_t setsockopt[2];
	uint32_t socketcall;
};

static const struct calls kinds[] = {
#if defined(__x86_64__)
	{AUDIT_ARCH_X86_64, 0xbfffffff, 49, 50, 42, {54, 541}, 0},
	{AUDIT_ARCH_I386, ~0U, 361, 363, 362, {366, 0}, 102},
#elif defined(__i386__)
	{AUDIT_ARCH_I386, ~0U, 361, 363, 362, {366, 0}, 102},
#elif defined(__aarch64__)
	{AUDIT_ARCH_AARCH64, ~0U, 200, 201, 203, {208, 0}, 0},
	{AUDIT_ARCH_ARM, ~0U, 282, 284, 283, {294, 0}, 0},
#elif defined(__riscv) && __riscv_xlen == 64
	{AUDIT_ARCH_RISCV64, ~0U, 200, 201, 203, {208, 0}, 0},
#else
	{0, 0, 0, 0, 0, {0, 0}, 0}, /* no call has this arch: not supported */
#endif
};

/* ---- the filter ---- */

struct program {
	struct sock_filter code[64];
	unsigned short count;
};

static void put_instruction(struct program *p, uint16_t code, uint32_t k)
{
	p->code[p->count++] = (struct sock_filter){code, 0, 0, k};
}

static void put_load(struct program *p, size_t offset)
{
	put_instruction(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

/* Skip so many instructions if the loaded value is equal, or if not. */
static void put_test(struct program *p, uint32_t k, unsigned equal, unsigned other)
{
	p->code[p->count++] =
		(struct sock_filter){BPF_JMP | BPF_K | BPF_JEQ, (uint8_t)equal, (uint8_t)other, k};
}

static void put_end(struct program *p, uint32_t verdict)
{
	put_instruction(p, BPF_RET | BPF_K, verdict);
}

/* Offset of the lower half of an argument: these calls take ints. */
static size_t argument_offset(unsigned n)
{
	size_t at = offsetof(struct seccomp_data, args) + n * sizeof(uint64_t);

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	at += sizeof(uint32_t);
#endif
	return at;
}

/* setsockopt(2) of IPV6_V6ONLY; other options are let go. */
static void put_v6only(struct program *p, uint32_t number)
{
	put_test(p, number, 0, 6);
	put_load(p, argument_offset(1));
	put_test(p, LEVEL_IPV6, 0, 3);
	put_load(p, argument_offset(2));
	put_test(p, OPTION_V6ONLY, 0, 1);
	put_end(p, SECCOMP_RET_USER_NOTIF);
	put_end(p, SECCOMP_RET_ALLOW);
}

static void put_socketcall(struct program *p, uint32_t number)
{
	put_test(p, number, 0, 5);
	put_load(p, argument_offset(0));
	put_test(p, CALL_BIND, 1, 0);
	put_test(p, CALL_LISTEN, 0, 1);
	put_end(p, SECCOMP_RET_USER_NOTIF);
	put_end(p, SECCOMP_RET_ALLOW);
}

static void put_call(struct program *p, uint32_t number)
{
	put_test(p, number, 0, 1);
	put_end(p, SECCOMP_RET_USER_NOTIF);
}

/* Add one architecture's calls.  The architecture is loaded, here and at the next row. */
static void add_row(struct program *p, const struct calls *c, enum seccomp_calls which)
{
	const unsigned short start = p->count;

	put_test(p, c->arch, 0, 0);
	put_load(p, offsetof(struct seccomp_data, nr));
	if (c->mask != ~0U)
		put_instruction(p, BPF_ALU | BPF_AND | BPF_K, c->mask);
	if (which == SECCOMP_CONNECTS) {
		put_call(p, c->connect);
	} else {
		put_call(p, c->bind);
		put_call(p, c->listen);
	}
	for (size_t i = 0; i < COUNT_OF(c->setsockopt); i++)
		if (which == SECCOMP_BINDS_V6ONLY && c->setsockopt[i] != 0)
			put_v6only(p, c->setsockopt[i]);
	if (which != SECCOMP_CONNECTS && c->socketcall != 0)
		put_socketcall(p, c->socketcall);
	put_end(p, SECCOMP_RET_ALLOW);
	p->code[start].jf = (uint8_t)(p->count - start - 1);
}

/* Of no program, the kernel looks at the flags only: EFAULT, or EINVAL if it does not know one. */
bool seccomp_waits_killable(void)
{
	return trycall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		       SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		       NULL) == -1 &&
		errno == EFAULT;
}

int seccomp_install(enum seccomp_calls which)
{
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	struct program program;
	struct sock_fprog prog;
	int fd;

	errno = ENOSYS;
	if (kinds[0].arch == 0)
		return -1;
	program.count = 0;
	put_load(&program, offsetof(struct seccomp_data, arch));
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		add_row(&program, &kinds[i], which);
	put_end(&program, SECCOMP_RET_ALLOW); /* an architecture of no row */
	prog = (struct sock_fprog){program.count, program.code};
	fd = (int)trycall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog);
	if (fd == -1 && errno == EINVAL) /* before 5.19 */
		fd = (int)trycall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	return fd;
}

/* ---- the calls ---- */

/* A newer kernel may write more than the header knows: the rest is room. */
union message {
	struct seccomp_notif notif;
	struct seccomp_notif_resp resp;
	char room[512];
};

static void decode_call(struct seccomp_notice *n, const struct seccomp_data *data)
{
	const struct calls *c = array_find(kind, kinds, COUNT_OF(kinds), kind->arch == data->arch);
	uint32_t number = (uint32_t)data->nr & (c != NULL ? c->mask : ~0U);

	n->fd = (int)data->args[0];
	n->at = data->args[1];
	n->size = (uint32_t)data->args[2];
	n->backlog = (int)data->args[1];
	n->call = SECCOMP_LISTEN;
	if (c == NULL)
		return;
	if (number == c->bind)
		n->call = SECCOMP_BIND;
	if (number == c->connect)
		n->call = SECCOMP_CONNECT;
	if (number == c->setsockopt[0] || number == c->setsockopt[1]) {
		n->call = SECCOMP_V6ONLY;
		n->at = data->args[3];
		n->size = (uint32_t)data->args[4];
	}
	if (c->socketcall != 0 && number == c->socketcall) {
		n->call = SECCOMP_ARGUMENTS;
		n->backlog = (int)data->args[0]; /* of socketcall(2): which call */
		n->size = SECCOMP_ARGUMENTS_MAX * sizeof(uint32_t);
		if (data->args[0] == CALL_BIND)
			n->size = 3 * sizeof(uint32_t);
		else if (data->args[0] == CALL_LISTEN)
			n->size = 2 * sizeof(uint32_t);
	}
}

void seccomp_arguments(struct seccomp_notice *notice, const uint32_t words[SECCOMP_ARGUMENTS_MAX])
{
	notice->call = notice->backlog == CALL_BIND ? SECCOMP_BIND : SECCOMP_LISTEN;
	notice->fd = (int)words[0];
	notice->at = words[1];
	notice->size = words[2];
	notice->backlog = (int)words[1];
}

int seccomp_receive(int fd, struct seccomp_notice *notice)
{
	union message m;

	memset(&m, 0, sizeof(m)); /* the kernel refuses anything but zeros */
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &m.notif) == -1)
		return errno == ENOENT || errno == EINTR || errno == EAGAIN ? 0 : -1;
	notice->id = m.notif.id;
	notice->tid = (pid_t)m.notif.pid;
	decode_call(notice, &m.notif.data);
	return 1;
}

bool seccomp_waits(int fd, uint64_t id)
{
	return ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static void send_response(int fd, uint64_t id, int error, uint32_t flags)
{
	union message m;

	memset(&m, 0, sizeof(m));
	m.resp.id = id;
	m.resp.error = -error;
	m.resp.flags = flags;
	/* ENOENT: the caller has gone; EINPROGRESS, EINVAL: impossible here */
	(void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &m.resp);
}

void seccomp_answer(int fd, uint64_t id, int error)
{
	send_response(fd, id, error, 0);
}

void seccomp_continue(int fd, uint64_t id)
{
	send_response(fd, id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

int seccomp_put(int fd, uint64_t id, int ours, int theirs, bool cloexec)
{
	struct seccomp_notif_addfd add = {
		.id = id,
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (uint32_t)ours,
		.newfd = (uint32_t)theirs,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};

	return ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) == -1 ? -1 : 0;
}
