/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/scope.h"

static void books_free(void *p)
{
	struct policy_books *b = p;

	if (!b)
		return;
	if (b->requests != b->bytes)
		rulebook_free(b->requests);
	rulebook_free(b->bytes);
	free(b);
}

int authz_compile(struct policy *p)
{
	struct policy_books *b = calloc(1, sizeof(*b));

	if (b) {
		b->bytes = rulebook_new(p->rules, p->n_rules, p->action, p->whole ? VIEW_BYTES : VIEW_ZTUNNEL);
		b->requests = p->whole ? rulebook_new(p->rules, p->n_rules, p->action, VIEW_REQUESTS) : b->bytes;
	}
	if (!b || !b->bytes || !b->requests) {
		books_free(b);
		return -ENOMEM;
	}
	if (p->compiled_free)
		p->compiled_free(p->compiled);
	p->compiled = b;
	p->compiled_free = books_free;
	return 0;
}

static struct authz_verdict refuse(struct policy *p, const char *rule, int rule_index)
{
	return (struct authz_verdict){ false, p, rule, rule_index };
}

static struct authz_verdict allow(struct policy *p, const char *rule, int rule_index)
{
	return (struct authz_verdict){ true, p, rule, rule_index };
}

struct authz_verdict authz_judge_peer(const struct mesh *m, const struct workload *dest, const struct authz_input *in)
{
	const struct scope *s = scope_of(m, dest, in->service);
	struct peer_authn *pa;
	enum mtls_mode mode;

	if (!s)
		return refuse(NULL, "out of memory", -1);
	if (s->broken)
		return refuse(s->broken, "the policy could not be loaded", -1);
	pa = scope_peer_authn(s, in->dest.port, &mode);
	if (pa && (pa->broken || (mode == MTLS_STRICT && in->principal.n == 0)))
		return refuse(NULL, pa->refusal, -1);
	return allow(NULL, "the connection is admitted", -1);
}

struct authz_verdict authz_judge(const struct mesh *m, const struct workload *dest, const struct authz_input *in,
				 void (*on_quiet)(struct policy *p, const struct authz_input *in, void *arg), void *arg)
{
	struct authz_verdict peer = authz_judge_peer(m, dest, in);
	struct scope *s = scope_of(m, dest, in->service);
	struct authz_asked asked;
	const struct scope_index *x;
	const struct rule_ref *hit;
	struct subject who;

	if (!peer.allowed)
		return peer;
	subject_init(&who, in, mesh_settings(m));
	x = scope_index(s, &who);
	if (!x)
		return refuse(NULL, "out of memory", -1);
	for (int i = s->start[PART_QUIET]; on_quiet && i < s->start[PART_QUIET + 1]; i++)
		if (rulebook_judge(scope_book(s->policies[i], &who), &who) >= 0)
			on_quiet(s->policies[i], in, arg);
	/* Nobody is asked about bytes. */
	if (!in->request && authz_custom(m, dest, in, &asked) != CUSTOM_NONE)
		return refuse(asked.policy, "a CUSTOM policy covers these bytes, and its provider is not asked about bytes", asked.rule_index);
	hit = ruleindex_find(&x->deny, &who);
	if (hit)
		return refuse(s->policies[s->start[PART_DENY] + (int)hit->policy], "deny policy matched", (int)hit->rule);
	if (s->start[PART_ALLOW] == s->n)
		return allow(NULL, "no allow policy in scope", -1);
	hit = ruleindex_find(&x->allow, &who);
	if (hit)
		return allow(s->policies[s->start[PART_ALLOW] + (int)hit->policy], "allow policy matched", (int)hit->rule);
	return refuse(NULL, "no allow policy matched", -1);
}

/* --- CUSTOM --- */

static const struct ext_provider *provider_named(const struct mesh_settings *s, const char *name)
{
	for (int i = 0; i < s->n_providers; i++)
		if (!strcmp(s->providers[i].name, name))
			return &s->providers[i];
	return NULL;
}

enum authz_custom authz_custom(const struct mesh *m, const struct workload *dest, const struct authz_input *in, struct authz_asked *ret)
{
	const struct mesh_settings *settings = mesh_settings(m);
	struct scope *s = scope_of(m, dest, in->service);
	struct subject who;

	if (!s)
		return CUSTOM_NONE;     /* the judgement that follows refuses */
	subject_init(&who, in, settings);
	for (int i = s->start[PART_CUSTOM]; i < s->start[PART_CUSTOM + 1]; i++) {
		struct policy *p = s->policies[i];
		const struct ext_provider *e = provider_named(settings, p->provider);
		int rule = rulebook_judge(scope_book(p, &who), &who);

		if (rule < 0)
			continue;
		*ret = (struct authz_asked){ .provider = e, .policy = p, .rule_index = rule };
		snprintf(ret->details, sizeof(ret->details),
			 "rbac_access_denied_matched_policy[istio-ext-authz-%s-ns[%s]-policy[%s]-rule[%d]-deny-due-to-bad-CUSTOM-action]",
			 p->provider, p->ns, p->name, rule);
		if (!e || *e->problem || s->many_providers)
			return CUSTOM_REFUSE;
		/* Istio does not ask HTTP providers about bytes. */
		if (!in->request && !e->grpc) {
			if (settings->stance == STANCE_STRICT)
				return CUSTOM_REFUSE;
			continue;
		}
		return CUSTOM_ASK;
	}
	return CUSTOM_NONE;
}

const char *authz_details(const struct authz_verdict *v, char *out, size_t n)
{
	if (v->policy && v->rule_index >= 0)
		snprintf(out, n, "rbac_access_denied_matched_policy[ns[%s]-policy[%s]-rule[%d]]", v->policy->ns, v->policy->name, v->rule_index);
	else
		snprintf(out, n, "rbac_access_denied_matched_policy[none]");
	return out;
}
