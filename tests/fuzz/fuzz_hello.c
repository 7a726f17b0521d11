/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's first bytes: ClientHello, request line. */
#include "modes/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sniff s = { 0 };
	struct hello h;

	hello_parse(data, n, &h);
	sniff_http(data, n);
	for (size_t at = 0; at < n; ) {
		size_t part = (size_t)data[at] % 64 + 1;
		struct iovec iov = { (void *)(data + at), part < n - at ? part : n - at };

		if (sniff_take(&s, &iov, 1) != SNIFF_MORE)
			break;
		at += iov.iov_len;
	}
	sniff_done(&s);
	return 0;
}
