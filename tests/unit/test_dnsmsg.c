/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "dns/dnsmsg.h"

#include "dnsbytes.h"
#include "suite.h"

static struct dnsbytes q;
static struct dnsmsg m;
static uint8_t out[DNSMSG_MAX];

START_TEST(questions)
{
	static const struct { const char *name, *want; bool plain; } rows[] = {
		{ "cart.shop.svc.cluster.local", "cart.shop.svc.cluster.local", true },
		{ "CaRt.Shop", "cart.shop", true }, { "", "", true }, { "_http._tcp.cart", "_http._tcp.cart", true },
		{ "*.example.com", "*.example.com", true }, { "a.*.com", "a.?.com", false }, { "a b.com", "a?b.com", false },
		{ "\303\244.com", "??.com", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		dnsbytes_question(&q, 77, rows[i].name, DNS_AAAA);
		ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), DNSMSG_QUESTION);
		ck_assert_int_eq(m.plain, rows[i].plain);
		if (m.plain)
			ck_assert_str_eq(m.name, rows[i].want);
		ck_assert_int_eq(m.type, DNS_AAAA);
		ck_assert_int_eq(m.class, DNS_IN);
		ck_assert_int_eq(m.id, 77);
		ck_assert_uint_eq(m.question_end, q.n);
		ck_assert_int_eq(dnsmsg_parse_edns(q.p, q.n, &m), 0);
		ck_assert(!m.edns);
	}
}
END_TEST

START_TEST(cut_anywhere)
{
	dnsbytes_question(&q, 1, "cart.shop", DNS_A);
	for (size_t n = 0; n < q.n; n++) {
		uint8_t *exact = malloc(n ? n : 1);       /* for the sanitizer */

		memcpy(exact, q.p, n);
		ck_assert_int_eq(dnsmsg_parse(exact, n, &m), n < DNSMSG_HEAD ? DNSMSG_NONE : DNSMSG_MALFORMED);
		free(exact);
	}
	dnsbytes_edns(&q, 4096, 0);
	ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), DNSMSG_QUESTION);
	for (size_t n = m.question_end; n < q.n; n++) {
		uint8_t *exact = malloc(n);
		struct dnsmsg copy = m;

		memcpy(exact, q.p, n);
		ck_assert_int_eq(dnsmsg_parse_edns(exact, n, &copy), -EBADMSG);
		free(exact);
	}
}
END_TEST

static void raw(unsigned opcode, unsigned questions, const void *tail, size_t n)
{
	q.n = 0;
	dnsbytes_16(&q, 9);
	dnsbytes_16(&q, opcode << 11);
	dnsbytes_16(&q, questions);
	dnsbytes_16(&q, 0);
	dnsbytes_16(&q, 0);
	dnsbytes_16(&q, 0);
	memcpy(q.p + q.n, tail, n);
	q.n += n;
}

START_TEST(bad_ones)
{
	static const uint8_t loop[] = { 0xc0, 12, 0, 1, 0, 1 }, self[] = { 1, 'a', 0xc0, 12, 0, 1, 0, 1 };
	static const uint8_t reserved[] = { 0x40, 0, 0, 1, 0, 1 }, two[] = { 1, 'a', 0, 0, 1, 0, 1, 1, 'b', 0, 0, 1, 0, 1 };
	uint8_t longest[300];

	raw(0, 1, loop, sizeof(loop));
	ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), DNSMSG_MALFORMED);
	raw(0, 1, self, sizeof(self));
	ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), DNSMSG_MALFORMED);
	raw(0, 1, reserved, sizeof(reserved));
	ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), DNSMSG_MALFORMED);
	raw(0, 2, two, sizeof(two));
	ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), DNSMSG_MALFORMED);
	raw(0, 0, "", 0);
	ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), DNSMSG_MALFORMED);
	for (unsigned op = 1; op < 16; op++) {
		raw(op, 1, two, 7);
		ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), op == 4 || op == 5 ? DNSMSG_OPAQUE : DNSMSG_UNKNOWN);
	}
	raw(16, 1, two, 7);              /* an answer */
	ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), DNSMSG_NONE);
	/* 255 bytes is the longest name: three labels of 63, one of 61 */
	for (unsigned last = 60; last <= 63; last++) {
		size_t n = 0;

		memset(longest, 'x', sizeof(longest));
		for (int i = 0; i < 4; i++) {
			longest[n] = (uint8_t)(i < 3 ? 63 : last);
			n += 1u + longest[n];
		}
		memcpy(longest + n, "\0\0\1\0\1", 5);
		raw(0, 1, longest, n + 5);
		ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), last <= 61 ? DNSMSG_QUESTION : DNSMSG_MALFORMED);
	}
}
END_TEST

START_TEST(edns)
{
	dnsbytes_question(&q, 1, "a.test", DNS_A);
	dnsbytes_edns(&q, 1400, 1);
	ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), DNSMSG_QUESTION);
	ck_assert_int_eq(dnsmsg_parse_edns(q.p, q.n, &m), 0);
	ck_assert(m.edns && m.dnssec_ok);
	ck_assert_int_eq(m.edns_size, 1400);
	ck_assert_int_eq(m.edns_version, 1);
	dnsbytes_edns(&q, 1400, 0);      /* a second one */
	ck_assert_int_eq(dnsmsg_parse(q.p, q.n, &m), DNSMSG_QUESTION);
	ck_assert_int_eq(dnsmsg_parse_edns(q.p, q.n, &m), -EBADMSG);
}
END_TEST

START_TEST(replies_that_fit)
{
	struct dnsbytes r;

	dnsbytes_question(&q, 5, "Ab.test", DNS_A);
	r = q;
	ck_assert(!dnsmsg_answers(r.p, r.n, q.p, q.n));      /* is a question */
	r.p[2] |= 0x80;
	ck_assert(dnsmsg_answers(r.p, r.n, q.p, q.n));
	r.p[13] ^= 0x20;                                      /* case */
	ck_assert(dnsmsg_answers(r.p, r.n, q.p, q.n));
	r.p[13] = 'x';
	ck_assert(!dnsmsg_answers(r.p, r.n, q.p, q.n));
	r.p[13] = 'a';
	r.p[q.n - 3] ^= 0x20;                                 /* type */
	ck_assert(!dnsmsg_answers(r.p, r.n, q.p, q.n));
	r.p[q.n - 3] ^= 0x20;
	r.p[1]++;
	ck_assert(!dnsmsg_answers(r.p, r.n, q.p, q.n));
	r.p[1]--;
	r.p[2] |= 0x20;                                       /* another operation */
	ck_assert(!dnsmsg_answers(r.p, r.n, q.p, q.n));
	r.p[2] &= (uint8_t)~0x20;
	for (size_t n = 0; n < q.n; n++)
		ck_assert(!dnsmsg_answers(r.p, n, q.p, q.n));
	r.p[5] = 0;
	r.p[3] = DNS_FORMERR;
	ck_assert(dnsmsg_answers(r.p, DNSMSG_HEAD, q.p, q.n));
	ck_assert(!dnsmsg_answers(r.p, DNSMSG_HEAD - 1, q.p, q.n));
}
END_TEST

static void expect(const uint8_t *got, size_t got_n, const void *want, size_t want_n)
{
	ck_assert_uint_eq(got_n, want_n);
	ck_assert_int_eq(memcmp(got, want, want_n), 0);
}

START_TEST(written)
{
	static const uint8_t want[] = "\0\5\x85\x80\0\1\0\3\0\0\0\0" "\4Cart\2ns\0\0\1\0\1"
		"\xc0\x0c\0\5\0\1\0\0\0\x1e\0\6\4Cart\0" "\xc0\x25\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\1" "\xc0\x25\0\x1c\0\1\0\0\0\x1e\0\x10"
		"\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1";
	struct dnswriter w;
	struct ip ip;
	uint16_t owner;

	dnsbytes_question(&q, 5, "Cart.ns", DNS_A);
	dnsmsg_parse(q.p, q.n, &m);
	dnswriter_init(&w, out, sizeof(out), q.p, q.n, &m, DNS_NOERROR, true);
	owner = dnswriter_cname(&w, &m, 30, 1);
	ip_parse(str_c("10.0.0.1"), &ip);
	dnswriter_address(&w, owner, 30, &ip);
	ip_parse(str_c("fd00::1"), &ip);
	dnswriter_address(&w, owner, 30, &ip);
	expect(out, dnswriter_done(&w, &m, DNSMSG_UDP), want, sizeof(want) - 1);
}
END_TEST

START_TEST(negative)
{
	static const uint8_t want[] = "\0\5\x85\x80\0\1\0\0\0\1\0\1" "\1a\2b1\2cc\0\0\x1c\0\1"
		"\xc0\x0e\0\6\0\1\0\0\0\x1e\0\x26" "\2ns\xc0\x0e\12hostmaster\xc0\x0e"
		"\0\0\0\1\0\0\x1c\x20\0\0\7\x08\0\1\x51\x80\0\0\0\x1e" "\0\0\x29\4\xd0\0\0\x80\0\0\0";
	struct dnswriter w;

	dnsbytes_question(&q, 5, "a.b1.cc", DNS_AAAA);
	dnsbytes_edns(&q, 4096, 0);
	dnsmsg_parse(q.p, q.n, &m);
	ck_assert_int_eq(dnsmsg_parse_edns(q.p, q.n, &m), 0);
	dnswriter_init(&w, out, sizeof(out), q.p, q.n, &m, DNS_NOERROR, true);
	dnswriter_soa(&w, &m, 30, 2);
	expect(out, dnswriter_done(&w, &m, DNSMSG_UDP), want, sizeof(want) - 1);
}
END_TEST

START_TEST(too_large)
{
	struct dnswriter w;
	struct ip ip;
	size_t n;

	ip_parse(str_c("10.0.0.1"), &ip);
	dnsbytes_question(&q, 5, "a.test", DNS_A);
	dnsbytes_edns(&q, 1400, 0);
	dnsmsg_parse(q.p, q.n, &m);
	dnsmsg_parse_edns(q.p, q.n, &m);
	for (int many = 50; many < 6000; many += 1000) {
		dnswriter_init(&w, out, sizeof(out), q.p, q.n, &m, DNS_NOERROR, true);
		for (int i = 0; i < many; i++)
			dnswriter_address(&w, DNSMSG_HEAD, 30, &ip);
		ck_assert_int_eq(w.full, many > 4093);
		n = dnswriter_done(&w, &m, many == 50 ? 1400 : many == 1050 ? 512 : DNSMSG_MAX);
		ck_assert_uint_le(n, DNSMSG_MAX);
		ck_assert_int_eq((out[2] & 2) != 0, many == 1050);
		ck_assert_int_eq(out[6] << 8 | out[7], many == 1050 ? 0 : many > 4093 ? (65535 - 24 - 11) / 16 : many);
		ck_assert_int_eq(out[11], 1);             /* OPT is there, also then */
	}
}
END_TEST

START_TEST(refused)
{
	static const uint8_t notimp[] = "\0\x09\xb0\x84\0\0\0\0\0\0\0\0", servfail[] = "\0\5\x81\x82\0\1\0\0\0\0\0\0\1a\0\0\1\0\1";

	raw(6, 3, "junk", 4);
	dnsmsg_parse(q.p, q.n, &m);
	expect(out, dnsmsg_refuse(q.p, q.n, &m, DNS_NOTIMP, out, DNSMSG_UDP), notimp, sizeof(notimp) - 1);
	dnsbytes_question(&q, 5, "a", DNS_A);
	dnsmsg_parse(q.p, q.n, &m);
	expect(out, dnsmsg_refuse(q.p, q.n, &m, DNS_SERVFAIL, out, DNSMSG_UDP), servfail, sizeof(servfail) - 1);
}
END_TEST

START_TEST(badvers)
{
	struct dnswriter w;

	dnsbytes_question(&q, 5, "a", DNS_A);
	dnsbytes_edns(&q, 1400, 1);
	dnsmsg_parse(q.p, q.n, &m);
	dnsmsg_parse_edns(q.p, q.n, &m);
	dnswriter_init(&w, out, sizeof(out), q.p, q.n, &m, DNS_NOERROR, true);
	ck_assert_uint_eq(dnswriter_done(&w, &m, 512), m.question_end + 11u);
	ck_assert_int_eq(out[m.question_end + 5], 1);   /* extended rcode 16 */
	ck_assert_int_eq(out[m.question_end + 6], 0);   /* our version */
}
END_TEST

START_TEST(type_names)
{
	char text[16];

	ck_assert(str_is(dnsmsg_type_name(DNS_A, text), "A"));
	ck_assert(str_is(dnsmsg_type_name(DNS_HTTPS, text), "HTTPS"));
	ck_assert(str_is(dnsmsg_type_name(65535, text), "TYPE65535"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dnsmsg");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, questions);
	tcase_add_test(tc, cut_anywhere);
	tcase_add_test(tc, bad_ones);
	tcase_add_test(tc, edns);
	tcase_add_test(tc, replies_that_fit);
	tcase_add_test(tc, written);
	tcase_add_test(tc, negative);
	tcase_add_test(tc, too_large);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, badvers);
	tcase_add_test(tc, type_names);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
