/* SPDX-License-Identifier: Apache-2.0 */
#include "http/message.h"

#include <stdio.h>

#include "tests/unit/suite.h"

#define F(name, value) { { name, sizeof(name) - 1 }, { value, sizeof(value) - 1 } }
#define S(text) { text, sizeof(text) - 1 }

/* HTTP/1 has its own table of wire bytes; here are HTTP/2's heads, and what only heads can show. */
static const struct {
	struct str method, authority, scheme, path;
	struct http_field f[4];
	int n, status;
} h2_rows[] = {
	{ S("GET"), S("h"), S("http"), S("/"), { F("a", "b") }, 1, 0 },
	{ S("GET"), S("h:80"), S("https"), S("/a?b"), { F("te", "trailers") }, 1, 0 },
	{ S("POST"), S("[::1]:80"), S("https"), S("/"), { F("content-length", "5") }, 1, 0 },
	{ S("GET"), { 0 }, S("http"), S("/"), { F("host", "h") }, 1, 0 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("host", "H") }, 1, 0 },
	{ S("CONNECT"), S("h:1"), { 0 }, { 0 }, { { { 0 }, { 0 } } }, 0, 0 },
	{ S("OPTIONS"), S("h"), S("http"), S("*"), { { { 0 }, { 0 } } }, 0, 0 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("Upper", "b") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("connection", "close") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("keep-alive", "1") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("proxy-connection", "close") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("upgrade", "websocket") }, 1, 400 },
	{ S("POST"), S("h"), S("http"), S("/"), { F("transfer-encoding", "chunked") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("te", "gzip") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("te", "trailers, gzip") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("a", "b\r\nc: d") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("a", "b\nc: d") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("a", "b\0c") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("a", " b") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("a", "b ") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("a\r\nx", "b") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("a: b", "c") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("a ", "c") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("", "c") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("host", "other") }, 1, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("host", "h"), F("host", "h") }, 2, 400 },
	{ S("GET"), { 0 }, S("http"), S("/"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("POST"), S("h"), S("http"), S("/"), { F("content-length", "5"), F("content-length", "5") }, 2, 400 },
	{ S("POST"), S("h"), S("http"), S("/"), { F("content-length", "+5") }, 1, 400 },
	{ S("POST"), S("h"), S("http"), S("/"), { F("content-length", "99999999999999999999") }, 1, 400 },
	{ S("POST"), S("h"), S("http"), S("/"), { F("content-length", "9223372036854775808") }, 1, 400 },
	{ S("GET / HTTP/1.1\r\nx:"), S("h"), S("http"), S("/"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h"), S("http"), S("/ HTTP/1.1\r\nx: y"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h"), S("http"), S("/a b"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h"), S("http"), S("a"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h"), S("http"), S(""), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h"), S("http"), S("/#f"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h"), S("http"), S("*"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h"), S("ftp"), S("/"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("u@h"), S("http"), S("/"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h/x"), S("http"), S("/"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h:99999"), S("http"), S("/"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h\r\nx: y"), S("http"), S("/"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("CONNECT"), S("h"), { 0 }, { 0 }, { { { 0 }, { 0 } } }, 0, 400 },
	{ S("CONNECT"), S("h:1"), S("http"), S("/"), { { { 0 }, { 0 } } }, 0, 400 },
	{ S("GET"), S("h"), S("http"), S("/"), { F("expect", "more") }, 1, 417 },
};

START_TEST(requests_of_http2)
{
	struct http_field f[4];
	struct http_framing framing;
	struct http_head h = { .method = h2_rows[_i].method, .authority = h2_rows[_i].authority, .scheme = h2_rows[_i].scheme,
			       .path = h2_rows[_i].path, .fields = f, .n_fields = h2_rows[_i].n };
	const char *why = NULL;
	int r;

	memcpy(f, h2_rows[_i].f, sizeof(f));
	r = http_settle_request(&h, f, HTTP_2, &framing, &why);
	ck_assert_msg(r == h2_rows[_i].status, "row %d: %d %s", _i, r, why ? why : "");
	ck_assert((r == 0) == (why == NULL));
	if (r == 0) {
		ck_assert(h.authority.n > 0);
		ck_assert(!http_head_get(&h, "host").p);
		ck_assert(http_sendable(&h, true));
	}
}
END_TEST

static const struct {
	int status;
	const char *method;
	struct http_field f[2];
	int n, result;
	enum http_body body;
	bool persist;
} responses[] = {
	{ 200, "GET", { F("Content-Length", "3") }, 1, 0, HTTP_BODY_LENGTH, true },
	{ 200, "GET", { F("Transfer-Encoding", "Chunked") }, 1, 0, HTTP_BODY_CHUNKED, true },
	{ 200, "GET", { { { 0 }, { 0 } } }, 0, 0, HTTP_BODY_CLOSE, false },
	{ 200, "HEAD", { F("Content-Length", "3") }, 1, 0, HTTP_BODY_NONE, true },
	{ 304, "GET", { F("Content-Length", "3") }, 1, 0, HTTP_BODY_NONE, true },
	{ 204, "GET", { { { 0 }, { 0 } } }, 0, 0, HTTP_BODY_NONE, true },
	{ 204, "GET", { F("Content-Length", "3") }, 1, 502, 0, false },
	{ 101, "GET", { F("Transfer-Encoding", "chunked") }, 1, 502, 0, false },
	{ 200, "CONNECT", { { { 0 }, { 0 } } }, 0, 0, HTTP_BODY_NONE, true },
	{ 200, "CONNECT", { F("Content-Length", "3") }, 1, 502, 0, false },
	{ 403, "CONNECT", { F("Content-Length", "3") }, 1, 0, HTTP_BODY_LENGTH, true },
	{ 200, "GET", { F("Content-Length", "3"), F("Transfer-Encoding", "chunked") }, 2, 502, 0, false },
	{ 200, "GET", { F("Content-Length", "3"), F("Content-Length", "4") }, 2, 502, 0, false },
	{ 200, "GET", { F("Content-Length", "3, 3") }, 1, 502, 0, false },
	{ 200, "GET", { F("Transfer-Encoding", "gzip") }, 1, 502, 0, false },
	{ 200, "GET", { F("Connection", "close"), F("Content-Length", "0") }, 2, 0, HTTP_BODY_LENGTH, false },
	{ 200, "GET", { F("X", "a\nb") }, 1, 502, 0, false },
	{ 99, "GET", { { { 0 }, { 0 } } }, 0, 502, 0, false },
	{ 600, "GET", { { { 0 }, { 0 } } }, 0, 502, 0, false },
};

START_TEST(answers)
{
	struct http_field f[2];
	struct http_framing framing;
	struct http_head h = { .status = responses[_i].status, .fields = f, .n_fields = responses[_i].n };
	const char *why;

	memcpy(f, responses[_i].f, sizeof(f));
	ck_assert_int_eq(http_settle_response(&h, f, HTTP_1_1, str_c(responses[_i].method), &framing, &why), responses[_i].result);
	if (responses[_i].result)
		return;
	ck_assert_int_eq(framing.body, responses[_i].body);
	ck_assert_int_eq(framing.persist, responses[_i].persist);
	ck_assert(!http_head_get(&h, "connection").p && !http_head_get(&h, "transfer-encoding").p);
}
END_TEST

START_TEST(what_is_for_one_connection_is_dropped)
{
	struct http_field f[] = {
		F("Connection", "close, X-Mine , te"), F("X-Mine", "1"), F("X-Other", "2"), F("Keep-Alive", "3"), F("Host", "h"),
		F("TE", "gzip, trailers"), F("Proxy-Connection", "x"), F("Upgrade", "h2c"),
	}, taken[] = { F("Connection", "x-forwarded-for"), F("Host", "h") };
	struct http_head h = { .method = S("GET"), .path = S("/"), .fields = f, .n_fields = ARRAY_LEN(f) };
	struct http_framing framing;
	const char *why;

	ck_assert_int_eq(http_settle_request(&h, f, HTTP_1_1, &framing, &why), 0);
	ck_assert_int_eq(h.n_fields, 2);
	ck_assert(str_is(http_head_get(&h, "x-other"), "2") && str_is(http_head_get(&h, "te"), "trailers"));
	ck_assert(!h.upgrade.n && !framing.persist && str_is(h.authority, "h") && str_is(h.scheme, "http"));
	h = (struct http_head){ .method = S("GET"), .path = S("/"), .fields = taken, .n_fields = 2 };
	ck_assert_int_eq(http_settle_request(&h, taken, HTTP_1_1, &framing, &why), 400);
}
END_TEST

START_TEST(trailers)
{
	struct http_field good = F("grpc-status", "0"), length = F("Content-Length", "1"), te = F("transfer-encoding", "chunked"),
			  host = F("host", "x"), split = F("a", "b\r\nc: d"), auth = F("authorization", "x"),
			  client = F("X-Forwarded-Client-Cert", "x"), from = F("x-forwarded-for", "1.2.3.4"), peer = F("x-envoy-peer-metadata-id", "x");

	ck_assert(http_trailers_ok(&good, 1));
	ck_assert(!http_trailers_ok(&length, 1) && !http_trailers_ok(&te, 1) && !http_trailers_ok(&host, 1));
	ck_assert(!http_trailers_ok(&split, 1) && !http_trailers_ok(&auth, 1));
	ck_assert(!http_trailers_ok(&client, 1) && !http_trailers_ok(&from, 1) && !http_trailers_ok(&peer, 1));
}
END_TEST

START_TEST(sendable)
{
	struct http_field f[2] = { F("a", "b"), F("content-length", "1") };
	struct http_head h = { .status = 200, .fields = f, .n_fields = 2 };

	ck_assert(http_sendable(&h, false));
	f[0] = (struct http_field)F("a", "b\r\nset-cookie: x");
	ck_assert(!http_sendable(&h, false));
	f[0] = (struct http_field)F("transfer-encoding", "chunked");
	ck_assert(!http_sendable(&h, false));
	f[0] = (struct http_field)F("content-length", "2");
	ck_assert(!http_sendable(&h, false));
	f[0] = (struct http_field)F("a:b", "c");
	ck_assert(!http_sendable(&h, false));
}
END_TEST

/* NULL: as BASE, or as MERGE_SLASHES. "!": refused. */
static const struct {
	const char *path, *base, *merge, *decode;
} paths[] = {
	{ "/", "/", NULL, NULL },
	{ "/a/b", "/a/b", NULL, NULL },
	{ "*", "*", NULL, NULL },
	{ "/a/./b", "/a/b", NULL, NULL },
	{ "/a/../b", "/b", NULL, NULL },
	{ "/a/b/..", "/a/", NULL, NULL },
	{ "/a/b/.", "/a/b/", NULL, NULL },
	{ "/..", "/", NULL, NULL },
	{ "/../../a", "/a", NULL, NULL },
	{ "/.", "/", NULL, NULL },
	{ "/...", "/...", NULL, NULL },
	{ "/.a/..b", "/.a/..b", NULL, NULL },
	{ "/%41dmin", "/Admin", NULL, NULL },
	{ "/%7Eu/%2D", "/~u/-", NULL, NULL },
	{ "/%2e%2E/a", "/a", NULL, NULL },
	{ "/a/%2e./b", "/b", NULL, NULL },
	{ "/a/.%2e/b", "/b", NULL, NULL },
	{ "/a\\..\\b", "/b", NULL, NULL },
	{ "/a//b", "/a//b", "/a/b", NULL },
	{ "//a///", "//a///", "/a/", NULL },
	{ "/a//../b", "/a/b", NULL, NULL },
	{ "/a%2fb", "/a%2fb", NULL, "/a/b" },
	{ "/a%2F..%2fb", "/a%2F..%2fb", NULL, "/b" },
	{ "/a%5Cb", "/a%5Cb", NULL, "/a/b" },
	{ "/a%2F%2fb", "/a%2F%2fb", NULL, "/a/b" },
	{ "/%252e%252e/a", "/%252e%252e/a", NULL, NULL },
	{ "/%252f", "/%252f", NULL, NULL },
	{ "/%zz%4", "/%zz%4", NULL, NULL },
	{ "/%20", "/%20", NULL, NULL },
	{ "/a?b=/../%41//", "/a?b=/../%41//", NULL, NULL },
	{ "/a/..?x", "/?x", NULL, NULL },
	{ "/a%3fb/../c", "/c", NULL, NULL },
	{ "/%00", "!", NULL, NULL },
	{ "/[{|\"<>^`}]?{", "/[%7B%7C%22%3C%3E%5E%60%7D]?{", NULL, NULL },
};

START_TEST(normal_paths)
{
	const char *base = paths[_i].base, *merge = paths[_i].merge ? paths[_i].merge : base, *decode = paths[_i].decode ? paths[_i].decode : merge;
	const char *want[] = { paths[_i].path, base, merge, decode };

	for (int level = HTTP_PATH_NONE; level <= HTTP_PATH_DECODE_AND_MERGE_SLASHES; level++) {
		size_t n = strlen(paths[_i].path);
		char *in = malloc(n), *out = malloc(3 * n), again[128];
		struct str got, twice;

		memcpy(in, paths[_i].path, n);
		if (strcmp(want[level], "!") == 0) {
			ck_assert(!http_path_normalise((struct str){ in, n }, level, out, &got));
		} else {
			ck_assert(http_path_normalise((struct str){ in, n }, level, out, &got));
			ck_assert_msg(str_is(got, want[level]), "%s at %d: %.*s", paths[_i].path, level, STR_FMT(got));
			ck_assert(http_path_normalise(got, level, again, &twice) && str_eq(got, twice));
		}
		free(in);
		free(out);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("message");
	TCase *t = tcase_create("message");

	tcase_add_loop_test(t, requests_of_http2, 0, ARRAY_LEN(h2_rows));
	tcase_add_loop_test(t, answers, 0, ARRAY_LEN(responses));
	tcase_add_test(t, what_is_for_one_connection_is_dropped);
	tcase_add_test(t, trailers);
	tcase_add_test(t, sendable);
	tcase_add_loop_test(t, normal_paths, 0, ARRAY_LEN(paths));
	suite_add_tcase(s, t);
	return suite_run(s);
}
