/* SPDX-License-Identifier: Apache-2.0 */
#include "modes/sniff.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* RFC 9110 9, 5789, 4918, 3253, 3744, 5323, 5842, 4791, UPnP. Others are not taken for HTTP: most are another protocol's first word. */
static const char *const methods[] = {
	"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH",
	"SEARCH", "UNLOCK", "BIND", "REBIND", "UNBIND", "ACL", "REPORT", "MKACTIVITY", "CHECKOUT", "CHECKIN", "MERGE", "M-SEARCH", "NOTIFY", "SUBSCRIBE",
	"UNSUBSCRIBE", "PURGE", "MKCALENDAR", "LINK", "UNLINK", "LABEL", "UPDATE", "UNCHECKOUT", "VERSION-CONTROL", "BASELINE-CONTROL", "ORDERPATCH",
};

/* Length of the method with its blank; 0: none; n + 1: it may become one. */
static size_t method_bytes(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		size_t m = strlen(methods[i]);

		if (n > m ? memcmp(p, methods[i], m) == 0 && p[m] == ' ' : memcmp(p, methods[i], n) == 0)
			return n > m ? m + 1 : n + 1;
	}
	return 0;
}

/* "HTTP/1.1\r\n" */
static enum sniff_kind judge_version(const uint8_t *p, size_t n)
{
	static const char version[] = "HTTP/1.";
	size_t m = sizeof(version) - 1;

	if (memcmp(p, version, n < m ? n : m) != 0)
		return SNIFF_OTHER;
	if (n <= m)
		return SNIFF_MORE;
	if (p[m] != '0' && p[m] != '1')
		return SNIFF_OTHER;
	if (n == m + 1)
		return SNIFF_MORE;
	return p[m + 1] == '\n' || p[m + 1] == '\r' ? SNIFF_HTTP1 : SNIFF_OTHER;
}

enum sniff_kind sniff_http(const uint8_t *p, size_t n)
{
	size_t at, target;

	if (n && memcmp(p, preface, n < sizeof(preface) - 1 ? n : sizeof(preface) - 1) == 0)
		return n < sizeof(preface) - 1 ? SNIFF_MORE : SNIFF_HTTP2;
	/* RFC 9112 2.2: an empty line before the request is ignored. */
	for (at = 0; at < n && at < 4 && (p[at] == '\r' || p[at] == '\n'); at++)
		;
	p += at;
	n -= at;
	target = method_bytes(p, n);
	if (target == 0)
		return SNIFF_OTHER;
	for (at = target; at < n && p[at] > ' ' && p[at] != 0x7f; at++)
		;
	if (at < n && (p[at] != ' ' || at == target))
		return SNIFF_OTHER;
	if (at >= n)
		return n > LIMIT_SNIFF_BYTES ? SNIFF_HTTP1 : SNIFF_MORE;   /* a target that long is HTTP's to refuse */
	return judge_version(p + at + 1, n - at - 1);
}

static enum sniff_kind look(struct sniff *s, const uint8_t *p, size_t n)
{
	enum hello_state tls = hello_parse(p, n, &s->hello);

	if (tls != HELLO_NONE)
		return tls == HELLO_OK ? SNIFF_TLS : SNIFF_MORE;
	return sniff_http(p, n);
}

enum sniff_kind sniff_take(struct sniff *s, const struct iovec *iov, int n)
{
	enum sniff_kind kind;

	if (buf_len(&s->seen) == 0 && n == 1) {
		s->lent = iov;
		s->n_lent = n;
		kind = look(s, iov->iov_base, iov->iov_len);
		if (kind != SNIFF_MORE)
			return kind;
		s->lent = NULL;
	}
	if (buf_append_iov(&s->seen, iov, n, 0) < 0)
		return SNIFF_MEMORY;
	return look(s, buf_data(&s->seen), buf_len(&s->seen));
}

void sniff_hand_on(struct sniff *s, struct stage *from)
{
	struct buf seen = s->seen;
	struct iovec iov = { buf_data(&seen), buf_len(&seen) };
	const struct iovec *lent = s->lent;
	int n = s->n_lent;

	s->seen = (struct buf){ 0 };
	s->lent = NULL;
	if (lent)
		stage_emit(from, STAGE_DATA, lent, n);
	else if (iov.iov_len)
		stage_emit(from, STAGE_DATA, &iov, 1);
	buf_done(&seen);
}

size_t sniff_bytes(const struct sniff *s)
{
	return s->lent ? iov_len(s->lent, s->n_lent) : buf_len(&s->seen);
}

void sniff_done(struct sniff *s)
{
	buf_done(&s->seen);
	s->lent = NULL;
}
