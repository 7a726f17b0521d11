/* SPDX-License-Identifier: Apache-2.0 */
#include "http/clean.h"

#include "tests/unit/exchange_fixture.h"
#include "tests/unit/suite.h"

#define XFCC "x-forwarded-client-cert"
#define OWN "By=spiffe://cluster.local/ns/default/sa/reviews;Hash=abc;Subject=\"CN=x\";URI=spiffe://cluster.local/ns/default/sa/productpage"
#define WP "spiffe://cluster.local/ns/default/sa/productpage"
#define CALLER "spiffe://cluster.local/ns/default/sa/caller"

static struct exchange x;
static struct exchange_client client;
static struct proxy_headers headers;
static enum mesh_mode mode;

static void setup(void)
{
	exchange_fixture(&x, &client);
	client.hearsay = true;
	headers = (struct proxy_headers){ .xfcc = TELE_XFCC_UNDEFINED };
	mode = MODE_SIDECAR;
}

static void teardown(void)
{
	arena_done(&x.arena);
}

static void request(bool inbound)
{
	struct clean c;

	client.inbound = inbound;
	clean_init(&c, &headers, mode, inbound);
	ck_assert_int_eq(clean_filter.on_request(&x, NULL, &c), FILTER_NEXT);
}

static void sent(const char *name, const char *value)
{
	struct str s = fields_get(&x.request_fields, name);

	ck_assert_msg(value ? str_is(s, value) : !s.p, "%s: '%.*s', not '%s'", name, STR_FMT(s), value ? value : "absent");
}

START_TEST(inbound)
{
	field(&x.request_fields, XFCC, "By=a;Hash=b");
	field(&x.request_fields, XFCC, "By=c");
	field(&x.request_fields, "x-envoy-upstream-rq-timeout-ms", "1");
	field(&x.request_fields, "x-envoy-attempt-count", "2");
	field(&x.request_fields, "x-forwarded-for", "1.2.3.4");
	request(true);
	sent(XFCC, "By=a;Hash=b,By=c," OWN);
	sent("x-forwarded-proto", "https");
	ck_assert(str_is(x.request.scheme, "https"));
	sent("x-envoy-upstream-rq-timeout-ms", NULL);
	sent("x-envoy-attempt-count", "2");
	sent("x-forwarded-for", "1.2.3.4");
	sent("x-forwarded-port", NULL);
	ck_assert(!x.caller_id.n);
}
END_TEST

/* No certificate: all that came is the client's own word. */
START_TEST(plaintext)
{
	client.mtls = false;
	client.xfcc = (struct str){ 0 };
	for (int i = 0; i < 2; i++) {
		field(&x.request_fields, XFCC, "By=forged");
		request(i);
		sent(XFCC, NULL);
		sent("x-forwarded-proto", "http");
	}
}
END_TEST

/* In a tunnel the head is the application's: it had no proxy between. */
START_TEST(hearsay)
{
	const enum tele_xfcc all[] = { TELE_XFCC_UNDEFINED, TELE_XFCC_APPEND_FORWARD, TELE_XFCC_SANITIZE_SET, TELE_XFCC_FORWARD_ONLY };

	client.hearsay = false;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		headers.xfcc = all[i];
		field(&x.request_fields, XFCC, "By=" WP ";URI=" CALLER);
		request(true);
		sent(XFCC, all[i] == TELE_XFCC_FORWARD_ONLY ? NULL : OWN);
		ck_assert(!x.caller_id.n);
		fields_remove(&x.request_fields, str_c(XFCC));
	}
}
END_TEST

/* The own waypoint is believed: of what its CONNECT said, else of its own element. */
START_TEST(vouched)
{
	client.vouched = true;
	field(&x.request_fields, XFCC, "By=" WP ";URI=" CALLER);
	request(true);
	ck_assert(str_is(x.caller_id, CALLER));
	sent(XFCC, "By=" WP ";URI=" CALLER "," OWN);
	client.caller_id = str_c("spiffe://said");
	request(true);
	ck_assert(str_is(x.caller_id, "spiffe://said"));
	client.caller_id = (struct str){ 0 };
	fields_set(&x.request_fields, XFCC, str_c("By=spiffe://another;URI=" CALLER));
	request(true);
	ck_assert(!x.caller_id.n);
	/* nobody else is */
	client.vouched = false;
	fields_set(&x.request_fields, XFCC, str_c("By=" WP ";URI=" CALLER));
	request(true);
	ck_assert(!x.caller_id.n);
}
END_TEST

START_TEST(past_the_waypoint)
{
	client.bypasses = true;
	client.hearsay = false;
	field(&x.request_fields, XFCC, "By=a");
	field(&x.request_fields, "X-Forwarded-For", "1.2.3.4");
	field(&x.request_fields, "forwarded", "for=1.2.3.4");
	request(true);
	sent(XFCC, OWN);
	sent("x-forwarded-for", NULL);
	sent("forwarded", NULL);
}
END_TEST

START_TEST(settings)
{
	headers.xfcc = TELE_XFCC_SANITIZE_SET;
	headers.forwarded_port_enabled = OPT_YES;
	field(&x.request_fields, XFCC, "By=a");
	request(true);
	sent(XFCC, OWN);
	sent("x-forwarded-port", "9080");
	headers.details.subject = headers.details.dns = OPT_NO;
	request(true);
	sent(XFCC, "By=spiffe://cluster.local/ns/default/sa/reviews;Hash=abc;URI=spiffe://cluster.local/ns/default/sa/productpage");
	headers.xfcc = TELE_XFCC_ALWAYS_FORWARD_ONLY;
	fields_set(&x.request_fields, XFCC, str_c("By=a"));
	request(true);
	sent(XFCC, "By=a");
	headers.xfcc = TELE_XFCC_SANITIZE;
	request(true);
	sent(XFCC, NULL);
	mode = MODE_WAYPOINT;
	fields_remove(&x.request_fields, str_c("x-forwarded-proto"));
	fields_set(&x.request_fields, XFCC, str_c("By=a"));
	headers.xfcc = TELE_XFCC_APPEND_FORWARD;
	headers.details.subject = OPT_UNSET;
	request(true);
	sent(XFCC, OWN);
	sent("x-forwarded-proto", "http");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("clean");
	TCase *t = tcase_create("clean");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, inbound);
	tcase_add_test(t, plaintext);
	tcase_add_test(t, hearsay);
	tcase_add_test(t, vouched);
	tcase_add_test(t, past_the_waypoint);
	tcase_add_test(t, settings);
	suite_add_tcase(s, t);
	return suite_run(s);
}
