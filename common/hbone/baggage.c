/* SPDX-License-Identifier: Apache-2.0 */
#include "hbone/baggage.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

static const struct {
	const char *key;
	size_t offset;
} keys[] = {
	{ "k8s.cluster.name",        offsetof(struct baggage, cluster) },
	{ "k8s.namespace.name",      offsetof(struct baggage, ns) },
	{ "service.name",            offsetof(struct baggage, service_name) },
	{ "service.version",         offsetof(struct baggage, revision) },
	{ "cloud.region",            offsetof(struct baggage, region) },
	{ "cloud.availability_zone", offsetof(struct baggage, zone) },
};
static const char *const types[] = { "deployment", "cronjob", "pod", "job" };

static bool printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return false;
	return true;
}

static void take(struct baggage *ret, struct str key, struct str value)
{
	static const struct str prefix = { "k8s.", 4 }, suffix = { ".name", 5 };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (str_is(key, keys[i].key)) {
			*(struct str *)((char *)ret + keys[i].offset) = value;
			return;
		}
	}
	if (!str_starts(key, prefix) || !str_ends(key, suffix) || key.n < prefix.n + suffix.n)
		return;
	key = (struct str){ key.p + prefix.n, key.n - prefix.n - suffix.n };
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (str_is(key, types[i])) {
			ret->workload_type = key;
			ret->workload_name = value;
		}
	}
}

void baggage_parse(struct str value, struct baggage *ret)
{
	if (!printable(value))
		return;
	while (value.p) {
		struct str v, k, member = str_cut(value, ',', &value);

		k = str_cut(member, '=', &v);
		if (v.n)
			take(ret, k, v);
	}
}

static void put(struct buf *out, const char *key, struct str v)
{
	if (v.n)
		buf_printf(out, "%s%s=%.*s", buf_len(out) ? "," : "", key, STR_FMT(v));
}

void baggage_format(const struct baggage *b, struct buf *out)
{
	char type_key[64];

	snprintf(type_key, sizeof(type_key), "k8s.%.*s.name", b->workload_type.n ? (int)b->workload_type.n : 3,
		 b->workload_type.n ? b->workload_type.p : "pod");
	put(out, "k8s.cluster.name", b->cluster);
	put(out, "k8s.namespace.name", b->ns);
	put(out, type_key, b->workload_name);
	put(out, "service.name", b->service_name);
	put(out, "service.version", b->revision);
	put(out, "cloud.region", b->region);
	put(out, "cloud.availability_zone", b->zone);
}

void forwarded_format(const struct addr *source, struct str host, struct buf *out)
{
	char text[ADDR_TEXT];

	buf_printf(out, "for=\"%s\"", addr_format(source, text));
	if (host.n)
		buf_printf(out, ";host=%.*s", STR_FMT(host));
}

/* The first of that name. */
static struct str forwarded_part(struct str value, const char *name)
{
	if (!printable(value))
		return (struct str){ 0 };
	while (value.p) {
		struct str v, k, part = str_cut(value, ';', &value);

		k = str_cut(part, '=', &v);
		while (k.n && k.p[0] == ' ') {
			k.p++;
			k.n--;
		}
		if (!str_eq_nocase(k, str_c(name)))
			continue;
		if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
			v = (struct str){ v.p + 1, v.n - 2 };
		return v;
	}
	return (struct str){ 0 };
}

struct str forwarded_host(struct str value)
{
	return forwarded_part(value, "host");
}

struct addr forwarded_for(struct str value)
{
	struct addr a;

	return addr_parse(forwarded_part(value, "for"), &a) == 0 && a.port && !ip_is_any(&a.ip) && !ip_is_loopback(&a.ip) ? a : (struct addr){ .port = 0 };
}

/* W3C Trace Context: 00-<32 hex>-<16 hex>-<2 hex>. */
bool traceparent_valid(struct str v)
{
	if (v.n != 55)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		bool dash = i == 2 || i == 35 || i == 52;

		if (dash ? v.p[i] != '-' : !isxdigit((unsigned char)v.p[i]))
			return false;
	}
	return true;
}

void traceparent_make(char text[56])
{
	static _Thread_local uint64_t state[3];

	if (!state[2] && getrandom(state, sizeof(state), GRND_NONBLOCK) < 0)
		state[2] = 1;
	/* Unique, not secret: a counter spread by a mix is enough after one random start. */
	for (int i = 0; i < 3; i++)
		state[i] = hash_bytes(&state[i], sizeof(state[i])) + 1;
	snprintf(text, 56, "00-%016llx%016llx-%016llx-00", (unsigned long long)state[0], (unsigned long long)state[1],
		 (unsigned long long)state[2]);
}

static bool host_valid(struct str h)
{
	if (h.n == 0 || h.n > 253)
		return false;
	for (size_t i = 0; i < h.n; i++)
		if (!isalnum((unsigned char)h.p[i]) && h.p[i] != '.' && h.p[i] != '-' && h.p[i] != '_' && h.p[i] != '*')
			return false;
	return true;
}

int authority_parse(struct str authority, struct addr *ret, struct str *host)
{
	struct str port, name;
	uint64_t v;

	if (addr_parse(authority, ret) == 0) {
		*host = (struct str){ 0 };
		return ret->port ? 0 : -EINVAL;
	}
	name = str_cut(authority, ':', &port);
	if (!host_valid(name) || !str_to_u64(port, &v) || v == 0 || v > UINT16_MAX)
		return -EINVAL;
	*ret = (struct addr){ .port = (uint16_t)v };
	*host = name;
	return 0;
}
