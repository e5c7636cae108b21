/* SPDX-License-Identifier: MIT */
#include "os/privilege.h"

#include "base/scope.h"
#include "base/trusted.h"
#include "os/descriptors.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

bool privilege_has(int capability)
{
	struct capset set;

	return capset_get(&set) == 0 && (set.effective >> (unsigned)capability & 1) != 0;
}

static int become_user(uid_t uid, struct error *err)
{
	if (setgroups(0, NULL) == -1)
		return error_set(err, errno, "cannot drop the groups");
	if (setresgid(uid, uid, uid) == -1)
		return error_set(err, errno, "cannot become group %u", uid);
	if (setresuid(uid, uid, uid) == -1)
		return error_set(err, errno, "cannot become user %u", uid);
	return 0;
}

int privilege_shed(uid_t uid, struct error *err)
{
	const struct capset nothing = {0};
	bool root = geteuid() == 0;
	unsigned long count;

	if (privilege_has(CAP_SETPCAP) && capset_bound(0) == -1)
		return error_set(err, errno, "cannot bound the capabilities");
	/* In a user namespace with one user root cannot become another user: root
	 * has no more rights there than that user, and the code below drops those. */
	if (root && trusted_id_is_mapped("/proc/self/uid_map", uid, &count) &&
		trusted_id_is_mapped("/proc/self/gid_map", uid, &count) &&
		become_user(uid, err) == -1)
		return -1;
	if (capset_put(&nothing) == -1 || capset_ambient(0) == -1)
		return error_set(err, errno, "cannot drop the capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return error_set(err, errno, "cannot set no_new_privs");
	if (geteuid() != 0 && setresuid(0, 0, 0) == 0)
		return error_set(err, 0, "privilege could be regained");
	return 0;
}

/* Otherwise the next file that is opened would get the number of a closed stdout. */
int privilege_fill_standard(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) == -1 && errno == EBADF &&
			open("/dev/null", O_RDWR | O_NOCTTY) != fd)
			return -1;
	return 0;
}

static int reset_signals(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t none;

	sigemptyset(&none);
	if (disposition_reset() == -1 || sigaction(SIGPIPE, &ignore, NULL) == -1 ||
		sigaction(SIGXFSZ, &ignore, NULL) == -1)
		return -1;
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

int privilege_clean_start(struct error *err)
{
	if (privilege_fill_standard() == -1)
		return error_set(err, errno, "cannot open '/dev/null'");
	if (descriptors_cloexec(3, ~0U) == -1)
		return error_set(err, errno, "cannot mark the descriptors close-on-exec");
	if (reset_signals() == -1)
		return error_set(err, errno, "cannot reset the signals");
	return 0;
}

int privilege_become_subreaper(struct error *err)
{
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1)
		return error_set(err, errno, "cannot become a subreaper");
	return 0;
}

/* ---- capset ---- */

static uint64_t join_halves(uint32_t low, uint32_t high)
{
	return (uint64_t)high << 32 | low;
}

int capset_get(struct capset *set)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}, {0}};

	if (syscall(SYS_capget, &header, data) == -1)
		return -1;
	set->effective = join_halves(data[0].effective, data[1].effective);
	set->permitted = join_halves(data[0].permitted, data[1].permitted);
	set->inheritable = join_halves(data[0].inheritable, data[1].inheritable);
	return 0;
}

int capset_put(const struct capset *set)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)set->effective,
			.permitted = (uint32_t)set->permitted,
			.inheritable = (uint32_t)set->inheritable},
		{.effective = (uint32_t)(set->effective >> 32),
			.permitted = (uint32_t)(set->permitted >> 32),
			.inheritable = (uint32_t)(set->inheritable >> 32)},
	};
	struct capset now;

	if (syscall(SYS_capset, &header, data) == -1 || capset_get(&now) == -1)
		return -1;
	/* the kernel drops bits of capabilities that it does not know, without an error */
	if (now.permitted == set->permitted && now.effective == set->effective)
		return 0;
	errno = EINVAL;
	return -1;
}

int capset_bound(uint64_t keep)
{
	for (unsigned long cap = 0; cap < 64; cap++) {
		int there = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (there == -1)
			break; /* EINVAL: beyond the last capability of this kernel */
		if (there == 1 && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return -1;
	}
	return 0;
}

int capset_ambient(uint64_t keep)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1)
		return -1;
	for (unsigned long cap = 0; cap < 64; cap++)
		if ((keep >> cap & 1) &&
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == -1)
			return -1;
	return 0;
}

/* ---- sandbox ---- */

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

/* Of an argument the lower half, where the flags are: these machines are little-endian. */
#define LOAD(member) \
	(struct sock_filter) BPF_STMT( \
		BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, member))
#define GIVE(verdict) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, (verdict))
#define IF(test, k, yes, no) \
	(struct sock_filter) BPF_JUMP(BPF_JMP | (test) | BPF_K, (k), (yes), (no))

/* The head, two instructions for each call, and the end. */
#define PROGRAM_MAX (20 + 2 * (COUNT_OF(allowed) + COUNT_OF(of_memory)) + 4)

/* Allow the socket options that say how data are sent, and no filter or other interface. */
static unsigned short make_setsockopt(struct sock_filter *code)
{
	unsigned short n = 0;

	code[n++] = IF(BPF_JEQ, SYS_setsockopt, 0, 7);
	code[n++] = LOAD(args[1]);
	code[n++] = IF(BPF_JEQ, IPPROTO_TCP, 0, 3);
	code[n++] = LOAD(args[2]);
	code[n++] = IF(BPF_JEQ, TCP_NODELAY, 2, 0);
	code[n++] = IF(BPF_JEQ, TCP_CORK, 1, 0);
	code[n++] = GIVE(SECCOMP_RET_ERRNO | EPERM);
	code[n++] = GIVE(SECCOMP_RET_ALLOW);
	return n;
}

/* Allow connect(2) with an address that has a family alone.  It can be AF_UNSPEC, which disconnects
 * (of TCP, it sends RST); of every other family no such address is long enough, and refused
 * (__inet_stream_connect(), tcp_v4_pre_connect(), unix_validate_addr() of the kernel). */
static unsigned short make_connect(struct sock_filter *code)
{
	unsigned short n = 0;

	code[n++] = IF(BPF_JEQ, SYS_connect, 0, 4);
	code[n++] = LOAD(args[2]);
	code[n++] = IF(BPF_JEQ, sizeof(sa_family_t), 0, 1);
	code[n++] = GIVE(SECCOMP_RET_ALLOW);
	code[n++] = GIVE(SECCOMP_RET_ERRNO | EPERM);
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
	n = (unsigned short)(n + make_connect(&code[n]));
	for (size_t i = 0; i < COUNT_OF(allowed); i++) {
		code[n++] = IF(BPF_JEQ, allowed[i], 0, 1);
		code[n++] = GIVE(SECCOMP_RET_ALLOW);
	}
	for (size_t i = 0; i < COUNT_OF(of_memory); i++)
		code[n++] = IF(BPF_JEQ, of_memory[i], (uint8_t)(COUNT_OF(of_memory) - i), 0);
	code[n++] = GIVE(SECCOMP_RET_ERRNO | EPERM);
	code[n++] = LOAD(args[2]);
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
