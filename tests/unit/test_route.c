/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/regex.h"
#include "traffic/route.h"
#include "tests/unit/suite.h"

/* ---- a table and a request, as a test writes them ---- */

static struct route named(const char *name, enum path_match path, const char *text)
{
	return (struct route){ .name = name, .match = { .path = path, .path_text = text } };
}

static struct route by_regex(const char *name, const char *text)
{
	struct route r = named(name, PATH_REGEX, text);
	struct err err;

	r.match.path_regex = regex_new(str_c(text), &err);
	ck_assert_ptr_nonnull(r.match.path_regex);
	return r;
}

/* "GET host/path" and fields "a: b\n..." */
static const char *ask(const struct route_table *t, const char *method, const char *authority, const char *path, const struct http_field *f, int n)
{
	struct exchange x = { .request = { .method = str_c(method), .authority = str_c(authority), .path = str_c(path), .scheme = str_c("http") } };
	const struct route *r;

	x.request_fields = (struct http_fields){ .v = (struct http_field *)f, .n = n };
	r = route_find(t, &x);
	return r ? r->name : "none";
}

static const char *get(const struct route_table *t, const char *authority, const char *path)
{
	return ask(t, "GET", authority, path, NULL, 0);
}

/* One virtual host for all; two such tables may live at a time. */
static struct route_table *table(const struct route *r, int n)
{
	static const char *const all[] = { "*" };
	static struct vhost vhosts[2];
	static int next;
	struct vhost *v = &vhosts[next++ % 2];

	*v = (struct vhost){ .name = "v", .domains = all, .n_domains = 1, .routes = r, .n_routes = n };
	return route_table_new(v, 1);
}

START_TEST(finds_the_virtual_host)
{
	static const char *const d0[] = { "a.example", "A.two", "10.0.0.1", "[fd00::1]", "fd00::2" }, *const d1[] = { "*.example" },
		*const d2[] = { "*.b.example" }, *const d3[] = { "api.*" }, *const d4[] = { "api.long.*" }, *const d5[] = { "*", "a.example" };
	const struct route r = named("r", PATH_ANY, NULL);
	const struct vhost v[] = {
		{ "0", d0, 5, &r, 1 }, { "1", d1, 1, &r, 1 }, { "2", d2, 1, &r, 1 }, { "3", d3, 1, &r, 1 }, { "4", d4, 1, &r, 1 }, { "5", d5, 2, &r, 1 },
	};
	static const struct { const char *host, *want; } rows[] = {
		{ "a.example", "0" }, { "A.Example:80", "0" }, { "a.two", "0" }, { "10.0.0.1:8080", "0" }, { "[fd00::1]:80", "0" }, { "[fd00::1]", "0" },
		{ "fd00::2", "0" }, { "x.example", "1" }, { "x.b.example", "2" }, { "b.example", "1" }, { ".example", "5" }, { "api.net", "3" },
		{ "api.long.net", "4" }, { "api.", "5" }, { "api.example", "1" }, { "other", "5" }, { "", "5" }, { "a.example:", "5" }, { "a.example:8x", "5" },
		{ ":80", "5" }, { "[", "5" }, { "]:80", "5" },
	};
	struct route_table *t = route_table_new(v, 6);
	char longest[3000];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(!strcmp(route_table_vhost(t, str_c(rows[i].host))->name, rows[i].want), "%s: %s", rows[i].host,
			      route_table_vhost(t, str_c(rows[i].host))->name);
	memset(longest, 'a', sizeof(longest));
	ck_assert_str_eq(route_table_vhost(t, (struct str){ longest, sizeof(longest) })->name, "5");
	route_table_free(t);
	t = route_table_new(v, 2);
	ck_assert_ptr_null(route_table_vhost(t, str_c("other")));
	ck_assert_str_eq(get(t, "other", "/"), "none");
	route_table_free(t);
	t = route_table_new(NULL, 0);
	ck_assert_str_eq(get(t, "other", "/"), "none");
	route_table_free(t);
	route_table_free(NULL);
}
END_TEST

START_TEST(matches_paths)
{
	static const struct { enum path_match kind; const char *text; bool nocase; const char *path; bool want; } rows[] = {
		{ PATH_EXACT, "/a", false, "/a", true }, { PATH_EXACT, "/a", false, "/a?b=/c", true }, { PATH_EXACT, "/a", false, "/a/", false },
		{ PATH_EXACT, "/a", false, "/A", false }, { PATH_EXACT, "/a", true, "/A", true }, { PATH_PREFIX, "/foo", false, "/foobar", true },
		{ PATH_PREFIX, "/foo", false, "/fo", false }, { PATH_PREFIX, "/foo", false, "/x?/foo", false }, { PATH_PREFIX, "/Foo", true, "/fOObar", true },
		{ PATH_SEGMENTS, "/foo", false, "/foobar", false }, { PATH_SEGMENTS, "/foo", false, "/foo", true }, { PATH_SEGMENTS, "/foo", false, "/foo/bar", true },
		{ PATH_SEGMENTS, "/foo", false, "/foo?x", true }, { PATH_REGEX, "/a[0-9]+", false, "/a12?x", true }, { PATH_REGEX, "/a[0-9]+", false, "/a12/", false },
		{ PATH_ANY, NULL, false, "*", true }, { PATH_PREFIX, "/", false, "*", false },
	};

	/* Alone, and as one of many, where an index is made. */
	for (int many = 0; many < 2; many++) {
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			struct route r[12];
			struct route_table *t;

			for (int k = 0; k < 12; k++)
				r[k] = named("other", PATH_EXACT, "/other");
			r[many ? 7 : 0] = rows[i].kind == PATH_REGEX ? by_regex("it", rows[i].text) : named("it", rows[i].kind, rows[i].text);
			r[many ? 7 : 0].match.path_nocase = rows[i].nocase;
			t = table(r, many ? 12 : 1);
			ck_assert_msg(!strcmp(get(t, "h", rows[i].path), rows[i].want ? "it" : "none"), "%zu %s", i, rows[i].path);
			route_table_free(t);
			regex_free((struct regex *)r[many ? 7 : 0].match.path_regex);
		}
	}
}
END_TEST

static struct named_match match(const char *name, enum text_match_kind kind, const char *text)
{
	return (struct named_match){ name, { .kind = kind, .text = text } };
}

START_TEST(matches_headers_and_queries)
{
	const struct http_field f[] = {
		{ str_c("X-One"), str_c("1") }, { str_c("x-two"), str_c("a") }, { str_c("x-two"), str_c("b") }, { str_c("x-empty"), str_c("") },
	};
	struct err err;
	struct regex *any = regex_new(str_c(".*"), &err);
	const struct { struct named_match m; int invert, missing_is_empty; bool want; } rows[] = {
		{ match("x-one", TEXT_EXACT, "1"), 0, 0, true }, { match("x-one", TEXT_EXACT, "1"), 1, 1, false }, { match("x-one", TEXT_PREFIX, ""), 0, 0, true },
		{ match("x-two", TEXT_EXACT, "b"), 0, 0, true }, { match("x-two", TEXT_EXACT, "a,b"), 0, 0, false }, { match("x-two", TEXT_EXACT, "b"), 1, 1, false },
		{ match("x-three", TEXT_PRESENT, ""), 0, 0, false }, { match("x-three", TEXT_PRESENT, ""), 1, 0, true }, { match("x-empty", TEXT_PRESENT, ""), 0, 0, true },
		{ match("x-three", TEXT_EXACT, "1"), 1, 1, true }, { match("x-three", TEXT_EXACT, "1"), 1, 0, false }, { match("x-three", TEXT_EXACT, ""), 1, 1, false },
		{ match(":method", TEXT_EXACT, "GET"), 0, 0, true }, { match(":authority", TEXT_PREFIX, "h"), 0, 0, true }, { match(":scheme", TEXT_EXACT, "https"), 0, 0, false },
		{ match("host", TEXT_EXACT, "h:80"), 0, 0, true }, { match("method", TEXT_EXACT, "GET"), 0, 0, false },
		{ { "x-three", { .kind = TEXT_REGEX, .text = ".*", .regex = any } }, 1, 1, false },   /* as in Envoy: never */
	};
	const struct { struct named_match m; bool want; } queries[] = {
		{ match("a", TEXT_EXACT, "1"), true }, { match("b", TEXT_EXACT, ""), true }, { match("b", TEXT_PRESENT, ""), true }, { match("c", TEXT_PRESENT, ""), false },
		{ match("a", TEXT_EXACT, "2"), false }, { match("d", TEXT_EXACT, "x=y"), true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct named_match m = rows[i].m;
		struct route r = named("it", PATH_ANY, NULL);
		struct route_table *t;

		m.value.invert = rows[i].invert;
		m.value.missing_is_empty = rows[i].missing_is_empty;
		r.match.headers = &m;
		r.match.n_headers = 1;
		t = table(&r, 1);
		ck_assert_msg(!strcmp(ask(t, "GET", "h:80", "/", f, 4), rows[i].want ? "it" : "none"), "%zu %s", i, m.name);
		route_table_free(t);
	}
	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		struct route r = named("it", PATH_ANY, NULL);
		struct route_table *t;

		r.match.queries = &queries[i].m;
		r.match.n_queries = 1;
		t = table(&r, 1);
		ck_assert_msg(!strcmp(get(t, "h", "/p?a=1&b&a=2&d=x=y"), queries[i].want ? "it" : "none"), "%zu", i);
		route_table_free(t);
	}
	regex_free(any);
}
END_TEST

/* Whatever the index does, the answer is that of walking the list. */
START_TEST(is_the_first_of_the_list)
{
	static const char *const parts[] = { "", "a", "ab", "b", "/a", "/ab", "/A", "/b/", "a/b" };
	static char texts[300][64], names[300][8];
	struct route r[300];
	unsigned seed = 7;

	for (int round = 0; round < 40; round++) {
		int n = 9 + round * 4;
		const struct named_match *two = (struct named_match[]){ match(":method", TEXT_EXACT, "PUT") };

		for (int i = 0; i < n; i++) {
			enum path_match kind = (enum path_match)(rand_r(&seed) % 5);

			snprintf(texts[i], sizeof(texts[i]), "/%s%s%s", parts[rand_r(&seed) % 9], parts[rand_r(&seed) % 9], kind == PATH_REGEX && rand_r(&seed) % 2 ? ".*" : "");
			snprintf(names[i], sizeof(names[i]), "%d", i);
			r[i] = kind == PATH_REGEX ? by_regex(names[i], texts[i]) : named(names[i], kind, texts[i]);
			r[i].match.path_nocase = kind != PATH_REGEX && rand_r(&seed) % 4 == 0;
			if (kind == PATH_ANY || rand_r(&seed) % 3 == 0) {
				r[i].match.headers = two;
				r[i].match.n_headers = 1;
			}
		}
		for (int k = 0; k < 100; k++) {
			const char *want = "none", *method = rand_r(&seed) % 2 ? "GET" : "PUT";
			struct route_table *t = table(r, n);
			char path[64];

			snprintf(path, sizeof(path), "/%s%s%s", parts[rand_r(&seed) % 9], parts[rand_r(&seed) % 9], rand_r(&seed) % 3 ? "" : "?a/b");
			for (int i = 0; i < n && !strcmp(want, "none"); i++) {
				struct route_table *one = table(&r[i], 1);

				want = ask(one, method, "h", path, NULL, 0);
				route_table_free(one);
			}
			ck_assert_msg(!strcmp(ask(t, method, "h", path, NULL, 0), want), "%s %s: want %s of %d", method, path, want, n);
			route_table_free(t);
		}
		for (int i = 0; i < n; i++)
			regex_free((struct regex *)r[i].match.path_regex);
	}
}
END_TEST

static double seconds_for(const struct route_table *t, const char *const *paths, int n)
{
	struct timespec from, to;
	double best = 1e9;

	for (int round = 0; round < 7; round++) {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
		for (int i = 0; i < 20000; i++)
			ck_assert_str_ne(get(t, "h", paths[i % n]), "none");
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
		if (to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9 < best)
			best = to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9;
	}
	return best;
}

/* A walk of 5000 rules takes some 50 us; what is allowed here is noise. */
START_TEST(costs_the_same_with_many_rules)
{
	static char texts[5000][32];
	static struct route r[5000];
	static const char *paths[100];
	struct route_table *t;
	double few, many;

	for (int i = 0; i < 5000; i++) {
		snprintf(texts[i], sizeof(texts[i]), "/svc%d/%s", i, i % 2 ? "call" : "");
		r[i] = named("it", i % 2 ? PATH_EXACT : PATH_PREFIX, texts[i]);
	}
	for (int i = 0; i < 100; i++)
		paths[i] = texts[i * 50 % 4];
	t = table(r, 5);
	few = seconds_for(t, paths, 100);
	route_table_free(t);
	for (int i = 0; i < 100; i++)
		paths[i] = texts[i * 50];
	t = table(r, 5000);
	many = seconds_for(t, paths, 100);
	route_table_free(t);
	ck_assert_msg(many - few < 20000 * 2e-6, "%.0f ns against %.0f ns", many * 5e4, few * 5e4);
	printf("a look-up: %.0f ns of 5 rules, %.0f ns of 5000\n", few * 5e4, many * 5e4);
}
END_TEST

START_TEST(hits_a_share)
{
	uint64_t seed = 1;
	int hits = 0;

	for (int i = 0; i < 100000; i++)
		hits += percent_hit((struct percent){ 250000, 1000000 }, &seed);
	ck_assert_int_gt(hits, 24000);
	ck_assert_int_lt(hits, 26000);
	ck_assert(!percent_hit((struct percent){ 0, 100 }, &seed));
	ck_assert(!percent_hit((struct percent){ 0, 0 }, &seed));
	ck_assert(percent_hit((struct percent){ 100, 100 }, &seed));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("route");
	TCase *t = tcase_create("route");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, finds_the_virtual_host);
	tcase_add_test(t, matches_paths);
	tcase_add_test(t, matches_headers_and_queries);
	tcase_add_test(t, is_the_first_of_the_list);
	tcase_add_test(t, costs_the_same_with_many_rules);
	tcase_add_test(t, hits_a_share);
	suite_add_tcase(s, t);
	return suite_run(s);
}
