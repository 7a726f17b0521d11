/* SPDX-License-Identifier: Apache-2.0 */
/* Sidecar: its fields, and what Istio's own validation says of them. */
#include <stdio.h>

#include "model/sidecarscope.h"
#include "source/check.h"
#include "source/crd.h"
#include "source/value.h"

/* --- shared pieces --- */

static void check_port(struct field_walk *w, void *out)
{
	struct scope_port *p = out;

	if (!p->number)
		field_error(w, 0, "number", "want a port, got nothing");
	p->app = value_port_protocol(p->protocol, p->name, p->number);
}

static const struct field port_rows[] = {
	ROW("number", PORT, scope_port, number, "Number."),
	ROW("protocol", STRING, scope_port, protocol, "HTTP, HTTPS, GRPC, HTTP2, TCP, TLS and others."),
	ROW("name", STRING, scope_port, name, "Name; the beginning says the protocol when that is absent."),
	ROW_NOT("targetPort", IGNORED, "Has no effect in a Sidecar, as in Istio.", NULL),
	{ 0 },
};
static const struct field_table port_table = { .name = "port", .size = sizeof(struct scope_port), .fields = port_rows, .check = check_port };

static const char *const captures[] = { "DEFAULT", "IPTABLES", "NONE", NULL };

static void check_bind(struct field_walk *w, const char *bind)
{
	struct ip ip;

	if (!bind || !*bind)
		return;
	if (str_starts(str_c(bind), str_c("unix://")))
		field_error(w, 0, "bind", "not supported: meshd listens on addresses only; use 127.0.0.1");
	else if (ip_parse(str_c(bind), &ip))
		field_error(w, 0, "bind", "want an IP address, got '%.80s'", bind);
}

/* --- ingress --- */

static const char *const tls_modes[] = { "PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL", NULL };

static void check_tls(struct field_walk *w, void *out)
{
	const struct scope_tls *t = out;

	if (t->mode != SCOPE_TLS_SIMPLE && t->mode != SCOPE_TLS_MUTUAL)
		field_error(w, 0, "mode", "want SIMPLE or MUTUAL in a Sidecar, got '%s'", tls_modes[t->mode]);
	if (!*t->certificate || !*t->private_key)
		field_error(w, 0, NULL, "want serverCertificate and privateKey");
	if (t->mode == SCOPE_TLS_MUTUAL && !*t->ca_certificates)
		field_error(w, 0, "caCertificates", "want it with MUTUAL");
}

static const struct field tls_rows[] = {
	ROW("mode", ENUM, scope_tls, mode, "SIMPLE, or MUTUAL: with certificates of clients.", .words = tls_modes, .deflt = "PASSTHROUGH"),
	ROW("serverCertificate", STRING, scope_tls, certificate, "File with the certificate."),
	ROW("privateKey", STRING, scope_tls, private_key, "File with its key."),
	ROW("caCertificates", STRING, scope_tls, ca_certificates, "File with the roots of clients' certificates."),
	ROW("caCrl", STRING, scope_tls, ca_crl, "File with revoked certificates."),
	ROW("subjectAltNames", STRINGS, scope_tls, subject_alt_names, "Names of which a client must prove one."),
	ROW_NOT("minProtocolVersion", TODO, "Lowest version.", "TLS 1.2 and 1.3 are taken"),
	ROW_NOT("maxProtocolVersion", TODO, "Highest version.", "TLS 1.2 and 1.3 are taken"),
	ROW_NOT("cipherSuites", TODO, "Cipher suites of TLS 1.2.", "OpenSSL's own are taken"),
	ROW_NOT("httpsRedirect", REFUSED, "Redirects plaintext.", "it is for gateways"),
	ROW_NOT("credentialName", REFUSED, "A Secret with the certificates.", "Secrets are not read: name files"),
	ROW_NOT("credentialNames", REFUSED, "Secrets with the certificates.", "Secrets are not read: name files"),
	ROW_NOT("caCertCredentialName", REFUSED, "A Secret with the roots.", "Secrets are not read: name files"),
	ROW_NOT("tlsCertificates", REFUSED, "Several certificates.", "one certificate only: use serverCertificate and privateKey"),
	ROW_NOT("verifyCertificateSpki", REFUSED, "Hashes of clients' keys.", "use caCertificates and subjectAltNames"),
	ROW_NOT("verifyCertificateHash", REFUSED, "Hashes of clients' certificates.", "use caCertificates and subjectAltNames"),
	ROW_NOT("insecureSkipVerify", REFUSED, "Clients' certificates are not checked.", "use SIMPLE"),
	ROW_NOT("ecdhCurves", TODO, "Groups of the key exchange.", "OpenSSL's own are used"),
	{ 0 },
};
static const struct field_table tls_table = { .name = "tls", .size = sizeof(struct scope_tls), .fields = tls_rows, .check = check_tls };

/* 127.0.0.1:P, [::1]:P, 0.0.0.0:P, [::]:P (the workload's own address), or unix://. */
static bool endpoint_ok(const char *e)
{
	static const char *const hosts[] = { "127.0.0.1:", "[::1]:", "0.0.0.0:", "[::]:" };
	uint64_t port;

	if (str_starts(str_c(e), str_c("unix://")))
		return e[7] == '/' || e[7] == '@';
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (str_starts(str_c(e), str_c(hosts[i])) && str_to_u64(str_c(e + strlen(hosts[i])), &port) && port > 0 && port < 65536)
			return true;
	return false;
}

static void check_ingress(struct field_walk *w, void *out)
{
	const struct scope_ingress *i = out;

	if (!i->port)
		field_error(w, 0, "port", "want a port, got nothing");
	check_bind(w, i->bind);
	if (*i->default_endpoint && !endpoint_ok(i->default_endpoint))
		field_error(w, 0, "defaultEndpoint", "want 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix://PATH, got '%.80s'", i->default_endpoint);
	if (i->tls && i->port && i->port->app != PROTOCOL_TLS)
		field_error(w, 0, "tls", "want it with the protocol HTTPS or TLS, got '%.20s'", i->port->protocol);
}

static const struct field ingress_rows[] = {
	ROW("port", MESSAGE, scope_ingress, port, "Port that others use.", .sub = &port_table),
	ROW("bind", STRING, scope_ingress, bind, "An own address to listen on."),
	ROW("captureMode", ENUM, scope_ingress, capture, "NONE: the port is listened on for real.", .words = captures, .deflt = "DEFAULT"),
	ROW("defaultEndpoint", STRING, scope_ingress, default_endpoint, "Where the application is: 127.0.0.1:PORT, 0.0.0.0:PORT (the workload's address), unix://PATH; the same port when absent."),
	ROW("tls", MESSAGE, scope_ingress, tls, "TLS from outside the mesh, ended here.", .sub = &tls_table),
	ROW("connectionPool", MESSAGE, scope_ingress, pool, "Takes the place of inboundConnectionPool.", .sub = &crd_pool_table),
	{ 0 },
};
static const struct field_table ingress_table = {
	.name = "ingress", .size = sizeof(struct scope_ingress), .fields = ingress_rows, .check = check_ingress,
};

/* --- egress --- */

/* NS/HOST with NS "*", ".", "~", a name, or "~" and a name; HOST a name, "*" or "*.x". */
static bool host_ok(const char *text)
{
	struct str host, ns = str_cut(str_c(text), '/', &host);
	char name[64], rest[256];

	if (!host.p || ns.n >= sizeof(name) || host.n >= sizeof(rest))
		return false;
	if (ns.n > 1 && *ns.p == '~')
		ns = (struct str){ ns.p + 1, ns.n - 1 };
	snprintf(name, sizeof(name), "%.*s", STR_FMT(ns));
	snprintf(rest, sizeof(rest), "%.*s", STR_FMT(host));
	return (!strcmp(name, "*") || !strcmp(name, ".") || !strcmp(name, "~") || value_is_label(name)) &&
	       (!strcmp(rest, "*") || value_is_host_any(rest));
}

static void check_egress(struct field_walk *w, void *out)
{
	struct scope_egress *e = out;

	if (!e->hosts.n)
		field_error(w, 0, "hosts", "want at least one, got none");
	for (int i = 0; i < e->hosts.n; i++)
		if (!host_ok(e->hosts.v[i]))
			field_error(w, 0, "hosts", "want NAMESPACE/HOST, got '%.80s'", e->hosts.v[i]);
	for (int i = 0; i < e->hosts.n && e->hosts.n > 1; i++)
		if (!strcmp(e->hosts.v[i], "*/*"))
			field_warn(w, 0, "hosts", "'*/*' has all; the others add nothing");
	check_bind(w, e->bind);
	if (*e->bind && !e->port)
		field_error(w, 0, "bind", "want a port beside it");
}

static const struct field egress_rows[] = {
	ROW("port", MESSAGE, scope_egress, port, "One port; the entry without holds for all others.", .sub = &port_table),
	ROW("bind", STRING, scope_egress, bind, "An own address to listen on."),
	ROW("captureMode", ENUM, scope_egress, capture, "NONE: the port is listened on for real.", .words = captures, .deflt = "DEFAULT"),
	ROW("hosts", STRINGS, scope_egress, hosts, "NAMESPACE/HOST: what the application may name; NAMESPACE is *, . (its own), ~ (none), a name, or ~NAME to leave out."),
	{ 0 },
};
static const struct field_table egress_table = {
	.name = "egress", .size = sizeof(struct scope_egress), .fields = egress_rows, .check = check_egress,
};

/* --- outboundTrafficPolicy --- */

static const char *const outbound_modes[] = { "REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS", NULL };
const char *const *const crd_outbound_modes = outbound_modes;

static const struct field proxy_port_rows[] = {
	ROW("number", PORT, scope_destination, port, "Its number."),
	{ 0 },
};
static const struct field_table proxy_port_table = { .name = "port", .size = sizeof(struct scope_destination), .fields = proxy_port_rows };
static const struct field destination_rows[] = {
	ROW("host", STRING, scope_destination, host, "A service."),
	ROW("subset", STRING, scope_destination, subset, "A subset of its DestinationRule."),
	ROW_WHOLE("port", "Its port.", &proxy_port_table),
	{ 0 },
};
static const struct field_table destination_table = {
	.name = "egressProxy", .size = sizeof(struct scope_destination), .fields = destination_rows,
};

static void check_outbound(struct field_walk *w, void *out)
{
	const struct scope_policy *p = out;
	struct scope_destination *d = (struct scope_destination *)(uintptr_t)p->egress_proxy;
	const char *host;

	if (!d)
		return;
	if (p->mode == SCOPE_REGISTRY_ONLY)
		field_error(w, 0, "egressProxy", "want it with ALLOW_ANY only");
	host = check_host(w, "egressProxy.host", d->host, false);
	d->host = host ? host : "";
}

static const struct field outbound_rows[] = {
	ROW("mode", ENUM, scope_policy, mode, "What is not in the mesh: REGISTRY_ONLY refuses it, also when mode is absent here.",
	    .words = outbound_modes, .deflt = "REGISTRY_ONLY"),
	ROW("egressProxy", MESSAGE, scope_policy, egress_proxy, "Where it goes instead.", .sub = &destination_table),
	ROW_NOT("tls", TODO, "TLS to hosts that are found by DNS.", "their TLS is passed on"),
	{ 0 },
};
const struct field_table crd_outbound_table = {
	.name = "outboundTrafficPolicy", .size = sizeof(struct scope_policy), .fields = outbound_rows, .check = check_outbound,
};

/* --- the object --- */

static void check_ports(struct field_walk *w, const struct sidecar *s)
{
	for (int i = 0; i < s->ingress.n; i++)
		for (int k = 0; k < i; k++)
			if (s->ingress.v[i].port && s->ingress.v[k].port && s->ingress.v[i].port->number == s->ingress.v[k].port->number)
				field_error(w, 0, "ingress", "want each port once, got %u twice", s->ingress.v[i].port->number);
	for (int i = 0; i < s->egress.n; i++) {
		if (!s->egress.v[i].port && i + 1 < s->egress.n)
			field_error(w, 0, "egress", "want the entry without a port last, and only one");
		for (int k = 0; k < i; k++)
			if (s->egress.v[i].port && s->egress.v[k].port && s->egress.v[i].port->number == s->egress.v[k].port->number &&
			    !strcmp(s->egress.v[i].bind, s->egress.v[k].bind))
				field_error(w, 0, "egress", "want each port once, got %u twice", s->egress.v[i].port->number);
	}
}

static void check_sidecar(struct field_walk *w, void *out)
{
	const struct sidecar *s = out;

	if (!s->egress.n && !s->ingress.n && !s->outbound && !s->inbound_pool)
		field_error(w, 0, NULL, "want ingress, egress, outboundTrafficPolicy or inboundConnectionPool, got none");
	if (s->selector)
		check_selector(w, "workloadSelector.labels", s->selector->labels.v, s->selector->labels.n);
	check_ports(w, s);
}

static const struct field selector_rows[] = {
	ROW("labels", LABELS, scope_selector, labels, "Labels that a workload must have, all of them."),
	{ 0 },
};
static const struct field_table selector_table = {
	.name = "workloadSelector", .size = sizeof(struct scope_selector), .fields = selector_rows,
};

static const struct field rows[] = {
	ROW("workloadSelector", MESSAGE, sidecar, selector, "Workloads of the namespace; all of them when absent.", .sub = &selector_table),
	ROW("ingress", MESSAGES, sidecar, ingress, "Ports of the workload; take the place of those of its services.", .sub = &ingress_table),
	ROW("egress", MESSAGES, sidecar, egress, "What the application may name; all that is exported to it when absent.", .sub = &egress_table),
	ROW("inboundConnectionPool", MESSAGE, sidecar, inbound_pool, "Limits towards the application.", .sub = &crd_pool_table),
	ROW("outboundTrafficPolicy", MESSAGE, sidecar, outbound, "Takes the place of MeshConfig's.", .sub = &crd_outbound_table),
	{ 0 },
};
const struct field_table crd_sidecar_table = {
	.name = "Sidecar.spec", .size = sizeof(struct sidecar), .fields = rows, .check = check_sidecar,
	.doc = "What a workload's sidecar listens on and knows. The oldest with a matching selector counts, then the oldest of the namespace without one, then that of the root namespace. In other modes than sidecar it has no effect.",
};
