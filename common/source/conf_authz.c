/* SPDX-License-Identifier: Apache-2.0 */
/* AuthorizationPolicy. In a sidecar its rules are kept whole (conf_rules.c), in ztunnel's place they are as istiod hands them to ztunnel:
 *  - each `from` list, each `to` list and each `when` entry is a clause; its entries are matches of that clause;
 *  - an ALLOW rule with any HTTP-only attribute never matches;
 *  - a DENY rule loses its HTTP-only attributes, and an entry that is left empty never matches, so a DENY with an HTTP-only
 *    `to` or `when` never fires, whatever its `from` says;
 *  - `when` knows source.ip, source.namespace, source.principal, destination.ip and destination.port; other keys are HTTP;
 *  - trustDomains is dropped and not counted as HTTP: beside another field the source becomes wider, alone it never matches;
 *  - principals are compared as written: no trust domain stands for another.
 * Under MESHD_ENFORCEMENT=strict policies keep to their words instead: trustDomains, source.trustDomain and
 * source.serviceAccount count, and a DENY whose HTTP-only attributes were dropped denies all that the rest matches (that
 * principals hold for aliases too is the policy room's).
 * Under MESHD_ENFORCEMENT=closed, too, what ztunnel cannot evaluate refuses: such a DENY, and CUSTOM, since nobody is asked about bytes. */
#include <stdio.h>

#include "source/check.h"
#include "source/conf_authz_int.h"
#include "source/value.h"

#define EXTRA_MAX 4      /* sources of a rule with a demand that needs a clause of its own */

static void note_http(struct conv *c, const char *what)
{
	size_t n = strlen(c->http);

	if (!strstr(c->http, what))
		snprintf(c->http + n, sizeof(c->http) - n, "%s%s", n ? ", " : "", what);
}

void *conv_array(struct conv *c, size_t n, size_t size)
{
	return n ? arena_alloc(c->l->arena, n * size) : NULL;
}

/* --- values --- */

void conv_check_strings(struct conv *c, const char *field, const struct field_strings *v)
{
	for (int i = 0; i < v->n; i++) {
		if (!*v->v[i])
			field_error(c->w, 0, field, "want no empty string");
	}
}

static void string_match(struct conv *c, const char *field, const char *text, struct match *ret)
{
	size_t n = strlen(text);

	if (n > 1 && text[0] == '*' && text[n - 1] == '*')
		field_warn(c->w, 0, field, "'%.80s' matches the ending '%.80s' with its star, as in Istio", text, text + 1);
	if (!strcmp(text, "*"))
		*ret = (struct match){ MATCH_PRESENCE, "" };
	else if (text[0] == '*')
		*ret = (struct match){ MATCH_SUFFIX, text + 1 };
	else if (n && text[n - 1] == '*')
		*ret = (struct match){ MATCH_PREFIX, arena_dup(c->l->arena, (struct str){ text, n - 1 }) };
	else
		*ret = (struct match){ MATCH_EXACT, text };
}

void conv_matches(struct conv *c, const char *field, const struct field_strings *v, const struct match **ret, int *n)
{
	struct match *m = conv_array(c, (size_t)v->n, sizeof(*m));

	conv_check_strings(c, field, v);
	for (int i = 0; i < v->n; i++)
		string_match(c, field, v->v[i], &m[i]);
	*ret = m;
	*n = v->n;
}

static bool is_own_domain(const struct mesh_settings *s, struct str td)
{
	bool own = str_is(td, s->trust_domain) || str_is(td, "cluster.local");

	for (int i = 0; i < s->n_aliases && !own; i++)
		own = str_is(td, s->aliases[i]);
	return own;
}

/* TD/ns/X/sa/Y without a star. */
static bool full_principal(struct str p, struct str *td, struct str *rest)
{
	struct str ns, sa, part;

	if (memchr(p.p, '*', p.n))
		return false;
	*td = str_cut(p, '/', rest);
	part = str_cut(*rest, '/', &ns);
	if (!str_is(part, "ns"))
		return false;
	str_cut(ns, '/', &sa);
	return str_starts(sa, str_c("sa/")) && sa.n > 3 && !memchr(sa.p + 3, '/', sa.n - 3);
}

static void principals(struct conv *c, const char *field, const struct field_strings *v, const struct match **ret, int *n)
{
	const struct mesh_settings *s = c->l->settings;
	struct str td, rest;

	for (int i = 0; i < v->n && !c->strict; i++) {
		if (full_principal(str_c(v->v[i]), &td, &rest) && is_own_domain(s, td) && !str_is(td, s->trust_domain))
			field_warn(c->w, 0, field,
				   "'%.120s' stands for this mesh's trust domain with sidecars, but not in ztunnel mode: write '%s/%.*s'",
				   v->v[i], s->trust_domain, STR_FMT(rest));
	}
	conv_matches(c, field, v, ret, n);
}

void conv_cidrs(struct conv *c, const char *field, const struct field_strings *v, const struct cidr **ret, int *n)
{
	struct cidr *to = conv_array(c, (size_t)v->n, sizeof(*to));

	for (int i = 0; i < v->n; i++) {
		if (cidr_parse(str_c(v->v[i]), &to[i]))
			field_error(c->w, 0, field, "want an IP address or CIDR block, got '%.80s'", v->v[i]);
	}
	*ret = to;
	*n = v->n;
}

void conv_ports(struct conv *c, const char *field, const struct field_strings *v, const uint16_t **ret, int *n)
{
	uint16_t *to = conv_array(c, (size_t)v->n, sizeof(*to));
	uint64_t port;

	for (int i = 0; i < v->n; i++) {
		if (!str_to_u64(str_c(v->v[i]), &port) || port < 1 || port > 65535)
			field_error(c->w, 0, field, "want a port from 1 to 65535, got '%.80s'", v->v[i]);
		else
			to[i] = (uint16_t)port;
	}
	*ret = to;
	*n = v->n;
}

void conv_accounts(struct conv *c, const char *field, const struct field_strings *v, const struct ns_sa **ret, int *n)
{
	struct ns_sa *to = conv_array(c, (size_t)v->n, sizeof(*to));

	for (int i = 0; i < v->n; i++) {
		struct str sa, ns = str_cut(str_c(v->v[i]), '/', &sa);

		to[i].ns = sa.p ? arena_dup(c->l->arena, ns) : c->m->ns;
		to[i].sa = sa.p ? sa.p : v->v[i];
		if (!value_is_label(to[i].ns) || !value_is_name(to[i].sa))
			field_error(c->w, 0, field, "want NAMESPACE/ACCOUNT or ACCOUNT without wildcards, got '%.80s'", v->v[i]);
	}
	*ret = to;
	*n = v->n;
}

/* --- trust domains, under strict --- */

/* Every principal begins with its trust domain and a slash: appends what matches those in v to the list. */
static void domains(struct conv *c, const char *field, const struct field_strings *v, const struct match **list, int *n)
{
	struct match *to = conv_array(c, (size_t)(*n + v->n), sizeof(*to));
	struct match m;
	char *text;

	for (int i = 0; i < *n; i++)
		to[i] = (*list)[i];
	for (int i = 0; i < v->n; i++) {
		string_match(c, field, v->v[i], &m);
		if (m.kind == MATCH_SUFFIX)
			field_error(c->w, 0, field, "want no '*abc' under MESHD_ENFORCEMENT=strict, got '%.80s'", v->v[i]);
		if (m.kind == MATCH_EXACT) {
			text = arena_alloc(c->l->arena, strlen(m.text) + 2);
			snprintf(text, strlen(m.text) + 2, "%s/", m.text);
			m = (struct match){ MATCH_PREFIX, text };
		}
		to[(*n)++] = m;
	}
	*list = to;
}

/* --- entries --- */

static bool is_empty(const struct policy_match *m)
{
	int n = 0;

	for (int i = 0; i < 2; i++)
		n += m->n_namespaces[i] + m->n_principals[i] + m->n_service_accounts[i] + m->n_source_ips[i] + m->n_dest_ips[i] +
		     m->n_dest_ports[i];
	return n == 0;
}

/* Under strict, trustDomains beside principals go to *extra, which must match as well. */
static void convert_source(struct conv *c, const struct crd_source *s, struct policy_match *m, struct policy_match *extra)
{
	static const char *const names[][2] = {
		{ "principals", "notPrincipals" }, { "namespaces", "notNamespaces" }, { "serviceAccounts", "notServiceAccounts" },
		{ "ipBlocks", "notIpBlocks" }, { "remoteIpBlocks", "notRemoteIpBlocks" },
		{ "requestPrincipals", "notRequestPrincipals" },
	};
	const struct cidr *unused;
	int n;

	for (int i = 0; i < 2; i++) {
		principals(c, names[0][i], &s->principals[i], &m->principals[i], &m->n_principals[i]);
		conv_matches(c, names[1][i], &s->namespaces[i], &m->namespaces[i], &m->n_namespaces[i]);
		conv_accounts(c, names[2][i], &s->service_accounts[i], &m->service_accounts[i], &m->n_service_accounts[i]);
		conv_cidrs(c, names[3][i], &s->ip_blocks[i], &m->source_ips[i], &m->n_source_ips[i]);
		conv_cidrs(c, names[4][i], &s->remote_ip_blocks[i], &unused, &n);
		conv_check_strings(c, names[5][i], &s->request_principals[i]);
		conv_check_strings(c, "trustDomains", &s->trust_domains[i]);
		if (s->remote_ip_blocks[i].n)
			note_http(c, names[4][i]);
		if (s->request_principals[i].n)
			note_http(c, names[5][i]);
	}
	if (s->service_accounts[0].n + s->service_accounts[1].n &&
	    s->principals[0].n + s->principals[1].n + s->namespaces[0].n + s->namespaces[1].n)
		field_error(c->w, 0, "serviceAccounts", "want no principals or namespaces beside it");
	if (!(s->trust_domains[0].n + s->trust_domains[1].n))
		return;
	if (!c->strict) {
		c->trust_domains = true;
		return;
	}
	domains(c, "notTrustDomains", &s->trust_domains[1], &m->principals[1], &m->n_principals[1]);
	if (m->n_principals[0])
		m = extra;
	domains(c, "trustDomains", &s->trust_domains[0], &m->principals[0], &m->n_principals[0]);
}

static void convert_operation(struct conv *c, const struct crd_operation *o, struct policy_match *m)
{
	static const char *const names[][2] = {
		{ "ports", "notPorts" }, { "hosts", "notHosts" }, { "methods", "notMethods" }, { "paths", "notPaths" },
	};

	for (int i = 0; i < 2; i++) {
		const struct field_strings *http[] = { NULL, &o->hosts[i], &o->methods[i], &o->paths[i] };

		conv_ports(c, names[0][i], &o->ports[i], &m->dest_ports[i], &m->n_dest_ports[i]);
		for (int k = 1; k < 4; k++) {
			conv_check_strings(c, names[k][i], http[k]);
			if (http[k]->n)
				note_http(c, names[k][i]);
		}
	}
}

static bool http_key(const char *key)
{
	static const char *const exact[] = {
		"remote.ip", "request.auth.principal", "request.auth.audiences", "request.auth.presenter", "connection.sni",
		"source.serviceAccount", "source.trustDomain",
	};
	static const char *const prefix[] = { "request.headers[", "request.auth.claims[", "experimental.envoy.filters." };

	for (size_t i = 0; i < ARRAY_LEN(exact); i++) {
		if (!strcmp(key, exact[i]))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(prefix); i++) {
		struct str k = str_c(key);

		if (str_starts(k, str_c(prefix[i])) && k.n > strlen(prefix[i]) && (i == 2 || k.p[k.n - 1] == ']'))
			return true;
	}
	return false;
}

static void convert_when(struct conv *c, const struct crd_when *when, struct policy_match *m)
{
	static const char *const names[2] = { "values", "notValues" };
	const char *key = when->key;

	if (!when->values[0].n && !when->values[1].n)
		field_error(c->w, 0, NULL, "want values or notValues, got none");
	for (int i = 0; i < 2; i++) {
		const struct field_strings *v = &when->values[i];

		conv_check_strings(c, names[i], v);
		if (!strcmp(key, "source.ip"))
			conv_cidrs(c, names[i], v, &m->source_ips[i], &m->n_source_ips[i]);
		else if (!strcmp(key, "source.namespace"))
			conv_matches(c, names[i], v, &m->namespaces[i], &m->n_namespaces[i]);
		else if (!strcmp(key, "source.principal"))
			principals(c, names[i], v, &m->principals[i], &m->n_principals[i]);
		else if (!strcmp(key, "destination.ip"))
			conv_cidrs(c, names[i], v, &m->dest_ips[i], &m->n_dest_ips[i]);
		else if (!strcmp(key, "destination.port"))
			conv_ports(c, names[i], v, &m->dest_ports[i], &m->n_dest_ports[i]);
		else if (c->strict && !strcmp(key, "source.serviceAccount"))
			conv_accounts(c, names[i], v, &m->service_accounts[i], &m->n_service_accounts[i]);
		else if (c->strict && !strcmp(key, "source.trustDomain"))
			domains(c, names[i], v, &m->principals[i], &m->n_principals[i]);
		else if (!http_key(key))
			field_error(c->w, 0, "key", "want a key that Istio knows, such as source.namespace, got '%.80s'", key);
		else
			note_http(c, key);
	}
}

/* --- rules --- */

/* Adds one clause. An entry that is left empty never matches; under strict, and of a DENY that lost something of HTTP under closed, it stands
 * for what was dropped, so that the clause always holds and is not needed. */
static void add_clause(struct conv *c, struct policy_rule *r, struct policy_clause *clauses, struct policy_match *m, int n)
{
	bool any = false, live = false;

	for (int i = 0; i < n; i++) {
		any = any || is_empty(&m[i]);
		live = live || !is_empty(&m[i]);
	}
	if (any && (c->strict || (c->closed && c->deny && *c->http)))
		return;
	c->dead = c->dead || !live;
	clauses[r->n_clauses++] = (struct policy_clause){ m, n };
}

/* (a and x) or b is (a or b) and (x or b): each entry with an extra demand doubles the clauses. */
static void add_sources(struct conv *c, struct policy_rule *r, struct policy_clause *clauses, struct policy_match *m,
			struct policy_match *extra, int n)
{
	int with_extra[EXTRA_MAX], k = 0;

	for (int i = 0; i < n; i++) {
		if (is_empty(&extra[i]))
			continue;
		if (k == EXTRA_MAX) {
			field_error(c->w, 0, "from", "want at most %d sources with both principals and trustDomains "
				    "under MESHD_ENFORCEMENT=strict", EXTRA_MAX);
			return;
		}
		with_extra[k++] = i;
	}
	for (unsigned set = 0; set < 1u << k; set++) {
		struct policy_match *of = conv_array(c, (size_t)n, sizeof(*of));

		memcpy(of, m, (size_t)n * sizeof(*of));
		for (int i = 0; i < k; i++) {
			if (set >> i & 1)
				of[with_extra[i]] = extra[with_extra[i]];
		}
		add_clause(c, r, clauses, of, n);
	}
}

static void convert_from(struct conv *c, const struct crd_rule *rule, struct policy_rule *r, struct policy_clause *clauses)
{
	struct policy_match *m = conv_array(c, (size_t)rule->from.n, sizeof(*m));
	struct policy_match *extra = conv_array(c, (size_t)rule->from.n, sizeof(*m));
	const struct crd_from *f = rule->from.v;
	size_t len = c->w->path_len;

	if (rule->from.present && !rule->from.n)
		field_error(c->w, 0, "from", "want at least one source, got none");
	for (int i = 0; i < rule->from.n; i++) {
		static const struct crd_source none;

		field_enter(c->w, "from", 0);
		field_enter(c->w, NULL, i);
		if (!f[i].source || !memcmp(f[i].source, &none, sizeof(none)))
			field_error(c->w, 0, "source", "want at least one field, got none");
		else
			convert_source(c, f[i].source, &m[i], &extra[i]);
		field_leave(c->w, len);
	}
	if (rule->from.n)
		add_sources(c, r, clauses, m, extra, rule->from.n);
}

static void convert_to(struct conv *c, const struct crd_rule *rule, struct policy_rule *r, struct policy_clause *clauses)
{
	struct policy_match *m = conv_array(c, (size_t)rule->to.n, sizeof(*m));
	const struct crd_to *t = rule->to.v;
	size_t len = c->w->path_len;

	if (rule->to.present && !rule->to.n)
		field_error(c->w, 0, "to", "want at least one operation, got none");
	for (int i = 0; i < rule->to.n; i++) {
		static const struct crd_operation none;

		field_enter(c->w, "to", 0);
		field_enter(c->w, NULL, i);
		if (!t[i].operation || !memcmp(t[i].operation, &none, sizeof(none)))
			field_error(c->w, 0, "operation", "want at least one field, got none");
		else
			convert_operation(c, t[i].operation, &m[i]);
		field_leave(c->w, len);
	}
	if (rule->to.n)
		add_clause(c, r, clauses, m, rule->to.n);
}

static void convert_whens(struct conv *c, const struct crd_rule *rule, struct policy_rule *r, struct policy_clause *clauses)
{
	const struct crd_when *when = rule->when.v;
	size_t len = c->w->path_len;

	for (int i = 0; i < rule->when.n; i++) {
		struct policy_match *m = arena_alloc(c->l->arena, sizeof(*m));

		field_enter(c->w, "when", 0);
		field_enter(c->w, NULL, i);
		convert_when(c, &when[i], m);
		field_leave(c->w, len);
		add_clause(c, r, clauses, m, 1);
	}
}

static void never(struct conv *c, struct policy_rule *r)
{
	struct policy_clause *clause = arena_alloc(c->l->arena, sizeof(*clause));

	clause->matches = arena_alloc(c->l->arena, sizeof(struct policy_match));
	clause->n_matches = 1;
	*r = (struct policy_rule){ .clauses = clause, .n_clauses = 1 };
}

static void say_what_differs(struct conv *c)
{
	if (*c->http && !c->deny)
		field_warn(c->w, 0, NULL, "HTTP attributes (%s): in ztunnel mode this rule never matches, as in Istio", c->http);
	else if (*c->http && c->closed)
		field_warn(c->w, 0, NULL, "HTTP attributes (%s) are not known in ztunnel mode: the rule denies without regard to them",
			   c->http);
	else if (*c->http)
		field_warn(c->w, 0, NULL, "HTTP attributes (%s): in ztunnel mode this rule %s, as in Istio", c->http,
			   c->dead ? "never fires" : "denies without regard to them");
	if (c->trust_domains)
		field_warn(c->w, 0, NULL, "trustDomains is ignored in ztunnel mode, as in Istio%s; "
			   "MESHD_ENFORCEMENT=strict honours it", c->dead ? ", and so this rule never matches" : ": the rule is wider than it says");
}

static void convert_rule(struct conv *c, const struct crd_rule *rule, struct policy_rule *r)
{
	struct policy_clause *clauses = arena_alloc(c->l->arena, ((size_t)rule->when.n + 1 + (1u << EXTRA_MAX)) * sizeof(*clauses));

	c->http[0] = '\0';
	c->trust_domains = c->dead = false;
	*r = (struct policy_rule){ .clauses = clauses };
	convert_to(c, rule, r, clauses);
	convert_from(c, rule, r, clauses);
	convert_whens(c, rule, r, clauses);
	say_what_differs(c);
	if (*c->http && !c->deny)
		never(c, r);
	r->blind = *c->http && c->deny;
}

/* --- the policy --- */

static bool read_dry_run(struct field_walk *w, const struct crd_meta *m)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False", "" };
	const char *v = field_label(&m->annotations, "istio.io/dry-run");

	for (size_t i = 0; v && i < ARRAY_LEN(yes); i++) {
		if (!strcmp(v, yes[i]))
			return true;
	}
	for (size_t i = 0; v && i < ARRAY_LEN(no); i++) {
		if (!strcmp(v, no[i]))
			return false;
	}
	if (v)
		field_error(w, 0, NULL, "the annotation istio.io/dry-run: want true or false, got '%.40s'", v);
	return false;
}

static void check_policy(struct field_walk *w, const struct crd_authz *spec, bool dry_run)
{
	check_targets(w, spec->selector, &spec->targets, spec->target);
	if (!spec->rules.n && (spec->action == CRD_DENY || spec->action == CRD_CUSTOM))
		field_error(w, 0, "rules", "want at least one rule in a policy that is not ALLOW, got none");
	if (spec->provider && spec->action != CRD_CUSTOM)
		field_error(w, 0, "provider", "want it with the action CUSTOM only");
	if (spec->action == CRD_CUSTOM && !(spec->provider && *spec->provider->name))
		field_error(w, 0, "provider", "want the name of an extensionProvider of MeshConfig with the action CUSTOM");
	if (dry_run && spec->action > CRD_DENY)
		field_error(w, 0, NULL, "the annotation istio.io/dry-run: want it with ALLOW or DENY only");
}

static const enum policy_action actions[] = {
	[CRD_ALLOW] = POLICY_ALLOW, [CRD_DENY] = POLICY_DENY, [CRD_AUDIT] = POLICY_AUDIT, [CRD_CUSTOM] = POLICY_CUSTOM,
};

bool conf_authz(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_authz *spec,
		struct policy **ret)
{
	bool closed = l->settings->stance >= STANCE_CLOSED, asks = closed && spec->action == CRD_CUSTOM;
	struct conv c = { .l = l, .w = w, .m = m, .deny = spec->action == CRD_DENY || asks, .strict = l->settings->stance == STANCE_STRICT, .closed = closed };
	struct policy p = { .ns = m->ns, .name = m->name, .n_rules = spec->rules.n, .dry_run = read_dry_run(w, m) };
	struct policy_rule *rules = conv_array(&c, (size_t)spec->rules.n, sizeof(*rules));
	const struct crd_rule *from = spec->rules.v;
	char key[700], where[4200];
	size_t len = w->path_len;

	check_policy(w, spec, p.dry_run);
	p.targets = check_target_refs(l->arena, &spec->targets, spec->target, &p.n_targets);
	if (!w->errors && !check_has_effect(w, p.n_targets))
		return true;
	if (!w->errors && !sees_requests(l->settings) && asks) {
		field_warn(w, 0, "action", "nobody is asked in ztunnel mode: what this CUSTOM policy matches is refused (MESHD_ENFORCEMENT)");
	} else if (!w->errors && !sees_requests(l->settings) && spec->action > CRD_DENY) {
		field_warn(w, 0, "action", "%s has NO EFFECT in ztunnel mode, as in Istio: this policy is not enforced",
			   spec->action == CRD_AUDIT ? "AUDIT" : "CUSTOM");
		return true;
	}
	for (int i = 0; i < spec->rules.n; i++) {
		field_enter(w, "rules", 0);
		field_enter(w, NULL, i);
		if (sees_requests(l->settings))
			conf_rule(l, w, m, &from[i], &rules[i]);
		else
			convert_rule(&c, &from[i], &rules[i]);
		field_leave(w, len);
	}
	if (w->errors)
		return false;
	snprintf(key, sizeof(key), "%s/%s", m->ns, m->name);
	snprintf(where, sizeof(where), "%s:%u", l->file, w->root->line);
	p.key = key;
	p.where = where;
	p.scope = p.n_targets ? POLICY_TARGETS : spec->selector ? POLICY_SELECTOR : strcmp(m->ns, l->settings->root_ns) ? POLICY_NAMESPACE : POLICY_GLOBAL;
	p.action = actions[spec->action];
	p.whole = sees_requests(l->settings);
	p.provider = spec->provider ? spec->provider->name : "";
	p.problem = "";
	p.rules = rules;
	if (spec->selector) {
		p.selector = spec->selector->labels.v;
		p.n_selector = spec->selector->labels.n;
	}
	*ret = policy_new(&p);
	return true;
}
