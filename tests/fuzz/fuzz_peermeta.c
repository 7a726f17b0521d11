/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer says of its workload. */
#include <stdlib.h>

#include "telemetry/peermeta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = { (const char *)data, n };
	void *mem = malloc(PEERMETA_DECODED(n));
	struct peer p;
	size_t body;

	peermeta_parse(in, &p);
	peermeta_parse_body(in, &p);
	peermeta_parse_header(in, mem, &p);
	peermeta_frame_head(in, &body);
	free(mem);
	return 0;
}
