/* SPDX-License-Identifier: Apache-2.0 */
/* What both readings of AuthorizationPolicy convert alike. */
#ifndef SOURCE_CONF_AUTHZ_INT_H
#define SOURCE_CONF_AUTHZ_INT_H

#include "source/conf.h"

struct conv {
	struct conf_load *l;
	struct field_walk *w;
	const struct crd_meta *m;
	bool deny, strict;
	bool closed;                 /* what cannot be evaluated refuses */
	char http[160];              /* HTTP-only attributes of the present rule */
	bool trust_domains;          /* the rule names some, and they are dropped */
	bool dead;                   /* a clause of the rule can never match */
};

void *conv_array(struct conv *c, size_t n, size_t size);     /* NULL when n is 0 */
void conv_check_strings(struct conv *c, const char *field, const struct field_strings *v);
void conv_matches(struct conv *c, const char *field, const struct field_strings *v, const struct match **ret, int *n);
void conv_cidrs(struct conv *c, const char *field, const struct field_strings *v, const struct cidr **ret, int *n);
void conv_ports(struct conv *c, const char *field, const struct field_strings *v, const uint16_t **ret, int *n);
void conv_accounts(struct conv *c, const char *field, const struct field_strings *v, const struct ns_sa **ret, int *n);

#endif
