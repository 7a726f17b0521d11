/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/hello.h"

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/limits.h"
#include "tests/unit/suite.h"

/* What OpenSSL's client says first; alpn in wire form, NULL: none. */
static void make(const char *sni, const char *alpn, int version, struct buf *out)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *wire = BIO_new(BIO_s_mem());
	char *p;
	long n;

	SSL_set_max_proto_version(ssl, version);
	if (sni)
		SSL_set_tlsext_host_name(ssl, sni);
	if (alpn)
		ck_assert(SSL_set_alpn_protos(ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn)) == 0);
	SSL_set_bio(ssl, in, wire);
	SSL_set_connect_state(ssl);
	SSL_do_handshake(ssl);
	n = BIO_get_mem_data(wire, &p);
	buf_append(out, p, (size_t)n);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

static const struct { const char *sni, *alpn; enum hello_istio istio; bool h2; } rows[] = {
	{ NULL, NULL, HELLO_ISTIO_NONE, false },
	{ "Shop.Example.Com", NULL, HELLO_ISTIO_NONE, false },
	{ "a.b", "\2h2\10http/1.1", HELLO_ISTIO_NONE, true },
	{ "outbound_.80_._.shop", "\16istio-http/1.1\5istio\10http/1.1", HELLO_ISTIO_HTTP, false },
	{ "outbound_.80_._.shop", "\10istio-h2\5istio\2h2", HELLO_ISTIO_HTTP, true },
	{ NULL, "\23istio-peer-exchange\5istio", HELLO_ISTIO_TCP, false },
	{ NULL, "\23istio-peer-exchange\5istio\2h2", HELLO_ISTIO_TCP, true },
	{ NULL, "\5istio\16istio-http/1.1", HELLO_ISTIO_TCP, false },
	{ NULL, "\6istiox\4isti", HELLO_ISTIO_NONE, false },
};

START_TEST(says_what_is_offered)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct buf wire = { 0 };
		struct hello h;

		make(rows[_i].sni, rows[_i].alpn, version, &wire);
		ck_assert_int_eq(hello_parse(buf_data(&wire), buf_len(&wire), &h), HELLO_OK);
		ck_assert_int_eq(strcasecmp(h.sni, rows[_i].sni ? rows[_i].sni : ""), 0);
		ck_assert_int_eq(h.istio, rows[_i].istio);
		ck_assert_int_eq(h.h2, rows[_i].h2);
		for (size_t n = 0; n < buf_len(&wire); n++)
			ck_assert_int_eq(hello_parse(buf_data(&wire), n, &h), HELLO_MORE);
		buf_done(&wire);
	}
}
END_TEST

/* The same message in records of `part` bytes. */
static void split(const struct buf *wire, size_t part, struct buf *out)
{
	const uint8_t *p = buf_data(wire) + 5;
	size_t n = buf_len(wire) - 5;

	while (n) {
		size_t take = n < part ? n : part;
		uint8_t head[5] = { 22, 3, 1, (uint8_t)(take >> 8), (uint8_t)take };

		buf_append(out, head, sizeof(head));
		buf_append(out, p, take);
		p += take;
		n -= take;
	}
}

START_TEST(spread_over_records)
{
	struct buf wire = { 0 };

	make("a.example", "\5istio", TLS1_3_VERSION, &wire);
	for (size_t part = 1; part < 60; part += 7) {
		struct buf out = { 0 };
		struct hello h;

		split(&wire, part, &out);
		ck_assert_int_eq(hello_parse(buf_data(&out), buf_len(&out), &h), HELLO_OK);
		ck_assert_str_eq(h.sni, "a.example");
		ck_assert_int_eq(h.istio, HELLO_ISTIO_TCP);
		ck_assert_int_eq(hello_parse(buf_data(&out), buf_len(&out) - 1, &h), HELLO_MORE);
		buf_done(&out);
	}
	buf_done(&wire);
}
END_TEST

static const struct { const char *p; size_t n; enum hello_state state; } odd[] = {
	{ "", 0, HELLO_MORE }, { "\x16", 1, HELLO_MORE }, { "G", 1, HELLO_NONE }, { "\x16\x03\x01\x00\x00", 5, HELLO_NONE },
	{ "\x16\x02", 2, HELLO_NONE }, { "\x16\x03\x05", 3, HELLO_NONE }, { "\x16\x03\x01\xff\xff", 5, HELLO_NONE },
	{ "\x16\x03\x01\x00\x10\x02", 6, HELLO_NONE },                           /* a ServerHello */
	{ "\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9, HELLO_NONE },               /* longer than anybody's */
	{ "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, HELLO_NONE },               /* empty */
	{ "\x16\x03\x01\x00\x01\x01\x17", 7, HELLO_MORE },
	{ "\x16\x03\x01\x00\x01\x01\x17\x03\x01\x00\x04\x00\x00\x00\x00", 15, HELLO_NONE },
};

START_TEST(odd_input)
{
	struct hello h;

	ck_assert_int_eq(hello_parse((const uint8_t *)odd[_i].p, odd[_i].n, &h), odd[_i].state);
}
END_TEST

/* No byte that is changed makes it read beyond the end (the sanitizers look on). */
START_TEST(damage)
{
	struct buf wire = { 0 };

	make("a.example", "\5istio\2h2", TLS1_3_VERSION, &wire);
	for (size_t i = 0; i < buf_len(&wire); i++)
		for (int bit = 0; bit < 8; bit++) {
			uint8_t *copy = malloc(buf_len(&wire));
			struct hello h;

			memcpy(copy, buf_data(&wire), buf_len(&wire));
			copy[i] ^= (uint8_t)(1 << bit);
			hello_parse(copy, buf_len(&wire), &h);
			free(copy);
		}
	buf_done(&wire);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hello");
	TCase *t = tcase_create("hello");

	tcase_add_loop_test(t, says_what_is_offered, 0, ARRAY_LEN(rows));
	tcase_add_test(t, spread_over_records);
	tcase_add_loop_test(t, odd_input, 0, ARRAY_LEN(odd));
	tcase_add_test(t, damage);
	suite_add_tcase(s, t);
	return suite_run(s);
}
