/* SPDX-License-Identifier: Apache-2.0 */
/* Does a text meet one of many string matches? Exact ones are hashed; prefixes, suffixes and others are tried in turn. */
#ifndef POLICY_STRSET_H
#define POLICY_STRSET_H

#include "model/object.h"

struct strset_slot {
	uint64_t hash;
	const struct match *m;        /* NULL: free */
};

struct strset {
	struct strset_slot *slots;    /* borrowed; NULL: no exact match */
	uint32_t mask;                /* slots - 1 */
	int n_patterns;
	const struct match **patterns;   /* borrowed: those that are not exact */
};

/* Room that strset_init wants. */
int strset_slots(int n_exact);
int strset_patterns(const struct match *m, int n);   /* those that are not exact */
/* hash: of an exact match's text, as strset_has will be asked for it. slots: zeroed. All must outlive the set. */
void strset_init(struct strset *s, const struct match *m, int n, uint64_t (*hash)(struct str text),
		 struct strset_slot *slots, const struct match **patterns);
/* Asks fits about the exact matches of this hash and about each pattern. */
bool strset_has(const struct strset *s, uint64_t hash, bool (*fits)(const struct match *m, const void *arg), const void *arg);

/* The plain meaning of a match. */
bool match_fits(const struct match *m, struct str text);
bool match_fits_nocase(const struct match *m, struct str text);
/* A namespace in a sidecar: "/ns/", the text with its stars, and "/", anywhere in the identity. */
bool match_glob(const char *text, struct str identity);
/* A path template. any: of whatever characters; else of those that Envoy knows (no '[' and ']'). */
bool match_template(const char *text, struct str path, bool any);

#endif
