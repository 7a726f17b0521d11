/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "identity/certdump.h"
#include "identity/identity_int.h"

#define WATCH_QUIET_MS 250
#define CA_WARN_S      (30 * 86400)

/* ---- trust and files ---- */

void identity_retrust(struct identity *i, struct trust *t)
{
	struct trust *old = i->trust;

	pthread_mutex_lock(&i->lock);
	i->trust = t;
	pthread_mutex_unlock(&i->lock);
	trust_unref(old);
	map_each(slot, &i->entries)
		entry_drop_ctx(slot->value);
}

bool identity_swap_roots(struct identity *i, struct str old, struct str now)
{
	bool more = rootset_add(&i->roots, now), less = rootset_del(&i->roots, old);
	struct trust *t;
	struct buf all = { 0 };

	if (!more && !less)
		return false;
	t = trust_copy(i->trust);
	secret_wipe(&t->roots);
	if (i->roots.texts.len > 1) {       /* one: each certificate brings it along */
		rootset_format(&i->roots, &all);
		t->roots = (struct secret){ str_dup(buf_str(&all)), buf_len(&all) };
		buf_done(&all);
	}
	identity_retrust(i, t);
	return true;
}

void identity_set_trust(struct identity *i, const struct str *domains, int n)
{
	bool same = n == i->trust->n_domains;
	struct trust *t;

	for (int k = 0; same && k < n; k++)
		same = str_eq(domains[k], i->trust->domains[k]);
	if (same)
		return;
	t = trust_copy(i->trust);
	trust_set_domains(t, domains, n);
	identity_retrust(i, t);
}

/* A file that is checked before it takes the place of its text from before. */
static int load_text(const char *file, struct secret *text, int (*check)(struct str text, struct err *err), bool *ret_changed,
		     struct err *err)
{
	struct secret now;
	struct err why;
	int r;

	*ret_changed = false;
	if (!file)
		return 0;
	r = secret_read(file, &now, err);
	if (r != 0)
		return r;
	if (str_eq(secret_str(&now), secret_str(text)) && now.n > 0) {
		secret_wipe(&now);
		return 0;
	}
	r = check(secret_str(&now), &why);
	if (r != 0) {
		secret_wipe(&now);
		return err_set(err, r, "%s: %s", file, why.msg);
	}
	secret_wipe(text);
	*text = now;
	*ret_changed = true;
	return 0;
}

static int load_crl(struct identity *i, bool *ret_changed, struct err *err)
{
	struct trust *t = trust_copy(i->trust);
	int r = load_text(i->crl_file, &t->crl, tlsctx_check_crl, ret_changed, err);

	if (*ret_changed)
		identity_retrust(i, t);
	else
		trust_unref(t);
	return r;
}

/* More roots than the CA names. */
static int load_roots(struct identity *i, bool *ret_changed, struct err *err)
{
	struct secret old = i->more_roots, now = { 0 };
	int r;

	*ret_changed = false;
	if (!i->fetcher || !i->root_file)
		return 0;
	r = load_text(i->root_file, &now, tlsctx_check_roots, ret_changed, err);
	if (r != 0 || str_eq(secret_str(&now), secret_str(&old))) {
		*ret_changed = false;
		secret_wipe(&now);
		return r;
	}
	i->more_roots = now;
	identity_swap_roots(i, secret_str(&old), secret_str(&now));
	secret_wipe(&old);
	return 0;
}

static void on_files(void *arg)
{
	struct identity *i = arg;
	struct err err;
	bool changed;

	if (load_crl(i, &changed, &err) != 0)
		log_warn(LOG_IDENTITY, "the CRL was not reloaded, the one from before stays in force: %s", err.msg);
	else if (changed)
		log_info(LOG_IDENTITY, "the CRL %s was reloaded", i->crl_file);
	if (load_roots(i, &changed, &err) != 0)
		log_warn(LOG_IDENTITY, "the roots were not reloaded, those from before stay trusted: %s", err.msg);
	else if (changed)
		log_info(LOG_IDENTITY, "the roots in %s were reloaded", i->root_file);
	if (i->cert_file)
		map_each(slot, &i->entries)
			entry_refresh(slot->value, NULL);
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

/* ---- start ---- */

static int check_conf(const struct identity_conf *conf, struct err *err)
{
	bool files = conf->cert_file || conf->key_file || (conf->root_file && !conf->ca);

	if (conf->ca && (conf->ca_dir || files))
		return err_set(err, -EINVAL, "a control plane's CA and --ca-dir, --cert, --key exclude each other");
	if (conf->ca_dir && files)
		return err_set(err, -EINVAL, "--ca-dir and --cert, --key, --root exclude each other");
	if (!conf->ca && !conf->ca_dir && !(conf->cert_file && conf->key_file && conf->root_file))
		return err_set(err, -EINVAL, files ? "--cert, --key and --root are needed all three" :
			       "no certificates: give --ca-dir=DIR (`meshd ca init DIR` makes one), or --cert, --key and --root");
	return 0;
}

static int start_provider(struct identity *i, const struct identity_conf *conf, struct err *err)
{
	int r = check_conf(conf, err);

	if (r != 0)
		return r;
	i->cert_file = conf->cert_file ? xstrdup(conf->cert_file) : NULL;
	i->key_file = conf->key_file ? xstrdup(conf->key_file) : NULL;
	i->root_file = conf->root_file ? xstrdup(conf->root_file) : NULL;
	if (conf->ca) {
		i->ca_ops = conf->ca;
		i->ca_arg = conf->ca_arg;
		i->fetcher = fetcher_new(i->loop, conf->ca, conf->ca_arg, i->ttl_s,
					 conf->ca_reply_ms ? conf->ca_reply_ms : LIMIT_CA_REPLY_MS);
	}
	if (!conf->ca_dir)
		return 0;
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

/* A context without users costs memory, and holds its key a second time. */
static void on_sweep(struct timer *t)
{
	struct identity *i = container_of(t, struct identity, sweep);
	uint64_t now = loop_now_ms(i->loop);

	map_each(slot, &i->entries) {
		struct entry *e = slot->value;
		struct tlsctx *unused = NULL;

		pthread_mutex_lock(&i->lock);
		if (e->ctx && tlsctx_is_idle(e->ctx) && now - e->used_ms >= i->ctx_idle_ms) {
			unused = e->ctx;
			e->ctx = NULL;
		}
		pthread_mutex_unlock(&i->lock);
		tlsctx_unref(unused);
	}
	timer_start(t, i->ctx_idle_ms / 4 + 1);
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
	i->ctx_idle_ms = conf->ctx_idle_ms ? conf->ctx_idle_ms : LIMIT_TLSCTX_IDLE_MS;
	i->trust = trust_copy(NULL);
	i->trust->allow_tls12 = conf->allow_tls12;
	i->crl_file = conf->crl_file ? xstrdup(conf->crl_file) : NULL;
	pthread_mutex_init(&i->lock, NULL);
	timer_init(&i->sweep, control, on_sweep);
	if ((r = start_provider(i, conf, err)) == 0 && (r = load_crl(i, &changed, err)) == 0 &&
	    (r = load_roots(i, &changed, err)) == 0 && (i->crl_file || i->root_file))
		r = start_watch(i, err);
	if (r == 0) {
		timer_start(&i->sweep, i->ctx_idle_ms / 4 + 1);
		*ret = i;
	} else {
		identity_free(i);
	}
	return r;
}

/* ---- what others ask ---- */

int identity_want(struct identity *i, struct str id, enum identity_priority priority, struct err *err)
{
	struct entry *e = map_get(&i->entries, id);

	if (!e) {
		e = entry_new(i, id, priority);
		pthread_mutex_lock(&i->lock);
		map_put(&i->entries, str_c(e->id), e);
		pthread_mutex_unlock(&i->lock);
		return entry_refresh(e, err);
	}
	e->wanted++;
	if (priority < e->priority) {
		e->priority = priority;
		if (!e->svid)
			fetch_hurry(&e->fetch, priority);
	}
	return e->svid || !e->failed ? 0 : err_set(err, -ENOENT, "%s", e->err.msg);
}

void identity_forget(struct identity *i, struct str id)
{
	struct entry *e = map_get(&i->entries, id);

	if (!e || --e->wanted > 0)
		return;
	pthread_mutex_lock(&i->lock);
	map_del(&i->entries, id);
	pthread_mutex_unlock(&i->lock);
	if (e->svid && i->fetcher)
		identity_swap_roots(i, secret_str(&e->svid->set.roots), (struct str){ 0 });
	if (e->svid && i->ops.on_change)
		i->ops.on_change(i, str_c(e->id), e->ctx, i->arg);
	entry_free(e);
}

/* Several threads may make one at once: the first stays. False: what it would be made of is not in force any more. */
static bool make_ctx(struct identity *i, struct str id, struct svid *svid, struct trust *trust, struct tlsctx **ret)
{
	struct tlsctx *made;
	bool current;
	struct entry *e;
	struct err err;

	*ret = NULL;
	if (svid_ctx(svid, trust, &made, &err) != 0) {
		log_error(LOG_IDENTITY, "no TLS context for %.*s: %s", STR_FMT(id), err.msg);
		return true;
	}
	pthread_mutex_lock(&i->lock);
	e = map_get(&i->entries, id);
	current = e && e->svid == svid && i->trust == trust;
	if (current && !e->ctx)
		e->ctx = tlsctx_ref(made);
	if (current)
		*ret = tlsctx_ref(e->ctx);
	pthread_mutex_unlock(&i->lock);
	tlsctx_unref(made);
	return current;
}

/* What there is: a context, or what to make one of. */
static struct tlsctx *look(struct identity *i, struct str id, struct svid **svid, struct trust **trust)
{
	struct tlsctx *ctx = NULL;
	struct entry *e;

	*svid = NULL;
	pthread_mutex_lock(&i->lock);
	e = map_get(&i->entries, id);
	if (e && e->ctx) {
		ctx = tlsctx_ref(e->ctx);
	} else if (e && e->svid) {
		*svid = svid_ref(e->svid);
		*trust = trust_ref(i->trust);
	} else if (e) {
		fetch_hurry(&e->fetch, IDENTITY_NOW);
	}
	if (e)
		e->used_ms = loop_now_ms(i->loop);
	pthread_mutex_unlock(&i->lock);
	return ctx;
}

struct tlsctx *identity_get(struct identity *i, struct str id)
{
	struct trust *trust;
	struct tlsctx *ctx;
	struct svid *svid;
	bool made = false;

	do {
		ctx = look(i, id, &svid, &trust);
		if (!svid)
			return ctx;
		made = make_ctx(i, id, svid, trust, &ctx);
		svid_unref(svid);
		trust_unref(trust);
	} while (!made);
	return ctx;
}

enum identity_state identity_state(struct identity *i, struct str id, struct err *err)
{
	enum identity_state state = IDENTITY_UNKNOWN;
	struct entry *e;

	pthread_mutex_lock(&i->lock);
	e = map_get(&i->entries, id);
	if (e)
		state = e->svid ? IDENTITY_READY : e->failed ? IDENTITY_FAILED : IDENTITY_PENDING;
	if (state == IDENTITY_FAILED)
		err_set(err, 0, "%s", e->err.msg);
	pthread_mutex_unlock(&i->lock);
	return state;
}

int64_t identity_not_after(struct identity *i, struct str id)
{
	struct entry *e;
	int64_t at;

	pthread_mutex_lock(&i->lock);
	e = map_get(&i->entries, id);
	at = e && e->svid ? e->svid->not_after : 0;
	pthread_mutex_unlock(&i->lock);
	return at;
}

void identity_dump(struct identity *i, struct buf *out)
{
	const char *sep = "{";

	buf_puts(out, "[");
	map_each(slot, &i->entries) {
		struct entry *e = slot->value;
		char *lost = e->svid ? NULL : e->failed ? xasprintf("Unavailable: %s", e->err.msg) : xstrdup("Initializing");

		buf_puts(out, sep);
		buf_puts(out, "\"identity\":");
		buf_json_str(out, str_c(e->id));
		buf_puts(out, ",\"state\":");
		buf_json_str(out, str_c(lost ? lost : "Available"));
		buf_puts(out, ",\"certChain\":");
		certdump_array(out, lost ? (struct str){ 0 } : secret_str(&e->svid->set.chain));
		buf_puts(out, ",\"rootCerts\":");
		certdump_array(out, lost ? (struct str){ 0 } : secret_str(&e->svid->set.roots));
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
	timer_stop(&i->sweep);
	map_each(slot, &i->entries)
		entry_free(slot->value);
	map_done(&i->entries);
	fetcher_free(i->fetcher);
	localca_free(i->ca);
	rootset_done(&i->roots);
	secret_wipe(&i->more_roots);
	trust_unref(i->trust);
	free(i->cert_file);
	free(i->key_file);
	free(i->root_file);
	free(i->crl_file);
	pthread_mutex_destroy(&i->lock);
	free(i);
}
