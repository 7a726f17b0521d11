/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of a local configuration. They bear on security: an unknown field is an error. */
#include <stdio.h>

#include "source/local_int.h"

struct lx_account { const char *ns, *sa; };

struct lx_policy {
	const char *name, *ns;
	int scope, action;
	bool dry_run;
};

struct lx_match {
	struct field_list accounts[2];
	struct field_strings source_ips[2], dest_ips[2];
};

#define ROW(field, kind, of, member, ...) { .name = field, .type = FIELD_##kind, .offset = offsetof(struct of, member), __VA_ARGS__ }
#define PASS(field) { .name = field, .type = FIELD_ANY, .mark = FIELD_IGNORED }

static const char *const scopes[] = { "Global", "Namespace", "WorkloadSelector", NULL };
static const char *const actions[] = { "Allow", "Deny", NULL };

static const struct field account_rows[] = {
	ROW("namespace", STRING, lx_account, ns), ROW("serviceAccount", STRING, lx_account, sa), { 0 },
};
static const struct field_table account_table = { .name = "account", .size = sizeof(struct lx_account), .fields = account_rows };

static const struct field match_rows[] = {
	ROW("serviceAccounts", MESSAGES, lx_match, accounts[0], .sub = &account_table),
	ROW("notServiceAccounts", MESSAGES, lx_match, accounts[1], .sub = &account_table),
	ROW("sourceIps", STRINGS, lx_match, source_ips[0]),
	ROW("notSourceIps", STRINGS, lx_match, source_ips[1]),
	ROW("destinationIps", STRINGS, lx_match, dest_ips[0]),
	ROW("notDestinationIps", STRINGS, lx_match, dest_ips[1]),
	PASS("namespaces"), PASS("notNamespaces"), PASS("principals"), PASS("notPrincipals"),      /* texts */
	PASS("destinationPorts"), PASS("notDestinationPorts"), { 0 },                              /* ports */
};
static const struct field_table match_table = { .name = "match", .size = sizeof(struct lx_match), .fields = match_rows };

static const struct field policy_rows[] = {
	ROW("name", STRING, lx_policy, name),
	ROW("namespace", STRING, lx_policy, ns),
	ROW("scope", ENUM, lx_policy, scope, .words = scopes),
	ROW("action", ENUM, lx_policy, action, .words = actions),
	ROW("dryRun", BOOL, lx_policy, dry_run),
	PASS("rules"), { 0 },      /* rules */
};
static const struct field_table policy_table = { .name = "policy", .size = sizeof(struct lx_policy), .fields = policy_rows };

static void *take(struct field_walk *w, int n, size_t size)
{
	return arena_alloc(w->arena, (size_t)n * size + 1);
}

/* --- values --- */

/* !Exact a, or {Exact: a}; !Presence [], or {Presence: []}. */
static bool text(struct field_walk *w, const struct yaml_node *n, struct match *ret)
{
	static const char *const kinds[] = { "Exact", "Prefix", "Suffix", "Presence" };     /* enum match_kind */
	bool map = !*n->tag && n->kind == YAML_MAP && n->n == 1;
	const struct yaml_node *value = map ? n->child : n;
	struct str kind = map ? n->child->key : str_c(n->tag);

	for (int i = 0; i < (int)ARRAY_LEN(kinds); i++) {
		if (!str_is(kind, kinds[i]) || (i < MATCH_PRESENCE && (value->kind != YAML_SCALAR || memchr(value->text.p, '\0', value->text.n))))
			continue;
		*ret = (struct match){ (enum match_kind)i, i == MATCH_PRESENCE ? "" : value->text.p };
		return true;
	}
	field_error(w, n->line, NULL, "want !Exact TEXT, !Prefix TEXT, !Suffix TEXT or !Presence []");
	return false;
}

static void texts(struct field_walk *w, const struct yaml_node *m, const char *field, const struct match **ret, int *ret_n)
{
	const struct yaml_node *list = yaml_get(m, field);
	size_t out = w->path_len, len;
	struct match *to;
	int n, i = 0;

	field_enter(w, field, 0);
	len = w->path_len;
	if (local_list(w, list, &n)) {
		to = take(w, n, sizeof(*to));
		for (const struct yaml_node *c = n ? list->child : NULL; c; c = c->next, i++) {
			field_enter(w, NULL, i);
			text(w, c, &to[i]);
			field_leave(w, len);
		}
		*ret = to;
		*ret_n = n;
	}
	field_leave(w, out);
}

static void ports(struct field_walk *w, const struct yaml_node *m, const char *field, const uint16_t **ret, int *ret_n)
{
	static const struct field port_field = { .name = "", .type = FIELD_PORT };
	const struct yaml_node *list = yaml_get(m, field);
	size_t out = w->path_len;
	uint16_t *to;
	int n, i = 0;

	field_enter(w, field, 0);
	if (local_list(w, list, &n)) {
		to = take(w, n, sizeof(*to));
		for (const struct yaml_node *c = n ? list->child : NULL; c; c = c->next, i++)
			field_read_one(w, &port_field, c, &to[i]);
		*ret = to;
		*ret_n = n;
	}
	field_leave(w, out);
}

static void blocks(struct field_walk *w, const char *field, const struct field_strings *from, const struct cidr **ret, int *ret_n)
{
	struct cidr *to = take(w, from->n, sizeof(*to));

	for (int i = 0; i < from->n; i++)
		if (cidr_parse(str_c(from->v[i]), &to[i]) < 0)
			field_error(w, 0, field, "want an IP address or CIDR block, got '%.80s'", from->v[i]);
	*ret = to;
	*ret_n = from->n;
}

/* --- rules: a list of rules, each a list of clauses, each a list of matches --- */

static bool read_match(struct field_walk *w, const struct yaml_node *n, struct policy_match *to)
{
	static const char *const names[][2] = {
		{ "namespaces", "notNamespaces" }, { "principals", "notPrincipals" }, { "sourceIps", "notSourceIps" },
		{ "destinationIps", "notDestinationIps" }, { "destinationPorts", "notDestinationPorts" },
	};
	struct lx_match x = { 0 };

	if (!field_read(w, &match_table, n, &x))
		return false;
	for (int i = 0; i < 2; i++) {
		const struct lx_account *from = x.accounts[i].v;
		struct ns_sa *accounts = take(w, x.accounts[i].n, sizeof(*accounts));

		for (int k = 0; k < x.accounts[i].n; k++)
			accounts[k] = (struct ns_sa){ from[k].ns, from[k].sa };
		to->service_accounts[i] = accounts;
		to->n_service_accounts[i] = x.accounts[i].n;
		texts(w, n, names[0][i], &to->namespaces[i], &to->n_namespaces[i]);
		texts(w, n, names[1][i], &to->principals[i], &to->n_principals[i]);
		blocks(w, names[2][i], &x.source_ips[i], &to->source_ips[i], &to->n_source_ips[i]);
		blocks(w, names[3][i], &x.dest_ips[i], &to->dest_ips[i], &to->n_dest_ips[i]);
		ports(w, n, names[4][i], &to->dest_ports[i], &to->n_dest_ports[i]);
	}
	return true;
}

static void read_clause(struct field_walk *w, const struct yaml_node *list, struct policy_clause *to)
{
	size_t len = w->path_len;
	struct policy_match *m;
	int i = 0, n;

	if (!local_list(w, list, &n))
		return;
	m = take(w, n, sizeof(*m));
	for (const struct yaml_node *c = n ? list->child : NULL; c; c = c->next, i++) {
		field_enter(w, NULL, i);
		read_match(w, c, &m[i]);
		field_leave(w, len);
	}
	*to = (struct policy_clause){ m, n };
}

static void read_rule(struct field_walk *w, const struct yaml_node *list, struct policy_rule *to)
{
	size_t len = w->path_len;
	struct policy_clause *v;
	int i = 0, n;

	if (!local_list(w, list, &n))
		return;
	v = take(w, n, sizeof(*v));
	for (const struct yaml_node *c = n ? list->child : NULL; c; c = c->next, i++) {
		field_enter(w, NULL, i);
		read_clause(w, c, &v[i]);
		field_leave(w, len);
	}
	*to = (struct policy_rule){ .clauses = v, .n_clauses = n };
}

static void read_rules(struct field_walk *w, const struct yaml_node *list, struct policy *to)
{
	size_t out = w->path_len, len;
	struct policy_rule *v;
	int i = 0, n;

	field_enter(w, "rules", 0);
	len = w->path_len;
	if (local_list(w, list, &n)) {
		v = take(w, n, sizeof(*v));
		for (const struct yaml_node *c = n ? list->child : NULL; c; c = c->next, i++) {
			field_enter(w, NULL, i);
			read_rule(w, c, &v[i]);
			field_leave(w, len);
		}
		to->rules = v;
		to->n_rules = n;
	}
	field_leave(w, out);
}

static void need(struct field_walk *w, const struct yaml_node *n, const char *field)
{
	if (n->kind == YAML_MAP && !yaml_get(n, field))
		field_error(w, n->line, field, "is missing");
}

static void read_policy(struct field_walk *w, const struct yaml_node *n, struct local_policy *to)
{
	static const char *const needed[] = { "name", "namespace", "scope", "action", "dryRun", "rules" };
	struct lx_policy x = { 0 };
	size_t len;
	char *key;

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		need(w, n, needed[i]);
	if (!field_read(w, &policy_table, n, &x))
		return;
	len = strlen(x.ns) + strlen(x.name) + 2;
	key = take(w, (int)len, 1);
	snprintf(key, len, "%s/%s", x.ns, x.name);
	to->t = (struct policy){ .key = key, .ns = x.ns, .name = x.name, .scope = (enum policy_scope)x.scope,
		.by_name = x.scope == POLICY_SELECTOR, .action = (enum policy_action)x.action, .dry_run = x.dry_run };
	to->hash = yaml_hash(n);
	read_rules(w, yaml_get(n, "rules"), &to->t);
}

bool local_read_policies(struct field_walk *w, const struct yaml_node *list, struct local_conf *ret)
{
	int i = 0;

	w->security = true;
	if (!local_list(w, list, &ret->n_policies))
		return false;
	ret->policies = take(w, ret->n_policies, sizeof(*ret->policies));
	for (const struct yaml_node *c = ret->n_policies ? list->child : NULL; c; c = c->next, i++) {
		field_enter(w, "policies", 0);
		field_enter(w, NULL, i);
		read_policy(w, c, &ret->policies[i]);
		field_leave(w, 0);
	}
	w->security = false;
	return w->errors == 0;
}
