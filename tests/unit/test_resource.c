/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/epoch.h"
#include "model/meshconfig.h"
#include "tests/unit/suite.h"

static struct resource *rule(const char *origin, const char *ns, const char *name, int64_t created)
{
	return resource_new(RESOURCE_DESTINATION_RULE, sizeof(struct destination_rule), origin, ns, name, "x.yaml:1", created);
}

static void names_are(const char *ns, const char *want)
{
	struct buf text = { 0 };
	int n;
	struct resource **v = mesh_resources(mesh_current(), RESOURCE_DESTINATION_RULE, str_c(ns), &n);

	for (int i = 0; i < n; i++)
		buf_printf(&text, "%s ", v[i]->key);
	ck_assert_msg(str_is(buf_str(&text), want), "%.*s", STR_FMT(buf_str(&text)));
	buf_done(&text);
	free(v);
}

START_TEST(kept_by_age)
{
	struct mesh_edit *e = mesh_edit_begin();
	uint64_t before;

	mesh_put_resource(e, rule("DestinationRule", "n", "b", INT64_MAX));
	mesh_put_resource(e, rule("DestinationRule", "n", "c", 5));
	mesh_put_resource(e, rule("BackendTLSPolicy", "m", "b", INT64_MAX));
	mesh_put_resource(e, rule("DestinationRule", "m", "b", INT64_MAX));
	mesh_edit_publish(e);
	names_are("", "DestinationRule/n/c BackendTLSPolicy/m/b DestinationRule/m/b DestinationRule/n/b ");
	names_are("n", "DestinationRule/n/c DestinationRule/n/b ");
	names_are("x", "");
	before = mesh_traffic_generation(mesh_current());
	ck_assert_ptr_null(mesh_resource(mesh_current(), RESOURCE_SIDECAR, str_c("DestinationRule/n/c")));

	/* the same key takes the place; what others hold stays theirs */
	struct resource *held = resource_ref(mesh_resource(mesh_current(), RESOURCE_DESTINATION_RULE, str_c("DestinationRule/n/c")));

	e = mesh_edit_begin();
	mesh_put_resource(e, rule("DestinationRule", "n", "c", INT64_MAX));
	mesh_del_resource(e, RESOURCE_DESTINATION_RULE, str_c("DestinationRule/m/b"));
	mesh_del_resource(e, RESOURCE_DESTINATION_RULE, str_c("DestinationRule/m/none"));
	mesh_edit_publish(e);
	names_are("", "BackendTLSPolicy/m/b DestinationRule/n/b DestinationRule/n/c ");
	ck_assert_uint_gt(mesh_traffic_generation(mesh_current()), before);
	ck_assert_int_eq(held->created, 5);
	resource_unref(held);
	resource_unref(NULL);
}
END_TEST

static struct service *service(uint16_t port, const char *workload)
{
	struct service_port p = { .port = port, .name = "http", .protocol = "HTTP", .app = PROTOCOL_HTTP };
	struct service *s = service_new(&(struct service){ .key = "n/h", .ns = "n", .hostname = "h", .ports = &p, .n_ports = 1,
							   .export_to = (const char *const[]){ "." }, .n_export_to = 1 });
	struct workload *w = workload_new(&(struct workload){ .uid = workload });

	endpoints_put(&s->endpoints, w, NULL, 0);
	workload_unref(w);
	return s;
}

static uint64_t put(struct service *s)
{
	struct mesh_edit *e = mesh_edit_begin();

	mesh_put_service(e, s);
	mesh_edit_publish(e);
	return mesh_traffic_generation(mesh_current());
}

/* Plans are made again when a service's shape changed, not when its endpoints move. */
START_TEST(endpoints_are_no_shape)
{
	uint64_t first = put(service(80, "a"));

	ck_assert_uint_eq(put(service(80, "b")), first);
	ck_assert_str_eq(mesh_service(mesh_current(), str_c("n/h"))->export_to[0], ".");
	ck_assert_uint_gt(put(service(81, "b")), first);
}
END_TEST

START_TEST(exports)
{
	static const struct { const char *to[2]; int n; const char *client; bool reaches; } rows[] = {
		{ { 0 }, 0, "m", true }, { { "*" }, 1, "m", true }, { { "." }, 1, "m", false }, { { "." }, 1, "n", true },
		{ { "~" }, 1, "n", false }, { { ".", "m" }, 2, "m", true }, { { "x" }, 1, "m", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_int_eq(export_reaches(rows[i].to, rows[i].n, "n", rows[i].client), rows[i].reaches);
}
END_TEST

START_TEST(mesh_config_is_never_null)
{
	ck_assert_int_eq(mesh_config(mesh_current())->outbound, SCOPE_ALLOW_ANY);
	ck_assert(mesh_config(mesh_current())->auto_mtls);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resource");
	TCase *tc = tcase_create("resource");

	tcase_add_test(tc, kept_by_age);
	tcase_add_test(tc, endpoints_are_no_shape);
	tcase_add_test(tc, exports);
	tcase_add_test(tc, mesh_config_is_never_null);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
