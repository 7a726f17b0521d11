/* SPDX-License-Identifier: Apache-2.0 */
/* Istio's ProxyConfig, as far as a ztunnel reads it: from the mesh configuration's file and from PROXY_CONFIG.
 * https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig */
#ifndef SRC_PROXYCONFIG_H
#define SRC_PROXYCONFIG_H

#include "base/arena.h"
#include "base/err.h"
#include "src/settings.h"

#define PROXYCONFIG_MESH_PATH "./etc/istio/config/mesh"
#define PROXYCONFIG_METADATA_MAX 256
#define PROXYCONFIG_ALIASES_MAX 16

struct proxyconfig {
	const char *discovery_address;   /* NULL: unset */
	uint16_t admin_port, stats_port; /* 0: unset */
	int concurrency;                 /* -1: unset; 0: all cores */
	struct setting_pair metadata[PROXYCONFIG_METADATA_MAX];   /* as written: ISTIO_META_ is not stripped */
	int n_metadata;
	const char *aliases[PROXYCONFIG_ALIASES_MAX];   /* MeshConfig.trustDomainAliases */
	int n_aliases;
};

void proxyconfig_init(struct proxyconfig *p);
/* A file of MeshConfig: its defaultConfig and trustDomainAliases over p. A file that does not exist is no error. Strings live in mem. */
int proxyconfig_read_mesh(struct proxyconfig *p, const char *path, struct arena *mem, struct err *err);
/* The text of PROXY_CONFIG, YAML or JSON, over p; name is what errors call it. */
int proxyconfig_read_text(struct proxyconfig *p, const char *name, const char *text, struct arena *mem, struct err *err);

#endif
