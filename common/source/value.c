/* SPDX-License-Identifier: Apache-2.0 */
#include "source/value.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

static size_t digits(struct str s, size_t i)
{
	while (i < s.n && isdigit((unsigned char)s.p[i]))
		i++;
	return i;
}

bool value_is_number(struct str s)
{
	size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+'), from = i, whole, frac = 0;

	if (s.n > i + 2 && s.p[i] == '0' && (s.p[i + 1] == 'x' || s.p[i + 1] == 'o'))
		return true;
	i = digits(s, i);
	whole = i - from;
	if (i < s.n && s.p[i] == '.') {
		from = ++i;
		i = digits(s, i);
		frac = i - from;
	}
	if (whole + frac == 0)
		return false;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
			i++;
		from = i;
		i = digits(s, i);
		if (i == from)
			return false;
	}
	return i == s.n;
}

/* Microseconds of one unit, with its length. */
static uint64_t unit(struct str s, size_t *len)
{
	static const struct { const char *name; uint64_t us; } units[] = {
		{ "ms", 1000 }, { "us", 1 }, { "h", 3600000000u }, { "m", 60000000 }, { "s", 1000000 },
	};

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		*len = strlen(units[i].name);
		if (str_starts(s, str_c(units[i].name)))
			return units[i].us;
	}
	return 0;
}

/* One "1.5s" from the front of *s, added to *us. */
static bool part(struct str *s, uint64_t *us)
{
	uint64_t whole = 0, frac = 0, scale = 1, one;
	size_t i = digits(*s, 0), from, len;

	if (i > 12 || (i && !str_to_u64((struct str){ s->p, i }, &whole)))
		return false;
	from = i;
	if (i < s->n && s->p[i] == '.') {
		size_t end = digits(*s, i + 1);

		if (end - i - 1 > 6 || (end > i + 1 && !str_to_u64((struct str){ s->p + i + 1, end - i - 1 }, &frac)))
			return false;
		for (size_t k = i + 1; k < end; k++)
			scale *= 10;
		from += end - i - 1;
		i = end;
	}
	if (from == 0)
		return false;
	*s = (struct str){ s->p + i, s->n - i };
	one = unit(*s, &len);
	if (!one || whole > UINT64_MAX / 4 / one || frac * one % scale)
		return false;
	*us += whole * one + frac * one / scale;
	*s = (struct str){ s->p + len, s->n - len };
	return *us < UINT64_MAX / 4;
}

bool value_duration(struct str s, uint32_t *ret_ms)
{
	uint64_t us = 0;

	if (s.n == 0 || s.n > 64)
		return false;
	if (str_is(s, "0")) {
		*ret_ms = 0;
		return true;
	}
	while (s.n) {
		if (!part(&s, &us))
			return false;
	}
	if (us % 1000 || us / 1000 > UINT32_MAX)
		return false;
	*ret_ms = (uint32_t)(us / 1000);
	return true;
}

bool value_time(struct str s, int64_t *ret)
{
	int year, month, day, hour, min, sec, len = 0, sign = 0, oh = 0, om = 0;
	struct tm tm = { 0 };
	char text[40];

	if (s.n < 20 || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &year, &month, &day, &hour, &min, &sec, &len) != 6 || !len)
		return false;
	if (text[len] == '.') {
		do
			len++;
		while (isdigit((unsigned char)text[len]));
	}
	if (text[len] == '+' || text[len] == '-') {
		int more = 0;

		sign = text[len] == '+' ? 1 : -1;
		if (sscanf(text + len + 1, "%2d:%2d%n", &oh, &om, &more) != 2)
			return false;
		len += 1 + more;
	} else if (text[len] == 'Z' || text[len] == 'z') {
		len++;
	}
	if ((size_t)len != s.n || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || min > 59 || sec > 60)
		return false;
	tm = (struct tm){ .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = min,
			  .tm_sec = sec };
	*ret = (int64_t)timegm(&tm) - sign * (oh * 3600 + om * 60);
	return true;
}

static bool made_of(const char *s, size_t max, const char *others)
{
	size_t n = strlen(s);

	if (n == 0 || n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!islower((unsigned char)s[i]) && !isdigit((unsigned char)s[i]) && !strchr(others, s[i]))
			return false;
	}
	return isalnum((unsigned char)s[0]) && isalnum((unsigned char)s[n - 1]);
}

bool value_is_name(const char *s) { return made_of(s, 253, ".-"); }
bool value_is_label(const char *s) { return made_of(s, 63, "-"); }
bool value_is_domain(const char *s) { return made_of(s, 253, "._-"); }

bool value_is_host(const char *s)
{
	struct str rest = str_c(s);

	if (rest.n == 0 || rest.n > 255)
		return false;
	if (rest.n > 2 && s[0] == '*' && s[1] == '.')
		rest = (struct str){ s + 2, rest.n - 2 };
	while (rest.n) {
		struct str label = str_cut(rest, '.', &rest);
		char text[64];

		if (label.n == 0 || label.n > 63)
			return false;
		memcpy(text, label.p, label.n);
		text[label.n] = '\0';
		if (!made_of(text, 63, "-"))
			return false;
		if (!rest.n)   /* no dot at the end, and no number there */
			return rest.p == NULL && digits(label, 0) != label.n;
	}
	return false;
}

bool value_is_host_any(const char *s)
{
	size_t n = strlen(s), star = n && s[0] == '*';
	char text[256];

	if (n == 0 || n >= sizeof(text))
		return false;
	for (size_t i = 0; i <= n; i++)
		text[i] = (char)tolower((unsigned char)s[i]);
	if (star && text[1] != '.' && text[1])
		return value_is_host(text + (text[1] == '-' ? 2 : 1));
	return value_is_host(text);
}

static bool protocol_word(struct str s, enum port_protocol *ret)
{
	static const struct { const char *word; enum port_protocol is; } words[] = {
		{ "http", PROTOCOL_HTTP }, { "http_proxy", PROTOCOL_HTTP }, { "http-proxy", PROTOCOL_HTTP }, { "http2", PROTOCOL_HTTP2 },
		{ "grpc", PROTOCOL_GRPC }, { "grpc-web", PROTOCOL_GRPC }, { "grpcweb", PROTOCOL_GRPC }, { "https", PROTOCOL_TLS },
		{ "tls", PROTOCOL_TLS }, { "tcp", PROTOCOL_TCP }, { "mongo", PROTOCOL_TCP }, { "redis", PROTOCOL_TCP },
		{ "mysql", PROTOCOL_TCP }, { "udp", PROTOCOL_TCP }, { "hbone", PROTOCOL_TCP }, { "kubernetes.io/h2c", PROTOCOL_HTTP2 },
		{ "kubernetes.io/ws", PROTOCOL_HTTP }, { "kubernetes.io/wss", PROTOCOL_TLS },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq_nocase(s, str_c(words[i].word))) {
			*ret = words[i].is;
			return true;
		}
	}
	return false;
}

enum port_protocol value_port_protocol(const char *protocol, const char *name, uint16_t port)
{
	struct str rest, first = str_cut(str_c(name), '-', &rest);
	enum port_protocol is = PROTOCOL_AUTO;

	if (*protocol)
		return protocol_word(str_c(protocol), &is) ? is : PROTOCOL_AUTO;
	if (str_starts(str_c(name), str_c("grpc-web")) && (!name[8] || name[8] == '-'))
		return PROTOCOL_GRPC;
	if (protocol_word(first, &is))
		return is;
	return port == 3306 || port == 27017 || port == 25 || port == 53 ? PROTOCOL_TCP : PROTOCOL_AUTO;
}
