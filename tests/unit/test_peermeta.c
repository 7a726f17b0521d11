/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/peermeta.h"

#include "tests/unit/suite.h"

static const struct label labels[] = { { "app", "cart" }, { "app.kubernetes.io/version", "v2" }, { "version", "old" } };

static struct workload *make(void)
{
	struct ip ip = { 0 };
	struct workload w = {
		.uid = "c//Pod/shop/cart-1", .name = "cart-1", .ns = "shop", .cluster = "c1", .workload_name = "cart", .workload_type = "deployment",
		.canonical_name = "cart", .canonical_revision = "v2", .locality = { "eu", "eu-1", "" }, .labels = labels, .n_labels = ARRAY_LEN(labels),
		.ips = &ip, .n_ips = 1,
	};

	ip_parse(str_c("10.0.0.1"), &ip);
	return workload_new(&w);
}

static void check(const struct peer *p)
{
	ck_assert(str_is(p->name, "cart-1") && str_is(p->ns, "shop") && str_is(p->workload, "cart") && str_is(p->type, "deployment"));
	ck_assert(str_is(p->service, "cart") && str_is(p->revision, "v2") && str_is(p->app, "cart") && str_is(p->version, "v2"));
	ck_assert(str_is(p->cluster, "c1") && str_is(p->region, "eu") && str_is(p->zone, "eu-1"));
}

START_TEST(round_trips)
{
	struct workload *w = make();
	struct buf raw = { 0 }, header = { 0 }, frame = { 0 }, node = { 0 };
	struct peer p;
	size_t body = 0;
	void *mem;

	peermeta_struct(w, &raw);
	ck_assert(peermeta_parse(buf_str(&raw), &p));
	check(&p);
	peermeta_header(w, &header);
	ck_assert_uint_eq(buf_len(&header), (buf_len(&raw) + 2) / 3 * 4);
	mem = malloc(PEERMETA_DECODED(buf_len(&header)));
	ck_assert(peermeta_parse_header(buf_str(&header), mem, &p));
	check(&p);
	peermeta_frame(w, "cluster.local", &frame);
	for (size_t n = 0; n < PEERMETA_FRAME_HEAD; n++)
		ck_assert_int_eq(peermeta_frame_head((struct str){ (char *)buf_data(&frame), n }, &body), 1);
	ck_assert_int_eq(peermeta_frame_head(buf_str(&frame), &body), 0);
	ck_assert_uint_eq(body, buf_len(&frame) - PEERMETA_FRAME_HEAD);
	ck_assert(peermeta_parse_body((struct str){ (char *)buf_data(&frame) + PEERMETA_FRAME_HEAD, body }, &p));
	check(&p);
	peermeta_node(w, "cluster.local", &node);
	ck_assert(str_is(buf_str(&node), "sidecar~10.0.0.1~cart-1.shop~shop.svc.cluster.local"));
	free(mem);
	buf_done(&raw);
	buf_done(&header);
	buf_done(&frame);
	buf_done(&node);
	workload_unref(w);
}
END_TEST

/* {NAME: "a", N: 1.0, L: [""], B: true, EMPTY: (no value), LABELS: {app: "b"}} */
START_TEST(other_kinds_are_passed_over)
{
	static const char bytes[] =
		"\x0a\x0b\x0a\x04\x4e\x41\x4d\x45\x12\x03\x1a\x01\x61\x0a\x0e\x0a\x01\x4e\x12\x09\x11\x00\x00\x00"
		"\x00\x00\x00\xf0\x3f\x0a\x09\x0a\x01\x4c\x12\x04\x32\x02\x0a\x00\x0a\x07\x0a\x01\x42\x12\x02\x20"
		"\x01\x0a\x07\x0a\x05\x45\x4d\x50\x54\x59\x0a\x18\x0a\x06\x4c\x41\x42\x45\x4c\x53\x12\x0e\x2a\x0c"
		"\x0a\x0a\x0a\x03\x61\x70\x70\x12\x03\x1a\x01\x62";
	struct peer p;

	ck_assert(peermeta_parse((struct str){ bytes, sizeof(bytes) - 1 }, &p));
	ck_assert(str_is(p.name, "a") && str_is(p.app, "b"));
}
END_TEST

static const struct { const char *in; } bad[] = { { "" }, { "!" }, { "AAAA" }, { "////" }, { "CgIK" }, { "=" }, { "C g=" } };

START_TEST(bad_headers)
{
	char mem[64];
	struct peer p = { .name = str_c("x") };

	ck_assert(!peermeta_parse_header(str_c(bad[_i].in), mem, &p));
	ck_assert(p.name.n == 0);
}
END_TEST

START_TEST(unprintable_texts_are_dropped)
{
	struct workload *w = make();
	struct buf raw = { 0 };
	struct peer p;
	char *at;

	peermeta_struct(w, &raw);
	at = memmem(buf_data(&raw), buf_len(&raw), "cart-1", 6);
	at[2] = '\n';
	ck_assert(peermeta_parse(buf_str(&raw), &p));
	ck_assert(p.name.n == 0 && str_is(p.ns, "shop"));
	buf_done(&raw);
	workload_unref(w);
}
END_TEST

START_TEST(no_frame)
{
	size_t body;

	ck_assert_int_eq(peermeta_frame_head(str_c("GET / HTTP/1.1"), &body), -1);
	ck_assert_int_eq(peermeta_frame_head(str_c("=x"), &body), -1);
	ck_assert_int_eq(peermeta_frame_head(str_c("=#"), &body), 1);
}
END_TEST

START_TEST(cut_off_anywhere)
{
	struct workload *w = make();
	struct buf raw = { 0 };
	struct peer p;

	peermeta_struct(w, &raw);
	for (size_t n = 0; n < buf_len(&raw); n++) {
		char *copy = malloc(n ? n : 1);

		memcpy(copy, buf_data(&raw), n);
		peermeta_parse((struct str){ copy, n }, &p);
		peermeta_parse_body((struct str){ copy, n }, &p);
		free(copy);
	}
	buf_done(&raw);
	workload_unref(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("peermeta");
	TCase *t = tcase_create("peermeta");

	tcase_add_test(t, round_trips);
	tcase_add_test(t, other_kinds_are_passed_over);
	tcase_add_loop_test(t, bad_headers, 0, ARRAY_LEN(bad));
	tcase_add_test(t, unprintable_texts_are_dropped);
	tcase_add_test(t, no_frame);
	tcase_add_test(t, cut_off_anywhere);
	suite_add_tcase(s, t);
	return suite_run(s);
}
