/* SPDX-License-Identifier: Apache-2.0 */
#include "http/clean.h"

#include "http/xfcc.h"

#define XFCC "x-forwarded-client-cert"

/* What only proxies inside may say (Envoy: cleanInternalHeaders); nobody is, where the mesh does not name internal addresses. */
static const char *const internal[] = {
	"x-envoy-internal", "x-envoy-retriable-status-codes", "x-envoy-retriable-header-names", "x-envoy-retry-on", "x-envoy-retry-grpc-on",
	"x-envoy-max-retries", "x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms",
	"x-envoy-upstream-rq-timeout-alt-response", "x-envoy-expected-rq-timeout-ms", "x-envoy-force-trace", "x-envoy-ip-tags",
	"x-envoy-original-url", "x-envoy-hedge-on-per-try-timeout",
};

static bool is_internal(struct str name)
{
	bool is = false;

	if (name.n <= 8 || !str_eq_nocase((struct str){ name.p, 8 }, str_c("x-envoy-")))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(internal) && !is; i++)
		is = str_eq_nocase(name, str_c(internal[i]));
	return is;
}

static void drop_internal(struct http_fields *f)
{
	int n = 0;

	for (int i = 0; i < f->n; i++)
		if (!is_internal(f->v[i].name))
			f->v[n++] = f->v[i];
	f->n = n;
}

/* Our entry without what it is not to tell: "Key=value;Key=\"value\"". */
static struct str less(const struct clean *s, struct exchange *x, struct str entry)
{
	struct str rest = entry, kept = { NULL, 0 };

	if (!s->no_subject && !s->no_uri && !s->no_dns)
		return entry;
	while (rest.n) {
		bool quoted = false;
		struct str part = rest;
		size_t n = 0;

		while (n < rest.n && (quoted || rest.p[n] != ';'))
			quoted ^= rest.p[n++] == '"';
		part.n = n;
		n += n < rest.n;
		rest = (struct str){ rest.p + n, rest.n - n };
		if ((s->no_subject && str_starts(part, str_c("Subject="))) || (s->no_uri && str_starts(part, str_c("URI="))) ||
		    (s->no_dns && str_starts(part, str_c("DNS="))))
			continue;
		kept = kept.n ? exchange_printf(x, "%.*s;%.*s", STR_FMT(kept), STR_FMT(part)) : part;
	}
	return kept;
}

/* Several lines are one list. */
static struct str list_of(struct exchange *x, const char *name)
{
	const struct http_fields *f = &x->request_fields;
	struct str all = { NULL, 0 };

	for (int i = 0; i < f->n; i++)
		if (str_eq_nocase(f->v[i].name, str_c(name)))
			all = all.n ? exchange_printf(x, "%.*s,%.*s", STR_FMT(all), STR_FMT(f->v[i].value)) : f->v[i].value;
	return all;
}

/* What came counts as said by the peer: kept is what a proxy says that is to be believed. */
static void set_xfcc(const struct clean *s, struct exchange *x)
{
	const struct exchange_client *c = x->client;
	struct http_fields *f = &x->request_fields;
	struct str had = c->hearsay ? list_of(x, XFCC) : (struct str){ NULL, 0 };

	x->caller_id = c->caller_id;
	if (!c->caller_id.n && c->vouched)
		x->caller_id = xfcc_caller(had, c->peer_id);
	if (s->xfcc == TELE_XFCC_ALWAYS_FORWARD_ONLY)
		return;
	if (s->xfcc == TELE_XFCC_SANITIZE || !c->xfcc.n || !c->hearsay)
		fields_remove(f, str_c(XFCC));
	if (s->xfcc == TELE_XFCC_SANITIZE || !c->xfcc.n || s->xfcc == TELE_XFCC_FORWARD_ONLY)
		return;
	if (s->xfcc == TELE_XFCC_APPEND_FORWARD && had.n)
		fields_set(f, XFCC, exchange_printf(x, "%.*s,%.*s", STR_FMT(had), STR_FMT(less(s, x, c->xfcc))));
	else
		fields_set(f, XFCC, less(s, x, c->xfcc));
}

/* HTTP/1 has none of its own. */
static void set_scheme(struct exchange *x)
{
	struct str proto = fields_get(&x->request_fields, "x-forwarded-proto");

	if (x->version != HTTP_2 && (str_is(proto, "http") || str_is(proto, "https")))
		x->request.scheme = proto;
}

static enum filter_step on_request(struct exchange *x, void *state, const void *conf)
{
	const struct clean *s = conf;

	(void)state;
	drop_internal(&x->request_fields);
	set_xfcc(s, x);
	/* Past the waypoint that should have asked: who sends it may say nothing of others. */
	if (x->client->bypasses) {
		fields_remove(&x->request_fields, str_c("x-forwarded-for"));
		fields_remove(&x->request_fields, str_c("forwarded"));
	}
	if (!fields_get(&x->request_fields, "x-forwarded-proto").n)
		fields_set(&x->request_fields, "x-forwarded-proto", str_c(s->inbound && !s->waypoint && x->client->mtls ? "https" : "http"));
	set_scheme(x);
	if (s->forwarded_port && !fields_get(&x->request_fields, "x-forwarded-port").n)
		fields_set(&x->request_fields, "x-forwarded-port", exchange_number(x, x->client->local.port));
	return FILTER_NEXT;
}

const struct filter_ops clean_filter = { .name = "clean", .on_request = on_request };

void clean_init(struct clean *c, const struct proxy_headers *h, enum mesh_mode mode, bool inbound)
{
	*c = (struct clean){
		.inbound = inbound, .waypoint = mode == MODE_WAYPOINT, .xfcc = inbound ? TELE_XFCC_APPEND_FORWARD : TELE_XFCC_SANITIZE, .no_subject = h->details.subject == OPT_NO,
		.no_uri = h->details.uri == OPT_NO, .no_dns = h->details.dns == OPT_NO, .forwarded_port = h->forwarded_port_enabled == OPT_YES,
	};
	if (inbound && h->xfcc != TELE_XFCC_UNDEFINED)
		c->xfcc = (enum tele_xfcc)h->xfcc;
	if (c->waypoint)
		c->xfcc = TELE_XFCC_SANITIZE_SET;      /* who asks is known by his tunnel, and by nothing that he says */
}
