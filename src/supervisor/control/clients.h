/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

void control_on_go_on(struct supervisor *sup);
void control_on_shutdown(struct supervisor *sup);
int control_on_renew(struct supervisor *sup, struct error *err);

/* An empty client, the last of all; it is not watched yet.  NULL: out of memory. */
struct client *client_new(struct supervisor *sup);
int clients_init(struct supervisor *sup, struct error *err);
/* Close these connections.  Their peers can still read what was sent. */
void clients_drop_own(struct supervisor *sup);

/* For requests.c and status.c. */
void client_write(struct client *c); /* send what is queued, as far as the socket takes it */
void client_watch(struct client *c); /* give the client a later turn, if its state needs one */
void client_error(struct client *c, int code, const char *message);
void client_done(struct client *c); /* the request is answered */
/* Tell the client how many messages it was not shown, because it reads too slowly. */
void client_tell_missed(struct client *c);

void client_free(struct client *c);
/* Complete answers that are under way: the next nclust may write them differently. */
void clients_settle(struct supervisor *sup);
/* Send a refusal, and close the connection unread: messages in its queue may hold
 * very many descriptors. */
void clients_turn_away(struct supervisor *sup, int *fd, int code, const char *why);
/* Keep a descriptor for refusing a client when no other is left. */
void clients_keep_reserve(struct supervisor *sup);
/* Look each second at clients that do not read or send. */
void clients_arm_bounds(struct supervisor *sup);
