/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <stdlib.h>

/* Linear probing; deletion shifts the following run back, so there are no tombstones. */
static struct map_slot *find(const struct map *m, struct str key, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);

	while (m->slots[i].value && !(m->slots[i].hash == hash && str_eq(m->slots[i].key, key)))
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

void *map_get(const struct map *m, struct str key)
{
	return m->len ? find(m, key, hash_bytes(key.p, key.n))->value : NULL;
}

static void resize(struct map *m, size_t cap)
{
	struct map old = *m;

	m->slots = xcalloc(cap, sizeof(*m->slots));
	m->cap = cap;
	map_each(s, &old)
		*find(m, s->key, s->hash) = *s;
	free(old.slots);
}

void *map_put(struct map *m, struct str key, void *value)
{
	uint64_t hash = hash_bytes(key.p, key.n);
	struct map_slot *s;
	void *old;

	if (m->len * 4 >= m->cap * 3)
		resize(m, m->cap ? m->cap * 2 : 16);
	s = find(m, key, hash);
	old = s->value;
	*s = (struct map_slot){ key, hash, value };
	m->len += !old;
	return old;
}

void *map_del(struct map *m, struct str key)
{
	struct map_slot *s;
	void *old;
	size_t hole, i;

	if (!m->len)
		return NULL;
	s = find(m, key, hash_bytes(key.p, key.n));
	old = s->value;
	if (!old)
		return NULL;
	m->len--;
	hole = i = (size_t)(s - m->slots);
	for (;;) {
		size_t home;

		i = (i + 1) & (m->cap - 1);
		if (!m->slots[i].value)
			break;
		home = m->slots[i].hash & (m->cap - 1);
		if (((i - home) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){ 0 };
	return old;
}

void map_done(struct map *m)
{
	free(m->slots);
	*m = (struct map){ 0 };
}
