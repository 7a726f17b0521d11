/* SPDX-License-Identifier: Apache-2.0 */
/* The two protocols of external authorization: a question made of an exchange, and an answer made of the reply. All that is
 * made lives in the exchange's arena. */
#ifndef EXT_EXTAUTHZ_INT_H
#define EXT_EXTAUTHZ_INT_H

#include "ext/headeredit.h"
#include "model/security.h"
#include "traffic/urequest.h"

struct extauthz_question {
	struct http_head head;
	struct str body;
};

enum extauthz_verdict { EXTAUTHZ_ERROR, EXTAUTHZ_ALLOWED, EXTAUTHZ_DENIED };
struct extauthz_answer {
	enum extauthz_verdict verdict;
	int status;                        /* DENIED */
	struct str body;                   /* DENIED */
	struct header_edits request;       /* ALLOWED */
	struct header_edits response;      /* ALLOWED: to the server's; DENIED: to our own */
	const char *error;                 /* ERROR: what was wrong */
};

/* body: what was kept of the request's, empty when it is not wanted. */
void extauthz_http_ask(struct exchange *x, const struct ext_provider *p, struct str body, struct extauthz_question *ret);
void extauthz_http_answer(struct exchange *x, const struct ext_provider *p, const struct urequest_reply *r, struct extauthz_answer *ret);
void extauthz_grpc_ask(struct exchange *x, const struct ext_provider *p, struct str body, struct extauthz_question *ret);
void extauthz_grpc_answer(struct arena *a, const struct urequest_reply *r, struct extauthz_answer *ret);

#endif
