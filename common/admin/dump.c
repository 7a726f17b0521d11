/* SPDX-License-Identifier: Apache-2.0 */
/* /config_dump, in the shape that `istioctl ztunnel-config` reads, written a piece at a time: the objects are held while that
 * goes on, the text never is. */
#include <stdlib.h>

#include "admin/admin_int.h"
#include "admin/dump_object.h"
#include "base/map.h"

#define PIECE_BYTES     (64 * 1024)
#define PIECE_ENDPOINTS 256
#define CONNECTIONS_MAX 100000   /* of all workloads, in one dump */

enum { INBOUND = ADMIN_INBOUND, OUTBOUND = ADMIN_OUTBOUND };

/* Live connections of one workload, a line of JSON each. */
struct dump_conns {
	char *uid;                 /* owned; the map's key */
	struct buf lines[2];       /* by direction */
};

/* References to objects of one kind. */
struct dump_list {
	void **v;
	size_t n, cap, at;
};

struct dump {
	struct admin *admin;
	struct json j;
	enum { DUMP_WORKLOADS, DUMP_SERVICES, DUMP_POLICIES, DUMP_AUTHN, DUMP_PROCESS, DUMP_END } part;
	struct dump_list list[DUMP_PROCESS];
	int endpoint;              /* of the present service; -1: it was not begun */
	struct map conns;          /* struct dump_conns by uid */
	size_t n_conns;
};

/* --- what is dumped, taken at once --- */

static void list_add(struct dump_list *l, void *object)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = object;
}

static bool take_workload(struct workload *w, void *arg)
{
	list_add(&((struct dump *)arg)->list[DUMP_WORKLOADS], workload_ref(w));
	return true;
}

static bool take_service(struct service *s, void *arg)
{
	list_add(&((struct dump *)arg)->list[DUMP_SERVICES], service_ref(s));
	return true;
}

static bool take_policy(struct policy *p, void *arg)
{
	list_add(&((struct dump *)arg)->list[DUMP_POLICIES], policy_ref(p));
	return true;
}

static bool take_authn(struct peer_authn *p, void *arg)
{
	list_add(&((struct dump *)arg)->list[DUMP_AUTHN], peer_authn_ref(p));
	return true;
}

static int by_uid(const void *a, const void *b)
{
	return strcmp((*(struct workload *const *)a)->uid, (*(struct workload *const *)b)->uid);
}

static int by_key(const void *a, const void *b)
{
	return strcmp((*(struct service *const *)a)->key, (*(struct service *const *)b)->key);
}

static int by_policy(const void *a, const void *b)
{
	return strcmp((*(struct policy *const *)a)->key, (*(struct policy *const *)b)->key);
}

static struct dump_conns *conns_of(struct dump *d, const char *uid)
{
	struct dump_conns *c = map_get(&d->conns, str_c(uid));

	if (c)
		return c;
	c = xcalloc(1, sizeof(*c));
	c->uid = xstrdup(uid);
	map_put(&d->conns, str_c(c->uid), c);
	return c;
}

static void take_connection(const struct admin_connection *c, void *arg)
{
	struct dump *d = arg;
	struct buf *out;
	char text[ADDR_TEXT];

	if (d->n_conns++ >= CONNECTIONS_MAX)
		return;
	out = &conns_of(d, c->workload_uid)->lines[c->direction];
	buf_printf(out, "{\"src\": \"%s\", \"originalDst\": ", addr_format(&c->source, text));
	if (c->direction == ADMIN_INBOUND && c->host[0])
		buf_json_str(out, str_c(c->host));
	else if (c->direction == ADMIN_OUTBOUND && c->original.port)
		buf_printf(out, "\"%s\"", addr_format(&c->original, text));
	else
		buf_puts(out, "null");
	buf_printf(out, ", \"actualDst\": \"%s\", \"protocol\": \"%s\"}\n", addr_format(&c->actual, text), c->protocol);
}

struct dump *dump_new(struct admin *a)
{
	struct dump *d = xcalloc(1, sizeof(*d));
	const struct mesh *m = mesh_current();

	d->admin = a;
	d->endpoint = -1;
	mesh_each_workload(m, take_workload, d);
	mesh_each_service(m, take_service, d);
	mesh_each_policy(m, take_policy, d);
	mesh_each_peer_authn(m, take_authn, d);
	if (d->list[DUMP_WORKLOADS].n)
		qsort(d->list[DUMP_WORKLOADS].v, d->list[DUMP_WORKLOADS].n, sizeof(void *), by_uid);
	if (d->list[DUMP_SERVICES].n)
		qsort(d->list[DUMP_SERVICES].v, d->list[DUMP_SERVICES].n, sizeof(void *), by_key);
	if (d->list[DUMP_POLICIES].n)
		qsort(d->list[DUMP_POLICIES].v, d->list[DUMP_POLICIES].n, sizeof(void *), by_policy);
	if (a->ops->each_connection)
		a->ops->each_connection(a->arg, NULL, take_connection, d);
	return d;
}

void dump_free(void *arg)
{
	struct dump *d = arg;

	for (size_t i = 0; i < d->list[DUMP_WORKLOADS].n; i++)
		workload_unref(d->list[DUMP_WORKLOADS].v[i]);
	for (size_t i = 0; i < d->list[DUMP_SERVICES].n; i++)
		service_unref(d->list[DUMP_SERVICES].v[i]);
	for (size_t i = 0; i < d->list[DUMP_POLICIES].n; i++)
		policy_unref(d->list[DUMP_POLICIES].v[i]);
	for (size_t i = 0; i < d->list[DUMP_AUTHN].n; i++)
		peer_authn_unref(d->list[DUMP_AUTHN].v[i]);
	for (int i = 0; i < DUMP_PROCESS; i++)
		free(d->list[i].v);
	map_each(slot, &d->conns) {
		struct dump_conns *c = slot->value;

		buf_done(&c->lines[INBOUND]);
		buf_done(&c->lines[OUTBOUND]);
		free(c->uid);
		free(c);
	}
	map_done(&d->conns);
	free(d);
}

/* --- this process --- */

static void put_lines(struct json *j, const char *key, const struct buf *lines)
{
	json_open(j, key, '[');
	for (struct str rest = lines ? buf_str(lines) : (struct str){ 0 }; rest.n;) {
		struct str line = str_cut(rest, '\n', &rest);

		json_key(j, NULL);
		buf_append(j->out, line.p, line.n);
	}
	json_close(j, ']');
}

static void put_state(const struct admin_workload *w, void *arg)
{
	struct dump *d = arg;
	struct json *j = &d->j;
	struct str name, ns = str_cut(str_c(w->name), '/', &name);
	struct dump_conns *c = w->workload ? map_get(&d->conns, str_c(w->workload->uid)) : NULL;

	json_open(j, w->uid ? w->uid : w->workload ? w->workload->uid : w->name, '{');
	json_text(j, "state", w->up ? "Up" : "Pending");
	json_open(j, "connections", '{');
	put_lines(j, "inbound", c ? &c->lines[INBOUND] : NULL);
	put_lines(j, "outbound", c ? &c->lines[OUTBOUND] : NULL);
	json_close(j, '}');
	json_open(j, "info", '{');
	json_str(j, "name", w->workload ? str_c(w->workload->name) : name);
	json_str(j, "namespace", w->workload ? str_c(w->workload->ns) : ns);
	json_text(j, "serviceAccount", w->workload ? w->workload->service_account : w->service_account ? w->service_account : "");
	json_close(j, '}');
	if (w->problem[0])
		json_text(j, "problem", w->problem);
	json_close(j, '}');
}

static void put_setting(const char *name, struct str json, void *arg)
{
	struct json *j = arg;

	json_key(j, name);
	buf_append(j->out, json.p, json.n);
}

static void put_config(struct json *j, const struct admin *a, const struct mesh *m)
{
	const struct mesh_settings *s = mesh_settings(m);

	json_open(j, "config", '{');
	json_text(j, "mode", a->conf.mode);
	json_number(j, "generation", mesh_generation(m));
	json_number(j, "adminPort", a->conf.admin_port);
	json_number(j, "statsPort", a->conf.stats_port);
	json_number(j, "readinessPort", a->conf.ready_port);
	json_text(j, "trustDomain", s->trust_domain);
	dump_texts(j, "trustDomainAliases", s->aliases, s->n_aliases);
	json_text(j, "rootNamespace", s->root_ns);
	json_text(j, "clusterDomain", s->cluster_domain);
	json_text(j, "network", s->network);
	json_text(j, "clusterId", s->cluster);
	json_number(j, "connectTimeoutMs", s->connect_timeout_ms);
	json_text(j, "enforcement", stance_name(s->stance));
	if (a->ops->each_setting) {
		json_open(j, "environment", '{');
		a->ops->each_setting(a->arg, put_setting, j);
		json_close(j, '}');
	}
	json_close(j, '}');
}

static void put_process(struct dump *d)
{
	struct admin *a = d->admin;
	struct json *j = &d->j;

	json_key(j, "certificates");
	if (a->conf.identity)
		identity_dump(a->conf.identity, j->out);
	else
		buf_puts(j->out, "[]");
	json_open(j, "workloadState", '{');
	if (a->ops->each_workload)
		a->ops->each_workload(a->arg, put_state, d);
	json_close(j, '}');
	if (d->n_conns > CONNECTIONS_MAX)
		json_number(j, "connectionsLeftOut", d->n_conns - CONNECTIONS_MAX);
	put_config(j, a, mesh_current());
	json_open(j, "version", '{');
	json_text(j, "version", a->conf.version);
	json_text(j, "istioVersion", a->conf.istio_version ? a->conf.istio_version : "unknown");
	json_close(j, '}');
}

/* --- a piece at a time --- */

/* Writes some of the service's endpoints; true when it is done. */
static bool put_service(struct dump *d, const struct service *s)
{
	if (d->endpoint < 0) {
		dump_service_open(&d->j, s);
		d->endpoint = 0;
	}
	for (int n = 0; n < PIECE_ENDPOINTS && d->endpoint < s->endpoints->n; n++)
		dump_endpoint(&d->j, s, endpoints_at(s->endpoints, d->endpoint++));
	if (d->endpoint < s->endpoints->n)
		return false;
	dump_service_close(&d->j);
	d->endpoint = -1;
	return true;
}

static void put_object(struct dump *d, struct dump_list *l)
{
	void *object = l->v[l->at];
	bool whole = true;

	if (d->part == DUMP_WORKLOADS)
		dump_workload(&d->j, object);
	else if (d->part == DUMP_SERVICES)
		whole = put_service(d, object);
	else if (d->part == DUMP_POLICIES)
		dump_policy(&d->j, object);
	else
		dump_peer_authn(&d->j, object);
	l->at += whole;
}

static void put_some(struct dump *d)
{
	static const char *const keys[] = { "workloads", "services", "policies", "peerAuthentications" };
	struct dump_list *l = &d->list[d->part];

	if (d->part == DUMP_PROCESS) {
		put_process(d);
		json_close(&d->j, '}');
		buf_puts(d->j.out, "\n");
		d->part = DUMP_END;
		return;
	}
	if (l->at == 0 && d->endpoint < 0)
		json_open(&d->j, keys[d->part], '[');
	if (l->at < l->n)
		put_object(d, l);
	if (l->at == l->n) {
		json_close(&d->j, ']');
		d->part++;
	}
}

bool dump_more(void *arg, struct buf *out)
{
	struct dump *d = arg;

	d->j.out = out;
	if (d->j.depth == 0)
		json_open(&d->j, NULL, '{');
	while (d->part != DUMP_END && buf_len(out) < PIECE_BYTES)
		put_some(d);
	return d->part != DUMP_END;
}
