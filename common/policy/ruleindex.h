/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of many policies in order, found by what they demand exactly: each rule that needs one of some ports, namespaces, accounts,
 * principals, hosts, paths or beginnings of paths stands under these; the others are tried each time. So the cost of a judgement
 * hardly grows with the number of rules. */
#ifndef POLICY_RULEINDEX_H
#define POLICY_RULEINDEX_H

#include "policy/rulebook.h"

enum key_kind { KEY_PORT, KEY_NS, KEY_PRINCIPAL, KEY_ACCOUNT, KEY_HOST, KEY_PATH, KEY_PATH_PREFIX };
static inline uint64_t key_of(enum key_kind kind, uint64_t hash)
{
	return (hash ^ ((uint64_t)kind + 1) * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu | 1;     /* never 0 */
}

struct rule_ref { uint32_t policy, rule; };

struct ruleindex {
	const struct rulebook **books;       /* by policy; borrowed */
	struct rule_ref *refs;               /* all rules in order */
	int n_refs, n_books;
	struct key_slot { uint64_t key; uint32_t first, n; } *slots;   /* key 0: free */
	uint32_t mask;                       /* slots - 1; no slots: nothing is keyed */
	uint32_t *lists;                     /* of rules (into refs), ascending, by slot */
	uint32_t *always;
	int n_always;
	uint16_t lengths[32];                /* of the beginnings of paths */
	int n_lengths;
};

/* False: memory is out. books are borrowed, and copied as a list. */
bool ruleindex_init(struct ruleindex *x, const struct rulebook *const *books, int n);
void ruleindex_done(struct ruleindex *x);
/* The first rule that matches; NULL: none. */
const struct rule_ref *ruleindex_find(const struct ruleindex *x, struct subject *s);

#endif
