/* SPDX-License-Identifier: Apache-2.0 */
/* networking.istio.io Sidecar. Names and meaning are the API's. */
#ifndef MODEL_SIDECARSCOPE_H
#define MODEL_SIDECARSCOPE_H

#include "model/destinationrule.h"

struct scope_port { uint16_t number; const char *protocol, *name; enum port_protocol app; };
enum scope_capture { SCOPE_CAPTURE_DEFAULT, SCOPE_CAPTURE_IPTABLES, SCOPE_CAPTURE_NONE };
enum scope_outbound { SCOPE_REGISTRY_ONLY, SCOPE_ALLOW_ANY, SCOPE_ALLOW_ANY_DYNAMIC_DNS };

enum scope_tls_mode { SCOPE_TLS_PASSTHROUGH, SCOPE_TLS_SIMPLE, SCOPE_TLS_MUTUAL, SCOPE_TLS_OTHER };
struct scope_tls {                                   /* ServerTLSSettings */
	int mode;                                    /* SIMPLE or MUTUAL */
	const char *certificate, *private_key, *ca_certificates, *ca_crl;    /* files */
	LIST_OF(const char *) subject_alt_names;
};

struct scope_ingress {
	const struct scope_port *port;               /* not NULL */
	const char *bind;                            /* "" */
	int capture;                                 /* enum scope_capture */
	const char *default_endpoint;                /* "127.0.0.1:8080", "unix:///path"; "": the same port of the workload's own address */
	const struct scope_tls *tls;                 /* NULL: as PeerAuthentication says */
	const struct dr_pool *pool;                  /* NULL */
};

struct scope_egress {
	const struct scope_port *port;               /* NULL: all ports that no other entry has */
	const char *bind;
	int capture;
	LIST_OF(const char *) hosts;                 /* "ns/host" with ns "*", ".", "~" or "~ns" (minus), host also a wildcard */
};

struct scope_destination { const char *host, *subset; uint16_t port; };
struct scope_policy { int mode; /* enum scope_outbound */ const struct scope_destination *egress_proxy; /* NULL */ };
struct scope_selector { LIST_OF(struct label) labels; };

struct sidecar {
	struct resource r;
	const struct scope_selector *selector;       /* NULL or empty: all of the namespace */
	LIST_OF(struct scope_ingress) ingress;       /* any: takes the place of the ports of services */
	LIST_OF(struct scope_egress) egress;         /* none: all that is exported to the namespace */
	const struct dr_pool *inbound_pool;          /* NULL */
	const struct scope_policy *outbound;         /* NULL: the mesh's */
};

#endif
