/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of one policy, compiled: what a clause demands becomes a list of checks over sets. */
#ifndef POLICY_RULEBOOK_H
#define POLICY_RULEBOOK_H

#include "policy/authz.h"

/* A necessary condition, as a Bloom filter over exact ports, namespaces, principals and accounts: without one of these
 * keys no rule can match. Rules that demand none of them exactly set all bits. */
struct rule_keys {
	uint64_t bits[4];
};

/* A connection, prepared for many rulebooks. */
struct subject {
	const struct authz_input *in;
	struct str principal;        /* without scheme; empty: not authenticated */
	struct str tail;             /* of the principal, after its trust domain and '/' */
	struct str ns, account;      /* account: "NS/sa/SA", the end of the principal; empty when it is not of Istio's form */
	uint64_t tail_hash, ns_hash, account_hash;
	uint8_t keys[4];             /* its bits in a rule_keys */
	const struct mesh_settings *aliases;   /* not NULL: the trust domain is one of these, which all mean the same */
};

struct rulebook;

/* NULL when memory is out. Borrows the texts of p. */
struct rulebook *rulebook_new(const struct policy *p);
void rulebook_free(void *b);
/* The first rule that matches, or -1. */
int rulebook_judge(const struct rulebook *b, const struct subject *s);

const struct rule_keys *rulebook_keys(const struct rulebook *b);

/* Borrows all. */
void subject_init(struct subject *s, const struct authz_input *in, const struct mesh_settings *settings);


static inline bool subject_has_key(const struct subject *s, const struct rule_keys *k)
{
	for (int i = 0; i < 4; i++)
		if (k->bits[s->keys[i] / 64] >> s->keys[i] % 64 & 1)
			return true;
	return false;
}

#endif
