/* SPDX-License-Identifier: Apache-2.0 */
/* How a sidecar's connections reach endpoints (traffic/router.h: the connector of one worker's part of a pod): plain, by Istio's
 * mutual TLS with metadata exchange, by TLS of its own, or in an HBONE tunnel. */
#ifndef MODES_UPSTREAM_H
#define MODES_UPSTREAM_H

#include "modes/pod.h"
#include "traffic/router.h"

struct upstream {
	struct connector connector;
	struct pod *pod;             /* borrowed */
	struct http_conn_conf http;
	struct buf frame;            /* of metadata exchange, of our workload */
	struct workload *local;      /* whose frame that is: reference; NULL: none */
};

void upstream_init(struct upstream *u, struct pod *pod);
void upstream_done(struct upstream *u);
/* What we say of ourselves to peers over TCP; empty: we do not know. Borrowed until the next call. */
struct str upstream_frame(struct upstream *u);

#endif
