/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/limits.h"
#include "source/yaml.h"
#include "suite.h"

struct seen {
	int docs;
	uint64_t hash;
	unsigned line, n, weight;
	char last[64];       /* `v` of the last document */
	bool quoted;
	int stop_with;
};

static int on_doc(const struct yaml_node *root, void *arg)
{
	struct seen *s = arg;
	const struct yaml_node *v = yaml_get(root, "v");

	s->docs++;
	s->hash = yaml_hash(root);
	s->line = root->line;
	s->n = root->n;
	s->weight = root->weight;
	s->last[0] = '\0';
	if (v && v->kind == YAML_SCALAR) {
		snprintf(s->last, sizeof(s->last), "%.*s", STR_FMT(v->text));
		s->quoted = v->quoted;
	}
	return s->stop_with;
}

static int read_text(const char *text, struct seen *s, struct err *err)
{
	struct arena a = { 0 };
	int rc;

	*s = (struct seen){ .stop_with = s->stop_with };
	rc = yaml_read_text("f", str_c(text), &a, on_doc, s, err);
	arena_done(&a);
	return rc;
}

static const struct { const char *text; int docs; const char *last; bool quoted; } good[] = {
	{ "", 0, "", false },
	{ "# nothing\n---\n---\n", 0, "", false },
	{ "v: 1\n---\nv: 2\n", 2, "2", false },
	{ "v: 1\n---\nv: 2\n...\n---\n", 2, "2", false },
	{ "{\"v\": \"x\"}", 1, "x", true },
	{ "v: !!str 1", 1, "1", true },
	{ "v: 'it''s'", 1, "it's", true },
	{ "v: |\n  text\n", 1, "text\n", true },
	{ "a: &x y\nv: *x\n", 1, "y", false },
	{ "\xef\xbb\xbfv: bom", 1, "bom", false },
	{ "v: 1\r\nw: 2\r\n", 1, "1", false },
	{ "kind: List\nitems:\n- v: 1\n- v: 2\n", 3, "", false },
	{ "items: []\n", 1, "", false },
	{ "a:\n  items: [1, 2]\n", 1, "", false },
	{ "items: {v: 1}\n", 1, "", false },
	{ "items:\n-\n- v: a\n-\n", 2, "", false },
	{ "items: [{a: &x 1, v: *x}]\n", 2, "", false },
	{ "h: &x 1\nitems: [{v: *x}]\n", 2, "", false },
};

START_TEST(test_good)
{
	struct err err = { "" };
	struct seen s = { 0 };
	int rc = read_text(good[_i].text, &s, &err);

	ck_assert_msg(rc == 0, "%s: %s", good[_i].text, err.msg);
	ck_assert_msg(s.docs == good[_i].docs, "%s: %d documents", good[_i].text, s.docs);
	ck_assert_str_eq(s.last, good[_i].last);
	if (*good[_i].last)
		ck_assert_int_eq(s.quoted, good[_i].quoted);
}
END_TEST

static const struct { const char *text; int rc; const char *message; } bad[] = {
	{ "a:\n\tb: 1\n", -EINVAL, "f:2: found character that cannot start any token" },
	{ "a: 1\nb: 2\na: 3\n", -EINVAL, "f:3: the key 'a' is here a second time; the first is in line 1" },
	{ "{\"a\": 1, \"a\": 2}", -EINVAL, "f:1: the key 'a' is here a second time" },
	{ "x:\n  a: 1\n  a: 2\n", -EINVAL, "f:3: the key 'a'" },
	{ "a: {b: [1, 2\n", -EINVAL, "f:2: did not find expected" },
	{ "a: \"half", -EINVAL, "f:1: found unexpected end of stream" },
	{ "a: &x [*x]\n", -EINVAL, "f:1: the alias *x stands inside its own anchor" },
	{ "a: *x\n", -EINVAL, "f:1: the alias *x has no anchor" },
	{ "a: &x 1\n---\na: *x\n", -EINVAL, "f:3: the alias *x has no anchor" },
	{ "a: &x {b: 1}\nc:\n  <<: *x\n", -EINVAL, "f:3: merge keys (<<) are not supported" },
	{ "? [a]\n: 1\n", -EINVAL, "f:1: a key must be a plain word" },
	{ "a: \xff\n", -EINVAL, "f:1: invalid leading UTF-8 octet" },
	{ "a: %\n", -EINVAL, "f:1: found character that cannot start any token" },
	{ "a: b: c\n", -EINVAL, "f:1: mapping values are not allowed" },
	{ "\x01", -EINVAL, "control characters are not allowed" },
};

START_TEST(test_bad)
{
	struct err err = { "" };
	struct seen s = { 0 };

	ck_assert_int_eq(read_text(bad[_i].text, &s, &err), bad[_i].rc);
	ck_assert_msg(strstr(err.msg, bad[_i].message) != NULL, "got: %s", err.msg);
}
END_TEST

START_TEST(test_many_keys)
{
	struct err err = { "" };
	struct seen s = { 0 };
	struct buf b = { 0 };
	char *text;

	for (int i = 0; i < 5000; i++)
		buf_printf(&b, "k%d: x\n", i);
	buf_printf(&b, "k17: y\n");
	text = str_dup(buf_str(&b));
	ck_assert_int_eq(read_text(text, &s, &err), -EINVAL);
	ck_assert_str_eq(err.msg, "f:5001: the key 'k17' is here a second time; the first is in line 18");
	buf_done(&b);
	free(text);
}
END_TEST

/* Ten aliases of ten aliases, and so on: refused long before memory grows. */
START_TEST(test_alias_bomb)
{
	struct err err = { "" };
	struct seen s = { 0 };
	struct buf b = { 0 };
	char *text;

	buf_printf(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 12; i++) {
		buf_printf(&b, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			buf_printf(&b, "*a%d,", i - 1);
		buf_printf(&b, "]\n");
	}
	text = str_dup(buf_str(&b));
	ck_assert_int_eq(read_text(text, &s, &err), -E2BIG);
	ck_assert_ptr_nonnull(strstr(err.msg, "aliases are counted"));
	buf_done(&b);
	free(text);
}
END_TEST

START_TEST(test_depth)
{
	struct err err = { "" };
	struct seen s = { 0 };
	char text[400] = "";

	memset(text, '[', LIMIT_YAML_DEPTH);
	memset(text + LIMIT_YAML_DEPTH, ']', LIMIT_YAML_DEPTH);
	ck_assert_int_eq(read_text(text, &s, &err), 0);
	memset(text, '[', LIMIT_YAML_DEPTH + 1);
	memset(text + LIMIT_YAML_DEPTH + 1, ']', LIMIT_YAML_DEPTH + 1);
	ck_assert_int_eq(read_text(text, &s, &err), -E2BIG);
	ck_assert_str_eq(err.msg, "f:1: nested too deeply");
}
END_TEST

START_TEST(test_weight_counts_aliases)
{
	struct seen s = { 0 };
	struct err err;

	ck_assert_int_eq(read_text("a: &x [1, 2]\nb: *x\n", &s, &err), 0);
	ck_assert_uint_eq(s.weight, 1 + (1 + 3) + (1 + 3));
}
END_TEST

START_TEST(test_hash_is_of_content)
{
	struct seen a = { 0 }, b = { 0 };
	struct err err;

	read_text("v: {x: 1, y: [a, b]}\n", &a, &err);
	read_text("\n\nv:\n  x: 1   # again\n  y:\n  - a\n  - b\n", &b, &err);
	ck_assert_uint_eq(a.hash, b.hash);
	read_text("v: {x: '1', y: [a, b]}\n", &b, &err);
	ck_assert_uint_ne(a.hash, b.hash);
	read_text("v: {x: 1, y: [[a, b]]}\n", &b, &err);
	ck_assert_uint_ne(a.hash, b.hash);
}
END_TEST

START_TEST(test_callback_stops)
{
	struct seen s = { .stop_with = -EIO };
	struct err err;

	ck_assert_int_eq(read_text("v: 1\n---\nv: 2\n", &s, &err), -EIO);
	ck_assert_int_eq(s.docs, 1);
}
END_TEST

static const struct { const char *path; int rc; } files[] = {
	{ "/nonexistent/x.yaml", -ENOENT },
	{ "/tmp", -EINVAL },
	{ "/dev/zero", -EINVAL },
};

START_TEST(test_files)
{
	struct arena a = { 0 };
	struct seen s = { 0 };
	struct err err;

	ck_assert_int_eq(yaml_read_file(files[_i].path, &a, on_doc, &s, &err), files[_i].rc);
	ck_assert_ptr_eq(strstr(err.msg, files[_i].path), err.msg);
	arena_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("yaml");
	TCase *t = tcase_create("yaml");

	tcase_add_loop_test(t, test_good, 0, ARRAY_LEN(good));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_LEN(bad));
	tcase_add_test(t, test_many_keys);
	tcase_add_test(t, test_alias_bomb);
	tcase_add_test(t, test_depth);
	tcase_add_test(t, test_weight_counts_aliases);
	tcase_add_test(t, test_hash_is_of_content);
	tcase_add_test(t, test_callback_stops);
	tcase_add_loop_test(t, test_files, 0, ARRAY_LEN(files));
	suite_add_tcase(s, t);
	return suite_run(s);
}
