/* SPDX-License-Identifier: Apache-2.0 */
/* One identity: gets its certificate, renews it in time, and tries again when that fails. */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "identity/identity_int.h"

#define BACKOFF_MAX_S  150
#define NAP_MAX_S      3600     /* timers sleep with the machine; so the wall clock is looked at once an hour */

static const char *time_text(int64_t at, char text[32])
{
	time_t t = (time_t)at;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return text;
}

/* n spread evenly over n ± percent, so that a fleet does not act at once. */
static int64_t jitter(int64_t n, int percent)
{
	int64_t span = n * percent * 2 / 100 + 1;
	uint32_t random = 0;

	RAND_bytes((unsigned char *)&random, sizeof(random));
	return n - span / 2 + (int64_t)random % span;
}

static void schedule(struct entry *e, int64_t due)
{
	int64_t now = time(NULL), nap;

	e->due = due > now ? due : now + 1;
	nap = e->due - now;
	timer_start(&e->timer, (uint64_t)(nap < NAP_MAX_S ? nap : NAP_MAX_S) * 1000);
}

/* Workers see the new one at once; connections made with the old one keep it alive. Takes svid and ctx over. */
static void swap(struct entry *e, struct svid *svid, struct tlsctx *ctx)
{
	struct identity *i = e->owner;
	struct tlsctx *old = e->ctx;
	struct svid *old_svid = e->svid;

	pthread_mutex_lock(&i->lock);
	e->svid = svid;
	e->ctx = ctx;
	e->failed &= !svid;
	pthread_mutex_unlock(&i->lock);
	if (i->ops.on_change)
		i->ops.on_change(i, str_c(e->id), old, i->arg);
	tlsctx_unref(old);
	svid_unref(old_svid);
}

static int64_t valid_until(const struct entry *e)
{
	return e->svid ? e->svid->not_after : 0;
}

static void lose(struct entry *e)
{
	if (e->owner->fetcher)
		identity_swap_roots(e->owner, secret_str(&e->svid->set.roots), (struct str){ 0 });
	swap(e, NULL, NULL);
}

static void failed(struct entry *e, const struct err *err)
{
	struct identity *i = e->owner;
	int64_t now = time(NULL), until = valid_until(e), due;
	bool told = e->backoff_s > 0 && strcmp(e->err.msg, err->msg) == 0 && !(e->svid && until <= now);
	bool first = !e->svid && !e->failed;
	char at[32];

	pthread_mutex_lock(&i->lock);
	e->err = *err;
	e->failed = true;
	pthread_mutex_unlock(&i->lock);
	e->backoff_s = e->backoff_s == 0 ? 1 : e->backoff_s * 2 < BACKOFF_MAX_S ? e->backoff_s * 2 : BACKOFF_MAX_S;
	due = now + jitter(e->backoff_s, 20);
	schedule(e, until > now && until < due ? until : due);
	if (told)
		log_debug(LOG_IDENTITY, "still no new certificate for %s: %s", e->id, err->msg);
	else if (until > now)
		log_warn(LOG_IDENTITY, "the certificate of %s was not replaced, the one from before is used until %s: %s", e->id,
			 time_text(until, at), err->msg);
	else
		log_warn(LOG_IDENTITY, "there is no certificate for %s: %s", e->id, err->msg);
	if (e->svid && until <= now)
		lose(e);
	else if (first && i->fetcher && i->ops.on_failed)
		i->ops.on_failed(i, str_c(e->id), i->arg);
}

/* Certificates come from elsewhere: right owner, right time? */
static int check(const struct entry *e, const struct tlsctx *ctx, struct err *err)
{
	const struct identity *i = e->owner;
	int64_t now = time(NULL);
	char at[32];

	if (!str_is(tlsctx_identity(ctx), e->id) && i->fetcher)
		return err_set(err, -EACCES, "%s signed for %.*s, but wanted is %s; a node's proxy must be listed in the CA's "
			       "CA_TRUSTED_NODE_ACCOUNTS, any other one's token must be of the workload that it serves",
			       i->ca_ops->name(i->ca_arg), STR_FMT(tlsctx_identity(ctx)), e->id);
	if (!str_is(tlsctx_identity(ctx), e->id))
		return err_set(err, -EINVAL, "%s is for %.*s, but wanted is %s; "
			       "give the certificate of that identity, or correct serviceAccount in the WorkloadEntry",
			       i->cert_file, STR_FMT(tlsctx_identity(ctx)), e->id);
	if (i->fetcher)
		return 0;       /* the chain was checked */
	if (tlsctx_not_after(ctx) <= now)
		return err_set(err, -EINVAL, "the certificate in %s expired at %s; renew it", i->cert_file,
			       time_text(tlsctx_not_after(ctx), at));
	if (tlsctx_not_before(ctx) > now)
		return err_set(err, -EINVAL, "the certificate in %s is valid only from %s on; check the clock", i->cert_file,
			       time_text(tlsctx_not_before(ctx), at));
	return 0;
}

/* Takes set over. hash: of the files. */
static int take(struct entry *e, struct certset *set, uint64_t hash, struct err *err)
{
	struct identity *i = e->owner;
	struct tlsctx *ctx;
	struct svid *svid;
	int64_t now = time(NULL);
	struct err why;
	int r = svid_new(set, i->trust, i->fetcher != NULL, &svid, &ctx, &why);

	if (r != 0 && i->fetcher)
		return err_set(err, r, "%s sent what cannot be used: %s; is it an Istio CA, and do its clock and ours agree?",
			       i->ca_ops->name(i->ca_arg), why.msg);
	if (r != 0)
		return i->ca ? err_set(err, r, "%s", why.msg) :
			err_set(err, r, "%s, %s and %s: %s; wanted are a PEM chain, its key and the roots, complete and belonging together",
				i->cert_file, i->key_file, i->root_file, why.msg);
	if (!i->ca && (r = check(e, ctx, err)) != 0) {
		tlsctx_unref(ctx);
		svid_unref(svid);
		return r;
	}
	e->files_hash = hash;
	e->backoff_s = 0;
	schedule(e, i->ca || i->fetcher ? now + jitter((svid->not_after - now) / 2, 10) : svid->not_after);
	if (i->fetcher && e->svid && !str_eq(secret_str(&e->svid->set.roots), secret_str(&svid->set.roots)))
		log_info(LOG_IDENTITY, "%s names other roots than before for %s; the old ones stay trusted until no certificate of ours brings them",
			 i->ca_ops->name(i->ca_arg), e->id);
	/* Contexts are only for identities that traffic uses, and ctx knows the trust from before. */
	if ((i->fetcher && identity_swap_roots(i, e->svid ? secret_str(&e->svid->set.roots) : (struct str){ 0 }, secret_str(&svid->set.roots))) ||
	    !e->ctx) {
		tlsctx_unref(ctx);
		ctx = NULL;
	}
	swap(e, svid, ctx);
	return 0;
}

static void on_fetched(struct fetch *f, struct certset *set, const struct err *err)
{
	struct entry *e = container_of(f, struct entry, fetch);
	struct err why;

	if (!set)
		failed(e, err);
	else if (take(e, set, 0, &why) != 0)
		failed(e, &why);
	else
		log_debug(LOG_IDENTITY, "%s has a certificate for %lld s", e->id, (long long)(e->svid->not_after - time(NULL)));
}

static void ask(struct entry *e)
{
	int64_t now = time(NULL), until = valid_until(e);

	if (!fetch_busy(&e->fetch))
		fetch_start(e->owner->fetcher, &e->fetch, str_c(e->id), IDENTITY_BACKGROUND, on_fetched);
	if (until <= now)
		fetch_hurry(&e->fetch, e->priority);
	if (until > now)
		schedule(e, until);
	else
		timer_stop(&e->timer);
}

static int read_files(const struct identity *i, struct certset *ret, uint64_t *ret_hash, struct err *err)
{
	struct certset set = { 0 };
	int r;

	if ((r = secret_read(i->cert_file, &set.chain, err)) != 0 || (r = secret_read(i->key_file, &set.key, err)) != 0 ||
	    (r = secret_read(i->root_file, &set.roots, err)) != 0) {
		certset_wipe(&set);
		return r;
	}
	*ret_hash = hash_bytes(set.chain.p, set.chain.n) ^ hash_bytes(set.key.p, set.key.n) * 3 ^
		    hash_bytes(set.roots.p, set.roots.n) * 5;
	*ret = set;
	return 0;
}

int entry_refresh(struct entry *e, struct err *err)
{
	struct identity *i = e->owner;
	struct certset set;
	uint64_t hash = 0;
	struct err why;
	int r;

	if (i->fetcher) {
		ask(e);
		return 0;
	}
	r = i->ca ? localca_sign(i->ca, str_c(e->id), i->ttl_s, &set, &why) : read_files(i, &set, &hash, &why);
	if (r == 0 && !i->ca && e->svid && hash == e->files_hash && valid_until(e) > time(NULL)) {
		certset_wipe(&set);
		e->backoff_s = 0;
		schedule(e, valid_until(e));
		return 0;
	}
	if (r == 0)
		r = take(e, &set, hash, &why);
	if (r != 0) {
		failed(e, &why);
		return err_set(err, r, "%s", why.msg);
	}
	return 0;
}

static void on_timer(struct timer *t)
{
	struct entry *e = container_of(t, struct entry, timer);
	char at[32];

	if (time(NULL) < e->due) {
		schedule(e, e->due);
		return;
	}
	if (fetch_busy(&e->fetch) && e->svid && valid_until(e) <= time(NULL)) {
		log_warn(LOG_IDENTITY, "the certificate of %s expired at %s, and %s has not answered yet", e->id,
			 time_text(valid_until(e), at), e->owner->ca_ops->name(e->owner->ca_arg));
		lose(e);
	}
	entry_refresh(e, NULL);
}

struct entry *entry_new(struct identity *i, struct str id, enum identity_priority priority)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	e->owner = i;
	e->id = str_dup(id);
	e->wanted = 1;
	e->priority = priority;
	timer_init(&e->timer, i->loop, on_timer);
	return e;
}

void entry_drop_ctx(struct entry *e)
{
	struct identity *i = e->owner;
	struct tlsctx *old;

	pthread_mutex_lock(&i->lock);
	old = e->ctx;
	e->ctx = NULL;
	pthread_mutex_unlock(&i->lock);
	if (old && i->ops.on_change)
		i->ops.on_change(i, str_c(e->id), old, i->arg);
	tlsctx_unref(old);
}

void entry_free(struct entry *e)
{
	fetch_cancel(&e->fetch);
	timer_stop(&e->timer);
	tlsctx_unref(e->ctx);
	svid_unref(e->svid);
	free(e->id);
	free(e);
}
