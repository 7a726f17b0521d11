/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that carries requests while the configuration changes below it, and its end at any moment. */
#include "modes/hconn.h"

#include "base/log.h"
#include "tests/unit/memstage.h"
#include "tests/unit/pod_fixture.h"
#include "tests/unit/suite.h"

#define OBJECT(KIND, NAME, SPEC) "kind: " KIND "\nmetadata: {name: " NAME ", namespace: shop}\nspec: {" SPEC "}\n---\n"
#define NETWORKING "apiVersion: networking.istio.io/v1\n"
#define SECURITY "apiVersion: security.istio.io/v1\n"
#define SERVICE NETWORKING OBJECT("ServiceEntry", "a", "hosts: [a.example], addresses: [10.0.0.1], ports: [{number: 80, name: http, protocol: HTTP}], " \
	"resolution: STATIC, endpoints: [{address: 10.1.0.1}]")
#define ANSWERS(STATUS) NETWORKING OBJECT("VirtualService", "a", "hosts: [a.example], http: [{directResponse: {status: " STATUS "}}]")
#define GET "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"

static struct podlab p;
static struct memstage client;

static void setup(void)
{
	log_set_levels(str_c("off"), NULL);
}

static void load(const char *yaml)
{
	fixture_write(&p.f, "test.yaml", yaml);
	podlab_load(&p);
}

/* As side hands it on: counted, and open. */
static bool connect_as(struct hconn_from from, const char *peer, const char *local)
{
	ck_assert_int_eq(addr_parse(str_c(peer), &from.peer), 0);
	ck_assert_int_eq(addr_parse(str_c(local), &from.local), 0);
	ck_assert(pod_count(&p.pod));
	memstage_init(&client, p.worker.loop);
	return hconn_start(&p.pod, &client.stage, HTTP_CODEC_AUTO, podlab_me(), &from);
}

static void begin(const char *yaml)
{
	podlab_init(&p, MODE_SIDECAR, yaml);
	ck_assert(connect_as((struct hconn_from){ .place = HCONN_CAPTURED }, "10.2.0.1:4000", "10.0.0.1:80"));
}

/* Nothing is left of it: no place among the pod's connections, and none in its list. */
static void end(void)
{
	memstage_turn(&client);
	ck_assert_int_eq(atomic_load(&p.shared.n_conns), 0);
	ck_assert(list_empty(&p.pod.l7->https));
	ck_assert(client.done);
	buf_done(&client.out);
	podlab_done(&p);
}

static struct hconn *only(void)
{
	ck_assert(!list_empty(&p.pod.l7->https));
	return container_of(p.pod.l7->https.next, struct hconn, link);
}

static int status(void)
{
	int n = 0;

	memstage_turn(&client);
	buf_append(&client.out, "", 1);
	sscanf((char *)buf_data(&client.out), "HTTP/1.1 %d", &n);
	return n;
}

static int ask(void)
{
	int n;

	buf_done(&client.out);
	ck_assert(memstage_feed(&client, GET, strlen(GET), 7));
	n = status();
	return n;
}

static bool said(const char *part)
{
	return strcasestr((char *)buf_data(&client.out), part);
}

/* Each request is the present configuration's, on one connection. */
START_TEST(follows_the_configuration)
{
	begin(SERVICE ANSWERS("418"));
	ck_assert_int_eq(ask(), 418);
	ck_assert(!said("connection: close"));
	load(SERVICE ANSWERS("420"));
	ck_assert_int_eq(ask(), 420);
	ck_assert(!said("connection: close") && !client.done);
	memstage_event(&client, STAGE_EOF, FAIL_NONE);
	end();
}
END_TEST

/* Nothing says any more what is spoken there: the request that came is answered, then the client is to come again. */
START_TEST(the_port_is_gone)
{
	begin(SERVICE ANSWERS("418"));
	ck_assert_int_eq(ask(), 418);
	load("");
	ck_assert_int_eq(ask(), 418);
	ck_assert(said("connection: close") && client.done);
	end();
}
END_TEST

/* A request waits for its fault's delay: whoever goes meanwhile, or whatever ends it. */
START_TEST(ends_while_it_waits)
{
	begin(SERVICE NETWORKING OBJECT("VirtualService", "a", "hosts: [a.example], http: [{fault: {delay: {fixedDelay: 3600s, percentage: {value: 100}}}, "
						       "directResponse: {status: 418}}]"));
	ck_assert_int_eq(ask(), 0);
	ck_assert_uint_eq(only()->exchanges, 1);
	load("");                                        /* what it waits in goes */
	if (_i == 0)
		hconn_close(only(), FAIL_DRAIN);
	else if (_i == 1)
		memstage_event(&client, STAGE_CLOSED, FAIL_CLIENT_RESET);
	else
		l7_hand_over(&p.pod);
	if (_i == 2) {
		memstage_turn(&client);
		ck_assert_uint_eq(only()->exchanges, 1);     /* draining lets it be */
		memstage_event(&client, STAGE_CLOSED, FAIL_CLIENT_RESET);
	}
	end();
}
END_TEST

/* A peer that came in the clear, once that is not allowed any more. */
START_TEST(strict_from_now_on)
{
	podlab_init(&p, MODE_SIDECAR, "");
	ck_assert(connect_as((struct hconn_from){ .place = HCONN_CAPTURED, .inbound = true }, "10.9.0.1:4000", "10.2.0.1:8080"));
	l7_rejudge(&p.pod);
	memstage_turn(&client);
	ck_assert(!client.done);
	load(SECURITY OBJECT("PeerAuthentication", "default", "mtls: {mode: STRICT}"));
	l7_rejudge(&p.pod);
	end();
}
END_TEST

/* An own listener ends with the Sidecar that asked for it; what a client says then is nobody's. */
START_TEST(a_bound_listener_is_gone)
{
	static const char sidecar[] = SERVICE ANSWERS("418") NETWORKING
		OBJECT("Sidecar", "default", "workloadSelector: {labels: {app: me}}, egress: [{port: {number: 80, protocol: HTTP, name: http}, bind: 127.0.0.7, "
		       "captureMode: NONE, hosts: ['./*']}]");
	struct addr at;

	podlab_init(&p, MODE_SIDECAR, sidecar);
	ck_assert_int_eq(addr_parse(str_c("127.0.0.7:80"), &at), 0);
	ck_assert(connect_as((struct hconn_from){ .place = HCONN_BOUND, .at = &at }, "127.0.0.1:4000", "127.0.0.7:80"));
	ck_assert_int_eq(ask(), 418);
	load(SERVICE ANSWERS("420"));
	ck_assert_int_eq(ask(), 418);
	ck_assert(said("connection: close") && client.done);
	end();
}
END_TEST

/* A first message that is none is refused and told of, and takes nothing along. */
START_TEST(nonsense)
{
	begin(SERVICE ANSWERS("418"));
	ck_assert(memstage_feed(&client, "\x16\x03\x01 nonsense\r\n\r\n", 15, 15));
	ck_assert_int_eq(status(), 400);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hconn");
	TCase *t = tcase_create("hconn");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, follows_the_configuration);
	tcase_add_test(t, the_port_is_gone);
	tcase_add_loop_test(t, ends_while_it_waits, 0, 3);
	tcase_add_test(t, strict_from_now_on);
	tcase_add_test(t, a_bound_listener_is_gone);
	tcase_add_test(t, nonsense);
	suite_add_tcase(s, t);
	return suite_run(s);
}
