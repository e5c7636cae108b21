/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "config/address.h"

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/*
 * What the user wants, as plain data that all others read.  Made by
 * config/ from the option table (options.c), checked whole, and from then on
 * never changed: a reload makes a new one.
 *
 * `struct settings` is one instance: [nclust] and its clusters.  A `struct
 * cluster_settings` may outlive it, as workers of an old generation still
 * run by it, so it is counted: cluster_settings_ref()/unref().
 */

/*
 * Uids and gids that a role of root's nclust may become.  A process of the same uid
 * can stop a role and bound what it may use, and workers may well be `nobody`; these
 * ids belong to no user: systemd leaves them unused, Debian reserves them, and no
 * program hands them out.  So no cluster may have one as its `user`.  Root's own
 * uid, without capabilities, would be as safe from workers, but not as safe for the
 * host: the logger reads what workers write, and an attacker who took it over that
 * way could still write to all of root's files.
 */
enum { ROLE_UID_FIRST = 65520, ROLE_UID_LAST = 65533 };

struct strings {
	char **list; /* NULL-terminated; NULL when empty */
	size_t count;
};

/* The texts of all values; config/ alone looks inside (option.h). */
struct kept_text {
	unsigned short row; /* of the table */
	short member;       /* of a family */
	unsigned line;      /* of a family: in the cluster's section; 0: it is not from there */
	char *text;
};
struct texts {
	struct kept_text *list;
	size_t count;
};

/* "4", "auto", "auto/2", "2x+1", "50%": fixed, or CPUs * multiply / divide +
 * plus, at least 1. */
struct workers_count {
	unsigned fixed; /* 0: by the CPUs */
	unsigned multiply;
	unsigned divide;
	int plus;
};
/* "4", or "2..8" and "0..auto*2": as many as the load needs.  For one number `least`
 * and `most` are equal. */
struct workers_wanted {
	bool range;
	struct workers_count least; /* all 0: none */
	struct workers_count most;
};

enum ready_mode {
	READY_AUTO,
	READY_NOTIFY,
	READY_ALIVE,
	READY_LISTEN,
	READY_PROBE, /* `ready_probe` succeeds */
};
#define READY_FD_MOST 1000
enum intercept_mode { INTERCEPT_AUTO, INTERCEPT_ON, INTERCEPT_OFF };
/* `threads`: how many threads one worker is to compute with. */
#define THREADS_OFF 0U
#define THREADS_MAX 10000U
#define THREADS_AUTO (THREADS_MAX + 1) /* the CPUs divided by the workers */

enum restart_policy { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };
enum log_mode { LOG_AUTO, LOG_INHERIT, LOG_SINKS, LOG_OFF };
enum sink_kind { SINK_PREFIX, SINK_JSON, SINK_FILE, SINK_JOURNAL, SINK_SYSLOG };
struct log_sink {
	enum sink_kind kind;
	char *path; /* SINK_FILE, or a socket; NULL: the usual one */
	bool old;   /* SINK_SYSLOG: RFC 3164 */
	bool timed; /* SINK_FILE: each line has the time before it */
	/* what it gets; standard output alone if another place is for standard error */
	bool has_stdout;
	bool has_stderr;
	unsigned facility;
};
#define LOG_SINKS_MAX 8U
#define LOG_PATH_MAX 400U /* room for {cluster} and {slot} is taken from it */
enum cpu_mode { CPU_NONE, CPU_SPREAD };
enum balance_mode {
	BALANCE_AUTO,   /* as RR if Node's own environment or another setting asks for
			  that, else as SHARE */
	BALANCE_SHARE,  /* one shared socket */
	BALANCE_RR,     /* one socket for each worker, in turn; for Node's workers
			  nclust accepts, and hands over */
	BALANCE_LEAST,  /* of old, when the kernel chose by load: as SHARE */
	BALANCE_RANDOM, /* by chance */
};
enum sticky_mode { STICKY_OFF, STICKY_CLIENT_ADDRESS };
enum ipc_mode {
	IPC_AUTO, /* a message channel for Node programs */
	IPC_ON,   /* for all */
	IPC_OFF,
};
enum pty_mode { PTY_AUTO, PTY_YES, PTY_NO };
enum orphans_mode { ORPHANS_STOP, ORPHANS_KEEP };
enum leftovers_mode { LEFTOVERS_END, LEFTOVERS_KEEP };
enum drain_mode {
	DRAIN_AUTO,
	DRAIN_QUIET,  /* both: the stop signal comes at a quiet moment */
	DRAIN_SIGNAL, /* at once, and then it has `drain-timeout` at least */
	DRAIN_OFF,    /* at once, and nobody looks at its connections */
};

/* More than `bytes` for `span` (0: at a single look) is too much. */
struct memory_limit {
	uint64_t bytes; /* 0: off */
	nsec_t span;
};

/* A request to a worker whose answer says whether it is well. */
enum probe_kind { PROBE_NONE, PROBE_TCP, PROBE_HTTP, PROBE_EXEC };
struct probe {
	enum probe_kind kind;
	const char *text;       /* PROBE_HTTP: "/path" or "//HOST/path"; PROBE_EXEC: as
		       written */
	struct strings command; /* PROBE_EXEC: argv */
};

/* Sent to a hung worker before its stop signal (core/worker.c). */
enum hang_signal {
	HANG_OFF,
	HANG_QUIT,
	HANG_ABRT,
	HANG_USR1,
	HANG_USR2,
	HANG_SIGNALS,
};

/* `on-EVENT`: the event that runs a hook. */
enum hook_event {
	HOOK_READY,   /* a worker became ready */
	HOOK_EXIT,    /* a worker ended, for whatever reason */
	HOOK_CRASH,   /* a worker ended unasked */
	HOOK_ROLLOUT, /* a rollout began, is done, failed, was superseded */
	HOOK_SCALE,   /* another number of workers is wanted */
	HOOK_STOP,    /* the cluster begins to stop */
	HOOK_HANG,    /* a request is not answered: the worker lives yet */
	HOOK_EVENTS,
};
struct hook {
	const char *text; /* as written; NULL: none */
	struct strings command;
};

enum pass_dialect {
	PASS_SYSTEMD = 1,
	PASS_SERVER_STARTER = 2,
	PASS_EINHORN = 4,
	PASS_PORT = 8,
	PASS_STDIN = 16,
};

/* One step of `stop-signal`: send it, wait so long; after the last step: SIGKILL. */
struct stop_step {
	int signal;
	nsec_t timeout;
};
#define STOP_STEPS_MAX 8

/* The action for a received signal (nclust(1)). */
enum signal_action {
	SIGNAL_DEFAULT, /* as the built-in table says */
	SIGNAL_NEXT,    /* to the next worker in turn */
	SIGNAL_ALL,
	SIGNAL_FIRST,
	SIGNAL_RESTART,
	SIGNAL_RELOAD,
	SIGNAL_STOP,
	SIGNAL_REOPEN_LOGS,
	SIGNAL_UPGRADE,
	SIGNAL_IGNORE,
};
struct signal_rule {
	enum signal_action action;
	int translated; /* what the worker gets instead; 0: the same */
};

struct limit {
	struct rlimit value;
	bool given;
};
#define LIMITS_MAX 16

/* A value that is a `const char *` is a part of `texts`. */
struct cluster_settings {
	struct texts texts; /* first */
	unsigned refs;

	char *name;
	struct strings command;   /* argv; templates not yet replaced */
	const char *command_text; /* as the user wrote it */
	/* the one of the configuration, where 'nclust restart -- COMMAND' gave
	 * another; else NULL */
	char *configured;
	struct workers_wanted workers;
	bool workers_by_default; /* nobody has written how many */
	struct address *listen;
	size_t listen_count;
	unsigned pass; /* enum pass_dialect, or-ed */
	bool listen_pid;
	enum intercept_mode intercept;
	const char *share_ports; /* "8000 8443"; NULL: all */
	enum balance_mode balance;
	nsec_t idle_after;           /* of a range from 0: without clients for so long */
	bool accept;                 /* a process per connection, `workers` at most */
	unsigned accept_per_address; /* 0: off */
	nsec_t accept_timeout;       /* of one connection; 0: off */
	enum sticky_mode sticky;

	const char *directory; /* NULL: inherited */
	/* it is that of the file, or where nclust was started, as nothing else
	 * was said: nclust enters it with its own rights, as it would be
	 * inherited */
	bool directory_of_file;
	bool directory_of_nclust;
	/* where it leads when a reload finds that it has moved; or NULL */
	char *directory_now;
	const char *chroot;
	const char *user; /* as written; the ids are resolved */
	const char *group;
	long uid;      /* -1: inherited */
	long gid;      /* -1: inherited; with `user` alone: that user's */
	long user_gid; /* the group of `user` itself; -1: not known */
	char *login;   /* of `uid` (login_find()); NULL: it has no entry */
	char *home;
	gid_t *groups; /* the supplementary ones; NULL: inherited */
	size_t group_count;
	int umask;               /* -1: inherited */
	int nice;                /* INT_MIN: inherited */
	struct strings env;      /* K=V, in order; no K twice */
	struct strings env_file; /* paths */
	bool clear_env;
	struct strings watch; /* patterns of files (base/glob.h) */
	bool no_new_privs;
	bool capabilities_given;
	uint64_t capabilities;           /* bit n: CAP_n is kept */
	struct limit limits[LIMITS_MAX]; /* index: the resource */
	enum cpu_mode cpu;
	uint64_t memory_max; /* bytes, of a worker's cgroup; 0: no limit */
	uint64_t memory_high;
	unsigned cpu_max; /* per cent of a CPU, of a worker's cgroup; 0: no limit */
	unsigned pids_max;
	unsigned cpu_weight; /* of the cluster's cgroup; 0: the kernel's default */
	unsigned io_weight;
	unsigned threads;      /* THREADS_OFF, THREADS_AUTO or 1..THREADS_MAX */
	int64_t shared_memory; /* 0: off; else as written, not yet whole pages */

	enum ready_mode ready;
	int ready_fd;       /* READY_NOTIFY: also a newline by that descriptor; 0: no */
	nsec_t ready_alive; /* READY_ALIVE, and auto's fallback */
	struct probe ready_probe;
	nsec_t start_timeout;

	const char *fallback; /* "503", a file, or NULL: off */
	char *fallback_page;  /* content of that file; NULL: the built-in page */
	nsec_t fallback_after;
	struct probe check;          /* PROBE_NONE: none */
	struct strings check_header; /* fields of an HTTP request */
	nsec_t check_interval;
	nsec_t check_timeout;
	unsigned check_failures; /* in a row; at least 1 */
	nsec_t watchdog;         /* 0: off */
	nsec_t stall;            /* 0: off */
	nsec_t request_timeout;  /* 0: off */
	enum hang_signal hang_signal;
	struct memory_limit max_memory; /* of one worker */
	nsec_t max_age;                 /* 0: off; +-10 % at random */
	unsigned max_requests;          /* the same, of connections */

	struct stop_step stop[STOP_STEPS_MAX];
	unsigned stop_count; /* at least 1 */
	nsec_t stop_timeout; /* also that of each step in `stop` that has none of its own, by
				which core/worker.c goes */

	nsec_t backoff_min;
	nsec_t backoff_max;
	unsigned backoff_jitter; /* per cent, 0..100 */
	nsec_t stable_after;
	nsec_t restart_pause; /* after a command without a port has ended with success */

	enum restart_policy restart;
	uint64_t success_exit[4]; /* bit n: exit status n is success */
	unsigned give_up_count;   /* 0: never; at most GIVE_UP_MAX */
	nsec_t give_up_window;

	enum drain_mode drain;
	nsec_t drain_timeout;
	const char *hand_on; /* "all", "off" or networks (networks.h); NULL: "local" */

	unsigned surge; /* WORKERS_MAX ("all"): all new workers first, then the old ones go */
	unsigned max_unavailable; /* both may be COUNT_AUTO: see rollout_pace() in core/rollout.h */
	unsigned canary;          /* 0: none */
	nsec_t bake;              /* or BAKE_AUTO */
	unsigned old_generations;
	unsigned spare;         /* ready copies that are held back */
	unsigned start_at_once; /* WORKERS_MAX ("all"), or 0: no limit */

	struct signal_rule signals[NSIG]; /* by the signal that nclust receives */
	enum log_mode log;
	struct log_sink log_sinks[LOG_SINKS_MAX]; /* LOG_SINKS */
	size_t log_sink_count;
	uint64_t log_size; /* 0: never */
	unsigned log_keep;
	nsec_t log_age; /* 0: off */
	struct hook log_compress;
	enum pty_mode pty;
	const char *after; /* "db, migrate: done" (value.h), or NULL */
	struct hook before;
	bool before_of_all; /* one run is for all clusters: `release` */
	struct hook before_stop;
	bool essential;
	bool leader;
	enum orphans_mode orphans;
	enum leftovers_mode leftovers;
	enum ipc_mode ipc;
	const char *relay; /* "others", the name of a cluster, a URL (address.h), or
			NULL: off */
	struct hook hooks[HOOK_EVENTS];
};
#define GIVE_UP_MAX 1000
#define WORKERS_MAX 10000
#define COUNT_AUTO (WORKERS_MAX + 1)
/* stable-after where readiness is guessed, else 0 */
#define BAKE_AUTO NSEC_NEVER
#define ACCEPT_AUTO 32 /* connections at once with `workers = auto` */

/* Where a value came from, for `nclust config` and messages. */
enum origin_kind { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ARGV };

struct settings {
	struct texts texts;            /* first, as in struct cluster_settings */
	const char *name;              /* of the instance; never NULL */
	const char *runtime_directory; /* NULL: as os/rundir chooses */
	const char *control_group;     /* as written, or NULL */
	long control_gid;              /* -1: none */
	int log_level;                 /* enum log_level */
	const char *pidfile;           /* NULL: none */
	struct address http;           /* its text NULL: off */
	struct address agent;          /* its text NULL: off */
	const char *http_token;        /* the file; NULL: no token is asked for */
	char *http_secret;             /* the token: config_read_token() */
	bool http_open;                /* without a token, and not on loopback alone */

	bool daemon;       /* -d; command line only */
	char *config_file; /* NULL for a cluster of argv; absolute */

	struct cluster_settings **clusters;
	size_t cluster_count;

	struct origin_table *origins; /* config/ alone looks inside */
};

/* Make settings with everything at its default, and no cluster; NULL when out of memory. */
struct settings *settings_new(void);
/* The whole path of its n-th file, the main one first; heap, NULL: there are no more. */
char *settings_file(const struct settings *s, size_t n);
void settings_free(struct settings *s); /* drops its clusters' references */

/* Make a cluster's settings, all at their default, and no name; NULL when out of memory. */
struct cluster_settings *cluster_settings_new(void);
/* All values are there: fill in those that depend on several. */
void cluster_settings_finish(struct cluster_settings *c);
/* Takes also settings that are read only: only the count changes. */
struct cluster_settings *cluster_settings_ref(const struct cluster_settings *c);
void cluster_settings_unref(struct cluster_settings *c);

enum { LOGIN_NOBODY = 65534 }; /* the group of a uid that is in no database */

/* Look up c->uid in the user database: the login name, the home and the supplementary
 * groups, of which c->gid is the first (-1: the user's own group).  A uid without an entry
 * has only that group.  -1: out of memory.  This is done when the settings are read and
 * never later, because a directory service may hang. */
int login_find(struct cluster_settings *c);
void login_clear(struct cluster_settings *c);

/* Do all workers accept from one socket? */
static inline bool settings_share(const struct cluster_settings *s)
{
	return s->balance == BALANCE_SHARE || s->balance == BALANCE_LEAST;
}

static inline bool cluster_is_success(const struct cluster_settings *c, unsigned status)
{
	return status < 256 && (c->success_exit[status / 64] >> (status % 64) & 1) != 0;
}

/* The number for that many CPUs. */
unsigned workers_count(const struct workers_count *w, unsigned cpus);
/* `workers` as a number, given the CPUs that may be used (at least 1): how many to
 * begin with.  Of a range the lesser end; but in place of 0 a cluster without `listen`
 * begins with one worker, which shows where it listens. */
unsigned cluster_workers(const struct cluster_settings *c, unsigned cpus);
/* The ends of a range: `least` is 0 or more, `most` at least 1 and `least`. */
struct workers_range {
	unsigned least;
	unsigned most;
};
struct workers_range cluster_range(const struct cluster_settings *c, unsigned cpus);
/* The value of a variable, "PATH=", that `env` sets; NULL: it sets none. */
const char *cluster_env(const struct cluster_settings *c, const char *key);
/* Find a program by a value of PATH, or NULL, below the worker's root and in its directory.  0, or
 * an errno(3).  The rights of another user are not checked. */
int cluster_find_program(
	const struct cluster_settings *c, const char *path, const char *name, char found[PATH_MAX]);
/* Has each slot a listener of its own; or have `all` listeners one for each slot? */
bool cluster_has_own(const struct cluster_settings *c, bool all);
/* `threads` likewise, given the CPUs and how many workers share them; 0: off. */
unsigned cluster_threads(const struct cluster_settings *c, unsigned cpus, unsigned workers);
