/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

void control_on_drop(struct service *service);
/* Events are sent to the clients that want them, and answer those that wait. */
void control_on_published(struct supervisor *sup, struct service *service,
	const struct report *report, const char *json, const char *sentence);
void control_on_verb(struct supervisor *sup, const struct verb_step *verb);

/* After events: has an expectation come true, or is a further log kept? */
void clients_look(struct supervisor *sup);

/* The client waits until the last change of this cluster is over.  -1 and `err`: out of memory. */
int request_expect(struct client *c, struct service *service, struct error *err);
/* Expect nothing more of this cluster, or (NULL) of any. */
void request_expect_no_more(struct client *c, const struct service *of);
/* The request is under way: answer when all that is expected has come, or now. */
void request_await(struct client *c);
/* Answer with c->outcome. */
void request_finish(struct client *c);
/* nclust ends: answer with what is known. */
void request_cut_off(struct client *c);
