/* SPDX-License-Identifier: Apache-2.0 */
/* WorkloadEntry, Pod and the endpoints of a ServiceEntry: what becomes a workload of the mesh. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "source/conf.h"
#include "source/value.h"

static int label_compare(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

/* Both lists in one, sorted; where a key is in both, `first` wins. */
static struct field_labels labels_merge(struct arena *a, const struct field_labels *first, const struct field_labels *second)
{
	struct field_labels r = { 0 };

	if (!second->n)
		return *first;
	r.v = arena_alloc(a, sizeof(*r.v) * (size_t)(first->n + second->n));
	for (int i = 0; i < first->n; i++)
		r.v[r.n++] = first->v[i];
	for (int i = 0; i < second->n; i++) {
		if (!field_label(first, second->v[i].key))
			r.v[r.n++] = second->v[i];
	}
	qsort(r.v, (size_t)r.n, sizeof(*r.v), label_compare);
	return r;
}

static const char *first_label(const struct field_labels *l, const char *a, const char *b, const char *c, const char *deflt)
{
	const char *v = field_label(l, a);

	if (!v)
		v = field_label(l, b);
	if (!v && c)
		v = field_label(l, c);
	return v ? v : deflt;
}

static void canonical(const struct field_labels *l, struct workload *w)
{
	w->canonical_name = first_label(l, "service.istio.io/canonical-name", "app.kubernetes.io/name", "app", w->workload_name);
	w->canonical_revision = first_label(l, "service.istio.io/canonical-revision", "app.kubernetes.io/version", "version",
					    "latest");
}

/* The label networking.istio.io/tunnel is a list of words, of which "http" means HBONE. security.istio.io/tlsMode marks a sidecar. */
static enum tunnel_protocol tunnel(const struct field_labels *l, const struct field_labels *annotations)
{
	const char *a = field_label(annotations, "ambient.istio.io/redirection");
	const char *t = field_label(l, "networking.istio.io/tunnel");
	struct str rest = str_c(t ? t : "");

	if (a && !strcmp(a, "enabled"))
		return TUNNEL_HBONE;
	while (rest.n) {
		struct str word = str_cut(rest, ',', &rest);

		if (str_is(word, "http"))
			return TUNNEL_HBONE;
	}
	t = field_label(l, "security.istio.io/tlsMode");
	return t && !strcmp(t, "istio") ? TUNNEL_ISTIO_MTLS : TUNNEL_NONE;
}

static void app_tunnel(struct field_walk *fw, const struct field_labels *l, struct workload *w)
{
	const char *t = field_label(l, "meshd.io/application-tunnel");
	struct str port, word;
	uint64_t n = 0;

	if (!t)
		return;
	word = str_cut(str_c(t), '-', &port);
	if (!str_is(word, "proxy") || (port.p && (!str_to_u64(port, &n) || n < 1 || n > 65535))) {
		field_error(fw, 0, "labels.meshd.io/application-tunnel", "want proxy or proxy-PORT, got '%.40s'", t);
		return;
	}
	w->proxy_protocol = true;
	w->app_tunnel_port = (uint16_t)n;
}

/* Settings, identity and what labels say. `w` borrows from the document's arena. */
static void fill(struct conf_load *l, struct field_walk *fw, const struct crd_meta *m, struct workload *w,
		 const struct field_labels *labels)
{
	const struct mesh_settings *s = l->settings;

	if (sees_requests(s) && field_label(&m->annotations, "proxy.istio.io/config"))
		field_warn(fw, 0, "metadata.annotations.proxy.istio.io/config", "not honoured: use defaultConfig of mesh.yaml");
	w->trust_domain = s->trust_domain;
	if (!*w->network)
		w->network = first_label(labels, "topology.istio.io/network", "topology.istio.io/network", NULL, s->network);
	w->cluster = s->cluster;
	w->healthy = true;
	w->tunnel = tunnel(labels, &m->annotations);
	w->labels = labels->v;
	w->n_labels = labels->n;
	canonical(labels, w);
	app_tunnel(fw, labels, w);
	if (!value_is_name(w->service_account))
		field_error(fw, 0, "serviceAccount", "want a name of a-z, 0-9, - and ., got '%.40s'", w->service_account);
	const char *id[] = { "spiffe://", s->trust_domain, "/ns/", m->ns, "/sa/", w->service_account };
	size_t n = 1;
	char *text;

	for (size_t i = 0; i < ARRAY_LEN(id); i++)
		n += strlen(id[i]);
	w->identity = text = arena_alloc(l->arena, n);
	for (size_t i = 0; i < ARRAY_LEN(id); i++) {
		size_t k = strlen(id[i]);

		memcpy(text, id[i], k);
		text += k;
	}
}

static struct locality locality(struct conf_load *l, const char *text)
{
	struct str zone, subzone, region = str_cut(str_c(text), '/', &zone);
	struct locality r = { "", "", "" };

	zone = str_cut(zone, '/', &subzone);
	r.region = arena_dup(l->arena, region);
	r.zone = arena_dup(l->arena, zone);
	r.subzone = arena_dup(l->arena, subzone);
	return r;
}

static struct conf_ports *ports_copy(const struct field_named_port *v, int n)
{
	size_t size = sizeof(struct conf_ports) + (size_t)n * sizeof(struct conf_port);
	struct conf_ports *p;
	char *text;

	if (!n)
		return NULL;
	for (int i = 0; i < n; i++)
		size += strlen(v[i].name) + 1;
	p = xmalloc(size);
	p->n = n;
	text = (char *)&p->v[n];
	for (int i = 0; i < n; i++) {
		size_t k = strlen(v[i].name) + 1;

		p->v[i] = (struct conf_port){ memcpy(text, v[i].name, k), v[i].port };
		text += k;
	}
	return p;
}

/* unix:///path or unix://@name, without ports. */
static bool check_unix(struct field_walk *fw, const struct crd_workload_entry *spec)
{
	const char *path = spec->address + strlen("unix://");
	size_t n = strlen(path);

	if ((*path != '/' && *path != '@') || n < 2 || path[n - 1] == '/')
		field_error(fw, 0, "address", "want unix:///PATH or unix://@NAME, got '%.80s'", spec->address);
	else if (spec->ports.n)
		field_error(fw, 0, "ports", "want none with unix://");
	else
		return true;
	return false;
}

static void check_port_names(struct field_walk *fw, const struct crd_workload_entry *spec)
{
	for (int i = 0; i < spec->ports.n; i++) {
		const char *name = spec->ports.v[i].name;
		size_t n = strlen(name);
		bool ok = n > 0 && n <= 255 && isalnum((unsigned char)name[0]) && isalnum((unsigned char)name[n - 1]);

		for (size_t k = 0; ok && k < n; k++)
			ok = isalnum((unsigned char)name[k]) || name[k] == '-' || name[k] == '.';
		if (!ok)
			field_error(fw, 0, "ports", "want names of letters, digits, - and ., got '%.40s'", name);
	}
}

/* The number of addresses; -1: it was reported. A host name is looked up for each connection; in another network nothing is
 * needed. */
static int address(struct field_walk *fw, const struct crd_workload_entry *spec, const char *own_network, struct ip *ret)
{
	if (!*spec->address && *spec->network && strcmp(spec->network, own_network))
		return 0;
	if (!*spec->address) {
		field_error(fw, 0, "address", "want an IP address, or the name of another network, got nothing");
		return -1;
	}
	if (!ip_parse(str_c(spec->address), ret))
		return 1;
	if (value_is_host(spec->address) && *spec->address != '*')
		return 0;
	if (str_starts(str_c(spec->address), str_c("unix://")) && check_unix(fw, spec))
		field_warn(fw, 0, "address", "unix:// is not honoured yet: the workload is left out");
	else if (!str_starts(str_c(spec->address), str_c("unix://")))
		field_error(fw, 0, "address", "want an IP address or a host name, got '%.80s'", spec->address);
	return -1;
}

/* An entry that stands alone, or one of a ServiceEntry. NULL: reported. */
static struct workload *entry(struct conf_load *l, struct field_walk *fw, const struct crd_meta *m,
			      const struct crd_workload_entry *spec, const struct field_labels *labels, const char *uid,
			      const char *workload_name)
{
	const char *mtls = field_label(labels, "security.istio.io/tlsMode");
	struct workload w = { .uid = uid, .name = m->name, .ns = m->ns, .node = "",
			      .service_account = *spec->service_account ? spec->service_account : "default",
			      .istio_mtls = mtls ? !strcmp(mtls, "istio") : *spec->service_account != 0,
			      .hostname = "", .workload_name = workload_name, .workload_type = "pod" };
	unsigned errors = fw->errors;
	struct ip ip;

	check_port_names(fw, spec);
	w.n_ips = address(fw, spec, l->settings->network, &ip);
	if (w.n_ips < 0)
		return NULL;
	if (!w.n_ips)
		w.hostname = spec->address;
	w.ips = &ip;
	w.network = spec->network;
	w.locality = locality(l, spec->locality);
	w.weight = spec->weight ? spec->weight : 1;
	fill(l, fw, m, &w, labels);
	return fw->errors == errors ? workload_new(&w) : NULL;
}

bool conf_workload_entry(struct conf_load *l, struct field_walk *fw, const struct crd_meta *m,
			 const struct crd_workload_entry *spec, struct conf_obj *o)
{
	struct field_labels labels = labels_merge(l->arena, &m->labels, &spec->labels);
	const char *group = field_label(&m->annotations, "istio.io/autoRegistrationGroup");
	const char *named = field_label(&m->labels, "service.istio.io/workload-name");
	char uid[700];

	snprintf(uid, sizeof(uid), "%s/networking.istio.io/WorkloadEntry/%s/%s", l->settings->cluster, m->ns, m->name);
	o->u.workload = entry(l, fw, m, spec, &labels, uid, group ? group : named ? named : m->name);
	if (o->u.workload)
		o->ports = ports_copy(spec->ports.v, spec->ports.n);
	return !fw->errors;
}

struct workload *conf_inline_endpoint(struct conf_load *l, struct field_walk *fw, const struct crd_meta *m,
				      const struct crd_workload_entry *spec, const char *uid)
{
	struct field_labels labels = labels_merge(l->arena, &spec->labels, &m->labels);

	return entry(l, fw, m, spec, &labels, uid, m->name);
}

/* --- Pod --- */

/* The Deployment rather than its ReplicaSet, the CronJob rather than its Job, as Istio names them. */
static const char *pod_workload_name(struct conf_load *l, const struct crd_meta *m)
{
	const struct crd_owner *owner = m->owners.v;
	const char *hash = field_label(&m->labels, "pod-template-hash");

	for (int i = 0; i < m->owners.n; i++, owner++) {
		struct str name = str_c(owner->name);

		if (!owner->controller)
			continue;
		if (!strcmp(owner->kind, "ReplicaSet") && hash && str_ends(name, str_c(hash)) && name.n > strlen(hash) + 1)
			return arena_dup(l->arena, (struct str){ name.p, name.n - strlen(hash) - 1 });
		return owner->name;
	}
	return m->name;
}

static bool pod_ready(const struct crd_meta *m, const struct crd_pod_status *status)
{
	const struct crd_condition *c = status->conditions.v;

	if (m->deleted != INT64_MAX)
		return false;
	for (int i = 0; i < status->conditions.n; i++, c++) {
		if (!strcmp(c->type, "Ready"))
			return !strcmp(c->status, "True");
	}
	return status->conditions.n == 0;
}

static int pod_ips(struct field_walk *fw, const struct crd_pod_status *status, struct ip ret[8])
{
	const struct crd_pod_ip *p = status->ips.v;
	int n = 0;

	for (int i = 0; i < status->ips.n && n < 8; i++, p++) {
		if (ip_parse(str_c(p->ip), &ret[n]))
			field_error(fw, 0, "status.podIPs", "want an IP address, got '%.80s'", p->ip);
		else
			n++;
	}
	if (n == 0 && *status->ip) {
		if (ip_parse(str_c(status->ip), &ret[0]))
			field_error(fw, 0, "status.podIP", "want an IP address, got '%.80s'", status->ip);
		else
			n = 1;
	}
	return n;
}

static struct conf_ports *pod_ports(struct conf_load *l, const struct crd_pod_spec *spec)
{
	const struct crd_container *c = spec->containers.v;
	struct field_named_port *v;
	int n = 0, max = 0;

	for (int i = 0; i < spec->containers.n; i++)
		max += c[i].ports.n;
	v = arena_alloc(l->arena, (size_t)max * sizeof(*v));
	for (int i = 0; i < spec->containers.n; i++) {
		const struct crd_container_port *p = c[i].ports.v;

		for (int k = 0; k < c[i].ports.n; k++) {
			if (*p[k].name && p[k].port)
				v[n++] = (struct field_named_port){ p[k].name, p[k].port };
		}
	}
	return ports_copy(v, n);
}

bool conf_pod(struct conf_load *l, struct field_walk *fw, const struct crd_meta *m, const struct crd_pod_spec *spec,
	      const struct crd_pod_status *status, struct conf_obj *o)
{
	struct workload w = { .name = m->name, .ns = m->ns, .service_account = spec->service_account, .node = spec->node,
			      .hostname = "", .network = "", .workload_type = "pod", .weight = 1,
			      .locality = { "", "", "" } };
	const char *mtls;
	struct ip ips[8];
	char uid[700];

	if (!strcmp(status->phase, "Succeeded") || !strcmp(status->phase, "Failed"))
		return true;
	if (spec->host_network) {
		field_warn(fw, 0, "spec.hostNetwork", "not honoured yet: the Pod is left out");
		return true;
	}
	w.n_ips = pod_ips(fw, status, ips);
	if (!w.n_ips) {
		if (!fw->errors)
			field_info(fw, 0, "status.podIP", "the Pod has no address: it is left out");
		return !fw->errors;
	}
	w.ips = ips;
	snprintf(uid, sizeof(uid), "%s//Pod/%s/%s", l->settings->cluster, m->ns, m->name);
	w.uid = uid;
	w.workload_name = pod_workload_name(l, m);
	fill(l, fw, m, &w, &m->labels);
	mtls = field_label(&m->labels, "security.istio.io/tlsMode");
	w.istio_mtls = mtls && !strcmp(mtls, "istio");
	w.healthy = pod_ready(m, status);
	if (fw->errors)
		return false;
	o->u.workload = workload_new(&w);
	o->ports = pod_ports(l, spec);
	return true;
}
