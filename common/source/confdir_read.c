/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the files of a configuration directory that changed. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "source/confdir_int.h"

#define TICK_MS 20            /* more than the step of a file system's clock */

static unsigned path_id(struct confdir *c, const char *path)
{
	uintptr_t id = (uintptr_t)map_get(&c->ids, str_c(path));

	if (!id) {
		c->paths = xrealloc(c->paths, (c->n_paths + 1) * sizeof(*c->paths));
		c->paths[c->n_paths++] = xstrdup(path);
		id = c->n_paths;
		map_put(&c->ids, str_c(c->paths[id - 1]), (void *)id);
	}
	return (unsigned)(id - 1);
}

struct file_read {
	struct conf_load load;
	struct conf_file *file;
	/* mesh.yaml only */
	const struct mesh_settings *base;
	struct state *mesh_to;
	bool mesh_bad;
	int docs;
};

static int on_object(const struct yaml_node *root, void *arg)
{
	struct file_read *r = arg;
	struct conf_file *f = r->file;
	struct conf_obj *o = conf_obj_read(&r->load, root);

	if (!o)
		return 0;
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 4;
		f->objs = xrealloc(f->objs, f->cap * sizeof(struct conf_obj *));
	}
	f->objs[f->n++] = o;
	return 0;
}

static int on_mesh(const struct yaml_node *root, void *arg)
{
	struct file_read *r = arg;
	struct field_walk w = { .report = &r->file->report, .arena = r->load.arena, .file = r->file->path, .kind = "MeshConfig",
				.ns = "", .name = "" };
	struct mesh_config *config = NULL;

	if (r->docs++)
		field_error(&w, root->line, NULL, "want one document in mesh.yaml, got more");
	else if ((config = conf_mesh_read(&w, root, r->base, &r->mesh_to->settings)))
		r->mesh_to->config = config;
	if (config)
		return 0;
	r->mesh_bad = true;
	return 0;
}

static struct conf_file *file_new(struct confdir *c, const struct confscan_file *from)
{
	struct conf_file *f = xcalloc(1, sizeof(*f));
	struct timespec now;

	f->refs = 1;
	f->id = path_id(c, from->path);
	f->path = c->paths[f->id];
	f->st = from->st;
	f->fresh = true;
	/* What was written this very moment may be written again without a new time: read it again next time. */
	clock_gettime(CLOCK_REALTIME, &now);
	if ((now.tv_sec - from->st.st_mtim.tv_sec) * 1000 + (now.tv_nsec - from->st.st_mtim.tv_nsec) / 1000000 < TICK_MS)
		f->st.st_ino = 0;
	return f;
}

static int file_read(struct confdir *c, struct file_read *r, int (*on_doc)(const struct yaml_node *, void *), struct err *err)
{
	struct conf_file *f = r->file;
	struct arena a = { 0 };
	int rc;

	r->load.report = &f->report;
	r->load.arena = &a;
	r->load.file = f->path;
	r->load.file_id = f->id;
	rc = yaml_read_file(f->path, &a, on_doc, r, err);
	arena_done(&a);
	if (f->cap > f->n && f->n)
		f->objs = xrealloc(f->objs, (f->cap = f->n) * sizeof(struct conf_obj *));
	return rc;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static struct conf_file *old_file(const struct confdir *c, const struct confscan_file *now)
{
	size_t lo = 0, hi = c->s.n_files;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int d = strcmp(c->s.files[mid]->path, now->path);

		if (!d)
			return same_stat(&c->s.files[mid]->st, &now->st) ? c->s.files[mid] : NULL;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool confdir_same_settings(const struct mesh_settings *a, const struct mesh_settings *b)
{
	if (strcmp(a->trust_domain, b->trust_domain) || strcmp(a->root_ns, b->root_ns) || a->stance != b->stance || a->waypoint_use != b->waypoint_use ||
	    a->connect_timeout_ms != b->connect_timeout_ms || a->n_aliases != b->n_aliases)
		return false;
	for (int i = 0; i < a->n_aliases; i++) {
		if (strcmp(a->aliases[i], b->aliases[i]))
			return false;
	}
	return true;
}

static int first_error(const struct report *r, struct err *err)
{
	const struct finding *f = r->v;
	struct buf b = { 0 };
	int rc;

	while (f->level != FINDING_ERROR)
		f++;
	finding_format(f, false, &b);
	rc = err_set(err, -EINVAL, "%.*s", STR_FMT(buf_str(&b)));
	buf_done(&b);
	return rc;
}

static void keep_settings(const struct confdir *c, struct state *next)
{
	if (next->config)
		resource_unref(&next->config->r);
	next->settings = c->s.settings;
	next->config = c->s.config;
	if (next->config)
		resource_ref(&next->config->r);
}

/* Settings of the next state. A mesh.yaml with errors keeps the settings that were there; at first there are none. */
static int read_mesh(struct confdir *c, const struct confscan_file *now, struct state *next, struct err *err)
{
	struct file_read r = { .base = &c->base, .mesh_to = next };
	int rc;

	if (now && c->s.mesh && same_stat(&c->s.mesh->st, &now->st)) {
		next->mesh = c->s.mesh;
		next->mesh->refs++;
		keep_settings(c, next);
		return 0;
	}
	next->settings = c->base;
	if (!now)
		return 0;
	r.file = next->mesh = file_new(c, now);
	rc = file_read(c, &r, on_mesh, err);
	if (rc || !r.mesh_bad)
		return rc;
	if (!c->loads)
		return first_error(&r.file->report, err);
	keep_settings(c, next);
	return 0;
}

int confdir_read_files(struct confdir *c, const struct confscan *scan, struct state *next, struct err *err)
{
	char *mesh_path = xasprintf("%s/mesh.yaml", c->dir);
	struct confscan_file *mesh = NULL;
	bool all;
	int rc;

	for (size_t i = 0; i < scan->n; i++) {
		if (!strcmp(scan->v[i].path, mesh_path))
			mesh = &scan->v[i];
	}
	free(mesh_path);
	rc = read_mesh(c, mesh, next, err);
	if (rc)
		return rc;
	all = !c->loads || !confdir_same_settings(&next->settings, &c->s.settings);
	next->files = xcalloc(scan->n + 1, sizeof(struct conf_file *));
	for (size_t i = 0; i < scan->n; i++) {
		struct conf_file *f = all || &scan->v[i] == mesh ? NULL : old_file(c, &scan->v[i]);
		struct err one = { "" };
		int file_rc;

		if (&scan->v[i] == mesh)
			continue;
		if (f) {
			f->refs++;
			f->fresh = false;
			next->files[next->n_files++] = f;
			continue;
		}
		f = file_new(c, &scan->v[i]);
		next->files[next->n_files++] = f;
		struct file_read r = { .load = { .settings = &next->settings }, .file = f };

		if (!all) {
			r.load.find = confdir_live_find;
			r.load.find_arg = &c->s;
		}
		file_rc = file_read(c, &r, on_object, &one);
		if (file_rc) {
			struct finding at = { .level = FINDING_ERROR, .file = f->path };
			size_t skip = strlen(f->path);
			const char *text = one.msg + (strncmp(one.msg, f->path, skip) ? 0 : skip);
			unsigned line = 0;

			if (*text == ':' && text[1] != ' ')
				line = (unsigned)strtoul(text + 1, (char **)(uintptr_t)&text, 10);
			at.line = line;
			report_add(&c->held, &at, "%s", *text == ':' ? text + 2 : text);
		}
		if (file_rc && !rc) {
			rc = file_rc;
			if (err)
				*err = one;
		}
	}
	return rc;
}
