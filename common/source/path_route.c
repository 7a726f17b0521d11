/* SPDX-License-Identifier: Apache-2.0 */
/* Where requests and bytes go from a hop that routes: a sidecar, or a waypoint. */
#include <stdio.h>

#include "source/path_int.h"
#include "traffic/named.h"

/* --- what a route says --- */

static const char *match_text(struct path_walk *k, const struct route *r)
{
	static const char *const kinds[] = { "any path", "path is", "path begins with", "path is or is under", "path matches" };
	const char *conditions = "";

	if (r->match.n_headers + r->match.n_queries)
		conditions = path_printf(k, ", %d conditions on headers, %d on the query", r->match.n_headers, r->match.n_queries);
	return path_printf(k, "%s%s%s%s", kinds[r->match.path], r->match.path_text && *r->match.path_text ? " " : "", r->match.path_text ? r->match.path_text : "", conditions);
}

static void put_ops(struct buf *out, const struct header_op *v, int n)
{
	static const char *const kinds[] = { "sets", "adds", "removes" };

	for (int i = 0; i < n; i++)
		buf_printf(out, "%s%s %s", buf_len(out) ? ", " : "", kinds[v[i].kind], v[i].name);
}

static void say_edits(struct path_walk *k, struct path_hop *h, const char *of, const struct header_op *v, int n)
{
	struct buf out = { 0 };

	put_ops(&out, v, n);
	if (buf_len(&out))
		path_fact(k, h, "headers", "of the %s: %.*s", of, STR_FMT(buf_str(&out)));
	buf_done(&out);
}

static double percent_of(struct percent p)
{
	return p.of ? 100.0 * p.parts / p.of : 0;
}

static void say_forward(struct path_walk *k, struct path_hop *h, const struct route *r)
{
	if (r->timeout_ms)
		path_fact(k, h, "timeout", "%llu ms", (unsigned long long)r->timeout_ms);
	if (r->retry.attempts)
		path_fact(k, h, "retries", "%d%s", r->retry.attempts, r->retry.per_try_ms ? path_printf(k, ", %u ms each", r->retry.per_try_ms) : "");
	for (int i = 0; i < r->n_mirrors; i++)
		path_fact(k, h, "mirror", "%s, %g %%", cluster_conf(r->mirrors[i].cluster)->name, percent_of(r->mirrors[i].share));
	if (r->hash.by != HASH_NONE)
		path_fact(k, h, "hash", "the same client goes to the same endpoint, which is not worked out here");
	if (r->cors)
		path_fact(k, h, "cors", "preflights are answered here");
	say_edits(k, h, "request", r->request, r->n_request);
	say_edits(k, h, "response", r->response, r->n_response);
	if (percent_of(r->fault.delay_share) > 0)
		path_fact(k, h, "fault", "waits %llu ms, %g %%", (unsigned long long)r->fault.delay_ms, percent_of(r->fault.delay_share));
	if (percent_of(r->fault.abort_share) > 0)
		path_fact(k, h, "fault", "answers %d, %g %%", r->fault.grpc_status < 0 ? r->fault.abort_status : 200, percent_of(r->fault.abort_share));
}

/* --- endpoints --- */

static const char *carried_text(enum transport t)
{
	switch (t) {
	case TRANSPORT_ISTIO_MTLS:
		return "Istio mTLS";
	case TRANSPORT_TLS:
		return "TLS";
	case TRANSPORT_HBONE:
	case TRANSPORT_WAYPOINT:
		return "HBONE";
	default:
		return "plaintext";
	}
}

static enum path_carried carried_of(enum transport t)
{
	return t == TRANSPORT_ISTIO_MTLS ? CARRIED_ISTIO_MTLS : t == TRANSPORT_TLS ? CARRIED_TLS : t == TRANSPORT_HBONE || t == TRANSPORT_WAYPOINT ? CARRIED_HBONE : CARRIED_PLAIN;
}

/* What is at the far end: the application, or what a waypoint is asked for. */
static const struct addr *end_of(const struct pick *p)
{
	return p->transport == TRANSPORT_WAYPOINT ? &p->target : &p->addr;
}

/* One of the legs from `first` on. */
static struct path_leg *leg_of(struct path_hop *h, int first, const struct pick *p)
{
	const struct addr *to = end_of(p);

	for (int i = first; i < h->n_legs; i++) {
		const struct path_wire *w = h->legs[i].wire;

		if (!w || w->how != carried_of(p->transport) || !ip_eq(&w->to.ip, &to->ip) || w->to.port != to->port)
			continue;
		if (p->workload ? w->ns && !strcmp(w->ns, p->workload->ns) && !strcmp(w->name, p->workload->name) : !w->ns)
			return &h->legs[i];
	}
	return NULL;
}

static void leg_of_pick(struct path_walk *k, struct path_hop *h, const struct path_sender *s, int first, const struct pick *p, const struct path_wire *wire,
			const struct cluster_conf *conf)
{
	static const struct ip none;
	struct path_leg *l = leg_of(h, first, p);
	const char *host = strchr(conf->service, '/');
	struct buf sni = { 0 };

	if (l) {
		l->share++;
		return;
	}
	l = path_leg(k, h, 1);
	l->wire = path_wire(k, wire);
	l->wire->how = carried_of(p->transport);
	l->wire->to = *end_of(p);
	l->wire->waypoint = p->transport == TRANSPORT_WAYPOINT;
	if (l->wire->waypoint && ip_eq(&p->target.ip, &none))
		l->wire->host = path_copy(k, str_c(host ? host + 1 : conf->service));
	l->wire->principal = l->wire->how == CARRIED_ISTIO_MTLS || l->wire->how == CARRIED_HBONE ? s->identity : "";
	if (p->transport == TRANSPORT_ISTIO_MTLS)
		cluster_sni(conf, &sni);
	l->wire->sni = path_copy(k, buf_len(&sni) ? buf_str(&sni) : str_c(""));
	buf_done(&sni);
	l->carried = carried_text(p->transport);
	path_endpoint(k, l, p->workload, end_of(p));
}

/* To a host outside whose addresses are DNS's to say, and offline nobody is asked. */
static void to_name(struct path_walk *k, struct path_hop *h, const struct cluster_conf *conf, const char *name, uint16_t port, unsigned share, const struct path_wire *wire)
{
	struct path_leg *l = path_leg(k, h, share);
	bool tls = conf->tls.mode == TLS_SIMPLE || conf->tls.mode == TLS_MUTUAL;

	l->wire = path_wire(k, wire);
	l->wire->how = tls ? CARRIED_TLS : CARRIED_PLAIN;
	l->wire->to = (struct addr){ .port = port };
	l->wire->host = path_copy(k, str_c(name));
	l->wire->principal = "";
	l->carried = carried_text(tls ? TRANSPORT_TLS : TRANSPORT_PLAIN);
	path_endpoint(k, l, NULL, &l->wire->to);
	l->to = l->endpoints[0] = path_printf(k, "%s:%u", name, port);
}

/* The request, or the client's TLS, names the server. */
static void by_name(struct path_walk *k, struct path_hop *h, const struct cluster_conf *conf, unsigned share, const struct path_wire *wire)
{
	char name[NAMED_MAX];
	enum fail why = !wire->requests && !wire->tls_inside ? FAIL_NO_SNI : named_check(conf->hosts, conf->n_hosts, str_c(path_host(k, wire)), name);

	if (why == FAIL_NONE)
		to_name(k, h, conf, name, conf->target, share, wire);
	else if (wire->requests)
		path_ends(k, h, share, PATH_REFUSE, fail_http(why)->status, fail_info(why)->name, conf->name);
	else
		path_breaks(k, h, share, wire, PATH_REFUSE, why == FAIL_NO_SNI ? why : FAIL_SNI_OUTSIDE, conf->name);
}

void path_cluster(struct path_walk *k, struct path_hop *h, const struct path_sender *s, struct cluster *c, unsigned share, const struct path_wire *wire)
{
	const struct cluster_conf *conf = cluster_conf(c);
	struct service *service = *conf->service ? mesh_service(s->m, str_c(conf->service)) : NULL;
	int first = h->n_legs;
	struct pick p;

	if (conf->kind == CLUSTER_NAMED) {
		by_name(k, h, conf, share, wire);
		return;
	}
	for (int i = 0; i < PATH_SAMPLES; i++) {
		uint64_t seed = (uint64_t)i + 1;
		struct pick_ask ask = { .m = s->m, .client = s->w, .original = wire->to, .seed = &seed };

		if (cluster_pick(c, &ask, &p)) {
			leg_of_pick(k, h, s, first, &p, wire, conf);
			pick_done(&p);
		} else if (p.why == FAIL_RESOLVE && conf->kind == CLUSTER_DNS) {
			to_name(k, h, conf, conf->n_hosts ? conf->hosts[0] : service ? service->hostname : conf->service, conf->port, 1, wire);
			break;
		} else {
			path_breaks(k, h, share, wire, PATH_REFUSE, p.why, conf->name);
			return;
		}
	}
	path_divide(h, first, share);
}

static unsigned part_of(unsigned share, uint32_t weight, uint32_t sum, int n)
{
	return sum ? (unsigned)((uint64_t)share * weight / sum) : share / (unsigned)n;
}

/* --- targets --- */

static void go(struct path_walk *k, struct path_hop *h, const struct path_sender *s, const struct route *r, const struct route_target *t, unsigned share,
	       const struct path_wire *wire)
{
	struct path_wire edited = *wire;
	struct exchange x;

	path_exchange(wire, &(struct exchange_client){ .inbound = false }, &x);
	route_apply_request(&x, r, t);
	path_exchange_keep(k, &x, &edited);
	arena_done(&x.arena);
	edited.named = wire->authority;
	say_edits(k, h, t->cluster_name, t->request, t->n_request);
	path_fact(k, h, "upstream", "%.*s http://%.*s%.*s", STR_FMT(edited.method), STR_FMT(edited.authority), STR_FMT(edited.path));
	path_cluster(k, h, s, t->cluster, share, &edited);
}

static void to_targets(struct path_walk *k, struct path_hop *h, const struct path_sender *s, const struct route *r, unsigned share, const struct path_wire *wire)
{
	for (int i = 0; i < r->n_targets; i++) {
		const struct route_target *t = &r->targets[i];
		unsigned part = part_of(share, t->weight, r->weight_sum, r->n_targets);

		path_fact(k, h, "to", "%s%s%s", t->cluster_name, r->n_targets > 1 ? path_printf(k, ", %u of %u", t->weight, r->weight_sum) : "",
			  t->cluster ? "" : path_printf(k, ": does not exist, %d", r->missing_status));
		if (!part)
			continue;
		if (t->cluster)
			go(k, h, s, r, t, part, wire);
		else
			path_ends(k, h, part, PATH_REFUSE, r->missing_status, fail_info(FAIL_NO_CLUSTER)->name, t->cluster_name);
	}
	if (!r->n_targets)
		path_ends(k, h, share, PATH_REFUSE, r->missing_status ? r->missing_status : 503, fail_info(FAIL_NO_CLUSTER)->name, "the route leads nowhere");
}

static const char *name_of(const struct route *r)
{
	return *r->name ? r->name : "(without a name)";
}

void path_route(struct path_walk *k, struct path_hop *h, const struct path_sender *s, const struct route_table *t, const struct path_wire *wire)
{
	static const struct exchange_client nobody;
	const struct vhost *v = route_table_vhost(t, wire->authority);
	const struct route *r;
	unsigned share = 10000, aborted;
	struct exchange x;

	path_exchange(wire, &nobody, &x);
	x.claims = h->proxy == PATH_WAYPOINT ? k->claims : NULL;
	r = route_find(t, &x);
	arena_done(&x.arena);
	path_fact(k, h, "host", "%s", v ? v->name : "none");
	if (!r) {
		path_fact(k, h, "route", "none: 404");
		path_ends(k, h, share, PATH_REFUSE, 404, fail_info(FAIL_NO_ROUTE)->name, v ? v->name : "");
		return;
	}
	if (r->outside) {
		path_fact(k, h, "route", "none: the Host is not one of the service's");
		path_ends(k, h, share, PATH_REFUSE, fail_http(FAIL_HOST_OUTSIDE)->status, fail_info(FAIL_HOST_OUTSIDE)->name, path_host(k, wire));
		return;
	}
	path_fact(k, h, "route", "%s: %s", name_of(r), match_text(k, r));
	say_forward(k, h, r);
	aborted = (unsigned)(percent_of(r->fault.abort_share) * 100);
	if (aborted)
		path_ends(k, h, aborted, PATH_REFUSE, r->fault.grpc_status < 0 ? r->fault.abort_status : 200, fail_info(FAIL_FAULT_ABORT)->name, path_printf(k, "route %s", name_of(r)));
	share -= aborted;
	if (!share)
		return;
	if (r->action == ROUTE_REPLY) {
		path_fact(k, h, "answer", "%d", r->reply.status);
		path_ends(k, h, share, PATH_ANSWER, r->reply.status, fail_info(FAIL_DIRECT)->name, path_printf(k, "route %s", name_of(r)));
	} else if (r->action == ROUTE_REDIRECT) {
		path_fact(k, h, "redirect", "%d", r->redirect.status);
		path_ends(k, h, share, PATH_ANSWER, r->redirect.status, fail_info(FAIL_DIRECT)->name, path_printf(k, "route %s", name_of(r)));
	} else {
		to_targets(k, h, s, r, share, wire);
	}
}

void path_l4(struct path_walk *k, struct path_hop *h, const struct path_sender *s, const struct l4_route *r, const struct path_wire *wire)
{
	for (int i = 0; i < r->n_targets; i++) {
		const struct route_target *t = &r->targets[i];
		unsigned part = part_of(10000, t->weight, r->weight_sum, r->n_targets);

		path_fact(k, h, "bytes", "%s%s%s%s", r->n_sni ? r->sni[0] : "", r->n_sni ? " -> " : "", t->cluster_name,
			  r->n_targets > 1 ? path_printf(k, ", %u of %u", t->weight, r->weight_sum) : "");
		if (part && t->cluster)
			path_cluster(k, h, s, t->cluster, part, wire);
		else if (part)
			path_breaks(k, h, part, wire, PATH_REFUSE, FAIL_NO_CLUSTER, t->cluster_name);
	}
	if (!r->n_targets)
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_NO_CLUSTER, "the route leads nowhere");
}
