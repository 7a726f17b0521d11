/* SPDX-License-Identifier: Apache-2.0 */
#include "confdir_fixture.h"
#include "source/routeask.h"
#include "suite.h"

static const char yaml[] =
	"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: cart, namespace: shop}\nspec: {hosts: [cart.shop.svc.cluster.local], addresses: [10.0.0.1], "
	"location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}, {number: 9, name: tcp, protocol: TCP}], endpoints: [{address: 10.1.0.1}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: shop}\nspec: {hosts: [cart], http: [{name: a, match: [{uri: {prefix: /a}, headers: {x: {exact: '1'}}}], "
	"rewrite: {uri: /b}, timeout: 3s, route: [{destination: {host: cart}, weight: 1}, {destination: {host: gone}, weight: 3}]}, {match: [{uri: {exact: /r}}], redirect: {uri: /s}}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: me, namespace: shop}\nspec: {address: 10.2.0.1}\n";

START_TEST(tells_the_way)
{
	static char braces[20000] = "/";
	static const char *const x1[] = { "x: 1" }, *const other[] = { "Host: other.test" };
	static const struct { const char *to, *path; const char *const *headers; const char *want; } rows[] = {
		{ "cart:80", "/%61/b", x1, "route      a: path begins with /a, 1 conditions" }, { "cart:80", "/a", x1, "outbound|80||cart.shop.svc.cluster.local, 1 of 4\n" },
		{ "cart:80", "/a", x1, "gone.shop.svc.cluster.local, 3 of 4: does not exist, 503\n" }, { "cart:80", "/a/c?d", x1, "upstream   GET http://cart/b/c?d\n" },
		{ "cart.shop.svc.cluster.local:80", "/a", NULL, "route      none: 404\n" }, { "10.0.0.1:80", "/r", NULL, "redirect   301\n" },
		{ "cart:80", "/", other, "route      allow_any: path begins with /\nto         PassthroughCluster\n" }, { "cart:9", "/", NULL, "bytes      outbound|9||cart.shop.svc.cluster.local\n" },
		{ "cart:80", braces, x1, "none: 404" },      /* three times as long when it is normal */
		{ "1.2.3.4:99", "/", NULL, "unknown    no service is there: PassthroughCluster\n" },
	};
	struct fixture f;

	memset(braces + 1, '{', sizeof(braces) - 2);
	fixture_init(&f);
	fixture_write(&f, "mesh.d.yaml", yaml);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct routeask ask = { "shop/me", rows[i].to, "GET", rows[i].path, rows[i].headers, rows[i].headers != NULL };
		struct buf out = { 0 };
		struct err err;
		char *text;

		ck_assert_int_eq(routeask_run(f.dir, &ask, &f.settings, &out, &err), 0);
		text = str_dup(buf_str(&out));
		ck_assert_msg(strstr(text, rows[i].want) != NULL, "%zu: want %s in\n%s", i, rows[i].want, text);
		free(text);
		buf_done(&out);
	}
	fixture_done(&f);
}
END_TEST

START_TEST(says_what_is_missing)
{
	static const struct { const char *from, *to, *path, *want; } rows[] = {
		{ "shop/you", "cart:80", "/", "no WorkloadEntry" }, { "shop/me", "cart", "/", "--to" }, { "shop/me", "cart:0", "/", "--to" }, { "shop/me", "cart:80", "/%00", "--path" }, { "", "cart:80", "/", "no WorkloadEntry" },
	};
	struct fixture f;

	fixture_init(&f);
	fixture_write(&f, "mesh.d.yaml", yaml);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct routeask ask = { rows[i].from, rows[i].to, "GET", rows[i].path, NULL, 0 };
		struct buf out = { 0 };
		struct err err;

		ck_assert_int_lt(routeask_run(f.dir, &ask, &f.settings, &out, &err), 0);
		ck_assert_msg(strstr(err.msg, rows[i].want) != NULL, "%s", err.msg);
		buf_done(&out);
	}
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("routeask");
	TCase *t = tcase_create("routeask");

	tcase_add_test(t, tells_the_way);
	tcase_add_test(t, says_what_is_missing);
	suite_add_tcase(s, t);
	return suite_run(s);
}
