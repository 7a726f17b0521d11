/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that a sidecar took: until it is known what it carries, and, if that is bytes, until its end. The client's first bytes
 * decide, or the server's if it speaks first: where nothing is declared and the client says nothing, the destination of bytes is
 * dialled meanwhile. Requests go on in a struct hconn. */
#ifndef MODES_SIDE_H
#define MODES_SIDE_H

#include "modes/conn.h"
#include "modes/hconn.h"
#include "modes/sniff.h"
#include "policy/scope.h"

struct side {
	struct conn conn;                /* pump.down: what the client speaks on now; pump.up: the destination, once open */
	struct env *env;                 /* reference */
	const struct inbound_port *in;   /* of env's plan; NULL: outbound */
	struct service *target;          /* reference; what a waypoint was asked for; NULL: something else */
	char *asked;                     /* owned; the host that a waypoint was asked for in the place of a wildcard; NULL: none */
	const struct outbound_port *out; /* of env's plan; NULL: inbound, or nobody knows the destination */
	struct addr to;                  /* the original destination */
	enum mtls_mode mtls;             /* inbound: what PeerAuthentication says of the port */
	struct http_stream *tunnel;      /* HBONE: not answered yet; NULL: it is, or there is none */
	bool tunnelled;                  /* it came in one: who the peer is was told before */
	struct sniff sniff;
	struct buf early;                /* the client's, until there is a destination */
	struct l4_try *trying;           /* owned */
	struct cluster *cluster;         /* of that; borrowed from the plan */
	const struct l4_route *route;    /* that led there; of env's plan; NULL: none did */
	struct pick pick;                /* of pump.up; ours when picked */
	struct timer patience;           /* a first message that was begun must end; what it is, no timer decides */
	bool picked, bytes, client_eof;
	bool handshaking;                /* counted in pod.shared.n_handshakes */
	void (*decide)(struct side *s, enum sniff_kind kind);   /* what the first bytes say; then it is one of the ways below */
};

/* NULL: out of memory; down is ended. The connection was counted by pod_count. */
struct side *side_new(struct pod *pod, struct stage *down, enum flow_direction direction, struct workload *local, struct chain *chain);
/* Waits for the client's first bytes. dial: meanwhile this is dialled, and what it says first decides; NULL: nothing. */
void side_listen(struct side *s, struct cluster *dial);
/* It carries bytes, for this destination. */
void side_bytes(struct side *s, struct cluster *to);
/* It carries requests. */
void side_http(struct side *s, enum http_codec codec, const struct hconn_from *from);
/* What the peer says of itself (modes/mx.h). */
void side_on_peer(void *side, const struct peer *peer);
void side_handshake_over(struct side *s);
/* False, and it is ended, when policy denies it. */
bool side_judge(struct side *s);
void side_drop_dial(struct side *s);
/* Ends it without a word in the access log: nothing was asked for, or it was told otherwise. */
void side_leave(struct side *s, enum fail why);
void side_fail(struct side *s, enum fail why, const char *detail);
/* One of the weighted targets of the first route for that name and address; NULL: none. */
struct cluster *side_target(struct side *s, const struct l4_route *v, int n, const char *sni, enum fail *why);

#endif
