/* SPDX-License-Identifier: Apache-2.0 */
/* SOCKS5 from a client; the first byte sets the size of the pieces. */
#include "net/socks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct socks s = { .n = 0 };
	enum socks_step step = SOCKS_MORE;
	size_t size = n && data[0] ? data[0] : n;

	for (size_t i = 1; i < n; i += size) {
		struct str in = { (const char *)data + i, n - i < size ? n - i : size };

		while (in.n && step != SOCKS_ASKED && step != SOCKS_BAD)
			step = socks_take(&s, &in);
	}
	return 0;
}
