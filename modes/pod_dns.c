/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/pod_dns.h"

#include <errno.h>
#include <unistd.h>

#include "modes/demand.h"
#include "telemetry/meters.h"

static bool no_ipv6(int r)
{
	return r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT;
}

int pod_dns_bind(const struct proxy_conf *conf, const struct sock_ops *ops, int out[2 * PROXY_DNS_MAX])
{
	int n = 0;

	for (int i = 0; i < conf->dns.n; i++) {
		int r = dnsproxy_bind(&conf->dns.at[i], ops, &out[n], &out[n + 1]);

		if (r == 0) {
			n += 2;
			continue;
		}
		if (no_ipv6(r) && !ip_is_v4(&conf->dns.at[i].ip))
			continue;
		while (n > 0)
			close(out[--n]);
		return r;
	}
	return n;
}

static struct workload *client(void *arg, const struct mesh *m, const struct ip *from)
{
	const struct pod *pod = arg;
	const struct proxy_conf *conf = &pod->shared->proxy->conf;
	struct workload *w = pod_local(pod, m, from);

	/* Who asks on this host asks from an address of it, which need not be one that a workload has. */
	for (int i = 0; !w && !pod->shared->name && i < conf->n_workloads; i++) {
		struct str name, ns = str_cut(str_c(conf->workloads[i]), '/', &name);

		w = mesh_workload_named(m, ns, name);
	}
	return w;
}

static void on_question(void *arg, struct str type, bool tcp, const struct workload *asker)
{
	const struct pod *pod = arg;

	meters_dns_request(pod->worker->metrics, type, tcp ? METER_TCP : METER_UDP, asker);
}

static void on_upstream(void *arg, struct str type, bool tcp, const struct workload *asker, bool answered, uint64_t duration_ns)
{
	const struct pod *pod = arg;

	meters_dns_upstream(pod->worker->metrics, type, tcp ? METER_TCP : METER_UDP, asker, answered, duration_ns);
}

static bool want(void *arg, const struct str *keys, int n_keys)
{
	struct demand *demand = ((const struct pod *)arg)->worker->proxy->conf.demand;
	bool asked = false;

	for (int i = 0; demand && i < n_keys; i++)
		asked |= demand_ask(demand, keys[i]) == DEMAND_ASKED;
	return asked;
}

void pod_dns_start(struct pod *pod)
{
	static const struct dnsproxy_ops ops = { .client = client, .on_question = on_question, .on_upstream = on_upstream, .want = want };
	const struct pod_shared *s = pod->shared;
	const struct proxy_conf *conf = &s->proxy->conf;
	int udp[DNSPROXY_SOCKETS], tcp[DNSPROXY_SOCKETS], n_udp = 0, n_tcp = 0;

	for (int i = 0; i < s->n_sockets; i++) {
		const struct pod_socket *k = &s->sockets[i];

		if (k->kind == LISTEN_DNS_UDP && n_udp < DNSPROXY_SOCKETS)
			udp[n_udp++] = k->fd;
		else if (k->kind == LISTEN_DNS_TCP && n_tcp < DNSPROXY_SOCKETS)
			tcp[n_tcp++] = k->fd;
	}
	if (!n_udp)
		return;
	pod->dns = dnsproxy_new(pod->worker->loop, &(struct dnsproxy_conf){
		.udp = udp, .tcp = tcp, .n_udp = n_udp, .n_tcp = n_tcp, .netns = s->netns, .out = &pod->out.ops, .share = pod->share,
		.wait_ms = conf->wait_ms, .pulse = s->netns == NETNS_OWN, .ipv6 = conf->ipv6, .search_file = conf->dns.search_file, .preferred_ns = conf->dns.preferred_ns,
		.ops = &ops, .arg = pod });
}
