/* SPDX-License-Identifier: Apache-2.0 */
/* Where a captured connection goes: the destination choice of ztunnel's outbound path, plus retries elsewhere and the
 * avoidance of endpoints that failed lately. */
#ifndef TRAFFIC_DEST_H
#define TRAFFIC_DEST_H

#include "model/mesh.h"

#define DEST_EXPECT_MAX 16        /* the workload's own identity, and the first sans of the service */
#define DEST_HBONE_PORT 15008

enum dest_kind {
	DEST_PASSTHROUGH,     /* nothing known: plain TCP to the original address */
	DEST_PLAIN,           /* plain TCP to an endpoint of the mesh */
	DEST_HBONE,           /* tunnel to addr:15008, CONNECT to `target` */
	DEST_NONE,            /* a service without usable endpoint: FAIL_NO_ENDPOINT */
};

struct dest {
	enum dest_kind kind;
	struct addr target;            /* workload address and target port (or the original destination) */
	struct addr connect;           /* what to dial: target, or workload:15008 */
	struct workload *workload;     /* borrowed from the mesh; NULL for PASSTHROUGH */
	struct service *service;       /* borrowed; NULL when the address was no VIP */
	struct str expect[DEST_EXPECT_MAX];   /* identities accepted; borrowed from workload and service */
	int n_expect;
};

/* Endpoints already tried for this connection: never picked again while another is left. */
struct dest_tried {
	const struct workload *workload[8];
	int n;
};

/* client may be NULL (unknown), tried too (none). The service that has the address as VIP is asked first, then the workload
 * that has it; NONE is a service without usable endpoint for the port. Weighted random among the preferred; endpoints that
 * failed lately only if there are no others. `seed` is the caller's random state. All that ret borrows is of m. */
void dest_choose(const struct mesh *m, const struct workload *client, const struct addr *original,
		 const struct dest_tried *tried, uint64_t *seed, uint64_t now_ms, struct dest *ret);

/* Failed endpoints are avoided for LIMIT_EJECT_MS. Process-wide, any thread, lock-free; now_ms is one monotonic clock's. */
void dest_failed(const struct workload *w, uint64_t now_ms);
void dest_worked(const struct workload *w);

#endif
