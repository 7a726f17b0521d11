/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer may do to the head of a message that it was asked about. */
#ifndef EXT_HEADEREDIT_H
#define EXT_HEADEREDIT_H

#include "http/exchange.h"

enum header_edit_kind { EDIT_SET, EDIT_APPEND, EDIT_ADD_IF_ABSENT, EDIT_OVERWRITE_IF_THERE, EDIT_REMOVE };
struct header_edit {
	enum header_edit_kind kind;
	const char *name;
	struct str value;
};

struct header_edits {
	struct header_edit *v;
	int n, cap;
};

/* Grows in the arena; name and value are borrowed. Nothing is added that could not be sent, or that routes the message. */
void header_edits_add(struct arena *a, struct header_edits *e, enum header_edit_kind kind, const char *name, struct str value);
void header_edits_apply(const struct header_edits *e, struct http_fields *f);

#endif
