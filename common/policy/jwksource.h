/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of token issuers that are fetched: by URI, or by OpenID Connect discovery. Each address is fetched once for the process, when the
 * first workload here is looked at that needs it, then every LIMIT_JWKS_FRESH_MS, and when a token has a key id that is not known. The last good
 * keys are kept for as long as the configuration names them, however long the issuer is away.
 *
 * Names in the configuration may be an attacker's way to what only this host can reach: blocked addresses are never dialled, redirects are
 * not followed, and what comes must be a JWKS of at most LIMIT_JWKS_BYTES. */
#ifndef POLICY_JWKSOURCE_H
#define POLICY_JWKSOURCE_H

#include "base/addr.h"
#include "dns/resolve.h"
#include "policy/jwt.h"

struct jwksource;

/* The source for a URL, shared; discovery: url is the issuer. Control thread. */
struct jwksource *jwksource_get(const char *url, bool discovery, unsigned timeout_ms);
void jwksource_unref(struct jwksource *s);               /* any thread; NULL ok */
/* Any thread: it will be needed here. */
void jwksource_touch(struct jwksource *s);
/* The last good keys, for this turn of the thread; NULL: none yet. */
const struct jwks *jwksource_keys(const struct jwksource *s);
/* Any thread: fetch anew, soon; or one is under way. Not more often than every LIMIT_JWKS_AGAIN_MS. False: that is too soon. */
bool jwksource_want(struct jwksource *s);
/* Counts attempts that ended, well or not: who waits looks whether it grew. */
unsigned jwksource_attempts(const struct jwksource *s);

struct jwksource_conf {
	const struct sock_ops *sock_ops;     /* borrowed; NULL ok */
	struct resolver *resolver;
	struct str roots;                    /* of https servers, as in webctx_conf */
	const struct cidr *blocked;          /* copied; beside link-local addresses (clouds' metadata), which always are */
	int n_blocked;
};
/* Control thread. Before it nothing is fetched. */
void jwksource_start(struct loop *l, const struct jwksource_conf *conf);
void jwksource_stop(void);

#endif
