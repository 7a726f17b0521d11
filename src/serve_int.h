/* SPDX-License-Identifier: Apache-2.0 */
/* The control thread of `meshd --mode=…`: serve.c is its life, serve_files.c the configuration directory or serve_plane.c
 * the control plane, serve_pods.c which namespaces are served, serve_admin.c what the admin pages may ask. */
#ifndef SRC_SERVE_INT_H
#define SRC_SERVE_INT_H

#include "admin/admin.h"
#include "http/grpc.h"
#include "identity/citadel.h"
#include "identity/identity.h"
#include "io/watch.h"
#include "modes/handover.h"
#include "modes/inpod.h"
#include "net/sockopt.h"
#include "source/confdir.h"
#include "source/wds.h"
#include "telemetry/otlp.h"
#include "src/options.h"
#include "src/probes.h"
#include "src/settings.h"

struct options {
	const char *mode, *config_dir, *ca_dir, *cert, *key, *root, *crl, *user, *log_level, *log_format, *admin_socket, *handover_dir;
	struct option_list workloads;
	unsigned concurrency, admin_port, drain_ms, handover_ms;
	bool post_unix_only, tls12, help;
};

struct serve {
	struct options opt;
	struct settings set;
	struct loop *loop;
	struct proxy *proxy;
	struct identity *identity;
	struct confdir *confdir;
	struct watch *watch;
	struct admin *admin;
	struct outsock control_out;        /* towards the control plane and collectors */
	struct resolver *resolver;         /* for their names */
	struct grpc *xds_channel, *ca_channel;
	struct citadel *citadel;
	struct wds *wds;
	struct ads *ads;
	struct demand *demand;             /* NULL: nothing is on demand */
	struct local_xds *local;           /* NULL: there is none */
	struct otlp *otlp;                 /* NULL: no spans are exported */
	struct collector *collector;       /* of a sidecar's requests; NULL before the first refresh */
	struct inpod *inpod;               /* PROXY_MODE=shared; else NULL */
	struct handover *handover;         /* NULL: upgrades do not hand over */
	struct map pods;                   /* serve_pods.c's */
	ev_signal signals[4];
	struct timer collect, drain_poll;
	uint64_t drain_until_ms;
	char **wanted;                     /* the identity that is kept for each workload; NULL: none */
	char *problems;                    /* why a workload is not served, "" when it is: 256 bytes each */
	uint64_t seen, trimmed;            /* generations of the mesh: at the last look; when memory was given back last */
	int peak;                          /* live connections since memory was given back last */
	bool draining, handed_over;
	bool synced, serving;              /* the mesh is known; the process before us was told that we serve */
	enum mesh_mode mode;               /* --mode */
	struct probes *probes;             /* NULL: none */
	struct map told;                   /* serve_l7.c's: what was reported */
	bool pods_mode;                    /* PROXY_MODE says what is served; else --workload does */
};

void serve_drain(struct serve *s);      /* begins the drain; a second call ends it */

int serve_reload(struct serve *s, struct err *err);

/* Reads the directory for the first time, and watches it. */
int serve_files_load(struct serve *s, struct err *err);
int serve_files_reload(struct serve *s, struct err *err);
void serve_files_changed(void *serve);  /* reloads; what is wrong is logged */
struct workload *serve_files_workload(struct serve *s, int i);   /* of the i-th --workload; NULL: the mesh has none */

void serve_l7_refresh(struct serve *s);   /* the mesh changed; nothing in other modes */
int serve_l7_start(struct serve *s, struct err *err);   /* before the admin pages */
void serve_l7_stop(struct serve *s);      /* after the proxy */

char *serve_problem(struct serve *s, int i);   /* 256 bytes: why the i-th is not served, "" when it is */

int serve_plane_open(struct serve *s, struct err *err);       /* channels and the CA; before the identities */
int serve_plane_settings(struct serve *s, struct err *err);   /* the mesh's, from the environment */
int serve_plane_start(struct serve *s, struct err *err);      /* after the proxy and its pods */
void serve_plane_changed(struct serve *s, bool policies);     /* the mesh did */
void serve_demand_start(struct serve *s);                     /* before the proxy */
/* The local configuration, if there is one. */
int serve_local_load(struct serve *s, struct err *err);
int serve_local_reload(struct serve *s, struct err *err);
void serve_local_stop(struct serve *s);
void serve_plane_pending(struct serve *s, struct buf *out);   /* what readiness waits for */
void serve_plane_findings(struct serve *s, void (*fn)(bool error, const char *text, void *fn_arg), void *fn_arg);
void serve_plane_stop(struct serve *s);                       /* the mesh does not change any more */
void serve_plane_close(struct serve *s);                      /* after the identities */

/* Opens what must be there at the start; after the proxy. */
int serve_pods_start(struct serve *s, struct err *err);
void serve_pods_synced(struct serve *s);       /* the mesh is known: connections are accepted, and the CNI is asked */
/* The mesh changed: certificates for what the pods are now. True when a served workload is not what it was. */
bool serve_pods_refresh(struct serve *s);
void serve_pods_pending(struct serve *s, struct buf *out);   /* what readiness waits for; appends nothing when it is there */
void serve_pods_stop(struct serve *s);         /* before the proxy goes */

int serve_otlp_start(struct serve *s, struct err *err);       /* before the proxy */
void serve_jwks_start(struct serve *s);
/* Asks the meshd that runs here for its listening sockets; before the pods. */
int serve_handover_take(struct serve *s, struct err *err);
int serve_handover_admin(struct serve *s, struct err *err);   /* serve_admin_start, now or when the ports are free */
void serve_handover_check(struct serve *s);                   /* lets it go once we serve */

int serve_admin_start(struct serve *s, struct err *err);
void serve_metrics_start(struct serve *s);

#endif
