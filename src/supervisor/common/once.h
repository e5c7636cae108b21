/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Facts that nclust logs once.  A fact is logged again only if it was over in between.  The
 * instance, each cluster, each worker and each listener has a bit for each fact: uint32_t said[2].
 *
 * An upgrade carries said[0], so the numbers below ONCE_ANEW are for ever, and the number of a
 * removed fact is not used again.  The facts in said[1] are logged again after an upgrade.
 */
enum once {
	/* of the instance */
	ONCE_OWN_FILTER = 0,  /* under which restrictions workers get a filter of system calls */
	ONCE_NOT_REMADE = 16, /* the control socket cannot be made again */
	/* of a cluster */
	/* 1 and 6 were of a cluster, too */
	ONCE_TRAP_REFUSED = 2, /* why a worker's port was not taken over */
	ONCE_CHECK_DENIED = 3, /* it is not known which worker got a check */
	ONCE_BLIND = 4,        /* connections cannot be seen */
	ONCE_RELAY_DOWN = 5,   /* messages do not reach other machines */
	/* of a worker */
	ONCE_NOTIFY_REFUSED = 7, /* another process has sent a notify message */
	ONCE_CANNOT_BIND = 8,
	ONCE_NOT_LISTENING = 9, /* it lacks an address of the former generation */
	/* 10 was another one */
	ONCE_STUCK = 11,     /* it does not read its messages */
	ONCE_OVERLONG = 12,  /* a message was too long */
	ONCE_NODE_FULL = 13, /* it has no descriptor left for what nclust passes */
	/* of a listener */
	ONCE_COVERED = 14, /* a worker that binds another address gets it */
	ONCE_SHARED = 15,  /* workers share it, and each could have a port of its own */
	/* of a cluster */
	ONCE_HOOK_FAILED = 17, /* and the next numbers: a hook of each enum hook_event */
	ONCE_ANEW = 32,
	/* of the instance */
	ONCE_STOPPED_BY_OTHERS = ONCE_ANEW, /* another process has stopped a worker */
	ONCE_NO_HISTORY,                    /* events cannot be kept */
	ONCE_STATE_UNWRITTEN,               /* for the next nclust */
	/* of a cluster */
	ONCE_NO_SLOTLOG,       /* why its output cannot be kept */
	ONCE_LIMITS,           /* what is wrong with its cgroups */
	ONCE_GREEDY_CLUSTER,   /* its workers have used up the allowance of all */
	ONCE_STALL_UNSEEN,     /* no stall can be seen */
	ONCE_CHECK_UNTAKEN,    /* no worker takes a check's connection */
	ONCE_PORTLESS,         /* readiness waits for a worker's port */
	ONCE_SCALE_BLIND,      /* it is not known whether clients are connected */
	ONCE_WAITS,            /* its start waits for other clusters */
	ONCE_STRANGER_LISTENS, /* another process listens at an address of this rollout */
	ONCE_PATH_TAKEN,       /* its workers take a unix path from each other */
	ONCE_TOO_FEW_FILES,    /* what they lack for want of descriptors */
	ONCE_DONE,             /* its work is done, and begun again */
	ONCE_RUNS_ONCE,        /* without a port one copy of it runs */
	ONCE_ALONE,            /* its worker ends before its successor starts */
	ONCE_ONE_WORKER,       /* a signal was passed on to one of several workers */
	/* of a worker */
	ONCE_GREEDY_WORKER,
	/* of a listener */
	ONCE_ONE_SOCKET, /* workers share it, and were to have a socket each */
	/* of a cluster */
	ONCE_NO_PRIMARY, /* its workers may need a primary of their own */
	ONCE_DAEMON,     /* a daemon that a worker has started binds a port */
	ONCE_OPENS_NONE, /* its workers count as ready without a port */
	ONCE_LATE,       /* what its start waits for */
	ONCE_FACTS
};
_Static_assert(ONCE_FACTS <= 2 * ONCE_ANEW, "said[] has 64 bits");

static inline bool once_said(const uint32_t said[2], enum once fact)
{
	return (said[fact / ONCE_ANEW] >> fact % ONCE_ANEW & 1) != 0;
}

/* True: it is to be logged now, and not again. */
static inline bool once_say(uint32_t said[2], enum once fact)
{
	bool first = !once_said(said, fact);

	said[fact / ONCE_ANEW] |= UINT32_C(1) << fact % ONCE_ANEW;
	return first;
}

/* It has ceased.  Returns whether it was logged. */
static inline bool once_forget(uint32_t said[2], enum once fact)
{
	bool was = once_said(said, fact);

	said[fact / ONCE_ANEW] &= ~(UINT32_C(1) << fact % ONCE_ANEW);
	return was;
}

/* What may come again and again is logged once in a span: *at is when it was logged last, or 0.
 * True: it is to be logged now. */
static inline bool once_each(nsec_t *at, nsec_t now, nsec_t span)
{
	if (*at != 0 && now - *at < span)
		return false;
	*at = now;
	return true;
}
