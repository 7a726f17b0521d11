/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/ratelimit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "base/log.h"
#include "policy/claims.h"
#include "policy/ratebucket.h"
#include "policy/scope.h"

/* --- compiled rules --- */

struct book_rule {
	struct rulebook *match;              /* NULL: all */
	struct rate_conf conf;
	_Atomic uint64_t bucket;             /* of a rule without keys */
	struct ratetable *table;             /* of one with keys */
	char *keys[RATE_KEYS_MAX];           /* owned: "header:x-user" */
};

struct book {
	int n;
	struct book_rule rules[];
};

static void book_free(void *p)
{
	struct book *b = p;

	for (int i = 0; b && i < b->n; i++) {
		rulebook_free(b->rules[i].match);
		ratetable_free(b->rules[i].table);
		for (int j = 0; j < RATE_KEYS_MAX; j++)
			free(b->rules[i].keys[j]);
	}
	free(b);
}

static char *key_text(const struct rate_key *k)
{
	static const char *const names[] = {
		[RATE_BY_IDENTITY] = "identity", [RATE_BY_ADDRESS] = "remote_address", [RATE_BY_HEADER] = "header", [RATE_BY_CLAIM] = "claim",
		[RATE_BY_PATH] = "path", [RATE_BY_METHOD] = "method", [RATE_BY_HOST] = "host",
	};
	struct buf b = { 0 };
	char *text;

	buf_puts(&b, names[k->by]);
	for (int i = 0; i < k->n_name; i++)
		buf_printf(&b, "%s%s", i ? "." : ":", k->name[i]);
	text = str_dup(buf_str(&b));
	buf_done(&b);
	return text;
}

static bool compile_rule(const struct rate_limit *l, const struct rate_rule *r, struct book_rule *to)
{
	to->conf.burst = r->burst ? r->burst : r->amount;
	to->conf.burst = to->conf.burst ? to->conf.burst : 1;
	to->conf.step_ns = (uint64_t)(r->per_s ? r->per_s : 1) * 1000000000u / (r->amount ? r->amount : 1);
	to->conf.step_ns = to->conf.step_ns ? to->conf.step_ns : 1;
	if (r->n_match && !(to->match = rulebook_new(r->match, r->n_match, POLICY_DENY, r->connections ? VIEW_BYTES : VIEW_REQUESTS)))
		return false;
	for (int i = 0; i < r->n_keys && i < RATE_KEYS_MAX; i++)
		to->keys[i] = key_text(&r->keys[i]);
	return !r->n_keys || *l->shared.service || (to->table = ratetable_new(LIMIT_RATE_BUCKETS));
}

int ratelimit_compile(struct rate_limit *l)
{
	struct book *b = calloc(1, sizeof(*b) + (size_t)l->n_rules * sizeof(b->rules[0]));

	for (int i = 0; b && i < l->n_rules; i++) {
		b->n++;
		if (!compile_rule(l, &l->rules[i], &b->rules[i])) {
			book_free(b);
			b = NULL;
		}
	}
	if (!b)
		return -ENOMEM;
	if (l->compiled_free)
		l->compiled_free(l->compiled);
	l->compiled = b;
	l->compiled_free = book_free;
	return 0;
}

/* --- what a rule's keys say --- */

static struct str header_of(const struct authz_request *r, const char *name)
{
	for (int i = 0; i < r->n_fields; i++)
		if (str_eq_nocase(r->fields[i].name, str_c(name)))
			return r->fields[i].value;
	return (struct str){ NULL, 0 };
}

/* p NULL: there is no such thing. room: for an address. */
static struct str value_of(const struct rate_key *k, struct subject *s, char room[ADDR_TEXT])
{
	static const struct str none = { NULL, 0 };
	const struct authz_request *r = s->in->request;

	if (k->by == RATE_BY_IDENTITY)
		return s->principal.n ? s->principal : none;
	if (k->by == RATE_BY_ADDRESS)
		return str_c(ip_format(subject_remote(s), room));
	if (!r)
		return none;
	switch (k->by) {
	case RATE_BY_HEADER:
		return header_of(r, k->name[0]);
	case RATE_BY_CLAIM:
		return r->claims ? claims_text(r->claims, k->name, k->n_name) : none;
	case RATE_BY_PATH:
		return s->path;
	case RATE_BY_METHOD:
		return r->method;
	case RATE_BY_HOST:
		return r->authority;
	default:
		return none;
	}
}

/* False: the rule is not about this subject. */
static bool key_hash(const struct rate_rule *r, struct subject *s, uint64_t *ret)
{
	uint64_t parts[RATE_KEYS_MAX];
	char room[ADDR_TEXT];

	for (int i = 0; i < r->n_keys && i < RATE_KEYS_MAX; i++) {
		struct str v = value_of(&r->keys[i], s, room);

		if (!v.p)
			return false;
		parts[i] = hash_bytes(v.p, v.n);
	}
	*ret = hash_bytes(parts, (size_t)r->n_keys * sizeof(parts[0]));
	return true;
}

static bool meets(const struct book_rule *b, struct subject *s)
{
	return !b->match || rulebook_judge(b->match, s) >= 0;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* True: it may pass. *ret_met: the rule counted it. */
static bool take(const struct rate_rule *r, struct book_rule *b, struct subject *s, uint64_t now, struct rate_left *left, bool *ret_met)
{
	uint64_t key = 0;
	bool ok;

	*ret_met = meets(b, s) && key_hash(r, s, &key);
	if (!*ret_met)
		return true;
	ok = b->table ? ratetable_take(b->table, key, &b->conf, now, left) : ratebucket_take(&b->bucket, &b->conf, now, left);
	if (ok || !r->dry_run)
		return ok;
	log_debug(LOG_POLICY, "dry run: rate limit %s would refuse", r->name);
	return true;
}

/* --- connections --- */

bool ratelimit_connection(const struct mesh *m, const struct workload *dest, const struct authz_input *in, const char **ret_rule)
{
	const struct scope *scope = scope_of(m, dest, in->service);
	uint64_t now = scope && scope->n_limits ? now_ns() : 0;
	struct rate_left left;
	struct subject who;
	bool met;

	if (!scope || !scope->n_limits)
		return true;
	subject_init(&who, in, mesh_settings(m));
	for (int i = 0; i < scope->n_limits; i++) {
		const struct rate_limit *l = scope->limits[i];
		struct book *b = l->compiled;

		for (int j = 0; b && j < b->n; j++)
			if (l->rules[j].connections && !take(&l->rules[j], &b->rules[j], &who, now, &left, &met)) {
				*ret_rule = l->rules[j].name;
				return false;
			}
	}
	return true;
}

/* --- requests --- */

static uint32_t seconds(uint64_t ns)
{
	return (uint32_t)((ns + 999999999u) / 1000000000u);
}

static struct rate_status status_of(const struct rate_rule *r, const struct book_rule *b, const struct rate_left *left)
{
	return (struct rate_status){ .rule = r, .limit = b->conf.burst, .remaining = left->remaining, .reset_s = seconds(left->full_ns),
				     .per_s = r->per_s };
}

static struct str policy_text(struct exchange *x, const struct rate_status *s)
{
	return exchange_printf(x, "\"%s\";q=%u;w=%u", s->rule->name, s->limit, s->per_s);
}

static struct str left_text(struct exchange *x, const struct rate_status *s)
{
	return exchange_printf(x, "\"%s\";r=%u;t=%u", s->rule->name, s->remaining, s->reset_s);
}

void rate_headers(struct exchange *x, const struct rate_status *s)
{
	fields_add(&x->response_fields, "ratelimit-policy", policy_text(x, s));
	fields_add(&x->response_fields, "ratelimit", left_text(x, s));
}

void rate_refuse(struct exchange *x, const struct rate_status *s, bool headers)
{
	struct http_field fields[4] = { { str_c("x-envoy-ratelimited"), str_c("true") } };
	int n = 1;

	if (headers) {
		fields[n++] = (struct http_field){ str_c("retry-after"), exchange_number(x, s->reset_s) };
		fields[n++] = (struct http_field){ str_c("ratelimit-policy"), policy_text(x, s) };
		fields[n++] = (struct http_field){ str_c("ratelimit"), left_text(x, s) };
	}
	exchange_reply(x, FAIL_RATE_LIMITED, 0, NULL, (struct str){ NULL, 0 }, fields, n);
}

struct state {
	struct rate_status said;     /* of the rule with the least left; rule NULL: none */
	struct rate_limit *held;     /* reference: said.rule is of it */
	bool refused;
};

static enum filter_step on_request(struct exchange *x, void *state, const void *conf)
{
	const struct workload *w = x->client->local_workload;
	const struct mesh *m = mesh_current();
	const struct scope *scope = w ? scope_of(m, w, x->client->target) : NULL;
	uint64_t now = scope && scope->n_limits ? now_ns() : 0;
	struct state *st = state;
	struct authz_request req;
	struct authz_input in;
	struct rate_left left;
	struct subject who;
	bool met;

	(void)conf;
	if (!scope || !scope->n_limits)
		return FILTER_NEXT;
	authz_input_of(x, &req, &in);
	subject_init(&who, &in, mesh_settings(m));
	for (int i = 0; i < scope->n_limits; i++) {
		struct rate_limit *l = scope->limits[i];
		struct book *b = l->compiled;

		for (int j = 0; b && !*l->shared.service && j < b->n; j++) {
			const struct rate_rule *r = &l->rules[j];
			bool ok = r->connections || take(r, &b->rules[j], &who, now, &left, &met);

			if (!ok) {
				struct rate_status s = status_of(r, &b->rules[j], &left);

				st->refused = true;
				rate_refuse(x, &s, l->headers);
				return FILTER_DONE;
			}
			if (!r->connections && met && l->headers && (!st->held || left.remaining < st->said.remaining)) {
				rate_limit_unref(st->held);
				st->held = rate_limit_ref(l);
				st->said = status_of(r, &b->rules[j], &left);
			}
		}
	}
	return FILTER_NEXT;
}

static enum filter_step on_response(struct exchange *x, void *state, const void *conf)
{
	struct state *st = state;

	(void)conf;
	if (st->held && !st->refused)
		rate_headers(x, &st->said);
	return FILTER_NEXT;
}

static void on_end(struct exchange *x, void *state, const void *conf)
{
	(void)x;
	(void)conf;
	rate_limit_unref(((struct state *)state)->held);
}

const struct filter_ops ratelimit_filter = {
	.name = "ratelimit", .state_bytes = sizeof(struct state), .on_request = on_request, .on_response = on_response, .on_end = on_end,
};

/* --- shared --- */

static bool put_entries(struct exchange *x, const struct rate_rule *r, const struct book_rule *b, struct subject *s, struct rate_question *q)
{
	char room[ADDR_TEXT];

	q->entries[q->n++] = (struct rate_entry){ "rule", str_c(r->name) };
	for (int i = 0; i < r->n_keys && i < RATE_KEYS_MAX; i++) {
		struct str v = value_of(&r->keys[i], s, room);

		if (!v.p)
			return false;
		q->entries[q->n++] = (struct rate_entry){ exchange_dup(x, str_c(b->keys[i])).p, exchange_dup(x, v) };
	}
	return true;
}

int rate_questions(struct exchange *x, struct rate_question *ret, int max)
{
	const struct workload *w = x->client->local_workload;
	const struct mesh *m = mesh_current();
	const struct scope *scope = w ? scope_of(m, w, x->client->target) : NULL;
	struct authz_request req;
	struct authz_input in;
	struct subject who;
	int n = 0;

	if (!scope || !scope->n_limits)
		return 0;
	authz_input_of(x, &req, &in);
	subject_init(&who, &in, mesh_settings(m));
	for (int i = 0; i < scope->n_limits; i++) {
		struct rate_limit *l = scope->limits[i];
		struct book *b = l->compiled;

		for (int j = 0; b && *l->shared.service && j < b->n && n < max; j++) {
			ret[n] = (struct rate_question){ .of = l, .rule = &l->rules[j] };
			if (!l->rules[j].connections && meets(&b->rules[j], &who) && put_entries(x, &l->rules[j], &b->rules[j], &who, &ret[n]))
				n++;
		}
	}
	return n;
}
