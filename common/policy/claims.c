/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/claims.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct claims {
	atomic_uint refs;
	json_t *root;
	json_t *whole;               /* the texts of those that became lists of words; NULL: none did */
};

/* "a b c" becomes a list, as Envoy's normalize_payload_in_metadata. */
static void split_words(json_t *root, json_t **whole, const char *name)
{
	json_t *text = json_object_get(root, name), *list;
	struct str rest;

	if (!json_is_string(text) || !strchr(json_string_value(text), ' '))
		return;
	list = json_array();
	rest = (struct str){ json_string_value(text), json_string_length(text) };
	while (rest.n) {
		struct str word = str_cut(rest, ' ', &rest);

		if (word.n)
			json_array_append_new(list, json_stringn(word.p, word.n));
	}
	*whole = *whole ? *whole : json_object();
	json_object_set(*whole, name, text);
	json_object_set_new(root, name, list);
}

struct claims *claims_new(struct str payload, const char *const *words, int n_words)
{
	/* Refuses trailing bytes, doubled names, and depths that jansson does not follow. */
	json_t *root = json_loadb(payload.p, payload.n, JSON_REJECT_DUPLICATES, NULL);
	struct claims *c = json_is_object(root) ? malloc(sizeof(*c)) : NULL;

	if (!c) {
		json_decref(root);
		return NULL;
	}
	c->whole = NULL;
	split_words(root, &c->whole, "scope");
	split_words(root, &c->whole, "permission");
	for (int i = 0; i < n_words; i++)
		split_words(root, &c->whole, words[i]);
	atomic_init(&c->refs, 1);
	c->root = root;
	return c;
}

struct claims *claims_ref(const struct claims *c)
{
	atomic_fetch_add_explicit(&((struct claims *)c)->refs, 1, memory_order_relaxed);
	return (struct claims *)c;
}

void claims_unref(const struct claims *c)
{
	if (!c || atomic_fetch_sub_explicit(&((struct claims *)c)->refs, 1, memory_order_acq_rel) != 1)
		return;
	json_decref(c->root);
	json_decref(c->whole);
	free((struct claims *)c);
}

static const json_t *at_path(const struct claims *c, const char *const *path, int n)
{
	const json_t *at = c->root;

	for (int i = 0; at && i < n; i++)
		at = json_object_get(at, path[i]);
	return at;
}

static struct str text_of(const json_t *j)
{
	return json_is_string(j) ? (struct str){ json_string_value(j), json_string_length(j) } : (struct str){ NULL, 0 };
}

bool claims_any(const struct claims *c, const char *const *path, int n, bool (*fn)(struct str text, void *arg), void *arg)
{
	const json_t *at = at_path(c, path, n);

	if (json_is_string(at))
		return fn(text_of(at), arg);
	for (size_t i = 0; json_is_array(at) && i < json_array_size(at); i++) {
		struct str text = text_of(json_array_get(at, i));

		if (text.p && fn(text, arg))
			return true;
	}
	return false;
}

struct str claims_text(const struct claims *c, const char *const *path, int n)
{
	return text_of(at_path(c, path, n));
}

enum claim_kind claims_kind(const struct claims *c, const char *name)
{
	const json_t *j = json_object_get(c->root, name);

	if (!j)
		return CLAIM_NONE;
	if (json_is_string(j))
		return CLAIM_TEXT;
	if (!json_is_array(j))
		return CLAIM_OTHER;
	for (size_t i = 0; i < json_array_size(j); i++)
		if (!json_is_string(json_array_get(j, i)))
			return CLAIM_OTHER;
	return CLAIM_TEXTS;
}

bool claims_number(const struct claims *c, const char *name, double *ret)
{
	const json_t *j = json_object_get(c->root, name);

	if (!json_is_number(j))
		return false;
	*ret = json_number_value(j);
	return true;
}

static bool is_printable(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < ' ' || p[i] == 0x7f)
			return false;
	return true;
}

bool claims_format(const struct claims *c, const char *const *path, int n, char *out, size_t size, size_t *ret, bool *ret_plain)
{
	const json_t *text = n == 1 ? json_object_get(c->whole, path[0]) : NULL, *j = text ? text : at_path(c, path, n);
	size_t len;

	if (!j || json_is_null(j))
		return false;
	*ret_plain = !json_is_object(j) && !json_is_array(j);
	if (json_is_string(j))
		len = (size_t)snprintf(out, size, "%s", json_string_value(j));
	else if (json_is_integer(j))
		len = (size_t)snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
	else if (json_is_boolean(j))
		len = (size_t)snprintf(out, size, "%s", json_is_true(j) ? "true" : "false");
	else
		len = json_dumpb(j, out, size, JSON_COMPACT | JSON_ENCODE_ANY);
	if (len >= size || !len || !is_printable(out, len))
		return false;
	*ret = len;
	return true;
}
