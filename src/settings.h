/* SPDX-License-Identifier: Apache-2.0 */
/* What ztunnel's environment says: every variable that ztunnel reads, with its defaults. Later wins:
 * ./etc/istio/config/mesh (defaultConfig), PROXY_CONFIG, the environment; an option of the command line is above all of
 * them. Read once, at start. */
#ifndef SRC_SETTINGS_H
#define SRC_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/err.h"
#include "model/mesh.h"

enum setting_mode { MODE_SHARED, MODE_DEDICATED };                        /* PROXY_MODE */
enum setting_maybe { MAYBE_UNSET, MAYBE_FALSE, MAYBE_TRUE };
enum setting_roots { ROOTS_FILE, ROOTS_PEM, ROOTS_SYSTEM };
enum setting_otlp { OTLP_GRPC, OTLP_HTTP };
enum setting_sampler { SAMPLER_ALWAYS, SAMPLER_NEVER, SAMPLER_RATIO };

struct setting_pair {
	const char *name, *value;
};
struct setting_pairs {
	const struct setting_pair *v;
	int n;
};

/* One server of the control plane. */
struct setting_server {
	const char *address;             /* "https://host:port"; NULL: none */
	enum setting_roots roots_kind;
	const char *roots;               /* a path (which need not exist yet), or PEM text; NULL for ROOTS_SYSTEM */
	const char *alt_hostname;        /* a second name that its certificate may have; NULL: none */
	struct setting_pairs headers;    /* metadata of every call; names in lower case */
};

/* Texts are "" when they are not set, unless NULL is said. All memory is the arena's. */
struct settings {
	struct arena mem;

	/* what runs */
	bool proxy, dns;                 /* at least one of them */
	enum setting_mode mode;
	const char *workload_ns, *workload_name, *workload_sa;   /* MODE_DEDICATED: whom this process serves */
	bool socks5;
	bool ipv6;
	enum setting_maybe original_source;   /* keep clients' addresses: FALSE never, TRUE or do not start, UNSET where permitted */
	unsigned workers;                /* at least 1 */
	unsigned concurrency;            /* what was asked for by a number or a percentage; 0: nothing was, workers is ztunnel's default */
	uint16_t admin_port, stats_port;
	bool dns_localhost;              /* the DNS proxy listens on 127.0.0.1 and ::1, port dns_addr.port ... */
	struct addr dns_addr;            /* ... or at this address */

	/* the control plane */
	struct setting_server xds, ca;
	const char *token_file;          /* read again for each call; NULL: see token */
	const char *token;               /* literal; NULL, with token_file NULL: calls carry none */
	const char *node_id;             /* "ztunnel~IP~POD.NS~NS.svc.cluster.local" */
	struct setting_pairs metadata;   /* of the node: names, and values as JSON (yaml_read_text reads them) */
	bool on_demand;
	const char *local_xds_path;      /* NULL: none */
	const char *local_xds;           /* the text itself; NULL: none */
	uint64_t secret_ttl_ms;
	const char *crl_path;            /* NULL: none */
	bool tls12;

	/* who we are */
	const char *cluster, *cluster_domain, *network, *node, *preferred_ns;
	const char *const *aliases;      /* further trust domains whose certificates are accepted */
	int n_aliases;
	const char *pod_name, *pod_ns, *service_account;   /* all three set: the process is a workload itself */
	const char *version;             /* ISTIO_META_ISTIO_VERSION: the tag of istio_build */

	/* connections */
	unsigned pool_streams;           /* per pooled HBONE connection; 0: as many as the peer allows */
	uint64_t pool_idle_ms;
	unsigned stream_window, conn_window, frame_bytes;
	uint64_t drain_ms;
	bool keepalive, user_timeout;
	uint64_t keepalive_time_ms, keepalive_interval_ms;
	unsigned keepalive_retries;
	uint64_t user_timeout_ms;        /* what user_timeout means: time + retries * interval */
	unsigned mark;                   /* SO_MARK of our sockets; 0: none asked for */
	const char *inpod_uds;
	bool inpod_port_reuse;
	unsigned pod_conns, pod_handshakes;   /* caps of one pod */
	const char *app_probers;         /* ISTIO_KUBE_APP_PROBERS; NULL: none */
	bool exit_on_zero;               /* sidecar mode: the drain ends with the last connection */
	bool localhost_app_tunnel, response_baggage, authz_info_log;

	/* logs and traces */
	const char *log_levels;          /* of RUST_LOG, in our scopes; "": not set */
	bool log_json;
	enum stance stance;
	enum waypoint_use waypoint_use;
	struct {
		const char *endpoint;        /* "http://collector:4317"; NULL: no spans are exported */
		enum setting_otlp protocol;
		struct setting_pairs headers, resource;
		const char *roots;           /* PEM file; NULL: the system's */
		uint64_t timeout_ms;
		enum setting_sampler sampler;
		double ratio;                /* SAMPLER_RATIO: 0 to 1 */
		const char *service;
	} otlp;
	struct {
		const char *blocked;         /* CIDR blocks, by commas; NULL: none */
		const char *roots;           /* PEM file or "SYSTEM" */
	} jwks;

	/* what was set and is not honoured, a sentence each: for settings_say */
	const char *notes[32];
	int n_notes;
};

/* Reads everything. -EINVAL with a sentence that names the variable or the file, the value, and what is wanted. */
int settings_read(struct settings *ret, struct err *err);
void settings_done(struct settings *s);
/* Logs the notes: once, when the log runs. */
void settings_say(const struct settings *s);
/* What the mesh has from the environment. Borrows from s. */
int settings_mesh(const struct settings *s, struct mesh_settings *ret, struct err *err);

/* What is in force, as JSON, without secrets: for /config_dump. */
typedef void setting_fn(const char *name, struct str json, void *arg);
void settings_each(const struct settings *s, setting_fn *fn, void *arg);

/* The table of variables: for `meshd help environment`, and as roff for the manual. */
void settings_help(FILE *out);
void settings_roff(FILE *out);

#endif
