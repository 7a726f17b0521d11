/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/rulebook.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/cidrset.h"
#include "policy/claims.h"
#include "policy/ruleindex.h"
#include "policy/strset.h"

/* In the order in which they are tried: cheap ones first. */
enum check_kind {
	CHECK_PORT, CHECK_NS, CHECK_PRINCIPAL, CHECK_ACCOUNT, CHECK_METHOD, CHECK_PATH, CHECK_HOST, CHECK_SOURCE, CHECK_DEST,
	CHECK_DOMAIN, CHECK_SNI, CHECK_REMOTE, CHECK_HEADER, CHECK_CLAIM, CHECK_REQUEST_PRINCIPAL,
	CHECK_COUNT,
};

struct portset {
	const uint16_t *ports;       /* sorted */
	int n;
};

struct check {
	enum check_kind kind;
	bool negative;               /* none may match */
	const struct policy_demand *of;      /* METHOD to REQUEST_PRINCIPAL */
	union {
		struct portset ports;
		struct strset texts;
		struct cidrset blocks;
	};
};

struct demand { struct check *checks; int n; };          /* a match; no check: it never matches */
struct clause { struct demand *demands; int n; };
struct rule   { struct clause *clauses; int n; bool dead; };

struct rulebook {
	struct rule *rules;          /* all in the rulebook's block */
	int n;
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
		strset_init(&c->texts, m, n, subject_hash, slots, NULL);
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
	default:              return 0;
	}
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
		make_texts(sp, c, m->namespaces[negative], n, subject_hash);
		break;
	case CHECK_PRINCIPAL:
		make_texts(sp, c, m->principals[negative], n, subject_hash_tail);
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
	default:
		break;
	}
}

static enum check_kind check_of(enum policy_attr a)
{
	static const enum check_kind kinds[] = {
		[ATTR_DOMAIN] = CHECK_DOMAIN, [ATTR_SNI] = CHECK_SNI, [ATTR_REMOTE_IP] = CHECK_REMOTE, [ATTR_METHOD] = CHECK_METHOD,
		[ATTR_HOST] = CHECK_HOST, [ATTR_PATH] = CHECK_PATH, [ATTR_HEADER] = CHECK_HEADER, [ATTR_CLAIM] = CHECK_CLAIM,
		[ATTR_REQUEST_PRINCIPAL] = CHECK_REQUEST_PRINCIPAL,
	};

	return kinds[a];
}

static void make_more(struct space *sp, struct check *c, const struct policy_demand *d)
{
	if (c)
		*c = (struct check){ .kind = check_of(d->attr), .negative = d->negative, .of = d };
	if (d->attr == ATTR_REMOTE_IP)
		make_blocks(sp, c, d->blocks, d->n);
	else if (d->attr != ATTR_REQUEST_PRINCIPAL)
		make_texts(sp, c, d->texts, d->n, d->attr == ATTR_HOST ? subject_hash_nocase : subject_hash);
}

static bool is_left_out(const struct policy_demand *d, enum rule_view view)
{
	return view == VIEW_BYTES && ATTR_IS_HTTP(d->attr);
}

static int count_checks(const struct policy_match *m, enum rule_view view)
{
	int n = 0;

	for (int kind = 0; kind < CHECK_COUNT; kind++)
		for (int negative = 0; negative < 2; negative++)
			n += demand_size(m, kind, negative) > 0;
	for (int i = 0; i < m->n_more; i++)
		n += !is_left_out(&m->more[i], view);
	return n;
}

static void make_demand(struct space *sp, struct demand *d, const struct policy_match *m, enum rule_view view)
{
	int n = count_checks(m, view);
	struct check *checks = take(sp, n, sizeof(*checks));

	if (d)
		*d = (struct demand){ checks, n };
	n = 0;
	for (int kind = 0; kind < CHECK_COUNT; kind++) {
		for (int negative = 0; negative < 2; negative++)
			if (demand_size(m, kind, negative))
				make_check(sp, checks ? &checks[n++] : NULL, m, kind, negative);
		for (int i = 0; i < m->n_more; i++)
			if (!is_left_out(&m->more[i], view) && check_of(m->more[i].attr) == (enum check_kind)kind)
				make_more(sp, checks ? &checks[n++] : NULL, &m->more[i]);
	}
}

static bool has_http(const struct policy_rule *r)
{
	for (int i = 0; i < r->n_clauses; i++)
		for (int j = 0; j < r->clauses[i].n_matches; j++)
			for (int k = 0; k < r->clauses[i].matches[j].n_more; k++)
				if (ATTR_IS_HTTP(r->clauses[i].matches[j].more[k].attr))
					return true;
	return false;
}

/* Something was left out of a match that then has nothing left: it always matches, and so does its clause. */
static bool always_met(const struct policy_clause *c, enum rule_view view)
{
	for (int i = 0; view == VIEW_BYTES && i < c->n_matches; i++)
		if (c->matches[i].n_more && !count_checks(&c->matches[i], view))
			return true;
	return false;
}

static void make_rule(struct space *sp, struct rule *r, const struct policy_rule *from, enum policy_action action, enum rule_view view)
{
	bool dead = action == POLICY_ALLOW && view == VIEW_BYTES && has_http(from);
	int n_clauses = dead ? 0 : from->n_clauses;
	struct clause *clauses = take(sp, n_clauses, sizeof(*clauses));

	if (r)
		*r = (struct rule){ clauses, n_clauses, dead };
	for (int i = 0; i < n_clauses; i++) {
		const struct policy_clause *c = &from->clauses[i];
		int n = always_met(c, view) ? 0 : c->n_matches;
		struct demand *demands = take(sp, n, sizeof(*demands));

		if (clauses)
			clauses[i] = (struct clause){ demands, n };
		for (int j = 0; j < n; j++)
			make_demand(sp, demands ? &demands[j] : NULL, &c->matches[j], view);
	}
}

static struct rulebook *make(struct space *sp, const struct policy_rule *from, int n, enum policy_action action, enum rule_view view)
{
	struct rulebook *b = take(sp, 1, sizeof(*b));
	struct rule *rules = take(sp, n, sizeof(*rules));

	if (b)
		*b = (struct rulebook){ .rules = rules, .n = n };
	for (int i = 0; i < n; i++)
		make_rule(sp, rules ? &rules[i] : NULL, &from[i], action, view);
	return b;
}

struct rulebook *rulebook_new(const struct policy_rule *rules, int n, enum policy_action action, enum rule_view view)
{
	struct space sp = { 0 };

	make(&sp, rules, n, action, view);
	sp.block = calloc(1, sp.used);
	sp.used = 0;
	return sp.block ? make(&sp, rules, n, action, view) : NULL;
}

void rulebook_free(struct rulebook *b)
{
	free(b);
}

int rulebook_len(const struct rulebook *b)
{
	return b->n;
}

/* --- keys --- */

/* How much a check narrows: 0: it has no keys. Methods are too few to narrow. */
static int narrows(const struct check *c)
{
	if (c->negative)
		return 0;
	switch (c->kind) {
	case CHECK_PORT:
		return 1;
	case CHECK_NS:
		return c->texts.n_patterns ? 0 : 2;
	case CHECK_PRINCIPAL:
	case CHECK_ACCOUNT:
		return c->texts.n_patterns ? 0 : 3;
	case CHECK_HOST:
		return c->texts.n_patterns ? 0 : 4;
	case CHECK_PATH:
		for (int i = 0; i < c->texts.n_patterns; i++)
			if (c->texts.patterns[i]->kind != MATCH_PREFIX || !*c->texts.patterns[i]->text)
				return 0;
		return 5;
	default:
		return 0;
	}
}

static enum key_kind key_kind_of(enum check_kind kind)
{
	static const enum key_kind kinds[] = {
		[CHECK_PORT] = KEY_PORT, [CHECK_NS] = KEY_NS, [CHECK_PRINCIPAL] = KEY_PRINCIPAL, [CHECK_ACCOUNT] = KEY_ACCOUNT,
		[CHECK_PATH] = KEY_PATH, [CHECK_HOST] = KEY_HOST,
	};

	return kinds[kind];
}

static void put_keys(const struct check *c, void (*put)(uint64_t key, size_t prefix, void *arg), void *arg)
{
	if (c->kind == CHECK_PORT) {
		for (int i = 0; i < c->ports.n; i++)
			put(key_of(KEY_PORT, c->ports.ports[i]), 0, arg);
		return;
	}
	for (uint32_t i = 0; c->texts.slots && i <= c->texts.mask; i++)
		if (c->texts.slots[i].m)
			put(key_of(key_kind_of(c->kind), c->texts.slots[i].hash), 0, arg);
	for (int i = 0; i < c->texts.n_patterns; i++) {
		struct str text = str_c(c->texts.patterns[i]->text);

		put(key_of(KEY_PATH_PREFIX, subject_hash(text)), text.n, arg);
	}
}

static const struct check *narrowest(const struct demand *d, int *ret)
{
	const struct check *best = NULL;

	*ret = 0;
	for (int i = 0; i < d->n; i++)
		if (narrows(&d->checks[i]) > *ret) {
			best = &d->checks[i];
			*ret = narrows(best);
		}
	return best;
}

/* Of the match with the worst keys; 0: one has none. */
static int clause_narrows(const struct clause *c)
{
	int worst = 0, n;

	for (int i = 0; i < c->n; i++) {
		if (!narrowest(&c->demands[i], &n))
			return 0;
		worst = i == 0 || n < worst ? n : worst;
	}
	return worst;
}

bool rulebook_keys(const struct rulebook *b, int rule, void (*put)(uint64_t key, size_t prefix, void *arg), void *arg)
{
	const struct rule *r = &b->rules[rule];
	const struct clause *best = NULL;
	int most = 0, n;

	if (r->dead)
		return true;
	for (int i = 0; i < r->n; i++)
		if (clause_narrows(&r->clauses[i]) > most) {
			best = &r->clauses[i];
			most = clause_narrows(best);
		}
	for (int i = 0; best && i < best->n; i++)
		put_keys(narrowest(&best->demands[i], &n), put, arg);
	return best;
}

/* --- judging --- */

static bool ns_fits(const struct match *m, const void *arg)
{
	const struct subject *s = arg;

	return m->kind == MATCH_GLOB ? match_glob(m->text, s->principal) : match_fits(m, s->ns);
}

static bool account_fits(const struct match *m, const void *arg)
{
	return match_fits(m, ((const struct subject *)arg)->account);
}

/* "*local" fits some name of the mesh, and so stands for all. */
static bool any_domain_ends(const struct mesh_settings *m, struct str end)
{
	bool fits = str_ends(str_c(m->trust_domain), end);

	for (int i = 0; i < m->n_aliases; i++)
		fits = fits || str_ends(str_c(m->aliases[i]), end);
	return fits;
}

/* TD/ns/X/sa/Y, where TD stands for the mesh, fits whatever the mesh calls itself. Shorter forms stay as they are written:
 * Istio does not expand them. */
static bool alias_fits(const struct match *m, const struct subject *s)
{
	struct str tail, td = str_cut(str_c(m->text), '/', &tail);
	int slashes = 0;

	for (size_t i = 0; i < tail.n; i++)
		slashes += tail.p[i] == '/';
	if (slashes != 3)
		return false;
	if (m->kind == MATCH_SUFFIX) {
		/* Only the other names are put in its place; then a star at the end is one. */
		if (!td.n || str_ends(s->domain, td) || !any_domain_ends(s->settings, td))
			return false;
		return tail.p[tail.n - 1] == '*' ? str_starts(s->tail, (struct str){ tail.p, tail.n - 1 }) : str_eq(s->tail, tail);
	}
	if (m->kind > MATCH_PREFIX || !(str_is(td, "cluster.local") || subject_is_domain(s->settings, td)))
		return false;
	return m->kind == MATCH_EXACT ? str_eq(s->tail, tail) : str_starts(s->tail, tail);
}

static bool principal_fits(const struct match *m, const void *arg)
{
	const struct subject *s = arg;

	return match_fits(m, s->principal) || (s->aliases && alias_fits(m, s));
}

static bool domain_fits(const struct match *m, const void *arg)
{
	const struct subject *s = arg;

	return match_fits(m, s->domain) || (s->aliases && m->kind == MATCH_EXACT && subject_is_domain(s->settings, str_c(m->text)));
}

static bool sni_fits(const struct match *m, const void *arg)
{
	return match_fits(m, ((const struct subject *)arg)->in->sni);
}

static bool method_fits(const struct match *m, const void *arg)
{
	return match_fits(m, ((const struct subject *)arg)->in->request->method);
}

static bool host_fits(const struct match *m, const void *arg)
{
	return match_fits_nocase(m, ((const struct subject *)arg)->in->request->authority);
}

static bool path_fits(const struct match *m, const void *arg)
{
	return match_fits(m, ((const struct subject *)arg)->path);
}

static bool text_fits(const struct match *m, const void *arg)
{
	return match_fits(m, *(const struct str *)arg);
}

/* A line of a header: "*" is met by an empty one, too. */
static bool line_fits(const struct match *m, const void *arg)
{
	return m->kind == MATCH_PRESENCE || match_fits(m, *(const struct str *)arg);
}

static bool line_hits(const struct check *c, struct str line)
{
	return strset_has(&c->texts, subject_hash(line), line_fits, &line);
}

static bool header_hits(const struct check *c, const struct authz_request *r)
{
	struct str name = str_c(c->of->name[0]);

	if (name.n && name.p[0] == ':') {
		struct str value = str_is(name, ":method") ? r->method : str_is(name, ":path") ? r->path : r->authority;

		return (str_is(name, ":method") || str_is(name, ":path") || str_is(name, ":authority")) && line_hits(c, value);
	}
	if (str_is(name, "host"))
		return line_hits(c, r->authority);
	for (int i = 0; i < r->n_fields; i++)
		if (r->fields[i].name.n == name.n && str_eq_nocase(r->fields[i].name, name) && line_hits(c, r->fields[i].value))
			return true;
	return false;
}

static bool claim_hits(struct str text, void *arg)
{
	const struct check *c = arg;

	return strset_has(&c->texts, subject_hash(text), text_fits, &text);
}

static bool request_principal_hits(const struct check *c, const struct claims *claims)
{
	static const char *const iss = "iss", *const sub = "sub";
	struct str issuer = claims_text(claims, &iss, 1), subject = claims_text(claims, &sub, 1);

	if (!issuer.p || !subject.p)
		return false;
	for (int i = 0; i + 1 < c->of->n; i += 2)
		if (match_fits(&c->of->texts[i], issuer) && match_fits(&c->of->texts[i + 1], subject))
			return true;
	return false;
}

static bool request_hits(const struct check *c, const struct subject *s)
{
	const struct authz_request *r = s->in->request;

	switch (c->kind) {
	case CHECK_METHOD:
		return strset_has(&c->texts, subject_hash(r->method), method_fits, s);
	case CHECK_PATH:
		return strset_has(&c->texts, s->path_hash, path_fits, s);
	case CHECK_HOST:
		return strset_has(&c->texts, s->host_hash, host_fits, s);
	case CHECK_HEADER:
		return header_hits(c, r);
	case CHECK_CLAIM:
		return r->claims && claims_any(r->claims, c->of->name, c->of->n_name, claim_hits, (void *)c);
	case CHECK_REQUEST_PRINCIPAL:
		return r->claims && request_principal_hits(c, r->claims);
	default:
		return false;
	}
}

static bool check_hits(const struct check *c, struct subject *s)
{
	switch (c->kind) {
	case CHECK_PORT:
		return bsearch(&s->in->dest.port, c->ports.ports, (size_t)c->ports.n, sizeof(uint16_t), port_cmp) != NULL;
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
	case CHECK_REMOTE:
		return cidrset_has(&c->blocks, subject_remote(s));
	case CHECK_DOMAIN:
		/* The patterns are few; an exact one may be met by an alias. */
		for (int i = 0; s->domain.n && i < c->of->n; i++)
			if (domain_fits(&c->of->texts[i], s))
				return true;
		return false;
	case CHECK_SNI:
		return strset_has(&c->texts, subject_hash(s->in->sni), sni_fits, s);
	default:
		return s->in->request && request_hits(c, s);
	}
}

static bool demand_met(const struct demand *d, struct subject *s)
{
	for (int i = 0; i < d->n; i++)
		if (check_hits(&d->checks[i], s) == d->checks[i].negative)
			return false;
	return d->n > 0;
}

static bool clause_met(const struct clause *c, struct subject *s)
{
	for (int i = 0; i < c->n; i++)
		if (demand_met(&c->demands[i], s))
			return true;
	return c->n == 0;
}

bool rulebook_rule_met(const struct rulebook *b, int rule, struct subject *s)
{
	const struct rule *r = &b->rules[rule];
	int i = 0;

	while (i < r->n && clause_met(&r->clauses[i], s))
		i++;
	return i == r->n && !r->dead;
}

int rulebook_judge(const struct rulebook *b, struct subject *s)
{
	for (int i = 0; i < b->n; i++)
		if (rulebook_rule_met(b, i, s))
			return i;
	return -1;
}
