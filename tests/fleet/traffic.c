/* SPDX-License-Identifier: MIT */
#include "fleet.h"

/*
 * Clients send as much all the time; the load balancer gives each host as much of
 * it as that has ready workers (the weight of an agent check, or of /readyz).
 */
static void count(struct fleet *f, const struct host *h, int times)
{
	if (h->out || h->known_gone)
		return;
	if (!host_answers(h)) {
		f->ghosts += times * h->ready;
		return;
	}
	f->serving += times * h->ready;
	f->bad += times * h->bad;
}

void traffic_leave(struct fleet *f, const struct host *h)
{
	count(f, h, -1);
}

void traffic_join(struct fleet *f, const struct host *h)
{
	count(f, h, 1);
	if (f->bad > 0 && !f->first_answer) {
		f->first_answer = true;
		ahead_add(f, f->now + f->plan.notice, (struct thing){.kind = THING_NOTICED});
	}
}

void traffic_pass(struct fleet *f, nsec_t until)
{
	double all = (double)f->plan.hosts * f->plan.workers;
	double span = nsec_seconds(until - f->now);
	double serving = f->serving;
	double came = f->plan.load * all;
	double lost = 0;
	double served;

	if (until <= f->now)
		return;
	f->now = until;
	if (f->ghosts > 0)
		lost = came * f->ghosts / (serving + f->ghosts);
	served = came - lost < serving ? came - lost : serving;
	f->result.lost_seconds += lost / came * span;
	f->result.refused_seconds += (came - lost - served) / came * span;
	f->result.end = serving / all;
	if (serving / all < f->result.least)
		f->result.least = serving / all;
	if (f->bad == 0)
		return;
	f->bad_until = until;
	f->result.bad_seconds += served * f->bad / serving / came * span;
	if (f->bad / all > f->result.worst)
		f->result.worst = f->bad / all;
}
