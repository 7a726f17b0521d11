/* SPDX-License-Identifier: Apache-2.0 */
/* Cross-origin resource sharing (Fetch standard 3.2), as Envoy's filter does it for a CorsPolicy. */
#include "traffic/route_int.h"

struct cors_state { struct str origin; };        /* n 0: not a request of an allowed origin */

static bool allowed(const struct cors *c, struct str origin)
{
	for (int i = 0; i < c->n_origins; i++)
		if (text_matches(&c->origins[i], origin) || text_matches(&c->origins[i], str_c("*")))
			return true;
	return false;
}

static bool is_preflight(const struct exchange *x)
{
	return str_is(x->request.method, "OPTIONS") && fields_get(&x->request_fields, "access-control-request-method").n;
}

static int add(struct http_field *f, int n, const char *name, const char *value)
{
	if (!*value)
		return n;
	f[n] = (struct http_field){ str_c(name), str_c(value) };
	return n + 1;
}

static enum filter_step on_request(struct exchange *x, void *state, const void *conf)
{
	/* Answers of the proxy itself are not for other origins. */
	const struct cors *c = x->route && x->route->action == ROUTE_FORWARD ? x->route->cors : NULL;
	struct str origin = c ? fields_get(&x->request_fields, "origin") : (struct str){ NULL, 0 };
	struct cors_state *s = state;
	struct http_field f[6];
	bool yes;
	int n = 0;

	if (!origin.n)
		return FILTER_NEXT;
	yes = allowed(c, origin);
	if (yes)
		s->origin = exchange_dup(x, origin);
	if (!is_preflight(x) || (!yes && !c->answer_unmatched))
		return FILTER_NEXT;
	if (yes) {
		f[n++] = (struct http_field){ str_c("access-control-allow-origin"), s->origin };
		n = add(f, n, "access-control-allow-credentials", c->credentials ? "true" : "");
		n = add(f, n, "access-control-allow-methods", c->methods);
		n = add(f, n, "access-control-allow-headers", c->headers);
		n = add(f, n, "access-control-expose-headers", c->expose);
		n = add(f, n, "access-control-max-age", c->max_age_s);
	}
	exchange_reply(x, FAIL_CORS, 200, NULL, (struct str){ NULL, 0 }, f, n);
	return FILTER_DONE;
}

static enum filter_step on_response(struct exchange *x, void *state, const void *conf)
{
	const struct cors *c = x->route ? x->route->cors : NULL;
	struct cors_state *s = state;

	if (!c || !s->origin.n)
		return FILTER_NEXT;
	fields_set(&x->response_fields, "access-control-allow-origin", s->origin);
	if (c->credentials)
		fields_set(&x->response_fields, "access-control-allow-credentials", str_c("true"));
	if (*c->expose)
		fields_set(&x->response_fields, "access-control-expose-headers", str_c(c->expose));
	return FILTER_NEXT;
}

const struct filter_ops cors_filter = {
	.name = "cors", .state_bytes = sizeof(struct cors_state), .on_request = on_request, .on_response = on_response,
};
