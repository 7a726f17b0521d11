/* SPDX-License-Identifier: Apache-2.0 */
#include "model/endpoints.h"

#include <stdlib.h>

#include "model/object.h"

#define CHUNK_MEAN 96     /* endpoints per slot at which the slots are doubled */

struct endpoint_chunk {
	atomic_uint refs;
	int n;
	struct endpoint v[];
};

/* Most endpoints of a service have the same ports: those of a chunk share them. */
struct ports_block {
	atomic_uint refs;
	struct endpoint_port v[];
};

static uint32_t hash_uid(struct str uid)
{
	return (uint32_t)hash_bytes(uid.p, uid.n);
}

static bool last_ref(atomic_uint *refs)
{
	return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static void hold(atomic_uint *refs)
{
	atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

/* --- ports --- */

static struct ports_block *ports_of(const struct endpoint *e)
{
	return e->n_ports ? container_of(e->ports, struct ports_block, v) : NULL;
}

static void ports_drop(const struct endpoint *e)
{
	struct ports_block *b = ports_of(e);

	if (b && last_ref(&b->refs))
		free(b);
}

static const struct endpoint_port *ports_take(const struct endpoint_chunk *c, const struct endpoint_port *ports, int n)
{
	size_t size = (size_t)n * sizeof(*ports);
	struct ports_block *b;

	if (!n)
		return NULL;
	for (int i = c ? c->n - 1 : -1; i >= 0 && i >= c->n - 4; i--) {
		if (c->v[i].n_ports == n && memcmp(c->v[i].ports, ports, size) == 0) {
			hold(&ports_of(&c->v[i])->refs);
			return c->v[i].ports;
		}
	}
	b = xmalloc(sizeof(*b) + size);
	atomic_init(&b->refs, 1);
	memcpy(b->v, ports, size);
	return b->v;
}

/* --- chunks --- */

static size_t chunk_size(int n)
{
	return sizeof(struct endpoint_chunk) + (size_t)n * sizeof(struct endpoint);
}

static void endpoint_drop(const struct endpoint *e)
{
	ports_drop(e);
	workload_unref(e->workload);
}

static void chunk_unref(struct endpoint_chunk *c)
{
	if (!c || !last_ref(&c->refs))
		return;
	for (int i = 0; i < c->n; i++)
		endpoint_drop(&c->v[i]);
	free(c);
}

/* Makes *at a chunk that only this version sees, with room for one more. */
static void chunk_own(struct endpoint_chunk **at)
{
	struct endpoint_chunk *old = *at, *c;
	int n = old ? old->n : 0;

	if (old && atomic_load_explicit(&old->refs, memory_order_acquire) == 1) {
		*at = xrealloc(old, chunk_size(n + 1));
		return;
	}
	c = xmalloc(chunk_size(n + 1));
	atomic_init(&c->refs, 1);
	c->n = n;
	for (int i = 0; i < n; i++) {
		struct ports_block *b = ports_of(&old->v[i]);

		c->v[i] = old->v[i];
		workload_ref(c->v[i].workload);
		if (b)
			hold(&b->refs);
	}
	*at = c;
	chunk_unref(old);
}

static int chunk_find(const struct endpoint_chunk *c, uint32_t hash, struct str uid)
{
	for (int i = 0; c && i < c->n; i++)
		if (c->v[i].hash == hash && str_is(uid, c->v[i].workload->uid))
			return i;
	return -1;
}

static uint32_t chunk_weight(const struct endpoint_chunk *c)
{
	uint32_t max = 0;

	for (int i = 0; c && i < c->n; i++)
		if (c->v[i].workload->weight > max)
			max = c->v[i].workload->weight;
	return max;
}

/* --- the set --- */

static struct endpoints *set_new(uint32_t n_slots)
{
	struct endpoints *e = xcalloc(1, sizeof(*e) + n_slots * sizeof(e->slots[0]));

	atomic_init(&e->refs, 1);
	e->n_slots = n_slots;
	e->max_weight = 1;
	return e;
}

struct endpoints *endpoints_new(void)
{
	return set_new(1);
}

struct endpoints *endpoints_ref(struct endpoints *e)
{
	hold(&e->refs);
	return e;
}

void endpoints_unref(struct endpoints *e)
{
	if (!e || !last_ref(&e->refs))
		return;
	for (uint32_t i = 0; i < e->n_slots; i++)
		chunk_unref(e->slots[i].chunk);
	free(e);
}

static struct endpoints *set_own(struct endpoints **at)
{
	struct endpoints *old = *at, *e;

	if (atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
		return old;
	e = set_new(old->n_slots);
	e->n = old->n;
	e->max_weight = old->max_weight;
	memcpy(e->slots, old->slots, old->n_slots * sizeof(e->slots[0]));
	for (uint32_t i = 0; i < e->n_slots; i++)
		if (e->slots[i].chunk)
			hold(&e->slots[i].chunk->refs);
	endpoints_unref(old);
	return *at = e;
}

static struct endpoint_slot *slot_of(struct endpoints *e, uint32_t hash)
{
	return &e->slots[hash & (e->n_slots - 1)];
}

/* Each slot's endpoints are shared out to it and to the one that doubling gives it. */
static struct endpoints *set_double(struct endpoints *e)
{
	struct endpoints *twice = set_new(e->n_slots * 2);

	for (uint32_t i = 0; i < e->n_slots; i++) {
		struct endpoint_chunk *c = e->slots[i].chunk;

		for (int k = 0; c && k < c->n; k++) {
			struct endpoint_slot *s = slot_of(twice, c->v[k].hash);
			struct endpoint *to;

			chunk_own(&s->chunk);
			to = &s->chunk->v[s->chunk->n];
			*to = c->v[k];
			to->ports = ports_take(s->chunk, c->v[k].ports, c->v[k].n_ports);
			workload_ref(to->workload);
			s->chunk->n++;
		}
	}
	twice->n = e->n;
	for (uint32_t i = 0, before = 0; i < twice->n_slots; i++) {
		struct endpoint_slot *s = &twice->slots[i];

		s->before = (int)before;
		s->max_weight = chunk_weight(s->chunk);
		before += s->chunk ? (uint32_t)s->chunk->n : 0;
	}
	twice->max_weight = e->max_weight;
	endpoints_unref(e);
	return twice;
}

/* After slot s changed by n endpoints. */
static void set_count(struct endpoints *e, struct endpoint_slot *s, int n)
{
	e->n += n;
	while (++s < e->slots + e->n_slots)
		s->before += n;
}

static void weight_came(struct endpoints *e, struct endpoint_slot *s, uint32_t weight)
{
	if (weight > s->max_weight)
		s->max_weight = weight;
	if (weight > e->max_weight)
		e->max_weight = weight;
}

static void weight_went(struct endpoints *e, struct endpoint_slot *s, uint32_t weight)
{
	if (weight <= 1 || weight < s->max_weight)
		return;
	s->max_weight = chunk_weight(s->chunk);
	e->max_weight = 1;
	for (uint32_t i = 0; i < e->n_slots; i++)
		if (e->slots[i].max_weight > e->max_weight)
			e->max_weight = e->slots[i].max_weight;
}

void endpoints_put(struct endpoints **at, struct workload *w, const struct endpoint_port *ports, int n_ports)
{
	struct endpoints *e = set_own(at);
	uint32_t hash = hash_uid(str_c(w->uid));
	struct endpoint_slot *s = slot_of(e, hash);
	struct endpoint new = { workload_ref(w), ports_take(s->chunk, ports, n_ports), n_ports, hash };
	int i = chunk_find(s->chunk, hash, str_c(w->uid));

	chunk_own(&s->chunk);
	weight_came(e, s, w->weight);
	if (i >= 0) {
		struct endpoint old = s->chunk->v[i];

		s->chunk->v[i] = new;
		weight_went(e, s, old.workload->weight);
		endpoint_drop(&old);
		return;
	}
	s->chunk->v[s->chunk->n++] = new;
	set_count(e, s, 1);
	if (e->n > (int)e->n_slots * CHUNK_MEAN)
		*at = set_double(e);
}

bool endpoints_del(struct endpoints **at, struct str uid)
{
	uint32_t hash = hash_uid(uid);
	int i = chunk_find(slot_of(*at, hash)->chunk, hash, uid);
	struct endpoint_slot *s;
	struct endpoint old;

	if (i < 0)
		return false;
	s = slot_of(set_own(at), hash);
	chunk_own(&s->chunk);
	old = s->chunk->v[i];
	memmove(&s->chunk->v[i], &s->chunk->v[i + 1], (size_t)(--s->chunk->n - i) * sizeof(old));
	set_count(*at, s, -1);
	weight_went(*at, s, old.workload->weight);
	endpoint_drop(&old);
	return true;
}

struct endpoints *endpoints_of(const struct endpoint *v, int n)
{
	struct endpoints *e = endpoints_new();

	for (int i = 0; i < n; i++)
		endpoints_put(&e, v[i].workload, v[i].ports, v[i].n_ports);
	return e;
}

/* --- readers --- */

const struct endpoint *endpoints_at(const struct endpoints *e, int i)
{
	uint32_t low = 0, high = e->n_slots;

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (e->slots[mid].before <= i)
			low = mid;
		else
			high = mid;
	}
	return &e->slots[low].chunk->v[i - e->slots[low].before];
}

const struct endpoint *endpoints_find(const struct endpoints *e, struct str uid)
{
	uint32_t hash = hash_uid(uid);
	const struct endpoint_chunk *c = e->slots[hash & (e->n_slots - 1)].chunk;
	int i = chunk_find(c, hash, uid);

	return i < 0 ? NULL : &c->v[i];
}

uint16_t endpoint_target(const struct endpoint *e, uint16_t port)
{
	for (int i = 0; i < e->n_ports; i++)
		if (e->ports[i].port == port)
			return e->ports[i].target;
	return 0;
}
