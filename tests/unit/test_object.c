/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/object.h"
#include "tests/unit/suite.h"

static struct ip ip(const char *text)
{
	struct ip ip;

	ck_assert_int_eq(ip_parse(str_c(text), &ip), 0);
	return ip;
}

START_TEST(workload_is_copied)
{
	char uid[] = "c1//Pod/shop/cart", key[] = "b";
	struct label labels[] = { { key, "2" }, { "app", "cart" }, { "c", "" } };
	const char *policies[] = { "shop/only-web", "shop/x" };
	struct ip ips[] = { ip("10.7.0.5"), ip("fd07::5") };
	struct workload *w = workload_new(&(struct workload){
		.uid = uid, .name = "cart", .ns = "shop", .service_account = "cart", .trust_domain = "mesh.test",
		.identity = "spiffe://mesh.test/ns/shop/sa/cart", .labels = labels, .n_labels = 3, .ips = ips, .n_ips = 2,
		.policies = policies, .n_policies = 2, .tunnel = TUNNEL_HBONE, .weight = 3, .healthy = true,
		.locality = { "eu", "eu-1", NULL } });

	memset(uid, 'x', sizeof(uid) - 1);
	key[0] = 'z';
	labels[1].value = policies[0] = "gone";
	ips[0] = ips[1];
	ck_assert_str_eq(w->uid, "c1//Pod/shop/cart");
	ck_assert_str_eq(w->name, "cart");
	ck_assert_str_eq(w->service_account, "cart");
	ck_assert_str_eq(w->identity, "spiffe://mesh.test/ns/shop/sa/cart");
	ck_assert_str_eq(w->trust_domain, "mesh.test");
	ck_assert_str_eq(w->hostname, "");
	ck_assert_str_eq(w->canonical_revision, "");
	ck_assert_str_eq(w->locality.zone, "eu-1");
	ck_assert_str_eq(w->locality.subzone, "");
	ck_assert_str_eq(w->labels[0].key, "app");
	ck_assert_str_eq(w->labels[0].value, "cart");
	ck_assert_str_eq(w->labels[1].key, "b");
	ck_assert_str_eq(w->labels[2].value, "");
	ck_assert_str_eq(w->policies[0], "shop/only-web");
	ck_assert_str_eq(w->policies[1], "shop/x");
	ck_assert_int_eq(w->n_policies, 2);
	ck_assert(w->n_ips == 2 && ip_is_v4(&w->ips[0]) && w->ips[0].b[13] == 7);
	ck_assert(w->tunnel == TUNNEL_HBONE && w->weight == 3 && w->healthy);
	ck_assert_uint_eq(w->refs, 1);
	ck_assert_ptr_eq(workload_ref(w), w);
	workload_unref(w);
	ck_assert_str_eq(w->ns, "shop");
	workload_unref(w);
	workload_unref(NULL);
}
END_TEST

/* More distinct strings than are compared, and a string that ends another. */
START_TEST(many_strings)
{
	char text[100][16];
	struct label labels[100];
	struct workload *w;

	for (int i = 0; i < 100; i++) {
		snprintf(text[i], sizeof(text[i]), "k%03d", i);
		labels[99 - i] = (struct label){ text[i], text[(i * 37) % 100] + 2 };
	}
	for (int i = 0; i < 100; i++)
		snprintf(text[i], sizeof(text[i]), "k%03d", i);
	w = workload_new(&(struct workload){ .uid = "u", .labels = labels, .n_labels = 100 });
	for (int i = 0; i < 100; i++) {
		ck_assert_str_eq(w->labels[i].key, text[i]);
		ck_assert_str_eq(w->labels[i].value, text[(i * 37) % 100] + 2);
	}
	workload_unref(w);
}
END_TEST

START_TEST(service_holds_its_workloads)
{
	struct workload *a = workload_new(&(struct workload){ .uid = "a", .weight = 7 });
	struct workload *b = workload_new(&(struct workload){ .uid = "b" });
	struct service_port ports[] = { { 80, 8080, "http", "HTTP", false, PROTOCOL_AUTO }, { 443, 0, NULL, NULL, false, PROTOCOL_AUTO } };
	struct endpoint_port over = { 80, 9090 };
	struct endpoint endpoints[] = { { a, &over, 1, 0 }, { b, NULL, 0, 0 } };
	struct endpoints *set = endpoints_of(endpoints, 2);
	struct vip vips[] = { { "net", { { { 1 } }, 128 } }, { NULL, { { { 2 } }, 8 } } };
	const char *sans[] = { "spiffe://td/ns/a/sa/b" };
	struct service *s = service_new(&(struct service){
		.key = "shop/cart.example", .ns = "shop", .name = "cart", .hostname = "cart.example", .vips = vips, .n_vips = 2,
		.ports = ports, .n_ports = 2, .endpoints = set, .sans = sans, .n_sans = 1,
		.lb_mode = LB_FAILOVER, .scopes = { LB_REGION, LB_ZONE }, .n_scopes = 2 });

	endpoints_unref(set);
	ck_assert_uint_eq(a->refs, 2);
	workload_unref(a);
	workload_unref(b);
	ck_assert_str_eq(s->key, "shop/cart.example");
	ck_assert_str_eq(endpoints_at(s->endpoints, 0)->workload->uid, "a");
	ck_assert_uint_eq(endpoints_at(s->endpoints, 0)->ports[0].target, 9090);
	ck_assert_int_eq(endpoints_at(s->endpoints, 1)->n_ports, 0);
	ck_assert_str_eq(s->ports[0].protocol, "HTTP");
	ck_assert_str_eq(s->ports[1].name, "");
	ck_assert_str_eq(s->vips[0].network, "net");
	ck_assert_str_eq(s->vips[1].network, "");
	ck_assert_uint_eq(s->vips[1].cidr.bits, 8);
	ck_assert_str_eq(s->sans[0], sans[0]);
	ck_assert_uint_eq(s->endpoints->max_weight, 7);
	ck_assert(s->scopes[1] == LB_ZONE && s->n_scopes == 2);
	service_unref(service_ref(s));
	service_unref(s);
	service_unref(NULL);
}
END_TEST

static int freed;

static void on_free(void *compiled)
{
	ck_assert_ptr_eq(compiled, &freed);
	freed++;
}

START_TEST(gateways_are_copied)
{
	char name[] = "shop/wp";
	struct gateway wp = { .service = name, .hbone_port = 15008 };
	struct gateway far = { .network = "net-b", .ip = ip("192.0.2.9"), .hbone_port = 15008 };
	struct weighted_gateway canary[] = { { wp, 9 }, { far, 1 } };
	struct workload *w = workload_new(&(struct workload){ .uid = "u", .waypoint = &wp, .network_gateway = &far });
	struct service *s = service_new(&(struct service){ .key = "shop/a", .waypoint = &far, .waypoints = canary, .n_waypoints = 2,
							   .families = FAMILIES_DUAL });

	memset(name, 'x', sizeof(name) - 1);
	far.network = "gone";
	ck_assert_str_eq(w->waypoint->service, "shop/wp");
	ck_assert_str_eq(w->waypoint->network, "");
	ck_assert_str_eq(w->network_gateway->service, "");
	ck_assert_str_eq(w->network_gateway->network, "net-b");
	ck_assert(ip_eq(&w->network_gateway->ip, &far.ip) && w->network_gateway->hbone_port == 15008);
	ck_assert_str_eq(s->waypoint->network, "net-b");
	ck_assert_str_eq(s->waypoints[0].gateway.service, "shop/wp");
	ck_assert_uint_eq(s->waypoints[0].weight, 9);
	ck_assert_str_eq(s->waypoints[1].gateway.network, "net-b");
	ck_assert_int_eq(s->families, FAMILIES_DUAL);
	workload_unref(w);
	service_unref(s);
	w = workload_new(&(struct workload){ .uid = "u" });
	ck_assert(!w->waypoint && !w->network_gateway);
	workload_unref(w);
}
END_TEST

START_TEST(policy_is_copied)
{
	struct match ns[] = { { MATCH_EXACT, "web" }, { MATCH_PRESENCE, NULL } }, none[] = { { MATCH_PREFIX, "tmp-" } };
	struct ns_sa sa[] = { { "web", "front" } };
	struct cidr net = { { { 1, 2 } }, 16 };
	uint16_t ports[] = { 80, 81 };
	struct policy_match matches[] = { { .namespaces = { ns, none }, .n_namespaces = { 2, 1 }, .dest_ports = { NULL, ports },
					    .n_dest_ports = { 0, 2 } },
					  { .service_accounts = { sa }, .n_service_accounts = { 1 }, .source_ips = { &net },
					    .n_source_ips = { 1 } } };
	struct policy_clause clauses[] = { { matches, 2 }, { NULL, 0 } };
	struct policy_rule rules[] = { { .clauses = clauses, .n_clauses = 2 }, { .clauses = NULL } };
	struct policy *p = policy_new(&(struct policy){ .key = "shop/p", .ns = "shop", .name = "p", .rules = rules, .n_rules = 2,
							.compiled = &freed, .compiled_free = on_free });
	const struct policy_match *m = p->rules[0].clauses[0].matches;

	memset(matches, 0, sizeof(matches));
	ns[0].text = none[0].text = sa[0].sa = "gone";
	ports[1] = 0;
	ck_assert_ptr_null(p->compiled);
	ck_assert_str_eq(p->where, "");
	ck_assert_int_eq(p->rules[1].n_clauses, 0);
	ck_assert_int_eq(p->rules[0].clauses[1].n_matches, 0);
	ck_assert_str_eq(m[0].namespaces[0][0].text, "web");
	ck_assert_str_eq(m[0].namespaces[0][1].text, "");
	ck_assert_int_eq(m[0].namespaces[0][1].kind, MATCH_PRESENCE);
	ck_assert_str_eq(m[0].namespaces[1][0].text, "tmp-");
	ck_assert_uint_eq(m[0].dest_ports[1][1], 81);
	ck_assert_str_eq(m[1].service_accounts[0][0].sa, "front");
	ck_assert_uint_eq(m[1].source_ips[0][0].bits, 16);
	p->compiled = &freed;
	p->compiled_free = on_free;
	policy_unref(policy_ref(p));
	ck_assert_int_eq(freed, 0);
	policy_unref(p);
	policy_unref(NULL);
	ck_assert_int_eq(freed, 1);
}
END_TEST

START_TEST(peer_authn_names_itself)
{
	struct mtls_port port = { 80, MTLS_DISABLE };
	struct label l = { "app", "x" };
	struct peer_authn *p = peer_authn_new(&(struct peer_authn){ .key = "shop/p", .mode = MTLS_STRICT, .ports = &port, .n_ports = 1,
								    .selector = &l, .n_selector = 1, .created = 5 });

	ck_assert_str_eq(p->refusal, "mTLS is required (PeerAuthentication shop/p)");
	ck_assert(p->ports[0].mode == MTLS_DISABLE && p->created == 5);
	ck_assert_str_eq(p->selector[0].value, "x");
	peer_authn_unref(peer_authn_ref(p));
	peer_authn_unref(p);
	peer_authn_unref(NULL);
	p = peer_authn_new(&(struct peer_authn){ .key = "shop/p", .broken = true });
	ck_assert_str_eq(p->refusal, "PeerAuthentication shop/p could not be loaded");
	peer_authn_unref(p);
}
END_TEST

START_TEST(labels)
{
	static const struct {
		struct label selector[2];
		int n;
		bool want;
	} rows[] = {
		{ { { NULL, NULL } }, 0, true },
		{ { { "app", "x" } }, 1, true },
		{ { { "zone", "z" }, { "app", "x" } }, 2, true },
		{ { { "app", "y" } }, 1, false },
		{ { { "other", "x" } }, 1, false },
		{ { { "app", "x" }, { "other", "x" } }, 2, false },
		{ { { "empty", "" } }, 1, true },
		{ { { "app", "" } }, 1, false },
	};
	static const struct label have[] = { { "app", "x" }, { "empty", "" }, { "zone", "z" } };

	ck_assert_int_eq(labels_match(rows[_i].selector, rows[_i].n, have, 3), rows[_i].want);
	ck_assert_int_eq(labels_match(rows[_i].selector, rows[_i].n, NULL, 0), rows[_i].n == 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("object");
	TCase *tc = tcase_create("object");

	tcase_add_test(tc, workload_is_copied);
	tcase_add_test(tc, many_strings);
	tcase_add_test(tc, service_holds_its_workloads);
	tcase_add_test(tc, gateways_are_copied);
	tcase_add_test(tc, policy_is_copied);
	tcase_add_test(tc, peer_authn_names_itself);
	tcase_add_loop_test(tc, labels, 0, 8);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
