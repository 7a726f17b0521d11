/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/identity.h"

#include <errno.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/map.h"
#include "identity/certdump.h"
#include "identity/localca.h"
#include "io/watch.h"

#define WATCH_QUIET_MS 250
#define BACKOFF_MAX_S  150
#define NAP_MAX_S      3600     /* timers sleep with the machine; so the wall clock is looked at once an hour */
#define CA_WARN_S      (30 * 86400)

struct entry {
	struct identity *owner;
	char *id;
	unsigned wanted;              /* identity_want minus identity_forget */
	struct tlsctx *ctx;           /* reference; NULL: none now. Written under the lock */
	struct secret chain, roots;   /* for the dump */
	uint64_t files_hash;          /* of the files that ctx was made from */
	struct timer timer;
	int64_t due;                  /* Unix seconds: when to renew or try again */
	unsigned backoff_s;           /* 0: the last try went well */
	struct err err;               /* of the last try */
};

struct identity {
	struct loop *loop;
	struct identity_ops ops;
	void *arg;
	struct localca *ca;           /* NULL: files */
	char *cert_file, *key_file, *root_file, *crl_file;
	struct secret crl;            /* the last good one */
	struct str *domains;          /* owned, the texts too */
	int n_domains;
	int64_t ttl_s;
	bool allow_tls12;
	struct watch *watch;
	pthread_mutex_t lock;         /* entries against identity_get from workers */
	struct map entries;
};

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

static void entry_schedule(struct entry *e, int64_t due)
{
	int64_t now = time(NULL), nap;

	e->due = due > now ? due : now + 1;
	nap = e->due - now;
	timer_start(&e->timer, (uint64_t)(nap < NAP_MAX_S ? nap : NAP_MAX_S) * 1000);
}

/* Workers see the new one at once; connections made with the old one keep it alive. */
static void entry_swap(struct entry *e, struct tlsctx *ctx)
{
	struct identity *i = e->owner;
	struct tlsctx *old = e->ctx;

	pthread_mutex_lock(&i->lock);
	e->ctx = ctx;
	pthread_mutex_unlock(&i->lock);
	if (i->ops.on_change)
		i->ops.on_change(i, str_c(e->id), old, i->arg);
	tlsctx_unref(old);
}

static int obtain(struct entry *e, struct certset *ret, struct err *err)
{
	struct identity *i = e->owner;
	struct certset set = { 0 };
	int r;

	if (i->ca)
		return localca_sign(i->ca, str_c(e->id), i->ttl_s, ret, err);
	if ((r = secret_read(i->cert_file, &set.chain, err)) != 0 || (r = secret_read(i->key_file, &set.key, err)) != 0 ||
	    (r = secret_read(i->root_file, &set.roots, err)) != 0) {
		certset_wipe(&set);
		return r;
	}
	*ret = set;
	return 0;
}

/* Files come from elsewhere: right owner, right time? */
static int check_files(const struct entry *e, const struct tlsctx *ctx, struct err *err)
{
	int64_t now = time(NULL);
	char at[32];

	if (!str_is(tlsctx_identity(ctx), e->id))
		return err_set(err, -EINVAL, "%s is for %.*s, but wanted is %s; "
			       "give the certificate of that identity, or correct serviceAccount in the WorkloadEntry",
			       e->owner->cert_file, STR_FMT(tlsctx_identity(ctx)), e->id);
	if (tlsctx_not_after(ctx) <= now)
		return err_set(err, -EINVAL, "the certificate in %s expired at %s; renew it",
			       e->owner->cert_file,
			       time_text(tlsctx_not_after(ctx), at));
	if (tlsctx_not_before(ctx) > now)
		return err_set(err, -EINVAL, "the certificate in %s is valid only from %s on; check the clock",
			       e->owner->cert_file,
			       time_text(tlsctx_not_before(ctx), at));
	return 0;
}

static int make_ctx(struct entry *e, const struct certset *set, struct tlsctx **ret, struct err *err)
{
	struct identity *i = e->owner;
	struct tlsctx_conf conf = {
		.cert_chain_pem = secret_str(&set->chain), .key_pem = secret_str(&set->key),
		.roots_pem = secret_str(&set->roots), .crl_pem = secret_str(&i->crl),
		.trust_domains = i->domains, .n_trust_domains = i->n_domains, .allow_tls12 = i->allow_tls12,
	};
	struct tlsctx *ctx;
	struct err why;
	int r = tlsctx_new(&conf, &ctx, &why);

	if (r != 0)
		return i->ca ? err_set(err, r, "%s", why.msg) :
			err_set(err, r, "%s, %s and %s: %s; "
				"wanted are a PEM chain, its key and the roots, complete and belonging together",
				i->cert_file, i->key_file, i->root_file, why.msg);
	if (!i->ca && (r = check_files(e, ctx, err)) != 0) {
		tlsctx_unref(ctx);
		return r;
	}
	*ret = ctx;
	return 0;
}

static void entry_failed(struct entry *e, const struct err *err)
{
	int64_t now = time(NULL), until = e->ctx ? tlsctx_not_after(e->ctx) : 0, due;
	bool told = e->backoff_s > 0 && strcmp(e->err.msg, err->msg) == 0 && !(e->ctx && until <= now);
	char at[32];

	pthread_mutex_lock(&e->owner->lock);
	e->err = *err;
	pthread_mutex_unlock(&e->owner->lock);
	e->backoff_s = e->backoff_s == 0 ? 1 : e->backoff_s * 2 < BACKOFF_MAX_S ? e->backoff_s * 2 : BACKOFF_MAX_S;
	due = now + jitter(e->backoff_s, 20);
	entry_schedule(e, until > now && until < due ? until : due);
	if (told)
		log_debug(LOG_IDENTITY, "still no new certificate for %s: %s", e->id, err->msg);
	else if (until > now)
		log_warn(LOG_IDENTITY, "the certificate of %s was not replaced, the one from before is used until %s: %s", e->id,
			 time_text(until, at), err->msg);
	else
		log_warn(LOG_IDENTITY, "there is no certificate for %s: %s", e->id, err->msg);
	if (e->ctx && until <= now)
		entry_swap(e, NULL);
}

/* A new certificate, unless the files are as they were. force: the CRL or the trust domains changed. */
static int entry_refresh(struct entry *e, bool force, struct err *err)
{
	struct certset set = { 0 };
	struct tlsctx *ctx = NULL;
	int64_t now = time(NULL), until;
	uint64_t hash = 0;
	struct err why;
	int r = obtain(e, &set, &why);

	if (r == 0 && !e->owner->ca)
		hash = hash_bytes(set.chain.p, set.chain.n) ^ hash_bytes(set.key.p, set.key.n) * 3 ^
		       hash_bytes(set.roots.p, set.roots.n) * 5;
	if (r == 0 && !force && e->ctx && !e->owner->ca && hash == e->files_hash && tlsctx_not_after(e->ctx) > now)
		ctx = tlsctx_ref(e->ctx);
	else if (r == 0)
		r = make_ctx(e, &set, &ctx, &why);
	secret_wipe(&set.key);
	if (r != 0) {
		certset_wipe(&set);
		entry_failed(e, &why);
		return err_set(err, r, "%s", why.msg);
	}
	secret_wipe(&e->chain);
	secret_wipe(&e->roots);
	e->chain = set.chain;
	e->roots = set.roots;
	e->files_hash = hash;
	e->backoff_s = 0;
	until = tlsctx_not_after(ctx);
	entry_schedule(e, e->owner->ca ? now + jitter((until - now) / 2, 10) : until);
	if (ctx == e->ctx)
		tlsctx_unref(ctx);
	else
		entry_swap(e, ctx);
	return 0;
}

static void on_timer(struct timer *t)
{
	struct entry *e = container_of(t, struct entry, timer);

	if (time(NULL) < e->due)
		entry_schedule(e, e->due);
	else
		entry_refresh(e, false, NULL);
}

static int crl_load(struct identity *i, bool *ret_changed, struct err *err)
{
	struct secret text;
	struct err why;
	int r;

	*ret_changed = false;
	if (!i->crl_file)
		return 0;
	r = secret_read(i->crl_file, &text, err);
	if (r != 0)
		return r;
	if (str_eq(secret_str(&text), secret_str(&i->crl)) && text.n > 0) {
		secret_wipe(&text);
		return 0;
	}
	r = tlsctx_check_crl(secret_str(&text), &why);
	if (r != 0) {
		secret_wipe(&text);
		return err_set(err, r, "%s: %s", i->crl_file, why.msg);
	}
	secret_wipe(&i->crl);
	i->crl = text;
	*ret_changed = true;
	return 0;
}

static void on_files(void *arg)
{
	struct identity *i = arg;
	struct err err;
	bool changed;

	if (crl_load(i, &changed, &err) != 0)
		log_warn(LOG_IDENTITY, "the CRL was not reloaded, the one from before stays in force: %s", err.msg);
	else if (changed)
		log_info(LOG_IDENTITY, "the CRL %s was reloaded", i->crl_file);
	if (changed || !i->ca)
		map_each(slot, &i->entries)
			entry_refresh(slot->value, changed, NULL);
}

static int start_watch(struct identity *i, struct err *err)
{
	const char *files[] = { i->crl_file, i->cert_file, i->key_file, i->root_file };
	int r = 0;

	i->watch = watch_new(i->loop, WATCH_QUIET_MS, on_files, i, err);
	if (!i->watch)
		return -EIO;
	for (size_t n = 0; r == 0 && n < ARRAY_LEN(files); n++)
		if (files[n])
			r = watch_add_file(i->watch, files[n], err);
	return r;
}

static int start_provider(struct identity *i, const struct identity_conf *conf, struct err *err)
{
	bool files = conf->cert_file || conf->key_file || conf->root_file;
	int r;

	if (conf->ca)
		return err_set(err, -ENOTSUP, "a control plane's CA is not supported yet");
	if (conf->ca_dir && files)
		return err_set(err, -EINVAL, "--ca-dir and --cert, --key, --root exclude each other");
	if (!conf->ca_dir && !(conf->cert_file && conf->key_file && conf->root_file))
		return err_set(err, -EINVAL, files ? "--cert, --key and --root are needed all three" :
			       "no certificates: give --ca-dir=DIR (`meshd ca init DIR` makes one), or --cert, --key and --root");
	if (files) {
		i->cert_file = xstrdup(conf->cert_file);
		i->key_file = xstrdup(conf->key_file);
		i->root_file = xstrdup(conf->root_file);
		return 0;
	}
	if ((r = localca_open(conf->ca_dir, &i->ca, err)) != 0)
		return r;
	log_warn(LOG_IDENTITY, "certificates are signed by the development CA in %s: "
		 "whoever reads its key can be any workload of %.*s; do not use it in production",
		 conf->ca_dir, STR_FMT(localca_trust_domain(i->ca)));
	if (localca_not_after(i->ca) < time(NULL) + CA_WARN_S)
		log_warn(LOG_IDENTITY, "the CA in %s expires in less than 30 days; "
			 "make a new one with `meshd ca init`", conf->ca_dir);
	return 0;
}

int identity_new(struct loop *control, const struct identity_conf *conf, const struct identity_ops *ops, void *arg,
		 struct identity **ret, struct err *err)
{
	struct identity *i = xcalloc(1, sizeof(*i));
	bool changed;
	int r;

	i->loop = control;
	i->ops = *ops;
	i->arg = arg;
	i->ttl_s = conf->ttl_s > 0 ? conf->ttl_s : LOCALCA_TTL_S;
	i->allow_tls12 = conf->allow_tls12;
	i->crl_file = conf->crl_file ? xstrdup(conf->crl_file) : NULL;
	pthread_mutex_init(&i->lock, NULL);
	if ((r = start_provider(i, conf, err)) == 0 && (r = crl_load(i, &changed, err)) == 0 && (i->crl_file || !i->ca))
		r = start_watch(i, err);
	if (r == 0)
		*ret = i;
	else
		identity_free(i);
	return r;
}

static void domains_free(struct identity *i)
{
	for (int n = 0; n < i->n_domains; n++)
		free((char *)i->domains[n].p);
	free(i->domains);
}

void identity_set_trust(struct identity *i, const struct str *domains, int n)
{
	bool same = n == i->n_domains;

	for (int k = 0; same && k < n; k++)
		same = str_eq(domains[k], i->domains[k]);
	if (same)
		return;
	domains_free(i);
	i->domains = xcalloc((size_t)n + 1, sizeof(*i->domains));
	i->n_domains = n;
	for (int k = 0; k < n; k++)
		i->domains[k] = (struct str){ str_dup(domains[k]), domains[k].n };
	map_each(slot, &i->entries)
		entry_refresh(slot->value, true, NULL);
}

int identity_want(struct identity *i, struct str id, enum identity_priority priority, struct err *err)
{
	struct entry *e = map_get(&i->entries, id);

	if (e)
		e->wanted++;
	if (e)
		return e->ctx ? 0 : err_set(err, -ENOENT, "%s", e->err.msg);
	e = xcalloc(1, sizeof(*e));
	e->owner = i;
	e->id = str_dup(id);
	e->wanted = 1;
	timer_init(&e->timer, i->loop, on_timer);
	pthread_mutex_lock(&i->lock);
	map_put(&i->entries, str_c(e->id), e);
	pthread_mutex_unlock(&i->lock);
	return entry_refresh(e, false, err);
}

static void entry_free(struct entry *e)
{
	timer_stop(&e->timer);
	tlsctx_unref(e->ctx);
	secret_wipe(&e->chain);
	secret_wipe(&e->roots);
	free(e->id);
	free(e);
}

void identity_forget(struct identity *i, struct str id)
{
	struct entry *e = map_get(&i->entries, id);

	if (!e || --e->wanted > 0)
		return;
	pthread_mutex_lock(&i->lock);
	e = map_del(&i->entries, id);
	pthread_mutex_unlock(&i->lock);
	if (e->ctx && i->ops.on_change)
		i->ops.on_change(i, str_c(e->id), e->ctx, i->arg);
	entry_free(e);
}

struct tlsctx *identity_get(struct identity *i, struct str id)
{
	struct tlsctx *ctx = NULL;
	struct entry *e;

	pthread_mutex_lock(&i->lock);
	e = map_get(&i->entries, id);
	if (e && e->ctx)
		ctx = tlsctx_ref(e->ctx);
	pthread_mutex_unlock(&i->lock);
	return ctx;
}

enum identity_state identity_state(struct identity *i, struct str id, struct err *err)
{
	enum identity_state state = IDENTITY_UNKNOWN;
	struct entry *e;

	pthread_mutex_lock(&i->lock);
	e = map_get(&i->entries, id);
	if (e)
		state = e->ctx ? IDENTITY_READY : IDENTITY_FAILED;
	if (state == IDENTITY_FAILED)
		err_set(err, 0, "%s", e->err.msg);
	pthread_mutex_unlock(&i->lock);
	return state;
}

int64_t identity_not_after(struct identity *i, struct str id)
{
	struct tlsctx *ctx = identity_get(i, id);
	int64_t at = ctx ? tlsctx_not_after(ctx) : 0;

	tlsctx_unref(ctx);
	return at;
}

void identity_dump(struct identity *i, struct buf *out)
{
	const char *sep = "{";

	buf_puts(out, "[");
	map_each(slot, &i->entries) {
		struct entry *e = slot->value;
		char *lost = e->ctx ? NULL : xasprintf("Unavailable: %s", e->err.msg);

		buf_puts(out, sep);
		buf_puts(out, "\"identity\":");
		buf_json_str(out, str_c(e->id));
		buf_puts(out, ",\"state\":");
		buf_json_str(out, str_c(lost ? lost : "Available"));
		buf_puts(out, ",\"certChain\":");
		certdump_array(out, lost ? (struct str){ 0 } : secret_str(&e->chain));
		buf_puts(out, ",\"rootCerts\":");
		certdump_array(out, lost ? (struct str){ 0 } : secret_str(&e->roots));
		buf_puts(out, "}");
		sep = ",{";
		free(lost);
	}
	buf_puts(out, "]");
}

void identity_free(struct identity *i)
{
	if (!i)
		return;
	watch_free(i->watch);
	map_each(slot, &i->entries)
		entry_free(slot->value);
	map_done(&i->entries);
	localca_free(i->ca);
	domains_free(i);
	secret_wipe(&i->crl);
	free(i->cert_file);
	free(i->key_file);
	free(i->root_file);
	free(i->crl_file);
	pthread_mutex_destroy(&i->lock);
	free(i);
}
