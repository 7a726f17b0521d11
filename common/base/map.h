/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map from bytes to pointers, for one thread. Keys are borrowed: they must live as long as their entry
 * (normally they lie in the value). */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map_slot {
	struct str key;
	uint64_t hash;
	void *value;     /* NULL: the slot is free */
};

struct map {
	struct map_slot *slots;
	size_t cap;      /* power of two, or 0 */
	size_t len;
};

void *map_get(const struct map *m, struct str key);
/* Replaces; returns the value that was there, or NULL. value must not be NULL. Exits when memory is out. */
void *map_put(struct map *m, struct str key, void *value);
void *map_del(struct map *m, struct str key);
void map_done(struct map *m);

#define map_each(slot, m) \
	for (struct map_slot *slot = (m)->slots; slot && slot < (m)->slots + (m)->cap; slot++) \
		if (slot->value)

#endif
