/* SPDX-License-Identifier: Apache-2.0 */
/* OpenTelemetry's variables. https://opentelemetry.io/docs/specs/otel/protocol/exporter/ */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "src/settings_int.h"

#define PAIRS_MAX 64
#define TIMEOUT_MS 10000

/* The variable of traces, else of all signals. *name says which it was. */
static const char *either(const char *traces, const char *all, const char **name)
{
	const char *v = settings_env(traces);

	*name = v ? traces : all;
	return v ? v : settings_env(all);
}

static int hex(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at && c != '\0' ? (int)(at - digits) : -1;
}

static const char *decode(struct settings *s, struct str v)
{
	char *to = arena_dup(&s->mem, v), *at = to;

	for (size_t i = 0; i < v.n; i++) {
		int a = v.p[i] == '%' && i + 2 < v.n ? hex(v.p[i + 1]) : -1, b = a >= 0 ? hex(v.p[i + 2]) : -1;

		*at++ = b >= 0 ? (char)(a * 16 + b) : v.p[i];
		i += b >= 0 ? 2 : 0;
	}
	*at = '\0';
	return to;
}

static struct str trim(struct str s)
{
	while (s.n && s.p[0] == ' ')
		s = (struct str){ s.p + 1, s.n - 1 };
	while (s.n && s.p[s.n - 1] == ' ')
		s.n--;
	return s;
}

/* "name=value,name=value", values percent-encoded. */
static int read_pairs(struct settings *s, const char *name, const char *v, struct setting_pairs *ret, struct err *err)
{
	struct setting_pair *pairs = arena_alloc(&s->mem, PAIRS_MAX * sizeof(*pairs));

	*ret = (struct setting_pairs){ pairs, 0 };
	for (struct str rest = str_c(v); rest.p;) {
		struct str value, one = str_cut(rest, ',', &rest), key = trim(str_cut(one, '=', &value));

		if (!trim(one).n)
			continue;
		if (!key.n || !value.p || ret->n == PAIRS_MAX)
			return err_set(err, -EINVAL, "%s: want at most %d of name=value, with commas between, got '%.*s'", name, PAIRS_MAX, STR_FMT(one));
		pairs[ret->n++] = (struct setting_pair){ arena_dup(&s->mem, key), decode(s, trim(value)) };
	}
	return 0;
}

static int read_sampler(struct settings *s, struct err *err)
{
	static const enum setting_sampler kinds[] = { SAMPLER_ALWAYS, SAMPLER_NEVER, SAMPLER_RATIO };
	const char *v = settings_env("OTEL_TRACES_SAMPLER"), *arg = settings_env("OTEL_TRACES_SAMPLER_ARG");
	int word = 0, r = v ? settings_word("OTEL_TRACES_SAMPLER", v, &word, err) : 0;
	char *end = NULL;

	if (r < 0)
		return r;
	s->otlp.sampler = kinds[word % 3];
	s->otlp.ratio = 1;
	if (s->otlp.sampler != SAMPLER_RATIO || !arg)
		return 0;
	s->otlp.ratio = strtod(arg, &end);
	if (*end || !(s->otlp.ratio >= 0 && s->otlp.ratio <= 1))
		return err_set(err, -EINVAL, "OTEL_TRACES_SAMPLER_ARG: want a ratio from 0 to 1, got '%.200s'", arg);
	return 0;
}

static int read_endpoint(struct settings *s, struct err *err)
{
	const char *name, *v = either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", &name);
	struct str at = str_c(v);
	struct buf url = { 0 };

	if (strncmp(v, "http://", 7) != 0 && strncmp(v, "https://", 8) != 0)
		return err_set(err, -EINVAL, "%s: want http://HOST:PORT or https://HOST:PORT, got '%.200s'", name, v);
	while (at.n && at.p[at.n - 1] == '/')
		at.n--;
	buf_append(&url, at.p, at.n);
	/* Of the variable for all signals the path of traces is not a part. */
	if (s->otlp.protocol == OTLP_HTTP && strcmp(name, "OTEL_EXPORTER_OTLP_ENDPOINT") == 0)
		buf_puts(&url, "/v1/traces");
	s->otlp.endpoint = arena_dup(&s->mem, buf_str(&url));
	buf_done(&url);
	return 0;
}

int settings_otlp(struct settings *s, struct err *err)
{
	const char *name, *off = settings_env("OTEL_SDK_DISABLED"), *v;
	uint64_t ms = TIMEOUT_MS;
	int word = 0, r = 0;

	if (!either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", &name) || (off && str_eq_nocase(str_c(off), str_c("true"))))
		return 0;
	v = either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL", &name);
	if (v)
		r = settings_word("OTEL_EXPORTER_OTLP_PROTOCOL", v, &word, err);
	s->otlp.protocol = (enum setting_otlp)word;
	if (r < 0 || (r = read_endpoint(s, err)) < 0 || (r = read_sampler(s, err)) < 0)
		return r;
	v = either("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS", &name);
	if (v && (r = read_pairs(s, name, v, &s->otlp.headers, err)) < 0)
		return r;
	v = settings_env("OTEL_RESOURCE_ATTRIBUTES");
	if (v && (r = read_pairs(s, "OTEL_RESOURCE_ATTRIBUTES", v, &s->otlp.resource, err)) < 0)
		return r;
	v = either("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT", &name);
	if (v && (!str_to_u64(str_c(v), &ms) || ms < 1 || ms > 3600000))
		return err_set(err, -EINVAL, "%s: want milliseconds from 1 to 3600000, got '%.200s'", name, v);
	s->otlp.timeout_ms = ms;
	return 0;
}
