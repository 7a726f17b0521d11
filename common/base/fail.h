/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic failures: the enum and its table, both made from fail.def. */
#ifndef BASE_FAIL_H
#define BASE_FAIL_H

enum fail {
#define FAIL(name, status, flag, reason, hint) FAIL_##name,
#include "base/fail.def"
#undef FAIL
	FAIL_COUNT
};

struct fail_info {
	const char *name;     /* "DENIED" */
	int status;           /* HTTP status to answer to a CONNECT; 0: no answer is possible */
	const char *flag;     /* istio's response_flags */
	const char *reason;
	const char *hint;     /* "" when there is none */
};

/* What an HTTP request gets and what its access log says, in Envoy's words. */
struct fail_http {
	int status;           /* 0: no answer is possible */
	const char *flag;     /* "UF", "-" */
	const char *details;  /* response_code_details */
	const char *text;     /* of the answer's body */
};

const struct fail_info *fail_info(enum fail f);
const struct fail_http *fail_http(enum fail f);

#endif
