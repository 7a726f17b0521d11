/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/otlp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "base/log.h"
#include "http/h1post.h"
#include "proto/otlp.pb-c.h"
#include "telemetry/prom.h"
#include "telemetry/span.h"
#include "tls/webctx.h"

#define PERIOD_MS    1000
#define BATCH        512
#define BATCH_BYTES  (1u << 20)       /* collectors take 4 MiB */
#define EXPORT_PATH  "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

struct otlp {
	struct loop *loop;
	char *endpoint, *roots;           /* owned */
	struct dial_url url;              /* of endpoint */
	struct grpc *grpc;                /* NULL: over HTTP */
	struct dial_conf dial;            /* over HTTP */
	struct http_field *headers;         /* owned, their texts too */
	int n_headers;
	struct buf resource, scope;       /* ResourceSpans.resource and ScopeSpans.scope, as fields */
	unsigned timeout_ms;
	struct timer tick;
	struct backoff backoff;
	struct span *first, **last;       /* taken, not yet exported */
	int sending;                      /* the first so many are on their way; 0: none */
	struct grpc_call *call;
	struct h1post *post;
	struct prom_family metrics[2];
	bool failing, partial_told;
};

static void export(struct otlp *o);

/* ---- the bytes: fields that hold messages, around spans that are packed already ---- */

static size_t varint_bytes(uint64_t v)
{
	size_t n = 1;

	while (v >= 128) {
		v >>= 7;
		n++;
	}
	return n;
}

/* Tag and length of field number `field` (below 16) with n bytes. */
static void put_field(struct buf *out, unsigned field, size_t n)
{
	uint8_t b[12];
	int k = 0;

	b[k++] = (uint8_t)(field << 3 | 2);
	for (; n >= 128; n >>= 7)
		b[k++] = (uint8_t)(n | 128);
	b[k++] = (uint8_t)n;
	buf_append(out, b, (size_t)k);
}

static size_t field_bytes(size_t n)
{
	return 1 + varint_bytes(n) + n;
}

/* ExportTraceServiceRequest.resource_spans[0] { resource, scope_spans[0] { scope, spans } } */
static void put_batch(const struct otlp *o, struct buf *out)
{
	size_t spans = buf_len(&o->scope), all;
	const struct span *s = o->first;

	for (int i = 0; i < o->sending; i++, s = s->next)
		spans += field_bytes(s->n);
	all = buf_len(&o->resource) + field_bytes(spans);
	put_field(out, 1, all);
	buf_append(out, buf_data(&o->resource), buf_len(&o->resource));
	put_field(out, 2, spans);
	buf_append(out, buf_data(&o->scope), buf_len(&o->scope));
	s = o->first;
	for (int i = 0; i < o->sending; i++, s = s->next) {
		put_field(out, 2, s->n);
		buf_append(out, s->bytes, s->n);
	}
}

static void put_message(struct buf *out, unsigned field, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *at;

	put_field(out, field, n);
	at = buf_reserve(out, n);
	if (at)
		buf_added(out, protobuf_c_message_pack(m, at));
}

static void put_attribute(struct buf *out, const char *name, const char *value)
{
	Otlp__AnyValue v = OTLP__ANY_VALUE__INIT;
	Otlp__KeyValue pair = OTLP__KEY_VALUE__INIT;

	v.value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
	v.string_value = (char *)value;
	pair.key = (char *)name;
	pair.value = &v;
	put_message(out, 1, &pair.base);
}

static bool has_resource(const struct otlp_conf *conf, const char *name)
{
	for (int i = 0; i < conf->n_resource; i++)
		if (strcmp(conf->resource[i].name, name) == 0)
			return true;
	return false;
}

static void make_frame(struct otlp *o, const struct otlp_conf *conf)
{
	Otlp__InstrumentationScope scope = OTLP__INSTRUMENTATION_SCOPE__INIT;
	struct buf attributes = { 0 };

	put_attribute(&attributes, "service.name", conf->service);
	if (!has_resource(conf, "service.version"))
		put_attribute(&attributes, "service.version", PACKAGE_VERSION);
	for (int i = 0; i < conf->n_resource; i++)
		if (strcmp(conf->resource[i].name, "service.name") != 0)
			put_attribute(&attributes, conf->resource[i].name, conf->resource[i].value);
	put_field(&o->resource, 1, buf_len(&attributes));
	buf_append(&o->resource, buf_data(&attributes), buf_len(&attributes));
	buf_done(&attributes);
	scope.name = (char *)"meshd";
	scope.version = (char *)PACKAGE_VERSION;
	put_message(&o->scope, 1, &scope.base);
}

/* ---- what became of a batch ---- */

static void drop_batch(struct otlp *o, bool exported)
{
	while (o->sending > 0) {
		struct span *s = o->first;

		o->first = s->next;
		if (!o->first)
			o->last = &o->first;
		span_free(s, exported);
		o->sending--;
	}
}

static void sent(struct otlp *o, struct str reply)
{
	Otlp__ExportTraceServiceResponse *r = otlp__export_trace_service_response__unpack(NULL, reply.n, (const uint8_t *)reply.p);

	if (o->failing)
		log_info(LOG_MAIN, "spans are exported to %s again", o->endpoint);
	o->failing = false;
	backoff_reset(&o->backoff);
	drop_batch(o, true);
	if (r && r->partial_success && (r->partial_success->rejected_spans || r->partial_success->error_message[0]) && !o->partial_told) {
		o->partial_told = true;
		log_warn(LOG_MAIN, "%s refused %lld spans of a batch: %.300s; this is said once", o->endpoint,
			 (long long)r->partial_success->rejected_spans, r->partial_success->error_message);
	}
	if (r)
		otlp__export_trace_service_response__free_unpacked(r, NULL);
	export(o);
}

static void not_sent(struct otlp *o, bool again, const char *why)
{
	if (!o->failing)
		log_warn(LOG_MAIN, "%d spans could not be exported to %s: %.500s; %s (the first time; said again after a success)", o->sending,
			 o->endpoint, why, again ? "they are kept and tried again" : "they are dropped");
	o->failing = true;
	if (again)
		o->sending = 0;
	else
		drop_batch(o, false);
	timer_start(&o->tick, backoff_next(&o->backoff));
}

static void on_grpc(const struct grpc_end *end, struct str reply, void *arg)
{
	struct otlp *o = arg;
	char why[512];
	bool again = false;

	o->call = NULL;
	switch (end->code) {
	case GRPC_OK:
		sent(o, reply);
		return;
	case GRPC_CANCELLED:
	case GRPC_DEADLINE_EXCEEDED:
	case GRPC_RESOURCE_EXHAUSTED:
	case GRPC_ABORTED:
	case GRPC_OUT_OF_RANGE:
	case GRPC_UNAVAILABLE:
	case GRPC_DATA_LOSS:
		again = true;
		break;
	default:
		break;
	}
	snprintf(why, sizeof(why), "%s: %.*s", grpc_code_name(end->code), STR_FMT(end->message));
	not_sent(o, again, why);
}

static void on_http(void *arg, const struct h1post_reply *reply)
{
	struct otlp *o = arg;
	char why[512];
	int s = reply->status;

	o->post = NULL;
	if (s >= 200 && s < 300) {
		sent(o, reply->body);
		return;
	}
	if (s)
		snprintf(why, sizeof(why), "HTTP status %d", s);
	else
		snprintf(why, sizeof(why), "%s", reply->error);
	not_sent(o, !s || s == 429 || s == 502 || s == 503 || s == 504, why);
}

/* ---- sending ---- */

static struct h1post *post(struct otlp *o, const struct buf *body)
{
	struct webctx_conf conf = { .roots = str_c(o->roots ? o->roots : "SYSTEM"), .http1 = true, .roots_hint = "OTEL_EXPORTER_OTLP_CERTIFICATE" };
	struct h1post_conf request = {
		.dial = &o->dial, .authority = o->url.authority, .path = o->url.path, .content_type = str_c("application/x-protobuf"),
		.fields = o->headers, .n_fields = o->n_headers, .body = buf_data(body), .body_bytes = buf_len(body), .deadline_ms = o->timeout_ms,
	};
	struct h1post *p;
	struct err err;

	if (o->url.tls && webctx_new(&conf, &o->dial.ctx, &err) != 0) {
		not_sent(o, true, err.msg);
		return NULL;
	}
	p = h1post_start(o->loop, &request, on_http, o);
	tlsctx_unref(o->dial.ctx);
	o->dial.ctx = NULL;
	return p;
}

static void take(struct otlp *o)
{
	*o->last = span_take();
	while (*o->last)
		o->last = &(*o->last)->next;
}

static void export(struct otlp *o)
{
	struct buf body = { 0 };
	size_t bytes = 0;

	if (o->call || o->post)
		return;
	take(o);
	o->sending = 0;
	for (struct span *s = o->first; s && o->sending < BATCH && bytes + s->n <= BATCH_BYTES; s = s->next) {
		bytes += s->n;
		o->sending++;
	}
	timer_start(&o->tick, PERIOD_MS);
	if (!o->sending)
		return;
	put_batch(o, &body);
	if (o->grpc)
		o->call = grpc_unary(o->grpc, EXPORT_PATH, buf_data(&body), buf_len(&body), o->timeout_ms, on_grpc, o);
	else
		o->post = post(o, &body);
	buf_done(&body);
}

static void on_tick(struct timer *t)
{
	export(container_of(t, struct otlp, tick));
}

/* ---- settings ---- */

static void put_exported(struct prom *p, void *arg)
{
	prom_put(p, NULL, 0, span_exported());
}

static void put_dropped(struct prom *p, void *arg)
{
	prom_put(p, NULL, 0, span_dropped());
}

static void add_metrics(struct otlp *o)
{
	o->metrics[0] = (struct prom_family){ "meshd_spans_exported", PROM_COUNTER, "Spans that the collector took", put_exported, NULL, NULL };
	o->metrics[1] = (struct prom_family){ "meshd_spans_dropped", PROM_COUNTER, "Spans that the collector refused or that had no room", put_dropped, NULL, NULL };
	prom_register(&o->metrics[0]);
	prom_register(&o->metrics[1]);
}

static int add_headers(void *arg, struct grpc_meta *m, struct err *err)
{
	struct otlp *o = arg;

	for (int i = 0; i < o->n_headers; i++)
		if (!grpc_meta_add(m, o->headers[i].name, o->headers[i].value))
			return err_set(err, -EINVAL, "the header '%.*s' for the collector has no legal name or value", STR_FMT(o->headers[i].name));
	return 0;
}

static bool header_ok(const struct otlp_pair *p)
{
	for (const char *c = p->name; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || *c == ':')
			return false;
	for (const char *c = p->value; *c; c++)
		if (*c < ' ' || *c >= 0x7f)
			return false;
	return p->name[0];
}

static void otlp_gone(struct otlp *o)
{
	grpc_free(o->grpc);
	for (int i = 0; i < o->n_headers; i++) {
		free((char *)o->headers[i].name.p);
		free((char *)o->headers[i].value.p);
	}
	free(o->headers);
	free(o->endpoint);
	free(o->roots);
	buf_done(&o->resource);
	buf_done(&o->scope);
	free(o);
}

static int open_grpc(struct otlp *o, const struct otlp_conf *conf, struct err *err)
{
	struct grpc_conf g = {
		.who = "the collector", .target = o->url.authority, .roots = str_c(conf->roots ? conf->roots : "SYSTEM"),
		.roots_hint = "OTEL_EXPORTER_OTLP_CERTIFICATE", .sock_ops = conf->sock_ops, .resolver = conf->resolver, .headers = add_headers, .arg = o,
	};

	/* A path says nothing to gRPC. */
	g.target.n += (size_t)(o->url.authority.p - o->endpoint);
	g.target.p = o->endpoint;
	return grpc_new(o->loop, &g, &o->grpc, err);
}

static int take_headers(struct otlp *o, const struct otlp_conf *conf, struct err *err)
{
	o->headers = xcalloc((size_t)conf->n_headers + 1, sizeof(*o->headers));
	for (int i = 0; i < conf->n_headers; i++) {
		if (!header_ok(&conf->headers[i]))
			return err_set(err, -EINVAL, "the header '%.100s' for the collector has no legal name or value", conf->headers[i].name);
		o->headers[o->n_headers++] = (struct http_field){ str_c(xstrdup(conf->headers[i].name)), str_c(xstrdup(conf->headers[i].value)) };
	}
	return 0;
}

int otlp_new(struct loop *l, const struct otlp_conf *conf, struct otlp **ret, struct err *err)
{
	struct otlp *o = xcalloc(1, sizeof(*o));
	int r;

	o->loop = l;
	o->endpoint = xstrdup(conf->endpoint);
	o->roots = conf->roots ? xstrdup(conf->roots) : NULL;
	o->timeout_ms = conf->timeout_ms;
	o->last = &o->first;
	o->backoff = (struct backoff){ PERIOD_MS, 30 * PERIOD_MS, 0 };
	if (dial_url_parse(str_c(o->endpoint), &o->url) != 0)
		r = err_set(err, -EINVAL, "the collector's address is '%s'; http://HOST:PORT or https://HOST:PORT is wanted", o->endpoint);
	else
		r = take_headers(o, conf, err);
	if (r == 0 && !conf->http)
		r = open_grpc(o, conf, err);
	if (r != 0) {
		otlp_gone(o);
		return r;
	}
	if (!o->url.path.n)
		o->url.path = str_c("/");
	o->dial = (struct dial_conf){ o->url.host, o->url.port, NULL, &o->url.host, 1, conf->sock_ops, conf->resolver, NULL };
	make_frame(o, conf);
	add_metrics(o);
	timer_init(&o->tick, l, on_tick);
	timer_start(&o->tick, PERIOD_MS);
	span_start(conf->ratio);
	*ret = o;
	return 0;
}

void otlp_free(struct otlp *o)
{
	if (!o)
		return;
	prom_unregister(&o->metrics[0]);
	prom_unregister(&o->metrics[1]);
	timer_stop(&o->tick);
	grpc_cancel(o->call);
	h1post_cancel(o->post);
	while (o->first) {
		o->sending = 1;
		drop_batch(o, false);
	}
	span_stop();
	otlp_gone(o);
}
