/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions, by RE2: syntax https://github.com/google/re2/wiki/Syntax, time linear in the text whatever the
 * pattern. Compiled ones are immutable and may be used by any thread. */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

struct regex;
/* NULL with err: not a regular expression, or one whose program is larger than LIMIT_REGEX_PROGRAM. */
struct regex *regex_new(struct str pattern, struct err *err);
void regex_free(struct regex *r);                    /* NULL ok */
bool regex_match(const struct regex *r, struct str text);       /* the whole text */
/* Whether `rewrite` may be given to regex_replace: \0 to \9 are the groups, \\ is a backslash. */
bool regex_rewrite_ok(const struct regex *r, struct str rewrite, struct err *err);
/* Replaces every match in the text. *ret is malloc'ed, for the caller to free; false when nothing matched or the result would
 * be longer than max. */
bool regex_replace(const struct regex *r, struct str text, struct str rewrite, size_t max, struct str *ret);

/* Many at once, of which each must match the whole text. */
struct regex_set;
struct regex_set *regex_set_new(const struct str *patterns, int n);  /* each has passed regex_new; NULL: too large together */
void regex_set_free(struct regex_set *s);            /* NULL ok */
/* Sets bit i of `ret` (n bits, zeroed by the caller) for each that matches. False: it gave up for want of memory; ask each by itself. */
bool regex_set_match(const struct regex_set *s, struct str text, uint64_t *ret);

#ifdef __cplusplus
}
#endif
#endif
