/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/scope.h"

#define POLICIES_SHOWN 8
#define RULES_SHOWN    4
#define VALUES_SHOWN   4

static void put_key(struct buf *out, const char *key, const char *where)
{
	buf_puts(out, key);
	if (*where)
		buf_printf(out, " (%s)", where);
}

/* Before value i of n: true while it is to be shown. */
static bool put_or(struct buf *out, int i, int n, int shown)
{
	if (i == shown)
		buf_printf(out, " or %d more", n - i);
	else if (i && i < shown)
		buf_puts(out, " or ");
	return i < shown;
}

static void put_texts(struct buf *out, const struct match *m, int n)
{
	for (int i = 0; i < n && put_or(out, i, n, VALUES_SHOWN); i++) {
		switch (m[i].kind) {
		case MATCH_EXACT:
			buf_puts(out, *m[i].text ? m[i].text : "\"\"");
			break;
		case MATCH_PREFIX:
			buf_printf(out, "%s*", m[i].text);
			break;
		case MATCH_SUFFIX:
			buf_printf(out, "*%s", m[i].text);
			break;
		case MATCH_PRESENCE:
			buf_puts(out, "* (any)");
			break;
		case MATCH_GLOB:
		case MATCH_TEMPLATE:
		case MATCH_SEGMENTS:
			buf_puts(out, m[i].text);
			break;
		}
	}
}

static void put_accounts(struct buf *out, const struct ns_sa *a, int n)
{
	for (int i = 0; i < n && put_or(out, i, n, VALUES_SHOWN); i++)
		buf_printf(out, "%s/%s", a[i].ns, a[i].sa);
}

static void put_blocks(struct buf *out, const struct cidr *c, int n)
{
	char text[ADDR_TEXT];

	for (int i = 0; i < n && put_or(out, i, n, VALUES_SHOWN); i++)
		buf_puts(out, c[i].bits == 128 ? ip_format(&c[i].ip, text) : cidr_format(&c[i], text));
}

static void put_ports(struct buf *out, const uint16_t *p, int n)
{
	for (int i = 0; i < n && put_or(out, i, n, VALUES_SHOWN); i++)
		buf_printf(out, "%u", p[i]);
}

static void put_pairs(struct buf *out, const struct match *m, int n)
{
	for (int i = 0; i < n / 2 && put_or(out, i, n / 2, VALUES_SHOWN); i++) {
		put_texts(out, &m[2 * i], 1);
		buf_puts(out, "/");
		put_texts(out, &m[2 * i + 1], 1);
	}
}

static void put_name(struct buf *out, size_t start, int negative, const char *name)
{
	buf_printf(out, "%s%s%s ", buf_len(out) > start ? " and " : "", negative ? "not " : "", name);
}

static void put_demand(struct buf *out, size_t start, const struct policy_demand *d)
{
	static const char *const names[] = {
		[ATTR_DOMAIN] = "trust domain", [ATTR_SNI] = "SNI", [ATTR_REMOTE_IP] = "remote address", [ATTR_METHOD] = "method",
		[ATTR_HOST] = "host", [ATTR_PATH] = "path", [ATTR_HEADER] = "header", [ATTR_CLAIM] = "claim",
		[ATTR_REQUEST_PRINCIPAL] = "request principal",
	};

	put_name(out, start, d->negative, names[d->attr]);
	for (int i = 0; i < d->n_name; i++)
		buf_printf(out, "%s%s", i ? "." : "", d->name[i]);
	buf_puts(out, d->n_name ? " " : "");
	if (d->blocks)
		put_blocks(out, d->blocks, d->n);
	else if (d->attr == ATTR_REQUEST_PRINCIPAL)
		put_pairs(out, d->texts, d->n);
	else
		put_texts(out, d->texts, d->n);
}

static void put_match(struct buf *out, const struct policy_match *m)
{
	size_t start = buf_len(out);

	for (int i = 0; i < 2; i++) {
		if (m->n_principals[i]) {
			put_name(out, start, i, "principal");
			put_texts(out, m->principals[i], m->n_principals[i]);
		}
		if (m->n_namespaces[i]) {
			put_name(out, start, i, "namespace");
			put_texts(out, m->namespaces[i], m->n_namespaces[i]);
		}
		if (m->n_service_accounts[i]) {
			put_name(out, start, i, "service account");
			put_accounts(out, m->service_accounts[i], m->n_service_accounts[i]);
		}
		if (m->n_source_ips[i]) {
			put_name(out, start, i, "source address");
			put_blocks(out, m->source_ips[i], m->n_source_ips[i]);
		}
		if (m->n_dest_ips[i]) {
			put_name(out, start, i, "destination address");
			put_blocks(out, m->dest_ips[i], m->n_dest_ips[i]);
		}
		if (m->n_dest_ports[i]) {
			put_name(out, start, i, "port");
			put_ports(out, m->dest_ports[i], m->n_dest_ports[i]);
		}
	}
	for (int i = 0; i < m->n_more; i++)
		put_demand(out, start, &m->more[i]);
	if (buf_len(out) == start)
		buf_puts(out, "what L4 cannot see (never met)");
}

static void put_rule(struct buf *out, const struct policy_rule *r)
{
	bool any = false;

	for (int i = 0; i < r->n_clauses; i++) {
		const struct policy_clause *c = &r->clauses[i];

		if (!c->n_matches)
			continue;
		buf_puts(out, any ? " and " : "");
		any = true;
		for (int j = 0; j < c->n_matches && put_or(out, j, c->n_matches, VALUES_SHOWN); j++)
			put_match(out, &c->matches[j]);
	}
	if (!any)
		buf_puts(out, "anything");
}

static void put_rules(struct buf *out, const struct policy *p)
{
	if (!p->n_rules)
		buf_puts(out, "nothing (it has no rules)");
	for (int i = 0; i < p->n_rules && put_or(out, i, p->n_rules, RULES_SHOWN); i++)
		put_rule(out, &p->rules[i]);
}

static void put_source(struct buf *out, const struct subject *who)
{
	const struct authz_request *r = who->in->request;
	char source[ADDR_TEXT], dest[ADDR_TEXT];

	if (r)
		buf_printf(out, "the request was %.*s %.*s for %.*s%s, ", STR_FMT(r->method), STR_FMT(who->path), STR_FMT(r->authority),
			   r->claims ? " with a token" : "");

	ip_format(&who->in->source.ip, source);
	addr_format(&who->in->dest, dest);
	if (who->principal.n)
		buf_printf(out, "the source was %.*s (%s), the target %s", STR_FMT(who->principal), source, dest);
	else
		buf_printf(out, "the source was %s without identity (no mTLS), the target %s", source, dest);
}

static void explain_allows(const struct scope *s, const struct subject *who, struct buf *out)
{
	char source[ADDR_TEXT];
	int n = 0;

	buf_puts(out, "ALLOW policies in scope: ");
	scope_each(at, s)
		for (int i = at->start[PART_ALLOW]; i < at->n; i++, n++) {
			const struct policy *p = at->policies[i];

			if (n >= POLICIES_SHOWN)
				continue;
			buf_puts(out, n ? "; " : "");
			put_key(out, p->key, p->where);
			buf_puts(out, " wants ");
			put_rules(out, p);
		}
	if (n > POLICIES_SHOWN)
		buf_printf(out, "; and %d more", n - POLICIES_SHOWN);
	buf_puts(out, "; ");
	put_source(out, who);
	if (who->in->request)
		buf_puts(out, ". A rule that all of this fits would allow it.\n");
	else if (who->ns.n)
		buf_printf(out, ". A rule with that principal, or namespace %.*s, would allow it.\n", STR_FMT(who->ns));
	else if (who->principal.n)
		buf_puts(out, ". A rule with that principal would allow it.\n");
	else
		buf_printf(out, ". A rule with ipBlocks %s would allow it; so may the call of a source with identity.\n",
			   ip_format(&who->in->source.ip, source));
}

static void explain_peer_authn(const struct peer_authn *p, const struct subject *who, struct buf *out)
{
	buf_puts(out, "PeerAuthentication ");
	put_key(out, p->key, p->where);
	if (p->broken) {
		buf_printf(out, " could not be loaded: %s. What it covers is refused until it is mended.\n", p->problem);
		return;
	}
	buf_printf(out, " wants mTLS (STRICT) on port %u; ", who->in->dest.port);
	put_source(out, who);
	buf_puts(out, ". A call from a workload of the mesh, or the mode PERMISSIVE for this port, would be let in.\n");
}

static void explain_deny(const struct policy *p, int rule, const struct subject *who, struct buf *out)
{
	buf_puts(out, p->action == POLICY_CUSTOM ? "CUSTOM policy " : "DENY policy ");
	put_key(out, p->key, p->where);
	buf_printf(out, ", rule %d, refuses ", rule + 1);
	put_rule(out, &p->rules[rule]);
	buf_puts(out, "; ");
	put_source(out, who);
	if (p->action == POLICY_CUSTOM) {
		buf_printf(out, ". The provider %s is asked about requests of HTTP only; a rule that names ports can leave these bytes out.\n",
			   p->provider);
		return;
	}
	buf_puts(out, who->in->request ?
		 ". A request that this rule does not match would go on to the ALLOW policies.\n" :
		 ". A connection that this rule does not match would go on to the ALLOW policies.\n");
}

void authz_explain(const struct mesh *m, const struct workload *dest, const struct authz_input *in, struct buf *out)
{
	struct authz_verdict v = authz_judge(m, dest, in, NULL, NULL);
	const struct scope *s = scope_of(m, dest, in->service);
	struct peer_authn *pa;
	enum mtls_mode mode;
	struct subject who;

	if (!s)
		return;
	subject_init(&who, in, mesh_settings(m));
	pa = scope_peer_authn(s, in->dest.port, &mode);
	if (v.allowed) {
		buf_printf(out, "Allowed: %s%s%s.\n", v.rule, v.policy ? ": " : "", v.policy ? v.policy->key : "");
	} else if (v.policy && v.rule_index >= 0) {
		explain_deny(v.policy, v.rule_index, &who, out);
	} else if (v.policy) {
		buf_puts(out, "AuthorizationPolicy ");
		put_key(out, v.policy->key, v.policy->where);
		buf_printf(out, " could not be loaded: %s. What it covers is refused until it is mended.\n", v.policy->problem);
	} else if (pa && v.rule == pa->refusal) {
		explain_peer_authn(pa, &who, out);
	} else {
		explain_allows(s, &who, out);
	}
}
