/* SPDX-License-Identifier: Apache-2.0 */
/* Which pods of this node to serve: the client of istio-cni's socket (ZDS; source/zds.h has the packets). Runs on the control
 * thread. What the CNI said last holds while it is away; a pod that could not be started is tried again every LIMIT_POD_RETRY_MS. */
#ifndef MODES_INPOD_H
#define MODES_INPOD_H

#include "io/loop.h"
#include "modes/pod.h"

struct inpod_conf {
	const char *path;            /* INPOD_UDS; copied */
	bool share_ports;            /* INPOD_PORT_REUSE */
};

struct inpod_ops {
	/* Serves a pod, and stops it with all its connections. start takes over conf->netns on success; else -errno with err. */
	int (*start)(const struct pod_conf *conf, void *arg, struct err *err);
	void (*stop)(struct str id, void *arg);
	/* Pods came or went, or inpod_ready changed. NULL ok. */
	void (*on_change)(void *arg);
};

struct inpod;
/* Does not connect yet. path is too long: -ENAMETOOLONG. */
int inpod_new(struct loop *control, const struct inpod_conf *conf, const struct inpod_ops *ops, void *arg, struct inpod **ret, struct err *err);
/* Once the mesh is known: connects, and keeps connecting. */
void inpod_start(struct inpod *i);
/* Another process takes the place: no pod is added any more, and a lost connection stays lost; deletions are still heard. */
void inpod_retire(struct inpod *i);
/* Disconnects; the pods stay, and nothing is asked of the ops any more. */
void inpod_free(struct inpod *i);

/* Connected, the snapshot is complete, and every pod of it runs. Else *why says what is missing, for a human. */
bool inpod_ready(const struct inpod *i, struct buf *why);

/* Borrowed. */
struct inpod_pod {
	const char *uid, *ns, *name, *service_account;
	bool up;
	const char *problem;         /* why it is not; "" when it is */
};
void inpod_each(const struct inpod *i, void (*fn)(const struct inpod_pod *p, void *arg), void *arg);

/* For the metrics workload_manager_*. */
struct inpod_counts {
	unsigned active, pending;
	uint64_t started, stopped;
};
struct inpod_counts inpod_counts(const struct inpod *i);

#endif
