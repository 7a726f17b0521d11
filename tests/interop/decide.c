/* SPDX-License-Identifier: Apache-2.0 */
/* decide DIR NAMESPACE NAME [waypoint] reads the configuration in DIR as the sidecar (or the waypoint) of that WorkloadEntry or Pod would,
 * and answers requests, one JSON object a line: {"to": "10.0.0.1:80", "method": "GET", "authority": "cart", "path": "/", "headers": [["a", "b"]]}.
 * {"dump": true} asks for the whole plan (decide_dump.c). A waypoint is also told "who": "spiffe://…" asks and the "source" address; with
 * "bytes": true, and the "sni" that they begin with, it is no HTTP. What it says more:
 *   {"reset": true}                                         not served here, or refused as bytes
 *   {"http": true}                                          bytes where only HTTP is spoken
 *   {"to": "PassthroughCluster"}                            no listener is there
 *   {"l4": ["outbound|9000||…"]}                            bytes
 *   {"status": 301, "route": "", "responses": [[["location", "…"]]], "body": ""}        answered by the proxy
 *   {"route": "", "targets": [{"cluster": "…", "exists": true, "weight": 1, "authority": "…", "path": "…", "request": […], "response": […]}]}
 * The filters are the real ones; of exchanges it has only what they call. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/meshconfig.h"
#include "policy/authz.h"
#include "policy/jwt_filter.h"
#include "source/confdir.h"
#include "tests/interop/decide.h"
#include "traffic/dest.h"
#include "traffic/plan.h"
#include "traffic/router_int.h"

/* A sidecar's, for what goes out, without its first two. */
static const struct filter_ops *const chain[] = { &jwt_filter, &authz_filter, &route_filter, &fault_filter, &cors_filter, &answer_filter };
#define JUDGES 2
static int first = JUDGES;
static struct exchange_client client;        /* of the request that is decided on */
static struct { int status; struct str body; bool done; } reply;

void exchange_resume(struct exchange *x) { }
void exchange_reply(struct exchange *x, enum fail why, int status, const char *details, struct str text, const struct http_field *fields, int n)
{
	reply.done = true;
	x->log.why = why == FAIL_DIRECT || why == FAIL_CORS ? FAIL_NONE : why;
	reply.status = status ? status : fail_http(why)->status;
	reply.body = text.n || why == FAIL_DIRECT ? text : str_c(fail_http(why)->text);
	for (int i = 0; i < n; i++)
		fields_add(&x->response_fields, strndup(fields[i].name.p, fields[i].name.n), fields[i].value);
}

static json_t *text(struct str s)
{
	return json_stringn_nocheck(s.p ? s.p : "", s.n);
}

static json_t *fields_json(const struct http_fields *f)
{
	json_t *a = json_array();

	for (int i = 0; i < f->n; i++)
		json_array_append_new(a, json_pack("[o, o]", text(f->v[i].name), text(f->v[i].value)));
	return a;
}

static struct exchange *make(const json_t *ask, struct router_env *env)
{
	struct exchange *x = xcalloc(1, sizeof(*x));
	const char *path = json_string_value(json_object_get(ask, "path"));
	json_t *headers = json_object_get(ask, "headers"), *h;
	char *norm = xmalloc(strlen(path) + 1);
	size_t i;

	x->client = &client;
	x->arg = env;
	x->request_fields.arena = x->response_fields.arena = &x->arena;
	x->request.method = str_c(json_string_value(json_object_get(ask, "method")));
	x->request.authority = str_c(json_string_value(json_object_get(ask, "authority")));
	x->request.scheme = str_c("http");
	if (!http_path_normalise(str_c(path), HTTP_PATH_BASE, norm, &x->request.path))
		x->request.path = str_c(path);
	fields_add(&x->request_fields, "x-forwarded-proto", str_c("http"));
	json_array_foreach(headers, i, h)
		fields_add(&x->request_fields, json_string_value(json_array_get(h, 0)), str_c(json_string_value(json_array_get(h, 1))));
	return x;
}

static void back(struct exchange *x, void *const *states, int n)
{
	for (int i = n - 1; i >= first; i--)
		if (chain[i]->on_response)
			chain[i]->on_response(x, states[i], NULL);
}

/* Through the filters; how many were reached. */
static int through(struct exchange *x, void **states)
{
	reply.done = false;
	for (int i = first; i < (int)ARRAY_LEN(chain); i++) {
		states[i] = xcalloc(1, chain[i]->state_bytes + 1);
		if (chain[i]->on_request && chain[i]->on_request(x, states[i], NULL) != FILTER_NEXT)
			return i + 1;
	}
	return ARRAY_LEN(chain);
}

static json_t *target(const json_t *ask, struct router_env *env, int i)
{
	struct exchange *x = make(ask, env);
	void *states[ARRAY_LEN(chain)];
	int n = through(x, states);
	const struct route_target *t = &x->route->targets[i];

	route_apply_request(x, x->route, t);
	route_apply_response(x, x->route, t);
	back(x, states, n);
	return json_pack("{s:s, s:b, s:i, s:o, s:o, s:o, s:o}", "cluster", t->cluster_name, "exists", t->cluster != NULL, "weight", (int)t->weight,
			 "authority", text(x->request.authority), "path", text(x->request.path), "request", fields_json(&x->request_fields),
			 "response", fields_json(&x->response_fields));
}

/* What the HTTP of env->routes makes of it. */
static json_t *decide_http(const json_t *ask, struct router_env *env)
{
	void *states[ARRAY_LEN(chain)];
	json_t *list = json_array();
	struct exchange *x = make(ask, env);
	int n = through(x, states);

	if (reply.done) {
		int status = reply.status, n_ways = x->route && x->route->action == ROUTE_FORWARD ? x->route->n_targets : 1;
		const char *route = x->route ? x->route->name : "";
		struct str body = reply.body;

		/* With the headers of each way that it might have gone. */
		for (int i = 0; i < n_ways; i++) {
			struct routing way = { .target = NULL };

			x = make(ask, env);
			n = through(x, states);
			way.target = x->route && n_ways > 1 ? &x->route->targets[i] : NULL;
			x->router = &way;
			back(x, states, n);
			json_array_append_new(list, fields_json(&x->response_fields));
		}
		return json_pack("{s:i, s:s, s:o, s:o}", "status", status, "route", route, "responses", list, "body", text(body));
	}
	for (int i = 0; i < x->route->n_targets; i++)
		json_array_append_new(list, target(ask, env, i));
	return json_pack("{s:s, s:i, s:o}", "route", x->route->name, "missing", x->route->missing_status, "targets", list);
}

static json_t *rows(const struct l4_route *v, int n, struct str sni)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++) {
		bool fits = !v[i].n_sni;

		for (int k = 0; k < v[i].n_sni; k++)
			fits = fits || str_is(sni, v[i].sni[k]);
		for (int k = 0; fits && k < v[i].n_targets; k++)
			if (v[i].n_targets == 1 || v[i].targets[k].weight)
				json_array_append_new(list, json_string(v[i].targets[k].cluster_name));
		if (fits && sni.p)
			break;
	}
	return list;
}

static const char *string(const json_t *ask, const char *name)
{
	const char *s = json_string_value(json_object_get(ask, name));

	return s ? s : "";
}

/* What a waypoint does for the address in a CONNECT; NULL: it is not the one for it. */
static const struct inbound_port *served(const struct router_env *env, const struct addr *to)
{
	const struct mesh *m = mesh_current();
	struct service *s = mesh_service_by_vip(m, str_c(""), &to->ip, str_c(env->local->ns));
	struct workload *w = s ? NULL : mesh_workload_by_ip(m, str_c(""), &to->ip);

	client.target = s;
	if (s)
		return dest_serves(m, env->local, s) ? plan_served(env->plan, str_c(s->key), to->port) : NULL;
	return w && w->waypoint && mesh_is_gateway(m, w->waypoint, env->local) ? plan_direct(env->plan) : NULL;
}

static json_t *decide_waypoint(const json_t *ask, struct router_env *env, const struct addr *to)
{
	const struct inbound_port *p = served(env, to);
	struct authz_input in;
	json_t *list;

	client.local = *to;
	client.local_workload = (struct workload *)env->local;
	client.peer_id = str_c(string(ask, "who"));
	client.mtls = client.inbound = true;
	addr_parse(str_c(string(ask, "source")), &client.peer);
	if (!p)
		return json_pack("{s:b}", "reset", true);
	env->routes = p->http;
	if (p->http && !(json_is_true(json_object_get(ask, "bytes")) && p->protocol == PROTOCOL_AUTO) && p->protocol != PROTOCOL_TCP)
		return json_is_true(json_object_get(ask, "bytes")) ? json_pack("{s:b}", "http", true) : decide_http(ask, env);
	in = (struct authz_input){ .source = client.peer, .dest = *to, .principal = client.peer_id, .service = client.target };
	if (!authz_judge(mesh_current(), env->local, &in, NULL, NULL).allowed)
		return json_pack("{s:b}", "reset", true);
	list = rows(p->by_sni, p->n_by_sni, str_c(string(ask, "sni")));
	if (!json_array_size(list))
		list = rows(p->bytes, p->n_bytes, str_c(""));
	if (!json_array_size(list))
		json_array_append_new(list, json_string(cluster_conf(p->to)->name));
	return json_pack("{s:o}", "l4", list);
}

static json_t *decide(const json_t *ask, struct router_env *env)
{
	const struct outbound_port *o;
	struct addr to;

	if (json_object_get(ask, "dump"))
		return decide_dump(env->plan, !first);
	if (addr_parse(str_c(json_string_value(json_object_get(ask, "to"))), &to) != 0)
		return json_pack("{s:s}", "error", "to");
	if (!first)
		return decide_waypoint(ask, env, &to);
	o = plan_outbound(env->plan, &to);
	if (!o)
		return json_pack("{s:s}", "to", cluster_conf(plan_unknown(env->plan))->name);
	if (!o->http)
		return json_pack("{s:o}", "l4", rows(o->tcp, o->n_tcp, (struct str){ NULL, 0 }));
	env->routes = o->http;
	return decide_http(ask, env);
}

static void on_report(void *arg, const char *object, const char *what)
{
	fprintf(stderr, "%s: %s\n", object, what);
}

int main(int argc, char **argv)
{
	struct mesh_settings settings = {
		.trust_domain = "cluster.local", .root_ns = "istio-system", .cluster_domain = "cluster.local", .network = "", .cluster = "Kubernetes",
		.connect_timeout_ms = 10000, .mode = MODE_SIDECAR,
	};
	bool waypoint = argc == 5 && !strcmp(argv[4], "waypoint"), usage = argc != 4 && !waypoint;
	struct confdir *c;
	struct router_env env = { .plan = NULL };
	struct workload *w;
	uint64_t seed = 1;
	struct err err;
	char line[1 << 16];

	if (waypoint) {
		settings.mode = MODE_WAYPOINT;
		first = 0;
	}
	c = confdir_new(usage ? "" : argv[1], &settings);
	if (usage || confdir_load(c, &err) != 0) {
		fprintf(stderr, usage ? "usage: decide DIR NAMESPACE NAME [waypoint]\n" : "%s\n", err.msg);
		return 2;
	}
	w = mesh_workload_named(mesh_current(), str_c(argv[2]), str_c(argv[3]));
	if (!w) {
		fprintf(stderr, "no workload %s/%s\n", argv[2], argv[3]);
		return 1;
	}
	env.seed = &seed;
	env.local = w;
	env.plan = plan_compile(mesh_current(), w, NULL, on_report, NULL);
	while (fgets(line, sizeof(line), stdin)) {
		json_t *ask = json_loads(line, 0, NULL), *answer = ask ? decide(ask, &env) : json_pack("{s:s}", "error", "JSON");

		json_dumpf(answer, stdout, JSON_COMPACT);
		puts("");
		fflush(stdout);              /* the log goes there, too */
		json_decref(answer);
		json_decref(ask);
	}
	return 0;
}
