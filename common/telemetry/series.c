/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/series.h"

#include <stdlib.h>

#include "base/log.h"
#include "telemetry/flow.h"
#include "telemetry/meters.h"

const char *const series_label_names[SERIES_LABEL_COUNT] = {
#define X(name) #name,
	SERIES_LABELS(X)
#undef X
};

const char *const series_flag_names[SERIES_FLAG_COUNT] = {
	"-", "DENY", "CONNECT", "TLS_FAILURE", "H2_HANDSHAKE_FAILURE", "NETWORK_POLICY", "IDENTITY_ERROR",
	"CERT_REVOKED",
};

static _Atomic(struct flow_metrics *) tables;

enum series_flag series_flag(enum fail f)
{
	const char *flag = f == FAIL_NONE ? "-" : fail_info(f)->flag;

	for (int i = 0; i < SERIES_FLAG_COUNT; i++)
		if (strcmp(flag, series_flag_names[i]) == 0)
			return (enum series_flag)i;
	return SERIES_FLAG_CONNECT;
}

struct flow_metrics *flow_metrics_new(void)
{
	struct flow_metrics *m = xcalloc(1, sizeof(*m));

	m->meters = meters_new();
	m->next = atomic_load(&tables);
	while (!atomic_compare_exchange_weak(&tables, &m->next, m))
		;
	return m;
}

struct flow_metrics *series_tables(void)
{
	return atomic_load_explicit(&tables, memory_order_acquire);
}

void flow_sockets(struct flow_metrics *m, enum flow_direction d, int delta)
{
	long now = atomic_load_explicit(&m->sockets[d], memory_order_relaxed);

	atomic_store_explicit(&m->sockets[d], now + delta, memory_order_relaxed);
}

static struct flow_series *series_make(struct flow_metrics *m, struct str key)
{
	struct flow_series *s = calloc(1, sizeof(*s) + key.n);

	if (!s)
		return NULL;
	memcpy(s->key, key.p, key.n);
	s->key_bytes = (uint16_t)key.n;
	s->next = atomic_load_explicit(&m->first, memory_order_relaxed);
	atomic_store_explicit(&m->first, s, memory_order_release);
	return s;
}

/* Locality that is not to be shown has empty values, which no shown value has. */
static size_t key_build(const struct series_key *k, char *out)
{
	char *at = out;

	for (int i = 0; i < SERIES_LABEL_COUNT; i++) {
		struct str v = k->value[i];
		bool shown = k->locality || i < SERIES_source_region;

		if (!shown)
			v.n = 0;
		else if (v.n == 0)
			v = str_c("unknown");
		if (v.n >= SERIES_VALUE_BYTES)
			v.n = SERIES_VALUE_BYTES - 1;
		if (v.n)
			memcpy(at, v.p, v.n);
		at += v.n;
		*at++ = '\0';
	}
	return (size_t)(at - out);
}

static struct flow_series *series_overflow(struct flow_metrics *m, int direction)
{
	struct series_key key = { .locality = false };
	char text[SERIES_LABEL_COUNT * SERIES_VALUE_BYTES];

	if (m->overflow[direction])
		return m->overflow[direction];
	for (int i = 0; i < SERIES_LABEL_COUNT; i++)
		key.value[i] = str_c("overflow");
	key.value[SERIES_reporter] = str_c(direction == FLOW_INBOUND ? "destination" : "source");
	key.value[SERIES_request_protocol] = str_c("tcp");
	key.value[SERIES_connection_security_policy] = str_c("unknown");
	m->overflow[direction] = series_make(m, (struct str){ text, key_build(&key, text) });
	if (!m->overflow[direction])
		return NULL;
	log_warn(LOG_MAIN, "metrics: a worker has %d series of connections; further ones are counted under the label "
		 "value \"overflow\"", SERIES_MAX);
	return m->overflow[direction];
}

struct flow_series *series_find(struct flow_metrics *m, const struct series_key *key, int direction)
{
	char text[SERIES_LABEL_COUNT * SERIES_VALUE_BYTES];
	struct str k = { text, key_build(key, text) };
	struct flow_series *s = map_get(&m->by_key, k);

	if (s)
		return s;
	if (m->count >= SERIES_MAX)
		return series_overflow(m, direction);
	s = series_make(m, k);
	if (!s)
		return NULL;
	map_put(&m->by_key, (struct str){ s->key, s->key_bytes }, s);
	m->count++;
	return s;
}

void flow_shed(struct flow_metrics *m, enum flow_shed why)
{
	_Static_assert(SHED_COUNT == ARRAY_LEN(m->shed), "a counter for each");
	series_add(&m->shed[why], 1);
}
