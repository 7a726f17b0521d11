/* SPDX-License-Identifier: Apache-2.0 */
/* The pool against HTTP servers on loopback. */
#include "traffic/upool_int.h"

#include "tests/unit/fakecluster.h"
#include "tests/unit/upstreams.h"

struct loop *upstreams_loop;
static struct loop *l;
static struct upool *pool;
static struct upstream server;
static struct cluster cluster;
static int n_leaving;

static void leaving(struct connector *k, struct cluster *cl)
{
	n_leaving++;
}

static struct connector plain = { .connect = plain_connect, .error = plain_error, .leaving = leaving };
static bool want_h2;

/* A request, and what became of it. */
static struct client {
	struct uwait wait;
	struct uconn *conn;
	struct http_stream *stream;
	enum upool_answer answer;
	int status, why;
	bool eof, hold;
} client[64];

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct client *c = s->arg;

	if (ev == STAGE_OPEN)
		c->status = c->stream->head->status;
	if (ev == STAGE_EOF || ev == STAGE_CLOSED) {
		c->eof = ev == STAGE_EOF;
		c->why = (int)s->fail;
		stage_done(s, FAIL_NONE);
		c->stream = NULL;
	}
}

static void use(struct client *c, struct uconn *conn)
{
	c->conn = conn;
	uconn_begin(conn);
	c->stream = http_conn_request(conn->http, &(struct http_head){ .method = str_c("GET"), .authority = str_c("a"), .scheme = str_c("http"),
								       .path = str_c("/"), .fields = (struct http_field[1]){ { { 0 }, { 0 } } }, .end = true });
	uconn_sent(conn, c->stream ? 0 : EAGAIN);
	ck_assert_ptr_nonnull(c->stream);
	c->stream->stage.on_event = on_stream;
	c->stream->stage.arg = c;
	stage_want(&c->stream->stage, true);
}

static void on_conn(struct uwait *w, struct uconn *conn, enum fail why, const char *detail)
{
	struct client *c = container_of(w, struct client, wait);

	c->why = (int)why;
	if (conn)
		use(c, conn);
}

static void ask_of(struct cluster *cl, struct client *c, enum upool_want want)
{
	struct connect_ask how = { .http = true, .h2 = want_h2 };
	struct pick p;
	struct uconn *conn;

	*c = (struct client){ .wait.on_conn = on_conn, .why = -1 };
	ck_assert(cluster_pick(cl, &(struct pick_ask){ 0 }, &p));
	c->answer = upool_take(pool, cl, &p, &how, want, &c->wait, &conn);
	if (c->answer == UPOOL_READY)
		use(c, conn);
	pick_done(&p);
}

static void ask(struct client *c, enum upool_want want)
{
	ask_of(&cluster, c, want);
}

static void start_as(enum http_codec codec)
{
	l = upstreams_loop = loop_new(0);
	pool = upool_new(l, &plain);
	fakecluster_init(&cluster, "outbound|80||a");
	upstream_start(&server, l, codec);
	fakecluster_host(&cluster, &server.at);
	want_h2 = codec == HTTP_CODEC_H2;
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
	upool_free(pool);
	upstream_stop(&server);
	turn(l);
	loop_free(l);
	fakecluster_check(&cluster);
}

START_TEST(test_h1_is_kept)
{
	for (int i = 0; i < 3; i++) {
		ask(&client[0], UPOOL_ANY);
		ck_assert_int_eq(client[0].answer, i ? UPOOL_READY : UPOOL_WAIT);
		turn(l);
		ck_assert_int_eq(client[0].status, 200);
	}
	ck_assert_int_eq(server.conns, 1);
	ck_assert_uint_eq(cluster.used[LIMIT_OF_CONNECTIONS], 1);
	ck_assert_uint_eq(cluster.used[LIMIT_OF_PENDING], 0);
	/* Not one that was used: a new one. */
	ask(&client[0], UPOOL_NEW);
	ck_assert_int_eq(client[0].answer, UPOOL_WAIT);
	turn(l);
	ck_assert_int_eq(server.conns, 2);
}
END_TEST

START_TEST(test_h1_burst_does_not_queue)
{
	for (int i = 0; i < 10; i++)
		ask(&client[i], UPOOL_ANY);
	turn(l);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(client[i].status, 200);
	ck_assert_int_ge(server.conns, 2);
	ck_assert_int_le(server.conns, 10);
	ck_assert_uint_eq(cluster.most[LIMIT_OF_PENDING], 10);
}
END_TEST

START_TEST(test_limit_of_connections_queues)
{
	cluster.conf.pool.max_connections = 2;
	for (int i = 0; i < 10; i++)
		ask(&client[i], UPOOL_ANY);
	turn(l);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(client[i].status, 200);
	ck_assert_int_eq(server.conns, 2);
}
END_TEST

/* One that is idle, though not for this request, makes room. */
START_TEST(test_limit_of_connections_and_old_ones)
{
	cluster.conf.pool.max_connections = 1;
	ask(&client[0], UPOOL_ANY);
	turn(l);
	client[0].conn->idle_ms -= 3000;
	ask(&client[0], UPOOL_SURE);
	ck_assert_int_eq(client[0].answer, UPOOL_WAIT);
	turn(l);
	ck_assert_int_eq(client[0].status, 200);
	ck_assert_int_eq(server.conns, 2);
	ck_assert_int_eq(server.live, 1);
}
END_TEST

/* Two workers: the limit is the process's, and nobody starves. */
START_TEST(test_limit_of_connections_is_shared)
{
	struct upool *mine = pool, *other = upool_new(l, &plain);

	cluster.conf.pool.max_connections = 1;
	for (int i = 0; i < 6; i++) {
		pool = i % 2 ? other : mine;
		ask(&client[i], UPOOL_ANY);
		if (i < 4)
			turn(l);
	}
	for (int i = 0; i < 20 && !(client[4].status && client[5].status); i++)
		turn(l);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(client[i].status, 200);
	ck_assert_uint_eq(cluster.most[LIMIT_OF_CONNECTIONS], 1);
	pool = mine;
	upool_free(other);
}
END_TEST

/* Also while the one who has it is busy all the time. */
START_TEST(test_limit_of_connections_is_handed_over)
{
	struct upool *mine = pool, *other = upool_new(l, &plain);

	cluster.conf.pool.max_connections = 1;
	ask(&client[0], UPOOL_ANY);
	ask(&client[1], UPOOL_ANY);
	turn(l);
	pool = other;
	ask(&client[2], UPOOL_ANY);
	pool = mine;
	for (int i = 0; i < 400 && !client[2].status; i++) {
		for (int k = 0; k < 2; k++)
			if (!client[k].stream && !client[k].wait.entry)
				ask(&client[k], UPOOL_ANY);
		ev_run(l->ev, EVRUN_NOWAIT);
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	}
	ck_assert_int_eq(client[2].status, 200);
	ck_assert_uint_eq(cluster.most[LIMIT_OF_CONNECTIONS], 1);
	for (int k = 0; k < 2; k++)
		upool_cancel(&client[k].wait);
	upool_free(other);
	turn(l);
	for (int k = 0; k < 2; k++)
		if (client[k].stream)
			stage_done(&client[k].stream->stage, FAIL_CLIENT_RESET);
}
END_TEST

/* A worker is asked for the connections of two clusters, and all of them are busy: whichever is idle first goes. */
START_TEST(test_limits_of_two_busy_clusters)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	struct upool *mine = pool, *other[2] = { upool_new(l, &plain), upool_new(l, &plain) };
	static struct cluster second;
	struct cluster *of[2] = { &cluster, &second };
	int fd[2], n = 0;

	fakecluster_init(&second, "outbound|81||a");
	fakecluster_host(&second, &server.at);
	upstream_script(&server, 0, DOES_NOTHING, 0);
	upstream_script(&server, 1, DOES_NOTHING, 0);
	upstream_script(&server, 2, DOES_ANSWER, 200);
	for (int i = 0; i < 2; i++) {
		of[i]->conf.pool.max_connections = 1;
		ask_of(of[i], &client[i], UPOOL_ANY);
		turn(l);
	}
	for (int i = 0; i < 2; i++) {
		pool = other[i];
		ask_of(of[i], &client[2 + i], UPOOL_ANY);
		turn(l);
	}
	list_each(at, &server.open)
		fd[n++] = sock_fd(container_of(at, struct upstream_conn, link)->sock);
	ck_assert_int_eq(n, 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(client[2 + i].status, 0);
		ck_assert_int_gt(send(fd[i], answer, strlen(answer), 0), 0);
		turn(l);
		ck_assert_msg(client[2 + i].status == 200, "%d", i);
	}
	pool = mine;
	upool_free(other[0]);
	upool_free(other[1]);
	turn(l);
	fakecluster_check(&second);
}
END_TEST

/* A worker that has the idle connections of two clusters is asked for both in the same moment. */
START_TEST(test_limits_of_two_clusters)
{
	struct upool *mine = pool, *other[2] = { upool_new(l, &plain), upool_new(l, &plain) };
	static struct cluster second;
	struct cluster *of[2] = { &cluster, &second };

	fakecluster_init(&second, "outbound|81||a");
	fakecluster_host(&second, &server.at);
	for (int i = 0; i < 2; i++) {
		of[i]->conf.pool.max_connections = 1;
		ask_of(of[i], &client[i], UPOOL_ANY);
	}
	turn(l);
	for (int i = 0; i < 2; i++) {
		pool = other[i];
		ask_of(of[i], &client[2 + i], UPOOL_ANY);
	}
	turn(l);
	for (int i = 0; i < 4; i++)
		ck_assert_msg(client[i].status == 200, "%d", i);
	pool = mine;
	upool_free(other[0]);
	upool_free(other[1]);
	turn(l);
	fakecluster_check(&second);
}
END_TEST

/* The connections are another host's. */
START_TEST(test_limit_of_connections_of_other_hosts)
{
	struct upstream second;

	upstream_start(&second, l, HTTP_CODEC_H1);
	fakecluster_host(&cluster, &second.at);
	cluster.conf.pool.max_connections = 1;
	upstream_script(&server, 0, DOES_NOTHING, 0);
	ask(&client[0], UPOOL_ANY);
	turn(l);
	ask(&client[1], UPOOL_ANY);
	turn(l);
	ck_assert_int_eq(second.conns, 0);
	stage_done(&client[0].stream->stage, FAIL_CLIENT_RESET);
	turn(l);
	ck_assert_int_eq(client[1].status, 200);
	ask(&client[0], UPOOL_ANY);                        /* and back: the other's is idle */
	turn(l);
	ck_assert_int_eq(server.requests, 2);
	ck_assert_uint_eq(cluster.most[LIMIT_OF_CONNECTIONS], 1);
	stage_done(&client[0].stream->stage, FAIL_CLIENT_RESET);
	upstream_stop(&second);
	turn(l);
}
END_TEST

START_TEST(test_limit_of_pending)
{
	cluster.conf.pool.max_connections = 1;
	cluster.conf.pool.max_pending = 1;
	upstream_script(&server, 0, DOES_NOTHING, 0);
	ask(&client[0], UPOOL_ANY);
	turn(l);
	ask(&client[1], UPOOL_ANY);
	ck_assert_int_eq(client[1].answer, UPOOL_WAIT);
	ask(&client[2], UPOOL_ANY);
	ck_assert_int_eq(client[2].answer, UPOOL_OVERFLOW);
	upool_cancel(&client[1].wait);
	ck_assert_uint_eq(cluster.used[LIMIT_OF_PENDING], 0);
	stage_done(&client[0].stream->stage, FAIL_CLIENT_RESET);
}
END_TEST

START_TEST(test_connect_fails)
{
	upstream_deaf(&server);
	ask(&client[0], UPOOL_ANY);
	ask(&client[1], UPOOL_ANY);
	turn(l);
	ck_assert_int_eq(client[0].why, FAIL_CONNECT);
	ck_assert_int_eq(client[1].why, FAIL_CONNECT);
	ck_assert_uint_eq(cluster.used[LIMIT_OF_CONNECTIONS], 0);
	ck_assert_uint_eq(pool->entries.len, 0);
}
END_TEST

START_TEST(test_max_requests_per_connection)
{
	cluster.conf.pool.max_requests_per_connection = 2;
	for (int i = 0; i < 5; i++) {
		ask(&client[0], UPOOL_ANY);
		turn(l);
		ck_assert_int_eq(client[0].status, 200);
	}
	ck_assert_int_eq(server.conns, 3);
	ck_assert_int_eq(server.live, 1);
}
END_TEST

START_TEST(test_idle_timeout)
{
	cluster.conf.pool.idle_ms = 60;
	ask(&client[0], UPOOL_ANY);
	for (int i = 0; i < 8; i++)
		turn(l);
	ck_assert_int_eq(server.live, 0);
	ck_assert_uint_eq(pool->entries.len, 0);
}
END_TEST

/* However many hosts and callers there are. */
START_TEST(test_idle_connections_are_bounded)
{
	for (int i = 0; i < 3; i++)
		ask(&client[i], UPOOL_ANY);
	turn(l);
	ck_assert_int_eq(pool->n_idle, 3);
	pool->n_idle += LIMIT_POOL_IDLE - 1;   /* as if there were as many others */
	upool_sweep(pool);
	ck_assert_int_eq(pool->n_idle, LIMIT_POOL_IDLE);
	pool->n_idle -= LIMIT_POOL_IDLE - 1;
	turn(l);
	ck_assert_int_eq(server.live, 1);
	ask(&client[0], UPOOL_ANY);
	ck_assert_int_eq(pool->n_idle, 0);
	turn(l);
	ck_assert_int_eq(pool->n_idle, 1);
}
END_TEST

START_TEST(test_life_time)
{
	cluster.conf.pool.max_connection_ms = 60;
	upstream_script(&server, 0, DOES_ANSWER, 200);
	upstream_script(&server, 1, DOES_NOTHING, 0);
	ask(&client[0], UPOOL_ANY);
	turn(l);
	ask(&client[1], UPOOL_ANY);
	for (int i = 0; i < 8; i++)
		turn(l);
	ck_assert_int_eq(server.live, 1);      /* a request is under way */
	ask(&client[2], UPOOL_ANY);
	turn(l);
	ck_assert_int_eq(server.conns, 2);
	stage_done(&client[1].stream->stage, FAIL_CLIENT_RESET);
	stage_done(&client[2].stream->stage, FAIL_CLIENT_RESET);
}
END_TEST

START_TEST(test_drain_and_retire)
{
	upstream_script(&server, 0, DOES_ANSWER, 200);
	upstream_script(&server, 1, DOES_NOTHING, 0);
	ask(&client[0], UPOOL_ANY);
	turn(l);
	ask(&client[1], UPOOL_ANY);
	turn(l);
	upool_drain(pool);
	turn(l);
	ck_assert_int_eq(server.live, 1);
	stage_done(&client[1].stream->stage, FAIL_CLIENT_RESET);
	turn(l);
	ck_assert_int_eq(server.live, 0);
}
END_TEST

static bool all_stale(const struct cluster *c, const struct workload *w, void *arg)
{
	return true;
}

START_TEST(test_retire)
{
	ask(&client[0], UPOOL_ANY);
	turn(l);
	upool_retire(pool, all_stale, NULL);
	ask(&client[0], UPOOL_ANY);
	ck_assert_int_eq(client[0].answer, UPOOL_WAIT);
	turn(l);
	ck_assert_int_eq(client[0].status, 200);
	ck_assert_int_eq(server.conns, 2);
	ck_assert_int_eq(server.live, 1);
	/* Who waits is still served. */
	ask(&client[0], UPOOL_NEW);
	upool_retire(pool, all_stale, NULL);
	turn(l);
	ck_assert_int_eq(client[0].status, 200);
	ck_assert_int_eq(server.live, 0);
}
END_TEST

START_TEST(test_gone_host)
{
	ask(&client[0], UPOOL_ANY);
	turn(l);
	upool_retire(pool, NULL, NULL);
	turn(l);
	ck_assert_int_eq(server.live, 1);
	cluster.hosts[0].gone = true;
	upool_retire(pool, NULL, NULL);
	turn(l);
	ck_assert_int_eq(server.live, 0);
}
END_TEST

START_TEST(test_h2_shares_one)
{
	for (int i = 0; i < 20; i++)
		ask(&client[i], UPOOL_ANY);
	turn(l);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(client[i].status, 200);
	ck_assert_int_eq(server.conns, 1);
}
END_TEST

START_TEST(test_h2_concurrent_streams)
{
	cluster.conf.pool.max_concurrent_streams = 4;
	upstream_script(&server, 0, DOES_NOTHING, 0);
	for (int i = 0; i < 10; i++)
		ask(&client[i], UPOOL_ANY);
	turn(l);
	ck_assert_int_eq(server.conns, 3);
	ck_assert_int_eq(server.requests, 10);
	for (int i = 0; i < 10; i++)
		stage_done(&client[i].stream->stage, FAIL_CLIENT_RESET);
	turn(l);
}
END_TEST

START_TEST(test_h2_goaway)
{
	upstream_script(&server, 0, DOES_NOTHING, 0);
	ask(&client[0], UPOOL_ANY);
	turn(l);
	list_each(at, &server.open)
		http_conn_drain(container_of(at, struct upstream_conn, link)->http);
	for (int i = 0; i < 4; i++)
		turn(l);
	ck_assert_int_eq(n_leaving, 1);
	ask(&client[1], UPOOL_ANY);
	turn(l);
	ck_assert_int_eq(server.conns, 2);
	for (int i = 0; i < 2; i++)
		stage_done(&client[i].stream->stage, FAIL_CLIENT_RESET);
	turn(l);
}
END_TEST

/* Requests that must not be repeated go to connections that are certainly open. */
START_TEST(test_sure_connections)
{
	struct upool_memory m = { 0 };

	ck_assert_uint_eq(upool_memory_limit(&m, UPOOL_ANY), UINT64_MAX);
	ck_assert_uint_eq(upool_memory_limit(&m, UPOOL_SURE), 1000);
	upool_memory_open(&m, 10000);
	ck_assert_uint_eq(upool_memory_limit(&m, UPOOL_SURE), 9000);
	upool_memory_closed(&m, 20);                       /* right after its response */
	ck_assert_uint_eq(upool_memory_limit(&m, UPOOL_ANY), UINT64_MAX);
	upool_memory_closed(&m, 5000);
	ck_assert_uint_eq(upool_memory_limit(&m, UPOOL_ANY), 4000);
	ck_assert_uint_eq(upool_memory_limit(&m, UPOOL_SURE), 4000);
	upool_memory_closed(&m, 5100);
	ck_assert_uint_eq(upool_memory_limit(&m, UPOOL_ANY), 4000);
	upool_memory_open(&m, 5100);
	ck_assert_uint_eq(upool_memory_limit(&m, UPOOL_ANY), 4000);
	upool_memory_open(&m, 7000);                       /* so that was a restart */
	ck_assert_uint_eq(upool_memory_limit(&m, UPOOL_ANY), UINT64_MAX);
	ck_assert_uint_eq(upool_memory_limit(&m, UPOOL_SURE), 6300);
}
END_TEST

START_TEST(test_keep_alive_is_learnt)
{
	struct upool_memory *m;

	server.conf.idle_ms = 100;
	ask(&client[0], UPOOL_ANY);
	for (int i = 0; i < 100 && (!client[0].status || server.live); i++)
		turn(l);
	ck_assert_int_eq(server.live, 0);
	server.conf.idle_ms = LIMIT_H1_IDLE_MS;
	ask(&client[0], UPOOL_ANY);
	turn(l);
	m = upool_memory_of(pool, client[0].conn->entry);
	ck_assert_uint_ge(m->closes_ms, 80);
	m->closes_ms = 10000;
	client[0].conn->idle_ms -= 5000;
	ask(&client[0], UPOOL_ANY);
	ck_assert_int_eq(client[0].answer, UPOOL_READY);
	turn(l);
	client[0].conn->idle_ms -= 9000;                   /* it would still be open, perhaps */
	ask(&client[0], UPOOL_ANY);
	ck_assert_int_eq(client[0].answer, UPOOL_WAIT);
	turn(l);
	ck_assert_int_eq(client[0].status, 200);
	ck_assert_int_eq(server.conns, 3);
	ck_assert_int_eq(server.live, 2);                  /* the old one stays to be looked at */
}
END_TEST

/* An answer proves that the connection was open. */
START_TEST(test_answers_prove_ages)
{
	ask(&client[0], UPOOL_ANY);
	turn(l);
	client[0].conn->idle_ms -= 8000;
	ask(&client[0], UPOOL_SURE);
	ck_assert_int_eq(client[0].answer, UPOOL_WAIT);
	turn(l);
	client[0].conn->idle_ms -= 8000;
	ask(&client[0], UPOOL_ANY);
	ck_assert_int_eq(client[0].answer, UPOOL_READY);
	uconn_answered(client[0].conn, 0);
	turn(l);
	client[0].conn->idle_ms -= 7000;
	ask(&client[0], UPOOL_SURE);
	ck_assert_int_eq(client[0].answer, UPOOL_READY);
	turn(l);
}
END_TEST

START_TEST(test_server_names)
{
	static const struct { const char *authority, *sni; } rows[] = {
		{ "a.example", "a.example" }, { "a.example:443", "a.example" }, { "a1", "a1" }, { "1.2.3.4", "" }, { "1.2.3.4:80", "" },
		{ "[::1]:80", "" }, { "[fd00::1]", "" }, { "", "" }, { ":80", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str got = upool_sni(str_c(rows[i].authority));

		ck_assert_msg(str_is(got, rows[i].sni), "%s: %.*s", rows[i].authority, STR_FMT(got));
	}
}
END_TEST

START_TEST(test_keep_alive_is_promised)
{
	ask(&client[0], UPOOL_ANY);
	turn(l);
	uconn_answered(client[0].conn, 5);
	client[0].conn->idle_ms -= 3000;
	ask(&client[0], UPOOL_ANY);
	ck_assert_int_eq(client[0].answer, UPOOL_READY);
	turn(l);
	client[0].conn->idle_ms -= 4500;
	ask(&client[0], UPOOL_ANY);
	ck_assert_int_eq(client[0].answer, UPOOL_WAIT);
	turn(l);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("upool");
	TCase *t = tcase_create("h1"), *h2 = tcase_create("h2");

	tcase_add_checked_fixture(t, start, stop);
	tcase_add_test(t, test_h1_is_kept);
	tcase_add_test(t, test_h1_burst_does_not_queue);
	tcase_add_test(t, test_limit_of_connections_queues);
	tcase_add_test(t, test_limit_of_connections_and_old_ones);
	tcase_add_test(t, test_limit_of_connections_is_shared);
	tcase_add_test(t, test_limit_of_connections_is_handed_over);
	tcase_add_test(t, test_limit_of_connections_of_other_hosts);
	tcase_add_test(t, test_limits_of_two_clusters);
	tcase_add_test(t, test_limits_of_two_busy_clusters);
	tcase_add_test(t, test_limit_of_pending);
	tcase_add_test(t, test_connect_fails);
	tcase_add_test(t, test_max_requests_per_connection);
	tcase_add_test(t, test_idle_timeout);
	tcase_add_test(t, test_idle_connections_are_bounded);
	tcase_add_test(t, test_life_time);
	tcase_add_test(t, test_drain_and_retire);
	tcase_add_test(t, test_retire);
	tcase_add_test(t, test_gone_host);
	tcase_add_test(t, test_sure_connections);
	tcase_add_test(t, test_keep_alive_is_learnt);
	tcase_add_test(t, test_answers_prove_ages);
	tcase_add_test(t, test_server_names);
	tcase_add_test(t, test_keep_alive_is_promised);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(h2, start_h2, stop);
	tcase_add_test(h2, test_h2_shares_one);
	tcase_add_test(h2, test_h2_concurrent_streams);
	tcase_add_test(h2, test_h2_goaway);
	suite_add_tcase(s, h2);
	return suite_run(s);
}
