/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets that all threads take from: one atomic word each, which holds when the bucket will be full again. */
#ifndef POLICY_RATEBUCKET_H
#define POLICY_RATEBUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rate_conf {
	uint64_t step_ns;            /* one token comes back in this time */
	uint32_t burst;              /* tokens of a full bucket, at least 1 */
};

/* What is left after it. */
struct rate_left {
	uint32_t remaining;
	uint64_t full_ns;            /* until the bucket is full; when refused: until there is a token */
};

/* Zeroed: a full one. False: it is empty. */
bool ratebucket_take(_Atomic uint64_t *b, const struct rate_conf *c, uint64_t now_ns, struct rate_left *ret);

/* A bucket for each key that is seen, in bounded memory: a key whose bucket is full again gives its place away; keys that find no place
 * share one bucket. */
struct ratetable;
struct ratetable *ratetable_new(uint32_t slots);     /* a power of two; NULL: out of memory */
void ratetable_free(struct ratetable *t);            /* NULL ok */
bool ratetable_take(struct ratetable *t, uint64_t key, const struct rate_conf *c, uint64_t now_ns, struct rate_left *ret);

#endif
