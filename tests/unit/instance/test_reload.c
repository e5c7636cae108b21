/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "../config/config_lib.h"
#include "supervisor/instance/reload.h"
#include "supervisor/workers/service.h"

#include <signal.h>

/* What a reload changes, by the difference between two files. */

#define WEB_AS(command, workers) \
	"[cluster:web]\nready = notify\ndrain = off\ncommand = " command "\nworkers = " workers "\n"
#define WEB WEB_AS("/bin/web", "2")
#define JOB \
	"[cluster:job]\ncommand = /bin/job\nworkers = 1\nready = " \
	"notify\ndrain = off\n"

ROOM_HEARS("news", "instance")

static struct buffer text;
static struct service *web;

static void begin(void)
{
	room_begin(WEB JOB);
	for (size_t i = 0; i < room.service_count; i++) {
		room_tick(room.services[i]);
		for (uint32_t k = 0;
			k < service_wanted(&room, cluster_settings(room.services[i]->core)); k++) {
			room_tell(room_child(room.services[i], k), EVENT_READY);
			room_tick(room.services[i]);
		}
	}
	web = room_cluster("web");
}

static void end(void)
{
	buffer_fini(&text);
	room_end();
}

static int reload(const char *now)
{
	struct reading r = read_text(now);
	int got;

	buffer_fini(&text);
	if (r.faults.count > 0) {
		settings_free(r.s);
		r.s = NULL;
	} else {
		room_simplify(r.s);
	}
	got = reload_run(&room, r.s, buffer_text(&r.faults.text), false, false, &text);
	faults_fini(&r.faults);
	for (size_t i = 0; i < room.service_count; i++)
		room_tick(room.services[i]);
	return got;
}

static const char *said(void)
{
	return buffer_text(&text);
}

FIXTURE(begin, end)

TEST(the_same_file_changes_nothing)
{
	unsigned spawned = room_spawned();

	ck_assert_int_eq(reload(WEB JOB), 0);
	ck_assert_str_eq(said(),
		"web: no change; job: no change; "
		"to start the same command anew: nclust restart shop");
	room_pass(10 * SECOND);
	ck_assert_uint_eq(room_spawned(), spawned);
}

TEST(another_command_replaces_the_workers_of_that_cluster_alone)
{
	unsigned spawned = room_spawned();
	struct child *job = room_child(room_cluster("job"), 0);

	ck_assert_int_eq(reload(WEB_AS("/bin/web2", "2") JOB), 0);
	ck_assert_str_eq(said(), "web: command: rolling restart; job: no change");
	ck_assert_uint_eq(room_spawned(), spawned + 1); /* one at a time */
	ck_assert_uint_eq(room_child(web, 0)->generation, 2);
	ck_assert_ptr_eq(room_child(room_cluster("job"), 0), job);
}

TEST(a_setting_that_is_looked_up_each_time_replaces_nobody)
{
	unsigned spawned = room_spawned();

	ck_assert_int_eq(reload(WEB "stop-timeout = 3s\n" JOB), 0);
	ck_assert_str_eq(said(), "web: stop-timeout 30s → 3s: applied; job: no change");
	room_pass(10 * SECOND);
	ck_assert_uint_eq(room_spawned(), spawned);
	ck_assert_int_eq(cluster_settings(web->core)->stop[0].timeout, 3 * SECOND);
}

TEST(what_the_operator_has_scaled_stays)
{
	struct error err;

	ck_assert_int_eq(service_scale(web, 4, &err), 0);
	ck_assert_int_eq(reload(WEB JOB), 0);
	ck_assert_uint_eq(service_counts(web).workers, 4);
	ck_assert_int_eq(reload(WEB_AS("/bin/web", "1") JOB), 0);
	ck_assert_uint_eq(service_counts(web).workers, 1);
}

TEST(one_that_is_gone_stops_and_leaves)
{
	struct service *job = room_cluster("job");
	pid_t pid = room_child(job, 0)->pid;

	ck_assert_int_eq(reload(WEB), 0);
	ck_assert_str_eq(said(), "web: no change; job: removed");
	ck_assert(job->stage.leaving);
	room_pass(SECOND);
	ck_assert_uint_ge(room_signalled(pid, SIGTERM), 1);
	/* until it has, its name is taken */
	ck_assert_int_eq(reload(WEB JOB), -1);
	ck_assert_str_eq(said(), "cluster 'job' is still stopping: try again");
}

TEST(one_that_is_stopping_yet_takes_what_needs_no_start_alone)
{
	service_stop(web, false);
	ck_assert_int_eq(reload(WEB_AS("/bin/web2", "2") JOB), -1);
	ck_assert_str_eq(said(), "cluster 'web' is still stopping: try again");
	ck_assert_int_eq(reload(WEB_AS("/bin/web", "3") JOB), -1);
	ck_assert_int_eq(reload(WEB "stop-timeout = 1s\n" JOB), 0);
}

TEST(a_mistake_changes_nothing_at_all)
{
	const struct settings *before = room.settings;
	unsigned spawned = room_spawned();

	ck_assert_int_eq(reload("[cluster:web]\ncommand = /bin/web3\n"
				"workers = many\n"),
		-1);
	ck_assert_ptr_nonnull(strstr(said(), "workers: wanted"));
	ck_assert_ptr_eq(room.settings, before);
	room_pass(10 * SECOND);
	ck_assert_uint_eq(room_spawned(), spawned);
	ck_assert_uint_eq(service_counts(room_cluster("job")).alive, 1);
}

TEST(an_address_that_cannot_be_had_changes_nothing_at_all)
{
	unsigned spawned = room_spawned();

	/* 192.0.2.0/24 is nobody's (RFC 5737) */
	ck_assert_int_eq(reload("[cluster:web]\ncommand = /bin/web4\n"
				"workers = 5\nlisten = 127.0.0.1:0\n"
				"[cluster:new]\ncommand = /bin/new\nworkers = 1\n"
				"listen = 192.0.2.1:0\n"),
		-1);
	ck_assert_ptr_nonnull(strstr(said(), "cluster 'new'"));
	room_pass(10 * SECOND);
	ck_assert_uint_eq(room_spawned(), spawned);
	ck_assert_uint_eq(web->sockets.listeners.count, 0);
	ck_assert_uint_eq(service_counts(web).workers, 2);
}
