/* SPDX-License-Identifier: MIT */
#pragma once

#include "core/view.h"
#include "recount.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A fake world for the core: a clock, processes with habits, and the events
 * that they cause.  All of it follows from the seed, so that the seed is the
 * whole bug report.
 */

/* How processes behave that are started by some settings.  Chances are per
 * mille, times the longest possible. */
struct habits {
	unsigned spawn_fails;
	unsigned fails_for_good; /* of these */
	unsigned says_nothing;   /* never READY=1 */
	nsec_t ready_after;
	unsigned never_listens;
	nsec_t listens_after;
	unsigned idles;      /* or is refused a port */
	unsigned says_twice; /* any datagram; or listens again */
	unsigned dies_early; /* around the time it would be ready */
	unsigned dies_later;
	nsec_t life;
	unsigned exits_well;  /* status 0 when it dies by itself */
	unsigned leaves;      /* STOPPING=1 by itself */
	unsigned extends;     /* EXTEND_TIMEOUT_USEC */
	unsigned deaf;        /* to one stop signal */
	unsigned undead;      /* to SIGKILL, for long */
	unsigned never_quiet; /* no moment to stop it is found */
	nsec_t quiet_after;
	unsigned never_proves; /* its probe does not succeed */
	nsec_t proves_after;
	unsigned silent;    /* sends no WATCHDOG=1 after a while */
	unsigned intervals; /* chooses one for its watchdog */
	unsigned unwell;
	unsigned outgrown;
	nsec_t stop_after;
};

/* Settings that are in play; the world holds a reference to each. */
struct plan {
	struct cluster_settings *settings;
	struct habits habits;
	unsigned command; /* which; one that has gone does not come back */
};
#define PLANS_MAX 24

/* What its workers have shown of a command. */
struct known {
	bool says_ready; /* READY=1 came from a living one */
	bool listens;
	bool silent; /* one was taken as ready as it lived */
};

/* A worker as the world, and an observer of the core's actions, knows it. */
/* Why a worker was born beside another one. */
enum errand {
	ERRAND_NONE,
	ERRAND_ROLL,
	ERRAND_MEND,
	ERRAND_RECYCLE,
	ERRAND_FOUND /* both were, by the next nclust */
};

enum life { LIFE_ASKED, LIFE_ALIVE, LIFE_OVER };

struct process {
	uint32_t slot;
	unsigned generation;
	enum life life;
	const struct cluster_settings *settings;
	unsigned command;
	enum ready_mode mode; /* when it was born */
	bool other_mode;      /* since: another */
	bool ready;           /* REPORT_READY came, and it did not leave since */
	bool leaving;         /* it said so */
	bool going;           /* it got a signal to stop, or SIGKILL */
	bool draining;        /* DRAIN was asked for, and no signal came yet */
	bool killed;
	bool aborted;   /* SIGABRT, as it hung */
	enum why unfit; /* it is told that it is replaced for that */
	enum errand errand;
	bool timed_out; /* REPORT_START_TIMEOUT */
	unsigned steps; /* stop signals it got */
	enum why why;
	nsec_t born;
	nsec_t proven_at; /* these by the unstalled clock */
	nsec_t ready_since;
	nsec_t interval; /* of its watchdog; 0: that of its settings */
	nsec_t beat_by;
	bool beats;
	nsec_t ready_by;
	nsec_t fails_at; /* not before: its start-timeout */
	bool opens;      /* it is waited until it opens a port */
	bool vague;      /* or only perhaps */
	bool rejected;   /* its rollout has failed, or was superseded */
	nsec_t gone_by;  /* the next step of its stop */
};
#define PROCESSES_MAX 30000
#define SLOTS_MAX 1200

struct place { /* what is known of a slot */
	bool ended;
	bool forgiven;      /* a death was, in this loop */
	bool unsure;        /* whose place the abandoned one had */
	enum errand errand; /* of the new one, until either is gone */
	bool vague;         /* if a death was forgiven cannot be told */
	unsigned failures;  /* since, each with a wait */
	const struct cluster_settings *failed_by;
	nsec_t lived;     /* its last one, that died before it was ready; or 0 */
	nsec_t refill_by; /* NSEC_NEVER: not known */
	bool exact;       /* and not before */
	unsigned stepped; /* rollout that has told of it */
	unsigned let_go;  /* rollout in which its old worker ended for good */
	unsigned alive;
	unsigned staying; /* of these: not asked to go */
	uint64_t workers[2];
};

/* What users ask for, and what comes over nclust: in any order (orders.c). */
enum verb {
	VERB_RESTART,
	VERB_RESTART_SLOT,
	VERB_RELOAD,
	VERB_SCALE_UP,
	VERB_SCALE_DOWN,
	VERB_CANARY_FAILS,
	VERB_UPGRADE,
	VERB_KILL, /* with SIGKILL; the next one takes the workers over */
	VERBS
};

struct orders {
	unsigned of_two[VERBS][VERBS];
	unsigned of_three[VERBS][VERBS][VERBS];
};

/* Why a worker is taken as ready. */
enum sign { SIGN_SAID, SIGN_LISTENS, SIGN_PROVED, SIGN_LIVES, SIGNS };

struct coming {
	nsec_t at;
	uint64_t order;
	struct event event;
};
#define COMING_MAX 16384

struct line { /* of the trace */
	nsec_t now;
	bool is_action;
	struct event event;
	struct action action;
};
#define LINES_MAX 256

struct world {
	uint64_t seed;
	uint64_t random;
	nsec_t now;
	nsec_t lost;
	struct cluster *cluster;
	struct cluster *twin; /* the same, carried; or NULL */
	uint64_t twin_random;

	struct plan plans[PLANS_MAX];
	unsigned plan_count;
	bool calm;  /* whoever is born now behaves well */
	bool rude;  /* requests come at any moment */
	bool alone; /* a single worker must have none beside it (EVENT_ALONE) */

	struct process *processes; /* by worker id */
	uint64_t last_worker;
	struct place *places;
	struct coming *coming; /* a heap */
	unsigned coming_count;
	uint64_t coming_order;
	struct event answers[ACTIONS_MAX * 2];
	unsigned answer_count;
	unsigned answer_next;

	/* what the observer knows (witness.c) */
	struct { /* before the event */
		unsigned generation;
		const struct cluster_settings *settings;
	} in_force;
	unsigned wanted;
	uint32_t slots;
	unsigned alive;
	unsigned ready;
	nsec_t rescues_from;
	unsigned rescued;
	bool stopping;
	bool at_once;
	unsigned stops;
	nsec_t stop_by; /* unstalled clock */
	bool ended;
	bool failed;
	bool gave_up; /* it has to */
	bool may_give_up;
	bool lived;
	bool disturbed; /* more may be alive than a rollout alone explains */
	bool shuffled;  /* what is in force cannot be told from outside */
	bool went_back_badly;
	unsigned rollout;         /* under way; 0: none */
	unsigned rollout_to;      /* generation */
	bool goes_back;           /* it undoes one that has failed */
	unsigned must_fail;       /* a rollout, before this call is over */
	bool must_give_up;        /* so too */
	unsigned done;            /* the latest that was; 0: none */
	struct {                  /* it is watched yet (late.c) */
		unsigned rollout; /* 0: none */
		unsigned generation;
		const struct cluster_settings *from;
		const struct cluster_settings *to;
		nsec_t done_at; /* unstalled clock */
		nsec_t watch;
		bool vague;
	} late;
	unsigned done_in_call;
	unsigned failed_last; /* the latest rollout that did */
	bool must_go_back;
	const struct cluster_settings *asked_settings[64]; /* by rollout % 64 */
	unsigned outcome[64];                              /* ids of rollouts whose end was told */
	nsec_t deaths[GIVE_UP_MAX];
	unsigned death_count;
	unsigned ticks_in_a_row;
	struct known known[PLANS_MAX]; /* by command */
	unsigned last_command;
	struct { /* asked for by a request, by rollout % 64 */
		bool there;
		unsigned count;
		nsec_t span;
	} asked_canary[64];
	unsigned baked;     /* the latest rollout whose canaries are well */
	unsigned baking;    /* rollout, until then: */
	nsec_t bake_by;     /* unstalled clock */
	unsigned spares;    /* of a failed rollout, until the old one is back */
	unsigned exchanged; /* slots with two, as one was not well */
	unsigned beside;    /* of these: both stay as yet */
	bool was_beside;    /* the event's worker: beside one in the place */
	uint64_t has_to_be; /* ready after this event; or 0 */
	unsigned checks;

	struct line *lines;
	unsigned long line_count;
	bool verbose;
	uint64_t events;
	uint64_t reports[REPORT_KINDS]; /* by kind */
	uint64_t signs[SIGNS];          /* of being ready */
	uint64_t slow_waits;            /* after a worker that was stable */
	uint64_t forgotten;             /* loops that ended with a long life */
	uint64_t taken_back;            /* rollouts that were done */
	uint64_t no_way_back;
	enum verb verbs[2]; /* the latest, that one last */
	unsigned verb_count;
	struct orders orders;
};

/* world.c */
void world_init(struct world *w, uint64_t seed);
void world_fini(struct world *w);
uint64_t world_random(struct world *w, uint64_t below);
bool world_chance(struct world *w, unsigned per_mille);
nsec_t world_span(struct world *w, nsec_t least, nsec_t most);
struct plan *world_add_plan(struct world *w);
const struct plan *world_plan_of(const struct world *w, const struct cluster_settings *settings);
void world_schedule(struct world *w, nsec_t at, const struct event *event);
void world_carry_out(struct world *w, const struct action *action);
void world_calm_down(struct world *w);

/* Hand an event to the core, and carry out what it asks for. */
void world_deliver(struct world *w, struct event *event);
/* Whether a single worker must have none beside it. */
void world_tell_alone(struct world *w);
/* When the core is to get a tick. */
nsec_t world_deadline(const struct world *w);
/* Let time pass until the next thing happens, at most until `until`; false
 * when that time has come. */
bool world_go_on(struct world *w, nsec_t until);

/* witness.c: knows the rules, sees all, and complains.  The call before an
 * event, for each action, and after all. */
void witness_event(struct world *w, const struct event *event);
void witness_settings(struct world *w, const struct cluster_settings *settings);
void witness_action(struct world *w, const struct action *action, const struct action *next,
	const struct event *cause);
void witness_after(struct world *w, const struct event *event, const struct actions *out);
/* The core says that it has nothing to do before the next deadline. */
void witness_settled(struct world *w);

struct process *witness_process(struct world *w, uint64_t worker);
const struct process *witness_mate(const struct world *w, uint64_t worker);
void witness_goes(struct world *w, struct process *p); /* as asked */
void witness_bury(struct world *w, uint64_t worker);
/* Others of its command listen: that it lives is no sign. */
bool witness_has_to_listen(const struct world *w, const struct process *p);

/* starts.c: no more than `start-at-once` start at a time. */
/* At this birth; and is that why a slot is empty? */
void starts_note_spawn(const struct world *w, unsigned generation);
bool starts_are_full(const struct world *w);

/* It was born; by that its times are known. */
void witness_starts(const struct world *w, struct process *p);

/* stops.c: what may be asked for to end a worker, and when. */
void stops_note_drain(struct world *w, const struct action *a);
void stops_note_signal(struct world *w, const struct action *a, const struct event *cause);
void stops_note_kill(struct world *w, const struct action *a);

/* late.c: rollouts that fail after they were done. */
void late_note_done(struct world *w, const struct report *r);
void late_note_death(struct world *w, const struct report *r);
void late_note_failed(struct world *w, const struct report *r);
void late_check(struct world *w);

/* trials.c: canaries, and who is replaced as it is not well. */
/* Nothing but a guess says that workers by these settings are ready. */
bool trials_is_guessed(const struct world *w, const struct cluster_settings *settings);
/* So many canaries the rollout under way has to have. */
/* How many workers more, and fewer, there may be while they are replaced by those of the settings. */
unsigned trials_surge(const struct world *w, const struct cluster_settings *s);
unsigned trials_unavailable(const struct world *w, const struct cluster_settings *s);
unsigned trials_canaries(const struct world *w);
/* Its old workers may not be touched yet. */
bool trials_go_on(const struct world *w);
void trials_note_birth(
	struct world *w, struct process *p, const struct process *mate, const struct event *cause);
void trials_note_unfit(struct world *w, const struct report *r, const struct event *cause);
void trials_note_baking(struct world *w, const struct report *r);
void trials_note_goes(struct world *w, const struct report *r);
void trials_expect_beat(const struct world *w, struct process *p);
void trials_note_end(struct world *w, uint64_t worker);
void trials_note_scale(struct world *w);
void trials_note_event(struct world *w, const struct event *e);
void trials_check_process(struct world *w, uint64_t id);
void trials_check(struct world *w);

/* deaths.c: what must follow from a death.  `next` is the action behind the
 * report, or NULL. */
void deaths_note_exit(struct world *w, const struct report *r, const struct action *next);
void deaths_note_unkillable(struct world *w, const struct report *r, const struct action *next);
void deaths_check(struct world *w); /* after all of an event */

/* places.c: what must hold of every slot then. */
void places_check(struct world *w);

/* twin.c: a cluster that was carried goes on as the one that was not.  Before and
 * after an event; between two; and what else changes the core. */
void twin_before(struct world *w, const struct event *event);
void twin_handle(struct world *w, const struct event *event, const struct actions *out);
void twin_look(struct world *w);
void twin_reserve(struct world *w, unsigned count);
void twin_next_in_turn(struct world *w, bool first, uint32_t slot);
void twin_end(struct world *w);
/* The one that is carried takes its place at once. */
void twin_upgrade(struct world *w);

/* kill.c: nclust gets SIGKILL, and the next one adopts its workers; between two
 * events, with no spawn under way. */
void kill_and_adopt(struct world *w);

/* orders.c: a verb comes, to a cluster that runs. */
void orders_note(struct world *w, enum verb verb);
void orders_add(struct orders *to, const struct orders *from);
/* False: not all came. */
bool orders_print(const struct orders *o, bool say_never);

/* loads.c: a cluster whose number of workers follows its load. */
void loads_run(uint64_t seed, bool verbose);

/* spares.c: a cluster with spares. */
void spares_run(uint64_t seed, bool verbose);

/* scenario.c */
void scenario_run(struct world *w);

/* trace.c */
void trace_event(struct world *w, const struct event *event);
void trace_action(struct world *w, const struct action *action);
const char *trace_report_name(enum report_kind kind);
_Noreturn void world_complain(const struct world *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline nsec_t world_patient(const struct world *w)
{
	return w->now - w->lost;
}
