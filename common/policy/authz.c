/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/tuning.h"
#include "policy/scope.h"
#include "telemetry/shadow.h"

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

static struct authz_verdict refuse(struct policy *p, const char *rule, int rule_index, enum refusal cause)
{
	return (struct authz_verdict){ false, p, rule, rule_index, cause };
}

static struct authz_verdict allow(struct policy *p, const char *rule, int rule_index)
{
	return (struct authz_verdict){ true, p, rule, rule_index, REFUSAL_OTHER };
}

/* A rule that lost what it asks for beyond bytes denies without regard to that. */
static struct authz_verdict denied(struct policy *p, int rule)
{
	return refuse(p, "deny policy matched", rule, p->rules[rule].blind ? REFUSAL_BLIND : REFUSAL_RULE);
}

struct authz_verdict authz_judge_peer(const struct mesh *m, const struct workload *dest, const struct authz_input *in)
{
	const struct scope *s = scope_of(m, dest, in->service);
	struct policy *broken = s ? scope_broken(s) : NULL;
	struct peer_authn *pa;
	enum mtls_mode mode;

	if (!s)
		return refuse(NULL, "out of memory", -1, REFUSAL_OTHER);
	if (broken)
		return refuse(broken, "the policy could not be loaded", -1, REFUSAL_BROKEN);
	/* A waypoint's peers come by HBONE. */
	pa = mesh_settings(m)->mode == MODE_WAYPOINT ? NULL : scope_peer_authn(s, in->dest.port, &mode);
	if (pa && (pa->broken || (mode == MTLS_STRICT && in->principal.n == 0)))
		return refuse(NULL, pa->refusal, -1, pa->broken ? REFUSAL_BROKEN : REFUSAL_MTLS);
	return allow(NULL, "the connection is admitted", -1);
}

static bool indexes_made(struct scope *s, const struct subject *who)
{
	scope_each(at, s)
		if (!scope_index(at, who))
			return false;
	return true;
}

static void tell_quiet(struct scope *s, struct subject *who, void (*on_quiet)(const struct authz_quiet *q, const struct authz_input *in, void *arg),
		       void *arg)
{
	struct authz_quiet dry[] = { [POLICY_ALLOW] = { POLICY_ALLOW, NULL, -1 }, [POLICY_DENY] = { POLICY_DENY, NULL, -1 } };
	bool any[] = { [POLICY_ALLOW] = false, [POLICY_DENY] = false };

	scope_each(at, s)
		for (int i = at->start[PART_QUIET]; i < at->start[PART_QUIET + 1]; i++) {
			struct policy *p = at->policies[i];
			int rule = rulebook_judge(scope_book(p, who), who);
			struct authz_quiet q = { p->action, p, rule };

			if (p->dry_run)
				any[p->action] = true;
			if (rule >= 0 && !p->dry_run)
				on_quiet(&q, who->in, arg);
			else if (rule >= 0 && (!dry[p->action].policy || strcmp(p->key, dry[p->action].policy->key) < 0))
				dry[p->action] = q;
		}
	for (size_t i = 0; i < ARRAY_LEN(dry); i++)
		if (any[i])
			on_quiet(&dry[i], who->in, arg);
}

/* The first by key that matches; NULL: none. */
static struct policy *match(struct scope *s, enum scope_part part, struct subject *who, int *rule)
{
	struct policy *first = NULL;

	scope_each(at, s) {
		const struct scope_index *x = scope_index(at, who);
		const struct rule_ref *hit = ruleindex_find(part == PART_DENY ? &x->deny : &x->allow, who);
		struct policy *p = hit ? at->policies[at->start[part] + (int)hit->policy] : NULL;

		if (p && (!first || strcmp(p->key, first->key) < 0)) {
			first = p;
			*rule = (int)hit->rule;
		}
	}
	return first;
}

struct authz_verdict authz_judge(const struct mesh *m, const struct workload *dest, const struct authz_input *in,
				 void (*on_quiet)(const struct authz_quiet *q, const struct authz_input *in, void *arg), void *arg)
{
	struct authz_verdict peer = authz_judge_peer(m, dest, in);
	struct scope *s = scope_of(m, dest, in->service);
	struct authz_asked asked;
	struct policy *hit;
	struct subject who;
	int rule = -1;

	if (!peer.allowed)
		return peer;
	subject_init(&who, in, mesh_settings(m));
	if (!indexes_made(s, &who))
		return refuse(NULL, "out of memory", -1, REFUSAL_OTHER);
	if (on_quiet)
		tell_quiet(s, &who, on_quiet, arg);
	/* Nobody is asked about bytes. */
	if (!in->request && authz_custom(m, dest, in, &asked) != CUSTOM_NONE)
		return refuse(asked.policy, "a CUSTOM policy covers these bytes, and its provider is not asked about bytes", asked.rule_index, REFUSAL_BLIND);
	hit = match(s, PART_DENY, &who, &rule);
	if (hit)
		return denied(hit, rule);
	if (!scope_has(s, PART_ALLOW))
		return allow(NULL, "no allow policy in scope", -1);
	hit = match(s, PART_ALLOW, &who, &rule);
	if (hit)
		return allow(hit, "allow policy matched", rule);
	return refuse(NULL, "no allow policy matched", -1, REFUSAL_NO_ALLOW);
}

/* --- CUSTOM --- */

static const struct ext_provider *provider_named(const struct mesh_settings *s, const char *name)
{
	for (int i = 0; i < s->n_providers; i++)
		if (!strcmp(s->providers[i].name, name))
			return &s->providers[i];
	return NULL;
}

static enum authz_custom ask(const struct mesh_settings *settings, struct policy *p, int rule, bool many_providers, const struct authz_input *in,
			     struct authz_asked *ret)
{
	const struct ext_provider *e = provider_named(settings, p->provider);

	*ret = (struct authz_asked){ .provider = e, .policy = p, .rule_index = rule };
	snprintf(ret->details, sizeof(ret->details),
		 "rbac_access_denied_matched_policy[istio-ext-authz-%s-ns[%s]-policy[%s]-rule[%d]-deny-due-to-bad-CUSTOM-action]",
		 p->provider, p->ns, p->name, rule);
	if (!e || *e->problem || many_providers)
		return CUSTOM_REFUSE;
	/* Istio does not ask HTTP providers about bytes. */
	if (!in->request && !e->grpc)
		return settings->stance >= STANCE_CLOSED ? CUSTOM_REFUSE : CUSTOM_NONE;
	return CUSTOM_ASK;
}

enum authz_custom authz_custom(const struct mesh *m, const struct workload *dest, const struct authz_input *in, struct authz_asked *ret)
{
	const struct mesh_settings *settings = mesh_settings(m);
	struct scope *s = scope_of(m, dest, in->service);
	struct subject who;

	if (!s)
		return CUSTOM_NONE;     /* the judgement that follows refuses */
	subject_init(&who, in, settings);
	scope_each(at, s)
		for (int i = at->start[PART_CUSTOM]; i < at->start[PART_CUSTOM + 1]; i++) {
			int rule = rulebook_judge(scope_book(at->policies[i], &who), &who);
			enum authz_custom what = rule < 0 ? CUSTOM_NONE : ask(settings, at->policies[i], rule, s->many_providers, in, ret);

			if (what != CUSTOM_NONE)
				return what;
		}
	return CUSTOM_NONE;
}

/* --- what is only told --- */

/* Without its query, which may hold secrets. */
static const char *what(const struct authz_input *in, char *out, size_t n)
{
	char peer[ADDR_TEXT];
	struct str rest;

	if (in->request)
		snprintf(out, n, "%.*s %.*s", STR_FMT(in->request->method), STR_FMT(str_cut(in->request->path, '?', &rest)));
	else
		snprintf(out, n, "a connection from %s (%.*s)", addr_format(&in->source, peer), STR_FMT(in->principal));
	return out;
}

void authz_note_quiet(const struct authz_quiet *q, const struct authz_input *in, void *arg)
{
	static const enum shadow_action actions[] = { [POLICY_ALLOW] = SHADOW_ALLOW, [POLICY_DENY] = SHADOW_DENY, [POLICY_AUDIT] = SHADOW_AUDIT };
	const char *name = q->action == POLICY_DENY ? "deny" : "allow";
	enum log_level level = tuning.dry_run_info ? LOG_INFO : LOG_DEBUG;
	bool matches = q->policy != NULL;
	char text[600];

	(void)arg;
	shadow_count(actions[q->action], matches == (q->action != POLICY_DENY), in->request ? in->dest.port : 0, matches ? q->policy->key : NULL);
	if (!log_on(LOG_POLICY, level))
		return;
	what(in, text, sizeof(text));
	if (q->action == POLICY_AUDIT)
		log_msg(LOG_POLICY, level, "AUDIT policy %s matches %s", q->policy->key, text);
	else if (matches)
		log_msg(LOG_POLICY, level, "dry-run: %s policy %s would match %s", name, q->policy->key, text);
	else if (q->action == POLICY_ALLOW)
		log_msg(LOG_POLICY, level, "dry-run: no allow policy would match %s, which would be refused", text);
}

const char *authz_policy_id(const struct authz_verdict *v, char *out, size_t n)
{
	snprintf(out, n, "ns[%s]-policy[%s]-rule[%d]", v->policy->ns, v->policy->name, v->rule_index);
	return out;
}

const char *authz_details(const struct authz_verdict *v, char *out, size_t n)
{
	char id[512] = "none";

	if (v->policy && v->rule_index >= 0)
		authz_policy_id(v, id, sizeof(id));
	snprintf(out, n, "rbac_access_denied_matched_policy[%s]", id);
	return out;
}
