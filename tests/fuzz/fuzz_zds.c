/* SPDX-License-Identifier: Apache-2.0 */
/* A packet from istio-cni. */
#include <stdlib.h>

#include "source/zds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct zds_request q;
	struct buf out = { 0 };
	struct err err;

	if (n > ZDS_PACKET_MAX)
		return 0;
	if (zds_parse(data, n, &q, &err) < 0) {
		zds_ack(&out, err.msg);
		if (buf_len(&out) > ZDS_PACKET_MAX)
			abort();
		buf_done(&out);
	}
	return 0;
}
