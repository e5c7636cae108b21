/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "core/image.h"
#include "supervisor/messages/channel.h"
#include "supervisor/accept/accepting.h"
#include "supervisor/control/clients.h"
#include "supervisor/health/health.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/common/news.h"
#include "supervisor/node/node_inside.h"
#include "supervisor/sockets/group.h"

/*
 * What is carried of each struct.  What stands in none of these, and why, says
 * tests/unit/upgrade/test_carry.c, which knows each member.
 */

/* clang-format off */
static const struct plain_row supervisor_rows[] = {
	PLAIN(1, supervisor, started, SIGNED),
	PLAIN(2, supervisor, cpus, UNSIGNED),
	PLAIN(3, supervisor, rundir.path, TEXT),
	PLAIN(4, supervisor, rundir.dir, FD),
	PLAIN(5, supervisor, rundir.notify_dir, FD),
	PLAIN(6, supervisor, rundir.lock, FD),
	PLAIN(7, supervisor, has_rundir, BOOL),
	PLAIN(8, supervisor, next_serial, UNSIGNED),
	PLAIN(9, supervisor, last_sweep, SIGNED),
	PLAIN(10, supervisor, hup_ignored, BOOL),
	PLAIN(11, supervisor, had_terminal, BOOL),
	PLAIN_ENUM(12, supervisor, intercept.way, WAY_NONE),
	PLAIN(13, supervisor, intercept.own_filter_told, BOOL),
	PLAIN(14, supervisor, guard_watcher.fd, FD),
	PLAIN(15, supervisor, guard_watch, SIGNED),
	PLAIN(16, supervisor, guard_failed, BOOL),
	PLAIN(17, supervisor, logger_pid, SIGNED),
	PLAIN(18, supervisor, logger_pidfd, FD),
	PLAIN(19, supervisor, logger_watcher.fd, FD),
	PLAIN(20, supervisor, logger_started, SIGNED),
	PLAIN(21, supervisor, stdout_is_terminal, BOOL),
	PLAIN(22, supervisor, log_fd, FD),
	PLAIN(23, supervisor, pidfile_written, BOOL),
	PLAIN(24, supervisor, null_fd, FD),
	PLAIN(25, supervisor, reserve_fd, FD),
	PLAIN(26, supervisor, nofile.rlim_cur, UNSIGNED),
	PLAIN(27, supervisor, nofile.rlim_max, UNSIGNED),
	PLAIN(28, supervisor, oom_score_adj, TEXT),
	PLAIN(29, supervisor, oom_fd, FD),
	PLAIN(30, supervisor, oom_kills, SIGNED),
	PLAIN(31, supervisor, status, SIGNED),
	PLAIN(32, supervisor, daemon_pipe, FD),
	PLAIN(33, supervisor, ready_once, BOOL),
	PLAIN(34, supervisor, upgrades, UNSIGNED),
	PLAIN(35, supervisor, guard_timer.active, SIGNED),
	PLAIN(36, supervisor, keeper_socket, FD),
	PLAIN(37, supervisor, last_number, UNSIGNED),
	PLAIN(38, supervisor, logger_copies, BOOL),
};

static const struct plain_row binary_rows[] = {
	PLAIN(1, carry_binary, version, TEXT),
	PLAIN(2, carry_binary, path, TEXT),
	PLAIN(3, carry_binary, image, FD),
	PLAIN(4, carry_binary, pid, SIGNED),
	PLAIN(5, carry_binary, written, SIGNED),
	PLAIN(6, carry_binary, asked, SIGNED),
	PLAIN(7, carry_binary, capabilities, UNSIGNED),
	PLAIN(8, carry_binary, standby, FD),
};

/* What the option table's words do not say. */
static const struct plain_row settings_rows[] = {
	PLAIN(1, cluster_settings, uid, SIGNED),
	PLAIN(2, cluster_settings, gid, SIGNED),
	PLAIN(3, cluster_settings, user_gid, SIGNED),
};

static const struct plain_row instance_rows[] = {
	PLAIN(1, settings, control_gid, SIGNED),
	PLAIN(2, settings, daemon, BOOL),
};

static const struct plain_row listener_rows[] = {
	PLAIN(1, listener, fd, FD),
	PLAIN(2, listener, made, BOOL),
	PLAIN(3, listener, file.dev, UNSIGNED),
	PLAIN(4, listener, file.ino, UNSIGNED),
	PLAIN(5, listener, facts.family, SIGNED),
	PLAIN(6, listener, facts.type, SIGNED),
	PLAIN(7, listener, facts.listening, BOOL),
	PLAIN(8, listener, facts.port, UNSIGNED),
	PLAIN(9, listener, facts.text, TEXT),
	PLAIN(10, listener, healed_at, SIGNED),
	PLAIN(11, listener, has_key, BOOL),
	PLAIN(12, listener, key.family, SIGNED),
	PLAIN(13, listener, key.type, SIGNED),
	PLAIN(14, listener, key.protocol, SIGNED),
	PLAIN(15, listener, key.ip, WORDS),
	PLAIN(16, listener, key.scope, UNSIGNED),
	PLAIN(17, listener, key.device, UNSIGNED),
	PLAIN(18, listener, key.port, UNSIGNED),
	PLAIN(19, listener, key.v6only, BOOL),
	PLAIN(20, listener, inode, UNSIGNED),
	PLAIN(21, listener, learned, BOOL),
	PLAIN_ENUM(22, listener, bit, LEARNED_MAX - 1),
	PLAIN(23, listener, workers, UNSIGNED),
	PLAIN(24, listener, unused_since, SIGNED),
	PLAIN(25, listener, limit_told, BOOL),
	PLAIN(26, listener, binder, SIGNED),
	PLAIN(29, listener, own_group, BOOL),
	PLAIN(27, listener, address.backlog, SIGNED),
	PLAIN_ENUM(28, listener, address.kind, ADDRESS_INHERIT),
};

static const struct plain_row recipe_rows[] = {
	PLAIN(1, recipe, generation, UNSIGNED),
	PLAIN(2, recipe, has_port, BOOL),
	PLAIN_ENUM(3, recipe, runtime, NODE_DENO),
};

static const struct plain_row service_rows[] = {
	PLAIN(1, service, trap_told, BOOL),
	PLAIN_ENUM(2, service, child_slots, 2 * WORKERS_MAX),
	PLAIN(3, service, leaving, BOOL),
	PLAIN(4, service, stop_signal, SIGNED),
	PLAIN(5, service, ended, BOOL),
	PLAIN(6, service, started_once, BOOL),
	PLAIN(7, service, bind_hint_told, BOOL),
	PLAIN(8, service, hooks_told, UNSIGNED),
	PLAIN(9, service, status, SIGNED),
	PLAIN(10, service, scaled, BOOL),
	PLAIN(12, service, outcome_of, UNSIGNED),
	PLAIN(13, service, outcome_failed, BOOL),
	PLAIN(14, service, checks_denied_told, BOOL),
	PLAIN(15, service, number, UNSIGNED),
	PLAIN(16, service, knows_notify, BOOL),
	PLAIN(17, service, knows_listen, BOOL),
	PLAIN(18, service, adopted_roll, BOOL),
	PLAIN(19, service, blind_told, BOOL),
	PLAIN(20, service, message_turn, UNSIGNED),
};

static const struct plain_row child_rows[] = {
	PLAIN(1, child, worker, UNSIGNED),
	PLAIN(2, child, serial, UNSIGNED),
	PLAIN(3, child, slot, UNSIGNED),
	PLAIN(4, child, pid, SIGNED),
	PLAIN(5, child, pidfd, FD),
	PLAIN(6, child, output[0], FD),
	PLAIN(7, child, output[1], FD),
	PLAIN(8, child, notify_watcher.fd, FD),
	PLAIN(9, child, cpu_then, SIGNED),
	PLAIN(10, child, looked_at, SIGNED),
	PLAIN(11, child, killed_by_us, BOOL),
	PLAIN(12, child, said_at, SIGNED),
	PLAIN(13, child, said, UNSIGNED),
	PLAIN(14, child, stranger_told, BOOL),
	PLAIN(15, child, paused, BOOL),
	PLAIN(16, child, trap_watcher.fd, FD),
	PLAIN(17, child, uses, UNSIGNED),
	PLAIN(18, child, listens, UNSIGNED),
	PLAIN(19, child, listening_told, BOOL),
	PLAIN(20, child, looks, UNSIGNED),
	PLAIN(21, child, bound_by, SIGNED),
	PLAIN(22, child, listening_by, SIGNED),
	PLAIN(23, child, trapped_at, SIGNED),
	PLAIN(24, child, trapped, UNSIGNED),
	PLAIN(25, child, bind_told, BOOL),
	PLAIN(26, child, trap_paused, BOOL),
	PLAIN(27, child, trap_hostile, BOOL),
	PLAIN(28, child, v6only_known, BOOL),
	PLAIN(29, child, v6only, BOOL),
	PLAIN(30, child, v6only_fd, SIGNED), /* the worker's number */
	PLAIN(31, child, generation, UNSIGNED),
	PLAIN(32, child, adopted, BOOL),
	PLAIN(33, child, start, UNSIGNED),
	PLAIN(34, child, withdrawn, BOOL),
	PLAIN(35, child, lane, UNSIGNED),
	PLAIN(36, child, ports, UNSIGNED),
	PLAIN(37, child, missing_told, BOOL),
	PLAIN(38, child, expected, UNSIGNED),
	PLAIN(39, child, expected_of, UNSIGNED),
};

static const struct plain_row socket_rows[] = {
	PLAIN(1, listener_socket, fd, FD),
	PLAIN(2, listener_socket, inode, UNSIGNED),
	PLAIN(3, listener_socket, lane, UNSIGNED),
	PLAIN_ENUM(4, listener_socket, place, LANES_MAX - 1),
};

static const struct plain_row health_rows[] = {
	PLAIN(1, health, failures, UNSIGNED),
	PLAIN(2, health, ok, UNSIGNED),
	PLAIN(3, health, failed, UNSIGNED),
	PLAIN(4, health, last, TEXT),
	PLAIN(5, health, proving, BOOL),
	PLAIN(6, health, asked, UNSIGNED),
	PLAIN(7, health, hang, TEXT),
	PLAIN(8, health, above_since, SIGNED),
};

static const struct plain_row helper_rows[] = {
	PLAIN(1, helper, pid, SIGNED),
	PLAIN(2, helper, pidfd, FD),
	PLAIN(3, helper, due, SIGNED),
	PLAIN(4, helper, late, BOOL),
};

static const struct plain_row hooks_rows[] = {
	PLAIN(1, hooks, dropped, UNSIGNED),
};

static const struct plain_row hook_rows[] = {
	PLAIN_ENUM(1, hook_run, event, HOOK_EVENTS - 1),
};

static const struct plain_row channel_rows[] = {
	PLAIN_ENUM(1, channel, kind, CHANNEL_KINDS - 1),
	PLAIN(2, channel, io.fd, FD),
	PLAIN(3, channel, passed, FD),
	PLAIN(4, channel, passed_lost, BOOL),
	PLAIN(5, channel, stuck, BOOL),
	PLAIN(6, channel, overlong_told, BOOL),
	PLAIN(7, channel, received, UNSIGNED),
	PLAIN(8, channel, sent, UNSIGNED),
	PLAIN(9, channel, dropped, UNSIGNED),
	PLAIN(10, channel, dropped_told, UNSIGNED),
	PLAIN(11, channel, skipped, UNSIGNED),
	PLAIN(12, channel, in.skipping, BOOL),
	PLAIN(13, channel, in.skipped, UNSIGNED),
	PLAIN(14, channel, out.in_line, BOOL),
	PLAIN(15, channel, invalid, UNSIGNED),
	PLAIN(16, channel, stuck_told, BOOL),
	PLAIN(17, channel, told_at, SIGNED),
};

static const struct plain_row mark_rows[] = {
	PLAIN(1, queue_mark, at, UNSIGNED),
	PLAIN(2, queue_mark, fd, FD),
};

static const struct plain_row segment_rows[] = {
	PLAIN(1, segment, fd, FD),
	PLAIN(2, segment, wanted, UNSIGNED),
	PLAIN_ENUM(3, segment, huge, HUGE_YES),
	PLAIN(4, segment, facts.size, UNSIGNED),
	PLAIN(5, segment, facts.page, UNSIGNED),
	PLAIN(6, segment, facts.dev, UNSIGNED),
	PLAIN(7, segment, facts.ino, UNSIGNED),
};

static const struct plain_row node_cluster_rows[] = {
	PLAIN(1, node_cluster, last_number, UNSIGNED),
	PLAIN(2, node_cluster, last_seq, SIGNED),
};

static const struct plain_row node_server_rows[] = {
	PLAIN(1, node_server, number, UNSIGNED),
	PLAIN_ENUM(2, node_server, family, NODEIPC_FD),
	PLAIN(3, node_server, v6, BOOL),
	PLAIN(4, node_server, rr, BOOL),
	PLAIN(5, node_server, port, UNSIGNED),
	PLAIN(6, node_server, fd, SIGNED), /* the worker's number */
	PLAIN(7, node_server, flags, UNSIGNED),
	PLAIN(8, node_server, index, UNSIGNED),
};

static const struct plain_row node_wait_rows[] = {
	PLAIN(1, node_wait, fd, FD),
};

static const struct plain_row node_worker_rows[] = {
	PLAIN(1, node_worker, online, BOOL),
	PLAIN(2, node_worker, bun, BOOL),
	PLAIN(3, node_worker, leaving, BOOL),
	PLAIN(4, node_worker, told_full, BOOL),
	PLAIN_ENUM(5, node_worker, stopping, NODE_PRESSED),
	PLAIN(6, node_worker, signal, SIGNED),
	PLAIN(7, node_worker, signal_at, SIGNED),
	PLAIN(8, node_worker, hold_until, SIGNED),
	PLAIN(9, node_worker, taken, UNSIGNED),
	/* 10 was the time until which it drained */
};

static const struct plain_row node_use_rows[] = {
	PLAIN(1, node_use, listening, BOOL),
	PLAIN(2, node_use, refused_until, SIGNED),
};

static const struct plain_row node_flight_rows[] = {
	PLAIN_ENUM(1, node_flight, kind, NODE_FLIGHT_CONNECTION),
	PLAIN(2, node_flight, server, UNSIGNED),
	PLAIN(3, node_flight, seq, SIGNED),
	PLAIN(4, node_flight, ack, SIGNED),
	PLAIN(5, node_flight, fd, FD),
	PLAIN(6, node_flight, arrived, BOOL),
	PLAIN(7, node_flight, lost, UNSIGNED),
	PLAIN(8, node_flight, again, SIGNED),
};

static const struct plain_row clients_rows[] = {
	PLAIN(1, clients, listen.fd, FD),
	PLAIN(2, clients, file.dev, UNSIGNED),
	PLAIN(3, clients, file.ino, UNSIGNED),
};

static const struct plain_row client_rows[] = {
	PLAIN(1, client, io.fd, FD),
	PLAIN(2, client, may_write, BOOL),
	PLAIN(3, client, half_closed, BOOL),
	PLAIN_ENUM(4, client, state, CLIENT_CLOSING),
	PLAIN(5, client, line_since, WHEN),
	PLAIN(6, client, stuck_since, WHEN),
	PLAIN(7, client, idle_since, WHEN),
	PLAIN(8, client, request.id, TEXT),
	PLAIN_ENUM(9, client, request.method, METHODS),
	PLAIN(10, client, request.target, TEXT),
	PLAIN(11, client, request.no_wait, BOOL),
	PLAIN(12, client, request.count, SIGNED),
	PLAIN(13, client, request.signal, SIGNED),
	PLAIN(14, client, request.all, BOOL),
	PLAIN(15, client, request.now, BOOL),
	PLAIN(16, client, request.follow, BOOL),
	PLAIN(17, client, request.last, SIGNED),
	PLAIN(18, client, expects_end, BOOL),
	PLAIN(19, client, failed, BOOL),
	PLAIN(20, client, outcome, TEXT),
	PLAIN(21, client, at_service, UNSIGNED),
	PLAIN(22, client, at_slot, UNSIGNED),
	PLAIN(23, client, at_part, UNSIGNED),
	PLAIN_ENUM(24, client, writer.depth, 16),
	PLAIN(25, client, writer.started, UNSIGNED),
	PLAIN(26, client, writer.keyed, BOOL),
	PLAIN(27, client, only_slot, UNSIGNED),
	PLAIN(28, client, status_only, BOOL),
	PLAIN(29, client, expects_upgrade, BOOL),
	PLAIN(30, client, missed, UNSIGNED),
};

static const struct plain_row expectation_rows[] = {
	PLAIN(1, expectation, rollout, UNSIGNED),
	PLAIN(2, expectation, settled, BOOL),
	PLAIN(3, expectation, ended, BOOL),
	PLAIN(4, expectation, since, SIGNED),
	PLAIN(5, expectation, fewer, BOOL),
	PLAIN(6, expectation, met, BOOL),
};

static const struct plain_row news_rows[] = {
	PLAIN(1, news, cluster, TEXT),
	PLAIN_IN(2, news, report, &image_report_table),
	PLAIN(3, news, serial, UNSIGNED),
	PLAIN(4, news, patience, SIGNED),
	PLAIN(5, news, last, TEXT),
	PLAIN(6, news, explain, TEXT),
	PLAIN(7, news, bind_hint, BOOL),
};

static const struct plain_row peer_rows[] = {
	PLAIN(1, peer, family, SIGNED),
	PLAIN(2, peer, ip, WORDS),
	PLAIN(3, peer, local_ip, WORDS),
	PLAIN(4, peer, port, UNSIGNED),
	PLAIN(5, peer, local_port, UNSIGNED),
	PLAIN(6, peer, scope, UNSIGNED),
	PLAIN(7, peer, pid, SIGNED),
	PLAIN(8, peer, uid, UNSIGNED),
	PLAIN(9, peer, gid, UNSIGNED),
};
static const struct plain_table peer_table = PLAIN_TABLE(peer_rows, peer);

static const struct plain_row visit_rows[] = {
	PLAIN_IN(1, visit, peer, &peer_table),
	PLAIN_ENUM(2, visit, phase, VISIT_KILLED),
	PLAIN(3, visit, step, UNSIGNED),
	PLAIN(4, visit, born, SIGNED),
	PLAIN(5, visit, deadline, WHEN),
	PLAIN(6, visit, late, BOOL),
};

static const struct plain_row accepting_rows[] = {
	PLAIN_ENUM(1, accepting, limit, WORKERS_MAX),
	PLAIN(2, accepting, turn, UNSIGNED),
	PLAIN(3, accepting, open, BOOL),
	PLAIN(4, accepting, stopping, BOOL),
	PLAIN(5, accepting, kept, FD),
	PLAIN_IN(6, accepting, kept_peer, &peer_table),
	PLAIN(7, accepting, kept_index, UNSIGNED),
	PLAIN(8, accepting, served, UNSIGNED),
	PLAIN(9, accepting, refused, UNSIGNED),
	PLAIN(10, accepting, timed_out, UNSIGNED),
	PLAIN(11, accepting, not_started, UNSIGNED),
	PLAIN(12, accepting, exits, WORDS),
	PLAIN(13, accepting, signals, WORDS),
	PLAIN(14, accepting, unknown, UNSIGNED),
};
/* clang-format on */

const struct plain_table carry_tables[CARRY_STRUCTS] = {
	[PLAIN_SUPERVISOR] = PLAIN_TABLE(supervisor_rows, supervisor),
	[PLAIN_BINARY] = PLAIN_TABLE(binary_rows, carry_binary),
	[PLAIN_CLUSTER_SETTINGS] = PLAIN_TABLE(settings_rows, cluster_settings),
	[PLAIN_INSTANCE] = PLAIN_TABLE(instance_rows, settings),
	[PLAIN_LISTENER] = PLAIN_TABLE(listener_rows, listener),
	[PLAIN_SERVICE] = PLAIN_TABLE(service_rows, service),
	[PLAIN_CHILD] = PLAIN_TABLE(child_rows, child),
	[PLAIN_CLIENT] = PLAIN_TABLE(client_rows, client),
	[PLAIN_CLIENTS] = PLAIN_TABLE(clients_rows, clients),
	[PLAIN_EXPECTATION] = PLAIN_TABLE(expectation_rows, expectation),
	[PLAIN_NEWS] = PLAIN_TABLE(news_rows, news),
	[PLAIN_SOCKET] = PLAIN_TABLE(socket_rows, listener_socket),
	[PLAIN_HEALTH] = PLAIN_TABLE(health_rows, health),
	[PLAIN_CHANNEL] = PLAIN_TABLE(channel_rows, channel),
	[PLAIN_MARK] = PLAIN_TABLE(mark_rows, queue_mark),
	[PLAIN_HELPER] = PLAIN_TABLE(helper_rows, helper),
	[PLAIN_HOOKS] = PLAIN_TABLE(hooks_rows, hooks),
	[PLAIN_HOOK] = PLAIN_TABLE(hook_rows, hook_run),
	[PLAIN_ACCEPTING] = PLAIN_TABLE(accepting_rows, accepting),
	[PLAIN_VISIT] = PLAIN_TABLE(visit_rows, visit),
	[PLAIN_SEGMENT] = PLAIN_TABLE(segment_rows, segment),
	[PLAIN_RECIPE] = PLAIN_TABLE(recipe_rows, recipe),
	[PLAIN_NODE_CLUSTER] = PLAIN_TABLE(node_cluster_rows, node_cluster),
	[PLAIN_NODE_SERVER] = PLAIN_TABLE(node_server_rows, node_server),
	[PLAIN_NODE_WAIT] = PLAIN_TABLE(node_wait_rows, node_wait),
	[PLAIN_NODE_WORKER] = PLAIN_TABLE(node_worker_rows, node_worker),
	[PLAIN_NODE_USE] = PLAIN_TABLE(node_use_rows, node_use),
	[PLAIN_NODE_FLIGHT] = PLAIN_TABLE(node_flight_rows, node_flight),
};
