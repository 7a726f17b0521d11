/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/buf.h"
#include "dns/nametable.h"

#include "suite.h"

static struct mesh_edit *e;

static struct ip ip(const char *text)
{
	struct ip ip;

	ck_assert_int_eq(ip_parse(str_c(text), &ip), 0);
	return ip;
}

/* ips: up to two, space between */
static struct workload *workload(const char *ns, const char *name, const char *ips, const char *network, bool healthy)
{
	struct str rest, first = str_cut(str_c(ips), ' ', &rest);
	struct ip v[2];
	char uid[200];
	struct workload *w;

	snprintf(uid, sizeof(uid), "Kubernetes//Pod/%s/%s", ns, name);
	ip_parse(first, &v[0]);
	if (rest.n)
		ip_parse(rest, &v[1]);
	w = workload_new(&(struct workload){ .uid = uid, .ns = ns, .name = name, .network = network, .cluster = "Kubernetes", .ips = v,
					     .n_ips = 1 + (rest.n > 0), .healthy = healthy });
	mesh_put_workload(e, workload_ref(w));
	return w;
}

/* vips: "network/ip ..."; f: a template with more */
static void service(const char *ns, const char *host, const char *vips, struct service f)
{
	struct vip v[4];
	char key[300];
	struct str rest = str_c(vips);

	while (rest.n) {
		struct str one = str_cut(rest, ' ', &rest), at, network = str_cut(one, '/', &at);
		struct vip *to = &v[f.n_vips++];
		static char names[4][20];

		snprintf(names[f.n_vips - 1], 20, "%.*s", STR_FMT(network));
		to->network = names[f.n_vips - 1];
		ck_assert_int_eq(cidr_parse(at, &to->cidr), 0);
	}
	snprintf(key, sizeof(key), "%s/%s", ns, host);
	f.key = key;
	f.ns = ns;
	f.hostname = host;
	f.vips = v;
	mesh_put_service(e, service_new(&f));
}

static struct workload *client, *stranger;

static void fill(void)
{
	struct endpoint db[] = { { .workload = NULL }, { .workload = NULL }, { .workload = NULL }, { .workload = NULL } };
	struct endpoints *eps;

	e = mesh_edit_begin();
	mesh_edit_settings(e, &(struct mesh_settings){ .cluster_domain = "mesh.test", .trust_domain = "mesh.test", .root_ns = "istio-system",
						       .network = "n1", .cluster = "Kubernetes" });
	client = workload("shop", "web", "10.0.0.1 fd00::1", "n1", true);
	stranger = workload("other", "cli", "10.0.0.2", "n1", true);
	service("shop", "cart.shop.svc.mesh.test", "n1/10.96.0.1 n1/fd96::1 n2/10.96.9.9", (struct service){ .name = "cart" });
	service("other", "cart.other.svc.mesh.test", "n1/10.96.0.2", (struct service){ .families = FAMILIES_V4 });
	service("shop", "secret.shop.svc.mesh.test", "n1/10.96.0.3", (struct service){ .hidden_outside_ns = true });
	service("shop", "*.wild.example", "n1/10.96.0.4", (struct service){ .name = "wild" });
	service("shop", "a.wild.example", "n1/10.96.0.5", (struct service){ .name = "a" });
	service("shop", "block.example", "n1/10.97.0.0/16", (struct service){ .name = "block" });
	service("shop", "none.example", "", (struct service){ .name = "none" });
	service("shop", "far.shop.svc.mesh.test", "n2/10.96.9.8", (struct service){ .name = "far" });
	service("ns-a", "twice.example", "n1/10.96.1.1", (struct service){ .name = "a" });
	service("ns-b", "twice.example", "n1/10.96.1.2", (struct service){ .name = "b", .canonical = true });
	service("ns-c", "twice.example", "n1/10.96.1.3", (struct service){ .name = "c" });
	service("other", "twice.example", "n1/10.96.1.4", (struct service){ .name = "o" });
	service("ns-x", "pref.example", "n1/10.96.2.1", (struct service){ .name = "x" });
	service("ns-y", "pref.example", "n1/10.96.2.2", (struct service){ .name = "y" });
	db[0].workload = workload("shop", "db-0", "10.0.1.1 fd01::1", "n1", true);
	db[1].workload = workload("shop", "db-1", "10.0.1.2", "n1", true);
	db[2].workload = workload("shop", "db-2", "10.0.1.3", "n1", false);
	db[3].workload = workload("shop", "db-3", "10.0.1.1", "n2", true);
	eps = endpoints_of(db, 4);
	service("shop", "db.shop.svc.mesh.test", "", (struct service){ .endpoints = eps });
	service("shop", "all.shop.svc.mesh.test", "", (struct service){ .endpoints = eps, .allow_unhealthy = true, .families = FAMILIES_V4 });
	endpoints_unref(eps);
	workload("shop", "web-0", "10.0.1.9", "n1", true);      /* no endpoint of db */
	mesh_edit_publish(e);
}

static int cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* "key stripped: addresses", sorted */
static void expect(const struct nametable_view *v, const char *name, bool v4, const char *want)
{
	struct nametable_match m;
	struct ip ips[16];
	char text[16][ADDR_TEXT], got[2048] = "-";
	int n = 0;

	if (nametable_find(v, name, &m)) {
		n = nametable_addresses(v, &m, v4, ips, 16);
		snprintf(got, sizeof(got), "%s %d%s:", m.service ? m.service->key : m.workload->uid, m.stripped, m.cluster ? "" : " outside");
	}
	for (int i = 0; i < n; i++)
		ip_format(&ips[i], text[i]);
	qsort(text, (size_t)n, ADDR_TEXT, cmp);
	for (int i = 0; i < n; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), " %s", text[i]);
	ck_assert_msg(strcmp(got, want) == 0, "%s: got '%s', want '%s'", name, got, want);
}

#define CART "shop/cart.shop.svc.mesh.test "

START_TEST(names)
{
	static const struct { const char *name, *want; } rows[] = {
		{ "cart.shop.svc.mesh.test", CART "0: 10.96.0.1" },
		{ "cart", CART "0: 10.96.0.1" },
		{ "cart.shop", CART "0: 10.96.0.1" },
		{ "cart.shop.svc", CART "0: 10.96.0.1" },
		/* as a resolver with the usual search list asks */
		{ "cart.shop.svc.mesh.test.shop.svc.mesh.test", CART "5: 10.96.0.1" },
		{ "cart.shop.shop.svc.mesh.test", CART "2: 10.96.0.1" },
		{ "cart.shop.mesh.test", CART "2: 10.96.0.1" },
		{ "cart.svc.mesh.test", CART "1: 10.96.0.1" },
		{ "cart.mesh.test", CART "1: 10.96.0.1" },
		{ "cart.other", "other/cart.other.svc.mesh.test 0: 10.96.0.2" },
		{ "secret", "shop/secret.shop.svc.mesh.test 0: 10.96.0.3" },
		{ "a.wild.example", "shop/a.wild.example 0 outside: 10.96.0.5" },
		{ "b.wild.example", "shop/*.wild.example 0 outside: 10.96.0.4" },
		{ "c.b.wild.example", "shop/*.wild.example 0 outside: 10.96.0.4" },
		{ "c.b.wild.example.shop.svc.mesh.test", "shop/*.wild.example 0 outside: 10.96.0.4" },   /* no CNAME for wildcards */
		{ "a.wild.example.mesh.test", "shop/a.wild.example 3 outside: 10.96.0.5" },
		{ "wild.example", "-" },
		{ "block.example", "-" },                              /* a block is no address */
		{ "none.example", "-" },
		{ "far.shop", "shop/far.shop.svc.mesh.test 0:" },      /* exists, but not on this network */
		{ "db.shop", "shop/db.shop.svc.mesh.test 0: 10.0.1.1 10.0.1.2" },
		{ "all", "shop/all.shop.svc.mesh.test 0: 10.0.1.1 10.0.1.2 10.0.1.3" },
		{ "db-0.db.shop.svc.mesh.test", "Kubernetes//Pod/shop/db-0 0: 10.0.1.1" },
		{ "db-1.db", "Kubernetes//Pod/shop/db-1 0: 10.0.1.2" },
		{ "db-1.db.shop", "Kubernetes//Pod/shop/db-1 0: 10.0.1.2" },
		{ "db-1.db.shop.svc", "Kubernetes//Pod/shop/db-1 0: 10.0.1.2" },
		{ "db-1.db.shop.svc.mesh.test.mesh.test", "Kubernetes//Pod/shop/db-1 6: 10.0.1.2" },
		{ "web-0.db.shop.svc.mesh.test", "-" },                /* is no endpoint */
		{ "web-0.cart.shop.svc.mesh.test", "-" },              /* is not headless */
		{ "db-9.db.shop.svc.mesh.test", "-" },
		{ "mesh.test", "-" }, { "svc.mesh.test", "-" }, { "", "-" }, { "example.com", "-" }, { "com", "-" },
		{ "10-0-1-1.shop.pod.mesh.test", "-" },
		{ "_http._tcp.db.shop.svc.mesh.test", "-" },
	};
	struct nametable_view v;

	fill();
	v = (struct nametable_view){ .mesh = mesh_current(), .client = client };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(&v, rows[i].name, true, rows[i].want);
	expect(&v, "cart", false, CART "0: fd96::1");
	expect(&v, "cart.other", false, "other/cart.other.svc.mesh.test 0:");
	expect(&v, "db", false, "shop/db.shop.svc.mesh.test 0: fd01::1");
	expect(&v, "all", false, "shop/all.shop.svc.mesh.test 0:");
	expect(&v, "db-1.db", false, "Kubernetes//Pod/shop/db-1 0:");
}
END_TEST

START_TEST(seen_from)
{
	static const char *const search[] = { "lan.test", "deep.lan.test" };
	struct nametable_view v;

	fill();
	v = (struct nametable_view){ .mesh = mesh_current(), .client = stranger };
	expect(&v, "cart", true, "other/cart.other.svc.mesh.test 0: 10.96.0.2");
	expect(&v, "secret.shop.svc.mesh.test", true, "-");
	expect(&v, "twice.example", true, "other/twice.example 0 outside: 10.96.1.4");      /* own namespace */
	v.client = client;
	expect(&v, "twice.example", true, "ns-b/twice.example 0 outside: 10.96.1.2");       /* canonical */
	expect(&v, "pref.example", true, "ns-x/pref.example 0 outside: 10.96.2.1");
	v.preferred_ns = "ns-y";
	expect(&v, "pref.example", true, "ns-y/pref.example 0 outside: 10.96.2.2");
	expect(&v, "twice.example", true, "ns-b/twice.example 0 outside: 10.96.1.2");
	v.search = search;
	v.n_search = 2;
	expect(&v, "cart.shop.lan.test", true, CART "2: 10.96.0.1");
	expect(&v, "cart.deep.lan.test", true, CART "1: 10.96.0.1");
	expect(&v, "cart.svc.mesh.test", true, "-");
}
END_TEST

START_TEST(order_is_random)
{
	struct nametable_view v;
	struct nametable_match m;
	struct ip ips[16], want = ip("10.0.1.1");
	int first = 0, kept = 0;

	fill();
	v = (struct nametable_view){ .mesh = mesh_current(), .client = client };
	ck_assert(nametable_find(&v, "all", &m));
	for (int i = 0; i < 3000; i++) {
		ck_assert_int_eq(nametable_addresses(&v, &m, true, ips, 16), 3);
		first += ip_eq(&ips[0], &want);
		ck_assert_int_eq(nametable_addresses(&v, &m, true, ips, 1), 1);
		kept += ip_eq(&ips[0], &want);
	}
	ck_assert(first > 800 && first < 1200);
	ck_assert(kept > 800 && kept < 1200);
}
END_TEST

static void gather(void *arg, struct str key)
{
	buf_printf(arg, "%.*s ", STR_FMT(key));
}

START_TEST(keys)
{
	static const struct { const char *name, *want; } rows[] = {
		{ "cart", "shop/cart shop/cart.shop.svc.mesh.test " },
		{ "cart.other", "shop/cart.other other/cart.other.svc.mesh.test shop/other.shop.svc.mesh.test " },
		{ "db-0.db.shop.svc.mesh.test", "shop/db.shop.svc.mesh.test shop/db-0.db db/db-0.db.svc.mesh.test " },
		{ "api.example.com", "shop/api.example.com com/example.com.svc.mesh.test " },
		{ "", "" },
	};
	struct nametable_view v;

	fill();
	v = (struct nametable_view){ .mesh = mesh_current(), .client = client };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf got = { 0 };

		nametable_keys(&v, rows[i].name, gather, &got);
		buf_append(&got, "", 1);
		if (strncmp((char *)buf_data(&got), rows[i].want, strlen(rows[i].want)) != 0 || !rows[i].want[0] != (buf_len(&got) == 1))
			ck_abort_msg("%s: got '%s'", rows[i].name, buf_data(&got));
		buf_done(&got);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nametable");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, names);
	tcase_add_test(tc, seen_from);
	tcase_add_test(tc, order_is_random);
	tcase_add_test(tc, keys);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
