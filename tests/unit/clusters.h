/* SPDX-License-Identifier: Apache-2.0 */
/* A mesh of one service, and clusters on it, as the tests of load balancing want them. */
#ifndef TEST_CLUSTERS_H
#define TEST_CLUSTERS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "traffic/cluster_int.h"

#define SERVICE_KEY "shop/cart.shop.svc.cluster.local"

/* One endpoint. */
struct seat {
	const char *uid, *ip;
	struct locality at;
	uint32_t weight;
	bool sick, tunnel, mtls;
	struct label labels[3];
	const char *network, *sa, *node, *host;     /* host: instead of ip */
};

static inline struct addr an_addr(const char *text)
{
	struct addr a = { 0 };

	ck_assert_msg(addr_parse(str_c(text), &a) == 0, "%s", text);
	return a;
}

static inline struct workload *seat_workload(const struct seat *s)
{
	char id[100] = "";
	struct ip ip;
	int n = 0;

	while (n < 3 && s->labels[n].key)
		n++;
	ck_assert(s->host || !ip_parse(str_c(s->ip), &ip));
	if (s->sa)
		snprintf(id, sizeof(id), "spiffe://td/ns/shop/sa/%s", s->sa);
	return workload_new(&(struct workload){ .uid = s->uid, .name = s->uid, .ns = "shop", .identity = id, .network = s->network, .node = s->node,
		.locality = s->at, .weight = s->weight, .healthy = !s->sick, .istio_mtls = s->mtls, .tunnel = s->tunnel ? TUNNEL_HBONE : TUNNEL_NONE,
		.labels = s->labels, .n_labels = n, .ips = &ip, .n_ips = !s->host,
		.hostname = s->host });
}

/* Publishes a mesh in which the service has these endpoints; `t` may say more of the service. */
static inline void publish(struct service t, const struct seat *seats, int n)
{
	static const struct service_port ports[] = { { .port = 80, .target = 8080, .name = "http", .protocol = "HTTP" },
		{ .port = 81, .name = "other", .protocol = "TCP" } };
	struct endpoint *v = xcalloc((size_t)n + 1, sizeof(*v));
	struct mesh_edit *e = mesh_edit_begin();

	for (int i = 0; i < n; i++) {
		v[i].workload = seat_workload(&seats[i]);
		mesh_put_workload(e, workload_ref(v[i].workload));
	}
	t.key = t.key ? t.key : SERVICE_KEY;
	t.ns = "shop";
	t.hostname = "cart.shop.svc.cluster.local";
	t.ports = ports;
	t.n_ports = 2;
	t.endpoints = endpoints_of(v, n);
	mesh_put_service(e, service_new(&t));
	endpoints_unref(t.endpoints);
	for (int i = 0; i < n; i++)
		workload_unref(v[i].workload);
	free(v);
	mesh_edit_publish(e);
}

static inline struct cluster_conf conf_of(enum lb_policy policy)
{
	return (struct cluster_conf){ .name = "outbound|80||cart", .kind = CLUSTER_SERVICE, .service = SERVICE_KEY, .port = 80,
		.lb.policy = policy, .pool = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0 } };
}

static uint64_t test_seed = 1;

static inline struct pick_ask ask_of(uint64_t now_ms)
{
	return (struct pick_ask){ .m = mesh_current(), .seed = &test_seed, .now_ms = now_ms };
}

/* The uid of the endpoint that is picked; "": none. */
static inline const char *picked(struct cluster *c, const struct pick_ask *ask)
{
	static char uid[64];
	struct pick p;

	if (!cluster_pick(c, ask, &p))
		return "";
	snprintf(uid, sizeof(uid), "%s", p.workload ? p.workload->uid : "?");
	pick_done(&p);
	return uid;
}

/* How often each of "a", "b", … comes in n picks; [26]: none. */
static inline void count_picks(struct cluster *c, const struct pick_ask *ask, int n, int ret[27])
{
	memset(ret, 0, 27 * sizeof(*ret));
	for (int i = 0; i < n; i++) {
		const char *uid = picked(c, ask);

		ret[*uid >= 'a' && *uid <= 'z' ? *uid - 'a' : 26]++;
	}
}

#endif
