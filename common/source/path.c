/* SPDX-License-Identifier: Apache-2.0 */
#include "source/path_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "dns/nametable.h"
#include "model/meshconfig.h"
#include "model/waypoint.h"
#include "policy/claims.h"

const char *path_proxy_name(enum path_proxy p)
{
	static const char *const names[] = { "none", "ztunnel", "sidecar", "waypoint" };

	return names[p];
}

const char *path_end_name(enum path_end e)
{
	static const char *const names[] = { "ALLOW", "ANSWER", "DENY", "REFUSE" };

	return names[e];
}

/* --- parts of a path --- */

const char *path_copy(struct path_walk *k, struct str s)
{
	return arena_dup(&k->path->mem, s);
}

static const char *format(struct path_walk *k, const char *fmt, va_list ap)
{
	char text[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	return path_copy(k, str_c(text));
}

const char *path_printf(struct path_walk *k, const char *fmt, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, fmt);
	text = format(k, fmt, ap);
	va_end(ap);
	return text;
}

/* One more at the end of an array in the arena. */
static void *more(struct path_walk *k, void *v, int n, size_t size)
{
	void *to = v;

	if ((n & (n - 1)) == 0) {        /* full at each power of two */
		to = arena_alloc(&k->path->mem, (size_t)(n ? 2 * n : 1) * size);
		if (n)
			memcpy(to, v, (size_t)n * size);
	}
	return to;
}

void path_fact(struct path_walk *k, struct path_hop *h, const char *kind, const char *fmt, ...)
{
	va_list ap;

	h->facts = more(k, h->facts, h->n_facts, sizeof(*h->facts));
	va_start(ap, fmt);
	h->facts[h->n_facts++] = (struct path_fact){ kind, format(k, fmt, ap) };
	va_end(ap);
}

struct path_leg *path_leg(struct path_walk *k, struct path_hop *h, unsigned share)
{
	h->legs = more(k, h->legs, h->n_legs, sizeof(*h->legs));
	h->legs[h->n_legs] = (struct path_leg){ .share = share };
	return &h->legs[h->n_legs++];
}

void path_divide(struct path_hop *h, int first, unsigned share)
{
	unsigned sum = 0, left = share;

	for (int i = first; i < h->n_legs; i++)
		sum += h->legs[i].share;
	for (int i = first; i < h->n_legs; i++) {
		h->legs[i].share = i + 1 == h->n_legs ? left : (unsigned)((uint64_t)share * h->legs[i].share / sum);
		left -= h->legs[i].share;
	}
}

void path_ends(struct path_walk *k, struct path_hop *h, unsigned share, enum path_end end, int status, const char *reason, const char *detail)
{
	path_leg(k, h, share)->verdict = (struct path_verdict){
		end, status, h->workload, h->proxy, path_copy(k, str_c(reason)), path_copy(k, str_c(detail)),
	};
}

void path_breaks(struct path_walk *k, struct path_hop *h, unsigned share, const struct path_wire *w, enum path_end end, enum fail why, const char *detail)
{
	path_ends(k, h, share, end, w->answered ? 503 : 0, fail_info(why)->name, detail);
}

struct path_wire *path_wire(struct path_walk *k, const struct path_wire *like)
{
	struct path_wire *w = arena_alloc(&k->path->mem, sizeof(*w));

	*w = *like;
	w->host = NULL;
	w->waypoint = false;
	return w;
}

const char *path_host(struct path_walk *k, const struct path_wire *w)
{
	struct str host = w->named.n ? w->named : w->authority, bare = host;

	for (size_t i = host.n; i-- > 0 && host.p[i] != ']';)
		if (host.p[i] == ':')
			bare.n = i;
	return path_copy(k, bare);
}

void path_endpoint(struct path_walk *k, struct path_leg *l, const struct workload *w, const struct addr *to)
{
	char text[ADDR_TEXT];

	addr_format(to, text);
	l->to = path_copy(k, str_c(text));
	l->endpoints = more(k, l->endpoints, l->n_endpoints, sizeof(*l->endpoints));
	l->endpoints[l->n_endpoints++] = w ? path_printf(k, "%s/%s", w->ns, w->name) : l->to;
	if (w && l->wire) {
		l->wire->ns = path_copy(k, str_c(w->ns));
		l->wire->name = path_copy(k, str_c(w->name));
	} else if (l->wire) {
		l->wire->ns = l->wire->name = NULL;
	}
}

/* --- the request --- */

void path_exchange(const struct path_wire *w, const struct exchange_client *client, struct exchange *x)
{
	*x = (struct exchange){ .client = client, .request = { .method = w->method, .path = w->path, .authority = w->authority, .scheme = str_c("http") } };
	x->request_fields.arena = x->response_fields.arena = &x->arena;
	for (int i = 0; i < w->n_fields; i++)
		fields_add(&x->request_fields, w->fields[i].name.p, w->fields[i].value);
}

void path_exchange_keep(struct path_walk *k, const struct exchange *x, struct path_wire *w)
{
	struct http_field *v = arena_alloc(&k->path->mem, (size_t)x->request_fields.n * sizeof(*v) + 1);

	w->method = str_c(path_copy(k, x->request.method));
	w->path = str_c(path_copy(k, x->request.path));
	w->authority = str_c(path_copy(k, x->request.authority));
	for (int i = 0; i < x->request_fields.n; i++)
		v[i] = (struct http_field){ str_c(path_copy(k, x->request_fields.v[i].name)), str_c(path_copy(k, x->request_fields.v[i].value)) };
	w->fields = v;
	w->n_fields = x->request_fields.n;
}

/* --- the mesh as a hop sees it --- */

static void close_view(struct path_walk *k)
{
	if (k->conf)
		confdir_withdraw(k->conf);
	confdir_free(k->conf);
	k->conf = NULL;
}

const struct mesh *path_view(struct path_walk *k, enum mesh_mode mode)
{
	if (k->rc < 0)
		return NULL;
	if (k->conf && k->settings.mode == mode)
		return mesh_current();
	close_view(k);
	k->settings = *k->base;
	k->settings.mode = mode;
	k->conf = confdir_new(k->dir, &k->settings);
	k->rc = confdir_load(k->conf, k->err);
	return k->rc < 0 ? NULL : mesh_current();
}

/* Whether a Gateway of the waypoints' class leads to it. */
static bool is_waypoint(const struct mesh *m, const struct workload *w)
{
	struct resource **all;
	bool is = false;
	int n;

	all = mesh_resources(m, RESOURCE_WAYPOINT, str_c(""), &n);
	for (int i = 0; i < n && !is; i++)
		is = mesh_is_gateway(m, &((const struct waypoint *)(const void *)all[i])->at, w);
	free(all);
	return is;
}

/* What --mode-of says. False: nothing. */
static bool told(const struct path_ask *ask, const struct workload *w, enum path_proxy *ret)
{
	for (int i = 0; i < ask->n_proxies; i++) {
		struct str what, name, ns = str_cut(str_cut(str_c(ask->proxies[i]), '=', &what), '/', &name);

		if (!str_is(ns, w->ns) || !str_is(name, w->name))
			continue;
		for (int p = PATH_NONE; p <= PATH_WAYPOINT; p++)
			if (str_is(what, path_proxy_name(p)))
				*ret = p;
		return true;
	}
	return false;
}

enum path_proxy path_stands_before(const struct mesh *m, const struct workload *w)
{
	const char *mode = "";

	if (is_waypoint(m, w))
		return PATH_WAYPOINT;
	for (int i = 0; i < w->n_labels; i++)
		if (!strcmp(w->labels[i].key, "security.istio.io/tlsMode"))
			mode = w->labels[i].value;
	if (w->tunnel == TUNNEL_HBONE)
		return strcmp(mode, "istio") ? PATH_ZTUNNEL : PATH_SIDECAR;
	return w->istio_mtls ? PATH_SIDECAR : PATH_NONE;
}

enum path_proxy path_proxy_of(const struct path_walk *k, const struct mesh *m, const struct workload *w)
{
	enum path_proxy p = PATH_NONE;

	return told(k->ask, w, &p) ? p : path_stands_before(m, w);
}

/* --- what was asked --- */

struct by_account { struct str ns, account; struct workload *w; };

static bool has_account(struct workload *w, void *arg)
{
	struct by_account *b = arg;

	if (str_is(b->ns, w->ns) && str_is(b->account, w->service_account) && (!b->w || strcmp(w->name, b->w->name) < 0))
		b->w = w;
	return true;
}

static const struct workload *find_client(const struct mesh *m, const char *from)
{
	struct str name, ns = str_cut(str_c(from), '/', &name);
	struct by_account b = { ns, name, mesh_workload_named(m, ns, name) };

	if (!b.w && name.n)
		mesh_each_workload(m, has_account, &b);
	return b.w;
}

/* The address that the application's resolver would give: the mesh's, or one of no service (RFC 5737). */
static struct ip address_of(const struct mesh *m, const struct workload *client, struct str host)
{
	const struct nametable_view view = { .mesh = m, .client = client };
	bool v4 = !client || !client->n_ips || ip_is_v4(&client->ips[0]);
	struct nametable_match match;
	char name[256];
	struct ip ip;

	ip_parse(str_c("203.0.113.1"), &ip);
	snprintf(name, sizeof(name), "%.*s", STR_FMT(host));
	for (char *p = name; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
	if (client && nametable_find(&view, name, &match) && !nametable_addresses(&view, &match, v4, &ip, 1))
		nametable_addresses(&view, &match, !v4, &ip, 1);
	return ip;
}

static int read_target(struct path_walk *k, const struct mesh *m, const struct workload *client, struct path_wire *w)
{
	const char *to = k->ask->to, *colon = strrchr(to, ':');
	struct str host = { to, colon ? (size_t)(colon - to) : 0 };
	struct service *s;
	uint64_t port;

	if (addr_parse(str_c(to), &w->to) != 0) {
		if (!host.n || !str_to_u64(str_c(colon + 1), &port) || !port || port > 65535)
			return err_set(k->err, -EINVAL, "--to: want HOST:PORT or ADDRESS:PORT, got \"%s\"", to);
		w->to = (struct addr){ address_of(m, client, host), (uint16_t)port };
		/* Without a client in the mesh only the full name means something. */
		s = client ? NULL : mesh_service_by_host(m, host, str_c(""));
		for (int i = 0; s && i < s->n_vips; i++)
			if (s->vips[i].cidr.bits == 128)
				w->to.ip = s->vips[i].cidr.ip;
	}
	w->authority = str_c(w->to.port == 80 ? path_copy(k, host) : to);
	return 0;
}

static enum http_path path_level(int normalization)
{
	static const enum http_path levels[] = {
		[PATHS_DEFAULT] = HTTP_PATH_BASE, [PATHS_NONE] = HTTP_PATH_NONE, [PATHS_BASE] = HTTP_PATH_BASE, [PATHS_MERGE_SLASHES] = HTTP_PATH_MERGE_SLASHES,
		[PATHS_DECODE_AND_MERGE_SLASHES] = HTTP_PATH_DECODE_AND_MERGE_SLASHES,
	};

	return levels[normalization];
}

static int read_request(struct path_walk *k, const struct mesh *m, struct path_wire *w)
{
	const struct path_ask *ask = k->ask;
	struct http_field *v = arena_alloc(&k->path->mem, (size_t)ask->n_headers * sizeof(*v) + 1);
	struct str path = str_c(ask->path);

	w->method = str_c(ask->method);
	for (int i = 0; i < ask->n_headers; i++) {
		struct str value, name = str_cut(str_c(ask->headers[i]), ':', &value);
		char *lower = arena_dup(&k->path->mem, name);

		while (value.n && *value.p == ' ')
			value = (struct str){ value.p + 1, value.n - 1 };
		for (char *p = lower; *p; p++)
			*p = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
		if (!strcmp(lower, "host"))
			w->authority = value;
		else
			v[w->n_fields++] = (struct http_field){ str_c(lower), value };
	}
	w->fields = v;
	if (!http_path_normalise(path, path_level(mesh_config(m)->path_normalization), arena_alloc(&k->path->mem, 3 * path.n + 1), &w->path))
		return err_set(k->err, -EINVAL, "--path: \"%s\" has no normal form and is answered with 400", ask->path);
	return 0;
}

static int check_proxies(const struct path_ask *ask, struct err *err)
{
	for (int i = 0; i < ask->n_proxies; i++) {
		struct str what, name, ns = str_cut(str_cut(str_c(ask->proxies[i]), '=', &what), '/', &name);
		bool known = false;

		for (int p = PATH_NONE; p <= PATH_WAYPOINT; p++)
			known = known || str_is(what, path_proxy_name(p));
		if (!known || !ns.n || !name.n)
			return err_set(err, -EINVAL, "--mode-of: want NS/NAME=none, ztunnel, sidecar or waypoint, got \"%s\"", ask->proxies[i]);
	}
	return 0;
}

/* --- the walk --- */

static bool same(const struct path_verdict *a, const struct path_verdict *b)
{
	if (a->end == PATH_ALLOW && b->end == PATH_ALLOW)
		return true;
	return a->end == b->end && a->status == b->status && a->proxy == b->proxy && !strcmp(a->reason, b->reason) && !strcmp(a->detail, b->detail);
}

/* The verdicts of a leg are those of the other, one by one. */
static bool alike(const struct path_leg *a, const struct path_leg *b)
{
	if (!a->carried || !b->carried)
		return a->carried == b->carried && same(&a->verdict, &b->verdict);
	if (strcmp(a->carried, b->carried) || !a->next || !b->next || strcmp(a->next->role, b->next->role) || a->next->proxy != b->next->proxy ||
	    a->next->n_legs != b->next->n_legs)
		return false;
	for (int i = 0; i < a->next->n_legs; i++)
		if (!alike(&a->next->legs[i], &b->next->legs[i]))
			return false;
	return true;
}

static void merge(struct path_walk *k, struct path_hop *h)
{
	int n = 0;

	for (int i = 0; i < h->n_legs; i++) {
		struct path_leg *l = &h->legs[i];
		int at = 0;

		while (at < n && !alike(&h->legs[at], l))
			at++;
		if (at == n) {
			h->legs[n++] = *l;
			continue;
		}
		h->legs[at].share += l->share;
		for (int e = 0; e < l->n_endpoints; e++) {
			struct path_leg *to = &h->legs[at];

			to->endpoints = more(k, to->endpoints, to->n_endpoints, sizeof(*to->endpoints));
			to->endpoints[to->n_endpoints++] = l->endpoints[e];
		}
	}
	h->n_legs = n;
}

static struct path_hop *arrive(struct path_walk *k, struct path_wire *wire);

static void follow(struct path_walk *k, struct path_hop *h)
{
	if (h->n_legs > PATH_LEGS) {
		path_fact(k, h, "note", "%d more ways on are not followed", h->n_legs - PATH_LEGS);
		h->n_legs = PATH_LEGS;
	}
	k->depth++;
	for (int i = 0; i < h->n_legs && k->rc >= 0; i++)
		if (h->legs[i].wire)
			h->legs[i].next = arrive(k, h->legs[i].wire);
	k->depth--;
	if (k->rc >= 0)
		merge(k, h);
}

static struct path_hop *hop_new(struct path_walk *k, const char *role, const struct workload *w, const struct addr *at, const char *host)
{
	struct path_hop *h = arena_alloc(&k->path->mem, sizeof(*h));
	char text[ADDR_TEXT];

	h->role = role;
	h->workload = w ? path_printf(k, "%s/%s", w->ns, w->name) : host ? path_printf(k, "%s:%u", host, at->port) : path_copy(k, str_c(at->port ? addr_format(at, text) : ip_format(&at->ip, text)));
	h->identity = path_copy(k, str_c(w ? w->identity : ""));
	return h;
}

/* Another network may be told of by other files. */
static void beyond(struct path_walk *k, struct path_hop *h, const struct workload *w)
{
	path_fact(k, h, "beyond", "what becomes of it in the network '%s' is decided there", w ? w->network : "");
	path_ends(k, h, 10000, PATH_ALLOW, 0, "", "");
}

static struct path_hop *arrive(struct path_walk *k, struct path_wire *wire)
{
	const struct mesh *m = mesh_current();
	const struct workload *w = wire->ns ? mesh_workload_named(m, str_c(wire->ns), str_c(wire->name)) : NULL;
	struct path_hop *h = hop_new(k, wire->across ? "gateway" : wire->waypoint ? "waypoint" : "server", w, &wire->to, wire->host);

	h->proxy = w ? path_proxy_of(k, m, w) : PATH_NONE;
	if (k->depth > PATH_HOPS)
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_LOOP, "it goes round in circles");
	else if (wire->across)
		beyond(k, h, w);
	else if (wire->waypoint || h->proxy == PATH_WAYPOINT)
		path_at_waypoint(k, h, wire);
	else
		path_at_server(k, h, h->proxy, wire);
	follow(k, h);
	return h;
}

static void start(struct path_walk *k)
{
	const struct mesh *m = path_view(k, MODE_ZTUNNEL);
	struct path_wire wire = { .principal = "", .caller = "", .sni = "" };
	const struct workload *w = m ? find_client(m, k->ask->from) : NULL;
	char text[ADDR_TEXT];

	if (!m)
		return;
	if (!w && ip_parse(str_c(k->ask->from), &wire.source.ip) != 0) {
		k->rc = err_set(k->err, -ENOENT, "--from: no WorkloadEntry or Pod \"%s\", or of that service account, in %s", k->ask->from, k->dir);
		return;
	}
	if (w && w->n_ips)
		wire.source.ip = w->ips[0];
	k->rc = read_target(k, m, w, &wire);
	if (k->rc == 0)
		k->rc = read_request(k, m, &wire);
	if (k->rc < 0)
		return;
	k->path->method = wire.method.p;
	k->path->host = path_copy(k, wire.authority);
	k->path->target = path_copy(k, wire.path);
	k->path->from = path_copy(k, str_c(k->ask->from));
	k->path->to = path_copy(k, str_c(addr_format(&wire.to, text)));
	k->path->first = hop_new(k, "client", w, &wire.source, NULL);
	k->path->first->proxy = w ? path_proxy_of(k, m, w) : PATH_NONE;
	path_from_client(k, k->path->first, w, k->path->first->proxy, &wire);
	follow(k, k->path->first);
}

/* --- outcomes --- */

static void gather(struct path_walk *k, const struct path_hop *h, double share)
{
	struct path *p = k->path;

	for (int i = 0; i < h->n_legs; i++) {
		const struct path_leg *l = &h->legs[i];
		double part = share * l->share / 10000;
		int at = 0;

		if (l->next) {
			gather(k, l->next, part);
			continue;
		}
		while (at < p->n_outcomes && !same(p->outcomes[at].verdict, &l->verdict))
			at++;
		if (at == p->n_outcomes) {
			p->outcomes = more(k, p->outcomes, p->n_outcomes, sizeof(*p->outcomes));
			p->outcomes[p->n_outcomes++] = (struct path_outcome){ 0, &l->verdict };
		}
		p->outcomes[at].share += (unsigned)(part + 0.5);
	}
}

static int by_share(const void *a, const void *b)
{
	const struct path_outcome *x = a, *y = b;

	return x->share == y->share ? 0 : x->share > y->share ? -1 : 1;
}

int path_find(const char *dir, const struct path_ask *ask, const struct mesh_settings *base, struct path *ret, struct err *err)
{
	struct path_walk k = { .dir = dir, .ask = ask, .base = base, .path = ret, .err = err };

	*ret = (struct path){ .from = "" };
	k.rc = check_proxies(ask, err);
	if (k.rc == 0)
		start(&k);
	close_view(&k);
	claims_unref(k.claims);
	if (k.rc < 0) {
		path_done(ret);
		return k.rc;
	}
	gather(&k, ret->first, 10000);
	if (ret->n_outcomes > 1)
		qsort(ret->outcomes, (size_t)ret->n_outcomes, sizeof(*ret->outcomes), by_share);
	return 0;
}

void path_done(struct path *p)
{
	arena_done(&p->mem);
	*p = (struct path){ .from = "" };
}
