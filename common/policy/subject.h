/* SPDX-License-Identifier: Apache-2.0 */
/* A connection or request, prepared for many rules. */
#ifndef POLICY_SUBJECT_H
#define POLICY_SUBJECT_H

#include "policy/authz.h"

#define SUBJECT_HOST 256     /* of the authority that is compared with exact hosts */

struct subject {
	const struct authz_input *in;
	const struct mesh_settings *settings;
	struct str principal;        /* without scheme; empty: not authenticated */
	struct str tail;             /* of the principal, after its trust domain and '/' */
	struct str domain;           /* before it; empty when there is no '/' */
	struct str ns, account;      /* account: "NS/sa/SA", the end of the principal; empty when it is not of Istio's form */
	uint64_t tail_hash, ns_hash, account_hash;
	bool aliases;                /* the trust domain is one of the mesh's, which all mean the same */
	/* Of a request. */
	struct str path;             /* without its query */
	uint64_t path_hash, host_hash;       /* host: in lower case */
	struct ip remote;            /* see subject_remote */
	bool remote_known;
};

void subject_init(struct subject *s, const struct authz_input *in, const struct mesh_settings *settings);
const struct ip *subject_remote(struct subject *s);

uint64_t subject_hash(struct str text);
uint64_t subject_hash_nocase(struct str text);
uint64_t subject_hash_tail(struct str principal);      /* principals are hashed without their trust domain, which may be one of several */
bool subject_is_domain(const struct mesh_settings *m, struct str domain);

#endif
