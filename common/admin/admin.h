/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator sees of a running process: 15000 (pages, config_dump, logging, quit, status, why), 15020 (metrics),
 * 15021 (readiness), and the Unix socket of the command line. Runs on the control thread; knows the mode only through
 * admin_ops. */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "identity/identity.h"
#include "io/loop.h"
#include "model/object.h"

struct admin_conf {
	struct loop *control;
	const char *mode, *version;          /* borrowed, as is all of this */
	uint16_t admin_port;                 /* on 127.0.0.1 and ::1; 0: off */
	uint16_t stats_port, ready_port;     /* on every address; 0: off */
	uint16_t envoy_stats_port;           /* the metrics again, where Istio's Envoy has them (15090); 0: off */
	bool ipv6;                           /* also listen on IPv6, where there is any */
	const char *unix_path;               /* NULL: none */
	bool post_unix_only;                 /* refuse POST on TCP */
	struct identity *identity;           /* NULL: none */
	const char *istio_version;           /* of the installation that runs us; NULL: unknown */
};

/* A workload that this process serves, or was told to serve. */
struct admin_workload {
	const char *name;                    /* "NS/NAME" */
	const struct workload *workload;     /* NULL: the configuration does not have it yet */
	bool up;                             /* its listeners run */
	const char *problem;                 /* "" when there is none */
	const char *uid;                     /* as istio-cni names the pod; NULL: the workload's own */
	const char *service_account;         /* while the workload is unknown; NULL: unknown, too */
};

struct h1server_request;

enum admin_direction { ADMIN_INBOUND, ADMIN_OUTBOUND };

struct admin_connection {
	enum admin_direction direction;
	const char *workload_uid;            /* of the local side */
	struct addr source, original, actual;   /* original port 0: unknown */
	const char *host;                    /* the service that the client meant (Forwarded host=); "" unknown */
	const char *protocol;                /* "HBONE", "TCP", "DOUBLEHBONE"; of a sidecar also "MTLS", "HTTP", "HTTP over MTLS", of a waypoint "HTTP over HBONE" */
	const char *peer;                    /* the other side's SPIFFE ID; "" when not mutual TLS */
	uint64_t bytes_received, bytes_sent; /* from and to downstream */
	uint64_t age_ms;
};

typedef void admin_workload_fn(const struct admin_workload *w, void *fn_arg);
typedef void admin_connection_fn(const struct admin_connection *c, void *fn_arg);
typedef void admin_finding_fn(bool error, const char *text, void *fn_arg);
typedef void admin_limit_fn(const char *what, uint64_t times, void *fn_arg);
typedef void admin_setting_fn(const char *name, struct str json, void *fn_arg);

/* All on the control thread. NULL members: there is nothing of the kind. each_*: calls fn for each, with fn_arg. */
struct admin_ops {
	void (*quit)(void *arg);                              /* begins the drain; returns at once */
	int (*reload)(void *arg, struct err *err);            /* as SIGHUP */
	void (*pending)(void *arg, struct buf *out);          /* what readiness waits for: "a, b"; nothing when ready */
	void (*each_workload)(void *arg, admin_workload_fn *fn, void *fn_arg);
	/* uid NULL: of all workloads. */
	void (*each_connection)(void *arg, const char *uid, admin_connection_fn *fn, void *fn_arg);
	/* What the configuration's reading found: "file:line: kind ns/name: path: ...". */
	void (*each_finding)(void *arg, admin_finding_fn *fn, void *fn_arg);
	/* Limits that were met since start. */
	void (*each_limit)(void *arg, admin_limit_fn *fn, void *fn_arg);
	/* GET of /app-health/... on the status port: replies now or later (h1server_later). NULL: there is nothing of the kind. */
	void (*app_health)(void *arg, struct h1server_request *rq);
	/* What the process runs with, without secrets: the name of a setting, its value as JSON. */
	void (*each_setting)(void *arg, admin_setting_fn *fn, void *fn_arg);
};

struct admin;
int admin_new(const struct admin_conf *conf, const struct admin_ops *ops, void *arg, struct admin **ret,
	      struct err *err);
void admin_free(struct admin *a);   /* NULL ok */

/* For the command line: asks a running process and waits for the answer. host: an address, or the path of the Unix
 * socket (port is ignored then). Returns the HTTP status with the reply's body appended to body, or -errno with a
 * sentence. */
int admin_request(const char *host, uint16_t port, const char *method, const char *path, struct buf *body,
		  struct err *err);

#endif
