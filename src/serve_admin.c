/* SPDX-License-Identifier: Apache-2.0 */
/* What the admin pages may ask of the control thread. */
#include <stdlib.h>
#include <string.h>

#include "dns/hostnames.h"
#include "http/h1server.h"
#include "modes/pod.h"
#include "src/serve_int.h"
#include "src/version.h"

static void admin_quit(void *arg)
{
	serve_drain(arg);
}

static int admin_reload(void *arg, struct err *err)
{
	return serve_reload(arg, err);
}

static void admin_pending(void *arg, struct buf *out)
{
	struct serve *s = arg;

	for (int i = 0; i < s->opt.workloads.n; i++)
		if (serve_problem(s, i)[0])
			buf_printf(out, "%sworkload %s", buf_len(out) ? ", " : "", s->opt.workloads.v[i]);
	serve_plane_pending(s, out);
	serve_pods_pending(s, out);
	if (s->mode != MODE_ZTUNNEL && !hostnames_settled())
		buf_printf(out, "%shost names of ServiceEntries", buf_len(out) ? ", " : "");
	if (s->draining)
		buf_printf(out, "%sdraining", buf_len(out) ? ", " : "");
}

struct each_pod {
	struct serve *serve;
	admin_workload_fn *fn;
	void *fn_arg;
};

static void on_pod(const struct inpod_pod *p, void *arg)
{
	struct each_pod *e = arg;
	struct pod_shared *pod = proxy_pod(e->serve->proxy, str_c(p->uid));
	char *name = xasprintf("%s/%s", p->ns, p->name);
	struct admin_workload w = {
		.name = name, .workload = pod ? pod_workload(pod, mesh_current()) : NULL, .up = p->up && !e->serve->draining,
		.problem = p->problem, .uid = p->uid, .service_account = p->service_account,
	};

	e->fn(&w, e->fn_arg);
	free(name);
}

static void dedicated(struct serve *s, admin_workload_fn *fn, void *fn_arg)
{
	struct pod_shared *pod = proxy_pod(s->proxy, str_c(""));
	char *name = xasprintf("%s/%s", s->set.workload_ns, s->set.workload_name);
	struct workload *workload = pod ? pod_workload(pod, mesh_current()) : NULL;
	struct admin_workload w = {
		.name = name, .workload = workload, .up = workload && !s->draining, .problem = "", .service_account = s->set.workload_sa,
	};

	fn(&w, fn_arg);
	free(name);
}

static void each_workload(void *arg, void (*fn)(const struct admin_workload *w, void *fn_arg), void *fn_arg)
{
	struct serve *s = arg;

	if (s->inpod)
		inpod_each(s->inpod, on_pod, &(struct each_pod){ s, fn, fn_arg });
	else if (s->pods_mode)
		dedicated(s, fn, fn_arg);
	for (int i = 0; i < s->opt.workloads.n; i++) {
		struct admin_workload w = {
			.name = s->opt.workloads.v[i], .workload = serve_files_workload(s, i),
			.up = !s->draining && !serve_problem(s, i)[0], .problem = serve_problem(s, i),
		};

		fn(&w, fn_arg);
	}
}

struct listing {
	const char *uid;
	void (*fn)(const struct admin_connection *c, void *fn_arg);
	void *fn_arg;
};

static void list_one(const struct proxy_conn_info *i, void *arg)
{
	const struct listing *l = arg;
	struct admin_connection c = {
		.direction = i->inbound ? ADMIN_INBOUND : ADMIN_OUTBOUND, .workload_uid = i->uid, .source = i->source,
		.original = i->original, .actual = i->actual, .host = i->host, .protocol = i->protocol,
		.peer = i->peer, .bytes_received = i->received, .bytes_sent = i->sent, .age_ms = i->age_ms,
	};

	if (!l->uid || strcmp(l->uid, i->uid) == 0)
		l->fn(&c, l->fn_arg);
}

static void each_connection(void *arg, const char *uid, void (*fn)(const struct admin_connection *c, void *fn_arg), void *fn_arg)
{
	struct listing l = { uid, fn, fn_arg };
	struct serve *s = arg;

	if (s->proxy)
		proxy_list(s->proxy, list_one, &l);
}

static void each_finding(void *arg, void (*fn)(bool error, const char *text, void *fn_arg), void *fn_arg)
{
	struct serve *s = arg;
	size_t n = 0;
	const struct finding **v = s->confdir ? confdir_findings(s->confdir, &n) : NULL;

	for (size_t i = 0; i < n; i++) {
		struct buf text = { 0 };

		finding_format(v[i], false, &text);
		buf_append(&text, "", 1);
		fn(v[i]->level == FINDING_ERROR, (char *)buf_data(&text), fn_arg);
		buf_done(&text);
	}
	free(v);
	serve_plane_findings(s, fn, fn_arg);
}

static void each_setting(void *arg, admin_setting_fn *fn, void *fn_arg)
{
	settings_each(&((struct serve *)arg)->set, fn, fn_arg);
}

static void app_health(void *arg, struct h1server_request *rq)
{
	struct serve *s = arg;
	struct workload *w = s->opt.workloads.n ? serve_files_workload(s, 0) : NULL;
	struct ip ip;

	ip_parse(str_c("127.0.0.1"), &ip);
	if (s->probes)
		probes_answer(s->probes, rq, w && w->n_ips ? &w->ips[0] : &ip);
	else
		h1server_reply_text(rq, 404, "there are no probes: ISTIO_KUBE_APP_PROBERS is not set\n");
}

static const struct admin_ops admin_ops = {
	.app_health = app_health,
	.each_setting = each_setting,
	.quit = admin_quit, .reload = admin_reload, .pending = admin_pending, .each_workload = each_workload,
	.each_connection = each_connection, .each_finding = each_finding,
};

int serve_admin_start(struct serve *s, struct err *err)
{
	struct admin_conf conf = {
		.control = s->loop, .mode = s->opt.mode, .version = MESHD_VERSION, .admin_port = (uint16_t)s->opt.admin_port,
		.stats_port = s->set.stats_port, .envoy_stats_port = s->mode != MODE_ZTUNNEL ? PORT_ENVOY_STATS : 0, .ready_port = PORT_READY, .ipv6 = s->set.ipv6, .unix_path = s->opt.admin_socket,
		.post_unix_only = s->opt.post_unix_only, .identity = s->identity,
		.istio_version = s->set.version,
	};

	serve_metrics_start(s);
	return admin_new(&conf, &admin_ops, s, &s->admin, err);
}
