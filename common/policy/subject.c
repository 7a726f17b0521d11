/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/subject.h"

#include "telemetry/remote.h"

uint64_t subject_hash(struct str text)
{
	return hash_bytes(text.p, text.n);
}

uint64_t subject_hash_nocase(struct str text)
{
	char low[SUBJECT_HOST];
	size_t n = text.n < sizeof(low) ? text.n : sizeof(low);

	for (size_t i = 0; i < n; i++)
		low[i] = (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] | 0x20 : text.p[i]);
	return hash_bytes(low, n);
}

uint64_t subject_hash_tail(struct str principal)
{
	struct str tail;

	str_cut(principal, '/', &tail);
	return subject_hash(tail);
}

bool subject_is_domain(const struct mesh_settings *m, struct str domain)
{
	for (int i = 0; i < m->n_aliases; i++)
		if (str_is(domain, m->aliases[i]))
			return true;
	return str_is(domain, m->trust_domain);
}

/* TD/ns/X/sa/Y: five parts, none empty. */
static bool split_identity(struct str id, struct str part[5])
{
	for (int i = 0; i < 5; i++) {
		part[i] = str_cut(id, '/', &id);
		if (part[i].n == 0)
			return false;
	}
	return !id.p && str_is(part[1], "ns") && str_is(part[3], "sa");
}

static void set_request(struct subject *s, const struct authz_request *r)
{
	const char *end = r->path.n ? memchr(r->path.p, '?', r->path.n) : NULL;

	s->path = (struct str){ r->path.p, end ? (size_t)(end - r->path.p) : r->path.n };
	end = s->path.n ? memchr(s->path.p, '#', s->path.n) : NULL;
	if (end)
		s->path.n = (size_t)(end - s->path.p);
	s->path_hash = subject_hash(s->path);
	s->host_hash = subject_hash_nocase(r->authority);
}

void subject_init(struct subject *s, const struct authz_input *in, const struct mesh_settings *settings)
{
	struct str scheme = str_c("spiffe://"), id = in->principal, part[5];

	*s = (struct subject){ .in = in, .settings = settings, .ns = str_c(""), .account = str_c("") };
	if (str_starts(id, scheme))
		id = (struct str){ id.p + scheme.n, id.n - scheme.n };
	s->principal = id.n ? id : str_c("");
	s->domain = str_cut(id, '/', &s->tail);
	if (!s->tail.p)
		s->domain.n = 0;
	if (split_identity(id, part)) {
		s->ns = part[2];
		s->account = (struct str){ s->ns.p, (size_t)(id.p + id.n - s->ns.p) };
	}
	s->aliases = s->domain.n && (sees_requests(settings) || settings->stance == STANCE_STRICT) && subject_is_domain(settings, s->domain);
	s->tail_hash = subject_hash(s->tail);
	s->ns_hash = subject_hash(s->ns);
	s->account_hash = subject_hash(s->account);
	if (in->request)
		set_request(s, in->request);
}

const struct ip *subject_remote(struct subject *s)
{
	const struct authz_request *r = s->in->request;
	struct addr a;

	if (!s->remote_known) {
		s->remote_known = true;
		s->remote = r && remote_forwarded(r->fields, r->n_fields, (int)s->settings->trusted_hops, &a) ? a.ip : s->in->source.ip;
	}
	return &s->remote;
}
