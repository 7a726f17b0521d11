/* SPDX-License-Identifier: Apache-2.0 */
/* A byte queue: append at the end, take from the front. Memory is released when it runs empty. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "base/str.h"

struct buf {
	uint8_t *mem;    /* owned */
	size_t head;     /* first unread byte */
	size_t tail;     /* one past the last byte */
	size_t cap;
};

static inline size_t buf_len(const struct buf *b) { return b->tail - b->head; }
static inline uint8_t *buf_data(const struct buf *b) { return b->mem + b->head; }
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ (const char *)b->mem + b->head, buf_len(b) };
}

/* 0, or -ENOMEM with the buffer unchanged. */
int buf_append_more(struct buf *b, const void *p, size_t n);
static inline int buf_append(struct buf *b, const void *p, size_t n)
{
	if (n > b->cap - b->tail || !n)
		return buf_append_more(b, p, n);
	memcpy(b->mem + b->tail, p, n);
	b->tail += n;
	return 0;
}
int buf_append_iov(struct buf *b, const struct iovec *iov, int n, size_t skip);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline int buf_puts(struct buf *b, const char *s) { return buf_append(b, s, strlen(s)); }
/* Room for n more bytes at the end; NULL when memory is out. Commit with buf_added. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);
/* Drops n bytes from the front; frees the memory when that empties it. */
void buf_consume(struct buf *b, size_t n);
void buf_done(struct buf *b);
/* Appends s as a JSON string, quotes included; invalid UTF-8 becomes U+FFFD. */
int buf_json_str(struct buf *b, struct str s);

size_t iov_len(const struct iovec *iov, int n);

#endif
