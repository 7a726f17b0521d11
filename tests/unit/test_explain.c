/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "source/analyze.h"
#include "source/crd.h"
#include "suite.h"

static const struct { const char *path; int rc; const char *part; } rows[] = {
	{ "ServiceEntry.spec.ports.number", 0, "ServiceEntry.spec.ports.number (port)\n  Port that clients use.\n" },
	{ "serviceentry.spec.ports[0].number", 0, "(port)" },
	{ "ServiceEntry.spec.resolution", 0, "  One of: NONE STATIC DNS DNS_ROUND_ROBIN DYNAMIC_DNS\n  Default: NONE\n" },
	{ "ServiceEntry.spec.exportTo", 0, "(list of strings)" },
	{ "VirtualService.http.retries", 0, "VirtualService.http.retries (object)\n  Tries again." },
	{ "VirtualService.spec.http.fault.abort.http2Error", 0, "(refused)" },
	{ "DestinationRule.trafficPolicy.loadBalancer.simple", 0, "One of: UNSPECIFIED LEAST_CONN RANDOM" },
	{ "ServiceEntry", 0, "(apiVersion networking.istio.io/v1)" },
	{ "Pod.status.podIPs.ip", 0, "(string)" },
	{ "Pod.metadata.labels", 0, "(map of strings)" },
	{ "WorkloadEntry.metadata.labels.app", 0, "(map of strings)" },
	{ "PeerAuthentication.spec.portLevelMtls.8080.mode", 0, "One of: UNSET DISABLE PERMISSIVE STRICT" },
	{ "MeshConfig", 0, "MeshConfig (mesh.yaml)" },
	{ "MeshConfig.connectTimeout", 0, "From 1 to 3600000 milliseconds" },
	{ "MeshConfig.defaultConfig.concurrency", 0, "(not honoured yet)" },
	{ "AuthorizationPolicy.spec.rules.from.source", 0, "  notPrincipals            list of strings\n" },
	{ "MeshConfig.accessLogFile", 0, "(string, not in ztunnel mode)" },
	{ "RateLimit", 0, "(apiVersion meshd.io/v1alpha1)" },
	{ "HTTPRoute.rules.matches.path", 0, "  type                     word" },
	{ "Foo", -ENOENT, "No kind 'Foo'. There are: WorkloadEntry ServiceEntry" },
	{ "", -ENOENT, "No kind ''" },
	{ "Pod.spce", -ENOENT, "No part 'spce' in Pod" },
	{ "ServiceEntry.status", -ENOENT, "No part 'status'" },
	{ "ServiceEntry.spec.prots", -ENOENT, "No field 'prots' there.\nFields:\n  hosts" },
	{ "ServiceEntry.spec.hosts.x", -ENOENT, "No field 'x' there." },
	{ "ServiceEntry.spec..", -ENOENT, "No field '' there." },
};

START_TEST(test_explain)
{
	struct buf b = { 0 };

	ck_assert_int_eq(explain_field(rows[_i].path, &b), rows[_i].rc);
	buf_append(&b, "", 1);
	ck_assert_msg(strstr((char *)buf_data(&b), rows[_i].part) != NULL, "%s: %s", rows[_i].path, (char *)buf_data(&b));
	buf_done(&b);
}
END_TEST

/* What a row must have to be of use: a name in camelCase, a sentence, words for enums, a table for messages, a reason. */
static void check_table(const struct field_table *t, int depth)
{
	ck_assert_int_lt(depth, 10);
	for (const struct field *f = t->fields; f->name; f++) {
		ck_assert_msg(f->doc && f->doc[strlen(f->doc) - 1] == '.', "%s.%s: no sentence", t->name, f->name);
		ck_assert_msg(!strpbrk(f->name, "_-. "), "%s.%s: name", t->name, f->name);
		ck_assert_msg((f->type == FIELD_ENUM) == (f->words != NULL), "%s.%s: words", t->name, f->name);
		ck_assert_msg((f->type >= FIELD_MESSAGE && f->type <= FIELD_MESSAGE_MAP) == (f->sub != NULL), "%s.%s: table", t->name, f->name);
		ck_assert_msg((f->mark == FIELD_HONOURED || f->mark == FIELD_SIDECAR) == (f->type != FIELD_ANY), "%s.%s: mark", t->name, f->name);
		ck_assert_msg(f->mark != FIELD_REFUSED || f->why, "%s.%s: why", t->name, f->name);
		ck_assert_msg(f->offset < t->size || f->mark != FIELD_HONOURED, "%s.%s: offset", t->name, f->name);
		for (const char *c = f->doc; *c; c++)
			ck_assert_msg(*c > 0, "%s.%s: not ASCII", t->name, f->name);
		for (const struct field *g = f + 1; g->name; g++)
			ck_assert_msg(strcmp(f->name, g->name) != 0, "%s.%s: twice", t->name, f->name);
		if (f->sub)
			check_table(f->sub, depth + 1);
	}
}

START_TEST(test_tables)
{
	check_table(&crd_meta_table, 0);
	for (int i = 0; i < CRD_COUNT; i++) {
		check_table(crds[i].spec, 0);
		ck_assert_ptr_nonnull(crds[i].spec->doc);
		if (crds[i].status)
			check_table(crds[i].status, 0);
	}
}
END_TEST

START_TEST(test_man)
{
	struct buf b = { 0 };
	char *text;

	fields_man(&b);
	text = str_dup(buf_str(&b));
	ck_assert_ptr_eq(strstr(text, ".TH MESHD"), text);
	for (int i = 0; i < CRD_COUNT; i++)
		ck_assert_ptr_nonnull(strstr(text, crds[i].kind));
	ck_assert_ptr_nonnull(strstr(text, "\\fBVirtualService\\fR sidecar and waypoint mode\nHonoured: "));
	ck_assert_ptr_nonnull(strstr(text, "\\fBEnvoyFilter\\fR not supported\nIt is looked at"));
	ck_assert_ptr_nonnull(strstr(text, "\\fBaccessLogFile\\fR string, not in ztunnel mode"));
	ck_assert_ptr_nonnull(strstr(text, "apiVersion: meshd.io/v1alpha1, kind: RateLimit."));
	ck_assert_ptr_nonnull(strstr(text, "\\fBspec.rules[].from[].source.notPrincipals\\fR list of strings"));
	for (char *c = text; *c; c++)
		ck_assert_int_gt(*c, 0);
	buf_done(&b);
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("explain");
	TCase *t = tcase_create("explain");

	tcase_add_loop_test(t, test_explain, 0, ARRAY_LEN(rows));
	tcase_add_test(t, test_tables);
	tcase_add_test(t, test_man);
	suite_add_tcase(s, t);
	return suite_run(s);
}
