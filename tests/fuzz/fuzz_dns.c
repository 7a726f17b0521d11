/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages of clients: parsed, looked up, answered and refused; and as replies of servers to questions. */
#include <stdlib.h>

#include "dns/dnsmsg.h"
#include "dns/nametable.h"
#include "dns/resolvconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct workload *client;

static void fill(void)
{
	struct mesh_edit *e = mesh_edit_begin();
	struct vip v = { .network = "" };
	struct endpoint one;
	struct endpoints *eps;

	client = workload_new(&(struct workload){ .uid = "Kubernetes//Pod/shop/web", .ns = "shop", .name = "web", .cluster = "Kubernetes",
						  .healthy = true });
	mesh_put_workload(e, workload_ref(client));
	cidr_parse(str_c("10.96.0.1"), &v.cidr);
	mesh_put_service(e, service_new(&(struct service){ .key = "shop/cart.shop.svc.cluster.local", .ns = "shop", .vips = &v, .n_vips = 1,
							   .hostname = "cart.shop.svc.cluster.local" }));
	mesh_put_service(e, service_new(&(struct service){ .key = "shop/*.a", .ns = "shop", .vips = &v, .n_vips = 1, .hostname = "*.a" }));
	one = (struct endpoint){ .workload = client };
	eps = endpoints_of(&one, 1);
	mesh_put_service(e, service_new(&(struct service){ .key = "shop/db.shop.svc.cluster.local", .ns = "shop", .endpoints = eps,
							   .hostname = "db.shop.svc.cluster.local" }));
	endpoints_unref(eps);
	mesh_edit_publish(e);
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void answer(const uint8_t *data, size_t size, struct dnsmsg *m)
{
	static uint8_t out[DNSMSG_MAX];
	struct nametable_view v = { .mesh = mesh_current(), .client = client };
	struct nametable_match match;
	struct dnswriter w;
	struct dnsmsg back;
	struct ip ips[64];
	int n = 0, labels = m->labels;
	uint16_t owner = DNSMSG_HEAD;

	check(m->question_end <= size && strlen(m->name) <= 253);
	if (dnsmsg_parse_edns(data, size, m) < 0)
		m->edns = false;
	if (nametable_find(&v, m->name, &match)) {
		check(match.stripped <= labels);
		n = nametable_addresses(&v, &match, true, ips, 64);
	}
	dnswriter_init(&w, out, sizeof(out), data, size, m, DNS_NOERROR, true);
	if (labels > 1 && size % 2)
		owner = dnswriter_cname(&w, m, 30, labels - 1);
	for (int i = 0; i < n; i++)
		dnswriter_address(&w, owner, 30, &ips[i]);
	if (n == 0)
		dnswriter_soa(&w, m, 30, labels);
	size = dnswriter_done(&w, m, size % 3 ? DNSMSG_UDP : DNSMSG_MAX);
	check(size <= sizeof(out) && dnsmsg_answers(out, size, data, m->question_end));
	out[2] &= 0x7f;
	check(dnsmsg_parse(out, size, &back) == DNSMSG_QUESTION && strcmp(back.name, m->name) == 0 && back.type == m->type);
	check(dnsmsg_parse_edns(out, size, &back) == 0 && back.edns == m->edns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[DNSMSG_UDP];
	struct dnsmsg m;
	enum dnsmsg_kind kind;

	if (!client)
		fill();
	kind = dnsmsg_parse(data, size, &m);
	if (kind == DNSMSG_QUESTION)
		answer(data, size, &m);
	if (kind != DNSMSG_NONE)
		check(dnsmsg_refuse(data, size, &m, DNS_SERVFAIL, out, sizeof(out)) <= sizeof(out));
	if (size > 2 && data[0] < size) {
		struct resolvconf c;

		dnsmsg_answers(data + data[0], size - data[0], data, data[0]);
		dnsmsg_answers(data, data[0], data + data[0], size - data[0]);
		resolvconf_init(&c, "");
		resolvconf_parse(&c, (struct str){ (const char *)data, size });
		resolvconf_done(&c);
	}
	return 0;
}
