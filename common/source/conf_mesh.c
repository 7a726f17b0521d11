/* SPDX-License-Identifier: Apache-2.0 */
/* mesh.yaml. */
#include "source/conf.h"
#include "source/value.h"

static const char *copy(struct arena *mem, const char *text)
{
	return arena_dup(mem, str_c(text));
}

/* The narrowest of those that are asked for. */
static void read_stance(struct field_walk *w, const struct crd_mesh_config *c, struct mesh_settings *s)
{
	const char *v = c->proxy ? field_label(&c->proxy->metadata, "MESHD_ENFORCEMENT") : NULL;

	if (!v)
		return;
	for (enum stance at = STANCE_ISTIO; at <= STANCE_STRICT; at++) {
		if (strcmp(v, stance_name(at)))
			continue;
		s->stance = s->stance > at ? s->stance : at;
		return;
	}
	field_error(w, 0, "defaultConfig.proxyMetadata.MESHD_ENFORCEMENT", "want istio, closed or strict, got '%.40s'", v);
}

bool conf_mesh_read(struct field_walk *w, const struct yaml_node *root, const struct mesh_settings *base,
		    struct arena *mem, struct mesh_settings *ret)
{
	struct crd_mesh_config c = { 0 };
	struct mesh_settings s = *base;
	const char **aliases;

	w->root = root;
	if (!field_read(w, &crd_mesh_table, root, &c))
		return false;
	if (*c.trust_domain) {
		if (!value_is_domain(c.trust_domain))
			field_error(w, 0, "trustDomain", "want a name of a-z, 0-9, - and ., got '%.80s'", c.trust_domain);
		s.trust_domain = copy(mem, c.trust_domain);
	}
	if (!value_is_label(c.root_ns))
		field_error(w, 0, "rootNamespace", "want a namespace, got '%.80s'", c.root_ns);
	s.root_ns = copy(mem, c.root_ns);
	s.connect_timeout_ms = c.connect_timeout_ms;
	s.aliases = aliases = arena_alloc(mem, (size_t)c.aliases.n * sizeof(*aliases));
	s.n_aliases = c.aliases.n;
	for (int i = 0; i < c.aliases.n; i++) {
		if (!value_is_domain(c.aliases.v[i]))
			field_error(w, 0, "trustDomainAliases", "want names of a-z, 0-9, - and ., got '%.80s'", c.aliases.v[i]);
		aliases[i] = copy(mem, c.aliases.v[i]);
	}
	read_stance(w, &c, &s);
	if (w->errors)
		return false;
	*ret = s;
	return true;
}
