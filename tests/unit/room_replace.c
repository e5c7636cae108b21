/* SPDX-License-Identifier: MIT */
#include "room_lib.h"

#include "os/clock.h"
#include "os/fdpass.h"
#include "os/look/look.h"
#include "os/look/remote.h"
#include "os/look/remote_waits.h"
#include "os/pidfd.h"
#include "os/place/statefile.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/socket/endpoint.h"
#include "os/socket/reuseport.h"
#include "os/socket/sockdiag.h"
#include "os/socket/socket.h"
#include "os/socket/socket_unix.h"
#include "os/spawn/seccomp.h"
#include "os/spawn/spawn.h"
#include "os/vfork.h"
#include "supervisor/common/async_close.h"
#include "supervisor/control/status.h"
#include "supervisor/drain/internal.h"
#include "supervisor/hooks/helper.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/node/node.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/environment.h"
#include "supervisor/workers/logger_life.h"
#include "supervisor/workers/nodecommand.h"
#include "supervisor/workers/strays.h"

/*
 * Functions of nclust that tests of rooms replace (REPLACED in room_lib.h).  The linker
 * lets all other files call them by way of a pointer (--wrap, see Makefile).
 */
#if defined(__x86_64__)
#define JUMP(f) "jmp *replaced_" #f "(%rip)\n"
#elif defined(__aarch64__)
#define JUMP(f) \
	"adrp x16, replaced_" #f "\nldr x16, [x16, :lo12:replaced_" #f "]\n" \
	"br x16\n"
#else
#error "which instruction jumps to where a variable says?"
#endif

#define REPLACEABLE(f) \
	extern __typeof__(f) __real_##f; \
	extern __typeof__(f) *replaced_##f; \
	__typeof__(f) *replaced_##f = __real_##f; \
	__asm__(".text\n.globl __wrap_" #f "\n.type __wrap_" #f ", %function\n" \
		"__wrap_" #f ":\n" JUMP(f));

REPLACEABLE(capture_ask_last)
REPLACEABLE(child_has_left_trap)
REPLACEABLE(child_peek)
REPLACEABLE(clock_now)
REPLACEABLE(clock_wall)
REPLACEABLE(clock_worked)
REPLACEABLE(connections_activity)
REPLACEABLE(connections_add)
REPLACEABLE(connections_end)
REPLACEABLE(drain_glance)
REPLACEABLE(environment_look)
REPLACEABLE(group_listen)
REPLACEABLE(learned_by_inode)
REPLACEABLE(orphan_state_write)
REPLACEABLE(fdpass_look)
REPLACEABLE(fdpass_receive)
REPLACEABLE(fdpass_receive_apart)
REPLACEABLE(fdpass_refuse)
REPLACEABLE(async_close)
REPLACEABLE(async_hang_up)
REPLACEABLE(async_close_read)
REPLACEABLE(group_had_inode)
REPLACEABLE(helper_facts)
REPLACEABLE(helper_forget)
REPLACEABLE(helper_number)
REPLACEABLE(helper_start)
REPLACEABLE(helpers_free)
REPLACEABLE(hooks_are_under_way)
REPLACEABLE(logger_send)
REPLACEABLE(messages_show)
REPLACEABLE(node_taken)
REPLACEABLE(nodecommand_look)
REPLACEABLE(peer_accept)
REPLACEABLE(pidfd_is_stopped)
REPLACEABLE(pidfd_of)
REPLACEABLE(pidfd_peek)
REPLACEABLE(pidfd_reap)
REPLACEABLE(pidfd_signal)
REPLACEABLE(pidfd_signal_group)
REPLACEABLE(privilege_has)
REPLACEABLE(process_awake)
REPLACEABLE(process_children)
REPLACEABLE(process_crowd)
REPLACEABLE(process_each)
REPLACEABLE(process_is_runnable)
REPLACEABLE(process_look)
REPLACEABLE(process_memory)
REPLACEABLE(process_memory_share)
REPLACEABLE(process_ran)
REPLACEABLE(process_starved)
REPLACEABLE(process_status)
REPLACEABLE(process_tree)
REPLACEABLE(reuseport_unmute)
REPLACEABLE(seccomp_receive)
REPLACEABLE(strays_kill)
REPLACEABLE(strays_signal)
REPLACEABLE(remote_awaits)
REPLACEABLE(remote_each_fd)
REPLACEABLE(remote_fd)
REPLACEABLE(remote_fd_flags)
REPLACEABLE(seccomp_answer)
REPLACEABLE(seccomp_waits)
REPLACEABLE(serves_hold)
REPLACEABLE(socket_connect_at)
REPLACEABLE(socket_peer)
REPLACEABLE(sockdiag_each_tcp)
REPLACEABLE(spawn)
REPLACEABLE(spawn_many)
REPLACEABLE(statefile_free)
REPLACEABLE(vfork_run)

/* ---- moments ---- */

/* What moments.c calls (HOOKS, see Makefile) does nothing, unless its room hears. */
static int hear_nothing(void)
{
	return 0;
}
#define NOTHING ((SFun)(uintptr_t)hear_nothing)

#define HOOK(f) \
	extern void __real_##f(void); \
	extern SFun replaced_##f; \
	SFun replaced_##f = NOTHING; \
	__asm__(".text\n.globl __wrap_" #f "\n.type __wrap_" #f ", %function\n" \
		"__wrap_" #f ":\n" JUMP(f));
HOOKS
#undef HOOK

#define HOOK(f) {#f, &replaced_##f, __real_##f},
static const struct {
	const char *name;
	SFun *where;
	SFun real;
} hooks[] = {HOOKS};

static void stop_plainly(struct child *child, int signal, nsec_t span)
{
	(void)span;
	if (signal != 0)
		child_signal(child, signal);
}

static bool is_of(const char *name, const char *word)
{
	size_t len = strlen(word);

	return strncmp(name, word, len) == 0 && name[len] == '_';
}

void room_hears(const char *file, const char *const *rooms)
{
	for (size_t i = 0; i < COUNT_OF(hooks); i++)
		*hooks[i].where = NOTHING;
	unit_replace_all(file);
	for (; *rooms != NULL; rooms++)
		for (size_t i = 0; i < COUNT_OF(hooks); i++)
			if (is_of(hooks[i].name, *rooms) && *hooks[i].where == NOTHING)
				*hooks[i].where = hooks[i].real;
	if (replaced_drain_on_stop == NOTHING)
		replaced_drain_on_stop = (SFun)(uintptr_t)stop_plainly;
}
