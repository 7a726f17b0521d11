/* SPDX-License-Identifier: Apache-2.0 */
/* What arrives at a workload: its proxy, if it has one, then the application. */
#include "policy/scope.h"
#include "source/path_int.h"
#include "traffic/intake.h"

static void reaches(struct path_walk *k, struct path_hop *h, const struct path_wire *wire)
{
	char text[ADDR_TEXT];

	path_fact(k, h, "app", "%.*s http://%.*s%.*s to %s", STR_FMT(wire->method), STR_FMT(wire->authority), STR_FMT(wire->path),
		  wire->host ? wire->host : addr_format(&wire->to, text));
	path_ends(k, h, 10000, PATH_ALLOW, 0, "", "");
}

/* --- nobody stands before it --- */

static void at_none(struct path_walk *k, struct path_hop *h, const struct path_wire *wire)
{
	if (wire->how == CARRIED_HBONE && wire->ns)
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_CONNECT, "nobody takes HBONE there");
	else if (wire->how == CARRIED_ISTIO_MTLS && wire->ns)
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_TLS, "nobody takes Istio's mutual TLS there");
	else
		reaches(k, h, wire);
}

/* --- ztunnel --- */

static const struct workload *find(const struct mesh *m, const struct path_wire *wire)
{
	return m ? mesh_workload_named(m, str_c(wire->ns), str_c(wire->name)) : NULL;
}

static void at_ztunnel(struct path_walk *k, struct path_hop *h, struct path_wire *wire)
{
	const struct mesh *m = path_view(k, MODE_ZTUNNEL);
	const struct workload *w = find(m, wire);

	if (!w)
		return;
	if (wire->how == CARRIED_ISTIO_MTLS)        /* bytes like any other to ztunnel */
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_TLS, "nobody ends Istio's mutual TLS there");
	else if (path_judge(k, h, m, w, NULL, wire, false))
		reaches(k, h, wire);
}

/* --- its sidecar --- */

static const char *mode_name(enum mtls_mode m)
{
	return m == MTLS_STRICT ? "STRICT" : m == MTLS_DISABLE ? "DISABLE" : "PERMISSIVE";
}

static enum intake_first first_of(const struct path_wire *wire)
{
	if (wire->how == CARRIED_ISTIO_MTLS)
		return FIRST_ISTIO_TLS;
	return wire->how == CARRIED_TLS || wire->tls_inside ? FIRST_TLS : FIRST_REQUEST;
}

static void take(struct path_walk *k, struct path_hop *h, const struct mesh *m, const struct workload *w, struct path_wire *wire, bool requests)
{
	path_fact(k, h, "reads", requests ? "requests" : "bytes");
	if (path_judge(k, h, m, w, NULL, wire, requests))
		reaches(k, h, wire);
}

static void refuse_plain(struct path_walk *k, struct path_hop *h, const struct mesh *m, const struct workload *w, const struct path_wire *wire)
{
	const struct authz_input in = { .source = wire->source, .dest = wire->to };
	struct authz_verdict v = authz_judge_peer(m, w, &in);

	path_breaks(k, h, 10000, wire, PATH_DENY, FAIL_DENIED, v.allowed ? "mutual TLS is required" : v.rule);
}

static void by_port(struct path_walk *k, struct path_hop *h, const struct mesh *m, const struct workload *w, const struct inbound_port *in, struct path_wire *wire)
{
	const struct scope *s = scope_of(m, w, NULL);
	enum mtls_mode mode = MTLS_STRICT;
	const struct peer_authn *pa = s ? scope_peer_authn(s, wire->to.port, &mode) : NULL;

	path_fact(k, h, "mtls", "%s%s%s", mode_name(mode), pa ? " by PeerAuthentication " : ", which is the default", pa ? pa->key : "");
	switch (intake_of(in->protocol, wire->how == CARRIED_HBONE ? MTLS_UNSET : mode, wire->how == CARRIED_HBONE, first_of(wire))) {
	case INTAKE_BYTES:
		if (wire->how == CARRIED_ISTIO_MTLS)
			path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_TLS, "nobody ends Istio's mutual TLS on this port");
		else
			take(k, h, m, w, wire, false);
		break;
	case INTAKE_REQUESTS:
		take(k, h, m, w, wire, true);
		break;
	case INTAKE_END_TLS:
		if (wire->how != CARRIED_ISTIO_MTLS)
			path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_TLS, "TLS that shows no identity of the mesh");
		else
			take(k, h, m, w, wire, intake_is_http(in->protocol) || (in->protocol == PROTOCOL_AUTO && wire->requests));
		break;
	case INTAKE_REFUSE_PLAIN:
		refuse_plain(k, h, m, w, wire);
		break;
	case INTAKE_REFUSE_TLS:
		path_breaks(k, h, 10000, wire, PATH_REFUSE, FAIL_TLS, "TLS without Istio's ALPN on a port whose protocol is HTTP");
		break;
	}
}

static void no_report(void *arg, const char *object, const char *text)
{
	(void)arg;
	(void)object;
	(void)text;
}

static void at_sidecar(struct path_walk *k, struct path_hop *h, struct path_wire *wire)
{
	const struct mesh *m = path_view(k, MODE_SIDECAR);
	const struct workload *w = find(m, wire);
	const struct inbound_port *in;
	struct plan *p;

	if (!w)
		return;
	p = plan_compile(m, w, NULL, no_report, NULL);
	in = plan_inbound(p, wire->to.port);
	if (*in->service)
		path_fact(k, h, "service", "%s", in->service);
	by_port(k, h, m, w, in, wire);
	plan_unref(p);
}

void path_at_server(struct path_walk *k, struct path_hop *h, enum path_proxy proxy, struct path_wire *wire)
{
	if (proxy == PATH_ZTUNNEL)
		at_ztunnel(k, h, wire);
	else if (proxy == PATH_SIDECAR)
		at_sidecar(k, h, wire);
	else
		at_none(k, h, wire);
}
