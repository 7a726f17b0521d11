/* SPDX-License-Identifier: Apache-2.0 */
/* The span of a request, with the tags that Envoy and Istio give it. */
#include <stdio.h>
#include <time.h>

#include "telemetry/peer.h"
#include "telemetry/respflag.h"
#include "telemetry/span_int.h"
#include "telemetry/teleconf_int.h"
#include "telemetry/trace.h"

static void put_request(struct span_draft *m, const struct tracing *conf, const struct exchange *x)
{
	static const char *const protocols[] = { [HTTP_1_0] = "HTTP/1.0", [HTTP_1_1] = "HTTP/1.1", [HTTP_2] = "HTTP/2" };
	struct str path = x->request.path, scheme = x->request.scheme;
	char url[1600], text[ADDR_TEXT];
	int n;

	if (path.n > conf->max_path)
		path.n = conf->max_path;
	n = snprintf(url, sizeof(url), "%.*s://%.*s%.*s", (int)(scheme.n ? scheme.n : 4), scheme.n ? scheme.p : "http",
		     (int)(x->request.authority.n < 255 ? x->request.authority.n : 255), x->request.authority.p,
		     (int)(path.n < 1200 ? path.n : 1200), path.p);
	span_put_text(m, "component", str_c("proxy"));
	span_put_text(m, "guid:x-request-id", fields_get(&x->request_fields, "x-request-id"));
	span_put_text(m, "http.method", x->request.method);
	span_put_text(m, "http.url", (struct str){ url, (size_t)n < sizeof(url) ? (size_t)n : sizeof(url) - 1 });
	span_put_text(m, "http.protocol", str_c(protocols[x->version]));
	span_put_text(m, "user_agent", fields_get(&x->request_fields, "user-agent"));
	span_put_text(m, "peer.address", str_c(ip_format(&x->client->peer.ip, text)));
	span_put_number(m, "request_size", x->log.bytes_received);
}

static void put_response(struct span_draft *m, const struct exchange *x)
{
	char text[ADDR_TEXT], flags[RESPFLAG_BYTES];
	bool bad = x->response.status == 0 || x->response.status >= 500;

	span_put_text(m, "upstream_cluster", x->log.cluster_name);
	span_put_text(m, "upstream_cluster.name", x->log.cluster_name);
	if (x->log.upstream.port)
		span_put_text(m, "upstream_address", str_c(addr_format(&x->log.upstream, text)));
	snprintf(text, sizeof(text), "%d", x->response.status);
	span_put_text(m, "http.status_code", str_c(text));
	span_put_text(m, "response_flags", str_c(respflag(x, flags)));
	span_put_number(m, "response_size", x->log.bytes_sent);
	if (x->log.grpc) {
		span_put_text(m, "grpc.path", x->request.path);
		span_put_text(m, "grpc.authority", x->request.authority);
		if (x->log.grpc_status >= 0) {
			snprintf(text, sizeof(text), "%d", x->log.grpc_status);
			span_put_text(m, "grpc.status_code", str_c(text));
			bad |= x->log.grpc_status == 13 || x->log.grpc_status == 14 || x->log.grpc_status == 2 || x->log.grpc_status == 15;
		}
	}
	if (!bad)
		return;
	span_put_text(m, "error", str_c("true"));
	otlp__status__init(&m->status);
	m->status.code = OTLP__STATUS__CODE__ERROR;
	m->span.status = &m->status;
}

static void put_side(struct span_draft *m, const char *const keys[4], const struct workload *w, const struct peer *said)
{
	struct peer p;

	peer_of_workload(w, &p);
	if (!w && said)
		p = *said;
	span_put_text(m, keys[0], p.workload);
	span_put_text(m, keys[1], p.ns);
	span_put_text(m, keys[2], p.service);
	span_put_text(m, keys[3], p.revision);
}

static void put_istio(struct span_draft *m, const struct tele_side *s, const struct exchange *x)
{
	static const char *const source[] = { "source_workload", "source_workload_namespace", "source_canonical_service", "source_canonical_revision" };
	static const char *const dest[] = {
		"destination_workload", "destination_workload_namespace", "destination_canonical_service", "destination_canonical_revision",
	};
	const struct exchange_client *c = x->client;
	struct peer self;

	peer_of_workload(c->local_workload, &self);
	span_put_text(m, "istio.canonical_service", self.service);
	span_put_text(m, "istio.canonical_revision", self.revision.n ? self.revision : str_c("latest"));
	span_put_text(m, "istio.namespace", self.ns);
	span_put_text(m, "istio.cluster_id", self.cluster);
	span_put_text(m, "istio.mesh_id", str_c(s->mesh_id));
	put_side(m, source, c->inbound ? c->peer_workload : c->local_workload, c->inbound ? x->log.peer : NULL);
	put_side(m, dest, c->inbound && !s->waypoint ? c->local_workload : x->log.upstream_workload, c->inbound ? NULL : x->log.peer);
}

static void put_shadows(struct span_draft *m, const struct exchange *x)
{
	static const char *const keys[2][2] = {
		{ "istio.authorization.dry_run.allow_policy.name", "istio.authorization.dry_run.allow_policy.result" },
		{ "istio.authorization.dry_run.deny_policy.name", "istio.authorization.dry_run.deny_policy.result" },
	};

	for (int i = 0; i < 2; i++) {
		const struct exchange_shadow *s = &x->log.shadow[i];

		if (s->known && s->policy)
			span_put_text(m, keys[i][0], str_c(s->policy));
		if (s->known)
			span_put_text(m, keys[i][1], str_c(s->allowed ? "allowed" : "denied"));
	}
}

static void put_tags(struct span_draft *m, const struct tracing *conf, const struct exchange *x)
{
	struct buf text = { 0 };

	for (int i = 0; i < conf->n_tags; i++) {
		text.tail = text.head;
		format_write(conf->tags[i].format, x, conf->tags[i].fallback, &text);
		span_put_text(m, conf->tags[i].name, buf_str(&text));
	}
	buf_done(&text);
}

/* Envoy's: the route's operation, which the server side takes from the client's. */
static struct str name_of(const struct trace *t, const struct exchange *x, char *text, size_t size)
{
	struct str host = x->request.authority;

	if (t->operation.n)
		return t->operation;
	if (x->log.operation.n)
		return x->log.operation;
	if (x->client->inbound)
		return str_c("ingress");
	snprintf(text, size, "egress %.*s", (int)(host.n < 255 ? host.n : 255), host.p);
	return str_c(text);
}

void trace_end(const struct trace *t, const struct tele_side *s, const struct exchange *x)
{
	const struct exchange_log *l = &x->log;
	struct span_draft m;
	char text[300];
	struct str state;

	if (!t->active || !t->sampled || !span_exporting())
		return;
	span_init(&m);
	m.span.trace_id = (ProtobufCBinaryData){ sizeof(t->id), (uint8_t *)t->id };
	m.span.span_id = (ProtobufCBinaryData){ sizeof(t->span), (uint8_t *)t->span };
	if (t->has_parent)
		m.span.parent_span_id = (ProtobufCBinaryData){ sizeof(t->parent), (uint8_t *)t->parent };
	state = fields_get(&x->request_fields, "tracestate");
	if (state.n)
		m.span.trace_state = span_keep(&m, state);
	if (!m.span.trace_state)
		m.span.trace_state = (char *)"";
	m.span.kind = x->client->inbound ? OTLP__SPAN__KIND__SERVER : OTLP__SPAN__KIND__CLIENT;
	m.span.start_time_unix_nano = l->wall_us * 1000;
	m.span.end_time_unix_nano = l->wall_us * 1000 + (l->end_ns > l->start_ns ? l->end_ns - l->start_ns : 0);
	m.span.name = span_keep(&m, name_of(t, x, text, sizeof(text)));
	put_request(&m, &s->tracing, x);
	put_response(&m, x);
	if (s->tracing.istio_tags)
		put_istio(&m, s, x);
	put_shadows(&m, x);
	put_tags(&m, &s->tracing, x);
	span_push(&m);
}
