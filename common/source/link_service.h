/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOURCE_LINK_SERVICE_H
#define SOURCE_LINK_SERVICE_H

#include "source/link_gateway.h"

/* Fills ret->services, unsorted. ret->workloads is complete. */
void link_services(const struct link_input *in, struct gates *gates, const struct link_set *old, struct link_set *ret);

/* Reports targetRefs that name nothing. `set` is complete. */
void link_targets(const struct link_input *in, const struct link_set *set);

/* --- selectors (link_select.c) --- */
struct select_entry {
	uint64_t hash;           /* of namespace, key, value */
	uint32_t obj;            /* index into the input's objects */
};

struct select {
	const struct link_input *in;
	struct select_entry *v;
	size_t n;
};

void select_init(struct select *s, const struct link_input *in);   /* of all workloads' labels */
/* Calls fn for each workload of the namespace with all these labels, in the order of the input. */
void select_each(const struct select *s, const char *ns, const struct label *selector, int n,
		 void (*fn)(const struct conf_obj *o, void *arg), void *arg);
void select_done(struct select *s);

#endif
