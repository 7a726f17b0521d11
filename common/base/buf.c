/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b), cap = b->cap;
	uint8_t *mem;

	if (b->cap - b->tail >= n)
		return b->mem + b->tail;
	if (b->head && b->cap - len >= n && b->head >= len) {
		memcpy(b->mem, b->mem + b->head, len);
		b->head = 0;
		b->tail = len;
		return b->mem + len;
	}
	if (n > SIZE_MAX / 2 - len)
		return NULL;
	cap = cap < 256 ? 256 : cap;
	while (cap - len < n)
		cap += cap / 2;
	mem = malloc(cap);
	if (!mem)
		return NULL;
	if (len)
		memcpy(mem, b->mem + b->head, len);
	free(b->mem);
	*b = (struct buf){ .mem = mem, .tail = len, .cap = cap };
	return mem + len;
}

void buf_added(struct buf *b, size_t n)
{
	b->tail += n;
}

int buf_append_more(struct buf *b, const void *p, size_t n)
{
	uint8_t *at;

	if (n == 0)
		return 0;
	at = buf_reserve(b, n);
	if (!at)
		return -ENOMEM;
	memcpy(at, p, n);
	b->tail += n;
	return 0;
}

int buf_append_iov(struct buf *b, const struct iovec *iov, int n, size_t skip)
{
	size_t total = iov_len(iov, n);

	if (skip >= total)
		return 0;
	if (!buf_reserve(b, total - skip))
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		size_t off = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		skip -= off;
		buf_append(b, (const uint8_t *)iov[i].iov_base + off, iov[i].iov_len - off);
	}
	return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;
	uint8_t *at;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	at = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
	if (!at)
		return -ENOMEM;
	va_start(ap, fmt);
	vsnprintf((char *)at, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->tail += (size_t)n;
	return 0;
}

void buf_consume(struct buf *b, size_t n)
{
	b->head += n;
	if (b->head >= b->tail)
		buf_done(b);
}

void buf_done(struct buf *b)
{
	free(b->mem);
	*b = (struct buf){ 0 };
}

/* Length of the UTF-8 sequence at p, or 0 when it is not valid. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 :
		     p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

int buf_json_str(struct buf *b, struct str s)
{
	int r = buf_append(b, "\"", 1);

	for (size_t i = 0; i < s.n;) {
		size_t plain = 0;

		const uint8_t *p = (const uint8_t *)s.p + i;
		size_t len;

		while (plain < s.n - i && p[plain] >= 0x20 && p[plain] < 0x7f && p[plain] != '"' && p[plain] != '\\')
			plain++;
		if (plain) {
			r |= buf_append(b, p, plain);
			i += plain;
			continue;
		}
		len = utf8_len(p, s.n - i);
		if (len == 0)
			r |= buf_puts(b, "\\ufffd");
		else if (*p == '"' || *p == '\\')
			r |= buf_printf(b, "\\%c", *p);
		else if (*p == '\n')
			r |= buf_puts(b, "\\n");
		else if (*p == '\t')
			r |= buf_puts(b, "\\t");
		else if (*p < 0x20 || *p == 0x7f)
			r |= buf_printf(b, "\\u%04x", *p);
		else
			r |= buf_append(b, p, len);
		i += len ? len : 1;
	}
	r |= buf_append(b, "\"", 1);
	return r ? -ENOMEM : 0;
}

size_t iov_len(const struct iovec *iov, int n)
{
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}
