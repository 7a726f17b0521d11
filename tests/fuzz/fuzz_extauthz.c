/* SPDX-License-Identifier: Apache-2.0 */
/* What a server of external authorization may answer, by gRPC; every edit must be one that can be sent. */
#include <stdlib.h>

#include "ext/extauthz_int.h"
#include "http/grpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct http_fields fields = { .arena = &arena };
	struct http_head head = { .status = 200 };
	uint8_t *framed = malloc(size + GRPC_PREFIX_BYTES);
	struct urequest_reply r = { .head = &head, .body = { (const char *)framed, size + GRPC_PREFIX_BYTES } };
	struct extauthz_answer a;

	grpc_frame_prefix(size, framed);
	memcpy(framed + GRPC_PREFIX_BYTES, data, size);
	extauthz_grpc_answer(&arena, &r, &a);
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
