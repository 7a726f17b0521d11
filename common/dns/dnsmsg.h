/* SPDX-License-Identifier: Apache-2.0 */
/* As much of DNS messages (RFC 1035, EDNS: RFC 6891) as a proxy must understand: the header, the one question, the OPT record.
 * Whatever it does not answer itself passes through as bytes. */
#ifndef DNS_DNSMSG_H
#define DNS_DNSMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/str.h"

#define DNSMSG_HEAD 12
#define DNSMSG_MAX  65535
#define DNSMSG_UDP  512          /* largest answer by UDP to who does not say how much he takes */
#define DNSMSG_NAME 256          /* room for a name as text with NUL */

enum dns_type {
	DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33,
	DNS_OPT = 41, DNS_SVCB = 64, DNS_HTTPS = 65, DNS_IXFR = 251, DNS_AXFR = 252, DNS_ANY = 255,
};
enum dns_class { DNS_IN = 1, DNS_CLASS_ANY = 255 };
enum dns_opcode { DNS_QUERY = 0, DNS_NOTIFY = 4, DNS_UPDATE = 5 };
enum dns_rcode { DNS_NOERROR, DNS_FORMERR, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_NOTIMP, DNS_REFUSED };

enum dnsmsg_kind {
	DNSMSG_QUESTION,         /* one question that was understood */
	DNSMSG_OPAQUE,           /* NOTIFY, UPDATE: for somebody else, not looked into */
	DNSMSG_MALFORMED,        /* deserves FORMERR */
	DNSMSG_UNKNOWN,          /* an operation that nobody knows: NOTIMP */
	DNSMSG_NONE,             /* no question at all: too short, or an answer; gets nothing */
};

struct dnsmsg {
	uint16_t id, type, class;
	uint8_t opcode, rcode;
	bool response, truncated;
	uint16_t counts[4];              /* questions, answers, authorities, additionals, as the header says */
	uint16_t question_end;           /* offset; DNSMSG_HEAD when there is none */
	char name[DNSMSG_NAME];          /* lower case, no final dot; "" for the root */
	bool plain;                      /* the name has only letters, digits, '-' and '_' (and one '*' label at most) */
	int labels;
	/* Of OPT; only dnsmsg_parse_edns sets them. */
	bool edns, dnssec_ok;
	uint8_t edns_version;
	uint16_t edns_size;
};

/* Looks at a message that came from a client. *ret: as far as it could be read. */
enum dnsmsg_kind dnsmsg_parse(const uint8_t *p, size_t n, struct dnsmsg *ret);
/* Walks over all records to find OPT. -EBADMSG: the records are broken, or there are two of it. */
int dnsmsg_parse_edns(const uint8_t *p, size_t n, struct dnsmsg *m);
/* Is the reply one to this question: same id, same operation, same question (case aside)? A refusal may leave out the question. */
bool dnsmsg_answers(const uint8_t *reply, size_t n, const uint8_t *question, size_t question_n);
uint16_t dnsmsg_id(const uint8_t *p);
void dnsmsg_set_id(uint8_t *p, uint16_t id);
/* "A", "HTTPS", "TYPE65534". text: room for the last kind. */
struct str dnsmsg_type_name(uint16_t type, char text[16]);

/* --- writing an answer --- */

struct dnswriter {
	uint8_t *p;
	size_t n, cap;
	bool full;               /* something did not fit, and was left out whole */
	uint16_t counts[4];
};

enum dns_section { DNS_ANSWER = 1, DNS_AUTHORITY = 2, DNS_ADDITIONAL = 3 };

/* Header and question of the answer to q (bytes, and what was parsed of them). An unparsed question is not repeated. */
void dnswriter_init(struct dnswriter *w, uint8_t *p, size_t cap, const uint8_t *q, size_t q_n, const struct dnsmsg *m,
		    enum dns_rcode rcode, bool authoritative);
/* owner: the offset of a name in the message. */
void dnswriter_address(struct dnswriter *w, uint16_t owner, uint32_t ttl_s, const struct ip *ip);
/* The target is the first n_labels of the question's name. Returns the target's offset, 0 when it did not fit. */
uint16_t dnswriter_cname(struct dnswriter *w, const struct dnsmsg *m, uint32_t ttl_s, int n_labels);
/* For a negative answer; zone: the last labels of the question's name that it is about, or all (RFC 2308). */
void dnswriter_soa(struct dnswriter *w, const struct dnsmsg *m, uint32_t ttl_s, int zone_labels);
/* Ends it: OPT when the question had it, the counts. An answer larger than limit becomes an empty one with TC. Its length. */
size_t dnswriter_done(struct dnswriter *w, const struct dnsmsg *m, size_t limit);

/* A refusal: the header, and the question when it was understood. cap must be at least DNSMSG_UDP. Its length. */
size_t dnsmsg_refuse(const uint8_t *q, size_t q_n, const struct dnsmsg *m, enum dns_rcode rcode, uint8_t *p, size_t cap);

#endif
