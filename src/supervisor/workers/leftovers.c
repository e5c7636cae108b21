/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/leftovers.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/common/news.h"
#include "supervisor/common/trouble.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/strays.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- processes that have had the signal ---- */

/* In the list, a 0 stands between the processes that got one signal and those of the next. */
#define NEXT_SIGNAL 0

/* Has the process had the latest signal, or with `any` an earlier one? */
static bool has_had_signal(const struct worker_life *life, pid_t pid, bool any)
{
	for (unsigned i = life->signalled_count; i > 0; i--)
		if (life->signalled[i - 1] == pid)
			return true;
		else if (life->signalled[i - 1] == NEXT_SIGNAL && !any)
			return false;
	return false;
}

/* Without memory the process may get the signal a second time. */
static void note_signalled(struct worker_life *life, pid_t pid)
{
	if (array_grow(life->signalled, life->signalled_count))
		life->signalled[life->signalled_count++] = pid;
}

/* ---- a shell that waits for its child ---- */

static bool is_shell(pid_t pid)
{
	static const char *const shells[] = {
		"sh", "dash", "bash", "ash", "busybox", "ksh", "ksh93", "mksh", "zsh", "yash"};
	char path[256];
	const char *name;

	(void)process_link(pid, "exe", path, sizeof(path));
	name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
	return array_find(shell, shells, COUNT_OF(shells), strcmp(name, *shell) == 0) != NULL;
}

void leftovers_on_signal(struct child *child, int signal)
{
	struct worker_life *life = &child->life;
	nsec_t now = clock_now();
	nsec_t due;

	life->ended_before = life->stopped_by == 0 && pidfd_has_ended(child->pidfd);
	life->stopped_by = signal;
	if (child->service->accepting != NULL)
		return;
	due = child_view(child).due;
	life->signal_at = due == NSEC_NEVER || due < now ? now : now + (due - now) / 2;
	life->handles = process_catches(child->pid, signal);
	life->shell_waits = life->handles && is_shell(child->pid);
	if (life->shell_waits)
		strays_sweep_within(child->service->sup, life->signal_at - now);
}

/* A main process that dies of the stop signal has not waited for its children, because it has no
 * handler, or because it ends as its child did (npm, whose child is a shell): its leftovers get the
 * signal at once. */
void leftovers_on_end(struct child *child, const struct pidfd_end *end)
{
	struct worker_life *life = &child->life;
	bool died = end->signalled && end->code == life->stopped_by;

	/* how an adopted worker ended is not known */
	if (died || (child->saved.adopted && !life->handles))
		life->signal_at = 0;
}

/* Signal the children of `pid`, or `all` of its descendants.  Returns how many got the signal. */
static unsigned signal_below(pid_t pid, int signal, bool all)
{
	pid_t tree[PROCESS_TREE_MOST];
	size_t count = process_tree(pid, tree, PROCESS_TREE_MOST);
	uint64_t parent; /* from a file of /proc that does not block on the process' locks */
	unsigned signalled = 0;

	for (size_t i = 1; i < count; i++) {
		scoped_fd fd = pidfd_of(tree[i]);

		if (fd != -1 && process_status(tree[i], "PPid:", 10, &parent) == 0 &&
			array_has(tree, all ? i : 1, (pid_t)parent) && !pidfd_has_ended(fd) &&
			pidfd_signal(fd, signal) == 0)
			signalled++;
	}
	return signalled;
}

void leftovers_kill_below(const struct child *child, pid_t pid, int pidfd)
{
	const struct cluster_settings *s = child_settings(child);

	if (!pidfd_has_ended(pidfd) && (s == NULL || s->leftovers != LEFTOVERS_KEEP))
		(void)signal_below(pid, SIGKILL, true);
}

/* A shell runs its trap only when its child has ended, so the child needs the signal, too. */
static void signal_below_shell(struct child *child)
{
	unsigned signalled = signal_below(child->pid, child->life.stopped_by, false);
	char name[16];

	if (signalled > 0)
		log_worker(child, LOG_NOTE,
			"the shell (process %d) has not ended by %s: "
			"the process%s below it get%s the signal now, at half "
			"of the time; 'exec' before the last command of the "
			"script avoids that",
			(int)child->pid, text_signal_name(name, child->life.stopped_by),
			signalled == 1 ? "" : "es", signalled == 1 ? "s" : "");
}

void leftovers_at_half_time(struct supervisor *sup)
{
	nsec_t now = clock_now();
	struct child *c;

	for_each_child (c, children_of_all(sup)) {
		if (!c->life.shell_waits || c->left != NULL)
			continue;
		if (c->life.signal_at > now) {
			strays_sweep_within(sup, c->life.signal_at - now);
			continue;
		}
		c->life.shell_waits = false;
		signal_below_shell(c);
	}
}

/* ---- after the end of the main process ---- */

/* A signal that makes a hung worker show where it hangs is for the main process alone: leftovers
 * get a stop signal of the settings instead. */
static int signal_for(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);
	int signal = child->life.stopped_by;

	if (signal == 0 || signal == child->service->life.stop_signal ||
		(s != NULL &&
			array_find(step, s->stop, s->stop_count, step->signal == signal) != NULL))
		return signal;
	return s != NULL ? s->stop[0].signal : SIGTERM;
}

static int begin_waiting(struct child *child, const struct ending *ending)
{
	struct reaper *reaper = &child->service->sup->reaper;
	struct leftovers *left = calloc(1, sizeof(*left));

	if (left == NULL)
		return -1;
	left->ending = *ending;
	left->since = clock_now();
	left->signal = child_view(child).killed ? SIGKILL : signal_for(child);
	left->found = 1; /* until a complete walk finds no leftover */
	left->next = reaper->left;
	reaper->left = child;
	child->left = left;
	return 0;
}

static void report_daemon(struct child *child, unsigned count)
{
	bool replaced = child_view(child).ready_at != NSEC_NEVER &&
		cluster_wanted(child->service->core) > 1;

	trouble_set_cause(child, "%s",
		replaced ? "it was replaced by a process that it has started; " TROUBLE_ONE_COPY
			 : "the command went to the background (daemonised): turn its daemon mode "
			   "off");
	if (!once_each(&child->service->sup->reaper.daemon_at, clock_now(), SECOND))
		return;
	news_say_worker(child, LOG_WARN, "daemonised",
		"the command went to the background (daemonised), or has "
		"replaced itself; %u leftover process%s ended; turn its "
		"daemon mode off, and replace it by 'nclust restart'",
		count, count == 1 ? " is" : "es are");
}

bool leftovers_begin(struct child *child, const struct ending *ending)
{
	/* did the worker exit with 0 by itself? */
	bool daemon = ending->kind == ENDING_EXIT && ending->code == 0 &&
		!child->life.killed_by_us && !child_is_stopping(child);
	unsigned count;

	if (strays_none_of(child) || begin_waiting(child, ending) == -1)
		return false;
	pids_remove(child->service->sup, child);
	if (daemon) /* so that is what it was to be */
		memset(child->service->life.daemons, 0, sizeof(child->service->life.daemons));
	count = strays_count_of(child);
	if (count == 0)
		return false;
	if (daemon)
		report_daemon(child, count);
	child_tell(child, EVENT_LEFTOVERS, WHY_ITSELF);
	return true;
}

struct child *leftovers_of_session(const struct supervisor *sup, pid_t session)
{
	struct child *c = sup->reaper.left;

	while (c != NULL && c->pid != session)
		c = c->left->next;
	/* if another worker has this pid now, the session is that worker's */
	return c != NULL && child_by_pid(sup, session) == NULL ? c : NULL;
}

struct child *leftovers_signalled(const struct supervisor *sup, pid_t pid)
{
	struct child *c = sup->reaper.left;

	while (c != NULL && !has_had_signal(&c->life, pid, true))
		c = c->left->next;
	return c;
}

static bool must_get_signal(const struct worker_life *life, pid_t pid, int signal)
{
	return signal != 0 && clock_now() >= life->signal_at && !has_had_signal(life, pid, false);
}

static void signal_leftover(struct child *child, pid_t pid, int pidfd, int signal)
{
	struct worker_life *life = &child->life;
	char name[16];

	if (!must_get_signal(life, pid, signal))
		return;
	if (life->signal_at != 0 && life->signalled_count == 0)
		log_worker(child, LOG_NOTE,
			"its main process has ended by itself after "
			"%s: what it has left gets that now, at half of the "
			"time",
			text_signal_name(name, signal));
	if (pidfd_signal(pidfd, signal) == 0)
		note_signalled(life, pid);
}

void leftovers_tell_frozen(struct child *child, pid_t parent, pid_t pid, int pidfd)
{
	int signal = signal_for(child);

	if (parent == child->pid)
		signal_leftover(child, pid, pidfd, signal);
	else if (signal > 0 && process_dies_of(parent, signal) && pidfd_signal(pidfd, signal) == 0)
		note_signalled(&child->life, pid);
}

void leftovers_found(struct child *child, pid_t pid, int pidfd)
{
	struct leftovers *left = child->left;

	left->found++;
	if (left->signal != SIGKILL) {
		signal_leftover(child, pid, pidfd, left->signal);
		return;
	}
	leftovers_kill_below(child, pid, pidfd);
	if (pidfd_signal(pidfd, SIGKILL) == 0 && !has_had_signal(&child->life, pid, true))
		note_signalled(&child->life, pid);
}

/* Does the process live, and is it of the group, which is 0 then?  A zombie is dead, whether or not
 * a process reaps it.  Where `status` names no groups, each may be of it. */
static bool lives_in_group(void *group, pid_t pid)
{
	scoped_fd fd = -1;
	uint64_t its;

	if (process_status(pid, "NSpgid:", 10, &its) == 0 && its != *(uint64_t *)group)
		return false;
	fd = pidfd_of(pid);
	if (fd == -1 || pidfd_has_ended(fd))
		return false;
	*(uint64_t *)group = 0;
	return true;
}

/* Leftovers of an adopted worker may be no children of nclust: only their process group is known. */
unsigned leftovers_of_group(struct child *child)
{
	struct worker_life *life = &child->life;
	uint64_t group = (uint64_t)child->pid;
	int signal = child->left->signal;

	if (!child->saved.adopted || child_signal_group(child, 0) == -1)
		return 0;
	(void)process_each(0, lives_in_group, &group);
	if (group != 0)
		return 0;
	if (must_get_signal(life, child->pid, signal) && child_signal_group(child, signal) == 0)
		note_signalled(life, child->pid);
	return signal != SIGKILL;
}

void leftovers_signal(struct child *child, int signal)
{
	struct leftovers *left = child->left;

	left->signal = signal;
	if (signal != SIGKILL) /* which each gets at each look */
		note_signalled(&child->life, NEXT_SIGNAL);
	child->life.signal_at = 0;
	strays_look_soon(child->service->sup);
}

void leftovers_free(struct child *child)
{
	struct child **at = &child->service->sup->reaper.left;

	free(child->life.signalled);
	child->life.signalled = NULL;
	if (child->left == NULL)
		return;
	while (*at != child)
		at = &(*at)->left->next;
	*at = child->left->next;
	free(child->left);
	child->left = NULL;
}
