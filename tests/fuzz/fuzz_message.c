/* SPDX-License-Identifier: Apache-2.0 */
/* A head of any texts, NUL between them: what is accepted may be sent and is accepted again; and paths. */
#include <stdlib.h>

#include "http/message.h"

static struct str next(struct str *rest)
{
	struct str s = str_cut(*rest, '\0', rest);

	return s.p ? s : str_c("");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str rest = { (const char *)data + 1, n ? n - 1 : 0 }, path, normal;
	struct http_field f[8];
	struct http_framing framing;
	struct http_head h = { .fields = f };
	const char *why;
	char *out;

	if (!n)
		return 0;
	h.method = next(&rest);
	h.path = next(&rest);
	if (data[0] % 3 == HTTP_2) {
		h.authority = next(&rest);
		h.scheme = next(&rest);
	}
	path = h.path;
	while (rest.n && h.n_fields < 8) {
		f[h.n_fields].name = next(&rest);
		f[h.n_fields++].value = next(&rest);
	}
	out = malloc(3 * path.n + 1);
	for (int level = 0; level <= HTTP_PATH_DECODE_AND_MERGE_SLASHES; level++)
		if (http_path_normalise(path, level, out, &normal) && (normal.n > 3 * path.n || (path.n && path.p[0] == '/' && normal.p[0] != '/')))
			abort();
	free(out);
	if (http_settle_request(&h, f, data[0] % 3, &framing, &why) == 0 && h.authority.n && !http_sendable(&h, true))
		abort();
	h = (struct http_head){ .status = data[0], .fields = f, .n_fields = h.n_fields };
	http_settle_response(&h, f, HTTP_1_1, str_c("GET"), &framing, &why);
	return 0;
}
