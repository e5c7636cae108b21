/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry.h"

#include "supervisor/common/registry.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/sockets/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* clang-format off */
static const struct plain_row supervisor_rows[] = {
	PLAIN(1, supervisor, launch.started, SIGNED),
	PLAIN(2, supervisor, launch.cpus, UNSIGNED),
	PLAIN(3, supervisor, rundir.path, TEXT),
	PLAIN(4, supervisor, rundir.dir, FD),
	PLAIN(5, supervisor, rundir.notify_dir, FD),
	PLAIN(6, supervisor, rundir.lock, FD),
	PLAIN(7, supervisor, has_rundir, BOOL),
	PLAIN(8, supervisor, births.next_serial, UNSIGNED),
	PLAIN(9, supervisor, reaper.last_sweep, SIGNED),
	PLAIN(10, supervisor, signals.hup_ignored, BOOL),
	PLAIN(11, supervisor, launch.had_terminal, BOOL),
	PLAIN_ENUM(12, supervisor, intercept.way, WAY_NONE),
	PLAIN(14, supervisor, guard.watcher.fd, FD),
	PLAIN(15, supervisor, guard.watch, SIGNED),
	PLAIN(17, supervisor, logger.life.job.pid, SIGNED),
	PLAIN(18, supervisor, logger.life.job.pidfd, FD),
	PLAIN(19, supervisor, logger.watcher.fd, FD),
	PLAIN(20, supervisor, logger.life.started, SIGNED),
	PLAIN(21, supervisor, logger.stdout_is_terminal, BOOL),
	PLAIN(22, supervisor, daemon.log_fd, FD),
	PLAIN(23, supervisor, daemon.pidfile_written, BOOL),
	PLAIN(24, supervisor, null_fd, FD),
	PLAIN(25, supervisor, control.reserve_fd, FD),
	PLAIN(26, supervisor, births.nofile.rlim_cur, UNSIGNED),
	PLAIN(27, supervisor, births.nofile.rlim_max, UNSIGNED),
	PLAIN(28, supervisor, births.oom_score_adj, TEXT),
	PLAIN(29, supervisor, reaper.oom_fd, FD),
	PLAIN(30, supervisor, reaper.oom_kills, SIGNED),
	PLAIN(31, supervisor, instance.status, SIGNED),
	PLAIN(32, supervisor, daemon.pipe, FD),
	PLAIN(33, supervisor, instance.ready_once, BOOL),
	PLAIN(34, supervisor, upgrade.count, UNSIGNED),
	PLAIN(35, supervisor, guard.timer.active, SIGNED),
	PLAIN(36, supervisor, orphans.keeper_socket, FD),
	PLAIN(37, supervisor, orphans.last_number, UNSIGNED),
	PLAIN(39, supervisor, web.life.job.pid, SIGNED),
	PLAIN(40, supervisor, web.life.job.pidfd, FD),
	PLAIN(41, supervisor, web.life.started, SIGNED),
	PLAIN(42, supervisor, web.socket.fd, FD),
	PLAIN(43, supervisor, web.socket.path, HEAP),
	PLAIN(44, supervisor, web.socket.file.dev, UNSIGNED),
	PLAIN(45, supervisor, web.socket.file.ino, UNSIGNED),
	PLAIN(46, supervisor, web.socket.file.uid, UNSIGNED),
	PLAIN(47, supervisor, web.socket.file.gid, UNSIGNED),
	PLAIN(49, supervisor, logger.last_log, UNSIGNED),
	/* 38, 50 and 52 were what an earlier logger knew, 55 of a drained host */
	PLAIN(51, supervisor, controllers, UNSIGNED),
	PLAIN(53, supervisor, traffic.host.since, SIGNED),
	PLAIN(54, supervisor, traffic.host.switched_at, SIGNED),
	PLAIN(56, supervisor, traffic.host.empty, BOOL),
	PLAIN_ENUM(57, supervisor, traffic.host.waits, HOST_RETURNS),
	PLAIN(58, supervisor, traffic.host.began, SIGNED),
	PLAIN(59, supervisor, traffic.host.until, SIGNED),
	PLAIN(60, supervisor, web.agent.fd, FD),
	PLAIN(61, supervisor, web.agent.path, HEAP),
	PLAIN(62, supervisor, web.agent.file.dev, UNSIGNED),
	PLAIN(63, supervisor, web.agent.file.ino, UNSIGNED),
	PLAIN(64, supervisor, web.agent.file.uid, UNSIGNED),
	PLAIN(65, supervisor, web.agent.file.gid, UNSIGNED),
	PLAIN(66, supervisor, launch.directory, HEAP),
	PLAIN(67, supervisor, said[0], UNSIGNED), /* 13 and 16 were facts of it */
	PLAIN(68, supervisor, instance.read_at, SIGNED),
	PLAIN(69, supervisor, traffic.courier.life.job.pid, SIGNED),
	PLAIN(70, supervisor, traffic.courier.life.job.pidfd, FD),
	PLAIN(71, supervisor, traffic.courier.life.started, SIGNED),
	PLAIN(72, supervisor, traffic.courier.heard.fd, FD),
	PLAIN(73, supervisor, traffic.courier.under_way, UNSIGNED),
	CARRY_BYTES(CARRY_CHILDREN, supervisor, reaper.first_children,
		reaper.first_children_count),
	CARRY_ARRAY(CARRY_ASKER, supervisor, traffic.host.monitors,
		&carried_monitor, traffic.host.monitor_count),
};

static const struct plain_row binary_rows[] = {
	PLAIN(1, carry_binary, version, TEXT),
	PLAIN(2, carry_binary, path, TEXT),
	PLAIN(3, carry_binary, image, FD),
	PLAIN(4, carry_binary, pid, SIGNED),
	PLAIN(5, carry_binary, written, SIGNED),
	PLAIN(6, carry_binary, asked, SIGNED),
	PLAIN(7, carry_binary, capabilities, UNSIGNED), /* 8 was of a helper */
};
/* clang-format on */

const struct carried carried_binary = {
	.called = "the binary",
	CARRIED_ROWS(binary_rows, carry_binary),
};

const struct carried carried_supervisor = {
	.called = "the supervisor",
	CARRIED_ROWS(supervisor_rows, supervisor),
};

/* ---- the whole state ---- */

static int take_whole(struct carry_reader *r, void *to UNUSED, const struct handover_field *f)
{
	return f->tag == CARRY_BINARY ? carry_get_one(r, &carried_binary, &r->binary, f) : 0;
}

static int whole_done(struct carry_reader *r, void *to)
{
	const struct supervisor *sup = to;

	if (sup->settings == NULL || sup->news.history == NULL || r->binary.pid == 0 ||
		sup->null_fd == -1 || (sup->control.listen.fd != -1) != sup->has_rundir)
		return error_set(r->err, 0, "the state lacks what nclust needs");
	return 0;
}

static const struct plain_row whole_rows[] = {
	CARRY_ITSELF(CARRY_SUPERVISOR, &carried_supervisor),
	CARRY_BESIDE(&carried_of_instance),
};

static const struct carried whole = {
	.called = "nclust",
	CARRIED_ROWS(whole_rows, supervisor),
	.take = take_whole,
	.done = whole_done,
};

int carry_save(struct carry_writer *c, struct supervisor *sup, const struct carry_binary *binary,
	struct error *err)
{
	*c = (struct carry_writer){.sup = sup};
	buffer_init(&c->out, HANDOVER_SIZE_MAX);
	buffer_init(&c->descriptors, 0);
	/* a pass without output collects the structs that others refer to, which are written
	 * first */
	handover_begin(&c->w, NULL);
	carry_put_all(c, &whole, sup);
	c->queued = 0;
	handover_begin(&c->w, &c->out);
	carry_put_one(c, CARRY_BINARY, &carried_binary, binary);
	carry_put_all(c, &whole, sup);
	if (carry_variant.more) {
		handover_open(&c->w, CARRY_UNKNOWN);
		handover_put_u64(&c->w, 1, 1);
		handover_close(&c->w);
	}
	if (c->descriptors.failed || handover_end(&c->w, &carry_variant.version) == -1)
		return error_set(err, ENOMEM, "cannot write the state down");
	return 0;
}

int carry_load(struct carry_reader *r, struct supervisor *sup, const void *data, size_t len,
	struct error *err)
{
	struct handover_reader in;

	*r = (struct carry_reader){.sup = sup, .err = err};
	*err->text = '\0';
	if (handover_open_for_reading(
		    &in, data, len, carry_variant.version.major, &r->version, err) == -1)
		return -1;
	return carry_get_all(r, &whole, sup, &in) == 1 ? 0 : -1;
}

void carry_release(struct carry_reader *r)
{
	const struct carry_list *settings = &r->lists[CARRY_OF_SETTINGS];
	const struct carry_list *listeners = &r->lists[CARRY_OF_LISTENERS];
	const struct carry_list *segments = &r->lists[CARRY_OF_SEGMENTS];

	for (size_t i = 0; i < settings->count; i++)
		cluster_settings_unref(settings->list[i]);
	for (size_t i = 0; i < listeners->count; i++)
		listener_release(listeners->list[i]);
	for (size_t i = 0; i < segments->count; i++)
		segment_release(segments->list[i]);
	for (int i = 0; i < CARRY_KINDS; i++) {
		free(r->lists[i].list);
		r->lists[i] = (struct carry_list){0};
	}
}

int carry_verify(const struct supervisor *sup, struct error *err)
{
	const struct child *c;

	for_each_child (c, children_of_all(sup))
		/* an adopted worker is no child of nclust */
		if (!c->saved.adopted && !pidfd_is_child(c->pidfd, c->pid))
			return error_set(
				err, errno, "worker %d is not a child of ours", (int)c->pid);
	return 0;
}
