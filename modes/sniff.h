/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection carries, told from the client's first bytes and from nothing else: no timer decides. The bytes that were
 * looked at are then handed to whoever takes the stage over, as if they had just come. */
#ifndef MODES_SNIFF_H
#define MODES_SNIFF_H

#include "base/buf.h"
#include "io/stage.h"
#include "tls/hello.h"

enum sniff_kind {
	SNIFF_MORE,          /* not known yet */
	SNIFF_TLS,           /* hello says more */
	SNIFF_HTTP1,         /* a request line of HTTP/1.0 or 1.1 with a registered method */
	SNIFF_HTTP2,         /* the preface of RFC 9113 3.4 */
	SNIFF_OTHER,
	SNIFF_MEMORY,        /* out of memory: bytes are lost, the connection cannot go on */
};

/* All zero is a valid start. */
struct sniff {
	struct buf seen;     /* what came in earlier events */
	struct hello hello;  /* of SNIFF_TLS */
	const struct iovec *lent;
	int n_lent;
};

/* In the stage's DATA event: these bytes came, too. Anything but MORE is the last word. */
enum sniff_kind sniff_take(struct sniff *s, const struct iovec *iov, int n);
/* In the same event, or in EOF: gives all bytes to the stage's present receiver as a DATA event, if there are any. */
void sniff_hand_on(struct sniff *s, struct stage *from);
size_t sniff_bytes(const struct sniff *s);           /* what hand_on would give */
void sniff_done(struct sniff *s);

/* The same for a text: without TLS. */
enum sniff_kind sniff_http(const uint8_t *p, size_t n);

#endif
