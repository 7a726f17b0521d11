/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/authz.h"
#include "telemetry/why.h"

void authz_input_of(const struct exchange *x, struct authz_request *req, struct authz_input *ret)
{
	const struct exchange_client *c = x->client;
	bool as_caller = mesh_settings(mesh_current())->through_waypoints;

	*req = (struct authz_request){
		.method = x->request.method, .authority = x->request.authority, .path = x->request.path,
		.fields = x->request_fields.v, .n_fields = x->request_fields.n, .claims = x->claims,
	};
	*ret = (struct authz_input){ .source = as_caller && c->caller.port ? c->caller : c->peer, .dest = c->local,
				     .principal = as_caller && x->caller_id.n ? x->caller_id : c->peer_id, .sni = c->sni, .service = c->target, .request = req };
}

/* Spans tell of dry runs. */
static void on_quiet(const struct authz_quiet *q, const struct authz_input *in, void *arg)
{
	struct exchange *x = arg;
	struct exchange_shadow *to = &x->log.shadow[q->action == POLICY_DENY];
	struct authz_verdict v = { .policy = q->policy, .rule_index = q->rule_index };
	char id[512];

	authz_note_quiet(q, in, NULL);
	if (q->action == POLICY_AUDIT)
		return;
	*to = (struct exchange_shadow){ .known = true, .allowed = (q->policy != NULL) == (q->action == POLICY_ALLOW) };
	if (q->policy)
		to->policy = exchange_dup(x, str_c(authz_policy_id(&v, id, sizeof(id)))).p;
}

/* For `meshd why`. */
static void remember(struct exchange *x, const struct mesh *m, const struct authz_input *in, const struct authz_verdict *v)
{
	struct buf text = { 0 };

	authz_explain(m, x->client->local_workload, in, &text);
	buf_append(&text, "", 1);
	why_remember_request(x, FAIL_DENIED, v->policy ? v->policy->key : NULL, v->rule, buf_len(&text) ? (const char *)buf_data(&text) : NULL);
	buf_done(&text);
}

static enum filter_step on_request(struct exchange *x, void *state, const void *conf)
{
	const struct mesh *m = mesh_current();
	struct authz_request req;
	struct authz_input in;
	struct authz_verdict v;
	char details[512];

	(void)state;
	(void)conf;
	authz_input_of(x, &req, &in);
	if (!x->client->local_workload) {
		exchange_reply(x, FAIL_NO_WORKLOAD, 0, NULL, (struct str){ NULL, 0 }, NULL, 0);
		return FILTER_DONE;
	}
	v = authz_judge(m, x->client->local_workload, &in, on_quiet, x);
	if (v.allowed)
		return FILTER_NEXT;
	x->log.refusal = v.cause;
	authz_details(&v, details, sizeof(details));
	exchange_reply(x, FAIL_DENIED, AUTHZ_STATUS, exchange_dup(x, str_c(details)).p, str_c(AUTHZ_TEXT), NULL, 0);
	remember(x, m, &in, &v);
	return FILTER_DONE;
}

const struct filter_ops authz_filter = { .name = "authz", .on_request = on_request };
