/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/rulebook.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/cidrset.h"
#include "policy/strset.h"

/* In the order in which they are tried: cheap ones first. */
enum check_kind { CHECK_PORT, CHECK_NS, CHECK_PRINCIPAL, CHECK_ACCOUNT, CHECK_SOURCE, CHECK_DEST };

struct portset {
	const uint16_t *ports;       /* sorted */
	int n;
};

struct check {
	enum check_kind kind;
	bool negative;               /* none may match */
	union {
		struct portset ports;
		struct strset texts;
		struct cidrset blocks;
	};
};

struct demand { struct check *checks; int n; };          /* a match; no check: it never matches */
struct clause { struct demand *demands; int n; };
struct rule   { struct clause *clauses; int n; };

struct rulebook {
	struct rule *rules;          /* all in the rulebook's block */
	int n;
	struct rule_keys keys;
};

/* Memory of one block. The same code first measures (NULL comes back) and then fills. */
struct space {
	char *block;
	size_t used;
};

static void *take(struct space *sp, int n, size_t size)
{
	void *at = sp->block ? sp->block + sp->used : NULL;

	sp->used += ((size_t)n * size + 7) & ~(size_t)7;
	return at;
}

static uint64_t hash_text(struct str text)
{
	return hash_bytes(text.p, text.n);
}

/* Principals are hashed without their trust domain, since that may be one of several. */
static uint64_t hash_tail(struct str principal)
{
	struct str tail;

	str_cut(principal, '/', &tail);
	return hash_text(tail);
}

static void make_texts(struct space *sp, struct check *c, const struct match *m, int n, uint64_t (*hash)(struct str text))
{
	int n_patterns = strset_patterns(m, n);
	struct strset_slot *slots = take(sp, strset_slots(n - n_patterns), sizeof(*slots));
	const struct match **patterns = take(sp, n_patterns, sizeof(*patterns));

	if (c)
		strset_init(&c->texts, m, n, hash, slots, patterns);
}

static void make_accounts(struct space *sp, struct check *c, const struct ns_sa *from, int n)
{
	struct match *m = take(sp, n, sizeof(*m));
	struct strset_slot *slots = take(sp, strset_slots(n), sizeof(*slots));

	for (int i = 0; i < n; i++) {
		size_t size = strlen(from[i].ns) + strlen("/sa/") + strlen(from[i].sa) + 1;
		char *text = take(sp, 1, size);

		if (text) {
			snprintf(text, size, "%s/sa/%s", from[i].ns, from[i].sa);
			m[i] = (struct match){ MATCH_EXACT, text };
		}
	}
	if (c)
		strset_init(&c->texts, m, n, hash_text, slots, NULL);
}

static void make_blocks(struct space *sp, struct check *c, const struct cidr *from, int n)
{
	struct cidr *blocks = take(sp, n, sizeof(*blocks));

	if (!c)
		return;
	memcpy(blocks, from, (size_t)n * sizeof(*blocks));
	cidrset_init(&c->blocks, blocks, n);
}

static int port_cmp(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

static void make_ports(struct space *sp, struct check *c, const uint16_t *from, int n)
{
	uint16_t *ports = take(sp, n, sizeof(*ports));

	if (!c)
		return;
	memcpy(ports, from, (size_t)n * sizeof(*ports));
	qsort(ports, (size_t)n, sizeof(*ports), port_cmp);
	c->ports = (struct portset){ ports, n };
}

static int demand_size(const struct policy_match *m, enum check_kind kind, int negative)
{
	switch (kind) {
	case CHECK_PORT:      return m->n_dest_ports[negative];
	case CHECK_NS:        return m->n_namespaces[negative];
	case CHECK_PRINCIPAL: return m->n_principals[negative];
	case CHECK_ACCOUNT:   return m->n_service_accounts[negative];
	case CHECK_SOURCE:    return m->n_source_ips[negative];
	case CHECK_DEST:      return m->n_dest_ips[negative];
	}
	return 0;
}

static void make_check(struct space *sp, struct check *c, const struct policy_match *m, enum check_kind kind, int negative)
{
	int n = demand_size(m, kind, negative);

	if (c)
		*c = (struct check){ .kind = kind, .negative = negative };
	switch (kind) {
	case CHECK_PORT:
		make_ports(sp, c, m->dest_ports[negative], n);
		break;
	case CHECK_NS:
		make_texts(sp, c, m->namespaces[negative], n, hash_text);
		break;
	case CHECK_PRINCIPAL:
		make_texts(sp, c, m->principals[negative], n, hash_tail);
		break;
	case CHECK_ACCOUNT:
		make_accounts(sp, c, m->service_accounts[negative], n);
		break;
	case CHECK_SOURCE:
		make_blocks(sp, c, m->source_ips[negative], n);
		break;
	case CHECK_DEST:
		make_blocks(sp, c, m->dest_ips[negative], n);
		break;
	}
}

static void make_demand(struct space *sp, struct demand *d, const struct policy_match *m)
{
	struct check *checks;
	int n = 0;

	for (int kind = CHECK_PORT; kind <= CHECK_DEST; kind++)
		for (int negative = 0; negative < 2; negative++)
			n += demand_size(m, kind, negative) > 0;
	checks = take(sp, n, sizeof(*checks));
	if (d)
		*d = (struct demand){ checks, n };
	n = 0;
	for (int kind = CHECK_PORT; kind <= CHECK_DEST; kind++)
		for (int negative = 0; negative < 2; negative++)
			if (demand_size(m, kind, negative))
				make_check(sp, checks ? &checks[n++] : NULL, m, kind, negative);
}

static void make_rule(struct space *sp, struct rule *r, const struct policy_rule *from)
{
	struct clause *clauses = take(sp, from->n_clauses, sizeof(*clauses));

	if (r)
		*r = (struct rule){ clauses, from->n_clauses };
	for (int i = 0; i < from->n_clauses; i++) {
		const struct policy_clause *c = &from->clauses[i];
		struct demand *demands = take(sp, c->n_matches, sizeof(*demands));

		if (clauses)
			clauses[i] = (struct clause){ demands, c->n_matches };
		for (int j = 0; j < c->n_matches; j++)
			make_demand(sp, demands ? &demands[j] : NULL, &c->matches[j]);
	}
}

static struct rulebook *make(struct space *sp, const struct policy *p)
{
	struct rulebook *b = take(sp, 1, sizeof(*b));
	struct rule *rules = take(sp, p->n_rules, sizeof(*rules));

	if (b)
		*b = (struct rulebook){ .rules = rules, .n = p->n_rules };
	for (int i = 0; i < p->n_rules; i++)
		make_rule(sp, rules ? &rules[i] : NULL, &p->rules[i]);
	return b;
}

/* --- keys --- */
static uint8_t key_bit(enum check_kind kind, uint64_t hash)
{
	return (uint8_t)((hash + (uint64_t)kind) * 0x9e3779b97f4a7c15u >> 56);
}

static void key_set(struct rule_keys *k, uint8_t bit)
{
	k->bits[bit / 64] |= UINT64_C(1) << bit % 64;
}

static bool is_key(const struct check *c)
{
	if (c->negative || c->kind > CHECK_ACCOUNT)
		return false;
	return c->kind == CHECK_PORT || !c->texts.n_patterns;
}

static void check_keys(const struct check *c, struct rule_keys *k)
{
	if (c->kind == CHECK_PORT) {
		for (int i = 0; i < c->ports.n; i++)
			key_set(k, key_bit(CHECK_PORT, c->ports.ports[i]));
		return;
	}
	for (uint32_t i = 0; i <= c->texts.mask; i++)
		if (c->texts.slots[i].m)
			key_set(k, key_bit(c->kind, c->texts.slots[i].hash));
}

/* False: some match of the clause demands nothing that is a key. */
static bool clause_keys(const struct clause *c, struct rule_keys *k)
{
	for (int i = 0; i < c->n; i++) {
		const struct demand *d = &c->demands[i];
		int j = 0;

		while (j < d->n && !is_key(&d->checks[j]))
			j++;
		if (j < d->n)
			check_keys(&d->checks[j], k);
		else if (d->n)
			return false;
	}
	return c->n > 0;
}

/* One clause with keys is enough for a rule, since all clauses must match. */
static void make_keys(struct rulebook *b)
{
	for (int i = 0; i < b->n; i++) {
		const struct rule *r = &b->rules[i];
		struct rule_keys k = { { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } };

		for (int j = 0; j < r->n; j++) {
			struct rule_keys more = b->keys;

			if (clause_keys(&r->clauses[j], &more)) {
				k = more;
				break;
			}
		}
		b->keys = k;
	}
}

struct rulebook *rulebook_new(const struct policy *p)
{
	struct space sp = { 0 };
	struct rulebook *b;

	make(&sp, p);
	sp.block = calloc(1, sp.used);
	sp.used = 0;
	if (!sp.block)
		return NULL;
	b = make(&sp, p);
	make_keys(b);
	return b;
}

const struct rule_keys *rulebook_keys(const struct rulebook *b)
{
	return &b->keys;
}

void rulebook_free(void *b)
{
	free(b);
}

/* --- judging --- */
static bool ns_fits(const struct match *m, const void *arg)
{
	return match_fits(m, ((const struct subject *)arg)->ns);
}

static bool account_fits(const struct match *m, const void *arg)
{
	return match_fits(m, ((const struct subject *)arg)->account);
}

static bool is_mesh_domain(const struct mesh_settings *s, struct str td)
{
	for (int i = 0; i < s->n_aliases; i++)
		if (str_is(td, s->aliases[i]))
			return true;
	return str_is(td, s->trust_domain);
}

/* TD/ns/X/sa/Y, where TD stands for the mesh, fits whatever the mesh calls itself. Shorter forms stay as they are written:
 * Istio does not expand them. */
static bool alias_fits(const struct match *m, const struct subject *s)
{
	struct str tail, td = str_cut(str_c(m->text), '/', &tail);
	int slashes = 0;

	if (m->kind != MATCH_EXACT && m->kind != MATCH_PREFIX)
		return false;
	for (size_t i = 0; i < tail.n; i++)
		slashes += tail.p[i] == '/';
	if (slashes != 3 || !(str_is(td, "cluster.local") || is_mesh_domain(s->aliases, td)))
		return false;
	return m->kind == MATCH_EXACT ? str_eq(s->tail, tail) : str_starts(s->tail, tail);
}

static bool principal_fits(const struct match *m, const void *arg)
{
	const struct subject *s = arg;

	return match_fits(m, s->principal) || (s->aliases && alias_fits(m, s));
}

static bool ports_have(const struct portset *p, uint16_t port)
{
	return bsearch(&port, p->ports, (size_t)p->n, sizeof(port), port_cmp) != NULL;
}

static bool check_hits(const struct check *c, const struct subject *s)
{
	switch (c->kind) {
	case CHECK_PORT:
		return ports_have(&c->ports, s->in->dest.port);
	case CHECK_NS:
		return strset_has(&c->texts, s->ns_hash, ns_fits, s);
	case CHECK_PRINCIPAL:
		/* Without identity no principal matches, not even the empty prefix. */
		return s->principal.n && strset_has(&c->texts, s->tail_hash, principal_fits, s);
	case CHECK_ACCOUNT:
		return s->account.n && strset_has(&c->texts, s->account_hash, account_fits, s);
	case CHECK_SOURCE:
		return cidrset_has(&c->blocks, &s->in->source.ip);
	case CHECK_DEST:
		return cidrset_has(&c->blocks, &s->in->dest.ip);
	}
	return false;
}

static bool demand_met(const struct demand *d, const struct subject *s)
{
	for (int i = 0; i < d->n; i++)
		if (check_hits(&d->checks[i], s) == d->checks[i].negative)
			return false;
	return d->n > 0;
}

static bool clause_met(const struct clause *c, const struct subject *s)
{
	for (int i = 0; i < c->n; i++)
		if (demand_met(&c->demands[i], s))
			return true;
	return c->n == 0;
}

int rulebook_judge(const struct rulebook *b, const struct subject *s)
{
	for (int i = 0; i < b->n; i++) {
		const struct rule *r = &b->rules[i];
		int j = 0;

		while (j < r->n && clause_met(&r->clauses[j], s))
			j++;
		if (j == r->n)
			return i;
	}
	return -1;
}

/* TD/ns/X/sa/Y: five parts, none empty. */
static bool split_identity(struct str id, struct str part[5])
{
	for (int i = 0; i < 5; i++) {
		part[i] = str_cut(id, '/', &id);
		if (part[i].n == 0)
			return false;
	}
	return !id.p && str_is(part[1], "ns") && str_is(part[3], "sa");
}

void subject_init(struct subject *s, const struct authz_input *in, const struct mesh_settings *settings)
{
	struct str scheme = str_c("spiffe://"), id = in->principal, part[5];

	*s = (struct subject){ .in = in, .ns = str_c(""), .account = str_c("") };
	if (str_starts(id, scheme))
		id = (struct str){ id.p + scheme.n, id.n - scheme.n };
	s->principal = id.n ? id : str_c("");
	str_cut(id, '/', &s->tail);
	if (split_identity(id, part)) {
		s->ns = part[2];
		s->account = (struct str){ s->ns.p, (size_t)(id.p + id.n - s->ns.p) };
		if (settings->stance == STANCE_STRICT && is_mesh_domain(settings, part[0]))
			s->aliases = settings;
	}
	s->tail_hash = hash_text(s->tail);
	s->ns_hash = hash_text(s->ns);
	s->account_hash = hash_text(s->account);
	s->keys[0] = key_bit(CHECK_PORT, in->dest.port);
	s->keys[1] = key_bit(CHECK_NS, s->ns_hash);
	s->keys[2] = key_bit(CHECK_PRINCIPAL, s->tail_hash);
	s->keys[3] = key_bit(CHECK_ACCOUNT, s->account_hash);
}
