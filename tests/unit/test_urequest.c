/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of our own against HTTP servers on loopback. */
#include "traffic/urequest.h"

#include "tests/unit/fakecluster.h"
#include "tests/unit/upstreams.h"

struct loop *upstreams_loop;
static struct loop *l;
static struct router_env env;
static struct upstream server;
static struct cluster cluster;
static struct connector plain = { .connect = plain_connect, .error = plain_error };
static uint64_t seed;

static struct got {
	int calls, status, grpc;
	enum fail why;
	bool head, whole;
	char body[64], message[64], detail[128];
} got[4];

static void start_as(enum http_codec codec)
{
	l = upstreams_loop = loop_new(0);
	env = (struct router_env){ .loop = l, .pool = upool_new(l, &plain), .seed = &seed };
	fakecluster_init(&cluster, "outbound|80||a");
	upstream_start(&server, l, codec);
	fakecluster_host(&cluster, &server.at);
	memset(got, 0, sizeof(got));
}

static void start(void)
{
	start_as(HTTP_CODEC_H1);
}

static void start_h2(void)
{
	start_as(HTTP_CODEC_H2);
}

static void stop(void)
{
	upool_free(env.pool);
	upstream_stop(&server);
	turn(l);
	loop_free(l);
	fakecluster_check(&cluster);
}

static void on_done(void *arg, const struct urequest_reply *r, enum fail why, const char *detail)
{
	struct got *g = arg;

	g->calls++;
	g->why = why;
	g->head = r->head != NULL;
	g->status = r->head ? r->head->status : 0;
	g->grpc = r->grpc_status;
	g->whole = r->whole;
	snprintf(g->body, sizeof(g->body), "%.*s", STR_FMT(r->body));
	snprintf(g->message, sizeof(g->message), "%.*s", STR_FMT(r->grpc_message));
	snprintf(g->detail, sizeof(g->detail), "%s", detail);
}

static struct urequest *ask(struct got *g, const char *body, bool grpc, unsigned timeout_ms, size_t max_body)
{
	struct http_field f[] = { { str_c("content-type"), str_c("application/grpc") } };
	struct http_head head = { .method = str_c("POST"), .authority = str_c("a.example"), .scheme = str_c("http"), .path = str_c("/check"),
				  .fields = f, .n_fields = grpc };
	struct urequest *r = urequest_start(&env, &cluster, &head, str_c(body), timeout_ms, max_body, on_done, g);

	ck_assert_ptr_nonnull(r);
	ck_assert_int_eq(g->calls, 0);
	return r;
}

/* Some seconds at most. */
static void wait_for(const struct got *g)
{
	for (int i = 0; i < 250 && !g->calls; i++)
		turn(l);
	ck_assert_int_eq(g->calls, 1);
	turn(l);
	ck_assert_int_eq(g->calls, 1);
}

START_TEST(answer_with_its_body)
{
	upstream_script(&server, 0, DOES_ANSWER, 200);
	upstream_script(&server, 1, DOES_ANSWER, 403);
	ask(&got[0], "what?", false, 5000, 1000);
	wait_for(&got[0]);
	ck_assert(got[0].why == FAIL_NONE && got[0].status == 200 && got[0].whole && got[0].grpc == -1);
	ck_assert_str_eq(got[0].body, "hello");
	ck_assert_str_eq(server.last_body, "what?");
	ck_assert_str_eq(server.last_path, "/check");
	ask(&got[1], "", false, 0, 1000);
	wait_for(&got[1]);
	ck_assert_int_eq(got[1].status, 403);
	ck_assert_str_eq(server.last_body, "");
	ck_assert_int_eq(server.conns, 1);
	ck_assert_int_eq(cluster.hosts[0].errors, 0);
}
END_TEST

START_TEST(a_body_beyond_the_bound_ends_it)
{
	ask(&got[0], "", false, 5000, 3);
	wait_for(&got[0]);
	ck_assert(got[0].why == FAIL_NONE && got[0].status == 200 && !got[0].whole);
	ck_assert_str_eq(got[0].body, "hel");
	ask(&got[1], "", false, 5000, 5);        /* it fits exactly */
	wait_for(&got[1]);
	ck_assert(got[1].whole);
}
END_TEST

START_TEST(grpc_status_of_trailers_and_of_a_head_alone)
{
	upstream_script(&server, 0, DOES_TRAILERS, 0);
	upstream_script(&server, 1, DOES_TRAILERS, 5);
	upstream_script(&server, 2, DOES_GRPC, 14);
	for (int i = 0; i < 3; i++) {
		const int want[] = { 0, 5, 14 };

		ask(&got[i], "msg", true, 5000, 1000);
		wait_for(&got[i]);
		ck_assert(got[i].status == 200 && got[i].whole);
		ck_assert_int_eq(got[i].grpc, want[i]);
		ck_assert_str_eq(got[i].body, i < 2 ? "hello" : "");
		ck_assert_str_eq(got[i].message, i < 2 ? "so it is" : "");
	}
	ck_assert_int_eq(server.conns, 1);
}
END_TEST

START_TEST(many_at_once_over_h2)
{
	for (int i = 0; i < 4; i++)
		ask(&got[i], "x", true, 5000, 1000);
	for (int i = 0; i < 4; i++)
		wait_for(&got[i]);
	ck_assert_int_eq(server.requests, 4);
	ck_assert_uint_eq(cluster.most[LIMIT_OF_REQUESTS], 4);
}
END_TEST

START_TEST(no_answer_in_time)
{
	upstream_script(&server, 0, DOES_NOTHING, 0);
	ask(&got[0], "", false, 30, 1000);
	wait_for(&got[0]);
	ck_assert(got[0].why == FAIL_TIMEOUT && !got[0].head);
	ck_assert_int_eq(cluster.hosts[0].errors, 1);
}
END_TEST

START_TEST(what_goes_wrong_is_told)
{
	static const struct { enum upstream_does does; enum fail why; } rows[] = {
		{ DOES_RESET, FAIL_PEER_CLOSED }, { DOES_CLOSE, FAIL_PEER_CLOSED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		memset(got, 0, sizeof(got));
		upstream_script(&server, 0, rows[i].does, 0);
		ask(&got[0], "x", false, 5000, 1000);
		wait_for(&got[0]);
		ck_assert(!got[0].head);
		ck_assert_int_eq(got[0].why, rows[i].why);
	}
	memset(got, 0, sizeof(got));
	upstream_stop(&server);
	ask(&got[0], "", false, 5000, 1000);
	wait_for(&got[0]);
	ck_assert_int_eq(got[0].why, FAIL_CONNECT);
	cluster.n_hosts = 0;
	ask(&got[1], "", false, 5000, 1000);
	wait_for(&got[1]);
	ck_assert_int_eq(got[1].why, FAIL_NO_ENDPOINT);
	cluster.n_hosts = 1;
}
END_TEST

START_TEST(at_the_limit)
{
	cluster.conf.pool.max_requests = 1;
	upstream_script(&server, 0, DOES_NOTHING, 0);
	ask(&got[0], "", true, 5000, 1000);
	turn(l);
	ask(&got[1], "", true, 5000, 1000);
	wait_for(&got[1]);
	ck_assert_int_eq(got[1].why, FAIL_OVERFLOW);
	ck_assert_int_eq(got[0].calls, 0);
	upstream_hang_up(&server);
	wait_for(&got[0]);
}
END_TEST

START_TEST(cancelled_at_any_time)
{
	struct urequest *r;

	upstream_script(&server, 0, DOES_NOTHING, 0);
	for (int turns = 0; turns < 3; turns++) {
		r = ask(&got[0], "x", false, 5000, 1000);
		for (int i = 0; i < turns * 3; i++)
			ev_run(l->ev, EVRUN_NOWAIT);
		urequest_cancel(r);
		turn(l);
		ck_assert_int_eq(got[0].calls, 0);
	}
	urequest_cancel(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("urequest");
	TCase *h1 = tcase_create("h1"), *h2 = tcase_create("h2");

	tcase_add_checked_fixture(h1, start, stop);
	tcase_add_test(h1, answer_with_its_body);
	tcase_add_test(h1, a_body_beyond_the_bound_ends_it);
	tcase_add_test(h1, no_answer_in_time);
	tcase_add_test(h1, what_goes_wrong_is_told);
	tcase_add_test(h1, cancelled_at_any_time);
	suite_add_tcase(s, h1);
	tcase_add_checked_fixture(h2, start_h2, stop);
	tcase_set_timeout(h2, 20);
	tcase_add_test(h2, grpc_status_of_trailers_and_of_a_head_alone);
	tcase_add_test(h2, many_at_once_over_h2);
	tcase_add_test(h2, at_the_limit);
	suite_add_tcase(s, h2);
	return suite_run(s);
}
