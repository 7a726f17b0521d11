/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/mxfilter.h"

#include "telemetry/peermeta.h"
#include "traffic/route.h"

/* What the mesh knows of the peer counts more, and costs less. */
static void read_peer(struct exchange *x, const struct http_fields *f, bool known)
{
	struct str value = fields_get(f, PEERMETA_HEADER);
	struct peer *peer;

	if (known || !value.n || value.n > LIMIT_PEER_BYTES)
		return;
	peer = arena_alloc(&x->arena, sizeof(*peer));
	if (peermeta_parse_header(value, arena_alloc(&x->arena, PEERMETA_DECODED(value.n)), peer))
		x->log.peer = peer;
}

static void introduce(struct http_fields *f, const struct mxfilter *own, bool id, bool value)
{
	if (id && own->id.n)
		fields_set(f, PEERMETA_HEADER_ID, own->id);
	if (value && own->value.n)
		fields_set(f, PEERMETA_HEADER, own->value);
}

/* Whether the client said it. */
struct asked {
	bool id, value;
};

static enum filter_step in_request(struct exchange *x, void *state, const void *conf)
{
	struct asked *asked = state;

	read_peer(x, &x->request_fields, x->client->peer_workload != NULL);
	asked->id = fields_remove(&x->request_fields, str_c(PEERMETA_HEADER_ID)) > 0;
	asked->value = fields_remove(&x->request_fields, str_c(PEERMETA_HEADER)) > 0;
	return FILTER_NEXT;
}

static enum filter_step in_response(struct exchange *x, void *state, const void *conf)
{
	const struct asked *asked = state;

	introduce(&x->response_fields, conf, asked->id, asked->value);
	return FILTER_NEXT;
}

/* By the first target: those of one route are of a kind. */
static bool leaves_mesh(const struct exchange *x)
{
	const struct cluster *c = x->route && x->route->n_targets ? x->route->targets[0].cluster : NULL;
	const struct cluster_conf *conf = c ? cluster_conf(c) : NULL;
	const struct service *s;

	if (!conf)
		return false;
	s = *conf->service ? mesh_service(mesh_current(), str_c(conf->service)) : NULL;
	return s ? s->external : conf->kind == CLUSTER_ORIGINAL_DST;
}

static enum filter_step out_request(struct exchange *x, void *state, const void *conf)
{
	if (((const struct mxfilter *)conf)->in_mesh && leaves_mesh(x))
		return FILTER_NEXT;
	introduce(&x->request_fields, conf, true, true);
	return FILTER_NEXT;
}

static enum filter_step out_response(struct exchange *x, void *state, const void *conf)
{
	read_peer(x, &x->response_fields, x->log.upstream_workload != NULL);
	fields_remove(&x->response_fields, str_c(PEERMETA_HEADER_ID));
	fields_remove(&x->response_fields, str_c(PEERMETA_HEADER));
	return FILTER_NEXT;
}

const struct filter_ops mx_in_filter = {
	.name = "metadata-exchange", .state_bytes = sizeof(struct asked), .on_request = in_request, .on_response = in_response,
};
const struct filter_ops mx_out_filter = { .name = "metadata-exchange", .on_request = out_request, .on_response = out_response };
