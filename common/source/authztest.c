/* SPDX-License-Identifier: Apache-2.0 */
#include "source/authztest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "model/meshconfig.h"
#include "policy/authz.h"
#include "policy/claims.h"
#include "source/confdir.h"
#include "source/field.h"

/* --- the file --- */

struct from_row { const char *principal; struct ip address; };
struct request_row { const char *method, *path, *host; };
struct test_row {
	const char *name, *workload, *service, *policy, *sni;
	uint16_t port;
	struct from_row *from;
	struct request_row *request;
	int expect;
};
struct table_row {
	int mode;
	const char *workload, *service;
	uint16_t port;
	struct field_list tests;
};

enum expect { EXPECT_ALLOW, EXPECT_DENY, EXPECT_CUSTOM };
static const char *const expects[] = { "ALLOW", "DENY", "CUSTOM", NULL };
static const char *const modes[] = { "sidecar", "ztunnel", "waypoint", NULL };
static const enum mesh_mode mesh_modes[] = { MODE_SIDECAR, MODE_ZTUNNEL, MODE_WAYPOINT };

#define ROW(field, kind, of, member, ...) { .name = field, .type = FIELD_##kind, .offset = offsetof(struct of, member), __VA_ARGS__ }
#define PASS(field) { .name = field, .type = FIELD_ANY, .mark = FIELD_IGNORED }

static const struct field from_fields[] = {
	ROW("principal", STRING, from_row, principal), ROW("address", IP, from_row, address), { 0 },
};
static const struct field_table from_table = { .name = "from", .size = sizeof(struct from_row), .fields = from_fields };

static const struct field request_fields[] = {
	ROW("method", STRING, request_row, method, .deflt = "GET"), ROW("path", STRING, request_row, path, .deflt = "/"),
	ROW("host", STRING, request_row, host), PASS("headers"), PASS("claims"), { 0 },
};
static const struct field_table request_table = { .name = "request", .size = sizeof(struct request_row), .fields = request_fields };

static const struct field test_fields[] = {
	ROW("name", STRING, test_row, name), ROW("workload", STRING, test_row, workload), ROW("service", STRING, test_row, service), ROW("policy", STRING, test_row, policy),
	ROW("sni", STRING, test_row, sni), ROW("port", PORT, test_row, port), ROW("from", MESSAGE, test_row, from, .sub = &from_table),
	ROW("request", MESSAGE, test_row, request, .sub = &request_table), ROW("expect", ENUM, test_row, expect, .words = expects), { 0 },
};
static const struct field_table test_table = { .name = "tests", .size = sizeof(struct test_row), .fields = test_fields };

static const struct field table_fields[] = {
	ROW("mode", ENUM, table_row, mode, .words = modes), ROW("workload", STRING, table_row, workload), ROW("service", STRING, table_row, service),
	ROW("port", PORT, table_row, port),
	ROW("tests", MESSAGES, table_row, tests, .sub = &test_table), { 0 },
};
static const struct field_table table = { .name = "table", .size = sizeof(struct table_row), .fields = table_fields };

/* --- what the field tables do not read: headers and claims --- */

static void put_json(struct buf *b, const struct yaml_node *n)
{
	const char *sep = "";
	struct str t = n->text;

	if (n->kind == YAML_SCALAR) {
		bool plain = !n->quoted && (str_is(t, "true") || str_is(t, "false") || str_is(t, "null") ||
			     (t.n && t.n < 16 && strspn(t.p, "0123456789") == t.n && (t.n == 1 || t.p[0] != '0')));

		if (plain)
			buf_append(b, t.p, t.n);
		else
			buf_json_str(b, t);
		return;
	}
	buf_puts(b, n->kind == YAML_MAP ? "{" : "[");
	for (const struct yaml_node *c = n->child; c; c = c->next) {
		buf_puts(b, sep);
		sep = ",";
		if (n->kind == YAML_MAP) {
			buf_json_str(b, c->key);
			buf_puts(b, ":");
		}
		put_json(b, c);
	}
	buf_puts(b, n->kind == YAML_MAP ? "}" : "]");
}

static struct claims *claims_of(const struct yaml_node *n)
{
	struct buf b = { 0 };
	struct claims *c;

	if (!n || yaml_is_null(n))
		return NULL;
	put_json(&b, n);
	c = claims_new(buf_str(&b), NULL, 0);
	buf_done(&b);
	return c;
}

static struct http_field *headers_of(struct arena *a, const struct yaml_node *map, int *ret)
{
	struct http_field *v = arena_alloc(a, (map ? map->weight : 1) * sizeof(*v));
	int n = 0;

	for (const struct yaml_node *h = map ? map->child : NULL; h; h = h->next) {
		if (h->kind == YAML_SCALAR)
			v[n++] = (struct http_field){ h->key, h->text };
		for (const struct yaml_node *line = h->kind == YAML_LIST ? h->child : NULL; line; line = line->next)
			v[n++] = (struct http_field){ h->key, line->text };
	}
	*ret = n;
	return v;
}

/* --- one test --- */

struct run {
	const char *file, *dir;
	const struct mesh_settings *base;
	struct mesh_settings settings;
	struct confdir *conf;                /* of `mode` */
	int mode;
	struct arena arena;
	struct report report;
	struct buf *out;
	int n, failed;
	struct err *err;
};

static struct workload *workload_of(const struct mesh *m, const char *text)
{
	struct str name, ns = str_cut(str_c(text), '/', &name);

	return mesh_workload_named(m, ns, name);
}

static void fail(struct run *r, const struct test_row *t, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void fail(struct run *r, const struct test_row *t, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->failed++;
	buf_printf(r->out, "FAILED %s: %s\n", *t->name ? t->name : "(no name)", text);
}

static enum http_path path_level(const struct mesh *m)
{
	static const enum http_path levels[] = {
		[PATHS_DEFAULT] = HTTP_PATH_BASE, [PATHS_NONE] = HTTP_PATH_NONE, [PATHS_BASE] = HTTP_PATH_BASE,
		[PATHS_MERGE_SLASHES] = HTTP_PATH_MERGE_SLASHES, [PATHS_DECODE_AND_MERGE_SLASHES] = HTTP_PATH_DECODE_AND_MERGE_SLASHES,
	};

	return levels[mesh_config(m)->path_normalization];
}

static void compare(struct run *r, const struct mesh *m, const struct workload *w, const struct test_row *t, const struct authz_input *in)
{
	struct authz_asked asked = { 0 };
	enum authz_custom custom = authz_custom(m, w, in, &asked);
	struct authz_verdict v = authz_judge(m, w, in, NULL, NULL);
	enum expect got = custom == CUSTOM_REFUSE ? EXPECT_DENY : !v.allowed ? EXPECT_DENY : custom == CUSTOM_ASK ? EXPECT_CUSTOM : EXPECT_ALLOW;
	struct policy *by = custom == CUSTOM_REFUSE || got == EXPECT_CUSTOM ? asked.policy : v.policy;
	struct buf why = { 0 };

	if (custom == CUSTOM_REFUSE)
		buf_printf(&why, "CUSTOM policy %s: its provider '%s' cannot be asked%s%s.\n", asked.policy->key, asked.policy->provider,
			   asked.provider && *asked.provider->problem ? ": " : "", asked.provider ? asked.provider->problem : "");
	else if (got == EXPECT_CUSTOM)
		buf_printf(&why, "CUSTOM policy %s asks %s.\n", asked.policy->key, asked.policy->provider);
	else
		authz_explain(m, w, in, &why);
	if (got != (enum expect)t->expect)
		fail(r, t, "want %s, got %s. %.*s", expects[t->expect], expects[got], (int)(buf_len(&why) ? buf_len(&why) - 1 : 0), buf_data(&why));
	else if (*t->policy && (!by || strcmp(by->key, t->policy)))
		fail(r, t, "%s, but by %s, not by %s", expects[got], by ? by->key : "no policy", t->policy);
	buf_done(&why);
}

static void run_test(struct run *r, const struct table_row *tab, const struct test_row *t, const struct yaml_node *node)
{
	const struct mesh *m = mesh_current();
	const struct yaml_node *request = yaml_get(node, "request");
	const char *workload = *t->workload ? t->workload : tab->workload, *service = *t->service ? t->service : tab->service;
	struct workload *w = workload_of(m, workload);
	struct service *s = *service ? mesh_service(m, str_c(service)) : NULL;
	struct authz_request req = { 0 };
	struct authz_input in = { .sni = str_c(t->sni), .service = s, .request = t->request && mesh_modes[tab->mode] != MODE_ZTUNNEL ? &req : NULL };
	struct str path;

	r->n++;
	if (!w) {
		fail(r, t, "there is no workload %s in %s", *workload ? workload : "(none is named)", r->dir);
		return;
	}
	if (*service && mesh_modes[tab->mode] != MODE_WAYPOINT) {
		fail(r, t, "service is for the mode waypoint");
		return;
	}
	if (*service && !s) {
		fail(r, t, "there is no service %s in %s", service, r->dir);
		return;
	}
	in.dest.port = t->port ? t->port : tab->port;
	if (s && s->n_vips)
		in.dest.ip = s->vips[0].cidr.ip;
	else if (!s && w->n_ips)
		in.dest.ip = w->ips[0];
	if (t->from) {
		in.principal = str_c(t->from->principal);
		in.source.ip = t->from->address;
	}
	if (t->request) {
		req.method = str_c(*t->request->method ? t->request->method : "GET");
		req.authority = str_c(t->request->host);
		req.fields = headers_of(&r->arena, yaml_get(request, "headers"), &req.n_fields);
		req.claims = claims_of(yaml_get(request, "claims"));
		path = str_c(*t->request->path ? t->request->path : "/");
		if (!http_path_normalise(path, path_level(m), arena_alloc(&r->arena, 3 * path.n), &req.path)) {
			fail(r, t, "the path %s has no normal form: the request is answered 400", t->request->path);
			return;
		}
	}
	compare(r, m, w, t, &in);
	claims_unref(req.claims);
}

/* --- tables --- */

static int load(struct run *r, int mode)
{
	if (r->conf && r->mode == mode)
		return 0;
	if (r->conf)
		confdir_withdraw(r->conf);
	confdir_free(r->conf);
	r->settings = *r->base;
	r->settings.mode = mesh_modes[mode];
	r->mode = mode;
	r->conf = confdir_new(r->dir, &r->settings);
	return confdir_load(r->conf, r->err);
}

static int on_doc(const struct yaml_node *root, void *arg)
{
	struct run *r = arg;
	struct table_row tab = { 0 };
	struct field_walk w = { .report = &r->report, .arena = &r->arena, .file = r->file, .kind = "table", .ns = "", .name = "", .root = root,
				.security = true };
	const struct yaml_node *node;
	const struct test_row *tests;
	int rc;

	if (!field_read(&w, &table, root, &tab))
		return err_set(r->err, -EINVAL, "%s:%u: %s: %s", r->file, r->report.v[0].line, r->report.v[0].path, r->report.v[0].message);
	rc = load(r, tab.mode);
	tests = tab.tests.v;
	node = yaml_get(root, "tests");
	node = node ? node->child : NULL;
	for (int i = 0; rc == 0 && i < tab.tests.n && node; i++, node = node->next)
		run_test(r, &tab, &tests[i], node);
	return rc;
}

int authztest_run(const char *dir, const char *file, const struct mesh_settings *base, struct buf *out, struct err *err)
{
	struct run r = { .file = file, .dir = dir, .base = base, .out = out, .err = err };
	struct arena docs = { 0 };
	int rc;

	rc = yaml_read_file(file, &docs, on_doc, &r, err);
	arena_done(&docs);
	arena_done(&r.arena);
	report_done(&r.report);
	confdir_free(r.conf);
	if (rc < 0)
		return rc;
	if (!r.n)
		return err_set(err, -EINVAL, "%s: there are no tests in it", file);
	buf_printf(out, "%d tests, %d failed.\n", r.n, r.failed);
	return r.failed ? AUTHZTEST_FAILED : 0;
}
