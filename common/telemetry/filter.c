/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/filter.h"

#include "telemetry/accesslog.h"
#include "telemetry/requests.h"
#include "telemetry/span.h"
#include "telemetry/teleconf_int.h"
#include "telemetry/trace.h"
#include "telemetry/refusal.h"
#include "telemetry/why.h"

/* gRPC messages of one direction: five bytes, of which four are a length, before each. */
struct messages {
	uint64_t n;
	uint32_t body;               /* bytes of the present one that are still to come */
	uint8_t head[5];
	int have;                    /* of head */
};

struct state {
	struct messages messages[2]; /* down, up */
	struct trace trace;
};

static const struct tele_side *side_of(const struct exchange *x, const void *conf)
{
	return tele_side_for(conf, x->client->target);
}

/* ---- the request ---- */

static bool drawn(const struct tracing *t, struct str id)
{
	return uuid_reason(id) && uuid_number(id) < t->per_myriad;
}

/* Keeps an id that came: a sidecar is no edge. Returns whether the request is to be sampled unless its trace says something else. */
static bool set_request_id(const struct tele_side *s, struct exchange *x)
{
	struct str id = fields_get(&x->request_fields, "x-request-id");
	char text[UUID_BYTES], reason, now;

	if (!id.n) {
		if (!s->request_id)
			return false;
		uuid_make(text);
		id = (struct str){ text, sizeof(text) };
	} else if (id.n == sizeof(text)) {
		memcpy(text, id.p, sizeof(text));
	}
	reason = now = uuid_reason(id);
	if (s->tracing.decide && s->tracing.by_request_id && reason == 'n') {
		if (fields_get(&x->request_fields, "x-client-trace-id").n)
			now = 'c';
		else if (drawn(&s->tracing, id))
			now = 's';
	}
	if (now != reason)
		uuid_set_reason(text, now);
	if (now != reason || id.p == text)
		fields_set(&x->request_fields, "x-request-id", exchange_dup(x, (struct str){ text, sizeof(text) }));
	return s->tracing.by_request_id ? now && now != 'n' : drawn(&s->tracing, id);
}

static enum filter_step on_request(struct exchange *x, void *state, const void *conf)
{
	const struct tele_side *s = side_of(x, conf);
	struct state *st = state;
	bool sampled;

	/* Envoy has its route before its filters run: what they refuse says where it would have gone. */
	if (s->inbound) {
		x->log.cluster_name = x->client->cluster;
		x->log.route_name = str_c("default");
	}
	sampled = set_request_id(s, x);
	/* The sender's name for what it asks is ours, too; it goes no further. */
	if (s->inbound) {
		st->trace.operation = fields_get(&x->request_fields, "x-envoy-decorator-operation");
		fields_remove(&x->request_fields, str_c("x-envoy-decorator-operation"));
	}
	if (s->tracing.on && span_exporting()) {
		struct str operation = st->trace.operation;

		trace_begin(&st->trace, x, sampled, !s->tracing.keep_to_itself);
		st->trace.operation = operation;
	}
	if (s->attempt_count)
		fields_set(&x->request_fields, "x-envoy-attempt-count", str_c("1"));
	return FILTER_NEXT;
}

/* ---- the response ---- */

static enum filter_step on_response(struct exchange *x, void *state, const void *conf)
{
	const struct tele_side *s = side_of(x, conf);
	const struct exchange_log *l = &x->log;

	(void)state;
	if (!s->keep_server || !fields_get(&x->response_fields, "server").n)
		fields_set(&x->response_fields, "server", str_c(s->server));
	/* Of an answer that came from a server. */
	if (s->upstream_time && l->up_head_ns && l->why == FAIL_NONE) {
		uint64_t from = l->request_end_ns && l->request_end_ns < l->up_head_ns ? l->request_end_ns : l->up_sent_ns;

		fields_set(&x->response_fields, "x-envoy-upstream-service-time",
			   exchange_number(x, from && from < l->up_head_ns ? (l->up_head_ns - from) / 1000000 : 0));
	}
	return FILTER_NEXT;
}

/* ---- bodies ---- */

static void count_messages(struct messages *m, const uint8_t *p, size_t n)
{
	while (n) {
		if (m->body) {
			size_t take = n < m->body ? n : m->body;

			m->body -= (uint32_t)take;
			p += take;
			n -= take;
			continue;
		}
		m->head[m->have++] = *p++;
		n--;
		if (m->have == 5) {
			m->have = 0;
			m->n++;
			m->body = (uint32_t)m->head[1] << 24 | (uint32_t)m->head[2] << 16 | (uint32_t)m->head[3] << 8 | m->head[4];
		}
	}
}

static void on_data(struct exchange *x, void *state, const void *conf, bool up, const struct iovec *iov, int n)
{
	struct state *st = state;

	(void)conf;
	if (!x->log.grpc)
		return;
	for (int i = 0; i < n; i++)
		count_messages(&st->messages[up], iov[i].iov_base, iov[i].iov_len);
}

/* What comes after the body may be logged. */
static void on_trailers(struct exchange *x, void *state, const void *conf, bool up, struct http_fields *t)
{
	const struct tele_side *s = side_of(x, conf);

	(void)state;
	if (up || !s->n_logs)
		return;
	x->response_trailers = (struct http_fields){ .arena = &x->arena };
	for (int i = 0; i < t->n; i++)
		fields_add(&x->response_trailers, exchange_dup(x, t->v[i].name).p, exchange_dup(x, t->v[i].value));
}

/* ---- the end ---- */

/* What is no failure, and what the client chose, is not asked about. */
static bool refused(const struct exchange *x)
{
	switch (x->log.why) {
	case FAIL_NONE:
	case FAIL_CLIENT_RESET:
	case FAIL_DRAIN:
	case FAIL_DIRECT:
	case FAIL_CORS:
		return false;
	default:
		return true;
	}
}

static void on_end(struct exchange *x, void *state, const void *conf)
{
	const struct tele_side *s = side_of(x, conf);
	struct state *st = state;

	requests_count(s, x, st->messages[true].n, st->messages[false].n);
	accesslog_write(s, x);
	trace_end(&st->trace, s, x);
	refusal_count(x->log.why, x->log.refusal);
	if (!x->log.id && refused(x))
		why_remember_request(x, x->log.why, NULL, NULL, NULL);
}

const struct filter_ops telemetry_filter = {
	.name = "telemetry", .state_bytes = sizeof(struct state), .on_request = on_request, .on_response = on_response,
	.on_data = on_data, .on_trailers = on_trailers, .on_end = on_end,
};
