/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

/*
 * The page's graphs also show the time before somebody opened the page.  For that a sample of each
 * cluster is taken each 15 seconds, and kept for 15 minutes.  A status that a guest has asked for
 * serves as well.  A sample has 32 bytes, so all of them have 240 KiB at most.
 */
#define SAMPLES_MOST 60
#define CLUSTERS_MOST 128
/* The status of some 1,000 workers: it would cost too much to ask for more all the time. */
#define STATUS_MOST (1024U * 1024)

struct sample {
	nsec_t at;
	float cpu; /* per cent, all workers */
	float queue;
	double memory; /* bytes */
	double served; /* connections; -1: they are not counted */
};

struct sampled {
	char *name;
	unsigned count;
	struct sample list[SAMPLES_MOST]; /* the oldest first */
};

static void add_sample(struct sampled *s, const json_t *cluster)
{
	const json_t *workers = json_object_get(cluster, "workers");
	const json_t *accept = json_object_get(cluster, "accept");

	if (s->count == SAMPLES_MOST)
		memmove(s->list, s->list + 1, --s->count * sizeof(*s->list));
	s->list[s->count++] = (struct sample){
		.at = clock_now(),
		.cpu = (float)answer_sum(workers, "cpu_percent"),
		.memory = answer_sum(workers, "memory_bytes"),
		.queue = (float)answer_sum(json_object_get(cluster, "listeners"), "queue"),
		.served = json_is_object(accept)
			? json_number_value(json_object_get(accept, "served"))
			: -1,
	};
}

/* Returns a cluster's samples: those that it has, or none yet; NULL: out of memory. */
static struct sampled *find_sampled(struct sampled **list, size_t count, const char *name)
{
	struct sampled *s;

	for (size_t i = 0; i < count; i++)
		if (list[i] != NULL && strcmp(list[i]->name, name) == 0) {
			s = list[i];
			list[i] = NULL;
			return s;
		}
	s = calloc(1, sizeof(*s));
	if (s != NULL && (s->name = strdup(name)) == NULL) {
		free(s);
		return NULL;
	}
	return s;
}

void samples_forget(struct samples *all)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->list[i] != NULL) {
			free(all->list[i]->name);
			free(all->list[i]);
		}
	free(all->list);
	all->list = NULL;
	all->count = 0;
}

void samples_take(struct samples *all, const char *json, size_t len)
{
	json_t *status = NULL;
	const json_t *clusters;
	struct samples fresh = {.due = clock_now() + SAMPLE_PACE};
	size_t count;

	if (clock_now() < all->due)
		return;
	if (json == NULL) { /* an error: not asked again at once */
		all->due = fresh.due;
		return;
	}
	if (len <= STATUS_MOST)
		status = json_loadb(json, len, 0, NULL);
	clusters = json_object_get(status, "clusters");
	count = json_array_size(clusters) < CLUSTERS_MOST ? json_array_size(clusters)
							  : CLUSTERS_MOST;
	if (count > 0)
		fresh.list = calloc(count, sizeof(struct sampled *));
	for (size_t i = 0; fresh.list != NULL && i < count; i++) {
		const json_t *cluster = json_array_get(clusters, i);
		const char *name = json_string_value(json_object_get(cluster, "name"));
		struct sampled *s = name != NULL ? find_sampled(all->list, all->count, name) : NULL;

		if (s == NULL)
			continue;
		add_sample(s, cluster);
		fresh.list[fresh.count++] = s;
	}
	samples_forget(all); /* of clusters that are gone */
	if (len > STATUS_MOST)
		fresh.due = NSEC_NEVER;
	*all = fresh;
	json_decref(status);
}

/* {"web": [[seconds ago, CPU, memory, queue, connections served or null]]}: a list for each cluster. */
struct answer *samples_answer(const struct web *web)
{
	const struct samples *all = &web->samples;
	const nsec_t now = clock_now();
	struct buffer body;

	buffer_init(&body, 0);
	for (size_t i = 0; i < all->count; i++) {
		buffer_printf(&body, "%s\"%s\": [", i == 0 ? "{" : ",\n", all->list[i]->name);
		for (unsigned k = 0; k < all->list[i]->count; k++) {
			const struct sample *s = &all->list[i]->list[k];

			buffer_printf(&body, "%s[%.1f, %.2f, %.0f, %.0f, ", k == 0 ? "" : ", ",
				nsec_seconds(now - s->at), (double)s->cpu, s->memory,
				(double)s->queue);
			if (s->served < 0)
				buffer_string(&body, "null]");
			else
				buffer_printf(&body, "%.0f]", s->served);
		}
		buffer_string(&body, "]");
	}
	buffer_string(&body, all->count == 0 ? "{}\n" : "}\n");
	return answer_new(web, MHD_HTTP_OK, "application/json", &body);
}
