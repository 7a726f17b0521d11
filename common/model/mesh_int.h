/* SPDX-License-Identifier: Apache-2.0 */
/* The indexes of a mesh. The maps by key hold the references; the others borrow. */
#ifndef MODEL_MESH_INT_H
#define MODEL_MESH_INT_H

#include "base/pmap.h"
#include "model/mesh.h"

struct settings_block {
	struct mesh_settings s;      /* first: the block begins with what readers see */
	int refs;                    /* of the writer */
};

struct mesh {
	uint64_t generation, policy_generation, traffic_generation;
	struct settings_block *settings;     /* shared; NULL: the defaults */
	struct pmap workloads;               /* by uid */
	struct pmap workloads_named;         /* by namespace and name */
	struct pmap workloads_at;            /* by network and address: one entry per address */
	struct pmap workloads_called;        /* by hostname, if they have one */
	struct pmap services;                /* by key */
	struct pmap services_at;             /* by network and CIDR: one entry per VIP */
	struct pmap services_called;         /* by hostname */
	struct pmap policies;                /* by key */
	struct pmap policies_in;             /* by namespace; global ones also by "" */
	struct pmap peer_authns;             /* by key */
	struct pmap peer_authns_in;          /* by namespace */
	struct pmap resources;               /* by kind and key */
	struct pmap resources_in;            /* by kind and namespace */
	struct pmap resources_of;            /* by kind */
	struct pmap request_authns, request_authns_in;
	struct pmap rate_limits, rate_limits_in;
	struct pmap policies_at, request_authns_at, rate_limits_at;     /* by what they are bound to; what is named twice is there twice */
	uint32_t n_guarded;                  /* services that name a waypoint */
	uint32_t n_vips[129];                /* VIPs with that many bits: a look-up tries only lengths that exist */
};

extern _Atomic(const struct mesh *) mesh_published;

static inline uint64_t mesh_hash(struct str s)
{
	return hash_bytes(s.p, s.n);
}

static inline uint64_t mesh_hash_pair(uint64_t a, uint64_t b)
{
	uint64_t pair[2] = { a, b };

	return hash_bytes(pair, sizeof(pair));
}

static inline uint64_t mesh_hash_kind(enum resource_kind kind, struct str s)
{
	return mesh_hash_pair((uint64_t)kind, mesh_hash(s));
}

static inline uint64_t mesh_hash_target(struct str ns, enum target_kind kind, struct str name)
{
	return mesh_hash_pair(mesh_hash(ns) + (uint64_t)kind, mesh_hash(name));
}

static inline uint64_t mesh_hash_cidr(uint64_t network, const struct ip *ip, unsigned bits)
{
	return mesh_hash_pair(network + bits, hash_bytes(ip->b, sizeof(ip->b)));
}

#endif
