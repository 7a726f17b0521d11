/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "base/map.h"
#include "telemetry/edges.h"
#include "telemetry/peer.h"
#include "telemetry/prom_int.h"
#include "telemetry/respflag.h"
#include "telemetry/teleconf_int.h"

/* In the order in which Istio's proxy gives them. */
#define LABELS(X) \
	X(reporter) X(source_workload) X(source_canonical_service) X(source_canonical_revision) X(source_workload_namespace) \
	X(source_principal) X(source_app) X(source_version) X(source_cluster) X(destination_workload) X(destination_workload_namespace) \
	X(destination_principal) X(destination_app) X(destination_version) X(destination_service) X(destination_canonical_service) \
	X(destination_canonical_revision) X(destination_service_name) X(destination_service_namespace) X(destination_cluster) \
	X(request_protocol) X(response_code) X(grpc_response_status) X(response_flags) X(connection_security_policy)

enum label_id {
#define X(name) L_##name,
	LABELS(X)
#undef X
	L_COUNT
};
static const char *const label_names[L_COUNT] = {
#define X(name) #name,
	LABELS(X)
#undef X
};

#define VALUE_BYTES 255

struct labels {
	struct str v[L_COUNT];               /* empty: "unknown" */
	char code[16], grpc[16], flags[RESPFLAG_BYTES], host[256];
	struct service *service;             /* borrowed from the mesh */
};

/* What a thread remembers. Never freed: a process has as many as it has workers. */
struct memory {
	struct memory *next;
	struct map aliases, hosts;
	struct buf text;                     /* of the labels that are made */
	uint32_t forgot_s;
};
static _Atomic(struct memory *) memories;

static struct memory *memory(void)
{
	static _Thread_local struct memory *mine;

	if (mine)
		return mine;
	mine = xcalloc(1, sizeof(*mine));
	mine->next = atomic_load(&memories);
	while (!atomic_compare_exchange_weak(&memories, &mine->next, mine))
		;
	return mine;
}

/* ---- what is known ---- */

static struct str ns_of(struct str spiffe)
{
	struct str rest = spiffe, part;

	while (rest.p) {
		part = str_cut(rest, '/', &rest);
		if (str_is(part, "ns"))
			return str_cut(rest, '/', &rest);
	}
	return (struct str){ 0 };
}

static void put_source(struct labels *l, const struct peer *p, struct str principal, bool by_principal)
{
	struct str ns = by_principal ? ns_of(principal) : (struct str){ 0 };

	l->v[L_source_workload] = p->workload;
	l->v[L_source_canonical_service] = p->service;
	l->v[L_source_canonical_revision] = p->revision.n ? p->revision : str_c("latest");
	l->v[L_source_workload_namespace] = ns.n ? ns : p->ns;
	l->v[L_source_principal] = principal;
	l->v[L_source_app] = p->app;
	l->v[L_source_version] = p->version;
	l->v[L_source_cluster] = p->cluster;
}

static void put_destination(struct labels *l, const struct peer *p, struct str principal, bool by_principal)
{
	struct str ns = by_principal ? ns_of(principal) : (struct str){ 0 };

	l->v[L_destination_workload] = p->workload;
	l->v[L_destination_canonical_service] = p->service;
	l->v[L_destination_canonical_revision] = p->revision.n ? p->revision : str_c("latest");
	l->v[L_destination_workload_namespace] = ns.n ? ns : p->ns;
	l->v[L_destination_principal] = principal;
	l->v[L_destination_app] = p->app;
	l->v[L_destination_version] = p->version;
	l->v[L_destination_cluster] = p->cluster;
}

/* A Host that is no service of the mesh: whoever sends requests chooses it, so that only some become values. */
static struct str known_host(struct str host, char text[256])
{
	struct map *hosts = &memory()->hosts;
	char *own;

	if (!host.n || host.n > VALUE_BYTES)
		return (struct str){ 0 };
	for (size_t i = 0; i < host.n; i++)
		text[i] = host.p[i] >= 'A' && host.p[i] <= 'Z' ? (char)(host.p[i] | 0x20) : host.p[i];
	host = (struct str){ text, host.n };
	if (map_get(hosts, host))
		return host;
	if (hosts->len >= LIMIT_METRIC_HOSTS)
		return (struct str){ 0 };
	own = str_dup(host);
	map_put(hosts, (struct str){ own, host.n }, own);
	return host;
}

static struct str special_name(const struct exchange *x)
{
	struct str c = x->log.cluster_name;

	if (str_is(x->log.route_name, "block_all"))
		return str_c("BlackHoleCluster");
	if (str_is(x->log.route_name, "allow_any"))
		return str_c("PassthroughCluster");
	return str_is(c, "BlackHoleCluster") || str_is(c, "PassthroughCluster") || str_starts(c, str_c("InboundPassthroughCluster")) ? c : (struct str){ 0 };
}

/* `other`: the workload at the other end, whose name the service has that nobody named. */
static void put_service(struct labels *l, const struct exchange *x, const struct peer *other, const struct peer *local, struct str key)
{
	struct str special = special_name(x), host, ns = str_cut(key, '/', &host), rest;
	const struct mesh *m = mesh_current();
	bool inbound = x->client->inbound;

	if (special.n) {
		l->v[L_destination_service_name] = special;
	} else if (key.n) {
		l->service = m ? mesh_service(m, key) : NULL;
		l->v[L_destination_service] = host;
		l->v[L_destination_service_namespace] = ns;
		l->v[L_destination_service_name] = l->service && l->service->name[0] ? str_c(l->service->name) : str_cut(host, '.', &rest);
	}
	if (inbound) {
		if (!l->v[L_destination_service].n)
			l->v[L_destination_service] = other->service;
		if (!l->v[L_destination_service_name].n)
			l->v[L_destination_service_name] = other->service;
		l->v[L_destination_service_namespace] = local->ns;
		return;
	}
	if (!l->v[L_destination_service].n) {
		host = known_host(x->request.authority, l->host);
		l->v[L_destination_service] = host;
		if (!special.n)
			l->v[L_destination_service_name] = host;
	}
	if (!l->v[L_destination_service_namespace].n)
		l->v[L_destination_service_namespace] = l->v[L_destination_workload_namespace];
}

static const struct peer *peer_at(const struct exchange *x, const struct workload *w, struct peer *room)
{
	if (!w && x->log.peer)
		return x->log.peer;
	peer_of_workload(w, room);
	return room;
}

static struct str peer_principal(const struct exchange *x)
{
	const struct workload *w = x->log.upstream_workload;

	if (x->log.upstream_peer_id.n || !w)
		return x->log.upstream_peer_id;
	return str_c(w->identity);
}

static struct str service_key(const struct tele_side *s, const struct exchange *x)
{
	if (s->waypoint)
		return x->log.service.n ? x->log.service : x->client->service;
	return x->client->inbound ? x->client->service : x->log.service;
}

/* As Istio's: the destination is the server that was chosen, but for the namespace and the cluster of its service, which are our own. */
static void put_waypoint(struct labels *l, const struct exchange *x, const struct peer *local, struct str key)
{
	const struct workload *up = x->log.upstream_workload;
	struct peer from, to;

	peer_of_workload(x->client->peer_workload, &from);
	peer_of_workload(up, &to);
	put_source(l, &from, x->client->peer_id, true);
	if (up)
		put_destination(l, &to, str_c(up->identity), false);
	l->v[L_destination_cluster] = local->cluster;
	put_service(l, x, &to, local, key);
	l->v[L_reporter] = str_c("waypoint");
}

static void put_all(struct labels *l, const struct tele_side *s, const struct exchange *x, unsigned kind)
{
	const struct exchange_client *c = x->client;
	const struct workload *self = c->local_workload;
	struct peer local, room;

	memset(l->v, 0, sizeof(l->v));
	l->service = NULL;
	peer_of_workload(self, &local);
	if (s->waypoint) {
		put_waypoint(l, x, &local, service_key(s, x));
	} else if (c->inbound) {
		put_source(l, peer_at(x, c->peer_workload, &room), c->peer_id, true);
		put_destination(l, &local, c->local_id, false);
		put_service(l, x, &local, &local, service_key(s, x));
		l->v[L_reporter] = str_c("destination");
	} else {
		put_source(l, &local, x->log.upstream_peer_id.n && self ? str_c(self->identity) : (struct str){ 0 }, false);
		put_destination(l, peer_at(x, x->log.upstream_workload, &room), peer_principal(x), true);
		put_service(l, x, &local, &local, service_key(s, x));
		l->v[L_reporter] = str_c("source");
	}
	l->v[L_request_protocol] = str_c(kind == ROW_TCP ? "tcp" : x->log.grpc ? "grpc" : "http");
	snprintf(l->code, sizeof(l->code), "%d", x->response.status);
	l->v[L_response_code] = str_c(l->code);
	snprintf(l->grpc, sizeof(l->grpc), "%d", x->log.grpc_status);
	l->v[L_grpc_response_status] = x->log.grpc && x->log.grpc_status >= 0 ? str_c(l->grpc) : (struct str){ "", 0 };
	l->v[L_response_flags] = str_c(respflag(x, l->flags));
	l->v[L_connection_security_policy] = str_c(!c->inbound ? "unknown" : c->peer_id.n && c->local_id.n ? "mutual_tls" : "none");
}

/* ---- their text ---- */

static void put_label(struct buf *out, const char *name, struct str v)
{
	if (v.n > VALUE_BYTES)
		v.n = VALUE_BYTES;
	buf_puts(out, buf_len(out) ? "," : "");
	buf_puts(out, name);
	buf_puts(out, "=\"");
	prom_value(out, v);
	buf_puts(out, "\"");
}

static void put_edit(struct buf *out, const struct tag_edit *e, const struct exchange *x)
{
	char scratch[512];
	struct str v = cel_text(e->cel, x, scratch, sizeof(scratch));

	put_label(out, e->name, v.n ? v : str_c("unknown"));
}

static const struct tag_edit *edit_of(const struct metric_group *g, const char *name)
{
	for (int i = 0; i < g->n_edits; i++)
		if (strcmp(g->edits[i].name, name) == 0)
			return &g->edits[i];
	return NULL;
}

static bool has_label(unsigned kind, int i)
{
	switch (i) {
	case L_response_code:
	case L_grpc_response_status:
		return kind == ROW_HTTP;
	case L_response_flags:
	case L_connection_security_policy:
		return kind != ROW_GRPC;
	default:
		return true;
	}
}

static bool is_label(const char *name)
{
	for (int i = 0; i < L_COUNT; i++)
		if (strcmp(label_names[i], name) == 0)
			return true;
	return false;
}

static unsigned kind_of(unsigned metrics)
{
	return metrics & ROW_HTTP ? ROW_HTTP : metrics & ROW_GRPC ? ROW_GRPC : ROW_TCP;
}

static struct row *find(const struct metric_group *g, const struct labels *l, const struct exchange *x)
{
	struct buf *text = &memory()->text;
	unsigned kind = kind_of(g->metrics);

	text->tail = text->head;
	for (int i = 0; i < L_COUNT; i++) {
		const struct tag_edit *e = g->n_edits ? edit_of(g, label_names[i]) : NULL;

		if (!has_label(kind, i) || (e && !e->cel))
			continue;
		if (e)
			put_edit(text, e, x);
		else
			put_label(text, label_names[i], l->v[i].n || i == L_grpc_response_status ? l->v[i] : str_c("unknown"));
	}
	for (int i = 0; i < g->n_edits; i++)
		if (g->edits[i].cel && !is_label(g->edits[i].name))
			put_edit(text, &g->edits[i], x);
	return row_find(g->metrics, buf_str(text));
}

static struct tally_row *edge_of(const struct labels *l)
{
	const struct str *v = l->v;

	return edge_row(v[L_reporter], &(struct edge_end){ v[L_source_principal], v[L_source_workload_namespace], v[L_source_workload] },
			&(struct edge_end){ v[L_destination_principal], v[L_destination_workload_namespace], v[L_destination_workload] },
			v[L_destination_service]);
}

/* ---- shortcuts: what decides the labels, to the rows ---- */

struct alias {
	struct workload *peer, *server;      /* references: nobody else has their addresses meanwhile */
	int n;
	struct row **rows;                   /* of each group of the side */
	struct tally_row *edge;
	size_t key_bytes;
	char key[];
};

static void forget(struct map *aliases)
{
	map_each(slot, aliases) {
		struct alias *a = slot->value;

		workload_unref(a->peer);
		workload_unref(a->server);
		free(a->rows);
		free(a);
	}
	map_done(aliases);
	*aliases = (struct map){ 0 };
}

struct key {
	size_t n;
	char bytes[2048];
};

static void add(struct key *k, const void *p, size_t n)
{
	if (n > sizeof(k->bytes) - k->n)
		n = sizeof(k->bytes) - k->n;
	if (n)
		memcpy(k->bytes + k->n, p, n);
	k->n += n;
}

static void add_text(struct key *k, struct str s)
{
	uint16_t n = (uint16_t)(s.n > 400 ? 400 : s.n);

	add(k, &n, sizeof(n));
	add(k, s.p, n);
}

static struct workload *peer_workload(const struct exchange *x)
{
	return x->client->inbound ? x->client->peer_workload : x->log.upstream_workload;
}

static void key_of(struct key *k, const struct tele_side *s, const struct exchange *x, unsigned kind)
{
	const struct exchange_client *c = x->client;
	const struct workload *peer = peer_workload(x);
	struct {
		uint64_t side;
		const void *peer, *local, *server;
		int16_t status, grpc_status;
		uint16_t why;
		uint8_t kind, bits;
	} fixed;

	memset(&fixed, 0, sizeof(fixed));
	fixed.side = s->id;
	fixed.peer = peer;
	fixed.local = c->local_workload;
	fixed.server = s->waypoint ? x->log.upstream_workload : NULL;
	fixed.status = (int16_t)x->response.status;
	fixed.grpc_status = (int16_t)x->log.grpc_status;
	fixed.why = (uint16_t)x->log.why;
	fixed.kind = kind == ROW_TCP;
	fixed.bits = (uint8_t)(x->log.grpc | x->log.delayed << 1 | x->log.retry_limit << 2 | (c->local_id.n != 0) << 3);
	k->n = 0;
	add(k, &fixed, sizeof(fixed));
	add_text(k, service_key(s, x));
	add_text(k, x->log.cluster_name);
	add_text(k, c->inbound ? c->peer_id : x->log.upstream_peer_id);
	if (!c->inbound || s->waypoint)
		add_text(k, x->log.route_name);
	if (!c->inbound && !x->log.service.n)
		add_text(k, x->request.authority);
	if (!peer && x->log.peer)
		for (size_t i = 0; i < sizeof(*x->log.peer) / sizeof(struct str); i++)
			add_text(k, ((const struct str *)(const void *)x->log.peer)[i]);
}

static struct alias *make(struct map *aliases, const struct tele_side *s, const struct exchange *x, const struct key *k)
{
	struct alias *a = calloc(1, sizeof(*a) + k->n);

	if (!a)
		return NULL;
	a->rows = calloc((size_t)s->n_groups + 1, sizeof(*a->rows));
	if (!a->rows) {
		free(a);
		return NULL;
	}
	a->n = s->n_groups;
	a->peer = peer_workload(x) ? workload_ref(peer_workload(x)) : NULL;
	a->server = s->waypoint && x->log.upstream_workload ? workload_ref(x->log.upstream_workload) : NULL;
	a->key_bytes = k->n;
	memcpy(a->key, k->bytes, k->n);
	if (aliases->len >= LIMIT_METRIC_ALIASES)
		forget(aliases);
	map_put(aliases, (struct str){ a->key, a->key_bytes }, a);
	return a;
}

/* Rows and shortcuts age; what a worker holds of workloads is dropped once in a while, too. */
static void turn(struct memory *m)
{
	struct timespec ts;
	uint32_t now_s;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now_s = (uint32_t)ts.tv_sec;
	if (rows_turn(now_s) || now_s - m->forgot_s > 60) {
		forget(&m->aliases);
		m->forgot_s = now_s;
	}
}

static bool wanted(const struct metric_group *g, const struct exchange *x, unsigned kind)
{
	unsigned k = kind_of(g->metrics);

	return kind == ROW_TCP ? k == ROW_TCP : k == ROW_HTTP || (k == ROW_GRPC && x->log.grpc);
}

/* Returns who talks to whom. */
static struct tally_row *each_row(const struct tele_side *s, const struct exchange *x, unsigned kind, void (*fn)(struct row *r, void *arg), void *arg)
{
	struct memory *mem = memory();
	struct labels l;
	struct tally_row *edge = NULL;
	bool made = false;
	struct alias *a;
	struct key k;

	turn(mem);
	key_of(&k, s, x, kind);
	a = map_get(&mem->aliases, (struct str){ k.bytes, k.n });
	if (!a)
		a = make(&mem->aliases, s, x, &k);
	if (!a || !a->edge) {
		put_all(&l, s, x, kind);
		made = true;
		edge = edge_of(&l);
		if (a)
			a->edge = edge;
	}
	for (int i = 0; i < s->n_groups; i++) {
		const struct metric_group *g = &s->groups[i];
		struct row *r = a ? a->rows[i] : NULL;

		if (!wanted(g, x, kind))
			continue;
		if (!r) {
			if (!made)
				put_all(&l, s, x, kind);
			made = true;
			r = find(g, &l, x);
			if (a && !g->varies)
				a->rows[i] = r;
		}
		if (r)
			fn(r, arg);
	}
	return a ? a->edge : edge;
}

struct counts {
	uint64_t duration_ms, request_bytes, response_bytes, request_messages, response_messages;
	unsigned opened, closed;
};

static void count_http(struct row *r, void *arg)
{
	const struct counts *c = arg;

	row_add(r, ROW_REQUEST_COUNT, 1);
	row_sample(r, ROW_REQUEST_DURATION, c->duration_ms);
	row_sample(r, ROW_REQUEST_SIZE, c->request_bytes);
	row_sample(r, ROW_RESPONSE_SIZE, c->response_bytes);
	row_add(r, ROW_REQUEST_MESSAGES, c->request_messages);
	row_add(r, ROW_RESPONSE_MESSAGES, c->response_messages);
}

static void count_tcp(struct row *r, void *arg)
{
	const struct counts *c = arg;

	row_add(r, ROW_TCP_OPENED, c->opened);
	row_add(r, ROW_TCP_CLOSED, c->closed);
	row_add(r, ROW_TCP_RECEIVED, c->request_bytes);
	row_add(r, ROW_TCP_SENT, c->response_bytes);
}

void requests_count(const struct tele_side *s, const struct exchange *x, uint64_t request_messages, uint64_t response_messages)
{
	struct counts c = {
		.duration_ms = x->log.end_ns > x->log.start_ns ? (x->log.end_ns - x->log.start_ns) / 1000000 : 0,
		.request_bytes = x->log.bytes_received + x->log.request_head_bytes,
		.response_bytes = x->log.bytes_sent + x->log.response_head_bytes,
		.request_messages = request_messages, .response_messages = response_messages,
	};
	struct tally_row *edge;

	edge = each_row(s, x, ROW_HTTP, count_http, &c);
	tally_add(edge, EDGE_REQUESTS, 1);
	tally_add(edge, EDGE_RECEIVED, c.request_bytes);
	tally_add(edge, EDGE_SENT, c.response_bytes);
	edge_end(edge, x->log.why, x->response.status);
}

void requests_count_tcp(const struct tele_side *s, const struct exchange *x, unsigned opened, unsigned closed, enum fail why, uint64_t received,
			uint64_t sent)
{
	struct counts c = { .opened = opened, .closed = closed, .request_bytes = received, .response_bytes = sent };
	struct tally_row *edge;

	edge = each_row(s, x, ROW_TCP, count_tcp, &c);
	tally_add(edge, EDGE_CONNECTIONS, opened);
	tally_add(edge, EDGE_RECEIVED, received);
	tally_add(edge, EDGE_SENT, sent);
	edge_end(edge, why, 0);
}
