/* SPDX-License-Identifier: Apache-2.0 */
/* A client of a control plane: one stream of aggregated delta discovery (Envoy's xDS protocol, "delta ADS") that carries
 * several types of resources. It subscribes, hands each resource to its type, answers each push, and comes back after an
 * outage with what it holds. What was applied stays through outages of any length. Control thread.
 *
 *	types[] = { { WDS_ADDRESS_URL, &wds_address_ops, wds, on_demand }, { WDS_AUTHORIZATION_URL, &wds_authorization_ops, wds, false } };
 *	ads_new(&(struct ads_conf){ loop, channel, node_id, metadata, n, types, 2, &ops, arg }, &ads, err);
 *	ads_start(ads);
 *
 * A push in which some resources are wrong is refused (NACK) with a sentence for each of them; its other resources apply.
 * A refused one is not among the versions told after a reconnect, so that it is sent again, and is asked for by name, so
 * that we hear when it is gone. */
#ifndef SOURCE_ADS_H
#define SOURCE_ADS_H

#include "base/err.h"
#include "base/str.h"
#include "http/grpc.h"
#include "io/loop.h"

struct ads;

struct ads_resource {
	struct str name, version;    /* version: "" when the server counts none */
	struct str value;            /* the message's bytes */
};

/* What one type does with its resources. All is lent for the time of the call. */
struct ads_type_ops {
	void (*begin)(void *arg);                                                  /* of a push */
	/* 0, or -errno with a sentence; then what was held under this name stays, or security fails closed. */
	int (*on_resource)(void *arg, const struct ads_resource *r, struct err *err);
	void (*on_removed)(void *arg, struct str name);                            /* also of names that were never held */
	void (*end)(void *arg);                                                    /* of the push: time to publish */
	/* Calls fn for each name that is held. */
	void (*each)(void *arg, void (*fn)(void *fn_arg, struct str name, struct str version), void *fn_arg);
};

struct ads_type {
	const char *url;             /* "type.googleapis.com/istio.workload.Address" */
	const struct ads_type_ops *ops;
	void *arg;
	bool on_demand;              /* only what ads_want asks for; otherwise everything (wildcard) */
};

struct ads_pair {
	const char *name, *value;    /* value: JSON */
};

struct ads_ops {
	void (*on_synced)(void *arg);   /* each type was answered once; comes once */
};

struct ads_conf {
	struct loop *loop;
	struct grpc *grpc;           /* the channel; borrowed */
	const char *node_id;         /* "ztunnel~IP~POD.NS~NS.svc.cluster.local" */
	const struct ads_pair *metadata;
	int n_metadata;
	const struct ads_type *types;   /* the rows are copied, their pointers borrowed */
	int n_types;
	const struct ads_ops *ops;   /* borrowed */
	void *arg;
};

/* -EINVAL when the metadata is no JSON. Copies what conf points to unless it says otherwise. */
int ads_new(const struct ads_conf *conf, struct ads **ret, struct err *err);
void ads_start(struct ads *a);
void ads_free(struct ads *a);    /* before its channel; NULL is allowed; who waits is told ADS_NO_ANSWER */

bool ads_synced(const struct ads *a);                 /* all types */
bool ads_type_synced(const struct ads *a, int type);
bool ads_connected(const struct ads *a);              /* the present stream has brought something */
/* For people: "connected", or why not. */
const char *ads_state(const struct ads *a);

/* --- on demand --- */

struct ads_wait;

enum ads_answer { ADS_FOUND, ADS_ABSENT, ADS_NO_ANSWER };

/* Asks for a resource by name or alias ("network/ip", a workload's uid, "namespace/hostname") and waits for it: on_done comes
 * later, once, at the latest after timeout_ms (ADS_NO_ANSWER). It stays subscribed when it was found.
 * NULL, and no on_done: the type is not on demand, or LIMIT_ADS_WAITS names are asked for already. */
struct ads_wait *ads_want(struct ads *a, int type, struct str name, unsigned timeout_ms,
			  void (*on_done)(void *arg, enum ads_answer answer), void *arg);
void ads_wait_cancel(struct ads_wait *w);             /* no on_done follows; NULL is allowed */

/* --- for the admin pages and the metrics --- */

enum ads_end { ADS_CONNECTION_ERROR, ADS_ERROR, ADS_RECONNECT, ADS_COMPLETE, ADS_ENDS };
const char *ads_end_name(enum ads_end e);             /* "ConnectionError": istio_xds_connection_terminations_total{reason} */

struct ads_type_stats {
	const char *url;
	uint64_t messages;           /* istio_xds_message_total */
	uint64_t bytes;              /* of the resources: istio_xds_message_bytes_total */
	uint64_t refused;            /* messages that were NACKed */
	size_t refused_now;          /* resources whose last version was refused */
	bool synced;
};
struct ads_stats {
	uint64_t ends[ADS_ENDS];
	int n_types;
	struct ads_type_stats types[8];
};
void ads_stats(const struct ads *a, struct ads_stats *ret);
/* What is refused at present, and why. */
void ads_each_refused(const struct ads *a, void (*fn)(void *arg, const char *url, const char *name, const char *why), void *arg);

#endif
