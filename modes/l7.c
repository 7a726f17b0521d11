/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/l7.h"

#include <stdlib.h>

#include "modes/binds.h"
#include "modes/hconn.h"
#include "modes/mx.h"
#include "modes/side.h"
#include "telemetry/prom.h"
#include "tls/tls.h"
#include "traffic/named.h"

static atomic_ulong unused_dials;

void l7_note_unused(void)
{
	atomic_fetch_add_explicit(&unused_dials, 1, memory_order_relaxed);
}

static void collect_unused(struct prom *p, void *arg)
{
	prom_put(p, NULL, 0, atomic_load_explicit(&unused_dials, memory_order_relaxed));
}

void l7_register(void)
{
	static struct prom_family family = {
		.name = "meshd_unused_dials", .type = PROM_COUNTER, .collect = collect_unused,
		.help = "Connections to a destination of bytes that were dialled ahead and closed, because the first bytes said something else",
	};

	prom_register(&family);
}

struct l7_part *l7_new(struct pod *pod)
{
	struct l7_part *s = xcalloc(1, sizeof(*s));

	upstream_init(&s->upstream, pod);
	list_init(&s->https);
	list_init(&s->binds);
	s->http = http_conn_default;
	s->http.stall_ms = LIMIT_TCP_IDLE_MS;
	s->pool = upool_new(pod->worker->loop, &s->upstream.connector);
	return s;
}

static void bury(struct deferred *d)
{
	struct l7_part *s = container_of(d, struct l7_part, grave);

	upool_free(s->pool);
	crowd_done(&s->crowd);
	upstream_done(&s->upstream);
	chain_unref(s->chain);
	free(s);
}

bool l7_is_waypoint(const struct pod *pod)
{
	return pod->shared->proxy->conf.mode == MODE_WAYPOINT;
}

void l7_drain(struct pod *pod)
{
	binds_close(pod, true);
	list_each_safe(at, next, &pod->l7->https) {
		struct hconn *h = container_of(at, struct hconn, link);

		if (h->client.inbound)
			hconn_drain(h);
	}
}

void l7_hand_over(struct pod *pod)
{
	binds_close(pod, false);
	list_each_safe(at, next, &pod->l7->https)
		hconn_drain(container_of(at, struct hconn, link));
}

bool l7_revoked(struct pod *pod, const struct workload *local, struct stage *s)
{
	struct tlsctx *now;
	bool revoked;

	s = s ? mx_below(s) : NULL;
	if (!s || strcmp(s->ops->name, "tls") != 0 || !tls_peer_id(s).n)
		return false;
	/* Without a certificate of our own there is no CRL to judge by. */
	now = identity_get(pod->worker->proxy->identity, str_c(local->identity));
	revoked = now && !tls_still_valid(s, now);
	tlsctx_unref(now);
	return revoked;
}

void l7_recheck(struct pod *pod)
{
	list_each_safe(at, next, &pod->conns) {
		struct conn *c = container_of(at, struct conn, link);

		if (c->local && (l7_revoked(pod, c->local, c->pump.down) || l7_revoked(pod, c->local, c->pump.up)))
			conn_end(c, FAIL_CERT_REVOKED, NULL);
	}
	list_each_safe(at, next, &pod->l7->https) {
		struct hconn *h = container_of(at, struct hconn, link);
		struct stage *below = h->http ? http_conn_below(h->http) : NULL;

		if (l7_revoked(pod, h->env->local, below))
			hconn_close(h, FAIL_CERT_REVOKED);
		else if (below && h->client.mtls && strcmp(below->ops->name, "tls") == 0 && tls_expired(below))
			hconn_drain(h);                /* new requests come with the new certificate */
	}
}

static bool is_gone(const struct cluster *c, const struct workload *w, void *plan)
{
	struct cluster *now = plan_cluster(plan, str_c(cluster_conf(c)->name));

	return now != c && !(now && named_has(now, c));
}

void l7_renew(struct pod *pod)
{
	const struct plan *plan = plan_current();

	binds_renew(pod);
	if (plan)
		upool_retire(pod->l7->pool, is_gone, (void *)plan);
}

static bool is_way_to(const struct inbound_port *in, const struct cluster *cl)
{
	return in && in->to == cl;
}

/* The application ends: its clients hear of it before it is gone. */
void l7_leaving(struct pod *pod, struct cluster *cl)
{
	const struct plan *plan = plan_current();

	if (!plan || !cluster_conf(cl)->inbound)
		return;
	list_each_safe(at, next, &pod->l7->https) {
		struct hconn *h = container_of(at, struct hconn, link);

		if (h->client.inbound && is_way_to(hconn_port(h, plan), cl))
			hconn_drain(h);
	}
}

void l7_rejudge(struct pod *pod)
{
	list_each_safe(at, next, &pod->l7->https)
		hconn_judge(container_of(at, struct hconn, link));
}

static bool every(const struct cluster *c, const struct workload *w, void *arg)
{
	return true;
}

void l7_retire(struct pod *pod)
{
	upool_retire(pod->l7->pool, every, NULL);
}

void l7_end(struct pod *pod)
{
	/* First in, so last out: after the connections, which hold what it has. */
	pod->l7->grave.run = bury;
	loop_bury(pod->worker->loop, &pod->l7->grave);
	binds_close(pod, false);
	list_each_safe(at, next, &pod->l7->https)
		hconn_close(container_of(at, struct hconn, link), FAIL_DRAIN);
}
