/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/nsec.h"
#include "core/event.h"
#include "os/socket/socket.h"
#include "os/spawn/spawn.h"
#include "supervisor/common/role.h"
#include "supervisor/sockets/state.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* The state of the room workers: these structs are members of the structs in common/state.h. */
struct child;
struct last_look;

/* Finds and reaps strays: children that are no workers (strays.h). */
struct reaper {
	ev_timer sweep; /* when to reap, and to see whether half of a stop-timeout is over */
	bool sweep_due;
	nsec_t last_sweep;
	struct child *left; /* workers whose main process has ended */
	ev_timer look;      /* when to look again for their leftovers */
	nsec_t pause;       /* between two such looks */
	nsec_t look_took;
	bool strays_live;      /* the last walk has seen living strays */
	nsec_t daemon_at;      /* when the event `daemonised` was published last; or 0 */
	int oom_fd;            /* the cgroup file with the count of OOM kills */
	long oom_kills;        /* the count so far; < 0: not known */
	pid_t *first_children; /* children that nclust had when it started: no strays */
	size_t first_children_count;
};

/* The logger, which writes the workers' output (logger_life.h). */
struct logger {
	bool stdout_is_terminal;
	ev_io watcher; /* its fd: the channel, or -1 */
	struct role_life life;
	bool taken; /* the logger of an earlier nclust, which still writes where that one did */
	uint64_t last_log; /* the highest number of a slotlog so far */
	nsec_t routed;     /* when the logger was started that knows service.routed */
	bool no_pty;       /* the last pseudo-terminal could not be opened */
	ev_timer ends;     /* when a logger that was killed must have ended */
};

/* Closes descriptors that workers have made (async_close.h). */
struct closer {
	ev_timer look; /* for what is next: a start, or a child that hangs */
	/* Descriptors that wait to be closed, the oldest first. */
	struct async_close *list; /* heap */
	size_t count;
	size_t room;
	uint64_t killed; /* the last worker that was killed for its descriptors */
};

/* What a spawn needs until it has ended, used again and again. */
struct scratch {
	int channel[2]; /* a pair of sockets (spawn.h); -1: not open */
	struct buffer text;
	char **list;
	size_t size;
	char entered[SPAWN_ENTERED];
};

/* What nclust needs to start workers (child.h, recipe.h). */
struct births {
	uint64_t next_serial;
	struct scratch scratch[SPAWN_MANY]; /* of workers that are started at once */
	struct rlimit nofile;               /* nclust's limit when it started, which workers get */
	char oom_score_adj[16];             /* of workers; "": they inherit nclust's */
};

/* A path of a unix socket that a worker has bound by itself (paths.h). */
struct path {
	struct path *next;
	char *name;
	struct socket_file file;
	bool given_back;   /* nclust has put the name back since a worker removed it */
	uint64_t given_up; /* the serial of the worker that was to bind the name then; or 0 */
};

/* The room's part of a worker. */
struct worker_life {
	struct path *paths;       /* heap */
	int notify;               /* its notify socket, or -1 */
	unsigned signalled_count; /* of `signalled` */
	pid_t *signalled;         /* leftovers that got the signal: heap, or NULL */
	char *status;             /* STATUS=, heap, or NULL */
	char *cause;              /* why it will end, heap (trouble.h); or NULL */
	nsec_t cause_at;          /* when that was set */
	char *waits; /* the lock that it waits for, heap (intercept/internal.h); or NULL */
	struct last_look *last_look; /* heap (use.h), or NULL */
	nsec_t span_began;           /* when the present minute of news_spares() began */
	unsigned left_out;           /* events left out in this minute */
	uint8_t published;           /* events published in this minute */
	bool killed_by_us;
	bool sigkilled; /* SIGKILL has ended it, or its program below a shell */
	enum SMALL { OOM_UNKNOWN, OOM_KILLED, OOM_NOT_KILLED } oom; /* what its own cgroup says */
	bool paused;       /* nclust sent SIGSTOP (job control) */
	bool handles;      /* it has a handler for its stop signal */
	bool shell_waits;  /* a shell that may wait for its child before it ends */
	bool ended_before; /* it had ended before the first stop signal */
	int stopped_by;    /* the last stop signal that was sent; or 0 */
	nsec_t signal_at;  /* when its leftovers get the signal; 0: at once */
};

/* A worker whose main process has ended (leftovers.h). */
struct leftovers {
	struct child *next; /* in reaper.left */
	struct ending ending;
	nsec_t since;
	int signal;     /* the signal for its leftovers; or 0 */
	unsigned found; /* how many leftovers the last look has found so far */
};

/* The latest output of the workers of a slot (slotlog.h). */
struct slotlog {
	struct slotlog *next;
	uint64_t number;    /* the later a slotlog was made, the higher */
	uint64_t keeper_id; /* its id, if the keeper holds it (orphans/internal.h); or 0 */
	uint32_t slot;
	int fd;
};

/* The addresses on which workers of a cluster listen (ports.h). */
#define PORTS_MAX 64 /* a bit each in listening.ports */
struct port {
	char *text;      /* "": an unknown address of a worker; NULL: a free entry */
	uint64_t worker; /* the first worker that listened on it */
	unsigned flags;  /* PORT_... */
};

/* The last worker of a slot that became ready. */
struct former {
	uint64_t generation;
	uint64_t ports;
};

struct ports {
	struct port list[PORTS_MAX];
	struct former *formers; /* heap; by slot */
	size_t slots;
	struct port *taken; /* reading a state: the entry of the next fields; or NULL */
};

/* The room's part of a cluster. */
struct cluster_life {
	struct ports ports;
	struct recipe *recipes; /* newest first */
	struct slotlog *logs;   /* heap; newest first */
	nsec_t begun;           /* when its first worker was started; or 0 */
	uint64_t daemons[8];    /* sessions of daemons (intercept.h), the newest first; or 0 */
	int stop_signal;        /* in place of the first stop signal of the settings; or 0 */
	nsec_t whole_at;        /* the allowance of all its workers (common/allowance.h) */
	bool spawn_hung;        /* its last spawn took too long: a file server? */
	bool spawn_works;       /* its last spawn succeeded */
	nsec_t drop_at;         /* when a loss of output was last published; or 0 */
	uint64_t drop_known;    /* lost lines that were published, in all */
	nsec_t fail_at[16];     /* when a failed start was last logged, by its cause; or 0 */
	unsigned start_fails;   /* starts that have failed since then */
	int fail_code;          /* of the last of these */
};

/* The program that runs a worker of Node's cluster module (nodecommand.h). */
enum node_runtime {
	NODE_NONE,
	NODE_NODE,
	NODE_BUN,
	NODE_DENO, /* in states of earlier versions only */
};

/* What all workers of a generation have in common: where their program is searched for, the
 * environment that does not differ by worker, ids, limits and listeners. */
struct recipe {
	unsigned generation;
	struct cluster_settings *settings; /* a reference */
	struct strings candidates;         /* paths at which the program may be */
	struct strings environment;        /* the last `templates` of them differ by worker */
	unsigned templates;
	char *entered; /* where its workers have started, links resolved; heap, or NULL */
	bool has_port;
	gid_t *groups;
	size_t group_count;
	struct rlimit limits[LIMITS_MAX + 1];
	int limit_resources[LIMITS_MAX + 1];
	size_t limit_count;
	struct listener_set listeners;
	struct segment *segment;   /* NULL: no shared memory */
	enum node_runtime runtime; /* NODE_NONE also if the settings do not ask for it, or a worker
				      took no channel */
	struct recipe *next;
};
