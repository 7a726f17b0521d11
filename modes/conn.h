/* SPDX-License-Identifier: Apache-2.0 */
/* One proxied connection, inbound or outbound: two stages, first being set up, then pumped; its flow for telemetry; and
 * what is needed to judge it again. Lives on one worker. */
#ifndef MODES_CONN_H
#define MODES_CONN_H

#include "io/pump.h"
#include "modes/pod.h"
#include "policy/authz.h"
#include "traffic/guard.h"

struct conn {
	struct list link;                /* in pod.conns */
	struct pod *pod;                 /* a reference on what its parts share */
	struct flow flow;
	struct pump pump;                /* down and up are here from the start */
	struct workload *local;          /* reference */
	struct authz_input input;        /* inbound: what was judged; principal borrowed from flow.source_id or said.id */
	struct {                         /* inbound: who asks, as the peer's CONNECT says: believed of the own waypoint alone */
		char *id;                /* owned; NULL: nothing */
		struct addr from;        /* port 0: nothing */
	} said;
	enum guard guard;                /* inbound: what the peer is, as of the last judgement */
	struct addr meant;               /* outbound: where the client wanted to go; port 0: unknown */
	struct deferred grave;
	void (*free_fn)(struct conn *c); /* frees what embeds the connection; after conn_end */
	bool judged, counted, pumping, ended;
	unsigned idle_ms;                /* while it is pumped: without a byte; 0: for ever */
	uint64_t life_ms;                /* 0: for ever */
	uint64_t seen_bytes, seen_ms;    /* when bytes last moved, as of the last look */
	enum fail why;                   /* once ended */
	bool across;                     /* outbound: a tunnel in a tunnel, through another network's gateway */
};

/* Registers it; it was counted by pod_count. local may be NULL. */
void conn_init(struct conn *c, struct pod *pod, enum flow_direction direction, struct workload *local,
	       void (*free_fn)(struct conn *c));
/* Both stages are open: relays until the end, then closes the flow. */
void conn_pump(struct conn *c);
/* Closes the flow, ends both stages that are still there, and frees the connection at the end of the turn.
 * detail, policy, rule, would_allow as for flow_close. */
void conn_end(struct conn *c, enum fail why, const char *detail);
/* It goes on as something else: no flow was opened, its stages and its place in pod_count are not touched. Frees as conn_end. */
void conn_leave(struct conn *c);
/* False, and the connection is ended, when policy denies it. Remembers the input for later. */
bool conn_judge(struct conn *c, enum fail why_if_denied);
/* Settles who is judged, for a look at policies that decides nothing yet. False: nobody, it came past the waypoint that is required. */
bool conn_know_peer(struct conn *c);
/* The beginning of it, for what carries requests, which are judged one by one: false, and nothing happened, when the peer may not even
 * connect: conn_judge says so. */
bool conn_may_ask(struct conn *c);
/* Where the client is, as far as the application is to see: the peer's address, or what the own waypoint says. */
const struct addr *conn_client(const struct conn *c);
/* Counts it against the RateLimits of its workload, once. NULL: it may go on; else the rule that it is over. */
const char *conn_over_limit(struct conn *c);
/* What HBONE says of a workload: the `baggage` header's value. */
void conn_baggage(const struct workload *w, struct buf *out);
uint64_t conn_age_ms(const struct conn *c);
/* Adds the bytes moved since the last call to the metrics. */
void conn_account(struct conn *c);
/* Ends it, cleanly, when it was idle for idle_ms, or lived for life_ms. */
void conn_expire(struct conn *c, uint64_t now_ms);

#endif
