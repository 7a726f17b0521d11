/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/remote.h"

static struct str trim(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* The element `back` from the end of all lines of X-Forwarded-For. */
static struct str forwarded(const struct http_field *fields, int n, int back)
{
	for (int i = n - 1; i >= 0; i--) {
		const struct http_field *f = &fields[i];
		struct str v = f->value;

		if (!str_eq_nocase(f->name, str_c("x-forwarded-for")))
			continue;
		for (size_t end = v.n;;) {
			size_t at = end;

			while (at && v.p[at - 1] != ',')
				at--;
			if (back-- == 0)
				return trim((struct str){ v.p + at, end - at });
			if (!at)
				break;
			end = at - 1;
		}
	}
	return (struct str){ 0 };
}

bool remote_forwarded(const struct http_field *v, int n, int hops, struct addr *ret)
{
	struct str last = forwarded(v, n, hops);
	struct addr a = { .port = 0 };

	if (last.n > 2 && last.p[0] == '[' && last.p[last.n - 1] == ']')
		last = (struct str){ last.p + 1, last.n - 2 };
	if (!last.n || (ip_parse(last, &a.ip) && addr_parse(last, &a)))
		return false;
	*ret = a;
	return true;
}

struct addr remote_addr(const struct exchange *x, int hops)
{
	struct addr a;

	if (remote_forwarded(x->request_fields.v, x->request_fields.n, hops, &a))
		return a;
	return x->client ? x->client->peer : (struct addr){ .port = 0 };
}
