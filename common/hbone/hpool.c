/* SPDX-License-Identifier: Apache-2.0 */
#include "hbone/hpool.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/tuning.h"
#include "tls/tls.h"

#define EXPECT_MAX 64

struct hpool {
	struct loop *loop;
	const struct sock_ops *sock_ops;
	struct map entries;        /* key -> struct entry */
	struct deferred grave;
	uint64_t n_alone;          /* names for entries that are used once */
	bool draining;
};

/* Everything towards one (identity, expected identities, address). */
struct entry {
	struct hpool *pool;
	struct buf key;            /* owned; the map borrows it */
	struct tlsctx *ctx;        /* reference; the newest seen */
	struct str *expect;        /* owned, the texts lie in the key */
	int n_expect;
	struct addr addr;
	struct list conns;
	struct list waiting;       /* tunnels without a stream */
	struct deferred serve;
	struct hconn *dialing;
	struct stage *outer;       /* owned until it is dialled over: the tunnel that the only connection goes through */
	bool alone;                /* for one stream, once */
};

struct hconn {
	struct list link;
	struct entry *entry;
	struct stage *below;       /* a socket, for its errno; or the outer tunnel, for its error */
	struct stage *tls;         /* owned until h2 has it */
	struct h2 *h2;
	struct tlsctx *ctx;        /* reference */
	struct timer idle;
	struct deferred grave;
	bool retired, checked, dead;
};

/* A request that waits for its stream, then for the reply; one block with its texts. */
struct request {
	struct tunnel *tunnel;
	struct timer deadline;     /* of the reply */
	struct str authority, baggage, forwarded, traceparent, network, xfcc;
	char text[];
};

struct tunnel {
	struct stage stage;
	struct list link;          /* in entry.waiting; alone once it has a stream */
	struct entry *entry;       /* only while waiting */
	struct hconn *conn;        /* from the start of the stream to the reply */
	struct http_stream *stream;  /* owned; NULL while waiting */
	struct request *request;   /* owned; NULL once the reply came */
	struct buf early;          /* written while waiting */
	struct deferred grave;
	char *error;               /* owned; NULL: none */
	int status;
	bool open, want_read, shut, done, closed, sent_data, refused, lost;
};

static void entry_serve(struct deferred *d);

static struct tunnel *tunnel_of(const struct stage *s)
{
	return container_of(s, struct tunnel, stage);
}

/* ---- entries ---- */

static int compare_str(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int c = memcmp(x->p, y->p, n);

	return c ? c : (x->n > y->n) - (x->n < y->n);
}

static void make_key(const struct hpool_target *t, const struct str *expect, uint64_t alone, struct buf *key)
{
	buf_append(key, &alone, sizeof(alone));
	buf_append(key, &t->addr.ip, sizeof(t->addr.ip));
	buf_append(key, &t->addr.port, sizeof(t->addr.port));
	buf_printf(key, "|%.*s|", STR_FMT(t->own_id));
	for (int i = 0; i < t->n_expect; i++)
		buf_printf(key, "%.*s|", STR_FMT(expect[i]));
}

/* alone: 0, or the entry's own number. */
static struct entry *entry_get(struct hpool *p, const struct hpool_target *t, uint64_t alone)
{
	struct str sorted[EXPECT_MAX];
	struct buf key = { 0 };
	struct entry *e;
	size_t at;

	if (t->n_expect > EXPECT_MAX)
		return NULL;
	if (t->n_expect)
		memcpy(sorted, t->expect, (size_t)t->n_expect * sizeof(*sorted));
	qsort(sorted, (size_t)t->n_expect, sizeof(*sorted), compare_str);
	make_key(t, sorted, alone, &key);
	e = map_get(&p->entries, buf_str(&key));
	if (e) {
		buf_done(&key);
		return e;
	}
	e = xcalloc(1, sizeof(*e));
	e->pool = p;
	e->key = key;
	e->expect = xcalloc((size_t)t->n_expect, sizeof(*e->expect));
	e->n_expect = t->n_expect;
	at = buf_len(&key);
	for (int i = t->n_expect - 1; i >= 0; i--) {
		at -= sorted[i].n + 1;
		e->expect[i] = (struct str){ (char *)buf_data(&e->key) + at, sorted[i].n };
	}
	e->addr = t->addr;
	e->alone = alone != 0;
	e->serve.run = entry_serve;
	list_init(&e->conns);
	list_init(&e->waiting);
	map_put(&p->entries, buf_str(&e->key), e);
	return e;
}

static void entry_free(struct entry *e)
{
	map_del(&e->pool->entries, buf_str(&e->key));
	stage_done(e->outer, FAIL_CLIENT_RESET);
	tlsctx_unref(e->ctx);
	buf_done(&e->key);
	free(e->expect);
	free(e);
}

static void entry_release(struct entry *e)
{
	if (list_empty(&e->conns) && list_empty(&e->waiting) && !deferred_queued(&e->serve))
		entry_free(e);
}

/* ---- tunnels ---- */

static void request_drop(struct tunnel *t)
{
	if (t->request)
		timer_stop(&t->request->deadline);
	free(t->request);
	t->request = NULL;
}

static void tunnel_free(struct deferred *d)
{
	struct tunnel *t = container_of(d, struct tunnel, grave);

	buf_done(&t->early);
	free(t->error);
	free(t);
}

static void tunnel_fail(struct tunnel *t, enum fail why)
{
	if (t->closed || t->done)
		return;
	t->closed = true;
	t->stage.fail = why;
	request_drop(t);
	list_del(&t->link);
	stage_emit(&t->stage, STAGE_CLOSED, NULL, 0);
}

static void take_reply(struct tunnel *t, const struct http_head *head)
{
	t->status = head->status;
	request_drop(t);
	if (head->status != 200) {
		t->error = xasprintf("http status: %d", head->status);
		tunnel_fail(t, head->status == 401 ? FAIL_DENIED_BY_PEER : FAIL_HTTP_STATUS);
		return;
	}
	t->open = true;
	stage_want(&t->stream->stage, t->want_read);
	stage_emit(&t->stage, STAGE_OPEN, NULL, 0);
	t->conn = NULL;
}

static void on_stream(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	struct tunnel *t = s->arg;

	switch (ev) {
	case STAGE_OPEN:
		take_reply(t, t->stream->head);
		break;
	case STAGE_DATA:
	case STAGE_EOF:
		stage_emit(&t->stage, ev, iov, n);
		break;
	case STAGE_DRAINED:
		stage_set_queued(&t->stage, s->queued);
		break;
	case STAGE_CLOSED:
		t->refused = t->stream->refused;
		/* A server judges our certificate only after its half of the handshake. */
		if (t->conn && tls_error(t->conn->tls)[0])
			t->error = xstrdup(tls_error(t->conn->tls));
		tunnel_fail(t, s->fail == FAIL_NONE && !t->open ? FAIL_PEER_CLOSED : s->fail);
		break;
	}
}

static void tunnel_write(struct stage *s, const struct iovec *iov, int n)
{
	struct tunnel *t = tunnel_of(s);

	if (t->closed || t->done)
		return;
	if (t->stream) {
		t->sent_data = true;
		stage_write(&t->stream->stage, iov, n);
		stage_set_queued(s, t->stream->stage.queued);
	} else {
		t->lost |= buf_append_iov(&t->early, iov, n, 0) < 0;
		stage_set_queued(s, buf_len(&t->early));
	}
}

static void tunnel_want(struct stage *s, bool read)
{
	struct tunnel *t = tunnel_of(s);

	t->want_read = read;
	if (t->stream && !t->closed)
		stage_want(&t->stream->stage, read);
}

static void tunnel_shut(struct stage *s)
{
	struct tunnel *t = tunnel_of(s);

	t->shut = true;
	if (t->stream && !t->closed)
		stage_shut(&t->stream->stage);
}

static void tunnel_done(struct stage *s, enum fail why)
{
	struct tunnel *t = tunnel_of(s);

	if (t->done)
		return;
	t->done = true;
	request_drop(t);
	list_del(&t->link);
	if (t->stream)
		stage_done(&t->stream->stage, why);
	else if (!t->closed)
		loop_defer(s->loop, &t->entry->serve);   /* the entry may have nobody left */
	t->grave.run = tunnel_free;
	loop_bury(s->loop, &t->grave);
}

static const struct stage_ops tunnel_ops = {
	.name = "tunnel", .write = tunnel_write, .want = tunnel_want, .shut = tunnel_shut, .done = tunnel_done,
};

static void on_reply_timeout(struct timer *timer)
{
	tunnel_fail(container_of(timer, struct request, deadline)->tunnel, FAIL_REPLY_TIMEOUT);
}

static int add_field(struct http_field *f, int n, const char *name, struct str value)
{
	if (value.n)
		f[n++] = (struct http_field){ str_c(name), value };
	return n;
}

/* Gives a waiting tunnel its stream. False: the connection had no room after all. */
static bool tunnel_start(struct tunnel *t, struct hconn *c)
{
	struct request *r = t->request;
	struct http_field fields[5];
	int n = 0;

	n = add_field(fields, n, "baggage", r->baggage);
	n = add_field(fields, n, "forwarded", r->forwarded);
	n = add_field(fields, n, "traceparent", r->traceparent);
	n = add_field(fields, n, "x-forwarded-network", r->network);
	n = add_field(fields, n, "x-forwarded-client-cert", r->xfcc);
	t->stream = h2_request(c->h2, &(struct http_head){ .method = str_c("CONNECT"), .authority = r->authority, .fields = fields, .n_fields = n });
	if (!t->stream)
		return false;
	list_del(&t->link);
	timer_stop(&c->idle);
	t->conn = c;
	c->retired |= c->entry->alone;
	t->stream->stage.on_event = on_stream;
	t->stream->stage.arg = t;
	if (buf_len(&t->early)) {
		struct iovec iov = { buf_data(&t->early), buf_len(&t->early) };

		t->sent_data = true;
		stage_write(&t->stream->stage, &iov, 1);
		buf_done(&t->early);
	}
	stage_want(&t->stream->stage, true);   /* so that an end before the reply is seen */
	if (t->shut)
		stage_shut(&t->stream->stage);
	stage_set_queued(&t->stage, t->stream->stage.queued);
	timer_start(&r->deadline, LIMIT_CONNECT_REPLY_MS);
	return true;
}

/* ---- connections ---- */

static void hconn_free(struct deferred *d)
{
	struct hconn *c = container_of(d, struct hconn, grave);

	tlsctx_unref(c->ctx);
	free(c);
}

static void hconn_end(struct hconn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	timer_stop(&c->idle);
	list_del(&c->link);
	if (c->entry->dialing == c)
		c->entry->dialing = NULL;
	loop_defer(c->entry->pool->loop, &c->entry->serve);
	c->grave.run = hconn_free;
	loop_bury(c->entry->pool->loop, &c->grave);
}

static void hconn_maybe_idle(struct hconn *c)
{
	if (!c->h2 || c->dead || h2_streams(c->h2) || !list_empty(&c->entry->waiting))
		return;
	if (c->retired || c->entry->pool->draining) {
		h2_close(c->h2, FAIL_NONE);
		hconn_end(c);
	} else if (!timer_armed(&c->idle)) {
		timer_start(&c->idle, tuning.pool_idle_ms);
	}
}

static void on_idle(struct timer *t)
{
	struct hconn *c = container_of(t, struct hconn, idle);

	if (c->h2 && h2_streams(c->h2) == 0) {
		h2_close(c->h2, FAIL_NONE);
		hconn_end(c);
	}
}

static void on_room(struct h2 *h, void *arg)
{
	struct hconn *c = arg;

	loop_defer(c->entry->pool->loop, &c->entry->serve);
}

static void on_h2_closed(struct h2 *h, enum fail why, void *arg)
{
	hconn_end(arg);
}

static const struct h2_ops h2_ops = { .on_settings = on_room, .on_room = on_room, .on_closed = on_h2_closed };

static void fail_waiting(struct entry *e, enum fail why, const char *text)
{
	while (!list_empty(&e->waiting)) {
		struct tunnel *t = container_of(e->waiting.next, struct tunnel, link);

		t->error = xstrdup(text);
		tunnel_fail(t, why);
	}
}

/* The dial or the handshake failed: every tunnel that waits for this key learns why. */
static void dial_failed(struct hconn *c, struct stage *tls)
{
	struct entry *e = c->entry;
	enum fail why = tls->fail == FAIL_CONNECT_TIMEOUT ? FAIL_NETWORK_POLICY : tls->fail;
	char text[256];

	if (tls_error(tls)[0])
		snprintf(text, sizeof(text), "%s", tls_error(tls));
	else if (e->alone)
		snprintf(text, sizeof(text), "%s", hpool_error(c->below));
	else
		snprintf(text, sizeof(text), "%s", sock_errno(c->below) && why != FAIL_NETWORK_POLICY ? strerror(sock_errno(c->below)) : "");
	hconn_end(c);
	fail_waiting(e, why, text);
	stage_done(tls, why);
}

static void on_tls(struct stage *tls, enum stage_event ev, const struct iovec *iov, int n)
{
	struct hconn *c = tls->arg;
	struct entry *e = c->entry;

	if (ev == STAGE_CLOSED) {
		dial_failed(c, tls);
		return;
	}
	if (ev != STAGE_OPEN)
		return;
	e->dialing = NULL;
	c->h2 = h2_new(tls, false, &h2_conf_tunnels, &h2_ops, c);
	if (!c->h2)
		hconn_end(c);
	loop_defer(e->pool->loop, &e->serve);
}

static void dial(struct entry *e)
{
	struct hconn *c = xcalloc(1, sizeof(*c));

	c->entry = e;
	c->ctx = tlsctx_ref(e->ctx);
	timer_init(&c->idle, e->pool->loop, on_idle);
	list_add_tail(&e->conns, &c->link);
	e->dialing = c;
	c->below = e->alone ? e->outer : sock_connect(e->pool->loop, &e->addr, NULL, e->pool->sock_ops, 0);
	e->outer = NULL;
	c->tls = c->below ? tls_client(c->below, c->ctx, e->expect, e->n_expect) : NULL;
	if (c->tls)     /* the same peer, whether alone or not */
		tls_resume(c->tls, (struct str){ (char *)buf_data(&e->key) + sizeof(uint64_t), buf_len(&e->key) - sizeof(uint64_t) });
	if (!c->tls) {
		hconn_end(c);
		fail_waiting(e, FAIL_MEMORY, "");
		return;
	}
	c->tls->on_event = on_tls;
	c->tls->arg = c;
}

static struct hconn *find_room(struct entry *e)
{
	list_each(at, &e->conns) {
		struct hconn *c = container_of(at, struct hconn, link);

		if (c->h2 && !c->retired && h2_room(c->h2) > 0)
			return c;
	}
	return NULL;
}

/* A connection of an older context lives on only while its peer is good under the present one. */
static void hconn_recheck(struct hconn *c)
{
	if (!c->retired || c->checked || !c->h2 || (c->entry->alone && c->ctx == c->entry->ctx))
		return;
	c->checked = true;
	if (tls_still_valid(c->tls, c->entry->ctx))
		return;
	h2_close(c->h2, FAIL_CERT_REVOKED);
	hconn_end(c);
}

static void entry_serve(struct deferred *d)
{
	struct entry *e = container_of(d, struct entry, serve);

	list_each_safe(at, next, &e->conns)
		hconn_recheck(container_of(at, struct hconn, link));
	while (!list_empty(&e->waiting)) {
		struct tunnel *t = container_of(e->waiting.next, struct tunnel, link);
		struct hconn *c = t->lost ? NULL : find_room(e);

		if (t->lost)
			tunnel_fail(t, FAIL_MEMORY);
		else if (!c || !tunnel_start(t, c))
			break;
	}
	if (!list_empty(&e->waiting) && !e->dialing) {
		if (e->alone && (!e->outer || tunnel_of(e->outer)->closed))
			fail_waiting(e, e->outer ? e->outer->fail : FAIL_PEER_CLOSED, "");
		else
			dial(e);
	}
	list_each_safe(at, next, &e->conns)
		hconn_maybe_idle(container_of(at, struct hconn, link));
	entry_release(e);
}

/* ---- the pool ---- */

struct hpool *hpool_new(struct loop *l, const struct sock_ops *ops)
{
	struct hpool *p = xcalloc(1, sizeof(*p));

	p->loop = l;
	p->sock_ops = ops;
	return p;
}

static struct str keep(char **at, struct str s)
{
	struct str kept = { *at, s.n };

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

static struct request *request_copy(const struct hpool_request *r)
{
	struct request *q = malloc(sizeof(*q) + r->authority.n + r->baggage.n + r->forwarded.n + r->traceparent.n + r->forwarded_network.n + r->xfcc.n);
	char *at = q ? q->text : NULL;

	if (!q)
		return NULL;
	q->authority = keep(&at, r->authority);
	q->baggage = keep(&at, r->baggage);
	q->forwarded = keep(&at, r->forwarded);
	q->traceparent = keep(&at, r->traceparent);
	q->network = keep(&at, r->forwarded_network);
	q->xfcc = keep(&at, r->xfcc);
	return q;
}

static struct stage *entry_open(struct entry *e, const struct hpool_target *target, const struct hpool_request *r)
{
	struct tunnel *t = e ? calloc(1, sizeof(*t)) : NULL;

	if (!t)
		return NULL;
	if (e->ctx != target->ctx) {
		tlsctx_unref(e->ctx);
		e->ctx = tlsctx_ref(target->ctx);
	}
	t->stage = (struct stage){ .ops = &tunnel_ops, .loop = e->pool->loop };
	t->entry = e;
	t->request = request_copy(r);
	if (!t->request) {
		free(t);
		return NULL;
	}
	t->request->tunnel = t;
	timer_init(&t->request->deadline, e->pool->loop, on_reply_timeout);
	list_add_tail(&e->waiting, &t->link);
	loop_defer(e->pool->loop, &e->serve);
	return &t->stage;
}

struct stage *hpool_open(struct hpool *p, const struct hpool_target *target, const struct hpool_request *r)
{
	return entry_open(entry_get(p, target, 0), target, r);
}

struct stage *hpool_open_via(struct hpool *p, const struct hpool_via *via, const struct hpool_target *t, const struct hpool_request *r)
{
	struct stage *outer = hpool_open(p, &via->target, &via->request);
	struct entry *e = outer ? entry_get(p, t, ++p->n_alone) : NULL;

	if (!e) {
		stage_done(outer, FAIL_MEMORY);
		return NULL;
	}
	e->outer = outer;
	loop_defer(p->loop, &e->serve);   /* should the next line fail */
	return entry_open(e, t, r);
}

int hpool_status(const struct stage *tunnel)
{
	return tunnel_of(tunnel)->status;
}

bool hpool_may_retry(const struct stage *tunnel)
{
	const struct tunnel *t = tunnel_of(tunnel);

	return !t->open && (!t->sent_data || t->refused || t->status != 0);
}

const char *hpool_error(const struct stage *tunnel)
{
	const char *error = tunnel_of(tunnel)->error;

	return error ? error : "";
}

struct str hpool_peer_id(const struct stage *tunnel)
{
	const struct hconn *c = tunnel_of(tunnel)->conn;

	return c ? tls_peer_id(c->tls) : (struct str){ 0 };
}

struct str hpool_reply_baggage(const struct stage *tunnel)
{
	const struct http_head *head = tunnel_of(tunnel)->stream->head;

	return head ? http_head_get(head, "baggage") : (struct str){ 0 };
}

static void each_conn(struct hpool *p, void (*fn)(struct hconn *c, void *arg), void *arg)
{
	map_each(slot, &p->entries) {
		struct entry *e = slot->value;

		list_each_safe(at, next, &e->conns)
			fn(container_of(at, struct hconn, link), arg);
	}
}

static void entry_retire(struct entry *e, struct tlsctx *old, struct tlsctx *now)
{
	if (now && e->ctx == old) {
		e->ctx = tlsctx_ref(now);
		tlsctx_unref(old);
	}
	list_each(at, &e->conns) {
		struct hconn *c = container_of(at, struct hconn, link);

		c->retired |= c->ctx == old;
	}
	/* Not now: cutting a connection may open others, and change the map that is being walked. */
	loop_defer(e->pool->loop, &e->serve);
}

void hpool_retire(struct hpool *p, struct tlsctx *old, struct tlsctx *now)
{
	map_each(slot, &p->entries)
		entry_retire(slot->value, old, now);
}

static void drain(struct hconn *c, void *arg)
{
	hconn_maybe_idle(c);
}

void hpool_drain(struct hpool *p)
{
	p->draining = true;
	each_conn(p, drain, NULL);
}

static void cut(struct hconn *c, void *arg)
{
	if (c->h2)
		h2_close(c->h2, FAIL_DRAIN);
	else
		stage_done(c->tls, FAIL_DRAIN);
	hconn_end(c);
}

static void hpool_bury(struct deferred *d)
{
	struct hpool *p = container_of(d, struct hpool, grave);

	map_done(&p->entries);
	free(p);
}

void hpool_free(struct hpool *p)
{
	each_conn(p, cut, NULL);
	map_each(slot, &p->entries) {
		struct entry *e = slot->value;

		fail_waiting(e, FAIL_DRAIN, "");
		loop_defer(p->loop, &e->serve);
	}
	/* After the entries, which let go of themselves at the end of the turn. */
	p->grave.run = hpool_bury;
	loop_bury(p->loop, &p->grave);
}
