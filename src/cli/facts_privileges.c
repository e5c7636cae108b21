/* SPDX-License-Identifier: MIT */
#include "cli/facts.h"

#include "os/privilege.h"
#include "os/process.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>

#ifndef CAP_BPF
#define CAP_BPF 39 /* linux/capability.h, 5.8 */
#endif

static void look_at_user(struct facts *f)
{
	uid_t uid = geteuid();

	if (privilege_is_setuid())
		facts_add(f, FACT_BAD, "user", "nclust does not run setuid or setgid",
			"uid %u acting as %u", (unsigned)getuid(), (unsigned)uid);
	else
		facts_add(f, FACT_OK, "user", uid == 0 ? "give workers a user of their own" : "",
			"uid %u, gid %u", (unsigned)uid, (unsigned)getegid());
}

static void look_at_ports(struct facts *f)
{
	/* 1024 where it cannot be set (before 4.11) */
	long first = facts_number("/proc/sys/net/ipv4/ip_unprivileged_port_start", 1024);

	if (first <= 1 || privilege_has(CAP_NET_BIND_SERVICE))
		facts_add(f, FACT_OK, "ports", "", "any");
	else
		facts_add(f, FACT_NOTE, "ports",
			"for lower ones: a socket unit, CAP_NET_BIND_SERVICE, "
			"or ip_unprivileged_port_start",
			"from %ld on", first);
}

static void look_at_capabilities(struct facts *f)
{
	bool setuid = privilege_has(CAP_SETUID) && privilege_has(CAP_SETGID);

	if (setuid)
		facts_add(f, FACT_OK, "CAP_SETUID", "workers may have a user and group", "held");
	else
		facts_add(f, FACT_NOTE, "CAP_SETUID",
			"workers run as this user: user and group are refused", "not held");
	facts_held(f, setuid ? FACT_WARN : FACT_OK, CAP_KILL, "CAP_KILL", "",
		setuid ? "workers of another user cannot be stopped"
		       : "workers of this user need none");
	facts_held(f, FACT_OK, CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE",
		"limit-KEY may raise hard limits", "limit-KEY stays below the hard limits");
	facts_held(f, FACT_OK, CAP_BPF, "CAP_BPF", "balance = rr",
		"balance = rr is random; a shared socket needs none");
}

static void look_at_confinement(struct facts *f)
{
	uint64_t value;
	/* 0 none, 1 strict, 2 filter */
	int mode = process_status(getpid(), "Seccomp:", 10, &value) == 0 ? (int)value : -1;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		facts_add(f, FACT_NOTE, "no_new_privs", "setuid programs gain nothing as workers",
			"set");
	else
		facts_add(f, FACT_OK, "no_new_privs", "", "not set");
	facts_add(f, mode > 0 ? FACT_NOTE : FACT_OK, "seccomp",
		mode > 0 ? "its refusals show here; workers inherit it" : "", "%s",
		mode == -1          ? "cannot be told"
			: mode == 0 ? "no filter"
				    : "a filter is in place");
}

void facts_privileges(struct facts *f)
{
	look_at_user(f);
	look_at_ports(f);
	look_at_capabilities(f);
	look_at_confinement(f);
}
