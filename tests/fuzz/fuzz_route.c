/* SPDX-License-Identifier: Apache-2.0 */
/* A table made of the input, asked for paths and hosts of it: whatever the indexes do, the first route of the list that matches is found. */
#include <stdlib.h>

#include "base/regex.h"
#include "traffic/route.h"

#define MAX 64

struct input { const uint8_t *p; size_t n; };

static uint8_t byte(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

/* A short text of few letters, so that many are alike; or any bytes. */
static char *text(struct input *in, struct arena *mem, bool any)
{
	static const char letters[] = "/ab*.AB:[";
	size_t n = byte(in) % 12;
	char *s = arena_alloc(mem, n + 1);

	for (size_t i = 0; i < n; i++)
		s[i] = any ? (char)(byte(in) | 1) : letters[byte(in) % (sizeof(letters) - 1)];
	return s;
}

static const struct route *walk(const struct route *r, int n, const struct exchange *x)
{
	static const char *const all[] = { "*" };

	for (int i = 0; i < n; i++) {
		struct vhost v = { "v", all, 1, &r[i], 1 };
		struct route_table *t = route_table_new(&v, 1);
		bool hit = route_find(t, x) != NULL;

		route_table_free(t);
		if (hit)
			return &r[i];
	}
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct arena mem = { 0 };
	struct route r[MAX] = { { 0 } };
	struct named_match h[MAX];
	struct vhost v[4];
	int n = byte(&in) % MAX, n_v = 1 + byte(&in) % 4;
	struct route_table *t;

	for (int i = 0; i < n; i++) {
		uint8_t kind = byte(&in);
		struct err err;

		r[i].match = (struct route_match){ .path = kind % 5, .path_text = text(&in, &mem, kind & 64), .path_nocase = kind & 32 };
		if (r[i].match.path == PATH_REGEX && !(r[i].match.path_regex = regex_new(str_c(r[i].match.path_text), &err)))
			r[i].match.path = PATH_EXACT;
		h[i] = (struct named_match){ text(&in, &mem, false), { .kind = (kind >> 3) % 3, .text = text(&in, &mem, false), .invert = kind & 8, .missing_is_empty = kind & 16 } };
		r[i].match.headers = r[i].match.queries = &h[i];
		*(kind & 1 ? &r[i].match.n_headers : &r[i].match.n_queries) = kind & 128 ? 1 : 0;
	}
	for (int i = 0; i < n_v; i++) {
		const char **d = arena_alloc(&mem, 2 * sizeof(*d));

		d[0] = text(&in, &mem, false);
		d[1] = i == 0 ? "*" : text(&in, &mem, false);
		v[i] = (struct vhost){ "v", d, 2, r, n };
	}
	t = route_table_new(v, n_v);
	for (int i = 0; i < 6; i++) {
		struct http_field f = { str_c(text(&in, &mem, false)), str_c(text(&in, &mem, true)) };
		struct exchange x = {
			.request = { .method = str_c("GET"), .authority = str_c(text(&in, &mem, i & 1)), .path = str_c(text(&in, &mem, i & 2)), .scheme = str_c("http") },
			.request_fields = { .v = &f, .n = 1 },
		};

		if (route_find(t, &x) != walk(r, n, &x))
			abort();
	}
	route_table_free(t);
	for (int i = 0; i < n; i++)
		regex_free((struct regex *)r[i].match.path_regex);
	arena_done(&mem);
	return 0;
}
