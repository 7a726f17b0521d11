/* SPDX-License-Identifier: Apache-2.0 */
/* What routes change, answer and inject; tests/interop/test_routes.py has Envoy judge the same. */
#include <stdio.h>

#include "base/regex.h"
#include "io/loop.h"
#include "telemetry/format.h"
#include "traffic/router.h"
#include "tests/unit/suite.h"

static struct { enum fail why; int status, replies, resumes; struct str text; } seen;

/* In the place of the exchange's own. */
void exchange_resume(struct exchange *x) { seen.resumes++; }
void exchange_reply(struct exchange *x, enum fail why, int status, const char *details, struct str text, const struct http_field *f, int n)
{
	seen.replies++;
	seen.why = why;
	seen.status = status;
	seen.text = text;
	for (int i = 0; i < n; i++)
		fields_add(&x->response_fields, exchange_dup(x, f[i].name).p, f[i].value);
}

static struct exchange x;
static struct router_env env;
static uint64_t seed = 1;
static struct loop *loop;

static void begin(const char *method, const char *authority, const char *path)
{
	arena_done(&x.arena);
	x = (struct exchange){ .request = { .method = str_c(method), .authority = str_c(authority), .path = str_c(path), .scheme = str_c("http") }, .arg = &env };
	x.request_fields.arena = x.response_fields.arena = &x.arena;
	memset(&seen, 0, sizeof(seen));
	env.seed = &seed;
	env.loop = loop;
}

static void end(void)
{
	arena_done(&x.arena);
	memset(&x, 0, sizeof(x));
}

static struct route forward(enum path_match kind, const char *path)
{
	return (struct route){ .name = "r", .match = { .path = kind, .path_text = path }, .host_rewrite = "", .fault.grpc_status = -1, .redirect = { .host = "", .path = "", .scheme = "" } };
}

static const char *get(const struct http_fields *f, const char *name)
{
	static char text[200];
	struct str v = fields_get(f, name);

	snprintf(text, sizeof(text), "%.*s", STR_FMT(v));
	return v.p ? text : "(none)";
}

START_TEST(rewrites)
{
	static const struct { enum path_match kind; const char *match, *to, *path, *want; } rows[] = {
		{ PATH_PREFIX, "/a", "/b", "/a/c?d=/a", "/b/c?d=/a" }, { PATH_PREFIX, "/a", "/", "/abc", "/bc" }, { PATH_SEGMENTS, "/foo", "/new", "/foo/bar", "/new/bar" },
		{ PATH_EXACT, "/a", "/b", "/a?q", "/b?q" }, { PATH_REGEX, "/a.*", "/b", "/a/c/d?q", "/b?q" }, { PATH_PREFIX, "/", "/new", "/bar", "/newbar" }, { PATH_ANY, NULL, "/n/", "/bar", "/n/bar" },
		{ PATH_PREFIX, "/a", NULL, "/a/c", "/a/c" },
	};
	static const struct { const char *regex, *to, *path, *want; } regexes[] = {
		{ "^/foo(/?)(.*)", "/\\2", "/foo/bar?x=/foo/", "/bar?x=/foo/" }, { "^/foo(/?)(.*)", "/\\2", "/foo", "/" }, { "a", "b", "/aa?a", "/bb?a" }, { "zz", "b", "/aa", "/aa" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct route r = forward(rows[i].kind, rows[i].match);

		r.prefix_rewrite = rows[i].to;
		begin("GET", "h", rows[i].path);
		route_apply_request(&x, &r, NULL);
		ck_assert_msg(str_is(x.request.path, rows[i].want), "%zu: %.*s", i, STR_FMT(x.request.path));
		ck_assert_str_eq(get(&x.request_fields, "x-envoy-original-path"), rows[i].to ? rows[i].path : "(none)");
	}
	for (size_t i = 0; i < ARRAY_LEN(regexes); i++) {
		struct route r = forward(PATH_ANY, NULL);
		struct err err;

		r.regex_rewrite.regex = regex_new(str_c(regexes[i].regex), &err);
		r.regex_rewrite.substitution = regexes[i].to;
		begin("GET", "h", regexes[i].path);
		route_apply_request(&x, &r, NULL);
		ck_assert_msg(str_is(x.request.path, regexes[i].want), "%zu: %.*s", i, STR_FMT(x.request.path));
		ck_assert_str_eq(get(&x.request_fields, "x-envoy-original-path"), regexes[i].path);
		regex_free((struct regex *)r.regex_rewrite.regex);
	}
	end();
}
END_TEST

static const struct format *text(const char *t)
{
	struct err err;
	struct format *f = format_parse(str_c(t), &err);

	ck_assert_ptr_nonnull(f);
	return f;
}

/* The target's first, so that the route has the last word; values are of what came. */
START_TEST(edits_headers)
{
	const struct format *one = text("1"), *two = text("2"), *from = text("%REQ(x-a)%"), *none = text("%REQ(x-gone)%");
	const struct header_op t[] = { { HEADER_SET, "x-a", one }, { HEADER_ADD, "x-c", one } };
	const struct header_op r_ops[] = { { HEADER_REMOVE, "x-gone", NULL }, { HEADER_SET, "x-a", two }, { HEADER_SET, "x-b", from }, { HEADER_SET, "x-n", none }, { HEADER_ADD, "x-c", two } };
	struct route_target target = { .request = t, .n_request = 2, .host_rewrite = "target" };
	struct route r = forward(PATH_ANY, NULL);

	r.request = r_ops;
	r.n_request = 5;
	begin("GET", "h", "/");
	fields_add(&x.request_fields, "x-a", str_c("0"));
	fields_add(&x.request_fields, "x-gone", str_c("g"));
	route_apply_request(&x, &r, &target);
	ck_assert_str_eq(get(&x.request_fields, "x-a"), "2");
	ck_assert_str_eq(get(&x.request_fields, "x-b"), "1");
	ck_assert_str_eq(get(&x.request_fields, "x-n"), "(none)");
	ck_assert_str_eq(get(&x.request_fields, "x-gone"), "(none)");
	ck_assert_int_eq(fields_remove(&x.request_fields, str_c("x-c")), 2);
	ck_assert(str_is(x.request.authority, "target"));
	ck_assert_str_eq(get(&x.request_fields, "x-envoy-original-host"), "(none)");
	r.host_rewrite = "route";
	begin("GET", "h", "/");
	route_apply_request(&x, &r, &target);
	ck_assert(str_is(x.request.authority, "route"));
	ck_assert_str_eq(get(&x.request_fields, "x-envoy-original-host"), "target");
	end();
	format_free((struct format *)one);
	format_free((struct format *)two);
	format_free((struct format *)from);
	format_free((struct format *)none);
}
END_TEST

START_TEST(redirects)
{
	static const struct { const char *host, *path, *scheme; int port; bool prefix; const char *authority, *ask, *want; } rows[] = {
		{ "to.test", "", "", 0, false, "h:80", "/a?b", "http://to.test/a?b" }, { "", "/n", "", 0, false, "h:8080", "/a?b", "http://h:8080/n?b" },
		{ "", "/n?c", "", 0, false, "h", "/a?b", "http://h/n?c" }, { "", "", "https", 0, false, "h:80", "/", "https://h/" }, { "", "", "https", 0, false, "h:81", "/", "https://h:81/" },
		{ "", "", "https", 8443, false, "h:80", "/", "https://h:8443/" }, { "", "", "http", 0, false, "h:80", "/", "http://h:80/" }, { "", "/", "", 0, true, "h", "/foo/bar?x", "http://h//bar?x" },
		{ "", "/new", "", 0, true, "h", "/foo", "http://h/new" }, { "", "", "https", 0, false, "[::1]:80", "/", "https://[::1]/" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct route r = forward(PATH_SEGMENTS, "/foo");

		r.action = ROUTE_REDIRECT;
		r.redirect.status = 307;
		r.redirect.host = rows[i].host;
		r.redirect.path = rows[i].path;
		r.redirect.scheme = rows[i].scheme;
		r.redirect.port = (uint16_t)rows[i].port;
		r.redirect.path_is_prefix = rows[i].prefix;
		begin("GET", rows[i].authority, rows[i].ask);
		x.route = &r;
		ck_assert_int_eq(answer_filter.on_request(&x, NULL, NULL), FILTER_DONE);
		ck_assert(seen.why == FAIL_DIRECT && seen.status == 307);
		ck_assert_msg(!strcmp(get(&x.response_fields, "location"), rows[i].want), "%zu: %s", i, get(&x.response_fields, "location"));
	}
	end();
}
END_TEST

START_TEST(answers_preflights)
{
	static const struct text_match origins[] = { { .kind = TEXT_PREFIX, .text = "https://a" } };
	static const struct cors c = { .origins = origins, .n_origins = 1, .methods = "GET", .headers = "", .expose = "x-c", .max_age_s = "60", .credentials = true };
	struct route r = forward(PATH_ANY, NULL);
	struct cors ignoring = c;
	uint64_t state[8];

	r.cors = &c;
	for (int i = 0; i < 6; i++) {
		bool good = i % 2 == 0, preflight = i < 4;

		begin(preflight ? "OPTIONS" : "GET", "h", "/");
		x.route = &r;
		memset(state, 0, sizeof(state));
		fields_add(&x.request_fields, "origin", str_c(good ? "https://a.test" : "https://b.test"));
		if (preflight)
			fields_add(&x.request_fields, "access-control-request-method", str_c("PUT"));
		ignoring.answer_unmatched = true;
		r.cors = i >= 2 && preflight ? &ignoring : &c;
		ck_assert_int_eq(cors_filter.on_request(&x, state, NULL), preflight && (good || r.cors == &ignoring) ? FILTER_DONE : FILTER_NEXT);
		ck_assert_str_eq(get(&x.response_fields, "access-control-max-age"), preflight && good ? "60" : "(none)");
		cors_filter.on_response(&x, state, NULL);
		ck_assert_str_eq(get(&x.response_fields, "access-control-allow-origin"), good ? "https://a.test" : "(none)");
	}
	begin("GET", "h", "/");
	x.route = &r;
	ck_assert_int_eq(cors_filter.on_request(&x, state, NULL), FILTER_NEXT);
	end();
}
END_TEST

static void stop(struct timer *t)
{
	loop_stop(t->loop);
}

static void run_ms(uint64_t ms)
{
	struct timer t;

	timer_init(&t, loop, stop);
	timer_start(&t, ms);
	loop_run(loop);
	timer_stop(&t);
}

START_TEST(injects_faults)
{
	struct route r = forward(PATH_ANY, NULL);
	_Alignas(16) char state[256];

	ck_assert_uint_le(fault_filter.state_bytes, sizeof(state));
	loop = loop_new(-1);
	r.fault.abort_share = (struct percent){ 100, 100 };
	r.fault.abort_status = 418;
	begin("GET", "h", "/");
	x.route = &r;
	memset(state, 0, sizeof(state));
	ck_assert_int_eq(fault_filter.on_request(&x, state, NULL), FILTER_DONE);
	ck_assert(seen.why == FAIL_FAULT_ABORT && seen.status == 418 && str_is(seen.text, "fault filter abort"));
	r.fault.grpc_status = 14;
	begin("POST", "h", "/");
	x.route = &r;
	x.log.grpc = true;
	ck_assert_int_eq(fault_filter.on_request(&x, state, NULL), FILTER_DONE);
	ck_assert_str_eq(get(&x.response_fields, "grpc-status"), "14");
	/* First the delay, then the abort; or on. */
	r.fault.delay_share = (struct percent){ 1000000, 1000000 };
	r.fault.delay_ms = 20;
	for (int aborts = 0; aborts < 2; aborts++) {
		r.fault.abort_share.parts = aborts ? 100 : 0;
		begin("GET", "h", "/");
		x.route = &r;
		memset(state, 0, sizeof(state));
		ck_assert_int_eq(fault_filter.on_request(&x, state, NULL), FILTER_WAIT);
		ck_assert(x.log.delayed && !seen.replies && !seen.resumes);
		run_ms(200);
		ck_assert(seen.replies == aborts && seen.resumes == !aborts);
		fault_filter.on_end(&x, state, NULL);
	}
	/* The client goes away meanwhile. */
	begin("GET", "h", "/");
	x.route = &r;
	memset(state, 0, sizeof(state));
	ck_assert_int_eq(fault_filter.on_request(&x, state, NULL), FILTER_WAIT);
	fault_filter.on_end(&x, state, NULL);
	run_ms(60);
	ck_assert(!seen.replies && !seen.resumes);
	end();
	loop_free(loop);
	loop = NULL;
}
END_TEST

int main(void)
{
	Suite *s = suite_create("route_filter");
	TCase *t = tcase_create("route_filter");

	tcase_add_test(t, rewrites);
	tcase_add_test(t, edits_headers);
	tcase_add_test(t, redirects);
	tcase_add_test(t, answers_preflights);
	tcase_add_test(t, injects_faults);
	suite_add_tcase(s, t);
	return suite_run(s);
}
