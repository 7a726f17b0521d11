/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/epoch.h"
#include "model/mesh.h"
#include "tests/unit/suite.h"

static struct ip ip(const char *text)
{
	struct ip ip;

	ck_assert_int_eq(ip_parse(str_c(text), &ip), 0);
	return ip;
}

static struct workload *workload(const char *uid, const char *ns, const char *name, const char *address)
{
	struct ip at = ip(address);

	return workload_new(&(struct workload){ .uid = uid, .ns = ns, .name = name, .ips = &at, .n_ips = 1 });
}

static struct service *service(const char *ns, const char *host, const char *vip)
{
	char key[100];
	struct vip v = { "", { { { 0 } }, 0 } };

	snprintf(key, sizeof(key), "%s/%s", ns, host);
	ck_assert_int_eq(cidr_parse(str_c(vip), &v.cidr), 0);
	return service_new(&(struct service){ .key = key, .ns = ns, .hostname = host, .vips = &v, .n_vips = 1 });
}

static const char *uid_at(const struct mesh *m, const char *network, const char *address)
{
	struct ip at = ip(address);
	struct workload *w = mesh_workload_by_ip(m, str_c(network), &at);

	return w ? w->uid : "";
}

static const char *key_at(const struct mesh *m, const char *address, const char *client_ns)
{
	struct ip at = ip(address);
	struct service *s = mesh_service_by_vip(m, str_c(""), &at, str_c(client_ns));

	return s ? s->key : "";
}

START_TEST(empty_at_first)
{
	const struct mesh *m = mesh_current();

	ck_assert_ptr_nonnull(m);
	ck_assert_uint_eq(mesh_generation(m), 0);
	ck_assert_str_eq(mesh_settings(m)->trust_domain, "cluster.local");
	ck_assert_str_eq(mesh_settings(m)->root_ns, "istio-system");
	ck_assert_ptr_null(mesh_workload(m, str_c("x")));
	ck_assert_str_eq(uid_at(m, "", "10.0.0.1"), "");
	ck_assert_str_eq(key_at(m, "10.0.0.1", ""), "");
	ck_assert_ptr_null(mesh_service_by_host(m, str_c("h"), str_c("")));
	ck_assert_ptr_null(mesh_policy(m, str_c("x")));
	ck_assert_uint_eq(mesh_count(m, NULL, NULL), 0);
}
END_TEST

START_TEST(settings_are_copied)
{
	const char *aliases[] = { "old.test" };
	struct mesh_settings s = { .trust_domain = "mesh.test", .aliases = aliases, .n_aliases = 1, .stance = STANCE_STRICT };
	struct mesh_edit *e = mesh_edit_begin();

	mesh_edit_settings(e, &s);
	mesh_edit_settings(e, &s);
	aliases[0] = "gone";
	ck_assert_str_eq(mesh_settings(mesh_current())->trust_domain, "cluster.local");
	mesh_edit_publish(e);
	mesh_edit_publish(mesh_edit_begin());
	ck_assert_uint_eq(mesh_generation(mesh_current()), 2);
	ck_assert_str_eq(mesh_settings(mesh_current())->trust_domain, "mesh.test");
	ck_assert_str_eq(mesh_settings(mesh_current())->aliases[0], "old.test");
	ck_assert_str_eq(mesh_settings(mesh_current())->network, "");
	ck_assert(mesh_settings(mesh_current())->stance == STANCE_STRICT);
}
END_TEST

/* Which of several on one address: rows in the order of preference. */
static const struct { enum mesh_mode mode; enum waypoint_use use; enum stance stance; bool others, through; } uses[] = {
	{ MODE_SIDECAR, WAYPOINTS_AUTO, STANCE_ISTIO, false, true }, { MODE_SIDECAR, WAYPOINTS_AUTO, STANCE_ISTIO, true, false },
	{ MODE_SIDECAR, WAYPOINTS_AUTO, STANCE_CLOSED, true, true }, { MODE_SIDECAR, WAYPOINTS_AUTO, STANCE_STRICT, true, true },
	{ MODE_SIDECAR, WAYPOINTS_USED, STANCE_ISTIO, true, true }, { MODE_SIDECAR, WAYPOINTS_SKIPPED, STANCE_CLOSED, false, false },
	{ MODE_ZTUNNEL, WAYPOINTS_USED, STANCE_CLOSED, false, false }, { MODE_WAYPOINT, WAYPOINTS_USED, STANCE_CLOSED, false, false },
};

START_TEST(use_of_waypoints)
{
	const struct mesh_settings s = { .mode = uses[_i].mode, .waypoint_use = uses[_i].use, .stance = uses[_i].stance };

	ck_assert(mesh_through_waypoints(&s, uses[_i].others) == uses[_i].through);
}
END_TEST

START_TEST(workloads_on_one_address)
{
	static const struct { const char *uid; enum tunnel_protocol tunnel; } rows[] = {
		{ "c//Pod/a/z", TUNNEL_HBONE }, { "c//Pod/a/y", TUNNEL_NONE },
		{ "c/networking.istio.io/WorkloadEntry/a/a", TUNNEL_HBONE },
		{ "c/networking.istio.io/WorkloadEntry/a/b", TUNNEL_HBONE },
		{ "c/networking.istio.io/WorkloadEntry/a/0", TUNNEL_NONE },
	};
	struct ip at[] = { ip("10.0.0.1"), ip("fd00::1") };
	struct mesh_edit *e = mesh_edit_begin();
	int n = (int)ARRAY_LEN(rows);

	for (int i = 0; i < n; i++) {
		int k = (i + _i) % n;

		mesh_put_workload(e, workload_new(&(struct workload){ .uid = rows[k].uid, .ns = "a", .name = "same",
			.network = "net", .tunnel = rows[k].tunnel, .ips = at, .n_ips = 2 }));
	}
	mesh_edit_publish(e);
	for (int i = 0; i < n; i++) {
		ck_assert_str_eq(uid_at(mesh_current(), "net", "10.0.0.1"), rows[i].uid);
		ck_assert_str_eq(uid_at(mesh_current(), "net", "fd00::1"), rows[i].uid);
		ck_assert_str_eq(uid_at(mesh_current(), "", "fd00::1"), "");
		ck_assert_str_eq(mesh_workload_named(mesh_current(), str_c("a"), str_c("same"))->uid, rows[i].uid);
		e = mesh_edit_begin();
		mesh_del_workload(e, str_c(rows[i].uid));
		mesh_edit_publish(e);
	}
	ck_assert_str_eq(uid_at(mesh_current(), "net", "10.0.0.1"), "");
	ck_assert_ptr_null(mesh_workload_named(mesh_current(), str_c("a"), str_c("same")));
}
END_TEST

START_TEST(put_replaces)
{
	struct mesh_edit *e = mesh_edit_begin();

	mesh_put_workload(e, workload("u", "a", "old", "10.0.0.1"));
	mesh_put_workload(e, workload("u", "b", "new", "10.0.0.2"));
	mesh_put_service(e, service("a", "h.test", "10.1.0.1"));
	mesh_put_service(e, service("a", "h.test", "10.1.0.0/24"));
	mesh_put_policy(e, policy_new(&(struct policy){ .key = "a/p", .ns = "a", .action = POLICY_ALLOW }));
	mesh_put_policy(e, policy_new(&(struct policy){ .key = "a/p", .ns = "a", .action = POLICY_DENY }));
	mesh_put_peer_authn(e, peer_authn_new(&(struct peer_authn){ .key = "a/p", .ns = "a" }));
	mesh_put_peer_authn(e, peer_authn_new(&(struct peer_authn){ .key = "a/p", .ns = "a", .mode = MTLS_STRICT }));
	mesh_del_workload(e, str_c("nobody"));
	mesh_del_service(e, str_c("nobody"));
	mesh_del_policy(e, str_c("nobody"));
	mesh_del_peer_authn(e, str_c("nobody"));
	mesh_edit_publish(e);
	ck_assert_str_eq(uid_at(mesh_current(), "", "10.0.0.1"), "");
	ck_assert_str_eq(uid_at(mesh_current(), "", "10.0.0.2"), "u");
	ck_assert_ptr_null(mesh_workload_named(mesh_current(), str_c("a"), str_c("old")));
	ck_assert_ptr_nonnull(mesh_workload_named(mesh_current(), str_c("b"), str_c("new")));
	ck_assert_str_eq(key_at(mesh_current(), "10.1.0.9", ""), "a/h.test");
	ck_assert_int_eq(mesh_policy(mesh_current(), str_c("a/p"))->action, POLICY_DENY);
	ck_assert_int_eq(mesh_peer_authn(mesh_current(), str_c("a/p"))->mode, MTLS_STRICT);
	e = mesh_edit_begin();
	mesh_del_service(e, str_c("a/h.test"));
	mesh_del_policy(e, str_c("a/p"));
	mesh_del_peer_authn(e, str_c("a/p"));
	mesh_edit_publish(e);
	ck_assert_str_eq(key_at(mesh_current(), "10.1.0.9", ""), "");
	ck_assert_ptr_null(mesh_service_by_host(mesh_current(), str_c("h.test"), str_c("a")));
	ck_assert_ptr_null(mesh_policy(mesh_current(), str_c("a/p")));
}
END_TEST

static struct service *hidden(struct service *s) { s->hidden_outside_ns = true; return s; }
static struct service *canonical(struct service *s) { s->canonical = true; return s; }

START_TEST(services_by_vip)
{
	static const struct { const char *address, *client_ns, *want; } rows[] = {
		{ "10.0.0.1", "", "a/one" },               /* neither is canonical: the first by key */
		{ "10.0.0.1", "b", "b/two" },              /* the client's own namespace */
		{ "10.0.0.2", "x", "b/three" },            /* canonical */
		{ "10.0.0.3", "a", "a/hid" },
		{ "10.0.0.3", "x", "a/net8" },             /* hidden: the CIDR VIP takes it */
		{ "10.0.9.9", "x", "b/net16" },            /* the longest prefix */
		{ "10.0.9.9", "a", "a/net8" },             /* but the own namespace before that */
		{ "10.9.9.9", "b", "a/net8" },
		{ "11.0.0.1", "x", "" },                   /* not in the IPv6 default block */
		{ "fd00::9", "x", "b/six" },
		{ "fd01::9", "x", "a/all6" },
		{ "10.0.5.1", "x", "a/canon16" },          /* same block: canonical */
	};
	struct mesh_edit *e = mesh_edit_begin();
	struct ip at = ip("10.0.0.1");

	mesh_put_service(e, service("a", "one", "10.0.0.1"));
	mesh_put_service(e, service("b", "two", "10.0.0.1"));
	mesh_put_service(e, service("a", "zero", "10.0.0.2"));
	mesh_put_service(e, canonical(service("b", "three", "10.0.0.2/32")));
	mesh_put_service(e, hidden(service("a", "hid", "10.0.0.3")));
	mesh_put_service(e, canonical(service("a", "net8", "10.0.0.0/8")));
	mesh_put_service(e, service("b", "net16", "10.0.8.0/21"));
	mesh_put_service(e, hidden(service("c", "net20", "10.0.0.0/22")));
	mesh_put_service(e, service("a", "aaa16", "10.0.4.0/22"));
	mesh_put_service(e, canonical(service("a", "canon16", "10.0.4.0/22")));
	mesh_put_service(e, service("b", "six", "fd00::/64"));
	mesh_put_service(e, service("a", "all6", "::/0"));
	mesh_edit_publish(e);
	ck_assert_str_eq(key_at(mesh_current(), rows[_i].address, rows[_i].client_ns), rows[_i].want);
	ck_assert_ptr_null(mesh_service_by_vip(mesh_current(), str_c("other"), &at, str_c("")));
}
END_TEST

START_TEST(services_by_host)
{
	static const struct { const char *ns, *want; } rows[] = {
		{ "b", "b/h" }, { "a", "a/h" }, { "x", "c/h" }, { "d", "d/h" },
	};
	struct mesh_edit *e = mesh_edit_begin();

	mesh_put_service(e, service("b", "h", "10.0.0.1"));
	mesh_put_service(e, service("a", "h", "10.0.0.2"));
	mesh_put_service(e, canonical(service("c", "h", "10.0.0.3")));
	mesh_put_service(e, canonical(hidden(service("d", "h", "10.0.0.3"))));
	mesh_edit_publish(e);
	ck_assert_str_eq(mesh_service_by_host(mesh_current(), str_c("h"), str_c(rows[_i].ns))->key, rows[_i].want);
}
END_TEST

static bool count_policy(struct policy *p, void *arg) { ++*(int *)arg; return true; }
static bool count_one_policy(struct policy *p, void *arg) { ++*(int *)arg; return false; }
static bool count_peer(struct peer_authn *p, void *arg) { ++*(int *)arg; return true; }
static bool count_workload(struct workload *p, void *arg) { ++*(int *)arg; return true; }
static bool count_service(struct service *p, void *arg) { ++*(int *)arg; return true; }

START_TEST(each)
{
	struct mesh_edit *e = mesh_edit_begin();
	int all = 0, in_a = 0, one = 0, peers = 0, peers_b = 0, workloads = 0, services = 0;
	size_t n_services, n_policies;
	const struct mesh *m;

	for (int i = 0; i < 10; i++) {
		char key[20];

		snprintf(key, sizeof(key), "%s/%d", i < 7 ? "a" : "b", i);
		mesh_put_policy(e, policy_new(&(struct policy){ .key = key, .ns = i < 7 ? "a" : "b" }));
		mesh_put_peer_authn(e, peer_authn_new(&(struct peer_authn){ .key = key, .ns = i < 7 ? "a" : "b" }));
		mesh_put_workload(e, workload(key, "a", "w", "10.0.0.1"));
	}
	mesh_put_service(e, service("a", "h", "10.0.0.1"));
	mesh_edit_publish(e);
	m = mesh_current();
	mesh_each_policy(m, count_policy, &all);
	mesh_each_policy_in(m, str_c("a"), count_policy, &in_a);
	mesh_each_policy_in(m, str_c("a"), count_one_policy, &one);
	mesh_each_peer_authn(m, count_peer, &peers);
	mesh_each_peer_authn_in(m, str_c("b"), count_peer, &peers_b);
	mesh_each_workload(m, count_workload, &workloads);
	mesh_each_service(m, count_service, &services);
	ck_assert_int_eq(all, 10);
	ck_assert_int_eq(in_a, 7);
	ck_assert_int_eq(one, 1);
	ck_assert_int_eq(peers, 10);
	ck_assert_int_eq(peers_b, 3);
	ck_assert_int_eq(workloads, 10);
	ck_assert_int_eq(services, 1);
	ck_assert_uint_eq(mesh_count(m, &n_services, &n_policies), 10);
	ck_assert(n_services == 1 && n_policies == 10);
}
END_TEST

/* A reader that is awake keeps the snapshot that it looks at, unchanged. */
START_TEST(old_snapshot_stays)
{
	struct epoch_reader r = { 0 };
	struct mesh_edit *e = mesh_edit_begin();
	const struct mesh *old;

	mesh_put_workload(e, workload("u", "a", "w", "10.0.0.1"));
	mesh_put_service(e, service("a", "h", "10.1.0.1"));
	mesh_edit_publish(e);
	epoch_join(&r);
	epoch_wake(&r);
	old = mesh_current();
	e = mesh_edit_begin();
	mesh_put_workload(e, workload("u", "a", "w", "10.0.0.2"));
	mesh_del_service(e, str_c("a/h"));
	for (int i = 0; i < 1000; i++) {
		char uid[20];

		snprintf(uid, sizeof(uid), "n%d", i);
		mesh_put_workload(e, workload(uid, "a", uid, "10.0.0.3"));
	}
	mesh_edit_publish(e);
	ck_assert_ptr_ne(old, mesh_current());
	ck_assert_str_eq(uid_at(old, "", "10.0.0.1"), "u");
	ck_assert_str_eq(uid_at(old, "", "10.0.0.2"), "");
	ck_assert_str_eq(key_at(old, "10.1.0.1", ""), "a/h");
	ck_assert_uint_eq(mesh_count(old, NULL, NULL), 1);
	ck_assert_str_eq(uid_at(mesh_current(), "", "10.0.0.1"), "");
	ck_assert_str_eq(uid_at(mesh_current(), "", "10.0.0.2"), "u");
	ck_assert_str_eq(key_at(mesh_current(), "10.1.0.1", ""), "");
	ck_assert_uint_eq(mesh_count(mesh_current(), NULL, NULL), 1001);
	ck_assert_int_eq(epoch_collect(), 1);
	epoch_sleep(&r);
	ck_assert_int_eq(epoch_collect(), 0);
	epoch_leave(&r);
}
END_TEST

START_TEST(abandoned_edit)
{
	struct mesh_edit *e = mesh_edit_begin();
	struct workload *w = workload("u", "a", "w", "10.0.0.1");

	mesh_put_workload(e, workload_ref(w));
	mesh_edit_publish(e);
	e = mesh_edit_begin();
	mesh_del_workload(e, str_c("u"));
	mesh_put_workload(e, workload("v", "a", "v", "10.0.0.1"));
	mesh_edit_abandon(e);
	ck_assert_str_eq(uid_at(mesh_current(), "", "10.0.0.1"), "u");
	ck_assert_uint_eq(mesh_generation(mesh_current()), 1);
	ck_assert_uint_eq(w->refs, 2);
	e = mesh_edit_begin();
	mesh_del_workload(e, str_c("u"));
	mesh_edit_publish(e);
	ck_assert_uint_eq(w->refs, 1);
	workload_unref(w);
}
END_TEST

static atomic_bool stop;

static void *read_on(void *arg)
{
	struct epoch_reader r = { 0 };
	size_t seen = 0;

	epoch_join(&r);
	while (!atomic_load(&stop)) {
		const struct mesh *m;
		struct workload *w;

		epoch_wake(&r);
		m = mesh_current();
		w = mesh_workload(m, str_c("c//Pod/a/7"));
		if (w) {
			ck_assert_str_eq(w->name, "7");
			workload_unref(workload_ref(w));
			seen++;
		}
		epoch_sleep(&r);
	}
	epoch_leave(&r);
	return (void *)seen;
}

START_TEST(readers_beside_a_writer)
{
	pthread_t readers[2];
	size_t seen = 0;

	atomic_store(&stop, false);
	for (int i = 0; i < 2; i++)
		pthread_create(&readers[i], NULL, read_on, NULL);
	for (int round = 0; round < 2000; round++) {
		struct mesh_edit *e = mesh_edit_begin();

		for (int k = 0; k < 5; k++) {
			char uid[30];

			snprintf(uid, sizeof(uid), "c//Pod/a/%d", (round + k) % 40);
			if ((round + k) % 11 == 0)
				mesh_del_workload(e, str_c(uid));
			else
				mesh_put_workload(e, workload(uid, "a", uid + 9, "10.0.0.1"));
		}
		mesh_edit_publish(e);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++) {
		void *n;

		pthread_join(readers[i], &n);
		seen += (size_t)n;
	}
	epoch_collect();
	ck_assert_uint_gt(seen, 0);
}
END_TEST

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

enum { WORKLOADS = 100000, SERVICES = 10000 };

static struct workload *pod(int i)
{
	char uid[100], name[50], ns[20], sa[20], id[100], node[20], app[30];
	struct ip at = { { [10] = 255, 255, 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
	struct label labels[] = { { "app", app }, { "pod-template-hash", "6d4cf56db6" }, { "version", "v1" } };

	snprintf(ns, sizeof(ns), "namespace-%d", i % 100);
	snprintf(app, sizeof(app), "app-%d", i / 10);
	snprintf(name, sizeof(name), "%s-6d4cf56db6-%05d", app, i);
	snprintf(uid, sizeof(uid), "Kubernetes//Pod/%s/%s", ns, name);
	snprintf(sa, sizeof(sa), "account-%d", i % 1000);
	snprintf(id, sizeof(id), "spiffe://cluster.local/ns/%s/sa/%s", ns, sa);
	snprintf(node, sizeof(node), "node-%d", i % 1000);
	return workload_new(&(struct workload){ .uid = uid, .name = name, .ns = ns, .service_account = sa, .identity = id,
		.trust_domain = "cluster.local", .cluster = "Kubernetes", .node = node, .canonical_name = app, .workload_name = app,
		.canonical_revision = "v1", .workload_type = "deployment", .ips = &at, .n_ips = 1, .tunnel = TUNNEL_HBONE,
		.healthy = true, .weight = 1, .labels = labels, .n_labels = 3 });
}

static struct service *with_endpoints(struct workload **w, int i)
{
	struct vip vip = { "", { { { [10] = 255, 255, 240, 240, (uint8_t)(i >> 8), (uint8_t)i } }, 128 } };
	struct service_port port = { 80, 8080, "http", "HTTP", false, PROTOCOL_HTTP };
	char key[100], name[20], ns[20];
	struct endpoints *e = endpoints_new();
	struct service *s;

	for (int k = 0; k < 10; k++)
		endpoints_put(&e, w[i * 10 + k], NULL, 0);
	snprintf(name, sizeof(name), "app-%d", i);
	snprintf(ns, sizeof(ns), "namespace-%d", i % 100);
	snprintf(key, sizeof(key), "%s/%s.%s.svc.cluster.local", ns, name, ns);
	s = service_new(&(struct service){ .key = key, .name = name, .ns = ns, .hostname = key + strlen(ns) + 1, .vips = &vip,
		.n_vips = 1, .ports = &port, .n_ports = 1, .endpoints = e });
	endpoints_unref(e);
	return s;
}

START_TEST(bulk)
{
	static struct workload *w[WORKLOADS];
	static struct service *s[SERVICES];
	double t0 = now_s(), t1, t2, t3, t4;
	size_t m0 = mallinfo2().uordblks, m1, m2, m3;
	struct mesh_edit *e;

	for (int i = 0; i < WORKLOADS; i++)
		w[i] = pod(i);
	t1 = now_s();
	m1 = mallinfo2().uordblks;
	for (int i = 0; i < SERVICES; i++)
		s[i] = with_endpoints(w, i);
	m2 = mallinfo2().uordblks;
	t2 = now_s();
	e = mesh_edit_begin();
	for (int i = 0; i < WORKLOADS; i++)
		mesh_put_workload(e, w[i]);
	m3 = mallinfo2().uordblks;
	for (int i = 0; i < SERVICES; i++)
		mesh_put_service(e, s[i]);
	mesh_edit_publish(e);
	t3 = now_s();
	printf("bulk: %d workloads made in %.3f s, %zu bytes each, and %zu each in the indexes; %d services made in %.3f s, "
	       "%zu bytes each; all put in %.3f s\n", WORKLOADS, t1 - t0, (m1 - m0) / WORKLOADS, (m3 - m2) / WORKLOADS, SERVICES,
	       t2 - t1, (m2 - m1) / SERVICES, t3 - t2);
	for (int i = 0; i < 1000; i++) {
		e = mesh_edit_begin();
		mesh_put_workload(e, pod(i * 97));
		mesh_edit_publish(e);
	}
	t4 = now_s();
	printf("bulk: one change %.1f us\n", (t4 - t3) * 1e3);
	ck_assert_uint_eq(mesh_count(mesh_current(), NULL, NULL), WORKLOADS);
	ck_assert_str_eq(uid_at(mesh_current(), "", "10.0.0.77"), "Kubernetes//Pod/namespace-77/app-7-6d4cf56db6-00077");
	ck_assert_str_eq(key_at(mesh_current(), "240.240.0.5", ""), "namespace-5/app-5.namespace-5.svc.cluster.local");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mesh");
	TCase *tc = tcase_create("mesh");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, empty_at_first);
	tcase_add_test(tc, settings_are_copied);
	tcase_add_loop_test(tc, use_of_waypoints, 0, (int)ARRAY_LEN(uses));
	tcase_add_loop_test(tc, workloads_on_one_address, 0, 5);
	tcase_add_test(tc, put_replaces);
	tcase_add_loop_test(tc, services_by_vip, 0, 12);
	tcase_add_loop_test(tc, services_by_host, 0, 4);
	tcase_add_test(tc, each);
	tcase_add_test(tc, old_snapshot_stays);
	tcase_add_test(tc, abandoned_edit);
	tcase_add_test(tc, readers_beside_a_writer);
	tcase_add_test(tc, bulk);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
