/* SPDX-License-Identifier: Apache-2.0 */
/* Header operations and retries of a rule. */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "traffic/compile_route_int.h"

static bool is_authority(const char *name)
{
	return !strcasecmp(name, ":authority") || !strcasecmp(name, "host");
}

/* What is not a header that may be edited. */
static bool internal(const char *name)
{
	return *name == ':' || !strcasecmp(name, "host");
}

static const char *authority_in(const struct vs_header_ops *o)
{
	const char *found = NULL;

	for (int i = 0; o && i < o->add.n; i++)
		if (is_authority(o->add.v[i].key))
			found = o->add.v[i].value;
	for (int i = 0; o && i < o->set.n; i++)
		if (is_authority(o->set.v[i].key))
			found = o->set.v[i].value;
	return found ? found : "";
}

void edits_merge(struct compile *c, const struct vs *v, struct edits *e, const struct vs_headers *h)
{
	if (!h)
		return;
	e->of[e->n++] = h;
	if (!*e->authority)
		e->authority = authority_in(h->request);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

static void add_values(struct compile *c, const struct vs *v, const struct label *from, int n, enum header_op_kind kind, struct header_op *ops, int *at)
{
	struct label *sorted = TMP(c, struct label, n);

	if (n)
		memcpy(sorted, from, (size_t)n * sizeof(*sorted));
	qsort(sorted, (size_t)n, sizeof(*sorted), by_key);
	for (int i = 0; i < n; i++) {
		const struct format *f = internal(sorted[i].key) ? NULL : compile_format(c, &v->from->r, sorted[i].value);

		if (f)
			ops[(*at)++] = (struct header_op){ kind, sorted[i].key, f };
	}
}

/* Of several lists: removals, then what is set, then what is added, each in the order of the lists. */
static const struct header_op *ops_of(struct compile *c, const struct vs *v, const struct vs_header_ops *const *lists, int n, int *ret_n)
{
	struct header_op *ops;
	int max = 0, at = 0;

	for (int i = 0; i < n; i++)
		max += lists[i] ? lists[i]->set.n + lists[i]->add.n + lists[i]->remove.n : 0;
	ops = NEW(c, struct header_op, max);
	for (int i = 0; i < n; i++)
		for (int k = 0; lists[i] && k < lists[i]->remove.n; k++)
			if (!internal(lists[i]->remove.v[k]))
				ops[at++] = (struct header_op){ HEADER_REMOVE, lists[i]->remove.v[k], NULL };
	for (int i = 0; i < n; i++)
		if (lists[i])
			add_values(c, v, lists[i]->set.v, lists[i]->set.n, HEADER_SET, ops, &at);
	for (int i = 0; i < n; i++)
		if (lists[i])
			add_values(c, v, lists[i]->add.v, lists[i]->add.n, HEADER_ADD, ops, &at);
	*ret_n = at;
	return ops;
}

void edits_finish(struct compile *c, const struct vs *v, const struct edits *e, struct route *r)
{
	const struct vs_header_ops *request[2] = { NULL, NULL }, *response[2] = { NULL, NULL };

	for (int i = 0; i < e->n; i++) {
		request[i] = e->of[i]->request;
		response[i] = e->of[i]->response;
	}
	r->request = ops_of(c, v, request, e->n, &r->n_request);
	r->response = ops_of(c, v, response, e->n, &r->n_response);
	if (r->action == ROUTE_FORWARD)
		r->host_rewrite = e->authority;
}

void edits_of_target(struct compile *c, const struct vs *v, const struct vs_headers *h, struct route_target *t)
{
	if (!h)
		return;
	t->request = ops_of(c, v, &h->request, 1, &t->n_request);
	t->response = ops_of(c, v, &h->response, 1, &t->n_response);
	t->host_rewrite = authority_in(h->request);
}

/* ---- retries ---- */

static uint32_t condition(struct str word)
{
	static const struct { const char *word; uint32_t bit; } words[] = {
		{ "5xx", RETRY_5XX }, { "gateway-error", RETRY_GATEWAY_ERROR }, { "reset", RETRY_RESET }, { "connect-failure", RETRY_CONNECT_FAILURE },
		{ "refused-stream", RETRY_REFUSED_STREAM }, { "retriable-status-codes", RETRY_CODES }, { "retriable-4xx", RETRY_4XX },
		{ "retriable-headers", RETRY_HEADERS }, { "envoy-ratelimited", RETRY_ENVOY_RATELIMITED },
		{ "reset-before-request", RETRY_RESET_BEFORE_REQUEST }, { "http3-post-connect-failure", RETRY_HTTP3_POST_CONNECT },
		{ "cancelled", RETRY_GRPC_CANCELLED }, { "deadline-exceeded", RETRY_GRPC_DEADLINE }, { "internal", RETRY_GRPC_INTERNAL },
		{ "resource-exhausted", RETRY_GRPC_EXHAUSTED }, { "unavailable", RETRY_GRPC_UNAVAILABLE },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_is(word, words[i].word))
			return words[i].bit;
	return 0;
}

static struct str trimmed(struct str s)
{
	while (s.n && isspace((unsigned char)s.p[0]))
		s = (struct str){ s.p + 1, s.n - 1 };
	while (s.n && isspace((unsigned char)s.p[s.n - 1]))
		s.n--;
	return s;
}

static void parse_retry_on(struct compile *c, const struct resource *r, const char *text, struct retry_policy *ret)
{
	struct str rest = str_c(text);
	uint16_t *codes = NEW(c, uint16_t, rest.n / 2 + 1);

	ret->on = 0;
	while (rest.p) {
		struct str word = trimmed(str_cut(rest, ',', &rest));
		uint64_t code;

		if (str_to_u64(word, &code) && code >= 100 && code < 600) {
			codes[ret->n_codes++] = (uint16_t)code;
			ret->on |= RETRY_CODES;
		} else if (condition(word)) {
			ret->on |= condition(word);
		} else if (word.n && r) {
			compile_report(c, r, "its retryOn condition \"%.*s\" is not known", STR_FMT(word));
		}
	}
	ret->codes = codes;
}

void compile_retry(struct compile *c, const struct resource *r, const struct vs_retries *in, bool hashed, struct retry_policy *ret)
{
	*ret = (struct retry_policy){
		.on = RETRY_CONNECT_FAILURE | RETRY_REFUSED_STREAM | RETRY_GRPC_UNAVAILABLE | RETRY_GRPC_CANCELLED | RETRY_CODES, .attempts = 2,
		.backoff_ms = 25, .backoff_max_ms = 250, .previous_hosts = !hashed, .host_attempts = 5,
	};
	if (!in)
		return;
	if (!in->attempts) {
		*ret = (struct retry_policy){ .attempts = 0 };
		return;
	}
	ret->attempts = (int)in->attempts;
	if (*in->retry_on)
		parse_retry_on(c, r, in->retry_on, ret);
	ret->per_try_ms = in->per_try.set ? in->per_try.ms : 0;
	if (in->ignore_previous_hosts != OPT_UNSET)
		ret->previous_hosts = in->ignore_previous_hosts == OPT_YES;
	ret->remote_localities = in->remote_localities == OPT_YES;
	if (in->backoff.set && in->backoff.ms) {
		ret->backoff_ms = in->backoff.ms;
		ret->backoff_max_ms = in->backoff.ms * 10;
	}
}
