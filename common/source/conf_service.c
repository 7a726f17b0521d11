/* SPDX-License-Identifier: Apache-2.0 */
/* ServiceEntry and core Service, as far as they can be read without their endpoints' objects. */
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "source/check.h"
#include "source/conf.h"
#include "source/value.h"

#define PORTS_MAX 1000

static const enum service_resolution resolutions[] = {      /* by enum crd_resolution */
	RESOLUTION_NONE, RESOLUTION_STATIC, RESOLUTION_DNS, RESOLUTION_DNS_ROUND_ROBIN, RESOLUTION_DYNAMIC_DNS,
};

void conf_service_free(struct conf_service *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->n_endpoints; i++) {
		workload_unref(s->endpoints[i].workload);
		workload_unref(s->endpoints[i].placed);
	}
	arena_done(&s->mem);
	free(s);
}

static struct conf_service *service_make(const struct crd_meta *m)
{
	struct conf_service *s = xcalloc(1, sizeof(*s));

	s->mem.block = 256;
	s->ns = arena_dup(&s->mem, str_c(m->ns));
	s->name = arena_dup(&s->mem, str_c(m->name));
	s->created = m->created;
	return s;
}

static const char *keep(struct conf_service *s, const char *text)
{
	return *text ? arena_dup(&s->mem, str_c(text)) : "";
}

static void keep_selector(struct conf_service *s, const struct field_labels *l)
{
	s->selector = arena_alloc(&s->mem, (size_t)l->n * sizeof(*s->selector));
	for (int i = 0; i < l->n; i++)
		s->selector[i] = (struct label){ keep(s, l->v[i].key), keep(s, l->v[i].value) };
	s->n_selector = l->n;
}

enum conf_distribution conf_distribution_read(struct field_walk *w, const struct crd_meta *m, const char *field)
{
	static const struct { const char *word; enum conf_distribution d; } words[] = {
		{ "PreferClose", CONF_DIST_ZONE }, { "PreferSameZone", CONF_DIST_ZONE }, { "PreferSameNode", CONF_DIST_NODE },
		{ "Any", CONF_DIST_ANY },
	};
	const char *v = field_label(&m->annotations, "networking.istio.io/traffic-distribution");

	if (!v || !*v)
		v = field;
	if (!v || !*v)
		return CONF_DIST_UNSET;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!strcmp(v, words[i].word))
			return words[i].d;
	}
	field_warn(w, 0, NULL, "traffic distribution: want PreferClose, PreferSameZone, PreferSameNode or Any, got '%.40s'", v);
	return CONF_DIST_UNSET;
}

static void read_waypoint(struct field_walk *fw, const struct crd_meta *m, struct conf_service *s)
{
	struct conf_waypoint w = conf_waypoint_read(&m->labels);

	s->waypoint.name = w.name ? keep(s, w.name) : NULL;
	s->waypoint.ns = keep(s, w.ns);
	s->canary = conf_canary_read(fw, &m->labels, &m->annotations);
	s->canary.at.name = s->canary.at.name ? keep(s, s->canary.at.name) : NULL;
	s->canary.at.ns = keep(s, s->canary.at.ns);
	s->is_waypoint = field_label(&m->labels, "gateway.istio.io/managed") != NULL;
}

/* --- ServiceEntry --- */

static void read_hosts(struct conf_load *l, struct field_walk *w, const struct crd_service_entry *spec, struct conf_service *s)
{
	if (!spec->hosts.n)
		field_error(w, 0, "hosts", "want at least one host, got none");
	s->hosts = arena_alloc(&s->mem, (size_t)spec->hosts.n * sizeof(*s->hosts));
	for (int i = 0; i < spec->hosts.n; i++) {
		const char *h = spec->hosts.v[i];

		if (!value_is_host(h) && (*h != '*' || !h[1] || !value_is_host_any(h)))
			field_error(w, 0, "hosts", "want a host name in lower case, got '%.80s'", h);
		else if (*h == '*' && !sees_requests(l->settings) && spec->resolution != CRD_DYNAMIC_DNS)
			field_warn(w, 0, "hosts", "the wildcard '%.80s' has no effect in ztunnel mode, as in Istio, but with the resolution DYNAMIC_DNS and a waypoint", h);
		else
			s->hosts[s->n_hosts++] = keep(s, h);
	}
}

static void read_addresses(struct field_walk *w, const struct crd_service_entry *spec, struct conf_service *s)
{
	s->vips = arena_alloc(&s->mem, (size_t)spec->addresses.n * sizeof(*s->vips));
	for (int i = 0; i < spec->addresses.n; i++) {
		if (cidr_parse(str_c(spec->addresses.v[i]), &s->vips[s->n_vips]))
			field_error(w, 0, "addresses", "want an IP address or CIDR block, got '%.80s'", spec->addresses.v[i]);
		else
			s->n_vips++;
	}
}

static void read_entry_ports(struct field_walk *w, const struct crd_service_entry *spec, struct conf_service *s)
{
	const struct crd_service_port *p = spec->ports.v;

	if (spec->ports.n > PORTS_MAX) {
		field_error(w, 0, "ports", "want at most %d, got %d", PORTS_MAX, spec->ports.n);
		return;
	}
	s->ports = arena_alloc(&s->mem, (size_t)spec->ports.n * sizeof(*s->ports));
	for (int i = 0; i < spec->ports.n; i++, p++) {
		if (!p->number)
			field_error(w, 0, "ports", "want a number in each port");
		if (!*p->name)
			field_error(w, 0, "ports", "want a name in each port");
		for (int k = 0; k < i; k++) {
			if (s->ports[k].port == p->number)
				field_error(w, 0, "ports", "want each number once, got %u twice", p->number);
			if (!strcmp(s->ports[k].name, p->name))
				field_error(w, 0, "ports", "want each name once, got '%.40s' twice", p->name);
		}
		s->ports[i] = (struct conf_service_port){ p->number, p->target, keep(s, p->name), keep(s, p->protocol), "",
							    value_port_protocol(p->protocol, p->name, p->number) };
		s->n_ports = i + 1;
	}
}

static bool has_port(const struct conf_service *s, const char *name)
{
	for (int i = 0; i < s->n_ports; i++) {
		if (!strcmp(s->ports[i].name, name))
			return true;
	}
	return false;
}

static void read_endpoint(struct conf_load *l, struct field_walk *w, const struct crd_meta *m,
			  const struct crd_workload_entry *e, struct map *seen, struct conf_service *s)
{
	struct conf_endpoint *to = &s->endpoints[s->n_endpoints];
	struct conf_port *ports;
	char uid[900];
	uintptr_t same = (uintptr_t)map_get(seen, str_c(e->address)) + 1;
	int len;

	for (int i = 0; i < e->ports.n; i++) {
		if (!has_port(s, e->ports.v[i].name))
			field_error(w, 0, "ports", "want the name of one of the service's ports, got '%.40s'", e->ports.v[i].name);
	}
	/* Two endpoints may share an address and differ in ports: later ones count up. */
	map_put(seen, str_c(e->address), (void *)same);
	len = snprintf(uid, sizeof(uid), "%s/networking.istio.io/ServiceEntry/%s/%s/%.80s", l->settings->cluster, m->ns, m->name,
		       e->address);
	if (same > 1 && (size_t)len < sizeof(uid))
		snprintf(uid + len, sizeof(uid) - (size_t)len, "/%u", (unsigned)same);
	to->workload = conf_inline_endpoint(l, w, m, e, uid);
	if (!to->workload)
		return;
	to->ports = ports = arena_alloc(&s->mem, (size_t)e->ports.n * sizeof(*ports));
	for (int i = 0; i < e->ports.n; i++)
		ports[i] = (struct conf_port){ keep(s, e->ports.v[i].name), e->ports.v[i].port };
	to->n_ports = e->ports.n;
	s->n_endpoints++;
}

/* With a DNS resolution and no endpoints the host itself is the endpoint. */
static void read_host_endpoint(struct conf_load *l, struct field_walk *w, const struct crd_meta *m,
			       const struct crd_service_entry *spec, struct conf_service *s)
{
	struct crd_workload_entry e = { .address = s->n_hosts ? s->hosts[0] : "", .network = "", .locality = "", .service_account = "" };
	struct map seen = { 0 };

	if (s->n_hosts > 1) {
		field_error(w, 0, "endpoints", "want endpoints, or one host only, with a DNS resolution, got %d hosts", s->n_hosts);
		return;
	}
	if (s->n_hosts && *s->hosts[0] == '*') {
		field_error(w, 0, "hosts", "want endpoints beside a wildcard with a DNS resolution, got '%.80s'", s->hosts[0]);
		return;
	}
	s->endpoints = arena_alloc(&s->mem, sizeof(*s->endpoints));
	if (s->n_hosts)
		read_endpoint(l, w, m, &e, &seen, s);
	map_done(&seen);
}

static void read_endpoints(struct conf_load *l, struct field_walk *w, const struct crd_meta *m,
			   const struct crd_service_entry *spec, struct conf_service *s)
{
	const struct crd_workload_entry *e = spec->endpoints.v;
	size_t len = w->path_len;
	struct map seen = { 0 };

	s->endpoints = arena_alloc(&s->mem, (size_t)spec->endpoints.n * sizeof(*s->endpoints));
	for (int i = 0; i < spec->endpoints.n; i++, e++) {
		field_enter(w, "endpoints", 0);
		field_enter(w, NULL, i);
		read_endpoint(l, w, m, e, &seen, s);
		field_leave(w, len);
	}
	map_done(&seen);
}

/* The names are told by HTTP or TLS, and nothing else says where to. */
static void check_dynamic(struct field_walk *w, const struct crd_meta *m, const struct crd_service_entry *spec, const struct conf_service *s)
{
	for (int i = 0; i < s->n_hosts; i++)
		if (*s->hosts[i] != '*')
			field_error(w, 0, "hosts", "want wildcards with the resolution DYNAMIC_DNS, got '%.80s'", s->hosts[i]);
	if (spec->addresses.n)
		field_error(w, 0, "addresses", "want none with the resolution DYNAMIC_DNS, got %d", spec->addresses.n);
	if (spec->endpoints.n || spec->selector)
		field_error(w, 0, spec->selector ? "workloadSelector" : "endpoints", "want none with the resolution DYNAMIC_DNS");
	for (int i = 0; i < s->n_ports; i++) {
		enum port_protocol p = s->ports[i].app;

		/* HTTPS is carried as TLS is. */
		if (p != PROTOCOL_HTTP && p != PROTOCOL_HTTP2 && p != PROTOCOL_GRPC && p != PROTOCOL_TLS)
			field_error(w, 0, "ports", "want HTTP, HTTP2, GRPC or TLS with the resolution DYNAMIC_DNS, got '%.40s' for %u", s->ports[i].protocol, s->ports[i].port);
	}
	if (spec->location != CRD_EXTERNAL && s->waypoint.name)
		field_error(w, 0, "location", "want MESH_EXTERNAL with the resolution DYNAMIC_DNS and a waypoint");
	if (!s->waypoint.name && !sees_requests(w->settings))
		field_info(w, 0, "resolution", "DYNAMIC_DNS needs a waypoint, which the namespace must name (istio.io/use-waypoint): else no client in ztunnel mode gets there");
}

/* The combinations that Istio's own validation refuses. */
static void check_entry(struct field_walk *w, const struct crd_service_entry *spec, const struct conf_service *s)
{
	if (spec->selector && spec->endpoints.n)
		field_error(w, 0, "workloadSelector", "want either endpoints or workloadSelector, got both");
	if (spec->selector && !spec->selector->labels.n)
		field_warn(w, 0, "workloadSelector.labels", "without a label it selects nothing");
	if (spec->selector)
		check_selector(w, "workloadSelector.labels", spec->selector->labels.v, spec->selector->labels.n);
	check_export_to(w, "exportTo", &spec->export_to);
	if (spec->resolution == CRD_DNS_ROUND_ROBIN && spec->endpoints.n > 1)
		field_error(w, 0, "endpoints", "want at most one with the resolution DNS_ROUND_ROBIN, got %d", spec->endpoints.n);
	if (spec->resolution == CRD_NONE && spec->endpoints.n)
		field_error(w, 0, "endpoints", "want none with the resolution NONE, got %d", spec->endpoints.n);
	for (int i = 0; spec->resolution == CRD_STATIC && i < s->n_endpoints; i++) {
		if (*s->endpoints[i].workload->hostname)
			field_error(w, 0, "endpoints", "want IP addresses with the resolution STATIC, got '%.80s'", s->endpoints[i].workload->hostname);
	}
	if (spec->resolution == CRD_NONE && !s->n_vips && !sees_requests(w->settings))
		field_warn(w, 0, "addresses", "without addresses the resolution NONE has no effect at L4");
	for (int i = 0; i < s->n_ports && !s->n_vips && spec->resolution == CRD_NONE && sees_requests(w->settings); i++)
		if (s->ports[i].app == PROTOCOL_TCP)
			field_warn(w, 0, "addresses", "without addresses the TCP port %u stands for that port of every address", s->ports[i].port);
	for (int i = 0; i < s->n_vips && spec->resolution >= CRD_DNS; i++) {
		if (s->vips[i].bits != 128)
			field_error(w, 0, "addresses", "want no CIDR block with a DNS resolution");
	}
}

static void keep_export_to(struct conf_service *s, const struct field_strings *v)
{
	s->export_to = arena_alloc(&s->mem, (size_t)v->n * sizeof(*s->export_to));
	for (s->n_export_to = 0; s->n_export_to < v->n; s->n_export_to++)
		s->export_to[s->n_export_to] = keep(s, v->v[s->n_export_to]);
}

/* The annotation networking.istio.io/exportTo: a list with commas. */
static void keep_core_export(struct conf_service *s, const struct crd_meta *m)
{
	const char *v = field_label(&m->annotations, "networking.istio.io/exportTo");
	struct str rest = str_c(v ? v : "");

	s->export_to = arena_alloc(&s->mem, (rest.n + 1) * sizeof(*s->export_to));
	while (rest.n) {
		struct str one = str_cut(rest, ',', &rest);

		while (one.n && *one.p == ' ')
			one = (struct str){ one.p + 1, one.n - 1 };
		if (one.n)
			s->export_to[s->n_export_to++] = arena_dup(&s->mem, one);
	}
}

bool conf_service_entry(struct conf_load *l, struct field_walk *w, const struct crd_meta *m,
			const struct crd_service_entry *spec, struct conf_obj *o)
{
	struct conf_service *s = service_make(m);
	const char *off = field_label(&m->labels, "networking.istio.io/enable-autoallocate-ip");

	o->u.service = s;
	read_hosts(l, w, spec, s);
	read_addresses(w, spec, s);
	read_entry_ports(w, spec, s);
	if (spec->resolution >= CRD_DNS && spec->resolution != CRD_DYNAMIC_DNS && !spec->endpoints.n && !spec->selector)
		read_host_endpoint(l, w, m, spec, s);
	else
		read_endpoints(l, w, m, spec, s);
	check_entry(w, spec, s);
	if (spec->selector)
		keep_selector(s, &spec->selector->labels);
	s->sans = arena_alloc(&s->mem, (size_t)spec->sans.n * sizeof(*s->sans));
	for (s->n_sans = 0; s->n_sans < spec->sans.n; s->n_sans++)
		s->sans[s->n_sans] = keep(s, spec->sans.v[s->n_sans]);
	keep_export_to(s, &spec->export_to);
	if (spec->export_to.n && !sees_requests(l->settings))
		field_info(w, 0, "exportTo", "has no effect in ztunnel mode, as in Istio: it is read as *");
	s->external = spec->location == CRD_EXTERNAL;
	s->resolution = resolutions[spec->resolution];
	s->passthrough = spec->resolution == CRD_NONE;
	s->auto_vip = !s->passthrough && !(off && !strcmp(off, "false"));
	s->distribution = conf_distribution_read(w, m, NULL);
	read_waypoint(w, m, s);
	if (spec->resolution == CRD_DYNAMIC_DNS)
		check_dynamic(w, m, spec, s);
	return !w->errors;
}

/* --- core Service --- */

static void read_core_ports(struct field_walk *w, const struct crd_service *spec, struct conf_service *s)
{
	const struct crd_core_port *p = spec->ports.v;

	if (spec->ports.n > PORTS_MAX) {
		field_error(w, 0, "ports", "want at most %d, got %d", PORTS_MAX, spec->ports.n);
		return;
	}
	s->ports = arena_alloc(&s->mem, (size_t)spec->ports.n * sizeof(*s->ports));
	for (int i = 0; i < spec->ports.n; i++, p++) {
		if (!p->port)
			field_error(w, 0, "ports", "want a port number in each");
		if (strcmp(p->protocol, "TCP"))
			continue;
		s->ports[s->n_ports++] = (struct conf_service_port){ p->port, p->target.number, keep(s, p->name),
								     keep(s, p->protocol), keep(s, p->target.name),
								     value_port_protocol(p->app, p->name, p->port) };
	}
}

static void read_cluster_ips(struct field_walk *w, const struct crd_service *spec, struct conf_service *s)
{
	const char *one[] = { spec->cluster_ip };
	const char *const *v = spec->cluster_ips.n ? spec->cluster_ips.v : one;
	int n = spec->cluster_ips.n ? spec->cluster_ips.n : 1;

	s->vips = arena_alloc(&s->mem, (size_t)n * sizeof(*s->vips));
	for (int i = 0; i < n; i++) {
		struct ip ip;

		if (!*v[i] || !strcmp(v[i], "None"))
			continue;
		if (ip_parse(str_c(v[i]), &ip))
			field_error(w, 0, "clusterIP", "want an IP address or None, got '%.80s'", v[i]);
		else
			s->vips[s->n_vips++] = (struct cidr){ ip, 128 };
	}
}

bool conf_core_service(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_service *spec,
		       struct conf_obj *o)
{
	struct conf_service *s;
	char host[700];

	if (spec->type == CRD_EXTERNAL_NAME) {
		field_info(w, 0, "type", "ExternalName is left to DNS");
		return true;
	}
	o->u.service = s = service_make(m);
	s->core = true;
	snprintf(host, sizeof(host), "%s.%s.svc.%s", m->name, m->ns, l->settings->cluster_domain);
	s->hosts = arena_alloc(&s->mem, sizeof(*s->hosts));
	s->hosts[s->n_hosts++] = keep(s, host);
	read_core_ports(w, spec, s);
	read_cluster_ips(w, spec, s);
	keep_selector(s, &spec->selector);
	keep_core_export(s, m);
	s->headless = !strcmp(spec->cluster_ip, "None");
	s->local_only = spec->internal_policy == 1;
	s->allow_unhealthy = spec->publish_not_ready;
	s->distribution = conf_distribution_read(w, m, spec->distribution);
	if (!strcmp(spec->affinity, "ClientIP"))
		field_warn(w, 0, "sessionAffinity", "ClientIP is not honoured yet");
	read_waypoint(w, m, s);
	return !w->errors;
}
