/* SPDX-License-Identifier: Apache-2.0 */
#include "hbone/baggage.h"
#include "tests/unit/suite.h"

START_TEST(round_trip)
{
	static const char text[] = "k8s.cluster.name=c1,k8s.namespace.name=shop,k8s.deployment.name=cart,"
				   "service.name=cart,service.version=v1,cloud.region=eu,cloud.availability_zone=eu-1";
	struct baggage b = { 0 };
	struct buf out = { 0 };

	baggage_parse(str_c(text), &b);
	ck_assert(str_is(b.ns, "shop") && str_is(b.workload_type, "deployment") && str_is(b.workload_name, "cart"));
	baggage_format(&b, &out);
	ck_assert(str_is(buf_str(&out), text));
	buf_done(&out);
}
END_TEST

static const struct { const char *in; bool known; } odd[] = {
	{ "", false }, { ",,,", false }, { "=", false }, { "k8s.namespace.name", false }, { "k8s.namespace.name=", false },
	{ "k8s.namespace.name=a=b", true }, { "x=y,k8s.namespace.name=n", true }, { "k8s.namespace.name=\xff", false },
	{ "k8s.name=x", false }, { "k8s..name=x", false }, { "k8s.namespace.name=n\r\nx: y", false },
};

START_TEST(odd_input)
{
	struct baggage b = { 0 };

	baggage_parse(str_c(odd[_i].in), &b);
	ck_assert(odd[_i].known == (b.ns.n > 0));
}
END_TEST

static const struct { const char *in; int port; const char *host; } authorities[] = {
	{ "1.2.3.4:80", 80, "" }, { "[fd00::1]:8080", 8080, "" }, { "a.b.svc:443", 443, "a.b.svc" }, { "a.b", -1, NULL },
	{ "", -1, NULL }, { ":80", -1, NULL }, { "a:0", -1, NULL }, { "1.2.3.4:0", -1, NULL }, { "a:65536", -1, NULL },
	{ "a b:80", -1, NULL }, { "user@host:80", -1, NULL }, { "a:80:90", -1, NULL }, { "[::1]", -1, NULL }, { "a/b:80", -1, NULL },
};

START_TEST(authority)
{
	struct addr a = { 0 };
	struct str host = { 0 };
	int r = authority_parse(str_c(authorities[_i].in), &a, &host);

	ck_assert_int_eq(r == 0 ? a.port : -1, authorities[_i].port);
	if (r == 0)
		ck_assert(str_is(host, authorities[_i].host));
}
END_TEST

static const struct { const char *in, *host; } forwarded[] = {
	{ "for=\"1.2.3.4:5\";host=cart.shop", "cart.shop" }, { "for=\"x\"; host=\"a.b\"", "a.b" }, { "for=x", "" },
	{ "HOST=a", "a" }, { "host=", "" }, { ";;;", "" }, { "host=\"", "\"" }, { "", "" }, { "host=\xc3\xa9", "" },
};

START_TEST(forwarded_names_host)
{
	ck_assert(str_is(forwarded_host(str_c(forwarded[_i].in)), forwarded[_i].host));
}
END_TEST

static const struct { const char *in, *addr; } forwarded_of[] = {
	{ "for=\"1.2.3.4:5\";host=cart.shop", "1.2.3.4:5" }, { "host=a; For=\"[fd00::1]:80\"", "[fd00::1]:80" }, { "for=1.2.3.4:5", "1.2.3.4:5" },
	{ "for=\"1.2.3.4\"", NULL }, { "for=_hidden", NULL }, { "for=unknown", NULL }, { "for=\"1.2.3.4:0\"", NULL }, { "for=\"0.0.0.0:5\"", NULL }, { "for=\"127.0.0.1:5\"", NULL }, { "for=\"[::1]:5\"", NULL },
	{ "for=x;for=\"1.2.3.4:5\"", NULL }, { "for=\"1.2.3.4:5\", for=\"9.9.9.9:9\"", NULL }, { "for=\"1.2.3.4:5\"\n", NULL }, { "", NULL },
};

START_TEST(forwarded_names_client)
{
	struct addr a = forwarded_for(str_c(forwarded_of[_i].in));
	char text[ADDR_TEXT];

	if (forwarded_of[_i].addr)
		ck_assert_str_eq(addr_format(&a, text), forwarded_of[_i].addr);
	else
		ck_assert_int_eq(a.port, 0);
}
END_TEST

START_TEST(traceparent)
{
	char a[56], b[56];

	traceparent_make(a);
	traceparent_make(b);
	ck_assert(traceparent_valid(str_c(a)) && traceparent_valid(str_c(b)));
	ck_assert_str_ne(a, b);
	a[2] = 'x';
	ck_assert(!traceparent_valid(str_c(a)) && !traceparent_valid(str_c("00-")) && !traceparent_valid(str_c("")));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("baggage");
	TCase *t = tcase_create("baggage");

	tcase_add_test(t, round_trip);
	tcase_add_loop_test(t, odd_input, 0, ARRAY_LEN(odd));
	tcase_add_loop_test(t, authority, 0, ARRAY_LEN(authorities));
	tcase_add_loop_test(t, forwarded_names_host, 0, ARRAY_LEN(forwarded));
	tcase_add_loop_test(t, forwarded_names_client, 0, ARRAY_LEN(forwarded_of));
	tcase_add_test(t, traceparent);
	suite_add_tcase(s, t);
	return suite_run(s);
}
