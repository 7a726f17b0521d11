/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

bool str_is_plain(struct str s)
{
	typedef uint8_t block __attribute__((vector_size(16)));
	block v, found = { 0 };
	uint64_t any[2];
	size_t i = 0;

	/* Blocks, the last one over bytes that were seen before. */
	while (s.n >= sizeof(v) && i < s.n) {
		i = i + sizeof(v) <= s.n ? i : s.n - sizeof(v);
		memcpy(&v, s.p + i, sizeof(v));
		found |= (block)(v < ' ') | (block)(v == 0x7f);
		i += sizeof(v);
	}
	memcpy(any, &found, sizeof(any));
	if (any[0] | any[1])
		return false;
	if (i == s.n)
		return true;
	/* A short one is filled up with blanks. */
	v = (block){ 0 } + ' ';
	memcpy(&v, s.p, s.n);
	v = (block)(v < ' ') | (block)(v == 0x7f);
	memcpy(any, &v, sizeof(any));
	return !(any[0] | any[1]);
}

bool str_eq_nocase(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || (((a.p[0] ^ b.p[0]) & ~0x20) == 0 && strncasecmp(a.p, b.p, a.n) == 0));
}

struct str str_cut(struct str s, char sep, struct str *rest)
{
	const char *at = s.n ? memchr(s.p, sep, s.n) : NULL;
	size_t n;

	if (!at) {
		*rest = (struct str){ NULL, 0 };
		return s;
	}
	n = (size_t)(at - s.p);
	*rest = (struct str){ at + 1, s.n - n - 1 };
	return (struct str){ s.p, n };
}

bool str_to_u64(struct str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 20)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)(unsigned char)s.p[i] - '0';

		if (d > 9 || __builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, d, &v))
			return false;
	}
	*ret = v;
	return true;
}

char *str_dup(struct str s)
{
	char *c = xmalloc(s.n + 1);

	if (s.n)
		memcpy(c, s.p, s.n);
	c[s.n] = '\0';
	return c;
}

static uint64_t seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_make(void)
{
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)&seed;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t r = (__uint128_t)a * b;

	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static uint64_t load(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

/* Multiply-and-fold over 16 bytes a step: fast, and seeded, so that a peer cannot choose colliding keys. */
uint64_t hash_bytes(const void *data, size_t n)
{
	const uint8_t *p = data;
	uint64_t h;

	pthread_once(&seed_once, seed_make);
	h = seed ^ n;
	for (; n > 16; p += 16, n -= 16)
		h = mix(load(p, 8) ^ 0xa0761d6478bd642fu ^ h, load(p + 8, 8) ^ 0xe7037ed1a0b428dbu ^ seed);
	if (n > 8)
		h = mix(load(p, 8) ^ 0xa0761d6478bd642fu ^ h, load(p + 8, n - 8) ^ 0xe7037ed1a0b428dbu ^ seed);
	else if (n)
		h = mix(load(p, n) ^ 0xa0761d6478bd642fu ^ h, 0xe7037ed1a0b428dbu ^ seed);
	return mix(h ^ 0x8ebc6af09c88c6e3u, seed | 1);
}

static void *need(void *p)
{
	if (!p) {
		fputs("meshd: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *xmalloc(size_t n)
{
	return need(malloc(n ? n : 1));
}

void *xcalloc(size_t n, size_t size)
{
	return need(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t n)
{
	return need(realloc(p, n ? n : 1));
}

char *xstrdup(const char *s)
{
	return need(strdup(s));
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return need(s);
}
