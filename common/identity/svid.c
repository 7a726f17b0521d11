/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/svid.h"

#include <stdatomic.h>
#include <stdlib.h>

static int make_ctx(const struct certset *set, const struct trust *t, bool check_chain, struct tlsctx **ret, struct err *err)
{
	struct tlsctx_conf conf = {
		.cert_chain_pem = secret_str(&set->chain), .key_pem = secret_str(&set->key), .roots_pem = secret_str(&set->roots),
		.more_roots_pem = secret_str(&t->roots), .crl_pem = secret_str(&t->crl), .trust_domains = t->domains,
		.n_trust_domains = t->n_domains, .allow_tls12 = t->allow_tls12, .check_chain = check_chain,
	};

	return tlsctx_new(&conf, ret, err);
}

int svid_new(struct certset *set, const struct trust *trust, bool check_chain, struct svid **ret, struct tlsctx **ret_ctx,
	     struct err *err)
{
	struct tlsctx *ctx;
	struct svid *s;
	int r = make_ctx(set, trust, check_chain, &ctx, err);

	if (r != 0) {
		certset_wipe(set);
		return r;
	}
	s = xcalloc(1, sizeof(*s));
	atomic_init(&s->refs, 1);
	s->set = *set;
	*set = (struct certset){ 0 };
	s->not_before = tlsctx_not_before(ctx);
	s->not_after = tlsctx_not_after(ctx);
	*ret = s;
	*ret_ctx = ctx;
	return 0;
}

struct svid *svid_ref(struct svid *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void svid_unref(struct svid *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	certset_wipe(&s->set);
	free(s);
}

int svid_ctx(const struct svid *s, const struct trust *trust, struct tlsctx **ret, struct err *err)
{
	return make_ctx(&s->set, trust, false, ret, err);
}

static void secret_copy(const struct secret *from, struct secret *ret)
{
	*ret = (struct secret){ from->p ? str_dup(secret_str(from)) : NULL, from->n };
}

struct trust *trust_copy(const struct trust *from)
{
	struct trust *t = xcalloc(1, sizeof(*t));

	atomic_init(&t->refs, 1);
	if (!from)
		return t;
	secret_copy(&from->crl, &t->crl);
	secret_copy(&from->roots, &t->roots);
	trust_set_domains(t, from->domains, from->n_domains);
	t->allow_tls12 = from->allow_tls12;
	return t;
}

static void domains_free(struct trust *t)
{
	for (int n = 0; n < t->n_domains; n++)
		free((char *)t->domains[n].p);
	free(t->domains);
}

void trust_set_domains(struct trust *t, const struct str *domains, int n)
{
	domains_free(t);
	t->domains = xcalloc((size_t)n + 1, sizeof(*t->domains));
	t->n_domains = n;
	for (int k = 0; k < n; k++)
		t->domains[k] = (struct str){ str_dup(domains[k]), domains[k].n };
}

struct trust *trust_ref(struct trust *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void trust_unref(struct trust *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	secret_wipe(&t->crl);
	secret_wipe(&t->roots);
	domains_free(t);
	free(t);
}
