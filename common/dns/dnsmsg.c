/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/dnsmsg.h"

#include <errno.h>
#include <stdio.h>

#define FLAG_QR 0x80
#define FLAG_AA 0x04
#define FLAG_TC 0x02
#define FLAG_RD 0x01
#define FLAG_RA 0x80
#define FLAG_CD 0x10
#define OPCODE(b) (((b) >> 3) & 15)

#define OUR_UDP_BYTES 1232       /* what we take by UDP: the value that nobody fragments (DNS flag day 2020) */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void set16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

uint16_t dnsmsg_id(const uint8_t *p)
{
	return get16(p);
}

void dnsmsg_set_id(uint8_t *p, uint16_t id)
{
	set16(p, id);
}

/* ---- reading ---- */

static bool take_label(const uint8_t *label, unsigned n, struct dnsmsg *m, size_t *at)
{
	if (*at + n + (m->labels > 0) >= DNSMSG_NAME)
		return false;
	if (m->labels > 0)
		m->name[(*at)++] = '.';
	for (unsigned i = 0; i < n; i++) {
		uint8_t c = label[i];
		bool star = c == '*' && n == 1 && m->labels == 0;

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || star))
			m->plain = false;
		m->name[(*at)++] = c > ' ' && c < 127 && c != '.' ? (char)c : '?';
	}
	m->labels++;
	return true;
}

/* The question's name is the first in a message: nothing that a compression pointer could point to. */
static size_t take_name(const uint8_t *p, size_t n, size_t at, struct dnsmsg *m)
{
	size_t text = 0, start = at;

	m->plain = true;
	m->labels = 0;
	while (at < n && p[at] != 0) {
		unsigned len = p[at];

		if (len > 63 || at + 1 + len >= n || at + len - start > 253 || !take_label(p + at + 1, len, m, &text))
			return 0;
		at += 1 + len;
	}
	m->name[text] = '\0';
	return at < n ? at + 1 : 0;
}

enum dnsmsg_kind dnsmsg_parse(const uint8_t *p, size_t n, struct dnsmsg *m)
{
	size_t at;

	memset(m, 0, sizeof(*m));
	m->question_end = DNSMSG_HEAD;
	if (n < DNSMSG_HEAD || n > DNSMSG_MAX)
		return DNSMSG_NONE;
	m->id = get16(p);
	m->opcode = OPCODE(p[2]);
	m->rcode = p[3] & 15;
	m->response = p[2] & FLAG_QR;
	m->truncated = p[2] & FLAG_TC;
	for (int i = 0; i < 4; i++)
		m->counts[i] = get16(p + 4 + 2 * i);
	if (m->response)
		return DNSMSG_NONE;
	if (m->opcode == DNS_NOTIFY || m->opcode == DNS_UPDATE)
		return DNSMSG_OPAQUE;
	if (m->opcode != DNS_QUERY)
		return DNSMSG_UNKNOWN;
	if (m->counts[0] != 1)
		return DNSMSG_MALFORMED;
	at = take_name(p, n, DNSMSG_HEAD, m);
	if (!at || at + 4 > n)
		return DNSMSG_MALFORMED;
	m->type = get16(p + at);
	m->class = get16(p + at + 2);
	m->question_end = (uint16_t)(at + 4);
	return DNSMSG_QUESTION;
}

/* Past a name that may end in a pointer, which is not followed. 0: broken. */
static size_t skip_name(const uint8_t *p, size_t n, size_t at)
{
	while (at < n && p[at] != 0) {
		if ((p[at] & 0xc0) == 0xc0)
			return at + 2 <= n ? at + 2 : 0;
		if (p[at] > 63)
			return 0;
		at += 1 + (size_t)p[at];
	}
	return at < n ? at + 1 : 0;
}

int dnsmsg_parse_edns(const uint8_t *p, size_t n, struct dnsmsg *m)
{
	size_t at = m->question_end;
	unsigned records = (unsigned)m->counts[1] + m->counts[2] + m->counts[3];

	for (unsigned i = 0; i < records; i++) {
		size_t owner = at;

		at = skip_name(p, n, at);
		if (!at || at + 10 > n || at + 10 + get16(p + at + 8) > n)
			return -EBADMSG;
		if (get16(p + at) == DNS_OPT) {
			if (m->edns || p[owner] != 0)
				return -EBADMSG;
			m->edns = true;
			m->edns_size = get16(p + at + 2);
			m->edns_version = p[at + 5];
			m->dnssec_ok = p[at + 6] & 0x80;
		}
		at += 10 + get16(p + at + 8);
	}
	return 0;
}

static bool same_question(const uint8_t *a, const uint8_t *b, size_t n)
{
	for (size_t i = DNSMSG_HEAD; i < n; i++) {
		uint8_t x = a[i], y = b[i];

		/* Type and class may lie in the range of letters: only names ignore case. */
		if (x != y && (i + 4 >= n || (x ^ y) != 0x20 || (x | 0x20) < 'a' || (x | 0x20) > 'z'))
			return false;
	}
	return true;
}

bool dnsmsg_answers(const uint8_t *reply, size_t n, const uint8_t *question, size_t question_n)
{
	struct dnsmsg q;
	enum dnsmsg_kind kind = dnsmsg_parse(question, question_n, &q);

	if (n < DNSMSG_HEAD || get16(reply) != q.id || !(reply[2] & FLAG_QR) || OPCODE(reply[2]) != q.opcode)
		return false;
	if (kind != DNSMSG_QUESTION)
		return true;
	if (get16(reply + 4) == 0)
		return (reply[3] & 15) != DNS_NOERROR || n == DNSMSG_HEAD;
	return get16(reply + 4) == 1 && n >= q.question_end && same_question(reply, question, q.question_end);
}

struct str dnsmsg_type_name(uint16_t type, char text[16])
{
	static const struct { uint16_t type; const char *name; } names[] = {
		{ DNS_A, "A" }, { DNS_NS, "NS" }, { DNS_CNAME, "CNAME" }, { DNS_SOA, "SOA" }, { DNS_PTR, "PTR" }, { 13, "HINFO" },
		{ DNS_MX, "MX" }, { DNS_TXT, "TXT" }, { DNS_AAAA, "AAAA" }, { DNS_SRV, "SRV" }, { 35, "NAPTR" }, { 43, "DS" },
		{ 46, "RRSIG" }, { 47, "NSEC" }, { 48, "DNSKEY" }, { 50, "NSEC3" }, { 52, "TLSA" }, { DNS_SVCB, "SVCB" },
		{ DNS_HTTPS, "HTTPS" }, { DNS_IXFR, "IXFR" }, { DNS_AXFR, "AXFR" }, { DNS_ANY, "ANY" }, { 257, "CAA" },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].type == type)
			return str_c(names[i].name);
	snprintf(text, 16, "TYPE%u", type);
	return str_c(text);
}

/* ---- writing ---- */

/* Room for n bytes of one record; NULL: it does not fit, nor do later ones. */
static uint8_t *room(struct dnswriter *w, size_t n)
{
	uint8_t *at = w->p + w->n;

	/* 11: what OPT may need at the end */
	if (w->full || w->cap - w->n < n + 11) {
		w->full = true;
		return NULL;
	}
	w->n += n;
	return at;
}

void dnswriter_init(struct dnswriter *w, uint8_t *p, size_t cap, const uint8_t *q, size_t q_n, const struct dnsmsg *m,
		    enum dns_rcode rcode, bool authoritative)
{
	size_t keep = m->question_end <= q_n && m->question_end + 11u <= cap ? m->question_end : DNSMSG_HEAD;

	*w = (struct dnswriter){ .p = p, .n = keep, .cap = cap };
	memcpy(p, q, keep);
	p[2] = (uint8_t)((q[2] & (0x78 | FLAG_RD)) | FLAG_QR | (authoritative ? FLAG_AA : 0));
	p[3] = (uint8_t)((q[3] & FLAG_CD) | FLAG_RA | rcode);
	w->counts[0] = keep > DNSMSG_HEAD;
}

static uint8_t *record(struct dnswriter *w, enum dns_section section, uint16_t owner, enum dns_type type, uint32_t ttl_s, size_t n)
{
	uint8_t *at = room(w, 12 + n);

	if (!at)
		return NULL;
	set16(at, 0xc000u | owner);
	set16(at + 2, type);
	set16(at + 4, DNS_IN);
	set16(at + 6, ttl_s >> 16);
	set16(at + 8, ttl_s & 0xffff);
	set16(at + 10, (unsigned)n);
	w->counts[section]++;
	return at + 12;
}

void dnswriter_address(struct dnswriter *w, uint16_t owner, uint32_t ttl_s, const struct ip *ip)
{
	bool v4 = ip_is_v4(ip);
	size_t n = v4 ? 4 : 16;
	uint8_t *at = record(w, DNS_ANSWER, owner, v4 ? DNS_A : DNS_AAAA, ttl_s, n);

	if (at)
		memcpy(at, ip->b + 16 - n, n);
}

/* The offset of the label after the first n of the question. */
static uint16_t label_at(const struct dnswriter *w, int n)
{
	uint16_t at = DNSMSG_HEAD;

	while (n-- > 0 && w->p[at])
		at = (uint16_t)(at + 1 + w->p[at]);
	return at;
}

uint16_t dnswriter_cname(struct dnswriter *w, const struct dnsmsg *m, uint32_t ttl_s, int n_labels)
{
	uint16_t n = (uint16_t)(label_at(w, n_labels) - DNSMSG_HEAD);
	uint8_t *at = record(w, DNS_ANSWER, DNSMSG_HEAD, DNS_CNAME, ttl_s, n + 1u);

	if (!at)
		return 0;
	memcpy(at, w->p + DNSMSG_HEAD, n);
	at[n] = 0;
	return (uint16_t)(at - w->p);
}

void dnswriter_soa(struct dnswriter *w, const struct dnsmsg *m, uint32_t ttl_s, int zone_labels)
{
	static const uint8_t people[] = "\2ns\0\12hostmaster";      /* each goes on with a pointer to the zone */
	const uint32_t numbers[] = { 1, 7200, 1800, 86400, ttl_s };  /* serial, refresh, retry, expire, minimum */
	uint16_t zone = label_at(w, m->labels - zone_labels);
	uint8_t *at = record(w, DNS_AUTHORITY, zone, DNS_SOA, ttl_s, 3 + 2 + 11 + 2 + sizeof(numbers));

	if (!at)
		return;
	memcpy(at, people, 3);
	set16(at + 3, 0xc000u | zone);
	memcpy(at + 5, people + 4, 11);
	set16(at + 16, 0xc000u | zone);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		set16(at + 18 + 4 * i, numbers[i] >> 16);
		set16(at + 20 + 4 * i, numbers[i] & 0xffff);
	}
}

size_t dnswriter_done(struct dnswriter *w, const struct dnsmsg *m, size_t limit)
{
	size_t opt = m->edns ? 11 : 0;

	if (w->n + opt > limit) {
		w->p[2] |= FLAG_TC;
		w->n = w->counts[0] ? m->question_end : DNSMSG_HEAD;
		w->counts[1] = w->counts[2] = w->counts[3] = 0;
	}
	if (opt && w->cap - w->n >= opt) {
		uint8_t *at = w->p + w->n;

		memset(at, 0, opt);
		set16(at + 1, DNS_OPT);
		set16(at + 3, OUR_UDP_BYTES);
		at[5] = m->edns_version > 0;          /* BADVERS is 16: its upper bits are here */
		at[7] = m->dnssec_ok ? 0x80 : 0;
		w->n += opt;
		w->counts[3]++;
	}
	for (int i = 0; i < 4; i++)
		set16(w->p + 4 + 2 * i, w->counts[i]);
	return w->n;
}

size_t dnsmsg_refuse(const uint8_t *q, size_t q_n, const struct dnsmsg *m, enum dns_rcode rcode, uint8_t *p, size_t cap)
{
	struct dnswriter w;

	dnswriter_init(&w, p, cap, q, q_n, m, rcode, false);
	return dnswriter_done(&w, m, cap);
}
