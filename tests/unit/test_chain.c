/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/chain.h"

#include "base/log.h"
#include "tests/unit/pod_fixture.h"
#include "tests/unit/suite.h"

static struct podlab p;

/* As istiod makes them: what judges stands before what routes, and what only looks on first (istiod's listener builder). */
static const struct {
	enum mesh_mode mode;
	bool inbound;
	const char *filters;
} orders[] = {
	{ MODE_SIDECAR, true, "telemetry clean metadata-exchange ext_authz jwt authz ratelimit ratelimit route answer" },
	{ MODE_SIDECAR, false, "telemetry clean route metadata-exchange fault cors answer" },
	{ MODE_WAYPOINT, true, "telemetry clean ext_authz jwt authz ratelimit ratelimit route fault cors answer" },
};

static const char *short_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot + 1 : name;
}

START_TEST(order)
{
	struct chain *c;
	char got[512] = "";
	const struct exchange_conf *conf;

	podlab_init(&p, orders[_i].mode, "");
	teleconf_publish(teleconf_compile(mesh_current(), podlab_me(), podlab_report, NULL));
	c = chain_get(&p.pod);
	conf = orders[_i].inbound ? &c->inbound : &c->outbound;
	for (int i = 0; i < conf->n_filters; i++) {
		size_t n = strlen(got);

		snprintf(got + n, sizeof(got) - n, "%s%s", i ? " " : "", short_name(conf->filters[i].ops->name));
		if (i == 0)
			ck_assert_ptr_eq(conf->filters[i].conf, teleconf_side(c->tele, orders[_i].inbound));
	}
	ck_assert_str_eq(got, orders[_i].filters);
	ck_assert_ptr_eq(conf->router, &router);
	chain_unref(c);
	podlab_done(&p);
}
END_TEST

/* Without telemetry's conf, which may come later, requests pass all the same. */
START_TEST(before_telemetry)
{
	struct chain *c;

	podlab_init(&p, MODE_SIDECAR, "");
	c = chain_get(&p.pod);
	ck_assert_str_eq(c->inbound.filters[0].ops->name, "clean");
	chain_unref(c);
	podlab_done(&p);
}
END_TEST

static const char service[] = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\n"
	"spec: {hosts: [a.example], addresses: [10.0.0.1], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 10.1.0.1}]}\n";

/* One for each configuration; who has an older one keeps it. */
START_TEST(renewed)
{
	struct addr to;
	struct chain *first, *second;

	podlab_init(&p, MODE_SIDECAR, "");
	ck_assert_int_eq(addr_parse(str_c("10.0.0.1:80"), &to), 0);
	first = chain_get(&p.pod);
	second = chain_get(&p.pod);
	ck_assert_ptr_eq(first, second);
	chain_unref(second);
	fixture_write(&p.f, "test.yaml", service);
	podlab_load(&p);
	second = chain_get(&p.pod);
	ck_assert_ptr_ne(first, second);
	ck_assert_ptr_null(plan_outbound(first->plan, &to));
	ck_assert_ptr_nonnull(plan_outbound(second->plan, &to));
	chain_unref(first);
	chain_unref(second);
	podlab_done(&p);
}
END_TEST

static const struct {
	const char *meshconfig;
	enum http_path path;
} paths[] = {
	{ "", HTTP_PATH_BASE }, { "pathNormalization: {normalization: NONE}\n", HTTP_PATH_NONE },
	{ "pathNormalization: {normalization: MERGE_SLASHES}\n", HTTP_PATH_MERGE_SLASHES },
	{ "pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}\n", HTTP_PATH_DECODE_AND_MERGE_SLASHES },
};

START_TEST(path_normalization)
{
	struct chain *c;

	podlab_init(&p, MODE_SIDECAR, "");
	if (*paths[_i].meshconfig) {
		fixture_write(&p.f, "mesh.yaml", paths[_i].meshconfig);
		podlab_load(&p);
	}
	c = chain_get(&p.pod);
	ck_assert_int_eq(c->inbound.path, paths[_i].path);
	ck_assert_int_eq(c->outbound.path, paths[_i].path);
	chain_unref(c);
	podlab_done(&p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("chain");
	TCase *t = tcase_create("chain");

	log_set_levels(str_c("off"), NULL);
	tcase_add_loop_test(t, order, 0, (int)ARRAY_LEN(orders));
	tcase_add_test(t, before_telemetry);
	tcase_add_test(t, renewed);
	tcase_add_loop_test(t, path_normalization, 0, (int)ARRAY_LEN(paths));
	suite_add_tcase(s, t);
	return suite_run(s);
}
