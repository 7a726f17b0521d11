/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/span.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "telemetry/flow_int.h"
#include "telemetry/span_int.h"

static struct {
	_Atomic(struct span *) first;     /* newest first */
	atomic_uint waiting;              /* not yet freed */
	atomic_uint_least64_t exported, dropped;
	atomic_bool exporting;
	atomic_uint_least64_t below;      /* trace ids whose lower 63 bits are below this are sampled; 0: off */
} spans;

void span_start(double ratio)
{
	atomic_store(&spans.exporting, true);
	atomic_store(&spans.below, ratio >= 1 ? UINT64_C(1) << 63 : (uint64_t)(ratio * (double)(UINT64_C(1) << 63)));
}

void span_stop(void)
{
	atomic_store(&spans.exporting, false);
	atomic_store(&spans.below, 0);
	for (struct span *s = span_take(), *next; s; s = next) {
		next = s->next;
		span_free(s, false);
	}
}

bool span_on(void)
{
	return atomic_load_explicit(&spans.below, memory_order_relaxed) != 0;
}

bool span_exporting(void)
{
	return atomic_load_explicit(&spans.exporting, memory_order_relaxed);
}

struct span *span_take(void)
{
	struct span *s = atomic_exchange(&spans.first, NULL), *oldest = NULL;

	while (s) {
		struct span *next = s->next;

		s->next = oldest;
		oldest = s;
		s = next;
	}
	return oldest;
}

void span_free(struct span *s, bool exported)
{
	atomic_fetch_add(exported ? &spans.exported : &spans.dropped, 1);
	atomic_fetch_sub(&spans.waiting, 1);
	free(s);
}

uint64_t span_exported(void)
{
	return atomic_load(&spans.exported);
}

uint64_t span_dropped(void)
{
	return atomic_load(&spans.dropped);
}

void span_push(const struct span_draft *m)
{
	struct span *s;

	if (atomic_load_explicit(&spans.waiting, memory_order_relaxed) >= SPAN_QUEUE) {
		atomic_fetch_add(&spans.dropped, 1);
		return;
	}
	s = malloc(sizeof(*s) + otlp__span__get_packed_size(&m->span));
	if (!s) {
		atomic_fetch_add(&spans.dropped, 1);
		return;
	}
	s->n = otlp__span__pack(&m->span, s->bytes);
	atomic_fetch_add(&spans.waiting, 1);
	s->next = atomic_load_explicit(&spans.first, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&spans.first, &s->next, s))
		;
}

/* ---- one span ---- */

struct ids {
	uint8_t trace[16], span[8], parent[8];
	bool has_parent;
};

static uint8_t nibble(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static void from_hex(uint8_t *to, const char *hex, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
}

/* "00-TRACE-PARENT-FLAGS" */
static void ids_make(const struct flow *f, struct ids *ids)
{
	char fresh[56];
	const char *given = f->traceparent;

	traceparent_make(fresh);
	from_hex(ids->trace, (given ? given : fresh) + 3, 16);
	from_hex(ids->span, (given && f->direction == FLOW_OUTBOUND ? given : fresh) + 36, 8);
	ids->has_parent = given && f->direction == FLOW_INBOUND;
	if (ids->has_parent)
		from_hex(ids->parent, given + 36, 8);
}

static bool sampled(const uint8_t trace[16])
{
	uint64_t v = 0;

	for (int i = 8; i < 16; i++)
		v = v << 8 | trace[i];
	return (v & ~(UINT64_C(1) << 63)) < atomic_load_explicit(&spans.below, memory_order_relaxed);
}

void span_begin(struct flow *f, char traceparent[56])
{
	uint8_t trace[16];

	if (!span_on())
		return;
	from_hex(trace, traceparent + 3, sizeof(trace));
	traceparent[54] = sampled(trace) ? '1' : '0';
	flow_set(&f->traceparent, str_c(traceparent));
}

void span_join(struct flow *f, struct str traceparent)
{
	if (span_on())
		flow_set(&f->traceparent, traceparent);
}

/* The metrics' labels, so that one finds a connection's span by what its series says. */
static void put_labels(struct span_draft *m, const struct flow *f)
{
	struct series_key key = { 0 };

	flow_key(f, &key);
	for (int i = 0; i < SERIES_LABEL_COUNT; i++) {
		if (i == SERIES_source_app || i == SERIES_source_version || i == SERIES_destination_app || i == SERIES_destination_version)
			continue;     /* the canonical ones say the same */
		span_put_text(m, series_label_names[i], key.value[i]);
	}
}

static void put_end(struct span_draft *m, const struct flow *f, const struct why_entry *e)
{
	const struct fail_info *info = fail_info(e->why);
	enum series_flag flag = series_flag(e->why);
	char text[1100];

	span_put_number(m, "received_bytes", f->bytes_received);
	span_put_number(m, "sent_bytes", f->bytes_sent);
	span_put_text(m, "response_flags", str_c(series_flag_names[flag]));
	if (e->why == FAIL_NONE)
		return;
	span_put_text(m, "reason", str_c(info->name));
	span_put_text(m, "policy", str_c(e->policy));
	span_put_text(m, "rule", str_c(e->rule));
	if (f->id) {
		snprintf(text, sizeof(text), "%016llx", (unsigned long long)f->id);
		span_put_text(m, "id", str_c(text));
	}
	if (flag == SERIES_FLAG_NONE)
		return;       /* a reset is no failure */
	snprintf(text, sizeof(text), "%s%s%.900s", info->reason, e->detail[0] ? ": " : "", e->detail);
	otlp__status__init(&m->status);
	m->status.code = OTLP__STATUS__CODE__ERROR;
	m->status.message = span_keep(m, str_c(text));
	m->status.message = m->status.message ? m->status.message : (char *)"";
	m->span.status = &m->status;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void put_name(struct span_draft *m, const struct flow *f)
{
	const char *what = f->service ? f->service->hostname : f->service_host ? f->service_host :
			   f->dest_workload && f->dest_workload->canonical_name ? f->dest_workload->canonical_name : "";
	char text[300];

	snprintf(text, sizeof(text), "%s %.255s", f->direction == FLOW_INBOUND ? "inbound" : "outbound", what[0] ? what : "tcp");
	m->span.name = span_keep(m, str_c(text));
}

static void make(struct span_draft *m, const struct flow *f, const struct why_entry *e, struct ids *ids)
{
	uint64_t mono = clock_ns(CLOCK_MONOTONIC);

	span_init(m);
	m->span.trace_id = (ProtobufCBinaryData){ sizeof(ids->trace), ids->trace };
	m->span.span_id = (ProtobufCBinaryData){ sizeof(ids->span), ids->span };
	if (ids->has_parent)
		m->span.parent_span_id = (ProtobufCBinaryData){ sizeof(ids->parent), ids->parent };
	m->span.kind = f->direction == FLOW_INBOUND ? OTLP__SPAN__KIND__SERVER : OTLP__SPAN__KIND__CLIENT;
	m->span.end_time_unix_nano = clock_ns(CLOCK_REALTIME);
	m->span.start_time_unix_nano = m->span.end_time_unix_nano - (f->opened_ns ? mono - f->opened_ns : 0);
	put_name(m, f);
	span_put_addr(m, "source.address", "source.port", &f->source);
	span_put_addr(m, "destination.address", "destination.port", &f->dest);
	if (f->hbone_host)
		span_put_text(m, "hbone.authority", str_c(f->hbone_host));
	else if (f->hbone.port)
		span_put_addr(m, "hbone.address", "hbone.port", &f->hbone);
	put_end(m, f, e);
	put_labels(m, f);
}

void span_record(const struct flow *f, const struct why_entry *e)
{
	struct span_draft m;
	struct ids ids;

	if (!span_on())
		return;
	ids_make(f, &ids);
	if (!sampled(ids.trace))
		return;
	make(&m, f, e, &ids);
	span_push(&m);
}
