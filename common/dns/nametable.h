/* SPDX-License-Identifier: Apache-2.0 */
/* What a name means in the mesh, seen from a workload, as ztunnel and Kubernetes have it: the name itself, its expansions to
 * ("cart", "cart.shop", "cart.shop.svc"), the same after one of the search domains is stripped off, each also by the wildcards
 * of services; then the pods of headless services ("db-0.db.shop.svc.cluster.local"). Within a turn of the loop. */
#ifndef DNS_NAMETABLE_H
#define DNS_NAMETABLE_H

#include "dns/dnsmsg.h"
#include "model/mesh.h"

struct nametable_view {
	const struct mesh *mesh;
	const struct workload *client;   /* who asks */
	const char *const *search;       /* domains, lower case; NULL: <ns>.svc.<domain>, svc.<domain>, <domain> */
	int n_search;
	const char *preferred_ns;        /* PREFERED_SERVICE_NAMESPACE; NULL or "": none */
};

/* What was found; borrowed from the mesh. */
struct nametable_match {
	struct service *service;         /* NULL: a pod of a headless service */
	struct workload *workload;
	bool cluster;                    /* its name lies in the cluster's domain: nobody else knows more of it */
	int stripped;                    /* > 0: matched as the first that many labels of the name, by a search domain */
};

/* name: lower case, without final dot. False: the mesh does not know it. */
bool nametable_find(const struct nametable_view *v, const char *name, struct nametable_match *ret);

/* The addresses of one family that the client may use, in random order: up to max, into ret. How many. */
int nametable_addresses(const struct nametable_view *v, const struct nametable_match *m, bool v4, struct ip *ret, int max);

/* Calls fn with the keys ("namespace/hostname") under which a control plane could have the name, most likely first. */
void nametable_keys(const struct nametable_view *v, const char *name, void (*fn)(void *arg, struct str key), void *arg);

#endif
