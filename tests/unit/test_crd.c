/* SPDX-License-Identifier: Apache-2.0 */
/* Istio's own cases for its CRDs: is each document valid? And does the loader know each of its kinds? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/mesh.h"
#include "source/conf.h"
#include "suite.h"

static const char *const files[] = {
	"authz", "destinationrule", "envoyfilter", "peerauth", "proxyconfig", "reqauth", "serviceentry", "telemetry", "wasm",
	"workloadentry", "workloadgroup",
};

/* Where our verdict is another one, and why. */
static const struct { const char *file, *name, *why; } differs[] = {
	{ "serviceentry-valid", "full", "[1.2.3.4, 001:db8::] is no YAML to libyaml" },
	{ "telemetry-valid", "tag-upsert", "the value `add` is CEL, but of an attribute that does not exist" },
	{ "authz-valid", "full", "the CRD takes {**} in the middle of a path and experimental.envoy filters; istiod and Envoy do not" },
};

struct run { const char *file; int n; };

static const char *differs_why(const char *file, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(differs); i++)
		if (!strcmp(differs[i].file, file) && !strcmp(differs[i].name, name))
			return differs[i].why;
	return NULL;
}

static int on_doc(const struct yaml_node *root, void *arg)
{
	static const struct mesh_settings settings = { .trust_domain = "cluster.local", .root_ns = "istio-system",
						       .cluster_domain = "cluster.local", .network = "", .cluster = "Kubernetes", .mode = MODE_SIDECAR };
	struct run *r = arg;
	struct report report = { 0 };
	struct arena a = { 0 };
	struct conf_load l = { .settings = &settings, .report = &report, .arena = &a, .file = r->file };
	struct yaml_node copy = *root;
	const struct yaml_node *err = yaml_get(root, "_err");
	const char *name = yaml_get(yaml_get(root, "metadata"), "name")->text.p;
	bool want_ok = !err, ok;

	r->n++;
	if (err)   /* it is the first of each */
		copy.child = root->child->next;
	conf_obj_unref(conf_obj_read(&l, &copy));
	ok = true;
	for (size_t i = 0; i < report.n; i++)   /* what is not supported is valid all the same */
		ok = ok && (report.v[i].level != FINDING_ERROR || str_starts(str_c(report.v[i].message), str_c("not supported:")));
	if (differs_why(r->file, name))
		ok = !ok;
	if (ok != want_ok) {
		struct buf b = { 0 };

		for (size_t i = 0; i < report.n; i++) {
			finding_format(&report.v[i], true, &b);
			buf_puts(&b, "\n");
		}
		ck_abort_msg("%s: %s: want it to be %s%s\n%.*s", r->file, name, want_ok ? "valid" : "refused: ", err ? err->text.p : "",
			     STR_FMT(buf_str(&b)));
	}
	report_done(&report);
	arena_done(&a);
	return 0;
}

/* The documents of a file, each by itself: one that is no YAML leaves the others alone. */
static void run(const char *kind, const char *what, int least)
{
	char *path = xasprintf("%.*s/crd/%s-%s.yaml", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__, kind, what);
	char *file = xasprintf("%s-%s", kind, what), *text, *at, *end;
	struct run r = { .file = file };
	struct arena a = { 0 };
	FILE *in = fopen(path, "r");
	size_t n;

	ck_assert_msg(in != NULL, "%s", path);
	text = xcalloc(1, 1 << 16);
	n = fread(text, 1, (1 << 16) - 1, in);
	ck_assert_uint_lt(n, (1 << 16) - 1);
	fclose(in);
	for (at = text; at; at = end) {
		struct err err = { "" };
		size_t len;

		end = strstr(at, "\n---");
		len = end ? (size_t)(end - at) : strlen(at);
		end = end ? end + 4 : NULL;
		if (yaml_read_text(file, (struct str){ at, len }, &a, on_doc, &r, &err))
			ck_assert_msg(strstr(at, "001:db8::]") != NULL, "%s", err.msg);
	}
	ck_assert_int_ge(r.n, least);
	arena_done(&a);
	free(text);
	free(path);
	free(file);
}

START_TEST(test_valid) { run(files[_i], "valid", 1); }
END_TEST
START_TEST(test_invalid) { run(files[_i], "invalid", 2); }
END_TEST

int main(void)
{
	Suite *s = suite_create("crd");
	TCase *t = tcase_create("crd");

	tcase_add_loop_test(t, test_valid, 0, ARRAY_LEN(files));
	tcase_add_loop_test(t, test_invalid, 0, ARRAY_LEN(files));
	suite_add_tcase(s, t);
	return suite_run(s);
}
