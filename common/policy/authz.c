/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "policy/scope.h"

int authz_compile(struct policy *p)
{
	struct rulebook *b = rulebook_new(p);

	if (!b)
		return -ENOMEM;
	if (p->compiled_free)
		p->compiled_free(p->compiled);
	p->compiled = b;
	p->compiled_free = rulebook_free;
	return 0;
}

static struct authz_verdict refuse(struct policy *p, const char *rule, int rule_index)
{
	return (struct authz_verdict){ false, p, rule, rule_index };
}

static struct authz_verdict allow(struct policy *p, const char *rule, int rule_index)
{
	return (struct authz_verdict){ true, p, rule, rule_index };
}

struct authz_verdict authz_judge(const struct mesh *m, const struct workload *dest, const struct authz_input *in,
				 void (*on_dry_run)(struct policy *p, const struct authz_input *in, void *arg), void *arg)
{
	const struct scope *s = scope_of(m, dest);
	struct peer_authn *pa;
	enum mtls_mode mode;
	struct subject who;
	int i = 0, rule;

	if (!s)
		return refuse(NULL, "out of memory", -1);
	if (s->broken)
		return refuse(s->broken, "the policy could not be loaded", -1);
	pa = scope_peer_authn(s, in->dest.port, &mode);
	if (pa && (pa->broken || (mode == MTLS_STRICT && in->principal.n == 0)))
		return refuse(NULL, pa->refusal, -1);
	subject_init(&who, in, mesh_settings(m));
	for (; i < s->n_dry_run; i++)
		if (on_dry_run && scope_judge(s, i, &who) >= 0)
			on_dry_run(s->policies[i].policy, in, arg);
	for (; i < s->n_dry_run + s->n_deny; i++)
		if ((rule = scope_judge(s, i, &who)) >= 0)
			return refuse(s->policies[i].policy, "deny policy matched", rule);
	if (i == s->n)
		return allow(NULL, "no allow policy in scope", -1);
	for (; i < s->n; i++)
		if ((rule = scope_judge(s, i, &who)) >= 0)
			return allow(s->policies[i].policy, "allow policy matched", rule);
	return refuse(NULL, "no allow policy matched", -1);
}
