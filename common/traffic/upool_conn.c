/* SPDX-License-Identifier: Apache-2.0 */
/* A pooled connection: how it comes, how long it may stay, when it goes. */
#include "traffic/upool_int.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#define DAY_S 86400
#define MANY  32         /* connections that ended at once: it is worth it to give the memory back */

static const struct pool_conf *conf_of(const struct uconn *c)
{
	return &cluster_conf(c->entry->cluster)->pool;
}

/* ---- the end ---- */

static void conn_free(struct deferred *d)
{
	struct uconn *c = container_of(d, struct uconn, grave);

	free(c->peer_id);
	free(c);
}

static void not_idle(struct uconn *c)
{
	c->entry->pool->n_idle -= !list_empty(&c->idle);
	list_del(&c->idle);
}

/* Takes it out of the books; who calls has ended the transport. */
static void conn_gone(struct uconn *c)
{
	struct uentry *e = c->entry;

	c->ended = true;
	timer_stop(&c->timer);
	list_del(&c->link);
	list_del(&c->ready);
	not_idle(c);
	e->n_conns--;
	if (!c->http)
		e->n_connecting--;
	if (c->counted) {
		cluster_give(e->cluster, LIMIT_OF_CONNECTIONS);
		upool_limit_freed();
	}
	uentry_serve_later(e);
	c->grave.run = conn_free;
	loop_bury(e->pool->loop, &c->grave);
}

void uconn_end(struct uconn *c, enum fail why)
{
	if (c->ended)
		return;
	conn_gone(c);
	if (c->http)
		http_conn_close(c->http, why);
	else
		race_cancel(c->race, why);
}

void uconn_retire(struct uconn *c)
{
	if (c->ended || !c->http)
		return;               /* still connecting: it serves who waits, then it is asked again */
	list_del(&c->ready);
	c->retired = true;
	if (http_conn_streams(c->http) == 0)
		uconn_end(c, FAIL_NONE);
	else if (!http_conn_draining(c->http))
		http_conn_drain(c->http);
}

/* ---- idle and ready ---- */

/* Whether it has had all the requests or time that it may have. */
static bool worn(const struct uconn *c)
{
	uint32_t max = conf_of(c)->max_requests_per_connection;

	return c->retired || (max && c->uses >= max) || http_conn_draining(c->http);
}

static int room(const struct uconn *c)
{
	uint32_t max = conf_of(c)->max_concurrent_streams;
	int n = http_conn_room(c->http), streams = http_conn_streams(c->http);

	if (!max || n <= 0)
		return n;
	return (uint32_t)streams >= max ? 0 : n < (int)max - streams ? n : (int)max - streams;
}

static uint64_t idle_limit(const struct uconn *c)
{
	unsigned idle = conf_of(c)->idle_ms;

	/* After a burst most of its connections are of no use, and a secured one takes 35 KiB. */
	if (c->entry->n_conns > LIMIT_POOL_SPARE && (!idle || idle > LIMIT_POOL_SPARE_MS))
		return LIMIT_POOL_SPARE_MS;
	return idle ? idle : UINT64_MAX;
}

static void settle(struct uconn *c)
{
	struct upool *p = c->entry->pool;
	bool quiet = http_conn_streams(c->http) == 0;

	uentry_serve_later(c->entry);
	if (worn(c) || (quiet && c->uses && upool_limit_pay(p, c))) {
		uconn_retire(c);
		return;
	}
	if (quiet && !c->idle_ms) {
		c->idle_ms = loop_now_ms(p->loop);
		list_add_tail(&p->idle, &c->idle);
		p->n_idle++;
		upool_sweep_by(p, c->idle_ms + (idle_limit(c) < LIMIT_POOL_SWEEP_MS ? idle_limit(c) : LIMIT_POOL_SWEEP_MS));
	}
	if (list_empty(&c->ready) && room(c) > 0)
		list_add_tail(c->entry->ready.next, &c->ready);   /* the last one used is used again, so that the others age */
}

static void on_room(struct http_conn *http, void *arg)
{
	struct uconn *c = arg;

	struct connector *k = c->entry->pool->connector;

	if (c->ended)
		return;
	if (c->entry->h2 && http_conn_draining(http) && !c->leaving && !c->retired) {
		c->leaving = true;
		if (k->leaving)
			k->leaving(k, c->entry->cluster);
	}
	settle(c);
}

static void on_closed(struct http_conn *http, enum fail why, const char *detail, void *arg)
{
	struct uconn *c = arg;
	struct upool *p = c->entry->pool;

	if (c->ended)
		return;
	if (c->idle_ms && c->uses && !c->entry->h2)
		upool_memory_closed(upool_memory_of(p, c->entry), loop_now_ms(p->loop) - c->idle_ms);
	conn_gone(c);
}

static const struct http_conn_ops conn_ops = { .on_room = on_room, .on_closed = on_closed };

bool uconn_usable(const struct uconn *c, enum upool_want want, uint64_t now_ms)
{
	uint64_t age;

	if (room(c) <= 0)
		return false;
	if (!c->uses || !c->idle_ms)
		return true;
	if (want == UPOOL_NEW)
		return false;
	age = now_ms - c->idle_ms;
	if (http_conn_version(c->http) == HTTP_2)
		return true;          /* a GOAWAY says which requests were not looked at */
	return age < (c->promised_ms ? c->promised_ms : UINT64_MAX) && age < upool_memory_limit(upool_memory_of(c->entry->pool, c->entry), want);
}

struct uconn *uentry_ready(struct uentry *e, const struct uwait *w)
{
	uint64_t now = loop_now_ms(e->pool->loop);

	list_each_safe(at, next, &e->ready) {
		struct uconn *c = container_of(at, struct uconn, ready);

		if (room(c) <= 0)
			list_del(&c->ready);      /* on_room brings it back */
		else if (w->switches && !http_conn_knows(c->http))
			continue;                 /* on_room comes with what it says */
		else if (uconn_usable(c, w->want, now))
			return c;
		else if (!e->h2 && w->want != UPOOL_NEW)
			break;                    /* the others are quiet even longer */
	}
	return NULL;
}

void uconn_begin(struct uconn *c)
{
	c->was_idle_ms = c->uses && c->idle_ms ? loop_now_ms(c->entry->pool->loop) - c->idle_ms : 0;
	c->uses++;
	c->idle_ms = 0;
	not_idle(c);
	if (!c->entry->h2)
		list_del(&c->ready);
}

void uconn_sent(struct uconn *c, int error)
{
	if (c->ended)
		return;
	if (error == EINVAL)
		settle(c);
	else if (error || worn(c))
		uconn_retire(c);
}

void uconn_answered(struct uconn *c, unsigned keep_alive_s)
{
	if (c->ended)
		return;
	if (keep_alive_s)
		c->promised_ms = keep_alive_s > DAY_S ? DAY_S * 1000 : keep_alive_s > 2 ? (keep_alive_s - 1) * 1000 : keep_alive_s * 500;
	if (c->was_idle_ms && !c->entry->h2)
		upool_memory_open(upool_memory_of(c->entry->pool, c->entry), c->was_idle_ms);
	c->was_idle_ms = 0;
}

/* ---- connecting ---- */

static void on_life_over(struct timer *t)
{
	struct uconn *c = container_of(t, struct uconn, timer);

	c->retired = true;
	uconn_retire(c);
}

static void on_connect_timeout(struct timer *t)
{
	struct uconn *c = container_of(t, struct uconn, timer);
	struct uentry *e = c->entry;

	uconn_end(c, FAIL_CONNECT_TIMEOUT);
	uentry_fail(e, FAIL_CONNECT_TIMEOUT, "");
}

static void established(struct uconn *c, struct stage *s)
{
	struct uentry *e = c->entry;
	struct connector *k = e->pool->connector;
	enum http_codec codec = k->codec ? k->codec(k, s) : HTTP_CODEC_AUTO;
	struct str peer = k->peer_id ? k->peer_id(k, s) : (struct str){ 0 };

	if (codec == HTTP_CODEC_AUTO)
		codec = e->ask.h2 ? HTTP_CODEC_H2 : HTTP_CODEC_H1;
	if (peer.n)
		c->peer_id = str_dup(peer);
	if (k->local)
		k->local(k, s, &c->local);
	timer_stop(&c->timer);
	c->http = http_conn_client(s, codec, k->http ? k->http : &http_conn_default, &conn_ops, c);
	if (!c->http) {
		uconn_end(c, FAIL_MEMORY);
		uentry_fail(e, FAIL_MEMORY, "");
		return;
	}
	e->n_connecting--;
	e->h2 = codec == HTTP_CODEC_H2;
	http_conn_keepalive(c->http, conf_of(c)->ping_ms, conf_of(c)->ping_timeout_ms);
	if (conf_of(c)->max_connection_ms) {
		c->timer.fire = on_life_over;
		timer_start(&c->timer, conf_of(c)->max_connection_ms);
	}
	settle(c);
}

static void on_race(void *arg, struct stage *s, const struct addr *to, enum fail why, const char *detail)
{
	struct uconn *c = arg;
	struct uentry *e = c->entry;

	c->race = NULL;
	c->peer = *to;
	if (s) {
		established(c, s);
		return;
	}
	uconn_end(c, why);
	uentry_fail(e, why, detail);
}

bool uconn_dial(struct uentry *e)
{
	struct uconn *c;

	if (!upool_limit_take(e))
		return false;
	c = xcalloc(1, sizeof(*c));
	c->entry = e;
	c->counted = true;
	list_init(&c->ready);
	list_init(&c->idle);
	list_add_tail(&e->conns, &c->link);
	e->n_conns++;
	e->n_connecting++;
	timer_init(&c->timer, e->pool->loop, on_connect_timeout);
	c->race = race_start(e->pool->loop, e->pool->connector, e->cluster, &e->pick, &e->ask, on_race, c);
	if (!c->race) {
		conn_gone(c);
		return false;
	}
	timer_start(&c->timer, conf_of(c)->connect_ms ? conf_of(c)->connect_ms : LIMIT_CONNECT_MS);
	return true;
}

/* ---- the sweep ---- */

void upool_sweep_by(struct upool *p, uint64_t at_ms)
{
	uint64_t now = loop_now_ms(p->loop);

	if (timer_armed(&p->sweep) && p->sweep_ms <= at_ms)
		return;
	p->sweep_ms = at_ms;
	timer_start(&p->sweep, at_ms > now ? at_ms - now : 1);
}

void upool_sweep(struct upool *p)
{
	uint64_t now = loop_now_ms(p->loop), next = UINT64_MAX;
	int ended = 0;

	if (p->shrunk)
		malloc_trim(0);
	p->shrunk = false;
	list_each_safe(at, after, &p->idle) {
		struct uconn *c = container_of(at, struct uconn, idle);
		uint64_t age = now - c->idle_ms, limit = idle_limit(c), wait;

		if (c->uses && !c->entry->h2)
			upool_memory_open(upool_memory_of(p, c->entry), age);
		if (age >= limit || p->n_idle > LIMIT_POOL_IDLE || host_gone(c->entry->pick.host)) {
			uconn_end(c, FAIL_NONE);
			ended++;
			continue;
		}
		/* How long servers keep connections is learnt by looking at them, the older they are the less often. */
		wait = age / 8 > LIMIT_POOL_SWEEP_MS ? age / 8 : LIMIT_POOL_SWEEP_MS;
		if (wait > 60000 || c->entry->h2)
			wait = 60000;
		if (limit - age < wait)
			wait = limit - age;
		if (now + wait < next)
			next = now + wait;
	}
	/* Their memory is free some moments later. */
	p->shrunk = ended >= MANY;
	if (p->shrunk && next > now + 2 * LIMIT_POOL_SWEEP_MS)
		next = now + 2 * LIMIT_POOL_SWEEP_MS;
	if (next != UINT64_MAX)
		upool_sweep_by(p, next);
}
