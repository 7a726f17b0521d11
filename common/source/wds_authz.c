/* SPDX-License-Identifier: Apache-2.0 */
/* istio.security.Authorization. It bears on security: each field is known to be judged, or to be harmless, or refuses the
 * policy; one that no row names refuses it as well. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/authorization.pb-c.h"
#include "source/wds_int.h"

/* --- the fields --- */

enum fate { FATE_USED, FATE_HARMLESS, FATE_REFUSED };

struct fate_row {
	const ProtobufCMessageDescriptor *in;
	unsigned id;
	enum fate fate;
	const char *why;             /* REFUSED */
};

#define EXTENSIONS "extensions of a policy cannot be judged"

static const struct fate_row rows[] = {
	{ &authz__authorization__descriptor, 1, FATE_USED, NULL },
	{ &authz__authorization__descriptor, 2, FATE_USED, NULL },
	{ &authz__authorization__descriptor, 3, FATE_USED, NULL },
	{ &authz__authorization__descriptor, 4, FATE_USED, NULL },
	{ &authz__authorization__descriptor, 5, FATE_USED, NULL },
	{ &authz__authorization__descriptor, 6, FATE_USED, NULL },
	{ &authz__authorization__descriptor, 7, FATE_REFUSED, EXTENSIONS },
	{ &authz__group__descriptor, 1, FATE_USED, NULL },
	{ &authz__rules__descriptor, 2, FATE_USED, NULL },
	{ &authz__match__descriptor, 1, FATE_USED, NULL },
	{ &authz__match__descriptor, 2, FATE_USED, NULL },
	{ &authz__match__descriptor, 3, FATE_USED, NULL },
	{ &authz__match__descriptor, 4, FATE_USED, NULL },
	{ &authz__match__descriptor, 5, FATE_USED, NULL },
	{ &authz__match__descriptor, 6, FATE_USED, NULL },
	{ &authz__match__descriptor, 7, FATE_USED, NULL },
	{ &authz__match__descriptor, 8, FATE_USED, NULL },
	{ &authz__match__descriptor, 9, FATE_USED, NULL },
	{ &authz__match__descriptor, 10, FATE_USED, NULL },
	{ &authz__match__descriptor, 11, FATE_USED, NULL },
	{ &authz__match__descriptor, 12, FATE_USED, NULL },
	{ &authz__match__descriptor, 13, FATE_REFUSED, EXTENSIONS },
	{ &authz__address__descriptor, 1, FATE_USED, NULL },
	{ &authz__address__descriptor, 2, FATE_USED, NULL },
	{ &authz__service_account_match__descriptor, 1, FATE_USED, NULL },
	{ &authz__service_account_match__descriptor, 2, FATE_USED, NULL },
	{ &authz__string_match__descriptor, 1, FATE_USED, NULL },
	{ &authz__string_match__descriptor, 2, FATE_USED, NULL },
	{ &authz__string_match__descriptor, 3, FATE_USED, NULL },
	{ &authz__string_match__descriptor, 4, FATE_USED, NULL },
};

static const struct fate_row *row_of(const ProtobufCMessageDescriptor *in, unsigned id)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].in == in && rows[i].id == id)
			return &rows[i];
	return NULL;
}

static bool on_field(struct wds_walk *w, const ProtobufCMessage *in, unsigned id, const char *name, void *arg)
{
	const struct fate_row *row = row_of(in->descriptor, id);
	char number[32];

	snprintf(number, sizeof(number), "field %u", id);
	if (!row)
		return wds_fail(w, name ? name : number, "is not known to this version, and may narrow the policy (field %u of %s)", id,
				in->descriptor->short_name);
	if (row->fate == FATE_REFUSED)
		return wds_fail(w, name ? name : number, "%s (field %u of %s)", row->why, id, in->descriptor->short_name);
	return true;
}

/* --- values --- */

static void *take(struct wds_walk *w, size_t n, size_t size)
{
	return n ? arena_alloc(w->arena, n * size) : NULL;
}

static bool texts(struct wds_walk *w, const char *field, Authz__StringMatch *const *from, size_t n, const struct match **ret, int *ret_n)
{
	struct match *to = take(w, n, sizeof(*to));

	for (size_t i = 0; i < n; i++) {
		switch (from[i]->match_type_case) {
		case AUTHZ__STRING_MATCH__MATCH_TYPE_EXACT:
			to[i] = (struct match){ MATCH_EXACT, from[i]->exact };
			break;
		case AUTHZ__STRING_MATCH__MATCH_TYPE_PREFIX:
			to[i] = (struct match){ MATCH_PREFIX, from[i]->prefix };
			break;
		case AUTHZ__STRING_MATCH__MATCH_TYPE_SUFFIX:
			to[i] = (struct match){ MATCH_SUFFIX, from[i]->suffix };
			break;
		case AUTHZ__STRING_MATCH__MATCH_TYPE_PRESENCE:
			to[i] = (struct match){ MATCH_PRESENCE, "" };
			break;
		default:
			return wds_fail(w, field, "want one of exact, prefix, suffix, presence in entry %zu", i);
		}
	}
	*ret = to;
	*ret_n = (int)n;
	return true;
}

static bool blocks(struct wds_walk *w, const char *field, Authz__Address *const *from, size_t n, const struct cidr **ret, int *ret_n)
{
	struct cidr *to = take(w, n, sizeof(*to));

	for (size_t i = 0; i < n; i++)
		if (!wds_cidr(w, field, &from[i]->address, from[i]->length, &to[i]))
			return false;
	*ret = to;
	*ret_n = (int)n;
	return true;
}

static bool ports(struct wds_walk *w, const char *field, const uint32_t *from, size_t n, const uint16_t **ret, int *ret_n)
{
	uint16_t *to = take(w, n, sizeof(*to));

	for (size_t i = 0; i < n; i++)
		if (!wds_port(w, field, from[i], 1, &to[i]))
			return false;
	*ret = to;
	*ret_n = (int)n;
	return true;
}

static bool accounts(struct wds_walk *w, const char *field, Authz__ServiceAccountMatch *const *from, size_t n,
		     const struct ns_sa **ret, int *ret_n)
{
	struct ns_sa *to = take(w, n, sizeof(*to));

	for (size_t i = 0; i < n; i++) {
		to[i] = (struct ns_sa){ from[i]->namespace_, from[i]->service_account };
		if (!wds_name(w, field, to[i].ns, false) || !wds_name(w, field, to[i].sa, false))
			return false;
	}
	*ret = to;
	*ret_n = (int)n;
	return true;
}

#define LIST(read, member, yes, no) \
	(read(w, #yes, m->yes, m->n_##yes, &to->member[0], &to->n_##member[0]) && \
	 read(w, #no, m->no, m->n_##no, &to->member[1], &to->n_##member[1]))

static bool read_match(struct wds_walk *w, const Authz__Match *m, struct policy_match *to)
{
	return LIST(texts, namespaces, namespaces, not_namespaces) && LIST(texts, principals, principals, not_principals) &&
	       LIST(accounts, service_accounts, service_accounts, not_service_accounts) &&
	       LIST(blocks, source_ips, source_ips, not_source_ips) &&
	       LIST(blocks, dest_ips, destination_ips, not_destination_ips) &&
	       LIST(ports, dest_ports, destination_ports, not_destination_ports);
}

static bool read_clause(struct wds_walk *w, const Authz__Rules *from, struct policy_clause *to)
{
	struct policy_match *m = take(w, from->n_matches, sizeof(*m));
	size_t len = strlen(w->path);

	for (size_t i = 0; i < from->n_matches; i++) {
		wds_enter(w, "matches", (int)i);
		if (!read_match(w, from->matches[i], &m[i]))
			return false;
		wds_leave(w, len);
	}
	*to = (struct policy_clause){ m, (int)from->n_matches };
	return true;
}

static bool read_rule(struct wds_walk *w, const Authz__Group *from, struct policy_rule *to)
{
	struct policy_clause *clauses = take(w, from->n_rules, sizeof(*clauses));
	size_t len = strlen(w->path);

	for (size_t i = 0; i < from->n_rules; i++) {
		wds_enter(w, "rules", (int)i);
		if (!read_clause(w, from->rules[i], &clauses[i]))
			return false;
		wds_leave(w, len);
	}
	*to = (struct policy_rule){ .clauses = clauses, .n_clauses = (int)from->n_rules };
	return true;
}

static bool read_rules(struct wds_walk *w, const Authz__Authorization *from, struct policy *to)
{
	struct policy_rule *rules = take(w, from->n_groups, sizeof(*rules));
	size_t len = strlen(w->path);

	for (size_t i = 0; i < from->n_groups; i++) {
		wds_enter(w, "groups", (int)i);
		if (!read_rule(w, from->groups[i], &rules[i]))
			return false;
		wds_leave(w, len);
	}
	to->rules = rules;
	to->n_rules = (int)from->n_groups;
	return true;
}

/* --- the policy --- */

/* What a policy that is refused is known by: its name, and all that its namespace covers. */
static void from_name(struct wds_walk *w, struct str name, struct policy *ret)
{
	struct str rest, ns = str_cut(name, '/', &rest);

	*ret = (struct policy){ .key = arena_dup(w->arena, name), .ns = arena_dup(w->arena, ns), .name = arena_dup(w->arena, rest),
				.where = "", .problem = "", .scope = POLICY_NAMESPACE, .action = POLICY_DENY };
}

static bool read_scope(struct wds_walk *w, const Authz__Authorization *a, struct policy *to)
{
	switch ((int)a->scope) {
	case AUTHZ__SCOPE__GLOBAL:
		to->scope = POLICY_GLOBAL;
		break;
	case AUTHZ__SCOPE__NAMESPACE:
		to->scope = POLICY_NAMESPACE;
		break;
	case AUTHZ__SCOPE__WORKLOAD_SELECTOR:
		to->scope = POLICY_SELECTOR;
		to->by_name = true;
		break;
	default:
		return wds_fail(w, "scope", "want GLOBAL, NAMESPACE or WORKLOAD_SELECTOR, got %d", a->scope);
	}
	return true;
}

static bool read_action(struct wds_walk *w, const Authz__Authorization *a, struct policy *to)
{
	if ((unsigned)a->action > AUTHZ__ACTION__DENY)
		return wds_fail(w, "action", "want ALLOW or DENY, got %d", a->action);
	to->action = a->action == AUTHZ__ACTION__DENY ? POLICY_DENY : POLICY_ALLOW;
	return true;
}

bool wds_read_policy(struct wds_walk *w, struct str name, struct str bytes, struct policy *ret)
{
	ProtobufCAllocator alloc = wds_allocator(w->arena);
	Authz__Authorization *a = authz__authorization__unpack(&alloc, bytes.n, (const uint8_t *)bytes.p);
	char key[600];

	from_name(w, name, ret);
	if (!a)
		return wds_fail(w, "", "is no istio.security.Authorization");
	snprintf(key, sizeof(key), "%s/%s", a->namespace_, a->name);
	if (!str_is(name, key))
		return wds_fail(w, "name", "want the resource's name, got '%.200s'", key);
	if (!read_scope(w, a, ret))
		return false;
	ret->dry_run = a->dry_run;
	return read_action(w, a, ret) && wds_each_field(w, &a->base, on_field, NULL) && read_rules(w, a, ret);
}

/* For the test: has every field of the messages a row? */
bool wds_policy_field_known(const ProtobufCMessageDescriptor *in, unsigned id)
{
	return row_of(in, id) != NULL;
}
