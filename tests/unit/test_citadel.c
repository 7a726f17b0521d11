/* SPDX-License-Identifier: Apache-2.0 */
/* The CA's client against a gRPC server by hand, with and without the whole identity room above it. */
#include "fakeca.h"
#include "identity/citadel.h"
#include "identity/identity.h"
#include "proto/citadel.pb-c.h"
#include "tests/unit/h2peer.h"

#define WEB "spiffe://td/ns/default/sa/web"
#define WHO "the CA at http://127.0.0.1"

static struct loop *l;
static struct h2peer peer;
static struct grpc *g;
static struct citadel *c;
static struct fakeca ca;
static struct identity *i;
static bool token_lost;
static int changes, failures;

static int add_token(void *arg, struct grpc_meta *m, struct err *err)
{
	if (token_lost)
		return err_set(err, -ENOENT, "/var/run/secrets/tokens/istio-token cannot be read: No such file or directory");
	ck_assert(grpc_meta_add(m, str_c("authorization"), str_c("Bearer abc")));
	ck_assert(grpc_meta_add(m, str_c("clusterid"), str_c("Kubernetes")));
	return 0;
}

static void on_change(struct identity *id, struct str name, struct tlsctx *old, void *arg)
{
	changes++;
}

static void on_failed(struct identity *id, struct str name, void *arg)
{
	failures++;
}

static void start(bool impersonate)
{
	static const struct identity_ops ops = { on_change, on_failed };
	char target[64];
	struct err err;

	l = loop_new(-1);
	peer_start(&peer);
	fakeca_init(&ca);
	snprintf(target, sizeof(target), "http://127.0.0.1:%u", peer.port);
	ck_assert_int_eq(grpc_new(l, &(struct grpc_conf){ .who = "the CA", .target = str_c(target), .headers = add_token }, &g, &err), 0);
	c = citadel_new(&(struct citadel_conf){ .channel = g, .address = target, .impersonate = impersonate });
	ck_assert_int_eq(identity_new(l, &(struct identity_conf){ .ca = &citadel_ops, .ca_arg = c, .ttl_s = 1234 }, &ops, NULL, &i, &err), 0);
	ck_assert_int_eq(identity_want(i, str_c(WEB), IDENTITY_NOW, &err), 0);
}

static void stop(void)
{
	identity_free(i);
	citadel_free(c);
	grpc_free(g);
	turn(l);
	peer_stop(&peer);
	loop_free(l);
	fakeca_done(&ca);
}

static Ca__CertificateRequest *request(void)
{
	Ca__CertificateRequest *r;

	UNTIL(l, &peer, peer.ended == 1);
	peer.ended = 0;
	ck_assert_uint_gt(buf_len(&peer.data), 5);
	r = ca__certificate_request__unpack(NULL, buf_len(&peer.data) - 5, buf_data(&peer.data) + 5);
	ck_assert_ptr_nonnull(r);
	buf_done(&peer.data);
	return r;
}

static void head(void)
{
	peer_head(&peer, peer.stream, false, ":status", "200", "content-type", "application/grpc", NULL);
}

static void reply_bytes(const uint8_t *p, size_t n)
{
	uint8_t prefix[5] = { 0, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };

	head();
	peer_data(&peer, peer.stream, prefix, 5, false);
	peer_data(&peer, peer.stream, p, n, false);
	peer_head(&peer, peer.stream, true, "grpc-status", "0", NULL);
}

/* As the CA's mode has it. */
static void answer(Ca__CertificateRequest *r)
{
	Ca__CertificateResponse out = CA__CERTIFICATE_RESPONSE__INIT;
	uint8_t bytes[16384];
	char *certs[3];
	struct err err;
	int n = fakeca_sign(&ca, str_c(r->csr), WEB, (long)r->validity_duration, certs, &err);

	ck_assert_msg(n >= 0, "%s", err.msg);
	out.cert_chain = certs;
	out.n_cert_chain = (size_t)n;
	ck_assert_uint_lt(ca__certificate_response__get_packed_size(&out), sizeof(bytes));
	reply_bytes(bytes, ca__certificate_response__pack(&out, bytes));
	while (n > 0)
		free(certs[--n]);
	ca__certificate_request__free_unpacked(r, NULL);
}

static void skip(Ca__CertificateRequest *r)
{
	ca__certificate_request__free_unpacked(r, NULL);
}

static void says(const char *part)
{
	struct err err;

	ck_assert_int_eq(identity_state(i, str_c(WEB), &err), IDENTITY_FAILED);
	ck_assert_msg(strncmp(err.msg, WHO, sizeof(WHO) - 1) == 0, "%s", err.msg);
	ck_assert_msg(strstr(err.msg, part) != NULL, "%s", err.msg);
}

START_TEST(signs)
{
	Ca__CertificateRequest *r;

	start(true);
	r = request();
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), ":path: /istio.v1.auth.IstioCertificateService/CreateCertificate\n"));
	ck_assert_ptr_nonnull(strstr((char *)buf_data(&peer.head), "authorization: Bearer abc\nclusterid: Kubernetes\n"));
	ck_assert_int_eq(r->validity_duration, 1234);
	ck_assert_uint_eq(r->metadata->n_fields, 1);
	ck_assert_str_eq(r->metadata->fields[0]->key, "ImpersonatedIdentity");
	ck_assert_int_eq(r->metadata->fields[0]->value->kind_case, PB__VALUE__KIND_STRING_VALUE);
	ck_assert_str_eq(r->metadata->fields[0]->value->string_value, WEB);
	answer(r);
	UNTIL(l, &peer, changes == 1);
	ck_assert_int_eq(identity_state(i, str_c(WEB), NULL), IDENTITY_READY);
	ck_assert_int_le(identity_not_after(i, str_c(WEB)), time(NULL) + 1234);
	stop();
}
END_TEST

START_TEST(for_itself)
{
	Ca__CertificateRequest *r;

	start(false);
	r = request();
	ck_assert_ptr_null(r->metadata);
	ca.mode = CA_WRONG_ID;      /* a CA goes by the token */
	answer(r);
	UNTIL(l, &peer, failures == 1);
	says("signed for spiffe://td/ns/istio-system/sa/ztunnel");
	stop();
}
END_TEST

static const struct {
	const char *code, *message, *says;
} refusals[] = {
	{ "16", "authentication%20failure", "refused: authentication failure (UNAUTHENTICATED); the token must be for the CA's audience (istio-ca) and bound to "
					    "our Pod, the CA must list our service account in CA_TRUSTED_NODE_ACCOUNTS" },
	{ "7", "no", "refused: no (PERMISSION_DENIED); the token must" },
	{ "3", "ttl", "refused: ttl (INVALID_ARGUMENT); see the CA's log, and compare SECRET_TTL" },
	{ "12", "unknown service", "(UNIMPLEMENTED); is CA_ADDRESS an Istio CA?" },
	{ "14", "overloaded", "refused: overloaded (UNAVAILABLE); check that the CA is reachable" },
};

START_TEST(refused)
{
	start(true);
	skip(request());
	peer_head(&peer, peer.stream, true, ":status", "200", "content-type", "application/grpc", "grpc-status", refusals[_i].code,
		  "grpc-message", refusals[_i].message, NULL);
	UNTIL(l, &peer, failures == 1);
	says(refusals[_i].says);
	stop();
}
END_TEST

START_TEST(garbage)
{
	start(true);
	skip(request());
	reply_bytes((const uint8_t *)"\xff\xff\xff", 3);
	UNTIL(l, &peer, failures == 1);
	says("sent an answer that is no CertificateResponse; is CA_ADDRESS an Istio CA?");
	skip(request());                 /* tried again */
	reply_bytes((const uint8_t *)"", 0);
	turn(l);
	says("answered without a certificate");
	stop();
}
END_TEST

/* istiod retires each connection after half an hour: no failure. */
START_TEST(retired_connection)
{
	start(true);
	skip(request());
	peer_goaway(&peer, 0, NGHTTP2_NO_ERROR);      /* stream 1 was not looked at */
	turn(l);
	peer_hang_up(&peer);
	answer(request());
	UNTIL(l, &peer, changes == 1);
	ck_assert_int_eq(failures, 0);
	ck_assert_int_eq(peer.accepted, 2);
	stop();
}
END_TEST

START_TEST(token_vanishes)
{
	token_lost = true;
	start(true);
	UNTIL(l, &peer, failures == 1);
	says("gave no certificate: /var/run/secrets/tokens/istio-token cannot be read: No such file or directory");
	ck_assert_int_eq(peer.requests, 0);
	token_lost = false;
	answer(request());
	UNTIL(l, &peer, changes == 1);
	stop();
}
END_TEST

START_TEST(forgotten)
{
	start(true);
	skip(request());
	identity_forget(i, str_c(WEB));
	UNTIL(l, &peer, peer.reset == peer.stream);
	ck_assert_int_eq(peer.reset_code, NGHTTP2_CANCEL);
	stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("citadel");
	TCase *tc = tcase_create("citadel");

	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, signs);
	tcase_add_test(tc, for_itself);
	tcase_add_loop_test(tc, refused, 0, ARRAY_LEN(refusals));
	tcase_add_test(tc, garbage);
	tcase_add_test(tc, retired_connection);
	tcase_add_test(tc, token_vanishes);
	tcase_add_test(tc, forgotten);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
