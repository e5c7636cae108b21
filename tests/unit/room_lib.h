/* SPDX-License-Identifier: MIT */
#pragma once

#include "unit.h"

#include "supervisor/common/moment.h"

#include <signal.h>
#include <stdint.h>

/*
 * An instance on a bench, for the tests of the rooms of src/supervisor: clusters
 * and workers as nclust has them, but no process is started, and time passes only
 * when a test says so.
 *
 * The clock, and what starts, signals and awaits a process, are those of room_lib.c.
 */
extern struct supervisor room;

/* The rooms that hear of moments in the tests of this file, by the first word of their functions
 * in moments.c; or NULL.  Without "drain", a stop signal is sent to the worker at once. */
#define ROOM_HEARS(...) \
	static void hear_rooms(void) \
	{ \
		static const char *const rooms[] = {__VA_ARGS__, NULL}; \
\
		room_hears(__BASE_FILE__, rooms); \
	} \
	FILE_FIXTURE(hear_rooms)
void room_hears(const char *file, const char *const *rooms);

/* In the tests of this file, which has ROOM_HEARS, this stands in place of nclust's function
 * of that name, which room_replace.c has to know, or of a room's
 * function in moments.c:
 *
 *	REPLACED(size_t, process_tree)(pid_t pid, pid_t *list, size_t most) { ... }
 */
#define REPLACED(type, f) \
	extern __typeof__(f) *replaced_##f; \
	static __typeof__(f) fake_##f; \
	UNIT_CONSTRUCTOR(replace_##f, \
		unit_replace(__BASE_FILE__, (SFun *)(uintptr_t)&replaced_##f, (SFun)fake_##f)) \
	static type fake_##f

/* With the clusters of that text, which is an INI file; no worker is born. */
void room_begin(const char *ini);
void room_end(void);
/* The first half of that: no cluster is left. */
void room_stop(void);
/* What room_begin() does to settings: there is no logger, and no port is taken over
 * unless the text says `intercept = on`. */
void room_simplify(struct settings *settings);

/* It has a runtime directory from now on, which room_end() removes. */
void room_open_rundir(void);

/* That cluster; it must be there. */
struct service *room_cluster(const char *name);
/* Its workers are born, as far as they may be; time stands. */
void room_tick(struct service *service);
/* room_begin(), and so its cluster `web`; and: so many workers get ready. */
struct service *room_web(const char *ini);
void room_ready(struct service *service, unsigned workers);
/* So much time passes: what becomes due is done. */
void room_pass(nsec_t span);

/* The worker of that slot, the latest one of two; it must be there. */
struct child *room_child(struct service *service, uint32_t slot);
/* What the core hears of a worker: EVENT_READY and its like. */
void room_tell(const struct child *child, enum event_kind kind);
/* It exits; or is killed by that signal. */
void room_exits(struct child *child, int status);
void room_killed(struct child *child, int signal);

/* How often that process has got that signal, alone or with its group. */
unsigned room_signalled(pid_t pid, int signal);
/* What that process was born with as this descriptor, above 2; it stays the
 * process's.  -1: nothing. */
int room_fd(pid_t pid, int number);
/* It does not stop by SIGSTOP, as a debugger holds it. */
void room_never_stops(pid_t pid);
/* It is of another's session from now on. */
void room_joins_session(pid_t pid, pid_t session);
/* How many were started so far. */
unsigned room_spawned(void);
/* The next ones cannot be started, by that errno; 0: they can. */
void room_fail_spawns(int error);

/* All that was logged so far, as lines; and: does it have this piece? */
const char *room_log(void);
bool room_logged(const char *piece);
