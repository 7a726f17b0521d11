/* SPDX-License-Identifier: Apache-2.0 */
#include "source/local_xds.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "policy/authz.h"
#include "source/local_int.h"

/* What the last load put into the mesh. */
struct put {
	enum { PUT_WORKLOAD, PUT_SERVICE, PUT_ENDPOINT, PUT_POLICY } kind;
	char *key;                   /* owned; of an endpoint: the service's */
	char *uid;                   /* owned; of an endpoint */
	uint64_t hash;               /* of a policy */
};

struct local_xds {
	char *path, *text;           /* owned; one of them */
	struct members members;
	struct put *puts;
	size_t n, cap;
	uint64_t hash;               /* of workloads and services; 0: never loaded */
	struct report report;        /* of the present load */
	bool loaded;
	int n_docs;                  /* of the present reading */
	struct err *err;
};

struct local_xds *local_xds_new(const char *path, const char *text)
{
	struct local_xds *l = xcalloc(1, sizeof(*l));

	l->path = path ? xstrdup(path) : NULL;
	l->text = text ? xstrdup(text) : NULL;
	return l;
}

static void puts_free(struct put *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].key);
		free(v[i].uid);
	}
	free(v);
}

void local_xds_free(struct local_xds *l)
{
	if (!l)
		return;
	members_done(&l->members);
	puts_free(l->puts, l->n);
	free(l->path);
	free(l->text);
	free(l);
}

static void note(struct local_xds *l, int kind, const char *key, const char *uid, uint64_t hash)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 16;
		l->puts = xrealloc(l->puts, l->cap * sizeof(*l->puts));
	}
	l->puts[l->n++] = (struct put){ kind, xstrdup(key), uid ? xstrdup(uid) : NULL, hash };
}

/* --- to the mesh --- */

static void put_endpoints(struct local_xds *l, struct mesh_edit *e, const struct local_service *s)
{
	for (int i = 0; i < s->n_endpoints; i++) {
		const struct local_endpoint *from = &s->endpoints[i];
		struct workload *w = mesh_workload(mesh_edit_view(e), str_c(from->uid));

		if (!w) {
			log_warn(LOG_SOURCE, "local xDS: service %s: the endpoint %s is left out, since there is no such workload", s->t.key, from->uid);
			continue;
		}
		note(l, PUT_ENDPOINT, s->t.key, from->uid, 0);
		if (from->unhealthy && w->healthy && !s->t.allow_unhealthy)
			members_drop(&l->members, s->t.key, str_c(from->uid));
		else
			members_add(&l->members, s->t.key, w, from->ports, from->n_ports);
	}
}

static void del_topology(struct local_xds *l, struct mesh_edit *e, const struct put *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].kind == PUT_ENDPOINT)
			members_drop(&l->members, v[i].key, str_c(v[i].uid));
		else if (v[i].kind == PUT_SERVICE)
			members_del_service(&l->members, str_c(v[i].key));
		else if (v[i].kind == PUT_WORKLOAD)
			members_del_workload(&l->members, str_c(v[i].key));
	}
}

static void put_topology(struct local_xds *l, struct mesh_edit *e, const struct local_conf *c)
{
	for (int i = 0; i < c->n_workloads; i++) {
		members_put_workload(&l->members, &c->workloads[i].t, c->workloads[i].members, c->workloads[i].n_members);
		note(l, PUT_WORKLOAD, c->workloads[i].t.uid, NULL, 0);
	}
	for (int i = 0; i < c->n_services; i++) {
		members_put_service(&l->members, &c->services[i].t);
		note(l, PUT_SERVICE, c->services[i].t.key, NULL, 0);
	}
	for (int i = 0; i < c->n_services; i++)
		put_endpoints(l, e, &c->services[i]);
}

/* True when there was one with this content, which stays. */
static bool keeps(const struct put *v, size_t n, const struct local_policy *p)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].kind == PUT_POLICY && v[i].hash == p->hash && strcmp(v[i].key, p->t.key) == 0)
			return true;
	return false;
}

static bool has(const struct local_conf *c, const char *key)
{
	for (int i = 0; i < c->n_policies; i++)
		if (strcmp(c->policies[i].t.key, key) == 0)
			return true;
	return false;
}

static bool put_policies(struct local_xds *l, struct mesh_edit *e, const struct local_conf *c, const struct put *old, size_t n)
{
	bool changed = false;

	for (size_t i = 0; i < n; i++) {
		if (old[i].kind != PUT_POLICY || has(c, old[i].key))
			continue;
		mesh_del_policy(e, str_c(old[i].key));
		changed = true;
	}
	for (int i = 0; i < c->n_policies; i++) {
		struct policy *p;

		note(l, PUT_POLICY, c->policies[i].t.key, NULL, c->policies[i].hash);
		if (keeps(old, n, &c->policies[i]))
			continue;
		p = policy_new(&c->policies[i].t);
		if (authz_compile(p) < 0)
			log_error(LOG_SOURCE, "local xDS: policy %s: out of memory: its scope is refused", p->key);
		mesh_put_policy(e, p);
		changed = true;
	}
	return changed;
}

static void keep_topology(struct local_xds *l, const struct put *old, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (old[i].kind != PUT_POLICY)
			note(l, old[i].kind, old[i].key, old[i].uid, 0);
}

static void apply(struct local_xds *l, const struct local_conf *c)
{
	struct mesh_edit *e = mesh_edit_begin();
	struct put *old = l->puts;
	size_t n = l->n;
	bool changed;

	l->puts = NULL;
	l->n = l->cap = 0;
	members_begin(&l->members, e);
	if (!l->loaded || c->hash != l->hash) {
		del_topology(l, e, old, n);
		put_topology(l, e, c);
	} else {
		keep_topology(l, old, n);
	}
	changed = members_end(&l->members);
	changed = put_policies(l, e, c, old, n) || changed;
	puts_free(old, n);
	l->hash = c->hash;
	l->loaded = true;
	if (changed)
		mesh_edit_publish(e);
	else
		mesh_edit_abandon(e);
	log_info(LOG_SOURCE, "local xDS: %d workloads, %d services, %d policies%s", c->n_workloads, c->n_services, c->n_policies,
		 changed ? "" : ", nothing changed");
}

/* --- from the file --- */

/* The first error goes to err, warnings to the log. */
static int judge(struct local_xds *l)
{
	const struct finding *worst = NULL;
	struct buf text = { 0 };
	int rc = 0;

	for (size_t i = 0; i < l->report.n; i++) {
		const struct finding *f = &l->report.v[i];

		if (f->level == FINDING_ERROR) {
			if (!worst || f->line < worst->line)
				worst = f;
			continue;
		}
		finding_format(f, false, &text);
		log_warn(LOG_SOURCE, "%.*s", STR_FMT(buf_str(&text)));
		buf_done(&text);
	}
	if (worst) {
		finding_format(worst, false, &text);
		rc = err_set(l->err, -EINVAL, "%.*s", STR_FMT(buf_str(&text)));
		buf_done(&text);
	}
	return rc;
}

static int on_doc(const struct yaml_node *root, void *arg)
{
	struct local_xds *l = arg;
	struct arena mem = { 0 };
	struct local_conf conf = { 0 };
	struct field_walk w = { .report = &l->report, .arena = &mem, .file = l->path ? l->path : "LOCAL_XDS", .kind = "local xDS",
				.ns = "", .name = "", .root = root };
	int rc;

	local_read(&w, root, &conf);
	rc = judge(l);
	if (!rc)
		apply(l, &conf);
	arena_done(&mem);
	return rc;
}

static int on_count(const struct yaml_node *root, void *arg)
{
	struct local_xds *l = arg;

	return ++l->n_docs == 1 ? 0 : err_set(l->err, -EINVAL, "%s:%u: want one document", l->path ? l->path : "LOCAL_XDS", root->line);
}

static int read_yaml(struct local_xds *l, int (*on_each)(const struct yaml_node *root, void *arg))
{
	struct arena a = { 0 };
	int rc;

	l->n_docs = 0;
	rc = l->path ? yaml_read_file(l->path, &a, on_each, l, l->err) : yaml_read_text("LOCAL_XDS", str_c(l->text), &a, on_each, l, l->err);
	arena_done(&a);
	return rc;
}

/* Read twice: what is no YAML to its end shall change nothing. */
int local_xds_load(struct local_xds *l, struct err *err)
{
	struct local_conf nothing = { 0 };
	int rc;

	l->err = err;
	l->report = (struct report){ 0 };
	rc = read_yaml(l, on_count);
	if (!rc && !l->n_docs)
		apply(l, &nothing);
	else if (!rc)
		rc = read_yaml(l, on_doc);
	report_done(&l->report);
	return rc;
}
