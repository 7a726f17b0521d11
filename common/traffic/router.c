/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/router_int.h"

/* ---- servers that requests name ---- */

static void on_name(struct named_wait *w, struct cluster *name)
{
	struct routing *r = container_of(w, struct routing, naming);

	r->cluster = r->name = name;
	routing_try(r);
}

/* The Host as the client sent it says where to, whatever a route makes of it for the server's eyes. False: the request was answered. */
static bool read_name(struct routing *r, char ret[NAMED_MAX])
{
	const struct cluster_conf *conf = cluster_conf(r->cluster);
	struct exchange *x = r->x;
	enum fail why = named_check(conf->hosts, conf->n_hosts, x->request.authority, ret);
	char asked[NAMED_MAX];

	if (why == FAIL_NONE && x->client->asked.n && (named_check(conf->hosts, conf->n_hosts, x->client->asked, asked) != FAIL_NONE || strcmp(asked, ret)))
		why = FAIL_NAME_MISMATCH;
	if (why != FAIL_NONE)
		exchange_reply(x, why, 0, NULL, (struct str){ 0 }, NULL, 0);
	return why == FAIL_NONE;
}

static void place(struct routing *r, const char *name)
{
	struct cluster *found;
	enum fail why;

	if (!*name) {
		routing_try(r);
		return;
	}
	r->naming.on_cluster = on_name;
	why = named_get(r->cluster, name, r->env->loop, &r->naming, &found);
	if (why != FAIL_NONE)
		routing_fail(r, why, "");
	else if (found)
		on_name(&r->naming, found);
}

static void start(struct exchange *x)
{
	struct routing *r = arena_alloc(&x->arena, sizeof(*r));
	struct exchange_log *log = &x->log;
	char name[NAMED_MAX] = "";

	r->x = x;
	r->env = x->arg;
	r->route = x->route;
	x->router = r;
	routing_time_init(r);
	if (!r->route) {
		exchange_reply(x, FAIL_NO_ROUTE, 0, NULL, (struct str){ 0 }, NULL, 0);
		return;
	}
	log->route_name = str_c(r->route->name);
	log->operation = str_c(r->route->operation);
	r->target = route_choose(r->route, r->env->seed);
	if (r->target)
		log->cluster_name = str_c(r->target->cluster_name);
	if (r->route->outside) {
		exchange_reply(x, named_check(NULL, 0, x->request.authority, name), 0, NULL, (struct str){ 0 }, NULL, 0);
		return;
	}
	if (!r->target || !r->target->cluster) {
		exchange_reply(x, FAIL_NO_CLUSTER, r->route->missing_status, NULL, (struct str){ 0 }, NULL, 0);
		return;
	}
	r->cluster = r->target->cluster;
	log->service = str_c(cluster_conf(r->cluster)->service);
	if (cluster_conf(r->cluster)->kind == CLUSTER_NAMED && !read_name(r, name))
		return;
	r->retry = r->route->retry;
	if (!r->env->inbound && *r->route->operation)      /* the server's proxy names its span so */
		fields_set(&x->request_fields, "x-envoy-decorator-operation", log->operation);
	routing_hash(r);
	route_apply_request(x, r->route, r->target);
	routing_time_request(r);
	mirror_start(r);
	place(r, name);
}

static void on_request_data(struct exchange *x, const struct iovec *iov, int n, bool end)
{
	struct routing *r = x->router;

	if (r && r->mirroring)
		mirror_data(r, iov, n, end);
}

static int grpc_status(const struct exchange *x)
{
	struct str s = fields_get(&x->response_fields, "grpc-status");
	uint64_t n;

	return s.p && str_to_u64(s, &n) && n <= 16 ? (int)n : -1;
}

/* As gRPC servers' answers count for outlier detection. */
static int counted_status(const struct try_result *res)
{
	static const int http_of[] = { 200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401 };

	return res->grpc_status >= 0 ? http_of[res->grpc_status] : res->status;
}

static enum host_event event_of(int status)
{
	return status >= 502 && status <= 504 ? HOST_GATEWAY_ERROR : status >= 500 ? HOST_5XX : HOST_OK;
}

static bool on_response(struct exchange *x)
{
	struct routing *r = x->router;
	struct try_result res = { .end = TRY_ANSWERED, .sent = true, .status = x->response.status, .grpc_status = -1 };
	int status;

	if (x->response.end)
		res.grpc_status = grpc_status(x);
	res.ratelimited = fields_get(&x->response_fields, "x-envoy-ratelimited").p != NULL;
	status = counted_status(&res);
	host_answered(r->cluster, r->pick.host, event_of(status), status, loop_now_ms(r->env->loop));
	if (r->conn)
		uconn_answered(r->conn, x->response.keep_alive_s);
	routing_time_stop(r);
	if (routing_again(r, &res, false))
		return false;
	r->answered = true;
	r->conn = NULL;
	if (x->response.status == 101 || (str_is(x->request.method, "CONNECT") && x->response.status < 300))
		timer_stop(&r->deadline);      /* a tunnel has no end */
	route_apply_response(x, r->route, r->target);
	if (r->cookie.n)
		fields_add(&x->response_fields, "set-cookie", r->cookie);
	return true;
}

/* A stream of HTTP/2 can be reset alone; in HTTP/1 that is the connection's end. */
static enum fail fail_of(const struct routing *r, enum fail why, bool refused)
{
	switch (why) {
	case FAIL_NONE:
	case FAIL_DRAIN:
	case FAIL_PEER_CLOSED:
	case FAIL_SERVER_RESET:
	case FAIL_CLIENT_RESET:
		return r->h2 && (refused || why == FAIL_SERVER_RESET) ? FAIL_UPSTREAM_RESET : FAIL_UPSTREAM_CLOSED;
	case FAIL_HTTP1:
	case FAIL_HTTP2:
		return FAIL_UPSTREAM_PROTOCOL;
	default:
		return why;
	}
}

static bool on_failed(struct exchange *x, enum fail why, bool refused)
{
	struct routing *r = x->router;
	enum fail as = fail_of(r, why, refused);
	struct try_result res = { .end = refused ? TRY_REFUSED : TRY_RESET, .sent = true, .grpc_status = -1 };

	host_answered(r->cluster, r->pick.host, HOST_LOCAL_ERROR, 0, loop_now_ms(r->env->loop));
	routing_time_stop(r);
	if (!routing_again(r, &res, as == FAIL_UPSTREAM_CLOSED))
		routing_fail(r, as, "");
	return false;
}

static void on_end(struct exchange *x)
{
	struct routing *r = x->router;

	if (!r)
		return;               /* a filter answered */
	routing_time_done(r);
	mirror_end(r);
	if (r->picked)
		routing_let_go(r, false);
	if (r->retrying)
		cluster_give(r->cluster, LIMIT_OF_RETRIES);
	r->retrying = false;
	for (int i = 0; i < r->n_tried; i++)
		host_unref(r->tried[i]);
	r->n_tried = 0;
	named_cancel(&r->naming);
	cluster_unref(r->name);
	workload_unref(x->log.upstream_workload);
	x->log.upstream_workload = NULL;
}

const struct router_ops router = {
	.start = start, .on_request_data = on_request_data, .on_response = on_response, .on_failed = on_failed, .on_end = on_end,
};
