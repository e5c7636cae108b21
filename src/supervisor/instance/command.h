/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_COMMAND_H
#define SUPERVISOR_COMMAND_H

#include "supervisor/common/state.h"

/*
 * A command that 'nclust restart -- COMMAND' gave a cluster in place of the
 * configuration's.  The settings of a generation say so themselves
 * (cluster_settings.configured), so a rollout that fails goes back to the old
 * command as it does to all other settings.
 */

/*
 * The settings that the cluster has, or is on the way to, with this command
 * (ended by NULL); the caller's reference.  If it is the configuration's own,
 * they follow the configuration again.  NULL and `err`: no worker could run it,
 * or there is no memory.
 */
struct cluster_settings *command_settings(
	const struct service *service, char **words, struct error *err);

/*
 * Keep such a command in settings that were just read and that nobody has yet,
 * if the configuration's own command is still the one that it replaced.  `has`
 * is the given command, `configured` the one that it replaced; NULL: none.
 */
void command_keep(struct cluster_settings *settings, const char *has, const char *configured);

/*
 * The settings of the instance with the commands that its clusters run, for a
 * look at them; all else is borrowed.  -1: out of memory.  Call
 * command_view_fini() in either case.
 */
int command_view(struct settings *view, const struct supervisor *sup);
void command_view_fini(struct settings *view);

#endif
