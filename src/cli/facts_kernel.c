/* SPDX-License-Identifier: MIT */
#include "cli/facts.h"

#include "base/scope.h"
#include "os/pidfd.h"
#include "os/process.h"
#include "os/trycall.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define LEAST_MAJOR 5
#define LEAST_MINOR 10

static void look_at_release(struct facts *f)
{
	struct utsname name;
	int major = 0;
	int minor = 0;
	bool enough;

	(void)uname(&name); /* fails only for a bad pointer */
	if (sscanf(name.release, "%d.%d", &major, &minor) != 2)
		minor = 0;
	enough = major > LEAST_MAJOR || (major == LEAST_MAJOR && minor >= LEAST_MINOR);
	facts_add(f, enough ? FACT_OK : FACT_BAD, "kernel",
		enough ? "" : "nclust needs 5.10 or later", "%s %s, %s", name.sysname, name.release,
		name.machine);
}

/* pidfd_open(2), pidfd_send_signal(2), and waitid(2) by pidfd: a process that
 * is not our child must be refused with ECHILD, not with EINVAL. */
static void look_at_pidfd(struct facts *f)
{
	scoped_fd fd = pidfd_to_watch(getpid());
	struct pidfd_end end;

	if (fd == -1)
		facts_add(f, FACT_NOTE, "pidfd",
			"workers that a killed nclust has left may not be "
			"taken over",
			"pidfd_open is refused: %s", strerror(errno));
	else if (pidfd_peek(fd, &end) == -1 && errno != ECHILD)
		facts_add(f, FACT_BAD, "pidfd", "nclust waits by pidfd alone: it cannot run",
			"cannot wait: %s", strerror(errno));
	else if (trycall(SYS_pidfd_send_signal, fd, 0, NULL, 0U) == -1)
		facts_add(f, FACT_NOTE, "pidfd", "processes are signalled by number, after a look",
			"pidfd_send_signal is refused: %s", strerror(errno));
	else
		facts_add(f, FACT_OK, "pidfd", "no process is ever signalled by a reused number",
			"open, signal and wait work");
}

static void look_at_proc(struct facts *f)
{
	struct process_facts own;

	if (process_look(getpid(), &own) == -1)
		facts_add(f, FACT_WARN, "/proc", "status shows no CPU and memory of workers",
			"cannot be read: %s", strerror(errno));
	else
		facts_add(f, FACT_OK, "/proc", "", "readable");
	if (process_children(NULL, 0) == -1)
		facts_add(f, FACT_NOTE, "children list",
			"strays of workers are ended with their group only", "the kernel has none");
	else
		facts_add(f, FACT_OK, "children list",
			"processes that left their worker's group are found "
			"at a stop",
			"there is one");
}

/* One socket for both families, as a bare port asks for. */
static void look_at_ipv6(struct facts *f)
{
	const char *cannot = NULL;
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	scoped_fd fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int off = 0;

	if (fd == -1)
		cannot = "missing";
	else if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == -1 ||
		bind(fd, (const struct sockaddr *)&any, sizeof(any)) == -1)
		cannot = "cannot be bound";
	if (cannot != NULL)
		facts_add(f, FACT_NOTE, "IPv6", "a bare port listens on 0.0.0.0", "%s: %s", cannot,
			strerror(errno));
	else
		facts_add(f, FACT_OK, "IPv6", "a bare port listens on both by one socket",
			"works, together with IPv4");
}

void facts_kernel(struct facts *f)
{
	look_at_release(f);
	look_at_pidfd(f);
	look_at_proc(f);
	look_at_ipv6(f);
}
