/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "base/scope.h"

#include <stdlib.h>
#include <string.h>

static const char plain[] = "text/plain; charset=utf-8";

/* ---- answers ---- */

struct answer *answer_of(
	const struct web *web, unsigned status, const char *type, struct MHD_Response *response)
{
	struct answer *a = response != NULL ? calloc(1, sizeof(*a)) : NULL;

	if (a == NULL) {
		if (response != NULL)
			web->mhd.destroy_response(response);
		return NULL;
	}
	a->response = response;
	a->refs = 1;
	a->status = status;
	(void)web->mhd.add_response_header(response, "Content-Type", type);
	(void)web->mhd.add_response_header(response, "Cache-Control", "no-store");
	(void)web->mhd.add_response_header(response, "X-Content-Type-Options", "nosniff");
	(void)web->mhd.add_response_header(response, "Connection", "close");
	return a;
}

struct answer *answer_new(
	const struct web *web, unsigned status, const char *type, struct buffer *body)
{
	struct MHD_Response *response = NULL;

	if (!body->failed)
		response = web->mhd.create_response_from_buffer(
			body->len, body->data, MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
		buffer_fini(body);
	return answer_of(web, status, type, response);
}

struct answer *answer_text(const struct web *web, unsigned status, const char *text,
	const char *header, const char *value)
{
	struct buffer body;
	struct answer *a;

	buffer_init(&body, 0);
	buffer_string(&body, text);
	a = answer_new(web, status, plain, &body);
	if (a != NULL && header != NULL)
		(void)web->mhd.add_response_header(a->response, header, value);
	return a;
}

struct answer *answer_make(
	const struct web *web, const struct page *page, const char *json, size_t len)
{
	struct buffer body;
	unsigned status;

	buffer_init(&body, 0);
	status = page->make(&body, json, len);
	return answer_new(web, status, page->type, &body);
}

void answer_unref(const struct web *web, struct answer *a)
{
	if (a == NULL || --a->refs > 0)
		return;
	web->mhd.destroy_response(a->response);
	free(a);
}

/* ---- pages ---- */

static unsigned make_health(struct buffer *body, const char *json, size_t len)
{
	(void)json;
	(void)len;
	buffer_string(body, "ok\n");
	return MHD_HTTP_OK;
}

static unsigned make_json(struct buffer *body, const char *json, size_t len)
{
	buffer_append(body, json, len);
	buffer_append(body, "\n", 1);
	return MHD_HTTP_OK;
}

/* Does a cluster that needs no worker without clients wake for its first one?  It
 * takes the next ones, too, unless a start fails. */
static bool is_waking(const json_t *cluster)
{
	const json_t *scale = json_object_get(cluster, "autoscale");
	const json_t *worker;
	size_t i;

	if (!json_is_false(json_object_get(scale, "by_hand")) ||
		json_integer_value(json_object_get(scale, "min")) > 0)
		return false;
	json_array_foreach(json_object_get(cluster, "workers"), i, worker)
	{
		const char *state = json_string_value(json_object_get(worker, "state"));

		if (state == NULL || strcmp(state, "backoff") == 0 ||
			strcmp(state, "failed") == 0 ||
			json_integer_value(json_object_get(worker, "restarts")) > 0)
			return false;
	}
	return true;
}

/* A cluster of which nobody wants a worker, that has one for each connection, or that
 * has done its work for good, is ready as it is. */
bool answer_is_ready(const json_t *cluster)
{
	const char *state = json_string_value(json_object_get(cluster, "state"));

	if (json_is_true(json_object_get(cluster, "done")))
		return true;
	if (state == NULL || strcmp(state, "stopping") == 0 || strcmp(state, "stopped") == 0 ||
		strcmp(state, "failed") == 0)
		return false;
	return json_integer_value(json_object_get(cluster, "ready")) > 0 ||
		json_integer_value(json_object_get(cluster, "wanted")) == 0 ||
		json_object_get(cluster, "accept") != NULL || is_waking(cluster);
}

static void tell_why(struct buffer *body, const json_t *cluster)
{
	buffer_printf(body,
		"%s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " workers ready (%s)\n",
		json_string_value(json_object_get(cluster, "name")),
		json_integer_value(json_object_get(cluster, "ready")),
		json_integer_value(json_object_get(cluster, "wanted")),
		json_string_value(json_object_get(cluster, "state")));
}

static unsigned make_readiness(struct buffer *body, const char *json, size_t len)
{
	json_t *status = json_loadb(json, len, 0, NULL);
	const json_t *clusters = json_object_get(status, "clusters");
	const json_t *cluster;
	size_t i;

	if (json_is_object(json_object_get(status, "drained")))
		buffer_string(body, "drained by 'nclust drain'\n");
	json_array_foreach(clusters, i, cluster)
	{
		if (!answer_is_ready(cluster))
			tell_why(body, cluster);
	}
	if (!json_is_array(clusters))
		buffer_string(body, "the status cannot be read\n");
	json_decref(status);
	if (body->len > 0)
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	buffer_string(body, "ok\n");
	return MHD_HTTP_OK;
}

static unsigned make_metrics(struct buffer *body, const char *json, size_t len, bool openmetrics)
{
	json_t *status = json_loadb(json, len, 0, NULL);

	if (status != NULL)
		metrics_write(body, status, openmetrics);
	json_decref(status);
	return body->len > 0 ? MHD_HTTP_OK : MHD_HTTP_INTERNAL_SERVER_ERROR;
}

static unsigned make_prometheus(struct buffer *body, const char *json, size_t len)
{
	return make_metrics(body, json, len, false);
}

static unsigned make_openmetrics(struct buffer *body, const char *json, size_t len)
{
	return make_metrics(body, json, len, true);
}

static const char openmetrics[] = "application/openmetrics-text";

/* Of two with the same path the first is for those who accept its type. */
static const struct page pages[] = {
	{"/", WANTS_NOTHING, "text/html; charset=utf-8", NULL},
	{"/healthz", WANTS_LIFE, plain, make_health},
	{"/readyz", WANTS_READINESS, plain, make_readiness},
	{"/status", WANTS_STATUS, "application/json", make_json},
	{"/events", WANTS_LIFE, "text/event-stream", NULL},
	{"/history", WANTS_PAST, "application/json", make_json},
	{"/metrics/", WANTS_WORKERS, NULL, NULL}, /* and a cluster's name */
	{"/metrics", WANTS_METRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8",
		make_openmetrics},
	{"/metrics", WANTS_METRICS, "text/plain; version=0.0.4; charset=utf-8", make_prometheus},
};

const struct page *page_find(const char *path, const char *accept)
{
	bool has_choice = accept != NULL && strstr(accept, openmetrics) != NULL;

	for (size_t i = 0; i < COUNT_OF(pages); i++)
		if (pages[i].wants == WANTS_WORKERS
				? strncmp(path, pages[i].path, strlen(pages[i].path)) == 0 &&
					path[strlen(pages[i].path)] != '\0'
				: strcmp(pages[i].path, path) == 0 &&
					(has_choice || strstr(pages[i].type, openmetrics) == NULL))
			return &pages[i];
	return NULL;
}
