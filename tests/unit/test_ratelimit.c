/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets, and the limits of requests and connections. */
#include <pthread.h>
#include <stdio.h>

#include "tests/unit/filters.h"

#include "model/mesh.h"
#include "policy/ratebucket.h"
#include "policy/ratelimit.h"
#include "suite.h"

#define SECOND 1000000000ull

START_TEST(bucket)
{
	struct rate_conf c = { SECOND / 10, 3 };      /* 10 a second, 3 at once */
	_Atomic uint64_t b = 0;
	struct rate_left left;
	uint64_t now = 5 * SECOND;

	for (uint32_t i = 0; i < 3; i++) {
		ck_assert(ratebucket_take(&b, &c, now, &left));
		ck_assert_uint_eq(left.remaining, 2 - i);
	}
	ck_assert(!ratebucket_take(&b, &c, now, &left));
	ck_assert_uint_eq(left.full_ns, SECOND / 10);
	ck_assert(!ratebucket_take(&b, &c, now + SECOND / 10 - 1, &left));
	ck_assert(ratebucket_take(&b, &c, now + SECOND / 10, &left));
	ck_assert(!ratebucket_take(&b, &c, now + SECOND / 10, &left));
	now += 100 * SECOND;      /* full again, and not fuller */
	for (int i = 0; i < 3; i++)
		ck_assert(ratebucket_take(&b, &c, now, &left));
	ck_assert(!ratebucket_take(&b, &c, now, &left));
}
END_TEST

static _Atomic uint64_t common;
static atomic_int taken;

static void *taker(void *arg)
{
	struct rate_conf c = { 1000 * SECOND, 5000 };
	struct rate_left left;

	for (int i = 0; i < 4000; i++)
		taken += ratebucket_take(&common, &c, SECOND, &left);
	return NULL;
}

START_TEST(bucket_is_the_process_s)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, taker, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(taken, 5000);
}
END_TEST

START_TEST(table)
{
	struct rate_conf c = { SECOND, 1 };
	struct ratetable *t = ratetable_new(64);
	struct rate_left left;
	int passed = 0;

	ck_assert(ratetable_take(t, 7, &c, SECOND, &left));
	ck_assert(!ratetable_take(t, 7, &c, SECOND, &left));
	ck_assert(ratetable_take(t, 8, &c, SECOND, &left));
	/* A flood of keys: the table is full, and those beyond it share one bucket. */
	for (uint64_t i = 100; i < 10000; i++)
		passed += ratetable_take(t, i, &c, SECOND, &left);
	ck_assert_int_le(passed, 64);
	ck_assert(!ratetable_take(t, 7, &c, SECOND, &left));
	/* Later their places are free again. */
	ck_assert(ratetable_take(t, 100000, &c, 9 * SECOND, &left));
	ck_assert(!ratetable_take(t, 100000, &c, 9 * SECOND, &left));
	ratetable_free(t);
}
END_TEST

/* --- the filter --- */

static const struct filter chain[] = { { &ratelimit_filter, NULL } };
static const char *const user[] = { "x-user" };
static const struct match get_only = { MATCH_EXACT, "GET" };
static const struct policy_demand get_demand = { .attr = ATTR_METHOD, .texts = &get_only, .n = 1 };
static const struct policy_match get_match = { .more = &get_demand, .n_more = 1 };
static const struct policy_clause get_clause = { &get_match, 1 };
static const struct policy_rule get_rule = { .clauses = &get_clause, .n_clauses = 1 };
static const struct rate_key by_user = { RATE_BY_HEADER, user, 1 }, by_identity = { .by = RATE_BY_IDENTITY };

static struct workload *publish(const struct rate_rule *rules, int n, bool headers, const char *service)
{
	static const struct mesh_settings settings = { .trust_domain = "cluster.local", .root_ns = "istio-system", .mode = MODE_SIDECAR };
	struct rate_limit from = { .key = "prod/r", .ns = "prod", .name = "r", .rules = rules, .n_rules = n, .headers = headers,
				   .shared = { .service = service } };
	struct mesh_edit *e = mesh_edit_begin();
	struct rate_limit *l = rate_limit_new(&from);
	struct workload *w = workload_new(&(struct workload){ .uid = "w", .ns = "prod", .name = "w" });

	ck_assert_int_eq(ratelimit_compile(l), 0);
	mesh_edit_settings(e, &settings);
	mesh_put_workload(e, w);
	mesh_put_rate_limit(e, l);
	mesh_edit_publish(e);
	fr.who.local_workload = w;
	return w;
}

static int ask(const char *method, const char *fields)
{
	char text[512];

	snprintf(text, sizeof(text), "%s /p HTTP/1.1\r\nHost: h\r\n%s\r\n", method, fields);
	filters_ask(chain, 1, text);
	return fr.status;
}

#define ck_has(where, text) ck_assert_msg(strstr(where, text) != NULL, "want '%s' in: %s", text, where)

START_TEST(requests)
{
	struct rate_rule rule = { .name = "gets", .match = &get_rule, .n_match = 1, .amount = 2, .per_s = 3600 };

	publish(&rule, 1, true, "");
	ck_assert_int_eq(ask("GET", ""), 200);
	ck_has(fr.got, "ratelimit-policy: \"gets\";q=2;w=3600\r\n");
	ck_has(fr.got, "ratelimit: \"gets\";r=1;t=1800\r\n");
	ck_assert_int_eq(ask("GET", ""), 200);
	ck_assert_int_eq(ask("GET", ""), 429);
	ck_has(fr.got, "retry-after: 1800\r\n");
	ck_has(fr.got, "ratelimit: \"gets\";r=0;t=1800\r\n");
	ck_has(fr.got, "x-envoy-ratelimited: true\r\n");
	ck_assert_int_eq(fr.why, FAIL_RATE_LIMITED);
	ck_assert_str_eq(fr.sent, "");
	ck_assert_int_eq(ask("PUT", ""), 200);
	ck_assert_ptr_null(strstr(fr.got, "ratelimit"));
}
END_TEST

START_TEST(keys)
{
	struct rate_rule rule = { .name = "users", .keys = &by_user, .n_keys = 1, .amount = 1, .per_s = 3600 };

	publish(&rule, 1, false, "");
	ck_assert_int_eq(ask("GET", "x-user: a\r\n"), 200);
	ck_assert_int_eq(ask("GET", "X-User: a\r\n"), 429);
	ck_assert_ptr_null(strstr(fr.got, "ratelimit:"));
	ck_assert_int_eq(ask("GET", "x-user: b\r\n"), 200);
	ck_assert_int_eq(ask("GET", ""), 200);      /* the rule is about users */
	ck_assert_int_eq(ask("GET", ""), 200);
}
END_TEST

START_TEST(dry_run)
{
	struct rate_rule rule = { .name = "d", .amount = 1, .per_s = 3600, .dry_run = true };

	publish(&rule, 1, false, "");
	ck_assert_int_eq(ask("GET", ""), 200);
	ck_assert_int_eq(ask("GET", ""), 200);
}
END_TEST

START_TEST(connections)
{
	struct rate_rule rules[] = {
		{ .name = "requests", .amount = 1, .per_s = 3600 },
		{ .name = "conns", .keys = &by_identity, .n_keys = 1, .amount = 1, .per_s = 3600, .connections = true },
	};
	struct workload *w = publish(rules, 2, false, "");
	struct authz_input a = { .principal = str_c("spiffe://td/ns/a/sa/a") }, b = { .principal = str_c("spiffe://td/ns/b/sa/b") }, nobody = { 0 };
	const char *rule = NULL;

	ck_assert(ratelimit_connection(mesh_current(), w, &a, &rule));
	ck_assert(!ratelimit_connection(mesh_current(), w, &a, &rule));
	ck_assert_str_eq(rule, "conns");
	ck_assert(ratelimit_connection(mesh_current(), w, &b, &rule));
	ck_assert(ratelimit_connection(mesh_current(), w, &nobody, &rule));
	ck_assert(ratelimit_connection(mesh_current(), w, &nobody, &rule));
}
END_TEST

static enum filter_step question(struct exchange *x, void *state, const void *conf)
{
	struct rate_question q[4];
	int n = rate_questions(x, q, 4);

	ck_assert_int_eq(n, fields_get(&x->request_fields, "x-user").p ? 2 : 1);
	ck_assert_str_eq(q[0].entries[0].key, "rule");
	ck_assert(str_is(q[0].entries[0].value, "all"));
	ck_assert_int_eq(q[0].n, 1);
	if (n == 2) {
		ck_assert_int_eq(q[1].n, 2);
		ck_assert_str_eq(q[1].entries[1].key, "header:x-user");
		ck_assert(str_is(q[1].entries[1].value, "joe"));
	}
	return FILTER_NEXT;
}

START_TEST(shared)
{
	static const struct filter_ops asker = { .name = "asker", .on_request = question };
	static const struct filter both[] = { { &ratelimit_filter, NULL }, { &asker, NULL } };
	struct rate_rule rules[] = {
		{ .name = "all", .amount = 1, .per_s = 3600 },
		{ .name = "users", .keys = &by_user, .n_keys = 1, .amount = 1, .per_s = 3600 },
	};

	publish(rules, 2, false, "limits.test");
	filters_ask(both, 2, "GET / HTTP/1.1\r\nHost: h\r\nx-user: joe\r\n\r\n");
	ck_assert_int_eq(fr.status, 200);
	filters_ask(both, 2, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert_int_eq(fr.status, 200);      /* no local bucket */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ratelimit");
	TCase *t = tcase_create("ratelimit");

	tcase_add_test(t, bucket);
	tcase_add_test(t, bucket_is_the_process_s);
	tcase_add_test(t, table);
	tcase_add_test(t, requests);
	tcase_add_test(t, keys);
	tcase_add_test(t, dry_run);
	tcase_add_test(t, connections);
	tcase_add_test(t, shared);
	suite_add_tcase(s, t);
	return suite_run(s);
}
