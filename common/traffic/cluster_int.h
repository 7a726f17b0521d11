/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a cluster share.
 *
 * A cluster is its configuration, a state that outlives configurations, and the present host set: which endpoints there are,
 * in which order of preference, which are usable. A set is immutable but for counters. The first worker that meets newer endpoints
 * (or ejections, or answers of DNS) builds the next one; the others go on with the old one meanwhile. */
#ifndef TRAFFIC_CLUSTER_INT_H
#define TRAFFIC_CLUSTER_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "dns/hostnames.h"
#include "traffic/cluster.h"

struct host {
	atomic_uint refs;
	atomic_uint active;                  /* started and not ended */
	atomic_bool gone;
	/* outlier.c */
	atomic_bool ejected;
	atomic_uint in_5xx, in_gateway, in_local;            /* consecutive */
	atomic_uint ejections;               /* by which the base time is multiplied */
	atomic_uint_least64_t ejected_ms;    /* when */
	uint64_t joined_ms;
	struct workload *workload;           /* reference; NULL */
	enum transport transport;
	int n_addrs;
	struct addr addrs[];                 /* the first is dialled; none: wherever the client wanted to go, or a Unix socket */
};

struct cluster_state {
	atomic_uint refs;
	atomic_uint used[LIMITS_OF_CLUSTER];
	atomic_uint_least64_t recent[8];     /* requests by the eighth of budgetInterval in which they began: its number << 32 | how many */
	pthread_mutex_t build;               /* of sets; nobody waits for it who has one */
	struct hostset *last;                /* reference, under build: hosts live on from set to set */
	/* outlier.c */
	atomic_uint n_hosts, n_ejected;
	atomic_uint changes;                 /* ejections and returns */
	atomic_uint_least64_t sweep_ms;      /* when the next sweep is due; 0: none was yet */
};

struct cluster {
	atomic_uint refs;
	struct cluster_conf conf;
	char *block;                         /* what conf points to */
	uint64_t print;                      /* of all of conf */
	struct cluster_state *state;
	struct cluster_state *limits;        /* reference; of a NAME that of its cluster, else `state` */
	struct names *names;                 /* of a NAMED one; owned */
	struct hostname **wanted;            /* references: looked up before the first pick asks */
	int n_wanted;
	_Atomic(struct hostset *) hosts;     /* reference; NULL: nobody has asked yet */
};

/* A cluster of one name. */
struct cluster *cluster_new_name(const struct cluster_conf *conf, struct cluster *of);

/* --- named.c --- */
struct names *names_new(void);
void names_free(struct names *n);                    /* NULL ok */
void names_each(const struct names *n, void (*fn)(const struct cluster *c, void *arg), void *arg);    /* within a turn */

/* --- cluster_conf.c --- */
char *cluster_conf_copy(const struct cluster_conf *from, struct cluster_conf *to);     /* the block; free it */
uint64_t cluster_conf_print(const struct cluster_conf *c);                             /* equal for equal ones */

/* --- host.c --- */
struct host *host_new(struct workload *w, enum transport t, const struct addr *addrs, int n_addrs, uint64_t now_ms);

/* --- hostset.c --- */
#define ENTRY_UNUSED UINT16_MAX

struct entry {
	struct host *host;                   /* reference */
	struct workload *workload;           /* reference; NULL */
	uint32_t weight;                     /* at least 1 */
	uint16_t place;                      /* of its locality, in struct places */
	uint16_t priority;                   /* 0 the best, without gaps; ENTRY_UNUSED: distribute leaves its locality out */
	bool healthy;                        /* as the mesh says */
	bool usable;                         /* healthy and not ejected */
};

/* Hosts that one choice is made among. */
struct group {
	const uint32_t *at;                  /* entries */
	uint32_t n, max_weight;
	const uint64_t *sums;                /* of the weights up to and including each; NULL: all weights are the same */
	uint64_t warm_ms, oldest_ms;         /* slow start: none is in it from then on; when the first came */
	uint64_t share;                      /* of the level's requests, when it is divided by locality */
	atomic_uint next;                    /* round robin */
};

/* Ring or Maglev table over a level's hosts. */
struct hash_table {
	uint32_t n;
	const uint64_t *hashes;              /* of the ring, ascending; NULL: Maglev */
	const uint32_t *at;                  /* entries */
};

/* A priority. */
struct level {
	uint32_t available, load;            /* percent */
	bool panic;                          /* too few are healthy: all count */
	struct group all;
	struct group *places;                /* by locality; NULL: not divided */
	uint32_t n_places;
	uint64_t max_share;
	bool zone_aware;
	uint32_t local_10000;                /* zone aware: of 10000 requests so many stay in the first place, the rest goes by shares */
	struct hash_table table;
	atomic_uint next;                    /* of places */
};

struct hostset {
	atomic_uint refs;
	/* what it was made of */
	_Atomic uint64_t generation;         /* of the mesh in which it was last found to be right */
	struct service *service;             /* reference; NULL: there is none, or none is needed */
	struct workload *client;             /* reference; NULL */
	const char *network;                 /* the client's */
	_Atomic uint64_t policies;           /* the same of its policies */
	bool disables;                       /* a PeerAuthentication switches mutual TLS off somewhere */
	unsigned changes;                    /* of the state */
	struct service *naming;              /* of a cluster through a waypoint: reference on the service as it last named one; NULL */
	struct gate { struct service *s; struct workload *w; } *gates;         /* what that named: references, NULL: not there */
	int n_gates;
	struct named { struct hostname *name; unsigned version; } *names;      /* references; what DNS had said of them */
	int n_names;

	struct arena mem;                    /* of all that follows */
	struct entry *entries;               /* by address, then uid */
	int n, n_used;
	struct level *levels;
	int n_levels;
	enum fail why;                       /* there are none */
};

/* The present set, made anew if need be. Within a turn. */
struct hostset *hostset_current(struct cluster *c, const struct pick_ask *ask);
void hostset_unref(void *set);
/* To a workload, as one of the service; both may be NULL. */
enum transport hostset_transport(const struct cluster_conf *c, const struct service *s, const struct workload *w);
bool hostset_takes_mtls(const struct hostset *set, const struct mesh *m, const struct workload *w, uint16_t port);

/* An entry of that workload that is known by an address; NULL: none. */
const struct entry *hostset_entry(const struct hostset *s, const struct workload *w);

/* --- locality.c --- */
struct places {
	const struct locality **at;          /* the client's own first, if an entry is there */
	uint32_t *weights;                   /* by distribute; NULL: the sum of their endpoints' */
	int n;
	bool local;                          /* the first is the client's */
	bool weighted;                       /* levels are divided by locality, by weight */
};
/* Gives each entry its place and priority. */
void locality_rank(const struct cluster *c, const struct mesh *m, struct hostset *s, struct places *ret);
/* "region/zone/subzone" of a rule; its parts may be "*" or missing. */
bool locality_is(const struct locality *l, const char *rule);

/* --- level.c --- */
void levels_make(const struct cluster *c, const struct mesh *m, struct hostset *s);
/* Shares of 100 by availability, the best levels first; returns the sum of availabilities, at most 100. */
uint32_t levels_share(const uint32_t *available, int n, uint32_t *ret_load);
void level_weigh(const struct cluster *c, struct hostset *s, struct group *g);     /* g->at, n are given */

/* --- zone.c: zone-aware routing of the first level --- */
void zone_divide(const struct cluster *c, const struct mesh *m, struct hostset *s, const struct places *p, struct level *l);

/* --- lb.c --- */
const struct entry *lb_pick(const struct cluster *c, struct hostset *s, const struct pick_ask *ask);
uint64_t lb_random_below(uint64_t *seed, uint64_t n);

/* --- lb_hash.c --- */
/* weights[i]: of the entry at[i], all together 1. */
void hash_table_make(const struct lb_conf *lb, const struct hostset *s, const uint32_t *at, const double *weights, uint32_t n,
		     struct arena *mem, struct hash_table *ret);
uint32_t hash_table_at(const struct hash_table *t, uint64_t hash, uint32_t try);     /* an entry; n > 0 */

/* --- outlier.c --- */
void outlier_sweep(struct cluster *c, struct hostset *s, uint64_t now_ms);     /* what is due */
void outlier_left(struct cluster_state *st, struct host *h);                   /* it is no endpoint any more */

#endif
