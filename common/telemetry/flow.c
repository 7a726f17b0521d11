/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/flow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "telemetry/edges.h"
#include "telemetry/flow_int.h"
#include "telemetry/span.h"

#define TEXT_MAX 1023

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void flow_set(char **field, struct str value)
{
	size_t n = value.n < TEXT_MAX ? value.n : TEXT_MAX;
	char *copy = n ? malloc(n + 1) : NULL;

	if (copy) {
		memcpy(copy, value.p, n);
		copy[n] = '\0';
	}
	free(*field);
	*field = copy;
}

/* base: the first of eight labels that come in the same order for source and destination. */
enum { OF_WORKLOAD, OF_SERVICE, OF_REVISION, OF_NS, OF_PRINCIPAL, OF_APP, OF_VERSION, OF_CLUSTER };

static void label_side(struct str *base, struct str *place, const struct baggage *b, const char *id)
{
	base[OF_WORKLOAD] = b->workload_name;
	base[OF_SERVICE] = base[OF_APP] = b->service_name;
	base[OF_REVISION] = base[OF_VERSION] = b->revision;
	base[OF_NS] = b->ns;
	base[OF_CLUSTER] = b->cluster;
	base[OF_PRINCIPAL] = str_c(id);
	place[0] = b->region;
	place[1] = b->zone;
}

/* A workload in baggage's terms, so that both ways of knowing a peer end in the same labels. */
static bool side_known(const struct workload *w, const char *baggage, struct baggage *ret)
{
	*ret = (struct baggage){ 0 };
	if (!w) {
		if (baggage)
			baggage_parse(str_c(baggage), ret);
		return ret->ns.n || ret->service_name.n || ret->workload_name.n;
	}
	*ret = (struct baggage){
		.cluster = str_c(w->cluster), .ns = str_c(w->ns), .workload_name = str_c(w->workload_name),
		.service_name = str_c(w->canonical_name), .revision = str_c(w->canonical_revision),
		.region = str_c(w->locality.region), .zone = str_c(w->locality.zone),
	};
	return true;
}

/* Whom it was shown to be, or until then, whom it has to be. */
static const char *dest_id(const struct flow *f)
{
	return f->dest_id ? f->dest_id : f->dest_workload ? f->dest_workload->identity : NULL;
}

void flow_key(const struct flow *f, struct series_key *key)
{
	bool inbound = f->direction == FLOW_INBOUND;
	struct baggage source, dest;
	bool source_known = side_known(f->source_workload, inbound ? f->peer_baggage : NULL, &source);
	bool dest_known = side_known(f->dest_workload, inbound ? NULL : f->peer_baggage, &dest);
	struct str *v = key->value;

	key->locality = source_known || dest_known;
	label_side(&v[SERIES_source_workload], &v[SERIES_source_region], &source, f->source_id);
	label_side(&v[SERIES_destination_workload], &v[SERIES_destination_region], &dest, dest_id(f));
	v[SERIES_reporter] = str_c(inbound ? "destination" : "source");
	v[SERIES_request_protocol] = str_c("tcp");
	v[SERIES_connection_security_policy] = str_c(f->mtls ? "mutual_tls" : "unknown");
	v[SERIES_destination_service] = str_c(f->service ? f->service->hostname : f->service_host);
	v[SERIES_destination_service_name] = str_c(f->service ? f->service->name : NULL);
	v[SERIES_destination_service_namespace] = str_c(f->service ? f->service->ns : NULL);
}

struct line {
	struct log_field field[32];
	int n;
	struct baggage source, dest;
	char addr[3][ADDR_TEXT];
	char hbone[320], duration[32], id[20], error[1024];
};

static void put(struct line *l, const char *key, struct str value, bool bare)
{
	if (value.n)
		l->field[l->n++] = (struct log_field){ .key = key, .value = value, .bare = bare };
}

static void put_number(struct line *l, const char *key, uint64_t number)
{
	l->field[l->n++] = (struct log_field){ .key = key, .number = number };
}

/* ztunnel names a workload by its pod, else by its canonical service. */
static struct str workload_text(const struct workload *w, const struct baggage *b)
{
	return w && w->name[0] ? str_c(w->name) : b->service_name;
}

static void put_addresses(struct line *l, const struct flow *f)
{
	bool inbound = f->direction == FLOW_INBOUND;

	side_known(f->source_workload, inbound ? f->peer_baggage : NULL, &l->source);
	side_known(f->dest_workload, inbound ? NULL : f->peer_baggage, &l->dest);
	put(l, "src.addr", str_c(addr_format(&f->source, l->addr[0])), true);
	put(l, "src.workload", workload_text(f->source_workload, &l->source), false);
	put(l, "src.namespace", l->source.ns, false);
	put(l, "src.identity", str_c(f->mtls ? f->source_id : NULL), false);
	put(l, "src.cluster", l->source.cluster, false);
	put(l, "dst.addr", str_c(addr_format(&f->dest, l->addr[1])), true);
	if (f->hbone_host) {
		snprintf(l->hbone, sizeof(l->hbone), "%.255s:%u", f->hbone_host, f->hbone.port);
		put(l, "dst.hbone_addr", str_c(l->hbone), false);
	} else if (f->hbone.port) {
		put(l, "dst.hbone_addr", str_c(addr_format(&f->hbone, l->addr[2])), true);
	}
	put(l, "dst.service", str_c(f->service ? f->service->hostname : f->service_host), false);
	put(l, "dst.workload", workload_text(f->dest_workload, &l->dest), false);
	put(l, "dst.namespace", l->dest.ns, false);
	put(l, "dst.identity", str_c(f->mtls ? dest_id(f) : NULL), false);
	put(l, "dst.cluster", l->dest.cluster, false);
	put(l, "direction", str_c(inbound ? "inbound" : "outbound"), false);
}

static void put_failure(struct line *l, const struct flow *f, const struct why_entry *e)
{
	const struct fail_info *info = fail_info(e->why);

	if (e->why == FAIL_NONE)
		return;
	snprintf(l->error, sizeof(l->error), "%s%s%s", info->reason, e->detail[0] ? ": " : "", e->detail);
	put(l, "error", str_c(l->error), false);
	put(l, "reason", str_c(info->name), true);
	put(l, "policy", str_c(e->policy), false);
	put(l, "rule", str_c(e->rule), false);
	if (f->id) {
		snprintf(l->id, sizeof(l->id), "%016" PRIx64, f->id);
		put(l, "id", str_c(l->id), true);
	}
	put(l, "hint", str_c(info->hint), false);
}

static void log_close(const struct flow *f, enum log_level level, const struct why_entry *e)
{
	bool inbound = f->direction == FLOW_INBOUND;
	struct line l;

	if (!log_on(LOG_ACCESS, level))
		return;
	l.n = 0;
	if (!f->opened) {
		put(&l, "src.addr", str_c(addr_format(&f->source, l.addr[0])), true);
		put(&l, "src.identity", str_c(f->mtls ? f->source_id : NULL), false);
		put(&l, "dst.addr", str_c(addr_format(&f->dest, l.addr[1])), true);
		put(&l, "direction", str_c(inbound ? "inbound" : "outbound"), false);
		put_failure(&l, f, e);
		log_fields(LOG_ACCESS, level, "connection failed", l.field, l.n);
		return;
	}
	put_addresses(&l, f);
	/* As seen from the proxied workload: at the source, sent is what went towards the server. */
	put_number(&l, "bytes_sent", inbound ? f->bytes_sent : f->bytes_received);
	put_number(&l, "bytes_recv", inbound ? f->bytes_received : f->bytes_sent);
	snprintf(l.duration, sizeof(l.duration), "%" PRIu64 "ms", (now_ns() - f->opened_ns) / 1000000u);
	put(&l, "duration", str_c(l.duration), false);
	put_failure(&l, f, e);
	log_fields(LOG_ACCESS, level, "connection complete", l.field, l.n);
}

/* By the labels of its series. */
static struct tally_row *edge_of(const struct series_key *k)
{
	const struct str *v = k->value;

	return edge_row(v[SERIES_reporter],
			&(struct edge_end){ v[SERIES_source_principal], v[SERIES_source_workload_namespace], v[SERIES_source_workload] },
			&(struct edge_end){ v[SERIES_destination_principal], v[SERIES_destination_workload_namespace], v[SERIES_destination_workload] },
			v[SERIES_destination_service]);
}

/* One that was never opened is told of, too. */
static void edge_close(const struct flow *f, enum fail why)
{
	struct series_key key;

	if (f->edge) {
		edge_end(f->edge, why, 0);
	} else if (!f->opened && why != FAIL_NONE) {
		flow_key(f, &key);
		edge_end(edge_of(&key), why, 0);
	}
}

void flow_open(struct flow_metrics *m, struct flow *f)
{
	struct series_key key;

	if (f->proxy) {
		flow_proxy_open(f);
		return;
	}
	flow_key(f, &key);
	f->series = series_find(m, &key, f->direction);
	f->edge = edge_of(&key);
	tally_add(f->edge, EDGE_CONNECTIONS, 1);
	tally_add(f->edge, EDGE_RECEIVED, f->bytes_received);
	tally_add(f->edge, EDGE_SENT, f->bytes_sent);
	f->opened = true;
	if (!f->opened_ns)
		f->opened_ns = now_ns();
	if (f->series) {
		series_add(&f->series->opened, 1);
		series_add(&f->series->received, f->bytes_received);
		series_add(&f->series->sent, f->bytes_sent);
	}
	if (log_on(LOG_ACCESS, LOG_DEBUG)) {
		struct line l;

		l.n = 0;
		put_addresses(&l, f);
		log_fields(LOG_ACCESS, LOG_DEBUG, "connection opened", l.field, l.n);
	}
}

void flow_bytes(struct flow *f, uint64_t client_to_server, uint64_t server_to_client)
{
	f->bytes_received += client_to_server;
	f->bytes_sent += server_to_client;
	if (f->proxy)
		flow_proxy_bytes(f);
	tally_add(f->edge, EDGE_RECEIVED, client_to_server);
	tally_add(f->edge, EDGE_SENT, server_to_client);
	if (f->series) {
		series_add(&f->series->received, client_to_server);
		series_add(&f->series->sent, server_to_client);
	}
}

static uint64_t id_make(void)
{
	uint64_t id = 0;

	if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != sizeof(id))
		id = now_ns();
	return id ? id : 1;
}

static enum log_level close_level(const struct flow *f, enum fail why)
{
	if (!f->opened)
		return LOG_WARN;
	return why == FAIL_NONE || why == FAIL_CLIENT_RESET || why == FAIL_SERVER_RESET ? LOG_INFO : LOG_ERROR;
}

void flow_drop(struct flow *f)
{
	workload_unref(f->source_workload);
	workload_unref(f->dest_workload);
	service_unref(f->service);
	free(f->hbone_host);
	free(f->source_id);
	free(f->dest_id);
	free(f->service_host);
	free(f->peer_baggage);
	free(f->traceparent);
	flow_proxy_free(f->proxy);
	*f = (struct flow){ 0 };
}

void flow_close(struct flow_metrics *m, struct flow *f, enum fail why, const char *detail, const char *policy,
		const char *rule, const char *would_allow)
{
	struct why_entry e = {
		f, why, detail ? detail : "", policy ? policy : "", rule ? rule : "", would_allow ? would_allow : "",
	};
	enum series_flag flag = series_flag(why);
	uint64_t id;

	if (flag != SERIES_FLAG_NONE) {
		if (!f->id)
			f->id = id_make();
		why_remember(&e);
	}
	refusal_count(why, f->refusal);
	if (flag == SERIES_FLAG_CERT_REVOKED)
		series_add(&m->revoked[f->direction], 1);
	if (f->series) {
		series_add(&f->series->closed[flag], 1);
		if (flag != SERIES_FLAG_NONE)
			series_add(&f->series->failed[flag], 1);
	}
	edge_close(f, why);
	if (f->proxy)
		flow_proxy_close(f, &e);
	else
		log_close(f, close_level(f, why), &e);
	span_record(f, &e);
	id = f->id;
	flow_drop(f);
	f->id = id;
}
