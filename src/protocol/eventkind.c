/* SPDX-License-Identifier: MIT */
#include "protocol/eventkind.h"

#include "base/scope.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

const char *const event_kinds[] = {
	/* a worker */
	"started", "ready", "exited", "stopping", "draining", "drained", "stop-timeout",
	"unkillable", "start-timeout", "unwell", "outgrown", "hang", "stalled", "check-failed",
	"memory", "daemonised", "not-listening", "worker-errno", "worker-reloading", "left-out",
	"ended-meanwhile", "slot-ended", "spare", "takes-over", "no-spares", "leader", "message",
	"messages-stuck", "messages-dropped", "messages-missed",
	/* a cluster */
	"state", "all-ready", "scaled", "gave-up", "not-ready", "not-started", "rollout-started",
	"rollout-step", "baking", "baked", "rollout-done", "rollout-failed", "rollout-superseded",
	"listening", "closed", "stranger-listens", "listener-harmed", "relay-down", "relay-up",
	"file-changed", "shared-memory", "balance", "check-denied", "check-untaken",
	"check-doubted", "stall-refused", "stop-waits", "hook-failed", "surprise", "drop",
	"fallback", "fallback-over", "essential-ended", "waits", "before-failed", "directory-moved",
	"hand-on", "alone", "done", "too-few-files",
	/* the instance */
	"reloaded", "reload-failed", "upgraded", "upgrade-failed", "upgrade-waits", "adopted",
	"hooks-dropped", "control-renewed", "host-drained", "host-empty", "host-waits",
	"host-undrained"};
const size_t event_kind_count = sizeof(event_kinds) / sizeof(*event_kinds);

bool eventkind_listed(const char *kinds, const char *name, size_t len)
{
	for (; *kinds != '\0'; kinds += kinds[0] == ',') {
		size_t n = strcspn(kinds, ",");

		if (n == len && memcmp(kinds, name, len) == 0)
			return true;
		kinds += n;
	}
	return false;
}

int eventkind_add(char kinds[EVENTKINDS_TEXT], const char *name, size_t len, struct error *err)
{
	size_t used = strlen(kinds);
	const char *near;
	char one[32];

	snprintf(one, sizeof(one), "%.*s", (int)len, name);
	if (len >= sizeof(one) ||
		!array_find(kind, event_kinds, event_kind_count, strcmp(*kind, one) == 0)) {
		error_set(err, 0, "no event is called '%s'", one);
		near = text_nearest(one, event_kinds, event_kind_count);
		if (near != NULL)
			error_hint(err, "did you mean '%s'?", near);
		return -1;
	}
	if (eventkind_listed(kinds, one, len))
		return 0;
	if (used + len + 2 > EVENTKINDS_TEXT)
		return error_set(err, 0, "these are too many kinds");
	snprintf(kinds + used, EVENTKINDS_TEXT - used, "%s%s", used > 0 ? "," : "", one);
	return 0;
}
