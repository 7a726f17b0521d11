/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of the application: captured ones on 15001. The original destination's port says what is spoken there; where nobody
 * knows it, outboundTrafficPolicy says whether it goes on. */
#include <unistd.h>

#include "modes/binds.h"
#include "modes/side.h"
#include "modes/l7.h"
#include "net/origdst.h"

static void as_http(struct side *s, enum http_codec codec)
{
	const struct hconn_from from = { .peer = s->conn.flow.source, .local = s->to, .at = s->out->real ? &s->out->at : NULL };

	side_http(s, codec, &from);
}

static void note_service(struct side *s, const struct cluster *to)
{
	const struct cluster_conf *conf = cluster_conf(to);
	struct flow *f = &s->conn.flow;
	struct service *service = conf->service && *conf->service ? mesh_service(mesh_current(), str_c(conf->service)) : NULL;

	service_unref(f->service);
	f->service = service ? service_ref(service) : NULL;
	if (!service)
		flow_set(&f->service_host, str_c(conf->name));
}

static void as_bytes(struct side *s, struct cluster *to, enum fail why)
{
	if (!to) {
		side_fail(s, why, NULL);
		return;
	}
	note_service(s, to);
	side_bytes(s, to);
}

static struct cluster *target_of_bytes(struct side *s, enum fail *why)
{
	return side_target(s, s->out->tcp, s->out->n_tcp, NULL, why);
}

static void decide_tls(struct side *s)
{
	enum fail why;
	struct cluster *to = side_target(s, s->out->tls, s->out->n_tls, s->sniff.hello.sni, &why);

	if (!to && why == FAIL_NO_ROUTE && s->out->n_tcp)
		to = s->cluster ? s->cluster : target_of_bytes(s, &why);
	else if (!to && why == FAIL_NO_ROUTE)
		to = plan_unknown(s->env->chain->plan);
	as_bytes(s, to, why);
}

static void decide(struct side *s, enum sniff_kind kind)
{
	bool http = kind == SNIFF_HTTP1 || kind == SNIFF_HTTP2;
	struct cluster *to = s->cluster;
	enum fail why = FAIL_NO_ROUTE;

	if (kind == SNIFF_TLS) {
		decide_tls(s);
		return;
	}
	if (http && s->out->http) {
		as_http(s, kind == SNIFF_HTTP2 ? HTTP_CODEC_H2 : HTTP_CODEC_H1);
		return;
	}
	if (!to && s->out->n_tcp)
		to = target_of_bytes(s, &why);
	else if (!to)
		to = plan_unknown(s->env->chain->plan);
	as_bytes(s, to, why);
}

/* own: it came to a listener of its own, where the original destination means nothing. */
static void begin(struct side *s, bool own)
{
	enum fail why = FAIL_NO_ROUTE;

	s->decide = decide;
	if (!s->out && own) {
		side_fail(s, FAIL_NO_ROUTE, NULL);
		return;
	}
	if (!s->out) {
		as_bytes(s, plan_unknown(s->env->chain->plan), FAIL_NO_ROUTE);
		return;
	}
	switch (s->out->protocol) {
	case PROTOCOL_HTTP:
	case PROTOCOL_HTTP2:
	case PROTOCOL_GRPC:
		as_http(s, HTTP_CODEC_AUTO);
		break;
	case PROTOCOL_TLS:
		side_listen(s, NULL);
		break;
	case PROTOCOL_TCP:
		if (s->out->n_tls)
			side_listen(s, NULL);
		else
			as_bytes(s, target_of_bytes(s, &why), why);
		break;
	case PROTOCOL_AUTO: {
		struct cluster *to = sock_has_input(s->conn.pump.down) ? NULL : target_of_bytes(s, &why);

		if (to)
			note_service(s, to);
		side_listen(s, to);
		break;
	}
	}
}

static void refuse(struct pod *pod, int fd, const struct addr *peer, const struct addr *to, enum fail why, const char *detail)
{
	struct flow f = { .direction = FLOW_OUTBOUND, .source = *peer, .dest = *to };

	flow_refused_early(pod->worker->metrics, &f, why, detail);
	pod_uncount(pod);
	close(fd);
}

/* at: of a listener of its own; NULL: it was captured. */
static void start(struct pod *pod, int fd, const struct addr *peer, const struct addr *at)
{
	struct workload *local = pod_local(pod, mesh_current(), &peer->ip);
	struct chain *chain = local ? chain_get(pod) : NULL;
	struct addr to = { .port = 0 };
	struct side *s;

	if (origdst_get(fd, &to) < 0) {
		refuse(pod, fd, peer, &to, FAIL_CONNECT, "the original destination is unknown");
	} else if (!at && proxy_own_port(to.port) && ownaddr_has(&pod->own, &to.ip, loop_now_ms(pod->worker->loop))) {
		refuse(pod, fd, peer, &to, FAIL_LOOP, NULL);
	} else if (!chain) {
		refuse(pod, fd, peer, &to, FAIL_NO_WORKLOAD, NULL);
	} else {
		s = side_new(pod, pod_sock(pod, fd), FLOW_OUTBOUND, local, chain);
		if (!s)
			return;
		s->to = s->conn.meant = to;
		s->conn.flow.source = *peer;
		s->conn.flow.dest = to;
		s->conn.flow.source_workload = workload_ref(local);
		s->out = at ? binds_outbound(chain->plan, at) : plan_outbound(chain->plan, &to);
		begin(s, at != NULL);
		return;
	}
	chain_unref(chain);
}

void side_accept_out(struct pod *pod, int fd, const struct addr *peer)
{
	start(pod, fd, peer, NULL);
}

void side_accept_out_at(struct pod *pod, int fd, const struct addr *peer, const struct addr *at)
{
	start(pod, fd, peer, at);
}
