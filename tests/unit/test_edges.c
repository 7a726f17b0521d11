/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/edges.h"

#include <pthread.h>
#include <stdio.h>

#include "tests/unit/suite.h"

#define WEB "spiffe://cluster.local/ns/shop/sa/web"
#define CART "spiffe://cluster.local/ns/shop/sa/cart"

static struct edge seen[8], rest;
static char names[8][256];
static size_t n_seen, n_more;

static void note(const struct edge *e, void *arg)
{
	ck_assert_uint_lt(n_seen, 8);
	snprintf(names[n_seen], sizeof(names[0]), "%.*s %.*s %.*s %.*s", STR_FMT(e->reporter), STR_FMT(e->source), STR_FMT(e->destination),
		 STR_FMT(e->service));
	seen[n_seen++] = *e;
}

static void read_them(size_t max)
{
	n_seen = 0;
	n_more = edges_each(max, note, NULL, &rest);
}

static struct tally_row *row(const char *source, const char *workload, const char *destination)
{
	return edge_row(str_c("destination"), &(struct edge_end){ str_c(source), str_c("shop"), str_c(workload) },
			&(struct edge_end){ str_c(destination), str_c("shop"), str_c("") }, str_c(""));
}

START_TEST(ends_have_names)
{
	tally_add(row(WEB, "web-1", CART), EDGE_REQUESTS, 3);
	tally_add(row("", "web-1", CART), EDGE_REQUESTS, 2);
	tally_add(edge_row(str_c("source"), &(struct edge_end){ .ns = str_c("shop") }, &(struct edge_end){ 0 }, str_c("a.example")), EDGE_CONNECTIONS, 1);
	ck_assert_ptr_eq(row(WEB, "web-2", CART), row(WEB, "web-1", CART));
	read_them(8);
	ck_assert_uint_eq(n_seen, 3);
	ck_assert_str_eq(names[0], "destination " WEB " " CART " ");
	ck_assert_str_eq(names[1], "destination shop/web-1 " CART " ");
	ck_assert_str_eq(names[2], "source unknown unknown a.example");
	ck_assert_uint_eq(seen[0].count[EDGE_REQUESTS], 3);
}
END_TEST

static const struct {
	enum fail why;
	int status;
	uint64_t refused, failed;
} ends[] = {
	{ FAIL_NONE, 200, 0, 0 }, { FAIL_NONE, 404, 0, 0 }, { FAIL_NONE, 503, 0, 1 }, { FAIL_NONE, 0, 0, 0 }, { FAIL_DENIED, 403, 1, 0 },
	{ FAIL_DENIED, 0, 1, 0 }, { FAIL_UNSAFE_CONFIG, 503, 1, 0 }, { FAIL_RATE_LIMITED, 429, 1, 0 }, { FAIL_JWT, 401, 1, 0 },
	{ FAIL_EXT_ERROR, 403, 1, 0 }, { FAIL_CONNECT, 503, 0, 1 }, { FAIL_CONNECT, 0, 0, 1 }, { FAIL_TIMEOUT, 504, 0, 1 },
	{ FAIL_CLIENT_RESET, 0, 0, 0 }, { FAIL_SERVER_RESET, 0, 0, 0 }, { FAIL_DRAIN, 0, 0, 0 },
};

START_TEST(verdicts)
{
	edge_end(row(WEB, "", CART), ends[_i].why, ends[_i].status);
	edge_end(NULL, ends[_i].why, ends[_i].status);   /* there was no memory */
	read_them(8);
	ck_assert_uint_eq(seen[0].count[EDGE_REFUSED], ends[_i].refused);
	ck_assert_uint_eq(seen[0].count[EDGE_FAILED], ends[_i].failed);
}
END_TEST

static void *another_thread(void *arg)
{
	tally_add(row(WEB, "", CART), EDGE_SENT, 7);
	return NULL;
}

START_TEST(threads_are_summed)
{
	pthread_t t;

	tally_add(row(WEB, "", CART), EDGE_SENT, 5);
	pthread_create(&t, NULL, another_thread, NULL);
	pthread_join(t, NULL);
	read_them(8);
	ck_assert_uint_eq(n_seen, 1);
	ck_assert_uint_eq(seen[0].count[EDGE_SENT], 12);
}
END_TEST

/* As many callers as want: the table stops to grow, and nothing is lost of the sum. */
START_TEST(bounded)
{
	char id[64];

	for (int i = 0; i < TALLY_ROWS + 1000; i++) {
		snprintf(id, sizeof(id), "spiffe://cluster.local/ns/many/sa/%d", i);
		tally_add(row(id, "", CART), EDGE_CONNECTIONS, 1);
	}
	tally_add(row("spiffe://cluster.local/ns/many/sa/7", "", CART), EDGE_CONNECTIONS, 4);
	read_them(2);
	ck_assert_uint_eq(n_seen, 2);
	ck_assert_str_eq(names[0], "overflow overflow overflow overflow");
	ck_assert_uint_ge(seen[0].count[EDGE_CONNECTIONS], 1000);
	ck_assert_uint_eq(seen[1].count[EDGE_CONNECTIONS], 5);
	ck_assert_uint_le(n_more, TALLY_ROWS);
	ck_assert_uint_eq(seen[0].count[EDGE_CONNECTIONS] + 5 + rest.count[EDGE_CONNECTIONS], TALLY_ROWS + 1004);
}
END_TEST

/* Values come from peers: one that is too long is cut, one with a NUL ends there. */
START_TEST(odd_names)
{
	char id[1000];

	memset(id, 'x', sizeof(id));
	tally_add(edge_row(str_c("destination"), &(struct edge_end){ .ns = { id, sizeof(id) }, .workload = { id, sizeof(id) } },
			   &(struct edge_end){ .identity = { "a\0b", 3 } }, (struct str){ id, sizeof(id) }), EDGE_REQUESTS, 1);
	read_them(8);
	ck_assert_uint_eq(seen[0].source.n, TALLY_VALUE_BYTES - 1);
	ck_assert_uint_eq(seen[0].service.n, TALLY_VALUE_BYTES - 1);
	ck_assert(str_is(seen[0].destination, "a"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("edges");
	TCase *t = tcase_create("edges");

	tcase_add_test(t, ends_have_names);
	tcase_add_loop_test(t, verdicts, 0, (int)(sizeof(ends) / sizeof(ends[0])));
	tcase_add_test(t, threads_are_summed);
	tcase_add_test(t, bounded);
	tcase_add_test(t, odd_names);
	suite_add_tcase(s, t);
	return suite_run(s);
}
