/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata exchange in HTTP headers (telemetry/peermeta.h), as Istio's peer_metadata filter does it: a client's proxy says who it is,
 * the server's proxy answers in kind and keeps both from the application. */
#ifndef MODES_MXFILTER_H
#define MODES_MXFILTER_H

#include "http/exchange.h"

/* conf: struct mxfilter. Borrowed texts. */
struct mxfilter {
	struct str id, value;        /* of our workload; empty: we say nothing */
	bool in_mesh;                /* servers outside the mesh are told nothing */
};

/* The latter after the route is known. */
extern const struct filter_ops mx_in_filter, mx_out_filter;

#endif
