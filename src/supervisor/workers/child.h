/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/process.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/state.h"

void workers_on_go_on(struct supervisor *sup);
void workers_on_shutdown(struct supervisor *sup);
void workers_on_renew(struct supervisor *sup);

/* A child is the process of a worker: its pidfd, pipes, notify socket and watchers.
 * children_spawn() makes it.  It is freed when nothing is left of the process, before the core gets
 * the event, because the core may spawn a successor at once. */

/* Is what workers read /dev/null, which ends at once? */
bool children_read_null(const struct supervisor *sup);

/* Start workers that the core asked for.  answers[] become events for the core:
 * SPAWNED or SPAWN_FAILED. */
void children_spawn(struct service *service, const struct action *const *actions,
	struct event *answers, unsigned count);

/* accept = yes: start a process in the slot of `place`, for its connection.  NULL: it could not be
 * started, *why is set, and the failure was explained. */
struct worker_place;
struct child *child_serve(
	struct service *service, const struct worker_place *place, struct ending *why);

/* The settings of the worker's generation: those in force, or those that it was started with.
 * NULL: the core has dropped them, because the worker is being replaced. */
const struct cluster_settings *child_settings(const struct child *child);
/* Make the child of a living worker of an earlier nclust; takes over the pidfd.  NULL: out of
 * memory, or the slot is full. */
struct child *child_adopt(
	struct service *service, uint32_t slot, uint64_t worker, pid_t pid, int pidfd);

/* Drain the worker within that time, or stop it by this signal, in the way of the first room that
 * takes it (moment_stop()). */
void child_drain(struct child *child, nsec_t span);
void child_stop(struct child *child, int signal);
void child_signal(struct child *child, int signal);     /* the process alone */
void child_kill_group(struct child *child, int signal); /* its process group */
/* Signal the worker's process group, or the process alone if it has no group of its own, without a
 * log line.  -1 and errno. */
int child_signal_group(const struct child *child, int signal);

/* Have all processes ended that had the worker's seccomp filter?  Then its notify fd has
 * POLLHUP. */
bool child_has_left_trap(const struct child *child);

/* Was the worker asked to stop? */
bool child_is_stopping(const struct child *child);

/* The worker's pidfd is readable. */
void child_hear_exit(struct child *child);
/* Has the main process of the worker ended?  Then reap it, and look for leftovers.  True: all of the
 * worker has ended, and `child` is free. */
bool child_main_exited(struct child *child);
/* No leftovers of the worker live any more: tell the core. */
void child_all_exited(struct child *child);

/* For an upgrade (carried.h): make an empty child; put it into its slot when it is filled (-1: the
 * slot is full, or its pid is another child's); watch it again. */
struct child *child_new(struct service *service);
int child_settle(struct child *child);
void child_resume(struct child *child);

/* For renew_init(): replace workers that have the former socket of a listener. */
void child_on_renewed(struct ev_loop *loop, ev_timer *timer, int revents);

/* ---- readiness ---- */

/* Each worker has a NOTIFY_SOCKET of its own.  A message counts if its sender, by SCM_CREDENTIALS,
 * is the worker or belongs to the worker's session; other messages are refused, which is logged
 * once. */
int readiness_open(struct child *child, const struct cluster_settings *settings, struct error *err);
/* Bind the socket anew if its file was removed. */
void readiness_renew(struct child *child);
/* The worker's socket is readable. */
void readiness_hear(struct child *child);
/* After an upgrade: watch the worker's socket again. */
void readiness_resume(struct child *child);
/* Receive all queued messages; called also before the worker is reaped. */
void readiness_drain(struct child *child);
/* Use `fd`, the socket that an earlier nclust had for the worker; -1: bind a new one. */
void readiness_adopt(struct child *child, int fd);
void readiness_close(struct child *child);
/* The worker was not ready in time: with `ready = auto` nclust expects of it what others have done,
 * with `ready = notify` a message. */
void readiness_explain_timeout(struct service *service, const struct report *r);
/* Why a worker that fails a rollout was not ready in time. */
void readiness_explain_late(const struct service *service, const struct report *r);

/* ---- ports ---- */

/*
 * The addresses that workers of a cluster listen on.  With readiness by listening, a worker of a
 * new generation is ready when it listens on all addresses that the worker which it replaces opened
 * within 10 s of its first one, and has not closed.
 *
 * A unix path counts only when two workers have listened on it, because a path that differs from
 * copy to copy is private to its worker.
 */

/* The worker listens on that address.  `named`: by a setting; `shared`: the unix path is not
 * private.  Returns whether other workers have listened on it, or share it.  "": an unknown
 * address. */
bool ports_note(struct child *child, const char *text, bool named, bool shared);
/* The bit of this address in listening.ports; 0: no worker has listened there. */
uint64_t ports_bit(const struct service *service, const struct listener *l);
/* The worker has called listen(2) on that address: note it for all workers of its generation. */
void ports_tell(struct child *child, uint64_t bit);
/* Has another worker of the generation called listen(2) there, but not this worker? */
static inline bool ports_lacks(const struct child *child, uint64_t bit)
{
	return (child->listening.of_generation & ~child->listening.ports & bit) != 0;
}
/* The worker has closed the listener. */
void ports_forget(struct child *child, const struct listener *l);
/* Do other workers listen on a TCP address on which this worker does not?  Late addresses do not
 * count. */
bool ports_lacks_one(const struct child *child);

/* Did any worker, even if it is gone, listen on TCP? */
bool ports_any_tcp(const struct service *service);

/* Does the worker listen on an address that counts?  `guess`: a unix path counts as long as it is
 * not known to be private. */
bool ports_any(const struct child *child, bool guess);

/* A worker was started: note the addresses of the worker that it replaces, and of workers of its
 * generation. */
void ports_expect(struct child *child);
/* Must the worker listen on an address of an older generation's worker that it replaces? */
bool ports_expects(const struct child *child);
/* Does it listen on a port that words of its settings name, and those of the worker before do not?  Such a
 * word overrules what a file of the program's names. */
bool ports_named_anew(const struct child *child);
/* A port of the worker before, of the same generation, where clients wait in vain: no worker has
 * it, nor has this one another port of that worker's.  NULL: there is none. */
struct listener *ports_deserted(const struct child *child);
/* The first address of either kind on which it does not listen yet; NULL: it listens on all. */
const char *ports_missing(const struct child *child);

/* The worker is ready: its successor is compared with it. */
void ports_on_ready(const struct child *child);

/* How addresses go through an upgrade, in the group of their cluster. */
extern const struct carried carried_ports;
void ports_free(struct service *service);

/* ---- paths ---- */

/* Unix paths that programs bind by themselves.  A server that ends removes its path, although the
 * file there may be its successor's.  So nclust gives each worker's file a second hard link
 * (socket_unix.h), and puts back a path that is missing. */

/* A thread of the worker listens on that path: give its file (ino 0: unknown) a second name. */
void paths_keep(struct child *child, const char *path, pid_t tid, const struct socket_file *file);
/* The ids and groups that this thread of the worker has now, because it may have given up some of
 * those with which it was started, so that nclust can do at this path what it can do, and no more.
 * -1: nclust cannot: it has another root or mount namespace, or is a root with fewer rights. */
int paths_user(const struct child *child, pid_t tid, const char *path, struct vfork_user *user);
void paths_resume(struct child *child);
/* If a path is missing, put back that of the youngest worker that is not stopping.  And: look at all
 * paths and listeners, because the name of one has changed. */
void paths_look(struct service *service);
void paths_on_changed(struct ev_loop *loop, ev_timer *timer, int revents);
/* A thread of the worker binds that address, perhaps a path, now. */
void paths_bind(const struct child *child, pid_t tid, const void *address, size_t size);
/* Do all paths of the worker lead to sockets of other processes by now? */
bool paths_are_others(const struct child *child);
/* The worker has ended: remove its files. */
void paths_drop(struct child *child);

/* How a path goes through an upgrade. */
extern const struct carried carried_path;

/* ---- use ---- */

/*
 * What a worker and all of its processes use: CPU time, and memory by RssAnon and RssShmem of
 * /proc/PID/status, which is cheap and leaves out pages of files, which the kernel can take back.
 * Pages that processes of a tree share since a fork are counted for each process.  So if several
 * processes together are over a limit, the sum is counted again by Pss of smaps_rollup, which is
 * slow: after 20 ms the rest is estimated.
 */
struct tree_use {
	unsigned processes;
	nsec_t cpu; /* CPU time so far, also of processes that have ended */
	uint64_t memory;
	uint64_t rss; /* of the main process, with pages of files */
	bool stopped; /* the main process is stopped by a signal */
};

/* What the last look at a worker has found. */
struct last_look {
	struct tree_use use;
	nsec_t ran; /* process_ran() before the look */
	nsec_t at;
	nsec_t took;
};

/* Measure; false: the worker is gone.  Returns the last values again for some seconds if the worker
 * has not run since, or if measuring takes long. */
bool use_look(struct child *child, struct tree_use *use);

/* Measure the CPU time alone, now. */
nsec_t use_cpu(const struct child *child);
/* Measure the memory alone, now; a sum over `limit` is counted again by Pss. */
uint64_t use_memory(const struct child *child, uint64_t limit);

/* ---- leftovers ---- */

/*
 * Leftovers: processes that the main process of a worker leaves when it ends, such as the server
 * below a shell.  The stop signal goes to the main process alone.  When that has ended, each
 * leftover gets the signal once, and the rest of stop-timeout; the worker has ended when no
 * leftover lives.
 *
 * A main process that did not die of the signal may have passed it on, and many programs end at
 * once if they get it twice: then leftovers get the signal at half of stop-timeout.
 */

/* The main process is about to get a stop signal. */
void leftovers_on_signal(struct child *child, int signal);

/* The main process has ended as `end` says. */
void leftovers_on_end(struct child *child, const struct pidfd_end *end);

/* The main process is reaped: wait for its leftovers.  False: the worker has ended. */
bool leftovers_begin(struct child *child, const struct ending *ending);

/* The worker with leftovers whose main process led that session; or NULL. */
struct child *leftovers_of_session(const struct supervisor *sup, pid_t session);
/* The worker among whose leftovers `pid` got a signal; or NULL. */
struct child *leftovers_signalled(const struct supervisor *sup, pid_t pid);

/* A descendant of the main process, which may have ended, is about to be continued: send it the
 * signal if that is due, or if `parent` is a shell that will die of the signal. */
void leftovers_tell_frozen(struct child *child, pid_t parent, pid_t pid, int pidfd);

/* `pid`, a child of nclust, is a living leftover: send it the signal, if that is due. */
void leftovers_found(struct child *child, pid_t pid, int pidfd);

/* Send the group of an adopted worker the signal, if that is due.  Returns 1 if leftovers may
 * live. */
unsigned leftovers_of_group(struct child *child);

/* SIGKILL all processes below `pid`, which gets SIGKILL, too: `pid` may hang in the kernel until a
 * process below it ends, such as its own FUSE server. */
void leftovers_kill_below(const struct child *child, pid_t pid, int pidfd);

/* Send this signal to all leftovers from now on, even if they had a signal before. */
void leftovers_signal(struct child *child, int signal);

/* Signal the processes below shells for which half of their stop-timeout is over. */
void leftovers_at_half_time(struct supervisor *sup);

void leftovers_free(struct child *child);

/* ---- strays ---- */

/* Strays: children of nclust that are no workers and no jobs.  (The end of a worker begins in
 * child_main_exited().)  nclust is a subreaper (or PID 1), so processes whose parents end become
 * its children.  nclust reaps strays that exit, and ends processes that a dead worker has left. */
int strays_init(struct supervisor *sup, struct error *err);
/* After an upgrade: look for children that have exited during it. */
void strays_resume(struct supervisor *sup);
void strays_fini(struct supervisor *sup);

/* SIGCHLD came for `pid`; the kernel may have merged SIGCHLDs for other children into it. */
void strays_on_sigchld(struct supervisor *sup, pid_t pid);

/* The main process of the worker was reaped: are there certainly no leftovers? */
bool strays_none_of(struct child *child);
/* Count the worker's leftovers; 1 also if the last walk over all children was just now.
 * child_all_exited() follows when a later walk finds none. */
unsigned strays_count_of(struct child *child);
/* Reap strays, and look for shells at half of their time, within that time. */
void strays_sweep_within(struct supervisor *sup, nsec_t wait);
/* Walk over all children again soon, with a small part of nclust's time. */
void strays_look_soon(struct supervisor *sup);
/* Workers whose main process has ended count as ended, even if leftovers live. */
void strays_end_workers(struct supervisor *sup);
/* Is the process one of a daemon's (intercept.h), and has the cluster not ended? */
bool service_has_daemon(const struct service *service, pid_t pid);
/* Signal all strays; returns their number.  0: there are no strays, and no children of strays. */
unsigned strays_signal(struct supervisor *sup, int signal);
/* SIGKILL all strays and what they fork, for a bounded time; returns how many are left. */
unsigned strays_kill(struct supervisor *sup);
/* Put the pids of at most `most` strays into `to`; returns their number. */
size_t strays_list(struct supervisor *sup, pid_t *to, size_t most);

/* Did the last SIGKILL come from the kernel's OOM killer? */
bool strays_saw_oom_kill(struct supervisor *sup);
