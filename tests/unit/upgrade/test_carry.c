/* SPDX-License-Identifier: MIT */
#include "../gaps.h"

#include "core/whole.h"
#include "supervisor/accept/visits.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/news.h"
#include "supervisor/control/carry_clients.h"
#include "supervisor/control/control.h"
#include "supervisor/health/health.h"
#include "supervisor/hooks/carry_hooks.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/limits/limits.h"
#include "supervisor/messages/channel.h"
#include "supervisor/messages/messages.h"
#include "supervisor/node/carry_node.h"
#include "supervisor/sockets/carry_sockets.h"
#include "supervisor/upgrade/carry.h"
#include "supervisor/upgrade/carry_core.h"
#include "supervisor/workers/carry_workers.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Whoever adds a member to a struct of supervisor/common/state.h decides whether an
 * upgrade carries it: by a row beside the struct (common/carried.h), or by a line here that
 * says why not.
 */
/* A process that goes on is watched anew by its job, ... */
#define BEGUN_ANEW(of, job) \
	NOT(of, job.next), NOT(of, job.sup), NOT(of, job.over), NOT(of, job.owner), \
		NOT(of, job.leads), NOT(of, job.wakes_at), NOT(of, job.granted), \
		NOT(of, job.exit), NOT(of, job.timer), NOT(of, job.start)
/* ... a role as long as it likes. */
#define NO_TIME(of, job) NOT(of, job.late), NOT(of, job.due)

static const struct gap supervisor_gaps[] = {
	NOT(supervisor, launch.argc), /* by the exec itself */
	NOT(supervisor, launch.argv),
	NOT(supervisor, settings), /* parts of their own */
	NOT(supervisor, services),
	NOT(supervisor, service_count),
	NOT(supervisor, sockets.inherited.list),
	NOT(supervisor, sockets.inherited.count),
	NOT(supervisor, sockets.inherited.row), /* of no slot */
	NOT(supervisor, sockets.inherited.own),
	NOT(supervisor, control.listen),
	NOT(supervisor, control.file), /* in a group of its own */
	NOT(supervisor, control.first),
	NOT(supervisor, control.bounds),
	NOT(supervisor, control.census), /* made anew */
	NOT(supervisor, control.last_log),
	NOT(supervisor, instance.manager),
	NOT(supervisor, news.history),
	NOT(supervisor, news.head),
	NOT(supervisor, news.tail),      /* published before */
	NOT(supervisor, news.keeper_id), /* the keeper is sent all anew */
	NOT(supervisor, reaper.first_children_count),
	NOT(supervisor, upgrade.exe_path),
	NOT(supervisor, sockets.heal_again),
	NOT(supervisor, sockets.renewed),
	NOT(supervisor, sockets.paths_changed),
	NOT(supervisor, sockets.paths_look),
	NOT(supervisor, sockets.paths_since),
	NOT(supervisor, sockets.paths_looks),
	NOT(supervisor, sockets.has_paths),
	NOT(supervisor, loop), /* made anew, as all that is watched */
	NOT(supervisor, turn), /* of this process alone */
	NOT(supervisor, childset),
	NOT(supervisor, reaper.sweep),
	NOT(supervisor, signals.watcher),
	NOT(supervisor, signals.again),
	NOT(supervisor, guard.watcher),
	NOT(supervisor, guard.timer),
	NOT(supervisor, news.timer),
	NOT(supervisor, closer), /* all is closed before */
	NOT(supervisor, logger.watcher),
	BEGUN_ANEW(supervisor, logger.life.job),
	NO_TIME(supervisor, logger.life.job),
	NOT(supervisor, logger.life.refused),
	NOT(supervisor, logger.ends),
	NOT(supervisor, limits),       /* found again */
	NOT(supervisor, jobs),         /* watched, or begun, anew */
	NOT(supervisor, asks_waiting), /* the logger asks again */
	NOT(supervisor, asks_running),
	NOT(supervisor, sockets.trim),
	BEGUN_ANEW(supervisor, web.life.job),
	NO_TIME(supervisor, web.life.job),
	NOT(supervisor, web.life.refused),
	NOT(supervisor, web.change),      /* no upgrade then */
	NOT(supervisor, web.socket.also), /* opened anew */
	NOT(supervisor, web.agent.also),
	NOT(supervisor, web.socket.file.number), /* of workers alone */
	NOT(supervisor, web.agent.file.number),
	NOT(supervisor, leaders),  /* asked for anew */
	NOT(supervisor, fallback), /* it ends, and is started anew */
	NOT(supervisor, intercept),
	NOT(supervisor, pids),
	NOT(supervisor, launch.self_exe),
	NOT(supervisor, launch.descriptors),
	NOT(supervisor, launch.lends_terminal), /* a worker may have changed it by then */
	NOT(supervisor, launch.terminal),
	NOT(supervisor, orphans.file),
	NOT(supervisor, logger.no_pty), /* told anew */
	NOT(supervisor, logger.routed),
	NOT(supervisor, logger.taken),
	NOT(supervisor, reaper.sweep_due),
	NOT(supervisor, reaper.left), /* ended before */
	NOT(supervisor, reaper.look),
	NOT(supervisor, reaper.look_took),
	NOT(supervisor, reaper.pause),
	NOT(supervisor, reaper.strays_live), /* looked at anew */
	NOT(supervisor, daemon.release_at),  /* it is past */
	NOT(supervisor, reaper.daemon_at),
	NOT(supervisor, orphans.changed),
	NOT(supervisor, orphans.settled),
	NOT(supervisor, orphans.fresh),
	NOT(supervisor, births.scratch),
	NOT(supervisor, upgrade.reexec),
	NOT(supervisor, orphans.previous), /* of the start */
	NOT(supervisor, orphans.has_past),
	NOT(supervisor, scaler), /* so too */
	NOT(supervisor, traffic.host.monitors),
	NOT(supervisor, traffic.host.monitor_count),
	NOT(supervisor, traffic.host.seen), /* looked at anew */
	NOT(supervisor, traffic.host.timer),
	NOT(supervisor, traffic.host.empty_looks),
	NOT(supervisor, traffic.host.reported_at),
	NOT(supervisor, traffic.host.text),
	NOT(supervisor, traffic.drains), /* begun anew */
	BEGUN_ANEW(supervisor, traffic.courier.life.job),
	NO_TIME(supervisor, traffic.courier.life.job),
	NOT(supervisor, traffic.courier.life.refused),
	NOT(supervisor, traffic.courier.heard),
	NOT(supervisor, traffic.drain_count),
	NOT(supervisor, traffic.seen),
	NOT(supervisor, traffic.helper), /* ended before */
	NOT(supervisor, traffic.nclust),
	NOT(supervisor, commands.helpers), /* parts of those they run for */
	NOT(supervisor, commands.hooks),
	NOT(supervisor, said[1]),           /* logged once more */
	NOT(supervisor, instance.stopping), /* no upgrade then */
	NOT(supervisor, instance.reload_drops),
	NOT(supervisor, instance.reload_restarts),
	NOT(supervisor, instance.reread),
	NOT(supervisor, instance.stop_at_once),
	NOT(supervisor, instance.start_failed),
	NOT(supervisor, instance.by_itself), /* as it ends */
	NOT(supervisor, instance.over),
	NOT(supervisor, instance.stop_waits),
	NOT(supervisor, instance.stop_since),
	NOT(supervisor, instance.last_orders),
};

static const struct gap listener_gaps[] = {
	NOT(listener, address),                             /* as words */
	NOT(listener, keeps_requests),                      /* until the next start */
	NOT(listener, asked),                               /* beside */
	NOT(listener, watched),                             /* made anew */
	NOT(listener, heal_rests), NOT(listener, renew_at), /* begun anew */
	NOT(listener, renew_pause), NOT(listener, users), NOT(listener, left_over), /* of a start */
	NOT(listener, sup), NOT(listener, sockets),                                 /* beside */
	NOT(listener, closed),                       /* who has one is harmless */
	NOT(listener, of_node),                      /* beside */
	NOT(listener, file.number),                  /* of workers alone */
	NOT(listener, spread), NOT(listener, slots), /* shared out anew */
	NOT(listener, chosen), NOT(listener, chosen_why), NOT(listener, said[1]),
	NOT(listener, keeper_id), /* told anew */
};

static const struct gap service_gaps[] = {
	NOT(service, saved.anchor), NOT(service, sup), NOT(service, saved.knows_notify),
	NOT(service, saved.knows_listen), NOT(service, saved.roll), /* found anew */
	NOT(service, routed),                                       /* the logger is told again */
	NOT(service, core),                                         /* parts of their own */
	NOT(service, name), NOT(service, index), NOT(service, life.recipes),
	NOT(service, life.logs), /* beside */
	NOT(service, said[1]), NOT(service, life.drop_at), NOT(service, life.fail_at),
	NOT(service, life.start_fails), NOT(service, life.fail_code),
	NOT(service, sockets.listeners), NOT(service, sockets.learned), NOT(service, children),
	NOT(service, life.ports),    /* ports_save() */
	NOT(service, life.begun),    /* for -d, whose start is over */
	NOT(service, life.whole_at), /* begun anew */
	NOT(service, life.spawn_hung), NOT(service, life.spawn_works), /* tried anew */
	NOT(service, last_rollout.text), NOT(service, last_scale.text),
	NOT(service, last_scale.failed), /* told at once */ NOT(service, stage.awaited),
	NOT(service, stage.live),                                             /* of a moment */
	NOT(service, trouble), NOT(service, scaling), NOT(service, watching), /* begun anew */
	NOT(service, outage.number),  /* of the process that has ended */
	NOT(service, sockets.asleep), /* as `wanted` says */
	NOT(service, asks.of),        /* made anew */
	NOT(service, traffic.asked_again), NOT(service, traffic.http), /* seen anew */
	NOT(service, traffic.handed_on), NOT(service, traffic.busy),   /* counted anew */
	NOT(service, traffic.guessed),                                 /* so too */
	NOT(service, counters.killed),                                 /* so too */
	NOT(service, traffic.steer), NOT(service, accepting),          /* parts of their own */
	NOT(service, broker), NOT(service, sockets.segment),
	NOT(service, sockets.former),                            /* beside */
	NOT(service, node), NOT(service, stage.stop_waits),      /* no upgrade then */
	NOT(service, hooks),                                     /* counted anew */
	NOT(service, order), NOT(service, leadership.keeper_id), /* the keeper is sent all anew */
	NOT(service, leadership.refused),                        /* counted anew */
};

static const struct gap child_gaps[] = {
	NOT(child, measured), /* anew */
	NOT(child, service),
	NOT(child, connections),
	NOT(child, said[1]), /* logged once more */
	NOT(child, next),
	NOT(child, allowance),      /* begun anew */
	NOT(child, life.oom),       /* of a moment */
	NOT(child, life.cause),     /* of a moment */
	NOT(child, life.cause_at),  /* so too */
	NOT(child, life.sigkilled), /* so too */
	NOT(child, life.ended_before),
	NOT(child, life.signalled), /* may get the signal twice */
	NOT(child, life.signalled_count),
	NOT(child, left), /* ended before */
	NOT(child, health),
	NOT(child, traffic.drain), /* begun anew */
	NOT(child, traffic.busy),  /* looked at anew */
	NOT(child, hang),          /* its health has it */
	NOT(child, trap.call),     /* answered before */
	NOT(child, trap.moment),
	NOT(child, trap.held),
	NOT(child, trap.runs),
	NOT(child, trap.ran),
	NOT(child, trap.pids),
	NOT(child, trap.has),
	NOT(child, trap.loaded_at),
	NOT(child, trap.idle),
	NOT(child, trap.busy), /* looked at anew */
	NOT(child, trap.busy_at),
	NOT(child, trap.late_by), /* of a moment */
	NOT(child, trap.twins_by),
	NOT(child, trap.twins_wait),
	NOT(child, trap.waits_by),
	NOT(child, life.waits),
	NOT(child, trap.late_wait),
	NOT(child, trap.closed),
	NOT(child, trap.exclusive),  /* set anew by node */
	NOT(child, saved.entry),     /* found again */
	NOT(child, saved.in_keeper), /* told anew */
	NOT(child, traffic.own),     /* found anew */
	NOT(child, traffic.takes),
	NOT(child, traffic.emptied),
	NOT(child, traffic.starved),
	NOT(child, life.last_look), /* looked at anew */
	NOT(child, channel),        /* beside */
	NOT(child, node),
	NOT(child, limited),
	NOT(child, trap.gate),
};

static const struct gap limited_gaps[] = {NOT(limited, incomplete)};

static const struct gap channel_gaps[] = {
	NOT(channel, child),
	NOT(channel, io), /* made anew */
	NOT(channel, in), /* beside */
	NOT(channel, out),

	NOT(channel, lines), /* of a read */
	NOT(channel, answers),
	NOT(channel, last),
};

static const struct gap client_gaps[] = {
	NOT(client, sup),
	NOT(client, io),
	NOT(client, next),
	NOT(client, in), /* beside */
	NOT(client, out),
	NOT(client, expected),
	NOT(client, expected_count),
	NOT(client, request.scale_kind), /* done with */
	NOT(client, request.has_canary),
	NOT(client, request.canary),
	NOT(client, request.has_bake),
	NOT(client, request.drop_ports),
	NOT(client, request.bake),
	NOT(client, request.message),
	NOT(client, request.command),
	NOT(client, request.metrics),
	NOT(client, request.readiness),
	NOT(client, request.has_timeout),
	NOT(client, request.timeout),

};

static const struct gap control_gaps[] = {
	NOT(control, listen), NOT(control, bounds), NOT(control, first), NOT(control, file.uid),
	NOT(control, file.gid), NOT(control, file.number), /* of our own */
	NOT(control, census), NOT(control, last_log),      /* made anew */
	NOT(control, reserve_fd),                          /* with the supervisor */
};

static const struct gap recipe_gaps[] = {
	NOT(recipe, candidates.count), /* with the rows */
	NOT(recipe, environment.count),
	NOT(recipe, group_count),
	NOT(recipe, listeners),
	NOT(recipe, next),
	NOT(recipe, limits), /* follow from the settings */
	NOT(recipe, limit_resources),
	NOT(recipe, limit_count),
};

static const struct gap helper_gaps[] = {
	NOT(helper, next), BEGUN_ANEW(helper, job),
	NOT(helper, over), /* follow from the group that it is in */
	NOT(helper, connects), NOT(helper, owner), NOT(helper, calls), /* made anew */
};

static const struct gap hooks_gaps[] = {
	NOT(hooks, head),                                          /* parts of their own */
	NOT(hooks, queued), NOT(hooks, running), NOT(hooks, look), /* made anew */
	NOT(hooks, over_at), NOT(hooks, over),                     /* no upgrade then */
};

static const struct gap hook_gaps[] = {
	NOT(hook_run, next),
	NOT(hook_run, sup),
	NOT(hook_run, service), /* beside */
	NOT(hook_run, settings),
	NOT(hook_run, facts),
	NOT(hook_run, helper),
};

static const struct gap socket_gaps[] = {
	NOT(listener_socket, next), NOT(listener_socket, weight), /* shared out anew */
	NOT(listener_socket, slot),                               /* found anew */
	NOT(listener_socket, workers),                            /* counted anew */
	NOT(listener_socket, ready), NOT(listener_socket, preferred),
	NOT(listener_socket, draining), NOT(listener_socket, spare), NOT(listener_socket, served),
	NOT(listener_socket, away), NOT(listener_socket, settled), NOT(listener_socket, look_at),
	NOT(listener_socket, waited), NOT(listener_socket, wakes), NOT(listener_socket, wake_at),
	NOT(listener_socket, keeper_id), /* told anew */
};

static const struct gap segment_gaps[] = {
	NOT(segment, facts.used),                                        /* of a moment */
	NOT(segment, users), NOT(segment, sup), NOT(segment, keeper_id), /* told anew */
};

static const struct gap expectation_gaps[] = {NOT(expectation, service)};

static const struct gap accepting_gaps[] = {
	NOT(accepting, service),
	NOT(accepting, visits), /* a part each */
	NOT(accepting, visit_slots),
	NOT(accepting, unwatched), /* made anew, as all that is watched */
	NOT(accepting, listeners),
	NOT(accepting, acceptors),
	NOT(accepting, next), /* any may be the first */
	NOT(accepting, due),
	NOT(accepting, paused_until),
	NOT(accepting, said_at), /* told once more by the next one */
	NOT(accepting, leaving), /* was told already that it is refused */
	NOT(accepting, leaving_count),
	NOT(accepting, leave_at),
};

static const struct gap whole_gaps[] = {
	NOT(cluster, slots), NOT(cluster, cap), NOT(cluster, count), /* as many as there are */
	NOT(cluster, first), NOT(cluster, leaves), NOT(cluster, in_line), NOT(cluster, generations),
	NOT(cluster, places), NOT(cluster, released), NOT(cluster, spares), /* counted */
	NOT(cluster, slot_waits), NOT(cluster, out),                        /* of a moment */
	NOT(cluster, surprises), /* may be told once more */
	NOT(cluster, rollout), NOT(cluster, waiting_id),
	NOT(cluster, waiting), /* none is under way */
};
static const struct gap slot_gaps[] = {NOT(slot, turn), NOT(slot, step), NOT(slot, proven)};
static const struct gap generation_gaps[] = {NOT(generation, starting)}; /* counted */

static const struct gap no_gaps[1];

/*
 * What is written of each, by number and kind, as it was when state 1.1 was new.
 * Numbers are for ever: a line here may become longer.  It loses the number of a member that
 * was removed, which a comment beside the rows keeps from being used again.
 * b: true or false, u: unsigned or an index, i: signed, w: a time or never, f: a descriptor,
 * t: text, x: words, g: a group.
 */
static const struct {
	const char *name;
	const struct carried *what;
	const char *rows;
	const struct gap *gaps; /* NULL: not all of it is looked at */
	size_t count;
} structs[] = {
#define GAPS(list) list, sizeof(list) / sizeof(list[0])
	{"supervisor", &carried_supervisor,
		"1i 2u 3t 4f 5f 6f 7b 8u 9i 10b 11b 12u 14f 15i 17i "
		"18f 19f 20i 21b 22f 23b 24f 25f 26u 27u 28t 29f 30i 31i 32f "
		"33b 34u 35i 36f 37u 39i 40f 41i 42f 43t 44u 45u 46u "
		"47u 49u 51u 53i 54i 56b 57u 58i 59i 60f 61t 62u "
		"63u 64u 65u 66t 67u 68i 69i 70f 71i 72f 73u 125x 148g",
		GAPS(supervisor_gaps)},
	{"load balancer", &carried_monitor, "1t 2i 3i 4i 5u", NULL, 0},
	{"binary", &carried_binary, "1t 2t 3f 4i 5i 6i 7u", NULL, 0},
	{"settings", &carried_cluster, "1i 2i 3i 4t 5t 6t 7t 8b 9t 10b 11b 12b 124x 100t", NULL, 0},
	{"instance", &carried_instance, "1i 2b 3t 100t", NULL, 0},
	{"listener", &carried_listener,
		"1f 2b 3u 4u 5i 6i 7b 8u 9t 10i 11b 12i 13i 14i 15x 16u "
		"17u 18u 19b 20u 21b 22u 23u 24i 26i 29b 30u 31u 33b 27i "
		"28u 34t 35u 38u 132g",
		GAPS(listener_gaps)},
	{"set", &carried_set, "105u 1u 2u", NULL, 0},
	{"recipe", &carried_recipe, "1u 2b 3u 4u 5t 105u 102t 123t 124x 113g 135u",
		GAPS(recipe_gaps)},
	{"service", &carried_service,
		"2u 3b 4i 5b 6b 9i 10b 12u 13b 15u 20u 21u 22x 23u 24i 25x 26i 27i 28u 29u "
		"30i 31u 32u 33u 34u 35i 36i 37b 38b 39u 40f 41u 42b 43b "
		"45b 46b 54t 55u 56u 60i 62u 63u 64u 65x 100t 122t",
		GAPS(service_gaps)},
	{"child", &carried_child,
		"1u 2u 3u 4i 5f 6f 7f 8f 9i 10i 11b 12i 13u 15b 16f 17u "
		"18u 19b 20u 21i 22i 27b 28b 29b 30i 31u 32b "
		"33u 34b 35u 36u 38u 39u 40u 45b 46u "
		"55f 60i 61b "
		"62u 68b 69b 70b 71i 72i 73u 74u 75i 76i 77b 78u 100t 149g",
		GAPS(child_gaps)},
	{"gate", &carried_gate, "47u 48u 49i 50i 51i 52i 53i 54i", no_gaps, 0},
	{"limited", &carried_limited, "42u 44t 66u", GAPS(limited_gaps)},
	{"socket", &carried_socket, "1f 2u 3u 4u 5b", GAPS(socket_gaps)},
	{"health", &carried_health, "1u 2u 3u 4t 5b 6u 7t 8i 129g", NULL, 0},
	{"helper", &carried_helper, "1i 2f 3i 4b 5t 7f", GAPS(helper_gaps)},
	{"hooks", &carried_hooks, "130g", GAPS(hooks_gaps)},
	{"hook", &carried_hook, "1u 105u 119u 129g 131x", GAPS(hook_gaps)},
	{"channel", &carried_channel, "1u 2f 7u 8u 9u 10u 11u 12b 13u 14b 15u 17i",
		GAPS(channel_gaps)},
	{"mark", &carried_mark, "1u 2f", NULL, 0},
	{"segment", &carried_segment, "1f 2u 4u 6u 7u", GAPS(segment_gaps)},
	{"node_cluster", &carried_node_cluster, "1u 2i 138g", NULL, 0},
	{"node_server", &carried_node_server, "1u 2u 3b 4b 5u 6i 7u 8u 105u 100t 142t 141g", NULL,
		0},
	{"node_wait", &carried_node_wait, "1f", NULL, 0},
	{"node_worker", &carried_node_worker, "1b 2b 3b 7i 8i 9u 11f 12u 13i 14b 100t 139g", NULL,
		0},
	{"node_use", &carried_node_use, "105u 3i 4i", NULL, 0},
	{"control", &carried_control, "1f 2u 3u", GAPS(control_gaps)},
	{"client", &carried_client,
		"1f 2b 3b 4u 5w 6w 7w 8t 9u 10t 11b 12i 13i 14b 15b 16b "
		"17i 20t 27u 29b 30u "
		"31i 32t 33b 34u 116x 117x 118g",
		GAPS(client_gaps)},
	{"expectation", &carried_expectation, "1u 2b 3b 5b 119u", GAPS(expectation_gaps)},
	{"core", &carried_whole,
		"2u 3u 4u 5b 6i 7i 8u 9u 10u 11u 12u 13u 14u 15g 17u "
		"18u 19u 20u 21u 22b 23u 24b 25b 26b 27b 28b 29b 30b 31i 32u 33b 35u "
		"36x 39u 40u 41u 42u 46i 47b 48u",
		GAPS(whole_gaps)},
	{"slot", &carried_slot,
		"1g 2g 3g 4i 5i 6g 7u 8u 9u 12u 13i 15u 16b "
		"17i 18g 19u 20u 21i 110w",
		GAPS(slot_gaps)},
	{"generation", &carried_generation, "1u 2u 3u 4u 5b 6b 7u 9u 10b 11b 105u",
		GAPS(generation_gaps)},
	{"visit", &carried_visit, "105u 1g 2u 3u 4i 5w", no_gaps, 0},
	{"accepting", &carried_accepting, "1u 3b 5f 6g 7u 8u 9u 10u 11u 12x 13x 14u",
		GAPS(accepting_gaps)},
};

/* ---- */

static void mark(char *seen, const struct plain_row *rows, size_t count, size_t base)
{
	for (size_t i = 0; i < count; i++) {
		const struct plain_row *row = &rows[i];

		if (row->kind == CARRY_ROW_INSIDE)
			mark(seen, row->what->rows, row->what->row_count, base + row->offset);
		else
			memset(seen + base + row->offset, 1, row->size);
	}
}

TEST_LOOP(each_member_is_carried_or_named_here, 0, sizeof(structs) / sizeof(structs[0]))
{
	const struct carried *what = structs[_i].what;
	char *seen = calloc(1, what->size + 1U);

	ck_assert_ptr_nonnull(seen);
	if (structs[_i].gaps == NULL)
		memset(seen, 1, what->size);
	else
		gaps_mark(seen, structs[_i].gaps, structs[_i].count);
	mark(seen, what->rows, what->row_count, 0);
	gaps_check(seen, what->size, structs[_i].name, __FILE__);
	free(seen);
}

TEST_LOOP(numbers_and_kinds_are_for_ever, 0, sizeof(structs) / sizeof(structs[0]))
{
	static const char kinds[] = {
		[PLAIN_BOOL] = 'b',
		[PLAIN_UNSIGNED] = 'u',
		[PLAIN_SIGNED] = 'i',
		[PLAIN_WHEN] = 'w',
		[PLAIN_FD] = 'f',
		[PLAIN_TEXT] = 't',
		[PLAIN_WORDS] = 'x',
		[PLAIN_HEAP] = 't',
		[PLAIN_BUFFER] = 'x',
		[CARRY_ROW_REFERENCE] = 'u',
		[CARRY_ROW_REFERENCES] = 'u',
		[CARRY_ROW_REFERRED] = 'g',
		[CARRY_ROW_LIST] = 'g',
		[CARRY_ROW_ARRAY] = 'g',
		[CARRY_ROW_POINTERS] = 'g',
		[CARRY_ROW_EACH] = 'g',
		[CARRY_ROW_GROUP] = 'g',
		[CARRY_ROW_INSIDE] = 'g',
		[CARRY_ROW_BYTES] = 'x',
		[CARRY_ROW_TEXTS] = 't',
	};
	const struct carried *what = structs[_i].what;
	char rows[400] = "";
	size_t used = 0;

	for (uint32_t i = 0; i < what->row_count; i++) {
		if (what->rows[i].kind == CARRY_ROW_BESIDE || what->rows[i].kind == CARRY_ROW_APART)
			continue;
		used += (size_t)snprintf(rows + used, sizeof(rows) - used, "%s%u%c",
			used > 0 ? " " : "", what->rows[i].tag, kinds[what->rows[i].kind]);
	}
	ck_assert_str_eq(rows, structs[_i].rows);
}

/* A supervisor with one service, and what its state says of hooks. */
struct both {
	struct supervisor before;
	struct supervisor after;
	struct service service;
	struct service *services[1];
	struct cluster_settings settings;
	char *command[2];
	struct carry_writer c;
	struct carry_reader r;
	void *list[1];
};

static void prepare(struct both *b)
{
	static char word[] = "./told";

	*b = (struct both){.services = {&b->service}, .list = {&b->settings}};
	b->before.services = b->after.services = b->services;
	b->before.service_count = b->after.service_count = 1;
	b->command[0] = word;
	b->settings.refs = 100;
	b->settings.hooks[HOOK_CRASH].command.list = b->command;
	b->settings.hooks[HOOK_CRASH].command.count = 1;
	b->c.sup = &b->before;
	b->r.sup = &b->after;
	b->r.lists[CARRY_OF_SETTINGS].list = b->list;
	b->r.lists[CARRY_OF_SETTINGS].count = 1;
}

static struct hook_run *add_run(struct both *b, struct helper *helper)
{
	struct hook_run *run = calloc(1, sizeof(*run));

	ck_assert_ptr_nonnull(run);
	run->sup = &b->before;
	run->service = &b->service;
	run->settings = &b->settings;
	run->event = HOOK_CRASH;
	run->helper = helper;
	buffer_init(&run->facts, 0);
	ck_assert_int_eq(buffer_append(&run->facts, "A=1\0B=2", 8), 0);
	hooks_add(&b->before.commands.hooks, run);
	return run;
}

static const struct plain_row hooks_only[] = {
	CARRY_BESIDE(&carried_ending),
	CARRY_INSIDE(CARRY_HOOKS, supervisor, commands.hooks, &carried_hooks),
};
static const struct carried instance = {
	.called = "nclust",
	CARRIED_ROWS(hooks_only, supervisor),
};

/* Write the hooks, and read them again. */
static int there_and_back(struct both *b, struct error *err)
{
	const struct handover_version version = {1, 0};
	struct handover_version found;
	struct handover_reader in;

	buffer_init(&b->c.out, 0);
	buffer_init(&b->c.descriptors, 0);
	handover_begin(&b->c.w, &b->c.out);
	carry_put_all(&b->c, &instance, &b->before);
	ck_assert_int_eq(handover_end(&b->c.w, &version), 0);
	ck_assert_int_eq(
		handover_open_for_reading(&in, b->c.out.data, b->c.out.len, 1, &found, err), 0);
	b->r.err = err;
	*err->text = '\0';
	return carry_get_all(&b->r, &instance, &b->after, &in);
}

static void clear(struct supervisor *sup)
{
	struct hook_run *run;

	while ((run = sup->commands.hooks.head) != NULL) {
		sup->commands.hooks.head = run->next;
		run->settings = NULL;
		hook_run_free(run);
	}
}

static void finish(struct both *b)
{
	while (b->after.commands.helpers != NULL) {
		struct helper *h = b->after.commands.helpers;

		b->after.commands.helpers = h->next;
		free(h->file);
		free(h);
	}
	clear(&b->before);
	clear(&b->after);
	carry_fini(&b->c);
}

TEST(hooks_go_on_where_they_were)
{
	struct helper helper = {
		.job = {.pid = 77, .pidfd = 9, .due = 5 * SECOND, .late = true}, .trap = -1};
	int kept;
	const struct hooks *hooks;
	struct error err;
	struct both b;

	prepare(&b);
	b.before.commands.helpers = &helper;
	(void)add_run(&b, &helper);
	(void)add_run(&b, NULL);
	helper.over = (helper_over *)(uintptr_t)1;
	ck_assert_int_eq(there_and_back(&b, &err), 1);

	hooks = &b.after.commands.hooks;
	ck_assert_uint_eq(hooks->running, 1);
	ck_assert_uint_eq(hooks->queued, 1);
	ck_assert_uint_eq(b.service.hooks.queued, 2); /* before and after */
	ck_assert_int_eq(hooks->head->helper->job.pid, 77);
	ck_assert_int_eq(hooks->head->helper->job.pidfd, 9);
	ck_assert_int_eq(hooks->head->helper->job.due, 5 * SECOND);
	ck_assert(hooks->head->helper->job.late);
	ck_assert_ptr_null(b.after.commands.helpers->next);
	ck_assert_ptr_null(hooks->head->next->helper);
	ck_assert_ptr_eq(hooks->head->next->service, &b.service);
	ck_assert_ptr_eq(hooks->head->next->settings, &b.settings);
	ck_assert_int_eq(hooks->head->next->event, HOOK_CRASH);
	ck_assert_mem_eq(hooks->head->next->facts.data, "A=1\0B=2", 8);
	/* the exec keeps it */
	ck_assert_uint_eq(b.c.descriptors.len, sizeof(kept));
	memcpy(&kept, b.c.descriptors.data, sizeof(kept));
	ck_assert_int_eq(kept, 9);
	finish(&b);
}

TEST_LOOP(a_command_that_is_being_ended_is_watched_on, 0, 2)
{
	char file[] = "/var/log/web.1"; /* it works on that */
	struct helper helper = {.job = {.pid = 78, .pidfd = 8, .due = SECOND},
		.over = (helper_over *)(uintptr_t)_i,
		.file = _i == 1 ? file : NULL,
		.trap = 7};
	struct error err;
	struct both b;

	prepare(&b);
	b.before.commands.helpers = &helper;
	ck_assert_int_eq(there_and_back(&b, &err), 1);
	ck_assert_int_eq(b.after.commands.helpers->job.pid, 78);
	ck_assert(b.after.commands.helpers->over == NULL);
	ck_assert_pstr_eq(b.after.commands.helpers->file, helper.file);
	ck_assert_int_eq(b.after.commands.helpers->trap, 7);
	finish(&b);
}

TEST(a_hook_of_no_command_is_refused)
{
	struct error err;
	struct both b;

	prepare(&b);
	(void)add_run(&b, NULL);
	b.settings.hooks[HOOK_CRASH].command.count = 0;
	ck_assert_int_eq(there_and_back(&b, &err), -1);
	ck_assert_str_eq(err.text, "the state of a hook is not understood");
	finish(&b);
}
