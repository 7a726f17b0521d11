/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "source/zds.h"
#include "tests/unit/suite.h"

#define PACKET(bytes) (bytes), sizeof(bytes) - 1

static struct zds_request q;
static struct err err;

START_TEST(requests)
{
	/* add { uid: "u1" workload_info { name: "cart" namespace: "shop" service_account: "sa" } } */
	ck_assert_int_eq(zds_parse(PACKET("\x0a\x16\x0a\x02u1\x12\x10\x0a\x04" "cart\x12\x04shop\x1a\x02sa"), &q, &err), 0);
	ck_assert_int_eq(q.kind, ZDS_ADD);
	ck_assert(q.has_info);
	ck_assert_str_eq(q.uid, "u1");
	ck_assert_str_eq(q.name, "cart");
	ck_assert_str_eq(q.ns, "shop");
	ck_assert_str_eq(q.service_account, "sa");
	ck_assert_int_eq(zds_parse(PACKET("\x0a\x04\x0a\x02u1"), &q, &err), 0);
	ck_assert(q.kind == ZDS_ADD && !q.has_info);
	/* A deleted pod's uid is field 2. */
	ck_assert_int_eq(zds_parse(PACKET("\x12\x04\x12\x02u2"), &q, &err), 0);
	ck_assert_int_eq(q.kind, ZDS_DEL);
	ck_assert_str_eq(q.uid, "u2");
	ck_assert_int_eq(zds_parse(PACKET("\x1a\x00"), &q, &err), 0);
	ck_assert_int_eq(q.kind, ZDS_SNAPSHOT);
	ck_assert_int_eq(zds_parse(PACKET("\x2a\x04\x0a\x02u3"), &q, &err), 0);
	ck_assert_int_eq(q.kind, ZDS_KEEP);
	ck_assert_str_eq(q.uid, "u3");
	ck_assert_int_eq(zds_parse(PACKET("\x32\x00"), &q, &err), 0);
	ck_assert_int_eq(q.kind, ZDS_UNKNOWN);
	ck_assert_int_eq(zds_parse(PACKET(""), &q, &err), 0);
	ck_assert_int_eq(q.kind, ZDS_UNKNOWN);
}
END_TEST

START_TEST(bad_requests_change_nothing)
{
	char longer[301 + 1] = "\x12\xaa\x02\x12\xa7\x02";

	memset(longer + 6, 'x', 295);
	q = (struct zds_request){ .kind = ZDS_KEEP, .uid = "old" };
	ck_assert_int_eq(zds_parse(PACKET("\x0a\x16\x0a\x02u1"), &q, &err), -EPROTO);
	ck_assert_int_eq(zds_parse(PACKET("garbage"), &q, &err), -EPROTO);
	ck_assert_int_eq(zds_parse(PACKET("\x12\x04\x0a\x02u2"), &q, &err), -EPROTO);   /* uid in the wrong field */
	ck_assert_int_eq(zds_parse(PACKET("\x12\x04\x12\x02u\n"), &q, &err), -EPROTO);
	ck_assert_int_eq(zds_parse(PACKET("\x0a\x0c\x0a\x02u1\x12\x06\x0a\x04" "cart"), &q, &err), -EPROTO);   /* no namespace */
	ck_assert_int_eq(zds_parse(longer, 6 + 295, &q, &err), -EPROTO);
	ck_assert(q.kind == ZDS_KEEP && strcmp(q.uid, "old") == 0);
}
END_TEST

START_TEST(answers)
{
	struct buf out = { 0 };
	char *text = xcalloc(1, 5000);

	zds_hello(&out);
	ck_assert(str_eq(buf_str(&out), (struct str){ "\x08\x01", 2 }));
	buf_done(&out);
	zds_ack(&out, "");
	ck_assert(str_eq(buf_str(&out), (struct str){ "\x0a\x00", 2 }));
	buf_done(&out);
	zds_ack(&out, "no");
	ck_assert(str_eq(buf_str(&out), (struct str){ "\x0a\x04\x0a\x02no", 6 }));
	buf_done(&out);
	memset(text, 'x', 4999);
	zds_ack(&out, text);
	ck_assert_uint_lt(buf_len(&out), ZDS_PACKET_MAX);
	buf_done(&out);
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("zds");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, requests);
	tcase_add_test(tc, bad_requests_change_nothing);
	tcase_add_test(tc, answers);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
