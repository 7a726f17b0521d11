/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/sniff.h"

#include "tests/unit/suite.h"

static const struct { const char *in; enum sniff_kind kind; } rows[] = {
	{ "GET / HTTP/1.1\r\n", SNIFF_HTTP1 }, { "GET / HTTP/1.0\n", SNIFF_HTTP1 }, { "\r\nPOST /a?b HTTP/1.1\r\nHost: x\r\n", SNIFF_HTTP1 },
	{ "OPTIONS * HTTP/1.1\r\n", SNIFF_HTTP1 }, { "CONNECT a:80 HTTP/1.1\r\n", SNIFF_HTTP1 }, { "M-SEARCH * HTTP/1.1\r\n", SNIFF_HTTP1 },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SNIFF_HTTP2 }, { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0", SNIFF_HTTP2 },
	{ "GET / HTTP/1.2\r\n", SNIFF_OTHER }, { "GET / HTTP/2.0\r\n", SNIFF_OTHER }, { "GET  / HTTP/1.1\r\n", SNIFF_OTHER },
	{ "GET /\r\n", SNIFF_OTHER }, { "get key\r\n", SNIFF_OTHER }, { "get / HTTP/1.1\r\n", SNIFF_OTHER }, { "EHLO mail\r\n", SNIFF_OTHER },
	{ "PING\r\n", SNIFF_OTHER }, { "hello", SNIFF_OTHER }, { "GET / HTTP/1.1x", SNIFF_OTHER }, { "PRI * HTTP/2.0\r\n\r\nXX", SNIFF_OTHER },
	{ "BREW / HTTP/1.1\r\n", SNIFF_OTHER }, { "\x16\x02", SNIFF_OTHER }, { "*1\r\n$4\r\nPING\r\n", SNIFF_OTHER },
	{ "GET /a\x01", SNIFF_OTHER }, { "\r\n\r\n\r\nGET", SNIFF_OTHER },
};

static struct iovec text(const char *s, size_t n)
{
	return (struct iovec){ (void *)s, n };
}

START_TEST(at_once)
{
	struct iovec iov = text(rows[_i].in, strlen(rows[_i].in));
	struct sniff s = { 0 };

	ck_assert_int_eq(sniff_take(&s, &iov, 1), rows[_i].kind);
	sniff_done(&s);
}
END_TEST

/* The verdict is the same, and comes at the same byte or later, however the bytes are cut. */
START_TEST(byte_by_byte)
{
	enum sniff_kind kind = SNIFF_MORE;
	struct sniff s = { 0 };
	size_t n = strlen(rows[_i].in);

	for (size_t i = 0; i < n && kind == SNIFF_MORE; i++) {
		struct iovec iov = text(rows[_i].in + i, 1);

		kind = sniff_take(&s, &iov, 1);
		ck_assert_uint_eq(sniff_bytes(&s), i + 1);
	}
	ck_assert_int_eq(kind, rows[_i].kind);
	sniff_done(&s);
}
END_TEST

static struct buf got;

static void on_event(struct stage *s, enum stage_event ev, const struct iovec *iov, int n)
{
	ck_assert_int_eq(ev, STAGE_DATA);
	buf_append_iov(&got, iov, n, 0);
}

START_TEST(hands_on_what_came)
{
	static const char in[] = "GET /path HTTP/1.1\r\nHost: a\r\n\r\n";

	for (size_t cut = 1; cut < sizeof(in) - 1; cut++) {
		struct iovec iov[2] = { text(in, cut), text(in + cut, sizeof(in) - 1 - cut) };
		struct stage stage = { .on_event = on_event };
		struct sniff s = { 0 };

		if (sniff_take(&s, &iov[0], 1) == SNIFF_MORE)
			ck_assert_int_eq(sniff_take(&s, &iov[1], 1), SNIFF_HTTP1);
		else
			ck_assert_uint_eq(sniff_bytes(&s), cut);
		sniff_hand_on(&s, &stage);
		ck_assert(memcmp(buf_data(&got), in, buf_len(&got)) == 0 && buf_len(&got) >= cut);
		ck_assert_uint_eq(sniff_bytes(&s), 0);
		buf_consume(&got, buf_len(&got));
		sniff_hand_on(&s, &stage);
		ck_assert_uint_eq(buf_len(&got), 0);
	}
}
END_TEST

START_TEST(endless_target)
{
	char *p = malloc(LIMIT_SNIFF_BYTES + 8);
	struct sniff s = { 0 };
	struct iovec iov = text(p, LIMIT_SNIFF_BYTES + 8);

	memset(p, 'a', iov.iov_len);
	memcpy(p, "GET /", 5);
	ck_assert_int_eq(sniff_take(&s, &iov, 1), SNIFF_HTTP1);
	free(p);
	sniff_done(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sniff");
	TCase *t = tcase_create("sniff");

	tcase_add_loop_test(t, at_once, 0, ARRAY_LEN(rows));
	tcase_add_loop_test(t, byte_by_byte, 0, ARRAY_LEN(rows));
	tcase_add_test(t, hands_on_what_came);
	tcase_add_test(t, endless_target);
	suite_add_tcase(s, t);
	return suite_run(s);
}
