/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/rootset.h"

#include <stdlib.h>

struct text {
	unsigned refs;
	struct str pem;      /* owned */
};

bool rootset_add(struct rootset *s, struct str pem)
{
	struct text *t = pem.n ? map_get(&s->texts, pem) : NULL;

	if (t)
		t->refs++;
	if (t || !pem.n)
		return false;
	t = xcalloc(1, sizeof(*t));
	t->refs = 1;
	t->pem = (struct str){ str_dup(pem), pem.n };
	map_put(&s->texts, t->pem, t);
	return true;
}

static void text_free(struct text *t)
{
	free((char *)t->pem.p);
	free(t);
}

bool rootset_del(struct rootset *s, struct str pem)
{
	struct text *t = pem.n ? map_get(&s->texts, pem) : NULL;

	if (!t || --t->refs > 0)
		return false;
	map_del(&s->texts, pem);
	text_free(t);
	return true;
}

void rootset_format(const struct rootset *s, struct buf *out)
{
	map_each(slot, &s->texts) {
		struct text *t = slot->value;

		buf_append(out, t->pem.p, t->pem.n);
		buf_puts(out, "\n");
	}
}

void rootset_done(struct rootset *s)
{
	map_each(slot, &s->texts)
		text_free(slot->value);
	map_done(&s->texts);
}
