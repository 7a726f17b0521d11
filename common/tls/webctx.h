/* SPDX-License-Identifier: Apache-2.0 */
/* A context towards servers that are named as on the web: control planes, collectors. The chain must lead to the given roots
 * and the leaf must have one of the expected DNS names (RFC 6125; a wildcard stands for one label) or IP addresses among its
 * subject alternative names; "scheme://…" is compared with its URIs; the subject is not looked at. TLS 1.2 and 1.3, RSA and ECDSA.
 *
 * Use it with tls_client: `expect` are the accepted names, the first of which is sent as SNI unless it is an address; at
 * least one is needed. A wrong name is FAIL_WRONG_IDENTITY. */
#ifndef TLS_WEBCTX_H
#define TLS_WEBCTX_H

#include "tls/tlsctx.h"

struct webctx_conf {
	struct str roots;                       /* path of a PEM file, PEM text, or "SYSTEM" */
	struct str cert_file, key_file;         /* PEM: what to show when the server asks; both empty: nothing */
	struct str crl_file;                    /* PEM or DER; empty: none */
	bool server;                            /* for tls_server: cert_file is shown; clients need a certificate when roots are given */
	bool http1;                             /* ALPN http/1.1 instead of h2 */
	bool any_name;                          /* where no name is expected, the chain alone counts */
	bool insecure;                          /* whoever answers is believed. The caller says so loudly */
	const char *roots_hint, *name_hint;     /* static; what to set when the server is not trusted: "XDS_ROOT_CA"; NULL: unnamed */
};

/* Reads the files now. */
int webctx_new(const struct webctx_conf *conf, struct tlsctx **ret, struct err *err);
bool webctx_roots_is_file(struct str roots);

#endif
