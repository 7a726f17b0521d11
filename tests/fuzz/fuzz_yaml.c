/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to a mesh edit that is abandoned. The first byte chooses: mesh.yaml or objects, the stance, and the mode. */
#include <stdlib.h>

#include "source/conf.h"
#include "source/crosscheck.h"
#include "source/link.h"

struct run {
	struct conf_load load;
	struct conf_obj *objs[256];
	size_t n;
};

static int on_object(const struct yaml_node *root, void *arg)
{
	struct run *r = arg;
	struct conf_obj *o = r->n < ARRAY_LEN(r->objs) ? conf_obj_read(&r->load, root) : NULL;

	if (o)
		r->objs[r->n++] = o;
	return 0;
}

static int on_mesh(const struct yaml_node *root, void *arg)
{
	struct run *r = arg;
	struct field_walk w = { .report = r->load.report, .arena = r->load.arena, .file = "f", .kind = "MeshConfig", .ns = "", .name = "" };
	struct mesh_settings s;
	struct mesh_config *c = conf_mesh_read(&w, root, r->load.settings, &s);

	if (c)
		resource_unref(&c->r);
	return 0;
}

static int by_kind(const void *a, const void *b)
{
	return (int)(*(struct conf_obj *const *)a)->kind - (int)(*(struct conf_obj *const *)b)->kind;
}

static void link_and_abandon(struct run *r, struct report *report)
{
	static const char *const paths[] = { "f" };
	struct link_set set, none = { 0 };
	struct mesh_edit *e = mesh_edit_begin();
	struct link_input in = { r->objs, 0, r->load.settings, paths, report, NULL };
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (r->objs[i]->bad && !conf_kind_is_security(r->objs[i]->kind))
			conf_obj_unref(r->objs[i]);
		else
			r->objs[n++] = r->objs[i];
	}
	r->n = in.n = n;
	qsort(r->objs, n, sizeof(struct conf_obj *), by_kind);
	link_set_build(&in, &none, &set);
	crosscheck(&in, &set);
	link_set_apply(&set, &none, e);
	mesh_edit_abandon(e);
	link_set_done(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const aliases[] = { "old.test" };
	struct mesh_settings s = { .trust_domain = "mesh.test", .aliases = aliases, .n_aliases = 1, .root_ns = "istio-system",
				   .cluster_domain = "cluster.local", .network = "", .cluster = "Kubernetes",
				   .connect_timeout_ms = 10000 };
	struct report report = { 0 };
	struct arena a = { 0 };
	struct run r = { .load = { .settings = &s, .report = &report, .arena = &a, .file = "f" } };
	struct buf out = { 0 };
	struct err err;

	if (size == 0 || size > 65536)
		return 0;
	s.stance = data[0] & 1 ? STANCE_STRICT : STANCE_ISTIO;
	s.mode = (enum mesh_mode)((data[0] >> 2 & 3) % 3);
	yaml_read_text("f", (struct str){ (const char *)data + 1, size - 1 }, &a, data[0] & 2 ? on_mesh : on_object, &r, &err);
	link_and_abandon(&r, &report);
	for (size_t i = 0; i < report.n; i++)
		finding_format(&report.v[i], true, &out);
	for (size_t i = 0; i < r.n; i++)
		conf_obj_unref(r.objs[i]);
	buf_done(&out);
	report_done(&report);
	arena_done(&a);
	return 0;
}
