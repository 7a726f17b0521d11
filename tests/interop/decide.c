/* SPDX-License-Identifier: Apache-2.0 */
/* decide DIR NAMESPACE NAME reads the configuration in DIR as the sidecar of that WorkloadEntry or Pod would, and answers requests,
 * one JSON object a line: {"to": "10.0.0.1:80", "method": "GET", "authority": "cart", "path": "/", "headers": [["a", "b"]]}.
 * {"dump": true} asks for the whole plan (decide_dump.c).
 *   {"to": "PassthroughCluster"}                            no listener is there
 *   {"l4": ["outbound|9000||…"]}                            bytes
 *   {"status": 301, "route": "", "responses": [[["location", "…"]]], "body": ""}        answered by the proxy
 *   {"route": "", "targets": [{"cluster": "…", "exists": true, "weight": 1, "authority": "…", "path": "…", "request": […], "response": […]}]}
 * The filters of routes are the real ones; of exchanges it has only what they call. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/meshconfig.h"
#include "source/confdir.h"
#include "tests/interop/decide.h"
#include "traffic/plan.h"
#include "traffic/router_int.h"

static const struct filter_ops *const chain[] = { &route_filter, &fault_filter, &cors_filter, &answer_filter };
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
	static struct exchange_client nobody;
	struct exchange *x = xcalloc(1, sizeof(*x));
	const char *path = json_string_value(json_object_get(ask, "path"));
	json_t *headers = json_object_get(ask, "headers"), *h;
	char *norm = xmalloc(strlen(path) + 1);
	size_t i;

	x->client = &nobody;
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
	for (int i = n - 1; i >= 0; i--)
		if (chain[i]->on_response)
			chain[i]->on_response(x, states[i], NULL);
}

/* Through the filters; how many were reached. */
static int through(struct exchange *x, void **states)
{
	reply.done = false;
	for (int i = 0; i < (int)ARRAY_LEN(chain); i++) {
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

static json_t *decide(const json_t *ask, struct router_env *env)
{
	const struct outbound_port *o;
	struct exchange *x;
	void *states[ARRAY_LEN(chain)];
	struct addr to;
	json_t *out, *list;
	int n;

	if (json_object_get(ask, "dump"))
		return decide_dump(env->plan);
	if (addr_parse(str_c(json_string_value(json_object_get(ask, "to"))), &to) != 0)
		return json_pack("{s:s}", "error", "to");
	o = plan_outbound(env->plan, &to);
	if (!o)
		return json_pack("{s:s}", "to", cluster_conf(plan_unknown(env->plan))->name);
	list = json_array();
	if (!o->http) {
		for (int i = 0; i < o->n_tcp; i++)
			for (int k = 0; k < o->tcp[i].n_targets; k++)
				json_array_append_new(list, json_string(o->tcp[i].targets[k].cluster_name));
		return json_pack("{s:o}", "l4", list);
	}
	env->routes = o->http;
	x = make(ask, env);
	n = through(x, states);
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
	out = json_pack("{s:s, s:i, s:o}", "route", x->route->name, "missing", x->route->missing_status, "targets", list);
	return out;
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
	struct confdir *c = confdir_new(argc == 4 ? argv[1] : "", &settings);
	struct router_env env = { .plan = NULL };
	struct workload *w;
	uint64_t seed = 1;
	struct err err;
	char line[1 << 16];

	if (argc != 4 || confdir_load(c, &err) != 0) {
		fprintf(stderr, argc != 4 ? "usage: decide DIR NAMESPACE NAME\n" : "%s\n", err.msg);
		return 2;
	}
	w = mesh_workload_named(mesh_current(), str_c(argv[2]), str_c(argv[3]));
	if (!w) {
		fprintf(stderr, "no workload %s/%s\n", argv[2], argv[3]);
		return 1;
	}
	env.seed = &seed;
	env.plan = plan_compile(mesh_current(), w, NULL, on_report, NULL);
	while (fgets(line, sizeof(line), stdin)) {
		json_t *ask = json_loads(line, 0, NULL), *answer = ask ? decide(ask, &env) : json_pack("{s:s}", "error", "JSON");

		json_dumpf(answer, stdout, JSON_COMPACT);
		puts("");
		json_decref(answer);
		json_decref(ask);
	}
	return 0;
}
