/* SPDX-License-Identifier: Apache-2.0 */
#include "ext/rateshared_int.h"
#include "ext/server.h"
#include "http/grpc_frame.h"
#include "proto/ratelimit.pb-c.h"

static Ratelimit__Descriptor *descriptor(struct arena *a, const struct rate_question *q)
{
	Ratelimit__Descriptor *d = arena_alloc(a, sizeof(*d));
	Ratelimit__Descriptor__Entry *e = arena_alloc(a, (size_t)q->n * sizeof(*e));

	ratelimit__descriptor__init(d);
	d->n_entries = (size_t)q->n;
	d->entries = arena_alloc(a, (size_t)q->n * sizeof(*d->entries));
	for (int i = 0; i < q->n; i++) {
		ratelimit__descriptor__entry__init(&e[i]);
		e[i].key = arena_dup(a, str_c(q->entries[i].key));
		e[i].value = arena_dup(a, q->entries[i].value);
		d->entries[i] = &e[i];
	}
	return d;
}

struct str rateshared_ask(struct arena *a, const struct rate_question *q, int n)
{
	Ratelimit__Request m = RATELIMIT__REQUEST__INIT;
	size_t bytes;
	uint8_t *p;

	m.domain = arena_dup(a, str_c(q->of->shared.domain));
	m.n_descriptors = (size_t)n;
	m.descriptors = arena_alloc(a, (size_t)n * sizeof(*m.descriptors));
	for (int i = 0; i < n; i++)
		m.descriptors[i] = descriptor(a, &q[i]);
	bytes = ratelimit__request__get_packed_size(&m);
	p = arena_alloc(a, bytes + GRPC_PREFIX_BYTES);
	grpc_frame_prefix(bytes, p);
	ratelimit__request__pack(&m, p + GRPC_PREFIX_BYTES);
	return (struct str){ (const char *)p, bytes + GRPC_PREFIX_BYTES };
}

/* ---- the answer ---- */

#define CODE_OK   1
#define CODE_OVER 2

static uint32_t unit_s(uint32_t unit)
{
	static const uint32_t seconds[] = { 0, 1, 60, 3600, 86400, 30 * 86400, 365 * 86400 };

	return unit < ARRAY_LEN(seconds) ? seconds[unit] : 0;
}

static void note(const struct rate_question *q, const Ratelimit__Response__Status *s, struct rateshared_answer *ret)
{
	bool over = s->code == CODE_OVER && !q->rule->dry_run;
	struct rate_status now = { .rule = q->rule, .remaining = over ? 0 : s->limit_remaining };

	if (over)
		ret->over = true;
	if (!s->current_limit || (s->code == CODE_OVER && q->rule->dry_run))
		return;
	now.limit = s->current_limit->requests_per_unit;
	now.per_s = unit_s(s->current_limit->unit);
	if (s->duration_until_reset && s->duration_until_reset->seconds > 0 && s->duration_until_reset->seconds < UINT32_MAX)
		now.reset_s = (uint32_t)s->duration_until_reset->seconds;
	if (!ret->known || now.remaining < ret->tightest.remaining || (over && ret->tightest.remaining > 0))
		ret->tightest = now;
	ret->known = true;
}

static void put_edits(struct arena *a, struct header_edits *e, Ratelimit__Header *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		header_edits_add(a, e, EDIT_SET, arena_dup(a, str_c(v[i]->key)), str_c(arena_dup(a, str_c(v[i]->value))));
}

const char *rateshared_answer(struct arena *a, const struct rate_question *q, int n, struct str body, struct rateshared_answer *ret)
{
	Ratelimit__Response *m = NULL;
	struct str message;

	*ret = (struct rateshared_answer){ 0 };
	if (server_grpc_message(body, &message))
		m = ratelimit__response__unpack(NULL, message.n, (const uint8_t *)message.p);
	if (!m || (m->overall_code != CODE_OK && m->overall_code != CODE_OVER)) {
		if (m)
			ratelimit__response__free_unpacked(m, NULL);
		return "the server's answer is no RateLimitResponse";
	}
	for (size_t i = 0; i < m->n_statuses && i < (size_t)n; i++)
		note(&q[i], m->statuses[i], ret);
	if (m->overall_code == CODE_OVER && m->n_statuses == 0)
		ret->over = true;
	if (!ret->tightest.rule)
		ret->tightest.rule = q->rule;
	put_edits(a, &ret->request, m->request_headers_to_add, m->n_request_headers_to_add);
	put_edits(a, &ret->response, m->response_headers_to_add, m->n_response_headers_to_add);
	ratelimit__response__free_unpacked(m, NULL);
	return NULL;
}
