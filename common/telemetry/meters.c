/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/meters.h"

#include <ctype.h>

#include "telemetry/series.h"
#include "telemetry/tally.h"

struct meters {
	struct tally *dns, *on_demand;
};

/* --- DNS --- */

enum { DNS_REQUESTS, DNS_UPSTREAM, DNS_FAILURES, DNS_BUCKETS };

static const char *const dns_labels[] = {
	"request_query_type", "request_protocol", "source_canonical_service", "source_canonical_revision",
};
static const struct tally_family dns_families[] = {
	{ "istio_dns_requests", "Total number of DNS requests (unstable)", DNS_REQUESTS },
	{ "istio_dns_upstream_requests", "Total number of DNS requests forwarded to upstream (unstable)", DNS_UPSTREAM },
	{ "istio_dns_upstream_failures", "Total number of DNS requests that failed to forward upstream (unstable)", DNS_FAILURES },
	{ NULL, NULL, 0 },
};
static const char *const dns_bounds[] = { "0.0005", "0.001", "0.01", "0.1", "1.0", "5.0" };
static const uint64_t dns_bounds_ns[] = { 500000, 1000000, 10000000, 100000000, 1000000000, 5000000000 };
#define DNS_BOUNDS (int)ARRAY_LEN(dns_bounds)

static struct tally_kind dns_kind = {
	.labels = dns_labels, .n_labels = ARRAY_LEN(dns_labels), .families = dns_families,
	.histogram = { "istio_dns_upstream_request_duration_seconds",
		       "Total time in seconds Istio takes to get DNS response from upstream (unstable)", dns_bounds, DNS_BOUNDS, DNS_BUCKETS },
};

static struct tally_row *dns_row(struct flow_metrics *m, struct str type, enum meter_transport t, const struct workload *client)
{
	char lower[16];
	size_t n = type.n < sizeof(lower) ? type.n : sizeof(lower);

	for (size_t i = 0; i < n; i++)
		lower[i] = (char)tolower((unsigned char)type.p[i]);
	return tally_row(m->meters->dns, (struct str[]){
		{ lower, n }, str_c(t == METER_UDP ? "udp" : "tcp"), str_c(client ? client->canonical_name : NULL),
		str_c(client ? client->canonical_revision : NULL) });
}

void meters_dns_request(struct flow_metrics *m, struct str type, enum meter_transport t, const struct workload *client)
{
	tally_add(dns_row(m, type, t, client), DNS_REQUESTS, 1);
}

void meters_dns_upstream(struct flow_metrics *m, struct str type, enum meter_transport t, const struct workload *client, bool answered,
			 uint64_t duration_ns)
{
	struct tally_row *r = dns_row(m, type, t, client);
	int bucket = 0;

	tally_add(r, DNS_UPSTREAM, 1);
	tally_add(r, DNS_FAILURES, !answered);
	while (bucket < DNS_BOUNDS && duration_ns > dns_bounds_ns[bucket])
		bucket++;
	tally_add(r, DNS_BUCKETS + bucket, 1);
	tally_add(r, DNS_BUCKETS + DNS_BOUNDS + 1, duration_ns);
}

/* --- names resolved for connections --- */

static const char *const on_demand_labels[] = {
	"source_workload", "source_canonical_service", "source_canonical_revision", "source_workload_namespace", "source_principal",
	"source_app", "source_version", "source_cluster", "hostname",
};
static const struct tally_family on_demand_families[] = {
	{ "istio_on_demand_dns", "The total number of requests that used on-demand DNS (unstable)", 0 }, { NULL, NULL, 0 },
};
static struct tally_kind on_demand_kind = {
	.labels = on_demand_labels, .n_labels = ARRAY_LEN(on_demand_labels), .families = on_demand_families,
};

void meters_on_demand_dns(struct flow_metrics *m, const struct workload *w, const char *source_id, struct str hostname)
{
	static const struct workload unknown;

	w = w ? w : &unknown;
	tally_add(tally_row(m->meters->on_demand, (struct str[]){
		str_c(w->workload_name), str_c(w->canonical_name), str_c(w->canonical_revision), str_c(w->ns), str_c(source_id),
		str_c(w->canonical_name), str_c(w->canonical_revision), str_c(w->cluster), hostname }), 0, 1);
}

/* --- all of them --- */

void meters_register(void)
{
	tally_register(&dns_kind);
	tally_register(&on_demand_kind);
}

struct meters *meters_new(void)
{
	struct meters *m = xcalloc(1, sizeof(*m));

	m->dns = tally_new(&dns_kind);
	m->on_demand = tally_new(&on_demand_kind);
	return m;
}
