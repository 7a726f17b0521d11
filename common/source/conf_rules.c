/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of AuthorizationPolicy as a sidecar reads them (istiod's translation for Envoy): all of them are kept, and the policy room leaves
 * out what bytes cannot show. Each `from` list, each `to` list and each `when` entry is a clause; its entries are matches of that
 * clause.
 *  - namespaces with a star are patterns over the whole identity; under MESHD_ENFORCEMENT=strict they are names;
 *  - path templates know Envoy's characters only; under strict they know all;
 *  - a value with a star at both ends matches the ending with its star (namespaces excepted). */
#include <ctype.h>
#include <stdio.h>

#include "source/conf_authz_int.h"
#include "source/value.h"

#define DEMANDS_MAX 20       /* of one source or operation: its fields of HTTP */

static struct policy_demand *demand(struct conv *c, struct policy_match *m, enum policy_attr attr, bool negative)
{
	struct policy_demand *d = (struct policy_demand *)m->more;

	if (!d)
		m->more = d = arena_alloc(c->l->arena, DEMANDS_MAX * sizeof(*d));
	d[m->n_more] = (struct policy_demand){ .attr = attr, .negative = negative };
	return &d[m->n_more++];
}

static void texts(struct conv *c, const char *field, const struct field_strings *v, struct policy_match *m, enum policy_attr attr, bool negative)
{
	struct policy_demand *d;

	if (!v->n)
		return;
	d = demand(c, m, attr, negative);
	conv_matches(c, field, v, &d->texts, &d->n);
}

static void named(struct conv *c, const char *field, const struct field_strings *v, struct policy_match *m, enum policy_attr attr, bool negative,
		  const char *const *name, int n_name)
{
	struct policy_demand *d;

	if (!v->n)
		return;
	texts(c, field, v, m, attr, negative);
	d = (struct policy_demand *)&m->more[m->n_more - 1];
	d->name = name;
	d->n_name = n_name;
}

static void remote_blocks(struct conv *c, const char *field, const struct field_strings *v, struct policy_match *m, bool negative)
{
	struct policy_demand *d;

	if (!v->n)
		return;
	d = demand(c, m, ATTR_REMOTE_IP, negative);
	conv_cidrs(c, field, v, &d->blocks, &d->n);
}

static void namespaces(struct conv *c, const char *field, const struct field_strings *v, const struct match **ret, int *n)
{
	struct match *to;

	if (c->strict) {
		conv_matches(c, field, v, ret, n);
		return;
	}
	conv_check_strings(c, field, v);
	*ret = to = conv_array(c, (size_t)v->n, sizeof(*to));
	*n = v->n;
	for (int i = 0; i < v->n; i++) {
		to[i] = (struct match){ strchr(v->v[i], '*') ? MATCH_GLOB : MATCH_EXACT, v->v[i] };
		if (v->v[i][0] == '*' && v->v[i][1])
			field_warn(c->w, 0, field, "'%.80s' is searched in the whole identity, as in Istio: it matches service accounts of any "
				   "namespace too; MESHD_ENFORCEMENT=strict takes it for a name", v->v[i]);
	}
}

/* ISSUER/SUBJECT; the last slash divides, since issuers are URLs. */
static void split_principal(struct conv *c, const char *text, struct match pair[2])
{
	static const struct match any = { MATCH_PRESENCE, "" };
	const char *slash = strrchr(text, '/');
	size_t n = strlen(text), n_iss = slash ? (size_t)(slash - text) : n;
	const char *iss = arena_dup(c->l->arena, (struct str){ text, n_iss }), *sub = slash ? slash + 1 : "";

	pair[0] = (struct match){ MATCH_EXACT, iss };
	pair[1] = (struct match){ MATCH_EXACT, sub };
	if (!strcmp(text, "*")) {
		pair[0] = pair[1] = any;
	} else if (text[0] == '*' && slash) {
		pair[0] = strcmp(iss, "*") ? (struct match){ MATCH_SUFFIX, iss + 1 } : any;
	} else if (text[0] == '*') {
		pair[0] = any;
		pair[1] = (struct match){ MATCH_SUFFIX, text + 1 };
	} else if (text[n - 1] == '*' && slash) {
		pair[1] = strcmp(sub, "*") ? (struct match){ MATCH_PREFIX, arena_dup(c->l->arena, (struct str){ sub, strlen(sub) - 1 }) } : any;
	} else if (text[n - 1] == '*') {
		pair[0] = (struct match){ MATCH_PREFIX, arena_dup(c->l->arena, (struct str){ text, n - 1 }) };
		pair[1] = any;
	}
}

static void request_principals(struct conv *c, const char *field, const struct field_strings *v, struct policy_match *m, bool negative)
{
	struct policy_demand *d;
	struct match *pairs;

	conv_check_strings(c, field, v);
	if (!v->n || c->w->errors)
		return;
	d = demand(c, m, ATTR_REQUEST_PRINCIPAL, negative);
	d->texts = pairs = arena_alloc(c->l->arena, (size_t)v->n * 2 * sizeof(*pairs));
	d->n = v->n * 2;
	for (int i = 0; i < v->n; i++)
		split_principal(c, v->v[i], &pairs[2 * i]);
}

/* --- paths --- */

static bool has_template(const char *path)
{
	return strstr(path, "{*}") || strstr(path, "{**}");
}

static bool is_literal(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && !strchr("-._~%!$&'()+,;:@=", s.p[i]))
			return false;
	return s.n > 0;
}

static void check_path(struct conv *c, const char *field, const char *path)
{
	struct str rest = { path, strlen(path) };
	bool last = false;

	while (rest.n && rest.p[0] == '/')
		rest = (struct str){ rest.p + 1, rest.n - 1 };
	while (rest.n && rest.p[rest.n - 1] == '/')
		rest.n--;
	do {
		struct str part = str_cut(rest, '/', &rest);

		if (str_is(part, "{*}") || str_is(part, "{**}")) {
			if (last)
				field_error(c->w, 0, field, "want {**} as the last of the templates, got '%.80s'", path);
			last = last || str_is(part, "{**}");
		} else if (memchr(part.p ? part.p : "", '{', part.n) || memchr(part.p ? part.p : "", '}', part.n)) {
			field_error(c->w, 0, field, "want braces as {*} or {**} in a segment of their own only, got '%.80s'", path);
			return;
		} else if (has_template(path) && !is_literal(part)) {
			field_error(c->w, 0, field, "want segments of letters, digits and -._~%%!$&'()+,;:@= beside templates, got '%.80s'", path);
			return;
		}
	} while (rest.p);
}

/* Requests are compared after normalisation: what it takes away is never met. */
static void warn_dead_path(struct conv *c, const char *field, const char *path)
{
	for (const char *p = path; (p = strchr(p, '%')) && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]); p++) {
		char hex[3] = { p[1], p[2], 0 };
		unsigned v = 0;

		sscanf(hex, "%x", &v);
		if (isalnum((int)v) || (v && strchr("-._~", (int)v))) {
			field_warn(c->w, 0, field, "'%.80s' never matches: %s is decoded before paths are compared; write '%c'", path,
				   arena_dup(c->l->arena, (struct str){ p, 3 }), (int)v);
			return;
		}
	}
}

static void paths(struct conv *c, const char *field, const struct field_strings *v, struct policy_match *m, bool negative)
{
	struct match *to;

	texts(c, field, v, m, ATTR_PATH, negative);
	for (int i = 0; i < v->n; i++) {
		check_path(c, field, v->v[i]);
		warn_dead_path(c, field, v->v[i]);
		to = (struct match *)&m->more[m->n_more - 1].texts[i];
		if (has_template(v->v[i]))
			*to = (struct match){ c->strict ? MATCH_SEGMENTS : MATCH_TEMPLATE, v->v[i] };
	}
}

/* --- entries --- */

static void check_account_beside(struct conv *c, const struct crd_source *s)
{
	if (s->service_accounts[0].n + s->service_accounts[1].n &&
	    s->principals[0].n + s->principals[1].n + s->namespaces[0].n + s->namespaces[1].n)
		field_error(c->w, 0, "serviceAccounts", "want no principals or namespaces beside it");
}

static void check_domains(struct conv *c, const char *field, const struct field_strings *v)
{
	for (int i = 0; i < v->n; i++) {
		const char *t = v->v[i], *star = strchr(t, '*');

		if (strchr(t, '/') || (star && (strchr(star + 1, '*') || (star != t && star[1]))))
			field_error(c->w, 0, field, "want a trust domain, at most one star at its begin or end, got '%.80s'", t);
	}
}

static void source(struct conv *c, const struct crd_source *s, struct policy_match *m)
{
	static const char *const names[][2] = {
		{ "principals", "notPrincipals" }, { "namespaces", "notNamespaces" }, { "serviceAccounts", "notServiceAccounts" },
		{ "ipBlocks", "notIpBlocks" }, { "remoteIpBlocks", "notRemoteIpBlocks" },
		{ "requestPrincipals", "notRequestPrincipals" }, { "trustDomains", "notTrustDomains" },
	};

	for (int i = 0; i < 2; i++) {
		conv_matches(c, names[0][i], &s->principals[i], &m->principals[i], &m->n_principals[i]);
		namespaces(c, names[1][i], &s->namespaces[i], &m->namespaces[i], &m->n_namespaces[i]);
		conv_accounts(c, names[2][i], &s->service_accounts[i], &m->service_accounts[i], &m->n_service_accounts[i]);
		conv_cidrs(c, names[3][i], &s->ip_blocks[i], &m->source_ips[i], &m->n_source_ips[i]);
		remote_blocks(c, names[4][i], &s->remote_ip_blocks[i], m, i);
		request_principals(c, names[5][i], &s->request_principals[i], m, i);
		check_domains(c, names[6][i], &s->trust_domains[i]);
		texts(c, names[6][i], &s->trust_domains[i], m, ATTR_DOMAIN, i);
	}
	check_account_beside(c, s);
}

static void operation(struct conv *c, const struct crd_operation *o, struct policy_match *m)
{
	static const char *const names[][2] = {
		{ "ports", "notPorts" }, { "hosts", "notHosts" }, { "methods", "notMethods" }, { "paths", "notPaths" },
	};

	for (int i = 0; i < 2; i++) {
		conv_ports(c, names[0][i], &o->ports[i], &m->dest_ports[i], &m->n_dest_ports[i]);
		texts(c, names[1][i], &o->hosts[i], m, ATTR_HOST, i);
		texts(c, names[2][i], &o->methods[i], m, ATTR_METHOD, i);
		paths(c, names[3][i], &o->paths[i], m, i);
	}
}

/* --- conditions --- */

/* "[a][b]" is a path; what is not written so is one name, without the outer brackets. */
static const char *const *bracketed(struct conv *c, const char *text, int *n)
{
	const char **parts = arena_alloc(c->l->arena, (strlen(text) / 2 + 1) * sizeof(*parts));
	const char *at = text;

	*n = 0;
	while (*at == '[') {
		size_t len = strcspn(at + 1, "[]");

		if (at[1 + len] != ']')
			break;
		parts[(*n)++] = arena_dup(c->l->arena, (struct str){ at + 1, len });
		at += len + 2;
	}
	if (*at) {
		*n = 1;
		parts[0] = arena_dup(c->l->arena, (struct str){ text + 1, strlen(text) - 2 });
	}
	return parts;
}

static const char *const *lower(struct conv *c, const char *const *name)
{
	for (char *p = (char *)name[0]; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return name;
}

static bool bracket_key(const char *key, const char *prefix)
{
	size_t n = strlen(key), k = strlen(prefix);

	return n > k + 2 && !strncmp(key, prefix, k) && key[k] == '[' && key[n - 1] == ']';
}

static void condition_http(struct conv *c, const char *key, const char *field, const struct field_strings *v, struct policy_match *m, bool negative)
{
	static const char *const aud[] = { "aud" }, *const azp[] = { "azp" };
	const char *const *name;
	int n;

	if (!strcmp(key, "request.auth.principal")) {
		request_principals(c, field, v, m, negative);
	} else if (!strcmp(key, "request.auth.audiences")) {
		named(c, field, v, m, ATTR_CLAIM, negative, aud, 1);
	} else if (!strcmp(key, "request.auth.presenter")) {
		named(c, field, v, m, ATTR_CLAIM, negative, azp, 1);
	} else if (bracket_key(key, "request.headers")) {
		name = bracketed(c, key + strlen("request.headers"), &n);
		named(c, field, v, m, ATTR_HEADER, negative, lower(c, name), 1);
	} else if (bracket_key(key, "request.auth.claims")) {
		name = bracketed(c, key + strlen("request.auth.claims"), &n);
		named(c, field, v, m, ATTR_CLAIM, negative, name, n);
	} else if (!strncmp(key, "experimental.envoy.filters.", 27)) {
		field_error(c->w, 0, "key", "metadata of Envoy's filters does not exist here; want request.*, source.*, destination.*, remote.ip or "
			    "connection.sni");
	} else {
		field_error(c->w, 0, "key", "want a key that Istio knows, such as source.namespace, got '%.80s'", key);
	}
}

static void condition(struct conv *c, const struct crd_when *when, struct policy_match *m)
{
	static const char *const fields[2] = { "values", "notValues" };
	const char *key = when->key;

	if (!when->values[0].n && !when->values[1].n)
		field_error(c->w, 0, NULL, "want values or notValues, got none");
	for (int i = 0; i < 2; i++) {
		const struct field_strings *v = &when->values[i];

		conv_check_strings(c, fields[i], v);
		if (!strcmp(key, "source.ip"))
			conv_cidrs(c, fields[i], v, &m->source_ips[i], &m->n_source_ips[i]);
		else if (!strcmp(key, "source.namespace"))
			namespaces(c, fields[i], v, &m->namespaces[i], &m->n_namespaces[i]);
		else if (!strcmp(key, "source.principal"))
			conv_matches(c, fields[i], v, &m->principals[i], &m->n_principals[i]);
		else if (!strcmp(key, "source.serviceAccount"))
			conv_accounts(c, fields[i], v, &m->service_accounts[i], &m->n_service_accounts[i]);
		else if (!strcmp(key, "source.trustDomain"))
			texts(c, fields[i], v, m, ATTR_DOMAIN, i);
		else if (!strcmp(key, "destination.ip"))
			conv_cidrs(c, fields[i], v, &m->dest_ips[i], &m->n_dest_ips[i]);
		else if (!strcmp(key, "destination.port"))
			conv_ports(c, fields[i], v, &m->dest_ports[i], &m->n_dest_ports[i]);
		else if (!strcmp(key, "remote.ip"))
			remote_blocks(c, fields[i], v, m, i);
		else if (!strcmp(key, "connection.sni"))
			texts(c, fields[i], v, m, ATTR_SNI, i);
		else
			condition_http(c, key, fields[i], v, m, i);
	}
}

/* --- the rule --- */

static void add(struct policy_rule *r, struct policy_clause *clauses, const struct policy_match *m, int n)
{
	if (n)
		clauses[r->n_clauses++] = (struct policy_clause){ m, n };
}

static void add_from(struct conv *c, const struct field_list *from, struct policy_rule *r, struct policy_clause *clauses)
{
	static const struct crd_source none;
	struct policy_match *m = conv_array(c, (size_t)from->n, sizeof(*m));
	const struct crd_from *f = from->v;
	size_t len = c->w->path_len;

	if (from->present && !from->n)
		field_error(c->w, 0, "from", "want at least one source, got none");
	for (int i = 0; i < from->n; i++) {
		field_enter(c->w, "from", 0);
		field_enter(c->w, NULL, i);
		if (!f[i].source || !memcmp(f[i].source, &none, sizeof(none)))
			field_error(c->w, 0, "source", "want at least one field, got none");
		else
			source(c, f[i].source, &m[i]);
		field_leave(c->w, len);
	}
	add(r, clauses, m, from->n);
}

static void add_to(struct conv *c, const struct field_list *to, struct policy_rule *r, struct policy_clause *clauses)
{
	static const struct crd_operation none;
	struct policy_match *m = conv_array(c, (size_t)to->n, sizeof(*m));
	const struct crd_to *t = to->v;
	size_t len = c->w->path_len;

	if (to->present && !to->n)
		field_error(c->w, 0, "to", "want at least one operation, got none");
	for (int i = 0; i < to->n; i++) {
		field_enter(c->w, "to", 0);
		field_enter(c->w, NULL, i);
		if (!t[i].operation || !memcmp(t[i].operation, &none, sizeof(none)))
			field_error(c->w, 0, "operation", "want at least one field, got none");
		else
			operation(c, t[i].operation, &m[i]);
		field_leave(c->w, len);
	}
	add(r, clauses, m, to->n);
}

void conf_rule(struct conf_load *l, struct field_walk *w, const struct crd_meta *meta, const struct crd_rule *rule, struct policy_rule *ret)
{
	struct conv c = { .l = l, .w = w, .m = meta, .strict = l->settings->stance == STANCE_STRICT };
	struct policy_clause *clauses = arena_alloc(l->arena, ((size_t)rule->when.n + 2) * sizeof(*clauses));
	const struct crd_when *when = rule->when.v;
	size_t len = w->path_len;

	*ret = (struct policy_rule){ .clauses = clauses };
	add_to(&c, &rule->to, ret, clauses);
	add_from(&c, &rule->from, ret, clauses);
	for (int i = 0; i < rule->when.n; i++) {
		struct policy_match *m = arena_alloc(l->arena, sizeof(*m));

		field_enter(w, "when", 0);
		field_enter(w, NULL, i);
		condition(&c, &when[i], m);
		field_leave(w, len);
		add(ret, clauses, m, 1);
	}
}

bool conf_rule_has_http(const struct policy_rule *r)
{
	for (int i = 0; i < r->n_clauses; i++)
		for (int j = 0; j < r->clauses[i].n_matches; j++)
			for (int k = 0; k < r->clauses[i].matches[j].n_more; k++)
				if (ATTR_IS_HTTP(r->clauses[i].matches[j].more[k].attr))
					return true;
	return false;
}
