/* SPDX-License-Identifier: Apache-2.0 */
/* The router between a client and scripted servers on loopback. */
#include "tests/unit/routerlab.h"
#include "traffic/upool_int.h"

static void start(void)
{
	lab_start(HTTP_CODEC_H1, 2);
}

static void start_h2(void)
{
	lab_start(HTTP_CODEC_H2, 2);
}

START_TEST(test_relays)
{
	struct asked a = lab_ask("GET", NULL);

	ck_assert_int_eq(a.status, 200);
	ck_assert_str_eq(a.body, "hello");
	ck_assert_str_eq(lab.server[0].last_path, "/p?k=v");
	ck_assert_int_eq(lab.log.why, FAIL_NONE);
	ck_assert_uint_eq(lab.log.attempts, 1);
	ck_assert(addr_eq(&lab.log.upstream, &lab.server[0].at));
	ck_assert(str_is(lab.log.cluster_name, "outbound|80||a") && str_is(lab.log.route_name, "r"));
	a = lab_ask("POST", "some body");
	ck_assert_int_eq(a.status, 200);
	ck_assert_str_eq(lab.server[1].last_body, "some body");
}
END_TEST

START_TEST(test_weights)
{
	int other = 0;

	fakecluster_host(&lab.other, &lab.server[1].at);
	lab.cluster.n_hosts = 1;
	lab.target[0].weight = 3;
	lab.route.n_targets = 2;
	lab.route.weight_sum = 4;
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(lab_ask("GET", NULL).status, 200);
		other += str_is(lab.log.cluster_name, "outbound|80||b");
	}
	ck_assert_int_ge(other, 25);
	ck_assert_int_le(other, 80);
}
END_TEST

START_TEST(test_no_cluster_no_host)
{
	struct asked a;

	lab.target[0].cluster = NULL;
	lab.route.missing_status = 500;
	ck_assert_int_eq(lab_ask("GET", NULL).status, 500);
	ck_assert_int_eq(lab.log.why, FAIL_NO_CLUSTER);
	lab.target[0].cluster = &lab.cluster;
	lab.cluster.n_hosts = 0;
	a = lab_ask("GET", NULL);
	ck_assert_int_eq(a.status, 503);
	ck_assert_str_eq(a.body, "no healthy upstream");
	ck_assert_str_eq(fail_http(lab.log.why)->flag, "UH");
}
END_TEST

START_TEST(test_connect_failure)
{
	struct asked a;

	upstream_deaf(&lab.server[0]);
	upstream_deaf(&lab.server[1]);
	a = lab_ask("GET", NULL);
	ck_assert_int_eq(a.status, 503);
	ck_assert_str_eq(a.body, "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure");
	ck_assert_str_eq(fail_http(lab.log.why)->flag, "UF");
	ck_assert_str_eq(lab.log.details, "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}");
	lab.route.retry.on = RETRY_CONNECT_FAILURE;
	lab.route.retry.attempts = 2;
	a = lab_ask("POST", "x");
	ck_assert_ptr_nonnull(strstr(a.body, "headers. retried and the latest reset reason: remote connection failure"));
	ck_assert_uint_eq(lab.log.attempts, 3);
	ck_assert(lab.log.retry_limit);
}
END_TEST

START_TEST(test_other_host)
{
	upstream_deaf(&lab.server[0]);
	lab.route.retry.on = RETRY_CONNECT_FAILURE;
	lab.route.retry.attempts = 2;
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(lab_ask("POST", "x").status, 200);
	ck_assert_int_eq(lab.server[1].requests, 4);
}
END_TEST

START_TEST(test_attempt_count)
{
	struct http_field count = { str_c("x-envoy-attempt-count"), str_c("1") };
	struct asked a;

	upstream_script(&lab.server[0], 0, DOES_ANSWER, 503);
	lab.cluster.n_hosts = 1;
	lab.route.retry.on = RETRY_5XX;
	lab.route.retry.attempts = 2;
	lab_send(&a, "GET", &count, 1, NULL, true);
	lab_wait(&a);
	ck_assert_int_eq(a.status, 503);
	ck_assert_str_eq(lab.server[0].last_count, "3");
	ck_assert_uint_eq(lab.log.attempts, 3);
	ck_assert(lab.log.retry_limit);
}
END_TEST

START_TEST(test_body_is_replayed)
{
	upstream_script(&lab.server[0], 0, DOES_CLOSE, 0);
	lab.route.retry.on = RETRY_RESET;
	lab.route.retry.attempts = 1;
	ck_assert_int_eq(lab_ask("POST", "twice").status, 200);
	ck_assert_str_eq(lab.server[1].last_body, "twice");
	ck_assert_uint_eq(lab.log.attempts, 2);
}
END_TEST

START_TEST(test_large_body_is_not_replayed)
{
	char body[3000];

	memset(body, 'x', sizeof(body));
	body[sizeof(body) - 1] = 0;
	upstream_script(&lab.server[0], 0, DOES_CLOSE, 0);
	lab.route.retry.on = RETRY_RESET;
	lab.route.retry.attempts = 1;
	ck_assert_int_eq(lab_ask("POST", body).status, 503);
	ck_assert_str_eq(fail_http(lab.log.why)->flag, "UC");
	ck_assert_int_eq(lab_requests(), 1);
}
END_TEST

/* The server closes a kept connection just when it is used again. */
START_TEST(test_stale_connection)
{
	struct asked a;

	lab.cluster.n_hosts = 1;
	upstream_script(&lab.server[0], 0, DOES_ANSWER, 200);
	upstream_script(&lab.server[0], 1, DOES_CLOSE, 0);
	upstream_script(&lab.server[0], 2, DOES_ANSWER, 200);
	ck_assert_int_eq(lab_ask("GET", NULL).status, 200);
	ck_assert_int_eq(lab_ask("GET", NULL).status, 200);      /* without any policy */
	ck_assert_int_eq(lab.server[0].conns, 2);
	ck_assert_int_eq(lab.server[0].requests, 3);
	ck_assert_uint_eq(lab.log.attempts, 1);
	/* What might have been done is not done again. */
	upstream_script(&lab.server[0], 3, DOES_CLOSE, 0);
	a = lab_ask("POST", "x");
	ck_assert_int_eq(a.status, 503);
	ck_assert_int_eq(lab.server[0].requests, 4);
}
END_TEST

START_TEST(test_new_connection_that_closes_is_no_accident)
{
	upstream_script(&lab.server[0], 0, DOES_CLOSE, 0);
	ck_assert_int_eq(lab_ask("GET", NULL).status, 503);
	ck_assert_int_eq(lab_requests(), 1);
	ck_assert_str_eq(lab.log.details, "upstream_reset_before_response_started{connection_termination}");
}
END_TEST

START_TEST(test_route_timeout)
{
	struct asked a;

	upstream_script(&lab.server[0], 0, DOES_NOTHING, 0);
	lab.route.timeout_ms = 50;
	a = lab_ask("GET", NULL);
	ck_assert_int_eq(a.status, 504);
	ck_assert_str_eq(a.body, "upstream request timeout");
	ck_assert_str_eq(fail_http(lab.log.why)->flag, "UT");
}
END_TEST

/* The clock starts when the request is whole. */
START_TEST(test_slow_upload_is_no_timeout)
{
	struct asked a;

	lab.route.timeout_ms = 60;
	lab_send(&a, "POST", NULL, 0, "a", false);
	for (int i = 0; i < 8; i++)
		turn(lab.loop);
	ck_assert(!a.done);
	stage_shut(&a.stream->stage);
	lab_wait(&a);
	ck_assert_int_eq(a.status, 200);
}
END_TEST

START_TEST(test_per_try_timeout)
{
	upstream_script(&lab.server[0], 0, DOES_NOTHING, 0);
	lab.route.retry.per_try_ms = 40;
	ck_assert_int_eq(lab_ask("GET", NULL).status, 504);
	ck_assert_str_eq(lab.log.details, fail_http(FAIL_TRY_TIMEOUT)->details);
	lab.route.retry.on = RETRY_GATEWAY_ERROR;
	lab.route.retry.attempts = 1;
	ck_assert_int_eq(lab_ask("GET", NULL).status, 200);       /* server 1 */
	lab.cluster.next = 0;
	ck_assert_int_eq(lab_ask("GET", NULL).status, 200);
	ck_assert_uint_eq(lab.log.attempts, 2);
}
END_TEST

START_TEST(test_grpc_timeout)
{
	struct http_field f[2] = { { str_c("content-type"), str_c("application/grpc") }, { str_c("grpc-timeout"), str_c("40m") } };
	struct asked a;

	upstream_script(&lab.server[0], 0, DOES_NOTHING, 0);
	lab_send(&a, "POST", f, 2, "x", true);
	lab_wait(&a);
	ck_assert_int_eq(a.status, 200);
	ck_assert_int_eq(lab.log.why, FAIL_TIMEOUT);
	ck_assert_int_ne(lab.log.grpc_status, 0);
}
END_TEST

/* What is left is told to the server: the client's time, up to the route's maximum. */
START_TEST(test_grpc_timeouts_are_told)
{
	static const struct { const char *asked, *told; } rows[] = {
		{ "1H", "5000m" }, { "1M", "5000m" }, { "2S", "2000m" }, { "3000m", "3000m" }, { "2500000u", "2500m" }, { "4000000001n", "7000m" },
		{ "123456789m", "7000m" }, { "5", "7000m" }, { "-1S", "7000m" }, { "1x", "7000m" },   /* malformed: the route's time */
	};

	upstream_script(&lab.server[0], 0, DOES_NOTHING, 0);
	lab.cluster.n_hosts = 1;
	lab.route.timeout_ms = 7000;
	lab.route.max_grpc_timeout_ms = 5000;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_field f[2] = { { str_c("content-type"), str_c("application/grpc") }, { str_c("grpc-timeout"), str_c(rows[i].asked) } };
		struct asked a;
		int before = lab_requests();

		lab_send(&a, "POST", f, 2, "x", true);
		for (int k = 0; k < 200 && lab_requests() == before && !a.done; k++)
			lab_settle();
		ck_assert_msg(strcmp(lab.server[0].last_timeout, rows[i].told) == 0, "%s: %s", rows[i].asked, lab.server[0].last_timeout);
		if (a.stream)
			stage_done(&a.stream->stage, FAIL_CLIENT_RESET);
		lab_settle();
	}
}
END_TEST

START_TEST(test_grpc_retry)
{
	struct http_field f[1] = { { str_c("content-type"), str_c("application/grpc") } };
	struct asked a;

	upstream_script(&lab.server[0], 0, DOES_GRPC, 14);
	upstream_script(&lab.server[1], 0, DOES_GRPC, 0);
	lab.route.retry.on = RETRY_GRPC_UNAVAILABLE;
	lab.route.retry.attempts = 2;
	lab_send(&a, "POST", f, 1, "x", true);
	lab_wait(&a);
	ck_assert_int_eq(lab.log.grpc_status, 0);
	ck_assert_uint_eq(lab.log.attempts, 2);
}
END_TEST

START_TEST(test_refused_stream)
{
	upstream_script(&lab.server[0], 0, DOES_REFUSE, 0);
	ck_assert_int_eq(lab_ask("POST", "x").status, 200);       /* nothing was done: another one, unasked */
	ck_assert_int_eq(lab_requests(), 2);
	upstream_script(&lab.server[0], 0, DOES_RESET, 0);
	upstream_script(&lab.server[1], 0, DOES_RESET, 0);
	ck_assert_int_eq(lab_ask("POST", "x").status, 503);
	ck_assert_str_eq(fail_http(lab.log.why)->flag, "UR");
}
END_TEST

static bool all_stale(const struct cluster *c, const struct workload *w, void *arg)
{
	return true;
}

START_TEST(test_breakers)
{
	struct asked a, held;

	upstream_script(&lab.server[0], 0, DOES_NOTHING, 0);
	upstream_script(&lab.server[1], 0, DOES_NOTHING, 0);
	lab.cluster.conf.pool.max_requests = 1;
	lab_send(&held, "GET", NULL, 0, NULL, true);
	turn(lab.loop);
	a = lab_ask("GET", NULL);
	ck_assert_int_eq(a.status, 503);
	ck_assert_str_eq(fail_http(lab.log.why)->flag, "UO");
	ck_assert_str_eq(a.overloaded, "true");
	stage_done(&held.stream->stage, FAIL_CLIENT_RESET);
	turn(lab.loop);
	ck_assert_uint_eq(lab.cluster.used[LIMIT_OF_REQUESTS], 0);
	lab.cluster.conf.pool.max_pending = 0;
	lab.cluster.n_hosts = 1;
	lab.cluster.conf.pool.max_requests = 10;
	lab.route.retry.on = ~0u;
	lab.route.retry.attempts = 3;
	upool_retire(lab.pool, all_stale, NULL);
	a = lab_ask("GET", NULL);
	ck_assert_int_eq(a.status, 503);
	ck_assert_uint_eq(lab.log.attempts, 1);                   /* an overflow is not tried again */
}
END_TEST

START_TEST(test_limit_of_retries)
{
	upstream_script(&lab.server[0], 0, DOES_ANSWER, 500);
	lab.route.retry.on = RETRY_5XX;
	lab.route.retry.attempts = 3;
	lab.cluster.conf.pool.max_retries = 0;
	ck_assert_int_eq(lab_ask("GET", NULL).status, 500);
	ck_assert_uint_eq(lab.log.attempts, 1);
	ck_assert(!lab.log.retry_limit);
}
END_TEST

START_TEST(test_client_goes_away)
{
	struct asked a;

	upstream_script(&lab.server[0], 0, DOES_NOTHING, 0);
	lab.route.timeout_ms = 10000;
	lab.route.retry.per_try_ms = 5000;
	lab_send(&a, "GET", NULL, 0, NULL, true);
	turn(lab.loop);
	stage_done(&a.stream->stage, FAIL_CLIENT_RESET);
	turn(lab.loop);
	ck_assert_int_eq(lab.ended, 1);
	ck_assert_uint_eq(lab.cluster.used[LIMIT_OF_REQUESTS], 0);
}
END_TEST

START_TEST(test_hash_by_header)
{
	int first = -1;

	lab.route.hash = (struct hash_conf){ .by = HASH_HEADER, .name = "x-user" };
	for (int i = 0; i < 5; i++) {
		struct http_field f = { str_c("x-user"), str_c("ann") };
		struct asked a;
		int n = lab.server[0].requests;

		lab_send(&a, "GET", &f, 1, NULL, true);
		lab_wait(&a);
		first = first < 0 ? lab.server[0].requests - n : first;
		ck_assert_int_eq(lab.server[0].requests - n, first);
	}
}
END_TEST

START_TEST(test_hash_cookie)
{
	struct http_field f = { str_c("cookie"), { 0 } };
	struct asked a;
	char value[300];
	int n;

	lab.route.hash = (struct hash_conf){ .by = HASH_COOKIE, .name = "sid", .cookie_make = true, .cookie_ttl_s = 60, .cookie_path = "/p" };
	a = lab_ask("GET", NULL);
	ck_assert_ptr_nonnull(strstr(a.cookie, "sid=\""));
	ck_assert_ptr_nonnull(strstr(a.cookie, "\"; Max-Age=60; Path=/p; HttpOnly"));
	snprintf(value, sizeof(value), "other=1; %.*s", (int)strcspn(a.cookie, ";"), a.cookie);
	f.value = str_c(value);
	for (int i = 0; i < 4; i++) {
		n = lab.server[0].requests;
		lab_send(&a, "GET", &f, 1, NULL, true);
		lab_wait(&a);
		ck_assert_str_eq(a.cookie, "");
		ck_assert_int_eq(lab.server[0].requests - n, n > 0);   /* where the first one went */
	}
}
END_TEST

START_TEST(test_mirror)
{
	struct route_mirror m = { &lab.other, { 100, 100 } };

	fakecluster_host(&lab.other, &lab.server[1].at);
	lab.cluster.n_hosts = 1;
	lab.route.mirrors = &m;
	lab.route.n_mirrors = 1;
	ck_assert_int_eq(lab_ask("GET", NULL).status, 200);
	turn(lab.loop);
	ck_assert_int_eq(lab.server[1].requests, 1);
	upstream_script(&lab.server[1], 0, DOES_ANSWER, 500);
	ck_assert_int_eq(lab_ask("POST", "seen twice").status, 200);
	turn(lab.loop);
	ck_assert_int_eq(lab.server[1].requests, 2);
	ck_assert_str_eq(lab.server[1].last_body, "seen twice");
	ck_assert_str_eq(lab.server[0].last_body, "seen twice");
	/* A mirror that hangs or is not there disturbs nobody. */
	upstream_script(&lab.server[1], 0, DOES_NOTHING, 0);
	ck_assert_int_eq(lab_ask("GET", NULL).status, 200);
	upstream_stop(&lab.server[1]);
	ck_assert_int_eq(lab_ask("GET", NULL).status, 200);
	turn(lab.loop);
}
END_TEST

/* A mirror's answers are read to their end: it sees no client that goes, and keeps its connection. */
START_TEST(test_answers_of_mirrors)
{
	static const char *const parts[] = { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "world" };
	struct route_mirror m = { &lab.other, { 100, 100 } };

	fakecluster_host(&lab.other, &lab.server[1].at);
	lab.cluster.n_hosts = 1;
	lab.route.mirrors = &m;
	lab.route.n_mirrors = 1;
	upstream_script(&lab.server[1], 0, DOES_NOTHING, 0);
	ck_assert_int_eq(lab_ask("GET", NULL).status, 200);
	turn(lab.loop);
	ck_assert_int_eq(lab.server[1].requests, 1);
	for (int k = 0; k < 2; k++) {
		int fd = sock_fd(container_of(lab.server[1].open.next, struct upstream_conn, link)->sock);

		ck_assert_int_gt(send(fd, parts[k], strlen(parts[k]), MSG_NOSIGNAL), 0);
		turn(lab.loop);
		ck_assert_int_eq(lab.server[1].live, 1);
	}
}
END_TEST

/* Nothing is wrong with the connection. */
START_TEST(test_a_request_that_cannot_be_sent)
{
	lab.cluster.n_hosts = 1;
	for (int i = 0; i < 6; i++) {
		lab.route.host_rewrite = i % 2 ? "not a host" : "";
		ck_assert_int_eq(lab_ask("GET", NULL).status, i % 2 ? 502 : 200);
	}
	ck_assert_int_eq(lab.server[0].conns, 1);
	ck_assert_int_eq(lab.server[0].requests, 3);
}
END_TEST

/* Over HTTP/2 the server must first say that it takes such requests (RFC 8441), which on a connection that was just made it has not yet. */
START_TEST(test_websocket_on_a_fresh_connection)
{
	struct http_field none[1] = { { { 0 }, { 0 } } };
	struct http_head head = { .method = str_c("GET"), .authority = str_c("a:80"), .scheme = str_c("http"), .path = str_c("/chat"), .upgrade = str_c("websocket"),
				  .fields = none };
	struct asked a = { .fail = -1 };

	lab_settle();
	a.stream = http_conn_request(lab.client, &head);
	ck_assert_ptr_nonnull(a.stream);
	a.stream->stage.on_event = asked_event;
	a.stream->stage.arg = &a;
	stage_want(&a.stream->stage, true);
	for (int i = 0; i < 100 && !a.done && strcmp(lab.server[0].last_path, "/chat"); i++)
		lab_settle();
	ck_assert_msg(!a.done, "%d %s", a.status, lab.details);
	ck_assert_str_eq(lab.server[0].last_path, "/chat");
	ck_assert_int_eq(lab.server[0].conns, 1);
	stage_done(&a.stream->stage, FAIL_CLIENT_RESET);
	lab_settle();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("router");
	TCase *t = tcase_create("h1"), *h2 = tcase_create("h2");

	tcase_add_checked_fixture(t, start, lab_stop);
	tcase_add_test(t, test_relays);
	tcase_add_test(t, test_weights);
	tcase_add_test(t, test_no_cluster_no_host);
	tcase_add_test(t, test_connect_failure);
	tcase_add_test(t, test_other_host);
	tcase_add_test(t, test_attempt_count);
	tcase_add_test(t, test_body_is_replayed);
	tcase_add_test(t, test_large_body_is_not_replayed);
	tcase_add_test(t, test_stale_connection);
	tcase_add_test(t, test_new_connection_that_closes_is_no_accident);
	tcase_add_test(t, test_route_timeout);
	tcase_add_test(t, test_slow_upload_is_no_timeout);
	tcase_add_test(t, test_per_try_timeout);
	tcase_add_test(t, test_breakers);
	tcase_add_test(t, test_limit_of_retries);
	tcase_add_test(t, test_client_goes_away);
	tcase_add_test(t, test_hash_by_header);
	tcase_add_test(t, test_hash_cookie);
	tcase_add_test(t, test_mirror);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(h2, start_h2, lab_stop);
	tcase_add_test(h2, test_relays);
	tcase_add_test(h2, test_per_try_timeout);
	tcase_add_test(h2, test_grpc_timeout);
	tcase_add_test(h2, test_grpc_timeouts_are_told);
	tcase_add_test(h2, test_grpc_retry);
	tcase_add_test(h2, test_refused_stream);
	tcase_add_test(h2, test_mirror);
	tcase_add_test(h2, test_websocket_on_a_fresh_connection);
	tcase_add_test(h2, test_a_request_that_cannot_be_sent);
	tcase_add_test(t, test_answers_of_mirrors);
	tcase_add_test(t, test_a_request_that_cannot_be_sent);
	suite_add_tcase(s, h2);
	return suite_run(s);
}
