/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/jwt_filter.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "policy/jwksource.h"
#include "policy/jwt_find.h"
#include "policy/scope.h"

#define POLL_MS     20       /* how often who waits for keys looks */
#define KNOWN       128      /* verified tokens that a thread remembers */
#define KNOWN_BYTES 4096     /* longer ones are verified each time */

/* --- compiled rules --- */

struct book_rule {
	const struct jwt_rule *rule;         /* borrowed from the object */
	uint64_t id;                         /* no other rule of this process has it */
	struct jwks *keys;                   /* written in the configuration; NULL: */
	struct jwksource *source;
};

struct book {
	int n;
	struct book_rule rules[];
};

static void book_free(void *p)
{
	struct book *b = p;

	for (int i = 0; b && i < b->n; i++) {
		jwks_unref(b->rules[i].keys);
		jwksource_unref(b->rules[i].source);
	}
	free(b);
}

int jwt_compile(struct request_authn *a, struct err *err)
{
	static atomic_uint_fast64_t ids;
	struct book *b = calloc(1, sizeof(*b) + (size_t)a->n_rules * sizeof(b->rules[0]));

	if (!b)
		return err_set(err, -ENOMEM, "out of memory");
	for (int i = 0; i < a->n_rules; i++) {
		const struct jwt_rule *r = &a->rules[i];
		struct book_rule *to = &b->rules[b->n++];
		struct err why;

		*to = (struct book_rule){ .rule = r, .id = atomic_fetch_add(&ids, 1) + 1 };
		if (*r->jwks) {
			to->keys = jwks_parse(str_c(r->jwks), true, &why);
			if (!to->keys) {
				book_free(b);
				return err_set(err, -EINVAL, "jwtRules[%d].jwks: %.600s", i, why.msg);
			}
		} else {
			to->source = jwksource_get(*r->jwks_uri ? r->jwks_uri : r->issuer, !*r->jwks_uri, r->timeout_ms ? r->timeout_ms : 5000);
		}
	}
	if (a->compiled_free)
		a->compiled_free(a->compiled);
	a->compiled = b;
	a->compiled_free = book_free;
	return 0;
}

void jwt_touch(const struct request_authn *a)
{
	const struct book *b = a->compiled;

	for (int i = 0; b && i < b->n; i++)
		if (b->rules[i].source)
			jwksource_touch(b->rules[i].source);
}

static const struct jwks *keys_of(const struct book_rule *b)
{
	return b->keys ? b->keys : jwksource_keys(b->source);
}

/* --- tokens that were verified before, by thread --- */

struct known {
	uint64_t rule, keys;         /* ids; rule 0: free */
	char *text;                  /* owned */
	struct jwt token;
};

static pthread_key_t known_key;
static pthread_once_t known_once = PTHREAD_ONCE_INIT;

static void known_done(struct known *k)
{
	jwt_done(&k->token);
	free(k->text);
	*k = (struct known){ 0 };
}

static void known_free(void *p)
{
	struct known *v = p;

	for (int i = 0; i < KNOWN; i++)
		known_done(&v[i]);
	free(v);
}

static void known_make(void)
{
	pthread_key_create(&known_key, known_free);
}

/* NULL: not remembered. */
static struct known *known_slot(struct str token)
{
	struct known *v;

	if (token.n > KNOWN_BYTES)
		return NULL;
	pthread_once(&known_once, known_make);
	v = pthread_getspecific(known_key);
	if (!v) {
		v = calloc(KNOWN, sizeof(*v));
		if (!v || pthread_setspecific(known_key, v)) {
			free(v);
			return NULL;
		}
	}
	return &v[hash_bytes(token.p, token.n) % KNOWN];
}

static bool is_known(const struct known *k, const struct book_rule *b, struct str token)
{
	const struct jwks *keys = keys_of(b);

	return k && keys && k->rule == b->id && k->keys == jwks_id(keys) && str_eq(k->token.text, token);
}

/* Takes the token over when it is kept. */
static void remember(struct known *k, const struct book_rule *b, struct jwt *t)
{
	char *text = k ? malloc(t->text.n + 1) : NULL;

	if (!text)
		return;
	known_done(k);
	memcpy(text, t->text.p, t->text.n);
	*k = (struct known){ b->id, jwks_id(keys_of(b)), text, *t };
	k->token.payload.p = text + (t->payload.p - t->text.p);
	k->token.text.p = text;
	k->token.claims = claims_ref(t->claims);
}

/* --- one token against one rule --- */

struct waiting {
	struct exchange *x;
	struct timer timer;
	struct jwksource *source;            /* of an object that `held` keeps */
	struct request_authn *held;          /* reference; NULL: does not wait */
	unsigned attempts;
	uint64_t until_ms;
};

struct state {
	const struct claims *claims;         /* reference */
	struct waiting wait;
	bool waited;                         /* once is enough */
	bool believe;                        /* tokens whose keys are not here (jwt_ask) */
	bool believed;
};

static enum jwt_status judge(const struct book_rule *b, const struct jwt *t)
{
	struct timespec now;
	enum jwt_status s;

	if (*b->rule->issuer && !str_is(t->issuer, b->rule->issuer))
		return JWT_UNKNOWN_ISSUER;
	clock_gettime(CLOCK_REALTIME, &now);
	s = jwt_times(t, (double)now.tv_sec);
	if (s != JWT_OK)
		return s;
	return jwt_audience(t, b->rule->audiences, b->rule->n_audiences) ? JWT_OK : JWT_AUDIENCE;
}

/* ret is valid when JWT_OK; its claims are the caller's, its texts the token's. */
static enum jwt_status verify(const struct book_rule *b, struct str token, struct state *st, struct jwt *ret)
{
	struct known *k = known_slot(token);
	bool known = is_known(k, b, token);
	enum jwt_status s;

	if (known) {
		*ret = k->token;
		ret->claims = claims_ref(k->token.claims);
	} else {
		s = jwt_parse(token, b->rule->space_delimited, b->rule->n_space_delimited, ret);
		if (s != JWT_OK)
			return s;
	}
	s = judge(b, ret);
	if (s == JWT_OK && st->believe && !keys_of(b)) {
		st->believed = true;
	} else if (s == JWT_OK && !known) {
		s = keys_of(b) ? jwt_verify(ret, keys_of(b)) : JWT_FETCH;
		if (s == JWT_OK)
			remember(k, b, ret);
	}
	if (s != JWT_OK)
		jwt_done(ret);
	return s;
}

/* --- what a good token leaves in the request --- */

static struct str base64(struct exchange *x, const char *p, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = arena_alloc(&x->arena, n * 4 / 3 + 5);
	size_t at = 0;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)(unsigned char)p[i] << 16 | (i + 1 < n ? (uint32_t)(unsigned char)p[i + 1] << 8 : 0) |
			     (i + 2 < n ? (unsigned char)p[i + 2] : 0u);

		out[at++] = digits[v >> 18];
		out[at++] = digits[v >> 12 & 63];
		out[at++] = i + 1 < n ? digits[v >> 6 & 63] : '=';
		out[at++] = i + 2 < n ? digits[v & 63] : '=';
	}
	return (struct str){ out, at };
}

static void put_claim(struct exchange *x, const struct jwt_claim_header *h, const struct claims *c)
{
	char text[4096];
	bool plain;
	size_t n;

	if (claims_format(c, h->claim, h->n_claim, text, sizeof(text), &n, &plain))
		fields_add(&x->request_fields, h->header, plain ? exchange_dup(x, (struct str){ text, n }) : base64(x, text, n));
}

static void accept_token(struct exchange *x, struct state *st, const struct jwt_rule *r, const struct jwt_found *f, struct jwt *t)
{
	if (*r->payload_header)
		fields_add(&x->request_fields, r->payload_header, exchange_dup(x, t->payload));
	for (int i = 0; i < r->n_claim_headers; i++)
		put_claim(x, &r->claim_headers[i], t->claims);
	if (!r->forward)
		jwt_take_out(x, f);
	claims_unref(st->claims);
	st->claims = x->claims = t->claims;
}

/* --- one request against all rules --- */

/* The worse reason, which tells more: Envoy prefers what is wrong with a token over its being none of ours. */
static enum jwt_status worse(enum jwt_status a, enum jwt_status b)
{
	if (b == JWT_MISSED || (b == JWT_UNKNOWN_ISSUER && a != JWT_MISSED))
		return a;
	return b;
}

static enum jwt_status try_rule(struct exchange *x, struct state *st, const struct book_rule *b)
{
	struct jwt_found found[LIMIT_JWT_LOCATIONS];
	int n = jwt_find(x, b->rule, found, LIMIT_JWT_LOCATIONS);
	struct jwt tokens[LIMIT_JWT_LOCATIONS];
	enum jwt_status s = JWT_MISSED;

	/* All that stand at its places must be good. */
	for (int i = 0; i < n; i++) {
		s = verify(b, found[i].token, st, &tokens[i]);
		if (s != JWT_OK) {
			while (i-- > 0)
				jwt_done(&tokens[i]);
			return s;
		}
	}
	for (int i = 0; i < n; i++)
		accept_token(x, st, b->rule, &found[i], &tokens[i]);
	return s;
}

/* Whether newer keys may help: there are none yet, or none has this key id. */
static bool wants_keys(struct state *st, const struct book_rule *b, enum jwt_status s)
{
	return !st->waited && b->source && (s == JWT_FETCH || s == JWT_NO_KEY) && jwksource_want(b->source);
}

static enum jwt_status try_all(struct exchange *x, struct state *st, const struct scope *scope)
{
	enum jwt_status worst = JWT_MISSED, s;

	for (int i = 0; i < scope->n_authns; i++) {
		const struct book *book = scope->authns[i]->compiled;

		for (int j = 0; j < book->n; j++) {
			const struct book_rule *b = &book->rules[j];

			s = try_rule(x, st, b);
			if (s == JWT_OK)
				return s;
			if (!st->wait.held && wants_keys(st, b, s)) {
				st->wait.held = request_authn_ref(scope->authns[i]);
				st->wait.source = b->source;
				st->wait.attempts = jwksource_attempts(b->source);
				st->wait.until_ms = loop_now_ms(x->down->stage.loop) + (b->rule->timeout_ms ? b->rule->timeout_ms : 5000);
			}
			worst = worse(worst, s);
		}
	}
	return worst;
}

static void refuse(struct exchange *x, enum jwt_status s)
{
	struct str proto = fields_get(&x->request_fields, "x-forwarded-proto"), path = x->original_path.n ? x->original_path : x->request.path;
	struct str text = str_c(jwt_status_text(s)), details = exchange_printf(x, "jwt_authn_access_denied{%s}", text.p);
	struct http_field challenge = { str_c("www-authenticate"), { NULL, 0 } };

	for (char *p = (char *)details.p; p < details.p + details.n; p++)
		if (*p == ' ')
			*p = '_';
	proto = proto.n ? proto : x->request.scheme.n ? x->request.scheme : str_c("http");
	path.n = path.n < 256 ? path.n : 256;
	challenge.value = exchange_printf(x, "Bearer realm=\"%.*s://%.*s%.*s\"%s", STR_FMT(proto), STR_FMT(x->request.authority), STR_FMT(path),
					  s == JWT_MISSED ? "" : ", error=\"invalid_token\"");
	exchange_reply(x, FAIL_JWT, s == JWT_AUDIENCE ? 403 : 401, details.p, text, &challenge, 1);
}

static bool any_broken(const struct scope *scope)
{
	for (int i = 0; i < scope->n_authns; i++)
		if (scope->authns[i]->broken || !scope->authns[i]->compiled)
			return true;
	return false;
}

/* What cannot be judged by is answered here. */
static bool refuse_unsafe(struct exchange *x, const struct scope *scope)
{
	if (scope && !any_broken(scope))
		return false;
	exchange_reply(x, scope ? FAIL_UNSAFE_CONFIG : FAIL_NO_WORKLOAD, 0, NULL, (struct str){ NULL, 0 }, NULL, 0);
	return true;
}

/* What only a verified token may say is not taken from the client. */
static void remove_spoofed(struct exchange *x, const struct scope *scope)
{
	for (int i = 0; i < scope->n_authns; i++)
		for (int j = 0; j < scope->authns[i]->n_rules; j++) {
			const struct jwt_rule *r = &scope->authns[i]->rules[j];

			if (*r->payload_header)
				fields_remove(&x->request_fields, str_c(r->payload_header));
			for (int k = 0; k < r->n_claim_headers; k++)
				fields_remove(&x->request_fields, str_c(r->claim_headers[k].header));
		}
}

static void stop_waiting(struct waiting *w)
{
	if (w->x)
		timer_stop(&w->timer);
	request_authn_unref(w->held);
	w->held = NULL;
}

static void on_poll(struct timer *t)
{
	struct waiting *w = container_of(t, struct waiting, timer);
	struct state *st = container_of(w, struct state, wait);
	struct exchange *x = w->x;
	const struct scope *scope;
	enum jwt_status s;

	if (jwksource_attempts(w->source) == w->attempts && loop_now_ms(x->down->stage.loop) < w->until_ms) {
		timer_start(t, POLL_MS);
		return;
	}
	stop_waiting(w);
	st->waited = true;
	/* The rules may have been replaced meanwhile. */
	scope = scope_of(mesh_current(), x->client->local_workload, x->client->target);
	if (refuse_unsafe(x, scope))
		return;
	remove_spoofed(x, scope);
	s = try_all(x, st, scope);
	if (s == JWT_OK || s == JWT_MISSED)
		exchange_resume(x);
	else
		refuse(x, s);
}

static bool is_preflight(const struct exchange *x)
{
	return str_is(x->request.method, "OPTIONS") && fields_get(&x->request_fields, "origin").n &&
	       fields_get(&x->request_fields, "access-control-request-method").n;
}

static enum filter_step on_request(struct exchange *x, void *state, const void *conf)
{
	const struct scope *scope = x->client->local_workload ? scope_of(mesh_current(), x->client->local_workload, x->client->target) : NULL;
	struct state *st = state;
	enum jwt_status s;

	(void)conf;
	if (refuse_unsafe(x, scope))
		return FILTER_DONE;
	if (!scope->n_authns)
		return FILTER_NEXT;
	remove_spoofed(x, scope);
	if (is_preflight(x))
		return FILTER_NEXT;
	s = try_all(x, st, scope);
	if (s == JWT_OK || s == JWT_MISSED) {
		stop_waiting(&st->wait);
		return FILTER_NEXT;
	}
	if (st->wait.held) {
		st->wait.x = x;
		timer_init(&st->wait.timer, x->down->stage.loop, on_poll);
		timer_start(&st->wait.timer, POLL_MS);
		return FILTER_WAIT;
	}
	refuse(x, s);
	return FILTER_DONE;
}

enum jwt_status jwt_ask(struct exchange *x, const struct claims **ret)
{
	const struct scope *scope = scope_of(mesh_current(), x->client->local_workload, x->client->target);
	struct state st = { .waited = true, .believe = true };
	enum jwt_status s = JWT_MISSED;

	*ret = NULL;
	if (!scope || any_broken(scope))
		return JWT_MEMORY;
	remove_spoofed(x, scope);
	if (!is_preflight(x))
		s = try_all(x, &st, scope);
	*ret = st.claims;
	x->claims = NULL;
	return s == JWT_OK && st.believed ? JWT_FETCH : s;
}

static void on_end(struct exchange *x, void *state, const void *conf)
{
	struct state *st = state;

	(void)conf;
	stop_waiting(&st->wait);
	x->claims = NULL;
	claims_unref(st->claims);
	st->claims = NULL;
}

const struct filter_ops jwt_filter = { .name = "jwt", .state_bytes = sizeof(struct state), .on_request = on_request, .on_end = on_end };
