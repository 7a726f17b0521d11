/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of one policy, compiled: what a clause demands becomes a list of checks over sets. */
#ifndef POLICY_RULEBOOK_H
#define POLICY_RULEBOOK_H

#include "policy/subject.h"

/* What the rules are for. A whole policy has a book for each of the last two. */
enum rule_view {
	VIEW_ZTUNNEL,                /* connections; the rules are as ztunnel has them, and a match without demands never matches */
	VIEW_BYTES,                  /* connections of a sidecar: an ALLOW rule with anything of HTTP is dead, others lose just that */
	VIEW_REQUESTS,
};

struct rulebook;

/* NULL when memory is out. Borrows the texts of rules. */
struct rulebook *rulebook_new(const struct policy_rule *rules, int n, enum policy_action action, enum rule_view view);
void rulebook_free(struct rulebook *b);
int rulebook_len(const struct rulebook *b);
/* The first rule that matches, or -1. */
int rulebook_judge(const struct rulebook *b, struct subject *s);
bool rulebook_rule_met(const struct rulebook *b, int rule, struct subject *s);
/* The hashes (ruleindex.h) without one of which the rule cannot match. False: there is no such set. put may be called before that is known. */
bool rulebook_keys(const struct rulebook *b, int rule, void (*put)(uint64_t key, size_t prefix, void *arg), void *arg);

#endif
