/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/clusters.h"

#include "admin/json.h"

/* "10.0.0.1:80", or what there is instead. */
static const char *address(const struct host_view *v, const struct cluster_conf *conf, char text[ADDR_TEXT])
{
	const struct addr *a;
	int n;

	a = host_addrs(v->host, &n);
	return n ? addr_format(a, text) : conf->unix_path && *conf->unix_path ? conf->unix_path : "original_dst";
}

/* --- text --- */

struct lines {
	const struct cluster_conf *conf;
	struct buf *out;
};

static void text_host(const struct host_view *v, void *arg)
{
	static const struct locality nowhere = { "", "", "" };
	const struct lines *l = arg;
	const struct locality *at = v->workload ? &v->workload->locality : &nowhere;
	char text[ADDR_TEXT];
	const char *name = l->conf->name, *a = address(v, l->conf, text);

	buf_printf(l->out, "%s::%s::rq_active::%u\n", name, a, v->active);
	buf_printf(l->out, "%s::%s::hostname::%s\n", name, a, v->workload ? v->workload->name : "");
	buf_printf(l->out, "%s::%s::health_flags::%s%s%s\n", name, a, v->ejected ? "/failed_outlier_check" : "", v->healthy ? "" : "/failed_eds_health",
		   v->healthy && !v->ejected ? "healthy" : "");
	buf_printf(l->out, "%s::%s::weight::%u\n", name, a, (unsigned)v->weight);
	buf_printf(l->out, "%s::%s::region::%s\n", name, a, at->region);
	buf_printf(l->out, "%s::%s::zone::%s\n", name, a, at->zone);
	buf_printf(l->out, "%s::%s::sub_zone::%s\n", name, a, at->subzone);
	buf_printf(l->out, "%s::%s::priority::%d\n", name, a, v->priority);
}

void clusters_text_one(struct cluster *c, struct buf *out)
{
	const struct cluster_conf *conf = cluster_conf(c);

	buf_printf(out, "%s::default_priority::max_connections::%u\n", conf->name, (unsigned)conf->pool.max_connections);
	buf_printf(out, "%s::default_priority::max_pending_requests::%u\n", conf->name, (unsigned)conf->pool.max_pending);
	buf_printf(out, "%s::default_priority::max_requests::%u\n", conf->name, (unsigned)conf->pool.max_requests);
	buf_printf(out, "%s::default_priority::max_retries::%u\n", conf->name, (unsigned)conf->pool.max_retries);
	buf_printf(out, "%s::cx_active::%u\n", conf->name, cluster_used(c, LIMIT_OF_CONNECTIONS));
	buf_printf(out, "%s::rq_pending_active::%u\n", conf->name, cluster_used(c, LIMIT_OF_PENDING));
	buf_printf(out, "%s::rq_active::%u\n", conf->name, cluster_used(c, LIMIT_OF_REQUESTS));
	cluster_each_host(c, text_host, &(struct lines){ conf, out });
}

static void text_cluster(struct cluster *c, void *arg)
{
	clusters_text_one(c, arg);
}

void clusters_text(const struct plan *p, struct buf *out)
{
	if (p)
		plan_each_cluster(p, text_cluster, out);
}

/* --- JSON: envoy.admin.v3.Clusters --- */

struct objects {
	const struct cluster_conf *conf;
	struct json *j;
};

static void json_address(struct json *j, const struct host_view *v, const struct cluster_conf *conf)
{
	const struct addr *a;
	char text[ADDR_TEXT];
	int n;

	a = host_addrs(v->host, &n);
	json_open(j, "address", '{');
	if (n) {
		json_open(j, "socket_address", '{');
		json_text(j, "address", ip_format(&a->ip, text));
		json_number(j, "port_value", a->port);
	} else {
		json_open(j, "pipe", '{');
		json_text(j, "path", address(v, conf, text));
	}
	json_close(j, '}');
	json_close(j, '}');
}

static void json_host(const struct host_view *v, void *arg)
{
	const struct objects *o = arg;

	json_open(o->j, NULL, '{');
	json_address(o->j, v, o->conf);
	json_open(o->j, "health_status", '{');
	if (v->ejected)
		json_bool(o->j, "failed_outlier_check", true);
	json_text(o->j, "eds_health_status", v->healthy ? "HEALTHY" : "UNHEALTHY");
	json_close(o->j, '}');
	json_number(o->j, "weight", v->weight);
	json_number(o->j, "priority", (uint64_t)v->priority);
	if (v->workload) {
		json_text(o->j, "hostname", v->workload->name);
		json_open(o->j, "locality", '{');
		json_text(o->j, "region", v->workload->locality.region);
		json_text(o->j, "zone", v->workload->locality.zone);
		json_text(o->j, "sub_zone", v->workload->locality.subzone);
		json_close(o->j, '}');
	}
	json_close(o->j, '}');
}

static void json_cluster(struct cluster *c, void *arg)
{
	struct json *j = arg;
	const struct cluster_conf *conf = cluster_conf(c);

	json_open(j, NULL, '{');
	json_text(j, "name", conf->name);
	json_open(j, "host_statuses", '[');
	cluster_each_host(c, json_host, &(struct objects){ conf, j });
	json_close(j, ']');
	json_close(j, '}');
}

void clusters_json(const struct plan *p, struct buf *out)
{
	struct json j = { .out = out };

	json_open(&j, NULL, '{');
	json_open(&j, "cluster_statuses", '[');
	if (p)
		plan_each_cluster(p, json_cluster, &j);
	json_close(&j, ']');
	json_close(&j, '}');
}
