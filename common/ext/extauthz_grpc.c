/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "ext/extauthz_int.h"
#include "ext/server.h"
#include "http/grpc_frame.h"
#include "proto/ext_authz.pb-c.h"

#define CHECK_PATH "/envoy.service.auth.v3.Authorization/Check"

static char *text(struct exchange *x, struct str s)
{
	return arena_dup(&x->arena, s);
}

static Extauthz__CheckRequest__Peer *peer(struct exchange *x, const struct addr *at, struct str principal)
{
	struct {
		Extauthz__CheckRequest__Peer peer;
		Extauthz__CheckRequest__Address address;
		Extauthz__CheckRequest__SocketAddress socket;
	} *p = arena_alloc(&x->arena, sizeof(*p));
	char ip[ADDR_TEXT];

	extauthz__check_request__peer__init(&p->peer);
	extauthz__check_request__address__init(&p->address);
	extauthz__check_request__socket_address__init(&p->socket);
	p->socket.address = text(x, str_c(ip_format(&at->ip, ip)));
	p->socket.port_value = at->port;
	p->address.socket_address = &p->socket;
	p->peer.address = &p->address;
	p->peer.principal = text(x, principal);
	return &p->peer;
}

/* A map has one entry for a name: repeated lines are joined, as a list. */
struct header_map {
	struct exchange *x;
	Extauthz__StringPair **v;
	size_t n;
};

static void map_put(struct header_map *m, struct str name, struct str value)
{
	Extauthz__StringPair *e;
	char *key = text(m->x, name);

	for (char *c = key; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c += 'a' - 'A';
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->v[i]->key, key) == 0) {
			m->v[i]->value = (char *)exchange_printf(m->x, "%s,%.*s", m->v[i]->value, STR_FMT(value)).p;
			return;
		}
	}
	e = arena_alloc(&m->x->arena, sizeof(*e));
	extauthz__string_pair__init(e);
	e->key = key;
	e->value = text(m->x, value);
	m->v[m->n++] = e;
}

static void put_headers(struct exchange *x, Extauthz__CheckRequest__Http *h)
{
	struct header_map m = { .x = x };

	m.v = arena_alloc(&x->arena, ((size_t)x->request_fields.n + 4) * sizeof(*m.v));
	map_put(&m, str_c(":method"), x->request.method);
	map_put(&m, str_c(":path"), x->request.path);
	map_put(&m, str_c(":authority"), x->request.authority);
	map_put(&m, str_c(":scheme"), x->request.scheme.n ? x->request.scheme : str_c("http"));
	for (int i = 0; i < x->request_fields.n; i++)
		map_put(&m, x->request_fields.v[i].name, x->request_fields.v[i].value);
	h->headers = m.v;
	h->n_headers = m.n;
}

static void put_body(struct exchange *x, const struct ext_provider *p, struct str body, Extauthz__CheckRequest__Http *h)
{
	struct str length = fields_get(&x->request_fields, "content-length");
	uint64_t n;

	h->size = str_to_u64(length, &n) && n < INT64_MAX ? (int64_t)n : -1;
	if (body.n == 0)
		return;
	h->size = (int64_t)body.n;
	if (p->body_bytes)
		h->raw_body = (ProtobufCBinaryData){ body.n, (uint8_t *)body.p };
	else
		h->body = text(x, body);
}

static struct str pack(struct exchange *x, const Extauthz__CheckRequest *m)
{
	size_t n = extauthz__check_request__get_packed_size(m);
	uint8_t *p = arena_alloc(&x->arena, n + GRPC_PREFIX_BYTES);

	grpc_frame_prefix(n, p);
	extauthz__check_request__pack(m, p + GRPC_PREFIX_BYTES);
	return (struct str){ (const char *)p, n + GRPC_PREFIX_BYTES };
}

void extauthz_grpc_ask(struct exchange *x, const struct ext_provider *p, struct str body, struct extauthz_question *ret)
{
	Extauthz__CheckRequest m = EXTAUTHZ__CHECK_REQUEST__INIT;
	Extauthz__CheckRequest__Attributes a = EXTAUTHZ__CHECK_REQUEST__ATTRIBUTES__INIT;
	Extauthz__CheckRequest__Request r = EXTAUTHZ__CHECK_REQUEST__REQUEST__INIT;
	Extauthz__CheckRequest__Http h = EXTAUTHZ__CHECK_REQUEST__HTTP__INIT;
	Extauthz__CheckRequest__Time t = EXTAUTHZ__CHECK_REQUEST__TIME__INIT;
	static const char *const protocols[] = { "HTTP/1.0", "HTTP/1.1", "HTTP/2" };

	t.seconds = (int64_t)(x->log.wall_us / 1000000);
	t.nanos = (int32_t)(x->log.wall_us % 1000000 * 1000);
	h.id = text(x, fields_get(&x->request_fields, "x-request-id"));
	h.method = text(x, x->request.method);
	h.path = text(x, x->request.path);
	h.host = text(x, x->request.authority);
	h.scheme = text(x, x->request.scheme.n ? x->request.scheme : str_c("http"));
	h.protocol = (char *)protocols[x->version];
	put_headers(x, &h);
	put_body(x, p, body, &h);
	r.time = &t;
	r.http = &h;
	a.request = &r;
	a.source = peer(x, &x->client->peer, x->client->peer_id);
	a.destination = peer(x, &x->client->local, x->client->local_id);
	m.attributes = &a;
	*ret = (struct extauthz_question){ server_grpc_head(exchange_printf(x, "%s:%u", p->service, p->port), CHECK_PATH), pack(x, &m) };
}

/* ---- the answer ---- */

static void put_edits(struct arena *a, struct header_edits *e, Extauthz__HeaderOption *const *v, size_t n)
{
	static const enum header_edit_kind kinds[] = { EDIT_SET, EDIT_ADD_IF_ABSENT, EDIT_SET, EDIT_OVERWRITE_IF_THERE };

	for (size_t i = 0; i < n; i++) {
		const Extauthz__HeaderValue *h = v[i]->header;
		bool append = v[i]->append && v[i]->append->value;
		struct str value;

		if (!h)
			continue;
		value = h->raw_value.len ? (struct str){ (const char *)h->raw_value.data, h->raw_value.len } : str_c(h->value);
		header_edits_add(a, e, append ? EDIT_APPEND : v[i]->append_action < 4 ? kinds[v[i]->append_action] : EDIT_SET,
				 arena_dup(a, str_c(h->key)), str_c(arena_dup(a, value)));
	}
}

static void decide(struct arena *a, const Extauthz__CheckResponse *m, struct extauthz_answer *ret)
{
	const Extauthz__CheckResponse__Denied *d = m->denied_response;
	const Extauthz__CheckResponse__Ok *ok = m->ok_response;

	if (!m->status || m->status->code == 0) {
		ret->verdict = EXTAUTHZ_ALLOWED;
		if (!ok)
			return;
		put_edits(a, &ret->request, ok->headers, ok->n_headers);
		for (size_t i = 0; i < ok->n_headers_to_remove; i++)
			header_edits_add(a, &ret->request, EDIT_REMOVE, arena_dup(a, str_c(ok->headers_to_remove[i])), (struct str){ 0 });
		put_edits(a, &ret->response, ok->response_headers_to_add, ok->n_response_headers_to_add);
		return;
	}
	ret->verdict = EXTAUTHZ_DENIED;
	ret->status = 403;
	if (!d)
		return;
	if (d->status && d->status->code >= 200 && d->status->code <= 599)
		ret->status = (int)d->status->code;
	ret->body = str_c(arena_dup(a, str_c(d->body)));
	put_edits(a, &ret->response, d->headers, d->n_headers);
}

void extauthz_grpc_answer(struct arena *a, const struct urequest_reply *r, struct extauthz_answer *ret)
{
	Extauthz__CheckResponse *m = NULL;
	struct str message;

	*ret = (struct extauthz_answer){ .verdict = EXTAUTHZ_ERROR };
	if (r->grpc_status != 0 || r->head->status != 200) {
		ret->error = r->grpc_status > 0 ? "the server answered with an error" : "the server does not speak gRPC";
		return;
	}
	if (server_grpc_message(r->body, &message))
		m = extauthz__check_response__unpack(NULL, message.n, (const uint8_t *)message.p);
	if (!m) {
		ret->error = "the server's answer is no CheckResponse";
		return;
	}
	decide(a, m, ret);
	extauthz__check_response__free_unpacked(m, NULL);
}
