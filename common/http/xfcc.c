/* SPDX-License-Identifier: Apache-2.0 */
#include "http/xfcc.h"

#include <string.h>

void xfcc_format(struct str by, struct str caller, struct buf *out)
{
	buf_printf(out, "By=%.*s;URI=%.*s", STR_FMT(by), STR_FMT(caller));
}

/* Up to the separator, which is none within quotes. False: there is nothing more. */
static bool cut(struct str *rest, char by, struct str *ret)
{
	bool quoted = false;
	size_t n = 0;

	if (!rest->p)
		return false;
	for (; n < rest->n && (quoted || rest->p[n] != by); n++) {
		if (quoted && rest->p[n] == '\\' && n + 1 < rest->n)
			n++;
		else if (rest->p[n] == '"')
			quoted = !quoted;
	}
	*ret = (struct str){ rest->p, n };
	*rest = n < rest->n ? (struct str){ rest->p + n + 1, rest->n - n - 1 } : (struct str){ NULL, 0 };
	return true;
}

/* Without what would need quotes in an element. */
static bool is_spiffe_id(struct str s)
{
	struct str scheme = str_c("spiffe://");

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("\",;=\\", s.p[i]))
			return false;
	return str_starts(s, scheme) && s.n > scheme.n;
}

static bool same(struct str a, struct str b)
{
	return a.n == b.n && a.n && memcmp(a.p, b.p, a.n) == 0;
}

struct str xfcc_caller(struct str value, struct str by)
{
	struct str element = { NULL, 0 }, part, caller = { NULL, 0 };
	int n_by = 0, n_uri = 0;

	while (cut(&value, ',', &element))
		;
	while (cut(&element, ';', &part)) {
		struct str v, k = str_cut(part, '=', &v);

		if (str_eq_nocase(k, str_c("By"))) {
			n_by += same(v, by) ? 1 : 2;
		} else if (str_eq_nocase(k, str_c("URI"))) {
			n_uri += is_spiffe_id(v) ? 1 : 2;
			caller = v;
		}
	}
	return n_by == 1 && n_uri == 1 ? caller : (struct str){ NULL, 0 };
}
