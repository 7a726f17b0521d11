/* SPDX-License-Identifier: Apache-2.0 */
/* What choosing an endpoint costs: nanoseconds a pick, by policy and number of endpoints, as a ratio to reading the clock; building
 * a host set; and the memory of 1000 clusters of 10 endpoints. Run by `make bench-picks`. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "traffic/cluster.h"

#define PICKS    300000
#define SERVICES 1000

static uint64_t seed = 1;

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void publish(int services, int n, uint32_t weight)
{
	const struct service_port port = { .port = 80, .target = 8080 };
	struct endpoint *v = xcalloc((size_t)n, sizeof(*v));
	struct mesh_edit *e = mesh_edit_begin();

	for (int s = 0; s < services; s++) {
		char key[64];

		for (int i = 0; i < n; i++) {
			struct ip ip = { { [10] = 0xff, [11] = 0xff, [12] = 10, [13] = (uint8_t)s, [14] = (uint8_t)(i >> 8 | s >> 8 << 6), [15] = (uint8_t)i } };
			char uid[64];

			snprintf(uid, sizeof(uid), "Kubernetes//Pod/shop/cart-%d-%d", s, i);
			v[i].workload = workload_new(&(struct workload){ .uid = uid, .ns = "shop", .name = uid, .healthy = true, .ips = &ip, .n_ips = 1,
									.weight = i % 2 ? weight : 1 });
			mesh_put_workload(e, workload_ref(v[i].workload));
		}
		snprintf(key, sizeof(key), "shop/cart-%d.shop.svc.cluster.local", s);
		struct service t = { .key = key, .ns = "shop", .hostname = key + 5, .ports = &port, .n_ports = 1, .endpoints = endpoints_of(v, n) };

		mesh_put_service(e, service_new(&t));
		endpoints_unref(t.endpoints);
		for (int i = 0; i < n; i++)
			workload_unref(v[i].workload);
	}
	mesh_edit_publish(e);
	free(v);
}

static struct cluster *cluster(int s, enum lb_policy policy)
{
	char name[96], key[64];

	snprintf(key, sizeof(key), "shop/cart-%d.shop.svc.cluster.local", s);
	snprintf(name, sizeof(name), "outbound|80||%s", key + 5);
	return cluster_new(&(struct cluster_conf){ .name = name, .service = key, .port = 80, .lb.policy = policy }, NULL);
}

static void pick(struct cluster *c, int i)
{
	struct pick_ask ask = { .m = mesh_current(), .seed = &seed, .now_ms = 1000, .hash = (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15), .hashed = true };
	struct pick p;

	if (!cluster_pick(c, &ask, &p))
		abort();
	host_started(c, p.host);
	host_ended(c, p.host);
	pick_done(&p);
}

static void row(const char *what, int n, uint32_t weight, enum lb_policy policy, double unit)
{
	struct cluster *c;
	double t, built;

	publish(1, n, weight);
	c = cluster(0, policy);
	t = now_ns();
	pick(c, 0);
	built = now_ns() - t;
	for (int i = 0; i < 1000; i++)
		pick(c, i);
	t = now_ns();
	for (int i = 0; i < PICKS; i++)
		pick(c, i);
	t = (now_ns() - t) / PICKS;
	printf("%-28s %5d endpoints  %7.1f ns  %5.2f clock readings   the first %8.1f us\n", what, n, t, t / unit, built / 1000);
	cluster_unref(c);
}

int main(void)
{
	static const struct { const char *name; enum lb_policy policy; } policies[] = {
		{ "least request", LB_LEAST_REQUEST }, { "round robin", LB_ROUND_ROBIN }, { "random", LB_RANDOM }, { "ring hash", LB_RING_HASH },
		{ "Maglev", LB_MAGLEV },
	};
	static struct cluster *all[SERVICES];
	double t = now_ns(), unit;
	size_t before;

	for (int i = 0; i < PICKS; i++)
		now_ns();
	unit = (now_ns() - t) / PICKS;
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		row(policies[i].name, 10, 1, policies[i].policy, unit);
		row(policies[i].name, 10000, 1, policies[i].policy, unit);
	}
	row("least request, weighted", 1000, 5, LB_LEAST_REQUEST, unit);
	row("round robin, weighted", 1000, 5, LB_ROUND_ROBIN, unit);

	publish(SERVICES, 10, 1);
	before = mallinfo2().uordblks;
	for (int i = 0; i < SERVICES; i++)
		all[i] = cluster(i, LB_LEAST_REQUEST);
	printf("%d clusters: %.2f MiB", SERVICES, (double)(mallinfo2().uordblks - before) / 1048576);
	for (int i = 0; i < SERVICES; i++)
		pick(all[i], i);
	printf(", used, with 10 endpoints each: %.2f MiB\n", (double)(mallinfo2().uordblks - before) / 1048576);
	for (int i = 0; i < SERVICES; i++)
		cluster_unref(all[i]);
	return 0;
}
