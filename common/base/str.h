/* SPDX-License-Identifier: Apache-2.0 */
/* A borrowed span of text, and the helpers everybody needs. Not NUL-terminated. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

struct str {
	const char *p;
	size_t n;
};

/* For "%.*s" in a format. */
#define STR_FMT(s) (int)(s).n, (s).p

static inline struct str str_c(const char *c)
{
	return (struct str){ c, c ? strlen(c) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *c)
{
	return str_eq(a, str_c(c));
}

static inline bool str_starts(struct str a, struct str prefix)
{
	return a.n >= prefix.n && memcmp(a.p, prefix.p, prefix.n) == 0;
}

static inline bool str_ends(struct str a, struct str suffix)
{
	return a.n >= suffix.n && memcmp(a.p + a.n - suffix.n, suffix.p, suffix.n) == 0;
}

bool str_eq_nocase(struct str a, struct str b);

/* No byte of it is a control character: below the blank, or DEL. */
bool str_is_plain(struct str s);

/* The part before the first sep; *rest gets what follows it (n == 0, p == NULL when sep was absent). */
struct str str_cut(struct str s, char sep, struct str *rest);

/* Decimal without sign or blanks. False on anything else or overflow. */
bool str_to_u64(struct str s, uint64_t *ret);

/* NUL-terminated copy on the heap; exits when memory is out (startup and control thread only). */
char *str_dup(struct str s);

uint64_t hash_bytes(const void *p, size_t n);   /* seeded per process */

/* malloc family that exits with a message instead of returning NULL: for startup and control. */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
