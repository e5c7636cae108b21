/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <stdio.h>

/*
 * Orders of verbs: which of two and of three have come one after the other, with
 * nothing but time, new settings and workers' deaths between them.  A stop begins
 * anew.  All of them have to come in a run of many worlds.
 */

void orders_note(struct world *w, enum verb verb)
{
	if (w->stopping || w->ended) {
		w->verb_count = 0;
		return;
	}
	if (w->verb_count >= 1)
		w->orders.of_two[w->verbs[1]][verb]++;
	if (w->verb_count >= 2)
		w->orders.of_three[w->verbs[0]][w->verbs[1]][verb]++;
	w->verbs[0] = w->verbs[1];
	w->verbs[1] = verb;
	w->verb_count++;
}

void orders_add(struct orders *to, const struct orders *from)
{
	for (int a = 0; a < VERBS; a++)
		for (int b = 0; b < VERBS; b++) {
			to->of_two[a][b] += from->of_two[a][b];
			for (int c = 0; c < VERBS; c++)
				to->of_three[a][b][c] += from->of_three[a][b][c];
		}
}

static const char *const names[VERBS] = {
	[VERB_RESTART] = "restart",
	[VERB_RESTART_SLOT] = "restart of a slot",
	[VERB_RELOAD] = "reload",
	[VERB_SCALE_UP] = "scale up",
	[VERB_SCALE_DOWN] = "scale down",
	[VERB_CANARY_FAILS] = "canary that fails",
	[VERB_UPGRADE] = "upgrade",
	[VERB_KILL] = "SIGKILL",
};

bool orders_print(const struct orders *o, bool say_never)
{
	unsigned twos = 0;
	unsigned threes = 0;
	unsigned least = UINT32_MAX;

	for (int a = 0; a < VERBS; a++)
		for (int b = 0; b < VERBS; b++) {
			twos += o->of_two[a][b] > 0;
			for (int c = 0; c < VERBS; c++) {
				unsigned count = o->of_three[a][b][c];

				threes += count > 0;
				least = count < least ? count : least;
				if (count == 0 && say_never)
					printf("  never: %s, %s, %s\n", names[a], names[b],
						names[c]);
			}
		}
	printf("  orders of %d verbs: %u of %d of two, %u of %d of three, each "
	       "at least %u times\n",
		VERBS, twos, VERBS * VERBS, threes, VERBS * VERBS * VERBS, least);
	return twos == VERBS * VERBS && threes == VERBS * VERBS * VERBS;
}
