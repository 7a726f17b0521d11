/* SPDX-License-Identifier: Apache-2.0 */
/* What Istio's proxies tell each other of their workloads (Envoy's contrib/istio: metadata_exchange, peer_metadata): a
 * google.protobuf.Struct, over HTTP in base64 in the header x-envoy-peer-metadata, over TCP (ALPN istio-peer-exchange) in front
 * of the first byte of each direction. Readers of bytes from outside: bounded, wrong ones say nothing. */
#ifndef TELEMETRY_PEERMETA_H
#define TELEMETRY_PEERMETA_H

#include "base/buf.h"
#include "telemetry/peer.h"

#define PEERMETA_HEADER    "x-envoy-peer-metadata"
#define PEERMETA_HEADER_ID "x-envoy-peer-metadata-id"
#define PEERMETA_FRAME_HEAD 8         /* of the TCP form: magic and length, each 4 bytes, the first byte highest */

/* Our own. */
void peermeta_node(const struct workload *w, const char *cluster_domain, struct buf *out);   /* the header's -id: "sidecar~IP~NAME.NS~NS.svc.DOMAIN" */
void peermeta_struct(const struct workload *w, struct buf *out);
void peermeta_header(const struct workload *w, struct buf *out);
void peermeta_frame(const struct workload *w, const char *cluster_domain, struct buf *out);   /* head and all */

/* A peer's; ret borrows from what is read. False: it is malformed; ret is zero then. */
bool peermeta_parse(struct str bytes, struct peer *ret);
/* Decodes into mem, which has room for PEERMETA_DECODED(value.n) bytes and must outlive ret. */
bool peermeta_parse_header(struct str value, void *mem, struct peer *ret);
#define PEERMETA_DECODED(n) ((n) / 4 * 3 + 3)
/* 1: more bytes must come; 0: body_bytes follow; -1: this is no metadata but the first byte of what the peer has to say. */
int peermeta_frame_head(struct str bytes, size_t *body_bytes);
bool peermeta_parse_body(struct str body, struct peer *ret);

#endif
