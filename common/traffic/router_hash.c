/* SPDX-License-Identifier: Apache-2.0 */
/* What a request is hashed by, as Envoy hashes it: the same client meets the same server through either. */
#include "traffic/router_int.h"

#include "base/xxhash64.h"

static struct str field(const struct exchange *x, const char *name)
{
	if (*name == ':')
		return strcmp(name, ":path") == 0 ? x->request.path : strcmp(name, ":method") == 0 ? x->request.method :
			strcmp(name, ":authority") == 0 ? x->request.authority : (struct str){ 0 };
	if (str_eq_nocase(str_c(name), str_c("host")))
		return x->request.authority;
	return fields_get(&x->request_fields, name);
}

/* The value of a cookie in the request; p NULL: there is none. */
static struct str cookie_get(const struct exchange *x, const char *name)
{
	for (int i = 0; i < x->request_fields.n; i++) {
		struct str rest = x->request_fields.v[i].value;

		if (!str_eq_nocase(x->request_fields.v[i].name, str_c("cookie")))
			continue;
		while (rest.n) {
			struct str value, one = str_cut(rest, ';', &rest), key;

			while (one.n && (*one.p == ' ' || *one.p == '\t'))
				one = (struct str){ one.p + 1, one.n - 1 };
			key = str_cut(one, '=', &value);
			if (!value.p || !str_is(key, name))
				continue;
			if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
				value = (struct str){ value.p + 1, value.n - 2 };
			return value;
		}
	}
	return (struct str){ 0 };
}

/* Requests of one connection that race get the same one. */
static struct str cookie_make(struct routing *r, const struct hash_conf *h)
{
	char peer[ADDR_TEXT], local[ADDR_TEXT];
	struct exchange *x = r->x;
	struct str both = exchange_printf(x, "%s%s", addr_format(&x->client->peer, peer), addr_format(&x->client->local, local));
	struct str value = exchange_printf(x, "%016llx", (unsigned long long)xxhash64(both.p, both.n, 0));

	r->cookie = exchange_printf(x, "%s=\"%.*s\"", h->name, STR_FMT(value));
	if (h->cookie_ttl_s)
		r->cookie = exchange_printf(x, "%.*s; Max-Age=%llu", STR_FMT(r->cookie), (unsigned long long)h->cookie_ttl_s);
	if (h->cookie_path && *h->cookie_path)
		r->cookie = exchange_printf(x, "%.*s; Path=%s", STR_FMT(r->cookie), h->cookie_path);
	for (int i = 0; i < h->n_cookie_attributes; i++)
		r->cookie = exchange_printf(x, "%.*s; %s", STR_FMT(r->cookie), h->cookie_attributes[i]);
	r->cookie = exchange_printf(x, "%.*s; HttpOnly", STR_FMT(r->cookie));
	return value;
}

static struct str query_get(struct str path, const char *name)
{
	struct str query, value;

	str_cut(path, '?', &query);
	query = str_cut(query, '#', &value);
	while (query.n) {
		struct str one = str_cut(query, '&', &query), key = str_cut(one, '=', &value);

		if (str_is(key, name))
			return value.p ? value : str_c("");
	}
	return (struct str){ 0 };
}

void routing_hash(struct routing *r)
{
	const struct hash_conf *own = &cluster_conf(r->cluster)->lb.hash, *h = own->by != HASH_NONE ? own : &r->route->hash;
	char text[ADDR_TEXT];
	struct str by = { 0 };

	switch (h->by) {
	case HASH_NONE:
		return;
	case HASH_HEADER:
		by = field(r->x, h->name);
		break;
	case HASH_COOKIE:
		by = cookie_get(r->x, h->name);
		if (!by.n && h->cookie_make)
			by = cookie_make(r, h);
		break;
	case HASH_SOURCE_IP:
		by = str_c(ip_format(&r->x->client->peer.ip, text));
		break;
	case HASH_QUERY:
		by = query_get(r->x->request.path, h->name);
		break;
	}
	if (!by.p)
		return;
	r->hash = xxhash64(by.p, by.n, 0);
	r->hashed = true;
}
