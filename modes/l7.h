/* SPDX-License-Identifier: Apache-2.0 */
/* What one worker's part of a pod has where requests are seen, in sidecar and waypoint mode, beside what ztunnel mode has. A captured
 * connection, or a tunnel, becomes a `struct side` (modes/side.h) until it is known what it carries; requests go on in a `struct hconn`
 * (modes/hconn.h). */
#ifndef MODES_L7_H
#define MODES_L7_H

#include "modes/chain.h"
#include "modes/crowd.h"
#include "modes/upstream.h"

struct l7_part {
	struct upstream upstream;
	struct upool *pool;              /* owned */
	struct chain *chain;             /* reference; NULL: none was needed yet */
	struct list https;               /* struct hconn */
	struct crowd crowd;              /* a waypoint's */
	struct list binds;               /* struct bind */
	struct http_conn_conf http;      /* of clients' connections */
	struct deferred grave;
};

bool l7_is_waypoint(const struct pod *pod);
void l7_register(void);                     /* its metrics; once, on the control thread */
struct l7_part *l7_new(struct pod *pod);
void l7_drain(struct pod *pod);             /* inbound alone: outbound works until the end */
void l7_hand_over(struct pod *pod);         /* all: another process serves from now on */
void l7_rejudge(struct pod *pod);
void l7_recheck(struct pod *pod);           /* a CRL changed: connections of peers that are revoked are cut */
void l7_renew(struct pod *pod);             /* another plan, or other endpoints */
void l7_leaving(struct pod *pod, struct cluster *cl);   /* a server of it said that it goes away */
void l7_retire(struct pod *pod);            /* a certificate was replaced: connections to servers take no new streams */
void l7_end(struct pod *pod);               /* cuts all that is HTTP; the rest goes at the end of the turn */

/* The listeners' handlers; each owns fd. */
void side_accept_out(struct pod *pod, int fd, const struct addr *peer);
void side_accept_in(struct pod *pod, int fd, const struct addr *peer);

/* The same at a listener of its own (modes/binds.h). */
void side_accept_out_at(struct pod *pod, int fd, const struct addr *peer, const struct addr *at);
void side_accept_in_at(struct pod *pod, int fd, const struct addr *peer, const struct addr *at);
/* A CONNECT that came to 15008, still without an answer; counted by pod_count. All is borrowed. */
struct side_tunnel {
	struct http_stream *stream;
	struct workload *local;          /* ours */
	struct addr peer;                /* of the HBONE connection */
	struct str peer_id;
	struct str caller;               /* who asks, as the peer says; empty: it does not */
	struct addr forwarded_for;       /* from where, as it says; port 0: it does not */
	struct addr to;                  /* of the application; at a waypoint what was asked for */
	struct service *service;         /* at a waypoint: the same; NULL: a workload */
	struct str asked;                /* the host within the service's wildcard that was asked for; empty: none */
};
void side_accept_tunnel(struct pod *pod, const struct side_tunnel *t);

/* Whether the mesh's CRL revokes the peer of a stage, if that is TLS and open. */
bool l7_revoked(struct pod *pod, const struct workload *local, struct stage *s);

/* A dial that nobody needed: the client's first bytes said something else. */
void l7_note_unused(void);

#endif
