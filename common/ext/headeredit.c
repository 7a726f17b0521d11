/* SPDX-License-Identifier: Apache-2.0 */
#include "ext/headeredit.h"

void header_edits_add(struct arena *a, struct header_edits *e, enum header_edit_kind kind, const char *name, struct str value)
{
	struct http_field one = { str_c(name), value };
	struct http_head head = { .status = 200, .fields = &one, .n_fields = 1 };

	/* What says how long a message is belongs to its codec. */
	if (!http_sendable(&head, false) || str_eq_nocase(one.name, str_c("content-length")))
		return;
	if (e->n == e->cap) {
		int cap = e->cap ? e->cap * 2 : 8;
		struct header_edit *v = arena_alloc(a, (size_t)cap * sizeof(*v));

		if (e->n)
			memcpy(v, e->v, (size_t)e->n * sizeof(*v));
		e->v = v;
		e->cap = cap;
	}
	e->v[e->n++] = (struct header_edit){ kind, name, value };
}

void header_edits_apply(const struct header_edits *e, struct http_fields *f)
{
	for (int i = 0; i < e->n; i++) {
		const struct header_edit *h = &e->v[i];
		bool there = fields_get(f, h->name).p != NULL;

		if (h->kind == EDIT_REMOVE)
			fields_remove(f, str_c(h->name));
		else if (h->kind == EDIT_SET || (h->kind == EDIT_OVERWRITE_IF_THERE && there))
			fields_set(f, h->name, h->value);
		else if (h->kind == EDIT_APPEND || (h->kind == EDIT_ADD_IF_ABSENT && !there))
			fields_add(f, h->name, h->value);
	}
}
