/* SPDX-License-Identifier: MIT */
#include "os/privilege.h"

#include "base/scope.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* No filter lets pass the system calls that sanitizers make at the end. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* On other machines the same numbers mean other system calls. */
#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define OUR_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#endif

#ifdef OUR_ARCH

static const uint32_t allowed[] = {
	SYS_read,
	SYS_write,
	SYS_readv,
	SYS_writev,
	SYS_recvfrom,
	SYS_sendto,
	SYS_recvmsg,
	SYS_sendmsg,
	SYS_accept4,
	SYS_shutdown,
	SYS_close,
	SYS_fcntl,
	SYS_getsockopt,
	SYS_getsockname,
	SYS_getpeername,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
#ifdef SYS_epoll_pwait2
	SYS_epoll_pwait2,
#endif
	SYS_epoll_pwait,
	SYS_epoll_ctl,
	SYS_epoll_create1, /* libev makes its epoll set anew after an error */
	SYS_ppoll,
#ifdef SYS_poll
	SYS_poll,
#endif
	SYS_timerfd_settime,
#ifdef SYS_timerfd_settime64
	SYS_timerfd_settime64,
#endif
#ifdef SYS_clock_gettime64
	SYS_clock_gettime64,
#endif
	SYS_clock_gettime,
	SYS_gettimeofday,
	SYS_getrandom,
	SYS_getpid,
	SYS_setitimer, /* an alarm that interrupts an accept(2) */
	SYS_brk,
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_futex,
	SYS_rt_sigreturn,
	SYS_rt_sigprocmask,
	SYS_restart_syscall,
	SYS_exit,
	SYS_exit_group,
};

/* System calls that are allowed if their third argument does not ask for executable memory. */
static const uint32_t of_memory[] = {
#ifdef SYS_mmap2
	SYS_mmap2,
#else
	SYS_mmap,
#endif
	SYS_mprotect,
};

/* The lower half of an argument, where the flags are. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LOW_HALF sizeof(uint32_t)
#else
#define LOW_HALF 0
#endif

#define LOAD(member) \
	(struct sock_filter) BPF_STMT( \
		BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, member))
#define GIVE(verdict) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, (verdict))
#define IF(test, k, yes, no) \
	(struct sock_filter) BPF_JUMP(BPF_JMP | (test) | BPF_K, (k), (yes), (no))

/* The head, two instructions for each call, and the end. */
#define PROGRAM_MAX (15 + 2 * (COUNT_OF(allowed) + COUNT_OF(of_memory)) + 4)

/* Allow the socket options that say how data are sent, and no filter or other interface. */
static unsigned short make_setsockopt(struct sock_filter *code)
{
	unsigned short n = 0;

	code[n++] = IF(BPF_JEQ, SYS_setsockopt, 0, 7);
	code[n] = LOAD(args[1]);
	code[n++].k += LOW_HALF;
	code[n++] = IF(BPF_JEQ, IPPROTO_TCP, 0, 3);
	code[n] = LOAD(args[2]);
	code[n++].k += LOW_HALF;
	code[n++] = IF(BPF_JEQ, TCP_NODELAY, 2, 0);
	code[n++] = IF(BPF_JEQ, TCP_CORK, 1, 0);
	code[n++] = GIVE(SECCOMP_RET_ERRNO | EPERM);
	code[n++] = GIVE(SECCOMP_RET_ALLOW);
	return n;
}

static unsigned short make_program(struct sock_filter *code)
{
	unsigned short n = 0;

	code[n++] = LOAD(arch);
	code[n++] = IF(BPF_JEQ, OUR_ARCH, 1, 0);
	code[n++] = GIVE(SECCOMP_RET_KILL_PROCESS);
	code[n++] = LOAD(nr);
	n = (unsigned short)(n + make_setsockopt(&code[n]));
	for (size_t i = 0; i < COUNT_OF(allowed); i++) {
		code[n++] = IF(BPF_JEQ, allowed[i], 0, 1);
		code[n++] = GIVE(SECCOMP_RET_ALLOW);
	}
	for (size_t i = 0; i < COUNT_OF(of_memory); i++)
		code[n++] = IF(BPF_JEQ, of_memory[i], (uint8_t)(COUNT_OF(of_memory) - i), 0);
	code[n++] = GIVE(SECCOMP_RET_ERRNO | EPERM);
	code[n] = LOAD(args[2]);
	code[n++].k += LOW_HALF;
	code[n++] = IF(BPF_JSET, PROT_EXEC, 0, 1);
	code[n++] = GIVE(SECCOMP_RET_ERRNO | EPERM);
	code[n++] = GIVE(SECCOMP_RET_ALLOW);
	return n;
}

int sandbox_enter(struct error *err)
{
	struct sock_filter code[PROGRAM_MAX];
	struct sock_fprog program = {.filter = code};

	program.len = make_program(code);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
		return error_set(err, errno, "cannot bind itself by seccomp(2)");
	return 0;
}

#else

int sandbox_enter(struct error *err)
{
	return error_set(err, ENOSYS, "there is no filter for this machine");
}

#endif

int sandbox_role(uid_t user)
{
	struct error err;

	if (privilege_shed(user, &err) == -1)
		return -1;
	return SANITIZED ? 0 : sandbox_enter(&err);
}
