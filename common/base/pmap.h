/* SPDX-License-Identifier: Apache-2.0 */
/* A persistent multimap from 64-bit hashes to pointers: a hash array mapped trie. pmap_ref makes a second version in O(1)
 * that shares all nodes; an edit copies the shared nodes on its path and changes unshared ones in place. Keys are the
 * caller's business: he hashes them, and compares each value of the run that pmap_find returns.
 * All versions that share nodes are edited and freed by one thread; any thread may read a version that nobody edits.
 * Exits when memory is out. */
#ifndef BASE_PMAP_H
#define BASE_PMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How nodes hold their values. NULL instead of this: values are borrowed. */
struct pmap_values {
	void (*ref)(void *value);
	void (*unref)(void *value);
};

struct pmap {
	struct pmap_node *root;              /* shared; NULL when empty */
	size_t len;
	const struct pmap_values *values;
};

struct pmap_run {
	void *const *values;                 /* borrowed from the map, until its next edit */
	int n;
};

struct pmap pmap_ref(const struct pmap *m);
void pmap_done(struct pmap *m);
/* Takes over one reference to value. Values with the same hash stand beside each other, in no order. */
void pmap_add(struct pmap *m, uint64_t hash, void *value);
/* Removes this very pointer, and its reference. False when it is not there. */
bool pmap_del(struct pmap *m, uint64_t hash, const void *value);
struct pmap_run pmap_find(const struct pmap *m, uint64_t hash);
/* In no particular order. False when fn returned false, which ends it. */
bool pmap_each(const struct pmap *m, bool (*fn)(void *value, void *arg), void *arg);

#endif
