/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters whose servers are named by requests (Envoy's dynamic forward proxy; ServiceEntry resolution DYNAMIC_DNS): the Host of a
 * request, the server name of a client's TLS. Each name has a cluster of its own (CLUSTER_NAME), with hosts, ejections and pooled
 * connections, made when it is first asked for; all of them count against the limits of the one they belong to. Names that nobody
 * used for LIMIT_NAME_IDLE_MS go when others come; beyond LIMIT_NAMES there are no new ones unless one is not in use.
 *
 * Nothing inside may be reached by a name from outside: addresses are refused that are loopback, link-local, a cloud's metadata service, multicast or unspecified,
 * that the mesh's services have, or that are our own (FAIL_FORBIDDEN_ADDRESS). What was judged is what is dialled: a name is not
 * looked up twice. Istio's Envoy does not look at them. */
#ifndef TRAFFIC_NAMED_H
#define TRAFFIC_NAMED_H

#include "dns/hostnames.h"
#include "traffic/cluster.h"

#define NAMED_MAX 254            /* bytes of a name, with the zero */

/* Whether a name may be asked for: the host of an authority, or a server name. ret: in lower case, without port.
 * Else HOST_ADDRESS or HOST_OUTSIDE. */
enum fail named_check(const char *const *patterns, int n, struct str authority, char ret[NAMED_MAX]);

/* Whether no name outside may lead there, as seen from a workload (NULL ok). */
bool named_forbids(const struct mesh *m, const struct workload *client, const struct ip *ip);

struct named_wait {
	struct hostname_wait wait;
	struct cluster *cluster;     /* reference, while it waits; NULL: it does not */
	/* Never within the call. The reference is now the receiver's. */
	void (*on_cluster)(struct named_wait *w, struct cluster *name);
};

/* What a name that was checked leads to: a reference in *ret, or NULL there, and w waits for the name's first answer. FAIL_NAMES_FULL:
 * there are too many names. c is CLUSTER_NAMED. */
enum fail named_get(struct cluster *c, const char *name, struct loop *l, struct named_wait *w, struct cluster **ret);
/* Whether `name` is one that named_get gives now. Any cluster c. */
bool named_has(struct cluster *c, const struct cluster *name);
void named_cancel(struct named_wait *w);     /* ok if it does not wait; w was zeroed at first */

#endif
