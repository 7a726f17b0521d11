/* SPDX-License-Identifier: Apache-2.0 */
#include <strings.h>

#include "ext/extauthz_int.h"

static bool is_listed(const struct match *m, int n, struct str name)
{
	for (int i = 0; i < n; i++) {
		size_t len = strlen(m[i].text);

		if (m[i].kind == MATCH_PRESENCE || (m[i].kind == MATCH_EXACT && str_eq_nocase(name, str_c(m[i].text))) ||
		    (m[i].kind == MATCH_PREFIX && name.n >= len && strncasecmp(name.p, m[i].text, len) == 0) ||
		    (m[i].kind == MATCH_SUFFIX && name.n >= len && strncasecmp(name.p + name.n - len, m[i].text, len) == 0))
			return true;
	}
	return false;
}

static bool is_any(struct str name, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(name, str_c(v[i])))
			return true;
	return false;
}

void extauthz_http_ask(struct exchange *x, const struct ext_provider *p, struct str body, struct extauthz_question *ret)
{
	struct http_fields f = { .arena = &x->arena };

	for (int i = 0; i < x->request_fields.n; i++) {
		const struct http_field *h = &x->request_fields.v[i];

		if (str_eq_nocase(h->name, str_c("authorization")) || is_listed(p->include, p->n_include, h->name))
			fields_add(&f, exchange_dup(x, h->name).p, h->value);
	}
	fields_remove(&f, str_c("content-length"));
	if (body.n)
		fields_add(&f, "content-length", exchange_printf(x, "%zu", body.n));
	for (int i = 0; i < p->n_add; i++)
		fields_set(&f, p->add[i].key, str_c(p->add[i].value));
	*ret = (struct extauthz_question){
		.head = {
			.method = x->request.method, .authority = x->request.authority, .scheme = str_c("http"),
			.path = exchange_printf(x, "%s%.*s", p->path_prefix, STR_FMT(x->request.path)),
			.fields = f.v, .n_fields = f.n, .end = body.n == 0,
		},
		.body = body,
	};
}

static void allow(struct exchange *x, const struct ext_provider *p, const struct http_head *head, struct extauthz_answer *a)
{
	for (int i = 0; i < head->n_fields; i++) {
		const struct http_field *h = &head->fields[i];
		struct str value = exchange_dup(x, h->value);
		const char *name = exchange_dup(x, h->name).p;

		if (is_listed(p->up_on_allow, p->n_up_on_allow, h->name))
			header_edits_add(&x->arena, &a->request, EDIT_SET, name, value);
		if (is_listed(p->down_on_allow, p->n_down_on_allow, h->name))
			header_edits_add(&x->arena, &a->response, EDIT_APPEND, name, value);
	}
}

static void deny(struct exchange *x, const struct ext_provider *p, const struct urequest_reply *r, struct extauthz_answer *a)
{
	static const char *const always[] = { "www-authenticate", "location" };

	a->status = r->head->status;
	a->body = exchange_dup(x, r->body);
	for (int i = 0; i < r->head->n_fields; i++) {
		const struct http_field *h = &r->head->fields[i];

		if (p->n_down_on_deny == 0 || is_any(h->name, always, ARRAY_LEN(always)) || is_listed(p->down_on_deny, p->n_down_on_deny, h->name))
			header_edits_add(&x->arena, &a->response, EDIT_APPEND, exchange_dup(x, h->name).p, exchange_dup(x, h->value));
	}
}

void extauthz_http_answer(struct exchange *x, const struct ext_provider *p, const struct urequest_reply *r, struct extauthz_answer *ret)
{
	int status = r->head->status;

	*ret = (struct extauthz_answer){ .verdict = status == 200 ? EXTAUTHZ_ALLOWED : EXTAUTHZ_DENIED };
	if (status >= 500) {
		ret->verdict = EXTAUTHZ_ERROR;
		ret->error = exchange_printf(x, "the server answered %d", status).p;
	} else if (status == 200) {
		allow(x, p, r->head, ret);
	} else {
		deny(x, p, r, ret);
	}
}
