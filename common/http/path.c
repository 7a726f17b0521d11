/* SPDX-License-Identifier: Apache-2.0 */
/* The normal form of a path. */
#include "http/message.h"

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The byte that the escape at p says; -1: it is none. */
static int escaped(const char *p, const char *end)
{
	return *p == '%' && end - p > 2 && hex(p[1]) >= 0 && hex(p[2]) >= 0 ? hex(p[1]) << 4 | hex(p[2]) : -1;
}

static bool unreserved(int c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Escapes that say nothing are undone, those that are missing are made, '\' is '/', and with `slashes` their escapes are, too. */
static bool decode(struct str in, bool slashes, char *out, size_t *ret)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;

	for (const char *p = in.p, *end = in.p + in.n; p < end; p++) {
		int c = escaped(p, end);

		if (c == 0)
			return false;
		if (unreserved(c) || (slashes && (c == '/' || c == '\\'))) {
			out[n++] = c == '\\' ? '/' : (char)c;
			p += 2;
		} else if (*p == '\\') {
			out[n++] = '/';
		} else if (strchr("\"<>^`{|}", *p)) {
			out[n++] = '%';
			out[n++] = digits[(uint8_t)*p >> 4];
			out[n++] = digits[*p & 15];
		} else {
			out[n++] = *p;
		}
	}
	*ret = n;
	return true;
}

/* RFC 3986 5.2.4, in place. */
static size_t remove_dots(char *s, size_t n)
{
	size_t to = 0, at = 0;

	while (at < n) {
		size_t end = at + 1, len;

		while (end < n && s[end] != '/')
			end++;
		len = end - at;      /* with the slash in front */
		if (len == 3 && s[at + 1] == '.' && s[at + 2] == '.') {
			while (to && s[--to] != '/')
				;
			if (end == n)
				s[to++] = '/';
		} else if (len == 2 && s[at + 1] == '.') {
			if (end == n)
				s[to++] = '/';
		} else {
			memmove(s + to, s + at, len);
			to += len;
		}
		at = end;
	}
	if (!to)
		s[to++] = '/';
	return to;
}

static size_t merge_slashes(char *s, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++)
		if (!to || s[i] != '/' || s[to - 1] != '/')
			s[to++] = s[i];
	return to;
}

bool http_path_normalise(struct str path, enum http_path level, char *out, struct str *ret)
{
	const char *mark = path.n ? memchr(path.p, '?', path.n) : NULL;
	struct str head = { path.p, mark ? (size_t)(mark - path.p) : path.n };
	size_t n;

	if (level == HTTP_PATH_NONE || !head.n || head.p[0] != '/') {
		*ret = path;
		return true;
	}
	if (!decode(head, level == HTTP_PATH_DECODE_AND_MERGE_SLASHES, out, &n))
		return false;
	n = remove_dots(out, n);
	if (level >= HTTP_PATH_MERGE_SLASHES)
		n = merge_slashes(out, n);
	if (mark)
		memcpy(out + n, mark, path.n - head.n);
	*ret = (struct str){ out, n + path.n - head.n };
	return true;
}
