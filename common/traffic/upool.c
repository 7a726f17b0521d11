/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/upool_int.h"

#include <stdlib.h>

/* ---- entries ---- */

/* The fixed part of a key; no padding in it is left to chance. The texts follow: identity, server name, caller. */
struct way {
	const struct cluster *cluster;
	const struct host *host;
	struct addr to, target, source, client, original;
	uint32_t identity_bytes, sni_bytes, caller_bytes;
	uint8_t transport, h2;
};

#define KEY_USUAL 512

static struct str make_key(struct cluster *cl, const struct pick *pick, const struct connect_ask *ask, char usual[KEY_USUAL])
{
	size_t n = sizeof(struct way) + ask->identity.n + ask->sni.n + ask->caller.n;
	char *key = n <= KEY_USUAL ? usual : xmalloc(n);
	struct way w;

	memset(&w, 0, sizeof(w));
	w.cluster = cl;
	w.host = pick->host;
	w.to = pick->addr;
	w.target = pick->target;
	w.transport = (uint8_t)pick->transport;
	w.h2 = ask->h2;
	if (ask->source.port)
		w.source = (struct addr){ ask->source.ip, 1 };
	if (ask->client.port) {         /* what the PROXY protocol says is of one connection */
		w.client = ask->client;
		w.original = ask->original;
	}
	w.identity_bytes = (uint32_t)ask->identity.n;
	w.sni_bytes = (uint32_t)ask->sni.n;
	w.caller_bytes = (uint32_t)ask->caller.n;
	memcpy(key, &w, sizeof(w));
	if (ask->identity.n)
		memcpy(key + sizeof(w), ask->identity.p, ask->identity.n);
	if (ask->sni.n)
		memcpy(key + sizeof(w) + ask->identity.n, ask->sni.p, ask->sni.n);
	if (ask->caller.n)
		memcpy(key + sizeof(w) + ask->identity.n + ask->sni.n, ask->caller.p, ask->caller.n);
	return (struct str){ key, n };
}

static void serve(struct deferred *d);

static struct uentry *entry_new(struct upool *p, struct cluster *cl, const struct pick *pick, const struct connect_ask *ask, struct str key)
{
	struct uentry *e = xcalloc(1, sizeof(*e));

	e->pool = p;
	e->key = (struct str){ str_dup(key), key.n };
	e->cluster = cluster_ref(cl);
	e->pick = *pick;
	host_ref(pick->host);
	if (pick->workload)
		workload_ref(pick->workload);
	e->ask = *ask;
	e->ask.x = NULL;      /* its connections serve others, too */
	e->ask.identity.p = e->key.p + sizeof(struct way);
	e->ask.sni.p = e->ask.identity.p + ask->identity.n;
	e->ask.caller.p = e->ask.sni.p + ask->sni.n;
	e->h2 = ask->h2;
	e->serve.run = serve;
	list_init(&e->conns);
	list_init(&e->ready);
	list_init(&e->waiting);
	list_add_tail(&p->all, &e->link);
	map_put(&p->entries, e->key, e);
	return e;
}

static struct uentry *entry_get(struct upool *p, struct cluster *cl, const struct pick *pick, const struct connect_ask *ask)
{
	char usual[KEY_USUAL];
	struct str key = make_key(cl, pick, ask, usual);
	struct uentry *e = map_get(&p->entries, key);

	if (!e)
		e = entry_new(p, cl, pick, ask, key);
	if (key.p != usual)
		free((char *)key.p);
	return e;
}

static void entry_forget(struct uentry *e)
{
	if (!e->retired)
		map_del(&e->pool->entries, e->key);
	e->retired = true;
}

static void entry_release(struct uentry *e)
{
	if (!list_empty(&e->conns) || !list_empty(&e->waiting) || deferred_queued(&e->serve))
		return;
	entry_forget(e);
	list_del(&e->link);
	pick_done(&e->pick);
	cluster_unref(e->cluster);
	free((char *)e->key.p);
	free(e);
}

struct str upool_sni(struct str authority)
{
	size_t n = authority.n;
	struct str host;
	struct ip ip;

	while (n && authority.p[n - 1] >= '0' && authority.p[n - 1] <= '9')
		n--;
	host = n && authority.p[n - 1] == ':' ? (struct str){ authority.p, n - 1 } : authority;
	return !host.n || host.p[0] == '[' || ip_parse(host, &ip) == 0 ? (struct str){ 0 } : host;
}

/* ---- who waits ---- */

static void unqueue(struct uwait *w)
{
	list_del(&w->link);
	w->entry->n_waiting--;
	cluster_give(w->entry->cluster, LIMIT_OF_PENDING);
	w->entry = NULL;
}

void uentry_fail(struct uentry *e, enum fail why, const char *detail)
{
	struct list all;

	/* Those that come back at once wait for another connection. */
	list_take(&all, &e->waiting);
	while (!list_empty(&all)) {
		struct uwait *w = container_of(all.next, struct uwait, link);

		unqueue(w);
		w->on_conn(w, NULL, why, detail);
	}
}

void uentry_serve_later(struct uentry *e)
{
	loop_defer(e->pool->loop, &e->serve);
}

static void serve(struct deferred *d)
{
	struct uentry *e = container_of(d, struct uentry, serve);

	while (!list_empty(&e->waiting)) {
		struct uwait *w = container_of(e->waiting.next, struct uwait, link);
		struct uconn *c = uentry_ready(e, w);

		if (!c)
			break;
		unqueue(w);
		w->on_conn(w, c, FAIL_NONE, "");
	}
	uentry_grow(e);
	if (e->retired || e->pool->draining)
		list_each_safe(at, next, &e->conns)
			uconn_retire(container_of(at, struct uconn, link));
	entry_release(e);
}

/* How many requests one more connection would take. */
static int capacity(const struct uentry *e)
{
	uint32_t max = cluster_conf(e->cluster)->pool.max_concurrent_streams;

	if (!e->h2)
		return 1;
	return max && max < LIMIT_POOL_STREAMS ? (int)max : LIMIT_POOL_STREAMS;
}

/* Connections that cannot be used yet: some requests wait for the peer's first word. */
static int coming(const struct uentry *e)
{
	int n = e->n_connecting;

	if (e->h2 && e->n_waiting && container_of(e->waiting.next, struct uwait, link)->switches)
		list_each(at, &e->conns) {
			const struct uconn *c = container_of(at, struct uconn, link);

			n += c->http && !http_conn_knows(c->http);
		}
	return n;
}

void uentry_grow(struct uentry *e)
{
	while (e->n_waiting > coming(e) * capacity(e) && e->n_connecting < LIMIT_POOL_DIALS)
		if (!uconn_dial(e))
			return;
}

enum upool_answer upool_take(struct upool *p, struct cluster *cl, const struct pick *pick, const struct connect_ask *ask,
			     enum upool_want want, struct uwait *w, struct uconn **ret)
{
	struct uentry *e = entry_get(p, cl, pick, ask);
	struct uconn *c;

	w->entry = NULL;
	w->want = want;
	c = list_empty(&e->waiting) ? uentry_ready(e, w) : NULL;
	if (c) {
		*ret = c;
		return UPOOL_READY;
	}
	if (!cluster_take(cl, LIMIT_OF_PENDING)) {
		uentry_serve_later(e);     /* it may have nobody */
		return UPOOL_OVERFLOW;
	}
	w->entry = e;
	list_add_tail(&e->waiting, &w->link);
	e->n_waiting++;
	uentry_grow(e);
	uentry_serve_later(e);
	return UPOOL_WAIT;
}

void upool_cancel(struct uwait *w)
{
	struct uentry *e = w->entry;

	if (!e)
		return;
	unqueue(w);
	uentry_serve_later(e);
}

/* ---- the pool ---- */

static void on_sweep(struct timer *t)
{
	struct upool *p = container_of(t, struct upool, sweep);

	upool_sweep(p);
}

struct upool *upool_new(struct loop *l, struct connector *c)
{
	struct upool *p = xcalloc(1, sizeof(*p));

	p->loop = l;
	p->connector = c;
	list_init(&p->all);
	list_init(&p->idle);
	timer_init(&p->sweep, l, on_sweep);
	upool_limit_join(p);
	return p;
}

void upool_drain(struct upool *p)
{
	p->draining = true;
	list_each(at, &p->all)
		uentry_serve_later(container_of(at, struct uentry, link));
}

void upool_retire(struct upool *p, bool (*stale)(const struct cluster *c, const struct workload *w, void *arg), void *arg)
{
	list_each(at, &p->all) {
		struct uentry *e = container_of(at, struct uentry, link);

		if (e->retired || !(host_gone(e->pick.host) || (stale && stale(e->cluster, e->pick.workload, arg))))
			continue;
		entry_forget(e);
		uentry_serve_later(e);
	}
}

static void bury(struct deferred *d)
{
	struct upool *p = container_of(d, struct upool, grave);

	map_done(&p->entries);
	free(p);
}

void upool_free(struct upool *p)
{
	if (!p)
		return;
	p->draining = p->closed = true;
	timer_stop(&p->sweep);
	upool_limit_leave(p);
	list_each_safe(at, next, &p->all) {
		struct uentry *e = container_of(at, struct uentry, link);

		list_each_safe(c, after, &e->conns)
			uconn_end(container_of(c, struct uconn, link), FAIL_DRAIN);
		uentry_fail(e, FAIL_DRAIN, "");
		uentry_serve_later(e);
	}
	p->grave.run = bury;      /* after the entries, which go at the end of the turn */
	loop_bury(p->loop, &p->grave);
}
