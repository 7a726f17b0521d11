/* SPDX-License-Identifier: Apache-2.0 */
/* PeerAuthentication. Which of several counts is decided where it is judged. */
#include <stdio.h>

#include "source/conf.h"

static void read_ports(struct conf_load *l, struct field_walk *w, const struct crd_peer_authn *spec, struct peer_authn *p)
{
	struct mtls_port *to = arena_alloc(l->arena, (size_t)spec->ports.n * sizeof(*to));
	const struct crd_port_mtls *from = spec->ports.v;
	uint64_t port;

	for (int i = 0; i < spec->ports.n; i++, from++) {
		if (!str_to_u64(str_c(from->port), &port) || port < 1 || port > 65535) {
			field_error(w, 0, "portLevelMtls", "want ports from 1 to 65535 as keys, got '%.40s'", from->port);
			continue;
		}
		for (int k = 0; k < p->n_ports; k++) {
			if (to[k].port == port)
				field_error(w, 0, "portLevelMtls", "want each port once, got %u twice", (unsigned)port);
		}
		to[p->n_ports++] = (struct mtls_port){ (uint16_t)port, (enum mtls_mode)from->mode };
	}
	p->ports = to;
}

static void check(struct conf_load *l, struct field_walk *w, const struct crd_meta *m, const struct crd_peer_authn *spec,
		  const struct peer_authn *p)
{
	bool disable = p->mode == MTLS_DISABLE;

	for (int i = 0; i < p->n_ports; i++)
		disable = disable || p->ports[i].mode == MTLS_DISABLE;
	if (l->settings->mode == MODE_WAYPOINT)
		field_info(w, 0, NULL, "what comes to a waypoint is HBONE, whatever this says, as in Istio; it counts for how servers without HBONE are reached");
	if (disable && l->settings->mode == MODE_ZTUNNEL)
		field_warn(w, 0, NULL, "DISABLE counts as PERMISSIVE in ztunnel mode, as in Istio: mutual TLS is still taken");
	if (spec->ports.present && !spec->ports.n)
		field_error(w, 0, "portLevelMtls", "want at least one port, got none");
	if (spec->ports.n && !p->n_selector)
		field_error(w, 0, "portLevelMtls", "want a selector beside it, got none");
	if (spec->ports.n > 1024)
		field_error(w, 0, "portLevelMtls", "want at most 1024 ports, got %d", spec->ports.n);
	if (p->n_selector && !strcmp(m->ns, l->settings->root_ns))
		field_warn(w, 0, "selector", "a policy with selector has no effect in the root namespace, as in Istio");
}

bool conf_peer_authn(struct conf_load *l, struct field_walk *w, const struct crd_meta *m,
		     const struct crd_peer_authn *spec, struct peer_authn **ret)
{
	struct peer_authn p = { .ns = m->ns, .name = m->name, .created = m->created, .problem = "" };
	char key[700], where[4200];

	p.mode = spec->mtls ? (enum mtls_mode)spec->mtls->mode : MTLS_UNSET;
	p.has_selector = spec->selector != NULL;
	if (spec->selector) {
		p.selector = spec->selector->labels.v;
		p.n_selector = spec->selector->labels.n;
	}
	if (spec->ports.n <= 1024)
		read_ports(l, w, spec, &p);
	check(l, w, m, spec, &p);
	if (w->errors)
		return false;
	snprintf(key, sizeof(key), "%s/%s", m->ns, m->name);
	snprintf(where, sizeof(where), "%s:%u", l->file, w->root->line);
	p.key = key;
	p.where = where;
	*ret = peer_authn_new(&p);
	return true;
}
