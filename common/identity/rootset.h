/* SPDX-License-Identifier: Apache-2.0 */
/* The roots that a CA names with its certificates: what one of them brings is trusted by all, until none brings it any more.
 * So a new root is known before the first peer shows a certificate of it. */
#ifndef IDENTITY_ROOTSET_H
#define IDENTITY_ROOTSET_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/map.h"

/* Zeroed: empty. Texts are counted as they are: a CA says the same roots in the same words. */
struct rootset {
	struct map texts;
};

/* True when there is one more, or one less, now. Empty text: nothing. */
bool rootset_add(struct rootset *s, struct str pem);
bool rootset_del(struct rootset *s, struct str pem);
/* Appends all of them, a newline after each. Certificates may occur twice. */
void rootset_format(const struct rootset *s, struct buf *out);
void rootset_done(struct rootset *s);

#endif
