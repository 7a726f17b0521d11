/* SPDX-License-Identifier: Apache-2.0 */
/* What a waypoint makes of a mesh: which services it serves, and where each request and connection goes. */
#include "plan_fixture.h"
#include "suite.h"

#define VS(NS, NAME, SPEC) ISTIO("VirtualService", NS, NAME, SPEC)
#define CART "cart.shop.svc.cluster.local"
#define PAY "pay.bank.svc.cluster.local"
#define USED(NS, NAME, IP, PORTS, MORE) "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " NAME ", namespace: " NS ", labels: {istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: gates}}\n" \
	"spec: {hosts: [" NAME "." NS ".svc.cluster.local], addresses: [" IP "], location: MESH_INTERNAL, resolution: STATIC, ports: [" PORTS "], " MORE "}\n---\n"

static const char world[] =
	"apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: gates}\n"
	"spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}]}\n---\n"
	ISTIO("ServiceEntry", "gates", "wp", "hosts: [wp.gates.svc.cluster.local], addresses: [10.9.0.1], location: MESH_INTERNAL, resolution: STATIC, "
	      "ports: [{number: 15008, name: mesh, protocol: TCP}], workloadSelector: {labels: {gateway: wp}}")
	ISTIO("WorkloadEntry", "gates", "me", "address: 10.2.0.1, labels: {gateway: wp, gateway.networking.k8s.io/gateway-name: wp}, serviceAccount: wp")
	USED("shop", "cart", "10.0.0.1", "{number: 80, name: http, protocol: HTTP}, {number: 90, name: any}, {number: 9000, name: tcp, protocol: TCP}, {number: 443, name: tls, protocol: TLS}, {number: 70, name: grpc, protocol: GRPC}",
	     "endpoints: [{address: 10.1.0.1, labels: {version: v1}}, {address: 10.1.0.2, labels: {version: v2}}]")
	USED("bank", "pay", "10.0.0.3", "{number: 8080, name: http, protocol: HTTP}", "endpoints: [{address: 10.1.0.5}]")
	ISTIO("ServiceEntry", "shop", "free", "hosts: [free.shop.svc.cluster.local], addresses: [10.0.0.4], location: MESH_INTERNAL, resolution: STATIC, "
	      "ports: [{number: 81, name: http, protocol: HTTP}], endpoints: [{address: 10.1.0.6}]")
	ISTIO("DestinationRule", "shop", "cart", "host: " CART ", subsets: [{name: v1, labels: {version: v1}}]");

static void load(struct world *w, const char *yaml) { world_load(w, MODE_WAYPOINT, "gates", world, yaml); }

static size_t put_targets(char *out, size_t size, size_t n, const struct route_target *v, int k)
{
	for (int i = 0; i < k; i++)
		n += (size_t)snprintf(out + n, size - n, " %s%s*%u", v[i].cluster ? "" : "!", v[i].cluster_name, v[i].weight);
	return n;
}

/* "shop/cart.shop… 80 /path": the route's name and its targets. */
static const char *decide(const struct world *w, const char *service, uint16_t port, const char *path)
{
	static char out[1000];
	const struct inbound_port *in = *service ? plan_served(w->p, str_c(service), port) : plan_direct(w->p);
	struct exchange x = { .request = { .method = str_c("GET"), .authority = str_c("any.host"), .path = str_c(path), .scheme = str_c("http") } };
	const struct route *r;
	size_t n;

	if (!in)
		return "not served";
	if (!in->http)
		return "bytes";
	r = route_find(in->http, &x);
	if (!r)
		return "404";
	n = (size_t)snprintf(out, sizeof(out), "%s", r->name);
	if (r->action == ROUTE_REPLY)
		snprintf(out + n, sizeof(out) - n, " %d", r->reply.status);
	else
		put_targets(out, sizeof(out), n, r->targets, r->n_targets);
	return out;
}

struct row { const char *yaml, *service; uint16_t port; const char *path, *want, *report; };

static const struct row rows[] = {
	{ "", "shop/" CART, 80, "/", "default inbound-vip|80|http|" CART "*1", NULL },
	{ "", "shop/" CART, 90, "/", "default inbound-vip|90|http|" CART "*1", NULL },
	{ "", "shop/" CART, 9000, "/", "bytes", NULL },
	{ "", "shop/" CART, 81, "/", "not served", NULL },
	{ "", "shop/free.shop.svc.cluster.local", 81, "/", "not served", NULL },
	{ "", "gates/wp.gates.svc.cluster.local", 15008, "/", "not served", NULL },
	{ "", "bank/" PAY, 8080, "/", "default inbound-vip|8080|http|" PAY "*1", NULL },
	{ "", "", 0, "/", "default encap*1", NULL },
	/* the service's namespace, the waypoint's, and nobody else's */
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, " TO(CART) "}]"), "shop/" CART, 80, "/", "a inbound-vip|80|http|" CART "*1", NULL },
	{ VS("gates", "a", "hosts: [" CART "], http: [{name: a, " TO(CART) "}]"), "shop/" CART, 80, "/", "a inbound-vip|80|http|" CART "*1", NULL },
	{ VS("bank", "a", "hosts: [" CART "], http: [{name: a, " TO(CART) "}]"), "shop/" CART, 80, "/", "default inbound-vip|80|http|" CART "*1", NULL },
	{ VS("shop", "a", "hosts: [" CART "], gateways: [other], http: [{name: a, " TO(CART) "}]"), "shop/" CART, 80, "/", "default inbound-vip|80|http|" CART "*1", NULL },
	/* rules of all of them; wildcards too */
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, match: [{uri: {prefix: /a}}], " TO(CART) "}]")
	  VS("gates", "b", "hosts: ['*.shop.svc.cluster.local'], http: [{name: b, " TO(CART) "}]"), "shop/" CART, 80, "/a", "a inbound-vip|80|http|" CART "*1", NULL },
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, match: [{uri: {prefix: /a}}], " TO(CART) "}]")
	  VS("gates", "b", "hosts: ['*.shop.svc.cluster.local'], http: [{name: b, " TO(CART) "}]"), "shop/" CART, 80, "/b", "b inbound-vip|80|http|" CART "*1", NULL },
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, match: [{uri: {prefix: /a}}], " TO(CART) "}]"), "shop/" CART, 80, "/b", "404", NULL },
	/* where it goes: subsets, what else is served here, what is not, what is not there */
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, route: [{destination: {host: " CART ", subset: v1}, weight: 30}, {destination: {host: " PAY "}, weight: 70}]}]"),
	  "shop/" CART, 80, "/", "a inbound-vip|80|http/v1|" CART "*30 inbound-vip|8080|http|" PAY "*70", NULL },
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, " TO("free.shop.svc.cluster.local") "}]"), "shop/" CART, 80, "/", "a outbound|81||free.shop.svc.cluster.local*1", NULL },
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, route: [{destination: {host: " CART ", port: {number: 70}}}]}]"), "shop/" CART, 80, "/", "a inbound-vip|70|http|" CART "*1", NULL },
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, route: [{destination: {host: " CART ", subset: v9}}]}]"), "shop/" CART, 80, "/", "a !inbound-vip|80|http/v9|" CART "*1",
	  "its destination inbound-vip|80|http/v9|" CART " does not exist: requests to it are answered with 503" },
	/* what only clients know */
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, match: [{sourceLabels: {app: x}}], " TO(PAY) "}, {name: b, " TO(CART) "}]"), "shop/" CART, 80, "/", "b inbound-vip|80|http|" CART "*1",
	  "a match with sourceLabels never holds at a waypoint" },
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, match: [{port: 90}], " TO(PAY) "}]"), "shop/" CART, 80, "/", "default inbound-vip|80|http|" CART "*1", NULL },
	{ VS("shop", "a", "hosts: [" CART "], http: [{name: a, match: [{port: 90}], " TO(PAY) "}]"), "shop/" CART, 90, "/", "a inbound-vip|8080|http|" PAY "*1", NULL },
};

START_TEST(requests)
{
	const struct row *r = &rows[_i];
	struct world w;

	load(&w, r->yaml);
	ck_assert_str_eq(decide(&w, r->service, r->port, r->path), r->want);
	if (r->report)
		ck_assert_msg(strstr(w.reports, r->report) != NULL, "want '%s' in '%s'", r->report, w.reports);
	else
		ck_assert_str_eq(w.reports, "");
	world_done(&w);
}
END_TEST

static const char *bytes_of(const struct l4_route *v, int n, const struct addr *to, const char *sni)
{
	static char out[1000];
	const struct l4_route *r = l4_route_find(v, n, &to->ip, sni);

	out[0] = '\0';
	if (!r)
		return "-";
	put_targets(out, sizeof(out), 0, r->targets, r->n_targets);
	return out + 1;
}

START_TEST(bytes)
{
	const struct inbound_port *in;
	struct addr vip;
	struct world w;

	ck_assert_int_eq(addr_parse(str_c("10.0.0.1:443"), &vip), 0);
	load(&w, VS("shop", "tls", "hosts: [" CART ", a.test], tls: [{match: [{port: 443, sniHosts: [a.test]}], " TO(PAY) "}, {match: [{sniHosts: [" CART "]}], " TO(CART) "}]")
		 VS("shop", "tcp", "hosts: [" CART "], tcp: [{match: [{port: 9000}], " TO("free.shop.svc.cluster.local") "}]"));
	in = plan_served(w.p, str_c("shop/" CART), 443);
	ck_assert_str_eq(cluster_conf(in->to)->name, "inbound-vip|443|tcp|" CART);
	ck_assert_ptr_null(in->http);
	ck_assert_str_eq(bytes_of(in->by_sni, in->n_by_sni, &vip, "a.test"), "!inbound-vip|8080|tcp|" PAY "*1");       /* that port is for requests */
	ck_assert_str_eq(bytes_of(in->by_sni, in->n_by_sni, &vip, "other.test"), "inbound-vip|443|tcp|" CART "*1");
	ck_assert_int_eq(in->n_bytes, 0);
	in = plan_served(w.p, str_c("shop/" CART), 9000);
	ck_assert_str_eq(bytes_of(in->bytes, in->n_bytes, &vip, NULL), "outbound|81||free.shop.svc.cluster.local*1");
	in = plan_served(w.p, str_c("shop/" CART), 90);
	ck_assert(in->protocol == PROTOCOL_AUTO && in->http);
	ck_assert_str_eq(cluster_conf(in->to)->name, "inbound-vip|90|tcp|" CART);
	ck_assert_str_eq(cluster_conf(plan_direct(w.p)->to)->name, "encap");
	ck_assert(cluster_conf(plan_direct(w.p)->to)->by_workload);
	world_done(&w);
}
END_TEST

/* What has no meaning at a waypoint says so. */
START_TEST(sidecars)
{
	struct fixture f;

	fixture_in_mode(&f, MODE_WAYPOINT);
	fixture_write(&f, "s.yaml", ISTIO("Sidecar", "gates", "s", "egress: [{hosts: ['./*']}]"));
	ck_assert_int_eq(fixture_load(&f), 0);
	fixture_expect(&f, "info: Sidecar gates/s: has no effect in waypoint mode, as in Istio");
	fixture_done(&f);
}
END_TEST

/* What a plan is made of: a service that names the waypoint, or does not any more. */
START_TEST(stale)
{
	struct workload *me;
	struct plan *p;
	struct world w;

	load(&w, "");
	fixture_write(&w.f, "more.yaml", USED("shop", "late", "10.0.0.7", "{number: 80, name: http, protocol: HTTP}", "endpoints: [{address: 10.1.0.9}]"));
	ck_assert_int_eq(fixture_load(&w.f), 0);
	me = mesh_workload_named(mesh_current(), str_c("gates"), str_c("me"));
	ck_assert(plan_stale(w.p, mesh_current(), me));
	p = plan_compile(mesh_current(), me, w.p, world_report, &w);
	ck_assert_ptr_nonnull(plan_served(p, str_c("shop/late.shop.svc.cluster.local"), 80));
	/* the same cluster, with what is known of it */
	ck_assert_ptr_eq(plan_served(p, str_c("shop/" CART), 80)->to, plan_served(w.p, str_c("shop/" CART), 80)->to);
	plan_unref(w.p);
	w.p = p;
	fixture_write(&w.f, "more.yaml", ISTIO("ServiceEntry", "shop", "late", "hosts: [late.shop.svc.cluster.local], addresses: [10.0.0.7], location: MESH_INTERNAL, resolution: STATIC, "
					       "ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.1.0.9}]"));
	ck_assert_int_eq(fixture_load(&w.f), 0);
	me = mesh_workload_named(mesh_current(), str_c("gates"), str_c("me"));
	ck_assert(plan_stale(w.p, mesh_current(), me));
	world_done(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plan_waypoint");
	TCase *t = tcase_create("plan_waypoint");

	tcase_add_loop_test(t, requests, 0, (int)ARRAY_LEN(rows));
	tcase_add_test(t, bytes);
	tcase_add_test(t, sidecars);
	tcase_add_test(t, stale);
	suite_add_tcase(s, t);
	return suite_run(s);
}
