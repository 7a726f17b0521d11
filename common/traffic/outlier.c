/* SPDX-License-Identifier: Apache-2.0 */
/* Outlier detection: Envoy's consecutive errors. A host that shows enough of them in a row gets no requests for the base time, times
 * how often that happened lately; a sweep at each interval lets it return and forgives. Sweeps need no timer: whoever picks or reports
 * does those that are due, as of their own moments. */
#include "traffic/cluster_int.h"

#define MAX_MS 300000u     /* Envoy's max_ejection_time, which Istio leaves alone; or the base time if that is more */

static uint64_t max_ms(const struct outlier_conf *o)
{
	return o->base_ms > MAX_MS ? o->base_ms : MAX_MS;
}

static void forget(struct host *h)
{
	atomic_store_explicit(&h->in_5xx, 0, memory_order_relaxed);
	atomic_store_explicit(&h->in_gateway, 0, memory_order_relaxed);
	atomic_store_explicit(&h->in_local, 0, memory_order_relaxed);
}

static bool take_back(struct cluster_state *st, struct host *h)
{
	if (!atomic_exchange(&h->ejected, false))
		return false;
	atomic_fetch_sub(&st->n_ejected, 1);
	return true;
}

void outlier_left(struct cluster_state *st, struct host *h)
{
	take_back(st, h);
}

/* --- ejection --- */

/* One more, if that is not more than the percentage of all hosts. */
static bool may_eject(struct cluster *c)
{
	uint64_t most = c->conf.outlier.max_percent < 100 ? c->conf.outlier.max_percent : 100;
	unsigned n = atomic_load(&c->state->n_ejected);

	while (UINT64_C(100) * (n + 1) <= most * atomic_load(&c->state->n_hosts))
		if (atomic_compare_exchange_weak(&c->state->n_ejected, &n, n + 1))
			return true;
	return false;
}

static void eject(struct cluster *c, struct host *h, atomic_uint *count, uint64_t now_ms)
{
	const struct outlier_conf *o = &c->conf.outlier;
	uint64_t times;

	if (atomic_load(&h->ejected))
		return;
	if (may_eject(c)) {
		atomic_store(&h->ejected_ms, now_ms);
		if (atomic_exchange(&h->ejected, true)) {
			atomic_fetch_sub(&c->state->n_ejected, 1);     /* another thread was faster */
			return;
		}
		times = atomic_load(&h->ejections);
		if (times * o->base_ms < max_ms(o) + o->base_ms)
			atomic_fetch_add(&h->ejections, 1);
		if (atomic_load(&h->gone))
			take_back(c->state, h);
		atomic_fetch_add(&c->state->changes, 1);
	}
	atomic_store_explicit(count, 0, memory_order_relaxed);
}

static void add_error(struct cluster *c, struct host *h, atomic_uint *count, uint32_t limit, uint64_t now_ms)
{
	unsigned n = atomic_fetch_add_explicit(count, 1, memory_order_relaxed) + 1;

	if (limit && n == limit)
		eject(c, h, count, now_ms);
}

/* outlierDetectionHttpErrorCodes say what an error is in place of 5xx. */
static enum host_event judge(const struct outlier_conf *o, enum host_event ev, int status)
{
	if (!o->n_codes || !status || ev == HOST_LOCAL_ERROR)
		return ev;
	for (int i = 0; i < o->n_codes; i++)
		if (o->codes[i] == status)
			return status >= 502 && status <= 504 ? HOST_GATEWAY_ERROR : HOST_5XX;
	return HOST_OK;
}

static void clear(atomic_uint *count)
{
	if (atomic_load_explicit(count, memory_order_relaxed))
		atomic_store_explicit(count, 0, memory_order_relaxed);
}

void host_answered(struct cluster *c, struct host *h, enum host_event ev, int status, uint64_t now_ms)
{
	const struct outlier_conf *o = &c->conf.outlier;
	struct hostset *s;

	if (!o->on || c->conf.kind == CLUSTER_ORIGINAL_DST)
		return;
	s = atomic_load_explicit(&c->hosts, memory_order_acquire);
	if (s)
		outlier_sweep(c, s, now_ms);
	ev = judge(o, ev, status);
	if (o->split_local && ev == HOST_LOCAL_ERROR) {
		add_error(c, h, &h->in_local, o->consecutive_local, now_ms);
		return;
	}
	if (o->split_local)
		clear(&h->in_local);
	if (ev == HOST_OK) {
		clear(&h->in_5xx);
		clear(&h->in_gateway);
		return;
	}
	if (ev == HOST_5XX)
		clear(&h->in_gateway);
	else
		add_error(c, h, &h->in_gateway, o->consecutive_gateway, now_ms);
	add_error(c, h, &h->in_5xx, o->consecutive_5xx, now_ms);
}

/* --- sweeps --- */

/* What k sweeps from `due` on, `interval` apart, do to a host. */
static bool sweep_host(struct cluster *c, struct host *h, uint64_t due, uint64_t interval, uint64_t k)
{
	const struct outlier_conf *o = &c->conf.outlier;
	uint64_t times = atomic_load(&h->ejections), first = 0, until, ms = times * o->base_ms;
	bool back = atomic_load(&h->ejected);

	if (back) {
		until = atomic_load(&h->ejected_ms) + (ms < max_ms(o) ? ms : max_ms(o));
		first = until > due ? (until - due + interval - 1) / interval : 0;
		if (first >= k || !take_back(c->state, h))
			return false;
		forget(h);
	}
	/* From its return on, each sweep forgives one ejection. */
	atomic_store(&h->ejections, (unsigned)(times > k - first ? times - (k - first) : 0));
	return back;
}

void outlier_sweep(struct cluster *c, struct hostset *s, uint64_t now_ms)
{
	uint64_t due = atomic_load_explicit(&c->state->sweep_ms, memory_order_relaxed), interval = c->conf.outlier.interval_ms, k;
	bool changed = false;

	interval = interval ? interval : 1;
	if (due && now_ms < due)
		return;
	k = due ? (now_ms - due) / interval + 1 : 0;
	if (!atomic_compare_exchange_strong(&c->state->sweep_ms, &due, (due ? due + k * interval : now_ms + interval)) || !k)
		return;
	for (int i = 0; i < s->n; i++)
		if (atomic_load_explicit(&s->entries[i].host->ejections, memory_order_relaxed))
			changed |= sweep_host(c, s->entries[i].host, due, interval, k);
	if (changed)
		atomic_fetch_add(&c->state->changes, 1);
}
