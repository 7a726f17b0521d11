/* SPDX-License-Identifier: Apache-2.0 */
#include "ext/extauthz.h"

#include "base/log.h"
#include "ext/extauthz_int.h"
#include "ext/server.h"
#include "policy/authz.h"

#define REPLY_MAX (64 * 1024)   /* of an answer's body: a page for people */

/* Of one exchange. What it knows of the provider is copied: the mesh may change while it waits. */
struct check {
	struct exchange *x;
	struct ext_provider provider;
	struct urequest *call;
	struct header_edits response;
	bool asked, passed;
};

static void copy_matches(struct exchange *x, const struct match **v, int n)
{
	struct match *own = n ? arena_alloc(&x->arena, (size_t)n * sizeof(*own)) : NULL;

	for (int i = 0; i < n; i++)
		own[i] = (struct match){ (*v)[i].kind, arena_dup(&x->arena, str_c((*v)[i].text)) };
	*v = own;
}

/* Only what the answer needs: the question is made at once. */
static void keep(struct check *c, const struct ext_provider *p)
{
	c->provider = *p;
	c->provider.name = arena_dup(&c->x->arena, str_c(p->name));
	c->provider.service = c->provider.path_prefix = "";
	copy_matches(c->x, &c->provider.up_on_allow, p->n_up_on_allow);
	copy_matches(c->x, &c->provider.down_on_deny, p->n_down_on_deny);
	copy_matches(c->x, &c->provider.down_on_allow, p->n_down_on_allow);
}

static void warn(const struct ext_provider *p, const char *why)
{
	static _Thread_local time_t told_s;

	if (server_warns(&told_s))
		log_warn(LOG_POLICY, "external authorization by %s fails: %s; requests %s", p->name, why, p->fail_open ? "pass (failOpen)" : "are refused");
}

/* Whoever cannot be asked refuses, unless it says otherwise. */
static enum filter_step give_up(struct check *c, const char *why)
{
	const struct ext_provider *p = &c->provider;

	warn(p, why);
	c->passed = true;
	if (p->fail_open)
		return FILTER_NEXT;
	c->x->log.upstream_failure = exchange_dup(c->x, str_c(why)).p;
	exchange_reply(c->x, FAIL_EXT_ERROR, p->status_on_error, NULL, (struct str){ 0 }, NULL, 0);
	return FILTER_DONE;
}

static enum filter_step refuse(struct check *c, const struct extauthz_answer *a)
{
	struct http_fields f = { .arena = &c->x->arena };

	header_edits_apply(&a->response, &f);
	c->passed = true;
	exchange_reply(c->x, FAIL_EXT_DENIED, a->status, NULL, a->body, f.v, f.n);
	return FILTER_DONE;
}

static enum filter_step decide(struct check *c, const struct urequest_reply *r)
{
	struct extauthz_answer a;

	if (c->provider.grpc)
		extauthz_grpc_answer(&c->x->arena, r, &a);
	else
		extauthz_http_answer(c->x, &c->provider, r, &a);
	if (a.verdict == EXTAUTHZ_ERROR)
		return give_up(c, a.error);
	if (a.verdict == EXTAUTHZ_DENIED)
		return refuse(c, &a);
	header_edits_apply(&a.request, &c->x->request_fields);
	c->response = a.response;
	c->passed = true;
	return FILTER_NEXT;
}

static void on_answer(void *arg, const struct urequest_reply *r, enum fail why, const char *detail)
{
	struct check *c = arg;

	c->call = NULL;
	if ((r && r->head ? decide(c, r) : give_up(c, detail && *detail ? detail : fail_info(why)->reason)) == FILTER_NEXT)
		exchange_resume(c->x);
}

static enum filter_step ask(struct check *c, const struct ext_provider *p, struct str body)
{
	struct cluster *cluster = server_cluster(c->x, p->service, p->port);
	struct extauthz_question q;

	keep(c, p);
	if (!cluster)
		return give_up(c, "its service is not known");
	if (p->grpc)
		extauthz_grpc_ask(c->x, p, body, &q);
	else
		extauthz_http_ask(c->x, p, body, &q);
	c->call = urequest_start(c->x->arg, cluster, &q.head, q.body, p->timeout_ms, REPLY_MAX, on_answer, c);
	return c->call ? FILTER_WAIT : give_up(c, "out of memory");
}

static enum filter_step on_request(struct exchange *x, void *state, const void *conf)
{
	struct check *c = state;
	struct authz_request request;
	struct authz_input in;
	struct authz_asked asked;
	struct str body = { 0 };
	bool whole = true;

	c->x = x;
	if (c->passed || !x->client->local_workload)
		return FILTER_NEXT;
	authz_input_of(x, &request, &in);
	switch (authz_custom(mesh_current(), x->client->local_workload, &in, &asked)) {
	case CUSTOM_NONE:
		return FILTER_NEXT;
	case CUSTOM_REFUSE:
		x->log.refusal = REFUSAL_UNASKED;
		exchange_reply(x, FAIL_EXT_DENIED, AUTHZ_STATUS, exchange_dup(x, str_c(asked.details)).p, str_c(AUTHZ_TEXT), NULL, 0);
		return FILTER_DONE;
	case CUSTOM_ASK:
		break;
	}
	if (asked.provider->body_max && !x->request.end) {
		if (!c->asked) {
			c->asked = true;
			return exchange_want_body(x, asked.provider->body_max);
		}
		body = exchange_body(x, &whole);
		if (!whole && !asked.provider->body_partial) {
			exchange_reply(x, FAIL_BODY_TOO_LARGE, 0, NULL, (struct str){ 0 }, NULL, 0);
			return FILTER_DONE;
		}
		if (body.n > asked.provider->body_max)
			body.n = asked.provider->body_max;
	}
	return ask(c, asked.provider, body);
}

static enum filter_step on_response(struct exchange *x, void *state, const void *conf)
{
	struct check *c = state;

	header_edits_apply(&c->response, &x->response_fields);
	return FILTER_NEXT;
}

static void on_end(struct exchange *x, void *state, const void *conf)
{
	struct check *c = state;

	urequest_cancel(c->call);
	c->call = NULL;
}

const struct filter_ops ext_authz_filter = {
	.name = "envoy.filters.http.ext_authz", .state_bytes = sizeof(struct check),
	.on_request = on_request, .on_response = on_response, .on_end = on_end,
};
