/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/log.h"
#include "source/confdir_int.h"
#include "source/crosscheck.h"

#define LOG_LINES_MAX 50      /* findings logged by one load */

/* --- small parts --- */

static void file_unref(struct conf_file *f)
{
	if (!f || --f->refs)
		return;
	for (size_t i = 0; i < f->n; i++)
		conf_obj_unref(f->objs[i]);
	free(f->objs);
	report_done(&f->report);
	free(f);
}

static void state_done(struct state *s)
{
	for (size_t i = 0; i < s->n_files; i++)
		file_unref(s->files[i]);
	file_unref(s->mesh);
	for (size_t i = 0; i < s->n_live; i++)
		conf_obj_unref(s->live[i]);
	link_set_done(&s->set);
	report_done(&s->cross);
	free(s->files);
	free(s->live);
	free(s->live_hash);
	if (s->config)
		resource_unref(&s->config->r);
	*s = (struct state){ 0 };
}

/* Sorts by kind first. The same in every process, so that the order of endpoints is. */
static uint64_t key_hash(enum conf_kind kind, const char *ns, const char *name)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *ns; ns++)
		h = (h ^ (unsigned char)*ns) * 0x100000001b3u;
	h = (h ^ '/') * 0x100000001b3u;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3u;
	return (uint64_t)kind << 56 | h >> 8;
}

static bool has_key(const struct conf_obj *o, enum conf_kind kind, const char *ns, const char *name)
{
	const char *ons, *oname;

	conf_obj_key(o, &ons, &oname);
	return o->kind == kind && !strcmp(ons, ns) && !strcmp(oname, name);
}

struct conf_obj *confdir_live_find(void *arg, enum conf_kind kind, const char *ns, const char *name)
{
	uint64_t hash = key_hash(kind, ns, name);
	const struct state *s = arg;
	size_t lo = 0, hi = s->n_live;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->live_hash[mid] < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < s->n_live && s->live_hash[lo] == hash; lo++) {
		if (has_key(s->live[lo], kind, ns, name))
			return s->live[lo];
	}
	return NULL;
}

static struct finding about(const struct confdir *c, enum finding_level level, const struct conf_obj *o)
{
	struct finding f = { .level = level, .file = c->paths[o->file], .line = o->line, .kind = conf_kind_name(o->kind) };

	conf_obj_key(o, &f.ns, &f.name);
	return f;
}

/* --- merging --- */

struct ordered {
	uint64_t hash;
	struct conf_obj *obj;
	size_t seq;
};

static int by_hash(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->seq < y->seq ? -1 : 1;
}

static void report_double(struct confdir *c, struct state *next, const struct conf_obj *first, const struct conf_obj *o)
{
	struct finding at = about(c, conf_kind_is_security(o->kind) ? FINDING_ERROR : FINDING_WARNING, o);

	report_add(&next->cross, &at, "left out, since the same object is in %s:%u", c->paths[first->file], first->line);
}

/* The object that counts for this key: a bad one gives way to its last good version. NULL: none. */
static struct conf_obj *last_good(struct confdir *c, struct state *next, struct conf_obj *o)
{
	struct finding at = about(c, FINDING_WARNING, o);
	struct conf_obj *old;

	if (!o->bad)
		return o;
	old = confdir_live_find(&c->s, o->kind, at.ns, at.name);
	if (old && !old->bad) {
		report_add(&next->cross, &at, "its last good version stays in effect until it is mended");
		return old;
	}
	if (!conf_kind_is_security(o->kind)) {
		report_add(&next->cross, &at, "left out until it is mended");
		return NULL;
	}
	if (conf_refuses(o, &next->settings))
		report_add(&next->cross, &at, "refuses all connections to what it selects until it is mended");
	return o;
}

/* The first object of each key, by path and place, counts. */
static void merge(struct confdir *c, struct state *next)
{
	struct ordered *v;
	size_t n = 0;

	for (size_t i = 0; i < next->n_files; i++)
		n += next->files[i]->n;
	v = xcalloc(n + 1, sizeof(*v));
	next->live = xcalloc(n + 1, sizeof(struct conf_obj *));
	next->live_hash = xcalloc(n + 1, sizeof(uint64_t));
	n = 0;
	for (size_t i = 0; i < next->n_files; i++) {
		for (size_t k = 0; k < next->files[i]->n; k++, n++) {
			struct conf_obj *o = next->files[i]->objs[k];
			const char *ns, *name;

			conf_obj_key(o, &ns, &name);
			v[n] = (struct ordered){ key_hash(o->kind, ns, name), o, n };
		}
	}
	qsort(v, n, sizeof(*v), by_hash);
	for (size_t i = 0; i < n; i++) {
		const struct conf_obj *first = NULL;
		struct conf_obj *o = v[i].obj;
		const char *ns, *name;

		conf_obj_key(o, &ns, &name);
		for (size_t k = i; k-- > 0 && v[k].hash == v[i].hash && !first;)
			first = has_key(v[k].obj, o->kind, ns, name) ? v[k].obj : NULL;
		if (first) {
			report_double(c, next, first, o);
			continue;
		}
		o = last_good(c, next, o);
		if (!o)
			continue;
		next->live_hash[next->n_live] = v[i].hash;
		next->live[next->n_live++] = conf_obj_ref(o);
	}
	free(v);
}

static void link_all(struct confdir *c, struct state *next, bool analyze)
{
	struct link_input in = { next->live, next->n_live, &next->settings, c->paths, &next->cross,
				 next->config ? &next->config->r : NULL };

	link_set_build(&in, &c->s.set, &next->set);
	next->settings.through_waypoints = mesh_through_waypoints(&next->settings, link_set_has_sidecars(&next->set));
	if (analyze)
		crosscheck(&in, &next->set);
}

/* --- the load --- */

static void log_report(const struct report *r, int *left)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < r->n && *left > 0; i++) {
		if (r->v[i].level == FINDING_INFO)
			continue;
		buf_consume(&b, buf_len(&b));
		finding_format(&r->v[i], false, &b);
		if (--*left == 0)
			log_warn(LOG_SOURCE, "there are more findings: run `meshd analyze` on the directory");
		else if (r->v[i].level == FINDING_ERROR)
			log_error(LOG_SOURCE, "%.*s", STR_FMT(buf_str(&b)));
		else
			log_warn(LOG_SOURCE, "%.*s", STR_FMT(buf_str(&b)));
	}
	buf_done(&b);
}

static bool report_same(const struct report *a, const struct report *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (a->v[i].line != b->v[i].line || strcmp(a->v[i].file, b->v[i].file) || strcmp(a->v[i].message, b->v[i].message))
			return false;
	}
	return true;
}

static void log_state(const struct state *now, const struct state *before)
{
	int left = LOG_LINES_MAX;

	if (now->mesh && now->mesh->fresh)
		log_report(&now->mesh->report, &left);
	for (size_t i = 0; i < now->n_files; i++) {
		if (now->files[i]->fresh)
			log_report(&now->files[i]->report, &left);
	}
	if (!report_same(&now->cross, &before->cross))
		log_report(&now->cross, &left);
}

static void publish(const struct state *next, const struct state *before, bool first)
{
	bool settings = first || next->config != before->config || !confdir_same_settings(&next->settings, &before->settings) ||
			next->settings.through_waypoints != before->settings.through_waypoints;
	struct mesh_edit *e = mesh_edit_begin();
	size_t changed;

	if (settings)
		mesh_edit_settings(e, &next->settings);
	changed = link_set_apply(&next->set, &before->set, e);
	if (changed || settings)
		mesh_edit_publish(e);
	else
		mesh_edit_abandon(e);
}

static bool nothing_new(const struct state *next, const struct state *now)
{
	bool same = next->n_files == now->n_files && next->mesh == now->mesh;

	for (size_t i = 0; same && i < now->n_files; i++)
		same = next->files[i] == now->files[i];
	return same;
}

static int held_back(struct confdir *c, int rc, const struct err *err)
{
	free(c->held_back);
	c->held_back = xstrdup(err->msg);
	return rc;
}

static int load(struct confdir *c, bool touch_mesh, struct err *err)
{
	struct state next = { 0 };
	struct confscan scan;
	struct err mine = { "" };
	int rc;

	report_done(&c->held);
	rc = confscan_read(c->dir, &scan, &mine);
	if (!rc) {
		rc = confdir_read_files(c, &scan, &next, &mine);
		confscan_done(&scan);
	}
	if (err)
		*err = mine;
	if (rc) {
		/* Files taken over from the present state only lose the reference that `next` took. */
		state_done(&next);
		return held_back(c, rc, &mine);
	}
	if (c->loads && nothing_new(&next, &c->s)) {
		state_done(&next);
		free(c->held_back);
		c->held_back = xstrdup("");
		return 0;
	}
	merge(c, &next);
	link_all(c, &next, !touch_mesh);
	if (touch_mesh) {
		publish(&next, &c->s, c->loads == 0);
		log_state(&next, &c->s);
	}
	state_done(&c->s);
#ifdef __GLIBC__
	malloc_trim(0);   /* a large load leaves holes all over the heap */
#endif
	c->s = next;
	c->loads++;
	free(c->held_back);
	c->held_back = xstrdup("");
	return 0;
}

int confdir_load(struct confdir *c, struct err *err)
{
	return load(c, true, err);
}

int confdir_check(struct confdir *c, struct err *err)
{
	return load(c, false, err);
}

struct confdir *confdir_new(const char *dir, const struct mesh_settings *base)
{
	struct confdir *c = xcalloc(1, sizeof(*c));
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	c->dir = str_dup((struct str){ dir, n });
	c->base = *base;
	c->held_back = xstrdup("");
	return c;
}

void confdir_withdraw(struct confdir *c)
{
	static const struct link_set nothing;
	struct mesh_edit *e = mesh_edit_begin();

	link_set_apply(&nothing, &c->s.set, e);
	mesh_edit_publish(e);
	state_done(&c->s);
	c->loads = 0;
}

void confdir_free(struct confdir *c)
{
	if (!c)
		return;
	state_done(&c->s);
	report_done(&c->held);
	map_done(&c->ids);
	for (size_t i = 0; i < c->n_paths; i++)
		free((void *)(uintptr_t)c->paths[i]);
	free(c->paths);
	free(c->held_back);
	free(c->dir);
	free(c);
}
