/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/spiffe.h"

#include <errno.h>

/* The SPIFFE standard's alphabet; "." and ".." are path traversal there, and refused. */
static bool is_segment(struct str s)
{
	if (s.n == 0 || str_is(s, ".") || str_is(s, ".."))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '-' || c == '_'))
			return false;
	}
	return true;
}

int spiffe_parse(struct str id, struct spiffe *ret)
{
	struct str scheme = str_c("spiffe://"), rest, part[5];

	if (!str_starts(id, scheme))
		return -EINVAL;
	rest = (struct str){ id.p + scheme.n, id.n - scheme.n };
	for (int i = 0; i < 5; i++) {
		part[i] = str_cut(rest, '/', &rest);
		if (!is_segment(part[i]) || (i < 4) != (rest.p != NULL))
			return -EINVAL;
	}
	if (!str_is(part[1], "ns") || !str_is(part[3], "sa"))
		return -EINVAL;
	*ret = (struct spiffe){ part[0], part[2], part[4] };
	return 0;
}
