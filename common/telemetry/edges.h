/* SPDX-License-Identifier: Apache-2.0 */
/* Who talks to whom: connections and requests by reporter, source, destination and service, in every mode, whatever Telemetry
 * objects say of metrics. Each thread adds to a table of its own (tally.h), which is bounded: what comes late is counted between ends
 * that are called "overflow". */
#ifndef TELEMETRY_EDGES_H
#define TELEMETRY_EDGES_H

#include "base/fail.h"
#include "telemetry/tally.h"

enum edge_count { EDGE_CONNECTIONS, EDGE_REQUESTS, EDGE_REFUSED, EDGE_FAILED, EDGE_RECEIVED, EDGE_SENT, EDGE_COUNTS };

/* One end. It is called by its SPIFFE ID, else by the workload that has the address ("ns/name"), else "unknown". */
struct edge_end {
	struct str identity, ns, workload;
};

/* The row to which this thread adds, by tally_add. reporter: as in the metrics. service: its host name, or empty. NULL: out of memory. */
struct tally_row *edge_row(struct str reporter, const struct edge_end *source, const struct edge_end *destination, struct str service);
/* How a connection or request ended: refused, if that was decided of it, or failed. status: of an answer; 0: none. */
void edge_end(struct tally_row *r, enum fail why, int status);

struct edge {
	struct str reporter, source, destination, service;   /* service: empty if there is none */
	uint64_t count[EDGE_COUNTS];         /* since the process started; bytes are those from and to the client */
};
/* The busiest first, at most max of them. What is left is summed in *rest. Returns how many that are. Control thread. */
size_t edges_each(size_t max, void (*fn)(const struct edge *e, void *arg), void *arg, struct edge *rest);

#endif
