/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata exchange over TCP as a stage (ALPN istio-peer-exchange, telemetry/peermeta.h): says who we are before our first byte,
 * and takes out what the peer says before his. */
#ifndef MODES_MX_H
#define MODES_MX_H

#include "io/stage.h"
#include "telemetry/peer.h"

typedef void mx_peer_fn(void *arg, const struct peer *peer);

/* A server's, over an open TLS stage that agreed on the protocol: our frame goes with our first byte or after the peer's, so that
 * one without the filter sees nothing of it before he spoke. own is copied. NULL: out of memory (below is ended). */
struct stage *mx_server(struct stage *below, struct str own, mx_peer_fn *on_peer, void *arg);
/* A client's, over a TLS stage that is not open yet: OPEN comes through, and our frame is sent; unless `agreed` says then that the
 * protocol was not agreed on: everything is passed on. */
struct stage *mx_client(struct stage *below, struct str own, bool (*agreed)(const struct stage *below));
/* on_peer comes at most once, before the peer's first byte, or now if he has said it already; the texts are lent. Nothing where s
 * is none of ours. */
void mx_on_peer(struct stage *s, mx_peer_fn *on_peer, void *arg);
bool mx_agreed(const struct stage *tls);   /* that predicate for a TLS stage */
/* The stage below; s itself when it is none of ours. */
struct stage *mx_below(struct stage *s);

#endif
