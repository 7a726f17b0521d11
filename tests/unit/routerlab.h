/* SPDX-License-Identifier: Apache-2.0 */
/* A client, a proxy of exchanges with the router alone, and scripted servers, all on one loop. */
#ifndef TESTS_ROUTERLAB_H
#define TESTS_ROUTERLAB_H

#include "tests/unit/fakecluster.h"
#include "tests/unit/upstreams.h"

#define LAB_SERVERS 4

struct loop *upstreams_loop;

/* A request of the client, and what came back. */
struct asked {
	struct http_stream *stream;
	int status, fail;
	char body[256], flag[32], count[8], cookie[256], overloaded[8];
	bool done;
};

static struct lab {
	struct loop *loop;
	struct upool *pool;
	struct connector connector;
	struct router_env env;
	uint64_t seed;
	struct exchange_conf conf;
	struct exchange_client info;
	struct filter filter;
	struct route route;
	struct route_target target[2];
	struct cluster cluster, other;
	struct upstream server[LAB_SERVERS];
	struct listener *listener;
	struct addr at;
	struct stage *sock;
	struct http_conn *client;
	struct exchange_log log;           /* of the last exchange that ended */
	char details[256];
	int ended;
} lab;

static enum filter_step lab_route(struct exchange *x, void *state, const void *conf)
{
	x->route = &lab.route;
	return FILTER_NEXT;
}

static const struct filter_ops lab_filter = { .name = "route", .on_request = lab_route };

static void lab_ended(struct exchange *x, void *arg)
{
	lab.log = x->log;
	snprintf(lab.details, sizeof(lab.details), "%s", x->log.details ? x->log.details : "");
	lab.log.details = lab.details;
	lab.ended++;
}

static void lab_request(struct http_conn *c, struct http_stream *s, void *arg)
{
	exchange_start(s, http_conn_version(c), &lab.conf, &lab.info, &lab.env);
}

static void lab_closed(struct http_conn *c, enum fail why, const char *detail, void *arg) {}

static const struct http_conn_ops lab_server_ops = { .on_request = lab_request, .on_closed = lab_closed };

static void lab_client_closed(struct http_conn *c, enum fail why, const char *detail, void *arg)
{
	lab.client = NULL;
}

static const struct http_conn_ops lab_client_ops = { .on_closed = lab_client_closed };

static void lab_accept(void *arg, int fd, const struct addr *peer)
{
	lab.info.peer = *peer;
	http_conn_server(sock_accept(lab.loop, fd), HTTP_CODEC_AUTO, &http_conn_default, &lab_server_ops, NULL);
}

static void lab_sock(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	if (ev == STAGE_OPEN)
		lab.client = http_conn_client(s, HTTP_CODEC_H2, &http_conn_default, &lab_client_ops, NULL);
}

/* A few turns of the loop: enough for what closes. */
static void lab_settle(void)
{
	for (int i = 0; i < 12; i++) {
		ev_run(lab.loop->ev, EVRUN_NOWAIT);
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
}

static void lab_listen(void)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int fd;

	ck_assert_int_eq(addr_parse(str_c("127.0.0.1:0"), &lab.at), 0);
	fd = sock_listen(&lab.at, NULL);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	addr_from_sockaddr(&sa, &lab.at);
	lab.listener = listener_new(lab.loop, fd, NULL, lab_accept, NULL);
	lab.sock = sock_connect(lab.loop, &lab.at, NULL, NULL, 0);
	lab.sock->on_event = lab_sock;
	for (int i = 0; i < 1000 && !lab.client; i++)
		lab_settle();
	ck_assert_ptr_nonnull(lab.client);
}

static void lab_start(enum http_codec codec, int servers)
{
	memset(&lab, 0, sizeof(lab));
	lab.loop = upstreams_loop = loop_new(0);
	lab.connector = (struct connector){ .connect = plain_connect, .error = plain_error };
	lab.pool = upool_new(lab.loop, &lab.connector);
	lab.seed = 42;
	fakecluster_init(&lab.cluster, "outbound|80||a");
	fakecluster_init(&lab.other, "outbound|80||b");
	lab.cluster.conf.service = lab.other.conf.service = "ns/a";
	lab.cluster.conf.http2 = lab.other.conf.http2 = codec == HTTP_CODEC_H2;
	for (int i = 0; i < servers; i++) {
		upstream_start(&lab.server[i], lab.loop, codec);
		fakecluster_host(&lab.cluster, &lab.server[i].at);
	}
	lab.target[0] = (struct route_target){ .cluster = &lab.cluster, .cluster_name = "outbound|80||a", .weight = 1, .host_rewrite = "" };
	lab.target[1] = (struct route_target){ .cluster = &lab.other, .cluster_name = "outbound|80||b", .weight = 1, .host_rewrite = "" };
	lab.route = (struct route){
		.name = "r", .operation = "a:80/*", .targets = lab.target, .n_targets = 1, .weight_sum = 1, .missing_status = 503,
		.host_rewrite = "", .prefix_rewrite = "", .retry = { .backoff_ms = 1, .backoff_max_ms = 1, .previous_hosts = true },
	};
	lab.filter = (struct filter){ .ops = &lab_filter };
	lab.conf = (struct exchange_conf){ .filters = &lab.filter, .n_filters = 1, .router = &router, .replay_bytes = 1000, .on_end = lab_ended };
	lab.env = (struct router_env){ .pool = lab.pool, .seed = &lab.seed, .loop = lab.loop };
	lab_listen();
}

static void lab_stop(void)
{
	if (lab.client)
		http_conn_close(lab.client, FAIL_NONE);
	lab_settle();
	upool_free(lab.pool);
	listener_free(lab.listener);
	for (int i = 0; i < LAB_SERVERS; i++)
		if (lab.server[i].loop)
			upstream_stop(&lab.server[i]);
	lab_settle();
	loop_free(lab.loop);
	fakecluster_check(&lab.cluster);
	fakecluster_check(&lab.other);
}

/* ---- the client ---- */

static void keep_text(char *to, size_t size, struct str s)
{
	snprintf(to, size, "%.*s", STR_FMT(s));
}

static void asked_event(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct asked *a = s->arg;

	if (ev == STAGE_OPEN) {
		a->status = a->stream->head->status;
		keep_text(a->cookie, sizeof(a->cookie), http_head_get(a->stream->head, "set-cookie"));
		keep_text(a->overloaded, sizeof(a->overloaded), http_head_get(a->stream->head, "x-envoy-overloaded"));
	}
	for (int i = 0; ev == STAGE_DATA && i < n; i++)
		snprintf(a->body + strlen(a->body), sizeof(a->body) - strlen(a->body), "%.*s", (int)iov[i].iov_len, (char *)iov[i].iov_base);
	if (ev == STAGE_EOF || ev == STAGE_CLOSED) {
		a->fail = (int)s->fail;
		a->done = true;
		stage_done(s, FAIL_NONE);
		a->stream = NULL;
	}
}

/* body NULL: none. More may be written while it is not ended. */
static void lab_send(struct asked *a, const char *method, const struct http_field *extra, int n, const char *body, bool end)
{
	struct http_field none[1] = { { { 0 }, { 0 } } };
	struct http_head head = {
		.method = str_c(method), .authority = str_c("a:80"), .scheme = str_c("http"), .path = str_c("/p?k=v"),
		.fields = n ? extra : none, .n_fields = n, .end = !body && end,
	};

	*a = (struct asked){ .fail = -1 };
	a->stream = http_conn_request(lab.client, &head);
	ck_assert_ptr_nonnull(a->stream);
	a->stream->stage.on_event = asked_event;
	a->stream->stage.arg = a;
	stage_want(&a->stream->stage, true);
	if (body) {
		stage_write(&a->stream->stage, &(struct iovec){ (char *)body, strlen(body) }, 1);
		if (end)
			stage_shut(&a->stream->stage);
	}
}

static void lab_wait(struct asked *a)
{
	int before = lab.ended;

	for (int i = 0; i < 20000 && (!a->done || (lab.ended == before && i < 40)); i++) {
		ev_run(lab.loop->ev, EVRUN_NOWAIT);
		if (!a->done)
			nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
	ck_assert(a->done);
}

static inline struct asked lab_ask(const char *method, const char *body)
{
	struct asked a;

	lab_send(&a, method, NULL, 0, body, true);
	lab_wait(&a);
	return a;
}

static inline int lab_requests(void)
{
	int n = 0;

	for (int i = 0; i < LAB_SERVERS; i++)
		n += lab.server[i].requests;
	return n;
}

#endif
