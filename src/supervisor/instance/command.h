/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * A command that 'nclust restart -- COMMAND' gave a cluster in place of the
 * configuration's.  The settings of a generation contain it
 * (cluster_settings.configured), so a rollout that fails goes back to the old
 * command as it does to all other settings.
 */

/*
 * The settings that the cluster has, or is on the way to, with this command
 * (ended by NULL); the caller's reference.  If the command is the configuration's
 * own, the settings follow the configuration again.  NULL and `err`: no worker
 * could run the command, or out of memory.
 */
struct cluster_settings *command_settings(
	const struct service *service, char **words, struct error *err);

/*
 * Keep such a command in settings that were just read and are not in use yet, if
 * the configuration's own command is still the one that was replaced.  `has` is
 * the given command, `configured` the replaced one; NULL: none.
 */
void command_keep(struct cluster_settings *settings, const char *has, const char *configured);

/*
 * The settings of the instance, but of a cluster that a restart gave a command those that its
 * workers have, to be shown; all else is borrowed.  -1: out of memory.  Call command_view_fini() in
 * either case.
 */
int command_view(struct settings *view, const struct supervisor *sup);
void command_view_fini(struct settings *view);
