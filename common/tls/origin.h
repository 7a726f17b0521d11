/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts of TLS by files: origination (DestinationRule tls SIMPLE and MUTUAL), and servers (a Sidecar's ingress.tls): made from files when they are first used, shared by all
 * workers, and made anew when a file changed. A file that became bad leaves the last good context in force, said once. */
#ifndef TLS_ORIGIN_H
#define TLS_ORIGIN_H

#include "tls/webctx.h"

struct origin_conf {
	const char *cert, *key;        /* files; "": nothing is shown */
	const char *roots;             /* file; "": the system's */
	const char *crl;               /* file; "": none */
	bool server;                   /* for tls_server; roots "": clients need no certificate */
	bool insecure;                 /* the peer is not verified at all */
};

/* Any thread. A reference, or NULL: err says why. Looks at the files at most every ORIGIN_LOOK_MS; now_ms is monotonic. */
struct tlsctx *origin_get(const struct origin_conf *conf, uint64_t now_ms, struct err *err);
void origin_forget(void);      /* all of them, at the end */

#define ORIGIN_LOOK_MS 5000

#endif
