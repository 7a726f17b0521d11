/* SPDX-License-Identifier: Apache-2.0 */
/* What a verified JSON web token says. Immutable, shared by reference; any thread. */
#ifndef POLICY_CLAIMS_H
#define POLICY_CLAIMS_H

#include "base/str.h"

struct claims;

/* payload: a JSON object. words: claims whose text is a list of words (scope and permission always are). NULL: it is none, or too
 * deep, or memory is out. */
struct claims *claims_new(struct str payload, const char *const *words, int n_words);
struct claims *claims_ref(const struct claims *c);
void claims_unref(const struct claims *c);           /* NULL ok */
/* What a member of the object is. */
enum claim_kind { CLAIM_NONE, CLAIM_TEXT, CLAIM_TEXTS, CLAIM_OTHER };
enum claim_kind claims_kind(const struct claims *c, const char *name);
bool claims_number(const struct claims *c, const char *name, double *ret);   /* false: it is none */
/* Texts at a path: the string there, or each string of the list there. Stops, and is true, when fn returns true. */
bool claims_any(const struct claims *c, const char *const *path, int n, bool (*fn)(struct str text, void *arg), void *arg);
/* The string at a path; p NULL: there is none. Lives as long as c. */
struct str claims_text(const struct claims *c, const char *const *path, int n);
/* What a header may say of a claim: a string, number or boolean as text; anything else as JSON, and not plain. False: there is none, or it does
 * not fit, or no header can hold it. */
bool claims_format(const struct claims *c, const char *const *path, int n, char *out, size_t size, size_t *ret, bool *ret_plain);

#endif
