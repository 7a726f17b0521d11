/* SPDX-License-Identifier: Apache-2.0 */
/* Requests before policies: what a refused client gets, CUSTOM, AUDIT, and what a judgement costs with many rules. */
#include <stdio.h>
#include <time.h>

#include "tests/unit/filters.h"

#include "model/mesh.h"
#include "policy/authz.h"
#include "telemetry/prom.h"
#include "telemetry/shadow.h"
#include "suite.h"

static const struct filter chain[] = { { &authz_filter, NULL } };
static struct mesh_edit *edit;
static struct workload *w;

static struct mesh_settings settings = { .trust_domain = "cluster.local", .root_ns = "istio-system", .mode = MODE_SIDECAR };

static void begin(void)
{
	edit = mesh_edit_begin();
	mesh_edit_settings(edit, &settings);
	w = workload_new(&(struct workload){ .uid = "w", .ns = "prod", .name = "w" });
	mesh_put_workload(edit, w);
	fr.who.local_workload = w;
	fr.who.peer_id = str_c("spiffe://cluster.local/ns/web/sa/a");
}

/* A rule about one path. */
struct about { struct match text; struct policy_demand demand; struct policy_match match; struct policy_clause clause; struct policy_rule rule; };

static struct policy_rule *about(struct about *a, enum match_kind kind, const char *path)
{
	a->text = (struct match){ kind, path };
	a->demand = (struct policy_demand){ .attr = ATTR_PATH, .texts = &a->text, .n = 1 };
	a->match = (struct policy_match){ .more = &a->demand, .n_more = 1 };
	a->clause = (struct policy_clause){ &a->match, 1 };
	a->rule = (struct policy_rule){ .clauses = &a->clause, .n_clauses = 1 };
	return &a->rule;
}

/* One of the identity's own. */
static void deny(const char *identity)
{
	struct match who = { MATCH_EXACT, identity };
	struct policy_match match = { .principals = { &who }, .n_principals = { 1 } };
	struct policy_clause clause = { &match, 1 };
	struct policy_rule rule = { .clauses = &clause, .n_clauses = 1 };
	struct policy *p = policy_new(&(struct policy){ .key = "prod/who", .ns = "prod", .name = "who", .scope = POLICY_NAMESPACE, .action = POLICY_DENY, .rules = &rule,
							.n_rules = 1, .whole = true });

	ck_assert_int_eq(authz_compile(p), 0);
	mesh_put_policy(edit, p);
}

static bool dry;

static void put(const char *name, enum policy_action action, const struct policy_rule *rules, int n, const char *provider)
{
	char key[64];
	struct policy *p;

	snprintf(key, sizeof(key), "prod/%s", name);
	p = policy_new(&(struct policy){ .key = key, .ns = "prod", .name = name, .scope = POLICY_NAMESPACE, .action = action, .rules = rules,
					 .n_rules = n, .whole = true, .provider = provider, .dry_run = dry });
	ck_assert_int_eq(authz_compile(p), 0);
	mesh_put_policy(edit, p);
}

#define ck_has(where, text) ck_assert_msg(strstr(where, text) != NULL, "want '%s' in: %s", text, where)

START_TEST(refused)
{
	struct about a[2];
	struct policy_rule rules[2];

	begin();
	rules[0] = *about(&a[0], MATCH_EXACT, "/never");
	rules[1] = *about(&a[1], MATCH_PREFIX, "/admin");
	put("p", POLICY_DENY, rules, 2, "");
	mesh_edit_publish(edit);
	filters_ask(chain, 1, "GET /a/../admin/x HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_has(fr.got, "HTTP/1.1 403 Forbidden\r\n");
	ck_has(fr.got, "content-length: 19\r\n");
	ck_has(fr.got, "\r\n\r\nRBAC: access denied");
	ck_assert_str_eq(fr.details, "rbac_access_denied_matched_policy[ns[prod]-policy[p]-rule[1]]");
	ck_assert_int_eq(fr.why, FAIL_DENIED);
	ck_assert_str_eq(fr.sent, "");
	filters_ask(chain, 1, "GET /ok HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_has(fr.got, "HTTP/1.1 200");
}
END_TEST

START_TEST(nothing_allows)
{
	struct about a;

	begin();
	put("p", POLICY_ALLOW, about(&a, MATCH_EXACT, "/a"), 1, "");
	mesh_edit_publish(edit);
	filters_ask(chain, 1, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert_int_eq(fr.status, 403);
	ck_assert_str_eq(fr.details, "rbac_access_denied_matched_policy[none]");
	filters_ask(chain, 1, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert_int_eq(fr.status, 200);
}
END_TEST

START_TEST(unknown_workload)
{
	fr.who.local_workload = NULL;
	filters_ask(chain, 1, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert_int_eq(fr.status, 503);
	ck_assert_str_eq(fr.sent, "");
}
END_TEST

static int quiet;

static void on_quiet(const struct authz_quiet *q, const struct authz_input *in, void *arg)
{
	ck_assert_int_eq(q->action, POLICY_AUDIT);
	ck_assert_str_eq(q->policy->key, "prod/p");
	quiet++;
}

START_TEST(audit_decides_nothing)
{
	struct authz_request req = { .method = str_c("GET"), .path = str_c("/a") };
	struct authz_input in = { .request = &req };
	struct about a;

	begin();
	put("p", POLICY_AUDIT, about(&a, MATCH_EXACT, "/a"), 1, "");
	mesh_edit_publish(edit);
	ck_assert(authz_judge(mesh_current(), w, &in, on_quiet, NULL).allowed);
	ck_assert_int_eq(quiet, 1);
}
END_TEST

static char page_text[20000];

static const char *page(bool openmetrics)
{
	static const struct prom_build build = { "proxy", "1.30", "1.2.3" };
	struct buf b = { 0 };

	prom_write(&b, openmetrics, &build);
	snprintf(page_text, sizeof(page_text), "%.*s", STR_FMT(buf_str(&b)));
	buf_done(&b);
	return page_text;
}

static struct exchange_shadow shadows[2];

static void keep_shadows(struct exchange *x, void *state, const void *conf)
{
	memcpy(shadows, x->log.shadow, sizeof(shadows));
	ck_assert(!shadows[0].policy || !strcmp(shadows[0].policy, "ns[prod]-policy[allow]-rule[0]"));
	ck_assert(!shadows[1].policy || !strcmp(shadows[1].policy, "ns[prod]-policy[deny1]-rule[0]"));
}

/* Counted as Envoy counts: once for an action, by the first policy that matches, or by none. */
START_TEST(dry_runs_are_counted)
{
	static const struct filter_ops keeper = { .name = "keeper", .on_end = keep_shadows };
	const struct filter both[] = { { &authz_filter, NULL }, { &keeper, NULL } };
	struct about a[4];

	begin();
	dry = true;
	put("deny2", POLICY_DENY, about(&a[0], MATCH_PREFIX, "/admin"), 1, "");
	put("deny1", POLICY_DENY, about(&a[1], MATCH_EXACT, "/admin"), 1, "");
	put("allow", POLICY_ALLOW, about(&a[2], MATCH_EXACT, "/ok"), 1, "");
	dry = false;
	put("audit", POLICY_AUDIT, about(&a[3], MATCH_EXACT, "/ok"), 1, "");
	mesh_edit_publish(edit);
	fr.who.local = (struct addr){ .port = 8080 };
	shadow_register();
	filters_ask(both, 2, "GET /admin?secret=1 HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert_int_eq(fr.status, 200);
	ck_assert(shadows[0].known && !shadows[0].allowed && !shadows[0].policy && shadows[1].known && !shadows[1].allowed && shadows[1].policy);
	filters_ask(both, 2, "GET /ok HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert(shadows[0].known && shadows[0].allowed && shadows[0].policy && shadows[1].known && shadows[1].allowed && !shadows[1].policy);
	filters_ask(both, 2, "GET /ok HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_has(page(false), "# TYPE envoy_http_inbound_0_0_0_0_8080_rbac untyped\n");
	ck_has(page(false), "\nenvoy_http_inbound_0_0_0_0_8080_rbac{authz_dry_run_action=\"deny\",authz_dry_run_result=\"denied\",policy=\"prod/deny1\"} 1\n");
	ck_has(page(false), "{authz_dry_run_action=\"deny\",authz_dry_run_result=\"allowed\",policy=\"none\"} 2\n");
	ck_has(page(false), "{authz_dry_run_action=\"allow\",authz_dry_run_result=\"denied\",policy=\"none\"} 1\n");
	ck_has(page(false), "{authz_dry_run_action=\"allow\",authz_dry_run_result=\"allowed\",policy=\"prod/allow\"} 2\n");
	ck_has(page(false), "\nmeshd_authz_audit_matches_total{policy=\"prod/audit\"} 2\n");
	ck_has(page(true), "# TYPE envoy_http_inbound_0_0_0_0_8080_rbac unknown\nenvoy_http_inbound_0_0_0_0_8080_rbac{");
	/* bytes: of a policy of requests nothing is left for ALLOW, and all for DENY */
	authz_judge(mesh_current(), w, &(struct authz_input){ .dest.port = 9000 }, authz_note_quiet, NULL);
	ck_has(page(false), "\nenvoy_tcp_rbac{authz_dry_run_action=\"deny\",authz_dry_run_result=\"denied\",policy=\"prod/deny1\"} 1\n");
	ck_has(page(false), "\nenvoy_tcp_rbac{authz_dry_run_action=\"allow\",authz_dry_run_result=\"denied\",policy=\"none\"} 1\n");
}
END_TEST

static enum authz_custom custom(const char *path, struct authz_asked *ret)
{
	struct authz_request req = { .method = str_c("GET"), .path = str_c(path) };
	struct authz_input in = { .request = &req };

	return authz_custom(mesh_current(), w, &in, ret);
}

START_TEST(custom_policies)
{
	struct ext_provider providers[] = {
		{ .name = "good", .grpc = true, .problem = "" }, { .name = "bad", .problem = "no such service" }, { .name = "web", .problem = "" },
	};
	struct authz_input bytes = { .principal = str_c("cluster.local/ns/a/sa/b") };
	struct policy_rule all = { .clauses = NULL };
	struct authz_asked asked;
	struct about a;

	settings.providers = providers;
	settings.n_providers = 3;
	begin();
	put("p", POLICY_CUSTOM, about(&a, MATCH_EXACT, "/a"), 1, "good");
	mesh_edit_publish(edit);
	ck_assert_int_eq(custom("/b", &asked), CUSTOM_NONE);
	ck_assert_int_eq(custom("/a", &asked), CUSTOM_ASK);
	ck_assert_str_eq(asked.provider->name, "good");
	ck_assert_int_eq(authz_custom(mesh_current(), w, &bytes, &asked), CUSTOM_ASK);      /* the path is lost: more is asked */
	ck_assert(!authz_judge(mesh_current(), w, &bytes, NULL, NULL).allowed);             /* but nobody can be, about bytes */
	/* A bad provider, or none of that name, denies what the rule matches and nothing else. */
	begin();
	put("p", POLICY_CUSTOM, about(&a, MATCH_EXACT, "/a"), 1, "bad");
	mesh_edit_publish(edit);
	ck_assert_int_eq(custom("/b", &asked), CUSTOM_NONE);
	ck_assert_int_eq(custom("/a", &asked), CUSTOM_REFUSE);
	ck_assert_str_eq(asked.details, "rbac_access_denied_matched_policy[istio-ext-authz-bad-ns[prod]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action]");
	begin();
	put("p", POLICY_CUSTOM, about(&a, MATCH_EXACT, "/a"), 1, "missing");
	mesh_edit_publish(edit);
	ck_assert_int_eq(custom("/a", &asked), CUSTOM_REFUSE);
	/* Two providers on one workload: neither is asked. */
	begin();
	put("p", POLICY_CUSTOM, about(&a, MATCH_EXACT, "/a"), 1, "good");
	put("q", POLICY_CUSTOM, about(&a, MATCH_EXACT, "/q"), 1, "web");
	mesh_edit_publish(edit);
	ck_assert_int_eq(custom("/q", &asked), CUSTOM_REFUSE);
	ck_assert_int_eq(custom("/b", &asked), CUSTOM_NONE);
	/* Bytes and an HTTP provider: Istio does not ask; strict refuses. */
	begin();
	mesh_del_policy(edit, str_c("prod/q"));
	put("p", POLICY_CUSTOM, &all, 1, "web");
	mesh_edit_publish(edit);
	ck_assert_int_eq(authz_custom(mesh_current(), w, &bytes, &asked), CUSTOM_NONE);
	ck_assert(authz_judge(mesh_current(), w, &bytes, NULL, NULL).allowed);
	settings.stance = STANCE_STRICT;
	begin();
	mesh_edit_publish(edit);
	ck_assert_int_eq(authz_custom(mesh_current(), w, &bytes, &asked), CUSTOM_REFUSE);
}
END_TEST

/* --- many rules --- */

#define MANY 5000

static double judge_ns(const char *path)
{
	struct authz_request req = { .method = str_c("GET"), .path = str_c(path), .authority = str_c("shop.test") };
	struct authz_input in = { .principal = str_c("spiffe://cluster.local/ns/web/sa/a"), .request = &req };
	struct timespec a, b;
	int n = 20000, allowed = 0;

	authz_judge(mesh_current(), w, &in, NULL, NULL);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < n; i++)
		allowed += authz_judge(mesh_current(), w, &in, NULL, NULL).allowed;
	clock_gettime(CLOCK_MONOTONIC, &b);
	ck_assert_int_eq(allowed, n);
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / n;
}

static double with_rules(int n, enum match_kind kind, bool apart)
{
	struct about *a = calloc((size_t)n, sizeof(*a));
	struct policy_rule *rules = calloc((size_t)n, sizeof(*rules));
	char (*paths)[32] = calloc((size_t)n, sizeof(*paths)), name[32];
	double ns;

	begin();
	for (int i = 0; i < n; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/api/v1/%d", i + 100000);
		rules[i] = *about(&a[i], kind, paths[i]);
		snprintf(name, sizeof(name), "p%d", i);
		if (apart)
			put(name, POLICY_ALLOW, &rules[i], 1, "");
	}
	if (!apart)
		put("p", POLICY_ALLOW, rules, n, "");
	mesh_edit_publish(edit);
	ns = judge_ns(kind == MATCH_EXACT ? "/api/v1/100004" : "/api/v1/100004/x");
	begin();
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "prod/p%d", i);
		mesh_del_policy(edit, str_c(name));
	}
	mesh_del_policy(edit, str_c("prod/p"));
	mesh_edit_publish(edit);
	free(a);
	free(rules);
	free(paths);
	return ns;
}

/* Not a time but a shape is held to: trying them one after the other would be a hundred times slower. */
START_TEST(many_rules)
{
	static const struct { enum match_kind kind; bool apart; const char *what; } rows[] = {
		{ MATCH_EXACT, false, "exact, one policy" }, { MATCH_PREFIX, false, "prefix, one policy" },
		{ MATCH_EXACT, true, "exact, a policy each" }, { MATCH_PREFIX, true, "prefix, a policy each" },
	};
	double few = with_rules(5, rows[_i].kind, rows[_i].apart), many = with_rules(MANY, rows[_i].kind, rows[_i].apart);

	printf("%s: %.0f ns with 5 rules, %.0f ns with %d\n", rows[_i].what, few, many, MANY);
	ck_assert(many < few * 20 + 2000);
}
END_TEST

/* Whom the own waypoint speaks for is judged in its place, but only where waypoints are used. */
START_TEST(callers)
{
	static const char caller[] = "spiffe://cluster.local/ns/web/sa/caller";

	for (int through = 0; through < 2; through++)
		for (int of_caller = 0; of_caller < 2; of_caller++) {
			struct exchange x = { .client = &fr.who, .caller_id = str_c(caller) };
			struct authz_request req;
			struct authz_input in;

			settings.through_waypoints = through;
			begin();
			fr.who.caller = (struct addr){ .port = 1 };
			fr.who.peer = (struct addr){ .port = 2 };
			deny(of_caller ? "cluster.local/ns/web/sa/caller" : "cluster.local/ns/web/sa/a");
			mesh_edit_publish(edit);
			authz_input_of(&x, &req, &in);
			ck_assert(str_is(in.principal, through ? caller : "spiffe://cluster.local/ns/web/sa/a"));
			ck_assert_int_eq(in.source.port, through ? 1 : 2);
			ck_assert_int_eq(authz_judge(mesh_current(), w, &in, NULL, NULL).allowed, through != of_caller);
			x.caller_id = (struct str){ NULL, 0 };
			authz_input_of(&x, &req, &in);
			ck_assert(str_is(in.principal, "spiffe://cluster.local/ns/web/sa/a"));
		}
	settings.through_waypoints = false;
	fr.who.caller = (struct addr){ .port = 0 };
}
END_TEST

int main(void)
{
	Suite *s = suite_create("authz_filter");
	TCase *t = tcase_create("authz_filter");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, refused);
	tcase_add_test(t, callers);
	tcase_add_test(t, nothing_allows);
	tcase_add_test(t, unknown_workload);
	tcase_add_test(t, audit_decides_nothing);
	tcase_add_test(t, dry_runs_are_counted);
	tcase_add_test(t, custom_policies);
	tcase_add_loop_test(t, many_rules, 0, 4);
	suite_add_tcase(s, t);
	return suite_run(s);
}
