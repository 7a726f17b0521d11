/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/peermeta.h"

#include <ctype.h>

#include "base/limits.h"

/* Protobuf's wire format (protobuf.dev/programming-guides/encoding) by hand: libprotobuf-c would follow nested values as deep as a
 * peer likes. */

static const uint8_t magic[4] = { 0x3d, 0x23, 0x04, 0x67 };
static const char any_type[] = "type.googleapis.com/google.protobuf.Struct";
static const char owner_prefix[] = "kubernetes://apis/apps/v1/namespaces/";

enum { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_32 = 5 };

/* ---- writing ---- */

static void put_varint(struct buf *out, size_t v)
{
	uint8_t b;

	for (; v >= 0x80; v >>= 7) {
		b = (uint8_t)(v | 0x80);
		buf_append(out, &b, 1);
	}
	b = (uint8_t)v;
	buf_append(out, &b, 1);
}

static void put_bytes(struct buf *out, unsigned field, struct str s)
{
	put_varint(out, field << 3 | WIRE_BYTES);
	put_varint(out, s.n);
	buf_append(out, s.p, s.n);
}

/* An entry of map<string, Value>. kind: of the Value, 3 string_value, 5 struct_value. */
static void put_field(struct buf *out, const char *key, unsigned kind, struct str value)
{
	struct buf v = { 0 }, entry = { 0 };

	put_bytes(&v, kind, value);
	put_bytes(&entry, 1, str_c(key));
	put_bytes(&entry, 2, buf_str(&v));
	put_bytes(out, 1, buf_str(&entry));
	buf_done(&v);
	buf_done(&entry);
}

static void put_text(struct buf *out, const char *key, const char *value)
{
	if (value && *value)
		put_field(out, key, 3, str_c(value));
}

static const char *label_of(const struct workload *w, const char *key)
{
	for (int i = 0; i < w->n_labels; i++)
		if (strcmp(w->labels[i].key, key) == 0)
			return w->labels[i].value;
	return NULL;
}

static const char *label_or(const struct workload *w, const char *key, const char *otherwise)
{
	const char *v = label_of(w, key);

	return v ? v : label_of(w, otherwise);
}

/* Keys in order, as Envoy writes them. */
void peermeta_struct(const struct workload *w, struct buf *out)
{
	struct buf labels = { 0 }, owner = { 0 };

	put_text(&labels, "app", label_or(w, "app.kubernetes.io/name", "app"));
	put_text(&labels, "service.istio.io/canonical-name", w->canonical_name);
	put_text(&labels, "service.istio.io/canonical-revision", w->canonical_revision);
	put_text(&labels, "version", label_or(w, "app.kubernetes.io/version", "version"));
	put_text(out, "AVAILABILITY_ZONE", w->locality.zone);
	put_text(out, "CLUSTER_ID", w->cluster);
	put_field(out, "LABELS", 5, buf_str(&labels));
	put_text(out, "NAME", w->name);
	put_text(out, "NAMESPACE", w->ns);
	if (*w->workload_type) {
		buf_printf(&owner, "%s%s/%ss/%s", owner_prefix, w->ns, w->workload_type, w->workload_name);
		put_field(out, "OWNER", 3, buf_str(&owner));
	}
	put_text(out, "REGION", w->locality.region);
	put_text(out, "WORKLOAD_NAME", w->workload_name);
	buf_done(&labels);
	buf_done(&owner);
}

void peermeta_node(const struct workload *w, const char *cluster_domain, struct buf *out)
{
	char text[ADDR_TEXT];

	buf_printf(out, "sidecar~%s~%s.%s~%s.svc.%s", w->n_ips ? ip_format(&w->ips[0], text) : "", w->name, w->ns, w->ns, cluster_domain);
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void peermeta_header(const struct workload *w, struct buf *out)
{
	struct buf raw = { 0 };
	const uint8_t *p;
	size_t n;

	peermeta_struct(w, &raw);
	p = buf_data(&raw);
	n = buf_len(&raw);
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		char quad[4] = { digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=', i + 2 < n ? digits[v & 63] : '=' };

		buf_append(out, quad, sizeof(quad));
	}
	buf_done(&raw);
}

static void put_length(struct buf *out, size_t n)
{
	uint8_t b[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };

	buf_append(out, b, sizeof(b));
}

void peermeta_frame(const struct workload *w, const char *cluster_domain, struct buf *out)
{
	struct buf own = { 0 }, node = { 0 }, all = { 0 }, any = { 0 };

	peermeta_struct(w, &own);
	peermeta_node(w, cluster_domain, &node);
	put_field(&all, PEERMETA_HEADER, 5, buf_str(&own));
	put_field(&all, PEERMETA_HEADER_ID, 3, buf_str(&node));
	put_bytes(&any, 1, str_c(any_type));
	put_bytes(&any, 2, buf_str(&all));
	buf_append(out, magic, sizeof(magic));
	put_length(out, buf_len(&any));
	buf_append(out, buf_data(&any), buf_len(&any));
	buf_done(&own);
	buf_done(&node);
	buf_done(&all);
	buf_done(&any);
}

/* ---- reading ---- */

static bool take_varint(struct str *s, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && s->n; shift += 7) {
		uint8_t b = (uint8_t)*s->p++;

		s->n--;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* The next field; value is empty unless it is WIRE_BYTES. False: the end, or s->p is NULL: malformed. */
static bool take_field(struct str *s, uint64_t *field, struct str *value)
{
	uint64_t key, n;

	*value = (struct str){ 0 };
	if (s->n == 0)
		return false;
	if (!take_varint(s, &key))
		goto bad;
	*field = key >> 3;
	switch (key & 7) {
	case WIRE_VARINT:
		if (!take_varint(s, &n))
			goto bad;
		return true;
	case WIRE_64:
		n = 8;
		break;
	case WIRE_32:
		n = 4;
		break;
	case WIRE_BYTES:
		if (!take_varint(s, &n))
			goto bad;
		break;
	default:
		goto bad;
	}
	if (n > s->n)
		goto bad;
	if ((key & 7) == WIRE_BYTES)
		*value = (struct str){ s->p, n };
	s->p += n;
	s->n -= n;
	return true;
bad:
	*s = (struct str){ 0 };
	return false;
}

/* One entry of a Struct's map: its key, its string_value, its struct_value. */
struct entry {
	struct str key, text, inner;
};

static bool take_entry(struct str *fields, struct entry *ret)
{
	struct str map, value = { "", 0 }, part;
	uint64_t field;

	*ret = (struct entry){ 0 };
	do {
		if (!take_field(fields, &field, &map))
			return false;
	} while (field != 1);
	while (take_field(&map, &field, &part)) {
		if (field == 1)
			ret->key = part;
		else if (field == 2)
			value = part;
	}
	while (map.p && take_field(&value, &field, &part)) {
		if (field == 3)
			ret->text = part;
		else if (field == 5)
			ret->inner = part;
	}
	if (map.p && value.p)
		return true;
	*fields = (struct str){ 0 };
	return false;
}

/* Printable, so that it can be a label's value and stand in a log line. */
static struct str clean(struct str s)
{
	if (s.n > LIMIT_PEER_TEXT)
		return (struct str){ 0 };
	for (size_t i = 0; i < s.n; i++)
		if (!isprint((unsigned char)s.p[i]))
			return (struct str){ 0 };
	return s;
}

static bool read_labels(struct str fields, struct peer *ret)
{
	struct str app = { 0 }, version = { 0 };
	struct entry e;

	while (take_entry(&fields, &e)) {
		struct str *to = str_is(e.key, "service.istio.io/canonical-name") ? &ret->service :
				 str_is(e.key, "service.istio.io/canonical-revision") ? &ret->revision :
				 str_is(e.key, "app.kubernetes.io/name") ? &ret->app : str_is(e.key, "app.kubernetes.io/version") ? &ret->version :
				 str_is(e.key, "app") ? &app : str_is(e.key, "version") ? &version : NULL;

		if (to)
			*to = clean(e.text);
	}
	ret->app = ret->app.n ? ret->app : app;
	ret->version = ret->version.n ? ret->version : version;
	return fields.p != NULL;
}

/* "kubernetes://apis/apps/v1/namespaces/NS/deployments/NAME" */
static struct str type_of(struct str owner, struct str workload)
{
	static const char *const types[] = { "pod", "deployment", "job", "cronjob" };
	size_t tail = workload.n + 2;        /* "s/NAME" */

	for (size_t i = 0; owner.n > tail && i < ARRAY_LEN(types); i++) {
		struct str type = str_c(types[i]), before = { owner.p, owner.n - tail };

		if (str_ends(before, type) && before.n > type.n && before.p[before.n - type.n - 1] == '/')
			return type;
	}
	return (struct str){ 0 };
}

bool peermeta_parse(struct str bytes, struct peer *ret)
{
	struct peer p = { 0 };
	struct str owner = { 0 };
	struct entry e;
	bool good = true;

	*ret = p;
	if (!bytes.n)
		return false;
	while (good && take_entry(&bytes, &e)) {
		struct str *to = str_is(e.key, "NAME") ? &p.name : str_is(e.key, "NAMESPACE") ? &p.ns : str_is(e.key, "WORKLOAD_NAME") ? &p.workload :
				 str_is(e.key, "CLUSTER_ID") ? &p.cluster : str_is(e.key, "REGION") ? &p.region :
				 str_is(e.key, "AVAILABILITY_ZONE") ? &p.zone : str_is(e.key, "OWNER") ? &owner : NULL;

		if (to)
			*to = clean(e.text);
		else if (str_is(e.key, "LABELS") && e.inner.n)
			good = read_labels(e.inner, &p);
	}
	if (!good || !bytes.p)
		return false;
	p.type = type_of(owner, p.workload);
	*ret = p;
	return true;
}

static int digit_of(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

bool peermeta_parse_header(struct str value, void *mem, struct peer *ret)
{
	uint8_t *out = mem;
	uint32_t v = 0;
	int have = 0;

	*ret = (struct peer){ 0 };
	while (value.n && value.p[value.n - 1] == '=')
		value.n--;
	for (size_t i = 0; i < value.n; i++) {
		int d = digit_of(value.p[i]);

		if (d < 0)
			return false;
		v = v << 6 | (uint32_t)d;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*out++ = (uint8_t)(v >> have);
		}
	}
	return peermeta_parse((struct str){ mem, (size_t)(out - (uint8_t *)mem) }, ret);
}

int peermeta_frame_head(struct str bytes, size_t *body_bytes)
{
	const uint8_t *p = (const uint8_t *)bytes.p;

	if (memcmp(p, magic, bytes.n < sizeof(magic) ? bytes.n : sizeof(magic)) != 0)
		return -1;
	if (bytes.n < PEERMETA_FRAME_HEAD)
		return 1;
	*body_bytes = (size_t)p[4] << 24 | (size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7];
	return 0;
}

bool peermeta_parse_body(struct str body, struct peer *ret)
{
	struct str part, value = { 0 };
	struct entry e;
	uint64_t field;

	*ret = (struct peer){ 0 };
	while (take_field(&body, &field, &part))
		if (field == 2)
			value = part;
	if (!body.p)
		return false;
	while (take_entry(&value, &e))
		if (str_is(e.key, PEERMETA_HEADER))
			return peermeta_parse(e.inner, ret);
	return false;
}
