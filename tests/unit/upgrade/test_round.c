/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "base/trusted.h"
#include "supervisor/common/news.h"
#include "supervisor/common/trouble.h"
#include "supervisor/control/clients.h"
#include "supervisor/control/control.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/messages/channel.h"
#include "supervisor/messages/messages.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/supervisor.h"
#include "supervisor/upgrade/carry.h"
#include "supervisor/workers/service.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

/*
 * What one nclust writes down, another one reads: all of it is there again, and what
 * that one would write down is the same to the byte.
 */
#define WEB \
	"[cluster:web]\ncommand = /bin/web --port 80\nworkers = 3\n" \
	"ready = notify\nlisten = 127.0.0.1:0\nipc = on\nrelay = others\n" \
	"env = A=1\non-crash = /bin/alarm\ndrain = off\n" \
	"[cluster:job]\ncommand = /bin/job\nworkers = 1\nready = notify\n"

#define CHANNEL 4 /* the worker's end, behind its listener */

ROOM_HEARS("messages", "broker", "news", "hooks")

/* One for each test: what is read stays, as a process that has been replaced. */
static struct supervisor nexts[16];
static struct supervisor *next;
static struct carry_reader readers[16];
static unsigned test;

static struct service *web;

static void begin(void)
{
	struct error err;

	room_begin(WEB);
	room_open_rundir();
	ck_assert_int_eq(clients_init(&room, &err), 0);
	web = room_cluster("web");
	room_tick(web);
	room_tick(room_cluster("job"));
	next = &nexts[test];
}

extern __typeof__(control_on_shutdown) __real_control_on_shutdown;

static void end(void)
{
	room_stop();
	hooks_on_shutdown(&room);
	__real_control_on_shutdown(&room);
	room_end();
}

static const struct carry_binary binary = {
	.version = "1",
	.path = "/bin/nclust",
	.image = -1,
	.pid = 1,
};

static struct carry_writer write_down(struct supervisor *sup)
{
	struct carry_writer c;
	struct error err = {0};

	ck_assert_msg(carry_save(&c, sup, &binary, &err) == 0, "%s", err.text);
	return c;
}

/* From one to the next, and it would write down the same. */
static void pass_on(void)
{
	struct carry_writer first = write_down(&room);
	struct carry_writer second;
	struct error err = {0};

	supervisor_blank(next, 0, NULL);
	ck_assert_msg(carry_load(&readers[test++], next, first.out.data, first.out.len, &err) == 0,
		"%s", err.text);
	second = write_down(next);
	ck_assert_uint_eq(second.out.len, first.out.len);
	ck_assert_mem_eq(second.out.data, first.out.data, first.out.len);
	carry_fini(&first);
	carry_fini(&second);
}

static const struct service *next_web(void)
{
	ck_assert_uint_eq(next->service_count, 2);
	ck_assert_str_eq(next->services[0]->name, "web");
	return next->services[0];
}

static void make_ready(void)
{
	for (uint32_t slot = 0; slot < 3; slot++)
		room_tell(room_child(web, slot), EVENT_READY);
}

FIXTURE(begin, end)

TEST(the_workers_are_the_same)
{
	make_ready();
	pass_on();
	ck_assert_uint_eq(service_counts(next_web()).alive, 3);
	ck_assert_uint_eq(service_counts(next_web()).ready, 3);
	for (uint32_t slot = 0; slot < 3; slot++) {
		const struct child *was = room_child(web, slot);
		const struct child *is = child_by_pid(next, was->pid);

		ck_assert_ptr_nonnull(is);
		ck_assert_uint_eq(is->serial, was->serial);
		ck_assert_uint_eq(is->slot, slot);
		ck_assert_int_eq(is->pidfd, was->pidfd);
	}
}

TEST(a_client_gets_the_rest_of_a_long_status)
{
	struct client *c = client_new(&room);
	const struct client *same;

	c->io.fd = socket(AF_UNIX, SOCK_STREAM, 0);
	c->out.limit = 0;
	while (c->out.len <= CLIENT_OUT_MAX)
		buffer_string(&c->out, "{\"name\":\"web\"}");
	c->out.limit = CLIENT_OUT_MAX;
	pass_on();
	same = next->control.first;
	ck_assert_uint_eq(same->out.len, c->out.len);
	ck_assert_mem_eq(same->out.data, c->out.data, c->out.len);
	ck_assert_uint_eq(same->out.limit, CLIENT_OUT_MAX);
}

TEST(sockets_stay_what_they_are_and_whose)
{
	struct socket_key key = {
		.family = AF_INET,
		.type = SOCK_STREAM,
		.protocol = IPPROTO_TCP,
		.ip = {127, 0, 0, 1},
	};
	int fd = socket_key_open(&key, geteuid(), true, false);
	struct child *c = room_child(web, 2);
	const struct listener *l;
	struct error err;

	ck_assert_int_eq(socket_key_bound(&key, fd), 0);
	learned_use(c, learned_add(web, &key, fd, &err), c->pid);
	pass_on();
	ck_assert_uint_eq(next_web()->sockets.listeners.count, 1);
	ck_assert_int_eq(
		next_web()->sockets.listeners.list[0]->fd, web->sockets.listeners.list[0]->fd);
	ck_assert_uint_eq(next_web()->sockets.learned.count, 1);
	l = next_web()->sockets.learned.list[0];
	ck_assert_int_eq(l->fd, fd);
	ck_assert(socket_key_equal(&l->key, &key));
	ck_assert(!learned_is_used(l, child_by_pid(next, c->pid)));
	ck_assert(learned_is_used(l, NULL));
}

TEST(no_message_is_lost_between_two_of_them)
{
	int fd = room_fd(room_child(web, 0)->pid, CHANNEL);
	const struct channel *c;
	unsigned asked;

	/* half a line has come, and one is to be sent */
	ck_assert_int_eq(send(fd, "\"half", 5, 0), 5);
	room_pass(0);
	ck_assert_uint_eq(messages_send(web, 0, false, "42", 2, &asked), 1);
	pass_on();
	c = child_by_pid(next, room_child(web, 0)->pid)->channel;
	ck_assert_uint_eq(c->in.part.len, 5);
	ck_assert_uint_eq(queue_len(&c->out), 3);
}

TEST(what_was_asked_for_and_what_went_wrong_is_remembered)
{
	struct error err;
	uint64_t worker = room_child(web, 0)->worker;
	const struct trouble_end *end;

	trouble_set_cause(room_child(web, 0), "it could not bind");
	room_exits(room_child(web, 0), 1);
	ck_assert_int_eq(service_scale(web, 5, &err), 0);
	pass_on();
	ck_assert_uint_eq(service_counts(next_web()).workers, 5);
	end = trouble_of(next_web(), 0, worker);
	ck_assert_ptr_nonnull(end);
	ck_assert_str_eq(end->cause, "it could not bind");
}

TEST(what_was_logged_once_is_not_logged_there_but_what_is_tried_anew)
{
	struct child *c = room_child(web, 2);

	ck_assert(once_say(c->said, ONCE_CANNOT_BIND));
	ck_assert(once_say(web->said, ONCE_RELAY_DOWN));
	ck_assert(once_say(web->said, ONCE_LIMITS));
	pass_on();
	ck_assert(once_said(child_by_pid(next, c->pid)->said, ONCE_CANNOT_BIND));
	ck_assert(once_said(next_web()->said, ONCE_RELAY_DOWN));
	ck_assert(!once_said(next_web()->said, ONCE_LIMITS));
}

TEST(hooks_that_wait_have_their_turn_there)
{
	room_killed(room_child(web, 0), SIGSEGV);
	ck_assert(hooks_are_under_way(&room, web));
	pass_on();
	ck_assert(hooks_are_under_way(next, next_web()));
}

/* The next one has the descriptor. */
TEST(the_history_goes_on)
{
	struct linering_text was;
	struct linering_text is;

	room_killed(room_child(web, 0), SIGSEGV);
	pass_on();
	ck_assert_int_eq(news_history(&room, &was), 0);
	ck_assert_int_eq(news_history(next, &is), 0);
	ck_assert_uint_gt(is.len, 0);
	ck_assert_uint_eq(is.len, was.len);
	ck_assert_mem_eq(is.text, was.text, is.len);
	linering_drop(&was);
	linering_drop(&is);
	ck_assert_int_eq(news_history_fd(next), news_history_fd(&room));
}

/* Of a release: what an nclust of that version wrote is read for ever.  Its descriptors are not
 * there, as in a check; tests/e2e/upgrade/test_compat.py wrote it. */
TEST(the_state_of_1_0_0_is_read)
{
	scoped_fd fd = open("tests/compat/1.0.0/state", O_RDONLY | O_CLOEXEC);
	struct carry_reader *r = &readers[test++];
	struct error err = {0};
	const struct service *talk;
	struct slot_view slot;
	scoped_str data = NULL;
	size_t len;

	data = read_whole(fd, 1 << 20, &len);
	ck_assert_ptr_nonnull(data);
	supervisor_blank(next, 0, NULL);
	ck_assert_msg(carry_load(r, next, data, len, &err) == 0, "%s", err.text);
	ck_assert_str_eq(r->binary.version, "1.0.0");
	ck_assert_uint_eq(r->skipped, 0);
	ck_assert_uint_eq(service_counts(next_web()).ready, 2);
	cluster_view_slot(next_web()->core, 0, &slot);
	ck_assert_uint_eq(slot.restarts, 1);
	ck_assert_uint_eq(slot.worker[0].generation, 2);
	ck_assert_str_eq(trouble_of(next_web(), 0, 1)->text, "killed by SIGKILL");
	ck_assert_str_eq(next_web()->sockets.listeners.list[0]->address.name, "http");
	talk = next->services[1];
	ck_assert_str_eq(talk->name, "talk");
	ck_assert_uint_eq(service_counts(talk).ready, 2);
	ck_assert_ptr_nonnull(child_by_pid(next, slot.worker[0].pid));
	cluster_view_slot(talk->core, 0, &slot);
	ck_assert_ptr_nonnull(child_by_pid(next, slot.worker[0].pid)->channel);
}
