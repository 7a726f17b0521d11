/* SPDX-License-Identifier: Apache-2.0 */
/* One worker's connections to upstream hosts, as the router and urequest see them. Connections are kept by (cluster, host,
 * address, transport, who calls, server name, version). */
#ifndef TRAFFIC_UPOOL_INT_H
#define TRAFFIC_UPOOL_INT_H

#include "base/buf.h"
#include "base/map.h"
#include "traffic/race.h"
#include "traffic/router.h"

#define UPOOL_MEMORY 1024      /* hosts whose keep-alive time is remembered */

/* What is known of when a server closes idle HTTP/1 connections; kept beyond the connections. */
struct upool_memory {
	uint32_t host;             /* hash; 0: free */
	uint32_t closes_ms;        /* it closed one that was idle so long; 0: never seen */
	uint32_t open_ms;          /* one was idle so long and is, or was, open */
};

struct upool {
	struct loop *loop;
	struct connector *connector;
	struct map entries;        /* key -> struct uentry; retired ones are in none */
	struct list all;           /* every entry */
	struct list idle;          /* connections without a stream, quiet longest first */
	int n_idle;
	struct timer sweep;        /* over those */
	bool shrunk;               /* the last sweep ended many */
	uint64_t sweep_ms;         /* when it comes, while it is armed */
	struct deferred grave;
	bool draining, closed;     /* closed: upool_free was called */
	/* upool_limit.c; the first seven under its lock */
	struct list link;          /* of all pools of the process */
	struct cluster *asked;     /* reference: another pool needs a connection of this one */
	struct upool *asked_by;    /* which; may be gone */
	bool crowded;              /* others wanted to ask meanwhile: they are told when it is their turn */
	struct cluster *granted;   /* reference, with a place in its limit that another pool gave up for this one */
	bool starving;             /* requests wait for other pools' connections */
	bool freed;                /* a connection of some cluster went meanwhile */
	struct cluster *owed;      /* reference: the next connection of this one that comes free goes */
	struct upool *owed_to;
	uint64_t owed_ms;
	bool owed_more;            /* others were owed before: they ask again when a connection is idle */
	struct cluster *grant;     /* as `granted`, to be used in this turn */
	struct deferred regrant;
	ev_async wake;
	struct upool_memory memory[UPOOL_MEMORY];
};

/* Everything towards one host in one way. */
struct uentry {
	struct list link;          /* in pool->all */
	struct upool *pool;
	struct str key;            /* owned; the map borrows it */
	struct pick pick;          /* own reference of the host */
	struct cluster *cluster;   /* reference */
	struct connect_ask ask;    /* its texts lie in the key */
	struct list conns, ready, waiting;
	int n_conns, n_connecting, n_waiting;
	struct deferred serve;
	bool h2;                   /* what the next connection will most likely speak */
	bool retired;              /* serves who waits, and nobody else */
};

struct uconn {
	struct list link;          /* in entry->conns */
	struct list ready;         /* in entry->ready: takes another request */
	struct list idle;          /* in pool->idle */
	struct uentry *entry;
	struct race *race;         /* while it connects */
	struct http_conn *http;    /* NULL while it connects */
	struct timer timer;        /* of connecting; later of its life */
	struct deferred grave;
	uint64_t idle_ms;          /* since when no stream is open; 0: one is */
	uint32_t uses, promised_ms;  /* promised: what the server's Keep-Alive said; 0: nothing */
	char *peer_id;             /* owned; NULL */
	struct addr peer, local;   /* peer: the one of the host's addresses that answered */
	uint64_t was_idle_ms;      /* before the last request; 0: it was busy, or new */
	bool ended, retired, counted, leaving;   /* leaving: the server said so */
};

enum upool_want {
	UPOOL_ANY,         /* the request could be repeated: a connection that may just be closing will do */
	UPOOL_SURE,        /* only one that is certainly open */
	UPOOL_NEW,         /* none that was used before */
};

enum upool_answer { UPOOL_READY, UPOOL_WAIT, UPOOL_OVERFLOW };

/* Who waits for a connection; embedded. */
struct uwait {
	struct list link;
	struct uentry *entry;      /* NULL: it does not wait */
	enum upool_want want;
	bool switches;             /* the request asks to switch protocols: the peer must have said whether it takes such ones */
	/* c: to be used now or not at all, with uconn_begin before; NULL: why, and for logs what the connect or TLS said. */
	void (*on_conn)(struct uwait *w, struct uconn *c, enum fail why, const char *detail);
};

/* A connection that takes a request now (ret), or w waits. on_conn never comes within the call. */
enum upool_answer upool_take(struct upool *p, struct cluster *cl, const struct pick *pick, const struct connect_ask *ask,
			     enum upool_want want, struct uwait *w, struct uconn **ret);
void upool_cancel(struct uwait *w);

/* The server name to ask for (RFC 6066): the host of an authority; empty for an address. */
struct str upool_sni(struct str authority);

/* Around the sending of a request: begin, then sent. error: 0: there is a stream now; EINVAL: no connection would take that request; else
 * this one did not, though it said that it had room. */
void uconn_begin(struct uconn *c);
void uconn_sent(struct uconn *c, int error);
/* The head of a response came. The server may have named the time it keeps idle connections (Keep-Alive: timeout=); 0: it did not. */
void uconn_answered(struct uconn *c, unsigned keep_alive_s);

/* ---- within the pool ---- */

void upool_sweep(struct upool *p);                    /* closes what was quiet too long, learns from what is still open */
void upool_sweep_by(struct upool *p, uint64_t at_ms);
void uentry_grow(struct uentry *e);                  /* opens what the waiting need */
void uentry_serve_later(struct uentry *e);
void uentry_fail(struct uentry *e, enum fail why, const char *detail);   /* all that wait */
bool uconn_dial(struct uentry *e);                   /* false: out of memory or at the limit of connections */
void uconn_end(struct uconn *c, enum fail why);      /* closes it, streams too */
void uconn_retire(struct uconn *c);                  /* no more requests: closes now, or after its streams */
bool uconn_usable(const struct uconn *c, enum upool_want want, uint64_t now_ms);
struct uconn *uentry_ready(struct uentry *e, const struct uwait *w);

void upool_limit_join(struct upool *p);
void upool_limit_leave(struct upool *p);
/* A place for one more connection. False: there is none; others were asked, and who waits is served when one comes. */
bool upool_limit_take(struct uentry *e);
void upool_limit_freed(void);                                         /* a connection of some cluster went */
bool upool_limit_pay(struct upool *p, struct uconn *c);               /* this one, now idle, must go: another pool needs it */

struct upool_memory *upool_memory_of(struct upool *p, const struct uentry *e);
void upool_memory_closed(struct upool_memory *m, uint64_t idle_ms);   /* the server closed one that was idle so long */
void upool_memory_open(struct upool_memory *m, uint64_t idle_ms);     /* one is still open */
/* How long an idle connection may be used again; UINT64_MAX: nothing is known against it. */
uint64_t upool_memory_limit(const struct upool_memory *m, enum upool_want want);

#endif
