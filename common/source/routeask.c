/* SPDX-License-Identifier: Apache-2.0 */
#include "source/routeask.h"

#include <errno.h>
#include <stdlib.h>

#include "model/meshconfig.h"
#include "source/confdir.h"
#include "traffic/plan.h"

static void on_report(void *arg, const char *object, const char *text)
{
	buf_printf(arg, "note: %s: %s\n", object, text);
}

/* Where a client connects that asks for this name: the service's address, or any. False: it has no port. */
static bool destination(const struct mesh *m, const char *ns, const char *to, struct str *ret_host, struct addr *ret)
{
	const char *colon = strrchr(to, ':');
	struct service *s;
	uint64_t port;
	char *full;

	if (addr_parse(str_c(to), ret) == 0) {
		*ret_host = str_c(to);
		return true;
	}
	if (!colon || !str_to_u64(str_c(colon + 1), &port) || !port || port > 65535)
		return false;
	*ret_host = (struct str){ to, (size_t)(colon - to) };
	ip_parse(str_c("203.0.113.1"), &ret->ip);        /* of no service (RFC 5737) */
	ret->port = (uint16_t)port;
	full = memchr(to, '.', ret_host->n) ? xasprintf("%.*s", STR_FMT(*ret_host))
					    : xasprintf("%.*s.%s.svc.%s", STR_FMT(*ret_host), ns, mesh_settings(m)->cluster_domain);
	s = mesh_service_by_host(m, str_c(full), str_c(ns));
	for (int i = 0; s && i < s->n_vips; i++)
		if (s->vips[i].cidr.bits == 128)
			ret->ip = s->vips[i].cidr.ip;
	free(full);
	return true;
}

static void say_match(const struct route *r, struct buf *out)
{
	static const char *const kinds[] = { "any path", "path is", "path begins with", "path is or is under", "path matches" };

	buf_printf(out, "route      %s: %s %s", *r->name ? r->name : "(without a name)", kinds[r->match.path], r->match.path_text ? r->match.path_text : "");
	if (r->match.n_headers + r->match.n_queries)
		buf_printf(out, ", %d conditions on headers, %d on the query", r->match.n_headers, r->match.n_queries);
	buf_puts(out, "\n");
}

static void say_forward(struct exchange *x, const struct route *r, struct buf *out)
{
	for (int i = 0; i < r->n_targets; i++) {
		const struct route_target *t = &r->targets[i];

		buf_printf(out, "to         %s", t->cluster_name);
		if (r->n_targets > 1)
			buf_printf(out, ", %u of %u", t->weight, r->weight_sum);
		if (t->cluster)
			buf_puts(out, "\n");
		else
			buf_printf(out, ": does not exist, %d\n", r->missing_status);
	}
	if (r->timeout_ms)
		buf_printf(out, "timeout    %llu ms\n", (unsigned long long)r->timeout_ms);
	buf_printf(out, "retries    %d\n", r->retry.attempts);
	for (int i = 0; i < r->n_mirrors; i++)
		buf_printf(out, "mirror     %s\n", cluster_conf(r->mirrors[i].cluster)->name);
	route_apply_request(x, r, r->n_targets ? r->targets : NULL);
	buf_printf(out, "upstream   %.*s http://%.*s%.*s\n", STR_FMT(x->request.method), STR_FMT(x->request.authority), STR_FMT(x->request.path));
}

static void say(struct exchange *x, const struct plan *p, const struct addr *to, struct buf *out)
{
	const struct outbound_port *o = plan_outbound(p, to);
	const struct vhost *v;
	const struct route *r;
	char text[ADDR_TEXT];

	buf_printf(out, "connects   %s\n", addr_format(to, text));
	if (!o) {
		buf_printf(out, "unknown    no service is there: %s\n", cluster_conf(plan_unknown(p))->name);
		return;
	}
	buf_printf(out, "listener   %s\n", o->name);
	if (!o->http) {
		for (int i = 0; i < o->n_tls + o->n_tcp; i++) {
			const struct l4_route *l = i < o->n_tls ? &o->tls[i] : &o->tcp[i - o->n_tls];

			for (int k = 0; k < l->n_targets; k++)
				buf_printf(out, "bytes      %s%s%s\n", l->n_sni ? l->sni[0] : "", l->n_sni ? " -> " : "", l->targets[k].cluster_name);
		}
		return;
	}
	v = route_table_vhost(o->http, x->request.authority);
	r = route_find(o->http, x);
	buf_printf(out, "host       %s\n", v ? v->name : "none");
	if (!r) {
		buf_puts(out, "route      none: 404\n");
		return;
	}
	say_match(r, out);
	if (r->action == ROUTE_REPLY)
		buf_printf(out, "answer     %d\n", r->reply.status);
	else if (r->action == ROUTE_REDIRECT)
		buf_printf(out, "redirect   %d\n", r->redirect.status);
	else
		say_forward(x, r, out);
}

static enum http_path path_level(int normalization)
{
	static const enum http_path levels[] = {
		[PATHS_DEFAULT] = HTTP_PATH_BASE, [PATHS_NONE] = HTTP_PATH_NONE, [PATHS_BASE] = HTTP_PATH_BASE, [PATHS_MERGE_SLASHES] = HTTP_PATH_MERGE_SLASHES,
		[PATHS_DECODE_AND_MERGE_SLASHES] = HTTP_PATH_DECODE_AND_MERGE_SLASHES,
	};

	return levels[normalization];
}

static int ask_plan(const struct routeask *ask, const struct mesh *m, const struct workload *w, struct buf *out, struct err *err)
{
	struct exchange x = { .request = { .method = str_c(ask->method), .path = str_c(ask->path), .scheme = str_c("http") } };
	static const struct exchange_client nobody;
	struct plan *p;
	struct addr to;
	char *norm;

	if (!destination(m, w->ns, ask->to, &x.request.authority, &to))
		return err_set(err, -EINVAL, "--to: want HOST:PORT or ADDRESS:PORT, got \"%s\"", ask->to);
	x.client = &nobody;
	x.request_fields.arena = x.response_fields.arena = &x.arena;
	for (int i = 0; i < ask->n_headers; i++) {
		struct str value, name = str_cut(str_c(ask->headers[i]), ':', &value);

		while (value.n && *value.p == ' ')
			value = (struct str){ value.p + 1, value.n - 1 };
		if (str_eq_nocase(name, str_c("host")))
			x.request.authority = value;
		else
			fields_add(&x.request_fields, arena_dup(&x.arena, name), value);
	}
	norm = arena_alloc(&x.arena, 3 * x.request.path.n + 1);
	if (!http_path_normalise(x.request.path, path_level(mesh_config(m)->path_normalization), norm, &x.request.path)) {
		arena_done(&x.arena);
		return err_set(err, -EINVAL, "--path: \"%s\" has no normal form and is answered with 400", ask->path);
	}
	p = plan_compile(m, w, NULL, on_report, out);
	say(&x, p, &to, out);
	plan_unref(p);
	arena_done(&x.arena);
	return 0;
}

int routeask_run(const char *dir, const struct routeask *ask, const struct mesh_settings *base, struct buf *out, struct err *err)
{
	struct mesh_settings settings = *base;
	struct str name, ns = str_cut(str_c(ask->from), '/', &name);
	const struct workload *w;
	struct confdir *c;
	int r;

	settings.mode = MODE_SIDECAR;
	c = confdir_new(dir, &settings);
	r = confdir_load(c, err);
	if (r == 0) {
		w = mesh_workload_named(mesh_current(), ns, name);
		r = w ? ask_plan(ask, mesh_current(), w, out, err) : err_set(err, -ENOENT, "--from: no WorkloadEntry or Pod \"%s\" in %s", ask->from, dir);
	}
	confdir_free(c);
	return r;
}
