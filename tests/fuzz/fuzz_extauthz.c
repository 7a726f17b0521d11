/* SPDX-License-Identifier: Apache-2.0 */
/* What servers of external authorization and of rate limits may answer, by gRPC; every edit must be one that can be sent. */
#include <stdlib.h>

#include "ext/extauthz_int.h"
#include "ext/rateshared_int.h"
#include "http/grpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct http_fields fields = { .arena = &arena };
	struct http_head head = { .status = 200 };
	uint8_t *framed = malloc(size + GRPC_PREFIX_BYTES);
	struct urequest_reply r = { .head = &head, .body = { (const char *)framed, size + GRPC_PREFIX_BYTES } };
	static const struct rate_rule rule = { .name = "r" };
	static struct rate_limit limit;
	struct rate_question q = { .of = &limit, .rule = &rule };
	struct rateshared_answer rate;
	struct extauthz_answer a;

	grpc_frame_prefix(size, framed);
	memcpy(framed + GRPC_PREFIX_BYTES, data, size);
	extauthz_grpc_answer(&arena, &r, &a);
	if (!rateshared_answer(&arena, &q, 1, r.body, &rate)) {
		header_edits_apply(&rate.request, &fields);
		header_edits_apply(&rate.response, &fields);
	}
	free(framed);
	header_edits_apply(&a.request, &fields);
	header_edits_apply(&a.response, &fields);
	head.fields = fields.v;
	head.n_fields = fields.n;
	if (!http_sendable(&head, false) || (a.verdict == EXTAUTHZ_DENIED && (a.status < 200 || a.status > 599)))
		abort();
	arena_done(&arena);
	return 0;
}
