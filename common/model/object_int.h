/* SPDX-License-Identifier: Apache-2.0 */
/* What objects are packed of, for the files that define them. */
#ifndef MODEL_OBJECT_INT_H
#define MODEL_OBJECT_INT_H

#include "model/security.h"
#include "model/pack.h"

/* Makes FROM's copy: FN is run twice, first to measure. */
#define PACK_NEW(fn, from, ret) \
	do { \
		struct pack pack_; \
		pack_init(&pack_); \
		fn(&pack_, from); \
		pack_start(&pack_); \
		(ret) = fn(&pack_, from); \
		pack_done(&pack_); \
	} while (0)

bool object_last_ref(atomic_uint *refs);
const struct label *pack_labels(struct pack *p, const struct label *from, int n);   /* sorted by key */
const struct ext_provider *pack_providers(struct pack *p, const struct ext_provider *from, int n);
const struct target_ref *pack_targets(struct pack *p, const struct target_ref *from, int n);
const struct match *pack_texts(struct pack *p, const struct match *from, int n);
const struct policy_rule *pack_rules(struct pack *p, const struct policy_rule *from, int n);

#endif
