/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/epoch.h"
#include "policy/authz.h"
#include "tests/unit/suite.h"

#define LIST(field, not, type, ...) \
	.field[not] = (const type[]){ __VA_ARGS__ }, .n_##field[not] = sizeof((const type[]){ __VA_ARGS__ }) / sizeof(type)
#define NS(not, ...)        LIST(namespaces, not, struct match, __VA_ARGS__)
#define PRINCIPAL(not, ...) LIST(principals, not, struct match, __VA_ARGS__)
#define ACCOUNT(not, ...)   LIST(service_accounts, not, struct ns_sa, __VA_ARGS__)
#define SOURCE(not, ...)    LIST(source_ips, not, struct cidr, __VA_ARGS__)
#define DEST(not, ...)      LIST(dest_ips, not, struct cidr, __VA_ARGS__)
#define PORT(not, ...)      LIST(dest_ports, not, uint16_t, __VA_ARGS__)
#define V4(a, b, c, d, n)   { { { [10] = 255, 255, a, b, c, d } }, 96 + n }
#define EXACT(t)   { MATCH_EXACT, t }
#define PREFIX(t)  { MATCH_PREFIX, t }
#define SUFFIX(t)  { MATCH_SUFFIX, t }
#define PRESENCE   { MATCH_PRESENCE, "" }

#define FRONT "cluster.local/ns/web/sa/front"

static struct mesh_settings settings = { .trust_domain = "cluster.local", .root_ns = "istio-system" };
static struct mesh_edit *edit;

static void begin(void)
{
	edit = mesh_edit_begin();
	mesh_edit_settings(edit, &settings);
}

static void put(struct policy p)
{
	char key[100];
	struct policy *y;

	snprintf(key, sizeof(key), "%s/%s", p.ns, p.name);
	p.key = key;
	p.where = p.where ? p.where : "p.yaml:7";
	y = policy_new(&p);
	ck_assert_int_eq(authz_compile(y), 0);
	mesh_put_policy(edit, y);
}

static const struct label app_cart[] = { { "app", "cart" }, { "tier", "back" } };

/* The workload that connections go to: shop/cart, and what is bound to it. */
static struct workload *target(const char *ns, const char *const *bound, int n)
{
	struct workload *w = workload_new(&(struct workload){ .uid = "target", .ns = ns, .name = "cart", .labels = app_cart,
							      .n_labels = 2, .policies = bound, .n_policies = n });

	mesh_put_workload(edit, w);
	return w;
}

static struct authz_input input(const char *principal, const char *source, const char *dest)
{
	struct authz_input in = { .principal = str_c(principal) };

	ck_assert_int_eq(ip_parse(str_c(source), &in.source.ip), 0);
	ck_assert_int_eq(addr_parse(str_c(dest), &in.dest), 0);
	return in;
}

static struct authz_verdict judge(const char *principal)
{
	struct authz_input in = input(principal, "10.0.0.1", "10.7.0.5:8080");

	return authz_judge(mesh_current(), mesh_workload(mesh_current(), str_c("target")), &in, NULL, NULL);
}

/* --- one match against one connection --- */
static const struct {
	struct policy_match m;
	const char *principal, *source, *dest;   /* NULL: FRONT from 10.0.0.1 to 10.7.0.5:8080 */
	bool want;
} matches[] = {
	{ { .n_namespaces = { 0 } }, NULL, NULL, NULL, false },                       /* nothing set: never */
	{ { NS(0, EXACT("web")) }, NULL, NULL, NULL, true },
	{ { NS(0, EXACT("web")) }, "spiffe://" FRONT, NULL, NULL, true },
	{ { NS(0, EXACT("we")) }, NULL, NULL, NULL, false },
	{ { NS(0, EXACT("a"), EXACT("b"), EXACT("web"), EXACT("c"), EXACT("d")) }, NULL, NULL, NULL, true },
	{ { NS(0, EXACT("a"), EXACT("b"), EXACT("x"), EXACT("c"), EXACT("d")) }, NULL, NULL, NULL, false },
	{ { NS(0, PREFIX("we")) }, NULL, NULL, NULL, true },
	{ { NS(0, PREFIX("eb")) }, NULL, NULL, NULL, false },
	{ { NS(0, SUFFIX("eb")) }, NULL, NULL, NULL, true },
	{ { NS(0, SUFFIX("we")) }, NULL, NULL, NULL, false },
	{ { NS(0, PRESENCE) }, NULL, NULL, NULL, true },
	{ { NS(0, EXACT("x"), PREFIX("w")) }, NULL, NULL, NULL, true },
	{ { NS(1, EXACT("web")) }, NULL, NULL, NULL, false },
	{ { NS(1, EXACT("x"), EXACT("y")) }, NULL, NULL, NULL, true },
	{ { NS(0, PREFIX("w")), NS(1, EXACT("web")) }, NULL, NULL, NULL, false },
	/* no identity: the namespace is "" */
	{ { NS(0, PRESENCE) }, "", NULL, NULL, false },
	{ { NS(1, PRESENCE) }, "", NULL, NULL, true },
	{ { NS(1, EXACT("web")) }, "", NULL, NULL, true },
	{ { NS(0, PREFIX("")) }, "", NULL, NULL, true },
	{ { NS(0, EXACT("")) }, "", NULL, NULL, true },
	/* a SPIFFE ID of another form has no namespace */
	{ { NS(0, PRESENCE) }, "spiffe://cluster.local/other", NULL, NULL, false },
	{ { NS(0, PRESENCE) }, "spiffe://cluster.local/ns/web/sa/front/x", NULL, NULL, false },
	{ { PRINCIPAL(0, PRESENCE) }, "spiffe://cluster.local/other", NULL, NULL, true },
	{ { PRINCIPAL(0, EXACT(FRONT)) }, NULL, NULL, NULL, true },
	{ { PRINCIPAL(0, EXACT(FRONT)) }, "spiffe://" FRONT, NULL, NULL, true },
	{ { PRINCIPAL(0, EXACT("spiffe://" FRONT)) }, NULL, NULL, NULL, false },      /* compared as written, without scheme */
	{ { PRINCIPAL(0, EXACT("other.test/ns/web/sa/front")) }, NULL, NULL, NULL, false },
	{ { PRINCIPAL(0, EXACT("a/ns/x/sa/y"), EXACT(FRONT), EXACT("b/ns/x/sa/y")) }, NULL, NULL, NULL, true },
	{ { PRINCIPAL(0, PREFIX("cluster.local/ns/web/")) }, NULL, NULL, NULL, true },
	{ { PRINCIPAL(0, PREFIX("ns/web/")) }, NULL, NULL, NULL, false },
	{ { PRINCIPAL(0, SUFFIX("/sa/front")) }, NULL, NULL, NULL, true },
	{ { PRINCIPAL(0, PRESENCE) }, NULL, NULL, NULL, true },
	{ { PRINCIPAL(1, EXACT(FRONT)) }, NULL, NULL, NULL, false },
	{ { PRINCIPAL(1, PRESENCE) }, NULL, NULL, NULL, false },
	{ { PRINCIPAL(0, PRESENCE) }, "", NULL, NULL, false },
	{ { PRINCIPAL(0, PREFIX("")) }, "", NULL, NULL, false },                      /* no identity: no principal matches */
	{ { PRINCIPAL(0, SUFFIX("")) }, "", NULL, NULL, false },
	{ { PRINCIPAL(0, EXACT("")) }, "", NULL, NULL, false },
	{ { PRINCIPAL(1, PRESENCE) }, "", NULL, NULL, true },                         /* STRICT's own form */
	{ { PRINCIPAL(1, PREFIX("")) }, "", NULL, NULL, true },
	{ { ACCOUNT(0, { "web", "front" }) }, NULL, NULL, NULL, true },
	{ { ACCOUNT(0, { "web", "front" }) }, "other.test/ns/web/sa/front", NULL, NULL, true },   /* whatever trust domain */
	{ { ACCOUNT(0, { "web", "x" }, { "x", "front" }) }, NULL, NULL, NULL, false },
	{ { ACCOUNT(0, { "a", "b" }, { "c", "d" }, { "web", "front" }) }, NULL, NULL, NULL, true },
	{ { ACCOUNT(1, { "web", "front" }) }, NULL, NULL, NULL, false },
	{ { ACCOUNT(1, { "web", "front" }) }, "", NULL, NULL, true },
	{ { ACCOUNT(0, { "", "" }) }, "", NULL, NULL, false },
	{ { SOURCE(0, V4(10, 0, 0, 0, 8)) }, NULL, NULL, NULL, true },
	{ { SOURCE(0, V4(10, 0, 0, 0, 8)) }, NULL, "11.0.0.1", NULL, false },
	{ { SOURCE(0, V4(10, 0, 0, 0, 8)), SOURCE(1, V4(10, 0, 0, 0, 24)) }, NULL, NULL, NULL, false },
	{ { SOURCE(0, V4(10, 0, 0, 0, 8)), SOURCE(1, V4(10, 0, 0, 0, 24)) }, NULL, "10.0.1.1", NULL, true },
	{ { SOURCE(1, V4(10, 0, 0, 0, 8)) }, NULL, "fd00::1", NULL, true },
	{ { SOURCE(0, { { { 0 } }, 0 }) }, NULL, "10.0.0.1", NULL, false },           /* ::/0 holds no IPv4 address */
	{ { SOURCE(0, { { { 0 } }, 0 }) }, NULL, "fd00::1", NULL, true },
	{ { DEST(0, V4(10, 7, 0, 5, 32)) }, NULL, NULL, NULL, true },
	{ { DEST(0, V4(10, 7, 0, 6, 32)) }, NULL, NULL, NULL, false },
	{ { DEST(1, V4(10, 7, 0, 5, 32)) }, NULL, NULL, NULL, false },
	{ { PORT(0, 8080) }, NULL, NULL, NULL, true },
	{ { PORT(0, 9, 80, 8081) }, NULL, NULL, NULL, false },
	{ { PORT(0, 9999, 8080, 1) }, NULL, NULL, NULL, true },
	{ { PORT(1, 8080) }, NULL, NULL, NULL, false },
	{ { PORT(1, 80) }, NULL, NULL, NULL, true },
	/* all kinds must agree */
	{ { NS(0, EXACT("web")), PORT(0, 8080), SOURCE(0, V4(10, 0, 0, 1, 32)) }, NULL, NULL, NULL, true },
	{ { NS(0, EXACT("web")), PORT(0, 8080), SOURCE(0, V4(10, 0, 0, 2, 32)) }, NULL, NULL, NULL, false },
	{ { NS(0, EXACT("web")), PORT(0, 80) }, NULL, NULL, NULL, false },
	{ { NS(0, EXACT("x")), PORT(0, 8080) }, NULL, NULL, NULL, false },
};

START_TEST(one_match)
{
	const char *p = matches[_i].principal ? matches[_i].principal : FRONT;
	struct authz_input in = input(p, matches[_i].source ? matches[_i].source : "10.0.0.1",
				      matches[_i].dest ? matches[_i].dest : "10.7.0.5:8080");
	struct policy_clause clause = { &matches[_i].m, 1 };
	struct policy_rule rule = { .clauses = &clause, .n_clauses = 1 };
	struct authz_verdict v;
	struct workload *w;

	begin();
	w = target("shop", NULL, 0);
	put((struct policy){ .ns = "shop", .name = "p", .scope = POLICY_NAMESPACE, .action = POLICY_DENY, .rules = &rule, .n_rules = 1 });
	mesh_edit_publish(edit);
	v = authz_judge(mesh_current(), w, &in, NULL, NULL);
	ck_assert_int_eq(!v.allowed, matches[_i].want);
	ck_assert_int_eq(v.rule_index, matches[_i].want ? 0 : -1);
}
END_TEST

/* --- rules, clauses, matches --- */
static const struct policy_match yes = { NS(0, EXACT("web")) }, no = { NS(0, EXACT("x")) }, unset;

START_TEST(nesting)
{
	const struct policy_match no_yes[] = { no, yes }, no_unset[] = { no, unset };
	const struct policy_clause none = { NULL, 0 }, y = { &yes, 1 }, n = { &no, 1 }, either = { no_yes, 2 }, never = { no_unset, 2 };
	const struct {
		struct policy_clause clauses[2][2];
		int n_clauses[2], n_rules, want;     /* the rule that matches, or -1 */
	} rows[] = {
		{ .n_rules = 0, .want = -1 },                              /* no rules never match */
		{ .n_rules = 1, .want = 0 },                               /* a rule without clauses matches all */
		{ { { none } }, { 1 }, 1, 0 },                             /* a clause without matches matches */
		{ { { y } }, { 1 }, 1, 0 },
		{ { { n } }, { 1 }, 1, -1 },
		{ { { y, n } }, { 2 }, 1, -1 },                            /* clauses AND */
		{ { { y, none } }, { 2 }, 1, 0 },
		{ { { either } }, { 1 }, 1, 0 },                           /* matches OR */
		{ { { never } }, { 1 }, 1, -1 },
		{ { { n }, { y } }, { 1, 1 }, 2, 1 },                      /* rules OR */
		{ { { y, n }, { n, y } }, { 2, 2 }, 2, -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy_rule rules[2] = { { rows[i].clauses[0], rows[i].n_clauses[0], false }, { rows[i].clauses[1], rows[i].n_clauses[1], false } };
		struct authz_verdict v;

		for (int action = POLICY_ALLOW; action <= POLICY_DENY; action++) {
			begin();
			target("shop", NULL, 0);
			put((struct policy){ .ns = "shop", .name = "p", .scope = POLICY_NAMESPACE, .action = action, .rules = rules,
					     .n_rules = rows[i].n_rules });
			mesh_edit_publish(edit);
			v = judge(FRONT);
			ck_assert_msg(v.allowed == ((rows[i].want >= 0) == (action == POLICY_ALLOW)), "row %zu", i);
			ck_assert_int_eq(v.rule_index, rows[i].want);
		}
	}
}
END_TEST

/* --- the order of actions --- */
static const struct policy_clause yes_clause = { &yes, 1 }, no_clause = { &no, 1 };
static const struct policy_rule yes_rule = { .clauses = &yes_clause, .n_clauses = 1 }, no_rule = { .clauses = &no_clause, .n_clauses = 1 };
#define HIT  .rules = &yes_rule, .n_rules = 1
#define MISS .rules = &no_rule, .n_rules = 1
#define SHOP .ns = "shop", .scope = POLICY_NAMESPACE

static const struct {
	struct policy p[4];
	bool allowed;
	const char *decided, *rule;
	int dry_runs;
} orders[] = {
	{ { { 0 } }, true, "", "no allow policy in scope", 0 },
	{ { { SHOP, .name = "d", .action = POLICY_DENY, HIT } }, false, "shop/d", "deny policy matched", 0 },
	{ { { SHOP, .name = "d", .action = POLICY_DENY, MISS } }, true, "", "no allow policy in scope", 0 },
	{ { { SHOP, .name = "a", HIT } }, true, "shop/a", "allow policy matched", 0 },
	{ { { SHOP, .name = "a", MISS } }, false, "", "no allow policy matched", 0 },
	{ { { SHOP, .name = "a", .n_rules = 0 } }, false, "", "no allow policy matched", 0 },
	{ { { SHOP, .name = "a", MISS }, { SHOP, .name = "b", HIT } }, true, "shop/b", "allow policy matched", 0 },
	{ { { SHOP, .name = "a", HIT }, { SHOP, .name = "d", .action = POLICY_DENY, HIT } }, false, "shop/d", "deny policy matched", 0 },
	{ { { SHOP, .name = "a", HIT }, { SHOP, .name = "d", .action = POLICY_DENY, MISS } }, true, "shop/a", "allow policy matched", 0 },
	{ { { SHOP, .name = "d2", .action = POLICY_DENY, HIT }, { SHOP, .name = "d1", .action = POLICY_DENY, HIT } },
	  false, "shop/d1", "deny policy matched", 0 },
	/* dry run decides nothing, and does not count as an ALLOW in scope */
	{ { { SHOP, .name = "d", .action = POLICY_DENY, .dry_run = true, HIT } }, true, "", "no allow policy in scope", 1 },
	{ { { SHOP, .name = "a", .dry_run = true, MISS } }, true, "", "no allow policy in scope", 0 },
	{ { { SHOP, .name = "a", .dry_run = true, HIT }, { SHOP, .name = "b", MISS } }, false, "", "no allow policy matched", 1 },
	{ { { SHOP, .name = "a", .dry_run = true, HIT }, { SHOP, .name = "d", .dry_run = true, .action = POLICY_DENY, HIT } },
	  true, "", "no allow policy in scope", 2 },
	/* broken refuses everything, before all others; not so a broken dry run */
	{ { { SHOP, .name = "a", HIT }, { SHOP, .name = "z", .broken = true, .problem = "bad" } },
	  false, "shop/z", "the policy could not be loaded", 0 },
	{ { { SHOP, .name = "z", .broken = true, .dry_run = true } }, true, "", "no allow policy in scope", 0 },
	{ { { .ns = "other", .name = "z", .scope = POLICY_NAMESPACE, .broken = true } }, true, "", "no allow policy in scope", 0 },
	{ { { .ns = "istio-system", .name = "z", .scope = POLICY_GLOBAL, .broken = true } }, false, "istio-system/z",
	  "the policy could not be loaded", 0 },
};

static void count_dry_run(const struct authz_quiet *q, const struct authz_input *in, void *arg)
{
	ck_assert(!q->policy || q->policy->dry_run);
	*(int *)arg += q->policy != NULL;
}

START_TEST(order_of_actions)
{
	struct authz_input in = input(FRONT, "10.0.0.1", "10.7.0.5:8080");
	struct authz_verdict v;
	struct workload *w;
	int dry_runs = 0;

	begin();
	w = target("shop", NULL, 0);
	for (int i = 0; i < 4 && orders[_i].p[i].name; i++)
		put(orders[_i].p[i]);
	mesh_edit_publish(edit);
	v = authz_judge(mesh_current(), w, &in, count_dry_run, &dry_runs);
	ck_assert_int_eq(v.allowed, orders[_i].allowed);
	ck_assert_str_eq(v.policy ? v.policy->key : "", orders[_i].decided);
	ck_assert_str_eq(v.rule, orders[_i].rule);
	ck_assert_int_eq(dry_runs, orders[_i].dry_runs);
}
END_TEST

START_TEST(not_compiled_is_broken)
{
	begin();
	target("shop", NULL, 0);
	mesh_put_policy(edit, policy_new(&(struct policy){ SHOP, .name = "p", .key = "shop/p", HIT }));
	mesh_edit_publish(edit);
	ck_assert(!judge(FRONT).allowed);
}
END_TEST

/* --- which policies reach the workload (a DENY that would match; does it?) --- */
static const struct {
	enum policy_scope scope;
	const char *ns, *workload_ns;
	struct label selector[2];
	int n_selector;
	bool bound, want, by_name;
} scopes[] = {
	{ POLICY_GLOBAL, "istio-system", "shop", .want = true },
	{ POLICY_GLOBAL, "web", "shop", .want = true },                    /* which may be so is the source's to say */
	{ POLICY_NAMESPACE, "istio-system", "shop", .want = false },
	{ POLICY_NAMESPACE, "istio-system", "istio-system", .want = true },
	{ POLICY_NAMESPACE, "shop", "shop", .want = true },
	{ POLICY_NAMESPACE, "web", "shop", .want = false },
	{ POLICY_SELECTOR, "shop", "shop", { { "app", "cart" } }, 1, .want = true },
	{ POLICY_SELECTOR, "shop", "shop", { { "app", "cart" }, { "tier", "back" } }, 2, .want = true },
	{ POLICY_SELECTOR, "shop", "shop", { { "app", "cart" }, { "tier", "front" } }, 2, .want = false },
	{ POLICY_SELECTOR, "shop", "shop", .want = true },                 /* an empty selector selects all */
	{ POLICY_SELECTOR, "istio-system", "shop", { { "app", "cart" } }, 1, .want = true },
	{ POLICY_SELECTOR, "istio-system", "shop", { { "app", "x" } }, 1, .want = false },
	{ POLICY_SELECTOR, "web", "shop", { { "app", "cart" } }, 1, .want = false },
	{ POLICY_SELECTOR, "web", "shop", { { "app", "x" } }, 1, .bound = true, .want = true },
	{ POLICY_SELECTOR, "shop", "shop", { { "app", "cart" } }, 1, .bound = true, .want = true },
	{ POLICY_GLOBAL, "istio-system", "shop", .bound = true, .want = true },
	{ POLICY_SELECTOR, "shop", "shop", .by_name = true, .want = false },
	{ POLICY_SELECTOR, "istio-system", "shop", .by_name = true, .want = false },
	{ POLICY_SELECTOR, "istio-system", "shop", .by_name = true, .bound = true, .want = true },
};

START_TEST(scope)
{
	char key[50];
	const char *bound[] = { "shop/unknown", key };

	snprintf(key, sizeof(key), "%s/p", scopes[_i].ns);
	for (int broken = 0; broken < 2; broken++) {
		begin();
		target(scopes[_i].workload_ns, bound, scopes[_i].bound ? 2 : 0);
		put((struct policy){ .ns = scopes[_i].ns, .name = "p", .scope = scopes[_i].scope, .by_name = scopes[_i].by_name, .selector = scopes[_i].selector,
				     .n_selector = scopes[_i].n_selector, .action = POLICY_DENY, .broken = broken, HIT });
		mesh_edit_publish(edit);
		ck_assert_int_eq(!judge(FRONT).allowed, scopes[_i].want);
	}
}
END_TEST

/* What was remembered of one generation is not used in the next, nor for another workload. */
START_TEST(change)
{
	begin();
	target("shop", NULL, 0);
	mesh_edit_publish(edit);
	ck_assert(judge(FRONT).allowed);
	begin();
	put((struct policy){ SHOP, .name = "p", .action = POLICY_DENY, HIT });
	mesh_edit_publish(edit);
	ck_assert(!judge(FRONT).allowed);
	begin();
	target("web", NULL, 0);
	mesh_edit_publish(edit);
	ck_assert(judge(FRONT).allowed);
	for (int i = 0; i < 300; i++) {
		struct authz_input in = input(FRONT, "10.0.0.1", "10.7.0.5:8080");
		struct workload *w;
		char uid[20];

		snprintf(uid, sizeof(uid), "w%d", i);
		begin();
		w = workload_new(&(struct workload){ .uid = uid, .ns = i % 2 ? "shop" : "web" });
		mesh_put_workload(edit, w);
		mesh_edit_publish(edit);
		ck_assert_int_eq(authz_judge(mesh_current(), w, &in, NULL, NULL).allowed, i % 2 == 0);
	}
}
END_TEST

/* --- PeerAuthentication --- */
#define ROOT_PA .ns = "istio-system"
#define SHOP_PA .ns = "shop"
#define CART    .selector = app_cart, .n_selector = 1, .has_selector = true
#define NOCART  .selector = &(const struct label){ "app", "x" }, .n_selector = 1, .has_selector = true
#define PORTS(...) .ports = (const struct mtls_port[]){ __VA_ARGS__ }, \
	.n_ports = sizeof((const struct mtls_port[]){ __VA_ARGS__ }) / sizeof(struct mtls_port)

static const struct {
	struct peer_authn p[4];
	const char *refusing;     /* key of the one that refuses plaintext, with '!' mTLS too; NULL: allowed */
} peers[] = {
	{ { { 0 } }, NULL },
	{ { { ROOT_PA, .name = "a", .mode = MTLS_STRICT } }, "istio-system/a" },
	{ { { ROOT_PA, .name = "a", .mode = MTLS_PERMISSIVE } }, NULL },
	{ { { ROOT_PA, .name = "a", .mode = MTLS_DISABLE } }, NULL },
	{ { { ROOT_PA, .name = "a", .mode = MTLS_UNSET } }, NULL },
	/* namespace over mesh, workload over both; UNSET inherits */
	{ { { ROOT_PA, .name = "a", .mode = MTLS_STRICT }, { SHOP_PA, .name = "b", .mode = MTLS_PERMISSIVE } }, NULL },
	{ { { ROOT_PA, .name = "a", .mode = MTLS_STRICT }, { SHOP_PA, .name = "b", .mode = MTLS_DISABLE } }, NULL },
	{ { { ROOT_PA, .name = "a", .mode = MTLS_STRICT }, { SHOP_PA, .name = "b", .mode = MTLS_UNSET } }, "istio-system/a" },
	{ { { ROOT_PA, .name = "a", .mode = MTLS_PERMISSIVE }, { SHOP_PA, .name = "b", .mode = MTLS_STRICT } }, "shop/b" },
	{ { { SHOP_PA, .name = "b", .mode = MTLS_STRICT }, { SHOP_PA, .name = "c", .mode = MTLS_PERMISSIVE, CART } }, NULL },
	{ { { SHOP_PA, .name = "b", .mode = MTLS_PERMISSIVE }, { SHOP_PA, .name = "c", .mode = MTLS_STRICT, CART } }, "shop/c" },
	{ { { SHOP_PA, .name = "b", .mode = MTLS_STRICT }, { SHOP_PA, .name = "c", .mode = MTLS_UNSET, CART } }, "shop/b" },
	{ { { SHOP_PA, .name = "b", .mode = MTLS_STRICT }, { SHOP_PA, .name = "c", .mode = MTLS_PERMISSIVE, NOCART } }, "shop/b" },
	{ { { ROOT_PA, .name = "a", .mode = MTLS_STRICT }, { SHOP_PA, .name = "b", .mode = MTLS_UNSET },
	    { SHOP_PA, .name = "c", .mode = MTLS_UNSET, CART } }, "istio-system/a" },
	/* other namespaces; a selector in the root namespace is dead; an empty one is none */
	{ { { .ns = "web", .name = "a", .mode = MTLS_STRICT } }, NULL },
	{ { { .ns = "web", .name = "a", .mode = MTLS_STRICT, CART } }, NULL },
	{ { { ROOT_PA, .name = "a", .mode = MTLS_STRICT, CART } }, NULL },
	{ { { SHOP_PA, .name = "a", .mode = MTLS_STRICT, .has_selector = true } }, "shop/a" },
	/* the oldest of a level, then the first by name; the others count for nothing */
	{ { { SHOP_PA, .name = "a", .mode = MTLS_STRICT, .created = 9 }, { SHOP_PA, .name = "b", .mode = MTLS_PERMISSIVE, .created = 8 } }, NULL },
	{ { { SHOP_PA, .name = "b", .mode = MTLS_STRICT, .created = 8 }, { SHOP_PA, .name = "a", .mode = MTLS_PERMISSIVE, .created = 9 } }, "shop/b" },
	{ { { SHOP_PA, .name = "b", .mode = MTLS_STRICT, .created = INT64_MAX }, { SHOP_PA, .name = "a", .mode = MTLS_PERMISSIVE, .created = INT64_MAX } }, NULL },
	{ { { SHOP_PA, .name = "b", .mode = MTLS_STRICT }, { SHOP_PA, .name = "a", .mode = MTLS_UNSET } }, NULL },
	{ { { SHOP_PA, .name = "d", .mode = MTLS_PERMISSIVE, CART }, { SHOP_PA, .name = "c", .mode = MTLS_STRICT, CART } }, "shop/c" },
	/* ports, of a selector policy only; the connection is for 8080 */
	{ { { SHOP_PA, .name = "c", .mode = MTLS_STRICT, CART, PORTS({ 8080, MTLS_DISABLE }) } }, NULL },
	{ { { SHOP_PA, .name = "c", .mode = MTLS_STRICT, CART, PORTS({ 80, MTLS_PERMISSIVE }) } }, "shop/c" },
	{ { { SHOP_PA, .name = "c", .mode = MTLS_PERMISSIVE, CART, PORTS({ 80, MTLS_UNSET }, { 8080, MTLS_STRICT }) } }, "shop/c" },
	{ { { SHOP_PA, .name = "c", .mode = MTLS_UNSET, CART, PORTS({ 8080, MTLS_STRICT }) } }, "shop/c" },
	{ { { SHOP_PA, .name = "c", .mode = MTLS_STRICT, CART, PORTS({ 8080, MTLS_UNSET }) } }, "shop/c" },
	{ { { SHOP_PA, .name = "b", .mode = MTLS_STRICT }, { SHOP_PA, .name = "c", .mode = MTLS_UNSET, CART, PORTS({ 8080, MTLS_UNSET }) } }, "shop/b" },
	{ { { SHOP_PA, .name = "b", .mode = MTLS_STRICT }, { SHOP_PA, .name = "c", .mode = MTLS_UNSET, CART, PORTS({ 8080, MTLS_PERMISSIVE }) } }, NULL },
	{ { { SHOP_PA, .name = "c", .mode = MTLS_STRICT, PORTS({ 8080, MTLS_PERMISSIVE }) } }, "shop/c" },
	/* a broken one refuses all where it would have decided */
	{ { { SHOP_PA, .name = "b", .broken = true } }, "!shop/b" },
	{ { { ROOT_PA, .name = "a", .broken = true } }, "!istio-system/a" },
	{ { { SHOP_PA, .name = "c", .broken = true, CART } }, "!shop/c" },
	{ { { SHOP_PA, .name = "c", .broken = true, NOCART } }, NULL },
	{ { { .ns = "web", .name = "c", .broken = true } }, NULL },
	{ { { ROOT_PA, .name = "a", .broken = true }, { SHOP_PA, .name = "b", .mode = MTLS_PERMISSIVE } }, NULL },
	{ { { ROOT_PA, .name = "a", .broken = true }, { SHOP_PA, .name = "b", .mode = MTLS_UNSET } }, "!istio-system/a" },
};

START_TEST(peer_authn)
{
	const char *refusing = peers[_i].refusing;
	struct authz_verdict plain, mtls;

	begin();
	target("shop", NULL, 0);
	for (int i = 0; i < 4 && peers[_i].p[i].name; i++) {
		struct peer_authn p = peers[_i].p[i];
		char key[60];

		snprintf(key, sizeof(key), "%s/%s", p.ns, p.name);
		p.key = key;
		mesh_put_peer_authn(edit, peer_authn_new(&p));
	}
	mesh_edit_publish(edit);
	plain = judge("");
	mtls = judge(FRONT);
	ck_assert_int_eq(plain.allowed, !refusing);
	ck_assert_int_eq(mtls.allowed, !(refusing && *refusing == '!'));
	ck_assert_ptr_null(plain.policy);
	if (refusing)
		ck_assert_msg(strstr(plain.rule, refusing + (*refusing == '!')) != NULL, "%s", plain.rule);
}
END_TEST

/* --- strict: cluster.local in a policy stands for the mesh --- */
static const struct {
	struct match m;
	const char *principal;
	bool istio, strict;
} aliases[] = {
	{ EXACT("cluster.local/ns/web/sa/front"), "mesh.test/ns/web/sa/front", false, true },
	{ EXACT("cluster.local/ns/web/sa/front"), "spiffe://old.test/ns/web/sa/front", false, true },
	{ EXACT("cluster.local/ns/web/sa/front"), "foreign.test/ns/web/sa/front", false, false },
	{ EXACT("cluster.local/ns/web/sa/front"), "mesh.test/ns/web/sa/other", false, false },
	{ EXACT("old.test/ns/web/sa/front"), "mesh.test/ns/web/sa/front", false, true },
	{ EXACT("mesh.test/ns/web/sa/front"), "old.test/ns/web/sa/front", false, true },
	{ EXACT("mesh.test/ns/web/sa/front"), "mesh.test/ns/web/sa/front", true, true },
	{ EXACT("foreign.test/ns/web/sa/front"), "mesh.test/ns/web/sa/front", false, false },
	{ PREFIX("cluster.local/ns/web/sa/fr"), "mesh.test/ns/web/sa/front", false, true },
	{ PREFIX("cluster.local/ns/web/"), "mesh.test/ns/web/sa/front", false, false },   /* not of full form: as written */
	{ PREFIX("mesh.test/ns/web/"), "mesh.test/ns/web/sa/front", true, true },
	{ SUFFIX("/ns/web/sa/front"), "mesh.test/ns/web/sa/front", true, true },
	{ EXACT("cluster.local/other"), "mesh.test/other", false, false },
};

START_TEST(trust_domains)
{
	const char *old[] = { "older.test", "old.test" };
	struct policy_match m = { .principals = { &aliases[_i].m }, .n_principals = { 1 } };
	struct policy_clause clause = { &m, 1 };
	struct policy_rule rule = { .clauses = &clause, .n_clauses = 1 };

	settings = (struct mesh_settings){ .trust_domain = "mesh.test", .aliases = old, .n_aliases = 2, .root_ns = "istio-system" };
	for (int strict = 0; strict < 2; strict++) {
		settings.stance = strict ? STANCE_STRICT : STANCE_ISTIO;
		begin();
		target("shop", NULL, 0);
		put((struct policy){ SHOP, .name = "p", .rules = &rule, .n_rules = 1 });
		mesh_edit_publish(edit);
		ck_assert_int_eq(judge(aliases[_i].principal).allowed, strict ? aliases[_i].strict : aliases[_i].istio);
	}
}
END_TEST

/* --- words --- */
static void explain(const char *principal, const char *want)
{
	struct authz_input in = input(principal, "10.0.0.1", "10.7.0.5:8080");
	struct buf out = { 0 };

	authz_explain(mesh_current(), mesh_workload(mesh_current(), str_c("target")), &in, &out);
	ck_assert_msg(str_is(buf_str(&out), want), "got  %.*swant %s", STR_FMT(buf_str(&out)), want);
	buf_done(&out);
}

START_TEST(words)
{
	const struct policy_match front = { PRINCIPAL(0, EXACT(FRONT)), PORT(0, 80, 8080) };
	const struct policy_match many = { NS(0, EXACT("a"), EXACT("b"), PREFIX("c"), SUFFIX("d"), EXACT("e"), EXACT("f")), SOURCE(1, V4(10, 0, 0, 0, 8)) };
	const struct policy_clause clauses[] = { { &front, 1 }, { &many, 1 } };
	const struct policy_rule one = { .clauses = clauses, .n_clauses = 1 }, two[] = { { .clauses = clauses, .n_clauses = 2 }, { .clauses = clauses + 1, .n_clauses = 1 } };

	begin();
	target("shop", NULL, 0);
	put((struct policy){ SHOP, .name = "only-web", .where = "examples.yaml:12", .rules = &one, .n_rules = 1 });
	mesh_edit_publish(edit);
	explain("cluster.local/ns/x/sa/y", "ALLOW policies in scope: shop/only-web (examples.yaml:12) wants principal " FRONT
		" and port 80 or 8080; the source was cluster.local/ns/x/sa/y (10.0.0.1), the target 10.7.0.5:8080. "
		"A rule with that principal, or namespace x, would allow it.\n");
	explain("", "ALLOW policies in scope: shop/only-web (examples.yaml:12) wants principal " FRONT
		" and port 80 or 8080; the source was 10.0.0.1 without identity (no mTLS), the target 10.7.0.5:8080. "
		"A rule with ipBlocks 10.0.0.1 would allow it; so may the call of a source with identity.\n");
	explain(FRONT, "Allowed: allow policy matched: shop/only-web.\n");
	begin();
	put((struct policy){ SHOP, .name = "two", .where = "", .rules = two, .n_rules = 2 });
	put((struct policy){ SHOP, .name = "zero", .n_rules = 0 });
	mesh_edit_publish(edit);
	explain("cluster.local/ns/x/sa/y", "ALLOW policies in scope: shop/only-web (examples.yaml:12) wants principal " FRONT
		" and port 80 or 8080; shop/two wants principal " FRONT " and port 80 or 8080 and namespace a or b or c* or *d or 2 more"
		" and not source address 10.0.0.0/8 or namespace a or b or c* or *d or 2 more and not source address 10.0.0.0/8; "
		"shop/zero (p.yaml:7) wants nothing (it has no rules); "
		"the source was cluster.local/ns/x/sa/y (10.0.0.1), the target 10.7.0.5:8080. "
		"A rule with that principal, or namespace x, would allow it.\n");
	begin();
	put((struct policy){ SHOP, .name = "stop", .action = POLICY_DENY, .rules = (struct policy_rule[]){ no_rule, yes_rule }, .n_rules = 2 });
	mesh_edit_publish(edit);
	explain(FRONT, "DENY policy shop/stop (p.yaml:7), rule 2, refuses namespace web; the source was " FRONT
		" (10.0.0.1), the target 10.7.0.5:8080. A connection that this rule does not match would go on to the ALLOW policies.\n");
	begin();
	mesh_put_peer_authn(edit, peer_authn_new(&(struct peer_authn){ .key = "shop/pa", .ns = "shop", .where = "f:1", .mode = MTLS_STRICT }));
	mesh_edit_publish(edit);
	explain("", "PeerAuthentication shop/pa (f:1) wants mTLS (STRICT) on port 8080; the source was 10.0.0.1 without identity (no mTLS), "
		"the target 10.7.0.5:8080. A call from a workload of the mesh, or the mode PERMISSIVE for this port, would be let in.\n");
	begin();
	put((struct policy){ SHOP, .name = "bad", .where = "f:2", .broken = true, .problem = "spec.rules: want a list" });
	mesh_edit_publish(edit);
	explain(FRONT, "AuthorizationPolicy shop/bad (f:2) could not be loaded: spec.rules: want a list. "
		"What it covers is refused until it is mended.\n");
}
END_TEST

/* --- many --- */
static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *judge_in_thread(void *arg)
{
	ck_assert(judge(FRONT).allowed);
	return NULL;
}

START_TEST(ten_thousand_policies)
{
	static char text[10][40];
	struct match values[10];
	struct policy_match ms[10];
	struct policy_clause clauses[10];
	struct policy_rule rules[10];
	pthread_t other;
	double t0, t1, t2;

	begin();
	target("shop", NULL, 0);
	for (int i = 0; i < 10000; i++) {
		char name[20];

		for (int k = 0; k < 10; k++) {
			snprintf(text[k], sizeof(text[k]), "ns-%d-%d", i, k);
			values[k] = (struct match){ MATCH_EXACT, text[k] };
			ms[k] = (struct policy_match){ .namespaces = { &values[k] }, .n_namespaces = { 1 } };
			clauses[k] = (struct policy_clause){ &ms[k], 1 };
			rules[k] = (struct policy_rule){ .clauses = &clauses[k], .n_clauses = 1 };
		}
		snprintf(name, sizeof(name), "p%d", i);
		put((struct policy){ SHOP, .name = name, .action = POLICY_DENY, .rules = rules, .n_rules = 10 });
	}
	mesh_edit_publish(edit);
	t0 = now_s();
	ck_assert(judge(FRONT).allowed);
	t1 = now_s();
	for (int i = 0; i < 20; i++)
		ck_assert(judge(FRONT).allowed);
	t2 = now_s();
	printf("10 000 policies of 10 rules, none matches: first %.2f ms, then %.2f ms\n", (t1 - t0) * 1e3, (t2 - t1) * 1e3 / 20);
	ck_assert_str_eq(judge("td/ns/ns-9999-9/sa/x").policy->key, "shop/p9999");
	pthread_create(&other, NULL, judge_in_thread, NULL);
	pthread_join(other, NULL);
}
END_TEST

START_TEST(ten_thousand_values)
{
	static struct cidr blocks[10000];
	static struct match names[10000];
	static char text[10000][40];
	struct policy_match m = { .source_ips = { NULL, blocks }, .n_source_ips = { 0, 10000 }, .principals = { names }, .n_principals = { 10000 } };
	struct policy_clause clause = { &m, 1 };
	struct policy_rule rule = { .clauses = &clause, .n_clauses = 1 };
	struct authz_input in = input("td/ns/n7777/sa/s", "12.0.0.1", "10.7.0.5:8080");
	struct workload *w;
	double t0;

	for (int i = 0; i < 10000; i++) {
		blocks[i] = (struct cidr)V4(11, (uint8_t)(i >> 8), (uint8_t)i, 0, 24);
		snprintf(text[i], sizeof(text[i]), "td/ns/n%d/sa/s", i);
		names[i] = (struct match){ MATCH_EXACT, text[i] };
	}
	begin();
	w = target("shop", NULL, 0);
	put((struct policy){ SHOP, .name = "p", .rules = &rule, .n_rules = 1 });
	mesh_edit_publish(edit);
	t0 = now_s();
	for (int i = 0; i < 10000; i++)
		ck_assert(authz_judge(mesh_current(), w, &in, NULL, NULL).allowed);
	printf("10 000 principals and CIDR blocks in a rule: %.2f us\n", (now_s() - t0) * 1e2);
	in.source.ip.b[12] = 11;
	ck_assert(!authz_judge(mesh_current(), w, &in, NULL, NULL).allowed);
	in.source.ip.b[12] = 12;
	in.principal = str_c("td/ns/n10000/sa/s");
	ck_assert(!authz_judge(mesh_current(), w, &in, NULL, NULL).allowed);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("authz");
	TCase *tc = tcase_create("authz");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, one_match, 0, (int)ARRAY_LEN(matches));
	tcase_add_test(tc, nesting);
	tcase_add_loop_test(tc, order_of_actions, 0, (int)ARRAY_LEN(orders));
	tcase_add_test(tc, not_compiled_is_broken);
	tcase_add_loop_test(tc, scope, 0, (int)ARRAY_LEN(scopes));
	tcase_add_test(tc, change);
	tcase_add_loop_test(tc, peer_authn, 0, (int)ARRAY_LEN(peers));
	tcase_add_loop_test(tc, trust_domains, 0, (int)ARRAY_LEN(aliases));
	tcase_add_test(tc, words);
	tcase_add_test(tc, ten_thousand_policies);
	tcase_add_test(tc, ten_thousand_values);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
