/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_WORKERS_STATE_H
#define SUPERVISOR_WORKERS_STATE_H

#include "base/buffer.h"
#include "base/nsec.h"
#include "config/config.h"
#include "core/event.h"
#include "os/eventset.h"
#include "os/socket/socket.h"
#include "os/spawn/spawn.h"
#include "os/vfork.h"
#include "supervisor/common/allowance.h"
#include "supervisor/common/role.h"
#include "supervisor/sockets/state.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/*
 * What this room alone knows: these structs are in those of common/state.h.
 */
struct affinity_map;
struct child;
struct last_look;
struct ports;

/* A look at our children for what dead workers have left (reap.c). */
struct strays {
	pid_t *list; /* NULL: no look is under way */
	size_t count;
	size_t at;   /* the next one */
	bool alive;  /* any is, also another's */
	bool ended;  /* any has, and is not reaped */
	bool execs;  /* any is in execve(2): whose it is can be read in a moment */
	bool killed; /* any was, here */
	nsec_t took;
};

/* Strays: processes that are no workers (reap.h). */
struct reaper {
	ev_timer sweep; /* orphans and strays */
	bool sweep_due;
	nsec_t last_sweep;
	struct child *left; /* those whose main process has ended */
	ev_timer look;      /* when to look again for what they have left */
	nsec_t pause;       /* that long after the last look */
	nsec_t look_took;
	ev_timer half_time;   /* of a shell's stop-timeout (leftovers.c) */
	struct strays strays; /* the look at all of them */
	bool strays_live;     /* the last one has seen some */
	nsec_t daemon_told_at;
	int oom_fd;            /* where the kernel counts those it has killed */
	long oom_kills;        /* seen so far; < 0: cannot be told */
	pid_t *first_children; /* that we had before we began: not ours */
	size_t first_children_count;
};

/* The logger, which writes the workers' output (capture.h). */
struct logger {
	bool stdout_is_terminal;
	ev_io watcher; /* its fd: the channel, or -1 */
	struct role_life life;
	bool taken;            /* it writes still where an earlier one did */
	bool copies;           /* it knows LOGWIRE_COPY */
	bool remembers;        /* LOGWIRE_CAN_REMEMBER */
	uint64_t last_log;     /* number of a slotlog */
	bool routes;           /* it knows LOGWIRE_ROUTE */
	bool no_pty;           /* the last one could not be opened */
	struct eventset pipes; /* of the workers */
	ev_io work;            /* one of them has something */
	ev_timer look;         /* there was work: does it live? */
	unsigned asked;        /* that many looks ago; 0: not */
};

/* Closing what workers have made (foreign.h). */
#define CLOSING_BATCH 64
struct closing {
	int null_fd;
	unsigned count;
	volatile unsigned done;
	int fds[CLOSING_BATCH];
};
/* A child that hangs with what a worker has sent. */
#define HUNG_MOST 64
struct hung {
	pid_t pid;
	uint32_t cluster; /* 0: a client */
	uint64_t owner;
	nsec_t since;
};
/* One at a time for a worker, so that what cannot be closed delays few others. */
#define CLOSERS_MOST 4
struct closing_child {
	struct supervisor *sup;
	ev_io ended; /* its fd: the child's pidfd, or -1 */
	ev_timer patience;
	struct vfork child; /* its pid 0: none runs */
	struct closing closing;
	unsigned seen;  /* had been closed when the patience began */
	uint64_t owner; /* of what it closes: a worker's serial, or 0 */
};
struct closer {
	struct closing_child children[CLOSERS_MOST];
	ev_timer start;
	/* What waits for them, the oldest first. */
	struct foreign *list; /* heap */
	size_t count;
	size_t room;
	uint64_t killed; /* the last worker that was killed for it */
	struct hung hung[HUNG_MOST];
	unsigned hung_count;
	ev_timer overdue;
};

/* argv and environment of one spawn. */
struct scratch {
	struct buffer text;
	char **list;
	size_t size;
	char entered[SPAWN_ENTERED];
};

/* What a worker is made with (child.h, environment.h). */
struct births {
	uint64_t next_serial;
	struct child *spare;                /* freed structs, to be used again */
	struct scratch scratch[SPAWN_MANY]; /* of those that are made at once */
	struct affinity_map *cpus;          /* for `cpu`, as found last; or NULL */
	struct rlimit nofile;               /* as we found it; workers get it back */
	char oom_score_adj[16];             /* of workers; "": as ours */
	int own_score;                      /* where ours is read; 0: not open */
};

/* A unix path that a worker has bound by itself (paths.h). */
struct path {
	struct path *next;
	char *name;
	struct socket_file file;
};

/* Of a worker. */
struct worker_life {
	struct path *paths; /* heap */
	int notify;         /* its notify socket, or -1 */
	struct allowance notify_allowance;
	char *status;                /* STATUS=, heap, or NULL */
	char *cause;                 /* why it will end, heap (trouble.h); or NULL */
	char *waits;                 /* the lock it waits for, heap (startwait.h); or NULL */
	struct last_look *last_look; /* heap (use.h), or NULL */
	nsec_t said_at;              /* what it does was told (news_spares()) … */
	unsigned unsaid;             /* … so often it was not, … */
	uint8_t said;                /* … and so often it was, since then … */
	uint8_t said_span;           /* … for so long: 2^n seconds */
	bool stranger_told;          /* a refused notify message was logged */
	bool bind_told;              /* that it could not bind */
	bool killed_by_us;
	bool sigkilled; /* it has ended by that, or its program did, in a shell */
	enum SMALL { OOM_UNKNOWN, OOM_KILLED, OOM_NOT_KILLED } oom; /* in its cgroup */
	bool paused;       /* nclust sent SIGSTOP (job control) */
	bool handles;      /* it has a handler for its stop signal */
	bool shell_waits;  /* it may wait for its child before it ends */
	int stopped_by;    /* the last stop signal that it got; or 0 */
	bool ended_before; /* … but its end had come before the first */
	nsec_t tell_at;    /* its leftovers are told then; 0: at once … */
	pid_t *told;       /* … and these were: heap, or NULL */
	unsigned told_count;
};

/* Of a worker whose main process has ended (leftovers.h). */
struct leftovers {
	struct child *next; /* in reaper.left */
	struct ending ending;
	nsec_t since;
	int signal;     /* they are to have; or 0 */
	unsigned found; /* by the last look, which may go on */
};

/* What the workers in a slot have written last (slotlog.h). */
struct slotlog {
	struct slotlog *next;
	uint64_t number; /* a later one has a higher one */
	uint64_t held;   /* by the keeper (keeper.h) */
	uint32_t slot;
	int fd;
};

/* Of a cluster. */
struct cluster_life {
	struct ports *ports;         /* heap (ports.h); NULL: nobody listens */
	struct recipe *recipes;      /* newest first */
	struct slotlog *logs;        /* heap; newest first */
	unsigned char *early_deaths; /* by slot, before one of it was ready */
	nsec_t begun;                /* its first worker was started; or 0 */
	int stop_signal;             /* in place of the first one; or 0 */
	nsec_t whole_at;             /* its allowance (allowance.h) */
	bool greed_told;             /* that its workers have used it up */
	bool bind_hint_told;         /* that its workers may bind it themselves */
	bool hung;                   /* its last spawn: a file server? */
	bool goes_well;              /* its last spawn: no command that cannot be run */
	nsec_t drop_told;            /* when the loss of output was told last; or 0 */
	uint64_t drop_known;         /* so many lines in all were told */
	nsec_t unborn_told;          /* when a failed start was logged, … */
	unsigned unborn;             /* … how many failed since then, … */
	int unborn_error;            /* … and the errno of the last one */
	bool limits_told;            /* what is wrong with its cgroups */
	bool log_told;               /* that its output cannot be kept */
	bool crowd_told;             /* that it is not captured of all */
	bool trap_told;              /* why a worker's port was not taken over */
	bool portless_told;          /* that the port of a worker is waited for */
	char *entered;               /* where the last worker was started; heap, or NULL */
	ev_timer paths_look;         /* (paths.h) */
	nsec_t paths_pause;          /* the next one; 0: it has no timer */
};

/* What a command runs that can be a worker of Node's cluster (nodecommand.h). */
enum node_runtime {
	NODE_NONE,
	NODE_NODE,
	NODE_BUN,
	NODE_DENO, /* of an earlier version alone */
};

/*
 * What all workers of one generation have in common, made once: where the
 * program is looked for, the environment that does not differ by worker, ids
 * and limits, and the listeners.
 */
struct recipe {
	unsigned generation;
	struct cluster_settings *settings; /* a reference */
	struct strings candidates;         /* where its program may be */
	struct strings environment;        /* the last `templates` differ by worker */
	unsigned templates;
	bool has_port;
	gid_t *groups;
	size_t group_count;
	struct rlimit limits[LIMITS_MAX + 1];
	int limit_resources[LIMITS_MAX + 1];
	size_t limit_count;
	struct listener_set listeners;
	struct segment *segment;   /* NULL: no shared memory */
	enum node_runtime runtime; /* NODE_NONE also where it is not asked for,
				      or was seen to take no channel */
	struct recipe *next;
};

#endif
